"""What a long conversation keeps and costs in the window of a model: facts asked for 300 turns later, searches in many rounds and many at
once, an effect that was done, in two languages and two windows.

The model is a double (`lab.bench.context_server`): it finds in what it is shown, or by the search that it is offered, what it is asked for,
and nothing else. So the figures are those of what Sixply sends, and the best that a model could make of it.
"""

from __future__ import annotations

import asyncio
import random
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import count, product
from pathlib import Path
from typing import Any, cast

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver

from extensions.agent_middleware.plug import ListedMiddleware
from extensions.development.scripted_chat import NAME
from foundation.components import load
from foundation.settings import Part
from foundation.types import Principal
from lab.bench.context_server import Sent, ServerDouble
from lab.redteam.executor import open_executor
from orchestration.actions import Decision
from orchestration.contract import Agent, AgentParts
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run.answering import error_of
from orchestration.settings import BudgetSettings, PolicySettings
from retrieval.documents import Source
from retrieval.ingest.preparation import Item

TENANT = "bench"
PERSON = Principal("ana", TENANT, frozenset({"agent"}))
LEAD = Principal("lena", TENANT, frozenset({"approver"}))
UNLIMITED = 1_000_000_000
WIDE = BudgetSettings(steps=UNLIMITED, tokens=UNLIMITED, usd=UNLIMITED, seconds=3_600)
SEARCH, FORGETFUL, FAITHFUL = "search_conversation", "forgetful", "faithful"
SEARCH_PART = "conversation_search"
# Documents, their sentences, and the searches made at once by window
DOCUMENTS, SENTENCES, AT_ONCE = 12, 90, {8_192: 4, 32_000: 8}
DONE = "has been refunded"
POLICY = PolicySettings(roles={"agent": ("refund",)}, calls_per_run=UNLIMITED)

Texts = dict[str, str]


