"""Check that the demo world is complete and consistent.

    python -m examples.support_desk.check_world

Prints every problem and exits with status 1 when there is one.
"""

import csv
import html
import json
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from docx import Document
from pypdf import PdfReader

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
TODAY = "2026-11-25"
TENANTS = {"alder-clinics", "bexley-schools"}
UNREADABLE = {"hostile/board-minutes-locked.pdf", "hostile/broken-return-form.docx"}
MINIMUM = {"answerable": 90, "two_documents": 20, "tool": 16, "unanswerable": 24, "wrong_tenant": 14}
TOOLS = {"find_order", "list_tickets", "open_ticket", "refund"}
SOURCE_KEYS = {"path", "title", "tenant", "groups", "series", "effective_from", "published"}
QUESTION_KEYS = {"id", "question", "kind", "tenant", "groups", "gold_documents", "answers", "answerable", "tool"}

Row = dict[str, Any]


def flat(text: str) -> str:
    """Lower the case, drop Markdown emphasis and join white space."""
    return re.sub(r"\s+", " ", text.replace("**", "")).lower()


def text_of(path: Path) -> str:
    """Extract the plain text of a corpus file."""
    if path.suffix == ".pdf":
        return "\n".join(page.extract_text() for page in PdfReader(path).pages)
    if path.suffix == ".docx":
        document = Document(str(path))
        cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
        return "\n".join([*(paragraph.text for paragraph in document.paragraphs), *cells])
    if path.suffix == ".html":
        main = path.read_text("utf-8").split("<main>")[1].split("</main>")[0]
        return html.unescape(re.sub(r"<[^>]+>", " ", main))
    return path.read_text("utf-8")


def read_lines(name: str) -> list[Row]:
    """Read a JSON-lines file of this folder."""
    return [json.loads(line) for line in (HERE / name).read_text("utf-8").splitlines()]


def in_force(sources: list[Row]) -> dict[str, str]:
    """Map each series to the path of the version that applies today."""
    best: dict[str, Row] = {}
    for row in sources:
        series, date = row["series"], row["effective_from"]
        if series and date <= TODAY and (series not in best or date > best[series]["effective_from"]):
            best[series] = row
    return {series: row["path"] for series, row in best.items()}


def check_sources(sources: list[Row], texts: dict[str, str]) -> Iterator[str]:
    """Compare sources.jsonl with the files of the corpus."""
    listed = Counter(row["path"] for row in sources)
    present = {path.relative_to(CORPUS).as_posix() for path in CORPUS.rglob("*") if path.is_file()}
    yield from (f"{path}: listed {count} times" for path, count in listed.items() if count > 1)
    yield from (f"{path}: listed but missing" for path in sorted(set(listed) - present))
    yield from (f"{path}: not listed in sources.jsonl" for path in sorted(present - set(listed)))
    if len(listed) < 64:
        yield f"only {len(listed)} documents"
    for row in sources:
        path, tenant = row["path"], row["tenant"]
        if set(row) != SOURCE_KEYS:
            yield f"{path}: wrong keys {sorted(set(row) ^ SOURCE_KEYS)}"
        if tenant != (path.split("/")[1] if path.startswith("tenants/") else "*"):
            yield f"{path}: tenant {tenant!r} does not fit the folder"
        if row["groups"] and tenant == "*":
            yield f"{path}: groups without a tenant"
        if row["series"]:
            year, month, day = (int(part) for part in row["effective_from"].split("-"))
            names = "January February March April May June July August September October November December"
            stated = f"{day} {names.split()[month - 1]} {year}".lower()
            if f"effective from {stated}" not in texts[path]:
                yield f"{path}: does not state that it is effective from {stated}"
    for tenant in sorted(TENANTS):
        own = [row for row in sources if row["tenant"] == tenant]
        if len(own) < 5 or not any(row["groups"] == ["managers"] for row in own):
            yield f"{tenant}: needs five private documents, one of them for managers"


def check_shape(row: Row) -> Iterator[str]:
    """Check that the fields of a golden question fit its kind."""
    kind, gold, answers, tool = row["kind"], row["gold_documents"], row["answers"], row["tool"]
    facts = row.get("answers_all", [answers])
    refused = kind in ("unanswerable", "wrong_tenant")
    rules = {
        "has wrong keys": set(row) - {"answers_all"} == QUESTION_KEYS,
        "has an unknown kind or tenant": kind in MINIMUM and row["tenant"] in TENANTS,
        "has an `answerable` that does not fit its kind": row["answerable"] != refused,
        "has gold although it must be refused": not (refused and (gold or answers)),
        "has no answers": bool(answers) or refused,
        "has no gold document": bool(gold) or refused or kind == "tool",
        "needs two gold documents and two facts": kind != "two_documents" or len(gold) == len(facts) == 2,
        "has `answers` other than the flattened `answers_all`": answers == [text for fact in facts for text in fact],
        "has a tool that does not fit its kind": (tool is not None) == (kind == "tool"),
        "has an unknown tool": tool is None or tool["name"] in TOOLS,
    }
    yield from (problem for problem, fulfilled in rules.items() if not fulfilled)


