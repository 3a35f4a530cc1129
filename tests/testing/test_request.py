"""What the fake gateway tells of a request that it got."""

import orjson
import pytest

from aiotokengate.testing import GatewayRequest
from aiotokengate.testing._request import given_key


def record(headers: dict[str, str], query: str = "", body: bytes = b"{}") -> GatewayRequest:
    return GatewayRequest("POST", "/v1/x", query, headers, body, 1, (), "id")


@pytest.mark.parametrize(
    ("headers", "query", "key"),
    [
        ({"Authorization": "Bearer sk-1"}, "", "sk-1"),
        ({"Authorization": "Basic c2s="}, "", ""),
        ({"x-api-key": "sk-2"}, "", "sk-2"),
        ({"x-goog-api-key": "sk-3"}, "key=sk-4", "sk-3"),
        ({}, "a=b&key=sk-4", "sk-4"),
        ({}, "", ""),
    ],
)
def test_the_key_is_found_wherever_a_protocol_puts_it(
    headers: dict[str, str], query: str, key: str
) -> None:
    assert given_key(record(headers, query)) == key


def test_the_body_is_read_as_json_and_nothing_secret_is_shown() -> None:
    request = record({"x-api-key": "sk-1"}, "key=sk-2", '{"prompt":"嗨"}'.encode())
    assert request.json == {"prompt": "嗨"}
    assert not any(secret in repr(request) for secret in ("sk-", "嗨"))
    with pytest.raises(orjson.JSONDecodeError):
        _ = record({}, body=b"{").json
