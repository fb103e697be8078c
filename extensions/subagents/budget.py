"""The budget of a sub-agent: a part of that of the run, in which each of its calls is reserved, too."""

from decimal import Decimal

from foundation.clock import Clock
from foundation.errors import BudgetExceeded
from orchestration.run.budget import Budget, Reservation
from orchestration.settings import BudgetSettings


class ShareOfBudget(Budget):
    """Limits of its own within those of `whole`."""

    def __init__(self, limits: BudgetSettings, clock: Clock, whole: Budget) -> None:
        super().__init__(limits, clock)
        self._whole = whole

    def step(self) -> None:
        self._whole.step()
        super().step()

    def reserve(self, *, tokens: int, usd: Decimal) -> Reservation:
        reservation = self._whole.reserve(tokens=tokens, usd=usd)
        try:
            return super().reserve(tokens=tokens, usd=usd)
        except BudgetExceeded:
            self._whole.settle(reservation, tokens=0, usd=Decimal(0))
            raise

    def settle(self, reservation: Reservation, *, tokens: int, usd: Decimal) -> None:
        super().settle(reservation, tokens=tokens, usd=usd)
        self._whole.settle(reservation, tokens=tokens, usd=usd)

    def fits(self, *, tokens: int, usd: Decimal, calls: int = 1, seconds: float = 0) -> bool:
        own = super().fits(tokens=tokens, usd=usd, calls=calls, seconds=seconds)
        return own and self._whole.fits(tokens=tokens, usd=usd, calls=calls, seconds=seconds)

    def remaining_s(self) -> float:
        return min(super().remaining_s(), self._whole.remaining_s())
