"""The escape hatch: anything on the gateway that has no method of its own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from aiotokengate._calls.request import HttpRequest
from aiotokengate._http.uploads import Form
from aiotokengate._resources.awaited import FetchedCall
from aiotokengate._wire.jsontext import dumps
from aiotokengate.errors import CallerError
from aiotokengate.types import Json

if TYPE_CHECKING:
    from aiotokengate._calls.request import Request, Requester
    from aiotokengate._resources.options import Defaults, Options

__all__ = ["Method", "RawCall", "make_raw_call"]

Method: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class RawCall(FetchedCall[Json]):
    """One request, not yet sent.  Use it once, in one of two ways.

    ::

        scores = await gate.request("POST", "/rerank", json={...})    # JSON; else bytes
        async with gate.request("POST", "/agent", json={...}) as download:
            async for event in download.events(): ...                 # or bytes, or save()
    """

    __slots__ = ()


async def _whole(requester: Requester, request: Request) -> Json:
    async with await requester.fetch(request) as download:
        if download.content_type.endswith("json"):
            return await download.json()
        return await download.read()


def make_raw_call(
    requester: Requester,
    defaults: Defaults,
    method: str,
    path: str,
    body: Mapping[str, Json] | list[Json] | Form | None,
    options: Options,
    *,
    costly: bool | None,
) -> RawCall:
    """Check the arguments, and make the call; nothing is sent yet.

    Raises:
        CallerError: an argument is wrong.
    """
    if not (costly is None or isinstance(costly, bool)):
        message = f"expected costly as True or False, got {type(costly).__name__}"
        raise CallerError(message)
    if method not in _METHODS:
        message = f"expected a method as one of {', '.join(_METHODS)}, got {method!r}"
        raise CallerError(message)
    if not path.startswith(("/", "../", "https://", "http://")):
        message = f"expected a path such as '/rerank' or '../suno/fetch', got {path!r}"
        raise CallerError(message)
    if not (body is None or isinstance(body, Mapping | list | Form)):
        message = f"expected json as a dict or a list, or a Form, got {type(body).__name__}"
        raise CallerError(message)
    is_read = method == "GET"
    form = body if isinstance(body, Form) else None
    json = None if body is None or isinstance(body, Form) else dumps(body)
    request = options.request(
        defaults,
        HttpRequest(method, path, json, form),
        _model_of(body),
        pooled=not is_read,
        costly=not is_read if costly is None else costly,
    )
    name = f"{method} {_shown(path)}"
    return RawCall(partial(_whole, requester, request), partial(requester.fetch, request), name)


def _shown(path: str) -> str:
    """Return an address without what may be secret: a user's password, a signed query."""
    start, _, rest = path.partition("?")[0].partition("#")[0].rpartition("@")
    return f"{start.partition('//')[0]}//{rest}" if "//" in start else start + rest


def _model_of(body: object) -> str:
    model = body.get("model") if isinstance(body, Mapping) else None
    return model if isinstance(model, str) else ""
