"""What receives a reply: it takes the bytes as they come, and wakes whoever waits for what came.

Strategy.  There is no task and no queue: the transcript is the only store.  The transport hands
each read to :meth:`Receiver.data`, in the callback that received it, where it is decoded and
appended at once; a reader that has read all there is says what it :meth:`waits <Receiver.wait>`
for (text of a kind, the end of a phase, anything, the end), and is woken when that came, once for
all that one read brought.  A cancelled reader can neither lose nor half-apply anything, because it
takes part in neither.

``wait`` never raises what the wire did: the receiver ends and keeps the error, which every reader
meets at the same place, after the last entry.

Backpressure: while nobody waits, the text beyond the furthest reader is counted, and past
``read_ahead`` bytes the connection is paused, until somebody waits again.  Where nobody reads bit
by bit, or all who do wait, it never is.

Ownership: readers hold a :class:`Guard`, the connection holds only the receiver.  The traceback
of a cancelled task keeps the receiver alive, but not the guard; when the last guard goes, the body
is closed at once (closing is synchronous).

Clocks: a :mod:`watch <aiotokengate._stream.clocks>` looks at them.  A stall is the silence of the
wire, and no reader's time: only content and typed events end it, and it stands while the
connection is paused.

What the bytes mean, and when a reply is over, is for :mod:`aiotokengate._wire.framing` to decide;
this module decides who waits, and for how long.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from functools import partial
from itertools import cycle
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias
from weakref import WeakSet

import attrs

from aiotokengate._base.copying import Unique
from aiotokengate._stream.clocks import run_out
from aiotokengate._wire.fold import fold, parsed_answer
from aiotokengate._wire.framing import Framing
from aiotokengate._wire.pack import BLOCK
from aiotokengate._wire.transcript import ANSWER, REASONING
from aiotokengate.errors import CallerError, StreamInterrupted, TokenGateError
from aiotokengate.types import Attempt, Reply, Status, Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from aiotokengate._http.feeds import Feed, Sink
    from aiotokengate._policy.timeouts import Timeout
    from aiotokengate._pool.holding import Hold
    from aiotokengate._wire.dialects import Dialect
    from aiotokengate._wire.question import Decoder
    from aiotokengate._wire.transcript import Transcript
    from aiotokengate.clock import Clock, Timer
    from aiotokengate.errors import Phase

__all__ = [
    "Abandonable",
    "Body",
    "Guard",
    "Receiver",
    "ReceiverSettings",
    "Wanted",
    "raise_if",
]

HELD_OPEN = "the gateway neither ended nor closed the stream; it was closed here"
"""The note on a reply that was over as far as its choices could be believed."""

READ_AHEAD: Final = 1 << 20
"""Bytes of text that may wait for a reader, unless the session says otherwise."""

_LATER = cycle(range(BLOCK))
"""How many entries later than the last one a receiver packs its transcript: a thousand streams
that began together must not all pack at the same moment, and delay each other."""

Wanted: TypeAlias = "frozenset[int] | None"
"""What a reader waits for: kinds of entries, none for the end alone; None for anything."""

THE_END: Final[Wanted] = frozenset()
"""What a reader waits for that wants all of it."""

_UNREAD = 8 * BLOCK
"""Entries that stay as they are though somebody has yet to read them: what two reads bring."""


class Body(Protocol):
    """The body of an answer, as the transport has it, and what its head said."""

    headers: Mapping[str, str]

    @property
    def request_id(self) -> str | None:
        """The gateway's or vendor's id of the request."""

    def feed(self, sink: Sink) -> Feed:
        """Feed a sink with it from now on, first of all with what is there already."""

    def explain(self, error: Exception) -> TokenGateError:
        """Translate what broke it; raise that again if it is none of the network."""

    def close(self) -> None:
        """Drop the connection now, and feed nobody any more."""

    def release(self) -> None:
        """Let the last bytes arrive, within a bound, so that the connection serves again."""


@attrs.define(eq=False, repr=False)
class ReceiverSettings:
    """What a receiver has to know of its call.

    Attributes:
        clock: of the session.
        timeout: of the call.
        began: the clock's time at the beginning of the call.
        limit: when the call must have ended, in seconds since then, with the phase and the
            setting to name when it has not.
        max_reply_bytes: that the body may have.
        prompt_tokens: estimates the prompt.
        parse: makes the value of a whole answer, or raises
            :class:`~aiotokengate.errors.ResponseInvalid`.
        strict: whether a frame that can't be read ends the reply.
        secrets: returns what is blanked where an error echoes it.
        read_ahead: bytes of text that may wait for a reader.
    """

    clock: Clock
    timeout: Timeout
    began: float
    limit: tuple[float, Phase, float] | None
    max_reply_bytes: int
    prompt_tokens: Callable[[], int]
    parse: Callable[[str], Any] | None = None
    strict: bool = False
    secrets: Callable[[], Iterable[str]] = tuple
    read_ahead: int = READ_AHEAD


class Abandonable(Protocol):
    """Something that can be abandoned, synchronously, from any thread."""

    def abandon(self) -> None:
        """Stop, and free what it holds."""


class Guard(Unique):
    """Held by all who may still read; when the last holder is gone, the target is abandoned."""

    __slots__ = ("target",)

    _instead = "a second one would close what the first one still holds"

    def __init__(self, target: Abandonable) -> None:
        self.target: Abandonable = target

    def __del__(self) -> None:
        """Abandon the target at once: closing a response needs no await."""
        self.target.abandon()


class Reader(Protocol):
    """A position in the transcript: the next entry that it will read."""

    at: int


class Receiver:
    """Takes one reply from its body into its transcript.

    Attributes:
        log: the transcript.
        ended: whether nothing more will come.
        error: why it ended early, for every reader to meet after the last entry.
        status: of the reply, once ended.
        headers: of the answer.
        request_id: of the answer.
        timeline: what happened when.
        attempts: what was tried.
        clock: of the session.
        on_end: called once, when the receiver ends, whichever way.
        hold: notes who reads, where the reply was handed to the caller.
        opened_at: the place in the caller's code, for a warning in debug mode.
        due_tick: for the watch.
    """

    __slots__ = (
        "__weakref__",
        "_ahead",
        "_body",
        "_context",
        "_dialect",
        "_feed",
        "_framing",
        "_full",
        "_grace",
        "_heard",
        "_kind",
        "_loop",
        "_now",
        "_parsed",
        "_paused_at",
        "_readers",
        "_reply",
        "_settings",
        "_thread",
        "_waiters",
        "attempts",
        "clock",
        "due_tick",
        "ended",
        "error",
        "headers",
        "hold",
        "log",
        "on_end",
        "opened_at",
        "request_id",
        "status",
        "timeline",
    )

    def __init__(
        self,
        body: Body,
        decoder: Decoder,
        dialect: Dialect,
        settings: ReceiverSettings,
        timeline: Timeline,
    ) -> None:
        """Take over an answer whose headers have come."""
        self.log: Transcript = decoder.transcript
        self.ended: bool = False
        self.error: Exception | None = None
        self.status: Status = "interrupted"
        self.headers: Mapping[str, str] = body.headers
        self.request_id: str | None = body.request_id
        self.timeline: Timeline = timeline
        self.attempts: tuple[Attempt, ...] = ()
        self.on_end: Callable[[Receiver], None] = _nothing
        self.hold: Hold | None = None
        self.opened_at: str = ""
        self.clock: Clock = settings.clock
        self.due_tick: int = 0
        self._body = body
        self._dialect = dialect
        self._settings = settings
        self._framing = Framing(
            decoder,
            body.headers,
            most=settings.max_reply_bytes,
            strict=settings.strict,
            secrets=settings.secrets,
        )
        self._kind = -1  # of the newest entry, at first none
        self._full = BLOCK + next(_LATER)
        self._readers: WeakSet[Reader] = WeakSet()
        self._waiters: list[tuple[asyncio.Future[None], Wanted, Reader | None]] = []
        self._now = settings.clock.now
        self._heard = self._now()  # the last content or typed event, at first the head
        self._ahead = 0  # bytes that came since a reader waited
        self._paused_at: float | None = None
        self._grace: Timer | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self._context = copy_context()
        self._reply: Reply | None = None
        self._parsed: Any = None
        self._feed: Feed | None = None
        feed = body.feed(self)
        if not self.ended:
            self._feed = feed

    # --- for readers ----------------------------------------------------------------------------

    async def wait(
        self, wanted: Wanted = None, seconds: float | None = None, reader: Reader | None = None
    ) -> None:
        """Return when what is wanted came, when the receiver has ended, or after some seconds.

        The receiver's error is never raised here.

        Args:
            wanted: the kinds of entries, as the transcript numbers them, none for the end alone;
                None for any, and any sign of life.
            seconds: of the session's clock, if not for ever.
            reader: who has read all that is there and is wanted, so that it holds none of it.

        Raises:
            CallerError: it was called from another event loop.
        """
        if get_ident() != self._thread or self._loop is not asyncio.get_running_loop():
            raise _foreign()
        if self.ended:
            return
        if self.hold is not None:
            self.hold.touch()
        self._ahead = 0
        if self._paused_at is not None:
            self._resume()
        waiter: asyncio.Future[None] = self._loop.create_future()
        waiting = waiter, wanted, reader
        self._waiters.append(waiting)
        timer = None if seconds is None else self.clock.call_later(seconds, partial(_done, waiter))
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()
            if waiting in self._waiters:
                self._waiters.remove(waiting)
            del waiting, reader  # which holds a guard, and the traceback of a cancelled task this

    def follow(self, reader: Reader) -> None:
        """Keep what a reader has not read yet, as long as it lives."""
        if self.hold is not None:
            self.hold.touch()
        self._readers.add(reader)

    def _make_room(self) -> None:
        """Pack what all readers have read, and drop it if it is not to be retained."""
        log, waiting = self.log, [reader for *_, reader in self._waiters]
        places = [reader.at for reader in self._readers if reader not in waiting]
        read = min(places, default=len(log))
        log.pack(max(read, len(log) - _UNREAD))
        if self._readers and not log.retain:
            log.forget(read)

    async def prime(self) -> None:
        """Wait until there is a first entry.

        Raises:
            TokenGateError: it ended before, so that another attempt is still allowed.
        """
        while not self.ended and not self.log.items:
            await self.wait()
        try:
            if not self.log.begun:
                raise_if(self.error)
        finally:
            del self

    async def drain(self) -> None:
        """Wait for the end."""
        while not self.ended:
            await self.wait(THE_END)

    def reply(self) -> Reply:
        """Return the reply, or what there is of it."""
        reply = self._reply
        if reply is None:
            reply = fold(self.log, self._dialect, self)
            if self._parsed is not None:
                reply = attrs.evolve(reply, parsed=self._parsed)
            self._reply = reply if self.ended else None
        return reply

    @property
    def prompt_tokens(self) -> int:
        """About how many tokens the prompt has."""
        return self._settings.prompt_tokens()

    def stop(self) -> None:
        """End now and keep what came; nothing happens when it has ended already."""
        if self.ended:
            return
        doubtful = self.log.doubtful
        if self.log.settled and not doubtful:
            self._conclude()
            return
        if doubtful:
            self.log.disbelieve()
        self._framing.conclude()
        self._end("stopped")
        self._body.close()

    def abandon(self) -> None:
        """Stop, whichever thread the last reader was dropped in."""
        if self.ended or self._loop.is_closed():
            return
        if get_ident() == self._thread:
            self.stop()
        else:
            self._loop.call_soon_threadsafe(self.stop)

    def note_attempts(self, attempts: tuple[Attempt, ...]) -> None:
        """Put what was tried on the reply and on the error."""
        self.attempts = attempts
        self._reply = None
        if isinstance(self.error, TokenGateError):
            self.error.attempts = attempts
        if isinstance(self.error, StreamInterrupted):
            self.error.partial = attrs.evolve(self.error.partial, attempts=attempts)

    # --- for the watch --------------------------------------------------------------------------

    def tick(self, now: float) -> float:
        """Look at the clocks, and return the time before which none can run out."""
        settings = self._settings
        silent = (now if self._paused_at is None else self._paused_at) - self._heard
        error, again = run_out(settings.limit, settings.began, settings.timeout.stall, silent, now)
        if error is not None:
            self._conclude(error)
        return again

    # --- for the body, as its sink --------------------------------------------------------------

    def data(self, data: bytes) -> None:
        """Take the bytes of a read."""
        if self.ended:
            return
        log = self.log
        try:
            if len(log.items) >= self._full:
                self._make_room()
            before, signs = len(log.items), log.signs
            over = self._framing.feed(data) and self._framing.over
            fresh = log.kinds[before:]
            alive = bool(fresh) or log.signs != signs
            if alive:
                self._heard = self._now()
                if len(fresh) > 1 or (fresh and fresh[0] != self._kind):
                    self._note_first(fresh)
            if over:
                self._conclude()
                return
        except Exception as error:  # noqa: BLE001 - a mistake of ours, for whoever reads
            self._mistaken(error)
            return
        if log.claimed and (alive or self._grace is None):
            self._wait_for_end()
        if not self._waiters:
            self._count(len(data))
        elif alive:
            self._wake(fresh)

    def end(self) -> None:
        """Take the end of the body."""
        if self.ended:
            return
        try:
            self._framing.close()
            self._conclude()
        except Exception as error:  # noqa: BLE001 - as above
            self._mistaken(error)

    def failed(self, error: Exception) -> None:
        """End with what the transport met."""
        if self.ended:
            return
        try:
            self._conclude(self._body.explain(error))
        except Exception as mistake:  # noqa: BLE001 - as above, or the error is no network's
            self._mistaken(mistake)

    def _mistaken(self, error: Exception) -> None:
        """End with a mistake of ours, which meets whoever reads as it is.

        Nothing else may leave a callback: aiohttp would take it for a broken answer.
        """
        if self.ended:  # and it was made in telling others so
            self.error = self.error or error
        else:
            self._end("interrupted", error)
        self._body.close()

    def _wake(self, news: Collection[int]) -> None:
        """Wake who waits for something that came."""
        woken = [one for one in self._waiters if one[1] is None or not one[1].isdisjoint(news)]
        if woken:
            self._waiters = [one for one in self._waiters if one not in woken]
            for waiter, *_ in woken:
                _done(waiter)

    # --- backpressure ---------------------------------------------------------------------------

    def _count(self, size: int) -> None:
        """Pause, once too much text waits for the reader that is furthest."""
        self._ahead += size  # of the body, which is more than its text
        if self._ahead <= self._settings.read_ahead or self._feed is None:
            return
        furthest = max((reader.at for reader in self._readers), default=None)
        beyond = 0 if furthest is None else self.log.size_from(furthest)
        if beyond > self._settings.read_ahead:
            self._pause(self._feed)
        else:
            self._ahead = min(beyond, self._settings.read_ahead // 16 * 15)

    def _pause(self, feed: Feed) -> None:
        """Have the sender wait; no clock may run out meanwhile for what it would have sent."""
        if self._paused_at is None:
            self._paused_at = self._now()
            self._stop_waiting()
            feed.pause()

    def _resume(self) -> None:
        paused_at, self._paused_at = self._paused_at, None
        if paused_at is not None and self._feed is not None:
            self._heard += self._now() - paused_at
            if self.log.claimed:
                self._wait_for_end()
            self._feed.resume()

    @property
    def alive_at(self) -> float | None:
        """The clock's time of the last content or typed event, None before the first."""
        return self._heard if self.log.signs or len(self.log) else None

    def _note_first(self, news: list[int]) -> None:
        """Note for the reply when the first thinking and the first answer came, of choice 0."""
        self._kind, timeline = news[-1], self.timeline
        if timeline.first_answer is None:
            if REASONING in news and timeline.first_reasoning is None:
                timeline.first_reasoning = self.clock.now() - self._settings.began
            if ANSWER in news:
                timeline.first_answer = self.clock.now() - self._settings.began

    # --- ending ---------------------------------------------------------------------------------

    def _wait_for_end(self) -> None:
        """Wait for the end for a while, if every choice says that it has finished.

        The time begins anew with whatever a choice still says: a finish reason is a claim.
        """
        self._stop_waiting()
        if self.log.settled:
            patience = self._settings.timeout.after_finish
            self._grace = self.clock.call_later(patience, self._give_up_rest)

    def _give_up_rest(self) -> None:
        if not self.ended:
            self.log.notes.append(HELD_OPEN)
            self._conclude()
            self._body.close()

    def _stop_waiting(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def _conclude(self, failure: TokenGateError | None = None) -> None:
        """End with what the reply comes to.

        An error is raised as itself before the first entry, as an interruption's cause after.
        """
        if self.ended:
            return
        verdict = self._framing.conclude(failure)
        if verdict.status != "interrupted":
            self._end(verdict.status)
            # Its last bytes may arrive, within a bound, so that the connection serves again.
            (self._body.release if failure is None else self._body.close)()
        elif verdict.cause is not None and not self.log.begun:
            cause = verdict.cause
            cause.request_id = cause.request_id or self.request_id
            self._end("interrupted", cause)
            self._body.close()
        else:
            error = StreamInterrupted(verdict.message, partial=self.reply(), cause=verdict.cause)
            error.attempts = self.attempts
            self._end("interrupted", error)
            self._body.close()

    def _end(self, status: Status, error: Exception | None = None) -> None:
        self.timeline.done = self.clock.now() - self._settings.began
        self.status = status
        self.error = error
        self.ended = True
        self._stop_waiting()
        if status == "complete" and self._settings.parse is not None:
            self._parsed, self.error = parsed_answer(self.reply(), self._settings.parse)
            self._reply = None
        self._feed = None
        waiters, self._waiters = self._waiters, []
        for waiter, *_ in waiters:
            _done(waiter)
        # The callback's own context is that of whoever opened the connection.
        self._context.run(self.on_end, self)


def raise_if(error: Exception | None) -> None:
    """Raise the error that a receiver ended with, if any: the same object for every reader.

    Not a method, so that no frame of the traceback holds the receiver that holds the error; nor
    may one hold the error itself, or only the collector would free them, and the prompt with them.
    """
    try:
        if error is not None:
            raise error.with_traceback(None)
    finally:
        del error


def _done(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _foreign() -> CallerError:
    return CallerError("a stream must be read in the event loop that opened it")


def _nothing(_: Receiver) -> None:
    """Stand in for a callback that nobody set."""
