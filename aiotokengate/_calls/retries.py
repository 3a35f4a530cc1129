"""Between two attempts of a call: whether there is another one, and after how long.

The retry rule itself is :func:`aiotokengate._policy.retry.next_wait`.  Here is what stands around
it: a refusal for a limit makes the whole lane wait, and the call with it; after any other failure
the call waits alone, or goes to another key at once.  What costs is not sent again where it may
have been begun (:func:`aiotokengate._policy.begun.may_have_begun`).

Imported with the first failure.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeAlias

from aiotokengate._policy.begun import may_have_begun
from aiotokengate._policy.retry import named_hold, next_wait
from aiotokengate.errors import RateLimited, StatusError

if TYPE_CHECKING:
    from aiotokengate._calls.admission import Turn
    from aiotokengate._calls.request import Request
    from aiotokengate._policy.retry import RetryBudget
    from aiotokengate.errors import TokenGateError

__all__ = ["Retries"]

_Wait: TypeAlias = "tuple[float | None, float]"
"""Seconds until the next attempt, None without one; those of them that count for ``max_wait``."""


class Retries:
    """Decides on the further attempts of one call."""

    __slots__ = ("_budget", "_request", "_turn", "_waited")

    def __init__(self, request: Request, turn: Turn, budget: RetryBudget) -> None:
        self._request = request
        self._turn = turn
        self._budget = budget
        self._waited = 0.0

    def after(self, error: TokenGateError, attempt: int) -> _Wait:
        """Release the place in the pool, and decide on another attempt.

        Args:
            error: what ended the attempt.
            attempt: how many the call has had, this one included.
        """
        decide = self._after_refusal if isinstance(error, RateLimited) else self._after_failure
        return decide(error, attempt)

    def waits(self, seconds: float) -> None:
        """Count seconds against ``max_wait``."""
        self._waited += seconds

    def _after_refusal(self, error: TokenGateError, attempt: int) -> _Wait:
        """Hold the lane; it is there that the call waits on, behind others perhaps."""
        retry = self._request.policy.retry
        wait = self._next_wait(error, attempt)
        hold = named_hold(retry, error, random.random) if wait is None else wait
        hinted = isinstance(error, StatusError) and error.retry_after is not None
        held = self._turn.refused(error, hold or 0.0, hinted=hinted and hold is not None)
        if wait is None or self._stays(error):
            return None, 0.0
        # Where nobody named a time, the hold is this call's own back-off.
        counted = wait if hinted else held
        return (held, counted) if counted <= retry.max_wait - self._waited else (None, 0.0)

    def _after_failure(self, error: TokenGateError, attempt: int) -> _Wait:
        elsewhere = self._turn.failed(error)
        if self._stays(error):
            return None, 0.0
        if elsewhere:
            last = attempt >= self._request.policy.retry.attempts
            return (None if last else 0.0), 0.0
        wait = self._next_wait(error, attempt)
        if wait is not None and not self._budget.take():
            error.add_note("not tried again: too many calls of this session are failing")
            wait = None
        return wait, wait or 0.0

    def _next_wait(self, error: TokenGateError, attempt: int) -> float | None:
        retry = self._request.policy.retry
        return next_wait(retry, error, attempt, random.random, self._waited)

    def _stays(self, error: TokenGateError) -> bool:
        """Say whether this must not be sent again, whatever the policy says."""
        form = self._request.http.form
        if form is not None and form.spent:
            error.add_note("not tried again: the stream that was uploaded can be read once")
            return True
        doubtful = self._request.policy.costly and may_have_begun(error)
        if doubtful and error.retryable:
            error.add_note("not tried again: what was asked for may have been begun")
        return doubtful
