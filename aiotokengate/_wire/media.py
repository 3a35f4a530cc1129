"""Bodies of embeddings, images, speech and transcription, decoded into values.

Sources: platform.openai.com/docs/api-reference (embeddings, images, audio), vllm-omni's and
DashScope's pages for the other faces of images.
"""

from __future__ import annotations

import math
import sys
from array import array
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from aiotokengate._wire.parts import data_uri
from aiotokengate._wire.question import dicts_in, text_of
from aiotokengate._wire.usage import usage_of
from aiotokengate.errors import WireError
from aiotokengate.types import Json, Usage

__all__ = [
    "ImageData",
    "Segment",
    "Transcription",
    "Word",
    "bytes_of",
    "image_event",
    "images_of",
    "transcription_of",
    "usage_in",
    "vectors_of",
]

_SIGNATURES: Final = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"RIFF", "image/webp"),
    (b"GIF8", "image/gif"),
)


_MANY: Final = 10_000
"""No image comes in so many parts."""

_LINE: Final = 128
"""Characters within which base64 in lines has its first end of one."""


def bytes_of(text: str) -> bytes:
    """Decode base64.

    Raises:
        WireError: it is none.
    """
    try:
        if "\n" in text[:_LINE]:
            text = "".join(text.split())
        return b64decode(text, validate=True)
    except ValueError as error:
        message = f"expected base64, got {error}"
        raise WireError(message) from None


def usage_in(body: Mapping[str, Any]) -> Usage:
    """Return what an answer cost."""
    usage = body.get("usage")
    return usage_of(usage) if isinstance(usage, dict) else Usage(estimated=True)


# --- embeddings ---------------------------------------------------------------------------------


def vectors_of(body: object, count: int) -> list[array[float]]:
    """Return the vectors of an answer, in the order of the inputs.

    Raises:
        WireError: it is no list of so many vectors.
    """
    rows = body.get("data") if isinstance(body, Mapping) else None
    if not isinstance(rows, list) or len(rows) != count:
        got = f"{len(rows)} of them" if isinstance(rows, list) else "something else"
        message = f"expected {count} vectors under 'data', got {got}"
        raise WireError(message)
    placed: dict[int, array[float]] = {}
    for place, row in enumerate(rows):
        if not isinstance(row, Mapping):
            message = f"expected an object as data[{place}], got {type(row).__name__}"
            raise WireError(message)
        index = row.get("index")
        placed[index if type(index) is int else place] = _vector(row.get("embedding"), place)
    sizes = {len(vector) for vector in placed.values()}
    if len(sizes) != 1 or 0 in sizes:
        message = "expected vectors of one length under 'data', got others"
        raise WireError(message)
    if sorted(placed) != list(range(count)):
        message = f"expected the indexes 0 to {count - 1} under 'data', got others"
        raise WireError(message)
    return [placed[index] for index in range(count)]


def _vector(embedding: object, place: int) -> array[float]:
    """Read a vector: little-endian 32-bit floats in base64, or a list of numbers."""
    vector: array[float] = array("f")
    if isinstance(embedding, str):
        try:
            vector.frombytes(bytes_of(embedding))
        except ValueError:
            message = f"expected whole 32-bit floats as data[{place}].embedding"
            raise WireError(message) from None
        if sys.byteorder == "big":
            vector.byteswap()
        return vector
    try:
        vector.extend(embedding if isinstance(embedding, list) else None)  # type: ignore[arg-type]
    except (TypeError, OverflowError):
        message = f"expected a list of numbers as data[{place}].embedding"
        raise WireError(message) from None
    return vector


# --- images -------------------------------------------------------------------------------------


@attrs.frozen
class ImageData:
    """An image as it came: its bytes, or the address where it stands.

    Attributes:
        data: the bytes, None where it has to be fetched.
        url: the address, "" where the bytes came.
        mime: its type, found out from the bytes where nobody says.
        revised_prompt: what the model made of the prompt.
    """

    data: bytes | None = attrs.field(default=None, repr=False)
    url: str = attrs.field(default="", repr=False)
    mime: str = ""
    revised_prompt: str = ""


def images_of(body: object) -> tuple[ImageData, ...]:
    """Return the images of an answer, in OpenAI's form or in DashScope's.

    Raises:
        WireError: there is none.
    """
    found = tuple(_images(body)) if isinstance(body, Mapping) else ()
    if not found:
        message = f"expected images under 'data' or 'output', got {_names(body) or 'nothing'}"
        raise WireError(message)
    return found


