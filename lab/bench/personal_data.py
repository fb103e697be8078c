"""How much of the personal data in a labelled set is found, by kind."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from extensions.redaction import personal_data
from extensions.redaction.personal_data import Found, Kind
from foundation.errors import InvalidRequest

CALLED: dict[str, Kind] = {
    "EMAIL_ADDRESS": "EMAIL",
    "URL": "URL",
    "DOMAIN_NAME": "URL",
    "CREDIT_CARD": "CARD",
    "IBAN_CODE": "IBAN",
    "US_SSN": "SSN",
    "IP_ADDRESS": "IP",
    "MAC_ADDRESS": "MAC",
    "PHONE_NUMBER": "PHONE",
}
"""What the data sets of Presidio call our kinds. Their other types are counted, and said to be not looked for."""


def bench_personal_data(folder: Path, *, progress: Callable[[str, int, int], None] | None = None) -> dict[str, Any]:
    """Precision and recall by kind, of spans that overlap; `n` labelled and `found` stand beside them.

    `folder` holds `texts.jsonl`: one object a line with `text` and `spans`, each with `type`, `start` and `end`.

    Raises:
        InvalidRequest: there is no such file, or a line is not of that shape.
    """
    rows = _rows(folder / "texts.jsonl")
    right, labelled, found, not_looked_for = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for number, (text, spans) in enumerate(rows):
        got = personal_data.find(text)
        found.update(one.kind for one in got)
        for kind, start, end in spans:
            known = CALLED.get(kind)
            if known is None:
                not_looked_for[kind] += 1
                continue
            labelled[known] += 1
            right[known] += _overlaps(got, known, start, end)
        if progress is not None:
            progress("texts", number + 1, len(rows))
    kinds = {kind: _figures(right[kind], labelled[kind], found[kind]) for kind in personal_data.KINDS}
    return {
        "data": folder.name,
        "texts": len(rows),
        "all": _figures(right.total(), labelled.total(), found.total()),
        "kinds": kinds,
        "not_looked_for": dict(not_looked_for),
    }


def _figures(right: int, labelled: int, found: int) -> dict[str, Any]:
    return {
        "precision": min(1.0, right / found) if found else None,
        "recall": right / labelled if labelled else None,
        "n": labelled,
        "found": found,
    }


def _overlaps(got: list[Found], kind: Kind, start: int, end: int) -> bool:
    return any(one.kind == kind and one.start < end and start < one.end for one in got)


def _rows(path: Path) -> list[tuple[str, list[tuple[str, int, int]]]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        read = [json.loads(line) for line in lines if line.strip()]
        return [
            (row["text"], [(span["type"], int(span["start"]), int(span["end"])) for span in row["spans"]])
            for row in read
        ]
    except FileNotFoundError as error:
        raise InvalidRequest(f"There is no {path}. Give a folder that holds texts.jsonl.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(
            f"{path} is not of the shape {{text, spans: [{{type, start, end}}]}}, one object a line: {error!r}."
        ) from error
