"""One client in a process of its own: it is told over standard input what to do, line by line.

    python benchmarks/worker.py CLIENT ADDRESS

A line is a JSON object with a job and its arguments, the answer is another. Only what a job says
that it measures is counted: CPU time (user and system) of this process.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import socket
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from clients import CLIENTS
from meter import Marks, Meter
from processes import pin, raise_file_limit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

Work: TypeAlias = "Callable[[str], Awaitable[int]]"

SECONDS = 120
"""A job that takes longer hangs."""
SLICE = 100
"""How many replies are opened at once."""
SETTLED = 0.1
"""Seconds after which what was written has been read."""
WARM = 20
"""How many are open before memory is measured."""


class Jobs:
    """What a client can be told to do."""

    def __init__(self, address: str, client: Any) -> None:
        """Begin with nothing open."""
        self._address = address
        self._client = client
        self._meter = Meter()
        self._group = ""
        self._following: list[asyncio.Task[None]] = []
        self._held: list[tuple[object, asyncio.Future[Any]]] = []

    async def text(self, answer: str) -> str:
        """Return the answer of a streamed reply, "" from a client that doesn't look at it."""
        text: str = await self._client.text(answer)
        return text

    async def knows(self, option: str) -> bool:
        """Return whether the client has an option."""
        known: bool = self._client.knows(option)
        return known

    async def turn(self, work: str, answer: str, at_once: int, times: int, warm: int) -> Any:
        """Measure one kind of work, after so many replies that open connections."""
        does = getattr(self._client, work)
        await _several(does, answer, warm, at_once)
        counts: set[int] = set()
        gc.collect()
        before = time.process_time()
        for _ in range(times):
            counts |= await _several(does, answer, at_once, at_once)
        return {"cpu": time.process_time() - before, "counts": sorted(counts)}

    async def open(self, answer: str, group: str, streams: int, warm: int) -> None:
        """Open paced replies, some at a time, and read what they give at once."""
        self._group = group
        for start in range(0, streams, SLICE):
            more = min(SLICE, streams - start)
            self._following += [self._follow(f"{answer}.{group}") for _ in range(more)]
            if self._blind:
                await asyncio.sleep(SETTLED)
            else:
                await _first(self._meter.reach(more * warm), *self._following[start:])

    def _follow(self, answer: str) -> asyncio.Task[None]:
        return asyncio.ensure_future(self._client.follow(answer, self._meter.tap()))

    async def pace(self, texts: int, rate: int, *, timed: bool = False) -> Any:
        """Have each open reply give so many texts, all of them so many a second; measure that.

        Reads are counted, to prove that each text is one; where uvloop reads, there are none.
        """
        total = texts * len(self._following)
        if self._blind:
            return await self._pace_blind(texts, rate, total)
        self._meter.timed = timed
        gc.collect()
        with _counted_reads() as reads:
            await asyncio.to_thread(_tell, f"{self._address}/go.{self._group}.{texts}.{rate}")
            waited = _waited()
            begin, end = await _first(self._meter.reach(total), *self._following)
        found = {"cpu": end[0] - begin[0], "wall": end[1] - begin[1], "texts": total}
        found |= {"rate": rate, "reads": reads[0], "waited": _waited() - waited}
        return found | (self._meter.lateness() if timed else {})

    @property
    def _blind(self) -> bool:
        """Whether the client hands over no texts, because it is woken by none."""
        return bool(getattr(self._client, "blind", False))

    async def _pace_blind(self, texts: int, rate: int, total: int) -> Any:
        """Measure up to the server's word that all is written, and a while longer."""
        gc.collect()
        with _counted_reads() as reads:
            waited, begin, wall = _waited(), time.process_time(), time.monotonic()
            group = f"{self._group}.{texts}.{rate}"
            await asyncio.to_thread(_tell, f"{self._address}/until.{group}")
            await asyncio.sleep(SETTLED)
            cpu, wall = time.process_time() - begin, time.monotonic() - wall
        found = {"cpu": cpu, "wall": wall, "texts": total, "rate": rate}
        return found | {"reads": reads[0], "waited": _waited() - waited}

    async def end(self) -> None:
        """Read what is open to its end."""
        await asyncio.to_thread(_tell, f"{self._address}/end.{self._group}")
        await asyncio.gather(*self._following)
        self._following.clear()

    async def hold(self, work: str, answer: str, streams: int, texts: int) -> float:
        """Measure the memory of replies that stay open: bytes each."""
        does = getattr(self._client, work)
        self._held += [await does(answer, texts) for _ in range(WARM)]
        before = _resident()
        # One after the other, so that what reading takes for a moment is taken but once.
        self._held += [await does(answer, texts) for _ in range(streams)]
        return (_resident() - before) / streams

    async def length(self, answer: str, texts: int, every: int) -> list[float]:
        """Measure one long reply: CPU seconds of each stretch of so many texts."""
        gc.collect()
        self._meter.timed = False
        following = self._follow(answer)
        marks = await _first(self._meter.reach(texts, every), following)
        await following
        return [after[0] - before[0] for before, after in pairwise(marks)]

    async def close(self) -> None:
        """Close what is open."""
        for _, reading in self._held:
            reading.cancel()
        await asyncio.gather(*(reading for _, reading in self._held), return_exceptions=True)
        self._held.clear()
        await self._client.close()


