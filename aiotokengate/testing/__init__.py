"""A TokenGate on loopback to test against, with its models, its limits and its faults."""

from aiotokengate.testing.gateway import FakeGateway
from aiotokengate.testing.request import GatewayRequest
from aiotokengate.testing.script import (
    Call,
    KeepAlive,
    Pace,
    Pause,
    Raw,
    ScriptedReply,
    Text,
    Thought,
)
from aiotokengate.testing.signals import Gate, Signal

__all__ = [
    "Call",
    "FakeGateway",
    "Gate",
    "GatewayRequest",
    "KeepAlive",
    "Pace",
    "Pause",
    "Raw",
    "ScriptedReply",
    "Signal",
    "Text",
    "Thought",
]
