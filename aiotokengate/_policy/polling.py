"""When a job is asked after again.

Soon at first, for short jobs; then ever more seldom, for long ones; and sooner again when the
job's own progress says that it will be done before that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FIRST_WAIT", "LAST_WAIT", "PollPlan"]

FIRST_WAIT = 1.0
LAST_WAIT = 15.0
GROWTH = 1.5
JITTER = 0.2
"""The part of a wait that is left to chance, so that many jobs don't come together."""

_MANY = 16


@attrs.define
class PollPlan:
    """The waits of one job; seconds everywhere.

    Attributes:
        waits: how many there were.
    """

    waits: int = 0
    _first: tuple[float, float] | None = None
    _last: float | None = None
    _end: float | None = None

    def next_wait(self, now: float, progress: float | None, chance: Callable[[], float]) -> float:
        """Return the wait before the job is asked after again.

        Args:
            now: when it was heard of, by any clock.
            progress: how far it was then, from 0 to 1, or None.
            chance: gives a random number from 0 up to 1.
        """
        wait = min(LAST_WAIT, FIRST_WAIT * GROWTH ** min(self.waits, _MANY))
        self.waits += 1
        left = self._left(now, progress)
        if left is not None:
            wait = min(wait, left)
        return max(FIRST_WAIT, wait * (1 - JITTER * chance()))

    def _left(self, now: float, progress: float | None) -> float | None:
        """Foretell the end from what was done since the beginning; None while nothing moves.

        A progress in whole per cent stands still in between, so what was foretold holds until
        it has passed.
        """
        if progress is None:
            return None
        if self._first is None:
            self._first = (now, progress)
        moved, self._last = progress != self._last, progress
        elapsed, done = now - self._first[0], progress - self._first[1]
        if moved:
            self._end = now + elapsed * (1 - progress) / done if min(elapsed, done) > 0 else None
        if self._end is None or (not moved and self._end <= now):
            return None
        return self._end - now
