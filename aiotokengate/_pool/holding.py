"""Who holds the places of a lane, and whether a call that waits for one waits for its own task.

Strategy.  A reply, a download or a slot that was handed to the caller has a :class:`Hold`: it is
over when the caller reads on, or leaves it.  It knows, by weak references, the task that opened it
and those that have read it.  A call that is read by the library alone has none, and costs nothing.

A call that waits while there are holds is looked at (:class:`Wait`).  Where only the end of a call
in flight can let it in, and each of these is held by its own task, or by one that goes on only
when that has ended, nobody will ever end one: the wait is given up.  Where several such tasks wait
for each other, that may have more ways out than can be seen from here, and is only warned of.
"""

from __future__ import annotations

import asyncio
import warnings
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, ref

from aiotokengate.errors import CallerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aiotokengate._policy.lanes import Ticket
    from aiotokengate._pool.backend import BackendLane
    from aiotokengate.clock import Clock, Timer

    Task = asyncio.Task[Any]
    Holds = dict[BackendLane, set["Hold"]]

__all__ = ["Hold", "Wait", "for_itself"]

TURNS: Final = 3
"""Turns of the loop before the first look: tasks that were just made begin to read meanwhile."""

UNREAD: Final = 0.5
"""Seconds after which a stream that its opener has not read passes for one it reads: until then
it may still be handed to another task."""

PATIENCE: Final = 5.0
"""Seconds that tasks wait for each other until they are warned of."""

LOOKS: Final = (0.1, UNREAD, PATIENCE)
"""Seconds after which a call that waits is looked at again."""

_SOON: Final = 0.25
"""Seconds between two looks at all who wait, at least."""

_NEARLY: Final = 0.1

_HINT: Final = (
    "hint: read the stream to its end, or leave it, before the next call; "
    "or let more go at a time with Limits(concurrency=...)\n"
    "提示：请先读完或退出已打开的流，再发起下一次调用；或用 Limits(concurrency=...) 放宽并发"
)


def for_itself() -> CallerError:
    """Return the error of a call that would wait for its own task."""
    message = (
        "this call would wait for itself: every place of its lane is held by a stream "
        "that its own task has open"
    )
    return CallerError(message, hint=_HINT)


class _Here:
    """What there is in one event loop."""

    __slots__ = ("holds", "looked_at", "waits")

    def __init__(self) -> None:
        self.holds = 0
        self.waits: set[Wait] = set()
        self.looked_at = float("-inf")


_LOOPS: WeakKeyDictionary[asyncio.AbstractEventLoop, _Here] = WeakKeyDictionary()


def _here() -> _Here:
    loop = asyncio.get_running_loop()
    here = _LOOPS.get(loop)
    if here is None:
        here = _LOOPS[loop] = _Here()
    return here


class Hold:
    """A place in a lane that is taken until the caller has read on, or leaves.

    Args:
        holds: those of the pool, by lane.
        lane: that the place is in.
        stream: whether it is read; a slot may be given back by whoever has it.
    """

    __slots__ = ("_here", "_holds", "_lane", "_opener", "_readers", "stream")

    def __init__(self, holds: Holds, lane: BackendLane, *, stream: bool) -> None:
        self.stream: bool = stream
        self._holds = holds
        self._lane = lane
        self._opener = _reference()
        self._readers: list[ref[Task]] = []
        self._here = _here()
        self._here.holds += 1
        holds.setdefault(lane, set()).add(self)

    def touch(self) -> None:
        """Note that the running task reads, or uses it."""
        reader = _reference()
        if reader is not None and reader not in self._readers:
            self._readers = [one for one in self._readers if _is_alive(one)]
            self._readers.append(reader)

    def release(self) -> None:
        """Note that the place is free; harmless when that was done."""
        holds = self._holds.get(self._lane)
        if holds is None or self not in holds:
            return
        self._here.holds -= 1
        holds.discard(self)
        if not holds:
            del self._holds[self._lane]

    def is_held_by(self, tasks: set[Task]) -> bool:
        """Whether nobody but these tasks, and one of them, can be expected to free it."""
        refs = (self._opener, *self._readers)
        alive = [one() for one in refs if one is not None and _is_alive(one)]
        return bool(alive) and tasks.issuperset(alive)

    def is_read_by(self, tasks: set[Task]) -> bool:
        """Whether one of these tasks has read it."""
        return any(one() in tasks for one in self._readers)


