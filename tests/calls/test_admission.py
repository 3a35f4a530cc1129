"""Calls in the pool: who waits, for what, what it costs, and that every place is given back."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from aiotokengate import (
    AnswerDelta,
    AuthenticationFailed,
    BadRequest,
    CallerError,
    ConnectFailed,
    Endpoint,
    Limits,
    Overloaded,
    Pool,
    QueueFull,
    RateLimited,
    Reply,
    Retry,
    ServerFailed,
    StatusError,
    TimedOut,
    TokenGate,
    TokenGateError,
    Unanswered,
    WireError,
)
from aiotokengate._calls.admission import ADMITTED, Admission, Turn
from aiotokengate._http.connections import Progress
from aiotokengate._policy.estimate import CallSize
from aiotokengate._policy.statistics import LaneStatistics
from aiotokengate._pool.holding import Hold
from aiotokengate._pool.pool import mask
from aiotokengate.hooks import HookEvent, Queued
from aiotokengate.testing import FakeGateway, Gate, Raw, ScriptedReply, VirtualClock, faults
from tests.support.common import receiver_over
from tests.support.ordered import ended
from tests.support.turns import KEYS, MODEL, admission_of, lane_of, turn_of

MANY = Limits(concurrency=100, learn=False)
"""No limit that these tests would meet."""

PACED = Limits(requests_per_minute=1, learn=False)


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


# --- one turn -----------------------------------------------------------------------------------


def busy(admission: Admission, turn: Turn) -> tuple[int, int, int]:
    """Return who is in flight in the lane, and on the key; and who was let in at all."""
    lane = lane_of(admission)
    return lane.in_flight, turn.route.in_flight, lane.admitted


async def test_a_place_is_taken_and_given_back_once(clock: VirtualClock) -> None:
    """Whoever wants to start the next call is told when this one was let in."""
    admission, told = admission_of(clock), list[str]()
    ADMITTED.set(lambda: told.append("in"))
    turn = turn_of(admission)
    assert turn.take()
    assert (busy(admission, turn), told, turn.queued) == ((1, 1, 1), ["in"], 0.0)
    turn.done()
    assert busy(admission, turn) == (0, 0, 1)
    turn.done()
    turn.drop()
    assert not turn.failed(ServerFailed("m"))
    assert turn.refused(RateLimited("m"), 3.0) == 3.0
    turn.settle(receiver_over([]))
    assert busy(admission, turn) == (0, 0, 1)
    assert lane_of(admission).refused == 0
    assert turn.take()
    assert (busy(admission, turn), told) == ((1, 1, 2), ["in", "in"])
    turn.drop()
    assert busy(admission, turn) == (0, 0, 2)


async def test_what_is_no_call_of_a_model_takes_no_place(clock: VirtualClock) -> None:
    """It goes at once, and whatever becomes of it is of no interest to any lane."""
    admission, told = admission_of(clock, Limits(tokens_per_minute=6_000)), list[str]()
    ADMITTED.set(lambda: told.append("in"))
    turn = turn_of(admission, pooled=False)
    assert turn.take()
    assert turn.queued == 0.0
    turn.answered({"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "2"})
    turn.true_up(receiver_over([]))
    assert not turn.watches_tokens
    assert turn.hand_over() is None
    assert turn.refused(RateLimited("m"), 3.0) == 3.0
    assert not turn.failed(AuthenticationFailed("m"))
    turn.settle(receiver_over([]))
    turn.done(7.0)
    turn.drop()
    assert (admission.pool.statistics().lanes, turn.route.in_flight, told) == ((), 0, [])


async def test_who_waits_is_told(clock: VirtualClock, events: list[HookEvent]) -> None:
    """Observers hear at which place a call waits, for how long, and for what."""
    admission = admission_of(clock, PACED, hooks=(events.append,))
    first, second, third = (turn_of(admission) for _ in range(3))
    assert first.take()
    first.done()
    waits = []
    for number, turn in ((7, second), (8, third)):
        assert not turn.take()
        waits.append(asyncio.ensure_future(turn.wait(number, None)))
        await clock.settle()
    assert events == [
        Queued(7, MODEL, 1, 60.0, "requests"),
        Queued(8, MODEL, 2, 120.0, "requests"),
    ]
    assert busy(admission, second) == (0, 0, 1)
    await clock.run_for(60)
    assert [wait.done() for wait in waits] == [True, False]
    assert (busy(admission, second), second.queued) == ((1, 1, 2), 60.0)
    second.answered({})
    await clock.run_for(60)
    assert third.queued == 120.0
    assert waits[1].done()
    assert admission.pool.statistics().waiting == 0
    second.done()
    third.done()
    await clock.run_for(60)
    assert third.take()
    assert third.queued == 0.0


async def test_the_urgent_and_the_patient(clock: VirtualClock) -> None:
    """Interactive calls pass bulk ones, and users take turns."""
    admission, order = admission_of(clock, PACED), list[str]()
    first = turn_of(admission)
    assert first.take()
    first.done()

    async def ask(name: str, **policy: Any) -> None:
        turn = turn_of(admission, **policy)
        assert not turn.take()
        await turn.wait(1, None)
        turn.done()
        order.append(name)

    asked = [
        asyncio.ensure_future(ask("批", priority="bulk")),
        *(asyncio.ensure_future(ask(f"甲{n}", fair_key="甲")) for n in (1, 2, 3)),
        asyncio.ensure_future(ask("乙1", fair_key="乙")),
    ]
    await clock.run_for(300)
    await asyncio.gather(*asked)
    assert order == ["甲1", "乙1", "甲2", "甲3", "批"]


@pytest.mark.parametrize(("deadline", "said"), [(20.0, 20.0), (None, 15.0)])
async def test_the_deadline_comes_first(
    clock: VirtualClock, deadline: float | None, said: float
) -> None:
    """The call's own is named, of which only so much was left."""
    admission = admission_of(clock, Limits(concurrency=1))
    assert turn_of(admission).take()
    turn = turn_of(admission, deadline=deadline)
    assert not turn.take()
    waiting = asyncio.ensure_future(turn.wait(1, 15.0))
    await clock.run_for(14.9)
    assert not waiting.done()
    await clock.run_for(0.1)
    with pytest.raises(TimedOut) as raised:
        await waiting
    assert (raised.value.phase, raised.value.seconds) == ("deadline", said)
    assert raised.value.__suppress_context__
    assert (turn.route.in_flight, admission.pool.statistics().waiting) == (1, 0)


