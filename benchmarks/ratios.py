"""What the library costs beside the bare work: CPU time of this process, as ratios.

    python benchmarks/ratios.py [--rounds N] [--json FILE]

Strategy.  Seconds say little about another machine, so each figure is a ratio inside one run: the
same bytes from the same server, once with aiohttp and orjson alone, once with the library, in
turns, so that a machine that slows down slows both.  Each turn counts user and system time of this
process alone; the server is another one.  The ratio is that of the medians; the spread is the
middle half of the ratios of each pair of turns.  The bars are goals: a ratio above its bar is
shown and is no failure of the program, which ends with 0 unless something broke.
"""

import argparse
import asyncio
import gc
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import aiohttp
import attrs
import bare_server
import orjson

from aiotokengate import TokenGate

MODEL = "qwen3.6-max-preview"
PROMPT = "你好"
AT_ONCE = 32
CALLS = 250
"""How many calls, one after the other, are one turn of the second figure."""

LEAST_ROUNDS = 7
LEAST_IMPORTS = 15

BARE_IMPORT = "import aiohttp, attrs, orjson"
OUR_IMPORT = "import aiotokengate"
PACKAGES = ("aiotokengate", "aiohttp", "attrs", "orjson", "multidict", "yarl")

Work: TypeAlias = Callable[[], Awaitable[None]]


@attrs.frozen
class Figure:
    """One comparison: microseconds of CPU time for each unit, turn by turn."""

    name: str
    unit: str
    bar: float
    bare: list[float]
    ours: list[float]

    @property
    def ratio(self) -> float:
        """Ours over bare, of the medians."""
        return median(self.ours) / median(self.bare)

    @property
    def spread(self) -> tuple[float, float]:
        """The quartiles of the ratios of each pair of turns."""
        pairs = zip(self.ours, self.bare, strict=True)
        low, _, high = quantiles([ours / bare for ours, bare in pairs], n=4)
        return low, high

    def row(self) -> str:
        """Give the line of the table."""
        low, high = self.spread
        costs = f"{median(self.bare):9.1f} {median(self.ours):9.1f}  {self.unit:10}"
        verdict = "holds" if self.ratio <= self.bar else "ABOVE"
        ratio = f"{self.ratio:5.2f}  {low:.2f} - {high:.2f}  {self.bar:.2f}  {verdict}"
        return f"{self.name:32} {costs} {ratio}"

    def to_dict(self) -> dict[str, Any]:
        """Give everything, for a file."""
        return {**attrs.asdict(self), "ratio": self.ratio, "spread": self.spread}


HEADING = f"{'CPU time, µs':32} {'bare':>9} {'ours':>9}  {'for each':10} ratio  middle half  bar"

# --- the bare loops -----------------------------------------------------------------------------


@attrs.frozen
class Bare:
    """What anybody would write with aiohttp and orjson, and nothing else."""

    session: aiohttp.ClientSession
    address: str
    body: bytes

    async def stream(self, answer: str) -> int:
        """Read an event stream; count its chunks."""
        count, tail = 0, b""
        async with self.session.post(self._url(answer), data=self.body) as response:
            async for data in response.content.iter_any():
                *events, tail = (tail + data).split(b"\n\n")
                for event in events:
                    text = event[6:]
                    if text != b"[DONE]":
                        orjson.loads(text)
                        count += 1
        return count

    async def plain(self) -> int:
        """Read a plain answer; count its choices."""
        async with self.session.post(self._url("plain"), data=self.body) as response:
            return len(orjson.loads(await response.read())["choices"])

    def _url(self, answer: str) -> str:
        return f"{self.address}/{answer}/v1/chat/completions"


def _bare_body(*, stream: bool) -> bytes:
    """Give the body that the library sends, too."""
    body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return orjson.dumps(body)


