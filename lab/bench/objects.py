"""Objects filled from texts whose right values are known: how many are valid, how many right, and who filled them.

The cases come from a file of kinds (schema, texts with places for values, values), from which as many are made as are
wanted, or from a folder in the format of the Berkeley function calling leaderboard, where a function's arguments are the
object and the request is the text.
"""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from extensions.objects.objects import ObjectAnswer
from foundation.errors import InvalidRequest
from observability.evaluation import metrics
from observability.evaluation.questions import evenly, lines

CALLS = ("simple_python", "live_simple", "multiple", "live_multiple")
"""Files of the leaderboard in which a request is one call."""
_TYPES = {"dict": "object", "float": "number", "tuple": "array", "list": "array", "any": None}

Fill = Callable[["ObjectCase"], Awaitable[ObjectAnswer[Any]]]


@dataclass(frozen=True)
class ObjectCase:
    kind: str
    question: str
    text: str
    schema: Mapping[str, Any]
    accepted: Mapping[str, Sequence[Any]]
    """For each field the values that are right; "" among them: it may be left out."""


async def bench_objects(
    cases: Sequence[ObjectCase], fill: Fill, progress: Callable[[int], None] | None = None
) -> dict[str, Any]:
    rows = []
    for done, case in enumerate(cases, 1):
        rows.append((case, await fill(case)))
        if progress:
            progress(done)
    return {**_figures(rows), "kinds": {kind: _figures(of) for kind, of in _by_kind(rows).items()}}


def cases_from(source: Path, limit: int, *, seed: int = 7) -> list[ObjectCase]:
    """Raises:
    InvalidRequest: there are none, or the file is none of kinds of objects.
    """
    if source.is_dir():
        found = evenly([case for name in CALLS for case in _calls(source / f"{name}.jsonl")], limit)
    else:
        found = _of_kinds(source, limit, seed)
    if not found:
        raise InvalidRequest(f"No cases in {source}. Found none of {', '.join(f'{name}.jsonl' for name in CALLS)}.")
    return found


def right(value: Any, accepted: Sequence[Any]) -> bool:
    """Text counts without regard to case and surrounding marks, a number by its value."""
    return any(_same(value, one) for one in accepted) or (value is None and "" in accepted)


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, (int, float)) and isinstance(wanted, (int, float)):
        return abs(value - wanted) < 1e-9
    if isinstance(value, str) and isinstance(wanted, str):
        return value.casefold().strip(" .,!?") == wanted.casefold().strip(" .,!?")
    return bool(value == wanted)


def _figures(rows: Sequence[tuple[ObjectCase, ObjectAnswer[Any]]]) -> dict[str, Any]:
    objects, fields = [], []
    for case, answer in rows:
        given = answer.object.model_dump(mode="json") if answer.object is not None else {}
        verdicts = [right(given.get(name), accepted) for name, accepted in case.accepted.items()]
        objects.append(float(answer.object is not None and all(verdicts)))
        fields += verdicts
    seconds = [answer.seconds for _, answer in rows]
    known = sum(len(answer.read) for _, answer in rows)
    guessed = sum(len(answer.written) for _, answer in rows)
    share = metrics.estimate(objects)
    return {
        "cases": len(rows),
        "valid": float(np.mean([answer.object is not None for _, answer in rows])),
        "failures": sorted({answer.failure for _, answer in rows if answer.failure}),
        "objects_right": share.mean,
        "objects_right_95": [share.low, share.high],
        "fields_right": float(np.mean(fields)),
        "fields_written_by_the_model": guessed / max(1, known + guessed),
        "seconds_p50": float(np.percentile(seconds, 50)),
        "seconds_p95": float(np.percentile(seconds, 95)),
    }


def _by_kind(
    rows: Sequence[tuple[ObjectCase, ObjectAnswer[Any]]],
) -> dict[str, list[tuple[ObjectCase, ObjectAnswer[Any]]]]:
    kinds: dict[str, list[tuple[ObjectCase, ObjectAnswer[Any]]]] = {}
    for case, answer in rows:
        kinds.setdefault(case.kind, []).append((case, answer))
    return kinds


def _of_kinds(source: Path, limit: int, seed: int) -> list[ObjectCase]:
    try:
        return list(_made(json.loads(source.read_text(encoding="utf-8")), limit, seed))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise InvalidRequest(
            f"{source} is no file of kinds of objects: {type(error).__name__} {error}. "
            "examples/support_desk/objects.json shows what is in one."
        ) from error


def _made(kinds: Mapping[str, Any], limit: int, seed: int) -> Iterator[ObjectCase]:
    """Texts in turns, values drawn; a value is its own spelling, or comes with one."""
    dice = random.Random(seed)
    for number in range(limit):
        name = list(kinds)[number % len(kinds)]
        kind = kinds[name]
        text = kind["texts"][number // len(kinds) % len(kind["texts"])]
        drawn = {field: dice.choice(values) for field, values in kind["values"].items()}
        pairs = {field: one if isinstance(one, list) else [str(one), one] for field, one in drawn.items()}
        accepted = {field: [value] for field, (_, value) in pairs.items()}
        unsaid = {field: ["", None] for field in kind["schema"]["properties"] if field not in pairs}
        written = text.format(**{field: spelling for field, (spelling, _) in pairs.items()})
        yield ObjectCase(name, kind["question"], written, {"title": name, **kind["schema"]}, {**accepted, **unsaid})


def _calls(path: Path) -> Iterator[ObjectCase]:
    if not path.exists():
        return
    for _, row in lines(path):
        if len(row["ground_truth"]) != 1:
            continue
        ((name, accepted),) = row["ground_truth"][0].items()
        function = next(one for one in row["function"] if one["name"] == name)
        if not function["parameters"].get("properties"):
            continue
        text = " ".join(turn["content"] for turn in row["question"][0] if turn["role"] == "user")
        schema = {"title": "Arguments", **_json_schema(function["parameters"])}
        yield ObjectCase(row["category"], function["description"], text, schema, accepted)


def _json_schema(told: Any) -> Any:
    """The leaderboard's types are Python's."""
    if isinstance(told, list):
        return [_json_schema(one) for one in told]
    if not isinstance(told, Mapping):
        return told
    kind = told.get("type")
    changed = {key: _json_schema(value) for key, value in told.items()}
    if isinstance(kind, str) and kind in _TYPES:
        changed["type"] = _TYPES[kind]
    return {
        key: value for key, value in changed.items() if value is not None and not (key == "format" and kind != "string")
    }
