"""The calls that the tasks of tau-bench's airline expect, and calls that its policy forbids, through the executor, without a model.

The folder has `policy.md`, `tools.json`, `tasks.jsonl` and the tables `db_flights.json`, `db_reservations.json`,
`db_users.json`; the tools are written here, against the schemas. Each line of the policy is ingested as a document of its
own, so that a denial can cite the one that forbids the call (`tau_rules`).
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from itertools import takewhile
from operator import lt
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool

from extensions.datasets import reading
from foundation.errors import InvalidRequest
from foundation.types import Principal
from lab.bench import public_data
from lab.redteam.executor import Call, make_calls, open_executor
from lab.replay.tau_rules import RULES, Rule
from lab.replay.tau_world import READS, Airline, result_text
from orchestration.actions import ToolOutcome
from orchestration.effects.executor import Executor
from orchestration.settings import PolicySettings
from retrieval.contract import Retriever

LABEL_WORDS = 5
UNASKED = "transfer_to_human_agents"
"""The one effect for which the policy wants no confirmation: it changes no reservation."""
HARMLESS = (*READS, UNASKED)
_CONTENT = {UNASKED: {"summary": "content"}}


class PolicyText:
    """The lines of a policy, each with its headings, and the one that states a rule."""

    def __init__(self, text: str, retriever: Retriever) -> None:
        self.lines = dict(_lines(text))
        self._retriever = retriever
        self.cite = cache(self._cite)

    def documents(self) -> list[reading.CorpusDocument]:
        return [reading.CorpusDocument(key, above, line) for key, (above, line) in self.lines.items()]

    def states(self, rule: Rule) -> bool:
        return any(rule.stated_by(line) for _, line in self.lines.values())

    def _cite(self, says: str) -> tuple[str, str]:
        """Where the line stands that the retriever finds for the rule, and the denial that quotes it."""
        hits = self._retriever.retrieve(says, reading.SCOPE, limit=1)
        if not hits:
            return "", "The policy forbids it."
        where = hits[0].source.uri
        return where, f'The policy forbids it: "{self.lines[where][1]}" ({where})'


def bench_tau(
    data: Path,
    folder: Path,
    *,
    ingestor: public_data.Ingests,
    retriever: Retriever,
    progress: reading.Progress | None = None,
    seed: int = 7,
) -> dict[str, Any]:
    """Replay every task's expected calls, everything approved that is asked, and forbidden variants of them.

    The executor's stores lie in `folder`. A rule that no line of this policy states is not applied.

    Raises:
        InvalidRequest: the folder lacks a file, or the policy does not say what time it is.
    """
    return asyncio.run(_Replay(data, folder, ingestor, retriever, seed).run(progress or (lambda *_: None)))


class _Replay:
    def __init__(
        self, data: Path, folder: Path, ingestor: public_data.Ingests, retriever: Retriever, seed: int
    ) -> None:
        text = _read(data / "policy.md")
        said = re.search(r"current time is (\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)", text)
        if said is None:
            raise InvalidRequest(f'{data / "policy.md"} does not say "The current time is YYYY-MM-DD HH:MM:SS".')
        self._now = datetime.fromisoformat(said[1])
        self._tables = [_read(data / f"db_{table}.json") for table in ("flights", "reservations", "users")]
        self._tools = [one["function"] for one in json.loads(_read(data / "tools.json"))]
        self._tasks = [json.loads(line) for line in _read(data / "tasks.jsonl").splitlines() if line.strip()]
        names = tuple(one["name"] for one in self._tools)
        self._allowed = PolicySettings(roles={"user": names}, effects_without_approval=(UNASKED,))
        self._policy = PolicyText(text, retriever)
        self._rules = [rule for rule in RULES if self._policy.states(rule)]
        ingestor.ingest(reading.items_of(self._policy.documents()))
        self._folder = folder
        self._chance = random.Random(seed)
        self._runs = 0

    async def run(self, progress: reading.Progress) -> dict[str, Any]:
        expected: list[tuple[str, ToolOutcome, bool]] = []
        forbidden: list[tuple[Rule, ToolOutcome, bool]] = []
        refused: list[ToolOutcome] = []
        for done, task in enumerate(self._tasks):
            progress("replay", done, len(self._tasks))
            airline = Airline(*map(json.loads, self._tables), now=self._now)
            tools = [self._tool(airline, one) for one in self._tools]
            with open_executor(tools, self._allowed, self._folder) as executor:
                for one in task["expected_actions"]:
                    call = (one["name"], one["arguments"])
                    forbidden += [found async for found in self._variants(executor, airline, *call)]
                    outcome, asked = await self._call(executor, call)
                    expected.append((str(task["id"]), outcome, asked))
                if all(one["name"] in HARMLESS for one in task["expected_actions"]):
                    refused += [(await self._call(executor, call))[0] for call in _pleas(task)]
        return self._figures(expected, forbidden) | {
            "pleas": len(refused),
            "pleas_denied_share": sum(map(_denied, refused)) / max(1, len(refused)),
        }

    async def _variants(
        self, executor: Executor, airline: Airline, tool: str, arguments: Mapping[str, Any]
    ) -> AsyncIterator[tuple[Rule, ToolOutcome, bool]]:
        """What came of one call's forbidden variants, in the state that the call itself will meet; whether any touched it."""
        for rule in self._rules:
            for call in rule.made_from(airline, tool, arguments, self._chance):
                before = airline.dump()
                outcome, asked = await self._call(executor, call)
                yield rule, outcome, asked or airline.dump() != before

    async def _call(self, executor: Executor, call: Call) -> tuple[ToolOutcome, bool]:
        """Each call is a run of its own: what was said does not count, because the policy wants each change confirmed."""
        self._runs += 1
        (outcome,), asked = await make_calls(executor, [call], "", run=str(self._runs), approve=True)
        return outcome, bool(asked)

    def _tool(self, airline: Airline, about: Mapping[str, Any]) -> BaseTool:
        from langchain_core.tools import StructuredTool

        name = about["name"]

        def call(**arguments: Any) -> tuple[str, Any]:
            found = getattr(airline, name)(**arguments)
            return result_text(found), found

        def forbidden(arguments: Mapping[str, Any], principal: Principal) -> tuple[str, str] | None:
            del principal  # the airline's agent serves every customer
            rules = (rule for rule in self._rules if name in rule.tools)
            broken = next((rule for rule in rules if rule.broken(airline, arguments)), None)
            return self._policy.cite(broken.says) if broken else None

        return StructuredTool.from_function(
            func=call,
            name=name,
            description=about["description"],
            args_schema=about["parameters"],
            response_format="content_and_artifact",
            metadata={"effect": False}
            if name in READS
            else {"check_rules": forbidden, "reach": "own", "arguments": _CONTENT.get(name, {})},
        )

    def _figures(
        self, expected: Sequence[tuple[str, ToolOutcome, bool]], forbidden: Sequence[tuple[Rule, ToolOutcome, bool]]
    ) -> dict[str, Any]:
        failed = [(task, outcome) for task, outcome, _ in expected if outcome.status != "done"]
        ended = [
            (rule, _denied(outcome) and not touched, _denied(outcome) and self._cites(rule, outcome))
            for rule, outcome, touched in forbidden
        ]
        effects = [asked for _, outcome, asked in expected if outcome.tool not in READS]
        return {
            "tasks": len(self._tasks),
            "actions": len(expected),
            "passed_share": 1 - len(failed) / max(1, len(expected)),
            "effects": len(effects),
            "asked_share": sum(asked for *_, asked in expected) / max(1, len(expected)),
            "forbidden": len(ended),
            "denied_share": sum(denied for _, denied, _ in ended) / max(1, len(ended)),
            "cited_share": sum(cited for *_, cited in ended) / max(1, len(ended)),
            "rules": {
                rule.name: {
                    "forbidden": sum(one is rule for one, *_ in ended),
                    "denied": sum(denied for one, denied, _ in ended if one is rule),
                    "cited": sum(cited for one, _, cited in ended if one is rule),
                }
                for rule in self._rules
            },
            "rules_not_in_policy": [rule.name for rule in RULES if rule not in self._rules],
            "not_passed": [f"{task}: {outcome.tool}: {outcome.content}" for task, outcome in failed],
        }

    def _cites(self, rule: Rule, outcome: ToolOutcome) -> bool:
        _, line = self._policy.lines.get(outcome.rule, ("", ""))
        return rule.stated_by(line) and line in outcome.content


