"""A server of bare bytes: whole answers, made before the first request, written as they are.

It costs the machine as little as possible, so that the client beside it is what is measured.  The
first part of the path names the answer, what follows is whatever the client adds to its base
address.  It prints its port, and ends when its standard input does: nobody can leave it behind.
"""

import asyncio
import re
import sys
from collections.abc import Iterator, Mapping
from itertools import cycle, islice
from typing import Any

import orjson

__all__ = ["ANSWER", "CHUNKS", "THOUGHT"]

THOUGHT = 470
"""How many chunks of a long reply are thinking."""
ANSWER = 28
"""How many are answer; the finish reason and the usage come after."""
CHUNKS = THOUGHT + ANSWER + 2

_MODEL = "qwen3.6-max-preview"
_ID = "chatcmpl-0b5a7f0e-3c41-4b7e-9a52-6d1f0c8e2a94"
_CREATED = 1779700000
_THOUGHTS = ("嗯", "，", "用户", "只", "说了", "“你好”", "，\n", "所以", " reply", " warmly", "。")
_ANSWERS = ("你好", "！", "很高兴", "见到", "你", "😊", "，", "今天", "想", "聊", "什么", "？")
_USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": THOUGHT + ANSWER,
    "total_tokens": 11 + THOUGHT + ANSWER,
    "completion_tokens_details": {"reasoning_tokens": THOUGHT},
    "prompt_tokens_details": {"cached_tokens": 0},
}
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)

# --- the answers --------------------------------------------------------------------------------


def _choice(*, thought: str | None = None, text: str | None = None) -> dict[str, Any]:
    delta = {"content": text, "reasoning_content": thought}
    return {"delta": delta, "finish_reason": None, "index": 0, "logprobs": None}


def _finish() -> dict[str, Any]:
    delta = {"content": "", "reasoning_content": None}
    return {"delta": delta, "finish_reason": "stop", "index": 0, "logprobs": None}


def _chunk(choices: list[dict[str, Any]], usage: Mapping[str, Any] | None = None) -> bytes:
    """Give one chunk with the keys and the order of DashScope's, about 300 bytes."""
    return orjson.dumps(
        {
            "choices": choices,
            "object": "chat.completion.chunk",
            "usage": usage,
            "created": _CREATED,
            "system_fingerprint": None,
            "model": _MODEL,
            "id": _ID,
        }
    )


def _long() -> Iterator[bytes]:
    for thought in islice(cycle(_THOUGHTS), THOUGHT):
        yield _chunk([_choice(thought=thought)])
    for text in islice(cycle(_ANSWERS), ANSWER):
        yield _chunk([_choice(text=text)])
    yield _chunk([_finish()])
    yield _chunk([], _USAGE)
    yield b"[DONE]"


def _short() -> Iterator[bytes]:
    yield _chunk([_choice(text="好")])
    yield _chunk([_finish()])
    yield _chunk([], _USAGE)
    yield b"[DONE]"


def _plain() -> bytes:
    message = {"role": "assistant", "content": "好", "reasoning_content": ""}
    choice = {"message": message, "finish_reason": "stop", "index": 0, "logprobs": None}
    body = {
        "choices": [choice],
        "object": "chat.completion",
        "usage": _USAGE,
        "created": _CREATED,
        "system_fingerprint": None,
        "model": _MODEL,
        "id": _ID,
    }
    return orjson.dumps(body)


def _chunked(part: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part)


def _stream(events: Iterator[bytes]) -> list[bytes]:
    """Give the parts of a streamed answer; each event is one chunk of HTTP, as gateways flush."""
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
        b"Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n"
        b"X-Oneapi-Request-Id: 202611230116000001\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    parts = [_chunked(b"data: " + event + b"\n\n") for event in events]
    return [head, *parts, _chunked(b"")]


def _whole(body: bytes) -> list[bytes]:
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
        b"X-Oneapi-Request-Id: 202611230116000001\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    return [head + body]


def _answers() -> Mapping[bytes, list[bytes]]:
    """Give each answer as its writes: what stands alone in a list leaves at once."""
    drip = _stream(_long())
    return {
        b"long": [b"".join(drip)],
        b"drip": drip,
        b"short": [b"".join(_stream(_short()))],
        b"plain": _whole(_plain()),
    }


# --- the server ---------------------------------------------------------------------------------


class BareServer(asyncio.Protocol):
    """One connection; it reads no more of a request than where it goes and where it ends."""

    def __init__(self, answers: Mapping[bytes, list[bytes]]) -> None:
        self._answers = answers
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self._received += data
        while (path := self._request()) is not None:
            self._write(iter(self._answers[path.split(b"/")[1]]))

    def _request(self) -> bytes | None:
        """Take one whole request out of what was received, and give its path."""
        head, end, rest = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if not end or len(rest) < size:
            return None
        self._received = rest[size:]
        return head.split(b" ", 2)[1]

    def _write(self, parts: Iterator[bytes]) -> None:
        """Write the parts one by one, taking turns with the other connections."""
        part = next(parts, None)
        if part is not None and self._transport is not None:
            self._transport.write(part)
            asyncio.get_running_loop().call_soon(self._write, parts)


async def _main() -> None:
    loop = asyncio.get_running_loop()
    answers = _answers()
    server = await loop.create_server(lambda: BareServer(answers), "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_main())
