"""Everything beside chat: embeddings, images, speech, jobs, tools, and requests of any kind."""

from array import array
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Literal, assert_type

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image as Picture

from aiotokengate import RawCall, Reply, TokenGate, ToolCall, Usage
from aiotokengate.jobs import Clip, Job, JobFile, JobReport, JobResult, JobState, JobStatus
from aiotokengate.media import (
    Download,
    Embeddings,
    Form,
    Image,
    ImageCall,
    Images,
    Segment,
    Sketch,
    SpeechCall,
    Split,
    Transcription,
    TranscriptionCall,
    Word,
    file_part,
)
from aiotokengate.sse import ServerSentEvent, SSEDecoder
from aiotokengate.tools import RunOptions, Tool, ToolCalls, ToolOutcome, ToolRun, tool_of
from aiotokengate.types import Delta, Json


async def embeddings(gate: TokenGate) -> None:
    vectors = await gate.embed("text-embedding-3-small", ["你好", "hello"], dimensions=8)
    assert_type(vectors, Embeddings)
    first: array[float] = vectors[0]
    assert_type(first[0], float)
    assert_type(vectors[:1], "tuple[array[float], ...]")
    assert_type(vectors.vectors, "tuple[array[float], ...]")
    assert_type([list(vector) for vector in vectors], list[list[float]])
    assert_type(vectors.usage, Usage)
    assert_type(vectors.numpy(), NDArray[np.float32])
    await gate.embed("m", [[1, 2], [3]], split=Split(inputs=10))
    await gate.embed("m", "一", encoding_format="float", timeout=None, priority="bulk")


async def images(gate: TokenGate) -> None:
    call = gate.images.generate("gpt-image-2", "一只橘猫 🐈", size="1024x1024", n=2)
    assert_type(call, ImageCall)
    made = await call
    assert_type(made, Images)
    assert_type(made[0], Image)
    assert_type(made[1:], tuple[Image, ...])
    assert_type([image.url for image in made], list[str])
    assert_type(await made[0].read(), bytes)
    assert_type(await made[0].save(Path("cat.png")), Path)
    assert_type(await made[0].pil(), Picture)
    async for sketch in gate.images.edit(
        "gpt-image-2", "帽子", [b"...", Path("cat.png")], mask=b"..."
    ):
        assert_type(sketch, Sketch)
        assert_type(sketch.number, int | None)


async def sounds(gate: TokenGate) -> None:
    speech = gate.audio.speak("tts-1", "你好", voice="alloy", speed=1.2)
    assert_type(speech, SpeechCall)
    assert_type(await speech, bytes)
    async for piece in gate.audio.speak("tts-1", "你好"):
        assert_type(piece, bytes)
    assert_type(await gate.audio.speak("tts-1", "你好").save("hello.mp3"), Path)
    heard = gate.audio.transcribe("whisper-1", "hello.mp3", timestamps=["word"], language="zh")
    assert_type(heard, TranscriptionCall)
    transcription = await heard
    assert_type(transcription, Transcription)
    assert_type(transcription.text, str)
    assert_type(transcription.segments, tuple[Segment, ...])
    assert_type(transcription.words, tuple[Word, ...])


async def jobs(gate: TokenGate) -> None:
    job = gate.videos.create("sora-2", "日出", image=Path("sun.png"), seconds=8, deadline=600)
    assert_type(job, Job)
    async for status in job:
        assert_type(status, JobStatus)
        assert_type(status.state, JobState)
    result = await job
    assert_type(result, JobResult)
    assert_type(result.files, tuple[JobFile, ...])
    assert_type(await job.save("sun.mp4"), tuple[Path, ...])
    assert_type(gate.job(job.id), Job)
    song = await gate.music.create("一首关于雨的歌", tags="jazz", vocal_gender="f")
    assert_type(song.clips, tuple[Clip, ...])
    assert_type(await gate.music.query(job, "task"), tuple[JobReport, ...])
    assert_type(gate.music.extend(song.clips[0], "…", continue_at=30), Job)


async def weather(city: str) -> str:
    """Tell the weather."""
    return f"{city}：晴"


async def tools(gate: TokenGate) -> None:
    tool = tool_of(weather, name="weather")
    assert_type(tool, Tool)
    options: RunOptions = {"temperature": 0.2, "reasoning": "low", "stream": False}
    call = gate.run_tools("m", "北京天气？", [weather, tool], rounds=3, **options)
    assert_type(call, ToolCalls)
    async for step in call:
        assert_type(step, Delta | ToolOutcome)
    run = await gate.run_tools("m", "北京天气？", [weather], tool_timeout=5)
    assert_type(run, ToolRun)
    assert_type(run.reply, Reply[Any])
    counted = await gate.run_tools("m", "几个？", [weather], response_type=int)
    assert_type(counted.reply.parsed, int)
    assert_type(run.outcomes, tuple[ToolOutcome, ...])
    assert_type(run.outcomes[0].call, ToolCall)
    assert_type(run.messages, tuple[Mapping[str, Json], ...])
    gate.chat("m", "北京天气？", tools=[weather, tool, {"type": "function"}]).close()


async def anything(gate: TokenGate) -> None:
    call = gate.request("POST", "/rerank", json={"query": "…"}, costly=False)
    assert_type(call, RawCall)
    assert_type(await call, Json)
    form = Form(files=(file_part("file", b"..."),))
    async with gate.request("POST", "/files", form=form) as download:
        assert_type(download, Download)
        assert_type(download.status, int)
        assert_type(await download.json(), Json)
        assert_type(await download.read(), bytes)
        assert_type(await download.save("x"), Path)
        assert_type(download.events(), AsyncIterator[ServerSentEvent])
        async for piece in download:
            assert_type(piece, bytes)


def events() -> None:
    decoder = SSEDecoder()
    for event in decoder.feed(b"data: hello\n\n"):
        assert_type(event, ServerSentEvent)
        assert_type(event.event, str)
        assert_type(event.data, bytes)
        assert_type(event.id, str | None)
        assert_type(event.retry, int | None)
    last = decoder.close()
    assert_type(last, ServerSentEvent | None)
    assert_type(last is not None and last.unterminated, bool)


async def refused(gate: TokenGate, face: Literal["openai"]) -> None:
    vectors = await gate.embed("m", "一")
    vectors["0"]  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await gate.embed("m", 7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await gate.embed("m", "一", encoding_format="int8")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    gate.images.generate("m", "…", face=face, sise="1024x1024")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    gate.audio.speak("m", b"...")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    gate.audio.transcribe("m", 7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    gate.videos.create("m", "…", dialect="runway")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    gate.job("video:sora:1", deadlin=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    gate.music.extend("clip", "…")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    gate.run_tools("m", "…", ["weather"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    gate.run_tools("m", "…", [weather], tools=[weather])  # type: ignore[misc]  # pyright: ignore[reportCallIssue]
    gate.request("FETCH", "/x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    gate.request("GET", "/x", body={})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    SSEDecoder().feed("data: hello\n\n")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
