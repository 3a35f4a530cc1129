"""What one process and one event loop hold of a Redis: connections, the script, a channel.

Strategy.  Everything here belongs to one loop and one process; after a fork, or in another loop,
the backend makes a new one, and never touches the connections of the old one.  Commands have a
time limit and are tried twice at most where the connection broke: a batch has a number, so the
script applies it once.  Grants that other processes' runs have made arrive on a channel; it may
lose messages, so whoever waits also asks with each renewal of the lease.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from weakref import WeakValueDictionary

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import (
    NoScriptError,
    RedisError,
)

from aiotokengate._redis.failures import FAILURES, error_text, is_refusal
from aiotokengate.hooks import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence

    from aiotokengate.clock import Clock, Timer

T = TypeVar("T")

__all__ = [
    "Backend",
    "Connection",
    "Member",
    "connect",
    "copied",
    "evaluate",
    "isolated",
    "text",
]

SCRIPT: Final = files("aiotokengate._redis").joinpath("lane.lua").read_text("utf-8")
DIGEST: Final = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

REFRESH: Final = 0.5
"""Seconds after which what is known of a lane is asked for anew, so that nobody is told of it
what is older than a second; :data:`aiotokengate._redis.lane.LATER` is in that second, too."""


LOOKS_AT_ONCE: Final = 16


class Backend(Protocol):
    """What connections and lanes ask of their backend."""

    clock: Clock
    chance: Callable[[], float]
    prefix: str
    address: str
    timeout: float
    lease: float
    retry: float
    ahead: float
    share: float | None
    serials: Iterator[int]
    round_trips: int
    renewals: int
    members: int
    secrets: tuple[str, ...]

    def connect(self) -> Redis | RedisCluster:
        """Make a client with connections of its own."""

    def connection(self) -> Connection:
        """Return the connection of this process and loop."""


class Member(Protocol):
    """A lane, as its connection knows it."""

    def heard(self, lines: Sequence[str]) -> None:
        """Take in a message of another process's run."""

    async def refresh(self, connection: Connection) -> None:
        """Ask what the lane is doing, where that was not heard lately."""

    def renew(self) -> bool:
        """Renew the lease, if there are calls; say whether there are."""

    async def come_back(self) -> bool:
        """Try Redis again; say whether it is back."""

    def stop(self) -> None:
        """Call timers off."""

    async def leave_redis(self) -> None:
        """Tell Redis what there is to tell, and give everything back."""


