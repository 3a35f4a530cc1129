"""A session and its settings, hooks, errors, and the pool that other clients use, too."""

import ssl
from collections.abc import Mapping
from typing import Literal, assert_type

from aiotokengate import (
    AuthenticationFailed,
    CallerError,
    ConnectFailed,
    Endpoint,
    Limits,
    Pool,
    QueueFull,
    RateLimited,
    Reply,
    ResponseInvalid,
    Retry,
    StatusError,
    StreamInterrupted,
    TimedOut,
    Timeout,
    TokenGate,
    TokenGateError,
    TransportError,
    Unanswered,
)
from aiotokengate.catalogue import CATALOGUE, Catalogue, Model, ModelInfo
from aiotokengate.clock import Clock, RealClock
from aiotokengate.hooks import (
    FirstDelta,
    Hook,
    HookEvent,
    Queued,
    RequestFinished,
    RequestStarted,
    RetryScheduled,
)
from aiotokengate.pool import (
    Because,
    LaneStatistics,
    LocalBackend,
    PoolStatistics,
    Priority,
    Slot,
    Waiting,
)
from aiotokengate.redis import RedisBackend, statistics
from aiotokengate.types import ApiKey, Attempt, Reasoning, Status, Usage


def note(event: HookEvent) -> None:
    match event:
        case Queued(position=position, eta=eta, because=because):
            print(position + 1, eta * 2, because.upper())
        case RequestStarted(attempt=attempt):
            assert_type(attempt, int)
        case FirstDelta(seconds=seconds):
            assert_type(seconds, float)
        case RetryScheduled(error=error):
            assert_type(error, TokenGateError)
        case RequestFinished(status=status, usage=usage):
            assert_type(status, Status | None)
            assert_type(usage, Usage)


class Counter:
    """A hook is any callable that takes an event."""

    def __call__(self, event: HookEvent) -> None:
        """Count it."""


async def key() -> str:
    return "sk-…"


async def settings() -> None:
    observers: list[Hook] = [note, Counter(), print]
    keys: list[ApiKey] = ["sk-…", key, lambda: "sk-…"]
    async with TokenGate(
        api_key=keys[0],
        base_url="https://gate.example/v1",
        pool=Pool(Limits(concurrency=10)),
        timeout=Timeout(connect=5, first_event=60, stall=30, total=None, after_finish=1),
        retry=Retry(attempts=5),
        hooks=observers,
        extra_headers={"X-Team": "bots"},
        extra_body={"top_k": 3},
        proxy="http://proxy:3128",
        ssl=ssl.create_default_context(),
        allow_private=True,
        strict=True,
        max_reply_bytes=1 << 20,
        catalogue=CATALOGUE.extended(Model("my-*", family="me")),
        paths={"videos": "/videos"},
        clock=RealClock(),
    ) as gate:
        assert_type(gate, TokenGate)
        assert_type(gate.pool, Pool)
        assert_type(gate.base_url, str)
        assert_type(gate.timeout, Timeout)
        await gate.close(drain=5)
    TokenGate(
        endpoints=[
            Endpoint(api_key="sk-1", weight=2),
            Endpoint(api_key=key, base_url="https://b.example/v1"),
        ]
    )


async def models(gate: TokenGate) -> None:
    infos = await gate.models()
    assert_type(infos, tuple[ModelInfo, ...])
    assert_type(infos[0].known, Model)
    assert_type(CATALOGUE, Catalogue)
    reasoning: Reasoning = "high"
    assert_type(gate.check("m", "你好", reasoning=reasoning), tuple[str, ...])


async def errors(gate: TokenGate) -> None:
    try:
        await gate.chat("m", "你好")
    except RateLimited as error:
        assert_type(error.retry_after, float | None)
    except AuthenticationFailed as error:
        assert_type(error.body, str)
    except StatusError as error:
        assert_type(error.type, str | None)
    except StreamInterrupted as error:
        told(error.partial)
        assert_type(error.__cause__, BaseException | None)
    except TimedOut as error:
        assert_type(error.phase, Literal["connect", "first_event", "stall", "total", "deadline"])
    except (ConnectFailed, Unanswered) as error:
        network(error)


async def more_errors(gate: TokenGate) -> None:
    try:
        await gate.chat("m", "你好")
    except TransportError as error:
        assert_type(error.retryable, bool)
    except ResponseInvalid as error:
        print(error.reply and error.reply.answer)
    except (CallerError, QueueFull) as error:
        assert_type(error.message, str)
    except TokenGateError as error:
        assert_type(error.status, int | None)
        assert_type(error.code, str | None)
        assert_type(error.hint, str | None)
        assert_type(error.attempts, tuple[Attempt, ...])


def told(partial: Reply) -> str:
    return partial.answer


def network(error: ConnectionError) -> None:
    """Some are builtin errors, too."""
    print(error)


async def pool() -> None:
    limits = Limits(requests_per_minute=300, tokens_per_minute=2e5, kind="window", charge="usage")
    shared = Pool(
        {"qwen*": limits},
        backend=LocalBackend(RealClock()),
        max_waiting=10,
        weights={"team": 2},
        count_tokens=lambda _model, text: len(text),
        monitor="/tmp/pool",  # noqa: S108 - nobody writes it
    )
    slot = shared.slot("qwen3.6-plus", tokens=100, priority="bulk", fair_key="user-7")
    assert_type(slot, Slot)
    async with slot as held:
        assert_type(held, Slot)
        held.answered({"x-ratelimit-limit-requests": "300"})
        held.true_up(50)
        held.settle(120)
        assert_type(held.refuse(retry_after=2), float)
        assert_type(held.waiting, Waiting | None)
    figures = shared.statistics()
    assert_type(figures, PoolStatistics)
    assert_type(figures.lanes, tuple[LaneStatistics, ...])
    assert_type(figures.waiting, int)
    waiting = slot.waiting
    if waiting is not None:
        assert_type(waiting.because, Because)


async def shared_limits() -> None:
    backend = RedisBackend("redis://10.0.0.5/0", prefix="team:", share=0.5)
    Pool(Limits(requests_per_minute=300), backend=backend)
    assert_type(await statistics("redis://10.0.0.5/0"), tuple[LaneStatistics, ...])
    await backend.aclose()


class Steady:
    """A clock of one's own is one by its methods."""

    def now(self) -> float:
        """Say that no time goes by."""
        return 0.0

    def call_later(self, delay: float, callback: object) -> "Steady":
        """Take note."""
        print(delay, callback)
        return self

    def cancel(self) -> None:
        """Call it off."""

    async def sleep(self, delay: float) -> None:
        """Go on at once."""
        print(delay)


def clocks(real: RealClock) -> list[Clock]:
    return [real, Steady()]


def refused(gate: TokenGate, headers: Mapping[str, str]) -> None:
    TokenGate("sk-…")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    TokenGate(retry=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TokenGate(timeout=30.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TokenGate(hooks=[len])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    TokenGate(api_key=lambda: 7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TokenGate(ssl="no")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Limits(kind="sliding")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Limits(concurency=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Limits().concurrency = 3  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    Pool(300)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Endpoint()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    gate.pool.slot("m", tokens="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    gate.pool.slot("m", priority="urgent")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    gate.pool = Pool()  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    with gate.pool.slot("m"):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    urgent: Priority = "urgent"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    RateLimited("…", retry_after=headers)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    print(urgent)
