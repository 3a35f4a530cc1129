"""A call leaves nothing for the garbage collector: what is dropped is freed at once."""

import gc
from collections.abc import Iterator

import pytest

from aiotokengate import StreamInterrupted, TokenGate
from aiotokengate._stream.receiver import Receiver
from aiotokengate._wire.transcript import Transcript
from aiotokengate.testing import FakeGateway, Raw

MODEL = "qwen3.6-max-preview"


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive(kind: type) -> int:
    return sum(isinstance(thing, kind) for thing in gc.get_objects())


async def test_finished_calls_are_freed(gateway: FakeGateway, gate: TokenGate) -> None:
    """After each way of use, and after an error, neither receiver nor transcript is left."""
    before = alive(Receiver), alive(Transcript)
    await gate.chat(MODEL, "嗨")
    async for _ in gate.chat(MODEL, "嗨"):
        pass
    async for _ in gate.chat(MODEL, "嗨"):
        break
    async with gate.chat(MODEL, "嗨") as stream:
        await stream.answer.text()
    del stream
    gateway.script(
        Raw(body=b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n', end="reset")
    )
    with pytest.raises(StreamInterrupted):
        await gate.chat(MODEL, "嗨")
    assert (alive(Receiver), alive(Transcript)) == before
