"""The command line: `sixply COMMAND`, or `python -m serving.cli COMMAND`.

Only what a command needs is imported, when it runs: `--help` answers at once. What takes more than a few lines stands in
`serving/cli/commands.py`; what is printed and how, in `serving/cli/terminal.py`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foundation.errors import InvalidRequest, SixplyError
from foundation.machine import collector
from serving.cli.options import (
    LOCAL,
    PROPOSALS,
    STACK,
    Golden,
    Groups,
    Json,
    Last,
    Limit,
    Note,
    Stack,
    Tenant,
    User,
    exit_unless,
    load_stack,
)

if TYPE_CHECKING:
    pass

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


@app.callback()
def _options(
    *, debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error, and all warnings.")] = False
) -> None:
    """`--debug` is read in `main`, which must know it before anything is imported."""


# -- use it ------------------------------------------------------------------------------------------------------------


@app.command()
def demo(stack: Stack = STACK) -> None:
    """All six layers at work on real models, about a minute."""
    from examples.support_desk.demo import run
    from serving.cli.terminal import console

    exit_unless(ok=run(lambda overrides: load_stack(stack, overrides), console()))


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
    from serving.cli import commands, terminal

    person = commands.local(tenant, roles or ["reader"], groups)
    if text is not None and schema is None:
        raise InvalidRequest("--text is what an object is read from. Give its JSON schema with --schema.")
    if schema is not None:
        exit_unless(ok=commands.ask_as(load_stack(stack), question, person, schema=schema, text=text, json=json))
        return
    seen = terminal.watching() if plan and str(json) != "-" else None
    answer = commands.ask(
        load_stack(stack), question, person, compose=compose, thread_id=thread, as_of=as_of, seen=seen
    )
    if not terminal.write_json(json, answer.model_dump(mode="json")):
        terminal.show_answer(answer, plan=plan)


@app.command()
def serve(stack: Stack = STACK) -> None:
    """Serve the API until stopped."""
    from serving.cli import commands

    commands.serve(load_stack(stack))


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
    from serving.mcp import stdio

    stdio.serve(load_stack(stack), tenant=tenant, roles=roles or ["reader"], groups=groups or [])


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
    from serving.cli import commands

    if (source is None) is not retry:
        raise typer.BadParameter("Name what to ingest, SRC, or say --retry, and not both.")
    if source is None:
        exit_unless(ok=commands.retry(load_stack(stack), tenant=tenant, json=json))
    else:
        ok = commands.ingest(
            load_stack(stack),
            source,
            tenant=tenant,
            groups=groups or [],
            data_class=data_class,
            json=json,
            prune=prune,
        )
        exit_unless(ok=ok)


@app.command()
def documents(tenant: Tenant = LOCAL, groups: Groups = None, json: Json = None, stack: Stack = STACK) -> None:
    """What the ledger holds, and what it refused."""
    from serving.cli import commands

    commands.documents(load_stack(stack), commands.all_of(tenant, groups), json)


@app.command()
def sources(tenant: Tenant = LOCAL, groups: Groups = None, json: Json = None, stack: Stack = STACK) -> None:
    """Where the documents come from."""
    from serving.cli import commands, corpus

    corpus.sources(load_stack(stack), commands.all_of(tenant, groups), json)


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
    from serving.cli import commands, corpus

    scope = commands.all_of(tenant, groups)
    corpus.report(load_stack(stack), scope, days=days, similarity=similarity, json=json)


@app.command("export")
def export_ledger(
    file: Annotated[Path, typer.Argument(help="Where it goes; packed if it ends in .gz.", dir_okay=False)],
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Write the whole ledger to one file: documents of every tenant, their passages and vectors."""
    from serving.cli import corpus

    corpus.export_ledger(load_stack(stack), file, json)


