"""The processes of a run: the server, and the clients, each told over its standard input.

Standard library only: clients run in environments of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

__all__ = ["ENVIRONMENT", "FAR", "NEAR", "Worker", "pin", "raise_file_limit", "server"]

NEAR, FAR = 0, -1
"""The core of the clients, and another one, if there is another."""

_HERE = Path(__file__).parent
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it would ask the internet for prices
    "LANGSMITH_TRACING": "false",
    "NO_PROXY": "127.0.0.1",
}


def pin(place: int) -> None:
    """Keep to one CPU of those allowed, so that no figure depends on moving between them."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[place]})


def raise_file_limit() -> int:
    """Ask for as many open files as are allowed; return their number."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@contextmanager
def server(place: int) -> Iterator[str]:
    """Start a server of bare bytes on a core, and return its address."""
    command = [sys.executable, str(_HERE / "bare_server.py"), str(place)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


class Worker:
    """A client process."""

    def __init__(self, python: str, client: str, address: str) -> None:
        """Start it; ``python`` is the interpreter whose packages it uses."""
        self._client = client
        self._process = subprocess.Popen(
            [python, str(_HERE / "worker.py"), client, address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **ENVIRONMENT},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def ask(self, job: str, **arguments: object) -> Any:
        """Have a job done, and return its result.

        Raises:
            RuntimeError: it failed; what the process printed says why.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps({"job": job, **arguments}) + "\n"
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            message = f"{self._client} failed at {job} {arguments}: nothing was measured"
            raise RuntimeError(message)
        return json.loads(answer)
