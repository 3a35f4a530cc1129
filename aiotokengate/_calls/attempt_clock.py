"""The clocks of an attempt: connect, first event, total, and the deadline of the whole call.

What each clock means is said by :class:`~aiotokengate._policy.timeouts.Timeout`.  The session's
:class:`~aiotokengate._stream.clocks.Watch` looks at them, as at the clocks of open streams, the
stall clock among them: no timer is made for a call that goes well.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from aiotokengate.errors import TimedOut

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiotokengate._calls.admission import Turn
    from aiotokengate._calls.request import CallPolicy
    from aiotokengate._stream.clocks import Watch
    from aiotokengate._stream.receiver import Receiver
    from aiotokengate.clock import Clock
    from aiotokengate.errors import Phase

__all__ = ["AttemptClock", "Limit"]

_T = TypeVar("_T")

Limit: TypeAlias = "tuple[float, Phase, float]"
"""When, in seconds since the call began; which clock; its setting."""


class AttemptClock:
    """Ends an attempt that has no content in time.

    Attributes:
        began: when the call did.
        limit: what ends the reply, too, and not only its beginning.
        priming: the reply that is read up to its first content.
        due_tick: for the watch.
    """

    __slots__ = (
        "_expired",
        "_expires",
        "_now",
        "_policy",
        "_task",
        "_turn",
        "_watch",
        "began",
        "due_tick",
        "limit",
        "priming",
    )

    def __init__(self, clock: Clock, watch: Watch, policy: CallPolicy, turn: Turn) -> None:
        self._now = clock.now
        self.began = clock.now()
        self._watch = watch
        self._policy = policy
        self._turn = turn
        self._task: asyncio.Task[Any] | None = None
        self._expires = 0.0
        self._expired: tuple[Phase, float] | None = None
        self.limit: Limit | None = None
        self.priming: Receiver | None = None
        self.due_tick = 0

    def left(self) -> float | None:
        """Return the seconds until the deadline."""
        deadline = self._policy.deadline
        return None if deadline is None else deadline - (self._now() - self.began)

    async def bound(self, attempt: Callable[[], Awaitable[_T]], started: float) -> _T:
        """Make an attempt, bounded up to its first content.

        Raises:
            TimedOut: a clock ran out.
        """
        limit = self.limit = self._whole_limit(started)
        seconds = self._policy.timeout.first_event
        if seconds is not None:
            first: Limit = (started + seconds, "first_event", seconds)
            limit = first if limit is None else min(first, limit)
        task = asyncio.current_task()
        if limit is None or task is None:
            return await attempt()
        self._expires = self.began + limit[0]
        self._expired, self._task = None, task
        cancelling = task.cancelling()
        self._watch.add(self)
        try:
            return await attempt()
        except asyncio.CancelledError:
            # Ours, and nobody else's: the way asyncio.timeout tells them apart.
            if self._expired is None or task.uncancel() > cancelling:
                raise
        finally:
            self._watch.discard(self)
            self._task = None
        raise TimedOut(*self._expired)

    def _whole_limit(self, started: float) -> Limit | None:
        total, deadline = self._policy.timeout.total, self._policy.deadline
        if total is None:
            return None if deadline is None else (deadline, "deadline", deadline)
        ends: Limit = (started + total, "total", total)
        return ends if deadline is None else min(ends, (deadline, "deadline", deadline))

    def tick(self, now: float) -> float:
        """Look at the clock; for the watch."""
        if now >= self._expires and self._task is not None:
            self._expire(now, self._task)
        return self._expires

    def _expire(self, now: float, task: asyncio.Task[Any]) -> None:
        """End the attempt; but where somebody is at work already, only silence ends it."""
        at, phase, seconds = self.limit or (math.inf, "total", 0.0)
        first = self._policy.timeout.first_event
        if first is not None and now < self.began + at:
            phase, seconds = "first_event" if self._turn.has_left else "connect", first
            alive = self.priming.alive_at if self.priming is not None else None
            if alive is not None:
                stall = self._policy.timeout.stall
                phase, seconds = "stall", math.inf if stall is None else stall
                self._expires = min(alive + seconds, self.began + at)
                if now < self._expires:
                    return
        self._watch.discard(self)
        self._expired = phase, seconds
        task.cancel()
