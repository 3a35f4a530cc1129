"""Every kind of minute, against its definition."""

import copy
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aiotokengate.testing import (
    Enforcer,
    RateLimit,
)
from aiotokengate.testing._gauges import gauges
from aiotokengate.testing._limits import Kind
from tests.support.limits import admitted, ask

MINUTE = 60_000
"""In milliseconds, in which the definitions count, without any rounding."""


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


@pytest.mark.parametrize("kind", RULES)
def test_time_that_runs_backwards_stands_still(kind: Any) -> None:
    enforcer = Enforcer(RateLimit(requests_per_minute=3, kind=kind))
    calls = [100.0, 0.0, 99.0, 100.0]
    assert [ask(enforcer, now).admitted for now in calls] == [True, True, True, False]
    assert {decision.time for decision in enforcer.history} == {100.0}


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


@pytest.mark.parametrize(("kind", "reset"), [("bucket", 15), ("fixed", 45), ("sliding", 60)])
def test_a_gauge_tells_what_is_left_and_when_nothing_is_used(kind: Kind, reset: float) -> None:
    gauge = gauges(0.0, RateLimit(kind=kind, tokens_per_minute=60.0))["tokens"]
    gauge.charge(15.0, 15)
    assert (gauge.left(15.0), gauge.reset(15.0)) == (45, reset)
    assert gauge.left(15.0 + reset) == 60
    assert gauge.reset(15.0 + reset) == (60 if kind == "fixed" else 0)


def test_no_number_needs_no_gauge() -> None:
    assert gauges(0.0, RateLimit(concurrency=1)) == {}
    assert list(gauges(0.0, RateLimit(burst_slope=1, requests_per_minute=60))) == [
        "burst",
        "requests",
    ]
