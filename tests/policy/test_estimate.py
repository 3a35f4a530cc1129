"""The size of prompts, before anybody has counted them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate.policy.estimate import IMAGE, Sizes, estimate_tokens

# The bounds follow the vendors' own rules of thumb: OpenAI's four characters of English a token,
# Alibaba's and DeepSeek's 0.6 to 1 token a Chinese character.
LATIN = (
    "The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs, "
    "and explain in three sentences why streams of tokens should be read as they arrive."
)
CHINESE = "请用三句话解释为什么应该在词元到达时就读取它们，而不是等到整个回答都生成完毕。"


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        (LATIN, 36, 60),
        (CHINESE, 20, 42),
        (LATIN + CHINESE, 56, 100),
        ("👩‍💻😀🎉", 3, 24),
        ("", 0, 1),
    ],
    ids=["latin", "chinese", "mixed", "emoji", "empty"],
)
def test_about_what_tokenizers_count(text: str, least: int, most: int) -> None:
    """Rather a little high than low."""
    assert least <= estimate_tokens(text.encode()) <= most


def test_images_do_not_count_by_their_bytes() -> None:
    """A megabyte of base64 is an image, not three hundred thousand tokens."""
    image = b'{"url":"data:image/png;base64,' + b"iVBORw0K" * 125_000 + b'"}'
    two = b'[{"text":"' + CHINESE.encode() + b'"},' + image + b"," + image + b"]"
    assert 2 * IMAGE < estimate_tokens(two) < 2 * IMAGE + 200


@given(st.binary(max_size=300))
def test_any_bytes(body: bytes) -> None:
    """What is no UTF-8 has a size, too."""
    assert 0 < estimate_tokens(body) <= len(body) + 1


@given(st.text(max_size=300), st.text(max_size=300))
def test_more_text_is_more_tokens(one: str, other: str) -> None:
    """Within rounding."""
    whole = estimate_tokens((one + other).encode("utf-8", "replace"))
    assert whole >= estimate_tokens(one.encode("utf-8", "replace")) - 1


def test_replies_are_as_long_as_they_usually_are() -> None:
    """Nine in ten of the last hundred, and never more than a reply may have."""
    sizes = Sizes()
    assert sizes.output(None) == Sizes.FIRST_OUTPUT
    assert sizes.output(50) == 50
    for tokens in range(1, 101):
        sizes.add(0, 0, tokens)
    assert sizes.output(None) == 90
    assert sizes.output(20) == 20
    for _ in range(100):
        sizes.add(0, 0, 7)
    assert sizes.output(None) == 7


def test_prompts_are_as_large_as_their_model_counts_them() -> None:
    """The estimate is corrected by what replies say."""
    sizes = Sizes()
    assert sizes.prompt(100) == 100
    for _ in range(10):
        sizes.add(100, 150, 10)
    assert sizes.prompt(100) == 150
