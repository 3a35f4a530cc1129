"""Over Responses the result of each kind of call goes back in the form that it wants."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate._wire.gemini import encode_gemini
from aiotokengate._wire.question import Question
from aiotokengate._wire.responses import encode_responses
from aiotokengate._wire.results import calls_by_id, result_item
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


# --- a result alone -----------------------------------------------------------------------------


def form(kind: str, content: Any, parts: Any = (), **call: Any) -> dict[str, Any]:
    """Return what a result says beside its type and the id of its call."""
    result = result_item("c", content, {"type": kind, "call_id": "c", **call}, parts)
    assert result.pop("call_id") == "c"
    assert result.pop("type") == TYPES[kind]
    return result


TYPES = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "apply_patch_call": "apply_patch_call_output",
    "shell_call": "shell_call_output",
    "local_shell_call": "local_shell_call_output",
    "computer_call": "computer_call_output",
    "mcp_approval_request": "mcp_approval_response",
    "tool_search_call": "tool_search_output",
    "some_day_call": "function_call_output",
}


def test_calls_are_known_by_the_id_that_their_results_name() -> None:
    items = [
        {"type": "function_call", "id": "a", "call_id": "b"},
        {"type": "mcp_approval_request", "id": "c"},
        {"type": "function_call_output", "call_id": "b"},
        {"type": "reasoning"},
        {"type": "x", "call_id": 7},
        {"call_id": "d"},
        "?",
    ]
    assert list(calls_by_id(items)) == [("b", items[0]), ("c", items[1]), ("d", items[5])]


def test_a_result_names_its_call_unless_that_has_no_call_id() -> None:
    caller = {"type": "program"}
    assert result_item("c", "晴", {}, ()) == {
        "type": "function_call_output",
        "call_id": "c",
        "output": "晴",
    }
    assert result_item("c", "晴", {"type": "custom_tool_call", "caller": caller}, ()) == {
        "type": "custom_tool_call_output",
        "caller": caller,
        "output": "晴",
    }
    assert result_item(7, "晴", {"id": "x", "call_id": "y"}, ())["call_id"] == 7


@pytest.mark.parametrize("kind", TYPES)
def test_a_result_in_its_own_form_is_taken_over(kind: str) -> None:
    own = {"type": TYPES[kind], "call_id": "?", "id": "i", "output": 5}
    taken = {"id": "i", "output": 5}
    assert form(kind, own) == taken
    assert form(kind, orjson.dumps(own).decode()) == taken
    assert form(kind, [{"text": " \n"}, orjson.dumps(own).decode()]) == taken
    assert form(kind, {**own, "type": "other"}) != taken


def test_pictures_and_files_are_sent_as_parts() -> None:
    text, file = {"type": "input_text", "text": "看"}, {"type": "input_file", "file_id": "f"}
    for kind in ("function_call", "custom_tool_call", "some_day_call"):
        assert form(kind, ["看"], [text, text]) == {"output": "看"}
        assert form(kind, ["看"], (text, file)) == {"output": [text, file]}
        assert form(kind, '{"a": 1}') == {"output": '{"a": 1}'}


@pytest.mark.parametrize(
    ("content", "status", "output"),
    [
        ("好", "completed", "好"),
        ({"status": "failed", "output": "坏"}, "failed", "坏"),
        ({"status": "done", "output": "好"}, "completed", "好"),
        (' {"success": false}', "failed", ' {"success": false}'),
        ('{"success": 0}', "completed", '{"success": 0}'),
        ('{"error": null, "output": ""}', "failed", ""),
        ('{"output": 7}', "completed", '{"output": 7}'),
        ("[1]", "completed", "[1]"),
        ("{", "completed", "{"),
    ],
)
def test_a_patch_has_failed_where_its_tool_says_so(content: Any, status: str, output: str) -> None:
    assert form("apply_patch_call", content) == {"status": status, "output": output}


def run(stdout: str, stderr: str = "", code: int = 0) -> dict[str, Any]:
    return {
        "stdout": stdout,
        "stderr": stderr,
        "outcome": {"type": "exit", "exit_code": code},
    }


@pytest.mark.parametrize(
    ("content", "runs"),
    [
        ("甲", [run("甲")]),
        ({"stdout": "甲", "stderr": "!", "exit_code": 2}, [run("甲", "!", 2)]),
        ([{"stdout": "甲"}, {"stdout": None, "stderr": 7}], [run("甲"), run("", "7")]),
        ('{"output": [{"stdout": "甲", "exit_code": "2"}]}', [run("甲")]),
        ('[{"stdout": "甲", "outcome": "exit"}]', [run("甲")]),
        ({"output": "甲", "stdout": "乙"}, [run("乙")]),
        ('[{"stdout": "甲"}, {"x": 1}]', [run('[{"stdout": "甲"}, {"x": 1}]')]),
        ('{"stderr": "甲"}', [run('{"stderr": "甲"}')]),
        ("[]", [run("[]")]),
        (None, [run("")]),
        (["甲", {"text": "乙"}], [run("甲乙")]),
    ],
)
def test_what_commands_printed(content: Any, runs: list[Any]) -> None:
    assert form("shell_call", content) == {"output": runs}
    for most in (0, 9):
        action = {"max_output_length": most}
        assert form("shell_call", content, action=action) == {
            "output": runs,
            "max_output_length": most,
        }
    assert form("shell_call", content, action="?") == {"output": runs}


def test_a_local_command_names_its_call_twice() -> None:
    assert form("local_shell_call", "甲", id="x") == {"id": "c", "output": "甲"}
    call = {"type": "local_shell_call", "id": "x"}
    assert result_item("c", "甲", call, ()) == {
        "type": "local_shell_call_output",
        "id": "x",
        "output": "甲",
    }
    assert result_item("c", "甲", {"type": "local_shell_call"}, ()) == {
        "type": "local_shell_call_output",
        "output": "甲",
    }


@pytest.mark.parametrize(
    ("content", "parts", "fields"),
    [
        ("u", (), {"image_url": "u"}),
        ('{"x": 1}', (), {"image_url": '{"x": 1}'}),
        ({"image_url": "u", "detail": "low", "x": 1}, (), {"image_url": "u", "detail": "low"}),
        ('{"output": {"file_id": "f"}}', (), {"file_id": "f"}),
        ('{"output": "f"}', (), {"image_url": '{"output": "f"}'}),
        (
            "u",
            ({"type": "input_text", "text": "看"}, {"type": "input_image", "image_url": "v"}),
            {"image_url": "v"},
        ),
    ],
)
def test_a_screenshot(content: Any, parts: Any, fields: dict[str, Any]) -> None:
    shot = {"output": {"type": "computer_screenshot", **fields}}
    assert form("computer_call", content, parts) == shot
    checked = {"acknowledged_safety_checks": [], "output": {"file_id": "f"}}
    assert form("computer_call", checked)["acknowledged_safety_checks"] == []


@pytest.mark.parametrize(
    "word", ["true", "yes", "y", "ok", "approve", "approved", "allow", "是", "同意"]
)
def test_each_word_of_approval(word: str) -> None:
    approved = {"approval_request_id": "m", "approve": True}
    for content in (word, f" {word.upper()}\n", {"approve": word.upper()}):
        assert form("mcp_approval_request", content, id="m") == approved
    refused = {"approval_request_id": None, "approve": False}
    assert form("mcp_approval_request", f"{word}!") == refused
    assert form("mcp_approval_request", {"approve": "no", "reason": 7}) == refused
    assert form("mcp_approval_request", {"approve": True, "reason": ""}) == {
        **refused,
        "approve": True,
        "reason": "",
    }


@pytest.mark.parametrize(
    ("content", "tools"),
    [
        ({"tools": [1]}, [1]),
        ('{"tools": [1]}', [1]),
        ("[1]", [1]),
        ('{"tools": 1}', []),
        ({"x": [1]}, []),
        ("无", []),
    ],
)
def test_tools_that_were_found(content: Any, tools: list[Any]) -> None:
    assert form("tool_search_call", content) == {"execution": "client", "tools": tools}
