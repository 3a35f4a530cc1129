"""Streams that no vendor sends: whatever comes, a decoder raises nothing and loses no reply.

Strategy.  Recorded exchanges of every protocol are damaged: events left out, repeated, put in
another order; keys left out, values replaced by others of any type and size; data cut.  What is
left is decoded, folded, written as a message and as text, and none of that may raise.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import About

from aiotokengate import CallerError
from aiotokengate.catalogue import CATALOGUE
from aiotokengate.wire.dialects import DIALECTS
from aiotokengate.wire.fold import fold
from aiotokengate.wire.problems import find_problem
from aiotokengate.wire.protocols import find_protocol
from aiotokengate.wire.sse import SSEDecoder
from aiotokengate.wire.transcript import Transcript

VECTORS = Path(__file__).parent.parent / "vectors"
RECORDED: dict[str, Any] = {
    "26-anthropic-messages": "messages",
    "27a-responses": "responses",
    "27b-responses-out-of-order": "responses",
    "28-gemini-native": "gemini",
    "02-glm-tool-after-text": "chat",
    "04-reasoning-details": "chat",
    "producer-annotations": "chat",
    "producer-images": "chat",
}
Path_ = tuple[Any, ...]

# Each as text, because some of them are no JSON that orjson would write.
ODD = (
    *("null", "true", "0", "-1", "1.5", '""', '"x"', '"\\ud800"', "[]", "{}", "[1]", "[null]"),
    *("[{}]", '{"a": 1}', "1e999", "-1e999", "NaN", str(2**64), "9" * 30, "9" * 400),
)


def events_of(name: str) -> list[Any]:
    found = SSEDecoder().feed_data((VECTORS / f"{name}.body").read_bytes())
    return [orjson.loads(data) for data in found if data != b"[DONE]"]


EVENTS = {name: events_of(name) for name in RECORDED}


def places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Give the place of everything inside of a value."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inner:
        if isinstance(item, dict | list):
            yield from places(item, (*path, key))
        else:
            yield (*path, key)


@st.composite
def damaged(draw: st.DrawFn, name: str) -> list[bytes]:
    """Draw a stream that has suffered."""
    # By way of text each time: no two events share a value.
    texts = [json.dumps(event) for event in EVENTS[name]]
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
    return [text.encode() for text in texts]


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
        return with_odd(event, way, draw(st.sampled_from(ODD))).decode()
    holder = event
    for step in way[:-1]:
        holder = holder[step]
    del holder[way[-1]]
    return json.dumps(event)


def with_odd(event: Any, way: Path_, odd: str) -> bytes:
    """Give an event with something odd in place of one value."""
    copy = holder = json.loads(json.dumps(event))
    for step in way[:-1]:
        holder = holder[step]
    holder[way[-1]] = "<odd>"
    return json.dumps(copy).replace('"<odd>"', odd).encode()


def check(name: str, events: Iterable[bytes]) -> None:
    """Read a stream to its end, and do with the reply what users do."""
    request = orjson.loads((VECTORS / f"{name}.json").read_bytes())["request"]["body"]
    dialect = DIALECTS[CATALOGUE.find(request["model"]).dialect]
    decoder = find_protocol(RECORDED[name]).decoder(dialect, Transcript())
    for event in events:
        decoder.feed(event)
        suspect, decoder.suspect = decoder.suspect, None
        find_problem(suspect)
    decoder.end()
    log = decoder.transcript
    reply = fold(log, dialect, About("complete" if log.complete else "interrupted"))
    assert repr([reply, *map(log.delta, range(len(log)))])
    for call in reply.tool_calls:
        try:
            call.parse()
        except CallerError:
            assert not call.complete or call.arguments
    assert json.dumps(reply.message())


@pytest.mark.parametrize("name", RECORDED)
def test_anything_in_place_of_any_value(name: str) -> None:
    whole = [json.dumps(event).encode() for event in EVENTS[name]]
    for at, event in enumerate(EVENTS[name]):
        for way in places(event):
            for odd in ODD:
                check(name, [*whole[:at], with_odd(event, way, odd), *whole[at + 1 :]])


@pytest.mark.parametrize("name", RECORDED)
@given(data=st.data())
def test_any_damage(name: str, data: st.DataObject) -> None:
    check(name, data.draw(damaged(name)))
