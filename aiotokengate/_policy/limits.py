"""What a lane may do at most, as a value."""

from __future__ import annotations

from math import inf
from typing import Any, Literal, TypeAlias

import attrs

from aiotokengate._base.sealing import sealed_class
from aiotokengate.errors import CallerError

__all__ = ["Charge", "Kind", "Limits"]

Kind: TypeAlias = Literal["bucket", "window"]
Charge: TypeAlias = Literal["max_tokens", "usage"]

_KINDS = ("bucket", "window")
_CHARGES = (None, "max_tokens", "usage")


def _above_zero(_: object, field: attrs.Attribute[Any], value: object) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < inf
    if value is not None and not good:
        message = f"expected Limits({field.name}=...) above 0, or None; got {value!r}"
        raise CallerError(message)


def _whole(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        message = f"expected Limits({field.name}=...) as a whole number from 1 up; got {value!r}"
        raise CallerError(message)


def _one_of(choices: tuple[str | None, ...]) -> Any:  # noqa: ANN401 - an attrs validator
    def check(_: object, field: attrs.Attribute[Any], value: object) -> None:
        if value not in choices:
            names = " or ".join(repr(choice) for choice in choices)
            message = f"expected Limits({field.name}=...) as {names}; got {value!r}"
            raise CallerError(message)

    return check


@sealed_class
@attrs.frozen(kw_only=True)
class Limits:
    """What the calls of one lane may do together; what is None is learned from the gateway.

    Attributes:
        concurrency: calls in flight, to the end of their replies.
        requests_per_minute: calls sent.
        tokens_per_minute: tokens, of the prompt and of the reply.
        kind: how a minute is meant.  A "bucket" holds one minute and is refilled continuously:
            any span of *t* seconds holds at most the limit and its share of *t*.  A "window"
            is stricter: any 60 seconds hold at most the limit, whatever the phase of the
            gateway's own clock.
        charge: what a call costs in tokens.  "max_tokens": the prompt and all of ``max_tokens``,
            taken when the gateway lets it in.  "usage": the prompt and the tokens really
            written, taken when they are known; until then what such calls usually need is kept
            free for it.  None: "max_tokens" for a call that sets it, else "usage".
        learn: whether what is None is learned; False leaves it without limit.

    Raises:
        CallerError: a limit that is not above 0, or a word that isn't one of these.
    """

    concurrency: int | None = attrs.field(default=None, validator=_whole)
    requests_per_minute: float | None = attrs.field(default=None, validator=_above_zero)
    tokens_per_minute: float | None = attrs.field(default=None, validator=_above_zero)
    kind: Kind = attrs.field(default="bucket", validator=_one_of(_KINDS))
    charge: Charge | None = attrs.field(default=None, validator=_one_of(_CHARGES))
    learn: bool = True
