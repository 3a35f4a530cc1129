"""Chat: arguments checked and encoded, a call made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from aiotokengate.errors import CallerError
from aiotokengate.resources.base import Request
from aiotokengate.stream import ChatCall
from aiotokengate.types import ChatParams, Message
from aiotokengate.wire.dialects import DIALECTS
from aiotokengate.wire.protocols import find_protocol
from aiotokengate.wire.question import Question, Reasoning

if TYPE_CHECKING:
    from aiotokengate.catalogue import Model, ProtocolName
    from aiotokengate.policy.queue import Priority
    from aiotokengate.policy.retry import Retry
    from aiotokengate.policy.timeouts import Timeout
    from aiotokengate.resources.base import Defaults, Requester
    from aiotokengate.structured import Shape, Tool

__all__ = [
    "ChatOptions",
    "Messages",
    "Tools",
    "check_retained",
    "make_call",
    "message_list",
]

Messages: TypeAlias = str | Sequence[Mapping[str, Any] | Message]
Tools: TypeAlias = "Sequence[Mapping[str, Any] | Callable[..., Any] | Tool]"
"""Functions that the model may call: in the API's own form, or Python's."""

_PARAMS = frozenset(ChatParams.__annotations__)


@attrs.define(eq=False, kw_only=True)
class ChatOptions:
    """The options of one call; None takes the session's."""

    stream: bool = True
    retain: bool = True
    reasoning: Reasoning = None
    protocol: ProtocolName | None = None
    tools: Tools | None = None
    response_type: Any = None
    retry: Retry | None = None
    timeout: Timeout | None = None
    deadline: float | None = None
    priority: Priority = "interactive"
    fair_key: str | None = None
    extra_body: Mapping[str, Any] | None = None
    extra_headers: Mapping[str, str] | None = None


def make_call(
    requester: Requester,
    defaults: Defaults,
    model: str,
    messages: Messages,
    options: ChatOptions,
    params: Mapping[str, Any],
) -> ChatCall:
    """Check the arguments, and make the call; nothing is sent yet.

    Raises:
        CallerError: an argument is wrong; the error says which, and what was expected.
    """
    _check_model(model)
    if params:
        _check_params(params)
    listed = message_list(messages)
    row = defaults.catalogue.find(model)
    dialect = DIALECTS[row.dialect]
    protocol = options.protocol or row.protocol
    form = find_protocol(protocol)
    if options.tools is not None:
        params = {**params, "tools": _tool_dicts(options.tools)}
    shape = None
    if options.response_type is not None:
        from aiotokengate.structured import shape_of  # noqa: PLC0415 - for few calls

        check_retained("response_type", retain=options.retain)
        shape = shape_of(options.response_type)
        params, listed = _asking_for(shape, row, protocol, params, listed)
    encoded = form.encode(
        Question(
            model,
            listed,
            params,
            options.stream,
            options.reasoning,
            row,
            (defaults.extra_body, options.extra_body),
        )
    )
    extra = options.extra_headers
    request = Request(
        method="POST",
        path=encoded.path,
        body=encoded.body,
        model=model,
        dialect=dialect,
        decoder=partial(form.decoder, dialect),
        choices=_count(params.get("n")) if params else 1,
        retain=options.retain,
        notes=encoded.notes,
        parse=None if shape is None else shape.parse,
        timeout=options.timeout or defaults.timeout,
        retry=options.retry or defaults.retry,
        deadline=_deadline(options.deadline),
        pooled=True,
        max_tokens=_most(params) if params else None,
        priority=options.priority,
        fair_key=options.fair_key,
        headers={**encoded.headers, **extra} if extra else encoded.headers,
        secrets=lambda: _texts(listed),
    )
    return ChatCall(lambda: requester.open(request), model)


def _tool_dicts(tools: Tools) -> list[Mapping[str, Any]]:
    if not isinstance(tools, list | tuple):
        message = f"expected tools as a list of functions or dicts, got {type(tools).__name__}"
        raise CallerError(message)
    return [_tool_dict(tool, place) for place, tool in enumerate(tools)]


