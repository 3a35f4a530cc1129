"""A plugin of ``make test-fast``: the tests that need no server and no process.

With ``-p tests.support.fast`` those that ask for a server's fixture, those marked as ``outside``
and those marked as ``unmeasured`` are left out.  What is left is watched: a test that binds or
connects a socket, or starts a process, fails.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ELSEWHERE = {"cli", "redis", "vercel", "whole"}
"""Directories of nothing but processes and servers."""

SERVERS = {"client", "fake_gateway", "gate", "gateway"}
MARKS = ("outside", "unmeasured")
WATCHED = ("os.exec", "os.fork", "os.posix_spawn", "os.system", "pty.spawn", "subprocess.Popen")
CONNECTING = ("socket.bind", "socket.connect", "socket.sendto")

_seen: list[str] = []


def pytest_configure() -> None:
    """Watch what leaves the process; a hook of this kind can't be taken away again."""
    sys.addaudithook(_watch)


def _watch(event: str, _: Sequence[object]) -> None:
    if event.startswith(WATCHED) or event in CONNECTING:
        _seen.append(event)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Don't even import what is elsewhere."""
    return True if collection_path.is_dir() and collection_path.name in ELSEWHERE else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the fast ones."""
    slow = [item for item in items if _is_slow(item)]
    config.hook.pytest_deselected(items=slow)
    kept = {*items} - {*slow}
    items[:] = [item for item in items if item in kept]


def _is_slow(item: pytest.Item) -> bool:
    marked = any(item.get_closest_marker(name) for name in MARKS)
    return marked or not SERVERS.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that leaves the process."""
    _seen.clear()
    yield
    if _seen:
        pytest.fail(f"{item.nodeid} is to be marked as outside: {', '.join({*_seen})}")