class Connection:
    """The connections of one process and loop.

    Attributes:
        name: of this process on this Redis; new in each process and loop.
        members: the lanes that somebody uses, by the name they have in Redis.
    """

    def __init__(self, backend: Backend) -> None:
        self.name: str = secrets.token_hex(6)
        self.pid: int = os.getpid()
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.members: WeakValueDictionary[str, Member] = WeakValueDictionary()
        self._backend = backend
        self._client = backend.connect()
        self._tasks: set[asyncio.Task[None]] = set()
        self._away: dict[Member, None] = {}
        self._prober: asyncio.Task[None] | None = None
        self._renewal: Timer | None = None
        self._closed = False
        self._subscribed: asyncio.Future[None] = self.loop.create_future()
        self._refused: RedisError | None = None
        self.spawn(self._listen())
        self.spawn(self._stay_fresh())

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something until it ends or the connection is closed."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def is_ours(self) -> bool:
        """Return whether it belongs to this process."""
        return self.pid == os.getpid()

    # --- commands -------------------------------------------------------------------------------

    async def run(self, keys: Sequence[str], arguments: Sequence[str]) -> list[str]:
        """Run the lane's script.

        Raises:
            RedisError, OSError, asyncio.TimeoutError: Redis is away, or refuses.
        """
        if not self._subscribed.done():
            await asyncio.wait({self._subscribed}, timeout=self._backend.timeout)
        if self._refused is not None:  # nobody would hear of a grant
            raise self._refused
        try:
            return await self._evaluate(keys, arguments)
        except RedisConnectionError:
            # A connection that was kept may be dead while the server is well.
            return await self._evaluate(keys, arguments)

    async def look(self, keys: Sequence[str], arguments: Sequence[str]) -> list[str]:
        """Run the lane's script once, to see what it is doing."""
        return await evaluate(self._client, keys, arguments, self._backend.timeout)

    async def _evaluate(self, keys: Sequence[str], arguments: Sequence[str]) -> list[str]:
        self._backend.round_trips += 1
        return await evaluate(self._client, keys, arguments, self._backend.timeout)

    # --- messages -------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Hear of grants, and subscribe again whenever the connection breaks."""
        try:
            while True:
                try:
                    await isolated(self._subscription())
                except FAILURES as error:
                    self._note_subscribed(error)
                    pause = self._backend.retry * (0.5 + 0.5 * self._backend.chance())
                    await self._backend.clock.sleep(pause)
        finally:
            # The loop ends, and nobody has closed us: this is the last moment to do it.
            if not self._closed:
                await self._farewell(self._stop())

    async def _subscription(self) -> None:
        client = await listener(self._client)
        channel = client.pubsub()
        try:
            await channel.subscribe(f"{self._backend.prefix}:{self.name}")
            async for message in channel.listen():
                if text(message["type"]) == "subscribe":
                    # What was told before that was not heard.
                    self._note_subscribed(None)
                    self._renew_all()
                else:
                    self._heard(text(message["data"]))
        finally:
            await channel.aclose()  # type: ignore[no-untyped-call]
            await client.aclose()

    def _note_subscribed(self, error: BaseException | None) -> None:
        """Note whether the channel may be heard, as far as that is known."""
        if error is None or is_refusal(error):
            self._refused = error  # type: ignore[assignment]
        if not self._subscribed.done():
            self._subscribed.set_result(None)

    def _heard(self, data: str) -> None:
        _, *lines = data.split("\n")
        member = self.members.get(lines[0].split(".")[1])
        if member is not None:
            member.heard(lines)

    async def _stay_fresh(self) -> None:
        """Ask what the lanes are doing, one after the other, as long as we know any."""
        while True:
            await self._backend.clock.sleep(REFRESH)
            # Who has something to tell finds out whether Redis is away.
            members = list(self.members.values())
            while members:
                some, members = members[:LOOKS_AT_ONCE], members[LOOKS_AT_ONCE:]
                looks = (member.refresh(self) for member in some)
                await asyncio.gather(*looks, return_exceptions=True)

    # --- leases ---------------------------------------------------------------------------------

    def keep_alive(self) -> None:
        """Renew the leases from now on, as long as there are calls."""
        if self._renewal is None and not self._closed:
            clock = self._backend.clock
            self._renewal = clock.call_later(self._backend.lease / 3, self._renew)

    def _renew(self) -> None:
        self._renewal = None
        if self._renew_all():
            self.keep_alive()

    def _renew_all(self) -> bool:
        busy = [member.renew() for member in list(self.members.values())]
        return any(busy)

    # --- without Redis --------------------------------------------------------------------------

    def lost(self, member: Member, error: BaseException) -> None:
        """Try from time to time whether Redis is back; one lane first, and never all at once."""
        if not self._away:
            logger.warning(
                "Redis at %s is away (%s): going on with a local share of the limits",
                self._backend.address,
                error_text(error, self._backend.secrets),
            )
        self._away[member] = None
        if self._prober is None:
            self._prober = self.spawn(self._probe())

    async def _probe(self) -> None:
        backend = self._backend
        while self._away:
            await backend.clock.sleep(backend.retry * (0.5 + 0.5 * backend.chance()))
            for member in list(self._away):
                if not await member.come_back():
                    break
                del self._away[member]
        self._prober = None
        logger.info("Redis at %s is back", backend.address)

    # --- the end --------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop; what is held is given back by a task of its own, if there is time for it."""
        if self._closed:
            return
        members = self._stop()
        if self.loop.is_running() and self.pid == os.getpid():
            self.spawn(self._farewell(members))

    async def aclose(self) -> None:
        """Stop, and give back what is held."""
        if not self._closed:
            await self._farewell(self._stop())
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._client.aclose()  # where it was closed while its loop stood still

    def _stop(self) -> list[Member]:
        self._closed = True
        if self._renewal is not None:
            self._renewal.cancel()
            self._renewal = None
        members = [member for member in self.members.values() if member not in self._away]
        for member in self.members.values():
            member.stop()
        for task in self._tasks - {asyncio.current_task(self.loop)}:
            task.cancel()
        return members

    async def _farewell(self, members: Sequence[Member]) -> None:
        try:
            for member in members:
                await member.leave_redis()
        except FAILURES:
            logger.debug("Redis at %s was not told that we leave", self._backend.address)
        finally:
            await self._client.aclose()


