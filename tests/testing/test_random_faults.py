"""A gateway that fails now and then, the same way each time."""

import aiohttp
import pytest

from aiotokengate.testing import (
    FakeGateway,
)
from tests.support.bare_client import DONE, GREETING


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none(share: float) -> None:
    """How unreliable a gateway is, is a share."""
    with pytest.raises(ValueError, match="expected unreliable as a share from 0 to 1"):
        FakeGateway(unreliable=share)


async def unreliable_outcomes() -> list[str]:
    """Ask an unreliable gateway a hundred times, and say how each answer ended."""
    seen = []
    async with FakeGateway(unreliable=0.5) as gateway, aiohttp.ClientSession() as http:
        url = f"{gateway.base_url}/chat/completions"
        headers = {"Authorization": f"Bearer {gateway.api_key}"}
        body = {"model": "glm-5.1", "stream": True, "messages": GREETING}
        for _ in range(100):
            try:
                async with http.post(url, json=body, headers=headers) as response:
                    text = await response.text()
            except aiohttp.ClientError as error:
                seen.append(type(error).__name__)
            else:
                seen.append("whole" if text.endswith(f"{DONE}\n\n") else str(response.status))
    return seen


async def test_an_unreliable_gateway_fails_as_often_as_it_was_told() -> None:
    """A quarter gets no answer, a quarter of the others a part of one; every time the same."""
    seen = await unreliable_outcomes()
    counts = {word: seen.count(word) for word in seen}
    assert 45 <= counts.pop("whole") <= 70
    assert {"429", "503", "500", "ClientPayloadError", "ServerDisconnectedError"} <= {*counts}
    assert await unreliable_outcomes() == seen