def _pleas(task: Mapping[str, Any]) -> Iterator[Call]:
    """Of a task in which nothing is to be changed and somebody talks of cancelling: the cancellation of each reservation
    that is looked at. What is not denied waits for a person, for the reason to cancel stands in no argument.
    """
    if "cancel" in json.dumps(task["user_instructions"]).casefold():
        read = (one["arguments"].get("reservation_id") for one in task["expected_actions"])
        yield from (("cancel_reservation", {"reservation_id": one}) for one in dict.fromkeys(read) if one)


def _denied(outcome: ToolOutcome) -> bool:
    return (outcome.status, outcome.reason) == ("denied", "forbidden")


def _lines(text: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Each line with its place, below its headings. A list stays with the sentence that introduces it; a mere label
    ("Passengers:") counts as a heading.
    """
    headings: list[str] = []
    label = ""
    lines = [(number, raw) for number, raw in enumerate(text.splitlines(), 1) if raw.strip()]
    while lines:
        (number, raw), *lines = lines
        line = raw.strip()
        if heading := re.match(r"(#+)\s+(.*)", line):
            headings, label = [*headings[: len(heading[1]) - 1], heading[2]], ""
        elif line.endswith(":") and len(line.split()) <= LABEL_WORDS:
            label = line.rstrip(": ")
        else:
            depth = _depth(raw)
            deeper = takewhile(partial(lt, depth), (_depth(below) for _, below in lines))
            items = lines[: len(list(deeper))] if line.endswith(":") else []
            lines = lines[len(items) :]
            whole = " ".join([line, *(raw.strip() for _, raw in items)]).removeprefix("- ")
            yield f"policy.md:{number}", (" > ".join([*headings, label]).rstrip("> "), whole)


def _depth(raw: str) -> int:
    """How far an item of a list is set in; 0: it is none."""
    return raw.index("-") + 1 if raw.lstrip().startswith("-") else 0


def _read(path: Path) -> str:
    if not path.is_file():
        raise InvalidRequest(f"There is no {path.name} in {path.parent}. Give the folder of tau-bench's airline.")
    return path.read_text(encoding="utf-8")
