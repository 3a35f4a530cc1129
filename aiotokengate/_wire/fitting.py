"""A question is fitted to what its model takes, before a protocol encodes it.

Strategy.  The row of the catalogue says in words what a model refuses: always, while it thinks,
or what has no effect then.  What would be refused is left out or weakened here, once for all
protocols, and a note says so; what stands in ``extra_body`` is the caller's own affair.  Nothing
is refused for a model that no row knows.

Sources: with each row of the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import attrs

from aiotokengate._wire.jsontext import dumps
from aiotokengate._wire.parts import is_system
from aiotokengate._wire.question import Question, Reasoning, joined_text, native_content
from aiotokengate._wire.short_ids import with_short_ids
from aiotokengate._wire.signed import own_turns
from aiotokengate._wire.thinking import nearest_effort, way_of
from aiotokengate.catalogue import Model, ProtocolName
from aiotokengate.types import Json

__all__ = ["fitted", "thinks", "thinks_by_budget"]

_NAMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "sampling": ("temperature", "top_p", "top_k"),
        "penalties": ("presence_penalty", "frequency_penalty"),
        "logprobs": ("logprobs", "top_logprobs", "logit_bias"),
        "stop": ("stop",),
        "parallel_tool_calls": ("parallel_tool_calls",),
    }
)
"""The parameters that a word of the catalogue stands for, where they are simply left out."""


_NOT_IN_RESPONSES: Final = ("top_k", "presence_penalty", "frequency_penalty", "logit_bias", "stop")
"""What the protocol itself does not have, as its encoder says."""


def fitted(question: Question, protocol: ProtocolName) -> Question:
    """Return the question as its model takes it, with notes of what was left out or weakened."""
    row, params = question.row, question.given()
    fit = _Fit(question, protocol, params, question.reasoning)
    said = [note for name, step in _STEPS if name in params for note in step(fit)]
    messages = question.messages
    if len(messages) > 1:
        # Who thinks by a budget wants a thought before each call, whosever it is.
        keep = protocol == "messages" and thinks_by_budget(row, question.reasoning)
        messages, lost = own_turns(messages, question.model, row, protocol, keep=keep)
        said += (*lost, *(_moved(messages, row) if protocol == "messages" else ()))
        messages = _with_reasoning(messages, fit)
        messages = [_spoken_anew(message, protocol) for message in messages]
        if row.call_ids == "short" and protocol == "chat":
            messages = with_short_ids(messages)
    return Question(
        question.model,
        messages,
        params,
        question.stream,
        fit.reasoning,
        row,
        question.extra_body,
        (*question.notes, *said),
    )


@attrs.define(eq=False, repr=False)
class _Fit:
    """A question at work: the parameters and the reasoning change."""

    question: Question
    protocol: ProtocolName
    params: dict[str, Any]
    reasoning: Reasoning

    @property
    def row(self) -> Model:
        return self.question.row

    @property
    def thinks(self) -> bool:
        return thinks(self.row, self.reasoning, self.params)

    def why(self, word: str) -> str:
        """Return why something is refused, "" if it is not."""
        row = self.row
        if word in row.refuses:
            return "is refused by this model"
        barred = word in row.refuses_thinking or (word == "forced_tool" and self._bars_force)
        return "is refused while this model thinks" if barred and self.thinks else ""

    @property
    def _bars_force(self) -> bool:
        """Whether the model thinks by a budget that is given, so that no call can be forced."""
        given = way_of(self.row, "messages").budget == "given"
        return given and thinks_by_budget(self.row, self.reasoning)


Step: TypeAlias = Callable[[_Fit], Iterator[str]]


# --- whether it thinks --------------------------------------------------------------------------


def thinks(row: Model, reasoning: Reasoning, params: Mapping[str, Any] | None = None) -> bool:
    """Return whether a model thinks about a question, as far as its row says."""
    if row.thinking == "none":
        return False
    wanted = _wants_thinking(reasoning, params or {})
    if wanted is None:
        return row.unasked != "none" and not way_of(row, "chat").only_asked
    return wanted or row.off == "no" or row.thinking == "always"


def thinks_by_budget(row: Model, reasoning: Reasoning) -> bool:
    """Return whether a model that is asked over Messages thinks by a number of tokens."""
    if reasoning in (None, "off", 0):
        return False
    budget = way_of(row, "messages").budget
    return budget == "always" or (budget == "given" and isinstance(reasoning, int))


def _wants_thinking(reasoning: Reasoning, params: Mapping[str, Any]) -> bool | None:
    """Return whether thinking is asked for, None if nothing is said of it."""
    if reasoning is not None:
        return reasoning not in ("off", 0)
    if (effort := params.get("reasoning_effort")) is not None:
        return bool(effort != "none")
    if isinstance(thinking := params.get("thinking"), Mapping):
        return thinking.get("type") != "disabled"
    template = params.get("chat_template_kwargs")
    inner = template if isinstance(template, Mapping) else {}
    flags = (params.get("enable_thinking"), inner.get("thinking"), inner.get("enable_thinking"))
    return next((bool(flag) for flag in flags if flag is not None), None)


# --- parameters ---------------------------------------------------------------------------------


def _effort(fit: _Fit) -> Iterator[str]:
    """Take the caller's own word for effort to one that the model has."""
    wanted = fit.params.get("reasoning_effort")
    if not isinstance(wanted, str):
        return
    row = fit.row
    has_words = bool(row.efforts) or row.native_thinking == "unknown"
    if fit.protocol == "messages" and way_of(row, "messages").budget == "always" and not has_words:
        del fit.params["reasoning_effort"]
        yield "parameter 'reasoning_effort' is refused by this model and was left out"
    elif row.efforts and (word := nearest_effort(wanted, row, fit.protocol)) != wanted:
        fit.params["reasoning_effort"] = word
        yield f"reasoning_effort={wanted!r} is not taken here and was rounded to {word!r}"


