"""What the library costs, beside the bare work and beside others: the whole run.

    python benchmarks/bench.py [--quick | --smoke] [--only PART,...] [--others PYTHON]

Strategy. Every figure is CPU time, user and system, of a client process; the server is another
one. Seconds say little about another machine, so what counts are ratios inside one run: all
clients take turns, each in a process of its own, so that a machine that slows down slows them
all, and nobody pays for another's imports or garbage. The ratio is the median of the ratios of
the rounds, its spread their middle half. The bars are goals: one that is missed is shown
and is no failure of the program, which fails only when something broke, a reply that was not read
whole included.

A whole run writes ``results.json`` and, from it, the tables and plots of the documentation.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import report
from bars import Row, rows
from clients import CLIENTS
from figure import Figure
from imports import imports
from open_streams import length, memory, paced, streams
from results import RESULTS, Results
from run import FULL, QUICK, SMOKE, Bench, Plan
from splicing import splicing
from turns import bulk, calls, protocols

PARTS: Mapping[str, Callable[[Bench], Iterator[tuple[str, Figure]]]] = {
    "bulk": bulk,
    "protocols": protocols,
    "calls": calls,
    "paced": paced,
    "imports": imports,
    "length": length,
    "memory": memory,
    "streams": streams,
    "splicing": splicing,
}


def main() -> None:
    """Read the arguments, measure, print, write."""
    arguments = _arguments()
    plan: Plan = arguments.plan
    began = time.monotonic()
    with Bench(plan, arguments.others) as bench:
        print(_stated(bench))
        results = Results(bench.about(), dict(_measured(bench, arguments.only or PARTS)))
    print(f"\n{_table(list(rows(results.figures)))}")
    print(f"\nnot taken part: {', '.join(sorted(bench.absent)) or 'nobody'}")
    print(f"{time.monotonic() - began:.0f} seconds")
    if arguments.json:
        results.save(arguments.json)
    if plan is FULL and not arguments.only:
        results.save(RESULTS)
        report.write()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="what the library costs, and what others do")
    size = parser.add_mutually_exclusive_group()
    for name, plan, text in (
        ("--quick", QUICK, "fewer turns, without the slow clients"),
        ("--smoke", SMOKE, "the least: whether all of it works"),
    ):
        size.add_argument(
            name, dest="plan", action="store_const", const=plan, default=FULL, help=text
        )
    parts = f"some of {', '.join(PARTS)}; the documentation is left as it is"
    parser.add_argument("--only", type=_parts, metavar="PART,...", help=parts)
    parser.add_argument("--others", metavar="PYTHON", help="the interpreter that has LiteLLM")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything here")
    return parser.parse_args()


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    if unknown := set(parts) - PARTS.keys():
        message = f"expected some of {', '.join(PARTS)}, got {', '.join(unknown)}"
        raise argparse.ArgumentTypeError(message)
    return parts


def _stated(bench: Bench) -> str:
    about = bench.about()
    versions = {**about["packages"], **about["peers"]}
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{about['machine']}\n{about['python']}, {named}"


def _measured(bench: Bench, parts: Iterable[str]) -> Iterator[tuple[str, Figure]]:
    """Print each figure as soon as it is there."""
    for part in parts:
        for key, figure in PARTS[part](bench):
            print(f"\n{key}, {figure.unit}")
            for entry in figure.costs:
                label = CLIENTS[entry].label if entry in CLIENTS else entry
                print(f"  {figure.typical(entry):12.2f}  {label}", flush=True)
            yield key, figure


def _table(found: Sequence[Row]) -> str:
    lines = [f"{'':50} {'ours':>8} {'other':>8}   value  middle half       bar"]
    for row in found:
        other = "" if row.other is None else f"{row.other:.1f}"
        spread = "" if row.spread is None else f"{row.spread[0]:.2f} - {row.spread[1]:.2f}"
        figures = f"{row.ours:8.1f} {other:>8}  {report.ratio(row.value):>6}  {spread:15}"
        lines.append(f"{row.bar.title[0]:50} {figures} {row.bar.text:>6}  {row.verdict}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
