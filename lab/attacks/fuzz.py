"""Bodies of odd sizes and shapes to every route of a running server, drawn from its OpenAPI description.

Each body begins as one that fits and is then bent: a value of another type, thousands of values, deep nesting, huge numbers,
lone surrogates, names that repeat, bytes cut off. The same seed sends the same bodies. What must hold: no reply of 500, health
answers all the while, and the memory stays bounded.
"""

from __future__ import annotations

import json
import random
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx

from lab.attacks import victim
from lab.attacks.victim import Victim
from serving.cli import terminal

HEALTH_S = 0.5
"""On a machine with nothing else to do."""
MEMORY_BYTES = 300_000_000
"""More than the server held before."""
AT_ONCE = 8
MAX_BODY_BYTES = 1_500_000
"""Half as much again as the server takes."""
JSON, FORM = "application/json", "multipart/form-data"
LEFT_OUT = {"PUT /v1/stops/{what}", "DELETE /v1/stops/{what}"}
"""They would stop the server that is tried."""
TEXTS = (
    "",
    "a",
    " ",
    "\0",
    "\ud800",
    "é" * 300,
    "x" * 9_000,
    "[{,",
    '"\\',
    "../..",
    "2026-02-30",
    "1e999",
    "null",
    "\u202e<b>",
)
NUMBERS = (0, -1, 1, 10**400, -(2**63), 2**64, 1e308, float("inf"), float("nan"), 0.1, True)
OTHER_BODIES = (
    b"",
    b"{",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'"' * 200_000,
    b"9" * 900_000,
    b"\x1f\x8b\x08\x00",
    b"{}" * 9,
)


@dataclass
class Result:
    """What came of it."""

    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    defects: list[str] = field(default_factory=list)
    """Replies of 500 and connections that broke, a sentence each."""
    health_s: float = 0.0
    """The longest wait for health."""
    grown_bytes: int = 0
    slowest_s: float = 0.0
    slowest: str = ""

    def failures(self) -> list[str]:
        """What did not hold."""
        found = list(self.defects)
        if self.health_s > HEALTH_S:
            found.append(f"health waited {self.health_s:.2f} s; at most {HEALTH_S} s are promised on a quiet machine")
        if self.grown_bytes > MEMORY_BYTES:
            found.append(
                f"the server grew by {self.grown_bytes / 1e6:.0f} MB; at most {MEMORY_BYTES / 1e6:.0f} MB may be"
            )
        return found


@dataclass(frozen=True)
class Route:
    """One operation of the description."""

    method: str
    path: str
    media: str | None
    schema: Mapping[str, Any]
    queries: tuple[str, ...]


@dataclass(frozen=True)
class Sent:
    """One request, ready to send."""

    route: Route
    url: str
    content: bytes
    headers: Mapping[str, str]


