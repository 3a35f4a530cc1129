"""A bare HTTP client of the fake gateway, and what its frames say."""

import asyncio
import socket
from typing import Any

import aiohttp
import orjson

from aiotokengate.testing import (
    FakeGateway,
    ScriptedReply,
)

GREETING = [{"role": "user", "content": "你好"}]


DONE = "data: [DONE]"


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "unit": {"type": "string", "enum": ["摄氏", "华氏"]},
                "place": {"type": "object", "properties": {"exact": {"type": "boolean"}}},
            },
        },
    },
}


class Client:
    """A bare HTTP client of one gateway."""

    def __init__(self, gateway: FakeGateway, http: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.http = http

    def post(self, **body: Any) -> Any:
        body = {"model": "qwen3.6-max-preview", "messages": GREETING, **body}
        return self.http.post(self.url("/chat/completions"), json=body)

    def url(self, path: str) -> str:
        return f"{self.gateway.base_url}{path}"

    async def stream(self, **body: Any) -> list[str]:
        async with self.post(stream=True, **body) as response:
            assert response.status == 200, await response.text()
            text: str = await response.text()
        return text.removesuffix("\n\n").split("\n\n")

    async def frames(self, **body: Any) -> list[Any]:
        *events, done = await self.stream(**body)
        assert done == DONE
        return [orjson.loads(event.removeprefix("data: ")) for event in events]

    async def plain(self, **body: Any) -> Any:
        async with self.post(**body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def error(self, **body: Any) -> tuple[int, Any]:
        async with self.post(**body) as response:
            return response.status, (await response.json())["error"]


def choices(frames: list[Any]) -> list[Any]:
    return [choice for frame in frames for choice in frame["choices"]]


def joined(frames: list[Any], field: str, index: int = 0) -> str:
    ours = [choice for choice in choices(frames) if choice["index"] == index]
    return "".join(choice.get("delta", {}).get(field) or "" for choice in ours)


def reasons(frames: list[Any]) -> list[str]:
    found = (choice.get("finish_reason") for choice in choices(frames))
    return [reason for reason in found if reason]


SAID = ScriptedReply(reasoning=["想", "想"], answer=["好", "😊"])


async def asking_socket(gateway: FakeGateway) -> socket.socket:
    """Ask for a chat completion over a bare socket."""
    loop = asyncio.get_running_loop()
    host, _, port = gateway.base_url.removeprefix("http://").removesuffix("/v1").rpartition(":")
    head = f"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer {gateway.api_key}\r\n"
    sock = socket.socket()
    sock.setblocking(False)
    await loop.sock_connect(sock, (host, int(port)))
    await loop.sock_sendall(sock, f"{head}Host: {host}\r\n\r\n".encode())
    return sock
