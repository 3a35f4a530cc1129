"""A call on its way: what is sent and told, what an attempt is, and how the session ends it."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import threading
from typing import Any

import pytest

from aiotokengate import (
    CallerError,
    Endpoint,
    Limits,
    Overloaded,
    Pool,
    Reply,
    Retry,
    ServerFailed,
    StatusError,
    StreamInterrupted,
    TimedOut,
    Timeout,
    TokenGate,
    TransportError,
    Unanswered,
    WireError,
)
from aiotokengate._calls.request import CallPolicy, HttpRequest, Request
from aiotokengate._policy.estimate import CallSize
from aiotokengate._pool.pool import mask
from aiotokengate._stream.receiver import Receiver
from aiotokengate.hooks import (
    FirstDelta,
    HookEvent,
    RequestFinished,
    RequestStarted,
    RetryScheduled,
)
from aiotokengate.testing import FakeGateway, Gate, Raw, ScriptedReply, VirtualClock, faults
from aiotokengate.types import Attempt, Timeline, Usage
from tests.support.ending import (
    CLOSED,
    ONE,
    all_refused,
    begun,
    half,
    opened,
    outcomes,
    turns,
    until,
)
from tests.support.ordered import CLOSE, END, GOOD_CHAT, Server, answer, ended

MODEL = "qwen3.6-max-preview"
PROMPT = "画一只猫 🐈"
KEY = "sk-paid-once"
BUSY = answer(503, b'{"error":{"message":"busy","code":"overloaded"}}', "X-Request-Id: r-1")
GOOD = answer(200, b'{"object":"list"}', "X-Request-Id: r-2")


@pytest.fixture
def gate(wired: TokenGate) -> TokenGate:
    """Return a session with the server of plain bytes."""
    return wired


def request_of(
    path: str = "/things",
    body: bytes | None = None,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    **policy: Any,
) -> Request:
    """Return a request of a model that is no chat."""
    settings: dict[str, Any] = {"timeout": Timeout(), "retry": Retry(), "pooled": True, **policy}
    http = HttpRequest(method, path, body, headers=headers or {})
    return Request(http, CallPolicy(**settings), MODEL)


def events_frames(*frames: str) -> bytes:
    """Return an answer of some events."""
    return answer(200, "".join(f"data: {frame}\n\n" for frame in frames).encode())


def held_open(*frames: str) -> bytes:
    """Return the beginning of an answer, of which the rest never comes."""
    whole = events_frames(*frames)
    return re.sub(rb"Content-Length: \d+", b"Content-Length: 99999", whole)


def chat_frame(delta: str, finish: str = "null") -> str:
    """Return a frame of a chat."""
    return f'{{"choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]}}'


# --- what is told -------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [1, 2])
async def test_each_step_of_a_chat_is_told(
    server: Server,
    gate: TokenGate,
    clock: VirtualClock,
    events: list[HookEvent],
    monkeypatch: pytest.MonkeyPatch,
    first: int,
) -> None:
    """Once, in order, by the number of the call; and each attempt stands on the reply."""
    monkeypatch.setattr(random, "random", lambda: 0.5)
    server.answers = [GOOD_CHAT] * (first - 1) + [BUSY, GOOD_CHAT]
    for _ in range(first - 1):
        await gate.chat(MODEL, "先")
    del events[:]
    (asking,) = begun(gate.chat(MODEL, PROMPT))
    await until(lambda: len(events) == 2 and clock.pending)
    clock.advance(0.25)
    reply = await asking
    started, retried, again, delta, finished = events
    assert started == RequestStarted(first, MODEL, "/chat/completions", 1)
    assert isinstance(retried, RetryScheduled)
    assert isinstance(retried.error, Overloaded)
    assert retried == RetryScheduled(first, MODEL, 1, 0.25, retried.error)
    assert again == RequestStarted(first, MODEL, "/chat/completions", 2)
    assert delta == FirstDelta(first, MODEL, 0.25)
    timeline = Timeline(
        admitted=0.25, sent=0.25, headers=0.25, first_answer=0.25, done=0.25, first_reasoning=None
    )
    usage = reply.usage
    assert finished == RequestFinished(first, MODEL, "complete", timeline, usage)
    assert usage.completion_tokens == 1
    assert PROMPT not in repr(events)
    assert KEY not in repr(events)
    assert reply.timeline == timeline
    assert reply.attempts == (
        Attempt(MODEL, 0.0, 0.0, "Overloaded", 503, "overloaded", "r-1", 0.25, 0.0, None, False),
        Attempt(MODEL, 0.25, 0.0, None, 200, None, None, None, 0.0, None, False),
    )


async def test_each_step_of_another_call_is_told(
    server: Server, gate: TokenGate, events: list[HookEvent]
) -> None:
    """Its path without the query, which may hold anything; it has no status and no usage."""
    server.answers = [GOOD]
    assert await gate._sender.ask(request_of("/things?key=geheim")) == {"object": "list"}
    timeline = Timeline(admitted=0.0, sent=0.0, headers=0.0, done=0.0)
    assert events == [
        RequestStarted(1, MODEL, "/things", 1),
        RequestFinished(1, MODEL, None, timeline, Usage(estimated=True)),
    ]
    assert "get /v1/things?key=geheim http/1.1" in server.requests[0].head


async def test_each_step_of_a_download_is_told(
    server: Server, gate: TokenGate, events: list[HookEvent]
) -> None:
    """It is over when it was read, or left; and its place is free by then, and no sooner."""
    server.answers = [GOOD]
    download = await gate._sender.fetch(request_of())
    assert (download.status, download.request_id, download.endpoint) == (200, "r-2", "")
    assert [type(event) for event in events] == [RequestStarted]
    assert gate.pool.statistics().in_flight == 1
    assert len(gate.pool.holds) == 1
    assert await download.json() == {"object": "list"}
    timeline = Timeline(admitted=0.0, sent=0.0, headers=0.0, done=0.0)
    assert events[1:] == [RequestFinished(1, MODEL, None, timeline, Usage(estimated=True))]
    assert gate.pool.statistics().in_flight == 0


async def test_a_download_that_breaks_is_told(
    server: Server, gate: TokenGate, events: list[HookEvent]
) -> None:
    """With the error, which echoes nothing, and has its attempts."""
    server.answers = [answer(200, b"half", END).replace(b": 4\r", b": 40\r")]
    download = await gate._sender.fetch(request_of(method="POST"))
    with pytest.raises(TransportError) as raised:
        await download.read()
    assert len(raised.value.attempts) == 1
    finished = events[-1]
    assert isinstance(finished, RequestFinished)
    assert (finished.error, finished.status) == (raised.value, None)


async def test_the_end_of_a_call_that_failed_is_told(
    server: Server, gate: TokenGate, clock: VirtualClock, events: list[HookEvent]
) -> None:
    """With its error, on which all attempts stand."""
    server.answers = [BUSY]
    error = await ended(clock, gate.chat(MODEL, PROMPT))
    assert isinstance(error, Overloaded)
    assert [attempt.error for attempt in error.attempts] == ["Overloaded"] * 3
    assert [attempt.wait is None for attempt in error.attempts] == [False, False, True]
    kinds = [RequestStarted, RetryScheduled] * 2 + [RequestStarted, RequestFinished]
    assert [type(event) for event in events] == kinds
    last = events[-1]
    assert isinstance(last, RequestFinished)
    assert (last.call, last.error, last.status) == (1, error, None)
    assert [event.attempt for event in events if isinstance(event, RequestStarted)] == [1, 2, 3]
    assert [event.attempt for event in events if isinstance(event, RetryScheduled)] == [1, 2]


async def test_the_end_of_a_call_that_was_left_is_told(
    server: Server, gate: TokenGate, events: list[HookEvent]
) -> None:
    """Without an error: a stream that was left is stopped, a call that was cancelled has none."""
    server.answers = [held_open(chat_frame('{"content":"a"}'))]
    async for _ in gate.chat(MODEL, PROMPT):
        break
    server.answers = [b"HTTP/1.1 200 OK\r\n"]
    asking = asyncio.ensure_future(gate.chat(MODEL, PROMPT))
    await server.came(2)
    asking.cancel()
    await asyncio.wait([asking])
    ends = [event for event in events if isinstance(event, RequestFinished)]
    assert [(end.call, end.status, end.error) for end in ends] == [
        (1, "stopped", None),
        (2, None, None),
    ]
    assert gate.pool.statistics().in_flight == 0


async def test_the_key_of_an_attempt_is_named_where_there_are_several(
    server: Server, clock: VirtualClock
) -> None:
    """Masked, as on a download by its digest."""
    server.answers = [answer(401), GOOD_CHAT, GOOD]
    keys = ("sk-first-0123456789abc", "sk-other-0123456789abc")
    async with TokenGate(
        base_url=await server.start(), endpoints=[Endpoint(api_key=key) for key in keys]
    ) as gate:
        reply = await gate.chat(MODEL, PROMPT)
        told = [(attempt.endpoint, attempt.error, attempt.wait) for attempt in reply.attempts]
        assert told == [(mask(keys[0]), "AuthenticationFailed", 0.0), (mask(keys[1]), None, None)]
        async with await gate._sender.fetch(request_of()) as download:
            assert download.endpoint == mask(keys[1])[-6:]
        assert gate._sender.keys() == keys


async def test_a_failing_observer_disturbs_nobody(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """An observer that raises is logged, and the others are told."""
    told: list[HookEvent] = []

    def failing(event: HookEvent) -> None:
        raise ZeroDivisionError(type(event).__name__)

    server.answers = [GOOD_CHAT]
    async with TokenGate(
        api_key=KEY, base_url=await server.start(), hooks=[failing, told.append]
    ) as gate:
        await gate.chat(MODEL, "嗨")
    assert len(told) == 3
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 3


# --- what is sent -------------------------------------------------------------------------------


async def test_where_a_request_goes(server: Server, gate: TokenGate) -> None:
    """Under the address of the session, beside its ``/v1``, or apart from it."""
    server.answers = [GOOD]
    root = gate.base_url.removesuffix("/v1")
    for path in ("/things", "../suno/fetch", f"{root}/elsewhere"):
        await gate._sender.ask(request_of(path))
    found = [request.head.partition(" http/")[0] for request in server.requests]
    assert found == ["get /v1/things", "get /suno/fetch", "get /elsewhere"]
    assert all("authorization: bearer sk-paid-once\r" in sent.head for sent in server.requests)


async def test_the_headers_of_a_call_go_over_those_of_the_session(
    server: Server, gate: TokenGate
) -> None:
    server.answers = [GOOD]
    await gate._sender.ask(request_of(headers={"X-Team": "Seven", "Accept": "text/plain"}))
    head = server.requests[0].head
    assert "x-team: seven\r" in head
    assert [line for line in head.splitlines() if line.startswith("accept:")] == [
        "accept: text/plain"
    ]


async def test_a_key_that_is_asked_for_is_asked_before_each_attempt(
    server: Server, clock: VirtualClock
) -> None:
    keys = iter(["sk-first", "sk-other"])
    server.answers = [BUSY, GOOD]
    async with TokenGate(
        api_key=lambda: next(keys), base_url=await server.start(), clock=clock
    ) as gate:
        await ended(clock, gate._sender.ask(request_of()))
    found = [re.findall("bearer (.*)\r", request.head) for request in server.requests]
    assert found == [["sk-first"], ["sk-other"]]


# --- what comes back ----------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"<html>", b"[" * 100_000], ids=["no JSON", "too deep"])
async def test_an_answer_that_is_no_json(server: Server, gate: TokenGate, body: bytes) -> None:
    """It says how much came, and of which request; nothing of it is shown."""
    server.answers = [answer(200, body, "X-Request-Id: r-3")]
    with pytest.raises(WireError) as raised:
        await gate._sender.ask(request_of())
    assert raised.value.message == f"expected JSON, got {len(body)} bytes that are not"
    assert raised.value.request_id == "r-3"
    assert raised.value.__suppress_context__
    assert len(server.requests) == 1


async def test_an_error_inside_an_answer_that_looks_good(server: Server, gate: TokenGate) -> None:
    """It is that error, in spite of its status."""
    body = b'{"error":{"message":"no money","code":"insufficient_quota"}}'
    server.answers = [answer(200, body, "X-Request-Id: r-3")]
    with pytest.raises(StatusError, match="no money") as raised:
        await gate._sender.ask(request_of())
    error = raised.value
    assert (error.code, error.request_id, error.status) == ("insufficient_quota", "r-3", None)
    assert len(error.attempts) == 1


async def test_an_answer_that_is_too_large(server: Server) -> None:
    server.answers = [GOOD]
    for most, whole in ((len(b'{"object":"list"}'), True), (len(b'{"object":"list"}') - 1, False)):
        async with TokenGate(
            api_key=KEY, base_url=await server.start(), max_reply_bytes=most
        ) as gate:
            if whole:
                assert await gate._sender.ask(request_of()) == {"object": "list"}
            else:
                with pytest.raises(WireError, match="max_reply_bytes"):
                    await gate._sender.ask(request_of())
        server.stop()


@pytest.mark.parametrize(
    ("status", "location", "message", "hint"),
    [
        (302, "https://127.0.0.1/x?sig=geheim", r"would carry the key away to \S+ \(302\)", None),
        (399, "https://127.0.0.1/x?sig=geheim", r"would carry the key away to \S+ \(399\)", None),
        (400, "https://127.0.0.1/x?sig=geheim", "busy", None),
        (300, "https://127.0.0.1/x?sig=geheim", r"would carry the key away to \S+ \(300\)", None),
        (302, None, "busy", None),
    ],
)
async def test_a_redirect_is_not_followed(
    server: Server, gate: TokenGate, status: int, location: str | None, message: str, hint: None
) -> None:
    """It is an error that names the place, and shows nothing of what may be a signature."""
    more = [f"Location: {location}"] if location else []
    server.answers = [answer(status, b'{"error":{"message":"busy"}}', *more)]
    with pytest.raises(StatusError, match=message) as raised:
        await gate._sender.ask(request_of(method="POST"))
    error = raised.value
    assert error.status == status
    assert "geheim" not in f"{error} {error.body}"
    assert (error.body == "") == ("busy" not in message)


async def test_a_redirect_to_https_says_what_to_do(server: Server, gate: TokenGate) -> None:
    """And anything below 300 is an answer."""
    server.answers = [answer(307, b"{}", "Location: https://127.0.0.1/v1/things")]
    with pytest.raises(StatusError, match="this address moved to") as raised:
        await gate._sender.ask(request_of(method="POST"))
    assert raised.value.hint is not None
    assert "begin base_url with https://" in raised.value.hint
    server.answers = [answer(299)]
    assert await gate._sender.ask(request_of()) == {}


async def test_neither_key_nor_prompt_is_echoed(server: Server, clock: VirtualClock) -> None:
    """Not in an error, whenever it comes, and not in the headers of a reply."""
    said = "斑马在动物园里跑得很快"
    echo = f'{{"error":{{"message":"{KEY} said: {said}"}}}}'.encode()
    late = events_frames(chat_frame('{"content":"a"}'), echo.decode())
    server.answers = [answer(400, echo), late]
    async with TokenGate(api_key=KEY, base_url=await server.start(), clock=clock) as gate:
        for kind in (StatusError, StreamInterrupted):
            error = await ended(clock, gate.chat(MODEL, said))
            assert isinstance(error, kind)
            shown = f"{error!r} {error} {getattr(error, 'body', '')} {error.__cause__}"
            assert KEY not in shown
            assert said not in shown
        server.answers = [answer(200, b"{}", f"X-Auth-Echo: Bearer {KEY}")]
        async with await gate._sender.fetch(request_of()) as download:
            assert KEY not in repr(dict(download.headers))
            assert "X-Auth-Echo" in download.headers


async def test_tool_calls_without_an_id_get_one(server: Server, gate: TokenGate) -> None:
    """Of a whole history each has another."""
    call = '{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}}]}'
    server.answers = [events_frames(chat_frame(call, '"tool_calls"'), "[DONE]")]
    found = [(await gate.chat(MODEL, PROMPT)).tool_calls[0].id for _ in range(8)]
    assert all(re.fullmatch("call_[0-9a-f]{16}", each) for each in found)
    assert len({*found}) == 8


async def test_how_the_reply_is_read_is_as_it_was_asked(server: Server, gate: TokenGate) -> None:
    """How many choices are expected, whether texts are kept and frames may be broken, notes."""
    bad = events_frames(chat_frame('{"content":"a"}'), "{broken", chat_frame("{}", '"stop"'))
    server.answers = [bad]
    assert (await gate.chat(MODEL, PROMPT)).skipped == 1
    with pytest.raises(StreamInterrupted):
        await gate.chat(MODEL, PROMPT, strict=True)
    server.answers = [GOOD_CHAT]
    assert (await gate.chat(MODEL, PROMPT)).notes == ()
    noted = await gate.chat("claude-opus-4-8", PROMPT, protocol="chat", temperature=0.5)
    assert len(noted.notes) == 1
    two = await gate.chat(MODEL, PROMPT, n=2)
    assert two.notes == ("fewer choices: 2 asked for, 1 came",)
    many = [chat_frame('{"content":"a"}')] * 3_000
    server.answers = [events_frames(*many, chat_frame("{}", '"stop"'), "[DONE]")]
    async with gate.chat(MODEL, PROMPT, retain=False) as stream:
        async for _ in stream.answer:
            pass
        assert len((await stream.reply()).answer) < 3_000


@pytest.mark.parametrize(
    ("body", "cost"),
    [
        (b'{"usage":{"total_tokens":7}}', 7),
        (b'{"usage":{"total_tokens":1}}', 1),
        (b'{"usage":{"total_tokens":0}}', 100),
        (b'{"usage":{"total_tokens":"7"}}', 100),
        (b'{"usage":{"prompt_tokens":7}}', 100),
        (b'{"usage":[7]}', 100),
        (b"[7]", 100),
    ],
)
async def test_what_an_answer_says_it_has_cost(
    server: Server, clock: VirtualClock, body: bytes, cost: int
) -> None:
    """It counts; where it says nothing, what was expected does."""
    server.answers = [answer(200, body)]
    pool = Pool(Limits(tokens_per_minute=6_000), clock=clock)
    async with TokenGate(
        api_key=KEY, base_url=await server.start(), clock=clock, pool=pool
    ) as gate:
        await gate._sender.ask(request_of(size=CallSize(tokens=100)))
        (lane,) = pool.statistics().lanes
    assert (lane.tokens_left, lane.in_flight) == (6_000 - cost, 0)


async def test_the_tokens_of_a_long_reply_are_counted_while_it_comes(
    server: Server, clock: VirtualClock
) -> None:
    """Once a second, where they are charged when they are known."""
    frames = [chat_frame('{"content":"字"}')] * 50
    server.answers = [held_open(*frames)]
    pool = Pool(Limits(tokens_per_minute=6_000, charge="usage"), clock=clock)
    async with TokenGate(
        api_key=KEY, base_url=await server.start(), clock=clock, pool=pool
    ) as gate:
        async with gate.chat(MODEL, "写长一点", max_tokens=5) as stream:
            left = []
            for seconds in (0.0, 0.2, 0.1):
                await clock.run_for(seconds)
                left.append(pool.statistics().lanes[0].tokens_left)
            assert left[0] is not None
            assert left == [left[0], left[0], left[0] + 5 - 50]
            stream.stop()
        await clock.run_for(0.3)
        assert clock.pending == 0


# --- attempts -----------------------------------------------------------------------------------


async def test_after_the_first_delta_nothing_is_tried_again(
    server: Server, gate: TokenGate
) -> None:
    """What was shown is not taken back: an error inside the stream interrupts it."""
    down = '{"error":{"message":"down","code":503}}'
    server.answers = [events_frames(chat_frame('{"content":"a"}'), down)]
    with pytest.raises(StreamInterrupted) as raised:
        await gate.chat(MODEL, "嗨")
    assert (raised.value.status, raised.value.code) == (503, "503")
    assert isinstance(raised.value.__cause__, Overloaded)
    assert raised.value.partial.answer == "a"
    assert len(raised.value.attempts) == len(raised.value.partial.attempts) == 1
    assert len(server.requests) == 1


EMPTY = events_frames(chat_frame("{}", '"stop"'), "[DONE]")
THOUGHTS = events_frames(
    chat_frame('{"reasoning_content":"想"}'), chat_frame("{}", '"stop"'), "[DONE]"
)


@pytest.mark.parametrize(
    ("said", "empty", "sent"),
    [(EMPTY, True, 3), (EMPTY, False, 1), (THOUGHTS, True, 3), (THOUGHTS, False, 1)],
)
async def test_an_empty_reply_is_asked_for_again_where_that_is_wished(
    server: Server, gate: TokenGate, clock: VirtualClock, said: bytes, empty: bool, sent: int
) -> None:
    """As often as others; then the last one is what there is."""
    server.answers = [said]
    reply = await ended(clock, gate.chat(MODEL, PROMPT, retry=Retry(empty=empty)))
    assert isinstance(reply, Reply)
    assert (reply.status, reply.answer) == ("complete", "")
    errors = [attempt.error for attempt in reply.attempts]
    assert errors == ["WireError"] * (sent - 1) + [None]
    assert len(server.requests) == sent
    assert gate.pool.statistics().in_flight == 0
    server.answers = [said, GOOD_CHAT]
    reply = await ended(clock, gate.chat(MODEL, PROMPT, retry=Retry(empty=empty)))
    assert reply.answer == ("好" if empty else "")


async def test_thoughts_alone_are_no_answer_yet(gateway: FakeGateway) -> None:
    """Before a whole reply is judged, it is waited for."""
    turnstile = Gate()
    gateway.script(ScriptedReply(reasoning=["想", turnstile, "好了"], answer="好"))
    async with opened(gateway, retry=Retry(empty=True)) as gate:
        (asking,) = begun(gate.chat(MODEL, PROMPT))
        await turnstile.reached()
        assert not asking.done()
        turnstile.open()
        reply = await asking
    assert (reply.reasoning, reply.answer, len(reply.attempts)) == ("想好了", "好", 1)


async def test_of_a_stream_thoughts_are_shown_and_so_it_is_not_empty(
    server: Server, gate: TokenGate, clock: VirtualClock
) -> None:
    """What was handed out is not taken back; a stream with nothing at all is asked for again."""

    async def read() -> list[str]:
        call = gate.chat(MODEL, PROMPT, retry=Retry(empty=True))
        return [type(delta).__name__ async for delta in call]

    server.answers = [THOUGHTS]
    assert await ended(clock, read()) == ["ReasoningDelta", "FinishDelta"]
    assert len(server.requests) == 1
    server.answers = [EMPTY, GOOD_CHAT]
    assert "AnswerDelta" in await ended(clock, read())
    assert len(server.requests) == 3


@pytest.mark.parametrize(("deadline", "sent"), [(4.0, 1), (4.1, 2), (None, 2)])
async def test_no_attempt_is_begun_that_the_deadline_leaves_no_time_for(
    server: Server,
    gate: TokenGate,
    clock: VirtualClock,
    events: list[HookEvent],
    monkeypatch: pytest.MonkeyPatch,
    deadline: float | None,
    sent: int,
) -> None:
    """Then the error is the gateway's own, and comes at once."""
    monkeypatch.setattr(random, "random", lambda: 0.0)
    server.answers = [answer(503, b"{}", "Retry-After: 4"), GOOD]
    (asking,) = begun(gate._sender.ask(request_of(deadline=deadline)))
    await until(lambda: asking.done() or len(events) == 2)
    if sent == 1:
        assert isinstance(asking.exception(), Overloaded)
    else:
        assert await ended(clock, asking) == {"object": "list"}
    assert len(server.requests) == sent


