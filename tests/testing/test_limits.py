"""Rate limits as values."""

import math
from typing import Any

import pytest

from aiotokengate.testing import (
    RateLimit,
)
from aiotokengate.testing._limits import Per, QuotaKey


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


def test_a_quota_is_of_what_the_limit_is_per() -> None:
    per: dict[Per, QuotaKey] = {
        "key": ("k", ""),
        "model": ("", "m"),
        "key and model": ("k", "m"),
        "gateway": ("", ""),
    }
    assert {each: RateLimit(per=each).quota("k", "m") for each in per} == per


def test_a_cost_is_the_prompt_and_what_may_come() -> None:
    assert RateLimit().cost(10, 5) == 15
    assert RateLimit(default_max_tokens=7).cost(10, None) == 17
    assert RateLimit(charge="usage").cost(10, 5) == 10
