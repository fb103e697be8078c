"""JSON objects that others wrote, read as what every store and every other language can hold."""

from __future__ import annotations

import json
import math
from typing import Any

# Checkpoints are msgpack, whose integers are from -2**63 to 2**64 - 1
SMALLEST, LARGEST = -(2**63), 2**64 - 1


def read_object(text: str) -> dict[str, Any]:
    """Read a JSON object. Raises ValueError: it is none, or has a number that is not finite or of more than 64 bits.

    >>> read_object('{"a": [1, 0.5]}')
    {'a': [1, 0.5]}
    """
    try:
        read = json.loads(text, strict=False, parse_int=_integer, parse_float=_finite, parse_constant=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(read, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004  # for pydantic, a problem of the field
    return read


def _integer(digits: str) -> int:
    if len(digits) > 20 or not SMALLEST <= int(digits) <= LARGEST:
        raise ValueError(f"the number {digits[:30]} has more than 64 bits; send it as text")
    return int(digits)


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"{digits[:30]} is no number of JSON")
    return number
