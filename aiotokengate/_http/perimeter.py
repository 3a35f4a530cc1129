"""From where a download is taken: not from the inside, unless the session itself stands there.

Strategy.  What decides is the address that is connected to, looked at when the socket for it is
made: a name that leads elsewhere at the second look gains nothing.  Where a proxy connects, only
what is written in the URL can be judged.  Whether the session stands inside is known from the
addresses that its own connections were made to, all of them; before there is one, they are asked
for.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection
from typing import Any, Final
from urllib.parse import urlsplit

from aiotokengate._http.redirects import checked_url, named
from aiotokengate._policy.addresses import is_inside, names_inside
from aiotokengate.errors import CallerError

__all__ = ["InsideError", "Perimeter", "refused_inside"]


class InsideError(OSError):
    """An address inside was about to be connected to."""


class Perimeter:
    """Judges where downloads are taken from.

    Args:
        base_url: the session's own address.
        seen: the addresses to which the session's own connections were made, as they come; None
            where a proxy makes them.
        allow: whether everything is allowed.
    """

    def __init__(self, base_url: str, seen: Collection[str] | None, *, allow: bool) -> None:
        parts = urlsplit(base_url)
        self._host, self._port = (
            parts.hostname or "",
            parts.port or {"http": 80}.get(parts.scheme, 443),
        )
        self._open = allow or names_inside(self._host)
        self._seen = seen
        self._found: Collection[str] = ()

    @property
    def is_open(self) -> bool:
        """Whether what stands inside may be asked, as far as is known."""
        own = self._seen or self._found
        return self._open or (bool(own) and all(map(is_inside, own)))

    def check(self, address: str) -> None:
        """Look at an address that is about to be connected to for a download.

        Raises:
            InsideError: it is not to be.
        """
        if not self.is_open and is_inside(address):
            message = "a download is not taken from an address inside"
            raise InsideError(message)

    async def admit(self, url: str) -> None:
        """Look at the URL of a download before it is asked for.

        Raises:
            CallerError: it names a place inside, or is none.
        """
        host = urlsplit(checked_url(url)).hostname or ""
        if self._seen is not None and not self._seen and not self._open:
            self._found = await _resolved(self._host, self._port)
        if not self.is_open and names_inside(host):
            raise refused_inside(url)


async def _resolved(host: str, port: int) -> Collection[str]:
    try:
        found: list[Any] = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )
    except (OSError, UnicodeError):
        return ()
    return {entry[4][0] for entry in found}


def refused_inside(url: str) -> CallerError:
    """Return the error of a download that stands inside."""
    return CallerError(
        f"expected a download from a public address, got {named(url)}, "
        "which is loopback, link-local, private or reserved",
        hint=_HINT,
    )


_HINT: Final = (
    "hint: TokenGate(allow_private=True) takes downloads from there, if you trust the gateway\n"
    "提示：若信任该网关，可用 TokenGate(allow_private=True) 允许从内网地址下载"
)
