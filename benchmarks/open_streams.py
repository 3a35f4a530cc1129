"""Replies that stay open: one event a read, many at once, a long one, their memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from statistics import median
from typing import Any

from bare_server import WARM_TEXTS
from figure import Costs, Figure
from processes import Worker
from run import Bench

__all__ = ["HELD_TEXTS", "length", "memory", "paced", "streams"]

PACE = 4_000
"""Texts a second of the paced replies, all together: half of what the slowest of them bears."""
TRIES = 3
READS = 0.95
"""A turn with fewer reads a text was disturbed: several texts came with one read."""
FAST, ENOUGH = 12_000, 24_000
"""Texts a second of many replies, and how many a turn has at least."""
HELD_TEXTS = 1_000
LOAD = 0.7
_BOTH = ("bare", "ours")

# --- one event a read ---------------------------------------------------------------------------

_PACED = (
    *_BOTH,
    "ours await",
    "ours answer",
    "ours bursts",
    "bare uvloop",
    "ours uvloop",
    "ours await uvloop",
    "hand",
    "httpx-sse",
    "openai aiohttp",
    "openai",
)


def paced(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Read 32 replies whose every event is a write of the server, and a read of the client."""
    workers = {name: bench.worker(name) for name in _PACED if name not in bench.absent}
    for client, worker in workers.items():
        _open(worker, client, 32)
    costs: Costs = {client: [] for client in workers}
    reads: dict[str, list[float]] = {client: [] for client in workers}
    texts = max(4, round(128 * bench.plan.size))
    for _ in range(bench.plan.paces):
        for client, worker in workers.items():
            found = _one_a_read(worker, texts)
            costs[client].append(_cost(found))
            reads[client].append(_reads(found))
    for worker in workers.values():
        worker.ask("end")
    proof = {client: round(median(found), 3) for client, found in reads.items()}
    yield "paced", Figure("µs a chunk", costs, {"reads a chunk": proof, "chunks a second": PACE})


def _one_a_read(worker: Worker, texts: int) -> Mapping[str, float]:
    """Take a turn in which the client keeps up, so that each text is a read; try a few times."""
    found: list[Mapping[str, float]] = []
    while len(found) < TRIES:
        found.append(worker.ask("pace", texts=texts, rate=PACE))
        if _reads(found[-1]) >= READS or not found[-1]["reads"]:
            return found[-1]
    return max(found, key=_reads)


def _reads(found: Mapping[str, float]) -> float:
    return found["reads"] / found["texts"]


def _open(worker: Worker, group: str, streams: int) -> None:
    shape = "thinking" if group == "ours answer" else "qwen"
    group = group.replace(" ", "-")
    worker.ask("open", answer=f"paced.{shape}", group=group, streams=streams, warm=WARM_TEXTS)


def _cost(found: Mapping[str, float]) -> float:
    return found["cpu"] * 1e6 / found["texts"]


# --- many streams -------------------------------------------------------------------------------


def streams(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Hold many replies open at once: what a chunk costs, and how late it is under load."""
    for number in bench.plan.streams:
        with ExitStack() as stack:
            workers = {client: bench.fresh(stack, client) for client in _BOTH}
            for client, worker in workers.items():
                _open(worker, client, number)
            costs = _at_once(bench, workers, number)
            yield f"streams {number}", costs
            yield f"late {number}", _lateness(bench, workers, number, costs)
            for worker in workers.values():
                worker.ask("end")


def _at_once(bench: Bench, workers: Mapping[str, Worker], number: int) -> Figure:
    texts = max(3, round(ENOUGH * bench.plan.size / number))
    costs: Costs = {client: [] for client in workers}
    for _ in range(bench.plan.repeats):
        for client, worker in workers.items():
            costs[client].append(_cost(worker.ask("pace", texts=texts, rate=FAST)))
    return Figure("µs a chunk", costs, {"chunks a second": FAST})


def _lateness(bench: Bench, workers: Mapping[str, Worker], number: int, costs: Figure) -> Figure:
    """Load each client as far as it bears by its own cost; keep the calmest turn of each."""
    calmest: dict[str, Any] = {}
    for client, worker in workers.items():
        rate = int(LOAD * 1e6 / costs.typical(client))
        texts = max(3, round(rate * 2 * bench.plan.size / number))
        turns = (
            worker.ask("pace", texts=texts, rate=rate, timed=True)
            for _ in range(bench.plan.repeats)
        )
        # Others on the machine make a process wait for its core; that lateness isn't its own.
        calmest[client] = min(turns, key=lambda found: found["waited"] / found["wall"])
    late: Costs = {client: [found["p99"]] for client, found in calmest.items()}
    return Figure("ms late, p99", late, calmest)


# --- one long reply -----------------------------------------------------------------------------


def length(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Read a reply that hardly ends: what a chunk costs at its start and at its end."""
    texts = bench.plan.length
    every = texts // 20
    found: dict[str, list[list[float]]] = {client: [] for client in _BOTH}
    for _ in range(bench.plan.repeats):
        for client, turns in found.items():
            seconds = bench.worker(client).ask(
                "length", answer=f"bulk.qwen.{texts}", texts=texts, every=every
            )
            turns.append([second * 1e6 / every for second in seconds])
    costs: Costs = {}
    for client, turns in found.items():
        # The first stretch has the connection in it.
        costs[f"{client}, at the start"] = [median(turn[1:4]) for turn in turns]
        costs[f"{client}, at the end"] = [median(turn[-3:]) for turn in turns]
    stretches = {
        client: [median(column) for column in zip(*turns, strict=True)]
        for client, turns in found.items()
    }
    yield "length", Figure("µs a chunk", costs, {"every": every, "stretches": stretches})


# --- memory -------------------------------------------------------------------------------------


def memory(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Hold replies open after so many texts: resident memory of each."""
    kinds = {
        "bare": ("bare", "hold", HELD_TEXTS),
        "ours": ("ours", "hold", HELD_TEXTS),
        "ours, retain=False": ("ours", "hold_passing", HELD_TEXTS),
        "ours, retain=False, four times as long": ("ours", "hold_passing", 4 * HELD_TEXTS),
    }
    costs: Costs = {kind: [] for kind in kinds}
    for _ in range(bench.plan.repeats):
        for kind, (client, work, texts) in kinds.items():
            costs[kind].append(_memory(bench, client, work, texts) / 1e3)
    yield "memory", Figure("kB a stream", costs, {"texts": HELD_TEXTS})


def _memory(bench: Bench, client: str, work: str, texts: int) -> float:
    """Return the bytes of one reply, in a process that has done nothing else."""
    answer = f"hold.qwen.{texts}"
    with ExitStack() as stack:
        found: float = bench.fresh(stack, client).ask(
            "hold", work=work, answer=answer, streams=bench.plan.held, texts=texts
        )
    return found
