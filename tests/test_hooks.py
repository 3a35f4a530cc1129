"""Hooks: all are told, in order, whatever one of them does."""

import logging

import pytest

from aiotokengate.hooks import FirstDelta, HookEvent, RequestFinished, emit
from aiotokengate.types import Timeline

EVENT = FirstDelta(1, "qwen3.6-plus", 0.5)


def test_every_hook_is_told_in_order() -> None:
    """Two observers of one session do not know of each other."""
    told: list[tuple[str, HookEvent]] = []
    emit([lambda event: told.append(("a", event)), lambda event: told.append(("b", event))], EVENT)
    assert told == [("a", EVENT), ("b", EVENT)]


def test_a_hook_that_raises_is_logged_and_the_next_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bug of an observer is no failure of the call that it observes."""
    told: list[HookEvent] = []

    def broken(_event: HookEvent) -> None:
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR, "aiotokengate"):
        emit([broken, told.append], EVENT)
    assert told == [EVENT]
    assert [record.message for record in caplog.records] == ["a hook failed on FirstDelta"]


def test_what_cancels_is_not_swallowed() -> None:
    """Only errors of a hook are its own business; an interrupt ends the program."""

    def interrupted(_event: HookEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        emit([interrupted], EVENT)


def test_a_call_that_reported_no_usage_has_an_estimate() -> None:
    """Whoever adds up tokens sees which of them were counted by the gateway."""
    finished = RequestFinished(1, "m", None, Timeline())
    assert finished.usage.estimated
    assert finished.error is None
