"""Whatever way a reader goes, the connection is closed at once and nothing is left behind."""

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator

import pytest

from aiotokengate import ChatStream, TokenGate
from aiotokengate.testing import FakeGateway, Gate, Raw, ScriptedReply
from tests.support.common import without_slow_steps

MODEL = "qwen3.6-max-preview"
Use = Callable[[TokenGate], Coroutine[object, object, object]]


def endless() -> ScriptedReply:
    """Return a reply that says one thing of each kind and then waits for ever."""
    return ScriptedReply(reasoning=["想"], answer=["一", Gate(), "二"])


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    """Only reference counts may do the cleaning up."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def iterate(gate: TokenGate) -> None:
    async for _ in gate.chat(MODEL, "慢慢说"):
        pass


async def iterate_a_kept_call(gate: TokenGate) -> None:
    call = gate.chat(MODEL, "慢慢说")
    async for _ in call:
        pass


async def await_it(gate: TokenGate) -> None:
    await gate.chat(MODEL, "慢慢说")


async def enter_and_iterate(gate: TokenGate) -> None:
    async with gate.chat(MODEL, "慢慢说") as stream:
        async for _ in stream:
            pass


async def enter_and_read_text(gate: TokenGate) -> None:
    async with gate.chat(MODEL, "慢慢说") as stream:
        await stream.answer.text()


async def enter_and_burst(gate: TokenGate) -> None:
    async with gate.chat(MODEL, "慢慢说") as stream:
        async for _ in stream.answer.bursts(0.001):
            pass


async def enter_and_read_phases(gate: TokenGate) -> None:
    async with gate.chat(MODEL, "慢慢说") as stream:
        async for phase in stream.phases():
            await phase.text()


async def enter_without_a_name(gate: TokenGate) -> None:
    async with gate.chat(MODEL, "慢慢说"):
        await asyncio.get_running_loop().create_future()


async def side_by_side(gate: TokenGate) -> None:
    async with gate.chat(MODEL, "慢慢说") as stream, asyncio.TaskGroup() as group:
        group.create_task(stream.reasoning.text())
        group.create_task(stream.answer.text())


USES = [
    iterate,
    iterate_a_kept_call,
    await_it,
    enter_and_iterate,
    enter_and_read_text,
    enter_and_burst,
    enter_and_read_phases,
    enter_without_a_name,
    side_by_side,
]


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
async def test_cancelled_task_held(gateway: FakeGateway, gate: TokenGate, use: Use) -> None:
    """Cancelling frees the connection, although the task and its traceback are kept."""
    reply = endless()
    gateway.script(reply)
    task = asyncio.create_task(use(gate))
    assert isinstance(reply.answer, list)
    await reply.answer[1].reached()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as held:
        await task
    await gateway.requests[0].disconnected.wait()
    await gateway.wait_connections(0)
    assert task.cancelled()
    assert held.value is not None


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
async def test_gathered_exceptions_held(gateway: FakeGateway, gate: TokenGate, use: Use) -> None:
    """The same where ``gather(return_exceptions=True)`` keeps the exceptions."""
    reply = endless()
    gateway.script(reply)
    task = asyncio.create_task(use(gate))
    gathered = asyncio.gather(task, return_exceptions=True)
    assert isinstance(reply.answer, list)
    await reply.answer[1].reached()
    task.cancel()
    results = await gathered
    await gateway.requests[0].disconnected.wait()
    await gateway.wait_connections(0)
    assert isinstance(results[0], asyncio.CancelledError)


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
async def test_cancelled_at_every_step(gateway: FakeGateway, gate: TokenGate, use: Use) -> None:
    """Cancelled after any number of steps of the loop, nothing stays open."""
    for steps in range(0, 60, 4):
        gateway.script(endless())
        task = asyncio.create_task(use(gate))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        gateway.unscript()
        await gateway.wait_connections(0)
    assert asyncio.all_tasks() == {asyncio.current_task()} | gateway_tasks()


def gateway_tasks() -> set[asyncio.Task[object]]:
    """Return the tasks of the gateway's own server, which shares the loop."""
    return {task for task in asyncio.all_tasks() if "aiohttp/web" in repr(task)}


async def test_dropping_the_last_reference(gateway: FakeGateway, gate: TokenGate) -> None:
    """An iterator, or a view of a stream, holds the stream; when it goes, the stream goes."""
    gateway.script(endless())
    deltas = aiter(gate.chat(MODEL, "慢慢说"))
    await anext(deltas)
    assert gateway.connections == 1
    del deltas
    await gateway.requests[0].disconnected.wait()
    await gateway.wait_connections(0)


