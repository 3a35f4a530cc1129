"""The values that users send and receive."""

import copy
import pickle
from base64 import b64encode

import attrs
import pytest

from aiotokengate import CallerError, Message
from aiotokengate.types import (
    NOT_KEPT,
    THINKING_BLOCKS,
    THINKING_PART,
    UNKNOWN,
    AnswerDelta,
    Attempt,
    Choice,
    Citation,
    CitationDelta,
    Delta,
    FinishDelta,
    Json,
    Media,
    MediaDelta,
    ReasoningDelta,
    RefusalDelta,
    Reply,
    Timeline,
    ToolCall,
    ToolCallDelta,
    UnknownDelta,
    Usage,
    UsageDelta,
)

DELTAS: list[Delta] = [
    ReasoningDelta("想"),
    AnswerDelta("答", 1),
    RefusalDelta("不"),
    ToolCallDelta(0, 1, "a", "f", "{}"),
    MediaDelta(Media("image", "https://example.com/a.png")),
    CitationDelta(Citation("https://example.com")),
    FinishDelta(0, "stop"),
    UsageDelta(Usage(1, 2, 0, 0, 3)),
]
CALL = ToolCall("c1", "weather", '{"城市":"北京"}', extra={"extra_content": {"a": 1}})
REPLY = Reply(
    choices=(
        Choice(
            answer="答👋",
            reasoning="想",
            tool_calls=(CALL,),
            finish_reason="stop",
            status="complete",
            media=(Media("image", "https://example.com/a.png"),),
            citations=(Citation("https://example.com"),),
        ),
        Choice(index=1, answer="另"),
    ),
    status="complete",
    usage=Usage(1, 2, 1, 0, 3),
    model="m",
    timeline=Timeline(sent=0.1, done=0.5),
    attempts=(Attempt("m", 0.0, 0.5),),
)


# --- deltas -------------------------------------------------------------------------------------


@pytest.mark.parametrize("delta", DELTAS, ids=lambda delta: type(delta).__name__)
def test_deltas_are_plain_values(delta: Delta) -> None:
    """They compare, travel and become dicts, and hold nothing beside their fields."""
    assert pickle.loads(pickle.dumps(delta)) == delta
    assert copy.copy(delta) == delta
    assert set(attrs.asdict(delta)) == {field.name for field in attrs.fields(type(delta))}
    assert not hasattr(delta, "__dict__")


def test_deltas_of_one_text_differ_by_kind_and_choice() -> None:
    """A thought is no answer."""
    values = [ReasoningDelta("a"), AnswerDelta("a"), AnswerDelta("a", 1), RefusalDelta("a")]
    assert all(a is b or a != b for a in values for b in values)


def test_deltas_are_matched_by_their_fields() -> None:
    """The form that a bot is written in."""
    seen = []
    for delta in DELTAS:
        match delta:
            case ReasoningDelta(text=text) | AnswerDelta(text=text) | RefusalDelta(text=text):
                seen.append(text)
            case ToolCallDelta(name=name):
                seen.append(name)
            case FinishDelta(reason=reason):
                seen.append(reason)
    assert seen == ["想", "答", "不", "f", "stop"]


# --- messages -----------------------------------------------------------------------------------


def test_a_message_in_the_apis_form() -> None:
    """What is not set is not sent, but for the content, and extras go over all."""
    assert Message("user", "你好").to_dict() == {"role": "user", "content": "你好"}
    assert Message("assistant").to_dict() == {"role": "assistant", "content": None}
    message = Message("tool", "晴", "weather", tool_call_id="c1", extra={"cache_control": {}})
    assert message.to_dict() == {
        "role": "tool",
        "content": "晴",
        "name": "weather",
        "tool_call_id": "c1",
        "cache_control": {},
    }
    calls = [CALL.to_dict()]
    assert Message("assistant", tool_calls=calls).to_dict()["tool_calls"] == calls


