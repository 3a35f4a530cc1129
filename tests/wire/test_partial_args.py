"""Arguments that come value by value, each with its path."""

from __future__ import annotations

from typing import Any

import pytest

from aiotokengate._wire.partial_args import PartialArgs


def made_of(*pieces: object, given: dict[str, Any] | None = None) -> PartialArgs:
    args = PartialArgs(given)
    for piece in pieces:
        args.take(piece)
    return args


def at(path: object, text: object = None, **more: object) -> dict[str, Any]:
    return {"jsonPath": path, **({} if text is None else {"stringValue": text}), **more}


@pytest.mark.parametrize(
    ("pieces", "value"),
    [
        ([at("$.甲", "上", willContinue=True), at("$.甲", "海 🌃")], {"甲": "上海 🌃"}),
        ([at("$.a.b[0].c", "x"), at("$.a.b[1].c", "y")], {"a": {"b": [{"c": "x"}, {"c": "y"}]}}),
        ([at("$['a b']", "x"), at('$["c.d"]', "y")], {"a b": "x", "c.d": "y"}),
        ([at(r"$['it\'s']", "x")], {"it's": "x"}),
        ([at("$.n", numberValue=1.5), at("$.b", boolValue=False)], {"n": 1.5, "b": False}),
        ([at("$.n", numberValue=0), at("$.z", nullValue="NULL_VALUE")], {"n": 0, "z": None}),
        ([at("$.l[]")], {"l": []}),
        ([at("$.l[0]", "x"), at("$.l[]")], {"l": ["x"]}),
        ([at("$.l[]", "x"), at("$.l[]", numberValue=2)], {"l": ["x", 2]}),
        ([at("$.o"), at("$")], {"o": {}}),
        ([at("$.o.p", "x"), at("$.o")], {"o": {"p": "x"}}),
        ([at("$.l[2]", "x")], {"l": [None, None, "x"]}),
        ([at("$.a", "\ud83c"), at("$.a", "\udf38")], {"a": "🌸"}),
        ([at("$.l[]", "x"), at("$.l[]", "y")], {"l": ["xy"]}),
        ([at("$.l[0].a", "x"), at("$.l[0].a", "y")], {"l": [{"a": "xy"}]}),
        ([at("$.l[0].a", "x"), at("$.l[0].b", "y")], {"l": [{"a": "x", "b": "y"}]}),
        ([at("$.m[0][1]", numberValue=7)], {"m": [[None, 7]]}),
    ],
)
def test_values_are_put_where_their_paths_say(pieces: list[Any], value: object) -> None:
    args = made_of(*pieces)
    assert args.value == value
    assert args.value is args.value
    assert not args.broken


def test_they_go_on_with_arguments_that_were_there() -> None:
    assert made_of(at("$.a", "尔滨"), given={"a": "哈", "n": 1}).value == {"a": "哈尔滨", "n": 1}


@pytest.mark.parametrize(
    "piece",
    [
        *(
            None,
            7,
            {},
            at(7, "x"),
            at("", "x"),
            at("a.b", "x"),
            at("$..a", "x"),
            at("$.a[*]", "x"),
        ),
        *(at("$", "x"), at("$[0]", "x"), at("$.a[9999999]", "x"), at("$.a[99999]", "x")),
        *(at("$.a['x", "x"), at("$.a" * 200, "x"), at("$.s[0]", "x"), at("$[]", "x")),
    ],
    ids=repr,
)
def test_what_has_no_place_breaks_them(piece: object) -> None:
    args = made_of(at("$.s.t", "x"), piece)
    assert args.broken
    assert args.value["s"] == {"t": "x"}


def test_long_strings_take_time_by_their_length() -> None:
    args = made_of(*[at("$.文", "字" * 10)] * 20_000)
    assert len(args.value["文"]) == 200_000


def test_what_is_nested_too_deeply_breaks_them() -> None:
    deep: Any = 1
    for _ in range(3_000):
        deep = [deep]
    args = made_of(given={"a": deep})
    assert args.value == {}
    assert args.broken


def test_a_text_in_the_place_of_another_value() -> None:
    """A string of the arguments that were there is gone on with, a number is replaced."""
    args = made_of(at("$.n", numberValue=1), at("$.n", "一"), at("$.n", "二"))
    assert (args.value, args.broken) == ({"n": "一二"}, False)
