"""The limits of the fake gateway: against their definitions, and at work behind a socket."""

import asyncio
import contextlib
import copy
import math
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp import web
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aiotokengate import (
    AuthenticationFailed,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    Retry,
    TokenGate,
    TokenGateError,
)
from aiotokengate._cli.gateway import main as command
from aiotokengate.testing import (
    Enforcer,
    FakeGateway,
    Gate,
    Pace,
    RateLimit,
    Raw,
    ScriptedReply,
    faults,
)
from aiotokengate.testing._enforcer import Decision, Permit, Verdict

MINUTE = 60_000
"""In milliseconds, in which the definitions count, without any rounding."""


def ask(enforcer: Enforcer, now: float = 0.0, **call: Any) -> Verdict:
    call = {"key": "a", "model": "m", "prompt_tokens": 0, "max_tokens": 0, **call}
    return enforcer.admit(now, **call)


def ticket_of(verdict: Verdict) -> Permit:
    assert verdict.ticket is not None, verdict.because
    return verdict.ticket


def admitted(enforcer: Enforcer, calls: int, now: float = 0.0, **call: Any) -> int:
    return sum(ask(enforcer, now, **call).admitted for _ in range(calls))


# --- every kind of minute, against its definition -----------------------------------------------


class Call(NamedTuple):
    """A call at a time in milliseconds, and what it costs."""

    at: int
    cost: int


Rule = Callable[[Sequence[Call], int, Call], bool]


def bucket_allows(past: Sequence[Call], limit: int, call: Call) -> bool:
    """In no span more than a minute's worth and what the span is worth."""
    need, used = min(call.cost, limit), 0
    for earlier in reversed(past):
        used += earlier.cost
        if used + need > limit + Fraction(limit * (call.at - earlier.at), MINUTE):
            return False
    return need <= limit


def sliding_allows(past: Sequence[Call], limit: int, call: Call) -> bool:
    """In no minute more than the limit."""
    used = sum(earlier.cost for earlier in past if earlier.at > call.at - MINUTE)
    return used + min(call.cost, limit) <= limit


