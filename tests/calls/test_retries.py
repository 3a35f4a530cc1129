"""Between two attempts: whether there is another one, and after how long."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from aiotokengate import (
    AuthenticationFailed,
    BadRequest,
    Limits,
    Overloaded,
    Pool,
    QuotaExhausted,
    RateLimited,
    Retry,
    ServerFailed,
    StatusError,
    TimedOut,
    Timeout,
    TokenGate,
    TokenGateError,
    Unanswered,
)
from aiotokengate._calls.request import CallPolicy, HttpRequest, Request
from aiotokengate._calls.retries import Retries
from aiotokengate._http.uploads import Form, file_part
from aiotokengate._policy.retry import RetryBudget
from tests.support.ordered import CLOSE, END, GOOD_CHAT, Server, answer, ended
from tests.support.turns import KEYS, MODEL, admission_of, lane_of, turn_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiotokengate._calls.admission import Admission, Turn
    from aiotokengate.testing import VirtualClock

PROMPT = "画一只猫 🐈"
KEY = "sk-paid-once"
MANY = Limits(concurrency=100, learn=False)
"""No limit that these tests would meet."""

SPENT = "not tried again: the stream that was uploaded can be read once"
BEGUN = "not tried again: what was asked for may have been begun"
STORM = "not tried again: too many calls of this session are failing"


@pytest.fixture
def gate(wired: TokenGate) -> TokenGate:
    """Return a session with the server of plain bytes."""
    return wired


# --- the decision -------------------------------------------------------------------------------


@pytest.fixture
def _half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let chance give a half, always."""
    monkeypatch.setattr(random, "random", lambda: 0.5)


def going(
    admission: Admission,
    budget: RetryBudget | None = None,
    form: Form | None = None,
    **policy: Any,
) -> tuple[Retries, Turn]:
    """Return what decides on the attempts of a call, and its turn, which was let in."""
    settings = {"timeout": Timeout(), "retry": Retry(), "pooled": True, **policy}
    request = Request(HttpRequest("POST", "/x", form=form), CallPolicy(**settings), MODEL)
    turn = turn_of(admission, **settings)
    assert turn.take()
    return Retries(request, turn, budget or RetryBudget()), turn


def refused(retry_after: float | None = None) -> RateLimited:
    """Return a refusal for a limit."""
    return RateLimited("m", retry_after=retry_after)


def notes(error: BaseException) -> list[str]:
    """Return what was added to an error."""
    return getattr(error, "__notes__", [])


@pytest.mark.usefixtures("_half")
@pytest.mark.parametrize(
    ("error", "attempt", "waited", "retry", "found"),
    [
        (ServerFailed("m"), 1, 0.0, Retry(), (0.25, 0.25)),
        (ServerFailed("m"), 2, 0.0, Retry(), (0.5, 0.5)),
        (ServerFailed("m"), 3, 0.0, Retry(), (None, 0.0)),
        (ServerFailed("m"), 1, 59.9, Retry(), (pytest.approx(0.1), pytest.approx(0.1))),
        (ServerFailed("m"), 1, 0.0, Retry(max_wait=0), (0.0, 0.0)),
        (ServerFailed("m"), 1, 0.0, Retry(attempts=1), (None, 0.0)),
        (BadRequest("m"), 1, 0.0, Retry(), (None, 0.0)),
        (TimedOut("connect", 1), 1, 0.0, Retry(), (0.25, 0.25)),
        (TimedOut("first_event", 1), 1, 0.0, Retry(), (None, 0.0)),
        (Overloaded("m", retry_after=4.0), 1, 0.0, Retry(), (4.5, 4.5)),
        (Overloaded("m", retry_after=4.0), 1, 56.0, Retry(), (4.0, 4.0)),
        (Overloaded("m", retry_after=4.0), 1, 56.1, Retry(), (None, 0.0)),
    ],
)
async def test_after_a_failure_the_call_waits_alone(
    clock: VirtualClock,
    error: TokenGateError,
    attempt: int,
    waited: float,
    retry: Retry,
    found: tuple[float | None, float],
) -> None:
    """All its waits are one sum; the lane is held for nobody."""
    admission = admission_of(clock, MANY)
    retries, turn = going(admission, retry=retry)
    retries.waits(waited - 1.0)
    retries.waits(1.0)
    assert retries.after(error, attempt) == found
    lane = lane_of(admission)
    assert (lane.in_flight, lane.hold, turn.route.in_flight) == (0, 0.0, 0)
    assert notes(error) == []


