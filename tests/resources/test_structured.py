"""Answers of a type, and functions as tools, over the gateway."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import sys
import threading
from typing import Annotated, Any, Literal, TypedDict

import attrs
import msgspec
import orjson
import pydantic
import pytest

from aiotokengate import (
    AnswerDelta,
    CallerError,
    ReasoningDelta,
    ResponseInvalid,
    StreamInterrupted,
    TokenGate,
)
from aiotokengate._resources.structured import shape_of, tool_of
from aiotokengate._resources.tools import ToolOutcome
from aiotokengate.testing import Call, FakeGateway, ScriptedReply

QWEN, GPT, DEEPSEEK = "qwen3.6-plus", "gpt-5.2", "deepseek-v4-pro"


@attrs.define
class City:
    """A city."""

    name: str
    people: Annotated[int, msgspec.Meta(ge=0, description="how many live there")] = 0


@dataclasses.dataclass
class CityData:
    """A city."""

    name: str
    people: int = 0


class CityDict(TypedDict):
    """A city."""

    name: str
    people: int


class CityStruct(msgspec.Struct):
    """A city."""

    name: str
    people: int = 0


class CityModel(pydantic.BaseModel):
    """A city."""

    name: str
    people: int = 0


ANSWER = '{"name": "北京 🏯", "people": 21858000}'
VALUES: dict[Any, Any] = {
    City: City("北京 🏯", 21858000),
    CityData: CityData("北京 🏯", 21858000),
    CityDict: {"name": "北京 🏯", "people": 21858000},
    CityStruct: CityStruct("北京 🏯", 21858000),
    CityModel: CityModel(name="北京 🏯", people=21858000),
}


# --- answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("stream", [True, False])
async def test_every_kind_of_type(
    gateway: FakeGateway, gate: TokenGate, kind: Any, stream: bool
) -> None:
    gateway.script(ScriptedReply(reasoning="想一想", answer=ANSWER))
    reply = await gate.chat(GPT, "北京有多少人？", response_type=kind, stream=stream)
    assert reply.parsed == VALUES[kind]
    assert reply.answer == ANSWER
    sent = gateway.requests[0].json["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["strict"] is True
    schema = sent["json_schema"]["schema"]
    assert schema["required"] == ["name", "people"]
    assert schema["additionalProperties"] is False


async def test_a_model_without_schemas_is_told_in_words(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    text = f"好的：\n```json\n{ANSWER}\n```"
    gateway.script(ScriptedReply(answer=text), ScriptedReply(answer=ANSWER))
    history = [{"role": "system", "content": "简短"}, {"role": "user", "content": "北京？"}]
    assert (await gate.chat(QWEN, history, response_type=City)).parsed == VALUES[City]
    sent = gateway.requests[0].json
    assert "response_format" not in sent
    assert sent["messages"][0]["content"].startswith("简短\n\nAnswer with one JSON object")
    assert '"people"' in sent["messages"][0]["content"]
    assert (await gate.chat(DEEPSEEK, "北京？", response_type=City)).parsed == VALUES[City]
    sent = gateway.requests[1].json
    assert sent["response_format"] == {"type": "json_object"}
    assert sent["messages"][0]["role"] == "system"


async def test_what_is_no_object_is_wrapped(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(ScriptedReply(answer=f'{{"value": [{ANSWER}]}}'))
    reply = await gate.chat(GPT, "城市？", response_type=list[City])
    assert reply.parsed == [VALUES[City]]
    schema = gateway.requests[0].json["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["value"] == {"type": "array", "items": {"$ref": "#/$defs/City"}}


def test_an_open_object_is_not_strict() -> None:
    shape = shape_of(dict[str, int])
    assert not shape.strict
    assert shape.parse('{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ('{"name": 7, "people": 1}', r"Expected `str`, got `int` - at `\$.name`"),
        ('{"name": "a", "people": -1}', r"`\$.people`"),
        ("没有", "expected JSON as the answer, got 2 characters that are not"),
    ],
)
async def test_what_does_not_fit_is_named_by_its_path(
    gateway: FakeGateway, gate: TokenGate, answer: str, message: str
) -> None:
    gateway.script(*[ScriptedReply(answer=answer)] * 2)
    with pytest.raises(ResponseInvalid, match=message) as raised:
        await gate.chat(GPT, "？", response_type=City)
    assert raised.value.reply is not None
    assert (raised.value.reply.answer, raised.value.reply.status) == (answer, "complete")
    async with gate.chat(GPT, "？", response_type=City) as stream:
        pieces = []
        with pytest.raises(ResponseInvalid):
            async for delta in stream:
                pieces += [delta]
        assert "".join(d.text for d in pieces if isinstance(d, AnswerDelta)) == answer
        with pytest.raises(ResponseInvalid):
            await stream.reply()


def test_pydantic_says_where_and_not_what() -> None:
    with pytest.raises(ResponseInvalid) as raised:
        shape_of(CityModel).parse('{"name": ["秘密"]}')
    assert "`$.name`" in str(raised.value)
    assert "秘密" not in str(raised.value)


def test_wrapping_is_asked_for() -> None:
    with pytest.raises(ResponseInvalid, match="a JSON object with the key 'value'"):
        shape_of(list[int]).parse("[1]")


async def test_half_an_answer_is_an_interruption(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(ScriptedReply(answer='{"name": "北', finish_reason="", done=True))
    with pytest.raises(StreamInterrupted):
        await gate.chat(GPT, "？", response_type=City)


class Choosy(pydantic.BaseModel):
    """A type with a mistake in it."""

    name: str

    @pydantic.field_validator("name")
    @classmethod
    def known(cls, name: str) -> str:
        return {"北京": "Beijing"}[name]


async def test_a_type_with_a_mistake(gateway: FakeGateway, gate: TokenGate) -> None:
    """What it raises is told, and the call ends like any other."""
    gateway.script(ScriptedReply(answer='{"name":"上海"}'))
    with pytest.raises(ResponseInvalid, match="type raised KeyError") as raised:
        await gate.chat(GPT, "？", response_type=Choosy)
    assert isinstance(raised.value.__cause__, KeyError)
    assert raised.value.reply is not None
    assert raised.value.reply.answer == '{"name":"上海"}'
    assert gate.pool.statistics().in_flight == 0


async def test_wrong_types(gate: TokenGate) -> None:
    with pytest.raises(CallerError, match="expected response_type as a type with a JSON Schema"):
        gate.chat(GPT, "？", response_type=threading.Lock)
    with pytest.raises(CallerError, match="expected response_type or response_format, got both"):
        gate.chat(GPT, "？", response_type=City, response_format={"type": "json_object"})


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgspec", None)
    with pytest.raises(CallerError, match=r"pip install 'aiotokengate\[structured\]'"):
        shape_of(City)


# --- partial objects ----------------------------------------------------------------------------


async def test_objects_while_they_are_written(gateway: FakeGateway, gate: TokenGate) -> None:
    pieces = ['{"name": "北', '京 🏯", "peo', 'ple": 218', "58000}"]
    gateway.script(ScriptedReply(answer=pieces))
    async with gate.chat(GPT, "？", response_type=City) as stream:
        seen = [orjson.dumps(value).decode() async for value in stream.objects(every=0)]
        reply = await stream.reply()
    assert seen[-1] == orjson.dumps(VALUES[CityDict]).decode()
    assert seen[0] in ('{"name":"北"}', '{"name":"北京 🏯"}', seen[-1])
    assert reply.parsed == VALUES[City]


# --- tools --------------------------------------------------------------------------------------


async def weather(city: str, days: int = 1, *, unit: Literal["C", "F"] = "C") -> dict[str, Any]:
    """Return the weather of a city.

    Args:
        city: its name, in Chinese
        days: how far ahead
        unit: of the temperature
    """
    return {"city": city, "days": days, unit: 21}


def clock() -> str:
    """Return the time."""
    return f"12:00 {threading.current_thread() is threading.main_thread()}"


def broken(why: str) -> None:
    """Fail."""
    raise ValueError(why)


def test_a_function_is_a_tool() -> None:
    assert tool_of(weather).to_dict() == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Give the weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "its name, in Chinese"},
                    "days": {"type": "integer", "default": 1, "description": "how far ahead"},
                    "unit": {
                        "enum": ["C", "F"],
                        "default": "C",
                        "description": "of the temperature",
                    },
                },
                "required": ["city"],
            },
        },
    }


def test_functions_that_are_none() -> None:
    def untyped(a) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001

    def open_ended(*all_of_them: int) -> None: ...

    with pytest.raises(CallerError, match="a type hint for the parameter 'a' of untyped"):
        tool_of(untyped)
    with pytest.raises(CallerError, match="'all_of_them' of open_ended"):
        tool_of(open_ended)
    with pytest.raises(CallerError, match="expected a function with type hints, got int"):
        tool_of(7)  # type: ignore[arg-type]
    with pytest.raises(CallerError, match="with ASCII letters or digits in its name, got"):
        tool_of(functools.partial(weather))


async def test_a_run(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(
        ScriptedReply(
            reasoning="查一下",
            tool_calls=[
                Call("weather", {"city": "北京"}, id="a"),
                Call("clock", {}, id="b"),
                Call("broken", {"why": "坏了 💥"}, id="c"),
                Call("weather", {"city": 7}, id="d"),
                Call("nowhere", {}, id="e"),
            ],
        ),
        ScriptedReply(answer="21 °C ☀️"),
    )
    run = await gate.run_tools(DEEPSEEK, "北京天气？", [weather, clock, broken])
    assert run.reply.answer == "21 °C ☀️"
    assert len(run.replies) == 2
    assert [outcome.text for outcome in run.outcomes] == [
        '{"city":"北京","days":1,"C":21}',
        "12:00 False",
        "Error: ValueError: 坏了 💥",
        "Error in the arguments: Expected `str`, got `int` - at `$.city`",
        "Error: there is no tool 'nowhere', there are: weather, clock, broken",
    ]
    assert isinstance(run.outcomes[2].error, ValueError)
    history = gateway.requests[1].json["messages"]
    assert [message["role"] for message in history] == ["user", "assistant", *["tool"] * 5]
    # DeepSeek refuses the next turn without it.
    assert history[1]["reasoning_content"] == "查一下"
    assert [message["tool_call_id"] for message in history[2:]] == list("abcde")
    assert run.messages[-1]["content"] == "21 °C ☀️"


async def test_a_run_as_it_goes(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(
        ScriptedReply(reasoning="想", tool_calls=[Call("clock", {})]),
        ScriptedReply(answer="十二点"),
    )
    run = gate.run_tools(QWEN, "几点？", [clock])
    seen = [step async for step in run]
    kinds = [type(step) for step in seen]
    assert kinds[0] is ReasoningDelta
    place = kinds.index(ToolOutcome)
    assert "".join(s.text for s in seen[place:] if isinstance(s, AnswerDelta)) == "十二点"
    assert run.result is not None
    assert run.result.reply.answer == "十二点"


async def test_rounds_are_bounded(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(*[ScriptedReply(tool_calls=[Call("clock", {})])] * 3)
    run = await gate.run_tools(QWEN, "几点？", [clock], rounds=2)
    assert (len(run.replies), len(run.outcomes)) == (3, 2)
    assert run.reply.tool_calls


async def test_a_call_that_was_cut_never_runs(gateway: FakeGateway, gate: TokenGate) -> None:
    cut = ScriptedReply(tool_calls=[Call("broken", '{"why": "x')], finish_reason="length")
    gateway.script(cut)
    run = await gate.run_tools(QWEN, "？", [broken])
    assert run.outcomes == ()
    assert run.reply.finish_reason == "length"


async def test_calls_run_side_by_side_within_the_bound(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    running = most = 0
    both = asyncio.Event()

    async def pair() -> None:
        """Wait for another."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 2:
            both.set()
        await both.wait()
        running -= 1

    gateway.script(ScriptedReply(tool_calls=[Call("pair", {})] * 5), ScriptedReply(answer="好"))
    run = await gate.run_tools(QWEN, "？", [pair], at_once=2)
    assert (len(run.outcomes), most) == (5, 2)


