"""The lab's commands: `python -m lab.cli COMMAND`; `make lab` lists them. Each imports what it needs when it runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from lab.options import FOLLOW_UPS, HASHED, OBJECTS, Data, Hashed, TunedPart, hashed_stack
from serving.cli.main import run
from serving.cli.options import STACK, Json, Limit, Stack, exit_unless, load_stack


class _Group(TyperGroup):
    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - click calls it so
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(200)) for name, command in self.commands.items()])


app = typer.Typer(
    cls=_Group,
    help="What proves the template. `make COMMAND NAME=value` runs one of these too: its --data is DATA=folder there.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _options(
    *, debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error, and all warnings.")] = False
) -> None:
    """`--debug` is read in `run`, which must know it before anything is imported."""


@app.command()
def attack(
    only: Annotated[list[str] | None, typer.Option("--only", help="The name of an attack; may be repeated.")] = None,
    *,
    reopen: Annotated[
        bool, typer.Option("--reopen", help="Open each hole again first: the suite must then find it.")
    ] = False,
    json: Json = None,
) -> None:
    """Attack a running server in every way that the suite knows. Fails if anything gets through."""
    from lab.attacks import command

    raise typer.Exit(0 if command.run(only or [], reopen=reopen, json=json) else 1)


@app.command("assistant-trial")
def assistant_trial(
    task: Annotated[str, typer.Option("--task", help="A task of lab/trial/tasks by its name, or a file.")],
    command: Annotated[
        str, typer.Option("--cmd", help="The assistant's command line; it reads the task on standard input.")
    ],
    *,
    assistant: Annotated[str | None, typer.Option(help="Its name in the table; the program's if absent.")] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="After which it is stopped.")] = 60,
    table: Annotated[
        Path, typer.Option(help="JSON of all trials; the same as Markdown stands beside it.", dir_okay=False)
    ] = Path("var/reports/assistant-trials.json"),
) -> None:
    """Give a coding assistant a fresh copy and a task; contracts, checks and tests decide. Fails if it was not done."""
    from lab.trial import command as trial
    from serving.cli import terminal

    name = assistant or Path(command.split()[0]).name
    row = trial.try_assistant(trial.read_task(task), command, assistant=name, minutes=minutes)
    trial.append_row(table, row)
    terminal.show_table(list(row), [[*row.values()]])
    exit_unless(ok=row["passed"])


@app.command()
def fuzz(
    bodies: Annotated[int, typer.Option(min=1, help="Requests in all.")] = 10_000,
    seed: Annotated[int, typer.Option(help="The same one sends the same bodies.")] = 7,
    json: Json = None,
) -> None:
    """Send bodies of odd sizes and shapes to every route. Fails on a 500, a blocked health or memory without bound."""
    from lab.attacks import fuzz as fuzzer

    raise typer.Exit(0 if fuzzer.run(bodies=bodies, seed=seed, json_path=json) else 1)


@app.command()
def house(json: Json = None) -> None:
    """How much there is to own: lines, files by folder, longest files and functions, names, beside what is aimed at."""
    from lab import house as counting

    counting.run(json)


@app.command()
def mutate(
    count: Annotated[int, typer.Option(min=1, help="How many are drawn.")] = 300,
    limit: Annotated[int, typer.Option(min=1, help="How many of them are tried, the first so many.")] = 60,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 7,
    json: Json = None,
) -> None:
    """Small faults, put into the six layers one at a time: do the tests that are nearest notice? Some 15 seconds each."""
    from lab import mutate as trial

    trial.run(count=count, limit=limit, seed=seed, json=json)


@app.command()
def new(
    name: Annotated[str, typer.Option(help="Of the project, like acme-desk.")],
    folder: Annotated[
        Path, typer.Option("--dir", help="Where it is written; a new or an empty folder.", file_okay=False)
    ],
    *,
    extensions: Annotated[str, typer.Option("--with", help="Extensions that it has: page,audit.")] = "",
    check: Annotated[
        Literal["0", "1", "own"],
        typer.Option(
            help="1: it starts and answers here, a minute; own: its README, guards and tests in its own environment, as its owner has it; "
            "0: nothing."
        ),
    ] = "1",
) -> None:
    """Write a new project: the six layers under your name, the extensions that you name, your starting files; then check it."""
    from lab.project.choices import Choices
    from lab.project.new import make_project

    names = tuple(name.strip() for name in extensions.split(",") if name.strip())
    exit_unless(ok=make_project(folder, Choices(name=name, extensions=names), check))


@app.command("bench-retrieval")
def bench_retrieval(data: Data, limit: Limit = None, json: Json = None, stack: Stack = STACK) -> None:
    """Retrieval on a folder with corpus.jsonl, queries.jsonl and qrels/test.tsv."""
    from lab.bench import commands as bench

    bench.bench_retrieval(lambda overrides: load_stack(stack, overrides), data, limit, json)


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
    from lab.bench import commands as bench

    bench.bench_ingest(
        lambda overrides: load_stack(stack, overrides), data, limit=limit, chunks=chunks, against=against, json=json
    )


@app.command("bench-index")
def bench_index(
    *,
    chunks: Annotated[int, typer.Option(min=100, help="Passages, most of them nearly alike.")] = 50_000,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """The vector index against exact search among near-duplicates, and what a query costs there."""
    from lab.bench import commands as bench

    bench.bench_index(lambda overrides: load_stack(stack, overrides), chunks=chunks, json=json)


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
    from lab.bench import encoder

    encoder.bench_encoder(
        lambda overrides: load_stack(stack, overrides),
        stack,
        data,
        limit=limit,
        rounds=rounds,
        threads=threads,
        json=json,
    )


@app.command("bench-answers")
def bench_answers(
    *,
    data: Data,
    foreign: Annotated[
        Path | None,
        typer.Option(help="A folder of questions that this corpus does not answer.", exists=True, file_okay=False),
    ] = None,
    limit: Limit = None,
    plot: Annotated[Path | None, typer.Option(help="A file for risk against coverage, as SVG.", dir_okay=False)] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Answers on a folder with corpus.jsonl and qa.jsonl, and the risk of answering more of them."""
    from lab.bench import commands as bench

    bench.bench_answers(lambda overrides: load_stack(stack, overrides), data, limit, json, foreign=foreign, plot=plot)


