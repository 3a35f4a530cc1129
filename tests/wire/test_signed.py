"""What another model has signed stays behind, visibly."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate import TokenGate
from aiotokengate._wire.fitting import fitted
from aiotokengate._wire.protocols import find_protocol
from aiotokengate._wire.question import Question
from aiotokengate._wire.signed import STAND_IN, has_seals, own_turns
from aiotokengate.catalogue import CATALOGUE

ASKED = {"role": "user", "content": "天气？ 🌦️"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "晴 ☀️"}
NOTE = "the signed thinking of messages[1] is another model's: this one does not see it"

THOUGHT = {"type": "thinking", "thinking": "想", "signature": "SIG"}
HIDDEN = {"type": "redacted_thinking", "data": "AAAA"}
USE = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
REASON = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "SIG"}
FUNCTION = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
APPROVAL = {"type": "mcp_approval_request", "id": "mcpr_1", "name": "f", "arguments": "{}"}
PART = {"functionCall": {"name": "f", "args": {}, "id": "c"}, "thoughtSignature": "SIG"}


def turn(protocol: str, *content: Any, **names: str) -> dict[str, Any]:
    native = {"protocol": protocol, "content": list(content), **names}
    return {"role": "assistant", "content": None, "tool_calls": [CALL], "native": native}


def sent(model: str, protocol: Any, middle: Any, reasoning: Any = None) -> tuple[Any, list[str]]:
    """Return the body that is sent, and what is noted before it is encoded."""
    row = CATALOGUE.find(model)
    question = Question(model, [ASKED, middle, RESULT], reasoning=reasoning, row=row)
    question = fitted(question, protocol)
    return orjson.loads(find_protocol(protocol).encode(question).body), list(question.notes)


OPUS: Any = {"asked": "claude-opus-4-7", "model": "claude-opus-4-7-20260416"}


@pytest.mark.parametrize(
    "model",
    ["claude-opus-4-7", "anthropic/Claude-Opus-4.7", "claude-opus-4-7@20260416"],
)
def test_to_its_own_model_all_goes_back(model: str) -> None:
    body, notes = sent(model, "messages", turn("messages", THOUGHT, HIDDEN, USE, **OPUS))
    assert body["messages"][1]["content"] == [THOUGHT, HIDDEN, USE]
    assert notes == []


def test_the_name_that_it_answered_with_counts_as_well() -> None:
    names = {"asked": "best", "model": "claude-opus-5-5"}
    _, notes = sent("claude-opus-5-5", "messages", turn("messages", THOUGHT, USE, **names))
    assert notes == []
    _, notes = sent("best", "messages", turn("messages", THOUGHT, USE, **names))
    assert notes == []


@pytest.mark.parametrize("names", [{}, {"asked": ""}, {"model": None}, {"asked": 7}])
def test_who_is_not_named_is_the_same(names: Any) -> None:
    body, notes = sent("claude-opus-5-5", "messages", turn("messages", THOUGHT, USE, **names))
    assert body["messages"][1]["content"] == [THOUGHT, USE]
    assert notes == []


def test_to_another_claude_go_the_calls_alone() -> None:
    middle = turn("messages", THOUGHT, HIDDEN, USE, **OPUS)
    body, notes = sent("claude-opus-5-5", "messages", middle)
    assert body["messages"][1]["content"] == [USE]
    assert notes == [NOTE]
    assert middle["native"]["content"] == [THOUGHT, HIDDEN, USE]  # the caller's is left alone


def test_claude_with_a_budget_wants_a_thought_before_the_call() -> None:
    middle = turn("messages", THOUGHT, USE, **OPUS)
    body, notes = sent("claude-sonnet-4.5", "messages", middle, 4_096)
    assert body["messages"][1]["content"] == [THOUGHT, USE]
    assert notes == [NOTE]
    foreign = turn("messages", THOUGHT, USE, asked="MiniMax-M3")
    body, notes = sent("claude-sonnet-4.5", "messages", foreign, 4_096)
    assert body["messages"][1]["content"] == [USE]
    assert notes == [NOTE]


def test_a_turn_of_thoughts_alone_leaves_nothing() -> None:
    middle = turn("messages", THOUGHT, **OPUS) | {"tool_calls": None, "content": ""}
    row = CATALOGUE.find("claude-opus-5-5")
    question = Question("claude-opus-5-5", [ASKED, middle, ASKED], row=row)
    encoded = find_protocol("messages").encode(fitted(question, "messages"))
    texts = [{"type": "text", "text": ASKED["content"]}] * 2
    assert orjson.loads(encoded.body)["messages"] == [{"role": "user", "content": texts}]


def test_openais_items_go_without_their_reasoning_and_its_ids() -> None:
    middle = turn("responses", REASON, FUNCTION, APPROVAL, asked="gpt-5.5", model="gpt-5.5")
    body, notes = sent("gpt-6-sol", "responses", middle)
    bare = {key: value for key, value in FUNCTION.items() if key != "id"}
    assert body["input"][1:3] == [bare, APPROVAL]
    assert notes == [NOTE]
    unsigned = turn("responses", FUNCTION, asked="gpt-5.5")
    body, notes = sent("gpt-6-sol", "responses", unsigned)
    assert (body["input"][1], notes) == (FUNCTION, [])


def test_gemini_gets_the_stand_in_for_the_first_call_of_this_turn() -> None:
    middle = turn("gemini", {"text": "好"}, PART, PART, asked="gemini-3-flash-preview")
    body, notes = sent("gemini-3.1-pro-preview", "gemini", middle)
    unsigned = {"functionCall": PART["functionCall"]}
    first = {**unsigned, "thoughtSignature": STAND_IN}
    assert body["contents"][1]["parts"] == [{"text": "好"}, first, unsigned]
    assert notes == [NOTE]


@pytest.mark.parametrize(
    ("model", "signature"),
    [("gemini-3.1-pro-preview", STAND_IN), ("gemini-9", STAND_IN), ("gemini-2.5-pro", None)],
)
def test_gemini_gets_the_stand_in_for_a_call_of_another_vendor(model: str, signature: Any) -> None:
    middle = turn("messages", THOUGHT, USE, **OPUS)
    body, notes = sent(model, "gemini", middle)
    (part,) = body["contents"][1]["parts"]
    assert part.get("thoughtSignature") == signature
    assert notes == [NOTE]


@pytest.mark.parametrize("protocol", ["gemini", "messages"])
def test_what_nobody_else_is_known_to_have_made_is_not_papered_over(protocol: str) -> None:
    middle = turn(protocol, {"functionCall": PART["functionCall"]})
    body, notes = sent("gemini-3.1-pro-preview", "gemini", middle)
    assert "thoughtSignature" not in body["contents"][1]["parts"][0]
    assert notes == []


def test_earlier_turns_need_no_stand_in() -> None:
    row = CATALOGUE.find("gemini-3.1-pro-preview")
    messages = [ASKED, turn("messages", USE, **OPUS), RESULT, ASKED]
    question = fitted(Question("gemini-3.1-pro-preview", messages, row=row), "gemini")
    assert question.messages == messages


def test_over_chat_the_signed_details_stay_behind() -> None:
    plain = {"type": "reasoning.text", "text": "想", "index": 0}
    middle = {
        **turn("chat", asked="anthropic/claude-opus-4.7"),
        "tool_calls": [{**CALL, "extra_content": {"google": {"thought_signature": "SIG"}}}],
        "reasoning_details": [plain, {**plain, "signature": "SIG"}, {"data": "SIG"}],
        "thinking_blocks": [THOUGHT],
    }
    body, notes = sent("gpt-5.2", "chat", middle)
    assert body["messages"][1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [CALL],
        "reasoning_details": [plain],
    }
    assert notes == [NOTE]


def test_over_chat_thoughts_in_parts_stay_behind() -> None:
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "晴"}]
    names = turn("chat", asked="magistral-medium")
    body, notes = sent("gpt-5.2", "chat", {**names, "content": parts})
    assert body["messages"][1]["content"] == "晴"
    assert notes == [NOTE]
    body, notes = sent("magistral-medium", "chat", {**names, "content": parts})
    assert body["messages"][1]["content"] == parts
    assert notes == []


def test_what_was_signed_over_chat_is_missed_over_another_protocol() -> None:
    details = [{"type": "reasoning.encrypted", "data": "SIG"}]
    middle = {**turn("chat", asked="openai/gpt-5.5"), "reasoning_details": details}
    _, notes = sent("claude-opus-4-8", "messages", middle)
    assert notes == [NOTE]


@pytest.mark.parametrize("content", [None, "?", [], ["?", 7], [{}], {"type": "thinking"}])
@pytest.mark.parametrize("protocol", ["chat", "responses", "messages", "gemini"])
def test_odd_native_content_raises_nothing(content: Any, protocol: Any) -> None:
    native = {"protocol": protocol, "content": content, "asked": "another"}
    odd = {"role": "assistant", "content": "好", "tool_calls": "?", "native": native}
    row = CATALOGUE.find("gemini-3.1-pro-preview")
    for model in ("gemini-3.1-pro-preview", "claude-opus-5-5"):
        question = fitted(Question(model, [ASKED, odd, ASKED], row=row), protocol)
        assert question.notes == ()


def test_the_check_says_it(gate: TokenGate) -> None:
    history = [ASKED, turn("messages", THOUGHT, USE, **OPUS), RESULT]
    assert gate.check("claude-opus-4-7", history) == ()
    assert gate.check("claude-opus-5-5", history) == (NOTE,)


def test_a_turn_that_names_nobody_goes_back_as_it_is() -> None:
    middle = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    body, notes = sent("gpt-5.2", "chat", middle)
    assert (body["messages"][1], notes) == (middle, [])


def test_of_gemini_parts_only_their_marks_stay_behind() -> None:
    """A part that had nothing else goes with them."""
    marks = [{"text": "", "thoughtSignature": "SIG"}, {"thoughtSignature": "SIG"}]
    said = {"text": "好", "thoughtSignature": "SIG"}
    middle = turn("gemini", *marks, said, asked="gemini-3-flash-preview") | {"tool_calls": None}
    row = CATALOGUE.find("gemini-3.1-pro-preview")
    question = Question("gemini-3.1-pro-preview", [ASKED, middle, ASKED], row=row)
    question = fitted(question, "gemini")
    assert question.messages[1]["native"]["content"] == [{"text": "好"}]
    assert question.notes == (NOTE,)


def test_over_chat_only_what_is_signed_stays_behind() -> None:
    other = {**CALL, "id": "d"}
    middle = {
        **turn("chat", asked="anthropic/claude-opus-4.7"),
        "tool_calls": [{**CALL, "extra_content": {"google": {"thought_signature": "S"}}}, other],
        "reasoning_details": ["?", {"data": "SIG"}],
    }
    body, _ = sent("gpt-5.2", "chat", middle)
    assert body["messages"][1]["tool_calls"] == [CALL, other]
    assert body["messages"][1]["reasoning_details"] == ["?"]


@pytest.mark.parametrize("calls", [None, [], ["?"]])
def test_a_turn_without_calls_needs_no_stand_in(calls: Any) -> None:
    middle = turn("messages", THOUGHT, USE, **OPUS) | {"tool_calls": calls, "content": "好"}
    row = CATALOGUE.find("gemini-3.1-pro-preview")
    question = Question("gemini-3.1-pro-preview", [ASKED, middle], row=row)
    assert STAND_IN not in str(fitted(question, "gemini").messages)


# --- turns alone --------------------------------------------------------------------------------


NEW = "gemini-3.1-pro-preview"
SIGNED_CALL = {**CALL, "extra_content": {"google": {"thought_signature": "SIG"}}}
VOUCHED = {**CALL, "extra_content": {"google": {"thought_signature": STAND_IN}}}


def owned(
    message: Any, protocol: Any, model: str = "m", *, keep: bool = False
) -> tuple[Any, tuple[str, ...]]:
    """Return a turn as it goes to a model, after one of the user, and what is noted."""
    row = CATALOGUE.find(model)
    (_, mine), notes = own_turns([ASKED, message], model, row, protocol, keep=keep)
    return mine, notes


def made(protocol: str, *content: Any, **more: Any) -> dict[str, Any]:
    native = {"protocol": protocol, "content": list(content), "asked": "other"}
    return {"role": "assistant", "content": None, "native": native, **more}


def left(message: Any, protocol: Any, model: str = "m") -> Any:
    return owned(message, protocol, model)[0]["native"]["content"]


def test_turns_of_the_model_itself_are_the_ones_given() -> None:
    turns = [ASKED, {**turn("messages", THOUGHT), "role": "user"}, turn("messages", THOUGHT)]
    turns += [made("messages", USE), made("chat"), {"role": "assistant", "native": "?"}]
    found, notes = own_turns(turns, "m", CATALOGUE.find("m"), "messages")
    assert found is turns
    assert notes == ()


def test_only_turns_of_the_assistant_are_looked_at() -> None:
    message = made("messages", THOUGHT) | {"role": "user"}
    assert owned(message, "messages") == (message, ())


def test_all_turns_that_lost_something_are_named() -> None:
    turns = [made("messages", THOUGHT), ASKED, made("messages", THOUGHT), made("messages", USE)]
    found, notes = own_turns(turns, "m", CATALOGUE.find("m"), "messages")
    assert notes == (NOTE.replace("messages[1]", "messages[0], messages[2]"),)
    assert list(found) == [made("messages"), ASKED, made("messages"), turns[3]]


@pytest.mark.parametrize(
    ("names", "mine"),
    [
        ({"asked": "m"}, True),
        ({"asked": "x", "model": "m"}, True),
        ({"asked": "m", "model": "x"}, True),
        ({"asked": "vendor/M"}, True),
        ({"asked": "x"}, False),
        ({"asked": "", "model": "x"}, False),
        ({"asked": 7, "model": "x"}, False),
        ({"asked": "", "model": None}, True),
    ],
)
def test_who_made_a_turn(names: dict[str, Any], *, mine: bool) -> None:
    message = made("messages", THOUGHT, USE)
    message["native"] = {**message["native"], "asked": None, **names}
    assert left(message, "messages") == ([THOUGHT, USE] if mine else [USE])


@pytest.mark.parametrize(
    ("block", "signed"),
    [
        ({"type": "x", "signature": "S"}, True),
        ({"type": "x", "encrypted_content": "S"}, True),
        ({"text": "", "thoughtSignature": "S"}, True),
        ({"type": "redacted_thinking"}, True),
        ({"type": "thinking", "thinking": "想"}, False),
        ({"type": "x", "signature": "", "encrypted_content": None}, False),
        ("signature", False),
    ],
)
def test_what_is_signed_is_missed_over_another_protocol(block: Any, *, signed: bool) -> None:
    """The turn stays as it is: its encoder says it anew."""
    for content in ([USE, block], (USE, block)):
        message = made("messages")
        message["native"]["content"] = content
        assert owned(message, "responses") == (message, (NOTE,) * signed)


def test_a_model_that_wants_a_thought_keeps_those_of_its_own_vendor() -> None:
    mine = made("messages", THOUGHT, USE)
    mine["native"]["asked"] = "claude-opus-4-7"
    assert owned(mine, "messages", keep=True) == (mine, (NOTE,))
    plain = made("messages", USE)
    plain["native"]["asked"] = "claude-opus-4-7"
    assert owned(plain, "messages", keep=True) == (plain, ())
    other = made("messages", THOUGHT, USE)
    assert owned(other, "messages", keep=True) == (made("messages", USE), (NOTE,))
    answered = made("messages", THOUGHT, USE)
    answered["native"]["model"] = "claude-opus-4-7"
    assert owned(answered, "messages", keep=True)[0] == answered


def test_thoughts_of_messages_stay_behind() -> None:
    blocks = [THOUGHT, "?", HIDDEN, {"type": "text", "text": "好"}, {"type": "thinking"}, USE]
    assert left(made("messages", *blocks), "messages") == ["?", blocks[3], USE]


def test_ids_of_items_go_with_the_reasoning_that_they_are_tied_to() -> None:
    kinds = ["message", "function_call", "custom_tool_call", "web_search_call"]
    items = [{"type": kind, "id": kind, "call_id": "c"} for kind in kinds]
    bare = [{"type": kind, "call_id": "c"} for kind in kinds[:3]]
    assert left(made("responses", "?", *items, REASON), "responses") == ["?", *bare, items[3]]
    assert left(made("responses", *items, {"type": "x"}), "responses") == [*items, {"type": "x"}]


def test_marks_of_parts_stay_behind() -> None:
    parts = [PART, {"text": "好"}, "?", {"text": "", "thought": True, "thoughtSignature": "S"}]
    message = made("gemini", *parts)
    bare = {"functionCall": PART["functionCall"]}
    assert left(message, "gemini") == [bare, {"text": "好"}, "?", {"text": "", "thought": True}]


def test_over_gemini_a_turn_of_another_protocol_loses_the_marks_of_its_calls() -> None:
    calls = [SIGNED_CALL, "?", CALL]
    message = made("messages", USE, tool_calls=calls)
    mine, notes = owned(message, "gemini")
    assert (mine, notes) == ({**message, "tool_calls": [CALL, "?", CALL]}, (NOTE,))
    assert owned(message, "messages") == (message, ())
    odd = made("gemini", tool_calls=tuple(calls))
    odd["native"]["content"] = None
    assert owned(odd, "gemini")[0]["tool_calls"] == [CALL, "?", CALL]


@pytest.mark.parametrize(
    ("fields", "bare"),
    [
        ({"tool_calls": [SIGNED_CALL]}, {"tool_calls": [CALL]}),
        ({"reasoning_details": [{"data": "S"}]}, {}),
        (
            {"reasoning_details": ({"signature": "S"}, {"text": "想"})},
            {"reasoning_details": [{"text": "想"}]},
        ),
        ({"thinking_blocks": [THOUGHT]}, {}),
        ({"thinking_blocks": [THOUGHT, {"data": ""}]}, {"thinking_blocks": [{"data": ""}]}),
        ({"content": [{"type": "thinking"}, {"type": "text", "text": "好"}]}, {"content": "好"}),
        ({"content": ({"type": "thinking"},)}, {"content": ""}),
    ],
)
def test_what_is_signed_in_a_turn_of_chat(fields: dict[str, Any], bare: dict[str, Any]) -> None:
    message = {**made("chat"), **fields}
    rest = {key: value for key, value in message.items() if key not in fields}
    assert has_seals(message)
    assert owned(message, "chat") == ({**rest, **bare}, (NOTE,))
    assert owned(message, "messages") == (message, (NOTE,))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tool_calls": [CALL]},
        {"tool_calls": [{**CALL, "extra_content": {"google": {"thought_signature": ""}}}]},
        {"tool_calls": [{**CALL, "extra_content": {"google": "?"}}, "?"]},
        {"tool_calls": "?"},
        {"reasoning_details": [{"text": "想", "signature": "", "data": None}, "?"]},
        {"reasoning_details": "?", "thinking_blocks": {"a": 1}},
        {"content": [{"type": "text", "text": "好"}, "?"]},
        {"content": "好"},
    ],
)
def test_what_is_not_signed_in_a_turn_of_chat(fields: dict[str, Any]) -> None:
    message = {**made("chat"), **fields}
    assert not has_seals(message)
    assert owned(message, "chat") == (message, ())


# --- the stand-in -------------------------------------------------------------------------------


def test_the_first_call_of_a_foreign_turn_is_vouched_for() -> None:
    call = {"functionCall": {"name": "f"}}
    vouched = {**call, "thoughtSignature": STAND_IN}
    message = made("gemini", "?", {"text": "好"}, call, call)
    assert left(message, "gemini", NEW) == ["?", {"text": "好"}, vouched, call]
    assert left(made("gemini", {"text": "好"}), "gemini", NEW) == [{"text": "好"}]
    chat = made("chat", tool_calls=[CALL, CALL])
    assert owned(chat, "gemini", NEW)[0]["tool_calls"] == [VOUCHED, CALL]
    again = made("chat", tool_calls=(SIGNED_CALL, CALL))
    assert owned(again, "gemini", NEW)[0]["tool_calls"] == [VOUCHED, CALL]
    bare = made("gemini", tool_calls=[CALL])
    bare["native"]["content"] = "?"
    assert owned(bare, "gemini", NEW)[0]["tool_calls"] == [VOUCHED]


@pytest.mark.parametrize("calls", [None, [], (), "?", ["?"]])
def test_what_is_no_call_is_not_vouched_for(calls: Any) -> None:
    message = made("chat", tool_calls=calls)
    assert owned(message, "gemini", NEW)[0] == message


def test_who_wants_a_stand_in_and_for_what() -> None:
    """Gemini asked by level, over its own protocol, for what came since the user's last words."""
    message = made("chat", tool_calls=[CALL])
    assert owned(message, "gemini", NEW)[0] != message
    for protocol in ("chat", "messages", "responses"):
        assert owned(message, protocol, NEW)[0] == message
    for model in ("gemini-2.5-pro", "m"):
        assert owned(message, "gemini", model)[0] == message
    mine = {**message, "native": {**message["native"], "asked": NEW}}
    assert owned(mine, "gemini", NEW)[0] == mine
    row = CATALOGUE.find(NEW)
    found, _ = own_turns([message, RESULT, ASKED, message], NEW, row, "gemini")
    assert [one.get("tool_calls") for one in found] == [[CALL], None, None, [VOUCHED]]
    alone, _ = own_turns([message], NEW, row, "gemini")
    assert alone[0]["tool_calls"] == [VOUCHED]
