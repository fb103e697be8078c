"""Answers from evidence, quoted or written, every sentence of which is covered by an exact span."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from langchain_core.messages import AIMessageChunk

from extensions.planned_agent.clauses import narrow
from extensions.planned_agent.english import refers_back
from extensions.planned_agent.orders import as_quotation, instructs_reader
from foundation.errors import UpstreamMalformed
from foundation.text.lexical import Rarity, terms
from foundation.text.sentences import FOREIGN_STOPS, sentence_spans
from foundation.text.words import word_count
from models.resilience.streams import empty_reply_of, is_cut_off
from orchestration.events import StopReason
from orchestration.language.guard import without_foreign_urls
from orchestration.prompts.frames import answer_from
from orchestration.run.run import Run
from retrieval.documents import Citation
from retrieval.grounding.citing import Evidence
from retrieval.grounding.evidence import FAR_BEHIND, Grounding

SENTENCES = 3
# Most words of an extractive answer; of a longer first sentence only the part that answers is quoted
WORDS = 40
# Most sentences and words of an answer to a question that asks for several things
SENTENCES_TO_SEVERAL, WORDS_TO_SEVERAL = 4, 60
REPLY_TOKENS = 120
# Share of the best quote's score that a further quote must reach
_NEAR = 0.85
# Weight of what a further quote matches of the question beyond the quotes before it
_NEW = 3.0
_OTHER_DOCUMENT = 0.1
_ALIKE = 0.6
_CIRCLES = 2
# Number of quotes with the question's rarest word that outweigh a first quote without it
_OUTNUMBERED = 2
_ENDS = (".", "!", "?", "]", ")", '"', "”", "」", "』", *FOREIGN_STOPS)
_ASKS = r"(?:who|whom|whose|what|which|when|where|why|how|can|could|do|does|did|is|are|may|must|should|will|would)"
_SEVERAL = re.compile(
    rf"\b(?:and|or)\b(?:\W+\w+)?\W+{_ASKS}\b|\?.+\?|\bdifferences?\b|\bboth\b", re.IGNORECASE | re.DOTALL
)
_MARKER = re.compile(r"(?:(?<!\s)\s++)?\[(\d{1,2})\]")
_REFUSAL = re.compile(r"\b(i|we) (do not|don't|cannot|can't|am unable|are unable)\b|\bas an ai\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence without markers, and the indices (from 0) of the evidence that it cites."""

    text: str
    cited: tuple[int, ...]
    part: Evidence | None = None
    """The span that it quotes, where that is not exactly the cited evidence."""


@dataclass(frozen=True, slots=True)
class Draft:
    path: Literal["extractive", "generative"]
    sentences: tuple[Sentence, ...]
    end: StopReason = "complete"
    """Why it ends: `length` where the chat model reached its limit of tokens, `error` where it broke off."""


def draft_extractive(question: str, evidence: Sequence[Evidence]) -> Draft:
    """Quote the best sentence, and those that are nearly as good, match more of the question and do not repeat it.

    They come from one document; a question that asks for several things gets a longer answer, also from several
    documents with similar scores. A sentence that refers back is quoted with the one before it, where there is room.
    """
    several = _SEVERAL.search(question) is not None
    whole, most = evidence, WORDS_TO_SEVERAL if several else WORDS
    evidence = [*(narrow(question, item, most) for item in whole[:1]), *whole[1:]]
    chosen: list[int] = []
    while len(chosen) < (SENTENCES_TO_SEVERAL if several else SENTENCES):
        before = [evidence[index] for index in chosen]
        unused = [index for index in range(len(evidence)) if index not in chosen]
        values = {index: _value(evidence[index], before, several=several) for index in unused}
        fitting = {index: value for index, value in values.items() if value >= _NEAR * evidence[0].score}
        if not fitting:
            break
        chosen.append(max(fitting, key=fitting.__getitem__))
    quotes = {index: evidence[index] for index in _to_the_point(question, chosen, evidence)}
    for index, item in quotes.items():
        others = [quote for place, quote in quotes.items() if place != index]
        quotes[index] = _with_antecedent(item, others, most)
    return Draft("extractive", tuple(_quote(index, quotes[index], whole[index]) for index in _in_reading_order(quotes)))


async def draft_generative(
    question: str, evidence: Sequence[Evidence], run: Run, *, seen: Callable[[AIMessageChunk], None] = lambda _: None
) -> Draft:
    """Let the chat model write from the evidence, and split its reply into sentences and their markers; `seen` gets each chunk.
    Raises BudgetExceeded: the call does not fit. ComponentError: the model failed or wrote nothing.
    """
    messages = answer_from(run.prompt("graph_answer"), question, [item.text for item in evidence])
    reply = await run.bill.generate(messages, max_tokens=REPLY_TOKENS, seen=seen)
    if not reply.text.strip():
        raise UpstreamMalformed(empty_reply_of(reply))
    sentences = _sentences(reply.text, len(evidence))
    if cut := is_cut_off(reply) and len(sentences) < SENTENCES:
        run.note(f"the model reached its limit of tokens, here at most {REPLY_TOKENS}, and the answer breaks off")
    return Draft("generative", sentences, "length" if cut else "complete")


