"""Texts of Responses: what has been said, and what has not."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate import CommentaryDelta
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
