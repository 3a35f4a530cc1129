"""The pool against a strict gateway: hours of traffic in seconds, on a clock of their own.

    python benchmarks/pool_simulation.py

Strategy.  A discrete-event simulation: the lane of the library on one side, the enforcer of the
fake gateway on the other (they share no code), and between them a network that takes a random
time for each request, answer and refusal.  The same functions are called by the tests, with the
bars as assertions; here they print what they measured.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from math import inf, pi, sin
from statistics import quantiles
from typing import get_args

import attrs

from aiotokengate import Limits
from aiotokengate._policy.lanes import Lane, Ticket
from aiotokengate._wire.headers import remaining
from aiotokengate.testing import Enforcer, RateLimit
from aiotokengate.testing._enforcer import Permit
from aiotokengate.testing._limits import Kind

PROMPT = 40
MINUTE = 60.0

MOST_TIME, MOST_REFUSED, LEAST_USED = 1.03, 0.02, 0.9
"""The bars: time over the optimum; refusals of all calls; use of the limit from minute 2 on."""

BURSTS, BULK = 0.01, 0.2
"""Share of the arrivals of a day that are twenty at once, and of those that are bulk."""


@attrs.frozen(kw_only=True)
class Network:
    """Seconds, each a range from which every message draws its own."""

    request: tuple[float, float] = (0.001, 0.05)
    answer: tuple[float, float] = (0.001, 0.05)
    refusal: tuple[float, float] = (0.001, 0.05)
    reply: tuple[float, float] = (0.5, 0.5)


@attrs.define
class Seen:
    """What happened, by the minute and in all.

    Attributes:
        let_in: calls that the gateway let in, by minute; ``tokens`` of them; ``refused`` others.
        waits: seconds that each call waited for its first admission.
        served: cost of the calls let in, by user; ``bulk``: how many of them were bulk.
        most_refusals: of one call.
        last: when the last reply ended.
    """

    let_in: Counter[int] = attrs.field(factory=Counter)
    tokens: Counter[int] = attrs.field(factory=Counter)
    refused: Counter[int] = attrs.field(factory=Counter)
    waits: list[float] = attrs.field(factory=list)
    served: Counter[str | None] = attrs.field(factory=Counter)
    order: list[Ticket] = attrs.field(factory=list)
    bulk: int = 0
    done: int = 0
    most_refusals: int = 0
    peak: int = 0
    last: float = 0.0

    @property
    def refusals(self) -> int:
        """All of them."""
        return sum(self.refused.values())

    def share(self, limit: float, first: int, last: int) -> float:
        """Return the calls let in, of those that a limit per minute allowed in whole minutes."""
        return sum(self.let_in[minute] for minute in range(first, last)) / (limit * (last - first))


class Simulation:
    """One lane and one quota."""

    def __init__(
        self,
        limits: Limits,
        strict: RateLimit,
        network: Network | None = None,
        *,
        seed: int = 1,
    ) -> None:
        """Begin at 0 seconds."""
        self.random = random.Random(seed)
        self.network = network or Network()
        self.lane = Lane(limits, 0.0, self.random.random)
        self.gateway = Enforcer(strict)
        self.seen = Seen()
        self.answers_last = False
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._numbers = count()
        self._refusals: Counter[int] = Counter()
        self._arrived: dict[int, float] = {}
        self._look_at = inf

    def at(self, time: float, action: Callable[..., None], *arguments: object) -> None:
        """Let something happen."""
        heapq.heappush(self._events, (time, next(self._numbers), action, arguments))

    def run(self, arrivals: Iterable[tuple[float, Ticket]], until: float = inf) -> Seen:
        """Let calls arrive, in order of time, until all is over or the time is up."""
        self._next_arrival(iter(arrivals))
        while self._events and self._events[0][0] <= until:
            self.now, _, action, arguments = heapq.heappop(self._events)
            action(*arguments)
            self._look()
        return self.seen

    def keep_busy(self, seconds: float, backlog: int = 200) -> Seen:
        """Have so many calls wait all the time."""

        def refill() -> None:
            while self.lane.queue.waiting < backlog:
                self._arrive(self.ticket())
            if self.now < seconds:
                self.at(self.now + 0.5, refill)

        self.at(0.0, refill)
        return self.run((), until=seconds)

    def ticket(self, fair_key: str | None = None, *, bulk: bool = False) -> Ticket:
        """Make a call of 50 to 350 tokens."""
        late = self.lane.limits.charge != "max_tokens"
        tokens = self.random.randint(50, 350)
        return Ticket(tokens=tokens, late=late, fair_key=fair_key, bulk=bulk)

    def size(self, ticket: Ticket) -> int:
        """Return what a call takes."""
        return int(ticket.tokens)

    # --- events ---------------------------------------------------------------------------------

    def _next_arrival(self, arrivals: Iterator[tuple[float, Ticket]]) -> None:
        for time, ticket in arrivals:
            self.at(max(time, self.now), self._arrive, ticket)
            self.at(max(time, self.now), self._next_arrival, arrivals)
            return

    def _arrive(self, ticket: Ticket) -> None:
        self._arrived[id(ticket)] = self.now
        self.seen.order.append(ticket)  # which also keeps its id its own
        self._enter(ticket)

    def _enter(self, ticket: Ticket) -> None:
        if self.lane.enter(ticket, self.now):
            self._send(ticket)

    def _look(self) -> None:
        if not self.lane.queue.waiting:
            return
        going, at = self.lane.admit(self.now)
        for ticket in going:
            self._send(ticket)
        if at < inf and (at < self._look_at or self._look_at <= self.now):
            self._look_at = at
            self.at(at, lambda: None)

    def _send(self, ticket: Ticket) -> None:
        arrived = self._arrived.pop(id(ticket), None)
        if arrived is not None:
            self.seen.waits.append(self.now - arrived)
        self.seen.peak = max(self.seen.peak, self.lane.in_flight)
        self.at(self.now + self._some(self.network.request), self._reach, ticket)

    def _reach(self, ticket: Ticket) -> None:
        minute, output = int(self.now // MINUTE), self.size(ticket) - PROMPT
        verdict = self.gateway.admit(
            self.now, key="k", model="m", prompt_tokens=PROMPT, max_tokens=output
        )
        if verdict.ticket is None:
            self.seen.refused[minute] += 1
            self._refusals[id(ticket)] += 1
            self.seen.most_refusals = max(self.seen.most_refusals, self._refusals[id(ticket)])
            self.at(self.now + self._some(self.network.refusal), self._refuse, ticket)
            return
        self.seen.let_in[minute] += 1
        self.seen.tokens[minute] += self.size(ticket)
        self.seen.served[ticket.fair_key] += 1
        self.seen.bulk += ticket.bulk
        self._let_in(ticket, verdict.ticket, verdict.headers)

    def _let_in(self, ticket: Ticket, permit: Permit, _: Mapping[str, str]) -> None:
        end = self.now + self._some(self.network.reply)
        began = end if self.answers_last else self.now
        self.at(began + self._some(self.network.answer), self._answer, ticket)
        self.at(end, self._finish, ticket, permit, self.size(ticket) - PROMPT)

    def _refuse(self, ticket: Ticket) -> None:
        self.lane.refuse(ticket, self.now)
        self._enter(ticket)

    def _answer(self, ticket: Ticket) -> None:
        if ticket.stage == "admitted":
            self.lane.answered(ticket, self.now)

    def _finish(self, ticket: Ticket, gateways: Permit, output: int) -> None:
        self.gateway.finish(self.now, gateways, output)
        self.at(self.now + self._some(self.network.answer), self._settle, ticket)

    def _settle(self, ticket: Ticket) -> None:
        self.lane.settle(ticket, self.now, self.size(ticket))
        self.seen.done += 1
        self.seen.last = self.now

    def _some(self, seconds: tuple[float, float]) -> float:
        return self.random.uniform(*seconds)


# --- limits given -------------------------------------------------------------------------------

REQUESTS, TOKENS, CALLS, REPLY = 300, 60_000, 600, 0.5


def optimum(sizes: Sequence[float], kind: str) -> float:
    """Return when the last call ends if each goes the moment that the limits allow, in order."""
    at = 0.0
    if kind == "bucket":
        requests, tokens = float(REQUESTS), float(TOKENS)
        for size in sizes:
            wait = max(0.0, (1 - requests) * MINUTE / REQUESTS, (size - tokens) * MINUTE / TOKENS)
            at += wait
            requests = min(REQUESTS, requests + wait * REQUESTS / MINUTE) - 1
            tokens = min(TOKENS, tokens + wait * TOKENS / MINUTE) - size
        return at + REPLY
    minute: deque[tuple[float, float]] = deque()
    for size in sizes:
        while len(minute) >= REQUESTS or sum(used for _, used in minute) + size > TOKENS:
            at = max(at, minute.popleft()[0] + MINUTE)
        minute.append((at, size))
    return at + REPLY


def given(kind: str, gateways_kind: str, charge: str, seed: int) -> tuple[Seen, float]:
    """Make 600 calls at once under limits that are known; return what was seen, and the ratio."""
    limits = Limits(
        requests_per_minute=REQUESTS,
        tokens_per_minute=TOKENS,
        kind=kind,  # type: ignore[arg-type]
        charge=charge,  # type: ignore[arg-type]
    )
    strict = RateLimit(
        requests_per_minute=REQUESTS,
        tokens_per_minute=TOKENS,
        kind=gateways_kind,  # type: ignore[arg-type]
        charge=charge,  # type: ignore[arg-type]
        phase=seed * 13.0,
    )
    simulation = Simulation(limits, strict, seed=seed)
    tickets = [simulation.ticket() for _ in range(CALLS)]
    seen = simulation.run([(0.0, ticket) for ticket in tickets])
    return seen, seen.last / optimum([ticket.tokens for ticket in tickets], kind)


GIVEN = [
    (kind, gateways_kind, charge)
    for kind, gateways_kind in (("bucket", "bucket"), ("window", "sliding"), ("window", "fixed"))
    for charge in ("max_tokens", "usage")
]

# --- limits unknown -----------------------------------------------------------------------------

SLOW = Network(request=(0.05, 0.2), answer=(0.05, 0.2), refusal=(0.05, 0.2))
LONG = Network(reply=(5.0, 60.0))
UNKNOWN: dict[str, tuple[RateLimit, Network]] = {
    "requests and tokens": (
        RateLimit(requests_per_minute=300, tokens_per_minute=60_000),
        Network(),
    ),
    "requests": (RateLimit(requests_per_minute=300), Network()),
    "tokens": (RateLimit(tokens_per_minute=60_000), Network()),
    "ten times as many": (RateLimit(requests_per_minute=3_000), Network()),
    "a slow network": (RateLimit(requests_per_minute=300), SLOW),
    "long replies": (RateLimit(requests_per_minute=300), LONG),
    "fixed windows": (RateLimit(requests_per_minute=300, kind="fixed", phase=17), Network()),
    "a sliding window": (RateLimit(requests_per_minute=300, kind="sliding"), Network()),
}


def unknown(name: str, seed: int, minutes: int = 10) -> Seen:
    """Keep a lane busy that knows nothing of the limits."""
    strict, network = UNKNOWN[name]
    return Simulation(Limits(), strict, network, seed=seed).keep_busy(minutes * MINUTE)


def changed(factor: float, seed: int) -> Seen:
    """Keep a lane busy whose unknown limit changes after five minutes."""
    simulation = Simulation(Limits(), RateLimit(requests_per_minute=300), seed=seed)
    after = RateLimit(requests_per_minute=300 * factor)
    simulation.at(5 * MINUTE, lambda: simulation.gateway.change(after, now=5 * MINUTE))
    return simulation.keep_busy(14 * MINUTE)


# --- limits told --------------------------------------------------------------------------------

MOST_TIME_TOLD, MOST_REFUSED_TOLD = 1.1, 0.01
BURST, CAPACITY, CAPACITY_TOKENS = 1_600, 1_200, 240_000


class Telling(Simulation):
    """A gateway that tells its limits with every answer.

    Args:
        stale: whether the headers are written when a call comes, and not when its answer goes.
        measures: which dimensions they name.
    """

    def __init__(
        self,
        limits: Limits,
        strict: RateLimit,
        network: Network,
        *,
        stale: bool,
        measures: tuple[str, ...],
    ) -> None:
        super().__init__(limits, strict, network)
        self._stale, self._measures = stale, measures
        self._sizes: dict[Ticket, int] = {}

    def ticket(self, fair_key: str | None = None, *, bulk: bool = False) -> Ticket:
        """Make a call whose size is worked out when it matters."""
        ticket = super().ticket(fair_key, bulk=bulk)
        self._sizes[ticket] = int(ticket.tokens)
        if not self.lane.counts_tokens:
            ticket.tokens, ticket.measure = 0.0, self._measure
        return ticket

    def size(self, ticket: Ticket) -> int:
        """Return what a call takes."""
        return self._sizes[ticket]

    def _measure(self, ticket: Ticket) -> None:
        ticket.tokens = self._sizes[ticket]

    def _let_in(self, ticket: Ticket, permit: Permit, told: Mapping[str, str]) -> None:
        end = self.now + self._some(self.network.reply)
        self.at(end, self._write, ticket, permit, told if self._stale else None)

    def _write(self, ticket: Ticket, permit: Permit, told: Mapping[str, str] | None) -> None:
        if told is None:
            told = self.gateway.told(self.now, key="k", model="m")
        self.gateway.finish(self.now, permit)
        self.at(self.now + self._some(self.network.answer), self._hear, ticket, told)

    def _hear(self, ticket: Ticket, told: Mapping[str, str]) -> None:
        named = {name: told[name] for name in told if name.rpartition("-")[2] in self._measures}
        self.lane.answered(ticket, self.now)
        if (left := remaining(named)) is not None:
            self.lane.sync(ticket, self.now, left)
        self._settle(ticket)


def told(
    kind: str,
    measures: tuple[str, ...] = ("requests", "tokens"),
    *,
    stale: bool,
    every: float = 0.0,
    seconds: tuple[float, float] = (0.5, 0.5),
) -> tuple[Seen, float]:
    """Make 1,600 calls at once, or one ``every`` so often; return what was seen, and the ratio.

    A limit that is not told is none.
    """
    requests = CAPACITY if "requests" in measures else None
    tokens = CAPACITY_TOKENS if "tokens" in measures else None
    strict = RateLimit(
        requests_per_minute=requests,
        tokens_per_minute=tokens,
        kind="bucket" if kind == "bucket" else "sliding",
        headers=True,
    )
    limits = Limits(kind=kind)  # type: ignore[arg-type]
    network = Network(request=(0.001, 0.02), answer=(0.001, 0.02), reply=seconds)
    simulation = Telling(limits, strict, network, stale=stale, measures=measures)
    tickets = [simulation.ticket() for _ in range(BURST)]
    seen = simulation.run([(place * every, ticket) for place, ticket in enumerate(tickets)])
    size = sum(simulation.size(ticket) for ticket in tickets)
    waits = [BURST / requests - 1] if requests else []
    waits += [size / tokens - 1] if tokens else []
    # The second minute of a window opens as the first was used.
    allowed = max(waits) * MINUTE if kind == "bucket" else MINUTE + (BURST - CAPACITY) * every
    return seen, seen.last / (max(allowed, BURST * every) + seconds[1])


# --- slow start ---------------------------------------------------------------------------------

MOST_ANSWERS = 4.0


def slow_start(seconds: float, concurrency: int | None = None, calls: int = 200) -> float:
    """Make calls at once, with no limits there; return when the last is let in, in answers."""
    network = Network(request=(0, 0.01), answer=(0, 0.01), reply=(seconds, seconds))
    simulation = Simulation(Limits(concurrency=concurrency), RateLimit(), network)
    simulation.answers_last = True
    seen = simulation.run([(0.0, simulation.ticket()) for _ in range(calls)])
    return max(seen.waits) / seconds


# --- many users ---------------------------------------------------------------------------------


def wave(
    simulation: Simulation, hours: float, per_minute: float, users: int
) -> Iterator[tuple[float, Ticket]]:
    """Let calls arrive as a day goes: a wave with bursts on it, from many users."""
    now, chance = 0.0, simulation.random
    while now < hours * 3600:
        rate = per_minute / MINUTE * (1 + 0.9 * sin(2 * pi * now / (hours * 3600)))
        now += chance.expovariate(rate)
        for _ in range(20 if chance.random() < BURSTS else 1):
            user = f"u{int(users * chance.random() ** 3)}"  # some call much more than others
            yield now, simulation.ticket(fair_key=user, bulk=chance.random() < BULK)


def day(lanes: int = 50, hours: float = 4.0, users: int = 10_000) -> list[tuple[Seen, Simulation]]:
    """Have many lanes under limits that the top of the wave exceeds; return what was seen."""
    limits = Limits(concurrency=200, requests_per_minute=60, tokens_per_minute=15_000)
    strict = RateLimit(concurrency=200, requests_per_minute=60, tokens_per_minute=15_000)
    results = []
    for seed in range(lanes):
        simulation = Simulation(limits, strict, seed=seed)
        results.append((simulation.run(wave(simulation, hours, 40, users)), simulation))
    return results


def backlog_of_one(calls: int = 2_000) -> Counter[str | None]:
    """Let one user have a great backlog, and nine others steady work; count who was served."""
    limits = Limits(requests_per_minute=600, learn=False)
    simulation = Simulation(limits, RateLimit(requests_per_minute=600))
    arrivals = [(0.0, simulation.ticket(fair_key="greedy")) for _ in range(calls)]
    for number in range(9):
        every = [(second * 1.0, f"user{number}") for second in range(120)]
        arrivals += [(at, simulation.ticket(fair_key=user)) for at, user in every]
    return simulation.run(sorted(arrivals, key=lambda one: one[0]), until=120.0).served


# --- the report ---------------------------------------------------------------------------------


def _report_given() -> bool:
    good = True
    print("limits given, 600 calls       charge      refused  done  over the optimum  bar 1.03")
    for kind, gateways_kind, charge in GIVEN:
        for seed in (1, 2, 3):
            seen, ratio = given(kind, gateways_kind, charge, seed)
            holds = seen.refusals == 0 and seen.done == CALLS and ratio <= MOST_TIME
            good &= holds
            verdict = "holds" if holds else "MISSED"
            name = f"{kind} against {gateways_kind}"
            print(
                f"{name:28}  {charge:10} {seen.refusals:8} {seen.done:5} {ratio:17.3f}  {verdict}"
            )
    return good


def _report_unknown() -> bool:
    good = True
    print("\nlimits unknown, 10 minutes     refused of all  bar 2 %   used from minute 2  bar 0.9")
    for name, (strict, _) in UNKNOWN.items():
        limit = strict.requests_per_minute or TOKENS / 200
        for seed in (1, 2, 3):
            seen = unknown(name, seed)
            part = seen.refusals / (sum(seen.let_in.values()) + seen.refusals)
            used = seen.share(limit, 1, 10)
            holds = part <= MOST_REFUSED and used >= LEAST_USED
            good &= holds
            verdict = "holds" if holds else "MISSED"
            print(f"{name:30} {part:15.2%} {used:27.2f}            {verdict}")
    for factor in (0.5, 2.0):
        seen = changed(factor, 1)
        used = seen.share(300 * factor, 6, 14)
        good &= used >= LEAST_USED
        print(f"limit times {factor:3} at minute 5: {used:.2f} of it used from minute 6 on")
    return good


def _report_told() -> bool:
    good = True
    print("\nlimits told, 1,600 calls        headers   refused of all  bar 1 %   time  bar 1.1")
    for kind in ("bucket", "window"):
        for measures in (("requests", "tokens"), ("requests",), ("tokens",)):
            for stale in (True, False):
                for every, seconds in ((0.0, (0.5, 0.5)), (0.0, (0.1, 1.5)), (0.03, (0.1, 1.5))):
                    seen, ratio = told(kind, measures, stale=stale, every=every, seconds=seconds)
                    part = seen.refusals / BURST
                    holds = seen.done == BURST
                    holds &= part <= MOST_REFUSED_TOLD and ratio <= MOST_TIME_TOLD
                    good &= holds
                    name = f"{kind}, {' and '.join(measures)}, {'steady' if every else 'at once'}"
                    print(
                        f"{name:38} {'stale' if stale else 'fresh'} {part:9.2%} {ratio:16.2f}  "
                        f"{'holds' if holds else 'MISSED'}"
                    )
    return good


def _report_slow_start() -> bool:
    good = True
    print("\nslow start: answers until the last of 200 is let in, bar 4")
    for seconds in (0.2, 0.5, 2.0, 10.0):
        alone, bounded = slow_start(seconds), slow_start(seconds, concurrency=300)
        good &= max(alone, bounded) <= MOST_ANSWERS
        print(f"answers of {seconds:4} s: {alone:.2f}; only a concurrency given: {bounded:.2f}")
    return good


def _report_small() -> None:
    print("\nsmall unknown limits, 10 minutes: refused, used from minute 2 (a report, no bar)")
    for limit in (6, 30, 60, 120):
        for kind in get_args(Kind):
            strict = RateLimit(requests_per_minute=limit, kind=kind)
            seen = Simulation(Limits(), strict).keep_busy(10 * MINUTE)
            part = seen.refusals / (sum(seen.let_in.values()) + seen.refusals)
            print(f"{limit:4} a minute, {kind:8} {part:7.2%} {seen.share(limit, 1, 10):6.2f}")


def _report_day() -> bool:
    results = day()
    calls = sum(seen.done for seen, _ in results)
    refused = sum(seen.refusals for seen, _ in results)
    waits = quantiles([wait for seen, _ in results for wait in seen.waits], n=100)
    users = {user for seen, _ in results for user in seen.served}
    print(f"\na day in 4 hours: {len(results)} lanes, {len(users)} users, {calls} calls, ", end="")
    print(f"{refused} refused; waits p50 {waits[49]:.0f} s, p99 {waits[98]:.0f} s")
    served = backlog_of_one()
    others = [count for user, count in served.items() if user != "greedy"]
    print(
        f"one user with a backlog got {served['greedy']} calls, each of nine others {min(others)}"
    )
    return refused == 0


def main() -> bool:
    """Print all; return whether every bar holds."""
    _report_small()
    told_good = [_report_told(), _report_slow_start()]
    return all([_report_given(), _report_unknown(), *told_good, _report_day()])


if __name__ == "__main__":
    raise SystemExit(0 if main() else 1)
