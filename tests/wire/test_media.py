"""Bodies of embeddings, images and transcriptions, read into values."""

from __future__ import annotations

from array import array
from base64 import b64encode
from typing import Any

import pytest

from aiotokengate import Usage, WireError
from aiotokengate._wire.media import (
    ImageData,
    Segment,
    Transcription,
    Word,
    bytes_of,
    image_event,
    images_of,
    transcription_of,
    usage_in,
    vectors_of,
)
from aiotokengate.testing._files import png


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "expected 1 vectors under 'data', got something else"),
        ({"data": []}, "expected 1 vectors under 'data', got 0 of them"),
        ({"data": [7]}, r"expected an object as data\[0\], got int"),
        ({"data": [{"index": 3, "embedding": [1]}]}, "the indexes 0 to 0"),
        ({"data": [{"embedding": None}]}, r"a list of numbers as data\[0\].embedding"),
        ({"data": [{"embedding": ["x"]}]}, r"a list of numbers as data\[0\].embedding"),
        ({"data": [{"embedding": "!"}]}, "expected base64"),
        ({"data": [{"embedding": "AAA="}]}, "whole 32-bit floats"),
        ({"data": [{"embedding": [10**400]}]}, r"a list of numbers as data\[0\].embedding"),
        ({"data": [{"embedding": ""}]}, "vectors of one length"),
    ],
)
def test_vectors_that_are_none(body: Any, message: str) -> None:
    with pytest.raises(WireError, match=message):
        vectors_of(body, 1)


def test_a_vector_that_was_cut() -> None:
    """Base64 that ends early may be good base64."""
    body = {"data": [{"embedding": "AAAAAAAAAAAAAAAA"}, {"embedding": "AAAAAA=="}]}
    with pytest.raises(WireError, match="vectors of one length"):
        vectors_of(body, 2)


def test_base64_in_lines() -> None:
    text = b64encode(png().whole()).decode()
    (image,) = images_of({"data": [{"b64_json": f"{text[:76]}\n{text[76:]}\n"}]})
    assert image.data == png().whole()


def test_forms_of_images() -> None:
    data = "data:image/webp;base64,UklG"
    (image,) = images_of({"data": [{"url": data, "b64_json": None, "revised_prompt": None}, {}]})
    assert (image.data, image.mime) == (b"RIF", "image/webp")
    assert image_event({"type": "ping"}) is None
    assert image_event(7) is None


def test_the_numbers_of_vectors_are_read_in_any_order() -> None:
    """As base64 of 32-bit floats, or as a list."""
    first, second = array("f", [1.0, 2.0]), array("f", [3.0, 4.0])
    rows = [
        {"index": 1, "embedding": second.tolist()},
        {"index": 0, "embedding": b64encode(first.tobytes()).decode()},
    ]
    assert vectors_of({"data": rows}, 2) == [first, second]
    with pytest.raises(WireError, match="whole 32-bit floats"):
        vectors_of({"data": [{"embedding": "AAAA"}]}, 1)
    with pytest.raises(WireError, match="expected an object as data"):
        vectors_of({"data": [7]}, 1)
    with pytest.raises(WireError, match="expected the indexes 0 to 1"):
        vectors_of({"data": [{**rows[0], "index": 5}, rows[1]]}, 2)


def test_images_in_both_forms() -> None:
    address = "https://e.com/a.png"
    image = {"type": "image", "image": address}
    choices = [{"message": {"content": [image, {"text": "x"}, {"image": 7}]}}, {"message": 7}]
    assert [found.url for found in images_of({"output": {"choices": choices}})] == [address]
    (pixel,) = images_of({"data": [{"b64_json": "R0lGODlh", "revised_prompt": "猫"}]})
    assert (pixel.mime, pixel.revised_prompt) == ("image/gif", "猫")


@pytest.mark.parametrize(
    ("body", "got"), [({"b": 1, "猫": 2}, r"b, \\u732b"), ({}, "nothing"), ([1], "list")]
)
def test_what_holds_no_image_says_what_it_holds(body: Any, got: str) -> None:
    with pytest.raises(WireError, match=f"expected images under 'data' or 'output', got {got}"):
        images_of(body)


