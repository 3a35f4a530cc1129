"""Anything on the gateway: JSON, events and bytes, up and down, and never the key elsewhere."""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from aiotokengate import (
    BadRequest,
    CallerError,
    Limits,
    Pool,
    StatusError,
    TimedOut,
    Timeout,
    TokenGate,
    WireError,
)
from aiotokengate._http.uploads import Form, file_part
from aiotokengate.testing import FakeGateway, Raw

PATH = "/v1/agent"
TEXT = "你好，世界 🌏 " * 400
JSON = {"Content-Type": "application/json"}
BYTES = {"Content-Type": "application/octet-stream"}


def raw(body: Any, headers: dict[str, str] = JSON, **more: Any) -> Raw:
    return Raw(body=body, headers=headers, **more)


# --- what comes ---------------------------------------------------------------------------------


async def test_json_is_parsed(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(raw(orjson.dumps({"分数": [1, 2]})), path=PATH)
    assert await gate.request("POST", "/agent", json={"问": "你好 👋"}) == {"分数": [1, 2]}
    request = gateway.requests[0]
    assert (request.method, request.json) == ("POST", {"问": "你好 👋"})
    assert request.headers["Authorization"] == f"Bearer {gateway.api_key}"


async def test_what_is_no_json_is_bytes(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(raw(TEXT.encode(), BYTES), path=PATH)
    assert await gate.request("GET", "/agent") == TEXT.encode()


async def test_beside_the_base_and_on_it(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(raw(b"1"), path="/suno/fetch/x")
    assert await gate.request("GET", "../suno/fetch/x") == 1
    whole = f"{gateway.base_url}/agent"
    gateway.script(raw(b"2"), path=PATH)
    assert await gate.request("GET", whole) == 2
    assert "Authorization" in gateway.requests[1].headers


# --- errors -------------------------------------------------------------------------------------


async def test_an_error_is_one_whatever_the_status(gateway: FakeGateway, gate: TokenGate) -> None:
    body = orjson.dumps({"error": {"message": "nicht so", "code": "invalid_request_error"}})
    gateway.script(raw(body, status=422), raw(body), path=PATH)
    for _ in range(2):
        with pytest.raises(BadRequest, match="nicht so"):
            await gate.request("POST", "/agent", json={})


async def test_json_that_is_none(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(raw(b"{"), path=PATH)
    with pytest.raises(WireError, match="expected JSON, got 1 bytes"):
        await gate.request("POST", "/agent", json={})


async def test_silence_is_bounded(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(raw(b"half", BYTES, end="hang"), path=PATH)
    call = gate.request("POST", "/agent", json={}, timeout=Timeout(stall=0.3))
    with pytest.raises(TimedOut) as raised:
        await call
    assert raised.value.phase == "stall"
    gateway.script(raw(b"half", BYTES, end="hang"), path=PATH)
    with pytest.raises(TimedOut) as raised:
        await gate.request("POST", "/agent", json={}, deadline=0.3)
    assert raised.value.phase == "deadline"


async def test_wrong_arguments(gate: TokenGate) -> None:
    with pytest.raises(CallerError, match="expected a method as one of GET, POST"):
        gate.request("FETCH", "/x")  # type: ignore[arg-type]
    with pytest.raises(CallerError, match="expected costly as True or False, got int"):
        gate.request("GET", "/x", costly=1)  # type: ignore[arg-type]
    with pytest.raises(CallerError, match="expected a path such as '/rerank'"):
        gate.request("GET", "x")
    with pytest.raises(CallerError, match="a is nan, expected a finite number"):
        gate.request("POST", "/x", json={"a": float("nan")})
    with pytest.raises(CallerError, match="control characters, got one in 'a'"):
        gate.request("GET", "/x", extra_headers={"a": "b\r\n"})
    with pytest.raises(CallerError, match="deadline in seconds above 0"):
        gate.request("GET", "/x", deadline=0)


async def test_a_call_is_used_once(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(raw(b"1"), path=PATH)
    call = gate.request("GET", "/agent")
    assert repr(call) == "<RawCall GET /agent unused>"
    assert await asyncio.create_task(call) == 1
    with pytest.raises(CallerError, match="awaited already"):
        await call
    gate.request("GET", "/agent").close()


# --- the pool -----------------------------------------------------------------------------------


async def test_a_place_is_held_until_the_answer_is_over(gateway: FakeGateway) -> None:
    pool = Pool({"m": Limits(concurrency=1)})
    key, url = gateway.api_key, gateway.base_url
    async with TokenGate(api_key=key, base_url=url, pool=pool) as gate:
        gateway.script(*[raw(b"1", BYTES)] * 4, path=PATH)
        async with gate.request("POST", "/agent", json={"model": "m"}):
            assert pool.statistics().in_flight == 1
            waiting = asyncio.create_task(gate.request("POST", "/agent", json={"model": "m"}))
            await asyncio.sleep(0)
            assert pool.statistics().waiting == 1
        assert await waiting == b"1"
        # Dropped unread, it gives its place back at once.
        call = gate.request("POST", "/agent", json={"model": "m"})
        download = await call.__aenter__()
        assert pool.statistics().in_flight == 1
        del download, call
        assert pool.statistics().in_flight == 0
        await gate.request("POST", "/agent", json={"model": "m"})
        assert pool.statistics().in_flight == 0


async def test_a_cancelled_reader_frees_its_place(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(raw(b"half", BYTES, end="hang"), path=PATH)
    gc.disable()
    try:
        task = asyncio.create_task(gate.request("POST", "/agent", json={"model": "m"}))
        request = await gateway.wait_requests()
        assert gate.pool.statistics().in_flight == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert gate.pool.statistics().in_flight == 0
        await gateway.wait_disconnected(request)
    finally:
        gc.enable()


# --- elsewhere ----------------------------------------------------------------------------------


@asynccontextmanager
async def elsewhere(answer: bytes) -> AsyncIterator[tuple[str, list[web.Request]]]:
    """Run another server, that knows of no gateway; give its address, and what it was asked."""
    asked = []

    async def serve(request: web.Request) -> web.Response:
        asked.append(request)
        return web.Response(body=answer, headers=BYTES)

    app = web.Application()
    app.router.add_get("/file", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/file", asked
    finally:
        await runner.cleanup()


async def test_what_stands_elsewhere_is_fetched_without_the_key(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    async with elsewhere("文件 📁".encode()) as (address, asked):

        async def moved(_: web.Request) -> web.StreamResponse:
            return web.Response(status=302, headers={"Location": address})

        gateway.script(moved, path=PATH)
        own = {"authorization": f"Bearer {gateway.api_key}", "X-Api-Key": "k", "Range": "bytes=0-"}
        assert await gate.request("GET", "/agent", extra_headers=own) == "文件 📁".encode()
        assert await gate.request("GET", address) == "文件 📁".encode()
    assert len(asked) == 2
    assert not any({"Authorization", "X-Api-Key"} & {*request.headers} for request in asked)
    assert asked[0].headers["Range"] == "bytes=0-"


async def test_a_redirect_to_the_same_host_is_not_followed(gateway: FakeGateway) -> None:
    """However the host is spelt."""
    address = gateway.base_url.replace("127.0.0.1", "LOCALHOST")
    target = address.replace("LOCALHOST", "localhost") + "/models"

    async def moved(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": target})

    gateway.script(moved, path=PATH)
    async with TokenGate(api_key=gateway.api_key, base_url=address) as gate:
        with pytest.raises(StatusError, match="redirect not followed"):
            await gate.request("GET", "/agent")


async def test_a_file_that_is_gone_when_it_is_sent(gate: TokenGate, tmp_path: Path) -> None:
    """It is no failure of the network, and not tried again."""
    path = tmp_path / "音.wav"
    path.write_bytes(b"a")
    form = Form(files=(file_part("file", path),))
    path.unlink()
    with pytest.raises(FileNotFoundError):
        await gate.request("POST", "/agent", form=form)


# --- forms --------------------------------------------------------------------------------------


def form_of(gateway: FakeGateway) -> dict[str, tuple[str | None, str | None, bytes]]:
    request = gateway.requests[-1]
    boundary = request.headers["Content-Type"].partition("boundary=")[2].encode()
    found = {}
    for part in request.body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name, filename, kind = (
            match[1] if (match := re.search(pattern, head.decode())) else None
            for pattern in (r' name="(.*?)"', r'filename="(.*?)"', r"Content-Type: (\S+)")
        )
        found[name or ""] = (filename, kind, content.removesuffix(b"\r\n"))
    return found


async def stream() -> AsyncIterator[bytes]:
    yield "流".encode()
    yield "🌊".encode()


async def test_a_form_with_files(gateway: FakeGateway, gate: TokenGate, tmp_path: Path) -> None:
    (tmp_path / "录音.wav").write_bytes(b"RIFF")
    form = Form(
        (("model", "whisper-1"), ("prompt", "你好 👋")),
        (
            file_part("file", tmp_path / "录音.wav"),
            file_part("mask", b"\x89PNG", "m.png"),
            file_part("more", stream()),
        ),
    )
    gateway.script(raw(b"1"), path=PATH)
    assert await gate.request("POST", "/agent", form=form) == 1
    sent = form_of(gateway)
    assert sent["prompt"][2].decode() == "你好 👋"
    assert sent["file"] == ("录音.wav", "audio/x-wav", b"RIFF")
    assert sent["mask"] == ("m.png", "image/png", b"\x89PNG")
    assert sent["more"] == ("more", "application/octet-stream", "流🌊".encode())


async def test_a_path_is_sent_again_and_a_stream_is_not(
    gateway: FakeGateway, gate: TokenGate, tmp_path: Path
) -> None:
    """Whether the upload failed, or was refused for a limit."""
    (tmp_path / "a").write_bytes(b"RIFF")
    for busy in (raw(b"{}", status=500), Raw(429, b"{}", {"Retry-After": "0"})):
        gateway.unscript()
        gateway.script(busy, raw(b"1"), path=PATH)
        form = Form(files=(file_part("file", tmp_path / "a"),))
        assert await gate.request("POST", "/agent", form=form, costly=False) == 1
        gateway.script(busy, raw(b"1"), path=PATH)
        once = Form(files=(file_part("f", stream()),))
        with pytest.raises(StatusError) as raised:
            await gate.request("POST", "/agent", form=once, costly=False)
        assert raised.value.__notes__ == [
            "not tried again: the stream that was uploaded can be read once"
        ]


def test_a_file_is_bytes_a_path_or_a_stream(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="expected file as the path of a file, there is none"):
        file_part("file", tmp_path / "none")
    with pytest.raises(CallerError, match="expected file as bytes, a path or an async iterable"):
        file_part("file", 7)


@pytest.mark.parametrize("body", ["not a dict", 5])
async def test_a_body_that_is_no_json_object(
    gateway: FakeGateway, gate: TokenGate, body: Any
) -> None:
    with pytest.raises(CallerError, match="expected json as a dict or a list, or a Form, got"):
        gate.request("POST", "/agent", json=body)
    assert gateway.requests == []
