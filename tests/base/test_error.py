"""What every error of the library says, and what it must not say."""

import pytest

from aiotokengate._base.error import Attempt, CallerError, TokenGateError, WireError

KEY = "sk-zebra-0123456789"
PROMPT = "一只橘猫在弹钢琴，隔壁的斑马听了一整夜 🎹"


def test_the_text_of_an_error() -> None:
    """The message, what identifies the failure, then the hint, indented."""
    error = TokenGateError("no such model", status=404, code="x", request_id="r1", hint="a\nb")
    assert str(error) == "no such model (status 404, code x, request id r1)\n  a\n  b"
    assert repr(error) == "TokenGateError('no such model')"
    assert str(WireError("half a body")) == "half a body"


def test_more_than_one_attempt_is_counted() -> None:
    error = CallerError("no")
    error.attempts = (Attempt("m", 0.0, 1.0),)
    assert str(error) == "no"
    error.attempts *= 2
    assert str(error) == "no (attempts 2)"


def test_the_names_that_users_import() -> None:
    assert {kind.__module__ for kind in (TokenGateError, WireError, CallerError)} == {
        "aiotokengate.errors"
    }
    assert Attempt.__module__ == "aiotokengate.types"


def test_an_echo_is_blanked_in_every_text() -> None:
    error = TokenGateError(f"refused {KEY}", code=KEY, request_id=f"r-{KEY}", hint=f"keep {KEY}")
    error.add_note(f"it was {PROMPT}")
    error.redact([KEY, PROMPT])
    assert KEY not in f"{error.message} {error.code} {error.request_id} {error.args}"
    assert PROMPT not in str(error.__notes__)
    assert error.hint == f"keep {KEY}"  # the library's own words


def raised(error: TokenGateError, cause: Exception | None, *, hidden: bool = False) -> None:
    """Raise an error in the handling of another one, which it names as its cause or hides."""
    try:
        raise cause or ValueError(PROMPT)
    except ValueError as other:
        if hidden:
            raise error from None
        if cause is not None:
            raise error from other
        raise error  # noqa: B904 - what is tested


@pytest.mark.parametrize(
    ("cause", "hidden", "stays"),
    [
        (ValueError("zero"), False, True),
        (ValueError(PROMPT), False, False),
        (ValueError("zero", PROMPT.encode()), False, False),
        (None, False, False),
        (None, True, False),
    ],
    ids=["clean", "echo", "echo in bytes", "context", "hidden context"],
)
def test_what_an_error_came_of(cause: Exception | None, hidden: bool, stays: bool) -> None:
    """An error of another library that echoes a secret is dropped, and so is a hidden one."""
    error = WireError("no JSON")
    with pytest.raises(WireError):
        raised(error, cause, hidden=hidden)
    error.redact([PROMPT])
    assert (error.__cause__ is not None) == stays
    assert error.__context__ is None


def test_a_chain_of_our_own_is_blanked_link_by_link() -> None:
    inner, outer = WireError(f"got {PROMPT}"), TokenGateError("failed")
    outer.__cause__, inner.__context__ = inner, outer  # a circle does no harm
    outer.redact([PROMPT])
    assert outer.__cause__ is inner
    assert PROMPT not in inner.message
