"""The only place that sends: aiohttp, with its defaults turned to what streams need.

* No limit on connections: who may send is decided elsewhere.
* aiohttp's own time-outs are off, but for the connection: the library's clocks rule.
* No cookies, no redirects (a key must not travel to another host), no compression (a proxy that
  compresses delays tokens), no silent second sending.
* Proxies come from the environment once for each session; netrc is never read.
* Headers go with each request, and never with aiohttp's session: that shows its own to proxies.
* TCP keep-alive is on, because models think for minutes and middle boxes forget.

One aiohttp session for each running event loop, made at its first call.  It is closed with the
loop: an asynchronous generator of the loop holds it, and ``asyncio.run`` closes those.
"""

from __future__ import annotations

import asyncio
import os
import socket
import urllib.request
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.http import HttpProcessingError

from aiotokengate.connections import (
    GUARDED,
    GuardedConnector,
    Headers,
    Progress,
    Proxy,
    merged,
    parsed,
    progress_traces,
)
from aiotokengate.errors import CallerError, TokenGateError
from aiotokengate.shortcuts import (
    HEADER_LIMITS,
    DirectRequests,
    Response,
    is_known,
    reader_of,
    salvaged,
)
from aiotokengate.wire.headers import request_id

if TYPE_CHECKING:
    import ssl as ssl_module

    from aiotokengate.uploads import Form

__all__ = ["Answer", "Transport"]

KEEPALIVE_SECONDS = 15.0
"""How long an idle connection is kept: less than nginx's and cloud balancers' own limits."""

DRAIN_SECONDS = 0.25
"""How long a finished reply's last bytes may take before its connection is given up."""

ERROR_BYTES = 64 * 1024

NETWORK = (aiohttp.ClientError, HttpProcessingError, OSError)
"""What a broken network raises; anything else is a mistake of ours, and shown as it is."""

_IDLE, _INTERVAL, _COUNT = 60, 15, 4