def fixed_allows(past: Sequence[Call], limit: int, call: Call) -> bool:
    """In no minute of the clock more than the limit."""
    minute = call.at // MINUTE
    used = sum(earlier.cost for earlier in past if earlier.at // MINUTE == minute)
    return used + min(call.cost, limit) <= limit


RULES: dict[str, Rule] = {
    "bucket": bucket_allows,
    "sliding": sliding_allows,
    "fixed": fixed_allows,
}
GAPS = st.one_of(
    st.integers(0, 5), st.integers(0, MINUTE), st.sampled_from([0, 1000, MINUTE - 1, MINUTE])
)


@st.composite
def traffic(draw: st.DrawFn, most: int = 60) -> list[Call]:
    """Return calls that crowd, pause, and come at the very ends of minutes."""
    at, calls = 0, []
    for gap, cost in draw(st.lists(st.tuples(GAPS, st.integers(0, most)), max_size=60)):
        at += gap
        calls.append(Call(at, cost))
    return calls


STARTS = st.sampled_from([0.0, 0.1, 12_345.678, 1_779_701_684.3])


def decisions(limit: RateLimit, calls: Sequence[Call], start: float) -> list[bool]:
    enforcer = Enforcer(limit)
    return [
        ask(enforcer, start + call.at / 1000, prompt_tokens=call.cost).admitted for call in calls
    ]


def by_definition(allows: Rule, limit: int, calls: Sequence[Call]) -> list[bool]:
    past: list[Call] = []
    answers = []
    for call in calls:
        answers.append(allows(past, limit, call))
        past += [call] * answers[-1]
    return answers


@pytest.mark.parametrize("kind", RULES)
@given(calls=traffic(), limit=st.integers(1, 100), start=STARTS)
def test_tokens_are_let_in_exactly_by_definition(
    kind: Any, calls: list[Call], limit: int, start: float
) -> None:
    given_limit = RateLimit(tokens_per_minute=limit, kind=kind, phase=start)
    assert decisions(given_limit, calls, start) == by_definition(RULES[kind], limit, calls)


@pytest.mark.parametrize("kind", RULES)
@given(calls=traffic(), limit=st.integers(1, 20), start=STARTS)
def test_requests_are_let_in_exactly_by_definition(
    kind: Any, calls: list[Call], limit: int, start: float
) -> None:
    given_limit = RateLimit(requests_per_minute=limit, kind=kind, phase=start)
    ones = [Call(call.at, 1) for call in calls]
    assert decisions(given_limit, calls, start) == by_definition(RULES[kind], limit, ones)


@given(calls=traffic(), slope=st.integers(1, 5), start=STARTS)
def test_a_burst_is_refused_although_the_minute_has_room(
    calls: list[Call], slope: int, start: float
) -> None:
    seconds = [Call(call.at * 60, 1) for call in calls]  # a second as long as a minute
    limit = RateLimit(requests_per_minute=10_000, burst_slope=slope)
    assert decisions(limit, calls, start) == by_definition(sliding_allows, slope, seconds)


@given(calls=traffic(most=15), start=STARTS)
def test_what_passes_several_limits_passes_each(calls: list[Call], start: float) -> None:
    rules = [RateLimit(tokens_per_minute=40), RateLimit(requests_per_minute=5, kind="sliding")]
    enforcer = Enforcer(rules)
    past: list[Call] = []
    for call in calls:
        fits = bucket_allows(past, 40, call)
        fits &= sliding_allows([Call(at, 1) for at, _ in past], 5, Call(call.at, 1))
        verdict = ask(enforcer, start + call.at / 1000, prompt_tokens=call.cost)
        assert verdict.admitted == fits
        past += [call] * fits


@pytest.mark.parametrize("kind", RULES)
@given(calls=traffic(), limit=st.integers(1, 100), start=STARTS)
@example(calls=[Call(0, 3), Call(0, 1)], limit=3, start=0.1)
def test_retry_after_is_the_first_moment_that_would_do(
    kind: Any, calls: list[Call], limit: int, start: float
) -> None:
    enforcer = Enforcer(RateLimit(tokens_per_minute=limit, kind=kind, phase=start, burst_slope=7))
    for call in calls:
        now = start + call.at / 1000
        verdict = ask(enforcer, now, prompt_tokens=call.cost)
        if (wait := verdict.retry_after) is not None:
            early, there = copy.deepcopy(enforcer), copy.deepcopy(enforcer)
            assert ask(there, now + wait, prompt_tokens=call.cost).admitted
            assert not ask(early, now + wait - 1e-4, prompt_tokens=call.cost).admitted


def test_retry_after_is_the_longest_of_several_waits() -> None:
    slow = RateLimit(requests_per_minute=1, concurrency=1)
    enforcer = Enforcer([RateLimit(burst_slope=1), slow])
    ask(enforcer)
    verdict = ask(enforcer)
    assert (verdict.because, verdict.retry_after) == ("burst", 60.0)
    assert verdict.limit == RateLimit(burst_slope=1)


def test_retry_after_survives_rounding() -> None:
    limit, used = 1.03, 1
    assert used + limit - limit > used
    enforcer = Enforcer(RateLimit(tokens_per_minute=limit, kind="sliding"))
    assert ask(enforcer, prompt_tokens=used).admitted
    assert ask(enforcer, prompt_tokens=2).retry_after == 60.0


@pytest.mark.parametrize("kind", RULES)
def test_a_steady_rate_of_exactly_the_limit_is_never_refused(kind: Any) -> None:
    enforcer = Enforcer(RateLimit(requests_per_minute=7, tokens_per_minute=7 * 13, kind=kind))
    now = 0.0
    for _ in range(10_000):  # the sum of so many rounded steps is off by more than one bit
        assert ask(enforcer, now, prompt_tokens=13).admitted
        now += 60 / 7


# --- what is larger than a minute, and what is charged when -------------------------------------


@pytest.mark.parametrize(("kind", "again"), [("bucket", 150), ("fixed", 60), ("sliding", 60)])
def test_the_oversized_come_in_alone(kind: Any, again: float) -> None:
    limit = RateLimit(tokens_per_minute=100, kind=kind)
    used = Enforcer(limit)
    ask(used, prompt_tokens=1)
    assert ask(used, prompt_tokens=150).because == "tokens"
    fresh = Enforcer(limit)
    assert ask(fresh, prompt_tokens=250).admitted
    assert not ask(fresh, prompt_tokens=1).admitted
    assert not ask(fresh, again - 0.01, prompt_tokens=100 if kind == "bucket" else 1).admitted
    assert ask(fresh, 210 if kind == "bucket" else again, prompt_tokens=100).admitted


def test_the_oversized_can_be_refused_for_good() -> None:
    enforcer = Enforcer(RateLimit(tokens_per_minute=100, refuse_oversized=True, retry_after=True))
    verdict = ask(enforcer, prompt_tokens=60, max_tokens=41)
    assert (verdict.because, verdict.retry_after) == ("oversized", math.inf)
    assert verdict.headers == {}
    assert ask(enforcer, prompt_tokens=60, max_tokens=40).admitted


def test_max_tokens_are_charged_at_admission_and_stay_charged() -> None:
    enforcer = Enforcer(RateLimit(tokens_per_minute=100, default_max_tokens=70))
    ticket = ticket_of(ask(enforcer, prompt_tokens=10, max_tokens=None))
    assert ask(enforcer, prompt_tokens=21).because == "tokens"
    enforcer.finish(0.0, ticket, completion_tokens=1)
    assert ask(enforcer, prompt_tokens=21).because == "tokens"
    assert ask(enforcer, prompt_tokens=10, max_tokens=10).admitted


def test_usage_is_charged_at_the_end() -> None:
    enforcer = Enforcer(RateLimit(tokens_per_minute=100, charge="usage"))
    first, second = (ticket_of(ask(enforcer, prompt_tokens=60)) for _ in range(2))
    enforcer.finish(0.0, first, completion_tokens=40)
    assert ask(enforcer, prompt_tokens=1, max_tokens=0).because == "tokens"
    enforcer.finish(0.0, second, completion_tokens=40)  # 100 too many, a minute's debt
    assert not ask(enforcer, 60.5, prompt_tokens=1).admitted
    assert ask(enforcer, 60.6, prompt_tokens=1).admitted


def test_what_failed_can_be_free() -> None:
    enforcer = Enforcer(RateLimit(tokens_per_minute=100, charge="usage"))
    enforcer.finish(0.0, ticket_of(ask(enforcer, prompt_tokens=90)), prompt_tokens=0)
    assert ask(enforcer, prompt_tokens=100).admitted


@pytest.mark.parametrize("kind", RULES)
def test_a_refusal_costs_nothing(kind: Any) -> None:
    limit = RateLimit(requests_per_minute=2, tokens_per_minute=100, kind=kind, burst_slope=2)
    enforcer = Enforcer(limit)
    ask(enforcer, prompt_tokens=90)
    assert admitted(enforcer, 50, prompt_tokens=11) == 0
    assert ask(enforcer, prompt_tokens=10).admitted


# --- whose quota it is --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("per", "admissions"), [("key", 2), ("model", 3), ("key and model", 6), ("gateway", 1)]
)
def test_a_quota_is_counted_by_what_it_is_per(per: Any, admissions: int) -> None:
    enforcer = Enforcer(RateLimit(requests_per_minute=1, per=per))
    calls = [(key, model) for key in "ab" for model in "xyz"] * 2
    assert sum(ask(enforcer, key=key, model=model).admitted for key, model in calls) == admissions


