"""Whether work may have begun when an attempt failed, so that sending again may be paid twice.

Strategy.  What costs is sent again only after a failure that shows that nothing was begun: the
request never left, or the gateway turned it away before any work.  Everything else is doubtful,
and so is whatever is not known here.  A status that a proxy writes when the work takes too long
beats every word beside it; a refusal for want of room counts where it says when to come back,
because balancers answer a bare 503 when a server dies at work.
"""

from __future__ import annotations

from typing import Final

from aiotokengate.errors import (
    CallerError,
    ConnectFailed,
    Overloaded,
    QueueFull,
    RateLimited,
    StatusError,
    TimedOut,
    TokenGateError,
)

__all__ = ["may_have_begun"]

_TOO_MANY: Final = 429
_SERVER_ERRORS: Final = range(500, 600)
_CLIENT_ERRORS: Final = range(400, 500)

_NO_ROOM: Final = frozenset((503, 529))
"""Refusals for want of room: RFC 9110, 15.6.4; Anthropic's overloaded_error.

All others from 500 up come from, or on behalf of, a server that was at work: 500, 502 and 504 by
RFC 9110, 15.6, and Cloudflare's 520 to 527, of which only some are sure not to have reached it.
"""

_WAITED_FOR: Final = frozenset((408, 409, 499))
"""Statuses below 500 that gateways give when the work took too long, or goes on: a time-out, a
conflict with the same request still running, nginx's note of a client that left."""


def may_have_begun(error: TokenGateError) -> bool:
    """Say whether what was asked for may have been begun, or done, before this failure."""
    if isinstance(error, StatusError):
        return _refusal_is_doubtful(error)
    if isinstance(error, TimedOut):
        return error.phase != "connect"
    return not isinstance(error, ConnectFailed | QueueFull | CallerError)


def _refusal_is_doubtful(error: StatusError) -> bool:
    """Judge an answer: by its status, and where that leaves it open by what it says."""
    status = error.status
    if status == _TOO_MANY:
        return False
    if status in _WAITED_FOR or (status in _SERVER_ERRORS and status not in _NO_ROOM):
        return True
    if isinstance(error, RateLimited) or status in _CLIENT_ERRORS:
        return False
    return not isinstance(error, Overloaded) or error.retry_after is None
