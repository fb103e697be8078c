"""The limits of one run: steps, tokens, US dollars and seconds. Reserved before each call, settled after it."""

from decimal import Decimal

from foundation.clock import Clock
from foundation.errors import BudgetExceeded
from orchestration.settings import BudgetSettings

# Tokens and US dollars set aside for a call under way
Reservation = tuple[int, Decimal]


class Budget:
    """Counts what a run has used and reserved, and refuses the next call where it does not fit. A call may cost more than
    was reserved for it, so the overspend is at most that of the calls under way. `max_usd` is the caller's own limit; the
    lower of the two holds.
    """

    def __init__(self, limits: BudgetSettings, clock: Clock, *, max_usd: float | None = None) -> None:
        self._limits, self._clock, self._begun_s = limits, clock, clock.monotonic_s()
        self._usd_limit = Decimal(str(limits.usd if max_usd is None else min(limits.usd, max_usd)))
        self.steps = self.tokens = self._reserved_tokens = 0
        self.usd = self._reserved_usd = Decimal(0)

    def step(self) -> None:
        """Count one step of the plan. Raises BudgetExceeded: no steps or seconds are left."""
        if self.steps >= self._limits.steps:
            raise BudgetExceeded(f"The {self._limits.steps} steps of this run are used up.", limit="steps")
        self.remaining_s()
        self.steps += 1

    def reserve(self, *, tokens: int, usd: Decimal) -> Reservation:
        """Set aside what a call may need, for `settle`. Raises BudgetExceeded: it does not fit beside used and reserved."""
        self.remaining_s()
        if self.tokens + self._reserved_tokens + tokens > self._limits.tokens:
            raise BudgetExceeded(
                f"{self.tokens} of {self._limits.tokens} tokens ([orchestration.budget]) are used; one of about {tokens} does not fit.",
                limit="tokens",
            )
        used = self.usd + self._reserved_usd
        if used >= self._usd_limit or used + usd > self._usd_limit:
            raise BudgetExceeded(
                f"{used:.6f} of {self._usd_limit} USD are used; a call of about {usd:.6f} does not fit.", limit="usd"
            )
        self._reserved_tokens += tokens
        self._reserved_usd += usd
        return tokens, usd

    def settle(self, reservation: Reservation, *, tokens: int, usd: Decimal) -> None:
        """Replace a reservation by what the call used; 0 where no call was made."""
        self._reserved_tokens -= reservation[0]
        self._reserved_usd -= reservation[1]
        self.tokens += tokens
        self.usd += usd

    def fits(self, *, tokens: int, usd: Decimal, calls: int = 1, seconds: float = 0) -> bool:
        """Whether so much is left."""
        used = self.usd + self._reserved_usd
        return (
            self.tokens + self._reserved_tokens + tokens <= self._limits.tokens
            and used < self._usd_limit
            and used + usd <= self._usd_limit
            and self.steps + calls <= self._limits.steps
            and seconds < self._limits.seconds - (self._clock.monotonic_s() - self._begun_s)
        )

    def remaining_s(self) -> float:
        """Return the seconds left, more than 0. Raises BudgetExceeded: none are left."""
        remaining = self._limits.seconds - (self._clock.monotonic_s() - self._begun_s)
        if remaining <= 0:
            raise BudgetExceeded(f"The {self._limits.seconds:g} seconds of this run are used up.", limit="seconds")
        return remaining
