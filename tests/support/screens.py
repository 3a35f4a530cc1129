"""What stands on a terminal, and what has scrolled away."""

import pyte

__all__ = ["scrolled"]


def scrolled(written: bytes) -> str:
    """Return the lines that scrolled away, and those still on the screen."""
    screen = pyte.HistoryScreen(80, 24, history=10_000)
    pyte.ByteStream(screen).feed(written.replace(b"\r\r\n", b"\r\n"))
    gone = ["".join(line[at].data for at in range(80)) for line in screen.history.top]
    return "\n".join(line.rstrip() for line in [*gone, *screen.display])
