"""The session: its settings, what can be asked for, and the clocks of a whole call."""

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import pytest

from aiotokengate import (
    CallerError,
    Message,
    Retry,
    StreamInterrupted,
    TimedOut,
    Timeout,
    TokenGate,
    WireError,
)
from aiotokengate._calls.routes import Endpoint
from aiotokengate._resources.embeddings import Split
from aiotokengate.catalogue import CATALOGUE, Model
from aiotokengate.media import Form
from aiotokengate.testing import FakeGateway, Gate, Pause, Raw, ScriptedReply
from aiotokengate.testing._clock import VirtualClock
from tests.support.tools import weather

MODEL = "qwen3.6-max-preview"


@pytest.fixture
def clock() -> VirtualClock:
    """Return a clock that the test moves."""
    return VirtualClock()


@pytest.fixture
async def timed(gateway: FakeGateway, clock: VirtualClock) -> AsyncIterator[TokenGate]:
    """Yield a session that lives by the virtual clock."""
    async with TokenGate(api_key=gateway.api_key, base_url=gateway.base_url, clock=clock) as gate:
        yield gate


# --- settings -----------------------------------------------------------------------------------


async def test_key_and_address_from_the_environment(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without arguments the environment is asked; white space around the key is forgiven."""
    monkeypatch.setenv("TOKENGATE_API_KEY", f" {gateway.api_key}\n")
    monkeypatch.setenv("TOKENGATE_BASE_URL", gateway.base_url + "/")
    async with TokenGate() as gate:
        assert (await gate.chat(MODEL, "嗨")).status == "complete"
        assert repr(gate) == f"<TokenGate {gateway.base_url}>"
    assert repr(gate) == f"<TokenGate {gateway.base_url} closed>"


def test_the_default_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any address it is TokenGate's own."""
    monkeypatch.delenv("TOKENGATE_BASE_URL", raising=False)
    assert TokenGate(api_key="sk-test").base_url == "https://wan.vnet.com/v1"


@pytest.mark.parametrize("key", [None, "", "  "])
def test_no_key(monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    """Without a key the error says where to put it, in two languages."""
    monkeypatch.delenv("TOKENGATE_API_KEY", raising=False)
    with pytest.raises(CallerError, match="TOKENGATE_API_KEY") as raised:
        TokenGate(api_key=key)
    assert "请设置环境变量" in str(raised.value)


@pytest.mark.parametrize("key", ["sk-has space", "sk-\n-line", "sk-汉字"])
def test_a_key_that_no_header_can_hold(key: str) -> None:
    """A key with strange characters is refused without being shown."""
    with pytest.raises(CallerError, match="printable ASCII") as raised:
        TokenGate(api_key=key)
    assert key not in str(raised.value)


BLANKS = [
    (" ", "\n"),
    ("\ufeff", ""),
    ("", "\u200b"),
    ("\u200b\t", "/\ufeff/ "),
    ("\u2060", "\u00a0"),
]


@pytest.mark.parametrize(("before", "after"), BLANKS)
@pytest.mark.parametrize("way", ["argument", "environment", "endpoint"])
async def test_what_was_copied_along_is_taken_off(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, before: str, after: str, way: str
) -> None:
    """Blanks, zero-width characters and byte order marks around a key or an address."""
    address, key = f"{before}{gateway.base_url}{after}", f"{before}{gateway.api_key}{after}"
    key = key.replace("/", "")
    settings: dict[str, Any] = {"api_key": key, "base_url": address}
    if way == "environment":
        monkeypatch.setenv("TOKENGATE_API_KEY", key)
        monkeypatch.setenv("TOKENGATE_BASE_URL", address)
        settings = {"api_key": None, "base_url": before}
    elif way == "endpoint":
        settings = {"endpoints": [Endpoint(api_key=key, base_url=address)]}
    async with TokenGate(**settings) as gate:
        assert (await gate.chat(MODEL, "嗨")).status == "complete"
    assert gateway.requests[0].path == "/v1/chat/completions"
    if way != "endpoint":
        assert gate.base_url == gateway.base_url


@pytest.mark.parametrize("address", ["http://ho st/v1", "http://host/v1\u200b/x", "http://h\t/v1"])
def test_an_address_with_something_invisible(address: str) -> None:
    """Within an address it is shown."""
    with pytest.raises(CallerError, match="without blanks or invisible characters") as raised:
        TokenGate(api_key="sk-test", base_url=address)
    assert repr(address) in str(raised.value)


def test_an_endpoint_without_an_address_of_its_own(gateway: FakeGateway) -> None:
    """Nothing but blanks is none."""
    with pytest.raises(CallerError, match="expected base_url as str, got int"):
        TokenGate(endpoints=[Endpoint(api_key="sk-test", base_url=5)])  # type: ignore[arg-type]
    endpoint = Endpoint(api_key="sk-test", base_url=" \ufeff")
    gate = TokenGate(endpoints=[endpoint], base_url=gateway.base_url)
    assert gate._sender.admission.routes.all[0].base_url == gateway.base_url


def test_an_address_without_scheme() -> None:
    """An address must say how it is reached."""
    with pytest.raises(CallerError, match="begin with http:// or https://, got 'localhost:1/v1'"):
        TokenGate(api_key="sk-test", base_url="localhost:1/v1")


@pytest.mark.parametrize("address", ["http://[::1/v1", "http://host:port/v1", "http:///v1"])
def test_an_address_that_is_none(address: str) -> None:
    """An address that leads nowhere is the caller's error, and is shown."""
    with pytest.raises(CallerError, match=r"expected base_url to .*, got "):
        TokenGate(api_key="sk-test", base_url=address)


@pytest.mark.parametrize("address", ["http://me:geheim@host/v1", "http://geheim@host:port/v1"])
def test_an_address_with_a_password(address: str) -> None:
    """The key is the only secret; another one in the address would stand in every repr."""
    with pytest.raises(CallerError, match="base_url without a user name or password") as raised:
        TokenGate(api_key="sk-test", base_url=address)
    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize("address", ["http://host/v1?a=1", "http://host/v1#top"])
def test_an_address_that_paths_cannot_be_added_to(address: str) -> None:
    """What stands after a path would swallow those of the calls."""
    with pytest.raises(CallerError, match="expected base_url to end in a path such as /v1"):
        TokenGate(api_key="sk-test", base_url=address)


WRONG_SETTINGS: list[tuple[dict[str, object], str]] = [
    (dict(api_key=5), "expected api_key as str or callable, got int"),
    (dict(base_url=5), "expected base_url as str, got int"),
    (dict(timeout=5), r"expected timeout=Timeout\(total=...\), got int"),
    (dict(retry=3), r"expected retry=Retry\(attempts=...\), got int"),
    (dict(extra_body=[1]), "expected extra_body as a dict, got list"),
    (dict(extra_headers="A: b"), "expected extra_headers as a dict, got str"),
    (dict(hooks=print), "expected hooks as a list of callables"),
    (dict(hooks=[5]), "expected hooks as a list of callables"),
    (dict(catalogue=[]), r"expected catalogue=CATALOGUE.extended\(...\), got list"),
    (dict(paths={"video": "/videos"}), "expected paths named audio_speech, .*, got 'video'"),
    (dict(paths={"videos": None}), "expected paths as a dict of str to str"),
    (dict(proxy=3128), "expected proxy as str, got int"),
    (dict(proxy="localhost:3128"), "expected proxy to begin with http://, https:// or socks5"),
    (dict(proxy="ftp://localhost:3128"), "expected proxy to begin with http://, https:// or"),
    (dict(proxy="http://localhost:port"), "expected proxy as an address .* not a number"),
    (dict(allow_private="false"), "expected allow_private as a bool, got str"),
    (dict(ssl="company-ca.pem"), "expected ssl as an SSLContext or a bool, got str"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG_SETTINGS)
def test_a_wrong_setting_is_named(settings: dict[str, Any], message: str) -> None:
    """A session says what is wrong when it is made, not in its first call."""
    with pytest.raises(CallerError, match=message):
        TokenGate(**{"api_key": "sk-test", **settings})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(endpoints=[]), "expected at least one Endpoint, got none"),
        (dict(endpoints=["sk-x"]), r"expected endpoints as a list of Endpoint\(api_key=...\)"),
        (dict(endpoints=[Endpoint(api_key=" ")]), "no API key"),
        (
            dict(endpoints=[Endpoint(api_key="sk-x")], api_key="sk-y"),
            "api_key or endpoints, got both",
        ),
    ],
)
def test_wrong_endpoints(settings: dict[str, Any], message: str) -> None:
    """They are refused when the session is made."""
    with pytest.raises(CallerError, match=message):
        TokenGate(**settings)