async def test_the_deadline_cuts_the_last_attempt(
    server: Server, gate: TokenGate, clock: VirtualClock
) -> None:
    server.answers = [answer(429, b"{}", "Retry-After: 8"), b"HTTP/1.1 200 OK\r\n"]
    error = await ended(clock, gate.chat(MODEL, "嗨", deadline=12))
    assert isinstance(error, TimedOut)
    assert (error.phase, error.seconds, len(error.attempts)) == ("deadline", 12, 2)
    assert 12 <= clock.now() <= 12.75
    assert error.attempts[0].wait == error.attempts[1].queued


async def test_where_no_lane_holds_a_refused_call_waits_by_itself(
    server: Server, gate: TokenGate, clock: VirtualClock
) -> None:
    """What is no call of a model waits as long."""
    server.answers = [answer(429, b"{}", "Retry-After: 8"), GOOD]
    assert await ended(clock, gate._sender.ask(request_of(pooled=False))) == {"object": "list"}
    assert 8 <= clock.now() <= 10.25


async def test_successes_give_back_what_retries_take(
    server: Server, gate: TokenGate, clock: VirtualClock
) -> None:
    """Five for one."""
    while gate._sender.budget.take():
        pass
    for successes, sent in ((4, 1), (1, 2)):
        server.answers = [GOOD]
        for _ in range(successes):
            await gate._sender.ask(request_of())
        before = len(server.requests)
        server.answers = [answer(503)]
        await ended(clock, gate._sender.ask(request_of(retry=Retry(attempts=2))))
        assert len(server.requests) - before == sent


