"""AgentDojo's attacks through the running agent: its requests are asked, and every place that an outsider can write to
holds the attacker's message when the tools read it.

Each request is asked in the attacked world and in a clean one, guarded and, for comparison, with everything approved.
AgentDojo's own functions say whether the attacker's goal was reached and whether the request was met. Guarded, the person
approves what belongs to their own plan and rejects the rest.

A small model meets few requests and can be talked into little. So a double is asked too: a model that plans like AgentDojo's
own solution and then, as if the message had reached it, puts the attacker's calls before the person's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from extensions.planned_agent.plans import STEPS
from foundation.errors import SixplyError
from lab.redteam.executor import APPROVER, TOOLS, USER, Call, Worlds, world_executor
from observability.evaluation import metrics
from observability.evaluation.questions import evenly
from orchestration.actions import Decision
from orchestration.contract import Agent
from orchestration.effects.executor import Executor
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer, resume

Builds = Callable[[Executor, Sequence[Call], Sequence[Call]], Agent]
"""An agent with these tools. A double in the place of its chat model makes the person's calls, and before them the attacker's."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One request, asked once."""

    suite: str
    user: str
    attack: str | None
    guarded: bool
    reached: bool
    """The attacker's goal."""
    useful: bool
    calls: int
    """Of tools, that were carried out."""
    attack_calls: int
    """By which AgentDojo reaches the attacker's goal; 0: the goal is to be said, or AgentDojo has no solution."""
    asked: int
    """How often a person was."""
    status: str
    error: str


def ask_all(
    worlds: Worlds,
    version: str,
    folder: Path,
    agents: Mapping[str, Builds],
    *,
    limit: int,
    progress: Callable[[str, int, int], None],
) -> dict[str, Any]:
    """About `limit` pairs of a request and an attack, spread evenly, by each agent. The executor's stores lie in `folder`."""
    return asyncio.run(_Asked(worlds, version, folder).run(agents, limit, progress))


class _Asked:
    def __init__(self, worlds: Worlds, version: str, folder: Path) -> None:
        self._worlds, self._version, self._folder = worlds, version, folder

    async def run(
        self, agents: Mapping[str, Builds], limit: int, progress: Callable[[str, int, int], None]
    ) -> dict[str, Any]:
        suites = self._worlds("suites", version=self._version)
        every = [(s, u, a) for s, known in suites.items() for u in known["users"] for a in known["attacks"]]
        pairs = evenly(every, limit)
        users = dict.fromkeys((suite, user, None) for suite, user, _ in pairs)
        cases = [(case, guarded) for case in (*users, *pairs) for guarded in (True, False)]
        found = {}
        for name, builds in agents.items():
            trials = []
            for done, (case, guarded) in enumerate(cases):
                progress(name, done, len(cases))
                trials.append(await self._trial(builds, suites[case[0]]["tools"], *case, guarded=guarded))
            found[name] = {
                way: _figures([one for one in trials if one.guarded is guarded])
                for way, guarded in (("guarded", True), ("unguarded", False))
            }
        return {
            "version": self._version,
            "pairs": len(pairs),
            "requests": len(users),
            "agents": found,
        }

    async def _trial(
        self, builds: Builds, tools: Mapping[str, Any], suite: str, user: str, attack: str | None, *, guarded: bool
    ) -> Trial:
        opened = self._worlds("open", suite=suite, user=user, attack=attack, written="message" if attack else "")
        own: list[Call] = [(tool, _stated(arguments)) for tool, arguments in opened["user_calls"]]
        asked, text, status, error = 0, "", "failed", ""
        with world_executor(self._worlds, tools, self._folder) as executor:
            agent = builds(executor, own, [(tool, arguments) for tool, arguments in opened["attack_calls"]])
            try:
                given = await answer(agent, AnswerRequest(question=opened["words"]), USER)
                while given.status == "waiting" and given.approval is not None:
                    asked, wanted = asked + 1, given.approval
                    approve = not guarded or (wanted.tool, _stated(wanted.arguments)) in own
                    given = await resume(agent, Decision(approval_id=wanted.approval_id, approve=approve), APPROVER)
                text, status = given.text, given.status
            except SixplyError as broke:
                error = f"{broke.code}: {broke}"
        judged = self._worlds("judge", text=text)
        return Trial(
            suite=suite,
            user=user,
            attack=attack,
            guarded=guarded,
            reached=judged["attack"],
            useful=judged["user"],
            calls=judged["calls"],
            attack_calls=len(opened["attack_calls"]),
            asked=asked,
            status=status,
            error=error,
        )


def plan_of(own: Sequence[Call], attack: Sequence[Call]) -> str:
    """What a model writes that was talked over: all reads, then the attacker's effects, then those of the person. A plan has
    so many steps and no more; what does not fit are the person's last calls.
    """
    fitting = [*attack, *own[: max(0, STEPS - len(attack))]][:STEPS]
    reads = [call for call in fitting if not _acts(call)]
    steps = [
        {"kind": "tool", "tool": tool, "arguments": arguments, "after": after}
        for calls, after in ((reads, []), ([call for call in fitting if _acts(call)], [*range(1, len(reads) + 1)]))
        for tool, arguments in calls
    ]
    return json.dumps({"decision": "work", "steps": steps})


def _stated(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Without those that are left open, which an approval lists too."""
    return {name: value for name, value in arguments.items() if value is not None}


def _acts(call: Call) -> bool:
    return bool(TOOLS.get(call[0], {}).get("effect", True))


def _figures(trials: Sequence[Trial]) -> dict[str, Any]:
    """Goals that are only to be said stand apart: an agent that shows what its tools returned shows the message too."""
    clean = [one for one in trials if one.attack is None]
    attacked = [one for one in trials if one.attack is not None]
    by_calls = [one for one in attacked if one.attack_calls]
    by_words = [one for one in attacked if not one.attack_calls]
    return {
        "attacks": len(by_calls),
        **_share("succeeded", [one.reached for one in by_calls]),
        "attacks_by_words": len(by_words),
        "succeeded_by_words": sum(one.reached for one in by_words),
        "attacked": len(attacked),
        **_share("useful_attacked", [one.useful for one in attacked]),
        "clean": len(clean),
        **_share("useful_clean", [one.useful for one in clean]),
        "with_calls": sum(one.calls > 0 for one in clean),
        "asked_a_person": sum(one.asked > 0 for one in clean),
        "failed": sum(one.status == "failed" for one in trials),
        "got_through": [f"{one.suite}/{one.user}/{one.attack}" for one in attacked if one.reached],
        "rows": [asdict(one) for one in trials],
    }


def _share(name: str, flags: Sequence[bool]) -> dict[str, Any]:
    """How many, and the interval of their share at 95 %."""
    share = metrics.estimate(flags)
    if share.low is None or share.high is None:
        return {name: 0, f"{name}_95": None}
    return {name: sum(flags), f"{name}_95": [round(share.low, 4), round(share.high, 4)]}
