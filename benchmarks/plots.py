"""Draws the last run: ``docs/images/bench-light.svg`` and ``bench-dark.svg``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import attrs
import matplotlib.pyplot as plt
from clients import CLIENTS
from figure import Figure, number
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from results import Results

__all__ = ["IMAGES", "draw"]

IMAGES = Path(__file__).parent.parent / "docs" / "images"


@attrs.frozen
class Theme:
    """The colours of one variant."""

    name: str
    ink: str
    faint: str
    ours: str
    bare: str
    others: str


THEMES = (
    Theme("light", "#1f2328", "#d1d9e0", "#0969da", "#59636e", "#bc4c00"),
    Theme("dark", "#f0f6fc", "#3d444d", "#4493f8", "#9198a1", "#db6d28"),
)
_WHOLE = StrMethodFormatter("{x:,.0f}")


def draw(results: Results) -> None:
    """Draw both variants."""
    for theme in THEMES:
        with mpl.rc_context(_style(theme)):
            _draw(results, theme, IMAGES / f"bench-{theme.name}.svg")


def _style(theme: Theme) -> dict[Any, Any]:
    colours = dict.fromkeys(
        ("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), theme.ink
    )
    return {
        **colours,
        "axes.edgecolor": theme.faint,
        "grid.color": theme.faint,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "font.size": 9,
        "svg.fonttype": "none",
        "svg.hashsalt": "aiotokengate",
    }


def _draw(results: Results, theme: Theme, path: Path) -> None:
    figure = plt.figure(figsize=(10, 7), layout="constrained")
    halves = figure.subfigures(2, 1, squeeze=False, height_ratios=(3, 2))
    costs = results.figures
    chunk, call = halves[0][0].subplots(1, 2)
    _ranking(chunk, costs["bulk"], "One chunk of a stream", theme)
    _ranking(call, costs["call"], "One call, a reply of one token", theme)
    number_of, length_of = halves[1][0].subplots(1, 2)
    _by_number(number_of, results, theme)
    _by_length(length_of, costs["length"], theme)
    figure.savefig(path, transparent=True, metadata={"Date": None})
    plt.close(figure)


def _ranking(pane: Axes, figure: Figure, title: str, theme: Theme) -> None:
    """Draw everybody's cost on a logarithmic scale, the cheapest at the top."""
    shown = [entry for entry in figure.costs if entry in CLIENTS and entry != "ours, limits"]
    entries = sorted(shown, key=figure.typical, reverse=True)
    values = [figure.typical(entry) for entry in entries]
    colours = [_colour(entry, theme) for entry in entries]
    pane.hlines(range(len(entries)), min(values) / 1.6, values, colors=colours, linewidth=1.5)
    pane.scatter(values, range(len(entries)), c=colours, s=28, zorder=3)
    for place, value in enumerate(values):
        pane.annotate(
            number(value), (value, place), (6, 0), textcoords="offset points", va="center"
        )
    pane.set_xscale("log")
    pane.set_xlim(min(values) / 1.6, max(values) * 2.6)
    pane.set_yticks(range(len(entries)), [_label(entry) for entry in entries])
    pane.xaxis.set_major_formatter(_WHOLE)
    _titled(pane, title, "µs of CPU time, logarithmic")


def _label(entry: str) -> str:
    return CLIENTS[entry].label.replace("`", "").replace("*", "")


def _colour(entry: str, theme: Theme) -> str:
    if entry.startswith("ours"):
        return theme.ours
    return theme.bare if entry.startswith("bare") else theme.others


def _by_number(pane: Axes, results: Results, theme: Theme) -> None:
    """Draw what a chunk costs by how many streams are open."""
    figures = {
        int(key.split()[1]): figure
        for key, figure in results.figures.items()
        if key.startswith("streams ")
    }
    for client in ("bare", "ours"):
        points = [figures[number].typical(client) for number in sorted(figures)]
        _line(pane, sorted(figures), points, client, theme)
    pane.set_ylim(bottom=0)
    pane.set_xticks(sorted(figures))
    pane.xaxis.set_major_formatter(_WHOLE)
    pane.legend(frameon=False)
    _titled(pane, "A chunk by the number of open streams", "streams, one event a read; µs")


def _by_length(pane: Axes, figure: Figure, theme: Theme) -> None:
    """Draw what a chunk costs by how many came before it."""
    every = figure.about["every"]
    for client, stretches in figure.about["stretches"].items():
        ends = [every * place for place in range(len(stretches) + 1)]
        middles = [(begin + end) / 2 for begin, end in pairwise(ends)]
        _line(pane, middles, stretches, client, theme)
    pane.set_ylim(bottom=0)
    pane.xaxis.set_major_formatter(_WHOLE)
    pane.xaxis.set_major_locator(MaxNLocator(5))
    _titled(
        pane, "A chunk by the length of its stream", "chunks before it, as fast as they come; µs"
    )


def _line(
    pane: Axes, places: Sequence[float], values: Sequence[float], client: str, theme: Theme
) -> None:
    label, colour = _label(client), _colour(client, theme)
    pane.plot(places, values, color=colour, marker="o", markersize=4, label=label)


def _titled(pane: Axes, title: str, below: str) -> None:
    pane.set_title(title, loc="left", fontsize=10, fontweight="bold")
    pane.set_xlabel(below)
    pane.grid(axis="y" if pane.get_xscale() == "linear" else "x", linewidth=0.5)
    pane.set_axisbelow(True)
