"""Real exchanges, recorded with their timing into a file that people can read, and replayed.

Strategy.  A recorder is a small server on loopback that passes everything on to a gateway and
notes what comes back, write by write, with the seconds between; so it works with any client, and a
character that was cut between two writes is cut there again.  Keys are masked before anything is
kept, by signs of the same number, so that no cut moves.  A replay is a list of such exchanges,
each answered once, in order.

The file is JSON: text as it is, and what is no text in base64.
"""

from __future__ import annotations

import asyncio
import re
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import aiohttp
import attrs
import orjson
from aiohttp import web

from aiotokengate.testing.request import GatewayRequest
from aiotokengate.testing.script import Pause, Raw

__all__ = ["Exchange", "Recorder", "Recording", "Replay"]

Json: TypeAlias = Any

VERSION = 1
BODY_LIMIT = 128 * 1024 * 1024

_KEY = re.compile(rb"(?<=sk-)[A-Za-z0-9_-]{4,}")
_QUERY_KEY = re.compile(r"(?<=\bkey=)[^&]+")
_SECRET = ("authorization", "x-api-key", "x-goog-api-key", "cookie", "set-cookie")
_HOP_BY_HOP = (
    *("connection", "content-length", "content-encoding", "date", "host", "keep-alive"),
    *("server", "transfer-encoding", "upgrade", "accept-encoding"),
)


@attrs.frozen
class Exchange:
    """One request and its answer.

    Attributes:
        method: of HTTP.
        path: with its query; beside ``/v1`` it begins with ``../``.
        request: the body that was sent.
        status: of the answer.
        headers: of the answer, without those of the connection itself.
        writes: the pieces of the body, each with the seconds since the one before.
        cut: whether the answer ended without its end.
    """

    method: str
    path: str
    request: bytes = attrs.field(repr=False)
    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    writes: Sequence[tuple[float, bytes]] = attrs.field(repr=False)
    cut: bool = False

    def raw(self, *, rhythm: bool) -> Raw:
        """Give the answer as a script of the fake gateway."""
        body: list[bytes | Pause] = []
        for seconds, data in self.writes:
            if rhythm and seconds > 0:
                body.append(Pause(seconds))
            body.append(data)
        end: Literal["close", "keep"] = "close" if self.cut else "keep"
        return Raw(status=self.status, body=body, headers=self.headers, end=end)


@attrs.frozen
class Recording:
    """Exchanges in their order.

    Raises:
        ValueError: a file is no recording.
    """

    exchanges: tuple[Exchange, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file."""
        try:
            whole = orjson.loads(Path(path).read_bytes())
            if whole["version"] != VERSION:
                message = f"expected a recording of version {VERSION}, got {whole['version']!r}"
                raise ValueError(message)
            return cls(tuple(map(_read, whole["exchanges"])))
        except (KeyError, TypeError, orjson.JSONDecodeError) as error:
            message = f"expected a recording in {str(path)!r}: {type(error).__name__}: {error}"
            raise ValueError(message) from None

    def save(self, path: str | Path) -> None:
        """Write a file."""
        whole = {"version": VERSION, "exchanges": [_written(one) for one in self.exchanges]}
        Path(path).write_bytes(orjson.dumps(whole, option=orjson.OPT_INDENT_2) + b"\n")


class Replay:
    """Answers requests from a recording, each exchange once."""

    def __init__(self, recording: Recording, *, rhythm: bool) -> None:
        """Begin before the first exchange; ``rhythm`` is whether to wait as the gateway did."""
        self._left = list(recording.exchanges)
        self._rhythm = rhythm

    def answer(self, record: GatewayRequest) -> Raw:
        """Give the next answer to such a request; to another one an error that says so."""
        asked = (record.method, _place(record.path, record.query))
        for exchange in self._left:
            if (exchange.method, exchange.path) == asked:
                self._left.remove(exchange)
                return exchange.raw(rhythm=self._rhythm)
        left = ", ".join(f"{one.method} {one.path}" for one in self._left[:5]) or "nothing more"
        message = f"the recording holds no {asked[0]} {asked[1]} here, but {left}"
        body = orjson.dumps({"error": {"message": message, "type": "replay_error"}})
        return Raw(status=404, body=body, headers={"Content-Type": "application/json"})


class Recorder:
    """Stands before a gateway and records what passes.

    ::

        async with Recorder("qwen.json", base_url="https://wan.vnet.com/v1") as recorder:
            async with TokenGate(base_url=recorder.base_url) as gate:
                await gate.chat("qwen3.6-plus", "你好 👋")

    The file is written at the end, without any key; replay it with
    :meth:`FakeGateway.replay <aiotokengate.testing.FakeGateway.replay>`.

    Attributes:
        recording: what has passed so far.
    """

    def __init__(self, path: str | Path, *, base_url: str) -> None:
        """Describe a recorder; it runs inside ``async with``.

        Args:
            path: of the file to write.
            base_url: of the gateway, ends in ``/v1``.
        """
        self.recording = Recording()
        self._path = path
        self._target = base_url.rstrip("/")
        self._runner: web.AppRunner | None = None
        self._client: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        """Show what stands behind it."""
        return f"<Recorder of {self._target}, {len(self.recording.exchanges)} exchanges>"

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
        return f"http://{host}:{port}/v1"

    async def __aenter__(self) -> Self:
        """Listen on loopback."""
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_route("*", "/{tail:.*}", self._pass_on)
        self._client = aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop, and write the file."""
        assert self._runner is not None  # noqa: S101 - it was entered
        assert self._client is not None  # noqa: S101 - the same
        await self._runner.cleanup()
        await self._client.close()
        self._runner = None
        await asyncio.to_thread(self.recording.save, self._path)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        assert self._client is not None  # noqa: S101 - it is running
        body = await request.read()
        place = _place(request.path, request.query_string)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _HOP_BY_HOP
        }
        async with self._client.request(
            request.method,
            self._address(place),
            data=body or None,
            headers={**headers, "Accept-Encoding": "identity"},
            allow_redirects=False,
        ) as answer:
            tape = _Tape(request, place, body, answer)
            try:
                return await tape.copy()
            finally:
                self.recording = Recording((*self.recording.exchanges, tape.exchange()))

    def _address(self, place: str) -> str:
        if place.startswith("../"):
            return self._target.removesuffix("/v1") + place[2:]
        return self._target + place


