"""Writing a reply: the bytes of its steps, and the silence between them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import attrs
import orjson
from aiohttp import web

from aiotokengate.testing._connection import Connection
from aiotokengate.testing._render import Beat, Step
from aiotokengate.testing._request import GatewayRequest
from aiotokengate.testing._script import KeepAlive, Pace, Pause
from aiotokengate.testing._signals import Gate
from aiotokengate.types import Json

__all__ = [
    "JSON",
    "REQUEST_ID",
    "BareOutput",
    "Handler",
    "Output",
    "Player",
    "Sleep",
    "answer_json",
    "sign",
]

Sleep: TypeAlias = Callable[[float], Awaitable[object]]
Handler: TypeAlias = Callable[[web.Request, GatewayRequest], Awaitable[web.StreamResponse]]

JSON: Mapping[str, str] = {"Content-Type": "application/json; charset=utf-8"}

REQUEST_ID = "X-Oneapi-Request-Id"
_VERSION = "v0.9.0-fake"


def answer_json(value: Json, status: int = 200) -> web.Response:
    """Return a whole answer."""
    return web.Response(status=status, body=orjson.dumps(value), headers=JSON)


def sign(response: web.StreamResponse, record: GatewayRequest) -> None:
    """Add the headers by which the gateway is known, unless the head is sent already."""
    if not response.prepared:
        response.headers.setdefault(REQUEST_ID, record.request_id)
        response.headers.setdefault("X-New-Api-Version", _VERSION)


@attrs.define(eq=False)
class Output:
    """The body of a response on its way out, one piece behind.

    The last piece leaves together with the end of the body: a client that closes when it sees
    ``[DONE]`` must not look like one that left before the end.  What is sent goes into ``copy``,
    too, if there is one.
    """

    _request: web.Request
    response: web.StreamResponse
    _record: GatewayRequest
    _copy: list[bytes] | None = None
    _held: bytes = attrs.field(default=b"", init=False)

    async def begin(self) -> None:
        """Send the head, if it isn't sent."""
        if not self.response.prepared:
            sign(self.response, self._record)
            await self.response.prepare(self._request)

    async def write(self, data: bytes) -> None:
        """Take a piece, and let the one before go."""
        await self.flush()
        self._held = data
        # In one event loop with its client, the gateway must let the client have its turn.
        await asyncio.sleep(0)

    async def flush(self) -> None:
        """Let go what is held."""
        held, self._held = self._held, b""
        if held:
            self._note(held)
            await self.begin()
            await self.response.write(held)

    async def end(self, *, whole: bool = False) -> None:
        """Let go what is held, with the end of the body; ``whole`` if nothing else was sent."""
        if whole and not self.response.prepared:
            self.response.content_length = len(self._held)
        self._note(self._held)
        await self.begin()
        await self.response.write_eof(self._held)
        self._record.finished.set()

    def _note(self, data: bytes) -> None:
        if self._copy is not None:
            self._copy.append(data)


@attrs.define(eq=False)
class BareOutput(Output):
    """Bytes without HTTP around them."""

    _connection: Connection = attrs.field(kw_only=True)

    async def begin(self) -> None:
        """Send no head."""

    async def flush(self) -> None:
        """Write past aiohttp."""
        held, self._held = self._held, b""
        await self._connection.write(held)


@attrs.frozen
class Player:
    """Plays steps to an output, in its own time.

    Attributes:
        pace: how long a token takes.
        keep_alive: what is sent during silence.
        sleep: how to wait.
    """

    pace: Pace
    keep_alive: KeepAlive | None
    sleep: Sleep

    async def play(self, output: Output, steps: Iterable[Step], silence: bytes = b"") -> None:
        """Write the bytes, and wait where the steps say so, sending ``silence`` meanwhile."""
        waits = self.pace.waits()
        for step in steps:
            if isinstance(step, bytes):
                await output.write(step)
            elif waiting := self._waiting(step, waits):
                await output.flush()
                await self._wait(output, waiting, silence)

    def _waiting(
        self, step: Pause | Gate | Beat, waits: Iterator[float]
    ) -> Coroutine[Any, Any, object] | None:
        if isinstance(step, Gate):
            return step.passed()
        seconds = step.seconds if isinstance(step, Pause) else next(waits)
        return self._sleep(seconds) if seconds > 0 else None

    async def _sleep(self, seconds: float) -> None:
        await self.sleep(seconds)

    async def _wait(
        self, output: Output, waiting: Coroutine[Any, Any, object], silence: bytes
    ) -> None:
        """Wait for something, with keep-alives while it takes its time."""
        if self.keep_alive is None or not silence:
            await waiting
            return
        task = asyncio.create_task(waiting)
        try:
            while not await self._soon(task, self.keep_alive.every):
                await output.write(silence)
                await output.flush()
            await task
        finally:
            task.cancel()

    async def _soon(self, task: asyncio.Task[object], seconds: float) -> bool:
        """Wait for the task, at most so long; whether it is done."""
        tick: asyncio.Task[object] = asyncio.create_task(self._sleep(seconds))
        try:
            await asyncio.wait({task, tick}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tick.cancel()
        return task.done()
