"""A provider that writes no plan, or breaks off in the middle of an answer, behind a server."""

from __future__ import annotations

import pytest

from tests.doubles.provider import cut, ok
from tests.faults.test_provider import FACT, Open, open_desk

__all__ = ["open_desk"]
GRAPH = 'use = "graph"'


@pytest.mark.parametrize(
    "nonsense",
    ["I would call refund now.", '{"decision": "work", "steps": [{"kind": "tool", "tool": "refund"', '{"steps": 7}'],
    ids=["prose", "cut", "other"],
)
def test_a_plan_that_is_none_is_repaired_once_and_then_made_without_the_model(nonsense: str, open_desk: Open) -> None:
    desk = open_desk(ok(nonsense), agent=f'{GRAPH}\nplanner = "model"', extensions=["planned_agent", "structured"])
    answer = desk.ask(compose="extractive").json()
    assert len(desk.provider.requests) == 2
    assert answer["plan"]["made_by"] == "classifier"
    assert answer["degraded"] == ["ModelPlanner could not plan: upstream_malformed"]
    assert answer["status"] == "answered"
    assert not [step for step in answer["plan"]["steps"] if step["tool"]]


def test_what_was_said_in_whole_sentences_is_given_as_incomplete_paid_for_and_not_kept(open_desk: Open) -> None:
    desk = open_desk(
        cut(f"{FACT} [1] It also glows in the", events=9),
        agent=GRAPH,
        extensions=["answer_cache", "planned_agent", "structured"],
    )
    for _ in range(2):
        answer = desk.ask().json()
        assert (answer["status"], answer["stop_reason"], answer["cached"]) == ("answered", "error", None)
        assert FACT.rstrip(".") in answer["text"]
        assert "glows" not in answer["text"]
        assert answer["degraded"] == ["incomplete: the language model broke off (upstream_down)"]
    assert len(desk.provider.requests) == 2
    assert ["estimated" in row.basis for row in desk.charged()] == [True, True]
