"""The promises of an approver, on every adapter in orchestration/approvers and on broken ones that must be rejected."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from foundation.components import Context, load
from orchestration.actions import ProposedEffect
from orchestration.contract import Approver
from tests.contracts import under_test
from tests.contracts.broken import approver as broken

AMOUNTS = (None, Decimal("0.01"), Decimal(250), Decimal("2000.01"), Decimal("1e15"))
TIERS = [
    {"tool": "pay", "up_to": 250, "roles": ["agent"]},
    {"tool": "pay", "up_to": 2000, "roles": ["lead"], "people": 2},
    {"tool": "close_*", "roles": ["lead"]},
]


def effects() -> list[ProposedEffect]:
    """Effects of any tool, of any amount, at any time of the week."""
    return [
        ProposedEffect(
            tool=tool,
            arguments={"order": "N-1", "lines": [1, None, {"a": "北\x00"}]},
            tenant="north",
            requested_by="ada",
            amount=amount,
            total=amount,
            at=datetime(2026, 11, day, 23, 59, tzinfo=UTC),
        )
        for tool in ("pay", "close_account", "unheard_of", "")
        for amount in AMOUNTS
        for day in range(2, 9)
    ]


def rules_on_any_effect(approver: Approver) -> None:
    for effect in effects():
        needs = approver.rule(effect)
        assert needs is None or needs.people >= 1


def says_who_or_why_nobody(approver: Approver) -> None:
    for effect in effects():
        if needs := approver.rule(effect):
            assert needs.forbidden or needs.roles, f"{needs} leaves open who approves {effect.tool}"
            assert needs.rule
            assert needs.forbidden or needs.why


def names_all_its_roles(approver: Approver) -> None:
    for effect in effects():
        if needs := approver.rule(effect):
            assert set(needs.roles) <= approver.roles


def rules_the_same_twice(approver: Approver) -> None:
    for effect in effects():
        assert approver.rule(effect) == approver.rule(effect)


PROMISES: list[Callable[[Approver], None]] = [
    rules_on_any_effect, says_who_or_why_nobody, names_all_its_roles, rules_the_same_twice,
]  # fmt: skip


@pytest.mark.parametrize("name", under_test.adapters("orchestration.policy.approver"))
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_every_adapter_keeps(
    name: str, promise: Callable[[Approver], None], data_dir: Path, watched: under_test.Watch
) -> None:
    options: dict[str, Any] = {"tiers": TIERS} if name == "tiers" else {}
    part = under_test.part("orchestration.policy.approver", name, **options)
    approver = load("orchestration.policy.approver", part, Context(data_dir=data_dir), expected=Approver)
    promise(watched("orchestration.policy.approver", approver))


# --- the suite itself -------------------------------------------------------------------------------------------------


def _failures(approver: Approver) -> list[str]:
    failed = []
    for promise in PROMISES:
        try:
            promise(approver)
        except Exception:  # any failure counts, as it does in pytest
            failed.append(promise.__name__)
    return failed


def test_the_suite_accepts_a_healthy_double() -> None:
    assert _failures(broken.Healthy()) == []


@pytest.mark.parametrize("fault", broken.BROKEN, ids=lambda fault: fault.__name__)
def test_the_suite_rejects(fault: Any) -> None:
    assert fault.caught_by in _failures(fault())
