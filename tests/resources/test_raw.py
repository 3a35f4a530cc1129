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
    Retry,
    ServerFailed,
    StatusError,
    TimedOut,
    Timeout,
    TokenGate,
    TransportError,
    WireError,
)
from aiotokengate._http.uploads import Form, file_part
from aiotokengate._wire.sse import ServerSentEvent
from aiotokengate.testing import FakeGateway, Gate, Raw

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


async def test_events(gateway: FakeGateway, gate: TokenGate) -> None:
    data = "event: answer\ndata: 你好\n\n: PING\n\ndata: [DONE]\n\ndata: last".encode()
    gateway.script(Raw(body=data).drip(1), path=PATH)
    async with gate.request("POST", "/agent") as download:
        assert (download.status, download.content_type) == (200, "text/event-stream")
        events = [event async for event in download.events()]
    assert [(event.event, event.data.decode()) for event in events] == [
        ("answer", "你好"),
        ("", "[DONE]"),
        ("", "last"),
    ]
    assert download.request_id == gateway.requests[0].request_id


@pytest.mark.parametrize(
    ("body", "before"),
    [
        ('{"error":{"message":"坏了","code":502}}', 0),
        (': PING\n\n{"error":{"message":"坏了","code":502}}', 0),
        ('data: 1\n\ndata: 2\n\n{"error":{"message":"坏了","code":502}}\n', 2),
    ],
)
async def test_a_bare_error_among_events(
    gateway: FakeGateway, gate: TokenGate, body: str, before: int
) -> None:
    """What new-api writes when the upstream fails after the head was sent."""
    seen: list[ServerSentEvent] = []
    gateway.script(Raw(body=body.encode()).drip(7), path=PATH)
    with pytest.raises(ServerFailed, match="坏了"):
        async with gate.request("POST", "/agent", json={}) as download:
            async for event in download.events():
                seen += [event]
    assert len(seen) == before
    assert gate.pool.statistics().in_flight == 0


