"""Calls in the pool: whoever waits, for what, and that every place is given back."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from aiotokengate import (
    AnswerDelta,
    AuthenticationFailed,
    CallerError,
    ConnectFailed,
    Endpoint,
    Limits,
    Pool,
    QueueFull,
    RateLimited,
    Reply,
    Retry,
    ServerFailed,
    StatusError,
    TimedOut,
    Timeout,
    TokenGate,
    Unanswered,
)
from aiotokengate._calls.admission import Turn
from aiotokengate._calls.request import CallPolicy, HttpRequest, Request
from aiotokengate._policy.estimate import CallSize, estimate_tokens
from aiotokengate._policy.limits import Limits as PolicyLimits
from aiotokengate._policy.statistics import LaneStatistics
from aiotokengate._pool.pool import mask
from aiotokengate.hooks import HookEvent, Queued
from aiotokengate.testing import FakeGateway, Gate, Raw, ScriptedReply, VirtualClock, faults

MODEL = "qwen3.6-plus"
MANY = Limits(concurrency=100, learn=False)
"""No limit that these tests would meet."""


@pytest.fixture
def clock() -> VirtualClock:
    """Return a clock that the test moves."""
    return VirtualClock()


@pytest.fixture
def events() -> list[HookEvent]:
    """Return what the hook was told."""
    return []


Opened = Callable[..., TokenGate]


@pytest.fixture
async def opened(
    gateway: FakeGateway, clock: VirtualClock, events: list[HookEvent]
) -> AsyncIterator[Opened]:
    """Yield a way to open sessions with a pool, on the virtual clock."""
    gates: list[TokenGate] = []

    def open_one(limits: Any = None, **settings: Any) -> TokenGate:
        if "endpoints" not in settings:
            settings.setdefault("api_key", gateway.api_key)
        pool = settings.pop("pool", None) or Pool(limits, clock=clock)
        gate = TokenGate(
            base_url=gateway.base_url, pool=pool, clock=clock, hooks=[events.append], **settings
        )
        gates.append(gate)
        return gate

    yield open_one
    for gate in gates:
        await gate.close()


def only_lane(gate: TokenGate) -> LaneStatistics:
    """Return the one lane of a session's pool."""
    (lane,) = gate.pool.statistics().lanes
    return lane


async def ended(clock: VirtualClock, call: Any) -> Any:
    """Await a call while virtual time runs; give its reply, or its error."""
    task = asyncio.ensure_future(call)
    while not task.done():
        await clock.run_for(0.25)
    return task.exception() or task.result()


# --- waiting and going --------------------------------------------------------------------------


async def test_a_call_waits_for_the_end_of_the_one_before(
    gateway: FakeGateway, clock: VirtualClock, opened: Opened
) -> None:
    """A place is taken until the last byte of a reply, and no longer."""
    gate, turnstile = opened(Limits(concurrency=1)), Gate()
    gateway.script(ScriptedReply(answer=["一", turnstile, "二"]), ScriptedReply(answer="三"))
    async with gate.chat(MODEL, "第一问") as stream:
        second = asyncio.ensure_future(gate.chat(MODEL, "第二问"))
        await clock.run_for(5)
        assert len(gateway.requests) == 1
        assert (only_lane(gate).in_flight, only_lane(gate).waiting) == (1, 1)
        turnstile.open()
        assert await stream.answer.text() == "一二"
    reply = await second
    assert reply.answer == "三"
    assert reply.timeline.queued == 0
    assert reply.timeline.admitted is not None
    assert reply.timeline.admitted >= 5
    assert reply.attempts[0].queued >= 5
    assert (only_lane(gate).in_flight, only_lane(gate).admitted) == (0, 2)


@pytest.mark.parametrize("way", ["break", "left", "stopped", "dropped", "cancelled", "cut"])
async def test_the_place_is_given_back(gateway: FakeGateway, opened: Opened, way: str) -> None:
    """However a stream is left, its place is free at once."""
    gate = opened(Limits(concurrency=1, learn=False))
    half = ScriptedReply(answer=["一", Gate(), "二"])
    gateway.script(faults.unfinished() if way == "cut" else half)
    gc.disable()
    try:
        await leave(gateway, gate, way)
        assert only_lane(gate).in_flight == 0
    finally:
        gc.enable()
    gateway.unscript()
    assert (await gate.chat(MODEL, "还在吗？")).status == "complete"


