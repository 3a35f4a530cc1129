"""The one path that every request takes: attempts up to the first delta, and observers.

Strategy.  An attempt is sent and primed until its first delta exists; up to there a failure may be
tried again, afterwards never.  Each rule on the way has a module of its own:

* whether the call is let in, :mod:`aiotokengate._calls.admission`: every attempt waits for its
  ``Turn``, which ends when its reply is over, whichever way that comes about;
* which clocks an attempt has, :mod:`aiotokengate._calls.attempt_clock`;
* whether a kept connection that died is replaced, :mod:`aiotokengate._policy.reconnect`;
* whether there is another attempt, :mod:`aiotokengate._calls.retries`, and in it
  :mod:`aiotokengate._policy.retry`;
* how the session ends, :mod:`aiotokengate._calls.closing`.
"""

from __future__ import annotations

import asyncio
import random
import sys
import traceback
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs

from aiotokengate._base.copying import Shared
from aiotokengate._base.sealing import bare
from aiotokengate._base.settings import FROM_ONE
from aiotokengate._calls.admission import Admission, Turn
from aiotokengate._calls.attempt_clock import AttemptClock
from aiotokengate._http.connections import Progress
from aiotokengate._policy.retry import RetryBudget
from aiotokengate._stream.clocks import Watch
from aiotokengate._stream.receiver import Receiver, ReceiverSettings
from aiotokengate._wire.headers import without_echoes
from aiotokengate._wire.jsontext import loads
from aiotokengate._wire.problems import find_problem, status_error
from aiotokengate._wire.transcript import Transcript
from aiotokengate.errors import (
    CallerError,
    RateLimited,
    StatusError,
    TokenGateError,
    TransportError,
    Unanswered,
    WireError,
)
from aiotokengate.hooks import (
    FirstDelta,
    Hook,
    HookEvent,
    RequestFinished,
    RequestStarted,
    RetryScheduled,
    emit,
)
from aiotokengate.types import Attempt, Json, Timeline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from aiotokengate._calls.closing import Calls
    from aiotokengate._calls.request import ChatRequest, ReplyReading, Request
    from aiotokengate._calls.retries import Retries
    from aiotokengate._http.transport import Answer
    from aiotokengate._stream.download import Download
    from aiotokengate.clock import Clock
    from aiotokengate.types import Json

__all__ = ["Sender", "closed"]

_T = TypeVar("_T")
TRUE_UP = 1.0
"""Seconds after which the tokens of a reply are counted again, where the pool counts them."""

LINGER = 0.1
"""Seconds of real time for which :meth:`Sender.close` lets the connections go down that it had to
break: TLS has its good-byes, and the other side may be served by the same loop."""

_OK, _REDIRECT, _REFUSED = 200, 300, 400


