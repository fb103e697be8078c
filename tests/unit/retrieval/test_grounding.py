# ruff: noqa: RUF001 - letters of many scripts are the subject
"""The sentences that answer a question are found and ranked in the hits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.embeddings import Embeddings

from extensions.development.hashing_embedder import HashingEmbedder
from foundation.components import Context, load
from foundation.text.lexical import unmet_names
from retrieval.documents import Chunk, Hit, ParseLimits, Source
from retrieval.formats.text_blocks import Draft
from retrieval.grounding import evidence as module
from retrieval.grounding.citing import Evidence
from retrieval.grounding.evidence import ACROSS_LANGUAGES, Grounding
from retrieval.grounding.sureness import contradicts, says_all
from retrieval.settings import GroundingSettings
from retrieval.text.sections import passage
from serving.settings import Settings
from tests.doubles.entailment import signs_over

RETURNS = (
    "Quillfeather Outfitters sells boots and hats. You can return a parcel within 30 days of delivery. "
    "The customer pays for the way back."
)
REFUNDS = "Refunds are paid by Mara Ellison in the accounts office. They reach your account after five working days."


def hit(
    text: str,
    *,
    uri: str = "returns.md",
    start: int = 0,
    headings: tuple[str, ...] = (),
    score: float = 1.0,
    title: str = "Returns",
) -> Hit:
    chunk = Chunk(f"{uri}-{start}", f"doc-{uri}", 0, text, start, start + len(text), headings, 3)
    return Hit(chunk, Source(uri=uri, tenant="quill", title=title), score)


class Counting(Embeddings):
    """Counts what is embedded; the hashing double does the work."""

    def __init__(self) -> None:
        self.inner = HashingEmbedder(256)
        self.texts: list[list[str]] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.texts.append(texts)
        return self.inner.embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        return self.inner.embed_query(text)


@pytest.fixture
def grounding() -> Grounding:
    return Grounding(HashingEmbedder(256), signs_over(HashingEmbedder(256)), GroundingSettings())


def test_the_sentence_that_answers_comes_first_with_its_place_in_the_document(grounding: Grounding) -> None:
    best = grounding.evidence("Within how many days can I return a parcel?", [hit(RETURNS, start=100)], limit=2)[0]

    assert best.text == "You can return a parcel within 30 days of delivery."
    assert RETURNS[best.start - 100 : best.end - 100] == best.text


def test_the_best_sentence_is_found_in_any_hit(grounding: Grounding) -> None:
    found = grounding.evidence(
        "Who pays refunds in the accounts office?", [hit(RETURNS), hit(REFUNDS, uri="b.md")], limit=1
    )

    assert found[0].text == "Refunds are paid by Mara Ellison in the accounts office."
    assert found[0].hit.source.uri == "b.md"


def test_scores_lie_between_0_and_1_and_descend(grounding: Grounding) -> None:
    scores = [e.score for e in grounding.evidence("return a parcel", [hit(RETURNS), hit(REFUNDS)], limit=10)]

    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_a_sentence_in_two_overlapping_passages_is_evidence_once(grounding: Grounding) -> None:
    second = RETURNS.index("You")
    overlapping = [hit(RETURNS), hit(RETURNS[second:], start=second)]
    spans = [(e.start, e.end) for e in grounding.evidence("return a parcel", overlapping, limit=10)]

    assert len(spans) == len(set(spans)) == 3


def test_no_hits_give_no_evidence_and_embed_nothing() -> None:
    embedder = Counting()

    assert Grounding(embedder, signs_over(embedder), GroundingSettings()).evidence("anything", [], limit=5) == []
    assert embedder.texts == []


def test_however_many_sentences_there_are_a_bounded_number_is_embedded_in_one_batch() -> None:
    embedder = Counting()
    text = " ".join(f"Shelf number {n} holds boots." for n in range(300)) + " The blue parcel is lost."
    found = Grounding(embedder, signs_over(embedder), GroundingSettings()).evidence(
        "Where is the blue parcel?", [hit(text)], limit=1
    )

    assert [len(batch) for batch in embedder.texts] == [module._MOST_EMBEDDED]
    assert found[0].text == "The blue parcel is lost."


class TokenByToken(HashingEmbedder):
    """A vector a word, between two marks, as models of BERT's family give them."""

    def embed_tokens(self, texts: Sequence[str]) -> list[Any]:
        return [self.embed_array(["[CLS]", *text.split(), "[SEP]"]) for text in texts]


