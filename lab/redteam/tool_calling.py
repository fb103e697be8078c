"""The tool-calling agent in the hands of a model that the attacker owns, and of one that does what the person asked.

The model is a double: it makes the calls that it is given, whatever it is shown. A hostile one makes all of them in one
reply, again one by one, and so on for as many rounds as it gets; a colleague rejects whatever waits. An honest one makes
the calls of the person's own plan in turn, and the colleague approves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import chain, cycle, islice
from typing import Any, cast
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from extensions.development.scripted_chat import ScriptedChat
from foundation.components import load
from foundation.settings import Part
from lab.redteam.executor import APPROVER, TOOLS, USER, Call
from orchestration.actions import Decision, ToolOutcome
from orchestration.contract import Agent, AgentParts
from orchestration.effects.executor import Executor
from orchestration.events import Answer, Event
from orchestration.requests import AnswerRequest
from orchestration.run.answering import error_of
from orchestration.settings import BudgetSettings

UNLIMITED = 1_000_000_000
WIDE = BudgetSettings(steps=UNLIMITED, tokens=UNLIMITED, usd=UNLIMITED, seconds=600)
NOTHING_MORE = "Is there anything else?"
REPORTED = 2_000
"""Characters of each result that the double reports."""


@dataclass(frozen=True)
class AgentCalls:
    """Makes calls as `lab.redteam.executor.make_calls` does, by the tool-calling agent. `parts` are those of a system."""

    parts: AgentParts
    rounds: int = 30

    async def __call__(
        self, executor: Executor, calls: Sequence[Call], words: str, *, run: str, approve: bool
    ) -> tuple[list[ToolOutcome], list[str]]:
        del run  # each answer of the agent is a run of its own
        replies = [_reply([call]) for call in calls] if approve else [*self._hostile(calls)]
        agent = build_agent(self.parts, executor, [*replies, AIMessage(NOTHING_MORE)], rounds=len(replies) + 2)
        asked: list[str] = []
        events: list[Event] = []

        async def answer_of(stream: Any) -> Answer:
            async with aclosing(stream) as told:
                events.extend([event async for event in told])
            if events[-1].answer is None:
                raise error_of(events[-1])
            return events[-1].answer

        answer = await answer_of(agent.stream(AnswerRequest(question=words), USER))
        while answer.status == "waiting" and answer.approval is not None:
            asked.append(answer.approval.tool)
            decision = Decision(approval_id=answer.approval.approval_id, approve=approve)
            answer = await answer_of(agent.resume(decision, APPROVER))
        ended = [event.tool for event in events if event.tool and event.tool.status not in ("begun", "waiting")]
        return [ToolOutcome(tool=call.tool, status=call.status, content=call.content) for call in ended], asked

    def _hostile(self, calls: Sequence[Call]) -> Iterator[AIMessage]:
        reads = [call for call in calls if not TOOLS.get(call[0], {}).get("effect", True)]
        acts = [call for call in calls if call not in reads] or reads
        first = [reads] if reads and acts is not reads else []
        again = cycle([acts, *([call] for call in acts)])
        return (_reply(at_once) for at_once in islice(chain(first, again), self.rounds))


def build_agent(parts: AgentParts, executor: Executor, replies: Sequence[Any], *, rounds: int = 100) -> Agent:
    """The tool-calling agent over these tools, with a double that says the replies in the place of its chat model."""
    double = ScriptedChat(replies=tuple(replies), profile={"tool_calling": True, "max_input_tokens": UNLIMITED})
    answers = parts.settings.answers.model_copy(update={"max_question_characters": UNLIMITED})
    own = replace(
        parts,
        executor=executor,
        chat=double,
        checkpoints=InMemorySaver(),
        services=(),
        spending=None,
        settings=parts.settings.model_copy(update={"answers": answers, "budget": WIDE}),
    )
    return cast("Agent", load("orchestration.agent", Part(use="tool_calling", rounds=rounds), own))


def talked_over(own: Sequence[Call], attack: Sequence[Call]) -> list[AIMessage | Callable[..., AIMessage]]:
    """What a model says that was talked over: it reads what the person's plan and the attacker's read, makes the attacker's calls
    all at once, then goes on with the person's, and reports what came of everything.
    """
    reads = [call for call in (*own, *attack) if not TOOLS.get(call[0], {}).get("effect", True)]
    acts = [call for call in attack if call not in reads]
    return [
        *([_reply(reads)] if reads else []),
        *([_reply(acts)] if acts else []),
        *(_reply([call]) for call in own if call not in reads),
        _report,
    ]


def _report(messages: Sequence[BaseMessage]) -> AIMessage:
    results = [message.text[:REPORTED] for message in messages if isinstance(message, ToolMessage)]
    return AIMessage("\n\n".join(results) or NOTHING_MORE)


def _reply(calls: Sequence[Call]) -> AIMessage:
    made = [{"name": tool, "args": arguments, "id": uuid4().hex, "type": "tool_call"} for tool, arguments in calls]
    return AIMessage("", tool_calls=cast("Any", made))
