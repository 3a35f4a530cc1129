"""The bars of the pool on simulated traffic; ``benchmarks/pool_simulation.py`` prints them."""

import pool_simulation as simulation
import pytest
from pool_simulation import CALLS, LEAST_USED, MOST_REFUSED, MOST_TIME, UNKNOWN


@pytest.mark.parametrize(("kind", "gateways_kind", "charge"), simulation.GIVEN)
def test_limits_given(kind: str, gateways_kind: str, charge: str) -> None:
    """None lost, none refused, and hardly slower than the limits themselves."""
    seen, ratio = simulation.given(kind, gateways_kind, charge, seed=7)
    assert seen.refusals == 0
    assert seen.done == CALLS
    assert 1.0 <= ratio <= MOST_TIME


@pytest.mark.unmeasured
@pytest.mark.parametrize("name", UNKNOWN)
def test_limits_unknown(name: str) -> None:
    """Ten minutes of allowance: few refusals, none for one call again and again, and all used."""
    seen = simulation.unknown(name, seed=7)
    limit = UNKNOWN[name][0].requests_per_minute or simulation.TOKENS / 200
    let_in = sum(seen.let_in.values())
    assert 0 < seen.refusals <= MOST_REFUSED * (let_in + seen.refusals)
    assert seen.most_refusals < 3  # which is all that a call is sent by default
    assert seen.share(limit, 1, 10) >= LEAST_USED


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_limit_that_changes(factor: float) -> None:
    """Halved or doubled: found again within a minute."""
    seen = simulation.changed(factor, seed=7)
    assert LEAST_USED <= seen.share(300 * factor, 6, 14) <= 1.05
    assert seen.refusals <= MOST_REFUSED * (sum(seen.let_in.values()) + seen.refusals)


@pytest.mark.unmeasured
@pytest.mark.parametrize("stale", [True, False], ids=["stale", "fresh"])
@pytest.mark.parametrize("measures", [("requests", "tokens"), ("requests",), ("tokens",)])
@pytest.mark.parametrize("kind", ["bucket", "window"])
@pytest.mark.parametrize("every", [0.0, 0.03], ids=["at once", "steady"])
def test_limits_told(kind: str, measures: tuple[str, ...], stale: bool, every: float) -> None:
    """Both headers or one, stale or not: nothing is counted twice, and hardly any is refused."""
    seen, ratio = simulation.told(kind, measures, stale=stale, every=every)
    assert seen.done == simulation.BURST
    assert seen.refusals <= simulation.MOST_REFUSED_TOLD * simulation.BURST
    assert ratio <= simulation.MOST_TIME_TOLD


@pytest.mark.parametrize("concurrency", [None, 300])
@pytest.mark.parametrize("seconds", [0.2, 0.5, 2.0, 10.0])
def test_slow_start(seconds: float, concurrency: int | None) -> None:
    """Two hundred at once, and nothing known: the last is let in within four answers."""
    assert simulation.slow_start(seconds, concurrency) <= simulation.MOST_ANSWERS


def test_a_day_of_many_users() -> None:
    """Waves and bursts on several lanes: nothing refused, and everybody is served."""
    for seen, lane in simulation.day(lanes=4, hours=1.0, users=2_000):
        assert seen.refusals == 0
        assert seen.done == len(seen.order)
        assert lane.lane.in_flight == lane.lane.queue.waiting == 0
        assert seen.bulk > 0


def test_one_user_with_a_backlog() -> None:
    """Nine others get all that they ask for, one with thousands of calls gets what is left."""
    served = simulation.backlog_of_one()
    assert min(count for user, count in served.items() if user != "greedy") >= 118
    assert served["greedy"] > 600
