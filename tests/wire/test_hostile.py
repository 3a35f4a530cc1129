"""Streams that no vendor sends: whatever comes, a decoder raises nothing and loses no reply.

Strategy.  Recorded exchanges of every protocol are damaged: something odd stands in place of a
value (see ``hostile.py``), events are left out, repeated, put in another order, data is cut.  What
is left is decoded, folded, relayed, written as a message and as text and sent back, and none of
that may raise.  All of the odd values at all places are tried by ``make fuzz``, a sample here.
"""

import gc
import json
import tracemalloc
from collections.abc import Callable
from random import Random
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.hostile import ODD, attack, attacks, places, use, with_odd
from tests.support.recorded import NAMES, STREAMS
from tests.support.streams import PROTOCOLS, body, read, saying

SAMPLE = 12_000
SEED = 11
PARTS = 8


def test_there_is_enough_to_attack() -> None:
    """Thirty odd values, and streams of each protocol."""
    assert len(ODD) >= 30
    assert all(len(names) > 10 for names in NAMES.values())


@pytest.mark.unmeasured
@pytest.mark.parametrize("part", range(PARTS))
def test_anything_in_place_of_any_value(part: int) -> None:
    """A sample of all attacks, the same in every run, cut anywhere."""
    random = Random(SEED)
    chosen = random.sample(list(attacks()), SAMPLE)
    for one in chosen[part::PARTS]:
        attack(one, random)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw a stream that has suffered."""
    name = draw(st.sampled_from(NAMES[draw(st.sampled_from(PROTOCOLS))]))
    texts = [text for _, text in STREAMS[name].events]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(texts) - 1))
        match draw(st.sampled_from(("leave out", "repeat", "move", "cut", *["replace"] * 6))):
            case "leave out" if len(texts) > 1:
                del texts[at]
            case "repeat":
                texts.insert(draw(st.integers(0, len(texts))), texts[at])
            case "move":
                texts.insert(draw(st.integers(0, len(texts) - 1)), texts.pop(at))
            case "cut":
                texts[at] = texts[at][: draw(st.integers(0, len(texts[at])))]
            case _:
                texts[at] = replaced(draw, texts[at])
    return name, "".join(f"data: {text}\n\n" for text in texts).encode()


def replaced(draw: st.DrawFn, text: str) -> str:
    """Put something odd in place of one value, or leave it out."""
    try:
        event = json.loads(text)
    except ValueError:
        return text
    spots = list(places(event)) if isinstance(event, dict) else []
    if not spots:
        return draw(st.sampled_from(ODD))
    way = draw(st.sampled_from(spots))
    if draw(st.booleans()):
        return with_odd(event, way, draw(st.sampled_from(ODD)))
    holder = event
    for step in way[:-1]:
        holder = holder[step]
    del holder[way[-1]]
    return json.dumps(event)


@given(damage=damaged())
def test_any_damage(damage: tuple[str, bytes]) -> None:
    """Several at a time."""
    name, data = damage
    use(STREAMS[name], data)


# --- cost ---------------------------------------------------------------------------------------


def glued(count: int) -> bytes:
    return b"data: " + b'{"id":{"error":' * count + b"\n\n"


def lines(count: int) -> bytes:
    return b"".join(b'data: {"a":\n' for _ in range(count)) + b"\n"


def bare(count: int) -> bytes:
    return b": hi\n\n" + b'{"a": [\n}\n' * count


def nested(count: int) -> bytes:
    deep = b'data: {"a":' + b"[" * 900 + b"]" * 900 + b"}\n\n"
    return deep * (count // 100)


def errors(count: int) -> bytes:
    return b'event: error\ndata: {"choices":[{"delta":{"content":"a"}}]}\n\n' * count


def halves(count: int) -> bytes:
    return b'data: {"choices":[{"delta":{"content":"\xf0\x9f"}}]}\n\n' * count


def choices(count: int) -> bytes:
    frame = b'data: {"choices":[{"index":%d,"delta":{"content":"a"}}]}\n\n'
    return b"".join(frame % index for index in range(count))


def claims(count: int) -> bytes:
    return b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n' * count


SHAPES: tuple[Callable[[int], bytes], ...] = (
    *(glued, lines, bare, nested, errors, halves, choices, claims),
)


@pytest.mark.unmeasured
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("shape", SHAPES)
def test_time_is_linear_in_the_bytes(shape: Callable[[int], bytes], protocol: str) -> None:
    """Four times the bytes take about four times as long; the best of three counts."""

    def seconds(count: int) -> float:
        data, took = shape(count), []
        for _ in range(3):
            began = process_time()
            read(protocol, [data[at : at + 8192] for at in range(0, len(data), 8192)])
            took.append(process_time() - began)
        return min(took)

    gc.collect()
    gc.disable()  # which costs by what else there is
    try:
        assert seconds(1000) < 10 * seconds(250) + 0.02
    finally:
        gc.enable()


@pytest.mark.parametrize("shape", SHAPES)
def test_memory_is_bounded_by_the_bytes(shape: Callable[[int], bytes]) -> None:
    """No byte of a body costs more than some tens of bytes."""
    data = shape(2000) + body(saying("chat", "好"))
    tracemalloc.start()
    try:
        read("chat", [data])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60 * len(data) + (1 << 20)
