"""A TokenGate on loopback to test against, with its models and its faults.

The names are looked up when they are asked for: the pytest plugin lives in this package, and
whoever has it installed should not pay for a web server in every run of pytest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

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
    "Decision": "_enforcer",
    "Enforcer": "_enforcer",
    "Exchange": "_recording",
    "FakeGateway": "_gateway",
    "FakeJob": "_jobs",
    "JobBoard": "_jobs",
    "JobPlan": "_jobs",
    "GatewayRequest": "_request",
    "Gate": "_signals",
    "Permit": "_enforcer",
    "RateLimit": "_limits",
    "Recorder": "_recorder",
    "Recording": "_recording",
    "ScriptedBody": "_scripted_body",
    "Signal": "_signals",
    "Step": "_scripted_body",
    "Verdict": "_enforcer",
    "VirtualClock": "_clock",
    "VirtualTimer": "_clock",
    "faults": "faults",
}
_SCRIPTS = "_script"


# Hidden from type checkers, which would take it as a promise that every name exists.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import the module of a name, once the name is wanted."""
        if name not in __all__:
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message)
        home = _HOMES.get(name, _SCRIPTS)
        module = import_module(f"{__name__}.{home}")
        value: object = module if name == home else getattr(module, name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """List what can be asked for."""
    return sorted({*globals(), *__all__})
