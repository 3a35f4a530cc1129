"""What lanes and pools are doing, as values: for ``Pool.statistics()``, hooks and monitors."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

__all__ = ["Because", "LaneStatistics", "PoolStatistics", "Waiting"]

Because: TypeAlias = Literal["hold", "concurrency", "requests", "tokens", "learning", "queue"]
"""For what a waiter waits.  That is a refusal's hold, a free place, the minute's requests or
tokens, or the learned pace; "queue" where only those before it are in the way."""


@attrs.frozen
class Waiting:
    """Why a call waits.

    Attributes:
        position: how many are before it, plus one.
        eta: seconds until it will probably be admitted; inf if that depends on what is not known.
        because: the gate that is shut for longest.
    """

    position: int
    eta: float
    because: Because


@attrs.frozen(kw_only=True)
class LaneStatistics:
    """What a lane is doing, and has done.

    Attributes:
        pattern: the models it is for.
        key: which key, masked; "" for the session's only one.
        waiting: calls in the queue; in_flight: calls admitted and not settled.
        admitted: calls admitted so far; refused: how many of them the gateway refused.
        concurrency: calls in flight at most; None if not known.
        requests_per_minute: in force, given or learned; None if not known.
        tokens_per_minute: the same for tokens.
        requests_left: what can be admitted now; None without limit.
        tokens_left: the same for tokens.
        hold: seconds that the lane still holds after a refusal.
        set_aside: why this key is not used for now, or None.
    """

    pattern: str
    key: str = ""
    waiting: int = 0
    in_flight: int = 0
    admitted: int = 0
    refused: int = 0
    concurrency: int | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    requests_left: float | None = None
    tokens_left: float | None = None
    hold: float = 0.0
    set_aside: str | None = None


@attrs.frozen
class PoolStatistics:
    """What a pool is doing, lane by lane.

    Attributes:
        lanes: each that was used.
        unused: patterns that no call has matched; perhaps one is misspelt.
    """

    lanes: tuple[LaneStatistics, ...]
    unused: tuple[str, ...] = ()

    @property
    def waiting(self) -> int:
        """Calls in all queues."""
        return sum(lane.waiting for lane in self.lanes)

    @property
    def in_flight(self) -> int:
        """Calls admitted and not over."""
        return sum(lane.in_flight for lane in self.lanes)

    @property
    def refused(self) -> int:
        """Calls that the gateway refused for a limit."""
        return sum(lane.refused for lane in self.lanes)
