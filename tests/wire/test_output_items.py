"""Output items of Responses: which is which, and what of them is new."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate._wire.responses_reply import ResponsesDecoder
from aiotokengate._wire.transcript import Transcript
from tests.wire.test_responses_reply import (
    END,
    MESSAGE,
    REASONING,
    TEXT,
    added,
    call,
    done,
    ev,
    folded,
    listed,
    message,
    native_of,
    reply_to,
    words,
)


@pytest.mark.parametrize("places", [(0, 0), (None, None), (0, 1), (5, 2)])
def test_two_calls_wherever_they_are_said_to_be(places: tuple[int | None, ...]) -> None:
    piece, events = "function_call_arguments.delta", []
    wheres = [{} if place is None else {"output_index": place} for place in places]
    for number, where in enumerate(wheres):
        events.append(added(call(number), **where))
    for number, where in enumerate(wheres):
        text = f'{{"页":{number}}}'
        events.append(ev(piece, item_id=f"fc_{number}", delta=text, **where))
        events.append(done(call(number, text), **where))
    reply = reply_to(*events, END)
    assert [(each.id, each.parse()) for each in reply.tool_calls] == [
        ("call_0", {"页": 0}),
        ("call_1", {"页": 1}),
    ]
    assert all(each.complete for each in reply.tool_calls)
    assert sorted(item["call_id"] for item in native_of(reply)) == ["call_0", "call_1"]


def test_two_calls_without_ids_at_one_place() -> None:
    pair = [{**call(n, '{"a":1}'), "id": None} for n in (1, 2)]
    events = [one for item in pair for one in (added(item, output_index=0), done(item))]
    assert [each.id for each in reply_to(*events, END).tool_calls] == ["call_1", "call_2"]


@pytest.mark.parametrize(
    "output",
    [
        [MESSAGE],
        [REASONING, MESSAGE],
        [{**MESSAGE, "id": "other"}],
        [REASONING, {**MESSAGE, "id": "other"}],
        [{**MESSAGE, "id": None}],
        [],
    ],
)
def test_what_was_streamed_is_listed_once_more(output: list[dict[str, Any]]) -> None:
    """At its place or another, under its id or another."""
    reply = reply_to(
        added({**MESSAGE, "content": []}, output_index=0),
        words("你", 0),
        words("好！", 0),
        done(MESSAGE, output_index=0),
        listed(*output),
    )
    assert reply.answer == TEXT
    assert native_of(reply) == [*(item for item in output if item is REASONING), MESSAGE]


def test_another_text_at_the_same_place_is_another_item() -> None:
    other = message("再见。", id="msg_9")
    reply = reply_to(words("你好！", 0), listed(other, MESSAGE))
    assert reply.answer == "你好！再见。"
    assert native_of(reply) == [other, MESSAGE]


def test_the_signature_of_a_thought_that_comes_late() -> None:
    bare = {key: value for key, value in REASONING.items() if key != "encrypted_content"}
    assert native_of(reply_to(done(bare, output_index=0), listed(REASONING))) == [REASONING]
    first = {**REASONING, "encrypted_content": "gAAAA-half"}
    reply = reply_to(added(first, output_index=0), done(REASONING, output_index=0), END)
    assert native_of(reply) == [REASONING]


def test_many_items_take_linear_time() -> None:
    """Forty thousand items without a sign of their own are matched in one pass."""
    many = [{"type": "message", "content": [{"type": "output_text", "text": "甲"}]}] * 40_000
    reply = reply_to(words("甲", 3), listed(*many))
    assert len(reply.answer) == 40_000


def test_texts_that_name_no_item_are_of_the_newest() -> None:
    """Also where the splicer has taken the ones before."""
    bare = {"type": "message", "content": []}
    piece = ev("output_text.delta", delta="好")
    events = [
        ev("output_item.added", item=bare),
        *[piece] * 5,
        ev("output_item.added", item={**bare, "phase": "commentary"}),
        *[piece] * 3,
        END,
    ]
    decoder = ResponsesDecoder(Transcript())
    decoder.feed_from([orjson.dumps(event) for event in events], 0)
    decoder.end()
    reply = folded(decoder)
    assert (reply.answer, reply.commentary) == ("好" * 5, "好" * 3)
    assert [len(item["content"][0]["text"]) for item in native_of(reply)] == [5, 3]
