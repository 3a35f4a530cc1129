"""Recordings of exchanges: values, their file, and how they are replayed.

The file is JSON: text as it is, and what is no text in base64.
"""

from __future__ import annotations

import codecs
import os
import stat
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from io import BufferedWriter
from pathlib import Path
from typing import Literal, Self

import attrs
import orjson

from aiotokengate.testing._masking import Secrets, masked_path
from aiotokengate.testing._request import GatewayRequest
from aiotokengate.testing._script import Pause, Raw
from aiotokengate.types import Json

__all__ = ["Exchange", "Recording", "Replay", "private_file"]


VERSION = 1


@attrs.frozen
class Exchange:
    """One request and its answer.

    Attributes:
        method: of HTTP.
        path: with its query; beside ``/v1`` it begins with ``../``.
        request: the body that was sent.
        status: of the answer; None if the connection broke before one.
        wait: seconds from the request to the head of the answer.
        headers: of the answer, without those of the connection itself.
        writes: the pieces of the body, each with the seconds since the one before.
        cut: whether the answer ended without its end.
    """

    method: str
    path: str
    request: bytes = attrs.field(repr=False)
    status: int | None
    headers: Mapping[str, str] = attrs.field(repr=False)
    writes: Sequence[tuple[float, bytes]] = attrs.field(repr=False)
    cut: bool = False
    wait: float = 0.0

    def raw(self, *, rhythm: bool) -> Raw:
        """Return the answer as a script of the fake gateway."""
        body: list[bytes | Pause] = []
        for seconds, data in self.writes:
            if rhythm and seconds > 0:
                body.append(Pause(seconds))
            body.append(data)
        end: Literal["close", "keep"] = "close" if self.cut else "keep"
        wait = self.wait if rhythm else 0.0
        return Raw(status=self.status, body=body, headers=self.headers, end=end, wait=wait)


@attrs.frozen
class Recording:
    """Exchanges in their order.

    Raises:
        ValueError: a file is no recording.
    """

    exchanges: tuple[Exchange, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file."""
        try:
            whole = orjson.loads(Path(path).read_bytes())
            if whole["version"] != VERSION:
                message = f"expected a recording of version {VERSION}, got {whole['version']!r}"
                raise ValueError(message)
            return cls(tuple(map(_read, whole["exchanges"])))
        except (KeyError, TypeError, orjson.JSONDecodeError) as error:
            message = f"expected a recording in {str(path)!r}: {type(error).__name__}: {error}"
            raise ValueError(message) from None

    def save(self, path: str | Path) -> None:
        """Write a file that its owner alone can read: it holds prompts and answers.

        Raises:
            OSError: it can't be written.
        """
        whole = {"version": VERSION, "exchanges": [_written(one) for one in self.exchanges]}
        data = orjson.dumps(whole, option=orjson.OPT_INDENT_2) + b"\n"
        with private_file(path) as file:
            if _is_regular(file.fileno()):
                file.truncate()
            file.write(data)


def private_file(path: str | Path) -> BufferedWriter:
    """Open a file for its owner alone, with what is in it; one that is there is closed to others.

    Raises:
        OSError: it can't be opened, or is somebody else's.
    """
    number = os.open(path, os.O_WRONLY | os.O_CREAT | _BINARY, 0o600)
    file = os.fdopen(number, "wb")  # which empties nothing: it was opened before
    try:
        if _is_regular(number):  # a pipe or a device is not ours to close
            os.chmod(number if os.chmod in os.supports_fd else path, 0o600)  # noqa: PTH101 - open
    except OSError as error:
        file.close()
        raise type(error)(error.errno, error.strerror, str(path)) from None
    return file


def _is_regular(number: int) -> bool:
    return stat.S_ISREG(os.fstat(number).st_mode)


_BINARY = getattr(os, "O_BINARY", 0)  # Windows has texts, too


class Replay:
    """Answers requests from a recording, each exchange once."""

    def __init__(self, recording: Recording, *, rhythm: bool) -> None:
        """Begin before the first exchange; ``rhythm`` is whether to wait as the gateway did."""
        self._left = list(recording.exchanges)
        self._rhythm = rhythm

    def answer(self, record: GatewayRequest) -> Raw:
        """Return the next answer to such a request; to another one an error that says so.

        Of several exchanges with its method and path that with the same body counts, so that
        requests that are under way together may come in another order; else the first.
        """
        asked = (record.method, masked_path(record.path, record.query))
        body = Secrets().hidden(record.body)
        found = [one for one in self._left if (one.method, one.path) == asked]
        if not found:
            return self._mismatch(*asked)
        exchange = next((one for one in found if one.request == body), found[0])
        self._left = [one for one in self._left if one is not exchange]
        return exchange.raw(rhythm=self._rhythm)

    def _mismatch(self, method: str, path: str) -> Raw:
        left = ", ".join(f"{one.method} {one.path}" for one in self._left[:5]) or "nothing more"
        message = f"the recording holds no {method} {path} here, but {left}"
        error = {"message": message, "type": "replay_error", "code": "not_recorded"}
        body = orjson.dumps({"error": error})
        return Raw(status=404, body=body, headers={"Content-Type": "application/json"})


# --- the file -----------------------------------------------------------------------------------


def _written(exchange: Exchange) -> Json:
    return {
        **attrs.asdict(exchange, recurse=False),
        "request": _said(exchange.request),
        "headers": dict(exchange.headers),
        "writes": [[seconds, _said(data)] for seconds, data in exchange.writes],
    }


def _read(fields: Mapping[str, Json]) -> Exchange:
    writes = [(seconds, _bytes(data)) for seconds, data in fields["writes"]]
    known = {name: fields[name] for name in attrs.fields_dict(Exchange) if name in fields}
    return Exchange(**{**known, "request": _bytes(fields["request"]), "writes": writes})


_CONTINUING = bytes(range(0x80, 0xC0))
_LONGEST_REST = 3


def _said(data: bytes) -> Json:
    """Return bytes as text; of a character that was cut, only its part is in base64."""
    rest = data.lstrip(_CONTINUING)
    begun = data[: len(data) - len(rest)]
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(rest)
    except UnicodeDecodeError:
        return _in_base64(data)
    if len(begun) > _LONGEST_REST:
        return _in_base64(data)
    pieces = [_in_base64(begun), text, _in_base64(decoder.getstate()[0])]
    said = [piece for piece in pieces if piece not in ("", _in_base64(b""))]
    return "".join(said) if said in ([], [text]) else said


def _in_base64(data: bytes) -> Json:
    return {"base64": b64encode(data).decode()}


def _bytes(said: Json) -> bytes:
    if isinstance(said, list):
        return b"".join(map(_bytes, said))
    return said.encode() if isinstance(said, str) else b64decode(said["base64"])
