"""Real exchanges, recorded with their timing into a file that people can read.

Strategy.  A recorder is a small server on loopback that passes everything on to a gateway and
notes what comes back, write by write, with the seconds between; so it works with any client, and a
character that was cut between two writes is cut there again.  Keys are masked when what was noted
is looked at or written, by signs of the same number, so that no cut moves: the keys that the
requests brought along, wherever they stand, and what looks like one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Self

import aiohttp
import attrs
from aiohttp import web

from aiotokengate._http.connectors import make_connector, through
from aiotokengate._http.keys import stripped
from aiotokengate._http.proxies import Proxy, environment_proxy
from aiotokengate.errors import CallerError
from aiotokengate.testing._masking import Secrets, masked_path
from aiotokengate.testing._recording import Exchange, Recording, private_file

__all__ = ["Recorder"]

BODY_LIMIT = 128 * 1024 * 1024
LAST_SECONDS = 1.0
"""How long what is still passing may take when a recorder ends."""

_HOP_BY_HOP = (
    *("connection", "content-length", "content-encoding", "date", "host", "keep-alive"),
    *("server", "transfer-encoding", "upgrade", "accept-encoding"),
)


class Recorder:
    """Stands before a gateway and records what passes.

    ::

        async with Recorder("qwen.json", base_url="https://wan.vnet.com/v1") as recorder:
            async with TokenGate(base_url=recorder.base_url) as gate:
                await gate.chat("qwen3.6-plus", "你好 👋")

    The file is written at the end, without any key; replay it with
    :meth:`FakeGateway.replay <aiotokengate.testing.FakeGateway.replay>`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        base_url: str,
        host: str = "127.0.0.1",
        port: int = 0,
        now: Callable[[], float] = time.monotonic,
        log: Callable[[str], object] | None = None,
    ) -> None:
        """Describe a recorder; it runs inside ``async with``.

        Args:
            path: of the file to write.
            base_url: of the gateway, ends in ``/v1``.
            host: the address to listen on.
            port: the port to listen on; 0 picks a free one.
            now: the time, in seconds; a virtual clock's may stand here.
            log: called with one line for each exchange, without key or content.

        Raises:
            ValueError: ``base_url`` is no address.
        """
        base_url = stripped(base_url)
        if not base_url.startswith(("http://", "https://")):
            message = f"expected base_url to begin with http:// or https://, got {base_url!r}"
            raise ValueError(message)
        self._path = Path(path)
        self._target = base_url.rstrip("/")
        self._listen = (host, port)
        self._now = now
        self._log = log
        self._secrets = Secrets()
        self._tapes: list[_Tape] = []
        self._runner: web.AppRunner | None = None
        self._proxy: Proxy | None = None
        self._running = AsyncExitStack()

    def __repr__(self) -> str:
        """Show what stands behind it."""
        return f"<Recorder of {self._target}, {len(self._tapes)} exchanges>"

    @property
    def recording(self) -> Recording:
        """What has passed so far, in the order in which it was asked for."""
        return Recording(tuple(tape.exchange(self._secrets) for tape in self._tapes))

    @property
    def base_url(self) -> str:
        """Where to send requests.

        Raises:
            RuntimeError: it isn't running.
        """
        if self._runner is None:
            message = "expected a recorder that is running: enter it"
            raise RuntimeError(message)
        host, port = self._runner.addresses[0][:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            OSError: the file can't be written, or the port is taken.
            ValueError: the environment names a proxy that can't be used.
        """
        self._proxy = _proxy_to(self._target)
        # Now, and not when all that is to be kept is there.
        await asyncio.to_thread(lambda: private_file(self._path).close())
        client = _client(self._proxy)
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_route("*", "/{tail:.*}", partial(self._pass_on, client))
        runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=LAST_SECONDS
        )
        async with AsyncExitStack() as stack:
            stack.push_async_callback(client.close)
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            await web.TCPSite(runner, *self._listen).start()
            self._running = stack.pop_all()
        self._runner = runner
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop, and write the file."""
        try:
            await self._running.aclose()
        finally:
            self._runner = None
            await asyncio.to_thread(self.recording.save, self._path)

    async def _pass_on(
        self, client: aiohttp.ClientSession, request: web.Request
    ) -> web.StreamResponse:
        body = await request.read()
        place = masked_path(request.path, request.query_string)
        tape = _Tape(request.method, place, body, self._now)
        self._secrets.note(request.headers, request.query_string)
        self._tapes.append(tape)
        try:
            async with await self._forward(client, request, body) as answer:
                return await tape.copy(answer, request)
        except (aiohttp.ClientError, OSError) as error:
            tape.trouble = type(error).__name__  # its text may hold a proxy's password
            # Neither an answer nor the end of one: so it is for whoever asked here.
            if request.transport is not None:
                request.transport.close()
            return web.Response()
        finally:
            if self._log is not None:
                self._log(f"{tape.method} {tape.place} {tape.outcome}")

    async def _forward(
        self, client: aiohttp.ClientSession, request: web.Request, body: bytes
    ) -> aiohttp.ClientResponse:
        headers = {**_kept(request.headers), "Accept-Encoding": "identity"}
        address = self._address(request.raw_path)
        return await client.request(
            request.method,
            address,
            data=body or None,
            allow_redirects=False,
            **through(self._proxy, address, headers),
        )

    def _address(self, path: str) -> str:
        if path.startswith("/v1/"):
            return self._target + path.removeprefix("/v1")
        return self._target.removesuffix("/v1") + path


def _proxy_to(address: str) -> Proxy | None:
    try:
        return environment_proxy(address)
    except CallerError as error:
        raise ValueError(str(error)) from None


def _client(proxy: Proxy | None) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=make_connector(proxy, str),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        skip_auto_headers=("Content-Type", "User-Agent"),
    )


