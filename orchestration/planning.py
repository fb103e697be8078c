"""What a request asks for: an answer from the documents, a tool, or first a question back.

The plan is made from the person's own words, before any document is read. Two planners make it:

classifier   compares the question with the examples that each tool declares and with questions of knowledge, and reads
             the arguments from the question by the patterns of the tool's schema. For models that cannot choose a tool.
model        lets the chat model choose and fill in, through LangChain's `bind_tools`.

A tool declares `metadata["examples"]`: a few requests in a person's words. `metadata["questions"]` may hold questions
that sound like it and are none (for a refund tool: "How long does a refund take?").
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from foundation.errors import UpstreamMalformed
from models.contract import Embeddings
from models.embedding import embed
from orchestration.arguments import schema_of
from orchestration.contract import BaseTool
from orchestration.prompts import plan_for
from orchestration.run import Run
from retrieval.wording import terms

Route = Literal["answer", "tool", "clarify"]

KNOWLEDGE = (
    "What is the policy on this?",
    "How do I set this up?",
    "How long does it take?",
    "How much does it cost?",
    "Who has to approve this, and when?",
    "What does this error code mean?",
    "Am I allowed to do that?",
    "Which model should I choose?",
    "What happens if it arrives late or damaged?",
    "Why does the device not work, and what can I do?",
    "Until when can something be sent back?",
    "What is the difference between the two?",
)
"""Questions that documents answer, whatever the subject."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`tool` and `arguments` for the routes tool and clarify; `missing` names what has to be asked for."""

    route: Route
    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    reason: str = ""


class Planner(Protocol):
    async def plan(self, question: str, tools: Sequence[BaseTool], run: Run, *, allowed: frozenset[str]) -> Plan:
        """Plan with `tools`, of which the caller may use `allowed`. Another one may be proposed, and is then refused."""
        ...


class ModelPlanner:
    """The chat model chooses. Its choice is a proposal: the executor checks it like any other."""

    async def plan(self, question: str, tools: Sequence[BaseTool], run: Run, *, allowed: frozenset[str]) -> Plan:
        """Raises:
        UpstreamMalformed: a tool call that is no JSON.
        """
        tools = [tool for tool in tools if tool.name in allowed]
        if not tools:
            return Plan(route="answer", reason="no tools")
        reply = await run.generate(plan_for(question), tools=tools)
        if reply.invalid_tool_calls:
            raise UpstreamMalformed("The language model proposed a tool call that cannot be read. Try again.")
        if not reply.tool_calls:
            return Plan(route="answer", reason="the model called no tool")
        first = reply.tool_calls[0]
        return _with_arguments(first["name"], first["args"], tools, "the model's choice")


class ClassifierPlanner:
    """Nearest example, with a floor and a margin; needs no training and no language model.

    A tool is chosen where the cosine of its nearest example is at least `floor`, and by `margin` more than that of the
    nearest question of knowledge. An identifier that the tool asks for and the question holds counts as `identified`.
    The defaults are for all-MiniLM-L6-v2. They were set on the support desk's 185 golden questions, all of which go the
    right way; another desk should look at its own.
    """

    def __init__(
        self, embedder: Embeddings, *, floor: float = 0.6, margin: float = 0.15, identified: float = 0.3
    ) -> None:
        self._embedder = embedder
        self._floor = floor
        self._margin = margin
        self._identified = identified

    async def plan(
        self,
        question: str,
        tools: Sequence[BaseTool],
        run: Run,  # noqa: ARG002 - the protocol's
        *,
        allowed: frozenset[str],  # noqa: ARG002 - a request for a forbidden tool is better refused than taken for a question
    ) -> Plan:
        if not tools:
            return Plan(route="answer", reason="no tools")
        return await asyncio.to_thread(self._plan, question, tools)

    def _plan(self, question: str, tools: Sequence[BaseTool]) -> Plan:
        knowledge = [*KNOWLEDGE, *(text for tool in tools for text in _declared(tool, "questions"))]
        examples = {tool.name: _declared(tool, "examples") or [tool.description] for tool in tools}
        against, *nearest = self._nearest(question, [knowledge, *examples.values()], tools)
        scores = {
            tool.name: score + (self._identified if _identifies(question, tool) else 0.0)
            for tool, score in zip(tools, nearest, strict=True)
        }
        best = max(scores, key=scores.__getitem__)
        reason = f"{best} {scores[best]:.2f}, question of knowledge {against:.2f}"
        if scores[best] < max(self._floor, against + self._margin):
            return Plan(route="answer", reason=reason)
        chosen = next(tool for tool in tools if tool.name == best)
        return _with_arguments(best, arguments_in(question, chosen), tools, reason)

    def _nearest(self, question: str, groups: Sequence[Sequence[str]], tools: Sequence[BaseTool]) -> list[float]:
        """The cosine of the question with the nearest text of each group, all embedded in one call."""
        texts = [_masked(text, tools) for group in groups for text in group]
        asked, *known = embed(self._embedder, [_masked(question, tools), *texts])
        similarities = iter(float(vector @ asked) for vector in known)
        return [max(next(similarities) for _ in group) for group in groups]


