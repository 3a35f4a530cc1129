"""What a gateway allows that does not say it: a pace found by trying, and kept.

Strategy.  A rate of requests is raised until the gateway refuses, then set by what it really let
in.  Slow start: some go at once, then twice as many in the time of an answer, and so on, evenly
spread, so that the refusals of one overshoot, which come sooner than answers, stay few.  A
refusal shows that the gateway's allowance is used up, as far as we can know; from one refusal to
the next, what it let in divided by the time is its true rate, for a bucket as for a window.  The
pace goes a little below that, comes back to it after ``PLATEAU`` seconds and then rises ever
faster (the curve of CUBIC, RFC 9438, with the rate in place of the window), so that a limit that
was raised is found again within a minute, and one that was not is touched about twice a minute, by
one call; less often where so few go that this would be more than one call in a hundred.

The pace counts requests and, once there was a refusal, tokens as well: nobody says which of the
two had run out.  It moves only while it is used, at least to ``IN_USE``; a pace that nobody uses
proves nothing.  All refusals of calls that were on their way together are one event.  After it the
lane holds still, then sends one call ahead and waits for its answer before the others follow.
What the gateway tells itself, the limit of either dimension or how long to wait, is not guessed.

A number in flight is learned from refusals that name it, and from a gateway that has no room again
and again; such a ceiling rises with time alone, since nothing proves it but trying.
"""

from __future__ import annotations

from collections import deque
from math import cbrt, inf
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs

from aiotokengate._policy.bucket import MINUTE, Bucket

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Learner", "Reason"]

Reason: TypeAlias = Literal["unknown", "told", "crowd"]
"""For what a call was refused: a limit that is not known, one that the headers tell, or the number
in flight."""

START: Final = 20.0
"""Requests a second until the first answer, and at least while nothing was refused."""

AT_ONCE: Final = 0.2
"""Seconds' worth of a pace that may go at once: what is sent together is refused together."""

FREE: Final = 24
"""Calls in flight that need no pace as long as nothing was refused: so few do no harm."""

IN_USE: Final = 0.8
"""Share of the pace that must have been used for it to grow."""

STEP: Final = 0.25
"""Seconds between two looks at what was used; more where the pace is slow."""

IDLE: Final = 10.0
"""Seconds without a call after which the pace starts slowly again."""

ANSWERS: Final = 1.6
"""Times an answer in which the pace doubles; the first calls, which wait for nobody, are extra."""

ANSWERED: Final = 0.25
"""Share of the calls that must be answered for the pace to grow; else refusals are late, too."""

LONGEST_ANSWER: Final = 1.0
"""Seconds of a reply that belong to the time of an answer: who streams for long is answered soon.

A refusal comes about as soon as the headers, so it is back before the pace has doubled.
"""

FASTEST_DOUBLING: Final = 0.1
SLOWEST_DOUBLING: Final = 5.0
"""Seconds in which slow start doubles, whatever the time of an answer."""

PLATEAU: Final = 15.0
PLATEAU_CALLS: Final = 60.0
"""Calls that a plateau has at least: a slow pace is not touched by one call in thirty."""
DECREASE: Final = 0.07

BLIND: Final = 1 / 4
BLIND_MOST: Final = 2.5
"""Share of the pace that a refusal leaves which tells nothing else, at most so many a second.

More are left where what was let in so far, taken for a whole minute and what has passed of the
next one, is more than that.
"""

ENOUGH: Final = 5
"""Requests let in between two refusals that make a measurement."""

FIRST_HOLD: Final = 1.0
NEXT_HOLD: Final = 3.0
LONGEST_HOLD: Final = 30.0
LONGEST_HOLD_OF_MANY: Final = 8.0
"""Where others wait, too, they take turns to go ahead, and none is refused too often."""
LAST_HOLD: Final = 2.0
"""Where nobody waits, and who was refused does not come again, the next one may go ahead."""
HOLD_JITTER: Final = 0.25

OVERLOADS: Final = 3
OVERLOADED_FOR: Final = 10.0
LEAST_ROOM: Final = 8.0
"""A gateway without room so often within so many seconds bounds the calls in flight, never lower:
one that restarts says so, too, and one such answer says nothing."""

PROBE: Final = 2.0
"""Seconds after which the call sent ahead counts as let in: refusals come at once."""


_INSTANT = 1e-6


@attrs.frozen(eq=False, repr=False)
class _Rates:
    """Requests and tokens a second."""

    requests: float
    tokens: float

    def times(self, factor: float) -> _Rates:
        return _Rates(self.requests * factor, self.tokens * factor)


