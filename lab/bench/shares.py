"""Shares with an interval that keeps a width where all cases are equal."""

from __future__ import annotations

from collections.abc import Iterable

from observability.evaluation.metrics import Estimate


def proportion(flags: Iterable[float]) -> Estimate:
    """Return the share of ones with Wilson's interval, which keeps a width where all flags are equal.

    >>> print(proportion([0] * 100))
    0.000 [0.000, 0.037]
    """
    from scipy.stats import binomtest

    numbers = [float(flag) for flag in flags]
    if not numbers:
        return Estimate(None, None, None, 0)
    interval = binomtest(int(sum(numbers)), len(numbers)).proportion_ci(method="wilson")
    return Estimate(sum(numbers) / len(numbers), float(interval.low), float(interval.high), len(numbers))
