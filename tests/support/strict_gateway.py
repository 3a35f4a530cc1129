"""A gateway that counts and refuses by the letter, asked by workers in other processes.

One line a call: ``admit NAME TOKENS`` is answered by ``NAME yes`` or ``NAME no``; ``finish NAME``
ends it.  Worker and number stand in the name, as in ``2:17``.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Self

import attrs

from aiotokengate.testing._enforcer import Enforcer, Permit
from aiotokengate.testing._limits import RateLimit


@attrs.define(eq=False)
class StrictGateway:
    """Lets calls in by an :class:`Enforcer`, and notes when.

    Attributes:
        times: when calls were let in, seconds.
        calls: how many calls of each worker were let in.
        connected: how many workers have come.
    """

    limit: RateLimit
    port: int = 0
    times: list[float] = attrs.field(factory=list)
    calls: dict[str, int] = attrs.field(factory=dict)
    connected: int = 0
    enforcer: Enforcer = attrs.field(init=False)
    _open: dict[str, Permit] = attrs.field(factory=dict)
    _server: asyncio.Server | None = None
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event)

    def __attrs_post_init__(self) -> None:
        self.enforcer = Enforcer(self.limit)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *problem: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so; it is looked at whenever a worker comes or calls."""
        while not is_so():
            self._changed.clear()
            await self._changed.wait()

    def admit(self, name: str, tokens: int) -> bool:
        """Let a call in, or don't."""
        now = time.monotonic()
        verdict = self.enforcer.admit(now, key="a", model="m", prompt_tokens=tokens, max_tokens=0)
        if verdict.ticket is not None:
            self._open[name] = verdict.ticket
            worker = name.partition(":")[0]
            self.calls[worker] = self.calls.get(worker, 0) + 1
            self.times.append(now)
        return verdict.admitted

    def finish(self, name: str) -> None:
        """End a call."""
        self.enforcer.finish(time.monotonic(), self._open.pop(name))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine: set[str] = set()
        self.connected += 1
        self._changed.set()
        # A worker that was killed hangs up, or resets: its calls end with it.
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                what, name, *tokens = line.decode().split()
                if what == "admit":
                    admitted = self.admit(name, int(tokens[0]))
                    writer.write(f"{name} {'yes' if admitted else 'no'}\n".encode())
                    mine |= {name} if admitted else set()
                else:
                    self.finish(name)
                    mine.remove(name)
                self._changed.set()
        for name in mine:
            self.finish(name)
        writer.close()
        self._changed.set()
