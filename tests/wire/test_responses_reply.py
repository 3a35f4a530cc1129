"""OpenAI's Responses: what comes, and what goes back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate import (
    AnswerDelta,
    FinishDelta,
    ReasoningDelta,
    Reply,
    ToolCallDelta,
    UnknownDelta,
)
from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.fold import fold
from aiotokengate._wire.framing import Framing
from aiotokengate._wire.problems import find_problem, status_error
from aiotokengate._wire.responses_reply import ResponsesDecoder
from aiotokengate._wire.sse import SSEDecoder
from aiotokengate._wire.transcript import Transcript
from aiotokengate.errors import BadRequest, RateLimited, ServerFailed, StatusError
from aiotokengate.types import Delta
from tests.support.common import About

MODEL = "gpt-5.3-codex"
REASONING = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [
        {"type": "summary_text", "text": "**查天气** 🌦️"},
        {"type": "summary_text", "text": "用工具"},
    ],
    "encrypted_content": "gAAAA-final",
}
CALL = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "arguments": '{"city":"北京"}',
    "call_id": "call_1",
    "name": "weather",
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "你好！", "annotations": [], "logprobs": []}],
}
USAGE = {
    "input_tokens": 30,
    "input_tokens_details": {"cached_tokens": 10},
    "output_tokens": 50,
    "output_tokens_details": {"reasoning_tokens": 40},
    "total_tokens": 80,
}


def response(status: str, *output: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 7,
        "model": MODEL,
        "status": status,
        "output": list(output),
        "usage": USAGE if output else None,
        **more,
    }


def ev(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", **fields}


def summary(part: int, text: str, output: int = 0) -> dict[str, Any]:
    where = {"item_id": "rs_1", "output_index": output, "summary_index": part}
    return ev("reasoning_summary_text.delta", **where, delta=text)


def words(text: str, output: int = 1, item: str = "msg_1") -> dict[str, Any]:
    where = {"item_id": item, "output_index": output, "content_index": 0}
    return ev("output_text.delta", **where, delta=text, logprobs=[])


# The shape of a recorded exchange: a summary in two parts, a call; every whole repeated.
EVENTS: list[dict[str, Any]] = [
    ev("created", response=response("in_progress")),
    ev("in_progress", response=response("in_progress")),
    ev("output_item.added", output_index=0, item={**REASONING, "summary": []}),
    ev("reasoning_summary_part.added", item_id="rs_1", output_index=0, summary_index=0),
    summary(0, "**查天气"),
    summary(0, "** 🌦️"),
    ev("reasoning_summary_text.done", item_id="rs_1", output_index=0, text="**查天气** 🌦️"),
    summary(1, "用工具"),
    ev("output_item.done", output_index=0, item=REASONING),
    ev("output_item.added", output_index=1, item={**CALL, "arguments": ""}),
    ev("function_call_arguments.delta", item_id="fc_1", output_index=1, delta='{"city":"北'),
    ev("function_call_arguments.delta", item_id="fc_1", output_index=1, delta='京"}'),
    ev(
        "function_call_arguments.done", item_id="fc_1", output_index=1, arguments=CALL["arguments"]
    ),
    ev("output_item.done", output_index=1, item=CALL),
    ev("completed", response=response("completed", REASONING, CALL)),
]


def read(*frames: object) -> ResponsesDecoder:
    decoder = ResponsesDecoder(Transcript())
    for frame in frames:
        decoder.feed(frame if isinstance(frame, bytes) else orjson.dumps(frame))
    decoder.end()
    return decoder


def folded(decoder: ResponsesDecoder) -> Reply:
    log = decoder.transcript
    status = "complete" if log.complete else "interrupted"
    return fold(log, DIALECTS["openai"], About(status))  # type: ignore[arg-type]


def deltas(*frames: object) -> list[Delta]:
    log = read(*frames).transcript
    return [log.delta(at) for at in range(len(log))]


# --- the reply ----------------------------------------------------------------------------------


def check_recorded(decoder: ResponsesDecoder) -> None:
    reply = folded(decoder)
    assert reply.reasoning == "**查天气** 🌦️\n\n用工具"
    (call,) = reply.tool_calls
    assert (call.id, call.name, call.parse()) == ("call_1", "weather", {"city": "北京"})
    assert (reply.finish_reason, reply.status) == ("tool_calls", "complete")
    assert (reply.id, reply.model) == ("resp_1", MODEL)
    usage = reply.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (30, 50, 80)
    assert (usage.reasoning_tokens, usage.cached_tokens) == (40, 10)
    assert reply.choices[0].native == {
        "protocol": "responses",
        "content": [REASONING, CALL],
        "asked": "",
        "model": MODEL,
    }
    assert decoder.done


def test_a_recorded_exchange() -> None:
    check_recorded(read(*EVENTS))


def test_the_same_cut_anywhere() -> None:
    body = b"".join(
        f"event: {event['type']}\ndata: ".encode() + orjson.dumps(event) + b"\n\n"
        for event in EVENTS
    )
    for cut in range(1, len(body), 31):
        sse, decoder = SSEDecoder(), ResponsesDecoder(Transcript())
        for part in (body[:cut], body[cut:]):
            for event in sse.feed(part):
                decoder.feed(event.data)
        decoder.end()
        assert len(decoder.transcript) == 8
    check_recorded(decoder)


def test_a_plain_response() -> None:
    decoder = read(response("completed", REASONING, CALL))
    decoder.done = True
    check_recorded(decoder)


def test_items_that_end_in_another_order() -> None:
    """As OpenRouter relays: the reasoning ends after the text, other ids at the end, [DONE]."""
    thought = {"type": "reasoning", "id": "rs_tmp", "content": []}
    raw = {"item_id": "rs_tmp", "output_index": 0, "content_index": 0}
    whole = {**thought, "content": [{"type": "reasoning_text", "text": "想"}]}
    decoder = read(
        ev("output_item.added", output_index=0, item=thought),
        ev("reasoning_text.delta", **raw, delta="想"),
        ev("output_item.added", output_index=1, item={**MESSAGE, "content": []}),
        words("你好！"),
        ev("output_item.done", output_index=1, item=MESSAGE),
        {**summary(0, "不要"), "item_id": "rs_tmp"},
        ev("output_item.done", output_index=0, item=whole),
        ev("completed", response=response("completed", {**whole, "id": "x"}, MESSAGE)),
        b"[DONE]",
    )
    reply = folded(decoder)
    assert (reply.reasoning, reply.answer, reply.finish_reason) == ("想", "你好！", "stop")
    assert reply.message()["native"]["content"] == [whole, MESSAGE]


def test_half_a_call_does_not_go_back() -> None:
    half = {**CALL, "status": "incomplete", "arguments": '{"ci'}
    why = {"incomplete_details": {"reason": "max_output_tokens"}}
    reply = folded(
        read(
            ev("output_item.done", output_index=0, item=REASONING),
            ev("output_item.added", output_index=1, item={**half, "arguments": ""}),
            ev("function_call_arguments.delta", output_index=1, delta='{"ci'),
            ev("output_item.done", output_index=1, item=half),
            ev("incomplete", response=response("incomplete", REASONING, half, **why)),
        )
    )
    assert (reply.finish_reason, reply.tool_calls[0].complete) == ("length", False)
    assert "tool_calls" not in reply.message()
    assert reply.message()["native"]["content"] == [REASONING]


def test_items_that_deltas_name_by_their_ids() -> None:
    """A gateway may leave out the place in the output."""
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    calls = [{**CALL, "id": f"fc_{n}", "call_id": f"call_{n}", "arguments": ""} for n in (1, 2)]
    piece = "function_call_arguments.delta"
    reply = folded(
        read(
            ev("output_item.added", output_index=0, item=thought),
            ev("reasoning_summary_text.delta", item_id="rs_1", delta="想"),
            ev("output_item.added", output_index=1, item=calls[0]),
            ev("output_item.added", item=calls[1]),
            ev(piece, item_id="fc_2", delta='{"b":'),
            ev(piece, item_id="fc_1", delta='{"a":1}'),
            ev(piece, item_id="fc_2", delta="2}"),
            ev("completed", response=response("completed")),
        )
    )
    assert reply.reasoning == "想"
    assert [(call.id, call.parse()) for call in reply.tool_calls] == [
        ("call_1", {"a": 1}),
        ("call_2", {"b": 2}),
    ]


def test_what_no_delta_has_said() -> None:
    """Some gateways send items only whole."""
    annotation = {"type": "url_citation", "url": "https://a.example", "title": "甲"}
    annotations = [annotation, {"type": "file_citation"}]
    part = {"type": "output_text", "text": "你好！", "annotations": annotations}
    refusal = {"type": "refusal", "refusal": "不"}
    message = {**MESSAGE, "content": [part, refusal]}
    reply = folded(
        read(
            ev("output_item.done", output_index=0, item=REASONING),
            ev("output_item.done", output_index=1, item=message),
            ev("completed", response=response("completed", REASONING, message)),
        )
    )
    assert reply.reasoning == "**查天气** 🌦️\n\n用工具"
    assert (reply.answer, reply.choices[0].refusal) == ("你好！", "不")
    assert [found.url for found in reply.citations] == ["https://a.example"]
    assert reply.choices[0].extra == {"annotations": [{"type": "file_citation"}]}


def test_sources_logprobs_and_refusals_as_they_come() -> None:
    cited = {"type": "url_citation", "url": "https://a.example", "start_index": 0, "end_index": 2}
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    reply = folded(
        read(
            {**words("据说", 0), "logprobs": [{"token": "据"}]},
            ev("output_text.annotation.added", **where, annotation=cited),
            ev("refusal.delta", **where, delta="不行"),
            ev("completed", response=response("completed", MESSAGE)),
        )
    )
    (found,) = reply.citations
    assert (found.url, found.start, found.end) == ("https://a.example", 0, 2)
    assert reply.choices[0].logprobs == ({"token": "据"},)
    assert (reply.answer, reply.choices[0].refusal) == ("据说", "不行")


def test_images_and_custom_tools() -> None:
    image = {
        "type": "image_generation_call",
        "id": "ig",
        "result": "iVBO",
        "output_format": "webp",
    }
    custom = {
        "type": "custom_tool_call",
        "id": "ct",
        "call_id": "c2",
        "name": "shell",
        "input": "ls",
    }
    reply = folded(read(response("completed", image, custom)))
    assert (reply.media[0].mime, reply.media[0].url) == (
        "image/webp",
        "data:image/webp;base64,iVBO",
    )
    assert (reply.tool_calls[0].name, reply.tool_calls[0].arguments) == ("shell", "ls")


@pytest.mark.parametrize(
    ("why", "reason"),
    [("max_output_tokens", "length"), ("content_filter", "content_filter"), (None, "incomplete")],
)
def test_what_is_incomplete_says_why(why: str | None, reason: str) -> None:
    details = {"incomplete_details": {"reason": why}}
    end = ev("incomplete", response=response("incomplete", MESSAGE, **details))
    assert folded(read(words("你"), end)).finish_reason == reason


@pytest.mark.parametrize(
    ("frame", "message", "kind"),
    [
        (
            ev(
                "failed",
                response=response("failed", error={"code": "server_error", "message": "broken"}),
            ),
            "broken",
            ServerFailed,
        ),
        (
            {"type": "error", "code": "rate_limit_exceeded", "message": "slow", "param": None},
            "slow",
            RateLimited,
        ),
        (
            {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}},
            "no",
            BadRequest,
        ),
        ({"error": {"message": "渠道", "type": "new_api_error"}}, "渠道", ServerFailed),
    ],
)
def test_errors_are_left_for_judgement(
    frame: dict[str, Any], message: str, kind: type[StatusError]
) -> None:
    problem = find_problem(read(words("你"), frame).suspect)
    assert problem is not None
    assert problem.message == message
    error = status_error(None, b"", {}, problem=problem)
    assert (type(error), error.status) == (kind, None)


@pytest.mark.parametrize(
    "frame",
    [
        *(b"", b" ", b"{", b"7", b"null"),
        {},
        {"type": 7},
        ev("created"),
        ev("output_item.added", item=None),
        ev("output_item.added", item={"type": "function_call"}),
        ev("output_item.done", output_index="x", item={"type": "message", "content": [7]}),
        ev("output_item.done", item={"type": "reasoning", "summary": [None]}),
        ev("output_text.delta", delta=None),
        ev("output_item.done", item_id=["x"], item={"type": "reasoning"}),
        ev("output_text.annotation.added", annotation=7),
        ev("function_call_arguments.delta", delta=7),
        ev("function_call_arguments.delta", delta="{", item_id=[]),
        ev("output_item.done", item={"type": []}),
        ev("output_item.added", item={"type": {}}),
        ev("some.day", delta="x"),
    ],
    ids=repr,
)
def test_nothing_on_the_wire_raises(frame: object) -> None:
    end = ev("completed", response=response("completed"))
    decoder = read(frame, words("好", 3), end)
    assert decoder.transcript.text(0, 1) == "好"
    assert decoder.transcript.complete


def test_halves_of_a_pair_are_mended() -> None:
    first = rb'{"type":"response.output_text.delta","delta":"a\ud83d"}'
    second = rb'{"type":"response.output_text.delta","delta":"\udc40b"}'
    assert deltas(first) == [AnswerDelta("a"), AnswerDelta("\ufffd")]
    assert deltas(first, second) == [AnswerDelta("a"), AnswerDelta("👀b")]
    whole = ev("output_text.done", text="a👀b")
    assert deltas(first, whole) == [AnswerDelta("a"), AnswerDelta("👀b")]


def test_deltas_in_order() -> None:
    seen = deltas(summary(0, "想"), words("好"), ev("completed", response=response("completed")))
    assert seen == [ReasoningDelta("想"), AnswerDelta("好"), FinishDelta(0, "stop")]


# --- the response as a whole --------------------------------------------------------------------


END = ev("completed", response=response("completed"))


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


# --- odd frames ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [b"[1]", b"7", b"{}", b'{"error":{"message":"no"}}', b'{"type":"x","object":"error"}'],
)
def test_what_may_be_an_error_is_left_for_judgement(frame: bytes) -> None:
    assert read(frame).suspect is not None


@pytest.mark.parametrize("kind", ["ping", "keepalive", "response.keepalive"])
def test_keep_alives_are_signs_of_life(kind: str) -> None:
    decoder = ResponsesDecoder(Transcript())
    decoder.feed(orjson.dumps({"type": kind}))
    assert decoder.suspect is None
    assert len(decoder.transcript) == 0


def test_a_type_that_is_no_text_is_told() -> None:
    (unknown,) = (one for one in deltas({"type": 7}, END) if isinstance(one, UnknownDelta))
    assert (unknown.type, unknown.data) == ("7", {"type": 7})


def test_a_response_without_its_event_is_the_reply() -> None:
    """Beyond a few of them it is told as it came."""
    whole = response("completed", MESSAGE)
    assert reply_to(whole).answer == TEXT
    told = [one for one in deltas(*[whole] * 40) if isinstance(one, UnknownDelta)]
    assert told


def test_fields_that_nobody_knows_are_kept() -> None:
    reply = reply_to({**words("好"), "mood": "gay"}, END)
    assert (reply.answer, reply.choices[0].extra["mood"]) == ("好", "gay")


@pytest.mark.parametrize("retain", [True, False])
def test_many_pieces_are_spliced(*, retain: bool) -> None:
    """Texts and thoughts alike, retained or not."""
    pieces = [*(summary(0, text) for text in "想一想吧好的"), *map(words, "你好啊朋友👋")]
    numbered = [{**piece, "sequence_number": place} for place, piece in enumerate(pieces)]
    decoder = ResponsesDecoder(Transcript(retain=retain))
    frames = [orjson.dumps(piece) for piece in (*numbered, END)]
    assert decoder.feed_from(frames, 0) == (len(frames), None)
    decoder.end()
    assert decoder.splicer.hits
    log = decoder.transcript
    said = [log.delta(place) for place in range(len(log))] if retain else []
    assert "".join([one.text for one in said if isinstance(one, AnswerDelta)]) == (
        "你好啊朋友👋" if retain else ""
    )


def test_pieces_of_hosted_items_are_kept_until_these_are_over() -> None:
    """Pictures with how they look; texts, and the texts of objects, are joined."""
    picture = {"partial_image_b64": "AAEC", "size": "1x1"}
    outputs = [{"stdout": "a", "stderr": ""}, {"stdout": "b", "stderr": "!"}]
    events = [
        *(
            ev("shell_call_output_content.delta", item_id="so_1", output_index=4, delta=one)
            for one in outputs
        ),
        ev("image_generation_call.partial_image", item_id="ig_1", output_index=5, **picture),
        ev("mcp_call_arguments.delta", item_id="m_1", output_index=6, delta="{"),
        ev("mcp_call_arguments.done", item_id="m_1", output_index=6, arguments="{}"),
    ]
    left = reply_to(*events, END).choices[0].extra["unfinished_items"]
    assert left == [
        {"type": "shell_call_output", "output": {"stdout": "ab", "stderr": "!"}},
        {"type": "image_generation_call", "partial_image": picture},
        {"type": "mcp_call", "arguments": "{}"},
    ]


def test_pieces_of_two_kinds_stay_apart() -> None:
    shell = {"item_id": "so_1", "output_index": 4}
    pieces = [ev("shell_call_output_content.delta", **shell, delta=one) for one in ("a", {"b": 1})]
    (left,) = reply_to(*pieces, {**END, "mood": "gay"}).choices[0].extra["unfinished_items"]
    assert left["output"] == ["a", {"b": 1}]


@pytest.mark.parametrize(
    ("error", "is_one"),
    [({"message": "", "code": None}, False), ({"code": "x"}, True), ("oops", True), ("", False)],
)
def test_an_error_beside_a_complete_response(error: object, *, is_one: bool) -> None:
    """Some relays write an empty one into every frame."""
    decoder = read(words("好"), ev("completed", response=response("completed", error=error)))
    assert (decoder.suspect is not None) == is_one
    assert decoder.transcript.complete != is_one


# --- each event, each field ---------------------------------------------------------------------


def told(*events: object) -> list[tuple[str, Any]]:
    """Return what was told as unknown."""
    return [(one.type, one.data) for one in deltas(*events) if isinstance(one, UnknownDelta)]


AT_WORK = [
    *("audio.done", "audio.transcript.done", "compaction.compacting"),
    *("web_search_call.in_progress", "web_search_call.searching", "web_search_call.completed"),
    *("file_search_call.in_progress", "file_search_call.searching", "file_search_call.completed"),
    *("code_interpreter_call.in_progress", "code_interpreter_call.interpreting"),
    *("code_interpreter_call.completed", "image_generation_call.in_progress"),
    *("image_generation_call.generating", "image_generation_call.completed"),
    *("mcp_call.in_progress", "mcp_call.completed", "mcp_call.failed"),
    *("mcp_list_tools.in_progress", "mcp_list_tools.completed", "mcp_list_tools.failed"),
    *("output_text.delta", "refusal.delta", "reasoning_text.delta", "audio.delta"),
    *("reasoning_summary_text.delta", "audio.transcript.delta", "output_item.added"),
    *("output_item.done", "content_part.added", "content_part.done", "created", "queued"),
    *("in_progress", "reasoning_summary_part.added", "reasoning_summary_part.done"),
    *("function_call_arguments.delta", "custom_tool_call_input.delta"),
    *("output_text.annotation.added",),
]


@pytest.mark.parametrize("kind", AT_WORK)
def test_an_event_that_is_known_is_a_sign_of_life_and_no_more(kind: str) -> None:
    log = read(ev(kind)).transcript
    assert (log.signs, len(log), log.plain) == (1, 0, True)


def test_events_with_an_entry_are_no_other_sign_of_life() -> None:
    assert read(words("好"), summary(0, "想"), added(CALL)).transcript.signs == 0
    assert read(ev("some.day")).transcript.signs == 1


FIELDS = [
    *("sequence_number", "obfuscation", "item_id", "output_index", "content_index"),
    *("summary_index", "annotation_index", "command_index", "text", "refusal"),
    *("arguments", "input", "code", "item", "part", "annotation", "logprobs", "response"),
    *("command", "output", "status", "name", "call_id", "diff", "partial_image_b64"),
    *("partial_image_index", "background", "output_format", "quality", "size", "error"),
    *("message", "param"),
]


def test_fields_of_events_that_are_known_are_neither_told_nor_kept() -> None:
    for event in (words("好"), ev("audio.done")):
        log = read({**dict.fromkeys(FIELDS, "值"), **event}).transcript
        assert log.plain
        assert [state.extra for state in log.choices.values()] in ([], [{}])


@pytest.mark.parametrize("event", [words("好"), ev("audio.done"), words("")], ids=str)
def test_a_new_field_is_told_where_its_value_is_new(event: dict[str, Any]) -> None:
    name = f"{event['type']}.mood"
    moods = [{**event, "mood": mood} for mood in (1, 1, True, None, True)]
    assert told(*moods) == [(name, 1), (name, True)]
    assert read(*moods).transcript.choices[0].extra == {"mood": True}


def test_a_field_that_changes_between_spliced_events_has_its_last_value() -> None:
    first, other = {**words("一"), "mood": 1}, {**words("二"), "mood": 2}
    decoder = ResponsesDecoder(Transcript())
    decoder.feed_from([orjson.dumps(one) for one in (*[first] * 4, other, first)], 0)
    assert decoder.splicer.hits == 1
    assert decoder.transcript.choices[0].extra == {"mood": 1}
    assert decoder.transcript.text(0, 1) == "一一一一二一"


def test_what_a_response_says_of_itself() -> None:
    known = ["object", "status", "output", "usage", "error", "incomplete_details", "instructions"]
    known += ["tools", "text", "input", "include"]
    about = {**dict.fromkeys(known, 7), "id": "一", "model": "甲", "created_at": 5.5}
    first = {**about, "service_tier": "flex", "billing": None, "top_p": 1}
    second = {"id": "二", "model": "乙", "created_at": 6, "service_tier": None, "top_p": 2}
    log = read(ev("created", response=first), ev("queued", response=second)).transcript
    assert (log.id, log.model, log.created) == ("一", "甲", 6)
    assert log.extra == {"service_tier": "flex", "top_p": 2}
    assert log.choices == {}


@pytest.mark.parametrize(
    ("created", "kept"),
    [(0, 0), (-1, 5), ("9", 5), (2**53 - 1, 2**53 - 1), (2**53, 5), (None, 5)],
)
def test_a_time_is_believed_within_reason(created: object, kept: int) -> None:
    events = [ev("created", response={"created_at": at}) for at in (5, created)]
    assert read(*events).transcript.created == kept


# --- what the vendor's tools do -----------------------------------------------------------------

HOSTED = [
    *("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call"),
    *("mcp_call", "mcp_list_tools", "program", "program_output", "additional_tools"),
    *("compaction", "function_call_output", "custom_tool_call_output", "computer_call_output"),
    *("shell_call_output", "apply_patch_call_output", "local_shell_call_output"),
    *("mcp_approval_response", "tool_search_output"),
    *("agent_message", "multi_agent_call", "multi_agent_call_output"),
]


@pytest.mark.parametrize("kind", HOSTED)
def test_items_of_the_vendor_go_back_and_nobody_answers_them(kind: str) -> None:
    """What was said before is no answer: a claim after them may still mean nothing."""
    item = {"type": kind, "id": "x", "data": "数"}
    decoder = read(words("我查查", 0), done(item, output_index=1))
    assert decoder.transcript.choices[0].spoke_from == len(decoder.transcript) == 1
    reply = reply_to(done(item), END)
    assert (native_of(reply), reply.tool_calls, reply.choices[0].unknown) == ([item], (), ())


def test_a_call_that_the_vendor_answers_is_work_of_its_own() -> None:
    search = {"type": "tool_search_call", "id": "ts", "arguments": {}}
    for execution, place in (("server", 1), ("client", 0)):
        item = {**search, "execution": execution}
        decoder = read(words("我查查", 0), done(item, output_index=1))
        assert decoder.transcript.choices[0].spoke_from == place


def test_an_item_that_nobody_knows_goes_back_under_its_type() -> None:
    item = {"type": "new_call", "x": 1}
    assert told(done(item)) == [("new_call", item)]
    assert native_of(reply_to(done(item), END)) == [item]
    assert told(done({"x": 1})) == [("?", {"x": 1})]
    assert native_of(reply_to(done({"x": 1}), END)) == []


def test_a_picture_is_shown_and_speaks() -> None:
    picture = {"type": "image_generation_call", "result": "iVBO", "output_format": 7}
    decoder = read(words("画", 0), done(picture, output_index=1), END)
    (media,) = folded(decoder).media
    assert (media.kind, media.url, media.mime) == (
        "image",
        "data:image/png;base64,iVBO",
        "image/png",
    )
    assert decoder.transcript.choices[0].spoke_from == 0


PIECES = [
    ("code_interpreter_call_code", "code_interpreter_call", "code", "code"),
    ("mcp_call_arguments", "mcp_call", "arguments", "arguments"),
    ("shell_call_output_content", "shell_call_output", "output", "output"),
    ("apply_patch_call_operation_diff", "apply_patch_call", "diff", "diff"),
]


@pytest.mark.parametrize(("event", "kind", "key", "whole"), PIECES)
def test_pieces_are_kept_up_to_the_whole(event: str, kind: str, key: str, whole: str) -> None:
    where = {"item_id": "x", "output_index": 0}
    pieces = [ev(f"{event}.delta", **where, delta=one) for one in ("甲", "", "乙")]
    begun, over = ev(f"{event}.added", **where), ev(f"{event}.done", **where, **{whole: "全"})

    def left(*events: object) -> Any:
        return read(*events).transcript.choices[0].extra.get("unfinished_items")

    named = done(MESSAGE, output_index=1)
    assert left(begun, *pieces, named) == [{"type": kind, key: "甲乙"}]
    assert left(*pieces, over, named) == [{"type": kind, key: "全"}]
    assert left(begun, named) is None


@pytest.mark.parametrize(
    ("kind", "name", "key"),
    [
        ("code_interpreter_call", "code_interpreter_call_code", "code"),
        ("mcp_call", "mcp_call_arguments", "arguments"),
        ("shell_call_output", "shell_call_output_content", "output"),
    ],
)
def test_pieces_that_the_whole_item_lacks_are_kept_beside_it(
    kind: str, name: str, key: str
) -> None:
    where = {"item_id": "x", "output_index": 0}
    piece = ev(f"{name}.delta", **where, delta="甲")
    item = {"type": kind, "id": "x"}

    def left(whole: dict[str, Any]) -> Any:
        reply = reply_to(piece, done(whole, output_index=0), END)
        return reply.choices[0].extra.get("unfinished_items")

    assert left(item) == [{"type": kind, "id": "x", key: "甲"}]
    assert left({**item, key: "甲乙"}) is None


def test_a_picture_that_is_not_done_yet() -> None:
    """The newest one, with all that is said of it but where it belongs."""
    where = {"item_id": "ig", "output_index": 0, "sequence_number": 4}
    looks = {"partial_image_index": 1, "size": "1x1", "quality": "low", "background": "auto"}
    kind = "image_generation_call.partial_image"
    events = [ev(kind, **where, **{**looks, "partial_image_b64": data}) for data in ("AA", "BB")]
    newest = {**looks, "partial_image_b64": "BB"}
    item = {"type": "image_generation_call", "id": "ig"}
    end = ev("completed", response=response("completed"))

    def left(*more: object) -> Any:
        return reply_to(*events, *more, end).choices[0].extra.get("unfinished_items")

    assert left() == [{"type": item["type"], "partial_image": newest}]
    assert left(done(item)) == [{**item, "partial_image": newest}]
    assert left(done({**item, "result": "CC"})) is None


def test_pieces_of_commands_are_told_apart_by_their_numbers() -> None:
    where = {"item_id": "sh", "output_index": 0}
    action = {"commands": [], "timeout_ms": 5}
    item = {"type": "shell_call", "id": "sh", "call_id": "c1", "action": action}
    kind = "shell_call_command"
    events = [
        ev("output_item.added", item=item, output_index=0),
        ev(f"{kind}.added", **where, command_index=1, command="echo "),
        ev(f"{kind}.delta", **where, command_index=0, delta="l"),
        ev(f"{kind}.delta", **where, command_index=0, delta="s"),
        ev(f"{kind}.done", **where, command_index=1, command="echo 好"),
    ]
    (one,) = reply_to(*events, END).tool_calls
    assert (one.name, one.parse()) == ("shell", {"commands": ["ls", "echo 好"], "timeout_ms": 5})
    unnumbered = ev(f"{kind}.delta", **where, command_index="0", delta="ls")
    assert read(unnumbered, done(MESSAGE)).transcript.choices[0].extra == {
        "unfinished_items": [{"type": "shell_call", "command": "ls"}]
    }


def test_objects_of_a_command_are_joined_by_their_keys() -> None:
    where = {"item_id": "so", "output_index": 0}
    outputs = [{"stdout": "a"}, {"stderr": "!"}, {"stdout": "b", "code": 7}]
    pieces = [ev("shell_call_output_content.delta", **where, delta=one) for one in outputs]
    (left,) = reply_to(*pieces, END).choices[0].extra["unfinished_items"]
    assert left == {
        "type": "shell_call_output",
        "output": {"stdout": "ab", "stderr": "!", "code": ""},
    }
    (one,) = reply_to(pieces[2], END).choices[0].extra["unfinished_items"]
    assert one["output"] == outputs[2]


def test_thoughts_that_are_told_in_two_ways() -> None:
    """What comes second is kept where the item does not say it as a whole."""
    where = {"item_id": "rs_1", "output_index": 0}
    raw = ev("reasoning_text.delta", **where, delta="全文")
    short = summary(0, "摘要")
    bare = {"type": "reasoning", "id": "rs_1", "summary": []}
    spoken = {**bare, "content": [{"type": "reasoning_text", "text": "全文"}]}

    def left(*events: object) -> Any:
        return read(*events).transcript.choices[0].extra.get("unfinished_items")

    assert left(short, raw) == [{"type": "reasoning", "content": ["全文"]}]
    assert left(raw, short) == [{"type": "reasoning", "summary": ["摘要"]}]
    assert left(short, raw, done(bare)) == [
        {"type": "reasoning", "id": "rs_1", "content": ["全文"]}
    ]
    assert left(short, raw, done(spoken)) is None
    assert left(raw, done(bare)) is None


# --- how it ends --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("completed", "completed", "stop"),
        ("completed", "COMPLETED", "stop"),
        ("completed", "incomplete", "incomplete"),
        ("completed", "failed", "failed"),
        ("completed", "cancelled", "cancelled"),
        ("completed", "queued", "stop"),
        ("incomplete", "completed", "incomplete"),
        ("incomplete", "failed", "failed"),
        ("incomplete", "cancelled", "cancelled"),
        ("failed", "completed", "failed"),
        ("cancelled", None, "cancelled"),
        ("", "completed", "stop"),
        ("", "odd", "stop"),
        ("", "incomplete", "incomplete"),
        ("", "Failed", "failed"),
        ("", "cancelled", "cancelled"),
        ("", "queued", None),
        ("", "in_progress", None),
    ],
)
def test_how_a_response_has_ended(kind: str, status: object, reason: str | None) -> None:
    whole = {"object": "response", "status": status, "output": [MESSAGE]}
    event = ev(kind, response=whole) if kind else whole
    decoder = read(event)
    assert decoder.transcript.choices[0].finish_reason == reason
    assert decoder.done is bool(kind)


def test_a_bare_response_that_says_nothing_has_not_ended() -> None:
    assert read({"object": "response"}).transcript.claimed == 0
    assert read({"object": "response", "output": [MESSAGE]}).transcript.claimed == 1
    assert read({"object": "response", "status": "completed"}).transcript.claimed == 1


@pytest.mark.parametrize(
    ("item", "details", "claim"),
    [
        (MESSAGE, None, ("stop", "finished", "completed")),
        (CALL, None, ("tool_calls", "calls", "completed")),
        (CALL, {"reason": "max_output_tokens"}, ("length", "length", "max_output_tokens")),
        (MESSAGE, {"reason": "odd"}, ("odd", "other", "odd")),
        (MESSAGE, {"reason": "none"}, ("none", "other", "none")),
        (MESSAGE, {"reason": 7}, ("stop", "finished", "completed")),
        (MESSAGE, "odd", ("stop", "finished", "completed")),
    ],
)
def test_the_word_of_the_end(item: dict[str, Any], details: Any, claim: tuple[str, ...]) -> None:
    end = response("completed", item, incomplete_details=details)
    state = read(ev("completed", response=end)).transcript.choices[0]
    assert (state.finish_reason, state.ending, state.word) == claim


def test_an_end_without_a_response() -> None:
    decoder = read(words("好"), ev("completed", response=7))
    assert (decoder.done, folded(decoder).finish_reason) == (True, "stop")


@pytest.mark.parametrize(
    "error",
    [{"message": "a"}, {"code": "b"}, {"type": "c"}, "d", {"x": 1}],
)
def test_an_error_of_a_response_that_failed(error: object) -> None:
    assert read(ev("failed", response={"error": error})).suspect == {"error": error}
    done_with = read(ev("completed", response={"error": error})).suspect
    assert done_with == (None if error == {"x": 1} else {"error": error})


def test_errors_flat_and_nested() -> None:
    nested = {"type": "error", "error": {"message": "no"}, "sequence_number": 1}
    assert read(nested).suspect == nested
    flat = {"type": "error", "message": "no", "error": "x"}
    assert read(flat).suspect == {"error": {**flat, "type": None}}
    for odd in ({"type": "x", "error": "no"}, {"error": 0}, {"type": "", "error": 1}, {}):
        assert read(odd).suspect == odd
    assert read({"type": "x", "error": ""}).suspect is None


def test_a_type_that_is_no_text_is_cut_short() -> None:
    ((name, data),) = told({"type": ["长" * 100]})
    assert (name, data) == (str(["长" * 100])[:64], {"type": ["长" * 100]})


def test_whole_responses_are_read_up_to_a_number() -> None:
    whole = response("completed", MESSAGE)
    assert told(*[whole] * 16) == []
    assert told(*[whole] * 17) == [("response", whole)]


# --- what goes back -----------------------------------------------------------------------------


def test_a_message_that_was_never_over_is_built() -> None:
    first = added({**MESSAGE, "content": [], "phase": "commentary"}, output_index=1)
    where = {"item_id": "msg_1", "output_index": 1, "content_index": 1}
    refused = ev("refusal.delta", **where, delta="不行")
    built = {
        "type": "message",
        "role": "assistant",
        "content": [
            {"type": "output_text", "text": "你好"},
            {"type": "refusal", "refusal": "不行"},
        ],
    }
    pieces = [words("你"), words("好"), refused]
    assert native_of(reply_to(*pieces, END)) == [built]
    assert native_of(reply_to(first, *pieces, END)) == [{**built, "phase": "commentary"}]
    assert native_of(reply_to(first, END)) == []


def test_the_items_that_go_back_name_the_model() -> None:
    decoder = ResponsesDecoder(Transcript(asked="gpt"))
    for event in (done(MESSAGE), END):
        decoder.feed(orjson.dumps(event))
    decoder.end()
    assert decoder.transcript.choices[0].native == {
        "protocol": "responses",
        "content": [MESSAGE],
        "asked": "gpt",
        "model": MODEL,
    }


def test_nothing_goes_back_where_nothing_is_retained() -> None:
    decoder = ResponsesDecoder(Transcript(retain=False))
    for event in (done(MESSAGE), END):
        decoder.feed(orjson.dumps(event))
    decoder.end()
    state = decoder.transcript.choices[0]
    assert (state.native, state.extra, state.finish_reason) == (None, {}, "stop")


def test_a_signature_that_comes_late_replaces_none() -> None:
    signed = {**REASONING, "encrypted_content": "早"}
    assert native_of(reply_to(done(signed), listed(REASONING))) == [signed]
    bare = {**REASONING, "encrypted_content": None}
    assert native_of(reply_to(done(bare), listed({**bare, "x": 1}))) == [bare]
    text = message("好", encrypted_content="E")
    assert native_of(reply_to(done(MESSAGE), listed({**MESSAGE, "encrypted_content": "E"}))) == [
        MESSAGE
    ]
    assert native_of(reply_to(done(text), END)) == [text]


# --- calls --------------------------------------------------------------------------------------


def test_arguments_wait_for_the_name_that_closes_them() -> None:
    where = {"item_id": "fc_1", "output_index": 0}
    piece = ev("function_call_arguments.delta", **where, delta='{"a":')
    over = ev("function_call_arguments.done", **where, arguments='{"a":1}')
    named = {**over, "name": "查", "call_id": "c1"}
    (one,) = reply_to(piece, named, END).tool_calls
    assert (one.id, one.name, one.arguments, one.complete) == ("c1", "查", '{"a":1}', True)
    begun = added({**CALL, "name": ""}, output_index=0)
    (two,) = reply_to(begun, {**named, "call_id": ""}, END).tool_calls
    assert (two.id, two.name) == ("call_1", "查")
    (late,) = reply_to(piece, over, done(call(1, '{"a":1}'), output_index=0), END).tool_calls
    assert (late.id, late.name, late.arguments) == ("call_1", "f1", '{"a":1}')


def test_the_input_of_a_custom_tool() -> None:
    item = {"type": "custom_tool_call", "id": "ct", "call_id": "c1", "name": "跑", "input": ""}
    where = {"item_id": "ct", "output_index": 0}
    kind = "custom_tool_call_input"
    pieces = [ev(f"{kind}.delta", **where, delta=one) for one in ("ls", " -l")]
    over = ev(f"{kind}.done", **where, input="ls -la")
    for events in ([*pieces, over], [over], [pieces[0], over]):
        (one,) = reply_to(added(item, output_index=0), *events, END).tool_calls
        assert (one.kind, one.name, one.arguments) == ("custom_tool_call", "跑", "ls -la")
    unnamed = read(pieces[0], done(item, output_index=0), END).transcript
    (two,) = unnamed.tool_calls(unnamed.choices[0])
    assert (two.kind, two.arguments) == ("custom_tool_call", "ls")


def test_a_call_begins_with_its_item_and_once() -> None:
    begun = added(CALL | {"arguments": ""}, output_index=0)
    seen = deltas(begun, begun, done(CALL, output_index=0), END)
    assert seen == [
        ToolCallDelta(0, 0, "call_1", "weather", ""),
        ToolCallDelta(0, 0, "", "", '{"city":"北京"}'),
        FinishDelta(0, "tool_calls"),
    ]


# --- what is spliced, and what is not -----------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        words,
        lambda text: summary(0, text),
        lambda text: ev("reasoning_text.delta", item_id="rs_1", output_index=0, delta=text),
    ],
)
def test_texts_are_spliced_and_refusals_and_probabilities_are_not(make: Any) -> None:
    def spliced(*events: dict[str, Any]) -> tuple[int, int]:
        decoder = ResponsesDecoder(Transcript())
        decoder.feed_from([orjson.dumps(one) for one in events], 0)
        return decoder.splicer.hits, decoder.transcript.signs

    changing = [
        {**make(text), "sequence_number": number, "obfuscation": "x" * number}
        for number, text in enumerate(("一", "二", "三", "四", ""))
    ]
    hits, signs = spliced(*changing)
    assert (hits > 2, signs) == (True, 1)
    assert spliced(*[{**one, "logprobs": [{"token": "t"}]} for one in changing])[0] == 0
    refused = ev("refusal.delta", item_id="msg_1", output_index=0, delta="不")
    assert spliced(*[refused] * 4) == (0, 0)


def test_halves_of_characters_are_mended_in_all_that_is_kept() -> None:
    half = r"\ud83d"
    about = f'{{"type":"response.created","response":{{"mood":"{half}"}}}}'
    item = f'{{"type":"web_search_call","id":"ws","query":"{half}"}}'
    field = f'{{"type":"response.audio.done","x":"{half}"}}'
    begun = f'{{"type":"response.output_item.added","item":{item}}}'
    over = f'{{"type":"response.output_item.done","item":{item}}}'
    end = f'{{"type":"response.completed","response":{{"output":[{item}]}}}}'
    clean = {"type": "web_search_call", "id": "ws", "query": "\ufffd"}
    decoder = read(*(one.encode() for one in (about, field, begun, over, end)))
    log = decoder.transcript
    assert log.extra == {"mood": "\ufffd"}
    assert log.choices[0].extra == {"x": "\ufffd"}
    assert native_of(folded(decoder)) == [clean]
    assert native_of(folded(read(end.encode()))) == [clean]
    assert read(begun.encode()).transcript.choices[0].extra == {"unfinished_items": [clean]}