@attrs.define(eq=False, repr=False)
class _Count:
    """What was let in since a moment."""

    since: float
    requests: int = 0
    tokens: float = 0.0
    sized: int = 0
    gaps: bool = False

    def add(self, calls: int, tokens: float) -> None:
        self.requests += calls
        if tokens:
            self.tokens += tokens
            self.sized += calls

    def mean(self) -> float:
        """Return the tokens of a call, of those of which they are known."""
        return max(0.0, self.tokens) / max(1, self.sized)

    def rates(self, now: float) -> _Rates:
        rate = self.requests / max(now - self.since, 1.0)
        return _Rates(rate, rate * self.mean())


class _LastMinute:
    """What was let in during the last minute, by the second."""

    __slots__ = ("_seconds",)

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int, float]] = deque()

    def add(self, now: float, requests: int, tokens: float) -> None:
        second = int(now)
        if self._seconds and self._seconds[-1][0] == second:
            _, before, before_tokens = self._seconds.pop()
            requests, tokens = before + requests, before_tokens + tokens
        self._seconds.append((second, requests, tokens))
        if len(self._seconds) > MINUTE:
            self._seconds.popleft()

    def rates(self, now: float) -> _Rates:
        last = [entry for entry in self._seconds if entry[0] >= now - MINUTE]
        requests, tokens = sum(entry[1] for entry in last), sum(entry[2] for entry in last)
        return _Rates(requests / MINUTE, tokens / MINUTE)


