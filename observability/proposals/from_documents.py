"""Propose golden cases from documents, by rules for English or by a chat model. Each is checked before a person reviews it."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import TypeVar

from pydantic import BaseModel

from foundation.errors import ComponentError
from foundation.text.lexical import MONTHS
from foundation.text.sentences import sentence_spans
from foundation.types import Scope
from observability.evaluation.golden_set import GoldenCase
from observability.evaluation.leaks import DocumentText
from observability.evaluation.metrics import contains, tokens
from observability.proposals.review import Proposal
from orchestration.answers.structured import Writes, generate_object
from orchestration.prompts.files import Prompt
from orchestration.prompts.frames import object_from
from retrieval.contract import Hit

T = TypeVar("T")
# Passages among which search must find the evidence. A shallow search would accept easy questions only.
DEPTH = 50
# Maximum share of the evidence's words that a question may repeat
COPIED = 0.8
# Characters that a chat model is shown at once
PASSAGE = 1_500
# Failures of one kind after which the chat model is no longer called
MOST_FAILURES = 5

_UNITS = "seconds?|minutes?|hours?|days?|weeks?|months?|years?"
_MONTHS = "|".join(month.capitalize() for month in MONTHS)
_QUANTITY = (
    rf"(?:\d{{1,2}} (?:{_MONTHS})(?: \d{{4}})?|(?:[$€£]\s?)?\d[\d.,]*\d?(?:\s?[%°€$£]\w?| (?:[a-z]+ )?(?:{_UNITS})\b|"
    r"\s(?!(?:and|or|to|in|on|at|for|per|if|when|by|of)\b)[^\W\d_]+)?)"
)
_TIME = re.compile(rf"\b({_UNITS})\b")
_SUBJECT = r"(?P<s>[^\W\d_][^,;:()?!]{1,70}?)"
_TAIL = r"(?P<a>[^;:()?!]+?)[.!]?"
_NO_SUBJECT = re.compile(
    r"\b(would|could|can|may|must|should|will|shall|not|it|this|that|these|those|they|there|he|she|we|you|i|which|who|what|if|when|but)\b",
    re.IGNORECASE,
)
_POINTING = re.compile(r"\b(it|its|this|these|those|they|them|their|he|she|his|her)\b", re.IGNORECASE)
_VERBS = "cost|take|last|weigh|include|require|need|contain|support|use|cover"
_ASKED = {"cost": "How much {do} {s} cost?", "take": "How long {do} {s} take?", "last": "How long {do} {s} last?",
          "weigh": "How much {do} {s} weigh?"}  # fmt: skip
_PREPOSITIONS = {"for": "For how long", "within": "Within what time", "after": "After what time", "before": "Before when",
                 "by": "By when", "until": "Until when", "at": "When", "from": "From when on", "on": "When"}  # fmt: skip
_DOES = re.compile(rf"{_SUBJECT} (?P<v>{_VERBS})(?P<n>s?) {_TAIL}")
_WHEN = re.compile(
    rf"{_SUBJECT} (?P<x>is|are|was|were|can be|may be|must be|should be|will be) (?P<r>[a-z]+(?:ed|en|id|ept|old|ut|ade)"
    rf"(?: [a-z]+){{0,3}}?) (?P<p>{'|'.join(_PREPOSITIONS)}) (?P<a>{_QUANTITY})(?P<rest>.*)"
)
_IS = re.compile(rf"{_SUBJECT} (?P<x>is|are|was|were) {_TAIL}")
_ROW = re.compile(r"([^:;]{1,60}): ([^;]+)(?:; |$)")
# Questions, each with a pattern of words; texts without such a word do not answer it
_ABSENT = {
    "Who invented {s}?": "invent(s|ed|or|ors)",
    "Which colour has {s}?": "colou?r(s|ed)?",
    "How heavy is {s} in kilograms?": "heavy|weigh(s|t|ts)?|kg|kilograms?",
    "Who holds a patent on {s}?": "patent(s|ed)?",
    "Which award has {s} won?": "awards?|prizes?",
    "Who sponsors {s}?": "sponsor(s|ed)?",
}

ASK = Prompt(
    "golden_question", "1",
    "You write questions that test a question-answering system. From the evidence, write ONE question that a person who has not "
    "read it would ask, in that person's own words and the language of the evidence; do not repeat its wording. Give `answer`, "
    "the fact alone (a few words, copied exactly), and `quote`, the whole sentence that states it, copied exactly.",
)  # fmt: skip
ASK_ABSENT = Prompt(
    "golden_absent", "1",
    "You write questions that test a question-answering system. Write ONE question that a reader of the evidence might well ask "
    "and that it does NOT answer, in the language of the evidence. Leave `answer` and `quote` empty.",
)  # fmt: skip


class Written(BaseModel):
    """A question with its answer."""

    question: str
    answer: str
    quote: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A question about a text, not yet checked. `answer` is empty for a question that no text answers."""

    about: DocumentText
    question: str
    answer: str = ""
    evidence: str = ""
    subject: str = ""
    """Subject of the question, for further questions about it."""


