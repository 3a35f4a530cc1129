"""What is used of aiohttp beside what it exports at its top: a stand-in where it has another name.

Whoever uses one of these asks :func:`aiotokengate._http.connections.has` first, or only
catches it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = [
    "Connection",
    "ContentEncodingError",
    "ContentLengthError",
    "HttpProcessingError",
    "HttpResponseParser",
    "PayloadEncodingError",
    "RawResponseMessage",
    "ResponseHandler",
]


class Missing(Exception):
    """Stands for what this aiohttp lacks: it has nothing, and is never raised."""


def _found(module: str, name: str) -> Any:
    try:
        return getattr(import_module(f"aiohttp.{module}"), name, Missing)
    except ImportError:
        return Missing


if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.http import HttpProcessingError
    from aiohttp.http_exceptions import (
        ContentEncodingError,
        ContentLengthError,
        PayloadEncodingError,
    )
    from aiohttp.http_parser import HttpResponseParser, RawResponseMessage
else:
    ResponseHandler = _found("client_proto", "ResponseHandler")
    Connection = _found("connector", "Connection")
    HttpProcessingError = _found("http", "HttpProcessingError")
    ContentEncodingError = _found("http_exceptions", "ContentEncodingError")
    ContentLengthError = _found("http_exceptions", "ContentLengthError")
    PayloadEncodingError = _found("http_exceptions", "PayloadEncodingError")
    HttpResponseParser = _found("http_parser", "HttpResponseParser")
    RawResponseMessage = _found("http_parser", "RawResponseMessage")