def test_a_limit_holds_for_the_models_of_its_pattern() -> None:
    enforcer = Enforcer([RateLimit(requests_per_minute=1, models="qwen*"), RateLimit()])
    assert admitted(enforcer, 3, model="qwen3.6-plus") == 1
    assert not ask(enforcer, model="qwen3.5-plus").admitted  # another model, the same quota
    assert admitted(enforcer, 3, model="glm-5.1") == 3


@pytest.mark.parametrize("per", ["key", "gateway"])
def test_concurrency_is_freed_by_the_end(per: Any) -> None:
    enforcer = Enforcer(RateLimit(concurrency=2, per=per))
    first, _ = ticket_of(ask(enforcer)), ask(enforcer)
    refused = ask(enforcer)
    assert (refused.because, refused.retry_after) == ("concurrency", None)
    assert ask(enforcer, key="b").admitted == (per == "key")
    enforcer.finish(0.0, first)
    assert ask(enforcer).admitted


def test_a_call_ends_once() -> None:
    enforcer = Enforcer(RateLimit(concurrency=1))
    ticket = ticket_of(ask(enforcer, key="sk-geheim"))
    enforcer.finish(0.0, ticket)
    with pytest.raises(ValueError, match="expected the ticket of a call that") as error:
        enforcer.finish(0.0, ticket)
    assert "geheim" not in str(error.value)
    assert enforcer.in_flight == 0


# --- what is counted ----------------------------------------------------------------------------


def test_decisions_are_counted_and_kept() -> None:
    enforcer = Enforcer(RateLimit(requests_per_minute=2, burst_slope=1), keep=3)
    first = ticket_of(ask(enforcer, 1.0, prompt_tokens=5, max_tokens=7))
    ask(enforcer, 1.5)
    ask(enforcer, 3.0, max_tokens=None)
    enforcer.finish(3.5, first)
    ask(enforcer, 5.0)
    assert (enforcer.admitted, enforcer.refused) == (2, 2)
    assert enforcer.refusals == {"burst": 1, "requests": 1}
    assert (enforcer.in_flight, enforcer.peak_in_flight) == (1, 2)
    assert enforcer.history == (
        Decision(1.5, 0, admitted=False),
        Decision(3.0, 1000, admitted=True),
        Decision(5.0, 0, admitted=False),
    )


def test_without_a_limit_calls_are_only_counted() -> None:
    enforcer = Enforcer(RateLimit(headers=True, retry_after=True))
    assert admitted(enforcer, 1000, prompt_tokens=10**9) == 1000
    assert ask(enforcer).headers == {}
    assert enforcer.peak_in_flight == 1001


@pytest.mark.parametrize("kind", RULES)
def test_time_that_runs_backwards_stands_still(kind: Any) -> None:
    enforcer = Enforcer(RateLimit(requests_per_minute=3, kind=kind))
    calls = [100.0, 0.0, 99.0, 100.0]
    assert [ask(enforcer, now).admitted for now in calls] == [True, True, True, False]
    assert {decision.time for decision in enforcer.history} == {100.0}


# --- what the headers say -----------------------------------------------------------------------


def test_headers_tell_of_the_limit_that_has_least_left() -> None:
    loose = RateLimit(requests_per_minute=1000, tokens_per_minute=600, headers=True)
    silent = RateLimit(requests_per_minute=2)
    tight = RateLimit(requests_per_minute=10, kind="fixed", phase=3.0, headers=True)
    enforcer = Enforcer([loose, silent, tight])
    assert ask(enforcer, prompt_tokens=86).headers == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-requests": "3s",
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-tokens": "514",
        "x-ratelimit-reset-tokens": "8.6s",
    }


@pytest.mark.parametrize(
    ("prompt", "reset"), [(0, "0s"), (1, "10ms"), (100, "1s"), (6000, "1m0s"), (9050, "1m30.5s")]
)
def test_resets_are_written_as_openai_writes_them(prompt: int, reset: str) -> None:
    enforcer = Enforcer(RateLimit(tokens_per_minute=6000, headers=True))
    headers = ask(enforcer, prompt_tokens=prompt).headers
    assert headers["x-ratelimit-reset-tokens"] == reset
    assert headers["x-ratelimit-remaining-tokens"] == str(max(0, 6000 - prompt))


@pytest.mark.parametrize(("calls", "seconds"), [(1, "1"), (8, "2"), (2 * 7 + 1, "2")])
def test_retry_after_is_told_in_whole_seconds(calls: int, seconds: str) -> None:
    enforcer = Enforcer(RateLimit(requests_per_minute=40, retry_after=True))
    assert admitted(enforcer, 41) == 40
    now = 1.0 if calls == 1 else 0.0
    assert ask(enforcer, now).headers == {"Retry-After": seconds}


def test_retry_after_is_not_made_up_for_a_full_house() -> None:
    enforcer = Enforcer(RateLimit(concurrency=1, retry_after=True))
    assert admitted(enforcer, 1) == 1
    assert ask(enforcer).headers == {}


# --- limits that change -------------------------------------------------------------------------


def test_a_bucket_stays_as_full_as_it_was() -> None:
    enforcer = Enforcer(RateLimit(requests_per_minute=40))
    admitted(enforcer, 20)
    enforcer.change(RateLimit(requests_per_minute=20))
    assert admitted(enforcer, 99) == 10
    enforcer.change(RateLimit(requests_per_minute=60), now=10.0)  # 20 / 6 until then
    assert admitted(enforcer, 99, 10.0) == 10
    assert admitted(enforcer, 99, 20.0) == 10


@pytest.mark.parametrize("kind", ["fixed", "sliding"])
def test_a_window_keeps_its_calls(kind: Any) -> None:
    enforcer = Enforcer(RateLimit(requests_per_minute=40, kind=kind))
    admitted(enforcer, 30)
    enforcer.change(RateLimit(requests_per_minute=20, kind=kind))
    assert admitted(enforcer, 99) == 0
    enforcer.change(RateLimit(requests_per_minute=80, kind=kind))
    assert admitted(enforcer, 99) == 50
    assert admitted(enforcer, 99, 60.0) == 80


