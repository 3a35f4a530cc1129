"""Rate limits as values: what a gateway allows, by what it counts, and how it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, get_args

import attrs

__all__ = ["Because", "Charge", "Kind", "Per", "QuotaKey", "RateLimit", "Style"]

Kind = Literal["bucket", "fixed", "sliding"]
Charge = Literal["max_tokens", "usage"]
Per = Literal["key", "model", "key and model", "gateway"]
Style = Literal["json", "empty", "sglang"]
Because = Literal["concurrency", "burst", "requests", "tokens", "oversized"]

QuotaKey: TypeAlias = tuple[str, ...]


Validator: TypeAlias = "Callable[[object, attrs.Attribute[Any], Any], None]"


def _check(expected: str, fits: Callable[[Any], bool]) -> Validator:
    """Return a validator that says what was expected."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not fits(value):
            message = f"{attribute.name}: expected {expected}, got {value!r}"
            raise ValueError(message)

    return check


def _one_of(names: object) -> Validator:
    allowed = get_args(names)
    return _check(f"one of {', '.join(map(repr, allowed))}", lambda value: value in allowed)


def _is_finite(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]


_positive = _check(
    "a number above 0 or None", lambda value: value is None or (_is_finite(value) and value > 0)
)
_count = _check(
    "an integer from 1 or None", lambda value: value is None or (type(value) is int and value > 0)
)
_natural = _check("an integer from 0", lambda value: type(value) is int and value >= 0)
_finite = _check("a finite number of seconds", _is_finite)
_word = _check(
    "a pattern of model names such as 'qwen*'",
    lambda value: isinstance(value, str) and value != "",
)


@attrs.frozen(kw_only=True)
class RateLimit:
    """What a gateway allows, by what it counts, and how it refuses.

    Example::

        RateLimit(requests_per_minute=300, tokens_per_minute=60_000)
        RateLimit(requests_per_minute=60, kind="fixed", per="model", models="qwen*")
        RateLimit(concurrency=32, refusal="sglang", per="gateway")
        RateLimit()  # allows everything, and counts

    Attributes:
        requests_per_minute: None is as many as come.
        tokens_per_minute: None is as many as come.
        concurrency: calls at a time, from their admission to the last byte of their reply.
        kind: how a minute is meant.  A ``bucket`` holds one minute, starts full and is refilled
            continuously; ``fixed`` counts anew every minute; ``sliding`` looks back 60 s.
        phase: seconds at which a ``fixed`` minute begins, on the clock that is used.
        charge: when tokens are counted.  ``max_tokens``: the prompt and all of ``max_tokens``
            at admission, never refunded.  ``usage``: at admission the prompt has to fit what is
            left, and the prompt and what was produced are charged when the reply ends, also
            when the client left in the middle.
        default_max_tokens: what stands for ``max_tokens`` where a request gives none.
        per: what has a quota of its own.
        models: a pattern (``fnmatch``, case-sensitive) of the models that it applies to.
        burst_slope: requests in any one second, at most, also while the minute has room (wire:
            Model Studio's documentation on rate limits).
        refuse_oversized: refuse what is larger than a whole minute.  Otherwise it is let in
            when nothing of the minute is used, and a bucket is in debt afterwards.
        refusal: ``json`` is a 429 with new-api's error object, ``empty`` a 429 without a body
            (new-api's limiters in memory), ``sglang`` the first event of a stream with status
            200 that says 503 (SGLang with a full queue; wire: SGLang's source).
        headers: send ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}`` with every
            answer, refusals among them (wire: OpenAI's API reference).
        retry_after: send ``Retry-After`` with refusals: the whole seconds until the same
            request would be let in if no other came.
        count_refused: count a request that is refused, too, as far as there is room for it
            (OpenAI's guide to rate limits: unsuccessful requests contribute to the limit).

    Raises:
        ValueError: a value is none of these.
    """

    requests_per_minute: float | None = attrs.field(default=None, validator=_positive)
    tokens_per_minute: float | None = attrs.field(default=None, validator=_positive)
    concurrency: int | None = attrs.field(default=None, validator=_count)
    kind: Kind = attrs.field(default="bucket", validator=_one_of(Kind))
    phase: float = attrs.field(default=0.0, validator=_finite)
    charge: Charge = attrs.field(default="max_tokens", validator=_one_of(Charge))
    default_max_tokens: int = attrs.field(default=1000, validator=_natural)
    per: Per = attrs.field(default="key", validator=_one_of(Per))
    models: str = attrs.field(default="*", validator=_word)
    burst_slope: int | None = attrs.field(default=None, validator=_count)
    refuse_oversized: bool = False
    refusal: Style = attrs.field(default="json", validator=_one_of(Style))
    headers: bool = False
    retry_after: bool = False
    count_refused: bool = False

    def quota(self, key: str, model: str) -> QuotaKey:
        """Return what shares one quota with a call of that key and model."""
        return (key if "key" in self.per else "", model if "model" in self.per else "")

    def cost(self, prompt_tokens: int, max_tokens: int | None) -> int:
        """Return the tokens that have to fit what is left."""
        if self.charge == "usage":
            return prompt_tokens
        return prompt_tokens + (self.default_max_tokens if max_tokens is None else max_tokens)
