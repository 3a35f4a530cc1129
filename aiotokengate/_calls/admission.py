"""One call's dealings with the pool: which key it takes, its place in the lane, what it cost.

Strategy.  A :class:`Turn` is taken for every attempt and ends exactly once, in one of four ways:
the reply is over, the attempt failed, it was refused, or nobody wants it any more.
Nothing here waits but :meth:`Turn.wait`, and that gives the place back itself when cancelled.

Whether a call may go now is decided by :mod:`aiotokengate._policy.lanes`, from the lane's state
and the time alone (``Lane.enter``, ``Lane.admit``, and under both ``Lane._ready_at``);
:mod:`aiotokengate._pool.pool` finds the lane.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import attrs

from aiotokengate._pool.pool import Pool
from aiotokengate._wire.headers import remaining
from aiotokengate.errors import (
    CallerError,
    ConnectFailed,
    Overloaded,
    ServerFailed,
    StatusError,
    TimedOut,
    TokenGateError,
)
from aiotokengate.hooks import Queued, emit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiotokengate._calls.request import CallPolicy
    from aiotokengate._calls.routes import Route, Routes
    from aiotokengate._http.connections import Progress
    from aiotokengate._policy.lanes import Ticket
    from aiotokengate._pool.holding import Hold
    from aiotokengate._pool.pool import BackendLane
    from aiotokengate._stream.receiver import Receiver
    from aiotokengate.clock import Clock
    from aiotokengate.hooks import Hook

__all__ = ["ADMITTED", "Admission", "Turn"]

ADMITTED: ContextVar[Callable[[], object] | None] = ContextVar("ADMITTED", default=None)
"""Called when a call of this context was let in, for who wants to start the next one then."""


@attrs.define(eq=False, repr=False)
class Admission:
    """What the calls of a session need to be admitted.

    Attributes:
        routes: the session's keys and addresses.
        pool: that lets calls in.
        owned: whether the pool is the session's own.
        hooks: to be told who waits.
        clock: the session's.
    """

    routes: Routes
    pool: Pool
    owned: bool
    hooks: tuple[Hook, ...]
    clock: Clock
    _others: WeakKeyDictionary[asyncio.AbstractEventLoop, Pool] = attrs.field(
        factory=WeakKeyDictionary
    )

    def pool_here(self) -> Pool:
        """Return the running loop's pool; one of our own never keeps another loop waiting."""
        loop = asyncio.get_running_loop()
        if not self.owned or self.pool.serves(loop):
            return self.pool
        pool = self._others.get(loop)
        if pool is None:
            pool = self._others[loop] = Pool(clock=self.clock)
        return pool

    async def close(self) -> None:
        """Close the session's own pools, and the connections of the running loop."""
        if self.owned:
            for pool in (self.pool, *self._others.values()):
                pool.close_in_its_loop()
        for route in self.routes.all:
            await route.transport.close()


