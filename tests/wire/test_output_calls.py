"""Output items of Responses that are calls, and those that are none."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate import ToolCallDelta
from tests.wire.test_responses_reply import (
    END,
    MESSAGE,
    added,
    call,
    deltas,
    done,
    ev,
    listed,
    native_of,
    read,
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


# --- what is told, in its order -----------------------------------------------------------------


def told(*events: object) -> list[tuple[str, str, str]]:
    """Return the id, the name and the arguments of each piece of a call."""
    return [
        (one.id, one.name, one.arguments)
        for one in deltas(*events)
        if isinstance(one, ToolCallDelta)
    ]


def piece(text: object, kind: str = "function_call_arguments", **where: Any) -> dict[str, Any]:
    return ev(f"{kind}.delta", **{"output_index": 0, **where}, delta=text)


def over(text: object, kind: str = "function_call_arguments", **more: Any) -> dict[str, Any]:
    key = "input" if "custom" in kind else "arguments"
    return ev(f"{kind}.done", **{"output_index": 0, key: text, **more})


def test_arguments_are_told_as_they_come_and_once() -> None:
    events = [added(call(1), output_index=0), piece('{"a":'), piece("1}"), over('{"a":1}')]
    expected = [("call_1", "f1", ""), ("", "", '{"a":'), ("", "", "1}")]
    assert told(*events) == expected
    assert told(*events, done(call(1, '{"a":1}'), output_index=0), END) == expected
    assert told(added(call(1), output_index=0), over('{"a":1}')) == [
        ("call_1", "f1", ""),
        ("", "", '{"a":1}'),
    ]
    for nothing in ("", None, 7):
        assert told(added(call(1), output_index=0), piece(nothing)) == [("call_1", "f1", "")]


def test_arguments_that_came_before_the_name_are_told_behind_it() -> None:
    events = [piece('{"a":'), piece("1}"), added(call(1), output_index=0)]
    assert told(*events) == [("call_1", "f1", ""), ("", "", '{"a":'), ("", "", "1}")]
    events = [piece("{"), over('{"a":1}'), over(7), added(call(1), output_index=0)]
    assert told(*events) == [("call_1", "f1", ""), ("", "", '{"a":1}')]


def test_which_id_a_call_has() -> None:
    """Its own call id, else that of its item; an approval has no other than the latter."""
    item = call(1, "{}")
    for lacking, found in ((), "call_1"), (("call_id",), "fc_1"), (("call_id", "id"), "call_0"):
        bare = {key: value for key, value in item.items() if key not in lacking}
        reply = reply_to(done(bare, output_index=0), END)
        assert [one.id for one in reply.tool_calls] == [found]
    named = over("{}", item_id="fc_9", name="f")
    assert [one.id for one in reply_to(named, END).tool_calls] == ["fc_9"]
    approval = {"type": "mcp_approval_request", "id": "m", "call_id": "", "name": "删"}
    (one,) = reply_to(done(approval), END).tool_calls
    assert (one.id, one.kind, one.arguments) == ("m", "mcp_approval_request", "")


BESIDE = {
    "namespace": "天气",
    "caller": {"type": "program"},
    "async": False,
    "server_label": "s",
    "environment": {"type": "local"},
}


def test_what_is_kept_beside_the_arguments() -> None:
    named = {**call(1, "{}"), **BESIDE, "x": 1}
    assert reply_to(done(named), END).tool_calls[0].extra == BESIDE
    empty = {**call(1, "{}"), **dict.fromkeys(BESIDE)}
    assert reply_to(added(named), done(empty), END).tool_calls[0].extra == BESIDE
    assert reply_to(added(call(1)), done(named), END).tool_calls[0].extra == BESIDE
    local = {"type": "shell_call", "call_id": "c", "action": {}, **BESIDE}
    assert reply_to(done(local), END).tool_calls[0].extra == BESIDE


# --- free text ----------------------------------------------------------------------------------


INPUT = "custom_tool_call_input"


@pytest.mark.parametrize(
    ("whole", "expected"),
    [
        ("6 * 7", ["6 *", " 7"]),
        ("6 *", ["6 *"]),
        ("6", ["6 *"]),
        ("7 * 6", ["6 *"]),
        ("", ["6 *"]),
        (None, ["6 *"]),
        ({"a": 1}, ["6 *"]),
    ],
)
def test_of_free_text_its_end_tells_the_rest(whole: object, expected: list[str]) -> None:
    begun = [added({**CUSTOM, "input": ""}, output_index=0), piece("6 *", INPUT)]
    for end in (over(whole, INPUT), done({**CUSTOM, "input": whole}, output_index=0)):
        assert [text for *_, text in told(*begun, end)] == ["", *expected]
    closed = [done({**CUSTOM, "status": "completed"}, output_index=0), over("6 * 7 * 8", INPUT)]
    assert [text for *_, text in told(*closed)] == ["", "6 * 7"]


def test_when_free_text_is_whole() -> None:
    def complete(*events: object) -> list[bool]:
        return [one.complete for one in reply_to(*events).tool_calls]

    open_end, sure = done(CUSTOM), done({**CUSTOM, "status": "completed"})
    assert complete(open_end) == [False]
    assert complete(sure) == [True]
    assert complete(open_end, done(MESSAGE)) == [False]
    assert complete(open_end, added(MESSAGE)) == [True]
    assert complete(open_end, END) == [True]
    assert complete(done({**CUSTOM, "status": "incomplete"}), END) == [False]
    cut = response("incomplete", incomplete_details={"reason": "max_output_tokens"})
    assert complete(open_end, ev("incomplete", response=cut)) == [False]
    assert complete(sure, ev("incomplete", response=cut)) == [True]
    assert complete(done(call(1, "{}")), ev("incomplete", response=cut)) == [True]


def test_free_text_that_an_end_told_otherwise_is_not_run() -> None:
    begun = [added({**CUSTOM, "input": ""}, output_index=0), piece("6 *", INPUT)]
    for whole, complete in (("6 * 7", True), ("6", False), ("7 * 6", False), ("6 *", True)):
        reply = reply_to(*begun, done({**CUSTOM, "input": whole}, output_index=0), END)
        assert [one.complete for one in reply.tool_calls] == [complete]


# --- commands -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "local"),
    [
        ({"type": "local"}, True),
        ({"type": None}, True),
        ({}, True),
        (None, True),
        ("local", True),
        ({"type": "container_reference"}, False),
    ],
)
def test_whose_a_command_is_to_run(environment: object, *, local: bool) -> None:
    shell = {**SHELL, "environment": environment}
    reply = reply_to(done(shell, output_index=0), END)
    assert [(one.name, one.complete) for one in reply.tool_calls] == [("shell", True)] * local
    assert native_of(reply) == [shell]


def test_a_command_whose_output_is_there_was_run() -> None:
    """Its call id says so; without one nothing does."""
    output = {"type": "shell_call_output", "id": "so", "call_id": "c", "output": []}

    def calls(shell: dict[str, Any], output: dict[str, Any]) -> list[str]:
        reply = reply_to(done(shell, output_index=0), done(output, output_index=1), END)
        return [one.id for one in reply.tool_calls]

    assert calls(SHELL, output) == []
    assert calls(SHELL, {**output, "call_id": "d"}) == ["c"]
    assert calls({**SHELL, "call_id": None}, {**output, "call_id": None}) == ["sh"]
    assert calls(SHELL, {**output, "type": "local_shell_call_output"}) == ["c"]


def test_a_command_is_told_once() -> None:
    assert told(done(SHELL), END, END) == [("c", "shell", ""), ("", "", '{"commands":["ls"]}')]
    assert told(done(SHELL)) == [("c", "shell", ""), ("", "", '{"commands":["ls"]}')]


def test_a_search_for_tools_is_the_vendors_unless_it_says_otherwise() -> None:
    search = {"type": "tool_search_call", "id": "t", "call_id": "c", "arguments": {"q": 1}}
    for execution, count in (("client", 1), ("server", 0), (None, 0)):
        reply = reply_to(done({**search, "execution": execution}), END)
        assert len(reply.tool_calls) == count
    decoder = read(done(MESSAGE, output_index=0), done(search, output_index=1))
    assert decoder.transcript.choices[0].spoke_from == 1
    client = done({**search, "execution": "client"}, output_index=1)
    assert read(done(MESSAGE, output_index=0), client).transcript.choices[0].spoke_from == 0


def test_what_a_computer_is_to_do() -> None:
    actions = {"actions": [{"type": "wait"}], "pending_safety_checks": None, "x": 1}
    (one,) = reply_to(done({"type": "computer_call", "call_id": "c", **actions}), END).tool_calls
    assert (one.name, one.parse()) == (
        "computer",
        {"actions": [{"type": "wait"}], "pending_safety_checks": None},
    )
    (bare,) = reply_to(done({"type": "computer_call", "call_id": "c"}), END).tool_calls
    assert (bare.arguments, bare.complete) == ("{}", True)


# --- what only the beginning has said -----------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "arguments"),
    [
        (call(1, '{"a":1}'), '{"a":1}'),
        (CUSTOM, "6 * 7"),
        (
            {"type": "apply_patch_call", "call_id": "c", "operation": {"path": "甲"}},
            '{"path":"甲"}',
        ),
        ({"type": "mcp_approval_request", "id": "m", "name": "删", "arguments": "{}"}, "{}"),
    ],
)
def test_arguments_that_only_the_beginning_has_said(item: dict[str, Any], arguments: str) -> None:
    (one,) = reply_to(ev("output_item.added", item=item, output_index=0), END).tool_calls
    assert (one.arguments, one.complete) == (arguments, True)


def test_arguments_of_the_beginning_are_not_told_beside_others() -> None:
    reply = reply_to(added(call(1, '{"a":1}'), output_index=0), piece('{"b":2}'), END)
    assert [one.arguments for one in reply.tool_calls] == ['{"b":2}']
    odd = reply_to(added({**call(1), "arguments": {"a": 1}}, output_index=0), END)
    assert [one.arguments for one in odd.tool_calls] == [""]


# --- what goes back -----------------------------------------------------------------------------


def test_a_call_that_was_built_has_all_its_fields() -> None:
    reply = reply_to(added({**call(1), **BESIDE}, output_index=0), END)
    built = {"type": "function_call", "call_id": "call_1", "name": "f1", **BESIDE}
    assert native_of(reply) == [{**built, "arguments": "{}"}]
    empty = reply_to(added({**CUSTOM, "input": ""}, output_index=0), END)
    assert native_of(empty) == [
        {"type": "custom_tool_call", "call_id": "c", "name": "py", "input": ""}
    ]


@pytest.mark.parametrize(
    ("pieces", "last", "back"),
    [
        ('{"a": 1}', '{"a":1}', '{"a":1}'),
        ('{"a": 1}', '{"a":2}', None),
        ('{"a": 1}', '{"a":1', None),
        ('{"a": 1}', None, '{"a": 1}'),
        ('{"a": 1}', "", '{"a": 1}'),
        ("{}", "", ""),
        ('{"a":"\t"}', '{"a":"\t"}', '{"a":"\\u0009"}'),
    ],
)
def test_arguments_go_back_as_they_came_if_they_say_the_same(
    pieces: str, last: str | None, back: str | None
) -> None:
    item = {**call(1), "arguments": last}
    reply = reply_to(added(call(1), output_index=0), piece(pieces), done(item), END)
    assert native_of(reply) == ([] if back is None else [{**item, "arguments": back}])


def test_an_id_of_ours_goes_back_where_the_items_id_stands() -> None:
    """As the id of an approval, which has no other, and as the call id of all else."""
    approval = {"type": "mcp_approval_request", "name": "删", "arguments": "{}"}
    assert native_of(reply_to(done(approval), END)) == [{**approval, "id": "call_0"}]
    bare = {key: value for key, value in call(1, "{}").items() if key not in ("id", "call_id")}
    assert native_of(reply_to(done(bare), END)) == [{**bare, "call_id": "call_0"}]
    only = {**bare, "id": "fc_1"}
    assert native_of(reply_to(done(only), END)) == [only]


def test_an_item_that_only_began_is_completed_where_it_has_a_status() -> None:
    patch = {"type": "apply_patch_call", "call_id": "c", "operation": {"path": "甲"}}
    begun = ev("output_item.added", item=patch, output_index=0)
    assert native_of(reply_to(begun, END)) == [patch]
    diff = [
        ev("apply_patch_call_operation_diff.delta", output_index=0, delta=one)
        for one in ("+一", 7, "二")
    ]
    whole = {**patch, "operation": {"path": "甲", "diff": "+一二"}}
    assert native_of(reply_to(begun, *diff, END)) == [whole]
    assert native_of(reply_to(added(patch, output_index=0), *diff, END)) == [
        {**whole, "status": "completed"}
    ]


def test_commands_stand_in_the_order_of_their_numbers() -> None:
    shell = {**SHELL, "action": {"commands": ["?"], "timeout_ms": 5}}
    pieces = [
        ev("shell_call_command.delta", output_index=0, command_index=number, delta=text)
        for number, text in ((10, "丙"), (2, "乙"), (1, "甲"), (-1, "?"), (2, "乙"))
    ]
    reply = reply_to(ev("output_item.added", item=shell, output_index=0), *pieces, END)
    assert native_of(reply) == [
        {**shell, "action": {"commands": ["甲", "乙乙", "丙"], "timeout_ms": 5}}
    ]
    bare = reply_to(ev("output_item.added", item=shell, output_index=0), END)
    assert native_of(bare) == [shell]