def salvage_partial(text: str, evidence: Sequence[Evidence]) -> Draft | None:
    """Return the whole sentences of a reply that broke off; `None` where there is none."""
    sentences = _sentences(text, len(evidence), broke_off=True)
    return Draft("generative", sentences, "error") if sentences else None


def verify(draft: Draft, evidence: Sequence[Evidence], grounding: Grounding) -> Draft | None:
    """Return the draft with a supporting citation for every sentence; `None` where one has none. Evidence that seems to
    give orders is shown in quotation marks, and replaces what a model wrote from it alone. Raises ComponentError: the
    embedder failed.
    """
    checked: list[Sentence] = []
    for sentence in draft.sentences:
        if draft.path == "extractive":
            checked.append(_as_quotation(sentence, evidence))
            continue
        cited = _supporting(sentence, evidence, grounding)
        if not cited or _REFUSAL.search(sentence.text) or _is_derailed(sentence.text):
            return None
        if orders := [index for index in cited if instructs_reader(evidence[index].text)]:
            checked.append(_as_quotation(_quote(orders[0], evidence[orders[0]], evidence[orders[0]]), evidence))
            continue
        quotes = [evidence[index].text for index in cited]
        checked.append(Sentence(without_foreign_urls(sentence.text, quotes), cited))
    return replace(draft, sentences=tuple(checked)) if checked else None


def quoted_of(draft: Draft, evidence: Sequence[Evidence]) -> list[Evidence]:
    """Return the spans that a draft quotes or rests on."""
    return [sentence.part or evidence[sentence.cited[0]] for sentence in draft.sentences]


def render(draft: Draft, evidence: Sequence[Evidence], grounding: Grounding) -> tuple[str, tuple[Citation, ...]]:
    """Return the text with its markers, numbered in the order of first use, and their citations."""
    citations: dict[int, Citation] = {}
    parts = []
    for sentence in draft.sentences:
        for index in sentence.cited:
            if index not in citations:
                citations[index] = grounding.cite(sentence.part or evidence[index], len(citations) + 1)
        parts.append(f"{sentence.text} {''.join(f'[{citations[index].marker}]' for index in sentence.cited)}")
    return " ".join(parts), tuple(citations.values())


def _quote(index: int, item: Evidence, whole: Evidence) -> Sentence:
    """Quote evidence, with an ellipsis wherever something of its sentence is left out."""
    before, after = "…" if item.start > whole.start else "", "…" if item.end < whole.end else ""
    return Sentence(f"{before}{_plain(item.text)}{after}", (index,), None if item == whole else item)


def _as_quotation(sentence: Sentence, evidence: Sequence[Evidence]) -> Sentence:
    parts = [sentence.part] if sentence.part else [evidence[index] for index in sentence.cited]
    orders = any(instructs_reader(part.text) for part in parts)
    return replace(sentence, text=as_quotation(sentence.text)) if orders else sentence


def _to_the_point(question: str, chosen: Sequence[int], evidence: Sequence[Evidence]) -> Sequence[int]:
    """Keep the quotes with the question's rarest word, where at least two others have it and the first does not."""
    term_sets = [terms(item.text) for item in evidence]
    rarity = Rarity.among(terms(question), term_sets).weights
    occurring = [term for term in rarity if any(term in term_set for term_set in term_sets)]
    rarest = max(occurring, key=lambda term: (rarity[term], term), default="")
    having = [index for index in chosen if rarest in term_sets[index]]
    return having if len(having) >= _OUTNUMBERED and chosen[0] not in having else chosen


def _with_antecedent(item: Evidence, others: Sequence[Evidence], most: int) -> Evidence:
    """Extend the evidence back to a sentence that names its subject, where there is room and no other quote."""
    chunk = item.hit.chunk
    room = most - sum(word_count(other.text) for other in others)
    wider = item
    while refers_back(wider.text):
        before = chunk.text[: wider.start - chunk.start]
        spans = sentence_spans(before)
        if not spans or "\n\n" in before[spans[-1][1] :]:
            return wider
        start = chunk.start + spans[-1][0]
        text = chunk.text[start - chunk.start : item.end - chunk.start]
        beside = [other for other in others if other.hit.chunk.document_id == chunk.document_id]
        if word_count(text) > room or any(other.start <= start < other.end for other in beside):
            return wider
        wider = replace(wider, start=start, text=text)
    return wider


