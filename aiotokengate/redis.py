"""Lanes that several processes and machines share through Redis or Valkey (extra ``[redis]``).

::

    from aiotokengate import Limits, Pool, TokenGate
    from aiotokengate.redis import RedisBackend

    pool = Pool(Limits(requests_per_minute=300), backend=RedisBackend("redis://10.0.0.5/0"))
    gate = TokenGate(pool=pool)
"""

try:
    import redis.asyncio  # noqa: F401 - so that its absence is told in one sentence
except ImportError as _error:
    _MESSAGE = (
        "aiotokengate.redis needs the package redis: pip install 'aiotokengate[redis]'"
        " · 缺少 redis 依赖，请执行: pip install 'aiotokengate[redis]'"
    )
    raise ImportError(_MESSAGE, name="redis") from _error

from aiotokengate._redis.backend import RedisBackend, statistics

__all__ = ["RedisBackend", "statistics"]