@pytest.mark.usefixtures("_half")
@pytest.mark.parametrize(
    ("error", "attempt", "waited", "retry", "found", "hold"),
    [
        (refused(), 1, 0.0, Retry(), (0.25, 0.25), 0.25),
        (refused(), 2, 0.0, Retry(), (0.5, 0.5), 0.5),
        (refused(), 3, 0.0, Retry(), (None, 0.0), 0.0),
        (refused(20.0), 1, 0.0, Retry(), (22.5, 22.5), 22.5),
        (refused(20.0), 3, 0.0, Retry(), (None, 0.0), 22.5),
        (refused(20.0), 1, 40.0, Retry(), (20.0, 20.0), 20.0),
        (refused(20.0), 1, 41.0, Retry(), (None, 0.0), 22.5),
        (refused(60.0), 1, 0.0, Retry(), (60.0, 60.0), 60.0),
        (refused(61.0), 1, 0.0, Retry(), (None, 0.0), 0.0),
        (refused(0.0), 1, 0.0, Retry(), (0.0, 0.0), 0.0),
    ],
)
async def test_after_a_refusal_the_lane_waits_with_the_call(
    clock: VirtualClock,
    error: TokenGateError,
    attempt: int,
    waited: float,
    retry: Retry,
    found: tuple[float | None, float],
    hold: float,
) -> None:
    """As long as was named, also where the call gives up; but for no time that none bears."""
    admission = admission_of(clock, MANY)
    retries, turn = going(admission, retry=retry)
    retries.waits(waited)
    assert retries.after(error, attempt) == found
    lane = lane_of(admission)
    assert (lane.in_flight, lane.hold, lane.refused) == (0, hold, 1)
    assert turn.route.in_flight == 0


@pytest.mark.usefixtures("_half")
@pytest.mark.parametrize(
    ("max_wait", "waited", "found"),
    [
        (60.0, 0.0, (1.0, 1.0)),
        (1.0, 0.0, (1.0, 1.0)),
        (0.9, 0.0, (None, 0.0)),
        (3.0, 2.0, (1.0, 1.0)),
        (3.0, 2.1, (None, 0.0)),
    ],
)
async def test_a_hold_that_nobody_named_counts_as_the_calls_own_wait(
    clock: VirtualClock, max_wait: float, waited: float, found: tuple[float | None, float]
) -> None:
    """The lane has found it out; a call that can't bear it is not sent again."""
    admission = admission_of(clock)
    retries, _ = going(admission, retry=Retry(max_wait=max_wait))
    retries.waits(waited)
    assert retries.after(refused(), 1) == found
    assert lane_of(admission).hold == 1.0


@pytest.mark.usefixtures("_half")
async def test_a_named_time_counts_and_not_what_others_make_it_wait(clock: VirtualClock) -> None:
    admission = admission_of(clock, MANY)
    retries, _ = going(admission, retry=Retry(max_wait=2))
    async with admission.pool.slot(MODEL, key=KEYS[0]) as slot:
        slot.refuse(retry_after=50)
    held, counted = retries.after(refused(1.0), 1)
    assert counted == 1.125
    assert held == lane_of(admission).hold >= 50


async def one_piece() -> AsyncIterator[bytes]:
    """Yield what can be read once."""
    yield b"RIFF"


@pytest.mark.parametrize("error", [ServerFailed("m"), refused(1.0), AuthenticationFailed("m")])
async def test_a_stream_that_was_read_is_not_sent_again(
    clock: VirtualClock, error: TokenGateError
) -> None:
    """And that is said; what was not read yet can still be sent."""
    part = file_part("file", one_piece(), "song.wav")
    admission = admission_of(clock, MANY, KEYS)
    retries, _ = going(admission, form=Form(files=(part,)))
    again, _ = going(admission, form=Form(files=(file_part("file", one_piece(), "song.wav"),)))
    async for _ in part.source:  # type: ignore[union-attr]
        pass
    assert retries.after(error, 1) == (None, 0.0)
    assert notes(error) == [SPENT]
    assert again.after(ServerFailed("m"), 1)[0] is not None


