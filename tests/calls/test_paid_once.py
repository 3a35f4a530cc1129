"""What costs is sent once; what is sent again, how often, and after how long, on the wire."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import attrs
import pytest

from aiotokengate import (
    CallerError,
    ConnectFailed,
    Limits,
    Overloaded,
    Pool,
    RateLimited,
    Retry,
    StatusError,
    TimedOut,
    Timeout,
    TokenGate,
    TokenGateError,
    Unanswered,
)
from aiotokengate._resources.embeddings import Split
from aiotokengate.hooks import HookEvent, RequestStarted, RetryScheduled
from aiotokengate.testing import VirtualClock

MODEL = "qwen3.6-max-preview"
PROMPT = "画一只猫 🐈"
KEY = "sk-paid-once"
CHAT = (
    b'data: {"choices":[{"index":0,"delta":{"content":"\xe5\xa5\xbd"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


def answer(status: int, body: bytes = b"{}", *headers: str) -> bytes:
    """Return an answer as it stands on the wire."""
    lines = "".join(f"{line}\r\n" for line in (f"Content-Length: {len(body)}", *headers))
    return f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{lines}\r\n".encode() + body


GOOD_CHAT = answer(200, CHAT)
END = "Connection: close"
CLOSE = b""
"""No answer: the connection is closed once the request has come."""


@attrs.frozen
class Sent:
    """A request that has come: its connection's number, and its head in lower case."""

    connection: int
    head: str

    @property
    def key(self) -> str | None:
        """Its idempotency key."""
        found = re.search(r"^idempotency-key: (.*)\r$", self.head, re.MULTILINE)
        return found[1] if found else None


class Server:
    """Answers with bytes as they are, in order, the last one for ever; keeps what has come."""

    def __init__(self) -> None:
        self.answers: list[bytes] = [CLOSE]
        self.requests: list[Sent] = []
        self._connections = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        """Listen; return the address."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    def stop(self) -> None:
        """Refuse connections from now on."""
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        number = self._connections
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                await _read_body(reader, head)
                self.requests.append(Sent(number, head))
                answers = self.answers
                said = answers.pop(0) if len(answers) > 1 else answers[0]
                if said == CLOSE:
                    return
                writer.write(said)
                if b"Connection: close" in said:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


async def _read_body(reader: asyncio.StreamReader, head: str) -> None:
    length = re.search(r"content-length: (\d+)", head)
    if length is not None:
        await reader.readexactly(int(length[1]))
    elif "transfer-encoding: chunked" in head:
        await reader.readuntil(b"0\r\n\r\n")


Costly: TypeAlias = Callable[[TokenGate], Awaitable[object]]

SOUND, PICTURE = b"RIFF" + b"0" * 200, b"\x89PNG" + b"0" * 200
COSTLY: dict[str, Costly] = {
    "videos": lambda gate: gate.videos.create("wan-t2v", PROMPT),
    "videos, unified": lambda gate: gate.videos.create("wan-t2v", PROMPT, dialect="unified"),
    "videos, cancelled": lambda gate: gate.job("video:sora:task_1").cancel(),
    "music": lambda gate: gate.music.create(PROMPT),
    "music, extended": lambda gate: gate.music.extend("clip", PROMPT, continue_at=6),
    "music, by GET": lambda gate: gate.music.using("suno-api").wav("clip"),
    "images": lambda gate: gate.images.generate("gpt-image-2", PROMPT),
    "images, dashscope": lambda gate: gate.images.generate("m", PROMPT, face="dashscope"),
    "images, edited": lambda gate: gate.images.edit("gpt-image-2", PROMPT, PICTURE),
    "images, sketched": lambda gate: anext(aiter(gate.images.generate("m", PROMPT))),
    "speech": lambda gate: gate.audio.speak("tts-1", PROMPT, voice="alloy"),
    "speech, in pieces": lambda gate: anext(aiter(gate.audio.speak("tts-1", PROMPT))),
    "transcriptions": lambda gate: gate.audio.transcribe("whisper-1", SOUND),
    "a POST": lambda gate: gate.request("POST", "/rerank", json={"query": PROMPT}),
    "a PUT": lambda gate: gate.request("PUT", "/things/1", json={}),
    "a DELETE": lambda gate: gate.request("DELETE", "/things/1"),
    "a GET that costs": lambda gate: gate.request("GET", "/draw", costly=True),
}
FREE: dict[str, Costly] = {
    "chat": lambda gate: gate.chat(MODEL, PROMPT),
    "chat, whole": lambda gate: gate.chat(MODEL, PROMPT, stream=False),
    "embeddings": lambda gate: gate.embed("text-embedding-3-small", [PROMPT]),
    "models": lambda gate: gate.models(),
    "a GET": lambda gate: gate.request("GET", "/things"),
    "a POST that costs nothing": lambda gate: gate.request(
        "POST", "/count", json={}, costly=False
    ),
}
DOUBTFUL = {
    "no answer": CLOSE,
    "half a head": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Ty",
    "half a body": answer(200, b'{"da', "Connection: close").replace(b": 4\r", b": 40\r"),
    "an error in a 200": answer(200, b'{"error":{"message":"upstream","code":"server_error"}}'),
    **{str(status): answer(status) for status in (408, 409, 500, 502, 503, 504, 520, 524, 529)},
}
TURNED_AWAY = {
    "429": answer(429),
    "429 with a time": answer(429, b"{}", "Retry-After: 1"),
    "503 with a time": answer(503, b"{}", "Retry-After: 1"),
    "529 with a time": answer(529, b"{}", "retry-after-ms: 300"),
    "503 with a time in its body": answer(503, b'{"message":"busy","retry_after":1}'),
}


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """Run a server that closes without an answer."""
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def clock() -> VirtualClock:
    """Return a clock that the test moves."""
    return VirtualClock()


@pytest.fixture
def events() -> list[HookEvent]:
    """Return where the hooks' events go."""
    return []


