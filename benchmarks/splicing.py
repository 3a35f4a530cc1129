"""How many events of a stream are spliced, for every shape that ``splice_rates.py`` knows."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING

from figure import Costs, Figure

if TYPE_CHECKING:
    from run import Bench

__all__ = ["LOWEST", "splicing"]

LOWEST = "the lowest of them"


def splicing(_bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Ask for the rate of each shape, if there is something to ask."""
    if importlib.util.find_spec("splice_rates") is None:
        print("\nsplicing: not measured, there is no splice_rates.py")
        return
    rates = importlib.import_module("splice_rates")
    costs: Costs = {
        name: [100 * rates.rate(shape, rates.said())[1]] for name, shape in rates.SHAPES.items()
    }
    lowest = min(value for found in costs.values() for value in found if value is not None)
    yield "splicing", Figure("% spliced", costs | {LOWEST: [lowest]})
