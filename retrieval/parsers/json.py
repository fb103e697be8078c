"""JSON and JSON Lines: every object as "path: value" pairs, so that each value has its name.

Each object of a file's main list is a record, below the list's path as a heading.
"""

import json
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from foundation.errors import DocumentRefused
from retrieval.documents import Parsed, ParseLimits
from retrieval.formats.text_blocks import TEXT_VERSION, Draft, FormatParser, decode

# Most characters of an object on one line; a larger one gets a line for each value
_ROW_CHARACTERS = 600
# Depth of objects to which lists of records are searched; deeper ones are values of the record around them
_WRAPPERS = 8


def build(limits: ParseLimits) -> FormatParser:
    return FormatParser((".json", ".jsonl", ".ndjson"), f"json {4 + TEXT_VERSION}", _parse, limits)


def _parse(draft: Draft, content: bytes) -> Parsed:
    lines = PurePath(draft.name).suffix.lower() != ".json"
    try:
        for heading, record in _records(decode(content, draft.name), draft.name, lines=lines):
            draft.add("heading", heading, level=2)
            pairs = [f"{path}: {value}" if path else value for path, value in _flatten(record, "")]
            if sum(len(pair) + 2 for pair in pairs) <= _ROW_CHARACTERS:
                draft.add("row", "; ".join(pairs))
                continue
            for pair in pairs:
                draft.add("item", pair)
    except RecursionError as error:  # newer Pythons parse deeper nesting than they can recurse
        raise DocumentRefused(f'"{draft.name}" is nested too deeply. Flatten it.', reason="malformed") from error
    return draft.finish()


def _records(text: str, name: str, *, lines: bool) -> Iterator[tuple[str, Any]]:
    if not text.strip():
        return
    first = [line.strip() for line in text.split("\n", 50) if line.strip()][:2]
    # JSON Lines with the suffix of JSON: each of the first two lines is an object
    lines = lines or (len(first) == 2 and all(line[0] + line[-1] == "{}" for line in first))
    if not lines:
        whole = _load(text, name, where="")
        yield from _with_heading(whole, "") if isinstance(whole, list) else _unwrap(whole, "", _WRAPPERS)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield "", _load(line, name, where=f" in line {number}")


def _with_heading(records: list[Any], heading: str) -> Iterator[tuple[str, Any]]:
    for number, record in enumerate(records):
        yield "" if number else heading, record


def _unwrap(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield an object's own values, then the lists of objects in it and in its objects."""
    if not _wraps(value, depth):
        yield path, value
        return
    wrapped = {key: inner for key, inner in value.items() if _wraps(inner, depth - 1)}
    yield from _with_heading([{key: inner} for key, inner in value.items() if key not in wrapped], path)
    for key, inner in wrapped.items():
        below = f"{path}.{key}" if path else str(key)
        yield from _with_heading(inner, below) if isinstance(inner, list) else _unwrap(inner, below, depth - 1)


def _wraps(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        return depth > 0 and any(_wraps(inner, depth - 1) for inner in value.values())
    return isinstance(value, list) and bool(value) and all(isinstance(inner, dict) for inner in value)


def _load(text: str, name: str, *, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        what = str(error) or type(error).__name__
        raise DocumentRefused(f'"{name}" is not valid JSON{where}: {what}. Correct it.', reason="malformed") from error


def _flatten(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flatten(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for number, inner in enumerate(value, start=1):
            yield from _flatten(inner, f"{path}.{number}" if path else str(number))
    elif isinstance(value, list):
        yield from [(path, ", ".join(_leaf(inner) for inner in value))] if value else []
    elif value is not None and value != "":
        yield path, _leaf(value)


def _leaf(value: Any) -> str:
    return {True: "yes", False: "no", None: ""}[value] if value is None or isinstance(value, bool) else str(value)
