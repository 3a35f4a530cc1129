"""Output items of Responses: which is which, and what of them is new."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate._wire.output_items import (
    REFUSAL,
    SUMMARY,
    THOUGHT,
    Item,
    Items,
    Part,
    index_of,
    place_of,
    texts_of,
)
from aiotokengate._wire.output_items import (
    TEXT as TEXTS,
)
from aiotokengate._wire.responses_reply import ResponsesDecoder
from aiotokengate._wire.transcript import ANSWER, Transcript
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


def test_many_items_without_a_sign_of_their_own() -> None:
    """The first is the one that was streamed, the others are new."""
    many = [{"type": "message", "content": [{"type": "output_text", "text": "甲"}]}] * 2_000
    reply = reply_to(words("甲", 3), listed(*many))
    assert len(reply.answer) == 2_000


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


# --- which item an event means ------------------------------------------------------------------


def known(item: Item) -> tuple[str, int | None, str, str]:
    """Return what an item is known by."""
    return item.type, item.place, item.id, item.call_id


def at(place: object = None, item_id: object = None) -> dict[str, Any]:
    return {"output_index": place, "item_id": item_id}


def whole(new_id: object = "", call_id: object = "", kind: str = "call") -> dict[str, Any]:
    return {"type": kind, "id": new_id, "call_id": call_id}


def closed(item: Item) -> Item:
    item.final = {"type": item.type}
    return item


def test_an_item_begins_with_nothing() -> None:
    item = Item("call", 3, "a")
    assert (known(item), item.open) == (("call", 3, "a", ""), True)
    assert (item.first, item.final, item.channel, item.kind, item.speaker) == (None,) * 5
    assert (item.parts, item.promised, item.kept, item.seen) == ([], [], {}, set())
    assert (item.begun, item.own) == (False, False)


def test_an_event_of_an_item_that_nobody_announced_begins_it() -> None:
    items = Items()
    one = items.of_event(at(2, "a"), ("call", "other"))
    two = items.of_event(at(3), ("call", "other"))
    three = items.of_event(at(True, 7), ("other",))
    assert [known(item) for item in items.all] == [
        ("call", 2, "a", ""),
        ("call", 3, "", ""),
        ("other", None, "", ""),
    ]
    assert (one.own, two.own, three.own) == (True, False, False)
    assert items.of_event(at(9, "a"), ("call",)) is one


def test_an_id_is_one_of_a_type() -> None:
    items = Items()
    call = items.of_event(at(None, "a"), ("call",))
    text = items.of_event(at(None, "a"), ("text",))
    assert call is not text
    assert items.of_event(at(None, "a"), ("text", "call")) is text
    assert items.of_event(at(None, "a"), ("other", "call")) is call
    items = Items()
    announced = items.added({}, whole("a"))
    assert not announced.own
    assert items.of_event(at(None, "a"), ("call",)).own


def test_a_place_tells_whose_an_event_is() -> None:
    """As long as the item there is open, and of a fitting type."""
    items = Items()
    call = items.added(at(1), whole())
    assert items.of_event(at(1), ("text", "call")) is call
    assert items.of_event(at(1, "own"), ("call",)) is call
    assert items.of_event(at(None, "own"), ("call",)) is call
    assert items.of_event(at(1), ("call",)) is call
    assert items.of_event(at(1, "another"), ("call",)) is not call
    items = Items()
    call = closed(items.added(at(1), whole()))
    assert items.of_event(at(1), ("call",)) is not call
    items = Items()
    call = items.added(at(1), whole())
    text = items.of_event(at(1), ("text",))
    assert (text is not call, text.place) == (True, 1)
    assert items.of_event(at(2), ("call",)) is not call


def test_without_a_place_the_newest_open_item_is_meant() -> None:
    items = Items()
    call = items.added(at(0), whole("a"))
    text = items.added(at(1), whole("b", kind="text"))
    assert items.of_event(at(), ("call", "text")) is call
    assert items.of_event(at(), ("text", "call")) is text
    closed(call)
    assert items.of_event(at(), ("call", "text")) is text
    closed(text)
    assert items.of_event(at(), ("other", "text")).type == "other"
    assert items.of_event(at(None, "c"), ("other",)) is items.all[-1]
    assert len(items.all) == 4


def test_an_item_that_is_added_again() -> None:
    items = Items()
    first = whole("a", "c")
    call = items.added(at(0), first)
    assert (known(call), call.first) == (("call", 0, "a", "c"), first)
    assert items.added(at(5), whole("a")) is call
    assert items.added(at(5), whole("", "c")) is call
    assert items.added(at(5), whole("b", "c")) is not call
    assert (call.first, call.place) == (first, 0)
    closed(call)
    assert items.added(at(0), whole("a", "c")) is call
    assert items.added(at(0), whole("a")) is not call
    assert items.added(at(0), whole("", "c")) in (call, items.all[1])


def test_an_id_says_more_than_a_place() -> None:
    items = Items()
    call, unnamed = items.added(at(0), whole("a")), items.of_event(at(1), ("call",))
    assert items.added(at(1), whole("a")) is call
    assert items.added(at(None), whole("b")) not in (call, unnamed)
    assert items.added(at(1), whole("c")) is unnamed


def test_an_item_whose_pieces_came_first_is_added_where_they_stand() -> None:
    """Unless anything says that these were of another one."""
    for change in ("", "type", "first", "id", "call_id", "final", "place"):
        items = Items()
        piece = items.of_event(at(0), ("call",))
        if change in ("first", "final"):
            setattr(piece, change, {"x": 1})
        elif change in ("id", "call_id"):
            setattr(piece, change, "z")
        kind = "text" if change == "type" else "call"
        found = items.added(at(7 if change == "place" else 0), whole("a", "c", kind))
        assert (found is piece) is (change == ""), change
        assert known(found) == (kind, 7 if change == "place" else 0, "a", "c")


def test_two_items_of_one_id_are_told_apart_by_their_call_ids() -> None:
    items = Items()
    one, two = (items.added(at(place), whole("a", f"c{place}")) for place in (0, 1))
    assert one is not two
    assert items.done(at(), whole("a", "c0")) is one
    assert items.done(at(), whole("a", "c1")) is two
    assert items.done(at(), whole("a")) is two
    assert items.done(at(), whole("a", "c2")) not in (one, two)


def test_which_item_is_over() -> None:
    items = Items()
    one = items.added(at(0), whole("a", "c"))
    two = items.added(at(1), whole("b"))
    assert items.done(at(), whole("a")) is one
    assert items.done(at(), whole("z", "c")) is one
    assert items.done(at(1), whole("y")) is two
    assert items.done(at(), whole("y")) is two
    assert items.done(at(), whole("w")) is not two
    assert known(items.all[-1]) == ("call", None, "w", "")


def test_an_end_without_an_id_is_of_the_open_item_at_its_place() -> None:
    def ended(first: dict[str, Any], event: dict[str, Any], last: dict[str, Any]) -> bool:
        items = Items()
        begun = items.added(at(3), first)
        return items.done(event, last) is begun

    assert ended(whole(), at(3), whole())
    assert ended(whole(), at(), whole())
    assert not ended(whole(), at(4), whole())
    assert not ended(whole(), at(3), whole(kind="text"))
    assert not ended(whole(), at(), whole(kind="text"))
    assert ended(whole("a"), at(3), whole("b"))
    assert not ended(whole("a"), at(), whole("b"))
    assert ended(whole("a"), at(), whole())
    assert ended(whole("", "c"), at(3), whole("b"))
    assert not ended(whole("", "c"), at(3), whole("b", "d"))
    assert not ended(whole("", "c"), at(), whole("", "d"))


def test_an_end_of_a_call_that_is_over_is_that_of_another_where_its_id_is() -> None:
    items = Items()
    call = closed(items.added(at(0), whole("a", "c")))
    assert items.done(at(0), whole("", "c")) is call
    assert items.done(at(0), whole()) is not call
    assert items.done(at(0), whole("b", "c")) is not call


def test_numbers_on_the_wire() -> None:
    assert [place_of(at(value)) for value in (0, 3, -1, "3", True, 1.0, None)] == [
        *(0, 3, -1),
        *(None,) * 4,
    ]
    event = {"content_index": 2, "summary_index": "1"}
    assert [index_of(event, channel) for channel in (TEXTS, REFUSAL, SUMMARY, THOUGHT)] == [
        *(2, 2, 0, 2)
    ]


# --- what a whole response lists ----------------------------------------------------------------


def paired(items: Items, *wholes: dict[str, Any]) -> list[Item]:
    pairs = items.of_output(iter(wholes), Transcript())
    assert [one for _, one in pairs] == list(wholes)
    assert items.listed == [item for item, _ in pairs]
    return items.listed


def test_what_is_listed_and_new_has_its_place_in_the_list() -> None:
    items = Items()
    paired(items, whole("a", "c"), whole(kind="text"))
    assert [known(item) for item in items.all] == [("call", 0, "a", "c"), ("text", 1, "", "")]
    assert items.done(at(), whole("", "c")) is items.all[0]


def test_what_is_listed_is_known_by_its_signs_first() -> None:
    items = Items()
    one, two = items.added(at(0), whole("a", "c")), items.added(at(1), whole("b", "d"))
    assert paired(items, whole("b"), whole("a")) == [two, one]
    assert paired(items, whole("x", "d"), whole("", "c")) == [two, one]
    twice = paired(items, whole("a"), whole("a"))
    assert (twice[0] is one, twice[1] is one) == (True, False)


def test_a_listed_item_takes_over_the_call_id() -> None:
    items = Items()
    call = items.added(at(0), whole("a"))
    assert paired(items, whole("a", "c")) == [call]
    assert call.call_id == "c"
    assert paired(items, whole("a")) == [call]
    assert call.call_id == "c"


def test_a_call_id_tells_where_the_id_is_taken() -> None:
    items = Items()
    one, two = items.added(at(0), whole("a")), items.added(at(1), whole("b", "d"))
    assert paired(items, whole("a"), whole("a", "d")) == [one, two]


def test_calls_at_one_place_are_one_unless_their_ids_differ() -> None:
    def same(first: dict[str, Any], last: dict[str, Any]) -> bool:
        items = Items()
        begun = items.added(at(0), first)
        return paired(items, last) == [begun]

    assert same(whole("a"), whole("b"))
    assert same(whole("a", "c"), whole("b"))
    assert not same(whole("a", "c"), whole("b", "d"))
    assert not same(whole("a"), whole("b", kind="text"))


def test_what_is_over_is_known_by_all_its_fields_but_its_names() -> None:
    def same(first: dict[str, Any], last: dict[str, Any]) -> bool:
        items = Items()
        begun = items.done(at(5), first)
        begun.final = first
        return paired(items, last) == [begun]

    search = {"type": "search", "id": "a", "status": "in_progress", "query": "花", "n": [1]}
    assert same(search, {**search, "id": "b", "status": "completed"})
    assert same(search, dict(reversed({**search, "id": "b"}.items())))
    assert not same(search, {**search, "id": "b", "query": "草"})
    assert not same({**search, "call_id": "c"}, {**search, "id": "b", "call_id": "d"})
    thought = {"type": "reasoning", "id": "a", "summary": [], "encrypted_content": "E"}
    assert same(thought, {**thought, "id": "b", "status": "completed"})
    assert not same(thought, {**thought, "id": "b", "encrypted_content": "F"})
    bare = {"type": "reasoning", "id": "a"}
    assert not same(bare, {**bare, "id": "b"})
    told = {**bare, "content": [{"type": "reasoning_text", "text": "想"}]}
    short = {"summary": [{"type": "summary_text", "text": "想"}]}
    assert same(told, {**bare, **short, "id": "b"})
    refused = {"type": "message", "content": [{"type": "refusal", "refusal": "不"}]}
    assert same(refused, {**refused, "id": "b"})
    said = {"type": "message", "content": [{"type": "output_text", "text": "好"}]}
    both = {"type": "message", "content": [*said["content"], *refused["content"]]}
    assert same(both, {"type": "message", "content": [*refused["content"], *said["content"]]})
    assert not same(said, {**refused, "id": "b"})


def test_items_of_one_content_are_matched_in_their_order() -> None:
    items = Items()
    search = {"type": "search", "query": "花"}
    begun = [items.added(at(place), {**search, "id": str(place)}) for place in (5, 6, 7)]
    for item in begun:
        item.final = search
    assert paired(items, {**search, "id": "6"}, search, {**search, "id": "x"}, search)[:3] == [
        *(begun[1], begun[0], begun[2])
    ]


def spoken(text: str, whole_text: str) -> int:
    """Return how many items there are of a text, and of a whole at its place."""
    items, log = Items(), Transcript()
    item = items.of_event(at(0), ("message",))
    part = item.part(TEXTS, 0)
    log.put(0, ANSWER, text)
    part.kind, part.runs = ANSWER, [(0, 1, 0)]
    content = [{"type": "output_text", "text": whole_text}]
    items.of_output([{"type": "message", "content": content}], log)
    return len(items.all)


def test_texts_at_one_place_are_one_where_one_begins_the_other() -> None:
    assert spoken("你好", "你好！") == 1
    assert spoken("你好！", "你好") == 1
    assert spoken(" 你好", "你好 ") == 1
    assert spoken("你好", "") == 1
    assert spoken("你好", "您好") == 2


def test_items_go_back_as_they_are_listed_if_all_are() -> None:
    items = Items()
    one, two = (items.added(at(place), whole(new)) for place, new in ((0, "a"), (1, "b")))
    paired(items, whole("b"), whole("a"))
    assert items.in_order() == [two, one]
    paired(items, whole("b"))
    assert items.in_order() == [one, two]


def test_items_go_back_by_their_places_if_these_can_be_believed() -> None:
    def order(*places: int | None) -> list[int]:
        items = Items()
        all_items = [items.added(at(place), whole(str(n))) for n, place in enumerate(places)]
        return [all_items.index(item) for item in items.in_order()]

    assert order(2, 0, 1) == [1, 2, 0]
    assert order(2, 0, 0) == [0, 1, 2]
    assert order(2, None, 0) == [0, 1, 2]
    assert order() == []


def test_what_was_only_listed_goes_before_what_follows_it() -> None:
    items = Items()
    late = items.added(at(4), whole("late"))
    early = items.added(at(1), whole("early"))
    spoke = items.of_event(at(6, "spoke"), ("call",))
    spoke.part(TEXTS, 0)
    found = paired(items, whole("x"), whole("early"), whole("y"), whole("z"), whole("spoke"))
    assert items.in_order() == [found[0], early, late, found[2], found[3], spoke]


def test_what_was_over_and_is_not_listed_goes_back_all_the_same() -> None:
    items = Items()
    unlisted = items.done(at(1), whole("x"))
    both = items.done(at(0), whole("y"))
    (_, new) = paired(items, whole("y"), whole("z", kind="text"))
    assert items.in_order() == [unlisted, both, new]


# --- parts --------------------------------------------------------------------------------------


def test_parts_of_an_item() -> None:
    item = Item("message")
    text, refusal = item.part(TEXTS, 0), item.part(REFUSAL, 0)
    assert (text.channel, text.index, refusal.channel) == (TEXTS, 0, REFUSAL)
    assert item.part(TEXTS, 0) is item.known_part(TEXTS, 0) is text
    assert item.known_part(TEXTS, 1) is None
    text.close("好")
    again = item.part(TEXTS, 0)
    assert again is not text
    assert item.parts == [text, refusal, again]
    assert item.of(TEXTS) == [text, again]
    assert item.known_part(TEXTS, 0) is again


def test_a_part_that_is_closed_knows_what_it_said() -> None:
    part = Part(TEXTS, 2)
    assert (part.kind, part.size, part.closed, part.logprobs) == (0, 0, False, False)
    assert (part.pieces, part.runs) == ([], [])
    part.close("你好")
    assert (part.closed, part.size) == (True, 2)
    assert part.has_said("你好")
    assert not part.has_said("再见")
    assert not part.has_said("你好！")


def test_what_a_part_said_is_in_the_log() -> None:
    log = Transcript()
    for text in ("前", "\n\n你", "好", "后", "吗"):
        log.put(0, ANSWER, text)
    part = Part(TEXTS, 0)
    part.kind, part.runs = ANSWER, [(1, 3, 2), (4, 5, 0)]
    assert part.said(log) == "你好吗"
    item = Item("message")
    item.parts = [part, Part(TEXTS, 1)]
    item.parts[1].pieces = ["？", "！"]
    assert item.said(log) == "你好吗？！"
    thought = Item("reasoning")
    thought.parts = [Part(SUMMARY, 0), Part(THOUGHT, 0)]
    for each, text in zip(thought.parts, ("摘要", "全文"), strict=True):
        each.pieces = [text]
    assert thought.said(log) == ""
    thought.channel = THOUGHT
    assert thought.said(log) == "全文"


def test_a_part_whose_beginning_was_dropped() -> None:
    log = Transcript(retain=False)
    part = Part(TEXTS, 0)
    assert not part.is_dropped(log)
    part.runs = [(3, 5, 0), (9, 10, 0)]
    log.first = 3
    assert not part.is_dropped(log)
    log.first = 4
    assert part.is_dropped(log)


def test_what_was_told_before_is_not_new() -> None:
    item = Item("message")
    assert [item.is_new(value) for value in ({"a": 1}, {"a": 1}, {"a": 2})] == [True, False, True]
    item.keep("code", "a")
    item.keep("code", "b")
    assert item.kept == {"code": ["a", "b"]}


def test_the_texts_of_an_item_stand_under_the_name_of_their_channel() -> None:
    content = [
        {"type": "output_text", "text": "好"},
        {"type": "refusal", "refusal": "不", "text": "？"},
        {"type": "reasoning_text", "text": "想"},
        {"type": "output_text", "text": ""},
        {"text": "无名"},
        "?",
        {"type": "output_text", "text": "吗"},
    ]
    summary = [{"type": "summary_text", "text": "一"}, {"text": "二"}, {"type": "x", "text": "三"}]
    item = {"content": content, "summary": summary}
    assert texts_of(item, TEXTS) == [(0, "好"), (6, "吗")]
    assert texts_of(item, REFUSAL) == [(1, "不")]
    assert texts_of(item, THOUGHT) == [(2, "想"), (4, "无名")]
    assert texts_of(item, SUMMARY) == [(0, "一"), (1, "二")]
    assert texts_of({"content": "好"}, TEXTS) == [(0, "好")]
    assert texts_of({"content": "好"}, THOUGHT) == texts_of({}, TEXTS) == []
