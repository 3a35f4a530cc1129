"""What the resources ask of the session: two methods, and a value that says what to send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aiotokengate.policy.queue import Priority
    from aiotokengate.policy.retry import Retry
    from aiotokengate.policy.timeouts import Timeout
    from aiotokengate.pump import Pump
    from aiotokengate.wire.dialects import Dialect

__all__ = ["Request", "Requester"]


@attrs.define(eq=False)
class Request:
    """One call to be sent, as often as its retry policy allows.

    Attributes:
        path: under ``base_url``, with a leading slash.
        body: JSON text, or None for a GET.
        model: for errors, hooks and attempts.
        choices: how many choices are expected.
        timeout: the clocks of each attempt; ``deadline``: seconds for everything together.
        pooled: whether it is a call of a model, and waits for its turn in the pool.
        max_tokens: the most that the reply may have, all choices together.
        tokens: what it costs in all, if that is known.
        secrets: gives the prompt's texts, to be blanked in an error that echoes them.
    """

    method: str
    path: str
    timeout: Timeout
    retry: Retry
    body: bytes | None = None
    model: str = ""
    dialect: Dialect | None = None
    choices: int = 1
    deadline: float | None = None
    pooled: bool = False
    max_tokens: int | None = None
    tokens: float | None = None
    priority: Priority = "interactive"
    fair_key: str | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    secrets: Callable[[], Iterable[str]] = attrs.field(default=tuple, repr=False)


class Requester(Protocol):
    """The session, as the resources know it."""

    async def open(self, request: Request) -> Pump:
        """Send, and give the reply once its first delta is there."""

    async def ask(self, request: Request) -> Any:  # noqa: ANN401 - parsed JSON
        """Send, and give the parsed JSON of the answer."""
