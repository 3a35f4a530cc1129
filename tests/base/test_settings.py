"""Settings: the words of an error, and what each rule takes."""

from math import inf, nan
from typing import Any

import attrs
import pytest
from attrs.validators import ge, instance_of

from aiotokengate import CallerError
from aiotokengate._base import settings
from aiotokengate._base.settings import WHOLE, checked, expected, kind


@attrs.frozen
class Oven:
    """A class of settings, as the library has them."""

    degrees: int = attrs.field(
        default=180, validator=expected("Oven({name}=...) from 50 up, got {got}", WHOLE, ge(50))
    )
    code: str = attrs.field(
        default="", validator=expected("{name} as str, got {got}", instance_of(str), shown=kind)
    )


def test_the_error_says_what_was_expected_and_what_came() -> None:
    """In the words of the setting, with its name."""
    with pytest.raises(CallerError) as raised:
        Oven(degrees=49)
    assert raised.value.message == "expected Oven(degrees=...) from 50 up, got 49"
    assert raised.value.__suppress_context__
    assert Oven(degrees=50).degrees == 50


def test_a_secret_is_not_shown() -> None:
    """Only its type is."""
    with pytest.raises(CallerError) as raised:
        Oven(code=b"4711")  # type: ignore[arg-type]
    assert raised.value.message == "expected code as str, got bytes"


def test_words_of_a_user_are_no_format() -> None:
    """What came may have braces in it."""
    with pytest.raises(CallerError, match=r"got '\{name\}'"):
        Oven(degrees="{name}")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ("ABOVE_ZERO", [1, 0.5, inf], [0, -1, True, "1", None, nan]),
        ("COUNT", [0, 0.5], [-1, inf, False, "0", None, nan]),
        ("DEADLINE", [None, 1], [0, True, "1"]),
        ("EXTRA_BODY", [None, {}], [[], "{}"]),
        ("FAIR_KEY", [None, ""], [7, b""]),
        ("FROM_ZERO", [0, inf], [-1, True, None, nan]),
        ("NUMBER", [-1, 0.5], [True, "1", None]),
        ("PRIORITY", ["bulk", "interactive"], ["soon", None, ["bulk"]]),
        ("WHOLE", [-1, 0], [True, 0.5, None]),
    ],
)
def test_what_a_rule_takes(rule: str, good: list[Any], bad: list[Any]) -> None:
    """And what it refuses: a bool is no number, and what is none has no size."""
    validator = expected("it", getattr(settings, rule))
    for value in good:
        assert checked(value, validator) is value
    for value in bad:
        with pytest.raises(CallerError, match="expected"):
            checked(value, validator)
