"""Counts the instructions of the pure decoding, over those of the bare loop.

    python benchmarks/instructions.py [--update]

Strategy. Time is too rough to notice a change of some percent; instructions are exact. Both sides
decode the same bytes under ``valgrind --tool=callgrind``, a short and a long stream, and the
difference leaves out what starting and importing cost. The ratio of the two sides is kept in
``instructions.json`` under the Python, the orjson and the processor that it was counted with: the
counts of another key say nothing about this one. A rise of more than a twentieth fails.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from machine import processor
from replies import Writer

KEPT = Path(__file__).parent / "instructions.json"
SHORT, LONG = 1_000, 6_000
MOST_RISE = 1.05
_COLLECTED = re.compile(r"Collected : (\d+)")


def main() -> int:
    """Count, compare, say; return the exit status."""
    parser = argparse.ArgumentParser(description="instructions of decoding over the bare loop's")
    parser.add_argument("--update", action="store_true", help="keep what is found")
    update = parser.parse_args().update
    if shutil.which("valgrind") is None:
        print("instructions: NOT COUNTED, because valgrind is not installed")
        return 0
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        bare, ours = threads.map(_instructions, ("bare", "ours"))
    ratio = round(ours / bare, 4)
    print(f"instructions a chunk: {bare:.0f} bare, {ours:.0f} ours, ratio {ratio:.3f}")
    kept = json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}
    if update:
        kept[_key()] = ratio
        KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", "utf-8")
        print(f"kept for {_key()}")
        return 0
    return _compared(ratio, kept.get(_key()))


def _compared(ratio: float, kept: float | None) -> int:
    if kept is None:
        print(f"instructions: NOT COMPARED, because there is no ratio for {_key()};")
        print("to keep this one: python benchmarks/instructions.py --update")
        return 0
    change = ratio / kept
    print(f"the kept ratio is {kept:.3f}, a change by {change - 1:+.1%}")
    if change > MOST_RISE:
        print(f"instructions: ROSE by more than {MOST_RISE - 1:.0%}; if that is meant: --update")
        return 1
    return 0


def _key() -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    compiler = platform.python_compiler()
    orjson = importlib.metadata.version("orjson")
    return f"{python} ({compiler}), orjson {orjson}, {processor()}"


def _instructions(way: str) -> float:
    """Return the instructions of a chunk more."""
    with TemporaryDirectory() as folder:
        short, long = (_counted(way, Path(folder), texts) for texts in (SHORT, LONG))
    return (long - short) / (LONG - SHORT)


def _counted(way: str, folder: Path, texts: int) -> int:
    stream = folder / str(texts)
    stream.write_bytes(b"".join(Writer("qwen").events(texts)))
    program = Path(__file__).parent / "decoding.py"
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}"]
    ran = subprocess.run(
        [*command, sys.executable, str(program), way, str(stream)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    found = _COLLECTED.search(ran.stderr)
    assert found is not None, ran.stderr
    return int(found[1])


if __name__ == "__main__":
    raise SystemExit(main())