class _Tape:
    """One answer on its way through, and what was noted of it."""

    def __init__(
        self, request: web.Request, place: str, body: bytes, answer: aiohttp.ClientResponse
    ) -> None:
        self._request = request
        self._place = place
        self._body = body
        self._answer = answer
        self._writes: list[tuple[float, bytes]] = []
        self._cut = True

    async def copy(self) -> web.StreamResponse:
        """Hand the answer on, piece by piece, as it comes; a cut one is cut here, too."""
        answer = self._answer
        response = web.StreamResponse(status=answer.status, headers=_kept(answer.headers))
        await response.prepare(self._request)
        before = time.monotonic()
        try:
            while data := await answer.content.readany():
                now = time.monotonic()
                self._writes.append((round(now - before, 4), data))
                before = now
                await response.write(data)
        except aiohttp.ClientError:
            if self._request.transport is not None:
                self._request.transport.abort()
            return response
        self._cut = False
        await response.write_eof()
        return response

    def exchange(self) -> Exchange:
        """Give what was noted, without keys."""
        return Exchange(
            method=self._request.method,
            path=_QUERY_KEY.sub("***", self._place),
            request=_masked(self._body),
            status=self._answer.status,
            headers={
                name: _masked(value.encode()).decode() if name.lower() not in _SECRET else "***"
                for name, value in _kept(self._answer.headers).items()
            },
            writes=_masked_writes(self._writes),
            cut=self._cut,
        )


def _place(path: str, query: str) -> str:
    """Give a path under ``/v1``, or one that stands beside it."""
    whole = f"{path}?{_QUERY_KEY.sub('***', query)}" if query else path
    return whole.removeprefix("/v1") if whole.startswith("/v1/") else f"..{whole}"


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    # f"{name}": aiohttp's names are a kind of text that JSON does not take.
    kept = ((f"{name}", value) for name, value in headers.items())
    return {name: value for name, value in kept if name.lower() not in _HOP_BY_HOP}


def _masked(data: bytes) -> bytes:
    """Put as many stars in place of everything that looks like a key."""
    return _KEY.sub(lambda found: b"*" * len(found[0]), data)


def _masked_writes(writes: Sequence[tuple[float, bytes]]) -> list[tuple[float, bytes]]:
    """Mask keys also where they were cut between two writes."""
    whole = _masked(b"".join(data for _, data in writes))
    masked, start = [], 0
    for seconds, data in writes:
        masked.append((seconds, whole[start : start + len(data)]))
        start += len(data)
    return masked


# --- the file -----------------------------------------------------------------------------------


def _written(exchange: Exchange) -> Json:
    return {
        "method": exchange.method,
        "path": exchange.path,
        "request": _said(exchange.request),
        "status": exchange.status,
        "headers": dict(exchange.headers),
        "writes": [[seconds, _said(data)] for seconds, data in exchange.writes],
        "cut": exchange.cut,
    }


def _read(fields: Mapping[str, Json]) -> Exchange:
    return Exchange(
        method=fields["method"],
        path=fields["path"],
        request=_bytes(fields["request"]),
        status=fields["status"],
        headers=fields["headers"],
        writes=[(seconds, _bytes(data)) for seconds, data in fields["writes"]],
        cut=fields["cut"],
    )


def _said(data: bytes) -> Json:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}


def _bytes(said: Json) -> bytes:
    return said.encode() if isinstance(said, str) else b64decode(said["base64"])
