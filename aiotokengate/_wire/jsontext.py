"""JSON text: orjson, and the standard library where orjson is stricter or looser than needed.

orjson writes NaN as null and refuses lone surrogates; the first would be a silent change of the
caller's request, the second an error without a place.  Reading, it refuses NaN, Infinity and lone
surrogates, which vendors do send: those texts are read by the standard library.
"""

from __future__ import annotations

import json
import math
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from aiotokengate.errors import CallerError
from aiotokengate.types import Json

__all__ = [
    "dumps",
    "index_of",
    "is_deep",
    "lenient",
    "loads",
    "mended",
    "rejoined",
    "same",
    "written",
]

_INT64 = 2**64
_MOST_DIGITS = 9
"""Digits of an index that is read from a text; no reply has so many parts."""

_LONG = 16 * 1024
_LOOKS = 500
"""Values of a long request that are looked at one by one."""

_DEEPEST = 200
"""Levels of nesting that are read and sent; orjson writes 254, Python shows fewer than 1,000."""


def loads(text: bytes) -> Json:
    """Parse; also NaN, Infinity and halves of surrogate pairs.

    Raises:
        ValueError: the text is not JSON.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def lenient(text: bytes) -> Json:
    """Parse a frame also with what vendors do beside the letter of JSON.

    Raw control characters in a string are read; bytes that are no UTF-8, as an engine sends them
    that cuts a character in two, become surrogates for :func:`rejoined` to put together again.

    Raises:
        ValueError: the text is not JSON.
    """
    return json.loads(text.decode("utf-8", "surrogateescape"), strict=False)


def is_deep(value: object, text: bytes = b"") -> bool:
    """Return whether parsed JSON is nested too deeply to be shown, kept or sent on.

    Args:
        value: as parsed.
        text: of it, which says at once of most that they are not.
    """
    if text and text.count(b"[") + text.count(b"{") <= _DEEPEST:
        return False
    level: list[Any] = [value] if isinstance(value, dict | list) else []
    for _ in range(_DEEPEST):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def dumps(value: object, *, path: str = "") -> bytes:
    """Serialise a request.

    Args:
        value: dicts, lists, strings, numbers, booleans, None.
        path: what ``value`` is called in an error.

    Raises:
        CallerError: something in it is not JSON; the error names its path, never its text.
    """
    try:
        text = orjson.dumps(value)
    except (TypeError, RecursionError) as error:
        reason = next(_flaws(value, path), f"the request is not JSON: {error}")
        raise CallerError(reason) from None
    # NaN comes out as null: look for one only where a null is. In a long text even that look costs
    # more than all that is done with it, and most requests are a few long texts.
    if (
        (len(text) < _LONG or _has_odd_numbers(value))
        and text.find(b"null") >= 0
        and (reason := next(_flaws(value, path, numbers=True), ""))
    ):
        raise CallerError(reason)
    return text


def _has_odd_numbers(value: object) -> bool:
    """Say whether there is a number that JSON lacks, or there may be: not all was looked at."""
    left, looked = [value], 0
    while left and looked < _LOOKS:
        looked += 1
        one = left.pop()
        if isinstance(one, dict):
            left += one.values()
        elif isinstance(one, list | tuple):
            left += one
        elif isinstance(one, float):
            if not math.isfinite(one):
                return True
        elif not isinstance(one, str | int | None):
            return True
    return bool(left)


def rejoined(text: str) -> tuple[str, str]:
    """Join the halves of characters; return the text, and a first half that ends it.

    Halves are surrogates, as JSON escapes them, or bytes that :func:`lenient` has escaped.  One
    that has lost its other half becomes U+FFFD.
    """
    if text.isascii():  # as most that is no answer: names, ids, numbers, arguments
        return text, ""
    half = text[-1:]
    if "\ud800" <= half <= "\udbff":
        text = text[:-1]
    else:
        half = ""
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    try:
        text.encode()
    except UnicodeEncodeError:
        decoder = _utf8("replace")
        whole = decoder.decode(_NO_BYTE.sub("\ufffd", text).encode("utf-8", "surrogateescape"))
        rest = decoder.getstate()[0].decode("utf-8", "surrogateescape")
        if half and rest:
            return whole + "\ufffd", half
        return whole, rest or half
    return text, half


_utf8 = getincrementaldecoder("utf-8")
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Surrogates that stand for no byte."""


def mended(value: Json, raw: frozenset[str]) -> Json:
    """Return parsed JSON without lone surrogates, but for the texts of the keys in ``raw``."""
    if isinstance(value, str):
        return value if value.isascii() else "".join(rejoined(value + "\0"))[:-1]
    if isinstance(value, list):
        return [mended(item, raw) for item in value]
    if isinstance(value, dict):
        return {
            mended(key, raw): item if key in raw and isinstance(item, str) else mended(item, raw)
            for key, item in value.items()
        }
    return value


def written(value: object) -> str:
    """Write parsed JSON again; what is nested too deeply even for that is "".

    orjson writes neither integers beyond 64 bits nor what is nested more than 254 deep.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        try:
            return json.dumps(value, ensure_ascii=False)
        except RecursionError:
            return ""


def index_of(value: object) -> int | None:
    """Return an index, which some relays write as text; None for what is no index."""
    if isinstance(value, str) and value.isdecimal() and len(value) <= _MOST_DIGITS:
        return int(value)
    return value if type(value) is int else None


def same(one: object, other: object) -> bool:
    """Return whether two parsed values are alike in all; of what is nested too deeply, never.

    To Python 1, 1.0 and true are equal, which they are not to whoever looks at the reply.
    """
    try:
        # Compared first, because that stops at the first difference; NaN is unlike itself there.
        if one is not other and one != other and not isinstance(one, float):
            return False
        return one is other or repr(one) == repr(other)
    except RecursionError:
        return False


def _flaws(value: object, path: str, depth: int = 0, *, numbers: bool = False) -> Iterator[str]:
    """Name the places that JSON cannot hold, in order; or the numbers alone."""
    where = path or "the request"
    if depth > _DEEPEST:
        yield f"{where} is nested too deeply, or contains itself"
    elif isinstance(value, str):
        yield from _text_flaws(value, where)
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f"{where} is {value}, expected a finite number"
    elif isinstance(value, bool | None):
        return
    elif isinstance(value, int):
        if not -_INT64 // 2 <= value < _INT64:
            yield f"{where} is an integer beyond 64 bits"
    else:
        yield from _container_flaws(value, path, depth + 1, numbers=numbers)


def _text_flaws(value: str, where: str) -> Iterator[str]:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        yield f"{where} holds a lone surrogate at character {error.start}, expected Unicode text"


def _container_flaws(value: object, path: str, depth: int, *, numbers: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            shown = str(key).encode("utf-8", "backslashreplace").decode()
            name = f"{path}.{shown}" if path else shown
            if not isinstance(key, str):
                yield f"{name} has a key of type {type(key).__name__}, expected str"
            else:
                yield from _text_flaws(key, f"the key {name}")
            yield from _flaws(item, name, depth, numbers=numbers)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _flaws(item, f"{path}[{index}]", depth, numbers=numbers)
    elif not numbers:
        where = path or "the request"
        yield f"{where} is of type {type(value).__name__}, expected what JSON can hold"
