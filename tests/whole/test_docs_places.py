"""Pages about the insides name places of the code that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "docs/explanation/architecture.md",
    *sorted(ROOT.glob("docs/explanation/decisions/*.md")),
]
IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]

PLACE = re.compile(r"`((?:[\w.]+/)*\w+\.(?:py|lua|toml))(?:::([\w.]+))?`")


@cache
def names_in(file: Path) -> frozenset[str]:
    """Return what a module defines: at its top, and inside of its classes with a dot."""
    return frozenset(defined(ast.parse(file.read_text("utf-8")).body))


def defined(body: list[ast.stmt], inside: str = "") -> list[str]:
    found: list[str] = []
    for node in body:
        match node:
            case ast.ClassDef(name=name):
                found += [inside + name, *defined(node.body, f"{inside}{name}.")]
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.append(inside + name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.append(inside + name)
            case ast.Assign(targets=[ast.Name(id=name)]):
                found.append(inside + name)
    return found


def exists(path: str, name: str) -> bool:
    """Say whether a place does; its path begins in the repository or in the package."""
    files = [base / path for base in (ROOT, ROOT / "aiotokengate") if (base / path).is_file()]
    return bool(files) and (not name or any(name in names_in(file) for file in files))


def missing(text: str) -> list[str]:
    """Return the places that a text names and that do not exist."""
    return ["::".join(place) for place in PLACE.findall(text) if not exists(*place)]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_places_that_are_named_exist(page: Path) -> None:
    """Whoever follows a page finds what it speaks of, under that very name."""
    assert missing(page.read_text("utf-8")) == []


def test_the_walks_name_places() -> None:
    """The page of the architecture would be worth nothing without them."""
    page = (ROOT / "docs/explanation/architecture.md").read_text("utf-8")
    assert len([name for _, name in PLACE.findall(page) if name]) > 60


def test_a_place_that_is_gone_is_noticed() -> None:
    """A file, a function or a method that was renamed."""
    known = (
        "`errors.py::StatusError.__init__`, `tests/whole/test_docs_places.py::PLACE`, `Makefile`"
    )
    gone = "`errors.py::StatusError.你好`, `_wire/gone.py`, `gone.py::name`, `sse.py::SSE`"
    assert missing(known) == []
    assert missing(f"{known} 👋 {gone}") == [
        "errors.py::StatusError.你好",
        "_wire/gone.py::",
        "gone.py::name",
        "sse.py::SSE",
    ]
