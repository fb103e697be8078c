"""The command line: `sixply COMMAND`, or `python -m serving.cli COMMAND`.

Only what a command needs is imported, when it runs: `--help` answers at once. What takes more than a few lines stands in
`serving/commands.py`; what is printed and how, in `serving/terminal.py`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from foundation import collector
from foundation.errors import InvalidRequest, SixplyError

if TYPE_CHECKING:
    from foundation.settings import Loaded

app = typer.Typer(
    help="A reference AI system in six layers. Start with: sixply demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
keys = typer.Typer(help="API keys: who may call, as whom.", rich_markup_mode=None)
app.add_typer(keys, name="keys")
facts = typer.Typer(help="What is remembered of a person.", rich_markup_mode=None)
app.add_typer(facts, name="facts")

LOCAL = "local"
"""The tenant of someone at the command line who names none."""

Stack = Annotated[Path, typer.Option("--stack", help="The configuration file.", dir_okay=False)]
Tenant = Annotated[str, typer.Option("--tenant", help="Whose documents.")]
User = Annotated[str | None, typer.Option("--user", help="The subject of a credential; you if absent.")]
Groups = Annotated[list[str] | None, typer.Option("--group", help="A group inside the tenant; may be repeated.")]
Last = Annotated[int, typer.Option(min=1, help="Of how many of the latest requests.")]
Json = Annotated[
    Path | None,
    typer.Option("--json", help="Also write it there as JSON; - writes it to standard output.", dir_okay=False),
]
Note = Annotated[str, typer.Option(help="Why; it is kept with the decision.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Ask only so many questions.")]
Data = Annotated[Path, typer.Argument(help="A folder in BEIR layout.", exists=True, file_okay=False)]
Hashed = Annotated[
    Path | None, typer.Option("--stack", help="The configuration; else stack.toml with hashed vectors.", dir_okay=False)
]
STACK = Path("stack.toml")
Golden = Annotated[
    Path | None,
    typer.Option(help="A golden set, one JSON object a line; else that of the stack.", exists=True, dir_okay=False),
]
HASHED: dict[str, object] = {"models": {"embedder": {"use": "hashing"}}}
"""Where meaning does not matter: an embedder that costs nothing."""
OBJECTS = Path("examples/support_desk/objects.json")
FOLLOW_UPS = Path("examples/support_desk/follow_ups.jsonl")
TunedPart = Literal["reranker", "embedder", "chat"]
PROPOSALS = Path("var/reports/cases.jsonl")


@app.callback()
def _options(
    *, debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error, and all warnings.")] = False
) -> None:
    """`--debug` is read in `main`, which must know it before anything is imported."""


# -- use it ------------------------------------------------------------------------------------------------------------


@app.command()
def demo(stack: Stack = STACK) -> None:
    """All six layers at work on real models, about a minute."""
    from serving.demo import run
    from serving.terminal import console

    _exit(ok=run(lambda overrides: _load(stack, overrides), console()))


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    *,
    tenant: Tenant = LOCAL,
    roles: Annotated[list[str] | None, typer.Option("--role", help="May be repeated; reader if absent.")] = None,
    groups: Groups = None,
    compose: Annotated[
        str | None, typer.Option(help="extractive (quotes), generative (the model writes), auto.")
    ] = None,
    thread: Annotated[
        str | None, typer.Option(help="Continue this conversation, or the same question that was cut off in it.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show each step as it is done, and the plan.")] = False,
    as_of: Annotated[str | None, typer.Option(help="From the versions in force on that day, e.g. 2025-03-31.")] = None,
    schema: Annotated[
        Path | None, typer.Option(help="Answer as an object of this JSON schema.", exists=True, dir_okay=False)
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(help="With --schema: read it from this text, not the documents.", exists=True, dir_okay=False),
    ] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Ask one question, as a person of a tenant."""
    from serving import commands, terminal

    person = commands.local(tenant, roles or ["reader"], groups)
    if text is not None and schema is None:
        raise InvalidRequest("--text is what an object is read from. Give its JSON schema with --schema.")
    if schema is not None:
        _exit(ok=commands.ask_as(_load(stack), question, person, schema=schema, text=text, json=json))
        return
    seen = terminal.watching() if plan and str(json) != "-" else None
    answer = commands.ask(_load(stack), question, person, compose=compose, thread_id=thread, as_of=as_of, seen=seen)
    if not terminal.write_json(json, answer.model_dump(mode="json")):
        terminal.show_answer(answer, plan=plan)


@app.command()
def serve(stack: Stack = STACK) -> None:
    """Serve the API until stopped."""
    from serving import commands

    commands.serve(_load(stack))


