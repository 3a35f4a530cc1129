"""A short soak; ``make soak`` is the long one."""

import subprocess
import sys

SOAK = "tests.programs.soak"


def test_a_short_soak() -> None:
    """A busy service on a gateway that fails loses, doubles and leaks nothing."""
    order = (sys.executable, "-m", SOAK, "--seconds", "6")
    done = subprocess.run(order, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost: 0\n" in done.stdout