def environment_proxy(url: str) -> str | None:
    """Give the proxy that the environment names for an address, heeding ``NO_PROXY``."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def keepalive_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Make a socket whose silence is probed by the kernel."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {"TCP_KEEPIDLE": _IDLE, "TCP_KEEPINTVL": _INTERVAL, "TCP_KEEPCNT": _COUNT}
    for name, value in options.items():
        if hasattr(socket, name):  # macOS and Windows lack some
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


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
    def request_id(self) -> str | None:
        """The gateway's or vendor's id of the request."""
        return request_id(self.headers)

    async def whole(self, limit: int) -> bytes:
        """Read the body, at most ``limit`` bytes of it, and give the connection back.

        Raises:
            TransportError: the connection broke.
            WireError: what came can't be decoded.
        """
        parts: list[bytes] = []
        size = 0
        failure: Exception | None = None
        try:
            while size < limit and (part := await self.read()):
                parts.append(part)
                size += len(part)
        except NETWORK as error:
            failure = error
        except BaseException:  # called off: what may still come is for nobody
            self.close()
            raise
        finally:
            self.release()
        if failure is not None:
            try:
                raise self.explain(failure)
            finally:
                del failure  # whose frames hold this one
        return b"".join(parts)[:limit]

    async def error_body(self) -> bytes:
        """Read the body of an error: a part of it, and what came if the connection breaks."""
        try:
            return await self.whole(ERROR_BYTES)
        except TokenGateError:
            return self.salvage()

    def salvage(self) -> bytes:
        """Give what was in the buffer when the connection broke."""
        return salvaged(self._response.content)

    def explain(self, error: Exception) -> TokenGateError:
        """Translate what reading raised.

        Raises:
            Exception: it is no failure of the network, but a mistake of ours, and raised again.
        """
        if not isinstance(error, NETWORK):
            raise error
        from aiotokengate.failures import broken  # noqa: PLC0415 - most calls go well

        return broken(error)

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
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str],
        proxy: str | None,
        ssl: ssl_module.SSLContext | bool,
    ) -> None:
        """Note where to and how; nothing is opened."""
        self.headers = headers
        self._host = _origin(base_url)
        proxy = environment_proxy(base_url) if proxy is None else proxy
        self._proxy = Proxy(proxy) if proxy else None
        self._ssl = ssl
        self._open: dict[asyncio.AbstractEventLoop, _LoopSessions] = {}
        self._inherited: list[_LoopSessions] = []
        _transports.add(self)

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | Form | None = None,
        connect: float | None = None,
        fresh: bool = False,
    ) -> Answer:
        """Send a request and give the answer once its headers have come.

        An answer to a GET that stands elsewhere is fetched there, without the key.

        Args:
            method: of HTTP.
            url: whole.
            headers: beside those that go with every request, and over them.
            data: the body, or a form.
            connect: seconds for the connection.
            fresh: on a new connection, and not on one that was kept.

        Raises:
            ConnectFailed: nothing was sent; where a proxy refused, with its status.
            Unanswered: it may have been sent, and no answer came.
            TimedOut: the connection took longer than ``connect``.
            WireError: the answer is not HTTP.
        """
        progress = Progress()
        failure: Exception | None = None
        try:
            response = await self._respond(method, url, headers, data, connect, progress, fresh)
        except NETWORK as error:
            failure = error
        # Raised out here, because an error's context is shown too, and may hold the headers.
        if failure is not None:
            del headers, data  # of which no frame of the error's may tell
            try:
                raise _failed(failure, progress, connect)
            finally:
                del failure  # whose frames hold this one
        self._check_proxy(response, url)
        elsewhere = _elsewhere(response) if method == "GET" else None
        if elsewhere is None or not url.startswith(self._host):
            sessions = self._open.get(asyncio.get_running_loop())
            return Answer(response, sessions.draining if sessions else set())
        response.close()
        return await self.send(method, elsewhere, headers=_fit(headers), connect=connect)

    async def _respond(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        data: bytes | Form | None,
        connect: float | None,
        progress: Progress,
        fresh: bool,  # noqa: FBT001 - of this class
    ) -> aiohttp.ClientResponse | Response:
        """Send, the short way if there is one."""
        sessions = self._open.get(asyncio.get_running_loop()) or await self._opened()
        if sessions.ended:
            message = "this event loop is ending, and has closed its connections"
            raise CallerError(message)
        ours = url.startswith(self._host)
        session = sessions.session(ours=ours, fresh=fresh)
        lines = self.headers if ours else _FOREIGN_HEADERS
        asked = (*lines.items(), *headers.items()) if headers else (*lines.items(),)
        timeout = _NO_TIMEOUT if connect is None else _connect_timeout(connect)
        direct = sessions.direct(session) if ours else None
        if direct is not None and (data is None or isinstance(data, bytes)):
            return await direct.send(method, url, asked, data, timeout, progress)
        return await session.request(
            method,
            parsed(url),
            **self._options(url, asked, data, ours=ours),
            allow_redirects=not ours,
            timeout=timeout,
            trace_request_ctx=progress,
        )

    def _options(
        self, url: str, headers: Headers, data: bytes | Form | None, *, ours: bool
    ) -> dict[str, Any]:
        """Give headers, body and proxy of a request that goes aiohttp's own way."""
        lines = merged(headers)
        body: Any = data
        if isinstance(data, bytes):
            body = BytesIO(data)  # aiohttp warns of large bytes, which it would write at once
        elif data is not None:
            body = _multipart(data)
            lines["Content-Type"] = body.content_type
        if ours:
            proxy = self._proxy
        else:
            named = environment_proxy(url)
            proxy = Proxy(named) if named else None
        options = {"headers": lines} if proxy is None else proxy.options(lines, url)
        return {"data": body, **options}

    def _check_proxy(self, response: aiohttp.ClientResponse | Response, url: str) -> None:
        """Raise for a proxy that wants a password before it sends a plain request on."""
        if response.status == _NO_PASSWORD and self._proxy and url.startswith("http:"):
            from aiotokengate.failures import refused_by_proxy  # noqa: PLC0415 - seldom

            response.close()
            raise refused_by_proxy(response.status, "it wants a user and password")

    async def close(self) -> None:
        """Close the connections of the running loop, and forget those of dead ones."""
        self._forget_dead()
        sessions = self._open.pop(asyncio.get_running_loop(), None)
        if sessions is not None:
            await sessions.close()

    async def _opened(self) -> _LoopSessions:
        """Open the sessions of the running loop."""
        self._forget_dead()
        sessions = _LoopSessions(ssl=self._ssl, proxy=self._proxy)
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
    """The aiohttp sessions of one event loop; none of them knows a key.

    One keeps connections, one does not, and one is for other hosts.
    """

    def __init__(self, *, ssl: ssl_module.SSLContext | bool, proxy: Proxy | None) -> None:
        self._ssl = ssl
        self._proxy = proxy
        self._known = is_known()
        self._kept = self._session()
        self._fresh: aiohttp.ClientSession | None = None
        self._foreign: aiohttp.ClientSession | None = None
        self._directs: dict[aiohttp.ClientSession, DirectRequests] = {}
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
        for session in (self._kept, self._fresh, self._foreign):
            if session is not None and isinstance(session.connector, GuardedConnector):
                session.connector.disowned = True
                session.detach()

    def session(self, *, ours: bool, fresh: bool) -> aiohttp.ClientSession:
        """Give the session for a request: to a foreign host, on a new connection, or on any."""
        if not ours:
            if self._foreign is None:
                self._foreign = self._session()
            return self._foreign
        if not fresh:
            return self._kept
        if self._fresh is None:
            self._fresh = self._session(force_close=True)
        return self._fresh

    def direct(self, session: aiohttp.ClientSession) -> DirectRequests | None:
        """Give the way around a session of ours, if aiohttp is built as known."""
        direct = self._directs.get(session)
        connector = session.connector
        if direct is None and self._known and isinstance(connector, GuardedConnector):
            direct = self._directs[session] = DirectRequests(session, connector, self._proxy)
        return direct

    async def _keep(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self.ended = True
            for response in self.draining:
                response.close()
            for session in (self._kept, self._fresh, self._foreign):
                if session is not None:
                    await session.close()

    def _session(self, *, force_close: bool = False) -> aiohttp.ClientSession:
        """Open a session without headers, which it would show to proxies."""
        keep: dict[str, Any] = (
            {"keepalive_timeout": KEEPALIVE_SECONDS}
            if GUARDED and not force_close
            else {"force_close": True}
        )
        connector = GuardedConnector(
            limit=0, ssl=self._ssl, socket_factory=keepalive_socket, **keep
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_NO_TIMEOUT,
            trust_env=False,
            raise_for_status=False,
            trace_configs=[progress_traces()],
            **HEADER_LIMITS,
        )
        # aiohttp sends idempotent requests again by itself; attempts are ours to count.
        session._retry_connection = False  # noqa: SLF001 - its own tests use the same switch
        return session


_FOREIGN_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "aiotokengate"}
_NO_PASSWORD = 407
_MOVED = frozenset((301, 302, 303, 307, 308))
_OURS = ("authorization", "cookie", "proxy-authorization", "x-api-key", "x-goog-api-key")


def _origin(url: str) -> str:
    """Give what all addresses of a host begin with."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/"


def _elsewhere(response: aiohttp.ClientResponse | Response) -> str | None:
    """Give the address on another host where an answer stands; on ours it would carry the key."""
    if response.status not in _MOVED:
        return None
    target = urljoin(str(response.url), response.headers.get("Location", ""))
    is_web = target.startswith(("http://", "https://"))
    return target if is_web and not target.startswith(_origin(str(response.url))) else None


def _fit(headers: Mapping[str, str] | None) -> Mapping[str, str]:
    """Give those of a call's headers that another host may know."""
    return {name: value for name, value in (headers or {}).items() if name.lower() not in _OURS}


def _multipart(form: Form) -> aiohttp.MultipartWriter:
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
    return writer


def _failed(error: Exception, progress: Progress, connect: float | None) -> TokenGateError:
    from aiotokengate.failures import failed  # noqa: PLC0415 - most calls go well

    return failed(error, progress, connect)