async def leave(gateway: FakeGateway, gate: TokenGate, way: str) -> None:
    """Leave a stream after its first delta."""
    call = gate.chat(MODEL, "你好")
    match way:
        case "break":
            async for _ in call:
                break
        case "left":
            async with call:
                pass
        case "stopped":
            async with call as stream:
                stream.stop()
        case "dropped":
            deltas = aiter(call)
            await anext(deltas)
            del deltas, call
            await asyncio.sleep(0)
        case "cancelled":
            task = asyncio.ensure_future(call)
            await gateway.wait_requests()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        case _:
            with pytest.raises(Exception, match="without a finish reason"):
                await call


async def test_a_waiting_call_that_is_cancelled(
    gateway: FakeGateway, clock: VirtualClock, opened: Opened
) -> None:
    """It leaves the queue, and the one behind it moves up."""
    gate, turnstile = opened(Limits(concurrency=1)), Gate()
    gateway.script(ScriptedReply(answer=["一", turnstile, "二"]))
    async with gate.chat(MODEL, "第一问") as stream:
        second, third = (asyncio.ensure_future(gate.chat(MODEL, text)) for text in "二三")
        await clock.run_for(1)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert only_lane(gate).waiting == 1
        turnstile.open()
        await stream.answer.text()
    assert (await third).status == "complete"
    assert len(gateway.requests) == 2


async def test_the_deadline_counts_the_waiting(
    gateway: FakeGateway, clock: VirtualClock, opened: Opened
) -> None:
    """A call that could not go in time says so, and was never sent."""
    gate = opened(Limits(requests_per_minute=1))
    assert (await gate.chat(MODEL, "一")).status == "complete"
    error = await ended(clock, gate.chat(MODEL, "二", deadline=20))
    assert isinstance(error, TimedOut)
    assert (error.phase, error.seconds) == ("deadline", 20)
    assert len(gateway.requests) == 1
    assert only_lane(gate).waiting == 0


async def test_a_queue_that_is_full(
    gateway: FakeGateway, opened: Opened, clock: VirtualClock
) -> None:
    """Beyond the bound a call is refused at once, with what to do."""
    gate = opened(pool=Pool(Limits(requests_per_minute=1), max_waiting=2, clock=clock))
    await gate.chat(MODEL, "一")
    waiting = [asyncio.ensure_future(gate.chat(MODEL, "二")) for _ in range(2)]
    await clock.settle()
    with pytest.raises(QueueFull, match="at most 2 waiting calls"):
        await asyncio.wait_for(gate.chat(MODEL, "三"), 5)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert only_lane(gate).waiting == 0


async def test_closing_ends_the_waiting(opened: Opened, clock: VirtualClock) -> None:
    """Whoever waits when the session is closed is told."""
    gate = opened(Limits(requests_per_minute=1))
    await gate.chat(MODEL, "一")
    waiting = asyncio.ensure_future(gate.chat(MODEL, "二"))
    await clock.settle()
    await gate.close()
    with pytest.raises(CallerError, match="this TokenGate is closed"):
        await waiting


async def test_who_waits_is_told(
    opened: Opened, clock: VirtualClock, events: list[HookEvent]
) -> None:
    """Observers hear at which place a call waits, for how long, and for what."""
    gate = opened(Limits(requests_per_minute=60, concurrency=50))
    tasks = [asyncio.ensure_future(gate.chat(MODEL, f"第{n}问")) for n in range(50)]
    await asyncio.gather(*tasks)
    tasks = [asyncio.ensure_future(gate.chat(MODEL, f"第{n}问")) for n in range(12)]
    await clock.settle()
    queued = [event for event in events if isinstance(event, Queued)]
    assert [event.position for event in queued] == [1, 2]
    assert [event.because for event in queued] == ["requests", "requests"]
    assert [event.eta for event in queued] == [pytest.approx(1), pytest.approx(2)]
    assert await ended(clock, asyncio.gather(*tasks))


