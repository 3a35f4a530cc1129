"""What the protocols share: small readers of the wire, and the way from bytes to a frame."""

from typing import Any

import orjson
import pytest

from aiotokengate._wire.question import (
    UNREADABLE,
    Encoded,
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
from aiotokengate.catalogue import UNKNOWN


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


def test_what_is_not_said_of_a_question_and_its_request() -> None:
    question = Question("m", [])
    assert (question.params, question.stream, question.reasoning) == ({}, True, None)
    assert (question.row, question.extra_body, question.notes) == (UNKNOWN, (), ())
    request = Encoded("/p", b"{}")
    assert (request.headers, request.notes) == ({}, ())


def test_the_most_choices_are_as_many_as_kinds_fit_in_their_bits() -> None:
    assert (choice_in(13_106), choice_in(13_107)) == (13_106, 0)


def test_a_count_is_a_whole_number() -> None:
    assert [count_in({"n": value}, "n") for value in (0, 5, 5.0, None)] == [0, 5, 0, 0]


def test_objects_are_merged_at_any_depth() -> None:
    body = {"a": {"b": {"c": 1, "d": 2}}, "e": {"f": 1}, "g": 1}
    more = {"a": {"b": {"c": 3}, "h": 4}, "e": 5, "g": {"i": 6}}
    assert merged(body, more) == {
        "a": {"b": {"c": 3, "d": 2}, "h": 4},
        "e": 5,
        "g": {"i": 6},
    }


@pytest.mark.parametrize("content", [{"text": "好"}, 7, {"好"}])
def test_what_is_no_content_has_no_text(content: object) -> None:
    assert joined_text(content) == ""


def test_texts_that_stand_alone_and_in_parts() -> None:
    assert joined_text(("你", {"text": "好"}, None, 7, ["吗"])) == "你好"


def test_reading_goes_on_where_it_stopped() -> None:
    decoder = Words(Transcript())
    events = [word("一"), b'{"error":1}', word("二"), b"?", word("三")]
    assert decoder.feed_from(events, 0) == (2, {"error": 1})
    assert decoder.feed_from(events, 2) == (4, b"?")
    assert decoder.feed_from(events, 4) == (5, None)
    assert decoder.feed_from(events, 5) == (5, None)
    assert answer(decoder) == "一二三"


def test_what_was_spliced_to_the_end_is_not_taken_again() -> None:
    events = [word(text) for text in "一二三四五六"]
    decoder, at, _ = read(*events)
    assert (at, decoder.splicer.hits > 2) == (6, True)
    assert answer(decoder) == "一二三四五六"


def test_nothing_is_spliced_that_may_end_inside_a_character() -> None:
    cut = b'{"word":"a\\ud83c"}'
    decoder, *_ = read(*[word("好")] * 4, cut, *[word("好")] * 4)
    hits = decoder.splicer.hits
    assert decoder.splicer.templates == []
    assert answer(decoder) == "好" * 4 + "a\ufffd" + "好" * 4
    decoder, *_ = read(cut, *[word("好")] * 4)
    assert (hits > 0, decoder.splicer.hits) == (True, 0)


@pytest.mark.parametrize(("depth", "suspect"), [(199, None), (200, UNREADABLE)])
def test_a_frame_may_be_nested_so_deeply(depth: int, suspect: object) -> None:
    """The same whichever parser reads it, and whoever brings it."""
    inner: Any = []
    for _ in range(depth - 1):
        inner = [inner]
    frame = {"word": "好", "deep": inner}
    for data in (orjson.dumps(frame), orjson.dumps(frame).replace(b"{", b'{"x":"\t",', 1)):
        decoder, at, found = read(data)
        assert (at, found) == (1, suspect)
        assert answer(decoder) == ("" if suspect else "好")
    assert Words(Transcript()).take_frame(frame, damaged=True) == suspect


def test_a_suspect_frame_is_returned_once() -> None:
    decoder = Words(Transcript())
    for damaged in (True, False):
        assert decoder.take_frame({"error": 1}, damaged=damaged) == {"error": 1}
        assert decoder.suspect is None
    assert decoder.take_frame([{"a": 1}]) == [{"a": 1}]
    assert decoder.take_frame([]) == UNREADABLE == b"?"
    assert not decoder.done


def test_an_end_in_data_that_is_not_json() -> None:
    for data, done in ((b"[DONE]", True), (b"\n[DONE] 7", True), (b":[DONE]", False)):
        assert read(data)[0].done is done
    decoder, at, suspect = read(b" [DONE ")
    assert (decoder.done, at, suspect) == (False, 1, b"[DONE")


def test_an_end_seals_the_reply() -> None:
    decoder, *_ = read(*[word("好")] * 4)
    decoder.end()
    assert (decoder.transcript.sealed, decoder.splicer.templates) == (True, [])


def test_values_are_cleaned_of_halves() -> None:
    decoder = Words(Transcript())
    decoder.uneven = True
    half: Any = {"word": "a\ud83c", "b\ud83c": ["c\ud83c", 7]}
    assert decoder.clean(half) == {"word": "a\ufffd", "b\ufffd": ["c\ufffd", 7]}
    decoder.take_damaged({"word": "好", "x": "\ud83c"})
    assert decoder.transcript.text(0, ANSWER) == "好"
