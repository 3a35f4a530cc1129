"""Every odd value at every place of every recorded stream: ``make attack``.

Runs through all attacks in a random order until they are done or the time is up, and prints how
far it is.  What fails is printed so that it can be repeated, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from random import Random
from typing import TYPE_CHECKING

from tests.support.hostile import Attack, attack, attacks

if TYPE_CHECKING:
    from collections.abc import Sequence

SLOW = 2.0
"""Seconds of CPU that no attack may take: the streams have a few KB."""


def say(text: str) -> None:
    """Write at once, also without a newline."""
    sys.stdout.write(text)
    sys.stdout.flush()


def failure(one: Attack, seed: int) -> str | None:
    """Make an attack; return what went wrong, None if nothing did."""
    began = time.process_time()
    try:
        attack(one, Random(seed))
    except Exception:
        return traceback.format_exc(limit=-3)
    took = time.process_time() - began
    return f"it took {took:.1f} s" if took > SLOW else None


def run(todo: Sequence[Attack], seed: int, seconds: float) -> int:
    """Make attacks until the time is up; return how many went wrong."""
    began, failed = time.monotonic(), 0
    shown = began
    for count, one in enumerate(todo, 1):
        told = failure(one, seed + count)
        if told is not None:
            failed += 1
            say(f"\n{one}\nseed {seed + count}: {told}\n")
        now = time.monotonic()
        if now - shown > 1 or count == len(todo):
            shown = now
            say(f"\r{count} of {len(todo)}, {failed} failed, {now - began:.0f} s")
        if now - began > seconds:
            break
    say("\n")
    return failed


def main() -> int:
    """Read the options, and run."""
    parser = argparse.ArgumentParser(description="Attack the decoders with odd values.")
    parser.add_argument("--seconds", type=float, default=600.0, help="at most (default: 600)")
    parser.add_argument("--seed", type=int, help="of the order and the cuts (default: any)")
    options = parser.parse_args()
    seed = int.from_bytes(os.urandom(3)) if options.seed is None else options.seed
    say(f"seed {seed}\n")
    todo = list(attacks())
    Random(seed).shuffle(todo)
    return 1 if run(todo, seed, options.seconds) else 0


if __name__ == "__main__":
    sys.exit(main())
