"""`make demo`: the six layers one after the other, on the support desk of examples/support_desk.

Each part does real work, prints its results and checks them; they are also written to `var/demo/reports/demo.json`. Questions
and expected answers are in `examples/support_desk/story.toml`. The demo has a data folder of its own, so that its documents,
memories and refunds change no answer of your system.
"""

from __future__ import annotations

import asyncio
import json
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from examples.support_desk.demo_console import Stage
from foundation.errors import Conflict, Forbidden, InvalidRequest
from foundation.stores.sqlite_file import connect_to_read
from foundation.types import LAYERS, Principal
from serving.cli.terminal import plain, write_json
from serving.settings import Loaded
from serving.wiring import System, open_system

if TYPE_CHECKING:
    from orchestration.actions import Decision
    from orchestration.events import Answer

HOME = Path("examples/support_desk")
DESK = "desk.sqlite"
FOLDER = "demo"
"""Folder below the data folder."""


@dataclass(frozen=True)
class Story:
    """The questions of the demo, the people who ask, and the expected answers."""

    people: dict[str, Principal]
    text: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Story:
        text = tomllib.loads(path.read_text(encoding="utf-8"))
        people = {
            name: Principal(
                subject=person["subject"],
                tenant=person["tenant"],
                roles=frozenset(person["roles"]),
                groups=frozenset(person.get("groups", ())),
            )
            for name, person in text["people"].items()
        }
        return cls(people=people, text=text)

    def scene(self, name: str) -> dict[str, Any]:
        return next(scene for scene in self.text["scenes"] if scene["name"] == name)


def run(load: Callable[[dict[str, object] | None], Loaded], console: Console) -> bool:
    """Run the six parts in the data folder's `demo`. Return whether all passed; the report is written in any case.

    `load` reads the configuration with overrides.

    Raises:
        InvalidRequest: the example world is missing, as in an installation without a clone.
    """
    stage, begun = Stage(console), time.perf_counter()
    data_dir = load(None).settings.foundation.data_dir / FOLDER
    loaded = load({"foundation": {"data_dir": str(data_dir)}})
    if not HOME.is_dir():
        raise InvalidRequest(f"The demonstration plays in {HOME}, which is not here. Run it from the root of a clone.")
    story = Story.read(HOME / "story.toml")
    console.print(
        "[bold]Sixply[/]: one system, six layers, on the support desk of a fictional maker of label printers."
    )
    for file in data_dir.glob(f"{DESK}*"):  # with its log: a desk from its seed allows the refund again
        file.unlink()
    try:
        with open_system(loaded, corpus=HOME / "corpus") as system:
            foundation(stage, loaded, system)
            models(stage, story, system)
            retrieval(stage, story, system)
            shown = asyncio.run(orchestration(stage, story, system))
            serving(stage, story, system)
            observability(stage, loaded, system, shown)
    finally:
        report = report_of(stage, seconds=time.perf_counter() - begun)
        write_json(data_dir / "reports" / "demo.json", report)
    closing(stage, report, data_dir)
    return bool(report["ok"])


def foundation(stage: Stage, loaded: Loaded, system: System) -> None:
    from foundation.machine.manifest import digest_of_files
    from models.weights import BUNDLED

    with stage.part("foundation", "what is in force, and where each value came from") as report:
        rows = list(loaded.rows())
        rules = [row for row in rows if row[0].startswith("orchestration.policy.") and row[2] != "default"]
        changed = [row for row in rows if row[2] not in ("default", "stack.toml") and row not in rules]
        stage.table(["setting", "value", "from"], [row for row in rows if row[0].endswith(".use")] + changed)
        stage.say("rules", f"{len(rules)} of policy.toml or the stack; make policy explains them")
        run_ = asdict(system.manifest)
        stage.say(
            "python", f"{run_['python']}, {', '.join(f'{n} {v}' for n, v in list(run_['libraries'].items())[1:7])}"
        )
        for name, digest in run_["weights"].items():
            stage.say("weights", f"sha256 {digest[:16]}…  {name}")
        stage.say("corpus", f"sha256 {run_['corpus'][:16]}…  {HOME / 'corpus'}")
        stage.say("manifest", f"{run_['manifest_id']}, carried by every trace of this run")
        pinned = {weights.name: weights.sha256 for weights in BUNDLED}
        stage.check(
            "the bundled weights are the pinned ones, by SHA-256",
            holds=run_["weights"] == pinned,
            found=run_["weights"],
        )
        stage.check(
            "the manifest names the corpus that is read now", holds=run_["corpus"] == digest_of_files([HOME / "corpus"])
        )
        report.figures |= {"manifest": run_, "settings": {key: [value, origin] for key, value, origin in rows}}