async def evaluate(
    client: Redis | RedisCluster, keys: Sequence[str], arguments: Sequence[str], seconds: float
) -> list[str]:
    """Run the lane's script; a connection, a command and a longer way each have their time."""
    return await isolated(_evaluate(client, keys, arguments), 3 * seconds)


async def isolated(work: Coroutine[Any, Any, T], seconds: float | None = None) -> T:
    """Wait for something in a task of its own.

    Where two time limits of a client end at the same instant, Python before 3.13 can leave a
    cancellation behind that nobody asked for; it must not end the task that goes on.

    Raises:
        TimeoutError: it was not done in time, or was cancelled by itself.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()
        # Whoever is cancelled here does not ask any more what became of it.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
    if not task.done() or task.cancelled():
        raise TimeoutError
    return task.result()


async def _evaluate(
    client: Redis | RedisCluster, keys: Sequence[str], arguments: Sequence[str]
) -> list[str]:
    try:
        reply = await client.evalsha(DIGEST, len(keys), *keys, *arguments)
    except NoScriptError:
        # EVAL also keeps the script for the next time.
        reply = await client.eval(SCRIPT, len(keys), *keys, *arguments)
    return [text(part) for part in reply]


def text(part: object) -> str:
    """Return a reply as text, whether the client decodes or not."""
    return part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part)


# --- clients ------------------------------------------------------------------------------------

_ADDRESS: Final = frozenset(
    (
        *("host", "port", "path", "db", "username", "password", "credential_provider"),
        *("protocol", "client_name"),
        *("socket_timeout", "socket_connect_timeout", "socket_keepalive"),
    )
)


def connect(url: str, timeout: float) -> Redis:
    """Make a client that never tries by itself: when to is decided here."""
    return Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


def copied(client: Redis | RedisCluster, timeout: float) -> Redis | RedisCluster:
    """Make a client with the same settings and connections of its own."""
    limits = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    if isinstance(client, RedisCluster):
        nodes = client.nodes_manager.startup_nodes.values()
        return RedisCluster(
            startup_nodes=[ClusterNode(node.host, node.port) for node in nodes],
            ssl="ssl" in client.connection_kwargs or "ssl_context" in client.connection_kwargs,
            **{**_kept(client.connection_kwargs), **limits},
        )
    return Redis.from_pool(_twin(client.connection_pool, **limits))


async def listener(client: Redis | RedisCluster) -> Redis:
    """Make a client for the channel, which is silent for long; in a cluster any node will do."""
    if not isinstance(client, RedisCluster):
        return Redis.from_pool(_twin(client.connection_pool, socket_timeout=None))
    await client.initialize()
    node = client.get_random_node()
    return Redis.from_pool(_twin(node, socket_timeout=None))


def _twin(source: ConnectionPool | ClusterNode, **changed: object) -> ConnectionPool:
    """Make a pool of the same kind of connections."""
    settings = {**_kept(source.connection_kwargs), **changed, "retry": Retry(NoBackoff(), 0)}
    return ConnectionPool(connection_class=source.connection_class, **settings)


def _kept(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what says where and as whom to connect; the rest belongs to the other client."""
    kept = {name: value for name, value in settings.items() if name in _ADDRESS}
    return kept | {name: value for name, value in settings.items() if name.startswith("ssl_")}
