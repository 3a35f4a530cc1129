"""A chat in its three ways, its deltas, its reply and its options."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal, assert_type

from aiotokengate import (
    AnswerDelta,
    ChatCall,
    ChatStream,
    ChoiceView,
    CitationDelta,
    CommentaryDelta,
    FinishDelta,
    MediaDelta,
    Message,
    Outcome,
    Phase,
    ReasoningDelta,
    RefusalDelta,
    Reply,
    Retry,
    TextStream,
    Timeout,
    TokenGate,
    ToolCall,
    ToolCallDelta,
    UnknownDelta,
    Usage,
    UsageDelta,
)
from aiotokengate.types import Attempt, Choice, Citation, Delta, Json, Media, Messages, Timeline


async def awaited(gate: TokenGate) -> None:
    call = gate.chat("qwen3.6-max-preview", "你好")
    assert_type(call, ChatCall[None])
    reply = await call
    assert_type(reply, Reply[None])
    assert_type(reply.answer, str)
    assert_type(reply.reasoning, str)
    assert_type(reply.commentary, str)
    assert_type(reply.usage, Usage)
    assert_type(reply.usage.reasoning_tokens, int)
    assert_type(reply.usage.extra, Mapping[str, Json])
    assert_type(reply.tool_calls, tuple[ToolCall, ...])
    assert_type(reply.choices, tuple[Choice, ...])
    assert_type(reply.media, tuple[Media, ...])
    assert_type(reply.citations, tuple[Citation, ...])
    assert_type(reply.attempts, tuple[Attempt, ...])
    assert_type(reply.unknown, tuple[UnknownDelta, ...])
    assert_type(reply.timeline, Timeline)
    assert_type(reply.timeline.first_answer, float | None)
    assert_type(reply.finish_reason, str | None)
    assert_type(reply.request_id, str | None)
    assert_type(reply.notes, tuple[str, ...])
    assert_type(reply.skipped, int)
    assert_type(reply.empty, bool)
    assert_type(reply.message(), dict[str, Json])
    match reply.status:
        case "complete" | "stopped" | "paused":
            pass
        case "interrupted" as status:
            assert_type(status, Literal["interrupted"])


def shown(delta: Delta) -> str:
    match delta:
        case ReasoningDelta(text=text) | AnswerDelta(text=text) | CommentaryDelta(text=text):
            return assert_type(text, str)
        case RefusalDelta(text, choice):
            assert_type(choice, int)
            return assert_type(text, str)
        case ToolCallDelta(index=index, id=id_, name=name, arguments=arguments):
            assert_type(index, int)
            return f"{id_} {name}({arguments})"
        case MediaDelta(media):
            assert_type(media.data, bytes | None)
            return media.url
        case CitationDelta(citation):
            return citation.url
        case UnknownDelta(protocol=protocol, type=kind):
            return f"{protocol} {kind}"
        case FinishDelta(reason=reason):
            return reason
        case UsageDelta(usage):
            return str(usage.total_tokens)


async def iterated(gate: TokenGate) -> None:
    async for delta in gate.chat("qwen3.6-max-preview", "你好"):
        assert_type(delta, Delta)
        if isinstance(delta, AnswerDelta):
            assert_type(delta.text, str)


async def entered(gate: TokenGate, history: Messages) -> None:
    async with gate.chat("qwen3.6-max-preview", history) as stream:
        assert_type(stream, ChatStream[None])
        assert_type(stream.reasoning, TextStream)
        assert_type(stream.headers, Mapping[str, str])
        async for thought in stream.reasoning:
            assert_type(thought, str)
        async for token in stream.answer:
            assert_type(token, str)
        async for line in stream.answer.lines():
            assert_type(line, str)
        async for so_far in stream.answer.snapshots(every=1.0):
            assert_type(so_far, str)
        async for burst in stream.reasoning.all().bursts(every=0.8):
            assert_type(burst, str)
        async for phase in stream.phases():
            assert_type(phase, Phase)
            assert_type(await phase.text(), str)
            if phase.kind == "commentary":
                break
        async for call in stream.tool_calls:
            assert_type(call, ToolCall)
            assert_type(call.parse(), Json)
        async for event in stream.sse():
            assert_type(event, bytes)
        assert_type(stream.choice(1), ChoiceView)
        assert_type(stream.choice(1).tool_calls, AsyncIterator[ToolCall])
        stream.stop()
        assert_type(await stream.reply(), Reply[None])


async def panel(stream: TextStream) -> str:
    return "".join([piece async for piece in stream])


async def together(gate: TokenGate) -> None:
    """A call is a coroutine, and its views can be read side by side."""
    async with gate.chat("m", "你好") as stream, asyncio.TaskGroup() as group:
        group.create_task(panel(stream.reasoning))
        group.create_task(panel(stream.answer))
    task = asyncio.create_task(gate.chat("m", "你好"))
    assert_type(task, asyncio.Task[Reply[None]])
    first, second = await asyncio.gather(gate.chat("m", "一"), gate.chat("m", "二"))
    assert_type(first, Reply[None])
    assert_type(second, Reply[None])
    assert_type(await asyncio.wait_for(gate.chat("m", "你好"), 1), Reply[None])


def options(gate: TokenGate) -> None:
    gate.chat(
        "gpt-5.2",
        [
            {"role": "system", "content": "回答要简短"},
            Message("user", [{"type": "text", "text": "你好"}]),
        ],
        stream=False,
        retain=True,
        strict=True,
        reasoning="high",
        protocol="responses",
        tools=[{"type": "function", "function": {"name": "now"}}],
        retry=Retry(attempts=2, max_wait=10, empty=True),
        timeout=Timeout(connect=5, total=None),
        deadline=60,
        priority="bulk",
        fair_key="user-7",
        extra_body={"top_k": 3},
        extra_headers={"X-Team": "bots"},
        idempotency_key=True,
        temperature=0.2,
        max_tokens=100,
        n=2,
        stop=["\n"],
        response_format={"type": "json_object"},
    ).close()
    gate.chat("m", "你好", reasoning=2_000).close()


async def many(gate: TokenGate) -> None:
    prompts = [{"model": "m", "messages": "你好"}]
    async for outcome in gate.map(prompts, ordered=True, at_once=10):
        assert_type(outcome, Outcome[dict[str, str]])
        assert_type(outcome.request["messages"], str)
        assert_type(outcome.reply, Reply[Any] | None)
        assert_type(outcome.error, Exception | None)
    async with gate.map(gate.chat("m", line) for line in "abc") as outcomes:
        async for answered in outcomes:
            assert_type(answered, Outcome[ChatCall[None]])


def told(reply: Reply) -> str:
    """``Reply`` alone stands for any."""
    return reply.answer


async def passed_on(gate: TokenGate) -> str:
    return told(await gate.chat("m", "你好"))


async def refused(gate: TokenGate) -> None:
    gate.chat("m")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    gate.chat("m", 7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    gate.chat("m", "", temprature=0.3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    gate.chat("m", "", temperature="warm")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    gate.chat("m", "", reasoning="hihg")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    gate.chat("m", "", protocol="grpc")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    gate.chat("m", "", priority="urgent")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    gate.chat("m", "", fallback=["m2"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    gate.map([3])  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    for delta in gate.chat("m", ""):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
        print(delta)  # pyright: ignore[reportUnknownArgumentType]
    reply = await gate.chat("m", "")
    reply.answer = "…"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    reply.usage.total_tokens = 0  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    reply.text  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    await reply  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    reply.parsed.name  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    Message(content="你好")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Timeout(conect=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Retry(attempts="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
