"""Budgets of several workers on one run: a share of the run's budget for each, and a branch for its results."""

from contextlib import AbstractContextManager
from decimal import Decimal
from math import ceil
from typing import Any
from weakref import WeakKeyDictionary

from extensions.planned_agent.run import PlannedRun
from foundation.errors import BudgetExceeded
from orchestration.run.budget import Budget, Reservation


class Share(Budget):
    """The budget of one worker: its own limits and those of the whole run hold."""

    def __init__(self, whole: Budget, share: float) -> None:
        limits = whole._limits  # noqa: SLF001 - its own kind
        update = {
            "steps": ceil(limits.steps * share),
            "tokens": ceil(limits.tokens * share),
            "usd": limits.usd * share,
        }
        super().__init__(limits.model_copy(update=update), whole._clock)  # noqa: SLF001 - its own kind
        self._whole = whole

    def step(self) -> None:
        super().step()
        self._whole.step()

    def reserve(self, *, tokens: int, usd: Decimal) -> Reservation:
        ours = super().reserve(tokens=tokens, usd=usd)
        try:
            self._whole.reserve(tokens=tokens, usd=usd)
        except BudgetExceeded:
            super().settle(ours, tokens=0, usd=Decimal(0))
            raise
        return ours

    def settle(self, reservation: Reservation, *, tokens: int, usd: Decimal) -> None:
        super().settle(reservation, tokens=tokens, usd=usd)
        self._whole.settle(reservation, tokens=tokens, usd=usd)

    def remaining_s(self) -> float:
        return min(super().remaining_s(), self._whole.remaining_s())


class Shares:
    """The budgets of the workers on each run, by name."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._budgets: WeakKeyDictionary[PlannedRun, dict[str, Budget]] = WeakKeyDictionary()

    def budget(self, run: PlannedRun, who: str) -> Budget:
        return self._budgets.setdefault(run, {}).setdefault(who, Share(run.budget, self._share))

    def branch(self, run: PlannedRun, who: str) -> AbstractContextManager[PlannedRun]:
        """Return a branch of the run with this budget."""
        clean: dict[str, Any] = {"hits": None, "evidence": None, "question": "", "draft": None}
        return run.aside(self.budget(run, who), **clean)
