"""Ids of calls in a history that goes to Mistral."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from aiotokengate._wire.fitting import fitted
from aiotokengate._wire.protocols import find_protocol
from aiotokengate._wire.question import Question
from aiotokengate._wire.short_ids import with_short_ids
from aiotokengate.catalogue import CATALOGUE

ASKED = {"role": "user", "content": "天气？ 🌦️"}


def sent(model: str, *ids: Any) -> list[dict[str, Any]]:
    function = {"name": "f", "arguments": "{}"}
    calls = [{"id": own, "type": "function", "function": function} for own in ids]
    results = [{"role": "tool", "tool_call_id": own, "content": "晴 ☀️"} for own in ids]
    turn = {"role": "assistant", "content": None, "tool_calls": calls}
    question = Question(model, [ASKED, turn, *results], row=CATALOGUE.find(model))
    body = find_protocol("chat").encode(fitted(question, "chat")).body
    told: list[dict[str, Any]] = orjson.loads(body)["messages"]
    return told


@pytest.mark.parametrize("model", ["mistral-large-latest", "mistralai/Devstral-2", "open-mixtral"])
def test_ids_have_nine_letters_or_digits(model: str) -> None:
    _, turn, *results = sent(model, "call_1", "functions.f:0", "aB3dE6gH9", "工具")
    ids = [call["id"] for call in turn["tool_calls"]]
    assert all(re.fullmatch("[A-Za-z0-9]{9}", own) for own in ids)
    assert len(set(ids)) == len(ids)
    assert ids[2] == "aB3dE6gH9"
    assert [result["tool_call_id"] for result in results] == ids
    assert sent(model, "call_1")[1]["tool_calls"][0]["id"] == ids[0]


@pytest.mark.parametrize("model", ["gpt-5.2", "glm-5.2", "dolphin-mistral", "austral-1"])
def test_ids_go_to_others_as_they_came(model: str) -> None:
    _, turn, result = sent(model, "call_1")
    assert (turn["tool_calls"][0]["id"], result["tool_call_id"]) == ("call_1", "call_1")


def test_odd_calls_raise_nothing() -> None:
    assert sent("mistral-small", 7, None)[1]["tool_calls"][0]["id"] == 7


def test_an_id_is_the_beginning_of_its_hash() -> None:
    """The same in every process, also of half a character."""
    for own, short in [
        ("call_1", "74196fe72"),
        ("\ud83d", "7586f70fb"),
        ("aB3dE6gH9x", "42b543156"),
    ]:
        call = {"id": own, "type": "function"}
        messages: list[dict[str, Any]] = [
            {"role": "assistant", "tool_calls": [call, 7]},
            {"role": "assistant", "tool_calls": (call,)},
            {"role": "tool", "tool_call_id": own, "content": "晴"},
        ]
        assert with_short_ids(messages) == [
            {"role": "assistant", "tool_calls": [{"id": short, "type": "function"}, 7]},
            {"role": "assistant", "tool_calls": [{"id": short, "type": "function"}]},
            {"role": "tool", "tool_call_id": short, "content": "晴"},
        ]


@pytest.mark.parametrize("calls", ["call", {"id": "call_1"}, 7, [], None], ids=repr)
def test_a_message_without_calls_stays_as_it_is(calls: Any) -> None:
    message = {"role": "assistant", "tool_calls": calls, "tool_call_id": 7}
    assert with_short_ids([message])[0] is message
