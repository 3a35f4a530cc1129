"""No stream, however it suffers, is taken for whole with less text than was sent.

Strategy.  The recorded exchanges of every protocol, and those of the field, are taken apart into
events.  Finish reasons are moved to earlier events, ids repeated, indexes shifted, frames glued,
events parted by one newline, the end told early, the body cut anywhere.  None of that changes
what text an event has, so how much must be there is known without the damage: what the undamaged
stream says up to the last event before the protocol's end, or the cut.
"""

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiotokengate import TokenGateError
from tests.support.recorded import NAMES, STREAMS, Stream, as_read
from tests.support.streams import DONE, PROTOCOLS, Read

ENDS = ("message_stop", "response.completed", "response.incomplete", "response.failed", "error")

# --- the damage ---------------------------------------------------------------------------------

Frame = Any
Change = Callable[[Frame, int], None]


def dicts(value: Any) -> Iterator[dict[str, Any]]:
    """Return each object inside of a frame."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from dicts(inner)


def finish(frame: Frame, _: int) -> None:
    """Let a frame claim that its choice has finished."""
    for choice in frame.get("choices") or ():
        choice["finish_reason"] = "stop"
    for candidate in frame.get("candidates") or ():
        candidate["finishReason"] = "STOP"


def same_ids(frame: Frame, _: int) -> None:
    for inner in dicts(frame):
        is_call = {"function", "arguments", "input", "args", "partial_json"} & inner.keys()
        for key in ("id", "call_id") if is_call else ():
            if inner.get(key):
                inner[key] = "call_same"


def no_ids(frame: Frame, _: int) -> None:
    for inner in dicts(frame):
        if "function" in inner or "args" in inner:
            inner.pop("id", None)


def shifted(frame: Frame, by: int) -> None:
    for inner in dicts(frame):
        if "function" in inner and isinstance(inner.get("index"), int):
            inner["index"] += by
        if isinstance(inner.get("output_index"), int):
            inner["output_index"] = max(0, inner["output_index"] + by)


def one_index(frame: Frame, _: int) -> None:
    for inner in dicts(frame):
        if "function" in inner:
            inner["index"] = 0
        if "output_index" in inner:
            inner["output_index"] = 0


CHANGES: dict[str, Change] = {
    "finish": finish,
    "same ids": same_ids,
    "no ids": no_ids,
    "shifted": shifted,
    "one index": one_index,
}


def changed(text: str, change: Change, by: int) -> str:
    if text == DONE:
        return text
    frame = json.loads(text)
    change(frame, by)
    return json.dumps(frame)


@attrs.define
class Damaged:
    """A stream that has suffered: its bytes, and how many of its events they hold."""

    stream: Stream
    data: bytes
    whole: int


def on_one_line(found: Stream) -> list[tuple[str, str]]:
    """Return the events of a stream; JSON over several lines is other white space alone."""
    return [(name, text.replace("\n", " ")) for name, text in found.events]


@st.composite
def damaged(draw: st.DrawFn) -> Damaged:
    """Draw a stream and its damage."""
    name = draw(st.sampled_from(NAMES[draw(st.sampled_from(PROTOCOLS))]))
    found = STREAMS[name]
    events = on_one_line(found)
    for _ in range(draw(st.integers(0, 3))):
        change = CHANGES[draw(st.sampled_from(sorted(CHANGES)))]
        first = draw(st.integers(0, len(events) - 1))
        last = draw(st.integers(first, len(events)))
        by = draw(st.integers(-1, 2))
        for at in range(first, last):
            events[at] = (events[at][0], changed(events[at][1], change, by))
    end = draw(st.none() | st.integers(0, len(events)))
    between = ["\n\n", "\n", "", "\ndata: ", " "]
    joints = draw(st.lists(st.sampled_from(between), min_size=len(events), max_size=len(events)))
    return written(found, events, end, joints, draw(st.none() | st.integers(0, 1 << 16)))


def written(
    found: Stream,
    events: list[tuple[str, str]],
    end: int | None,
    joints: list[str],
    cut: int | None,
) -> Damaged:
    """Write the events, ``[DONE]`` before one of them, and cut the bytes.

    A joint in which there is no newline glues an event to the next.
    """
    data, borders, glued = b"", [], False
    for at, (name, text) in enumerate(events):
        if at == end:
            data += b"[DONE]" if glued else b"data: [DONE]\n\n"
        head = f"event: {name}\n" if name and name != "error" else ""
        data += (text if glued else f"{head}data: {text}").encode()
        borders.append(len(data))
        glued = joints[at].strip("\n") == joints[at] or joints[at].endswith("data: ")
        data += joints[at].encode()
    cut = len(data) if cut is None else cut % (len(data) + 1)
    whole = sum(border <= cut for border in borders)
    return Damaged(found, data[:cut], min(whole, until_end(events, end)))


def until_end(events: list[tuple[str, str]], end: int | None) -> int:
    """Return how many events come up to the protocol's end, itself included."""
    for at, (_, text) in enumerate(events):
        if at == end or text == DONE:
            return at
        if json.loads(text).get("type") in ENDS:
            return at + 1
    return len(events)


# --- what must hold -----------------------------------------------------------------------------


@cache
def text_before(name: str, count: int) -> int:
    """Return how much text the first events of a stream have."""
    found = STREAMS[name]
    data = "".join(f"data: {text}\n\n" for _, text in on_one_line(found)[:count])
    return text_of(as_read(found, data.encode()))


def text_of(came: Read) -> int:
    return sum(len(one.answer) + len(one.reasoning) for one in came.reply.choices)


def calls_back(message: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """Return the calls of a message as they go back: id, name, arguments."""
    native = message.get("native")
    if native is None or native["protocol"] == "chat":
        return [
            (call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls", ())
            if "function" in call
        ]
    found = []
    for part in native["content"]:
        kind = part.get("type")
        if kind == "tool_use":
            found.append((part["id"], part["name"], json.dumps(part["input"])))
        elif kind in ("function_call", "custom_tool_call"):
            given = part.get("arguments", part.get("input"))
            found.append((part["call_id"], part["name"], given))
        elif call := part.get("functionCall"):
            found.append((call.get("id", ""), call["name"], json.dumps(call.get("args", {}))))
    return found


def as_parsed(text: str) -> Any:
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


@pytest.mark.unmeasured
@settings(max_examples=1500)
@given(damage=damaged())
def test_no_claim_hides_lost_text(damage: Damaged) -> None:
    """Nor do calls disagree with what goes back, nor comes anything but the error tree."""
    came = as_read(damage.stream, damage.data)
    assert came.cause is None or isinstance(came.cause, TokenGateError)
    assert came.status in ("complete", "paused", "interrupted")
    if came.status == "complete":
        name = next(name for name, one in STREAMS.items() if one is damage.stream)
        assert text_of(came) >= text_before(name, damage.whole), damage.data.decode()
        agree(came)


def agree(came: Read) -> None:
    """Check that each complete call goes back as it is, and no other."""
    whole = [call for call in came.reply.choices[0].tool_calls if call.complete]
    back = calls_back(came.reply.choices[0].message())
    known = ("function", "custom", "custom_tool_call")
    ours = [(call.name, as_parsed(call.arguments)) for call in whole if call.kind in known]
    assert [(name, as_parsed(given)) for _, name, given in back] == ours
    ids = [own for own, *_ in back if own]
    assert len(set(ids)) == len(ids)
    assert set(ids) <= {call.id for call in whole}


def test_there_are_streams_of_every_protocol() -> None:
    """Or the property would hold for nothing."""
    assert all(len(names) > 10 for names in NAMES.values()), NAMES
