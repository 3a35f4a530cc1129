"""What a lane may do at most, as a value."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs
from attrs.validators import and_, ge, in_, optional

from aiotokengate._base.sealing import sealed_class
from aiotokengate._base.settings import ABOVE_ZERO, FINITE, WHOLE, expected

__all__ = ["Charge", "Kind", "Limits"]

Kind: TypeAlias = Literal["bucket", "window"]
Charge: TypeAlias = Literal["max_tokens", "usage"]

_RATE = expected(
    "Limits({name}=...) above 0, or None; got {got}", optional(and_(ABOVE_ZERO, FINITE))
)
_CALLS = expected(
    "Limits({name}=...) as a whole number from 1 up; got {got}", optional(and_(WHOLE, ge(1)))
)
_KIND = expected(
    "Limits({name}=...) as 'bucket' or 'window'; got {got}", in_(("bucket", "window"))
)
_CHARGE = expected(
    "Limits({name}=...) as None or 'max_tokens' or 'usage'; got {got}",
    in_((None, "max_tokens", "usage")),
)


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

    concurrency: int | None = attrs.field(default=None, validator=_CALLS)
    requests_per_minute: float | None = attrs.field(default=None, validator=_RATE)
    tokens_per_minute: float | None = attrs.field(default=None, validator=_RATE)
    kind: Kind = attrs.field(default="bucket", validator=_KIND)
    charge: Charge | None = attrs.field(default=None, validator=_CHARGE)
    learn: bool = True
