"""Replies as frames, for the tests of the wire, and how to read a body without a receiver."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs

from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.fold import fold
from aiotokengate._wire.framing import Framing
from aiotokengate._wire.protocols import find_protocol
from aiotokengate._wire.transcript import Transcript
from aiotokengate.errors import TokenGateError
from aiotokengate.types import Reply, Status
from tests.support.common import About

PROTOCOLS = ("chat", "responses", "messages", "gemini")
DONE = "[DONE]"


def chat_frame(delta: dict[str, Any], finish: str | None = None, index: int = 0) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}


def gemini_frame(*parts: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "m", "responseId": "r1"}


def chat_saying(texts: Sequence[str]) -> Iterator[Any]:
    yield chat_frame({"role": "assistant", "content": ""})
    for text in texts:
        yield chat_frame({"content": text})
    yield chat_frame({}, "stop")
    yield DONE


def gemini_saying(texts: Sequence[str]) -> Iterator[Any]:
    for text in texts:
        yield gemini_frame({"text": text})
    yield gemini_frame({"text": ""}, finish="STOP")


def messages_saying(texts: Sequence[str]) -> Iterator[Any]:
    yield {"type": "message_start", "message": {"id": "msg_1", "type": "message", "model": "m"}}
    block = {"type": "text", "text": ""}
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    for text in texts:
        delta = {"type": "text_delta", "text": text}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    yield {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    yield {"type": "message_stop"}


def responses_saying(texts: Sequence[str]) -> Iterator[Any]:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    empty = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
    part = {"type": "output_text", "text": "".join(texts), "annotations": []}
    item = {**empty, "status": "completed", "content": [part]}
    about = {"id": "resp_1", "model": "m"}
    yield {"type": "response.created", "response": {**about, "status": "in_progress"}}
    yield {"type": "response.output_item.added", "output_index": 0, "item": empty}
    for text in texts:
        yield {"type": "response.output_text.delta", **place, "delta": text}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    whole = {**about, "status": "completed", "output": [item]}
    yield {"type": "response.completed", "response": whole}


def saying(protocol: str, *texts: str) -> list[Any]:
    """Return the frames of a whole reply that says some pieces of text."""
    ways = {
        "chat": chat_saying,
        "responses": responses_saying,
        "messages": messages_saying,
        "gemini": gemini_saying,
    }
    return list(ways[protocol](texts))


def chat_calling(pieces: Sequence[str]) -> Iterator[Any]:
    first = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "pay"}}
    yield chat_frame({"role": "assistant", "tool_calls": [first]})
    for piece in pieces:
        part = {"index": 0, "function": {"arguments": piece}}
        yield chat_frame({"tool_calls": [part]})
    yield chat_frame({}, "tool_calls")
    yield DONE


def messages_calling(pieces: Sequence[str]) -> Iterator[Any]:
    yield {"type": "message_start", "message": {"id": "msg_1", "type": "message", "model": "m"}}
    block = {"type": "tool_use", "id": "call_a", "name": "pay", "input": {}}
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    for piece in pieces:
        delta = {"type": "input_json_delta", "partial_json": piece}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    yield {"type": "message_delta", "delta": {"stop_reason": "tool_use"}}
    yield {"type": "message_stop"}


def responses_calling(pieces: Sequence[str]) -> Iterator[Any]:
    place = {"item_id": "fc_1", "output_index": 0}
    empty = {"id": "fc_1", "type": "function_call", "call_id": "call_a", "name": "pay"}
    item = {**empty, "status": "completed", "arguments": "".join(pieces)}
    about = {"id": "resp_1", "model": "m"}
    yield {"type": "response.created", "response": {**about, "status": "in_progress"}}
    added = {**empty, "arguments": ""}
    yield {"type": "response.output_item.added", "output_index": 0, "item": added}
    for piece in pieces:
        yield {"type": "response.function_call_arguments.delta", **place, "delta": piece}
    done = {"type": "response.function_call_arguments.done", **place}
    yield {**done, "arguments": "".join(pieces)}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    whole = {**about, "status": "completed", "output": [item]}
    yield {"type": "response.completed", "response": whole}


def gemini_calling(pieces: Sequence[str]) -> Iterator[Any]:
    call = {"id": "call_a", "name": "pay", "args": json.loads("".join(pieces))}
    yield gemini_frame({"functionCall": call})
    yield gemini_frame({"text": ""}, finish="STOP")


def calling(protocol: str, *pieces: str) -> list[Any]:
    """Return the frames of a whole reply with one call, its arguments in pieces."""
    ways = {
        "chat": chat_calling,
        "responses": responses_calling,
        "messages": messages_calling,
        "gemini": gemini_calling,
    }
    return list(ways[protocol](pieces))


def written(frame: Any) -> str:
    """Write a frame as vendors do; text is taken as it is."""
    if isinstance(frame, str):
        return frame
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":"))


def event(frame: Any) -> str:
    """Write a frame as an event, with its name where it has one."""
    name = frame.get("type") if isinstance(frame, dict) else None
    return (f"event: {name}\n" if name else "") + f"data: {written(frame)}\n\n"


def body(frames: Iterable[Any]) -> bytes:
    """Write frames as an event stream."""
    return "".join(map(event, frames)).encode()


# --- reading ------------------------------------------------------------------------------------


@attrs.frozen
class Read:
    """What a body comes to; two of them are equal if nobody could tell them apart."""

    status: Status
    answer: str
    calls: list[tuple[str, str, str, bool]]
    skipped: int
    notes: tuple[str, ...]
    message: str
    cause: TokenGateError | None = attrs.field(eq=repr)
    begun: bool
    reply: Reply = attrs.field(eq=False, repr=False)
    log: Transcript = attrs.field(eq=False, repr=False)


def read(
    protocol: str,
    pieces: Iterable[bytes],
    *,
    strict: bool = False,
    most: int = 1,
    dialect: str = "qwen",
) -> Read:
    """Read the body of a reply, in whatever pieces it came, as the receiver does.

    Args:
        protocol: that it speaks.
        pieces: of the body.
        strict: whether a frame that can't be read ends the reply.
        most: how many choices were asked for.
        dialect: of the model.
    """
    spoken = DIALECTS[dialect]
    decoder = find_protocol(protocol).decoder(spoken, Transcript(most))
    framing = Framing(decoder, {}, strict=strict)
    for piece in pieces:
        framing.feed(piece)
        if framing.over:
            break
    else:
        framing.close()
    verdict = framing.conclude()
    reply = fold(framing.log, spoken, About(verdict.status))
    calls = [(call.id, call.name, call.arguments, call.complete) for call in reply.tool_calls]
    return Read(
        verdict.status,
        reply.answer,
        calls,
        reply.skipped,
        reply.notes,
        verdict.message,
        verdict.cause,
        framing.log.begun,
        reply,
        framing.log,
    )