def test_limits_can_come_and_go() -> None:
    enforcer = Enforcer()
    assert admitted(enforcer, 9) == 9
    enforcer.change([RateLimit(requests_per_minute=3), RateLimit(concurrency=11)])
    assert admitted(enforcer, 9) == 2
    assert enforcer.refusals == {"concurrency": 7}
    enforcer.change([RateLimit(concurrency=11), RateLimit(requests_per_minute=3, kind="fixed")])
    assert enforcer.limits[0].concurrency == 11
    enforcer.change(())
    assert admitted(enforcer, 9) == 9
    assert enforcer.in_flight == 20


def test_limits_change_places() -> None:
    tokens = RateLimit(tokens_per_minute=100)
    enforcer = Enforcer([tokens, RateLimit(requests_per_minute=4)])
    admitted(enforcer, 2, prompt_tokens=50)
    enforcer.change([RateLimit(requests_per_minute=8), tokens])
    assert ask(enforcer, prompt_tokens=1).because == "tokens"
    assert admitted(enforcer, 99) == 4


def test_a_limit_is_joined_by_another_of_the_same_form() -> None:
    tokens = RateLimit(tokens_per_minute=100)
    enforcer = Enforcer(tokens)
    admitted(enforcer, 1, prompt_tokens=60)
    enforcer.change([tokens, RateLimit(concurrency=3)])
    assert ask(enforcer, prompt_tokens=41).because == "tokens"
    assert admitted(enforcer, 9, prompt_tokens=1) == 2
    assert ask(enforcer).because == "concurrency"


def test_another_measure_begins_with_nothing_used() -> None:
    enforcer = Enforcer(RateLimit(requests_per_minute=2))
    assert admitted(enforcer, 1, prompt_tokens=70) == 1
    enforcer.change(RateLimit(requests_per_minute=12, tokens_per_minute=100))
    assert admitted(enforcer, 9, prompt_tokens=20) == 5
    enforcer.change(RateLimit(tokens_per_minute=100))
    assert ask(enforcer, prompt_tokens=0).admitted


OPERATIONS = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from("abc")),
    st.tuples(st.just("end"), st.integers(0, 99)),
    st.tuples(st.just("change"), st.integers(0, 4)),
)


@given(st.lists(OPERATIONS, max_size=80))
def test_no_place_is_lost_or_doubled(operations: list[tuple[str, Any]]) -> None:
    enforcer, places = Enforcer(RateLimit(concurrency=3)), 3
    running: list[tuple[str, Permit]] = []
    for operation, value in operations:
        if operation == "change":
            places = value or 10**9
            enforcer.change(RateLimit(concurrency=value) if value else ())
        elif operation == "end" and running:
            enforcer.finish(0.0, running.pop(value % len(running))[1])
        elif operation == "ask":
            verdict = ask(enforcer, key=value)
            assert verdict.admitted == (sum(key == value for key, _ in running) < places)
            running += [(value, verdict.ticket)] if verdict.ticket else []
        assert enforcer.in_flight == len(running)


# --- what is no limit ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"requests_per_minute": 0}, "a number above 0 or None, got 0"),
        ({"requests_per_minute": -1.5}, "a number above 0 or None, got -1.5"),
        ({"tokens_per_minute": math.nan}, "a number above 0 or None, got nan"),
        ({"tokens_per_minute": math.inf}, "a number above 0 or None, got inf"),
        ({"tokens_per_minute": "60"}, "a number above 0 or None, got '60'"),
        ({"requests_per_minute": True}, "a number above 0 or None, got True"),
        ({"concurrency": 0}, "an integer from 1 or None, got 0"),
        ({"concurrency": 1.5}, "an integer from 1 or None, got 1.5"),
        ({"burst_slope": -3}, "an integer from 1 or None, got -3"),
        ({"kind": "leaky"}, "one of 'bucket', 'fixed', 'sliding', got 'leaky'"),
        ({"charge": "prompt"}, "one of 'max_tokens', 'usage', got 'prompt'"),
        ({"per": "user"}, "one of 'key', 'model', 'key and model', 'gateway', got 'user'"),
        ({"refusal": "html"}, "one of 'json', 'empty', 'sglang', got 'html'"),
        ({"phase": math.nan}, "a finite number of seconds, got nan"),
        ({"default_max_tokens": -1}, "an integer from 0, got -1"),
        ({"models": ""}, "a pattern of model names such as 'qwen*', got ''"),
        ({"models": None}, "a pattern of model names such as 'qwen*', got None"),
    ],
)
def test_what_is_no_limit_is_refused(wrong: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))) as error:
        RateLimit(**wrong)
    assert str(error.value) == f"{next(iter(wrong))}: expected {expected}"


@pytest.mark.parametrize(("wrong", "name"), [(60, "int"), ("60", "str"), ([60], "int")])
def test_what_holds_no_limit_is_refused(wrong: Any, name: str) -> None:
    expected = f"expected a RateLimit or a sequence of them, got {name}"
    for take in (Enforcer, Enforcer().change, lambda limits: FakeGateway(limits=limits)):
        with pytest.raises(TypeError, match=expected):
            take(wrong)


@pytest.mark.parametrize("wrong", [{"prompt_tokens": -1}, {"max_tokens": 1.5}])
def test_what_is_no_number_of_tokens_is_refused(wrong: dict[str, Any]) -> None:
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"{name}: expected an integer from 0, got {value}"):
        ask(Enforcer(RateLimit()), **wrong)


# --- behind a socket ----------------------------------------------------------------------------

MODEL = "qwen3.6-max-preview"
GREETING = [{"role": "user", "content": "你好"}]
GREETING_TOKENS = (11, 218)