def test_messages_are_frozen() -> None:
    """A history that several calls share is changed by none of them."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Message("user", "你好").content = "再见"  # type: ignore[misc]


# --- tool calls ---------------------------------------------------------------------------------


def test_a_call_is_parsed() -> None:
    """Its arguments are JSON; none at all are an empty object."""
    assert CALL.parse() == {"城市": "北京"}
    assert ToolCall("c", "now", "").parse() == {}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (ToolCall("c", "f", '{"a"', complete=False), "'f' was cut short and must not be run"),
        (ToolCall("c", "f", "{}", complete=False), "'f' was cut short and must not be run"),
        (ToolCall("c", "f", "{a}"), "expected JSON as arguments of 'f', got "),
        (ToolCall("c", "f", " "), "expected JSON as arguments of 'f', got "),
    ],
    ids=["cut", "not finished", "not JSON", "blank"],
)
def test_a_call_that_cannot_be_run(call: ToolCall, message: str) -> None:
    """Half a call is not run on half its arguments; the error does not show them."""
    with pytest.raises(CallerError, match=message):
        call.parse()


def test_a_call_goes_back_as_it_came() -> None:
    """In the API's own form, with what its vendor added."""
    assert CALL.to_dict() == {
        "id": "c1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"城市":"北京"}'},
        "extra_content": {"a": 1},
    }


def test_a_call_without_parameters_goes_back_as_json() -> None:
    """Servers parse what stands there, and an empty text is no JSON."""
    call = ToolCall("c1", "now", "", complete=True)
    assert call.to_dict()["function"] == {"name": "now", "arguments": "{}"}


def test_a_call_whose_input_is_free_text() -> None:
    """It is no JSON, and goes back under another name; cut short it is not run either."""
    call = ToolCall("c1", "patch", "*** 开始", kind="custom")
    assert call.parse() == "*** 开始"
    assert call.to_dict() == {
        "id": "c1",
        "type": "custom",
        "custom": {"name": "patch", "input": "*** 开始"},
    }
    with pytest.raises(CallerError, match="'patch' was cut short"):
        attrs.evolve(call, complete=False).parse()


# --- media --------------------------------------------------------------------------------------


def test_the_bytes_of_a_medium() -> None:
    """They are there where the address holds them, and have to be fetched elsewhere."""
    payload = bytes(range(256))
    url = f"data:image/png;base64,{b64encode(payload).decode()}"
    assert Media("image", url, "image/png").data == payload
    assert Media("image", "https://example.com/a,b.png").data is None
    assert Media("image", "data:text/plain,x").data is None
    assert Media("image", "data:;base64,").data == b""


@pytest.mark.parametrize("payload", ["A", "好"])
def test_a_medium_whose_bytes_are_broken(payload: str) -> None:
    """What is no base64 is an error of the library that says so."""
    medium = Media("image", f"data:image/png;base64,{payload}")
    with pytest.raises(Exception, match="base64") as raised:
        assert medium.data
    assert raised.type.__module__ == "aiotokengate.errors"


def test_a_medium_is_shown_without_its_bytes() -> None:
    """Five megabytes have no place in a log."""
    assert repr(Media("image", "data:image/png;base64,AAAA", "image/png")) == (
        "Media(kind='image', mime='image/png')"
    )


# --- replies ------------------------------------------------------------------------------------


def test_a_reply_is_its_first_choice() -> None:
    """Whoever asked for one answer need not count."""
    first = REPLY.choices[0]
    assert (REPLY.answer, REPLY.reasoning, REPLY.tool_calls) == ("答👋", "想", (CALL,))
    assert (REPLY.finish_reason, REPLY.media, REPLY.citations) == (
        "stop",
        first.media,
        first.citations,
    )


def test_an_empty_reply() -> None:
    """Before anything came there is a reply all the same, and it is no success."""
    reply = Reply()
    assert (reply.answer, reply.reasoning, reply.tool_calls) == ("", "", ())
    assert (reply.status, reply.finish_reason, reply.usage.estimated) == (
        "interrupted",
        None,
        True,
    )
    assert reply.message() == {"role": "assistant", "content": ""}


def test_the_message_of_a_reply_is_the_callers_own() -> None:
    """Changing it changes no reply, and each time it is a new one."""
    message = REPLY.message()
    message["content"] = "x"
    assert REPLY.message()["role"] == "assistant"
    assert REPLY.message() != message


