"""The backend: what it is given, where it connects, and what its lanes are doing."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from redis.asyncio import Redis

from aiotokengate._policy.limits import Limits
from aiotokengate.errors import CallerError
from aiotokengate.redis import RedisBackend
from tests.support.common import without_slow_steps
from tests.support.redis_pools import (
    Open,
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
