"""How far a JSON text has come, whatever pieces it comes in."""

import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate._wire.extent import Extent
from aiotokengate._wire.fold import _links
from aiotokengate._wire.usage import MOST_KEYS, merged_counts, usage_of

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


def test_links_to_data() -> None:
    """A link has an opening bracket before it, and an address that ends with it."""
    text = (
        "](data:a) ![图](data:b) [a](data:c d) [x](y) [z [q](data:e)(data:f) [](data:) [](data:g"
    )
    assert list(_links(text)) == ["data:b", "data:e"]


def test_a_usage_has_so_many_counts() -> None:
    """However many names of counts a peer makes up, some are kept, and what is known."""
    usage = merged_counts(None, {f"c{at}": 1 for at in range(1000)} | {"total_tokens": 7})
    for at in range(1000):
        usage = merged_counts(usage, {f"d{at}": 1, "prompt_tokens": 3, "completion_tokens": 4})
    assert len(usage) <= MOST_KEYS + 2
    assert usage_of(usage).total_tokens == 7
    assert usage_of(usage).prompt_tokens == 3