@pytest.mark.usefixtures("_half")
@pytest.mark.parametrize(
    ("error", "found", "noted"),
    [
        (ServerFailed("m", status=500), (None, 0.0), [BEGUN]),
        (Unanswered("m"), (None, 0.0), [BEGUN]),
        (Overloaded("m", status=503), (None, 0.0), [BEGUN]),
        (TimedOut("first_event", 1), (None, 0.0), []),
        (BadRequest("m", status=400), (None, 0.0), []),
        (RateLimited("m", status=503), (0.25, 0.25), []),
        (RateLimited("m", status=502, retry_after=1.0), (None, 0.0), [BEGUN]),
        (Overloaded("m", status=503, retry_after=4.0), (4.5, 4.5), []),
        (TimedOut("connect", 1), (0.25, 0.25), []),
    ],
    ids=repr,
)
async def test_what_costs_is_not_sent_again_where_it_may_have_begun(
    clock: VirtualClock,
    error: TokenGateError,
    found: tuple[float | None, float],
    noted: list[str],
) -> None:
    """That is said where it would have been sent again otherwise."""
    retries, _ = going(admission_of(clock, MANY), costly=True)
    assert retries.after(error, 1) == found
    assert notes(error) == noted


async def test_another_key_is_tried_at_once(clock: VirtualClock) -> None:
    """As often as attempts are left, and without a wait."""
    for attempt, found in ((1, 0.0), (2, 0.0), (3, None)):
        for error in (AuthenticationFailed("m", status=401), QuotaExhausted("m", status=403)):
            for costly in (False, True):
                retries, _ = going(admission_of(clock, MANY, KEYS), costly=costly)
                assert retries.after(error, attempt) == (found, 0.0)


async def test_a_session_that_fails_all_the_time_is_not_tried_again(clock: VirtualClock) -> None:
    """Twenty may come together; waiting out a refusal costs nothing of it."""
    budget, admission = RetryBudget(), admission_of(clock, MANY)
    waits = []
    for _ in range(21):
        error = ServerFailed("m")
        retries, _ = going(admission, budget)
        waits.append(retries.after(error, 1))
    assert [wait for wait, _ in waits].count(None) == 1
    assert waits[-1] == (None, 0.0)
    assert notes(error) == [STORM]
    retries, turn = going(admission, budget)
    assert retries.after(refused(1.0), 1)[0] is not None
    assert turn.route.in_flight == 0


# --- how often, and for how long ----------------------------------------------------------------


MIXTURES = {
    "refused": [answer(429, b"{}", "Retry-After: 0")],
    "refused without a time": [answer(429)],
    "overloaded": [answer(503)],
    "broken": [CLOSE],
    "all of them": [
        *(answer(429, b"{}", END), answer(503, b"{}", END), CLOSE),
        *(answer(500, b"{}", END), answer(529, b"{}", END), CLOSE),
    ],
    "refused inside a 200": [
        answer(200, b'data: {"error":{"message":"m","code":429}}\n\ndata: [DONE]\n\n')
    ],
    "empty": [answer(200, b"data: [DONE]\n\n")],
}


@pytest.mark.parametrize("attempts", [1, 2, 4])
@pytest.mark.parametrize("answers", MIXTURES.values(), ids=MIXTURES)
async def test_attempts_are_all_that_is_sent(
    server: Server, gate: TokenGate, clock: VirtualClock, answers: list[bytes], attempts: int
) -> None:
    """Refusals and failures together, whatever the mixture."""
    server.answers = list(answers)
    call = gate.chat(MODEL, PROMPT, retry=Retry(attempts=attempts, max_wait=600, empty=True))
    error = await ended(clock, call)
    assert len(server.requests) == attempts == len(error.attempts), error


