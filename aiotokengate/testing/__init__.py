"""A TokenGate on loopback to test against, with its models and its faults.

The names are looked up when they are asked for: the pytest plugin lives in this package, and
whoever has it installed should not pay for a web server in every run of pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiotokengate._base import late_names

if TYPE_CHECKING:
    from aiotokengate.testing import faults
    from aiotokengate.testing._clock import VirtualClock, VirtualTimer
    from aiotokengate.testing._enforcer import Decision, Enforcer, Permit, Verdict
    from aiotokengate.testing._gateway import FakeGateway
    from aiotokengate.testing._jobs import FakeJob, JobBoard, JobPlan
    from aiotokengate.testing._limits import RateLimit
    from aiotokengate.testing._recorder import Recorder
    from aiotokengate.testing._recording import Exchange, Recording
    from aiotokengate.testing._request import GatewayRequest
    from aiotokengate.testing._script import (
        Call,
        Handler,
        KeepAlive,
        Pace,
        Pause,
        Raw,
        Script,
        ScriptedReply,
        Text,
        Thought,
    )
    from aiotokengate.testing._scripted_body import ScriptedBody, Step
    from aiotokengate.testing._signals import Gate, Signal

__all__ = [
    "Call",
    "Decision",
    "Enforcer",
    "Exchange",
    "FakeGateway",
    "FakeJob",
    "Gate",
    "GatewayRequest",
    "Handler",
    "JobBoard",
    "JobPlan",
    "KeepAlive",
    "Pace",
    "Pause",
    "Permit",
    "RateLimit",
    "Raw",
    "Recorder",
    "Recording",
    "Script",
    "ScriptedBody",
    "ScriptedReply",
    "Signal",
    "Step",
    "Text",
    "Thought",
    "Verdict",
    "VirtualClock",
    "VirtualTimer",
    "faults",
]

_HOMES = {
    "Call": f"{__name__}._script",
    "Decision": f"{__name__}._enforcer",
    "Enforcer": f"{__name__}._enforcer",
    "Exchange": f"{__name__}._recording",
    "FakeGateway": f"{__name__}._gateway",
    "FakeJob": f"{__name__}._jobs",
    "Gate": f"{__name__}._signals",
    "GatewayRequest": f"{__name__}._request",
    "Handler": f"{__name__}._script",
    "JobBoard": f"{__name__}._jobs",
    "JobPlan": f"{__name__}._jobs",
    "KeepAlive": f"{__name__}._script",
    "Pace": f"{__name__}._script",
    "Pause": f"{__name__}._script",
    "Permit": f"{__name__}._enforcer",
    "RateLimit": f"{__name__}._limits",
    "Raw": f"{__name__}._script",
    "Recorder": f"{__name__}._recorder",
    "Recording": f"{__name__}._recording",
    "Script": f"{__name__}._script",
    "ScriptedBody": f"{__name__}._scripted_body",
    "ScriptedReply": f"{__name__}._script",
    "Signal": f"{__name__}._signals",
    "Step": f"{__name__}._scripted_body",
    "Text": f"{__name__}._script",
    "Thought": f"{__name__}._script",
    "Verdict": f"{__name__}._enforcer",
    "VirtualClock": f"{__name__}._clock",
    "VirtualTimer": f"{__name__}._clock",
    "faults": f"{__name__}.faults",
}

if not TYPE_CHECKING:
    __getattr__ = late_names(__name__, _HOMES)


def __dir__() -> list[str]:
    """List what can be asked for."""
    return sorted({*globals(), *__all__})
