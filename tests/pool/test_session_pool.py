"""The lanes of a pool: of which models, for how long they are known, and when there are none."""

import asyncio

import pytest

from aiotokengate import CallerError, Limits, Pool
from aiotokengate.testing import VirtualClock

MODEL = "qwen3.6-plus"
MANY = Limits(concurrency=100, learn=False)
"""No limit that these tests would meet."""


async def test_lanes_by_pattern() -> None:
    """The first pattern that matches counts; its models share; the others have their own."""
    limits = {"qwen3.6-plus": Limits(concurrency=1), "qwen*": Limits(concurrency=2)}
    pool = Pool({**limits, "gml*": Limits(concurrency=3)}, clock=VirtualClock())
    for model in ("qwen3.6-plus", "qwen3.6-max-preview", "qwen3.5-plus", "glm-5.1", "glm-5.1"):
        async with pool.slot(model):
            pass
    lanes = {lane.pattern: lane.admitted for lane in pool.statistics().lanes}
    assert lanes == {"qwen3.6-plus": 1, "qwen*": 2, "glm-5.1": 2}
    assert pool.statistics().unused == ("gml*",)


def test_a_pool_outlives_its_loop() -> None:
    """A second asyncio.run goes on with what was used, and without the calls that died."""

    async def use(pool: Pool) -> float | None:
        slot = pool.slot(MODEL, tokens=10)
        await slot.__aenter__()  # and never left: its loop ends first
        (lane,) = pool.statistics().lanes
        assert lane.in_flight == 1
        return lane.requests_left

    pool = Pool(Limits(requests_per_minute=10), clock=VirtualClock())
    assert [asyncio.run(use(pool)) for _ in range(3)] == [9, 8, 7]


async def test_models_that_users_made_up() -> None:
    """Lanes of models that nobody knows are not kept for ever."""
    pool = Pool({"qwen*": MANY}, clock=VirtualClock())
    for model in (MODEL, *(f"made-up-{number}" for number in range(1_100))):
        async with pool.slot(model):
            pass
    lanes = pool.statistics().lanes
    assert len(lanes) < 1_000
    assert "qwen*" in {lane.pattern for lane in lanes}
    assert len(pool._by_model) <= 1_000


async def test_a_pool_that_is_closed() -> None:
    """Whoever waits in it is told, and nobody can come in."""
    clock = VirtualClock()
    pool = Pool(Limits(concurrency=1), clock=clock)
    async with pool.slot(MODEL):
        waiting = asyncio.ensure_future(pool.slot(MODEL).__aenter__())
        await clock.settle()
        pool.close()
        with pytest.raises(CallerError, match="this Pool is closed"):
            await waiting
    with pytest.raises(CallerError, match="this Pool is closed"):
        pool.slot(MODEL)