@pytest.mark.parametrize(
    "answers",
    [
        [answer(429, b"{}", "Retry-After: 1")],
        [answer(503, b"{}", "Retry-After: 1")],
        [answer(429), answer(503), CLOSE] * 9,
        [answer(429)],
        [answer(503)],
    ],
    ids=["429 with a time", "503 with a time", "a mixture", "429", "503"],
)
async def test_waits_are_one_sum(
    server: Server, gate: TokenGate, clock: VirtualClock, answers: list[bytes]
) -> None:
    """Whatever made a call wait, it comes out of the same ``max_wait``."""
    server.answers = list(answers)
    call = gate.chat(MODEL, PROMPT, retry=Retry(attempts=50, max_wait=3))
    error = await ended(clock, call)
    assert isinstance(error, TokenGateError)
    waits = [attempt.wait or 0.0 for attempt in error.attempts]
    assert 1 < len(waits) < 50
    assert sum(waits) <= 3 + 1e-6


async def test_a_hint_longer_than_the_rest_ends_the_call_at_once(
    server: Server, gate: TokenGate, clock: VirtualClock
) -> None:
    """With the hint on the error, and without a wait."""
    server.answers = [answer(429, b"{}", "Retry-After: 40")]
    error = await ended(clock, gate.chat(MODEL, PROMPT, retry=Retry(attempts=9)))
    assert isinstance(error, RateLimited)
    assert error.retry_after == 40
    assert [attempt.wait is None for attempt in error.attempts] == [False, True]
    assert clock.now() < 51


async def test_a_key_that_is_refused_for_ever(
    server: Server, gate: TokenGate, clock: VirtualClock
) -> None:
    """Within a minute of waiting by default, and the next call of the lane waits no longer."""
    server.answers = [answer(429, b"{}", "Retry-After: 20")]
    error = await ended(clock, gate.chat(MODEL, PROMPT))
    assert isinstance(error, RateLimited)
    assert len(server.requests) == 3
    assert clock.now() <= 60
    server.answers, began = [GOOD_CHAT], clock.now()
    reply = await ended(clock, gate.chat(MODEL, PROMPT))
    assert reply.answer == "好"
    assert 19 < clock.now() - began <= 26


async def test_queueing_is_no_attempt_and_no_wait(server: Server, clock: VirtualClock) -> None:
    """Who waits for others in the lane has lost nothing of either."""
    address = await server.start()
    pool = Pool(Limits(requests_per_minute=1), clock=clock)
    server.answers = [GOOD_CHAT]
    retry = Retry(attempts=1, max_wait=0)
    async with TokenGate(
        api_key=KEY, base_url=address, pool=pool, clock=clock, retry=retry
    ) as gate:
        replies = [await ended(clock, gate.chat(MODEL, PROMPT)) for _ in range(3)]
    assert [len(reply.attempts) for reply in replies] == [1, 1, 1]
    assert replies[2].attempts[0].queued > 50


async def test_failures_that_storm(server: Server, gate: TokenGate, clock: VirtualClock) -> None:
    """However many calls fail at once, only so many are tried again."""
    server.answers = [answer(502)]
    calls = [asyncio.ensure_future(gate.chat(MODEL, "你好")) for _ in range(40)]
    errors = await ended(clock, asyncio.gather(*calls, return_exceptions=True))
    assert {type(error) for error in errors} == {ServerFailed}
    assert len(server.requests) == 60
    assert [STORM] in [notes(error) for error in errors]


@pytest.mark.parametrize(
    "said",
    [
        answer(429, b'{"error":{"message":"arrears","code":"1113"}}'),
        answer(400, b'{"error":{"message":"sensitive","code":"1301"}}'),
        answer(501, b'{"error":{"message":"not implemented"}}'),
        answer(503, b"{}", "x-should-retry: false"),
        answer(429, b"{}", "Retry-After: 121"),
    ],
    ids=["quota", "content", "not implemented", "the gateway's verdict", "too long a wait"],
)
async def test_what_is_never_tried_again(server: Server, gate: TokenGate, said: bytes) -> None:
    """Quota, refused content and what does not exist would be the same again."""
    server.answers = [said]
    with pytest.raises(StatusError) as raised:
        await gate.chat(MODEL, "嗨")
    assert len(server.requests) == len(raised.value.attempts) == 1
    assert raised.value.attempts[0].wait is None
    assert raised.value.retryable is isinstance(raised.value, RateLimited)
