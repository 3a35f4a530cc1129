"""The views of a reply: its texts in pieces, lines and bursts, its phases, its tool calls."""

import asyncio
from collections.abc import AsyncIterator
from math import inf

import orjson
import pytest

from aiotokengate import CallerError, ChatStream, StreamInterrupted, TokenGate, ToolCall
from aiotokengate._stream.receiver import Guard
from aiotokengate._wire.pack import BLOCK
from aiotokengate._wire.transcript import ANSWER, BREAK, COMMENTARY, NOTE, REASONING
from aiotokengate.testing import Call, FakeGateway, Gate, ScriptedReply, Text, Thought
from aiotokengate.testing._clock import VirtualClock
from aiotokengate.testing._script import Part, Pause
from aiotokengate.testing._scripted_body import Step
from tests.support.common import receiver_over

MODEL = "qwen3.6-max-preview"


def said(text: str, field: str = "content", reason: str | None = None) -> bytes:
    """Return an event that says a text."""
    choice = {"index": 0, "delta": {field: text}, "finish_reason": reason}
    return b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n"


def thought(text: str) -> bytes:
    return said(text, "reasoning_content")


DONE = said("", reason="stop") + b"data: [DONE]\n\n"


def stream_of(*steps: Step, clock: VirtualClock | None = None) -> ChatStream:
    """Return a stream over a body without a socket."""
    receiver = receiver_over(steps, clock=clock)
    return ChatStream(receiver, Guard(receiver))


async def collected(items: AsyncIterator[object]) -> list[object]:
    return [item async for item in items]


# --- against the fake gateway -------------------------------------------------------------------


async def test_interleaved_thinking(gateway: FakeGateway, gate: TokenGate) -> None:
    """Phases come in order; reasoning is the first one, ``all`` is every one."""
    parts: list[Part] = [Thought(["想"]), Text(["一"]), Thought(["再", "想"]), Text(["二"])]
    gateway.script(ScriptedReply(parts=parts))
    async with gate.chat("glm-5.1", "数数") as stream:
        assert [piece async for piece in stream.reasoning] == ["想"]
        phases = [(phase.kind, await phase.text()) async for phase in stream.phases()]
        assert await stream.reasoning.all().text() == "想再想"
        assert await stream.answer.text() == "一二"
    assert phases == [
        ("reasoning", "想"),
        ("answer", "一"),
        ("reasoning", "再想"),
        ("answer", "二"),
    ]
    reply = await stream.reply()
    assert (reply.reasoning, reply.answer) == ("想再想", "一二")