class Clock:
    """A time that stands until a test moves it."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


class Client:
    """A bare HTTP client of one gateway, whose time it holds."""

    def __init__(self, gateway: FakeGateway, http: aiohttp.ClientSession, clock: Clock) -> None:
        self.gateway = gateway
        self.http = http
        self.clock = clock

    def post(self, *, key: str | None = None, path: str = "/chat/completions", **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {key or self.gateway.api_key}"}
        body = {"model": MODEL, "messages": GREETING, **body}
        return self.http.post(f"{self.gateway.base_url}{path}", json=body, headers=headers)

    async def status(self, **body: Any) -> int:
        async with self.post(**body) as response:
            await response.read()
            return int(response.status)

    async def statuses(self, times: int, **body: Any) -> list[int]:
        return [await self.status(**body) for _ in range(times)]


Open = Callable[..., Awaitable[Client]]


@pytest.fixture
async def client_of() -> AsyncIterator[Open]:
    """Yield clients of gateways with limits."""
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())

        async def opened(*limits: RateLimit, **options: Any) -> Client:
            clock = Clock()
            gateway = FakeGateway(limits=limits, now=clock, **options)
            return Client(await stack.enter_async_context(gateway), http, clock)

        yield opened


@pytest.mark.parametrize("stream", [True, False])
async def test_the_gateway_enforces_its_limits(client_of: Open, *, stream: bool) -> None:
    client = await client_of(RateLimit(requests_per_minute=2))
    assert await client.statuses(4, stream=stream) == [200, 200, 429, 429]
    client.clock.time += 30
    assert await client.statuses(2, stream=stream) == [200, 429]
    enforcer = client.gateway.enforcer
    assert (enforcer.admitted, enforcer.refused, enforcer.in_flight) == (3, 3, 0)
    assert enforcer.refusals == {"requests": 3}
    assert [(at, fine) for at, _, fine in enforcer.history] == [
        (1000.0, True),
        (1000.0, True),
        (1000.0, False),
        (1000.0, False),
        (1030.0, True),
        (1030.0, False),
    ]


async def test_without_limits_nothing_is_counted(client_of: Open) -> None:
    client = await client_of()
    assert await client.statuses(3) == [200] * 3
    assert client.gateway.limits == ()
    assert client.gateway.enforcer.history == ()


async def test_only_what_costs_is_limited(client_of: Open) -> None:
    client = await client_of(RateLimit(requests_per_minute=1))
    assert await client.statuses(2, key="sk-wrong") == [401, 401]
    headers = {"Authorization": f"Bearer {client.gateway.api_key}"}
    for _ in range(3):
        url = f"{client.gateway.base_url}/models"
        assert (await client.http.get(url, headers=headers)).status == 200
    assert client.gateway.enforcer.admitted == 0
    assert await client.statuses(2) == [200, 429]


async def test_a_script_waits_for_a_request_that_is_let_in(client_of: Open) -> None:
    client = await client_of(RateLimit(requests_per_minute=1))
    client.gateway.script(ScriptedReply(answer="一"), ScriptedReply(answer="二 ✌️"))
    assert await client.statuses(3) == [200, 429, 429]
    client.clock.time += 60
    async with client.post() as response:
        assert (await response.json())["choices"][0]["message"]["content"] == "二 ✌️"


# --- how a refusal looks ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"requests_per_minute": 1.0}, "请求过于频繁：每分钟最多 1 次 / at most 1 a minute"),
        ({"burst_slope": 1}, "请求增长过快：每秒最多 1 次 / at most 1 in one second"),
        (
            {"tokens_per_minute": 1_999_999},
            "用量过快：每分钟最多 1999999 个 token / at most 1999999 tokens a minute",
        ),
    ],
)
async def test_a_refusal_is_new_api_s_error(
    client_of: Open, limit: dict[str, Any], message: str
) -> None:
    client = await client_of(RateLimit(**limit))
    assert await client.status(max_tokens=10**6) == 200
    async with client.post(max_tokens=10**6) as response:
        assert response.status == 429
        assert not any(
            "limit" in name.lower() or name == "Retry-After" for name in response.headers
        )
        error = (await response.json())["error"]
    request = client.gateway.requests[-1].request_id
    assert error == {
        "message": f"{message} (request id: {request})",
        "type": "new_api_error",
        "param": "",
        "code": "rate_limit_exceeded",
    }


async def test_the_oversized_are_told_so(client_of: Open) -> None:
    client = await client_of(RateLimit(tokens_per_minute=99, refuse_oversized=True))
    async with client.post(max_tokens=99) as response:
        assert (response.status, "单次请求超过每分钟上限" in await response.text()) == (429, True)
    assert await client.status(max_tokens=88) == 200


async def test_a_refusal_can_be_empty(client_of: Open) -> None:
    client = await client_of(RateLimit(requests_per_minute=1, refusal="empty"))
    assert await client.status() == 200
    async with client.post(stream=True) as response:
        assert (response.status, await response.read()) == (429, b"")
        assert response.headers["Content-Length"] == "0"
        assert not any(
            "limit" in name.lower() or name == "Retry-After" for name in response.headers
        )


async def test_a_full_queue_is_an_event_with_status_200(client_of: Open) -> None:
    client = await client_of(RateLimit(requests_per_minute=1, refusal="sglang"))
    assert await client.status() == 200
    error = (
        b'{"message":"The request queue is full.","type":"SERVICE_UNAVAILABLE",'
        b'"param":null,"code":503,"object":"error"}'
    )
    async with client.post(stream=True) as response:
        assert response.status == 200
        assert await response.read() == b'data: {"error":' + error + b"}\n\ndata: [DONE]\n\n"
    async with client.post(stream=False) as response:
        assert response.status == 503
        assert (await response.json())["type"] == "SERVICE_UNAVAILABLE"


@pytest.mark.parametrize("refusal", ["json", "empty", "sglang"])
@pytest.mark.parametrize("stream", [True, False])
async def test_every_answer_can_tell_of_the_limits(
    client_of: Open, refusal: Any, *, stream: bool
) -> None:
    limit = RateLimit(requests_per_minute=2, refusal=refusal, headers=True, retry_after=True)
    client = await client_of(limit)
    client.gateway.script(ScriptedReply(answer="一"), faults.html_502())
    for remaining in ("1", "0"):
        async with client.post(stream=stream) as response:
            assert response.headers["x-ratelimit-limit-requests"] == "2"
            assert response.headers["x-ratelimit-remaining-requests"] == remaining
            assert "x-ratelimit-limit-tokens" not in response.headers
            assert "Retry-After" not in response.headers
    async with client.post(stream=stream) as response:
        assert response.headers["x-ratelimit-remaining-requests"] == "0"
        assert response.headers["x-ratelimit-reset-requests"] == "1m0s"
        assert response.headers["Retry-After"] == "30"
        assert "X-Oneapi-Request-Id" in response.headers


async def test_an_error_tells_of_the_limits_too(client_of: Open) -> None:
    client = await client_of(RateLimit(requests_per_minute=9, headers=True))
    async with client.post(model="kein-modell") as response:
        assert response.status == 503
        assert response.headers["x-ratelimit-remaining-requests"] == "8"
    client.gateway.script(Raw(headers={"x-ratelimit-remaining-requests": "42"}))
    async with client.post() as response:
        assert response.headers["x-ratelimit-remaining-requests"] == "42"


# --- what a reply uses --------------------------------------------------------------------------


async def left(client: Client) -> int:
    """Ask what is left of the tokens, with a request that uses none."""
    async with client.post(path="/nothing", messages=[]) as response:
        return int(response.headers["x-ratelimit-remaining-tokens"])


async def used(client: Client, **body: Any) -> int:
    before = await left(client)
    with contextlib.suppress(aiohttp.ClientError):
        await client.status(**body)
    return before - await left(client)


def by_usage(tokens: int = 100_000) -> RateLimit:
    return RateLimit(tokens_per_minute=tokens, charge="usage", headers=True)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", [MODEL, "grok-4-1-fast-reasoning", "claude-opus-4-7-thinking"])
async def test_a_reply_uses_what_its_usage_says(
    client_of: Open, model: str, *, stream: bool
) -> None:
    client = await client_of(by_usage())
    async with client.post(model=model) as response:
        total = (await response.json())["usage"]["total_tokens"]
    assert await used(client, model=model, stream=stream) == total
    if model == MODEL:
        assert total == sum(GREETING_TOKENS)


USAGE = {"prompt_tokens": 288, "completion_tokens": 27, "total_tokens": 628}


@pytest.mark.parametrize(
    ("script", "tokens"),
    [
        (ScriptedReply(answer="好", usage=USAGE), 628),
        (ScriptedReply(answer="好", usage={"completion_tokens": "much", "prompt_tokens": -1}), 0),
        (ScriptedReply(answer=["一", "二", "三 🎉"]), 9 + 3),
        (faults.written(ScriptedReply(answer=["一", "二"])), 9 + 2),
        (faults.written(ScriptedReply(answer=["一", "二"])).cut(10), 11),
        (Raw(body=b'{"usage":{"prompt_tokens": 5, "total_tokens":7}}'), 7),
        (faults.status_error(500), 0),
        (faults.reset(), 0),
    ],
)
async def test_a_script_uses_what_it_says(client_of: Open, script: Any, tokens: int) -> None:
    client = await client_of(by_usage())
    before = await left(client)
    client.gateway.script(script)
    with contextlib.suppress(aiohttp.ClientError):
        await client.status(stream=True)
    assert before - await left(client) == tokens


async def test_a_function_uses_its_prompt(client_of: Open) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text="好的 👌")

    client = await client_of(by_usage())
    before = await left(client)
    client.gateway.script(answer)
    assert await client.status() == 200
    assert before - await left(client) == 11


async def test_bad_requests_use_no_tokens(client_of: Open) -> None:
    client = await client_of(by_usage())
    assert await used(client, model="kein-modell") == 0
    assert await used(client, messages=[]) == 0
    assert await used(client, max_tokens="viele") == 0


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"max_tokens": 100}, 111),
        ({"max_completion_tokens": 50, "max_tokens": 100}, 61),
        ({"max_tokens": 100, "n": 3}, 311),
        ({}, 1011),
        ({"path": "/nothing", "messages": None, "input": ["一二", "三 🎉"], "max_tokens": 1}, 6),
        ({"path": "/nothing", "messages": None, "prompt": "一二三"}, 1003),
        ({"path": "/nothing", "messages": 3, "model": 4, "n": 0, "max_tokens": "viele"}, 1000),
    ],
)
async def test_max_tokens_are_charged_as_asked(
    client_of: Open, body: dict[str, Any], tokens: int
) -> None:
    limit = RateLimit(tokens_per_minute=100_000, headers=True)
    client = await client_of(limit)
    async with client.post(**body) as response:
        assert response.headers["x-ratelimit-remaining-tokens"] == str(100_000 - tokens)


async def test_a_body_that_nobody_can_read_weighs_nothing(client_of: Open) -> None:
    client = await client_of(RateLimit(requests_per_minute=1, headers=True))
    headers = {"Authorization": f"Bearer {client.gateway.api_key}"}
    url = f"{client.gateway.base_url}/chat/completions"
    for status in (400, 429):
        async with client.http.post(url, data=b"\xff[", headers=headers) as response:
            assert response.status == status


# --- who leaves ---------------------------------------------------------------------------------


async def test_who_leaves_has_used_what_was_sent(client_of: Open) -> None:
    client = await client_of(by_usage())
    before = await left(client)
    gate = Gate()
    client.gateway.script(ScriptedReply(reasoning=["想", "想"], answer=["一", gate, "二 👋"]))
    response = await client.post(stream=True)
    await gate.reached()
    response.close()
    await client.gateway.wait_disconnected()
    assert client.gateway.enforcer.in_flight == 0
    assert before - await left(client) == 11 + 3


async def test_who_leaves_the_middle_of_raw_bytes_has_used_the_prompt(client_of: Open) -> None:
    client = await client_of(by_usage())
    before = await left(client)
    gate = Gate()
    client.gateway.script(Raw(body=[b"data: ", gate, b'{"usage":{"total_tokens":77}}']))
    response = await client.post(stream=True)
    await gate.reached()
    response.close()
    await client.gateway.wait_disconnected()
    assert before - await left(client) == 11


@pytest.mark.parametrize("reset", [True, False])
async def test_who_leaves_in_the_same_moment_has_left(client_of: Open, *, reset: bool) -> None:
    client = await client_of(RateLimit(concurrency=1))
    gate, loop = Gate(), asyncio.get_running_loop()
    client.gateway.script(ScriptedReply(answer=["一", gate]))
    with contextlib.ExitStack() as sockets:
        stays, leaves = (sockets.enter_context(connected(client.gateway)) for _ in range(2))
        await client.gateway.wait_connections(2)
        leaves.send(raw_request(client.gateway))
        await gate.reached()
        while not reset and not (await loop.sock_recv(leaves, 65536)).endswith(b"\n\n\r\n"):
            """What is read to its end is closed in order; what isn't is reset."""
        stays.send(raw_request(client.gateway))
        leaves.close()
        assert (await loop.sock_recv(stays, 65536)).startswith(b"HTTP/1.1 200 OK\r\n")


