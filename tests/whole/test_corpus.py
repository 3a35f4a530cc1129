"""What the fuzzer has found worth keeping, and what it begins with, without the fuzzer."""

from pathlib import Path

import pytest

from tests.programs.wire_target import CORPUS, TARGETS, check, seeds

FOUND = sorted(CORPUS.iterdir())


@pytest.mark.parametrize("begin", range(0, len(FOUND), 50))
def test_what_was_found(begin: int) -> None:
    """Inputs that once reached new code hold what must hold."""
    for path in FOUND[begin : begin + 50]:
        check(Path(path).read_bytes())


def test_the_beginning() -> None:
    """Every target has an input to begin with, and all of them hold."""
    inputs = list(seeds())
    assert {seed[0] % len(TARGETS) for seed in inputs} == set(range(len(TARGETS)))
    for seed in inputs:
        check(seed)
