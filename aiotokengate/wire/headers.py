"""What the headers of an answer say: how long to wait, and what to quote to the operator."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import attrs

__all__ = [
    "Remaining",
    "remaining",
    "request_id",
    "retry_after",
    "should_retry",
    "without_echoes",
]

LONGEST: Final = 128
"""Characters of a number or a date; nothing that is longer is one."""

_REQUEST_IDS = ("X-Oneapi-Request-Id", "x-request-id", "request-id")


@attrs.frozen
class Remaining:
    """What a gateway says is left of a minute, and of how much; None where it does not say."""

    requests_limit: float | None = None
    requests: float | None = None
    tokens_limit: float | None = None
    tokens: float | None = None


def remaining(headers: Mapping[str, str]) -> Remaining | None:
    """Give what ``x-ratelimit-*`` say (OpenAI's names, which xAI and others have taken over).

    TokenGate lets them through on plain answers only, never on streams or on errors.
    """
    requests = headers.get("x-ratelimit-remaining-requests")
    tokens = headers.get("x-ratelimit-remaining-tokens")
    if requests is None and tokens is None:
        return None
    return Remaining(
        _number(headers.get("x-ratelimit-limit-requests")),
        _number(requests),
        _number(headers.get("x-ratelimit-limit-tokens")),
        _number(tokens),
    )


def request_id(headers: Mapping[str, str]) -> str | None:
    """Return the id of the request, the gateway's own before a vendor's.

    What is not ASCII is escaped: bytes that are no text come as halves of surrogate pairs.
    """
    for name in _REQUEST_IDS:
        if found := headers.get(name):
            return found if found.isascii() else ascii(found)[1:-1]
    return None


_ID = re.compile(r"[\w\-.:/+=]*", re.ASCII)
_SHORT: Final = 24
_USUAL: Final = frozenset(
    (
        *("cache-control", "content-type", "date", "server", "set-cookie", "vary", "via"),
        *("access-control-allow-headers", "access-control-expose-headers", "alt-svc"),
        *("content-security-policy", "nel", "report-to", "strict-transport-security"),
    )
)


def without_echoes(
    headers: Mapping[str, str], keys: Sequence[str], texts: Callable[[], Iterable[str]]
) -> Mapping[str, str]:
    """Return headers whose values echo neither a key nor the prompt; nearly always the same.

    Args:
        headers: of an answer.
        keys: of the session.
        texts: gives those of the request, where a value may be one of them.
    """
    if not any(_may_echo(name, value, keys) for name, value in headers.items()):
        return headers
    from aiotokengate.redaction import blanked  # noqa: PLC0415 - for few answers

    values = blanked(list(headers.values()), (*keys, *texts()))
    make: Callable[[Iterable[tuple[str, str]]], Mapping[str, str]] = type(headers)
    return make(list(zip(headers, values, strict=True)))


def _may_echo(name: str, value: str, keys: Sequence[str]) -> bool:
    """Whether a value is worth a closer look: no id, no date, no list of tokens."""
    if any(key in value for key in keys):
        return True
    return len(value) >= _SHORT and not (_ID.fullmatch(value) or name.lower() in _USUAL)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Give the seconds to wait: ``retry-after-ms``, else ``retry-after`` as seconds or a date.

    Args:
        headers: case-insensitive.
        now: the present for a date, the machine's time by default.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    return seconds if seconds is not None or not text else _until(text, now)


def should_retry(headers: Mapping[str, str]) -> bool | None:
    """Give the vendor's own verdict, which stands above the status (OpenAI's SDKs)."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").lower())


def _number(text: str | None) -> float | None:
    if not text or len(text) > LONGEST:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def _until(text: str, now: datetime | None) -> float | None:
    if len(text) > LONGEST:
        return None
    try:
        date = parsedate_to_datetime(text)
        # RFC 5322's "-0000" gives a naive time, which means UTC.
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
    except (ValueError, OverflowError):  # no date, or none that a calendar has
        return None
