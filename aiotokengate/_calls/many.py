"""Many calls in one line: pulled as the pool lets them in, each outcome by itself.

Strategy.  One task takes the next request from the input only when the pool has admitted the last
one, and only while few enough are on their way or wait to be read: memory follows the concurrency,
however long the input is.  The iterator that the caller holds is a thin handle of the run; when it
is dropped, what runs is cancelled, as with a stream.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
)
from difflib import get_close_matches
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from aiotokengate._base.copying import Unique
from aiotokengate._base.sealing import bare
from aiotokengate._base.unused import hand_over
from aiotokengate._calls.admission import ADMITTED
from aiotokengate._stream.receiver import Guard
from aiotokengate.errors import CallerError, TokenGateError
from aiotokengate.types import Outcome

if TYPE_CHECKING:
    from aiotokengate._stream.call import ChatCall

__all__ = ["Outcomes", "unfit"]

T = TypeVar("T")


class Outcomes(Unique, AsyncIterator[Outcome[T]]):
    """The outcomes of many calls, as they come, or in the order of the requests.

    Leaving the loop early cancels what runs and takes nothing more from the input; use
    ``async with`` to have that done at the end of a block, whatever happens in it.
    """

    __slots__ = ("_guard", "_run")

    _instead = "what comes is taken once, make another one with map()"

    def __init__(
        self,
        make: Callable[[T], ChatCall],
        requests: Iterable[T] | AsyncIterable[T],
        *,
        ordered: bool,
        at_once: int,
    ) -> None:
        self._run = _Run(make, requests, ordered=ordered, at_once=at_once)
        self._guard = Guard(self._run)

    async def __anext__(self) -> Outcome[T]:
        """Return the next outcome.

        Raises:
            Exception: what the input raised, after all outcomes of what it gave before.
        """
        run = self._run
        run.start()
        try:
            while not run.ready:
                if run.over:
                    break
                await run.change()
            else:
                return run.take()
            if run.failure is not None:
                raise run.failure
            raise StopAsyncIteration
        finally:
            del self

    async def __aenter__(self) -> Self:
        """Enter; nothing runs before the first step."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancel what runs, and wait until it is gone."""
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel what runs, and wait until it is gone."""
        await self._run.close()


class _Run(Generic[T]):
    """The calls on their way, and the outcomes that nobody has taken yet."""

    def __init__(
        self,
        make: Callable[[T], ChatCall],
        requests: Iterable[T] | AsyncIterable[T],
        *,
        ordered: bool,
        at_once: int,
    ) -> None:
        self.ready: deque[Outcome[T]] = deque()
        self.failure: Exception | None = None
        self._make = make
        self._source = _source(requests)
        self._is_collection = isinstance(requests, Collection)
        self._ordered = ordered
        self._at_once = at_once
        self._tasks: set[asyncio.Task[None]] = set()
        self._feeder: asyncio.Task[None] | None = None
        self._changed: asyncio.Future[None] | None = None
        self._early: dict[int, Outcome[T]] = {}
        self._pulled = self._due = self._taken = 0
        self._exhausted = False

    @property
    def over(self) -> bool:
        """Whether no more outcomes will come."""
        return self._exhausted and not self._tasks and not self.ready

    def start(self) -> None:
        """Start to take requests, at the first step."""
        if self._feeder is None and not self._exhausted:
            self._feeder = asyncio.create_task(self._feed())

    def take(self) -> Outcome[T]:
        """Return the next outcome."""
        self._taken += 1
        self._notify()
        return self.ready.popleft()

    async def change(self) -> None:
        """Wait until something has changed."""
        if self._changed is None or self._changed.done():
            self._changed = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._changed)

    def abandon(self) -> None:
        """Cancel what runs, from whichever thread the iterator was dropped in."""
        if self._feeder is not None and not self._feeder.get_loop().is_closed():
            self._feeder.get_loop().call_soon_threadsafe(self._cancel)

    async def close(self) -> None:
        """Cancel what runs, and wait until it is gone."""
        self._cancel()
        tasks = [*self._tasks, *([self._feeder] if self._feeder is not None else [])]
        await asyncio.gather(*tasks, return_exceptions=True)

    def _cancel(self) -> None:
        self._exhausted = True
        if self._feeder is not None:
            self._feeder.cancel()
        for task in self._tasks:
            task.cancel()
        if self._is_collection and isinstance(self._source, _Stepped):
            hand_over(self._source.rest())  # what it makes by itself must not be made for this

    # --- pulling --------------------------------------------------------------------------------

    async def _feed(self) -> None:
        source = self._source
        try:
            async for request in source:
                await self._begin(request)
                while self._pulled - self._taken >= self._at_once:
                    await self.change()
        except Exception as error:  # noqa: BLE001 - handed to whoever takes the outcomes
            self.failure = error
        finally:
            self._exhausted = True
            self._notify()
            if hasattr(source, "aclose"):
                await source.aclose()

    async def _begin(self, request: T) -> None:
        """Start a call, and return when the pool has let it in, or it is over."""
        admitted = asyncio.Event()
        task = asyncio.create_task(self._one(self._pulled, request, admitted))
        self._pulled += 1
        self._tasks.add(task)
        task.add_done_callback(self._gone)
        task.add_done_callback(lambda _: hand_over((request,)))  # if it was cancelled at once
        await admitted.wait()

    async def _one(self, number: int, request: T, admitted: asyncio.Event) -> None:
        ADMITTED.set(admitted.set)
        try:
            outcome = Outcome(request, reply=await self._make(request))
        except Exception as error:  # noqa: BLE001 - one failure never ends the others
            if isinstance(error, TokenGateError):
                bare(error)  # this frame holds the request
            outcome = Outcome(request, error=error)
        finally:
            admitted.set()
        if not self._ordered:
            self.ready.append(outcome)
            return
        self._early[number] = outcome
        while self._due in self._early:
            self.ready.append(self._early.pop(self._due))
            self._due += 1

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._notify()

    def _notify(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)


def unfit(request: object) -> CallerError:
    """Return the error of what is neither a request nor a call."""
    message = "expected a dict with 'model' and 'messages', or a call made by chat()"
    if not isinstance(request, Mapping):
        hand_over((request,))  # it is refused, and not forgotten
        return CallerError(f"{message}, got {type(request).__name__}")
    for name in ("model", "messages"):
        near = get_close_matches(name, [key for key in request if isinstance(key, str)], n=1)
        if name not in request and near:
            return CallerError(f"{message}, is {near[0]!r} meant as {name!r}?")
    return CallerError(message)


def _source(requests: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    if isinstance(requests, Coroutine):
        hand_over((requests,))
        message = f"expected an iterable of requests, got one {type(requests).__name__}: [call]"
        raise CallerError(message)
    if isinstance(requests, AsyncIterable):
        return aiter(requests)
    if isinstance(requests, Iterable) and not isinstance(requests, str | bytes | Mapping):
        return _Stepped(iter(requests))
    message = f"expected an iterable of requests, got {type(requests).__name__}"
    raise CallerError(message)


class _Stepped(AsyncIterator[T]):
    """An ordinary iterator as an asynchronous one."""

    def __init__(self, iterator: Iterable[T]) -> None:
        self._iterator = iter(iterator)

    async def __anext__(self) -> T:
        for item in self._iterator:
            return item
        raise StopAsyncIteration

    def rest(self) -> Iterator[T]:
        """Return the iterator itself."""
        return self._iterator
