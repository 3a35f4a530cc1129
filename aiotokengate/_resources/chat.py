"""Chat: arguments checked and encoded, a call made of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypedDict

import attrs

from aiotokengate._calls.request import CallPolicy, ChatRequest, HttpRequest, ReplyReading
from aiotokengate._policy.estimate import CallSize
from aiotokengate._resources.options import CallOptions, Options, check_names, keyed
from aiotokengate._stream.call import ChatCall
from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.protocols import checked_protocol, find_protocol
from aiotokengate._wire.question import Encoded, Question, Reasoning
from aiotokengate.errors import CallerError
from aiotokengate.types import ChatParams, Message, Messages, Parsed, ResponseType

if TYPE_CHECKING:
    from aiotokengate._calls.request import Requester
    from aiotokengate._policy.queue import Priority
    from aiotokengate._policy.retry import Retry
    from aiotokengate._policy.timeouts import Timeout
    from aiotokengate._resources.options import Defaults
    from aiotokengate._resources.structured import Shape, Tool
    from aiotokengate.catalogue import Model, ProtocolName

__all__ = [
    "RUN_OPTIONS",
    "TURN_OPTIONS",
    "ChatOptions",
    "CheckOptions",
    "Messages",
    "RunOptions",
    "Tools",
    "TurnOptions",
    "check_call",
    "check_options",
    "check_retained",
    "check_turn",
    "check_way",
    "make_call",
    "message_list",
]

Tools: TypeAlias = "Sequence[Mapping[str, Any] | Callable[..., Any] | Tool]"
"""Functions that the model may call: in the API's own form, or Python's."""

_PARAMS = frozenset(ChatParams.__annotations__)


class CheckOptions(TypedDict):
    """The options of a check; None takes the model's own way."""

    reasoning: Reasoning
    protocol: ProtocolName | None
    tools: Tools | None


class ChatOptions(CheckOptions):
    """The options of one call; None takes the session's.

    A dict, because making one costs a tenth of what an object with as many keywords does.
    """

    stream: bool
    retain: bool
    strict: bool | None
    response_type: Any
    retry: Retry | None
    timeout: Timeout | None
    deadline: float | None
    priority: Priority
    fair_key: str | None
    extra_body: Mapping[str, Any] | None
    extra_headers: Mapping[str, str] | None
    idempotency_key: str | bool | None


class RunOptions(ChatParams, CallOptions, Generic[Parsed], total=False):
    """What each turn of a run may be told: parameters and options of chat(), but for tools."""

    stream: bool
    retain: bool
    strict: bool | None
    reasoning: Reasoning
    protocol: ProtocolName | None
    response_type: ResponseType[Parsed] | None
    fallback: None
    resume: None


class TurnOptions(RunOptions[Parsed], total=False):
    """What each turn of a conversation may be told: parameters and options of chat()."""

    tools: Tools | None


RUN_OPTIONS = frozenset(RunOptions.__annotations__)
TURN_OPTIONS = frozenset(TurnOptions.__annotations__)


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
    if not _PARAMS.issuperset(params):
        check_names(params, _PARAMS, *TURN_OPTIONS)
    listed = message_list(messages)
    row = defaults.catalogue.find(model)
    protocol = options["protocol"] or _chosen_protocol(row, options["tools"])
    codec = find_protocol(protocol)
    if (tools := options["tools"]) is not None:
        params = {**params, "tools": _tool_dicts(tools)}
    shape = None
    if (wanted := options["response_type"]) is not None:
        from aiotokengate._resources.structured import shape_of

        check_retained("response_type", retain=options["retain"])
        shape = shape_of(wanted)
        params, listed = _asking_for(shape, row, protocol, params, listed)
    more = (defaults.extra_body, options["extra_body"])
    question = Question(model, listed, params, options["stream"], options["reasoning"], row, more)
    if params or len(listed) > 1:
        from aiotokengate._wire.fitting import fitted

        question = fitted(question, protocol)
        params = question.params
    encoded = codec.encode(question)
    choices = _count(params.get("n"))
    strict = options["strict"]
    reading = ReplyReading(
        DIALECTS[row.dialect],
        codec.decoder,
        choices,
        options["retain"],
        defaults.strict if strict is None else strict,
        (*question.notes, *encoded.notes) if question.notes else encoded.notes,
        None if shape is None else shape.parse,
    )
    size = CallSize(
        max_tokens=_most(params, choices),
        estimate=lambda: _estimated(listed, params.get("tools")),
        texts=lambda: _texts(listed),
    )
    http, policy = _sent(encoded, options, defaults), _tried(options, defaults, size)
    request = ChatRequest(http, policy, model, reading=reading)
    return ChatCall(partial(requester.open, request), model)


def _chosen_protocol(row: Model, tools: object) -> ProtocolName:
    """Return what the catalogue says; it may say another protocol where functions are called."""
    return row.tools_protocol or row.protocol if tools else row.protocol


