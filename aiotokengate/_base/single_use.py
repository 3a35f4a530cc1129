"""A call that is used once: awaited, or in a way of its own.

Strategy.  A call is a coroutine object, and not only something to await: ``create_task``,
``gather`` and ``wait_for`` take it as it is, and a task that is cancelled before its first step
closes it.  What the call starts with is given away at the first use, so that a used call that is
kept in a variable keeps nothing else.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

from aiotokengate._base.copying import Unique
from aiotokengate._base.error import CallerError
from aiotokengate._base.unused import WarnsUnused

__all__ = ["CoroutineObject", "SingleUse"]

S = TypeVar("S")
T = TypeVar("T")


class CoroutineObject(Coroutine[Any, Any, T]):
    """Something that tasks run as they run a coroutine."""

    __slots__ = ()

    @abstractmethod
    def _running(self) -> Coroutine[Any, Any, T]:
        """Return the coroutine that is run, making it at the first step."""

    def send(self, value: object) -> Any:  # noqa: ANN401 - as collections.abc.Coroutine has it
        """Run a step, as a task does."""
        return self._running().send(value)

    def throw(self, *error: Any) -> Any:  # noqa: ANN401 - the same
        """Raise inside, as a cancelled task does."""
        try:
            return self._running().throw(*error)
        finally:
            del error  # which may quote what came


class SingleUse(WarnsUnused, Unique, CoroutineObject[T], Generic[S, T]):
    """A call that was not sent yet; a subclass says what is awaited.

    A second use is an error.  A call that is dropped unused warns, as a coroutine does;
    ``close()`` says that it is not wanted.

    Raises:
        CallerError: it is used a second time.
    """

    __slots__ = ("__weakref__", "_coroutine", "_name", "_start", "_use")

    _instead = "a call is used once, make another one"

    def __init__(self, start: S, name: str) -> None:
        """Keep how to begin; nothing is sent.

        Args:
            start: what the first use takes.
            name: of what is called, for warnings and the repr; never the prompt.
        """
        super().__init__()
        self._start: S | None = start
        self._name = name
        self._use = "unused"
        self._coroutine: Coroutine[Any, Any, T] | None = None

    def __repr__(self) -> str:
        """Name the call and its state, never the prompt."""
        return f"<{type(self).__name__} {self._name} {self._use}>"

    def _label(self) -> str:
        return f"{type(self).__name__} {self._name!r}"

    def _take(self, use: str) -> S:
        """Return what to start with, once; ``use`` says in the error what became of it."""
        start, self._start = self._start, None
        if start is None:
            message = f"a call can be used once; this one is {self._use} already, make a new one"
            raise CallerError(message)
        self._use, self._unused = use, False
        return start

    @abstractmethod
    def _awaited(self, start: S) -> Coroutine[Any, Any, T]:
        """Return the coroutine that an await runs."""

    def __await__(self) -> Generator[Any, Any, T]:
        """Send, and return the result."""
        return self._awaited(self._take("awaited")).__await__()

    def close(self) -> None:
        """Close it: it is not wanted, and does not warn."""
        if self._start is not None:
            self._take("closed")
        if self._coroutine is not None:
            self._coroutine.close()

    def _running(self) -> Coroutine[Any, Any, T]:
        if self._coroutine is None:
            self._coroutine = self._awaited(self._take("awaited"))
        return self._coroutine