def _in_reading_order(quotes: Mapping[int, Evidence]) -> list[int]:
    """Return the order of the quotes: as chosen, but neighbouring sentences as in their document."""
    chosen = list(quotes)
    runs: list[list[int]] = []
    for index in sorted(quotes, key=lambda index: (quotes[index].hit.chunk.document_id, quotes[index].start)):
        if runs and _stand_together(quotes[runs[-1][-1]], quotes[index]):
            runs[-1].append(index)
        else:
            runs.append([index])
    return [index for run in sorted(runs, key=lambda run: min(map(chosen.index, run))) for index in run]


def _stand_together(first: Evidence, second: Evidence) -> bool:
    if first.hit.chunk.document_id != second.hit.chunk.document_id:
        return False
    chunk = first.hit.chunk if second.start <= first.hit.chunk.end else second.hit.chunk
    if first.end < chunk.start:
        return False
    between = chunk.text[first.end - chunk.start : second.start - chunk.start]
    return "\n\n" not in between and ("\n" in between or not between.strip())


def _value(item: Evidence, chosen: Sequence[Evidence], *, several: bool) -> float:
    """Return the value of `item` beside the chosen quotes: 0 where it repeats them, makes the answer too long or may not be added."""
    if not chosen:
        return item.score
    words = sum(word_count(quote.text) for quote in (*chosen, item))
    if words > (WORDS_TO_SEVERAL if several else WORDS) or any(_repeats(item.text, quote.text) for quote in chosen):
        return 0.0
    elsewhere = item.hit.chunk.document_id not in {quote.hit.chunk.document_id for quote in chosen}
    far = max(quote.hit.score for quote in chosen) - item.hit.score >= FAR_BEHIND
    if elsewhere and (far or not several):
        return 0.0
    return item.score * (1 + _OTHER_DOCUMENT * elsewhere) + _NEW * _novelty(item, chosen)


def _novelty(item: Evidence, chosen: Sequence[Evidence]) -> float:
    """Return how much of the question `item` matches beyond the chosen quotes, from 0 to 1."""
    matched: list[float] = [max(parts) for parts in zip(*(quote.matched for quote in chosen), strict=True)]
    return sum(max(0.0, ours - theirs) for ours, theirs in zip(item.matched, matched, strict=True))


def _repeats(text: str, other: str) -> bool:
    """Whether `text` has mostly the words of `other`, and no figure or identifier of its own."""
    ours, theirs = terms(text), terms(other)
    alike = len(ours & theirs) / max(1, min(len(ours), len(theirs))) > _ALIKE
    return alike and not any(any(map(str.isdigit, term)) for term in ours - theirs)


def _sentences(text: str, passages: int, *, broke_off: bool = False) -> tuple[Sentence, ...]:
    """Split a reply into sentences without an unfinished last one; a reply that did not break off keeps at least one."""
    # `It is so. [1]` to `It is so [1].`, so that a marker stays with its sentence when the text is cut.
    text = re.sub(rf"([.!?{FOREIGN_STOPS}])((?:\s*\[\d{{1,2}}\])+)", r"\2\1", text.strip())
    cut = [text[start:end] for start, end in sentence_spans(text)]
    if cut and not cut[-1].endswith(_ENDS) and (broke_off or len(cut) > 1):
        cut.pop()
    sentences = []
    for sentence in cut:
        cited = dict.fromkeys(int(number) - 1 for number in _MARKER.findall(sentence))
        if words := _plain(_MARKER.sub("", sentence)):
            sentences.append(Sentence(words, tuple(index for index in cited if 0 <= index < passages)))
    return tuple(sentences[:SENTENCES])


def _supporting(sentence: Sentence, evidence: Sequence[Evidence], grounding: Grounding) -> tuple[int, ...]:
    enough = grounding.settings.min_support
    orders = {index for index, item in enumerate(evidence) if instructs_reader(item.text)}
    without_orders = tuple(index for index in sentence.cited if index not in orders)
    for cited in dict.fromkeys((without_orders, sentence.cited)):
        if cited and grounding.support([sentence.text], [evidence[i].text for i in cited])[0] >= enough:
            return cited
    supports = [grounding.support([sentence.text], [item.text])[0] for item in evidence]
    holding = [index for index, support in enumerate(supports) if support >= enough]
    return (max(holding, key=lambda index: (index not in orders, supports[index])),) if holding else ()


def _is_derailed(text: str) -> bool:
    # small models run in circles and repeat the prompt's frame, in words that are supported
    words = text.casefold().split()
    runs = Counter(zip(words, words[1:], words[2:], strict=False))
    return "<evidence" in text or any(times > _CIRCLES for times in runs.values())


def _plain(text: str) -> str:
    return " ".join(text.split())
