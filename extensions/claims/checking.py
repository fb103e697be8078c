"""The check of a written answer: each claim against the passages that it cites.

A claim found word for word in a passage is anchored there. Otherwise figures, names and denials are compared with the sentences that
say nearly the same, and only where these rules find nothing does a trained judge decide.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from extensions.claims.claim import Anchor, Claim
from extensions.claims.contradictions import change_in_context, change_in_copies, denial, denial_of_stated, opposite
from extensions.claims.figures import alternatives, wrong_figures
from extensions.claims.names import unknown_names
from extensions.claims.settings import ClaimsSettings
from extensions.claims.statements import Statement, split_statements
from extensions.claims.texts import Text
from foundation.text.lexical import ENGLISH_ALONE
from foundation.text.sentences import sentence_spans
from foundation.text.tokens import UNSPACED, in_latin_letters
from orchestration.contract import WrittenAnswer
from retrieval.grounding.checks import Finding
from retrieval.grounding.citing import title_of
from retrieval.grounding.evidence import Grounding

# Share of a claim's terms in its nearest sentences below which it is marked, in a language that the bundled judge does
# not read.
_MIN_WORDING = 0.25
# Number of nearest sentences that a claim is compared with, besides their neighbours
_NEAREST = 4
_MOST_ANCHORS = 3
# Most words of a claim that is searched word for word
_LONGEST_QUOTE = 120
# Characters of the answer before a claim whose figures it may calculate with
_BEFORE = 600
_FEW_TERMS = 3
# Terms, and share of them, that a claim has in common with a sentence that says the same. Fewer are a chance: two
# sentences of one document often name the same number of days.
_ALIKE, _ALIKE_SHARE = 3, 0.3
# Number of words from which an English text has at least one function word of English alone; "no", "me" and "a" are
# Spanish too.
_MANY_WORDS = 8
_SOFT_HYPHEN = "\u00ad"
# numbers whole: with another sign inside, one may be another number
_WORDS = re.compile(r"\d+(?:[.,]\d+)+(?![^\W_])|[^\W_]+")
# Findings that the judge of entailment makes
_OF_PASSAGES = frozenset({"denied", "unsupported"})
UNSET = ClaimsSettings()


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that the writer was shown, under the number by which it is cited."""

    number: int
    text: str
    headings: str = ""
    """Title and heading path, which may name a sentence's subject."""
    document: str = ""
    """Its document's id; what a claim says nearly as another passage of the same document does is known."""


def find_unsupported(settings: ClaimsSettings, answer: WrittenAnswer, grounding: Grounding) -> list[Finding]:
    """Return the statements of an answer that the rules or the judge find unsupported by the passages that its writer was shown."""
    shown = [
        Passage(number, hit.chunk.text, " ".join([title_of(hit), *hit.chunk.heading_path]), hit.chunk.document_id)
        for number, hit in answer.passages.items()
    ]
    claims = check_answer(
        answer.text,
        shown,
        known=answer.known,
        question=answer.question,
        grounding=grounding,
        settings=settings,
        # without a passage the judge's verdict decides nothing, and it takes seconds on long results
        judged=bool(shown),
    )

    def counts(claim: Claim) -> bool:
        # where nothing was read, only a marker can be wrong
        if not shown and not answer.acted:
            return claim.finding == "unknown_marker"
        # the writer puts results of tools in its own words, so without citations only unknown figures and names count
        return not answer.acted or bool(claim.cited) or claim.finding not in _OF_PASSAGES

    return [Finding(it.start, it.end, it.finding, it.detail) for it in claims if it.finding and counts(it)]


def check_answer(
    answer: str,
    passages: Sequence[Passage],
    *,
    known: Sequence[str] = (),
    question: str = "",
    grounding: Grounding,
    settings: ClaimsSettings = UNSET,
    judged: bool = True,
) -> list[Claim]:
    """Check the claims of a Markdown answer; return them in order, each with its anchors or its finding.

    A claim without markers is checked against the citations of its paragraph, list item or row, else against every
    passage. `known` are other texts that the answer may rest on, such as results of tools. `judged=False`: rules alone.

    Raises ComponentError: the embedder failed.
    """
    shown = _Shown(passages, known, question)
    drafts = [
        _Draft(statement, shown, Text(answer[max(0, statement.start - _BEFORE) : statement.start]))
        for statement in split_statements(answer)
    ]
    unsure = [draft for draft in drafts if judged and draft.wording < settings.judged_below and draft.can_be_judged]
    # A claim of few terms is judged together with the question
    texts = [f"{question} {it.claim.text}" if len(it.claim.terms) < _FEW_TERMS else it.claim.text for it in unsure]
    nearest = [draft.nearest_texts for draft in unsure]
    premises = ["\n\n".join(quotes) for quotes in nearest]
    supports = grounding.judge.support(list(zip(premises, texts, strict=True)))
    doubted = {id(draft) for draft, support in zip(unsure, supports, strict=True) if support < settings.min_support}
    return [draft.finish(doubted=id(draft) in doubted) for draft in drafts]


