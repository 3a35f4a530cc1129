"""A real Redis for the tests of a file, one of a test's own, and pools that share it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

import pytest

from aiotokengate._policy.limits import Limits
from aiotokengate._pool.pool import Pool
from aiotokengate.redis import RedisBackend
from tests.support.redis_pools import Open
from tests.support.redis_server import RedisServer

PREFIXES = count()


@pytest.fixture(scope="module")
def shared() -> Iterator[RedisServer]:
    """Yield a server that nobody stops."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """Return a prefix that no other test has."""
    return f"test{next(PREFIXES)}"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """Yield a server that the test may stop."""
    with RedisServer() as server:
        yield server


@pytest.fixture
async def open_pool(shared: RedisServer, prefix: str) -> AsyncIterator[Open]:
    """Make pools that share a Redis, as processes would; each has connections of its own."""
    async with AsyncExitStack() as stack:

        def make(limits: Limits, server: Any = None, **settings: Any) -> Pool:
            backend = RedisBackend(server or shared.url, prefix=prefix, **settings)
            stack.push_async_callback(backend.aclose)
            return Pool(limits, backend=backend)

        yield make
