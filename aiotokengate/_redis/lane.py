"""One lane that is kept in Redis, as one process sees it.

Strategy.  What callers do becomes operations, which wait in a list; one run of the script is on
its way at a time, and takes along all that came meanwhile.  A call that asks to go is told at
once; what was answered or has ended can wait a little, and is told together with how long ago it
was, so nothing is counted later for it.  A batch keeps its number until it is known to be applied.

Three things can go wrong, and all of them end in saying anew what is there, under a new name,
while what the old name had is given up as used: Redis can't be reached (a local share of the
limits goes on meanwhile); it has lost or set back the lane; our lease has run out.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from aiotokengate._policy.lanes import Ticket
from aiotokengate._policy.statistics import LaneStatistics, Waiting
from aiotokengate._redis.failures import FAILURES, start_error
from aiotokengate._redis.local_share import LocalShare, share_of
from aiotokengate._redis.operations import (
    Call,
    Operation,
    Outbox,
    Since,
    adoption,
    ending,
    entry,
    flag,
    number,
)
from aiotokengate._redis.replies import (
    LAYOUT,
    Known,
    grants_of,
    lane_keys,
    lane_name,
    other_layout,
)
from aiotokengate.errors import CallerError
from aiotokengate.hooks import logger

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Iterator, Sequence

    from aiotokengate._policy.limits import Limits
    from aiotokengate._redis.connection import Backend, Connection
    from aiotokengate._wire.headers import Remaining
    from aiotokengate.clock import Timer

__all__ = ["RedisLane"]

SOON: Final = 0.05
"""Seconds for which the end of a call may wait for company."""

NOBODY_WAITS: Final = 0.25
"""The same, where nobody waited the last time we heard."""

LATER: Final = 0.35
"""Seconds for which news that let nobody in may wait: that a call was answered, for one."""

GRAIN: Final = 0.25
"""Seconds to which the ends of a window's minute are rounded up, so that there are few of them."""

NO_TIME: Final = ""
"""In place of a time: the server's clock counts."""

LONGEST_GRACE: Final = 3.0
"""Seconds for which a lane waits at most until all its processes are back."""

FIRST_HOLD: Final = 1.0

MANY_NAMES: Final = 16
"""Names under which Redis may have heard us, that are given up once it answers."""

_LATELY: Final = 0.1
"""Seconds since a run that make it superfluous to ask what the lane is doing."""


