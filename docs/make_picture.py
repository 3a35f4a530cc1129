"""Record `aiotokengate demo` on a terminal and draw the last screen: docs/images/demo.svg.

python docs/make_picture.py
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pyte
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parent / "images" / "demo.svg"
COLUMNS, ROWS = 84, 60


def recorded() -> bytes:
    """Run the demonstration on a pseudo-terminal, and give everything it wrote."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "aiotokengate", "demo"],
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    written = b""
    try:
        while data := os.read(master, 65536):
            written += data
    except OSError:  # how Linux says that the other side is closed
        pass
    process.wait()
    os.close(master)
    return written


def screen(written: bytes) -> Text:
    """Return what a person sees at the end, with its colours."""
    terminal = pyte.Screen(COLUMNS, ROWS)
    # pyte knows no faint text; grey looks the same.
    pyte.ByteStream(terminal).feed(written.replace(b"\x1b[2m", b"\x1b[90m"))
    lines = Text()
    for row in range(terminal.cursor.y):
        line = Text()
        for column in range(COLUMNS):
            cell = terminal.buffer[row][column]
            line.append(cell.data, style(cell))
        line.rstrip()
        lines.append_text(line).append("\n")
    return lines


def style(cell: pyte.screens.Char) -> str:
    """Return a cell's look in rich's words, never nothing: each cell is to be placed by itself."""
    colour = NAMES.get(cell.fg, cell.fg)
    is_hex = len(colour) == len("aabbcc") and not colour.isalpha()
    return " ".join([*(["bold"] if cell.bold else []), f"#{colour}" if is_hex else colour])


NAMES = {"brown": "yellow", "brightblack": "bright_black"}


def main() -> None:
    """Draw the picture."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    console.print(screen(recorded()))
    PICTURE.parent.mkdir(exist_ok=True)
    # Without rich's fonts from the web: whoever looks at a page asks nobody else for anything.
    frame = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    console.save_svg(str(PICTURE), title="aiotokengate demo", code_format=frame)


if __name__ == "__main__":
    main()
