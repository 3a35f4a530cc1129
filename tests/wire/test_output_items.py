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


def test_a_message_whose_content_is_a_text() -> None:
    whole = {**MESSAGE, "content": TEXT}
    assert reply_to(done(whole, output_index=0), listed(whole)).answer == TEXT


def test_a_refusal_is_over_once() -> None:
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    over = ev("refusal.done", **where, refusal="不行")
    reply = reply_to(ev("refusal.delta", **where, delta="不"), over, over, END)
    assert reply.choices[0].refusal == "不行"


def test_a_source_is_told_once() -> None:
    source = {"type": "url_citation", "url": "https://a.example"}
    where = {"item_id": "msg_1", "output_index": 0}
    cited = ev("output_text.annotation.added", **where, annotation=source)
    assert len(reply_to(words(TEXT, 0), cited, cited, END).citations) == 1


def test_pieces_of_code_of_an_item_that_is_never_over() -> None:
    where = {"item_id": "ci", "output_index": 0}
    pieces = [ev("code_interpreter_call_code.delta", **where, delta=text) for text in ("6", "*7")]
    reply = reply_to(*pieces, words(TEXT), END)
    (left,) = reply.choices[0].extra["unfinished_items"]
    assert left == {"type": "code_interpreter_call", "code": "6*7"}


def test_an_item_that_pieces_name_by_an_id_of_the_relay() -> None:
    """Its place tells whose it is; from then on the id does."""
    other = ev("output_text.delta", item_id="relay", delta="好！")
    reply = reply_to(
        added({**MESSAGE, "id": None, "content": []}, output_index=0),
        words("你", 0, "relay"),
        other,
        done(MESSAGE, output_index=0),
        END,
    )
    assert (reply.answer, native_of(reply)) == (TEXT, [MESSAGE])


def test_an_id_that_nobody_knows_is_another_item() -> None:
    piece = ev("output_text.delta", item_id="msg_9", delta="再见")
    reply = reply_to(words("你好", 0), piece, END)
    assert reply.answer == "你好再见"
    assert len(native_of(reply)) == 2


def test_an_id_that_begins_once_more_is_another_item() -> None:
    """Unless it is a call, which its call id tells."""
    again = [added(MESSAGE, output_index=0), done(MESSAGE, output_index=0)]
    assert native_of(reply_to(*again, *again, END)) == [MESSAGE, MESSAGE]
    item = call(1, '{"a":1}')
    again = [added(item, output_index=0), done(item, output_index=0)]
    assert native_of(reply_to(*again, *again, END)) == [item]


def test_a_call_whose_pieces_come_before_it_is_named() -> None:
    piece = ev("function_call_arguments.delta", output_index=0, delta='{"a":1}')
    item = call(1, '{"a":1}')
    reply = reply_to(piece, added(call(1), output_index=0), done(item, output_index=0), END)
    assert native_of(reply) == [item]
    assert len(reply.tool_calls) == 1


def test_a_call_that_ends_without_its_id_or_its_place() -> None:
    item = call(1, '{"a":1}')
    for end in (done({**item, "id": None}), done(item), done({**item, "call_id": None})):
        reply = reply_to(added(call(1)), end, END)
        assert [each.id for each in reply.tool_calls] == ["call_1"]
    reply = reply_to(added({**call(1), "call_id": None}), done({**item, "id": None}), END)
    assert len(reply.tool_calls) == 1
    reply = reply_to(added(message("", id="a")), done(message("好", id="b")), END)
    assert reply.answer == "好"


def test_two_calls_that_share_an_id_are_told_apart_by_their_own() -> None:
    pair = [{**call(n, '{"a":1}'), "id": "fc"} for n in (1, 2)]
    events = [added(item, output_index=at) for at, item in enumerate(pair)]
    events += [done(item, output_index=at) for at, item in enumerate(pair)]
    reply = reply_to(*events, listed(*pair))
    assert [each.id for each in reply.tool_calls] == ["call_1", "call_2"]
    assert native_of(reply) == pair


def test_a_call_that_is_listed_under_another_id() -> None:
    item = call(1, '{"a":1}')
    reply = reply_to(done(item, output_index=0), listed({**item, "id": "other"}))
    assert [each.id for each in reply.tool_calls] == ["call_1"]
    assert len(native_of(reply)) == 1


def test_what_was_only_listed_stands_before_what_follows_it() -> None:
    """What was streamed and is not listed keeps its place."""
    second = message("二", id="msg_2")
    first, last = (call(n, '{"a":1}') for n in (1, 2))
    events = [done(MESSAGE, output_index=0), done(second, output_index=1)]
    reply = reply_to(*events, listed(first, second, last))
    assert native_of(reply) == [MESSAGE, first, second, last]


def test_a_listed_item_without_a_sign_is_known_by_what_it_says() -> None:
    """Margins don't matter at the same place, and calls are known by all their fields."""
    bare = {"type": "message", "role": "assistant"}
    padded = {**bare, "content": [{"type": "output_text", "text": f" {TEXT}\n"}]}
    reply = reply_to(words(f"{TEXT} ", 0, ""), listed(padded))
    assert len(native_of(reply)) == 1
    search = {"type": "web_search_call", "action": {"type": "search", "query": "新闻"}}
    reply = reply_to(
        done(search, output_index=0),
        added({"type": "web_search_call"}, output_index=5),
        listed(MESSAGE, {**search, "id": "ws", "status": "completed"}),
    )
    assert [item["type"] for item in native_of(reply)].count("web_search_call") == 1