@pytest.fixture
async def gate(
    server: Server, clock: VirtualClock, events: list[HookEvent]
) -> AsyncIterator[TokenGate]:
    """Open a session with that server."""
    address = await server.start()
    async with TokenGate(
        api_key=KEY, base_url=address, clock=clock, hooks=[events.append]
    ) as gate:
        yield gate


async def ended(clock: VirtualClock, call: Awaitable[Any]) -> Any:
    """Await a call while virtual time runs; return its result, or its error."""

    async def run() -> Any:
        return await call

    task = asyncio.ensure_future(run())
    while not task.done():
        await clock.run_for(0.25)
    return task.exception() or task.result()


# --- begun once ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", DOUBTFUL.values(), ids=DOUBTFUL)
@pytest.mark.parametrize("ask", COSTLY.values(), ids=COSTLY)
async def test_what_may_have_begun_is_not_asked_for_again(
    server: Server, gate: TokenGate, clock: VirtualClock, ask: Costly, fault: bytes
) -> None:
    """Whatever costs, and whatever went wrong: one request has left."""
    server.answers = [fault]
    error = await ended(clock, ask(gate))
    assert isinstance(error, TokenGateError), error
    assert len(server.requests) == 1
    assert len(error.attempts) == 1
    assert isinstance(error, Unanswered) == (fault in (CLOSE, DOUBTFUL["half a head"]))


@pytest.mark.parametrize("refusal", TURNED_AWAY.values(), ids=TURNED_AWAY)
@pytest.mark.parametrize("ask", COSTLY.values(), ids=COSTLY)
async def test_what_was_turned_away_is_asked_for_again(
    server: Server, gate: TokenGate, clock: VirtualClock, ask: Costly, refusal: bytes
) -> None:
    """As often as ``attempts`` says, with one key on all of them, each on a fresh connection."""
    server.answers = [refusal]
    error = await ended(clock, ask(gate))
    assert isinstance(error, StatusError), error
    assert len(server.requests) == 3
    assert len({request.connection for request in server.requests}) == 3
    (key,) = {request.key for request in server.requests}
    assert key is not None
    assert re.fullmatch(r"aiotokengate-[0-9a-f]{32}", key)


@pytest.mark.parametrize("ask", COSTLY.values(), ids=COSTLY)
async def test_what_never_left_is_sent_again(
    server: Server, gate: TokenGate, clock: VirtualClock, ask: Costly
) -> None:
    """A refused connection is tried three times."""
    server.stop()
    error = await ended(clock, ask(gate))
    assert isinstance(error, ConnectFailed), error
    assert [attempt.error for attempt in error.attempts] == ["ConnectFailed"] * 3
    assert server.requests == []