async def test_the_urgent_and_the_patient(
    gateway: FakeGateway, opened: Opened, clock: VirtualClock
) -> None:
    """Interactive calls pass bulk ones, and users take turns."""
    gate = opened(Limits(requests_per_minute=1))
    await gate.chat(MODEL, "先")
    order = [("批", "bulk", None), ("甲1", "interactive", "甲"), ("甲2", "interactive", "甲")]
    order += [("甲3", "interactive", "甲"), ("乙1", "interactive", "乙")]
    calls = [gate.chat(MODEL, text, priority=p, fair_key=key) for text, p, key in order]  # type: ignore[arg-type]
    tasks = []
    for call in calls:
        tasks.append(asyncio.ensure_future(call))
        await asyncio.sleep(0)
    await ended(clock, asyncio.gather(*tasks))
    said = [request.json["messages"][0]["content"] for request in gateway.requests]
    assert said == ["先", "甲1", "乙1", "甲2", "甲3", "批"]


# --- tokens -------------------------------------------------------------------------------------


async def test_tokens_are_settled_by_the_usage(gateway: FakeGateway, opened: Opened) -> None:
    """What was kept free too much is free again when the usage is known."""
    gate, turnstile = opened(Limits(tokens_per_minute=6_000)), Gate()
    gateway.script(ScriptedReply(answer=["一", turnstile, "二"]))
    async with gate.chat(MODEL, "你好") as stream:
        kept = only_lane(gate).tokens_left
        assert kept is not None
        assert kept < 5_100  # about a thousand for a reply of which nothing is known
        turnstile.open()
        reply = await stream.reply()
    used = reply.usage.total_tokens
    assert used is not None
    assert only_lane(gate).tokens_left == pytest.approx(6_000 - used)


async def test_max_tokens_are_charged_whole(gateway: FakeGateway, opened: Opened) -> None:
    """A gateway that takes max_tokens on admission gives nothing back; we count as it does."""
    gate = opened(Limits(tokens_per_minute=6_000))
    reply = await gate.chat(MODEL, "你好", max_tokens=500)
    assert only_lane(gate).tokens_left == pytest.approx(6_000 - reply.usage.prompt_tokens - 500)


async def test_charged_by_usage_although_max_tokens_is_given(opened: Opened) -> None:
    """The setting of the lane stands above the guess."""
    gate = opened(Limits(tokens_per_minute=6_000, charge="usage"))
    reply = await gate.chat(MODEL, "你好", max_tokens=500)
    assert only_lane(gate).tokens_left == pytest.approx(6_000 - reply.usage.total_tokens)


@pytest.mark.parametrize("max_tokens", [None, 500])
@pytest.mark.parametrize(
    ("fault", "costs"),
    [
        (Raw(status=503), 0),
        (Raw(status=529), 0),
        (Raw(status=429), 0),
        (Raw(status=400), 0),
        (Raw(status=401), 0),
        (Raw(status=502), 500),
        (Raw(status=504), 500),
    ],
    ids=lambda value: str(getattr(value, "status", value)),
)
async def test_what_left_counts_and_what_may_have_been_begun_costs(
    gateway: FakeGateway, opened: Opened, fault: Raw, costs: int, max_tokens: Any
) -> None:
    """Every request counts; what was refused gives its tokens back, what broke does not."""
    gate = opened(Limits(tokens_per_minute=6_000, requests_per_minute=60, learn=False))
    gateway.script(fault)
    asked: dict[str, Any] = {"max_tokens": max_tokens, "retry": Retry(attempts=1)}
    with pytest.raises(StatusError):
        await gate.chat(MODEL, "你好", **asked)
    lane = only_lane(gate)
    assert (lane.requests_left, lane.in_flight) == (59, 0)
    assert lane.tokens_left is not None
    assert (6_000 - lane.tokens_left >= costs) if costs else (lane.tokens_left == 6_000)