def connected(gateway: FakeGateway) -> socket.socket:
    port = int(gateway.base_url.removesuffix("/v1").rpartition(":")[2])
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


def raw_request(gateway: FakeGateway) -> bytes:
    body = b'{"model":"glm-5.1","stream":true,"messages":[{"role":"user","content":"hi"}]}'
    head = f"Authorization: Bearer {gateway.api_key}\r\nContent-Length: {len(body)}\r\n"
    return b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n" + head.encode() + b"\r\n" + body


async def test_a_place_is_free_for_the_next_request_of_who_left(client_of: Open) -> None:
    client = await client_of(RateLimit(concurrency=1))
    for _ in range(50):
        # Two connections that are open, so that the next request needs no handshake.
        gate = Gate()
        client.gateway.script(ScriptedReply(answer=["一" * 1000, gate, "二"]))
        response = await client.post(stream=True)
        await gate.reached()
        assert await client.status() == 429
        response.close()
        assert await client.status() == 200
    assert client.gateway.enforcer.peak_in_flight == 1
    assert client.gateway.enforcer.in_flight == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_a_place_is_free_as_soon_as_the_reply_is_read(
    client_of: Open, *, stream: bool
) -> None:
    client = await client_of(RateLimit(concurrency=1))
    assert await client.statuses(100, stream=stream, max_tokens=3) == [200] * 100
    assert len({request.connection for request in client.gateway.requests}) == 1


