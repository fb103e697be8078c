"""Every file of retrieval/parsers keeps the promises of the port, and the suite catches those that do not."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator

import pytest

from foundation.components import available
from retrieval.contract import ParseLimits, Parser
from retrieval.ingest.sandbox import ParserPool
from retrieval.settings import ParsingSettings
from tests.contracts import under_test
from tests.contracts.broken.parser import BROKEN, Broken, PointsBesideTheText
from tests.contracts.parser_checks import CHECKS, Build
from tests.contracts.parser_checks import blocks_lie_in_order_inside_the_text_and_do_not_overlap as in_order

FOLDER = "retrieval.parsers"
Pools = Callable[[ParseLimits], ParserPool]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", under_test.adapters(FOLDER))
def test_parser(name: str, check: Callable[[Build], None]) -> None:
    check(build_of(name))


def build_of(name: str) -> Build:
    module, _, attribute = name.partition(":") if ":" in name else (f"{FOLDER}.{name}", "", "build")
    build: Build = getattr(importlib.import_module(module), attribute)
    return build


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", [name for name in under_test.adapters(FOLDER) if name in available(FOLDER)])
def test_parser_in_the_process_of_its_own_in_which_the_system_runs_it(
    name: str, check: Callable[[Build], None], watched: under_test.Watch, pools: Pools
) -> None:
    check(lambda limits: watched(FOLDER, _Pooled(build_of(name)(limits), pools(limits))))


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
            opened[limits] = ParserPool(ParsingSettings(max_pages=limits.pages, max_characters=limits.characters))
        return opened[limits]

    yield pool
    for each in opened.values():
        each.close()


def test_no_two_parsers_claim_the_same_suffix() -> None:
    parsers = [importlib.import_module(f"{FOLDER}.{name}").build(ParseLimits()) for name in available(FOLDER)]
    claimed = [suffix for parser in parsers for suffix in parser.suffixes]

    assert len(claimed) == len(set(claimed))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_suite_rejects_a_broken_parser(check: Callable[[Build], None]) -> None:
    with pytest.raises(AssertionError):
        check(BROKEN[check.__name__])


def test_the_suite_rejects_offsets_that_point_beside_the_text() -> None:
    with pytest.raises(AssertionError):
        in_order(PointsBesideTheText)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_double_that_the_broken_ones_spoil_is_itself_sound(check: Callable[[Build], None]) -> None:
    check(Broken)