def models(stage: Stage, story: Story, system: System) -> None:
    from models.embedding import embed
    from models.pricing import call_of

    with stage.part("models", "they load, they answer, they have a price") as report:
        asked = story.text["models"]
        begun = time.perf_counter()
        reply = asyncio.run(system.models.chat.ainvoke(asked["prompt"]))
        seconds = time.perf_counter() - begun
        call = call_of(system.models.chat, reply, seconds=seconds, at=system.context.clock.now())
        price = system.models.prices.price(call)
        text = reply.text.strip()
        stage.say("chat model", f"{call.model} ({call.provider}{', on this machine' if call.local else ''})")
        stage.say("asked", asked["prompt"])
        stage.say("replied", text)
        stage.say("used", f"{call.usage.input_tokens} tokens in, {call.usage.output_tokens} out, {seconds:.2f} s")
        stage.say("price", f"{'unpriced' if price.usd is None else f'${price.usd:.7f}'} ({price.basis})")
        vectors = embed(system.models.embedder, [asked["sentence"], asked["paraphrase"], asked["other"]])
        alike, unlike = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
        stage.say("embedder", f"{system.settings.models.embedder.use}, {vectors.shape[1]} dimensions")
        stage.say("similarity", f"{alike:.2f} of a paraphrase, {unlike:.2f} of another subject (cosine, at most 1)")
        stage.check("the language model answers", holds=bool(text))
        stage.check("its answer has a price", holds=price.usd is not None, found=price.basis)
        stage.check("the embedder puts the paraphrase nearer", holds=alike > unlike, found=(alike, unlike))
        report.figures |= {
            "model": call.model,
            "reply": text,
            "seconds": seconds,
            "usd": price.usd,
            "basis": price.basis,
        }
        report.figures |= {"similarity_paraphrase": alike, "similarity_other": unlike}


def retrieval(stage: Stage, story: Story, system: System) -> None:
    from foundation.types import EVERY_TENANT
    from retrieval.ingest.folders import read_folder

    with stage.part("retrieval", "documents become cited, permitted evidence") as report:
        items = read_folder(HOME / "corpus", tenant=EVERY_TENANT)
        with stage.progress("ingest", len(items)) as advance:
            done = system.retrieval.ingestor.ingest(items, progress=advance)
        stored = len(items) - len(done.refused)
        stage.say(
            "documents",
            f"{stored} of {len(items)}: {done.added} new, {done.replaced} replaced, {done.unchanged} unchanged",
        )
        stage.say("chunks", f"{system.retrieval.vectors.count()} in the index, {done.embedded} embedded just now")
        stage.say("seconds", f"{done.seconds:.1f}")
        stage.table(
            ["refused", "reason", "what it says"], [(each.uri, each.reason, each.message) for each in done.refused]
        )
        wanted = set(story.text["retrieval"]["refused"])
        refused = {each.uri for each in done.refused}
        stage.check(
            "every readable document is stored, and the unreadable ones have a reason",
            holds=refused == wanted,
            found=refused,
        )

        query = story.text["retrieval"]["query"]
        hits = system.retriever.retrieve(query, system.policy.scope(story.people["customer"]), limit=3)
        stage.say("query", query)
        stage.table(
            ["", "document", "section", "rank by each search"],
            [
                (
                    f"{rank}.",
                    hit.source.uri,
                    " › ".join(hit.chunk.heading_path[-2:]),
                    ", ".join(f"{search} {at}" for search, at in hit.ranks.items()),
                )
                for rank, hit in enumerate(hits, 1)
            ],
        )
        stage.check(
            "both searches, by keywords and by vectors, took part",
            holds={search for hit in hits for search in hit.ranks} == {"keyword", "vector"},
        )
        report.figures |= {
            "documents": stored,
            "chunks": system.retrieval.vectors.count(),
            "embedded": done.embedded,
            "seconds": done.seconds,
        }
        report.figures["refused"] = [
            {"uri": each.uri, "reason": each.reason, "message": each.message} for each in done.refused
        ]