class Bender:
    """Draws requests. Two with the same seed and description draw the same ones."""

    def __init__(self, document: Mapping[str, Any], seed: int) -> None:
        self._random = random.Random(seed)
        self._schemas = document["components"]["schemas"]
        self._routes = tuple(_routes(document))

    def draw(self) -> Sent:
        """The next request."""
        route = self._random.choice(self._routes)
        path = re.sub(r"\{[^}]*\}", lambda _: self._random.choice(("a-1", "x" * 128, "%00", "..%2f", "é")), route.path)
        query = "&".join(
            f"{name}={self._random.choice(('1', '-1', '9' * 50, '%00', 'x'))}" for name in self._some(route.queries)
        )
        headers = {"Content-Type": route.media} if route.media == JSON else {}
        content = b""
        if route.media == JSON:
            content = self._json(route.schema)
        elif route.media == FORM:
            headers, content = self._form(route.schema)
        if self._random.random() < 0.03:
            headers |= {"Content-Encoding": "gzip"}
        return Sent(route, f"{path}?{query}" if query else path, content, headers)

    def _json(self, schema: Mapping[str, Any]) -> bytes:
        if self._random.random() < 0.03:
            return self._random.choice(OTHER_BODIES)
        content = json.dumps(self._bent(self._fitting(schema, 0))).encode()
        if self._random.random() < 0.03:
            content = content[: self._random.randrange(len(content) + 1)]
        if self._random.random() < 0.03:
            content = content[:-1] + b',"a":1' * self._random.choice((1, 1_000, 100_000)) + content[-1:]
        return content

    def _form(self, schema: Mapping[str, Any]) -> tuple[dict[str, str], bytes]:
        lines = []
        for name, inner in self._resolved(schema).get("properties", {}).items():
            is_file = "contentMediaType" in json.dumps(inner)
            for _ in range(self._random.choice((0, 1, 1, 1, 2, 2_000 if self._random.random() < 0.02 else 1))):
                value = (
                    self._random.choice(TEXTS)
                    if not is_file
                    else "# A\n\nSome text.\n" * self._random.choice((0, 1, 500))
                )
                named = (
                    f'; filename="{self._random.choice(("a.md", "", "x" * 300 + ".md", "a.exe"))}"' if is_file else ""
                )
                head = f'--b\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
                lines.append(head.encode() + value.encode("utf-8", "surrogatepass") + b"\r\n")
        return {"Content-Type": f"{FORM}; boundary=b"}, b"".join([*lines, b"--b--\r\n"])

    def _fitting(self, schema: Mapping[str, Any], level: int) -> Any:
        """A value that fits the schema, more or less."""
        schema = self._resolved(schema)
        if "const" in schema or "enum" in schema:
            return schema.get("const", self._random.choice(schema.get("enum", [None])))
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            return self._fitting(self._random.choice(choices), level) if level < 6 else None
        kind = schema.get("type", "string")
        if kind == "object":
            needed = schema.get("required", ())
            inner = schema.get("properties", {})
            return {
                name: self._fitting(one, level + 1)
                for name, one in inner.items()
                if name in needed or self._random.random() < 0.4
            }
        if kind == "array":
            many = self._random.choice((1, 1, 2, 5))
            return [self._fitting(schema.get("items", {}), level + 1) for _ in range(many if level < 6 else 0)]
        fitting = {"string": "When does it ship?", "integer": 3, "number": 0.5, "boolean": False, "null": None}
        return schema.get("examples", [fitting.get(kind, "a")])[0]

    def _bent(self, value: Any) -> Any:
        """The same with, here and there, something that does not fit."""
        if isinstance(value, dict):
            bent = {name: self._bent(inner) for name, inner in value.items()}
            if self._random.random() < 0.1:
                bent[self._random.choice(TEXTS)] = self._odd()
            return bent
        if isinstance(value, list):
            items = [self._bent(inner) for inner in value]
            if self._random.random() >= 0.1:
                return items
            most = MAX_BODY_BYTES // (len(json.dumps(items)) + 1)
            return items * min(self._random.choice((0, 100, 3_000, 20_000)), most)
        return self._odd() if self._random.random() < 0.15 else value

    def _odd(self) -> Any:
        makers: tuple[Callable[[], Any], ...] = (
            lambda: self._random.choice(TEXTS),
            lambda: self._random.choice(NUMBERS),
            lambda: None,
            dict,
            lambda: [{}] * self._random.choice((1, 1_000, 9_000)),
            lambda: {f"k{number}": number for number in range(self._random.choice((10, 9_000)))},
            self._deep,
            lambda: "y" * self._random.choice((100_000, 900_000)),
        )
        return self._random.choice(makers)()

    def _deep(self) -> Any:
        value: Any = 1
        for _ in range(self._random.choice((5, 60, 600))):
            value = {"all": [value]} if self._random.random() < 0.5 else [value]
        return value

    def _some(self, names: tuple[str, ...]) -> Iterator[str]:
        return (name for name in names if self._random.random() < 0.3)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        return schema


