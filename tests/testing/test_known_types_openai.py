"""Nothing that the ``openai`` package says may come is lost.

Strategy.  Every event, output item, part and annotation type of Responses, and the chunk and the
message of Chat Completions, is filled from its pydantic type, each text a mark of its own.  Each
example is read as the gateway would send it, and each mark must be found in a delta, in a field of
the reply, or in the error that ends it.  What may be missing is listed, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import orjson
import pytest
from openai.types import responses
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from aiotokengate import Reply, UnknownDelta
from aiotokengate._wire.chat_completions import ChatCompletionsDecoder
from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.fold import fold
from aiotokengate._wire.framing import Framing
from aiotokengate._wire.question import Decoder
from aiotokengate._wire.responses_reply import ResponsesDecoder
from aiotokengate._wire.transcript import Transcript
from aiotokengate.types import Delta
from tests.support.common import About
from tests.support.filled import examples, members, texts_in

EVENTS = members(responses.ResponseStreamEvent)
ITEMS = members(responses.ResponseOutputItem)
PARTS = members(responses.response_content_part_done_event.Part)
ANNOTATIONS = members(responses.response_output_text.Annotation)

NAMES = {
    "item_id": "says which item an event belongs to",
    "obfuscation": "padding",
    "system_fingerprint": "names the build of the vendor's server",
}
"""Fields that need not be kept, and why."""

ECHOES = ("instructions", "tools", "text")
"""Fields of a response that only repeat the request."""

BEGUN: dict[str, Any] = {"error": None, "output": [], "incomplete_details": None}
"""What a response that goes on has not."""

COMPLETED = {"type": "response.completed", "response": {"status": "completed", "output": []}}


@attrs.frozen
class Read:
    """What came of a body: its deltas, its reply, its error."""

    deltas: list[Delta]
    reply: Reply
    error: Exception | None

    def texts(self) -> str:
        """Return all texts in it."""
        return "\n".join(texts_of([self.deltas, self.reply, self.error]))


def texts_of(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from texts_of([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts_of(inner)
    elif isinstance(value, Exception):
        yield from texts_of([*value.args, vars(value)])
    elif attrs.has(kind := type(value)):
        yield from texts_of([getattr(value, field.name) for field in attrs.fields(kind)])


def read(decoder: Decoder, body: bytes) -> Read:
    framing = Framing(decoder, {})
    framing.feed(body)
    framing.close()
    verdict = framing.conclude()
    log = decoder.transcript
    deltas = [log.delta(at) for at in range(len(log))]
    reply = fold(log, DIALECTS["openai"], About(verdict.status))
    return Read(deltas, reply, verdict.cause)


def read_events(*events: Mapping[str, Any]) -> Read:
    body = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events)
    return read(ResponsesDecoder(Transcript()), body)


def lost(example: object, found: Read) -> list[str]:
    """Return the names of the fields whose marks are nowhere."""
    texts = found.texts()
    return [name for name, mark in marks(example) if mark not in texts]


def marks(example: object) -> Iterator[tuple[str, str]]:
    """Return the marks outside of what need not be kept."""
    if isinstance(example, Mapping):
        echoes = ECHOES if example.get("object") == "response" else ()
        for name, inner in example.items():
            if name not in NAMES and name not in echoes:
                yield from ((found or name, mark) for found, mark in marks(inner))
    elif isinstance(example, list):
        for inner in example:
            yield from marks(inner)
    else:
        yield from texts_in(example)


def unknown(found: Read) -> list[str]:
    return [delta.type for delta in found.deltas if isinstance(delta, UnknownDelta)]


# --- Responses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", EVENTS, ids=lambda model: model.__name__)
def test_every_event(model: Any) -> None:
    failed = "Failed" in model.__name__ or "response" not in model.model_fields
    fixed = {"output_index": 0, "status": "completed"} | ({} if failed else BEGUN)
    for example in examples(model, fixed):
        found = read_events(example, COMPLETED)
        # A message that only began is built anew: without its id.
        assert set(lost(example, found)) <= ({"id"} if "item" in example else set())
        assert unknown(found) == []


@pytest.mark.parametrize("model", ITEMS, ids=lambda model: model.__name__)
def test_every_output_item(model: Any) -> None:
    """As an event brings it, or only the end; and as it goes back, once."""
    for example in examples(model, {"arguments": '{"页": "记号🔖"}', "status": "completed"}):
        begun = {"type": "response.output_item.added", "output_index": 0, "item": example}
        over = {**begun, "type": "response.output_item.done"}
        listed = {"object": "response", "status": "completed", "output": [example]}
        end = {"type": "response.completed", "response": listed}
        for events in ([over, COMPLETED], [begun, over, end], [over, end], [end]):
            found = read_events(*events)
            assert lost(example, found) == []
            assert unknown(found) == []
            assert found.reply.status == "complete"
            check_goes_back(example, found.reply)
        check_goes_back(example, read(ResponsesDecoder(Transcript()), orjson.dumps(listed)).reply)


@pytest.mark.parametrize("model", ITEMS, ids=lambda model: model.__name__)
def test_every_output_item_that_only_began(model: Any) -> None:
    """A message, or a call that can be answered, is built anew: without its id."""
    for example in examples(model, {"arguments": '{"页": "记号🔖"}'}):
        begun = {"type": "response.output_item.added", "output_index": 0, "item": example}
        found = read_events(begun, COMPLETED)
        built = example["type"] in ("message", "function_call", "custom_tool_call")
        assert set(lost(example, found)) <= ({"id"} if built else set())


def check_goes_back(example: Mapping[str, Any], reply: Reply) -> None:
    native = reply.choices[0].native
    assert native is not None
    assert native["content"] == [example]


@pytest.mark.parametrize("model", PARTS, ids=lambda model: model.__name__)
def test_every_part(model: Any) -> None:
    for example in examples(model):
        event = {"type": "response.content_part.done", "item_id": "m", "part": example}
        found = read_events(event, COMPLETED)
        assert lost(example, found) == []
        assert unknown(found) == []


@pytest.mark.parametrize("model", ANNOTATIONS, ids=lambda model: model.__name__)
def test_every_annotation(model: Any) -> None:
    for example in examples(model):
        event = {"type": "response.output_text.annotation.added", "annotation": example}
        found = read_events(event, COMPLETED)
        assert lost(example, found) == []


def test_all_types_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    """The union types are read as they are meant; the numbers may only grow."""
    counts = {
        "events": len(EVENTS),
        "output items": len(ITEMS),
        "parts": len(PARTS),
        "annotations": len(ANNOTATIONS),
    }
    with capsys.disabled():
        print(f"\nopenai: {', '.join(f'{count} {name}' for name, count in counts.items())}")
    assert [*counts.values()] >= [59, 28, 3, 4]


# --- Chat Completions ---------------------------------------------------------------------------

CHAT = {"index": 0, "finish_reason": "stop", "object": "chat.completion.chunk"}


def test_chunk_of_chat_completions() -> None:
    for example in examples(ChatCompletionChunk, CHAT):
        body = b"data: " + orjson.dumps(example) + b"\n\ndata: [DONE]\n\n"
        found = read(ChatCompletionsDecoder(DIALECTS["openai"], Transcript()), body)
        assert lost(example, found) == []


def test_message_of_chat_completions() -> None:
    for example in examples(ChatCompletion, CHAT):
        found = read(
            ChatCompletionsDecoder(DIALECTS["openai"], Transcript()), orjson.dumps(example)
        )
        assert lost(example, found) == []
