"""Writing a reply: its silence, its keep-alives, and bytes without HTTP."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from aiotokengate.testing import (
    FakeGateway,
    Gate,
    KeepAlive,
    Pace,
    Pause,
    Raw,
    ScriptedReply,
    Text,
)
from aiotokengate.testing._output import Output, Player, sign
from tests.support.bare_client import (
    DONE,
    Client,
)


async def test_every_response_says_who_sent_it(client: Client) -> None:
    for path in ("/models", "/nothing"):
        async with client.http.get(client.url(path)) as response:
            assert response.headers["X-New-Api-Version"]
            assert response.headers["X-Oneapi-Request-Id"]
    async with client.post(stream=True) as response:
        assert response.headers["X-Oneapi-Request-Id"] == client.gateway.requests[-1].request_id
        assert response.headers["X-Accel-Buffering"] == "no"


async def test_bytes_without_http_are_just_bytes(client: Client) -> None:
    client.gateway.script(Raw(None, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
    async with client.post() as response:
        assert await response.text() == "hi"
    await client.gateway.wait_connections(0)


class Sleeps:
    """A clock in the test's hand: every sleep waits until the test ends it."""

    def __init__(self) -> None:
        self._asked: asyncio.Queue[tuple[float, asyncio.Future[None]]] = asyncio.Queue()

    async def __call__(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._asked.put_nowait((seconds, future))
        await future

    async def next(self) -> tuple[float, asyncio.Future[None]]:
        return await self._asked.get()


@pytest.mark.parametrize(
    ("stream", "comment"), [(True, b": PING\n\n"), (False, b"\n")], ids=["stream", "plain"]
)
async def test_silence_is_filled_with_keep_alives(*, stream: bool, comment: bytes) -> None:
    sleeps = Sleeps()
    async with (
        FakeGateway(keep_alive=KeepAlive(every=4), sleep=sleeps) as gateway,
        aiohttp.ClientSession() as http,
    ):
        gateway.script(ScriptedReply(parts=[Pause(10), Text("好")]))
        headers = {"Authorization": f"Bearer {gateway.api_key}"}
        url = f"{gateway.base_url}/chat/completions"
        asking = asyncio.ensure_future(http.post(url, headers=headers, json={"stream": stream}))
        pauses = dict([await sleeps.next(), await sleeps.next()])
        assert set(pauses) == {4, 10}
        pauses[4].set_result(None)
        response = await asking
        if stream:
            await response.content.readuntil(b"\n\n")
        assert await response.content.readany() == comment
        assert (await sleeps.next())[0] == 4
        pauses[10].set_result(None)
        assert "好" in (await response.content.read()).decode()


async def test_a_gate_too_is_filled_with_keep_alives() -> None:
    sleeps, gate = Sleeps(), Gate()
    async with (
        FakeGateway(keep_alive=KeepAlive(4, "keep-alive"), sleep=sleeps) as gateway,
        aiohttp.ClientSession() as http,
    ):
        gateway.script(ScriptedReply(parts=[gate, Text("好")], model="glm-4.7"))
        headers = {"Authorization": f"Bearer {gateway.api_key}"}
        url = f"{gateway.base_url}/chat/completions"
        asking = asyncio.ensure_future(http.post(url, headers=headers, json={"stream": True}))
        (await sleeps.next())[1].set_result(None)
        response = await asking
        assert await response.content.readany() == b": keep-alive\n\n"
        gate.open()
        assert (await response.text()).endswith(f"{DONE}\n\n")


async def test_a_body_is_one_piece_behind_and_a_copy_is_kept(client: Client) -> None:
    copies: list[bytes] = []
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    player = Player(Pace(), None, sleep)

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        output = Output(request, response, client.gateway.requests[-1], copies)
        await output.write(b"one ")
        assert not response.prepared
        await player.play(output, [Pause(2.0), Pause(0.0)])
        assert response.prepared
        assert waited == [2.0]
        await output.write(b"two")
        await output.end()
        sign(response, client.gateway.requests[-1])  # the head is sent: nothing happens
        return response

    client.gateway.script(answer)
    async with client.post() as response:
        assert await response.text() == "one two"
    assert copies == [b"one ", b"two"]
