"""Questions that are harder: follow-ups, over the rows of a table, over two documents, and in which numbers they are proposed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from extensions.development.scripted_chat import ScriptedChat
from extensions.proposals import harder
from extensions.proposals.from_documents import Checks, Draft
from extensions.proposals.priced_chat import PricedChat
from extensions.proposals.proposing import Proposing
from foundation.types import Scope
from observability.evaluation.golden_set import GoldenCase, unfit
from observability.evaluation.leaks import DocumentText as Text
from retrieval.documents import Chunk, Hit, Source
from tests.doubles.orchestration import ManualClock, PerToken

BOATS = Text(
    "boats.csv",
    "harbour",
    frozenset(),
    "\n".join(
        f"Boat: {name}; Seats: {seats}; Built: {year}"
        for name, seats, year in (("Graynes", 120, 1911), ("Ellis", 80, 1984), ("Fern", 80, 2003), ("Tern", 45, 2019))
    ),
)
FARES = Text(
    "fares.md", "harbour", frozenset(), "What happens to lost umbrellas?\nThe harbour office keeps them for a year."
)


def find_whole(texts: Sequence[Text]) -> object:
    """A double of a search that finds every document whole."""

    def search(_question: str, _scope: Scope, limit: int) -> Sequence[Hit]:
        return [
            Hit(Chunk("c", text.uri, 0, text.text, 0, len(text.text)), Source(text.uri, text.tenant), 1.0)
            for text in texts
        ][:limit]

    return search


def checks(*texts: Text) -> Checks:
    return Checks(texts, find_whole(texts))  # type: ignore[arg-type]


def test_a_follow_up_asks_for_one_more_cell_and_does_not_say_of_what() -> None:
    first = next(harder.follow_ups(BOATS))
    assert (first.history, first.question, first.answer) == ((("Graynes: Seats?", "120"),), "Built?", "1911")
    proposal = checks(BOATS).proposal(first)
    assert proposal is not None
    case = GoldenCase(**proposal.case)
    assert (case.kind, case.searched) == ("follow_up", "Graynes: Seats?\nBuilt?")
    second = list(harder.follow_ups(BOATS))[1]
    assert second.question == first.question
    other = checks(BOATS).proposal(second)
    assert other is not None
    assert other.case["id"] != proposal.case["id"], "the same words after another question are another case"


def test_rows_with_two_cells_or_without_a_name_have_no_follow_up() -> None:
    for row in ("Boat: Graynes; Seats: 120", "From: 08:00; To: 18:00; Days: five", "No row at all."):
        assert list(harder.follow_ups(Text("a.csv", "harbour", frozenset(), row))) == []


def test_the_largest_and_the_smallest_value_of_a_column_are_asked_for_where_one_row_has_it() -> None:
    asked = {draft.question: draft.answer for draft in harder.extremes(BOATS)}
    assert asked == {
        "Boat: max. Seats?": "Graynes", "Boat: min. Seats?": "Tern", "Boat: max. Built?": "Tern", "Boat: min. Built?": "Graynes",
    }  # fmt: skip
    tied = Text("a.csv", "harbour", frozenset(), BOATS.text.replace("Seats: 120", "Seats: 80"))
    assert "Boat: max. Seats?" not in {draft.question for draft in harder.extremes(tied)}
    short = Text("a.csv", "harbour", frozenset(), "\n".join(BOATS.text.splitlines()[:3]))
    assert list(harder.extremes(short)) == []
    worded = Text("a.csv", "harbour", frozenset(), BOATS.text.replace("Seats: 45", "Seats: some"))
    assert "Boat: min. Seats?" not in {draft.question for draft in harder.extremes(worded)}


async def test_so_many_of_each_kind_are_proposed_and_plain_ones_stand_in_for_what_is_not_there() -> None:
    more = [
        Text(f"{at}.md", "harbour", frozenset(), f"What is rule {word}?\nIt says {word}{word}.")
        for at, word in enumerate(
            ["ash", "birch", "cedar", "dogwood", "elm", "fir", "gorse", "hazel", "ivy", "juniper"]
        )
    ]
    proposing = Proposing(checks(BOATS, FARES, *more), 20, lambda *_: None)
    await proposing.propose()
    cases = [GoldenCase(**proposal.case) for proposal in proposing.accepted]
    kinds = Counter(case.kind for case in cases)
    assert kinds["follow_up"] == kinds["table"] == kinds["two_documents"] == 2
    assert [unfit(case) for case in cases] == [""] * len(cases)
    assert len({case.id for case in cases}) == len(cases)
    both = next(case for case in cases if case.kind == "two_documents")
    assert len(both.gold_documents) == len(both.answers_all) == 2

    plain = Proposing(checks(FARES, *more), 10, lambda *_: None)
    await plain.propose()
    found = Counter(proposal.case["kind"] for proposal in plain.accepted)
    assert found == {"answerable": 7, "two_documents": 1}, "no table, no follow-up, no name to make absent"


def asked_again(*replies: str) -> PricedChat:
    """A chat model that is a double."""
    return PricedChat(ScriptedChat(replies=replies), PerToken(), ManualClock())


async def test_a_model_puts_it_in_a_persons_words_and_one_that_tells_the_answer_is_not_believed() -> None:
    draft, left_out = next(harder.extremes(BOATS)), Counter[str]()
    said = json.dumps({"question": "Which boat has the most seats?"})
    assert (await harder.reword(draft, asked_again(said).ask, left_out)).question == "Which boat has the most seats?"
    assert not left_out

    telling = json.dumps({"question": "Is it the Graynes?"})
    kept: list[Draft] = [await harder.reword(draft, asked_again(one).ask, left_out) for one in (telling, "no JSON")]
    assert [one.question for one in kept] == [draft.question] * 2
    assert list(left_out) == [
        "the chat model's words said the answer, so the rule's stay", "the chat model failed: upstream_malformed",
    ]  # fmt: skip