async def test_a_place_is_free_after_any_end(client_of: Open) -> None:
    client = await client_of(RateLimit(concurrency=1))
    ends: list[Any] = [faults.reset(), faults.without_done(), faults.error_event()]
    ends += [faults.written().cut(50, "close"), faults.written().cut(50, "reset"), bad_handler]
    for end in ends:
        client.gateway.script(end)
        with contextlib.suppress(aiohttp.ClientError):
            await client.status(stream=True)
        assert await client.status() == 200
    assert client.gateway.enforcer.in_flight == 0


async def bad_handler(_: web.Request) -> web.StreamResponse:
    raise web.HTTPConflict


@given(
    order=st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=8),
)
@settings(max_examples=25)
async def test_no_place_leaks_whenever_clients_leave(order: list[tuple[bool, int]]) -> None:
    limits = RateLimit(concurrency=4, tokens_per_minute=10**6, charge="usage")
    async with FakeGateway(limits=limits, now=Clock()) as gateway, aiohttp.ClientSession() as http:
        client = Client(gateway, http, Clock())

        async def leave(turns: int, *, stream: bool) -> None:
            task = asyncio.ensure_future(client.status(stream=stream))
            for _ in range(turns * 3):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        await asyncio.gather(*(leave(turns, stream=stream) for stream, turns in order))
        await gateway.wait_connections(0)
        assert gateway.enforcer.in_flight == 0
        assert await asyncio.gather(*(client.status() for _ in range(4))) == [200] * 4


async def test_stopping_frees_every_place(client_of: Open) -> None:
    client = await client_of(RateLimit(concurrency=2))
    gate = Gate()
    client.gateway.script(ScriptedReply(answer=["一", gate]), faults.silence())
    calls = [asyncio.ensure_future(client.status(stream=True)) for _ in range(2)]
    await client.gateway.wait_requests(2)
    await gate.reached()
    assert client.gateway.enforcer.in_flight == 2
    await client.gateway.stop()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, aiohttp.ClientError) for result in results)
    assert client.gateway.enforcer.in_flight == 0


# --- keys ---------------------------------------------------------------------------------------


async def test_each_key_has_its_own_quota(client_of: Open) -> None:
    client = await client_of(RateLimit(requests_per_minute=2), api_keys=["sk-甲", "sk-b"])
    assert client.gateway.api_key == "sk-甲"
    keys = ["sk-b", "sk-甲"]
    assert [await client.statuses(3, key=key) for key in keys] == [[200, 200, 429]] * 2


async def test_models_share_a_key_s_quota_unless_told_otherwise(client_of: Open) -> None:
    client = await client_of(
        RateLimit(requests_per_minute=1, per="key and model", models="glm*"),
        RateLimit(requests_per_minute=3, per="gateway"),
        any_key=True,
    )
    asked = [("sk-a", "glm-5.1"), ("sk-a", "glm-5.1"), ("sk-a", "glm-4.7"), ("sk-b", "glm-5.1")]
    assert [await client.status(key=key, model=model) for key, model in asked] == [
        200,
        429,
        200,
        200,
    ]
    assert await client.status(key="sk-c") == 429


