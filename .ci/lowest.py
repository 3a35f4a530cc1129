"""Print the lowest versions that the base dependencies allow, as constraints for pip."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_BOUND = re.compile(r"([A-Za-z0-9_.-]+)\s*>=\s*([0-9][^,;\s]*)")


def lowest(dependencies: list[str]) -> list[str]:
    """Return a constraint for each dependency; every one of them has a lowest version."""
    found = [_BOUND.match(dependency) for dependency in dependencies]
    assert all(found), f"expected every dependency with a lowest version, got {dependencies}"
    return [f"{bound[1]}=={bound[2]}" for bound in found if bound]


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    print(*lowest(project["dependencies"]), sep="\n")