class RedisLane:
    """One lane that is kept in Redis."""

    def __init__(
        self,
        backend: Backend,
        pattern: str,
        key: str,
        limits: Limits,
        *,
        before: Iterable[str] = (),
    ) -> None:
        self.pattern = pattern
        self.key = key
        self.limits = limits
        self.name = lane_name(pattern, key)
        self.serial = str(next(backend.serials))
        self._backend = backend
        self._clock = backend.clock
        self._keys = lane_keys(backend.prefix, self.name)
        self._connection: Connection | None = None
        self._known = Known()
        self._heard_at = self._seen_at = -inf
        self._broken: CallerError | None = None
        # Calls, and what is to be told of them.
        self._calls: dict[Ticket, Call] = {}
        self._by_id: dict[str, Call] = {}
        self._count = 0
        self._unasked = 0
        self._waiting = 0
        self._outbox = Outbox(self.serial, before)
        self._resync = False
        # What runs.
        self._wanted = False
        self._task: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._look_at = self._flush_at = inf
        self._closed = False
        # Without Redis.
        self._local_share: LocalShare | None = None

    # --- what the pool calls --------------------------------------------------------------------

    def enter(self, ticket: Ticket) -> bool:
        """Have a call wait until ``ticket.wake`` is called.

        Raises:
            CallerError: the Redis holds another layout.
        """
        if self._broken is not None:
            raise self._broken
        if ticket.stage == "new":
            ticket.arrived = self._clock.now()
            again = False
        else:
            again = True
        self._count += 1
        call = Call(f"{self._count:x}", ticket)
        self._calls[ticket] = self._by_id[call.id] = call
        ticket.stage = "waiting"
        self._waiting += 1
        if self._local_share is not None:
            call.local = call.asked = True
            return self._local_share.enter(ticket)
        self._unasked += 1
        self._outbox.operations.append(entry(call, again=again))
        self._flush(0.0)
        return False

    def leave(self, ticket: Ticket) -> None:
        """Stop waiting."""
        call = self._drop(ticket)
        if call is None:
            return
        if call.local and self._local_share is not None:
            self._local_share.lane.leave(ticket)
            self._local_share.turn()
        else:
            # It may be admitted by now: the script then takes it for a call that was never sent.
            self._outbox.add("leave", call.id)
            self._flush(SOON)
        ticket.stage = "settled"

    def answered(self, ticket: Ticket, told: Remaining | None = None) -> None:  # noqa: ARG002 - Redis counts
        """Count a call that the gateway let in."""
        call = self._calls.get(ticket)
        if call is None or ticket.stage != "admitted":
            return
        if call.local and self._local_share is not None:
            self._local_share.lane.answered(ticket, self._clock.now())
            self._local_share.turn()
            return
        ticket.stage = "answered"
        self._outbox.add("answered", call.id, Since(self._clock.now()))
        self._flush(SOON if self._known.urgent else LATER)

    def true_up(self, ticket: Ticket, tokens: float) -> None:
        """Reserve more for a call that has already used more than was expected."""
        call = self._calls.get(ticket)
        if call is None or not ticket.late or tokens <= ticket.tokens:
            return
        if call.local and self._local_share is not None:
            self._local_share.lane.true_up(ticket, tokens)
            return
        ticket.tokens = tokens
        self._outbox.raised[call.id] = tokens
        self._flush(LATER)

    def settle(self, ticket: Ticket, tokens: float | None = None) -> None:
        """End a call that cost ``tokens``, by default what was expected of it."""
        call = self._drop(ticket)
        if call is None:
            return
        cost = ticket.tokens if tokens is None else tokens
        if self._local_share is not None:
            self._local_share.end(call, cost)
            return
        self._end(call, "settle", call.id, Since(self._clock.now()), number(tokens), cost=cost)

    def refund(self, ticket: Ticket) -> None:
        """End a call that never left."""
        call = self._drop(ticket)
        if call is None:
            return
        if self._local_share is not None:
            self._local_share.end(call, None)
            return
        self._end(call, "refund", call.id)

    def refuse(
        self,
        ticket: Ticket,
        retry_after: float | None,
        *,
        crowded: bool,
        hinted: bool = False,
        final: bool = False,
    ) -> float:
        """End a call that the gateway refused, and hold the lane for all who share it.

        Returns:
            Seconds for which the lane holds at least.
        """
        call = self._drop(ticket)
        least = FIRST_HOLD if self.limits.learn and not hinted else 0.0
        hold = max(retry_after or 0.0, least)
        if call is None:
            return hold
        if self._local_share is not None:
            return self._local_share.refuse(
                call, retry_after, hold, crowded=crowded, hinted=hinted, final=final
            )
        how = (number(self._backend.chance()), flag(on=hinted), flag(on=final))
        self._end(call, "refuse", call.id, number(retry_after or 0.0), *how)
        self._flush(0.0)
        return hold

    def crowd(self, ticket: Ticket) -> None:
        """End a call for which the gateway had no room; of that, nothing is learned here."""
        call = self._drop(ticket)
        if call is None:
            return
        if self._local_share is not None:
            self._local_share.end(call, 0.0)
            return
        self._end(call, "crowd", call.id)

    def waiting(self, ticket: Ticket) -> Waiting:
        """Say why a call waits: its place by what the last run has told, so about right."""
        if self._local_share is not None:
            return self._local_share.lane.waiting(ticket, self._clock.now())
        own = [call.ticket for call in self._calls.values() if call.waits]
        place = own.index(ticket) + 1
        tokens = sum(each.tokens for each in own[:place])
        others = max(1.0, self._known.waiting / len(own))
        eta, because = self._known.outlook(
            place * others, tokens * others, self._clock.now() - self._heard_at
        )
        return Waiting(max(1, round(place * others)), eta, because)

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters here how many tokens a call has."""
        return self.limits.tokens_per_minute is not None

    def wait(self, ticket: Ticket) -> float:
        """Return about how many seconds a new call would wait, by what the last run has told."""
        if self._local_share is not None:
            return self._local_share.lane.wait(ticket, self._clock.now())
        calls = max(self._known.waiting, self._waiting) + 1
        since = self._clock.now() - self._heard_at
        return self._known.outlook(calls, calls * ticket.tokens, since)[0]

    def blocked_by(self, ticket: Ticket) -> int:
        """Count the calls in flight of which one must end before this one can go."""
        if self._local_share is not None:
            return self._local_share.lane.blocked_by(ticket, self._clock.now())
        call, known = self._calls.get(ticket), self._known
        if call is None or not call.asked or self.limits.concurrency is None:
            return 0
        return known.in_flight if known.in_flight >= self.limits.concurrency else 0

    def statistics(self) -> LaneStatistics:
        """Return what the lane is doing, by what the last run has told."""
        if self._local_share is not None:
            return self._local_share.lane.statistics(self._clock.now(), self.pattern, self.key)
        heard_at = max(self._heard_at, self._seen_at)
        since = self._clock.now() - heard_at if heard_at > -inf else 0.0
        return self._known.statistics(self.pattern, self.key, since)

    def queued(self) -> int:
        """Count those of this process that wait; not those who only wait for Redis to say so."""
        if self._local_share is not None:
            return self._local_share.lane.queue.waiting
        return self._waiting - min(self._unasked, self._known.free(self.limits, self._waiting))

    def successor(self) -> RedisLane:
        """Return a lane for another loop or process; what this one had in flight is over."""
        before: Iterable[str] = ()
        if self._connection is not None and self._connection.is_ours():
            before = [*self._outbox.before, self._outbox.name(self._connection)]
        lane = RedisLane(self._backend, self.pattern, self.key, self.limits, before=before)
        lane._known, lane._heard_at = self._known, self._heard_at
        return lane

    # --- what the connection calls --------------------------------------------------------------

    def heard(self, lines: Sequence[str]) -> None:
        """Take in a message of another process's run."""
        process, look, *grants = lines
        if (
            self._local_share is not None
            or self._connection is None
            or process != self._outbox.name(self._connection)
        ):
            return
        for line in grants:
            name, delay, start = line.split(" ")
            self._granted(name, float(delay), float(start))
        if float(look) >= 0:
            self._look_at = self._clock.now() + float(look)
            self._plan()

    async def refresh(self, connection: Connection) -> None:
        """Ask what the lane is doing, where that was not heard lately."""
        before = self._heard_at
        if self._local_share is not None or self._clock.now() - before < _LATELY or before == -inf:
            return
        # A name in place of a process is what asks for nothing: the script then only reads.
        reply = await connection.look(self._keys, [LAYOUT, *[""] * 20])
        if reply[0] == "ok" and self._heard_at == before and self._local_share is None:
            self._known = self._known.seen_again(reply)
            self._seen_at = self._clock.now()

    def renew(self) -> bool:
        """Renew the lease, and ask for grants whose message was lost."""
        if self._calls and self._local_share is None:
            self._resync = True
            self._backend.renewals += 1
            self._flush(0.0)
        return bool(self._calls)

    def stop(self) -> None:
        """Call timers off; what comes now is not told any more."""
        self._closed = True
        self._cancel_timer()
        if self._local_share is not None:
            self._local_share.stop()
        for call in self._calls.values():
            if call.timer is not None:
                call.timer.cancel()

    async def leave_redis(self) -> None:
        """Tell Redis what there is to tell, and give everything back."""
        if self._outbox.sequence and self._connection is not None and self._local_share is None:
            self._outbox.add("bye")
            # A batch that was cut off on its way goes once more, under its number.
            while self._outbox.operations:
                await self._exchange(self._connection)
            self._cancel_timer()

    # --- calls ----------------------------------------------------------------------------------

    def _drop(self, ticket: Ticket) -> Call | None:
        call = self._calls.pop(ticket, None)
        if call is None:
            return None
        del self._by_id[call.id]
        self._outbox.raised.pop(call.id, None)
        if call.waits:
            self._waiting -= 1
            self._unasked -= not call.asked
        if call.timer is not None:
            call.timer.cancel()
        return call

    def _end(self, call: Call, *operation: str | Since, cost: float | None = None) -> None:
        call.ticket.stage = "settled"
        self._outbox.add(*operation)
        self._flush(self._patience(call.ticket, cost))

    def _patience(self, ticket: Ticket, cost: float | None) -> float:
        """Return how long the end of a call may wait for company: who waits for what it frees?"""
        known = self._known
        if self.limits.concurrency is not None:
            full = known.concurrency is not None and known.in_flight >= known.concurrency
            return 0.0 if known.urgent or full else SOON
        if known.urgent:
            return 0.0
        if cost is not None and cost >= ticket.tokens:
            return LATER
        return SOON if known.waiting else NOBODY_WAITS

    def _granted(self, name: str, delay: float, start: float) -> None:
        call = self._by_id.get(name)
        if call is None or not call.waits or call.timer is not None:
            return
        call.ticket.start = start
        if delay > 0:
            call.timer = self._clock.call_later(delay, lambda: self._admit(call))
        else:
            self._admit(call)

    def _admit(self, call: Call) -> None:
        ticket = call.ticket
        call.timer = None
        self._waiting -= 1
        self._unasked -= not call.asked
        ticket.stage = "admitted"
        ticket.admitted = self._clock.now()
        if ticket.wake is not None:
            ticket.wake()

    # --- runs -----------------------------------------------------------------------------------

    def _flush(self, within: float) -> None:
        """Send what there is to tell, at once or within so many seconds."""
        if self._local_share is not None or self._closed:
            return
        if within > 0:
            self._flush_at = min(self._flush_at, self._clock.now() + within)
            self._plan()
            return
        self._wanted = True
        if self._task is None:
            connection = self._connected()
            self._task = connection.spawn(self._run(connection))

    def _plan(self) -> None:
        """Set the timer for what comes first."""
        if self._timer is not None:
            self._timer.cancel()
        seconds = min(self._look_at, self._flush_at) - self._clock.now()
        self._timer = self._clock.call_later(max(0.0, seconds), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._flush(0.0)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._look_at = self._flush_at = inf

    def _connected(self) -> Connection:
        connection = self._backend.connection()
        if connection is not self._connection:
            self._connection = connection
            self._outbox.sequence = 0
            connection.members[self.serial] = self
        connection.keep_alive()
        return connection

    async def _run(self, connection: Connection) -> None:
        try:
            while self._wanted:
                self._wanted = False
                await self._exchange(connection)
        except CallerError as error:
            if self._reached:
                logger.error("%s; going on with a local share of the limits", error)
            self._fail(connection, error)
        except FAILURES as error:
            self._fail(connection, error)
        finally:
            self._task = None

    @property
    def _reached(self) -> bool:
        """Whether this process is to go on without Redis: it was there, or a share is given."""
        return self._backend.members > 0 or self._backend.share is not None

    def _fail(self, connection: Connection, error: BaseException) -> None:
        """Go on with a share; but where Redis was never reached, only if one was asked for.

        Then the calls that wait fail, and the next one tries again.
        """
        if self._reached:
            self._lose(connection, error)
            return
        self._cancel_timer()
        self._wanted = False
        self._outbox.abandon(connection)  # it may have heard us, though we did not hear it
        self._outbox.before = self._outbox.before[-MANY_NAMES:]
        for call in [call for call in self._calls.values() if call.waits]:
            self._drop(call.ticket)
            call.ticket.stage = "settled"
            call.ticket.trouble = start_error(error, self._backend.address, self._backend.secrets)
            if call.ticket.wake is not None:
                call.ticket.wake()

    async def _exchange(self, connection: Connection) -> None:
        """Send all there is to tell, and take in what came of it."""
        now = self._clock.now()
        self._forget_idle(now)
        self._outbox.pack()
        self._cancel_timer()
        resync, self._resync = self._resync, False
        reply = await connection.run(self._keys, self._arguments(connection, now, resync=resync))
        self._take_in(connection, reply)

    def _forget_idle(self, now: float) -> None:
        """Begin anew after a pause: our lease may have run out, and our knowledge of the lane."""
        if self._outbox.batch or now - self._heard_at < self._backend.lease / 2:
            return
        if any(call.asked or not call.waits for call in self._calls.values()):
            return
        if any(operation[0] != "enter" for operation in self._outbox.operations):
            return
        self._outbox.begin_anew()
        if now - self._heard_at > self._known.keep:
            self._known = Known()

    def _arguments(
        self, connection: Connection, now: float, *, resync: bool, away: float = 0.0
    ) -> list[str]:
        backend, limits, known = self._backend, self.limits, self._known
        return [
            LAYOUT,
            self._outbox.name(connection),
            str(self._outbox.sequence),
            known.epoch,
            str(known.runs),
            connection.name + format(self._count, "x"),
            str(max(1, known.members)),
            number(away),
            flag(on=resync),
            number(limits.concurrency),
            number(limits.requests_per_minute),
            number(limits.tokens_per_minute),
            limits.kind,
            flag(on=limits.learn),
            number(backend.lease),
            number(backend.ahead),
            number(GRAIN),
            f"{backend.prefix}:",
            self.name,
            NO_TIME,
            number(min(backend.lease, LONGEST_GRACE)),
            *self._outbox.rendered(now),
        ]

    def _take_in(self, connection: Connection, reply: Sequence[str]) -> None:
        self._know(reply)
        if reply[0] == "lost":
            self._start_again(connection)
            return
        for name in self._outbox.entered():
            if (call := self._by_id.get(name)) is not None:
                self._unasked -= not call.asked
                call.asked = True
        self._outbox.batch = []
        for grant in grants_of(reply):
            self._granted(*grant)
        look = float(reply[15])
        if look >= 0:
            self._look_at = self._clock.now() + look
            self._plan()
        if self._outbox.operations:
            self._flush(SOON)

    def _know(self, reply: Sequence[str]) -> None:
        if reply[0] == "layout":
            self._broken = CallerError(other_layout(self._backend.prefix, reply[1]))
            raise self._broken
        self._known = Known.read(reply).with_news(reply)
        self._heard_at = self._clock.now()
        self._backend.members = max(self._backend.members, self._known.members, 1)

    # --- saying anew what is there --------------------------------------------------------------

    def _start_again(self, connection: Connection) -> None:
        """Say anew what is there, under a new name."""
        self._outbox.abandon(connection)
        self._outbox.operations = [*self._adoptions(self._going()), *self._entries()]
        self._wanted = True

    def _adoptions(self, calls: Iterable[Call]) -> list[Operation]:
        return [adoption(call, self._clock.now()) for call in calls]

    def _entries(self) -> Iterator[Operation]:
        """Ask for all who wait, in their order."""
        self._waiting = self._unasked = 0
        for call in self._calls.values():
            self._waiting += call.waits
            if call.waits and call.timer is None:
                call.local = call.asked = call.ticket.queued = False
                self._unasked += 1
                yield entry(call, again=False)

    def _going(self) -> list[Call]:
        calls = self._calls.values()
        return [call for call in calls if not call.waits or call.timer is not None]

    # --- without Redis --------------------------------------------------------------------------

    def _lose(self, connection: Connection, error: BaseException) -> None:
        """Go on with a share of the limits; those who wait keep their order."""
        going = set(self._going())
        waiting = [call for call in self._calls.values() if call not in going]
        self._cancel_timer()
        self._outbox.abandon(connection)
        self._wanted = False
        part = self._backend.share or 1 / max(1, self._known.members or self._backend.members)
        share = self._local_share = LocalShare(
            share_of(self.limits, part),
            self._clock,
            self._backend.chance,
            in_flight=len(going),
            used=bool(self._known.epoch),
            ahead=self._backend.ahead,
        )
        connection.lost(self, error)
        for call in waiting:
            call.local = call.asked = True
            if share.enter(call.ticket) and call.ticket.wake is not None:
                call.ticket.wake()

    async def come_back(self) -> bool:
        """Try Redis again: first say what goes on and what was used, then ask for who waits."""
        connection, share, now = self._connection, self._local_share, self._clock.now()
        if connection is None or share is None or self._broken is not None:
            return True
        burials = (("bury", name) for name in self._outbox.before)
        going, used = self._going(), share.report()
        self._outbox.batch = [*burials, *self._adoptions(going), used]
        self._outbox.sequence = 1
        share.adopted = {call.id: call.ticket.stage for call in going}
        try:
            away = now - share.since
            arguments = self._arguments(connection, now, resync=False, away=away)
            self._return(share, await connection.run(self._keys, arguments))
        except FAILURES:
            share.keep_report()
            self._outbox.abandon(connection)
            return False
        except CallerError as error:
            logger.error("%s; going on with a local share of the limits", error)
        return True

    def _return(self, share: LocalShare, reply: Sequence[str]) -> None:
        """Leave the share; tell what has changed while the first word was on its way."""
        self._know(reply)
        self._local_share = None
        share.stop()
        self._outbox.batch, self._outbox.before = [], []
        now = self._clock.now()
        ended = [ending(name, cost, now) for name, cost in share.ended]
        known = [call for call in self._going() if call.id in share.adopted]
        answered = [
            ("answered", call.id, Since(now))
            for call in known
            if call.ticket.stage != share.adopted[call.id]
        ]
        for call in known:
            call.local = False
        unknown = [call for call in self._going() if call.id not in share.adopted]
        news = [*ended, *answered, *self._adoptions(unknown), *self._entries()]
        self._outbox.operations = [share.report(), *news] if share.used else news
        for call in unknown:
            call.local = False
        self._flush(0.0)
