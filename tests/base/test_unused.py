"""A call that was made and never used warns, as a coroutine does; every other one is silent."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from aiotokengate import CallerError, TokenGate
from aiotokengate.testing import FakeGateway

MODEL = "qwen3.6-plus"
PROMPT = "一只橘猫 🐈"
Make = Callable[[TokenGate], Any]


def say(text: str) -> str:
    """Say something."""
    return text


CALLS: dict[str, Make] = {
    "ChatCall 'qwen3.6-plus'": lambda gate: gate.chat(MODEL, PROMPT),
    "ChatCall 'glm-5.1'": lambda gate: gate.conversation("glm-5.1").say(PROMPT),
    "ToolCalls of run_tools()": lambda gate: gate.run_tools(MODEL, PROMPT, [say]),
    "RawCall 'POST /rerank'": lambda gate: gate.request("POST", "/rerank?key=sk-secret", json={}),
    "coroutine 'TokenGate.embed'": lambda gate: gate.embed("m", [PROMPT]),
    "ImageCall 'POST /images/generations'": lambda gate: gate.images.generate("m", PROMPT),
    "ImageCall 'POST /images/edits'": lambda gate: gate.images.edit("m", PROMPT, b"png"),
    "SpeechCall 'tts-1'": lambda gate: gate.audio.speak("tts-1", PROMPT),
    "TranscriptionCall 'whisper-1'": lambda gate: gate.audio.transcribe("whisper-1", b"RIFF"),
    "Job 'video:sora'": lambda gate: gate.videos.create("wan-t2v", PROMPT),
    "Job 'music:cqtai'": lambda gate: gate.music.create(PROMPT),
}
"""What each warning names, and what it is about."""


async def warned(use: Callable[[], Awaitable[object] | object]) -> list[str]:
    """Return the warnings that something causes, until all of it is gone."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        made = use()
        if isinstance(made, Awaitable):
            await made
        del made
        for _ in range(3):
            gc.collect()
            await asyncio.sleep(0)
    return [f"{warning.category.__name__}: {warning.message}" for warning in heard]


@pytest.mark.parametrize("name", CALLS)
async def test_what_was_forgotten_is_told(
    name: str, gateway: FakeGateway, gate: TokenGate
) -> None:
    def forget() -> None:
        CALLS[name](gate)

    (said,) = await warned(forget)
    assert said.startswith(f"RuntimeWarning: {name} was never awaited")
    assert PROMPT not in said
    assert gateway.requests == []


@pytest.mark.parametrize("name", CALLS)
async def test_cancelled_before_the_first_step(name: str, gate: TokenGate) -> None:
    async def cancel() -> None:
        call = CALLS[name](gate)
        task = asyncio.create_task(call)
        del call
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    assert await warned(cancel) == []


@pytest.mark.parametrize("name", CALLS)
async def test_wrapped_and_cancelled_before_the_first_step(name: str, gate: TokenGate) -> None:
    """As ``gather`` and ``wait_for`` would do with what can be awaited and is no coroutine."""

    async def cancel() -> None:
        future = asyncio.ensure_future(CALLS[name](gate))
        future.cancel()
        await asyncio.wait([future])
        both = asyncio.gather(CALLS[name](gate), asyncio.sleep(0))
        both.cancel()
        with suppress(asyncio.CancelledError):
            await both
        with suppress(TimeoutError):
            await asyncio.wait_for(CALLS[name](gate), 0)

    assert await warned(cancel) == []


@pytest.mark.parametrize("name", CALLS)
async def test_closed(name: str, gate: TokenGate) -> None:
    assert await warned(lambda: CALLS[name](gate).close()) == []


USES: dict[str, Callable[[TokenGate], Coroutine[Any, Any, object]]] = {
    "entered": lambda gate: gate.chat(MODEL, PROMPT).__aenter__(),
    "entered, another call": lambda gate: gate.request("GET", "/models").__aenter__(),
    "saved": lambda gate: gate.audio.speak("tts-1", PROMPT).save("a.mp3"),
    "a job's submit": lambda gate: gate.videos.create("wan-t2v", PROMPT).submit(),
    "a job's save": lambda gate: gate.videos.create("wan-t2v", PROMPT).save("a.mp4"),
    "a job's cancel": lambda gate: gate.videos.create("wan-t2v", PROMPT).cancel(),
}


@pytest.mark.parametrize("name", USES)
async def test_a_use_counts_before_its_first_step(name: str, gate: TokenGate) -> None:
    async def cancel() -> None:
        task = asyncio.create_task(USES[name](gate))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    assert await warned(cancel) == []


async def test_used_in_one_of_its_ways(gate: TokenGate) -> None:
    async def use() -> None:
        await gate.chat(MODEL, PROMPT)
        async for _ in gate.chat(MODEL, PROMPT):
            break
        async with gate.chat(MODEL, PROMPT):
            pass
        async for _ in gate.run_tools(MODEL, PROMPT, [say]):
            break
        await asyncio.create_task(gate.run_tools(MODEL, PROMPT, [say]))
        await gate.conversation(MODEL).say(PROMPT)
        await gate.request("GET", "/models")
        await gate.videos.create("wan-t2v", PROMPT).submit()
        gate.job("video:sora:task_1")  # it was submitted by somebody else

    assert await warned(use) == []