# --- what it has cost ---------------------------------------------------------------------------


def told(prompt: int, written: int) -> bytes:
    """Return a frame that says what a reply has cost."""
    return (
        b'data: {"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d,'
        b'"total_tokens":%d}}\n\n' % (prompt, written, prompt + written)
    )


PIECE = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'


def sized(max_tokens: int | None = None) -> CallSize:
    """Return the size of a prompt of ten tokens."""
    return CallSize(max_tokens=max_tokens, estimate=lambda: 10)


def used(admission: Admission) -> float:
    """Return how many of 6,000 tokens are used or kept free."""
    left = lane_of(admission).tokens_left
    assert left is not None
    return 6_000 - left


@pytest.mark.parametrize(
    ("charge", "max_tokens", "usage", "kept", "cost"),
    [
        (None, None, told(20, 30), 1_010, 50),
        (None, 500, told(20, 30), 510, 520),
        ("max_tokens", None, told(20, 30), 1_010, 50),
        ("usage", 500, told(20, 30), 510, 50),
        ("usage", 5, told(20, 30), 15, 50),
        (None, None, b"", 1_010, 11),
        ("usage", 500, b"", 510, 11),
        (None, 500, b"", 510, 510),
        ("max_tokens", None, b"", 1_010, 1_010),
    ],
)
async def test_what_a_reply_has_cost(
    clock: VirtualClock, charge: Any, max_tokens: int | None, usage: bytes, kept: int, cost: int
) -> None:
    """What was kept free too much is free again when its tokens are known, or counted."""
    admission = admission_of(clock, Limits(tokens_per_minute=6_000, charge=charge))
    turn = turn_of(admission, size=sized(max_tokens))
    assert turn.take()
    assert used(admission) == kept
    turn.answered({})
    receiver = receiver_over([PIECE, LAST, usage])
    await receiver.drain()
    turn.settle(receiver)
    assert used(admission) == cost
    assert busy(admission, turn) == (0, 0, 1)


