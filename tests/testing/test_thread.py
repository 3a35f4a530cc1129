"""The fake gateway in a thread of its own."""

import asyncio
import threading

import aiohttp

from aiotokengate.testing import (
    FakeGateway,
    Gate,
    ScriptedReply,
    faults,
)
from tests.support.bare_client import (
    Client,
    joined,
)


async def test_it_runs_in_a_thread_and_is_waited_for_from_elsewhere() -> None:
    with FakeGateway() as gateway:
        gate = Gate()
        gateway.script(ScriptedReply(answer=["一", gate, "二"]), faults.silence())
        headers = {"Authorization": f"Bearer {gateway.api_key}"}
        async with aiohttp.ClientSession(headers=headers) as http:
            client = Client(gateway, http)
            reply = asyncio.ensure_future(client.frames())
            await gate.reached()
            gate.release()
            assert joined(await reply, "content") == "一二"
            silent = asyncio.ensure_future(client.frames())
            await gateway.wait_requests(2)
            silent.cancel()
            await gateway.wait_disconnected()
        await gateway.wait_connections(0)
    assert "fake-gateway" not in [thread.name for thread in threading.enumerate()]
