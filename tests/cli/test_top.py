"""The lanes of a pool, as a person and as a program see them."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import attrs
import pytest
from rich.console import Console

from aiotokengate import CallerError, ConnectFailed, Limits, Pool, TokenGateError, WireError
from aiotokengate._cli.top import show, table
from aiotokengate._policy.statistics import LaneStatistics
from aiotokengate.redis import RedisBackend
from tests.support.redis_server import RedisServer

KEY = "sk-a-key-of-the-account-that-nobody-may-see"

IDLE = LaneStatistics(pattern="glm*")
BUSY = LaneStatistics(
    pattern="qwen*",
    waiting=2,
    in_flight=1,
    refused=1,
    concurrency=5,
    requests_per_minute=60.0,
    requests_left=0.0,
    tokens_per_minute=900.0,
)


@asynccontextmanager
async def told(path: str, *states: list[LaneStatistics]) -> AsyncIterator[str]:
    """Tell at a socket what lanes there are, each time it is asked, and then nonsense."""
    left = [json.dumps({"version": 1, "lanes": [*map(attrs.asdict, state)]}) for state in states]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(f"{left.pop(0) if left else '?'}\n".encode())
        writer.close()

    async with await asyncio.start_unix_server(answer, path):
        yield path


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return a path for a socket; they have to be short."""
    return os.path.relpath(tmp_path / "pool.sock")


class TerminalText(StringIO):
    """A terminal, as far as a program asks."""

    def isatty(self) -> bool:
        return True


async def test_once_for_a_program(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with told(path, [BUSY]):
        await show(path, every=1, once=True, as_json=True)
    assert json.loads(capsys.readouterr().out) == [attrs.asdict(BUSY)]


async def test_again_and_again_in_a_pipe(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Until nobody answers any more."""
    async with told(path, [], [IDLE, BUSY]):
        with pytest.raises(WireError):
            await show(path, every=0.001, once=False, as_json=False)
    shown = capsys.readouterr().out
    assert "no calls yet / 暂无调用" in shown
    assert shown.index("qwen*") < shown.index("glm*")  # the busy one first


@pytest.mark.parametrize("once", [True, False])
async def test_on_a_terminal(path: str, monkeypatch: pytest.MonkeyPatch, *, once: bool) -> None:
    screen = TerminalText()
    monkeypatch.setattr(sys, "stdout", screen)
    async with told(path, [IDLE], [BUSY]):
        showing = show(path, every=0.001, once=once, as_json=False)
        if once:
            await showing
        else:
            with pytest.raises(WireError):
                await showing
    assert "glm*" in screen.getvalue()
    assert ("qwen*" in screen.getvalue()) != once


async def test_the_lanes_of_a_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    place = "redis://127.0.0.1:9/0"
    options: Any = {"every": 1, "once": True, "as_json": True}
    with pytest.raises(TokenGateError, match="Redis does not answer"):
        await show(place, **options)
    monkeypatch.setitem(sys.modules, "aiotokengate.redis", None)
    with pytest.raises(CallerError, match="needs the extra `redis`"):
        await show(place, **options)


def shown(lane: LaneStatistics, *, wide: bool = True) -> str:
    screen = StringIO()
    Console(width=120 if wide else 80, file=screen).print(table([lane], wide=wide))
    return screen.getvalue()


def test_what_a_lane_has_used() -> None:
    """A pace that is learned has only its rate, and what has no limit a dash."""
    assert "████████ 60/60" in shown(BUSY)
    assert "~900/min" in shown(BUSY)
    assert "1/5" in shown(BUSY)
    assert shown(IDLE).count(" - ") == 2
    half = attrs.evolve(BUSY, requests_left=30.0)
    assert "████░░░░ 30/60" in shown(half)


def test_why_a_lane_waits() -> None:
    assert "holds / 暂停 12 s" in shown(attrs.evolve(BUSY, hold=12.0))
    aside = attrs.evolve(BUSY, set_aside="401 \x1b", hold=12.0)
    assert "set aside / 停用: 401" in shown(aside)


def test_the_table_fits_a_narrow_terminal() -> None:
    """At 80 columns the bars go, and no word or number is cut."""
    lane = LaneStatistics(
        pattern="qwen3.6-max-preview*",
        key="…#4f7cfe",
        waiting=120,
        in_flight=32,
        admitted=12_345,
        refused=3,
        concurrency=32,
        requests_per_minute=300,
        tokens_per_minute=60_000,
        requests_left=10,
        tokens_left=5_000,
        hold=12,
        set_aside=None,
    )
    for wide, columns in ((True, 120), (False, 80)):
        screen = StringIO()
        Console(width=columns, file=screen).print(table([lane], wide=wide))
        shown = screen.getvalue()
        assert "…" not in shown.replace("…#4f7cfe", "", 1)
        for text in (
            "in flight",
            "waiting",
            "进行中",
            "32/32",
            "55,000/60,000",
            "12345",
            "refused",
        ):
            assert text in shown
        assert ("█" in shown) == wide


# --- of a pool, and of a Redis ------------------------------------------------------------------


async def run(*arguments: str) -> tuple[int, str, str]:
    """Run the command line; give its status, and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "aiotokengate",
        *arguments,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, errors = await process.communicate()
    return process.returncode or 0, out.decode(), errors.decode()


@pytest.mark.outside
async def test_top_of_a_pool(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A table for a person, JSON for a program; the key stays masked."""
    pool = Pool({"qwen*": Limits(requests_per_minute=60, concurrency=5)}, monitor=path)
    async with pool.slot("qwen3.6-plus", key=KEY):
        status, out, errors = await run("top", path, "--once")
        assert (status, errors) == (0, "")
        assert "qwen*" in out
        assert "1/5" in out
        assert "车道" in out
        await show(path, every=1, once=True, as_json=True)
    shown = capsys.readouterr().out
    assert json.loads(shown)[0]["in_flight"] == 1
    assert KEY not in shown + out
    pool.close()
    await asyncio.sleep(0)


@pytest.mark.outside
async def test_top_of_nobody(tmp_path: Path) -> None:
    """What to do is said in both languages."""
    status, _, errors = await run("top", str(tmp_path / "nobody.sock"), "--once")
    assert status == 1
    assert "no pool answers at" in errors
    assert "提示" in errors


@pytest.mark.outside
async def test_top_of_a_redis(capsys: pytest.CaptureFixture[str]) -> None:
    """The lanes that processes share."""
    with RedisServer() as redis:
        backend = RedisBackend(redis.url)
        pool = Pool(Limits(concurrency=3), backend=backend)
        async with pool.slot("qwen3.6-plus"):
            await show(redis.url, every=1, once=True, as_json=True)
        await backend.aclose()
    (lane,) = json.loads(capsys.readouterr().out)
    assert (lane["pattern"], lane["in_flight"], lane["concurrency"]) == ("*", 1, 3)


async def test_top_too_often(path: str) -> None:
    """A period is above 0."""
    status, _, errors = await run("top", path, "--every", "0")
    assert status == 1
    assert "expected --every in seconds above 0" in errors


async def test_top_of_no_redis() -> None:
    """The address is named, and never a password."""
    with pytest.raises(ConnectFailed, match="Redis does not answer at 127") as caught:
        await show("redis://:secret@127.0.0.1:9/0", every=1, once=True, as_json=True)
    assert "secret" not in str(caught.value)
