"""The fake gateway, driven by a bare HTTP client: keys, records, scripts, life."""

import asyncio
import ssl
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web

from aiotokengate.testing import (
    FakeGateway,
    Gate,
    RateLimit,
    Raw,
    Recording,
    ScriptedReply,
    faults,
)
from aiotokengate.testing._script import Ending
from tests.support.bare_client import (
    DONE,
    GREETING,
    Client,
    joined,
    reasons,
)


@pytest.mark.parametrize(
    ("authorization", "text"),
    [
        (None, "no token provided"),
        ("Bearer ", "no token provided"),
        ("Basic abc", "no token provided"),
        ("Bearer sk-wrong", "invalid token"),
        ("bearer sk-wrong", "invalid token"),
    ],
)
async def test_a_wrong_key_is_refused_as_new_api_does(
    gateway: FakeGateway, authorization: str | None, text: str
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    url = f"{gateway.base_url}/chat/completions"
    async with aiohttp.ClientSession() as http, http.post(url, headers=headers) as response:
        error = (await response.json())["error"]
        request_id = response.headers["X-Oneapi-Request-Id"]
    assert response.status == 401
    assert error["type"] == "new_api_error"
    assert set(error) == {"message", "type"}
    assert text in error["message"]
    assert error["message"].endswith(f"(request id: {request_id})")
    assert request_id == gateway.requests[0].request_id


async def test_any_key_is_good_if_it_looks_like_one() -> None:
    async with FakeGateway(any_key=True) as gateway, aiohttp.ClientSession() as http:
        for key, status in (("sk-anything", 200), ("anything", 401)):
            headers = {"Authorization": f"Bearer {key}"}
            async with http.get(f"{gateway.base_url}/models", headers=headers) as response:
                assert response.status == status


async def test_requests_are_recorded_without_showing_what_is_secret(client: Client) -> None:
    await client.plain(temperature=0.5)
    (request,) = client.gateway.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.json["temperature"] == 0.5
    assert request.headers["authorization"] == f"Bearer {client.gateway.api_key}"
    assert client.gateway.api_key not in repr(request)
    assert "你好" not in repr(request)
    assert client.gateway.api_key not in repr(client.gateway)


async def test_only_the_last_requests_are_kept() -> None:
    async with FakeGateway(keep_requests=2) as gateway, aiohttp.ClientSession() as http:
        for query in ("a", "b", "c"):
            async with http.get(f"{gateway.base_url}/models?{query}"):
                pass
        assert [request.query for request in gateway.requests] == ["b", "c"]


async def test_scripts_are_served_once_and_in_order(client: Client) -> None:
    client.gateway.script(ScriptedReply(answer="一"), ScriptedReply(answer="二"))
    client.gateway.script(ScriptedReply(answer="三"))
    texts = [(await client.plain())["choices"][0]["message"]["content"] for _ in range(4)]
    assert texts[:3] == ["一", "二", "三"]
    assert texts[3].startswith("你好！😊")


async def test_scripts_can_be_forgotten(client: Client) -> None:
    client.gateway.script(ScriptedReply(answer="一"))
    client.gateway.unscript()
    assert (await client.plain())["usage"]["total_tokens"] == 229


async def test_a_script_for_another_path_waits_for_it(client: Client) -> None:
    client.gateway.script(faults.status_error(500), path="/v1/models")
    assert (await client.plain())["usage"]["total_tokens"] == 229
    async with client.http.get(client.url("/models")) as response:
        assert response.status == 500


async def test_a_scripted_reply_takes_its_usage_and_finish_as_given(client: Client) -> None:
    usage = {"total_tokens": 3}
    client.gateway.script(ScriptedReply(answer="好", usage=usage, finish_reason="sensitive"))
    frames = await client.frames(model="glm-4.7")
    assert reasons(frames) == ["sensitive"]
    assert frames[-1]["usage"] == usage


async def test_a_scripted_reply_speaks_as_the_model_it_names(client: Client) -> None:
    client.gateway.script(ScriptedReply(reasoning="想", model="WanWu/GLM-Auto"))
    assert joined(await client.frames(), "reasoning") == "想"


async def test_a_scripted_reply_without_done_just_ends(client: Client) -> None:
    client.gateway.script(ScriptedReply(answer="好", done=False))
    assert DONE not in await client.stream()


async def test_a_tuple_holds_a_reply_for_each_choice(client: Client) -> None:
    client.gateway.script((ScriptedReply(answer="甲"), ScriptedReply(answer="乙")))
    frames = await client.frames(n=2)
    assert (joined(frames, "content", 0), joined(frames, "content", 1)) == ("甲", "乙")


async def test_a_function_answers_as_it_likes(client: Client) -> None:
    async def teapot(request: web.Request) -> web.StreamResponse:
        return web.json_response({"path": request.path}, status=418)

    client.gateway.script(teapot)
    async with client.post() as response:
        assert (response.status, await response.json()) == (418, {"path": "/v1/chat/completions"})
        assert response.headers["X-Oneapi-Request-Id"]


async def test_what_is_no_script_is_refused_at_once(gateway: FakeGateway) -> None:
    with pytest.raises(TypeError, match=r"expected a ScriptedReply.* got str"):
        gateway.script("你好")  # type: ignore[arg-type]


@pytest.mark.parametrize("stream", [True, False])
async def test_clients_that_leave_at_any_time_leave_no_trace(
    client: Client, caplog: pytest.LogCaptureFixture, *, stream: bool
) -> None:
    gate = Gate()
    answer = [piece for _ in range(10) for piece in ("字" * 50_000, gate)]
    for moment in range(1, 11):
        client.gateway.script(ScriptedReply(answer=answer))
        gate.release(moment - 1)
        asking = asyncio.ensure_future(client.stream() if stream else client.plain())
        await gate.reached(moment * (moment + 1) // 2)
        asking.cancel()
        await client.gateway.wait_disconnected()
    await client.gateway.wait_connections(0)
    assert caplog.records == []


async def test_stopping_ends_whatever_goes_on() -> None:
    before = asyncio.all_tasks()
    async with aiohttp.ClientSession() as http:
        async with FakeGateway(any_key=True) as gateway:
            headers = {"Authorization": "Bearer sk-1"}
            gateway.script(faults.silence(), faults.silent_stream(after=2))
            url = f"{gateway.base_url}/chat/completions"
            silent = asyncio.ensure_future(http.post(url, headers=headers))
            await gateway.wait_requests(1)
            started = await http.post(url, headers=headers, json={})
        with pytest.raises(aiohttp.ClientError):
            await silent
        with pytest.raises(aiohttp.ClientError):
            await started.read()
    assert gateway.connections == 0
    assert asyncio.all_tasks() == before


async def test_a_gateway_can_run_again_and_stop_twice(gateway: FakeGateway) -> None:
    with pytest.raises(RuntimeError, match="isn't running yet"):
        await gateway.start()
    await gateway.stop()
    with pytest.raises(RuntimeError, match="expected a running gateway"):
        _ = gateway.base_url
    assert "not running" in repr(gateway)
    await gateway.stop()
    await gateway.start()
    assert gateway.base_url in repr(gateway)


async def test_a_port_that_is_taken_is_an_error(gateway: FakeGateway) -> None:
    port = int(gateway.base_url.removesuffix("/v1").rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        await FakeGateway(port=port).start()
    with pytest.raises(OSError, match="address already in use"):
        FakeGateway(port=port).__enter__()


async def test_it_speaks_tls() -> None:
    authority = trustme.CA()
    server, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(trusting)
    async with FakeGateway(ssl=server) as gateway, aiohttp.ClientSession() as http:
        assert gateway.base_url.startswith("https://127.0.0.1:")
        async with http.get(f"{gateway.base_url}/models", ssl=trusting) as response:
            assert response.status == 401


async def test_the_log_says_what_was_served_and_nothing_secret() -> None:
    lines: list[str] = []
    async with FakeGateway(log=lines.append) as gateway, aiohttp.ClientSession() as http:
        gate = Gate()
        gateway.script(ScriptedReply(answer=["一", gate]))
        headers = {"Authorization": f"Bearer {gateway.api_key}"}
        client = Client(gateway, http)
        async with http.get(client.url("/models"), headers=headers) as response:
            await response.read()
        asking = asyncio.ensure_future(
            http.post(client.url("/chat/completions"), headers=headers, json={"stream": True})
        )
        await gate.reached()
        (await asking).close()
        await gateway.wait_disconnected()
    assert lines == ["GET /v1/models 200", "POST /v1/chat/completions client left"]


async def test_what_was_never_a_key_is_refused_and_not_shown() -> None:
    gateway = FakeGateway(api_keys=["sk-a"])
    for change in (gateway.revoke, gateway.exhaust, gateway.restore):
        with pytest.raises(ValueError, match="expected a key that this gateway takes") as error:
            change("sk-geheim")
        assert "geheim" not in str(error.value)
    FakeGateway(any_key=True).revoke("sk-anything")


@pytest.mark.parametrize(
    ("keys", "got"),
    [([], "0, 0 unusable"), (["sk-a", "", 5], "3, 2 unusable"), ("sk-a", "one text")],
)
def test_what_are_no_keys_is_refused(keys: Any, got: str) -> None:
    with pytest.raises(ValueError, match="api_keys: expected a sequence of keys") as error:
        FakeGateway(api_keys=keys)
    assert str(error.value).endswith(f"got {got}")
    with pytest.raises(ValueError, match="expected api_key or api_keys, got both"):
        FakeGateway(api_key="sk-a", api_keys=["sk-a"])


async def test_a_key_is_revoked_exhausted_and_restored(client: Client) -> None:
    gateway, key = client.gateway, client.gateway.api_key
    gateway.exhaust(key)
    assert (await client.error())[1]["code"] == "insufficient_user_quota"
    async with client.http.get(client.url("/models")) as response:
        assert response.status == 200  # it costs nothing
    gateway.revoke(key)
    assert (await client.error())[0] == 401
    gateway.restore(key)
    assert reasons(await client.frames()) == ["stop"]


async def test_limits_are_set_at_any_time(client: Client) -> None:
    gateway = client.gateway
    gateway.limits = RateLimit(requests_per_minute=1, headers=True)
    async with client.post(stream=True) as response:
        assert response.headers["x-ratelimit-remaining-requests"] == "0"
        await response.read()
    assert (await client.error())[0] == 429
    assert (gateway.enforcer.refused, gateway.limits[0].headers) == (1, True)
    gateway.limits = None
    assert reasons(await client.frames()) == ["stop"]


async def test_a_recording_answers_in_place_of_everything(client: Client) -> None:
    client.gateway.replay(Recording())
    assert (await client.error())[1]["code"] == "not_recorded"


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_raw_bytes_may_end_early(client: Client, end: Ending) -> None:
    client.gateway.script(Raw(body=b"0123", end=end).cut(2, end))
    async with client.post() as response:
        assert await response.content.readany() == b"01"
    await client.gateway.wait_connections(0)


async def test_tokens_are_counted_for_protocols_that_ask(client: Client) -> None:
    body = {"model": "claude-opus-4-6", "messages": GREETING}
    async with client.http.post(client.url("/messages/count_tokens"), json=body) as response:
        assert (await response.json())["input_tokens"] == 11


async def test_a_stored_response_can_be_gone_on_from(client: Client) -> None:
    body: dict[str, Any] = {"model": "gpt-5", "input": "你好"}
    async with client.http.post(client.url("/responses"), json=body) as response:
        first = await response.json()
    more = {**body, "previous_response_id": first["id"]}
    async with client.http.post(client.url("/responses"), json=more) as response:
        assert response.status == 200


async def test_some_answers_break_off_where_the_gateway_is_unreliable() -> None:
    async with FakeGateway(unreliable=1.0, any_key=True) as gateway:
        headers = {"Authorization": "Bearer sk-1"}
        async with aiohttp.ClientSession(headers=headers) as http:
            client, ends = Client(gateway, http), set()
            for _ in range(20):
                try:
                    async with client.post(stream=True) as response:
                        ends.add(str(response.status))
                        await response.read()
                except aiohttp.ClientError as error:
                    ends.add(type(error).__name__)
    assert {"ClientPayloadError", "200"} < ends


def test_a_thread_of_its_own_begins_and_ends() -> None:
    with FakeGateway() as gateway:
        assert gateway.base_url.startswith("http://127.0.0.1:")
    assert "not running" in repr(gateway)
    FakeGateway().__exit__()
