"""Keys that change: a callable is asked before each request, and nothing shows what it gave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate import CallerError, Limits, Pool, Retry, TimedOut, Timeout, TokenGate
from aiotokengate._calls.routes import Endpoint
from aiotokengate._http.keys import KeySource, checked_key, stripped
from aiotokengate.hooks import HookEvent
from aiotokengate.testing import FakeGateway, Raw, ScriptedReply

MODEL = "qwen3.6-max-preview"
ONCE = Retry(attempts=1)


def numbered(prefix: str = "sk-geheim") -> Callable[[], str]:
    """Make what gives another key each time."""
    numbers: Iterator[int] = iter(range(1, 10_000))
    return lambda: f" {prefix}-{next(numbers):04}\ufeff\n"


class Vault:
    """A key that takes a moment."""

    def __init__(self, key: str) -> None:
        self.key = key

    async def __call__(self) -> str:
        await asyncio.sleep(0)
        return self.key


async def fetched(key: str) -> str:
    return key


def awaitable(key: str) -> Awaitable[str]:
    return asyncio.ensure_future(fetched(key))


def sent_keys(gateway: FakeGateway) -> list[str]:
    return [
        request.headers["Authorization"].removeprefix("Bearer ") for request in gateway.requests
    ]


@pytest.fixture
async def gateway() -> Any:
    """Return a gateway that takes any key."""
    async with FakeGateway(any_key=True) as gateway:
        yield gateway


async def test_it_is_asked_before_each_request(gateway: FakeGateway) -> None:
    """For every attempt, of whatever is asked for; blanks around the key are forgiven."""
    gateway.script(Raw(status=503, body=b"{}"), ScriptedReply(answer="好"))
    async with TokenGate(api_key=numbered(), base_url=gateway.base_url) as gate:
        await gate.chat(MODEL, "嗨", retry=Retry(attempts=2, max_wait=0))
        await gate.models()
        async with gate.chat(MODEL, "嗨", extra_headers={"X-Who": "bot"}) as stream:
            await stream.reply()
    assert sent_keys(gateway) == [f"sk-geheim-{number:04}" for number in range(1, 5)]
    assert gateway.requests[3].headers["X-Who"] == "bot"


@pytest.mark.parametrize(
    "ask",
    [
        lambda: "sk-1",
        Vault("sk-1"),
        partial(fetched, "sk-1"),
        partial(awaitable, "sk-1"),
        partial(str, "sk-1"),
    ],
)
@pytest.mark.parametrize("endpoint", [True, False])
async def test_whatever_can_be_called(gateway: FakeGateway, ask: Any, endpoint: bool) -> None:
    given: dict[str, Any] = (
        {"endpoints": [Endpoint(api_key=ask)]} if endpoint else {"api_key": ask}
    )
    async with TokenGate(base_url=gateway.base_url, **given) as gate:
        await gate.chat(MODEL, "嗨")
    assert sent_keys(gateway) == ["sk-1"]


USER: ContextVar[str] = ContextVar("USER")


async def test_calls_side_by_side_have_each_their_own(gateway: FakeGateway) -> None:
    """The key of one end user is never sent for another."""

    async def key() -> str:
        user = USER.get()
        for _ in range(len(user)):
            await asyncio.sleep(0)
        return f"sk-{user}"

    async def ask(gate: TokenGate, user: str) -> None:
        USER.set(user)
        await gate.chat(MODEL, "嗨", extra_headers={"X-Who": user})

    users = ["a" * number for number in range(1, 20)]
    async with TokenGate(api_key=key, base_url=gateway.base_url) as gate:
        await asyncio.gather(*(asyncio.create_task(ask(gate, user)) for user in users))
    who = [request.headers["X-Who"] for request in gateway.requests]
    assert sorted(who) == users
    assert sent_keys(gateway) == [f"sk-{user}" for user in who]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (None, "to return str, got NoneType"),
        (b"sk-geheim99", "to return str, got bytes"),
        ("", "got an empty text"),
        (" \ufeff\n", "got an empty text"),
        ("sk-geheim99 x", "printable ASCII"),
        ("sk-geheim99\r\nX-Evil: 1", "printable ASCII"),
        ("sk-geheim99-汉字", "printable ASCII"),
    ],
)
async def test_what_is_no_key(gateway: FakeGateway, given: Any, why: str) -> None:
    async with TokenGate(api_key=lambda: given, base_url=gateway.base_url) as gate:
        with pytest.raises(CallerError, match=why) as raised:
            await gate.chat(MODEL, "嗨")
        assert gate.pool.statistics().in_flight == 0
    assert "geheim99" not in f"{raised.value} {raised.value!r}"
    assert len(raised.value.attempts) == 1
    assert not gateway.requests


@pytest.mark.parametrize("kind", [KeyError, OSError, TimeoutError, CallerError])
async def test_what_it_raises_reaches_the_caller(
    gateway: FakeGateway, kind: type[Exception]
) -> None:
    """As the cause of an error of ours, at once, and the next call asks again."""
    failing = [True, False]

    async def key() -> str:
        if failing.pop(0):
            message = "the vault is shut"
            raise kind(message)
        return "sk-1"

    async with TokenGate(api_key=key, base_url=gateway.base_url) as gate:
        with pytest.raises(CallerError, match=f"api_key, it raised {kind.__name__}") as raised:
            await gate.chat(MODEL, "嗨")
        assert isinstance(raised.value.__cause__, kind)
        assert "the vault is shut" in str(raised.value.__cause__)
        assert (await gate.chat(MODEL, "嗨")).status == "complete"


async def test_one_that_never_answers_is_bounded_and_cancelled(gateway: FakeGateway) -> None:
    ended: list[str] = []
    begun = asyncio.Event()

    async def key() -> str:
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("ended")
        return ""

    async with TokenGate(api_key=key, base_url=gateway.base_url, retry=ONCE) as gate:
        with pytest.raises(TimedOut):
            await gate.chat(MODEL, "嗨", timeout=Timeout(first_event=0.01))
        begun.clear()
        call = asyncio.ensure_future(gate.chat(MODEL, "嗨"))
        await begun.wait()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert call.cancelled()
        assert gate.pool.statistics().in_flight == 0
    assert ended == ["ended", "ended"]


async def test_nothing_shows_a_key(gateway: FakeGateway) -> None:
    """Not even an answer that echoes an older one, nor what hooks are told."""
    events: list[HookEvent] = []
    keys = [f"sk-geheim-{number:04}" for number in range(1, 4)]
    ask = numbered()
    echo = f'{{"error":{{"message":"bad keys {" ".join(keys)}","code":"{keys[0]}"}}}}'
    gateway.script(ScriptedReply(answer="一"), ScriptedReply(answer="二"))
    gateway.script(Raw(status=400, body=echo.encode()))
    pool = Pool({"*": Limits(concurrency=5)})
    async with TokenGate(
        api_key=ask, base_url=gateway.base_url, pool=pool, hooks=[events.append]
    ) as gate:
        replies = [await gate.chat(MODEL, "嗨") for _ in range(2)]
        with pytest.raises(Exception, match="bad keys") as raised:
            await gate.chat(MODEL, "嗨")
        shown = f"{raised.value} {vars(raised.value)} {events} {gate!r} {pool.statistics()}"
    assert "geheim" not in f"{shown} {[reply.attempts for reply in replies]}"
    assert "geheim" not in f"{Endpoint(api_key=ask)!r} {pool!r}"
    assert sent_keys(gateway) == keys


async def test_several_have_each_their_lane(gateway: FakeGateway) -> None:
    """Named alike in every process, whatever key they give just now."""
    pools = [Pool({"*": Limits(concurrency=1)}) for _ in range(2)]
    for pool in pools:
        endpoints = [Endpoint(api_key=numbered(f"sk-{name}")) for name in ("a", "b")]
        async with TokenGate(base_url=gateway.base_url, endpoints=endpoints, pool=pool) as gate:
            await asyncio.gather(*(gate.chat(MODEL, "嗨") for _ in range(2)))
    first, second = ([lane.key for lane in pool.statistics().lanes] for pool in pools)
    assert first == second
    assert len(set(first)) == 2
    assert {key.partition("#")[0] for key in first} == {"…"}
    assert {key.partition("-0")[0] for key in sent_keys(gateway)} == {"sk-a", "sk-b"}


async def test_the_key_stays_with_the_gateway(gateway: FakeGateway) -> None:
    """A download from another host asks without it."""
    async with FakeGateway(any_key=True) as other:
        target = other.base_url + "/models"
        gateway.script(Raw(status=302, headers={"Location": target}), path="/v1/file")
        async with TokenGate(api_key=numbered(), base_url=gateway.base_url, retry=ONCE) as gate:
            for path in ("/file", target):
                with pytest.raises(Exception, match="401"):
                    await gate.request("GET", path)
        assert len(other.requests) == 2
        assert not any("Authorization" in request.headers for request in other.requests)


async def test_the_rest_of_a_download_has_a_key_of_its_own(
    gateway: FakeGateway, tmp_path: Any
) -> None:
    headers = {"Accept-Ranges": "bytes", "ETag": '"1"', "Content-Length": "6"}
    rest = {"ETag": '"1"', "Content-Range": "bytes 3-5/6", "Content-Length": "3"}
    gateway.script(
        Raw(headers=headers, body=b"abc", end="reset"),
        Raw(status=206, headers=rest, body=b"def"),
        path="/v1/file",
    )
    async with (
        TokenGate(api_key=numbered(), base_url=gateway.base_url) as gate,
        gate.request("GET", "/file") as download,
    ):
        path = await download.save(tmp_path / "文件")
    assert path.read_bytes() == b"abcdef"
    assert sent_keys(gateway) == ["sk-geheim-0001", "sk-geheim-0002"]


async def test_headers_of_the_session_count_more(gateway: FakeGateway) -> None:
    own = {"authorization": "Bearer sk-own"}
    async with TokenGate(api_key=numbered(), base_url=gateway.base_url, extra_headers=own) as gate:
        await gate.chat(MODEL, "嗨")
    assert sent_keys(gateway) == ["sk-own"]


@pytest.mark.parametrize("given", [5, b"sk-1", ["sk-1"]])
def test_what_is_neither_key_nor_callable(given: Any) -> None:
    with pytest.raises(CallerError, match="expected api_key as str or callable, got"):
        TokenGate(api_key=given)


def test_a_coroutine_is_no_callable() -> None:
    made = fetched("sk-1")
    with pytest.raises(CallerError, match="expected api_key as str or callable, got coroutine"):
        TokenGate(api_key=made)  # type: ignore[arg-type]
    made.close()


async def test_which_keys_are_known_to_errors() -> None:
    """The last 64 that differ, as they were sent; and the source's own name."""
    keys = [*("sk-0", " sk-0\n", "sk-1"), *(f"sk-{number}" for number in range(65))]
    given = iter(keys)
    source = KeySource(lambda: next(given), "api_key")
    assert (source.given, source.name) == ((), "…#ab7383")
    assert [await source.key() for _ in range(3)] == ["sk-0", "sk-0", "sk-1"]
    assert source.given == ("sk-0", "sk-1")
    assert [await source.key() for _ in range(65)] == [f"sk-{number}" for number in range(65)]
    assert source.given == tuple(f"sk-{number}" for number in range(1, 65))