Search = Callable[[str, Scope, int], Sequence[Hit]]


@dataclass
class Checks:
    """Accepts drafts, and counts the reasons of those left out."""

    texts: Sequence[DocumentText]
    search: Search
    known: set[str] = field(default_factory=set)
    """Questions that are already cases."""
    left_out: Counter[str] = field(default_factory=Counter)

    def proposal(self, draft: Draft) -> Proposal | None:
        """Return an acceptable draft as a case with the place of its evidence, else `None`."""
        start = draft.about.text.find(draft.evidence) if draft.evidence else -1
        wrong = "is a case already" if draft.question in self.known else self._find_fault(draft, start)
        if wrong:
            self.left_out[wrong] += 1
            return None
        self.known.add(draft.question)
        case = GoldenCase(
            id=f"g-{hashlib.sha256(draft.question.encode()).hexdigest()[:12]}",
            question=draft.question,
            kind="answerable" if draft.answer else "unanswerable",
            tenant=draft.about.tenant,
            groups=tuple(sorted(draft.about.groups)),
            gold_documents=(draft.about.uri,) if draft.answer else (),
            answers=(draft.answer,) if draft.answer else (),
            answerable=bool(draft.answer),
            evidence=draft.evidence,
        )
        span = (start, start + len(draft.evidence)) if draft.answer else None
        return Proposal(case=case.model_dump(mode="json", exclude_defaults=True), span=span)

    def _find_fault(self, draft: Draft, start: int) -> str:
        asked, stated = set(tokens(draft.question)), set(tokens(draft.evidence))
        if not draft.answer:  # a word of the question must be in no text, else it may well be answered
            absent = {word for word in asked if len(word) > 3} - _words_of(self.texts)
            return "" if absent else "a question without an answer may have one: all its words stand in the documents"
        if start < 0 or not contains(draft.evidence, [draft.answer]):
            return "the evidence does not stand in the document, or not the answer in it"
        if contains(draft.question, [draft.answer]):
            return "the question says the answer"
        if len(asked & stated) > COPIED * len(stated):
            return "the question copies the sentence"
        hits = self.search(draft.question, draft.about.scope, DEPTH)
        found = (hit.chunk for hit in hits if hit.source.uri == draft.about.uri)
        if not any(chunk.start < start + len(draft.evidence) and start < chunk.end for chunk in found):
            return "search does not find the place"
        return ""


def by_rule(texts: Sequence[DocumentText]) -> Iterator[Draft]:
    """Yield drafts from the documents in turns, so that the first ones cover many documents."""
    names = {name for text in texts for name in re.findall(r"(?<=[a-z,] )[A-Z]\w+", text.text)}
    for drafts in zip_longest(*(_spread(list(_of_text(text, names))) for text in texts)):
        yield from (draft for draft in drafts if draft)


def absent_by_rule(texts: Sequence[DocumentText], drafts: Iterable[Draft]) -> Iterator[Draft]:
    """Yield unanswerable questions about the subjects of `drafts`, each kind in turn."""
    seen = _words_of(texts)
    fitting = [asked for asked, words in _ABSENT.items() if not any(re.fullmatch(words, word) for word in seen)]
    subjects = dict.fromkeys((draft.subject, draft.about) for draft in drafts if draft.subject)
    for number, (subject, about) in enumerate(subjects):
        if fitting:
            yield Draft(about, fitting[number % len(fitting)].format(s=subject))


async def by_model(
    texts: Sequence[DocumentText], by: Writes, *, absent: bool, left_out: Counter[str]
) -> AsyncIterator[Draft]:
    """Yield a chat model's proposals, one passage per document in turns. Failed calls are counted."""
    starts = ([(text, start) for start in range(0, len(text.text), PASSAGE)] for text in texts)
    for text, start in (one for turn in zip_longest(*map(_spread, starts)) for one in turn if one):
        prompt = ASK_ABSENT if absent else ASK
        try:
            written = await generate_object(
                Written, object_from(prompt, "Write the question.", text.text[start : start + PASSAGE], {}), by
            )
        except ComponentError as error:
            left_out[why := f"the chat model failed: {error.code}"] += 1
            if left_out[why] == MOST_FAILURES:
                return
            continue
        if absent:
            yield Draft(text, written.question.strip())
        elif written.answer.strip():
            quote = r"\s+".join(map(re.escape, written.quote.split()))  # with the white space of the text
            place = re.search(quote, text.text) if quote else None
            yield Draft(text, written.question.strip(), written.answer.strip(), place[0] if place else written.quote)


