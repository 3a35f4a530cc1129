"""The session: settings, retries, clocks, observers."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aiotokengate import (
    CallerError,
    Message,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    Reply,
    Retry,
    StatusError,
    StreamInterrupted,
    TimedOut,
    Timeout,
    TokenGate,
    WireError,
)
from aiotokengate._calls.routes import Endpoint
from aiotokengate.catalogue import CATALOGUE, Model
from aiotokengate.hooks import (
    FirstDelta,
    HookEvent,
    RequestFinished,
    RequestStarted,
    RetryScheduled,
)
from aiotokengate.testing import FakeGateway, Gate, Pause, Raw, ScriptedReply
from aiotokengate.testing._clock import VirtualClock

MODEL = "qwen3.6-max-preview"
BUSY = Raw(status=503, headers={}, body=b'{"error":{"message":"busy","code":"overloaded"}}')
QUEUE_FULL = Raw(
    body=b'data: {"error":{"object":"error","message":"The request queue is full.",'
    b'"type":"SERVICE_UNAVAILABLE","param":null,"code":503}}\n\ndata: [DONE]\n\n'
)


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


# --- retries ------------------------------------------------------------------------------------


async def finished(clock: VirtualClock, call: object) -> Reply | BaseException:
    """Await a call while virtual time runs."""
    task = asyncio.ensure_future(call)  # type: ignore[call-overload]
    while not task.done():
        await clock.run_for(1)
    error: BaseException | None = task.exception()
    return error or task.result()


@pytest.mark.parametrize("fault", [BUSY, QUEUE_FULL], ids=["503", "queue full in a 200"])
async def test_a_busy_gateway_is_asked_again(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock, fault: Raw
) -> None:
    """Before the first delta a refusal for lack of room is tried again, and is visible."""
    gateway.script(fault, fault, ScriptedReply(answer="好"))
    reply = await finished(clock, timed.chat(MODEL, "嗨"))
    assert isinstance(reply, Reply)
    assert reply.answer == "好"
    assert [attempt.error for attempt in reply.attempts] == ["Overloaded", "Overloaded", None]
    assert [attempt.status for attempt in reply.attempts] == [503, 503, 200]
    *waits, last = (attempt.wait for attempt in reply.attempts)
    assert last is None
    for wait, bound in zip(waits, (0.5, 1.0), strict=True):
        assert wait is not None
        assert 0 <= wait <= bound


async def test_attempts_end(gateway: FakeGateway, timed: TokenGate, clock: VirtualClock) -> None:
    """After the last attempt the error comes as it is, with all attempts."""
    gateway.script(BUSY, BUSY, BUSY)
    error = await finished(clock, timed.chat(MODEL, "嗨"))
    assert isinstance(error, Overloaded)
    assert len(error.attempts) == 3
    assert "attempts 3" in str(error)
    assert len(gateway.requests) == 3


async def test_retry_after_is_kept(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock
) -> None:
    """A wait that the gateway names is waited at least, and only so much longer."""
    gateway.script(Raw(status=429, headers={"Retry-After": "20"}), ScriptedReply(answer="好"))
    reply = await finished(clock, timed.chat(MODEL, "嗨"))
    assert isinstance(reply, Reply)
    wait, done = reply.attempts[0].wait, reply.timeline.done
    assert wait is not None
    assert done is not None
    assert 20 <= wait <= 25
    assert done >= wait


async def test_a_wait_that_is_too_long(gateway: FakeGateway, timed: TokenGate) -> None:
    """Whoever asks for more than ``max_wait`` is not asked again."""
    gateway.script(Raw(status=429, headers={"Retry-After": "121"}))
    with pytest.raises(RateLimited) as raised:
        await timed.chat(MODEL, "嗨")
    assert raised.value.retry_after == 121
    assert len(gateway.requests) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Raw(status=429, body=b'{"error":{"message":"arrears","code":"1113"}}'),
        Raw(status=400, body=b'{"error":{"message":"sensitive","code":"1301"}}'),
        Raw(status=501, body=b'{"error":{"message":"not implemented"}}'),
        Raw(status=503, headers={"x-should-retry": "false"}),
    ],
    ids=["quota", "content", "not implemented", "the gateway's verdict"],
)
async def test_what_is_never_tried_again(
    gateway: FakeGateway, timed: TokenGate, fault: Raw
) -> None:
    """Quota, refused content and what does not exist would be the same again."""
    gateway.script(fault)
    with pytest.raises(StatusError) as raised:
        await timed.chat(MODEL, "嗨")
    assert len(gateway.requests) == 1
    assert not raised.value.retryable
    assert not isinstance(raised.value, QuotaExhausted) or raised.value.code == "1113"


async def test_after_the_first_delta_nothing_is_tried_again(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """What was shown is not taken back: an error inside the stream interrupts it."""
    body = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    error = b'data: {"error":{"message":"down","code":503}}\n\n'
    gateway.script(Raw(body=[body, error]))
    with pytest.raises(StreamInterrupted) as raised:
        await gate.chat(MODEL, "嗨")
    assert (raised.value.status, raised.value.code) == (503, "503")
    assert isinstance(raised.value.__cause__, Overloaded)
    assert raised.value.partial.answer == "a"
    assert len(raised.value.attempts) == len(raised.value.partial.attempts) == 1
    assert len(gateway.requests) == 1


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


async def test_a_time_out_leaves_its_task_as_it_was(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock
) -> None:
    """The task that was timed out is not left cancelled, so that others' clocks work on."""
    gateway.script(Raw(status=None, end="hang"))

    async def ask() -> int:
        with pytest.raises(TimedOut):
            await timed.chat(MODEL, "嗨")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):  # takes a cancellation for its own, if it is the only
                await asyncio.Event().wait()
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    asking = asyncio.create_task(ask())
    await gateway.wait_requests(1)
    await clock.run_for(301)
    assert await asking == 0


