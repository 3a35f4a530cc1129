"""What headers say is left, beside calls of ours that may be in it or not."""

from math import inf

import pytest

from aiotokengate._policy.bucket import Bucket, Window
from aiotokengate._policy.reported import NOTHING, OVERTAKE, Account

NOW = 1_000.0


def test_the_first_header_names_the_limit() -> None:
    """Of a bucket calls count when they are sent; of a window when their answer shows it."""
    account = Account()
    bucket = account.born("bucket", NOW, 60, 50, 0.0)
    assert isinstance(bucket, Bucket)
    assert (bucket.room(NOW), account.told, account.at_once) == (50, True, True)
    window = Account().born("window", NOW, 60, 50, 4.0)
    assert isinstance(window, Window)
    assert (window.room(NOW), window.reserved) == (50, 4)
    assert Account().born("window", NOW, 60, 1_000, 0.0).room(NOW) == 60


def test_a_successor_knows_the_limit_and_none_of_the_calls() -> None:
    """So it does not guess what was told."""
    before, after = Account(), Account()
    before.born("bucket", NOW, 60, 50, 0.0)
    before.sends(NOW, 1.0, 50, late=False)
    after.inherit(before)
    assert (after.told, after.at_once, after.sent) == (True, True, 0.0)


def test_what_counts_later_is_never_sure() -> None:
    """A call whose tokens are charged at its end is open until then, whenever it was sent."""
    account = Account()
    account.sends(NOW, 10.0, None, late=True)
    account.uses(5.0, late=True)
    later = account.sends(NOW + 60, 1.0, None, late=False)
    assert later == (NOW + 60, 16.0, 0.0, -inf)
    account.open = 0.0
    assert account.sends(NOW + 120, 1.0, 7.0, late=False) == (NOW + 120, 17.0, 16.0, 24.0)


def test_calls_that_were_just_sent_may_be_missing() -> None:
    """A header leaves room for what may have been overtaken, and for nothing else."""
    account = Account()
    account.born("bucket", NOW, 60, 60, 0.0)
    mark = account.sends(NOW, 1.0, 60, late=False)
    account.sends(NOW + OVERTAKE / 2, 1.0, 59, late=False)
    assert account.left(NOW + OVERTAKE / 2, mark, 59, 1.0, 0.0) == 58
    # Later all of them are in it, whenever it was written.
    assert account.left(NOW + 1, mark, 59, 1.0, 0.0) == 58
    fresh = account.sends(NOW + 9, 1.0, 58, late=False)
    assert account.left(NOW + 20, fresh, 57, 1.0, 0.0) == 57


def test_what_others_use_is_taken_off_once() -> None:
    """However many answers tell of it."""
    account, bucket = Account(), Bucket(600, NOW)
    marks = []
    for _ in range(3):
        bucket.add(NOW, 1)
        marks.append(account.sends(NOW, 1.0, bucket.room(NOW), late=False))
    for number, mark in enumerate(marks):
        account.hears(bucket, NOW, mark, 499 - number, 1.0)
        assert bucket.room(NOW) == pytest.approx(497, abs=2)
    assert account.moved == pytest.approx(100, abs=2)
    assert account.last == 497


def test_a_difference_in_counting_is_none() -> None:
    """Two in a hundred may be a matter of when, and not of who."""
    account, bucket = Account(), Bucket(600, NOW)
    mark = account.sends(NOW, 1.0, bucket.room(NOW), late=False)
    account.hears(bucket, NOW, mark, 600 - 12, 1.0)
    assert (bucket.room(NOW), account.moved) == (600, 0)


def test_what_is_left_is_given_back_where_the_limit_is_told() -> None:
    """And only there: a limit that was given is kept to."""
    told, given = Account(), Account()
    for account in (told, given):
        bucket = account.born("bucket", NOW, 600, 100, 0.0)
        account.told = account is told
        account.sends(NOW, 1.0, None, late=False)
        mark = account.sends(NOW + 10, 1.0, None, late=False)
        before = bucket.room(NOW + 20)
        account.hears(bucket, NOW + 20, mark, 500, 1.0)
        account.hears(bucket, NOW + 20, NOTHING, 600, 1.0)
        assert bucket.room(NOW + 20) == (500 if account is told else before)
    assert told.moved == -200
    assert given.moved == 0


def test_a_header_that_says_no_more_gives_nothing() -> None:
    """What is known already is not lifted."""
    account = Account()
    bucket = account.born("bucket", NOW, 600, 100, 0.0)
    mark = account.sends(NOW, 1.0, None, late=False)
    account.hears(bucket, NOW, mark, 90, 1.0)
    assert (bucket.room(NOW), account.moved) == (100, 0)


def test_how_much_is_spare_beside_a_call() -> None:
    """By our count and by theirs, whichever is less; without a limit that is told, anything."""
    account = Account()
    assert account.spare(None, NOW, 1.0) == inf
    assert account.spare(Bucket(60, NOW), NOW, 1.0) == inf
    bucket = account.born("bucket", NOW, 100, 50, 0.0)
    account.last = 80.0
    assert account.spare(bucket, NOW, 10.0) == pytest.approx(0.4)
    account.last = 20.0
    assert account.spare(bucket, NOW, 10.0) == pytest.approx(0.1)


def test_nothing_is_taken_off_where_there_is_no_meter() -> None:
    """A refusal may come before any limit is known."""
    account = Account()
    account.lower(None, NOW, account.sends(NOW, 1.0, 60, late=False), 0.0)
    assert account.moved == 0


def test_what_is_sure() -> None:
    """All that was sent a tenth of a second ago, as far as somebody looked then."""
    account = Account()
    found = [
        account.sends(NOW + seconds, 1.0, None, late=False).sure
        for seconds in (0, 0.15, 0.3, 0.6, 0.65, 0.75)
    ]
    assert found == [0, 0, 1, 3, 3, 3]


def test_a_little_more_is_given_back_too() -> None:
    account = Account()
    bucket = account.born("bucket", NOW, 600, 100, 0.0)
    account.sends(NOW, 1.0, None, late=False)
    mark = account.sends(NOW, 1.0, None, late=False)
    account.hears(bucket, NOW + 1, mark, 110.5, 1.0)
    assert (bucket.room(NOW + 1), account.moved) == (110.5, -0.5)


@pytest.mark.parametrize(
    ("limit", "less", "taken"), [(10, 1, 0), (10, 1.5, 1.5), (600, 12, 0), (600, 12.5, 12.5)]
)
def test_how_much_less_is_somebody_elses(limit: float, less: float, taken: float) -> None:
    """More than one, and more than two in a hundred."""
    account, bucket = Account(), Bucket(limit, NOW)
    bucket.add(NOW, 1)
    mark = account.sends(NOW, 1.0, bucket.room(NOW), late=False)
    account.lower(bucket, NOW, mark, limit - 1 - less)
    assert (bucket.room(NOW), account.moved) == (limit - 1 - taken, taken)


def test_what_a_call_has_seen() -> None:
    """What was left, with all that was sent and taken off until then."""
    account, bucket = Account(), Bucket(600, NOW)
    first = account.sends(NOW, 1.0, 599.0, late=False)
    account.lower(bucket, NOW, first, 499.0)
    assert (first.seen, account.moved, bucket.room(NOW)) == (600, 100, 500)
    assert account.sends(NOW, 2.0, 498.0, late=False) == (NOW, 3.0, 0.0, 498 + 3 + 100)
    assert tuple(NOTHING) == (inf, 0.0, -inf, -inf)
