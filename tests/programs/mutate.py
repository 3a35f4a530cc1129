"""Change the package in small ways, one at a time, and see whether the tests notice.

Run by ``make mutate``.  A mutant is one change of one module: ``<`` for ``<=``, ``and`` for
``or``, a number that is one more, a statement left out.  It is killed when the module's own tests
(``tests/wire/test_sse.py`` for ``_wire/sse.py``) fail, don't end in time, or can't even import it.
Of all mutants of the rooms of the core a sample is tried; the same one for the same seed.

No file is changed: each mutant has a process that reads its module with the change in it.  What
was found is written to ``build/mutants.jsonl``, and not tried again unless the module or its tests
changed; their order is drawn by lot, so that the first ones are a sample, too.
``build/survivors.txt`` says what was not noticed.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import hashlib
import importlib
import importlib.machinery
import json
import os
import queue
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import pytest

from tests.programs.own_coverage import PACKAGE, ROOT, own_test

ROOMS = ("_wire", "_policy", "_stream", "_calls", "_pool", "_http")
BUILD = ROOT / "build"
JOURNAL = BUILD / "mutants.jsonl"
SURVIVORS = BUILD / "survivors.txt"
MEMORY = 4 << 30
POLL = 0.01
PRELOADED = (
    *("aiohttp", "aiohttp.test_utils", "aiohttp.web", "attrs", "orjson", "pydantic", "trustme"),
    *("hypothesis.stateful", "hypothesis.strategies", "pytest_asyncio.plugin", "xdist.plugin"),
)
"""Imported once, and not for each mutant."""
KILLED, TIMED_OUT, SURVIVED = "killed", "timed out", "survived"

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.Break: ast.Continue,
    ast.Continue: ast.Break,
}
UNREAD = {"annotation", "returns", "type_params", "type_comment", "decorator_list", "bases"}
"""Fields of nodes in which a change says nothing about what the program does."""


class Place(NamedTuple):
    """Where in a tree a node stands."""

    parent: ast.AST
    field: str
    at: int | None
    node: ast.AST

    def put(self, node: ast.AST) -> None:
        """Put another node there."""
        if self.at is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.at] = node


class Mutant(NamedTuple):
    """A change of a module, by its number there."""

    module: str
    number: int
    line: int
    change: str


def places(parent: ast.AST) -> Iterator[Place]:
    """Yield every place below a node at which a change would mean something."""
    for field, value in ast.iter_fields(parent):
        if field in UNREAD:
            continue
        for at, node in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(node, ast.AST) and not means_nothing(node):
                yield Place(parent, field, at if isinstance(value, list) else None, node)
                yield from places(node)


def means_nothing(node: ast.AST) -> bool:
    """Tell docstrings, what only type checkers read, names that are public, and texts."""
    match node:
        case ast.Expr(value=ast.Constant()) | ast.JoinedStr():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.ImportFrom() | ast.Import():
            return True
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name in ("__all__", "__slots__") or called(node.value) in ("TypeVar", "NewType")
        case ast.AnnAssign(annotation=ast.Name(id="TypeAlias")):
            return True
        case ast.Call():
            return called(node) == "cast"
    return False


def called(node: ast.AST) -> str:
    """Return the name of what is called."""
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may stand in a node's place."""
    if type(node) in SWAPS:
        yield SWAPS[type(node)]()
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Constant():
            yield from other_constants(node.value)
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            if not isinstance(test, (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Constant)):
                changed = copy.copy(node)
                changed.test = ast.UnaryOp(ast.Not(), test)
                yield changed
        case ast.Return(value=value) if not isinstance(value, (ast.Constant, type(None))):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.Raise() | ast.AugAssign():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()


def other_constants(value: object) -> Iterator[ast.Constant]:
    """Yield another constant of the same type; none for a text that people read."""
    match value:
        case bool():
            yield ast.Constant(not value)
        case int() | float():
            yield ast.Constant(value + 1)
        case str() | bytes() if len(value.split()) == 1:
            yield ast.Constant(value * 2)


def mutated(source: str) -> Iterator[tuple[Place, ast.AST, ast.Module]]:
    """Yield each change of a module; before it was put there."""
    tree = ast.parse(source)
    for place in list(places(tree)):
        for changed in list(changes(place.node)):
            yield place, changed, tree