@pytest.mark.parametrize("fault", [CLOSE, answer(500), answer(503), answer(504)])
@pytest.mark.parametrize("ask", FREE.values(), ids=FREE)
async def test_what_costs_little_is_asked_for_again(
    server: Server, gate: TokenGate, clock: VirtualClock, ask: Costly, fault: bytes
) -> None:
    """Without a key, after whatever may go better another time, and the attempts say of what."""
    server.answers = [fault]
    error = await ended(clock, ask(gate))
    assert isinstance(error, TokenGateError), error
    assert len(server.requests) == 3
    assert {attempt.error for attempt in error.attempts} == {type(error).__name__}
    assert {request.key for request in server.requests} == {None}


async def test_silence_is_no_leave_to_begin_again(
    server: Server, gate: TokenGate, clock: VirtualClock
) -> None:
    """A head that takes too long ends the call; the picture may be on its way."""
    server.answers = [b"HTTP/1.1 200 OK\r\n"]
    call = gate.images.generate("gpt-image-2", PROMPT, timeout=Timeout(first_event=5))
    error = await ended(clock, call)
    assert isinstance(error, TimedOut)
    assert len(server.requests) == 1


async def test_what_costs_never_goes_on_a_kept_connection(server: Server, gate: TokenGate) -> None:
    """It might be dying; the chats' one stays theirs."""
    picture = answer(200, b'{"data":[{"b64_json":"aGk="}]}')
    server.answers = [GOOD_CHAT, picture, GOOD_CHAT]
    await gate.chat(MODEL, PROMPT)
    await gate.images.generate("gpt-image-2", PROMPT)
    await gate.chat(MODEL, PROMPT)
    first, other, last = (request.connection for request in server.requests)
    assert first == last != other


def test_costly_is_yes_or_no() -> None:
    """No number, and no word."""
    gate = TokenGate(api_key=KEY)
    with pytest.raises(CallerError, match="expected costly as True or False, got str"):
        gate.request("POST", "/rerank", json={}, costly="no")  # type: ignore[arg-type]


# --- idempotency keys ---------------------------------------------------------------------------


async def keys_of(server: Server, clock: VirtualClock, call: Awaitable[object]) -> set[str | None]:
    """Return the keys of a call's three attempts."""
    server.answers, server.requests = [answer(429, b"{}", "Retry-After: 1")], []
    await ended(clock, call)
    assert len(server.requests) == 3
    return {request.key for request in server.requests}


async def test_keys_as_they_are_wished_for(
    server: Server, gate: TokenGate, clock: VirtualClock
) -> None:
    """A text is sent as it is, True makes one, False none; a header of one's own stands."""

    def chat(**options: Any) -> Awaitable[object]:
        return gate.chat(MODEL, PROMPT, **options)

    def draw(**options: Any) -> Awaitable[object]:
        return gate.images.generate("gpt-image-2", PROMPT, **options)

    mine = {"extra_headers": {"IDEMPOTENCY-KEY": "mine"}}
    for ask in (chat, draw):
        assert await keys_of(server, clock, ask(idempotency_key="order 7")) == {"order 7"}
        assert await keys_of(server, clock, ask(idempotency_key=False)) == {None}
        assert await keys_of(server, clock, ask(**mine)) == {"mine"}
        assert await keys_of(server, clock, ask(**mine, idempotency_key=True)) == {"mine"}
        (made,) = await keys_of(server, clock, ask(idempotency_key=True))
        (other,) = await keys_of(server, clock, ask(idempotency_key=True))
        assert None not in (made, other)
        assert made != other
    video = gate.videos.create("wan-t2v", PROMPT, idempotency_key="film")
    assert await keys_of(server, clock, video) == {"film"}
    song = gate.music.using(idempotency_key="song").create(PROMPT)
    assert await keys_of(server, clock, song) == {"song"}
    post = gate.request("POST", "/rerank", json={}, idempotency_key="post")
    assert await keys_of(server, clock, post) == {"post"}
    cheap = gate.request("POST", "/count", json={}, costly=False)
    assert await keys_of(server, clock, cheap) == {None}


