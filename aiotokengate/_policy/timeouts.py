"""The clocks of a call, as a value: what each means, and how long it runs.

``connect``, ``first_event``, ``total`` and the deadline end an attempt in
:mod:`aiotokengate._calls.attempt_clock`; ``stall`` and ``total`` end a stream by
:func:`aiotokengate._stream.clocks.run_out`, ``after_finish`` in its receiver.
"""

from __future__ import annotations

import attrs
from attrs.validators import optional

from aiotokengate._base.sealing import sealed_class
from aiotokengate._base.settings import ABOVE_ZERO, expected

__all__ = ["Timeout"]


_SECONDS = expected(
    "Timeout({name}=...) in seconds above 0, or None; got {got}", optional(ABOVE_ZERO)
)


@sealed_class
@attrs.frozen(kw_only=True)
class Timeout:
    """How long each part of a call may take, in seconds; None is without limit.

    Attributes:
        connect: until the connection stands (name, TCP, TLS).
        first_event: from sending the request to the first content; reasoning models and full
            queues are silent for minutes.
        stall: without *content* once it began.  Keep-alive comments do not count as content, and
            the clock runs only while we wait for the network, not while the caller is busy.
        total: from sending to the end of the reply, of one attempt.
        after_finish: how long to wait for the usage once every choice has its finish reason.
    """

    connect: float | None = attrs.field(default=10.0, validator=_SECONDS)
    first_event: float | None = attrs.field(default=300.0, validator=_SECONDS)
    stall: float | None = attrs.field(default=120.0, validator=_SECONDS)
    total: float | None = attrs.field(default=None, validator=_SECONDS)
    after_finish: float = attrs.field(default=2.0, validator=_SECONDS)