async def orchestration(stage: Stage, story: Story, system: System) -> Answer:
    """Ask the scenes of the story one by one; return the first answer, which part six examines."""
    from orchestration.requests import AnswerRequest
    from orchestration.run.answering import answer

    with stage.part("orchestration", "answer, act, wait for a person, or say no") as report:
        shown: Answer | None = None
        for scene in story.text["scenes"]:
            given = await answer(system.agent, AnswerRequest(question=scene["question"]), story.people[scene["who"]])
            stage.show(given)
            judge(stage, scene, given)
            report.figures[scene["name"]] = given.model_dump(mode="json")
            if scene.get("approver"):
                await approve(stage, story, system, scene, given)
            if scene.get("poisoned"):
                check_poison(stage, story, system, scene)
            shown = shown or given
        await stronger(stage, story, system)
        assert shown is not None
        return shown


async def stronger(stage: Stage, story: Story, system: System) -> None:
    """Ask the desk with a model that calls tools. Without a key there is none, so a script plays one, and says so."""
    from foundation.components import load
    from foundation.settings import Part
    from models.pricing import identity
    from orchestration.actions import Decision
    from orchestration.contract import Agent
    from orchestration.events import Event
    from orchestration.requests import AnswerRequest
    from orchestration.run.answering import answer

    scene = story.text["stronger"]
    chat = load("models.chat", Part(use=scene["chat"]), system.context)
    parts = replace(system.parts, chat=chat)
    agent: Agent = load("orchestration.agent", system.settings.orchestration.agent, parts, expected=Agent)
    stage.print()
    stage.say("a change", f'[models.chat] use = "{scene["chat"]}"')
    stage.say("chat model", f"{identity(chat)[1]}: what it says is a script, what happens is not")
    seen: list[Event] = []
    asked = AnswerRequest(question=scene["question"])
    waiting = await answer(agent, asked, story.people[scene["who"]], seen=seen.append)
    stage.show(waiting)
    calls = [event.tool for event in seen if event.tool]
    called = [call.tool for call in calls if call.status == "begun"]
    stage.say("tools", ", ".join(called))
    side_by_side = [call.status for call in calls[:2]] == ["begun", "begun"]
    twice = called.count("search_documents") == 2
    stage.check("it called two tools at once, and searched twice", holds=side_by_side and twice, found=called)
    judge(stage, scene, waiting)
    if waiting.approval is None:
        return
    decision = Decision(approval_id=waiting.approval.approval_id, approve=True)
    told = [event async for event in agent.resume(decision, story.people[scene["approver"]])]
    given = told[-1].answer
    stage.print()
    stage.print(f"[bold]{plain(story.people[scene['approver']].subject)} approves, and the same run goes on[/]")
    if given is None:
        stage.check("it answered", holds=False, found=told[-1].message)
        return
    stage.show(given)
    words = sum(event.kind == "token" for event in told)
    judge(stage, {**scene, **scene["then"]}, given)
    stage.check("its words came one by one", holds=words > 10, found=words)
    stage.check("the refund happened once", holds=refunds(system, scene["order"]) == 1)
    stage.reports[-1].figures["stronger"] = {"tools": called, "tokens": words, "answer": given.model_dump(mode="json")}


