"""A thread with an event loop of its own, in which something runs until it is told to stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

__all__ = ["LoopThread"]


class LoopThread:
    """Runs ``start`` and later ``stop`` in one event loop of one thread."""

    def __init__(
        self, start: Callable[[], Awaitable[object]], stop: Callable[[], Awaitable[object]]
    ) -> None:
        """Begin the thread, and return once ``start`` has.

        Raises:
            Exception: whatever ``start`` raised; the thread has ended then.
        """
        self._start = start
        self._stop = stop
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main()), name="fake-gateway", daemon=True
        )
        self._thread.start()
        self._loop, self._told = self._started.result()

    def end(self) -> None:
        """Let ``stop`` run, and the thread end."""
        self._loop.call_soon_threadsafe(self._told.set)
        self._thread.join()

    async def _main(self) -> None:
        told = asyncio.Event()
        try:
            await self._start()
        except Exception as error:  # noqa: BLE001  raised in the thread that waits for it
            self._started.set_exception(error)
            return
        self._started.set_result((asyncio.get_running_loop(), told))
        await told.wait()
        await self._stop()