async def test_phases_that_are_not_read_are_passed_over(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """The next phase comes even when the one before was left unread."""
    gateway.script(
        ScriptedReply(parts=[Thought(["想", "想"]), Text(["一", "一"]), Thought(["再"])])
    )
    async with gate.chat("glm-5.1", "数数") as stream:
        assert [phase.kind async for phase in stream.phases()] == [
            "reasoning",
            "answer",
            "reasoning",
        ]


async def test_reasoning_is_empty_without_thinking(gateway: FakeGateway, gate: TokenGate) -> None:
    """Reading the reasoning of a model that does not think costs only its first token."""
    turn = Gate()
    gateway.script(ScriptedReply(answer=["一", turn, "二"]))
    async with gate.chat(MODEL, "数数") as stream:
        assert [piece async for piece in stream.reasoning] == []
        turn.open()
        assert await stream.answer.text() == "一二"


async def test_tool_calls_come_complete(gateway: FakeGateway, gate: TokenGate) -> None:
    """Each tool call is given whole, with its arguments as JSON text."""
    calls = [Call("weather", {"city": "北京"}), Call("time", {})]
    gateway.script(ScriptedReply(reasoning="想", answer="看看", tool_calls=calls))
    async with gate.chat(MODEL, "天气？", tools=[]) as stream:
        got = [call async for call in stream.tool_calls]
        reply = await stream.reply()
    assert [(call.name, call.parse()) for call in got] == [
        ("weather", {"city": "北京"}),
        ("time", {}),
    ]
    assert all(call.complete for call in got)
    assert tuple(got) == reply.tool_calls
    assert reply.finish_reason == "tool_calls"
    assert [call["function"]["name"] for call in reply.message()["tool_calls"]] == [
        "weather",
        "time",
    ]


async def test_several_choices(gateway: FakeGateway, gate: TokenGate) -> None:
    """Every choice has its own views."""
    first, second = ScriptedReply(reasoning="甲", answer="一"), ScriptedReply(answer="二")
    gateway.script((first, second))
    async with gate.chat("deepseek-v4-flash", "选", n=2) as stream:
        assert await stream.choice(1).answer.text() == "二"
        assert await stream.choice(1).reasoning.text() == ""
        assert await stream.choice(0).reasoning.text() == "甲"
        assert [phase.kind async for phase in stream.choice(1).phases()] == ["answer"]
        reply = await stream.reply()
    assert [choice.answer for choice in reply.choices] == ["一", "二"]


async def test_views_that_cannot_be(gateway: FakeGateway, gate: TokenGate) -> None:
    """A number of a choice, or of seconds, that makes no sense is refused at once."""
    async with gate.chat(MODEL, "给小猫起个名字 🐱") as stream:
        for index in (-1, "0"):
            with pytest.raises(CallerError, match="number of a choice, from 0 up, got"):
                stream.choice(index)  # type: ignore[arg-type]
        for every in (-1, float("nan"), "1", None):
            with pytest.raises(CallerError, match="every= in seconds from 0 up, got"):
                stream.answer.bursts(every=every)  # type: ignore[arg-type]


async def test_lines(gateway: FakeGateway, gate: TokenGate) -> None:
    """Lines are whole, wherever the pieces are cut, and the last one needs no line end."""
    gateway.script(ScriptedReply(answer=["一", "行\n", "\n三", "\n四\n五🙂", "六"]))
    async with gate.chat(MODEL, "几行") as stream:
        assert [line async for line in stream.answer.lines()] == ["一行", "", "三", "四", "五🙂六"]


# --- without a socket ---------------------------------------------------------------------------


async def test_white_space_before_the_thoughts() -> None:
    """Gateways write it; it does not end the reasoning before that has begun."""
    stream = stream_of(said("\n"), thought("想"), said("一"), thought("再"), DONE)
    assert await stream.reasoning.text() == "想"
    assert stream.reasoning.kind == "reasoning"
    assert await stream.reasoning.all().text() == "想再"


async def test_snapshots_and_bursts() -> None:
    """Both come at most once in the interval, also where the stream falls silent."""
    clock = VirtualClock()
    last: list[Step] = [said("三"), Pause(0.5), said("四"), Pause(9), DONE]
    steps: list[Step] = [said("一"), said("二"), Pause(3), *last]
    one, other = stream_of(*steps, clock=clock), stream_of(*steps, clock=clock)
    bursts = asyncio.ensure_future(collected(one.answer.bursts(every=1)))
    snapshots = asyncio.ensure_future(collected(other.answer.snapshots(every=1)))
    await clock.run_for(20)
    assert await bursts == ["一", "二", "三", "四"]
    assert await snapshots == ["一", "一二", "一二三", "一二三四"]


async def turns_during(items: AsyncIterator[object], many: int) -> int:
    """Return how many turns the loop had while so many items were read, which had all come."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.ensure_future(others())
    assert len(await collected(items)) == many
    other.cancel()
    return turns


async def test_lines_let_the_loop_have_its_turn() -> None:
    """One event may hold a million of them."""
    stream = stream_of(said("\n" * 2000), DONE)
    await stream.reply()
    assert await turns_during(stream.answer.lines(), 2000) == 2000 // 512 - 1


async def test_many_calls_let_it_as_well() -> None:
    calls = [{"index": n, "id": f"c{n}", "function": {"name": "f"}} for n in range(1500)]
    pieces = b'data: {"choices":[{"index":0,"delta":{"tool_calls":%b}}]}\n\n' % orjson.dumps(calls)
    stream = stream_of(pieces, said("", reason="tool_calls") + b"data: [DONE]\n\n")
    await stream.reply()
    assert await turns_during(stream.tool_calls, 1500) == 1500 // 512 - 1


async def test_objects_as_far_as_they_are_written() -> None:
    """Long JSON is read piece by piece; what follows it is skipped up to the end."""
    text = orjson.dumps(["x" * 100] * 200).decode()
    stream = stream_of(said(text[:6000]), said(f"{text[6000:]} 完"), DONE)
    seen = [len(value) async for value in stream.objects(every=0)]
    assert (len(seen), seen[-1]) == (2, 200)
    assert await collected(stream_of(said("好"), DONE).objects(every=0)) == []
    assert await turns_during(stream.objects(every=0), 1) == len(text) // 4096 - 1


async def test_objects_of_a_stream_that_is_cut() -> None:
    """Its error is raised, whether the JSON was whole by then or not."""
    for text, seen in (("[1, 2", [1, 2]), ("[1, 2]", [1, 2])):
        objects = stream_of(said(text + " ")).objects(every=0)
        assert await anext(objects) == seen
        with pytest.raises(StreamInterrupted):
            await anext(objects)


# --- entries as they stand in the transcript ----------------------------------------------------


def stream_over(*entries: tuple[int, int, str], packed: bool = False) -> ChatStream:
    """Return a stream that has ended, and of which these are the entries."""
    receiver = receiver_over([], choices=3)
    for choice, kind, text in entries:
        receiver.log.put(choice, kind, text)
    if packed:
        receiver.log.pack()
    receiver.stop()
    return ChatStream(receiver, Guard(receiver))


OTHER = "something that is no text"
ENTRIES = [
    (1, REASONING, "a"),
    (0, REASONING, "甲"),
    (0, REASONING, "乙"),
    (0, NOTE, OTHER),
    (1, ANSWER, "b"),
    (0, REASONING, "丙"),
    (0, BREAK, OTHER),
    (0, REASONING, "丁"),
    (1, COMMENTARY, "c"),
    (0, COMMENTARY, "戊"),
    (1, COMMENTARY, "d"),
    (1, NOTE, OTHER),
    (0, COMMENTARY, "己"),
    (1, COMMENTARY, "e"),
    (0, ANSWER, "庚"),
    (2, ANSWER, "x"),
    (0, ANSWER, "辛"),
    (1, BREAK, OTHER),
    (1, COMMENTARY, "f"),
    (0, REASONING, "壬"),
    (0, ANSWER, "癸"),
]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("choice", "reasoning", "thoughts", "answer", "phases"),
    [
        (
            0,
            ["甲", "乙", "丙"],
            ["甲", "乙", "丙", "丁", "壬"],
            ["庚", "辛", "癸"],
            [
                ("reasoning", ["甲", "乙", "丙"]),
                ("reasoning", ["丁"]),
                ("commentary", ["戊", "己"]),
                ("answer", ["庚", "辛"]),
                ("reasoning", ["壬"]),
                ("answer", ["癸"]),
            ],
        ),
        (
            1,
            ["a"],
            ["a"],
            ["b"],
            [
                ("reasoning", ["a"]),
                ("answer", ["b"]),
                ("commentary", ["c", "d", "e"]),
                ("commentary", ["f"]),
            ],
        ),
        (2, [], [], ["x"], [("answer", ["x"])]),
        (3, [], [], [], []),
    ],
)
async def test_what_each_view_shows_of_each_choice(
    packed: bool,
    choice: int,
    reasoning: list[str],
    thoughts: list[str],
    answer: list[str],
    phases: list[tuple[str, list[str]]],
) -> None:
    """A phase ends with other text of its choice, or a break, and not with a note."""
    filler = [(2, NOTE, OTHER)] * (BLOCK if packed else 0)
    view = stream_over(*ENTRIES, *filler, packed=packed).choice(choice)
    assert await collected(aiter(view.reasoning)) == reasoning
    assert await collected(aiter(view.reasoning.all())) == thoughts
    assert await collected(aiter(view.answer)) == answer
    assert await collected(aiter(view.answer.all())) == answer
    found = [(phase.kind, [text async for text in phase]) async for phase in view.phases()]
    assert found == phases
    unread = [phase async for phase in view.phases()]
    assert [(phase.kind, [text async for text in phase]) for phase in unread] == phases
    assert (view.reasoning.kind, view.answer.kind) == ("reasoning", "answer")


async def test_what_may_stand_before_the_thoughts() -> None:
    """White space of the answer, and nothing else; a later phase begins with its own text."""
    stream = stream_over((0, ANSWER, " \n"), (0, ANSWER, "\n"), (0, REASONING, "想"))
    assert await stream.reasoning.text() == "想"
    for before in [(ANSWER, "好"), (COMMENTARY, "\n"), (BREAK, "\n")]:
        stream = stream_over((0, *before), (0, REASONING, "想"))
        assert await collected(aiter(stream.reasoning)) == []
    stream = stream_over((0, REASONING, "想"), (0, ANSWER, "\n"), (0, REASONING, "再"))
    phases = [await phase.text() async for phase in stream.phases()]
    assert phases == ["想", "\n", "再"]


@pytest.mark.parametrize("later", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1])
async def test_who_reads_late_reads_each_text_once(later: int) -> None:
    """Of what was packed, and of what comes after it."""
    texts = [f"{number} " for number in range(BLOCK + later)]
    receiver = receiver_over([])
    for text in texts[:BLOCK]:
        receiver.log.put(0, ANSWER, text)
    stream = ChatStream(receiver, Guard(receiver))
    early = aiter(stream.answer)
    assert [await anext(early) for _ in range(3)] == texts[:3]
    receiver.log.pack()
    for text in texts[BLOCK:]:
        receiver.log.put(0, ANSWER, text)
    receiver.stop()
    assert await collected(early) == texts[3:]
    assert await collected(aiter(stream.answer)) == texts
    (phase,) = [phase async for phase in stream.phases()]
    assert await collected(aiter(phase)) == texts


async def test_what_readers_of_text_hold_where_nothing_is_retained() -> None:
    """What they have not read; one that finds nothing of its kind holds nothing."""
    frames = [said(f"{number} ") for number in range(8 * BLOCK)]
    receiver = receiver_over([*frames, DONE], retain=False)
    stream = ChatStream(receiver, Guard(receiver))
    slow = aiter(stream.answer)
    assert [await anext(slow) for _ in range(3)] == ["0 ", "1 ", "2 "]
    fast = aiter(stream.answer)
    for _ in range(3, 6 * BLOCK):
        await anext(fast)
    assert receiver.log.first == 0
    rest = [await anext(slow) for _ in range(3, 4 * BLOCK)]
    assert rest == [f"{number} " for number in range(3, 4 * BLOCK)]
    assert await collected(fast)
    assert receiver.log.first == 4 * BLOCK
    receiver = receiver_over([*frames, DONE], retain=False)
    stream = ChatStream(receiver, Guard(receiver))
    assert await stream.reasoning.all().text() == ""
    assert receiver.log.first == receiver.log.base > 0


# --- in the course of time ----------------------------------------------------------------------


async def timed(clock: VirtualClock, items: AsyncIterator[object]) -> list[tuple[float, object]]:
    return [(clock.now(), item) async for item in items]


SPOKEN: list[Step] = [
    *(said("一"), Pause(0.3), said("二"), Pause(0.3), said("三"), Pause(0.3), said("四")),
    *(Pause(2.0), said("五"), Pause(0.5), said("六"), Pause(9.0), said("七"), DONE),
]


async def test_bursts_come_every_eight_tenths_of_a_second() -> None:
    """The first at once, and whatever came in silence when it is due."""
    clock = VirtualClock()
    reading = asyncio.ensure_future(timed(clock, stream_of(*SPOKEN, clock=clock).answer.bursts()))
    await clock.run_for(20)
    shown = [(round(at, 6), text) for at, text in await reading]
    assert shown == [
        (0.0, "一"),
        (0.8, "二三"),
        (1.6, "四"),
        (2.9, "五"),
        (3.7, "六"),
        (12.4, "七"),
    ]


async def test_snapshots_come_every_second() -> None:
    clock = VirtualClock()
    reading = asyncio.ensure_future(
        timed(clock, stream_of(*SPOKEN, clock=clock).answer.snapshots())
    )
    await clock.run_for(20)
    shown = [(round(at, 6), text) for at, text in await reading]
    assert shown == [
        (0.0, "一"),
        (1.0, "一二三四"),
        (2.9, "一二三四五"),
        (3.9, "一二三四五六"),
        (12.4, "一二三四五六七"),
    ]


async def test_the_last_burst_is_not_waited_for() -> None:
    """Nor what came before a cut, which is raised after it."""
    clock = VirtualClock()
    for end, error in ((DONE, None), (ConnectionResetError("gone"), StreamInterrupted)):
        stream = stream_of(said("一"), Pause(1), said("二"), end, clock=clock)
        bursts = stream.answer.bursts(every=60)
        assert await anext(bursts) == "一"
        last = asyncio.ensure_future(anext(bursts))
        await clock.run_for(1)
        assert last.result() == "二"
        with pytest.raises(error or StopAsyncIteration):
            await anext(bursts)


async def test_lines_of_a_cut_stream() -> None:
    """The line that was begun is given, then the error."""
    lines = stream_of(said("一\n二"), said("二\n\n三")).answer.lines()
    assert [await anext(lines) for _ in range(4)] == ["一", "二二", "", "三"]
    with pytest.raises(StreamInterrupted):
        await anext(lines)


async def test_lines_of_a_phase() -> None:
    """Its last one ends with it, and not with the stream."""
    stream = stream_of(thought("想\n一"), said("好"), Pause(inf), clock=VirtualClock())
    assert await collected(stream.reasoning.lines()) == ["想", "一"]


async def test_tool_calls_of_each_choice_as_they_are_certain() -> None:
    """A call is given when the next one begins, or the reply has ended."""

    def calling(choice: int, call: int, name: str | None, piece: str) -> bytes:
        function = {"name": name, "arguments": piece} if name else {"arguments": piece}
        told = {"index": call, "function": function, **({"id": f"id-{name}"} if name else {})}
        delta = {"index": choice, "delta": {"tool_calls": [told]}}
        return b"data: " + orjson.dumps({"choices": [delta]}) + b"\n\n"

    def finished(choice: int) -> bytes:
        end = {"index": choice, "delta": {}, "finish_reason": "tool_calls"}
        return b"data: " + orjson.dumps({"choices": [end]}) + b"\n\n"

    clock = VirtualClock()
    steps: list[Step] = [
        *(calling(0, 0, "f", "{"), calling(0, 0, None, "}"), Pause(1)),
        *(calling(1, 0, "g", "{}"), Pause(1), calling(0, 1, "h", "{}"), Pause(1)),
        *(finished(0), Pause(1), finished(1), b"data: [DONE]\n\n"),
    ]
    receiver = receiver_over(steps, choices=2, clock=clock)
    stream = ChatStream(receiver, Guard(receiver))
    first = asyncio.ensure_future(timed(clock, stream.tool_calls))
    second = asyncio.ensure_future(timed(clock, stream.choice(1).tool_calls))
    third = asyncio.ensure_future(timed(clock, stream.choice(2).tool_calls))
    await clock.run_for(9)

    def named(calls: list[tuple[float, object]]) -> list[tuple[float, str, str]]:
        return [(at, c.name, c.arguments) for at, c in calls if isinstance(c, ToolCall)]

    assert named(await first) == [(2.0, "f", "{}"), (4.0, "h", "{}")]
    assert named(await second) == [(4.0, "g", "{}")]
    assert await third == []


async def test_late_readers_of_what_was_packed() -> None:
    """Phases and texts are found in the packed part of a transcript, too."""
    many = [thought("想")] * 2 * BLOCK + [said("一")] * 2 * BLOCK
    stream = stream_of(*many, DONE)
    await stream.reply()
    phases = [(phase.kind, len(await phase.text())) async for phase in stream.phases()]
    assert phases == [("reasoning", 2 * BLOCK), ("answer", 2 * BLOCK)]
    assert await stream.answer.text() == "一" * 2 * BLOCK


async def test_a_phase_is_read_while_it_comes() -> None:
    clock = VirtualClock()
    stream = stream_of(thought("想"), Pause(1), said("一"), Pause(inf), clock=clock)
    phases = stream.phases()
    first = await anext(phases)
    following = asyncio.ensure_future(anext(phases))
    await clock.run_for(2)
    assert (await following).kind == "answer"
    assert await first.text() == "想"


async def test_a_cut_in_a_phase() -> None:
    stream = stream_of(said("一"), ConnectionResetError("gone"))
    phases = stream.phases()
    await anext(phases)
    with pytest.raises(StreamInterrupted):
        await anext(phases)
