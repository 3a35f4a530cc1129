"""What a test and the fake gateway tell one another, without polling and across threads.

Strategy.  The gateway may run in the test's own event loop or in a thread of its own.  So every
wait stands on one primitive, :class:`Level`: a number under a lock, and a list of waiters, each
with the condition that it waits for.  Whoever changes the number wakes exactly the waiters whose
condition now holds, each in its own event loop (or thread).  A :class:`Signal` is a level that
goes from 0 to 1, a :class:`Gate` two of them: permits given and arrivals counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections.abc import Callable
from typing import TypeAlias

import attrs

__all__ = ["Gate", "Level", "Signal"]

Condition: TypeAlias = Callable[[float], bool]


@attrs.frozen(eq=False)
class _Waiter:
    """One condition, and how to wake who waits for it."""

    condition: Condition
    wake: Callable[[], object]


class Level:
    """A number that can be waited for, from any event loop and any thread."""

    def __init__(self, value: float = 0) -> None:
        """Begin at ``value``."""
        self._value = value
        self._lock = threading.Lock()
        self._waiters: list[_Waiter] = []

    @property
    def value(self) -> float:
        """The number now."""
        return self._value

    def change(self, by: float) -> None:
        """Add to the number, and wake who waited for it."""
        with self._lock:
            self._value += by
            ready = [waiter for waiter in self._waiters if waiter.condition(self._value)]
            self._waiters = [waiter for waiter in self._waiters if waiter not in ready]
        for waiter in ready:
            waiter.wake()

    def take(self) -> bool:
        """Take 1 from the number, if there is 1 to take."""
        with self._lock:
            taken = self._value >= 1
            self._value -= taken
        return taken

    async def until(self, condition: Condition) -> None:
        """Return as soon as the condition holds of the number; at once if it already does."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            # The loop may have ended without waiting; then nobody is left to be told.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_resolve, future)

        waiter = _Waiter(condition, wake)
        if self._enlist(waiter):
            try:
                await future
            finally:
                self._forget(waiter)

    def until_blocking(self, condition: Condition, timeout: float | None = None) -> bool:
        """Block this thread until the condition holds; return False after ``timeout`` seconds."""
        reached = threading.Event()
        waiter = _Waiter(condition, reached.set)
        if not self._enlist(waiter):
            return True
        try:
            return reached.wait(timeout)
        finally:
            self._forget(waiter)

    def _enlist(self, waiter: _Waiter) -> bool:
        with self._lock:
            if waiter.condition(self._value):
                return False
            self._waiters.append(waiter)
            return True

    def _forget(self, waiter: _Waiter) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self._waiters.remove(waiter)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Signal:
    """Something that happens once, and can be waited for from any event loop or thread."""

    __slots__ = ("_level",)

    def __init__(self) -> None:
        """Begin with what has not happened."""
        self._level = Level()

    def __bool__(self) -> bool:
        """Return whether it has happened."""
        return self.is_set()

    def __repr__(self) -> str:
        """Show whether it has happened."""
        return f"<Signal {'set' if self.is_set() else 'not set'}>"

    def is_set(self) -> bool:
        """Return whether it has happened."""
        return self._level.value > 0

    def set(self) -> None:
        """Let it have happened; a second time changes nothing."""
        self._level.change(1)

    async def wait(self) -> None:
        """Wait until it has happened."""
        await self._level.until(_at_least(1))

    def wait_blocking(self, timeout: float | None = None) -> bool:
        """Block this thread until it has happened; return False after ``timeout`` seconds."""
        return self._level.until_blocking(_at_least(1), timeout)


class Gate:
    """A turnstile inside a scripted reply: the gateway passes when the test lets it.

    Example::

        gate = Gate()
        gateway.script(ScriptedReply(answer=["一", gate, "二", gate, "三"]))
        ...                        # read "一"
        gate.release()             # now, and not before, the gateway sends "二"
        await gate.reached(2)      # "二" is written, and the gateway waits once more
        gate.open()                # from here on nothing is held

    One gate may stand in several replies, and in several places of one.
    """

    __slots__ = ("_arrived", "_permits")

    def __init__(self) -> None:
        """Begin closed."""
        self._permits = Level()
        self._arrived = Level()

    def release(self, passages: int = 1) -> None:
        """Let the next ``passages`` through, whether they wait already or come later."""
        self._permits.change(passages)

    def open(self) -> None:
        """Let everything through from now on."""
        self._permits.change(math.inf)

    async def reached(self, arrivals: int = 1) -> None:
        """Wait until the gateway has arrived here ``arrivals`` times, all told."""
        await self._arrived.until(_at_least(arrivals))

    def reached_blocking(self, arrivals: int = 1, timeout: float | None = None) -> bool:
        """Block this thread until then; return False after ``timeout`` seconds."""
        return self._arrived.until_blocking(_at_least(arrivals), timeout)

    async def passed(self) -> None:
        """Wait for a permit; what the gateway does here."""
        self._arrived.change(1)
        while not self._permits.take():
            await self._permits.until(_at_least(1))


def _at_least(count: int) -> Condition:
    return lambda value: value >= count