@attrs.define(eq=False)
class _Tape:
    """One exchange on its way through, as it is, keys and all."""

    method: str
    place: str
    request: bytes
    _now: Callable[[], float]
    status: int | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict)
    writes: list[tuple[float, bytes]] = attrs.field(factory=list)
    cut: bool = True
    wait: float = 0.0
    trouble: str = ""
    _last: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin to count."""
        self._last = self._now()

    @property
    def outcome(self) -> str:
        """The status, and whether the answer was cut; what was in the way of one."""
        if self.status is None:
            return f"no answer: {self.trouble}" if self.trouble else "no answer"
        return f"{self.status} cut" if self.cut else str(self.status)

    async def copy(
        self, answer: aiohttp.ClientResponse, request: web.Request
    ) -> web.StreamResponse:
        """Hand the answer on, piece by piece, as it comes.

        Raises:
            aiohttp.ClientError: it was cut.
        """
        self.wait = self._since_last()
        self.status, self.headers = answer.status, _kept(answer.headers)
        response = web.StreamResponse(status=answer.status, headers=self.headers)
        await response.prepare(request)
        while data := await answer.content.readany():
            self.writes.append((self._since_last(), data))
            await response.write(data)
        self.cut = False
        await response.write_eof()
        return response

    def _since_last(self) -> float:
        now = self._now()
        passed, self._last = now - self._last, now
        return round(passed, 4)

    def exchange(self, secrets: Secrets) -> Exchange:
        """Return what was noted, without keys."""
        return Exchange(
            method=self.method,
            path=secrets.hidden(self.place.encode()).decode(),
            request=secrets.hidden(self.request),
            status=self.status,
            headers={name: secrets.header(name, value) for name, value in self.headers.items()},
            writes=secrets.hidden_writes(self.writes),
            cut=self.cut,
            wait=self.wait,
        )


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    # f"{name}": aiohttp's names are a kind of text that JSON does not take.
    kept = ((f"{name}", value) for name, value in headers.items())
    return {name: value for name, value in kept if name.lower() not in _HOP_BY_HOP}
