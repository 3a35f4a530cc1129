"""What is measured, and how: every figure is a list of turns, taken in turns by everybody."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any, Self

import attrs
from bare_server import WARM_TEXTS
from clients import CLIENTS
from processes import Worker, server
from replies import Writer, answer_of

__all__ = ["FULL", "PARTS", "QUICK", "SMOKE", "Bench", "Figure", "Plan", "about"]

TEXTS = 497
"""Texts of a long reply; with the role, the finish and the usage they are 500 chunks."""
CHUNKS = 500
AT_ONCE = 32
PACE = 4_000
"""Texts a second of the paced replies, all together."""
HELD_TEXTS = 1_000
LOAD = 0.7
PACKAGES = ("aiohttp", "attrs", "orjson", "multidict", "yarl", "uvloop")


@attrs.frozen
class Figure:
    """One comparison.

    Attributes:
        unit: what the numbers are.
        costs: by entry, one number for each round; None where it sat the round out.
        about: whatever else is worth keeping.
    """

    unit: str
    costs: dict[str, list[float | None]]
    about: dict[str, Any] = attrs.field(factory=dict)

    def typical(self, entry: str) -> float:
        """Give the median of an entry."""
        return median(value for value in self.costs[entry] if value is not None)

    def ratios(self, over: str, under: str) -> list[float]:
        """Give the ratio of two entries in each round in which both took part."""
        pairs = zip(self.costs[over], self.costs[under], strict=True)
        return [a / b for a, b in pairs if a is not None and b is not None]

    def middle_half(self, over: str, under: str) -> tuple[float, float]:
        """Give the quartiles of those ratios."""
        found = self.ratios(over, under)
        if len(found) == 1:
            return found[0], found[0]
        low, _, high = quantiles(found, n=4, method="inclusive")
        return low, high


@attrs.frozen
class Plan:
    """How much is measured.

    Attributes:
        rounds: turns of each entry.
        paces: turns of each in what runs in real time.
        repeats: turns of each where a turn is a process.
        leave_out: clients that are too slow for this.
        streams: how many replies are open at once.
        length: texts of the longest reply.
        held: how many replies stay open to see their memory.
        size: how much of the usual work is in a turn.
    """

    rounds: int
    paces: int
    repeats: int
    streams: tuple[int, ...]
    length: int
    held: int
    size: float = 1.0
    leave_out: frozenset[str] = frozenset()


_SLOW = frozenset(("langchain", "pydantic-ai", "litellm"))
_PEERS = _SLOW | {"hand", "httpx-sse", "openai", "openai aiohttp", "anthropic"}
FULL = Plan(15, 7, 3, (1_000, 5_000, 10_000), 1_000_000, 1_000)
QUICK = Plan(7, 3, 1, (1_000,), 200_000, 300, leave_out=_SLOW)
SMOKE = Plan(2, 1, 1, (100,), 20_000, 100, size=0.1, leave_out=_PEERS | {"anthropic aiohttp"})


class Bench:
    """A run: who takes part, and the processes of those that have begun."""

    def __init__(self, plan: Plan, others: str | None) -> None:
        """``others`` is the interpreter of those that don't get along with the rest."""
        self.plan = plan
        self._others = others
        self._stack = ExitStack()
        self._workers: dict[str, Worker] = {}
        self.absent = {name for name in CLIENTS if not self._has(name)}

    def __enter__(self) -> Self:
        self._address = self._stack.enter_context(server())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _has(self, name: str) -> bool:
        if name in self.plan.leave_out:
            return False
        return self._others is not None if CLIENTS[name].own else CLIENTS[name].here

    def python(self, client: str) -> str:
        """Give the interpreter of a client."""
        own = CLIENTS[client].own and self._others
        return self._others if own and self._others else sys.executable

    def worker(self, client: str) -> Worker:
        """Give the process of a client; it is kept until the end of the run."""
        if client not in self._workers:
            worker = Worker(self.python(client), client, self._address)
            self._workers[client] = self._stack.enter_context(worker)
        return self._workers[client]

    def fresh(self, stack: ExitStack, client: str) -> Worker:
        """Give a client's process with a server of its own, for as long as the stack lives."""
        address = stack.enter_context(server())
        return stack.enter_context(Worker(self.python(client), client, address))


def check(found: object, expected: object, what: str) -> None:
    """Check that a reply was read whole.

    Raises:
        RuntimeError: it was not.
    """
    if found != expected:
        message = f"{what}: expected {expected!r}, got {found!r}: nothing was measured"
        raise RuntimeError(message)


