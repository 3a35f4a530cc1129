"""What a process holds of a Redis, and what is told of one that is away or refuses."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster

from aiotokengate._policy.lanes import Ticket
from aiotokengate._policy.limits import Limits
from aiotokengate._pool.pool import Pool
from aiotokengate._redis.connection import connect, copied, isolated, listener, text
from aiotokengate._redis.lane import RedisLane
from aiotokengate.errors import CallerError, ConnectFailed
from aiotokengate.redis import RedisBackend, statistics
from aiotokengate.testing import VirtualClock
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


# --- one connection -----------------------------------------------------------------------------


def lane_in(backend: RedisBackend, **limits: Any) -> RedisLane:
    return RedisLane(backend, "*", "", Limits(**limits or {"concurrency": 1}))


async def admitted(lane: RedisLane) -> Ticket:
    """Return a call that was let in."""
    ticket = Ticket()
    ticket.wake = (woken := asyncio.Event()).set
    assert not lane.enter(ticket)
    await woken.wait()
    return ticket


async def test_leases_are_renewed_as_long_as_there_are_calls(
    shared: RedisServer, prefix: str
) -> None:
    """Every third of a lease."""
    clock = VirtualClock()
    backend = RedisBackend(shared.url, prefix=prefix, clock=clock, lease=30)
    lane = lane_in(backend)
    ticket = await admitted(lane)
    renewed = []
    for seconds in (9, 1, 9, 1):
        await clock.run_for(seconds)
        renewed.append(backend.renewals)
    assert renewed == [renewed[0], renewed[0] + 1, renewed[0] + 1, renewed[0] + 2]
    lane.settle(ticket)
    await clock.run_for(100)
    assert backend.renewals == renewed[-1]
    lane.settle(await admitted(lane))
    await backend.aclose()


async def test_a_message_for_a_lane_that_is_gone(shared: RedisServer, prefix: str) -> None:
    """Is for nobody, and those after it are heard."""
    backend, other = (RedisBackend(shared.url, prefix=prefix) for _ in range(2))
    first, lane = await admitted(lane_of_other := lane_in(other)), lane_in(backend)
    second = Ticket()
    assert not lane.enter(second)
    await until_lane(shared.url, prefix, waiting=1)
    async with Redis.from_url(shared.url, protocol=2) as client:
        channel = f"{prefix}:{backend.connection().name}"
        assert await client.publish(channel, "1\nnobody.77.0\n-1") == 1
    lane_of_other.settle(first)
    await until(lambda: second.stage == "admitted")
    for each in (backend, other):
        await each.aclose()


def test_a_loop_that_ends_gives_back_what_it_holds(shared: RedisServer, prefix: str) -> None:
    """Though nobody has closed anything; that is done afterwards, as often as one likes."""
    backend = RedisBackend(shared.url, prefix=prefix)
    lane = lane_in(backend)

    async def begin() -> None:
        await admitted(lane)
        await until_lane(shared.url, prefix, in_flight=1)

    asyncio.run(begin())
    (found,) = asyncio.run(statistics(shared.url, prefix=prefix))
    assert (found.in_flight, found.admitted) == (0, 1)
    for _ in range(2):
        backend.close()


def test_what_is_closed_after_its_loop_has_ended(shared: RedisServer, prefix: str) -> None:
    """A loop may stop in the middle of all."""
    loop = asyncio.new_event_loop()
    backend = RedisBackend(shared.url, prefix=prefix, lease=SHORT)
    loop.run_until_complete(admitted(lane_in(backend)))
    backend.close()
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(backend.aclose())
    loop.close()


async def test_it_is_closed_once(shared: RedisServer, prefix: str) -> None:
    backend = RedisBackend(shared.url, prefix=prefix)
    await admitted(lane_in(backend))
    backend.close()
    backend.close()
    await backend.aclose()
    await until_lane(shared.url, prefix, in_flight=0)
    await backend.aclose()


async def test_it_is_closed_without_any_call(shared: RedisServer, prefix: str) -> None:
    backend = RedisBackend(shared.url, prefix=prefix)
    connection = backend.connection()
    assert backend.connection() is connection
    assert connection.is_ours()
    await backend.aclose()


async def test_a_redis_that_is_gone_is_not_told_of_the_end(
    server: RedisServer, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "aiotokengate")
    backend = RedisBackend(server.url, prefix=prefix)
    await admitted(lane_in(backend))
    server.kill()
    await backend.aclose()
    assert f"Redis at 127.0.0.1:{server.port} was not told that we leave" in caplog.text


async def test_what_is_done_in_a_task_of_its_own() -> None:
    """Its result, its error; too late, or cancelled by itself, is a time-out."""

    async def cancelled() -> None:
        raise asyncio.CancelledError

    async def fails() -> None:
        raise ZeroDivisionError

    assert await isolated(asyncio.sleep(0, 7)) == 7
    with pytest.raises(ZeroDivisionError):
        await isolated(fails())
    with pytest.raises(TimeoutError):
        await isolated(asyncio.sleep(1000), 0.001)
    with pytest.raises(TimeoutError):
        await isolated(cancelled())
    assert [text(each) for each in (b"\xe4\xbd\xa0", "你", 7, b"\xff")] == [
        "你",
        "你",
        "7",
        "\ufffd",
    ]


async def test_clients_of_our_own() -> None:
    """With the settings of the one that was given, as far as they say where and as whom."""
    made = connect("rediss://bot:pw@127.0.0.1:1/3", 2.0)
    kept = made.connection_pool.connection_kwargs
    assert {name: kept[name] for name in ("host", "port", "db", "username", "password")} == {
        "host": "127.0.0.1",
        "port": 1,
        "db": 3,
        "username": "bot",
        "password": "pw",
    }
    limits = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0, "socket_keepalive": True}
    assert {name: kept[name] for name in limits} == limits
    theirs = Redis(
        host="127.0.0.1", port=1, ssl=True, ssl_ca_certs="ca.pem", decode_responses=True
    )
    ours = copied(theirs, 3.0)
    assert isinstance(ours, Redis)
    pool = ours.connection_pool
    assert pool is not theirs.connection_pool
    assert pool.connection_class is theirs.connection_pool.connection_class
    assert pool.connection_kwargs["ssl_ca_certs"] == "ca.pem"
    assert pool.connection_kwargs["socket_timeout"] == 3.0
    assert "decode_responses" not in pool.connection_kwargs
    silent = await listener(ours)
    assert silent.connection_pool.connection_kwargs["socket_timeout"] is None
    assert silent.connection_pool.connection_kwargs["socket_connect_timeout"] == 3.0
    secure = RedisCluster(host="127.0.0.1", port=1, ssl=True, password="pw")
    cluster = copied(secure, 3.0)
    assert isinstance(cluster, RedisCluster)
    assert cluster.connection_kwargs["password"] == "pw"
    assert cluster.connection_kwargs["socket_timeout"] == 3.0
    assert [node.port for node in cluster.nodes_manager.startup_nodes.values()] == [1]
