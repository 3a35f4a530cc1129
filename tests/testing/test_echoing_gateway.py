"""A gateway that echoes what it was sent: no call tells it on, in no text that anybody sees."""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import pytest

from aiotokengate import Retry, StreamInterrupted, TokenGate, TokenGateError
from aiotokengate.hooks import HookEvent, RequestFinished, RequestStarted, RetryScheduled
from aiotokengate.types import Reply
from tests.support.echoes import FORMS
from tests.support.frames import frames_with
from tests.support.uses import KEY, MARKS, PROMPT, USES, http, server


def told(value: Any, seen: set[int]) -> Iterator[str]:
    """Return every text that a value tells: an error, an event, a reply but for its answer."""
    if isinstance(value, str | int | float | bytes | None):
        yield str(value)
        return
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, BaseException):
        yield f"{value} {value!r} {value.args} {getattr(value, '__notes__', ())}"
        inner = [*vars(value).values(), value.__cause__, value.__context__]
    elif isinstance(value, Reply):
        inner = [value.notes, value.headers, value.request_id, value.attempts]
    elif isinstance(value, Mapping):
        inner = [*value.values()]
    elif isinstance(value, list | tuple):
        inner = [*value]
    else:
        inner = [getattr(value, field.name) for field in attrs.fields(type(value))]
    for one in inner:
        yield from told(one, seen)


def marks_in(*values: Any) -> list[str]:
    """Name the marks that are told by values."""
    text = " ".join(text for value in values for text in told(value, set()))
    return [mark for mark in MARKS if mark in text]


def echo(status: int, name: str) -> bytes:
    """Write an error that quotes prompt and key wherever it can."""
    said = FORMS[name](f"{PROMPT} of {KEY}")
    error = {"message": f"bad: {said}", "type": said, "code": said, "param": said}
    ids = f"X-Request-Id: {KEY}\r\n"
    return http(status, json.dumps({"error": error}).encode(), headers=ids)


@pytest.mark.parametrize("use", USES)
async def test_no_call_tells_an_echo_on(use: str) -> None:
    """Of whatever kind the call: its error and all events are clean."""
    for status, name in zip((400, 500, 200, 400), FORMS, strict=False):
        events: list[HookEvent] = []
        async with (
            server(echo(status, name)) as url,
            TokenGate(
                api_key=KEY, base_url=url, retry=Retry(attempts=1), hooks=[events.append]
            ) as gate,
        ):
            with pytest.raises(TokenGateError) as raised:
                await USES[use](gate)
        assert not marks_in(raised.value, events)
        assert {RequestStarted, RequestFinished} <= {type(event) for event in events}


@pytest.mark.parametrize("use", USES)
async def test_no_call_tells_its_body_on(use: str) -> None:
    """The body itself as the message, in JSON or in a form."""
    async with (
        server(lambda body: http(400, b"refused: " + body, "text/plain")) as url,
        TokenGate(api_key=KEY, base_url=url, retry=Retry(attempts=1)) as gate,
    ):
        with pytest.raises(TokenGateError, match="refused") as raised:
            await USES[use](gate)
    assert not marks_in(raised.value)


@pytest.mark.parametrize("name", FORMS)
async def test_a_call_that_is_tried_again(name: str) -> None:
    """The error of each attempt is clean before a hook sees it."""
    events: list[HookEvent] = []
    async with (
        server(echo(500, name)) as url,
        TokenGate(
            api_key=KEY, base_url=url, retry=Retry(attempts=2), hooks=[events.append]
        ) as gate,
    ):
        with pytest.raises(TokenGateError) as raised:
            await gate.chat("m", PROMPT)
    assert any(isinstance(event, RetryScheduled) for event in events)
    assert not marks_in(raised.value, events)
    assert len(raised.value.attempts) == 2


