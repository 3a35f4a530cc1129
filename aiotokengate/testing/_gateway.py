"""A TokenGate on loopback, for tests and for trying things without a key.

Strategy.  aiohttp's server does the HTTP.  A request is recorded, its key and the limits are
checked, and then the first of these answers: what a test has scripted for its path, the route of
its path, or the 404 of the gateway.  Whatever answers ends up as steps (``_render.py``): bytes to
write, and what to wait for between them.  All waiting goes through one function that can be
replaced.  No state is kept but the list of requests, what was used of the limits
(``_gate_limits.py``), and what a protocol has to remember of its replies (``_memory.py``).
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from ssl import SSLContext
from typing import Self, cast

from aiohttp import web

from aiotokengate.testing._answers import billed, compose, counts
from aiotokengate.testing._chat_request import ChatRequest, Refusal, read_chat
from aiotokengate.testing._connection import Connection
from aiotokengate.testing._dialects import Exchange
from aiotokengate.testing._enforcer import Enforcer
from aiotokengate.testing._gate_limits import GateLimits, Limits
from aiotokengate.testing._gemini import GeminiPayloads
from aiotokengate.testing._idempotency import IdempotencyKeys
from aiotokengate.testing._jobs import FILES, JobBoard, JobPlan
from aiotokengate.testing._limits import RateLimit
from aiotokengate.testing._media import media_route
from aiotokengate.testing._messages import MessagesPayloads
from aiotokengate.testing._model_list import model_list_route, unknown_path
from aiotokengate.testing._output import JSON, BareOutput, Output, Player, Sleep, answer_json, sign
from aiotokengate.testing._payloads import ChatPayloads, Payloads, read, read_scripted
from aiotokengate.testing._random_faults import RandomFaults
from aiotokengate.testing._recording import Recording, Replay
from aiotokengate.testing._render import render_plain, render_stream, render_whole
from aiotokengate.testing._request import GatewayRequest, given_key
from aiotokengate.testing._responses import ResponsesPayloads
from aiotokengate.testing._script import (
    KeepAlive,
    Pace,
    Pause,
    Raw,
    Script,
    ScriptedReply,
    Thought,
)
from aiotokengate.testing._signals import Level
from aiotokengate.testing._thread import LoopThread

__all__ = ["FakeGateway"]


_DEFAULT_KEY = "sk-fake-gateway-key-for-tests-only"
_BODY_LIMIT = 128 * 1024 * 1024
_SERIAL_DIGITS = 16
_EVENT_STREAM = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


class FakeGateway:
    """A gateway that speaks TokenGate's wire, with every model's own way of answering.

    In the test's own event loop, in a thread, or as the pytest fixture ``fake_gateway``::

        async with FakeGateway() as gateway:
            async with TokenGate(api_key=gateway.api_key, base_url=gateway.base_url) as gate:
                gateway.script(ScriptedReply(reasoning="想一想", answer="你好！😊"))
                reply = await gate.chat("qwen3.6-max-preview", "在吗？")
                assert gateway.requests[0].json["stream"] is True

        with FakeGateway() as gateway:      # a thread of its own; for any other client
            ...

    Without a script it answers by itself, always the same to the same question; it honours
    ``max_tokens``, ``n``, ``stop``, ``tools``, ``stream_options``, ``response_format`` and each
    family's way of asking for thinking, in all four protocols.  It refuses what the vendors
    refuse, and remembers stored responses and threads of messages.  A request that comes again
    with its ``Idempotency-Key`` gets the first answer again.

    Attributes:
        api_key: the key that is good, the first of several.
        api_keys: all of them.
        requests: what has arrived, the oldest first.
        jobs: the videos and songs, see :class:`JobBoard`.
    """

    def __init__(  # noqa: PLR0913  an entry point, each with its default
        self,
        *,
        api_key: str | None = None,
        api_keys: Sequence[str] | None = None,
        any_key: bool = False,
        limits: Limits = None,
        pace: Pace | None = None,
        keep_alive: KeepAlive | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl: SSLContext | None = None,
        sleep: Sleep = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
        jobs: JobPlan | None = None,
        keep_requests: int = 10_000,
        unreliable: float = 0.0,
        log: Callable[[str], object] | None = None,
    ) -> None:
        """Describe a gateway; it runs inside ``async with``, ``with``, or from ``start()``.

        Args:
            api_key: the key that is good; None is a key of its own.
            api_keys: the keys that are good, where there are several.
            any_key: whether any key that begins with ``sk-`` is good.
            limits: how many requests and tokens are let in, see :class:`RateLimit`; None is as
                many as come.  Every POST with a good key counts, also one that a script answers.
            pace: how fast the models speak; None is as fast as possible.
            keep_alive: the comments sent while a reply is silent; None sends none.
            host: the address to listen on.
            port: the port to listen on; 0 picks a free one.
            ssl: a server's TLS context; then ``base_url`` is ``https``.
            sleep: how to wait, in seconds; a virtual clock's may stand here.
            now: the time of the limits, in seconds; a virtual clock's may stand here.
            jobs: how long videos and music take, see :class:`JobPlan`.
            keep_requests: how many of the last requests ``requests`` keeps, and of the last
                decisions the enforcer's ``history``.
            unreliable: share of the requests that fail, from 0 to 1, in ways that were met in the
                field: half of them get no answer, half a part of one; always the same ones.
            log: called with one line for each answered request, without key or content.

        Raises:
            ValueError: ``api_key`` and ``api_keys`` are both given, or the latter are no keys; or
                ``unreliable`` is no share.
            TypeError: ``limits`` are none.
        """
        self.api_keys: tuple[str, ...] = _good_keys(api_key, api_keys)
        self.api_key: str = self.api_keys[0]
        self.requests: list[GatewayRequest] = []
        self.jobs: JobBoard = JobBoard(jobs or JobPlan(), now)
        self._any_key = any_key
        self._revoked: set[str] = set()
        self._exhausted: set[str] = set()
        self._gate_limits = GateLimits(limits, now, keep_requests)
        self._idempotency_keys = IdempotencyKeys()
        self._silence = keep_alive.line() if keep_alive else b""
        self._player = Player(pace or Pace(), keep_alive, sleep)
        self._host = host
        self._port = port
        self._ssl = ssl
        self._keep_requests = keep_requests
        self._random_faults = RandomFaults(unreliable)
        self._log = log
        self._scripts: dict[str | None, deque[Script]] = {}
        self._replay: Replay | None = None
        self._serial = itertools.count(1)
        self._numbers = itertools.count(1)
        self._received = Level()
        self._open = Level()
        self._busy = Level()
        self._connections: dict[object, Connection] = {}
        self._serving: dict[Connection, GatewayRequest] = {}
        self._protocols: tuple[Payloads, ...] = (
            ChatPayloads(),
            ResponsesPayloads(),
            MessagesPayloads(),
            GeminiPayloads(),
        )
        self._runner: web.AppRunner | None = None
        self._stopping = False
        self._server: asyncio.Server | None = None
        self._thread: LoopThread | None = None

    def __repr__(self) -> str:
        """Show where it listens, without its key."""
        where = self.base_url if self._server else "not running"
        return f"<FakeGateway {where}, {len(self.requests)} requests>"

    # --- life -----------------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """Where to send requests, ``http://127.0.0.1:PORT/v1``.

        Raises:
            RuntimeError: the gateway isn't running.
        """
        if self._server is None or not self._server.sockets:
            message = "expected a running gateway: enter it, or call start()"
            raise RuntimeError(message)
        host, port, *_ = self._server.sockets[0].getsockname()
        scheme = "https" if self._ssl else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/v1"

    async def start(self) -> Self:
        """Listen, in the running event loop.

        Raises:
            RuntimeError: it runs already.
            OSError: the port is taken, or the address isn't ours.
        """
        if self._runner is not None:
            message = "expected a gateway that isn't running yet"
            raise RuntimeError(message)
        self._stopping = False
        self._runner, new_handler = await self._set_up()
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Connection(next(self._numbers), new_handler(), self._made, self._lost),
                self._host,
                self._port,
                ssl=self._ssl,
                backlog=socket.SOMAXCONN,  # thousands of calls may come at once
            )
        except OSError:
            await self.stop()
            raise
        return self

    async def _set_up(self) -> tuple[web.AppRunner, Callable[[], web.RequestHandler]]:
        app = web.Application(client_max_size=_BODY_LIMIT)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        # A client that leaves must end its reply at once, also while the reply waits.
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
        await runner.setup()
        # What aiohttp calls its server is a factory of protocols; it listens nowhere itself.
        return runner, cast("Callable[[], web.RequestHandler]", runner.server)

    async def stop(self) -> None:
        """Stop listening, and end what is still going on; harmless when it isn't running."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        self._serving.clear()
        for connection in list(self._connections.values()):
            connection.abort()
        await self._open.until(_is_zero)
        await self._busy.until(_is_zero)
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = self._server = None

    async def __aenter__(self) -> Self:
        """Start in the running event loop."""
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    def __enter__(self) -> Self:
        """Start in a thread with an event loop of its own."""
        self._thread = LoopThread(self.start, self.stop)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and end the thread."""
        if self._thread is not None:
            self._thread.end()
            self._thread = None

    # --- what tests ask and say -----------------------------------------------------------------

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return int(self._open.value)

    def script(self, *replies: Script, path: str | None = None) -> None:
        """Queue answers for the next requests, before the gateway's own.

        Each request with a good key takes one, in order.  A tuple of replies is one answer
        with a reply for each choice.  Without a ``path`` they are for the next questions to a
        model, whichever protocol these come in; with one, for the requests to that path.
        """
        for reply in replies:
            if not isinstance(reply, ScriptedReply | Raw | tuple) and not callable(reply):
                got = type(reply).__name__
                message = f"expected a ScriptedReply, a Raw or an async function, got {got}"
                raise TypeError(message)
        self._scripts.setdefault(path, deque()).extend(replies)

    def unscript(self) -> None:
        """Forget all queued answers."""
        self._scripts.clear()

    def replay(self, recording: Recording | str | Path, *, rhythm: bool = False) -> None:
        """Answer from a recording and from nothing else, each exchange once.

        Args:
            recording: one, or the path of its file.
            rhythm: whether to wait between the writes as the gateway did.

        Raises:
            ValueError: the file is no recording.
        """
        if not isinstance(recording, Recording):
            recording = Recording.load(recording)
        self._replay = Replay(recording, rhythm=rhythm)

    async def wait_requests(self, number: int = 1) -> GatewayRequest:
        """Wait until so many requests have arrived in all; return the last of them."""
        await self._received.until(lambda value: value >= number)
        return self.requests[-1]

    async def wait_connections(self, number: int = 0) -> None:
        """Wait until exactly so many connections are open."""
        await self._open.until(lambda value: value == number)

    async def wait_disconnected(self, request: GatewayRequest | None = None) -> None:
        """Wait until the client left before its reply was done; None is the last request.

        Raises:
            IndexError: there was no request yet.
        """
        await (request or self.requests[-1]).disconnected.wait()

    # --- limits and keys ------------------------------------------------------------------------

    @property
    def enforcer(self) -> Enforcer:
        """What has counted calls and refusals since there were limits."""
        return self._gate_limits.enforcer

    @property
    def limits(self) -> tuple[RateLimit, ...]:
        """The limits that hold; set them to one, several or None at any time.

        What is used stays used, as :meth:`Enforcer.change` says.
        """
        return self.enforcer.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._gate_limits.change(limits)

    def revoke(self, key: str) -> None:
        """Refuse a key from now on: 401, as new-api does with one that was deleted.

        Raises:
            ValueError: the key was never good.
        """
        self._revoked.add(self._own(key))

    def exhaust(self, key: str) -> None:
        """Let a key have no money left: 403 ``insufficient_user_quota`` for whatever costs.

        Raises:
            ValueError: the key was never good.
        """
        self._exhausted.add(self._own(key))

    def restore(self, key: str) -> None:
        """Let a key be good again that was revoked or exhausted.

        Raises:
            ValueError: the key was never good.
        """
        self._revoked.discard(self._own(key))
        self._exhausted.discard(key)

    def _own(self, key: str) -> str:
        if not self._is_good(key):
            message = "expected a key that this gateway takes, got another one"
            raise ValueError(message)
        return key

    def _is_good(self, key: str) -> bool:
        return key.startswith("sk-") if self._any_key else key in self.api_keys

    # --- connections ----------------------------------------------------------------------------

    def _made(self, connection: Connection) -> None:
        self._connections[connection.handler] = connection
        self._open.change(1)
        if self._stopping:  # accepted by the operating system a moment before
            connection.abort()

    def _lost(self, connection: Connection) -> None:
        self._connections.pop(connection.handler, None)
        request = self._serving.pop(connection, None)
        if request is not None:
            # Here and not only where its task ends: that is a turn of the loop later, and the
            # client's next request may be faster.
            self._gate_limits.leave(request)
            if not request.finished:
                request.disconnected.set()
        self._open.change(-1)

    # --- one request ----------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._busy.change(1)
        try:
            return await self._serve(request)
        finally:
            self._busy.change(-1)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        connection = self._connections[request.protocol]
        record = await self._record(request, connection)
        self._serving[connection] = record
        response: web.StreamResponse = web.Response()
        try:
            response = await self._answer(request, record)
            self._tell_limits(response, record)
            await _send(request, response, record)
        except asyncio.CancelledError:
            self._note(record, "client left")
            raise
        except ConnectionError:
            # A write can fail before the connection is told that it is lost.
            if not record.finished:
                record.disconnected.set()
            self._note(record, "client left")
        else:
            self._note(record, str(response.status))
        finally:
            self._serving.pop(connection, None)
            self._gate_limits.leave(record)
        return response

    def _note(self, record: GatewayRequest, outcome: str) -> None:
        if self._log is not None:
            self._log(f"{record.method} {record.path} {outcome}")

    async def _record(self, request: web.Request, connection: Connection) -> GatewayRequest:
        serial = next(self._serial)
        record = GatewayRequest(
            method=request.method,
            path=request.path,
            query=request.query_string,
            headers=request.headers,
            body=await request.read(),
            connection=connection.number,
            peername=request.transport.get_extra_info("peername") if request.transport else (),
            request_id=f"{time.strftime('%Y%m%d%H%M%S')}{serial:0{_SERIAL_DIGITS}d}",
        )
        self.requests.append(record)
        del self.requests[: max(0, len(self.requests) - self._keep_requests)]
        self._received.change(1)
        return record

    async def _answer(self, request: web.Request, record: GatewayRequest) -> web.StreamResponse:
        if record.path.startswith(FILES):
            return await self._route(request, record)
        try:
            key = self._check_key(record)
            return await self._idempotency_keys.answer(
                record, key, partial(self._admitted, request, record, key)
            )
        except Refusal as refusal:
            payloads = self._payloads(record) or self._counting(record) or self._protocols[0]
            body = payloads.refused(refusal, record.request_id)
            return web.Response(status=refusal.status, body=body, headers=JSON)

    async def _admitted(
        self, request: web.Request, record: GatewayRequest, key: str
    ) -> web.StreamResponse:
        """Answer a request, if the limits let it in."""
        if self._gate_limits.limited and record.method == "POST":
            # Who left in the same moment has left: aiohttp may begin with this request
            # before asyncio has told it that another's connection is lost, which takes a
            # turn of the loop, and from Python 3.12 on, where tasks begin at once, two.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if (turned_away := self._gate_limits.admit(record, key)) is not None:
                return await self._raw(request, record, turned_away)
        return await self._route(request, record)

    def _payloads(self, record: GatewayRequest) -> Payloads | None:
        """Return the protocol of a question to a model."""
        if record.method != "POST":
            return None
        return next((payloads for payloads in self._protocols if payloads.takes(record)), None)

    def _counting(self, record: GatewayRequest) -> Payloads | None:
        """Return the protocol of a question for the number of its own tokens."""
        if record.method != "POST":
            return None
        return next((payloads for payloads in self._protocols if payloads.counts(record)), None)

    def _check_key(self, record: GatewayRequest) -> str:
        key = given_key(record)
        if not key:
            raise Refusal(401, "未提供令牌 / no token provided")
        if not self._is_good(key) or key in self._revoked:
            raise Refusal(401, "无效的令牌 / invalid token")
        if key in self._exhausted and record.method == "POST":
            message = "用户额度不足，剩余额度：0 / user quota is not enough"
            raise Refusal(403, message, param="", code="insufficient_user_quota")
        return key

    async def _route(self, request: web.Request, record: GatewayRequest) -> web.StreamResponse:
        if self._replay is not None:
            return await self._raw(request, record, self._replay.answer(record))
        if record.method == "POST" and (fault := self._random_faults.instead()) is not None:
            return await self._raw(request, record, fault)
        payloads = self._payloads(record)
        queue = self._scripts.get(record.path) or (self._scripts.get(None) if payloads else None)
        if queue:
            return await self._scripted(request, record, queue.popleft())
        if payloads is not None:
            chat = read(payloads, record)
            return await self._reply(request, record, chat, compose(chat))
        if (counting := self._counting(record)) is not None:
            tokens = read_chat(counting.body(record)).prompt_tokens
            return answer_json(counting.counted(tokens))
        place = (record.method, record.path)
        route = model_list_route(*place) or media_route(*place) or self.jobs.route(*place)
        return await route(request, record) if route else unknown_path(record)

    def _tell_limits(self, response: web.StreamResponse, record: GatewayRequest) -> None:
        """Add what the answer tells about the limits, unless its head is sent already."""
        for name, value in self._gate_limits.headers(record).items():
            if not response.prepared:
                response.headers.setdefault(name, value)

    # --- chat -----------------------------------------------------------------------------------

    async def _scripted(
        self, request: web.Request, record: GatewayRequest, script: Script
    ) -> web.StreamResponse:
        if isinstance(script, Raw):
            return await self._raw(request, record, script)
        if isinstance(script, ScriptedReply):
            script = (script,)
        if isinstance(script, tuple):
            payloads = self._payloads(record) or self._protocols[0]
            chat = read_scripted(payloads, record, script[0].model)
            replies = script * chat.choices if len(script) == 1 else script
            return await self._reply(request, record, chat, replies)
        response = await script(request)
        self._gate_limits.answered(record, response.status)
        return response

    async def _reply(
        self,
        request: web.Request,
        record: GatewayRequest,
        chat: ChatRequest,
        replies: tuple[ScriptedReply, ...],
    ) -> web.StreamResponse:
        payloads = self._payloads(record) or self._protocols[0]
        exchange = _exchange(record, chat, replies)
        dialect = payloads.dialect(exchange, chat, record)
        keep = payloads.memory(record)
        usage = replies[0].usage
        spoken = counts(chat.prompt_tokens, replies) if usage is None else billed(usage)
        usage = dialect.usage(spoken) if usage is None else usage
        response = web.StreamResponse(headers=_EVENT_STREAM if chat.stream else JSON)
        self._tell_limits(response, record)
        output = Output(request, response, record, self._idempotency_keys.pieces(record))
        if chat.stream:
            swallow = chat.stream_options.get("include_usage") is False
            steps = render_stream(dialect, replies, usage, swallow=swallow)
            silence = self._silence
        else:
            # DeepSeek sends blank lines before a plain answer that is not ready yet.
            steps = render_plain(dialect, replies, usage)
            silence = b"\n" if self._silence else b""
        metered = self._gate_limits.metered(record, steps, spoken)
        if (cut := self._random_faults.cut()) is not None:
            await self._player.play(output, itertools.islice(metered, cut[0]), silence)
            connection = self._connections[request.protocol]
            await _end_early(output, connection, record, Raw(end=cut[1]))
            return response
        await self._player.play(output, metered, silence)
        if keep is not None:
            # Before the end leaves: the next request may come sooner than this one is done.
            keep(render_whole(payloads.dialect(exchange, chat, record), replies, usage))
        await output.end(whole=not chat.stream)
        return response

    # --- bytes as they are ----------------------------------------------------------------------

    async def _raw(
        self, request: web.Request, record: GatewayRequest, raw: Raw
    ) -> web.StreamResponse:
        connection = self._connections[request.protocol]
        response = web.StreamResponse(status=raw.status or 200, headers=raw.headers)
        response.headers.setdefault("Content-Type", _EVENT_STREAM["Content-Type"])
        self._tell_limits(response, record)
        self._gate_limits.answered(record, raw.status)
        output = Output(request, response, record, self._idempotency_keys.pieces(record))
        if raw.status is None:
            output = BareOutput(request, response, record, connection=connection)
        await self._player.play(output, (Pause(raw.wait),))
        await output.begin()
        await self._write_raw(output, connection, raw)
        self._gate_limits.answered(record, raw.status, raw.steps())
        if raw.end == "keep" and raw.status is not None:
            await output.end()
        else:
            self._idempotency_keys.cut(record)
            await _end_early(output, connection, record, raw)
        return response

    async def _write_raw(self, output: Output, connection: Connection, raw: Raw) -> None:
        steps = raw.steps()
        for number, step in enumerate(steps, 1):
            await self._player.play(output, (step,))
            # What is last may leave together with the end of the body.
            if number < len(steps) or raw.end != "keep":
                await output.flush()
                await connection.written()


async def _end_early(
    output: Output, connection: Connection, record: GatewayRequest, raw: Raw
) -> None:
    await output.flush()
    await connection.written()
    if raw.end == "hang":
        await asyncio.get_running_loop().create_future()
    record.finished.set()
    if raw.end == "reset":
        connection.reset()
    else:
        connection.close()


async def _send(
    request: web.Request, response: web.StreamResponse, record: GatewayRequest
) -> None:
    """Send what was not sent yet, so that ``finished`` means what it says."""
    if record.finished:
        return
    sign(response, record)
    await response.prepare(request)
    await response.write_eof()
    record.finished.set()


def _good_keys(one: str | None, several: Sequence[str] | None) -> tuple[str, ...]:
    if several is None:
        return (_DEFAULT_KEY if one is None else one,)
    if one is not None:
        message = "expected api_key or api_keys, got both"
        raise ValueError(message)
    wrong = [key for key in several if not isinstance(key, str) or not key]
    if isinstance(several, str) or not several or wrong:
        got = "one text" if isinstance(several, str) else f"{len(several)}, {len(wrong)} unusable"
        message = f"api_keys: expected a sequence of keys, none of them empty, got {got}"
        raise ValueError(message)
    return tuple(several)


def _is_zero(value: float) -> bool:
    return value == 0


def _exchange(
    record: GatewayRequest, chat: ChatRequest, replies: tuple[ScriptedReply, ...]
) -> Exchange:
    thoughts = (isinstance(part, Thought) and part.text for part in replies[0].all_parts())
    return Exchange(
        serial=int(record.request_id[-_SERIAL_DIGITS:]),
        created=int(time.time()),
        model=chat.model.id,
        thinks=chat.thinks or any(thoughts),
        padded=chat.stream_options.get("include_obfuscation") is not False,
    )
