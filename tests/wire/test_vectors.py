"""Every recorded exchange, whole and cut wherever a network may cut it.

Strategy.  An exchange is two files in ``tests/vectors``: a JSON file with the request, the status,
the headers and what has to come out, and the exact bytes of the body.  Each is driven through the
real receiver over a body without a socket.  What it gives when it comes in one piece is held
against the expectation; what it gives when cut anywhere, against what it gave in one piece.
"""

import asyncio
import base64
import contextlib
import random
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import orjson
import pytest
from multidict import CIMultiDict

from aiotokengate import StreamInterrupted, TimedOut, Timeout, TokenGateError, Usage
from aiotokengate._stream.clocks import Watch, limited
from aiotokengate._stream.receiver import Receiver, ReceiverSettings
from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.headers import request_id
from aiotokengate._wire.problems import status_error
from aiotokengate._wire.protocols import find_protocol
from aiotokengate._wire.question import Decoder
from aiotokengate._wire.sse import SSEDecoder
from aiotokengate._wire.transcript import Transcript
from aiotokengate.catalogue import CATALOGUE, ProtocolName
from aiotokengate.testing import Pause
from aiotokengate.testing._clock import VirtualClock
from aiotokengate.testing._scripted_body import ScriptedBody, Step
from aiotokengate.types import (
    AnswerDelta,
    Choice,
    CitationDelta,
    Delta,
    FinishDelta,
    MediaDelta,
    ReasoningDelta,
    RefusalDelta,
    Reply,
    Timeline,
    ToolCall,
    ToolCallDelta,
    UnknownDelta,
    UsageDelta,
)

VECTORS = Path(__file__).parent.parent / "vectors"
NAMES = sorted(path.stem for path in VECTORS.glob("*.json"))


@attrs.frozen
class Exchange:
    """One recorded exchange."""

    request: dict[str, Any]
    path: str
    status: int
    headers: CIMultiDict[str]
    body: bytes
    expected: dict[str, Any]


@attrs.frozen
class Outcome:
    """What an exchange comes to; two of them are equal if nobody could tell them apart."""

    deltas: list[Delta]
    reply: Reply | None
    error: TokenGateError | None = attrs.field(eq=str)


def exchange(name: str) -> Exchange:
    meta = orjson.loads((VECTORS / f"{name}.json").read_bytes())
    answer = meta["response"]
    body = (VECTORS / f"{name}.body").read_bytes()
    headers = CIMultiDict(answer["headers"])
    asked = meta["request"]
    body_sent, path = asked["body"], asked["path"]
    return Exchange(body_sent, path, answer["status"], headers, body, meta["expected"])


PROTOCOLS: dict[str, ProtocolName] = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "responses",
    "/v1/messages": "messages",
}


def decoder_for(recorded: Exchange) -> Decoder:
    dialect = DIALECTS[CATALOGUE.find(recorded.request["model"]).dialect]
    protocol = find_protocol(PROTOCOLS.get(recorded.path, "gemini"))
    return protocol.decoder(dialect, Transcript(recorded.request.get("n", 1)))


def body_of(
    recorded: Exchange, steps: Iterable[Step], clock: VirtualClock | None = None
) -> ScriptedBody:
    headers = recorded.headers
    return ScriptedBody(steps, clock=clock, headers=headers, request_id=request_id(headers))


def receiver_for(recorded: Exchange, body: ScriptedBody, clock: VirtualClock) -> Receiver:
    settings = ReceiverSettings(
        clock=clock,
        timeout=Timeout(),
        began=clock.now(),
        limit=None,
        max_reply_bytes=64 * 1024 * 1024,
        prompt_tokens=lambda: len(orjson.dumps(recorded.request)) // 4,
    )
    return Receiver(
        body,
        decoder_for(recorded),
        DIALECTS[CATALOGUE.find(recorded.request["model"]).dialect],
        settings,
        Timeline(),
    )


