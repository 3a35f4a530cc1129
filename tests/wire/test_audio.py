"""A spoken answer, put together from its pieces."""

from base64 import b64encode

from aiotokengate._wire.audio import Audio


def test_pieces_are_joined_and_the_last_field_counts() -> None:
    audio = Audio()
    audio.add({"id": "a1", "transcript": "你", "expires_at": None})
    audio.add({"transcript": "好", "data": "AAEC", "expires_at": 7})
    audio.add({"data": "AwQF"})
    assert audio.whole() == {
        "id": "a1",
        "transcript": "你好",
        "data": "AAECAwQF",
        "expires_at": 7,
    }


def test_padded_pieces_are_decoded_before_they_are_joined() -> None:
    audio = Audio()
    for sound in (b"\0", b"\1\2", b"\3\4\5"):
        audio.add({"data": b64encode(sound).decode()})
    assert audio.whole() == {"data": b64encode(bytes(range(6))).decode()}


def test_what_is_no_base64_stays_as_it_came() -> None:
    audio = Audio()
    for piece in ("AA==", "A", "AA=="):
        audio.add({"data": piece})
    assert audio.whole() == {"data": "AA==AAA=="}


def test_half_a_character_of_the_transcript_is_mended() -> None:
    audio = Audio()
    audio.add({"transcript": "a\ud83d"})
    assert audio.whole() == {"transcript": "a\ufffd"}


def test_a_padded_piece_at_the_end_needs_no_decoding() -> None:
    audio = Audio()
    for piece in ("AAEC", "A?==", ""):
        audio.add({"data": piece})
    assert audio.whole() == {"data": "AAECA?=="}
    last = Audio()
    for piece in ("!AEC", "AA=="):
        last.add({"data": piece})
    assert last.whole() == {"data": "!AECAA=="}


def test_texts_that_are_none_are_fields() -> None:
    audio = Audio()
    audio.add({"data": 7, "transcript": None, "x": 0})
    audio.add({"x": None})
    assert audio.whole() == {"data": 7, "x": 0}
    assert Audio().whole() == {}
