"""What a place in the pool costs: CPU time and memory, beside an ``asyncio.Semaphore``'s.

    python benchmarks/pool_cost.py

Both in one run, in turns, as CPU time of this process; the figure is the median of the turns.
"""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from statistics import median

from aiotokengate import Limits, Pool
from aiotokengate._policy.estimate import estimate_tokens

TURNS, SLOTS, WAITERS = 15, 5_000, 100_000

MOST_MICROSECONDS, MOST_BYTES, MOST_NANOSECONDS = 15.0, 1_000.0, 1.0
"""The bars: a free slot beyond a semaphore's; a waiter beyond a semaphore's; a byte estimated."""

TEXTS = {
    "Chinese": "请用三句话解释量子纠缠，并举一个例子。" * 2_000,
    "English": "Explain quantum entanglement in three sentences. " * 2_000,
    "both": "请解释 quantum entanglement 😀 in three 句话. " * 2_000,
}


async def _semaphore_turn(semaphore: asyncio.Semaphore) -> None:
    for _ in range(SLOTS):
        async with semaphore:
            pass


async def _pool_turn(pool: Pool) -> None:
    for _ in range(SLOTS):
        async with pool.slot("qwen3.6-plus", tokens=100) as slot:
            slot.settle(90)


async def _cpu(work: Awaitable[None]) -> float:
    began = time.process_time()
    await work
    return time.process_time() - began


async def free_slot() -> tuple[float, float]:
    """Return microseconds for a semaphore's place and for a free slot's."""
    semaphore = asyncio.Semaphore(1_000)
    limits = Limits(concurrency=1_000, requests_per_minute=1e12, tokens_per_minute=1e15)
    pool = Pool(limits)
    turns = [
        (await _cpu(_semaphore_turn(semaphore)), await _cpu(_pool_turn(pool)))
        for _ in range(TURNS)
    ]
    bare, ours = (median(column) / SLOTS * 1e6 for column in zip(*turns, strict=True))
    return bare, ours


async def _waiting(enter: Callable[[], Awaitable[None]], release: Callable[[], object]) -> float:
    """Return the bytes that each of many waiting tasks takes."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tasks = [asyncio.ensure_future(enter()) for _ in range(WAITERS)]
    for _ in range(3):
        await asyncio.sleep(0)
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    release()
    await asyncio.gather(*tasks)
    return taken / WAITERS


async def waiters() -> tuple[float, float]:
    """Return bytes for a task that waits for a semaphore, and for one that waits for a slot."""
    semaphore = asyncio.Semaphore(1)
    pool = Pool(Limits(concurrency=1, requests_per_minute=1e12), max_waiting=2 * WAITERS)

    async def bare() -> None:
        async with semaphore:
            pass

    async def ours() -> None:
        async with pool.slot("qwen3.6-plus", tokens=100):
            pass

    await semaphore.acquire()
    first = await _waiting(bare, semaphore.release)
    held = await pool.slot("qwen3.6-plus", tokens=1).__aenter__()
    return first, await _waiting(ours, held.settle)


async def admission(waiting: int) -> float:
    """Return microseconds for one admission, by how many wait."""
    pool = Pool(Limits(concurrency=1, learn=False), max_waiting=2 * WAITERS)

    async def ours() -> None:
        async with pool.slot("qwen3.6-plus", tokens=100):
            pass

    held = await pool.slot("qwen3.6-plus", tokens=1).__aenter__()
    tasks = [asyncio.ensure_future(ours()) for _ in range(waiting)]
    await asyncio.sleep(0)
    began = time.process_time()
    held.settle()
    await asyncio.gather(*tasks)
    return (time.process_time() - began) / waiting * 1e6


def estimating(text: str) -> float:
    """Return nanoseconds for a byte of a prompt."""
    body = text.encode()
    turns = []
    for _ in range(TURNS):
        began = time.process_time()
        for _ in range(50):
            estimate_tokens(body)
        turns.append(time.process_time() - began)
    return median(turns) / 50 / len(body) * 1e9


def _verdict(value: float, bar: float) -> str:
    return "holds" if value <= bar else "MISSED"


def main() -> bool:
    """Print all; return whether every bar holds."""
    bare, ours = asyncio.run(free_slot())
    more = ours - bare
    print(f"a free slot: {bare:.2f} µs with a semaphore, {ours:.2f} µs with the pool: ", end="")
    print(f"{more:.1f} µs more, bar {MOST_MICROSECONDS:g}: {_verdict(more, MOST_MICROSECONDS)}")
    small, large = asyncio.run(waiters())
    over = large - small
    print(f"each of {WAITERS} waiters: {small:.0f} bytes and {large:.0f}: ", end="")
    print(f"{over:.0f} bytes more, bar {MOST_BYTES:g}: {_verdict(over, MOST_BYTES)}")
    few, many = asyncio.run(admission(1_000)), asyncio.run(admission(100_000))
    print(f"one admission: {few:.1f} µs with 1,000 waiting, {many:.1f} µs with 100,000")
    bytes_cost = {name: estimating(text) for name, text in TEXTS.items()}
    for name, cost in bytes_cost.items():
        print(f"a byte of a prompt in {name}: {cost:.2f} ns, ", end="")
        print(f"bar {MOST_NANOSECONDS:g}: {_verdict(cost, MOST_NANOSECONDS)}")
    cheap = max(bytes_cost.values()) <= MOST_NANOSECONDS
    return more <= MOST_MICROSECONDS and over <= MOST_BYTES and cheap


if __name__ == "__main__":
    raise SystemExit(0 if main() else 1)
