"""OpenAI's Responses, encoded from and decoded into the common forms.

Strategy.  A reply is a list of output items, each filled by deltas; items may end in another order
than they began, so everything is kept by the item's place in the output and nothing by "the
current one".  Nearly every event repeats in a ``.done`` what deltas have said; what is whole
counts only where no delta came before it.  The items themselves go back in the next turn as they
were, because a stateless conversation needs the encrypted reasoning of its tool calls.

Source: platform.openai.com/docs/api-reference/responses, recorded exchanges (OpenAI, OpenRouter).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from aiotokengate.errors import CallerError
from aiotokengate.types import Citation, Media
from aiotokengate.wire.endings import ending_of
from aiotokengate.wire.jsontext import dumps
from aiotokengate.wire.question import (
    Encoded,
    FrameDecoder,
    Question,
    dicts_in,
    joined_text,
    merged,
    native_content,
    text_of,
)
from aiotokengate.wire.results import calls_by_id, result_item
from aiotokengate.wire.splice import Append
from aiotokengate.wire.thinking import ask_to_think
from aiotokengate.wire.transcript import ANSWER, REASONING, ChoiceState, Transcript

__all__ = ["ResponsesDecoder", "encode_responses"]

PROTOCOL: Final = "responses"
_ENCRYPTED: Final = "reasoning.encrypted_content"
_LOGPROBS: Final = "message.output_text.logprobs"

# --- the request --------------------------------------------------------------------------------

_SAME: Final = frozenset(
    (
        *("temperature", "top_p", "parallel_tool_calls", "user", "metadata", "service_tier"),
        *("safety_identifier", "prompt_cache_key", "prompt_cache_retention", "top_logprobs"),
        *("store", "reasoning"),
    )
)
_SILENT: Final = frozenset(("stream_options", "max_tokens", "max_completion_tokens", "n"))


def encode_responses(question: Question) -> Encoded:
    """Give the request of a question for ``/responses``.

    Nothing is stored at the vendor, unless ``store`` says so: the items of each turn go back
    whole.

    Raises:
        CallerError: a message or a parameter can't be said in this protocol.
    """
    given = question.given()
    if given.get("n", 1) != 1:
        message = f"expected n=1 over OpenAI's Responses, got {given['n']!r}"
        raise CallerError(message)
    instructions, items = _input(question.messages)
    body: dict[str, Any] = {"model": question.model, "input": items}
    if instructions:
        body["instructions"] = instructions
    body |= {"store": False, "include": [_ENCRYPTED]}
    if question.stream:
        # Random padding would make every chunk another one.
        body |= {"stream": True, "stream_options": {"include_obfuscation": False}}
    most = given.get("max_completion_tokens") or given.get("max_tokens")
    if most is not None:
        body["max_output_tokens"] = most
    notes = _put_params(body, given)
    asked = ask_to_think(question, PROTOCOL, most)
    body = merged(body, asked.fields)
    for extra in question.extra_body:
        body = merged(body, extra or {})
    return Encoded("/responses", dumps(body), notes=(*notes, *asked.notes))


def _put_params(body: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """Put what the protocol knows into the body; give notes of what it does not."""
    notes: list[str] = []
    for name, value in given.items():
        if name in _SAME:
            body[name] = value
        elif name in _PARAMS:
            _PARAMS[name](body, value)
        elif name not in _SILENT:
            notes.append(f"parameter {name!r} is not part of this protocol and was left out")
    return notes


def _put_tools(body: dict[str, Any], tools: Any) -> None:  # noqa: ANN401 - JSON
    body["tools"] = [*body.get("tools", ()), *map(_flat, tools)]


def _flat(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return tool
    return {"type": "function", "strict": False, **function}


def _put_choice(body: dict[str, Any], choice: Any) -> None:  # noqa: ANN401 - JSON
    named = isinstance(choice, Mapping) and isinstance(choice.get("function"), Mapping)
    body["tool_choice"] = {"type": "function", **choice["function"]} if named else choice


def _put_format(body: dict[str, Any], form: Any) -> None:  # noqa: ANN401 - JSON
    flat = {"type": form.get("type"), **(form.get("json_schema") or {})}
    body["text"] = {**body.get("text", {}), "format": flat}


def _put_verbosity(body: dict[str, Any], verbosity: Any) -> None:  # noqa: ANN401 - JSON
    body["text"] = {**body.get("text", {}), "verbosity": verbosity}


def _put_effort(body: dict[str, Any], effort: Any) -> None:  # noqa: ANN401 - JSON
    body["reasoning"] = {**body.get("reasoning", {}), "effort": effort}


def _put_logprobs(body: dict[str, Any], wanted: Any) -> None:  # noqa: ANN401 - JSON
    if wanted:
        body["include"] = [*body["include"], _LOGPROBS]


def _put_search(body: dict[str, Any], options: Any) -> None:  # noqa: ANN401 - JSON
    body["tools"] = [*body.get("tools", ()), {"type": "web_search", **options}]


_PARAMS: Final[Mapping[str, Callable[[dict[str, Any], Any], None]]] = MappingProxyType(
    {
        "tools": _put_tools,
        "tool_choice": _put_choice,
        "response_format": _put_format,
        "verbosity": _put_verbosity,
        "reasoning_effort": _put_effort,
        "logprobs": _put_logprobs,
        "web_search_options": _put_search,
    }
)


def _input(messages: Sequence[Mapping[str, Any]]) -> tuple[str, list[Any]]:
    """Give the instructions at the beginning, and the items of all that follows."""
    instructions: list[str] = []
    items: list[Any] = []
    calls: dict[str, Mapping[str, Any]] = {}
    for place, message in enumerate(messages):
        is_system = message["role"] in ("system", "developer")
        if is_system and not items:
            instructions.append(joined_text(message.get("content")))
        else:
            said = list(_items(message, f"messages[{place}]", calls))
            calls.update(calls_by_id(said))
            items += said
    return "\n\n".join(instructions), items


def _items(
    message: Mapping[str, Any], where: str, calls: Mapping[str, Mapping[str, Any]]
) -> Iterator[Any]:
    role, content = message["role"], message.get("content")
    if role == "tool":
        call_id = message.get("tool_call_id")
        inputs = list(_parts(content, where, "input_text"))
        yield result_item(call_id, content, calls.get(str(call_id), {}), inputs)
        return
    native = native_content(message, PROTOCOL)
    if native is not None:
        yield from native
        return
    parts = list(_parts(content, where, "output_text" if role == "assistant" else "input_text"))
    if parts:
        yield {"role": "developer" if role == "system" else role, "content": parts}
    yield from map(_call, message.get("tool_calls") or ())


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(custom := call.get("custom"), Mapping):
        told = {"name": custom.get("name"), "input": custom.get("input") or ""}
        return {"type": "custom_tool_call", "call_id": call.get("id"), **told}
    function = call.get("function", {})
    named = {"name": function.get("name"), "arguments": function.get("arguments") or "{}"}
    return {"type": "function_call", "call_id": call.get("id"), **named}


def _parts(content: object, where: str, text_type: str) -> Iterator[Mapping[str, Any]]:
    if isinstance(content, str):
        if content:
            yield {"type": text_type, "text": content}
        return
    for place, part in enumerate(content if isinstance(content, list | tuple) else ()):
        yield _part(part, f"{where}.content[{place}]", text_type)


def _part(part: object, where: str, text_type: str) -> Mapping[str, Any]:
    if isinstance(part, str):
        return {"type": text_type, "text": part}
    if not isinstance(part, Mapping):
        message = f"expected {where} as a content part, got {type(part).__name__}"
        raise CallerError(message)
    kind = part.get("type")
    if kind == "text":
        return {"type": text_type, "text": part.get("text", "")}
    if kind == "image_url":
        inner = part.get("image_url")
        fields = inner if isinstance(inner, Mapping) else {"url": inner}
        detail = {"detail": fields["detail"]} if "detail" in fields else {}
        return {"type": "input_image", "image_url": fields.get("url"), **detail}
    if kind == "file":
        return {"type": "input_file", **(part.get("file") or {})}
    if kind == "video_url":
        message = f"expected {where} as text, image_url, input_audio or file, got {kind!r}"
        raise CallerError(message)
    return part


# --- the reply ----------------------------------------------------------------------------------

_INCOMPLETE: Final = MappingProxyType({"max_output_tokens": "length"})
_LATEST: Final = 2**53
"""Seconds since 1970 that a time is believed up to; a relay has to say it in JSON."""

_CALLS: Final = frozenset(("function_call", "custom_tool_call"))
_ARGUMENTS: Final = MappingProxyType({"function_call": "arguments", "custom_tool_call": "input"})
_KEPT: Final = frozenset(
    (
        *("id", "object", "created_at", "model", "output", "status", "usage", "error"),
        *("incomplete_details", "instructions", "tools", "text", "reasoning", "input", "include"),
    )
)


class ResponsesDecoder(FrameDecoder):
    """Events of one reply in, entries of its transcript out; see :class:`Decoder`."""

    __slots__ = ("_ids", "_items", "_said", "_state")

    def __init__(self, transcript: Transcript) -> None:
        """Begin a reply."""
        super().__init__(transcript)
        self._state: ChoiceState | None = None
        self._ids: dict[str, int] = {}
        self._items: dict[int, Mapping[str, Any]] = {}
        # What deltas have said of each item: kinds of text, and the last part of the summary.
        self._said: dict[int, dict[str, int]] = {}

    def take(self, frame: object) -> None:
        """Take one event; or a whole response, which came as plain JSON."""
        if not isinstance(frame, dict):
            self.no_object(frame)
            return
        kind = frame.get("type")
        if kind == "response.output_text.delta":
            self._text(frame)
            return
        take = _EVENTS.get(str(kind))
        if take is not None:
            take(self, frame)
        elif frame.get("object") == "response":
            self._whole(frame)
        elif "error" in frame or kind is None:
            self.suspect = frame

    def learn(self, data: bytes, frame: dict[str, Any]) -> None:
        """Let the splicer have a piece of text or of thinking."""
        if frame.get("type") not in _TEXT_EVENTS or frame.get("logprobs"):
            return
        if self.transcript.items[-1] == frame["delta"]:
            append = Append(self.transcript.kinds[-1])
            self.splicer.learn(data, frame, [(frame, "delta")], append, _CHANGING)

    def end(self) -> None:
        """Take the end of the stream."""
        if self._state is not None and self._items and self.transcript.retain:
            items = (self._items[place] for place in sorted(self._items))
            # Half a call is never answered, and a call without an answer is refused.
            content = [item for item in items if not _is_half_a_call(item)]
            self._state.native = {"protocol": PROTOCOL, "content": content}
        super().end()

    def _choice(self) -> ChoiceState:
        if self._state is None:
            self._state = self.transcript.choice(0)
        return self._state

    def _place(self, event: Mapping[str, Any]) -> int:
        """Give the place of an event's item in the output."""
        place = event.get("output_index")
        if isinstance(place, int):
            return place
        item = event.get("item")
        item_id = event.get("item_id") or (item.get("id") if isinstance(item, dict) else None)
        free = max((*self._ids.values(), *self._said), default=-1) + 1
        return self._ids.setdefault(text_of(item_id), free)

    def _said_of(self, place: int) -> dict[str, int]:
        said = self._said.get(place)
        if said is None:
            said = self._said[place] = {}
        return said

    # --- deltas ---------------------------------------------------------------------------------

    def _text(self, event: dict[str, Any]) -> None:
        text = event.get("delta")
        if not text or not isinstance(text, str):
            return
        self._said_of(self._place(event))["text"] = 1
        state = self._choice()
        self.transcript.put(0, ANSWER, text)
        logprobs = event.get("logprobs")
        if logprobs and isinstance(logprobs, list):
            state.logprobs.extend(logprobs)

    def _summary(self, event: dict[str, Any]) -> None:
        self._thought(event, "summary", event.get("summary_index"))

    def _raw_thought(self, event: dict[str, Any]) -> None:
        self._thought(event, "thought", event.get("content_index"))

    def _thought(self, event: dict[str, Any], kind: str, part: object) -> None:
        """Give a thought; of an item that gives both, a summary or the thoughts themselves."""
        text = event.get("delta")
        said = self._said_of(self._place(event))
        other = "thought" if kind == "summary" else "summary"
        if not text or not isinstance(text, str) or other in said:
            return
        number = part if isinstance(part, int) else 0
        if said.get(kind, number) != number:
            text = f"\n\n{text}"
            self.splicer.forget()  # what comes of the part before is set apart, too
        said[kind] = number
        self._choice()
        self.transcript.put(0, REASONING, text)

    def _refusal(self, event: dict[str, Any]) -> None:
        text = event.get("delta")
        if text and isinstance(text, str):
            self._said_of(self._place(event))["refusal"] = 1
            self.transcript.refuse(self._choice(), text)

    def _arguments(self, event: dict[str, Any]) -> None:
        text = event.get("delta")
        if text and isinstance(text, str):
            place = self._place(event)
            self._said_of(place)["arguments"] = 1
            piece = {"index": place, "function": {"arguments": text}}
            self.transcript.tool_piece(self._choice(), piece)

    def _annotation(self, event: dict[str, Any]) -> None:
        self._said_of(self._place(event))["annotations"] = 1
        self._cite(event.get("annotation"))

    def _cite(self, annotation: object) -> None:
        if not isinstance(annotation, dict):
            return
        if annotation.get("url"):
            self.transcript.cite(self._choice(), _citation(annotation))
        else:
            kept = self._choice().extra.setdefault("annotations", [])
            kept.append(annotation)

    # --- items ----------------------------------------------------------------------------------

    def _added(self, event: dict[str, Any]) -> None:
        item = event.get("item")
        if isinstance(item, dict):
            self._choice()
            place = self._place(event)
            # A delta may name its item alone.
            self._ids.setdefault(text_of(item.get("id")), place)
            if text_of(item.get("type")) in _CALLS:
                self._begin_call(place, item)

    def _begin_call(self, place: int, item: Mapping[str, Any]) -> None:
        said = self._said_of(place)
        if "call" not in said:
            said["call"] = 1
            function = {"name": text_of(item.get("name")), "arguments": ""}
            call_id = text_of(item.get("call_id")) or text_of(item.get("id"))
            piece = {"index": place, "id": call_id or f"call_{place}", "function": function}
            self.transcript.tool_piece(self._choice(), piece)

    def _item(self, event: dict[str, Any]) -> None:
        item = event.get("item")
        if isinstance(item, dict):
            self._keep(self._place(event), item)

    def _keep(self, place: int, item: dict[str, Any]) -> None:
        """Keep an item that is whole, and say what no delta has said of it."""
        self._items[place] = item if self.transcript.retain else {}
        self._choice()
        said, kind = self._said_of(place), text_of(item.get("type"))
        if kind == "message":
            self._message(place, item, said)
        elif kind == "reasoning" and not {"summary", "thought"} & said.keys():
            self._reasoning(place, item)
        elif kind in _CALLS:
            self._begin_call(place, item)
            text = item.get(_ARGUMENTS[kind])
            if "arguments" not in said and isinstance(text, str):
                self._arguments({"output_index": place, "delta": text})
        elif kind == "image_generation_call" and isinstance(data := item.get("result"), str):
            mime = f"image/{item.get('output_format') or 'png'}"
            url = f"data:{mime};base64,{data}"
            self.transcript.show(self._choice(), Media("image", url, mime))

    def _message(self, place: int, item: Mapping[str, Any], said: Mapping[str, int]) -> None:
        told = set(said)
        for part in dicts_in(item.get("content")):
            if part.get("type") == "output_text" and "text" not in told:
                self._text({"output_index": place, "delta": part.get("text")})
            elif part.get("type") == "refusal" and "refusal" not in told:
                self._refusal({"output_index": place, "delta": part.get("refusal")})
            if "annotations" not in told:
                for annotation in dicts_in(part.get("annotations")):
                    self._cite(annotation)

    def _reasoning(self, place: int, item: Mapping[str, Any]) -> None:
        summary, content = dicts_in(item.get("summary")), dicts_in(item.get("content"))
        take, parts = (self._summary, summary) if summary else (self._raw_thought, content)
        for number, part in enumerate(parts):
            numbers = {"summary_index": number, "content_index": number}
            take({"output_index": place, "delta": part.get("text"), **numbers})

    # --- the response ---------------------------------------------------------------------------

    def _began(self, event: dict[str, Any]) -> None:
        response = event.get("response")
        if isinstance(response, dict):
            self._identify(response)

    def _ended(self, event: dict[str, Any]) -> None:
        self.done = True
        response = event.get("response")
        if isinstance(response, dict):
            self._whole(response)

    def _whole(self, response: dict[str, Any]) -> None:
        """Take a response as it is at its end."""
        log = self.transcript
        self._identify(response)
        output = response.get("output")
        for place, item in enumerate(output if isinstance(output, list) else ()):
            if isinstance(item, dict) and place not in self._items:
                self._keep(place, item)
        usage = response.get("usage")
        if isinstance(usage, dict):
            log.count(usage)
        log.extra.update(
            {key: response[key] for key in response.keys() - _KEPT if response[key] is not None}
        )
        status = response.get("status")
        if status == "failed" or response.get("error"):
            self.suspect = {"error": response.get("error") or {"message": "the response failed"}}
        elif status in ("completed", "incomplete"):
            reason = self._reason(response)
            log.finish(self._choice(), reason, ending_of("chat", reason) or "other")

    def _reason(self, response: Mapping[str, Any]) -> str:
        details = response.get("incomplete_details")
        if response.get("status") == "incomplete":
            why = details.get("reason") if isinstance(details, dict) else None
            return _INCOMPLETE.get(str(why), str(why or "incomplete"))
        return "tool_calls" if self._choice().calls else "stop"

    def _identify(self, response: Mapping[str, Any]) -> None:
        log = self.transcript
        log.model = log.model or text_of(response.get("model"))
        log.id = log.id or text_of(response.get("id"))
        created = response.get("created_at")
        if isinstance(created, int | float) and 0 <= created < _LATEST:
            log.created = int(created)

    def _error(self, event: dict[str, Any]) -> None:
        """Take an error, flat or nested."""
        nested = event.get("error")
        self.suspect = event if isinstance(nested, dict) else {"error": {**event, "type": None}}


