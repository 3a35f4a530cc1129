"""The loop of the command line: uvloop's where it is installed, asyncio's own elsewhere."""

import asyncio
import sys

import pytest
import uvloop

from aiotokengate._cli.loop import new_runner, run_async


async def kind_of_loop() -> type[asyncio.AbstractEventLoop]:
    return type(asyncio.get_running_loop())


def test_uvloop_where_it_is_installed() -> None:
    assert run_async(kind_of_loop()) is uvloop.Loop


def test_the_loop_of_asyncio_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run_async(kind_of_loop()) is not uvloop.Loop


def test_one_loop_for_one_after_the_other() -> None:
    with new_runner() as runner:
        assert runner.run(_loop()) is runner.run(_loop())


async def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()
