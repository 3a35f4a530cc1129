"""How a network can fail: what was sent, what came, and whether trying again is any use."""

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http_exceptions import BadStatusLine, ContentEncodingError, TransferEncodingError

from aiotokengate import (
    CallerError,
    ConnectFailed,
    Retry,
    StreamInterrupted,
    TimedOut,
    TokenGate,
    TokenGateError,
    TransportError,
    Unanswered,
    WireError,
)
from aiotokengate._http import direct, transport
from aiotokengate._http.connections import Progress
from aiotokengate._http.failures import broken, failed, refused_by_proxy
from aiotokengate._http.perimeter import InsideError
from aiotokengate.testing import FakeGateway, Raw, ScriptedReply
from aiotokengate.testing._scripted_body import ScriptedBody
from tests.support.common import receiver_over
from tests.support.raw_server import Wire, chat, plain, serving, tls, tunnelling

MODEL = "qwen3.6-max-preview"
THRICE = Retry(attempts=3, max_wait=1)
STREAM = (
    'data: {"choices":[{"index":0,"delta":{"content":"好😊"},"finish_reason":"stop"}]}\n\n'
    "data: [DONE]\n\n"
).encode()


@pytest.fixture(params=["ours", "aiohttp's"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Go both ways: an aiohttp that is not known must do as well."""
    if request.param != "ours":
        monkeypatch.setattr(transport, "is_known", lambda: False)
        monkeypatch.setattr(direct, "_BUFFER_KNOWN", False)
    return str(request.param)


# --- the decision -------------------------------------------------------------------------------

PLACE = ConnectionKey("gateway.test", 443, True, True, None, None, None)
REFUSED = aiohttp.ClientConnectorError(PLACE, ConnectionRefusedError(111, "Connection refused"))


@pytest.mark.parametrize(
    ("error", "sent", "kind"),
    [
        (REFUSED, False, ConnectFailed),
        (ConnectionResetError(104, "reset"), False, ConnectFailed),
        (aiohttp.ServerDisconnectedError(), False, ConnectFailed),
        (TimeoutError(), False, TimedOut),
        (TimeoutError(110, "Connection timed out"), False, ConnectFailed),
        (aiohttp.InvalidURL("http://"), False, CallerError),
        (BadStatusLine("SSH-2.0"), False, WireError),
        (aiohttp.ServerDisconnectedError(), True, Unanswered),
        (ConnectionResetError(104, "reset"), True, Unanswered),
        (TimeoutError(110, "Connection timed out"), True, Unanswered),
        (aiohttp.ClientConnectionError("gone"), True, Unanswered),
        (BadStatusLine("SSH-2.0"), True, WireError),
        (ContentEncodingError("no content-encoding: br"), True, WireError),
    ],
)
def test_which_error_it_is(error: Exception, kind: type[TokenGateError], *, sent: bool) -> None:
    """By whether a byte may have left; and in one line."""
    progress = Progress()
    progress.sent = sent
    told = failed(error, progress, 3.0)
    assert type(told) is kind
    assert len(told.message.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            aiohttp.ClientConnectorError(PLACE, InsideError("inside")),
            "expected a download from a public address, got http://10.0.0.7",
        ),
        (
            aiohttp.InvalidURL("http://10.0.0.7"),
            "expected an http or https address, got http://10",
        ),
    ],
)
def test_a_download_that_is_not_taken_is_a_mistake(error: Exception, message: str) -> None:
    """Of whoever named its address, which is shown without what may be its signature."""
    url = "http://10.0.0.7/cat.png?signature=secret"
    told = failed(error, Progress(), 3.0, foreign=url)
    assert isinstance(told, CallerError)
    assert str(told).startswith(message)
    assert "secret" not in str(told)


def test_a_download_that_fails_otherwise_is_a_failed_connection() -> None:
    """Wherever it was to come from."""
    told = failed(REFUSED, Progress(), 3.0, foreign="https://cdn.test/cat.png")
    assert isinstance(told, ConnectFailed)


def test_an_error_of_ours_stays() -> None:
    """It says what happened already."""
    error = WireError("known")
    assert failed(error, Progress(), 3.0) is error


@pytest.mark.parametrize(
    ("reason", "again"),
    [("WRONG_VERSION_NUMBER", False), ("UNEXPECTED_EOF_WHILE_READING", True)],
)
def test_a_handshake_that_fails(reason: str, *, again: bool) -> None:
    """What speaks no TLS will not the next time; what broke may be whole then."""
    found = ssl.SSLError(1, f"[SSL: {reason}]")
    found.reason = reason
    told = failed(aiohttp.ClientConnectorSSLError(PLACE, found), Progress(), 3.0)
    assert str(told).startswith("no TLS with gateway.test:443")
    assert told.retryable is again


def test_a_connection_that_asks_for_a_certificate_is_not_tried_again() -> None:
    """With TLS 1.3 that comes after the request, of which then nothing was read."""
    alert = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert")
    alert.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    error = aiohttp.ClientOSError(1, "x")
    error.__cause__ = alert
    progress = Progress()
    progress.sent = True
    told = failed(error, progress, None)
    assert isinstance(told, ConnectFailed)
    assert (told.retryable, "ssl=" in str(told)) == (False, True)


@pytest.mark.parametrize(
    ("status", "again"), [(407, False), (403, False), (502, True), (503, True)]
)
def test_which_refusals_of_a_proxy_pass(status: int, *, again: bool) -> None:
    told = refused_by_proxy(status, "x" * 1000 + "\nHeader: y")
    assert (told.status, told.retryable) == (status, again)
    assert told.hint
    assert len(told.message) < 300


def test_which_error_a_broken_body_is() -> None:
    """One that is cut may be had again; one that can't be decoded would be the same."""
    cut, garbled = (
        aiohttp.ClientPayloadError("cut"),
        aiohttp.ClientPayloadError("400, message:\n x"),
    )
    cut.__cause__ = TransferEncodingError("Not enough data to satisfy transfer length header.")
    garbled.__cause__ = ContentEncodingError("no gzip")
    assert type(broken(cut)) is TransportError
    assert type(broken(garbled)) is WireError
    assert type(broken(ConnectionResetError(104, "reset"))) is TransportError
    assert type(broken(TransferEncodingError("bad chunk"))) is WireError


# --- mistakes of ours ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mistake", [AttributeError("no such thing"), ValueError("x"), KeyError(1)]
)
async def test_a_mistake_of_ours_is_no_broken_network(
    gateway: FakeGateway, gate: TokenGate, mistake: Exception
) -> None:
    """It is raised as itself, in reading, in sending, and in a download."""
    receiver = receiver_over([b": hi\n\n", mistake])
    with pytest.raises(type(mistake)):
        await receiver.drain()
    receiver.stop()
    with pytest.raises(type(mistake)):
        ScriptedBody([]).explain(mistake)
    async with serving(chat("好")) as server:
        sender = transport.Transport(server.root, headers={}, proxy="", ssl=True)
        answer = await sender.send("GET", f"{server.root}/x")
        with pytest.raises(type(mistake)):
            answer.explain(mistake)
        answer.close()
        await sender.close()


async def test_a_mistake_while_a_request_is_made(
    gate: TokenGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise AttributeError

    monkeypatch.setattr(direct, "has_answered", fails)
    monkeypatch.setattr(direct, "_write", fails)
    with pytest.raises(AttributeError):
        await gate.chat(MODEL, "嗨", retry=THRICE)


async def test_an_upload_that_can_not_be_read_is_no_broken_network(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"RIFF"
        raise KeyError(1)

    with pytest.raises(CallerError, match="uploaded could not be read: KeyError"):
        await gate.audio.transcribe("whisper-1", source())


# --- answers in odd forms -----------------------------------------------------------------------

MANY = [f"X-H{number}: v" for number in range(998)]


NO_ANSWERS = {
    "a greeting": b"SSH-2.0-OpenSSH_9.2\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "a line too long": chat("好", "X-P: " + "a" * 200_000),
    "too many lines": chat("好", *MANY, *MANY),
    "a bad length": b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
    "a bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n",
    "no gzip": plain(STREAM, "Content-Encoding: gzip"),
    "no deflate": plain(b"\x00\xff" * 99, "Content-Encoding: deflate"),
    "an unknown coding": plain(b"\x00\xff" * 99, "Content-Encoding: geheim"),
}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS)
@pytest.mark.parametrize("stream", [True, False])
async def test_what_can_not_be_read_is_told_in_one_line_and_sent_once(
    answer: bytes, *, stream: bool
) -> None:
    async def once(wire: Wire) -> bytes:
        asyncio.get_running_loop().call_later(0.05, wire.close)
        return answer

    async with (
        serving(once) as server,
        TokenGate(base_url=f"{server.root}/v1", api_key="sk-x", proxy="", retry=THRICE) as gate,
    ):
        with pytest.raises(WireError) as raised:
            await gate.chat(MODEL, "嗨", stream=stream)
        assert len(raised.value.message.splitlines()) == 1
        assert len(raised.value.message) < 400
        assert len(server.heads) == 1


async def test_a_coding_that_breaks_in_the_middle_keeps_what_came(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    packer = zlib.compressobj(wbits=31)
    first = 'data: {"choices":[{"index":0,"delta":{"content":"好😊"}}]}\n\n'.encode()
    begun = packer.compress(first) + packer.flush(zlib.Z_SYNC_FLUSH)
    gateway.script(Raw(headers={"Content-Encoding": "gzip"}, body=[begun, b"\xff" * 99]))
    with pytest.raises(StreamInterrupted, match="can't be decoded") as raised:
        await gate.chat(MODEL, "嗨")
    assert raised.value.partial.answer == "好😊"
    gateway.script(Raw(headers={"Content-Encoding": "gzip"}, body=gzip.compress(STREAM)))
    assert (await gate.chat(MODEL, "嗨")).answer == "好😊"


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("coding", ["gzip, gzip", "x-gzip", "X-Compress", "identity, br"])
async def test_a_body_that_nobody_unpacks_is_not_handed_over(coding: str) -> None:
    """A transcript of packed bytes, or a file of them, would pass for what was asked for."""
    packed = plain(gzip.compress("嗨".encode()), f"Content-Encoding: {coding}")
    async with (
        serving(packed) as server,
        TokenGate(base_url=f"{server.root}/v1", api_key="sk-x", proxy="", retry=THRICE) as gate,
    ):
        for call in (
            gate.chat(MODEL, "嗨"),
            gate.audio.transcribe("whisper-1", b"RIFF"),
            gate.request("GET", "/file"),
        ):
            with pytest.raises(WireError, match="can't be decoded: it is packed as") as raised:
                await call
            assert len(raised.value.attempts) == 1


# --- proxies and certificates -------------------------------------------------------------------


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("status", "tries", "hint"), [(407, 1, "password"), (403, 1, "NO_PROXY"), (502, 2, "operator")]
)
async def test_a_proxy_that_refuses_is_told_apart(status: int, tries: int, hint: str) -> None:
    """It has a status and a hint, and is not the gateway's answer."""
    refusal = plain(b"<h1>no</h1>", status=f"{status} Not For You")
    async with serving(chat("好")) as server, tunnelling(server, refusal) as proxy:
        async with TokenGate(
            base_url="https://gateway.test/v1",
            api_key="sk-x",
            proxy=proxy.root,
            retry=Retry(attempts=2, max_wait=1),
        ) as gate:
            with pytest.raises(ConnectFailed, match="the proxy did not let") as raised:
                await gate.chat(MODEL, "嗨")
        assert (raised.value.status, len(proxy.heads)) == (status, tries)
        assert hint in (raised.value.hint or "")
        assert not server.heads


@pytest.mark.usefixtures("way")
async def test_a_proxy_that_speaks_no_http_is_told_once() -> None:
    async with serving(chat("好")) as server, tunnelling(server, b"SSH-2.0-x\r\n") as proxy:
        async with TokenGate(
            base_url="https://gateway.test/v1", api_key="sk-x", proxy=proxy.root, retry=THRICE
        ) as gate:
            with pytest.raises(WireError, match="the proxy's answer was not HTTP"):
                await gate.chat(MODEL, "嗨")
        assert len(proxy.heads) == 1


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("names", [("127.0.0.1",), ("other.test",)], ids=["authority", "name"])
async def test_a_certificate_that_fails_is_not_tried_again(names: tuple[str, ...]) -> None:
    """Whether the authority is unknown or the name is another; the hint says where to begin."""
    secure, trusting = tls(*names)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with serving(chat("好"), tls=secure) as server:
        async with TokenGate(
            base_url=f"{server.root}/v1",
            api_key="sk-x",
            proxy="",
            retry=THRICE,
            ssl=True if names == ("127.0.0.1",) else trusting,
        ) as gate:
            with pytest.raises(ConnectFailed, match=r"certificate of 127\.0\.0\.1") as raised:
                await gate.chat(MODEL, "嗨")
        assert len(raised.value.attempts) == 1
        assert "ssl=" in (raised.value.hint or "")
        assert not server.heads


async def test_no_connection_is_tried_again(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(Raw(status=None, end="reset"), ScriptedReply(answer="好"))
    reply = await gate.chat(MODEL, "嗨", retry=THRICE)
    assert [attempt.error for attempt in reply.attempts] == ["Unanswered", None]
