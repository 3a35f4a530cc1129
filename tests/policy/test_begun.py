"""What may have been begun when it failed: the decision as a table."""

import pytest

from aiotokengate import (
    AuthenticationFailed,
    BadRequest,
    CallerError,
    ConnectFailed,
    Overloaded,
    QueueFull,
    QuotaExhausted,
    RateLimited,
    Reply,
    ServerFailed,
    StreamInterrupted,
    TimedOut,
    TokenGateError,
    TransportError,
    Unanswered,
    WireError,
)
from aiotokengate._policy.begun import may_have_begun

NOT_BEGUN = {
    "no connection": ConnectFailed("m"),
    "no connection in time": TimedOut("connect", 10),
    "turned away by the pool": QueueFull("m"),
    "a wrong call": CallerError("m"),
    "429": RateLimited("m", status=429),
    "429 that calls itself overloaded": Overloaded("m", status=429),
    "a limit inside a 200 answer": RateLimited("m"),
    "503 that calls itself a limit": RateLimited("m", status=503),
    "503 with a time": Overloaded("m", status=503, retry_after=1.0),
    "503 with no wait": Overloaded("m", status=503, retry_after=0.0),
    "529 with a time": Overloaded("m", status=529, retry_after=1.0),
    "a full queue with a time, inside a 200 answer": Overloaded("m", retry_after=1.0),
    "400": BadRequest("m", status=400),
    "401": AuthenticationFailed("m", status=401),
    "402": QuotaExhausted("m", status=402),
}
BEGUN = {
    "no answer": Unanswered("m"),
    "a broken answer": TransportError("m"),
    "no content in time": TimedOut("first_event", 300),
    "silence": TimedOut("stall", 120),
    "too long": TimedOut("total", 300),
    "the deadline": TimedOut("deadline", 300),
    "half an answer": StreamInterrupted("m", partial=Reply()),
    "no HTTP": WireError("m"),
    "an error of no kind": TokenGateError("m"),
    "503 without a time": Overloaded("m", status=503),
    "529 without a time": Overloaded("m", status=529),
    "a full queue without a time, inside a 200 answer": Overloaded("m"),
    "an error inside a 200 answer": ServerFailed("m"),
    "500 with a time": ServerFailed("m", status=500, retry_after=1.0),
    "500 that calls itself a limit": RateLimited("m", status=500),
    "504 that calls itself overloaded": Overloaded("m", status=504, retry_after=1.0),
    **{
        str(status): ServerFailed("m", status=status)
        for status in (408, 409, 499, 500, 501, 502, 504, 520, 521, 522, 523, 524, 525, 526, 599)
    },
}


@pytest.mark.parametrize("error", NOT_BEGUN.values(), ids=NOT_BEGUN)
def test_what_was_certainly_not_begun(error: TokenGateError) -> None:
    """What never left, or was turned away."""
    assert not may_have_begun(error)


@pytest.mark.parametrize("error", BEGUN.values(), ids=BEGUN)
def test_what_may_have_been_begun(error: TokenGateError) -> None:
    """All else, and what is not known."""
    assert may_have_begun(error)