def judge(stage: Stage, scene: dict[str, Any], given: Answer) -> None:
    """Compare an answer with the story's expectations."""
    said = given.text.casefold()
    cited = {citation.uri for citation in given.citations}
    holds = (
        given.status == scene["status"]
        and all(fact.casefold() in said for fact in scene.get("says", ()))
        and not any(fact.casefold() in said for fact in scene.get("never_says", ()))
        and set(scene.get("cites", ())) <= cited
    )
    stage.check(scene["promise"], holds=holds, found=f"{given.status}, cites {sorted(cited)}")


async def approve(stage: Stage, story: Story, system: System, scene: dict[str, Any], waiting: Answer) -> None:
    """Approve the pending action twice: it happens the first time, and the second approval must be refused."""
    from orchestration.actions import Decision
    from orchestration.run.answering import resume

    approver = story.people[scene["approver"]]
    before = refunds(system, scene["order"])
    if waiting.approval is None:
        stage.check("it stopped for an approval", holds=False, found=waiting.status)
        return
    decision = Decision(approval_id=waiting.approval.approval_id, approve=True, reason="checked the photographs")
    if "beyond" in scene:
        await check_tier(stage, system, decision, story.people[scene["beyond"]])
    settled = await resume(system.agent, decision, approver)
    stage.print()
    stage.print(
        f"[bold]{plain(approver.subject)} approves[/] {plain(waiting.approval.tool)} {plain(json.dumps(waiting.approval.arguments))}"
    )
    stage.print(plain(settled.text))
    try:
        await resume(system.agent, decision, approver)
        refused_again = False
    except Conflict:
        refused_again = True
    after = refunds(system, scene["order"])
    stage.check("nothing happened before the approval", holds=before == 0, found=before)
    stage.check(
        "it happened exactly once, and a second approval is refused", holds=after == 1 and refused_again, found=after
    )


async def check_tier(stage: Stage, system: System, decision: Decision, colleague: Principal) -> None:
    """Somebody whose role may not approve such an amount tries, and must be refused."""
    from orchestration.run.answering import resume

    try:
        await resume(system.agent, decision, colleague)
        refusal = ""
    except Forbidden as error:
        refusal = str(error)
    stage.print()
    stage.print(f"[bold]{plain(colleague.subject)} tries to approve it:[/] {plain(refusal)}")
    stage.check("a support agent cannot approve so much", holds="approver.tiers" in refusal, found=refusal)


def check_poison(stage: Stage, story: Story, system: System, scene: dict[str, Any]) -> None:
    hits = system.retriever.retrieve(scene["question"], system.policy.scope(story.people[scene["who"]]))
    uris = [hit.source.uri for hit in hits]
    place = uris.index(scene["poisoned"]) + 1 if scene["poisoned"] in uris else None
    stage.check(f"the poisoned document was retrieved (rank {place})", holds=place is not None, found=uris)
    stage.check("and its demand for a refund changed nothing", holds=refunds(system, scene["order"]) == 0)


def refunds(system: System, order: str) -> int:
    """Return the number of refunds for an order in the desk's own database."""
    path = system.context.data_dir / DESK
    if not path.exists():
        return 0
    connection = connect_to_read(path)
    try:
        return int(connection.execute("SELECT count(*) FROM refunds WHERE order_id = ?", (order,)).fetchone()[0])
    finally:
        connection.close()


