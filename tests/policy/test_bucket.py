"""Buckets and windows: what they hold, and when there is room again."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate._policy.bucket import MINUTE, Bucket, Meter, Window

METERS = [lambda limit: Bucket(limit, 0.0), Window]
IDS = ["bucket", "window"]


@pytest.mark.parametrize("make", METERS, ids=IDS)
def test_reserved_charged_and_free_again(make: type[Window]) -> None:
    """What is admitted is gone at once; its minute runs from the answer on."""
    meter: Meter = make(60)
    meter.reserve(60)
    assert meter.room(0) == 0
    assert meter.room(1_000) == 0  # reserved is reserved, however long
    assert meter.ready_at(1_000, 1) == inf
    until = meter.charge(1_000, 60, 60)
    assert meter.ready_at(1_000, 60) == pytest.approx(1_060)
    assert meter.room(1_060) == 60
    assert until in (inf, 1_060)


@pytest.mark.parametrize("make", METERS, ids=IDS)
def test_given_back(make: type[Window]) -> None:
    """What was never counted, and what was charged too much, is free again."""
    meter: Meter = make(60)
    meter.reserve(50)
    meter.reserve(-50)
    assert meter.room(0) == 60
    meter.reserve(50)
    until = meter.charge(0, 50, 50)
    meter.refund(0, 20, until)
    assert meter.room(0) == pytest.approx(30)
    assert meter.room(100) == 60


def test_a_bucket_refills_all_the_time() -> None:
    """By its rate, up to one minute's worth."""
    bucket = Bucket(120, 0.0)
    bucket.add(0, 120)
    assert bucket.ready_at(0, 1) == 0.5
    assert bucket.room(30) == 60
    assert bucket.room(90) == 120


def test_a_window_frees_what_is_a_minute_old() -> None:
    """All at once, and nothing before."""
    window = Window(100)
    for second in (0, 10):
        window.reserve(50)
        window.charge(second, 50, 50)
    assert window.ready_at(10, 1) == 60
    assert window.ready_at(10, 51) == 70
    assert window.room(59.999) == 0
    assert window.room(60) == 50


def test_a_refund_of_a_window_never_outlives_its_charge() -> None:
    """Or there would be room for more than the limit once the charge is gone."""
    window = Window(100)
    window.reserve(80)
    until = window.charge(0, 80, 80)
    window.refund(30, 50, until)
    assert window.room(30) == 70
    assert window.room(61) == 100
    window.refund(61, 50, until)  # too late: it counts no more
    assert window.room(61) == 100


@pytest.mark.parametrize("make", METERS, ids=IDS)
def test_too_large_goes_alone(make: type[Window]) -> None:
    """An amount above the limit is let in when nothing is used, and paid for afterwards."""
    meter: Meter = make(60)
    meter.reserve(1)
    meter.charge(0, 1, 1)
    at = meter.ready_at(0, 90)
    assert at == pytest.approx(1 if isinstance(meter, Bucket) else 60)
    meter.reserve(90)
    meter.charge(at, 90, 90)
    assert meter.room(at) == pytest.approx(-30)
    assert meter.ready_at(at, 60) == pytest.approx(at + (90 if isinstance(meter, Bucket) else 60))


@pytest.mark.parametrize("make", METERS, ids=IDS)
def test_another_limit(make: type[Window]) -> None:
    """What is counted stays counted."""
    meter: Meter = make(60)
    meter.add(0, 50)
    meter.resize(0, 120)
    assert meter.room(0) == 70
    meter.resize(0, 40)
    assert meter.room(0) == -10


@pytest.mark.parametrize("make", METERS, ids=IDS)
def test_the_gateway_has_counted_less(make: type[Window]) -> None:
    """What it says is left is there at once, and never more than the limit."""
    meter: Meter = make(60)
    meter.add(0, 50)
    meter.lift(0, 20)
    assert meter.room(0) == 30
    meter.lift(0, 1_000)
    assert meter.room(0) == 60
    assert meter.room(90) == 60


