"""What can go wrong with a Redis, and how callers are told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from aiotokengate.errors import CallerError, ConnectFailed, TokenGateError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FAILURES", "error_text", "is_refusal", "start_error"]

FAILURES: Final = (RedisError, OSError, asyncio.TimeoutError)
"""Whatever can go wrong with a Redis: a lane then goes on with its share."""

REFUSALS: Final = (AuthenticationError, AuthorizationError, ResponseError)
"""What a Redis answers that does not do what is asked, and will not by itself."""

PASSING_REFUSALS: Final = (TryAgainError, ClusterDownError, MasterDownError, BusyLoadingError)
"""Answers that mean that it will, soon."""

_SHARE: Final = (
    "or let each process go on without it by RedisBackend(share=0.5), a part of the limits\n"
)
_AWAY: Final = (
    f"hint: start Redis, or mend its address; {_SHARE}"
    "提示：请启动 Redis 或修正其地址；"
    "也可用 RedisBackend(share=0.5) 让各进程按限额的一部分继续运行"
)
_REFUSED: Final = (
    "hint: see to the password, the rights of the user (EVALSHA, PUBLISH and SUBSCRIBE, keys and "
    f"channels under the prefix) and the memory of that Redis; {_SHARE}"
    "提示：请检查该 Redis 的密码、用户权限（EVALSHA、PUBLISH、SUBSCRIBE，以及该前缀的键和频道）"
    "和内存；也可用 RedisBackend(share=0.5) 让各进程按限额的一部分继续运行"
)


def is_refusal(error: BaseException | None) -> bool:
    """Return whether a Redis is there, does not do what is asked, and will not by itself."""
    return isinstance(error, REFUSALS) and not isinstance(error, PASSING_REFUSALS)


def error_text(error: BaseException, secrets: Sequence[str]) -> str:
    """Return what went wrong, in one line, without the passwords."""
    words = " ".join(str(error).split())
    for secret in sorted(secrets, key=len, reverse=True):
        words = words.replace(secret, "[…]")
    return f"{type(error).__name__}: {words[:200]}"


def start_error(error: BaseException, at: str, secrets: Sequence[str]) -> TokenGateError:
    """Return the error of a call that a Redis which was never reached keeps from going."""
    if isinstance(error, CallerError):
        return CallerError(error.message)
    words = error_text(error, secrets)
    if is_refusal(error):
        return CallerError(f"Redis at {at} refuses what the pool asks: {words}", hint=_REFUSED)
    return ConnectFailed(f"Redis at {at} can't be reached: {words}", hint=_AWAY)
