"""A packed transcript says what the unpacked one said."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate._wire.pack import BLOCK, Packed
from aiotokengate._wire.tokens import estimate_text
from aiotokengate._wire.transcript import ANSWER, BREAK, KINDS, REASONING, Transcript
from aiotokengate.types import RefusalDelta

entries = st.tuples(
    st.integers(0, 2), st.sampled_from([REASONING, ANSWER, BREAK]), st.text(max_size=5)
)


def log_of(said: Sequence[tuple[int, int, str]], *, retain: bool = True) -> Transcript:
    log = Transcript(retain=retain)
    for choice, kind, text in said:
        if kind == BREAK:
            log.refuse(log.choice(choice), text)
        else:
            log.put(choice, kind, text)
    return log


@given(st.lists(entries, max_size=8), st.integers(1, 80), st.integers(0, 700))
def test_packing_changes_nothing(said: list[tuple[int, int, str]], times: int, rest: int) -> None:
    said = (said * times)[: rest + 1]
    plain, packed = log_of(said), log_of(said)
    packed.pack()
    assert packed.base == len(said) // BLOCK * BLOCK
    assert len(packed) == len(plain) == len(said)
    assert [packed.delta(at) for at in range(len(said))] == [
        plain.delta(at) for at in range(len(said))
    ]
    assert packed.others() == plain.others()
    for choice in range(3):
        for kind in (REASONING, ANSWER):
            key = KINDS * choice + kind
            assert packed.text(choice, kind) == plain.text(choice, kind)
            assert packed.has(key) == plain.has(key)
            starts = range(0, len(said), 37)
            assert [packed.find(key, at) for at in starts] == [
                plain.find(key, at) for at in starts
            ]


def test_many_choices_fit() -> None:
    """The API allows 128 of them, four kinds each."""
    log = log_of([(127, ANSWER, "好")] * BLOCK)
    log.pack()
    assert log.text(127, ANSWER) == "好" * BLOCK


def test_what_is_forgotten() -> None:
    """Whole blocks before a place go, but for what is no text; their sizes are remembered."""
    said = [(0, REASONING, "想"), (0, ANSWER, "好!"), (0, BREAK, "不")]
    log = log_of(said * BLOCK, retain=False)
    log.pack()
    log.forget(2 * BLOCK - 1)
    assert log.first == BLOCK
    log.forget(2 * BLOCK)
    assert (log.first, log.base, len(log)) == (2 * BLOCK, 3 * BLOCK, 3 * BLOCK)
    left = BLOCK // 3
    assert log.text(0, REASONING) in ("想" * left, "想" * (left + 1))
    thoughts, answers = BLOCK - len(log.text(0, REASONING)), BLOCK - len(log.text(0, ANSWER)) // 2
    assert log.forgotten[REASONING] == pytest.approx(estimate_text("想" * thoughts), abs=2)
    assert log.forgotten[ANSWER] == pytest.approx(estimate_text("好!" * answers), abs=2)
    assert log.others() == [RefusalDelta("不")] * BLOCK
    assert log.find(REASONING, 0) >= log.first
    assert log.has(REASONING)


def test_a_block_takes_little_room() -> None:
    """Characters and six bytes for each entry."""
    block = Packed([ANSWER] * BLOCK, ["你好"] * BLOCK)
    room = block._ends.itemsize + block.kinds.itemsize
    assert room == 6


def test_the_texts_of_a_block_are_joined_by_kind() -> None:
    """A block that holds nothing but other deltas has none."""
    refusal = RefusalDelta("不")
    block = Packed([ANSWER, REASONING, BREAK, ANSWER], ["你", "想", refusal, "好"])
    assert list(block.texts()) == [(ANSWER, "你好"), (REASONING, "想")]
    assert list(Packed([ANSWER, ANSWER], ["你", "好"]).texts()) == [(ANSWER, "你好")]
    assert list(Packed([BREAK], [refusal]).texts()) == []
    assert [block.item(at) for at in range(4)] == ["你", "想", refusal, "好"]


def test_entries_of_several_characters() -> None:
    """Each is found by its place; the text of a kind may begin and end within the block."""
    refusal = RefusalDelta("不")
    block = Packed([1, 0, 1, 3, 1], ["你们", "想想", "", refusal, "好吗👋"])
    assert [block.item(at) for at in range(5)] == ["你们", "想想", "", refusal, "好吗👋"]
    assert (list(block.kinds), block.others) == ([1, 0, 1, 3, 1], {3: refusal})
    assert (block.text(1), block.text(0), block.text(7)) == ("你们好吗👋", "想想", "")
    assert (block.text(1, 1), block.text(1, 0, 4), block.text(1, 4, 9)) == (
        *("好吗👋", "你们", "好吗👋"),
    )
    assert list(block.texts()) == [(1, "你们好吗👋"), (0, "想想")]


def test_the_text_of_a_block_of_one_kind() -> None:
    assert BLOCK == 128
    block = Packed([ANSWER] * BLOCK, [chr(0x4E00 + at) for at in range(BLOCK)])
    whole = "".join(map(chr, range(0x4E00, 0x4E00 + BLOCK)))
    assert (block.text(ANSWER), block.text(REASONING)) == (whole, "")
    assert block.text(ANSWER, 1) == whole[1:]
    assert block.text(ANSWER, 0, BLOCK - 1) == whole[:-1]
    assert block.text(ANSWER, 2, 5) == whole[2:5]


@pytest.mark.parametrize("drop", [0, 1, 2])
def test_how_many_bytes_of_text_stand_from_an_entry_on(drop: int) -> None:
    """Packed or not; what was dropped counts no more."""
    texts = ["好", "🙂", "a", ""] * BLOCK
    log = log_of([(0, ANSWER, text) for text in texts])
    log.refuse(log.choice(0), "no text of a kind")
    log.pack()
    for text in ("更多", "！"):
        log.put(0, ANSWER, text)
        texts.append(text)
    log.forget(drop * BLOCK)
    sizes = [len(text.encode()) for text in texts]
    for at in (0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 4 * BLOCK - 1):
        assert log.size_from(at) == sum(sizes[max(at, drop * BLOCK) :]), at
    assert log.size_from(len(log) - 1) == len("！".encode())
    assert log.size_from(len(log)) == log.size_from(len(log) + 9) == 0