async def test_what_got_no_answer_may_have_been_begun(opened: Opened) -> None:
    """Its request counts, and its tokens; of what was never sent, neither."""
    gate = opened(Limits(tokens_per_minute=6_000, requests_per_minute=60))
    http = HttpRequest("POST", "/chat/completions", b"{}")
    size = CallSize(max_tokens=500, estimate=partial(estimate_tokens, b"{}"))
    request = Request(http, CallPolicy(Timeout(), Retry(), pooled=True, size=size), MODEL)
    used = []
    for error in (
        ConnectFailed("refused"),
        TimedOut("connect", 1),
        Unanswered("closed"),
        TimedOut("first_event", 1),
    ):
        turn = Turn(gate._sender.admission, request.model, request.policy)
        assert turn.take()
        turn.failed(error)
        lane = only_lane(gate)
        assert lane.requests_left is not None
        assert lane.tokens_left is not None
        used.append((60 - lane.requests_left, (6_000 - lane.tokens_left) // 500))
    assert used == [(0, 0), (0, 0), (1, 1), (2, 2)]


async def test_a_reply_longer_than_expected_is_noticed_while_it_comes(
    gateway: FakeGateway, opened: Opened, clock: VirtualClock
) -> None:
    """Tokens beyond what was kept free are taken as they arrive, not only at the end."""
    gate, turnstile = opened(Limits(tokens_per_minute=60_000)), Gate()
    for _ in range(3):  # so that its replies are known to be short
        await gate.chat(MODEL, "你好")
    gateway.script(ScriptedReply(answer=[*["字"] * 2_000, turnstile, "完"]))
    async with gate.chat(MODEL, "写长一点") as stream:
        await turnstile.reached()
        reader = asyncio.ensure_future(stream.answer.text())
        await clock.run_for(1)
        left = only_lane(gate).tokens_left
        assert left is not None
        assert left < 58_000
        turnstile.open()
        await reader


async def test_a_tokenizer_of_ones_own(
    gateway: FakeGateway, opened: Opened, clock: VirtualClock
) -> None:
    """What it is given is the prompt's text, and what it says counts."""
    seen: list[tuple[str, str]] = []

    def count(model: str, text: str) -> int:
        seen.append((model, text))
        return 4_000

    limits = Limits(tokens_per_minute=6_000, charge="max_tokens")
    gate = opened(pool=Pool(limits, count_tokens=count, clock=clock))
    gateway.script(ScriptedReply(answer=["一", Gate(), "二"]))
    async with gate.chat(MODEL, "请数一数", max_tokens=100) as _stream:
        assert only_lane(gate).tokens_left == pytest.approx(1_900)
    assert seen == [(MODEL, "请数一数")]
    assert only_lane(gate).tokens_left == pytest.approx(1_900)  # it has been charged whole


# --- refusals -----------------------------------------------------------------------------------


async def test_a_refusal_holds_everybody(
    gateway: FakeGateway, opened: Opened, clock: VirtualClock
) -> None:
    """One 429 is enough for all; after the hold one call goes ahead, and nobody is lost."""
    gate = opened()
    gateway.script(faults.empty_429())
    first = asyncio.ensure_future(gate.chat(MODEL, "一"))
    while not only_lane_refused(gate):
        await clock.settle()
    others = [asyncio.ensure_future(gate.chat(MODEL, text)) for text in "二三四"]
    await clock.settle()
    assert len(gateway.requests) == 1
    assert only_lane(gate).hold > 0
    replies = await ended(clock, asyncio.gather(first, *others))
    assert [reply.status for reply in replies] == ["complete"] * 4
    refused, done = replies[0].attempts
    assert (refused.error, refused.status, done.error) == ("RateLimited", 429, None)
    assert 1 <= refused.wait <= 1.25
    assert done.queued >= 1
    assert only_lane(gate).refused == 1


def only_lane_refused(gate: TokenGate) -> int:
    """Return the refusals, before there is a lane, too."""
    return gate.pool.statistics().refused


async def test_a_wait_that_the_gateway_names(
    gateway: FakeGateway, opened: Opened, clock: VirtualClock
) -> None:
    """It holds the whole lane, and only ever a little longer."""
    gate = opened(MANY)
    gateway.script(Raw(status=429, headers={"Retry-After": "20"}))
    reply = await ended(clock, gate.chat(MODEL, "你好"))
    assert 20 <= reply.attempts[0].wait <= 25
    assert reply.attempts[1].queued >= 20


async def test_refusals_without_end(
    gateway: FakeGateway, opened: Opened, clock: VirtualClock
) -> None:
    """As often as ``attempts`` says, then the error, with every attempt."""
    gate = opened()
    gateway.script(*[faults.empty_429()] * 10)
    error = await ended(clock, gate.chat(MODEL, "你好"))
    assert isinstance(error, RateLimited)
    assert len(error.attempts) == len(gateway.requests) == 3
    assert sum(attempt.queued for attempt in error.attempts) < 60


async def test_failures_that_storm(
    gateway: FakeGateway, opened: Opened, clock: VirtualClock
) -> None:
    """However many calls fail at once, only so many are tried again."""
    gate = opened(MANY)
    gateway.script(*[faults.html_502()] * 1_000)
    calls = [asyncio.ensure_future(gate.chat(MODEL, "你好")) for _ in range(100)]
    errors = await ended(clock, asyncio.gather(*calls, return_exceptions=True))
    assert {type(error) for error in errors} == {ServerFailed}
    assert len(gateway.requests) == 120
    notes = [note for error in errors for note in getattr(error, "__notes__", ())]
    assert "not tried again: too many calls of this session are failing" in notes


async def test_a_limit_that_the_headers_name(
    gateway: FakeGateway, opened: Opened, clock: VirtualClock
) -> None:
    """Where a gateway says what is left, that is believed."""
    gate = opened()
    told = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "2"}
    plain = (
        b'{"choices":[{"index":0,"message":{"content":"\xe5\xa5\xbd"},"finish_reason":"stop"}]}'
    )
    gateway.script(Raw(headers={"Content-Type": "application/json", **told}, body=plain))
    await gate.chat(MODEL, "你好", stream=False)
    assert only_lane(gate).requests_per_minute == 60
    assert only_lane(gate).requests_left == pytest.approx(2)
    calls = [asyncio.ensure_future(gate.chat(MODEL, "你好")) for _ in range(3)]
    await clock.settle()
    assert only_lane(gate).waiting == 1
    await ended(clock, asyncio.gather(*calls))


# --- lanes --------------------------------------------------------------------------------------


async def test_lanes_by_pattern(opened: Opened) -> None:
    """The first pattern that matches counts; its models share; the others have their own."""
    limits = {"qwen3.6-plus": Limits(concurrency=1), "qwen*": Limits(concurrency=2)}
    gate = opened({**limits, "gml*": Limits(concurrency=3)})
    for model in ("qwen3.6-plus", "qwen3.6-max-preview", "qwen3.5-plus", "glm-5.1", "glm-5.1"):
        await gate.chat(model, "你好")
    lanes = {lane.pattern: lane.admitted for lane in gate.pool.statistics().lanes}
    assert lanes == {"qwen3.6-plus": 1, "qwen*": 2, "glm-5.1": 2}
    assert gate.pool.statistics().unused == ("gml*",)


async def test_two_sessions_share_a_pool(
    gateway: FakeGateway, opened: Opened, clock: VirtualClock
) -> None:
    """With the same key they share its lane."""
    pool = Pool(Limits(requests_per_minute=2), clock=clock)
    one, other = opened(pool=pool), opened(pool=pool)
    await asyncio.gather(one.chat(MODEL, "一"), other.chat(MODEL, "二"))
    third = asyncio.ensure_future(one.chat(MODEL, "三"))
    await clock.settle()
    assert pool.statistics().waiting == 1
    async with pool.slot(MODEL, key="sk-another-key-of-another-account"):
        assert len(pool.statistics().lanes) == 2
    third.cancel()
    await asyncio.gather(third, return_exceptions=True)


def test_a_pool_outlives_its_loop() -> None:
    """A second asyncio.run goes on with what was used, and without the calls that died."""

    async def use(pool: Pool) -> float | None:
        slot = pool.slot(MODEL, tokens=10)
        await slot.__aenter__()  # and never left: its loop ends first
        (lane,) = pool.statistics().lanes
        assert lane.in_flight == 1
        return lane.requests_left

    pool = Pool(PolicyLimits(requests_per_minute=10), clock=VirtualClock())
    assert [asyncio.run(use(pool)) for _ in range(3)] == [9, 8, 7]


# --- several keys -------------------------------------------------------------------------------

FIRST, SECOND = "sk-first-key-of-the-account-0001", "sk-second-key-of-the-account-0002"


@pytest.fixture
async def keyed() -> AsyncIterator[FakeGateway]:
    """Yield a gateway that takes any key."""
    async with FakeGateway(any_key=True) as gateway:
        yield gateway


def keys_of(gateway: FakeGateway) -> list[str]:
    """Return the keys with which requests came."""
    return [
        request.headers["Authorization"].removeprefix("Bearer ") for request in gateway.requests
    ]


def two_keys(gateway: FakeGateway, **settings: Any) -> TokenGate:
    """Open a session with two keys."""
    endpoints = [Endpoint(api_key=FIRST), Endpoint(api_key=SECOND, weight=3)]
    return TokenGate(endpoints=endpoints, base_url=gateway.base_url, **settings)


async def test_keys_by_their_load(keyed: FakeGateway, clock: VirtualClock) -> None:
    """While all have room each gets its share of what is in flight."""
    pool = Pool(MANY, clock=clock)
    turnstile = Gate()
    keyed.script(*[ScriptedReply(answer=["一", turnstile])] * 8)
    async with two_keys(keyed, pool=pool, clock=clock) as gate:
        calls = []
        for number in range(1, 9):
            calls.append(asyncio.ensure_future(gate.chat(MODEL, "你好")))
            await keyed.wait_requests(number)
        turnstile.open()
        replies = await asyncio.gather(*calls)
    assert (keys_of(keyed).count(FIRST), keys_of(keyed).count(SECOND)) == (2, 6)
    assert {reply.attempts[0].endpoint for reply in replies} == {mask(FIRST), mask(SECOND)}


async def test_a_key_that_is_out_of_quota_waits_and_the_other_goes(
    keyed: FakeGateway, clock: VirtualClock
) -> None:
    """A call takes the key on which it can go soonest."""
    pool = Pool(Limits(requests_per_minute=2, learn=False), clock=clock)
    async with two_keys(keyed, pool=pool, clock=clock) as gate:
        for _ in range(4):
            await gate.chat(MODEL, "你好")
        waiting = asyncio.ensure_future(gate.chat(MODEL, "你好"))
        await clock.settle()
        assert pool.statistics().waiting == 1
        await ended(clock, waiting)
    assert keys_of(keyed)[:4].count(FIRST) == keys_of(keyed)[:4].count(SECOND) == 2


QUOTA = Raw(
    status=403,
    headers={"Content-Type": "application/json"},
    body='{"error":{"message":"用户额度不足","code":"insufficient_user_quota"}}'.encode(),
)


@pytest.mark.parametrize(
    ("fault", "because"), [(QUOTA, "QuotaExhausted"), (None, "AuthenticationFailed")]
)
async def test_a_key_that_is_no_good_is_set_aside(
    keyed: FakeGateway, clock: VirtualClock, fault: Raw | None, because: str
) -> None:
    """The call goes on with another key; the statistics name it, masked; later it is tried."""
    refusal = fault or Raw(status=401, headers={}, body=b"")
    pool = Pool(MANY, clock=clock)
    async with two_keys(keyed, pool=pool, clock=clock) as gate:
        keyed.script(refusal)
        replies = [await gate.chat(MODEL, "你好") for _ in range(4)]
        bad, good = keys_of(keyed)[0], keys_of(keyed)[1]
        assert keys_of(keyed) == [bad, good, good, good, good]
        assert [len(reply.attempts) for reply in replies] == [2, 1, 1, 1]
        assert replies[0].attempts[0].error == because
        aside = {lane.key: lane.set_aside for lane in pool.statistics().lanes}
        assert aside == {mask(bad): because, mask(good): None}
        await clock.run_for(61)
        turnstile = Gate()
        keyed.script(
            ScriptedReply(answer=["一", turnstile]), ScriptedReply(answer=["一", turnstile])
        )
        again = [asyncio.ensure_future(gate.chat(MODEL, "你好")) for _ in range(2)]
        await keyed.wait_requests(7)
        turnstile.open()
        await asyncio.gather(*again)
        assert {lane.set_aside for lane in pool.statistics().lanes} == {None}
    shown = f"{pool!r} {pool.statistics()!r} {gate!r} {replies!r}"
    assert FIRST not in shown
    assert SECOND not in shown


async def test_all_keys_are_no_good(keyed: FakeGateway, clock: VirtualClock) -> None:
    """Then the error is the gateway's own, and each key was tried once."""
    keyed.script(*[Raw(status=401, headers={}, body=b"")] * 5)
    async with two_keys(keyed, pool=Pool(MANY, clock=clock), clock=clock) as gate:
        with pytest.raises(AuthenticationFailed) as raised:
            await gate.chat(MODEL, "你好")
    assert len(raised.value.attempts) == 2
    assert sorted(keys_of(keyed)) == [FIRST, SECOND]


async def test_an_address_that_is_down(keyed: FakeGateway, clock: VirtualClock) -> None:
    """The next attempt goes elsewhere."""
    endpoints = [
        Endpoint(api_key=FIRST, base_url="http://127.0.0.1:9/v1", weight=9),
        Endpoint(api_key=SECOND),
    ]
    pool = Pool(MANY, clock=clock)
    async with TokenGate(
        endpoints=endpoints, base_url=keyed.base_url, pool=pool, clock=clock
    ) as gate:
        reply = await ended(clock, gate.chat(MODEL, "你好"))
    assert isinstance(reply, Reply)
    assert [attempt.error for attempt in reply.attempts] == [ConnectFailed.__name__, None]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(endpoints=[]), "expected at least one Endpoint, got none"),
        (dict(endpoints=["sk-x"]), r"expected endpoints as a list of Endpoint\(api_key=...\)"),
        (dict(endpoints=[Endpoint(api_key=" ")]), "no API key"),
        (
            dict(endpoints=[Endpoint(api_key="sk-x")], api_key="sk-y"),
            "api_key or endpoints, got both",
        ),
    ],
)
def test_wrong_endpoints(settings: dict[str, Any], message: str) -> None:
    """They are refused when the session is made."""
    with pytest.raises(CallerError, match=message):
        TokenGate(**settings)


