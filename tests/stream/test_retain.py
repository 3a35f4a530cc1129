"""Long streams: what was read is packed, or dropped where nothing is to be retained."""

import asyncio
import gc
import tracemalloc

import pytest

from aiotokengate import (
    AnswerDelta,
    CallerError,
    ReasoningDelta,
    StreamInterrupted,
    TokenGate,
)
from aiotokengate._wire.pack import BLOCK
from aiotokengate.testing import FakeGateway, Gate, Raw, ScriptedReply

MODEL = "qwen3.6-max-preview"
MANY = 600
THOUGHTS = [f"想{number}" for number in range(MANY)]
ANSWERS = [f"答{number}😊" for number in range(MANY)]
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
LONG = ScriptedReply(reasoning=THOUGHTS, answer=ANSWERS)


@pytest.mark.parametrize("protocol", ["chat", "responses", "messages"])
async def test_late_readers_of_a_long_stream(
    gateway: FakeGateway, gate: TokenGate, protocol: str
) -> None:
    """Every view gives all of it, first and later, also when most of it was packed long ago."""
    model = {"chat": MODEL, "responses": "gpt-5-pro", "messages": "claude-sonnet-4-6"}[protocol]
    gateway.script(LONG)
    async with gate.chat(model, "嗨", reasoning="low") as stream:
        first = [delta async for delta in stream]
        assert [delta.text for delta in first if isinstance(delta, AnswerDelta)] == ANSWERS
        assert [delta async for delta in stream] == first
        assert [text async for text in stream.answer] == ANSWERS
        thoughts = "".join([text async for text in stream.reasoning])
        phases = [(phase.kind, await phase.text()) async for phase in stream.phases()]
        reply = await stream.reply()
    assert reply.answer == "".join(ANSWERS)
    assert reply.reasoning == thoughts == "".join(THOUGHTS)
    assert phases == [("reasoning", thoughts), ("answer", reply.answer)]


async def test_two_readers_at_their_own_pace(gateway: FakeGateway, gate: TokenGate) -> None:
    """The slow one reads what the fast one left behind, text by text."""
    gateway.script(LONG)
    async with gate.chat(MODEL, "嗨") as stream:
        slow, fast = aiter(stream.answer), aiter(stream.answer)
        read = [await anext(slow)]
        assert [text async for text in fast] == ANSWERS
        read += [text async for text in slow]
    assert read == ANSWERS


async def test_nothing_retained(gateway: FakeGateway, gate: TokenGate) -> None:
    """The readers miss nothing; the reply has all but the text, and says so."""
    gateway.script(LONG)
    async with gate.chat(MODEL, "嗨", retain=False) as stream:
        thoughts = [text async for text in stream.reasoning]
        answers = [text async for text in stream.answer]
        reply = await stream.reply()
    assert (thoughts, answers) == (THOUGHTS, ANSWERS)
    assert (reply.answer, reply.reasoning) == ("", "")
    assert any("retain=False" in note for note in reply.notes)
    assert (reply.status, reply.finish_reason) == ("complete", "stop")
    assert reply.usage.completion_tokens == 2 * MANY
    with pytest.raises(CallerError, match="retain=False"):
        reply.message()


async def test_little_is_held_where_nothing_is_retained(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """At no time more than a few blocks, however long the stream; a late reader gets the rest."""
    turn = Gate()
    gateway.script(ScriptedReply(answer=[*ANSWERS, turn, *ANSWERS, turn, "完"]))
    async with gate.chat(MODEL, "嗨", retain=False) as stream:
        reader = aiter(stream.answer)
        for _ in range(2):
            for expected in ANSWERS:
                assert await anext(reader) == expected
            turn.open()
        assert await anext(reader) == "完"
        del reader
        left = [delta async for delta in stream]
    assert 1 <= len([delta for delta in left if isinstance(delta, AnswerDelta)]) < MANY + BLOCK


async def test_nobody_reads_and_nothing_is_dropped(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(LONG)
    reply = await gate.chat(MODEL, "嗨", retain=False)
    assert (reply.answer, reply.reasoning) == ("".join(ANSWERS), "".join(THOUGHTS))
    assert reply.message()["content"] == reply.answer


@pytest.mark.parametrize("model", ["gpt-5-pro", "claude-sonnet-4-6"])
async def test_nor_do_other_protocols_retain(
    gateway: FakeGateway, gate: TokenGate, model: str
) -> None:
    """What they would want back is the text once more."""
    gateway.script(LONG)
    async with gate.chat(model, "嗨", retain=False, reasoning="low") as stream:
        deltas = [delta async for delta in stream]
        reply = await stream.reply()
    said = [delta.text for delta in deltas if isinstance(delta, AnswerDelta)]
    thought = [delta.text for delta in deltas if isinstance(delta, ReasoningDelta)]
    assert ("".join(said), "".join(thought)) == ("".join(ANSWERS), "".join(THOUGHTS))
    assert reply.choices[0].native is None
    assert reply.finish_reason == "stop"


async def test_the_estimate_of_a_cut_stream_counts_what_was_dropped(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    event = 'data: {"choices":[{"index":0,"delta":{"content":"四个字符"}}]}\n\n'
    counts = []
    for retain in (True, False):
        gateway.script(Raw(body=event.encode() * MANY, end="reset"))
        with pytest.raises(StreamInterrupted) as caught:
            async for _ in gate.chat(MODEL, "嗨", retain=retain):
                pass
        usage = caught.value.partial.usage
        assert usage.estimated
        counts.append(usage.completion_tokens)
    # Four characters are between 2 and 4 tokens, whichever way their pieces are counted.
    assert all(2 * MANY <= count <= 4 * MANY for count in counts)


async def test_where_the_whole_reply_is_needed(gate: TokenGate) -> None:
    talk = gate.conversation(MODEL)
    with pytest.raises(CallerError, match="retain"):
        await talk.say("嗨", retain=False)
    with pytest.raises(CallerError, match="retain"):
        gate.run_tools(MODEL, "嗨", [print], retain=False)
    with pytest.raises(CallerError, match="retain"):
        gate.chat(MODEL, "嗨", response_type=dict, retain=False)


async def test_a_large_prompt_is_not_held_while_the_reply_streams() -> None:
    """Nobody sends it a second time once there is a delta."""
    size = 8_000_000

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}]")
        writer.write(STREAM_HEAD + b'data: {"choices":[{"delta":{"content":"\xe5\xa5\xbd"}}]}\n\n')
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    left = asyncio.Event()
    server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=2 * size)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    prompt = "x" * size
    async with server:
        async with TokenGate(base_url=address, api_key="sk-x", proxy="") as gate:
            tracemalloc.start()
            try:
                async with gate.chat(MODEL, prompt) as stream:
                    assert await anext(stream.answer.__aiter__()) == "好"
                    gc.collect()
                    held = [trace.size for trace in tracemalloc.take_snapshot().traces]
            finally:
                tracemalloc.stop()
        await left.wait()
    assert max(held) < size
