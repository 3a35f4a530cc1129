"""OpenAI's own form, from which all other dialects differ."""

from typing import Any

import pytest

from aiotokengate.testing import Call
from aiotokengate.testing._dialects import Exchange, Producer, arguments_text
from tests.support.bare_client import Client
from tests.support.dialects import (
    A,
    called_in,
    deltas_of,
    plain_message,
    usage_place,
)

DELTAS: dict[str, list[Any]] = {
    "gpt-5": [{**A, "content": None}, {"content": "好"}, {"content": "😊"}, {}],
    "a model that nobody knows": [
        {**A, "content": None},
        {"content": "好"},
        {"content": "😊"},
        {},
    ],
}


@pytest.mark.parametrize("model", DELTAS)
async def test_each_dialect_shapes_its_deltas(client: Client, model: str) -> None:
    assert await deltas_of(client, model) == DELTAS[model]


USAGE_PLACES: dict[str, str] = {
    "gpt-5": "alone",
}


@pytest.mark.parametrize("model", USAGE_PLACES)
async def test_usage_comes_last_and_where_the_dialect_puts_it(client: Client, model: str) -> None:
    assert await usage_place(client, model) == USAGE_PLACES[model]


PLAIN: dict[str, Any] = {
    "gpt-5": {**A, "content": "好😊"},
}


@pytest.mark.parametrize("model", PLAIN)
async def test_each_dialect_shapes_its_plain_message(client: Client, model: str) -> None:
    assert await plain_message(client, model) == PLAIN[model]


TOOL_PIECES: dict[str, list[Any]] = {
    "gpt-5": [
        {"index": 0, "id": "call_1", "type": "function"},
        {"index": 0},
        {"index": 0},
    ],
}


@pytest.mark.parametrize("model", TOOL_PIECES)
async def test_each_dialect_shapes_its_tool_calls(client: Client, model: str) -> None:
    assert await called_in(client, model) == TOOL_PIECES[model]


async def test_openai_pads_its_chunks_unless_told_not_to(client: Client) -> None:
    padded = await client.frames(model="gpt-5")
    bare = await client.frames(model="gpt-5", stream_options={"include_obfuscation": False})
    assert all("obfuscation" in frame for frame in padded)
    assert not any("obfuscation" in frame for frame in bare)


def test_an_exchange_has_the_same_ids_again() -> None:
    exchange = Exchange(serial=7, created=0, model="m")
    assert exchange.uuid() == exchange.uuid()
    assert [len(part) for part in exchange.uuid().split("-")] == [8, 4, 4, 4, 12]
    assert exchange.uuid()[14] == "4"


def test_arguments_are_sent_as_text() -> None:
    assert arguments_text(Call("f", {"city": "北京"})) == '{"city":"北京"}'
    assert arguments_text(Call("f", "{")) == "{"


def test_a_plain_answer_holds_what_was_thought_and_called() -> None:
    dialect = Producer(Exchange(serial=7, created=0, model="m"))
    message = dialect.message("想", "好", [Call("f", "{}", id="c")])
    assert message["content"] == "好"
    assert message["tool_calls"][0]["id"] == "c"