@attrs.define(eq=False, repr=False)
class Sender(Shared):
    """What all requests of a session share, and how they are sent."""

    _instead = "it is a part of TokenGate, of which each process makes its own"

    admission: Admission
    hooks: tuple[Hook, ...]
    clock: Clock
    max_reply_bytes: int = attrs.field(validator=FROM_ONE)
    read_ahead: int = attrs.field(validator=FROM_ONE)
    closed: bool = False
    budget: RetryBudget = attrs.field(factory=RetryBudget)
    calls: count[int] = attrs.field(factory=lambda: count(1))
    _here: dict[asyncio.AbstractEventLoop, tuple[Watch, Calls]] = attrs.field(factory=dict)

    def open(self, request: ChatRequest, *, whole: bool = False) -> Coroutine[Any, Any, Receiver]:
        """Send, and return the reply once its first delta is there; or ``whole``, all of it."""
        sending = _Sending(self, request)
        sending.whole = whole
        return sending.until_answered(partial(sending.open_once, request.reading))

    def ask(self, request: Request) -> Coroutine[Any, Any, Json]:
        """Send, and return the parsed JSON of the answer."""
        sending = _Sending(self, request)
        return sending.until_answered(sending.ask_once)

    def fetch(self, request: Request) -> Coroutine[Any, Any, Download]:
        """Send, and return the answer once its headers have come, whatever it is."""
        sending = _Sending(self, request)
        return sending.until_answered(sending.fetch_once)

    def keys(self) -> tuple[str, ...]:
        """Return every key of the session, to be blanked in an error that echoes one."""
        routes = self.admission.routes.all
        return tuple(secret for route in routes for secret in route.secrets())

    async def close(self, drain: float = 0.0) -> None:
        """Refuse who waits, then end what runs on this loop, and close its connections.

        Args:
            drain: seconds for which what runs may go on, so that it ends by itself.
        """
        self.closed = True
        from aiotokengate._calls.closing import end_all

        watch, calls = self.here()
        try:
            self._refuse_who_waits(calls)
            await asyncio.sleep(0)  # they leave the queue, before anything that ends frees a place
            if drain:
                await calls.drain(self.clock, drain)
        finally:
            busy = calls.busy
            calls.call_off(waiting_only=False)
            end_all(watch, closed())
            self._here.pop(asyncio.get_running_loop(), None)
            await self.admission.close()
            if busy:
                await asyncio.sleep(LINGER)

    def _refuse_who_waits(self, calls: Calls) -> None:
        """End the waiting of all calls, those of other running loops in their own threads."""
        calls.call_off(waiting_only=True)
        for loop, (_, others) in tuple(self._here.items()):
            if others is not calls and loop.is_running():
                with suppress(RuntimeError):  # it ended this moment
                    loop.call_soon_threadsafe(partial(others.call_off, waiting_only=True))

    def check_open(self) -> None:
        """Refuse to go on after :meth:`close`."""
        if self.closed:
            raise closed()

    def here(self) -> tuple[Watch, Calls]:
        """Return the watch and the calls of the running loop."""
        loop = asyncio.get_running_loop()
        here = self._here.get(loop)
        if here is None:
            from aiotokengate._calls.closing import Calls

            for dead in [known for known in self._here if known.is_closed()]:
                del self._here[dead]
            here = self._here[loop] = Watch(self.clock), Calls()
        return here


