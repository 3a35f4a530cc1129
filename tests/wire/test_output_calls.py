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


def test_arguments_that_come_before_their_name() -> None:
    reply = reply_to(
        ev("function_call_arguments.delta", item_id="fc_1", output_index=0, delta='{"a":'),
        ev("function_call_arguments.delta", item_id="fc_1", output_index=0, delta="1}"),
        added(call(1), output_index=0),
        END,
    )
    assert [(each.name, each.parse()) for each in reply.tool_calls] == [("f1", {"a": 1})]


def test_a_whole_that_comes_before_its_name() -> None:
    """The last one counts; one that is empty says nothing."""
    where = {"item_id": "fc_1", "output_index": 0}
    reply = reply_to(
        ev("function_call_arguments.done", **where, arguments='{"a":1}'),
        ev("function_call_arguments.done", **where, arguments=""),
        added(call(1), output_index=0),
        done(call(1), output_index=0),
        END,
    )
    assert [(each.name, each.parse()) for each in reply.tool_calls] == [("f1", {"a": 1})]


def test_a_call_without_a_name_is_none() -> None:
    item = {**call(1, '{"a":1}'), "name": None}
    reply = reply_to(added(item, output_index=0), done(item, output_index=0), END)
    assert (reply.tool_calls, native_of(reply)) == ((), [])


@pytest.mark.parametrize("empty", ["", "{}", " null ", None])
def test_a_placeholder_for_arguments_that_came_in_pieces(empty: str | None) -> None:
    reply = reply_to(
        added(call(1), output_index=0),
        ev("function_call_arguments.delta", item_id="fc_1", delta='{"a":1}'),
        ev("function_call_arguments.done", item_id="fc_1", arguments=empty),
        done({**call(1), "arguments": empty}, output_index=0),
        END,
    )
    (found,) = reply.tool_calls
    assert (found.parse(), found.complete) == ({"a": 1}, True)
    (back,) = native_of(reply)
    assert back["arguments"] == '{"a":1}'


@pytest.mark.parametrize(
    ("whole", "text", "complete"),
    [
        ("6 * 7", "6 * 7", True),
        (None, "6 *", True),
        ("", "6 *", True),
        ("5", "6 *", False),
        ("7 * 7", "6 *", False),
    ],
)
def test_free_text_that_its_end_tells_otherwise(
    whole: str | None, text: str, complete: bool
) -> None:
    reply = reply_to(
        added({**CUSTOM, "input": ""}, output_index=0),
        ev("custom_tool_call_input.delta", item_id="ct", output_index=0, delta="6 *"),
        ev("custom_tool_call_input.done", item_id="ct", output_index=0, input=whole),
        END,
    )
    (found,) = reply.tool_calls
    assert (found.arguments, found.complete) == (text, complete)


def test_free_text_with_a_status_waits_for_nothing() -> None:
    item = {**CUSTOM, "status": "completed"}
    reply = reply_to(done(item, output_index=0), done(item, output_index=0), END)
    assert [(each.arguments, each.complete) for each in reply.tool_calls] == [("6 * 7", True)]
    assert native_of(reply) == [item]


@pytest.mark.parametrize(
    "item",
    [
        {**call(1, '{"a":1}'), "status": "incomplete"},
        {**CUSTOM, "status": "incomplete"},
        {
            "type": "local_shell_call",
            "id": "ls",
            "call_id": "c",
            "action": {"type": "exec"},
            "status": "incomplete",
        },
    ],
)
def test_an_incomplete_item_is_no_complete_call(item: dict[str, Any]) -> None:
    reply = reply_to(done(item, output_index=0), done(MESSAGE, output_index=1), END)
    assert [each.complete for each in reply.tool_calls] == [False]
    assert native_of(reply) == [MESSAGE]


