"""The benchmark of follow-up questions counts what reading the conversation gains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foundation.errors import InvalidRequest
from lab.bench.follow_ups import bench_follow_ups, read_follow_ups
from tests.doubles.answers import WordSearch

EXAMPLE = Path(__file__).parents[2] / "examples" / "support_desk"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    history = [{"role": "user", "content": "What does the red apple cost?"}, {"role": "assistant", "content": "plum"}]
    queries = [
        {"_id": "q1", "text": "Where does it grow?", "metadata": {"history": history}},
        {"_id": "q2", "text": "Where does the green plum grow?", "metadata": {"history": history}},
        {"_id": "q3", "text": "green plum"},
    ]
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)), encoding="utf-8")
    (tmp_path / "qrels").mkdir()
    judgements = ["query-id\tcorpus-id\tscore", "q1\td1\t1", "q2\td3\t1", "q3\td3\t1"]
    (tmp_path / "qrels" / "test.tsv").write_text("\n".join(judgements), encoding="utf-8")
    return tmp_path


def test_the_gain_is_over_the_questions_that_lean_on_their_conversation(folder: Path) -> None:
    search = WordSearch()
    search.texts = {"d1": "red apple", "d3": "green plum"}
    found = bench_follow_ups(read_follow_ups(folder), search)
    assert (found["queries"], found["queries_with_history"], found["queries_rewritten"]) == (3, 2, 1)
    assert (found["rewritten_ndcg_at_10_asked"], found["rewritten_ndcg_at_10_in_context"]) == (0.0, 1.0)
    assert found["ndcg_at_10_in_context"] == 1.0
    assert found["rewritten_gain"] == 1.0


def test_a_folder_without_conversations_is_refused(folder: Path) -> None:
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "red"}\n', encoding="utf-8")
    with pytest.raises(InvalidRequest, match="earlier turns"):
        read_follow_ups(folder)


def test_the_follow_ups_of_the_example_name_documents_that_exist() -> None:
    cases = read_follow_ups(EXAMPLE / "follow_ups.jsonl")
    assert len({case.key for case in cases}) == len(cases) == 32
    for case in cases:
        assert case.earlier
        for document in case.judged:
            assert (EXAMPLE / "corpus" / document).is_file()
