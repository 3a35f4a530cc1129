"""How many events of a stream are spliced, for every shape that ``splice_rates.py`` knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from figure import Costs, Figure
from splice_rates import SHAPES, rate, replies

if TYPE_CHECKING:
    from run import Bench

__all__ = ["LOWEST", "splicing"]

LOWEST = "the lowest of them"


def splicing(_bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Ask for the rate of each shape."""
    costs: Costs = {name: [100 * rate(shape, replies(shape))[1]] for name, shape in SHAPES.items()}
    lowest = min(value for found in costs.values() for value in found if value is not None)
    yield "splicing", Figure("% spliced", costs | {LOWEST: [lowest]})