@dataclass(frozen=True, slots=True)
class _Sentence:
    """The sentence from `start` to `end` of a passage; number 0 stands for the `known` texts."""

    passage: int
    place: int
    start: int
    end: int
    content: Text


class _Shown:
    def __init__(self, passages: Sequence[Passage], known: Sequence[str], question: str) -> None:
        self.passages = {passage.number: passage for passage in passages}
        self.known = [text for text in known if text.strip() and text != question]
        self._question = question
        self._sentences: dict[int, list[_Sentence]] = {0: [s for text in self.known for s in _split(0, text)]}
        self._evidence: dict[tuple[int, ...], Text] = {}

    def sentences(self, numbers: Iterable[int]) -> list[_Sentence]:
        for number in numbers:
            if number not in self._sentences:
                self._sentences[number] = _split(number, self.passages[number].text)
        return [sentence for number in (*numbers, 0) for sentence in self._sentences[number]]

    def others_of_documents(self, numbers: tuple[int, ...]) -> list[_Sentence]:
        """Return the sentences of all other passages of these passages' documents."""
        documents = {self.passages[number].document for number in numbers} - {""}
        others = [n for n, passage in self.passages.items() if n not in numbers and passage.document in documents]
        return self.sentences(others)

    def evidence(self, numbers: tuple[int, ...]) -> Text:
        """Return all text from which a claim on these passages may take figures and names."""
        if numbers not in self._evidence:
            headings = dict.fromkeys(self.passages[number].headings for number in numbers)
            texts = [self.passages[number].text for number in numbers]
            self._evidence[numbers] = Text("\n".join([*headings, *texts, *self.known, self._question]))
        return self._evidence[numbers]


def _split(number: int, text: str) -> list[_Sentence]:
    return [
        _Sentence(number, at, start, end, Text(text[start:end].replace(_SOFT_HYPHEN, "")))
        for at, (start, end) in enumerate(sentence_spans(text))
    ]


