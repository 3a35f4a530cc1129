"""Waiting for a turn in a pool, and the slots that other clients enter.

Imported with the first call that has to wait, and the first slot.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Protocol, Self

from aiotokengate._base.copying import Unique
from aiotokengate._base.sealing import sealed
from aiotokengate._base.settings import COUNT, checked
from aiotokengate._pool.holding import Hold, Wait, for_itself
from aiotokengate._wire.headers import remaining
from aiotokengate.errors import CallerError, TimedOut

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from aiotokengate._policy.lanes import Ticket
    from aiotokengate._policy.statistics import Waiting
    from aiotokengate._pool.backend import BackendLane
    from aiotokengate.clock import Clock

__all__ = ["Host", "Slot", "wait_for_turn"]


class Host(Protocol):
    """The pool, as those who wait in it know it.

    Attributes:
        clock: for deadlines.
        waiting: futures, which the pool ends when it is closed.
        holds: who holds places of a lane.
    """

    clock: Clock
    waiting: set[asyncio.Future[None]]
    holds: dict[BackendLane, set[Hold]]

    def check_open(self) -> None:
        """Refuse to go on after the pool was closed."""

    def check_queue(self, lane: BackendLane) -> None:
        """Raise :class:`QueueFull` where as many wait as may."""


class Slot(Unique):
    """A place in the pool: waited for on entering, given back on leaving.

    Without :meth:`settle`, leaving counts what was expected; after an exception, what
    :meth:`true_up` said was used, if it said something and tokens are charged by usage.
    """

    __slots__ = ("_deadline", "_hold", "_lane", "_pool", "_ticket", "_used")

    _instead = "a slot is entered once, ask the pool for another one"

    def __init__(
        self, pool: Host, lane: BackendLane, ticket: Ticket, deadline: float | None
    ) -> None:
        self._pool = pool
        self._lane = lane
        self._ticket = ticket
        self._deadline = deadline
        self._hold: Hold | None = None
        self._used = 0.0

    async def __aenter__(self) -> Self:
        """Wait for admission.

        Raises:
            QueueFull: too many wait already.
            TimedOut: the deadline has passed.
            CallerError: the slot was used before, or the pool is closed; or every place of the
                lane is held by streams of this very task.
        """
        self._pool.check_open()
        if self._ticket.stage != "new":
            message = "a slot can be entered once; ask the pool for another one"
            raise CallerError(message)
        if not self._lane.enter(self._ticket):
            went = await wait_for_turn(self._pool, self._lane, self._ticket, self._deadline)
            if not went:
                raise for_itself()
        self._hold = Hold(self._pool.holds, self._lane, stream=False)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release the place, if that was not done before."""
        if self._ticket.stage == "settled":
            return
        self._let_go()
        failed = kind is not None and self._ticket.late
        self._lane.settle(self._ticket, (self._used or None) if failed else None)

    @sealed
    def answered(self, headers: Mapping[str, str] | None = None) -> None:
        """Say that the gateway's answer began: from now on the call counts for its minute.

        Args:
            headers: of the answer; what they say is left is believed.

        Raises:
            CallerError: there is no place held.
        """
        self._check_held()
        self._lane.answered(self._ticket, remaining(headers) if headers else None)

    @sealed
    def true_up(self, tokens: float) -> None:
        """Say how many tokens the call has used so far, prompt included.

        Raises:
            CallerError: there is no place held, or a number below 0.
        """
        self._check_held()
        self._used = checked(tokens, COUNT)
        self._lane.true_up(self._ticket, self._used)

    @sealed
    def settle(self, tokens: float | None = None) -> None:
        """Release the place, and say what the call cost; more than was reserved counts too.

        Args:
            tokens: prompt and reply together; None for what was expected.

        Raises:
            CallerError: there is no place held, or a number below 0.
        """
        self._check_held()
        cost = None if tokens is None else checked(tokens, COUNT)
        self._let_go()
        self._lane.settle(self._ticket, cost)

    def refund(self) -> None:
        """Release the place of a call that was never sent.

        Raises:
            CallerError: there is no place held.
        """
        self._check_held()
        self._let_go()
        self._lane.refund(self._ticket)

    @sealed
    def refuse(self, retry_after: float | None = None) -> float:
        """Release the place: the gateway refused the call (429).  The lane holds still.

        Args:
            retry_after: seconds, if the gateway said.

        Returns:
            Seconds for which the lane holds.

        Raises:
            CallerError: there is no place held, or a number below 0.
        """
        self._check_held()
        hint = None if retry_after is None else checked(retry_after, COUNT)
        self._let_go()
        return self._lane.refuse(self._ticket, hint, crowded=False, hinted=hint is not None)

    @property
    def waiting(self) -> Waiting | None:
        """Why it waits, at which place and for how long; None when it does not."""
        if self._ticket.stage != "waiting":
            return None
        return self._lane.waiting(self._ticket)

    def __repr__(self) -> str:
        """Show how far it is."""
        return f"<Slot {self._ticket.stage}, {self._ticket.tokens:g} tokens>"

    def _check_held(self) -> None:
        if self._ticket.stage not in ("admitted", "answered"):
            message = f"expected a slot that is held, this one is {self._ticket.stage}"
            raise CallerError(message)
        if self._hold is not None:
            self._hold.touch()

    def _let_go(self) -> None:
        if self._hold is not None:
            self._hold.release()
            self._hold = None


async def wait_for_turn(
    pool: Host,
    lane: BackendLane,
    ticket: Ticket,
    deadline: float | None = None,
) -> bool:
    """Wait until a queued ticket is admitted; whatever happens, no place is lost.

    Args:
        pool: that the lane belongs to.
        lane: where it waits.
        ticket: that :meth:`BackendLane.enter` did not admit.
        deadline: seconds to wait at most.

    Returns:
        Whether it was; False where it would wait for its own task for ever.

    Raises:
        QueueFull: too many wait already.
        TimedOut: not within ``deadline`` seconds.
        CallerError: the pool was closed meanwhile.
        TokenGateError: the lane can't be asked, such as one in a Redis that was never reached.
    """
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    ticket.wake = partial(_wake, future)
    timer = watched = None
    pool.waiting.add(future)
    try:
        pool.check_queue(lane)
        if deadline is not None:
            timer = pool.clock.call_later(deadline, partial(_expire, future, deadline))
        if ticket.stage == "waiting":
            watched = Wait.begin(pool.holds, lane, ticket, pool.clock, ticket.wake)
            await future
        if ticket.stage == "waiting":
            lane.leave(ticket)
            return False
    except BaseException:
        if ticket.stage == "waiting":
            lane.leave(ticket)
        else:
            lane.refund(ticket)
        raise
    finally:
        ticket.wake = None
        pool.waiting.discard(future)
        if timer is not None:
            timer.cancel()
        if watched is not None:
            watched.end()
    if ticket.trouble is not None:
        raise ticket.trouble
    return True


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _expire(future: asyncio.Future[None], seconds: float) -> None:
    if not future.done():
        future.set_exception(TimedOut("deadline", seconds))
