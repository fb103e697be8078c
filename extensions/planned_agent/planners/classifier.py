"""A planner by nearest example, without a language model, for chat models that cannot plan.

    [orchestration.agent]
    without_tools = { use = "graph", planner = { use = "classifier", floor = 0.6 } }

Each part of the request is compared with the tools' `examples`, with questions for the documents (also the tools'
`not_requests`, which only sound like requests) and with wishes for a person; first words that fit a tool's
`trigger_pattern` always ask for it. Arguments are read by the patterns of the tools' schemas.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from langchain_core.tools import BaseTool
from pydantic import Field

from extensions.planned_agent.intent import Clause, classify_clauses, reverses, verbs
from extensions.planned_agent.plan import Plan, PlanStep
from extensions.planned_agent.plans import POINTS, STEPS, is_effect, route_of, tool_step
from extensions.planned_agent.stated_arguments import (
    arguments_in,
    identifiers,
    identifies,
    left_open,
    mask_identifiers,
    metadata_texts,
)
from foundation.machine.deadline import in_thread
from foundation.settings import Section
from foundation.text.lexical import is_foreign, terms
from foundation.text.sentences import sentence_spans
from models.contract import Embeddings
from models.embedding import embed
from orchestration.contract import AgentParts
from orchestration.run.run import Run

# Questions that documents answer, whatever the subject
KNOWLEDGE = (
    "What is the policy on this?",
    "How do I set this up?",
    "How long does it take?",
    "How much does it cost?",
    "Who has to approve this, and when?",
    "Am I allowed to do that?",
    "What is the difference between the two?",
)

# Wishes that only a person can meet
PERSON = (
    "I want to speak to a human.",
    "Can I talk to a real person?",
    "Please put me through to a member of staff.",
    "Connect me with your manager.",
    "I don't want to talk to a bot, give me a colleague of yours.",
)

# Greetings and questions about the assistant, which get a fixed reply
TALK = (
    "Hello",
    "Good morning",
    "Thanks",
    "Thank you very much",
    "What can you do?",
    "How can you help me?",
    "Who are you?",
)

FOREIGN = (
    "the question is not in English, and what it asks for was read by lists of English words: a chat model that calls tools reads "
    "every language"
)

_JOINT = r"(?:and\s++then|and\s++also|and|then|also|plus)\s++"
_BREAK = re.compile(  # linear: a run of blanks, of which there may be thousands, is matched once
    rf"(?:(?<!\s)\s++)?[,;]\s++(?:{_JOINT})?|(?<!\s)\s++{_JOINT}", re.IGNORECASE
)
_ASKS = re.compile(
    r"(?:(?:please\s+)?(?:tell me|let me know|show me|explain|say)\s+|(?:and|but|so|for|until|by|from|in|to|at|on)\s+)?"
    r"(?:who|whom|whose|what|which|when|where|why|how|can|could|do|does|did|is|are|may|must|should|will|would)\b"
    r"|(?:please\s+)?(?:tell me|let me know|explain)\s",
    re.IGNORECASE,
)
_OWNED = re.compile(r"\b(?:its|their)\s+(\w+(?:\s+\w+)?)", re.IGNORECASE)
# Least words of a question that stands alone; "and how long?" belongs to the part before it
_ALONE = 4
_THEN = re.compile(r"\bthen\b|\bafter(?:wards| that)\b", re.IGNORECASE)
# Difference below which the order of two scores may depend on the processor
ALIKE = 0.02


class Options(Section):
    """The defaults are for all-MiniLM-L6-v2 and requests in English. With another embedder or language, tune them on
    your own requests; the plan in each answer shows the scores.
    """

    floor: float = Field(default=0.6, ge=0, le=1)
    """Least cosine of a part of the request and a tool's nearest example."""
    margin: float = Field(default=0.15, ge=0, le=1)
    """Least lead in cosine of the nearest example over the nearest question for the documents."""
    identified: float = Field(default=0.3, ge=0, le=1)
    """Bonus on the cosine where the request has an identifier that the tool takes."""
    acts: float = Field(default=0.5, ge=0, le=1)
    """Least cosine, without the bonus, for a tool with an effect: acting unasked is far worse than not acting."""
    knowledge: tuple[str, ...] = Field(default=KNOWLEDGE, min_length=1)
    """Questions that documents answer, whatever the subject; those about a tool's subject belong in its `not_requests`."""
    person: tuple[str, ...] = Field(default=PERSON, min_length=1)
    """Wishes that only a person can meet."""
    talk: tuple[str, ...] = Field(default=TALK, min_length=1)
    """Greetings and questions about the assistant, which get a fixed reply."""


