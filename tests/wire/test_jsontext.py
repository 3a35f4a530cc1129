"""JSON where orjson is stricter or looser than needed."""

import json
import math
import uuid
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate import CallerError
from aiotokengate._wire.jsontext import (
    dumps,
    index_of,
    is_deep,
    lenient,
    loads,
    mended,
    rejoined,
    same,
    written,
)

# --- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a":[1,"\xe4\xbd\xa0"]}', {"a": [1, "你"]}),
        (b" null\n", None),
        (b'"\\ud83d\\udc4b"', "👋"),
        (b'"a\\ud83d"', "a\ud83d"),
        (b"[Infinity,-Infinity]", [math.inf, -math.inf]),
        (b"[1e400]", [math.inf]),
        (b"\xef\xbb\xbf[1]", [1]),
    ],
    ids=repr,
)
def test_what_is_read(text: bytes, value: object) -> None:
    """All of JSON, and what vendors take for it."""
    assert loads(text) == value


def test_nan_is_read() -> None:
    """It comes in logprobs."""
    assert math.isnan(loads(b"NaN"))


@pytest.mark.parametrize("text", [b"", b"{", b"x", b"\xff", b'{"a":1}}', b"'a'"], ids=repr)
def test_what_is_no_json(text: bytes) -> None:
    """All else is a value error."""
    with pytest.raises(ValueError, match=r".+"):
        loads(text)


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": ["你", None]}, '{"a":["你",null]}'),
        ({"a": 10**30}, '{"a": 1000000000000000000000000000000}'),
        (deep(300), "[" * 301 + "]" * 301),
    ],
    ids=["plain", "big", "deep"],
)
def test_what_was_read_is_written_again(value: object, text: str) -> None:
    """Arguments that came as an object, whatever it holds."""
    assert written(value) == text


def test_what_is_nested_too_deeply_is_left_out() -> None:
    """A million levels are more than any parser reads."""
    assert written(deep(1_000_000)) == ""


def test_equality() -> None:
    """Numbers are compared with their type; of what is nested too deeply, nothing is known."""
    assert same({"a": [1]}, {"a": [1]})
    assert not same([1], [2])
    assert not same({"a": 1}, {"a": 1.0})
    assert not same([True], [1])
    assert not same(deep(1_000_000), deep(1_000_000))


# --- writing ------------------------------------------------------------------------------------


def inside_itself() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["a"] = [value]
    return value


class Thing:
    """Something that JSON does not know."""


FLAWS: dict[str, tuple[object, str]] = {
    "NaN": ({"a": [1, {"b": math.nan}]}, "a[1].b is nan, expected a finite number"),
    "Infinity": ({"a": -math.inf}, "a is -inf, expected a finite number"),
    "NaN behind null": ({"a": None, "b": (math.nan,)}, "b[0] is nan, expected a finite number"),
    "a lone surrogate": (
        {"a": ["秘密\ud83d"]},
        "a[0] holds a lone surrogate at character 2, expected Unicode text",
    ),
    "a set": ({"a": {1}}, "a is of type set, expected what JSON can hold"),
    "an object": ({"a": Thing()}, "a is of type Thing, expected what JSON can hold"),
    "bytes": ({"a": b"x"}, "a is of type bytes, expected what JSON can hold"),
    "a key that is no text": ({"a": {1: 2}}, "a.1 has a key of type int, expected str"),
    "a large integer": ({"a": 2**64}, "a is an integer beyond 64 bits"),
    "a small integer": ({"a": -(2**63) - 1}, "a is an integer beyond 64 bits"),
    "a set alone": ({1}, "the request is of type set, expected what JSON can hold"),
    "NaN alone": (math.nan, "the request is nan, expected a finite number"),
}


@pytest.mark.parametrize("case", FLAWS)
def test_what_is_no_json_is_named(case: str) -> None:
    """The error says where and what kind, and never shows the text."""
    value, message = FLAWS[case]
    with pytest.raises(CallerError) as raised:
        dumps(value)
    assert raised.value.message == message


@pytest.mark.parametrize("value", [1, math.nan])
@pytest.mark.parametrize("key", ["\ud83d", "键\udc4b"], ids=ascii)
def test_a_key_with_a_lone_surrogate(key: str, value: float) -> None:
    """Keys are text, too, and the error can be printed."""
    with pytest.raises(CallerError) as raised:
        dumps({"a": {key: value}})
    assert str(raised.value).encode()


@pytest.mark.parametrize("value", [inside_itself(), deep(300)], ids=["itself", "deep"])
def test_what_has_no_end(value: object) -> None:
    """A value that contains itself is refused, and so is one that no parser would take."""
    with pytest.raises(CallerError, match="nested too deeply, or contains itself"):
        dumps(value)


def test_the_name_of_the_whole() -> None:
    """The path begins with what the value is called."""
    with pytest.raises(CallerError, match=r"^messages\[1\]\.content is nan"):
        dumps([{}, {"content": math.nan}], path="messages")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": None, "b": [True, 1, 1.5, "你好 👋"]}, '{"a":null,"b":[true,1,1.5,"你好 👋"]}'),
        ({"a": (1, 2)}, '{"a":[1,2]}'),
        ({"a": 2**64 - 1, "b": -(2**63)}, '{"a":18446744073709551615,"b":-9223372036854775808}'),
        ({"null": "null"}, '{"null":"null"}'),
    ],
    ids=["all kinds", "a tuple", "the largest integers", "null as text"],
)
def test_what_is_written(value: object, text: str) -> None:
    """Compact, and UTF-8."""
    assert dumps(value) == text.encode()