async def test_a_key_of_the_session_stands(server: Server, clock: VirtualClock) -> None:
    """Whoever sets the header for all calls gets it, and no other."""
    address = await server.start()
    more = {"Idempotency-Key": "all"}
    async with TokenGate(api_key=KEY, base_url=address, clock=clock, extra_headers=more) as gate:
        draw = gate.images.generate("gpt-image-2", PROMPT)
        assert await keys_of(server, clock, draw) == {"all"}
        chat = gate.chat(MODEL, PROMPT, idempotency_key=True)
        assert await keys_of(server, clock, chat) == {"all"}


async def test_parts_of_an_embedding_have_their_own_keys(
    server: Server, gate: TokenGate, clock: VirtualClock
) -> None:
    """One key for requests that differ would be refused."""
    call = gate.embed("m", ["一", "二"], split=Split(inputs=1, at_once=1), idempotency_key="e")
    server.answers = [answer(200, b'{"data":[{"index":0,"embedding":[0.5]}]}')]
    assert len(await ended(clock, call)) == 2
    assert [request.key for request in server.requests] == ["e-0", "e-1"]
    assert await keys_of(server, clock, gate.embed("m", ["一"], idempotency_key="e")) == {"e"}


@pytest.mark.parametrize(
    "key",
    ["", " a", "a ", "a\r\nX-Evil: 1", "a\x00", "键", "a" * 256, 7, b"a", "\ud800"],
    ids=ascii,
)
async def test_keys_that_no_header_holds(gate: TokenGate, key: object) -> None:
    """They are refused before anything is sent, in every method, and never shown."""
    wrong: Any = {"idempotency_key": key}
    calls: Sequence[Callable[[], object]] = (
        lambda: gate.chat(MODEL, PROMPT, **wrong),
        lambda: gate.images.generate("m", PROMPT, **wrong),
        lambda: gate.images.edit("m", PROMPT, PICTURE, **wrong),
        lambda: gate.audio.speak("m", PROMPT, **wrong),
        lambda: gate.audio.transcribe("m", SOUND, **wrong),
        lambda: gate.videos.create("m", PROMPT, **wrong),
        lambda: gate.music.using(**wrong),
        lambda: gate.request("POST", "/rerank", json={}, **wrong),
    )
    for call in calls:
        with pytest.raises(CallerError, match="expected idempotency_key") as raised:
            call()
        assert "Evil" not in str(raised.value)
    with pytest.raises(CallerError, match="expected idempotency_key"):
        await gate.embed("m", PROMPT, **wrong)


def test_one_key_is_not_for_several_turns() -> None:
    """Each turn of a conversation, and of tools, is a request of its own."""
    gate = TokenGate(api_key=KEY)
    with pytest.raises(CallerError, match="expected idempotency_key=True with run_tools"):
        gate.run_tools(MODEL, PROMPT, [], idempotency_key="one")
    with pytest.raises(CallerError, match="expected idempotency_key=True with a conversation"):
        gate.conversation(MODEL, idempotency_key="one")
    gate.conversation(MODEL, idempotency_key=True)


# --- how often, and for how long ----------------------------------------------------------------


MIXTURES = {
    "refused": [answer(429, b"{}", "Retry-After: 0")],
    "refused without a time": [answer(429)],
    "overloaded": [answer(503)],
    "broken": [CLOSE],
    "all of them": [
        *(answer(429, b"{}", END), answer(503, b"{}", END), CLOSE),
        *(answer(500, b"{}", END), answer(529, b"{}", END), CLOSE),
    ],
    "refused inside a 200": [
        answer(200, b'data: {"error":{"message":"m","code":429}}\n\ndata: [DONE]\n\n')
    ],
    "empty": [answer(200, b"data: [DONE]\n\n")],
}


@pytest.mark.parametrize("attempts", [1, 2, 4])
@pytest.mark.parametrize("answers", MIXTURES.values(), ids=MIXTURES)
async def test_attempts_are_all_that_is_sent(
    server: Server, gate: TokenGate, clock: VirtualClock, answers: list[bytes], attempts: int
) -> None:
    """Refusals and failures together, whatever the mixture."""
    server.answers = list(answers)
    call = gate.chat(MODEL, PROMPT, retry=Retry(attempts=attempts, max_wait=600, empty=True))
    error = await ended(clock, call)
    assert len(server.requests) == attempts == len(error.attempts), error


