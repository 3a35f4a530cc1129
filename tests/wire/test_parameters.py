"""Parameters said in the names of another protocol."""

from typing import Any

import pytest

from aiotokengate import CallerError
from aiotokengate._wire.parameters import (
    ParameterTable,
    check_one_choice,
    most_tokens,
    put_within,
    with_extras,
)
from aiotokengate._wire.question import Question


def put_stop(body: dict[str, Any], stop: Any) -> None:
    put_within(body, "config", stops=[stop])


def test_a_table_puts_what_the_protocol_knows() -> None:
    """Names change, values may; what is said elsewhere is silent, the rest is noted."""
    table = ParameterTable({"top_p": "topP"}, {"stop": put_stop}, silent=("n",))
    body: dict[str, Any] = {"model": "m"}
    notes = table.put(body, {"top_p": 0.5, "stop": "。", "n": 1, "seed": 7})
    assert body == {"model": "m", "topP": 0.5, "config": {"stops": ["。"]}}
    assert notes == ["parameter 'seed' is not part of this protocol and was left out"]


def test_names_may_belong_in_an_object_of_the_body() -> None:
    """It is shared with what other functions put there, and missing where nothing is."""
    table = ParameterTable({"top_p": "topP"}, {"stop": put_stop}, (), within="config")
    body: dict[str, Any] = {}
    assert table.put(body, {"stop": "。", "top_p": 0.5}) == []
    assert body == {"config": {"stops": ["。"], "topP": 0.5}}
    assert table.put(nothing := dict[str, Any](), {}) == []
    assert nothing == {}


def test_a_field_of_any_name_is_put_within() -> None:
    body: dict[str, Any] = {"tool_choice": {"type": "auto"}}
    put_within(body, "tool_choice", type="tool", name="f", body=1)
    assert body == {"tool_choice": {"type": "tool", "name": "f", "body": 1}}


def test_several_choices_are_refused() -> None:
    check_one_choice({"n": 1}, "Messages")
    with pytest.raises(CallerError, match="expected n=1 over Messages, got 2"):
        check_one_choice({"n": 2}, "Messages")


@pytest.mark.parametrize(
    ("given", "most"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7, "max_tokens": 5}, 7),
    ],
)
def test_the_limit_of_the_reply_has_two_names(given: dict[str, Any], most: int | None) -> None:
    assert most_tokens(given) == most


def test_extras_go_over_the_body_in_their_order() -> None:
    question = Question("m", [], extra_body=({"a": {"b": 1}}, None, {"a": {"c": 2}, "d": 3}))
    assert with_extras({"a": {"b": 0}, "d": 0}, question) == {"a": {"b": 1, "c": 2}, "d": 3}


def test_zero_counts_as_no_limit_and_one_choice_is_the_usual() -> None:
    assert most_tokens({"max_completion_tokens": 0, "max_tokens": 5}) == 5
    assert most_tokens({"max_completion_tokens": 7}) == 7
    check_one_choice({}, "Messages")
    for number in (0, "1"):
        with pytest.raises(CallerError) as raised:
            check_one_choice({"n": number}, "Gemini")
        assert str(raised.value) == f"expected n=1 over Gemini, got {number!r}"
