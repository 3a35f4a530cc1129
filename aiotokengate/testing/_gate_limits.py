"""The limits of the fake gateway: which requests are admitted, what they use, how others fail.

They stand between the gateway, which knows requests, and the enforcer (``_enforcer.py``), which
knows calls and a clock.  A request that was let in has a :class:`_Meter` until it is over,
whichever way that happens; the gateway may run in another thread than the test that changes its
limits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias, cast

import attrs
import orjson

from aiotokengate.testing import faults
from aiotokengate.testing._answers import billed, read_usage
from aiotokengate.testing._chat_request import Refusal, Weight, weigh
from aiotokengate.testing._dialects import Counts
from aiotokengate.testing._enforcer import Enforcer, Permit, Verdict
from aiotokengate.testing._limits import Because, RateLimit
from aiotokengate.testing._render import Beat, Step
from aiotokengate.testing._request import GatewayRequest
from aiotokengate.testing._script import Raw

__all__ = ["GateLimits", "Limits"]

Limits: TypeAlias = RateLimit | Sequence[RateLimit] | None

_FIRST_ERROR = 400
_REASONS: Mapping[Because, tuple[str, str]] = {
    "concurrency": ("concurrency", "并发请求过多：同时最多 {0} 个 / at most {0} at a time"),
    "burst": ("burst_slope", "请求增长过快：每秒最多 {0} 次 / at most {0} in one second"),
    "requests": ("requests_per_minute", "请求过于频繁：每分钟最多 {0} 次 / at most {0} a minute"),
    "tokens": (
        "tokens_per_minute",
        "用量过快：每分钟最多 {0} 个 token / at most {0} tokens a minute",
    ),
    "oversized": ("tokens_per_minute", "单次请求超过每分钟上限 / larger than a whole minute"),
}


@attrs.define(eq=False)
class _Meter:
    """What a request that was let in has used so far."""

    ticket: Permit
    headers: Mapping[str, str]
    used: Counts = attrs.field(factory=Counts)


class GateLimits:
    """Lets requests in by limits, and meters them.

    Attributes:
        enforcer: that decides.
        limited: whether there is any limit.
    """

    def __init__(self, limits: Limits, now: Callable[[], float], keep: int) -> None:
        """Begin with nothing used.

        Args:
            limits: one, several or none.
            now: the time in seconds.
            keep: how many decisions to keep.
        """
        self.enforcer = Enforcer(limits or (), keep=keep)
        self.limited = bool(self.enforcer.limits)
        self._now = now
        self._lock = threading.Lock()
        self._meters: dict[GatewayRequest, _Meter] = {}

    def change(self, limits: Limits) -> None:
        """Let other limits hold from now on."""
        with self._lock:
            self.enforcer.change(limits or (), now=self._now())
            self.limited = bool(self.enforcer.limits)

    def admit(self, record: GatewayRequest, key: str) -> Raw | None:
        """Let a request in, or return the answer that turns it away."""
        weight = weigh(record.body)
        with self._lock:
            verdict = self.enforcer.admit(
                self._now(),
                key=key,
                model=weight.model,
                prompt_tokens=weight.prompt_tokens,
                max_tokens=weight.max_tokens,
            )
            if verdict.ticket is not None:
                self._meters[record] = _Meter(verdict.ticket, verdict.headers)
                return None
        return _turned_away(verdict, weight, record.request_id)

    def leave(self, record: GatewayRequest) -> None:
        """End a request, if it was let in and is still there."""
        with self._lock:
            meter = self._meters.pop(record, None)
            if meter is not None:
                used = meter.used
                self.enforcer.finish(
                    self._now(), meter.ticket, used.completion, prompt_tokens=used.prompt
                )

    # --- while the reply is going on ------------------------------------------------------------

    def headers(self, record: GatewayRequest) -> Mapping[str, str]:
        """Return what the answer tells about the limits."""
        meter = self._meters.get(record)
        return {} if meter is None else meter.headers

    def answered(
        self, record: GatewayRequest, status: int | None, body: Iterable[object] = ()
    ) -> None:
        """Note what a request has used by an answer that was not made of tokens.

        An error uses nothing; what tells no usage uses the prompt.
        """
        meter = self._meters.get(record)
        if meter is None or status is None or status >= _FIRST_ERROR:
            return
        usage = read_usage(b"".join(step for step in body if isinstance(step, bytes)))
        meter.used = billed(usage) if usage else Counts(prompt=meter.ticket.prompt_tokens)

    def metered(
        self, record: GatewayRequest, steps: Iterable[Step], whole: Counts
    ) -> Iterable[Step]:
        """Note token by token what a reply has used, and at its end what its usage says."""
        meter = self._meters.get(record)
        return steps if meter is None else _metered(meter, steps, whole)


def _metered(meter: _Meter, steps: Iterable[Step], whole: Counts) -> Iterator[Step]:
    meter.used = Counts(prompt=meter.ticket.prompt_tokens)
    for step in steps:
        yield step
        if isinstance(step, Beat):
            meter.used = attrs.evolve(meter.used, answer=meter.used.answer + 1)
    meter.used = whole


def _turned_away(verdict: Verdict, weight: Weight, request_id: str) -> Raw:
    """Return the answer in the style of the limit that refuses."""
    limit = cast("RateLimit", verdict.limit)
    if limit.refusal == "sglang":
        raw = faults.queue_full() if weight.stream else _QUEUE_FULL
    elif limit.refusal == "empty":
        raw = faults.empty_429()
    else:
        field, text = _REASONS[cast("Because", verdict.because)]
        message = text.format(f"{getattr(limit, field):.12g}")
        refusal = Refusal(429, message, param="", code="rate_limit_exceeded")
        raw = _plain(429, refusal.body(request_id))
    return attrs.evolve(raw, headers={**raw.headers, **verdict.headers})


def _plain(status: int, body: bytes) -> Raw:
    length = str(len(body))
    return Raw(status, body, {"Content-Type": "application/json", "Content-Length": length})


# What SGLang answers with a full queue where no stream was asked for.
_QUEUE_FULL = _plain(
    503,
    orjson.dumps(
        {
            "object": "error",
            "message": "The request queue is full.",
            "type": "SERVICE_UNAVAILABLE",
            "param": None,
            "code": 503,
        }
    ),
)
