"""An answer that is no chat: read in five ways, cut, gone on with, and never half a file."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from aiotokengate import (
    CallerError,
    Retry,
    ServerFailed,
    StatusError,
    StreamInterrupted,
    TimedOut,
    TokenGate,
    TokenGateError,
    TransportError,
    WireError,
)
from aiotokengate._stream.clocks import Watch
from aiotokengate._stream.download import Download, DownloadSettings, make_room, write_whole
from aiotokengate._wire.sse import ServerSentEvent
from aiotokengate.testing import FakeGateway, Gate, Raw
from aiotokengate.testing._clock import VirtualClock
from aiotokengate.testing._script import Pause
from aiotokengate.testing._scripted_body import ScriptedBody, Step

PATH = "/v1/agent"
TEXT = "你好，世界 🌏 " * 400
JSON = {"Content-Type": "application/json"}
BYTES = {"Content-Type": "application/octet-stream"}
RESET = ConnectionResetError("gone")


def raw(body: Any, headers: dict[str, str] = JSON, **more: Any) -> Raw:
    return Raw(body=body, headers=headers, **more)


def download(
    *steps: Step,
    clock: VirtualClock | None = None,
    status: int = 200,
    headers: Mapping[str, str] = BYTES,
    **settings: Any,
) -> Download:
    """Return a download over a body that is read step by step."""
    clock = clock or VirtualClock()
    known = {"limit": None, "stall": None, "most": 1 << 20, "headers": headers, **settings}
    about = DownloadSettings(clock, clock.now(), **known)
    return Download(ScriptedBody(steps, clock=clock), about, status, headers, "r1")


# --- through a session --------------------------------------------------------------------------


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


# --- without a session --------------------------------------------------------------------------


def test_it_needs_a_loop_and_names_its_state() -> None:
    async def use() -> None:
        one = download(b"1", headers={"Content-Type": "Audio/MPEG; rate=1"})
        assert (one.content_type, repr(one)) == ("audio/mpeg", "<Download 200 audio/mpeg open>")
        async with one:
            pass
        assert repr(one) == "<Download 200 audio/mpeg ended>"
        assert repr(download(headers={})) == "<Download 200 untyped open>"

    asyncio.run(use())


async def test_it_has_one_reader() -> None:
    clock = VirtualClock()
    one = download(Pause(math.inf), clock=clock)
    reading = asyncio.create_task(one.read())
    await clock.run_for(1)
    with pytest.raises(CallerError, match="read by one reader, in the event loop"):
        await one.read()
    with pytest.raises(CallerError, match="read by one reader"):
        await asyncio.to_thread(asyncio.run, one.read())
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_its_end_stays() -> None:
    """An answer that was read is empty then, and one that broke breaks again."""
    whole = download(b"1")
    assert [await whole.read(), await whole.read()] == [b"1", b""]
    broken = download(b"1", RESET, b"2")
    assert [piece async for piece in _until(broken, TransportError)] == [b"1", b"2"]
    with pytest.raises(TransportError, match="the connection broke"):
        await broken.read()


async def _until(one: Download, kind: type[Exception]) -> AsyncIterator[bytes]:
    with pytest.raises(kind):
        async for piece in one:
            yield piece


async def test_an_error_tells_what_was_tried() -> None:
    made: Any = ("first", "second")
    one = download(RESET)
    one.note_attempts(made)
    with pytest.raises(TransportError) as raised:
        await one.read()
    assert raised.value.attempts == made


async def test_json_that_is_an_error_or_none() -> None:
    assert await download(b'{"a"', b":1}").json() == {"a": 1}
    quoting = b'{"error":{"message":"no: a secret prompt of mine","code":502}}'
    with pytest.raises(ServerFailed, match=r"no: \[…\]"):
        await download(quoting, secrets=lambda: ["a secret prompt of mine"]).json()
    for wrong in (b"{", b"[" * 200_000):
        with pytest.raises(WireError, match=f"expected JSON, got {len(wrong)} bytes") as raised:
            await download(wrong).json()
        assert raised.value.request_id == "r1"


async def test_where_a_file_is_expected() -> None:
    await download(b"ID3").expect("audio")
    error = b'{"error":{"message":"no voice","code":502}}'
    with pytest.raises(ServerFailed, match="no voice"):
        await download(error, headers=JSON).expect("audio")
    for kind in ("application/json", "text/html", "application/xhtml+xml"):
        one = download(b"{}", headers={"Content-Type": kind})
        with pytest.raises(WireError) as raised:
            await one.expect("audio")
        assert raised.value.message == f"expected audio, got an answer of type {kind}"
        assert repr(one).endswith("ended>")


async def test_neither_events_nor_json() -> None:
    events = download(b"{half", b" of it", most=8).events()
    with pytest.raises(WireError, match="got 11 bytes that are neither events nor JSON"):
        await anext(events)
    listed = [event.data async for event in download(b"\xef\xbb\xbf[1]").events()]
    assert listed == [b"[1]"]


async def test_an_odd_line_is_no_error() -> None:
    steps = (b'{"error"\n\n', b"data: 1\n\n{half\n\n")
    first = download(b": PING\n\n", *steps).events()
    assert [event.data async for event in first] == [b"1"]


async def test_so_many_bytes_and_no_more() -> None:
    assert await download(b"123", b"45", most=5).read() == b"12345"
    made: Any = ("first",)
    one = download(b"123", b"456", b"7", most=5)
    one.note_attempts(made)
    with pytest.raises(WireError) as raised:
        await one.read()
    error = raised.value
    assert error.message == "expected at most 5 bytes (max_reply_bytes), got more"
    assert (error.request_id, error.attempts) == ("r1", made)
    assert repr(one).endswith("ended>")


def events_of(*steps: Step, **settings: Any) -> AsyncIterator[ServerSentEvent]:
    return download(*steps, **settings).events()


async def data_of(events: AsyncIterator[ServerSentEvent]) -> list[bytes]:
    return [event.data async for event in events]


@pytest.mark.parametrize(
    ("steps", "data"),
    [
        ([b"\xef\xbb\xbf \t\r\n", b'{"a":', b"1}\n"], [b'{"a":1}']),
        ([b"  [1]  "], [b"[1]"]),
        ([b"\n\n", b"data: 1\n", b"\ndata: 2"], [b"1", b"2"]),
        ([b": x\n\n", b'data: {"a":1}\n\n'], [b'{"a":1}']),
        ([b"data: 1\n\n", b'[{"a":1}]\n\n', b"data: 2\n\n"], [b"1", b"2"]),
        ([], []),
    ],
    ids=str,
)
async def test_events_and_what_comes_in_their_place(steps: list[Step], data: list[bytes]) -> None:
    events = events_of(*steps)
    assert await data_of(events) == data
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await anext(events)


FIRST = b'{"error":{"message":"first","code":502}}'


async def test_how_large_what_comes_in_place_of_events_may_be() -> None:
    """An event may have so many bytes, and JSON as well."""
    assert await data_of(events_of(b"[1,", b"2,3]", most=7)) == [b"[1,2,3]"]
    with pytest.raises(WireError, match="got 9 bytes that are neither events nor JSON"):
        await data_of(events_of(b"[1,", b"2,3,4,", b"5]", most=7))
    with pytest.raises(WireError):
        await data_of(events_of(b"data: 12345678\n\n", most=7))


@pytest.mark.parametrize(
    ("steps", "before"),
    [
        ([FIRST], 0),
        ([b"data: 1\n\n" + FIRST + b"\n", b"data: 2\n\n"], 1),
        (
            [b"data: 1\n\n%b\n%b\n\ndata: 2\n\n" % (FIRST, FIRST.replace(b"first", b"second"))],
            2,
        ),
    ],
)
async def test_an_error_among_events_ends_it(steps: list[Step], before: int) -> None:
    """After what came with it; the first one, as often as one asks."""
    ended: list[object] = []
    one = download(*steps, secrets=lambda: ["a secret"])
    one.watched(Watch(VirtualClock()), ended.append)
    events = one.events()
    for _ in range(before):
        await anext(events)
    for _ in range(2):
        with pytest.raises(ServerFailed, match="first") as raised:
            await anext(events)
    assert ended == [raised.value] or not before


@pytest.mark.parametrize("way", ["pieces", "events"])
async def test_an_error_shows_no_frame_that_holds_the_body(way: str) -> None:
    one = download(RESET)
    items: AsyncIterator[object] = aiter(one) if way == "pieces" else one.events()
    with pytest.raises(TransportError) as raised:
        await anext(items)
    frames = traceback.extract_tb(raised.value.__traceback__)
    assert [frame.filename for frame in frames] == [__file__]


@pytest.mark.parametrize(
    ("kind", "fits"),
    [
        ("audio/mpeg", True),
        ("", True),
        ("text/plain", True),
        ("application/json", False),
        ("application/problem+json", False),
        ("text/html", False),
        ("application/xhtml+xml", False),
    ],
)
async def test_which_types_are_files(kind: str, fits: bool) -> None:
    one = download(b"{}", headers={"Content-Type": f"{kind.upper()}; charset=utf-8"})
    assert one.content_type == kind
    if fits:
        await one.expect("audio")
        assert await one.read() == b"{}"
    else:
        with pytest.raises(WireError, match="expected audio, got an answer of type"):
            await one.expect("audio")


# --- clocks and owners --------------------------------------------------------------------------


class Looked(Watch):
    """A watch that a test looks through, and that knows what it has watched."""

    def __init__(self) -> None:
        super().__init__(VirtualClock())
        self.flows: list[Any] = []
        self.gone: list[Any] = []

    def add(self, watched: Any) -> None:
        self.flows.append(watched)

    def discard(self, watched: Any) -> None:
        self.gone.append(watched)


async def test_when_its_clocks_are_looked_at_next() -> None:
    """A stall counts while somebody waits, in whatever turns, and anew with each piece."""
    clock, watch = VirtualClock(), Looked()
    steps: list[Step] = [b"1", Pause(30), b"2", Pause(math.inf)]
    one = download(*steps, clock=clock, stall=50.0, limit=(500.0, "total", 500.0))
    one.watched(watch, lambda _: None)
    (flow,) = watch.flows
    pieces = aiter(one)
    assert await anext(pieces) == b"1"
    await clock.run_for(10)
    assert flow.tick(clock.now()) == 60.0  # nobody waits
    with pytest.raises(TimeoutError):
        await _timed(clock, pieces, 5.0)
    assert flow.tick(clock.now()) == 60.0
    await clock.run_for(10)
    assert flow.tick(clock.now()) == 70.0
    assert await _timed(clock, pieces, 20.0) == b"2"
    assert (clock.now(), flow.tick(clock.now())) == (45.0, 95.0)
    waiting = asyncio.ensure_future(anext(pieces))
    await clock.run_for(49)
    assert flow.tick(clock.now()) == 95.0
    await clock.run_for(1)
    assert flow.tick(clock.now()) == math.inf
    with pytest.raises(TimedOut) as raised:
        await waiting
    assert raised.value.phase == "stall"
    assert watch.gone == [flow]


async def test_the_limit_of_its_call() -> None:
    clock, watch = VirtualClock(start=100.0), Looked()
    one = download(b"1", Pause(math.inf), clock=clock, limit=(20.0, "deadline", 25.0))
    one.watched(watch, lambda _: None)
    (flow,) = watch.flows
    assert flow.tick(119.0) == 120.0
    assert flow.tick(120.0) == math.inf
    with pytest.raises(TimedOut) as raised:
        await one.read()
    assert (str(raised.value), repr(one)[-6:]) == (str(TimedOut("deadline", 25.0)), "ended>")


ENDS: dict[str, tuple[list[Step], str, type[Exception] | None]] = {
    "read": ([b"1"], "released", None),
    "broken": ([b"1", RESET], "closed", TransportError),
    "broken with a rest": ([b"1", RESET, b"2"], "closed", TransportError),
}


@pytest.mark.parametrize("case", ENDS)
async def test_an_end_is_told_once_and_leaves_the_connection(case: str) -> None:
    """One that was read to its end may serve again."""
    steps, state, kind = ENDS[case]
    ended: list[TokenGateError | None] = []
    watch, body = Looked(), ScriptedBody(steps)
    one = Download(body, DownloadSettings(VirtualClock(), 0.0, None, None, 9), 200, BYTES, "r1")
    one.watched(watch, ended.append)
    if kind is None:
        assert await one.read() == b"1"
    else:
        with pytest.raises(kind):
            await one.read()
    one.close()
    assert (body.state, len(ended), watch.gone) == (state, 1, watch.flows)
    assert isinstance(ended[0], kind or type(None))


async def test_closed_before_its_end() -> None:
    body = ScriptedBody([b"1", b"2"])
    one = Download(body, DownloadSettings(VirtualClock(), 0.0, None, None, 9), 200, BYTES, "r1")
    assert await anext(aiter(one)) == b"1"
    async with one:
        pass
    assert (body.state, await one.read()) == ("closed", b"")


async def test_an_error_keeps_the_attempts_that_it_knows() -> None:
    made: Any = ("first", "second")
    known = TransportError("the connection broke")
    known.attempts = made[:1]
    for error, attempts in ((known, made[:1]), (TransportError("gone"), made)):
        one = download(error)
        one.note_attempts(made)
        with pytest.raises(TransportError) as raised:
            await one.read()
        assert (raised.value, raised.value.attempts) == (error, attempts)


async def test_silence_ends_it() -> None:
    """Silence counts while somebody waits, in whatever pieces the waiting comes."""
    clock = VirtualClock()
    ended: list[object] = []
    one = download(b"1", Pause(math.inf), clock=clock, stall=10.0)
    one.watched(Watch(clock), ended.append)
    pieces = aiter(one)
    assert await anext(pieces) == b"1"
    await clock.run_for(30.0)  # nobody waits
    with pytest.raises(TimeoutError):
        await _timed(clock, pieces, 6.0)
    with pytest.raises(TransportError) as raised:
        await _timed(clock, pieces, 6.0)
    assert ended == [raised.value]
    assert isinstance(raised.value, TimedOut | StreamInterrupted)


async def _timed(clock: VirtualClock, pieces: AsyncIterator[bytes], seconds: float) -> bytes:
    task = asyncio.ensure_future(anext(pieces))
    await clock.run_for(seconds)
    if task.done():
        return await task
    task.cancel()
    await asyncio.wait([task])
    raise TimeoutError


class Place:
    """A place in a pool, which counts how often somebody asked for bytes."""

    touched = 0

    def touch(self) -> None:
        self.touched += 1


async def test_its_place_learns_that_it_is_read() -> None:
    place: Any = Place()
    one = download(b"1", b"2")
    one.watched(Watch(VirtualClock()), str, place)
    assert await one.read() == b"12"
    assert place.touched == 3


@pytest.mark.parametrize("in_a_thread", [False, True])
async def test_dropped_unread(in_a_thread: bool) -> None:
    """Whichever thread it is dropped in, it ends in its own loop."""
    ended: list[int] = []
    held = [download(b"1")]
    held[0].watched(Watch(VirtualClock()), lambda _: ended.append(threading.get_ident()))
    if in_a_thread:
        await asyncio.to_thread(held.clear)
    held.clear()
    await asyncio.sleep(0)
    assert ended == [threading.get_ident()]


def test_dropped_after_its_loop() -> None:
    ended: list[object] = []

    async def make() -> Download:
        one = download(b"1")
        one.watched(Watch(VirtualClock()), ended.append)
        return one

    held = [asyncio.run(make())]
    held.clear()
    gc.collect()
    assert ended == []


# --- files without a session --------------------------------------------------------------------


class Answers:
    """Answers to requests for the rest, how often each may be sent, and the headers of each."""

    def __init__(self, *answers: Download | Exception) -> None:
        self.answers = [*answers]
        self.left: list[int] = []
        self.asked: list[dict[str, str]] = []

    async def __call__(self, left: int, headers: Mapping[str, str]) -> Download:
        self.left.append(left)
        self.asked.append(dict(headers))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def part(*steps: Step, **headers: str) -> Download:
    """Return the answer of a server that sends a part of a file."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return download(*steps, status=206, headers=names)