async def outcome(recorded: Exchange, steps: Iterable[Step]) -> Outcome:
    """Read an exchange to its end, from any steps."""
    body = body_of(recorded, steps)
    if recorded.status >= 400:
        parts = [part async for part in _reads(body)]
        error = status_error(recorded.status, b"".join(parts), recorded.headers)
        return Outcome([], None, error)
    receiver = receiver_for(recorded, body, VirtualClock())
    while not receiver.ended:
        await receiver.wait()
    met = receiver.error
    assert met is None or isinstance(met, TokenGateError)
    return Outcome(deltas_of(receiver.log), receiver.reply(), met)


async def _reads(body: ScriptedBody) -> AsyncIterator[bytes]:
    while part := await body.read():
        yield part


def deltas_of(log: Transcript) -> list[Delta]:
    return [log.delta(at) for at in range(len(log))]


def decoded(recorded: Exchange, pieces: Iterable[bytes]) -> list[Delta]:
    """Decode a stream without receiver or event loop."""
    chat = decoder_for(recorded)
    for data in events_of(pieces):
        chat.feed(data)
    chat.end()
    return deltas_of(chat.transcript)


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut at the given places, in order; no piece is empty, because b"" is the end of a body."""
    ends = [*places, len(body)]
    pieces = [body[start:end] for start, end in zip([0, *places], ends, strict=True)]
    return [piece for piece in pieces if piece]


# --- what is expected ---------------------------------------------------------------------------


def described(delta: Delta) -> dict[str, Any]:
    """Write a delta the way the fixtures do."""
    match delta:
        case ReasoningDelta(text, choice):
            told: dict[str, Any] = {"reasoning": text}
        case AnswerDelta(text, choice):
            told = {"answer": text}
        case RefusalDelta(text, choice):
            told = {"refusal": text}
        case ToolCallDelta(choice, index, id_, name, arguments):
            told = {"tool_call": [index, id_, name, arguments]}
        case MediaDelta(media, choice):
            told = {"media": media.url}
        case CitationDelta(citation, choice):
            told = {"citation": citation.url}
        case FinishDelta(choice, reason):
            told = {"finish": reason}
        case UnknownDelta(choice, protocol, kind, _):
            told = {"unknown": [protocol, kind]}
        case _:
            return {"usage": True} if isinstance(delta, UsageDelta) else {"other": repr(delta)}
    return {**told, "choice": choice} if choice else told


def counted(usage: Usage) -> dict[str, Any] | None:
    """Write counts the way the fixtures do; an estimate is none."""
    return None if usage.estimated else attrs.asdict(usage, filter=attrs.filters.exclude("extra"))


def called(call: ToolCall) -> dict[str, Any]:
    told = attrs.asdict(call)
    usual = {"extra": {}, "kind": "function"}
    return {key: value for key, value in told.items() if usual.get(key) != value}


def told_of(reply: Reply, wanted: dict[str, Any]) -> dict[str, Any]:
    """Write what the fixture asks of a reply the way it does."""
    chosen = {name: getattr(reply, name) for name in wanted if name not in _SPECIAL}
    chosen["usage"] = counted(reply.usage)
    chosen["tool_calls"] = [called(call) for call in reply.tool_calls]
    chosen["notes"] = list(reply.notes)
    if "message" in wanted:
        chosen["message"] = reply.message()
    if "choices" in wanted:
        pairs = zip(reply.choices, wanted["choices"], strict=True)
        chosen["choices"] = [_told_of_choice(choice, names) for choice, names in pairs]
    return chosen


_SPECIAL = {"usage", "tool_calls", "notes", "message", "choices"}


def _told_of_choice(choice: Choice, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(choice, name) for name in names}


def told_of_error(error: TokenGateError | None, wanted: dict[str, Any] | None) -> Any:
    """Write an error the way the fixtures do; of the message, as much as they quote."""
    if error is None:
        return None
    told = {
        "type": type(error).__name__,
        "message": error.message[: len(wanted["message"])] if wanted else error.message,
        "status": error.status,
        "code": error.code,
        "retryable": error.retryable,
        "request_id": error.request_id,
    }
    if isinstance(error, StreamInterrupted):
        told["cause"] = type(error.__cause__).__name__ if error.__cause__ else None
    return told


@pytest.mark.parametrize("name", NAMES)
async def test_what_a_recorded_exchange_comes_to(name: str) -> None:
    """In one piece, an exchange gives the deltas, the reply and the error that it has to."""
    recorded = exchange(name)
    wanted = recorded.expected
    got = await outcome(recorded, [recorded.body] if recorded.body else [])
    assert [described(delta) for delta in got.deltas] == wanted["deltas"]
    assert told_of_error(got.error, wanted["error"]) == wanted["error"]
    if "reply" in wanted:
        assert got.reply is not None
        facts = {"tool_calls": [], "notes": [], **wanted["reply"]}
        assert told_of(got.reply, facts) == facts
    if isinstance(got.error, StreamInterrupted):
        assert got.error.partial == got.reply


@pytest.mark.parametrize("name", [name for name in NAMES if exchange(name).status < 400])
async def test_another_attempt_is_allowed_until_content_came(name: str) -> None:
    """What ends before its first content raises at once; a usage alone is none."""
    recorded = exchange(name)
    clock = VirtualClock()
    receiver = receiver_for(recorded, body_of(recorded, [recorded.body]), clock)
    content = [delta for delta in recorded.expected["deltas"] if delta != {"usage": True}]
    with contextlib.nullcontext() if content else pytest.raises(TokenGateError):
        await receiver.prime()


# --- cuts ---------------------------------------------------------------------------------------


@pytest.mark.unmeasured
@pytest.mark.parametrize("name", NAMES)
async def test_cut_at_every_position(name: str) -> None:
    """In two pieces, and byte by byte, an exchange gives the same."""
    recorded = exchange(name)
    whole = await outcome(recorded, [recorded.body] if recorded.body else [])
    for place in range(1, len(recorded.body)):
        assert await outcome(recorded, cut(recorded.body, [place])) == whole, f"cut at {place}"
    assert await outcome(recorded, cut(recorded.body, range(1, len(recorded.body)))) == whole


@pytest.mark.unmeasured
@pytest.mark.parametrize("name", NAMES)
async def test_cut_into_any_pieces(name: str) -> None:
    """In any number of pieces, an exchange gives the same."""
    recorded, drawn = exchange(name), random.Random(name)
    whole = await outcome(recorded, cut(recorded.body, []))
    for _ in range(60):
        number = drawn.randint(2, 12)
        places = sorted(drawn.randint(0, len(recorded.body)) for _ in range(number))
        assert await outcome(recorded, cut(recorded.body, places)) == whole, places


# --- an image of five megabytes in one delta ----------------------------------------------------

# A seed in place of five megabytes in the repository; nobody's secret depends on it.
SEED = random.Random(25)
IMAGE = base64.b64encode(SEED.randbytes(5 * 1024 * 1024 * 3 // 4)).decode()
HEAD = '{"id":"c","object":"chat.completion.chunk","created":1,"model":"gemini-3-pro-image",'
FRAMES = (
    HEAD + '"choices":[{"index":0,"delta":{"role":"assistant","content":"画好了：\\n"}}]}',
    HEAD
    + '"choices":[{"index":0,"delta":{"content":"![image](data:image/png;base64,'
    + IMAGE
    + ')"}}]}',
    HEAD + '"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
    '"usage":{"prompt_tokens":5,"completion_tokens":1290,"total_tokens":1295}}',
    "[DONE]",
)
LARGE = Exchange(
    {"model": "gemini-3-pro-image", "stream": True},
    "/v1/chat/completions",
    200,
    CIMultiDict({"Content-Type": "text/event-stream"}),
    "".join(f"data: {frame}\n\n" for frame in FRAMES).encode(),
    {},
)
STRUCTURAL = re.compile(rb'[\n"{}\[\]:,]')


def structural_places(body: bytes) -> list[int]:
    """Return every position within 64 bytes of a byte that means something to a parser.

    The payload is base64, which has none of them, so these are the two ends of its event and the
    small events around it.
    """
    marks = (found.start() for found in STRUCTURAL.finditer(body))
    near = {place for mark in marks for place in range(mark - 64, mark + 65)}
    return sorted(place for place in near if 0 < place < len(body))


def random_places(body: bytes) -> list[int]:
    return SEED.sample(range(1, len(body)), 1000)


async def test_a_large_image_is_lifted_out_of_the_answer() -> None:
    """An image of five megabytes in one delta is answer text, and a medium as well."""
    got = await outcome(LARGE, [LARGE.body])
    assert got.error is None
    assert got.reply is not None
    assert got.reply.answer == f"画好了：\n![image](data:image/png;base64,{IMAGE})"
    (medium,) = got.reply.media
    assert (medium.kind, medium.mime) == ("image", "image/png")
    assert medium.data == base64.b64decode(IMAGE)
    assert got.reply.usage.total_tokens == 1295


@pytest.mark.unmeasured
@pytest.mark.parametrize("places", [structural_places, random_places])
def test_a_large_image_cut_anywhere(places: Callable[[bytes], list[int]]) -> None:
    """In two pieces, cut near anything that means something and at 1,000 random places, too.

    The decoder of the deltas sees nothing but the data of the events, so it is enough to decode
    that once, and to see that it is always the same.
    """
    events = events_of([LARGE.body])
    assert decoded(LARGE, [LARGE.body]) == decoded(LARGE, cut(LARGE.body, [5_000, 5_000_000]))
    for place in places(LARGE.body):
        assert events_of(cut(LARGE.body, [place])) == events, f"cut at {place}"


def events_of(pieces: Iterable[bytes]) -> list[bytes]:
    sse = SSEDecoder()
    return [data for piece in pieces for data in sse.feed_data(piece)]


# --- nothing but keep-alives --------------------------------------------------------------------


def slowly(body: bytes) -> list[Step]:
    """Return each event a minute after the one before."""
    events = body.split(b"\n\n")[:-1]
    return [step for event in events for step in (Pause(60), event + b"\n\n")]


async def test_keep_alives_are_not_the_first_content() -> None:
    """Comments, and deltas without text, for five minutes: whoever waits for content gives up."""
    recorded = exchange("31-keep-alives-only")
    clock = VirtualClock()
    receiver = receiver_for(recorded, body_of(recorded, slowly(recorded.body), clock), clock)
    waiting = asyncio.ensure_future(_first(receiver, clock))
    await clock.run_for(299)
    assert not waiting.done()
    await clock.run_for(1)
    with pytest.raises(TimeoutError):
        await waiting
    assert not receiver.log.items


async def _first(receiver: Receiver, clock: VirtualClock) -> None:
    async with limited(clock, 300.0):
        await receiver.prime()


async def test_keep_alives_do_not_hide_a_stall() -> None:
    """After content, two minutes of comments and empty deltas are a stall."""
    recorded = exchange("31-keep-alives-only")
    begun = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    clock = VirtualClock()
    body = body_of(recorded, [begun, *slowly(recorded.body)], clock)
    receiver = receiver_for(recorded, body, clock)
    Watch(clock).add(receiver)
    reading = asyncio.ensure_future(receiver.drain())
    await clock.run_for(119)
    assert not reading.done()
    await clock.run_for(2)
    await reading
    assert isinstance(receiver.error, StreamInterrupted)
    assert "no content came for 120 s" in str(receiver.error)
    assert isinstance(receiver.error.__cause__, TimedOut)
    assert (receiver.error.__cause__.phase, receiver.error.partial.answer) == ("stall", "a")
    assert body.state == "closed"
