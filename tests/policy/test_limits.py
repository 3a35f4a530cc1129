"""What limits may be."""

import math
from typing import Any

import pytest

from aiotokengate import CallerError, Limits


@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, True, "60"])
def test_rates_are_above_zero(name: str, value: Any) -> None:
    """Everything else is named, with what was expected."""
    with pytest.raises(CallerError, match=rf"expected Limits\({name}=...\) above 0, or None; got"):
        Limits(**{name: value})


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3", math.nan])
def test_concurrency_is_a_whole_number(value: Any) -> None:
    """From one up."""
    with pytest.raises(CallerError, match=r"Limits\(concurrency=...\) as a whole number from 1"):
        Limits(concurrency=value)


def test_words() -> None:
    """A kind or a charge that isn't one says which there are."""
    with pytest.raises(CallerError, match="as 'bucket' or 'window'; got 'minute'"):
        Limits(kind="minute")  # type: ignore[arg-type]
    with pytest.raises(CallerError, match="as None or 'max_tokens' or 'usage'; got 'all'"):
        Limits(charge="all")  # type: ignore[arg-type]


def test_fractions_are_good() -> None:
    """One request in two minutes is a limit like any other."""
    assert Limits(requests_per_minute=0.5).requests_per_minute == 0.5