@attrs.define
class Value:
    """Something that JSON might take for an object."""

    a: int = 1


NEIGHBOURS = [datetime(2026, 5, 25, tzinfo=UTC), uuid.UUID(int=7), Fraction(1, 2), Value()]


@pytest.mark.parametrize("value", NEIGHBOURS, ids=lambda value: type(value).__name__)
def test_a_verdict_does_not_depend_on_the_neighbours(value: object) -> None:
    """A value is JSON or it is not, whatever stands beside it."""
    assert accepted({"a": value}) == accepted({"a": value, "b": None})


def accepted(value: object) -> bool:
    try:
        return bool(dumps(value))
    except CallerError:
        return False


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(json_values)
def test_there_and_back(value: object) -> None:
    """What is written is read as it was, by anybody."""
    text = dumps(value)
    assert loads(text) == value
    assert json.loads(text) == value


# --- what vendors cut, and nest -----------------------------------------------------------------


def test_a_frame_is_read_beside_the_letter_of_json() -> None:
    """Raw control characters count, and bytes that are no text are kept for later."""
    assert lenient(b'{"a":"x\ny\xe4\xbd"}') == {"a": "x\ny\udce4\udcbd"}
    with pytest.raises(ValueError, match=r".+"):
        lenient(b"{")


@pytest.mark.parametrize(
    ("text", "whole", "half"),
    [
        ("plain", "plain", ""),
        ("你好", "你好", ""),
        ("好\ud83d", "好", "\ud83d"),
        ("\ud83d\udc4b", "👋", ""),
        ("\udce4\udcbd\udca0", "你", ""),
        ("\udce4\udcbd", "", "\udce4\udcbd"),
        ("a\udc4b", "a\ufffd", ""),
        ("\udce4\ud83d", "\ufffd", "\ud83d"),
        ("\ud83dx", "\ufffdx", ""),
    ],
    ids=ascii,
)
def test_halves_of_characters_are_joined(text: str, whole: str, half: str) -> None:
    """A first half at the end may still find its other half."""
    assert rejoined(text) == (whole, half)


def test_a_value_is_mended_but_for_its_texts() -> None:
    value = {"content": "a\ud83d", "names": ["b\ud83d", 1, "c"], "k\ud83d": None}
    assert mended(value, frozenset(("content",))) == {
        "content": "a\ud83d",
        "names": ["b\ufffd", 1, "c"],
        "k\ufffd": None,
    }


def test_what_is_nested_too_deeply_is_known() -> None:
    assert not is_deep(1)
    assert not is_deep({"a": [{}]}, b'{"a":[{}]}')
    assert not is_deep(deep(190), b"[" * 300)
    assert is_deep(deep(200))
    assert is_deep({"a": deep(300)}, b"[" * 301)


@pytest.mark.parametrize(
    ("value", "index"), [(3, 3), ("3", 3), ("1234567890", None), ("x", None), (True, None)]
)
def test_an_index_may_be_written_as_text(value: object, index: int | None) -> None:
    assert index_of(value) == index


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("items", [1, 400, 2_000])
def test_a_number_that_json_lacks_is_found_in_a_long_request(number: float, items: int) -> None:
    """Wherever it stands, behind whatever text, and however many values there are."""
    for place in {0, items // 2, items - 1}:
        values: list[object] = [{"text": "天气 🌤" * 30, "n": None, "t": 0.5}] * items
        values[place] = {"text": "长" * 20_000, "deep": ({"t": number},)}
        with pytest.raises(CallerError, match=rf"x\[{place}\]\.deep\[0\]\.t is (nan|-?inf), exp"):
            dumps(values, path="x")
    assert dumps([{"text": "null" * 9_000, "t": 0.5, "n": None}] * items)


def test_a_long_request_may_hold_what_orjson_knows() -> None:
    long = {"at": datetime(2026, 12, 1, tzinfo=UTC), "text": "null 长" * 5_000}
    assert orjson.loads(dumps(long))["at"] == "2026-12-01T00:00:00+00:00"


def test_how_deep_json_may_be() -> None:
    """The brackets of its text say at once of most that they are not."""
    assert not is_deep(deep(300), b"[" * 100 + b"{" * 100)
    assert is_deep(deep(300), b"[" * 100 + b"{" * 101)


@pytest.mark.parametrize(("depth", "reason"), [(200, "is of type object"), (201, "too deeply")])
def test_how_deep_a_flaw_is_looked_for(depth: int, reason: str) -> None:
    value: Any = object()
    for _ in range(depth):
        value = [value]
    with pytest.raises(CallerError, match=reason):
        dumps(value)


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        *(("a\ud800", ("a", "\ud800")), ("a\udbff", ("a", "\udbff"))),
        *(("a\udc00", ("a\ufffd", "")), ("a\udfff", ("a\ufffd", ""))),
        *(("a\ud7ff", ("a\ud7ff", "")), ("", ("", "")), ("👋", ("👋", ""))),
        ("\ud83d\udc4b\ud83d", ("👋", "\ud83d")),
    ],
    ids=ascii,
)
def test_the_half_that_ends_a_text(text: str, joined: tuple[str, str]) -> None:
    """A first half may go on; a second one alone is lost."""
    assert rejoined(text) == joined


def test_numbers_beyond_64_bits_are_written_beside_text() -> None:
    assert written({"数": 2**70}) == '{"数": 1180591620717411303424}'