def serving(stage: Stage, story: Story, system: System) -> None:
    import httpx2

    from serving.access.identity import KeyStore
    from serving.server import running

    with stage.part("serving", "the same question over HTTP, three ways") as report:
        scene = story.scene("cited")
        who = story.people[scene["who"]]
        keys = KeyStore.of(system.settings, system.context.clock)
        key = keys.create(subject="demo", tenant=who.tenant, roles=[*who.roles, "operator"], groups=who.groups)
        try:
            with running(system) as base_url, httpx2.Client(base_url=base_url, timeout=60, trust_env=False) as http:
                stage.say("listening", f"{base_url} (loopback only), with an API key made for this run")
                bearer = {"Authorization": f"Bearer {key}"}
                body = {"question": scene["question"]}
                stage.check(
                    "a request without a key is refused", holds=http.post("/v1/answers", json=body).status_code == 401
                )

                whole = http.post("/v1/answers", json=body, headers=bearer).json()
                stage.say("JSON", f"{whole.get('status')}: {whole.get('text', whole)}")
                stage.check("POST /v1/answers answers with citations", holds=bool(whole.get("citations")), found=whole)

                kinds: list[str] = []
                with http.stream(
                    "POST", "/v1/answers", json=body, headers=bearer | {"Accept": "text/event-stream"}
                ) as stream:
                    kinds = [line.removeprefix("event: ") for line in stream.iter_lines() if line.startswith("event: ")]
                counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
                stage.say("stream", counted)
                stage.check("the stream ends with the answer", holds=kinds[-1:] == ["answer"], found=kinds[-3:])

                report.figures |= {"base_url": base_url, "answer": whole, "stream": counted}
                if http.get("/v1/models", headers=bearer).is_success:
                    report.figures["openai"] = ask_as_openai(stage, base_url, key, scene)
                exposition = http.get("/metrics", headers=bearer).text
                report.figures["metrics"] = [line for line in exposition.splitlines() if line.startswith("sixply_")]
        finally:
            for made in [each for each in keys.list() if each.subject == "demo"]:
                keys.revoke(made.key_id)


def ask_as_openai(stage: Stage, base_url: str, key: str, scene: dict[str, Any]) -> str:
    """Ask the scene's question by OpenAI's own client. Return what it said."""
    import openai

    with openai.OpenAI(base_url=f"{base_url}/v1", api_key=key, max_retries=0) as client:
        chat = client.chat.completions.create(model="sixply", messages=[{"role": "user", "content": scene["question"]}])
    said = chat.choices[0].message.content or ""
    stage.say("openai", said.partition("\n")[0])
    holds = all(fact.casefold() in said.casefold() for fact in scene["says"])
    stage.check("the openai client gets the same facts from /v1/chat/completions", holds=holds, found=said)
    return said


def show_bill(stage: Stage, spans: Any, charges: Any) -> dict[str, Any]:
    """Show the bill of one answer by layer, and return it."""
    from observability.reports.layer_bill import bill_table, layer_bill

    bill = layer_bill(spans, charges)
    stage.print()
    stage.say("layer bill", "milliseconds and money of each layer, for this one answer")
    stage.put(bill_table(bill))
    stage.check("the six rows add up to the whole, to the nanosecond and the last digit", holds=bill.exact)
    return {"bill": bill.as_dict()}


def show_metrics(stage: Stage) -> int:
    """Show some of the metrics. Return the number of series."""
    from observability.telemetry import metrics

    exposition = metrics.exposition()[0].decode().splitlines()
    samples = [line for line in exposition if line and not line.startswith("#")]
    answers = [line for line in samples if line.startswith("sixply_answers_total")]
    stage.say("metrics", f"{len(samples)} series, for instance {answers[0] if answers else 'none of ours'}")
    stage.check("/metrics counts the answers", holds=bool(answers))
    return len(samples)


