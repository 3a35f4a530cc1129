"""``python -m aiotokengate``: the command line, of which ``gateway`` needs no extra."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper

from aiotokengate import __version__

__all__ = ["main"]

_NEEDS_EXTRA = (
    "this command needs the extra `cli`: pip install 'aiotokengate[cli]'\n"
    "该命令需要附加依赖 `cli`：pip install 'aiotokengate[cli]'"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Chinese still shows the rest
    if given[:1] == ["gateway"]:
        from aiotokengate._cli.gateway import main as gateway

        return gateway(given[1:])
    if given == ["--version"]:
        sys.stdout.write(f"aiotokengate {__version__}\n")
        return 0
    try:
        from aiotokengate._cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("markdown_it", "rich", "typer"):
            raise
        sys.stderr.write(_NEEDS_EXTRA + "\n")
        return 2
    return run(given)


if __name__ == "__main__":
    sys.exit(main())
