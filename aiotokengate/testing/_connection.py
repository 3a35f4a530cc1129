"""One TCP connection of the fake gateway, seen from below aiohttp.

aiohttp's server knows requests; a test wants to know connections: how many are open, which one
carried a request, when it was lost, and to break it at will.  So a :class:`Connection` stands
between the transport and aiohttp's protocol and passes everything on.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import attrs

if TYPE_CHECKING:
    from aiohttp.web import RequestHandler

__all__ = ["Connection"]

_LINGER_NOT_AT_ALL = struct.pack("ii", 1, 0)


@attrs.define(eq=False)
class Connection(asyncio.Protocol):
    """A connection: its number, whether it is there, and how to end it.

    Attributes:
        number: counted from 1 for each gateway; equal numbers mean a reused connection.
        handler: aiohttp's side of it.
        on_made: called once when it is there.
        on_lost: called once when the connection is gone, whoever ended it.
    """

    number: int
    handler: RequestHandler
    on_made: Callable[[Connection], object]
    on_lost: Callable[[Connection], object]
    _transport: asyncio.Transport | None = attrs.field(default=None, init=False)
    _writable: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with room to write."""
        self._writable.set()

    # --- what asyncio calls ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over a new connection."""
        self._transport = cast("asyncio.Transport", transport)
        # With no room in the buffer, "written" means handed to the network.
        self._transport.set_write_buffer_limits(high=0)
        self.on_made(self)
        self.handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        self.handler.data_received(data)

    def eof_received(self) -> None:
        """Pass the client's end of writing on; asyncio then closes the connection."""
        self.handler.eof_received()

    def pause_writing(self) -> None:
        """Note that the network takes no more for now."""
        self._writable.clear()
        self.handler.pause_writing()

    def resume_writing(self) -> None:
        """Note that everything was taken."""
        self._writable.set()
        self.handler.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        self._transport = None
        self._writable.set()
        self.on_lost(self)
        self.handler.connection_lost(exc)

    # --- what the gateway calls -----------------------------------------------------------------

    async def write(self, data: bytes) -> None:
        """Write bytes past aiohttp, and wait until the network took them."""
        if self._transport is not None:
            self._transport.write(data)
            await self.written()

    async def written(self) -> None:
        """Wait until the network took all that was written."""
        await self._writable.wait()

    def close(self) -> None:
        """Close the connection in order."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        if self._transport is None:
            return
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT_AT_ALL)
        self._transport.abort()

    def abort(self) -> None:
        """Drop the connection without waiting for anything."""
        if self._transport is not None:
            self._transport.abort()
