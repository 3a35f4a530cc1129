"""What is copied, what is shared, and what is never pickled: a session holds a key."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from aiotokengate import (
    CallerError,
    Endpoint,
    Limits,
    Outcome,
    Pool,
    RateLimited,
    TimedOut,
    TokenGate,
    TokenGateError,
    Unanswered,
)
from aiotokengate.redis import RedisBackend
from aiotokengate.testing import Call, FakeGateway, Gate, ScriptedReply

MODEL = "qwen3.6-plus"
KEY = "sk-test-1234567890abcdef"

SHARED: dict[str, Callable[[TokenGate], object]] = {
    "TokenGate": lambda gate: gate,
    "Pool": lambda gate: gate.pool,
    "Endpoint": lambda _: Endpoint(api_key=KEY),
    "RedisBackend": lambda _: RedisBackend(f"redis://:{KEY}@127.0.0.1:1/0"),
    "Job": lambda gate: gate.job("video:sora:task_1"),
    "ImagesMaker": lambda gate: gate.images,
    "Audio": lambda gate: gate.audio,
    "Videos": lambda gate: gate.videos,
    "Music": lambda gate: gate.music,
}


def closed(call: Any) -> Any:
    """Return a call that is not going to be missed."""
    call.hand_over()
    return call


UNIQUE: dict[str, Callable[[TokenGate], object]] = {
    "ChatCall": lambda gate: closed(gate.chat(MODEL, "你好")),
    "RawCall": lambda gate: closed(gate.request("GET", "/models")),
    "ImageCall": lambda gate: closed(gate.images.generate("gpt-image-2", "猫")),
    "ToolCalls": lambda gate: closed(gate.run_tools(MODEL, "你好", [closed])),
    "Outcomes": lambda gate: gate.map([]),
    "Slot": lambda gate: gate.pool.slot(MODEL),
}


def pickled(value: object) -> bytes:
    """Pickle in the newest way."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("used", [False, True])
async def test_a_copy_is_the_same_object(gate: TokenGate, name: str, used: bool) -> None:
    if used:
        await gate.chat(MODEL, "你好 👋")
    one = SHARED[name](gate)
    assert copy.copy(one) is one
    assert copy.deepcopy({"of": [one]})["of"][0] is one


@pytest.mark.parametrize("name", [*SHARED, *UNIQUE])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
async def test_no_pickle_and_so_no_key(gate: TokenGate, name: str, protocol: int) -> None:
    one = {**SHARED, **UNIQUE}[name](gate)
    with pytest.raises(TypeError, match=rf"^{name} can't be .*pickled: .{{20}}") as caught:
        pickle.dumps({"of": one}, protocol)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("name", UNIQUE)
async def test_what_is_used_once_has_no_copy(gate: TokenGate, name: str) -> None:
    one = UNIQUE[name](gate)
    for make in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=f"^{name} can't be copied"):
            make(one)


async def test_what_streams(gateway: FakeGateway, gate: TokenGate) -> None:
    hold = Gate()
    gateway.script(ScriptedReply(answer=["一", hold, "二"]))
    async with gate.chat(MODEL, "数数") as stream:
        for one in (stream, stream.answer, stream.choice(0)):
            for make in (copy.copy, copy.deepcopy, pickled):
                with pytest.raises(TypeError, match=f"^{type(one).__name__} can't be copied"):
                    make(one)
        with pytest.raises(TypeError, match="can't be copied"):
            copy.deepcopy(aiter(stream))
        hold.open()  # and nothing of that has let go of the stream
        assert (await stream.reply()).answer == "一二"
        assert pickle.loads(pickled(await stream.reply())) == await stream.reply()


async def test_what_is_downloaded(gate: TokenGate) -> None:
    async with gate.request("GET", "/models") as download:
        for make in (copy.copy, copy.deepcopy, pickled):
            with pytest.raises(TypeError, match=r"^Download can't be copied"):
                make(download)
        assert (await download.json())["data"]


