"""Texts of Responses: what has been said, and what has not."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate import CommentaryDelta, UnknownDelta
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