def test_an_action_that_is_a_text_or_missing() -> None:
    named = {"type": "local_shell_call", "status": "completed"}
    items = [
        {**named, "id": "a", "call_id": "a", "action": '{"type":"exec"}'},
        {**named, "id": "b", "call_id": "b"},
    ]
    reply = reply_to(*(done(item, output_index=at) for at, item in enumerate(items)), END)
    assert [each.parse() for each in reply.tool_calls] == [{"type": "exec"}, {}]
    assert native_of(reply) == items


def test_a_command_that_only_began() -> None:
    """What its pieces tell is put into the item, which then counts as complete."""
    shell = {"type": "shell_call", "id": "sh", "call_id": "c", "action": {"timeout_ms": 5}}
    patch = {"type": "apply_patch_call", "id": "ap", "call_id": "d", "operation": {"path": "甲"}}
    where = {"item_id": "sh", "output_index": 0}
    at_patch = {"item_id": "ap", "output_index": 1}
    reply = reply_to(
        added(shell, output_index=0),
        added(patch, output_index=1),
        ev("shell_call_command.delta", **where, command_index=1, delta="pwd"),
        ev("shell_call_command.delta", **where, command_index=0, delta="l"),
        ev("shell_call_command.delta", **where, command_index=0, delta="s"),
        ev("apply_patch_call_operation_diff.delta", **at_patch, delta="+一"),
        END,
    )
    action = {"timeout_ms": 5, "commands": ["ls", "pwd"]}
    operation = {"path": "甲", "diff": "+一"}
    assert [each.parse() for each in reply.tool_calls] == [operation, action]  # commands come last
    assert native_of(reply) == [
        {**shell, "action": action, "status": "completed"},
        {**patch, "operation": operation, "status": "completed"},
    ]


def test_a_command_without_a_form_is_made_of_its_pieces() -> None:
    shell = {"type": "shell_call", "id": "sh", "call_id": "c", "action": None}
    patch = {"type": "apply_patch_call", "id": "ap", "call_id": "d", "operation": None}
    reply = reply_to(
        ev("output_item.added", item=shell, output_index=0),
        ev("output_item.added", item=patch, output_index=1),
        ev("shell_call_command.done", item_id="sh", command_index=0, command="ls"),
        ev("apply_patch_call_operation_diff.done", item_id="ap", diff="+一"),
        END,
    )
    expected = [
        {**shell, "action": {"commands": ["ls"]}},
        {**patch, "operation": {"diff": "+一"}},
    ]
    assert native_of(reply) == expected


def test_free_text_that_never_ended_goes_back_as_it_is() -> None:
    reply = reply_to(
        added({**CUSTOM, "input": "print()"}, output_index=0),
        done(MESSAGE, output_index=1),
        END,
    )
    (found,) = reply.tool_calls
    assert (found.arguments, found.complete) == ("print()", True)
    built = {key: CUSTOM[key] for key in ("type", "call_id", "name")}
    assert native_of(reply) == [{**built, "input": "print()"}, MESSAGE]


def test_arguments_of_another_type_go_back_as_text() -> None:
    item = {**call(1), "arguments": {"a": 1}}
    reply = reply_to(done(item, output_index=0), END)
    (back,) = native_of(reply)
    assert orjson.loads(back["arguments"]) == {"a": 1}


def test_arguments_that_are_written_otherwise_go_back_as_they_came() -> None:
    reply = reply_to(
        added(call(1), output_index=0),
        ev("function_call_arguments.delta", item_id="fc_1", delta='{"a": 1}'),
        done(call(1, '{"a":1}'), output_index=0),
        END,
    )
    (back,) = native_of(reply)
    assert back["arguments"] == '{"a":1}'


def test_free_text_goes_back_as_it_was_told() -> None:
    """Of an item without its text the call has it."""
    piece = ev("custom_tool_call_input.delta", item_id="ct", output_index=0, delta="6 * 7")
    item = {**CUSTOM, "status": "completed"}
    bare = {key: value for key, value in item.items() if key != "input"}
    events = [added({**CUSTOM, "input": ""}, output_index=0), piece, done(bare, output_index=0)]
    assert native_of(reply_to(*events, END)) == [item]
