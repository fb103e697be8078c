"""Approvers with one fault each, and the promise that must catch it."""

from __future__ import annotations

from itertools import count

from orchestration.actions import ProposedEffect, Requirement


class Healthy:
    """A lead approves what is paid."""

    caught_by: str | None = None
    roles = frozenset({"lead"})

    def rule(self, effect: ProposedEffect) -> Requirement | None:
        if effect.tool != "pay":
            return None
        return Requirement(rule="paying", why="A lead approves payments.", roles=("lead",))


class TripsOverUnknownAmounts(Healthy):
    caught_by = "rules_on_any_effect"

    def rule(self, effect: ProposedEffect) -> Requirement | None:
        assert effect.total is not None
        return super().rule(effect)


class LeavesOpenWho(Healthy):
    caught_by = "says_who_or_why_nobody"

    def rule(self, effect: ProposedEffect) -> Requirement | None:
        needs = super().rule(effect)
        return needs and needs.model_copy(update={"roles": ()})


class SaysNotWhy(Healthy):
    caught_by = "says_who_or_why_nobody"

    def rule(self, effect: ProposedEffect) -> Requirement | None:
        needs = super().rule(effect)
        return needs and needs.model_copy(update={"why": ""})


class AsksNobody(Healthy):
    caught_by = "rules_on_any_effect"

    def rule(self, effect: ProposedEffect) -> Requirement | None:
        needs = super().rule(effect)
        return needs and needs.model_copy(update={"people": 0})


class HidesARole(Healthy):
    caught_by = "names_all_its_roles"
    roles = frozenset()


class ChangesItsMind(Healthy):
    caught_by = "rules_the_same_twice"

    def __init__(self) -> None:
        self._calls = count(1)

    def rule(self, effect: ProposedEffect) -> Requirement | None:
        needs = super().rule(effect)
        return needs and needs.model_copy(update={"people": 1 + next(self._calls) % 2})


BROKEN = [TripsOverUnknownAmounts, AsksNobody, LeavesOpenWho, SaysNotWhy, HidesARole, ChangesItsMind]
