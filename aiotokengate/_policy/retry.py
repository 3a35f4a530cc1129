"""When a failed attempt is made again, and after how long.

One place decides, and only while nothing was handed out.  The wait is a random part of a growing
bound (full jitter), so that clients that failed together do not come back together; a wait that
the gateway names is kept, and only ever made longer.  All waits of a call come out of one sum.

Who asks is :mod:`aiotokengate._calls.retries`, which also knows what must not be sent twice; a
kept connection that died is no failed attempt, see :mod:`aiotokengate._policy.reconnect`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from attrs.validators import ge, instance_of

from aiotokengate._base.sealing import sealed_class
from aiotokengate._base.settings import FROM_ZERO, WHOLE, expected
from aiotokengate.errors import StatusError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiotokengate.errors import TokenGateError

__all__ = ["Retry", "RetryBudget", "named_hold", "next_wait"]

FIRST_BOUND = 0.5
LAST_BOUND = 8.0
HINT_JITTER = 0.25


@sealed_class
@attrs.frozen(kw_only=True)
class Retry:
    """How often to try, and how long all waits together may be.

    Attributes:
        attempts: how often a call is sent at most, the first time included, whether it was
            refused or failed; 1 never retries.
        max_wait: seconds; the sum of the waits between the attempts of a call, whether it chose
            them or the gateway named them.  A gateway that asks for more than is left of it is
            not tried again.  Queueing behind other calls is not in it; ``deadline`` bounds that.
        empty: whether a reply without answer, call, refusal or medium is tried again, too, and
            one that the vendor calls malformed.
    """

    attempts: int = attrs.field(
        default=3,
        validator=expected("Retry({name}=...) of 1 or more, got {got}", WHOLE, ge(1)),
    )
    max_wait: float = attrs.field(
        default=60.0,
        validator=expected("Retry({name}=...) in seconds from 0 up, got {got}", FROM_ZERO),
    )
    empty: bool = attrs.field(
        default=False,
        validator=expected("Retry({name}=...) as True or False, got {got}", instance_of(bool)),
    )


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
        """Count a success."""
        if self._left < self.FULL:
            self._left += self.SUCCESS


def next_wait(
    policy: Retry,
    error: TokenGateError,
    attempt: int,
    chance: Callable[[], float],
    waited: float = 0.0,
) -> float | None:
    """Decide on another attempt.

    Args:
        policy: the limits.
        error: what ended the attempt, before any delta was handed out.
        attempt: how many attempts the call has had, this one included.
        chance: gives a random number from 0 up to 1.
        waited: seconds that the call has waited between its attempts so far.

    Returns:
        Seconds to wait first, or None to give up.
    """
    again = error.retryable or (policy.empty and error.useless_answer)
    if attempt >= policy.attempts or not again:
        return None
    left = max(0.0, policy.max_wait - waited)
    hint = _hint(error)
    if hint is not None:
        return min(_jittered(hint, chance), left) if hint <= left else None
    if not left and policy.max_wait:
        return None  # to send at once what waits did not help would only hammer
    bound = min(LAST_BOUND, FIRST_BOUND * 2.0 ** min(attempt - 1, 16))
    return min(left, bound * chance())


def named_hold(policy: Retry, error: TokenGateError, chance: Callable[[], float]) -> float | None:
    """Return for how long others should hold still that share the limit of a refused call.

    That is what the gateway named, also where the refused call itself gives up; None where it
    named nothing, or more than a call waits at all.
    """
    hint = _hint(error)
    return None if hint is None or hint > policy.max_wait else _jittered(hint, chance)


def _hint(error: TokenGateError) -> float | None:
    return error.retry_after if isinstance(error, StatusError) else None


def _jittered(hint: float, chance: Callable[[], float]) -> float:
    return hint * (1 + HINT_JITTER * chance())
