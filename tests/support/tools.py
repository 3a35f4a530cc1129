"""Functions that tests give to models as tools."""

from __future__ import annotations

from typing import Any, Literal

__all__ = ["weather"]


async def weather(city: str, days: int = 1, *, unit: Literal["C", "F"] = "C") -> dict[str, Any]:
    """Return the weather of a city.

    Args:
        city: its name, in Chinese
        days: how far ahead
        unit: of the temperature
    """
    return {"city": city, "days": days, unit: 21}