def rewrite(question: str, earlier: str | None) -> str:
    """Another query for the same need: with the question before it in the conversation, else its content words."""
    if earlier:
        return f"{earlier} {question}"
    words = [word for word in re.findall(r"[\w-]+", question) if terms(word)]
    return " ".join(words) or question


def arguments_in(question: str, tool: BaseTool) -> dict[str, Any]:
    """The tool's arguments as far as the question states them: by pattern, choice, currency, or as free text."""
    found = {}
    for name, schema in _properties(tool).items():
        value = _value_in(question, schema, required=name in _required(tool))
        if value is not None:
            found[name] = value
    return found


def _with_arguments(name: str, arguments: Mapping[str, Any], tools: Sequence[BaseTool], reason: str) -> Plan:
    tool = next((tool for tool in tools if tool.name == name), None)
    missing = tuple(key for key in _required(tool) if key not in arguments) if tool else ()
    route: Route = "clarify" if missing else "tool"
    return Plan(route=route, tool=name, arguments=dict(arguments), missing=missing, reason=reason)


def describe(tool: BaseTool, argument: str) -> str:
    """How to ask a person for an argument: its description in the schema, else its name in words."""
    schema = _properties(tool).get(argument, {})
    return str(schema.get("description") or argument.replace("_", " "))


def _value_in(question: str, schema: Mapping[str, Any], *, required: bool) -> Any:
    kinds = {schema.get("type"), *(branch.get("type") for branch in schema.get("anyOf", ()))}
    merged = {**schema, **next((b for b in schema.get("anyOf", ()) if b.get("type") != "null"), {})}
    if "pattern" in merged:
        return _by_pattern(question, merged["pattern"])
    if "enum" in merged:
        return next((choice for choice in merged["enum"] if _has_word(question, str(choice))), None)
    if kinds & {"number", "integer"}:
        return _amount_in(question)
    if "string" in kinds and required:
        return question.strip()[: merged.get("maxLength", len(question))]
    return None


def _by_pattern(question: str, pattern: str) -> str | None:
    bare = pattern.removeprefix("^").removesuffix("$")
    match = re.search(rf"(?<!\w){bare}(?!\w)", question, re.IGNORECASE)
    spellings = (match.group(), match.group().upper(), match.group().lower()) if match else ()
    return next((text for text in spellings if re.fullmatch(bare, text)), None)


def _has_word(question: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", question, re.IGNORECASE) is not None


_AMOUNT = re.compile(
    r"(?:[$€£]|\b(?:usd|eur|gbp)\b)\s?(\d+(?:[.,]\d{1,2})?)|(\d+(?:[.,]\d{1,2})?)\s?(?:[$€£]|(?:usd|eur|gbp|dollars?|euros?|pounds?)\b)",
    re.IGNORECASE,
)


def _amount_in(question: str) -> float | None:
    match = _AMOUNT.search(question)
    return float((match.group(1) or match.group(2)).replace(",", ".")) if match else None


def _masked(text: str, tools: Sequence[BaseTool]) -> str:
    """Identifiers replaced by one word: an embedder sees them as noise, and two of them as alike."""
    for pattern in {schema["pattern"] for tool in tools for schema in _flat(tool) if "pattern" in schema}:
        bare = pattern.removeprefix("^").removesuffix("$")
        text = re.sub(rf"(?<!\w){bare}(?!\w)", "12345", text, flags=re.IGNORECASE)
    return text


def _identifies(question: str, tool: BaseTool) -> bool:
    return any(_by_pattern(question, schema["pattern"]) for schema in _flat(tool) if "pattern" in schema)


def _flat(tool: BaseTool) -> list[Mapping[str, Any]]:
    return [{**schema, **branch} for schema in _properties(tool).values() for branch in (schema.get("anyOf") or [{}])]


def _properties(tool: BaseTool) -> dict[str, dict[str, Any]]:
    return dict(schema_of(tool).get("properties", {}))


def _required(tool: BaseTool) -> list[str]:
    return list(schema_of(tool).get("required", []))


def _declared(tool: BaseTool, name: str) -> list[str]:
    return list((tool.metadata or {}).get(name, ()))
