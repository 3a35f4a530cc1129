"""Bad input, from the caller and from the wire: the right error, at once, nothing left behind."""

import asyncio
import logging
import math
from typing import Any

import pytest

from aiotokengate import (
    AnswerDelta,
    AuthenticationFailed,
    CallerError,
    ConnectFailed,
    ModelNotFound,
    RateLimited,
    Retry,
    ServerFailed,
    StreamInterrupted,
    TokenGate,
    TokenGateError,
    TransportError,
    WireError,
)
from aiotokengate.testing import FakeGateway, Raw, ScriptedReply

MODEL = "qwen3.6-max-preview"
ONCE = Retry(attempts=1)
PROMPT = "这是一个秘密的提示 secret prompt"
CHUNK = 'data: {"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"


def chunk(text: str) -> bytes:
    return (CHUNK % text).encode()


# --- the caller ---------------------------------------------------------------------------------


class Thing:
    """Something that JSON does not know."""


USER = {"role": "user", "content": "嗨"}

WRONG_ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "no messages": (dict(messages=[]), "expected at least one message, got none"),
    "empty prompt": (dict(messages=""), "expected at least one message, got none"),
    "bytes": (dict(messages=b"hi"), "expected messages as str or a list of messages, got bytes"),
    "a dict": (dict(messages=USER), "expected messages as str or a list of messages, got dict"),
    "no role": (dict(messages=[{"content": "x"}]), r"messages\[0\] to have a 'role'"),
    "a string inside": (dict(messages=[USER, "x"]), r"messages\[1\] as dict or Message, got str"),
    "no model": (dict(model=""), "expected the name of a model, got str ''"),
    "not a model": (dict(model=3), "expected the name of a model, got int 3"),
    "an object": (
        dict(messages=[{"role": "user", "content": Thing()}]),
        r"messages\[0\].content is of type Thing, expected what JSON can hold",
    ),
    "a set": (
        dict(messages=[{"role": "user", "content": [{"type": "text", "text": {1}}]}]),
        r"messages\[0\].content\[0\].text is of type set",
    ),
    "a number as key": (
        dict(extra_body={"logit_bias": {1: 2}}),
        "logit_bias.1 has a key of type int, expected str",
    ),
    "NaN": (dict(temperature=math.nan), "temperature is nan, expected a finite number"),
    "infinity": (dict(extra_body={"a": [1.0, -math.inf]}), r"a\[1\] is -inf"),
    "a lone surrogate": (
        dict(messages=[{"role": "user", "content": "好\ud83d"}]),
        r"messages\[0\].content holds a lone surrogate at character 1",
    ),
    "an endless number": (dict(seed=2**70), "seed is an integer beyond 64 bits"),
    "an unknown keyword": (
        dict(temprature=1),
        "unknown parameter 'temprature', did you mean 'temperature'",
    ),
    "a strange keyword": (dict(xyzzy=1), r"unknown parameter 'xyzzy' \(pass it in extra_body"),
    "n of nothing": (dict(n=0), "expected n of 1 or more, got 0"),
    "a deadline in the past": (dict(deadline=-1), "expected deadline in seconds above 0, got -1"),
    "tools that are no functions": (dict(tools=[7]), "as a function or a dict, got int"),
    "headers with line ends": (
        dict(extra_headers={"A": "b\r\nC: d"}),
        "without control characters, got one in 'A'",
    ),
    "headers with control characters": (
        dict(extra_headers={"A": "b\x0b"}),
        "without control characters, got one in 'A'",
    ),
    "headers that cannot be sent": (
        dict(extra_headers={"A": "\ud83d"}),
        "without control characters, got one in 'A'",
    ),
    "headers of numbers": (dict(extra_headers={"A": 1}), "expected extra_headers of str to str"),
    **{
        option: ({option: "x"}, f"the option '{option}' is not built yet")
        for option in ("fallback", "resume")
    },
    "an unknown priority": (
        dict(priority="urgent"),
        "expected priority 'interactive' or 'bulk', got 'urgent'",
    ),
    "a fair key that is none": (dict(fair_key=7), "expected fair_key as str, got int"),
    "seconds as a time-out": (dict(timeout=5), r"expected timeout=Timeout\(total=...\), got int"),
    "no time at all": (dict(timeout=0), r"expected timeout=Timeout\(total=...\), got int"),
    "a number of attempts": (dict(retry=3), r"expected retry=Retry\(attempts=...\), got int"),
    "an extra body that is a text": (
        dict(extra_body="x"),
        "expected extra_body as a dict, got str",
    ),
    "headers in a list": (dict(extra_headers=["A"]), "expected extra_headers as a dict, got list"),
}


