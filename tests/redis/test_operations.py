"""What a lane's script is told: operations, and the batches in which they go."""

from typing import cast

from aiotokengate._policy.lanes import Ticket
from aiotokengate._redis.connection import Connection
from aiotokengate._redis.operations import (
    Call,
    Outbox,
    Since,
    adoption,
    ending,
    entry,
    flag,
    number,
)


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


def test_a_call_asks_to_be_admitted() -> None:
    """With what it takes, and for whom; one that was refused, with the place that it had."""
    plain = Call("1f", Ticket(tokens=12, arrived=3.0))
    assert entry(plain, again=False) == (
        *("enter", "1f", "12.0", "0", "0", "", "1.0", Since(3.0), ""),
    )
    ticket = Ticket(
        tokens=0.5, late=True, bulk=True, fair_key="王 🎹", weight=3, arrived=4.0, start=2.5
    )
    assert entry(Call("2", ticket), again=True) == (
        *("enter", "2", "0.5", "1", "1", "8e5c397c4f476884f8daced4", "3.0", Since(4.0), "2.5"),
    )


def test_a_call_that_goes_on_is_made_known_again() -> None:
    """How far it is, since when, and who let it in."""
    call = Call("a", Ticket(tokens=7, late=True, stage="answered", admitted=5.0), local=True)
    assert adoption(call, 9.0) == ("adopt", "a", "2", "7.0", "1", Since(5.0), "local")
    call = Call("b", Ticket(tokens=7, stage="admitted", admitted=6.0))
    assert adoption(call, 9.0) == ("adopt", "b", "1", "7.0", "0", Since(6.0), "again")
    call = Call("c", Ticket(stage="waiting", admitted=6.0))
    assert adoption(call, 9.0) == ("adopt", "c", "1", "0.0", "0", Since(9.0), "again")
    assert (call.waits, call.asked, call.timer) == (True, False, None)
