"""How a session ends: who runs is counted, called off or waited for, and what streams is ended."""

from __future__ import annotations

import asyncio
import warnings
from functools import partial
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from aiotokengate._stream.receiver import Receiver

if TYPE_CHECKING:
    from aiotokengate._stream.clocks import Watch
    from aiotokengate.clock import Clock
    from aiotokengate.errors import CallerError, TokenGateError

__all__ = ["Calls", "end_all"]


class Running(Protocol):
    """A call that has begun and is not over."""

    def call_off(self, *, waiting_only: bool) -> None:
        """End it with an error, as far as its reply has not begun."""


class Calls:
    """The calls of a session on one loop that have begun and are not over."""

    __slots__ = ("_calls", "_idle")

    def __init__(self) -> None:
        self._calls: set[Running] = set()
        self._idle: asyncio.Future[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether there are any."""
        return bool(self._calls)

    def begin(self, call: Running) -> None:
        """Count a call."""
        self._calls.add(call)

    def end(self, call: Running) -> None:
        """Count it no more; harmless when that was done."""
        self._calls.discard(call)
        if self._idle is not None and not self._calls:
            _wake(self._idle)

    def call_off(self, *, waiting_only: bool) -> None:
        """End those whose reply has not begun; or those alone that wait for their turn."""
        for call in tuple(self._calls):
            call.call_off(waiting_only=waiting_only)

    async def drain(self, clock: Clock, seconds: float) -> None:
        """Return when all are over, or after so many seconds."""
        if not self._calls:
            return
        if self._idle is None or self._idle.done():
            self._idle = asyncio.get_running_loop().create_future()
        idle = self._idle
        timer = clock.call_later(seconds, partial(_wake, idle))
        try:
            await asyncio.shield(idle)
        finally:
            timer.cancel()


def _wake(idle: asyncio.Future[None]) -> None:
    if not idle.done():
        idle.set_result(None)


@runtime_checkable
class Ending(Protocol):
    """Something watched that can be told how it ends: a download."""

    def end(self, error: TokenGateError | None = None) -> None:
        """End, with an error for whoever reads on."""


def end_all(watch: Watch, error: CallerError) -> None:
    """End what streams, and with an error what is downloaded; no clock runs any more."""
    for watched in watch.watched():
        if isinstance(watched, Receiver):
            _warn_held(watched)
            watched.stop()
        elif isinstance(watched, Ending):
            watched.end(error)
    watch.stop()


def _warn_held(receiver: Receiver) -> None:
    place = f"; it was opened at:\n{receiver.opened_at}" if receiver.opened_at else ""
    warnings.warn(
        f"a stream was still open when its TokenGate was closed{place}",
        ResourceWarning,
        stacklevel=6,
    )