def check_call(
    defaults: Defaults,
    model: str,
    messages: Messages,
    options: CheckOptions,
    params: Mapping[str, Any],
) -> tuple[str, ...]:
    """Return what would be refused, left out or weakened of a call.

    Raises:
        CallerError: an argument is wrong.
    """
    from aiotokengate._wire.fitting import fitted
    from aiotokengate._wire.history import check_history
    from aiotokengate._wire.thinking import checked_reasoning, unheeded

    _check_model(model)
    for name in params:
        if name in TURN_OPTIONS and name not in _PARAMS:
            message = f"expected no {name!r} here: it changes nothing of what check() says"
            raise CallerError(message)
    check_names(params, _PARAMS, *CheckOptions.__annotations__)
    row = defaults.catalogue.find(model)
    if (tools := options["tools"]) is not None:
        params = {**params, "tools": _tool_dicts(tools)}
    protocol = checked_protocol(options["protocol"]) or _chosen_protocol(row, tools)
    reasoning = checked_reasoning(options["reasoning"])
    listed = message_list(messages)
    question = Question(model, listed, params, reasoning=reasoning, row=row)
    fit = fitted(question, protocol)
    return (*check_history(listed, row, protocol, reasoning), *fit.notes, *unheeded(fit, protocol))


def _sent(encoded: Encoded, options: ChatOptions, defaults: Defaults) -> HttpRequest:
    """Return what is sent of an encoded question, with the headers that the options want."""
    extra = options["extra_headers"]
    headers = {**encoded.headers, **extra} if extra else encoded.headers
    if (key := options["idempotency_key"]) and not defaults.keyed:
        headers = keyed(headers, key=key)
    return HttpRequest("POST", encoded.path, encoded.body, None, headers)


def _tried(options: ChatOptions, defaults: Defaults, size: CallSize) -> CallPolicy:
    """Return how a chat is tried, as the options say."""
    return CallPolicy(
        options["timeout"] or defaults.timeout,
        options["retry"] or defaults.retry,
        options["deadline"],
        pooled=True,
        priority=options["priority"],
        fair_key=options["fair_key"],
        size=size,
    )


def _tool_dicts(tools: Tools) -> list[Mapping[str, Any]]:
    if not isinstance(tools, list | tuple):
        message = f"expected tools as a list of functions or dicts, got {type(tools).__name__}"
        raise CallerError(message)
    return [_tool_dict(tool, place) for place, tool in enumerate(tools)]


def _tool_dict(tool: object, place: int) -> Mapping[str, Any]:
    if isinstance(tool, Mapping):
        return tool
    from aiotokengate._resources.structured import Tool, tool_of

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
    """Report the model the type of its answer, in the way that it understands."""
    if params.get("response_format") is not None:
        message = "expected response_type or response_format, got both"
        raise CallerError(message)
    over_chat = row.chat_structured if protocol == "chat" else None
    response_format, instruction = shape.response_format(over_chat or row.structured)
    if response_format is not None:
        params = {**params, "response_format": response_format}
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


def _estimated(messages: list[Mapping[str, Any]], tools: object) -> int:
    """Return about how many tokens the prompt has."""
    from aiotokengate._wire.tokens import estimate_messages

    return estimate_messages(messages, tools)


def _check_model(model: object) -> None:
    if not isinstance(model, str) or not model.strip():
        message = f"expected the name of a model, got {type(model).__name__} {model!r}"
        raise CallerError(message)


def check_options(options: Mapping[str, Any]) -> None:
    """Check those options of a chat that every call has.

    Raises:
        CallerError: one is wrong.
    """
    own = options.keys() & attrs.fields_dict(Options)
    Options(**{name: options[name] for name in own})


def check_way(reasoning: object, protocol: object) -> None:
    """Refuse a way to think, or a protocol, that does not exist.

    Raises:
        CallerError: it does not.
    """
    from aiotokengate._wire.thinking import checked_reasoning

    checked_reasoning(reasoning)
    checked_protocol(protocol)


def check_turn(what: str, options: Mapping[str, Any], known: Collection[str], *also: str) -> None:
    """Check what each turn of something is told, before the first.

    Args:
        what: it is, for an error.
        options: those of chat().
        known: the names that there are.
        also: names that may have been meant, too.

    Raises:
        CallerError: an option is wrong, or there is none of that name.
    """
    check_names(options, known, *also)
    check_retained(what, retain=options.get("retain", True))
    check_way(options.get("reasoning"), options.get("protocol"))
    if (tools := options.get("tools")) is not None:
        _tool_dicts(tools)
    check_options(options)


def message_list(messages: object) -> list[Mapping[str, Any]]:
    """Return messages in the API's own form.

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


def _most(params: Mapping[str, Any], choices: int) -> int | None:
    """Return the most tokens that the reply may have, all choices together."""
    most = params.get("max_completion_tokens") or params.get("max_tokens")
    return most * choices if isinstance(most, int) and most > 0 else None


def _texts(value: object) -> Iterator[str]:
    """Return every text of the prompt, to be blanked where an error echoes it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key not in ("role", "type"):
                yield from _texts(item)
    elif isinstance(value, Iterable):
        for item in value:
            yield from _texts(item)