async def test_a_reply_that_is_awaited_is_held_by_nobody(server: Server, gate: TokenGate) -> None:
    """Its place comes free without its caller; that of a stream does not."""
    server.answers = [held_open(chat_frame('{"content":"a"}'))]
    async with gate.chat(MODEL, PROMPT) as stream:
        assert len(gate.pool.holds) == 1
        stream.stop()
    asking = asyncio.ensure_future(gate.chat(MODEL, PROMPT))
    await server.came(2)
    watch, _ = gate._sender.here()
    await until(lambda: any(isinstance(each, Receiver) for each in watch.watched()))
    assert gate.pool.holds == {}
    asking.cancel()
    await asyncio.wait([asking])


# --- the rest of a download ---------------------------------------------------------------------


def part(total: int, body: bytes, *headers: str, status: int = 206) -> bytes:
    """Return an answer that breaks off after its body."""
    said = answer(status, body, 'ETag: "v1"', "Accept-Ranges: bytes", *headers, END)
    return said.replace(b"Content-Length: %d\r" % len(body), b"Content-Length: %d\r" % total)


async def test_the_rest_of_a_download_that_breaks_is_asked_for(
    server: Server, gate: TokenGate, clock: VirtualClock, tmp_path: Any
) -> None:
    """From where it broke, with the headers of the call, in what is left of its time."""
    server.answers = [
        part(8, b"abc", status=200),
        part(5, b"defgh", "Content-Range: bytes 3-7/8"),
    ]
    request = request_of(headers={"X-Team": "7"}, deadline=60.0)
    download = await gate._sender.fetch(request)
    clock.advance(10.0)
    saved = await download.save(tmp_path / "猫.png")
    assert saved.read_bytes() == b"abcdefgh"
    first, second = (sent.head for sent in server.requests)
    assert "range:" not in first
    assert "range: bytes=3-\r" in second
    assert "x-team: 7\r" in second


