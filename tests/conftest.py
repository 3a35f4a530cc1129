"""What all tests share: a gateway on loopback, and a session with it."""

import gc
from collections.abc import AsyncIterator

import pytest
from hypothesis import settings

from aiotokengate import TokenGate
from aiotokengate.testing import FakeGateway

# The same examples in every run; for new ones: pytest --hypothesis-profile=default
settings.register_profile("steady", derandomize=True, deadline=None, print_blob=True)


def pytest_collection_finish() -> None:
    """Have the collector pass over what stays anyway: many tests call it."""
    gc.collect()
    gc.freeze()


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    """Yield a fake gateway in the test's own event loop."""
    async with FakeGateway() as gateway:
        yield gateway


@pytest.fixture
async def gate(gateway: FakeGateway) -> AsyncIterator[TokenGate]:
    """Yield a session with the fake gateway."""
    async with TokenGate(api_key=gateway.api_key, base_url=gateway.base_url) as gate:
        yield gate
