"""Chat requests that the fake gateway can't serve, and how it says so."""

from typing import Any

import pytest

from aiotokengate.testing import GatewayRequest
from aiotokengate.testing._chat_request import (
    Refusal,
    Weight,
    read_anyhow,
    read_chat,
    read_fields,
    weigh,
)
from tests.support.bare_client import GREETING, Client


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"model": "gpt-7"}, 503, "model_not_found"),
        ({"model": "Qwen3.6-max-preview"}, 503, "model_not_found"),
        ({"model": ""}, 400, "invalid_request"),
        ({"model": None}, 400, "invalid_request"),
        ({"messages": []}, 400, "invalid_request"),
        ({"messages": "你好"}, 400, "invalid_request"),
        ({"messages": ["你好"]}, 400, "invalid_request"),
        ({"messages": [{"content": "你好"}]}, 400, "invalid_request"),
        ({"max_tokens": 0}, 400, "invalid_request"),
        ({"max_tokens": "many"}, 400, "invalid_request"),
        ({"n": True}, 400, "invalid_request"),
        ({"n": 10**9}, 400, "invalid_request"),
        ({"stop": 5}, 400, "invalid_request"),
        ({"tools": {}}, 400, "invalid_request"),
        ({"stream_options": "usage"}, 400, "invalid_request"),
    ],
)
async def test_bad_requests_are_refused(
    client: Client, body: dict[str, Any], status: int, code: str
) -> None:
    got, error = await client.error(**body)
    assert (got, error["code"], error["type"]) == (status, code, "new_api_error")
    assert "你好" not in error["message"]


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"text"', b'{"model":"\\ud83d"}', b"\xff"])
async def test_a_body_that_is_no_json_object_is_refused(client: Client, raw: bytes) -> None:
    async with client.http.post(client.url("/chat/completions"), data=raw) as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "invalid_request"


async def test_a_prompt_longer_than_the_model_s_context_is_refused(client: Client) -> None:
    messages = [{"role": "user", "content": "长" * 16_384}]
    status, error = await client.error(model="Qwen3-VL-8B-Instruct", messages=messages)
    assert (status, error["code"]) == (400, "context_length_exceeded")
    assert "16393 tokens" in error["message"]


def record(body: bytes, kind: str = "application/json") -> GatewayRequest:
    headers = {"Content-Type": kind}
    return GatewayRequest("POST", "/v1/images/edits", "", headers, body, 1, (), "id")


def test_a_request_says_what_it_asks_for() -> None:
    chat = read_chat(
        {
            "model": "gpt-5",
            "messages": [*GREETING, {"role": "tool", "content": [{"text": "晴"}, 7]}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "n": 2,
            "max_tokens": 9,
            "stop": "。",
        }
    )
    assert (chat.stream, chat.choices, chat.limit, chat.stops) == (True, 2, 9, ["。"])
    assert chat.stream_options == {"include_usage": True}
    assert (chat.answers_tool, chat.prompt, chat.thinks) == (True, "晴", True)


def test_the_newer_limit_stands_before_the_older() -> None:
    both = {"max_tokens": 9, "max_completion_tokens": 7, "stop": ["。", 7]}
    chat = read_chat({"model": "gpt-5", "messages": GREETING, **both})
    assert (chat.limit, chat.stops, chat.stream_options, chat.choices) == (7, ["。"], {}, 1)


def test_what_is_scripted_needs_no_model() -> None:
    assert read_anyhow({"model": "none"}, None).model.id == "none"
    assert read_anyhow({}, "gpt-5").model.owner == find_owner("gpt-5")
    with pytest.raises(Refusal, match="field n: expected an integer"):
        read_anyhow({"n": 0}, None)


def find_owner(name: str) -> str:
    return read_chat({"model": name, "messages": GREETING}).model.owner


def test_fields_come_as_a_form_or_as_json() -> None:
    form = (
        b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nHello\r\n'
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"'
        b"\r\n\r\n\x89P\r\n"
        b"--b--\r\n"
    )
    fields = read_fields(record(form, "multipart/form-data; boundary=b"))
    assert fields == {"prompt": "Hello", "image": b"\x89P"}
    assert read_fields(record(b'{"prompt": "Hello"}')) == {"prompt": "Hello"}


@pytest.mark.parametrize(
    ("body", "weight"),
    [
        (b"{", Weight()),
        (b'{"model": 7, "input": ["a b", 7]}', Weight("", 2, None)),
        (b'{"model": "m", "prompt": "a", "n": 2, "max_tokens": 5}', Weight("m", 1, 10)),
        (
            b'{"model": "m", "max_tokens": "many", "stream": true}',
            Weight("m", 0, None, stream=True),
        ),
        (b'{"messages": [{"content": "a"}, 7], "max_completion_tokens": 3}', Weight("", 10, 3)),
    ],
)
def test_a_request_is_weighed_before_anybody_checks_it(body: bytes, weight: Weight) -> None:
    assert weigh(body) == weight
