"""Every suite is itself tested: by at least six broken parts, each with the check that must catch it."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import pytest

from foundation.components import PORTS

# parsers are chosen by file type and not by a section, and the suite of records is that of their stores
SUITES = sorted({port.rpartition(".")[2] for port in PORTS} - {"records"} | {"parser", "executor"})
FEWEST = 6


def faults(broken: ModuleType) -> dict[str, str]:
    """Broken part -> the check that must catch it. A suite writes it as `caught_by` in the part, or as pairs."""
    if isinstance(broken.BROKEN, dict):
        return dict(_pair(one, other) for one, other in broken.BROKEN.items())
    return {fault.__name__: _said(fault) for fault in broken.BROKEN}


def _said(fault: Any) -> str:
    """A pydantic model, such as a chat model of LangChain's, keeps the defaults of its fields elsewhere."""
    fields = getattr(fault, "model_fields", {})
    return str(fields["caught_by"].default if "caught_by" in fields else fault.caught_by)


def _pair(one: Any, other: Any) -> tuple[str, str]:
    part, check = (other, one) if isinstance(one, str) else (one, other)
    return part.__name__, check


def checks(suite: ModuleType) -> set[str]:
    listed = getattr(suite, "CHECKS", None) or suite.PROMISES
    return {check.__name__ for check in listed} | set(vars(suite))


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_rejects_six_broken_parts_and_each_names_the_check_that_catches_it(name: str) -> None:
    found = faults(importlib.import_module(f"tests.contracts.broken.{name}"))
    assert len(found) >= FEWEST
    known = checks(importlib.import_module(f"tests.contracts.test_{name}"))
    assert {part: check for part, check in found.items() if check not in known} == {}