_TEXT_EVENTS: Final = (
    "response.output_text.delta",
    "response.reasoning_summary_text.delta",
    "response.reasoning_text.delta",
)
_CHANGING: Final = ("sequence_number", "obfuscation")
"""What changes in every event and does not matter."""

_EVENTS: Final[Mapping[str, Callable[[ResponsesDecoder, dict[str, Any]], None]]] = (
    MappingProxyType(
        {
            "response.created": ResponsesDecoder._began,  # noqa: SLF001 - of this module
            "response.reasoning_summary_text.delta": ResponsesDecoder._summary,  # noqa: SLF001
            "response.reasoning_text.delta": ResponsesDecoder._raw_thought,  # noqa: SLF001
            "response.refusal.delta": ResponsesDecoder._refusal,  # noqa: SLF001
            "response.function_call_arguments.delta": ResponsesDecoder._arguments,  # noqa: SLF001
            "response.custom_tool_call_input.delta": ResponsesDecoder._arguments,  # noqa: SLF001
            "response.output_text.annotation.added": ResponsesDecoder._annotation,  # noqa: SLF001
            "response.output_item.added": ResponsesDecoder._added,  # noqa: SLF001
            "response.output_item.done": ResponsesDecoder._item,  # noqa: SLF001
            "response.completed": ResponsesDecoder._ended,  # noqa: SLF001
            "response.incomplete": ResponsesDecoder._ended,  # noqa: SLF001
            "response.failed": ResponsesDecoder._ended,  # noqa: SLF001
            "error": ResponsesDecoder._error,  # noqa: SLF001
        }
    )
)


def _is_half_a_call(item: Mapping[str, Any]) -> bool:
    return text_of(item.get("type")) in _CALLS and item.get("status") == "incomplete"


_CITATION_KEYS: Final = frozenset(("url", "title", "start_index", "end_index"))


def _citation(annotation: Mapping[str, Any]) -> Citation:
    return Citation(
        text_of(annotation["url"]),
        annotation.get("title"),
        annotation.get("start_index"),
        annotation.get("end_index"),
        {key: value for key, value in annotation.items() if key not in _CITATION_KEYS},
    )
