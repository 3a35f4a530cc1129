"""A body without a socket: the very pieces that a network might have cut it into.

Whatever takes the body of an answer takes a :class:`ScriptedBody` in its place, and so a whole
reply is decoded from a list of bytes, at any cut, with breaks and silences where a test wants
them, and with no server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from aiotokengate._http.feeds import TaskFeed
from aiotokengate.clock import RealClock
from aiotokengate.errors import TokenGateError, TransportError
from aiotokengate.testing._script import Pause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from aiotokengate._http.feeds import Feed, Sink
    from aiotokengate.clock import Clock

__all__ = ["ScriptedBody", "Step"]

Step: TypeAlias = bytes | Pause | Exception


class ScriptedBody:
    """The body of an answer, read step by step.

    Bytes are what one read gives.  A :class:`~aiotokengate.testing.Pause` is silence on the given
    clock, ``Pause(math.inf)`` for ever.  An exception is raised by every read from then on; bytes
    after it are those that had arrived before the connection broke, but were not read yet.

    Example::

        body = ScriptedBody([b'data: {"choi', b'ces":[', ConnectionResetError("gone")])

    Attributes:
        headers: of the answer.
        request_id: of the answer.
        state: ``open``, or ``closed`` or ``released`` by the reader.
        reads: how many reads were begun.
    """

    def __init__(
        self,
        steps: Iterable[Step],
        *,
        clock: Clock | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        request_id: str | None = None,
    ) -> None:
        """Begin before the first step; ``clock`` is for pauses, real time by default."""
        self.headers = headers
        self.request_id = request_id
        self.state: Literal["open", "closed", "released"] = "open"
        self.reads: int = 0
        self._steps = deque(steps)
        self._clock: Clock = clock or RealClock()
        self._closing: asyncio.Future[None] | None = None
        self._resumes: float | None = None
        self._feed: TaskFeed | None = None

    @property
    def read(self) -> Callable[[], Awaitable[bytes]]:
        """Await the next bytes, b"" at the end; being cancelled loses nothing."""
        return self._next

    def feed(self, sink: Sink) -> Feed:
        """Feed a sink with it, a step at each turn of the loop."""
        self._feed = TaskFeed(self._one, self.salvage)
        self._feed.start(sink)
        return self._feed

    async def _one(self) -> bytes:
        data = await self._next()
        await asyncio.sleep(0)
        return data

    def at_end(self) -> bool:
        """Return whether every step was taken."""
        return not self._steps

    def salvage(self) -> bytes:
        """Return the bytes after the error that ``read`` raised."""
        return b"".join(step for step in self._steps if isinstance(step, bytes))

    def explain(self, error: Exception) -> TokenGateError:
        """Return the error as the library's own, as the transport does with aiohttp's.

        Raises:
            Exception: it is no failure of a network, and raised again.
        """
        if isinstance(error, TokenGateError):
            return error
        if not isinstance(error, OSError):
            raise error
        explained = TransportError(f"the connection broke: {error}")
        explained.__cause__ = error
        return explained

    def close(self) -> None:
        """Drop the connection: a pending read raises, and every later one."""
        self.state = "closed"
        if self._feed is not None:
            self._feed.stop()
        if self._closing is not None and not self._closing.done():
            self._closing.set_result(None)

    def release(self) -> None:
        """Take note that the reader is content with what came."""
        self.state = "released"
        if self._feed is not None:
            self._feed.stop()

    async def _next(self) -> bytes:
        self.reads += 1
        while self.state != "closed" and self._steps:
            step = self._steps[0]
            if isinstance(step, Pause):
                await self._pause(step.seconds)
                continue
            if isinstance(step, Exception):
                raise step
            return self._steps.popleft()  # type: ignore[return-value]  # bytes are what is left
        if self.state == "closed":
            message = "the body was closed"
            raise ConnectionResetError(message)
        return b""

    async def _pause(self, seconds: float) -> None:
        """Be silent up to a moment that stands, however often the reader is cancelled."""
        if self._resumes is None:
            self._resumes = self._clock.now() + seconds
        self._closing = asyncio.get_running_loop().create_future()
        timer = self._clock.call_later(self._resumes - self._clock.now(), self._resume)
        try:
            await self._closing
        finally:
            timer.cancel()

    def _resume(self) -> None:
        """End the pause, if its reader is still there."""
        if self._closing is not None and not self._closing.done():
            self._closing.set_result(None)
            self._steps.popleft()
            self._resumes = None
