"""Schemas of strangers: none may refer to something outside of it, or stand for so much that following its references takes long."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from langchain_core.tools import BaseTool
from langchain_core.utils.json_schema import dereference_refs

from foundation.errors import InvalidSetting
from orchestration.calls import demand_described, demand_schema

# Most characters of a tool's schema, what it refers to in place of the references
SCHEMA_CHARACTERS = 100_000


def demand_offerable(tool: BaseTool) -> None:
    """Raises InvalidSetting: the tool's description cannot be used, or its schema refers to what is not in it, or to too much."""
    schema = cast("dict[str, Any]", tool.args_schema)
    demand_schema(tool, schema)
    _demand_followable(tool, schema)
    demand_described(tool)


def _demand_followable(tool: BaseTool, schema: dict[str, Any]) -> None:
    # LangChain follows references for each call of a model, in every keyword, and a short schema can stand for millions of parts
    left, keywords = (
        SCHEMA_CHARACTERS,
        {key: item for key, item in schema.items() if key not in {"properties", "$defs"}},
    )
    for kind, parts in (("property", schema.get("properties", {})), ("keyword", keywords)):
        for name, item in parts.items():
            with _naming_unfollowable(tool, f'{kind} "{name}"', item):
                for length in _lengths({name: item}, schema):
                    if (left := left - length) < 0:
                        raise LookupError(name)
                dereference_refs({name: item}, full_schema=schema)


@contextmanager
def _naming_unfollowable(tool: BaseTool, place: str, part: Any) -> Iterator[None]:
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise InvalidSetting(
            f'The {place} of tool "{tool.name}" refers to what is not in its schema, or to too much, or has a property named "$ref": '
            f"{json.dumps(part)[:200]}. Only what stands there (#/$defs/...) is looked up, and nothing is fetched; with all of it in "
            f"place, a schema has at most {SCHEMA_CHARACTERS:,} characters. Correct the schema, or leave the tool out."
        ) from error


def _lengths(part: Any, schema: Any, following: frozenset[str] = frozenset()) -> Iterator[int]:
    """Yield the length of each part that LangChain visits to follow references: it turns back where one contains itself."""
    yield len(part) if isinstance(part, str) else 1
    reference = part.get("$ref") if isinstance(part, Mapping) else None
    if isinstance(reference, str) and reference.startswith("#/") and reference not in following:
        target = schema
        for step in reference.split("/")[1:]:
            target = target[int(step)] if isinstance(target, list) else target[step]
        yield from _lengths(target, schema, following | {reference})
    inside = part.items() if isinstance(part, Mapping) else enumerate(part) if isinstance(part, list) else ()
    for key, item in inside:
        yield len(str(key))
        if key != "$defs":
            yield from _lengths(item, schema, following)
