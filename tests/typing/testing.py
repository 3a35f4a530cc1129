"""Tests of a program that uses the library: the fake gateway, its limits, faults and clocks."""

from collections.abc import Mapping
from typing import assert_type

from aiotokengate import Pool, TokenGate
from aiotokengate.testing import (
    Call,
    Decision,
    Enforcer,
    Exchange,
    FakeGateway,
    FakeJob,
    Gate,
    GatewayRequest,
    JobPlan,
    KeepAlive,
    Pace,
    Pause,
    Permit,
    RateLimit,
    Raw,
    Recorder,
    Recording,
    ScriptedReply,
    Signal,
    Text,
    Thought,
    Verdict,
    VirtualClock,
    faults,
)
from aiotokengate.types import Json


async def test_my_bot(fake_gateway: FakeGateway) -> None:
    fake_gateway.script(
        ScriptedReply(reasoning="…", answer=["你", Pause(0.1), "好"]),
        ScriptedReply(parts=[Thought("…"), Text("你好"), Call("weather", {"city": "北京"})]),
        Raw(status=500, body=b"{}").cut(1),
        faults.status_error(429),
    )
    async with TokenGate(api_key=fake_gateway.api_key, base_url=fake_gateway.base_url) as gate:
        await gate.chat("m", "你好")
    request = fake_gateway.requests[-1]
    assert_type(request, GatewayRequest)
    assert_type(request.json, Json)
    assert_type(request.headers, Mapping[str, str])
    assert_type(request.disconnected, Signal)


async def in_the_loop() -> None:
    gateway = FakeGateway(
        limits=RateLimit(requests_per_minute=60, kind="sliding"),
        pace=Pace(first_token=0.1),
        keep_alive=KeepAlive(),
        jobs=JobPlan(polls=2),
    )
    async with gateway as started:
        assert_type(started, FakeGateway)
        assert_type(started.base_url, str)
        assert_type(await started.wait_requests(2), GatewayRequest)
        held = Gate()
        started.script(ScriptedReply(answer=["你", held, "好"]))
        await held.reached()
        held.open()
        started.limits = None
        assert_type(started.limits, tuple[RateLimit, ...])


def simulated() -> None:
    clock = VirtualClock()
    Pool(clock=clock)
    enforcer = Enforcer(RateLimit(concurrency=1))
    verdict = enforcer.admit(clock.now(), key="a", model="m", prompt_tokens=1, max_tokens=None)
    assert_type(verdict, Verdict)
    assert_type(verdict.ticket, Permit | None)
    assert_type(enforcer.history, tuple[Decision, ...])


async def recorded(job: FakeJob) -> None:
    async with Recorder("replies.json", base_url="https://gate.example/v1") as recorder:
        assert_type(recorder.recording.exchanges, tuple[Exchange, ...])
    assert_type(Recording.load("replies.json"), Recording)
    assert_type(job.fields, Mapping[str, Json])


def refused(gateway: FakeGateway) -> None:
    gateway.script("你好")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    RateLimit(kind="window")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    FakeGateway("sk-…")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ScriptedReply(anwser="你好")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
