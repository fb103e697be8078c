"""Every file of retrieval/parsers keeps the promises of the port in the process of its own in which the system runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from foundation.components import available, find_modules
from retrieval.contract import Parser
from retrieval.documents import ParseLimits
from retrieval.ingest.sandbox import MEMORY_MB, ParserPool
from retrieval.settings import ParsingSettings
from tests.contracts import under_test
from tests.contracts.parser_checks import CHECKS, Build
from tests.contracts.test_parser import FOLDER, build_of

MORE = tuple(module for module in find_modules(FOLDER).values() if not module.startswith(FOLDER))
Pools = Callable[[ParseLimits], ParserPool]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", [name for name in under_test.adapters(FOLDER) if name in available(FOLDER)])
def test_parser_in_the_process_of_its_own_in_which_the_system_runs_it(
    *,
    name: str,
    check: Callable[[Build], None],
    watched: under_test.Watch,
    pools: Pools,
    builds: dict[tuple[str, str], Build],
    request: pytest.FixtureRequest,
) -> None:
    def build(limits: ParseLimits) -> Parser:
        part: Parser = watched(FOLDER, _Pooled(build_of(name)(limits), pools(limits)))
        return part

    check(builds.setdefault((name, request.node.callspec.params["watched"]), build))


@pytest.fixture(scope="module")
def builds() -> dict[tuple[str, str], Build]:
    """One for each parser, plain and traced: the checks share the samples that it has read, as recognising a picture takes seconds."""
    return {}


class _Pooled:
    """A parser as the system calls it: what goes in and what comes back, refusals too, crosses a pipe."""

    def __init__(self, parser: Parser, pool: ParserPool) -> None:
        self.suffixes, self.version, self.parse = parser.suffixes, parser.version, pool.parse


@pytest.fixture(scope="module")
def pools() -> Iterator[Pools]:
    """One pool for each kind of limits; its child begins with its first document."""
    opened: dict[ParseLimits, ParserPool] = {}

    def pool(limits: ParseLimits) -> ParserPool:
        if limits not in opened:
            opened[limits] = ParserPool(ParsingSettings())
            opened[limits]._limits = replace(limits, parsers=MORE, memory_mb=MEMORY_MB)
        return opened[limits]

    yield pool
    for each in opened.values():
        each.close()
