"""The limits of the fake gateway, at work behind a socket."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from aiotokengate import (
    AuthenticationFailed,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    Retry,
    TokenGate,
    TokenGateError,
)
from aiotokengate.testing import (
    FakeGateway,
    Gate,
    Pace,
    RateLimit,
    Raw,
    ScriptedReply,
    faults,
)

MODEL = "qwen3.6-max-preview"


GREETING = [{"role": "user", "content": "你好"}]


GREETING_TOKENS = (11, 218)


class Clock:
    """A time that stands until a test moves it."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


class Client:
    """A bare HTTP client of one gateway, whose time it holds."""

    def __init__(self, gateway: FakeGateway, http: aiohttp.ClientSession, clock: Clock) -> None:
        self.gateway = gateway
        self.http = http
        self.clock = clock

    def post(self, *, key: str | None = None, path: str = "/chat/completions", **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {key or self.gateway.api_key}"}
        body = {"model": MODEL, "messages": GREETING, **body}
        return self.http.post(f"{self.gateway.base_url}{path}", json=body, headers=headers)

    async def status(self, **body: Any) -> int:
        async with self.post(**body) as response:
            await response.read()
            return int(response.status)

    async def statuses(self, times: int, **body: Any) -> list[int]:
        return [await self.status(**body) for _ in range(times)]


Open = Callable[..., Awaitable[Client]]


@pytest.fixture
async def client_of() -> AsyncIterator[Open]:
    """Yield clients of gateways with limits."""
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())

        async def opened(*limits: RateLimit, **options: Any) -> Client:
            clock = Clock()
            gateway = FakeGateway(limits=limits, now=clock, **options)
            return Client(await stack.enter_async_context(gateway), http, clock)

        yield opened


@pytest.mark.parametrize("stream", [True, False])
async def test_the_gateway_enforces_its_limits(client_of: Open, *, stream: bool) -> None:
    client = await client_of(RateLimit(requests_per_minute=2))
    assert await client.statuses(4, stream=stream) == [200, 200, 429, 429]
    client.clock.time += 30
    assert await client.statuses(2, stream=stream) == [200, 429]
    enforcer = client.gateway.enforcer
    assert (enforcer.admitted, enforcer.refused, enforcer.in_flight) == (3, 3, 0)
    assert enforcer.refusals == {"requests": 3}
    assert [(at, fine) for at, _, fine in enforcer.history] == [
        (1000.0, True),
        (1000.0, True),
        (1000.0, False),
        (1000.0, False),
        (1030.0, True),
        (1030.0, False),
    ]


async def test_without_limits_nothing_is_counted(client_of: Open) -> None:
    client = await client_of()
    assert await client.statuses(3) == [200] * 3
    assert client.gateway.limits == ()
    assert client.gateway.enforcer.history == ()


async def test_only_what_costs_is_limited(client_of: Open) -> None:
    client = await client_of(RateLimit(requests_per_minute=1))
    assert await client.statuses(2, key="sk-wrong") == [401, 401]
    headers = {"Authorization": f"Bearer {client.gateway.api_key}"}
    for _ in range(3):
        url = f"{client.gateway.base_url}/models"
        assert (await client.http.get(url, headers=headers)).status == 200
    assert client.gateway.enforcer.admitted == 0
    assert await client.statuses(2) == [200, 429]


async def test_a_script_waits_for_a_request_that_is_let_in(client_of: Open) -> None:
    client = await client_of(RateLimit(requests_per_minute=1))
    client.gateway.script(ScriptedReply(answer="一"), ScriptedReply(answer="二 ✌️"))
    assert await client.statuses(3) == [200, 429, 429]
    client.clock.time += 60
    async with client.post() as response:
        assert (await response.json())["choices"][0]["message"]["content"] == "二 ✌️"


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"requests_per_minute": 1.0}, "请求过于频繁：每分钟最多 1 次 / at most 1 a minute"),
        ({"burst_slope": 1}, "请求增长过快：每秒最多 1 次 / at most 1 in one second"),
        (
            {"tokens_per_minute": 1_999_999},
            "用量过快：每分钟最多 1999999 个 token / at most 1999999 tokens a minute",
        ),
    ],
)
async def test_a_refusal_is_new_api_s_error(
    client_of: Open, limit: dict[str, Any], message: str
) -> None:
    client = await client_of(RateLimit(**limit))
    assert await client.status(max_tokens=10**6) == 200
    async with client.post(max_tokens=10**6) as response:
        assert response.status == 429
        assert not any(
            "limit" in name.lower() or name == "Retry-After" for name in response.headers
        )
        error = (await response.json())["error"]
    request = client.gateway.requests[-1].request_id
    assert error == {
        "message": f"{message} (request id: {request})",
        "type": "new_api_error",
        "param": "",
        "code": "rate_limit_exceeded",
    }


