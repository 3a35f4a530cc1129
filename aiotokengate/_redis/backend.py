"""The backend that a pool is given, and a look at the lanes of a Redis."""

from __future__ import annotations

import asyncio
import random
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.connection import parse_url

from aiotokengate._base.copying import Shared
from aiotokengate._base.sealing import sealed
from aiotokengate._pool.backend import LocalBackend
from aiotokengate._redis.connection import Connection, connect, copied, evaluate, text
from aiotokengate._redis.failures import FAILURES, error_text, is_refusal
from aiotokengate._redis.lane import RedisLane
from aiotokengate._redis.replies import LAYOUT, Known, lane_keys, names_of, other_layout
from aiotokengate.clock import Clock, RealClock
from aiotokengate.errors import CallerError, ConnectFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiotokengate._policy.limits import Limits
    from aiotokengate._policy.statistics import LaneStatistics
    from aiotokengate._pool.backend import BackendLane

__all__ = ["RedisBackend", "statistics"]

PREFIX: Final = "aiotokengate"
LEASE: Final = 30.0
TIMEOUT: Final = 2.0
LONGEST_RETRY: Final = 1.0
SCHEMES: Final = ("redis", "rediss", "unix")


class RedisBackend(Shared):
    """Keeps the lanes of a pool in Redis or Valkey, for all processes that use the same one.

    The processes of a lane give the same limits; where they differ, those of the latest call hold.
    A lane with no limit given at all is not shared: each process learns for itself.

    Where Redis can't be reached at the start, or refuses what is asked of it, calls fail and say
    so, unless ``share`` is given.  Where it is lost later, each process goes on with a share of
    the limits, beginning with nothing left.

    Args:
        server: an address, ``redis://``, ``rediss://`` or ``unix://``; or a client of redis-py,
            ``redis.asyncio.Redis`` or ``redis.asyncio.RedisCluster``, of which the settings are
            taken: connections are our own, and new ones in each process and event loop.
        prefix: begins the name of every key.
        lease: seconds after which the calls of a process that has died are given up.
        share: part of the limits for this process while Redis is away, from the start on; by
            default all of it, divided by the number of processes that used the lane in the last
            ten minutes, and nothing before Redis was reached for the first time.
        timeout: seconds for one command.
        ahead: seconds by which a call may be told early when it may start.
        clock: for tests.  Between processes only the server's clock counts.
        chance: gives a random number from 0 up to 1, for jitter.

    Attributes:
        round_trips: commands sent so far, renewals included, looks at lanes where nothing happens
            left out; renewals: how many were.
        members: the most processes that one lane was found to have, 0 before Redis was reached.
        secrets: passwords, to be blanked in what Redis says.

    Raises:
        CallerError: an argument is wrong.
    """

    _instead = (
        "a RedisBackend holds connections, and perhaps a password: make one in each process, "
        "for the same address and prefix"
    )

    @sealed  # an address may hold a password
    def __init__(
        self,
        server: str | Redis | RedisCluster,
        *,
        prefix: str = PREFIX,
        lease: float = LEASE,
        share: float | None = None,
        timeout: float = TIMEOUT,
        ahead: float = 0.5,
        clock: Clock | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Read the settings; nothing is connected yet."""
        self.address: str = _checked_server(server)
        self.prefix: str = _checked_prefix(prefix)
        self.lease: float = _checked("lease", lease, least=0.1)
        self.share: float | None = None if share is None else _checked("share", share, most=1.0)
        self.timeout: float = _checked("timeout", timeout)
        self.ahead: float = _checked("ahead", ahead, most=5.0, zero=True)
        self.retry: float = min(LONGEST_RETRY, self.lease / 3)
        self.clock: Clock = clock or RealClock()
        self.chance = chance
        self.serials: Iterator[int] = count(1)
        self.round_trips = self.renewals = self.members = 0
        self.secrets: tuple[str, ...] = _passwords(server)
        self._server = server
        self._local = LocalBackend(self.clock, chance)
        self._connections: list[Connection] = []

    def lane(self, pattern: str, key: str, limits: Limits) -> BackendLane:
        """Make the lane of a pattern of models and of a key (a masked name, never the key)."""
        given = (limits.concurrency, limits.requests_per_minute, limits.tokens_per_minute)
        if limits.learn and given == (None, None, None):
            return self._local.lane(pattern, key, limits)
        return RedisLane(self, pattern, key, limits)

    def connection(self) -> Connection:
        """Return the connection of this process and loop."""
        last = self._connections[-1] if self._connections else None
        if last is not None and last.loop is asyncio.get_running_loop() and last.is_ours():
            return last
        # The old ones stay where they are: their finalisers would touch what isn't ours.
        self._connections.append(Connection(self))
        return self._connections[-1]

    def connect(self) -> Redis | RedisCluster:
        """Make a client with connections of its own."""
        return _client(self._server, self.timeout)

    def close(self) -> None:
        """Let go of what is held; Redis is told if the event loop still has the time."""
        self._local.close()
        for connection in self._connections:
            connection.close()

    async def aclose(self) -> None:
        """Let go of what is held, and return when Redis has been told."""
        self._local.close()
        for connection in self._connections:
            if connection.is_ours() and connection.loop is asyncio.get_running_loop():
                await connection.aclose()

    def __repr__(self) -> str:
        """Show where it is, without a password."""
        return f"<RedisBackend {self.address}, prefix {self.prefix!r}>"


@sealed
async def statistics(
    server: str | Redis | RedisCluster, *, prefix: str = PREFIX
) -> tuple[LaneStatistics, ...]:
    """Return what the lanes of a Redis are doing; nothing is changed there.

    Args:
        server: as for :class:`RedisBackend`.
        prefix: begins the name of every key.

    Raises:
        CallerError: an argument is wrong, the lanes have another layout, or Redis refuses.
        ConnectFailed: Redis can't be asked.
    """
    address = _checked_server(server)
    start = _checked_prefix(prefix)
    client = _client(server, TIMEOUT)
    try:
        return await _lanes(client, start)
    except FAILURES as error:
        message = f"Redis does not answer at {address}: {error_text(error, _passwords(server))}"
        if is_refusal(error):
            message = message.replace("does not answer", "refuses to be asked")
            raise CallerError(message) from None
        raise ConnectFailed(message) from None
    finally:
        await client.aclose()


async def _lanes(client: Redis | RedisCluster, prefix: str) -> tuple[LaneStatistics, ...]:
    found: list[LaneStatistics] = []
    async for key in client.scan_iter(match=f"{prefix}:{{*}}:state", count=1000):
        name = text(key)[len(prefix) + 2 : -len("}:state")]
        # A name in place of a process is what asks for nothing: the script then only reads.
        reply = await evaluate(client, lane_keys(prefix, name), [LAYOUT, *[""] * 20], TIMEOUT)
        if reply[0] == "layout":
            raise CallerError(other_layout(prefix, reply[1]))
        if reply[0] == "ok":
            found.append(Known.read(reply).statistics(*names_of(name)))
    return tuple(sorted(found, key=lambda lane: (lane.pattern, lane.key)))


def _client(server: str | Redis | RedisCluster, timeout: float) -> Redis | RedisCluster:
    return connect(server, timeout) if isinstance(server, str) else copied(server, timeout)


def _checked_server(server: object) -> str:
    """Check an address or a client; return where it is, without a password."""
    expected = "an address such as 'redis://localhost:6379/0', or a client of redis.asyncio"
    if isinstance(server, RedisCluster):
        return "a cluster"
    if isinstance(server, Redis):
        settings = server.connection_pool.connection_kwargs
        return str(settings.get("path") or f"{settings.get('host')}:{settings.get('port', 6379)}")
    if not isinstance(server, str):
        message = f"expected {expected}; got {type(server).__name__}"
        raise CallerError(message)
    parts = _parted(server)
    if parts is None:
        message = f"expected {expected}; got one with a port, a number or a name that is none"
        raise CallerError(message, hint=_HINT)
    if parts.scheme not in SCHEMES:
        message = f"expected {expected}; got the scheme {parts.scheme!r}"
        raise CallerError(message)
    return parts.path if parts.scheme == "unix" else parts.netloc.rpartition("@")[2]


_HINT: Final = (
    "hint: in a user name and password : / ? # @ are written as %3A %2F %3F %23 %40\n"
    "提示：用户名和密码中的 : / ? # @ 须写作 %3A %2F %3F %23 %40"
)


def _parted(server: str) -> SplitResult | None:
    """Part an address; None if a client can't, or a part of its password stands elsewhere."""
    try:
        parts = urlsplit(server)
        if parts.scheme in SCHEMES:
            parse_url(server)
    except ValueError:
        return None
    rest = (parts.path, parts.fragment, "" if "=" in parts.query else parts.query)
    return None if any("@" in part for part in rest) else parts


def _passwords(server: str | Redis | RedisCluster) -> tuple[str, ...]:
    """Return what is never to be shown of an address or a client."""
    if isinstance(server, str):
        parts = urlsplit(server)
        found = [parts.password or "", *parse_qs(parts.query).get("password", [])]
        return tuple({word for each in found for word in (each, unquote(each)) if word})
    if isinstance(server, RedisCluster):
        given = server.connection_kwargs.get("password")
    else:
        given = server.connection_pool.connection_kwargs.get("password")
    return (str(given),) if given else ()


def _checked_prefix(prefix: object) -> str:
    if not isinstance(prefix, str) or not prefix or set(prefix) & set("{}*?[]\\\n"):
        message = f"expected prefix as a word without braces and wildcards, got {prefix!r}"
        raise CallerError(message)
    return prefix


def _checked(
    name: str, value: object, *, least: float = 0.0, most: float = inf, zero: bool = False
) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not least <= value <= most or value == inf or not (value or zero):  # type: ignore[operator]
        span = f"above {least:g}" if most == inf else f"above {least:g} and at most {most:g}"
        message = f"expected RedisBackend({name}=...) {span}, got {value!r}"
        raise CallerError(message)
    return float(value)  # type: ignore[arg-type]
