"""The result of a call over Responses, in the form that the call's item wants.

A call and its result are paired by ``call_id``; which of seven forms the result has is told by the
item of the call, which stands in the native content of an earlier turn.  What a tool returned is
mostly text, and it may be an object in the vendor's own form, whose fields are then taken over.

Source: openai 3.57.0, ``types/responses``: ``response_input_item``,
``response_steer_required_input``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import orjson

from aiotokengate._wire.question import joined_text
from aiotokengate.types import Json

__all__ = ["calls_by_id", "result_item"]

Item: TypeAlias = Mapping[str, Any]
Fields: TypeAlias = dict[str, Any]


def calls_by_id(items: Sequence[Any]) -> Iterator[tuple[str, Item]]:
    """Yield the calls among items, each with the id that its result names."""
    for item in items:
        if not isinstance(item, Mapping) or str(item.get("type")).endswith("_output"):
            continue
        name = item.get("call_id") or item.get("id")
        if isinstance(name, str):
            yield name, item


def result_item(call_id: object, content: object, call: Item, parts: Sequence[Any]) -> Fields:
    """Return the item of a result.

    Args:
        call_id: of the call that is answered.
        content: what the tool returned, as the message has it.
        call: the item of the call; empty for a function's.
        parts: the content as parts of an input.
    """
    kind = str(call.get("type", "function_call"))
    output_type, fields = _FORMS.get(kind, _FORMS["function_call"])
    given = _given(content, output_type)
    base: Fields = {"type": output_type}
    if not call or call.get("call_id"):
        base["call_id"] = call_id
    if "caller" in call:
        base["caller"] = call["caller"]
    return {**base, **(fields(call, content, parts) if given is None else {}), **(given or {})}


def _given(content: object, output_type: str) -> Fields | None:
    """Return the fields of a result that is in its own form already, None if it is not."""
    value = content if isinstance(content, Mapping) else _parsed(content)
    if not isinstance(value, Mapping) or value.get("type") != output_type:
        return None
    return {key: one for key, one in value.items() if key not in ("type", "call_id")}


def _parsed(content: object) -> Json:
    text = joined_text(content)
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _object(content: object) -> Mapping[str, Any]:
    """Return the object that a tool returned, empty if it returned none."""
    value = content if isinstance(content, Mapping) else _parsed(content)
    return value if isinstance(value, Mapping) else {}


# --- the forms ----------------------------------------------------------------------------------


def _said(_: Item, content: object, parts: Sequence[Any]) -> Fields:
    """Return a text, or the parts where there are pictures or files among them."""
    has_more = any(part.get("type") != "input_text" for part in parts)
    return {"output": list(parts) if has_more else joined_text(content)}


def _patch(_: Item, content: object, __: Sequence[Any]) -> Fields:
    given = _object(content)
    status = given.get("status")
    failed = status == "failed" or given.get("success") is False or "error" in given
    text = given.get("output", joined_text(content))
    return {
        "status": "failed" if failed else "completed",
        "output": text if isinstance(text, str) else joined_text(content),
    }


def _shell(call: Item, content: object, _: Sequence[Any]) -> Fields:
    action = call.get("action")
    most = action.get("max_output_length") if isinstance(action, Mapping) else None
    more = {} if most is None else {"max_output_length": most}
    return {"output": _runs(content), **more}


def _runs(content: object) -> list[Fields]:
    """Return what each command printed and how it ended."""
    value: Any = content if isinstance(content, Mapping) else _parsed(content)
    if isinstance(value, Mapping) and isinstance(value.get("output"), list):
        value = value["output"]
    for runs in (content, value, [value]):
        if isinstance(runs, list) and runs and all(map(_is_run, runs)):
            return [_run(run) for run in runs]
    return [_run({"stdout": joined_text(content)})]


def _is_run(run: object) -> bool:
    return isinstance(run, Mapping) and "stdout" in run


def _run(run: Mapping[str, Any]) -> Fields:
    outcome = run.get("outcome")
    if not isinstance(outcome, Mapping):
        code = run.get("exit_code", 0)
        outcome = {"type": "exit", "exit_code": code if isinstance(code, int) else 0}
    printed = {name: str(run.get(name) or "") for name in ("stdout", "stderr")}
    return {**printed, "outcome": outcome}


def _local_shell(call: Item, content: object, _: Sequence[Any]) -> Fields:
    # The type says of ``id`` what it says of the call's ``call_id``: the call's unique id; most
    # clients send it as ``call_id``, so both are said.
    name = call.get("call_id") or call.get("id")
    return {**({"id": name} if name else {}), "output": joined_text(content)}


def _screenshot(_: Item, content: object, parts: Sequence[Any]) -> Fields:
    """Return a screenshot, from a picture among the parts or from its address."""
    given = _object(content)
    shot = given.get("output", given)
    picture = next((part for part in parts if part.get("type") == "input_image"), None)
    if picture is not None:
        fields = {key: value for key, value in picture.items() if key != "type"}
    elif isinstance(shot, Mapping) and ("image_url" in shot or "file_id" in shot):
        wanted = ("image_url", "file_id", "detail")
        fields = {key: shot[key] for key in wanted if key in shot}
    else:
        fields = {"image_url": joined_text(content)}
    checks = given.get("acknowledged_safety_checks")
    more = {} if checks is None else {"acknowledged_safety_checks": checks}
    return {"output": {"type": "computer_screenshot", **fields}, **more}


_YES: Final = frozenset(("true", "yes", "y", "ok", "approve", "approved", "allow", "是", "同意"))


def _approval(call: Item, content: object, _: Sequence[Any]) -> Fields:
    """Return an approval; only a clear yes is one."""
    given = _object(content)
    word = given.get("approve", joined_text(content).strip().lower())
    approve = word is True or (isinstance(word, str) and word.lower() in _YES)
    reason = given.get("reason")
    more = {"reason": reason} if isinstance(reason, str) else {}
    return {"approval_request_id": call.get("id"), "approve": approve, **more}


def _found(_: Item, content: object, __: Sequence[Any]) -> Fields:
    value = _parsed(content) if not isinstance(content, Mapping) else content
    tools = value.get("tools") if isinstance(value, Mapping) else value
    return {"execution": "client", "tools": tools if isinstance(tools, list) else []}


_FORMS: Final[Mapping[str, tuple[str, Callable[[Item, object, Sequence[Any]], Fields]]]] = (
    MappingProxyType(
        {
            "function_call": ("function_call_output", _said),
            "custom_tool_call": ("custom_tool_call_output", _said),
            "apply_patch_call": ("apply_patch_call_output", _patch),
            "shell_call": ("shell_call_output", _shell),
            "local_shell_call": ("local_shell_call_output", _local_shell),
            "computer_call": ("computer_call_output", _screenshot),
            "mcp_approval_request": ("mcp_approval_response", _approval),
            "tool_search_call": ("tool_search_output", _found),
        }
    )
)
