"""What aiohttp does by default would break streams; each default that was turned is tested."""

import asyncio
import gzip
import os
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trustme

from aiotokengate import (
    BadRequest,
    ConnectFailed,
    Retry,
    TimedOut,
    Timeout,
    TokenGate,
    TokenGateError,
    TransportError,
    Unanswered,
)
from aiotokengate._calls.routes import Endpoint
from aiotokengate.testing import FakeGateway, Gate, Raw, ScriptedReply
from tests.support.common import sockets

MODEL = "qwen3.6-max-preview"
STREAM = (
    'data: {"choices":[{"index":0,"delta":{"content":"好"},"finish_reason":"stop"}]}\n\n'
    "data: [DONE]\n\n"
).encode()
RESET = Raw(status=None, end="reset")
JSON = {"Content-Type": "application/json"}


async def test_no_limit_on_connections(gateway: FakeGateway, gate: TokenGate) -> None:
    """More streams than aiohttp's 100 are open at the same time."""
    turn = Gate()
    gateway.script(*[ScriptedReply(answer=["一", turn]) for _ in range(130)])
    async with asyncio.TaskGroup() as group:
        for _ in range(130):
            group.create_task(gate.chat(MODEL, "嗨"))
        await gateway.wait_connections(130)
        turn.open()


