"""API keys: a text that stays, or a callable that is asked before each request.

Keys, and addresses, are copied from pages and read from files, and bring along what nobody sees.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable
from hashlib import blake2s
from typing import Any, Final

from aiotokengate.errors import CallerError
from aiotokengate.types import ApiKey

__all__ = ["ApiKey", "KeySource", "checked_key", "stripped"]

_REMEMBERED: Final = 64
"""Keys of a source that errors are searched for: an answer may be late, and echo an old one."""


def stripped(text: str) -> str:
    """Take off blanks, control and zero-width characters and byte order marks at both ends."""
    start, end = 0, len(text)
    while start < end and not _is_visible(text[start]):
        start += 1
    while end > start and not _is_visible(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_visible(sign: str) -> bool:
    return sign.isprintable() and not sign.isspace()


def checked_key(key: str) -> str:
    """Return a key as it is sent, "" for one of nothing but blanks.

    Raises:
        CallerError: no header can hold it; it is not shown.
    """
    try:
        plain = stripped(key)
        if not plain.isascii() or not plain.isprintable() or " " in plain:
            message = "expected an API key of printable ASCII characters without spaces"
            raise CallerError(message)
        return plain
    finally:
        del key, plain


class KeySource:
    """A callable that returns the key, sync or async, and the keys that it returned lately.

    Args:
        ask: the callable.
        place: what tells it from the session's others, in every process alike.
    """

    def __init__(self, ask: Callable[[], Any], place: str) -> None:
        """Note it; it is not asked yet."""
        self._ask = ask
        self._given: deque[str] = deque(maxlen=_REMEMBERED)
        self.name = f"…#{blake2s(place.encode(), digest_size=3).hexdigest()}"

    @property
    def given(self) -> tuple[str, ...]:
        """The last keys, to be blanked in errors."""
        return tuple(self._given)

    async def key(self) -> str:
        """Ask for the key.

        Raises:
            CallerError: the callable failed, which is the cause, or returned no key.
        """
        try:
            found = self._ask()
            if inspect.isawaitable(found):
                found = await found
        except Exception as error:
            message = f"expected a key from the callable api_key, it raised {type(error).__name__}"
            raise CallerError(message) from error
        try:
            return self._checked(found)
        finally:
            del found

    def _checked(self, found: object) -> str:
        try:
            if not isinstance(found, str):
                message = (
                    f"expected the callable api_key to return str, got {type(found).__name__}"
                )
                raise CallerError(message)
            key = checked_key(found)
            if not key:
                message = "expected the callable api_key to return a key, got an empty text"
                raise CallerError(message)
            if key not in self._given:
                self._given.append(key)
            return key
        finally:
            del found
