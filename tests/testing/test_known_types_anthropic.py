"""Nothing that the ``anthropic`` package says may come is lost.

Strategy.  Every event, delta, block and kind of citation of the stable and of the beta unions is
filled from its type, with a mark for each of its texts, and sent through decoder and fold.  Each
mark must be found again: in a delta, in what nobody knows, in what goes back, or in a field of the
reply.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import orjson
import pydantic
import pytest
from anthropic import types
from anthropic.types import beta

from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.fold import fold
from aiotokengate._wire.messages_reply import MessagesDecoder
from aiotokengate._wire.transcript import Transcript
from tests.support.common import About
from tests.support.filled import examples, members, texts_in

Event = dict[str, Any]

FIXED = {"index": 0}


def found_in(*events: Event) -> str:
    """Return all that is left of events, as text."""
    log = Transcript()
    decoder = MessagesDecoder(log)
    for event in events:
        decoder.feed(orjson.dumps(event))
    decoder.end()
    reply = fold(log, DIALECTS["claude"], About("complete"))
    return repr(([log.delta(at) for at in range(len(log))], attrs.asdict(reply)))


def ended(*events: Event) -> list[Event]:
    claim = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    return [*events, claim, {"type": "message_stop"}]


def of_block(block: Event) -> list[Event]:
    return ended({"type": "content_block_start", "index": 0, "content_block": block})


def of_delta(delta: Event) -> list[Event]:
    begun = []
    if delta["type"] == "input_json_delta":
        block = {"type": "tool_use", "id": "toolu_1", "name": "查", "input": {}}
        begun = [{"type": "content_block_start", "index": 0, "content_block": block}]
    return ended(*begun, {"type": "content_block_delta", "index": 0, "delta": delta})


def of_citation(citation: Event) -> list[Event]:
    return of_delta({"type": "citations_delta", "citation": citation})


def of_event(event: Event) -> list[Event]:
    if event["type"] == "content_block_delta":
        return of_delta(event["delta"])
    return ended(event)


UNIONS = [
    ("event", types.RawMessageStreamEvent, of_event),
    ("event", beta.BetaRawMessageStreamEvent, of_event),
    ("delta", types.RawContentBlockDelta, of_delta),
    ("delta", beta.BetaRawContentBlockDelta, of_delta),
    ("block", types.ContentBlock, of_block),
    ("block", beta.BetaContentBlock, of_block),
    ("citation", types.TextCitation, of_citation),
    ("citation", beta.BetaTextCitation, of_citation),
]


def cases() -> Iterator[Any]:
    for kind, union, wrap in UNIONS:
        for model in members(union):
            yield pytest.param(model, wrap, id=f"{kind}-{model.__name__}")


@pytest.mark.parametrize(("model", "wrap"), list(cases()))
def test_nothing_of_it_is_lost(model: type[pydantic.BaseModel], wrap: Any) -> None:
    for example in examples(model, FIXED):
        left = found_in(*wrap(example))
        assert [name for name, mark in texts_in(example) if mark not in left] == []


def test_how_many_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    known = {(kind, model) for kind, union, _ in UNIONS for model in members(union)}
    marks = sum(
        len(list(texts_in(example))) for _, model in known for example in examples(model, FIXED)
    )
    with capsys.disabled():
        print(f"\nanthropic: {len(known)} types, {marks} texts in their examples")
    assert len(known) >= 60
    assert marks > 500


def test_what_is_lost_would_be_seen() -> None:
    event = {"type": "content_block_stop", "index": 0, "odd": "记号🔖0.1:odd"}
    assert "记号🔖0.1:odd" in found_in({**event, "type": "content_block_odd"})
    assert "记号🔖0.1:odd" not in found_in({"type": "ping", "odd": event["odd"]})
