"""How a network can fail: what was sent, what came, and whether trying again is any use."""

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http_exceptions import (
    BadStatusLine,
    ContentEncodingError,
    ContentLengthError,
    TransferEncodingError,
)

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
from aiotokengate._http.failures import broken, failed, packed, refused_by_proxy
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


def caused(error: Exception, cause: BaseException | None) -> Exception:
    """Return an error with its cause."""
    error.__cause__ = cause
    return error


def refused_tls(reason: str | None) -> ssl.SSLError:
    """Return the error of a handshake, as OpenSSL words it."""
    found = ssl.SSLError(1, f"[SSL: {reason}] said")
    found.reason = reason  # type: ignore[assignment]
    return found


UNTRUSTED = ssl.SSLCertVerificationError(1, "[SSL] certificate verify failed")
UNTRUSTED.verify_message = "self-signed certificate"
RESPONSE: Any = (SimpleNamespace(real_url="http://a"), ())
LONG = "é" * 201

BEFORE = [
    (REFUSED, "could not connect to gateway.test:443: [Errno 111] Connection refused", True),
    (
        aiohttp.ClientProxyConnectionError(PLACE, ConnectionRefusedError(111, "refused")),
        "could not connect to the proxy gateway.test:443: [Errno 111] refused",
        True,
    ),
    (
        aiohttp.ClientConnectorCertificateError(PLACE, UNTRUSTED),
        "the certificate of gateway.test:443 is not trusted: self-signed certificate",
        False,
    ),
    (
        aiohttp.ClientConnectorCertificateError(PLACE, ValueError("another name")),
        "the certificate of gateway.test:443 is not trusted: another name",
        False,
    ),
    (
        aiohttp.ServerDisconnectedError(),
        "the connection failed: it was closed before the request was sent",
        True,
    ),
    (ConnectionResetError(104, "reset"), "the connection failed: [Errno 104] reset", True),
    (TimeoutError(110, "late"), "the connection failed: [Errno 110] late", True),
    (OSError(), "the connection failed: OSError", True),
    (OSError(f"\n  \n {LONG}\nmore"), f"the connection failed: {LONG[:200]}…", True),
    (OSError(LONG[:200]), f"the connection failed: {LONG[:200]}", True),
    (OSError("so it is: \n"), "the connection failed: so it is", True),
]


@pytest.mark.parametrize(("error", "message", "again"), BEFORE, ids=range(len(BEFORE)))
def test_what_is_said_where_nothing_was_sent(error: Exception, message: str, again: bool) -> None:
    """It is the cause, without frames, which may hold a key."""
    told = failed(error, Progress(), 3.0)
    assert type(told) is ConnectFailed
    assert (told.message, told.retryable, told.status) == (message, again, None)
    assert told.__cause__ is (None if type(error) is aiohttp.ServerDisconnectedError else error)
    hint = "hint: check the network" if again else "hint: for a private certificate"
    assert (told.hint or "").startswith(hint)


@pytest.mark.parametrize("limit", [3.0, None])
def test_a_connection_that_takes_too_long(limit: float | None) -> None:
    told = failed(TimeoutError(), Progress(), limit)
    expected = TimedOut("connect", limit or 0.0)
    assert (type(told), str(told)) == (TimedOut, str(expected))


@pytest.mark.parametrize(
    "error",
    [aiohttp.ClientResponseError(*RESPONSE, message="odd:"), BadStatusLine("", "odd:")],
    ids=["response", "status line"],
)
def test_a_proxy_that_speaks_no_http(error: Exception) -> None:
    told = failed(error, Progress(), None)
    assert (type(told), str(told)) == (WireError, "the proxy's answer was not HTTP: odd")
    assert told.__cause__ is None  # it would quote what came


