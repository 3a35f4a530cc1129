"""Calls of a session as the pool knows them, without a connection and without chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiotokengate import Limits, Pool, Retry, Timeout
from aiotokengate._calls.admission import Admission, Turn
from aiotokengate._calls.request import CallPolicy
from aiotokengate._calls.routes import Route, Routes
from aiotokengate._http.transport import Transport
from aiotokengate._pool.backend import LocalBackend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiotokengate._http.keys import KeySource
    from aiotokengate._policy.statistics import LaneStatistics
    from aiotokengate.clock import Clock
    from aiotokengate.hooks import Hook

__all__ = ["KEYS", "MODEL", "admission_of", "lane_of", "route", "turn_of"]

MODEL = "qwen3.6-plus"
ADDRESS = "https://gateway.test/v1"
KEYS = ("sk-first-0123456789abc", "sk-other-0123456789abc")


def route(key: str, weight: float = 1.0, source: KeySource | None = None, **headers: str) -> Route:
    """Return a route that opens no connection."""
    transport = Transport(ADDRESS, headers=headers, proxy="", ssl=True)
    return Route(ADDRESS, key, transport, weight, source=source)


def admission_of(
    clock: Clock,
    limits: Limits | None = None,
    keys: Sequence[str] = KEYS[:1],
    hooks: tuple[Hook, ...] = (),
) -> Admission:
    """Return what lets the calls of a session in, whose pool was given to it."""
    pool = Pool(limits, clock=clock, backend=LocalBackend(clock, lambda: 0.0))
    return Admission(Routes([route(key) for key in keys], clock), pool, False, hooks, clock)


def turn_of(admission: Admission, **policy: Any) -> Turn:
    """Return the turn of a call that has not come yet."""
    settings = {"timeout": Timeout(), "retry": Retry(), "pooled": True, **policy}
    return Turn(admission, MODEL, CallPolicy(**settings))


def lane_of(admission: Admission) -> LaneStatistics:
    """Return what the one lane of its pool is doing."""
    (lane,) = admission.pool.statistics().lanes
    return lane
