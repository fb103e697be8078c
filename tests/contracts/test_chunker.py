"""Every file of retrieval/chunkers keeps the promises of the port, and the suite catches those that do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from foundation.components import Context, load
from retrieval.contract import Chunker
from tests.contracts import under_test
from tests.contracts.broken.chunker import BROKEN, Broken
from tests.contracts.chunker_checks import CHECKS

SECTION = "retrieval.chunker"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", under_test.adapters(SECTION))
def test_chunker(name: str, check: Callable[[Chunker], None], watched: under_test.Watch, tmp_path: Path) -> None:
    check(watched(SECTION, load(SECTION, under_test.part(SECTION, name), Context(data_dir=tmp_path))))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_suite_rejects_a_broken_chunker(check: Callable[[Chunker], None]) -> None:
    with pytest.raises(AssertionError):
        check(BROKEN[check.__name__]())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_double_that_the_broken_ones_spoil_is_itself_sound(check: Callable[[Chunker], None]) -> None:
    check(Broken())
