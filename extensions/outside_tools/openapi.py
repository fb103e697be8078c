"""Tools from the operations of an HTTP API, by its OpenAPI document (3.0 or 3.1, JSON or YAML).

    [[orchestration.tools]]
    use = "openapi"
    name = "depot"
    spec = "depot.yaml"                       # a file beside stack.toml: looked at once, not fetched at each start
    base_url = "https://depot.example/api"    # the only place that is called; the document's own `servers` do not count
    headers_from = { Authorization = "DEPOT_TOKEN" }

GET and HEAD are reads, everything else is an effect. Each path, query or header parameter is an argument, and so is
each field of a JSON object as body; any other body is the argument `body`.
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
from langchain_core.tools import BaseTool, ToolException
from pydantic import Field

from extensions.outside_tools.declared import (
    Call,
    ForeignOptions,
    UnclearOutcome,
    foreign_tool,
    secret,
    take_over,
)
from foundation.components import Context
from foundation.errors import InvalidSetting, UpstreamMalformed
from foundation.settings import BESIDE_STACK
from foundation.types import Principal
from models.resilience.http_clients import bounded_stream
from orchestration.actions import ToolSet

READS = ("get", "head")
METHODS = (*READS, "post", "put", "patch", "delete")
# Statuses of a refusal, after which nothing has happened
NOT_DONE = range(400, 500)
# Headers that are never arguments, even if the document lists them: we set them, or nobody does
OWN_HEADERS = frozenset({"accept", "content-type", "authorization", "idempotency-key", "host", "cookie"})
SHOWN_CHARACTERS = 4_000
# Keywords that a body's schema may have for its fields to be arguments
FORM = frozenset(
    {"type", "properties", "required", "title", "description", "example", "examples", "additionalProperties"}
)


class Options(ForeignOptions):
    spec: Path = Field(json_schema_extra=BESIDE_STACK)
    base_url: str = Field(pattern=r"^https?://[^?#]+$")
    timeout_s: float = Field(default=20, gt=0)
    max_bytes: int = Field(default=1_000_000, gt=0)
    """Most bytes of a response; a longer one is an error."""


@dataclass(frozen=True, slots=True)
class Operation:
    name: str
    method: str
    path: str
    description: str
    places: Mapping[str, str]
    """Argument -> its place: path, query, header, `field` of the body, or the whole `body`."""
    schema: Mapping[str, Any]


def build(options: Options, context: Context) -> ToolSet:  # noqa: ARG001 - the signature of every adapter
    fixed = OWN_HEADERS | {name.casefold() for name in options.headers_from}
    operations = {operation.name: operation for operation in read_operations(options.spec, fixed=fixed)}
    headers = {header: secret(variable) for header, variable in options.headers_from.items()}
    client = httpx2.Client(
        base_url=options.base_url.rstrip("/"), headers=headers, timeout=options.timeout_s, follow_redirects=False
    )

    def make(theirs: Operation) -> BaseTool:
        described: dict[str, Any] = {"description": theirs.description, "schema": theirs.schema}
        call: Call = partial(asyncio.to_thread, partial(_send, client, theirs, options))
        return foreign_tool(options, theirs.name, **described, call=call, effect=theirs.method not in READS)

    with ExitStack() as failed:
        failed.callback(client.close)
        tools = take_over(options, options.spec.name, operations, make)
        failed.pop_all()
    return ToolSet(tools, client.close)


def read_operations(spec: Path, *, fixed: frozenset[str] = OWN_HEADERS) -> list[Operation]:
    """Return the document's operations, without headers in `fixed`. Raises InvalidSetting: it cannot be read, or is not OpenAPI 3."""
    document = _document(spec)
    schemas = _convert_schema(document.get("components", {}).get("schemas", {}))
    paths = document.get("paths", {}).items()
    placed = [(path, item, method) for path, item in paths for method in METHODS if method in item]
    return [_operation(document, schemas, path, item, method, fixed) for path, item, method in placed]


def _document(spec: Path) -> dict[str, Any]:
    import yaml  # type: ignore[import-untyped]

    try:
        text = spec.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"The OpenAPI document {spec} cannot be read: {error}. Correct `spec`.") from error
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise InvalidSetting(f"{spec} is neither JSON nor YAML: {str(error)[:200]}.") from error
    version = str(document.get("openapi", "")) if isinstance(document, dict) else ""
    if not version.startswith("3."):
        raise InvalidSetting(f'{spec} is no OpenAPI 3 document (its version is "{version}"). Convert it.')
    return dict(document)


def _operation(  # noqa: PLR0917 - what an operation consists of
    document: Mapping[str, Any], schemas: Any, path: str, item: Mapping[str, Any], method: str, fixed: frozenset[str]
) -> Operation:
    operation = item[method]
    parameters = [*item.get("parameters", []), *operation.get("parameters", [])]
    name = operation.get("operationId") or f"{method}_{path}"
    properties: dict[str, Any] = {}
    required: list[str] = []
    places: dict[str, str] = {}
    for parameter in (_resolve_reference(document, entry) for entry in parameters):
        if parameter["in"] == "cookie" or (parameter["in"] == "header" and parameter["name"].casefold() in fixed):
            continue
        argument, says = parameter["name"], {"description": parameter.get("description", "")}
        places[argument] = parameter["in"]
        properties[argument] = says | _convert_schema(parameter.get("schema", {}))
        if parameter.get("required") or parameter["in"] == "path":
            required.append(argument)
    body = _resolve_reference(document, operation.get("requestBody") or {})
    content = body.get("content", {})
    has_body = any("json" in kind for kind in content)
    if content and not has_body and body.get("required"):
        raise InvalidSetting(f"{name} takes a body that is not JSON ({', '.join(content)}). Leave it out of `only`.")
    if has_body:
        body_schema = next(value for kind, value in content.items() if "json" in kind).get("schema", {})
        form = _resolve_reference(document, body_schema)
        if body.get("required") and _is_form(form) and not form["properties"].keys() & properties.keys():
            properties |= _convert_schema(form["properties"])
            places |= dict.fromkeys(form["properties"], "field")
            required += form.get("required", [])
        else:
            properties["body"], places["body"] = _convert_schema(body_schema), "body"
            required += ["body"] if body.get("required") else []
    schema = {
        "type": "object",
        "properties": properties,
        "required": sorted(set(required)),
        "additionalProperties": False,
        "$defs": schemas,
    }
    description = f"{operation.get('summary') or ''}. {operation.get('description') or ''}".strip(". ")
    return Operation(name, method, path, description, places, schema)