async def test_what_calls_cost_is_learned_of_those_that_say_it(clock: VirtualClock) -> None:
    """The next one of the model is expected to cost as much."""
    admission = admission_of(clock, Limits(tokens_per_minute=6_000))
    for usage, cost, expected in ((b"", 11, 1_010), (told(20, 30), 50, 50)):
        turn = turn_of(admission, size=sized())
        before = used(admission) if admission.pool.statistics().lanes else 0
        assert turn.take()
        receiver = receiver_over([PIECE, LAST, usage])
        await receiver.drain()
        turn.settle(receiver)
        after = used(admission)
        assert after - before == cost
        following = turn_of(admission, size=sized())
        assert following.take()
        assert used(admission) - after == expected
        assert not following.failed(ConnectFailed("m"))
        assert used(admission) == after


async def test_where_no_tokens_are_counted_a_reply_just_ends(clock: VirtualClock) -> None:
    admission = admission_of(clock, Limits(concurrency=1, learn=False))
    turn = turn_of(admission)
    assert turn.take()
    turn.settle(receiver_over([]))
    assert busy(admission, turn) == (0, 0, 1)
    assert turn_of(admission).take()


@pytest.mark.parametrize(
    ("limits", "max_tokens", "watched"),
    [
        (Limits(tokens_per_minute=6_000), None, True),
        (Limits(tokens_per_minute=6_000), 500, False),
        (Limits(tokens_per_minute=6_000, charge="usage"), 500, True),
        (Limits(concurrency=1, learn=False), None, False),
    ],
)
async def test_tokens_are_watched_where_they_are_charged_late(
    clock: VirtualClock, limits: Limits, max_tokens: int | None, watched: bool
) -> None:
    turn = turn_of(admission_of(clock, limits), size=sized(max_tokens))
    assert not turn.watches_tokens
    assert turn.take()
    assert turn.watches_tokens is watched


async def test_a_reply_that_is_longer_than_expected_takes_more_while_it_comes(
    clock: VirtualClock,
) -> None:
    """About a token for each piece, beside those of the prompt."""
    admission = admission_of(clock, Limits(tokens_per_minute=6_000, charge="usage"))
    turn = turn_of(admission, size=sized(5))
    assert turn.take()
    assert used(admission) == 15
    receiver = receiver_over([*[PIECE] * 7, LAST])
    turn.true_up(receiver)
    assert used(admission) == 15
    await receiver.drain()
    turn.true_up(receiver)
    assert used(admission) == 10 + len(receiver.log)
    assert len(receiver.log) > 5
    assert not turn.failed(ConnectFailed("m"))
    assert used(admission) == 0
    assert turn.take()
    assert used(admission) == 15  # what is expected of another attempt


@pytest.mark.parametrize(("tokens", "cost"), [(None, 510), (7.0, 7)])
async def test_what_a_call_without_deltas_has_cost(
    clock: VirtualClock, tokens: float | None, cost: int
) -> None:
    """What it says; or else what was expected."""
    admission = admission_of(clock, Limits(tokens_per_minute=6_000))
    turn = turn_of(admission, size=sized(500))
    assert turn.take()
    turn.done(tokens)
    assert used(admission) == cost


@pytest.mark.parametrize(
    ("error", "sent", "requests", "tokens"),
    [
        (CallerError("m"), True, 0, 0),
        (ConnectFailed("m"), True, 0, 0),
        (TimedOut("connect", 1), True, 0, 0),
        (TimedOut("connect", 1), False, 0, 0),
        (TimedOut("first_event", 1), True, 1, 510),
        (TimedOut("first_event", 1), None, 1, 510),
        (TimedOut("first_event", 1), False, 0, 0),
        (TimedOut("total", 1), False, 0, 0),
        (TimedOut("deadline", 1), True, 1, 510),
        (Unanswered("m"), False, 1, 510),
        (WireError("m"), True, 1, 510),
        (Overloaded("m"), True, 1, 0),
        (BadRequest("m"), True, 1, 0),
        (AuthenticationFailed("m"), False, 1, 0),
        (ServerFailed("m"), True, 1, 510),
    ],
    ids=repr,
)
async def test_what_a_failure_has_cost(
    clock: VirtualClock, error: TokenGateError, sent: bool | None, requests: int, tokens: int
) -> None:
    """What never left nothing, what was refused a request, what may have been begun all of it."""
    limits = Limits(tokens_per_minute=6_000, requests_per_minute=60, learn=False)
    admission = admission_of(clock, limits)
    turn = turn_of(admission, size=sized(500))
    assert turn.take()
    if sent is not None:
        turn.progress = Progress()
        turn.progress.sent = sent
    assert turn.failed(error) is False
    turn.answered({"x-ratelimit-limit-requests": "7", "x-ratelimit-remaining-requests": "2"})
    turn.true_up(receiver_over([]))
    assert turn.hand_over() is None
    assert not turn.watches_tokens
    lane = lane_of(admission)
    assert (lane.requests_left, used(admission)) == (60 - requests, tokens)
    assert busy(admission, turn) == (0, 0, 1)
    assert turn.take()
    assert turn.progress is None
    assert busy(admission, turn) == (1, 1, 2)