def test_with_token_vectors_the_sentence_in_which_each_word_finds_its_like_comes_first() -> None:
    text = (
        "Boots and hats and boots are kept in a store.\nYou may return a hat within 30 days.\nOur store is open daily."
    )
    found = Grounding(TokenByToken(256), signs_over(TokenByToken(256)), GroundingSettings()).evidence(
        "May hats be return within days", [hit(text)], limit=3
    )

    assert found[0].text == "You may return a hat within 30 days."
    assert len(found[0].matched) == 6
    assert sum(found[0].matched) > sum(found[1].matched)
    assert all(0 <= sum(item.matched) <= 1 for item in found)


class LettersOnly(HashingEmbedder):
    """As a model of English reads another script: every word is the same to it."""

    def embed_tokens(self, texts: Sequence[str]) -> list[Any]:
        return [self.embed_array(["[CLS]", *("[UNK]" for _ in text.split()), "[SEP]"]) for text in texts]


def test_in_another_script_words_choose_the_sentence_where_the_embedder_knows_none() -> None:
    text = "Башню построили купцы.\nВысота башни сорок метров.\nКолокол звонит в полдень."
    question = "Какая высота у башни?"

    found = Grounding(LettersOnly(256), signs_over(LettersOnly(256)), GroundingSettings()).evidence(
        question, [hit(text)], limit=3
    )
    assert found[0].text == "Высота башни сорок метров."
    assert all(0 <= sum(item.matched) <= 1 for item in found)

    tokens = len(question.split())
    assert len(found[0].matched) > tokens
    english = Grounding(LettersOnly(256), signs_over(LettersOnly(256)), GroundingSettings()).evidence(
        "How high is it", [hit(text)], limit=1
    )[0]
    assert len(english.matched) == tokens
    judge = signs_over(LettersOnly(256))
    reads_all = Grounding(LettersOnly(256), judge, GroundingSettings(), multilingual=True)
    assert len(reads_all.evidence(question, [hit(text)], limit=1)[0].matched) == tokens


def test_every_passage_of_a_document_has_the_rank_of_the_document() -> None:
    first, second = "Parcels are weighed.", "Parcels are opened."
    hits = [hit("Boots are sold.", start=100), hit(first, start=0), hit(second, uri="b.md")]
    scores = {
        e.text: e.score
        for e in Grounding(HashingEmbedder(256), signs_over(HashingEmbedder(256)), GroundingSettings()).evidence(
            "parcels", hits, limit=9
        )
    }

    assert scores[first] > scores[second]


def test_a_sentence_counts_less_the_further_its_document_is_behind_the_best_and_only_so_far(
    grounding: Grounding,
) -> None:
    def score(behind: float) -> float:
        hits = [hit(REFUNDS, uri="b.md", score=60.0), hit("Parcels are weighed.", score=60.0 - behind)]
        found = grounding.evidence("Are parcels weighed?", hits, limit=9)
        return next(item.score for item in found if item.text == "Parcels are weighed.")

    assert score(0) > score(1) > score(2) > 0
    assert score(0) - score(1) == pytest.approx(score(1) - score(2))
    assert score(2) == pytest.approx(score(50))


def test_no_score_falls_below_0(grounding: Grounding) -> None:
    hits = [hit("Parcels are weighed.", score=9.0), hit("Quill.", uri="b.md", score=0.0)]
    assert all(item.score >= 0 for item in grounding.evidence("When are parcels weighed?", hits, limit=2))


def test_a_question_without_content_words_still_gets_an_answer(grounding: Grounding) -> None:
    assert grounding.evidence("why?", [hit(RETURNS)], limit=1)