@pytest.mark.parametrize(("method", "headers"), [("POST", {}), ("GET", {"RANGE": "bytes=0-7"})])
async def test_what_is_no_plain_read_is_not_asked_for_twice(
    server: Server, gate: TokenGate, tmp_path: Any, method: str, headers: dict[str, str]
) -> None:
    """The rest of it is the rest of something else."""
    server.answers = [part(8, b"abc", status=200)]
    download = await gate._sender.fetch(request_of(method=method, headers=headers))
    with pytest.raises(TransportError):
        await download.save(tmp_path / "猫.png")
    assert len(server.requests) == 1


# --- the settings of a download -----------------------------------------------------------------


def broken_off(body: bytes, *headers: str, status: int = 200) -> bytes:
    """Return the beginning of an answer that stays open."""
    said = answer(status, body, *headers)
    return said.replace(b"Content-Length: %d\r" % len(body), b"Content-Length: 99999\r")


@pytest.mark.parametrize(
    ("policy", "found", "at"),
    [
        ({"timeout": Timeout(stall=20.0)}, ("stall", 20.0), 27.0),
        ({"timeout": Timeout(total=15.0)}, ("total", 15.0), 15.0),
        ({"deadline": 12.0}, ("deadline", 12.0), 12.0),
    ],
)
async def test_the_clocks_of_a_download(
    server: Server,
    gate: TokenGate,
    clock: VirtualClock,
    policy: dict[str, Any],
    found: tuple[str, float],
    at: float,
) -> None:
    """Silence while it is read; and what bounds the whole call, since that began."""
    clock.advance(100.0)
    server.answers = [broken_off(b"half")]
    download = await gate._sender.fetch(request_of(**policy))
    clock.advance(7.0)
    error = await ended(clock, download.read())
    assert isinstance(error, TimedOut)
    assert (error.phase, error.seconds) == found
    assert 0 <= clock.now() - 100.0 - at <= 0.75


