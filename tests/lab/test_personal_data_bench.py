"""What the finder of personal data misses and takes wrongly, measured on texts that people marked."""

from __future__ import annotations

import json

import pytest

from foundation.errors import InvalidRequest
from lab.bench.personal_data import bench_personal_data


def test_the_benchmark_counts_by_kind_and_says_what_it_does_not_look_for(tmp_path):
    text = "Mail ada@example.org or Ada"
    spans = [{"type": "EMAIL_ADDRESS", "start": 5, "end": 20}, {"type": "PERSON", "start": 24, "end": 27}]
    missed = {"text": "no 5551234", "spans": [{"type": "PHONE_NUMBER", "start": 3, "end": 10}]}
    lines = [json.dumps({"text": text, "spans": spans}), json.dumps(missed)]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found = bench_personal_data(tmp_path)
    assert found["kinds"]["EMAIL"] == {"precision": 1.0, "recall": 1.0, "n": 1, "found": 1}
    assert found["kinds"]["PHONE"] == {"precision": None, "recall": 0.0, "n": 1, "found": 0}
    assert found["not_looked_for"] == {"PERSON": 1}


@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_a_folder_of_another_shape_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "texts.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"texts\.jsonl"):
        bench_personal_data(tmp_path)
