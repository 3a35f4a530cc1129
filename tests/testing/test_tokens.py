"""Cutting text into the pieces that the fake models send, and counting them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate.testing._tokens import count_tokens, split_evenly, split_tokens


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("你好！😊", ["你", "好", "！", "😊"]),
        ("Don't worry, be_happy", ["Don't", " worry", ",", " be_happy"]),
        ("a\n\n  b", ["a", "\n\n", "  ", "b"]),
    ],
)
def test_a_character_or_a_word_with_its_space_is_a_token(text: str, pieces: list[str]) -> None:
    assert split_tokens(text) == pieces
    assert count_tokens(text) == len(pieces)


@given(st.text(), st.integers(1, 20))
def test_the_pieces_are_the_text(text: str, pieces: int) -> None:
    assert "".join(split_tokens(text)) == text
    parts = split_evenly(text, pieces)
    assert ("".join(parts), len(parts)) == (text, pieces)
