"""What is uploaded: the parts of a form, whose files are read in pieces while they are sent."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import attrs

from aiotokengate._wire.jsontext import dumps
from aiotokengate.errors import CallerError

__all__ = ["FilePart", "Form", "Source", "file_part", "form_of"]

Source: TypeAlias = bytes | str | os.PathLike[str] | AsyncIterable[bytes]
"""The bytes of a file, its path, or a stream of its bytes."""

_ANY_TYPE = "application/octet-stream"


class OneTimeStream:
    """A stream of bytes that can be read once.

    Attributes:
        begun: whether somebody has begun to read it, so that it can't be sent again.
    """

    def __init__(self, stream: AsyncIterable[bytes]) -> None:
        """Keep the stream; nothing is read."""
        self.begun: bool = False
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Read it."""
        self.begun = True
        return aiter(self._stream)


@attrs.frozen
class FilePart:
    """One file of a form; made by :func:`file_part`."""

    name: str
    source: bytes | Path | OneTimeStream = attrs.field(repr=False)
    filename: str
    content_type: str


@attrs.frozen
class Form:
    """A ``multipart/form-data`` body: text fields first, then files."""

    fields: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    files: tuple[FilePart, ...] = ()

    @property
    def spent(self) -> bool:
        """Whether a part was read that can't be read again."""
        sources = (part.source for part in self.files)
        return any(isinstance(source, OneTimeStream) and source.begun for source in sources)

    def texts(self) -> Iterator[str]:
        """Return what of it is the user's, to be blanked in an error that echoes it."""
        from aiotokengate._base.redaction import texts_in

        yield from texts_in([{name: text} for name, text in self.fields])
        for file in self.files:
            yield file.filename
            if isinstance(file.source, Path):
                yield str(file.source)


def file_part(
    name: str, source: object, filename: str | None = None, content_type: str | None = None
) -> FilePart:
    """Return a file as a part of a form.

    Args:
        name: of the field.
        source: bytes, a path, or an async iterable of bytes.
        filename: as the gateway is told; that of the path by default.
        content_type: guessed from the name by default.

    Raises:
        CallerError: the source is none of these, or there is no such file.
    """
    checked, own_name = _checked(name, source)
    filename = filename or own_name
    guessed = content_type or mimetypes.guess_type(filename)[0] or _ANY_TYPE
    return FilePart(name, checked, filename, guessed)


def form_of(texts: Mapping[str, object], files: Iterable[FilePart]) -> Form:
    """Return a form of parameters and files: what is no text is written as JSON."""
    return Form(tuple((name, _text(value)) for name, value in texts.items()), tuple(files))


def _text(value: object) -> str:
    return value if isinstance(value, str) else dumps(value).decode()


def _checked(name: str, source: object) -> tuple[bytes | Path | OneTimeStream, str]:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), name
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if not path.is_file():
            message = f"expected {name} as the path of a file, there is none at {str(path)!r}"
            raise CallerError(message)
        return path, path.name
    if isinstance(source, AsyncIterable):
        return OneTimeStream(source), name
    kind = type(source).__name__
    message = f"expected {name} as bytes, a path or an async iterable of bytes, got {kind}"
    raise CallerError(message)