@dataclass(frozen=True)
class Bench:
    """Conversations in one language with a model of one window."""

    parts: AgentParts
    language: str
    window: int
    seed: int

    @property
    def texts(self) -> Texts:
        return read_texts()[self.language]

    async def figures(self, facts: int, turns: int, rounds: int) -> dict[str, dict[str, Any]]:
        """Return the figures of each kind of conversation."""
        return {
            "conversation, forgetful summaries": await self.keeps(facts, turns, FORGETFUL),
            "conversation, faithful summaries": await self.keeps(facts, turns, FAITHFUL),
            "searches in rounds": await self.searches(rounds),
            "searches at once": await self.searches_at_once(),
            "an effect, then searches": await self.acts_and_searches(rounds),
        }

    async def keeps(self, facts: int, turns: int, summaries: str) -> dict[str, Any]:
        """Tell facts, talk of something else, and ask for each; `turns` lie between."""
        dice, texts = random.Random(self.seed), self.texts
        codes = {
            f"{chr(65 + place)}{dice.randint(100, 999)}": str(dice.randint(100_000, 999_999)) for place in range(facts)
        }
        server = ServerDouble(self.window, _Listener(texts, codes, summaries).say)
        agent, thread = self._agent(server), ""
        told = [texts["note"].format(name=name, code=code) for name, code in codes.items()]
        between = [texts["talk"].format(number=number) for number in range(turns)]
        asked = [texts["ask"].format(name=name) for name in codes]
        answers: list[Answer] = []
        for question in [*told, *between, *asked]:
            answers.append(
                await _answer(agent.stream(AnswerRequest(question=question, thread_id=thread or None), PERSON))
            )
            thread = answers[-1].thread_id
        kept = [code in answer.text for code, answer in zip(codes.values(), answers[-facts:], strict=True)]
        return {
            "facts": facts, "turns": turns, "summaries": summaries, "retention": sum(kept) / facts, **_costs(server),
            "not_summarised": sum(any("could not be summarised" in note for note in it.degraded) for it in answers),
        }  # fmt: skip

    async def searches(self, rounds: int) -> dict[str, Any]:
        """Search once a round."""
        numbers = count(1)
        server = ServerDouble(self.window, lambda sent: self._search(next(numbers), rounds, sent))
        await self._ask(server, self.texts["question"], rounds)
        return {"rounds": rounds, **_costs(server), "rows": [it.cached / it.tokens for it in server.sent]}

    async def searches_at_once(self) -> dict[str, Any]:
        """Make several searches in one reply. `left_out`: results of which nothing was shown to the model when it read them first."""
        wanted = AT_ONCE.get(self.window, 8)

        def say(sent: Sent) -> AIMessage:
            if isinstance(sent.messages[-1], ToolMessage):
                return AIMessage("-")
            return AIMessage("", tool_calls=[_call_of(self._query(number), number) for number in range(1, wanted + 1)])

        server = ServerDouble(self.window, say)
        await self._ask(server, self.texts["question"], 2)
        first = [message.text for message in server.sent[1].messages if isinstance(message, ToolMessage)]
        found = sum(int(number[0]) for text in first if (number := re.match(r"\d+", text)))
        shown = sum(text.count("<passage ") + len(re.findall(r"\d+", _named_above(text))) for text in first)
        left_out = sum("<passage " not in text and not _named_above(text) for text in first)
        return {
            "searches": wanted,
            "results": len(first),
            "left_out": left_out,
            "passages_shown": shown / found,
            "refused": server.refused,
        }

    async def acts_and_searches(self, rounds: int) -> dict[str, Any]:
        """Refund an order, which a colleague approves, then search on. `outcome_shown`: share of the later requests that have its outcome."""
        numbers = count()

        def say(sent: Sent) -> AIMessage:
            if not (number := next(numbers)):
                refund = {"order_id": "QM-10017", "reason": self.texts["reason"]}
                return AIMessage(
                    "", tool_calls=[{"name": "refund", "args": refund, "id": "call_refund", "type": "tool_call"}]
                )
            return self._search(number, rounds, sent)

        server = ServerDouble(self.window, say)
        await self._ask(server, self.texts["refund"], rounds + 1)
        later = [it for it in server.sent[1:] if it.tools]  # a summary is asked for without any
        shown = sum(any(DONE in message.text for message in it.messages) for it in later)
        return {"rounds": len(later), "outcome_shown": shown / len(later), "refused": server.refused}

    def _search(self, number: int, rounds: int, sent: Sent) -> AIMessage:
        done = number > rounds or "search_documents" not in sent.tools
        return AIMessage("-") if done else AIMessage("", tool_calls=[_call_of(self._query(number), number)])

    def _query(self, number: int) -> str:
        return self.texts["search"].format(number=number)

    async def _ask(self, server: ServerDouble, question: str, rounds: int) -> None:
        agent = self._agent(server, rounds=rounds + 2)
        answer = await _answer(agent.stream(AnswerRequest(question=question), PERSON))
        while answer.status == "waiting" and answer.approval is not None:
            answer = await _answer(agent.resume(Decision(approval_id=answer.approval.approval_id, approve=True), LEAD))

    def _agent(self, server: ServerDouble, *, rounds: int = 30) -> Agent:
        settings = self.parts.settings.model_copy(update={"budget": WIDE})
        own = replace(
            self.parts,
            chat=server.chat,
            checkpoints=InMemorySaver(),
            services=(ListedMiddleware((Part(use=SEARCH_PART),)),),
            spending=None,
            settings=settings,
        )
        return cast("Agent", load("orchestration.agent", Part(use="tool_calling", rounds=rounds), own))