class Turn:
    """One call's place in the pool, anew for every attempt.

    Attributes:
        route: the key and address that it takes.
        queued: seconds that it waited for this attempt.
        progress: how far the request came that it was taken for, while that is known.
    """

    __slots__ = (
        "_admission",
        "_avoid",
        "_held",
        "_hold",
        "_lane",
        "_model",
        "_policy",
        "_pool",
        "_ticket",
        "progress",
        "queued",
        "route",
    )

    def __init__(self, admission: Admission, model: str, policy: CallPolicy) -> None:
        self._admission = admission
        self._model = model
        self._policy = policy
        self._pool: Pool
        self._avoid: Route | None = None
        self._lane: BackendLane | None = None
        self._ticket: Ticket | None = None
        self._hold: Hold | None = None
        self._held: tuple[BackendLane, ...] = ()
        routes, endpoint = admission.routes, policy.endpoint
        self.route = routes.named(endpoint) if endpoint else routes.all[0]
        self.queued = 0.0
        self.progress: Progress | None = None

    def take(self) -> bool:
        """Go at once if the pool lets the call in, or stand in the queue; say which."""
        model, policy = self._model, self._policy
        self.progress = None
        if not policy.pooled:
            return True
        admission, ticket = self._admission, self._ticket
        pool = self._pool = admission.pool_here()
        lane = pool.lane(model, self.route.name)
        if ticket is None:
            ticket = pool.ticket(lane, model, policy.size, policy.priority, policy.fair_key)
        if admission.routes.several:
            self.route = admission.routes.choose(pool, model, ticket, self._avoid)
            lane = pool.lane(model, self.route.name)
        self._lane, self._ticket = lane, ticket
        self.queued = 0.0
        if not lane.enter(ticket):
            return False
        self._taken()
        return True

    async def wait(self, number: int, left: float | None) -> None:
        """Wait in the queue until the pool lets the call in.

        Args:
            number: of the call, for the hooks.
            left: seconds until its deadline.

        Raises:
            QueueFull: too many wait already.
            TimedOut: the deadline came first.
            CallerError: the pool was closed meanwhile; or every place that there is for the call
                is held by streams of its own task.
        """
        from aiotokengate._pool.slots import wait_for_turn

        admission, lane, ticket = self._admission, self._lane, self._ticket
        assert lane is not None  # noqa: S101 - for the type checker
        assert ticket is not None  # noqa: S101 - for the type checker
        began = admission.clock.now()
        if admission.hooks:
            why = lane.waiting(ticket)
            queued = Queued(number, self._model, why.position, why.eta, why.because)
            emit(admission.hooks, queued)
        try:
            while not await wait_for_turn(self._pool, lane, ticket, left):
                lane = self._another_lane(lane, ticket)
                if lane.enter(ticket):
                    break
        except TimedOut as error:
            deadline = self._policy.deadline or error.seconds
            raise TimedOut("deadline", deadline) from None  # noqa: EM101 - a phase, no message
        self.queued = admission.clock.now() - began
        self._taken()

    def _another_lane(self, lane: BackendLane, ticket: Ticket) -> BackendLane:
        """Return the lane of another key, where that of this one is held by the task itself.

        Raises:
            CallerError: so are those of all keys.
        """
        model, pool = self._model, self._pool
        self._held += (lane,)
        for route in self._admission.routes.all:
            other = pool.lane(model, route.name)
            if other not in self._held:
                self.route, self._lane = route, other
                ticket.stage = "new"
                return other
        from aiotokengate._pool.holding import for_itself

        raise for_itself()

    def hand_over(self) -> Hold | None:
        """Note that the caller has the reply now, and with it the place, until it is over."""
        from aiotokengate._pool.holding import Hold

        if self._lane is not None and self._ticket is not None:
            self._hold = Hold(self._pool.holds, self._lane, stream=True)
        return self._hold

    def _taken(self) -> None:
        self.route.in_flight += 1
        if (tell := ADMITTED.get()) is not None:
            tell()

    @property
    def name(self) -> str | None:
        """The key's masked name, where there are several."""
        return self.route.name if self._admission.routes.several else None

    @property
    def endpoint(self) -> str:
        """What :meth:`Routes.named` takes, where there are several keys."""
        return self.route.digest if self._admission.routes.several else ""

    # --- how it ends ----------------------------------------------------------------------------

    def answered(self, headers: Mapping[str, str]) -> None:
        """Note that the gateway let the call in, and what it said is left."""
        if self._lane is not None and self._ticket is not None:
            self._lane.answered(self._ticket, remaining(headers))
            if self.route.asides:
                self._admission.routes.worked(self._pool, self.route, self._model)

    @property
    def has_left(self) -> bool:
        """Whether the request may have left; true where that is not known."""
        return self.progress is None or self.progress.sent

    @property
    def watches_tokens(self) -> bool:
        """Whether somebody wants to know how many tokens the reply has so far."""
        lane, ticket = self._lane, self._ticket
        return ticket is not None and ticket.late and lane is not None and lane.counts_tokens

    def true_up(self, receiver: Receiver) -> None:
        """Count what the reply has so far: about a token for each entry of its log."""
        if self._lane is not None and self._ticket is not None:
            prompt = self._pool.prompt_tokens(self._model, self._ticket)
            self._lane.true_up(self._ticket, prompt + len(receiver.log))

    def settle(self, receiver: Receiver) -> None:
        """Release the place when the reply is over, whichever way."""
        lane, ticket = self._lane, self._ticket
        if lane is None or ticket is None or not self._leave():
            return
        if not lane.counts_tokens:
            lane.settle(ticket)
            return
        pool, model, usage = self._pool, self._model, receiver.reply().usage
        prompt, written = usage.prompt_tokens or 0, usage.completion_tokens or 0
        if not usage.estimated:
            pool.learn(model, ticket, prompt, written)
            most = written if ticket.late else self._policy.size.max_tokens
            lane.settle(ticket, prompt + (most or written))
        elif ticket.late:
            lane.settle(ticket, pool.prompt_tokens(model, ticket) + written)
        else:
            lane.settle(ticket)

    def done(self, tokens: float | None = None) -> None:
        """Release the place of a call without deltas, which cost ``tokens`` if that is told."""
        lane, ticket = self._lane, self._ticket
        if lane is not None and ticket is not None and self._leave():
            lane.settle(ticket, tokens)

    def refused(self, error: TokenGateError, wait: float, *, hinted: bool = False) -> float:
        """End the turn after a refusal for a limit; return for how long the lane holds.

        Args:
            error: the refusal.
            wait: seconds until the call may come again, jitter included; 0 if it does not.
            hinted: whether the gateway named them; then the lane holds no longer.
        """
        lane, ticket = self._lane, self._ticket
        if lane is None or ticket is None or not self._leave():
            return wait
        named = error.retry_after if isinstance(error, StatusError) else None
        hinted = hinted or named is not None
        asked = wait if wait or not hinted else self._asked(named)
        return lane.refuse(
            ticket,
            asked,
            crowded=_names_concurrency(error.message),
            hinted=hinted and asked is not None,
            final=not wait,
        )

    def _asked(self, named: float | None) -> float | None:
        """Return for how long others wait, when the call that was refused does not come again.

        A wait that no call would bear is none for the lane: its calls are to hear of it.
        """
        return named if named is None or named <= self._policy.retry.max_wait else None

    def failed(self, error: TokenGateError) -> bool:
        """Release the place after any other failure; say whether another key is to be tried."""
        lane, ticket = self._lane, self._ticket
        if lane is None or ticket is None or not self._leave():
            return False
        if _never_sent(error) or (isinstance(error, TimedOut) and not self.has_left):
            lane.refund(ticket)
        elif isinstance(error, Overloaded):
            lane.crowd(ticket)
        elif _refused(error):
            lane.settle(ticket, 0.0)
        else:  # it may have been begun: all that it may have cost
            lane.settle(ticket)
        self._ticket = None
        self._avoid = self.route
        admission = self._admission
        return admission.routes.leaves(self._pool, self.route, self._model, error)

    def drop(self) -> None:
        """Release the place of a call that was cancelled before its reply began."""
        lane, ticket = self._lane, self._ticket
        if lane is None or ticket is None or not self._leave():
            return
        if self.has_left:
            self._settle_prompt(lane, ticket)
        else:
            lane.refund(ticket)

    def _settle_prompt(self, lane: BackendLane, ticket: Ticket) -> None:
        """Count the prompt of a call that may have been read, though nothing came of it."""
        late = ticket.late and lane.counts_tokens
        prompt = self._pool.prompt_tokens(self._model, ticket) if late else None
        lane.settle(ticket, prompt)

    def _leave(self) -> bool:
        """Say whether there is a place to give back."""
        if self._ticket is None or self._ticket.stage not in ("admitted", "answered"):
            return False
        if self._hold is not None:
            self._hold.release()
        self.route.in_flight -= 1
        return True


def _refused(error: TokenGateError) -> bool:
    """Say whether the gateway answered that it does not do this, and so did not begin it."""
    return isinstance(error, StatusError) and not isinstance(error, ServerFailed)


def _never_sent(error: TokenGateError) -> bool:
    """Say whether the request can't have left."""
    unconnected = isinstance(error, TimedOut) and error.phase == "connect"
    return unconnected or isinstance(error, CallerError | ConnectFailed)


def _names_concurrency(message: str) -> bool:
    return "concurren" in message.lower() or "并发" in message
