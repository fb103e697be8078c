"""An approver by amount: who may approve what, up to how much. It stands in policy.toml:

    [approver]
    use = "tiers"

    [[approver.tiers]]
    tool = "refund"
    up_to = 250
    roles = ["agent", "team_lead"]

    [[approver.tiers]]
    tool = "refund"
    roles = ["desk_manager"]
    people = 2

Several effects of a tool for the same targets, such as refunds of one order, are added together. The first tier that the sum fits into
counts; what fits into none is not done. A tool that no tier names is decided by `approvers`.
"""

from collections.abc import Sequence
from decimal import Decimal
from fnmatch import fnmatchcase

from pydantic import Field

from foundation.components import Context
from foundation.errors import InvalidSetting
from foundation.settings import Section
from orchestration.actions import ProposedEffect, Requirement


class Tier(Section):
    tool: str
    """The tool's name; `*` in it stands for anything."""
    up_to: Decimal | None = Field(default=None, gt=0)
    """The largest sum, in the tool's own unit; unset: any."""
    roles: tuple[str, ...] = Field(min_length=1)
    """Roles that may approve it."""
    people: int = Field(default=1, ge=1, le=10)
    """How many people have to approve it."""
    four_eyes: bool | None = None
    """Whether whoever asked for it may not approve it; unset: as the policy has it for all."""


class Options(Section):
    tiers: tuple[Tier, ...] = ()


class TierApprover:
    def __init__(self, tiers: Sequence[Tier]) -> None:
        for tool in dict.fromkeys(tier.tool for tier in tiers):
            _demand_growing(tool, [tier for tier in tiers if tier.tool == tool])
        self._tiers = tiers

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(role for tier in self._tiers for role in tier.roles)

    def rule(self, effect: ProposedEffect) -> Requirement | None:
        named = [(number, tier) for number, tier in enumerate(self._tiers, 1) if fnmatchcase(effect.tool, tier.tool)]
        if not named:
            return None
        # of the pattern that stands first, so that `*` at the end is for all others
        own = [(number, tier) for number, tier in named if tier.tool == named[0][1].tool]
        for number, tier in own:
            if tier.up_to is None or (effect.total is not None and effect.total <= tier.up_to):
                return Requirement(
                    rule=f"approver.tiers, {number}",
                    why=_explain(effect, tier),
                    roles=tier.roles,
                    people=tier.people,
                    four_eyes=tier.four_eyes,
                )
        most = own[-1][1].up_to
        above = (
            "its amount is not known"
            if effect.total is None
            else f"{_sum(effect)} is above {_write(most or Decimal(0))}"
        )
        return Requirement(rule=f"approver.tiers, {own[-1][0]}", forbidden=f"Nobody may approve it: {above}.")


def _demand_growing(tool: str, tiers: Sequence[Tier]) -> None:
    limits = [tier.up_to for tier in tiers]
    bounded = [limit for limit in limits if limit is not None]
    if None in limits[:-1] or bounded != sorted(set(bounded)):
        raise InvalidSetting(
            f'The tiers of "{tool}" in [[approver.tiers]] are out of order. Let `up_to` grow from one to the next; only the last may '
            "be without."
        )


def _explain(effect: ProposedEffect, tier: Tier) -> str:
    *others, last = tier.roles
    role = f"{', '.join(others)} or {last}" if others else last
    people = "somebody" if tier.people == 1 else f"{tier.people} people"
    limit = "" if tier.up_to is None else f", up to {_write(tier.up_to)},"
    what = effect.tool if effect.total is None else f"{_sum(effect)}{limit}"
    return f"{what} needs the approval of {people} with the role {role}."


def _sum(effect: ProposedEffect) -> str:
    total, amount = effect.total or Decimal(0), effect.amount or Decimal(0)
    return _write(total) + (f" ({_write(total - amount)} of it approved before)" if total > amount else "")


def _write(amount: Decimal) -> str:
    return f"{amount.normalize():,f}"


def build(options: Options, context: Context) -> TierApprover:  # noqa: ARG001 - the signature of every adapter
    return TierApprover(options.tiers)