class _Draft:
    def __init__(self, statement: Statement, shown: _Shown, before: Text) -> None:
        self.statement = statement
        self._before = before
        self.claim = Text(statement.text)
        self._shown = shown
        self.cited = tuple(number for number in statement.markers if number in shown.passages)
        own = self.cited or tuple(number for number in statement.inherited if number in shown.passages)
        self._numbers = own or tuple(shown.passages)
        self._sentences = shown.sentences(self._numbers)
        self._evidence = shown.evidence(self._numbers)

    @cached_property
    def anchored_word_for_word(self) -> tuple[Anchor, ...]:
        own = _WORDS.findall(self.claim.text)
        if not own or len(own) > _LONGEST_QUOTE:
            return ()
        pattern = re.compile(r"(?<!\w)" + r"[\W_]+".join(map(re.escape, own)) + r"(?!\w)[.!?\u3002]?", re.IGNORECASE)
        for number in self._numbers:
            if match := pattern.search(self._shown.passages[number].text):
                return (Anchor(number, match.start(), match.end()),)
        return ()

    @cached_property
    def nearest(self) -> list[_Sentence]:
        shares = [sentence.content.share(self.claim) for sentence in self._sentences]
        best = sorted(range(len(shares)), key=lambda at: -shares[at])[:_NEAREST]
        return [self._sentences[at] for at in best if shares[at]]

    @cached_property
    def nearest_texts(self) -> list[str]:
        # Few sentences, since judging takes nearly all of a check's time
        headings = dict.fromkeys(self._shown.passages[s.passage].headings for s in self.nearest if s.passage)
        return [*(sentence.content.text for sentence in self.nearest), *filter(None, headings)]

    @cached_property
    def quotes(self) -> list[str]:
        """The nearest sentences, their neighbours, and headings of the passages."""
        chosen = {(s.passage, s.place) for s in self.nearest}
        near = chosen | {(passage, place + step) for passage, place in chosen for step in (-1, 1)}
        headings = [self._shown.passages[number].headings for number in self._numbers[:_NEAREST]]
        return [*(s.content.text for s in self._sentences if (s.passage, s.place) in near), *filter(None, headings)]

    @cached_property
    def _around(self) -> Text:
        """The evidence, and sentences of other passages of the same documents that say nearly the same."""
        least = max(_ALIKE, _ALIKE_SHARE * len(self.claim.terms))
        others = [sentence.content for sentence in self._shown.others_of_documents(self._numbers)]
        alike = [other.text for other in others if len(other.terms & self.claim.terms) >= least]
        return Text("\n".join([self._evidence.text, *alike]))

    @cached_property
    def contradiction(self) -> tuple[str, str]:
        """Finding and detail of a rule; both empty: none."""
        claim, near = self.claim, Text("\n".join(self.quotes))
        own = self._evidence
        figures = wrong_figures(claim, own, near, self._before)
        if figures := figures and wrong_figures(claim, self._around, near, self._before):
            others = alternatives(claim, near)
            there = f"the passages say {', '.join(others[:3])}" if others else "the passages do not"
            return "figure", f"says {', '.join(figures)}; {there}"
        how = {"codes_alone": not self._same_language, "english": self._evidence.is_english}
        names = unknown_names(claim, own, before=self._before.text, **how)
        if names := names and unknown_names(claim, self._around, before=self._before.text, **how):
            return "name", f"names {', '.join(names)}; the passages do not"
        if self.nearest and not self.nearest[0].passage:
            return "", ""  # results of tools and earlier turns have many lines that differ in a word
        sentences, every = [s.content for s in self.nearest], [s.content for s in self._sentences]
        copied = change_in_copies(claim, sentences, own)
        if change := copied or change_in_context(claim, near, own) or opposite(claim, every):
            return change.finding, f"says {change.claimed}; the passages say {change.stated}"
        if denied := denial(claim, sentences, near, own) or denial_of_stated(claim, every):
            return "denied", f"the passages say the opposite: {denied.text}"
        return "", ""

    @cached_property
    def wording(self) -> float:
        """Share of the claim's terms in `quotes` together."""
        return Text(" ".join(self.quotes)).share(self.claim)

    @property
    def can_be_judged(self) -> bool:
        # The bundled judge reads English alone
        decided = bool(self.anchored_word_for_word or self.contradiction[0])
        return bool(self.claim.terms) and not decided and self._same_language and self._evidence.is_english

    @cached_property
    def _same_language(self) -> bool:
        # By their short words, which languages seldom share
        if in_latin_letters(self.claim.text) != in_latin_letters(self._evidence.text):
            return False
        if self._evidence.is_english == self.claim.is_english and not in_latin_letters(self.claim.text):
            return True
        many = len(self.claim.words) >= _MANY_WORDS
        if self._evidence.is_english and many and not ENGLISH_ALONE & self.claim.word_set:
            return False
        if self._evidence.is_english and self.claim.is_english:
            return True
        short = [word for word in self.claim.words if len(word) <= 3 and word.isalpha()]
        shared = sum(word in self._evidence.word_set for word in short)
        return not short or shared >= (0.5 if self._evidence.is_english else 0.3) * len(short)

    def finish(self, *, doubted: bool) -> Claim:
        """Return the checked claim. `doubted`: the judge did not find it supported."""
        statement, passages = self.statement, self._shown.passages
        finding, detail = "", ""
        if not self.anchored_word_for_word:
            finding, detail = self.contradiction
        unknown = [number for number in statement.markers if number not in passages]
        if not finding and unknown:
            numbers = ", ".join(map(str, passages)) or "none"
            finding, detail = "unknown_marker", f"cites [{unknown[0]}]; the passages are {numbers}"
        if not finding and (doubted or self._far_from_its_passages):
            finding, detail = "unsupported", "the passages do not say this"
        anchors = () if finding else self._anchors()
        return Claim(statement.start, statement.end, statement.text, self.cited, anchors, finding, detail)

    @property
    def _far_from_its_passages(self) -> bool:
        if not self.claim.terms or self.anchored_word_for_word:
            return False
        if self._evidence.is_english or not self._same_language:
            return False
        # Short words are mostly function words, so they speak for a claim only where most of it is there. A term of a
        # script without spaces is a pair of characters.
        telling = {term for term in self.claim.terms if len(term) > 3 or UNSPACED.match(term)} or self.claim.terms
        there = self.claim.terms & Text(" ".join(self.quotes)).terms
        return len(telling & there) < _MIN_WORDING * len(telling) and 2 * len(there) <= len(self.claim.terms)

    def _anchors(self) -> tuple[Anchor, ...]:
        if self.anchored_word_for_word:
            return self.anchored_word_for_word
        anchors: list[Anchor] = []
        missing = self.claim.terms
        for sentence in self.nearest:
            if sentence.passage and len(anchors) < _MOST_ANCHORS and missing & sentence.content.terms:
                anchors.append(Anchor(sentence.passage, sentence.start, sentence.end))
                missing -= sentence.content.terms
        return tuple(anchors)