async def test_a_download_that_is_too_large(server: Server) -> None:
    """As large as it may be it is read."""
    server.answers = [answer(200, b"12345678")]
    for most in (8, 7):
        async with TokenGate(
            api_key=KEY, base_url=await server.start(), max_reply_bytes=most
        ) as gate:
            download = await gate._sender.fetch(request_of())
            if most == 8:
                assert await download.read() == b"12345678"
            else:
                with pytest.raises(WireError, match="expected at most 7 bytes"):
                    await download.read()
        server.stop()


async def test_an_error_inside_a_download(server: Server, gate: TokenGate) -> None:
    """It has the id of the request, and echoes no key."""
    body = f'{{"error":{{"message":"bad key {KEY}","code":"invalid_api_key"}}}}'.encode()
    server.answers = [answer(200, body, "X-Request-Id: r-5")]
    download = await gate._sender.fetch(request_of())
    with pytest.raises(StatusError) as raised:
        await download.json()
    error = raised.value
    assert (error.request_id, error.code, len(error.attempts)) == ("r-5", "invalid_api_key", 1)
    assert KEY not in f"{error} {error.body}"


@pytest.mark.parametrize("attempts", [1, 2, 4])
async def test_a_download_that_always_breaks_at_the_same_place(
    server: Server, gate: TokenGate, tmp_path: Any, attempts: int
) -> None:
    """It is asked for as often as a call may be sent."""
    server.answers = [part(8, b"abc", status=200), part(5, b"", "Content-Range: bytes 3-7/8")]
    download = await gate._sender.fetch(request_of(retry=Retry(attempts=attempts)))
    with pytest.raises(TransportError):
        await download.save(tmp_path / "猫.png")
    assert len(server.requests) == attempts


