"""Output items of Responses that are calls, and those that are none."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.wire.test_responses_reply import (
    END,
    MESSAGE,
    added,
    call,
    done,
    ev,
    listed,
    native_of,
    reply_to,
    response,
)


def test_arguments_with_raw_control_characters_go_back_as_json() -> None:
    item = call(1, '{"x":"一\t二"}')
    reply = reply_to(added(call(1)), done(item), listed(item))
    assert reply.tool_calls[0].parse() == {"x": "一\t二"}
    (back,) = native_of(reply)
    assert orjson.loads(back["arguments"]) == {"x": "一\t二"}


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
