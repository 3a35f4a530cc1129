"""When a failed attempt is made again, and after how long.

One place decides, and only while nothing was handed out.  The wait is a random part of a growing
bound (full jitter), so that clients that failed together do not come back together; a wait that
the gateway names is kept, and only ever made longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from aiotokengate.errors import CallerError, StatusError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiotokengate.errors import TokenGateError

__all__ = ["Retry", "next_wait"]

FIRST_BOUND = 0.5
LAST_BOUND = 8.0
HINT_JITTER = 0.25


@attrs.frozen(kw_only=True)
class Retry:
    """How often to try, and how long a wait the gateway may ask for.

    Attributes:
        attempts: how often a call is sent at most, the first time included; 1 never retries.
        max_wait: seconds; a gateway that asks for more is not tried again.
    """

    attempts: int = attrs.field(default=3)
    max_wait: float = attrs.field(default=120.0)

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


def next_wait(
    policy: Retry, error: TokenGateError, attempt: int, chance: Callable[[], float]
) -> float | None:
    """Decide on another attempt.

    Args:
        policy: the limits.
        error: what ended the attempt, before any delta was handed out.
        attempt: how many attempts were made.
        chance: gives a random number from 0 up to 1.

    Returns:
        Seconds to wait first, or None to give up.
    """
    if attempt >= policy.attempts or not error.retryable:
        return None
    hint = error.retry_after if isinstance(error, StatusError) else None
    if hint is not None:
        return hint * (1 + HINT_JITTER * chance()) if hint <= policy.max_wait else None
    bound = min(LAST_BOUND, FIRST_BOUND * 2.0 ** min(attempt - 1, 16))
    return min(float(policy.max_wait), bound * chance())
