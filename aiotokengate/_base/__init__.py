"""What objects of every room share: how they are copied, that an unused call warns, late names."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

__all__ = ["late_names"]


def late_names(package: str, homes: Mapping[str, Collection[str]]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package that imports names once they are wanted (PEP 562).

    Hide it from type checkers, which would take it as a promise that every name exists.

    Args:
        package: its name.
        homes: the names in each module, which is named as seen from the package, with its dots; a
            module may be such a name itself.
    """

    def find(name: str) -> object:
        home = next((module for module, names in homes.items() if name in names), None)
        if home is None:
            message = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(message)
        module = import_module(home, package)
        value: object = getattr(module, name, module)
        setattr(sys.modules[package], name, value)
        return value

    return find
