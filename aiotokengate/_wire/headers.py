"""What the headers of an answer say: how long to wait, and what to quote to the operator.

How long to wait is said in bodies, too, in the same units; the reading of those is here as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import attrs

__all__ = [
    "Remaining",
    "credentials",
    "delay_in",
    "remaining",
    "request_id",
    "retry_after",
    "seconds_in",
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
    """Return what ``x-ratelimit-*`` say (OpenAI's names, which xAI and others have taken over).

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
    if not _may_echo(headers, keys):
        return headers
    from aiotokengate._base.redaction import blanked

    values = blanked(list(headers.values()), (*keys, *texts()))
    make: Callable[[Iterable[tuple[str, str]]], Mapping[str, str]] = type(headers)
    return make(list(zip(headers, values, strict=True)))


_TELLING = re.compile(
    r"auth|cookie|credential|key|passw|secret|session|signature|token", re.IGNORECASE
)
_OPEN: Final = "idempotency-key"
"""By which an error may well name the request that it is about."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9\-]* +(?=\S+$)")
"""How a key is shown (RFC 9110, 11.4), as in "Bearer sk-..."; it is no secret."""
_NAMED = re.compile(r"=[\s\"]*([^\s\";,]+)")
"""A cookie's value, or that of a parameter."""
_SHORTEST_SECRET: Final = 8


def credentials(headers: Mapping[str, str]) -> Iterator[str]:
    """Return what a caller's own headers hold of keys, tokens and cookies, by their names."""
    for name, value in headers.items():
        if name.lower() != _OPEN and _TELLING.search(name):
            for secret in (_SCHEME.sub("", value.strip()), *_NAMED.findall(value)):
                if len(secret) >= _SHORTEST_SECRET:
                    yield secret


def _may_echo(headers: Mapping[str, str], keys: Sequence[str]) -> bool:
    """Return whether a value is worth a closer look: no id, no date, no list of tokens."""
    together = "\n".join(headers.values())
    for key in keys:
        if key in together:
            return True
    for name, value in headers.items():
        if len(value) >= _SHORT and not (name.lower() in _USUAL or _ID.fullmatch(value)):
            return True
    return False


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds to wait: ``retry-after-ms``, else ``retry-after`` as seconds or a date.

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
    """Return the vendor's own verdict, which stands above the status (OpenAI's SDKs)."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").lower())


# Texts that public clients of OpenAI, Groq and Azure parse: "Please try again in 7m12s", "in
# 250ms", "Please retry after 26 seconds"; Google's "Please retry in 33.5s"; gateways of others
# say "Please wait 5 seconds" and 请 5 秒后重试.
_NUMBER: Final = r"(\d{1,9}(?:\.\d{1,9})?)"
_UNIT: Final = r"(ms|milliseconds?|d|days?|h|hours?|m|mins?|minutes?|s|secs?|seconds?)(?![a-z])"
_PART: Final = re.compile(
    rf"{_NUMBER}\s?{_UNIT}(?:[ ,]{{0,2}}(?:and\s)?(?=\d))?", re.ASCII | re.IGNORECASE
)
_AGAIN_IN: Final = re.compile(
    r"\b(?:(?:try again|retry|retry your request|try your request again)\s(?:in|after)"
    r"|wait(?: for)?)\s(?:about\s|approximately\s)?(?=\d)",
    re.ASCII | re.IGNORECASE,
)
_SECONDS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_LATER: Final = re.compile(rf"{_NUMBER}\s?(毫秒|秒|分|小时)钟?\s?[之以]?后\s?[再重]", re.ASCII)
_SECONDS_OF: Final = {"毫秒": 0.001, "秒": 1.0, "分": 60.0, "小时": 3600.0}
_DURATION: Final = re.compile(rf"{_NUMBER}s", re.ASCII)
_MOST: Final = 1e12


def seconds_in(text: str) -> float | None:
    """Return the seconds after which a text says to try again, or None."""
    found = _AGAIN_IN.search(text)
    at, seconds = found.end() if found else 0, None
    while found and (part := _PART.match(text, at)) is not None:
        seconds = (seconds or 0.0) + float(part[1]) * _in_seconds(part[2].lower())
        at = part.end()
    if seconds is None and (later := _LATER.search(text)) is not None:
        return float(later[1]) * _SECONDS_OF[later[2]]
    return seconds


def _in_seconds(unit: str) -> float:
    if unit.startswith(("ms", "milli")):
        return 0.001
    return _SECONDS[unit[0]]


def delay_in(value: object) -> float | None:
    """Return the seconds of a field of a body: a number, its text, or a protobuf's duration.

    A duration is ``"14s"`` in JSON, or an object of ``seconds`` and ``nanos``.
    """
    if isinstance(value, Mapping):
        whole, nanos = _plain(value.get("seconds")), _plain(value.get("nanos"))
        if whole is None and nanos is None:
            return None
        return (whole or 0.0) + (nanos or 0.0) / 1e9
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(found[1]) if found else _plain(value)


def _plain(value: object) -> float | None:
    if isinstance(value, str):
        return _number(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < _MOST else None


def _number(text: str | None) -> float | None:
    if not text or len(text) > LONGEST or not text.isascii() or "_" in text:
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
