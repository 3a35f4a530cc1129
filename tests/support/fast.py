"""A plugin of ``make test-fast``: the tests that need no server and no process.

With ``-p tests.support.fast`` a test is left out when it, a fixture of it or a helper that they
call names what starts a server or a process, or when it is marked: as ``outside``, because it does
so in a way that can't be seen, or as ``unmeasured``, which is bulk.
What is left is watched: a test that binds or connects a socket, or starts a process, fails.
"""

import inspect
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType

import pytest

ELSEWHERE = {"cli", "http", "redis", "testing", "vercel", "whole"}
"""Directories of little but processes and servers."""

STARTERS = {
    *("FakeGateway", "RedisServer", "serving", "start_server", "create_server", "TestServer"),
    *("subprocess", "create_subprocess_exec", "open_connection", "fork", "pty"),
}
FIXTURES = {"fake_gateway"}
MARKS = ("outside", "unmeasured")
PROCESSES = ("os.exec", "os.fork", "os.posix_spawn", "os.system", "pty.spawn", "subprocess.Popen")
SOCKETS = ("socket.bind", "socket.connect", "socket.sendto")

_seen: list[str] = []


def pytest_configure() -> None:
    """Watch what leaves the process; a hook of this kind can't be taken away again."""
    sys.addaudithook(_watch)


def _watch(event: str, _: Sequence[object]) -> None:
    if event in SOCKETS or event.startswith(PROCESSES):
        _seen.append(event)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Don't even import what is elsewhere."""
    return True if collection_path.is_dir() and collection_path.name in ELSEWHERE else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the fast ones."""
    slow = {item for item in items if isinstance(item, pytest.Function) and _is_slow(item)}
    config.hook.pytest_deselected(items=[item for item in items if item in slow])
    items[:] = [item for item in items if item not in slow]


def _is_slow(item: pytest.Function) -> bool:
    if any(item.get_closest_marker(name) for name in MARKS):
        return True
    if not FIXTURES.isdisjoint(item.fixturenames):
        return True
    known = item._fixtureinfo.name2fixturedefs.values()
    uses = [item.function, *(each.func for found in known for each in found)]
    seen: set[object] = set()
    return any(_starts(use, seen) for use in uses)


def _starts(use: object, seen: set[object]) -> bool:
    """Whether a function or a class of the tests names a starter, or something that does."""
    if use in seen:
        return False
    seen.add(use)
    if isinstance(use, type):
        return any(_starts(each, seen) for each in vars(use).values() if inspect.isfunction(each))
    use = inspect.unwrap(use) if callable(use) else use
    if not isinstance(use, FunctionType):
        return False
    names = set(_names(use.__code__))
    if not STARTERS.isdisjoint(names):
        return True
    found = [use.__globals__.get(name) for name in names]
    return any(_starts(each, seen) for each in found if _is_of_tests(each))


def _names(code: CodeType) -> Iterator[str]:
    """Yield what a function names, and the functions inside it."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def _is_of_tests(value: object) -> bool:
    made = inspect.isfunction(value) or isinstance(value, type)
    return made and str(getattr(value, "__module__", "")).startswith(
        ("tests", "test_", "conftest")
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that leaves the process."""
    _seen.clear()
    yield
    if _seen:
        pytest.fail(f"{item.nodeid} is to be marked as outside: {', '.join({*_seen})}")
