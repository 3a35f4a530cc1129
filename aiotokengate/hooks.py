"""What a session tells its observers: one callable, one frozen value for each event.

A hook is called synchronously, a handful of times per call and never per token; one that raises
is logged and does not disturb the call.  No event holds a key or a prompt.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol, TypeAlias

import attrs

from aiotokengate.types import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiotokengate.errors import TokenGateError
    from aiotokengate.types import Status, Timeline

__all__ = [
    "FirstDelta",
    "Hook",
    "HookEvent",
    "Queued",
    "RequestFinished",
    "RequestStarted",
    "RetryScheduled",
]

logger: logging.Logger = logging.getLogger("aiotokengate")


@attrs.frozen
class Queued:
    """A call waits in the pool: at which place, for about how many seconds, and for what.

    ``because`` is "concurrency", "requests", "tokens", "hold" (after a refusal), "learning" (the
    pace that is being found out) or "queue".
    """

    call: int
    model: str
    position: int
    eta: float
    because: str


@attrs.frozen
class RequestStarted:
    """An attempt is about to be sent; ``attempt`` counts from 1."""

    call: int
    model: str
    path: str
    attempt: int


@attrs.frozen
class FirstDelta:
    """The first delta of the reply is there; ``seconds`` since the call began."""

    call: int
    model: str
    seconds: float


@attrs.frozen
class RetryScheduled:
    """An attempt failed and will be made again after ``wait`` seconds."""

    call: int
    model: str
    attempt: int
    wait: float
    error: TokenGateError


@attrs.frozen
class RequestFinished:
    """The call is over, whichever way; sent exactly once for every call that was begun.

    ``status`` is None where no reply began; ``error`` is None for a complete or stopped one, and
    for a call that was cancelled or left.
    """

    call: int
    model: str
    status: Status | None
    timeline: Timeline
    usage: Usage = attrs.field(factory=lambda: Usage(estimated=True))
    error: TokenGateError | None = None


HookEvent: TypeAlias = Queued | RequestStarted | FirstDelta | RetryScheduled | RequestFinished


class Hook(Protocol):
    """An observer: any callable that takes one event."""

    def __call__(self, event: HookEvent, /) -> object:
        """Take note; return quickly."""


def emit(hooks: Iterable[Hook], event: HookEvent) -> None:
    """Tell every hook; one that raises is logged and the next is told."""
    for hook in hooks:
        try:
            hook(event)
        except Exception:
            logger.exception("a hook failed on %s", type(event).__name__)
