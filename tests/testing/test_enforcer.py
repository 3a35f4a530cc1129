"""Calls that are let in and refused, what is counted of them, and what the headers say."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate.testing import (
    Enforcer,
    FakeGateway,
    RateLimit,
)
from aiotokengate.testing._enforcer import Decision, Permit
from tests.support.limits import admitted, ask, ticket_of


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


@pytest.mark.parametrize(
    ("prompt", "reset"), [(0, "0s"), (1, "10ms"), (100, "1s"), (6000, "1m0s"), (9050, "1m30.5s")]
)
def test_resets_are_written_as_openai_writes_them(prompt: int, reset: str) -> None:
    enforcer = Enforcer(RateLimit(tokens_per_minute=6000, headers=True))
    headers = ask(enforcer, prompt_tokens=prompt).headers
    assert headers["x-ratelimit-reset-tokens"] == reset
    assert headers["x-ratelimit-remaining-tokens"] == str(max(0, 6000 - prompt))


def test_headers_can_be_asked_for_between_calls() -> None:
    enforcer = Enforcer(RateLimit(requests_per_minute=60, headers=True))
    ask(enforcer, 0.0)
    told = enforcer.told(0.5, key="a", model="m")
    assert told["x-ratelimit-remaining-requests"] == "59"
    assert told["x-ratelimit-reset-requests"] == "500ms"


def test_a_call_that_has_ended_does_not_end_again() -> None:
    enforcer = Enforcer()
    ticket = ticket_of(ask(enforcer))
    enforcer.finish(1.0, ticket)
    with pytest.raises(ValueError, match="expected the ticket of a call that has not ended"):
        enforcer.finish(2.0, ticket)