async def test_a_key_can_be_revoked_exhausted_and_restored(client_of: Open) -> None:
    client = await client_of(api_keys=["sk-a", "sk-b"])
    client.gateway.script(ScriptedReply(answer="一"))
    client.gateway.revoke("sk-a")
    client.gateway.exhaust("sk-b")
    async with client.post(key="sk-a") as response:
        assert response.status == 401
        assert "无效的令牌" in await response.text()
    async with client.post(key="sk-b") as response:
        assert response.status == 403
        error = (await response.json())["error"]
        assert (error["type"], error["code"]) == ("new_api_error", "insufficient_user_quota")
    url, headers = f"{client.gateway.base_url}/models", {"Authorization": "Bearer sk-b"}
    assert (await client.http.get(url, headers=headers)).status == 200  # it costs nothing
    client.gateway.restore("sk-a")
    async with client.post(key="sk-a") as response:
        assert (await response.json())["choices"][0]["message"]["content"] == "一"
    client.gateway.restore("sk-b")
    assert await client.status(key="sk-b") == 200


async def test_what_was_never_a_key_is_refused_and_not_shown() -> None:
    gateway = FakeGateway(api_keys=["sk-a"])
    for change in (gateway.revoke, gateway.exhaust, gateway.restore):
        with pytest.raises(ValueError, match="expected a key that this gateway takes") as error:
            change("sk-geheim")
        assert "geheim" not in str(error.value)
    FakeGateway(any_key=True).revoke("sk-anything")


@pytest.mark.parametrize(
    ("keys", "got"),
    [([], "0, 0 unusable"), (["sk-a", "", 5], "3, 2 unusable"), ("sk-a", "one text")],
)
def test_what_are_no_keys_is_refused(keys: Any, got: str) -> None:
    with pytest.raises(ValueError, match="api_keys: expected a sequence of keys") as error:
        FakeGateway(api_keys=keys)
    assert str(error.value).endswith(f"got {got}")
    with pytest.raises(ValueError, match="expected api_key or api_keys, got both"):
        FakeGateway(api_key="sk-a", api_keys=["sk-a"])


# --- limits that change, threads, and our own client --------------------------------------------


async def test_limits_change_while_a_reply_is_on_its_way(client_of: Open) -> None:
    client = await client_of(RateLimit(concurrency=2))
    gates = [Gate(), Gate()]
    client.gateway.script(*(ScriptedReply(answer=["一", gate, "二"]) for gate in gates))
    calls = [asyncio.ensure_future(client.status(stream=True)) for _ in gates]
    for gate in gates:
        await gate.reached()
    client.gateway.limits = [RateLimit(concurrency=3)]
    assert await client.status() == 200
    client.gateway.limits = RateLimit(concurrency=1)
    gates[0].open()
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    assert await client.status() == 429
    client.gateway.limits = None
    assert await client.status() == 200
    client.gateway.limits = RateLimit(concurrency=1)
    assert await client.status() == 429
    gates[1].open()
    assert await asyncio.gather(*calls) == [200, 200]
    assert await client.status() == 200
    assert client.gateway.limits == (RateLimit(concurrency=1),)


def test_it_works_in_a_thread() -> None:
    with FakeGateway(limits=RateLimit(requests_per_minute=2), now=Clock()) as gateway:

        async def three() -> list[int]:
            async with aiohttp.ClientSession() as http:
                return await Client(gateway, http, Clock()).statuses(3)

        assert asyncio.run(three()) == [200, 200, 429]
        gateway.limits = RateLimit(requests_per_minute=4)
        assert gateway.enforcer.in_flight == 0
        assert asyncio.run(three()) == [429, 429, 429]
        gateway.limits = None
        assert asyncio.run(three()) == [200, 200, 200]
        assert gateway.enforcer.refused == 4


@pytest.mark.parametrize(
    ("refusal", "error"), [("json", RateLimited), ("empty", RateLimited), ("sglang", Overloaded)]
)
@pytest.mark.parametrize("stream", [True, False])
async def test_our_own_client_knows_its_refusals(
    refusal: Any, error: type[TokenGateError], *, stream: bool
) -> None:
    limits = RateLimit(requests_per_minute=1, refusal=refusal)
    async with (
        FakeGateway(limits=limits, now=Clock()) as gateway,
        TokenGate(
            api_key=gateway.api_key, base_url=gateway.base_url, retry=Retry(attempts=1)
        ) as gate,
    ):
        assert (await gate.chat(MODEL, "你好")).answer.startswith("你好！😊")
        with pytest.raises(error):
            await gate.chat(MODEL, "再来一次 🔁", stream=stream)
        assert gateway.enforcer.refused == 1


async def test_our_own_client_knows_a_key_without_money() -> None:
    async with (
        FakeGateway() as gateway,
        TokenGate(api_key=gateway.api_key, base_url=gateway.base_url) as gate,
    ):
        gateway.exhaust(gateway.api_key)
        with pytest.raises(QuotaExhausted):
            await gate.chat(MODEL, "在吗？💸")
        gateway.revoke(gateway.api_key)
        with pytest.raises(AuthenticationFailed):
            await gate.chat(MODEL, "在吗？🔑")


async def test_a_reply_lasts_as_long_as_it_is_told_to() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    async with (
        FakeGateway(pace=Pace(first_token=0.5), sleep=sleep) as gateway,
        TokenGate(api_key=gateway.api_key, base_url=gateway.base_url) as gate,
    ):
        for prompt in ("你好", "说长一点 📏" * 50):
            for stream in (True, False):
                await gate.chat(MODEL, prompt, stream=stream)
    assert waited == [0.5] * 4


# --- the command --------------------------------------------------------------------------------


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
        command([option, value])
    assert stopped.value.code == 2
    assert expected in capsys.readouterr().err
