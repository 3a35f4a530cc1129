"""What another model has signed stays behind, visibly."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate import TokenGate
from aiotokengate._wire.fitting import fitted
from aiotokengate._wire.protocols import find_protocol
from aiotokengate._wire.question import Question
from aiotokengate._wire.signed import STAND_IN
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
