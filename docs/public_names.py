"""Sphinx extension: the public line, in the reference and in what leads to it.

A class stands in a private module and is public in a face.  Its entry in the reference is at the
public place; this finds that entry from wherever a docstring or an annotation names the class,
and fails the build if a public name has no entry, or a private one has.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from sphinx.util import logging
from tables import public

import aiotokengate

if TYPE_CHECKING:
    from docutils.nodes import Element
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

PACKAGE: Final = Path(aiotokengate.__file__).parent
ALIASES: Final = "reference/aliases"
"""The page that lists what is neither a class nor a function nor a constant."""


def value(module: str, name: str) -> object:
    """Return what a public name stands for."""
    found: object = getattr(import_module(module), name)
    return found


@cache
def unlinked() -> frozenset[str]:
    """Return what annotations name and nothing can link to.

    That is what private modules define, type variables, and what is imported from elsewhere: the
    inventories of other projects would have to be downloaded.
    """
    named: set[str] = set()
    for file in PACKAGE.rglob("*.py"):
        private = any(part.startswith("_") for part in file.relative_to(PACKAGE).parts)
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)) if private:
                    named.add(name)
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=made)):
                    named.update({name} if "TypeVar" in ast.unparse(made) else ())
                case ast.ImportFrom(module=str(module), names=names):
                    elsewhere = not module.startswith(PACKAGE.name)
                    named.update(each.asname or each.name for each in names if elsewhere)
    return frozenset(named)


def find_public(
    app: Sphinx, environment: BuildEnvironment, node: pending_xref, content: Element
) -> Element | None:
    """Find the entry of a name that is written short, or with its private module."""
    if node.get("refdomain") != "py":
        return None
    domain, parts = environment.domains.python_domain, node["reftarget"].split(".")
    for start in range(len(parts)):
        for module in public():
            target = ".".join([module, *parts[start:]])
            if entry := domain.objects.get(target):
                where, kind = node["refdoc"], entry.objtype
                return domain.resolve_xref(
                    environment, where, app.builder, kind, target, node, content
                )
    return content if parts[-1] in unlinked() else None


def hide_private_bases(
    _app: Sphinx, _name: str, _kind: object, _options: object, bases: list[type]
) -> None:
    """Name as bases only what users can import."""
    shown = {id(value(module, name)) for module, names in public().items() for name in names}
    hidden = [base for base in bases if "._" in getattr(base, "__module__", "")]
    bases[:] = [base for base in bases if base not in hidden or id(base) in shown] or [object]


def check_entries(_app: Sphinx, environment: BuildEnvironment) -> None:
    """Warn, which fails the build, if the reference has too little or too much.

    What is public has an entry under one of its public names, and nothing has one under another.
    """
    objects = environment.domains.python_domain.objects
    entries = {name for name, entry in objects.items() if not entry.aliased}
    names: dict[int, set[str]] = {}
    for module, inside in public().items():
        for name in inside:
            if not isinstance(found := value(module, name), ModuleType):
                names.setdefault(id(found), set()).add(f"{module}.{name}")
    missing = [min(each) for each in names.values() if not each & entries]
    hidden = [name for name in entries if "._" in name]
    for problem, found in (("not in the reference", missing), ("private", hidden)):
        if found:
            logging.getLogger(__name__).warning("%s: %s", problem, ", ".join(sorted(found)))


def list_aliases(_app: Sphinx, page: str, source: list[str]) -> None:
    """Write what annotations are called where they have a name, at the end of its page."""
    if page == ALIASES:
        entries = "".join(f"{entry}\n" for entry in aliases())
        source[0] += f"\n```{{eval-rst}}\n{entries}```\n"


def aliases() -> Iterator[str]:
    """Return an entry for each public alias, with the source of its value."""
    for name, (module, (meaning, text)) in alias_names().items():
        yield f".. py:data:: {module}.{name}\n   :value: {meaning}\n\n   {text}\n"


@cache
def alias_names() -> Mapping[str, tuple[str, tuple[str, str]]]:
    """Return the public aliases, each with a public module, its value and its text."""
    return {
        name: (module, found)
        for module, names in reversed(list(public().items()))
        for name in names
        if (found := definition(module, name))
    }


def definition(module: str, name: str) -> tuple[str, str] | None:
    """Return the value of an alias as its home writes it, and what the text below it says."""
    if not module.startswith("aiotokengate"):
        return None
    tree = ast.parse(Path(import_module(module).__file__ or "").read_text("utf-8"))
    for place, node in enumerate(tree.body):
        match node:
            case (
                ast.AnnAssign(
                    target=ast.Name(id=found),
                    annotation=ast.Name(id="TypeAlias"),
                    value=ast.expr() as meaning,
                )
                | ast.Assign(
                    targets=[ast.Name(id=found)],
                    value=ast.Subscript(value=ast.Name(id="Literal")) as meaning,
                )
            ) if found == name:
                return written(meaning), text_below(tree.body[place + 1 :])
    homes = [
        node.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module != module
        if name in {alias.asname or alias.name for alias in node.names}
    ]
    return definition(homes[0], name) if homes else None


def skip_aliases(
    _app: Sphinx, kind: str, name: str, _value: object, _skip: object, _options: object
) -> bool | None:
    """Leave the aliases of a module to their own page."""
    return True if kind == "module" and name in alias_names() else None


def written(meaning: ast.expr) -> str:
    """Return the source of a value; one that stands in quotes, without them."""
    match meaning:
        case ast.Constant(value=str(quoted)):
            return quoted
        case _:
            return ast.unparse(meaning)


def text_below(rest: list[ast.stmt]) -> str:
    """Return the text that stands below a definition, on one line."""
    match rest:
        case [ast.Expr(value=ast.Constant(value=str(text))), *_]:
            return " ".join(text.split())
    return ""


def setup(app: Sphinx) -> None:
    """Connect all of it."""
    app.connect("autodoc-process-bases", hide_private_bases)
    app.connect("autodoc-skip-member", skip_aliases)
    app.connect("env-check-consistency", check_entries)
    app.connect("missing-reference", find_public)
    app.connect("source-read", list_aliases)