# --- as fast as it comes ------------------------------------------------------------------------


@attrs.frozen
class Entry:
    """Who takes part in a figure.

    Attributes:
        client: of :data:`clients.CLIENTS`.
        work: the method.
        times: how often a turn does it.
        every: it takes part in every so many rounds.
        name: in the figure, where the client has several entries.
    """

    client: str
    work: str
    times: int = 1
    every: int = 1
    name: str = ""

    @property
    def key(self) -> str:
        """The name in the figure."""
        return self.name or self.client


@attrs.frozen
class Turns:
    """Work that costs what it costs: replies as fast as they come, or calls one by one."""

    unit: str
    answer: str
    at_once: int
    units: int
    entries: tuple[Entry, ...]

    def measure(self, bench: Bench) -> Figure:
        """Take turns."""
        entries = [entry for entry in self.entries if entry.client not in bench.absent]
        costs: dict[str, list[float | None]] = {entry.key: [] for entry in entries}
        for turn in range(bench.plan.rounds):
            for entry in entries:
                taken = turn % entry.every == 0
                costs[entry.key].append(self._cost(bench, entry) if taken else None)
        return Figure(self.unit, costs)

    def _cost(self, bench: Bench, entry: Entry) -> float:
        """Give microseconds of CPU time for each unit."""
        at_once = self.at_once
        times = max(1, round(entry.times * bench.plan.size))
        warm = at_once if entry.every < _RARELY else 1
        found = bench.worker(entry.client).ask(
            "turn", work=entry.work, answer=self.answer, at_once=at_once, times=times, warm=warm
        )
        check(len(found["counts"]), 1, f"replies of equal length to {entry.key}")
        cost: float = found["cpu"] * 1e6 / (at_once * times * self.units)
        return cost


_OFTEN, _RARELY = 3, 5

_BULK = (
    Entry("bare bytes", "stream", 2),
    Entry("bare", "stream", 2),
    Entry("ours", "stream", 2),
    Entry("ours", "views", 2, name="ours, views"),
    Entry("ours, limits", "stream", 2),
    Entry("bare uvloop", "stream", 2),
    Entry("ours uvloop", "stream", 2),
    Entry("hand", "stream"),
    Entry("httpx-sse", "stream"),
    Entry("openai aiohttp", "stream", 1, _OFTEN),
    Entry("openai", "stream", 1, _OFTEN),
    Entry("langchain", "stream", 1, _RARELY),
    Entry("pydantic-ai", "stream", 1, _RARELY),
    Entry("litellm", "stream", 1, _RARELY),
)


def _calls(work: str) -> tuple[Entry, ...]:
    fast = ("bare", "ours", "ours, limits", "bare uvloop", "ours uvloop")
    slow = ("openai aiohttp", "openai", "langchain", "pydantic-ai", "litellm")
    many = tuple(Entry(client, work, 250) for client in fast)
    return many + tuple(Entry(client, work, 50, _OFTEN) for client in slow)


def _named(*peers: str) -> tuple[Entry, ...]:
    fast = tuple(Entry(client, "stream_named", 2) for client in ("bare", "ours"))
    return fast + tuple(Entry(client, "stream_named", 1, _OFTEN) for client in peers)


def _bulk(shape: str, entries: tuple[Entry, ...]) -> Turns:
    chunks = sum(event != b"data: [DONE]\n\n" for event in Writer(shape).events(TEXTS) if event)
    return Turns("µs a chunk", f"bulk.{shape}.{TEXTS}", AT_ONCE, chunks, entries)


def _texts(bench: Bench, turns: Turns, without: Iterable[str]) -> None:
    """See that each of them reads the whole answer."""
    expected = "".join(answer_of(TEXTS))
    for client in {entry.client for entry in turns.entries} - bench.absent - set(without):
        found = bench.worker(client).ask("text", answer=turns.answer)
        check(found, expected, f"the answer as {client} reads it")


