"""Four worker processes that share one limit through Redis, against a strict gateway.

600 calls of 50 to 350 tokens, half a second long, in all; 300 requests and 60,000 tokens a minute,
both refilled continuously, so that the limit alone allows about a minute.  What is reported: the
time over the optimum (when the limits would have let in the last call at the earliest, and that
call's own time), the calls that the gateway refused, and the commands sent to Redis for each call.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import attrs

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from aiotokengate.testing import RateLimit
from tests.support.redis_server import RedisServer
from tests.support.strict_gateway import StrictGateway

WORKERS = 4
CALLS = 600
SECONDS = 0.5
REQUESTS = 300
TOKENS = 60_000

TIME_BAR = 1.06
ROUND_TRIPS_BAR = 2.0


@attrs.frozen
class Result:
    """What a run took.

    Attributes:
        ratio: the time over the optimum.
        refused: calls that the gateway refused, that is, windows over the limit.
        round_trips: commands to Redis for each call, renewals not counted.
    """

    calls: int
    seconds: float
    optimum: float
    refused: int
    round_trips: float
    renewals: int

    @property
    def ratio(self) -> float:
        """The time over the optimum."""
        return self.seconds / self.optimum

    @property
    def good(self) -> bool:
        """Whether it is within the bars."""
        cheap = self.round_trips <= ROUND_TRIPS_BAR
        return self.calls == CALLS and not self.refused and self.ratio <= TIME_BAR and cheap


def optimum(sizes: list[int]) -> float:
    """Return the seconds that the limits allow at the least, one call's own time included."""
    by_requests = (len(sizes) - REQUESTS) * 60 / REQUESTS
    by_tokens = (sum(sizes) - TOKENS) * 60 / TOKENS
    return max(by_requests, by_tokens, 0.0) + SECONDS


async def run(seed: int = 1) -> Result:
    """Run the workers, with a Redis server of their own."""
    sizes = [Random(seed).randint(50, 350) for _ in range(CALLS)]
    limit = RateLimit(requests_per_minute=REQUESTS, tokens_per_minute=TOKENS)
    with RedisServer() as server:
        async with StrictGateway(limit) as gateway:
            start = time.monotonic()
            shares = [sizes[number::WORKERS] for number in range(WORKERS)]
            work = [
                worker(str(number), server.url, gateway.port, share)
                for number, share in enumerate(shares)
            ]
            reports = await asyncio.gather(*work)
            begin = min(gateway.times)
            seconds = max(gateway.times) + SECONDS - begin
            print(f"workers started in {begin - start:.1f} s", file=sys.stderr)
    calls = sum(report["calls"] for report in reports)
    renewals = sum(report["renewals"] for report in reports)
    trips = sum(report["round_trips"] for report in reports) - renewals
    return Result(
        calls=calls,
        seconds=seconds,
        optimum=optimum(sizes),
        refused=gateway.enforcer.refused,
        round_trips=trips / calls,
        renewals=renewals,
    )


async def worker(name: str, url: str, port: int, sizes: list[int]) -> dict[str, Any]:
    """Run a worker process, and return what it reports."""
    work = {
        "name": name,
        "url": url,
        "port": port,
        "limits": {"requests_per_minute": REQUESTS, "tokens_per_minute": TOKENS},
        "tokens": sizes,
        "seconds": SECONDS,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.programs.redis_worker", json.dumps(work)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    report: dict[str, Any] = json.loads(output)
    return report


def table(result: Result) -> str:
    """Return what `make bench-pool` prints."""
    return "\n".join(
        [
            f"| {WORKERS} processes on Redis | measured | bar |",
            "|---|---|---|",
            f"| calls | {result.calls} | {CALLS} |",
            f"| refused by the gateway | {result.refused} | 0 |",
            f"| seconds | {result.seconds:.1f} | {result.optimum * TIME_BAR:.1f} |",
            f"| time over the optimum | {result.ratio:.3f} | {TIME_BAR} |",
            f"| round trips per call | {result.round_trips:.2f} | {ROUND_TRIPS_BAR:.2f} |",
            f"| renewals | {result.renewals} | - |",
        ]
    )


if __name__ == "__main__":
    measured = asyncio.run(run())
    print(table(measured))
    raise SystemExit(0 if measured.good else 1)
