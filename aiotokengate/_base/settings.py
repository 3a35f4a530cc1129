"""Settings are attrs classes: their validators, and the one error that users see of them.

A setting says in words what it expects.  Whatever its rules raise, most of them validators of
attrs's own, becomes a :class:`CallerError` of these words and of what came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from attrs.validators import and_, ge, gt, in_, instance_of, lt, not_, optional

from aiotokengate._base.error import CallerError

if TYPE_CHECKING:
    import attrs

__all__ = [
    "ABOVE_ZERO",
    "COUNT",
    "DEADLINE",
    "EXTRA_BODY",
    "FAIR_KEY",
    "FINITE",
    "FROM_ONE",
    "FROM_ZERO",
    "NUMBER",
    "PRIORITY",
    "WHOLE",
    "Validator",
    "checked",
    "expected",
    "kind",
]

Validator: TypeAlias = Callable[[Any, Any, Any], object]
_T = TypeVar("_T")


def kind(value: object) -> str:
    """Return the name of a type, for what may hold a secret."""
    return type(value).__name__


def expected(words: str, *rules: Validator, shown: Callable[[object], str] = repr) -> Validator:
    """Return a validator that says what was expected, and what came.

    Args:
        words: of the error, with ``{name}`` for the setting and ``{got}`` for what came.
        rules: validators, each of which raises TypeError or ValueError.
        shown: says what came; :func:`kind` where it may be a secret.
    """

    def check(instance: object, field: attrs.Attribute[Any], value: object) -> None:
        try:
            for rule in rules:
                rule(instance, field, value)
        except (TypeError, ValueError):
            message = f"expected {words.format(name=field.name, got=shown(value))}"
            raise CallerError(message) from None

    return check


def checked(value: _T, validator: Validator, name: str = "argument") -> _T:
    """Return an argument that is no part of a class of settings.

    Raises:
        CallerError: the validator refuses it.
    """
    validator(None, SimpleNamespace(name=name), value)  # in place of the field of a class
    return value


NUMBER: Final[Validator] = and_(instance_of((int, float)), not_(instance_of(bool)))
WHOLE: Final[Validator] = and_(instance_of(int), not_(instance_of(bool)))
ABOVE_ZERO: Final = and_(NUMBER, gt(0))
FROM_ZERO: Final = and_(NUMBER, ge(0))
FINITE: Final = lt(inf)

COUNT: Final = expected("a number from 0 up, got {got}", FROM_ZERO, FINITE)
FROM_ONE: Final = expected("{name} as a whole number from 1 up, got {got}", WHOLE, ge(1))
DEADLINE: Final = expected("deadline in seconds above 0, got {got}", optional(ABOVE_ZERO))
EXTRA_BODY: Final = expected(
    "extra_body as a dict, got {got}", optional(instance_of(Mapping)), shown=kind
)
FAIR_KEY: Final = expected("fair_key as str, got {got}", optional(instance_of(str)), shown=kind)
PRIORITY: Final = expected(
    "priority 'interactive' or 'bulk', got {got}", in_(("interactive", "bulk"))
)