def _words_of(texts: Sequence[DocumentText]) -> set[str]:
    return set(chain.from_iterable(tokens(text.text) for text in texts))


def _spread(found: list[T]) -> list[T]:
    # the first few shall be from the whole document, not from its beginning
    step = max(1, round(len(found) ** 0.5))
    return [found[place] for offset in range(step) for place in range(offset, len(found), step)]


def _of_text(text: DocumentText, names: set[str]) -> Iterator[Draft]:
    sentences = [text.text[start:end] for start, end in sentence_spans(text.text)]
    for sentence, following in zip(sentences, [*sentences[1:], ""], strict=True):
        if sentence.endswith("?") and len(sentence.split()) > 3 and following and not following.endswith("?"):
            yield Draft(text, sentence, _first_clause(following), following)
        elif draft := _of_row(text, sentence) or _of_sentence(text, sentence, names):
            yield draft


def _of_row(text: DocumentText, sentence: str) -> Draft | None:
    """Make a question from a table row, which a document's text writes as `Model: QP-200; Power: 45 W`."""
    cells = _ROW.findall(sentence)
    if len(cells) < 2 or "".join(f"{name}: {value}; " for name, value in cells).strip("; ") != sentence.strip():
        return None
    (_, subject), *others = cells
    if not re.search(r"[^\W\d_]{2}", subject):
        return None
    name, value = others[len(sentence) % len(others)]
    name = name.replace("_", " ")
    asked = f"What is the {name if name.isupper() else name.lower()} of {subject}?"
    return Draft(text, asked, value.strip().rstrip("."), sentence, subject)


def _of_sentence(text: DocumentText, sentence: str, names: set[str]) -> Draft | None:
    for rule, ask in ((_WHEN, _ask_when), (_DOES, _ask_does), (_IS, _ask_is)):
        match = rule.fullmatch(sentence)
        if match is None or _NO_SUBJECT.search(match["s"]) or len(match["s"].split()) > 9:
            continue
        first, *more = match["s"].split()
        subject = " ".join([first if first in names or first[1:] != first[1:].lower() else first.lower(), *more])
        question, answer = ask(match, subject)
        if question and answer and not _POINTING.search(question):
            return Draft(text, question, answer, sentence, subject if len(subject.split()) <= 5 else "")
    return None


def _ask_when(match: re.Match[str], subject: str) -> tuple[str, str]:
    asked, (aux, *be) = _PREPOSITIONS[match["p"]], match["x"].split()
    return f"{asked} {aux} {' '.join([subject, *be])} {match['r']}?", match["a"]


def _ask_does(match: re.Match[str], subject: str) -> tuple[str, str]:
    verb = match["v"]
    quantity = re.search(_QUANTITY, match["a"])
    if not match["n"] and not match["s"].endswith("s"):  # an imperative, such as: Never use solvents
        return "", ""
    if (verb in _ASKED and not quantity) or (verb == "take" and not _TIME.search(match["a"])):
        return "", ""
    template = _ASKED.get(verb, "What {do} {s} {v}?")
    answer = quantity[0].strip() if quantity and verb in _ASKED else _first_clause(match["a"])
    return template.format(do="does" if match["n"] else "do", s=subject, v=verb), answer


def _ask_is(match: re.Match[str], subject: str) -> tuple[str, str]:
    aux, said = match["x"], match["a"]
    if quantity := re.match(_QUANTITY, said):
        money = re.match(r"[$€£]|.*\b(USD|EUR|euros?|dollars?)\b", said)
        asked = "How long" if _TIME.search(said) else "How much" if money else "What"
        return f"{asked} {aux} {subject}?", quantity[0].strip()
    if where := re.match(r"(located|situated|based|stored|kept|held|open) (?:in|at|on) (.+)", said):
        return f"Where {aux} {subject} {where[1]}?", _first_clause(re.split(" (?:for|until|from|by) ", where[2])[0])
    return (f"What {aux} {subject}?", _first_clause(said)) if re.match(r"(an?|the|called|our) ", said) else ("", "")


def _first_clause(said: str) -> str:
    clause = re.split(r"[,;:()]| (?:which|that|when|if|unless|because|and|but|so) ", said)[0]
    return " ".join(clause.split()[:12]).strip(" .!")
