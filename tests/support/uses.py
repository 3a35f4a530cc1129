"""Every kind of call, each with the same prompt, and a server that answers them all alike."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from aiotokengate import TokenGate

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
    async def say(name: str) -> str:
        """Say something."""
        return name

    await gate.run_tools("m", PROMPT, [say])


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


Answer: TypeAlias = "bytes | Callable[[bytes], bytes] | None"
"""Bytes; None for silence; or what makes bytes of the body of a request."""


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[str]:
    """Return the address of a server that answers everything in the same way."""
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await reader.read(-1)
        elif answer:
            body = await _body(head.lower(), reader)
            writer.write(answer if isinstance(answer, bytes) else answer(body))
        writer.close()
        await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.ensure_future(talk(reader, writer)))

    listening = await asyncio.start_server(begin, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    await asyncio.gather(*talks, return_exceptions=True)


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    size = head.partition(b"content-length: ")[2].partition(b"\r")[0]
    if size:
        return await reader.readexactly(int(size))
    return await reader.readuntil(b"0\r\n\r\n") if b"chunked" in head else b""


def http(status: int, body: bytes, kind: str = "application/json", headers: str = "") -> bytes:
    """Write an answer."""
    size = f"Content-Length: {len(body)}\r\n"
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{headers}{size}\r\n"
    return head.encode() + body
