"""Retrieval scores of the benchmarks are those that one works out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from extensions.datasets.reading import items_of, read_corpus
from foundation.components import Context, load
from foundation.errors import InvalidRequest, UpstreamDown
from foundation.settings import Part
from foundation.types import Usage
from lab.bench.public_data import bench_answers, bench_retrieval
from tests.doubles.answers import WordSearch, answer

RETRIEVAL_KEYS = {
    "ndcg_at_10", "recall_at_10", "recall_at_100", "mrr_at_10", "precision_at_3", "recall_at_3", "docs_per_s",
    "query_p50_ms", "query_p95_ms", "peak_rss_mb", "documents", "queries",
}  # fmt: skip
ANSWER_KEYS = {
    "answer_contained", "token_f1", "citation_precision", "citation_recall", "refused_unanswerable", "answered_share",
    "words_per_answer", "s_per_answer", "usd_per_answer", "rows",
}  # fmt: skip
ODD = "https://docs.example/a b#c<::>1/../é\"'%"


def write(path: Path, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")


@pytest.fixture
def beir(tmp_path):
    """Four documents, one of them empty; four queries, one of them without a judgement."""
    folder = tmp_path / "tiny"
    texts = {"d1": "red apple", ODD: "red red pear", "d3": "green plum", "d4": ""}
    write(
        folder / "corpus.jsonl",
        [{"_id": key, "title": "T" if text else "", "text": text} for key, text in texts.items()],
    )
    queries = {"q1": "red apple", "q-odd\u00e9 <::>2": "pear", "q3": "nothing here", "q4": "plum"}
    write(folder / "queries.jsonl", [{"_id": key, "text": text} for key, text in queries.items()])
    rows = [
        "query-id\tcorpus-id\tscore",
        "q1\td1\t1",
        "q1\td3\t1",
        f"q-odd\u00e9 <::>2\t{ODD}\t1",
        "q3\td3\t1",
        "q4\td3\t0",
    ]
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def test_retrieval_scores_are_those_that_one_works_out_by_hand(beir):
    parts = WordSearch()
    found = bench_retrieval(beir, ingestor=parts, retriever=parts)
    assert found.keys() >= RETRIEVAL_KEYS
    assert (found["queries"], found["queries_without_judgement"]) == (3, 1)
    assert (found["documents"], found["documents_refused"]) == (3, ["d4"])
    # q1 finds d1 first and not d3, the odd one is found first, q3 finds nothing
    assert found["recall_at_10"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert found["mrr_at_10"] == pytest.approx(2 / 3)
    assert found["precision_at_3"] == pytest.approx(2 / 9)
    assert found["ndcg_at_10"] == pytest.approx((1 / (1 + 1 / math.log2(3)) + 1) / 3)
    assert json.loads(json.dumps(found))["data"] == "tiny"


def test_a_title_alone_is_a_document_and_of_two_with_one_id_the_last_counts(beir):
    write(
        beir / "corpus.jsonl",
        [
            {"_id": "d1", "title": "", "text": "old"},
            {"_id": "d1", "title": "", "text": "new"},
            {"_id": "d2", "title": "Only a title", "text": " "},
        ],
    )
    assert [item.content for item in items_of(read_corpus(beir))] == [b"old", b"new", b"Only a title"]

    parts = WordSearch()
    figures = bench_retrieval(beir, ingestor=parts, retriever=parts)
    assert (figures["documents"], figures["documents_repeated"]) == (2, 1)


def test_a_limit_cuts_the_queries_and_never_the_corpus(beir):
    parts = WordSearch()
    found = bench_retrieval(beir, ingestor=parts, retriever=parts, limit=1)
    assert (found["queries"], found["documents"]) == (1, 3)


def test_each_query_is_asked_once_for_a_hundred_after_one_that_is_not_counted(beir):
    parts = WordSearch()
    bench_retrieval(beir, ingestor=parts, retriever=parts)
    assert parts.asked == [("red apple", 100), ("red apple", 100), ("pear", 100), ("nothing here", 100)]


def test_progress_is_told_for_both_parts(beir):
    seen, parts = [], WordSearch()
    bench_retrieval(beir, ingestor=parts, retriever=parts, progress=lambda *said: seen.append(said))
    assert seen[0] == ("ingest", 1, 4)
    assert seen[-1] == ("retrieve", 3, 3)


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_folder_in_another_layout_is_named(beir, missing):
    (beir / missing).unlink()
    with pytest.raises(InvalidRequest, match=missing.split("/")[-1]) as refused:
        bench_retrieval(beir, ingestor=WordSearch(), retriever=WordSearch())
    assert "docs/measuring.md" in str(refused.value)
    assert missing in (Path(__file__).parents[2] / "docs" / "measuring.md").read_text()


@pytest.mark.parametrize(
    ("name", "line", "says"),
    [
        ("corpus.jsonl", '{"id": "x"}', 'line 5 has no "_id"'),
        ("corpus.jsonl", "{", "line 5 is not a JSON object"),
        ("queries.jsonl", "[1, 2]", "line 5 is not a JSON object: it is a list"),
        ("queries.jsonl", '{"_id": "\udcff"}', "is not UTF-8: "),
        ("queries.jsonl", '{"_id": "x"}', 'line 5 has no "text"'),
        ("qrels/test.tsv", "q1\td1", "line 7 is not query-id"),
    ],
)
def test_a_line_in_another_form_is_named(beir, name, line, says):
    with (beir / name).open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(line + "\n")
    with pytest.raises(InvalidRequest, match=says):
        bench_retrieval(beir, ingestor=WordSearch(), retriever=WordSearch())


def test_a_byte_order_mark_is_no_part_of_the_first_line(beir):
    file = beir / "queries.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert bench_retrieval(beir, ingestor=WordSearch(), retriever=WordSearch())["queries"] == 3


def test_no_judged_query_is_nothing_to_measure(beir):
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nother\td1\t1\n")
    with pytest.raises(InvalidRequest, match="nothing to measure"):
        bench_retrieval(beir, ingestor=WordSearch(), retriever=WordSearch())


QUESTIONS = [
    {"id": "right", "question": "red apple", "doc_ids": ["d1"], "answers": ["red apple"], "answerable": True},
    {"id": "wrong", "question": "pear", "doc_ids": [ODD], "answers": ["pear"], "answerable": True, "history": [{"role": "user", "content": "hi"}]},
    {"id": "silent", "question": "plum", "doc_ids": ["d3"], "answers": ["plum"], "answerable": True},
    {"id": "no", "question": "quince", "doc_ids": ["d3"], "answers": [], "answerable": False},
    {"id": "made up", "question": "kiwi", "doc_ids": [], "answers": [], "answerable": False},
    {"id": "down", "question": "fig", "doc_ids": ["d1"], "answers": ["fig"], "answerable": True},
]  # fmt: skip


async def by_id(question):
    if question.question_id == "down":
        raise UpstreamDown("the double is down")
    return {
        "right": answer("A red apple", cites=["d1"], first_token_s=0.5, usage=Usage(200, 9, cached_input_tokens=80)),
        "wrong": answer("an apple", cites=["d1", ODD], cost_usd=None, first_token_s=1.5, usage=Usage(100, 9)),
        "silent": answer("", status="abstained"),
        "no": answer("", status="abstained"),
        "made up": answer("a kiwi is green", cites=["d3"]),
    }[question.question_id]


async def test_answer_scores_are_those_that_one_works_out_by_hand(beir):
    write(beir / "qa.jsonl", QUESTIONS)
    found = await bench_answers(beir, ingestor=WordSearch(), answer=by_id)
    assert found.keys() >= ANSWER_KEYS
    assert (found["n_questions"], found["n_answerable"], found["n_unanswerable"], found["n_answered"]) == (6, 4, 2, 3)
    assert (found["n_failed"], found["n_unpriced"], found["n_with_history"]) == (1, 2, 1)
    assert found["answer_contained"] == pytest.approx(1 / 4)
    assert found["answer_contained_where_answered"] == pytest.approx(1 / 2)
    assert found["token_f1"] == pytest.approx(1 / 4)
    assert found["citation_precision"] == pytest.approx((1 + 0.5) / 2)
    assert found["citation_recall"] == pytest.approx(2 / 4)
    assert found["refused_unanswerable"] == pytest.approx(1 / 2)
    assert found["answered_share"] == pytest.approx(3 / 6)
    assert found["words_per_answer"] == pytest.approx((3 + 2 + 4) / 3)
    assert found["usd_per_answer"] == pytest.approx(0.001)
    assert (found["first_token_p50_s"], found["cached_input_share"]) == (1.0, pytest.approx(80 / 200))
    assert json.loads(json.dumps(found))["intervals_95"]["answer_contained"]


async def test_of_answers_of_more_than_forty_words_none_counts_as_a_short_one_that_contains_the_gold_answer(beir):
    write(beir / "qa.jsonl", [QUESTIONS[0], QUESTIONS[0] | {"id": "long"}])

    async def answered(question):
        more = "so " * (37 if question.question_id == "right" else 38)
        return answer(f"A red apple {more}[1]", cites=["d1"])

    found = await bench_answers(beir, ingestor=WordSearch(), answer=answered)
    assert [row["words"] for row in found["rows"]] == [40, 41]
    assert (found["answer_contained"], found["short_answer_contained"]) == (1.0, 0.5)
    assert found["n_above_40_words"] == 1


async def test_there_is_one_row_a_question_with_what_was_said(beir):
    write(beir / "qa.jsonl", QUESTIONS)
    rows = (await bench_answers(beir, ingestor=WordSearch(), answer=by_id))["rows"]
    assert [row["id"] for row in rows] == [question["id"] for question in QUESTIONS]
    assert (rows[0]["answer"], rows[0]["citations"], rows[0]["usd"]) == ("A red apple", ["d1"], 0.001)
    assert (rows[5]["status"], rows[5]["error"]) == ("failed", "upstream_down: the double is down")


async def test_a_limit_takes_questions_from_all_over_the_file(beir):
    write(beir / "qa.jsonl", QUESTIONS)
    rows = (await bench_answers(beir, ingestor=WordSearch(), answer=by_id, limit=3))["rows"]
    assert [row["id"] for row in rows] == ["right", "silent", "made up"]


async def test_questions_of_another_folder_are_asked_and_count_as_unanswerable(beir, tmp_path):
    write(beir / "qa.jsonl", QUESTIONS)
    other = tmp_path / "other"
    write(other / "qa.jsonl", [{"id": "silent", "question": "q", "contexts": ["x"], "answers": ["x"]}])
    found = await bench_answers(beir, ingestor=WordSearch(), answer=by_id, foreign=other)
    assert (found["foreign"], found["n_foreign"], found["refused_foreign"]) == ("other", 1, 1.0)
    assert (found["n_questions"], found["foreign_rows"][0]["answerable"]) == (6, False)


async def test_the_queries_of_a_folder_without_answers_are_foreign_as_well(beir, tmp_path):
    write(beir / "qa.jsonl", QUESTIONS)
    write(tmp_path / "queries" / "queries.jsonl", [{"_id": "made up", "text": "kiwi"}])
    found = await bench_answers(beir, ingestor=WordSearch(), answer=by_id, foreign=tmp_path / "queries")
    assert found["refused_foreign"] == 0.0


async def test_confidences_give_the_risk_at_every_coverage(beir):
    write(beir / "qa.jsonl", QUESTIONS[:4])
    traced = {"right": 0.9, "wrong": 0.8, "silent": 0.7, "no": 0.3}

    async def with_trace(question):
        return (await by_id(question)).model_copy(update={"trace_id": question.question_id})

    found = await bench_answers(beir, ingestor=WordSearch(), answer=with_trace, confidences=lambda: traced)
    assert [one["confidence"] for one in found["rows"]] == [0.9, 0.8, 0.7, 0.3]
    assert (found["risk_area_document"], found["risk_area_answer"]) == (0.0, 0.25)
    assert (found["threshold_at_85"], found["refused_unanswerable_at_85"]) == (0.7, 1.0)
    # of one question: 1 / (1 + 1.96²)
    assert found["intervals_95"]["refused_unanswerable_at_85"] == pytest.approx([0.2065, 1.0], abs=1e-4)


def test_raw_fusion_is_asked_the_same_queries_over_the_same_corpus(beir):
    parts = WordSearch()
    embedder = load("models.embedder", Part(use="hashing"), Context(data_dir=beir))
    found = bench_retrieval(beir, ingestor=parts, retriever=parts, embedder=embedder)
    # it finds a document for q3 as well: the nearest vectors have no floor
    assert found["raw_recall_at_10"] == 1
    assert found["ndcg_gain"] == pytest.approx(found["ndcg_at_10"] - found["raw_ndcg_at_10"])
    assert found["ndcg_gain_low"] <= found["ndcg_gain"] <= found["ndcg_gain_high"]


def test_the_legs_are_asked_the_same_queries(beir):
    parts, seen = WordSearch(), []
    found = bench_retrieval(
        beir, ingestor=parts, retriever=parts, legs=lambda asked: seen.extend(asked) or {"x_ms": 1.0}
    )
    assert (seen, found["x_ms"]) == (["red apple", "pear", "nothing here"], 1.0)