async def test_a_cancellation_in_the_moment_of_a_time_out_is_kept(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock
) -> None:
    """Ours is taken back, and nobody else's: before or after it in the same turn."""
    for first in ("clock", "caller"):
        gateway.script(Raw(status=None, end="hang"))
        before = len(gateway.requests)
        asking = asyncio.ensure_future(timed.chat(MODEL, first))
        await gateway.wait_requests(before + 1)
        await clock.run_for(299)
        if first == "caller":
            asking.cancel()
        clock.advance(2)
        if first == "clock":
            asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()


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


async def test_a_deadline_covers_all_attempts(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock
) -> None:
    """No attempt is begun that the deadline leaves no time for, and the last is cut by it."""
    slow = Raw(status=429, headers={"Retry-After": "8"})
    gateway.script(slow, slow, Raw(status=None, end="hang"))
    error = await finished(clock, timed.chat(MODEL, "嗨", deadline=10))
    assert isinstance(error, RateLimited)
    assert len(gateway.requests) <= 2
    assert clock.now() < 30
    gateway.unscript()
    gateway.script(Raw(status=None, end="hang"))
    error = await finished(clock, timed.chat(MODEL, "嗨", deadline=10))
    assert isinstance(error, TimedOut)
    assert (error.phase, error.seconds) == ("deadline", 10)


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


# --- observers ----------------------------------------------------------------------------------


@pytest.fixture
def events() -> list[HookEvent]:
    """Return what the hook was told."""
    return []


@pytest.fixture
async def watched(
    gateway: FakeGateway, clock: VirtualClock, events: list[HookEvent]
) -> AsyncIterator[TokenGate]:
    """Yield a session with an observer."""
    async with TokenGate(
        api_key=gateway.api_key, base_url=gateway.base_url, clock=clock, hooks=[events.append]
    ) as gate:
        yield gate


async def test_what_observers_are_told(
    gateway: FakeGateway, watched: TokenGate, clock: VirtualClock, events: list[HookEvent]
) -> None:
    """Each step of a call is told once, in order, without key or prompt."""
    gateway.script(BUSY, ScriptedReply(answer=["一", "二"]))
    await finished(clock, watched.chat(MODEL, "秘密的提示"))
    kinds = [RequestStarted, RetryScheduled, RequestStarted, FirstDelta, RequestFinished]
    assert [type(event) for event in events] == kinds
    last = events[-1]
    assert isinstance(last, RequestFinished)
    assert (last.status, last.error) == ("complete", None)
    assert last.usage.completion_tokens == 2
    assert "秘密的提示" not in repr(events)
    assert gateway.api_key not in repr(events)


@pytest.mark.parametrize("way", ["error", "interrupted", "left", "cancelled", "models"])
async def test_the_end_is_told_once(
    gateway: FakeGateway, watched: TokenGate, events: list[HookEvent], way: str
) -> None:
    """However a call ends, its end is told exactly once."""
    content = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    gateway.script(
        Raw(status=400)
        if way == "error"
        else Raw(body=content, end="hang" if way != "interrupted" else "keep")
    )
    if way in ("error", "interrupted"):
        with pytest.raises(Exception):  # noqa: B017, PT011 - the class is not the point
            await watched.chat(MODEL, "嗨")
    elif way == "left":
        async for _ in watched.chat(MODEL, "嗨"):
            break
    elif way == "models":
        await watched.models()
    else:
        task = asyncio.ensure_future(watched.chat(MODEL, "嗨"))
        await gateway.wait_requests(1)
        task.cancel()
        await asyncio.wait([task])
    ends = [event for event in events if isinstance(event, RequestFinished)]
    status = {"error": None, "interrupted": "interrupted", "left": "stopped", "models": None}
    assert len(ends) == 1
    assert ends[0].status in (status.get(way), None, "stopped")
    assert (ends[0].error is not None) == (way in ("error", "interrupted"))


async def test_a_failing_observer_disturbs_nobody(
    gateway: FakeGateway, caplog: pytest.LogCaptureFixture
) -> None:
    """An observer that raises is logged, and the others are told."""
    told: list[HookEvent] = []

    def failing(event: HookEvent) -> None:
        raise ZeroDivisionError(type(event).__name__)

    async with TokenGate(
        api_key=gateway.api_key, base_url=gateway.base_url, hooks=[failing, told.append]
    ) as gate:
        await gate.chat(MODEL, "嗨")
    assert len(told) == 3
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 3