@app.command()
def mcp(
    *,
    tenant: Tenant = LOCAL,
    roles: Annotated[list[str] | None, typer.Option("--role", help="May be repeated; reader if absent.")] = None,
    groups: Groups = None,
    stack: Stack = STACK,
) -> None:
    """Be an MCP server on standard input and output, for a client that starts this command.

    With SIXPLY_API_KEY in the environment the caller is whom that key says, and the options do not count.
    """
    from serving import mcp_stdio

    mcp_stdio.serve(_load(stack), tenant=tenant, roles=roles or ["reader"], groups=groups or [])


@app.command()
def ingest(
    source: Annotated[
        str | None, typer.Argument(metavar="SRC", help="A file, a folder with all that is below it, or an address.")
    ] = None,
    *,
    retry: Annotated[bool, typer.Option("--retry", help="Try what was refused again, in place of SRC.")] = False,
    tenant: Tenant = LOCAL,
    prune: Annotated[bool, typer.Option("--prune", help="Take out what is no longer in the folder.")] = False,
    groups: Groups = None,
    data_class: Annotated[str | None, typer.Option("--class", help="Who may see it stands in the policy.")] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Add documents, or replace those of the same name."""
    from serving import commands

    if (source is None) is not retry:
        raise typer.BadParameter("Name what to ingest, SRC, or say --retry, and not both.")
    if source is None:
        _exit(ok=commands.retry(_load(stack), tenant=tenant, json=json))
    else:
        ok = commands.ingest(
            _load(stack),
            source,
            tenant=tenant,
            groups=groups or [],
            data_class=data_class,
            json=json,
            prune=prune,
        )
        _exit(ok=ok)


@app.command()
def documents(tenant: Tenant = LOCAL, groups: Groups = None, json: Json = None, stack: Stack = STACK) -> None:
    """What the ledger holds, and what it refused."""
    from serving import commands

    commands.documents(_load(stack), commands.all_of(tenant, groups), json)


@app.command()
def sources(tenant: Tenant = LOCAL, groups: Groups = None, json: Json = None, stack: Stack = STACK) -> None:
    """Where the documents come from."""
    from serving import commands, corpus

    corpus.sources(_load(stack), commands.all_of(tenant, groups), json)


@app.command()
def corpus(
    *,
    tenant: Tenant = LOCAL,
    groups: Groups = None,
    days: Annotated[int, typer.Option(min=0, help="A document that did not change for so long is stale.")] = 365,
    similarity: Annotated[float, typer.Option(min=0.1, max=1, help="Share of what two documents share.")] = 0.8,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Its size, what is old or superseded, and which documents say the same."""
    from serving import commands, corpus

    scope = commands.all_of(tenant, groups)
    corpus.report(_load(stack), scope, days=days, similarity=similarity, json=json)


@app.command("export")
def export_ledger(
    file: Annotated[Path, typer.Argument(help="Where it goes; packed if it ends in .gz.", dir_okay=False)],
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Write the whole ledger to one file: documents of every tenant, their passages and vectors."""
    from serving import corpus

    corpus.export_ledger(_load(stack), file, json)


@app.command("import")
def import_ledger(
    file: Annotated[Path, typer.Argument(help="What export wrote.", dir_okay=False)],
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Take in an exported ledger, checked first; nothing is embedded again."""
    from serving import corpus

    corpus.import_ledger(_load(stack), file, json)


@app.command()
def reindex(stack: Stack = STACK) -> None:
    """Write all documents anew with the configured embedder and chunker."""
    from serving import commands

    commands.reindex(_load(stack))


@app.command()
def approvals(tenant: Tenant = LOCAL, json: Json = None, stack: Stack = STACK) -> None:
    """Actions that wait for a person."""
    from serving import commands

    commands.approvals(_load(stack), tenant, json)


@app.command()
def approve(
    approval: Annotated[str, typer.Argument(metavar="ID", help="As the list shows it.")],
    *,
    tenant: Tenant = LOCAL,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Grant another argument; may be repeated.")
    ] = None,
    note: Note = "",
    stack: Stack = STACK,
) -> None:
    """Let one of them happen, as it was asked for or with other arguments."""
    from serving import commands, terminal

    answer = commands.decide(_load(stack), approval, tenant=tenant, note=note, approve=True, changes=changes or [])
    terminal.show_answer(answer)


@app.command()
def reject(
    approval: Annotated[str, typer.Argument(metavar="ID", help="As the list shows it.")],
    tenant: Tenant = LOCAL,
    note: Note = "",
    stack: Stack = STACK,
) -> None:
    """Forbid one of them."""
    from serving import commands, terminal

    terminal.show_answer(commands.decide(_load(stack), approval, tenant=tenant, note=note, approve=False))


@keys.callback(invoke_without_command=True)
def _list_keys(context: typer.Context, stack: Stack = STACK) -> None:
    """API keys: who may call, as whom. Without a command: list them."""
    if context.invoked_subcommand is None:
        list_keys(stack)


@keys.command("list")
def list_keys(stack: Stack = STACK) -> None:
    """Who has a key. The keys themselves are stored nowhere."""
    from serving import commands

    commands.list_keys(_load(stack))


@keys.command("add")
def add_key(
    subject: Annotated[str, typer.Option(help="Who it is for.")],
    tenant: Annotated[str, typer.Option(help="Whose documents it opens.")],
    roles: Annotated[list[str], typer.Option("--role", help="reader, agent, approver or operator; may be repeated.")],
    groups: Groups = None,
    stack: Stack = STACK,
) -> None:
    """Make a key and show it, once."""
    from serving import commands

    commands.add_key(_load(stack), subject=subject, tenant=tenant, roles=roles, groups=groups or [])


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As the list shows it.")], stack: Stack = STACK
) -> None:
    """Make a key stop working, at once."""
    from serving import commands

    commands.revoke_key(_load(stack), key_id)