async def test_json_in_place_of_events(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(Raw(body=b'\n {"answer":\n "A"}\n').drip(3), path=PATH)
    async with gate.request("POST", "/agent", json={}) as download:
        (event,) = [event async for event in download.events()]
    assert orjson.loads(event.data) == {"answer": "A"}


async def test_bytes_as_they_come(gateway: FakeGateway, gate: TokenGate) -> None:
    hold = Gate()
    gateway.script(raw([b"one", hold, b"two"], BYTES), path=PATH)
    async with gate.request("POST", "/agent") as download:
        pieces = aiter(download)
        assert await anext(pieces) == b"one"
        hold.open()
        assert b"".join([piece async for piece in pieces]) == b"two"


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


async def test_too_much(gateway: FakeGateway) -> None:
    gateway.script(raw(b"x" * 5_000, BYTES), path=PATH)
    key, url = gateway.api_key, gateway.base_url
    async with TokenGate(api_key=key, base_url=url, max_reply_bytes=4_000) as gate:
        with pytest.raises(WireError, match="at most 4000 bytes"):
            await gate.request("POST", "/agent", json={})


async def test_a_cut_is_an_error_and_not_an_end(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(raw(b"half", BYTES, end="reset"), path=PATH)
    with pytest.raises(TransportError):
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


# --- files --------------------------------------------------------------------------------------


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_saved_whole(gateway: FakeGateway, gate: TokenGate, tmp_path: Path) -> None:
    gateway.script(raw(TEXT.encode(), BYTES), path=PATH)
    async with gate.request("GET", "/agent") as download:
        path = await download.save(tmp_path / "文件.txt")
    assert path.read_text("utf-8") == TEXT
    assert names(tmp_path) == ["文件.txt"]


class Ranges:
    """A file that is cut after some bytes, each time it is asked for."""

    def __init__(self, data: bytes, cuts: list[int], *, honest: bool = True) -> None:
        self.data = data
        self.cuts = cuts
        self.honest = honest
        self.asked: list[str | None] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        asked = request.headers.get("Range")
        self.asked.append(asked)
        start = int(asked[6:-1]) if asked and self.honest else 0
        data = self.data[start:]
        headers = {**BYTES, "Content-Length": str(len(data))}
        response = web.StreamResponse(status=206 if start else 200, headers=headers)
        await response.prepare(request)
        if not self.cuts:
            await response.write(data)
            return response
        await response.write(data[: self.cuts.pop(0)])
        assert request.transport is not None
        request.transport.close()
        return response


async def test_a_cut_download_goes_on(
    gateway: FakeGateway, gate: TokenGate, tmp_path: Path
) -> None:
    file = Ranges(TEXT.encode(), [100, 50])
    gateway.script(*[file] * 3, path=PATH)
    async with gate.request("GET", "/agent") as download:
        path = await download.save(tmp_path / "a")
    assert path.read_text("utf-8") == TEXT
    assert file.asked == [None, "bytes=100-", "bytes=150-"]


async def test_a_server_without_ranges_begins_again(
    gateway: FakeGateway, gate: TokenGate, tmp_path: Path
) -> None:
    file = Ranges(TEXT.encode(), [100], honest=False)
    gateway.script(*[file] * 2, path=PATH)
    async with gate.request("GET", "/agent") as download:
        path = await download.save(tmp_path / "a")
    assert path.read_text("utf-8") == TEXT


async def test_the_rest_is_of_the_same_file(
    gateway: FakeGateway, gate: TokenGate, tmp_path: Path
) -> None:
    """A file that was changed, or a wrong part of one, is fetched anew."""
    asked: list[tuple[str | None, str | None]] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        asked.append((request.headers.get("Range"), request.headers.get("If-Range")))
        sent = TEXT.encode()
        size, status, more = {
            1: (100, 200, {"ETag": '"old"'}),
            2: (len(sent), 206, {"ETag": '"new"', "Content-Range": f"bytes 100-{len(sent)}/1"}),
            3: (200, 200, {"ETag": 'W/"new"', "Last-Modified": "Mon, 25 May 2026 10:34:44 GMT"}),
            4: (len(sent), 206, {"Content-Range": f"bytes 100-{len(sent)}/{len(sent)}"}),
        }.get(len(asked), (len(sent), 200, {}))
        headers = {**BYTES, **more, "Content-Length": str(len(sent))}
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        await response.write(sent[:size])
        if size < len(sent):
            assert request.transport is not None
            request.transport.close()
        return response

    gateway.script(*[serve] * 5, path=PATH)
    async with gate.request("GET", "/agent") as download:
        path = await download.save(tmp_path / "a")
    assert path.read_text("utf-8") == TEXT
    assert asked == [
        (None, None),
        ("bytes=100-", '"old"'),
        (None, None),
        ("bytes=200-", "Mon, 25 May 2026 10:34:44 GMT"),
        (None, None),
    ]


async def test_a_rest_that_is_none_is_fetched_anew(
    gateway: FakeGateway, gate: TokenGate, tmp_path: Path
) -> None:
    """As from a server whose file has become shorter."""

    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=416, headers={"Content-Range": "bytes */50"})

    gateway.script(Ranges(TEXT.encode(), [100]), refuse, Ranges(b"short", []), path=PATH)
    async with gate.request("GET", "/agent") as download:
        path = await download.save(tmp_path / "a")
    assert path.read_bytes() == b"short"


async def test_a_part_that_was_asked_for_is_not_resumed(
    gateway: FakeGateway, gate: TokenGate, tmp_path: Path
) -> None:
    """Where a part begins is known to who asked for it alone."""
    gateway.script(*[Ranges(TEXT.encode(), [20])] * 2, path=PATH)
    options: Any = {"extra_headers": {"Range": "bytes=10-"}}
    with pytest.raises(TransportError):
        async with gate.request("GET", "/agent", **options) as download:
            await download.save(tmp_path / "a")
    assert names(tmp_path) == []


async def test_beginning_anew_is_bounded(
    gateway: FakeGateway, gate: TokenGate, tmp_path: Path
) -> None:
    """A server without ranges that is cut at the same place each time is given up."""
    file = Ranges(TEXT.encode(), [100] * 50, honest=False)
    gateway.script(*[file] * 50, path=PATH)
    with pytest.raises(TransportError):
        async with gate.request("GET", "/agent") as download:
            await download.save(tmp_path / "a")
    assert len(file.asked) < 10


@pytest.mark.parametrize("attempts", [1, 2, 4])
async def test_a_resumed_download_counts(
    gateway: FakeGateway, gate: TokenGate, tmp_path: Path, attempts: int
) -> None:
    """Asking for the rest is an attempt like others, as long as nothing new comes."""
    file = Ranges(TEXT.encode(), [100, *[0] * 50])
    gateway.script(*[file] * 50, path=PATH)
    with pytest.raises(TransportError):
        async with gate.request("GET", "/agent", retry=Retry(attempts=attempts)) as download:
            await download.save(tmp_path / "a")
    assert len(file.asked) == attempts


async def test_what_is_never_whole_is_no_file(
    gateway: FakeGateway, gate: TokenGate, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("old")
    gateway.script(*[Ranges(TEXT.encode(), [0])] * 9, path=PATH)
    with pytest.raises(TransportError):
        async with gate.request("POST", "/agent", json={}) as download:
            await download.save(tmp_path / "a")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


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