def test_a_proxy_that_lets_nothing_through() -> None:
    """Why, if it says so, and whether that may pass."""
    error = aiohttp.ClientHttpProxyError(*RESPONSE, status=502, message="Bad Gateway")
    told = failed(error, Progress(), None)
    assert isinstance(told, ConnectFailed)
    why = "the proxy did not let the request through: Bad Gateway"
    assert (told.message, told.status, told.retryable) == (why, 502, True)
    assert (told.hint or "").startswith("hint: ask the operator of the proxy")
    silent = refused_by_proxy(407, " ")
    assert silent.message == "the proxy did not let the request through: no reason given"
    assert (silent.hint or "").startswith("hint: the proxy wants a user and password")
    passing = {code for code in range(400, 600) if refused_by_proxy(code, "x").retryable}
    assert passing == {408, 429, 500, 502, 503, 504}


def test_an_address_that_is_none_is_named() -> None:
    told = failed(aiohttp.InvalidURL("http:/x"), Progress(), None)
    assert str(told) == "expected base_url to be an http or https address: http:/x"


HANDSHAKES = [
    *(("WRONG_VERSION_NUMBER", "hint: the port"), ("HTTP_REQUEST", "hint: the port")),
    *(("UNSUPPORTED_PROTOCOL", "hint: the port"), ("TLSV1_PROTOCOL_VERSION", "hint: the port")),
    ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "hint: give the certificate"),
    ("SSLV3_ALERT_BAD_CERTIFICATE", "hint: give the certificate"),
    *(("UNEXPECTED_EOF_WHILE_READING", ""), ("SSLV3_ALERT_HANDSHAKE_FAILURE", "")),
    *(("CERTIFICATE_VERIFY_FAILED", ""), (None, "")),
]


@pytest.mark.parametrize(("reason", "hint"), HANDSHAKES)
def test_a_handshake_that_fails(reason: str | None, hint: str) -> None:
    """What speaks no TLS will not the next time; what broke may be whole then."""
    error = aiohttp.ClientConnectorSSLError(PLACE, refused_tls(reason))
    told = failed(error, Progress(), 3.0)
    assert type(told) is ConnectFailed
    assert told.message == f"no TLS with gateway.test:443: [SSL: {reason}] said"
    assert told.retryable is not bool(hint)
    assert (told.hint or "").startswith(hint or "hint: check the network")


def sent(*, kept: bool = False, begun: bool = False) -> Progress:
    """Return how far a request came of which a byte may have left."""
    progress = Progress()
    progress.sent, progress.kept, progress.begun = True, kept, begun
    return progress


HALF: Any = SimpleNamespace(code=200)
UPLOAD = "Failed to send bytes into the underlying connection"
AFTER = [
    (
        aiohttp.ServerDisconnectedError(),
        Unanswered("the server closed the connection before it answered"),
    ),
    (
        ConnectionResetError(104, "reset"),
        Unanswered("the connection broke before an answer came: [Errno 104] reset"),
    ),
    (BadStatusLine("", "odd:"), WireError("the answer was not HTTP: odd")),
    (
        aiohttp.ClientResponseError(*RESPONSE),
        WireError("the answer was not HTTP: ClientResponseError"),
    ),
    (
        caused(aiohttp.ClientPayloadError("400, message:\n x"), ContentEncodingError("br")),
        WireError("the body of the answer can't be decoded: x"),
    ),
    (
        aiohttp.ClientError("no content-encoding: br"),
        WireError("the body of the answer can't be decoded: no content-encoding: br"),
    ),
    (
        caused(aiohttp.ClientOSError(1, "x"), refused_tls("TLSV13_ALERT_CERTIFICATE_REQUIRED")),
        ConnectFailed("the gateway refused the connection: [Errno 1] x"),
    ),
    (
        caused(aiohttp.ClientOSError(1, "x"), refused_tls("DECRYPTION_FAILED")),
        Unanswered("the connection broke before an answer came: [Errno 1] x"),
    ),
    (
        caused(aiohttp.ClientConnectionError(UPLOAD), KeyError(1)),
        CallerError("what was to be uploaded could not be read: KeyError"),
    ),
    (
        caused(aiohttp.ClientConnectionError("x"), KeyError(1)),
        Unanswered("the connection broke before an answer came: x"),
    ),
    (
        aiohttp.ClientConnectionError(UPLOAD),
        Unanswered(f"the connection broke before an answer came: {UPLOAD}"),
    ),
]