async def test_the_rest_is_asked_for_in_what_is_left_of_the_time(
    server: Server, gate: TokenGate, clock: VirtualClock, tmp_path: Any
) -> None:
    server.answers = [part(8, b"abc", status=200), b"HTTP/1.1 206 X\r\n"]
    download = await gate._sender.fetch(request_of(deadline=30.0))
    clock.advance(20.0)
    saving = asyncio.ensure_future(download.save(tmp_path / "猫.png"))
    await server.came(2)
    error = await ended(clock, saving)
    assert isinstance(error, TimedOut)
    assert (error.phase, error.seconds) == ("deadline", 10.0)
    assert clock.now() >= 30


# --- a kept connection that died ----------------------------------------------------------------


async def test_a_dead_connection_is_replaced_once(
    server: Server, gate: TokenGate, events: list[HookEvent]
) -> None:
    """Within the one attempt: no wait, no budget, one place, and the reply tells of it."""
    server.answers = [GOOD_CHAT, CLOSE, GOOD_CHAT]
    retry = Retry(attempts=1, max_wait=0)
    first = await gate.chat(MODEL, PROMPT, retry=retry)
    reply = await gate.chat(MODEL, PROMPT, retry=retry)
    assert reply.answer == "好"
    assert [attempt.reconnected for attempt in first.attempts] == [False]
    (attempt,) = reply.attempts
    assert (attempt.error, attempt.status, attempt.reconnected) == (None, 200, True)
    assert [request.connection for request in server.requests] == [1, 1, 2]
    assert gate.pool.statistics().lanes[0].admitted == 2
    assert sum(isinstance(event, RequestStarted) for event in events) == 2
    assert not any(isinstance(event, RetryScheduled) for event in events)


async def test_a_fresh_connection_that_dies_is_an_attempt(
    server: Server, gate: TokenGate, clock: VirtualClock
) -> None:
    """The one in place of a dead one, too; and it is done once a call."""
    server.answers = [GOOD_CHAT, CLOSE]
    await gate.chat(MODEL, PROMPT)
    error = await ended(clock, gate.chat(MODEL, PROMPT))
    assert isinstance(error, Unanswered)
    assert len(server.requests) == 1 + 4
    told = [(attempt.error, attempt.reconnected) for attempt in error.attempts]
    assert told == [("Unanswered", True), ("Unanswered", False), ("Unanswered", False)]


async def test_a_dead_connection_costs_no_budget(server: Server, gate: TokenGate) -> None:
    """A hundred that die one after another, each replaced."""
    server.answers = [GOOD_CHAT, CLOSE, GOOD_CHAT] * 40
    replies = [await gate.chat(MODEL, PROMPT) for _ in range(80)]
    assert sum(reply.attempts[0].reconnected for reply in replies) == 40


async def test_no_connection_in_place_of_a_dead_one(
    server: Server, gate: TokenGate, clock: VirtualClock
) -> None:
    """The request had left: it is Unanswered, and counts against the limit."""
    pool = Pool(Limits(requests_per_minute=60), clock=clock)
    server.answers = [GOOD_CHAT, CLOSE]
    async with TokenGate(
        api_key=KEY, base_url=gate.base_url, pool=pool, clock=clock, retry=Retry(attempts=1)
    ) as other:
        await other.chat(MODEL, PROMPT)
        server.stop()
        error = await ended(clock, other.chat(MODEL, PROMPT))
        assert isinstance(error, Unanswered)
        left = pool.statistics().lanes[0].requests_left
        assert left is not None
        assert left < 59