@pytest.mark.parametrize("name", WRONG_ARGUMENTS)
async def test_a_wrong_argument_is_named(gateway: FakeGateway, gate: TokenGate, name: str) -> None:
    """What is wrong with a call is said by the call, and nothing is sent."""
    wrong, message = WRONG_ARGUMENTS[name]
    arguments: dict[str, Any] = {"model": MODEL, "messages": PROMPT, **wrong}
    with pytest.raises(CallerError, match=message) as raised:
        gate.chat(**arguments)
    assert PROMPT not in str(raised.value)
    assert gateway.requests == []


async def test_a_message_that_contains_itself(gate: TokenGate) -> None:
    """Endless nesting is found, not followed."""
    content: list[Any] = []
    content.append(content)
    with pytest.raises(CallerError, match="nested too deeply, or contains itself"):
        gate.chat(MODEL, [{"role": "user", "content": content}])


async def test_null_in_a_message_is_no_flaw(gateway: FakeGateway, gate: TokenGate) -> None:
    """A None where JSON has null is sent as it is, and a word is only a word."""
    messages: list[dict[str, Any]] = [
        {"role": "assistant", "content": None},
        {"role": "user", "content": "null"},
    ]
    await gate.chat(MODEL, messages, temperature=0.5)
    assert gateway.requests[0].json["messages"] == messages


# --- a status -----------------------------------------------------------------------------------


async def test_a_wrong_key(gateway: FakeGateway) -> None:
    """A wrong key is refused once, with a hint in two languages, and is never shown."""
    key = "sk-this-is-a-wrong-key"
    async with TokenGate(api_key=key, base_url=gateway.base_url) as gate:
        with pytest.raises(AuthenticationFailed, match="TOKENGATE_API_KEY") as raised:
            await gate.chat(MODEL, PROMPT)
        assert key not in repr(gate)
    text = f"{raised.value} {raised.value!r} {raised.value.body}"
    assert "请检查环境变量" in text
    assert key not in text
    assert raised.value.status == 401
    assert raised.value.request_id == gateway.requests[0].request_id
    assert len(gateway.requests) == 1


async def test_an_unknown_model_is_not_tried_again(gateway: FakeGateway, gate: TokenGate) -> None:
    """A misspelt model comes as a 503 of new-api's, and stays wrong."""
    with pytest.raises(ModelNotFound) as raised:
        await gate.chat("qwen-misspelt", PROMPT)
    assert (raised.value.status, raised.value.code) == (503, "model_not_found")
    assert len(gateway.requests) == 1


async def test_an_empty_429(gateway: FakeGateway, gate: TokenGate) -> None:
    """The gateway's own limiter answers without a body; the error still says what happened."""
    gateway.script(Raw(status=429, headers={}))
    with pytest.raises(RateLimited, match="answered 429 without a message"):
        await gate.chat(MODEL, PROMPT, retry=ONCE)


async def test_html_from_a_proxy(gateway: FakeGateway, gate: TokenGate) -> None:
    """A proxy's page becomes one readable line, with and without its status."""
    page = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
    html = {"Content-Type": "text/html"}
    gateway.script(Raw(status=502, headers=html, body=page), Raw(headers=html, body=page))
    with pytest.raises(ServerFailed, match=r"^502 Bad Gateway \(status 502"):
        await gate.chat(MODEL, PROMPT, retry=ONCE)
    with pytest.raises(WireError, match="got an HTML page: 502 Bad Gateway"):
        await gate.chat(MODEL, PROMPT, retry=ONCE)


async def test_an_echoed_prompt_is_blanked(
    gateway: FakeGateway, gate: TokenGate, caplog: pytest.LogCaptureFixture
) -> None:
    """A gateway that quotes the prompt and the key in its error does not leak them through us."""
    caplog.set_level(logging.DEBUG)
    echo = f'{{"error":{{"message":"bad input: {PROMPT} by {gateway.api_key}","code":"x"}}}}'
    gateway.script(
        Raw(status=400, body=echo.encode()), Raw(body=chunk("a") + f"data: {echo}\n\n".encode())
    )
    for kind in (TokenGateError, StreamInterrupted):
        with pytest.raises(kind) as raised:
            await gate.chat(MODEL, PROMPT)
        errors = [raised.value, raised.value.__cause__]
        text = " ".join(
            f"{e} {e!r} {getattr(e, 'body', '')} {e.args if e else ''}" for e in errors
        )
        assert "bad input" in text
        assert PROMPT not in text + caplog.text
        assert gateway.api_key not in text + caplog.text