async def test_an_image(gate: TokenGate) -> None:
    images = await gate.images.generate("gpt-image-2", "一只橘猫 🐈")
    assert copy.deepcopy(images)[0] is images[0]
    with pytest.raises(TypeError, match=r"^Image can't be pickled: .*image\.read\(\)"):
        pickled(images)


@pytest.mark.parametrize("name", ["TokenGate", "Pool"])
def test_the_hint_is_about_processes(name: str) -> None:
    gate = TokenGate(api_key=KEY, base_url="http://127.0.0.1:1/v1", pool=Pool(Limits()))
    with pytest.raises(TypeError, match=r"make one in each.*RedisBackend"):
        pickled(SHARED[name](gate))


# --- a conversation -----------------------------------------------------------------------------


async def test_a_copy_of_a_conversation(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(*(ScriptedReply(answer=answer) for answer in "一二三"))
    talk = gate.conversation(MODEL, system="简短", temperature=0.5, max_tokens_kept=900)
    await talk.say("第一")
    flat, deep = copy.copy(talk), copy.deepcopy(talk)
    await flat.say("第二")
    await deep.say("第三")
    assert len(talk.messages) == 2
    assert [message["content"] for message in flat.messages] == ["第一", "一", "第二", "二"]
    assert [message["content"] for message in deep.messages] == ["第一", "一", "第三", "三"]
    assert {request.json["temperature"] for request in gateway.requests} == {0.5}
    assert (deep.system, deep.max_tokens_kept) == ("简短", 900)
    assert deep.messages[0] is not talk.messages[0]
    assert flat.messages[0] is talk.messages[0]


async def test_a_copy_in_the_midst_of_a_turn(gateway: FakeGateway, gate: TokenGate) -> None:
    hold = Gate()
    gateway.script(ScriptedReply(answer=["一", hold]), ScriptedReply(answer="好 🌱"))
    talk = gate.conversation(MODEL)
    async with talk.say("数数") as stream:
        other = copy.copy(talk)
        assert (await other.say("在吗？")).answer == "好 🌱"
        hold.open()
        await stream.reply()
    assert [message["content"] for message in talk.messages] == ["数数", "一"]
    assert [message["content"] for message in other.messages] == ["在吗？", "好 🌱"]


async def test_a_conversation_is_stored_as_json(gate: TokenGate) -> None:
    with pytest.raises(TypeError, match=r"^Conversation can't be .*pickled: .*to_json\(\)"):
        pickled(gate.conversation(MODEL))


# --- values -------------------------------------------------------------------------------------


async def test_replies_and_outcomes(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(ScriptedReply(reasoning="想", answer="好 🌱", tool_calls=[Call("f", {"a": 1})]))
    async for outcome in gate.map([{"model": MODEL, "messages": "你好"}]):
        back: Outcome[Any] = pickle.loads(pickled(outcome))
        assert back == outcome
        assert copy.deepcopy(outcome) == outcome
    stored = pickle.loads(pickled(gate.pool.statistics()))
    assert stored.in_flight == 0


@pytest.mark.parametrize("reconnectable", [True, False])
def test_a_request_without_an_answer(reconnectable: bool) -> None:
    error = Unanswered("没有回答 🔌", request_id="r1")
    error.reconnectable = reconnectable
    for back in (pickle.loads(pickled(error)), copy.deepcopy(error)):
        assert type(back) is Unanswered
        assert isinstance(back, ConnectionError)
        assert (str(back), back.reconnectable) == (str(error), reconnectable)


@pytest.mark.parametrize(
    "error",
    [
        RateLimited("太快 🐢", status=429, code="c", retry_after=1.5, body="{}"),
        TimedOut("stall", 3.0),
        CallerError("没有"),
    ],
)
def test_errors(error: TokenGateError) -> None:
    for back in (pickle.loads(pickled(error)), copy.deepcopy(error)):
        assert type(back) is type(error)
        assert vars(back) == vars(error)
