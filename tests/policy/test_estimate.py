"""The size of prompts, before anybody has counted them."""

from hypothesis import given
from hypothesis import strategies as st

from aiotokengate._policy.estimate import CallSize, Sizes, estimate_tokens
from aiotokengate._wire.tokens import IMAGE, estimate_text

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


def test_what_is_embedded_is_left_out_of_large_bodies() -> None:
    """From sixteen kibibytes on, up to the quote that ends it; where none does, nothing is."""
    head, tail = b'{"url":"data:image/png;base64,', b'","x":"' + CHINESE.encode() + b'"}'
    body = head + b"A" * (16_384 - len(head + tail)) + tail
    assert len(body) == 16_384
    assert estimate_tokens(body) == estimate_text(body)
    larger = body.replace(b"base64,", b"base64,A")
    assert estimate_tokens(larger) == IMAGE + estimate_text(b'{"url":"data:image/png' + tail)
    endless = b"a;base64," + b"A" * 20_000
    assert estimate_tokens(endless) == IMAGE + estimate_text(b"a" + b"A" * 20_000)
    text = "a;base64," + "A" * 20_000
    assert estimate_tokens(text) == estimate_text(text)


def test_a_call_of_which_nothing_is_known() -> None:
    size = CallSize()
    assert (size.tokens, size.max_tokens, size.estimate(), [*size.texts()]) == (None, None, 0, [])


@given(st.binary(max_size=300))
def test_any_bytes(body: bytes) -> None:
    """What is no UTF-8 has a size, too."""
    assert bool(body) <= estimate_tokens(body) <= 2 * len(body)


def test_replies_are_as_long_as_they_usually_are() -> None:
    """Nine in ten of the last hundred, and never more than a reply may have."""
    sizes = Sizes()
    assert sizes.output(None) == 1_000
    assert sizes.output(50) == 50
    for tokens in range(1, 101):
        sizes.add(0, 0, tokens)
    assert sizes.output(None) == 90
    sizes.add(0, 0, 101)  # and the first one is forgotten
    assert sizes.output(None) == 91
    assert sizes.output(20) == 20
    for _ in range(100):
        sizes.add(0, 0, 7)
    assert sizes.output(None) == 7


def test_prompts_are_as_large_as_their_model_counts_them() -> None:
    """The estimate is corrected by what replies say."""
    sizes = Sizes()
    sizes.add(0, 150, 10)
    sizes.add(100, 0, 10)  # what was not told is not taken for nothing
    assert sizes.prompt(100) == 100
    sizes.add(1, 1, 10)
    assert sizes.prompt(100) == 100
    for _ in range(10):
        sizes.add(100, 150, 10)
    assert sizes.prompt(100) == 150
    lone = Sizes()
    lone.add(2, 1, 10)
    assert lone.prompt(100) == 50
    assert Sizes().prompt(100) == 100
