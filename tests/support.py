"""A stream without a socket, for the tests that need one."""

from collections.abc import Iterable

from aiotokengate.clock import Clock, RealClock
from aiotokengate.policy.timeouts import Timeout
from aiotokengate.pump import Pump, Terms
from aiotokengate.testing.transport import ScriptedBody, Step
from aiotokengate.types import Timeline
from aiotokengate.wire.chat_completions import ChatCompletionsDecoder
from aiotokengate.wire.dialects import DIALECTS
from aiotokengate.wire.transcript import Transcript


def pump_over(steps: Iterable[Step], *, choices: int = 1, clock: Clock | None = None) -> Pump:
    """Give a pump over a body that is read step by step."""
    clock = clock or RealClock()
    dialect = DIALECTS["qwen"]
    return Pump(
        ScriptedBody(steps, clock=clock),
        ChatCompletionsDecoder(dialect, Transcript(choices)),
        dialect,
        Terms(clock, Timeout(), clock.now(), None, 1 << 20, 0),
        headers={},
        request_id=None,
        timeline=Timeline(),
    )
