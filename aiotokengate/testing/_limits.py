"""Rate limits as a gateway enforces them: who is let in, who is refused, and when to come back.

Strategy.  Time is an argument, so that the same enforcer stands behind the fake gateway's socket
and inside a simulation of hours.  A :class:`RateLimit` says what is counted, by what, and how a
minute is meant.  For each quota (one for each key, say) it has gauges: a bucket's level, a
window's count or the log of a sliding window, each of which only knows how long a cost would
have to wait.  A call is let in when no gauge of no limit lets it wait, and only then is anything
charged, so a refusal costs nothing, or with ``count_refused`` a request.

The arithmetic is exact up to an instant of a microsecond: times that differ by less are the
same, since sums of times and rates are rounded, and whoever comes just when there is room must
not be refused for the last bit of a float.  Counts are integers and are not rounded at all.

None of this is shared with the client's own limiter, or one mistake could hide in both.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import accumulate
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, get_args

import attrs

__all__ = [
    "Because",
    "Charge",
    "Decision",
    "Enforcer",
    "Kind",
    "Per",
    "Permit",
    "RateLimit",
    "Style",
    "Verdict",
]

Kind = Literal["bucket", "fixed", "sliding"]
Charge = Literal["max_tokens", "usage"]
Per = Literal["key", "model", "key and model", "gateway"]
Style = Literal["json", "empty", "sglang"]
Because = Literal["concurrency", "burst", "requests", "tokens", "oversized"]

_Quota: TypeAlias = tuple[str, ...]

_MINUTE = 60.0
_SECOND = 1.0
_INSTANT = 1e-6
_MILLISECONDS = 1000
_MEASURES = ("requests_per_minute", "tokens_per_minute", "concurrency", "burst_slope")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


# --- the limits as values -----------------------------------------------------------------------


def _positive(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept a number above 0, or None."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (number and 0 < value < math.inf):  # type: ignore[operator]
        _wrong(attribute, "a number above 0 or None", value)


def _count(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept an integer from 1, or None."""
    if value is not None and (type(value) is not int or value < 1):
        _wrong(attribute, "an integer from 1 or None", value)