def _ranges(*answers: Download | Exception) -> Answers:
    return Answers(*answers)


def _failed(status: int) -> StatusError:
    return StatusError("no", status=status)


WAYS: dict[str, Callable[[], tuple[Answers, list[dict[str, str]]]]] = {
    "goes on": lambda: (_ranges(part(b"cd")), [{"Range": "bytes=2-"}]),
    "all of it": lambda: (_ranges(download(b"abcd")), [{"Range": "bytes=2-"}]),
    "another file": lambda: (
        _ranges(part(b"zz", Content_Range="bytes 1-2/4"), download(b"abcd")),
        [{"Range": "bytes=2-"}, {}],
    ),
    "no such part": lambda: (
        _ranges(_failed(416), download(b"abcd")),
        [{"Range": "bytes=2-"}, {}],
    ),
    "from there": lambda: (
        _ranges(part(b"cd", Content_Range="bytes 2-3/4")),
        [{"Range": "bytes=2-"}],
    ),
    "from nobody knows where": lambda: (
        _ranges(part(b"cd", Content_Range="all of it")),
        [{"Range": "bytes=2-"}],
    ),
    "changed on the way": lambda: (
        _ranges(part(b"zz", ETag='"2"'), download(b"abcd")),
        [{"Range": "bytes=2-", "If-Range": '"1"'}, {}],
    ),
    "the same mark": lambda: (
        _ranges(part(b"cd", ETag='"1"')),
        [{"Range": "bytes=2-", "If-Range": '"1"'}],
    ),
    "without its mark": lambda: (
        _ranges(part(b"cd")),
        [{"Range": "bytes=2-", "If-Range": '"1"'}],
    ),
}


