"""The cases of bench-structured have the values that they say, and a wrong or missing object counts as such."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from extensions.objects.objects import ObjectAnswer, model_of
from foundation.errors import InvalidRequest
from foundation.types import Usage
from lab.bench.objects import ObjectCase, bench_objects, cases_from, right

KINDS = Path(__file__).parents[2] / "examples" / "support_desk" / "objects.json"


def answered(case: ObjectCase, values: dict[str, Any] | None) -> ObjectAnswer[Any]:
    made = model_of(case.schema).model_validate(values) if values is not None else None
    failure = None if values is not None else "model"
    return ObjectAnswer(
        answer_id="a", object=made, failure=failure, usage=Usage(), cost_usd=None, seconds=0.1, trace_id=None
    )


def truth(case: ObjectCase) -> dict[str, Any]:
    return {name: accepted[0] for name, accepted in case.accepted.items() if "" not in accepted}


def test_two_hundred_varied_cases_whose_right_values_fit_their_schemas() -> None:
    cases = cases_from(KINDS, 200)
    assert (len(cases), len({case.text for case in cases}) > 190, len({case.kind for case in cases})) == (200, True, 10)
    for case in cases:
        assert not list(Draft202012Validator(case.schema).iter_errors(truth(case)))
        assert "{" not in case.text


async def test_right_wrong_and_missing_objects_are_told_apart() -> None:
    cases = cases_from(KINDS, 3)
    wrong = {**truth(cases[1]), "days_since_delivery": 999}
    replies = dict(zip(map(id, cases), (truth(cases[0]), wrong, None), strict=True))

    async def fill(case: ObjectCase) -> ObjectAnswer[Any]:
        return answered(case, replies[id(case)])

    figures = await bench_objects(cases, fill)
    assert (figures["cases"], figures["failures"]) == (3, ["model"])
    assert figures["valid"] == pytest.approx(2 / 3)
    assert figures["objects_right"] == pytest.approx(1 / 3)
    low, high = figures["objects_right_95"]
    assert 0 < low < 1 / 3 < high < 1
    assert figures["kinds"][cases[0].kind]["objects_right_95"][0] < 1, "one of one is no certainty"


def test_a_value_counts_by_what_it_is() -> None:
    assert right("QUILL.", ["Quill"])
    assert right(3, [3.0])
    assert not right(True, [1])
    assert right(None, [5, ""])
    assert not right(None, [5])


def test_calls_of_the_leaderboard_become_cases(tmp_path: Path) -> None:
    row = {
        "id": "simple_0",
        "category": "simple",
        "question": [[{"role": "user", "content": "Area of a triangle, base 10?"}]],
        "function": [
            {
                "name": "area",
                "description": "Area of a triangle.",
                "parameters": {"type": "dict", "properties": {"base": {"type": "float"}}, "required": ["base"]},
            }
        ],
        "ground_truth": [{"area": {"base": [10]}}],
    }
    two = {**row, "ground_truth": [{"area": {"base": [1]}}, {"area": {"base": [2]}}]}
    (tmp_path / "simple_python.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps(two)}\n")
    (case,) = cases_from(tmp_path, 10)
    assert (case.schema["type"], case.schema["properties"]["base"]["type"]) == ("object", "number")


def test_a_folder_without_cases_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="simple_python"):
        cases_from(tmp_path, 10)