class ClassifierPlanner:
    """Plans by nearest example, with a floor and a margin.

    A request is cut at ends of sentences and at joints. A part with a tool or question of its own becomes a step; every
    other part joins the one before it.
    """

    def __init__(self, embedder: Embeddings, options: Options) -> None:
        self._embedder = embedder
        self._options = options

    async def plan(self, question: str, tools: Sequence[BaseTool], run: Run, *, allowed: frozenset[str]) -> Plan:
        if self._options.knowledge == KNOWLEDGE and is_foreign(question):
            run.note(FOREIGN)
        return await in_thread(self._plan, question, tools, allowed, run)

    async def replan(self, plan: Plan, question: str, tools: Sequence[BaseTool], run: Run) -> Plan:  # noqa: ARG002
        return plan

    def _plan(self, question: str, tools: Sequence[BaseTool], allowed: frozenset[str], run: Run) -> Plan:
        own = verbs(text for tool in tools if is_effect(tool) for text in metadata_texts(tool, "examples"))
        spans, read_as = clauses(question), classify_clauses(question, own)
        stretches = [_make_part(question, span, read_as, tools) for span in [(0, len(question)), *spans]]
        whole, *pieces = self._judge_all(stretches, tools)
        if whole.person:
            return Plan(route="hand_over", made_by="classifier", reason=whole.reason)
        if whole.reply:
            reply = _idle_reply(whole.reply, tools, allowed, run)
            return Plan(route="reply", made_by="classifier", reason=whole.reason, reply=reply)
        parts = _parts(question, pieces, whole)
        if len(parts) > 1 and (whole.tool is None or whole.tool in [part.tool for part in parts]):
            return _plan_of_several(question, parts, allowed)
        step = _make_step(1, whole, question)
        return Plan(route=route_of([step], allowed), steps=(step,), made_by="classifier", reason=whole.reason)

    def _judge_all(self, said: Sequence[_Part], tools: Sequence[BaseTool]) -> list[_Part]:
        not_requests = (text for tool in tools for text in metadata_texts(tool, "not_requests"))
        knowledge = [*self._options.knowledge, *not_requests]
        examples = [metadata_texts(tool, "examples") or [tool.description] for tool in tools]
        requests = [text for text in knowledge if all(clause.asks for clause in classify_clauses(text))]
        groups = [knowledge, requests or knowledge, self._options.person, self._options.talk, *examples]
        references = [mask_identifiers(text, tools) for group in groups for text in group]
        masked = {text: mask_identifiers(text, tools) for part in said for text in (part.text, part.asked)}
        texts = list(dict.fromkeys(masked.values()))
        vectors = embed(self._embedder, [*texts, *references])
        known = vectors[len(texts) :]
        near = {text: _nearest(vector, known, groups) for text, vector in zip(texts, vectors, strict=False)}
        return [self._judge_part(part, tools, near[masked[part.text]], near[masked[part.asked]]) for part in said]

    def _judge_part(
        self, part: _Part, tools: Sequence[BaseTool], near: Sequence[float], asked: Sequence[float]
    ) -> _Part:
        """Judge one part. `near` has the greatest cosine of each group to the part, `asked` to its asking words;
        those are compared only with questions in the form of a request ("Can I get a refund?").
        """
        against, _, person, talk, *tool_scores = near
        otherwise = f"to questions for the documents {against:.2f}"
        enough = max(self._options.floor, against + self._options.margin)
        sounds = [self._score(part, tool, cosine) for tool, cosine in zip(tools, tool_scores, strict=True)]
        # 0 for a tool with an effect that nobody asks for
        scores = [self._request_score(part, tool, *two) for tool, *two in zip(tools, asked[4:], sounds, strict=True)]
        best = max(scores, default=0.0)
        if person >= enough and person > best:
            return replace(part, person=True, reason=f"similarity to wishes for a person {person:.2f}, {otherwise}")
        if talk >= enough and talk > best:
            return replace(part, reply="talk", reason=f"similarity to greetings {talk:.2f}, {otherwise}")
        if not tools:
            return replace(part, reason="no tools")
        first = tools[sounds.index(max(sounds))]
        # Of tools with nearly equal scores, prefer the one whose name is said: rounding must not decide.
        said = {*part.asked.casefold().split()}
        alike = [at for at, score in enumerate(scores) if score >= best - ALIKE and said & {*tools[at].name.split("_")}]
        at = max(alike or range(len(scores)), key=scores.__getitem__)
        tool, best = tools[at], scores[at]
        needed = max(self._options.floor, asked[1] + self._options.margin) if is_effect(tool) else enough
        chosen = best >= needed
        if max(sounds) >= enough and is_effect(first) and not part.question and not (chosen and is_effect(tool)):
            why = f"sounds like {first.name} ({max(sounds):.2f}), and nobody asks for it"
            return replace(part, reply="unasked" if part.refused else "", reason=why)
        named = f"{self._options.identified:.2f} of it for its identifier, " if identifies(part.text, tool) else ""
        reason = f"similarity to requests for {tool.name} {best:.2f} ({named}{needed:.2f} needed), {otherwise}"
        return replace(part, tool=tool if chosen else None, reason=reason)

    def _score(self, part: _Part, tool: BaseTool, cosine: float) -> float:
        if _opens(part.text, tool):
            return 1.0
        return cosine + (self._options.identified if identifies(part.text, tool) else 0.0)

    def _request_score(self, part: _Part, tool: BaseTool, cosine: float, sounds: float) -> float:
        if not is_effect(tool) or _opens(part.text, tool):
            return sounds
        words = [tool.name, tool.description, *metadata_texts(tool, "examples")]
        is_asked = bool(part.asked) and cosine >= self._options.acts and not reverses(part.asked, words)
        return self._score(part, tool, cosine) if is_asked else 0.0


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the request and what it asks for: a tool, a person, or (neither) knowledge."""

    text: str
    """The words that were judged; `span` is their place in the request."""
    span: tuple[int, int]
    asked: str = ""
    """The words that ask for something to be done."""
    question: bool = False
    refused: bool = False
    tool: BaseTool | None = None
    person: bool = False
    reply: Literal["", "talk", "unasked"] = ""
    """The fixed reply where nothing is to be done: to a greeting, or to an effect that is mentioned but not asked for."""
    reason: str = ""

    @property
    def asks(self) -> bool:
        return _ASKS.match(self.text) is not None and len(self.text.split()) >= _ALONE


def clauses(question: str) -> list[tuple[int, int]]:
    """Return the spans of a request that may be parts of their own; empty where there is only one.

    >>> question = "Who has key A-12, and how long may it be kept?"
    >>> [question[start:end] for start, end in clauses(question)]
    ['Who has key A-12', 'how long may it be kept?']
    """
    spans = []
    for start, end in sentence_spans(question):
        cuts = [(start + cut.start(), start + cut.end()) for cut in _BREAK.finditer(question[start:end])]
        starts, ends = [start, *(cut[1] for cut in cuts)], [*(cut[0] for cut in cuts), end]
        spans += [(a, b) for a, b in zip(starts, ends, strict=True) if a < b]
    return spans if len(spans) > 1 else []


def _insert_identifier(piece: str, question: str, tools: Sequence[BaseTool]) -> str:
    # a question and a remark ("it arrived broken") keep their words: with an identifier they would look like requests
    names = tuple(dict.fromkeys(name for tool in tools for name in identifiers(question, tool)))
    if len(names) != 1 or _ASKS.match(piece) or POINTS.match(piece) or names[0] in piece.upper():
        return piece
    return POINTS.sub(names[0], piece, count=1)


def _make_part(question: str, span: tuple[int, int], read_as: Sequence[Clause], tools: Sequence[BaseTool]) -> _Part:
    start, end = span
    inside = [clause for clause in read_as if clause.start < end and clause.end > start]
    asking = [(max(start, clause.start), min(end, clause.end)) for clause in inside if clause.asks]
    everything = len(asking) == len(inside) and not (asking and re.search(r"\w", question[asking[-1][1] : end]))
    words = question[start:end] if everything else ", ".join(question[a:b].strip() for a, b in asking)
    return _Part(
        text=question if span == (0, len(question)) else _insert_identifier(question[start:end], question, tools),
        span=span,
        asked=words if span == (0, len(question)) else _insert_identifier(words, question, tools),
        question=any(clause.question for clause in inside),
        refused=any(clause.refused for clause in inside),
    )


def _nearest(vector: Any, references: Iterable[Any], groups: Sequence[Sequence[str]]) -> list[float]:
    """Return the greatest cosine to a text of each group; `references` are the texts' vectors in order."""
    similarities = iter(float(reference @ vector) for reference in references)
    return [max(next(similarities) for _ in group) for group in groups]