async def test_a_function_that_hangs_is_bounded_and_a_run_can_be_cancelled(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    begun = asyncio.Event()
    ended: list[str] = []

    async def hang() -> None:
        """Never return."""
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("hang")

    gateway.script(ScriptedReply(tool_calls=[Call("hang", {})]), ScriptedReply(answer="好"))
    run = await gate.run_tools(QWEN, "？", [hang], tool_timeout=0.05)
    assert isinstance(run.outcomes[0].error, TimeoutError)
    assert run.outcomes[0].text == "Error: TimeoutError: it took longer than 0.05 s"
    begun.clear()
    gateway.script(ScriptedReply(tool_calls=[Call("hang", {})]))

    async def whole() -> None:
        await gate.run_tools(QWEN, "？", [hang])

    task = asyncio.create_task(whole())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["hang", "hang"]
    assert gate.pool.statistics().in_flight == 0


async def test_an_error_of_the_function_is_not_one_of_its_arguments(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    async def ask() -> None:
        """Use the library wrongly."""
        await gate.chat("", "你好")

    gateway.script(ScriptedReply(tool_calls=[Call("ask", {})]), ScriptedReply(answer="好"))
    run = await gate.run_tools(QWEN, "？", [ask])
    assert run.outcomes[0].text.startswith("Error: CallerError: expected the name of a model")


async def test_wrong_arguments_of_a_run(gate: TokenGate) -> None:
    with pytest.raises(
        CallerError, match="expected tools as a list of functions, got an empty one"
    ):
        gate.run_tools(QWEN, "？", [])
    with pytest.raises(CallerError, match="got 'clock' twice"):
        gate.run_tools(QWEN, "？", [clock, clock])
    with pytest.raises(CallerError, match="expected rounds as a whole number from 1 up, got 0"):
        gate.run_tools(QWEN, "？", [clock], rounds=0)
    with pytest.raises(CallerError, match="expected tool_timeout in seconds above 0"):
        gate.run_tools(QWEN, "？", [clock], tool_timeout=-1)
    with pytest.raises(CallerError, match=r"expected tools\[0\] as a function or a dict, got int"):
        gate.chat(QWEN, "？", tools=[7])  # type: ignore[list-item]