@given(question=st.text(min_size=1, max_size=80), text=st.text(min_size=1, max_size=200))
def test_any_text_can_be_asked_about_and_quotes_are_exact(question: str, text: str) -> None:
    grounding = Grounding(HashingEmbedder(64), signs_over(HashingEmbedder(64)), GroundingSettings())
    found = grounding.evidence(question, [hit(text)], limit=50)

    assert all(text[e.start : e.end] == e.text for e in found)
    assert 0 <= grounding.strength(question, found) <= 1


def test_confidence_is_higher_for_what_the_documents_are_about(grounding: Grounding) -> None:
    def confidence(question: str) -> float:
        return grounding.strength(question, grounding.evidence(question, [hit(RETURNS), hit(REFUNDS)], limit=5))

    assert confidence("Can I return a parcel within 30 days?") > 0.6
    assert confidence("Which spices season goulash?") < 0.3


def test_no_evidence_gives_no_confidence(grounding: Grounding) -> None:
    assert grounding.strength("anything", []) == 0.0


def test_a_quoted_sentence_is_fully_supported_by_itself(grounding: Grounding) -> None:
    sentence = "You can return a parcel within 30 days of delivery."

    assert grounding.support([sentence], [sentence])[0] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    "false",
    [
        "You can return a parcel within 90 days of delivery.",
        "You cannot return a parcel within 30 days of delivery.",
        "You can return a parcel to Mara Ellison within 30 days of delivery.",
        "Hats are made of felt.",
    ],
)
def test_another_figure_denial_name_or_matter_is_not_supported(grounding: Grounding, false: str) -> None:
    assert grounding.support([false], [RETURNS])[0] < GroundingSettings().min_support


@pytest.mark.parametrize(
    "true",
    [
        "You can return a parcel within thirty days of delivery.".replace("thirty", "30"),
        "Within 30 days of delivery you can return a parcel.",
        "The customer pays the way back.",
    ],
)
def test_the_same_in_other_words_is_supported(grounding: Grounding, true: str) -> None:
    assert grounding.support([true], [RETURNS])[0] > 0.6


class SupportsAll:
    """A double: a judge that finds everything supported."""

    def support(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [1.0] * len(pairs)


def test_figures_are_the_same_with_separators() -> None:
    quote = "2 vans carry 1,500 parcels."
    grounding = Grounding(HashingEmbedder(256), SupportsAll(), GroundingSettings())

    two, three = grounding.support(["2 vans carry 1500 parcels.", "3 vans carry 1500 parcels."], [quote])
    assert (two, three) == (1.0, 0.5)


@pytest.mark.parametrize(("sentence", "quotes"), [("A claim.", []), ("A claim.", ["  "]), ("", ["A quote."])])
def test_nothing_supports_nothing(grounding: Grounding, sentence: str, quotes: list[str]) -> None:
    assert grounding.support([sentence], quotes) == [0.0]


def test_a_citation_quotes_the_exact_span(grounding: Grounding) -> None:
    text = RETURNS
    end = text.index(".") + 1
    citation = grounding.cite(Evidence(hit(text, start=40), 40, 40 + end, text[:end], 0.9), 2)

    assert (citation.marker, citation.start, citation.end, citation.page) == (2, 40, 40 + end, 3)
    assert citation.quote == text[citation.start - 40 : citation.end - 40]
    assert (citation.uri, citation.title, citation.document_id) == ("returns.md", "Returns", "doc-returns.md")


@pytest.mark.real_model
def test_with_the_bundled_embedder_a_paraphrase_is_found_and_a_foreign_question_is_not_trusted(tmp_path) -> None:
    embedder = load("models.embedder", Settings().models.embedder, Context(data_dir=tmp_path))
    grounding = Grounding(embedder, signs_over(embedder), GroundingSettings())
    question = "What is the deadline for sending goods back?"
    found = grounding.evidence(question, [hit(RETURNS), hit(REFUNDS)], limit=3)

    assert found[0].text == "You can return a parcel within 30 days of delivery."
    foreign = "Which enzyme unwinds the double helix?"
    assert grounding.strength(question, found) > grounding.strength(
        foreign, grounding.evidence(foreign, [hit(RETURNS), hit(REFUNDS)], limit=3)
    )


def test_what_the_passages_do_not_name_halves_the_confidence(grounding: Grounding) -> None:
    found = grounding.evidence("When may a QL-20 be returned?", [hit(RETURNS)], limit=5)
    asked = "When may a device be returned?"
    whole = grounding.strength(asked, found)
    assert whole > 0
    for unmet in ("When may a device be returned in Leeds?", "When may a ZX-9 be returned?", "Is RFID returned?"):
        assert grounding.strength(unmet, found) == pytest.approx(whole / 2)
    assert grounding.strength("When may 300 devices be returned?", found) == whole


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Return a scanner with:\n\n- its cable\n- its cradle\n\nWe open at nine.", "Return a scanner with:\n\n- its cable\n- its cradle"),
        ("Return a scanner: in its box. We open at nine.", "Return a scanner: in its box."),
        ("We open at nine.\nReturn a scanner with:", "Return a scanner with:"),
        (f"Return a scanner with:\n- its cable\n- {'very ' * 40}much", "Return a scanner with:\n- its cable"),
    ],
)  # fmt: skip
def test_a_sentence_that_ends_with_a_colon_comes_with_what_it_introduces(
    grounding: Grounding, text: str, expected: str
) -> None:
    best = grounding.evidence("How do I return a scanner?", [hit(text, start=100)], limit=1)[0]

    assert best.text == text[best.start - 100 : best.end - 100] == expected