@facts.callback(invoke_without_command=True)
def _list_facts(context: typer.Context, tenant: Tenant = LOCAL, user: User = None, stack: Stack = STACK) -> None:
    """What is remembered of you, or of a user of the tenant. Without a command: list it."""
    if context.invoked_subcommand is None:
        list_facts(tenant, user, None, stack)


@facts.command("list")
def list_facts(tenant: Tenant = LOCAL, user: User = None, json: Json = None, stack: Stack = STACK) -> None:
    """What is remembered."""
    from serving import commands

    commands.list_facts(_load(stack), commands.person(tenant, user), json)


@facts.command("correct")
def correct_fact(
    fact: Annotated[str, typer.Argument(metavar="ID", help="As the list shows it.")],
    text: Annotated[str, typer.Argument(help="What is true.")],
    tenant: Tenant = LOCAL,
    user: User = None,
    stack: Stack = STACK,
) -> None:
    """Put other words in its place."""
    from serving import commands

    commands.correct_fact(_load(stack), fact, text, commands.person(tenant, user))


@facts.command("erase")
def erase_facts(
    fact: Annotated[str | None, typer.Argument(metavar="ID", help="As the list shows it.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All of them, in place of ID.")] = False,
    tenant: Tenant = LOCAL,
    user: User = None,
    stack: Stack = STACK,
) -> None:
    """Erase one, or all that is remembered of the person."""
    from serving import commands

    if (fact is None) is not every:
        raise typer.BadParameter("Name what to erase, ID, or say --all, and not both.")
    commands.erase_facts(_load(stack), fact, commands.person(tenant, user))


# -- look inside -------------------------------------------------------------------------------------------------------


@app.command()
def config(json: Json = None, stack: Stack = STACK) -> None:
    """Every value in force and where it came from; secrets masked."""
    from serving import terminal

    rows = list(_load(stack).rows())
    if not terminal.write_json(json, {key: {"value": value, "from": origin} for key, value, origin in rows}):
        terminal.show_table(["setting", "value", "from"], rows)


@app.command()
def doctor(json: Json = None, stack: Stack = STACK) -> None:
    """Check this machine and this configuration; say what to do."""
    from serving import commands

    _exit(ok=commands.doctor(_load(stack), json))


