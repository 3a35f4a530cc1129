"""What lanes and pools are doing, as values."""

from aiotokengate._policy.statistics import LaneStatistics, PoolStatistics


def test_a_pool_is_the_sum_of_its_lanes() -> None:
    """Who waits, who is in flight and who was refused, over all of them."""
    pool = PoolStatistics(
        (
            LaneStatistics(pattern="a", waiting=1, in_flight=20, admitted=9_000, refused=300),
            LaneStatistics(pattern="b", waiting=4, in_flight=50, admitted=9_000, refused=600),
        )
    )
    assert (pool.waiting, pool.in_flight, pool.refused) == (5, 70, 900)


def test_a_pool_that_nobody_used() -> None:
    """Nothing, and no patterns that no call has matched."""
    pool = PoolStatistics(())
    assert (pool.waiting, pool.in_flight, pool.refused, pool.unused) == (0, 0, 0, ())


def test_a_lane_of_which_nothing_is_known() -> None:
    """None is without a limit, or not known; it is no number."""
    lane = LaneStatistics(pattern="*")
    limits = (lane.concurrency, lane.requests_per_minute, lane.tokens_per_minute)
    assert limits == (None, None, None)
    assert (lane.requests_left, lane.tokens_left, lane.set_aside) == (None, None, None)
