"""Token counts in every vendor's words."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate._wire.usage import MOST_KEYS, has_counts, merged_counts, usage_of


def counts(raw: dict[str, Any]) -> tuple[int, int, int, int, int]:
    """Return prompt, completion, reasoning, cached and total."""
    usage = usage_of(raw)
    assert usage.extra == raw
    assert not usage.estimated
    prompt, completion, reasoning, cached, total, *_ = attrs.astuple(usage, recurse=False)
    return prompt, completion, reasoning, cached, total


ALL_NAMES = {
    "prompt_tokens": 288,
    "completion_tokens": 340,
    "total_tokens": 628,
    "input_tokens": 0,
    "output_tokens": 0,
    "prompt_tokens_details": {"cached_tokens": 287, "cache_write_tokens": 0, "text_tokens": 288},
    "completion_tokens_details": {"reasoning_tokens": 313, "accepted_prediction_tokens": 0},
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
    "prompt_cache_hit_tokens": 0,
    "prompt_cache_miss_tokens": 6,
    "reasoning_tokens": 0,
    "cost": 0.0006,
    "cost_details": {},
    "total_characters": 0,
}
BASE = {"prompt_tokens": 11, "completion_tokens": 218, "total_tokens": 229}

USAGES: dict[str, tuple[dict[str, Any], tuple[int, int, int, int, int]]] = {
    "nothing": ({}, (0, 0, 0, 0, 0)),
    "the three": (BASE, (11, 218, 0, 0, 229)),
    "all names at once": (ALL_NAMES, (288, 340, 313, 287, 628)),
    "Qwen": (
        BASE
        | {"completion_tokens_details": {"reasoning_tokens": 205}, "prompt_tokens_details": {}},
        (11, 218, 205, 0, 229),
    ),
    "DeepSeek": (
        BASE | {"prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 3},
        (11, 218, 0, 8, 229),
    ),
    "SGLang": (BASE | {"reasoning_tokens": 100}, (11, 218, 100, 0, 229)),
    "SGLang's zero": (BASE | {"reasoning_tokens": 0}, (11, 218, 0, 0, 229)),
    "xAI counts reasoning beside": (
        {"prompt_tokens": 288, "completion_tokens": 27, "total_tokens": 628}
        | {"completion_tokens_details": {"reasoning_tokens": 313}},
        (288, 340, 313, 0, 628),
    ),
    "xAI through new-api counts it inside": (
        {"prompt_tokens": 288, "completion_tokens": 340, "total_tokens": 628}
        | {"completion_tokens_details": {"reasoning_tokens": 313}},
        (288, 340, 313, 0, 628),
    ),
    "Gemini counts it beside": (
        {"prompt_tokens": 65, "completion_tokens": 16, "total_tokens": 175}
        | {"completion_tokens_details": {"reasoning_tokens": 94}},
        (65, 110, 94, 0, 175),
    ),
    "a total that fits neither": (
        {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 20}
        | {"completion_tokens_details": {"reasoning_tokens": 2}},
        (5, 3, 2, 0, 20),
    ),
    "no total, and reasoning": (
        {"prompt_tokens": 5, "completion_tokens": 3, "reasoning_tokens": 2},
        (5, 3, 2, 0, 8),
    ),
    "input and output": (
        {"input_tokens": 7, "output_tokens": 9, "input_tokens_details": {"cached_tokens": 2}}
        | {"output_tokens_details": {"reasoning_tokens": 4}},
        (7, 9, 4, 2, 16),
    ),
    "Anthropic's cache": ({"input_tokens": 7, "cache_read_input_tokens": 5}, (7, 0, 0, 5, 7)),
    "Anthropic's thinking": (
        {
            "input_tokens": 31,
            "output_tokens": 50,
            "output_tokens_details": {"thinking_tokens": 30},
        },
        (31, 50, 30, 0, 81),
    ),
    "Moonshot's cache": (BASE | {"cached_tokens": 5}, (11, 218, 0, 5, 229)),
    "what was written to a cache": (
        BASE | {"prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 6}},
        (11, 218, 0, 4, 229),
    ),
    "Anthropic's cache and thinking beside details that are empty": (
        {"output_tokens": 50, "completion_tokens_details": {}, "cache_read_input_tokens": 5}
        | {"output_tokens_details": {"thinking_tokens": 30}, "prompt_tokens_details": None}
        | {"input_tokens_details": {"cached_tokens": 0}},
        (0, 50, 30, 5, 50),
    ),
    "one of each": (
        {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 1, "reasoning_tokens": 1},
        (1, 1, 1, 0, 1),
    ),
    "input and output where the others are 0": (
        {"prompt_tokens": 0, "completion_tokens": 0, "input_tokens": 7, "output_tokens": 9},
        (7, 9, 0, 0, 16),
    ),
    "as much as can be": (
        {"prompt_tokens": 2**53, "completion_tokens": float(2**53), "total_tokens": 2**53},
        (2**53, 2**53, 0, 0, 2**53),
    ),
    "one more than can be": (
        {"prompt_tokens": 2**53 + 1, "completion_tokens": float(2**53 + 2), "input_tokens": 1}
        | {"output_tokens": 0.9, "total_tokens": 1.0},
        (1, 0, 0, 0, 1),
    ),
    "more than can be": (
        {"prompt_tokens": 10**400, "completion_tokens": 2**60, "total_tokens": 1e300}
        | {"completion_tokens_details": {"reasoning_tokens": 10**400}},
        (0, 0, 0, 0, 0),
    ),
    "details come first": (
        BASE | {"prompt_tokens_details": {"cached_tokens": 4}, "prompt_cache_hit_tokens": 8},
        (11, 218, 0, 4, 229),
    ),
    "nulls": (
        dict.fromkeys(ALL_NAMES) | {"prompt_tokens": 3, "completion_tokens": None},
        (3, 0, 0, 0, 3),
    ),
    "details that are none": (
        BASE | {"prompt_tokens_details": [], "completion_tokens_details": "x"},
        (11, 218, 0, 0, 229),
    ),
    "numbers with a point": ({"prompt_tokens": 3.0, "completion_tokens": 4.0}, (3, 4, 0, 0, 7)),
    "numbers that are none": (
        {
            "prompt_tokens": "3",
            "completion_tokens": -4,
            "total_tokens": True,
            "input_tokens": 1e999,
        },
        (0, 0, 0, 0, 0),
    ),
}


@pytest.mark.parametrize("vendor", USAGES)
def test_what_a_vendor_counts(vendor: str) -> None:
    """The same five counts, under whatever names; reasoning is a part of the completion."""
    raw, expected = USAGES[vendor]
    assert counts(raw) == expected


@pytest.mark.parametrize(
    ("raw", "any_count"),
    [
        ({}, False),
        ({"total_tokens": 0, "total_characters": 0}, False),
        ({"total_tokens": 1}, True),
        ({"prompt_tokens": 1}, True),
        ({"completion_tokens": 1}, True),
        ({"input_tokens": 1}, True),
        ({"output_tokens": 1}, True),
        (dict.fromkeys(ALL_NAMES), False),
    ],
)
def test_placeholders_count_nothing(raw: dict[str, Any], any_count: bool) -> None:
    """Zeros and nulls stand where a count will be."""
    assert has_counts(raw) is any_count


STARTED = {"input_tokens": 25, "output_tokens": 1, "cache_read_input_tokens": 100}
MERGED: dict[str, tuple[dict[str, Any] | None, dict[str, Any], dict[str, Any]]] = {
    "nothing yet": (None, STARTED, STARTED),
    "a placeholder": (STARTED, dict.fromkeys(STARTED, 0), STARTED),
    "nulls": (STARTED, dict.fromkeys(STARTED), STARTED),
    "nothing more": (STARTED, {}, STARTED),
    "zeros beside a count": (
        STARTED,
        {"input_tokens": 0, "output_tokens": 15, "cache_read_input_tokens": 0},
        STARTED | {"output_tokens": 15},
    ),
    "zeros at first": (
        {"input_tokens": 0, "output_tokens": 0, "service_tier": None},
        STARTED | {"service_tier": "standard"},
        STARTED | {"service_tier": "standard"},
    ),
    "a later count": (STARTED, {"output_tokens": 9}, STARTED | {"output_tokens": 9}),
    "a smaller one": ({"output_tokens": 9}, {"output_tokens": 7}, {"output_tokens": 7}),
    "details": (
        {"a": {"b": 5, "c": 0, "d": {"e": 1}}},
        {"a": {"b": 0, "c": 2, "d": {"e": 0, "f": 3}}},
        {"a": {"b": 5, "c": 2, "d": {"e": 1, "f": 3}}},
    ),
    "details that are none": ({"a": {"b": 5}}, {"a": [1]}, {"a": {"b": 5}}),
    "counts that are none": (
        {"a": 5, "b": 5, "c": 5, "d": 5},
        {"a": "多", "b": -1, "c": float("inf"), "d": 10**400},
        {"a": 5, "b": 5, "c": 5, "d": 5},
    ),
    "counts at the bound": (
        {"a": 2**53, "b": 5, "c": 5, "d": 2**53 + 1, "e": True},
        {"a": [1], "b": 2**53, "c": 2**53 + 1, "d": [1], "e": [1]},
        {"a": 2**53, "b": 2**53, "c": 5, "d": [1], "e": [1]},
    ),
    "details in place of a count": (
        {"a": 5, "b": "x"},
        {"a": {"b": 1}, "b": {}},
        {"a": 5, "b": "x"},
    ),
    "a list in place of details": ({"a": {"b": 5}}, {"a": [1]}, {"a": {"b": 5}}),
    "a count in place of details": ({"a": {"b": 5}}, {"a": 7}, {"a": 7}),
    "a cost": ({"cost": 0.0006}, {"cost": 0.0}, {"cost": 0.0006}),
    "words": ({"tier": "标准"}, {"tier": "优先"}, {"tier": "优先"}),
}


@pytest.mark.parametrize("case", MERGED)
def test_a_zero_never_replaces_a_count(case: str) -> None:
    """What was counted stays until something else is counted, in the details, too."""
    old, new, merged = MERGED[case]
    before = repr(old), repr(new)
    assert merged_counts(old, new) == merged
    assert (repr(old), repr(new)) == before


names = st.sampled_from(["reasoning_tokens", "cached_tokens"])
numbers = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none())


@given(
    st.dictionaries(st.sampled_from(sorted(ALL_NAMES)), numbers | st.dictionaries(names, numbers))
)
def test_no_usage_breaks_the_counts(raw: dict[str, Any]) -> None:
    """Whatever a vendor writes, the counts are numbers from 0 up."""
    usage = usage_of(raw)
    numbers = (usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens)
    assert all(type(number) is int and number >= 0 for number in numbers)
    assert usage.cached_tokens >= 0
    assert usage.total_tokens >= 0


def nested(depth: int, innermost: dict[str, Any]) -> dict[str, Any]:
    """Return details in details."""
    for _ in range(depth):
        innermost = {"details": innermost}
    return innermost


def test_details_are_merged_so_deep() -> None:
    """Deeper ones are taken as they come, so that no nesting costs more than it says."""
    for depth in (0, 1, 8):
        merged = merged_counts(nested(depth, {"a": 1}), nested(depth, {"b": 2}))
        assert merged == nested(depth, {"a": 1, "b": 2})
    assert merged_counts(nested(9, {"a": 1}), nested(9, {"b": 2})) == nested(9, {"b": 2})


def odd_counts(number: int) -> dict[str, int]:
    """Return counts with names that nobody knows."""
    return {f"count_{place}": place for place in range(1, number + 1)}


def test_a_usage_has_so_many_counts() -> None:
    """Of sixty-four none is left out; of more, the last that nobody knows."""
    assert MOST_KEYS == 64
    assert merged_counts(None, odd_counts(64)) == odd_counts(64)
    assert merged_counts(None, odd_counts(65)) == odd_counts(64)
    late = {**odd_counts(70), "prompt_tokens": 5, "total_tokens": 7}
    first = merged_counts(None, late)
    assert first == {**odd_counts(62), "prompt_tokens": 5, "total_tokens": 7}
    later = merged_counts(first, {"another": 1, "count_1": 9, "completion_tokens": 3})
    assert later == {**first, "count_1": 9, "completion_tokens": 3}
    assert merged_counts(odd_counts(63), {"a": 1, "b": 2}) == {**odd_counts(63), "a": 1}


def test_details_have_so_many_counts() -> None:
    """Once they are merged."""
    merged = merged_counts({"details": odd_counts(70)}, {"details": {"a": 1, "count_1": 7}})
    assert merged == {"details": {**odd_counts(64), "count_1": 7}}


READ = [
    *("total_tokens", "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens"),
    *("prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens"),
    *("cache_creation_input_tokens", "reasoning_tokens", "thinking_tokens"),
    *("completion_tokens_details", "output_tokens_details"),
    *("prompt_tokens_details", "input_tokens_details"),
    *("promptTokenCount", "candidatesTokenCount", "totalTokenCount", "thoughtsTokenCount"),
    *("toolUsePromptTokenCount", "cachedContentTokenCount"),
]


@pytest.mark.parametrize("name", READ)
def test_what_is_read_is_kept_however_late_it_comes(name: str) -> None:
    assert merged_counts(odd_counts(64), {name: 7, "another": 1}) == {**odd_counts(64), name: 7}
    assert merged_counts(None, {**odd_counts(64), name: 7}) == {**odd_counts(63), name: 7}


def test_names_that_a_peer_makes_up_find_an_end() -> None:
    """However many chunks they come in; what is known is among what is kept."""
    usage = merged_counts(None, odd_counts(1000) | {"total_tokens": 7})
    for at in range(1000):
        usage = merged_counts(usage, {f"d{at}": 1, "prompt_tokens": 3, "completion_tokens": 4})
    assert len(usage) == 64
    assert (usage_of(usage).total_tokens, usage_of(usage).prompt_tokens) == (7, 3)
