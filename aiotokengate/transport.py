"""The only place that sends: aiohttp, with its defaults turned to what streams need.

* No limit on connections: who may send is decided elsewhere.
* aiohttp's own time-outs are off, but for the connection: the library's clocks rule.
* No cookies, no redirects (a key must not travel to another host), no compression (a proxy that
  compresses delays tokens), no silent second sending.
* Proxies come from the environment once for each session; netrc is never read.
* TCP keep-alive is on, because models think for minutes and middle boxes forget.

One aiohttp session for each running event loop, made at its first call.  It is closed with the
loop: an asynchronous generator of the loop holds it, and ``asyncio.run`` closes those.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.http import HttpProcessingError

from aiotokengate.connectors import Trust, make_connector, through
from aiotokengate.errors import CallerError, ConnectFailed, TimedOut, TransportError, WireError
from aiotokengate.proxies import Proxy, Ways
from aiotokengate.shortcuts import KNOWN, DirectRequests, Response, reader_of
from aiotokengate.wire.headers import request_id

if TYPE_CHECKING:
    import ssl as ssl_module

    from aiotokengate.perimeter import Perimeter
    from aiotokengate.uploads import Form

__all__ = ["Answer", "Transport"]

KEEPALIVE_SECONDS = 15.0
"""How long an idle connection is kept: less than nginx's and cloud balancers' own limits."""

DRAIN_SECONDS = 0.25
"""How long a finished reply's last bytes may take before its connection is given up."""

ERROR_BYTES = 64 * 1024


class Answer:
    """An answer whose headers have come; it is also its body, see :class:`aiotokengate.pump.Body`.

    Attributes:
        status: of HTTP.
        headers: as they came.
        read: awaits the next bytes: all that are there, whole, never by line (lines have a limit
            in aiohttp).
        at_end: whether ``read`` would give b"" at once.
    """

    __slots__ = ("_draining", "_response", "at_end", "headers", "read", "status")

    def __init__(
        self,
        response: aiohttp.ClientResponse | Response,
        draining: set[aiohttp.ClientResponse | Response],
    ) -> None:
        """Take over a response that nobody has read.

        Args:
            response: as aiohttp has it.
            draining: holds those that wait for their last bytes, to be closed with the session.
        """
        self._response = response
        self._draining = draining
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers.copy()
        self.read: Callable[[], Awaitable[bytes]] = reader_of(response.content)
        self.at_end: Callable[[], bool] = response.content.at_eof

    @property
    def url(self) -> str:
        """The address that was asked."""
        return str(self._response.url)

    @property
    def request_id(self) -> str | None:
        """The gateway's or vendor's id of the request."""
        return request_id(self.headers)

    async def whole(self, limit: int) -> bytes:
        """Read the body, at most ``limit`` bytes of it, and give the connection back.

        Raises:
            TransportError: the connection broke.
        """
        parts: list[bytes] = []
        size = 0
        try:
            while size < limit and (part := await self.read()):
                parts.append(part)
                size += len(part)
        except (aiohttp.ClientError, OSError) as error:
            raise self.explain(error) from _plain(error)
        except BaseException:  # called off: what may still come is for nobody
            self.close()
            raise
        finally:
            self.release()
        return b"".join(parts)[:limit]

    async def error_body(self) -> bytes:
        """Read the body of an error: a part of it, and what came if the connection breaks."""
        try:
            return await self.whole(ERROR_BYTES)
        except TransportError:
            return self.salvage()

    def salvage(self) -> bytes:
        """Give what was in the buffer when the connection broke; aiohttp would withhold it."""
        content = self._response.content
        content._exception = None  # noqa: SLF001 - there is no public way to these bytes
        return content.read_nowait()

    def explain(self, error: Exception) -> TransportError:
        """Translate what reading raised."""
        return _explained(error, TransportError, "the connection broke")

    def close(self) -> None:
        """Drop the connection."""
        self._response.close()

    def release(self) -> None:
        """Close unless the end of the body arrives very soon, which frees the connection."""
        response, draining = self._response, self._draining
        if not response.closed:
            draining.add(response)
            asyncio.get_running_loop().call_later(DRAIN_SECONDS, _drained, response, draining)


def _drained(
    response: aiohttp.ClientResponse | Response,
    draining: set[aiohttp.ClientResponse | Response],
) -> None:
    draining.discard(response)
    response.close()


