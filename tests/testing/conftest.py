"""What the tests of the fake gateway share: a bare client of it."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from aiotokengate.testing import (
    FakeGateway,
)
from tests.support.bare_client import Client


@pytest.fixture
async def client(gateway: FakeGateway) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {gateway.api_key}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        yield Client(gateway, http)
