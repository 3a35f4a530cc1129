"""The payloads of Chat Completions, read, refused and shaped."""

from typing import Any

import orjson
import pytest

from aiotokengate.testing import GatewayRequest
from aiotokengate.testing._chat_request import Refusal
from aiotokengate.testing._dialects import Exchange
from aiotokengate.testing._payloads import (
    CHAT,
    ChatPayloads,
    function,
    read,
    read_scripted,
    schema_format,
    told,
)

ASKED = {"role": "user", "content": "在吗？"}
CHATS = ChatPayloads()


def record(path: str = CHAT, **body: Any) -> GatewayRequest:
    body = {"model": "gpt-5", "messages": [ASKED], **body}
    return GatewayRequest("POST", path, "", {}, orjson.dumps(body), 1, (), "id")


def test_a_request_is_taken_by_its_path() -> None:
    assert CHATS.takes(record())
    assert not CHATS.takes(record("/v1/responses"))
    assert not CHATS.counts(record())
    assert CHATS.memory(record()) is None


def test_a_request_becomes_a_chat_request_and_has_a_dialect() -> None:
    chat = read(CHATS, record())
    dialect = CHATS.dialect(Exchange(serial=1, created=0, model="gpt-5"), chat, record())
    assert (chat.model.id, type(dialect)) == ("gpt-5", chat.model.dialect)
    assert read_scripted(CHATS, record(model="none"), None).model.id == "none"


def test_what_other_protocols_ask_in_the_form_of_chat_completions() -> None:
    assert told(a=0, b=None, c=[], d="", e={}) == {"a": 0, "d": "", "e": {}}
    assert function(name="查") == {"type": "function", "function": {"name": "查"}}
    form = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
    assert schema_format({"type": "object"}) == form
    assert CHATS.counted(7) == {"input_tokens": 7}


def test_an_error_is_new_api_s() -> None:
    body = orjson.loads(CHATS.refused(Refusal(400, "no", code="x"), "r1"))
    assert body["error"]["message"] == "no (request id: r1)"


def called(**turn: Any) -> list[Any]:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    call |= turn.pop("call", {})
    return [ASKED, {"role": "assistant", "tool_calls": [call], **turn}, ASKED]


@pytest.mark.parametrize(
    ("model", "messages", "words"),
    [
        ("deepseek-v4-pro", called(), "reasoning_content"),
        ("dialect/gemini-compat", called(), "thought_signature"),
        ("dialect/gemini-compat", called(call={"extra_content": 7}), "thought_signature"),
    ],
)
def test_what_a_call_was_thought_with_has_to_come_back(
    model: str, messages: list[Any], words: str
) -> None:
    with pytest.raises(Refusal, match=words):
        read(CHATS, record(model=model, messages=messages))


def test_what_came_back_is_taken() -> None:
    signed = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    for model, messages in (
        ("deepseek-v4-pro", called(reasoning_content="")),
        ("dialect/gemini-compat", called(call=signed)),
    ):
        assert read(CHATS, record(model=model, messages=messages)).model.id == model