class Transport:
    """Sends requests to one gateway, on whichever event loop is running.

    Attributes:
        headers: that go with every request to that host, and to no other.
        proxy: through which that host is asked.
        secrets: of proxies, which no error may show.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str],
        proxy: Ways | str | None,
        ssl: Trust | ssl_module.SSLContext | bool,
        allow_private: bool = False,
    ) -> None:
        """Note where to and how; nothing is opened.

        Args:
            base_url: where requests of the session go.
            headers: that go with them.
            proxy: through which; None for the environment's, "" for none.
            ssl: which certificates are trusted.
            allow_private: whether downloads may stand inside, see :mod:`aiotokengate.perimeter`.

        Raises:
            CallerError: the proxy is none that can be used.
        """
        self.headers = headers
        self._base_url = base_url
        self._host = _origin(base_url)
        self._ways = proxy if isinstance(proxy, Ways) else Ways.of(proxy)
        self.proxy = self._ways.to(base_url)
        self.secrets: set[str] = set(self.proxy.secrets if self.proxy is not None else ())
        self._trust = ssl if isinstance(ssl, Trust) else Trust(ssl)
        self._allow_private = allow_private
        self._seen: set[str] = set()
        self._perimeter: Perimeter | None = None
        self._open: dict[asyncio.AbstractEventLoop, _LoopSessions] = {}
        self._inherited: list[_LoopSessions] = []
        _transports.add(self)

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        own: Mapping[str, str] | None = None,
        data: bytes | Form | None = None,
        connect: float | None = None,
        fresh: bool = False,
        hops: int = 0,
    ) -> Answer:
        """Send a request and give the answer once its headers have come.

        An answer to a GET that stands elsewhere is fetched there, without the key.

        Args:
            method: of HTTP.
            url: whole.
            headers: beside those that go with every request, and over them.
            own: more of those, for the gateway itself and nobody else.
            data: the body, or a form.
            connect: seconds for the connection.
            fresh: on a new connection, because a kept one has just died.
            hops: redirects that led here; the gateway's own host gets no key after one.

        Raises:
            CallerError: it is a download from inside, see :mod:`aiotokengate.perimeter`.
            ConnectFailed: no connection, or it died before a byte of an answer.
            TimedOut: the connection took longer than ``connect``.
            TransportError: anything else of the network.
        """
        ours = not hops and url.startswith(self._host)
        if ours and own:
            headers = {**own, **(headers or {})}
        elif not ours and method == "GET":
            await self._admit(url)
        body: bytes | aiohttp.MultipartWriter | None
        if data is None or isinstance(data, bytes):
            body = data
        else:
            body, headers = _multipart(data, headers)
        failure: Exception
        try:
            response = await self._respond(
                method, url, headers, body, connect, fresh=fresh, ours=ours
            )
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            failure = error
        else:
            moved = response.status in _MOVED and isinstance(data, bytes | None)
            target = _leads_on(method, url, response, ours=ours) if moved else None
            if target is None:
                sessions = self._open.get(asyncio.get_running_loop())
                return Answer(response, sessions.draining if sessions else set())
            response.close()
            if hops == MOST_REDIRECTS:
                message = f"expected at most {MOST_REDIRECTS} redirects, got one more"
                raise WireError(message)
            goes = _fit(headers or {}) if _origin(target) != _origin(url) else headers
            return await self.send(
                method, target, headers=goes, data=data, connect=connect, hops=hops + 1
            )
        # Raised out here, because an error's context is shown too, and may hold the headers.
        try:
            barred = None if ours else _barred(failure, url)
            raise barred or _unsent(failure, connect) from _plain(failure)
        finally:
            del failure  # whose frames hold this one

    async def _admit(self, url: str) -> None:
        """Look at a download from another host before it is asked for."""
        from aiotokengate.perimeter import Perimeter  # noqa: PLC0415 - no chat needs it

        if self._perimeter is None:
            seen = self._seen if self.proxy is None else None
            self._perimeter = Perimeter(self._base_url, seen, allow=self._allow_private)
        await self._perimeter.admit(url)

    def _look(self, address: str) -> None:
        """Look at an address that is connected to for another host."""
        if self._perimeter is not None:
            self._perimeter.check(address)

    async def _respond(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: bytes | aiohttp.MultipartWriter | None,
        connect: float | None,
        *,
        fresh: bool,
        ours: bool,
    ) -> aiohttp.ClientResponse | Response:
        """Send, the short way if there is one."""
        sessions = self._open.get(asyncio.get_running_loop()) or await self._opened()
        if sessions.ended:
            message = "this event loop is ending, and has closed its connections"
            raise CallerError(message)
        kept = ours and not fresh
        timeout = _NO_TIMEOUT if connect is None else _connect_timeout(connect)
        direct = sessions.direct if kept else None
        if direct is not None and (body is None or isinstance(body, bytes)):
            return await direct.send(method, url, body, headers, timeout)
        proxy = self.proxy if ours else self._way_to(url)
        session = sessions.kept if kept else sessions.other(proxy, method, ours=ours)
        if proxy is not None and not proxy.is_socks:  # it would be told what the session has
            headers = _over(self.headers if ours else _FOREIGN_HEADERS, headers or {})
        return await session.request(
            method,
            url,
            # aiohttp warns of large bytes, which it would write at once.
            data=BytesIO(body) if isinstance(body, bytes) else body,
            allow_redirects=False,
            timeout=timeout,
            **through(proxy, url, headers),
        )

    def _way_to(self, url: str) -> Proxy | None:
        proxy = self._ways.to(url)
        if proxy is not None:
            self.secrets.update(proxy.secrets)
        return proxy

    async def close(self) -> None:
        """Close the connections of the running loop, and forget those of dead ones."""
        self._forget_dead()
        sessions = self._open.pop(asyncio.get_running_loop(), None)
        if sessions is not None:
            await sessions.close()

    async def _opened(self) -> _LoopSessions:
        """Open the sessions of the running loop."""
        self._ways.check()
        self._forget_dead()
        secure = self._host.startswith("https:")
        looks = self._seen.add, self._look
        sessions = _LoopSessions(self.headers, self.proxy, self._trust, looks, secure=secure)
        self._open[asyncio.get_running_loop()] = sessions
        await sessions.open()
        return sessions

    def disown(self) -> None:
        """Leave to the parent what is the parent's, in a child that was just forked."""
        for sessions in self._open.values():
            sessions.disown()
        self._inherited += self._open.values()
        self._open.clear()

    def _forget_dead(self) -> None:
        for loop in [loop for loop in self._open if loop.is_closed()]:
            del self._open[loop]