async def test_the_oversized_are_told_so(client_of: Open) -> None:
    client = await client_of(RateLimit(tokens_per_minute=99, refuse_oversized=True))
    async with client.post(max_tokens=99) as response:
        assert (response.status, "单次请求超过每分钟上限" in await response.text()) == (429, True)
    assert await client.status(max_tokens=88) == 200


async def test_a_refusal_can_be_empty(client_of: Open) -> None:
    client = await client_of(RateLimit(requests_per_minute=1, refusal="empty"))
    assert await client.status() == 200
    async with client.post(stream=True) as response:
        assert (response.status, await response.read()) == (429, b"")
        assert response.headers["Content-Length"] == "0"
        assert not any(
            "limit" in name.lower() or name == "Retry-After" for name in response.headers
        )


async def test_a_full_queue_is_an_event_with_status_200(client_of: Open) -> None:
    client = await client_of(RateLimit(requests_per_minute=1, refusal="sglang"))
    assert await client.status() == 200
    error = (
        b'{"message":"The request queue is full.","type":"SERVICE_UNAVAILABLE",'
        b'"param":null,"code":503,"object":"error"}'
    )
    async with client.post(stream=True) as response:
        assert response.status == 200
        assert await response.read() == b'data: {"error":' + error + b"}\n\ndata: [DONE]\n\n"
    async with client.post(stream=False) as response:
        assert response.status == 503
        assert (await response.json())["type"] == "SERVICE_UNAVAILABLE"


@pytest.mark.parametrize("refusal", ["json", "empty", "sglang"])
@pytest.mark.parametrize("stream", [True, False])
async def test_every_answer_can_tell_of_the_limits(
    client_of: Open, refusal: Any, *, stream: bool
) -> None:
    limit = RateLimit(requests_per_minute=2, refusal=refusal, headers=True, retry_after=True)
    client = await client_of(limit)
    client.gateway.script(ScriptedReply(answer="一"), faults.html_502())
    for remaining in ("1", "0"):
        async with client.post(stream=stream) as response:
            assert response.headers["x-ratelimit-limit-requests"] == "2"
            assert response.headers["x-ratelimit-remaining-requests"] == remaining
            assert "x-ratelimit-limit-tokens" not in response.headers
            assert "Retry-After" not in response.headers
    async with client.post(stream=stream) as response:
        assert response.headers["x-ratelimit-remaining-requests"] == "0"
        assert response.headers["x-ratelimit-reset-requests"] == "1m0s"
        assert response.headers["Retry-After"] == "30"
        assert "X-Oneapi-Request-Id" in response.headers


async def test_an_error_tells_of_the_limits_too(client_of: Open) -> None:
    client = await client_of(RateLimit(requests_per_minute=9, headers=True))
    async with client.post(model="kein-modell") as response:
        assert response.status == 503
        assert response.headers["x-ratelimit-remaining-requests"] == "8"
    client.gateway.script(Raw(headers={"x-ratelimit-remaining-requests": "42"}))
    async with client.post() as response:
        assert response.headers["x-ratelimit-remaining-requests"] == "42"


async def left(client: Client) -> int:
    """Ask what is left of the tokens, with a request that uses none."""
    async with client.post(path="/nothing", messages=[]) as response:
        return int(response.headers["x-ratelimit-remaining-tokens"])


async def used(client: Client, **body: Any) -> int:
    before = await left(client)
    with contextlib.suppress(aiohttp.ClientError):
        await client.status(**body)
    return before - await left(client)


def by_usage(tokens: int = 100_000) -> RateLimit:
    return RateLimit(tokens_per_minute=tokens, charge="usage", headers=True)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", [MODEL, "grok-4-1-fast-reasoning", "claude-opus-4-7-thinking"])
async def test_a_reply_uses_what_its_usage_says(
    client_of: Open, model: str, *, stream: bool
) -> None:
    client = await client_of(by_usage())
    async with client.post(model=model) as response:
        total = (await response.json())["usage"]["total_tokens"]
    assert await used(client, model=model, stream=stream) == total
    if model == MODEL:
        assert total == sum(GREETING_TOKENS)


USAGE = {"prompt_tokens": 288, "completion_tokens": 27, "total_tokens": 628}


