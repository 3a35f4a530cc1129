"""What a process holds of a Redis, and what is told of one that is away or refuses."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster

from aiotokengate._policy.limits import Limits
from aiotokengate._pool.pool import Pool
from aiotokengate.errors import CallerError, ConnectFailed
from aiotokengate.redis import RedisBackend, statistics
from tests.support.redis_pools import (
    MODEL,
    SHORT,
    Held,
    Open,
    hold,
    one_call,
    until,
    until_lane,
)
from tests.support.redis_server import RedisServer


async def test_messages_that_were_lost_are_made_up_for(
    open_pool: Open, shared: RedisServer, prefix: str
) -> None:
    limits = Limits(concurrency=1)
    one, other = open_pool(limits), open_pool(limits, lease=SHORT)
    first = await hold(one)
    second = Held(other.slot(MODEL))
    await until_lane(shared.url, prefix, waiting=1)
    async with Redis.from_url(shared.url, protocol=2) as client:
        await client.client_kill_filter(_type="pubsub")
        await first.end()
        await until_lane(shared.url, prefix, in_flight=1, waiting=0)
    await second.going.wait()
    await second.end()


async def test_a_forgotten_script_is_loaded_again(open_pool: Open, shared: RedisServer) -> None:
    pool = open_pool(Limits(concurrency=1))
    async with Redis.from_url(shared.url, protocol=2) as client:
        first = await hold(pool)
        await client.script_flush()
        second = Held(pool.slot(MODEL))
        await first.end()
        await second.going.wait()
        await client.script_flush()
        await second.end()
        await one_call(pool)


async def test_a_cluster(prefix: str) -> None:
    with RedisServer(cluster=True) as server:
        client = RedisCluster(host="127.0.0.1", port=server.port)
        backends = [RedisBackend(client, prefix=prefix) for _ in range(2)]
        limits = Limits(concurrency=1, requests_per_minute=600)
        one, other = (Pool({"qwen*": limits}, backend=backend) for backend in backends)
        first = await hold(one)
        second = Held(other.slot(MODEL))
        await until(lambda: other.lane(MODEL).statistics().waiting == 1)
        await first.end()
        await second.going.wait()
        (lane,) = await statistics(client, prefix=prefix)
        assert (lane.pattern, lane.in_flight, lane.waiting) == ("qwen*", 1, 0)
        await second.end()
        for backend in backends:
            await backend.aclose()
        await client.aclose()


async def test_no_redis_at_the_start_is_a_share_and_a_warning(
    prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer()
    url = f"redis://user:secret@127.0.0.1:{server.port}/0"
    backend = RedisBackend(url, prefix=prefix, share=0.5, lease=SHORT)
    pool = Pool(Limits(concurrency=4), backend=backend)
    held = [await hold(pool), await hold(pool)]
    third = Held(pool.slot(MODEL))
    await until(lambda: pool.statistics().waiting == 1)
    assert not third.going.is_set()
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1
    assert f"127.0.0.1:{server.port}" in warnings[0]
    assert "secret" not in caplog.text + repr(backend)
    await held[0].end()
    await third.going.wait()
    await held[1].end()
    await third.end()
    await backend.aclose()
    server.__exit__()


def as_user(server: RedisServer, user: str, password: str = "") -> str:
    return server.url.replace("redis://", f"redis://{user}:{password}@")


async def set_up(server: RedisServer, *command: str) -> None:
    async with Redis.from_url(server.url, protocol=2) as client:
        await client.execute_command(*command)  # type: ignore[no-untyped-call]


ALL = ("on", ">right", "~*", "+@all")

REFUSALS = {
    "a wrong password": (ALL, "wr0ng-p4ss", "AuthenticationError"),
    "no right to run scripts": ((*ALL, "-eval", "-evalsha"), "right", "no permissions"),
    "no right to the keys": (("on", ">right", "~other:*", "&*", "+@all"), "right", "NOPERM|keys"),
    "no right to the channels": ((*ALL, "resetchannels"), "right", "channel"),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_a_redis_that_refuses_at_the_start(
    server: RedisServer,
    prefix: str,
    refusal: tuple[tuple[str, ...], str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each call says so, and none goes with the limits for itself; with a share they do."""
    rules, password, words = refusal
    await set_up(server, "ACL", "SETUSER", "bot", *rules)
    url = as_user(server, "bot", password)
    backend = RedisBackend(url, prefix=prefix)
    pool = Pool(Limits(concurrency=4), backend=backend)
    for _ in range(2):
        with pytest.raises(CallerError, match=words) as caught:
            await one_call(pool)
        said = str(caught.value)
        assert f"127.0.0.1:{server.port} refuses" in said
        assert "share=0.5" in said
        assert "提示" in said
    assert (pool.statistics().waiting, pool.statistics().in_flight) == (0, 0)
    shared = RedisBackend(url, prefix=prefix, share=0.25)
    held = await hold(other := Pool(Limits(concurrency=4), backend=shared))
    second = Held(other.slot(MODEL))
    await until(lambda: other.statistics().waiting == 1)
    await held.end()
    await second.going.wait()
    await second.end()
    if password != "right":
        with pytest.raises(CallerError, match="refuses to be asked at") as caught:
            await statistics(url, prefix=prefix)
        assert password not in said + str(caught.value) + caplog.text
    for each in (backend, shared):
        await each.aclose()


