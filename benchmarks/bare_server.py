"""A server of bare bytes: whole answers, made once, written as they are.

It costs the machine as little as possible, so that the client beside it is what is measured. The
first part of the path names the answer; what follows is whatever the client adds to its base
address:

    bulk.SHAPE.TEXTS     a streamed reply of so many texts, as fast as the client reads
    plain.SHAPE          a reply of one token that is not streamed
    hold.SHAPE.TEXTS     a streamed reply that stays open after so many texts
    paced.SHAPE.GROUP    a streamed reply whose texts come when they are asked for:
    go.GROUP.TEXTS.RATE  write so many texts to each open reply of the group, one reply after the
                         other, so many a second in all, each one a write; the text is the time of
                         the write, nanoseconds of the machine's monotonic clock
    until.GROUP.TEXTS.RATE  the same, and answer when all is written
    end.GROUP            end them all

It keeps to the core that its argument says, prints its port, and ends when its standard input
does: nobody can leave it behind.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain, repeat

from processes import pin
from replies import BLOCK, Writer

__all__ = ["WARM_TEXTS"]

WARM_TEXTS = 3
"""How many texts a paced reply gives at once, so that nobody measures a beginning."""
TICK = 0.001
HEAD_START = 0.05
"""Seconds from ``go`` to the first write: by then the client has begun to count."""

_BACKLOG = 4096
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n"
    b"X-Oneapi-Request-Id: 202611230116000001\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_PLAIN_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
    b"X-Oneapi-Request-Id: 202611230116000001\r\nContent-Length: %d\r\n\r\n"
)
_NOTED = b"HTTP/1.1 204 No Content\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"

# --- the answers --------------------------------------------------------------------------------


def _chunked(events: Sequence[bytes]) -> bytes:
    """Return each event as one chunk of HTTP, as gateways flush."""
    return b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events if event)


@cache
def _bulk(shape: str, texts: int) -> list[bytes]:
    """Return a whole streamed answer as writes: one, or for a long one a block at a time."""
    if texts > BLOCK:
        return _long(shape, texts)
    return [_STREAM_HEAD + _chunked(list(Writer(shape).events(texts))) + _LAST_CHUNK]


def _long(shape: str, texts: int) -> list[bytes]:
    """Return an answer of the same block again and again, at last so many texts."""
    writer = Writer(shape)
    blocks, rest = divmod(texts, BLOCK)
    begin = _STREAM_HEAD + _chunked(writer.opening())
    block = _chunked(writer.block())
    end = _chunked([*Writer(shape).events(rest or BLOCK)][1:])
    return [begin, *repeat(block, blocks - (not rest)), end + _LAST_CHUNK]


@cache
def _held(shape: str, texts: int) -> list[bytes]:
    """Return a streamed answer as far as its last text."""
    writer = Writer(shape)
    events = list(writer.events(texts))
    return [_STREAM_HEAD + _chunked(events[: -len(writer.ending(texts))])]


@cache
def _plain(shape: str) -> list[bytes]:
    body = Writer(shape).plain()
    return [_PLAIN_HEAD % len(body) + body]


@cache
def _around(shape: str) -> tuple[bytes, bytes]:
    """Return what stands around the nineteen digits of a paced text, HTTP's chunk included."""
    head, tail = Writer(shape).around()
    return b"%x\r\n%b" % (len(head) + 19 + len(tail), head), tail + b"\r\n"


def _timed(shape: str) -> bytes:
    head, tail = _around(shape)
    return b"%b%019d%b" % (head, time.monotonic_ns(), tail)


def _paced(shape: str) -> list[bytes]:
    """Return the beginning of a paced answer."""
    begin = _STREAM_HEAD + _chunked(Writer(shape).opening())
    return [begin, *(_timed(shape) for _ in range(WARM_TEXTS))]


def _ending(shape: str) -> bytes:
    return _chunked(Writer(shape).ending(1)) + _LAST_CHUNK


# --- paced replies ------------------------------------------------------------------------------


class Group:
    """Replies that are open together."""

    def __init__(self) -> None:
        self.replies: list[tuple[Connection, str]] = []
        self.waiting: Connection | None = None

    def go(self, texts: int, rate: int) -> None:
        """Begin to write."""
        self._left = chain.from_iterable(repeat(tuple(self.replies), texts))
        self._written = 0
        self._total = texts * len(self.replies)
        self._rate = rate
        loop = asyncio.get_running_loop()
        self._began = loop.time() + HEAD_START
        loop.call_later(HEAD_START, self._tick)

    def _tick(self) -> None:
        """Write what is due; the schedule stands, however late a tick is."""
        loop = asyncio.get_running_loop()
        due = min(int((loop.time() - self._began) * self._rate) + 1, self._total)
        for _ in range(due - self._written):
            connection, shape = next(self._left)
            connection.write(_timed(shape))
        self._written = due
        if due < self._total:
            loop.call_later(TICK, self._tick)
        elif self.waiting is not None:
            self.waiting.write(_NOTED)
            self.waiting = None

    def end(self) -> None:
        """End every reply."""
        for connection, shape in self.replies:
            connection.write(_ending(shape))
        self.replies.clear()


# --- the server ---------------------------------------------------------------------------------


class Connection(asyncio.Protocol):
    """One connection; it reads no more of a request than where it goes and where it ends."""

    def __init__(self, groups: dict[str, Group]) -> None:
        self._groups = groups
        self._received = b""
        self._writes: Iterator[bytes] = iter(())
        self._paused = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self._received += data
        while (path := self._request()) is not None:
            kind, *about = path.split("/")[1].split(".")
            self._writes = iter(getattr(self, f"_{kind}")(*about))
            self.resume_writing()

    def pause_writing(self) -> None:
        """Wait for a client that reads more slowly than we write."""
        self._paused = True

    def resume_writing(self) -> None:
        """Write on, until the client has enough or the answer ends."""
        self._paused = False
        while not self._paused and (part := next(self._writes, None)) is not None:
            self.write(part)

    def write(self, part: bytes) -> None:
        """Write at once."""
        assert self._transport is not None
        self._transport.write(part)

    def _request(self) -> str | None:
        """Take one whole request out of what was received, and return its path."""
        head, end, rest = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if not end or len(rest) < size:
            return None
        self._received = rest[size:]
        return head.split(b" ", 2)[1].decode()

    def _bulk(self, shape: str, texts: str) -> list[bytes]:
        return _bulk(shape, int(texts))

    def _hold(self, shape: str, texts: str) -> list[bytes]:
        return _held(shape, int(texts))

    def _plain(self, shape: str) -> list[bytes]:
        return _plain(shape)

    def _paced(self, shape: str, group: str) -> list[bytes]:
        self._groups.setdefault(group, Group()).replies.append((self, shape))
        return _paced(shape)

    def _go(self, group: str, texts: str, rate: str) -> list[bytes]:
        self._groups[group].go(int(texts), int(rate))
        return [_NOTED]

    def _until(self, group: str, texts: str, rate: str) -> list[bytes]:
        self._groups[group].go(int(texts), int(rate))
        self._groups[group].waiting = self
        return []

    def _end(self, group: str) -> list[bytes]:
        self._groups[group].end()
        return [_NOTED]


async def _main() -> None:
    loop = asyncio.get_running_loop()
    groups: dict[str, Group] = {}
    server = await loop.create_server(lambda: Connection(groups), "127.0.0.1", 0, backlog=_BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    pin(int(sys.argv[1]))
    asyncio.run(_main())
