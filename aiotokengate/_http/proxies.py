"""Proxies: what the session or the environment says of them, and which one an address takes.

A proxy's address is taken apart once, here, and its user and password never stand in a URL again:
they go where they belong, and no message of anybody shows them.
"""

from __future__ import annotations

import urllib.request
from base64 import b64encode
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

import attrs

from aiotokengate._http.keys import stripped
from aiotokengate.errors import CallerError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Proxy", "Ways", "environment_proxy", "parsed_proxy"]

_EXTRA: Final = (
    "hint: pip install 'aiotokengate[socks]'\n提示：请运行 pip install 'aiotokengate[socks]'"
)
PORTS: Final = {
    "http": 80,
    "https": 443,
    **dict.fromkeys(("socks4", "socks4a", "socks5", "socks5h"), 1080),
}
_SCHEMES: Final = "http://, https:// or socks5://"
_FORM: Final = "as an address such as http://host:port, got one"
_LAST_PORT: Final = 65_535
_LONGEST: Final = 255
"""Bytes of a name or a password that SOCKS takes (RFC 1929, 2)."""


@attrs.frozen
class Proxy:
    """A proxy.

    Attributes:
        scheme: "http", "https", "socks4", "socks4a", "socks5" or "socks5h"; with the last of each
            kind the proxy resolves names itself.
    """

    scheme: str
    host: str
    port: int
    user: str = attrs.field(default="", repr=False)
    password: str = attrs.field(default="", repr=False)

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS, and so no HTTP."""
        return self.scheme.startswith("socks")

    @property
    def url(self) -> str:
        """Its address, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def headers(self) -> Mapping[str, str]:
        """What tells an HTTP proxy who asks (RFC 7617), and is for nobody behind it."""
        basic = self._basic
        return {"Proxy-Authorization": f"Basic {basic}"} if basic else {}

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no error may show: the password in its forms, or a user name that stands alone."""
        hidden = self.password or self.user
        return (hidden, quote(hidden, safe=""), self._basic) if hidden else ()

    def check_built(self) -> None:
        """Refuse a SOCKS proxy where what speaks SOCKS is not installed.

        Raises:
            CallerError: it is not; the key is never sent there in other words.
        """
        if self.is_socks and find_spec("aiohttp_socks") is None:
            message = f"expected the extra [socks] to be installed for the proxy {self.url}"
            raise CallerError(message, hint=_EXTRA)

    @property
    def _basic(self) -> str:
        if not self.user and not self.password:
            return ""
        return b64encode(f"{self.user}:{self.password}".encode()).decode()


@attrs.frozen
class Ways:
    """Which proxy each address is asked through.

    Attributes:
        given: the session's own, for every address; the environment counts if there is none.
        direct: whether nothing is asked through a proxy, whatever the environment says.
        problem: why the session's own can't be used, and a hint; "" if it can.
    """

    given: Proxy | None = None
    direct: bool = False
    problem: str = ""
    hint: str | None = None

    @classmethod
    def of(cls, proxy: str | None) -> Ways:
        """Read the session's setting: None for the environment's, "" for none.

        What is wrong with one that may hold a password is told by the first call: a traceback
        from here would quote the line of the program in which it stands.

        Raises:
            CallerError: it is no address of a proxy, and holds no password.
        """
        if proxy is None:
            return cls()
        address = stripped(proxy)
        try:
            return cls(parsed_proxy(address, "proxy")) if address else cls(direct=True)
        except CallerError as error:
            if "@" not in address:
                raise
            return cls(direct=True, problem=error.message, hint=error.hint)
        finally:
            del proxy, address  # a traceback shows what stands in its frames

    def check(self) -> None:
        """Refuse to go on with a proxy that can't be used.

        Raises:
            CallerError: it can't.
        """
        if self.problem:
            raise CallerError(self.problem, hint=self.hint)

    def to(self, url: str) -> Proxy | None:
        """Return the proxy for an address, None where it is asked directly.

        Raises:
            CallerError: the environment names none that can be used.
        """
        if self.direct:
            return None
        return self.given or environment_proxy(url)


def environment_proxy(url: str) -> Proxy | None:
    """Return the proxy that the environment names for an address, heeding ``NO_PROXY``.

    In small letters a variable counts more than in capitals, and in a CGI script ``HTTP_PROXY``
    counts nothing: there it is what the client sent as a header named ``Proxy``.

    Raises:
        CallerError: it names none that can be used.
    """
    parts = urlsplit(url)
    named = urllib.request.getproxies_environment()
    is_own = bool(named)  # else the system's settings are asked, where a system has some
    named = named or urllib.request.getproxies()
    kind = next((kind for kind in (parts.scheme, "all") if stripped(named.get(kind, ""))), None)
    if kind is None or not parts.hostname:
        return None
    if is_own and _is_excepted(named.get("no", ""), parts):
        return None
    if not is_own and urllib.request.proxy_bypass(parts.netloc):
        return None
    address = stripped(named[kind])
    try:
        whole = address if "://" in address else f"http://{address.removeprefix('//')}"
        return parsed_proxy(whole, f"{kind}_proxy of the environment")
    finally:
        del named, address, whole


def _is_excepted(listed: str, parts: SplitResult) -> bool:
    from aiotokengate._policy.no_proxy import bypasses

    port = parts.port or PORTS.get(parts.scheme, 0)
    return bypasses(listed, parts.scheme, parts.hostname or "", port)


def parsed_proxy(address: str, source: str) -> Proxy:
    """Take the address of a proxy apart.

    Args:
        address: with its scheme.
        source: what to call it in an error.

    Raises:
        CallerError: it is none, of which nothing is shown, for it may hold a password; or it
            is one of SOCKS, and the extra is not installed.
    """
    wrong = ""
    try:
        made = _parsed(address)
    except ValueError as error:
        wrong = str(error)
    finally:
        del address
    if wrong:
        message = f"expected {source} {wrong}"
        raise CallerError(message, hint=_HINT)
    made.check_built()
    return made


_HINT: Final = (
    "hint: in a proxy's user name and password : / ? # @ are written as %3A %2F %3F %23 %40\n"
    "提示：代理的用户名和密码中的 : / ? # @ 须写作 %3A %2F %3F %23 %40"
)


def _parsed(address: str) -> Proxy:
    """Take an address apart.

    Raises:
        ValueError: it is none; the text says why, and quotes nothing of it.
    """
    scheme, _, rest = address.partition("://")
    scheme = scheme.lower()
    scheme = "socks5" if scheme == "socks" else scheme
    if scheme not in PORTS:
        message = f"to begin with {_SCHEMES}"
        raise ValueError(message)
    for mark in "/?#":
        rest, cut, tail = rest.partition(mark)
        if cut and "@" in tail:  # else a part of the password would be taken for the port
            message = f"{_FORM} with a {mark!r} before its '@'"
            raise ValueError(message)
    login, _, place = rest.rpartition("@")
    user, _, password = login.partition(":")
    host, port = _place(place, PORTS[scheme])
    made = Proxy(scheme, host, port, unquote(user), unquote(password))
    _check_login(made)
    return made


def _place(place: str, default: int) -> tuple[str, int]:
    """Part host and port.

    Raises:
        ValueError: there is no host, or the port is no number.
    """
    if place.startswith("["):
        host, _, tail = place[1:].partition("]")
        colon, port = tail[:1], tail[1:]
    else:
        host, colon, port = place.partition(":")
    if colon not in ("", ":") or (port and not (port.isascii() and port.isdigit())):
        message = f"{_FORM} whose port is not a number from 1 to {_LAST_PORT}"
        raise ValueError(message)
    if not host or not host.isprintable() or any(mark in host for mark in " \\%<>\"'"):
        message = f"{_FORM} without a host"
        raise ValueError(message)
    number = int(port.lstrip("0")[:6] or 0) if port else default
    if not 0 < number <= _LAST_PORT:
        message = f"{_FORM} whose port is not a number from 1 to {_LAST_PORT}"
        raise ValueError(message)
    return host, number


def _check_login(proxy: Proxy) -> None:
    """Refuse what the proxy's own protocol can't say.

    Raises:
        ValueError: it can't.
    """
    login = proxy.user + proxy.password
    if proxy.is_socks:
        # RFC 1929 says bytes and no more; what speaks SOCKS for us says ASCII.
        if max(map(len, (proxy.user, proxy.password))) > _LONGEST or not login.isascii():
            message = (
                f"{_FORM} with a user name and password of {_LONGEST} ASCII characters at most"
            )
            raise ValueError(message)
    elif ":" in proxy.user:
        message = f"{_FORM} with a ':' in its user name, which HTTP can't say"
        raise ValueError(message)