def check_gold(row: Row, sources: dict[str, Row], texts: dict[str, str]) -> Iterator[str]:
    """Check the gold documents and answers of a golden question."""
    current = set(in_force(list(sources.values())).values())
    for path in row["gold_documents"]:
        source = sources.get(path)
        if source is None or path in UNREADABLE:
            yield f"{path} is not a readable source"
            continue
        if source["tenant"] not in ("*", row["tenant"]) or not set(source["groups"]) <= set(row["groups"]):
            yield f"{path} may not be read by the person who asks"
        if source["series"] and path not in current:
            yield f"{path} is not the version in force on {TODAY}"
    places = [texts.get(path, "") for path in row["gold_documents"]]
    if row["kind"] == "tool":
        places.append(database_text(row))
    for answer in row["answers"]:
        if not any(flat(answer) in place for place in places):
            yield f"answer {answer!r} occurs in no gold document"
    if row["kind"] == "two_documents":
        for place, fact in zip(places, row["answers_all"], strict=True):
            yield from (f"{answer!r} is not in its own document" for answer in fact if flat(answer) not in place)


def database_rows(tenant: str) -> list[tuple[str, str]]:
    """Load database.sql and return the id and the text of each order and ticket of a tenant."""
    connection = sqlite3.connect(":memory:")
    connection.executescript((HERE / "database.sql").read_text("utf-8"))
    rows: list[tuple[str, str]] = []
    for query in ("SELECT * FROM orders WHERE tenant = ?", "SELECT * FROM tickets WHERE tenant = ?"):
        rows += [(found[0], flat(" | ".join(map(str, found)))) for found in connection.execute(query, (tenant,))]
    connection.close()
    return rows


def database_text(row: Row) -> str:
    """Return the database rows that answer a tool question."""
    arguments = (row["tool"] or {}).get("arguments", {})
    wanted, status = arguments.get("order_id"), arguments.get("status")
    rows = database_rows(row["tenant"])
    if wanted:
        return "\n".join(text for key, text in rows if key == wanted)
    return "\n".join(text for key, text in rows if key.startswith("T-") and f" | {status} | " in text)


def read_texts(paths: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Extract the text of every document and report the ones that (un)expectedly cannot be read."""
    texts: dict[str, str] = {}
    problems: list[str] = []
    for path in paths:
        try:
            texts[path] = flat(text_of(CORPUS / path))
        except Exception as error:  # the parsers raise many kinds of errors on broken files
            if path not in UNREADABLE:
                problems.append(f"{path}: {type(error).__name__}: {error}")
        if path in UNREADABLE and path in texts:
            problems.append(f"{path}: should not be readable")
        if path.endswith(".csv"):
            with (CORPUS / path).open(encoding="utf-8", newline="") as file:
                if len({len(cells) for cells in csv.reader(file)}) != 1:
                    problems.append(f"{path}: rows of different length")
    return texts, problems


def check_questions(questions: list[Row], sources: dict[str, Row], texts: dict[str, str]) -> Iterator[str]:
    """Check golden.jsonl."""
    for number, row in enumerate(questions, 1):
        if row["id"] != f"g{number:03d}":
            yield f"{row['id']}: out of order"
        yield from (f"{row['id']}: {problem}" for problem in check_shape(row))
        yield from (f"{row['id']}: {problem}" for problem in check_gold(row, sources, texts))
    if len({row["question"] for row in questions}) != len(questions):
        yield "a question occurs twice"
    kinds = Counter(row["kind"] for row in questions)
    for kind, least in MINIMUM.items():
        if kinds[kind] < least:
            yield f"only {kinds[kind]} questions of kind {kind}"


def main() -> int:
    """Run all checks."""
    sources, questions = read_lines("sources.jsonl"), read_lines("golden.jsonl")
    by_path = {row["path"]: row for row in sources}
    texts, problems = read_texts(by_path)
    problems += check_sources(sources, texts)
    problems += check_questions(questions, by_path, texts)
    formats = Counter(Path(path).suffix.lstrip(".") for path in by_path)
    kinds = Counter(row["kind"] for row in questions)
    report = [
        f"documents: {len(by_path)} {dict(formats.most_common())}",
        f"questions: {len(questions)} {dict(kinds.most_common())}",
        f"in force:  {', '.join(sorted(in_force(sources).values()))}",
        *(problems or ["no problems"]),
    ]
    sys.stdout.write("\n".join(report) + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
