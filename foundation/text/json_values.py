"""JSON objects that others wrote, read as what stores and other languages can hold."""

import json
import math
from typing import Any


def read_object(text: str) -> dict[str, Any]:
    """Read a JSON object. Raises ValueError: it is not one, or has a number that is not finite or exceeds 64 bits.

    >>> read_object('{"a": [1, 0.5]}')
    {'a': [1, 0.5]}
    """
    try:
        read = json.loads(text, strict=False, parse_int=_integer, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"this is no JSON object: {error}") from error
    if not isinstance(read, dict):
        raise ValueError("this is no JSON object")  # noqa: TRY004  # for pydantic, a problem of the field
    return read


def _integer(digits: str) -> int:
    if not -(2**63) <= (number := int(digits)) < 2**64:  # what msgpack holds, and so a checkpoint
        raise ValueError(f"the number {digits[:30]} has more than 64 bits, send it as text")
    return number


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"{digits[:30]} is not finite")
    return number
