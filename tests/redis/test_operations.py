"""What a lane's script is told: operations, and the batches in which they go."""

from typing import cast

from aiotokengate._redis.connection import Connection
from aiotokengate._redis.operations import Outbox, Since, ending, flag, number


class Named:
    """A connection, as far as its name."""

    name = "c"


CONNECTION = cast("Connection", Named())


def test_a_batch_keeps_its_number_until_it_is_applied() -> None:
    outbox = Outbox("1", before=["old"])
    outbox.add("enter", "a")
    outbox.raised["a"] = 5
    outbox.pack()
    assert outbox.batch == [("bury", "old"), ("true_up", "a", "5.0"), ("enter", "a")]
    assert list(outbox.entered()) == ["a"]
    outbox.add("leave", "a")
    outbox.pack()  # the first may have been lost
    assert (outbox.sequence, outbox.operations) == (1, [("leave", "a")])
    outbox.batch = []
    outbox.pack()
    assert (outbox.sequence, outbox.batch) == (2, [("leave", "a")])


def test_a_time_is_sent_as_the_seconds_since() -> None:
    outbox = Outbox("1")
    outbox.add("settle", "a", Since(10.0), number(None))
    outbox.add("answered", "b", Since(99.0))
    outbox.pack()
    assert list(outbox.rendered(12.5)) == ["settle", "a", "2.5", "", "answered", "b", "0.0"]


def test_what_an_old_name_has_is_given_up() -> None:
    outbox = Outbox("1")
    outbox.add("enter", "a")
    outbox.pack()
    assert outbox.name(CONNECTION) == "c.1.0"
    outbox.abandon(CONNECTION)
    assert outbox.name(CONNECTION) == "c.1.1"
    assert (outbox.before, outbox.batch, outbox.sequence) == (["c.1.0"], [], 0)


def test_an_end_is_told_with_its_cost() -> None:
    assert ending("a", None, 5.0) == ("refund", "a")
    assert ending("a", 7, 5.0) == ("settle", "a", Since(5.0), "7.0")
    assert (flag(on=True), flag(on=False)) == ("1", "0")