def _natural(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept an integer from 0."""
    if type(value) is not int or value < 0:
        _wrong(attribute, "an integer from 0", value)


def _finite(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept seconds."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        _wrong(attribute, "a finite number of seconds", value)


def _word(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept a pattern."""
    if not isinstance(value, str) or not value:
        _wrong(attribute, "a pattern of model names such as 'qwen*'", value)


def _wrong(attribute: attrs.Attribute[Any], expected: str, value: object) -> None:
    message = f"{attribute.name}: expected {expected}, got {value!r}"
    raise ValueError(message)


def _one_of(names: object) -> Any:  # noqa: ANN401  attrs validators are of no simpler type
    allowed = get_args(names)

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in allowed:
            _wrong(attribute, f"one of {', '.join(map(repr, allowed))}", value)

    return check


@attrs.frozen(kw_only=True)
class RateLimit:
    """What a gateway allows, by what it counts, and how it refuses.

    Example::

        RateLimit(requests_per_minute=300, tokens_per_minute=60_000)
        RateLimit(requests_per_minute=60, kind="fixed", per="model", models="qwen*")
        RateLimit(concurrency=32, refusal="sglang", per="gateway")
        RateLimit()  # allows everything, and counts

    Attributes:
        requests_per_minute: None is as many as come.
        tokens_per_minute: None is as many as come.
        concurrency: calls at a time, from their admission to the last byte of their reply.
        kind: how a minute is meant.  A ``bucket`` holds one minute, starts full and is refilled
            continuously; ``fixed`` counts anew every minute; ``sliding`` looks back 60 s.
        phase: seconds at which a ``fixed`` minute begins, on the clock that is used.
        charge: when tokens are counted.  ``max_tokens``: the prompt and all of ``max_tokens``
            at admission, never refunded.  ``usage``: at admission the prompt has to fit what is
            left, and the prompt and what was produced are charged when the reply ends, also
            when the client left in the middle.
        default_max_tokens: what stands for ``max_tokens`` where a request gives none.
        per: what has a quota of its own.
        models: a pattern (``fnmatch``, case-sensitive) of the models that it applies to.
        burst_slope: requests in any one second, at most, also while the minute has room (wire:
            Model Studio's documentation on rate limits).
        refuse_oversized: refuse what is larger than a whole minute.  Otherwise it is let in
            when nothing of the minute is used, and a bucket is in debt afterwards.
        refusal: ``json`` is a 429 with new-api's error object, ``empty`` a 429 without a body
            (new-api's limiters in memory), ``sglang`` the first event of a stream with status
            200 that says 503 (SGLang with a full queue; wire: SGLang's source).
        headers: send ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}`` with every
            answer, refusals among them (wire: OpenAI's API reference).
        retry_after: send ``Retry-After`` with refusals: the whole seconds until the same
            request would be let in if no other came.
        count_refused: count a request that is refused, too, as far as there is room for it
            (OpenAI's guide to rate limits: unsuccessful requests contribute to the limit).

    Raises:
        ValueError: a value is none of these.
    """

    requests_per_minute: float | None = attrs.field(default=None, validator=_positive)
    tokens_per_minute: float | None = attrs.field(default=None, validator=_positive)
    concurrency: int | None = attrs.field(default=None, validator=_count)
    kind: Kind = attrs.field(default="bucket", validator=_one_of(Kind))
    phase: float = attrs.field(default=0.0, validator=_finite)
    charge: Charge = attrs.field(default="max_tokens", validator=_one_of(Charge))
    default_max_tokens: int = attrs.field(default=1000, validator=_natural)
    per: Per = attrs.field(default="key", validator=_one_of(Per))
    models: str = attrs.field(default="*", validator=_word)
    burst_slope: int | None = attrs.field(default=None, validator=_count)
    refuse_oversized: bool = False
    refusal: Style = attrs.field(default="json", validator=_one_of(Style))
    headers: bool = False
    retry_after: bool = False
    count_refused: bool = False

    def quota(self, key: str, model: str) -> _Quota:
        """Give what shares one quota with a call of that key and model."""
        return (key if "key" in self.per else "", model if "model" in self.per else "")

    def cost(self, prompt_tokens: int, max_tokens: int | None) -> int:
        """Give the tokens that have to fit what is left."""
        if self.charge == "usage":
            return prompt_tokens
        return prompt_tokens + (self.default_max_tokens if max_tokens is None else max_tokens)


# --- gauges: one number of one quota ------------------------------------------------------------


class _Gauge(Protocol):
    """How much of a limit is used."""

    limit: float

    def wait(self, now: float, cost: int) -> float:
        """Give the seconds until the cost fits, 0 if it does."""
        ...

    def charge(self, now: float, cost: int) -> None:
        """Use so much, whether it fits or not."""
        ...

    def left(self, now: float) -> float:
        """Give what is left; below 0 after what did not fit."""
        ...

    def reset(self, now: float) -> float:
        """Give the seconds until nothing is used."""
        ...

    def resize(self, now: float, limit: float) -> None:
        """Change the limit, and keep what is used."""
        ...


class _Bucket:
    """A minute's worth at most, refilled continuously.

    What is larger than the limit has to find the bucket full.
    """

    __slots__ = ("_at", "_level", "limit")

    def __init__(self, now: float, limit: float) -> None:
        self.limit = limit
        self._level = limit
        self._at = now

    def wait(self, now: float, cost: int) -> float:
        missing = min(cost, self.limit) - self.left(now)
        seconds = missing * _MINUTE / self.limit
        return seconds if seconds > _INSTANT else 0.0

    def charge(self, now: float, cost: int) -> None:
        self._level = self.left(now) - cost

    def left(self, now: float) -> float:
        refilled = (now - self._at) * self.limit / _MINUTE
        self._level = min(self.limit, self._level + refilled)
        self._at = now
        return self._level

    def reset(self, now: float) -> float:
        return (self.limit - self.left(now)) * _MINUTE / self.limit

    def resize(self, now: float, limit: float) -> None:
        """Keep how full it is: full stays full, and half full half full."""
        self._level = self.left(now) * limit / self.limit
        self.limit = limit


class _Fixed:
    """At most the limit in each minute, counted anew in the next."""

    __slots__ = ("_end", "_phase", "_used", "limit")

    def __init__(self, now: float, limit: float, phase: float) -> None:
        self.limit = limit
        self._phase = phase
        self._used = 0
        self._end = -math.inf
        self._turn(now)

    def _turn(self, now: float) -> None:
        """Begin the minute that ``now`` is in, if it isn't the one that is counted."""
        if now + _INSTANT >= self._end:
            past = math.floor((now + _INSTANT - self._phase) / _MINUTE)
            self._end = self._phase + (past + 1) * _MINUTE
            self._used = 0

    def wait(self, now: float, cost: int) -> float:
        self._turn(now)
        fits = self._used + min(cost, self.limit) <= self.limit
        return 0.0 if fits else self._end - now

    def charge(self, now: float, cost: int) -> None:
        self._turn(now)
        self._used += cost

    def left(self, now: float) -> float:
        self._turn(now)
        return self.limit - self._used

    def reset(self, now: float) -> float:
        self._turn(now)
        return self._end - now

    def resize(self, now: float, limit: float) -> None:
        self._turn(now)
        self.limit = limit


class _Sliding:
    """At most the limit in any span of so many seconds."""

    __slots__ = ("_log", "_span", "_used", "limit")

    def __init__(self, limit: float, span: float = _MINUTE) -> None:
        self.limit = limit
        self._span = span
        self._used = 0
        self._log: deque[tuple[float, int]] = deque()

    def _forget(self, now: float) -> None:
        while self._log and self._log[0][0] + self._span <= now + _INSTANT:
            self._used -= self._log.popleft()[1]

    def wait(self, now: float, cost: int) -> float:
        self._forget(now)
        excess = self._used + min(cost, self.limit) - self.limit
        if excess <= 0:
            return 0.0
        # What is used is all in the log; rounding must not ask for more than that.
        return self._freed(min(excess, self._used)) + self._span - now

    def _freed(self, excess: float) -> float:
        """Give the time of the call with which, once it is forgotten, the excess is gone."""
        past = accumulate(cost for _, cost in self._log)
        return next(at for (at, _), freed in zip(self._log, past, strict=True) if freed >= excess)

    def charge(self, now: float, cost: int) -> None:
        self._forget(now)
        self._log.append((now, cost))
        self._used += cost

    def left(self, now: float) -> float:
        self._forget(now)
        return self.limit - self._used

    def reset(self, now: float) -> float:
        self._forget(now)
        return self._log[-1][0] + self._span - now if self._log else 0.0

    def resize(self, now: float, limit: float) -> None:
        self._forget(now)
        self.limit = limit


# --- one quota ----------------------------------------------------------------------------------


def _gauge(now: float, limit: RateLimit, per_minute: float | None) -> _Gauge | None:
    """Give the gauge for a limit's kind of minute."""
    if per_minute is None:
        return None
    if limit.kind == "bucket":
        return _Bucket(now, per_minute)
    if limit.kind == "fixed":
        return _Fixed(now, per_minute, limit.phase)
    return _Sliding(per_minute)


def _burst_gauge(limit: RateLimit) -> _Gauge | None:
    return None if limit.burst_slope is None else _Sliding(limit.burst_slope, _SECOND)


def _resized(now: float, gauge: _Gauge | None, fresh: _Gauge | None) -> _Gauge | None:
    """Give the gauge with the limit of a fresh one, or the fresh one where there is none."""
    if gauge is None or fresh is None:
        return fresh
    gauge.resize(now, fresh.limit)
    return gauge


class _Account:
    """What one quota has used of one limit."""

    __slots__ = ("_burst", "in_flight", "limit", "requests", "tokens")

    def __init__(self, now: float, limit: RateLimit) -> None:
        self.limit = limit
        self.in_flight = 0
        self.requests = _gauge(now, limit, limit.requests_per_minute)
        self.tokens = _gauge(now, limit, limit.tokens_per_minute)
        self._burst = _burst_gauge(limit)

    def obstacles(self, now: float, cost: int) -> Iterator[tuple[Because, float]]:
        """Give what is in the way, with the seconds until it isn't, 0 if that is unknown."""
        limit = self.limit
        if limit.concurrency is not None and self.in_flight >= limit.concurrency:
            yield "concurrency", 0.0
        if limit.refuse_oversized and self._is_oversized(cost):
            yield "oversized", math.inf
        if self._burst is not None and (seconds := self._burst.wait(now, 1)):
            yield "burst", seconds
        if self.requests is not None and (seconds := self.requests.wait(now, 1)):
            yield "requests", seconds
        if self.tokens is not None and (seconds := self.tokens.wait(now, cost)):
            yield "tokens", seconds

    def _is_oversized(self, cost: int) -> bool:
        gauges = ((self.requests, 1), (self.tokens, cost))
        return any(gauge is not None and amount > gauge.limit for gauge, amount in gauges)

    def begin(self, now: float, cost: int) -> None:
        """Charge a call that is let in."""
        self.in_flight += 1
        if self._burst is not None:
            self._burst.charge(now, 1)
        if self.requests is not None:
            self.requests.charge(now, 1)
        if self.tokens is not None and self.limit.charge == "max_tokens":
            self.tokens.charge(now, cost)

    def turn_away(self, now: float) -> None:
        """Charge the request that is refused, if that is how it is counted."""
        if (
            self.limit.count_refused
            and self.requests is not None
            and not self.requests.wait(now, 1)
        ):
            self.requests.charge(now, 1)

    def end(self, now: float, used: int) -> None:
        """Charge what the call has used, if that is when its tokens are counted."""
        self.in_flight -= 1
        if self.tokens is not None and self.limit.charge == "usage":
            self.tokens.charge(now, used)

    def change(self, now: float, limit: RateLimit) -> None:
        """Take another limit of the same form."""
        fresh = _Account(now, limit)
        self.requests = _resized(now, self.requests, fresh.requests)
        self.tokens = _resized(now, self.tokens, fresh.tokens)
        self._burst = _resized(now, self._burst, _burst_gauge(limit))
        self.limit = limit


class _Rule:
    """One limit and its accounts."""

    __slots__ = ("accounts", "limit")

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self.accounts: dict[_Quota, _Account] = {}

    @property
    def form(self) -> tuple[object, ...]:
        """What has to be the same for the levels to mean the same."""
        limit = self.limit
        return (limit.kind, limit.phase, limit.charge, limit.per, limit.models)

    @property
    def measures(self) -> set[str]:
        """What it measures."""
        return {name for name in _MEASURES if getattr(self.limit, name) is not None}

    def account(self, now: float, key: str, model: str) -> _Account:
        """Give the account of a call, a new one if it is the first."""
        quota = self.limit.quota(key, model)
        if quota not in self.accounts:
            self.accounts[quota] = _Account(now, self.limit)
        return self.accounts[quota]

    def inherit(self, now: float, rules: list[_Rule]) -> None:
        """Take over the accounts of a rule of the same form that measures most of the same."""
        alike = [rule for rule in rules if rule.form == self.form]
        former = max(alike, key=lambda rule: len(self.measures & rule.measures), default=None)
        if former is None:
            return
        rules.remove(former)
        self.accounts = former.accounts
        for account in self.accounts.values():
            account.change(now, self.limit)


# --- the enforcer -------------------------------------------------------------------------------


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
        self._rules = [_Rule(limit) for limit in _listed(limits)]
        self._refusals: Counter[Because] = Counter()
        self._history: deque[Decision] = deque(maxlen=keep)
        self._open: dict[Permit, Sequence[_Account]] = {}
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
        self._rules = [_Rule(limit) for limit in listed]
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

    def _accounts(self, now: float, ticket: Permit) -> Sequence[_Account]:
        return [
            rule.account(now, ticket.key, ticket.model)
            for rule in self._rules
            if fnmatchcase(ticket.model, rule.limit.models)
        ]

    def _begin(self, now: float, ticket: Permit, costs: Sequence[tuple[_Account, int]]) -> None:
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


def _judged(now: float, ticket: Permit, costs: Sequence[tuple[_Account, int]]) -> Verdict:
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


def _told(now: float, verdict: Verdict, accounts: Sequence[_Account]) -> Verdict:
    """Add the headers, where a limit wants them."""
    telling = [account for account in accounts if account.limit.headers]
    headers = {
        **_levels(now, "requests", [account.requests for account in telling]),
        **_levels(now, "tokens", [account.tokens for account in telling]),
        **_retry_after(verdict),
    }
    return attrs.evolve(verdict, headers=headers) if headers else verdict


def _levels(now: float, measure: str, gauges: Sequence[_Gauge | None]) -> dict[str, str]:
    """Tell of the gauge that has least left."""
    tightest = min(
        (gauge for gauge in gauges if gauge is not None),
        key=lambda gauge: gauge.left(now),
        default=None,
    )
    if tightest is None:
        return {}
    left = tightest.left(now) + tightest.limit * _INSTANT / _MINUTE
    return {
        f"x-ratelimit-limit-{measure}": str(math.floor(tightest.limit)),
        f"x-ratelimit-remaining-{measure}": str(max(0, math.floor(left))),
        f"x-ratelimit-reset-{measure}": _duration(tightest.reset(now)),
    }


def _duration(seconds: float) -> str:
    """Write a duration as OpenAI does: ``17ms``, ``8.64s``, ``1m0s``."""
    milliseconds = math.ceil((seconds - _INSTANT) * _MILLISECONDS)
    if 0 < milliseconds < _MILLISECONDS:
        return f"{milliseconds}ms"
    minutes, rest = divmod(max(0, milliseconds) / _MILLISECONDS, _MINUTE)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"


def _retry_after(verdict: Verdict) -> dict[str, str]:
    seconds = verdict.retry_after
    wanted = verdict.limit is not None and verdict.limit.retry_after
    if not wanted or seconds is None or seconds == math.inf:
        return {}
    return {"Retry-After": str(max(1, math.ceil(seconds - _INSTANT)))}
