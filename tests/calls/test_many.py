"""Many calls in one line: each outcome by itself, no more on the way than may be."""

import asyncio
import gc
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from aiotokengate import (
    AuthenticationFailed,
    CallerError,
    ContextLengthExceeded,
    Limits,
    Outcome,
    Pool,
    StreamInterrupted,
    TokenGate,
)
from aiotokengate._calls.many import Outcomes, unfit
from aiotokengate.testing import FakeGateway, Gate, ScriptedReply, VirtualClock, faults

MODEL = "qwen3.6-plus"


@pytest.fixture
async def three(gateway: FakeGateway) -> AsyncIterator[TokenGate]:
    """Yield a session that has three calls in flight at most."""
    pool = Pool(Limits(concurrency=3, learn=False))
    async with TokenGate(api_key=gateway.api_key, base_url=gateway.base_url, pool=pool) as gate:
        yield gate


def asked(number: int) -> dict[str, Any]:
    """Return a request that can be told from others."""
    return {"model": MODEL, "messages": f"第{number}问 🙂"}


class Pulled:
    """An endless input that counts what was taken of it."""

    def __init__(self) -> None:
        self.number = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        self.number += 1
        return asked(self.number)


def texts(outcomes: list[Outcome[Any]]) -> list[str]:
    """Return what was asked, in the order of the outcomes."""
    return [outcome.request["messages"] for outcome in outcomes]


async def test_every_request_has_its_outcome(three: TokenGate) -> None:
    """Dicts of chat's arguments; each once, with its reply."""
    requests = [asked(number) for number in range(20)]
    outcomes = [outcome async for outcome in three.map(iter(requests))]
    assert sorted(texts(outcomes)) == sorted(request["messages"] for request in requests)
    for outcome in outcomes:
        assert outcome.error is None
        assert outcome.reply is not None
        assert outcome.request["messages"] in outcome.reply.answer


async def test_in_order(gateway: FakeGateway, three: TokenGate) -> None:
    """However late the first one is, it is the first."""
    late = Gate()
    gateway.script(ScriptedReply(answer=["一", late, "二"]))
    outcomes = three.map((asked(number) for number in range(9)), ordered=True)
    first = asyncio.ensure_future(anext(outcomes))
    await gateway.wait_requests(9)
    assert not first.done()
    late.open()
    taken = [await first] + [outcome async for outcome in outcomes]
    assert texts(taken) == [asked(number)["messages"] for number in range(9)]


async def test_as_they_come(gateway: FakeGateway, three: TokenGate) -> None:
    """Out of order, a late one holds nobody up."""
    late = Gate()
    gateway.script(ScriptedReply(answer=["一", late, "二"]))
    outcomes = three.map(asked(number) for number in range(9))
    taken = [await anext(outcomes) for _ in range(8)]
    assert asked(0)["messages"] not in texts(taken)
    late.open()
    assert texts([outcome async for outcome in outcomes]) == [asked(0)["messages"]]


async def test_an_asynchronous_input_and_calls_made_before(three: TokenGate) -> None:
    """Any async iterable, and calls of ``chat`` as well as dicts."""

    async def source() -> AsyncIterator[Any]:
        yield asked(1)
        await asyncio.sleep(0)
        yield three.chat(MODEL, "第2问", max_tokens=5)

    outcomes = [outcome async for outcome in three.map(source())]
    assert [outcome.error for outcome in outcomes] == [None, None]


async def test_one_failure_never_ends_the_others(gateway: FakeGateway, three: TokenGate) -> None:
    """A refusal, a cut, and a request that is none: each is the outcome of its own."""
    gateway.script(faults.unfinished(), _too_long())
    requests: list[Any] = [
        asked(1),
        asked(2),
        {"model": MODEL},
        {**asked(4), "xyzzy": 1},
        asked(5),
    ]
    outcomes = [outcome async for outcome in three.map(requests, ordered=True)]
    kinds = [type(outcome.error) for outcome in outcomes]
    assert kinds == [
        StreamInterrupted,
        ContextLengthExceeded,
        CallerError,
        CallerError,
        type(None),
    ]
    cut = outcomes[0].error
    assert isinstance(cut, StreamInterrupted)
    assert cut.partial.answer or cut.partial.reasoning


def _too_long() -> Any:
    return faults.status_error(400, "context_length_exceeded")


async def test_pulled_no_faster_than_calls_can_go(gateway: FakeGateway, three: TokenGate) -> None:
    """Of an endless input only what can go is taken, and one that waits for its turn."""
    gateway.script(*[ScriptedReply(answer=["一", Gate()])] * 3)
    source = Pulled()
    outcomes = three.map(source)
    waiting = asyncio.ensure_future(anext(outcomes))
    await gateway.wait_requests(3)
    for _ in range(50):
        await asyncio.sleep(0)
    assert source.number == 4
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await outcomes.aclose()


