"""Calls that are awaited once, or entered once."""

from collections.abc import Awaitable
from typing import Any

import pytest

from aiotokengate import CallerError
from aiotokengate._resources.awaited import AwaitedCall, FetchedCall


class Closing:
    """What there is of a download here: it can be closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


async def seven() -> int:
    return 7


def fetched(download: Closing) -> FetchedCall[int]:
    async def fetch() -> Any:
        return download

    return FetchedCall(seven, fetch, "fetch")


async def test_a_call_is_awaited_once() -> None:
    call = AwaitedCall(seven, "call")
    assert await call == 7
    with pytest.raises(CallerError):
        await call


async def test_a_call_is_awaited_or_entered() -> None:
    call = fetched(Closing())
    assert await call == 7
    with pytest.raises(CallerError):
        await call.__aenter__()


async def test_what_was_entered_is_closed_once() -> None:
    download = Closing()
    call = fetched(download)
    async with call as entered:
        assert entered is download  # type: ignore[comparison-overlap]
        assert download.closed == 0
    assert download.closed == 1
    await call.__aexit__(None, None, None)
    assert download.closed == 1


async def test_what_could_not_be_fetched_is_not_closed() -> None:
    def fetch() -> Awaitable[Any]:
        raise ConnectionError

    call = FetchedCall(seven, fetch, "fetch")
    with pytest.raises(ConnectionError):
        async with call:
            pass
    await call.__aexit__(None, None, None)
