"""Answers of a type, and functions as tools, over the gateway."""

from __future__ import annotations

import dataclasses
import functools
import sys
import threading
from typing import Annotated, Any, TypedDict

import attrs
import msgspec
import orjson
import pydantic
import pytest

from aiotokengate import (
    AnswerDelta,
    CallerError,
    ResponseInvalid,
    StreamInterrupted,
    TokenGate,
)
from aiotokengate._resources.structured import result_text, shape_of, tool_of
from aiotokengate.testing import FakeGateway, ScriptedReply
from tests.support.tools import weather

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


def test_a_function_is_a_tool() -> None:
    assert tool_of(weather).to_dict() == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Return the weather of a city.",
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


def test_arguments_of_a_tool_are_checked_and_filled_in() -> None:
    tool = tool_of(weather)
    assert tool.arguments({"city": "北京"}) == {"city": "北京", "days": 1, "unit": "C"}
    with pytest.raises(ResponseInvalid, match="Expected `int`"):
        tool.arguments({"city": "北京", "days": "2"})


@pytest.mark.parametrize(
    ("result", "text"),
    [("好", "好"), ({"a": 1}, '{"a":1}'), (CityModel(name="北京"), '{"name":"北京","people":0}')],
)
def test_what_a_function_returned_is_told(result: object, text: str) -> None:
    assert result_text(result) == text


def test_type_hints_that_cannot_be_read() -> None:
    def unknown(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(CallerError, match=r"type hints of unknown\(\) that can be read"):
        tool_of(unknown)


def test_a_docstring_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docstring_parser", None)
    with pytest.raises(CallerError, match="pip install"):
        tool_of(weather)


def test_a_description_of_the_type_stands() -> None:
    def by(city: Annotated[str, msgspec.Meta(description="from the type")]) -> None:
        """Do it.

        Args:
            city: from the docstring
            other: is no parameter
        """

    assert tool_of(by).to_dict()["function"]["parameters"]["properties"]["city"] == {
        "type": "string",
        "description": "from the type",
    }
