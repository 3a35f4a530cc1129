"""The client against an OpenAI-compatible server that we did not write: the ``llmock`` package."""

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from aiotokengate import (
    AnswerDelta,
    AuthenticationFailed,
    ContextLengthExceeded,
    RateLimited,
    Retry,
    ServerFailed,
    StreamInterrupted,
    TokenGate,
    TokenGateError,
)

TEXT = "你好，世界！ 😀 héllo 👩‍💻 fin"
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
CALL = {"name": "get_weather", "arguments": {"city": "北京"}}


def always(model: str, **behaviour: Any) -> dict[str, Any]:
    return {**behaviour, "times": None, "match": {"model": model}}


SCENARIO = {
    "behaviors": [
        always("text", type="reply", text=TEXT),
        always("tool", type="reply", tool_calls=[CALL]),
        always("429", type="fail", status=429, retry_after=0, code="rate_limit_exceeded"),
        always("401", type="fail", status=401),
        always("500", type="fail", status=500),
        always("400", type="fail", status=400, code="context_length_exceeded"),
        always("cut*", type="reply", text=TEXT),
        always("cut-off", type="stream_fault", kind="disconnect", after_chunks=2),
        always("cut-short", type="stream_fault", kind="truncate", after_chunks=2),
        always("cut-frame", type="stream_fault", kind="malformed", after_chunks=2),
    ]
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Yield the address of a server process; requests wait in the backlog until it is up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-m", "uvicorn", "llmock.main:create_app", "--factory"]
        process = subprocess.Popen(
            [*command, "--fd", str(listener.fileno()), "--log-level", "warning"],
            pass_fds=[listener.fileno()],
            env={**os.environ, "LLMOCK_TOOL_MODE": "off", "LLMOCK_RESPONSE_STYLE": "static"},
        )
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


@pytest.fixture
async def foreign(address: str) -> AsyncIterator[TokenGate]:
    """Yield a session with the server, which has been told what to answer."""
    async with aiohttp.ClientSession() as session:
        for path, body in (("reset", {}), ("scenario", SCENARIO)):
            async with session.post(f"{address}/_llmock/{path}", json=body) as answer:
                assert answer.ok
    settings = Retry(attempts=2, max_wait=0)
    async with TokenGate(api_key="sk-any-key", base_url=f"{address}/v1", retry=settings) as gate:
        yield gate


@pytest.mark.parametrize("stream", [True, False])
async def test_text(foreign: TokenGate, stream: bool) -> None:
    """A text comes whole, Chinese and emoji included."""
    reply = await foreign.chat("text", "你好", stream=stream)
    assert (reply.answer, reply.finish_reason, reply.status) == (TEXT, "stop", "complete")
    assert reply.usage.completion_tokens == 5


async def test_streamed_text(foreign: TokenGate) -> None:
    """The text comes piece by piece."""
    async with foreign.chat("text", "你好") as stream:
        assert [piece async for piece in stream.reasoning] == []
        pieces = [delta async for delta in stream if isinstance(delta, AnswerDelta)]
    assert len(pieces) == 5
    assert "".join(piece.text for piece in pieces) == TEXT


@pytest.mark.parametrize("stream", [True, False])
async def test_a_tool_call(foreign: TokenGate, stream: bool) -> None:
    """A tool call comes whole, its arguments cut inside an escape or not."""
    reply = await foreign.chat("tool", "天气", tools=[TOOL], stream=stream)
    assert [(call.name, call.parse()) for call in reply.tool_calls] == [
        ("get_weather", {"city": "北京"})
    ]
    assert reply.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("model", "kind", "attempts"),
    [
        ("429", RateLimited, 1),
        ("401", AuthenticationFailed, 1),
        ("500", ServerFailed, 2),
        ("400", ContextLengthExceeded, 1),
    ],
)
async def test_errors(
    foreign: TokenGate, model: str, kind: type[TokenGateError], attempts: int
) -> None:
    """Statuses and codes become the errors of the tree; the right ones are tried again."""
    once = Retry(attempts=1) if kind is RateLimited else None  # or it would be waited out
    with pytest.raises(kind) as raised:
        await foreign.chat(model, "你好", retry=once)
    assert raised.value.status == int(model)
    assert len(raised.value.attempts) == attempts


@pytest.mark.parametrize("model", ["cut-off", "cut-short"])
async def test_a_cut_stream(foreign: TokenGate, model: str) -> None:
    """A stream that ends early is an interruption, be it a broken or a polite end."""
    with pytest.raises(StreamInterrupted) as raised:
        await foreign.chat(model, "你好")
    assert TEXT.startswith(raised.value.partial.answer)
    assert raised.value.partial.answer


async def test_a_broken_frame(foreign: TokenGate) -> None:
    """A frame that is not JSON is passed over, and noted."""
    reply = await foreign.chat("cut-frame", "你好")
    assert reply.status == "complete"
    assert "frames skipped: 1" in reply.notes[0]
