"""Keys and addresses: which of several a call goes to, and which are set aside for now."""

from __future__ import annotations

import math
from typing import Any

import pytest

from aiotokengate import (
    AuthenticationFailed,
    CallerError,
    Endpoint,
    ModelNotFound,
    PermissionDenied,
    Pool,
    QuotaExhausted,
    TokenGateError,
)
from aiotokengate._calls.routes import Routes
from aiotokengate._http.keys import KeySource
from aiotokengate._policy.lanes import Ticket
from aiotokengate.testing import VirtualClock
from tests.support.turns import MODEL, route


@pytest.fixture
def pool(clock: VirtualClock) -> Pool:
    """Return a pool without limits."""
    return Pool(clock=clock)


@pytest.fixture
def routes(clock: VirtualClock) -> Routes:
    """Return those of two keys."""
    return Routes([route("sk-first-0123456789"), route("sk-other-0123456789")], clock)


def test_a_route_is_named_after_its_key(routes: Routes) -> None:
    """So that it can be told from others, and the key is not shown."""
    first, other = routes.all
    assert (first.name, other.name) == ("…#1c3cd5", "…#088cd1")
    assert (first.digest, other.digest) == ("1c3cd5", "088cd1")
    assert routes.named(other.digest) is other
    assert routes.named("of another session") is first
    assert other.secrets() == ("sk-other-0123456789",)
    other.transport.secrets.add("geheim")
    assert other.secrets() == ("sk-other-0123456789", "geheim")
    assert (other.weight, other.in_flight, other.asides, other.source) == (1.0, 0, {}, None)


async def test_a_key_that_is_asked_for() -> None:
    """Its header goes to the gateway alone; where the session has one of its own, it stands."""
    source = KeySource(lambda: "sk-fresh-0123456789", "first")
    asked = route("", source=source)
    assert asked.name == source.name
    assert asked.secrets() == ()
    assert await asked.signature() == {"Authorization": "Bearer sk-fresh-0123456789"}
    assert asked.secrets() == ("sk-fresh-0123456789",)
    own = route("", source=source, AUTHORIZATION="Bearer x")
    assert await own.signature() is None
    assert await route("sk-first-0123456789").signature() is None


def test_an_endpoint_is_as_heavy_as_another_by_default() -> None:
    endpoint = Endpoint(api_key="sk-test")
    assert (endpoint.base_url, endpoint.weight) == (None, 1.0)
    assert "sk-test" not in repr(endpoint)


def asides(pool: Pool) -> dict[str, str | None]:
    """Return which key is set aside for the model, and why."""
    return {lane.key: lane.set_aside for lane in pool.statistics().lanes}


async def test_the_least_loaded_by_its_weight(
    routes: Routes, pool: Pool, clock: VirtualClock
) -> None:
    """Of those on which a call would go as soon."""
    first, other = routes.all
    assert routes.choose(pool, MODEL, Ticket(), None) is first
    first.in_flight = 2
    assert routes.choose(pool, MODEL, Ticket(), None) is other
    first.weight = 4.0
    assert routes.choose(pool, MODEL, Ticket(), None) is first
    assert routes.choose(pool, MODEL, Ticket(), first) is other
    assert routes.choose(pool, MODEL, Ticket(), None) is first
    first.in_flight, first.weight, other.in_flight, other.weight = 1, 3.0, 0, 1.0
    assert routes.choose(pool, MODEL, Ticket(), None) is first  # two by three are less than one
    alone = Routes([first], clock)
    assert (routes.several, alone.several) == (True, False)
    assert alone.choose(pool, MODEL, Ticket(), first) is first


@pytest.mark.parametrize(
    ("error", "model", "all_models"),
    [
        (AuthenticationFailed("m"), True, True),
        (QuotaExhausted("m"), True, True),
        (PermissionDenied("m"), True, False),
        (ModelNotFound("m"), False, False),
    ],
    ids=repr,
)
async def test_what_sets_a_key_aside(
    routes: Routes,
    pool: Pool,
    clock: VirtualClock,
    error: TokenGateError,
    model: bool,
    all_models: bool,
) -> None:
    """A key that is refused or exhausted for every model; one without permission for the one."""
    first, other = routes.all
    assert routes.leaves(pool, first, MODEL, error) is model
    now = clock.now()
    assert first.is_aside(MODEL, now) is model
    assert first.is_aside("another", now) is all_models
    assert routes.choose(pool, MODEL, Ticket(), None) is (other if model else first)
    name = type(error).__name__ if model else None
    pool.lane(MODEL, first.name)
    pool.lane(MODEL, other.name)
    assert asides(pool) == {first.name: name, other.name: None}
    pool.lane("another", first.name)
    known = {(lane.pattern, lane.set_aside) for lane in pool.statistics().lanes}
    assert (("another", name if all_models else None)) in known


async def test_a_key_that_works_again(routes: Routes, pool: Pool, clock: VirtualClock) -> None:
    """After its time one call may try it, and when that is let in, all may."""
    first, _ = routes.all
    routes.leaves(pool, first, MODEL, QuotaExhausted("m"))
    assert first.asides == {"": 60.0}
    assert first.is_aside(MODEL, 59.9)
    assert [first.is_aside(MODEL, 60.0) for _ in range(2)] == [False, True]
    assert first.asides == {"": 120.0}
    pool.lane(MODEL, first.name)
    assert asides(pool) == {first.name: "QuotaExhausted"}
    routes.worked(pool, first, MODEL)
    assert not first.is_aside(MODEL, 60.0)
    assert asides(pool) == {first.name: None}
    routes.leaves(pool, first, MODEL, PermissionDenied("m"))
    routes.leaves(pool, first, "another", PermissionDenied("m"))
    assert first.asides == {MODEL: 60.0, "another": 60.0}
    routes.worked(pool, first, MODEL)
    assert first.asides == {"another": 60.0}


async def test_all_keys_are_set_aside(routes: Routes, pool: Pool, clock: VirtualClock) -> None:
    """Then one is used all the same, and nothing is told to try elsewhere."""
    first, other = routes.all
    assert routes.leaves(pool, first, MODEL, QuotaExhausted("m"))
    assert not routes.leaves(pool, other, MODEL, QuotaExhausted("m"))
    assert routes.choose(pool, MODEL, Ticket(), first) is first
    alone = Routes([route("sk-alone-0123456789")], clock)
    assert not alone.leaves(pool, alone.all[0], MODEL, QuotaExhausted("m"))
    assert not alone.all[0].asides


@pytest.mark.parametrize("weight", [0, -1, math.inf, math.nan, "2"], ids=repr)
def test_a_weight_that_is_none(weight: Any) -> None:
    """A share is above nothing."""
    with pytest.raises(CallerError, match=r"expected Endpoint\(weight=\.\.\.\) above 0, got"):
        Endpoint(api_key="sk-test", weight=weight)
