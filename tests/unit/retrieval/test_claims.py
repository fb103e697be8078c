from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.embedders.hashing import HashingEmbedder
from retrieval.grounding.claims import Claim, Passage, check_answer
from retrieval.grounding.evidence import Grounding
from retrieval.settings import GroundingSettings
from tests.doubles.entailment import signs_over

RETURNS = Passage(
    1,
    "Quillfeather Outfitters sells boots and hats. You can return a parcel within 30 days of delivery. "
    "The customer pays for the way back.",
    "Returns",
)
REFUNDS = Passage(
    2, "Refunds are paid by Mara Ellison in the accounts office. They reach your account after five days.", "Refunds"
)


@pytest.fixture(scope="module")
def grounding() -> Grounding:
    return Grounding(HashingEmbedder(128), signs_over(HashingEmbedder(128)), GroundingSettings())


def check(answer: str, grounding: Grounding, **options) -> list[Claim]:
    return check_answer(answer, [RETURNS, REFUNDS], grounding=grounding, **options)


def test_words_that_stand_in_a_passage_are_anchored_there(grounding: Grounding) -> None:
    (claim,) = check("You can return a parcel within 30 days of delivery [1].", grounding)

    assert claim.finding == ""
    (anchor,) = claim.anchors
    assert RETURNS.text[anchor.start : anchor.end].startswith("You can return a parcel within 30 days")


@pytest.mark.parametrize(
    ("answer", "finding"),
    [
        ("You can return a parcel within 90 days of delivery [1].", "figure"),
        ("Refunds are paid by Tom Marsh in the accounts office [2].", "name"),
        ("You cannot return a parcel within 30 days of delivery [1].", "denied"),
        ("Penguins breed on sea ice during winter [1].", "unsupported"),
        ("You can return a parcel within 30 days of delivery [7].", "unknown_marker"),
    ],
)
def test_what_is_wrong_is_named(answer: str, finding: str, grounding: Grounding) -> None:
    (claim,) = check(answer, grounding)

    assert (claim.finding, bool(claim.detail)) == (finding, True)


@pytest.mark.parametrize(
    "text",
    [
        "# Returns within 90 days",
        "Do you want to return it within 90 days?",
        "Hello! Let me know if you need more than 90 days.",
        "The documents do not say how long a refund takes.",
        "The steps are:\n",
        "```\nreturn within 90 days\n```",
    ],
)
def test_what_states_nothing_is_no_claim(text: str, grounding: Grounding) -> None:
    assert check(text, grounding) == []


@given(answer=st.text(max_size=300), text=st.text(max_size=200))
def test_any_text_is_checked_and_every_span_lies_where_it_should(answer: str, text: str) -> None:
    passages = [Passage(1, text, "Title"), RETURNS]
    claims = check_answer(
        answer, passages, grounding=Grounding(HashingEmbedder(64), signs_over(HashingEmbedder(64)), GroundingSettings())
    )

    ends = [0, *(claim.end for claim in claims)]
    assert all(before <= claim.start < claim.end for before, claim in zip(ends, claims, strict=False))
    assert not claims or claims[-1].end <= len(answer)
    for anchor in (anchor for claim in claims for anchor in claim.anchors):
        passage = passages[anchor.passage - 1] if anchor.passage == 1 else RETURNS
        assert 0 <= anchor.start < anchor.end <= len(passage.text)
