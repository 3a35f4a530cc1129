"""Connections of the fake gateway: kept, broken, left, held back."""

import asyncio
import socket
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from aiotokengate.testing import (
    FakeGateway,
    Gate,
    Raw,
    ScriptedReply,
    faults,
)
from aiotokengate.testing._connection import Connection
from tests.support.bare_client import (
    Client,
    asking_socket,
)


async def test_a_whole_raw_answer_leaves_the_connection_usable(client: Client) -> None:
    client.gateway.script(Raw(body=b"1"), Raw(body=b"2", headers={"Content-Length": "1"}))
    for _ in range(3):
        async with client.post() as response:
            await response.read()
    assert {request.connection for request in client.gateway.requests} == {1}
    assert client.gateway.connections == 1


async def test_half_a_head_and_a_reset_are_connection_errors(client: Client) -> None:
    client.gateway.script(Raw(None, b"HTTP/1.1 20", end="close"), faults.reset())
    for _ in range(2):
        with pytest.raises((aiohttp.ClientConnectionError, ConnectionError)):
            await client.post()


async def test_a_client_that_leaves_is_noticed_and_the_reply_ends(client: Client) -> None:
    gate = Gate()
    client.gateway.script(ScriptedReply(answer=["一", gate, "二"]))
    async with client.post(stream=True) as response:
        await gate.reached()
        response.close()
        await client.gateway.wait_disconnected()
    (request,) = client.gateway.requests
    assert request.disconnected
    assert not request.finished
    await client.gateway.wait_connections(0)


async def test_a_client_that_leaves_a_hanging_server_is_noticed(client: Client) -> None:
    client.gateway.script(faults.silence())
    asking = asyncio.ensure_future(client.stream())
    request = await client.gateway.wait_requests(1)
    asking.cancel()
    await request.disconnected.wait()


async def test_a_client_that_leaves_after_the_end_was_served(client: Client) -> None:
    response = await client.post(stream=True)
    await client.gateway.requests[0].finished.wait()
    response.close()
    await client.http.close()
    await client.gateway.wait_connections(0)
    assert not client.gateway.requests[0].disconnected


async def test_a_write_that_fails_first_is_a_client_that_left(gateway: FakeGateway) -> None:
    gate = Gate()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await gate.passed()
        await response.write(b"too late")
        return response

    gateway.script(answer)
    sock = await asking_socket(gateway)
    await gate.reached()
    sock.close()
    # The write is due before the event loop says that the connection is lost.
    gate.release()
    await gateway.wait_disconnected()
    assert not gateway.requests[0].finished


async def test_a_slow_reader_holds_the_gateway_back(client: Client) -> None:
    gate = Gate()
    gate.open()
    big = b"x" * 1_000_000
    client.gateway.script(Raw(body=[piece for _ in range(40) for piece in (big, gate)]))
    async with client.post() as response:
        await gate.reached(1)
        assert not client.gateway.requests[0].finished
        assert len(await response.read()) == 40 * len(big)
    await gate.reached(40)


async def test_many_may_knock_at_once(gateway: FakeGateway) -> None:
    """Nobody is let in before this test waits for something, and yet nobody is sent away."""
    address = ("127.0.0.1", int(gateway.base_url.rpartition(":")[2].partition("/")[0]))
    knocking = [
        socket.create_connection(address, timeout=5) for _ in range(min(300, socket.SOMAXCONN))
    ]
    for each in knocking:
        each.close()


async def test_before_there_is_a_network_nothing_happens() -> None:
    connection = Connection(7, cast("Any", None), id, id)
    connection.close()
    connection.abort()
    connection.reset()
    await connection.write(b"nobody is there yet")
    assert connection.number == 7
