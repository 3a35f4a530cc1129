"""How far a JSON text has come, whatever pieces it comes in."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiotokengate._wire.extent import Extent

VALUES = st.dictionaries(
    st.text(),
    st.recursive(
        st.none() | st.integers() | st.text() | st.sampled_from(["\\", '"', "}\n{", '\\"{', "🐱"]),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
)


def fed(*pieces: str) -> Extent:
    extent = Extent()
    for piece in pieces:
        extent.feed(piece)
    return extent


@settings(max_examples=50)
@given(VALUES, st.booleans(), st.integers(1, 5))
def test_a_text_is_over_with_its_last_bracket(value: Any, escaped: bool, size: int) -> None:
    """No beginning of an object is over, and the object is; brackets in strings are none."""
    text = json.dumps(value, ensure_ascii=escaped)
    extent = Extent()
    for at in range(0, len(text), size):
        assert not extent.over
        extent.feed(text[at : at + size])
    assert extent.over
    assert not any(fed(text[:cut]).over for cut in range(len(text)))


def as_models_write(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("\\n", "\n").replace("\\t", "\t")


@given(
    st.dictionaries(st.text('a\n\t"{好', max_size=5), st.text('b\n\t"}🐱', max_size=9)), st.data()
)
def test_control_characters_in_strings_are_escaped(value: Any, data: st.DataObject) -> None:
    """What a model has written with raw line ends is JSON then, wherever it was cut."""
    text = as_models_write(value)
    cut = data.draw(st.integers(0, len(text)))
    first, rest = text[:cut], text[cut:]
    extent = Extent()
    made = extent.escaped(first)
    extent.feed(made)
    made += extent.escaped(rest)
    assert orjson.loads(made) == value


def test_control_characters_outside_and_behind_a_backslash_stay() -> None:
    """White space between values is left alone, and a broken escape is not made a whole one."""
    assert Extent().escaped('{\n"a\n": "\\\n"\t}') == '{\n"a\\u000a": "\\\n"\t}'
    assert fed('["\\').escaped('\n\n"]') == '\n\\u000a"]'


@pytest.mark.parametrize("code", range(32))
def test_each_control_character(code: int) -> None:
    raw, escape = chr(code), f"\\u{code:04x}"
    assert Extent().escaped(f'{{{raw}"a{raw}b{raw}"{raw}:"{raw}"}}') == (
        f'{{{raw}"a{escape}b{escape}"{raw}:"{escape}"}}'
    )
    assert Extent().escaped(f'"\\{raw}"') == f'"\\{raw}"'
    assert fed('"\\').escaped(f'{raw}{raw}"') == f'{raw}{escape}"'


def test_text_beyond_controls_stays_as_it_is() -> None:
    """Escapes, spaces, and what is beyond ASCII."""
    text = '{" \\\\": "\\"\\n\x7f\x80 好👋", "": []}'
    assert Extent().escaped(text) == text
    assert fed('["').escaped("") == ""


@pytest.mark.parametrize(
    ("pieces", "over"),
    [
        *(((), False), (("",), False), ((" ",), False), (("1",), False), (("[",), False)),
        *((("[]",), True), (("{}",), True), (("]",), True), (("[", "", "]"), True)),
        *((("{[", "]"), False), (("{[", "]}"), True), (('["]"',), False), (('["', ']"]'), True)),
        *((('["\\', '"]'), False), (('["\\', '"]"]'), True), (('["\\\\', '"]'), True)),
        ((('["\\"', ']"]')), True),
    ],
    ids=repr,
)
def test_where_a_text_is_over(pieces: tuple[str, ...], over: bool) -> None:
    """With its last bracket, not with one inside a string."""
    assert fed(*pieces).over is over
