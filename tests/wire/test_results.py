"""Over Responses the result of each kind of call goes back in the form that it wants."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate._wire.gemini import encode_gemini
from aiotokengate._wire.question import Question
from aiotokengate._wire.responses import encode_responses
from aiotokengate.catalogue import CATALOGUE

ASKED = {"role": "user", "content": "做吧 🛠️"}
PIXEL = "data:image/png;base64,iVBO"


def item(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "id": "it_1", "call_id": "c", **more}


def answered(call: dict[str, Any] | None, content: Any, call_id: str = "c") -> Any:
    """Return the last item of a request whose last message answers a call."""
    native = {"protocol": "responses", "content": [call]}
    turn = [{"role": "assistant", "content": None, "native": native}] if call else []
    result = {"role": "tool", "tool_call_id": call_id, "content": content}
    row = CATALOGUE.find("gpt-5.3-codex")
    encoded = encode_responses(Question("gpt-5.3-codex", [ASKED, *turn, result], row=row))
    return orjson.loads(encoded.body)["input"][-1]


EXIT = {"type": "exit", "exit_code": 0}
PATCH = item("apply_patch_call", operation={"type": "update_file", "path": "甲.txt"})
SHELL = item("shell_call", action={"commands": ["ls"], "max_output_length": 99})
COMPUTER = item("computer_call", action={"type": "screenshot"})
APPROVAL = {"type": "mcp_approval_request", "id": "mcpr_1", "name": "删", "arguments": "{}"}
SEARCH = item("tool_search_call", execution="client", arguments={})


@pytest.mark.parametrize(
    ("call", "content", "expected"),
    [
        (None, "晴", {"type": "function_call_output", "call_id": "c", "output": "晴"}),
        (
            item("function_call", caller={"type": "program", "caller_id": "p"}),
            "晴",
            {
                "type": "function_call_output",
                "call_id": "c",
                "caller": {"type": "program", "caller_id": "p"},
                "output": "晴",
            },
        ),
        (
            item("function_call"),
            [
                {"type": "text", "text": "看 👀"},
                {"type": "image_url", "image_url": {"url": PIXEL}},
            ],
            {
                "type": "function_call_output",
                "call_id": "c",
                "output": [
                    {"type": "input_text", "text": "看 👀"},
                    {"type": "input_image", "image_url": PIXEL},
                ],
            },
        ),
        (
            item("custom_tool_call", name="run", input="6 * 7"),
            "42",
            {"type": "custom_tool_call_output", "call_id": "c", "output": "42"},
        ),
        (
            PATCH,
            "改好了 ✅",
            {
                "type": "apply_patch_call_output",
                "call_id": "c",
                "status": "completed",
                "output": "改好了 ✅",
            },
        ),
        (
            PATCH,
            '{"status": "failed", "output": "没有这个文件"}',
            {
                "type": "apply_patch_call_output",
                "call_id": "c",
                "status": "failed",
                "output": "没有这个文件",
            },
        ),
        (
            PATCH,
            {"type": "apply_patch_call_output", "call_id": "?", "status": "failed"},
            {"type": "apply_patch_call_output", "call_id": "c", "status": "failed"},
        ),
        (
            SHELL,
            "甲.txt",
            {
                "type": "shell_call_output",
                "call_id": "c",
                "output": [{"stdout": "甲.txt", "stderr": "", "outcome": EXIT}],
                "max_output_length": 99,
            },
        ),
        (
            SHELL,
            '[{"stdout": "", "stderr": "没有", "exit_code": 2}]',
            {
                "type": "shell_call_output",
                "call_id": "c",
                "output": [
                    {
                        "stdout": "",
                        "stderr": "没有",
                        "outcome": {"type": "exit", "exit_code": 2},
                    }
                ],
                "max_output_length": 99,
            },
        ),
        (
            item("shell_call", action={"commands": ["sleep"]}),
            {"output": [{"stdout": "慢", "outcome": {"type": "timeout"}}]},
            {
                "type": "shell_call_output",
                "call_id": "c",
                "output": [{"stdout": "慢", "stderr": "", "outcome": {"type": "timeout"}}],
            },
        ),
        (
            item("local_shell_call", action={"type": "exec"}),
            "甲.txt",
            {"type": "local_shell_call_output", "call_id": "c", "id": "c", "output": "甲.txt"},
        ),
        (
            COMPUTER,
            PIXEL,
            {
                "type": "computer_call_output",
                "call_id": "c",
                "output": {"type": "computer_screenshot", "image_url": PIXEL},
            },
        ),
        (
            COMPUTER,
            [{"type": "image_url", "image_url": {"url": PIXEL}}],
            {
                "type": "computer_call_output",
                "call_id": "c",
                "output": {"type": "computer_screenshot", "image_url": PIXEL},
            },
        ),
        (
            COMPUTER,
            {"file_id": "f1", "acknowledged_safety_checks": [{"id": "s"}]},
            {
                "type": "computer_call_output",
                "call_id": "c",
                "output": {"type": "computer_screenshot", "file_id": "f1"},
                "acknowledged_safety_checks": [{"id": "s"}],
            },
        ),
        (
            SEARCH,
            '[{"type": "function", "name": "weather"}]',
            {
                "type": "tool_search_output",
                "call_id": "c",
                "execution": "client",
                "tools": [{"type": "function", "name": "weather"}],
            },
        ),
        (
            SEARCH,
            "没有",
            {"type": "tool_search_output", "call_id": "c", "execution": "client", "tools": []},
        ),
    ],
)
def test_each_form(call: Any, content: Any, expected: dict[str, Any]) -> None:
    assert answered(call, content) == expected


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("true", {"approve": True}),
        ("Yes", {"approve": True}),
        ("同意", {"approve": True}),
        ('{"approve": true, "reason": "安全"}', {"approve": True, "reason": "安全"}),
        ({"approve": False}, {"approve": False}),
        ('{"approve": 1}', {"approve": False}),
        ("no", {"approve": False}),
        ("晴", {"approve": False}),
        ("", {"approve": False}),
    ],
)
def test_an_approval_is_a_clear_yes(content: Any, told: dict[str, Any]) -> None:
    assert answered(APPROVAL, content, "mcpr_1") == {
        "type": "mcp_approval_response",
        "approval_request_id": "mcpr_1",
        **told,
    }


def test_a_custom_call_without_its_item_is_said_anew() -> None:
    custom = {"name": "run", "input": "6 * 7"}
    call = {"id": "c", "type": "custom", "custom": custom}
    turn = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "c", "content": "42"}
    encoded = encode_responses(Question("gpt-5.3-codex", [ASKED, turn, result]))
    assert orjson.loads(encoded.body)["input"][1:] == [
        {"type": "custom_tool_call", "call_id": "c", **custom},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "42"},
    ]


def test_gemini_gets_the_id_of_its_call_and_none_of_ours() -> None:
    parts = [
        {"functionCall": {"name": "f", "id": "fk-41", "args": {}}, "thoughtSignature": "s"},
        {"functionCall": {"name": "g", "args": {}}},
    ]
    calls = [
        {"id": name, "type": "function", "function": {"name": function, "arguments": "{}"}}
        for name, function in (("fk-41", "f"), ("call_1", "g"))
    ]
    native = {"protocol": "gemini", "content": parts}
    turn = {"role": "assistant", "content": None, "tool_calls": calls, "native": native}
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "晴 ☀️"} for call in calls]
    encoded = encode_gemini(Question("gemini-3-flash-preview", [ASKED, turn, *results]))
    sent = orjson.loads(encoded.body)["contents"][-1]["parts"]
    assert sent == [
        {"functionResponse": {"id": "fk-41", "name": "f", "response": {"result": "晴 ☀️"}}},
        {"functionResponse": {"name": "g", "response": {"result": "晴 ☀️"}}},
    ]
