"""Where an answer stands that is not where it was asked for: redirects, and what goes along."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urljoin, urlsplit

from aiotokengate.errors import CallerError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["checked_url", "named", "onward", "refused", "travelling"]

_MOVED: Final = frozenset((301, 302, 303, 307, 308))
_UNCHANGED: Final = frozenset((307, 308))
"""Statuses that ask for the same method and body again (RFC 9110, 15.4.8 and 15.4.9)."""

_TRAVEL: Final = frozenset(
    (
        *("accept", "accept-encoding", "accept-language", "if-match", "if-modified-since"),
        *("if-none-match", "if-range", "if-unmodified-since", "range", "user-agent"),
    )
)
"""Headers that another host may see: what is asked for, never who asks."""

_PLACE: Final = re.compile(
    r"(?:[^\s/\\@?#\[\]]*@)?(?:\[[^\s/\\@\[\]]+\]|[^\s/\\@?#\[\]:]+)(?::\d*)?"
)
_SHOWN: Final = re.compile(r"[\w.\-:\[\]%]{1,255}")
_LAST_PORT: Final = 65_535


def travelling(headers: Mapping[str, str]) -> dict[str, str]:
    """Return those headers of a call that another host may see."""
    return {name: value for name, value in headers.items() if name.lower() in _TRAVEL}


def onward(method: str, url: str, status: int, location: str, *, ours: bool) -> str | None:
    """Return the address that a redirect is to be followed to; None if it is to be refused.

    On the gateway's own host it would take the key along to a place that nobody asked for, and a
    body is given to nobody but the host that it was meant for.

    Args:
        method: that was asked with.
        url: that was asked.
        status: of the answer.
        location: the header of the answer, "" without one.
        ours: whether the gateway itself was asked.
    """
    target = _target(url, location) if status in _MOVED else None
    if target is None:
        return None
    is_same = _at(urlsplit(target)) == _at(urlsplit(url))
    if method == "GET":
        return None if ours and (is_same or _is_upgrade(url, target)) else target
    return target if is_same and not ours and status in _UNCHANGED else None


def refused(url: str, status: int, location: str) -> tuple[str, str | None]:
    """Return a message, and perhaps a hint, about a redirect that is not followed.

    A place is named by scheme, host and port: the rest may be a signature.
    """
    target = _target(url, location)
    if target is None:
        return f"redirect not followed, it leads to no http or https address ({status})", None
    place = named(target)
    if _is_upgrade(url, target):
        message = f"redirect not followed: this address moved to {place} ({status})"
        return message, _HTTPS.format(place=place)
    return f"redirect not followed, it would carry the key away to {place} ({status})", None


_HTTPS: Final = (
    "hint: begin base_url with https:// ({place})\n提示：请让 base_url 以 https:// 开头（{place}）"
)


def checked_url(url: str) -> str:
    """Return an address as every parser reads it.

    Raises:
        CallerError: it can be read in more ways than one, or is none.
    """
    if _split(url) is None:
        message = "expected an http or https address to download from, got one that is none"
        raise CallerError(message)
    return url


def named(url: str) -> str:
    """Return scheme, host and port of an address, to be shown."""
    parts = _split(url)
    place = "" if parts is None else parts.netloc.rpartition("@")[2]
    if parts is None or not _SHOWN.fullmatch(place):
        return "an address that is none"
    return f"{parts.scheme}://{place}"


def _target(url: str, location: str) -> str | None:
    try:
        target = urljoin(url, location.strip())
    except ValueError:
        return None
    parts = _split(target) if location else None
    return None if parts is None else parts._replace(fragment="").geturl()


def _split(url: str) -> SplitResult | None:
    """Part an address, if no two parsers could find different hosts in it."""
    try:
        url.encode()  # half a character pair has no form on the wire
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    is_web = parts.scheme in ("http", "https") and _PLACE.fullmatch(parts.netloc) is not None
    return parts if is_web and (port is None or 0 < port <= _LAST_PORT) else None


def _at(parts: SplitResult) -> tuple[str, str | None, int | None]:
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, parts.port or default


def _is_upgrade(url: str, target: str) -> bool:
    """Say whether a redirect asks for the same by https."""
    before, after = urlsplit(url), urlsplit(target)
    return (before.scheme, after.scheme, before.hostname, before.path, before.query) == (
        "http",
        "https",
        after.hostname,
        after.path,
        after.query,
    )
