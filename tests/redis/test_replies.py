"""How a lane is named in Redis, and what a run of its script tells."""

from aiotokengate import Limits
from aiotokengate._redis.replies import Known, grants_of, lane_keys, lane_name, names_of

REPLY = [
    *("ok", "epoch", "7", "", "2", "3", "40", "5", "1.5", "10", "", "300", ""),
    *("2.5", "8", "-1", "requests", "1", "4", "600", "a", "0.5", "12.0"),
]


def test_a_name_means_nothing_to_redis_and_is_read_again() -> None:
    name = lane_name("qwen*", "sk-…{a}|b")
    assert not set(name) & set("{}[]?")
    assert names_of(name) == ("qwen*", "sk-…{a}|b")
    assert all("{" + name + "}" in key for key in lane_keys("p", name))


def test_a_reply_is_read_and_its_news_are_for_members() -> None:
    known = Known.read(REPLY)
    assert (known.waiting, known.in_flight, known.admitted, known.refused) == (2, 3, 40, 5)
    assert (known.requests_left, known.tokens_left, known.members) == (10.0, None, 0)
    news = known.with_news(REPLY)
    assert (news.because, news.urgent, news.members, news.keep) == ("requests", True, 4, 600.0)
    assert news.seen_again(REPLY) == news
    assert list(grants_of(REPLY)) == [("a", 0.5, 12.0)]


def test_a_hold_ends_while_nothing_is_heard() -> None:
    known = Known.read(REPLY)
    assert known.statistics("*", "k", since=0.5).hold == 1.0
    assert known.statistics("*", "k", since=9.0).hold == 0.0


def test_what_waits_longest_is_the_outlook() -> None:
    known = Known.read(REPLY)
    assert known.outlook(4, 0, 0.0) == (1.5, "hold")
    assert known.outlook(15, 0, 0.0) == (3.125, "concurrency")
    assert Known().outlook(9, 9, 0.0) == (0.0, "queue")


def test_as_many_are_free_as_the_limits_and_the_lane_allow() -> None:
    assert Known().free(Limits(concurrency=3), 9) == 3
    assert Known.read(REPLY).free(Limits(), 9) == 0
    idle = Known(epoch="e", concurrency=8, in_flight=3, requests_left=2.0)
    assert (idle.free(Limits(), 9), idle.free(Limits(), 1)) == (2, 1)