async def test_who_has_no_room_for_several_is_asked_by_fewer(clock: VirtualClock) -> None:
    """That is learned of Overloaded, and of no other failure."""
    for error, room in ((ServerFailed("m"), None), (Overloaded("m"), 10)):
        admission = admission_of(clock)
        turns = [turn_of(admission) for _ in range(13)]
        assert all(turn.take() for turn in turns)
        for turn in turns[:3]:
            turn.failed(error)
        assert lane_of(admission).concurrency == room


@pytest.mark.parametrize(
    ("max_tokens", "limits", "sent", "requests", "tokens"),
    [
        (None, {}, True, 1, 10),
        (None, {}, None, 1, 10),
        (None, {}, False, 0, 0),
        (500, {}, True, 1, 510),
        (500, {"charge": "usage"}, True, 1, 10),
    ],
)
async def test_what_a_call_that_was_called_off_has_cost(
    clock: VirtualClock,
    max_tokens: int | None,
    limits: dict[str, Any],
    sent: bool | None,
    requests: int,
    tokens: int,
) -> None:
    """Its prompt may have been read; where max_tokens are taken at once, so were they."""
    limits = {"tokens_per_minute": 6_000, "requests_per_minute": 60, **limits}
    admission = admission_of(clock, Limits(**limits))
    turn = turn_of(admission, size=sized(max_tokens))
    assert turn.take()
    if sent is not None:
        turn.progress = Progress()
        turn.progress.sent = sent
    turn.drop()
    lane = lane_of(admission)
    assert (lane.requests_left, used(admission)) == (60 - requests, tokens)
    assert busy(admission, turn) == (0, 0, 1)


# --- refusals -----------------------------------------------------------------------------------


def limited(retry_after: float | None = None, message: str = "m") -> RateLimited:
    """Return a refusal for a limit."""
    return RateLimited(message, retry_after=retry_after)


@pytest.mark.parametrize(
    ("error", "wait", "hinted", "held"),
    [
        (limited(), 3.0, False, 3.0),
        (limited(7.0), 8.5, True, 8.5),
        (limited(7.0), 8.5, False, 8.5),
        (limited(), 0.0, False, 0.0),
        (limited(), 0.0, True, 0.0),
        (limited(7.0), 0.0, False, 7.0),
        (limited(60.0), 0.0, True, 60.0),
        (limited(61.0), 0.0, True, 0.0),
        (QueueFull("m"), 3.0, False, 3.0),
        (QueueFull("m"), 0.0, False, 0.0),
    ],
    ids=repr,
)
async def test_for_how_long_a_refusal_holds_a_lane(
    clock: VirtualClock, error: TokenGateError, wait: float, hinted: bool, held: float
) -> None:
    """As the call waits; where it does not come again, as it was told, if that can be borne."""
    admission = admission_of(clock, Limits(concurrency=9, learn=False))
    turn = turn_of(admission)
    assert turn.take()
    assert turn.refused(error, wait, hinted=hinted) == held
    lane = lane_of(admission)
    assert (lane.hold, lane.refused) == (held, 1)
    assert busy(admission, turn) == (0, 0, 1)
    assert turn.take() is (held == 0)


