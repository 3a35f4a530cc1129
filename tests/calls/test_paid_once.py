"""What costs is sent once, whatever it is; and the keys by which a gateway knows it again."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import pytest

from aiotokengate import (
    CallerError,
    ConnectFailed,
    StatusError,
    TimedOut,
    Timeout,
    TokenGate,
    TokenGateError,
    Unanswered,
)
from aiotokengate._resources.embeddings import Split
from aiotokengate.testing import VirtualClock
from tests.support.ordered import CLOSE, GOOD_CHAT, Server, answer, ended

MODEL = "qwen3.6-max-preview"
PROMPT = "画一只猫 🐈"
KEY = "sk-paid-once"

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
def gate(wired: TokenGate) -> TokenGate:
    """Return a session with the server of plain bytes."""
    return wired


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
