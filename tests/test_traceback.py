"""A traceback shows neither key, prompt nor body, whatever has failed, in whichever call."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import pytest
from frames import frames_with

from aiotokengate import Retry, Timeout, TokenGate, TokenGateError
from aiotokengate.errors import CallerError
from aiotokengate.hooks import HookEvent, RetryScheduled

KEY = "sk-this-is-a-secret-key-123"
PROMPT = "一只斑马在写日记 🦓, a zebra writes a diary"
MARKS = ("斑马", "zebra", KEY)

Use: TypeAlias = Callable[[TokenGate], Awaitable[object]]


async def _iterated(gate: TokenGate) -> None:
    async for _ in gate.chat("m", PROMPT):
        pass


async def _entered(gate: TokenGate) -> None:
    async with gate.chat("m", PROMPT) as stream:
        await stream.reply()


async def _tools(gate: TokenGate) -> None:
    async def zebra(name: str) -> str:
        """Say something."""
        return name

    await gate.run_tools("m", PROMPT, [zebra])


async def _sketches(gate: TokenGate) -> None:
    async for _ in gate.images.generate("m", PROMPT):
        pass


async def _downloaded(gate: TokenGate) -> None:
    async with gate.request("POST", "/x", json={"query": PROMPT}) as download:
        await download.json()


async def _events(gate: TokenGate) -> None:
    async with gate.request("POST", "/x", json={"query": PROMPT}) as download:
        async for _ in download.events():
            pass


async def _mapped(gate: TokenGate) -> None:
    async for outcome in gate.map([{"model": "m", "messages": PROMPT}]):
        if outcome.error is not None:
            raise outcome.error


USES: dict[str, Use] = {
    "chat": lambda gate: gate.chat("m", PROMPT),
    "chat as a task": lambda gate: asyncio.ensure_future(gate.chat("m", PROMPT)),
    "chat iterated": _iterated,
    "chat entered": _entered,
    "plain chat": lambda gate: gate.chat("m", PROMPT, stream=False),
    "messages": lambda gate: gate.chat("m", PROMPT, protocol="messages", max_tokens=9),
    "conversation": lambda gate: gate.conversation("m", system=PROMPT).say(PROMPT),
    "tools": _tools,
    "map": _mapped,
    "embed": lambda gate: gate.embed("m", [PROMPT, PROMPT + "!"]),
    "image": lambda gate: gate.images.generate("m", PROMPT),
    "image edited": lambda gate: gate.images.edit("m", PROMPT, PROMPT.encode()),
    "sketches": _sketches,
    "speech": lambda gate: gate.audio.speak("m", PROMPT),
    "transcript": lambda gate: gate.audio.transcribe("m", b"RIFF", prompt=PROMPT),
    "video": lambda gate: gate.videos.create("m", PROMPT),
    "song": lambda gate: gate.music.create(PROMPT),
    "raw": lambda gate: gate.request("POST", "/x", json={"query": PROMPT}),
    "download": _downloaded,
    "events": _events,
}


def _http(status: int, body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _told(status: int) -> bytes:
    error = {"message": f"bad: {PROMPT} by {KEY}", "code": "x"}
    return _http(status, json.dumps({"error": error}).encode())


_EVENT = json.dumps({"choices": [{"index": 0, "delta": {"content": "好"}}]}).encode()
ANSWERS: dict[str, bytes | None] = {
    "closed": b"",
    "no HTTP": f"zebra {PROMPT}\r\n\r\n".encode(),
    "400": _told(400),
    "429": _told(429),
    "500": _told(500),
    "error in a 200": _told(200),
    "half of JSON": _http(200, json.dumps({"x": PROMPT}).encode()[:-1]),
    "no JSON": _http(200, PROMPT.encode()),
    "another JSON": _http(200, json.dumps({"x": PROMPT}).encode()),
    "a page": _http(200, f"<html>{PROMPT}</html>".encode(), "text/html"),
    "cut": _http(200, b"data: " + _EVENT + b"\n\ndata: ", "text/event-stream")[:-3],
    "error in a stream": _http(
        200,
        b"data: " + _EVENT + b"\n\ndata: " + _told(400).rpartition(b"\r\n")[2] + b"\n\n",
        "text/event-stream",
    ),
    "silence": None,
}


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[bytes | None], Awaitable[str]]]:
    """Give what starts a server that answers everything with the same bytes."""
    servers: list[asyncio.Server] = []

    async def start(answer: bytes | None) -> str:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            if answer is None:
                await reader.read(-1)
            elif answer:
                size = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
                await reader.readexactly(int(size or 0))
                writer.write(answer)
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_failure_shows_no_secret(
    serve: Callable[[bytes | None], Awaitable[str]], answer: str
) -> None:
    """No frame of the library shows the key or the prompt, in any use, after any answer."""
    base_url = await serve(ANSWERS[answer])
    seen: dict[str, Any] = {}
    clocks = Timeout(first_event=0.2, stall=0.2, total=0.5)
    once = Retry(attempts=1)
    failed = 0
    for name, use in USES.items():
        gate = TokenGate(api_key=KEY, base_url=base_url, retry=once, timeout=clocks)
        try:
            async with gate:
                await use(gate)
        except TokenGateError as error:
            failed += 1
            if found := frames_with(error, MARKS):
                seen[name] = found
    assert failed
    assert not seen


LONG = PROMPT * 4000
WRONG: dict[str, Callable[[TokenGate], object]] = {
    "a message": lambda gate: gate.chat("m", [PROMPT]),  # type: ignore[list-item]
    "a parameter": lambda gate: gate.chat("m", PROMPT, temprature=1),  # type: ignore[call-arg]
    "a tool": lambda gate: gate.chat("m", PROMPT, tools=[PROMPT]),  # type: ignore[list-item]
    "what is no JSON": lambda gate: gate.chat("m", [{"role": "user", "content": {PROMPT}}]),
    "a header": lambda gate: gate.chat("m", PROMPT, extra_headers={"x": f"{PROMPT}\n"}),
    "a check": lambda gate: gate.check("m", [PROMPT]),  # type: ignore[list-item]
    "speech": lambda gate: gate.audio.speak("m", PROMPT, deadline=-1),
    "an image": lambda gate: gate.images.edit("", PROMPT, PROMPT.encode()),
    "a video": lambda gate: gate.videos.create("m", PROMPT, fps="x"),  # type: ignore[arg-type]
    "a song": lambda gate: gate.music.create(LONG),
    "a raw request": lambda gate: gate.request("POST", "x", json={"query": PROMPT}),
    "a key": lambda _: TokenGate(api_key=KEY, base_url="zebra"),
    "a key that is none": lambda _: TokenGate(api_key=f"{KEY}\nzebra"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_shows_no_secret(name: str) -> None:
    """A mistake that is told at once is told without the arguments of the call."""
    gate = TokenGate(api_key=KEY, base_url="http://127.0.0.1:9/v1")
    with pytest.raises(CallerError) as raised:
        WRONG[name](gate)
    assert not frames_with(raised.value, MARKS)
    assert not [mark for mark in MARKS[:2] if name != "a key" and mark in str(raised.value)]


async def test_wrong_inputs_show_no_secret() -> None:
    """Of a call that is awaited, too."""
    async with TokenGate(api_key=KEY, base_url="http://127.0.0.1:9/v1") as gate:
        with pytest.raises(CallerError) as raised:
            await gate.embed("m", [PROMPT, ""])
        assert not frames_with(raised.value, MARKS)


async def test_hooks_get_no_frames(serve: Callable[[bytes | None], Awaitable[str]]) -> None:
    """The error of an attempt that is made again holds no frames either."""
    events: list[HookEvent] = []
    async with TokenGate(
        api_key=KEY,
        base_url=await serve(_told(500)),
        retry=Retry(attempts=2),
        hooks=[events.append],
    ) as gate:
        with pytest.raises(TokenGateError):
            await gate.chat("m", PROMPT)
    retried = [event for event in events if isinstance(event, RetryScheduled)]
    assert retried
    assert not [found for event in retried for found in frames_with(event.error, MARKS)]
