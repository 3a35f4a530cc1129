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
    "._clock": ("VirtualClock", "VirtualTimer"),
    "._enforcer": ("Decision", "Enforcer", "Permit", "Verdict"),
    "._gateway": ("FakeGateway",),
    "._jobs": ("FakeJob", "JobBoard", "JobPlan"),
    "._limits": ("RateLimit",),
    "._recorder": ("Recorder",),
    "._recording": ("Exchange", "Recording"),
    "._request": ("GatewayRequest",),
    "._script": (
        "Call",
        "Handler",
        "KeepAlive",
        "Pace",
        "Pause",
        "Raw",
        "Script",
        "ScriptedReply",
        "Text",
        "Thought",
    ),
    "._scripted_body": ("ScriptedBody", "Step"),
    "._signals": ("Gate", "Signal"),
    ".faults": ("faults",),
}

if not TYPE_CHECKING:
    __getattr__ = late_names(__name__, _HOMES)


def __dir__() -> list[str]:
    """List what can be asked for."""
    return sorted({*globals(), *__all__})