@pytest.mark.parametrize(
    ("script", "tokens"),
    [
        (ScriptedReply(answer="好", usage=USAGE), 628),
        (ScriptedReply(answer="好", usage={"completion_tokens": "much", "prompt_tokens": -1}), 0),
        (ScriptedReply(answer=["一", "二", "三 🎉"]), 9 + 3),
        (faults.written(ScriptedReply(answer=["一", "二"])), 9 + 2),
        (faults.written(ScriptedReply(answer=["一", "二"])).cut(10), 11),
        (Raw(body=b'{"usage":{"prompt_tokens": 5, "total_tokens":7}}'), 7),
        (faults.status_error(500), 0),
        (faults.reset(), 0),
    ],
)
async def test_a_script_uses_what_it_says(client_of: Open, script: Any, tokens: int) -> None:
    client = await client_of(by_usage())
    before = await left(client)
    client.gateway.script(script)
    with contextlib.suppress(aiohttp.ClientError):
        await client.status(stream=True)
    assert before - await left(client) == tokens


async def test_a_function_uses_its_prompt(client_of: Open) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text="好的 👌")

    client = await client_of(by_usage())
    before = await left(client)
    client.gateway.script(answer)
    assert await client.status() == 200
    assert before - await left(client) == 11


async def test_bad_requests_use_no_tokens(client_of: Open) -> None:
    client = await client_of(by_usage())
    assert await used(client, model="kein-modell") == 0
    assert await used(client, messages=[]) == 0
    assert await used(client, max_tokens="viele") == 0


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"max_tokens": 100}, 111),
        ({"max_completion_tokens": 50, "max_tokens": 100}, 61),
        ({"max_tokens": 100, "n": 3}, 311),
        ({}, 1011),
        ({"path": "/nothing", "messages": None, "input": ["一二", "三 🎉"], "max_tokens": 1}, 6),
        ({"path": "/nothing", "messages": None, "prompt": "一二三"}, 1003),
        ({"path": "/nothing", "messages": 3, "model": 4, "n": 0, "max_tokens": "viele"}, 1000),
    ],
)
async def test_max_tokens_are_charged_as_asked(
    client_of: Open, body: dict[str, Any], tokens: int
) -> None:
    limit = RateLimit(tokens_per_minute=100_000, headers=True)
    client = await client_of(limit)
    async with client.post(**body) as response:
        assert response.headers["x-ratelimit-remaining-tokens"] == str(100_000 - tokens)


async def test_a_body_that_nobody_can_read_weighs_nothing(client_of: Open) -> None:
    client = await client_of(RateLimit(requests_per_minute=1, headers=True))
    headers = {"Authorization": f"Bearer {client.gateway.api_key}"}
    url = f"{client.gateway.base_url}/chat/completions"
    for status in (400, 429):
        async with client.http.post(url, data=b"\xff[", headers=headers) as response:
            assert response.status == status


async def test_who_leaves_has_used_what_was_sent(client_of: Open) -> None:
    client = await client_of(by_usage())
    before = await left(client)
    gate = Gate()
    client.gateway.script(ScriptedReply(reasoning=["想", "想"], answer=["一", gate, "二 👋"]))
    response = await client.post(stream=True)
    await gate.reached()
    response.close()
    await client.gateway.wait_disconnected()
    assert client.gateway.enforcer.in_flight == 0
    assert before - await left(client) == 11 + 3


async def test_who_leaves_the_middle_of_raw_bytes_has_used_the_prompt(client_of: Open) -> None:
    client = await client_of(by_usage())
    before = await left(client)
    gate = Gate()
    client.gateway.script(Raw(body=[b"data: ", gate, b'{"usage":{"total_tokens":77}}']))
    response = await client.post(stream=True)
    await gate.reached()
    response.close()
    await client.gateway.wait_disconnected()
    assert before - await left(client) == 11


@pytest.mark.parametrize("reset", [True, False])
async def test_who_leaves_in_the_same_moment_has_left(client_of: Open, *, reset: bool) -> None:
    client = await client_of(RateLimit(concurrency=1))
    gate, loop = Gate(), asyncio.get_running_loop()
    client.gateway.script(ScriptedReply(answer=["一", gate]))
    with contextlib.ExitStack() as sockets:
        stays, leaves = (sockets.enter_context(connected(client.gateway)) for _ in range(2))
        await client.gateway.wait_connections(2)
        leaves.send(raw_request(client.gateway))
        await gate.reached()
        while not reset and not (await loop.sock_recv(leaves, 65536)).endswith(b"\n\n\r\n"):
            """What is read to its end is closed in order; what isn't is reset."""
        stays.send(raw_request(client.gateway))
        leaves.close()
        assert (await loop.sock_recv(stays, 65536)).startswith(b"HTTP/1.1 200 OK\r\n")


