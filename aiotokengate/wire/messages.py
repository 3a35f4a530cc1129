"""Anthropic's Messages, encoded from and decoded into the common forms.

Strategy.  A reply is a list of content blocks, each begun, filled by deltas and ended, in order.
Text and thoughts become entries of the transcript as they come; the blocks themselves are put
together beside it, because Claude wants its thinking back word by word, with the signature, in
front of the tool calls that it led to.  A history that has such blocks is sent back as it was; any
other assistant message is said anew, without its thoughts.

Source: docs.anthropic.com (Messages, streaming, extended thinking), recorded exchanges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import orjson

from aiotokengate.errors import CallerError
from aiotokengate.types import Citation
from aiotokengate.wire.endings import ending_of, reason_of
from aiotokengate.wire.jsontext import dumps, loads
from aiotokengate.wire.question import (
    Encoded,
    FrameDecoder,
    Question,
    count_in,
    dicts_in,
    merged,
    native_content,
    text_of,
)
from aiotokengate.wire.splice import Append
from aiotokengate.wire.thinking import ask_to_think
from aiotokengate.wire.transcript import ANSWER, REASONING, ChoiceState, Transcript

__all__ = ["MessagesDecoder", "encode_messages"]

PROTOCOL: Final = "messages"
VERSION: Final = "2023-06-01"

# --- the request --------------------------------------------------------------------------------

_SAME: Final = frozenset(
    ("temperature", "top_p", "top_k", "metadata", "service_tier", "thinking", "output_config")
)
_CHOICES: Final = MappingProxyType({"auto": "auto", "none": "none", "required": "any"})
_SILENT: Final = frozenset(("stream_options", "max_tokens", "max_completion_tokens", "n"))
_LEAST_TOP_P: Final = 0.95
"""What is taken while thinking (Anthropic's page on extended thinking)."""

_TOOL_FIELDS: Final = (
    *("cache_control", "strict", "defer_loading", "eager_input_streaming", "allowed_callers"),
    "input_examples",
)
"""What a tool may have besides its name and schema (anthropic 2.14.0, ``ToolParam``)."""


def encode_messages(question: Question) -> Encoded:
    """Give the request of a question for ``/messages``.

    Raises:
        CallerError: a message or a parameter can't be said in this protocol.
    """
    given = question.given()
    if given.get("n", 1) != 1:
        message = f"expected n=1 over Anthropic's Messages, got {given['n']!r}"
        raise CallerError(message)
    most = given.get("max_completion_tokens") or given.get("max_tokens")
    row = question.row
    system, turns = _turns(question.messages, anywhere=row.system == "anywhere")
    body: dict[str, Any] = {
        "model": question.model,
        "max_tokens": most or row.most_tokens,
        "messages": turns,
    }
    if system:
        body["system"] = _plain(system)
    if question.stream:
        body["stream"] = True
    notes = _put_params(body, given)
    asked = ask_to_think(question, PROTOCOL, body["max_tokens"])
    body = merged(body, asked.fields)
    notes += [*asked.notes, *_cooled(body)]
    for extra in question.extra_body:
        body = merged(body, extra or {})
    headers = {"anthropic-version": VERSION}
    return Encoded("/messages", dumps(body), headers, tuple(notes))


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


def _cooled(body: dict[str, Any]) -> Iterator[str]:
    """Take out what is refused while thinking: a temperature, a small top_p."""
    thinking = body.get("thinking")
    if not isinstance(thinking, Mapping) or thinking.get("type") == "disabled":
        return
    for name in ("temperature", "top_k", "top_p"):
        value = body.get(name)
        if name == "top_p" and isinstance(value, int | float) and value >= _LEAST_TOP_P:
            continue
        if body.pop(name, None) is not None:
            yield f"parameter {name!r} is refused while thinking and was left out"


def _put_stop(body: dict[str, Any], stop: Any) -> None:  # noqa: ANN401 - JSON
    body["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)


def _put_tools(body: dict[str, Any], tools: Any) -> None:  # noqa: ANN401 - JSON
    body["tools"] = [_tool(tool) for tool in tools]


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return tool
    kept = {key: function[key] for key in ("name", "description") if key in function}
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    more = {key: part[key] for part in (function, tool) for key in _TOOL_FIELDS if key in part}
    return {**kept, "input_schema": schema, **more}


def _put_choice(body: dict[str, Any], choice: Any) -> None:  # noqa: ANN401 - JSON
    if isinstance(choice, str):
        wanted: dict[str, Any] = {"type": _CHOICES.get(choice, choice)}
    elif isinstance(choice.get("function"), Mapping):
        wanted = {"type": "tool", "name": choice["function"].get("name")}
    else:
        wanted = dict(choice)
    body["tool_choice"] = {**body.get("tool_choice", {}), **wanted}


def _put_parallel(body: dict[str, Any], parallel: Any) -> None:  # noqa: ANN401 - JSON
    if not parallel:
        choice = body.get("tool_choice", {"type": "auto"})
        body["tool_choice"] = {**choice, "disable_parallel_tool_use": True}


def _put_user(body: dict[str, Any], user: Any) -> None:  # noqa: ANN401 - JSON
    body["metadata"] = {**body.get("metadata", {}), "user_id": user}


def _put_effort(body: dict[str, Any], effort: Any) -> None:  # noqa: ANN401 - JSON
    body["output_config"] = {**body.get("output_config", {}), "effort": effort}


def _put_format(body: dict[str, Any], form: Any) -> None:  # noqa: ANN401 - JSON
    if form.get("type") == "json_schema":
        schema = {"type": "json_schema", "schema": form.get("json_schema", {}).get("schema")}
        body["output_config"] = {**body.get("output_config", {}), "format": schema}


_PARAMS: Final[Mapping[str, Callable[[dict[str, Any], Any], None]]] = MappingProxyType(
    {
        "stop": _put_stop,
        "tools": _put_tools,
        "tool_choice": _put_choice,
        "parallel_tool_calls": _put_parallel,
        "user": _put_user,
        "reasoning_effort": _put_effort,
        "response_format": _put_format,
    }
)


def _turns(
    messages: Sequence[Mapping[str, Any]], *, anywhere: bool
) -> tuple[list[Any], list[dict[str, Any]]]:
    """Return the system's blocks, and the turns; neighbours of one role are one turn.

    A system message in mid conversation stays there where the model takes it ``anywhere``.
    """
    system: list[Any] = []
    turns: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        role = _role(message)
        if role == "system" and not (anywhere and turns):
            system += _blocks(message.get("content"), where)
            continue
        blocks = _turn(message, where)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        turn["content"] = _plain(turn["content"])
    return system, turns


def _role(message: Mapping[str, Any]) -> str:
    role = message["role"]
    if role in ("system", "developer"):
        return "system"
    return "assistant" if role == "assistant" else "user"


def _plain(blocks: list[Any]) -> Any:  # noqa: ANN401 - JSON
    """Return a text that stands alone as it is, which every face of this protocol reads."""
    only = blocks[0] if len(blocks) == 1 else None
    if isinstance(only, Mapping) and only.keys() == {"type", "text"} and only["type"] == "text":
        return only["text"]
    return blocks


def _turn(message: Mapping[str, Any], where: str) -> list[Any]:
    if message["role"] == "tool":
        return [_result(message, where)]
    native = native_content(message, PROTOCOL)
    if native is not None:
        return native
    blocks = list(_blocks(message.get("content"), where))
    return blocks + [_call(call, where) for call in message.get("tool_calls") or ()]


def _result(message: Mapping[str, Any], where: str) -> dict[str, Any]:
    content = message.get("content")
    said: Any = content
    if not isinstance(content, str):
        said = list(_blocks(content, where))
    return {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": said}


def _call(call: Mapping[str, Any], where: str) -> dict[str, Any]:
    function = call.get("function", {})
    try:
        arguments = orjson.loads(function.get("arguments") or "{}")
    except orjson.JSONDecodeError as error:
        message = f"expected JSON as arguments of a tool call in {where}, got {error.msg}"
        raise CallerError(message) from None
    return {
        "type": "tool_use",
        "id": call.get("id"),
        "name": function.get("name"),
        "input": arguments,
    }


def _blocks(content: object, where: str) -> Iterator[Mapping[str, Any]]:
    if isinstance(content, str):
        if content:
            yield {"type": "text", "text": content}
        return
    for place, part in enumerate(content if isinstance(content, list | tuple) else ()):
        yield _block(part, f"{where}.content[{place}]")


def _block(part: object, where: str) -> Mapping[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, Mapping):
        message = f"expected {where} as a content part, got {type(part).__name__}"
        raise CallerError(message)
    cache = {key: part[key] for key in ("cache_control",) if key in part}
    kind = part.get("type")
    if kind == "image_url":
        inner = part.get("image_url")
        url = inner.get("url") if isinstance(inner, Mapping) else inner
        return {"type": "image", "source": _source(url, where), **cache}
    if kind == "file":
        return {"type": "document", "source": _file(part.get("file"), where), **cache}
    if kind in ("input_audio", "video_url"):
        message = f"expected {where} as text, image_url or file over Messages, got {kind!r}"
        raise CallerError(message)
    return part


def _source(url: object, where: str) -> dict[str, Any]:
    if not isinstance(url, str):
        message = f"expected {where} to have an address, got {type(url).__name__}"
        raise CallerError(message)
    head, comma, data = url.partition(",")
    if comma and head.startswith("data:"):
        mime = head.removeprefix("data:").partition(";")[0]
        return {"type": "base64", "media_type": mime, "data": data}
    return {"type": "url", "url": url}


def _file(file: object, where: str) -> dict[str, Any]:
    fields = file if isinstance(file, Mapping) else {}
    if fields.get("file_id"):
        return {"type": "file", "file_id": fields["file_id"]}
    return _source(fields.get("file_data", fields.get("url")), where)


# --- the reply ----------------------------------------------------------------------------------

_USUAL_MESSAGE: Final = frozenset(
    ("id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage")
)
_DELTA_TEXTS: Final[Mapping[str, tuple[str, int]]] = MappingProxyType(
    {"text_delta": ("text", ANSWER), "thinking_delta": ("thinking", REASONING)}
)


class _Block:
    """A content block under assembly: its fields, and its texts in pieces."""

    __slots__ = ("fields", "pieces")

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.pieces: dict[str, list[str]] = {}

    def add(self, name: str, text: str) -> None:
        self.pieces.setdefault(name, []).append(text)

    def repeats(self, name: str, text: str) -> bool:
        """Whether the first delta says what the block began with once more (MiniMax)."""
        return name not in self.pieces and self.fields.get(name) == text

    def whole(self) -> dict[str, Any] | None:
        """Give the block as it goes back; an empty text and half a call can't."""
        block = dict(self.fields)
        for name, pieces in self.pieces.items():
            text = "".join(pieces)
            if name != "input":
                block[name] = f"{block.get(name) or ''}{text}"
            elif text.strip():
                try:
                    block[name] = loads(text.encode("utf-8", "surrogatepass"))
                except (ValueError, RecursionError):
                    return None
        return None if block.get("type") == "text" and not block.get("text") else block


class MessagesDecoder(FrameDecoder):
    """Events of one reply in, entries of its transcript out; see :class:`Decoder`."""

    __slots__ = ("_blocks", "_state", "_usage")

    def __init__(self, transcript: Transcript) -> None:
        """Begin a reply."""
        super().__init__(transcript)
        self._blocks: dict[int, _Block] = {}
        self._state: ChoiceState | None = None
        self._usage: dict[str, Any] = {}

    def take(self, frame: object) -> None:
        """Take one event; or a whole message, which came as plain JSON."""
        if not isinstance(frame, dict):
            self.no_object(frame)
            return
        if frame.get("type") == "content_block_delta":
            self._delta(frame)
            return
        take = _EVENTS.get(str(frame.get("type")))
        if take is not None:
            take(self, frame)
        elif "error" in frame or "type" not in frame:
            self.suspect = frame

    def learn(self, data: bytes, frame: dict[str, Any]) -> None:
        """Let the splicer have a piece of text or of thinking."""
        if frame["type"] == "content_block_delta":
            delta = frame["delta"]
            name, kind = _DELTA_TEXTS[delta["type"]]
            pieces = self._block(frame.get("index")).pieces.get(name)
            self.splicer.learn(data, frame, [(delta, name)], Append(kind, pieces))

    def end(self) -> None:
        """Take the end of the stream."""
        if self._state is not None and self._blocks and self.transcript.retain:
            blocks = (self._blocks[index].whole() for index in sorted(self._blocks))
            content = [block for block in blocks if block is not None]
            self._state.native = {"protocol": PROTOCOL, "content": content}
        super().end()

    # --- events ---------------------------------------------------------------------------------

    def _choice(self) -> ChoiceState:
        if self._state is None:
            self._state = self.transcript.choice(0)
        return self._state

    def _delta(self, event: dict[str, Any]) -> None:
        delta, index = event.get("delta"), event.get("index")
        if not isinstance(delta, dict):
            return
        known = _DELTA_TEXTS.get(str(delta.get("type")))
        block = self._block(index)
        if known is None:
            self._other_delta(block, delta)
            return
        name, kind = known
        text = delta.get(name)
        if text and isinstance(text, str) and not block.repeats(name, text):
            if self.transcript.retain:
                block.add(name, text)
            self._choice()
            self.transcript.put(0, kind, text)

    def _other_delta(self, block: _Block, delta: dict[str, Any]) -> None:
        kind = delta.get("type")
        if kind == "input_json_delta":
            fragment = delta.get("partial_json")
            if isinstance(fragment, str):
                block.add("input", fragment)
                self._piece(block, fragment)
        elif kind == "signature_delta":
            block.add("signature", text_of(delta.get("signature")))
        elif kind == "citations_delta":
            citation = delta.get("citation")
            if isinstance(citation, dict):
                self._cite(block, citation)
        else:
            # Not in the block, which goes back: Anthropic refuses fields that it does not know.
            self._choice().extra.setdefault("deltas", []).append(delta)

    def _piece(self, block: _Block, fragment: str) -> None:
        """Give a piece of a call; only those of the user's tools are calls to make."""
        if block.fields.get("type") == "tool_use" and fragment:
            index = block.fields["id"]
            function = {"name": "", "arguments": fragment}
            self.transcript.tool_piece(self._choice(), {"id": index, "function": function})

    def _cite(self, block: _Block, citation: dict[str, Any]) -> None:
        block.fields["citations"] = [*dicts_in(block.fields.get("citations")), citation]
        self.transcript.cite(self._choice(), _citation(citation))

    def _block(self, index: object) -> _Block:
        place = index if isinstance(index, int) else 0
        block = self._blocks.get(place)
        if block is None:
            block = self._blocks[place] = _Block({"type": "text"})
        return block

    def _begin_message(self, event: dict[str, Any]) -> None:
        message = event.get("message")
        if isinstance(message, dict):
            self._identify(message)
            self._count(message.get("usage"))

    def _begin_block(self, event: dict[str, Any]) -> None:
        fields, index = event.get("content_block"), event.get("index")
        if not isinstance(fields, dict):
            return
        place = index if isinstance(index, int) else len(self._blocks)
        self.splicer.forget()  # its text goes to the blocks that were there
        block = self._blocks[place] = _Block(fields)
        self._show(block)

    def _show(self, block: _Block) -> None:
        """Give what a block begins with; a whole one begins with all of it."""
        fields, log = block.fields, self.transcript
        kind = fields.get("type")
        if kind == "tool_use":
            fields["id"] = text_of(fields.get("id")) or f"call_{len(self._choice().calls)}"
            given = fields.get("input")
            function = {"name": text_of(fields.get("name")), "arguments": given or ""}
            piece = {"index": len(self._choice().calls), "id": fields["id"], "function": function}
            log.tool_piece(self._choice(), piece)
        elif kind == "text" and (text := text_of(fields.get("text"))):
            self._choice()
            log.put(0, ANSWER, text)
        elif kind == "thinking" and (text := text_of(fields.get("thinking"))):
            self._choice()
            log.put(0, REASONING, text)
        for citation in dicts_in(fields.get("citations")):
            log.cite(self._choice(), _citation(citation))

    def _message_delta(self, event: dict[str, Any]) -> None:
        self._count(event.get("usage"))
        delta = event.get("delta")
        if isinstance(delta, dict):
            self._finish(delta)

    def _finish(self, delta: Mapping[str, Any]) -> None:
        reason = delta.get("stop_reason")
        if not reason or not isinstance(reason, str):
            return
        state = self._choice()
        kept = ("stop_reason", "stop_sequence", "stop_details")
        state.extra.update({key: delta[key] for key in kept if delta.get(key) is not None})
        ending = ending_of(PROTOCOL, reason)
        if ending is not None:
            self.transcript.finish(state, reason_of(PROTOCOL, reason), ending, reason)

    def _stop(self, event: dict[str, Any]) -> None:
        del event
        self.done = True

    def _error(self, event: dict[str, Any]) -> None:
        self.suspect = event

    def _whole(self, message: dict[str, Any]) -> None:
        """Take a whole message; after deltas it is a summary, as MiniMax sends one."""
        self._identify(message)
        self._count(message.get("usage"))
        if not self._blocks:
            content = message.get("content")
            for place, fields in enumerate(content if isinstance(content, list) else ()):
                if isinstance(fields, dict):
                    block = self._blocks[place] = _Block(dict(fields))
                    self._show(block)
        extra = {key: message[key] for key in message.keys() - _USUAL_MESSAGE}
        self.transcript.extra.update(extra)
        self._choice()
        self._finish(message)

    def _identify(self, message: Mapping[str, Any]) -> None:
        log = self.transcript
        log.model = log.model or text_of(message.get("model"))
        log.id = log.id or text_of(message.get("id"))

    def _count(self, usage: object) -> None:
        """Keep the latest of every count: those of ``message_delta`` are cumulative."""
        if isinstance(usage, dict):
            self._usage.update({key: value for key, value in usage.items() if value is not None})
            self.transcript.count(_counts(self._usage))


def _ignored(decoder: MessagesDecoder, event: dict[str, Any]) -> None:
    del decoder, event


_EVENTS: Final[Mapping[str, Callable[[MessagesDecoder, dict[str, Any]], None]]] = MappingProxyType(
    {
        "message_start": MessagesDecoder._begin_message,  # noqa: SLF001 - of this module
        "content_block_start": MessagesDecoder._begin_block,  # noqa: SLF001 - the same
        "content_block_stop": _ignored,
        "message_delta": MessagesDecoder._message_delta,  # noqa: SLF001 - the same
        "message_stop": MessagesDecoder._stop,  # noqa: SLF001 - the same
        "message": MessagesDecoder._whole,  # noqa: SLF001 - the same
        "error": MessagesDecoder._error,  # noqa: SLF001 - the same
        "ping": _ignored,
    }
)

_CITATION_KEYS: Final = frozenset(("url", "title", "document_title"))


def _citation(citation: Mapping[str, Any]) -> Citation:
    title = citation.get("title") or citation.get("document_title")
    rest = {key: value for key, value in citation.items() if key not in _CITATION_KEYS}
    return Citation(text_of(citation.get("url")), title, extra=rest)


def _counts(usage: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the counts under the common names; the prompt's are given without what was cached."""
    read = count_in(usage, "cache_read_input_tokens")
    prompt = count_in(usage, "input_tokens") + read
    prompt += count_in(usage, "cache_creation_input_tokens")
    written = count_in(usage, "output_tokens")
    return {
        **usage,
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "prompt_tokens_details": {"cached_tokens": read},
    }