@asynccontextmanager
async def _bare(address: str) -> AsyncIterator[Bare]:
    headers = {"Authorization": "Bearer sk-bench", "Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        yield Bare(session, address, _bare_body(stream=True))


# --- the figures --------------------------------------------------------------------------------


async def _deltas(bare: Bare, answer: str, rounds: int) -> Figure:
    """Read long replies, many at once, as fast as they come."""

    async def one_of_ours() -> int:
        count = 0
        async for _ in gate.chat(MODEL, PROMPT):
            count += 1
        return count

    async def ours() -> None:
        _expect(await asyncio.gather(*[one_of_ours() for _ in range(AT_ONCE)]))

    async def plainly() -> None:
        _expect(await asyncio.gather(*[bare.stream(answer) for _ in range(AT_ONCE)]))

    async with _gate(bare.address, answer) as gate:
        costs = await _in_turns(plainly, ours, rounds, AT_ONCE * bare_server.CHUNKS)
    how = "in bulk" if answer == "long" else "one by one"
    return Figure(f"deltas, {AT_ONCE} x {bare_server.CHUNKS} {how}", "chunk", 1.6, *costs)


async def _streamed_call(bare: Bare, rounds: int) -> Figure:
    """Make short calls, one after the other, on a kept connection."""

    async def ours() -> None:
        for _ in range(CALLS):
            await gate.chat(MODEL, PROMPT)

    async def plainly() -> None:
        for _ in range(CALLS):
            await bare.stream("short")

    async with _gate(bare.address, "short") as gate:
        _same((await gate.chat(MODEL, PROMPT)).answer, "好")
        costs = await _in_turns(plainly, ours, rounds, CALLS)
    return Figure("await, a reply of one token", "call", 1.5, *costs)


async def _plain_call(bare: Bare, rounds: int) -> Figure:
    """Do the same without streaming."""
    bare = attrs.evolve(bare, body=_bare_body(stream=False))

    async def ours() -> None:
        for _ in range(CALLS):
            await gate.chat(MODEL, PROMPT, stream=False)

    async def plainly() -> None:
        for _ in range(CALLS):
            await bare.plain()

    async with _gate(bare.address, "plain") as gate:
        _same((await gate.chat(MODEL, PROMPT, stream=False)).answer, "好")
        costs = await _in_turns(plainly, ours, rounds, CALLS)
    return Figure("await, stream=False", "call", 1.5, *costs)


def _imports(rounds: int) -> Figure:
    """Import in fresh processes; neither the interpreter's start nor compiling is counted."""
    bare, ours = [], []
    with TemporaryDirectory() as compiled:
        _import_cost(OUR_IMPORT, compiled)
        for _ in range(rounds):
            bare.append(_import_cost(BARE_IMPORT, compiled))
            ours.append(_import_cost(OUR_IMPORT, compiled))
    return Figure("import", "process", 1.3, bare, ours)


def _import_cost(statement: str, compiled: str) -> float:
    program = (
        "from time import process_time as now; "
        f"before = now(); {statement}; print((now() - before) * 1e6)"
    )
    # Compiled code of its own, so that no side meets what is stale, or may not be written.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(ran.stdout)


# --- how it is measured -------------------------------------------------------------------------


async def _in_turns(
    bare: Work, ours: Work, rounds: int, units: int
) -> tuple[list[float], list[float]]:
    """Give microseconds a unit of both, after one turn each that opens connections."""
    await bare()
    await ours()
    costs: tuple[list[float], list[float]] = [], []
    for _ in range(rounds):
        for work, found in zip((bare, ours), costs, strict=True):
            found.append(await _cost(work) * 1e6 / units)
    return costs


async def _cost(work: Work) -> float:
    """Give the seconds of CPU time, user and system, that this process spends on it."""
    gc.collect()
    before = time.process_time()
    await work()
    return time.process_time() - before


@asynccontextmanager
async def _gate(address: str, answer: str) -> AsyncIterator[TokenGate]:
    async with TokenGate(base_url=f"{address}/{answer}/v1", api_key="sk-bench", proxy="") as gate:
        yield gate


@contextmanager
def _server() -> Iterator[str]:
    """Start the server beside us, and give its address."""
    command = [sys.executable, str(Path(bare_server.__file__))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - for the type checker
        assert process.stdin is not None  # noqa: S101 - for the type checker
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


def _expect(counts: list[int]) -> None:
    """Check that every reply was read whole: as many deltas as chunks."""
    for count in counts:
        _same(count, bare_server.CHUNKS)


def _same(found: object, expected: object) -> None:
    if found != expected:
        message = f"expected {expected!r} from the server, got {found!r}: nothing was measured"
        raise RuntimeError(message)


# --- what is printed ----------------------------------------------------------------------------


def _about() -> dict[str, Any]:
    """Say what the figures were measured on."""
    return {
        "machine": f"{_processor()}, {os.cpu_count()} CPUs, {platform.system()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text("utf-8").splitlines() if information.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "from the working directory"


async def _figures(rounds: int) -> AsyncIterator[Figure]:
    with _server() as address:
        async with _bare(address) as bare:
            yield await _deltas(bare, "long", rounds)
            yield await _deltas(bare, "drip", rounds)
            yield await _streamed_call(bare, rounds)
            yield await _plain_call(bare, rounds)
    yield _imports(max(LEAST_IMPORTS, rounds))


async def _table(rounds: int) -> list[Figure]:
    """Print each figure as soon as it is there, and give them all."""
    print(HEADING)
    figures = []
    async for figure in _figures(rounds):
        figures.append(figure)
        print(figure.row(), flush=True)
    return figures


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description="the library's CPU time over that of bare loops")
    parser.add_argument(
        "--rounds", type=int, default=11, help=f"turns of each side, at least {LEAST_ROUNDS}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything here")
    arguments = parser.parse_args()
    about = _about()
    print(about["machine"])
    print(about["python"], *(f"{name} {about['packages'][name]}" for name in PACKAGES), sep=", ")
    print()
    figures = asyncio.run(_table(max(LEAST_ROUNDS, arguments.rounds)))
    if arguments.json is not None:
        record = {**about, "figures": [figure.to_dict() for figure in figures]}
        arguments.json.write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
