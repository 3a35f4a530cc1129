"""A lane that tests let calls into, by hand."""

from __future__ import annotations

from typing import Any

from aiotokengate._policy.lanes import Lane, Ticket
from aiotokengate._policy.limits import Limits
from aiotokengate._wire.headers import Remaining

__all__ = ["NOW", "admitted", "enter", "enter_many", "lane_of", "told"]

NOW = 1000.0


def lane_of(**given: Any) -> Lane:
    """Return a lane with these limits, without chance."""
    return Lane(Limits(**given), NOW, lambda: 0.0)


def enter(lane: Lane, now: float, tokens: float = 0.0) -> Ticket:
    """Let a call come, and return its ticket."""
    ticket = Ticket(tokens=tokens)
    lane.enter(ticket, now)
    return ticket


def enter_many(lane: Lane, now: float, count: int) -> list[Ticket]:
    """Let several come at once."""
    return [enter(lane, now) for _ in range(count)]


def admitted(tickets: list[Ticket]) -> list[Ticket]:
    """Return those that were let in."""
    return [ticket for ticket in tickets if ticket.stage == "admitted"]


def told(requests: float | None, tokens: float | None = None) -> Remaining:
    """Return what headers say is left of 600 requests and 60,000 tokens."""
    return Remaining(
        requests=requests,
        requests_limit=None if requests is None else 600,
        tokens=tokens,
        tokens_limit=None if tokens is None else 60_000,
    )