def _thinking(fit: _Fit) -> Iterator[str]:
    """Take the protocol's own field for thinking to a form that the model has."""
    given, row = fit.params.get("thinking"), fit.row
    if fit.protocol != "messages" or not isinstance(given, Mapping):
        return
    kind = given.get("type")
    if kind == "enabled" and way_of(row, "messages").budget == "refused":
        fit.params["thinking"] = {"type": "adaptive", "display": "summarized"}
        yield "a budget for thinking is refused by this model: 'adaptive' was sent"
    elif kind == "disabled" and row.off != "yes":
        del fit.params["thinking"]
        yield "thinking can't be switched off for this model: 'disabled' was left out"


def _tools(fit: _Fit) -> Iterator[str]:
    """Leave functions out where the model calls none."""
    tools = fit.params.get("tools")
    if fit.row.tools or not isinstance(tools, list | tuple):
        return
    others = [tool for tool in tools if not (isinstance(tool, Mapping) and "function" in tool)]
    if len(others) == len(tools):
        return
    fit.params["tools"] = others
    if not others:
        del fit.params["tools"]
        fit.params.pop("tool_choice", None)
        fit.params.pop("parallel_tool_calls", None)
    yield "this model calls no functions: they were left out of 'tools'"


def _tools_or_effort(fit: _Fit) -> Iterator[str]:
    """Ask for no effort where functions are taken over Chat Completions only without one."""
    row = fit.row
    is_apart = row.tools_protocol == "responses" and fit.protocol == "chat"
    if not is_apart or not fit.params.get("tools") or not fit.thinks:
        return
    if "none" not in row.efforts:
        yield "this model takes functions over Responses only: leave protocol= to the catalogue"
        return
    fit.params.pop("reasoning_effort", None)
    fit.reasoning = "off"
    yield (
        "functions are taken over Chat Completions only without thinking: none was asked for; "
        "protocol='responses' takes both"
    )


def _choice(fit: _Fit) -> Iterator[str]:
    """Leave the choice to a model that can't be forced to call."""
    choice = fit.params.get("tool_choice")
    if not _is_forced(choice) or not (why := fit.why("forced_tool")):
        return
    fit.params["tool_choice"] = "auto"
    yield f"a forced tool_choice {why}: 'auto' was sent"


def _is_forced(choice: object) -> bool:
    if isinstance(choice, str):
        return choice in ("required", "any")
    return isinstance(choice, Mapping) and choice.get("type") not in ("auto", "none", None)


def _plain(name: str, word: str) -> tuple[str, Step]:
    """Return the step that leaves one parameter out, as a word of the catalogue says."""

    def step(fit: _Fit) -> Iterator[str]:
        if fit.protocol == "responses" and name in _NOT_IN_RESPONSES:
            return
        if why := fit.why(word):
            del fit.params[name]
            yield f"parameter {name!r} {why} and was left out"
        elif word in fit.row.ignores_thinking and fit.thinks:
            yield f"parameter {name!r} has no effect while this model thinks"

    return name, step


def _stops(fit: _Fit) -> Iterator[str]:
    stop = fit.params.get("stop")
    if "stops" in fit.row.refuses and isinstance(stop, list | tuple) and len(stop) > 1:
        fit.params["stop"] = stop[:1]
        yield "this model takes one stop word: the others were left out"


