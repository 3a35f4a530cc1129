"""Worker processes that share a limit over Redis, and what may happen to them and to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from aiotokengate._policy.limits import Limits
from aiotokengate._pool.pool import Pool
from aiotokengate.redis import RedisBackend, statistics
from aiotokengate.testing import RateLimit
from tests.programs import redis_worker
from tests.support.redis_server import RedisServer
from tests.support.strict_gateway import StrictGateway

WORKER = Path(redis_worker.__file__)
LEASE = 0.8
TOKENS_PER_MINUTE = 60_000
PER_SECOND = TOKENS_PER_MINUTE / 60
CALL = 50


async def start(server: RedisServer, gateway: StrictGateway, name: str, **work: Any) -> Process:
    """Start a worker with calls of ``CALL`` tokens each, if nothing else is said."""
    calls = work.pop("calls")
    work = {
        "name": name,
        "url": server.url,
        "port": gateway.port,
        "tokens": [CALL] * calls,
        "lease": LEASE,
        "seconds": 0.02,
        **work,
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, str(WORKER), json.dumps(work)), stdin=PIPE, stdout=PIPE
    )


def begin(workers: Sequence[Process]) -> None:
    """Let workers begin that wait; all together, however long each took to come."""
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"\n")


async def ended(workers: Sequence[Process]) -> list[dict[str, Any]]:
    """Return what the workers report."""
    outputs = await asyncio.gather(*(worker.communicate() for worker in workers))
    return [json.loads(output) for output, _ in outputs]


async def use_it_up(server: RedisServer, gateway: StrictGateway) -> None:
    """Use a whole minute at once, so that what follows goes as fast as it is refilled."""
    backend = RedisBackend(server.url, lease=LEASE)
    pool = Pool(Limits(tokens_per_minute=TOKENS_PER_MINUTE, concurrency=20), backend=backend)
    async with pool.slot("qwen3.6-plus", tokens=TOKENS_PER_MINUTE) as slot:
        assert gateway.admit("first:0", TOKENS_PER_MINUTE)
        slot.answered()
    gateway.finish("first:0")
    await backend.aclose()


async def test_one_killed_redis_restarted_a_clock_wrong() -> None:
    limit = RateLimit(tokens_per_minute=TOKENS_PER_MINUTE, concurrency=20)
    given = {"tokens_per_minute": TOKENS_PER_MINUTE, "concurrency": 20}
    with RedisServer() as server:
        async with StrictGateway(limit) as gateway:
            # Enough for some seconds after the restart, also where a slow machine saves up.
            wanted = {"limits": given, "calls": 80, "waits": True}
            workers = [
                await start(server, gateway, str(number), **wanted, clock_is_off_by=seconds)
                for number, seconds in enumerate([0.0, 0.0, 60.0, -60.0])
            ]
            await gateway.until(lambda: gateway.connected == len(workers))
            await use_it_up(server, gateway)
            # Who comes first is first, with all its calls: so that it has some when it dies.
            begin(workers[1:2])
            await gateway.until(lambda: gateway.calls.get("1", 0) >= 5)
            begin([workers[0], *workers[2:]])
            await gateway.until(lambda: gateway.calls["1"] >= 25)
            workers[1].kill()
            await gateway.until(lambda: sum(gateway.calls.values()) >= 80)
            server.kill()
            server.start()
            back = time.monotonic() + 2 * LEASE
            reports = await ended([workers[0], *workers[2:]])
            await workers[1].communicate()
        assert gateway.enforcer.refused == 0
        assert [report["calls"] for report in reports] == [80, 80, 80]
        # What it had sent before it was killed may have been read later, but it never got on.
        assert gateway.calls["1"] < 80
        after = [at for at in gateway.times if at > back]
        assert len(after) * CALL >= 0.8 * (after[-1] - back) * PER_SECOND


async def test_the_slots_of_a_killed_process_come_back() -> None:
    limit = RateLimit(concurrency=4)
    with RedisServer() as server:
        async with StrictGateway(limit) as gateway:
            given = {"concurrency": 4}
            dead = await start(server, gateway, "0", limits=given, calls=8, seconds=1000)
            await gateway.until(lambda: gateway.calls.get("0", 0) == 4)
            alive = await start(server, gateway, "1", limits=given, calls=4)
            waiting = -1
            while waiting != 8:
                (lane,) = await statistics(server.url)
                waiting = lane.waiting
            dead.kill()
            killed_at = time.monotonic()
            reports = await ended([alive])
            await dead.communicate()
        assert reports[0]["calls"] == 4
        assert gateway.enforcer.refused == 0
        assert gateway.times[4] - killed_at <= 2 * LEASE


@pytest.mark.parametrize("kind", ["bucket", "window"])
async def test_four_processes_never_exceed_what_is_given(kind: str) -> None:
    allowed = 120
    limit = RateLimit(
        requests_per_minute=allowed, kind="bucket" if kind == "bucket" else "sliding"
    )
    given = {"requests_per_minute": allowed, "kind": kind}
    with RedisServer() as server:
        async with StrictGateway(limit) as gateway:
            workers = [
                await start(server, gateway, str(number), limits=given, calls=80)
                for number in range(4)
            ]
            await gateway.until(
                lambda: sum(gateway.calls.values()) >= allowed + (4 if kind == "bucket" else 0)
            )
            for worker in workers:
                # The one that was there first may have made all its calls.
                with contextlib.suppress(ProcessLookupError):
                    worker.kill()
            await asyncio.gather(*(worker.communicate() for worker in workers))
        assert gateway.enforcer.refused == 0