@pytest.mark.parametrize("weight", [0, -1, True, float("nan"), "3"])
def test_wrong_weights(weight: Any) -> None:
    """A weight is a number above 0."""
    with pytest.raises(CallerError, match=r"expected Endpoint\(weight=...\) above 0"):
        Endpoint(api_key="sk-x", weight=weight)


async def test_deltas_come_through_the_pool(opened: Opened) -> None:
    """Iterating and entering wait for their turn like awaiting."""
    gate = opened(Limits(concurrency=1))
    texts = [
        delta.text async for delta in gate.chat(MODEL, "你好") if isinstance(delta, AnswerDelta)
    ]
    assert "".join(texts)
    assert (only_lane(gate).admitted, only_lane(gate).in_flight) == (1, 0)


def test_one_session_in_two_loops_at_once(fake_gateway: FakeGateway) -> None:
    """A session's own pool is never in the way; one that was given says what is wrong."""
    own = TokenGate(api_key=fake_gateway.api_key, base_url=fake_gateway.base_url)
    given = TokenGate(
        api_key=fake_gateway.api_key, base_url=fake_gateway.base_url, pool=Pool(Limits())
    )

    async def ask(gate: TokenGate) -> str:
        return (await gate.chat(MODEL, "你好")).status

    async def ask_from_two_loops(gate: TokenGate) -> str:
        await ask(gate)
        status = await asyncio.to_thread(asyncio.run, ask(gate))
        await gate.close()
        return status

    assert asyncio.run(ask_from_two_loops(own)) == "complete"
    with pytest.raises(CallerError, match="this Pool serves another running event loop"):
        asyncio.run(ask_from_two_loops(given))