async def test_no_total_timeout(
    gateway: FakeGateway, gate: TokenGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left alone, aiohttp would end every reply after five minutes; here, hours do no harm."""
    turn = Gate()
    gateway.script(ScriptedReply(answer=["一", turn, "二"]))
    async with gate.chat(MODEL, "嗨") as stream:
        loop = asyncio.get_running_loop()
        reader = asyncio.ensure_future(stream.answer.text())
        await turn.reached()
        with monkeypatch.context() as later:
            later.setattr(loop, "time", lambda: time.monotonic() + 100_000)
            for _ in range(10):
                await asyncio.sleep(0)
        turn.open()
        assert await reader == "一二"


async def test_no_cookies(gateway: FakeGateway, gate: TokenGate) -> None:
    """A cookie that a balancer sets is not sent back: sessions of other users hang on it."""
    gateway.script(Raw(headers={"Set-Cookie": "a=b; Path=/"}, body=STREAM))
    await gate.chat(MODEL, "嗨")
    await gate.chat(MODEL, "嗨")
    assert "Cookie" not in gateway.requests[1].headers


async def test_no_compression_is_asked_for(gateway: FakeGateway, gate: TokenGate) -> None:
    """A proxy that compresses holds tokens back; one that does it anyway is still read."""
    headers = {"Content-Encoding": "gzip"}
    gateway.script(Raw(headers=headers, body=gzip.compress(STREAM)))
    assert (await gate.chat(MODEL, "嗨")).answer == "好"
    assert gateway.requests[0].headers["Accept-Encoding"] == "identity"


async def test_netrc_is_never_read(
    gateway: FakeGateway, gate: TokenGate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry in netrc would replace the key."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    await gate.chat(MODEL, "嗨")
    assert gateway.requests[0].headers["Authorization"] == f"Bearer {gateway.api_key}"


async def test_proxies_of_the_environment(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's proxy is asked for a host that only it reaches, unless excepted."""
    root = gateway.base_url.removesuffix("/v1")
    address = "http://gateway.invalid/v1"
    for name in ("http_proxy", "no_proxy", "HTTP_PROXY", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", root)
    async with TokenGate(api_key=gateway.api_key, base_url=address) as gate:
        assert (await gate.chat(MODEL, "嗨")).status == "complete"
    assert gateway.requests[0].headers["Host"] == "gateway.invalid"
    once = Retry(attempts=1)
    async with TokenGate(api_key="sk-test", base_url=address, proxy="") as gate:
        with pytest.raises(ConnectFailed):
            await gate.chat(MODEL, "嗨", retry=once)
    monkeypatch.setenv("no_proxy", "gateway.invalid")
    async with TokenGate(api_key="sk-test", base_url=address) as gate:
        with pytest.raises(ConnectFailed):
            await gate.chat(MODEL, "嗨", retry=once)
    async with TokenGate(api_key=gateway.api_key, base_url=address, proxy=root) as gate:
        assert (await gate.chat(MODEL, "嗨")).status == "complete"


async def test_a_kept_connection_that_died(gateway: FakeGateway, gate: TokenGate) -> None:
    """A fresh socket takes its place, within the one attempt that there is, and is visible."""
    gateway.script(ScriptedReply(answer="一"), RESET, ScriptedReply(answer="二"))
    await gate.chat(MODEL, "嗨")
    reply = await gate.chat(MODEL, "嗨", retry=Retry(attempts=1))
    assert reply.answer == "二"
    assert [(attempt.error, attempt.reconnected) for attempt in reply.attempts] == [(None, True)]
    assert [request.connection for request in gateway.requests] == [1, 1, 2]


async def test_nothing_is_sent_again_silently(gateway: FakeGateway, gate: TokenGate) -> None:
    """Left alone, aiohttp repeats a GET by itself; here each sending is an attempt."""
    await gate.models()
    gateway.script(RESET, RESET, RESET, path="/v1/models")
    with pytest.raises(Unanswered) as raised:
        async with TokenGate(
            api_key=gateway.api_key, base_url=gateway.base_url, retry=Retry(attempts=2, max_wait=0)
        ) as other:
            await other.models()
    assert len(raised.value.attempts) == 2
    assert len(gateway.requests) == 3


async def test_tcp_keep_alive_is_on(gateway: FakeGateway, gate: TokenGate) -> None:
    """The kernel probes a silent connection, so that middle boxes do not forget it."""
    await gate.chat(MODEL, "嗨")
    port = gateway.requests[0].peername[1]
    mine = next(s for s in sockets() if s.getsockname()[1:2] == (port,))
    assert mine.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert mine.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
    assert mine.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


async def test_a_custom_tls_context() -> None:
    """A private certificate authority is accepted through ``ssl=``, and refused without it."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with FakeGateway(ssl=server) as gateway:
        key, address = gateway.api_key, gateway.base_url
        async with TokenGate(api_key=key, base_url=address, ssl=client) as gate:
            assert (await gate.chat(MODEL, "嗨")).status == "complete"
        async with TokenGate(api_key=key, base_url=address) as gate:
            with pytest.raises(ConnectFailed, match="certificate"):
                await gate.chat(MODEL, "嗨", retry=Retry(attempts=1))


async def test_certificates_that_are_set_late(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a program sets after its imports counts, and is read once for a whole session."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    made = []
    real = ssl.create_default_context

    def create() -> ssl.SSLContext:
        made.append(real())
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", create)
    async with FakeGateway(ssl=server) as gateway:
        key, address = gateway.api_key, gateway.base_url
        endpoints = [Endpoint(api_key=key), Endpoint(api_key=key)]
        async with TokenGate(endpoints=endpoints, base_url=address) as gate:
            assert not made
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
            for _ in range(3):
                assert (await gate.chat(MODEL, "嗨")).status == "complete"
        assert len(made) == 1
        async with TokenGate(api_key=key, base_url=address, ssl=False) as gate:
            assert (await gate.chat(MODEL, "嗨")).status == "complete"
        assert len(made) == 1


async def test_plain_http_reads_no_certificates(
    gateway: FakeGateway, gate: TokenGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That takes a while."""
    monkeypatch.delattr(ssl, "create_default_context")
    assert (await gate.chat(MODEL, "嗨")).status == "complete"


async def test_a_connection_that_does_not_come() -> None:
    """Connecting has a clock of its own, and the error is also a builtin one."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as server:
        # A full backlog: the kernel drops further attempts to connect without a word.
        full = [socket.socket() for _ in range(4)]
        for client in full:
            client.settimeout(0)
            client.connect_ex(server.getsockname())
        address = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        timeout = Timeout(connect=0.05)
        async with TokenGate(api_key="sk-test", base_url=address, timeout=timeout) as gate:
            with pytest.raises(TimedOut, match=r"no connection within 0\.05 s") as raised:
                await gate.chat(MODEL, "嗨", retry=Retry(attempts=1))
        for client in full:
            client.close()
    assert raised.value.phase == "connect"
    assert isinstance(raised.value, TimeoutError)


FORKED = """
import asyncio, gc, os, sys
from aiotokengate import TokenGate
gate = TokenGate()
async def ask():
    return (await gate.chat("qwen3.6-max-preview", "你好")).status
async def main():
    first = await ask()
    child = os.fork()
    if child == 0:
        asyncio.events._set_running_loop(None)
        asyncio.set_event_loop(None)
        status = asyncio.run(ask())
        # Whatever the parent has open is collected here, too, and stays open there.
        globals().pop("gate")
        gc.collect()
        os._exit(0 if status == "complete" else 1)
    _, code = os.waitpid(child, 0)
    assert code == 0, code
    assert (first, await ask()) == ("complete", "complete")
asyncio.run(main())
"""


def test_a_forked_child_uses_its_own_connection(fake_gateway: FakeGateway) -> None:
    """A child never writes into its parent's socket, and the parent's goes on working."""
    process = subprocess.run(
        [sys.executable, "-c", FORKED],
        env={
            **os.environ,
            "TOKENGATE_API_KEY": fake_gateway.api_key,
            "TOKENGATE_BASE_URL": fake_gateway.base_url,
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    connections = [request.connection for request in fake_gateway.requests]
    assert connections[0] == connections[2] != connections[1]


async def test_an_error_gives_its_connection_back(gateway: FakeGateway, gate: TokenGate) -> None:
    """The body of an error is read, so that refusals do not use up connections."""
    for _ in range(5):
        with pytest.raises(TokenGateError):
            await gate.chat("no-such-model", "嗨")
    assert {request.connection for request in gateway.requests} == {1}


async def test_an_endless_error_body_is_given_up(gateway: FakeGateway, gate: TokenGate) -> None:
    """Of an error only so much is read, and the connection is dropped then."""
    gateway.script(Raw(status=400, body=[b"x" * 70_000], end="hang"))
    with pytest.raises(TokenGateError):
        await gate.chat(MODEL, "嗨")
    await gateway.requests[0].disconnected.wait()


async def test_an_error_whose_body_breaks_off_says_what_came(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """The status is not lost with the rest of the body."""
    said = '{"error": {"message": "参数错误 🙅", "code": "bad_value"'.encode()
    gateway.script(Raw(status=400, body=[said], end="close"))
    with pytest.raises(BadRequest) as caught:
        await gate.chat(MODEL, "嗨")
    assert caught.value.status == 400
    assert "参数错误 🙅" in caught.value.body


async def test_an_answer_that_is_called_off_is_closed(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """A body that nobody waits for any more does not stay on a connection that is kept."""
    turn = Gate()
    gateway.script(Raw(headers=JSON, body=[b'{"data": [', turn, b"]}"]), path="/v1/models")
    asking = asyncio.ensure_future(gate.models())
    await turn.reached()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await gateway.wait_connections(0)


async def test_an_answer_that_breaks_off_is_told(gateway: FakeGateway, gate: TokenGate) -> None:
    """Half of a JSON body is no answer, and not taken for a bad one."""
    half = Raw(headers=JSON, body=[b'{"data": ['], end="close")
    gateway.script(*[half] * 3, path="/v1/models")
    with pytest.raises(TransportError):
        await gate.models()
