"""The picture of the rooms is that of the imports."""

import re
import runpy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parent.parent.parent
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def drawing() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs/make_rooms.py"))


def test_every_room_has_its_box_and_arrows_go_down(drawing: dict[str, Any]) -> None:
    """A room imports only from below."""
    picture = ET.fromstring(drawing["draw"]())  # noqa: S314 - our own
    boxes = {box.findtext(f"{SVG}text"): box for box in picture.iter(f"{SVG}g")}
    rooms = {path.stem for path in (ROOT / "aiotokengate").glob("[!.]*")} - {"__pycache__", "py"}
    assert set(boxes) == (rooms - {"__init__"}) | {"aiotokengate"}
    arrows = [way.get("d", "") for way in picture.iter(f"{SVG}path") if way.get("marker-end")]
    assert len(arrows) > len(boxes)
    for arrow in arrows:
        start, end = re.search(r"^M\S+ ([\d.]+)C.* ([\d.]+)$", arrow).groups()  # type: ignore[union-attr]
        assert float(start) < float(end)


def test_a_short_arrow_is_left_out_where_a_longer_way_says_the_same(
    drawing: dict[str, Any],
) -> None:
    """And no other is: what could be reached can be reached."""
    edges = {
        "顶": frozenset({"中", "底"}),
        "中": frozenset({"底"}),
        "旁": frozenset({"底"}),
        "底": frozenset[str](),
    }
    assert drawing["reduced"](edges) == {**edges, "顶": frozenset({"中"})}


def test_rooms_stand_below_those_that_import_them(drawing: dict[str, Any]) -> None:
    """One that nobody imports stands right above what it imports."""
    edges = {"顶": {"中"}, "中": {"底"}, "旁": {"底"}, "底": set[str]()}
    assert drawing["ranks"](edges) == {"顶": 0, "中": 1, "旁": 1, "底": 2}
