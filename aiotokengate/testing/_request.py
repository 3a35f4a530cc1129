"""What the fake gateway tells of a request that it got."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import attrs
import orjson

from aiotokengate.testing._signals import Signal
from aiotokengate.types import Json

__all__ = ["GatewayRequest", "given_key"]


@attrs.frozen(eq=False)
class GatewayRequest:
    """One request that reached the gateway.

    Its key and its prompt are in ``headers`` and ``body``, and so never in its ``repr``.

    Attributes:
        method: the HTTP method.
        path: the path, without the query.
        query: what follows the question mark, as it came.
        headers: all headers, their names in any case.
        body: the body's bytes.
        connection: the number of the TCP connection; two requests with the same number shared
            it.
        peername: the client's address and port.
        request_id: what the response says in ``X-Oneapi-Request-Id``.
        disconnected: set when the client left before the reply was done.
        finished: set when the reply was handed to the network to its end, be that a scripted
            cut.
    """

    method: str
    path: str
    query: str = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    connection: int
    peername: tuple[Any, ...]
    request_id: str
    disconnected: Signal = attrs.field(factory=Signal)
    finished: Signal = attrs.field(factory=Signal)

    @property
    def json(self) -> Json:
        """The body as JSON.

        Raises:
            orjson.JSONDecodeError: it is none.
        """
        return orjson.loads(self.body)


def given_key(request: GatewayRequest) -> str:
    """Return the key of a request, wherever its protocol puts it; "" without one."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key:
        return key
    own = request.headers.get("x-api-key") or request.headers.get("x-goog-api-key")
    return own or parse_qs(request.query).get("key", [""])[0]
