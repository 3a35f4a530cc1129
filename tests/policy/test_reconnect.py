"""The reconnect rule: when a kept connection that died is replaced."""

import pytest

from aiotokengate import ConnectFailed, TimedOut, TokenGateError, TransportError, Unanswered
from aiotokengate._policy.reconnect import is_replaced, wants_fresh


def died() -> Unanswered:
    error = Unanswered("the server closed the connection before it answered")
    error.reconnectable = True
    return error


def test_a_kept_connection_that_died_is_replaced() -> None:
    """The request says nothing about it: it came at the wrong moment."""
    assert is_replaced(died(), again=False, costly=False, spent=False)


@pytest.mark.parametrize("unless", ["again", "costly", "spent"])
def test_it_is_not_replaced(unless: str) -> None:
    """A second time, where it must not be done twice, or where it can't be sent twice."""
    never = {"again": False, "costly": False, "spent": False, unless: True}
    assert not is_replaced(died(), **never)


@pytest.mark.parametrize(
    "error",
    [Unanswered("on a new connection"), ConnectFailed("refused"), TransportError("broke")],
    ids=lambda error: type(error).__name__,
)
def test_any_other_failure_is_for_the_retry_rule(error: TokenGateError) -> None:
    """The connection was new, there was none, or an answer had begun."""
    assert not is_replaced(error, again=False, costly=False, spent=False)


def test_after_a_broken_connection_the_next_attempt_goes_on_a_new_one() -> None:
    """Whatever else failed says nothing about connections."""
    assert wants_fresh(ConnectFailed("refused"))
    assert wants_fresh(Unanswered("closed"))
    assert not wants_fresh(TimedOut("first_event", 1.0))
