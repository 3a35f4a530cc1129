"""Calls that are used once: awaited, or in a way of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from aiotokengate._base.copying import Unique
from aiotokengate._base.unused import origin, warn_unused
from aiotokengate.errors import CallerError

if TYPE_CHECKING:
    from types import TracebackType

    from aiotokengate._stream.download import Download

__all__ = ["Fetched", "Once"]

T = TypeVar("T")


class Once(Unique, Coroutine[Any, Any, T], Generic[T]):
    """A call, not yet sent; a coroutine object, so that ``create_task`` and the like take it.

    One that is dropped unused warns, as a coroutine does.

    Raises:
        CallerError: it is used a second time.
    """

    __slots__ = ("__weakref__", "_coroutine", "_make", "_name", "_origin", "_unused")

    _instead = "a call is used once, make another one"

    def __init__(self, make: Callable[[], Coroutine[Any, Any, T]], name: str) -> None:
        """Keep how to make the call; nothing is sent."""
        self._make: Callable[[], Coroutine[Any, Any, T]] | None = make
        self._name = name
        self._coroutine: Coroutine[Any, Any, T] | None = None
        self._origin = origin()
        self._unused = True

    def __del__(self) -> None:
        """Warn if it was never used."""
        if self._unused and self._make is not None:
            warn_unused(f"{type(self).__name__} {self._name!r}", self._origin)

    def __repr__(self) -> str:
        """Name what is asked for; never the prompt."""
        return f"<{type(self).__name__} {self._name}{'' if self._make else ' used'}>"

    def __await__(self) -> Generator[Any, Any, T]:
        """Send, and give the result."""
        return self._taken()().__await__()

    def send(self, value: Any) -> Any:  # noqa: ANN401 - the coroutine protocol
        """Run a step, as a task does."""
        return self._begun().send(value)

    def throw(self, *error: Any) -> Any:  # noqa: ANN401 - the coroutine protocol
        """Raise inside, as a cancelled task does."""
        try:
            return self._begun().throw(*error)
        finally:
            del error  # which may quote what came

    def close(self) -> None:
        """Give up; a call that never ran stays silent."""
        self._make = None
        if self._coroutine is not None:
            self._coroutine.close()

    def hand_over(self) -> None:
        """Take it that somebody else was to use it: it may still be used, and does not warn."""
        self._unused = False

    def _taken(self) -> Callable[[], Coroutine[Any, Any, T]]:
        make, self._make = self._make, None
        if make is None:
            message = "a call can be used once; this one is used already, make a new one"
            raise CallerError(message)
        return make

    def _begun(self) -> Coroutine[Any, Any, T]:
        if self._coroutine is None:
            self._coroutine = self._taken()()
        return self._coroutine


class Fetched(Once[T]):
    """A call whose answer can be read in pieces, too: enter it for its :class:`Download`."""

    __slots__ = ("_download", "_fetch")

    def __init__(
        self,
        make: Callable[[], Coroutine[Any, Any, T]],
        fetch: Callable[[], Awaitable[Download]],
        name: str,
    ) -> None:
        """Keep how to make the call, and how to fetch its answer; nothing is sent."""
        super().__init__(make, name)
        self._fetch = fetch
        self._download: Download | None = None

    def __aenter__(self) -> Coroutine[Any, Any, Download]:
        """Send, and give the answer once its headers have come."""
        # Taken here, and not by a first step that may be cancelled before it is made.
        self._taken()
        return self._entered()

    async def _entered(self) -> Download:
        download = self._download = await self._fetch()
        return download

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the answer."""
        download, self._download = self._download, None
        if download is not None:
            download.close()
