"""What a lane's script is told: operations, and the batches in which they go.

Strategy.  Operations wait in a list; one batch is on its way at a time, and keeps its number until
it is known to be applied.  A time is a moment here, and the seconds since then in what is sent, so
that whatever waited a little is not counted later for it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aiotokengate._policy.lanes import Ticket
    from aiotokengate._redis.connection import Connection
    from aiotokengate.clock import Timer

__all__ = ["Call", "Operation", "Outbox", "Since", "adoption", "ending", "entry", "flag", "number"]


@attrs.define(eq=False)
class Call:
    """A call that waits or goes; ``timer`` for one that was granted and has not started yet."""

    id: str
    ticket: Ticket
    local: bool = False
    asked: bool = False
    timer: Timer | None = None

    @property
    def waits(self) -> bool:
        """Whether it is still to be admitted."""
        return self.ticket.stage == "waiting"


@attrs.frozen
class Since:
    """A moment, sent as the seconds that have passed since."""

    at: float


Operation: TypeAlias = tuple[str | Since, ...]


def entry(call: Call, *, again: bool) -> Operation:
    """Return what asks for a call to be admitted; ``again`` for one that was refused."""
    ticket = call.ticket
    return (
        "enter",
        call.id,
        number(ticket.tokens),
        flag(on=ticket.late),
        flag(on=ticket.bulk),
        _digest(ticket.fair_key),
        number(ticket.weight),
        Since(ticket.arrived),
        number(ticket.start) if again else "",
    )


def adoption(call: Call, now: float) -> Operation:
    """Return what makes a call that goes on known under our new name."""
    ticket = call.ticket
    stage = "2" if ticket.stage == "answered" else "1"
    since = Since(now if call.waits else ticket.admitted)
    mode = "local" if call.local else "again"
    return ("adopt", call.id, stage, number(ticket.tokens), flag(on=ticket.late), since, mode)


def ending(name: str, cost: float | None, now: float) -> Operation:
    """Return what ends a call that cost so much; None is one that was never sent."""
    return ("refund", name) if cost is None else ("settle", name, Since(now), number(cost))


def flag(*, on: bool) -> str:
    """Write a truth as the script reads it."""
    return "1" if on else "0"


def number(value: float | None) -> str:
    """Write a number as the script reads it; None is nothing."""
    return "" if value is None else repr(float(value))


def _digest(fair_key: str | None) -> str:
    """Return a short name for an end user, who is none of the server's business."""
    if fair_key is None:
        return ""
    return blake2b(fair_key.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


class Outbox:
    """The operations of a lane that Redis does not know yet, and who we are for it.

    Args:
        serial: of the lane in this process.
        before: names that we had, of which what Redis holds is given up as used.

    Attributes:
        operations: that wait.
        raised: tokens that calls turned out to need, by their ids.
        batch: what is on its way, or may have been lost there.
        sequence: number of the last batch under this name, 0 before there is one.
    """

    def __init__(self, serial: str, before: Iterable[str] = ()) -> None:
        self.operations: list[Operation] = []
        self.raised: dict[str, float] = {}
        self.batch: list[Operation] = []
        self.sequence = 0
        self.before = list(before)
        self._serial = serial
        self._generation = 0

    def add(self, *operation: str | Since) -> None:
        """Have one more operation wait."""
        self.operations.append(operation)

    def pack(self) -> None:
        """Make a batch of all that waits, unless there is one that may have been lost."""
        if self.batch:
            return
        buried = [("bury", name) for name in self.before]
        raised = [("true_up", name, number(most)) for name, most in self.raised.items()]
        self.batch = [*buried, *raised, *self.operations]
        self.operations, self.raised, self.before = [], {}, []
        self.sequence += 1

    def rendered(self, now: float) -> Iterator[str]:
        """Yield the batch as the script's arguments."""
        for operation in self.batch:
            for part in operation:
                yield number(max(0.0, now - part.at)) if isinstance(part, Since) else part

    def entered(self) -> Iterator[str]:
        """Yield the ids of the calls that the batch asks to admit."""
        return (str(operation[1]) for operation in self.batch if operation[0] == "enter")

    def name(self, connection: Connection) -> str:
        """Return our name for Redis."""
        return f"{connection.name}.{self._serial}.{self._generation}"

    def begin_anew(self) -> None:
        """Take a new name, which Redis has not heard of."""
        self._generation += 1
        self.sequence = 0

    def abandon(self, connection: Connection) -> None:
        """Take a new name; what the old one has in Redis is given up as used."""
        self.before.append(self.name(connection))
        self.begin_anew()
        self.batch, self.operations, self.raised = [], [], {}