async def test_dropping_while_opening(gateway: FakeGateway, gate: TokenGate) -> None:
    """An iterator dropped before its first delta takes the request back."""
    gateway.script(ScriptedReply(answer=[Gate(), "一"]))
    deltas = aiter(gate.chat(MODEL, "慢慢说"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(deltas), 0.01)
    request = await gateway.wait_requests(1)
    del deltas
    await request.disconnected.wait()
    await gateway.wait_connections(0)


async def test_a_stream_kept_by_an_exception_in_a_finished_block(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """An exception that keeps the frame of an ``async with`` does not keep the connection."""
    gateway.script(endless())
    with pytest.raises(ZeroDivisionError) as held:
        async with gate.chat(MODEL, "慢慢说") as stream:
            await anext(aiter(stream))
            raise ZeroDivisionError
    await gateway.wait_connections(0)
    assert held.value.__traceback__ is not None


async def test_dropped_in_another_thread(gateway: FakeGateway, gate: TokenGate) -> None:
    """The last reference may go in any thread; the closing happens in the stream's loop."""
    gateway.script(endless())
    deltas = [aiter(gate.chat(MODEL, "慢慢说"))]
    await anext(deltas[0])
    thread = threading.Thread(target=deltas.clear)
    thread.start()
    await asyncio.to_thread(thread.join)
    await gateway.requests[0].disconnected.wait()
    await gateway.wait_connections(0)


async def test_many_abandoned_streams(gateway: FakeGateway, gate: TokenGate) -> None:
    """Two hundred streams left by ``break`` leave no connection and no task."""
    for _ in range(200):
        gateway.script(endless())
        async for _delta in gate.chat(MODEL, "慢慢说"):
            break
    await gateway.wait_connections(0)
    assert asyncio.all_tasks() == {asyncio.current_task()} | gateway_tasks()


async def test_a_stream_held_past_its_session_warns(
    gateway: FakeGateway, recwarn: pytest.WarningsRecorder
) -> None:
    """Closing the session ends its streams, with a warning that names the fault."""
    gateway.script(endless())
    gate = TokenGate(api_key=gateway.api_key, base_url=gateway.base_url)
    deltas = aiter(gate.chat(MODEL, "慢慢说"))
    await anext(deltas)
    with pytest.warns(ResourceWarning, match="still open when its TokenGate was closed"):
        await gate.close()
    await gateway.wait_connections(0)
    assert not recwarn.list


async def test_in_debug_mode_the_warning_names_the_place(gateway: FakeGateway) -> None:
    """Under asyncio's debug mode the warning says where the stream was opened."""
    asyncio.get_running_loop().set_debug(True)
    gateway.script(endless())
    gate = TokenGate(api_key=gateway.api_key, base_url=gateway.base_url)
    async with gate.chat(MODEL, "慢慢说") as stream:
        assert isinstance(stream, ChatStream)
        with pytest.warns(ResourceWarning, match="test_cleanup.py"):
            await gate.close()


GLOBAL_SESSION = """
import asyncio, sys
from aiotokengate import TokenGate
gate = TokenGate()
async def main():
    # How long a step takes is the machine's business, and asyncio says it there.
    asyncio.get_running_loop().slow_callback_duration = 60
    reply = await gate.chat("qwen3.6-max-preview", "你好")
    assert reply.status == "complete"
    async for delta in gate.chat("qwen3.6-max-preview", "你好"):
        break
asyncio.run(main())
asyncio.run(main())
"""


HELD = """
import asyncio, gc
from aiotokengate import TokenGate
gate = TokenGate()
async def main():
    global held
    asyncio.get_running_loop().slow_callback_duration = 60
    held = aiter(gate.chat("qwen3.6-max-preview", "你好"))
    await anext(held)
asyncio.run(main())
del held
gc.collect()
asyncio.run(main())
del held
gc.collect()
"""

REFUSED = """
import asyncio, gc
from aiotokengate import TokenGate
gate = TokenGate()
async def main():
    asyncio.get_running_loop().slow_callback_duration = 60
    call = asyncio.ensure_future(gate.chat("qwen3.6-max-preview", "你好"))
    for _ in range(2):  # by then the beginning of the error has come
        await gate.models()
    call.cancel()
asyncio.run(main())
gc.collect()
"""


def test_a_module_global_session_is_silent(fake_gateway: FakeGateway) -> None:
    """A global session, two event loops, never closed: nothing is printed, nothing is touched."""
    run_silently(GLOBAL_SESSION, fake_gateway)
    connections = [request.connection for request in fake_gateway.requests]
    assert connections[0] == connections[1] != connections[2] == connections[3]


def test_a_stream_that_is_held_past_its_loop_is_silent(fake_gateway: FakeGateway) -> None:
    run_silently(HELD, fake_gateway)


def test_a_call_that_is_called_off_while_its_error_comes_is_silent(
    fake_gateway: FakeGateway,
) -> None:
    half = Raw(status=400, headers={"Content-Length": "100"}, body=b"{", end="hang")
    fake_gateway.script(half)
    run_silently(REFUSED, fake_gateway)


def run_silently(program: str, fake_gateway: FakeGateway) -> None:
    process = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        env={
            "TOKENGATE_API_KEY": fake_gateway.api_key,
            "TOKENGATE_BASE_URL": fake_gateway.base_url,
            "PYTHONPATH": ":".join(sys.path),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    errors = without_slow_steps(process.stderr)
    assert (process.returncode, process.stdout, errors) == (0, "", "")
