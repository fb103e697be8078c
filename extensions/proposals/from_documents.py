"""Propose golden cases from documents, by rules that need no language or by a chat model. Each is checked before a person reviews it."""

import hashlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import TypeVar

from pydantic import BaseModel

from extensions.proposals.review import Proposal
from extensions.structured.generating import Ask, generate_object, object_from
from foundation.errors import ComponentError
from foundation.text.sentences import sentence_spans
from observability.evaluation.golden_set import GoldenCase, Kind
from observability.evaluation.leaks import DocumentText
from observability.evaluation.metrics import contains, tokens
from orchestration.prompts.files import Prompt
from retrieval.documents import Hit

T = TypeVar("T")
# Passages among which search must find the evidence. A shallow search would accept easy questions only.
DEPTH = 50
# Maximum share of the evidence's words that a chat model's question may repeat
COPIED = 0.8
# Characters that a chat model is shown at once
PASSAGE = 1_500
# Failures of one kind after which the chat model is no longer called
MOST_FAILURES = 5

# A whole figure of two digits or more: "14.50", "2026/03/31", "4 200", not the 200 of "QP-200", nor a part of "555 0142", nor a
# single digit, which many answers hold by chance
_GROUPS = "[ \u00a0\u2009\u202f'’]"
_JOINS = f"(?:{_GROUPS}|[.,:/])"
_FIGURE = re.compile(
    rf"(?<![\w.+-])(?<!\d{_JOINS})\+?(?:\d{{1,3}}(?:{_GROUPS}\d{{3}})+(?:[.,]\d+)?|\d[\d.,:/]*\d)(?!{_JOINS}?\d|[\w-])",
    re.ASCII,
)
GAP = "___"
_ROW = re.compile(r"([^:;]{1,60}): ([^;]+)(?:; |$)")
# What a mail does not say itself: subject and fields, what it quotes, and the line above, "On Monday Ida <ida@example.com> wrote:"
_UNSAID = re.compile(
    r"(?m)(?:\A.+\n+)?(?:From|To|Cc|Date|Sent|Subject): (?!.*; .+: )|>|(?=.*:$).*<[^\s@<>]{1,64}@[^\s<>]{1,255}>|.*:\n+>"
)
_CLAUSE_END = re.compile(r"[,;:()，；：（）、。]")  # noqa: RUF001 - full-width signs are meant
# Fewest and most words of a sentence that says enough on its own, and is still a question with a gap
_WORDS = (4, 40)

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
    subject: str | None = None
    """Of a rule's question, the part that says what it is about; empty where that is unsure. `None`: it is in words of its own."""
    kind: Kind = "answerable"
    history: tuple[tuple[str, str], ...] = ()
    """What was said before: a question with its answer."""


Search = Callable[..., Sequence[Hit]]


def case_id(asked: str) -> str:
    """Return the id of a proposed case, which follows from what is asked."""
    return f"g-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"


def join_questions(draft: Draft) -> str:
    """Return the question with those before it, as `GoldenCase.searched`."""
    return "\n".join([*(question for question, _ in draft.history), draft.question.strip()])


@dataclass
class Checks:
    """Accepts drafts, and counts the reasons of those left out."""

    texts: Sequence[DocumentText]
    search: Search
    known: set[str] = field(default_factory=set)
    """Questions that are already cases, in small letters."""
    left_out: Counter[str] = field(default_factory=Counter)

    def proposal(self, draft: Draft) -> Proposal | None:
        """Return an acceptable draft as a case with the place of its evidence, else `None`."""
        start = draft.about.text.find(draft.evidence) if draft.evidence else -1
        asked = join_questions(draft).casefold()
        wrong = "is a case already" if asked in self.known else self._find_fault(draft, start)
        if wrong:
            self.left_out[wrong] += 1
            return None
        self.known.add(asked)
        case = GoldenCase(
            id=case_id(join_questions(draft)),
            question=draft.question,
            kind=draft.kind if draft.answer else "unanswerable",
            tenant=draft.about.tenant,
            groups=tuple(sorted(draft.about.groups)),
            gold_documents=(draft.about.uri,) if draft.answer else (),
            answers=(draft.answer,) if draft.answer else (),
            answerable=bool(draft.answer),
            history=draft.history,
            evidence=draft.evidence,
        )
        span = (start, start + len(draft.evidence)) if draft.answer else None
        return Proposal(case=case.model_dump(mode="json", exclude_defaults=True), span=span)

    def _find_fault(self, draft: Draft, start: int) -> str:
        asked, stated = set(tokens(draft.question)), set(tokens(draft.evidence))
        if not draft.answer:  # its made-up code, or else one of its words, must be in no text
            new = set(tokens(draft.subject)) if draft.subject else {word for word in asked if len(word) > 3}
            absent = new - _words_of(self.texts)
            return "" if absent else "a question without an answer may have one: all its words stand in the documents"
        if start < 0 or not contains(draft.evidence, [draft.answer]):
            return "the evidence does not stand in the document, or not the answer in it"
        if contains(draft.question, [draft.answer]):
            return "the question says the answer"
        if draft.subject is None and draft.kind == "answerable" and len(asked & stated) > COPIED * len(stated):
            return "the question copies the sentence"
        hits = self.search(join_questions(draft), draft.about.scope, limit=DEPTH)
        found = (hit.chunk for hit in hits if hit.source.uri == draft.about.uri)
        if not any(chunk.start < start + len(draft.evidence) and start < chunk.end for chunk in found):
            return "search does not find the place"
        return ""