@pytest.mark.parametrize(("error", "told"), AFTER, ids=range(len(AFTER)))
def test_what_is_said_where_a_byte_may_have_left(error: Exception, told: TokenGateError) -> None:
    found = failed(error, sent(), 3.0)
    assert (type(found), found.message) == (type(told), told.message)
    is_barred = isinstance(told, ConnectFailed)
    assert found.retryable is (told.retryable and not is_barred)
    assert is_barred is (found.hint or "").startswith("hint: give the certificate")


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize(
    ("error", "has_head"),
    [
        (aiohttp.ServerDisconnectedError(), False),
        (aiohttp.ServerDisconnectedError(HALF), True),
        (ConnectionResetError(104, "reset"), False),
    ],
)
def test_what_a_fresh_connection_may_replace(
    error: Exception, *, has_head: bool, kept: bool, begun: bool
) -> None:
    """A kept one on which no byte of an answer came."""
    told = failed(error, sent(kept=kept, begun=begun), 3.0)
    assert isinstance(told, Unanswered)
    assert told.reconnectable is (kept and not begun and not has_head)


SHORT = "Not enough data to satisfy transfer length header."
BROKEN = [
    (
        caused(
            aiohttp.ClientPayloadError(f"400, message:\n  {SHORT}"), TransferEncodingError(SHORT)
        ),
        TransportError(f"the connection broke: {SHORT}"),
    ),
    (
        caused(aiohttp.ClientPayloadError("cut"), ContentLengthError("less")),
        TransportError("the connection broke: cut"),
    ),
    (
        caused(aiohttp.ClientPayloadError("cut"), TransferEncodingError("bad chunk")),
        WireError("the answer was not HTTP: cut"),
    ),
    (TransferEncodingError("bad chunk"), WireError("the answer was not HTTP: bad chunk")),
    (ContentEncodingError("br"), WireError("the body of the answer can't be decoded: br")),
    (
        caused(aiohttp.ClientPayloadError("x"), ContentEncodingError("br")),
        WireError("the body of the answer can't be decoded: x"),
    ),
    (
        ConnectionResetError(104, "reset"),
        TransportError("the connection broke: [Errno 104] reset"),
    ),
]


@pytest.mark.parametrize(("error", "told"), BROKEN, ids=range(len(BROKEN)))
def test_which_error_a_broken_body_is(error: Exception, told: TokenGateError) -> None:
    """One that is cut may be had again; one that can't be decoded would be the same."""
    found = broken(error)
    assert (type(found), str(found)) == (type(told), str(told))
    assert found.__cause__ is (error if isinstance(error, OSError) else None)


def test_a_packed_body_is_told() -> None:
    told = packed(f"x-{LONG}")
    assert (
        str(told) == f"the body of the answer can't be decoded: it is packed as 'x-{LONG[:198]}…'"
    )


def test_the_cause_of_an_error_has_no_frames_and_quotes_nothing() -> None:
    """Nor has what led to it; what may quote a key is left out, with all before it."""

    def raised(error: Exception, before: Exception | None, *, known: bool) -> Exception:
        try:
            try:
                if before is not None:
                    raise before  # noqa: TRY301 - to be known from its own frame
            except Exception as first:
                if known:
                    raise error from first
                raise error  # noqa: B904 - so that it has a context alone
            raise error  # noqa: TRY301 - the same
        except Exception as found:  # noqa: BLE001 - whatever it is
            return found

    for known in (True, False):
        first = KeyError(1)
        error = raised(OSError("two"), raised(first, None, known=True), known=known)
        told = failed(error, Progress(), None)
        assert told.__cause__ is error
        assert (error.__cause__, error.__context__) == (first, first)
        assert (error.__traceback__, first.__traceback__) == (None, None)
        quoting = aiohttp.ClientPayloadError("sk-geheim")
        error = raised(OSError("two"), raised(quoting, None, known=True), known=known)
        told = broken(error)
        assert told.__cause__ is error
        assert (error.__cause__, error.__context__) == (None, None)
    ours = raised(WireError("known"), None, known=True)
    assert failed(ours, Progress(), 3.0) is ours
    assert ours.__traceback__ is None


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
        await receiver.prime()
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
