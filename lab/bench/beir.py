"""Queries and judgements in BEIR's layout: `queries.jsonl` and `qrels/NAME.tsv`."""

from __future__ import annotations

import csv
from pathlib import Path

from foundation.errors import InvalidRequest
from observability.evaluation.datasets import Question, field, lines, open_file, read_questions

LAYOUT = "DATA must name a folder in BEIR layout, with queries.jsonl and qrels/test.tsv: lab/notes/benchmarks.md describes it."


def read_queries(data: Path, name: str = "queries.jsonl") -> dict[str, str]:
    """Return query id -> text, in the order of the file."""
    path = data / name
    return {field(row, "_id", path, number): field(row, "text", path, number) for number, row in lines(path, LAYOUT)}


def read_qrels(data: Path, name: str = "test") -> dict[str, dict[str, int]]:
    """Return query id -> document id -> judgement, from `qrels/NAME.tsv`, without queries that have no positive one."""
    path = data / "qrels" / f"{name}.tsv"
    judged: dict[str, dict[str, int]] = {}
    with open_file(path, LAYOUT) as lines:
        for number, row in enumerate(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), 1):
            if number == 1 and row[-1:] == ["score"]:
                continue
            try:
                query, document, score = row
                judged.setdefault(query, {})[document] = int(float(score))
            except ValueError as error:
                raise InvalidRequest(
                    f"{path} line {number} is not query-id, corpus-id, score: {row}. Correct it."
                ) from error
    return {query: scores for query, scores in judged.items() if any(score > 0 for score in scores.values())}


def foreign_questions(data: Path) -> list[Question]:
    """Return the questions of `qa.jsonl` or `queries.jsonl` as unanswerable ones, for use with another corpus."""
    if (data / "qa.jsonl").exists():
        questions = [(question.question_id, question.question) for question in read_questions(data)[0]]
    else:
        questions = list(read_queries(data).items())
    return [Question(key, text, (), (), answerable=False) for key, text in questions]
