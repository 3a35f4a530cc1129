"""Each example is run as it stands, against a gateway that cuts characters across chunks."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from aiotokengate.testing import Call, FakeGateway, RateLimit, ScriptedReply, faults
from tests.support.redis_server import RedisServer

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
MODEL = "qwen3.6-max-preview"
REPLY = ScriptedReply(
    reasoning=["想一想", "……🤔\n", "好了"], answer=["你好", "！👋🏽\n", "有什么", "可以帮你？👩‍💻"]
)


def environment(gateway: FakeGateway) -> dict[str, str]:
    return {
        **os.environ,
        "TOKENGATE_API_KEY": gateway.api_key,
        "TOKENGATE_BASE_URL": gateway.base_url,
        "PYTHONIOENCODING": "utf-8",
    }


def cut(gateway: FakeGateway, times: int = 1) -> None:
    """Script the reply in writes of 7 bytes, so that characters and emoji are cut."""
    gateway.script(*[faults.written(REPLY, MODEL).drip(7)] * times)


def output(gateway: FakeGateway, name: str, *arguments: str, stdin: str = "") -> str:
    """Run an example and return what it prints."""
    process = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        env=environment(gateway),
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert process.stderr == ""
    assert process.returncode == 0
    return process.stdout


def test_three_lines(fake_gateway: FakeGateway) -> None:
    """The shortest program prints the answer."""
    cut(fake_gateway)
    assert output(fake_gateway, "three_lines.py") == "你好！👋🏽\n有什么可以帮你？👩‍💻\n"


def test_two_streams(fake_gateway: FakeGateway) -> None:
    """Both panels show their side, line by line."""
    cut(fake_gateway)
    lines = output(fake_gateway, "two_streams.py", "在吗？").splitlines()
    assert [line for line in lines if line.startswith(" think")] == [
        " think | 想一想……🤔",
        " think | 好了",
    ]
    assert [line for line in lines if line.startswith("answer")] == [
        "answer | 你好！👋🏽",
        "answer | 有什么可以帮你？👩‍💻",
    ]


def test_tools_and_types(fake_gateway: FakeGateway) -> None:
    """The function is called, its result told, and the last answer is a value."""
    call = ScriptedReply(reasoning="查一下", tool_calls=[Call("weather", {"city": "北京"})])
    trip = ScriptedReply(answer='{"city": "北京", "bring": ["雨伞 ☂️"]}')
    for reply in (call, REPLY, trip):
        fake_gateway.script(faults.written(reply, MODEL).drip(7))
    assert output(fake_gateway, "tools_and_types.py").splitlines() == [
        "🔧 weather: 北京：小雨，16 度 🌧️",
        "你好！👋🏽",
        "有什么可以帮你？👩‍💻",
        "Trip(city='北京', bring=['雨伞 ☂️'])",
    ]


def test_terminal_bot(fake_gateway: FakeGateway) -> None:
    """The bot's message ends as the whole answer, for each line it was told."""
    cut(fake_gateway, times=2)
    lines = output(fake_gateway, "terminal_bot.py", stdin="在吗？\n\n还在吗？\n").splitlines()
    assert lines[0] == "✎ '🤔 …'"
    assert lines.count("✎ '你好！👋🏽\\n有什么可以帮你？👩\\u200d💻'") == 2
    assert all(line.startswith("✎ ") for line in lines)


def test_an_interrupted_bot(fake_gateway: FakeGateway) -> None:
    """What came before the cut stays in the message, with a remark."""
    whole = faults.written(REPLY, MODEL)
    size = sum(len(step) for step in whole.steps() if isinstance(step, bytes))
    fake_gateway.script(whole.cut(size - 900, "reset"))
    lines = output(fake_gateway, "terminal_bot.py", stdin="在吗？\n").splitlines()
    assert lines[-1].startswith("✎ '你好")
    assert lines[-1].endswith("中断 / interrupted'")


@pytest.fixture
def port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def test_aiohttp_service(fake_gateway: FakeGateway, port: int) -> None:
    """The service answers as JSON, and relays as events; it ends cleanly."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / "aiohttp_service.py"),
        str(port),
        env={**environment(fake_gateway), "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    cut(fake_gateway, times=2)
    address = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{address}/ask", json={"prompt": "在吗？"}) as answer:
            assert await answer.json() == {
                "thinking": "想一想……🤔\n好了",
                "answer": "你好！👋🏽\n有什么可以帮你？👩‍💻",
            }
        async with session.post(f"{address}/stream", json={"prompt": "在吗？"}) as answer:
            events = (await answer.text()).split("\n\n")
    assert events[0].startswith('data: {"id":')
    assert events[-2:] == ["data: [DONE]", ""]
    assert "👩‍💻" in "".join(events)
    process.terminate()
    assert await process.wait() in (0, -15)


def test_fair_bot(fake_gateway: FakeGateway) -> None:
    """Who asks once does not wait for all the questions of the other."""
    cut(fake_gateway, times=9)
    lines = output(fake_gateway, "fair_bot.py").splitlines()
    assert sorted(lines) == ["小多 ← 你好！👋🏽"] * 8 + ["小少 ← 你好！👋🏽"]
    assert lines.index("小少 ← 你好！👋🏽") < 5


@pytest.fixture
def ports() -> list[int]:
    """Return two ports that were free a moment ago."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        return [int(server.getsockname()[1]) for server in (one, other)]


async def test_two_services_share_a_limit(ports: list[int]) -> None:
    """Two processes, one Redis, one limit of 60 requests: together they never exceed it."""
    limits = RateLimit(requests_per_minute=60)
    with RedisServer() as redis:
        async with FakeGateway(limits=limits) as gateway:
            cut(gateway, times=62)
            services = [await start(gateway, port, redis.url) for port in ports]
            async with aiohttp.ClientSession() as session:
                asked = [relayed(session, ports[number % 2], number) for number in range(62)]
                texts = await asyncio.gather(*asked)
            assert all("👩‍💻" in text and text.endswith("data: [DONE]\n\n") for text in texts)
            assert (gateway.enforcer.admitted, gateway.enforcer.refused) == (62, 0)
            for service in services:
                service.terminate()
                assert await service.wait() in (0, -15)


async def start(gateway: FakeGateway, port: int, url: str) -> asyncio.subprocess.Process:
    """Start a service and wait until it listens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / "shared_limit_service.py"),
        str(port),
        url,
        env={**environment(gateway), "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    return process


async def relayed(session: aiohttp.ClientSession, port: int, number: int) -> str:
    """Return what a service relays."""
    asked = {"user": f"u{number % 3}", "prompt": f"第 {number} 问 🙂"}
    async with session.post(f"http://127.0.0.1:{port}/stream", json=asked) as answer:
        return await answer.text()
