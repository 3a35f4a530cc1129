"""Calls of an enforcer, in few words."""

from typing import Any

from aiotokengate.testing import (
    Enforcer,
)
from aiotokengate.testing._enforcer import Permit, Verdict


def ask(enforcer: Enforcer, now: float = 0.0, **call: Any) -> Verdict:
    call = {"key": "a", "model": "m", "prompt_tokens": 0, "max_tokens": 0, **call}
    return enforcer.admit(now, **call)


def ticket_of(verdict: Verdict) -> Permit:
    assert verdict.ticket is not None, verdict.because
    return verdict.ticket


def admitted(enforcer: Enforcer, calls: int, now: float = 0.0, **call: Any) -> int:
    return sum(ask(enforcer, now, **call).admitted for _ in range(calls))