async def test_an_overload_is_no_dead_connection(
    server: Server, gate: TokenGate, clock: VirtualClock
) -> None:
    """What was answered is not asked again on another connection."""
    server.answers = [GOOD_CHAT, answer(503), GOOD_CHAT]
    await ended(clock, gate.chat(MODEL, PROMPT))
    error = await ended(clock, gate.chat(MODEL, PROMPT, retry=Retry(attempts=1)))
    assert isinstance(error, Overloaded)
    assert len(server.requests) == 2


# --- what never left ----------------------------------------------------------------------------


async def test_what_was_still_connecting_has_not_left(clock: VirtualClock) -> None:
    """It counts against no limit, whichever clock ends it, or a cancellation; and is told so."""
    reached = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(say_nothing, "127.0.0.1", 0)  # no TLS, but no refusal
    pool = Pool(Limits(requests_per_minute=6, tokens_per_minute=6_000), clock=clock)
    port = listener.sockets[0].getsockname()[1]
    async with TokenGate(
        api_key=KEY, base_url=f"https://127.0.0.1:{port}/v1", clock=clock, pool=pool
    ) as gate:
        options: dict[str, Any] = {"max_tokens": 500, "retry": Retry(attempts=1)}
        ends = [
            await ended(clock, gate.chat(MODEL, PROMPT, **options, **limit))
            for limit in (
                {"deadline": 1},
                {"timeout": Timeout(total=1)},
                {"timeout": Timeout(first_event=1)},
            )
        ]
        reached.clear()
        task = asyncio.create_task(gate.chat(MODEL, PROMPT, **options))
        await reached.wait()
        task.cancel()
        await asyncio.wait([task])
    assert [error.phase for error in ends] == ["deadline", "total", "connect"]
    (lane,) = pool.statistics().lanes
    assert (lane.requests_left, lane.tokens_left, lane.in_flight) == (6, 6_000, 0)
    listener.close()


# --- the end of a session -----------------------------------------------------------------------


async def test_one_that_was_let_in_this_moment(gateway: FakeGateway) -> None:
    """It has its place, and has not gone on yet: it is not sent either."""
    gate = opened(gateway, pool=Pool(ONE))
    gateway.script(half(Gate()))
    async with gate.chat(MODEL, "一") as stream:
        (waiting,) = begun(gate.chat(MODEL, "二"))
        await turns()
        stream.stop()
        assert gate.pool.statistics().waiting == 0
        await gate.close()
    assert all_refused(await outcomes([waiting]))
    assert (len(gateway.requests), gate.pool.statistics().in_flight) == (1, 0)


async def test_a_wait_for_the_next_attempt_is_ended(
    gateway: FakeGateway, clock: VirtualClock
) -> None:
    """Who waits to be sent again is told at once, with what was tried."""
    gateway.script(faults.html_502())
    gate = opened(gateway, clock=clock)
    (waiting,) = begun(gate.chat(MODEL, "你好"))
    await gateway.wait_requests()
    await until(lambda: clock.pending and not gate.pool.statistics().in_flight)
    await gate.close()
    (error,) = await outcomes([waiting])
    assert all_refused([error])
    assert [attempt.error for attempt in error.attempts] == ["ServerFailed"]
    assert not hasattr(error, "__notes__")
    assert len(gateway.requests) == 1


async def test_a_call_made_before_and_used_after(gateway: FakeGateway) -> None:
    """It is refused as one of its session, whatever the pool has to say."""
    gate = opened(gateway)
    sending = gate._sender.ask(request_of())
    await gate.close()
    with pytest.raises(CallerError, match=CLOSED):
        await sending
    assert gateway.requests == []


async def test_a_call_before_its_first_delta(gateway: FakeGateway) -> None:
    """It is ended, says that it may have been begun, and leaves its task as it was."""
    gateway.script(faults.silence())
    gate = opened(gateway, pool=Pool(ONE))

    async def ask() -> tuple[CallerError, int]:
        with pytest.raises(CallerError, match=CLOSED) as caught:
            await gate.chat(MODEL, "你好")
        task = asyncio.current_task()
        assert task is not None
        return caught.value, task.cancelling()

    asking = asyncio.create_task(ask())
    await gateway.wait_requests()
    await gate.close()
    error, cancelling = await asking
    assert cancelling == 0
    assert "may have been begun" in error.__notes__[0]
    assert gate.pool.statistics().in_flight == 0
    await gateway.wait_connections(0)


async def test_a_cancellation_in_the_same_moment_is_kept(gateway: FakeGateway) -> None:
    """The end of the session takes back its own cancellation, and no other."""
    gateway.script(faults.silence())
    gate = opened(gateway)
    (asking,) = begun(gate.chat(MODEL, "你好"))
    await gateway.wait_requests()
    asking.cancel()
    await gate.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


def test_who_waits_in_another_loop_is_refused_there(fake_gateway: FakeGateway) -> None:
    """One session in two threads: what streams in the other goes on, and sends nothing more."""
    turnstile, told = Gate(), threading.Event()
    fake_gateway.script(half(turnstile))
    gate = opened(fake_gateway, pool=Pool(ONE))
    found: list[Any] = []

    async def use() -> None:
        async with gate.chat(MODEL, "一") as stream:
            (waiting,) = begun(gate.chat(MODEL, "二"))
            await turns()
            told.set()
            found.extend(await outcomes([waiting]))
            turnstile.open()
            found.append(await stream.answer.text())

    thread = threading.Thread(target=asyncio.run, args=(use(),))
    thread.start()
    assert told.wait(20)
    asyncio.run(gate.close())
    thread.join(20)
    assert all_refused(found[:1])
    assert found[1:] == ["好的"]
    assert len(fake_gateway.requests) == 1


