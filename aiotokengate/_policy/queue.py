"""Who is next: first come, first served; fair between users; the urgent first, the rest in time.

Strategy.  Each class of calls is ordered by start-time fair queueing (Goyal, Vin and Cheng, 1996):
a call begins, in a time that counts served cost, where its user's last one ended, and never before
what is being served now.  One user's calls keep their order; a user who comes anew does not wait
behind the backlog of another.  Without fair keys, all calls are one user's, and the order is that
of arrival.  The next one is always the head: nobody who is smaller slips past.

Interactive calls go before bulk ones.  Once the head of the bulk has waited for ``PATIENCE``,
every ``TURN``-th place is its, so that it gets on however busy the others are, and delays them
little.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final, Generic, Literal, TypeAlias, TypeVar

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PATIENCE", "TURN", "Place", "Priority", "Queue"]

Priority: TypeAlias = Literal["interactive", "bulk"]

PATIENCE: Final = 30.0
TURN: Final = 10

_MANY = 1024
"""Users remembered, and places given up, below which nobody tidies up."""

_SOME = 64
"""Places among which somebody is looked for who goes ahead."""


@attrs.define(eq=False, repr=False, kw_only=True)
class Place:
    """Where a call stands in the queue.

    Attributes:
        cost: what it takes of the lane, for the order between users; above 0.
        weight: how much more than others its user gets.
        arrived: seconds; set on arrival.
        start: where it begins in served cost; set on arrival.
        number: of its arrival, which decides between equals.
        refusals: how often it was admitted and then refused.
        queued: whether it waits.
    """

    cost: float = 1.0
    bulk: bool = False
    fair_key: str | None = None
    weight: float = 1.0
    arrived: float = 0.0
    start: float = 0.0
    number: int = 0
    refusals: int = 0
    queued: bool = False


P = TypeVar("P", bound=Place)


class Queue(Generic[P]):
    """The waiting calls of a lane.

    Attributes:
        waiting: how many they are.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self._interactive = _Class[P]()
        self._bulk = _Class[P]()
        self._numbers = count(1)
        self._passed_over = 0

    def __iter__(self) -> Iterator[P]:
        """Return the waiting; the interactive first, each class in its order."""
        yield from self._interactive.in_order()
        yield from self._bulk.in_order()

    def join(self, place: P, now: float) -> None:
        """Wait at the end of one's own."""
        place.arrived = now
        place.number = next(self._numbers)
        self.waiting += 1
        self._class(place).push(place)

    def rejoin(self, place: P, now: float) -> None:
        """Wait again after a refusal, behind the head: not always the same call goes ahead."""
        head = self.head(now)
        place.number = next(self._numbers)
        self.waiting += 1
        self._class(place).put_back(place, behind=head)

    def leave(self, place: P) -> None:
        """Leave one's place; harmless for who has none."""
        if place.queued:
            self.waiting -= 1
            self._class(place).discard(place)

    def head(self, now: float) -> P | None:
        """Return who is next."""
        urgent, other = self._interactive.head(), self._bulk.head()
        if urgent is None or other is None:
            return urgent or other
        patient = now - other.arrived < PATIENCE or self._passed_over < TURN - 1
        return urgent if patient else other

    def least_refused(self) -> P:
        """Return one of the first that was refused least often, so that they take turns."""
        some = [*self._interactive.some(), *self._bulk.some()]
        return min(some, key=lambda place: (place.refusals, place.bulk, place.start, place.number))

    def pop(self, place: P, now: float) -> None:
        """Take out the head that :meth:`head` gave; it is served."""
        self.waiting -= 1
        self._class(place).pop()
        other = self._bulk.head()
        if place.bulk:
            self._passed_over = 0
        elif other is not None and now - other.arrived >= PATIENCE:
            self._passed_over += 1

    def _class(self, place: P) -> _Class[P]:
        return self._bulk if place.bulk else self._interactive


class _User:
    """What is known of one fair key while it has something to wait for, or had lately."""

    __slots__ = ("end", "waiting", "weight")

    def __init__(self) -> None:
        self.end = 0.0
        self.waiting = 0
        self.weight = 1.0


class _Class(Generic[P]):
    """The waiting calls of one priority."""

    def __init__(self) -> None:
        self.waiting = 0
        self._heap: list[tuple[float, int, P]] = []
        self._served = 0.0
        self._weights = 0.0
        self._users: dict[str | None, _User] = {}
        self._bearable = _MANY

    def push(self, place: P) -> None:
        user = self._users.get(place.fair_key)
        if user is None:
            user = self._users[place.fair_key] = _User()
        place.start = max(self._served, user.end)
        user.end = place.start + place.cost / place.weight
        self._enter(place, user)

    def put_back(self, place: P, behind: P | None) -> None:
        place.start = self._served if behind is None else behind.start
        self._enter(place, self._users.setdefault(place.fair_key, _User()))

    def discard(self, place: P) -> None:
        """Leave a place; its entry goes when it comes up, or when there are many such."""
        self._exit(place)
        if self.waiting and len(self._heap) > 2 * self.waiting + _MANY:
            self._heap = [entry for entry in self._heap if entry[2].queued]
            heapify(self._heap)

    def head(self) -> P | None:
        heap = self._heap
        while heap and not heap[0][2].queued:
            heappop(heap)
        return heap[0][2] if heap else None

    def pop(self) -> None:
        place = heappop(self._heap)[2]
        # What is served passes for all who wait, each by its share: else those who keep coming
        # anew would pass by a user's second call for ever.
        self._served = max(self._served, place.start) + place.cost / self._weights
        self._exit(place)

    def some(self) -> Iterator[P]:
        """Return some of the first, in no order."""
        return (entry[2] for entry in self._heap[:_SOME] if entry[2].queued)

    def in_order(self) -> Iterator[P]:
        return (entry[2] for entry in sorted(self._heap) if entry[2].queued)

    def _enter(self, place: P, user: _User) -> None:
        if not user.waiting:
            user.weight = place.weight
            self._weights += place.weight
        user.waiting += 1
        self.waiting += 1
        place.queued = True
        heappush(self._heap, (place.start, place.number, place))

    def _exit(self, place: P) -> None:
        place.queued = False
        self.waiting -= 1
        user = self._users[place.fair_key]
        user.waiting -= 1
        if not user.waiting:
            self._weights -= user.weight
        self._tidy()

    def _tidy(self) -> None:
        """Forget what users have had, once nobody waits, or of those who are even again."""
        if not self.waiting:
            self._heap.clear()
            self._users.clear()
            self._served = self._weights = 0.0
        elif len(self._users) > self._bearable:
            served = self._served
            self._users = {k: u for k, u in self._users.items() if u.waiting or u.end > served}
            self._bearable = 2 * len(self._users) + _MANY