async def test_a_redis_that_is_full_at_the_start(server: RedisServer, prefix: str) -> None:
    await set_up(server, "CONFIG", "SET", "maxmemory", "1")
    backend = RedisBackend(server.url, prefix=prefix)
    pool = Pool(Limits(requests_per_minute=60), backend=backend)
    with pytest.raises(CallerError, match="OOM"):
        await one_call(pool)
    await set_up(server, "CONFIG", "SET", "maxmemory", "0")
    await one_call(pool)
    await backend.aclose()


async def test_a_redis_that_comes_late(server: RedisServer, prefix: str) -> None:
    """Calls fail until it is there, each by itself, and then they go."""
    server.kill()
    backend = RedisBackend(server.url, prefix=prefix)
    pool = Pool(Limits(concurrency=1), backend=backend)
    calls = [one_call(pool) for _ in range(3)]
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(error, ConnectFailed) for error in errors)
    assert len(set(map(id, errors))) == len(errors)
    assert f"Redis at 127.0.0.1:{server.port} can't be reached" in str(errors[0])
    assert "提示" in str(errors[0])
    for _ in range(40):
        with pytest.raises(ConnectFailed):
            await one_call(pool)
    server.start()
    await one_call(pool)
    await until_lane(server.url, prefix, admitted=1, in_flight=0)
    await backend.aclose()


async def test_a_hanging_redis_is_as_good_as_none(server: RedisServer, prefix: str) -> None:
    backend = RedisBackend(server.url, prefix=prefix, timeout=0.2, lease=SHORT)
    pool = Pool(Limits(concurrency=2), backend=backend)
    held = [await hold(pool), await hold(pool)]
    server.pause()
    waiting = Held(pool.slot(MODEL))
    await until(lambda: pool.lane(MODEL).statistics().waiting == 1)
    await held[0].end()
    await waiting.going.wait()
    async with asyncio.timeout(60):
        server.resume()
        await until_lane(server.url, prefix, in_flight=2)
    for each in (held[1], waiting):
        await each.end()
    await until_lane(server.url, prefix, in_flight=0)
    await backend.aclose()


async def test_a_pool_that_is_closed_gives_back_what_it_can(
    shared: RedisServer, prefix: str
) -> None:
    backend = RedisBackend(shared.url, prefix=prefix)
    pool = Pool(Limits(concurrency=1), backend=backend)
    held = await hold(pool)
    waiting = Held(pool.slot(MODEL))
    await until_lane(shared.url, prefix, in_flight=1, waiting=1)
    pool.close()
    await asyncio.wait([waiting.task])
    assert isinstance(waiting.task.exception(), CallerError)
    await until_lane(shared.url, prefix, in_flight=0, waiting=0)
    await held.end()
