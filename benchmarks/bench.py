"""What the library costs, beside the bare work and beside others: the whole run.

    python benchmarks/bench.py [--quick | --smoke] [--only PART,...] [--others PYTHON]

Strategy. Every figure is CPU time, user and system, of a client process; the server is another
one. Seconds say little about another machine, so what counts are ratios inside one run: all
clients take turns, each in a process of its own, so that a machine that slows down slows them
all, and nobody pays for another's imports or garbage. The figure is the median of the turns, its
spread the middle half of the ratios of the rounds. The bars are goals: one that is missed is shown
and is no failure of the program, which fails only when something broke, a reply that was not read
whole included.

A whole run writes ``results.json`` and, from it, the tables and plots of the documentation.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bars import Row, rows
from clients import CLIENTS
from figures import FULL, PARTS, QUICK, SMOKE, Bench, Figure, about, dumped

RESULTS = Path(__file__).parent / "results.json"


def main() -> None:
    """Read the arguments, measure, print, write."""
    arguments = _arguments()
    plan = SMOKE if arguments.smoke else QUICK if arguments.quick else FULL
    began = time.monotonic()
    with Bench(plan, arguments.others) as bench:
        stated = about(bench)
        print(stated["machine"])
        print(stated["python"], *map(" ".join, stated["packages"].items()), sep=", ")
        print(*map(" ".join, stated["peers"].items()), sep=", ")
        figures = dict(_measured(bench, arguments.only or list(PARTS)))
    print(f"\n{_table(list(rows(figures)))}")
    print(f"\nnot taken part: {', '.join(sorted(bench.absent)) or 'nobody'}")
    print(f"{time.monotonic() - began:.0f} seconds")
    if arguments.json:
        arguments.json.write_text(dumped(figures, stated) + "\n", "utf-8")
    if plan is FULL and not arguments.only:
        RESULTS.write_text(dumped(figures, stated) + "\n", "utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="what the library costs, and what others do")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="fewer turns, without the slow clients")
    size.add_argument("--smoke", action="store_true", help="the least: whether all of it works")
    parser.add_argument(
        "--only", type=_parts, metavar="PART,...", help=f"some of {', '.join(PARTS)}"
    )
    parser.add_argument("--others", metavar="PYTHON", help="the interpreter that has LiteLLM")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything here")
    return parser.parse_args()


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    if unknown := set(parts) - PARTS.keys():
        message = f"expected some of {', '.join(PARTS)}, got {', '.join(unknown)}"
        raise argparse.ArgumentTypeError(message)
    return parts


def _measured(bench: Bench, parts: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """Print each figure as soon as it is there."""
    for part in parts:
        for key, figure in PARTS[part](bench):
            print(f"\n{key}, {figure.unit}")
            for entry in figure.costs:
                label = CLIENTS[entry].label if entry in CLIENTS else entry
                print(f"  {figure.typical(entry):12.2f}  {label}", flush=True)
            yield key, figure


def _table(found: Sequence[Row]) -> str:
    lines = [f"{'':52} {'ours':>9} {'other':>9}  value  middle half     bar"]
    for row in found:
        other = "" if row.other is None else f"{row.other:.1f}"
        spread = "" if row.spread is None else f"{row.spread[0]:.2f} - {row.spread[1]:.2f}"
        figures = f"{row.ours:9.1f} {other:>9}  {row.value:5.2f}  {spread:13}"
        lines.append(f"{row.bar.title[0]:52} {figures} {row.bar.text:>7}  {row.verdict}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
