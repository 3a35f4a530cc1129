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
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from urllib.parse import urlsplit

import aiohttp

from aiotokengate._http.connections import (
    GUARDED,
    Guarded,
    Headers,
    Progress,
    merged,
    parsed,
    progress_traces,
)
from aiotokengate._http.connectors import Trust, make_connector, through
from aiotokengate._http.direct import (
    DirectRequests,
    Response,
    header_limits,
    is_known,
    reader_of,
    salvaged,
)
from aiotokengate._http.feeds import feed_of
from aiotokengate._http.internals import HttpProcessingError
from aiotokengate._http.proxies import Proxy, Ways
from aiotokengate._wire.headers import request_id
from aiotokengate.errors import CallerError, TokenGateError, WireError

if TYPE_CHECKING:
    import ssl as ssl_module

    from aiotokengate._http.feeds import Feed, Sink
    from aiotokengate._http.perimeter import Perimeter
    from aiotokengate._http.uploads import Form

__all__ = ["Answer", "Transport"]

KEEPALIVE_SECONDS = 15.0
"""How long an idle connection is kept: less than nginx's and cloud balancers' own limits."""

DRAIN_SECONDS = 0.25
"""How long a finished reply's last bytes may take before its connection is given up."""

ERROR_BYTES = 64 * 1024

NETWORK = (aiohttp.ClientError, HttpProcessingError, OSError)
"""What a broken network raises; anything else is a mistake of ours, and shown as it is."""


