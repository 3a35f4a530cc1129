"""The fake gateway in a thread of its own."""

import asyncio
import threading

import aiohttp
import pytest

from aiotokengate.testing import (
    FakeGateway,
    Gate,
    ScriptedReply,
    faults,
)
from aiotokengate.testing._thread import LoopThread
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


def test_what_start_raises_is_raised_where_the_thread_was_begun() -> None:
    async def start() -> None:
        msg = "no room"
        raise OSError(msg)

    async def stop() -> None:
        raise AssertionError

    with pytest.raises(OSError, match="no room"):
        LoopThread(start, stop)