def test_a_pool_is_a_pool() -> None:
    """Anything else is refused at once."""
    with pytest.raises(CallerError, match=r"expected pool=Pool\(...\), got int"):
        TokenGate(api_key="sk-test", pool=3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Timeout(stall=0), r"expected Timeout\(stall=...\) in seconds above 0"),
        (lambda: Timeout(connect=-1), "Timeout.connect"),
        (lambda: Timeout(total="3"), "Timeout.total"),  # type: ignore[arg-type]
        (lambda: Retry(attempts=0), r"expected Retry\(attempts=...\) of 1 or more, got 0"),
        (lambda: Retry(max_wait=-1), r"expected Retry\(max_wait=...\)"),
    ],
)
def test_settings_are_checked(make: object, message: str) -> None:
    """A setting that makes no sense is refused where it is made."""
    assert callable(make)
    with pytest.raises(
        CallerError, match=message.replace("Timeout.", r"Timeout\(").replace("$", "")
    ):
        make()


async def test_extras_of_session_and_call(gateway: FakeGateway) -> None:
    """Headers and body fields of the session come first, the call's go over them."""
    async with TokenGate(
        api_key=gateway.api_key,
        base_url=gateway.base_url,
        extra_headers={"X-Team": "a", "X-Only": "b"},
        extra_body={"user": "session", "enable_search": True},
    ) as gate:
        await gate.chat(
            MODEL,
            [Message("system", "简短"), Message("user", "嗨", name="u", extra={"x": 1})],
            extra_headers={"X-Team": "c"},
            extra_body={"user": "call"},
            temperature=0.5,
            top_p=None,  # type: ignore[arg-type]  # None is as good as nothing
        )
    sent = gateway.requests[0]
    assert (sent.headers["X-Team"], sent.headers["X-Only"]) == ("c", "b")
    assert sent.json == {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "简短"},
            {"role": "user", "content": "嗨", "name": "u", "x": 1},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "user": "call",
        "enable_search": True,
    }