def _idle_reply(reply: str, tools: Sequence[BaseTool], allowed: frozenset[str], run: Run) -> str:
    acts = [tool for tool in tools if tool.name in allowed and (reply == "talk" or is_effect(tool))]
    sentences = [tool.description.split(". ")[0].strip().rstrip(".") for tool in acts]
    able = "; ".join(sentence[:1].lower() + sentence[1:] for sentence in sentences)
    if reply == "talk":
        return run.prompt("greeting").text + (f" I can also do this: {able}." if able else "")
    return run.prompt("nothing_done").text + (f" If you want one of these, please say so: {able}." if able else "")


def _opens(text: str, tool: BaseTool) -> bool:
    pattern = (tool.metadata or {}).get("trigger_pattern")
    return bool(pattern and re.match(pattern, text, re.IGNORECASE))


def _parts(question: str, pieces: Sequence[_Part], whole: _Part) -> list[_Part]:
    """Return the pieces with a tool or a question of their own; others are merged into the one before, as are a question about
    a tool's result ("and what did it cost?"), and a tool that lacks an argument if the whole request is for no tool.
    """
    parts: list[_Part] = []
    for piece in pieces:
        tools = [part.tool for part in parts if part.tool is not None]
        if tools and _names_another(piece, tools[-1]):
            parts.append(replace(piece, tool=tools[-1]))
        elif same := next((part for part in parts if _same(part, piece)), None):
            parts[parts.index(same)] = _longer(same, piece, question)
        elif _own(piece, question, whole, tools) and len(parts) < STEPS:
            parts.append(piece)
        elif parts:
            parts[-1] = _longer(parts[-1], piece, question)
    if parts:
        parts[0] = _longer(parts[0], pieces[0], question)
    return parts