def test_replies_are_plain_values() -> None:
    """They compare, travel, and cannot be changed."""
    assert pickle.loads(pickle.dumps(REPLY)) == REPLY
    assert attrs.evolve(REPLY) == REPLY
    assert attrs.asdict(REPLY)["choices"][1]["answer"] == "另"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        REPLY.status = "stopped"  # type: ignore[misc]


def test_headers_are_not_shown() -> None:
    """A reply that is printed shows what was said, not how it came."""
    text = repr(attrs.evolve(REPLY, headers={"x-secret": "y"}))
    assert "答👋" in text
    assert "x-secret" not in text


def test_a_reply_can_be_named_with_the_type_of_its_value() -> None:
    """For type checkers alone: such a reply is made, compared and pickled as any other."""
    named = Reply[list[int]](parsed=[1, 2])
    assert type(named) is Reply
    assert named == Reply(parsed=[1, 2])
    assert pickle.loads(pickle.dumps(named)) == named
    assert Reply().parsed is None


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            Choice(answer="答", reasoning="想", reasoning_field="reasoning_content"),
            {"content": "答", "reasoning_content": "想"},
        ),
        (
            Choice(
                answer="答",
                reasoning="想",
                reasoning_field=THINKING_PART,
                extra={THINKING_PART: {"closed": True}},
            ),
            {
                "content": [
                    {
                        "closed": True,
                        "type": "thinking",
                        "thinking": [{"type": "text", "text": "想"}],
                    },
                    {"type": "text", "text": "答"},
                ]
            },
        ),
        (
            Choice(reasoning="想", reasoning_field=THINKING_PART),
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "想"}]},
                ]
            },
        ),
        (
            Choice(
                answer="答",
                reasoning_field=THINKING_BLOCKS,
                extra={THINKING_BLOCKS: [{"signature": "s"}]},
            ),
            {"content": "答", "thinking_blocks": [{"signature": "s"}]},
        ),
        (
            Choice(answer="答", reasoning_details=({"type": "reasoning.text"},)),
            {"content": "答", "reasoning_details": [{"type": "reasoning.text"}]},
        ),
        (Choice(tool_calls=(CALL,)), {"content": None, "tool_calls": [CALL.to_dict()]}),
        (Choice(tool_calls=(attrs.evolve(CALL, complete=False),)), {"content": ""}),
        (Choice(refusal="不行"), {"content": "不行"}),
        (Choice(answer="答", inline="<think>想</think>"), {"content": "<think>想</think>答"}),
        (Choice(answer="答", native={"a": 1}), {"content": "答", "native": {"a": 1}}),
    ],
    ids=[
        *("a field", "a part", "a part without text", "blocks", "details"),
        *("a call", "half a call", "a refusal", "inline", "native"),
    ],
)
def test_what_a_vendor_needs_returned(choice: Choice, message: dict[str, Json]) -> None:
    """Thoughts go back in the form they came in, and no call that must not be run."""
    assert Reply((choice,)).message() == {"role": "assistant", **message}


def test_a_reply_whose_text_was_dropped_has_no_message() -> None:
    """Half a message would be taken for the whole one."""
    with pytest.raises(CallerError, match="expected a reply with all its text"):
        attrs.evolve(REPLY, notes=(NOT_KEPT,)).message()


def test_which_replies_are_empty() -> None:
    """Only one that is over can be; thoughts alone are no answer, audio alone is one."""
    thought = Choice(reasoning="想")
    assert Reply((thought,), status="complete").empty
    assert not Reply((thought,)).empty
    assert not REPLY.empty
    assert not Reply((Choice(extra={"audio": {"id": "a"}}),), status="complete").empty


def test_what_no_table_knows_is_kept() -> None:
    """As values of the first choice, beside what it said while it worked."""
    entry = {"protocol": "chat", "type": "delta.new_thing", "data": {"a": 1}}
    reply = Reply((Choice(commentary="先查一下", extra={UNKNOWN: [entry]}),))
    (unknown,) = reply.unknown
    assert unknown == UnknownDelta(0, "chat", "delta.new_thing", {"a": 1})
    assert reply.commentary == "先查一下"
    assert REPLY.unknown == ()
