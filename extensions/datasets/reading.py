"""Read folders of questions and documents: BEIR's layout, and qa.jsonl."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import InvalidRequest
from foundation.types import Scope
from observability.evaluation.questions import lines, open_file

if TYPE_CHECKING:
    from retrieval.ingest.preparation import Item


TENANT = "bench"
SCOPE = Scope(TENANT)
# Called with the name of the step, the number done, and the total
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class CorpusDocument:
    """A line of `corpus.jsonl`."""

    document_id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A line of `qa.jsonl`. `history` has earlier turns of a conversation, oldest first, as role and content."""

    question_id: str
    question: str
    documents: tuple[str, ...]
    answers: tuple[str, ...]
    answerable: bool
    history: tuple[tuple[str, str], ...] = ()


def items_of(corpus: Iterable[CorpusDocument]) -> list[Item]:
    """Return the documents as ingest takes them. A document with a title only gets it as its text."""
    from retrieval.documents import Source
    from retrieval.ingest.preparation import Item

    return [
        Item(
            source=Source(uri=document.document_id, tenant=TENANT, title=document.title, media_type="text/plain"),
            content=(document.text if document.text.strip() else document.title).encode(
                "utf-8", errors="surrogatepass"
            ),
            name=f"{document.document_id}.txt",
        )
        for document in corpus
    ]


def read_corpus(data: Path) -> Iterator[CorpusDocument]:
    for number, row in lines(data / "corpus.jsonl"):
        yield CorpusDocument(
            field(row, "_id", data / "corpus.jsonl", number), str(row.get("title") or ""), str(row.get("text") or "")
        )


def read_queries(data: Path, name: str = "queries.jsonl") -> dict[str, str]:
    """Return query id -> text, in the order of the file."""
    path = data / name
    return {field(row, "_id", path, number): field(row, "text", path, number) for number, row in lines(path)}


def read_qrels(data: Path, name: str = "test") -> dict[str, dict[str, int]]:
    """Return query id -> document id -> judgement, from `qrels/NAME.tsv`, without queries that have no positive one."""
    path = data / "qrels" / f"{name}.tsv"
    judged: dict[str, dict[str, int]] = {}
    with open_file(path) as rows:
        for number, row in enumerate(csv.reader(rows, delimiter="\t", quoting=csv.QUOTE_NONE), 1):
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


def read_questions(data: Path) -> tuple[list[Question], list[CorpusDocument]]:
    """Return the questions and the corpus: `corpus.jsonl`, else the distinct contexts of the questions."""
    path = data / "qa.jsonl"
    rows = list(lines(path))
    if (data / "corpus.jsonl").exists():
        return [_question(row, path, number) for number, row in rows], list(read_corpus(data))
    corpus: dict[str, CorpusDocument] = {}
    questions = []
    for number, row in rows:
        documents = [_context(context) for context in row.get("contexts") or []]
        for document in documents:
            corpus.setdefault(document.document_id, document)
        questions.append(_question({"doc_ids": [one.document_id for one in documents], **row}, path, number))
    return questions, list(corpus.values())


def foreign_questions(data: Path) -> list[Question]:
    """Return the questions of `qa.jsonl` or `queries.jsonl` as unanswerable ones, for use with another corpus."""
    if (data / "qa.jsonl").exists():
        questions = [(question.question_id, question.question) for question in read_questions(data)[0]]
    else:
        questions = list(read_queries(data).items())
    return [Question(key, text, (), (), answerable=False) for key, text in questions]


def _context(context: Any) -> CorpusDocument:
    # SQuAD has texts, others objects with a title and an id
    row: Mapping[str, Any] = context if isinstance(context, Mapping) else {"text": str(context)}
    text, title = str(row.get("text") or ""), str(row.get("title") or "")
    digest = hashlib.sha256(f"{title}\0{text}".encode()).hexdigest()
    return CorpusDocument(str(row.get("_id") or f"context-{digest[:16]}"), title, text)


def _question(row: Mapping[str, Any], path: Path, number: int) -> Question:
    answers = tuple(str(answer) for answer in row.get("answers") or ())
    return Question(
        question_id=field(row, "id", path, number),
        question=field(row, "question", path, number),
        documents=tuple(str(document_id) for document_id in row.get("doc_ids") or ()),
        answers=answers,
        answerable=bool(row.get("answerable", bool(answers))),
        history=tuple((str(turn.get("role", "")), str(turn.get("content", ""))) for turn in row.get("history") or ()),
    )


def field(row: Mapping[str, Any], name: str, path: Path, number: int) -> str:
    """Return a field as text. Raises InvalidRequest: the line lacks it."""
    if row.get(name) is None:
        raise InvalidRequest(f'{path} line {number} has no "{name}". Found: {", ".join(row) or "nothing"}.')
    return str(row[name])