def _is_form(schema: Mapping[str, Any]) -> bool:
    only = schema.keys() <= FORM and schema.get("additionalProperties") in (None, False)
    return only and schema.get("type") == "object" and bool(schema.get("properties"))


def _resolve_reference(document: Mapping[str, Any], value: Any) -> dict[str, Any]:
    seen = 0
    while isinstance(value, Mapping) and "$ref" in value:
        at: Any = document
        for step in str(value["$ref"]).removeprefix("#/").split("/"):
            at = at.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(at, Mapping) else None
        seen += 1
        if at is None or seen > 20:
            raise InvalidSetting(f"The OpenAPI document refers to {value['$ref']}, which is not in it.")
        value = at
    return dict(value)


def _convert_schema(schema: Any) -> Any:
    """Convert a schema of the document to JSON Schema 2020-12: references to `$defs`, and 3.0's `nullable` and exclusive bounds."""
    if isinstance(schema, list):
        return [_convert_schema(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    moved = {
        key: _convert_schema(value) for key, value in schema.items() if key not in {"nullable", "discriminator", "xml"}
    }
    if isinstance(moved.get("$ref"), str):
        moved["$ref"] = moved["$ref"].replace("#/components/schemas/", "#/$defs/")
    for bound in ("exclusiveMinimum", "exclusiveMaximum"):
        if isinstance(moved.get(bound), bool):  # OpenAPI 3.0
            exclusive, limit = moved.pop(bound), "minimum" if bound == "exclusiveMinimum" else "maximum"
            if exclusive and limit in moved:
                moved[bound] = moved.pop(limit)
    return {"anyOf": [moved, {"type": "null"}]} if schema.get("nullable") is True else moved


def _send(  # noqa: PLR0917 - what a call consists of
    client: httpx2.Client,
    operation: Operation,
    options: Options,
    arguments: dict[str, Any],
    key: str | None,
    effect: bool,
    _: Principal | None,
) -> tuple[str, Any]:
    request = _request(client, operation, arguments, key)
    try:
        with closing(client.send(request, stream=True)) as response:
            # as decoded: some APIs compress whatever was asked for, and a few such bytes can be millions
            body = b"".join(bounded_stream(response.iter_bytes(), options.max_bytes))
    except httpx2.ConnectError as error:
        raise ToolException(f"{options.name} cannot be reached. Nothing was done.") from error
    except (httpx2.HTTPError, UpstreamMalformed) as error:
        if effect:
            raise UnclearOutcome(type(error).__name__) from error
        why = str(error) if isinstance(error, UpstreamMalformed) else f"It did not answer ({type(error).__name__})."
        raise ToolException(f"{options.name} could not be read. {why}") from error
    return _outcome(operation, options.name, response.status_code, body, effect=effect)


def _request(
    client: httpx2.Client, operation: Operation, arguments: Mapping[str, Any], key: str | None
) -> httpx2.Request:
    # a path parameter must not leave its segment, nor a header its line
    path, query, headers = operation.path, {}, {"Accept": "application/json"}
    body: Any = {} if "field" in operation.places.values() else None
    for name, value in arguments.items():
        place = operation.places.get(name)
        if place == "field":
            body[name] = value
            continue
        if value is None or place is None:
            continue
        if place == "body":
            body = value
        elif place == "path":
            text = _text(value)
            if text in {"", ".", ".."}:
                raise ToolException(f'"{text}" cannot stand for {name}. Nothing was done.')
            path = path.replace(f"{{{name}}}", quote(text, safe=""))
        elif place == "query":
            query[name] = [_text(item) for item in value] if isinstance(value, list) else _text(value)
        else:
            headers[name] = _text(value).replace("\r", " ").replace("\n", " ")
    if key:
        headers["Idempotency-Key"] = key
    return client.build_request(operation.method.upper(), path, params=query or None, headers=headers, json=body)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _outcome(operation: Operation, source: str, status: int, body: bytes, *, effect: bool) -> tuple[str, Any]:
    text = body.decode("utf-8", errors="replace").replace("\0", "").strip()
    shown = text[:SHOWN_CHARACTERS]
    if status in NOT_DONE:
        raise ToolException(f"{source} refused {operation.name} (HTTP {status}): {shown[:500]}")
    if status not in range(200, 300):
        if effect:
            raise UnclearOutcome(f"HTTP {status}")
        raise ToolException(f"{source} could not do {operation.name} (HTTP {status}).")
    try:
        artifact = json.loads(text) if text else None
    except ValueError:
        artifact = None
    return shown or "Done.", artifact
