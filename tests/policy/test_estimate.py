"""The size of prompts, before anybody has counted them."""

from hypothesis import given
from hypothesis import strategies as st

from aiotokengate._policy.estimate import Sizes, estimate_tokens
from aiotokengate._wire.tokens import IMAGE

CHINESE = "请用三句话解释为什么应该在词元到达时就读取它们，而不是等到整个回答都生成完毕。"


def test_a_text_or_the_body_of_a_request() -> None:
    """A body counts with all its signs."""
    assert 15 < estimate_tokens(CHINESE) == estimate_tokens(CHINESE.encode()) < 36
    assert estimate_tokens(f'{{"text": "{CHINESE}"}}'.encode()) > estimate_tokens(CHINESE)
    assert (estimate_tokens("hello"), estimate_tokens(b"")) == (1, 0)


def test_images_do_not_count_by_their_bytes() -> None:
    """A megabyte of base64 is an image, not three hundred thousand tokens."""
    image = b'{"url":"data:image/png;base64,' + b"iVBORw0K" * 125_000 + b'"}'
    two = b'[{"text":"' + CHINESE.encode() + b'"},' + image + b"," + image + b"]"
    assert 2 * IMAGE < estimate_tokens(two) < 2 * IMAGE + 200


@given(st.binary(max_size=300))
def test_any_bytes(body: bytes) -> None:
    """What is no UTF-8 has a size, too."""
    assert bool(body) <= estimate_tokens(body) <= 2 * len(body)


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