async def test_a_call_that_failed_is_used(gate: TokenGate) -> None:
    async def use() -> None:
        call = gate.chat("no-such-model", PROMPT)
        with pytest.raises(Exception, match="no-such-model"):
            await call
        with pytest.raises(CallerError, match="used once"):
            await call

    assert await warned(use) == []


# --- handed over --------------------------------------------------------------------------------


async def test_what_a_map_refuses(gate: TokenGate) -> None:
    async def use() -> None:
        with pytest.raises(CallerError, match="at_once"):
            gate.map([gate.chat(MODEL, PROMPT)], at_once=0)
        with pytest.raises(CallerError, match="did you mean 'ordered'"):
            gate.map([gate.chat(MODEL, PROMPT)], orderd=True)  # type: ignore[arg-type]
        with pytest.raises(CallerError, match="got one ChatCall"):
            gate.map(gate.chat(MODEL, PROMPT))  # type: ignore[type-var]
        given: Any = [gate.request("GET", "/models"), gate.videos.create("wan-t2v", PROMPT)]
        given += [gate.embed("m", [PROMPT])]
        outcomes = [outcome async for outcome in gate.map(given)]
        assert all(isinstance(outcome.error, CallerError) for outcome in outcomes)

    assert await warned(use) == []


@pytest.mark.parametrize("at_once", [1, 1_000])
async def test_a_map_that_is_left(gate: TokenGate, at_once: int) -> None:
    async def use() -> None:
        calls = [gate.chat(MODEL, PROMPT) for _ in range(20)]
        async with gate.map(calls, at_once=at_once) as outcomes:
            async for _ in outcomes:
                break

    assert await warned(use) == []


async def test_a_map_that_is_cancelled_at_once(gate: TokenGate) -> None:
    async def use() -> None:
        outcomes = gate.map(gate.chat(MODEL, PROMPT) for _ in range(20))
        task = asyncio.ensure_future(anext(outcomes))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await outcomes.aclose()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert await warned(use) == []


async def test_what_was_handed_over_can_be_used(gate: TokenGate) -> None:
    call = gate.chat(MODEL, PROMPT)
    with pytest.raises(CallerError):
        gate.map([call], at_once=0)
    assert (await call).answer


async def test_a_map_that_is_forgotten(gate: TokenGate) -> None:
    def forget() -> None:
        gate.map([gate.chat(MODEL, PROMPT)])

    assert len(await warned(forget)) == 1


# --- where it was made --------------------------------------------------------------------------


async def test_the_place_in_debug_mode(gate: TokenGate) -> None:
    def forget() -> None:
        gate.conversation("glm-5.1").say(PROMPT)

    before = sys.get_coroutine_origin_tracking_depth()
    sys.set_coroutine_origin_tracking_depth(10)  # as asyncio does
    try:
        (said,) = await warned(forget)
    finally:
        sys.set_coroutine_origin_tracking_depth(before)
    assert "made at (most recent call last)" in said
    assert said.endswith('gate.conversation("glm-5.1").say(PROMPT)')
    assert "aiotokengate/_stream/call.py" not in said


async def test_the_place_with_tracemalloc(gate: TokenGate) -> None:
    def forget() -> None:
        gate.videos.create("wan-t2v", PROMPT)

    tracemalloc.start(1)
    try:
        (said,) = await warned(forget)
    finally:
        tracemalloc.stop()
    assert said.endswith('gate.videos.create("wan-t2v", PROMPT)')


async def test_the_place_where_it_was_dropped(gate: TokenGate) -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        gate.chat(MODEL, PROMPT)
    assert heard[0].filename == __file__
    assert "-X dev tells where" in str(heard[0].message)
    assert heard[0].source is None  # or the warning would keep the call


PROGRAM = """
from aiotokengate import TokenGate
gate = TokenGate(api_key="sk-test", base_url="http://127.0.0.1:1/v1")
"""


@pytest.mark.parametrize("options", [(), ("-X", "dev"), ("-X", "tracemalloc=1")])
def test_at_the_end_of_the_interpreter(options: tuple[str, ...]) -> None:
    """One line that says so, as for a coroutine, and no noise of what is gone already."""
    program = f"{PROGRAM}call = gate.chat('qwen3.6-plus', '你好 👋')\ndef f(): return call, f\n"
    program += "used = gate.chat('m', 'x'); used.close()\n"
    command = [sys.executable, *options, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr.startswith("sys:1: RuntimeWarning: ChatCall 'qwen3.6-plus' was never")
    assert done.stderr.count("RuntimeWarning") == 1
    assert "ignored" not in done.stderr
    assert ('File "<string>", line 4' in done.stderr) == bool(options)


def test_a_warning_that_is_an_error() -> None:
    """It can't be raised where a call is dropped, so it is printed, as for a coroutine."""
    program = f"{PROGRAM}gate.chat('m', 'x'); print('went on')"
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "went on\n"
    assert "RuntimeWarning: ChatCall 'm' was never awaited" in done.stderr
