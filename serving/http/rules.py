"""What middleware has to know of routes before one of them is chosen, read from the rules that they declare."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, params
from fastapi.routing import iter_route_contexts

from serving.access.identity import anyone


def list_public_paths(app: FastAPI) -> frozenset[str]:
    """Return the paths of routes with the rule `anyone`."""
    return frozenset(
        str(route.path)
        for route in iter_route_contexts(app.routes)
        if any(part.call is anyone for part in _walk(getattr(route, "dependant", None)))
    )


def list_upload_paths(app: FastAPI) -> frozenset[str]:
    """Return the paths of routes that take files."""
    return frozenset(
        str(route.path)
        for route in iter_route_contexts(app.routes)
        for part in _walk(getattr(route, "dependant", None))
        if any(isinstance(field.field_info, params.File) for field in part.body_params)
    )


def _walk(dependant: Any) -> Iterator[Any]:
    if dependant is not None:
        yield dependant
        for inner in dependant.dependencies:
            yield from _walk(inner)