def test_one_let_in_while_another_loop_closes(fake_gateway: FakeGateway) -> None:
    """It has its place and goes on before it can be told: it is not sent either."""
    fake_gateway.script(half(Gate()))
    gate = opened(fake_gateway, pool=Pool(ONE))

    async def use() -> None:
        async with gate.chat(MODEL, "一") as stream:
            (waiting,) = begun(gate.chat(MODEL, "二"))
            await turns()
            stream.stop()
            closing = threading.Thread(target=asyncio.run, args=(gate.close(),))
            closing.start()
            closing.join()
            assert all_refused(await outcomes([waiting]))

    asyncio.run(use())
    assert len(fake_gateway.requests) == 1


async def test_nothing_is_tried_again_while_what_runs_ends(
    gateway: FakeGateway, clock: VirtualClock
) -> None:
    """A call that fails meanwhile ends with its own error."""
    turnstile = Gate()
    gateway.script(Raw(500, [turnstile, b"no"]))
    gate = opened(gateway, clock=clock, retry=Retry(attempts=3))
    (running,) = begun(gate.chat(MODEL, "一"))
    await gateway.wait_requests()
    (closing,) = begun(gate.close(drain=30))
    await turns()
    turnstile.open()
    (error,) = await outcomes([running])
    assert isinstance(error, ServerFailed)
    await closing
    assert len(gateway.requests) == 1


async def test_nothing_is_left_of_many_calls(gateway: FakeGateway) -> None:
    """However calls end, the session remembers none of them."""
    async with opened(gateway) as gate:
        gateway.script(ScriptedReply(answer="好"), faults.reset(), faults.status_error(400))
        for question in ("一", "二 🎹", "三"):
            await outcomes(begun(gate.chat(MODEL, question, retry=Retry(attempts=1))))
        async for _ in gate.chat(MODEL, "四"):
            break
        await gate.models()
        left = asyncio.ensure_future(gate.chat(MODEL, "五"))
        await turns(2)
        left.cancel()
        await outcomes([left])
        _, calls = gate._sender.here()
        assert not calls.busy


async def test_what_had_to_be_broken_is_given_time_to_go_down(gateway: FakeGateway) -> None:
    """A tenth of a second, for the good-byes of TLS."""
    loop = asyncio.get_running_loop()
    gateway.script(faults.silence())
    gate = opened(gateway)
    tasks = begun(gate.chat(MODEL, "你好"))
    await gateway.wait_requests()
    began = loop.time()
    await gate.close()
    assert loop.time() - began >= 0.1
    assert all_refused(await outcomes(tasks))


async def test_the_place_where_a_stream_was_opened_is_known_in_debug_mode(
    server: Server, gate: TokenGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not else: it would cost every call."""
    server.answers = [held_open(chat_frame('{"content":"a"}'))]
    for debug in (False, True):
        asyncio.get_running_loop().set_debug(debug)
        async with gate.chat(MODEL, PROMPT) as stream:
            (receiver,) = gate._sender.here()[0].watched()
            assert isinstance(receiver, Receiver)
            assert (__file__ in (receiver.opened_at or "")) is debug
            assert "in _succeeded" not in (receiver.opened_at or "")
            stream.stop()


def test_loops_that_are_gone_are_forgotten() -> None:
    """A session that serves one loop after another remembers the last."""
    gate = TokenGate(api_key=KEY)

    async def here() -> tuple[object, object]:
        return gate._sender.here()

    first = asyncio.run(here())
    assert asyncio.run(here()) is not first
    assert len(gate._sender._here) == 1


@pytest.mark.parametrize("before", ["queue", "retry"])
async def test_one_that_has_waited_and_was_sent_may_have_been_begun(
    gateway: FakeGateway, clock: VirtualClock, before: str
) -> None:
    """It waits no more, and so it is not ended with those who wait; but with all others."""
    turnstile = Gate()
    gateway.script(half(turnstile) if before == "queue" else Raw(503), faults.silence())
    gate = opened(gateway, pool=Pool(ONE, clock=clock), clock=clock)
    tasks = begun(*(gate.chat(MODEL, text) for text in ("一二" if before == "queue" else "一")))
    await gateway.wait_requests(1)
    turnstile.open()
    while len(gateway.requests) < 2:
        await clock.run_for(0.25)
    (closing,) = begun(gate.close(drain=5))
    await clock.run_for(4)
    assert not tasks[-1].done()
    await clock.run_for(2)
    error = (await outcomes(tasks))[-1]
    assert all_refused([error])
    assert error.__notes__ == [
        "the request was on its way: what was asked for may have been begun"
    ]
    await closing
    assert gate._sender._here == {}


async def test_who_reads_a_stream_is_not_cancelled(gateway: FakeGateway) -> None:
    """The stream is stopped, and its reader goes on."""
    gateway.script(half(Gate()))
    gate = opened(gateway)
    with pytest.warns(ResourceWarning, match="a stream was still open"):
        async with gate.chat(MODEL, "一") as stream:
            await gate.close()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert (await stream.reply()).status == "stopped"


async def test_one_that_was_cancelled_before_is_still_told(gateway: FakeGateway) -> None:
    """A cancellation that its task has swallowed is none of the session's."""
    gateway.script(faults.silence())
    gate = opened(gateway)

    async def ask() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            with pytest.raises(CallerError, match=CLOSED):
                await gate.chat(MODEL, "你好")

    asking = asyncio.create_task(ask())
    await asyncio.sleep(0)
    asking.cancel()
    await gateway.wait_requests()
    await gate.close()
    await asking