def test_front_matter_is_not_taken_to_speak_of_what_its_title_names(grounding: Grounding) -> None:
    text = "Document: POL-20, version 3 Owner: Repair\n\nScanners are covered for 24 months."
    question = "How long is the warranty policy of scanners?"
    found = grounding.evidence(question, [hit(text, headings=("Warranty policy",))], limit=2)
    coverage = {one.text[:8]: one.coverage for one in found}
    assert coverage["Document"] == 0
    assert coverage["Scanners"] > 0
    row = "Region: North; Period: 3 days"
    (with_title,) = grounding.evidence(question, [hit(row, headings=("Warranty policy",))], limit=1)
    assert with_title.coverage > 0


def test_a_passage_about_another_version_does_not_answer_where_one_names_the_version_that_is_asked_for(
    grounding: Grounding,
) -> None:
    old = hit("Firmware is new and brings a new generation of new functions.", uri="a.md", headings=("Firmware 3.0",))
    new = hit("New functions are few: its web page speaks twelve languages.", uri="b.md", headings=("Firmware 3.2",))
    question = "Which functions are new in firmware {}?"
    first = {
        version: grounding.evidence(question.format(version), [old, new], limit=1)[0].hit.source.uri
        for version in ("3.2", "3.0", "4.1")
    }
    assert first == {"3.2": "b.md", "3.0": "a.md", "4.1": "a.md"}


def test_a_passage_is_about_the_version_that_its_heading_names_and_not_about_one_that_it_mentions(
    grounding: Grounding,
) -> None:
    old = hit("New in this firmware are functions of the web page. Install 3.2.1 instead.", headings=("Firmware 3.2",))
    new = hit("New functions are few: the gateway is kept.", uri="b.md", headings=("Firmware 3.2.1",))
    (best,) = grounding.evidence("Which functions are new in firmware 3.2.1?", [old, new], limit=1)
    assert best.hit.source.uri == "b.md"
    bare = hit("New functions of firmware 3.2.1: the gateway is kept.", uri="c.md")
    (best,) = grounding.evidence("Which functions are new in firmware 3.2.1?", [old, bare], limit=1)
    assert best.hit.source.uri == "c.md", "without a version in the heading, the text tells"


