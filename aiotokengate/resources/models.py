"""The list of models that the key may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from aiotokengate.errors import WireError
from aiotokengate.resources.base import Request

if TYPE_CHECKING:
    from aiotokengate.policy.retry import Retry
    from aiotokengate.policy.timeouts import Timeout
    from aiotokengate.resources.base import Requester

__all__ = ["ModelInfo", "list_models"]


@attrs.frozen
class ModelInfo:
    """A model as the gateway lists it; ``extra`` keeps what else it says."""

    id: str
    owned_by: str = ""
    created: int = 0
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


async def list_models(
    requester: Requester, clocks: Timeout, retry: Retry
) -> tuple[ModelInfo, ...]:
    """Ask for ``/v1/models``.

    Raises:
        WireError: the answer is not a list of models.
    """
    body = await requester.ask(Request("GET", "/models", clocks, retry))
    rows = body.get("data") if isinstance(body, Mapping) else None
    if not isinstance(rows, list):
        message = "expected a list of models under 'data', got something else"
        raise WireError(message)
    return tuple(_info(row) for row in rows if isinstance(row, Mapping))


_KNOWN = ("id", "owned_by", "created", "object")


def _info(row: Mapping[str, Any]) -> ModelInfo:
    created = row.get("created")
    return ModelInfo(
        id=str(row.get("id", "")),
        owned_by=str(row.get("owned_by") or ""),
        created=created if isinstance(created, int) else 0,
        extra={key: value for key, value in row.items() if key not in _KNOWN},
    )