def _own(piece: _Part, question: str, whole: _Part, before: Sequence[BaseTool]) -> bool:
    if piece.tool is not None:
        if not piece.asked and not piece.question:  # a remark: "The batteries in A-12 last an hour."
            return False
        return whole.tool is not None or not _make_step(1, piece, question).missing
    if not piece.asks or not (before and whole.tool is not None and POINTS.search(piece.text)):
        return piece.asks
    # "its warranty" is in no result of a tool that speaks of none
    about = terms(" ".join([before[-1].description, *metadata_texts(before[-1], "examples")]))
    return any(about.isdisjoint(asked) for noun in _OWNED.findall(piece.text) if (asked := terms(noun)))


def _longer(part: _Part, piece: _Part, question: str) -> _Part:
    start, end = min(part.span[0], piece.span[0]), max(part.span[1], piece.span[1])
    asked = ", ".join(filter(None, (part.asked, piece.asked))) if piece is not part else part.asked
    return replace(part, span=(start, end), text=question[start:end], asked=asked)


def _same(part: _Part, piece: _Part) -> bool:
    """Whether the piece repeats the part's request without an identifier of its own."""
    if part.tool is None or part.tool is not piece.tool:
        return False
    old, new = identifiers(part.text, part.tool), identifiers(piece.text, part.tool)
    return not old or not new or set(new) <= set(old)


def _names_another(piece: _Part, tool: BaseTool) -> bool:
    """Whether the piece asks the tool for another identifier in a few words ("and R-2002 by 2 days")."""
    if not piece.asked or piece.question or not (codes := identifiers(piece.text, tool)):
        return False
    words = re.sub(r"\bplease\b", "", piece.text, flags=re.IGNORECASE).split()
    return len(words) <= _ALONE and words[0].strip(".,;:!").upper() == codes[0]


def _plan_of_several(question: str, parts: Sequence[_Part], allowed: frozenset[str]) -> Plan:
    steps: list[PlanStep] = []
    for number, part in enumerate(parts, 1):
        step = _make_step(number, part, question)
        leads = [lead for lead in steps if lead.kind == "look_up"]
        borrows = part.tool is not None and not identifies(step.ask, part.tool)
        if leads and step.kind == "act" and (borrows or _THEN.search(question)):
            step = step.model_copy(update={"after": (leads[-1].step_id,)})
        steps.append(step)
    steps = [_share_arguments(step, steps) for step in steps]
    reason = "; ".join(part.reason for part in parts)
    return Plan(route=route_of(steps, allowed), steps=tuple(steps), made_by="classifier", reason=reason)


def _share_arguments(step: PlanStep, steps: Sequence[PlanStep]) -> PlanStep:
    """Fill arguments that the step lacks from other steps of the same tool: "Extend R-2001 and R-2002 by 2 days"."""
    shared = {}
    for name in step.missing:
        stated = [each.arguments[name] for each in steps if each.tool == step.tool and name in each.arguments]
        if stated and all(value == stated[0] for value in stated):
            shared[name] = stated[0]
    missing = tuple(name for name in step.missing if name not in shared)
    return step.model_copy(update={"arguments": step.arguments | shared, "missing": missing})


def _make_step(number: int, part: _Part, question: str) -> PlanStep:
    ask = question[slice(*part.span)].strip(" ,;")
    if part.tool is None:
        return PlanStep(step_id=str(number), kind="answer", ask=ask)
    arguments = arguments_in(part.text, part.tool, whole=question)
    if part.asked and is_effect(part.tool):
        arguments |= arguments_in(part.asked, part.tool, whole=question)
    if not identifies(part.text, part.tool) and len(identifiers(question, part.tool)) == 1:
        arguments = arguments_in(question, part.tool) | arguments
    step = tool_step(str(number), part.tool, arguments, ask=ask)
    return step.model_copy(update={"missing": (*step.missing, *left_open(part.asked, part.tool, arguments))})


def build(options: Options, context: AgentParts) -> ClassifierPlanner:
    return ClassifierPlanner(context.embedder, options)