async def test_a_redirect_is_not_followed(gateway: FakeGateway, gate: TokenGate) -> None:
    """The key never travels to where a redirect points."""
    gateway.script(Raw(status=307, headers={"Location": "http://127.0.0.1:9/v1/chat/completions"}))
    with pytest.raises(TokenGateError, match="redirect not followed"):
        await gate.chat(MODEL, PROMPT)
    assert len(gateway.requests) == 1


# --- the body -----------------------------------------------------------------------------------

CUT_BODIES = {
    "half a character": (chunk("好") + chunk("啊")[: CHUNK.index("%s") + 1], "好"),
    "JSON cut in the middle": (chunk("好") + b'data: {"choices":[{"index":0,"de', "好"),
    "no finish": (chunk("好") + DONE, "好"),
    "only a finish of another": (
        chunk("好")
        + b'data: {"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}\n\n'
        + DONE,
        "好",
    ),
}


@pytest.mark.parametrize("name", CUT_BODIES)
async def test_half_a_reply_is_never_a_whole_one(
    gateway: FakeGateway, gate: TokenGate, name: str
) -> None:
    """A body that ends early is an interruption with what came."""
    body, partial = CUT_BODIES[name]
    gateway.script(Raw(body=body))
    with pytest.raises(StreamInterrupted) as raised:
        await gate.chat(MODEL, PROMPT)
    assert raised.value.partial.answer == partial
    assert raised.value.partial.status == "interrupted"
    assert len(gateway.requests) == 1


NO_REPLIES = {
    "plain text": b"upstream connect error",
    "half a JSON body": b'{"choices":[{"index":0,"message":{"conte',
    "a JSON list": b"[1]",
    "another JSON object": b'{"hello":"world"}',
}


@pytest.mark.parametrize("name", NO_REPLIES)
@pytest.mark.parametrize("stream", [True, False])
async def test_what_is_no_reply(
    gateway: FakeGateway, gate: TokenGate, name: str, stream: bool
) -> None:
    """A 200 answer that is neither a stream nor a completion says what was expected."""
    gateway.script(Raw(body=NO_REPLIES[name]))
    with pytest.raises(WireError, match="expected a"):
        await gate.chat(MODEL, PROMPT, stream=stream)
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("body", [b"", b": PING\n\n", DONE, b"\n\n\n"], ids=str)
async def test_a_stream_without_events_is_tried_again(
    gateway: FakeGateway, gate: TokenGate, body: bytes
) -> None:
    """Nothing came, so nothing was shown: the call is made again."""
    gateway.script(Raw(body=body), ScriptedReply(answer="好"))
    reply = await gate.chat(MODEL, PROMPT)
    assert reply.answer == "好"
    assert [attempt.error for attempt in reply.attempts] == ["StreamInterrupted", None]


async def test_nan_and_surrogates_in_a_reply(gateway: FakeGateway, gate: TokenGate) -> None:
    """NaN is read, halves of a pair that two deltas share are joined, a lone one is replaced."""
    body = [
        b'data: {"score":NaN,"choices":[{"index":0,"delta":{"content":"a\\ud83d"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"\\ude00b"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"c\\ud83d"}}]}\n\n',
        FINISH + USAGE + DONE,
    ]
    gateway.script(Raw(body=body))
    reply = await gate.chat(MODEL, PROMPT)
    assert reply.answer == "a😀bc\ufffd"
    assert math.isnan(reply.extra["score"])
    await gate.chat(MODEL, [reply.message(), {"role": "user", "content": "再说"}])


async def test_an_event_over_the_limit(gateway: FakeGateway) -> None:
    """A reply beyond ``max_reply_bytes`` is a clear error, and the connection is dropped."""
    gateway.script(Raw(body=chunk("好" * 1000)), Raw(body=[chunk("好"), chunk("好" * 1000)]))
    async with TokenGate(
        api_key=gateway.api_key, base_url=gateway.base_url, max_reply_bytes=1000
    ) as gate:
        with pytest.raises(WireError, match="expected a reply of at most 1000 bytes"):
            await gate.chat(MODEL, PROMPT)
        with pytest.raises(StreamInterrupted, match="at most 1000 bytes") as raised:
            await gate.chat(MODEL, PROMPT)
    assert isinstance(raised.value.__cause__, WireError)
    await gateway.wait_connections(0)


