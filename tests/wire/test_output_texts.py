"""Texts of Responses: what has been said, and what has not."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate import (
    AnswerDelta,
    CommentaryDelta,
    ReasoningDelta,
    RefusalDelta,
    UnknownDelta,
)
from aiotokengate._wire.responses_reply import ResponsesDecoder
from aiotokengate._wire.transcript import Transcript
from aiotokengate.types import Citation
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
    read,
    reply_to,
    summary,
    words,
)

PART = {"type": "output_text", "text": "你好！", "annotations": [], "logprobs": []}


@pytest.mark.parametrize(
    "closing",
    [
        [ev("output_text.done", item_id="msg_1", output_index=1, text=TEXT)],
        [ev("content_part.done", item_id="msg_1", part=PART)],
        [done(MESSAGE, output_index=1)],
        [listed(MESSAGE)],
        [
            ev("output_text.done", item_id="msg_1", output_index=1, text=TEXT),
            ev("content_part.done", item_id="msg_1", part=PART),
            done(MESSAGE, output_index=1),
            listed(MESSAGE),
        ],
    ],
)
@pytest.mark.parametrize("said", ["", "你", TEXT])
def test_a_text_is_said_once(said: str, closing: list[dict[str, Any]]) -> None:
    reply = reply_to(words(said), *closing, END)
    assert (reply.answer, reply.notes) == (TEXT, ())
    assert native_of(reply)[0]["content"][0]["text"] == TEXT


def test_a_text_that_its_end_contradicts() -> None:
    reply = reply_to(words("你好"), done(message("再见"), output_index=1), END)
    assert reply.answer == "你好"
    assert reply.notes == ("a text was told otherwise at its end; what came in pieces was kept",)


@pytest.mark.parametrize("kind", ["reasoning_summary_text", "reasoning_text"])
def test_thoughts_that_come_only_at_their_end(kind: str) -> None:
    event = ev(f"{kind}.done", item_id="rs_1", output_index=0, text="想一想 🤔")
    assert reply_to(event, event, END).reasoning == "想一想 🤔"


def test_parts_of_a_summary_are_set_apart() -> None:
    parts = [
        ev("reasoning_summary_part.done", item_id="rs_1", summary_index=at, part={"text": text})
        for at, text in enumerate(("一", "二"))
    ]
    assert reply_to(*parts, done(REASONING), END).reasoning.startswith("一\n\n二")
    assert reply_to(summary(0, "**查天气**"), done(REASONING), END).reasoning == (
        "**查天气** 🌦️\n\n用工具"
    )


def test_refusals_and_sources_are_told_once() -> None:
    source = {"type": "url_citation", "url": "https://例.cn", "title": "甲"}
    kept = {"type": "file_citation", "file_id": "f1", "index": 0}
    part = {"type": "output_text", "text": "据说", "annotations": [source, kept]}
    whole = {**MESSAGE, "content": [part, {"type": "refusal", "refusal": "不行"}]}
    where = {"item_id": "msg_1", "output_index": 0}
    reply = reply_to(
        words("据说", 0),
        ev("output_text.annotation.added", **where, annotation=source),
        ev("output_text.annotation.added", **where, annotation=kept),
        ev("refusal.delta", **where, content_index=1, delta="不"),
        ev("refusal.done", **where, content_index=1, refusal="不行"),
        done(whole, output_index=0),
        listed(whole),
    )
    assert (reply.answer, reply.choices[0].refusal) == ("据说", "不行")
    assert [each.url for each in reply.citations] == ["https://例.cn"]
    assert reply.choices[0].extra == {"annotations": [kept]}


def test_what_only_the_beginning_has_said() -> None:
    reply = reply_to(added(MESSAGE, output_index=0), END)
    assert (reply.answer, reply.status) == (TEXT, "complete")
    first = added(call(1, '{"a":1}'), output_index=0)
    assert reply_to(first, END).tool_calls[0].parse() == {"a": 1}


@pytest.mark.parametrize("retain", [True, False])
def test_long_texts_whose_beginning_is_packed_or_dropped(*, retain: bool) -> None:
    pieces = [f"第{number}句。" for number in range(400)]
    decoder = ResponsesDecoder(Transcript(retain=retain))
    for piece in pieces:
        decoder.feed(orjson.dumps(words(piece)))
    log = decoder.transcript
    log.pack()
    if not retain:
        log.forget(256)
    before = len(log)
    decoder.feed(orjson.dumps(done(message("".join(pieces) + "完。"), output_index=1)))
    assert [log.delta(at).text for at in range(before, len(log))] == ["完。"]  # type: ignore[union-attr]


def test_commentary_is_neither_answer_nor_reasoning() -> None:
    first = message("先看文件。", id="msg_0", phase="commentary")
    last = message("结果是 42。", phase="final_answer")
    decoder = read(
        added({**first, "content": []}, output_index=0),
        words("先看", 0, "msg_0"),
        words("文件。", 0, "msg_0"),
        done(first, output_index=0),
        done(last, output_index=1),
        listed(first, last),
    )
    reply = folded(decoder)
    assert (reply.commentary, reply.answer, reply.reasoning) == ("先看文件。", "结果是 42。", "")
    assert decoder.transcript.delta(0) == CommentaryDelta("先看")
    assert native_of(reply) == [first, last]


def test_a_phase_that_comes_too_late_changes_nothing() -> None:
    whole = message("先看文件。", phase="commentary")
    reply = reply_to(words("先看", 0), done(whole, output_index=0), END)
    assert (reply.answer, reply.commentary) == ("先看文件。", "")
    assert native_of(reply) == [whole]
    assert reply_to(done(whole), END).commentary == "先看文件。"


def test_commentary_is_spliced() -> None:
    decoder = ResponsesDecoder(Transcript())
    first = {**message(""), "phase": "commentary", "content": []}
    events = [added(first, output_index=1), *(words(f"{n} 步") for n in range(200))]
    decoder.feed_from([orjson.dumps(event) for event in events], 0)
    assert decoder.splicer.hits > 190
    assert decoder.transcript.text(0, 2).endswith("199 步")


def test_log_probabilities_come_with_pieces_or_with_the_whole() -> None:
    row = {"token": "你"}
    where = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
    whole = {**MESSAGE, "content": [{**PART, "logprobs": [row]}]}
    for events in (
        [ev("output_text.delta", **where, delta=TEXT, logprobs=[row])],
        [words(TEXT), ev("output_text.done", **where, text=TEXT, logprobs=[row])],
        [words(TEXT), ev("content_part.done", **where, part={**PART, "logprobs": [row]})],
        [words(TEXT)],
    ):
        reply = reply_to(*events, done(whole, output_index=1), END)
        assert reply.choices[0].logprobs == (row,)


def test_what_a_part_had_when_it_began() -> None:
    """Its text is told if nothing else tells it, once; what is no part is passed over."""
    where = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
    begun = ev("content_part.added", **where, part={**PART, "logprobs": [{"token": "你"}]})
    bare = added({**MESSAGE, "content": []}, output_index=1)
    odd = ev("content_part.added", **where, part="?")
    reply = reply_to(bare, begun, odd, END)
    assert (reply.answer, reply.choices[0].logprobs) == (TEXT, ({"token": "你"},))
    assert reply_to(bare, begun, words(TEXT), END).answer == TEXT
    empty = ev("content_part.added", **where, part={**PART, "text": ""})
    assert reply_to(bare, empty, words(TEXT), END).answer == TEXT


def test_parts_that_nobody_knows() -> None:
    """They are told, each once, under the name of their type."""
    where = {"item_id": "msg_1", "output_index": 1}
    song = {"type": "output_song", "notes": "♪"}
    decoder = read(
        words("好"),
        ev("content_part.added", **where, content_index=1, part=song),
        ev("content_part.done", **where, content_index=1, part=song),
        ev("content_part.done", **where, content_index=2, part=7),
        done({**message("好"), "content": [{**PART, "text": "好"}, song, {}]}, output_index=1),
        END,
    )
    log = decoder.transcript
    unknown = [each for each in map(log.delta, range(len(log))) if isinstance(each, UnknownDelta)]
    assert [each.type for each in unknown] == ["output_song", "?"]


def test_another_text_under_the_index_of_one_that_is_over() -> None:
    """What goes on with it goes on, what does not is another part."""
    where = {"item_id": "msg_1", "output_index": 1, "content_index": 0}

    def texts(*wholes: str) -> str:
        return reply_to(*(ev("output_text.done", **where, text=one) for one in wholes), END).answer

    assert texts("你", "你好") == "你好"
    assert texts("你好", "再见") == "你好再见"
    assert texts("你好", "你好", "") == "你好"


def test_of_a_text_whose_beginning_was_dropped_the_end_is_found() -> None:
    def rest(whole: str, *, forget: int) -> list[str]:
        decoder = ResponsesDecoder(Transcript(retain=False))
        for number in range(300):
            decoder.feed(orjson.dumps(words(f"第{number}句。")))
        log = decoder.transcript
        log.pack()
        log.forget(forget)
        before = len(log)
        decoder.feed(orjson.dumps(done(message(whole), output_index=1)))
        return [log.delta(at).text for at in range(before, len(log))]  # type: ignore[union-attr]

    assert rest("".join(f"第{n}句。" for n in range(300)) + "完", forget=256) == ["完"]
    assert rest("全不一样", forget=256) == ["全不一样"]


def test_thoughts_of_the_other_kind_are_kept_beside() -> None:
    where = {"item_id": "rs_1", "output_index": 0}
    reply = reply_to(
        summary(0, "摘要"),
        ev("reasoning_text.delta", **where, content_index=0, delta="全文"),
        END,
    )
    assert reply.reasoning == "摘要"


def test_a_message_in_more_parts_than_its_pieces() -> None:
    """Pieces under one index, a whole in two parts: what is missing is told, behind."""

    def whole(*texts: str) -> dict[str, Any]:
        return {**MESSAGE, "content": [{**PART, "text": text} for text in texts]}

    reply = reply_to(words("你好再"), done(whole("你好", "再见"), output_index=1), END)
    assert reply.answer == "你好再见"
    reply = reply_to(words("你好"), done(whole("你好", "再见"), output_index=1), END)
    assert reply.answer == "你好再见"
    apart = {"item_id": "msg_1", "output_index": 1, "content_index": 1}
    pieces = [words("你"), ev("output_text.delta", **apart, delta="再")]
    reply = reply_to(*pieces, done(whole("你好", "再见"), output_index=1), END)
    assert "见" in reply.answer
    assert reply_to(words("你"), done(whole(), output_index=1), END).answer == "你"


def test_a_source_as_chat_completions_has_it() -> None:
    nested = {"type": "url_citation", "url_citation": {"url": "https://a.example", "title": 7}}
    where = {"item_id": "msg_1", "output_index": 1}
    reply = reply_to(
        words(TEXT),
        ev("output_text.annotation.added", **where, annotation=nested),
        ev("output_text.annotation.added", **where, annotation=None),
        END,
    )
    assert [(each.url, each.title) for each in reply.citations] == [("https://a.example", None)]


def test_a_delta_without_a_text_says_nothing() -> None:
    assert (
        reply_to(ev("refusal.delta", item_id="msg_1", delta=None), words("好"), END).answer == "好"
    )


def test_a_character_cut_in_two_is_told_whole() -> None:
    half = b'{"type":"response.output_text.delta","item_id":"msg_1","output_index":1,"delta":"%s"}'
    where = {"item_id": "msg_1", "output_index": 1}
    refused = {"type": "response.refusal.delta", "item_id": "msg_1", "content_index": 1}
    decoder = read(
        half % b"a\\ud83c",
        ev("output_text.done", **where, text="a🎉"),
        {**refused, "delta": "不"},
        END,
    )
    reply = folded(decoder)
    assert (reply.answer, reply.choices[0].refusal) == ("a🎉", "不")


# --- whose text it is ---------------------------------------------------------------------------


def pieces_of(*events: object) -> list[str]:
    """Return the texts that were told, in their order, of whatever kind."""
    log = read(*events).transcript
    told = map(log.delta, range(len(log)))
    return [one.text for one in told if isinstance(one, TOLD)]


TOLD = (AnswerDelta, CommentaryDelta, ReasoningDelta, RefusalDelta)
AT = {"item_id": "msg_1", "output_index": 1}


def refused(text: object, index: int = 0) -> dict[str, Any]:
    return ev("refusal.delta", **AT, content_index=index, delta=text)


def over(text: object, index: int = 0, **more: Any) -> dict[str, Any]:
    return ev("output_text.done", **AT, content_index=index, text=text, **more)


def part_of(text: str, index: int) -> dict[str, Any]:
    return ev("output_text.delta", **AT, content_index=index, delta=text)


def in_parts(*texts: str, **more: Any) -> dict[str, Any]:
    return {**MESSAGE, "content": [{**PART, "text": text} for text in texts], **more}


def test_parts_of_a_thought_are_set_apart_wherever_another_speaks() -> None:
    """Those of another item are not; nor are parts of an answer."""
    other = {**summary(0, "丁"), "item_id": "rs_2", "output_index": 3}
    events = [summary(0, "甲"), summary(0, "乙"), summary(1, "丙"), summary(0, "甲"), other]
    assert pieces_of(*events) == ["甲", "乙", "\n\n丙", "\n\n甲", "丁"]
    split = [summary(0, "甲"), words("好"), summary(0, "乙"), summary(1, "丙")]
    assert pieces_of(*split) == ["甲", "好", "乙", "\n\n丙"]
    assert pieces_of(part_of("一", 0), part_of("二", 1), part_of("三", 0)) == ["一", "二", "三"]


def test_what_sets_parts_apart_is_not_of_their_text() -> None:
    events = [summary(0, "一"), summary(1, "二"), summary(0, "三")]
    said = [{"type": "summary_text", "text": text} for text in ("一三", "二四")]
    whole = {**REASONING, "summary": said}
    assert pieces_of(*events, done(whole, output_index=0)) == [
        "一",
        "\n\n二",
        "\n\n三",
        "\n\n四",
    ]


def test_refusals_are_told_as_they_come() -> None:
    assert pieces_of(refused("不"), words("好"), refused("行")) == ["不", "好", "行"]
    assert pieces_of(refused("不"), ev("refusal.done", **AT, refusal="不行")) == ["不", "行"]
    whole = {**MESSAGE, "content": [{"type": "refusal", "refusal": "不行！"}]}
    assert pieces_of(refused("不"), done(whole, output_index=1)) == ["不", "行！"]
    assert pieces_of(done(whole, output_index=1)) == ["不行！"]
    assert pieces_of(refused(7), refused(""), words("")) == []


@pytest.mark.parametrize("first", ["summary", "raw"])
def test_of_two_ways_to_tell_a_thought_the_first_is_told(first: str) -> None:
    where = {"item_id": "rs_1", "output_index": 0}
    raw = ev("reasoning_text.delta", **where, content_index=0, delta="全文")
    short = summary(0, "摘要")
    ends = [
        ev("reasoning_summary_text.done", **where, summary_index=0, text="摘要完"),
        ev("reasoning_text.done", **where, content_index=0, text="全文完"),
    ]
    whole = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "摘要完了"}],
        "content": [{"type": "reasoning_text", "text": "全文完了"}],
    }
    pieces = [short, raw] if first == "summary" else [raw, short]
    said = ["摘要", "完", "了"] if first == "summary" else ["全文", "完", "了"]
    assert pieces_of(*pieces, *ends, done(whole, output_index=0)) == said
    assert pieces_of(done(whole)) == ["摘要完了"]
    assert pieces_of(done({**whole, "summary": []})) == ["全文完了"]


# --- what an end says ---------------------------------------------------------------------------


def test_an_end_tells_what_is_missing() -> None:
    assert pieces_of(words("你"), over("你好")) == ["你", "好"]
    assert pieces_of(over("你好")) == ["你好"]
    assert pieces_of(over("你好"), over("你好")) == ["你好"]
    assert pieces_of(over("你好"), over("你好啊")) == ["你好", "啊"]
    assert pieces_of(over("你好"), over("你们")) == ["你好", "你们"]
    assert pieces_of(over("你好"), over("你")) == ["你好", "你"]
    assert pieces_of(over("你好"), words("吗")) == ["你好", "吗"]
    for nothing in ("", None, 7):
        assert pieces_of(over(nothing), words("好")) == ["好"]


def test_an_end_after_the_item_is_over_says_nothing() -> None:
    assert pieces_of(words(TEXT), done(MESSAGE, output_index=1), over("再见")) == [TEXT]


@pytest.mark.parametrize(
    ("said", "whole", "noted"),
    [
        ("你好", "再见", True),
        ("你好", "好", False),
        ("你好", " 你好 ", False),
        (" 你好", "你好", False),
        ("你好", "你 好", True),
    ],
)
def test_an_end_that_says_otherwise_is_noted_once(said: str, whole: str, *, noted: bool) -> None:
    for end in (over(whole), done(message(whole), output_index=1)):
        decoder = read(words(said), end, END)
        notes = ["a text was told otherwise at its end; what came in pieces was kept"]
        assert decoder.transcript.notes == (notes if noted else [])
        assert folded(decoder).answer == said
    twice = read(words("一"), over("二"), part_of("三", 1), over("四", 1), END)
    assert len(twice.transcript.notes) == 1


@pytest.mark.parametrize(
    ("pieces", "wholes", "missing"),
    [
        ([("你", 0)], ("你好",), ["好"]),
        ([("你", 0)], ("你好", "再见"), ["好", "再见"]),
        ([("你", 0), ("再", 1)], ("你好", "再见"), ["好", "见"]),
        ([("你好", 0), ("再", 1)], ("你好", "再见"), ["见"]),
        ([("再", 1)], ("你好", "再见"), ["你好", "见"]),
        ([("你好再", 0)], ("你好", "再见"), ["见"]),
        ([("你", 5)], ("你好", "再见"), ["好", "再见"]),
        ([("你", 0), ("好", 7)], ("你好", "再见"), ["再见"]),
        ([("你", 0), ("们", 1)], ("你好", "再见"), []),
        ([], ("你好", "再见"), ["你好", "再见"]),
        ([("你好", 0), ("再见", 1)], ("你好", "再见"), []),
        ([("你", 0)], (), []),
    ],
)
def test_a_message_in_parts_lacks(
    pieces: list[tuple[str, int]], wholes: tuple[str, ...], missing: list[str]
) -> None:
    events = [part_of(text, index) for text, index in pieces]
    told = pieces_of(*events, done(in_parts(*wholes), output_index=1))
    assert told == [*(text for text, _ in pieces), *missing]


def test_a_message_whose_parts_were_closed_is_not_compared_again() -> None:
    """Though what it says at last is told where that is something else."""
    closed = [words("你"), over("你好"), part_of("再见", 1), over("再见", 1)]
    assert pieces_of(*closed, done(in_parts("你好", "再见"), output_index=1)) == [
        *("你", "好", "再见")
    ]
    assert pieces_of(*closed, done(in_parts("你好", "再见！"), output_index=1))[-1] == "！"
    assert pieces_of(*closed, done(in_parts("你好"), output_index=1))[-1] == "再见"


# --- parts as they begin and end ----------------------------------------------------------------


def test_parts_as_they_end() -> None:
    where = {**AT, "content_index": 0}

    def ended(part: object, **more: Any) -> list[str]:
        return pieces_of(ev("content_part.done", **where, part=part, **more))

    assert ended(PART) == [TEXT]
    assert ended({"type": "refusal", "refusal": "不", "text": "?"}) == ["不"]
    assert ended({"type": "reasoning_text", "text": "想"}) == ["想"]
    assert ended({"type": "summary_text", "text": "要"}) == ["要"]
    assert ended({"text": "要"}, summary_index=0) == ["要"]
    assert ended({"type": "output_text", "text": 7}) == []
    assert ended(7) == []


def test_what_a_part_had_when_it_began_stands_under_its_index() -> None:
    bare = added({**MESSAGE, "content": []}, output_index=1)
    begun = [
        ev("content_part.added", **AT, content_index=at, part={**PART, "text": text})
        for at, text in ((0, "你好"), (1, "再见"))
    ]
    assert pieces_of(bare, *begun, END) == ["你好", "再见"]
    refusal = {"type": "refusal", "refusal": "不"}
    assert pieces_of(bare, ev("content_part.added", **AT, part=refusal), END) == ["不"]
    thought = added({"type": "reasoning", "id": "rs_1", "summary": []}, output_index=0)
    first = ev(
        "reasoning_summary_part.added", item_id="rs_1", summary_index=0, part={"text": "想"}
    )
    assert pieces_of(thought, first, END) == ["想"]
    odd = {**PART, "text": ["?"]}
    assert pieces_of(bare, ev("content_part.added", **AT, part=odd), END) == []


def test_annotations_of_parts_that_begin_and_end() -> None:
    source = {"type": "url_citation", "url": "http://127.0.0.1/甲"}
    part = {**PART, "annotations": [source, 7]}
    for kind in ("content_part.added", "content_part.done"):
        decoder = read(ev(kind, **AT, part=part), ev(kind, **AT, part=part), words(TEXT), END)
        assert [one.url for one in folded(decoder).citations] == [source["url"]]


# --- what stands beside the text ----------------------------------------------------------------


def test_a_source_has_all_its_fields() -> None:
    source: dict[str, Any] = {
        "type": "url_citation",
        "url": "http://127.0.0.1/甲",
        "title": "甲",
        "start_index": 1,
        "end_index": 2,
        "index": 0,
    }
    rest = {"type": "url_citation", "index": 0}
    (found,) = reply_to(ev("output_text.annotation.added", **AT, annotation=source)).citations
    assert found == Citation(source["url"], "甲", 1, 2, rest)
    bare = {"url": "http://127.0.0.1/乙"}
    for given in (bare, {"url_citation": bare}):
        (found,) = reply_to(ev("output_text.annotation.added", **AT, annotation=given)).citations
        assert found == Citation(bare["url"], None, None, None, {})


def test_what_is_cited_without_an_address_is_kept() -> None:
    odd = [{"type": "file_citation", "file_id": "f"}, {"url": ""}, {"url": 7, "url_citation": 7}]
    events = [ev("output_text.annotation.added", **AT, annotation=one) for one in (*odd, odd[0])]
    reply = reply_to(*events, words("好"), END)
    assert (reply.citations, reply.choices[0].extra) == ((), {"annotations": odd})


def test_a_source_of_two_items_is_kept_twice() -> None:
    file = {"type": "file_citation", "file_id": "f"}
    wheres = [AT, {"item_id": "msg_2", "output_index": 2}]
    events = [ev("output_text.annotation.added", **at, annotation=file) for at in wheres]
    assert reply_to(*events, END).choices[0].extra == {"annotations": [file, file]}


def test_log_probabilities_are_those_of_one_teller() -> None:
    rows = [{"token": text} for text in "一二三"]

    def told(*events: object) -> Any:
        return reply_to(*events, END).choices[0].logprobs

    pieces = [{**words("一"), "logprobs": rows[:1]}, {**words("二"), "logprobs": rows[1:2]}]
    whole = {**MESSAGE, "content": [{**PART, "text": "一二", "logprobs": rows[2:]}]}
    assert told(*pieces) == tuple(rows[:2])
    assert told(*pieces, over("一二", logprobs=rows)) == tuple(rows[:2])
    assert told(*pieces, done(whole, output_index=1)) == tuple(rows[:2])
    assert told(words("一二"), over("一二", logprobs=rows)) == tuple(rows)
    assert told(words("一二"), over("一二", logprobs=rows), over("一二", logprobs=rows)) == tuple(
        rows
    )
    assert told(words("一二"), over("一二", logprobs="?"), done(whole, output_index=1)) == (
        rows[2],
    )
    assert told(over("", logprobs=rows)) is None
    assert told({**words("一"), "logprobs": {"a": 1}}) is None
    assert told({**words(""), "logprobs": rows}) is None
    odd = {**MESSAGE, "content": [{**PART, "logprobs": "?"}]}
    assert told(done(odd, output_index=1)) is None


def test_the_phase_of_a_message_is_that_of_its_beginning() -> None:
    begun = added({**MESSAGE, "content": [], "phase": "commentary"}, output_index=1)
    assert pieces_of(begun, words("看")) == ["看"]
    assert reply_to(begun, words("看"), END).commentary == "看"
    assert reply_to(begun, done(MESSAGE, output_index=1), END).commentary == TEXT
    final = added({**MESSAGE, "content": [], "phase": "final_answer"}, output_index=1)
    whole = in_parts("看", phase="commentary")
    assert reply_to(final, done(whole, output_index=1), END).commentary == "看"


def test_a_part_that_nobody_knows_is_told_once_for_each_item() -> None:
    song = {"type": "output_song", "notes": "♪"}
    named = [{"item_id": f"msg_{n}", "output_index": n} for n in (1, 2)]
    events = [ev("content_part.added", **at, part=song) for at in (named[0], *named)]
    log = read(*events).transcript
    assert [log.delta(at) for at in range(len(log))] == [
        UnknownDelta(0, "responses", "output_song", song)
    ] * 2
    assert list(log.choices) == [0]


def test_a_character_cut_in_two_is_whole_in_what_an_end_tells() -> None:
    half = rb'{"type":"response.output_text.delta","item_id":"msg_1","delta":"a\ud83c"}'
    assert pieces_of(half, over("a🎉b"), words("c")) == ["a", "🎉b", "c"]
    refusal = (
        rb'{"type":"response.refusal.delta","item_id":"msg_1","output_index":1,"delta":"a\ud83c"}'
    )
    assert pieces_of(refusal, words("好"))[0] == "a\ufffd"
    row = rb'{"type":"response.output_text.delta","delta":"a","logprobs":[{"token":"\ud83c"}]}'
    assert read(row).transcript.choices[0].logprobs == [{"token": "\ufffd"}]
    cited = rb'{"type":"response.output_text.annotation.added","annotation":{"url":"\ud83c"}}'
    assert [one.url for one in reply_to(cited).citations] == ["\ufffd"]
