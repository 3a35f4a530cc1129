"""The script decides what the lanes of one process decide, and survives what servers do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from redis_server import RedisServer

from aiotokengate.policy.lanes import Lane, Stage, Ticket
from aiotokengate.policy.limits import Limits
from aiotokengate.redis.link import SCRIPT
from aiotokengate.redis.told import LAYOUT, Known, grants_of, lane_keys

FAIR_KEYS = [None, "小明", "小红 🧧", "vip"]
PREFIXES = count()
NONE = ""


@pytest.fixture(scope="module")
def server() -> Iterator[redis.Redis]:
    with RedisServer() as server, redis.Redis.from_url(server.url, protocol=2) as client:
        yield client


def number(value: float | None) -> str:
    return NONE if value is None else repr(float(value))


class Script:
    """The script with a time that the test sets."""

    def __init__(self, server: redis.Redis, limits: Limits, **settings: Any) -> None:
        self.name = f"lane{next(PREFIXES)}"
        self.keys = lane_keys("test", self.name)
        self.limits = limits
        self.epoch = NONE
        self.runs = 0
        self.members = 1
        self.settings = {"ahead": 0.0, "grain": 0.0, "lease": 1e6, "grace": 3.0} | settings
        self._run = server.register_script(SCRIPT)

    def run(
        self,
        now: float,
        *operations: Any,
        process: str = "p.1.0",
        sequence: int = 1,
        resync: bool = False,
        away: float = 0.0,
    ) -> list[str]:
        limits, terms = self.limits, self.settings
        arguments = [
            LAYOUT,
            process,
            sequence,
            self.epoch,
            self.runs,
            f"epoch{next(PREFIXES)}",
            self.members,
            away,
            int(resync),
            number(limits.concurrency),
            number(limits.requests_per_minute),
            number(limits.tokens_per_minute),
            limits.kind,
            int(limits.learn),
            terms["lease"],
            terms["ahead"],
            terms["grain"],
            "test:",
            self.name,
            number(now),
            terms["grace"],
            *(part for operation in operations for part in operation),
        ]
        return [part.decode() for part in self._run(self.keys, arguments)]


def enter(name: str, ticket: Ticket, now: float) -> tuple[Any, ...]:
    again = ticket.stage is not Stage.NEW
    return (
        *("enter", name, ticket.tokens, int(ticket.late), int(ticket.bulk)),
        *(ticket.fair_key or "", ticket.weight, number(now - ticket.arrived) if again else 0),
        number(ticket.start) if again else "",
    )


class Both:
    """One lane in this process and one in Redis, given the same operations at the same time."""

    def __init__(self, server: redis.Redis, limits: Limits) -> None:
        self.now = 1000.0
        self.lane = Lane(limits, self.now, lambda: 0.0)
        self.script = Script(server, limits)
        self.tickets: dict[str, Ticket] = {}
        self.refused: list[Ticket] = []
        self.names = count()
        self.batches = count(1)
        self.batch: list[tuple[Any, ...]] = []
        self.admitted: list[str] = []

    def enter(self, ticket: Ticket) -> None:
        name = str(next(self.names))
        self.tickets[name] = ticket
        self.batch.append(enter(name, ticket, self.now))
        if self.lane.enter(ticket, self.now):
            self.admitted.append(name)

    def act(self, what: str, name: str, amount: float) -> None:
        ticket, now = self.tickets[name], self.now
        if ticket.stage is Stage.WAITING:
            self.batch.append(("leave", name))
            self.lane.leave(ticket)
        elif what == "answered":
            self.batch.append(("answered", name, 0))
            self.lane.answered(ticket, now)
        elif what == "true_up":
            self.batch.append(("true_up", name, amount))
            self.lane.true_up(ticket, amount)
        elif what == "settle":
            self.batch.append(("settle", name, 0, amount))
            self.lane.settle(ticket, now, amount)
        elif what == "refund":
            self.batch.append(("refund", name))
            self.lane.refund(ticket, now)
        else:
            self.batch.append(("refuse", name, amount / 100, 0))
            self.lane.refuse(ticket, now, amount / 100)
            self.refused.append(ticket)
        if ticket.stage is Stage.SETTLED:
            del self.tickets[name]

    def compare(self) -> None:
        """Let both admit whom they will: the same ones, in the same order, with as much left."""
        going, at = self.lane.admit(self.now)
        names = {id(ticket): name for name, ticket in self.tickets.items()}
        expected = [*self.admitted, *(names[id(ticket)] for ticket in going)]
        reply = self.script.run(self.now, *self.batch, sequence=next(self.batches))
        known = Known.read(reply)
        self.script.epoch, self.script.runs = known.epoch, known.runs
        self.batch, self.admitted = [], []
        # Those who left in the batch that admitted them are told of as well.
        found = [name for name, _, _ in grants_of(reply)]
        assert found == expected
        ours = self.lane.statistics(self.now, "")
        assert (known.waiting, known.in_flight) == (ours.waiting, ours.in_flight)
        assert (known.admitted, known.refused) == (ours.admitted, ours.refused)
        assert known.requests_left == pytest.approx(ours.requests_left, abs=1e-6)
        assert known.tokens_left == pytest.approx(ours.tokens_left, abs=1e-6)
        look = float(reply[15])
        assert (self.now + look if look >= 0 else float("inf")) == pytest.approx(at, abs=1e-6)


LIMITS = st.builds(
    Limits,
    concurrency=st.none() | st.integers(1, 6),
    requests_per_minute=st.none() | st.integers(1, 30),
    tokens_per_minute=st.none() | st.integers(50, 2000),
    kind=st.sampled_from(["bucket", "window"]),
    learn=st.just(False),  # noqa: FBT003 - a strategy has no keywords
)
ACTS = ["answered", "answered", "settle", "settle", "true_up", "refund", "refuse"]


@given(LIMITS, st.randoms(use_true_random=False), st.integers(1, 4))
@settings(max_examples=150)
def test_the_script_admits_whom_a_local_lane_admits(
    server: redis.Redis, limits: Limits, random: Random, users: int
) -> None:
    both = Both(server, limits)
    for _ in range(60):
        both.now += random.choice([0.0, 0.0, 0.5, 1.0, 7.25, 31.0, 60.0])
        for _ in range(random.randint(1, 4)):
            if both.refused and random.random() < 0.5:
                both.enter(both.refused.pop())
            elif not both.tickets or random.random() < 0.5:
                both.enter(
                    Ticket(
                        tokens=float(random.randint(0, 400)),
                        late=random.random() < 0.5,
                        bulk=random.random() < 0.3,
                        fair_key=random.choice(FAIR_KEYS[:users]),
                        weight=random.choice([1.0, 1.0, 3.0]),
                    )
                )
            else:
                name = random.choice(list(both.tickets))
                if name in both.admitted:
                    continue
                both.act(random.choice(ACTS), name, float(random.randint(0, 500)))
        both.compare()
