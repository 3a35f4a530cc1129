"""Search for bytes on which the decoders break, led by coverage: ``make fuzz``.

Atheris (libFuzzer) changes the inputs of ``tests/corpus``, and keeps there what reaches new code.
What breaks is written to ``crash-…`` and printed; :func:`wire_target.check` says what must hold.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["aiotokengate._wire", "aiotokengate.errors"]):
    from tests.programs.wire_target import CORPUS, check, seeds


def main() -> None:
    """Begin with the recorded streams and the corpus."""
    begin = Path(tempfile.mkdtemp(prefix="seeds-"))
    for number, seed in enumerate(seeds()):
        (begin / str(number)).write_bytes(seed)
    CORPUS.mkdir(exist_ok=True)
    atheris.Setup([sys.argv[0], *sys.argv[1:], str(CORPUS), str(begin)], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