def _reference() -> ref[Task] | None:
    """Return a reference to the running task, always the same one for the same task."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs in this thread
        return None
    return None if task is None else ref(task)


def _is_alive(reference: ref[Task]) -> bool:
    task = reference()
    return task is not None and not task.done()


class Wait:
    """A call that waits while there are holds; looked at until :meth:`end`.

    Args:
        holds: those of the pool, by lane.
        lane: where it waits.
        ticket: of the call.
        clock: the pool's.
        give_up: called once it is found to wait for itself.
    """

    __slots__ = (
        "_began",
        "_clock",
        "_give_up",
        "_handle",
        "_here",
        "_holds",
        "_lane",
        "_looks",
        "_task",
        "_ticket",
        "_timer",
        "_warned",
    )

    def __init__(
        self,
        holds: Holds,
        lane: BackendLane,
        ticket: Ticket,
        clock: Clock,
        give_up: Callable[[], object],
    ) -> None:
        self._holds = holds
        self._lane = lane
        self._ticket = ticket
        self._clock = clock
        self._give_up = give_up
        self._task = asyncio.current_task()
        self._began = clock.now()
        self._looks = 0
        self._warned = False
        self._timer: Timer | None = None
        self._here = _here()
        self._here.waits.add(self)
        self._handle = asyncio.get_running_loop().call_soon(self._turn, TURNS)

    @classmethod
    def begin(
        cls,
        holds: Holds,
        lane: BackendLane,
        ticket: Ticket,
        clock: Clock,
        give_up: Callable[[], object],
    ) -> Wait | None:
        """Look at a call that waits; but not where nobody holds anything."""
        return cls(holds, lane, ticket, clock, give_up) if _here().holds else None

    def end(self) -> None:
        """Look at it no more."""
        self._here.waits.discard(self)
        self._handle.cancel()
        if self._timer is not None:
            self._timer.cancel()

    # --- looking --------------------------------------------------------------------------------

    def _turn(self, left: int) -> None:
        if left:
            self._handle = asyncio.get_running_loop().call_soon(self._turn, left - 1)
        else:
            self._look()

    def _look(self) -> None:
        """Stop where it waits for itself; else look again later."""
        age = self._clock.now() - self._began
        if self._is_for_itself(age):
            self._give_up()
            return
        if not self.is_old:
            self._look_again(LOOKS[self._looks] - age)
            self._looks += 1
        elif self._may_look_at_all():
            self._look_again(PATIENCE)
            _warn_of(_ring(self._here))
        else:
            self._look_again(_SOON)

    def _look_again(self, seconds: float) -> None:
        self._timer = self._clock.call_later(max(0.0, seconds), self._look)

    def _may_look_at_all(self) -> bool:
        now = self._clock.now()
        if now - self._here.looked_at < _SOON:
            return False
        self._here.looked_at = now
        return True

    def _is_for_itself(self, age: float) -> bool:
        held = self._held()
        if not held or self._task is None or not all(hold.stream for hold in held):
            return False
        tasks = _awaiting(self._task)
        return all(
            hold.is_held_by(tasks) and (age >= UNREAD or hold.is_read_by(tasks)) for hold in held
        )

    def _held(self) -> set[Hold]:
        """Return the holds in its way, where they are all that is, and one must be over first."""
        in_flight = self._lane.blocked_by(self._ticket)
        held = self._holds.get(self._lane, set())
        return held if 0 < in_flight <= len(held) else set()

    # --- for rings ------------------------------------------------------------------------------

    @property
    def is_old(self) -> bool:
        """Whether it waits for so long that it may be in a ring."""
        return self._clock.now() - self._began >= PATIENCE - _NEARLY

    def tasks(self) -> set[Task]:
        """Return the tasks that go on when it is let in."""
        return set() if self._task is None else _awaiting(self._task)

    def is_held_up_by(self, tasks: set[Task]) -> bool:
        """Whether nobody but these tasks can let it in."""
        held = self._held()
        return bool(held) and all(hold.is_held_by(tasks) for hold in held)

    def mark(self) -> bool:
        """Note that it was warned of; say whether that is new."""
        new, self._warned = not self._warned, True
        return new


def _ring(here: _Here) -> Sequence[Wait]:
    """Return those who wait for each other: what is left when all are gone who may go on."""
    old = [wait for wait in here.waits if wait.is_old]
    tasks = {wait: wait.tasks() for wait in old}
    while True:
        waiting: set[Task] = set().union(*(tasks[wait] for wait in old))
        stuck = [wait for wait in old if wait.is_held_up_by(waiting)]
        if len(stuck) == len(old):
            return stuck
        old = stuck


def _warn_of(ring: Sequence[Wait]) -> None:
    """Warn of a ring, once."""
    if not [wait for wait in ring if wait.mark()]:
        return
    message = (
        "calls wait for each other in a ring: every place of their lanes is held by a stream or "
        f"a slot of a task that waits for a place itself, for {PATIENCE:g} s now"
    )
    warnings.warn(f"{message}\n  {_HINT}", RuntimeWarning, stacklevel=2)


# --- who waits for a task -----------------------------------------------------------------------


def _awaiting(task: Task) -> set[Task]:
    """Return a task, and all that go on only when it has ended.

    That is read from what asyncio keeps for its own use; where it keeps it no more, a task is
    found to be awaited by nobody.
    """
    found, seen = {task}, {task}
    left: list[asyncio.Future[Any]] = [task]
    while left:
        future = left.pop()
        for part in _told_of(future):
            if isinstance(part, asyncio.Task):
                if part not in found and getattr(part, "_fut_waiter", None) is future:
                    found.add(part)
                    left.append(part)
            elif part not in seen:
                seen.add(part)
                left.append(part)
    return found


def _told_of(future: asyncio.Future[Any]) -> Iterator[Any]:
    """Return the futures and tasks that the end of a future is told to."""
    for callback, _ in getattr(future, "_callbacks", None) or ():
        for part in _parts(callback):
            if isinstance(part, asyncio.Future):
                yield part


def _parts(callback: object) -> Sequence[object]:
    """Return what a callback of asyncio's works on."""
    if isinstance(callback, partial):  # wait_for, before Python 3.12
        return callback.args
    if isinstance(callback, FunctionType):
        return _closed_over(callback)
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.TaskGroup):
        return (getattr(owner, "_on_completed_fut", None),)
    import gc

    return gc.get_referents(callback)  # the wake-up of a task that awaits it


def _closed_over(callback: FunctionType) -> Sequence[object]:
    """Return what a function knows: of gather, shield, and of wait if that waits for no other."""
    names = callback.__code__.co_freevars
    known = {
        name: cell.cell_contents
        for name, cell in zip(names, callback.__closure__ or (), strict=True)
    }
    whole = known.get("return_when", asyncio.ALL_COMPLETED) == asyncio.ALL_COMPLETED
    if known.get("timeout_handle") is not None or not (whole or known.get("counter") == 1):
        return ()
    return tuple(known.values())
