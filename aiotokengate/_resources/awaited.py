"""The single-use calls of the resources: awaited, or read in pieces."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from aiotokengate._base.single_use import SingleUse

if TYPE_CHECKING:
    from aiotokengate._stream.download import Download

__all__ = ["AwaitedCall", "FetchedCall"]

T = TypeVar("T")

Make: TypeAlias = Callable[[], Coroutine[Any, Any, T]]


class AwaitedCall(SingleUse[Make[T], T]):
    """A call that was not sent yet: await it for its result."""

    __slots__ = ()

    def _awaited(self, start: Make[T]) -> Coroutine[Any, Any, T]:
        return start()


class FetchedCall(AwaitedCall[T]):
    """A call whose answer can be read in pieces, too: enter it for its :class:`Download`."""

    __slots__ = ("_download", "_fetch")

    def __init__(self, make: Make[T], fetch: Callable[[], Awaitable[Download]], name: str) -> None:
        """Keep how to make the call, and how to fetch its answer; nothing is sent."""
        super().__init__(make, name)
        self._fetch = fetch
        self._download: Download | None = None

    def __aenter__(self) -> Coroutine[Any, Any, Download]:
        """Send, and return the answer once its headers have come."""
        # Taken here, and not by a first step that may be cancelled before it is made.
        self._take("entered")
        return self._entered()

    async def _entered(self) -> Download:
        download = self._download = await self._fetch()
        return download

    async def __aexit__(self, *_: object) -> None:
        """Close the answer."""
        download, self._download = self._download, None
        if download is not None:
            download.close()
