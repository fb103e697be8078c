"""Files of questions: JSON lines with the number of each, and some of many questions spread over the whole list."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from foundation.errors import InvalidRequest

T = TypeVar("T")
FOLDER = "DATA must name a folder in a format of docs/measuring.md."


def evenly(questions: Sequence[T], limit: int | None) -> list[T]:
    """Return `limit` questions in order, spread over the whole list; all of them without a limit.

    >>> evenly(["a", "b", "c", "d", "e", "f"], 3)
    ['a', 'c', 'e']
    """
    if limit is None or limit >= len(questions):
        return list(questions)
    return [questions[position * len(questions) // limit] for position in range(limit)]


def lines(path: Path, otherwise: str = FOLDER) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the objects of a JSON lines file, each with its line number.
    Raises InvalidRequest: the file cannot be read (`otherwise` is the advice), or a line is no JSON object.
    """
    number = 0
    with open_file(path, otherwise) as lines:
        try:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, _object(json.loads(line))
        except UnicodeDecodeError as error:
            raise InvalidRequest(
                f"{path} cannot be read, because it is not UTF-8: {error}. Save it as UTF-8."
            ) from error
        except (ValueError, TypeError) as error:
            raise InvalidRequest(f"{path} line {number} is not a JSON object: {error}. Correct that line.") from error


def _object(row: Any) -> Mapping[str, Any]:
    if not isinstance(row, dict):
        raise TypeError(f"it is a {type(row).__name__}")
    return row


def open_file(path: Path, otherwise: str = FOLDER) -> Any:
    try:
        return path.open(encoding="utf-8-sig", newline="\n")
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}. {otherwise}") from error
