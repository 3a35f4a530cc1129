"""The pool: whoever calls waits here until the quota has room, and no longer.

Strategy.  The lanes of a :mod:`backend <aiotokengate._pool.backend>` decide; this module finds the
lane of a call, works out what the call will cost, and keeps the futures of the tasks that wait
(in :func:`aiotokengate._pool.slots.wait_for_turn`).
Everything between two awaits is synchronous, so a slot is taken and given back in one step,
whatever is cancelled in between.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from hashlib import blake2s
from typing import TYPE_CHECKING, Final

import attrs
from attrs.validators import ge, instance_of

from aiotokengate._base.copying import Shared
from aiotokengate._base.sealing import sealed
from aiotokengate._base.settings import (
    ABOVE_ZERO,
    COUNT,
    DEADLINE,
    FAIR_KEY,
    FINITE,
    PRIORITY,
    WHOLE,
    Validator,
    checked,
    expected,
    kind,
)
from aiotokengate._policy.estimate import CallSize, Sizes, estimate_tokens
from aiotokengate._policy.lanes import Ticket
from aiotokengate._policy.limits import Limits
from aiotokengate._pool.backend import Backend, BackendLane, LocalBackend
from aiotokengate.clock import Clock, RealClock
from aiotokengate.errors import CallerError, QueueFull
from aiotokengate.hooks import logger

if TYPE_CHECKING:
    from aiotokengate._policy.queue import Priority
    from aiotokengate._policy.statistics import LaneStatistics, PoolStatistics
    from aiotokengate._pool.holding import Hold
    from aiotokengate._pool.monitor import Monitor
    from aiotokengate._pool.slots import Slot

__all__ = [
    "Backend",
    "BackendLane",
    "LocalBackend",
    "Pool",
    "mask",
]


EVERY_MODEL: Final = "*"
MANY_LANES: Final = 1_000
"""Lanes, from which on idle ones are dropped: names of models may come from users."""

LONG_KEY: Final = 20
"""Characters from which on a few of a key may be shown."""

_OPEN = Limits()


class Pool(Shared):
    """Lets calls go as fast as the quota allows, in a fair order, and no faster.

    A session makes one for itself; give it one to set limits, or to share it between sessions.  It
    works around any other client just as well::

        pool = Pool(Limits(requests_per_minute=300, tokens_per_minute=60_000))

        async with pool.slot("qwen3.6-plus", tokens=1_200) as slot:
            response = await other_client.create(...)
            slot.settle(response.usage.total_tokens)

    Args:
        limits: one :class:`Limits` that all models share; or patterns of model names, as in
            ``{"qwen*": Limits(...), "*": Limits(...)}``, of which the first that matches counts.
            The models of a pattern share its lane.  A model that none matches has a lane of its
            own, whose limits are learned; so have all models of ``Pool()``.
        backend: where lanes are kept; this process by default.
        max_waiting: more calls than this in one lane's queue are refused with :class:`QueueFull`.
        weights: how much more than the others the user of a fair key gets, as in ``{"vip": 3}``.
        count_tokens: a tokenizer, called with the model and the prompt's text; a quick estimate
            by default.
        monitor: path of a Unix socket, through which ``aiotokengate top`` can look at the pool.
        clock: for simulations.

    Raises:
        CallerError: an argument is wrong; or the pool is used from a second running event loop.
    """

    _instead = (
        "a Pool belongs to its process: make one in each, and share the limits with "
        "Pool(backend=aiotokengate.redis.RedisBackend(...))"
    )

    @sealed
    def __init__(
        self,
        limits: Limits | Mapping[str, Limits] | None = None,
        *,
        backend: Backend | None = None,
        max_waiting: int = 100_000,
        weights: Mapping[str, float] | None = None,
        count_tokens: Callable[[str, str], int] | None = None,
        monitor: str | os.PathLike[str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Read the settings; nothing runs yet."""
        self._patterns = _patterns(limits)
        self._weights = weights or {}
        for key, weight in self._weights.items():
            checked(weight, _weight_of(key))
        self._max_waiting = checked(max_waiting, _MAX_WAITING)
        self._count_tokens = count_tokens
        self.clock: Clock = clock or RealClock()
        self._backend: Backend = backend or LocalBackend(self.clock)
        self._lanes: dict[tuple[str, str], BackendLane] = {}
        self._by_model: dict[tuple[str, str], BackendLane] = {}
        self._sizes: dict[str, Sizes] = {}
        self._aside: dict[tuple[str, str], str] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._monitor: Monitor | None = None
        if monitor is not None:
            from aiotokengate._pool.monitor import Monitor

            self._monitor = Monitor(monitor, self._lanes_now)
        self.waiting: set[asyncio.Future[None]] = set()
        self.holds: dict[BackendLane, set[Hold]] = {}
        _pools.add(self)

    @sealed
    def slot(
        self,
        model: str = "",
        *,
        tokens: float | None = None,
        prompt: str | bytes = b"",
        max_tokens: int | None = None,
        priority: Priority = "interactive",
        fair_key: str | None = None,
        deadline: float | None = None,
        key: str = "",
    ) -> Slot:
        """Ask for a place; enter it with ``async with``.

        Args:
            model: which lane it belongs to.
            tokens: what the call will cost, prompt and reply together; or leave it out and give
                the prompt.
            prompt: the text, or the body of the request; its tokens are estimated.
            max_tokens: the most that the reply may have.
            priority: "interactive" goes before "bulk"; bulk gets on all the same.
            fair_key: the end user for whom this is; users take turns.
            deadline: seconds to wait at most.
            key: the API key that is used, where the pool is shared with a session or serves
                several keys; it is kept masked only.

        Raises:
            CallerError: an argument is wrong.
        """
        from aiotokengate._pool.slots import Slot

        checked(model, _MODEL)
        checked(priority, PRIORITY)
        checked(fair_key, FAIR_KEY)
        checked(deadline, DEADLINE)
        text = prompt.encode() if isinstance(prompt, str) else prompt
        size = CallSize(
            None if tokens is None else checked(tokens, COUNT),
            max_tokens,
            partial(estimate_tokens, text),
            lambda: (text.decode("utf-8", "replace"),),
        )
        lane = self.lane(model, mask(key))
        ticket = self.ticket(lane, model, size, priority, fair_key)
        return Slot(self, lane, ticket, deadline)

    def statistics(self) -> PoolStatistics:
        """Return what the lanes are doing."""
        from aiotokengate._policy.statistics import PoolStatistics

        used = {pattern for pattern, _ in self._lanes}
        unused = (pattern for pattern, _ in self._patterns if pattern not in used)
        return PoolStatistics(self._lanes_now(), tuple(unused))

    def _lanes_now(self) -> tuple[LaneStatistics, ...]:
        lanes = (lane.statistics() for lane in self._lanes.values())
        return tuple(self._with_aside(lane) for lane in lanes)

    def _with_aside(self, lane: LaneStatistics) -> LaneStatistics:
        known = (self._aside.get((lane.key, scope)) for scope in ("", lane.pattern))
        return attrs.evolve(lane, set_aside=next(filter(None, known), None))

    def close(self) -> None:
        """End the waiting with a :class:`CallerError`; let go of timers and connections."""
        self._closed = True
        if self._monitor is not None:
            self._monitor.close()
        for future in self.waiting:
            if not future.done():
                future.set_exception(_closed())
        self._backend.close()
        self._lanes.clear()
        self._by_model.clear()

    def __repr__(self) -> str:
        """Show how busy it is."""
        now = self.statistics()
        busy = f"{now.in_flight} in flight, {now.waiting} waiting"
        return f"<Pool {len(now.lanes)} lanes, {busy}>"

    # --- for the session ------------------------------------------------------------------------

    def check_open(self) -> None:
        """Refuse to go on after :meth:`close`."""
        if self._closed:
            raise _closed()

    def close_in_its_loop(self) -> None:
        """Close now; or soon, where it serves another running loop, whose futures are its own."""
        loop = self._loop
        if loop is None or loop is asyncio.get_running_loop() or not loop.is_running():
            self.close()
            return
        with suppress(RuntimeError):  # it ended this moment
            loop.call_soon_threadsafe(self.close)

    def lane(self, model: str, key: str = "") -> BackendLane:
        """Return the lane of a model and of a key.

        Raises:
            CallerError: the pool serves another running event loop.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._move_to(loop)
        lane = self._by_model.get((model, key))
        return lane if lane is not None else self._find(model, key)

    def serves(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether the pool is that loop's, or can become it."""
        return self._loop is None or self._loop is loop or not self._loop.is_running()

    def ticket(
        self,
        lane: BackendLane,
        model: str,
        size: CallSize,
        priority: Priority = "interactive",
        fair_key: str | None = None,
    ) -> Ticket:
        """Make what a lane asks of a call."""
        ticket = Ticket()
        ticket.bulk = priority == "bulk"
        ticket.late = _is_late(lane.limits, size.max_tokens)
        if fair_key is not None:
            ticket.fair_key = fair_key
            ticket.weight = self._weights.get(fair_key, 1.0)
        if lane.counts_tokens or size.tokens is not None:
            self._expect(model, size, ticket)
        elif lane.limits.learn:
            # It may be known at any time that tokens are limited; until then nobody counts them.
            ticket.measure = partial(self._expect, model, size)
        return ticket

    def prompt_tokens(self, model: str, ticket: Ticket) -> float:
        """Return about how many tokens the prompt of a call has, as its model counts them."""
        return self._sizes_of(model).prompt(ticket.estimate)

    def note_aside(self, key: str, model: str, because: str | None) -> None:
        """Say in the statistics that a key is not used for now; None takes it back."""
        if because is None:
            self._aside.pop((key, model), None)
        else:
            self._aside[key, model] = because

    def learn(
        self, model: str, ticket: Ticket, prompt_tokens: int, completion_tokens: int
    ) -> None:
        """Remember what a call really cost, for the next ones of its model."""
        self._sizes_of(model).add(ticket.estimate, prompt_tokens, completion_tokens)

    def check_queue(self, lane: BackendLane) -> None:
        """Raise :class:`QueueFull` where as many wait as may."""
        if lane.queued() > self._max_waiting:
            message = f"expected at most {self._max_waiting} waiting calls (max_waiting)"
            raise QueueFull(message)

    # --- inside ---------------------------------------------------------------------------------

    def _expect(self, model: str, size: CallSize, ticket: Ticket) -> None:
        """Work out what a call will cost, as the gateway charges it."""
        if size.tokens is not None:
            ticket.tokens = size.tokens
            return
        sizes = self._sizes_of(model)
        ticket.estimate = self._prompt(model, size)
        most = size.max_tokens
        output = most if most is not None and not ticket.late else sizes.output(most)
        ticket.tokens = sizes.prompt(ticket.estimate) + output

    def _sizes_of(self, model: str) -> Sizes:
        sizes = self._sizes.get(model)
        if sizes is None:
            if len(self._sizes) >= MANY_LANES:
                self._sizes.clear()  # it is learned again soon
            sizes = self._sizes[model] = Sizes()
        return sizes

    def _prompt(self, model: str, size: CallSize) -> float:
        if self._count_tokens is None:
            return size.estimate()
        try:
            text = "\n".join(size.texts())
            return max(0, int(self._count_tokens(model, text)))
        except Exception as error:  # noqa: BLE001 - whatever a hook raises; its text may be a prompt
            logger.warning("count_tokens raised %s: estimating", type(error).__name__)
        return size.estimate()

    def _find(self, model: str, key: str) -> BackendLane:
        self.check_open()
        matching = (entry for entry in self._patterns if fnmatchcase(model, entry[0]))
        pattern, limits = next(matching, (model, _OPEN))
        lane = self._lanes.get((pattern, key))
        if lane is None:
            if len(self._lanes) >= MANY_LANES:
                self._forget_idle()
            lane = self._lanes[pattern, key] = self._backend.lane(pattern, key, limits)
        if len(self._by_model) >= MANY_LANES:
            self._by_model.clear()  # it only spares the matching
        self._by_model[model, key] = lane
        return lane

    def _forget_idle(self) -> None:
        """Drop lanes that nobody asked for, and of which nothing is known."""
        given = {pattern for pattern, _ in self._patterns}
        for name, lane in tuple(self._lanes.items()):
            now = lane.statistics()
            if name[0] not in given and not (now.in_flight or now.waiting or now.refused):
                del self._lanes[name]
        self._by_model.clear()

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve another loop: what the last one had in flight has died with it."""
        if not self.serves(loop):
            message = (
                "this Pool serves another running event loop: "
                "give each loop a Pool of its own, or share one through Redis"
            )
            raise CallerError(message)
        if self._loop is not None:
            self._restart()
        if self._monitor is not None and not self._closed:
            self._monitor.open()
        self._loop = loop

    def _restart(self) -> None:
        """Forget the calls; keep what was used and learned."""
        self._loop = None
        self._by_model.clear()
        self.holds = {}  # what is left of the old ones keeps them
        self._lanes = {name: lane.successor() for name, lane in self._lanes.items()}


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _after_fork() -> None:
    """The calls in flight are the parent's."""
    for pool in _pools:
        pool._restart()  # noqa: SLF001 - a function of this module


