"""The rooms of the package, who may import whom, and the sizes that keep it readable."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import grimp
import pytest

import aiotokengate
from aiotokengate import _resources

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "aiotokengate"
FILES = sorted(PACKAGE.rglob("*.py"))

MAX_MODULES = 58  # among them what stands alone: an attempt's clock, feeds, settings, single use
MAX_NAMES = 50
MAX_LINES = 60
MAX_PARAMETERS = 8

# What people call with keywords, each with its default, or the facts of one error body.
ENTRY_POINTS = {
    "_cli/app.py:chat",
    "errors.py:StatusError.__init__",
    "_session.py:TokenGate.__init__",
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
    """Yield the full name of everything that a file imports, also for its types alone."""
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


@pytest.fixture(scope="module")
def arrows() -> dict[str, set[str]]:
    """Return what each module imports of the package, for its types alone too."""
    graph = grimp.build_graph("aiotokengate", cache_dir=None)
    return {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}


def test_there_are_no_knots(arrows: dict[str, set[str]]) -> None:
    """No module imports itself by way of others, inside a room as little as between rooms."""
    # A knot is a CycleError that names its modules.
    assert set(TopologicalSorter(arrows).static_order()) == arrows.keys()


def layers() -> dict[str, dict[str, int]]:
    """Return the height of each module in its container, as the contracts have them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    return {
        contract["containers"][0]: {
            name.strip(): height
            for height, line in enumerate(reversed(contract["layers"]))
            for name in line.split("|")
        }
        for contract in contracts
        if contract["type"] == "layers"
    }


@pytest.mark.parametrize("container", layers())
def test_no_arrow_runs_back_up(container: str, arrows: dict[str, set[str]]) -> None:
    """What is imported for its type alone lies below, too."""
    heights = layers()[container]

    def room(module: str) -> str:
        return module.removeprefix(f"{container}.").split(".")[0]

    inside = {name for name in arrows if name.startswith(f"{container}.")}
    between = {
        (name, target)
        for name in inside
        for target in arrows[name] & inside
        if room(name) != room(target)
    }
    assert between
    assert {(a, b) for a, b in between if heights[room(a)] <= heights[room(b)]} == set()


def test_only_the_transport_uses_the_client_side_of_aiohttp() -> None:
    """The transport speaks, the fake gateway listens, nobody else touches aiohttp.

    But for the recorder, which stands between the two and does both.
    """
    users = {place(file): from_package(file, "aiohttp") for file in FILES}
    users = {where: names for where, names in users.items() if names}
    edge = [where for where in users if where.startswith("_http/")]
    client = set().union(*(users.pop(where) for where in edge))
    assert "aiohttp" in users.pop("testing/_recorder.py")
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


def test_what_is_imported_late_is_what_the_type_checker_reads() -> None:
    """The table of the resources has the names, and the modules, of its imports for types."""
    file = PACKAGE / "_resources" / "__init__.py"
    typed = {name for name in imported(file) if name.startswith("aiotokengate.")}
    typed.remove("aiotokengate._base.late_names")
    late = {
        f"{resolve_name(module, _resources.__name__)}.{name}"
        for module, names in _resources._MODULES.items()
        for name in names
    }
    assert late == typed
    assert _resources.__all__ == sorted(name.rpartition(".")[2] for name in late)
    assert all(getattr(_resources, name).__name__ == name for name in _resources.__all__)
    with pytest.raises(AttributeError, match=r"_resources' has no attribute 'Nothing'"):
        _resources.Nothing  # type: ignore[attr-defined]  # noqa: B018 - looked up


def test_the_session_imports_inside_no_function() -> None:
    """What it needs late comes through that table."""
    tree = ast.parse((PACKAGE / "_session.py").read_text("utf-8"))
    late = [node for _, each in functions(tree) for node in ast.walk(each)]
    assert not [node for node in late if isinstance(node, (ast.Import, ast.ImportFrom))]


def test_the_names_at_the_top_are_few_and_sorted() -> None:
    """What is public is said once, in order, and short enough to be read."""
    names = aiotokengate.__all__
    assert len(names) <= MAX_NAMES
    assert names == sorted(set(names))


def test_the_names_at_the_top_are_what_is_visible() -> None:
    """Nothing is visible that isn't public, nothing public that isn't there."""
    assert all(hasattr(aiotokengate, name) for name in aiotokengate.__all__)  # also the late ones
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
