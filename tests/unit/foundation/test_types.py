"""Which documents a principal may see."""

from __future__ import annotations

from datetime import UTC

import pytest

from foundation.clock import SystemClock
from foundation.types import EVERY_TENANT, Scope, Usage

NONE: frozenset[str] = frozenset()


def scope(tenant: str, *groups: str) -> Scope:
    return Scope(tenant=tenant, groups=frozenset(groups))


def test_a_tenant_sees_its_own_documents_and_those_of_everyone():
    assert scope("north").admits("north", NONE)
    assert scope("north").admits(EVERY_TENANT, NONE)


def test_a_tenant_does_not_see_another_tenants_documents():
    assert not scope("north").admits("south", NONE)
    assert not scope("north", "staff").admits("south", frozenset({"staff"}))


@pytest.mark.parametrize("tenant", ["", EVERY_TENANT])
@pytest.mark.parametrize("owner", ["", EVERY_TENANT, "north"])
def test_nobody_sees_nothing(tenant, owner):
    assert not scope(tenant, "staff").admits(owner, NONE)


def test_a_restricted_document_needs_one_of_its_groups():
    restricted = frozenset({"staff", "board"})
    assert scope("north", "board").admits("north", restricted)
    assert not scope("north", "guests").admits("north", restricted)
    assert not scope("north").admits("north", restricted)


def test_groups_restrict_documents_of_everyone_too():
    assert not scope("north").admits(EVERY_TENANT, frozenset({"staff"}))


def test_a_scope_without_classes_admits_every_class_and_one_with_none_admits_none():
    assert scope("north").admits_class("secret")
    assert Scope("north", classes=frozenset({"public"})).admits_class("public")
    assert not Scope("north", classes=frozenset({"public"})).admits_class("secret")
    assert not Scope("north", classes=NONE).admits_class("unclassified")


def test_usage_adds_what_is_known_and_keeps_what_nobody_said_unknown():
    total = Usage(input_tokens=3, output_tokens=1) + Usage(input_tokens=4, cached_input_tokens=2)
    assert total == Usage(input_tokens=7, output_tokens=1, cached_input_tokens=2, reasoning_tokens=None)


def test_zero_tokens_are_not_unknown_tokens():
    assert (Usage(input_tokens=0) + Usage()).input_tokens == 0


def test_the_clock_knows_its_zone_and_does_not_run_backwards():
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    first = clock.monotonic_s()
    assert clock.monotonic_s() >= first
