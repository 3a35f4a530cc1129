"""The figures of the last whole run, in ``results.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from figure import Figure

__all__ = ["RESULTS", "Results", "load"]

RESULTS = Path(__file__).parent / "results.json"


@attrs.frozen
class Results:
    """What was found, and on what machine with what packages."""

    about: Mapping[str, Any]
    figures: Mapping[str, Figure]

    def save(self, path: Path) -> None:
        """Write everything as JSON."""
        found = {key: attrs.asdict(figure) for key, figure in self.figures.items()}
        text = json.dumps({"about": self.about, "figures": found}, indent=1, ensure_ascii=False)
        path.write_text(text + "\n", "utf-8")


def load(path: Path = RESULTS) -> Results:
    """Read it back."""
    found = json.loads(path.read_text("utf-8"))
    figures = {key: Figure(**figure) for key, figure in found["figures"].items()}
    return Results(found["about"], figures)
