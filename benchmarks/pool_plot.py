"""Draws docs/images/pool.svg: what a pool lets in over time, limits given and limits unknown.

python benchmarks/pool_plot.py    (needs matplotlib)
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt
from pool_simulation import Simulation

from aiotokengate import Limits
from aiotokengate.testing import RateLimit

IMAGE = Path(__file__).parent.parent / "docs" / "images" / "pool.svg"
MINUTES, STEP, LIMIT = 6, 5, 300


def traced(limits: Limits) -> tuple[list[float], list[float], list[float]]:
    """Keep a lane busy; return times, calls let in by then, and the times of refusals."""
    simulation = Simulation(limits, RateLimit(requests_per_minute=LIMIT), seed=3)
    simulation.keep_busy(MINUTES * 60)
    let_in = [one.time for one in simulation.gateway.history if one.admitted]
    refused = [one.time for one in simulation.gateway.history if not one.admitted]
    times = [float(second) for second in range(0, MINUTES * 60 + 1, STEP)]
    rates = [sum(1 for at in let_in if time - STEP < at <= time) * 60 / STEP for time in times]
    return times, rates, refused


def main() -> None:
    """Draw and write."""
    mpl.rcParams["svg.hashsalt"] = "aiotokengate"
    figure, panes = plt.subplots(2, 1, sharex=True, figsize=(8, 5), layout="constrained")
    rows = (
        ("limits given", Limits(requests_per_minute=LIMIT)),
        ("limits unknown", Limits()),
    )
    for pane, (name, limits) in zip(panes, rows, strict=True):
        times, rates, refused = traced(limits)
        pane.step(times, rates, where="pre", color="#2a6f97", label="let in, a minute")
        pane.axhline(
            LIMIT, color="#777777", linestyle="--", linewidth=1, label="the limit's refill"
        )
        pane.plot(refused, [40] * len(refused), "x", color="#c1121f", label="refused")
        pane.set_title(f"{name}: {len(refused)} refused", loc="left", fontsize=10)
        pane.set_ylim(0, 3 * LIMIT)
        pane.legend(loc="upper right", fontsize=8, frameon=False)
    panes[-1].set_xlabel("seconds")
    figure.savefig(IMAGE, metadata={"Date": None})


if __name__ == "__main__":
    main()