@pytest.mark.parametrize("way", WAYS)
async def test_the_rest(tmp_path: Path, way: str) -> None:
    again, asked = WAYS[way]()
    mark = {"ETag": '"1"'} if "If-Range" in asked[0] else {}
    cut = download(b"ab", RESET, headers=mark, attempts=3, again=again)
    assert (await cut.save(tmp_path / "a")).read_bytes() == b"abcd"
    assert again.asked == asked
    assert again.left == [2] * len(asked)


async def test_a_rest_that_is_cut_as_well(tmp_path: Path) -> None:
    """What is asked for next begins where it is now, of the file that it is of."""
    again = _ranges(
        part(b"cd", RESET, ETag='"of the part"'),
        download(b"ABCDE", RESET, headers={"ETag": '"2"'}),
        part(b"F", RESET),
        part(b"G"),
    )
    cut = download(b"ab", RESET, attempts=2, again=again)
    assert (await cut.save(tmp_path / "a")).read_bytes() == b"ABCDEFG"
    assert again.asked == [
        {"Range": "bytes=2-"},
        {"Range": "bytes=4-"},
        {"Range": "bytes=5-", "If-Range": '"2"'},
        {"Range": "bytes=6-", "If-Range": '"2"'},
    ]


@pytest.mark.parametrize(
    ("rests", "left"),
    [
        ([b"", b"", b""], [3, 2, 1]),
        ([b"c", b"", b"", b""], [3, 3, 2, 1]),
        ([b"", b"c", b"", b"d", b"", b"", b""], [3, 2, 3, 2, 3, 2, 1]),
    ],
    ids=str,
)
async def test_how_often_the_rest_is_asked_for(
    tmp_path: Path, rests: list[bytes], left: list[int]
) -> None:
    """So often in a row without a byte of progress."""
    again = _ranges(*(part(*([rest] if rest else []), RESET) for rest in rests))
    with pytest.raises(TransportError):
        await download(b"ab", RESET, attempts=4, again=again).save(tmp_path / "a")
    assert (again.left, again.answers, names(tmp_path)) == (left, [], [])