def mutants_of(module: Path) -> list[Mutant]:
    """Return all mutants of a module."""
    name = module.relative_to(PACKAGE).as_posix()
    found, line = [], 0
    for number, (place, changed, _) in enumerate(mutated(module.read_text("utf-8"))):
        line = getattr(place.node, "lineno", getattr(place.parent, "lineno", line))
        found.append(Mutant(name, number, line, f"{shown(place.node)} → {shown(changed)}"))
    return found


def shown(node: ast.AST) -> str:
    """Return the first line of a node, or the name of an operator."""
    text = ast.unparse(node).partition("\n")[0]
    return text[:80] or type(node).__name__


# --- one mutant, in a process of its own --------------------------------------------------------


class Changed(importlib.machinery.SourceFileLoader):
    """Reads a module with a change in it."""

    number = 0

    def get_code(self, fullname: str) -> CodeType:
        """Compile the module, changed."""
        source = Path(self.path).read_text("utf-8")
        for number, (place, changed, tree) in enumerate(mutated(source)):
            if number == self.number:
                place.put(ast.copy_location(changed, place.node))
                return compile(ast.fix_missing_locations(tree), self.path, "exec")
        message = f"{fullname} has no mutant {self.number}"
        raise ValueError(message)


def run_one(name: str, number: int) -> int:
    """Run a module's tests on a mutant; give pytest's status, without a word."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    module = "aiotokengate." + name.removesuffix(".py").replace("/", ".")
    if number >= 0:
        put_in(module, number)
    importlib.import_module(module)
    options = ["-x", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--no-header"]
    ignored = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return pytest.main([*options, *ignored, own_test(PACKAGE / name)])


def put_in(module: str, number: int) -> None:
    """Have a module read with a change in it."""

    class Finder:
        @staticmethod
        def find_spec(name: str, path: Any, target: object = None) -> Any:  # noqa: ARG004 - given
            spec = None
            if name == module:
                spec = importlib.machinery.PathFinder.find_spec(name, path)
                assert spec is not None
                assert spec.origin is not None
                spec.loader = Changed(name, spec.origin)
                spec.loader.number = number
            return spec

    sys.meta_path.insert(0, Finder)


# --- all of them --------------------------------------------------------------------------------


class Server:
    """A process that has imported what no mutant changes, and forks itself for each of them."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.programs.mutate", "--serve"]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, cwd=ROOT, text=True, **pipes)

    def tried(self, name: str, number: int, seconds: float) -> str:
        """Try a mutant; return what came of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([name, number, seconds]), file=self._process.stdin, flush=True)
        came: str = json.loads(self._process.stdout.readline())
        return came

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def serve() -> None:
    """Try what is asked for on standard input, a line each."""
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(tried(*json.loads(line))), flush=True)


def tried(name: str, number: int, seconds: float) -> str:
    """Try a mutant in a process of its own; return what came of it."""
    child = os.fork()
    if not child:
        status = 1
        try:
            os.setsid()
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in range(3):
                os.dup2(nowhere, stream)
            status = int(run_one(name, number))
        finally:
            os._exit(status)
    came, until = TIMED_OUT, time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            came = SURVIVED if status == 0 else KILLED
            break
        time.sleep(POLL)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # with whatever it has started
    if came == TIMED_OUT:
        os.waitpid(child, 0)
    return came


def state_of(name: str) -> str:
    """Return a mark of a module and its tests as they stand."""
    texts = [(PACKAGE / name).read_bytes(), (ROOT / own_test(PACKAGE / name)).read_bytes()]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:16]


def sample(count: int, seed: int, only: tuple[str, ...]) -> list[Mutant]:
    """Return the mutants that are tried, of all modules that have tests of their own."""
    every, without = [], []
    modules = [module for room in ROOMS for module in sorted((PACKAGE / room).glob("*.py"))]
    for module in modules:
        name = module.relative_to(PACKAGE).as_posix()
        if name.startswith(only) and (found := mutants_of(module)):
            if (ROOT / own_test(module)).is_file():
                every += found
            else:
                without.append(name)
    print("without tests of their own, and so left out:", *without)
    print(f"{len(every)} mutants, of which {min(count, len(every))} are tried")
    return random.Random(seed).sample(every, min(count, len(every)))


def known() -> dict[tuple[str, int, str], str]:
    """Return what was found before."""
    if not JOURNAL.is_file():
        return {}
    lines = [json.loads(line) for line in JOURNAL.read_text("utf-8").splitlines()]
    return {(name, number, state): found for name, number, state, found in lines}


class Servers:
    """Some servers, each of which tries one mutant at a time."""

    def __init__(self, number: int) -> None:
        self._all = [Server() for _ in range(number)]
        self._free = queue.SimpleQueue[Server]()
        for server in self._all:
            self._free.put(server)

    def tried(self, name: str, number: int, seconds: float) -> str:
        """Try a mutant as soon as a server is free."""
        server = self._free.get()
        came = server.tried(name, number, seconds)
        self._free.put(server)
        return came

    def allowed(self, name: str) -> float:
        """Return how long a module's tests may take: some times as long as without a change."""
        server = self._free.get()
        began = time.monotonic()
        came = server.tried(name, -1, 600)
        self._free.put(server)
        assert came == SURVIVED, f"the tests of {name} fail without a change"
        return 10 + 4 * (time.monotonic() - began)

    def close(self) -> None:
        """End them."""
        for server in self._all:
            server.close()