class Answer:
    """An answer whose headers have come, with its body: to be read, or to feed a sink.

    Attributes:
        status: of HTTP.
        headers: as they came.
    """

    __slots__ = ("_draining", "_feed", "_response", "headers", "status")

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
        self._feed: Feed | None = None

    @property
    def url(self) -> str:
        """The address that was asked."""
        return str(self._response.url)

    @property
    def request_id(self) -> str | None:
        """The gateway's or vendor's id of the request."""
        return request_id(self.headers)

    @property
    def read(self) -> Callable[[], Awaitable[bytes]]:
        """Make what awaits the next bytes: all that are there, never by line (aiohttp's limit)."""
        return reader_of(self._response.content)

    def at_end(self) -> bool:
        """Return whether ``read`` would give b"" at once."""
        return self._response.content.at_eof()

    def feed(self, sink: Sink) -> Feed:
        """Feed a sink with the body, from now on, in place of reading."""
        packed = "Content-Encoding" in self.headers
        feed = self._feed = feed_of(self._response.content, packed=packed)
        feed.start(sink)  # which may end it at once
        return feed

    async def whole(self, limit: int) -> bytes:
        """Read the body, at most ``limit`` bytes of it, and give the connection back.

        Raises:
            TransportError: the connection broke.
            WireError: what came can't be decoded.
        """
        body, failure = await self._read(limit)
        if failure is not None:
            try:
                raise self.explain(failure)
            finally:
                del failure  # whose frames hold this one
        return body

    async def error_body(self) -> bytes:
        """Read the body of an error: a part of it, and what came if the connection breaks."""
        body, failure = await self._read(ERROR_BYTES)
        return body if failure is None else (body + self.salvage())[:ERROR_BYTES]

    async def _read(self, limit: int) -> tuple[bytes, Exception | None]:
        """Read at most ``limit`` bytes; return them, and what broke the connection, if it did."""
        parts: list[bytes] = []
        size = 0
        failure: Exception | None = None
        read = self.read
        try:
            while size < limit and (part := await read()):
                parts.append(part)
                size += len(part)
        except NETWORK as error:
            failure = error
        except BaseException:  # called off: what may still come is for nobody
            self.close()
            raise
        finally:
            self.release()
        return b"".join(parts)[:limit], failure

    def salvage(self) -> bytes:
        """Return what was in the buffer when the connection broke."""
        return salvaged(self._response.content)

    def explain(self, error: Exception) -> TokenGateError:
        """Translate what reading raised.

        Raises:
            Exception: it is no failure of the network, but a mistake of ours, and raised again.
        """
        if not isinstance(error, NETWORK):
            raise error
        from aiotokengate._http.failures import broken

        return broken(error)

    def close(self) -> None:
        """Drop the connection."""
        self._stop_feed()
        self._response.close()

    def _stop_feed(self) -> None:
        if self._feed is not None:
            self._feed.stop()

    def release(self) -> None:
        """Close unless the end of the body arrives very soon, which frees the connection."""
        self._stop_feed()
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
        secrets: of proxies, and of the caller's own headers, which no error may show.
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
            allow_private: whether downloads may stand inside, see
                :mod:`aiotokengate._http.perimeter`.

        Raises:
            CallerError: the proxy is none that can be used.
        """
        self.headers = headers
        self._first: Headers = (*headers.items(),)
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
        progress: Progress | None = None,
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
            fresh: on a new connection, and not on one that was kept.
            progress: to be told how far the request came; the gateway's own host gets no key
                after a redirect.

        Raises:
            CallerError: it is a download from inside, see :mod:`aiotokengate._http.perimeter`.
            ConnectFailed: nothing was sent; where a proxy refused, with its status.
            Unanswered: it may have been sent, and no answer came.
            TimedOut: the connection took longer than ``connect``.
            WireError: the answer is not HTTP.
        """
        progress = progress or Progress()
        hops = progress.hops
        ours = not hops and url.startswith(self._host)
        if not ours and method == "GET":
            await self._admit(url)
        failure: Exception | None = None
        lines = self._lines(headers, own, ours=ours)
        body = data if data is None or isinstance(data, bytes) else _multipart(data)
        try:
            response = await self._respond(
                method, url, lines, body, connect, progress, fresh=fresh, ours=ours
            )
        except (*NETWORK, CallerError) as error:
            failure = error
        # Raised out here, because an error's context is shown too, and may hold the headers.
        if failure is not None:
            del headers, own, lines, data, body  # of which no frame of the error's may tell
            try:
                raise _failed(failure, progress, connect, "" if ours else url)
            finally:
                del failure  # whose frames hold this one
        moved = response.status in _ELSEWHERE and isinstance(data, bytes | None)
        target = _leads_on(method, url, response, ours=ours) if moved else None
        if target is None:
            self._check_proxy(response, url, ours=ours)
            if "Content-Encoding" in response.headers and response.status in _GOOD:
                _check_coding(response)
            sessions = self._open.get(asyncio.get_running_loop())
            return Answer(response, sessions.draining if sessions else set())
        response.close()
        if hops == MOST_REDIRECTS:
            message = f"expected at most {MOST_REDIRECTS} redirects, got one more"
            raise WireError(message)
        goes = _fit(headers or {}) if _origin(target) != _origin(url) else headers
        further = Progress(hops + 1)
        return await self.send(
            method, target, headers=goes, data=data, connect=connect, progress=further
        )

    async def _admit(self, url: str) -> None:
        """Look at a download from another host before it is asked for."""
        from aiotokengate._http.perimeter import Perimeter

        if self._perimeter is None:
            seen = self._seen if self.proxy is None else None
            self._perimeter = Perimeter(self._base_url, seen, allow=self._allow_private)
        await self._perimeter.admit(url)

    def _look(self, address: str) -> None:
        """Look at an address that is connected to for another host."""
        if self._perimeter is not None:
            self._perimeter.check(address)

    def _lines(
        self, headers: Mapping[str, str] | None, own: Mapping[str, str] | None, *, ours: bool
    ) -> Headers:
        """Return the headers of a request, later ones over earlier ones."""
        first = self._first if ours else _FOREIGN_HEADERS
        if not headers and not own:
            return first
        known = own.items() if ours and own else ()
        return (*first, *known, *(headers or {}).items())

    async def _respond(
        self,
        method: str,
        url: str,
        headers: Headers,
        body: bytes | aiohttp.MultipartWriter | None,
        connect: float | None,
        progress: Progress,
        *,
        fresh: bool,
        ours: bool,
    ) -> aiohttp.ClientResponse | Response:
        """Send, the short way if there is one."""
        sessions = self._open.get(asyncio.get_running_loop()) or await self._opened()
        if sessions.ended:
            message = "this event loop is ending, and has closed its connections"
            raise CallerError(message)
        proxy = self.proxy if ours else self._way_to(url)
        session, direct = sessions.own(fresh=fresh) if ours else sessions.foreign(proxy, method)
        timeout = _NO_TIMEOUT if connect is None else _connect_timeout(connect)
        if direct is not None and (body is None or isinstance(body, bytes)):
            return await direct.send(method, url, headers, body, timeout, progress, proxy)
        lines = merged(headers)
        if isinstance(body, aiohttp.MultipartWriter):
            lines["Content-Type"] = body.content_type
        return await session.request(
            method,
            parsed(url),
            # aiohttp warns of large bytes, which it would write at once.
            data=BytesIO(body) if isinstance(body, bytes) else body,
            **through(proxy, url, lines),
            allow_redirects=False,
            timeout=timeout,
            trace_request_ctx=progress,
        )

    def _check_proxy(
        self, response: aiohttp.ClientResponse | Response, url: str, *, ours: bool
    ) -> None:
        """Raise for a proxy that wants a password before it sends a plain request on."""
        if response.status != _NO_CREDENTIALS or not url.startswith("http:"):
            return
        proxy = self.proxy if ours else self._ways.to(url)
        if proxy is not None and not proxy.is_socks:
            from aiotokengate._http.failures import refused_by_proxy

            response.close()
            raise refused_by_proxy(response.status, "it wants a user and password")

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
        sessions = _LoopSessions(self.proxy, self._trust, looks, secure=secure)
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

    One keeps connections, one does not, and the others are for other hosts.
    """

    def __init__(
        self,
        proxy: Proxy | None,
        trust: Trust,
        looks: tuple[Callable[[str], object], Callable[[str], object]],
        *,
        secure: bool,
    ) -> None:
        self._proxy = proxy
        self._trust = trust
        self._look_at_own, self._look_at_foreign = looks
        # Reading the certificates takes a while, and who speaks plain HTTP needs none.
        self._secure = secure or (proxy is not None and proxy.scheme == "https")
        self._known = is_known()
        self._kept = self._own_session(fresh=False)
        self._fresh: _Way | None = None
        self._foreign: dict[object, _Way] = {}
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
        for session in self._all():
            if isinstance(session.connector, Guarded):
                session.connector.disowned = True
            if session.connector is not None:
                session.detach()

    def own(self, *, fresh: bool) -> _Way:
        """Return what sends to the gateway: on a new connection, or on any."""
        if not fresh:
            return self._kept
        if self._fresh is None:
            self._fresh = self._own_session(fresh=True)
        return self._fresh

    def foreign(self, proxy: Proxy | None, method: str) -> _Way:
        """Return what sends to another host."""
        # Connections over an HTTP proxy are told apart by aiohttp, those over others are not;
        # and one that nobody looked at is not for a download.
        is_download = method == "GET"
        key = proxy if proxy is not None and proxy.is_socks else proxy is None, is_download
        way = self._foreign.get(key)
        if way is None:
            look = self._look_at_foreign if is_download else str
            settings = {"ssl": self._trust.context(), **_keeping(fresh=False)}
            way = self._foreign[key] = self._way(make_connector(proxy, look, **settings))
        return way

    def _all(self) -> list[aiohttp.ClientSession]:
        ways = (self._kept, self._fresh, *self._foreign.values())
        return [way[0] for way in ways if way is not None]

    def _own_session(self, *, fresh: bool) -> _Way:
        ssl = self._trust.context() if self._secure else True
        settings = {"ssl": ssl, **_keeping(fresh=fresh)}
        return self._way(make_connector(self._proxy, self._look_at_own, **settings))

    def _way(self, connector: aiohttp.TCPConnector) -> _Way:
        """Return a session, and the way around it if aiohttp is built as known."""
        session = _session(connector)
        if self._known and isinstance(connector, Guarded):
            return session, DirectRequests(session, connector)
        return session, None

    async def _keep(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self.ended = True
            for response in self.draining:
                response.close()
            for session in self._all():
                await session.close()


_Way: TypeAlias = tuple[aiohttp.ClientSession, DirectRequests | None]


def _keeping(*, fresh: bool) -> dict[str, Any]:
    """Return what a connector is told of keeping connections; without a look at them, none are."""
    keeps = GUARDED and not fresh
    return {"keepalive_timeout": KEEPALIVE_SECONDS} if keeps else {"force_close": True}


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    """Open a session without headers, which it would show to proxies."""
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=_NO_TIMEOUT,
        trust_env=False,
        raise_for_status=False,
        trace_configs=[progress_traces()],
        **header_limits(),
    )
    # aiohttp sends idempotent requests again by itself; attempts are ours to count.
    session._retry_connection = False  # noqa: SLF001 - its own tests use the same switch
    return session


_FOREIGN_HEADERS = (("Accept-Encoding", "identity"), ("User-Agent", "aiotokengate"))
_NO_CREDENTIALS = 407
_ELSEWHERE = range(300, 400)
MOST_REDIRECTS = 10


def _origin(url: str) -> str:
    """Return what all addresses of a host begin with."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/"