def _count(fit: _Fit) -> Iterator[str]:
    n = fit.params.get("n")
    if isinstance(n, int) and n > 1 and fit.protocol == "chat" and (why := fit.why("n")):
        del fit.params["n"]
        yield f"parameter 'n' {why} and was left out"


def _schema(fit: _Fit) -> Iterator[str]:
    """Ask for JSON alone where no schema is taken."""
    wanted = fit.params.get("response_format")
    if not isinstance(wanted, Mapping) or wanted.get("type") != "json_schema":
        return
    if not (why := fit.why("schema")):
        return
    # JSON mode is refused by some where the prompt does not speak of JSON (DeepSeek's page).
    texts = (joined_text(message.get("content")) for message in fit.question.messages)
    if fit.row.structured == "text" or not any("json" in text.lower() for text in texts):
        del fit.params["response_format"]
        yield f"a schema {why} and was left out: say in the prompt how the answer must be"
        return
    fit.params["response_format"] = {"type": "json_object"}
    yield f"a schema {why}: JSON mode was asked for"


def _length(fit: _Fit) -> Iterator[str]:
    """Put the limit of the reply under the one name that the model heeds."""
    wanted = fit.row.length
    if wanted and fit.protocol == "chat":
        for name in ("max_completion_tokens", "max_tokens"):
            if name != wanted and (value := fit.params.pop(name, None)) is not None:
                fit.params.setdefault(wanted, value)
    yield from ()


_STEPS: Final[Sequence[tuple[str, Step]]] = (
    ("reasoning_effort", _effort),
    ("thinking", _thinking),
    ("tools", _tools),
    ("tools", _tools_or_effort),
    ("tool_choice", _choice),
    *(_plain(name, word) for word, names in _NAMES.items() for name in names),
    ("stop", _stops),
    ("n", _count),
    ("response_format", _schema),
    ("max_tokens", _length),
    ("max_completion_tokens", _length),
)
"""What is done about each parameter that is there, in this order."""


# --- messages -----------------------------------------------------------------------------------


def _moved(messages: Sequence[Mapping[str, Any]], row: Model) -> Iterator[str]:
    """Note that a system message moves to the top, where it holds for what came before, too."""
    begun = False
    for place, message in enumerate(messages):
        if is_system(message) and begun and row.system != "anywhere":
            yield (
                f"this model takes no system message in mid conversation: messages[{place}] was "
                "moved to the top"
            )
        begun = begun or not is_system(message)


def _with_reasoning(
    messages: Sequence[Mapping[str, Any]], fit: _Fit
) -> Sequence[Mapping[str, Any]]:
    """Add its reasoning, be it empty, to every turn with calls, where it is refused else.

    DeepSeek wants the field of a turn that did not think, too (pydantic-ai-slim 2.68.0).
    """
    if fit.row.wants_back != "tool_reasoning" or fit.protocol != "chat" or not fit.thinks:
        return messages
    return [_reasoned(message) for message in messages]


def _reasoned(message: Mapping[str, Any]) -> Mapping[str, Any]:
    lacks = message.get("reasoning_content") is None
    if message.get("role") == "assistant" and message.get("tool_calls") and lacks:
        thought = message.get("reasoning")
        return {**message, "reasoning_content": thought if isinstance(thought, str) else ""}
    return message


def _spoken_anew(message: Mapping[str, Any], protocol: ProtocolName) -> Mapping[str, Any]:
    """Make a function's call of one with free text, where the protocol has no other."""
    calls = message.get("tool_calls")
    if protocol == "responses" or not isinstance(calls, list | tuple):
        return message
    free = set(_free_calls(message))
    functions = [_as_function(call, free, protocol) for call in calls]
    if all(one is other for one, other in zip(functions, calls, strict=True)):
        return message
    return {**message, "tool_calls": functions}


def _free_calls(message: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of calls over Responses whose input was free text."""
    for item in native_content(message, "responses") or ():
        if isinstance(item, Mapping) and item.get("type") == "custom_tool_call":
            yield str(item.get("call_id"))


def _as_function(call: Json, free: Collection[str], protocol: str) -> Json:
    if not isinstance(call, Mapping):
        return call
    custom, function = call.get("custom"), call.get("function")
    if isinstance(custom, Mapping) and protocol != "chat":
        name, text = custom.get("name"), custom.get("input")
    elif isinstance(function, Mapping) and str(call.get("id")) in free:
        name, text = function.get("name"), function.get("arguments")
    else:
        return call
    kept = {key: value for key, value in call.items() if key != "custom"}
    arguments = dumps({"input": text if isinstance(text, str) else ""}).decode()
    return {**kept, "type": "function", "function": {"name": name, "arguments": arguments}}
