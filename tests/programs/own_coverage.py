"""The bounds on coverage: of all, of each room of the core, of each module by its own tests.

Run by ``make test`` once the data is combined, as ``python -m tests.programs.own_coverage``; with
``--list`` it prints what falls short today, as it stands below.

The tests of ``_wire/sse.py`` are ``tests/wire/test_sse.py``: with them alone it is covered as well
as asked for, or it stands below.  What an import runs counts for everybody, so that a module of
nothing but values needs no tests.  (``tests/support/measured.py`` tells coverage whose test runs.)
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from coverage import Coverage
from coverage.results import Numbers

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "aiotokengate"

CORE = ("_wire", "_policy", "_stream", "_calls", "_pool", "_http", "_session.py")
"""The parts where a line that no test reaches is a bug that waits."""

BOUND = 97.0

OTHERWISE = {
    "__main__.py": "the door to the command line, in whose tests it is run as a program",
    "wire/sse.py": "an old name of another module, which warns where it is imported",
}
"""Modules that are not covered by tests of their own, and why."""

SHORT: dict[str, int] = {}
"""Modules whose own tests are to be brought up, and what they cover at least today."""


def main() -> int:
    """Check all bounds; say what falls short."""
    coverage = Coverage()
    coverage.load()
    if sys.argv[1:] == ["--list"]:
        list_short(coverage)
        return 0
    total = measured(coverage, files(PACKAGE))
    print(f"coverage: {total.pc_covered:.2f} % in all", end="")
    short = [] if total.pc_covered >= bound_of_all(coverage) else ["aiotokengate"]
    for part in CORE:
        found = measured(coverage, files(PACKAGE / part)).pc_covered
        print(f", {found:.2f} % of {part}", end="")
        short += [part] if found < BOUND else []
    print()
    if short:
        coverage.report()
        print("below the bound:", *short)
    return int(bool([*short, *short_by_themselves(coverage)]))


def bound_of_all(coverage: Coverage) -> float:
    """Return what pyproject.toml asks for."""
    return float(str(coverage.get_option("report:fail_under")))


def files(where: Path) -> list[Path]:
    """Return the modules of a directory, or the one module."""
    return [where] if where.is_file() else sorted(where.rglob("*.py"))


def measured(coverage: Coverage, modules: Iterable[Path]) -> Numbers:
    """Return how much of some modules ran, in the contexts that are set."""
    return sum((coverage._analyze(str(each)).numbers for each in modules), Numbers())


def own_test(module: Path) -> str:
    """Return where a module's tests are."""
    *rooms, name = (part.strip("_") for part in module.relative_to(PACKAGE).with_suffix("").parts)
    return "/".join(["tests", *rooms, f"test_{name}.py"])


def covered_alone(coverage: Coverage, module: Path) -> float:
    """Return the percentage of a module that its own tests cover, and those alone."""
    coverage.get_data().set_query_contexts([f"^{re.escape(own_test(module))}$", "^$"])
    return measured(coverage, [module]).pc_covered


def short_by_themselves(coverage: Coverage) -> list[str]:
    """Return the modules whose tests cover too little, and print them."""
    short, names = [], set()
    for module in files(PACKAGE):
        name = module.relative_to(PACKAGE).as_posix()
        names.add(name)
        found, bound = covered_alone(coverage, module), SHORT.get(name, BOUND)
        if name not in OTHERWISE and found < bound:
            short.append(name)
            print(f"{found:6.2f} % of {name} by {own_test(module)} alone, not {bound} %")
        elif name in SHORT and found >= BOUND:
            print(f"{found:6.2f} % of {name} by {own_test(module)}: no longer short")
    gone = sorted({*OTHERWISE, *SHORT} - names)
    if gone:
        print("no longer there:", *gone)
    return short + gone


def list_short(coverage: Coverage) -> None:
    """Print the modules that fall short, and what their own tests cover, rounded down."""
    for module in files(PACKAGE):
        name, found = module.relative_to(PACKAGE).as_posix(), covered_alone(coverage, module)
        if name not in OTHERWISE and found < BOUND:
            print(f'    "{name}": {int(found)},')


if __name__ == "__main__":
    sys.exit(main())