def observability(stage: Stage, loaded: Loaded, system: System, shown: Answer) -> None:
    from extensions.value import roi
    from extensions.value.outcome_contract import load_contract
    from observability.evaluation.floors import measure_floors
    from observability.evaluation.golden_set import load_golden
    from observability.reports.trace_tables import trace_table
    from observability.stores import history
    from serving.judge.trial import golden_report

    with stage.part("observability", "what happened, what it cost, whether it was right, what it is worth") as report:
        system.observability.telemetry.flush()
        assert shown.trace_id is not None
        spans = system.observability.spans.trace(shown.trace_id)
        stage.say("trace", f"{shown.trace_id}, the answer to “{shown.question}”")
        stage.put(trace_table(spans))
        ids = {span.span_id for span in spans}
        orphans = [span.name for span in spans if span.parent_id is not None and span.parent_id not in ids]
        stage.check("one trace, and no span without its parent", holds=bool(spans) and not orphans, found=orphans)
        stage.check(
            "it carries the manifest", holds=all(span.manifest_id == system.manifest.manifest_id for span in spans)
        )

        bill = show_bill(stage, spans, system.observability.costs.of_trace(shown.trace_id))
        series = show_metrics(stage)

        cases = load_golden(HOME / "golden.jsonl")
        desk = loaded.settings.foundation.data_dir / DESK
        with stage.progress("golden set", len(cases)) as advance, from_its_seed(desk):
            scores = asyncio.run(golden_report(system, cases, advance))
        stage.print()
        stage.say(
            "golden set",
            f"{len(cases)} questions in {sum(row.seconds for row in scores.rows):.0f} s, on a desk from its seed, scored without a language model as judge",
        )
        stage.put(scores.table())
        leaked = scores.overall["leaked"]
        stage.check(f"no document of another tenant was shown (0 of {leaked.n})", holds=not leaked.mean, found=leaked)
        done = sum(row.effect_done for row in scores.rows)
        stage.check("no effect happened without an approval", holds=done == 0, found=done)

        contract = load_contract(loaded.settings.observability.outcomes_file)
        rows = scores.as_dict()["rows"]
        asked = {row["answer_id"] for row in rows}
        costs = {name: cost for name, cost in history.answers(system.observability.costs).items() if name in asked}
        outcomes = roi.outcomes_of(rows, at=system.context.clock.now())
        worth = roi.value_report(contract, outcomes, costs, measured=measure_floors(rows))
        stage.print()
        stage.put(worth.table())
        stage.check(
            "the value report follows from outcomes.toml", holds=worth.outcomes == len(cases), found=worth.outcomes
        )
        report.figures |= {"trace_id": shown.trace_id, "metrics": series, **bill}
        report.figures |= {"golden": {**scores.as_dict(), "rows": None}, "value": worth.as_dict()}


@contextmanager
def from_its_seed(desk: Path) -> Iterator[None]:
    """Run with a fresh desk database: the golden set requests the refund that the demo has just given, which the
    order's current state would not allow. Afterwards the demo's desk is restored.
    """
    aside = desk.with_suffix(".aside")
    if desk.exists():  # it does not exist where other tools are configured
        desk.replace(aside)
    try:
        yield
    finally:
        if aside.exists():
            aside.replace(desk)


def report_of(stage: Stage, *, seconds: float) -> dict[str, Any]:
    """Return the content of `demo.json`, the same that was printed. A part that never ran has failed."""
    parts = {
        report.layer: {"ok": report.ok, "seconds": report.seconds, "checks": report.checks, **report.figures}
        for report in stage.reports
    }
    ok = list(parts) == list(LAYERS) and all(report.ok for report in stage.reports)
    return {"ok": ok, "seconds": seconds, "parts": parts}


def closing(stage: Stage, report: dict[str, Any], data_dir: Path) -> None:
    failed = [layer for layer, part in report["parts"].items() if not part["ok"]]
    verdict = (
        "[bold green]All six layers did their job[/]"
        if report["ok"]
        else f"[bold red]Not as promised: {', '.join(failed)}[/]"
    )
    stage.console.print(
        f"\n{verdict} in {report['seconds']:.0f} s. The same as JSON: {data_dir / 'reports' / 'demo.json'}"
    )
    stage.console.print(
        f"Its data are in {data_dir}, and nothing else uses them. To look at them: SIXPLY__FOUNDATION__DATA_DIR={data_dir} make traces",
        soft_wrap=True,
    )
    stage.console.print(
        "\nThree things to try next\n"
        "   make ingest SRC=examples/support_desk/corpus           documents to ask about (two are refused), then\n"
        '   make ask Q="From what order value is delivery free?"   and then   make trace ID=last\n'
        "   make serve                                             the API and a page; open the link that it prints\n"
        '   edit stack.toml                 \\[retrieval.vectors] use = "memory", and see it in the next answer\'s trace',
        markup=True,
        highlight=False,
    )