async def test_pulled_no_faster_than_outcomes_are_taken(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """What nobody has taken yet is bounded, too."""
    source = Pulled()
    async with gate.map(source, at_once=5) as outcomes:
        await anext(outcomes)
        await gateway.wait_requests(6)
        for _ in range(200):
            await asyncio.sleep(0)
        assert source.number == 6
        await anext(outcomes)
        await gateway.wait_requests(7)
        for _ in range(200):
            await asyncio.sleep(0)
        assert source.number == 7


@pytest.mark.parametrize("way", ["break", "block", "cancelled"])
async def test_leaving_early_cancels_what_runs(
    gateway: FakeGateway, three: TokenGate, way: str
) -> None:
    """Nothing more is taken or sent, and every place is free."""
    gateway.script(*[ScriptedReply(answer=["一", Gate()])] * 2)
    source = Pulled()
    gc.disable()
    try:
        if way == "break":
            async for _ in three.map(source):
                break
        elif way == "block":
            async with three.map(source) as outcomes:
                await anext(outcomes)
        else:
            task = asyncio.ensure_future(_all_of(three, source))
            await gateway.wait_requests(5)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for request in gateway.requests[:2]:
            await gateway.wait_disconnected(request)
        await gateway.wait_connections(0)
    finally:
        gc.enable()
    taken = source.number
    for _ in range(50):
        await asyncio.sleep(0)
    assert source.number == taken
    assert three.pool.statistics().waiting == 0
    assert [task for task in asyncio.all_tasks() if "_feed" in repr(task)] == []


async def _all_of(gate: TokenGate, source: Pulled) -> None:
    async for _ in gate.map(source):
        pass


async def test_an_input_that_breaks(three: TokenGate) -> None:
    """What it gave before is answered first; then its error is raised."""

    def source() -> Iterator[dict[str, Any]]:
        yield asked(1)
        yield asked(2)
        message = "文件坏了"
        raise OSError(message)

    outcomes = three.map(source())
    taken = [await anext(outcomes), await anext(outcomes)]
    assert sorted(texts(taken)) == [asked(1)["messages"], asked(2)["messages"]]
    with pytest.raises(OSError, match="文件坏了"):
        await anext(outcomes)


async def test_an_input_that_is_left_is_closed(gateway: FakeGateway, three: TokenGate) -> None:
    """An asynchronous generator gets to run its clean-up."""
    closed = asyncio.Event()

    async def source() -> AsyncIterator[dict[str, Any]]:
        try:
            for number in range(100):
                yield asked(number)
        finally:
            closed.set()

    async with three.map(source()) as outcomes:
        await anext(outcomes)
    assert closed.is_set()
    assert len(gateway.requests) < 10


async def test_nothing_to_do(three: TokenGate) -> None:
    """An empty input has no outcomes, asked as often as one likes."""
    nothing: list[dict[str, Any]] = []
    outcomes = three.map(nothing)
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await anext(outcomes)


async def test_a_wrong_key_is_each_ones_error(gateway: FakeGateway) -> None:
    """The outcomes say so; the loop itself does not break."""
    async with TokenGate(api_key="sk-wrong", base_url=gateway.base_url) as gate:
        outcomes = [outcome async for outcome in gate.map([asked(1), asked(2)])]
    assert [type(outcome.error) for outcome in outcomes] == [AuthenticationFailed] * 2


async def test_a_long_input(gateway: FakeGateway) -> None:
    """A long input on a pool that lets them in at its own pace, on a virtual clock."""
    clock = VirtualClock()
    pool = Pool(Limits(requests_per_minute=600), clock=clock)
    async with TokenGate(
        api_key=gateway.api_key, base_url=gateway.base_url, pool=pool, clock=clock
    ) as gate:
        gateway.script(*[ScriptedReply(answer="好")] * 1_000)
        outcomes: Outcomes[dict[str, Any]] = gate.map(asked(n) for n in range(1_000))
        collected = asyncio.ensure_future(_count(outcomes))
        while not collected.done():
            await clock.run_for(1)
        assert collected.result() == 1_000
    assert clock.now() >= 40  # 600 at once, and the others at ten a second


async def _count(outcomes: Any) -> int:
    return len([outcome async for outcome in outcomes if outcome.error is None])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(requests="text"), "expected an iterable of requests, got str"),
        (dict(requests=3), "expected an iterable of requests, got int"),
        (dict(requests={"model": "m"}), "expected an iterable of requests, got dict"),
    ],
)
async def test_an_input_that_is_none(
    three: TokenGate, arguments: dict[str, Any], message: str
) -> None:
    """What can't be iterated is refused."""
    with pytest.raises(CallerError, match=message):
        three.map(**arguments)


@pytest.mark.parametrize("number", [0, -1, True, "3"])
def test_a_bound_that_is_none(number: Any) -> None:
    """At least one call must be allowed."""
    gate = TokenGate(api_key="sk-test")
    with pytest.raises(CallerError, match="expected at_once as a whole number from 1 up"):
        gate.map([], at_once=number)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"modell": MODEL, "messages": "hi"}, "is 'modell' meant as 'model'"),
        ({"model": MODEL, "massages": "hi"}, "is 'massages' meant as 'messages'"),
        ({}, "expected a dict with 'model' and 'messages', or a call made by chat"),
        ([], "or a call made by chat.*, got list"),
    ],
)
def test_what_is_no_request(request_: object, message: str) -> None:
    """It is said what was expected, and what a misspelt name was meant as."""
    assert re.search(message, unfit(request_).message)


async def test_one_call_in_place_of_many(three: TokenGate) -> None:
    """It is refused, and not forgotten: nothing warns of it afterwards."""

    async def one() -> None:
        """Be a coroutine."""

    with pytest.raises(CallerError, match=r"expected an iterable of requests, got one coroutine"):
        three.map(one())  # type: ignore[arg-type]
