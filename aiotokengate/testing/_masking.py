"""Mask the keys in whatever is kept of an exchange."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

__all__ = ["Secrets", "masked_path"]

_QUERY_NAMES = ("key", "api_key", "api-key", "apikey", "access_token")
_QUERY_KEY = re.compile(rf"(?<![\w-])({'|'.join(_QUERY_NAMES)})=[^&]+", re.IGNORECASE)
_KEY_HEADERS = ("Authorization", "Proxy-Authorization", "x-api-key", "x-goog-api-key")
_SECRET_HEADERS = (*(name.lower() for name in _KEY_HEADERS), "cookie", "set-cookie")

_LOOKS_LIKE_A_KEY = re.compile(
    rb"(?<![A-Za-z0-9])(sk-)(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{8,}"
    rb"|(?<![A-Za-z0-9_-])(AIza)[A-Za-z0-9_-]{35}"
    rb"|([?&](?:api[-_]?key|key|access_token)=)[A-Za-z0-9._~-]{16,}"
)
"""With a digit, so that words such as ``sk-learn`` stay what they are."""

_SHORTEST = 8
"""A local server may take any word as its key; one shorter than this would be found in texts."""


class Secrets:
    """The keys that requests brought along, and what looks like one."""

    def __init__(self) -> None:
        """Know none."""
        self._known: set[bytes] = set()

    def note(self, headers: Mapping[str, str], query: str) -> None:
        """Take in the key of a request, wherever it stands."""
        given = [headers.get(name, "").rpartition(" ")[2] for name in _KEY_HEADERS]
        named = parse_qsl(query)
        given += [value for name, value in named if name.lower() in _QUERY_NAMES]
        self._known |= {
            key.encode("utf-8", "replace")
            for key in given
            if key.startswith("sk-") or len(key) >= _SHORTEST
        }

    def hidden(self, data: bytes) -> bytes:
        """Put as many stars in place of every key."""
        for key in sorted(self._known, key=len, reverse=True):
            kept = key[: key.startswith(b"sk-") * 3]
            data = data.replace(key, kept + b"*" * (len(key) - len(kept)))
        return _LOOKS_LIKE_A_KEY.sub(_starred, data)

    def header(self, name: str, value: str) -> str:
        """Return the value of a header without a key."""
        secret = name.lower() in _SECRET_HEADERS
        return "***" if secret else self.hidden(value.encode("utf-8", "replace")).decode()

    def hidden_writes(self, writes: Sequence[tuple[float, bytes]]) -> list[tuple[float, bytes]]:
        """Mask keys also where they were cut between two writes."""
        whole = self.hidden(b"".join(data for _, data in writes))
        masked, start = [], 0
        for seconds, data in writes:
            masked.append((seconds, whole[start : start + len(data)]))
            start += len(data)
        return masked


def _starred(found: re.Match[bytes]) -> bytes:
    kept = found[found.lastindex or 0]
    return kept + b"*" * (len(found[0]) - len(kept))


def masked_path(path: str, query: str) -> str:
    """Return a path under ``/v1``, or one that stands beside it; with its query, without a key."""
    masked = _QUERY_KEY.sub(r"\1=***", query)
    whole = f"{path}?{masked}" if query else path
    return whole.removeprefix("/v1") if whole.startswith("/v1/") else f"..{whole}"
