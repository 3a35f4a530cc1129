"""A stream without a socket, for the tests that need one, and the sockets of those with one."""

import gc
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from aiotokengate._policy.timeouts import Timeout
from aiotokengate._stream.receiver import Receiver, ReceiverSettings
from aiotokengate._wire.chat_completions import ChatCompletionsDecoder
from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.transcript import Transcript
from aiotokengate.clock import Clock, RealClock
from aiotokengate.testing._scripted_body import ScriptedBody, Step
from aiotokengate.types import Attempt, Status, Timeline


def receiver_over(
    steps: Iterable[Step],
    *,
    choices: int = 1,
    clock: Clock | None = None,
    retain: bool = True,
    request_id: str | None = None,
    **settings: Any,
) -> Receiver:
    """Return a receiver over a body that is read step by step."""
    clock = clock or RealClock()
    dialect = DIALECTS["qwen"]
    usual = {"timeout": Timeout(), "began": clock.now(), "limit": None}
    more: dict[str, Any] = {**usual, "max_reply_bytes": 1 << 20, "prompt_tokens": int, **settings}
    return Receiver(
        ScriptedBody(steps, clock=clock, request_id=request_id),
        ChatCompletionsDecoder(dialect, Transcript(choices, retain=retain)),
        dialect,
        ReceiverSettings(clock, **more),
        Timeline(),
    )


@attrs.define
class About:
    """What a reply says beyond what came in its body, where there was no call."""

    status: Status
    prompt_tokens: int = 0
    headers: Mapping[str, str] = attrs.field(factory=dict)
    request_id: str | None = None
    timeline: Timeline = attrs.field(factory=Timeline)
    attempts: tuple[Attempt, ...] = ()


INTERNET = (socket.AF_INET, socket.AF_INET6)


def sockets() -> Iterator[socket.socket]:
    """Yield the open internet sockets of this process."""
    for found in gc.get_objects():
        if isinstance(found, socket.socket) and found.fileno() >= 0 and found.family in INTERNET:
            yield found


def without_slow_steps(text: str) -> str:
    """Leave out what asyncio's debug mode says of steps that took long: the machine was busy."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("Executing <"))