@pytest.mark.parametrize(
    "answers",
    [
        [answer(429, b"{}", "Retry-After: 1")],
        [answer(503, b"{}", "Retry-After: 1")],
        [answer(429), answer(503), CLOSE] * 9,
        [answer(429)],
        [answer(503)],
    ],
    ids=["429 with a time", "503 with a time", "a mixture", "429", "503"],
)
async def test_waits_are_one_sum(
    server: Server, gate: TokenGate, clock: VirtualClock, answers: list[bytes]
) -> None:
    """Whatever made a call wait, it comes out of the same ``max_wait``."""
    server.answers = list(answers)
    call = gate.chat(MODEL, PROMPT, retry=Retry(attempts=50, max_wait=3))
    error = await ended(clock, call)
    assert isinstance(error, TokenGateError)
    waits = [attempt.wait or 0.0 for attempt in error.attempts]
    assert 1 < len(waits) < 50
    assert sum(waits) <= 3 + 1e-6


async def test_a_hint_longer_than_the_rest_ends_the_call_at_once(
    server: Server, gate: TokenGate, clock: VirtualClock
) -> None:
    """With the hint on the error, and without a wait."""
    server.answers = [answer(429, b"{}", "Retry-After: 40")]
    error = await ended(clock, gate.chat(MODEL, PROMPT, retry=Retry(attempts=9)))
    assert isinstance(error, RateLimited)
    assert error.retry_after == 40
    assert [attempt.wait is None for attempt in error.attempts] == [False, True]
    assert clock.now() < 51


async def test_a_key_that_is_refused_for_ever(
    server: Server, gate: TokenGate, clock: VirtualClock
) -> None:
    """Within a minute of waiting by default, and the next call of the lane waits no longer."""
    server.answers = [answer(429, b"{}", "Retry-After: 20")]
    error = await ended(clock, gate.chat(MODEL, PROMPT))
    assert isinstance(error, RateLimited)
    assert len(server.requests) == 3
    assert clock.now() <= 60
    server.answers, began = [GOOD_CHAT], clock.now()
    reply = await ended(clock, gate.chat(MODEL, PROMPT))
    assert reply.answer == "好"
    assert 19 < clock.now() - began <= 26


async def test_queueing_is_no_attempt_and_no_wait(server: Server, clock: VirtualClock) -> None:
    """Who waits for others in the lane has lost nothing of either."""
    address = await server.start()
    pool = Pool(Limits(requests_per_minute=1), clock=clock)
    server.answers = [GOOD_CHAT]
    retry = Retry(attempts=1, max_wait=0)
    async with TokenGate(
        api_key=KEY, base_url=address, pool=pool, clock=clock, retry=retry
    ) as gate:
        replies = [await ended(clock, gate.chat(MODEL, PROMPT)) for _ in range(3)]
    assert [len(reply.attempts) for reply in replies] == [1, 1, 1]
    assert replies[2].attempts[0].queued > 50


async def test_a_hint_beside_a_lane_that_is_held_longer(
    server: Server, clock: VirtualClock
) -> None:
    """What counts is what the gateway named to this call, not what others make it wait."""
    address = await server.start()
    pool = Pool(Limits(requests_per_minute=1), clock=clock)
    server.answers = [answer(429, b"{}", "Retry-After: 1"), GOOD_CHAT]
    async with TokenGate(api_key=KEY, base_url=address, pool=pool, clock=clock) as gate:
        async with pool.slot(MODEL, key=KEY) as slot:
            slot.refuse(retry_after=50)
        retry = Retry(attempts=2, max_wait=2)
        reply = await ended(clock, gate.chat(MODEL, PROMPT, retry=retry))
    assert reply.answer == "好"


# --- a kept connection that died ----------------------------------------------------------------


