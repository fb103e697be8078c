"""Everything that recognises words in pictures keeps the promises of the port, and the suite catches what does not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from foundation.components import Context, load
from retrieval.contract import Recogniser
from tests.contracts import under_test
from tests.contracts.broken.recogniser import BROKEN, Broken
from tests.contracts.recogniser_checks import CHECKS

SECTION = "retrieval.recogniser"


@cache
def _loaded(name: str) -> Recogniser:
    built: Recogniser = load(SECTION, under_test.part(SECTION, name), Context(data_dir=Path()))
    return built


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", under_test.adapters(SECTION))
def test_recogniser(name: str, check: Callable[[Recogniser], None]) -> None:
    check(_loaded(name))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_suite_rejects_a_broken_recogniser(check: Callable[[Recogniser], None]) -> None:
    with pytest.raises(AssertionError):
        check(BROKEN[check.__name__]())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_double_that_the_broken_ones_spoil_is_itself_sound(check: Callable[[Recogniser], None]) -> None:
    check(Broken())