async def test_malformed_frames_are_passed_over(gateway: FakeGateway, gate: TokenGate) -> None:
    """One frame that is not JSON costs itself only, and the reply says so."""
    gateway.script(
        Raw(body=chunk("好") + b"data: {oops\n\ndata: 3\n\n" + chunk("啊") + FINISH + DONE)
    )
    reply = await gate.chat(MODEL, PROMPT)
    assert reply.answer == "好啊"
    assert reply.notes == ("frames skipped: 2 not readable as JSON objects",)


async def test_a_reset_at_every_byte(gateway: FakeGateway, gate: TokenGate) -> None:
    """Wherever the connection is reset, what came is kept and half is never taken for whole."""
    body = chunk("好😀") + chunk("啊") + FINISH + USAGE + DONE
    finished = len(body) - len(USAGE) - len(DONE)
    for place in range(len(body)):
        gateway.script(Raw(body=body).cut(place, "reset"))
        reply = await result(gate)
        answer = reply.partial.answer if isinstance(reply, StreamInterrupted) else ""
        if isinstance(reply, TokenGateError):
            assert isinstance(reply, StreamInterrupted | TransportError)
            assert "好😀啊".startswith(answer)
            assert place < finished
        else:
            assert reply.answer == "好😀啊"
            assert place >= finished - 2
    await gateway.wait_connections(0)


async def result(gate: TokenGate) -> Any:
    try:
        return await gate.chat(MODEL, PROMPT, retry=ONCE)
    except TokenGateError as error:
        return error


async def test_a_reset_keeps_what_was_not_read_yet(gateway: FakeGateway, gate: TokenGate) -> None:
    """Bytes that had arrived before the reset are delivered before the error."""
    pieces = [chunk(text) for text in "一二三四五"]
    gateway.script(Raw(body=pieces, end="reset"))
    async with gate.chat(MODEL, PROMPT) as stream:
        deltas = aiter(stream)
        first = await anext(deltas)
        await gateway.requests[0].finished.wait()
        await gateway.wait_connections(0)
        with pytest.raises(StreamInterrupted) as raised:
            while True:
                await anext(deltas)
    assert first == AnswerDelta("一")
    assert raised.value.partial.answer == "一二三四五"
    assert isinstance(raised.value.__cause__, TransportError)


async def test_nobody_listens() -> None:
    """A refused connection is tried three times and then named, with the address."""
    async with TokenGate(api_key="sk-test-test", base_url="http://127.0.0.1:9/v1") as gate:
        with pytest.raises(ConnectFailed, match=r"could not connect to 127\.0\.0\.1:9") as raised:
            await gate.chat(MODEL, PROMPT, retry=Retry(attempts=2, max_wait=0))
    assert isinstance(raised.value, ConnectionError)
    assert [attempt.error for attempt in raised.value.attempts] == ["ConnectFailed"] * 2


async def test_what_answers_is_not_http(gateway: FakeGateway, gate: TokenGate) -> None:
    """A peer that speaks another protocol is told in one line that shows no header of ours."""
    gateway.script(Raw(status=None, body=b"SSH-2.0-OpenSSH_9.2\r\n\r\n", end="close"))
    with pytest.raises(WireError, match="the answer was not HTTP") as raised:
        await gate.chat(MODEL, PROMPT, retry=ONCE)
    assert gateway.api_key not in repr(raised.value.__cause__)
    assert gateway.api_key not in repr(raised.value.__context__)


@pytest.mark.unmeasured
async def test_ten_thousand_calls(gateway: FakeGateway, gate: TokenGate) -> None:
    """Ten thousand calls, some of them failing, leave one set of connections and no task."""
    done = 0
    waiting = iter(range(10_000))

    async def worker() -> None:
        nonlocal done
        for number in waiting:
            bad = number % 100 == 0
            gateway.script(
                Raw(status=400, body=b"{}") if bad else Raw(body=chunk("好") + FINISH + DONE)
            )
            await result(gate)
            done += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(worker())
    assert done == 10_000
    assert gateway.connections <= 50