async def test_a_dead_connection_is_replaced_once(
    server: Server, gate: TokenGate, events: list[HookEvent]
) -> None:
    """Within the one attempt: no wait, no budget, one place, and the reply tells of it."""
    server.answers = [GOOD_CHAT, CLOSE, GOOD_CHAT]
    retry = Retry(attempts=1, max_wait=0)
    first = await gate.chat(MODEL, PROMPT, retry=retry)
    reply = await gate.chat(MODEL, PROMPT, retry=retry)
    assert reply.answer == "好"
    assert [attempt.reconnected for attempt in first.attempts] == [False]
    (attempt,) = reply.attempts
    assert (attempt.error, attempt.status, attempt.reconnected) == (None, 200, True)
    assert [request.connection for request in server.requests] == [1, 1, 2]
    assert gate.pool.statistics().lanes[0].admitted == 2
    assert sum(isinstance(event, RequestStarted) for event in events) == 2
    assert not any(isinstance(event, RetryScheduled) for event in events)


async def test_a_fresh_connection_that_dies_is_an_attempt(
    server: Server, gate: TokenGate, clock: VirtualClock
) -> None:
    """The one in place of a dead one, too; and it is done once a call."""
    server.answers = [GOOD_CHAT, CLOSE]
    await gate.chat(MODEL, PROMPT)
    error = await ended(clock, gate.chat(MODEL, PROMPT))
    assert isinstance(error, Unanswered)
    assert len(server.requests) == 1 + 4
    told = [(attempt.error, attempt.reconnected) for attempt in error.attempts]
    assert told == [("Unanswered", True), ("Unanswered", False), ("Unanswered", False)]


async def test_a_dead_connection_costs_no_budget(server: Server, gate: TokenGate) -> None:
    """A hundred that die one after another, each replaced."""
    server.answers = [GOOD_CHAT, CLOSE, GOOD_CHAT] * 40
    replies = [await gate.chat(MODEL, PROMPT) for _ in range(80)]
    assert sum(reply.attempts[0].reconnected for reply in replies) == 40


async def test_no_connection_in_place_of_a_dead_one(
    server: Server, gate: TokenGate, clock: VirtualClock
) -> None:
    """The request had left: it is Unanswered, and counts against the limit."""
    pool = Pool(Limits(requests_per_minute=60), clock=clock)
    server.answers = [GOOD_CHAT, CLOSE]
    async with TokenGate(
        api_key=KEY, base_url=gate.base_url, pool=pool, clock=clock, retry=Retry(attempts=1)
    ) as other:
        await other.chat(MODEL, PROMPT)
        server.stop()
        error = await ended(clock, other.chat(MODEL, PROMPT))
        assert isinstance(error, Unanswered)
        left = pool.statistics().lanes[0].requests_left
        assert left is not None
        assert left < 59


async def test_an_overload_is_no_dead_connection(
    server: Server, gate: TokenGate, clock: VirtualClock
) -> None:
    """What was answered is not asked again on another connection."""
    server.answers = [GOOD_CHAT, answer(503), GOOD_CHAT]
    await ended(clock, gate.chat(MODEL, PROMPT))
    error = await ended(clock, gate.chat(MODEL, PROMPT, retry=Retry(attempts=1)))
    assert isinstance(error, Overloaded)
    assert len(server.requests) == 2


# --- what never left ----------------------------------------------------------------------------


async def test_what_was_still_connecting_has_not_left(clock: VirtualClock) -> None:
    """It counts against no limit, whichever clock ends it, or a cancellation; and is told so."""
    reached = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(say_nothing, "127.0.0.1", 0)  # no TLS, but no refusal
    pool = Pool(Limits(requests_per_minute=6, tokens_per_minute=6_000), clock=clock)
    port = listener.sockets[0].getsockname()[1]
    async with TokenGate(
        api_key=KEY, base_url=f"https://127.0.0.1:{port}/v1", clock=clock, pool=pool
    ) as gate:
        options: dict[str, Any] = {"max_tokens": 500, "retry": Retry(attempts=1)}
        ends = [
            await ended(clock, gate.chat(MODEL, PROMPT, **options, **limit))
            for limit in (
                {"deadline": 1},
                {"timeout": Timeout(total=1)},
                {"timeout": Timeout(first_event=1)},
            )
        ]
        reached.clear()
        task = asyncio.create_task(gate.chat(MODEL, PROMPT, **options))
        await reached.wait()
        task.cancel()
        await asyncio.wait([task])
    assert [error.phase for error in ends] == ["deadline", "total", "connect"]
    (lane,) = pool.statistics().lanes
    assert (lane.requests_left, lane.tokens_left, lane.in_flight) == (6, 6_000, 0)
    listener.close()
