"""What the protocols share: small readers of the wire, and the way from bytes to a frame."""

from typing import Any

import orjson
import pytest

from aiotokengate._wire.question import (
    UNREADABLE,
    FrameDecoder,
    Question,
    choice_in,
    count_in,
    dicts_in,
    joined_text,
    merged,
    native_content,
    text_of,
)
from aiotokengate._wire.splice import Append
from aiotokengate._wire.transcript import ANSWER, Transcript


class Words(FrameDecoder):
    """The smallest protocol: each frame is an object with a text."""

    TEXTS = frozenset(("word",))

    def take(self, frame: Any) -> None:
        if not isinstance(frame, dict):
            self.no_object(frame)
        elif "error" in frame:
            self.suspect = frame
        else:
            self.say(self.transcript.choice(0), ANSWER, frame["word"])

    def learn(self, data: bytes, frame: dict[str, Any]) -> None:
        self.splicer.learn(data, frame, [(frame, "word")], Append(ANSWER, typed=True))


def read(*events: bytes) -> tuple[Words, int, Any]:
    decoder = Words(Transcript())
    at, suspect = decoder.feed_from(events, 0)
    return decoder, at, suspect


def answer(decoder: Words) -> str:
    decoder.end()
    return decoder.transcript.text(0, ANSWER)


def word(text: str) -> bytes:
    return orjson.dumps({"word": text})


# --- events -------------------------------------------------------------------------------------


def test_events_up_to_the_end() -> None:
    decoder, at, suspect = read(word("你"), word("好"), b"[DONE]", word("？"))
    assert (answer(decoder), at, suspect, decoder.done) == ("你好", 3, None, True)


def test_what_repeats_is_spliced() -> None:
    decoder, at, _ = read(*(word(f"第{n}句") for n in range(50)))
    assert (at, decoder.splicer.hits > 0) == (50, True)
    assert answer(decoder).endswith("第49句")
    assert decoder.splicer.templates == []


@pytest.mark.parametrize("data", [b"", b" \n", b": ping", b"  : a comment"])
def test_what_says_nothing(data: bytes) -> None:
    decoder, at, suspect = read(data, word("好"))
    assert (answer(decoder), at, suspect) == ("好", 2, None)


def test_an_end_with_a_margin() -> None:
    assert read(b" [DONE] ")[0].done


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"error":"x"}', {"error": "x"}),
        (b'[{"word":"a"}]', [{"word": "a"}]),
        (b"[]", UNREADABLE),
        (b"7", UNREADABLE),
        (b" half {", b"half {"),
        (b'{"word":' + b"[" * 2_000 + b"]" * 2_000 + b"}", UNREADABLE),
        (b'{"a":"\xff","word":' + b"[" * 2_000 + b"]" * 2_000 + b"}", UNREADABLE),
    ],
)
def test_what_is_left_to_the_framing(data: bytes, expected: object) -> None:
    """Reading stops behind it, and goes on where it is asked to."""
    decoder, at, suspect = read(data, word("好"))
    assert at == 1
    if data[:1] == b"{" and expected is UNREADABLE:
        assert suspect in (UNREADABLE, data)
    else:
        assert suspect == expected
    assert decoder.feed_from([word("好")], 0) == (1, None)
    assert answer(decoder) == "好"


def test_a_character_that_was_cut_in_two() -> None:
    decoder, _, suspect = read(b'{"word":"\\ud83c"}', b'{"word":"\\udf89!"}')
    assert (answer(decoder), suspect) == ("🎉!", None)
    assert decoder.uneven


def test_a_frame_of_other_origin() -> None:
    decoder = Words(Transcript())
    assert decoder.take_frame({"word": "a"}) is None
    assert decoder.take_frame({"word": "b"}, damaged=True) is None
    assert decoder.take_frame(7) == UNREADABLE
    assert answer(decoder) == "ab"


def test_halves_of_characters_are_cleaned_away() -> None:
    decoder = Words(Transcript())
    half: Any = {"text": "a\ud83c"}
    assert decoder.clean(half) is half
    decoder.uneven = True
    assert decoder.clean(half) == {"text": "a\ufffd"}
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert decoder.clean(deep) is deep
    while deep:  # freed by hand, for older interpreters recurse
        (deep,) = deep


def test_a_protocol_has_to_take_frames() -> None:
    make: Any = FrameDecoder
    with pytest.raises(TypeError, match="abstract"):
        make(Transcript())


# --- values -------------------------------------------------------------------------------------


def test_parameters_that_are_given() -> None:
    question = Question("m", [], {"temperature": 0, "top_p": None})
    assert question.given() == {"temperature": 0}


@pytest.mark.parametrize(
    ("index", "number"), [(3, 3), (0, 0), (-1, 0), (True, 0), ("2", 0), (None, 0), (10**6, 0)]
)
def test_the_number_of_a_choice(index: object, number: int) -> None:
    assert choice_in(index) == number


def test_what_is_not_of_its_type_counts_as_nothing() -> None:
    assert (text_of("好"), text_of(7)) == ("好", "")
    assert dicts_in([{"a": 1}, "b", None]) == [{"a": 1}]
    assert dicts_in({"a": 1}) == []
    usage = {"input": 3, "output": "3"}
    assert [count_in(usage, name) for name in ("input", "output", "total")] == [3, 0, 0]


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        (None, None),
        ({"protocol": "gemini", "content": [1]}, None),
        ({"protocol": "messages", "content": "text"}, None),
        ({"protocol": "messages", "content": (1, 2)}, [1, 2]),
    ],
)
def test_what_a_message_has_for_a_protocol(native: object, expected: object) -> None:
    assert native_content({"native": native}, "messages") == expected


def test_objects_are_merged() -> None:
    body = {"a": {"b": 1, "c": 2}, "d": [1]}
    assert merged(body, {"a": {"c": 3}, "d": [2]}) == {"a": {"b": 1, "c": 3}, "d": [2]}
    assert body == {"a": {"b": 1, "c": 2}, "d": [1]}


@pytest.mark.parametrize(
    ("content", "text"),
    [("好", "好"), (None, ""), ([{"text": "你"}, "好", {"text": 7}, {}], "你好"), (("a",), "a")],
)
def test_the_text_of_a_content(content: object, text: str) -> None:
    assert joined_text(content) == text