class _Sending:
    """One call on its way."""

    __slots__ = (
        "_attempts",
        "_began",
        "_called_off",
        "_caller",
        "_calls",
        "_clock",
        "_download",
        "_empty",
        "_fresh",
        "_now",
        "_number",
        "_reconnected",
        "_reply",
        "_request",
        "_retries",
        "_sender",
        "_timeline",
        "_turn",
        "_waits",
        "_watch",
        "due_tick",
        "whole",
    )

    def __init__(self, sender: Sender, request: Request) -> None:
        sender.check_open()
        self._sender = sender
        self._request = request
        self._now = sender.clock.now
        self._number = next(sender.calls)
        self._timeline = Timeline()
        self._attempts: list[Attempt] = []
        self._retries: Retries | None = None
        self._reconnected = 0
        self._turn = Turn(sender.admission, request.model, request.policy)
        self._reply: Receiver | None = None
        self._download: Download | None = None
        self._fresh = request.policy.costly
        self._watch, self._calls = sender.here()
        self._clock = AttemptClock(sender.clock, self._watch, request.policy, self._turn)
        self._began = self._clock.began
        self._caller: asyncio.Task[Any] | None = None
        self._waits = self._called_off = False
        self.due_tick = 0
        self._empty: Receiver | None = None
        self.whole = False

    async def until_answered(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Make attempts until one answers, or the policy gives up."""
        cancelling = self._begin()
        try:
            while True:
                self._sender.check_open()
                if not self._turn.take():
                    self._waits = True
                    await self._turn.wait(self._number, self._clock.left())
                    self._waits = False
                self._empty = None
                started = self._timeline.admitted = self._now() - self._began
                try:
                    result = await self._clock.bound(attempt, started)
                except TokenGateError as error:
                    if await self._is_over(error, started):
                        if self._empty is None:
                            raise
                        return cast("_T", self._take_empty(started))  # as such an attempt returns
                else:
                    self._succeeded(result, started)
                    return result
        except TokenGateError as error:
            bare(error)
            error.attempts = error.attempts or tuple(self._attempts)
            self._finished(error)
            raise
        except BaseException as error:
            self._turn.drop()
            if not self._was_called_off(error, cancelling):
                self._finished(None)
                raise
        finally:
            self._caller = None
        raise self._closed()

    def _begin(self) -> int:
        """Count the call, and give how often its task was cancelled before."""
        self._calls.begin(self)
        caller = self._caller = asyncio.current_task()
        return caller.cancelling() if caller is not None else 0

    def call_off(self, *, waiting_only: bool) -> None:
        """End it because the session was closed, as far as its reply has not begun."""
        if self._caller is not None and not self._called_off and (self._waits or not waiting_only):
            self._called_off = True
            self._caller.cancel()

    def _was_called_off(self, error: BaseException, cancelling: int) -> bool:
        """Say whether it was cancelled by :meth:`call_off`, and by nobody else."""
        caller = self._caller
        if caller is None or not self._called_off or not isinstance(error, asyncio.CancelledError):
            return False
        # The way asyncio.timeout tells a cancellation of its own from those of others.
        return caller.uncancel() <= cancelling

    def _closed(self) -> CallerError:
        """Return the error of a call that the end of its session has ended."""
        error = closed()
        error.attempts = tuple(self._attempts)
        if not self._waits:
            error.add_note("the request was on its way: what was asked for may have been begun")
        self._finished(error)
        return error

    async def open_once(self, reading: ReplyReading) -> Receiver:
        """Send once, and read up to the first delta."""
        receiver = self._clock.priming = self._received(await self._send(), reading)
        try:
            await receiver.prime()
            if self._request.policy.retry.empty:
                await self._until_useful(receiver)
        except BaseException:
            receiver.stop()
            del receiver  # which holds the error
            raise
        finally:
            self._clock.priming = None
        return receiver

    async def _until_useful(self, receiver: Receiver) -> None:
        """Raise for a reply with nothing to show, as far as nothing of it was shown.

        Raises:
            WireError: it is empty, or has nothing but thoughts.
        """
        while self.whole and not receiver.ended and receiver.log.has_only_thoughts:
            await receiver.wait()
        nothing = (
            receiver.ended and receiver.status == "complete" and receiver.log.has_only_thoughts
        )
        if nothing and (self.whole or not receiver.log.begun):
            self._empty = receiver
            error = WireError("the reply is empty: no answer, call, refusal or medium")
            error.useless_answer = True
            raise error

    def _take_empty(self, started: float) -> Receiver | None:
        """Return the last of the empty replies, when no attempt is left."""
        self._attempts.pop()
        self._succeeded(self._empty, started)
        return self._empty

    async def ask_once(self) -> Json:
        """Send once, and read the whole JSON."""
        answer = await self._send()
        most = self._sender.max_reply_bytes
        body = await answer.whole(most + 1)
        if len(body) > most:
            message = f"expected at most {most} bytes (max_reply_bytes), got more"
            raise WireError(message, request_id=answer.request_id)
        try:
            parsed = loads(body)
        except (ValueError, RecursionError):
            message = f"expected JSON, got {len(body)} bytes that are not"
            raise WireError(message, request_id=answer.request_id) from None
        problem = find_problem(parsed)
        if problem is not None:
            raise status_error(None, body, answer.headers, problem=problem)
        return parsed

    async def fetch_once(self) -> Download:
        """Send once; the body is for whoever asked."""
        answer = await self._send()
        from aiotokengate._stream.download import Download, DownloadSettings

        settings = DownloadSettings(
            clock=self._sender.clock,
            began=self._began,
            limit=self._clock.limit,
            stall=self._request.policy.timeout.stall,
            most=self._sender.max_reply_bytes,
            attempts=self._request.policy.retry.attempts,
            again=self._again if self._is_repeatable() else None,
            headers=answer.headers,
            secrets=self._secrets,
        )
        download = Download(answer, settings, answer.status, answer.headers, answer.request_id)
        download.endpoint = self._turn.endpoint
        self._download = download
        return download

    def _is_repeatable(self) -> bool:
        """Whether the rest can be asked for: of what is read, and is not a part itself."""
        http = self._request.http
        return http.method == "GET" and "range" not in map(str.lower, http.headers)

    def _again(self, attempts: int, headers: Mapping[str, str]) -> Awaitable[Download]:
        """Ask for the same once more, within what is left of the call's time."""
        request, left = self._request, self._clock.left()
        http, policy = request.http, request.policy
        policy = attrs.evolve(
            policy,
            retry=attrs.evolve(policy.retry, attempts=attempts),
            deadline=None if left is None else max(left, 0.0),
        )
        http = attrs.evolve(http, headers={**http.headers, **headers})
        return self._sender.fetch(attrs.evolve(request, http=http, policy=policy))

    # --- one attempt ----------------------------------------------------------------------------

    async def _send(self) -> Answer:
        sender, request, timeline = self._sender, self._request, self._timeline
        sender.check_open()
        if sender.hooks:
            attempt = len(self._attempts) + 1
            self._tell(
                RequestStarted(self._number, request.model, _public(request.http.path), attempt)
            )
        route, http, path = self._turn.route, request.http, request.http.path
        progress = self._turn.progress = Progress()
        own = None if route.source is None else await route.signature()
        timeline.sent = self._now() - self._began
        while True:
            try:
                answer = await route.transport.send(
                    http.method,
                    route.base_url + path if path[0] == "/" else _address(route.base_url, path),
                    headers=http.headers or None,
                    own=own,
                    data=http.body if http.form is None else http.form,
                    connect=request.policy.timeout.connect,
                    fresh=self._fresh,
                    progress=progress,
                )
                break
            except TransportError as error:
                if not self._reconnects(error):
                    raise
                progress = Progress()
        timeline.headers = self._now() - self._began
        answer.headers = without_echoes(answer.headers, sender.keys(), request.texts)
        if not _OK <= answer.status < _REDIRECT:
            raise await _refusal(answer)
        self._turn.answered(answer.headers)
        return answer

    def _reconnects(self, error: TransportError) -> bool:
        """Say whether a fresh connection takes the place of a kept one that died, once a call.

        Raises:
            Unanswered: there was no fresh one to be had; the request had left all the same.
        """
        from aiotokengate._policy.begun import may_have_begun
        from aiotokengate._policy.reconnect import is_replaced

        attempt, form = len(self._attempts) + 1, self._request.http.form
        if self._reconnected == attempt and not may_have_begun(error):
            message = f"the connection died before an answer, and then: {error.message}"
            raise Unanswered(message) from None
        spent, costly = form is not None and form.spent, self._request.policy.costly
        if not is_replaced(error, again=self._reconnected > 0, costly=costly, spent=spent):
            return False
        self._reconnected, self._fresh = attempt, True
        return True

    def _received(self, answer: Answer, reading: ReplyReading) -> Receiver:
        log = Transcript(reading.choices, make_id=_make_id, asked=self._request.model)
        log.retain = reading.retain
        if reading.notes:
            log.notes.extend(reading.notes)
        settings = ReceiverSettings(
            self._sender.clock,
            self._request.policy.timeout,
            self._began,
            self._clock.limit,
            self._sender.max_reply_bytes,
            self._request.policy.size.estimate,
            reading.parse,
            reading.strict,
            self._secrets,
            self._sender.read_ahead,
        )
        decoder = reading.decoder(reading.dialect, log)
        return Receiver(answer, decoder, reading.dialect, settings, self._timeline)

    # --- between attempts -----------------------------------------------------------------------

    def tick(self, now: float) -> float:
        """Count the tokens of the reply so far; for the watch."""
        if self._reply is not None:
            self._turn.true_up(self._reply)
        return now + TRUE_UP

    async def _is_over(self, error: TokenGateError, started: float) -> bool:
        """Wait for the next attempt, or say that this failure was the last word.

        That is raised where it was caught: a frame that had it in a name would be held by it.
        """
        error.redact(self._secrets())
        bare(error)  # the frames below hold the key and the body
        from aiotokengate._calls.retries import Retries
        from aiotokengate._policy.reconnect import wants_fresh

        if self._retries is None:
            self._retries = Retries(self._request, self._turn, self._sender.budget)
        attempt = len(self._attempts) + 1
        self._fresh = self._fresh or wants_fresh(error)
        wait, counted = self._retries.after(error, attempt)
        left = self._clock.left()
        if self._sender.closed or (wait is not None and left is not None and wait >= left):
            wait = None
        self._note(started, error, wait)
        if wait is None:
            error.attempts = tuple(self._attempts)
            return True
        self._retries.waits(counted)
        self._tell(RetryScheduled(self._number, self._request.model, attempt, wait, error))
        # After a refusal it is the lane that holds, and the call waits there.
        if not isinstance(error, RateLimited) or not self._request.policy.pooled:
            self._waits = True
            await self._sender.clock.sleep(wait)
            self._waits = False
        return False

    def _note(
        self,
        started: float,
        error: TokenGateError | None,
        wait: float | None,
        request_id: str | None = None,
    ) -> None:
        attempt = Attempt(
            self._request.model,
            started,
            self._now() - self._began - started,
            type(error).__name__ if error else None,
            error.status if error else _OK,
            error.code if error else None,
            error.request_id if error else request_id,
            wait,
            self._turn.queued,
            self._turn.name,
            self._reconnected == len(self._attempts) + 1,
        )
        self._attempts.append(attempt)

    def _succeeded(self, result: object, started: float) -> None:
        answered = result.request_id if isinstance(result, Receiver) else None
        self._note(started, None, None, answered)
        self._sender.budget.refund()
        if not isinstance(result, Receiver):
            self._answered(result)
            return
        result.note_attempts(tuple(self._attempts))
        # Never sent again: the body may be large, and the reply long.
        self._request, self._retries = self._request.with_content(None), None
        if self._sender.hooks:
            self._tell(FirstDelta(self._number, self._request.model, self._now() - self._began))
        if result.ended:
            self._receiver_ended(result)
            return
        result.on_end = self._receiver_ended
        if not self.whole:
            result.hold = self._turn.hand_over()
        self._watch.add(result)
        if self._turn.watches_tokens:
            self._reply = result
            self._watch.add(self)
        if sys.flags.dev_mode or asyncio.get_running_loop().get_debug():
            result.opened_at = "".join(traceback.format_stack(limit=8)[:-1])

    def _answered(self, result: object) -> None:
        """End a call that is no chat, or watch over its download."""
        download, self._download = self._download, None  # it is its reader's, and holds us
        if download is not None:
            download.note_attempts(tuple(self._attempts))
            download.watched(self._watch, self._downloaded, self._turn.hand_over())
            return
        self._turn.done(_total_tokens(result))
        self._timeline.done = self._now() - self._began
        self._finished(None)

    def _downloaded(self, error: TokenGateError | None) -> None:
        self._turn.done()
        self._timeline.done = self._now() - self._began
        if error is not None:
            error.redact(self._secrets())
        self._finished(error)

    def _receiver_ended(self, receiver: Receiver) -> None:
        self._watch.discard(receiver)
        if self._reply is not None:
            self._watch.discard(self)
            self._reply = None
        self._turn.settle(receiver)
        error = receiver.error if isinstance(receiver.error, TokenGateError) else None
        if error is not None:
            error.redact(self._secrets())
        self._finished(error, receiver)

    def _finished(self, error: TokenGateError | None, receiver: Receiver | None = None) -> None:
        self._calls.end(self)
        if self._sender.hooks:
            event = RequestFinished(
                self._number,
                self._request.model,
                receiver.status if receiver else None,
                self._timeline,
                error=error,
            )
            self._tell(attrs.evolve(event, usage=receiver.reply().usage) if receiver else event)

    def _tell(self, event: HookEvent) -> None:
        emit(self._sender.hooks, event)

    def _secrets(self) -> tuple[str, ...]:
        return (*self._sender.keys(), *self._request.texts())


def _make_id() -> str:
    """Return an id for a tool call that came without one; of a whole history each is another."""
    return f"call_{random.getrandbits(64):016x}"


def _address(base_url: str, path: str) -> str:
    """Return the whole address of a path beside the base, or apart from it."""
    if path.startswith("../"):
        return base_url.removesuffix("/v1") + path[2:]
    return path


def _public(path: str) -> str:
    """Return a path without its query, which may hold anything, and sign an address."""
    return path.partition("?")[0]


def _total_tokens(parsed: object) -> float | None:
    """Return what an answer says it cost."""
    usage = parsed.get("usage") if isinstance(parsed, dict) else None
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return float(total) if isinstance(total, int) and total > 0 else None


def closed() -> CallerError:
    """Return the error of a session that has ended."""
    return CallerError("this TokenGate is closed, make a new one")


async def _refusal(answer: Answer) -> StatusError:
    body = await answer.error_body()
    error = status_error(answer.status, body, answer.headers)
    location = answer.headers.get("Location")
    if location is not None and _REDIRECT <= answer.status < _REFUSED:
        from aiotokengate._http.redirects import refused

        error.message, hint = refused(answer.url, answer.status, location)
        error.hint, error.body = hint or error.hint, ""  # it quotes the address, perhaps signed
    return error