def try_all(mutants: list[Mutant], workers: int, until: float) -> dict[Mutant, str]:
    """Try mutants that are not known yet, until there is no time left; give all that is known."""
    before = known()
    states = {name: state_of(name) for name in {mutant.module for mutant in mutants}}
    found = {
        mutant: before[key]
        for mutant in mutants
        if (key := (mutant.module, mutant.number, states[mutant.module])) in before
    }
    left = [mutant for mutant in mutants if mutant not in found]
    servers = Servers(workers)
    names = sorted({mutant.module for mutant in left})

    def work(mutant: Mutant) -> str | None:
        if time.monotonic() > until:
            return None
        return servers.tried(mutant.module, mutant.number, allowed[mutant.module])

    with ThreadPoolExecutor(workers) as pool, JOURNAL.open("a", encoding="utf-8") as journal:
        allowed = dict(zip(names, pool.map(servers.allowed, names), strict=True))
        for mutant, came in zip(left, pool.map(work, left), strict=True):
            if came is not None:
                found[mutant] = came
                line = [mutant.module, mutant.number, states[mutant.module], came]
                print(json.dumps(line), file=journal, flush=True)
    servers.close()
    return found


def report(found: dict[Mutant, str], asked: int) -> None:
    """Print how many were killed in each room, and write down who survived."""
    rooms: dict[str, Counter[str]] = defaultdict(Counter)
    for mutant, came in found.items():
        rooms[mutant.module.partition("/")[0]][came] += 1
        rooms["in all"][came] += 1
    for room in [*ROOMS, "in all"]:
        late, survived = rooms[room][TIMED_OUT], rooms[room][SURVIVED]
        killed = rooms[room][KILLED] + late
        if killed + survived:
            share = f"{100 * killed / (killed + survived):6.1f} %"
            print(f"{room:8} {killed:5} killed ({late} by time) {survived:5} survived {share}")
    if len(found) < asked:
        print(f"{asked - len(found)} are left; the next run goes on from here")
    lines = [
        f"aiotokengate/{mutant.module}:{mutant.line}: {mutant.change}\n"
        for mutant, came in sorted(found.items())
        if came == SURVIVED
    ]
    SURVIVORS.write_text("".join(lines), "utf-8")
    print(f"survivors: {SURVIVORS.relative_to(ROOT)}")


def main() -> int:
    """Try a sample of mutants, or one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--only", nargs="+", default=["_"], help="where the modules' names begin")
    parser.add_argument("--serve", action="store_true", help="for the program itself")
    told = parser.parse_args()
    if told.serve:
        serve()
        return 0
    BUILD.mkdir(exist_ok=True)
    mutants = sample(told.mutants, told.seed, tuple(told.only))
    until = time.monotonic() + told.hours * 3600
    report(try_all(mutants, told.workers, until), len(mutants))
    return 0


if __name__ == "__main__":
    sys.exit(main())
