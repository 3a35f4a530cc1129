"""The clocks of a call, as a value."""

import math

import pytest

from aiotokengate import CallerError
from aiotokengate._policy.timeouts import Timeout


@pytest.mark.parametrize("seconds", [0, -1, math.nan, "3"], ids=repr)
@pytest.mark.parametrize("name", ["connect", "first_event", "stall", "total", "after_finish"])
def test_clocks_are_seconds(name: str, seconds: object) -> None:
    """A clock has more than nothing, or is not there."""
    message = rf"expected Timeout\({name}=\.\.\.\) in seconds above 0, or None; got {seconds!r}"
    with pytest.raises(CallerError, match=message):
        Timeout(**{name: seconds})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["connect", "first_event", "stall", "total"])
def test_clocks_may_be_left_out(name: str) -> None:
    """None is without limit."""
    assert getattr(Timeout(**{name: None}), name) is None  # type: ignore[arg-type]


def test_the_clocks_by_default() -> None:
    """A reply may be long, and its beginning slow; silence in its midst is none of both."""
    assert Timeout() == Timeout(
        connect=10.0, first_event=300.0, stall=120.0, total=None, after_finish=2.0
    )