async def test_a_plain_request(gateway: FakeGateway, gate: TokenGate) -> None:
    """``stream=False`` sends no stream options, and gives the same reply and the same deltas."""
    gateway.script(*[ScriptedReply(reasoning="想", answer="好")] * 3)
    whole = await gate.chat(MODEL, "嗨", stream=False)
    streamed = await gate.chat(MODEL, "嗨")
    assert "stream" not in gateway.requests[0].json
    assert (whole.answer, whole.reasoning) == (streamed.answer, streamed.reasoning)
    deltas = [delta async for delta in gate.chat(MODEL, "嗨", stream=False)]
    assert [type(delta).__name__ for delta in deltas] == [
        "ReasoningDelta",
        "AnswerDelta",
        "FinishDelta",
        "UsageDelta",
    ]


async def test_a_closed_session(gateway: FakeGateway) -> None:
    """A closed session makes no calls, also not those that it made before."""
    gate = TokenGate(api_key=gateway.api_key, base_url=gateway.base_url)
    call = gate.chat(MODEL, "嗨")
    await gate.close()
    await gate.close()
    for use in (lambda: gate.chat(MODEL, "嗨"), lambda: call, gate.__aenter__):
        with pytest.raises(CallerError, match="this TokenGate is closed"):
            await use()
    assert gateway.requests == []


async def test_models(gateway: FakeGateway, gate: TokenGate) -> None:
    """The list of models comes as values, with what else the gateway says."""
    models = {model.id: model for model in await gate.models()}
    assert MODEL in models
    assert models[MODEL].owned_by


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>", "expected JSON, got 6 bytes that are not"),
        (b'{"data":3}', "expected a list of models under 'data'"),
        (b'{"code":400,"msg":"nope"}', "nope"),
    ],
)
async def test_models_that_are_none(
    gateway: FakeGateway, gate: TokenGate, body: bytes, message: str
) -> None:
    """Anything else in place of the list is said clearly."""
    gateway.script(Raw(body=body), path="/v1/models")
    with pytest.raises(WireError if b"code" not in body else Exception, match=message):
        await gate.models()


