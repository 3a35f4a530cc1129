"""The list of models that the key may use."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiotokengate._calls.request import HttpRequest
from aiotokengate.catalogue import Catalogue, ModelInfo
from aiotokengate.errors import WireError

if TYPE_CHECKING:
    from aiotokengate._calls.request import Requester
    from aiotokengate._resources.options import Defaults

__all__ = ["list_models"]


async def list_models(requester: Requester, defaults: Defaults) -> tuple[ModelInfo, ...]:
    """Ask for ``/v1/models``.

    Raises:
        WireError: the answer is not a list of models.
    """
    body = await requester.ask(defaults.request(HttpRequest("GET", "/models")))
    rows = body.get("data") if isinstance(body, Mapping) else None
    if not isinstance(rows, list):
        message = "expected a list of models under 'data', got something else"
        raise WireError(message)
    infos = []
    for number, row in enumerate(rows, 1):
        if isinstance(row, Mapping):
            infos.append(_info(row, defaults.catalogue))
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return tuple(infos)


_AT_ONCE = 500
"""Rows after which others have their turn."""

_KNOWN = ("id", "owned_by", "created", "object")


def _info(row: Mapping[str, Any], catalogue: Catalogue) -> ModelInfo:
    created = row.get("created")
    return ModelInfo(
        id=str(row.get("id", "")),
        owned_by=str(row.get("owned_by") or ""),
        created=created if isinstance(created, int) else 0,
        known=catalogue.find(str(row.get("id", ""))),
        extra={key: value for key, value in row.items() if key not in _KNOWN},
    )
