"""What a gateway allows that does not say it: a pace found by trying, and kept.

Strategy.  A rate of requests is raised until the gateway refuses, then set by what it really let
in.  Slow start: the pace doubles as long as it is used, no faster than answers can come back, so
that the refusals of one overshoot stay few; who has few calls in flight does not feel it.  A
refusal shows that the gateway's allowance is used up, as far as we can know; from one refusal to
the next, what it let in divided by the time is its true rate, for a bucket as for a window.  The
pace goes a little below that, comes back to it after ``PLATEAU`` seconds and then rises ever
faster (the curve of CUBIC, RFC 9438, with the rate in place of the window), so that a limit that
was raised is found again within a minute, and one that was not is touched about twice a minute, by
one call.

The pace counts requests and, once there was a refusal, tokens as well: nobody says which of the
two had run out.  It moves only while it is used, at least to ``IN_USE``; a pace that nobody uses
proves nothing.  All refusals of calls that were on their way together are one event.  After it the
lane holds still, then sends one call ahead and waits for its answer before the others follow.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final

import attrs

from aiotokengate.policy.bucket import MINUTE, Bucket

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Learner"]

START: Final = 10.0
"""Requests a second while nothing is known."""

AT_ONCE: Final = 0.2
"""Seconds' worth of a pace that may go at once: what is sent together is refused together."""

FREE: Final = 8
"""Calls in flight that need no pace as long as nothing was refused: so few do no harm."""

IN_USE: Final = 0.8
"""Share of the pace that must have been used for it to grow."""

STEP: Final = 0.25
"""Seconds between two looks at what was used; more where the pace is slow."""

IDLE: Final = 10.0
"""Seconds without a call after which the pace starts slowly again."""

ANSWERS: Final = 10.0
"""Times the usual wait for an answer in which slow start doubles, within these seconds."""
FASTEST_DOUBLING: Final = 0.1
SLOWEST_DOUBLING: Final = 5.0

PLATEAU: Final = 15.0
DECREASE: Final = 0.07

BLIND: Final = 1 / 4
"""Share of the pace that is left after a refusal that tells nothing else."""

ENOUGH: Final = 5
"""Requests let in between two refusals that make a measurement."""

FIRST_HOLD: Final = 1.0
NEXT_HOLD: Final = 3.0
LONGEST_HOLD: Final = 30.0
LONGEST_HOLD_OF_MANY: Final = 8.0
"""Where others wait, too, they take turns to go ahead, and none is refused too often."""
HOLD_JITTER: Final = 0.25

PROBE: Final = 2.0
"""Seconds after which the call sent ahead counts as let in: refusals come at once."""


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
    gaps: bool = False

    def rates(self, now: float) -> _Rates:
        seconds = max(now - self.since, 1.0)
        return _Rates(self.requests / seconds, self.tokens / seconds)


