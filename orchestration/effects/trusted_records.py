"""Which values in a tool's result are trusted: the fields that the operator names in `trusted`, in records that meet its conditions."""

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

# Characters from which a text is prose, and no name or id
LONG_TEXT = 120


def trusted_records(data: Any, fields: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[Any, list[str]]]:
    """Yield each object in `data` with the values that are trusted in it; with "*" also bare values and keys.
    `fields` maps a trusted field to what other fields must be like, as in `{"owner": "*@ours.example"}`.
    """
    if isinstance(data, Mapping):
        conditions = {name for need in fields.values() for name in need}
        met = [key for key in fields if all(_fits(data.get(name), like) for name, like in fields[key].items())]
        if own := [item for key in met if key in data for item in _leaves(data[key])]:
            yield data, own
        for key, value in data.items():
            if "*" in fields:
                yield {}, [str(key), *([] if isinstance(value, Mapping) else _leaves(value))]
            if {*fields, *conditions}.isdisjoint(data):  # what lies inside a record is not one of ours
                yield from trusted_records(value, fields)
    elif isinstance(data, list | tuple):
        # beside records, what is none may hold anybody's
        records = [item for item in data if isinstance(item, Mapping) and not fields.keys().isdisjoint(item)]
        for item in records if records and "*" not in fields else data:
            yield from trusted_records(item, fields)
    elif "*" in fields and data is not None:
        yield {}, _leaves(data)


def _fits(value: Any, like: str) -> bool:
    # "*@ours.example" is one address of ours: not "eve@evil.example <x@ours.example"
    return value is not None and ("@" not in like or str(value).count("@") == 1) and fnmatchcase(str(value), like)


def _leaves(value: Any) -> list[str]:
    if isinstance(value, Mapping | list | tuple):
        # a mapping of addresses says of each what it may do
        items = [key for key in value if "@" in key] or value.values() if isinstance(value, Mapping) else value
        return [leaf for item in items for leaf in _leaves(item)]
    text = value if isinstance(value, str) else json.dumps(value)
    return [] if value is None or len(text) > LONG_TEXT else [text]  # prose is nobody's id
