"""One comparison: what each entry of it cost, round by round."""

from __future__ import annotations

from statistics import median, quantiles
from typing import Any

import attrs

__all__ = ["Costs", "Figure", "number"]

Costs = dict[str, list[float | None]]


@attrs.frozen
class Figure:
    """One comparison.

    Attributes:
        unit: what the numbers are.
        costs: by entry, one number for each round; None where it sat the round out.
        about: whatever else is worth keeping.
    """

    unit: str
    costs: Costs
    about: dict[str, Any] = attrs.field(factory=dict)

    def typical(self, entry: str) -> float:
        """Return the median of an entry."""
        return median(value for value in self.costs[entry] if value is not None)

    def ratios(self, over: str, under: str) -> tuple[float, float, float]:
        """Return the quartiles of the ratios of two entries, round by round.

        Rounds that one of the two sat out don't count. The middle one is the ratio: a machine that
        slows down for some rounds slows both, and moves it less than the ratio of the medians.
        """
        pairs = zip(self.costs[over], self.costs[under], strict=True)
        found = [a / b for a, b in pairs if a is not None and b is not None]
        if len(found) == 1:
            return found[0], found[0], found[0]
        low, middle, high = quantiles(found, n=4, method="inclusive")
        return low, middle, high


def number(value: float) -> str:
    """Return a number as text with three digits, or all before the point."""
    digits = max(0, 2 - len(f"{value:.0f}") + 1) if value >= 1 else 2
    return f"{value:,.{digits}f}"