def connected(gateway: FakeGateway) -> socket.socket:
    port = int(gateway.base_url.removesuffix("/v1").rpartition(":")[2])
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


def raw_request(gateway: FakeGateway) -> bytes:
    body = b'{"model":"glm-5.1","stream":true,"messages":[{"role":"user","content":"hi"}]}'
    head = f"Authorization: Bearer {gateway.api_key}\r\nContent-Length: {len(body)}\r\n"
    return b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n" + head.encode() + b"\r\n" + body


async def test_a_place_is_free_for_the_next_request_of_who_left(client_of: Open) -> None:
    client = await client_of(RateLimit(concurrency=1))
    for _ in range(50):
        # Two connections that are open, so that the next request needs no handshake.
        gate = Gate()
        client.gateway.script(ScriptedReply(answer=["一" * 1000, gate, "二"]))
        response = await client.post(stream=True)
        await gate.reached()
        assert await client.status() == 429
        response.close()
        assert await client.status() == 200
    assert client.gateway.enforcer.peak_in_flight == 1
    assert client.gateway.enforcer.in_flight == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_a_place_is_free_as_soon_as_the_reply_is_read(
    client_of: Open, *, stream: bool
) -> None:
    client = await client_of(RateLimit(concurrency=1))
    assert await client.statuses(100, stream=stream, max_tokens=3) == [200] * 100
    assert len({request.connection for request in client.gateway.requests}) == 1


async def test_a_place_is_free_after_any_end(client_of: Open) -> None:
    client = await client_of(RateLimit(concurrency=1))
    ends: list[Any] = [faults.reset(), faults.without_done(), faults.error_event()]
    ends += [faults.written().cut(50, "close"), faults.written().cut(50, "reset"), bad_handler]
    for end in ends:
        client.gateway.script(end)
        with contextlib.suppress(aiohttp.ClientError):
            await client.status(stream=True)
        assert await client.status() == 200
    assert client.gateway.enforcer.in_flight == 0


async def bad_handler(_: web.Request) -> web.StreamResponse:
    raise web.HTTPConflict


@given(
    order=st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=8),
)
@settings(max_examples=25)
async def test_no_place_leaks_whenever_clients_leave(order: list[tuple[bool, int]]) -> None:
    limits = RateLimit(concurrency=4, tokens_per_minute=10**6, charge="usage")
    async with FakeGateway(limits=limits, now=Clock()) as gateway, aiohttp.ClientSession() as http:
        client = Client(gateway, http, Clock())

        async def leave(turns: int, *, stream: bool) -> None:
            task = asyncio.ensure_future(client.status(stream=stream))
            for _ in range(turns * 3):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        await asyncio.gather(*(leave(turns, stream=stream) for stream, turns in order))
        await gateway.wait_connections(0)
        assert gateway.enforcer.in_flight == 0
        assert await asyncio.gather(*(client.status() for _ in range(4))) == [200] * 4


async def test_stopping_frees_every_place(client_of: Open) -> None:
    client = await client_of(RateLimit(concurrency=2))
    gate = Gate()
    client.gateway.script(ScriptedReply(answer=["一", gate]), faults.silence())
    calls = [asyncio.ensure_future(client.status(stream=True)) for _ in range(2)]
    await client.gateway.wait_requests(2)
    await gate.reached()
    assert client.gateway.enforcer.in_flight == 2
    await client.gateway.stop()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, aiohttp.ClientError) for result in results)
    assert client.gateway.enforcer.in_flight == 0


async def test_each_key_has_its_own_quota(client_of: Open) -> None:
    client = await client_of(RateLimit(requests_per_minute=2), api_keys=["sk-甲", "sk-b"])
    assert client.gateway.api_key == "sk-甲"
    keys = ["sk-b", "sk-甲"]
    assert [await client.statuses(3, key=key) for key in keys] == [[200, 200, 429]] * 2


async def test_models_share_a_key_s_quota_unless_told_otherwise(client_of: Open) -> None:
    client = await client_of(
        RateLimit(requests_per_minute=1, per="key and model", models="glm*"),
        RateLimit(requests_per_minute=3, per="gateway"),
        any_key=True,
    )
    asked = [("sk-a", "glm-5.1"), ("sk-a", "glm-5.1"), ("sk-a", "glm-4.7"), ("sk-b", "glm-5.1")]
    assert [await client.status(key=key, model=model) for key, model in asked] == [
        200,
        429,
        200,
        200,
    ]
    assert await client.status(key="sk-c") == 429