_transports: weakref.WeakSet[Transport] = weakref.WeakSet()


def _after_fork() -> None:
    for transport in _transports:
        transport.disown()


os.register_at_fork(after_in_child=_after_fork)

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


@lru_cache(maxsize=64)
def _connect_timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=seconds, sock_connect=None, sock_read=None)


class _LoopSessions:
    """The aiohttp sessions of one event loop.

    One keeps connections, one does not, and one knows no key: it is for other hosts.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        proxy: Proxy | None,
        trust: Trust,
        looks: tuple[Callable[[str], object], Callable[[str], object]],
        *,
        secure: bool,
    ) -> None:
        self._headers = headers
        self._proxy = proxy
        self._trust = trust
        self._look_at_own, self._look_at_foreign = looks
        # Reading the certificates takes a while, and who speaks plain HTTP needs none.
        self._secure = secure or (proxy is not None and proxy.scheme == "https")
        self.kept = self._own_session(keepalive_timeout=KEEPALIVE_SECONDS)
        direct = proxy is None or proxy.is_socks
        self.direct = DirectRequests(self.kept) if KNOWN and direct else None
        self._fresh: aiohttp.ClientSession | None = None
        self._foreign: dict[object, aiohttp.ClientSession] = {}
        self._keeper = self._keep()
        self.draining: set[aiohttp.ClientResponse | Response] = set()
        self.ended = False

    async def open(self) -> None:
        """Tie the sessions to the loop's own end."""
        await anext(self._keeper)

    async def close(self) -> None:
        """Close all connections."""
        await self._keeper.aclose()

    def disown(self) -> None:
        """Never write into the sockets, nor close them: they are the parent's.

        The finaliser of a connector would take them out of a list of the kernel's (epoll) that
        child and parent share, and the parent would wait for ever.
        """
        for session in (self.kept, self._fresh, *self._foreign.values()):
            if session is not None and session.connector is not None:
                session.connector._closed = True  # noqa: SLF001 - there is no public way
                session.detach()

    def other(self, proxy: Proxy | None, method: str, *, ours: bool) -> aiohttp.ClientSession:
        """Give the session for one request, or, to a foreign host, one without the key."""
        if not ours:
            return self._foreign_session(proxy, is_download=method == "GET")
        if self._fresh is None:
            self._fresh = self._own_session(force_close=True)
        return self._fresh

    def _foreign_session(self, proxy: Proxy | None, *, is_download: bool) -> aiohttp.ClientSession:
        # Connections over an HTTP proxy are told apart by aiohttp, those over others are not;
        # and one that nobody looked at is not for a download.
        way = proxy if proxy is not None and proxy.is_socks else proxy is None
        session = self._foreign.get((way, is_download))
        if session is None:
            connector = make_connector(
                proxy,
                self._look_at_foreign if is_download else str,
                ssl=self._trust.context(),
                keepalive_timeout=KEEPALIVE_SECONDS,
            )
            session = _session(connector, _FOREIGN_HEADERS if way else {})
            self._foreign[way, is_download] = session
        return session

    def _own_session(self, **keep: Any) -> aiohttp.ClientSession:  # noqa: ANN401 - aiohttp's
        ssl = self._trust.context() if self._secure else True
        named = self._headers if self._proxy is None or self._proxy.is_socks else {}
        look = self._look_at_own
        return _session(make_connector(self._proxy, look, ssl=ssl, **keep), named)

    async def _keep(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self.ended = True
            for response in self.draining:
                response.close()
            for session in (self.kept, self._fresh, *self._foreign.values()):
                if session is not None:
                    await session.close()


def _session(connector: aiohttp.TCPConnector, headers: Mapping[str, str]) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=connector,
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=_NO_TIMEOUT,
        trust_env=False,
        raise_for_status=False,
    )
    # aiohttp sends idempotent requests again by itself; attempts are ours to count.
    session._retry_connection = False  # noqa: SLF001 - its own tests use the same switch
    return session