@dataclass(frozen=True)
class _Listener:
    """Says what it finds, and does not know the rest. Its summaries keep all codes that it reads in what it sums up, or none."""

    texts: Texts
    codes: dict[str, str]
    summaries: str

    def say(self, sent: Sent) -> AIMessage:
        asked = next(it.text for it in reversed(sent.messages) if isinstance(it, HumanMessage))
        read = "\n".join(message.text for message in sent.messages if message.type != "system")
        if not sent.tools:  # a summary is asked for without any
            kept = self._find_facts(asked) if self.summaries == FAITHFUL else {}
            return AIMessage("\n".join([self.texts["summary"].format(number=1), *map(self._sentence, kept)]))
        name = next((name for name in self.codes if asked == self.texts["ask"].format(name=name)), "")
        if not name:
            noted = next((name for name in self.codes if name in asked), "")
            number = next(iter(re.findall(r"\d+", asked)), "")
            return AIMessage(self.texts["noted" if noted else "answer"].format(name=noted, number=number))
        if name in self._find_facts(read):
            return AIMessage(self._sentence(name))
        if SEARCH in sent.tools and not isinstance(sent.messages[-1], ToolMessage):
            return AIMessage(
                "", tool_calls=[{"name": SEARCH, "args": {"query": asked}, "id": f"call_{name}", "type": "tool_call"}]
            )
        return AIMessage(self.texts["unknown"].format(name=name))

    def _find_facts(self, text: str) -> dict[str, str]:
        return {name: code for name, code in self.codes.items() if name in text and code in text}

    def _sentence(self, name: str) -> str:
        return self.texts["say"].format(name=name, code=self.codes[name])


def measure(
    parts: AgentParts,
    windows: Sequence[int],
    *,
    facts: int,
    turns: int,
    rounds: int,
    seed: int,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Return the figures of each language and window as rows. The `documents` have to be in the ledger."""
    pairs, rows = list(product(read_texts(), windows)), list[dict[str, Any]]()
    tool = StructuredTool.from_function(
        _refund, name="refund", description="Refund an order.", metadata={"effect": True}
    )
    for done, (language, window) in enumerate(pairs, 1):
        # of its own, or the second refund would be known as the first
        folder = parts.data_dir / f"{language}-{window}"
        folder.mkdir()
        with open_executor([tool], POLICY, folder) as executor:
            bench = Bench(replace(parts, executor=executor), language, window, seed)
            figures = asyncio.run(bench.figures(facts, turns, rounds))
        rows += [{"language": language, "window": window, "what": what, **one} for what, one in figures.items()]
        progress("languages and windows", done, len(pairs))
    return {"model": NAME, "seed": seed, "rows": rows}


def _refund(order_id: str, reason: str) -> str:
    del reason
    return f"Order {order_id} {DONE}: 178.00 USD."


def documents(seed: int) -> Iterator[Item]:
    """Yield the documents to search: of each language, with figures of many lines."""
    dice = random.Random(seed)
    for language, texts in read_texts().items():
        for number in range(DOCUMENTS):
            lines = [
                texts["sentence"].format(number=dice.randint(1, 40), name=place + 1, code=dice.randint(2, 90))
                for place in range(SENTENCES)
            ]
            name = f"{language}-{number}.md"
            yield Item(Source(name, TENANT), f"# {language} {number}\n\n{' '.join(lines)}".encode(), name)


def read_texts() -> dict[str, Texts]:
    return tomllib.loads(Path(__file__).with_name("conversations.toml").read_text(encoding="utf-8"))


def _costs(server: ServerDouble) -> dict[str, Any]:
    later = server.sent[1:]
    tokens, cached = sum(it.tokens for it in later), sum(it.cached for it in later)
    repeated = tokens - sum(it.fresh for it in later)
    return {
        "requests": len(server.sent), "tokens": sum(it.tokens for it in server.sent), "refused": server.refused,
        "cached_share": cached / tokens, "cached_of_repeated": cached / repeated,
        "cached_share_least": min(it.cached / it.tokens for it in later),
    }  # fmt: skip


def _call_of(query: str, number: int) -> Any:
    return {"name": "search_documents", "args": {"query": query}, "id": f"call_{number}", "type": "tool_call"}


def _named_above(text: str) -> str:
    found = re.search(r"\[Above already: ([\d, ]+)", text)
    return found[1] if found else ""


async def _answer(stream: Any) -> Answer:
    async with aclosing(stream) as told:
        events = [event async for event in told]
    if events[-1].answer is None:
        raise error_of(events[-1])
    return cast("Answer", events[-1].answer)
