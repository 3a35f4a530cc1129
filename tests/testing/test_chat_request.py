"""Chat requests that the fake gateway can't serve, and how it says so."""

from typing import Any

import pytest

from tests.support.bare_client import Client


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
