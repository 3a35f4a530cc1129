"""``aiotokengate gateway --record`` and ``--replay``."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aiotokengate import (
    StatusError,
    TokenGate,
)
from aiotokengate._cli.gateway import main
from aiotokengate.testing import (
    FakeGateway,
    ScriptedReply,
)
from tests.support.recordings import KEY, ONCE, deltas


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with FakeGateway(api_key=KEY) as gateway:
        yield gateway


@contextlib.asynccontextmanager
async def command(*options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run the command; return the process and its address."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-W", "error", "-m", "aiotokengate", "gateway"),
        *("--port", "0", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        yield process, line.removeprefix("listening on ").strip()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_the_command_records_and_replays(gateway: FakeGateway, tmp_path: Path) -> None:
    file = tmp_path / "exchanges.json"
    gateway.script(ScriptedReply(reasoning="想", answer="好 📼"))
    async with command("--record", str(file), "--to", gateway.base_url) as (process, address):
        async with TokenGate(api_key=KEY, base_url=address) as gate:
            first = await deltas(gate)
        process.send_signal(signal.SIGINT)
        _, told = await process.communicate()
        assert process.returncode == 130
    lines = told.decode().splitlines()
    assert lines[2:] == [
        "POST /chat/completions 200",
        f"recorded 1 exchanges in {file} / 已录制 1 次请求",
    ]
    assert KEY not in file.read_text("utf-8")
    async with command("--replay", str(file), "--quiet") as (process, address):
        async with TokenGate(api_key="sk-any", base_url=address, retry=ONCE) as gate:
            assert await deltas(gate) == first
            with pytest.raises(StatusError, match=r"but nothing more.*code not_recorded"):
                await deltas(gate)
        process.terminate()
        assert await process.communicate() == (b"", b"")
        assert process.returncode == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--record", "a"], "--record and --to go together"),
        (["--to", "http://127.0.0.1/v1"], "--record 与 --to 必须同时使用"),
        (["--record", "a", "--to", "wan.vnet.com"], "begins with http:// or https://"),
        (["--record", "a", "--to", "http://a", "--replay", "b"], "expected --record or --replay"),
        (["--rhythm"], "--rhythm is for --replay"),
        (["--record", "a", "--to", "http://a", "--api-key", "sk-a"], "without a key or limits"),
        (["--record", "a", "--to", "http://a", "--concurrency", "1"], "without a key or limits"),
    ],
)
def test_options_that_do_not_go_together(
    capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(options)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_trouble_with_files_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing, wrong = tmp_path / "no" / "a.json", tmp_path / "a.json"
    wrong.write_text("{}")
    assert main(["--port", "0", "--replay", str(missing)]) == 1
    assert main(["--port", "0", "--record", str(missing), "--to", "http://127.0.0.1:1/v1"]) == 1
    assert main(["--port", "0", "--replay", str(wrong)]) == 1
    first, second, third = capsys.readouterr().err.splitlines()
    trouble = f"cannot use the file / 无法使用文件 {missing}: No such file or directory"
    assert first == second == f"aiotokengate gateway: {trouble}"
    assert third.startswith(f"aiotokengate gateway: expected a recording in '{wrong}'")
