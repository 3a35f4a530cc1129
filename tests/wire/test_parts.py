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
