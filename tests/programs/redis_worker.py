"""A worker process: calls a strict gateway through a pool that is shared over Redis.

Run as ``python -m tests.programs.redis_worker JSON``; prints what became of it as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import attrs

from aiotokengate._policy.limits import Limits
from aiotokengate._pool.pool import Pool
from aiotokengate.clock import RealClock
from aiotokengate.redis import RedisBackend


@attrs.define(kw_only=True)
class Work:
    """What a worker is to do: calls of so many tokens and seconds, all at once.

    Attributes:
        waits: begin when a line comes in, and not before.
    """

    name: str
    url: str
    port: int
    limits: dict[str, float | str | None]
    tokens: list[int]
    seconds: float
    lease: float = 30.0
    clock_is_off_by: float = 0.0
    prefix: str = "aiotokengate"
    waits: bool = False


@attrs.define
class WrongClock(RealClock):
    """A clock that is off."""

    by: float

    def now(self) -> float:
        """Seconds, wrong by some."""
        return time.monotonic() + self.by


class Line:
    """The connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._answers: dict[str, asyncio.Future[bool]] = {}

    async def listen(self) -> None:
        while line := await self._reader.readline():
            name, verdict = line.decode().split()
            self._answers.pop(name).set_result(verdict == "yes")

    async def admit(self, name: str, tokens: int) -> bool:
        answer = self._answers[name] = asyncio.get_running_loop().create_future()
        self._writer.write(f"admit {name} {tokens}\n".encode())
        admitted: bool = await answer
        return admitted

    def finish(self, name: str) -> None:
        self._writer.write(f"finish {name}\n".encode())


async def call(work: Work, number: int, pool: Pool, line: Line) -> int:
    """Make one call; return how often it was refused."""
    name, tokens = f"{work.name}:{number}", work.tokens[number]
    refused = 0
    while True:
        async with pool.slot("qwen3.6-plus", tokens=tokens) as slot:
            if await line.admit(name, tokens):
                slot.answered()
                await asyncio.sleep(work.seconds)
                line.finish(name)
                return refused
            refused += 1
            slot.refuse()


async def main(work: Work) -> dict[str, object]:
    """Make all calls."""
    clock = WrongClock(work.clock_is_off_by)
    backend = RedisBackend(work.url, lease=work.lease, prefix=work.prefix, clock=clock)
    limits = Limits(**work.limits)  # type: ignore[arg-type]
    pool = Pool(limits, backend=backend, clock=clock)
    line = Line(*await asyncio.open_connection("127.0.0.1", work.port))
    listening = asyncio.create_task(line.listen())
    if work.waits:
        await asyncio.to_thread(sys.stdin.readline)
    refused = await asyncio.gather(
        *(call(work, number, pool, line) for number in range(len(work.tokens)))
    )
    await backend.aclose()
    listening.cancel()
    return {
        "calls": len(refused),
        "refused": sum(refused),
        "round_trips": backend.round_trips,
        "renewals": backend.renewals,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(Work(**json.loads(sys.argv[1]))))))