def by_rule(texts: Sequence[DocumentText]) -> Iterator[Draft]:
    """Yield questions that a text asks and answers, rows of tables, and sentences with a gap in place of a figure."""
    return in_turns(_of_text, texts)


def in_turns(drafts_of: Callable[[DocumentText], Iterable[Draft]], texts: Iterable[DocumentText]) -> Iterator[Draft]:
    """Yield the drafts of the documents in turns, so that the first ones cover many documents."""
    for drafts in zip_longest(*(_spread(list(drafts_of(text))) for text in texts)):
        yield from (draft for draft in drafts if draft)


def absent_by_rule(drafts: Iterable[Draft]) -> Iterator[Draft]:
    """Yield the questions of `drafts` about a thing that is not there: a made-up code in place of their subject."""
    for draft in drafts:
        if draft.subject:
            code = f"QX-{int(hashlib.sha256(draft.question.encode()).hexdigest()[:8], 16) % 9000 + 1000}"
            asked = re.sub(rf"(?<!\w){re.escape(draft.subject)}(?!\w)", code, draft.question)
            yield Draft(draft.about, asked, subject=code)


async def by_model(
    texts: Sequence[DocumentText], ask: Ask, *, absent: bool, left_out: Counter[str]
) -> AsyncIterator[Draft]:
    """Yield a chat model's proposals, one passage per document in turns. Failed calls are counted."""
    starts = ([(text, start) for start in range(0, len(text.text), PASSAGE)] for text in texts)
    for text, start in (one for turn in zip_longest(*map(_spread, starts)) for one in turn if one):
        prompt = ASK_ABSENT if absent else ASK
        try:
            written = await generate_object(
                Written, object_from(prompt, "Write the question.", text.text[start : start + PASSAGE], {}), ask
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


def sentences_of(text: DocumentText) -> list[str]:
    """Return the sentences of a text that are its own: of a mail, not what it quotes."""
    return [text.text[start:end] for start, end in sentence_spans(text.text) if not _is_unsaid(text, start)]


def _of_text(text: DocumentText) -> Iterator[Draft]:
    sentences = sentences_of(text)
    for sentence, following in zip(sentences, [*sentences[1:], ""], strict=False):
        asks, answers = (it.endswith(("?", "？", "؟")) for it in (sentence, following))  # noqa: RUF001 - full-width signs are meant
        if asks and following and not answers:
            answer = " ".join(_CLAUSE_END.split(following)[0].split()[:12]).strip(" .!")
            yield Draft(text, sentence, answer, following)
        elif not asks and (draft := _of_row(text, sentence) or _of_figure(text, sentence)):
            yield draft


def _is_unsaid(text: DocumentText, start: int) -> bool:
    return text.uri.casefold().endswith(".eml") and bool(_UNSAID.match(text.text, text.text.rfind("\n", 0, start) + 1))


def cells_of(sentence: str) -> list[tuple[str, str]]:
    """Return the cells of a table row, which a document's text writes as `Model: QP-200; Power: 45 W`; none of other text."""
    cells = _ROW.findall(sentence)
    whole = len(cells) > 1 and "".join(f"{name}: {value}; " for name, value in cells).strip("; ") == sentence.strip()
    return cells if whole else []


def _of_row(text: DocumentText, sentence: str) -> Draft | None:
    """Ask for a cell of a table row."""
    cells = cells_of(sentence)
    if not cells:
        return None
    (_, subject), *others = cells
    name, value = others[len(sentence) % len(others)]
    return Draft(text, f"{subject}: {name}?", value.strip().rstrip("."), sentence, subject)


def _of_figure(text: DocumentText, sentence: str) -> Draft | None:
    figure = _FIGURE.search(sentence, 1)  # not at the start, where it numbers a list
    if figure is None or not _WORDS[0] <= len(tokens(sentence)) <= _WORDS[1] or not re.search(r"[^\W\d_]", sentence):
        return None
    asked = f"{sentence[: figure.start()]}{GAP}{sentence[figure.end() :]}".rstrip(" .!。")
    return Draft(text, f"{asked}?", figure[0], sentence, _name_in(sentence[: figure.start()]))


def _name_in(clause: str) -> str:
    # the longest word, if it is capitalised within the sentence; a question without an adverb or a month can still be answered
    longest = max(re.findall(r"(?<=[^\W\d_] )\w[\w-]*\b(?!\s*$)", clause), key=len, default="")
    return longest if longest[:1].isupper() else ""
