"""What the fake models answer fits the JSON schema that is asked for."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from typing import Annotated, Any, Literal

import orjson
import pytest
from pydantic import BaseModel, Field, TypeAdapter

from aiotokengate import TokenGate
from aiotokengate.testing._schemas import fit

TEXT = "你好 👋"


class Colour(enum.Enum):
    """Some colours."""

    RED = "红"
    GREEN = "绿"


class Tree(BaseModel):
    """A type that holds its own kind."""

    name: str
    parent: Tree | None
    children: list[Tree]


class Cat(BaseModel):
    """One kind of pet."""

    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=2, le=9)]


class Dog(BaseModel):
    """Another."""

    kind: Literal["dog"]
    weight: Annotated[float, Field(gt=0, lt=1)]


class Everything(BaseModel):
    """A field of every sort."""

    text: str
    short: Annotated[str, Field(max_length=2)]
    long: Annotated[str, Field(min_length=30)]
    shape: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    whole: int
    part: float
    tens: Annotated[int, Field(multiple_of=10)]
    high: Annotated[int, Field(gt=41)]
    below: Annotated[float, Field(lt=-3)]
    switch: bool
    nothing: None
    colour: Colour
    day: dt.date
    moment: dt.datetime
    name: uuid.UUID
    pets: Annotated[list[Cat | Dog], Field(min_length=2)]
    pair: tuple[int, str]
    names: Annotated[set[str], Field(min_length=3)]
    map: dict[str, int]
    tree: Tree
    maybe: int | None = None


@pytest.mark.parametrize(
    "wanted", [Everything, Tree, Cat, Dog, Cat | Dog, Dog | None, list[Tree], int, Colour]
)
@pytest.mark.parametrize("text", ["", TEXT, "Hello 👋 " * 40])
def test_a_value_fits_the_schema_of_its_type(wanted: Any, text: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(wanted)
    value = fit(adapter.json_schema(), text)
    adapter.validate_json(orjson.dumps(value), strict=True)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, TEXT),
        ({"type": "STRING"}, TEXT),
        ({}, TEXT),
        (True, TEXT),
        (None, TEXT),
        ({"const": 7}, 7),
        ({"enum": ["乙", "甲"]}, "乙"),
        ({"type": ["null", "integer"]}, 1),
        ({"type": "null"}, None),
        ({"type": "array", "items": {"type": "number"}, "minItems": 2}, [1.5, 1.5]),
        ({"type": "array", "items": {"type": "integer"}}, []),
        ({"prefixItems": [{"const": 1}], "minItems": 2, "items": {"const": 2}}, [1, 2]),
        ({"items": {}, "minItems": 2, "uniqueItems": True}, [TEXT, f"{TEXT}1"]),
        ({"type": "integer", "minimum": 5, "maximum": 9}, 5),
        ({"type": "integer", "exclusiveMaximum": 0}, -1),
        ({"type": "integer", "minimum": 5, "multipleOf": 4}, 8),
        ({"type": "number", "exclusiveMinimum": 2}, 2.5),
        ({"type": "string", "pattern": "^[A-Z]{2}$"}, "AA"),
        ({"type": "string", "pattern": "^nobody can make this$"}, TEXT),
        ({"type": "string", "pattern": "("}, TEXT),
        ({"required": ["a"], "type": "object", "additionalProperties": {"const": 1}}, {"a": 1}),
        ({"allOf": [{"properties": {"a": {"const": 1}}}, {"required": ["a"]}]}, {"a": 1}),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": "好"}}}, "好"),
        ({"$ref": "#/$defs/nowhere"}, TEXT),
        (
            {"properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}},
            {"next": None},
        ),
        ({"properties": {"next": {"$ref": "#"}}}, {}),
        ({"properties": {"next": {"$ref": "#"}}, "required": ["next"]}, None),
        ({"anyOf": [{"$ref": "#"}]}, None),
    ],
)
def test_small_schemas(schema: Any, value: Any) -> None:
    assert fit(schema, TEXT) == value


@pytest.mark.parametrize("protocol", ["chat", "responses", "messages", "gemini"])
async def test_our_own_client_gets_its_type(gate: TokenGate, protocol: Any) -> None:
    models = {
        "chat": "gpt-5",
        "responses": "gpt-5",
        "messages": "claude-sonnet-4-6",
        "gemini": "gemini-3-flash-preview",
    }
    reply = await gate.chat(
        models[protocol], TEXT, protocol=protocol, response_type=Tree, max_tokens=4_000
    )
    assert reply.parsed == Tree(name=TEXT, parent=None, children=[])


def test_what_is_no_schema_is_answered_with_the_text() -> None:
    assert fit("no schema", TEXT) == TEXT
    assert fit({"allOf": 7}, TEXT) == TEXT


def test_items_are_told_apart_as_far_as_they_can_be() -> None:
    numbers = {"items": {"const": 1}, "minItems": 2, "uniqueItems": True}
    objects = {"items": {"const": {}}, "minItems": 2, "uniqueItems": True}
    assert fit(numbers, TEXT) == [1, 2]
    assert fit(objects, TEXT) == [{}, {}]
