"""``aiotokengate gateway``: a gateway for any client, at the command line."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator

import aiohttp
import pytest

from aiotokengate._cli.gateway import main
from tests.support.bare_client import (
    DONE,
    GREETING,
)
from tests.support.common import without_slow_steps

COMMAND = (
    sys.executable,
    "-X",
    "dev",
    "-W",
    "error",
    "-c",
    "import sys; from aiotokengate._cli.gateway import main; sys.exit(main(sys.argv[1:]))",
)


@pytest.fixture
def command() -> Iterator[subprocess.Popen[str]]:
    options = ("--port", "0", "--pace", "fast", "--keep-alive", "5", "--quiet")
    with subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def ready_address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("listening on http://127.0.0.1:")
    assert line.endswith("/v1\n")
    return line.removeprefix("listening on ").strip()


async def test_the_command_serves_any_key(command: subprocess.Popen[str]) -> None:
    url = f"{await asyncio.to_thread(ready_address, command)}/chat/completions"
    body = {"model": "glm-5.1", "stream": True, "messages": GREETING}
    headers = {"Authorization": "Bearer sk-anything"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(url, json=body) as response,
    ):
        assert (await response.text()).endswith(f"{DONE}\n\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_command_ends_cleanly(
    command: subprocess.Popen[str], number: signal.Signals, status: int
) -> None:
    ready_address(command)
    command.send_signal(number)
    output, errors = command.communicate()
    assert (output, without_slow_steps(errors)) == ("", "")
    assert command.returncode == status


def run_command(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False)


def test_a_port_in_use_is_one_clear_line(command: subprocess.Popen[str]) -> None:
    port = ready_address(command).removesuffix("/v1").rpartition(":")[2]
    done = run_command("--port", port)
    assert done.returncode == 1
    assert done.stdout == ""
    assert without_slow_steps(done.stderr) == (
        "aiotokengate gateway: cannot listen on / 无法监听"
        f" 127.0.0.1:{port}: Address already in use\n"
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--port", "65536"), "expected a port from 0 to 65535, got '65536'"),
        (("--port", "-1"), "expected a port from 0 to 65535, got '-1'"),
        (("--api-key", ""), "expected printable ASCII characters without spaces"),
        (("--api-key", "密钥"), "expected printable ASCII characters without spaces"),
        (("--keep-alive", "nan"), "expected seconds above 0, got 'nan'"),
        (("--unreliable", "1.5"), "expected a share from 0 to 1, got '1.5'"),
        (("--pace", "slow"), "choose from"),
    ],
)
def test_wrong_options_are_explained(options: tuple[str, ...], text: str) -> None:
    done = run_command(*options)
    assert done.returncode == 2
    assert text in done.stderr


def test_the_help_is_in_both_languages() -> None:
    text = run_command("--help").stdout
    assert "Stop with Ctrl-C" in text
    assert "按 Ctrl-C 停止" in text


MODEL = "qwen3.6-max-preview"


async def test_the_command_enforces_limits() -> None:
    limits: list[str] = [
        *("--requests-per-minute", "2", "--tokens-per-minute", "1e9", "--burst-slope", "9"),
        *("--limit-kind", "sliding", "--limit-per", "key-and-model", "--refusal", "empty"),
        *("--charge", "usage", "--limit-headers", "--retry-after"),
    ]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "aiotokengate", "gateway", "--port", "0", "--pace", "fast"),
        *("--quiet", *limits),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        url = f"{line.removeprefix('listening on ').strip()}/chat/completions"
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer sk-x"}) as http:
            for status, left in [(200, "1"), (200, "0"), (429, "0")]:
                body = {"model": MODEL, "messages": GREETING}
                async with http.post(url, json=body) as response:
                    text = await response.text()
                assert response.status == status
                assert response.headers["x-ratelimit-remaining-requests"] == left
        assert text == ""
        assert 1 <= int(response.headers["Retry-After"]) <= 60
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--requests-per-minute", "0", "expected a number above 0, got '0'"),
        ("--tokens-per-minute", "viel", "expected a number above 0, got 'viel'"),
        ("--tokens-per-minute", "nan", "expected a number above 0, got 'nan'"),
        ("--concurrency", "1.5", "expected an integer from 1, got '1.5'"),
        ("--burst-slope", "0", "expected an integer from 1, got '0'"),
        ("--limit-kind", "leaky", "invalid choice: 'leaky'"),
    ],
)
def test_wrong_limits_are_explained(
    capsys: pytest.CaptureFixture[str], option: str, value: str, expected: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([option, value])
    assert stopped.value.code == 2
    assert expected in capsys.readouterr().err
