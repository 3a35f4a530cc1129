"""The script decides what the lanes of one process decide, and survives what servers do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Any

import pytest
import redis
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from aiotokengate._policy.lanes import Lane, Ticket
from aiotokengate._policy.limits import Limits
from aiotokengate._redis.connection import SCRIPT
from aiotokengate._redis.replies import LAYOUT, Known, grants_of, lane_keys
from tests.support.redis_server import RedisServer

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
        reply: list[str] = [part.decode() for part in self._run(self.keys, arguments)]
        self.epoch, self.runs = reply[1], int(reply[2])
        return reply


def enter(name: str, ticket: Ticket, now: float) -> tuple[Any, ...]:
    again = ticket.stage != "new"
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
        if ticket.stage == "waiting":
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
        elif what == "crowd":
            self.batch.append(("crowd", name))
            self.lane.crowd(ticket, now)
        else:
            hinted, final = what == "hint", what == "give_up"
            self.batch.append(("refuse", name, amount / 100, 0, int(hinted), int(final)))
            self.lane.refuse(ticket, now, amount / 100, hinted=hinted, final=final)
            self.refused.append(ticket)
        if ticket.stage == "settled":
            del self.tickets[name]

    def compare(self) -> None:
        """Let both admit whom they will: the same ones, in the same order, with as much left."""
        going, at = self.lane.admit(self.now)
        names = {id(ticket): name for name, ticket in self.tickets.items()}
        expected = [*self.admitted, *(names[id(ticket)] for ticket in going)]
        reply = self.script.run(self.now, *self.batch, sequence=next(self.batches))
        known = Known.read(reply)
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
    learn=st.just(False),
)
ACTS = ["answered", "answered", "settle", "settle", "true_up", "refund"]
ACTS += ["refuse", "hint", "give_up", "crowd"]


@pytest.mark.unmeasured
@given(LIMITS, st.randoms(use_true_random=False), st.integers(1, 4))
# Shrinking would take minutes: a server is asked for every step.
@settings(max_examples=100, phases=[Phase.explicit, Phase.generate])
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


# --- what a local lane has no need of -----------------------------------------------------------


def known(reply: list[str]) -> Known:
    return Known.read(reply).with_news(reply)


def granted(reply: list[str]) -> list[str]:
    return [name for name, _, _ in grants_of(reply)]


def call(name: str, tokens: float = 0.0, **settings: Any) -> tuple[Any, ...]:
    return enter(name, Ticket(tokens=tokens, **settings), 0.0)


@pytest.mark.parametrize("kind", ["bucket", "window"])
def test_what_is_bound_by_time_alone_is_granted_ahead(server: redis.Redis, kind: Any) -> None:
    script = Script(server, Limits(requests_per_minute=60, kind=kind), ahead=0.5, grain=0.25)
    first = script.run(1000.0, *(call(str(n)) for n in range(60)))
    assert len(granted(first)) == 60
    script.run(1000.0, *(("answered", str(n), 0) for n in range(60)), sequence=2)
    opens = 1001.0 if kind == "bucket" else 1060.0
    early = script.run(opens - 0.75, call("x"), sequence=3)
    assert granted(early) == []
    assert float(early[15]) == pytest.approx(0.7, abs=1e-3)
    late = script.run(opens - 0.25, sequence=4)
    ((name, delay, _),) = grants_of(late)
    assert name == "x"
    assert delay == pytest.approx(0.25, abs=1e-3)


def test_nothing_is_granted_ahead_of_a_hold(server: redis.Redis) -> None:
    script = Script(server, Limits(requests_per_minute=60, learn=False), ahead=0.5)
    script.run(1000.0, call("a"), ("refuse", "a", 10, 0, 0, 0), call("b"))
    assert granted(script.run(1009.9, sequence=2)) == []
    assert granted(script.run(1010.0, sequence=3)) == ["b"]


def test_a_batch_that_is_sent_twice_is_applied_once(server: redis.Redis) -> None:
    script = Script(server, Limits(requests_per_minute=10))
    assert granted(script.run(1000.0, call("a"))) == ["a"]
    again = script.run(1000.0, call("a"), resync=True)
    assert granted(again) == ["a"]
    assert (known(again).in_flight, known(again).requests_left) == (1, 9)
    script.run(1000.0, ("settle", "a", 0, ""), sequence=2)
    assert known(script.run(1000.0, ("settle", "a", 0, ""), sequence=2)).requests_left == 9


def test_what_was_answered_counts_from_when_it_was(server: redis.Redis) -> None:
    script = Script(server, Limits(requests_per_minute=1, kind="window"))
    script.run(1000.0, call("a"))
    script.run(1008.0, ("answered", "a", 5), call("b"), sequence=2)
    assert granted(script.run(1062.9, sequence=3)) == []
    assert granted(script.run(1063.0, sequence=4)) == ["b"]


def test_an_age_that_can_not_be_is_not_believed(server: redis.Redis) -> None:
    script = Script(server, Limits(requests_per_minute=1, kind="window"))
    script.run(1000.0, call("a"))
    script.run(1000.0, ("answered", "a", 61), call("b"), sequence=2)
    assert granted(script.run(1059.9, sequence=3)) == []


@pytest.mark.parametrize("late", [False, True])
def test_calls_of_a_dead_process_count_as_used(server: redis.Redis, late: bool) -> None:
    limits = Limits(concurrency=2, tokens_per_minute=600)
    script = Script(server, limits, lease=10)
    script.run(1000.0, call("a", 200, late=late), call("b", 200, late=late), call("c", 200))
    script.run(1000.0, ("answered", "a", 0), sequence=2)
    script.run(1000.0, call("d", 100), process="q.1.0")
    script.run(1009.0, process="q.1.0", sequence=2)
    assert granted(script.run(1009.9, process="q.1.0", sequence=3)) == []
    reply = script.run(1010.0, process="q.1.0", sequence=4)
    assert granted(reply) == ["d"]
    found = known(reply)
    assert (found.in_flight, found.waiting, found.members) == (1, 0, 1)
    refilled = 100 if not late else 0
    assert found.tokens_left == pytest.approx(600 - 400 - 100 + refilled, abs=1e-6)


def test_a_process_that_was_taken_for_dead_is_told(server: redis.Redis) -> None:
    script = Script(server, Limits(concurrency=2), lease=10)
    script.run(1000.0, call("a"), call("b"))
    script.run(1020.0, call("c"), process="q.1.0")
    late = script.run(1021.0, ("settle", "a", 0, ""), sequence=2)
    assert (late[0], known(late).in_flight) == ("lost", 1)
    adopted = script.run(1021.0, ("adopt", "b", 1, 0, 0, 21, "again"), process="p.1.1", sequence=1)
    assert (adopted[0], known(adopted).in_flight) == ("ok", 2)


@pytest.mark.parametrize("kind", ["bucket", "window"])
def test_a_lane_that_was_lost_begins_with_nothing(server: redis.Redis, kind: Any) -> None:
    script = Script(server, Limits(requests_per_minute=60, kind=kind), grace=3)
    script.run(1000.0, call("a"))
    script.members = 2
    server.delete(*script.keys)
    assert script.run(1001.0, call("b"), sequence=2)[0] == "lost"
    back = script.run(1001.0, ("adopt", "a", 1, 0, 0, 1, "again"), call("b"), process="p.1.1")
    assert granted(back) == []
    assert known(back).requests_left == pytest.approx(0, abs=1e-6)
    # The other one has not come back: nobody is let in before it had the time to.
    assert granted(script.run(1003.0, process="p.1.1", sequence=2)) == []
    later = 1004.1 if kind == "bucket" else 1061.0
    assert granted(script.run(later, process="p.1.1", sequence=3)) == ["b"]


@pytest.mark.parametrize(("kind", "left", "at"), [("bucket", -30, 1001.6), ("window", 0, 1061.5)])
def test_what_a_lost_lane_had_granted_ahead_is_not_granted_again(
    server: redis.Redis, kind: Any, left: float, at: float
) -> None:
    script = Script(server, Limits(requests_per_minute=3600, kind=kind), ahead=0.5, grace=0.1)
    script.run(1000.0, *(call(str(number)) for number in range(3630)))
    server.delete(*script.keys)
    assert script.run(1001.0, sequence=2)[0] == "lost"
    back = script.run(1001.0, call("b"), process="p.1.1")
    assert known(back).requests_left == pytest.approx(left, abs=1e-6)
    assert granted(script.run(at - 0.7, process="p.1.1", sequence=2)) == []
    assert granted(script.run(at, process="p.1.1", sequence=3)) == ["b"]


def test_all_back_the_grace_is_over(server: redis.Redis) -> None:
    script = Script(server, Limits(concurrency=2), grace=3)
    script.run(1000.0, call("a"))
    script.members = 2
    server.delete(*script.keys)
    script.run(1001.0, sequence=2)
    adopt = ("adopt", "a", 2, 0, 0, 1, "again")
    assert granted(script.run(1001.0, adopt, call("b"), process="p.1.1")) == []
    script.run(1001.5, ("adopt", "x", 2, 0, 0, 1, "again"), process="q.1.1")
    assert known(script.run(1001.5, process="p.1.1", sequence=2)).in_flight == 2


def test_a_lane_that_was_set_back_is_found_out(server: redis.Redis) -> None:
    script = Script(server, Limits(requests_per_minute=60))
    script.run(1000.0)
    epoch, old = script.epoch, server.dump(script.keys[0])
    script.run(1000.0, *(call(str(n)) for n in range(60)), sequence=2)
    assert old is not None
    server.restore(script.keys[0], 0, old, replace=True)
    reply = script.run(1001.0, sequence=3)
    assert reply[0] == "lost"
    assert script.epoch != epoch
    assert known(reply).requests_left == pytest.approx(0, abs=1e-6)


def test_a_newcomer_that_was_first_takes_nothing_over(server: redis.Redis) -> None:
    script = Script(server, Limits(requests_per_minute=60))
    script.run(1000.0, call("a"))
    epoch, runs = script.epoch, script.runs
    server.delete(*script.keys)
    script.epoch, script.runs = NONE, 0
    fresh = script.run(1001.0, process="new.1.0")
    assert known(fresh).requests_left == 60
    script.epoch, script.runs = epoch, runs
    assert script.run(1001.0, sequence=2)[0] == "lost"
    assert known(script.run(1001.0, process="new.1.0", sequence=2)).requests_left <= 0  # type: ignore[operator]


def test_an_outage_of_all_leaves_nothing_over(server: redis.Redis) -> None:
    script = Script(server, Limits(requests_per_minute=60), grace=3)
    script.run(1000.0)
    alone = script.run(1010.0, ("bury", "p.1.0"), ("add", 2, 0), process="p.1.1", away=9.5)
    assert known(alone).requests_left == pytest.approx(-2, abs=1e-6)
    other = Script(server, Limits(requests_per_minute=60), grace=3)
    other.run(1000.0)
    other.run(1009.0, process="q.1.0")
    mine = other.run(1010.0, ("bury", "p.1.0"), ("add", 2, 0), process="p.1.1", away=9.5)
    assert known(mine).requests_left == pytest.approx(58, abs=1e-6)


@pytest.mark.parametrize("kind", ["bucket", "window"])
@pytest.mark.parametrize("before", ["bucket", "window"])
def test_the_latest_limits_hold_and_what_was_used_stays(
    server: redis.Redis, before: Any, kind: Any
) -> None:
    script = Script(server, Limits(requests_per_minute=60, kind=before))
    script.run(1000.0, call("a"), call("b"))
    script.run(1000.0, ("answered", "a", 0), sequence=2)
    script.limits = Limits(requests_per_minute=30, kind=kind)
    assert known(script.run(1000.0, sequence=3)).requests_left == pytest.approx(28)


def test_few_ends_are_kept_of_a_window(server: redis.Redis) -> None:
    limits = Limits(requests_per_minute=10**6, kind="window")
    script = Script(server, limits, grain=0.25)
    for step in range(300):
        now = 1000 + step / 4 + 0.1
        operations = [call(f"{step}.{n}") for n in range(5)]
        operations += [("settle", f"{step}.{n}", 0, "") for n in range(5)]
        reply = script.run(now, *operations, sequence=step + 1)
    assert known(reply).requests_left == 10**6 - 5 * 241
    assert server.strlen(script.keys[0]) < 5000


def test_everybody_who_leaves_leaves_no_key_but_one(server: redis.Redis) -> None:
    script = Script(server, Limits(concurrency=1))
    script.run(
        1000.0, call("a", fair_key="小明"), call("b", fair_key="小红"), call("c", bulk=True)
    )
    script.run(1000.0, ("bye",), sequence=2)
    assert [key for key in script.keys if server.exists(key)] == [script.keys[0]]
    assert server.ttl(script.keys[0]) > 600


def test_users_that_are_even_again_are_forgotten(server: redis.Redis) -> None:
    script = Script(server, Limits(concurrency=1, learn=False))
    stays = (call(f"s{n}", fair_key="stays") for n in range(1500))
    (going,) = granted(script.run(1000.0, *stays))
    for step in range(1500):
        comes = call(f"u{step}", fair_key=f"user{step}")
        (going,) = granted(script.run(1000.0, comes, ("refund", going), sequence=step + 2))
    assert server.hlen(script.keys[9]) < 1200