PIECE = {"choices": [{"index": 0, "delta": {"content": "好"}, "finish_reason": None}]}
FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def events_of(*frames: Any) -> bytes:
    """Write events."""
    lines = [f"data: {json.dumps(frame, ensure_ascii=False)}\n\n" for frame in frames]
    return "".join(lines).encode()


@pytest.mark.parametrize("name", FORMS)
async def test_a_stream_that_echoes(name: str) -> None:
    """An error in mid-stream is an interruption; one after the finish is a note of the reply."""
    error = {"error": {"message": f"late: {FORMS[name](PROMPT)} {KEY}"}}
    ids = f"X-Request-Id: {KEY}\r\nX-Prompt: {FORMS['URL'](PROMPT)}\r\n"
    late = events_of(PIECE, FINISH, error) + b"data: [DONE]\n\n"
    async with (
        server(http(200, late, "text/event-stream", ids)) as url,
        TokenGate(api_key=KEY, base_url=url) as gate,
    ):
        reply = await gate.chat("m", PROMPT)
    assert "[…]" in reply.notes[0]
    assert not marks_in(reply)
    async with (
        server(http(200, events_of(PIECE, error), "text/event-stream", ids)) as url,
        TokenGate(api_key=KEY, base_url=url) as gate,
    ):
        with pytest.raises(StreamInterrupted) as raised:
            await gate.chat("m", PROMPT)
    assert not marks_in(raised.value, raised.value.partial)


async def test_hooks_see_paths_without_queries() -> None:
    """A query may hold anything, and may sign an address."""
    events: list[HookEvent] = []
    async with (
        server(http(200, b"{}")) as url,
        TokenGate(api_key=KEY, base_url=url, hooks=[events.append]) as gate,
    ):
        call = gate.request("GET", f"/search?q={FORMS['URL'](PROMPT)}")
        assert not [mark for mark in MARKS if mark in repr(call)]
        await call
    assert not marks_in(events)


async def test_a_proxy_that_echoes_its_password() -> None:
    """The proxy's password is blanked, as it is and as it was sent."""
    sent = b64encode(b"user:proxypassw0rd").decode()
    answer = http(400, f"refused: proxypassw0rd, Basic {sent}".encode(), "text/plain")
    async with server(answer) as url:
        proxy = url.replace("://", "://user:proxypassw0rd@").removesuffix("/v1")
        gate = TokenGate(api_key=KEY, base_url="http://gateway.test/v1", proxy=proxy)
        async with gate:
            with pytest.raises(TokenGateError) as raised:
                await gate.chat("m", PROMPT)
    assert raised.value.message == "refused: […], Basic […]"
    assert not frames_with(raised.value, ("proxypassw0rd", sent))


async def test_a_callers_own_headers() -> None:
    """A key that the caller sends in a header of its own is a key; what names a tenant is none."""
    own = {"api-key": "azure-secret-0123", "X-Tenant": "tenant-42"}
    of_call = {"Cookie": "session=call-secret-4567", "X-Auth-Token": "Token token-secret-89"}
    echoed = " ".join([*own.values(), *of_call.values(), "call-secret-4567", "token-secret-89"])
    for status in (400, 500, 200):
        events: list[HookEvent] = []
        body = json.dumps({"error": {"message": echoed, "code": 17}}).encode()
        async with (
            server(http(status, body, headers=f"X-Request-Id: {own['api-key']}\r\n")) as url,
            TokenGate(
                api_key=KEY,
                base_url=url,
                retry=Retry(attempts=1),
                hooks=[events.append],
                extra_headers=own,
            ) as gate,
        ):
            for call in (
                gate.chat("m", "好", extra_headers=of_call),
                gate.audio.transcribe("m", b"RIFF", extra_headers=of_call),
                gate.videos.create("m", "好", extra_headers=of_call),
                gate.request("GET", "/x", extra_headers=of_call),
            ):
                with pytest.raises(TokenGateError) as raised:
                    await call
                text = " ".join(told([raised.value, *events], set()))
                assert "-secret-" not in text
                assert "tenant-42" in text