def test_a_window_is_lifted_where_it_would_have_ended_first() -> None:
    """So the rest ends no sooner; what corrects an earlier charge goes with it."""
    window = Window(100)
    window.add(0, 40)
    window.add(10, 40)
    window.refund(10, 10, 60)
    window.lift(20, 35)
    assert window.room(20) == 65
    assert window.ready_at(20, 66) == 70
    assert window.room(70) == 100


def test_a_refund_of_a_bucket_that_counts_no_more() -> None:
    """Nothing is given back twice."""
    bucket = Bucket(60, 0.0)
    bucket.add(0, 60)
    bucket.refund(10, 30, 10)
    assert bucket.room(10) == 10


def test_a_bucket_that_holds_less_than_a_minute() -> None:
    """It refills at the limit's rate; another limit makes it as much larger."""
    bucket = Bucket(120, 0.0, 10)
    bucket.add(0, 8)
    assert (bucket.room(0), bucket.room(2), bucket.room(1)) == (2, 6, 6)
    assert (bucket.ready_at(2, 10), bucket.ready_at(2, 1_000)) == (4, 4)
    assert bucket.room(60) == 10
    bucket.resize(60, 60)
    assert (bucket.capacity, bucket.rate, bucket.limit, bucket.room(60)) == (5, 1, 60, 5)
    bucket.add(60, 4)
    bucket.reserve(1)
    bucket.resize(60, 120)
    assert (bucket.capacity, bucket.room(60)) == (10, 5)
    assert (bucket.ready_at(60, 9), bucket.ready_at(60, 10)) == (62, inf)


@pytest.mark.parametrize("make", METERS, ids=IDS)
def test_what_rounding_takes_is_there(make: type[Window]) -> None:
    """A billionth of the limit is nobody's, used or reserved; a little more is somebody's."""
    used: Meter = make(60)
    used.add(0, 5e-8)
    assert used.ready_at(0, 60) == 0
    used.add(0, 5e-8)
    assert used.ready_at(0, 60) > 0
    reserved: Meter = make(60)
    reserved.reserve(5e-8)
    assert reserved.ready_at(0, 60) == 0
    reserved.reserve(5e-8)
    assert reserved.ready_at(0, 60) == inf


def test_a_window_carries_no_rounding_on() -> None:
    """Once all is over, nothing is left of it."""
    window = Window(1)
    for _ in range(10):
        window.add(0, 0.1)
    assert window.room(0) < 1e-9
    assert window.room(60) == 1.0


def test_what_a_window_reserves_is_waited_for_until_it_is_answered() -> None:
    """What is counted ends in its order, and what is asked for may need several ends."""
    window = Window(10)
    for second in (0, 1, 2):
        window.add(second, 3)
    assert [window.ready_at(2, amount) for amount in (1, 2, 4, 5, 7, 8, 10, 99)] == [
        *(2, 60, 60, 61, 61, 62, 62, 62)
    ]
    window.reserve(1)
    assert [window.ready_at(2, amount) for amount in (1, 9, 10)] == [60, 62, inf]
    assert window.charge(3, 1, 2) == 63
    assert (window.reserved, window.room(3), window.room(62), window.room(63)) == (0, -1, 8, 10)


@given(
    limit=st.floats(1, 1e6),
    events=st.lists(st.tuples(st.floats(0, 30), st.floats(0.01, 0.4)), max_size=60),
    kind=st.sampled_from(["bucket", "window"]),
)
def test_no_span_holds_too_much(
    limit: float, events: list[tuple[float, float]], kind: str
) -> None:
    """Greedy callers, charged at once: every span is within what the kind allows."""
    meter: Meter = Bucket(limit, 0.0) if kind == "bucket" else Window(limit)
    now, taken = 0.0, list[tuple[float, float]]()
    for pause, share in events:
        amount = share * limit
        now = max(now + pause, meter.ready_at(now + pause, amount))
        meter.reserve(amount)
        meter.charge(now, amount, amount)
        taken.append((now, amount))
    for first, (start, _) in enumerate(taken):
        total = 0.0
        for at, amount in taken[first:]:
            span = at - start
            if kind == "window" and span >= MINUTE - 1e-9:
                break
            total += amount
            allowed = limit if kind == "window" else limit + limit / MINUTE * span
            assert total <= allowed * (1 + 1e-6)
