"""Decodes the bytes of a file without any network, in two ways: what ``instructions.py`` counts.

    python benchmarks/decoding.py bare|ours FILE

Both read the same pieces from the same kind of body, which never lets anybody wait.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from aiotokengate._http.feeds import Sink
    from aiotokengate._stream.call import ChatStream
    from aiotokengate.errors import TransportError

PIECE = 64 * 1024
"""Bytes of a read."""


class Pieces:
    """A body (:class:`aiotokengate._stream.receiver.Body`) that has all come."""

    request_id = None

    def __init__(self, data: bytes) -> None:
        self.headers: Mapping[str, str] = {}
        self._data = data
        self._at = 0

    @property
    def read(self) -> Callable[[], Awaitable[bytes]]:
        """The next piece, b"" at the end."""
        return self._read

    async def _read(self) -> bytes:
        begin = self._at
        self._at = begin + PIECE
        return self._data[begin : self._at]

    def feed(self, sink: Sink) -> Pieces:
        """Feed a sink, a piece at each turn of the loop."""
        self._sink: Sink | None = sink
        asyncio.get_running_loop().call_soon(self._step)
        return self

    def _step(self) -> None:
        begin = self._at
        self._at = begin + PIECE
        if self._sink is None:
            return
        if begin < len(self._data):
            self._sink.data(self._data[begin : self._at])
            asyncio.get_running_loop().call_soon(self._step)
        else:
            self._sink.end()

    def pause(self) -> None:
        """Do nothing: its reader waits at each turn."""

    def resume(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Forget the sink."""
        self._sink = None

    def explain(self, error: Exception) -> TransportError:
        """Translate an error: there is none."""
        raise error

    def close(self) -> None:
        """Forget the sink."""
        self._sink = None

    release = close


async def bare(data: bytes) -> int:
    """Split and parse, as anybody would; count the chunks."""
    read = Pieces(data).read
    count, tail = 0, b""
    while piece := await read():
        *events, tail = (tail + piece).split(b"\n\n")
        for event in events:
            text = event[6:]
            if text != b"[DONE]":
                orjson.loads(text)
                count += 1
    return count


async def ours(data: bytes) -> int:
    """Iterate over the deltas of a stream; count them."""
    count = 0
    async for _ in _stream(data):
        count += 1
    return count


def _stream(data: bytes) -> ChatStream:
    # Imported here, because valgrind takes its time over it, and the bare loop needs none of it.
    from aiotokengate._policy.timeouts import Timeout
    from aiotokengate._stream.call import ChatStream
    from aiotokengate._stream.receiver import Guard, Receiver, ReceiverSettings
    from aiotokengate._wire.chat_completions import ChatCompletionsDecoder
    from aiotokengate._wire.dialects import DIALECTS
    from aiotokengate._wire.transcript import Transcript
    from aiotokengate.clock import RealClock
    from aiotokengate.types import Timeline

    clock, dialect = RealClock(), DIALECTS["qwen"]
    receiver = Receiver(
        Pieces(data),
        ChatCompletionsDecoder(dialect, Transcript()),
        dialect,
        ReceiverSettings(clock, Timeout(), clock.now(), None, 1 << 30, int),
        Timeline(),
    )
    return ChatStream(receiver, Guard(receiver))


if __name__ == "__main__":
    _, way, name = sys.argv
    print(asyncio.run({"bare": bare, "ours": ours}[way](Path(name).read_bytes())))
