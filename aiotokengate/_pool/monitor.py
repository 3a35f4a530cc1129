"""Lets another process look at a pool: a Unix socket that answers each line with one of JSON.

The protocol: whoever connects sends an empty line whenever it wants to know, and gets one line of
JSON, ``{"version": 1, "lanes": [...]}``, a lane being the fields of
:class:`~aiotokengate._policy.statistics.LaneStatistics`.  Nothing is done while nobody asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import attrs
import orjson

from aiotokengate._policy.statistics import LaneStatistics
from aiotokengate.errors import CallerError, ConnectFailed, WireError

__all__ = ["Monitor", "read"]

VERSION: Final = 1
SECONDS: Final = 5.0
"""For an answer, before the other process counts as stuck."""


class Monitor:
    """Serves what a pool is doing, in the loop that the pool serves.

    Args:
        path: of the socket, which is made for its owner alone.
        lanes: gives what is to be told.

    Raises:
        CallerError: there are no Unix sockets here.
    """

    def __init__(
        self, path: str | os.PathLike[str], lanes: Callable[[], Sequence[LaneStatistics]]
    ) -> None:
        if not hasattr(socket, "AF_UNIX"):
            message = "expected no monitor: this system has no Unix sockets"
            raise CallerError(message)
        self._path = os.fspath(path)
        self._lanes = lanes
        self._ours: tuple[int, int] | None = None
        self._task: asyncio.Task[None] | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    def open(self) -> None:
        """Listen in the running loop.

        Raises:
            CallerError: something is in the way there, or no socket can be made.
        """
        listening = _bound(self._path)
        self._ours = _identity(self._path)
        self._task = asyncio.get_running_loop().create_task(self._serve(listening))
        # No "finally" of the task: it does not run where it is cancelled before it began.
        self._task.add_done_callback(partial(self._clear, listening))

    def close(self) -> None:
        """Stop listening, and take the socket away."""
        if self._task is not None and not self._task.get_loop().is_closed():
            self._task.cancel()
        self._task = None

    async def _serve(self, listening: socket.socket) -> None:
        server = await asyncio.start_unix_server(self._answer, sock=listening)
        async with server:
            await server.serve_forever()

    def _clear(self, listening: socket.socket, _ended: asyncio.Task[None]) -> None:
        for writer in self._writers:
            writer.close()
        listening.close()
        with contextlib.suppress(OSError):
            if _identity(self._path) == self._ours:  # and nothing that came after it
                os.unlink(self._path)  # noqa: PTH108 - a path as it was given

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await reader.readline():
                lanes = [attrs.asdict(lane) for lane in self._lanes()]
                writer.write(orjson.dumps({"version": VERSION, "lanes": lanes}) + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            return  # it has left, or sends what is no line
        finally:
            self._writers.discard(writer)
            writer.close()


def _bound(path: str) -> socket.socket:
    """Make the socket; one that a dead process has left behind is taken over, and nothing else."""
    if in_the_way := _in_the_way(path):
        message = f"expected a monitor path that is free, {in_the_way} {path}"
        raise CallerError(message)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - a path as it was given
        before = os.umask(0o177)
        try:
            made.bind(path)
        finally:
            os.umask(before)
        made.listen()
    except OSError as error:
        made.close()
        message = f"expected a path where a Unix socket can be made, got {path}: {error}"
        raise CallerError(message) from None
    return made


def _in_the_way(path: str) -> str:
    """Say what stands at a path and is not to be replaced; "" where nothing does."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:  # there is nothing; or making the socket says what is wrong
        return ""
    if stat.S_ISSOCK(mode):
        return "" if _is_dead(path) else "another process listens on"
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something that is no socket")
    return f"{kind} is at"


_KINDS: Final = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a pipe"),
)


def _is_dead(path: str) -> bool:
    """Say whether nobody listens on a socket; who can't be asked is not taken for dead."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)  # a full queue of others would hold us
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        except OSError:
            return False
    return False


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


async def read(path: str | os.PathLike[str]) -> tuple[LaneStatistics, ...]:
    """Ask the pool that listens on a path what it is doing.

    Raises:
        ConnectFailed: nobody listens there, or it does not answer.
        WireError: who answers is no pool, or one of another version.
    """
    place = os.fspath(path)
    try:
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_unix_connection(place)
            try:
                writer.write(b"\n")
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError) as error:
        said = str(error) or type(error).__name__
        message = f"no pool answers at {place}: {said}"
        raise ConnectFailed(message, hint=_HINT) from None
    return _lanes_of(line)


_HINT: Final = (
    "hint: is the program running that has Pool(monitor=...) with this path?\n"
    "提示：请确认使用 Pool(monitor=...) 且路径相同的程序正在运行"
)


def _lanes_of(line: bytes) -> tuple[LaneStatistics, ...]:
    try:
        told: Mapping[str, Any] = orjson.loads(line)
        if told["version"] == VERSION:
            return tuple(LaneStatistics(**lane) for lane in told["lanes"])
    except (ValueError, TypeError, KeyError):
        message = f"expected a pool's statistics, got {len(line)} bytes that are none"
        raise WireError(message) from None
    message = f"expected statistics of version {VERSION}, got {told['version']!r}"
    raise WireError(message)