_FOREIGN_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "aiotokengate"}


_MOVED = frozenset((301, 302, 303, 307, 308))
MOST_REDIRECTS = 10


def _origin(url: str) -> str:
    """Give what all addresses of a host begin with."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/"


def _leads_on(
    method: str, url: str, response: aiohttp.ClientResponse | Response, *, ours: bool
) -> str | None:
    """Give where an answer stands, if it is to be fetched there."""
    from aiotokengate.places import onward  # noqa: PLC0415 - few answers do

    location = response.headers.get("Location", "")
    return onward(method, url, response.status, location, ours=ours)


def _fit(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Give those of a call's headers that another host may know."""
    from aiotokengate.places import travelling  # noqa: PLC0415 - the same

    return travelling(headers)


def _over(base: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, str]:
    """Give headers over others, however their names are spelt."""
    names = {name.lower() for name in headers}
    return {
        **{name: value for name, value in base.items() if name.lower() not in names},
        **headers,
    }


def _multipart(
    form: Form, headers: Mapping[str, str] | None
) -> tuple[aiohttp.MultipartWriter, Mapping[str, str]]:
    """Give a form as aiohttp sends it: files in pieces, their names as they are."""
    data = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
    for name, text in form.fields:
        data.add_field(name, text)
    for part in form.files:
        source = part.source
        value = source.open("rb") if isinstance(source, Path) else source
        data.add_field(part.name, value, filename=part.filename, content_type=part.content_type)
    writer = data()
    assert isinstance(writer, aiohttp.MultipartWriter)  # noqa: S101 - for the type checker
    return writer, {**(headers or {}), "Content-Type": writer.content_type}


def _barred(error: Exception, url: str) -> CallerError | None:
    """Say whether a download failed for where it was to come from."""
    from aiotokengate.perimeter import InsideError, refused_inside  # noqa: PLC0415 - see above
    from aiotokengate.places import named  # noqa: PLC0415 - the same

    if isinstance(getattr(error, "os_error", None), InsideError):
        return refused_inside(url)
    if isinstance(error, aiohttp.InvalidURL):  # which is quoted, and may be signed
        return CallerError(f"expected an http or https address, got {named(url)}")
    return None


def _unsent(error: Exception, connect: float | None) -> TransportError | CallerError:
    if isinstance(error, TimeoutError):
        return TimedOut("connect", connect or 0.0)
    if isinstance(error, aiohttp.InvalidURL | ValueError) and not isinstance(error, OSError):
        return CallerError(f"expected base_url to be an http or https address: {_said(error)}")
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return ConnectFailed("the server closed the connection before it answered")
    if isinstance(error, aiohttp.ClientConnectorError):
        return ConnectFailed(
            f"could not connect to {error.host}:{error.port}: {_said(error.os_error)}"
        )
    if isinstance(error, aiohttp.ClientResponseError | HttpProcessingError):
        return TransportError(f"the answer was not HTTP: {error.message}")
    return ConnectFailed(f"the connection failed: {_said(error)}")


def _explained(error: Exception, kind: type[TransportError], what: str) -> TransportError:
    explained = kind(f"{what}: {_said(error)}")
    explained.__cause__ = _plain(error)
    return explained


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _plain(error: Exception) -> BaseException | None:
    """Give an error fit to be a cause: without frames that keep the stream alive, or a key.

    aiohttp's response errors carry the request with its headers, and so the key; those of its
    parser quote what came, which may be the key again.
    """
    if isinstance(error, aiohttp.ClientResponseError | HttpProcessingError):
        return None
    return error.with_traceback(None)
