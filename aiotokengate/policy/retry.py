"""When a failed attempt is made again, and after how long.

One place decides, and only while nothing was handed out.  The wait is a random part of a growing
bound (full jitter), so that clients that failed together do not come back together; a wait that
the gateway names is kept, and only ever made longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from aiotokengate.errors import CallerError, RateLimited, StatusError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiotokengate.errors import TokenGateError

__all__ = ["Retry", "RetryBudget", "next_wait"]

FIRST_BOUND = 0.5
LAST_BOUND = 8.0
HINT_JITTER = 0.25

REFUSALS = 2
"""Times as many attempts for a call that was refused for a limit: it did nothing wrong."""


@attrs.frozen(kw_only=True)
class Retry:
    """How often to try, and how long a wait the gateway may ask for.

    Attributes:
        attempts: how often a call is sent at most, the first time included; 1 never retries.
            Twice as often if it was refused for a limit.
        max_wait: seconds; a gateway that asks for more is not tried again.
        empty: whether a reply without answer, call, refusal or medium is tried again, too, and
            one that the vendor calls malformed.
    """

    attempts: int = attrs.field(default=3)
    max_wait: float = attrs.field(default=120.0)
    empty: bool = attrs.field(default=False)

    @attempts.validator
    def _at_least_one(self, _: object, value: int) -> None:
        if not isinstance(value, int) or value < 1:
            message = f"expected Retry(attempts=...) of 1 or more, got {value!r}"
            raise CallerError(message)

    @max_wait.validator
    def _not_negative(self, _: object, value: float) -> None:
        if isinstance(value, str) or not value >= 0:
            message = f"expected Retry(max_wait=...) in seconds from 0 up, got {value!r}"
            raise CallerError(message)


class RetryBudget:
    """Keeps retries a small part of all calls, however much fails at once.

    A retry takes 5 of at most 100, a success gives 1 back: twenty retries may come together, and
    one in six calls may be a retry in the long run.  Waiting out a refusal is not counted; the
    pool sees to it that those don't storm.
    """

    FULL = 100
    RETRY = 5
    SUCCESS = 1

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = self.FULL

    def take(self) -> bool:
        """Take what a retry costs; say whether there was enough."""
        if self._left < self.RETRY:
            return False
        self._left -= self.RETRY
        return True

    def refund(self) -> None:
        """Give back for a success."""
        if self._left < self.FULL:
            self._left += self.SUCCESS


def next_wait(
    policy: Retry, error: TokenGateError, attempt: int, chance: Callable[[], float]
) -> float | None:
    """Decide on another attempt.

    Args:
        policy: the limits.
        error: what ended the attempt, before any delta was handed out.
        attempt: how many attempts ended that way, refused or failed.
        chance: gives a random number from 0 up to 1.

    Returns:
        Seconds to wait first, or None to give up.
    """
    most = policy.attempts
    if most > 1 and isinstance(error, RateLimited):
        most *= REFUSALS
    again = error.retryable or (policy.empty and error.useless_answer)
    if attempt >= most or not again:
        return None
    hint = error.retry_after if isinstance(error, StatusError) else None
    if hint is not None:
        return hint * (1 + HINT_JITTER * chance()) if hint <= policy.max_wait else None
    bound = min(LAST_BOUND, FIRST_BOUND * 2.0 ** min(attempt - 1, 16))
    return min(float(policy.max_wait), bound * chance())