async def test_beginning_anew_is_no_progress(tmp_path: Path) -> None:
    """Unless it comes further than any before."""
    again = _ranges(*(download(b"abc"[:size], RESET) for size in (1, 3, 2, 3, 3)))
    with pytest.raises(TransportError):
        await download(b"ab", RESET, attempts=3, again=again).save(tmp_path / "a")
    assert again.left == [2, 1, 2, 1]


async def test_usually_the_rest_is_not_asked_for(tmp_path: Path) -> None:
    again = _ranges()
    with pytest.raises(TransportError):
        await download(b"ab", RESET, again=again).save(tmp_path / "a")
    with pytest.raises(TransportError):
        await download(b"ab", RESET, attempts=3).save(tmp_path / "a")
    assert again.asked == []


@pytest.mark.parametrize(
    ("headers", "mark"),
    [
        ({"ETag": '"1"', "Last-Modified": "Mon"}, '"1"'),
        ({"ETag": 'W/"1"', "Last-Modified": "Mon"}, "Mon"),
        ({"Last-Modified": "Mon"}, "Mon"),
        ({"ETag": 'W/"1"'}, None),
    ],
)
async def test_the_mark_of_the_file(
    tmp_path: Path, headers: dict[str, str], mark: str | None
) -> None:
    again = _ranges(part(b"cd"))
    await download(b"ab", RESET, headers=headers, attempts=2, again=again).save(tmp_path / "a")
    assert [asked.get("If-Range") for asked in again.asked] == [mark]


