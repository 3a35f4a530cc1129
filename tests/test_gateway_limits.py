"""The limits of the fake gateway: against their definitions, and at work behind a socket."""

import copy
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aiotokengate.testing.limits import Decision, Enforcer, RateLimit, Ticket, Verdict

MINUTE = 60_000
"""In milliseconds, in which the definitions count, without any rounding."""


def ask(enforcer: Enforcer, now: float = 0.0, **call: Any) -> Verdict:
    call = {"key": "a", "model": "m", "prompt_tokens": 0, "max_tokens": 0, **call}
    return enforcer.admit(now, **call)


def ticket_of(verdict: Verdict) -> Ticket:
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
    """Give calls that crowd, pause, and come at the very ends of minutes."""
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


def test_time_does_not_run_backwards() -> None:
    enforcer = Enforcer(RateLimit(requests_per_minute=1))
    assert ask(enforcer, 100.0).admitted
    assert not ask(enforcer, 0.0).admitted
    assert not ask(enforcer, 159.9).admitted
    assert ask(enforcer, 160.0).admitted


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
    running: list[tuple[str, Ticket]] = []
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


@pytest.mark.parametrize("wrong", [60, "60", [60]])
def test_what_holds_no_limit_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError):
        Enforcer(wrong)
    with pytest.raises(TypeError):
        Enforcer().change(wrong)


@pytest.mark.parametrize("wrong", [{"prompt_tokens": -1}, {"max_tokens": 1.5}])
def test_what_is_no_number_of_tokens_is_refused(wrong: dict[str, Any]) -> None:
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"{name}: expected an integer from 0, got {value}"):
        ask(Enforcer(RateLimit()), **wrong)