def fuzz(server: Victim, *, bodies: int, seed: int, progress: Callable[[int], None]) -> Result:
    """Send that many bodies, `AT_ONCE` at a time, as somebody with every role."""
    person = server.person("fuzzer", "reader", "agent", "approver", "operator", tenant="fuzz")
    bender = Bender(person.get("/openapi.json").json(), seed)
    result = Result()
    person.post("/v1/search", json={"query": "warm up"})
    before = server.rss_bytes()
    with server.watching_health() as longest_wait_s, ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, bodies, AT_ONCE * 8):
            drawn = [bender.draw() for _ in range(min(AT_ONCE * 8, bodies - start))]
            for sent, reply in zip(drawn, pool.map(lambda one: _send(person, one), drawn), strict=True):
                _note(result, sent, reply)
            progress(start)
        result.health_s = longest_wait_s()
    result.grown_bytes = max(0, server.rss_bytes() - before)
    return result


def run(*, bodies: int, seed: int, json_path: Path | None) -> bool:
    """`make fuzz`: a server of its own, and a table. Whether everything held."""
    with (
        tempfile.TemporaryDirectory(prefix="fuzz-") as folder,
        victim.start(Path(folder)) as server,
        terminal.progress() as progress,
    ):
        result = fuzz(server, bodies=bodies, seed=seed, progress=lambda done: progress("bodies", done, bodies))
    failures = result.failures()
    report = {
        "bodies": result.sent,
        "seed": seed,
        "statuses": {str(status): number for status, number in sorted(result.statuses.items())},
        "longest_wait_for_health_s": round(result.health_s, 3),
        "grown_mb": round(result.grown_bytes / 1e6, 1),
        "slowest_s": round(result.slowest_s, 3),
        "slowest": result.slowest,
        "failures": failures,
    }
    if not terminal.write_json(json_path, report):
        terminal.show_table(
            ["what", "found"], [(name, str(value)) for name, value in report.items() if name != "failures"]
        )
        for sentence in failures[:10]:
            terminal.show_note(sentence)
    return not failures


def _routes(document: Mapping[str, Any]) -> Iterator[Route]:
    for path, operations in sorted(document["paths"].items()):
        for method, operation in sorted(operations.items()):
            if f"{method.upper()} {path}" in LEFT_OUT:
                continue
            content = operation.get("requestBody", {}).get("content", {})
            media = next(iter(content), None)
            queries = tuple(one["name"] for one in operation.get("parameters", ()) if one.get("in") == "query")
            route = Route(method.upper(), path, media, content[media]["schema"] if media else {}, queries)
            yield from [route] * (4 if media else 1)  # most of what can go wrong is in a body
    yield from [Route("POST", "/mcp", JSON, MCP_CALL, ())] * 4


MCP_CALL = {
    "type": "object",
    "required": ["jsonrpc", "id", "method", "params"],
    "properties": {
        "jsonrpc": {"const": "2.0"},
        "id": {"const": 1},
        "method": {"enum": ["tools/call", "tools/list", "initialize", "ping"]},
        "params": {
            "type": "object",
            "required": ["name", "arguments"],
            "properties": {
                "name": {"enum": ["search", "answer", "documents"]},
                "arguments": {
                    "type": "object",
                    "properties": {"query": {"type": "string"}, "question": {"type": "string"}},
                },
            },
        },
    },
}
"""What `/mcp` takes, which describes itself in another way."""


def _send(person: httpx.Client, sent: Sent) -> httpx.Response | Exception:
    headers = {"Accept": "application/json, text/event-stream"} if sent.route.path == "/mcp" else {}
    try:
        return person.request(sent.route.method, sent.url, content=sent.content, headers={**headers, **sent.headers})
    except httpx.HTTPError as error:
        return error


def _note(result: Result, sent: Sent, reply: httpx.Response | Exception) -> None:
    result.sent += 1
    what = f"{sent.route.method} {sent.route.path} with {len(sent.content):,} bytes ({sent.content[:120]!r})"
    if isinstance(reply, Exception):
        result.defects.append(f"{what}: {type(reply).__name__}")
        return
    result.statuses[reply.status_code] += 1
    if reply.status_code == 500 or "urn:sixply:error:internal" in reply.text:
        result.defects.append(f"{what}: 500")
    if (seconds := reply.elapsed.total_seconds()) > result.slowest_s:
        result.slowest_s, result.slowest = seconds, what