@pytest.mark.parametrize(
    ("error", "wait", "hinted", "held"),
    [
        (limited(), 0.1, False, 30.0),
        (limited(), 0.0, False, 2.0),
        (limited(), 0.1, True, 0.1),
        (limited(0.1), 0.1, False, 0.1),
        (limited(0.1), 0.0, False, 0.1),
        (limited(61.0), 0.0, True, 2.0),
    ],
    ids=repr,
)
async def test_who_names_no_time_is_left_alone_for_longer_and_longer(
    clock: VirtualClock, error: TokenGateError, wait: float, hinted: bool, held: float
) -> None:
    """Where it does not come again, for less long; where a time was named, no longer than that."""
    admission = admission_of(clock)
    for _ in range(9):
        turn = turn_of(admission)
        assert turn.take()
        clock.advance(turn.refused(limited(), 0.1))
    turn = turn_of(admission)
    assert turn.take()
    assert turn.refused(error, wait, hinted=hinted) == pytest.approx(held)


@pytest.mark.parametrize(
    ("message", "room"),
    [
        ("Concurrency limit reached", 2),
        ("too many concurrent requests", 2),
        ("并发数过高", 2),
        ("too many requests", None),
        ("请求过于频繁", None),
    ],
)
async def test_a_refusal_that_names_the_number_in_flight(
    clock: VirtualClock, message: str, room: int | None
) -> None:
    """No more are let in than are let be."""
    admission = admission_of(clock)
    turns = [turn_of(admission) for _ in range(3)]
    assert all(turn.take() for turn in turns)
    turns[0].refused(limited(1.0, message), 1.0)
    assert lane_of(admission).concurrency == room