def bulk(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Read long replies, 32 at once, as fast as they come."""
    turns = _bulk("qwen", _BULK)
    _texts(bench, turns, ("bare bytes",))
    yield "bulk", turns.measure(bench)


def protocols(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Do the same with the protocols that name their events."""
    for shape, peers in (
        ("responses", ("openai aiohttp", "openai")),
        ("messages", ("anthropic aiohttp", "anthropic")),
    ):
        turns = _bulk(shape, _named(*peers))
        _texts(bench, turns, ("bare",))
        yield shape, turns.measure(bench)


def calls(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Make calls with a one-token reply, one after the other, on a kept connection."""
    yield "call", Turns("µs a call", "bulk.qwen.1", 1, 1, _calls("call")).measure(bench)
    yield "plain", Turns("µs a call", "plain.qwen", 1, 1, _calls("plain")).measure(bench)


# --- imports ------------------------------------------------------------------------------------

_IMPORTS = {
    "bare": "import aiohttp, attrs, orjson",
    "ours": "from aiotokengate import TokenGate",
    "openai": "from openai import AsyncOpenAI",
    "anthropic": "from anthropic import AsyncAnthropic",
    "langchain": "from langchain_openai import ChatOpenAI",
    "pydantic-ai": "from pydantic_ai.models.openai import OpenAIChatModel",
    "litellm": "from litellm import acompletion",
}


def imports(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Import in fresh processes; neither the interpreter's start nor compiling is counted."""
    costs: dict[str, list[float | None]] = {
        client: [] for client in _IMPORTS if client not in bench.absent
    }
    with TemporaryDirectory() as compiled:
        for client in costs:
            _import_cost(bench.python(client), _IMPORTS[client], compiled)
        for turn in range(bench.plan.rounds):
            for client, found in costs.items():
                taken = client in ("bare", "ours") or turn % _OFTEN == 0
                python, statement = bench.python(client), _IMPORTS[client]
                found.append(_import_cost(python, statement, compiled) if taken else None)
    yield "import", Figure("ms a process", costs)


def _import_cost(python: str, statement: str, compiled: str) -> float:
    program = (
        "from time import process_time as now; "
        f"before = now(); {statement}; print((now() - before) * 1e3)"
    )
    # Compiled code of its own, so that no side meets what is stale, or may not be written.
    environment = {
        **os.environ,
        "PYTHONPYCACHEPREFIX": compiled,
        "PYTHONDONTWRITEBYTECODE": "",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    ran = subprocess.run(
        [python, "-c", program], check=True, capture_output=True, text=True, env=environment
    )
    return float(ran.stdout.split()[-1])


# --- one event a read ---------------------------------------------------------------------------

_PACED = (
    "bare",
    "ours",
    "bare uvloop",
    "ours uvloop",
    "hand",
    "httpx-sse",
    "openai aiohttp",
    "openai",
)


def paced(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Read 32 replies whose every event is a write of the server, and a read of the client."""
    clients = [client for client in _PACED if client not in bench.absent]
    texts = max(4, round(64 * bench.plan.size))
    costs: dict[str, list[float | None]] = {client: [] for client in clients}
    reads: dict[str, float] = {}
    workers = {client: bench.worker(client) for client in clients}
    for client, worker in workers.items():
        _open(worker, client, AT_ONCE)
        proof = worker.ask("pace", texts=texts, rate=PACE, proof=not CLIENTS[client].uvloop)
        reads[client] = proof.get("reads", 0) / proof["texts"]
    for _ in range(bench.plan.paces):
        for client, worker in workers.items():
            costs[client].append(_per_text(worker.ask("pace", texts=texts, rate=PACE)))
    for worker in workers.values():
        worker.ask("end")
    yield "paced", Figure("µs a chunk", costs, {"reads a chunk": reads, "chunks a second": PACE})


def _open(worker: Worker, group: str, streams: int) -> None:
    worker.ask(
        "open",
        answer="paced.qwen",
        group=group.replace(" ", "-"),
        streams=streams,
        warm=WARM_TEXTS,
    )


def _per_text(found: Mapping[str, float]) -> float:
    return found["cpu"] * 1e6 / found["texts"]


# --- many streams -------------------------------------------------------------------------------


def streams(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Hold many replies open at once: what a chunk costs, and how late it is under load."""
    for number in bench.plan.streams:
        with ExitStack() as stack:
            workers = {client: bench.fresh(stack, client) for client in ("bare", "ours")}
            for client, worker in workers.items():
                _open(worker, client, number)
            costs = _at_once(bench, workers, number)
            yield f"streams {number}", costs
            yield f"late {number}", _lateness(bench, workers, number, costs)
            for worker in workers.values():
                worker.ask("end")


_FAST = 12_000
_ENOUGH = 24_000


def _at_once(bench: Bench, workers: Mapping[str, Worker], number: int) -> Figure:
    texts = max(3, round(_ENOUGH * bench.plan.size / number))
    costs: dict[str, list[float | None]] = {client: [] for client in workers}
    for _ in range(bench.plan.repeats):
        for client, worker in workers.items():
            costs[client].append(_per_text(worker.ask("pace", texts=texts, rate=_FAST)))
    return Figure("µs a chunk", costs, {"chunks a second": _FAST})


def _lateness(
    bench: Bench, workers: Mapping[str, Worker], number: int, costs: Figure
) -> Figure:
    """Load each client as far as it bears, each by its own measure."""
    late: dict[str, list[float | None]] = {client: [] for client in workers}
    found: dict[str, Any] = {}
    for client, worker in workers.items():
        rate = int(LOAD * 1e6 / costs.typical(client))
        texts = max(3, round(rate * 3 * bench.plan.size / number))
        found[client] = worker.ask("pace", texts=texts, rate=rate, timed=True) | {"rate": rate}
        late[client].append(found[client]["p99"])
    return Figure("ms late, p99", late, found)


# --- one long reply -----------------------------------------------------------------------------


def length(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Read a reply that hardly ends: what a chunk costs at its start and at its end."""
    texts = bench.plan.length
    every = texts // 20
    costs: dict[str, list[float | None]] = {}
    stretches: dict[str, list[list[float]]] = {"bare": [], "ours": []}
    for _ in range(bench.plan.repeats):
        for client, found in stretches.items():
            seconds = bench.worker(client).ask(
                "length", answer=f"bulk.qwen.{texts}", texts=texts, every=every
            )
            found.append([second * 1e6 / every for second in seconds])
            for name, value in _ends(found[-1]).items():
                costs.setdefault(f"{client}, {name}", []).append(value)
    typical = {
        client: [median(column) for column in zip(*found, strict=True)]
        for client, found in stretches.items()
    }
    yield "length", Figure("µs a chunk", costs, {"every": every, "stretches": typical})


def _ends(stretches: list[float]) -> dict[str, float]:
    """Take the second and the last tenth: the first has the connection in it."""
    tenth = len(stretches) // 10
    return {
        "at the start": median(stretches[tenth : 2 * tenth]),
        "at the end": median(stretches[-tenth:]),
    }


# --- memory -------------------------------------------------------------------------------------


def memory(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Hold replies open after 1,000 texts: resident memory of each."""
    kinds = {"bare": ("bare", "hold"), "ours": ("ours", "hold")}
    if bench.worker("ours").ask("knows", option="retain"):
        kinds["ours, retain=False"] = ("ours", "hold_passing")
    costs: dict[str, list[float | None]] = {kind: [] for kind in kinds}
    answer = f"hold.qwen.{HELD_TEXTS}"
    for _ in range(bench.plan.repeats):
        for kind, (client, work) in kinds.items():
            with ExitStack() as stack:
                found = bench.fresh(stack, client).ask(
                    "hold", work=work, answer=answer, streams=bench.plan.held, texts=HELD_TEXTS
                )
            costs[kind].append(found / 1e3)
    yield "memory", Figure("kB a stream", costs, {"texts": HELD_TEXTS})


PARTS: Mapping[str, Callable[[Bench], Iterator[tuple[str, Figure]]]] = {
    "bulk": bulk,
    "protocols": protocols,
    "calls": calls,
    "paced": paced,
    "imports": imports,
    "length": length,
    "memory": memory,
    "streams": streams,
}


# --- what it was measured on --------------------------------------------------------------------


def about(bench: Bench) -> dict[str, Any]:
    """Say what the figures were measured on, and who took part."""
    packages = {name: version for name in PACKAGES if (version := _version(sys.executable, name))}
    peers = {
        name: _version(bench.python(name), client.package)
        for name, client in CLIENTS.items()
        if name not in bench.absent and name not in _OURS_OR_BARE
    }
    return {
        "machine": f"{os.cpu_count()} CPUs of {_processor()}, {platform.system()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": packages,
        "peers": peers,
    }


_OURS_OR_BARE = ("bare bytes", "bare", "ours", "ours, limits", "bare uvloop", "ours uvloop", "hand")


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text("utf-8").splitlines() if information.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _version(python: str, package: str) -> str:
    """Ask the environment that has it."""
    name = package.replace("_", "-")
    if name == "pydantic-ai":
        name = "pydantic-ai-slim"
    if python != sys.executable:
        program = f"from importlib.metadata import version; print(version({name!r}))"
        ran = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
        return ran.stdout.strip()
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def dumped(figures: Mapping[str, Figure], stated: Mapping[str, Any]) -> str:
    """Give everything as JSON."""
    found = {key: attrs.asdict(figure) for key, figure in figures.items()}
    return json.dumps({"about": stated, "figures": found}, indent=1, ensure_ascii=False)
