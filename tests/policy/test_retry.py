"""When an attempt is made again: a pure decision, chance passed in."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate import (
    AuthenticationFailed,
    CallerError,
    ConnectFailed,
    ContentFiltered,
    ModelNotFound,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    Reply,
    Retry,
    ServerFailed,
    StreamInterrupted,
    TimedOut,
    TokenGateError,
    Unanswered,
    WireError,
)
from aiotokengate._policy.retry import RetryBudget, named_hold, next_wait

POLICY = Retry(attempts=5, max_wait=60)


def wait(error: TokenGateError, attempt: int = 1, chance: float = 1.0) -> float | None:
    return next_wait(POLICY, error, attempt, lambda: chance)


AGAIN = [
    RateLimited("m"),
    Overloaded("m"),
    ServerFailed("m"),
    ConnectFailed("m"),
    Unanswered("m"),
    TimedOut("connect", 10),
    StreamInterrupted("m", partial=Reply()),
    AuthenticationFailed("m", retryable=True),
]
NEVER = [
    QuotaExhausted("m"),
    ModelNotFound("m"),
    ContentFiltered("m"),
    AuthenticationFailed("m"),
    CallerError("m"),
    WireError("m"),
    TimedOut("first_event", 300),
    TimedOut("total", 300),
    TimedOut("deadline", 300),
    ServerFailed("m", retryable=False),
]


@pytest.mark.parametrize("error", AGAIN, ids=repr)
def test_what_is_tried_again(error: TokenGateError) -> None:
    """What may succeed later is, as often as the policy says, whether refused or failed."""
    assert wait(error) is not None
    assert wait(error, attempt=4) is not None
    assert wait(error, attempt=5) is None


@pytest.mark.parametrize("error", NEVER, ids=repr)
def test_what_is_never_tried_again(error: TokenGateError) -> None:
    """What would fail again is not, and a route that stayed silent will be silent again."""
    assert wait(error) is None


def test_one_attempt_is_none_again() -> None:
    """A policy of one attempt never waits."""
    assert next_wait(Retry(attempts=1), RateLimited("m"), 1, lambda: 0.5) is None


def test_the_bound_doubles_up_to_a_limit() -> None:
    """Full jitter: anything from nothing to a bound that grows."""
    bounds = [next_wait(Retry(attempts=9), Overloaded("m"), n, lambda: 1.0) for n in range(1, 9)]
    assert bounds == [0.5, 1, 2, 4, 8, 8, 8, 8]
    assert wait(Overloaded("m"), attempt=4, chance=0) == 0
    assert wait(Overloaded("m"), attempt=4, chance=0.25) == 1


@pytest.mark.parametrize(
    ("hint", "chance", "seconds"),
    [(10, 0, 10), (10, 1, 12.5), (0, 1, 0), (60, 0, 60), (60.1, 0, None)],
)
def test_a_hint_is_kept(hint: float, chance: float, seconds: float | None) -> None:
    """The wait that a gateway names is never made shorter, and too long a one is no wait."""
    assert wait(RateLimited("m", retry_after=hint), chance=chance) == seconds


def test_the_longest_wait_holds_for_every_wait() -> None:
    """A policy that waits at most a tenth of a second does."""
    assert next_wait(Retry(attempts=9, max_wait=0.1), Overloaded("m"), 8, lambda: 1.0) == 0.1
    assert next_wait(Retry(max_wait=0), Overloaded("m"), 1, lambda: 1.0) == 0


@pytest.mark.parametrize(
    ("hint", "waited", "chance", "seconds"),
    [
        (10, 50, 0.0, 10),
        (10, 50.1, 0.0, None),
        (10, 49, 1.0, 11),
        (0, 60, 1.0, 0),
        (1, 99, 0.0, None),
    ],
)
def test_a_hint_comes_out_of_what_is_left(
    hint: float, waited: float, chance: float, seconds: float | None
) -> None:
    """The waits of a call are one sum: what is longer than the rest of it ends the call."""
    error = RateLimited("m", retry_after=hint)
    assert next_wait(POLICY, error, 1, lambda: chance, waited) == seconds


def test_back_offs_come_out_of_what_is_left() -> None:
    """The last one is cut short; after it nothing is sent at once, in a row."""
    assert next_wait(POLICY, Overloaded("m"), 4, lambda: 1.0, 59.5) == 0.5
    assert next_wait(POLICY, Overloaded("m"), 4, lambda: 1.0, 60) is None
    assert next_wait(Retry(max_wait=0), Overloaded("m"), 2, lambda: 1.0, 0) == 0


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 90)), max_size=30),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 60),
)
def test_all_waits_together_are_bounded(
    hints: list[float | None], chance: float, longest: float
) -> None:
    """However refusals and failures alternate, the sum stays within ``max_wait``."""
    policy, waited = Retry(attempts=100, max_wait=longest), 0.0
    for attempt, hint in enumerate(hints, 1):
        error = Overloaded("m") if hint is None else RateLimited("m", retry_after=hint)
        seconds = next_wait(policy, error, attempt, lambda: chance, waited)
        if seconds is None:
            break
        assert seconds >= (hint or 0)
        waited += seconds
    assert waited <= longest + 1e-9


def test_how_long_others_hold_still() -> None:
    """As long as the gateway named, also if this call gives up; not for what nobody waits."""
    refusal = RateLimited("m", retry_after=40)
    assert next_wait(POLICY, refusal, 5, lambda: 0.5, 0) is None
    assert named_hold(POLICY, refusal, lambda: 1.0) == 50
    assert named_hold(POLICY, RateLimited("m", retry_after=61), lambda: 1.0) is None
    assert named_hold(POLICY, RateLimited("m"), lambda: 1.0) is None
    assert named_hold(POLICY, ConnectFailed("m"), lambda: 1.0) is None


@given(
    st.integers(1, 10_000),
    st.floats(0, 1, exclude_max=True),
    st.one_of(st.none(), st.floats(0, 200)),
    st.floats(0, 120),
)
def test_every_wait_is_bounded(
    attempt: int, chance: float, hint: float | None, longest: float
) -> None:
    """A wait is between nothing, or the hint, and the longest."""
    policy = Retry(attempts=20_000, max_wait=longest)
    seconds = next_wait(policy, RateLimited("m", retry_after=hint), attempt, lambda: chance)
    if seconds is None:
        assert hint is not None
        assert hint > longest
    else:
        assert (hint or 0) <= seconds <= longest


@pytest.mark.parametrize("attempts", [0, -1, 1.5, "3", None, True, math.nan], ids=repr)
def test_attempts_are_counted_from_one(attempts: object) -> None:
    """No attempt at all is no call."""
    with pytest.raises(CallerError, match=r"expected Retry\(attempts=\.\.\.\) of 1 or more, got"):
        Retry(attempts=attempts)  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [-1, math.nan, "3", None, True, 1j], ids=repr)
def test_waits_are_seconds(seconds: object) -> None:
    """A wait is nothing or more."""
    with pytest.raises(
        CallerError, match=r"expected Retry\(max_wait=\.\.\.\) in seconds from 0 up"
    ):
        Retry(max_wait=seconds)  # type: ignore[arg-type]


@pytest.mark.parametrize("empty", [1, "yes", None], ids=repr)
def test_whether_empty_replies_are_tried_again_is_yes_or_no(empty: object) -> None:
    """No number, and no word."""
    with pytest.raises(CallerError, match=r"expected Retry\(empty=\.\.\.\) as True or False"):
        Retry(empty=empty)  # type: ignore[arg-type]


def test_what_is_waited_by_default() -> None:
    """Three attempts, and a minute between them."""
    assert Retry() == Retry(attempts=3, max_wait=60.0, empty=False)


def test_retries_stay_a_small_part_of_all_calls() -> None:
    """Twenty come together; then one for every five calls that went well."""
    budget = RetryBudget()
    assert [budget.take() for _ in range(21)] == [True] * 20 + [False]
    for _ in range(5):
        assert not budget.take()
        budget.refund()
    assert budget.take()
    assert not budget.take()


def test_a_full_budget_grows_no_further() -> None:
    """A long time without a failure saves up nothing."""
    budget = RetryBudget()
    for _ in range(1_000):
        budget.refund()
    assert sum(budget.take() for _ in range(100)) == 20


@pytest.mark.parametrize(
    ("error", "hold"),
    [
        (RateLimited("m", status=429, retry_after=4.0), 4.5),
        (RateLimited("m", status=429, retry_after=11.0), None),
        (RateLimited("m", status=429), None),
        (TimedOut("first_event", 1.0), None),
    ],
    ids=["named", "longer than anybody waits", "not named", "no refusal"],
)
def test_others_hold_for_what_the_gateway_named(error: TokenGateError, hold: float | None) -> None:
    """With a little chance on top, so that they do not come back together."""
    assert named_hold(Retry(max_wait=10.0), error, lambda: 0.5) == hold
