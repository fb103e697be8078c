"""Folders of questions and documents are read in the forms of public data sets."""

import json

import pytest

from extensions.datasets.reading import foreign_questions, read_qrels, read_questions
from foundation.errors import InvalidRequest


def write(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))


def test_contexts_inside_the_questions_become_the_corpus(tmp_path):
    write(
        tmp_path / "qa.jsonl",
        [
            {"id": 1, "question": "a", "contexts": ["same text", "other"], "answers": ["x"]},
            {
                "id": 2,
                "question": "b",
                "contexts": ["same text", {"text": "third", "title": "T", "_id": "own"}],
                "answers": [],
            },
        ],
    )
    questions, corpus = read_questions(tmp_path)
    assert [one.text for one in corpus] == ["same text", "other", "third"]
    assert questions[0].documents[0] == questions[1].documents[0] == corpus[0].document_id
    assert questions[1].documents[1] == "own"
    assert [one.answerable for one in questions] == [True, False]


def test_a_corpus_beside_the_questions_wins_over_contexts(tmp_path):
    write(tmp_path / "corpus.jsonl", [{"_id": f"d{n}", "title": "", "text": f"text {n}"} for n in range(4)])
    write(
        tmp_path / "qa.jsonl",
        [{"id": "1", "question": "a", "contexts": ["x"], "doc_ids": ["d1"], "answers": ["x"], "answerable": True}],
    )
    questions, corpus = read_questions(tmp_path)
    assert questions[0].documents == ("d1",)
    assert len(corpus) == 4


def test_questions_of_another_corpus_have_no_answer_here(tmp_path):
    write(tmp_path / "queries.jsonl", [{"_id": "1", "text": "Which spices season goulash?"}])
    (foreign,) = foreign_questions(tmp_path)
    assert (foreign.question, foreign.answerable, foreign.answers) == ("Which spices season goulash?", False, ())


def test_a_judgement_that_is_none_is_named_with_its_line(tmp_path):
    (tmp_path / "qrels").mkdir()
    judged = tmp_path / "qrels" / "test.tsv"
    judged.write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td1\t0\n")
    assert read_qrels(tmp_path) == {"q1": {"d1": 1}}, "a query without a judged document is left out"
    judged.write_text("query-id\tcorpus-id\tscore\nq1\td1\n")
    with pytest.raises(InvalidRequest, match="line 2 is not query-id, corpus-id, score"):
        read_qrels(tmp_path)
