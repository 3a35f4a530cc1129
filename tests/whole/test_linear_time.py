"""What a peer sends costs time in proportion to its bytes, and never stops the loop for long.

Strategy.  The same flood (see ``floods.py``) is used in two sizes inside one process, and the CPU
times are compared: four times as much may cost at most 6.25 times as long, which is 2.5 times for
each doubling; what is looked at again for each piece costs 16 times.  Of each size the shortest
time counts, over a few rounds, because other programs only ever add to it.
"""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from time import thread_time
from typing import Any, TypeAlias

import attrs
import pytest

from aiotokengate._policy.timeouts import Timeout
from aiotokengate._resources.structured import _json_in
from aiotokengate._stream.call import ChatStream
from aiotokengate._stream.receiver import Guard, Receiver, ReceiverSettings
from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.jobs import read_music, read_videos
from aiotokengate._wire.jsontext import loads
from aiotokengate._wire.media import vectors_of
from aiotokengate._wire.partial import PartialJson
from aiotokengate._wire.problems import find_problem, status_error
from aiotokengate._wire.protocols import find_protocol
from aiotokengate._wire.relay import Relay
from aiotokengate._wire.transcript import Transcript
from aiotokengate.catalogue import CATALOGUE, Catalogue
from aiotokengate.clock import RealClock
from aiotokengate.errors import ResponseInvalid, TokenGateError, WireError
from aiotokengate.testing import Pause
from aiotokengate.testing._scripted_body import ScriptedBody
from aiotokengate.types import Timeline
from tests.support.floods import FLOODS, block_delta, call_piece, chat_end, messages_around
from tests.support.streams import body, chat_frame, read, saying

pytestmark = pytest.mark.unmeasured

FACTOR = 4
MOST = 2.5**2
"""How many times as long four times as much may take."""

LEAST = 0.002
"""Seconds below which a measurement is of the machine, and not of what is measured."""

ROUNDS = 25
READ = 1 << 16

Use: TypeAlias = Callable[[int], Callable[[], object]]
"""Prepares a size, and returns what is measured of it."""


@pytest.fixture(autouse=True)
def _without_collector() -> Iterator[None]:
    """Let no collection of other tests' objects come in between."""
    was = gc.isenabled()
    gc.disable()
    yield
    if was:
        gc.enable()


def seconds(run: Callable[[], object]) -> float:
    began = thread_time()
    run()
    return thread_time() - began