@app.command()
def traces(
    *,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    every: Annotated[
        bool, typer.Option("--all", help="Also those that only looked (GET) or were refused (4xx).")
    ] = False,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """The latest answers, searches, writes and what broke."""
    from serving import commands

    commands.traces(_load(stack), limit, json, every=every)


@app.command()
def trace(
    trace_id: Annotated[str, typer.Argument(metavar="ID", help="A trace id, its first digits, or last.")],
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """One request's spans, its bill by layer, and what the audit has of it."""
    from serving import commands

    commands.trace(_load(stack), trace_id, json)


@app.command()
def slow(
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    last: Last = 500,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """The slowest of the latest requests, and what each layer takes."""
    from serving import commands

    commands.slow(_load(stack), limit, last, json)


@app.command()
def failures(last: Last = 500, json: Json = None, stack: Stack = STACK) -> None:
    """How the latest requests failed, and where it began."""
    from serving import commands

    commands.failures(_load(stack), last, json)


@app.command()
def forecast(json: Json = None, stack: Stack = STACK) -> None:
    """What the next 30 days will cost, from the days so far."""
    from serving import commands

    commands.forecast(_load(stack), json)


@app.command()
def costs(
    by: Annotated[str, typer.Option(help="tenant, model, layer, kind, day or outcome.")] = "layer",
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Money spent."""
    from serving import commands

    commands.costs(_load(stack), by, json)


@app.command()
def policy(
    *,
    roles: Annotated[list[str] | None, typer.Option("--role", help="Of the caller; may be repeated.")] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Of the caller; absent: one without rules of its own.")
    ] = None,
    tool: Annotated[str | None, typer.Option("--tool", help="May it be called?")] = None,
    model: Annotated[str | None, typer.Option("--model", help="May it answer?")] = None,
    data_class: Annotated[str | None, typer.Option("--class", help="May documents of this class be seen?")] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """The rules; or allowed or denied, by which of them, and why."""
    from serving import oversight

    oversight.policy(
        _load(stack), json, roles=roles or [], tenant=tenant, tool=tool, model=model, data_class=data_class
    )


@app.command("system-card")
def system_card(
    *,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write it there as one page.", dir_okay=False)
    ] = None,
    register: Annotated[Path, typer.Option(help="The risks, with their controls.", dir_okay=False)] = Path(
        "risks.toml"
    ),
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """What runs, what it may do, how good it was measured to be, and what can go wrong."""
    from serving import card

    _exit(ok=card.system_card(_load(stack), register=register, html=html, json=json))


@app.command()
def stop(
    what: Annotated[str, typer.Argument(help="effects, all, tenant:NAME or model:NAME")],
    *,
    why: Annotated[str, typer.Option(help="It is told to everybody who is refused.")],
    stack: Stack = STACK,
) -> None:
    """Kill switch: holds from the next step of any work, in every process, until it is lifted."""
    from serving import oversight

    oversight.switch(_load(stack), what, why=why)


@app.command()
def lift(
    what: Annotated[str, typer.Argument(help="As it was stopped.")],
    stack: Stack = STACK,
) -> None:
    """Let work again what was stopped."""
    from serving import oversight

    oversight.switch(_load(stack), what, why=None)


@app.command()
def stops(json: Json = None, stack: Stack = STACK) -> None:
    """What is stopped, by whom and why."""
    from serving import oversight

    oversight.show_stops(_load(stack), json)


@app.command()
def drift(
    days: Annotated[float, typer.Option(min=0.001, help="The last so many days, against as many before.")] = 7,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """What has changed since last week: quality, questions, refusals, time, cost, parts. 1: something moved."""
    from serving import commands

    _exit(ok=commands.drift(_load(stack), days, json))


@app.command()
def erase(
    *,
    user: Annotated[str, typer.Option(help="The subject of their key, as `sixply keys` lists it.")],
    tenant: Tenant = LOCAL,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Erase everything that one person said, asked and was told; says of each store what went and what stays."""
    from serving import erasure

    _exit(ok=erasure.erase(_load(stack), tenant, user, json))


@app.command()
def retention(json: Json = None, stack: Stack = STACK) -> None:
    """Take out what is older than [foundation.retention] allows; for a daily timer."""
    from serving import erasure

    erasure.retain(_load(stack), json)


@app.command("audit-verify")
def audit_verify(
    *,
    head: Annotated[str | None, typer.Option(help="A head kept elsewhere, as count:hash.")] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Is the audit whole? Finds an edited, dropped or reordered record."""
    from serving import oversight

    _exit(ok=oversight.audit_verify(_load(stack), head, json))


# -- measure -----------------------------------------------------------------------------------------------------------


@app.command()
def evaluate(
    golden: Golden = None,
    limit: Limit = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Score a golden set against the documents in the ledger."""
    from serving import measuring

    measuring.evaluate(_load(stack), golden, limit, json)


@app.command("judge-agreement")
def judge_agreement(
    data: Annotated[
        Path, typer.Argument(help="A folder with human_judgements.jsonl and qa.jsonl.", exists=True, file_okay=False)
    ],
    limit: Limit = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Does a language model mark answers as people do? The record by which `evaluate` trusts it. 1: it does not."""
    from serving import judging

    _exit(ok=judging.judge_agreement(_load(stack), data, limit, json))


@app.command("bench-retrieval")
def bench_retrieval(data: Data, limit: Limit = None, json: Json = None, stack: Stack = STACK) -> None:
    """Retrieval on a folder with corpus.jsonl, queries.jsonl and qrels/test.tsv."""
    from serving import measuring

    measuring.bench_retrieval(lambda overrides: _load(stack, overrides), data, limit, json)


@app.command("bench-ingest")
def bench_ingest(
    *,
    data: Annotated[
        Path | None,
        typer.Option(help="A folder with corpus.jsonl; else made-up documents.", exists=True, file_okay=False),
    ] = None,
    limit: Annotated[int, typer.Option(min=3, help="Documents.")] = 450,
    chunks: Annotated[int, typer.Option(min=1_000, help="Passages up to which memory is followed.")] = 100_000,
    against: Annotated[str | None, typer.Option(help="Another embedder, to compare the speed with.")] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Ingest against its own encoder, what a second run and a change cost, and whether memory stays flat."""
    from serving import measuring

    measuring.bench_ingest(
        lambda overrides: _load(stack, overrides), data, limit=limit, chunks=chunks, against=against, json=json
    )


@app.command("bench-index")
def bench_index(
    *,
    chunks: Annotated[int, typer.Option(min=100, help="Passages, most of them nearly alike.")] = 50_000,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """The vector index against exact search among near-duplicates, and what a query costs there."""
    from serving import measuring

    measuring.bench_index(lambda overrides: _load(stack, overrides), chunks=chunks, json=json)


@app.command("bench-encoder")
def bench_encoder(
    *,
    data: Annotated[
        list[Path],
        typer.Argument(help="Folders in BEIR layout; times are taken on the first.", exists=True, file_okay=False),
    ],
    limit: Annotated[int, typer.Option(min=8, help="Documents and queries that times are taken of.")] = 128,
    rounds: Annotated[int, typer.Option(min=1, help="How often each side is timed, in turns.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Of each encoder.")] = 1,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """The default encoder and search against torch and exact search: speed, quality, queries, threads, cold start."""
    from serving import encoder_bench

    encoder_bench.bench_encoder(
        lambda overrides: _load(stack, overrides), stack, data, limit=limit, rounds=rounds, threads=threads, json=json
    )


@app.command("bench-answers")
def bench_answers(
    *,
    data: Data,
    foreign: Annotated[
        Path | None,
        typer.Option(help="A folder whose questions this corpus does not answer.", exists=True, file_okay=False),
    ] = None,
    limit: Limit = None,
    plot: Annotated[Path | None, typer.Option(help="A file for risk against coverage, as SVG.", dir_okay=False)] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Answers on a folder with corpus.jsonl and qa.jsonl, and the risk of answering more of them."""
    from serving import measuring

    measuring.bench_answers(lambda overrides: _load(stack, overrides), data, limit, json, foreign=foreign, plot=plot)


@app.command()
def calibrate(
    *,
    data: Annotated[
        Path | None, typer.Option(help="A folder with qa.jsonl; else the golden set.", exists=True, file_okay=False)
    ] = None,
    foreign: Annotated[
        Path | None,
        typer.Option(help="A folder whose questions this corpus does not answer.", exists=True, file_okay=False),
    ] = None,
    limit: Limit = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """From which confidence on to answer (min_evidence), from questions that may be tuned on."""
    from serving import measuring

    measuring.calibrate(lambda overrides: _load(stack, overrides), data, foreign, limit, json)


@app.command("bench-attacks")
def bench_attacks(
    data: Data,
    limit: Limit = None,
    rows: Annotated[
        Path | None,
        typer.Option(help="Keep each answer in this file; a run that was stopped goes on from it.", dir_okay=False),
    ] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Instructions hidden in documents against the running agent: attack success beside the use of its answers."""
    from serving import measuring

    _exit(ok=measuring.bench_attacks(lambda overrides: _load(stack, overrides), data, limit, rows, json))


@app.command("bench-followups")
def bench_followups(
    data: Annotated[
        Path, typer.Argument(help="A folder in BEIR layout with histories, or a file of follow-ups.", exists=True)
    ] = FOLLOW_UPS,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Retrieval of follow-up questions: the last turn as asked, and read with its conversation."""
    from serving import measuring

    measuring.bench_follow_ups(lambda overrides: _load(stack, overrides), data, json)


@app.command("bench-structured")
def bench_structured(
    data: Annotated[
        Path, typer.Argument(help="A file of kinds of objects, or a folder of function calls.", exists=True)
    ] = OBJECTS,
    limit: Annotated[int, typer.Option(min=1, help="How many cases.")] = 200,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Objects from texts: how many are valid, and how many right."""
    from serving import measuring

    measuring.bench_structured(lambda overrides: _load(stack, overrides), data, limit, json)


@app.command("bench-verify")
def bench_verify(data: Data, limit: Limit = None, json: Json = None, stack: Stack = STACK) -> None:
    """How well `verify` tells supported claims from others: a folder with claims.jsonl or human_judgements.jsonl."""
    from serving import measuring

    measuring.bench_verify(lambda overrides: _load(stack, overrides), data, limit, json)


@app.command("bench-tau")
def bench_tau(data: Data, json: Json = None, stack: Stack = STACK) -> None:
    """tau-bench's airline through the executor: what its tasks expect passes, what its policy forbids is denied with a quote."""
    from serving import measuring

    _exit(ok=measuring.bench_tau(lambda overrides: _load(stack, overrides), data, json))


@app.command("train-verify")
def train_verify(
    claims: Annotated[Path, typer.Argument(help="Judged claims, one JSON object a line.", exists=True, dir_okay=False)],
    to: Annotated[Path, typer.Option(help="Where the judge is written.", dir_okay=False)] = Path(
        "retrieval/support.json"
    ),
    stack: Stack = STACK,
) -> None:
    """Train the judge of `verify` on judged claims; for another embedder, or for claims of your own field."""
    from serving import measuring

    measuring.train_verify(lambda overrides: _load(stack, overrides), claims, to)


@app.command()
def finetune(
    part: Annotated[TunedPart, typer.Argument(help="What is trained.")],
    data: Annotated[
        Path, typer.Argument(help="A folder in BEIR layout, a golden set, or conversations (chat).", exists=True)
    ],
    *,
    to: Annotated[
        Path | None, typer.Option(help="The folder that is written; else weights/tuned-PART.", file_okay=False)
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take so many queries of each half.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="How often each example is seen.")] = None,
    seed: Annotated[int | None, typer.Option(help="Else that of the stack.")] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Train a model on judged queries and measure it on those held out. 1: it was not shown to be better."""
    from serving.finetuning import Order, finetune

    loaded = _load(stack)
    order = Order(
        data=data,
        to=to or Path("weights") / f"tuned-{part}",
        seed=loaded.settings.foundation.seed if seed is None else seed,
        limit=limit,
        epochs=epochs,
    )
    _exit(ok=finetune(lambda overrides: _load(stack, overrides), part, order, json))


@app.command("bench-telemetry")
def bench_telemetry(
    *,
    rounds: Annotated[int, typer.Option(min=4, help="Each does the requests traced and untraced.")] = 20,
    block: Annotated[int, typer.Option(min=1, help="Requests of a round.")] = 20,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """What telemetry costs: searches and answers over HTTP with it and without it, in turns."""
    from serving import measuring

    _exit(
        ok=measuring.bench_telemetry(lambda overrides: _load(stack, overrides), rounds=rounds, block=block, json=json)
    )


@app.command("bench-cache")
def bench_cache(
    data: Data,
    limit: Annotated[int, typer.Option(min=1, help="Different questions in the log.")] = 100,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """The answer cache on a log with repeats and paraphrases, made of a folder's qa.jsonl: what it saves, where it errs."""
    from serving import measuring

    measuring.bench_cache(lambda overrides: _load(stack, overrides), data, limit, json)


@app.command("bench-parse")
def bench_parse(
    data: Annotated[Path, typer.Argument(help="A folder of documents.", exists=True, file_okay=False)],
    *,
    mutate: Annotated[int, typer.Option(min=0, help="Also parse so many damaged copies.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the damage.")] = 7,
    strings: Annotated[
        Path | None, typer.Option(help="A JSON list of strings that break input handling.", exists=True, dir_okay=False)
    ] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Parse every file: text or a typed reason, seconds, megabytes."""
    from serving import measuring

    _exit(
        ok=measuring.bench_parse(
            lambda overrides: _load(stack, overrides), data, mutate=mutate, seed=seed, strings=strings, json=json
        )
    )


@app.command("bench-pii")
def bench_pii(
    data: Annotated[Path, typer.Argument(help="A folder with texts.jsonl.", exists=True, file_okay=False)],
    json: Json = None,
) -> None:
    """How much personal data the redaction finds in a labelled set."""
    from serving import measuring

    measuring.bench_pii(data, json)


@app.command("swap-report")
def swap_report(
    a: Annotated[
        Path,
        typer.Argument(metavar="A", help="A stack, or the JSON of an earlier report.", exists=True, dir_okay=False),
    ],
    b: Annotated[
        Path, typer.Argument(metavar="B", help="Another stack, or only what changes in A.", exists=True, dir_okay=False)
    ],
    *,
    data: Annotated[Path | None, typer.Option(help="A golden set, or a folder with qa.jsonl or queries.jsonl.")] = None,
    limit: Limit = None,
    repeats: Annotated[
        int,
        typer.Option(min=1, help="How often each question is asked; from three on, a spike of the machine is no cost."),
    ] = 3,
    json: Json = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write it there as one page.", dir_okay=False)
    ] = None,
) -> None:
    """The same questions through two systems: what a swap changes. 0 better or equal, 1 worse, 2 undecided, 3 an error."""
    from serving import swapping, terminal

    try:
        code = swapping.report(a, b, data=data, limit=limit, repeats=repeats, json=json, html=html)
    except SixplyError as error:
        terminal.show_error(error)
        code = 3
    raise typer.Exit(code)


@app.command("cases-from-feedback")
def cases_from_feedback(
    *,
    to: Annotated[
        Path, typer.Option(help="Where the proposals are written for a person to review.", dir_okay=False)
    ] = PROPOSALS,
    take: Annotated[
        Path | None, typer.Option(help="Proposals that were reviewed, to be taken in.", exists=True, dir_okay=False)
    ] = None,
    golden: Annotated[Path | None, typer.Option(help="The golden set; else that of the stack.", dir_okay=False)] = None,
    stack: Stack = STACK,
) -> None:
    """Judged answers become golden cases, after a person's review."""
    from serving import feedback

    if take is None:
        feedback.propose(_load(stack), to, golden)
    else:
        feedback.take(_load(stack), take, golden)


@app.command()
def gate(
    *,
    baseline: Annotated[
        Path | None,
        typer.Option(help="What was committed; else baseline.json of the stack's golden set.", dir_okay=False),
    ] = None,
    renew: Annotated[
        bool, typer.Option("--renew", help="Write today's answers as the baseline, and judge nothing.")
    ] = False,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """The golden set against the committed baseline: blocks what got worse by more than is allowed."""
    from serving import gate as gates

    _exit(ok=gates.gate(stack, baseline=baseline, renew=renew, json=json))


@app.command()
def redteam(
    versions: Annotated[
        list[str] | None, typer.Option("--version", help="Of AgentDojo; may be repeated; v1 if absent.")
    ] = None,
    through: Annotated[
        Literal["executor", "agent"], typer.Option(help="Without a model, or through the running agent.")
    ] = "executor",
    limit: Annotated[int | None, typer.Option(min=1, help="Pairs; through the agent 40 if absent, else all.")] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """AgentDojo's attacks on the executor or on the running agent: none may succeed without a person's approval."""
    from serving import redteam as team

    if through == "agent":
        _exit(ok=team.through_agent(lambda own: _load(stack, own), versions or ["v1"], limit or 40, json))
    else:
        _exit(ok=team.replay(versions or ["v1"], limit, json))


@app.command()
def load(
    *,
    seconds: Annotated[float, typer.Option(min=6, help="Of the overload; the steps before it take a sixth.")] = 60.0,
    rate: Annotated[
        float | None, typer.Option(help="Answers a second that count as the capacity; else measured.")
    ] = None,
    aborts: Annotated[int, typer.Option(min=0, help="Callers that hang up.")] = 1000,
    terms: Annotated[int, typer.Option(min=0, help="Servers that are told to stop under 50 streams.")] = 100,
    plots: Annotated[Path | None, typer.Option(help="A folder for the plots, as SVG.", file_okay=False)] = None,
    earlier: Annotated[
        Path | None,
        typer.Option("--from", help="Measure nothing; show and draw the report in this JSON.", dir_okay=False),
    ] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Latency against offered load, an overload of ten times, callers that leave, and stopping under streams."""
    from serving.load import command
    from serving.load.report import Order
    from serving.swapping import read_json

    data_dir = _load(stack).settings.foundation.data_dir
    plots_in = plots or data_dir / "reports"
    if earlier is not None:
        ok = command.show(read_json(earlier), plots_in=plots_in, json=json)
    else:
        order = Order(stack=stack, data_dir=data_dir, seconds=seconds, rate=rate, aborts=aborts, terms=terms)
        ok = command.run(order, plots_in=plots_in, json=json)
    _exit(ok=ok)


@app.command()
def scale(
    *,
    documents: Annotated[int, typer.Option(min=10, help="Documents that are taken in.")] = 20_000,
    nodes: Annotated[int, typer.Option(min=2, help="Nodes of the local cluster, one processor each.")] = 2,
    json: Json = None,
    stack: Hashed = None,
) -> None:
    """Ingest on a local Ray cluster against one process: the same, also when a node is killed? And how fast?"""
    from serving import scaling

    _exit(ok=scaling.run(scaling.Order(_hashed(stack), documents=documents, nodes=nodes), json))


@app.command("scale-model")
def scale_model(
    *,
    documents: Annotated[int, typer.Option(min=50, help="Documents that are measured.")] = 1000,
    plot: Annotated[Path | None, typer.Option(help="A file for the plot, as SVG.", dir_okay=False)] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Measure what a passage takes here, and what 10,000 to a billion of them would."""
    from serving import scaling

    scaling.run_model(_load(stack), count=documents, json=json, plot=plot)


@app.command()
def leaks(
    *,
    operations: Annotated[int, typer.Option(min=10, help="Reads, writes and deletes.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Of the trial.")] = 7,
    json: Json = None,
    stack: Hashed = None,
) -> None:
    """Random reads, writes and deletes of several tenants at once: does anything cross from one to another?"""
    from serving import isolation

    _exit(ok=isolation.run(_hashed(stack), operations=operations, seed=seed, json=json))


@app.command()
def torture(
    *,
    kills: Annotated[int, typer.Option(min=1, help="How often the process is killed.")] = 200,
    mutations: Annotated[int, typer.Option(min=0, help="How often a file of the closed index is damaged.")] = 50,
    ready_chunks: Annotated[int, typer.Option(min=0, help="Passages at which a restart is timed.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Of the trial, which repeats except for the moments of the kills.")] = 7,
    json: Json = None,
    stack: Hashed = None,
) -> None:
    """Kill the ingesting process, damage its index, fill its disk: is all that it acknowledged still found, and once?"""
    from serving.torture import command
    from serving.torture.report import Order

    order = Order(
        stack=stack or STACK,
        data_dir=_hashed(stack).settings.foundation.data_dir,
        overrides=HASHED if stack is None else {},
        kills=kills,
        mutations=mutations,
        ready_chunks=ready_chunks,
        seed=seed,
    )
    _exit(ok=command.run(order, json))


@app.command("business-case")
def business_case(json: Json = None, stack: Stack = STACK) -> None:
    """What outcomes.toml promises, before anything runs."""
    from serving import measuring

    measuring.business_case(_load(stack), json)


@app.command()
def outcome(
    answer_id: Annotated[str, typer.Argument(metavar="ANSWER", help="The id that its answer shows.")],
    verdict: Annotated[str, typer.Argument(help="accepted, edited, rejected or escalated.")],
    *,
    minutes: Annotated[float | None, typer.Option(help="That a person spent on the case.")] = None,
    note: Annotated[str, typer.Option(help="The text as it was sent, or why it was rejected.")] = "",
    stack: Stack = STACK,
) -> None:
    """Record what became of an answer."""
    from serving import measuring

    measuring.record_outcome(_load(stack), answer_id, verdict, minutes=minutes, note=note)


@app.command()
def roi(json: Json = None, stack: Stack = STACK) -> None:
    """What the recorded outcomes were worth: ship, hold or stop."""
    from serving import measuring

    measuring.roi(_load(stack), json)


@app.command("value-report")
def value_report(
    html: Annotated[
        Path | None, typer.Option(help="Where the page goes; var/reports/value.html if absent.", dir_okay=False)
    ] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """The same as one page that a finance person can read."""
    from serving import measuring

    measuring.write_value_report(_load(stack), html, json)


@app.command("simulate-value")
def simulate_value(
    months: Annotated[int, typer.Option(min=20, help="How many to simulate.")] = 200,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Test the value report on months whose true value is known."""
    from serving import measuring

    _exit(ok=measuring.simulate_value(_load(stack), months, json))


@app.command()
def adapter(
    port: Annotated[str, typer.Argument(help="Such as retrieval/vectors or retrieval.vectors.")],
    name: Annotated[str, typer.Argument(help="What it will be called in stack.toml: small letters, digits and _.")],
) -> None:
    """Write the file of a new adapter, with what is to be written in it."""
    from serving import ports, scaffold, terminal

    found = ports.port(port)
    path = scaffold.write(found, name)
    terminal.console().print(terminal.plain(scaffold.next_steps(found, name, path)))


@app.command()
def parts(
    json: Json = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Also write the page of the documentation there.", dir_okay=False)
    ] = None,
) -> None:
    """Every port with its adapters: what they are, what they need, what they can be told."""
    from serving import catalogue

    catalogue.report(json=json, markdown=markdown)


@app.command()
def pictures(
    page: Annotated[Path, typer.Argument(help="A page with places for them.", dir_okay=False)] = Path("docs/agents.md"),
) -> None:
    """Draw how the agents join their steps, from the code into the page about them."""
    from serving import pictures

    pictures.draw(page)


@app.command("release-check")
def release_check(
    *,
    out: Annotated[Path, typer.Option(help="Where packages and bill of materials go.", file_okay=False)] = Path("dist"),
    json: Json = None,
) -> None:
    """May this tree be released? Builds and starts the packages; bill of materials, licences, locks, known holes."""
    from serving import release

    _exit(ok=release.check(out, json))


@app.command()
def screenshots(
    to: Annotated[Path, typer.Option(help="Folder for them.", file_okay=False)] = Path("docs/pictures"),
    stack: Stack = STACK,
) -> None:
    """Pictures of the page's views, taken in headless Chromium of a system of its own."""
    from serving import screenshots

    screenshots.take(lambda overrides: _load(stack, overrides), to)


@app.command()
def contracts(
    port: Annotated[
        str | None, typer.Option(help="Such as retrieval.vectors or retrieval/vectors; all if absent.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="An adapter, my_pkg.acme:build, or all; the configured one if absent.")
    ] = None,
    options: Annotated[str | None, typer.Option(help="Options for it, as a JSON object.")] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Test which promises of its port a part keeps."""
    from serving import promises

    _exit(ok=promises.run(_load(stack).settings, port, name, options=options, json=json))


def _load(stack: Path, overrides: dict[str, object] | None = None) -> Loaded:
    from foundation.settings import load

    return load(stack, overrides=overrides)


def _hashed(stack: Path | None) -> Loaded:
    return _load(stack or STACK, HASHED if stack is None else None)


def _exit(*, ok: bool) -> None:
    if not ok:
        raise typer.Exit(1)


def main() -> None:
    """Run a command. 1: a check failed. 2: an error, in one text on standard error."""
    os.umask(0o077)  # what is written, also by libraries, is for whoever runs this
    collector.keep_what_is_imported()
    debug = "--debug" in sys.argv[1:]
    if not debug:
        _quiet()
    try:
        app()
    except SixplyError as error:
        if debug:
            raise
        from serving.terminal import show_error

        show_error(error)
        sys.exit(2)


def _quiet() -> None:
    """No progress bars, notices or warnings of libraries between our lines. Nor may they look for a hub."""
    import warnings

    warnings.simplefilter("ignore")
    for name, value in {
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "ANONYMIZED_TELEMETRY": "False",
    }.items():
        os.environ.setdefault(name, value)


if __name__ == "__main__":
    main()