def test_a_citation_names_the_page_of_its_words_and_not_that_on_which_their_passage_begins() -> None:
    draft = Draft("guide.pdf", ParseLimits())
    for words, page in (("It weighs 3 kg.", 2), ("It runs for nine hours.", 3), ("It is grey.", 3), ("It folds.", 6)):
        draft.add("paragraph", words, page=page)
    parsed = draft.finish(pages=6)
    for begin in (0, parsed.text.index("kg"), parsed.text.index("\f")):
        chunk = passage(parsed, "guide", 0, (), (begin, len(parsed.text)))
        pages = [chunk.page_at(parsed.text.index(words)) for words in ("nine", "grey", "folds")]
        assert pages == [3, 3, 6]
    assert passage(parsed, "guide", 0, (), (0, 5)).page_at(3) == 2


def sure_of(grounding: Grounding, question: str, item: Evidence) -> float:
    return grounding.confidence(grounding.signs(question, [item], [item]))


def of(text: str, title: str = "Devices") -> Evidence:
    return Evidence(hit(text, title=title), 0, len(text), text, 0.9)


@pytest.mark.parametrize(
    ("question", "quote", "title"),
    [
        ("How wide may labels of the QL-40 be?", "The QL-20 takes labels up to 60 mm wide.", "QL-20"),
        ("What changed in 2013?", "In 2012 the fee rose to 20 USD.", "Fees"),
        ("Is the counter in Marrowfield open?", "The counter is open.", "Counter"),
    ],
)
def test_a_quote_that_contradicts_the_question_is_at_most_half_sure(
    grounding: Grounding, question: str, quote: str, title: str
) -> None:
    item = of(quote, title)
    assert contradicts(question, [item])
    assert sure_of(grounding, question, item) <= 0.5


def test_an_identifier_in_the_title_stands_over_all_of_its_sentences() -> None:
    assert not contradicts("How wide may labels of the QL-40 be?", [of("Labels are 104 mm wide.", "QL-40")])


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("Does a print head cover 12 months?", True),
        ("Does a cutter cover 12 months?", False),
        ("Do 12 months cover a print head?", False),
    ],
)
def test_a_quote_says_all_where_it_has_each_word_in_its_order(question: str, said: bool) -> None:
    assert says_all(question, [of("A print head is covered for 12 months.")]) is said


def test_a_quote_that_says_all_is_surer(grounding: Grounding) -> None:
    sure, less = (of(text) for text in ("A parcel may weigh 30 kilograms.", "A parcel has at most 30 kilograms."))
    question = "May a parcel weigh 30 kilograms?"
    assert sure_of(grounding, question, sure) > sure_of(grounding, question, less)


GERMAN = "Wie viele Punkte gab die Verteidigung der Hafenstadt im letzten Spiel ab?"


def test_nouns_of_a_german_question_are_no_names_that_a_document_lacks() -> None:
    text = "The harbour side allowed 308 points in its last game."
    assert unmet_names(GERMAN, text) == frozenset()
    assert unmet_names(f"{GERMAN} Code QX-7", text) == {"QX-7"}
    assert unmet_names("How many points did the Hafenstadt allow?", text) == {"Hafenstadt"}


def test_a_question_in_another_language_may_share_no_word_with_what_answers_it_where_the_embedder_reads_it() -> None:
    text = "The harbour side allowed 308 points in its last game."
    item = Evidence(hit(text), 0, len(text), text, 0.5, similarity=0.6, coverage=0.0)
    embedder = HashingEmbedder(256)
    english, reads_all = (
        Grounding(embedder, signs_over(embedder), GroundingSettings(), multilingual=it) for it in (False, True)
    )
    assert reads_all.strength(GERMAN, [item]) == pytest.approx(ACROSS_LANGUAGES * 0.6)
    assert english.strength(GERMAN, [item]) == pytest.approx(0.48)
    asked = "how many points did it allow"
    assert reads_all.strength(asked, [item]) == english.strength(asked, [item])
    german = "Die Verteidigung der Hafenstadt gab im letzten Spiel genau 308 Punkte ab."
    same = Evidence(hit(german), 0, len(german), german, 0.5, similarity=0.6, coverage=0.0)
    assert reads_all.strength(GERMAN, [same]) == pytest.approx(0.6)
    assert reads_all.strength(asked, [same]) == pytest.approx(ACROSS_LANGUAGES * 0.6)