@app.command("bench-attacks")
def bench_attacks(
    *,
    data: Data,
    limit: Limit = None,
    rows: Annotated[
        Path | None,
        typer.Option(help="Keep each answer in this file; a run that was stopped goes on from it.", dir_okay=False),
    ] = None,
    agent: Annotated[
        Literal["tool_calling"] | None,
        typer.Option(help="That one, with a double for its model that calls every tool there is."),
    ] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Instructions hidden in documents against the running agent: attack success beside the use of its answers."""
    from lab.bench import commands as bench

    exit_unless(ok=bench.bench_attacks(partial(load_stack, stack), data, limit, rows, json, agent=agent))


@app.command("bench-followups")
def bench_followups(
    data: Annotated[
        Path, typer.Argument(help="A folder in BEIR layout with histories, or a file of follow-ups.", exists=True)
    ] = FOLLOW_UPS,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Retrieval of follow-up questions: the last turn as asked, and read with its conversation."""
    from lab.bench import commands as bench

    bench.bench_follow_ups(lambda overrides: load_stack(stack, overrides), data, json)


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
    from lab.bench import commands as bench

    bench.bench_structured(lambda overrides: load_stack(stack, overrides), data, limit, json)


@app.command("bench-verify")
def bench_verify(data: Data, limit: Limit = None, json: Json = None, stack: Stack = STACK) -> None:
    """How well `verify` tells supported claims from others: a folder with claims.jsonl or human_judgements.jsonl."""
    from lab.bench import commands as bench

    bench.bench_verify(lambda overrides: load_stack(stack, overrides), data, limit, json)


@app.command("bench-team")
def bench_team(limit: Limit = None, json: Json = None) -> None:
    """The team of agents against the single agent: quality, time, money. Fails only where it cannot run."""
    from extensions.swap_report.command import report

    report(STACK, Path("examples/team/swap.toml"), data=None, limit=limit, repeats=1, json=json, html=None)


@app.command("bench-claims")
def bench_claims(
    *,
    data: Annotated[
        list[Path],
        typer.Argument(
            help="Folders with qa.jsonl, claims.jsonl or human_judgements.jsonl.", exists=True, file_okay=False
        ),
    ],
    limit: Annotated[int | None, typer.Option(min=1, help="True answers of each folder.")] = None,
    half: Annotated[
        Literal["development", "report", "all"], typer.Option(help="Which half of each folder's true answers.")
    ] = "report",
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Written answers against the passages that they cite: true ones shown unmarked, false ones with a mark."""
    from lab.bench import commands as bench

    bench.bench_claims(lambda overrides: load_stack(stack, overrides), data, limit, half, json)


@app.command("bench-meaning")
def bench_meaning(
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Files of passages with statements, folders of claims; else 120 statements of ours.", exists=True
        ),
    ] = None,
    *,
    by: Annotated[
        Literal["known", "entailment", "claims", "judge"],
        typer.Option(help="What is always checked, the part of [models.entailment], or one of the extensions."),
    ] = "judge",
    limit: Annotated[int | None, typer.Option(min=1, help="Answers of each.")] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Which share of false statements is marked, and of true ones in other words: by what is configured here."""
    from lab.bench import commands as bench
    from lab.bench.meaning import OURS

    bench.bench_meaning(lambda overrides: load_stack(stack, overrides), data or [OURS], by, limit, json)


@app.command("bench-tau")
def bench_tau(data: Data, json: Json = None, stack: Stack = STACK) -> None:
    """tau-bench's airline through the executor: what its tasks expect passes, what its policy forbids is denied with a quote."""
    from lab.bench import commands as bench

    exit_unless(ok=bench.bench_tau(lambda overrides: load_stack(stack, overrides), data, json))


@app.command()
def replay(
    *,
    data: Annotated[Path, typer.Argument(help="A folder with conversations.jsonl.", exists=True, file_okay=False)],
    world: Annotated[
        Path | None,
        typer.Option(help="A folder with the database of its tools; else it is looked for beside.", file_okay=False),
    ] = None,
    model: Annotated[str, typer.Option(help="Who spoke when it was recorded, for the prices: openai/gpt-4o.")] = "",
    approvals: Annotated[bool, typer.Option("--approvals", help="A second person approves all that writes.")] = False,
    kills: Annotated[bool, typer.Option("--kills", help="The process is killed at random steps.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Conversations; with kills 20.")] = None,
    seed: Annotated[int, typer.Option(help="Of the kills.")] = 7,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Recorded conversations of a real model through the whole agent: does it carry them as they were?"""
    from lab.replay import command

    options = command.Options(
        stack=stack, data=data, world=world, model=model, approvals=approvals, kills=kills, limit=limit, seed=seed
    )
    exit_unless(ok=command.run(options, json))


@app.command("train-verify")
def train_verify(
    claims: Annotated[Path, typer.Argument(help="Judged claims, one JSON object a line.", exists=True, dir_okay=False)],
    to: Annotated[Path, typer.Option(help="Where the judge is written.", dir_okay=False)] = Path(
        "models/entailment/signs.json"
    ),
    stack: Stack = STACK,
) -> None:
    """Train the judge of `verify` on judged claims; for another embedder, or for claims of your own field."""
    from lab.bench import commands as bench

    bench.train_verify(lambda overrides: load_stack(stack, overrides), claims, to)


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
    from lab.finetune.command import Order, finetune

    loaded = load_stack(stack)
    order = Order(
        data=data,
        to=to or Path("weights") / f"tuned-{part}",
        seed=loaded.settings.foundation.seed if seed is None else seed,
        limit=limit,
        epochs=epochs,
    )
    exit_unless(ok=finetune(lambda overrides: load_stack(stack, overrides), part, order, json))


@app.command("bench-telemetry")
def bench_telemetry(
    *,
    rounds: Annotated[int, typer.Option(min=4, help="Each does the requests traced and untraced.")] = 20,
    block: Annotated[int, typer.Option(min=1, help="Requests of a round.")] = 20,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """What telemetry costs: searches and answers over HTTP with it and without it, in turns."""
    from lab.bench import commands as bench

    exit_unless(
        ok=bench.bench_telemetry(lambda overrides: load_stack(stack, overrides), rounds=rounds, block=block, json=json)
    )


@app.command("bench-cache")
def bench_cache(
    data: Data,
    limit: Annotated[int, typer.Option(min=1, help="Different questions in the log.")] = 100,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """The answer cache on a log with repeats and paraphrases, made of a folder's qa.jsonl: what it saves, where it errs."""
    from lab.bench import commands as bench

    bench.bench_cache(lambda overrides: load_stack(stack, overrides), data, limit, json)


@app.command("bench-context")
def bench_context(
    *,
    window: Annotated[list[int] | None, typer.Option(help="Of the model, in tokens; may be repeated.")] = None,
    facts: Annotated[int, typer.Option(min=1, max=26, help="Told at the beginning, and asked for at the end.")] = 20,
    turns: Annotated[int, typer.Option(min=0, help="Between telling and asking.")] = 300,
    rounds: Annotated[int, typer.Option(min=2, max=90, help="Searches of one answer.")] = 30,
    json: Json = None,
    stack: Hashed = None,
) -> None:
    """What a long conversation keeps and costs in a window: facts, searches, effects; English and Chinese. The model is a double."""
    from lab.bench import commands as bench

    def configure(overrides: Any) -> Any:
        return load_stack(stack or STACK, {**(HASHED if stack is None else {}), **overrides})

    bench.bench_context(configure, window or [8_192, 32_000], facts=facts, turns=turns, rounds=rounds, json=json)


@app.command("bench-tables")
def bench_tables(
    questions: Annotated[
        Path | None,
        typer.Option(
            help="Questions with typed queries and results; without it all of the lab's.", exists=True, dir_okay=False
        ),
    ] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Questions to tables: right, refused, and plausible but wrong, by typed queries and by the system alone."""
    from lab.bench import commands as bench

    bench.bench_tables(lambda overrides: load_stack(stack, overrides), questions, json)


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
    from lab.bench import commands as bench

    exit_unless(
        ok=bench.bench_parse(
            lambda overrides: load_stack(stack, overrides), data, mutate=mutate, seed=seed, strings=strings, json=json
        )
    )


@app.command("bench-pii")
def bench_pii(
    data: Annotated[Path, typer.Argument(help="A folder with texts.jsonl.", exists=True, file_okay=False)],
    json: Json = None,
) -> None:
    """How much personal data the redaction finds in a labelled set."""
    from lab.bench import commands as bench

    bench.bench_pii(data, json)


@app.command()
def redteam(
    *,
    versions: Annotated[
        list[str] | None,
        typer.Option("--version", help="Of AgentDojo; may be repeated; if absent v1, without a model also v1.2.2."),
    ] = None,
    through: Annotated[
        Literal["executor", "agent"], typer.Option(help="Without a model, or through the running agent.")
    ] = "executor",
    limit: Annotated[int | None, typer.Option(min=1, help="Pairs; through the agent 40 if absent, else all.")] = None,
    agent: Annotated[
        Literal["tool_calling", "graph"] | None,
        typer.Option(help="Through the agent: that one. Else tool_calling: a double in its loop makes the calls."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=98, help="For which that double repeats its calls.")] = 30,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """AgentDojo's attacks on the executor or on the running agent: none may succeed without a person's approval."""
    from lab.redteam import command as team

    configure = partial(load_stack, stack)
    if through == "agent":
        exit_unless(ok=team.through_agent(configure, versions or ["v1"], limit or 40, json, agent=agent))
    elif agent in (None, "tool_calling"):
        in_loop = configure if agent else None
        exit_unless(ok=team.replay(versions or ["v1", "v1.2.2"], limit, json, configure=in_loop, rounds=rounds))
    else:
        raise typer.BadParameter(f"{agent} goes with --through agent: its model plans, and makes no calls of its own.")


@app.command("first-token")
def first_token(
    rounds: Annotated[int, typer.Option(min=1, help="Answers of each stream.")] = 3,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """How long a caller waits for the first word of a stream, behind the provider's own, at 1, 10 and 50 streams."""
    from lab.load import first_token as measuring
    from lab.load.report import Order

    order = Order(stack=stack, data_dir=load_stack(stack).settings.foundation.data_dir)
    exit_unless(ok=measuring.run(order, rounds, json))


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
    from lab.load import command
    from lab.load.report import Order
    from serving.cli.judge.gate import read_json

    data_dir = load_stack(stack).settings.foundation.data_dir
    plots_in = plots or data_dir / "reports"
    if earlier is not None:
        ok = command.show(read_json(earlier), plots_in=plots_in, json=json)
    else:
        order = Order(stack=stack, data_dir=data_dir, seconds=seconds, rate=rate, aborts=aborts, terms=terms)
        ok = command.run(order, plots_in=plots_in, json=json)
    exit_unless(ok=ok)


@app.command()
def scale(
    *,
    documents: Annotated[int, typer.Option(min=10, help="Documents that are taken in.")] = 20_000,
    nodes: Annotated[int, typer.Option(min=2, help="Nodes of the local cluster, one processor each.")] = 2,
    json: Json = None,
    stack: Hashed = None,
) -> None:
    """Ingest on a local Ray cluster against one process: the same, also when a node is killed? And how fast?"""
    from lab.scale import trial

    exit_unless(ok=trial.run(trial.Order(hashed_stack(stack), documents=documents, nodes=nodes), json))


@app.command("scale-model")
def scale_model(
    *,
    documents: Annotated[int, typer.Option(min=50, help="Documents that are measured.")] = 1000,
    plot: Annotated[Path | None, typer.Option(help="A file for the plot, as SVG.", dir_okay=False)] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Measure what a passage takes here, and what 10,000 to a billion of them would."""
    from lab.scale import trial

    trial.run_model(load_stack(stack), count=documents, json=json, plot=plot)


@app.command("scale-sizes")
def scale_sizes(
    *,
    passages: Annotated[
        list[int] | None, typer.Option(min=1_000, help="Numbers of passages; default 10,000 and 100,000.")
    ] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """What a question, a change and a start cost among so many passages, beside the plain search."""
    from lab.scale import sizes

    sizes.run(stack, passages or [10_000, 100_000], json)


@app.command()
def leaks(
    *,
    operations: Annotated[int, typer.Option(min=10, help="Reads, writes and deletes.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Of the trial.")] = 7,
    json: Json = None,
    stack: Hashed = None,
) -> None:
    """Random reads, writes and deletes of several tenants at once: does anything cross from one to another?"""
    from lab.faults import leaks

    exit_unless(ok=leaks.run(hashed_stack(stack), operations=operations, seed=seed, json=json))


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
    from lab.faults import torture_command
    from lab.faults.torture import Order

    order = Order(
        stack=stack or STACK,
        data_dir=hashed_stack(stack).settings.foundation.data_dir,
        overrides=HASHED if stack is None else {},
        kills=kills,
        mutations=mutations,
        ready_chunks=ready_chunks,
        seed=seed,
    )
    exit_unless(ok=torture_command.run(order, json))


@app.command("simulate-value")
def simulate_value(
    months: Annotated[int, typer.Option(min=20, help="How many to simulate.")] = 200,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Test the value report on months whose true value is known."""
    from lab.bench import commands as bench

    exit_unless(ok=bench.simulate_value(load_stack(stack), months, json))


@app.command()
def pictures(
    page: Annotated[Path, typer.Argument(help="A page with places for them.", dir_okay=False)] = Path("docs/agents.md"),
) -> None:
    """Draw how the agents join their steps, from the code into the page about them."""
    from lab.release import pictures

    pictures.draw(page)


@app.command("release-check")
def release_check(
    *,
    out: Annotated[Path, typer.Option(help="Where packages and bill of materials go.", file_okay=False)] = Path("dist"),
    json: Json = None,
) -> None:
    """May this tree be released? Builds and starts the packages; bill of materials, licences, locks, known holes."""
    from lab.release import check

    exit_unless(ok=check.check(out, json))


@app.command()
def screenshots(
    to: Annotated[Path, typer.Option(help="Folder for them.", file_okay=False)] = Path("docs/pictures"),
    stack: Stack = STACK,
) -> None:
    """Pictures of the page's views, taken in headless Chromium of a system of its own."""
    from lab.release import screenshots

    screenshots.take(lambda overrides: load_stack(stack, overrides), to)


def main() -> None:
    """Run a command. 1: a check failed. 2: an error, in one text on standard error."""
    run(app)


if __name__ == "__main__":
    main()