async def test_an_added_model_row(gateway: FakeGateway) -> None:
    """A user's row decides on the dialect: here, that the opening tag is swallowed."""
    catalogue = CATALOGUE.extended(Model("house-model", "House", "open-thinking"))
    gateway.script(
        Raw(
            body=b'data: {"choices":[{"index":0,"delta":{"content":"abc</think>hi"},'
            b'"finish_reason":"stop"}]}\n\n'
        )
    )
    async with TokenGate(
        api_key=gateway.api_key, base_url=gateway.base_url, catalogue=catalogue
    ) as gate:
        reply = await gate.chat("house-model", "嗨")
    assert (reply.reasoning, reply.answer) == ("abc", "hi")


# --- what can be asked for ----------------------------------------------------------------------


JSON = {"Content-Type": "application/json"}
UNUSED = TokenGate(api_key="sk-test", base_url="http://127.0.0.1:9/v1")
"""A session that asks for nothing."""


def test_options_that_are_not_built_yet() -> None:
    """They are refused by name."""
    for name in ("fallback", "resume"):
        wrong: dict[str, Any] = {name: ""}
        with pytest.raises(CallerError, match=f"the option '{name}' is not built yet"):
            UNUSED.chat(MODEL, "嗨", **wrong)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (dict(reasoning="much"), "expected reasoning"),
        (dict(protocol="smtp"), "expected protocol"),
        (dict(priority="late"), "expected priority"),
        (dict(timeout=5), "expected timeout"),
        (dict(retry=3), "expected retry"),
        (dict(deadline=0), "expected deadline"),
        (dict(fair_key=5), "expected fair_key"),
        (dict(extra_body=[1]), "expected extra_body"),
        (dict(extra_headers="A: b"), "expected extra_headers"),
        (dict(idempotency_key=""), "expected idempotency_key"),
    ],
)
def test_a_wrong_option_of_a_chat_is_named(option: dict[str, Any], message: str) -> None:
    """When the call is made, and not when it is sent."""
    with pytest.raises(CallerError, match=message):
        UNUSED.chat(MODEL, "嗨", **option)


async def test_options_of_a_call_go_over_those_of_the_session(gateway: FakeGateway) -> None:
    """Its clocks, its attempts, its place in the queue, and by what the gateway knows it."""
    async with TokenGate(
        api_key=gateway.api_key,
        base_url=gateway.base_url,
        retry=Retry(attempts=1),
        timeout=Timeout(first_event=0.001),
    ) as gate:
        gateway.script(Raw(status=503, headers={"Retry-After": "0"}))
        reply = await gate.chat(
            MODEL,
            "嗨",
            retry=Retry(attempts=2),
            timeout=Timeout(),
            priority="bulk",
            fair_key="甲",
            idempotency_key="order-7",
        )
        assert [attempt.status for attempt in reply.attempts] == [503, 200]
    assert [request.headers["Idempotency-Key"] for request in gateway.requests] == ["order-7"] * 2


async def test_a_key_that_changes_is_asked_for(gateway: FakeGateway) -> None:
    """Before each request, sync or async; the pool is the session's own."""
    asked: list[str] = []

    async def key() -> str:
        asked.append(gateway.api_key)
        return gateway.api_key

    async with TokenGate(api_key=key, base_url=gateway.base_url) as gate:
        for _ in range(2):
            assert (await gate.chat(MODEL, "嗨")).status == "complete"
        (lane,) = gate.pool.statistics().lanes
    assert (len(asked), lane.admitted) == (2, 2)


def test_what_of_a_call_would_be_refused_is_said_and_nothing_sent() -> None:
    """Nothing, where nothing is known."""
    assert UNUSED.check(MODEL, "嗨") == ()
    assert UNUSED.check("claude-opus-4-8", "嗨", temperature=0.5) != ()
    with pytest.raises(CallerError, match="expected reasoning"):
        UNUSED.check(MODEL, "嗨", reasoning="much")  # type: ignore[arg-type]


async def test_a_model_may_call_functions(gateway: FakeGateway, gate: TokenGate) -> None:
    """Each turn is a chat with the tools, and with the options of all."""
    gateway.script(ScriptedReply(answer="晴"))
    run = await gate.run_tools(MODEL, "北京天气？", [weather], temperature=0.5)
    assert run.reply.answer == "晴"
    sent = gateway.requests[0].json
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["weather"]
    assert sent["temperature"] == 0.5
    assert sent["messages"] == [{"role": "user", "content": "北京天气？"}]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (dict(rounds=0), "expected rounds"),
        (dict(at_once=0), "expected at_once"),
        (dict(tool_timeout=0), "expected tool_timeout"),
    ],
)
def test_a_wrong_option_of_tools_is_named(option: dict[str, Any], message: str) -> None:
    with pytest.raises(CallerError, match=message):
        UNUSED.run_tools(MODEL, "嗨", [weather], **option)


