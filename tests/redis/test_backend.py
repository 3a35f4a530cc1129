"""The backend: what it is given, where it connects, and what its lanes are doing."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster

from aiotokengate._policy.lanes import Ticket
from aiotokengate._policy.limits import Limits
from aiotokengate._pool.backend import LocalLane
from aiotokengate._redis.lane import RedisLane
from aiotokengate.errors import CallerError, ConnectFailed
from aiotokengate.redis import RedisBackend, statistics
from aiotokengate.testing import VirtualClock
from tests.support.common import without_slow_steps
from tests.support.redis_pools import (
    Open,
    hold,
    one_call,
    until_lane,
)
from tests.support.redis_server import RedisServer


async def test_learned_lanes_are_each_process_own(open_pool: Open) -> None:
    pool = open_pool(Limits())
    await one_call(pool)
    backend = pool._backend
    assert isinstance(backend, RedisBackend)
    assert backend.round_trips == 0
    assert pool.statistics().lanes[0].admitted == 1


async def test_a_client_of_ones_own(open_pool: Open, shared: RedisServer, prefix: str) -> None:
    async with Redis.from_url(shared.url, decode_responses=True) as client:
        pool = open_pool(Limits(concurrency=1), client)
        await one_call(pool)
    await until_lane(shared.url, prefix, admitted=1, in_flight=0)


def run_program(program: str, **values: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program)],
        env={**os.environ, **values},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_the_extra_the_error_says_what_to_install() -> None:
    ended = run_program("import sys; sys.modules['redis'] = None; import aiotokengate.redis")
    assert "ImportError" in ended.stderr
    assert "pip install 'aiotokengate[redis]'" in ended.stderr
    assert "请执行" in ended.stderr


def test_loops_and_forks_get_connections_of_their_own(shared: RedisServer, prefix: str) -> None:
    program = """
        import asyncio, gc, os
        from aiotokengate._policy.limits import Limits
        from aiotokengate._pool.pool import Pool
        from aiotokengate.redis import RedisBackend

        gc.freeze()  # a sweep of all modules after the fork is a slow callback, which is printed
        backend = RedisBackend(os.environ["URL"], prefix=os.environ["PREFIX"])
        pool = Pool(Limits(concurrency=2), backend=backend)

        async def call():
            async with pool.slot("qwen3.6-plus", tokens=1):
                pass

        asyncio.run(call())
        asyncio.run(call())

        child = os.fork()
        asyncio.run(call())
        if child:
            assert os.waitpid(child, 0)[1] == 0
            print("parent")
    """
    ended = run_program(program, URL=shared.url, PREFIX=prefix)
    assert (ended.stdout, without_slow_steps(ended.stderr)) == ("parent\n", "")
    assert ended.returncode == 0


@pytest.mark.parametrize(
    ("server", "settings", "message"),
    [
        ("http://127.0.0.1", {}, "got the scheme 'http'"),
        ("127.0.0.1:6379", {}, "expected an address"),
        (6379, {}, "got int"),
        ("redis://u:secret@h", {"lease": 0}, "lease"),
        ("redis://h", {"lease": float("inf")}, "lease"),
        ("redis://h", {"share": 1.5}, "share"),
        ("redis://h", {"share": 0}, "share"),
        ("redis://h", {"timeout": True}, "timeout"),
        ("redis://h", {"ahead": -1}, "ahead"),
        ("redis://h", {"prefix": "a{b}"}, "prefix"),
        ("redis://h", {"prefix": ""}, "prefix"),
    ],
)
def test_bad_settings_are_refused(server: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(CallerError, match=message) as caught:
        RedisBackend(server, **settings)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("query", ["/?0@x", "/0#a@b", "/p@ss"])
def test_a_password_that_is_not_escaped_is_shown_nowhere(query: str) -> None:
    with pytest.raises(CallerError, match="got one with a port") as caught:
        RedisBackend(f"redis://u:secret{query}@h:1")
    assert "secret" not in str(caught.value)
    assert "%40" in str(caught.value)


def test_a_port_that_is_none_is_refused() -> None:
    with pytest.raises(CallerError, match="got one with a port, a number or a name"):
        RedisBackend("redis://h:port/0")


SERVERS: dict[str, tuple[Callable[[], Any], str, set[str]]] = {
    "an address": (lambda: "redis://127.0.0.1:7/0", "127.0.0.1:7", set()),
    "a password": (lambda: "redis://u:p%40ss@h:7/0", "h:7", {"p%40ss", "p@ss"}),
    "one in the query": (lambda: "rediss://h:7?password=p%40s", "h:7", {"p@s"}),
    "a socket": (lambda: "unix:///tmp/s?db=1", "/tmp/s", set()),  # noqa: S108 - a name
    "a client": (lambda: Redis(host="h", port=7, password="pw"), "h:7", {"pw"}),
    "a client without": (Redis, "localhost:6379", set()),
    "a client on a socket": (lambda: Redis(unix_socket_path="/s"), "/s", set()),
}


@pytest.mark.parametrize(("make", "address", "secrets"), SERVERS.values(), ids=SERVERS)
def test_where_a_backend_is(make: Callable[[], Any], address: str, secrets: set[str]) -> None:
    """Shown without a password; what is never to be shown is known."""
    backend = RedisBackend(make(), prefix="p")
    assert (backend.address, set(backend.secrets)) == (address, secrets)
    assert repr(backend) == f"<RedisBackend {address}, prefix 'p'>"


async def test_a_cluster_has_a_password_too() -> None:
    for password in ("pw", None):
        cluster = RedisCluster(host="127.0.0.1", port=7, password=password)
        backend = RedisBackend(cluster)
        assert repr(backend) == "<RedisBackend a cluster, prefix 'aiotokengate'>"
        assert backend.secrets == ((password,) if password else ())


def test_what_a_backend_is_given() -> None:
    """Or has by itself."""
    plain = RedisBackend("redis://h")
    assert (plain.prefix, plain.lease, plain.share, plain.timeout, plain.ahead, plain.retry) == (
        *("aiotokengate", 30.0, None, 2.0, 0.5, 1.0),
    )
    assert (plain.round_trips, plain.renewals, plain.members, next(plain.serials)) == (0, 0, 0, 1)
    clock = VirtualClock()
    given = RedisBackend(
        *("redis://h",),
        prefix="p",
        lease=0.75,
        share=1,
        timeout=5,
        ahead=0,
        clock=clock,
        chance=lambda: 0.25,
    )
    assert (given.prefix, given.lease, given.share, given.timeout, given.ahead, given.retry) == (
        *("p", 0.75, 1.0, 5.0, 0.0, 0.25),
    )
    assert (given.clock, given.chance()) == (clock, 0.25)


def test_a_backend_is_not_copied() -> None:
    with pytest.raises(TypeError, match="a RedisBackend holds connections"):
        pickle.dumps(RedisBackend("redis://h"))


async def test_what_the_lanes_of_a_redis_are_doing(
    open_pool: Open, shared: RedisServer, prefix: str
) -> None:
    """In order, and those of one prefix only; nothing is changed by asking."""
    limits = {"qwen*": Limits(concurrency=2), "glm*": Limits(requests_per_minute=60)}
    pool = open_pool(limits)
    held = await hold(pool, key="sk-a-long-key-of-somebody")
    async with pool.slot("glm-5") as slot:
        slot.answered()
    await until_lane(shared.url, prefix, pattern="qwen*", in_flight=1)
    glm, qwen = await statistics(shared.url, prefix=prefix)
    assert (glm.pattern, glm.key, glm.admitted) == ("glm*", "", 1)
    assert (qwen.pattern, qwen.in_flight, qwen.concurrency) == ("qwen*", 1, 2)
    assert qwen.key.startswith("sk-…body#")
    assert await statistics(shared.url, prefix=f"{prefix}x") == ()
    assert len(pool.statistics().lanes) == 2
    await held.end()


async def test_what_can_not_be_asked(server: RedisServer, prefix: str) -> None:
    """Who refuses, who is of another layout, and who is away."""
    assert b"+OK" in server.say(b"ACL SETUSER bot on >right ~* -@all +ping")
    with pytest.raises(CallerError, match="Redis refuses to be asked at"):
        await statistics(server.url.replace("//", "//bot:right@"), prefix=prefix)
    assert b"+OK" in server.say(f"SET {prefix}:{{a|}}:state other".encode())
    with pytest.raises(CallerError, match="expected layout"):
        await statistics(server.url, prefix=prefix)
    server.kill()
    for where in (server.url, Redis.from_url(server.url)):
        with pytest.raises(ConnectFailed, match="Redis does not answer at"):
            await statistics(where, prefix=prefix)
    with pytest.raises(CallerError, match="prefix"):
        await statistics(server.url, prefix="*")


async def test_closed_with_the_lanes_of_this_process(shared: RedisServer, prefix: str) -> None:
    """At once, or when Redis was told; another loop's connections are its own."""
    for close in (True, False):
        clock = VirtualClock()
        backend = RedisBackend(shared.url, prefix=prefix, clock=clock)
        lane = backend.lane("*", "", Limits())
        assert isinstance(lane, LocalLane)
        while lane.enter(Ticket()):
            pass
        assert clock.pending == 1
        if close:
            backend.close()
        else:
            await backend.aclose()
        assert clock.pending == 0
    learnless = backend.lane("*", "", Limits(learn=False))
    assert isinstance(learnless, RedisLane)