os.register_at_fork(after_in_child=_after_fork)


# --- one call -----------------------------------------------------------------------------------


def _closed() -> CallerError:
    return CallerError("this Pool is closed, make a new one")


@lru_cache(maxsize=1024)
def mask(key: str) -> str:
    """Return a name for an API key that can be shown, and is the same in every process."""
    if not key:
        return ""
    digest = blake2s(key.encode(), digest_size=3).hexdigest()
    return f"{key[:3]}…{key[-4:]}#{digest}" if len(key) >= LONG_KEY else f"…#{digest}"


# --- settings -----------------------------------------------------------------------------------


def _patterns(limits: Limits | Mapping[str, Limits] | None) -> tuple[tuple[str, Limits], ...]:
    if limits is None:
        return ()
    if isinstance(limits, Limits):
        return ((EVERY_MODEL, limits),)
    entries = tuple(limits.items()) if isinstance(limits, Mapping) else (("*", limits),)
    for pattern, value in entries:
        if not isinstance(pattern, str) or not isinstance(value, Limits):
            got = f"{pattern!r}: {type(value).__name__}"
            message = f"expected Limits, or a dict of patterns to Limits, got {got}"
            raise CallerError(message)
        if not pattern.strip():
            message = "expected a pattern of model names such as 'qwen*', got an empty one"
            raise CallerError(message)
    return entries


_MODEL: Final = expected("the name of a model, got {got}", instance_of(str), shown=kind)
_MAX_WAITING: Final = expected("max_waiting as a whole number from 0 up, got {got}", WHOLE, ge(0))


def _weight_of(key: str) -> Validator:
    def shown(weight: object) -> str:
        return f"{weight!r} for {key!r}"

    return expected("weights above 0, got {got}", ABOVE_ZERO, FINITE, shown=shown)


def _is_late(limits: Limits, max_tokens: int | None) -> bool:
    """Say whether tokens are charged when they are known, and not when the call is let in."""
    charge = limits.charge or ("usage" if max_tokens is None else "max_tokens")
    return charge == "usage"
