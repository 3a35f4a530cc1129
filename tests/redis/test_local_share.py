"""A share of the limits, which a process goes on with while Redis is away."""

from typing import Any

import pytest

from aiotokengate import Limits
from aiotokengate._policy.lanes import Ticket
from aiotokengate._redis.local_share import LocalShare, share_of
from aiotokengate._redis.operations import Call
from aiotokengate.testing import VirtualClock


def opened(clock: VirtualClock, limits: Limits, **more: Any) -> LocalShare:
    known: dict[str, Any] = {"in_flight": 0, "used": False, "ahead": 0.0, **more}
    return LocalShare(limits, clock, lambda: 0.0, **known)


def entered(share: LocalShare, name: str, tokens: float = 1.0, *, local: bool = True) -> Call:
    """Return a call that was to go, and whose waking is noted in its id."""
    call = Call(name, Ticket(tokens=tokens), local=local)
    share.enter(call.ticket)
    return call


def test_a_share_of_limits() -> None:
    whole = Limits(concurrency=3, requests_per_minute=60, tokens_per_minute=900)
    half = share_of(whole, 0.5)
    assert (half.concurrency, half.requests_per_minute, half.tokens_per_minute) == (1, 30, 450)
    assert share_of(Limits(concurrency=1), 0.1).concurrency == 1
    assert share_of(Limits(), 0.5) == Limits()


def test_one_goes_when_another_ends() -> None:
    clock = VirtualClock()
    share = opened(clock, Limits(concurrency=1))
    first, second = entered(share, "a"), Call("b", Ticket(), local=True)
    woken: list[str] = []
    second.ticket.wake = lambda: woken.append("b")
    assert not share.enter(second.ticket)
    share.end(first, 7.0)
    assert (woken, share.used) == (["b"], [7.0])
    share.end(second, None)  # it was never sent
    assert (share.used, share.lane.in_flight) == ([7.0], 0)


async def test_one_goes_when_its_time_has_come() -> None:
    clock = VirtualClock()
    for kind in ("bucket", "window"):
        limits: Any = Limits(requests_per_minute=60, tokens_per_minute=600, kind=kind)
        share = opened(clock, limits, used=True, ahead=2.0)
        ticket = Ticket(tokens=1.0)
        woken: list[float] = []
        began = clock.now()
        ticket.wake = lambda woken=woken: woken.append(clock.now())
        assert not share.enter(ticket)
        await clock.run_for(120)
        (at,) = woken
        assert at - began >= 2.0
        share.stop()
    assert clock.pending == 0


def test_a_call_that_redis_had_admitted() -> None:
    share = opened(VirtualClock(), Limits(concurrency=1), in_flight=1)
    call = Call("a", Ticket(tokens=5.0, stage="admitted"))
    share.adopted = {"a": "admitted"}
    share.end(call, 9.0)
    assert (call.ticket.stage, share.lane.in_flight) == ("settled", 0)
    assert (share.ended, share.used) == ([("a", 5.0)], [])


def test_a_refusal_or_an_end_of_what_redis_is_told_of() -> None:
    """What it really cost is told, of a call of the share; of another one, what was expected."""
    share = opened(VirtualClock(), Limits(concurrency=9), in_flight=1)
    calls = [entered(share, name, 5.0) for name in "abc"]
    theirs = Call("d", Ticket(tokens=5.0, stage="admitted"))
    share.adopted = {"a": "admitted", "b": "admitted", "d": "admitted"}
    for call, cost in zip([*calls, theirs], (7.0, None, 8.0, 9.0), strict=True):
        share.end(call, cost)
    assert share.ended == [("a", 7.0), ("b", None), ("d", 5.0)]
    assert share.used == [8.0]
    assert share.report() == ("add", "1", "8.0")
    share.keep_report()
    assert share.report() == ("add", "3", "20.0")


@pytest.mark.parametrize(
    ("kind", "used", "waits"),
    [("bucket", True, 3.0), ("window", True, 62.0), ("bucket", False, 0.0), ("window", False, 0)],
)
async def test_how_much_is_left_at_first(kind: Any, used: bool, waits: float) -> None:
    """Nothing, and what may have been granted ahead is waited for, where something was used."""
    clock = VirtualClock()
    limits = Limits(requests_per_minute=60, kind=kind, learn=False)
    share = opened(clock, limits, used=used, ahead=2.0)
    woken: list[float] = []
    ticket = Ticket(arrived=-7.0, wake=lambda: woken.append(clock.now()))
    assert share.enter(ticket) is not used
    assert clock.pending == used
    await clock.run_for(waits)
    assert woken == ([pytest.approx(waits)] if used else [])
    assert (ticket.arrived, clock.pending) == (-7.0, 0)
    opened(clock, Limits(), used=True).stop()


async def test_one_timer_looks_when_the_next_gate_opens() -> None:
    clock = VirtualClock()
    share = opened(clock, Limits(requests_per_minute=60, learn=False), used=True)
    tickets = [Ticket(wake=lambda: None) for _ in range(3)]
    for ticket in tickets:
        assert not share.enter(ticket)
    assert clock.pending == 1
    for seconds, went in ((0.9, 0), (0.1, 1), (0.9, 1), (0.1, 2)):
        await clock.run_for(seconds)
        assert [one.stage for one in tickets].count("admitted") == went
    share.stop()
    share.stop()
    await clock.run_for(9)
    assert (tickets[2].stage, clock.pending) == ("waiting", 0)


async def test_a_refusal_holds_the_lane() -> None:
    clock = VirtualClock()
    share = opened(clock, Limits(concurrency=3), in_flight=1)
    how: Any = {"crowded": False, "hinted": True, "final": True}
    local = entered(share, "a")
    assert share.refuse(local, 5.0, 0.0, **how) >= 5.0
    assert share.used == [0.0]
    theirs = Call("b", Ticket(stage="admitted"))
    assert share.refuse(theirs, None, 30.0, **how) == 30.0
    woken: list[float] = []
    waiting = Ticket(wake=lambda: woken.append(clock.now()))
    assert not share.enter(waiting)
    await clock.run_for(31)
    assert [30.0 <= at < 31.0 for at in woken] == [True]


def test_a_report_that_did_not_arrive_is_made_again() -> None:
    share = opened(VirtualClock(), Limits(concurrency=9))
    share.end(entered(share, "a"), 2.0)
    share.end(entered(share, "b"), 3.0)
    assert share.report() == ("add", "2", "5.0")
    adopted = entered(share, "c")
    share.adopted = {"c": "admitted"}
    share.end(adopted, 4.0)
    share.keep_report()
    assert share.report() == ("add", "3", "9.0")
    assert (share.adopted, share.ended) == ({}, [])
