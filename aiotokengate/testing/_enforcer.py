"""Rate limits as a gateway enforces them: who is let in, who is refused, and when to come back.

Strategy.  Time is an argument, so that the same enforcer stands behind the fake gateway's socket
and inside a simulation of hours.  A :class:`RateLimit` says what is counted, by what, and how a
minute is meant.  For each quota (one for each key, say) it has gauges: a bucket's level, a
window's count or the log of a sliding window, each of which only knows how long a cost would
have to wait.  A call is let in when no gauge of no limit lets it wait, and only then is anything
charged, so a refusal costs nothing, or with ``count_refused`` a request.

None of this is shared with the client's own limiter, or one mistake could hide in both.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import NamedTuple

import attrs

from aiotokengate.testing._gauges import INSTANT, MINUTE
from aiotokengate.testing._limits import Because, RateLimit
from aiotokengate.testing._quotas import Account, Rule

__all__ = ["Decision", "Enforcer", "Permit", "Verdict"]

_MILLISECONDS = 1000
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@attrs.frozen(eq=False)
class Permit:
    """A call that was let in and has not ended.

    Attributes:
        key: whose call it is; never shown.
        model: that is asked.
        prompt_tokens: of its prompt.
    """

    key: str = attrs.field(repr=False)
    model: str
    prompt_tokens: int


@attrs.frozen(kw_only=True)
class Verdict:
    """Whether a call is let in.

    Attributes:
        ticket: to be given to ``Enforcer.finish``; None for a call that is refused.
        because: what refuses it.
        limit: whose limit that is.
        retry_after: seconds until the same call would be let in if no other came.  None for a
            call that is let in, and where only the end of another call would help; ``inf``
            where nothing would.
        headers: what the answer tells about the limits, where one of them says so.
    """

    ticket: Permit | None = None
    because: Because | None = None
    limit: RateLimit | None = None
    retry_after: float | None = None
    headers: Mapping[str, str] = _NO_HEADERS

    @property
    def admitted(self) -> bool:
        """Whether the call is let in."""
        return self.ticket is not None


class Decision(NamedTuple):
    """What was decided about a call: when, the tokens charged for it then, and whether it came in.

    Where tokens are charged by usage, none are charged at that time.
    """

    time: float
    tokens: int
    admitted: bool


class Enforcer:
    """Lets calls in or refuses them, by limits; on any clock, a virtual one among them.

    Example::

        enforcer = Enforcer(RateLimit(requests_per_minute=60))
        verdict = enforcer.admit(0.0, key="a", model="m", prompt_tokens=11, max_tokens=100)
        if verdict.ticket is not None:
            enforcer.finish(2.5, verdict.ticket, completion_tokens=87)

    A call has to pass every limit whose ``models`` it matches.  Time that runs backwards stands
    still.

    Attributes:
        admitted: how many calls were let in.
        peak_in_flight: how many of them there were at a time, at most.
    """

    def __init__(
        self, limits: RateLimit | Sequence[RateLimit] = (), *, keep: int = 10_000
    ) -> None:
        """Begin with nothing used.

        Args:
            limits: one or several.
            keep: how many of the last decisions ``history`` keeps.

        Raises:
            TypeError: what is given is no limit.
        """
        self.admitted: int = 0
        self.peak_in_flight: int = 0
        self._rules = [Rule(limit) for limit in _listed(limits)]
        self._refusals: Counter[Because] = Counter()
        self._history: deque[Decision] = deque(maxlen=keep)
        self._open: dict[Permit, Sequence[Account]] = {}
        self._now = -math.inf

    @property
    def limits(self) -> tuple[RateLimit, ...]:
        """The limits as they are now."""
        return tuple(rule.limit for rule in self._rules)

    @property
    def in_flight(self) -> int:
        """How many calls were let in and have not ended."""
        return len(self._open)

    @property
    def refused(self) -> int:
        """How many calls were refused."""
        return self._refusals.total()

    @property
    def refusals(self) -> Mapping[Because, int]:
        """How many calls were refused because of what."""
        return dict(self._refusals)

    @property
    def history(self) -> tuple[Decision, ...]:
        """The last decisions, the oldest first."""
        return tuple(self._history)

    def admit(
        self, now: float, *, key: str, model: str, prompt_tokens: int, max_tokens: int | None
    ) -> Verdict:
        """Let a call in, and charge it, or refuse it, which costs a request at most.

        Args:
            now: seconds, on the clock of all calls.
            key: whose call it is.
            model: that is asked.
            prompt_tokens: of its prompt.
            max_tokens: the most that the reply may have; None if the call does not say.

        Raises:
            ValueError: a number of tokens is none.
        """
        _check_tokens(prompt_tokens=prompt_tokens, max_tokens=max_tokens or 0)
        now = self._tick(now)
        ticket = Permit(key, model, prompt_tokens)
        costs = [
            (account, account.limit.cost(prompt_tokens, max_tokens))
            for account in self._accounts(now, ticket)
        ]
        verdict = _judged(now, ticket, costs)
        charged = [cost for account, cost in costs if account.limit.charge == "max_tokens"]
        self._note(now, verdict, max(charged, default=0))
        if verdict.admitted:
            self._begin(now, ticket, costs)
        else:
            for account, _ in costs:
                account.turn_away(now)
        return _told(now, verdict, [account for account, _ in costs])

    def told(self, now: float, *, key: str, model: str) -> Mapping[str, str]:
        """Return what headers that are written now tell about the limits."""
        accounts = self._accounts(self._tick(now), Permit(key, model, 0))
        return _told(self._now, Verdict(), accounts).headers

    def finish(
        self,
        now: float,
        ticket: Permit,
        completion_tokens: int = 0,
        *,
        prompt_tokens: int | None = None,
    ) -> None:
        """End a call, whether its reply was whole, cut, or abandoned.

        Args:
            now: seconds, on the clock of all calls.
            ticket: the call's.
            completion_tokens: what was produced until now.
            prompt_tokens: if it is not what it was taken for; 0 if the call failed and the
                gateway counts nothing.

        Raises:
            ValueError: a number of tokens is none, or the call has ended before.
        """
        prompt = ticket.prompt_tokens if prompt_tokens is None else prompt_tokens
        _check_tokens(prompt_tokens=prompt, completion_tokens=completion_tokens)
        accounts = self._open.pop(ticket, None)
        if accounts is None:
            message = f"expected the ticket of a call that has not ended, got {ticket!r}"
            raise ValueError(message)
        now = self._tick(now)
        for account in accounts:
            account.end(now, prompt + completion_tokens)

    def change(
        self, limits: RateLimit | Sequence[RateLimit] = (), *, now: float | None = None
    ) -> None:
        """Let other limits hold from now on, for calls that have not ended, too.

        What is used stays used where a limit is replaced by one of the same kind, charge, per
        and models: a window keeps its calls, a bucket stays as full as it was.  Any other limit
        begins with nothing used.

        Args:
            limits: one, several or none.
            now: seconds, on the clock of all calls; None is when the last of them came or went.

        Raises:
            TypeError: what is given is no limit.
        """
        old, listed = self._rules, _listed(limits)
        now = self._tick(self._now if now is None else now)
        self._rules = [Rule(limit) for limit in listed]
        for rule in self._rules:
            rule.inherit(now, old)
            for account in rule.accounts.values():
                account.in_flight = 0
        self._open = {ticket: self._accounts(now, ticket) for ticket in self._open}
        for accounts in self._open.values():
            for account in accounts:
                account.in_flight += 1

    def _tick(self, now: float) -> float:
        self._now = max(self._now, now)
        return self._now

    def _accounts(self, now: float, ticket: Permit) -> Sequence[Account]:
        return [
            rule.account(now, ticket.key, ticket.model)
            for rule in self._rules
            if fnmatchcase(ticket.model, rule.limit.models)
        ]

    def _begin(self, now: float, ticket: Permit, costs: Sequence[tuple[Account, int]]) -> None:
        for account, cost in costs:
            account.begin(now, cost)
        self._open[ticket] = [account for account, _ in costs]
        self.peak_in_flight = max(self.peak_in_flight, len(self._open))

    def _note(self, now: float, verdict: Verdict, charged: int) -> None:
        if verdict.because is None:
            self.admitted += 1
        else:
            self._refusals[verdict.because] += 1
        self._history.append(Decision(now, charged if verdict.admitted else 0, verdict.admitted))


def _listed(limits: RateLimit | Sequence[RateLimit]) -> tuple[RateLimit, ...]:
    if isinstance(limits, RateLimit):
        return (limits,)
    listed = limits if isinstance(limits, Sequence) and not isinstance(limits, str) else [limits]
    for limit in listed:
        if not isinstance(limit, RateLimit):
            message = f"expected a RateLimit or a sequence of them, got {type(limit).__name__}"
            raise TypeError(message)
    return tuple(limits)


def _check_tokens(**amounts: int) -> None:
    for name, amount in amounts.items():
        if type(amount) is not int or amount < 0:
            message = f"{name}: expected an integer from 0, got {amount!r}"
            raise ValueError(message)


def _judged(now: float, ticket: Permit, costs: Sequence[tuple[Account, int]]) -> Verdict:
    """Ask every account; the first that refuses is named, the longest wait is told."""
    found = [
        (account.limit, because, seconds)
        for account, cost in costs
        for because, seconds in account.obstacles(now, cost)
    ]
    if not found:
        return Verdict(ticket=ticket)
    limit, because, _ = found[0]
    longest = max(seconds for *_, seconds in found)
    return Verdict(because=because, limit=limit, retry_after=longest or None)


# --- what the headers say -----------------------------------------------------------------------


def _told(now: float, verdict: Verdict, accounts: Sequence[Account]) -> Verdict:
    """Add the headers, where a limit wants them."""
    telling = [account for account in accounts if account.limit.headers]
    headers = {
        **_levels(now, "requests", telling),
        **_levels(now, "tokens", telling),
        **_retry_after(verdict),
    }
    return attrs.evolve(verdict, headers=headers) if headers else verdict


def _levels(now: float, measure: Because, accounts: Sequence[Account]) -> dict[str, str]:
    """Tell of the gauge that has least left."""
    gauges = [each.gauges[measure] for each in accounts if measure in each.gauges]
    if not gauges:
        return {}
    tightest = min(gauges, key=lambda gauge: gauge.left(now))
    left = tightest.left(now) + tightest.limit * INSTANT / MINUTE
    return {
        f"x-ratelimit-limit-{measure}": str(math.floor(tightest.limit)),
        f"x-ratelimit-remaining-{measure}": str(max(0, math.floor(left))),
        f"x-ratelimit-reset-{measure}": _duration(tightest.reset(now)),
    }


def _duration(seconds: float) -> str:
    """Write a duration as OpenAI does: ``17ms``, ``8.64s``, ``1m0s``."""
    milliseconds = math.ceil((seconds - INSTANT) * _MILLISECONDS)
    if 0 < milliseconds < _MILLISECONDS:
        return f"{milliseconds}ms"
    minutes, rest = divmod(max(0, milliseconds) / _MILLISECONDS, MINUTE)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"


def _retry_after(verdict: Verdict) -> dict[str, str]:
    seconds = verdict.retry_after
    wanted = verdict.limit is not None and verdict.limit.retry_after
    if not wanted or seconds is None or seconds == math.inf:
        return {}
    return {"Retry-After": str(max(1, math.ceil(seconds - INSTANT)))}
