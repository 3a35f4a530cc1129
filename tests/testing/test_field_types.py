"""Whatever stands in a request in place of what should: an answer or a refusal, never a crash."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, TypeAlias

import aiohttp
import pytest

from aiotokengate.testing import FakeGateway

Json: TypeAlias = Any

SCHEMA = {"type": "object", "properties": {"城市": {"type": "string", "maxLength": 3}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "a", "arguments": "{}"}}
REQUESTS: dict[str, Json] = {
    "/v1/chat/completions": {
        "model": "gpt-5.2",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "你好 👋"}]},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "晴 ☀️"},
        ],
        "tools": [{"type": "function", "function": {"name": "w", "parameters": SCHEMA}}],
        "tool_choice": {"type": "function", "function": {"name": "w"}},
        "response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}},
        "reasoning_effort": "low",
        "thinking": {"type": "enabled"},
        "stop": ["。"],
    },
    "/v1/responses": {
        "model": "gpt-5.2",
        "instructions": "简短",
        "input": [
            {"type": "reasoning", "id": "r1", "encrypted_content": "e"},
            {"type": "function_call", "call_id": "c1", "id": "f1", "name": "a", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "晴 ☀️"},
            {"role": "user", "content": [{"type": "input_text", "text": "你好 👋"}]},
        ],
        "tools": [{"type": "function", "name": "w", "parameters": SCHEMA}],
        "tool_choice": "auto",
        "text": {"format": {"type": "json_schema", "schema": SCHEMA}},
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "stream_options": {},
    },
    "/v1/messages": {
        "model": "claude-sonnet-4-6",
        "max_tokens": 3_000,
        "system": "简短",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "你好 👋"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "a"}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1"}]},
        ],
        "tools": [{"name": "w", "input_schema": SCHEMA}],
        "tool_choice": {"type": "auto"},
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
        "thread": {"type": "create"},
    },
    "/v1beta/models/gemini-3-flash-preview:generateContent": {
        "contents": [
            {"role": "user", "parts": [{"inlineData": {"data": "_-8", "mime_type": "image/png"}}]},
            {
                "role": "model",
                "parts": [{"functionCall": {"name": "a", "id": "c1"}, "thoughtSignature": "AAAA"}],
            },
            {"role": "user", "parts": [{"functionResponse": {"name": "a", "id": "c1"}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "w", "parameters_json_schema": SCHEMA}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": []}},
        "generationConfig": {
            "responseMimeType": "application/json",
            "responseJsonSchema": SCHEMA,
            "thinkingConfig": {"includeThoughts": True, "thinking_level": "LOW"},
            "maxOutputTokens": 100,
        },
        "systemInstruction": {"parts": [{"text": "简短"}]},
    },
    "/v1/moderations": {"input": [{"type": "text", "text": "你好 👋"}]},
}
ODD: list[Json] = [None, True, -1.5, "奇怪 🙃", [7], {"a": 1}, [{}]]


def places(value: Json, place: tuple[Json, ...] = ()) -> Iterator[tuple[Json, ...]]:
    """Yield the place of everything in a request, but for the request itself."""
    if place:
        yield place
    keys = value if isinstance(value, dict) else ()
    for key in range(len(value)) if isinstance(value, list) else keys:
        yield from places(value[key], (*place, key))


def replaced(body: Json, place: tuple[Json, ...], value: Json) -> Json:
    body = copy.deepcopy(body)
    inner = body
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return body


@pytest.mark.parametrize("path", REQUESTS)
async def test_odd_values_are_answered_or_refused(gateway: FakeGateway, path: str) -> None:
    body = REQUESTS[path]
    headers = {
        "Authorization": f"Bearer {gateway.api_key}",
        "anthropic-beta": "message-threads-2026-08-12",
    }
    address = gateway.base_url.removesuffix("/v1") + path
    statuses: set[int] = set()
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.post(address, json=body) as response:
            assert response.status == 200, await response.text()
        for place in places(body):
            for value in ODD:
                async with http.post(address, json=replaced(body, place, value)) as response:
                    statuses.add(response.status)
                    # 503 is the gateway's own word for a model that nobody serves.
                    assert response.status in (200, 400, 404, 503), (place, value)
                    await response.json()
    assert {200, 400} <= statuses