def compare(use: Use, size: int) -> None:
    """Compare two sizes of a use."""
    use(max(size // 8, 1))()  # what is imported and cached at the first time
    small, large = use(size), use(FACTOR * size)
    short = long = float("inf")
    for _ in range(ROUNDS):
        short, long = min(short, seconds(small)), min(long, seconds(large))
        if long <= MOST * max(short, LEAST):
            return
    message = f"{size}: {short * 1000:.1f} ms, {FACTOR * size}: {long * 1000:.1f} ms"
    pytest.fail(message)


# --- replies ------------------------------------------------------------------------------------


def whole(protocol: str, data: bytes, size: int = READ) -> None:
    """Do with a reply what users do who await it, send it back, or relay it."""
    came = read(protocol, [data[at : at + size] for at in range(0, len(data), size)])
    came.reply.message()
    log = came.log
    relay = Relay(log)
    for at in range(len(log)):
        relay.write(log.delta(at))


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_costs_what_its_bytes_cost(name: str) -> None:
    """However a reply is made up, reading, folding and relaying it is linear."""
    flood = FLOODS[name]

    def use(size: int) -> Callable[[], object]:
        data = flood.data(size)
        return lambda: whole(flood.protocol, data)

    compare(use, flood.size)


ONE_BY_ONE = ("chat-calls_in_three_pieces", "chat-choices_in_turn", "messages-calls")


@pytest.mark.parametrize("name", [*ONE_BY_ONE, "responses-calls", "gemini-open_calls"])
def test_a_flood_that_comes_byte_by_byte(name: str) -> None:
    """The size of the reads changes nothing."""
    flood = FLOODS[name]

    def use(size: int) -> Callable[[], object]:
        data = flood.data(size)
        return lambda: whole(flood.protocol, data, 1)

    compare(use, flood.size // 20)


# --- views --------------------------------------------------------------------------------------


def stream_of(data: bytes, size: int, *, retain: bool = True) -> ChatStream:
    clock, dialect = RealClock(), DIALECTS["qwen"]
    decoder = find_protocol("chat").decoder(dialect, Transcript(retain=retain))
    reads = (data[at : at + size] for at in range(0, len(data), size))
    steps = [step for read in reads for step in (Pause(0), read)]
    settings = ReceiverSettings(clock, Timeout(), clock.now(), None, 1 << 30, int)
    receiver = Receiver(ScriptedBody(steps, clock=clock), decoder, dialect, settings, Timeline())
    return ChatStream(receiver, Guard(receiver))


async def count(items: AsyncIterator[Any]) -> int:
    return sum([1 async for _ in items])


async def phases(stream: ChatStream) -> int:
    return sum([len(await phase.text()) async for phase in stream.phases()])


async def late(stream: ChatStream) -> int:
    await stream.reply()
    views = (stream.answer, stream.reasoning.all(), stream, stream.tool_calls)
    return sum([await count(aiter(view)) for view in views])


async def side_by_side(stream: ChatStream) -> int:
    views = (stream.answer, stream.reasoning, stream, stream.tool_calls, stream.phases())
    return sum(await asyncio.gather(*(count(aiter(view)) for view in views)))


def calling(n: int) -> bytes:
    pieces = [call_piece(at, "{}", id=f"c{at}", name="f") for at in range(n)]
    return body((*pieces, *chat_end("tool_calls")))


def writing_arguments(n: int) -> bytes:
    begin = call_piece(0, '{"a":"' + "x" * 400 * n, id="c", name="f")
    pieces = (call_piece(0, "x") for _ in range(n))
    return body((begin, *pieces, call_piece(0, '"}'), *chat_end("tool_calls")))


def broken_call(n: int) -> bytes:
    """Write a call that can't be run, and much behind it."""
    begin = call_piece(0, '{"a":"' + "x" * 400 * n, id="c", name="f")
    pieces = (chat_frame({"content": "好\n"}) for _ in range(n))
    return body((begin, *pieces, *chat_end("tool_calls")))


def in_turn(n: int) -> bytes:
    return FLOODS["chat-thoughts_and_answers_in_turn"].data(n)


def json_of(n: int) -> str:
    return json.dumps({"列": [{"名": "a\n好" * 3, "n": at} for at in range(n)]})


VIEWS: dict[str, tuple[Callable[[ChatStream], Any], Callable[[int], bytes], int]] = {
    "lines of newlines": (lambda s: count(s.answer.lines()), lambda n: said("\n" * n), 20_000),
    "lines in pieces": (lambda s: count(s.answer.lines()), lambda n: said(*["\n\n"] * n), 1500),
    "one long line": (lambda s: count(s.answer.lines()), lambda n: said(*["好"] * n), 2000),
    "bursts": (lambda s: count(s.answer.bursts(every=0)), lambda n: said(*["好"] * n), 1500),
    "objects": (lambda s: count(s.objects(every=0)), lambda n: said(*pieces_of(json_of(n))), 150),
    "tool calls": (lambda s: count(s.tool_calls), calling, 400),
    "arguments": (lambda s: count(s.tool_calls), writing_arguments, 600),
    "a broken call": (lambda s: count(s.tool_calls), broken_call, 600),
    "phases": (phases, in_turn, 600),
    "sse": (lambda s: count(s.sse()), in_turn, 600),
    "sse of calls": (lambda s: count(s.sse()), calling, 300),
    "late": (late, in_turn, 600),
    "side by side": (side_by_side, in_turn, 300),
    "another choice": (lambda s: s.choice(7).answer.text(), in_turn, 1200),
}


def said(*texts: str) -> bytes:
    return body(saying("chat", *texts))


def pieces_of(text: str) -> list[str]:
    return [text[at : at + 7] for at in range(0, len(text), 7)]


@pytest.mark.parametrize("retain", [True, False])
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_costs_what_it_shows(name: str, retain: bool) -> None:
    """Reading a view to its end is linear, while the reply comes in small reads."""
    view, make, size = VIEWS[name]

    def use(size: int) -> Callable[[], object]:
        data = make(size)

        async def run() -> None:
            await view(stream_of(data, 200, retain=retain))

        return lambda: asyncio.run(run())

    compare(use, size)


async def longest_block(run: Callable[[], Any]) -> float:
    """Return the CPU seconds for which others had to wait while something ran."""
    longest, over = 0.0, asyncio.Event()

    async def beat() -> None:
        nonlocal longest
        last = thread_time()
        while not over.is_set():
            await asyncio.sleep(0)
            now = thread_time()
            longest, last = max(longest, now - last), now

    beating = asyncio.ensure_future(beat())
    await asyncio.sleep(0)
    await run()
    over.set()
    await beating
    return longest


LONGEST = 0.1
"""Seconds that a block may last, for texts that take several times as long as a whole."""

BLOCKS: dict[str, tuple[Callable[[ChatStream], Any], bytes]] = {
    "lines": (lambda s: count(s.answer.lines()), said("\n" * 300_000)),
    "objects": (lambda s: count(s.objects(every=0)), said("[" + "1," * 100_000 + "1]")),
    "tool calls": (lambda s: count(s.tool_calls), calling(6000)),
    "choices": (lambda s: s.reply(), FLOODS["chat-choices_of_one_piece"].data(6000)),
}


@pytest.mark.parametrize("name", BLOCKS)
async def test_the_loop_has_its_turn_in_between(name: str) -> None:
    """A view that gives very much at once lets others run in between."""
    view, data = BLOCKS[name]
    size = len(data) if name in ("lines", "objects") else READ
    blocks = [await longest_block(lambda: view(stream_of(data, size))) for _ in range(3)]
    assert min(blocks) < LONGEST


# --- what stands outside of replies -------------------------------------------------------------

TEXTS: dict[str, Callable[[int], str]] = {
    "less than": lambda n: "<" * n,
    "tags": lambda n: "<a>" * (n // 3),
    "tags that are not closed": lambda n: "<title>" * (n // 7),
    "scripts": lambda n: "<script>" * (n // 8) + "</script",
    "white space": lambda n: "<p>" + " " * n + "x",
    "entities": lambda n: "&#" * (n // 2),
    "digits": lambda n: "&#" + "9" * n,
    "request ids": lambda n: "(request id: " * (n // 13),
    "models": lambda n: "model " * (n // 6),
    "keys": lambda n: "sk-" * (n // 3),
    "events": lambda n: "data:\n" * (n // 6),
    "braces": lambda n: '{"error":' * (n // 9),
    "brackets": lambda n: "[" * n,
    "complaints": lambda n: json.dumps({"detail": [{"msg": "x", "loc": ["a"] * 9}] * (n // 40)}),
    "messages": lambda n: json.dumps({"error": {"message": [["x"] * 9] * (n // 50)}}),
    "errors": lambda n: json.dumps({"errors": [{"message": "x"}] * (n // 20), "success": False}),
    "details": lambda n: json.dumps(
        {"error": {"message": "x", "details": [{"reason": "x", "violations": [{}]}] * (n // 40)}}
    ),
    "choices": lambda n: json.dumps({"choices": [{"error": {"code": ""}}] * (n // 30)}),
    "headers": lambda n: '{"header":{"response":' * (n // 25) + "1" + "}}" * (n // 25),
}


@pytest.mark.parametrize("name", TEXTS)
def test_an_error_body_costs_what_its_bytes_cost(name: str) -> None:
    """Whatever stands in an error, and however deep, it is an error of the library, in time."""

    def use(size: int) -> Callable[[], object]:
        data = TEXTS[name](size).encode()

        def run() -> None:
            error = status_error(500, data, {})
            assert isinstance(error, TokenGateError)
            assert str(error)

        return run

    compare(use, 200_000)


@pytest.mark.parametrize("depth", [990, 1000, 1023, 5000, 100_000])
def test_nested_errors_of_any_depth(depth: int) -> None:
    """The message of an error that is nested too deeply to be read is no crash."""
    data = b'{"error":' * depth + b'{"message":"x"}' + b"}" * depth
    assert isinstance(status_error(400, data, {}), TokenGateError)


def answers(text: str) -> Callable[[int], str]:
    return lambda n: "```" + text * n


FENCED = {
    "spaces": answers(" "),
    "fences": answers("``` "),
    "braces": answers("{"),
    "quotes": answers('"\\'),
}


@pytest.mark.parametrize("name", FENCED)
def test_an_answer_that_should_be_json(name: str) -> None:
    """Looking for JSON in an answer is linear in it."""

    def use(size: int) -> Callable[[], object]:
        text = FENCED[name](size)

        def run() -> None:
            with pytest.raises(ResponseInvalid):
                _json_in(text)

        return run

    compare(use, 200_000)


def rows(n: int) -> dict[str, Any]:
    vector = {"embedding": "AACAPwAAgD8="}
    files = [{"url": f"https://a/{at}.mp4", "b64_json": "AAAA", **vector} for at in range(n)]
    clips = [{"id": str(at), "audio_url": f"https://a/{at}.mp3"} for at in range(n)]
    return {"data": files, "results": clips, "task_id": "t", "status": "succeeded"}


LISTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "videos": read_videos,
    "music": read_music,
    "embeddings": lambda answer: vectors_of(answer, len(answer["data"])),
    "problems": find_problem,
}


@pytest.mark.parametrize("name", LISTS)
def test_an_answer_with_many_rows(name: str) -> None:
    """Lists of jobs, files and vectors cost what their rows cost."""

    def use(size: int) -> Callable[[], object]:
        data = json.dumps(rows(size)).encode()
        return lambda: LISTS[name](loads(data))

    compare(use, 800)


def test_names_of_models() -> None:
    """A name of any length is looked for in a catalogue in time."""

    def use(size: int) -> Callable[[], object]:
        names = ["-latest" * size, "@" * size + "\n\n", "1." * size, "*" * size]
        return lambda: [Catalogue(()).find(f"{name}x") for name in names]

    compare(use, 20_000)


def test_many_names_in_a_long_catalogue() -> None:
    """Not each row is tried with each name of a gateway's list."""
    rows = [
        attrs.evolve(row, pattern=f"{at}{row.pattern}")
        for at in range(9)
        for row in CATALOGUE.rows
    ]

    def use(catalogue: Catalogue, turn: int) -> float:
        names = [f"我的-model-{number}-{turn} 🐼" for number in range(500)]
        catalogue.find("")
        return seconds(lambda: [catalogue.find(name) for name in names])

    short, long = CATALOGUE.extended(), CATALOGUE.extended(*rows)
    times = [(use(short, turn), use(long, turn)) for turn in range(ROUNDS)]
    assert min(one for _, one in times) < 3 * min(one for one, _ in times)


def test_a_reply_of_damaged_lines() -> None:
    """What is no JSON is given up at the first line."""
    data = b'{"choices":[{"message":{"content":"' + b"\n\x01" * 60_000 + b'"}}]}'

    def run() -> None:
        with suppress(WireError):
            read("chat", [data])

    assert min(seconds(run) for _ in range(3)) < LONGEST


# --- JSON that is being written -----------------------------------------------------------------

ESCAPED = (
    r'{"a": "x\n\u00e!", "b": [1, {"c": "y"}]}',
    r'{"a": "x\n\u00e4 \ud83d\ude00 tab\t", "b": [1, {"c": "\\"}], "d": "\u4f60\u597d"}',
    r'["\ud83d", "\ude00", "\ud83d\ud83d\ude00", "\ud83dx", "\ud83d\n", "\ud83d\u12", "\ud83d\\"]',
    r'["\ude00\ud83d", "\ud83d\ude0", "\ud83d\u", "\ud83d\\ude00", "\q\x41\n", "\u", "\u12\n"]',
    r'["\\", "\\\\n", "\\\"\\n", "a\/b", "\u005c\u0022", "\\u00e4", "\u00E4", "\uD83D\uDE00"]',
    r'{"\u00e!": 1, "\ud83d": 2, "k\n\q": "v\n\q", "好": "\u00g9🐱\n"}',
    '["a\\\nb", "\x01\\u00\x02", "\\u00\n4"]',
)


def value_of(pieces: list[str]) -> Any:
    partial = PartialJson()
    for piece in pieces:
        partial.feed(piece)
        assert partial.value is not None
    return partial.value


@pytest.mark.parametrize("text", ESCAPED)
def test_the_value_is_the_same_however_the_text_is_cut(text: str) -> None:
    """Letter by letter, in pieces, whole or cut off: the same value of the same text."""
    for end in range(1, len(text) + 1):
        part = text[:end]
        once = value_of([part])
        for size in (1, 2, 3, 5):
            pieces = [part[at : at + size] for at in range(0, len(part), size)]
            assert value_of(pieces) == once
    whole = value_of([text])
    for cut in range(len(text)):
        assert value_of([text[:cut], text[cut:]]) == whole


def test_a_broken_escape_harms_no_other() -> None:
    """What is no escape stays as it is written, and what is one is decoded beside it."""
    assert value_of([ESCAPED[0]]) == {"a": "x\n\\u00e!", "b": [1, {"c": "y"}]}
    assert value_of([r'["\q\n"]']) == ["\\q\n"]


NESTED = {
    "brackets": lambda n: "[" * n,
    "escapes": lambda n: '["' + "\\n" * n,
    "backslashes": lambda n: '["' + "\\" * n,
    "quotes": lambda n: '["' + '\\"' * n,
    "halves": lambda n: '["' + "\\ud83d" * n,
    "broken": lambda n: '["' + "\\u00e!" * n,
    "numbers": lambda n: "[" + "1," * n,
    "keys": lambda n: "{" + '"a":1,' * n,
}


@pytest.mark.parametrize("name", NESTED)
def test_json_that_is_being_written(name: str) -> None:
    """Each character is looked at once, in pieces of any size."""

    def use(size: int) -> Callable[[], object]:
        text = NESTED[name](size)
        pieces = [text[at : at + 50] for at in range(0, len(text), 50)]

        def run() -> None:
            partial = PartialJson()
            for piece in pieces:
                partial.feed(piece)

        return run

    compare(use, 2_500)


def test_nesting_is_bounded() -> None:
    """What is nested too deeply to be shown is not read."""
    partial = PartialJson()
    partial.feed("[" * 100_000)
    assert partial.broken
    assert repr(partial.value).startswith("[[[")


def test_nested_arguments_are_compared_without_a_crash() -> None:
    """Arguments that are nested as deeply as JSON is read may come twice."""
    arguments = '{"a":' * 1000 + "1" + "}" * 1000
    pieces = [call_piece(0, arguments, id="c", name="f"), call_piece(0, arguments)]
    assert read("chat", [body((*pieces, *chat_end("tool_calls")))]).calls


def test_summaries_that_grow() -> None:
    """A summary that is told again, longer, is that one; a piece goes on with it."""
    deltas = [{"content": "一"}, {"content": "一二"}, {"content": "三"}, {"content": "一二三四"}]
    frames = (block_delta(0, type="compaction_delta", **delta) for delta in deltas)
    came = read("messages", [body(messages_around(frames))])
    assert came.reply.choices[0].native is not None
    assert came.reply.choices[0].native["content"][0]["content"] == "一二三四"
