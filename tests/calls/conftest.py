"""What the tests of calls share: virtual time, and a session with a server of plain bytes."""

from collections.abc import AsyncIterator

import pytest

from aiotokengate import TokenGate
from aiotokengate.hooks import HookEvent
from aiotokengate.testing import VirtualClock
from tests.support.ordered import Server


@pytest.fixture
def clock() -> VirtualClock:
    """Return a clock that the test moves."""
    return VirtualClock()


@pytest.fixture
def events() -> list[HookEvent]:
    """Return what the hook was told."""
    return []


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """Run a server that closes without an answer."""
    server = Server()
    yield server
    server.stop()


@pytest.fixture
async def wired(
    server: Server, clock: VirtualClock, events: list[HookEvent]
) -> AsyncIterator[TokenGate]:
    """Open a session with that server."""
    address = await server.start()
    async with TokenGate(
        api_key="sk-paid-once", base_url=address, clock=clock, hooks=[events.append]
    ) as gate:
        yield gate
