"""One reader at a time receives the body of a reply; the others wait until it wakes them.

Strategy.  There is no task and no queue: the transcript is the only store, and a reader that has
read all of it calls :meth:`Receiver.pull`.  The first to do so awaits the network, the others wait
on a future.  Decoding and appending happen between two awaits, so a cancelled reader can neither
lose nor half-apply anything, and the next one takes over.  Reading is safe to cancel because bytes
that nobody took stay in the transport's buffer.

``pull`` never raises what the wire did: the receiver ends and keeps the error, which every reader
meets at the same place, after the last entry.

Ownership: readers hold a :class:`Guard`, the network call holds only the receiver.  The traceback
of a cancelled task keeps the receiver alive, but not the guard; when the last guard goes, the body
is closed at once (closing is synchronous).

Clocks: a :mod:`watch <aiotokengate._stream.clocks>` looks at them.  A stall is counted only while
a reader waits for the network, and only content and typed events reset it.

What the bytes mean, and when a reply is over, is for :mod:`aiotokengate._wire.framing` to decide;
this module decides who waits, and for how long.
"""

from __future__ import annotations

import asyncio
from itertools import cycle
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

import attrs

from aiotokengate._base.copying import Unique
from aiotokengate._stream.clocks import limited, run_out
from aiotokengate._wire.fold import fold, parsed_answer
from aiotokengate._wire.framing import Framing
from aiotokengate._wire.pack import BLOCK
from aiotokengate._wire.transcript import ANSWER, REASONING
from aiotokengate.errors import CallerError, StreamInterrupted, TokenGateError
from aiotokengate.types import Attempt, Reply, Status, Timeline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

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
    "raise_if",
]

HELD_OPEN = "the gateway neither ended nor closed the stream; it was closed here"
"""The note on a reply that was over as far as its choices could be believed."""

_LATER = cycle(range(BLOCK))
"""How many entries later than the last one a receiver packs its transcript: a thousand streams
that began together must not all pack at the same moment, and delay each other."""


