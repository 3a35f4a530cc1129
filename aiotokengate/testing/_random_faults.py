"""A gateway that fails now and then, for soak tests and demonstrations.

A share of the questions, drawn by a seeded generator, is either answered by one of the faults of
:mod:`aiotokengate.testing.faults` in place of an answer, or its answer breaks off in the middle.
"""

from __future__ import annotations

import random
from typing import Final

from aiotokengate.testing import faults
from aiotokengate.testing._script import Ending, Raw

__all__ = ["RandomFaults"]

_SOON = {"Retry-After": "0"}
_INSTEAD: Final = (
    faults.empty_429(),
    faults.status_error(429, headers=_SOON),
    faults.status_error(500),
    faults.status_error(503),
    faults.status_error(503, headers=_SOON),
    faults.status_error(504),
    faults.html_502(),
    faults.wrong_content_type(),
    faults.reset(),
    Raw(None, end="close"),
)
_ENDINGS: Final[tuple[Ending, ...]] = ("reset", "close")
_LONGEST = 40
"""Writes of an answer before it breaks off, at most."""


class RandomFaults:
    """Decides which questions fail, and how.

    Args:
        share: of the questions, from 0 to 1; half of them get no answer, half get a part of one.
        seed: the same seed gives the same faults in the same order.

    Raises:
        ValueError: the share is none.
    """

    def __init__(self, share: float, seed: int = 0) -> None:
        """Begin."""
        if not 0 <= share <= 1:
            message = f"expected unreliable as a share from 0 to 1, got {share!r}"
            raise ValueError(message)
        self._half = share / 2
        self._dice = random.Random(seed)

    def instead(self) -> Raw | None:
        """Return what a question gets in place of an answer, None for most."""
        if self._dice.random() >= self._half:
            return None
        return self._dice.choice(_INSTEAD)

    def cut(self) -> tuple[int, Ending] | None:
        """Return after how many writes an answer breaks off and how, None for most."""
        if self._dice.random() >= self._half:
            return None
        return self._dice.randrange(_LONGEST), self._dice.choice(_ENDINGS)
