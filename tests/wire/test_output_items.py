"""Output items of Responses: which is which, what of them is new, and which are calls."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate import CommentaryDelta, Reply, UnknownDelta
from aiotokengate._wire.framing import Framing
from aiotokengate._wire.responses_reply import ResponsesDecoder
from aiotokengate._wire.transcript import Transcript
from tests.wire.test_responses_reply import (
    CALL,
    MESSAGE,
    REASONING,
    ev,
    folded,
    read,
    response,
    summary,
    words,
)

END = ev("completed", response=response("completed"))
PART = {"type": "output_text", "text": "你好！", "annotations": [], "logprobs": []}
TEXT = "你好！"


def reply_to(*events: object) -> Reply:
    return folded(read(*events))


def native_of(reply: Reply) -> list[Any]:
    native = reply.choices[0].native
    return [] if native is None else native["content"]


def added(item: dict[str, Any], **where: Any) -> dict[str, Any]:
    return ev("output_item.added", item={**item, "status": "in_progress"}, **where)


def done(item: dict[str, Any], **where: Any) -> dict[str, Any]:
    return ev("output_item.done", item=item, **where)


def listed(*items: dict[str, Any]) -> dict[str, Any]:
    return ev("completed", response=response("completed", *items))


def call(number: int, arguments: str = "") -> dict[str, Any]:
    names = {"id": f"fc_{number}", "call_id": f"call_{number}", "name": f"f{number}"}
    return {**CALL, **names, "arguments": arguments}


def message(text: str, **more: Any) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {**MESSAGE, "content": [part], **more}


def test_arguments_with_raw_control_characters_go_back_as_json() -> None:
    item = call(1, '{"x":"一\t二"}')
    reply = reply_to(added(call(1)), done(item), listed(item))
    assert reply.tool_calls[0].parse() == {"x": "一\t二"}
    (back,) = native_of(reply)
    assert orjson.loads(back["arguments"]) == {"x": "一\t二"}


# --- which item an event belongs to -------------------------------------------------------------


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


# --- what is new of a text ----------------------------------------------------------------------


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


# --- commentary ---------------------------------------------------------------------------------


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


# --- calls --------------------------------------------------------------------------------------

LOCAL = {"environment": {"type": "local"}}
ACTIONS: list[tuple[dict[str, Any], str, Any]] = [
    (
        {"type": "shell_call", "action": {"commands": ["ls"]}, **LOCAL},
        "shell",
        {"commands": ["ls"]},
    ),
    ({"type": "shell_call", "action": {"commands": ["ls"]}}, "shell", {"commands": ["ls"]}),
    ({"type": "local_shell_call", "action": {"type": "exec"}}, "local_shell", {"type": "exec"}),
    ({"type": "apply_patch_call", "operation": {"path": "甲"}}, "apply_patch", {"path": "甲"}),
    (
        {"type": "computer_call", "action": {"type": "wait"}, "pending_safety_checks": []},
        "computer",
        {"action": {"type": "wait"}, "pending_safety_checks": []},
    ),
    (
        {"type": "tool_search_call", "execution": "client", "arguments": {"q": "查"}},
        "tool_search",
        {"q": "查"},
    ),
    (
        {"type": "mcp_approval_request", "name": "删除", "arguments": '{"a":1}'},
        "删除",
        {"a": 1},
    ),
]


@pytest.mark.parametrize(("fields", "name", "arguments"), ACTIONS)
def test_what_waits_for_the_client_is_a_call(
    fields: dict[str, Any], name: str, arguments: Any
) -> None:
    approval = fields["type"] == "mcp_approval_request"
    item = {"id": "it_1", **({} if approval else {"call_id": "call_9"}), **fields}
    reply = reply_to(added(item, output_index=0), done(item, output_index=0), listed(item))
    (found,) = reply.tool_calls
    assert (found.kind, found.name, found.parse()) == (fields["type"], name, arguments)
    assert found.id == ("it_1" if approval else "call_9")
    assert reply.finish_reason == "tool_calls"
    assert native_of(reply) == [item]


SHELL = {"type": "shell_call", "id": "sh", "call_id": "c", "action": {"commands": ["ls"]}}
HOSTED = [
    [{**SHELL, "environment": {"type": "container_reference", "container_id": "x"}}],
    [SHELL, {"type": "shell_call_output", "id": "so", "call_id": "c", "output": []}],
    [{"type": "tool_search_call", "id": "ts", "execution": "server", "arguments": {}}],
    [{"type": "web_search_call", "id": "ws", "action": {"type": "search", "query": "新闻"}}],
]


@pytest.mark.parametrize("items", HOSTED)
def test_what_the_vendor_has_run_is_no_call(items: list[dict[str, Any]]) -> None:
    events = [done(item, output_index=at) for at, item in enumerate(items)]
    reply = reply_to(*events, done(MESSAGE, output_index=len(items)), END)
    assert (reply.tool_calls, reply.finish_reason) == ((), "stop")
    assert native_of(reply) == [*items, MESSAGE]


def test_a_command_of_a_broken_reply_is_incomplete() -> None:
    reply = reply_to(done(SHELL, output_index=0))
    assert [each.complete for each in reply.tool_calls] == [False]
    assert native_of(reply) == []


CUSTOM = {"type": "custom_tool_call", "id": "ct", "call_id": "c", "name": "py", "input": "6 * 7"}


def test_free_text_is_whole_when_its_item_is() -> None:
    piece = ev("custom_tool_call_input.delta", item_id="ct", output_index=0, delta="6 *")
    events = [added({**CUSTOM, "input": ""}, output_index=0), piece, done(CUSTOM, output_index=0)]
    reply = reply_to(*events, END)
    (found,) = reply.tool_calls
    assert (found.kind, found.parse(), found.complete) == ("custom_tool_call", "6 * 7", True)
    why = {"incomplete_details": {"reason": "max_output_tokens"}}
    cut = reply_to(*events, ev("incomplete", response=response("incomplete", **why)))
    assert (cut.tool_calls[0].complete, cut.finish_reason) == (False, "length")
    assert native_of(cut) == []


def test_a_call_whose_item_never_ends_is_built() -> None:
    beside = {"namespace": "天气", "caller": {"type": "program", "caller_id": "p"}}
    reply = reply_to(
        added({**call(1), **beside}, output_index=0),
        ev("function_call_arguments.done", item_id="fc_1", arguments='{"a":1}'),
        END,
    )
    assert reply.tool_calls[0].extra == beside
    built = {"type": "function_call", "call_id": "call_1", "name": "f1", "arguments": '{"a":1}'}
    assert native_of(reply) == [{**built, **beside}]


def test_broken_arguments_do_not_go_back() -> None:
    item = call(1, '{"text": "没写完')
    reply = reply_to(done(MESSAGE, output_index=0), done(item, output_index=1), END)
    assert [each.complete for each in reply.tool_calls] == [False]
    assert native_of(reply) == [MESSAGE]


def test_ids_of_ours_go_back_with_their_calls() -> None:
    """Two calls under one id are told apart; the second has an id that was made for it."""
    pair = [{**call(n, '{"a":1}'), "call_id": "c"} for n in (1, 2)]
    reply = reply_to(*(done(item, output_index=at) for at, item in enumerate(pair)), END)
    ids = [each.id for each in reply.tool_calls]
    assert len(set(ids)) == 2
    assert [item["call_id"] for item in native_of(reply)] == ids


# --- the end, and what is not known -------------------------------------------------------------


@pytest.mark.parametrize("status", [None, "stop", "in_progress", "completed", 7])
def test_the_event_says_that_the_response_is_complete(status: Any) -> None:
    end = ev("completed", response={**response("completed"), "status": status})
    decoder = read(words("好"), end)
    assert decoder.done
    assert (folded(decoder).status, folded(decoder).finish_reason) == ("complete", "stop")


@pytest.mark.parametrize("kind", ["failed", "cancelled"])
def test_a_failure_without_an_error_is_broken_off(kind: str) -> None:
    framing = Framing(ResponsesDecoder(Transcript()), {})
    events = (words("好"), ev(kind, response=response(kind)))
    framing.feed(b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events))
    framing.close()
    verdict = framing.conclude()
    assert (verdict.status, verdict.cause.code if verdict.cause else "") == ("interrupted", kind)


def test_a_steered_response_is_paused() -> None:
    why = {"incomplete_details": {"reason": "steered"}}
    reply = reply_to(words("好"), ev("incomplete", response=response("incomplete", **why)))
    assert reply.choices[0].status == "paused"


def test_audio_is_joined() -> None:
    reply = reply_to(
        ev("audio.delta", delta="5L2g"),
        ev("audio.transcript.delta", delta="你"),
        ev("audio.delta", delta="5aW9"),
        ev("audio.transcript.delta", delta="好"),
        ev("audio.done"),
        END,
    )
    assert reply.choices[0].extra["audio"] == {"data": "5L2g5aW9", "transcript": "你好"}
    assert (reply.status, reply.empty) == ("complete", False)


def test_padded_audio_is_joined() -> None:
    events = [ev("audio.delta", delta="YQ=="), ev("audio.delta", delta="Yg==")]
    assert reply_to(*events, END).choices[0].extra["audio"] == {"data": "YWI="}


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (ev("some.day", delta="甲"), "response.some.day"),
        (done({"type": "new_call", "id": "n", "x": "甲"}), "new_call"),
        (ev("content_part.done", part={"type": "new_part", "x": "甲"}), "new_part"),
        ({**words("好"), "agent": "甲"}, "response.output_text.delta.agent"),
    ],
)
def test_what_nobody_knows_is_told(event: dict[str, Any], name: str) -> None:
    decoder = read(event, event, END)
    log = decoder.transcript
    found = [log.delta(at) for at in range(len(log))]
    told = [delta for delta in found if isinstance(delta, UnknownDelta)]
    assert {delta.type for delta in told} == {name}
    assert "甲" in repr(told[0].data)


def test_events_at_work_are_signs_of_life() -> None:
    working = [
        ev("in_progress", response=response("in_progress")),
        ev("web_search_call.searching", item_id="ws", output_index=0),
        ev("code_interpreter_call_code.delta", item_id="ci", output_index=1, delta="x = 1"),
        ev("output_text.delta", item_id="msg_1", delta=""),
        ev("some.day"),
    ]
    assert read(*working).transcript.signs == len(working)
    assert read({"type": "ping"}, {"type": "keepalive"}).transcript.signs == 0


def test_what_never_ended_is_kept_aside() -> None:
    item = {"type": "code_interpreter_call", "id": "ci", "code": ""}
    piece = ev("code_interpreter_call_code.delta", item_id="ci", output_index=0, delta="x = 1\n")
    reply = reply_to(added(item, output_index=0), piece, piece, done(MESSAGE, output_index=1), END)
    assert native_of(reply) == [MESSAGE]
    (left,) = reply.choices[0].extra["unfinished_items"]
    assert left["code"] == "x = 1\nx = 1\n"
    whole = reply_to(added(item, output_index=0), piece, done({**item, "code": "x = 1\n"}), END)
    assert "unfinished_items" not in whole.choices[0].extra


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
