"""Gates and signals, waited for from event loops and threads."""

import asyncio
import gc
import threading

import pytest

from aiotokengate.testing import (
    Gate,
    ScriptedReply,
    Signal,
)
from tests.support.bare_client import (
    Client,
    joined,
)


async def test_a_gate_forgets_a_client_that_left(client: Client) -> None:
    gate = Gate()
    client.gateway.script(*[ScriptedReply(answer="好", gate=gate)] * 2)
    asking = asyncio.ensure_future(client.stream())
    await gate.reached()
    asking.cancel()
    await client.gateway.wait_disconnected()
    again = asyncio.ensure_future(client.frames())
    await gate.reached(2)
    gate.release()
    assert joined(await again, "content") == "好"


def test_a_thread_can_wait_without_a_loop() -> None:
    gate, happened = Gate(), Signal()
    assert not happened.wait_blocking(timeout=0)
    assert not gate.reached_blocking(timeout=0)
    arriving = threading.Thread(target=asyncio.run, args=(_pass(gate, happened),))
    arriving.start()
    assert gate.reached_blocking()
    assert "not set" in repr(happened)
    gate.open()
    assert happened.wait_blocking()
    assert gate.reached_blocking()
    arriving.join()


async def _pass(gate: Gate, happened: Signal) -> None:
    await gate.passed()
    happened.set()


async def test_a_waiter_that_gave_up_is_forgotten() -> None:
    happened = Signal()
    waiting = asyncio.ensure_future(happened.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    happened.set()
    assert happened


def test_a_loop_that_ended_while_waiting_is_left_in_peace() -> None:
    happened = Signal()
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(happened.wait())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    happened.set()
    assert not waiting.done()
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]
    del waiting
    gc.collect()