async def test_a_cut_before_the_first_byte(tmp_path: Path) -> None:
    again = _ranges(download(b"abcd"))
    path = await download(RESET, attempts=2, again=again).save(tmp_path / "a")
    assert (path.read_bytes(), again.asked) == (b"abcd", [{}])


async def test_a_refused_rest_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(StatusError, match="no"):
        await download(b"ab", RESET, attempts=2, again=_ranges(_failed(403))).save(tmp_path / "a")
    assert names(tmp_path) == []


async def test_no_time_is_left_for_the_rest(tmp_path: Path) -> None:
    again = _ranges()
    for phase in ("deadline", "total"):
        one = download(b"ab", TimedOut(phase, 3.0), attempts=9, again=again)
        with pytest.raises(TimedOut):
            await one.save(tmp_path / "a")
    assert (names(tmp_path), again.asked) == ([], [])
    again = _ranges(part(b"cd"))
    one = download(b"ab", TimedOut("stall", 3.0), attempts=9, again=again)
    assert (await one.save(tmp_path / "a")).read_bytes() == b"abcd"


async def test_large_pieces_are_written_as_they_come(tmp_path: Path) -> None:
    """A mebibyte at a time, into a hidden file beside the place."""
    sizes = [600_000, 448_576, 1_048_575, 1, 5]
    seen: list[int] = []

    async def pieces() -> AsyncIterator[bytes]:
        for size in sizes:
            yield b"x" * size
            (beside,) = (tmp_path / "new").iterdir()
            assert beside.name.startswith(".a.")
            assert beside.name.endswith(".part")
            seen.append(beside.stat().st_size)

    path = await write_whole(pieces(), tmp_path / "new" / "a")
    assert seen == [0, 1 << 20, 1 << 20, 2 << 20, 2 << 20]
    assert path.stat().st_size == sum(sizes)
    assert names(tmp_path / "new") == ["a"]


async def test_an_error_on_the_way_leaves_no_file(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await write_whole(broken(), tmp_path / "a")
    assert names(tmp_path) == []


async def pieces_of(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_pieces_of_a_file(tmp_path: Path) -> None:
    assert (await write_whole(pieces_of([b"a", b"b"]), tmp_path / "a")).read_bytes() == b"ab"
    assert (await write_whole(pieces_of([]), str(tmp_path / "empty"))).read_bytes() == b""


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="expected the path of a file, got the directory"):
        make_room(tmp_path)
    make_room(tmp_path / "a" / "b")
    assert names(tmp_path) == ["a"]