async def test_models_that_users_made_up(opened: Opened) -> None:
    """Lanes of models that nobody knows are not kept for ever."""
    gate = opened({"qwen*": MANY})
    await gate.chat(MODEL, "你好")
    for number in range(1_100):
        async with gate.pool.slot(f"made-up-{number}"):
            pass
    lanes = gate.pool.statistics().lanes
    assert len(lanes) < 1_000
    assert "qwen*" in {lane.pattern for lane in lanes}
    assert len(gate.pool._by_model) <= 1_000


async def test_a_pool_that_is_closed(clock: VirtualClock) -> None:
    """Whoever waits in it is told, and nobody can come in."""
    pool = Pool(Limits(concurrency=1), clock=clock)
    async with pool.slot(MODEL):
        waiting = asyncio.ensure_future(pool.slot(MODEL).__aenter__())
        await clock.settle()
        pool.close()
        with pytest.raises(CallerError, match="this Pool is closed"):
            await waiting
    with pytest.raises(CallerError, match="this Pool is closed"):
        pool.slot(MODEL)


async def test_a_call_cancelled_on_its_way_has_cost_its_prompt(
    gateway: FakeGateway, opened: Opened
) -> None:
    """The gateway may have read it; the reply that never came costs nothing."""
    gate = opened(Limits(tokens_per_minute=6_000))
    gateway.script(faults.silence())
    call = asyncio.ensure_future(gate.chat(MODEL, "你好" * 500))
    await gateway.wait_requests()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    left = only_lane(gate).tokens_left
    assert left is not None
    assert 5_200 < left < 5_500  # 500 tokens by DeepSeek's tokenizer