async def test_a_conversation_is_begun_stored_and_gone_on_with(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """What is given anew goes over what was stored."""
    gateway.script(*[ScriptedReply(answer="好")] * 2)
    talk = gate.conversation(
        MODEL, system="简短", max_tokens_kept=900, keep_partial=True, temperature=0.5
    )
    await talk.say("一")
    await gate.conversation(stored=talk.to_json(), temperature=0.7).say("二")
    first, second = (request.json for request in gateway.requests)
    assert (first["temperature"], second["temperature"]) == (0.5, 0.7)
    assert [message["content"] for message in second["messages"]] == ["简短", "一", "好", "二"]
    with pytest.raises(CallerError, match="expected a model, or a stored conversation"):
        gate.conversation()
    with pytest.raises(CallerError, match="expected max_tokens_kept"):
        gate.conversation(MODEL, max_tokens_kept=0)
    with pytest.raises(CallerError, match="expected max_tokens_kept"):
        gate.conversation(stored=talk.to_json(), max_tokens_kept=0)


async def test_many_calls_are_made_of_dicts_or_calls(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """In their order if that is wished; what is neither is its own outcome."""
    gateway.script(*[ScriptedReply(answer=text) for text in "一二"])
    asked: list[Any] = [
        {"model": MODEL, "messages": "一"},
        gate.chat(MODEL, "二"),
        {"model": MODEL},
        5,
    ]
    found = [outcome async for outcome in gate.map(asked, ordered=True, at_once=1)]
    assert [outcome.reply.answer for outcome in found[:2] if outcome.reply] == ["一", "二"]
    assert [type(outcome.error) for outcome in found[2:]] == [CallerError, CallerError]


def test_a_wrong_option_of_many_calls_is_named() -> None:
    """As a number; and what is meant for each call stands there."""
    for at_once in (0, True, 1.5):
        with pytest.raises(CallerError, match="expected at_once as a whole number from 1 up"):
            UNUSED.map([], at_once=at_once)  # type: ignore[arg-type]
    with pytest.raises(CallerError, match=r"what a call is asked with stands in its request"):
        UNUSED.map([], temperature=0.5)  # type: ignore[arg-type]


async def test_vectors_of_texts(gateway: FakeGateway, gate: TokenGate) -> None:
    """As many as texts; in as many requests as is wished."""
    assert len(await gate.embed("text-embedding-3-small", ["你好", "hello"])) == 2
    assert len(gateway.requests) == 1
    vectors = await gate.embed("text-embedding-3-small", ["你好", "hi"], split=Split(inputs=1))
    assert (len(vectors), len(gateway.requests)) == (2, 3)


def test_systems_of_a_session() -> None:
    """Those of jobs share what asks after them."""
    kinds = [type(each).__name__ for each in (UNUSED.images, UNUSED.audio)]
    assert kinds == ["ImagesMaker", "Audio"]
    kinds = [type(each).__name__ for each in (UNUSED.videos, UNUSED.music)]
    assert kinds == ["Videos", "Music"]
    assert UNUSED._pollers is UNUSED._pollers


@pytest.mark.parametrize(
    "id_",
    [
        "video:sora:task_1",
        "video:unified:task_1",
        "video:sora@1a2b3c:a:b",
        "music:suno-api:task_1",
        "music:cqtai@1a2b3c:task_1",
    ],
)
def test_a_job_is_known_by_its_id(id_: str) -> None:
    """Whoever submitted it; the part after @ says with which key."""
    assert UNUSED.job(id_).id == id_


@pytest.mark.parametrize("id_", ["", "video", "video:sora:", "video:sora", "film:sora:1", 5, None])
def test_an_id_of_no_job(id_: Any) -> None:
    with pytest.raises(CallerError, match="expected the id of a job, such as 'video:sora:task_1'"):
        UNUSED.job(id_)


async def test_jobs_of_a_session_that_was_closed() -> None:
    """Nobody asks after them any more."""
    gate = TokenGate(api_key="sk-test", base_url="http://127.0.0.1:9/v1")
    job = gate.job("video:sora:task_1")
    await gate.close()
    with pytest.raises(CallerError, match="this TokenGate is closed"):
        await job


def test_a_misspelt_option_is_told() -> None:
    """By every method that takes no others."""
    for call in (
        lambda **wrong: UNUSED.job("video:sora:1", **wrong),
        lambda **wrong: UNUSED.request("GET", "/x", **wrong),
    ):
        with pytest.raises(CallerError, match="dead_line"):
            call(dead_line=5)


async def test_anything_else_on_the_gateway(gateway: FakeGateway, gate: TokenGate) -> None:
    """A body or a form, headers, and whether it may be done twice."""
    gateway.script(*[Raw(body=b'{"ok":true}', headers=JSON)] * 2, path="/v1/rerank")
    asked = gate.request(
        "POST", "/rerank", json={"query": "猫"}, extra_headers={"X-Team": "7"}, costly=True
    )
    assert await asked == {"ok": True}
    await gate.request("POST", "/rerank", form=Form((("query", "猫"),)), costly=False)
    first, second = gateway.requests
    assert (first.method, first.json) == ("POST", {"query": "猫"})
    assert first.headers["X-Team"] == "7"
    assert "Idempotency-Key" in first.headers
    assert "Idempotency-Key" not in second.headers
    assert second.headers["Content-Type"].startswith("multipart/form-data")


# --- clocks -------------------------------------------------------------------------------------


async def test_a_silent_server(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock
) -> None:
    """A server that accepts and says nothing is given up, and not asked again."""
    gateway.script(Raw(status=None, end="hang"))
    task = asyncio.ensure_future(timed.chat(MODEL, "嗨"))
    await gateway.wait_requests(1)
    await clock.run_for(299)
    assert not task.done()
    await clock.run_for(2)
    with pytest.raises(TimedOut, match="no content came within 300 s") as raised:
        await task
    assert raised.value.phase == "first_event"
    assert len(raised.value.attempts) == 1
    await gateway.wait_connections(0)


@pytest.mark.parametrize("sent", ["headers", "keep-alives"])
async def test_keep_alives_are_no_content(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock, sent: str
) -> None:
    """Neither headers nor comments stop the clock of the first event."""
    turn = Gate()
    body = [b": PING\n\n"] * 3 if sent == "keep-alives" else []
    gateway.script(Raw(body=[*body, turn], end="hang"))
    task = asyncio.ensure_future(timed.chat(MODEL, "嗨"))
    await turn.reached()
    await clock.run_for(301)
    with pytest.raises(TimedOut, match="no content came within 300 s"):
        await task


async def test_a_stalled_stream(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock
) -> None:
    """Content that stops coming is a stall, however many keep-alives come."""
    turn = Gate()
    content = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    pings: list[bytes | Pause | Gate] = [turn, b": PING\n\n"] * 8
    gateway.script(Raw(body=[content, *pings], end="hang"))
    async with timed.chat(MODEL, "嗨") as stream:
        reader = asyncio.ensure_future(stream.answer.text())
        for seconds in range(8):
            await turn.reached(seconds + 1)
            await clock.run_for(14)
            turn.release()
        assert not reader.done()
        await clock.run_for(10)
        with pytest.raises(StreamInterrupted, match="no content came for 120 s") as raised:
            await reader
    assert isinstance(raised.value.__cause__, TimedOut)
    assert raised.value.__cause__.phase == "stall"
    assert raised.value.partial.answer == "a"
    await gateway.requests[0].disconnected.wait()


async def test_a_busy_caller_does_not_stall(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock
) -> None:
    """What comes is taken as it comes; how long its reader sleeps is nobody's silence."""
    turn = Gate()
    gateway.script(ScriptedReply(answer=["一", turn, "二"]))
    async with timed.chat(MODEL, "嗨") as stream:
        tokens = aiter(stream.answer)
        assert await anext(tokens) == "一"
        turn.open()
        await clock.run_for(1000)
        assert await anext(tokens) == "二"
        assert (await stream.reply()).status == "complete"


@pytest.mark.parametrize("phase", ["total", "deadline"])
async def test_limits_on_everything(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock, phase: str
) -> None:
    """``total`` and ``deadline`` end a reply that keeps coming, also under a busy caller."""
    gateway.script(ScriptedReply(answer=["一", Gate(), "二"]))
    limits = {"deadline": 30} if phase == "deadline" else {"timeout": Timeout(total=30)}
    async with timed.chat(MODEL, "嗨", **limits) as stream:
        await clock.run_for(31)
        with pytest.raises(StreamInterrupted) as raised:
            await stream.reply()
    assert isinstance(raised.value.__cause__, TimedOut)
    assert raised.value.__cause__.phase == phase
    assert raised.value.__cause__.seconds == 30


async def test_usage_that_does_not_come(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock
) -> None:
    """After the finish the usage is waited for, but not for long."""
    turn = Gate()
    body = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
    gateway.script(Raw(body=[body, turn], end="hang"))
    task = asyncio.ensure_future(timed.chat(MODEL, "嗨"))
    await turn.reached()
    await clock.run_for(1.9)
    assert not task.done()
    await clock.run_for(0.2)
    reply = await task
    assert (reply.status, reply.answer, reply.usage.estimated) == ("complete", "a", True)
    await gateway.wait_connections(0)


async def test_bursts_and_snapshots(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock
) -> None:
    """What came is shown at most ``every`` seconds later, also into silence, and at last whole."""
    turn = Gate()
    gateway.script(ScriptedReply(answer=["一", turn, "二", turn, "三", turn, "四"]))
    async with timed.chat(MODEL, "嗨") as stream:
        bursts = aiter(stream.answer.bursts(every=0.8))
        snapshots = aiter(stream.answer.snapshots(every=2))
        assert await anext(bursts) == "一"
        assert await anext(snapshots) == "一"
        waiting = asyncio.ensure_future(anext(bursts)), asyncio.ensure_future(anext(snapshots))
        turn.release(2)
        await turn.reached(3)
        await clock.run_for(0.7)
        assert not waiting[0].done()
        await clock.run_for(0.2)
        assert await waiting[0] == "二三"
        assert not waiting[1].done()
        await clock.run_for(1.2)
        assert await waiting[1] == "一二三"
        turn.open()
        assert await anext(bursts) == "四"
        assert await anext(snapshots) == "一二三四"
        for ended in (bursts, snapshots):
            with pytest.raises(StopAsyncIteration):
                await anext(ended)


async def test_a_cancelled_burst_loses_nothing(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock
) -> None:
    """Text that was collected for a burst is still there for the next one."""
    turn = Gate()
    gateway.script(ScriptedReply(answer=["一", turn, "二", turn, "三"]))
    async with timed.chat(MODEL, "嗨") as stream:
        bursts = aiter(stream.answer.bursts(every=5))
        assert await anext(bursts) == "一"
        waiting = asyncio.ensure_future(anext(bursts))
        turn.release()
        await turn.reached(2)
        await clock.run_for(1)
        waiting.cancel()
        await asyncio.wait([waiting])
        turn.open()
        assert await anext(bursts) == "二三"


@pytest.mark.parametrize("name", ["max_reply_bytes", "read_ahead"])
@pytest.mark.parametrize("wrong", [0, -1, 1.5, "1 MiB", None, True])
def test_sizes_are_whole_numbers(name: str, wrong: Any) -> None:
    with pytest.raises(CallerError, match=f"expected {name} as a whole number from 1 up, got"):
        TokenGate(api_key="sk-test", **{name: wrong})


USER: ContextVar[str] = ContextVar("USER")


async def test_hooks_are_told_in_the_context_of_their_call(gateway: FakeGateway) -> None:
    """Also of the end of a reply that comes on a connection which another call has opened."""
    told: list[tuple[str, str]] = []
    gate = TokenGate(
        api_key=gateway.api_key,
        base_url=gateway.base_url,
        hooks=[lambda event: told.append((type(event).__name__, USER.get("nobody")))],
    )

    async def ask(user: str) -> None:
        USER.set(user)
        async with gate.chat(MODEL, "我是谁？🙂") as stream:
            await stream.reply()

    async with gate:
        for user in ("甲", "乙"):
            await asyncio.create_task(ask(user))
    assert gateway.requests[0].connection == gateway.requests[1].connection
    assert ("RequestFinished", "甲") in told
    assert [who for _, who in told].count("乙") == len(told) / 2
