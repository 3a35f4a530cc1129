"""The command line run in this process: between pipes, or on a terminal."""

import os
import pty
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO, TextIOWrapper
from threading import Thread
from typing import IO, NamedTuple

import pytest

from aiotokengate.__main__ import main
from aiotokengate.testing import FakeGateway

__all__ = ["Done", "Shown", "environment", "run", "seen_in", "shown"]


class Done(NamedTuple):
    """What a command between pipes came to."""

    returncode: int
    stdout: str
    stderr: str


class Shown(NamedTuple):
    """What a command showed on a terminal; ``seen`` is it without escape sequences."""

    returncode: int
    seen: str
    written: bytes


def environment(gateway: FakeGateway | None) -> dict[str, str]:
    """Return the environment of a command that asks this gateway."""
    own = {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", "PYTHONIOENCODING": "utf-8"}
    if gateway is not None:
        own |= {"TOKENGATE_API_KEY": gateway.api_key, "TOKENGATE_BASE_URL": gateway.base_url}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TOKENGATE", "COLUMNS"))}
    return kept | own


def run(
    gateway: FakeGateway | None,
    *arguments: str,
    stdin: str | bytes = "",
    encoding: str = "utf-8",
) -> Done:
    """Run a command whose input and output are pipes."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    streams = [TextIOWrapper(BytesIO(each), encoding) for each in (given, b"", b"")]
    with _streams(gateway, streams):
        status = _status(arguments)
        told = []
        for stream in streams[1:]:
            stream.flush()
            assert isinstance(stream.buffer, BytesIO)
            told.append(stream.buffer.getvalue().decode(encoding))
    return Done(status, *told)


def shown(gateway: FakeGateway | None, *arguments: str, typed: str = "") -> Shown:
    """Run a command on a terminal of 80 columns, on which all was typed before it began."""
    master, slave = pty.openpty()
    os.write(master, typed.encode())
    written: list[bytes] = []

    def watch() -> None:
        try:
            while data := os.read(master, 65536):
                written.append(data)
        except OSError:  # how Linux says that nobody has the other side open
            return

    watching = Thread(target=watch)
    watching.start()
    with ExitStack() as opened:
        streams = [
            opened.enter_context(open(os.dup(slave), mode, encoding="utf-8"))  # noqa: PTH123 - a number
            for mode in ("r", "w", "w")
        ]
        os.close(slave)
        with _streams(gateway, streams):
            status = _status(arguments)
    watching.join()
    os.close(master)
    whole = b"".join(written)
    return Shown(status, seen_in(whole), whole)


def seen_in(written: bytes) -> str:
    """Return what stands on a terminal, more or less: without the escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode("utf-8", "ignore"))


def _status(arguments: tuple[str, ...]) -> int:
    try:
        return main(arguments)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1


@contextmanager
def _streams(gateway: FakeGateway | None, streams: Sequence[IO[str]]) -> Iterator[None]:
    """Have the standard streams replaced, and the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", environment(gateway))
        for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
            patch.setattr(sys, name, stream)
        yield
