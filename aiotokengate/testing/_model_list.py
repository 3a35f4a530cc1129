"""The list of models, and the paths that the gateway does not have."""

from __future__ import annotations

from aiohttp import web

from aiotokengate.testing._media import MEDIA_MODELS
from aiotokengate.testing._models import JOB_MODELS, MODELS
from aiotokengate.testing._output import Handler, answer_json
from aiotokengate.testing._request import GatewayRequest
from aiotokengate.types import Json

__all__ = ["model_list_route", "unknown_path"]

_PATH = "/v1/models"
_RELEASED = 1_767_225_600


def model_list_route(method: str, path: str) -> Handler | None:
    """Return what answers on a path of the list."""
    if method != "GET":
        return None
    if path == _PATH:
        return _list_models
    return _one_model if path.startswith(f"{_PATH}/") else None


def unknown_path(record: GatewayRequest) -> web.Response:
    """Return new-api's 404."""
    message = f"Invalid URL ({record.method} {record.path})"
    fields = {"type": "invalid_request_error", "param": "", "code": ""}
    return answer_json({"error": {"message": message, **fields}}, 404)


async def _list_models(_: web.Request, __: GatewayRequest) -> web.StreamResponse:
    rows = [_model_row(model.id, model.owner) for model in MODELS.values()]
    others = {**MEDIA_MODELS, **JOB_MODELS}
    rows += [_model_row(name, "custom", f"openai-{kind}") for name, kind in others.items()]
    return answer_json({"data": rows, "object": "list", "success": True})


async def _one_model(_: web.Request, record: GatewayRequest) -> web.StreamResponse:
    name = record.path.removeprefix(f"{_PATH}/")
    if name in MODELS:
        return answer_json(_model_row(name, MODELS[name].owner))
    message = f"The model '{name}' does not exist"
    fields = {"type": "invalid_request_error", "param": "model", "code": "model_not_found"}
    return answer_json({"error": {"message": message, **fields}}, 404)


def _model_row(name: str, owner: str, endpoint: str = "openai") -> Json:
    return {
        "id": name,
        "object": "model",
        "created": _RELEASED,
        "owned_by": owner,
        "supported_endpoint_types": [endpoint],
    }