class _LastMinute:
    """What was let in during the last minute, by the second."""

    __slots__ = ("_seconds",)

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int, float]] = deque()

    def add(self, now: float, tokens: float) -> None:
        second, requests = int(now), 1
        if self._seconds and self._seconds[-1][0] == second:
            _, before, before_tokens = self._seconds.pop()
            requests, tokens = before + 1, before_tokens + tokens
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
        requests: the pace in force, or None without one; ``tokens``: the same.
        ceiling: the most in flight, inf unless the gateway had no room for more.
    """

    def __init__(self, now: float, chance: Callable[[], float], given: float | None) -> None:
        self._chance = chance
        self._given = given
        self.requests: Bucket | None = _pace(START, now) if given is None else None
        self.tokens: Bucket | None = None
        self.ceiling: float = inf
        # The curve: what it comes back to, and how long it has been used.
        self._slow = given is None
        self._peak = _Rates(inf, inf)
        self._crowd = (inf, now, 0.0)
        self._busy = 0.0
        # What was admitted since the last step, and when.
        self._step_at = self._last = now
        self._used = self._used_tokens = 0.0
        # What was let in, and what was refused.
        self._latency = SLOWEST_DOUBLING / ANSWERS
        self._count = _Count(now)
        self._minute = _LastMinute()
        self._first_cut_at = inf
        self._cut_at = -inf
        self._let_in = 0
        self._hold = FIRST_HOLD
        self._probe: object | None = None
        self._probe_at = -inf
        self._wants_probe = False

    @property
    def refused_before(self) -> bool:
        """Whether there was a refusal; it may have been for tokens, so these matter since."""
        return self._cut_at > -inf

    # --- admission ------------------------------------------------------------------------------

    def ready_at(self, now: float, tokens: float, in_flight: int) -> float:
        """Give when a call may go if nothing happens but time: now, later, or inf."""
        if self.ceiling < inf and in_flight >= IN_USE * self.ceiling:
            self._raise_ceiling(now)
            if in_flight >= self.ceiling:
                return inf
        if self.requests is None:
            return now
        if self._probe is not None and now < self._probe_at + PROBE:
            return self._probe_at + PROBE
        if now - self._step_at >= STEP:
            self._step(now)
        if in_flight < FREE and self._cut_at == -inf:
            return now
        at = self.requests.ready_at(now, 1.0)
        return at if self.tokens is None else max(at, self.tokens.ready_at(now, tokens))

    def took(self, now: float, tokens: float, in_flight: int, call: object) -> None:
        """Note that a call was admitted; it is one of ``in_flight`` now."""
        if self.requests is None:
            return
        self._used += 1.0
        self._last = now
        if self._cut_at == -inf:
            if in_flight > FREE:
                self.requests.add(now, 1.0)
            return
        self._used_tokens += tokens
        self.requests.add(now, 1.0)
        if self.tokens is not None:
            self.tokens.add(now, tokens)
        if self._wants_probe:
            self._wants_probe = False
            self._probe, self._probe_at = call, now
            self._spend(now)

    def wait(self, now: float, calls: int, tokens: float) -> float:
        """Give about how long it takes until so many can have gone."""
        if self.requests is None:
            return 0.0
        wait = (calls - self.requests.room(now)) / self.requests.rate
        if self.tokens is not None:
            wait = max(wait, (tokens - self.tokens.room(now)) / self.tokens.rate)
        return max(0.0, wait)

    # --- what became of it ----------------------------------------------------------------------

    def answered(self, now: float, tokens: float, seconds: float, call: object) -> None:
        """Note that the gateway let a call in, ``seconds`` after it was admitted."""
        self._count.requests += 1
        self._count.tokens += tokens
        if self._cut_at > -inf:
            self._minute.add(now, tokens)
        # That of the slow ones: the first answers of many calls are always the fast ones.
        more = seconds - self._latency
        self._latency += more / (4 if more > 0 else 64)
        self._let_in += 1
        if call is self._probe:
            self._probe = None

    def recalled(self, tokens: float) -> None:
        """Take back an :meth:`answered`: it was let in, and then refused inside the answer."""
        self._count.requests -= 1
        self._count.tokens -= tokens
        self._let_in -= 1

    def left(self, call: object) -> None:
        """Note that a call ended; if nobody knows if it was let in, another one goes ahead."""
        if call is self._probe:
            self._probe = None
            self._wants_probe = True

    def told(self) -> None:
        """Stop guessing: the gateway says what its limit is."""
        self.requests = self.tokens = None
        self._slow = False

    def refused(
        self, now: float, admitted: float, call: object, *, crowded: bool, alone: bool
    ) -> float:
        """Take a refusal in; give for how many seconds the lane should hold still.

        Args:
            now: seconds.
            admitted: when the refused call was.
            call: the call.
            crowded: whether the gateway named the number in flight as the reason.
            alone: whether nobody else waits.
        """
        self.left(call)
        self._wants_probe = True
        if admitted < self._cut_at:
            return 0.0
        if self._let_in or self._cut_at == -inf:
            self._hold = FIRST_HOLD
        else:
            longest = LONGEST_HOLD if alone else LONGEST_HOLD_OF_MANY
            self._hold = min(NEXT_HOLD * self._hold, longest)
        if not crowded:
            self._cut(now)
        self._cut_at = now
        self._first_cut_at = min(self._first_cut_at, now)
        self._let_in = 0
        return self._hold * (1 + HOLD_JITTER * self._chance())

    def crowded(self, now: float, in_flight: int) -> None:
        """Note that the gateway had no room for one more than those in flight."""
        peak = float(max(1, in_flight))
        self._crowd = (peak, now, 0.0)
        self.ceiling = peak

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
            self._peak = self._so_far(had.rate if had is not None else self._given or START)
            self._peak = self._peak.times(BLIND)
        self._slow = False
        self._busy = 0.0
        self._count = _Count(now)
        self._set(now, self._peak.times(1 - DECREASE))

    def _measured(self, now: float) -> _Rates:
        """Give what the gateway lets in: since the last refusal, or a minute long if that is more.

        A window that is full lets in little for a while, and its rate shows in a whole minute
        only.  The minute must not reach back to when a bucket was full.
        """
        since, minute = self._count.rates(now), self._minute.rates(now)
        if now < self._first_cut_at + MINUTE or minute.requests < since.requests:
            return since
        return minute

    def _so_far(self, rate: float) -> _Rates:
        """Give a rate of requests, with the tokens that such requests have had."""
        return _Rates(rate, rate * self._count.tokens / max(1, self._count.requests))

    def _set(self, now: float, rates: _Rates) -> None:
        self.requests = _paced(self.requests, now, max(rates.requests, 1 / MINUTE))
        if rates.tokens > 0:
            self.tokens = _paced(self.tokens, now, rates.tokens)

    def _step(self, now: float) -> None:
        """Let the pace grow by the time in which it was used."""
        assert self.requests is not None  # noqa: S101 - for the type checker
        seconds = now - self._step_at
        if seconds < ENOUGH / self.requests.rate:
            return
        if now - self._last >= IDLE and self._probe is None and not self._wants_probe:
            self._start_again(now)
            return
        share = self._used / (self.requests.rate * seconds)
        if self.tokens is not None:
            share = max(share, self._used_tokens / (self.tokens.rate * seconds))
        self._step_at = now
        self._used = self._used_tokens = 0.0
        if share >= IN_USE:
            self._grow(now, seconds)

    def _grow(self, now: float, seconds: float) -> None:
        assert self.requests is not None  # noqa: S101 - for the type checker
        if self._slow:
            doubling = max(FASTEST_DOUBLING, min(SLOWEST_DOUBLING, ANSWERS * self._latency))
            rate = self.requests.rate * 2 ** (min(seconds, doubling) / doubling)
            if rate < self._peak.requests:
                self.requests = _paced(self.requests, now, rate)
                return
            self._slow, self._busy, seconds = False, PLATEAU, 0.0
        self._busy += seconds
        self._set(now, self._peak.times(_curve(self._busy)))

    def _raise_ceiling(self, now: float) -> None:
        """Let one more in now and then, ever faster, by the time in which the room was used."""
        peak, last, used = self._crowd
        used += min(now - last, 1.0)
        self._crowd = (peak, now, used)
        self.ceiling = float(int(peak * max(1.0, _curve(used))))

    def _start_again(self, now: float) -> None:
        """Begin slowly: many gateways refuse a slope, however much of the minute is left."""
        assert self.requests is not None  # noqa: S101 - for the type checker
        self._step_at = self._last = now
        self._used = self._used_tokens = 0.0
        self._count.gaps = True
        rate = self.requests.rate
        if rate > START:
            self._peak = self._peak if self._slow else _Rates(rate, self._peak.tokens)
            self._slow = True
            self.requests = _paced(self.requests, now, max(START, rate / 4))


def _curve(used: float) -> float:
    """Give the share of the peak after so many seconds of use (CUBIC's curve, RFC 9438)."""
    return 1 + DECREASE * ((used - PLATEAU) / PLATEAU) ** 3


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