class Body(Protocol):
    """The body of an answer, as the transport has it, and what its head said."""

    headers: Mapping[str, str]

    @property
    def request_id(self) -> str | None:
        """The gateway's or vendor's id of the request."""

    @property
    def read(self) -> Callable[[], Awaitable[bytes]]:
        """Await the next bytes, b"" at the end; being cancelled loses nothing."""

    def at_end(self) -> bool:
        """Return whether ``read`` would return b"" at once."""

    def salvage(self) -> bytes:
        """Return what had arrived before the error that ``read`` raised."""

    def explain(self, error: Exception) -> TokenGateError:
        """Translate an error that ``read`` raised; raise it again if it is none of the network."""

    def close(self) -> None:
        """Drop the connection now; a pending ``read`` raises."""

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
    """Reads one reply from its body into its transcript.

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
        "_body",
        "_dialect",
        "_framing",
        "_full",
        "_grace",
        "_kind",
        "_loop",
        "_now",
        "_parked",
        "_parsed",
        "_read",
        "_readers",
        "_reading",
        "_reply",
        "_settings",
        "_since",
        "_thread",
        "_waited",
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
        self.error: TokenGateError | None = None
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
        self._read = body.read
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
        self._reading = False
        self._full = BLOCK + next(_LATER)
        self._readers: WeakSet[Reader] | None = None if self.log.retain else WeakSet()
        self._parked: list[asyncio.Future[None]] = []
        self._now = settings.clock.now
        self._since = 0.0  # when the read began that is waited for
        self._waited = 0.0  # for content, in all reads before that one
        self._grace: Timer | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self._reply: Reply | None = None
        self._parsed: Any = None

    # --- for readers ----------------------------------------------------------------------------

    async def pull(self) -> None:
        """Return when the transcript may have grown or the receiver has ended.

        The receiver's error is never raised here.

        Raises:
            CallerError: it was called from another event loop.
        """
        if get_ident() != self._thread:
            raise _foreign()
        if self.hold is not None:
            self.hold.touch()
        if self._reading:
            await self._park()
            return
        self._reading = True
        self._since = self._now()
        if len(self.log.items) >= self._full:
            self._make_room()
        try:
            data = await self._read()
        except asyncio.CancelledError:
            self._waited += self._now() - self._since
            raise
        except Exception as error:  # noqa: BLE001 - every way a transport can break
            self._check_loop()
            self._break(error)
        else:
            self._feed(data)
        finally:
            self._reading = False
            if self._parked:
                self._wake()

    def follow(self, reader: Reader) -> None:
        """Keep what a reader has not read yet, as long as it lives."""
        if self.hold is not None:
            self.hold.touch()
        if self._readers is not None:
            self._readers.add(reader)

    def _make_room(self) -> None:
        """Pack the transcript, and drop what all readers have read if it is not to be retained."""
        self.log.pack()
        if self._readers:
            self.log.forget(min(reader.at for reader in self._readers))

    async def pull_for(self, seconds: float) -> None:
        """Pull, but give up after some seconds; nothing is lost then."""
        try:
            async with limited(self.clock, seconds):
                await self.pull()
        except TimeoutError:
            return

    async def prime(self) -> None:
        """Pull until there is a first entry.

        Raises:
            TokenGateError: it ended before, so that another attempt is still allowed.
        """
        while not self.ended and not self.log.items:
            await self.pull()
        try:
            if not self.log.begun:
                raise_if(self.error)
        finally:
            del self

    async def drain(self) -> None:
        """Pull to the end."""
        while not self.ended:
            await self.pull()

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
        if self.error is not None:
            self.error.attempts = attempts
        if isinstance(self.error, StreamInterrupted):
            self.error.partial = attrs.evolve(self.error.partial, attempts=attempts)

    # --- for the watch --------------------------------------------------------------------------

    def tick(self, now: float) -> float:
        """Look at the clocks, and return the time before which none can run out."""
        settings = self._settings
        waited = self._waited + (now - self._since if self._reading else 0.0)
        error, again = run_out(settings.limit, settings.began, settings.timeout.stall, waited, now)
        if error is not None:
            self._conclude(error)
        return again

    # --- reading --------------------------------------------------------------------------------

    def _check_loop(self) -> None:
        # Not before each read, because Python 3.11 asks the kernel for it. Of two loops in one
        # thread only one runs, so nothing goes wrong before there is something to wait for.
        if self._loop is not asyncio.get_running_loop():
            raise _foreign() from None

    async def _park(self) -> None:
        self._check_loop()
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._parked.append(waiter)
        await waiter

    def _wake(self) -> None:
        parked, self._parked = self._parked, []
        for waiter in parked:
            if not waiter.done():
                waiter.set_result(None)

    def _feed(self, data: bytes) -> None:
        """Take the bytes of a read."""
        if self.ended:
            return
        log = self.log
        before, signs = len(log.items), log.signs
        # In mid-stream the end is met by the next read, and not looked for after each one.
        over = (not data or self._framing.feed(data)) and self._is_over(data)
        news = len(log.items) - before
        alive = news or log.signs != signs
        if not alive:
            self._waited += self._now() - self._since
        else:
            self._waited = 0.0
            if news > 1 or (news and log.kinds[-1] != self._kind):
                self._note_first(log.kinds[before:])
        if over:
            self._conclude()
        elif log.claimed and (alive or self._grace is None):
            self._wait_for_end()

    def _is_over(self, data: bytes) -> bool:
        """Return whether the reply has ended: by its protocol, a failure, or the body's end."""
        framing = self._framing
        if framing.over:
            return True
        if data and not self._body.at_end():
            return False
        framing.close()
        return True

    @property
    def alive_at(self) -> float | None:
        """The clock's time of the last content or typed event, None before the first."""
        return self._since - self._waited if self.log.signs or len(self.log) else None

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

    def _break(self, error: Exception) -> None:
        """End with what the transport raised; what had arrived before it is not lost.

        A mistake of ours is not a broken network: it is raised again, and ends nothing.
        """
        if self.ended:
            return
        failure = self._body.explain(error)
        rest = self._body.salvage()
        if rest:
            self._feed(rest)
        self._conclude(failure)

    def _end(self, status: Status, error: TokenGateError | None = None) -> None:
        self.timeline.done = self.clock.now() - self._settings.began
        self.status = status
        self.error = error
        self.ended = True
        self._stop_waiting()
        if status == "complete" and self._settings.parse is not None:
            self._parsed, self.error = parsed_answer(self.reply(), self._settings.parse)
            self._reply = None
        self._wake()
        self.on_end(self)


def raise_if(error: TokenGateError | None) -> None:
    """Raise the error that a receiver ended with, if any: the same object for every reader.

    Not a method, so that no frame of the traceback holds the receiver that holds the error; nor
    may one hold the error itself, or only the collector would free them, and the prompt with them.
    """
    try:
        if error is not None:
            raise error.with_traceback(None)
    finally:
        del error


def _foreign() -> CallerError:
    return CallerError("a stream must be read in the event loop that opened it")


def _nothing(_: Receiver) -> None:
    """Stand in for a callback that nobody set."""