async def test_what_the_headers_name_is_believed(clock: VirtualClock) -> None:
    admission = admission_of(clock)
    turn = turn_of(admission)
    assert turn.take()
    turn.answered({"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "2"})
    lane = lane_of(admission)
    assert (lane.requests_per_minute, lane.requests_left, lane.in_flight) == (60, 2, 1)


# --- what the caller holds ----------------------------------------------------------------------


async def test_a_reply_that_was_handed_over_holds_its_place(clock: VirtualClock) -> None:
    """Until it is over, whichever way, and no longer."""
    admission = admission_of(clock, Limits(concurrency=1, learn=False))
    turn = turn_of(admission)
    for end in (
        turn.done,
        turn.drop,
        lambda: turn.settle(receiver_over([])),
        lambda: turn.refused(limited(), 0.0),
        lambda: turn.failed(ServerFailed("m")),
    ):
        assert turn.take()
        hold = turn.hand_over()
        assert hold is not None
        assert hold.stream
        assert [*admission.pool.holds.values()] == [{hold}]
        end()
        assert admission.pool.holds == {}


# --- several keys at once -----------------------------------------------------------------------


async def test_what_a_key_is_called_where_there_are_several(clock: VirtualClock) -> None:
    """Where there is one, it needs no name."""
    only = turn_of(admission_of(clock))
    assert (only.name, only.endpoint) == (None, "")
    admission = admission_of(clock, keys=KEYS)
    first, other = admission.routes.all
    turn = turn_of(admission, endpoint=other.digest)
    assert turn.route is other
    assert (turn.name, turn.endpoint) == (mask(KEYS[1]), mask(KEYS[1])[-6:])
    assert turn_of(admission).route is first


async def test_another_attempt_goes_to_another_key(clock: VirtualClock) -> None:
    """Once for each key that is no good; the first that lets a call in is used again."""
    admission = admission_of(clock, MANY, KEYS)
    first, other = admission.routes.all
    turn = turn_of(admission)
    assert turn.take()
    assert turn.route is first
    assert turn.failed(AuthenticationFailed("m"))
    assert turn.take()
    assert turn.route is other
    assert (first.in_flight, other.in_flight) == (0, 1)
    assert not turn.failed(AuthenticationFailed("m"))
    aside = {lane.key: lane.set_aside for lane in admission.pool.statistics().lanes}
    assert aside == {first.name: "AuthenticationFailed", other.name: "AuthenticationFailed"}
    assert turn.take()
    turn.answered({})
    aside = {lane.key: lane.set_aside for lane in admission.pool.statistics().lanes}
    assert aside == {first.name: None, other.name: "AuthenticationFailed"}


async def test_a_key_that_failed_is_avoided_for_the_next_attempt(clock: VirtualClock) -> None:
    """Though nothing is said against it."""
    admission = admission_of(clock, MANY, KEYS)
    first, other = admission.routes.all
    turn = turn_of(admission)
    assert turn.take()
    assert not turn.failed(ConnectFailed("m"))
    assert turn.take()
    assert turn.route is other
    turn.done()
    assert turn_of(admission).take()
    assert first.in_flight == 1


async def held(turn: Turn) -> Hold:
    """Take a place, and hold it by a stream that this task reads."""
    assert turn.take()
    hold = turn.hand_over()
    assert hold is not None
    hold.touch()
    return hold


def give_back(turn: Turn, _: object) -> None:
    """Give a place back, when something else is done."""
    turn.done()


async def test_who_holds_the_place_of_one_key_waits_for_another(clock: VirtualClock) -> None:
    """Where that is somebody else's, who may give it back; or is free meanwhile."""
    for free in (False, True):
        admission = admission_of(clock, Limits(concurrency=1, learn=False), KEYS)
        first, other = admission.routes.all
        await held(turn_of(admission))
        theirs = turn_of(admission)
        assert theirs.take()
        assert theirs.route is other
        turn = turn_of(admission)
        assert not turn.take()
        assert turn.route is first
        if free:
            theirs.done()
        moving = asyncio.ensure_future(clock.run_for(6))
        moving.add_done_callback(partial(give_back, theirs))
        await turn.wait(1, None)
        assert turn.queued == (0.0 if free else 6.0)
        await moving
        assert turn.route is other
        assert (first.in_flight, other.in_flight) == (1, 1)


async def test_who_goes_over_to_another_key_stands_behind_all_who_wait_there(
    clock: VirtualClock,
) -> None:
    admission, order = admission_of(clock, Limits(concurrency=1, learn=False), KEYS), list[str]()
    theirs = turn_of(admission)
    other = admission.routes.all[1]
    await held(turn_of(admission))
    assert theirs.take()
    assert theirs.route is other

    async def wait(name: str) -> None:
        async with admission.pool.slot(MODEL, key=KEYS[1]):
            order.append(name)

    turn = turn_of(admission)
    assert not turn.take()
    waiting = [asyncio.ensure_future(wait(name)) for name in ("一", "二")]
    moving = asyncio.ensure_future(clock.run_for(6))
    moving.add_done_callback(partial(give_back, theirs))
    await turn.wait(1, None)
    assert order == ["一", "二"]
    await asyncio.gather(moving, *waiting)


async def test_who_holds_the_places_of_all_keys_is_told(clock: VirtualClock) -> None:
    """Nobody else could end it."""
    admission = admission_of(clock, Limits(concurrency=1, learn=False), KEYS)
    for _ in KEYS:
        await held(turn_of(admission))
    turn = turn_of(admission)
    assert not turn.take()
    with pytest.raises(CallerError, match="would wait for itself"):
        await turn.wait(1, None)
    assert admission.pool.statistics().waiting == 0
    assert [route.in_flight for route in admission.routes.all] == [1, 1]


# --- a session's own pool -----------------------------------------------------------------------


@pytest.mark.parametrize("owned", [True, False])
def test_a_pool_of_a_session_never_keeps_another_loop_waiting(
    clock: VirtualClock, owned: bool
) -> None:
    """Each loop that runs at the same time has one, which is closed with the session's."""
    pool, other = Pool(clock=clock), asyncio.new_event_loop()
    admission = Admission(admission_of(clock).routes, pool, owned, (), clock)

    async def here() -> Pool:
        return admission.pool_here()

    async def use() -> None:
        pool.lane(MODEL)
        assert admission.pool_here() is pool
        theirs = await asyncio.to_thread(other.run_until_complete, here())
        assert (theirs is pool) is not owned
        assert theirs.clock is clock
        assert await asyncio.to_thread(other.run_until_complete, here()) is theirs
        await admission.close()
        for used in (pool, theirs):
            if owned:
                with pytest.raises(CallerError, match="this Pool is closed"):
                    used.check_open()
            else:
                used.check_open()

    asyncio.run(use())
    assert asyncio.run(here()) is pool  # its loop has ended
    other.close()


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
