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

from hashlib import blake2b
from math import inf
from typing import TYPE_CHECKING, Any, Final

import attrs

from aiotokengate._policy.bucket import MINUTE
from aiotokengate._policy.lanes import Stage, Ticket
from aiotokengate._policy.statistics import Because, LaneStatistics, Waiting
from aiotokengate._redis.connection import TROUBLE, Link, is_refusal, said
from aiotokengate._redis.local_share import Share, part_of
from aiotokengate._redis.replies import (
    LAYOUT,
    Known,
    grants_of,
    lane_keys,
    lane_name,
    other_layout,
)
from aiotokengate.errors import CallerError, ConnectFailed, TokenGateError
from aiotokengate.hooks import logger

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator, Sequence

    from aiotokengate._policy.limits import Limits
    from aiotokengate._redis.connection import Terms
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

_SHARE: Final = (
    "or let each process go on without it by RedisBackend(share=0.5), a part of the limits\n"
)
_AWAY: Final = (
    f"hint: start Redis, or mend its address; {_SHARE}"
    "提示：请启动 Redis 或修正其地址；"
    "也可用 RedisBackend(share=0.5) 让各进程按限额的一部分继续运行"
)
_REFUSED: Final = (
    "hint: see to the password, the rights of the user (EVALSHA, PUBLISH and SUBSCRIBE, keys and "
    f"channels under the prefix) and the memory of that Redis; {_SHARE}"
    "提示：请检查该 Redis 的密码、用户权限（EVALSHA、PUBLISH、SUBSCRIBE，以及该前缀的键和频道）"
    "和内存；也可用 RedisBackend(share=0.5) 让各进程按限额的一部分继续运行"
)


@attrs.define(eq=False)
class _Call:
    """A call that waits or goes; ``timer`` for one that was granted and has not started yet."""

    id: str
    ticket: Ticket
    local: bool = False
    asked: bool = False
    timer: Timer | None = None

    @property
    def waits(self) -> bool:
        return self.ticket.stage == "waiting"


@attrs.frozen
class _Since:
    """A moment, told as the seconds that have passed since."""

    at: float