@pytest.mark.parametrize(
    ("key", "sent"),
    [("\ufeff sk-~!\n", "sk-~!"), ("", ""), (" \u200b", ""), ("a", "a")],
)
def test_a_key_as_it_is_sent(key: str, sent: str) -> None:
    assert checked_key(key) == sent


@pytest.mark.parametrize("key", ["a b", "a\x7fb", "a\nb", "é", "密"])
def test_a_key_that_no_header_can_hold(key: str) -> None:
    with pytest.raises(CallerError, match="expected an API key of printable ASCII") as raised:
        checked_key(key)
    assert key not in str(raised.value)


# --- texts that were copied ---------------------------------------------------------------------

INVISIBLE = " \t\r\n\u00a0\u3000\u200b\u200c\u200d\u200e\u2060\ufeff\u00ad\x00\u2028"


@pytest.mark.parametrize("sign", INVISIBLE)
def test_what_nobody_sees_is_taken_off(sign: str) -> None:
    assert stripped(f"{sign}sk-密钥{sign}🔑{sign * 2}") == f"sk-密钥{sign}🔑"
    assert stripped(sign * 3) == ""


@given(st.text())
def test_it_is_taken_off_once_and_for_all(text: str) -> None:
    assert stripped(stripped(text)) == stripped(text)
    assert stripped(text) in text
