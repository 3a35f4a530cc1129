"""JSON in pieces: at every cut a part of the whole, at the end all of it."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiotokengate._wire.partial import NOTHING, PartialJson

VALUE: dict[str, Any] = {
    "名字": "小猫 🐱",
    "n": -1.5e3,
    "yes": True,
    "no": None,
    "list": [1, 'two\n"2"', [], {}, {"a": ["ü", "\\"]}],
    "": {"深": {"更深": [[["🌊"]]]}},
}
LINES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def fed(*pieces: str) -> PartialJson:
    partial = PartialJson()
    for piece in pieces:
        partial.feed(piece)
    return partial


def is_part(part: Any, whole: Any) -> bool:
    """Whether something can grow into the whole by what is still to come."""
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(key in whole and is_part(part[key], whole[key]) for key in part)
    if isinstance(whole, list) and isinstance(part, list):
        return len(part) <= len(whole) and all(map(is_part, part, whole))
    if isinstance(whole, str) and isinstance(part, str):
        return whole.startswith(part)
    return bool(part == whole)


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("indent", [None, 2])
def test_at_every_cut_a_part_of_the_whole(escaped: bool, indent: int | None) -> None:
    text = json.dumps(VALUE, ensure_ascii=escaped, indent=indent)
    for cut in range(len(text) + 1):
        partial = fed(text[:cut])
        assert partial.value is NOTHING if cut == 0 else is_part(partial.value, VALUE)
        partial.feed(text[cut:])
        assert partial.value == VALUE
        assert partial.whole


@pytest.mark.unmeasured
@settings(max_examples=60)
@given(st.dictionaries(st.text(), LINES) | st.lists(LINES), st.booleans(), st.integers(1, 7))
def test_one_by_one_and_looked_at_each_time(value: Any, escaped: bool, size: int) -> None:
    text = json.dumps(value, ensure_ascii=escaped)
    partial = PartialJson()
    for start in range(0, len(text), size):
        partial.feed(text[start : start + size])
        assert is_part(partial.value, value)
    assert partial.value == value
    assert partial.whole


def test_what_stands_around_it_is_passed_over() -> None:
    partial = fed("好的 👌：\n```json\n", '{"a": 1}', "\n```\n完。{[")
    assert (partial.value, partial.whole, partial.broken) == ({"a": 1}, True, False)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"a": 1, oops', {"a": 1}),
        ('{"a": 1 "b": 2}', {"a": 1}),
        ("[1, tru, 3]", [1]),
        ('{"a" 1}', {}),
        ("[1}", [1]),
        ("[!]", []),
        ('{"a": }', {}),
    ],
)
def test_where_it_is_no_json_it_stops(text: str, left: Any) -> None:
    partial = fed(text, '"more"')
    assert partial.broken
    assert partial.value == left


def test_line_ends_inside_strings_are_taken() -> None:
    """Models write them, though JSON wants them escaped."""
    assert fed('{"诗": "一\n二"}').value == {"诗": "一\n二"}
    assert fed('{"诗": "一\n\\"二\\""}').value == {"诗": '一\n"二"'}


def test_what_was_read_is_not_read_again() -> None:
    """A look after each piece of a long string reads that piece, and not all of the string."""
    partial = fed('{"文": "')
    for count in range(1, 500):
        partial.feed('好\\n\\ud83d\\ude00 "'[:-1] + "\\ud83d")
        partial.feed("\\ude00")
        assert partial.value == {"文": "好\n😀 😀" * count}
        assert sum(map(len, partial._raw)) == 0
    partial.feed('"}')
    assert partial.whole
    assert partial.value == {"文": "好\n😀 😀" * 499}


def test_the_same_containers_grow() -> None:
    partial = fed('{"a": [1, "你')
    before = partial.value
    assert before == {"a": [1, "你"]}
    partial.feed('好", 2')
    assert partial.value is before
    partial.feed("]}")
    assert before == {"a": [1, "你好", 2]} == orjson.loads('{"a": [1, "你好", 2]}')


def test_how_far_a_value_is() -> None:
    json = PartialJson()
    assert (json.begun, json.in_string, json.value) == (False, False, NOTHING)
    json.feed('{"题目')
    assert (json.begun, json.in_string, json.value) == (True, True, {})
    json.feed('": "a\\')
    assert (json.in_string, json.value) == (False, {"题目": "a"})
    json.feed('u4f60" }')
    assert (json.whole, json.value) == (True, {"题目": "a你"})


@pytest.mark.parametrize("text", ['{"a"x', '{"a" , 1}', "[1 2", "[" * 2_000])
def test_what_breaks_stays_broken(text: str) -> None:
    json = PartialJson()
    json.feed(text)
    json.feed("1]}")
    assert (json.broken, json.whole) == (True, False)


def test_an_escape_that_is_none_is_read_around() -> None:
    json = PartialJson()
    json.feed('["a\\qb\\n"]')
    assert json.whole
    assert json.value[0].endswith("b\n")
