"""Spoken answers: pieces of base64 and of their transcript, joined when they are looked at.

Each piece of the data is base64 by itself and may be padded (OpenAI, over Chat and Responses).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiotokengate._wire.jsontext import mended

__all__ = ["Audio"]

_TEXTS = ("data", "transcript")


class Audio:
    """One spoken answer under assembly."""

    __slots__ = ("_fields", "_pieces")

    def __init__(self) -> None:
        """Begin before the first piece."""
        self._fields: dict[str, Any] = {}
        self._pieces: dict[str, list[str]] = {name: [] for name in _TEXTS}

    def add(self, piece: Mapping[str, Any]) -> None:
        """Take a piece: of its texts what is new, of its other fields the last value."""
        for key, value in piece.items():
            if key in _TEXTS and isinstance(value, str):
                self._pieces[key].append(value)
            elif value is not None:
                self._fields[key] = value

    def whole(self) -> dict[str, Any]:
        """Return all of it so far."""
        texts = {name: "".join(pieces) for name, pieces in self._pieces.items() if pieces}
        data = self._pieces["data"]
        if any(piece.endswith("=") for piece in data[:-1]):
            with suppress(ValueError):  # no base64 stays as it came
                texts["data"] = b64encode(b"".join(map(b64decode, data))).decode()
        whole: dict[str, Any] = mended({**self._fields, **texts}, frozenset())
        return whole
