"""The rooms of the package, who may import whom, and the sizes that keep it readable."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import grimp
import pytest

import aiotokengate

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "aiotokengate"
FILES = sorted(PACKAGE.rglob("*.py"))

MAX_MODULES = 55  # framing, calls, endings and holding among them, which every reply goes through
MAX_NAMES = 46
MAX_LINES = 60
MAX_PARAMETERS = 8

# What people call with keywords, each with its default, or the facts of one error body.
ENTRY_POINTS = {
    "_cli/app.py:chat",
    "errors.py:StatusError.__init__",
    "_session.py:TokenGate.__init__",
    "_resources/videos.py:Videos.create",
    "_session.py:TokenGate.chat",
    "_session.py:TokenGate.request",
    "testing/_gateway.py:FakeGateway.__init__",
}

# A package of an extra, and where it may be imported.
EXTRAS = {
    "aiohttp_socks": ["_http/socks.py"],
    "docstring_parser": ["_resources/structured.py"],
    "msgspec": ["_resources/structured.py"],
    "redis": ["_redis/", "redis.py"],
    "rich": ["_cli/"],
    "typer": ["_cli/"],
    "uvloop": ["_cli/"],
}

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def place(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


@cache
def tree(file: Path) -> ast.Module:
    """Return what a file says, read once for all the tests here."""
    return ast.parse(file.read_text("utf-8"))


def imported(file: Path) -> Iterator[str]:
    """Give the full name of everything that a file imports, also for its types alone."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def from_package(file: Path, package: str) -> set[str]:
    return {name for name in imported(file) if name.split(".")[0] == package}


def functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from functions(child, prefix)
            continue
        if not isinstance(child, ast.ClassDef):
            yield f"{prefix}{child.name}", child
        yield from functions(child, f"{prefix}{child.name}.")


def all_functions() -> Iterator[tuple[str, Function]]:
    for file in FILES:
        for name, function in functions(tree(file)):
            yield f"{place(file)}:{name}", function


def lines(function: Function) -> int:
    """Count the lines of a function, its docstring left out."""
    first = function.body[0]
    total = function.end_lineno or 0
    documented = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return total - function.lineno + 1 - docstring


def parameters(function: Function) -> list[str]:
    every = function.args
    plain = [*every.posonlyargs, *every.args, *every.kwonlyargs]
    starred = [each for each in (every.vararg, every.kwarg) if each is not None]
    return [each.arg for each in [*plain, *starred] if each.arg not in {"self", "cls"}]


def test_every_module_imports_only_what_lies_below_it() -> None:
    """The contracts of pyproject.toml hold."""
    # As a process of its own, because it sets up logging in its own way.
    command = "from importlinter.cli import lint_imports_command as run; run()"
    done = subprocess.run(
        [sys.executable, "-c", command, "--no-cache", "--no-logo"],
        check=False,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_there_are_no_knots() -> None:
    """No module imports itself by way of others, inside a room as little as between rooms."""
    graph = grimp.build_graph("aiotokengate", exclude_type_checking_imports=True, cache_dir=None)
    below = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    # A knot is a CycleError that names its modules.
    assert set(TopologicalSorter(below).static_order()) == graph.modules


def test_only_the_transport_uses_the_client_side_of_aiohttp() -> None:
    """The transport speaks, the fake gateway listens, nobody else touches aiohttp.

    But for the recorder, which stands between the two and does both.
    """
    users = {place(file): from_package(file, "aiohttp") for file in FILES}
    users = {where: names for where, names in users.items() if names}
    edge = [where for where in users if where.startswith("_http/")]
    client = set().union(*(users.pop(where) for where in edge))
    assert "aiohttp" in users.pop("testing/_record.py")
    assert not {name for name in client if name.startswith("aiohttp.web")}
    assert {where.split("/")[0] for where in users} == {"testing"}
    for where, names in users.items():
        assert all(name.startswith("aiohttp.web") for name in names), (where, names)


@pytest.mark.parametrize("package", EXTRAS)
def test_an_extra_stays_in_its_room(package: str) -> None:
    """What a base install lacks is imported only by the room that the extra is for."""
    users = {place(file) for file in FILES if from_package(file, package)}
    assert users
    assert all(user.startswith(tuple(EXTRAS[package])) for user in users)


def test_importing_the_library_leaves_its_tools_alone() -> None:
    """A service doesn't pay for the fake gateway, the command line and their packages."""
    command = "import sys, aiotokengate; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", command], check=True, capture_output=True, text=True
    )
    tools = ("aiotokengate._cli", "aiotokengate.testing", *EXTRAS)
    assert "aiotokengate._session" in done.stdout.split()
    assert not [name for name in done.stdout.split() if name.startswith(tools)]


def test_importing_the_library_imports_little() -> None:
    """What a plain chat needs, and nothing of the standard library that its packages lack."""
    command = (
        "import sys, aiohttp, attrs, orjson; known = set(sys.modules); "
        "import aiotokengate; print(*sys.modules.keys() - known)"
    )
    done = subprocess.run(
        [sys.executable, "-c", command], check=True, capture_output=True, text=True
    )
    new = done.stdout.split()
    assert [name for name in new if name.split(".")[0] != "aiotokengate"] == []
    rooms = {place(file).removesuffix("/__init__.py") for file in PACKAGE.glob("*/__init__.py")}
    modules = [name for name in new if name.removeprefix("aiotokengate.") not in rooms]
    assert len(modules) <= MAX_MODULES


def test_the_names_at_the_top_are_few_and_sorted() -> None:
    """What is public is said once, in order, and short enough to be read."""
    names = aiotokengate.__all__
    assert len(names) <= MAX_NAMES
    assert names == sorted(set(names))


def test_the_names_at_the_top_are_what_is_visible() -> None:
    """Nothing is visible that isn't public, nothing public that isn't there."""
    visible = {
        name
        for name, value in vars(aiotokengate).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert visible == set(aiotokengate.__all__)


def test_functions_are_short() -> None:
    """A function that doesn't fit on a screen is two functions."""
    long = {name: lines(each) for name, each in all_functions() if lines(each) > MAX_LINES}
    assert not long


def test_functions_take_few_parameters() -> None:
    """Only the entry points take many, and the list of these is kept true."""
    counts = {name: len(parameters(each)) for name, each in all_functions()}
    assert {name for name, count in counts.items() if count > MAX_PARAMETERS} == ENTRY_POINTS


def test_the_package_says_that_it_is_typed() -> None:
    """Type checkers read the annotations of a package that has this file."""
    assert (PACKAGE / "py.typed").is_file()
