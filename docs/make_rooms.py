"""Draw the rooms of the package from its imports: Sphinx's directive ``rooms``.

``python docs/make_rooms.py > rooms.svg`` draws the same into a file.

Strategy.  An arrow from a room to another says that the one imports the other; where a longer way
says so, too, the short arrow is left out.  The layout is Sugiyama's: a room's row is the longest
way to it from above, an arrow over several rows gets a place in each, and the places of a row are
sorted by the mean of their neighbours', up and down some times.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, ClassVar, Final

import attrs
import grimp
from docutils import nodes
from docutils.parsers.rst import Directive

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

ROOT: Final = Path(__file__).parent.parent
PACKAGE: Final = "aiotokengate"
Edges = Mapping[str, frozenset[str]]

WIDTH, HEIGHT, GAP_X, GAP_Y = 118, 42, 16, 34
THIN: Final = 10
"""Width of the place that an arrow takes in a row it only passes."""
SWEEPS: Final = 24

STYLE: Final = """
.rooms { color: var(--color-foreground-primary, #1f2328); }
.rooms text { fill: currentColor; text-anchor: middle; font: 600 13px ui-monospace, monospace; }
.rooms text.small { font: 11px system-ui, sans-serif; opacity: 0.75; }
.rooms rect { fill: var(--color-background-secondary, #f6f8fa); stroke: #8c959f; rx: 6px; }
.rooms .public rect { stroke: #0969da; stroke-width: 2.5px; }
.rooms .pure rect { fill: color-mix(in srgb, #1a7f37 20%, transparent); }
.rooms path { fill: none; stroke: currentColor; opacity: 0.45; stroke-width: 1.2px; }
"""


@attrs.frozen
class Room:
    """One box of the picture."""

    name: str
    modules: int
    meaning: str
    public: bool
    pure: bool


# --- what there is --------------------------------------------------------------------------


def graph() -> tuple[Mapping[str, Room], Edges]:
    """Return the rooms, and which of them each imports."""
    found = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
    modules: dict[str, int] = defaultdict(int)
    edges: dict[str, set[str]] = defaultdict(set)
    for module in found.modules:
        here = room_of(module)
        modules[here] += 1
        edges[here].update(map(room_of, found.find_modules_directly_imported_by(module)))
    pure = pure_rooms()
    rooms = {
        name: Room(name, count, meaning(name), not name.startswith("_"), name in pure)
        for name, count in sorted(modules.items())
    }
    return rooms, {name: frozenset(edges[name] - {name}) for name in rooms}


def room_of(module: str) -> str:
    """Return the room of a module: what stands behind the first dot, or the package itself."""
    return [*module.split("."), PACKAGE][1]


def pure_rooms() -> frozenset[str]:
    """Return the rooms that the import rules hold to be pure."""
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    sources = [rule["source_modules"] for rule in rules["contracts"] if "pure" in rule["name"]]
    return frozenset(module.split(".")[1] for modules in sources for module in modules)


def meaning(room: str) -> str:
    """Return the first line of a room's docstring."""
    place = ROOT / PACKAGE / ("" if room == PACKAGE else room)
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return text.partition("\n")[0]


def reduced(edges: Edges) -> Edges:
    """Leave out each arrow that a longer way says, too."""
    reach: dict[str, frozenset[str]] = {}

    def below(room: str) -> frozenset[str]:
        if room not in reach:
            reach[room] = edges[room].union(*map(below, edges[room]))
        return reach[room]

    return {
        room: frozenset(
            to for to in direct if not any(to in below(way) for way in direct if way != to)
        )
        for room, direct in edges.items()
    }


# --- where it goes ----------------------------------------------------------------------------


def ranks(edges: Edges) -> Mapping[str, int]:
    """Return the row of each room: below all that import it, and where its arrows are short."""
    rank = dict.fromkeys(edges, 0)
    for _ in edges:
        for room, direct in edges.items():
            for to in direct:
                rank[to] = max(rank[to], rank[room] + 1)
    importers = Counter(to for direct in edges.values() for to in direct)
    for room in sorted(edges, key=rank.__getitem__, reverse=True):
        if edges[room] and len(edges[room]) >= importers[room]:
            rank[room] = min(rank[to] for to in edges[room]) - 1
    return rank


def rows(edges: Edges) -> tuple[list[list[str]], list[list[str]]]:
    """Return the rows of places from top to bottom, and the places that each arrow takes."""
    rank = ranks(edges)
    table: list[list[str]] = [[] for _ in range(max(rank.values()) + 1)]
    for room in edges:
        table[rank[room]].append(room)
    ways = []
    for room, direct in edges.items():
        for to in sorted(direct):
            passed = [f"{room}>{to}>{row}" for row in range(rank[room] + 1, rank[to])]
            for row, place in enumerate(passed, rank[room] + 1):
                table[row].append(place)
            ways.append([room, *passed, to])
    return table, ways


def ordered(table: list[list[str]], ways: Iterable[Sequence[str]]) -> list[list[str]]:
    """Sort the places of each row so that few arrows cross."""
    neighbours: dict[str, list[str]] = defaultdict(list)
    for way in ways:
        for one, other in pairwise(way):
            neighbours[one].append(other)
            neighbours[other].append(one)
    for sweep in range(SWEEPS):
        x = places(table)
        for row in table if sweep % 2 == 0 else reversed(table):
            row.sort(key=lambda place: fmean([x[n] for n in neighbours[place]] or [x[place]]))
            x |= places([row])
    return table


def width(place: str) -> int:
    """Return how wide a place is: that of an arrow is narrow."""
    return THIN if ">" in place else WIDTH


def places(table: Iterable[Sequence[str]]) -> dict[str, float]:
    """Return the middle of each place, every row being centred on nought."""
    found = {}
    for row in table:
        at = -(sum(width(place) + GAP_X for place in row) - GAP_X) / 2
        for place in row:
            found[place] = at + width(place) / 2
            at += width(place) + GAP_X
    return found


# --- the picture ------------------------------------------------------------------------------


def draw() -> str:
    """Return the picture as SVG, whose colours are those of the page it stands in."""
    rooms, edges = graph()
    table, ways = rows(reduced(edges))
    x = places(ordered(table, ways))
    y = {place: row * (HEIGHT + GAP_Y) for row, line in enumerate(table) for place in line}
    left = min(x[room] for room in x) - WIDTH / 2 - GAP_X
    size = -2 * left, len(table) * (HEIGHT + GAP_Y)
    arrows = "".join(arrow(way, x, y) for way in ways)
    boxes = "".join(box(room, x[room.name], y[room.name]) for room in rooms.values())
    return (
        f'<svg class="rooms" xmlns="http://www.w3.org/2000/svg" role="img" width="{size[0]:.0f}"'
        f' viewBox="{left:.0f} -4 {size[0]:.0f} {size[1]:.0f}" style="max-width:100%;height:auto">'
        f"<title>Which room imports which</title><style>{STYLE}</style>"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
        ' markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" style="fill:currentColor;'
        f'stroke:none;opacity:1"/></marker></defs>{arrows}{boxes}</svg>'
    )


def arrow(way: Sequence[str], x: Mapping[str, float], y: Mapping[str, float]) -> str:
    """Return one arrow: down from the middle of a room, through its places, to another's top."""
    here = x[way[0]], y[way[0]] + HEIGHT
    path = f"M{here[0]:.0f} {here[1]}"
    for place in way[1:]:
        passes = place != way[-1]
        goal = x[place], y[place]
        bend = (goal[1] - here[1]) / 2
        path += f"C{here[0]:.0f} {here[1] + bend} {goal[0]:.0f} {goal[1] - bend} "
        path += f"{goal[0]:.0f} {goal[1]}"
        if passes:
            path += f"V{goal[1] + HEIGHT}"
        here = goal[0], goal[1] + HEIGHT
    title = f"{escape(way[0])} imports {escape(way[-1])}"
    return f'<path d="{path}" marker-end="url(#tip)"><title>{title}</title></path>'


def box(room: Room, x: float, y: float) -> str:
    """Return one room."""
    kinds = " ".join(kind for kind in ("public", "pure") if getattr(room, kind))
    many = f"{room.modules} modules" if room.modules > 1 else "1 module"
    return (
        f'<g class="{kinds}"><title>{escape(room.meaning)}</title>'
        f'<rect x="{x - WIDTH / 2:.0f}" y="{y}" width="{WIDTH}" height="{HEIGHT}"/>'
        f'<text x="{x:.0f}" y="{y + 18}">{escape(room.name)}</text>'
        f'<text class="small" x="{x:.0f}" y="{y + 33}">{many}</text></g>'
    )


class Rooms(Directive):
    """Put the picture into a page; what the block says is for readers of the source."""

    has_content: ClassVar[bool] = True

    def run(self) -> list[nodes.Node]:
        """Return the picture, for HTML alone."""
        return [nodes.raw("", draw(), format="html")]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add the directive."""
    app.add_directive("rooms", Rooms)
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    sys.stdout.write(draw())
