"""Messages taken apart, for the protocols that have another form."""

from typing import Any

import pytest

from aiotokengate import CallerError
from aiotokengate._wire.parts import (
    add_turn,
    call_arguments,
    data_uri,
    is_system,
    last_user_turn,
    parts_in,
    tool_calls_in,
)

USER: dict[str, Any] = {"role": "user", "content": "你好"}
CALL: dict[str, Any] = {"id": "c", "function": {"name": "f", "arguments": '{"x": 1}'}}


def test_who_speaks() -> None:
    assert is_system({"role": "developer"})
    assert is_system({"role": "system"})
    assert not is_system(USER)
    assert last_user_turn([USER, USER, {"role": "assistant"}]) == 1
    assert last_user_turn([{"role": "assistant"}]) == -1


def test_the_calls_of_a_message() -> None:
    assert tool_calls_in({"tool_calls": [CALL, "odd", None]}) == [CALL]
    assert tool_calls_in({"tool_calls": "odd"}) == tool_calls_in({}) == []


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("你好", [({"type": "text", "text": "你好"}, "m")]),
        ("", []),
        (None, []),
        (7, []),
        (
            ["一", {"type": "image_url"}],
            [
                ({"type": "text", "text": "一"}, "m.content[0]"),
                ({"type": "image_url"}, "m.content[1]"),
            ],
        ),
    ],
)
def test_the_parts_of_a_content_have_their_places(content: object, parts: list[Any]) -> None:
    assert list(parts_in(content, "m")) == parts


def test_what_is_no_part_is_named() -> None:
    with pytest.raises(CallerError, match=r"expected m.content\[1\] as a content part, got int"):
        list(parts_in(["a", 7], "m"))


@pytest.mark.parametrize(
    ("url", "inline"),
    [
        ("data:image/png;base64,AAEC", ("image/png", "AAEC")),
        ("data:;base64,AAEC", ("", "AAEC")),
        ("data:image/png", None),
        ("https://e.com/a,b.png", None),
    ],
)
def test_an_address_that_holds_its_data(url: str, inline: tuple[str, str] | None) -> None:
    assert data_uri(url) == inline


def test_the_arguments_of_a_call() -> None:
    assert call_arguments(CALL, "m") == {"x": 1}
    assert call_arguments({}, "m") == call_arguments({"function": {"arguments": ""}}, "m") == {}
    with pytest.raises(CallerError, match="expected JSON as arguments of a tool call in m"):
        call_arguments({"function": {"arguments": "{"}}, "m")


def test_neighbours_of_one_role_are_one_turn() -> None:
    turns: list[dict[str, Any]] = []
    for role, parts in (("user", ["a"]), ("user", ["b"]), ("model", []), ("model", ["c"])):
        add_turn(turns, role, "parts", list(parts))
    assert turns == [{"role": "user", "parts": ["a", "b"]}, {"role": "model", "parts": ["c"]}]


def test_roles_that_are_none() -> None:
    assert not is_system({})
    assert last_user_turn([]) == -1
    assert last_user_turn([{}, USER, {"role": "tool"}, {"role": "system"}]) == 1


def test_calls_may_stand_in_a_tuple() -> None:
    assert tool_calls_in({"tool_calls": (CALL, 7, CALL)}) == [CALL, CALL]


def test_parts_may_stand_in_a_tuple_and_may_be_empty() -> None:
    assert list(parts_in(("", {}), "messages[3]")) == [
        ({"type": "text", "text": ""}, "messages[3].content[0]"),
        ({}, "messages[3].content[1]"),
    ]


def test_data_with_commas_and_without() -> None:
    assert data_uri("data:text/plain,a,b") == ("text/plain", "a,b")
    assert data_uri("data:text/plain;charset=utf-8;base64,AA") == ("text/plain", "AA")
    assert data_uri("data:,") == ("", "")
    assert data_uri("") is None


def test_arguments_that_are_no_json_are_named_with_the_reason() -> None:
    with pytest.raises(CallerError) as raised:
        call_arguments({"function": {"arguments": "{,"}}, "messages[3]")
    text = str(raised.value)
    assert text.startswith("expected JSON as arguments of a tool call in messages[3], got ")
    assert raised.value.__suppress_context__
    assert call_arguments({"function": {"arguments": "[1]"}}, "m") == [1]


def test_a_turn_of_another_role_is_another_turn() -> None:
    turns: list[dict[str, Any]] = [{"role": "user", "content": ["a"]}]
    add_turn(turns, "model", "content", [])
    add_turn(turns, "user", "content", [])
    add_turn(turns, "model", "content", ["b"])
    add_turn(turns, "user", "content", ["c"])
    assert turns == [
        {"role": "user", "content": ["a"]},
        {"role": "model", "content": ["b"]},
        {"role": "user", "content": ["c"]},
    ]