@app.command("import")
def import_ledger(
    file: Annotated[Path, typer.Argument(help="What export wrote.", dir_okay=False)],
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Take in an exported ledger, checked first; nothing is embedded again."""
    from serving.cli import corpus

    corpus.import_ledger(load_stack(stack), file, json)


@app.command()
def reindex(stack: Stack = STACK) -> None:
    """Write all documents anew with the configured embedder and chunker."""
    from serving.cli import commands

    commands.reindex(load_stack(stack))


@app.command()
def approvals(tenant: Tenant = LOCAL, json: Json = None, stack: Stack = STACK) -> None:
    """Actions that wait for a person."""
    from serving.cli import commands

    commands.approvals(load_stack(stack), tenant, json)


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
    from serving.cli import commands, terminal

    answer = commands.decide(load_stack(stack), approval, tenant=tenant, note=note, approve=True, changes=changes or [])
    terminal.show_answer(answer)


@app.command()
def reject(
    approval: Annotated[str, typer.Argument(metavar="ID", help="As the list shows it.")],
    tenant: Tenant = LOCAL,
    note: Note = "",
    stack: Stack = STACK,
) -> None:
    """Forbid one of them."""
    from serving.cli import commands, terminal

    terminal.show_answer(commands.decide(load_stack(stack), approval, tenant=tenant, note=note, approve=False))


@keys.callback(invoke_without_command=True)
def _list_keys(context: typer.Context, stack: Stack = STACK) -> None:
    """API keys: who may call, as whom. Without a command: list them."""
    if context.invoked_subcommand is None:
        list_keys(stack)


@keys.command("list")
def list_keys(stack: Stack = STACK) -> None:
    """Who has a key. The keys themselves are stored nowhere."""
    from serving.cli import commands

    commands.list_keys(load_stack(stack))


@keys.command("add")
def add_key(
    subject: Annotated[str, typer.Option(help="Who it is for.")],
    tenant: Annotated[str, typer.Option(help="Whose documents it opens.")],
    roles: Annotated[list[str], typer.Option("--role", help="reader, agent, approver or operator; may be repeated.")],
    groups: Groups = None,
    stack: Stack = STACK,
) -> None:
    """Make a key and show it, once."""
    from serving.cli import commands

    commands.add_key(load_stack(stack), subject=subject, tenant=tenant, roles=roles, groups=groups or [])


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As the list shows it.")], stack: Stack = STACK
) -> None:
    """Make a key stop working, at once."""
    from serving.cli import commands

    commands.revoke_key(load_stack(stack), key_id)


@facts.callback(invoke_without_command=True)
def _list_facts(context: typer.Context, tenant: Tenant = LOCAL, user: User = None, stack: Stack = STACK) -> None:
    """What is remembered of you, or of a user of the tenant. Without a command: list it."""
    if context.invoked_subcommand is None:
        list_facts(tenant, user, None, stack)


@facts.command("list")
def list_facts(tenant: Tenant = LOCAL, user: User = None, json: Json = None, stack: Stack = STACK) -> None:
    """What is remembered."""
    from serving.cli import commands

    commands.list_facts(load_stack(stack), commands.person(tenant, user), json)


@facts.command("correct")
def correct_fact(
    fact: Annotated[str, typer.Argument(metavar="ID", help="As the list shows it.")],
    text: Annotated[str, typer.Argument(help="What is true.")],
    tenant: Tenant = LOCAL,
    user: User = None,
    stack: Stack = STACK,
) -> None:
    """Put other words in its place."""
    from serving.cli import commands

    commands.correct_fact(load_stack(stack), fact, text, commands.person(tenant, user))


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
    from serving.cli import commands

    if (fact is None) is not every:
        raise typer.BadParameter("Name what to erase, ID, or say --all, and not both.")
    commands.erase_facts(load_stack(stack), fact, commands.person(tenant, user))


# -- look inside -------------------------------------------------------------------------------------------------------


@app.command()
def config(json: Json = None, stack: Stack = STACK) -> None:
    """Every value in force and where it came from; secrets masked."""
    from serving.cli import terminal

    rows = list(load_stack(stack).rows())
    if not terminal.write_json(json, {key: {"value": value, "from": origin} for key, value, origin in rows}):
        terminal.show_table(["setting", "value", "from"], rows)


@app.command()
def doctor(json: Json = None, stack: Stack = STACK) -> None:
    """Check this machine and this configuration; say what to do."""
    from serving.cli import commands

    exit_unless(ok=commands.doctor(load_stack(stack), json))


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
    from serving.cli import commands

    commands.traces(load_stack(stack), limit, json, every=every)


@app.command()
def trace(
    trace_id: Annotated[str, typer.Argument(metavar="ID", help="A trace id, its first digits, or last.")],
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """One request's spans, its bill by layer, and what the audit has of it."""
    from serving.cli import commands

    commands.trace(load_stack(stack), trace_id, json)


@app.command()
def slow(
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    last: Last = 500,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """The slowest of the latest requests, and what each layer takes."""
    from serving.cli import commands

    commands.slow(load_stack(stack), limit, last, json)


@app.command()
def failures(last: Last = 500, json: Json = None, stack: Stack = STACK) -> None:
    """How the latest requests failed, and where it began."""
    from serving.cli import commands

    commands.failures(load_stack(stack), last, json)


@app.command()
def forecast(json: Json = None, stack: Stack = STACK) -> None:
    """What the next 30 days will cost, from the days so far."""
    from serving.cli import commands

    commands.forecast(load_stack(stack), json)


@app.command()
def costs(
    by: Annotated[str, typer.Option(help="tenant, model, layer, kind, day or outcome.")] = "layer",
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Money spent."""
    from serving.cli import commands

    commands.costs(load_stack(stack), by, json)


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
    from serving.cli import oversight

    oversight.policy(
        load_stack(stack), json, roles=roles or [], tenant=tenant, tool=tool, model=model, data_class=data_class
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
    from serving.cli import system_card

    exit_unless(ok=system_card.system_card(load_stack(stack), register=register, html=html, json=json))


@app.command()
def stop(
    what: Annotated[str, typer.Argument(help="effects, all, tenant:NAME or model:NAME")],
    *,
    why: Annotated[str, typer.Option(help="It is told to everybody who is refused.")],
    stack: Stack = STACK,
) -> None:
    """Kill switch: holds from the next step of any work, in every process, until it is lifted."""
    from serving.cli import oversight

    oversight.switch(load_stack(stack), what, why=why)


@app.command()
def lift(
    what: Annotated[str, typer.Argument(help="As it was stopped.")],
    stack: Stack = STACK,
) -> None:
    """Let work again what was stopped."""
    from serving.cli import oversight

    oversight.switch(load_stack(stack), what, why=None)


@app.command()
def stops(json: Json = None, stack: Stack = STACK) -> None:
    """What is stopped, by whom and why."""
    from serving.cli import oversight

    oversight.show_stops(load_stack(stack), json)


@app.command()
def drift(
    days: Annotated[float, typer.Option(min=0.001, help="The last so many days, against as many before.")] = 7,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """What has changed since last week: quality, questions, refusals, time, cost, parts. 1: something moved."""
    from serving.cli import commands

    exit_unless(ok=commands.drift(load_stack(stack), days, json))


@app.command()
def erase(
    *,
    user: Annotated[str, typer.Option(help="The subject of their key, as `sixply keys` lists it.")],
    tenant: Tenant = LOCAL,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Erase everything that one person said, asked and was told; says of each store what went and what stays."""
    from serving.cli import erasure

    exit_unless(ok=erasure.erase(load_stack(stack), tenant, user, json))


@app.command()
def retention(json: Json = None, stack: Stack = STACK) -> None:
    """Take out what is older than [foundation.retention] allows; for a daily timer."""
    from serving.cli import erasure

    erasure.retain(load_stack(stack), json)


@app.command("audit-verify")
def audit_verify(
    *,
    head: Annotated[str | None, typer.Option(help="A head kept elsewhere, as count:hash.")] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Is the audit whole? Finds an edited, dropped or reordered record."""
    from serving.cli import oversight

    exit_unless(ok=oversight.audit_verify(load_stack(stack), head, json))


# -- measure -----------------------------------------------------------------------------------------------------------


@app.command()
def evaluate(
    golden: Golden = None,
    limit: Limit = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Score a golden set against the documents in the ledger."""
    from serving.cli import measuring

    measuring.evaluate(load_stack(stack), golden, limit, json)


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
    from serving.cli import judging

    exit_unless(ok=judging.judge_agreement(load_stack(stack), data, limit, json))


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
    from serving.cli import measuring

    measuring.calibrate(lambda overrides: load_stack(stack, overrides), data, foreign, limit, json)


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
    from serving.cli import swap_report, terminal

    try:
        code = swap_report.report(a, b, data=data, limit=limit, repeats=repeats, json=json, html=html)
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
    from serving.cli import feedback

    if take is None:
        feedback.propose(load_stack(stack), to, golden)
    else:
        feedback.take(load_stack(stack), take, golden)


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
    from serving.cli import gate as gates

    exit_unless(ok=gates.gate(stack, baseline=baseline, renew=renew, json=json))


@app.command("business-case")
def business_case(json: Json = None, stack: Stack = STACK) -> None:
    """What outcomes.toml promises, before anything runs."""
    from serving.cli import measuring

    measuring.business_case(load_stack(stack), json)


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
    from serving.cli import measuring

    measuring.record_outcome(load_stack(stack), answer_id, verdict, minutes=minutes, note=note)


@app.command()
def roi(json: Json = None, stack: Stack = STACK) -> None:
    """What the recorded outcomes were worth: ship, hold or stop."""
    from serving.cli import measuring

    measuring.roi(load_stack(stack), json)


@app.command("value-report")
def value_report(
    html: Annotated[
        Path | None, typer.Option(help="Where the page goes; var/reports/value.html if absent.", dir_okay=False)
    ] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """The same as one page that a finance person can read."""
    from serving.cli import measuring

    measuring.write_value_report(load_stack(stack), html, json)


@app.command()
def adapter(
    port: Annotated[str, typer.Argument(help="Such as retrieval/vectors or retrieval.vectors.")],
    name: Annotated[str, typer.Argument(help="What it will be called in stack.toml: small letters, digits and _.")],
) -> None:
    """Write the file of a new adapter, with what is to be written in it."""
    from serving.cli import terminal
    from serving.parts import ports, scaffold

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
    from serving.parts import list_parts

    list_parts.report(json=json, markdown=markdown)


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
    from serving.parts import contract_tests

    exit_unless(ok=contract_tests.run(load_stack(stack).settings, port, name, options=options, json=json))


def main() -> None:
    """Run a command of the product."""
    run(app)


def run(commands: typer.Typer) -> None:
    """Run a command. 1: a check failed. 2: an error, in one text on standard error."""
    os.umask(0o077)  # what is written, also by libraries, is for whoever runs this
    collector.keep_what_is_imported()
    debug = "--debug" in sys.argv[1:]
    if not debug:
        _quiet()
    try:
        commands()
    except SixplyError as error:
        if debug:
            raise
        from serving.cli.terminal import show_error

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
