"""What the tests of embeddings, images and audio share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson

from aiotokengate.testing import Raw
from aiotokengate.testing._files import png

JSON = {"Content-Type": "application/json"}


SMALL, LARGE = "text-embedding-3-small", "text-embedding-3-large"


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def answer(value: Any) -> Raw:
    return Raw(body=orjson.dumps(value), headers=JSON)


async def pieces() -> AsyncIterator[bytes]:
    data = png().whole()
    yield data[:10]
    yield data[10:]


PAGE = b"<html><body>Bad luck</body></html>"


REFUSED = b'{"error":{"message":"no such voice","code":400}}'


def typed(kind: str) -> dict[str, str]:
    return {"Content-Type": kind}
