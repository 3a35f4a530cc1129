"""A call is used once: a second use is an error, none at all is a warning."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from aiotokengate import CallerError
from aiotokengate._base.single_use import SingleUse


class Greeting(SingleUse[str, str]):
    """Says hello to whom it was made for, after a turn of the loop."""

    __slots__ = ()

    def _awaited(self, start: str) -> Coroutine[Any, Any, str]:
        return self._greet(start)

    async def _greet(self, name: str) -> str:
        await asyncio.sleep(0)
        if not name:
            raise ValueError
        return f"你好, {name}"

    def __aiter__(self) -> str:
        """Use it in a way of its own."""
        return self._take("iterated")


async def test_it_is_awaited() -> None:
    assert await Greeting("小王", "greet") == "你好, 小王"


async def test_asyncio_takes_it_as_a_coroutine() -> None:
    task = asyncio.create_task(Greeting("一", "greet"))
    both = asyncio.gather(Greeting("二", "greet"), asyncio.wait_for(Greeting("三", "greet"), 60))
    assert [await task, *await both] == ["你好, 一", "你好, 二", "你好, 三"]


async def test_a_second_use_is_an_error() -> None:
    call = Greeting("小王", "greet")
    await call
    with pytest.raises(CallerError, match="used once; this one is awaited already"):
        await call
    with pytest.raises(CallerError, match="awaited already"):
        call.__aiter__()
    other = Greeting("小王", "greet")
    assert other.__aiter__() == "小王"
    with pytest.raises(CallerError, match="iterated already"):
        other.send(None)


async def test_what_it_raises_comes_through() -> None:
    with pytest.raises(ValueError, match=r"^$"):
        await asyncio.create_task(Greeting("", "greet"))


async def test_a_cancelled_task_cancels_it() -> None:
    task = asyncio.create_task(Greeting("小王", "greet"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("steps", [0, 1])
def test_it_is_closed(steps: int, recwarn: pytest.WarningsRecorder) -> None:
    call = Greeting("小王", "greet")
    for _ in range(steps):
        call.send(None)
    call.close()
    call.close()
    with pytest.raises(RuntimeError if steps else CallerError):
        call.send(None)
    del call
    assert not recwarn.list


def test_one_that_is_forgotten_warns() -> None:
    with pytest.warns(RuntimeWarning, match=r"^Greeting 'greet' was never awaited"):
        Greeting("小王", "greet")


async def test_one_that_was_handed_over_does_not_warn(recwarn: pytest.WarningsRecorder) -> None:
    Greeting("小王", "greet").hand_over()
    used = Greeting("小王", "greet")
    used.hand_over()
    assert await used == "你好, 小王"
    assert not recwarn.list


async def test_the_repr_names_the_state() -> None:
    call = Greeting("小王", "greet")
    assert repr(call) == "<Greeting greet unused>"
    await call
    assert repr(call) == "<Greeting greet awaited>"


def test_a_subclass_says_what_is_run() -> None:
    """One that does not can't be made."""

    class Unfinished(SingleUse[str, str]):
        """Says nothing."""

    assert Unfinished.__abstractmethods__ == {"_awaited"}
    make: Any = Unfinished
    with pytest.raises(TypeError, match="abstract"):
        make("小王", "greet")
