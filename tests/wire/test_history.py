"""Why a history would be refused: what each vendor wants back, and what nobody takes."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiotokengate import CallerError, TokenGate
from aiotokengate._wire.history import check_history, says_nothing
from aiotokengate.catalogue import CATALOGUE, UNKNOWN

QWEN = "qwen3.6-plus"
DEEPSEEK = "deepseek-v4-pro"
OPUS = "claude-opus-4-6"
SONNET = "claude-sonnet-4.5"
GEMINI = "gemini-3.1-pro-preview"

ASKED = {"role": "user", "content": "天气？ 🌦️"}
SAID = {"role": "assistant", "content": "好 🌱"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
OTHER = {**CALL, "id": "d"}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "晴 ☀️"}
TURN = "the turn with tool calls in messages[1] lacks its"
ENDS = "it ends with the assistant's turn, which"
SPACES = "takes only without white space at its end"


def turn(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls or (CALL,)), **more}


def native(protocol: str, *content: Any) -> dict[str, Any]:
    return turn(native={"protocol": protocol, "content": list(content)})


def reasons(model: str, messages: list[Any], protocol: Any = "", reasoning: Any = None) -> Any:
    row = CATALOGUE.find(model)
    return list(check_history(messages, row, protocol or row.protocol, reasoning))


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([ASKED], []),
        ([ASKED, SAID, ASKED], []),
        ([ASKED, turn(), RESULT], []),
        ([ASKED, turn(CALL, OTHER), {**RESULT, "tool_call_id": "d"}, RESULT], []),
        ([ASKED, RESULT], ["messages[1] answers a tool call that is not before it: 'c'"]),
        (
            [ASKED, turn(), RESULT, RESULT],
            ["messages[3] answers a tool call that is not before it: 'c'"],
        ),
        ([ASKED, turn(), ASKED], ["the tool call 'c' of messages[1] has no answer after it"]),
        (
            [ASKED, turn(CALL, OTHER), RESULT, ASKED],
            ["the tool call 'd' of messages[1] has no answer after it"],
        ),
        ([ASKED, turn()], ["the tool call 'c' of messages[1] has no answer after it"]),
        ([{"role": "user", "content": " \n"}], ["messages[0] is empty"]),
        ([{"role": "user"}], ["messages[0] is empty"]),
        ([{"role": "user", "content": [{"type": "text", "text": ""}]}], ["messages[0] is empty"]),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], []),
        ([ASKED, {"role": "assistant", "content": ""}, ASKED], ["messages[1] is empty"]),
        ([{"role": "system", "content": ""}, ASKED], []),
    ],
)
def test_calls_results_and_empty_turns(messages: list[Any], expected: list[str]) -> None:
    assert reasons(QWEN, messages) == expected


LOST = f"{TURN} reasoning_content, which DeepSeek wants back"


@pytest.mark.parametrize(
    ("model", "reasoning", "message", "expected"),
    [
        (DEEPSEEK, None, turn(), [LOST]),
        (DEEPSEEK, "low", turn(reasoning_content=""), [LOST]),
        (DEEPSEEK, None, turn(reasoning_content="想 💭"), []),
        (DEEPSEEK, "off", turn(), []),
        (DEEPSEEK, 0, turn(), []),
        ("deepseek3.2", None, turn(), []),
        ("deepseek3.2", "high", turn(), [LOST]),
        (QWEN, "high", turn(), []),
        ("glm-5.1", None, turn(), []),
    ],
)
def test_deepseek_wants_its_reasoning_back(
    model: str, reasoning: Any, message: Any, expected: list[str]
) -> None:
    assert reasons(model, [ASKED, message, RESULT], reasoning=reasoning) == expected
    # In every later request, and nowhere but where it called.
    assert reasons(model, [ASKED, message, RESULT, SAID, ASKED], "", reasoning) == expected


SIGNED = {"type": "thinking", "thinking": "想", "signature": "c2ln"}
HIDDEN = {"type": "redacted_thinking", "data": "AAAA"}
USE = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
UNSIGNED = f"{TURN} signed thinking, which is wanted back while thinking is on"


@pytest.mark.parametrize(
    ("model", "reasoning", "message", "expected"),
    [
        (SONNET, "low", turn(), [UNSIGNED]),
        (SONNET, 4_096, native("messages", USE), [UNSIGNED]),
        (SONNET, 4_096, native("messages", {**SIGNED, "signature": ""}, USE), [UNSIGNED]),
        (SONNET, 4_096, native("messages", USE, SIGNED), [UNSIGNED]),
        (SONNET, 4_096, native("messages"), [UNSIGNED]),
        (SONNET, 4_096, native("messages", "?"), [UNSIGNED]),
        (SONNET, 4_096, native("gemini", SIGNED, USE), [UNSIGNED]),
        (SONNET, 4_096, native("messages", SIGNED, USE), []),
        (SONNET, 4_096, native("messages", HIDDEN, USE), []),
        (SONNET, None, turn(), []),
        (SONNET, "off", turn(), []),
        (OPUS, 4_096, turn(), [UNSIGNED]),
        # Adaptive thinking wants nothing back.
        (OPUS, "high", turn(), []),
        ("claude-opus-4-7", 4_096, turn(), []),
    ],
)
def test_claude_wants_its_signed_thinking_back(
    model: str, reasoning: Any, message: Any, expected: list[str]
) -> None:
    assert reasons(model, [ASKED, message, RESULT], reasoning=reasoning) == expected
    assert reasons(model, [ASKED, message, RESULT], "chat", reasoning) == []


UNMARKED = f"{TURN} thought signature, which Gemini 3 wants back"
GOOGLE = {**CALL, "extra_content": {"google": {"thought_signature": "s"}}}
FUNCTION = {"functionCall": {"name": "f"}}
FIRST = {**FUNCTION, "thoughtSignature": "s"}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (turn(), [UNMARKED]),
        (turn({**CALL, "extra_content": None}), [UNMARKED]),
        (turn({**CALL, "extra_content": {"google": "?"}}), [UNMARKED]),
        (turn(GOOGLE), []),
        (native("gemini", {"text": "好"}, FUNCTION), [UNMARKED]),
        (native("gemini", {"text": "好", "thoughtSignature": "s"}, FUNCTION), [UNMARKED]),
        # Of parallel calls the first has it.
        (native("gemini", FIRST, FUNCTION), []),
        (native("gemini", FUNCTION, FIRST), [UNMARKED]),
    ],
)
def test_gemini_wants_its_signatures_back(message: Any, expected: list[str]) -> None:
    assert reasons(GEMINI, [ASKED, message, RESULT], "gemini") == expected
    # In the current turn only; the gateway's own bridge makes up for it.
    assert reasons(GEMINI, [ASKED, message, RESULT, SAID, ASKED], "gemini") == []
    assert reasons(GEMINI, [ASKED, message, RESULT], "chat") == []


@pytest.mark.parametrize(
    ("model", "reasoning", "last", "expected"),
    [
        ("glm-5.1", None, SAID, [f"{ENDS} GLM's model can't go on from"]),
        (OPUS, None, SAID, [f"{ENDS} Anthropic's model can't go on from"]),
        (SONNET, None, SAID, []),
        (SONNET, "off", SAID, []),
        (SONNET, "low", SAID, [f"{ENDS} Anthropic's model can't go on from while thinking is on"]),
        (
            SONNET,
            None,
            {**SAID, "content": "好 "},
            [f"{ENDS} Anthropic's model takes only without white space at its end"],
        ),
        (DEEPSEEK, None, SAID, [f"{ENDS} DeepSeek's model goes on from only with 'prefix': True"]),
        (DEEPSEEK, None, {**SAID, "prefix": True}, []),
        (QWEN, None, {**SAID, "partial": True}, []),
        ("somebody/else", None, SAID, []),
    ],
)
def test_an_unfinished_turn_at_the_end(
    model: str, reasoning: Any, last: Any, expected: list[str]
) -> None:
    assert reasons(model, [ASKED, last], reasoning=reasoning) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"content": "好"}, False),
        ({"content": "　"}, True),
        ({"content": None, "tool_calls": [CALL]}, False),
        ({"content": "", "reasoning_content": "只是想了想 💭"}, True),
        (native("messages", SIGNED) | {"tool_calls": None}, True),
        (native("messages", SIGNED, {"type": "text", "text": "好"}) | {"tool_calls": None}, False),
        (native("messages", {"type": "text", "text": ""}) | {"tool_calls": None}, True),
        (native("gemini", {"text": "想", "thought": True}) | {"tool_calls": None}, True),
        (native("gemini", {"inlineData": {"data": "AA"}}) | {"tool_calls": None}, False),
        (native("gemini", {"text": "", "thoughtSignature": "s"}) | {"tool_calls": None}, True),
        (native("responses", {"type": "reasoning", "id": "r"}) | {"tool_calls": None}, True),
    ],
)
def test_turns_that_say_nothing(message: Any, expected: bool) -> None:
    assert says_nothing(message) is expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
KEYS = st.sampled_from(["content", "tool_calls", "tool_call_id", "native", "reasoning_content"])
ROLES = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "tool", "其他"])})
MESSAGES = st.lists(st.tuples(ROLES, st.dictionaries(KEYS, JSON)).map(lambda two: two[0] | two[1]))
PROTOCOLS = st.sampled_from(["chat", "responses", "messages", "gemini"])
MODELS = st.sampled_from([QWEN, DEEPSEEK, OPUS, SONNET, GEMINI, "somebody/else"])


@settings(max_examples=30)
@given(MESSAGES, MODELS, PROTOCOLS, st.sampled_from([None, "off", "high", 0, 2_048]))
def test_nothing_in_a_history_raises(
    messages: list[Any], model: str, protocol: Any, reasoning: Any
) -> None:
    assert all(isinstance(reason, str) for reason in reasons(model, messages, protocol, reasoning))


def test_the_method_takes_what_chat_takes(gate: TokenGate) -> None:
    history = [ASKED, turn(), RESULT]
    assert gate.check(QWEN, "你好 👋") == ()
    assert gate.check(DEEPSEEK, history) == (LOST,)
    assert gate.check(DEEPSEEK, history, reasoning="off") == ()
    assert gate.check(SONNET, history, reasoning="low") == (UNSIGNED,)
    assert gate.check(GEMINI, history, protocol="gemini") == (UNMARKED,)
    with pytest.raises(CallerError, match="expected reasoning as"):
        gate.check(QWEN, history, reasoning="much")  # type: ignore[arg-type]
    with pytest.raises(CallerError, match="expected at least one message"):
        gate.check(QWEN, [])


# --- each rule alone ----------------------------------------------------------------------------


def check(messages: list[Any], protocol: Any = "chat", reasoning: Any = None, **row: Any) -> Any:
    return check_history(messages, attrs.evolve(UNKNOWN, family="甲", **row), protocol, reasoning)


def test_ids_that_are_no_texts_are_compared_as_texts() -> None:
    numbered = {"role": "tool", "tool_call_id": 7, "content": "晴"}
    assert check([ASKED, turn({**CALL, "id": 7}), {**numbered, "tool_call_id": "7"}]) == ()
    assert check([numbered]) == ("messages[0] answers a tool call that is not before it: '7'",)
    nameless = {"role": "tool", "content": "晴"}
    assert check([ASKED, turn({}), nameless]) == ()
    assert check([nameless]) == ("messages[0] answers a tool call that is not before it: 'None'",)


def test_every_flaw_is_named_in_its_order() -> None:
    empty = {"role": "user", "content": ""}
    assert check([RESULT, turn(CALL, OTHER), empty, turn(), {"role": "其他"}]) == (
        "messages[0] answers a tool call that is not before it: 'c'",
        "the tool call 'c' of messages[1] has no answer after it",
        "the tool call 'd' of messages[1] has no answer after it",
        "messages[2] is empty",
        "the tool call 'c' of messages[3] has no answer after it",
    )
    assert check([]) == ()


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"type": "text", "text": "好"}, True),
        ({"text": "好", "type": "new"}, True),
        ({"n": 0}, True),
        ({"type": "thinking", "text": "想"}, False),
        ({"type": "redacted_thinking", "data": "想"}, False),
        ({"type": "reasoning", "summary": ["想"]}, False),
        ({"thought": True, "text": "想"}, False),
        ({"thought": False, "text": ""}, True),
        ({"a": None, "b": "", "c": [], "d": {}}, False),
        *(({name: "x"}, False) for name in ("type", "id", "role", "status")),
        *(({name: "x"}, False) for name in ("signature", "thoughtSignature")),
        ("好", False),
    ],
)
def test_what_a_block_says(block: Any, *, said: bool) -> None:
    for content in ([block], (block,), ["?", block]):
        message = {"role": "assistant", "native": {"protocol": "x", "content": content}}
        assert says_nothing(message) is not said


@pytest.mark.parametrize(
    ("message", "empty"),
    [
        ({}, True),
        ({"content": [{"type": "image_url"}]}, False),
        ({"content": ({"type": "text", "text": " "}, "?")}, False),
        ({"content": ({"type": "text", "text": " "},)}, True),
        ({"content": [{}]}, False),
        ({"content": [7]}, True),
        ({"tool_calls": []}, True),
        ({"tool_calls": ["?"]}, False),
        ({"native": "好"}, True),
        ({"native": {"content": "好"}}, True),
    ],
)
def test_a_turn_that_is_empty(message: Any, empty: bool) -> None:
    assert says_nothing(message) is empty


ENCRYPTED = f"{TURN} encrypted reasoning, which OpenAI wants back where nothing is stored"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (turn(), []),
        (native("responses", {"type": "reasoning"}), [ENCRYPTED]),
        (native("responses", {"type": "reasoning", "encrypted_content": ""}), [ENCRYPTED]),
        (native("responses", {"type": "reasoning", "encrypted_content": "E"}), []),
        (native("responses", "?", {"type": "message"}, {}), []),
        (
            native(
                "responses",
                {"type": "reasoning", "encrypted_content": "E"},
                {"type": "reasoning"},
            ),
            [ENCRYPTED],
        ),
        (native("messages", {"type": "reasoning"}), []),
    ],
)
def test_openai_wants_its_reasoning_back_encrypted(message: Any, expected: list[str]) -> None:
    assert list(check([ASKED, message, RESULT], "responses")) == expected
    # In every turn, also before the user's last words.
    assert list(check([ASKED, message, RESULT, ASKED], "responses")) == expected
    assert check([ASKED, message, RESULT]) == ()


def test_what_is_lost_is_named_by_its_place() -> None:
    wants: Any = {"wants_back": "tool_reasoning", "thinking": "always"}
    messages = [ASKED, turn(reasoning_content="想"), RESULT, turn(), RESULT, turn(), RESULT]
    lost = (
        "the turn with tool calls in messages[{}] lacks its reasoning_content, which 甲 wants back"
    )
    assert check(messages, **wants) == (lost.format(3), lost.format(5))
    assert check(messages, **{**wants, "wants_back": "blocks"}) == ()
    assert check(messages, **{**wants, "thinking": "none"}) == ()
    marks = [ASKED, turn(), RESULT, ASKED, turn(GOOGLE), RESULT, turn(), RESULT]
    assert check(marks, "gemini") == (UNMARKED.replace("[1]", "[6]"),)


@pytest.mark.parametrize(
    ("prefix", "protocol", "last", "why"),
    [
        ("", "chat", SAID, "can't go on from"),
        ("", "messages", {**SAID, "prefix": True}, "can't go on from"),
        ("prefix", "chat", SAID, "goes on from only with 'prefix': True"),
        ("prefix", "chat", {**SAID, "prefix": True}, ""),
        ("prefix", "messages", SAID, ""),
        ("partial", "chat", SAID, ""),
        ("prefill", "chat", {**SAID, "content": "好 "}, ""),
        ("prefill", "messages", SAID, ""),
        ("prefill", "messages", {**SAID, "content": " 好"}, ""),
        ("prefill", "messages", {**SAID, "content": [{"text": "好\n"}]}, SPACES),
        ("", "chat", ASKED, ""),
        ("", "chat", {**SAID, "role": "system"}, ""),
    ],
)
def test_who_goes_on_from_an_unfinished_turn(
    prefix: Any, protocol: Any, last: Any, why: str
) -> None:
    expected = (f"{ENDS} 甲's model {why}",) if why else ()
    assert check([ASKED, last], protocol, prefix=prefix) == expected
    assert check_history([ASKED, last], UNKNOWN, protocol) == ()


def test_calls_at_the_end_are_no_unfinished_turn() -> None:
    assert check([ASKED, turn()]) == ("the tool call 'c' of messages[1] has no answer after it",)