def _names(body: object) -> str:
    """Name the keys of an object, or what else it is, for an error."""
    if not isinstance(body, Mapping):
        return type(body).__name__
    return ", ".join(ascii(key)[1:-1][:32] for key in sorted(body)[:8])


def _images(body: Mapping[str, Any]) -> Iterator[ImageData]:
    for row in dicts_in(body.get("data")):
        image = _image(row.get("b64_json") or row.get("url"), row.get("revised_prompt"))
        if image is not None:
            yield image
    output = body.get("output")
    for choice in dicts_in(output.get("choices")) if isinstance(output, dict) else ():
        message = choice.get("message")
        for part in dicts_in(message.get("content")) if isinstance(message, dict) else ():
            image = _image(part.get("image"), None)
            if image is not None:
                yield image


def _image(source: object, revised: object) -> ImageData | None:
    """Read an image from base64, a ``data:`` address or another address."""
    if not isinstance(source, str) or not source:
        return None
    prompt = revised if isinstance(revised, str) else ""
    if source.startswith(("http://", "https://")):
        return ImageData(url=source, revised_prompt=prompt)
    mime, payload = data_uri(source) or ("", source)
    data = bytes_of(payload)
    return ImageData(data, mime=mime or _mime_of(data), revised_prompt=prompt)


def _mime_of(data: bytes) -> str:
    return next((mime for start, mime in _SIGNATURES if data.startswith(start)), "image/png")


def image_event(event: object) -> tuple[ImageData, int | None] | None:
    """Read an event of a stream: an image, with the number of a partial one; None for others."""
    kind = event.get("type") if isinstance(event, Mapping) else None
    if not isinstance(event, Mapping) or not isinstance(kind, str):
        return None
    image = _image(event.get("b64_json") or event.get("url"), event.get("revised_prompt"))
    if image is None or not kind.endswith((".partial_image", ".completed")):
        return None
    if kind.endswith(".completed"):
        return image, None
    number = event.get("partial_image_index")
    return image, number if type(number) is int and 0 <= number < _MANY else 0


# --- transcription ------------------------------------------------------------------------------


@attrs.frozen
class Word:
    """A word, and when it is spoken, in seconds."""

    text: str
    start: float
    end: float


@attrs.frozen
class Segment:
    """A stretch of speech, and when it is spoken, in seconds; ``extra`` keeps the rest."""

    text: str
    start: float
    end: float
    extra: Mapping[str, Json] = attrs.field(factory=dict, repr=False)


@attrs.frozen
class Transcription:
    """What was said.

    Attributes:
        text: all of it; where subtitles were asked for, the subtitles.
        language: as the model names it, "" where it does not.
        duration: seconds, None where nobody says.
        segments: with ``response_format="verbose_json"``; ``words`` if asked for.
        extra: the answer as it came.
    """

    text: str
    language: str = ""
    duration: float | None = None
    segments: tuple[Segment, ...] = ()
    words: tuple[Word, ...] = ()
    extra: Mapping[str, Json] = attrs.field(factory=dict, repr=False)


def transcription_of(body: object) -> Transcription:
    """Return what was said: of a JSON answer, or of plain text and subtitles.

    Raises:
        WireError: it is neither.
    """
    if isinstance(body, str):
        return Transcription(body)
    if not isinstance(body, Mapping) or not isinstance(body.get("text"), str):
        message = "expected a transcription with 'text', got something else"
        raise WireError(message)
    usage = body.get("usage")
    spent = usage.get("seconds") if isinstance(usage, dict) else None
    duration = _number(body.get("duration"))
    return Transcription(
        body["text"],
        language=text_of(body.get("language")),
        duration=_number(spent) if duration is None else duration,
        segments=tuple(_segment(row) for row in dicts_in(body.get("segments"))),
        words=tuple(_word(row) for row in dicts_in(body.get("words"))),
        extra=body,
    )


def _segment(row: Mapping[str, Any]) -> Segment:
    kept = ("text", "start", "end")
    rest = {key: value for key, value in row.items() if key not in kept}
    return Segment(text_of(row.get("text")), *_span(row), extra=rest)


def _word(row: Mapping[str, Any]) -> Word:
    return Word(text_of(row.get("word")), *_span(row))


def _span(row: Mapping[str, Any]) -> tuple[float, float]:
    return _number(row.get("start")) or 0.0, _number(row.get("end")) or 0.0


def _number(value: object) -> float | None:
    """Return a number of seconds; what is endless, or too large for a float, is none."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