class RedisLane:
    """One lane that is kept in Redis."""

    def __init__(self, terms: Terms, pattern: str, key: str, limits: Limits) -> None:
        self.pattern = pattern
        self.key = key
        self.limits = limits
        self.name = lane_name(pattern, key)
        self.serial = str(next(terms.serials))
        self._terms = terms
        self._clock = terms.clock
        self._keys = lane_keys(terms.prefix, self.name)
        self._link: Link | None = None
        self._known = Known()
        self._heard_at = self._seen_at = -inf
        self._broken: CallerError | None = None
        # Calls, and what is to be told of them.
        self._calls: dict[Ticket, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._count = 0
        self._unasked = 0
        self._waiting = 0
        self._operations: list[tuple[Any, ...]] = []
        self._raised: dict[str, float] = {}
        self._batch: list[tuple[Any, ...]] = []
        # Who we are for Redis.
        self._generation = 0
        self._sequence = 0
        self._before: list[str] = []
        self._resync = False
        # What runs.
        self._wanted = False
        self._task: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._look_at = self._flush_at = inf
        self._closed = False
        # Without Redis.
        self._share: Share | None = None
        self._away_since = 0.0
        self._used: list[float] = []
        self._adopted: dict[str, Stage] = {}
        self._ended: list[tuple[str, float | None]] = []

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
        call = _Call(f"{self._count:x}", ticket)
        self._calls[ticket] = self._by_id[call.id] = call
        ticket.stage = "waiting"
        self._waiting += 1
        if self._share is not None:
            call.local = call.asked = True
            return self._share.enter(ticket)
        self._unasked += 1
        self._tell(*self._entry(call, again=again))
        self._flush(0.0)
        return False

    def leave(self, ticket: Ticket) -> None:
        """Give up waiting."""
        call = self._drop(ticket)
        if call is None:
            return
        if call.local and self._share is not None:
            self._share.lane.leave(ticket)
            self._share.turn()
        else:
            # It may be admitted by now: the script then takes it for a call that was never sent.
            self._tell("leave", call.id)
            self._flush(SOON)
        ticket.stage = "settled"

    def answered(self, ticket: Ticket, told: Remaining | None = None) -> None:  # noqa: ARG002
        """Count a call that the gateway let in."""
        call = self._calls.get(ticket)
        if call is None or ticket.stage != "admitted":
            return
        if call.local and self._share is not None:
            self._share.lane.answered(ticket, self._clock.now())
            self._share.turn()
            return
        ticket.stage = "answered"
        self._tell("answered", call.id, _Since(self._clock.now()))
        self._flush(SOON if self._known.urgent else LATER)

    def true_up(self, ticket: Ticket, tokens: float) -> None:
        """Reserve more for a call that has already used more than was expected."""
        call = self._calls.get(ticket)
        if call is None or not ticket.late or tokens <= ticket.tokens:
            return
        if call.local and self._share is not None:
            self._share.lane.true_up(ticket, tokens)
            return
        ticket.tokens = tokens
        self._raised[call.id] = tokens
        self._flush(LATER)

    def settle(self, ticket: Ticket, tokens: float | None = None) -> None:
        """End a call that cost ``tokens``, by default what was expected of it."""
        call = self._drop(ticket)
        if call is None:
            return
        cost = ticket.tokens if tokens is None else tokens
        if self._share is not None:
            self._end_away(call, self._share, cost)
            return
        told = "" if tokens is None else _number(tokens)
        self._end(call, "settle", call.id, _Since(self._clock.now()), told)

    def refund(self, ticket: Ticket) -> None:
        """End a call that never left."""
        call = self._drop(ticket)
        if call is None:
            return
        if self._share is not None:
            self._end_away(call, self._share, None)
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
        if (share := self._share) is not None:
            lane, now = share.lane, self._clock.now()
            if call.local:
                self._note_away(call, 0.0)
                lane.refuse(ticket, now, retry_after, crowded=crowded, hinted=hinted, final=final)
            else:
                lane.hold_until = max(lane.hold_until, now + hold)
                self._end_away(call, share, 0.0)
            share.turn()
            return max(0.0, lane.hold_until - now)
        how = (_number(self._terms.chance()), _flag(hinted), _flag(final))
        self._end(call, "refuse", call.id, _number(retry_after or 0.0), *how)
        self._flush(0.0)
        return hold

    def crowd(self, ticket: Ticket) -> None:
        """End a call for which the gateway had no room; of that, nothing is learned here."""
        call = self._drop(ticket)
        if call is None:
            return
        if self._share is not None:
            self._end_away(call, self._share, 0.0)
            return
        self._end(call, "crowd", call.id)

    def waiting(self, ticket: Ticket) -> Waiting:
        """Say why a call waits: its place by what the last run has told, so about right."""
        if self._share is not None:
            return self._share.lane.waiting(ticket, self._clock.now())
        own = [call.ticket for call in self._calls.values() if call.waits]
        place = own.index(ticket) + 1
        tokens = sum(each.tokens for each in own[:place])
        others = max(1.0, self._known.waiting / len(own))
        eta, because = self._outlook(place * others, tokens * others)
        return Waiting(max(1, round(place * others)), eta, because)

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters here how many tokens a call has."""
        return self.limits.tokens_per_minute is not None

    def wait(self, ticket: Ticket) -> float:
        """Give about how many seconds a new call would wait, by what the last run has told."""
        if self._share is not None:
            return self._share.lane.wait(ticket, self._clock.now())
        calls = max(self._known.waiting, self._waiting) + 1
        return self._outlook(calls, calls * ticket.tokens)[0]

    def blocked_by(self, ticket: Ticket) -> int:
        """Count the calls in flight of which one must end before this one can go."""
        if self._share is not None:
            return self._share.lane.blocked_by(ticket, self._clock.now())
        call, known = self._calls.get(ticket), self._known
        if call is None or not call.asked or self.limits.concurrency is None:
            return 0
        return known.in_flight if known.in_flight >= self.limits.concurrency else 0

    def statistics(self) -> LaneStatistics:
        """Give what the lane is doing, by what the last run has told."""
        if self._share is not None:
            return self._share.lane.statistics(self._clock.now(), self.pattern, self.key)
        heard_at = max(self._heard_at, self._seen_at)
        since = self._clock.now() - heard_at if heard_at > -inf else 0.0
        return self._known.statistics(self.pattern, self.key, since)

    def queued(self) -> int:
        """Count those of this process that wait; not those who only wait for Redis to say so."""
        if self._share is not None:
            return self._share.lane.queue.waiting
        return self._waiting - min(self._unasked, self._free())

    def successor(self) -> RedisLane:
        """Give a lane for another loop or process; what this one had in flight is over."""
        lane = RedisLane(self._terms, self.pattern, self.key, self.limits)
        link = self._link
        if link is not None and link.is_ours():
            lane._before = [*self._before, self._name_of(link)]
        lane._known, lane._heard_at = self._known, self._heard_at
        return lane

    # --- what the link calls --------------------------------------------------------------------

    def heard(self, lines: Sequence[str]) -> None:
        """Take in a message of another process's run."""
        process, look, *grants = lines
        if self._share is not None or self._link is None or process != self._name_of(self._link):
            return
        for line in grants:
            name, delay, start = line.split(" ")
            self._granted(name, float(delay), float(start))
        if float(look) >= 0:
            self._look_at = self._clock.now() + float(look)
            self._plan()

    async def refresh(self, link: Link) -> None:
        """Ask what the lane is doing, where that was not heard lately."""
        before = self._heard_at
        if self._share is not None or self._clock.now() - before < _LATELY or before == -inf:
            return
        # A name in place of a process is what asks for nothing: the script then only reads.
        reply = await link.look(self._keys, [LAYOUT, *[""] * 20])
        if reply[0] == "ok" and self._heard_at == before and self._share is None:
            self._known = self._known.seen_again(reply)
            self._seen_at = self._clock.now()

    def renew(self) -> bool:
        """Renew the lease, and ask for grants whose message was lost."""
        if self._calls and self._share is None:
            self._resync = True
            self._terms.renewals += 1
            self._flush(0.0)
        return bool(self._calls)

    def stop(self) -> None:
        """Call timers off; what comes now is not told any more."""
        self._closed = True
        self._cancel_timer()
        if self._share is not None:
            self._share.stop()
        for call in self._calls.values():
            if call.timer is not None:
                call.timer.cancel()

    async def leave_redis(self) -> None:
        """Tell Redis what there is to tell, and give everything back."""
        if self._sequence and self._link is not None and self._share is None:
            self._tell("bye")
            # A batch that was cut off on its way goes once more, under its number.
            while self._operations:
                await self._exchange(self._link)
            self._cancel_timer()

    # --- calls ----------------------------------------------------------------------------------

    def _drop(self, ticket: Ticket) -> _Call | None:
        call = self._calls.pop(ticket, None)
        if call is None:
            return None
        del self._by_id[call.id]
        self._raised.pop(call.id, None)
        if call.waits:
            self._waiting -= 1
            self._unasked -= not call.asked
        if call.timer is not None:
            call.timer.cancel()
        return call

    def _end(self, call: _Call, *operation: Any) -> None:  # noqa: ANN401 - its arguments
        call.ticket.stage = "settled"
        self._tell(*operation)
        self._flush(self._patience(call.ticket, operation))

    def _patience(self, ticket: Ticket, operation: tuple[Any, ...]) -> float:
        """Give how long the end of a call may wait for company: who waits for what it frees?"""
        known, name = self._known, operation[0]
        if self.limits.concurrency is not None:
            full = known.concurrency is not None and known.in_flight >= known.concurrency
            return 0.0 if known.urgent or full else SOON
        if known.urgent:
            return 0.0
        if name == "settle" and (not operation[3] or float(operation[3]) >= ticket.tokens):
            return LATER
        return SOON if known.waiting else NOBODY_WAITS

    def _entry(self, call: _Call, *, again: bool) -> tuple[Any, ...]:
        ticket = call.ticket
        return (
            "enter",
            call.id,
            _number(ticket.tokens),
            "1" if ticket.late else "0",
            "1" if ticket.bulk else "0",
            _digest(ticket.fair_key),
            _number(ticket.weight),
            _Since(ticket.arrived),
            _number(ticket.start) if again else "",
        )

    def _granted(self, name: str, delay: float, start: float) -> None:
        call = self._by_id.get(name)
        if call is None or not call.waits or call.timer is not None:
            return
        call.ticket.start = start
        if delay > 0:
            call.timer = self._clock.call_later(delay, lambda: self._admit(call))
        else:
            self._admit(call)

    def _admit(self, call: _Call) -> None:
        ticket = call.ticket
        call.timer = None
        self._waiting -= 1
        self._unasked -= not call.asked
        ticket.stage = "admitted"
        ticket.admitted = self._clock.now()
        if ticket.wake is not None:
            ticket.wake()

    def _free(self) -> int:
        """Give how many are probably admitted as soon as Redis hears of them."""
        known = self._known
        if not known.epoch:
            free = min(self.limits.requests_per_minute or inf, self.limits.concurrency or inf)
        elif known.waiting:
            free = 0
        else:
            places = inf if known.concurrency is None else known.concurrency - known.in_flight
            left = inf if known.requests_left is None else known.requests_left
            free = max(0, min(places, left))
        return int(min(free, self._waiting))

    def _outlook(self, calls: float, tokens: float) -> tuple[float, Because]:
        """Give when so many calls will probably have gone, and what holds them up most."""
        known = self._known
        since = self._clock.now() - self._heard_at
        places = inf if known.concurrency is None else known.concurrency - known.in_flight
        busy = (calls - places) * known.seconds / (known.concurrency or 1) if calls > places else 0
        waits: dict[Because, float] = {
            "queue": 0.0,
            "hold": known.hold - since,
            "concurrency": busy,
            "requests": _until(known.requests, known.requests_left, calls) - since,
            "tokens": _until(known.tokens, known.tokens_left, tokens) - since,
        }
        because = max(waits, key=lambda gate: waits[gate])
        return waits[because], because

    # --- runs -----------------------------------------------------------------------------------

    def _tell(self, *operation: Any) -> None:  # noqa: ANN401 - its arguments
        self._operations.append(operation)

    def _flush(self, within: float) -> None:
        """Send what there is to tell, at once or within so many seconds."""
        if self._share is not None or self._closed:
            return
        if within > 0:
            self._flush_at = min(self._flush_at, self._clock.now() + within)
            self._plan()
            return
        self._wanted = True
        if self._task is None:
            link = self._linked()
            self._task = link.spawn(self._run(link))

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

    def _linked(self) -> Link:
        link = self._terms.link()
        if link is not self._link:
            self._link = link
            self._sequence = 0
            link.members[self.serial] = self
        link.keep_alive()
        return link

    def _name_of(self, link: Link) -> str:
        return f"{link.name}.{self.serial}.{self._generation}"

    async def _run(self, link: Link) -> None:
        try:
            while self._wanted:
                self._wanted = False
                await self._exchange(link)
        except CallerError as error:
            if self._reached:
                logger.error("%s; going on with a local share of the limits", error)
            self._fail(link, error)
        except TROUBLE as error:
            self._fail(link, error)
        finally:
            self._task = None

    @property
    def _reached(self) -> bool:
        """Whether this process is to go on without Redis: it was there, or a share is given."""
        return self._terms.members > 0 or self._terms.share is not None

    def _explained(self, error: BaseException) -> TokenGateError:
        """Return the error of a call that a Redis which was never reached keeps from going."""
        if isinstance(error, CallerError):
            return CallerError(error.message)
        at, words = self._terms.address, said(error, self._terms.secrets)
        if is_refusal(error):
            return CallerError(f"Redis at {at} refuses what the pool asks: {words}", hint=_REFUSED)
        return ConnectFailed(f"Redis at {at} can't be reached: {words}", hint=_AWAY)

    def _fail(self, link: Link, error: BaseException) -> None:
        """Go on with a share; but where Redis was never reached, only if one was asked for.

        Then the calls that wait fail, and the next one tries again.
        """
        if self._reached:
            self._lose(link, error)
            return
        self._cancel_timer()
        self._wanted = False
        self._rename(link)  # it may have heard us, though we did not hear it
        self._before = self._before[-MANY_NAMES:]
        for call in [call for call in self._calls.values() if call.waits]:
            self._drop(call.ticket)
            call.ticket.stage = "settled"
            call.ticket.trouble = self._explained(error)
            if call.ticket.wake is not None:
                call.ticket.wake()

    async def _exchange(self, link: Link) -> None:
        """Send all there is to tell, and take in what came of it."""
        now = self._clock.now()
        self._forget_idle(now)
        if not self._batch:
            raised = [("true_up", name, _number(most)) for name, most in self._raised.items()]
            self._batch = [*raised, *self._operations]
            self._operations, self._raised = [], {}
            self._sequence += 1
            self._batch[:0] = [("bury", name) for name in self._before]
            self._before = []
        self._cancel_timer()
        resync, self._resync = self._resync, False
        reply = await link.run(self._keys, self._arguments(link, now, resync=resync))
        self._take_in(link, reply)

    def _forget_idle(self, now: float) -> None:
        """Begin anew after a pause: our lease may have run out, and our knowledge of the lane."""
        if self._batch or now - self._heard_at < self._terms.lease / 2:
            return
        if any(call.asked or not call.waits for call in self._calls.values()):
            return
        if any(operation[0] != "enter" for operation in self._operations):
            return
        self._generation += 1
        self._sequence = 0
        if now - self._heard_at > self._known.keep:
            self._known = Known()

    def _arguments(self, link: Link, now: float, *, resync: bool, away: float = 0.0) -> list[str]:
        terms, limits, known = self._terms, self.limits, self._known
        return [
            LAYOUT,
            self._name_of(link),
            str(self._sequence),
            known.epoch,
            str(known.runs),
            link.name + format(self._count, "x"),
            str(max(1, known.members)),
            _number(away),
            "1" if resync else "0",
            _number(limits.concurrency),
            _number(limits.requests_per_minute),
            _number(limits.tokens_per_minute),
            limits.kind,
            "1" if limits.learn else "0",
            _number(terms.lease),
            _number(terms.ahead),
            _number(GRAIN),
            f"{terms.prefix}:",
            self.name,
            NO_TIME,
            _number(min(terms.lease, LONGEST_GRACE)),
            *_rendered(self._batch, now),
        ]

    def _take_in(self, link: Link, reply: Sequence[str]) -> None:
        self._know(reply)
        if reply[0] == "lost":
            self._start_again(link)
            return
        for operation in self._batch:
            if operation[0] == "enter" and (call := self._by_id.get(operation[1])) is not None:
                self._unasked -= not call.asked
                call.asked = True
        self._batch = []
        for grant in grants_of(reply):
            self._granted(*grant)
        look = float(reply[15])
        if look >= 0:
            self._look_at = self._clock.now() + look
            self._plan()
        if self._operations:
            self._flush(SOON)

    def _know(self, reply: Sequence[str]) -> None:
        if reply[0] == "layout":
            self._broken = CallerError(other_layout(self._terms.prefix, reply[1]))
            raise self._broken
        self._known = Known.read(reply).with_news(reply)
        self._heard_at = self._clock.now()
        self._terms.members = max(self._terms.members, self._known.members, 1)

    # --- saying anew what is there --------------------------------------------------------------

    def _start_again(self, link: Link) -> None:
        """Say anew what is there, under a new name."""
        self._rename(link)
        self._operations = [*self._adoptions(), *self._entries()]
        self._wanted = True

    def _rename(self, link: Link) -> None:
        """Take a new name; what the old one has in Redis is given up as used."""
        self._before.append(self._name_of(link))
        self._generation += 1
        self._sequence = 0
        self._batch, self._operations, self._raised = [], [], {}

    def _adoptions(self) -> Iterator[tuple[Any, ...]]:
        return self._adoptions_of(self._going())

    def _adoptions_of(self, calls: Sequence[_Call]) -> Iterator[tuple[Any, ...]]:
        for call in calls:
            ticket = call.ticket
            stage = "2" if ticket.stage == "answered" else "1"
            late = "1" if ticket.late else "0"
            since = _Since(ticket.admitted if not call.waits else self._clock.now())
            mode = "local" if call.local else "again"
            yield ("adopt", call.id, stage, _number(ticket.tokens), late, since, mode)

    def _entries(self) -> Iterator[tuple[Any, ...]]:
        """Ask for all who wait, in their order."""
        self._waiting = self._unasked = 0
        for call in self._calls.values():
            self._waiting += call.waits
            if call.waits and call.timer is None:
                call.local = call.asked = call.ticket.queued = False
                self._unasked += 1
                yield self._entry(call, again=False)

    def _going(self) -> list[_Call]:
        calls = self._calls.values()
        return [call for call in calls if not call.waits or call.timer is not None]

    # --- without Redis --------------------------------------------------------------------------

    def _lose(self, link: Link, error: BaseException) -> None:
        """Go on with a share of the limits; those who wait keep their order."""
        going = set(self._going())
        waiting = [call for call in self._calls.values() if call not in going]
        self._cancel_timer()
        self._rename(link)
        self._wanted = False
        self._away_since = self._clock.now()
        part = self._terms.share or 1 / max(1, self._known.members or self._terms.members)
        share = self._share = Share(
            part_of(self.limits, part),
            self._clock,
            self._terms.chance,
            in_flight=len(going),
            used=bool(self._known.epoch),
            ahead=self._terms.ahead,
        )
        link.lost(self, error)
        for call in waiting:
            call.local = call.asked = True
            if share.enter(call.ticket) and call.ticket.wake is not None:
                call.ticket.wake()

    def _end_away(self, call: _Call, share: Share, cost: float | None) -> None:
        """End a call while Redis is away: one of the share, or one that Redis had admitted."""
        ticket, now = call.ticket, self._clock.now()
        self._note_away(call, cost)
        if not call.local:
            ticket.stage = "settled"
            share.lane.in_flight -= 1
        elif cost is None:
            share.lane.refund(ticket, now)
        else:
            share.lane.settle(ticket, now, cost)
        share.turn()

    def _note_away(self, call: _Call, cost: float | None) -> None:
        """Note what to tell of a call that ends while Redis is away; None for one never sent."""
        if call.id in self._adopted:
            self._ended.append((call.id, cost if call.local else call.ticket.tokens))
        elif call.local and cost is not None:
            self._used.append(cost)

    async def come_back(self) -> bool:
        """Try Redis again: first say what goes on and what was used, then ask for who waits."""
        link, now = self._link, self._clock.now()
        if link is None or self._broken is not None:
            return True
        used, self._used = self._used, []
        burials = (("bury", name) for name in self._before)
        added = ("add", str(len(used)), _number(sum(used)))
        self._batch = [*burials, *self._adoptions(), added]
        self._adopted = {call.id: call.ticket.stage for call in self._going()}
        self._sequence = 1
        away = now - self._away_since
        try:
            reply = await link.run(self._keys, self._arguments(link, now, resync=False, away=away))
            self._return(reply)
        except TROUBLE:
            self._used = [
                *used,
                *self._used,
                *(cost for _, cost in self._ended if cost is not None),
            ]
            self._rename(link)
            return False
        except CallerError as error:
            logger.error("%s; going on with a local share of the limits", error)
        finally:
            self._adopted, self._ended = {}, []
        return True

    def _return(self, reply: Sequence[str]) -> None:
        """Leave the share; tell what has changed while the first word was on its way."""
        self._know(reply)
        share, self._share = self._share, None
        if share is not None:
            share.stop()
        self._batch, self._before = [], []
        ended = [self._ending(name, cost) for name, cost in self._ended]
        known = [call for call in self._going() if call.id in self._adopted]
        answered = [
            ("answered", call.id, _Since(self._clock.now()))
            for call in known
            if call.ticket.stage != self._adopted[call.id]
        ]
        for call in known:
            call.local = False
        unknown = [call for call in self._going() if call.id not in self._adopted]
        self._operations = [*ended, *answered, *self._adoptions_of(unknown), *self._entries()]
        for call in unknown:
            call.local = False
        self._flush(0.0)

    def _ending(self, name: str, cost: float | None) -> tuple[Any, ...]:
        if cost is None:
            return ("refund", name)
        return ("settle", name, _Since(self._clock.now()), _number(cost))


def _rendered(operations: Sequence[tuple[Any, ...]], now: float) -> Iterator[str]:
    for operation in operations:
        for part in operation:
            yield _number(max(0.0, now - part.at)) if isinstance(part, _Since) else part


def _flag(value: bool) -> str:  # noqa: FBT001 - what is told is a word
    return "1" if value else "0"


def _number(value: float | None) -> str:
    return "" if value is None else repr(float(value))


def _digest(fair_key: str | None) -> str:
    """Give a short name for an end user, who is none of the server's business."""
    if fair_key is None:
        return ""
    return blake2b(fair_key.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _until(limit: float | None, left: float | None, amount: float) -> float:
    if limit is None or left is None:
        return 0.0
    return (amount - left) * MINUTE / limit