@pytest.mark.parametrize(
    ("event", "number"),
    [
        ({"type": "image_generation.completed"}, None),
        ({"type": "image_generation.partial_image", "partial_image_index": 1}, 1),
        ({"type": "image_edit.partial_image", "partial_image_index": -1}, 0),
    ],
)
def test_an_event_has_an_image_and_its_number(event: dict[str, Any], number: int | None) -> None:
    found = image_event({**event, "b64_json": "R0lGODlh"})
    assert found is not None
    assert (found[0].mime, found[1]) == ("image/gif", number)
    assert image_event({**event, "type": "other", "b64_json": "R0lGODlh"}) is None


def test_a_transcription_with_its_times() -> None:
    body = {
        "text": "你好",
        "language": "zh",
        "usage": {"seconds": 3},
        "segments": [{"text": "你好", "start": 0, "end": 1.5, "id": 7}],
        "words": [{"word": "你", "start": "x", "end": float("inf")}, "odd"],
    }
    heard = transcription_of(body)
    assert (heard.text, heard.language, heard.duration) == ("你好", "zh", 3.0)
    (segment,) = heard.segments
    assert (segment.text, segment.end, segment.extra) == ("你好", 1.5, {"id": 7})
    (word,) = heard.words
    assert (word.text, word.start, word.end) == ("你", 0.0, 0.0)
    assert transcription_of({**body, "duration": 10**400}).duration == 3.0
    assert transcription_of("1\n00:00 你好").text == "1\n00:00 你好"
    with pytest.raises(WireError, match="expected a transcription with 'text'"):
        transcription_of({"words": []})


def test_what_an_answer_cost() -> None:
    assert usage_in({"usage": {"prompt_tokens": 3}}).prompt_tokens == 3
    assert usage_in({}).estimated


# --- base64 -------------------------------------------------------------------------------------


def test_where_the_first_end_of_a_line_has_to_be() -> None:
    """White space without one is none of base64's."""
    assert bytes_of("A" * 127 + "\nA") == bytes(96)
    assert bytes_of("AA\r\n AA\t") == bytes(3)
    for text in ("A" * 128 + "\n", "AA AA", "猫", "AAA"):
        with pytest.raises(WireError, match="expected base64, got "):
            bytes_of(text)


# --- vectors ------------------------------------------------------------------------------------


def test_vectors_without_numbers_stand_in_their_order() -> None:
    rows: list[Any] = [{"embedding": [1]}, {"index": True, "embedding": [2.5]}]
    assert vectors_of({"data": rows}, 2) == [array("f", [1.0]), array("f", [2.5])]
    assert vectors_of({"data": rows[:1]}, 1)[0].typecode == "f"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"embedding": [1]}, 7], "expected an object as data[1], got int"),
        ([{"embedding": [1]}, {"embedding": "AAA="}], "as data[1].embedding"),
        ([{"embedding": [1]}, {"embedding": {}}], "a list of numbers as data[1].embedding"),
        ([{"embedding": [1]}, {"embedding": [1, 2]}], "expected vectors of one length"),
        ([{"embedding": []}, {"embedding": []}], "expected vectors of one length"),
        ([{"embedding": [1], "index": 1}, {"embedding": [1]}], "the indexes 0 to 1 under"),
        ([{"embedding": [1]}], "expected 2 vectors under 'data', got 1 of them"),
        ({"embedding": [1]}, "expected 2 vectors under 'data', got something else"),
    ],
)
def test_two_vectors_that_are_none(rows: Any, message: str) -> None:
    with pytest.raises(WireError) as caught:
        vectors_of({"data": rows}, 2)
    assert message in str(caught.value)


def test_a_body_that_is_no_object() -> None:
    with pytest.raises(WireError, match="expected 1 vectors under 'data', got something else"):
        vectors_of([{"embedding": [1]}], 1)