def _tool_dict(tool: object, place: int) -> Mapping[str, Any]:
    if isinstance(tool, Mapping):
        return tool
    from aiotokengate.structured import Tool, tool_of  # noqa: PLC0415 - for few calls

    if isinstance(tool, Tool):
        return tool.to_dict()
    if callable(tool):
        return tool_of(tool).to_dict()
    message = f"expected tools[{place}] as a function or a dict, got {type(tool).__name__}"
    raise CallerError(message)


def _asking_for(
    shape: Shape,
    row: Model,
    protocol: ProtocolName,
    params: Mapping[str, Any],
    messages: list[Mapping[str, Any]],
) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """Tell the model the type of its answer, in the way that it understands."""
    if params.get("response_format") is not None:
        message = "expected response_type or response_format, got both"
        raise CallerError(message)
    bridged = row.family == "Anthropic" and protocol == "chat"
    form, instruction = shape.asked("text" if bridged else row.structured)
    if form is not None:
        params = {**params, "response_format": form}
    if instruction is not None:
        messages = _instructed(messages, instruction)
    return params, messages


def _instructed(messages: list[Mapping[str, Any]], instruction: str) -> list[Mapping[str, Any]]:
    """Add an instruction to the system message, or make one."""
    first = messages[0]
    if first.get("role") == "system" and isinstance(first.get("content"), str):
        joined = {**first, "content": f"{first['content']}\n\n{instruction}"}
        return [joined, *messages[1:]]
    return [{"role": "system", "content": instruction}, *messages]


def _check_model(model: object) -> None:
    if not isinstance(model, str) or not model.strip():
        message = f"expected the name of a model, got {type(model).__name__} {model!r}"
        raise CallerError(message)


def _check_params(params: Mapping[str, Any]) -> None:
    for name in params.keys() - _PARAMS:
        from difflib import get_close_matches  # noqa: PLC0415 - only for a mistake

        near = get_close_matches(name, _PARAMS, n=1)
        meant = f", did you mean {near[0]!r}?" if near else ""
        way = "pass it in extra_body={...} to send it as it is"
        message = f"unknown parameter {name!r}{meant} ({way})"
        raise CallerError(message)


def message_list(messages: object) -> list[Mapping[str, Any]]:
    """Give messages in the API's own form.

    Raises:
        CallerError: they are none.
    """
    if isinstance(messages, str) and messages:
        return [{"role": "user", "content": messages}]
    if messages == "":
        messages = []
    if not isinstance(messages, list | tuple):
        message = f"expected messages as str or a list of messages, got {type(messages).__name__}"
        raise CallerError(message)
    if not messages:
        message = "expected at least one message, got none"
        raise CallerError(message)
    return [_message(entry, place) for place, entry in enumerate(messages)]


def _message(entry: object, place: int) -> Mapping[str, Any]:
    if isinstance(entry, Message):
        return entry.to_dict()
    if isinstance(entry, Mapping):
        if not isinstance(entry.get("role"), str):
            message = f"expected messages[{place}] to have a 'role', as in 'user'"
            raise CallerError(message)
        return entry
    message = f"expected messages[{place}] as dict or Message, got {type(entry).__name__}"
    raise CallerError(message)


def check_retained(what: str, *, retain: object) -> None:
    """Refuse to drop the text of a reply where the whole of it is needed.

    Raises:
        CallerError: ``retain=False`` was given.
    """
    if not retain:
        message = f"expected retain=True with {what}, which needs the whole reply, got {retain!r}"
        raise CallerError(message)


def _count(number: object) -> int:
    if number is None:
        return 1
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        message = f"expected n of 1 or more, got {number!r}"
        raise CallerError(message)
    return number


def _most(params: Mapping[str, Any]) -> int | None:
    """Give the most tokens that the reply may have, all choices together."""
    most = params.get("max_completion_tokens") or params.get("max_tokens")
    return most * _count(params.get("n")) if isinstance(most, int) and most > 0 else None


def _deadline(seconds: float | None) -> float | None:
    if seconds is not None and (not isinstance(seconds, int | float) or not seconds > 0):
        message = f"expected deadline in seconds above 0, got {seconds!r}"
        raise CallerError(message)
    return seconds


def _texts(value: object) -> Iterator[str]:
    """Give every text of the prompt, to be blanked where an error echoes it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key not in ("role", "type"):
                yield from _texts(item)
    elif isinstance(value, Iterable):
        for item in value:
            yield from _texts(item)