class Learner:
    """The learned gates of one lane: a pace of requests and of tokens, a number in flight.

    Args:
        now: seconds.
        chance: gives a random number from 0 up to 1, for jitter.
        given: requests a second that the lane may make, if somebody knows; then there is no gate
            until a refusal.  None begins slowly.

    Attributes:
        requests: the pace, or None without one; ``tokens``: the same.
        wants_probe: whether the next call is to go ahead of the others.
    """

    def __init__(self, now: float, chance: Callable[[], float], given: float | None) -> None:
        self._chance = chance
        self._given = given
        self.requests: Bucket | None = _pace(START, now) if given is None else None
        self.tokens: Bucket | None = None
        # The curve: what it comes back to, and how long it has been used.
        self._slow = given is None
        self._peak = _Rates(inf, inf)
        self._told_requests = self._told_tokens = False
        self._crowd = (inf, now)
        self._overloads: deque[float] = deque(maxlen=OVERLOADS)
        self._busy = 0.0
        # What was admitted since the last step, and when.
        self._step_at = self._last = now
        self._used = self._used_tokens = 0.0
        # What was let in, and what was refused.
        self._latency: float | None = None
        self._whole: float | None = None
        self._count = _Count(now)
        self._minute = _LastMinute()
        self._first_cut_at = inf
        self._cut_at = self._refused_at = -inf
        self._let_in = 0
        self._hold = FIRST_HOLD / NEXT_HOLD
        self._probe: object | None = None
        self._probe_at = -inf
        self.wants_probe = False

    @property
    def paces(self) -> tuple[Bucket | None, Bucket | None]:
        """The paces in force; what the gateway tells itself has none.

        Slow start goes on while either of the two is unknown.
        """
        requests = self.requests if self._slow or not self._told_requests else None
        return requests, None if self._told_tokens else self.tokens

    # --- admission ------------------------------------------------------------------------------

    def ready_at(self, now: float, tokens: float, in_flight: int) -> float:
        """Return when a call may go if nothing happens but time: now, later, or inf."""
        at = self._room_at(now, in_flight) if self._crowd[0] < inf else now
        if self._probe is not None and now < self._probe_at + PROBE:
            return max(at, self._probe_at + PROBE)
        # Whoever goes ahead has waited for the hold: a pace that is guessed adds nothing to it.
        if self.requests is None or self.wants_probe:
            return at
        if now - self._step_at >= STEP:
            self._step(now, self.requests)
        if in_flight < FREE and self._cut_at == -inf:
            return at
        return max(at, self._paced_at(now, tokens))

    def _paced_at(self, now: float, tokens: float) -> float:
        requests, learned = self.paces
        at = now if requests is None else requests.ready_at(now, 1.0)
        return at if learned is None else max(at, learned.ready_at(now, tokens))

    def _room_at(self, now: float, in_flight: int) -> float:
        """Return when there is room for one more."""
        if in_flight + 1 <= self.ceiling(now):
            return now
        peak, since = self._crowd
        more = in_flight + 1 - peak
        curved = PLATEAU * (1 + cbrt(more / peak / DECREASE))
        # A little later, so that rounding doesn't ask twice.
        return since + min(curved, PLATEAU * (1 + more)) + _INSTANT

    def ceiling(self, now: float) -> float:
        """Return how many may be in flight; inf unless the gateway had no room for more."""
        peak, since = self._crowd
        passed = max(0.0, now - since)
        return max(peak * max(1.0, _curve(passed, PLATEAU)), peak + passed / PLATEAU - 1)

    def took(self, now: float, tokens: float, in_flight: int, call: object) -> None:
        """Note that a call was admitted; it is one of ``in_flight`` now."""
        if self.wants_probe:
            self.wants_probe = False
            self._probe, self._probe_at = call, now
            self._spend(now)
        elif self._cut_at > -inf or in_flight > FREE:
            self._pay(now, tokens)
        self._used += 1.0
        self._used_tokens += tokens
        self._last = now
        self._count.add(1, tokens)
        if self._refused_at > -inf:
            self._minute.add(now, 1, tokens)

    def _pay(self, now: float, tokens: float) -> None:
        if self.requests is not None:
            self.requests.add(now, 1.0)
        if self.tokens is not None:
            self.tokens.add(now, tokens)

    def wait(self, now: float, calls: int, tokens: float) -> float:
        """Return about how long it takes until so many can have gone."""
        wants = zip(self.paces, (calls, tokens), strict=True)
        waits = ((most - pace.room(now)) / pace.rate for pace, most in wants if pace is not None)
        return max(0.0, *waits, 0.0)

    # --- what became of it ----------------------------------------------------------------------

    def answered(self, now: float, seconds: float, call: object) -> None:
        """Note that the gateway let a call in, ``seconds`` after it was admitted."""
        self._let_in += 1
        if self._latency is None:
            self._latency = seconds
            self._quicken(now)
        # That of the slow ones: the first answers of many calls are always the fast ones.
        more = seconds - self._latency
        self._latency += more / (4 if more > 0 else 64)
        if call is self._probe:
            self._probe = None

    def ended(self, now: float, seconds: float) -> None:
        """Note that a reply is over, so many seconds after its call was admitted."""
        if self._whole is None:
            self._whole = min(seconds, LONGEST_ANSWER)
            self._quicken(now)
        more = min(seconds, LONGEST_ANSWER) - self._whole
        self._whole += more / (4 if more > 0 else 16)

    def _answer_time(self) -> float:
        """Return in how many seconds slow start doubles."""
        whole = LONGEST_ANSWER if self._whole is None else self._whole
        seconds = max(self._latency or 0.0, whole)
        return max(FASTEST_DOUBLING, min(SLOWEST_DOUBLING, seconds))

    def _quicken(self, now: float) -> None:
        """Let twice as many go in the time of an answer as went at once."""
        if self._slow and self.requests is not None:
            rate = max(self.requests.rate, 2 * FREE / self._answer_time())
            self.requests = _paced(self.requests, now, rate)
            self._step_at, self._used = now, 0.0

    def turned_away(self, now: float, admitted: float, tokens: float) -> None:
        """Take back a :meth:`took`: the call was not let in."""
        if admitted >= self._count.since:
            self._count.add(-1, -tokens)
        if admitted > self._first_cut_at:
            self._minute.add(now, -1, -tokens)

    def recalled(self) -> None:
        """Take back an :meth:`answered`: it was let in, and then refused inside the answer."""
        self._let_in -= 1

    def left(self, call: object) -> None:
        """Note that a call ended; if nobody knows if it was let in, another one goes ahead."""
        if call is self._probe:
            self._probe = None
            self.wants_probe = True

    def told(self, *, requests: bool, tokens: bool) -> None:
        """Stop guessing what the gateway says itself."""
        self._told_requests, self._told_tokens = requests, tokens
        if requests and tokens:
            self.requests = self.tokens = None
            self._slow = False

    def refused(self, now: float, admitted: float, reason: Reason) -> bool:
        """Take a refusal in; say whether it is one that the lane should hold still for.

        Args:
            now: seconds.
            admitted: when the refused call was.
            reason: for what it was refused.
        """
        self.wants_probe = True
        if admitted < self._refused_at:
            return False
        if reason == "unknown" and not (self._told_requests and self._told_tokens):
            self._cut(now)
            self._cut_at = now
        self._refused_at = now
        self._first_cut_at = min(self._first_cut_at, now)
        return True

    def hold(self, *, alone: bool, final: bool) -> float:
        """Return for how many seconds the lane should hold still, if the gateway does not say.

        Args:
            alone: whether nobody else waits.
            final: whether the call that was refused does not come again.
        """
        longest = LONGEST_HOLD_OF_MANY
        if alone:
            longest = LAST_HOLD if final else LONGEST_HOLD
        self._hold = FIRST_HOLD if self._let_in else min(NEXT_HOLD * self._hold, longest)
        self._let_in = 0
        return self._hold * (1 + HOLD_JITTER * self._chance())

    def overloaded(self, now: float, in_flight: int) -> None:
        """Note that the gateway had no room for a call; nothing follows from one that hadn't."""
        self._overloads.append(now)
        if len(self._overloads) == OVERLOADS and self._overloads[0] >= now - OVERLOADED_FOR:
            self._crowd = (max(LEAST_ROOM, float(in_flight)), now)

    def crowded(self, now: float, in_flight: int) -> None:
        """Note that the gateway lets no more calls be in flight than those that are."""
        self._crowd = (max(1.0, float(in_flight)), now)

    def _spend(self, now: float) -> None:
        """Let nothing saved up while the lane held still follow the probe at once."""
        for pace in (self.requests, self.tokens):
            if pace is not None:
                pace.add(now, max(0.0, pace.room(now)))

    # --- the curve ------------------------------------------------------------------------------

    def _cut(self, now: float) -> None:
        """Set the pace by what was let in since the last refusal; blindly, if that is little."""
        count, had = self._count, self.requests
        if self._cut_at > -inf and count.requests < ENOUGH:
            return
        if self._cut_at > -inf and not count.gaps:
            self._peak = self._measured(now)
        else:
            self._peak = self._so_far(self._guess(now, had.rate if had is not None else None))
        self._slow = False
        self._busy = self._used = self._used_tokens = 0.0
        self._step_at = now
        self._count = _Count(now)
        self._set(now, self._peak.times(1 - DECREASE))

    def _guess(self, now: float, pace: float | None) -> float:
        """Return a rate of requests after a refusal before which nothing was refused."""
        blind = BLIND * (pace or self._given or START)
        if self._given is None and self._cut_at == -inf:
            blind = min(BLIND_MOST, blind)
        return max(blind, self._count.requests / (MINUTE + now - self._count.since))

    def _measured(self, now: float) -> _Rates:
        """Return what the gateway lets in, since the last refusal or for a minute if that is more.

        A window that is full lets in little for a while, and its rate shows in a whole minute
        only.  The minute must not reach back to when a bucket was full.
        """
        since, minute = self._count.rates(now), self._minute.rates(now)
        if now < self._first_cut_at + MINUTE or minute.requests < since.requests:
            return since
        return minute

    def _so_far(self, rate: float) -> _Rates:
        """Return a rate of requests, with the tokens that such requests have had."""
        return _Rates(rate, rate * self._count.mean())

    def _set(self, now: float, rates: _Rates) -> None:
        self.requests = _paced(self.requests, now, max(rates.requests, 1 / MINUTE))
        if rates.tokens > 0:
            self.tokens = _paced(self.tokens, now, rates.tokens)

    def _step(self, now: float, requests: Bucket) -> None:
        """Let the pace grow by the time in which it was used."""
        seconds = now - self._step_at
        if seconds < ENOUGH / requests.rate:
            return
        if now - self._last >= IDLE and self._probe is None and not self.wants_probe:
            self._start_again(now, requests)
            return
        share = self._used / (requests.rate * seconds)
        if self.tokens is not None:
            share = max(share, self._used_tokens / (self.tokens.rate * seconds))
        self._step_at = now
        self._used = self._used_tokens = 0.0
        if share >= IN_USE:
            self._grow(now, seconds, requests)

    def _grow(self, now: float, seconds: float, requests: Bucket) -> None:
        if self._slow:
            if self._cut_at == -inf and self._let_in < ANSWERED * self._count.requests:
                return
            doubling = ANSWERS * self._answer_time()
            rate = requests.rate * 2 ** (min(seconds, doubling) / doubling)
            if rate < self._peak.requests:
                self.requests = _paced(requests, now, rate)
                return
            self._slow, self._busy, seconds = False, self._plateau(), 0.0
        self._busy += seconds
        self._set(now, self._peak.times(_curve(self._busy, self._plateau())))

    def _plateau(self) -> float:
        return max(PLATEAU, PLATEAU_CALLS / self._peak.requests)

    def _start_again(self, now: float, requests: Bucket) -> None:
        """Begin slowly: many gateways refuse a slope, however much of the minute is left."""
        self._step_at = self._last = now
        self._used = self._used_tokens = 0.0
        self._count.gaps = True
        rate = requests.rate
        if rate > START:
            self._peak = self._peak if self._slow else _Rates(rate, self._peak.tokens)
            self._slow = True
            self.requests = _paced(requests, now, max(START, rate / 4))


def _curve(used: float, plateau: float) -> float:
    """Return the share of the peak after so many seconds of use (CUBIC's curve, RFC 9438)."""
    return float(1 + DECREASE * ((used - plateau) / plateau) ** 3)


def _pace(rate: float, now: float) -> Bucket:
    """Make a pace of so much a second, of which little may go at once."""
    return Bucket(rate * MINUTE, now, max(1.0, rate * AT_ONCE))


def _paced(pace: Bucket | None, now: float, rate: float) -> Bucket:
    """Change a pace, and keep what is left of it."""
    if pace is None:
        return _pace(rate, now)
    left = pace.room(now)
    changed = _pace(rate, now)
    changed.add(now, changed.capacity - min(left, changed.capacity))
    return changed