# --- images -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "mime"),
    [
        (b"\x89PNG\r\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF1234", "image/webp"),
        (b"GIF89a", "image/gif"),
        (b"BM", "image/png"),
    ],
)
def test_the_type_of_an_image(start: bytes, mime: str) -> None:
    text = b64encode(start).decode()
    for source in (text, f"data:;base64,{text}"):
        assert images_of({"data": [{"b64_json": source}]}) == (ImageData(start, mime=mime),)


def test_all_images_of_an_answer() -> None:
    address = {"url": "http://e.cn/a", "revised_prompt": "猫"}
    inline = {"b64_json": "data:image/x;base64,QUI=", "url": "http://e.cn/b", "revised_prompt": 5}
    part = {"image": "https://e.cn/c", "revised_prompt": "x"}
    choices = [{"message": {"content": [part, {"image": ""}]}}, {"message": {"content": [part]}}]
    body = {"data": [address, {"url": ""}, 7, inline], "output": {"choices": choices}}
    assert images_of(body) == (
        ImageData(url="http://e.cn/a", revised_prompt="猫"),
        ImageData(b"AB", mime="image/x"),
        ImageData(url="https://e.cn/c"),
        ImageData(url="https://e.cn/c"),
    )


def test_what_holds_no_image_names_eight_keys_and_their_beginnings() -> None:
    with pytest.raises(WireError, match=r"got 0, 1, 2, 3, 4, 5, 6, 7$"):
        images_of({str(number): 1 for number in range(9)})
    with pytest.raises(WireError, match=r"got k{32}$"):
        images_of({"k" * 33: 1})


@pytest.mark.parametrize(
    ("number", "read"),
    [(0, 0), (9_999, 9_999), (10_000, 0), (-1, 0), (True, 0), ("1", 0), (1.0, 0), (None, 0)],
)
def test_the_number_of_a_partial_image(number: object, read: int) -> None:
    event = {"type": "x.partial_image", "url": "https://e.cn/a", "partial_image_index": number}
    image = ImageData(url="https://e.cn/a", revised_prompt="猫")
    assert image_event({**event, "revised_prompt": "猫"}) == (image, read)
    assert image_event({**event, "type": "x.completed", "revised_prompt": "猫"}) == (image, None)
    assert image_event({**event, "url": None}) is None
    assert image_event({**event, "type": None}) is None


# --- transcriptions -----------------------------------------------------------------------------


def test_all_that_a_transcription_says() -> None:
    body: Any = {
        "text": "你好",
        "language": "zh",
        "duration": 0,
        "usage": {"seconds": 3},
        "segments": [{"text": "你", "start": 1, "end": 2.5, "id": 7}, {"text": 5}],
        "words": [{"word": "好", "start": 1.5, "end": 2, "text": "x"}, {}],
    }
    assert transcription_of(body) == Transcription(
        "你好",
        "zh",
        0.0,
        (Segment("你", 1.0, 2.5, {"id": 7}), Segment("", 0.0, 0.0)),
        (Word("好", 1.5, 2.0), Word("", 0.0, 0.0)),
        body,
    )
    for odd in ({"text": "a", "usage": 3}, {"text": "a", "duration": True, "language": 5}):
        assert transcription_of(odd) == Transcription("a", extra=odd)
    for body in ([], {"text": 5}, None):
        with pytest.raises(WireError, match="expected a transcription with 'text'"):
            transcription_of(body)


def test_what_an_answer_cost_that_does_not_say() -> None:
    assert usage_in({"usage": [1]}) == usage_in({}) == Usage(estimated=True)
    assert not usage_in({"usage": {"prompt_tokens": 3}}).estimated


def test_no_value_shows_what_would_fill_a_page() -> None:
    image = ImageData(b"AB", "https://e.cn", "image/png", "猫")
    assert repr(image) == "ImageData(mime='image/png', revised_prompt='猫')"
    segment = Segment("好", 0.0, 1.0, {"id": 7})
    assert repr(segment) == "Segment(text='好', start=0.0, end=1.0)"
    assert "extra" not in repr(Transcription("好", extra={"text": "好"}))