async def _several(does: Work, answer: str, number: int, at_once: int) -> set[int]:
    """Do something several times; at once, unless only one is allowed at a time."""
    if at_once == 1:
        return {await does(answer) for _ in range(number)}
    return set(await asyncio.gather(*[does(answer) for _ in range(number)]))


async def _first(reach: Coroutine[Any, Any, Marks], *following: asyncio.Task[None]) -> Marks:
    """Wait until a meter is there, or a reply has failed or ended before."""
    reached = asyncio.ensure_future(reach)
    # It was scheduled after the replies, but none of them has read anything before it runs.
    await asyncio.wait({reached, *following}, return_when=asyncio.FIRST_COMPLETED)
    for task in following:
        if task.done():
            task.result()
    return await reached


def _tell(url: str) -> None:
    with urllib.request.urlopen(url, data=b"", timeout=SECONDS):
        pass


def _resident() -> int:
    """Return the bytes of memory that are really there, garbage not counted."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # where C's library is GNU's
    return int(_proc("statm")[1]) * os.sysconf("SC_PAGE_SIZE")


def _waited() -> float:
    """Return the seconds for which this process could have run, but others had its core."""
    return int(_proc("schedstat")[1]) / 1e9


def _proc(name: str) -> list[str]:
    """Read what Linux says of this process; elsewhere nothing is known."""
    try:
        return Path("/proc/self", name).read_text("ascii").split()
    except OSError:
        return ["0", "0"]


@contextmanager
def _counted_reads() -> Iterator[list[int]]:
    """Count what this process reads from sockets through Python."""
    plain: Callable[..., bytes] = socket.socket.recv
    found = [0]

    def recv(self: socket.socket, *arguments: int) -> bytes:
        found[0] += 1
        return plain(self, *arguments)

    socket.socket.recv = recv  # type: ignore[method-assign, assignment]
    try:
        yield found
    finally:
        del socket.socket.recv  # what is found then is the method that was there before


async def _serve(name: str, address: str) -> None:
    jobs = Jobs(address, CLIENTS[name].make(address))
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        async with asyncio.timeout(SECONDS):
            answer = await getattr(jobs, order.pop("job"))(**order)
        print(json.dumps(answer), flush=True)
    await jobs.close()


def main() -> None:
    """Read the arguments, and do what is told."""
    _, name, address = sys.argv
    pin(0)
    raise_file_limit()
    factory = None
    if CLIENTS[name].uvloop:
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(name, address))


if __name__ == "__main__":
    main()
