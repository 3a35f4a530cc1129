"""OpenAI's Responses, as the fake gateway speaks it (recorded shapes)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from aiotokengate.testing._chat_request import ChatRequest, Refusal, read_body
from aiotokengate.testing._dialects import (
    Counts,
    Exchange,
    Frame,
    Producer,
    arguments_text,
    event,
    fragments,
)
from aiotokengate.testing._features import features_of_chat
from aiotokengate.testing._field_types import RESPONSES_TYPES, check_types
from aiotokengate.testing._memory import Keep, Responses
from aiotokengate.testing._payloads import Payloads, function, schema_format, told
from aiotokengate.testing._refusals import refuse
from aiotokengate.testing._request import GatewayRequest
from aiotokengate.testing._script import Call
from aiotokengate.types import Json

__all__ = ["ResponsesNative", "ResponsesPayloads"]


_ENCRYPTED = "reasoning.encrypted_content"
_SAME = ("model", "stream", "stream_options", "temperature", "top_p", "top_logprobs")
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponsesPayloads(Payloads):
    """The protocol under ``/v1/responses``."""

    path = "/v1/responses"
    counting = "/v1/responses/input_tokens"

    def __init__(self) -> None:
        """Begin with nothing stored."""
        self._stored = Responses()

    def counted(self, tokens: int) -> Json:
        """Return the answer that tells a number of tokens."""
        return {"object": "response.input_tokens", "input_tokens": tokens}

    def body(self, record: GatewayRequest) -> Mapping[str, Json]:
        """Return the body in the form of Chat Completions."""
        body = read_body(record.body)
        check_types(body, RESPONSES_TYPES)
        said = body.get("instructions")
        items = self._stored.filled(body)
        return told(
            messages=[
                *([{"role": "system", "content": said}] if said else ()),
                *(message for item in items for message in _messages(item)),
            ],
            max_tokens=body.get("max_output_tokens"),
            tools=[_tool(tool) for tool in body.get("tools") or ()],
            tool_choice=_choice(body.get("tool_choice")),
            reasoning_effort=(body.get("reasoning") or {}).get("effort"),
            response_format=_format((body.get("text") or {}).get("format") or {}),
            **{name: body.get(name) for name in _SAME},
        )

    def checked(self, record: GatewayRequest, chat: ChatRequest) -> ChatRequest:
        """Refuse what OpenAI refuses."""
        body = read_body(record.body)
        given = body["input"] if isinstance(body.get("input"), list) else []
        unstored = body.get("store") is False
        problems = _problems(self._stored.filled(body))
        for problem in (*problems, *(_unreadable(given) if unstored else ())):
            kind = "invalid_request_error"
            raise Refusal(400, problem, vendor=True, type=kind, param="input", code=None)
        refuse(features_of_chat(chat, "responses"))
        return chat

    def dialect(self, exchange: Exchange, _chat: ChatRequest, record: GatewayRequest) -> Producer:
        """Return the shape of the answer."""
        body = read_body(record.body)
        return ResponsesNative(
            exchange,
            summary=bool((body.get("reasoning") or {}).get("summary")),
            encrypted=_ENCRYPTED in (body.get("include") or ()),
        )

    def memory(self, record: GatewayRequest) -> Keep | None:
        """Return what stores an answer, unless nothing is to be stored."""
        body = read_body(record.body)
        if body.get("store") is False:
            return None
        return partial(self._stored.keep, self._stored.filled(body))


def _format(wanted: Mapping[str, Json]) -> Json:
    """Return the form that the answer is to have, as Chat Completions has it."""
    if wanted.get("type") != "json_schema":
        return wanted or None
    return schema_format(wanted.get("schema"))


def _messages(item: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
    """Yield an input item as messages of Chat Completions."""
    kind = item.get("type", "message")
    if kind == "function_call_output":
        yield {"role": "tool", "content": item.get("output")}
    elif kind == "message":
        yield {"role": item.get("role"), "content": item.get("content")}
    else:
        yield {"role": "assistant", "content": ""}


def _tool(tool: Mapping[str, Json]) -> Mapping[str, Json]:
    return function(name=tool.get("name"), parameters=tool.get("parameters"))


def _choice(choice: Json) -> Json:
    return function(name=choice.get("name")) if isinstance(choice, dict) else choice


def _problems(items: Sequence[Mapping[str, Json]]) -> Iterator[str]:
    """Look for results without their calls, and for calls that lost their reasoning."""
    called: set[Json] = set()
    reasoned = False
    for item in items:
        kind = item.get("type")
        if kind == "reasoning":
            reasoned = True
        elif kind == "function_call":
            called.add(item.get("call_id"))
            # Ids of calls that were thought about end so: the vendor knows what it has sent.
            if str(item.get("call_id")).endswith("_r") and not reasoned:
                yield (
                    f"Item '{item.get('id')}' of type 'function_call' was provided without its "
                    "required 'reasoning' item"
                )
        elif kind == "function_call_output" and item.get("call_id") not in called:
            yield f"No tool call found for function call output with call_id {item['call_id']}."


def _unreadable(items: Sequence[Mapping[str, Json]]) -> Iterator[str]:
    """Look for reasoning that stands nowhere: not stored, and not in the item."""
    for item in items:
        if item.get("type") == "reasoning" and not item.get("encrypted_content"):
            yield (
                f"Item with id '{item.get('id')}' not found. Items are not persisted when "
                "`store` is set to false."
            )


class ResponsesNative(Producer):
    """The events of a response: items added, filled, repeated whole, and the response at last."""

    done = b""

    def __init__(self, exchange: Exchange, *, summary: bool, encrypted: bool) -> None:
        """Begin a reply.

        Args:
            exchange: what all events share.
            summary: whether a summary of the thoughts was asked for.
            encrypted: whether the encrypted thoughts were.
        """
        super().__init__(exchange)
        self._summary = summary
        self._encrypted = encrypted
        self._sequence = 0
        self._items: list[Frame] = []
        self._open: Frame = {}  # nothing
        self._text: list[str] = []
        self._reason = ""
        self._thought = False

    def event(self, frame: Frame) -> bytes:
        """Return an event with its name and number."""
        numbered = {**frame, "sequence_number": self._sequence}
        self._sequence += 1
        if self.exchange.padded and frame["type"].endswith(".delta"):
            numbered["obfuscation"] = f"{self._padding.getrandbits(48):x}"
        return f"event: {frame['type']}\n".encode() + event(numbered)

    # --- the response ---------------------------------------------------------------------------

    def _response(self, status: str, output: Sequence[Frame], usage: Json = None) -> Frame:
        return {
            "id": f"resp_{self.exchange.hex(40)}",
            "object": "response",
            "created_at": self.exchange.created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "model": self.exchange.model,
            "output": list(output),
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": usage,
        }

    def _ended(self, reason: str, output: Sequence[Frame], usage: Json) -> Frame:
        if reason in _INCOMPLETE:
            details = {"reason": _INCOMPLETE[reason]}
            return {**self._response("incomplete", output, usage), "incomplete_details": details}
        return self._response("completed", output, usage)

    def opening(self, _index: int) -> list[Frame]:
        """Return the response before its first item."""
        response = self._response("in_progress", ())
        return [{"type": f"response.{name}", "response": response} for name in _BEGINNINGS]

    # --- items ----------------------------------------------------------------------------------

    def _about(self, kind: str, within: str = "", /, **fields: Json) -> Frame:
        """Return an event about the open item, or about the only part ``within`` it."""
        place = {"item_id": self._open["id"], "output_index": len(self._items)}
        where = {f"{within}_index": 0} if within else {}
        return {"type": f"response.{kind}", **place, **where, **fields}

    def _begin(self, item: Frame) -> list[Frame]:
        ended = self._end()
        self._open, self._text = item, []
        place = {"output_index": len(self._items)}
        return [*ended, {"type": "response.output_item.added", **place, "item": item}]

    def _end(self) -> list[Frame]:
        """Repeat the open item whole."""
        if not self._open:
            return []
        frames = self._finished(self._open, "".join(self._text))
        self._items.append(self._open)
        self._open = {}
        return frames

    def _finished(self, item: Frame, text: str) -> list[Frame]:
        frames = []
        if item["type"] == "reasoning" and text:
            part: Frame = {"type": "summary_text", "text": text}
            item["summary"] = [part]
            frames = [
                self._about("reasoning_summary_text.done", "summary", text=text),
                self._about("reasoning_summary_part.done", "summary", part=part),
            ]
        elif item["type"] == "message":
            part = _text_part(text)
            item |= {"content": [part], "status": "completed"}
            frames = [
                self._about("output_text.done", "content", text=text, logprobs=[]),
                self._about("content_part.done", "content", part=part),
            ]
        elif item["type"] == "function_call":
            item |= {"arguments": text, "status": "completed"}
            done = "function_call_arguments.done"
            frames = [self._about(done, name=item["name"], arguments=text)]
        where = {"output_index": len(self._items)}
        return [*frames, {"type": "response.output_item.done", **where, "item": item}]

    def _reasoning_item(self) -> Frame:
        secret = {"encrypted_content": f"gAAAA{self.exchange.hex(24)}"} if self._encrypted else {}
        self._thought = True
        return {"id": self._id("rs"), "type": "reasoning", "summary": [], **secret}

    def _id(self, prefix: str) -> str:
        """Return the id of the next item; no two of a response have the same."""
        ended = len(self._items) + bool(self._open)
        return f"{prefix}_{self.exchange.hex(22)}{ended:02d}"

    def thought(self, _index: int, text: str) -> list[Frame]:
        """Return a piece of the summary, if one was asked for."""
        frames: list[Frame] = []
        if self._open.get("type") != "reasoning":
            frames = self._begin(self._reasoning_item())
            if self._summary:
                part = {"type": "summary_text", "text": ""}
                frames.append(self._about("reasoning_summary_part.added", "summary", part=part))
        if self._summary:
            self._text.append(text)
            frames.append(self._about("reasoning_summary_text.delta", "summary", delta=text))
        return frames

    def text(self, _index: int, text: str, _finish: str | None) -> list[Frame]:
        """Return a piece of answer."""
        frames: list[Frame] = []
        if self._open.get("type") != "message":
            frames = self._begin(
                {
                    "id": self._id("msg"),
                    "type": "message",
                    "status": "in_progress",
                    "role": "assistant",
                    "content": [],
                }
            )
            frames.append(self._about("content_part.added", "content", part=_text_part("")))
        self._text.append(text)
        return [*frames, self._about("output_text.delta", "content", logprobs=[], delta=text)]

    def _call_item(self, call: Call, number: int) -> Frame:
        call_id = call.id or f"call_{self.exchange.hex(20)}{number:02d}"
        return {
            "id": self._id("fc"),
            "type": "function_call",
            "status": "in_progress",
            "arguments": "",
            "call_id": f"{call_id}_r" if self._thought else call_id,
            "name": call.name,
        }

    def call(self, _index: int, number: int, call: Call) -> list[Frame]:
        """Return a tool call, its arguments in fragments."""
        frames = self._begin(self._call_item(call, number))
        for piece in fragments(arguments_text(call)):
            self._text.append(piece)
            frames.append(self._about("function_call_arguments.delta", delta=piece))
        return frames

    def finish(self, _index: int, reason: str) -> list[Frame]:
        """End the last item, and keep the reason for the end."""
        self._reason = reason
        return self._end()

    def closing(self, usage: Json) -> list[Frame]:
        """Return the response as it is at its end; without a reason it has none."""
        if not self._reason:
            return []
        response = self._ended(self._reason, self._items, usage)
        return [{"type": f"response.{response['status']}", "response": response}]

    # --- the plain answer -----------------------------------------------------------------------

    def message(self, thoughts: str, text: str, calls: Sequence[Call]) -> Frame:
        """Return the items of a plain answer."""
        if thoughts:
            self.thought(0, thoughts)
        if text:
            self.text(0, text, None)
        for number, call in enumerate(calls):
            self.call(0, number, call)
        self._end()
        return {"output": self._items}

    def completion(self, messages: Sequence[tuple[Frame, str]], usage: Json) -> Frame:
        """Return the plain answer."""
        output, reason = messages[0]
        return self._ended(reason, output["output"], usage)

    def usage(self, counts: Counts) -> Frame:
        """Return the counts of a response."""
        return {
            "input_tokens": counts.prompt,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": counts.completion,
            "output_tokens_details": {"reasoning_tokens": counts.reasoning},
            "total_tokens": counts.prompt + counts.completion,
        }


_BEGINNINGS = ("created", "in_progress")


def _text_part(text: str) -> Frame:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
