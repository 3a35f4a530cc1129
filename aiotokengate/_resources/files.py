"""Files as resources save them."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["write_file"]


def write_file(target: Path, data: bytes) -> None:
    """Write a file, which appears when it is whole.

    Raises:
        OSError: it can't be written; nothing is left of it.
    """
    beside = target.with_name(f".{target.name}.{os.urandom(4).hex()}.part")
    try:
        beside.write_bytes(data)
        beside.replace(target)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
