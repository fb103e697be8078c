"""Every parser, of retrieval/parsers and of extensions, keeps the promises of the port, and the suite catches those that do not."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import pytest

from foundation.components import find_modules
from retrieval.documents import ParseLimits
from tests.contracts import under_test
from tests.contracts.broken.parser import BROKEN, Broken, PointsBesideTheText
from tests.contracts.parser_checks import CHECKS, Build
from tests.contracts.parser_checks import blocks_lie_in_order_inside_the_text_and_do_not_overlap as in_order

FOLDER = "retrieval.parsers"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", under_test.adapters(FOLDER))
def test_parser(name: str, check: Callable[[Build], None]) -> None:
    check(build_of(name))


def build_of(name: str) -> Build:
    module, _, attribute = name.partition(":") if ":" in name else (find_modules(FOLDER)[name], "", "build")
    build: Build = getattr(importlib.import_module(module), attribute)
    return build


def test_no_two_parsers_claim_the_same_suffix() -> None:
    parsers = [importlib.import_module(module).build(ParseLimits()) for module in find_modules(FOLDER).values()]
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
