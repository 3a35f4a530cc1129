"""The reconnect rule: when a kept connection that died is replaced by a fresh one.

A server may close a connection that it keeps at any time, also while the next request is on its
way (RFC 9112, 9.3.1).  Such a request was not answered because of when it came, and not of what it
asked.  So it is sent once more, on a connection of its own, inside the same attempt: no retry is
counted, nobody waits, and ``Attempt.reconnected`` tells of it.

What is known before anything is sent is known elsewhere: a kept connection is looked at where it
is handed out (:mod:`aiotokengate._http.connections`).  Whether a request died on a kept one before
any byte of an answer is said by :mod:`aiotokengate._http.failures`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiotokengate.errors import Unanswered

if TYPE_CHECKING:
    from aiotokengate.errors import TokenGateError

__all__ = ["is_replaced", "wants_fresh"]


def is_replaced(error: TokenGateError, *, again: bool, costly: bool, spent: bool) -> bool:
    """Say whether the connection that a request died on is replaced by a fresh one.

    Args:
        error: what ended the request.
        again: whether one was replaced for this call before; a second is for the retry rule.
        costly: whether it must not be done twice: it goes on a fresh connection from the first.
        spent: whether what was uploaded can't be read a second time.
    """
    died = isinstance(error, Unanswered) and error.reconnectable
    return died and not (again or costly or spent)


def wants_fresh(error: TokenGateError) -> bool:
    """Say whether the next attempt of a call goes on no kept connection, after a broken one."""
    return isinstance(error, ConnectionError)
