"""Whose quota a call counts for, and what is charged when."""

import math
from typing import Any

import pytest

from aiotokengate.testing import (
    Enforcer,
    RateLimit,
)
from tests.support.limits import admitted, ask, ticket_of


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


@pytest.mark.parametrize("kind", ["bucket", "fixed", "sliding"])
def test_a_refusal_costs_nothing(kind: Any) -> None:
    limit = RateLimit(requests_per_minute=2, tokens_per_minute=100, kind=kind, burst_slope=2)
    enforcer = Enforcer(limit)
    ask(enforcer, prompt_tokens=90)
    assert admitted(enforcer, 50, prompt_tokens=11) == 0
    assert ask(enforcer, prompt_tokens=10).admitted


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


def test_a_burst_is_an_obstacle_of_its_own() -> None:
    enforcer = Enforcer(RateLimit(requests_per_minute=60, burst_slope=2))
    assert admitted(enforcer, 3) == 2
    assert enforcer.refusals == {"burst": 1}


def test_a_refusal_can_count_as_a_request() -> None:
    enforcer = Enforcer(RateLimit(requests_per_minute=3, concurrency=1, count_refused=True))
    assert admitted(enforcer, 4) == 1
    assert enforcer.refusals == {"concurrency": 3}
    assert ask(enforcer).because == "concurrency"
    (rule,) = enforcer._rules
    (account,) = rule.accounts.values()
    assert account.gauges["requests"].left(0.0) == 0
