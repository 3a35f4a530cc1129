"""What a test scripts: replies, bytes as they are, cuts, and the pace of a model."""

import asyncio
from typing import Any, Literal

import aiohttp
import pytest

from aiotokengate.testing import (
    Call,
    FakeGateway,
    Gate,
    KeepAlive,
    Pace,
    Raw,
    ScriptedReply,
    Text,
    Thought,
)
from tests.support.bare_client import (
    Client,
    asking_socket,
)


async def test_raw_bytes_arrive_as_they_are(client: Client) -> None:
    writes = [b"data: {\n\n", b"", "半个字：".encode()[:-1], b"\r\r\n"]
    client.gateway.script(Raw(202, writes, {"content-type": "text/plain", "X-Own": "1"}))
    async with client.post() as response:
        assert await response.read() == b"".join(writes)
        assert (response.status, response.headers["X-Own"]) == (202, "1")
        assert response.headers["Content-Type"] == "text/plain"


async def test_raw_writes_leave_one_by_one(client: Client) -> None:
    gate = Gate()
    client.gateway.script(Raw(body=[b"a", gate, b"b"]).drip())
    async with client.post() as response:
        assert await response.content.readany() == b"a"
        gate.release()
        assert await response.content.readany() == b"b"


async def received(gateway: FakeGateway) -> tuple[bytes, bool]:
    """Ask; return the bytes that came, and whether a reset ended them."""
    loop = asyncio.get_running_loop()
    data = b""
    with await asking_socket(gateway) as sock:
        try:
            while piece := await loop.sock_recv(sock, 65536):
                data += piece
        except ConnectionResetError:
            return data, True
    return data, False


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_cut_is_made_after_exactly_its_bytes(
    gateway: FakeGateway, end: Literal["close", "reset"]
) -> None:
    whole = Raw(None, [b"data: 1\n\n", b"data: 2\n\n"])
    data = b"data: 1\n\ndata: 2\n\n"
    for after in range(len(data) + 1):
        gateway.script(whole.cut(after, end))
        assert await received(gateway) == (data[:after], end == "reset")
    assert all(request.finished for request in gateway.requests)
    await gateway.wait_connections(0)


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_cut_leaves_the_chunked_body_without_its_end(
    gateway: FakeGateway, end: Literal["close", "reset"]
) -> None:
    gateway.script(Raw(body=b"0123").cut(2, end))
    data, was_reset = await received(gateway)
    assert data.endswith(b"\r\n\r\n2\r\n01\r\n")
    assert was_reset is (end == "reset")


async def test_a_cut_delivers_what_came_before_it(client: Client) -> None:
    client.gateway.script(Raw(body=b"0123456789").cut(4, "close"))
    async with client.post() as response:
        assert await response.content.readany() == b"0123"


async def test_the_pace_is_first_token_then_so_many_a_second() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    pace = Pace(first_token=0.5, tokens_per_second=50)
    async with FakeGateway(pace=pace, sleep=sleep) as gateway, aiohttp.ClientSession() as http:
        gateway.script(ScriptedReply(reasoning="想想", answer="好", tool_calls=[Call("f")]))
        headers = {"Authorization": f"Bearer {gateway.api_key}"}
        async with http.post(
            f"{gateway.base_url}/chat/completions", headers=headers, json={"stream": True}
        ) as response:
            await response.read()
    assert waited == [0.5, 0.02, 0.02, 0.02]


def test_jitter_stays_in_its_bounds_and_repeats_with_its_seed() -> None:
    pace = Pace(first_token=1, tokens_per_second=10, jitter=0.5, seed=7)
    first, again = ([next(waits) for _ in range(500)] for waits in (pace.waits(), pace.waits()))
    assert first == again
    assert 0.5 <= first[0] <= 1.5
    assert all(0.05 <= wait <= 0.15 for wait in first[1:])
    assert len(set(first)) > 100


@pytest.mark.parametrize(
    "wrong", [{"first_token": -1}, {"tokens_per_second": 0}, {"jitter": 1.5}, {"jitter": -0.1}]
)
def test_an_impossible_pace_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Pace(**wrong)
    with pytest.raises(ValueError, match="every"):
        KeepAlive(0)


def test_a_reply_is_its_parts_or_thinking_answer_and_calls() -> None:
    call, said = Call("f"), Text("好")
    assert ScriptedReply(reasoning="想", answer="好", tool_calls=[call]).all_parts() == (
        Thought("想"),
        said,
        call,
    )
    assert ScriptedReply(parts=[said]).all_parts() == (said,)


def test_a_reply_ends_as_it_says_or_as_its_parts_do() -> None:
    assert ScriptedReply(answer="好").ending() == "stop"
    assert ScriptedReply(tool_calls=[Call("f")]).ending() == "tool_calls"
    assert ScriptedReply(answer="好", finish_reason="length").ending() == "length"


def test_a_cut_longer_than_the_body_leaves_it_whole() -> None:
    gate = Gate()
    raw = Raw(body=[b"12", gate, b"34"])
    assert raw.cut(9).steps() == (b"12", gate, b"34")
    assert raw.cut(3).steps() == (b"12", gate, b"3")
    assert raw.drip().steps() == (b"1", b"2", gate, b"3", b"4")


def test_keep_alives_are_comments_and_a_busy_day_has_its_pace() -> None:
    assert KeepAlive(4, "keep-alive").line() == b": keep-alive\n\n"
    assert 0.28 <= next(Pace.real().waits()) <= 0.52
