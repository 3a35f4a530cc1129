"""The session: one key, one address, and the one path that every request takes.

An attempt is sent and primed until its first delta exists; up to there a failure may be tried
again, afterwards never.  The decision is :func:`aiotokengate.policy.retry.next_wait`'s alone.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import traceback
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack
from urllib.parse import urlsplit

import attrs

from aiotokengate.catalogue import CATALOGUE, Catalogue
from aiotokengate.clock import Clock, RealClock
from aiotokengate.errors import CallerError, StatusError, TimedOut, TokenGateError, WireError
from aiotokengate.hooks import (
    FirstDelta,
    Hook,
    RequestFinished,
    RequestStarted,
    RetryScheduled,
    emit,
)
from aiotokengate.policy.retry import Retry, next_wait
from aiotokengate.policy.timeouts import Timeout
from aiotokengate.pump import Pump, Terms, Watch, earliest, limited
from aiotokengate.resources.chat import ChatDefaults, ChatOptions, make_call
from aiotokengate.resources.models import ModelInfo, list_models
from aiotokengate.transport import Answer, Transport
from aiotokengate.types import Attempt, ChatParams, Timeline
from aiotokengate.wire.chat_completions import ChatCompletionsDecoder
from aiotokengate.wire.jsontext import loads
from aiotokengate.wire.problems import find_problem, status_error
from aiotokengate.wire.transcript import Transcript

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from aiotokengate.resources.base import Request
    from aiotokengate.resources.chat import Messages
    from aiotokengate.stream import ChatCall

__all__ = ["DEFAULT_BASE_URL", "TokenGate"]

DEFAULT_BASE_URL = "https://wan.vnet.com/v1"
MAX_REPLY_BYTES = 512 * 1024 * 1024

_T = TypeVar("_T")

_NO_KEY = (
    "no API key: set the environment variable TOKENGATE_API_KEY, or pass TokenGate(api_key='sk-...')\n"
    "缺少 API key：请设置环境变量 TOKENGATE_API_KEY，或传入 TokenGate(api_key='sk-...')"
)


class TokenGate:
    """A session with the gateway: makes calls, keeps connections, applies the policies.

    It may be a module global: it opens connections lazily for each running event loop, and a call
    can never reach a loop that is gone.  As a context manager it closes them at the end.

    Args:
        api_key: the key; ``TOKENGATE_API_KEY`` by default.
        base_url: ends in ``/v1``; ``TOKENGATE_BASE_URL``, else TokenGate's own address.
        timeout: the clocks of a call, see :class:`Timeout`.
        retry: attempts before the first delta, see :class:`Retry`.
        hooks: observers, see :mod:`aiotokengate.hooks`.
        extra_headers: sent with every request.
        extra_body: merged into the body of every chat request.
        proxy: address of a proxy; by default what the environment says, "" for none.
        ssl: a TLS context, or False to accept any certificate.
        max_reply_bytes: a reply larger than this is an error.
        catalogue: what is known of models.
        clock: for simulations.

    Raises:
        CallerError: no key, or an argument is wrong.
    """

    def __init__(  # noqa: PLR0913 - the session's settings
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        pool: None = None,
        timeout: Timeout | None = None,
        retry: Retry | None = None,
        hooks: Iterable[Hook] = (),
        extra_headers: Mapping[str, str] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        proxy: str | None = None,
        ssl: ssl_module.SSLContext | bool = True,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        catalogue: Catalogue = CATALOGUE,
        clock: Clock | None = None,
    ) -> None:
        """Read the settings; nothing is opened."""
        _refuse_unbuilt({"pool": pool})
        self._key = _key(api_key)
        self.base_url = _address(base_url)
        self.timeout = timeout or Timeout()
        self.retry = retry or Retry()
        self._defaults = ChatDefaults(self.timeout, self.retry, extra_body or {}, catalogue)
        self._hooks = tuple(hooks)
        self._clock = clock or RealClock()
        self._max_reply_bytes = max_reply_bytes
        self._headers = {
            "Authorization": f"Bearer {self._key}",
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "aiotokengate",
            **_header_mapping(extra_headers),
        }
        self._transport = Transport(self.base_url, proxy=proxy, ssl=ssl)
        self._watches: dict[asyncio.AbstractEventLoop, Watch] = {}
        self._calls = count(1)
        self._closed = False

    def __repr__(self) -> str:
        """Name the address; never the key."""
        return f"<TokenGate {self.base_url}{' closed' if self._closed else ''}>"

    async def __aenter__(self) -> Self:
        """Enter; connections are opened by the first call."""
        self._check_open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """End what is still streaming on this loop, and close its connections."""
        self._closed = True
        watch = self._watches.pop(asyncio.get_running_loop(), None)
        if watch is not None:
            for pump in tuple(watch.pumps):
                _warn_held(pump)
                pump.stop()
            watch.stop()
        await self._transport.close()

    # --- what can be asked for ------------------------------------------------------------------

    def chat(  # noqa: PLR0913 - the entry point
        self,
        model: str,
        messages: Messages,
        *,
        stream: bool = True,
        reasoning: None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        response_type: None = None,
        fallback: None = None,
        resume: None = None,
        retry: Retry | None = None,
        timeout: Timeout | None = None,
        deadline: float | None = None,
        priority: None = None,
        fair_key: None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **params: Unpack[ChatParams],
    ) -> ChatCall:
        """Ask a model: await the call, iterate it, or enter it.

        Args:
            model: the name, exactly as the gateway lists it.
            messages: a prompt, or the messages as dicts in the API's own form or as ``Message``.
            stream: False sends a plain request, for models that cannot stream.
            tools: functions the model may call, in the API's own form.
            retry: for this call.
            timeout: for this call.
            deadline: seconds for everything together, waiting and all attempts included.
            extra_body: merged into the body as it is.
            extra_headers: sent along.
            params: the API's own parameters under their own names.

        Raises:
            CallerError: an argument is wrong, or an option is not built yet.
        """
        unbuilt = {
            "reasoning": reasoning,
            "response_type": response_type,
            "fallback": fallback,
            "resume": resume,
            "priority": priority,
            "fair_key": fair_key,
        }
        _refuse_unbuilt(unbuilt)
        self._check_open()
        _check_tools(tools)
        options = ChatOptions(
            stream=stream,
            tools=tools,
            retry=retry,
            timeout=timeout,
            deadline=deadline,
            extra_body=extra_body,
            extra_headers=_header_mapping(extra_headers),
        )
        return make_call(self, self._defaults, model, messages, options, params)

    async def models(self) -> tuple[ModelInfo, ...]:
        """List the models that the key may use.

        Raises:
            TokenGateError: see :mod:`aiotokengate.errors`.
        """
        return await list_models(self, timeout=self.timeout, retry=self.retry)

    # --- the request path -----------------------------------------------------------------------

    async def open(self, request: Request) -> Pump:
        """Send, and give the reply once its first delta is there."""
        sending = _Sending(self, request)
        return await sending.until_answered(sending.open_once)

    async def ask(self, request: Request) -> Any:  # noqa: ANN401 - parsed JSON
        """Send, and give the parsed JSON of the answer."""
        sending = _Sending(self, request)
        return await sending.until_answered(sending.ask_once)

    def _watch(self) -> Watch:
        loop = asyncio.get_running_loop()
        watch = self._watches.get(loop)
        if watch is None:
            for dead in [known for known in self._watches if known.is_closed()]:
                del self._watches[dead]
            watch = self._watches[loop] = Watch(self._clock)
        return watch

    def _check_open(self) -> None:
        if self._closed:
            message = "this TokenGate is closed, make a new one"
            raise CallerError(message)


class _Sending:
    """One call on its way: its attempts, its clock, what its observers are told."""

    def __init__(self, gate: TokenGate, request: Request) -> None:
        gate._check_open()
        self._gate = gate
        self._request = request
        self._clock = gate._clock
        self._began = gate._clock.now()
        self._number = next(gate._calls)
        self._timeline = Timeline()
        self._attempts: list[Attempt] = []
        self._fresh = False
        self._watch: Watch | None = None

    async def until_answered(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Make attempts until one answers, or the policy gives up."""
        try:
            while True:
                started = self._passed()
                try:
                    result = await self._within_limits(attempt)
                except TokenGateError as error:
                    await self._after(error, started)
                else:
                    self._succeeded(result, started)
                    return result
        except TokenGateError as error:
            self._finished(error)
            raise
        except BaseException:
            self._finished(None)
            raise

    async def open_once(self) -> Pump:
        """Send once, and read up to the first delta."""
        pump = self._pump(await self._send())
        try:
            await pump.prime()
        except BaseException:
            pump.stop()
            raise
        return pump

    async def ask_once(self) -> Any:  # noqa: ANN401 - parsed JSON
        """Send once, and read the whole JSON."""
        answer = await self._send()
        body = await answer.whole(self._gate._max_reply_bytes)
        try:
            parsed = loads(body)
        except (ValueError, RecursionError):
            message = f"expected JSON, got {len(body)} bytes that are not"
            raise WireError(message, request_id=answer.request_id) from None
        problem = find_problem(parsed)
        if problem is not None:
            raise status_error(None, body, answer.headers, problem=problem)
        return parsed

    # --- one attempt ----------------------------------------------------------------------------

    async def _send(self) -> Answer:
        gate, request = self._gate, self._request
        attempt = len(self._attempts) + 1
        self._tell(RequestStarted(self._number, request.model, request.path, attempt))
        self._timeline.sent = self._passed()
        if self._timeline.admitted is None:
            self._timeline.admitted = self._timeline.sent
        answer = await gate._transport.send(
            request.method,
            gate.base_url + request.path,
            headers={**gate._headers, **request.headers},
            data=request.body,
            connect=request.timeout.connect,
            fresh=self._fresh,
        )
        self._timeline.headers = self._passed()
        if answer.status != 200:  # noqa: PLR2004 - HTTP's own number
            raise await self._refusal(answer)
        return answer

    async def _refusal(self, answer: Answer) -> StatusError:
        body = await answer.error_body()
        error = status_error(answer.status, body, answer.headers)
        if 300 <= answer.status < 400:  # noqa: PLR2004 - HTTP's own numbers
            error.message = f"redirect not followed, it would carry the key away ({answer.status})"
        return error

    def _pump(self, answer: Answer) -> Pump:
        request = self._request
        assert request.dialect is not None  # noqa: S101 - for the type checker
        decoder = ChatCompletionsDecoder(request.dialect, Transcript(request.choices))
        return Pump(
            answer.body,
            decoder,
            request.dialect,
            self._terms(),
            headers=answer.headers,
            request_id=answer.request_id,
            timeline=self._timeline,
        )

    def _terms(self) -> Terms:
        request = self._request
        sent = self._timeline.sent or 0.0
        total = request.timeout.total
        ends = earliest(
            {"total": None if total is None else sent + total, "deadline": request.deadline}
        )
        limit = {"total": total, "deadline": request.deadline}
        return Terms(
            clock=self._clock,
            timeout=request.timeout,
            began=self._began,
            ends_at=ends and self._began + ends[1],
            ends_as=ends and TimedOut(ends[0], limit[ends[0]] or 0.0),
            max_reply_bytes=self._gate._max_reply_bytes,
            prompt_bytes=len(request.body or b""),
        )

    async def _within_limits(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Bound an attempt up to its first content."""
        timeout, deadline = self._request.timeout, self._request.deadline
        left = None if deadline is None else deadline - self._passed()
        first = earliest(
            {"first_event": timeout.first_event, "total": timeout.total, "deadline": left}
        )
        try:
            async with limited(self._clock, first and first[1]):
                return await attempt()
        except TimeoutError as error:
            if isinstance(error, TokenGateError) or first is None:
                raise
        phase, seconds = first
        raise TimedOut(phase, deadline if phase == "deadline" and deadline else seconds)

    # --- between attempts -----------------------------------------------------------------------

    async def _after(self, error: TokenGateError, started: float) -> None:
        """Wait for the next attempt, or raise what ended this one."""
        error.redact((self._gate._key, *self._request.secrets()))
        request = self._request
        wait = next_wait(request.retry, error, len(self._attempts) + 1, random.random)
        if wait is not None and request.deadline is not None:
            wait = wait if self._passed() + wait < request.deadline else None
        self._note(started, error, wait)
        if wait is None:
            error.attempts = tuple(self._attempts)
            raise error
        self._fresh = isinstance(error, ConnectionError)
        self._tell(
            RetryScheduled(self._number, request.model, len(self._attempts), wait, error)
        )
        await self._clock.sleep(wait)

    def _note(self, started: float, error: TokenGateError | None, wait: float | None) -> None:
        attempt = Attempt(
            model=self._request.model,
            started=started,
            seconds=self._passed() - started,
            error=type(error).__name__ if error else None,
            status=error.status if error else 200,
            code=error.code if error else None,
            request_id=error.request_id if error else None,
            wait=wait,
        )
        self._attempts.append(attempt)

    def _succeeded(self, result: object, started: float) -> None:
        self._note(started, None, None)
        if not isinstance(result, Pump):
            self._timeline.done = self._passed()
            self._finished(None)
            return
        result.note_attempts(tuple(self._attempts))
        self._tell(FirstDelta(self._number, self._request.model, self._passed()))
        if result.ended:
            self._pump_ended(result)
            return
        watch = self._watch = self._gate._watch()
        result.on_end = self._pump_ended
        watch.add(result)
        if _debugging():
            result.opened_at = "".join(traceback.format_stack(limit=8)[:-1])

    def _pump_ended(self, pump: Pump) -> None:
        if self._watch is not None:
            self._watch.discard(pump)
        if pump.error is not None:
            pump.error.redact((self._gate._key, *self._request.secrets()))
        if self._gate._hooks:
            self._finished(pump.error, pump)

    def _finished(self, error: TokenGateError | None, pump: Pump | None = None) -> None:
        status = pump.status if pump else None
        event = RequestFinished(
            self._number, self._request.model, status, self._timeline, error=error
        )
        self._tell(attrs.evolve(event, usage=pump.reply().usage) if pump else event)

    def _tell(self, event: Any) -> None:  # noqa: ANN401 - a HookEvent
        if self._gate._hooks:
            emit(self._gate._hooks, event)

    def _passed(self) -> float:
        return self._clock.now() - self._began


# --- settings -----------------------------------------------------------------------------------


def _key(api_key: str | None) -> str:
    key = (api_key if api_key is not None else os.environ.get("TOKENGATE_API_KEY", "")).strip()
    if not key:
        raise CallerError(_NO_KEY)
    if not key.isascii() or not key.isprintable() or " " in key:
        message = "expected an API key of printable ASCII characters without spaces"
        raise CallerError(message)
    return key


def _address(base_url: str | None) -> str:
    address = base_url or os.environ.get("TOKENGATE_BASE_URL") or DEFAULT_BASE_URL
    if not address.startswith(("http://", "https://")):
        message = f"expected base_url to begin with http:// or https://, got {address!r}"
        raise CallerError(message)
    try:
        parts = urlsplit(address)
        _ = parts.port  # parsed only when asked for
    except ValueError as error:
        message = f"expected base_url to be an address, got {address!r}: {error}"
        raise CallerError(message) from None
    if not parts.hostname:
        message = f"expected base_url to name a host, got {address!r}"
        raise CallerError(message)
    return address.rstrip("/")


def _header_mapping(headers: Mapping[str, str] | None) -> Mapping[str, str]:
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            message = f"expected extra_headers of str to str, got {name!r}: {type(value).__name__}"
            raise CallerError(message)
        if any(sign in name + value for sign in "\r\n\0"):
            message = f"expected extra_headers without line ends, got one in {name!r}"
            raise CallerError(message)
    return headers or {}


def _refuse_unbuilt(options: Mapping[str, object]) -> None:
    for name, value in options.items():
        if value is not None:
            message = f"the option {name!r} is not built yet, leave it out"
            raise CallerError(message)


def _check_tools(tools: object) -> None:
    if tools is None:
        return
    if not isinstance(tools, list | tuple) or not all(isinstance(t, Mapping) for t in tools):
        message = "expected tools as a list of dicts in the API's own form"
        raise CallerError(message)


def _debugging() -> bool:
    return sys.flags.dev_mode or asyncio.get_running_loop().get_debug()


def _warn_held(pump: Pump) -> None:
    place = f"; it was opened at:\n{pump.opened_at}" if pump.opened_at else ""
    warnings.warn(
        f"a stream was still open when its TokenGate was closed{place}",
        ResourceWarning,
        stacklevel=3,
    )
