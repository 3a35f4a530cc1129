"""What a Redis that fails is called, and what of it a user is told."""

import pytest
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    ResponseError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeout,
)

from aiotokengate import CallerError, ConnectFailed
from aiotokengate._redis.failures import FAILURES, error_text, is_refusal, start_error


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (AuthenticationError("WRONGPASS"), True),
        (ResponseError("OOM"), True),
        (ClusterDownError("down"), False),
        (BusyLoadingError("loading"), False),
        (RedisTimeout("slow"), False),
        (ConnectionResetError("gone"), False),
        (None, False),
    ],
)
def test_a_refusal_does_not_pass_by_itself(error: Exception | None, refused: bool) -> None:
    assert is_refusal(error) == refused
    assert error is None or isinstance(error, FAILURES)


def test_a_text_is_one_line_without_passwords() -> None:
    """The longer of two passwords goes first, or its end would stay."""
    error = ResponseError("no:\n  s3cret-long and s3cret " + "x" * 300)
    said = error_text(error, ["s3cret", "s3cret-long"])
    assert said.startswith("ResponseError: no: […] and […] xxx")
    assert len(said) == len("ResponseError: ") + 200


def test_what_keeps_a_call_from_going() -> None:
    """A setting is to be mended, and a Redis to be started."""
    wrong = start_error(CallerError("expected a prefix"), "redis://x", [])
    assert type(wrong) is CallerError
    assert wrong.message == "expected a prefix"
    refused = start_error(AuthenticationError("bad s3cret"), "redis://x", ["s3cret"])
    assert isinstance(refused, CallerError)
    assert refused.message.startswith("Redis at redis://x refuses what the pool asks: Authentic")
    assert "s3cret" not in str(refused)
    away = start_error(OSError("no route"), "redis://x", [])
    assert isinstance(away, ConnectFailed)
    assert away.message == "Redis at redis://x can't be reached: OSError: no route"
