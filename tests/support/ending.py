"""Calls of a session that is closed meanwhile: how they begin, and what they come to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiotokengate import CallerError, Limits, TokenGate
from aiotokengate.testing import FakeGateway, Gate, ScriptedReply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["CLOSED", "ONE", "all_refused", "begun", "half", "opened", "outcomes", "turns", "until"]

ONE = Limits(concurrency=1, learn=False)
CLOSED = "this TokenGate is closed"


def opened(gateway: FakeGateway, **settings: Any) -> TokenGate:
    """Return a session with a gateway."""
    return TokenGate(api_key=gateway.api_key, base_url=gateway.base_url, **settings)


def half(turnstile: Gate) -> ScriptedReply:
    """Return a reply that waits in its middle."""
    return ScriptedReply(answer=["好", turnstile, "的"])


def begun(*calls: Awaitable[Any]) -> list[asyncio.Future[Any]]:
    """Return calls on their way."""
    return [asyncio.ensure_future(call) for call in calls]


async def until(is_so: Callable[[], object]) -> None:
    """Return once something is so; pytest's time limit ends what never is."""
    while True:
        if is_so():
            return
        await asyncio.sleep(0)


async def turns(number: int = 20) -> None:
    """Let the loop turn some times."""
    for _ in range(number):
        await asyncio.sleep(0)


async def outcomes(tasks: list[asyncio.Future[Any]]) -> list[Any]:
    """Return what they come to, errors, too."""
    return await asyncio.gather(*tasks, return_exceptions=True)


def all_refused(found: list[Any]) -> bool:
    """Say whether all have ended because the session was closed."""
    return all(isinstance(each, CallerError) and CLOSED in str(each) for each in found)