async def test_a_key_can_be_revoked_exhausted_and_restored(client_of: Open) -> None:
    client = await client_of(api_keys=["sk-a", "sk-b"])
    client.gateway.script(ScriptedReply(answer="一"))
    client.gateway.revoke("sk-a")
    client.gateway.exhaust("sk-b")
    async with client.post(key="sk-a") as response:
        assert response.status == 401
        assert "无效的令牌" in await response.text()
    async with client.post(key="sk-b") as response:
        assert response.status == 403
        error = (await response.json())["error"]
        assert (error["type"], error["code"]) == ("new_api_error", "insufficient_user_quota")
    url, headers = f"{client.gateway.base_url}/models", {"Authorization": "Bearer sk-b"}
    assert (await client.http.get(url, headers=headers)).status == 200  # it costs nothing
    client.gateway.restore("sk-a")
    async with client.post(key="sk-a") as response:
        assert (await response.json())["choices"][0]["message"]["content"] == "一"
    client.gateway.restore("sk-b")
    assert await client.status(key="sk-b") == 200


async def test_limits_change_while_a_reply_is_on_its_way(client_of: Open) -> None:
    client = await client_of(RateLimit(concurrency=2))
    gates = [Gate(), Gate()]
    client.gateway.script(*(ScriptedReply(answer=["一", gate, "二"]) for gate in gates))
    calls = [asyncio.ensure_future(client.status(stream=True)) for _ in gates]
    for gate in gates:
        await gate.reached()
    client.gateway.limits = [RateLimit(concurrency=3)]
    assert await client.status() == 200
    client.gateway.limits = RateLimit(concurrency=1)
    gates[0].open()
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    assert await client.status() == 429
    client.gateway.limits = None
    assert await client.status() == 200
    client.gateway.limits = RateLimit(concurrency=1)
    assert await client.status() == 429
    gates[1].open()
    assert await asyncio.gather(*calls) == [200, 200]
    assert await client.status() == 200
    assert client.gateway.limits == (RateLimit(concurrency=1),)


def test_it_works_in_a_thread() -> None:
    with FakeGateway(limits=RateLimit(requests_per_minute=2), now=Clock()) as gateway:

        async def three() -> list[int]:
            async with aiohttp.ClientSession() as http:
                return await Client(gateway, http, Clock()).statuses(3)

        assert asyncio.run(three()) == [200, 200, 429]
        gateway.limits = RateLimit(requests_per_minute=4)
        assert gateway.enforcer.in_flight == 0
        assert asyncio.run(three()) == [429, 429, 429]
        gateway.limits = None
        assert asyncio.run(three()) == [200, 200, 200]
        assert gateway.enforcer.refused == 4


@pytest.mark.parametrize(
    ("refusal", "error"), [("json", RateLimited), ("empty", RateLimited), ("sglang", Overloaded)]
)
@pytest.mark.parametrize("stream", [True, False])
async def test_our_own_client_knows_its_refusals(
    refusal: Any, error: type[TokenGateError], *, stream: bool
) -> None:
    limits = RateLimit(requests_per_minute=1, refusal=refusal)
    async with (
        FakeGateway(limits=limits, now=Clock()) as gateway,
        TokenGate(
            api_key=gateway.api_key, base_url=gateway.base_url, retry=Retry(attempts=1)
        ) as gate,
    ):
        assert (await gate.chat(MODEL, "你好")).answer.startswith("你好！😊")
        with pytest.raises(error):
            await gate.chat(MODEL, "再来一次 🔁", stream=stream)
        assert gateway.enforcer.refused == 1


async def test_our_own_client_knows_a_key_without_money() -> None:
    async with (
        FakeGateway() as gateway,
        TokenGate(api_key=gateway.api_key, base_url=gateway.base_url) as gate,
    ):
        gateway.exhaust(gateway.api_key)
        with pytest.raises(QuotaExhausted):
            await gate.chat(MODEL, "在吗？💸")
        gateway.revoke(gateway.api_key)
        with pytest.raises(AuthenticationFailed):
            await gate.chat(MODEL, "在吗？🔑")


async def test_a_reply_lasts_as_long_as_it_is_told_to() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    async with (
        FakeGateway(pace=Pace(first_token=0.5), sleep=sleep) as gateway,
        TokenGate(api_key=gateway.api_key, base_url=gateway.base_url) as gate,
    ):
        for prompt in ("你好", "说长一点 📏" * 50):
            for stream in (True, False):
                await gate.chat(MODEL, prompt, stream=stream)
    assert waited == [0.5] * 4
