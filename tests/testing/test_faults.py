"""The faults that were met in the field, byte for byte."""

import orjson
import pytest

from aiotokengate.testing import (
    Raw,
    faults,
)
from tests.support.bare_client import SAID, Client, choices, reasons


async def test_written_bytes_are_those_of_the_gateway(client: Client) -> None:
    client.gateway.script(SAID, faults.written(SAID), SAID, faults.written(SAID, stream=False))
    deltas, again = [choices(await client.frames()) for _ in range(2)]
    assert deltas == again
    assert "".join(choice["delta"]["content"] or "" for choice in deltas) == "好😊"
    ours, same = await client.plain(), await client.plain()
    assert ours["choices"] == same["choices"]


@pytest.mark.parametrize("shape", sorted(faults.ERROR_BODIES))
async def test_status_errors_come_in_every_shape(client: Client, shape: str) -> None:
    client.gateway.script(faults.status_error(429, "太快了", shape=shape))
    async with client.post() as response:
        assert response.status == 429
        assert "太快了" in await response.text()
        assert orjson.loads(await response.read())


FAULTS: dict[str, tuple[Raw, int, str, bytes, bytes]] = {
    "empty 429": (faults.empty_429(), 429, "text/plain", b"", b""),
    "html": (faults.html_502(), 502, "text/html", b"<html>", b"</html>\r\n"),
    "wrong label": (
        faults.wrong_content_type(),
        503,
        "text/event-stream; charset=utf-8",
        b'{"error":',
        b"}}",
    ),
    "late error": (faults.error_after_ping(), 200, "", b': PING\n\n{"error":', b"502}}"),
    "bare error": (faults.bare_error(), 200, "", b"data: {", b"502}}"),
    "error event": (faults.error_event(), 200, "", b"data: {", b"500}}\n\ndata: [DONE]\n\n"),
    "error event, no done": (faults.error_event(done=False), 200, "", b"data: {", b"500}}\n\n"),
    "queue full": (faults.queue_full(), 200, "", b'data: {"error":', b"data: [DONE]\n\n"),
    "unfinished": (faults.unfinished(), 200, "", b"data: {", b"data: [DONE]\n\n"),
    "only usage": (faults.only_usage(), 200, "", b'data: {"id":""', b"data: [DONE]\n\n"),
    "no done": (faults.without_done(), 200, "", b"data: {", b"}\n\n"),
    "trailing": (faults.trailing_bytes(), 200, "", b"data: {", b'data: {"late":1}'),
    "plain": (
        faults.plain_instead(),
        200,
        "application/json; charset=utf-8",
        b'{"choices":',
        b"}",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_looks_as_it_does_in_the_field(client: Client, fault: str) -> None:
    raw, status, kind, start, end = FAULTS[fault]
    client.gateway.script(raw)
    async with client.post(stream=True) as response:
        body = await response.read()
    assert response.status == status
    assert response.headers["Content-Type"] == (kind or "text/event-stream")
    assert body.startswith(start)
    assert body.endswith(end)


async def test_unfinished_replies_have_no_finish_reason(client: Client) -> None:
    client.gateway.script(faults.unfinished(after=4))
    frames = await client.frames()
    assert len(frames) == 4
    assert reasons(frames) == []
