"""Only what can be known is marked: markers, cited quotations, figures and identifiers; the rest of a text is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.grounding.checks import check_answer

PASSAGES = {
    1: "A parcel may weigh at most 25 kilograms. It costs 150 euros.",
    2: "Order QM-10042 was sent on 2024-05-20 at 17:30. The share of express parcels is 0.85.",
}
FLIGHTS = """{"flights": [
    {"id": "HAT123", "price": 152, "leaves": "14:10", "seats": {"basic": 17, "economy": 10}},
    {"id": "HAT200", "price": 175, "leaves": "16:55", "seats": {"basic": 4, "economy": 11}}
], "card": "credit_card_7815826", "day": "2024-05-16"}"""
KNOWN = (FLIGHTS, "What do 2 parcels and 3 flights cost?")


def reasons(answer: str) -> list[str]:
    return [finding.reason for finding in check_answer(answer, PASSAGES, KNOWN).findings]


@pytest.mark.parametrize(
    "answer",
    [
        "A parcel may weigh 25 kg [1].",
        "Two parcels cost 300 euros, as 2 × 150 = 300.",
        "Both flights are $327 together.",
        "With 3 tickets for HAT123 that is $456.",
        "The second is 23 dollars dearer than the first at 152, at 175.",
        "Order QM-10042 (QM 10042) was sent on May 20 at 5:30 PM, on a Monday.",
        "The card ending in 5826 was charged. Orders: 10042.",
        "85% of all parcels are express.",
        "It leaves 2 hours and 45 minutes later.",
        "That is 4 days before the order was sent: 2024-05-16.",
        "There are 2 flights, and I looked at 12 pages.",
        "55 lbs (25 kg) is the most.",
        # code, formulas and addresses
        "Use `arr[14](77)` or\n```\nx = 9999\n```\nand $x_{45}$, see https://a.example/9999/b.",
        "The page [98 things](https://a.example/98) is not about that.".replace("98 things", "more"),
        # a quotation without a citation is the writer's own
        'Write to them: "I would like to have my money back by Friday".',
        'It says "may weigh at most ... 25 kilograms" [1].',
        "Ein Paket wiegt höchstens 25 Kilogramm [1]. 包裹最多25公斤[1]。",
    ],
)
def test_what_was_read_or_follows_from_it_is_not_marked(answer: str) -> None:
    assert reasons(answer) == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("A parcel may weigh 45 kilograms [1].", "figure"),
        ("It was sent on 2024-05-27.", "figure"),
        ("Your order is QM-10043.", "identifier"),
        ("Take flight HAT999.", "identifier"),
        ("It says so [14].", "unknown_marker"),
        ('It says "a parcel may weigh whatever you like" [1].', "quotation"),
    ],
)
def test_what_was_not_read_is_marked(answer: str, reason: str) -> None:
    assert reasons(answer) == [reason]


def test_a_mark_belongs_to_its_sentence_or_table_cell() -> None:
    answer = "- All is well. It weighs 45 kg [1]. Fine.\n\n| a | b |\n|---|---|\n| 25 | 77 |\n"
    marked = [answer[finding.start : finding.end] for finding in check_answer(answer, PASSAGES, ()).findings]
    assert marked == ["It weighs 45 kg [1].", "77"]


def test_a_number_of_any_length_in_a_result_leaves_the_others_to_be_added_up() -> None:
    result = '{"prices": [152, 1%s, 175]}' % ("0" * 400)
    assert [receipt.working for receipt in check_answer("Both are $327.", {}, [result]).receipts] == ["152 + 175"]


def test_where_nothing_was_read_nothing_is_checked() -> None:
    assert check_answer("There are 99 of them [4].", {}, ()).findings == ()


@given(st.text(alphabet="ab `|#*_[](){}$\\\n-.!\"'“”äß包裹", max_size=80))
def test_a_text_without_figures_markers_and_quotations_is_never_marked(text: str) -> None:
    assert [reason for reason in reasons(text) if reason != "quotation"] == []