def _leads_on(
    method: str, url: str, response: aiohttp.ClientResponse | Response, *, ours: bool
) -> str | None:
    """Return where an answer stands, if it is to be fetched there."""
    from aiotokengate._http.redirects import onward

    location = response.headers.get("Location", "")
    return onward(method, url, response.status, location, ours=ours)


def _fit(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return those of a call's headers that another host may know."""
    from aiotokengate._http.redirects import travelling

    return travelling(headers)


def _check_coding(response: aiohttp.ClientResponse | Response) -> None:
    """Refuse a body that is packed in a way that nobody here undoes, and would be taken as it is.

    A name that is no way to pack, as servers send it ("utf-8", "aws-chunked"), is no harm.
    """
    coding = response.headers["Content-Encoding"].strip().lower()
    ways = {way.strip() for way in coding.split(",")}
    if coding not in _UNPACKED and ways & _PACKED:
        from aiotokengate._http.failures import packed

        response.close()
        raise packed(coding)


_GOOD = range(200, 300)
_UNPACKED = frozenset(("gzip", "deflate", "br", "zstd"))
"""What aiohttp decodes, one alone."""
_PACKED = _UNPACKED | {"x-gzip", "compress", "x-compress"}
"""Codings of the register (RFC 9110, 18.6; RFC 8878), and their old names."""


def _multipart(form: Form) -> aiohttp.MultipartWriter:
    """Return a form as aiohttp sends it: files in pieces, their names as they are."""
    data = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
    for name, text in form.fields:
        data.add_field(name, text)
    for part in form.files:
        source = part.source
        value = source.open("rb") if isinstance(source, Path) else source
        data.add_field(part.name, value, filename=part.filename, content_type=part.content_type)
    return cast("aiohttp.MultipartWriter", data())


def _failed(
    error: Exception, progress: Progress, connect: float | None, foreign: str
) -> TokenGateError:
    from aiotokengate._http.failures import failed

    return failed(error, progress, connect, foreign)
