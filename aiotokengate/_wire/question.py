"""What the protocols share: the question that they encode, the decoder that reads the reply."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final, Protocol, TypeAlias

import attrs
import orjson

from aiotokengate._wire.jsontext import is_deep, lenient, mended
from aiotokengate._wire.splice import Splicer
from aiotokengate._wire.transcript import BREAK, KINDS, ChoiceState, Transcript
from aiotokengate.catalogue import UNKNOWN, Model
from aiotokengate.types import Json, Reasoning

__all__ = [
    "NO_HEADERS",
    "Decoder",
    "Encoded",
    "FrameDecoder",
    "Question",
    "Reasoning",
    "Suspect",
    "choice_in",
    "count_in",
    "dicts_in",
    "joined_text",
    "merged",
    "native_content",
    "text_of",
]


@attrs.define(eq=False, repr=False)
class Question:
    """What is asked of a model, before a protocol gives it its form.

    Attributes:
        model: the name to send.
        messages: in the form of Chat Completions; an assistant message may have ``native``, what
            another protocol wants back word by word (see :func:`native_content`).
        params: under the names of Chat Completions, ``tools`` among them; None is left out.
        stream: whether to stream.
        reasoning: how much thinking.
        row: what the catalogue says of the model.
        extra_body: merged over the body, in this order.
        notes: remarks for the reply: what was left out or weakened before it is encoded.
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    params: Mapping[str, Any] = attrs.field(factory=dict)
    stream: bool = True
    reasoning: Reasoning = None
    row: Model = UNKNOWN
    extra_body: Sequence[Mapping[str, Any] | None] = ()
    notes: tuple[str, ...] = ()

    def given(self) -> dict[str, Any]:
        """Return the parameters that are not None."""
        return {name: value for name, value in self.params.items() if value is not None}


NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@attrs.define(eq=False, repr=False)
class Encoded:
    """A request as it is sent.

    Attributes:
        path: under ``base_url``; one that begins with ``../`` stands beside ``/v1``.
        body: JSON text.
        headers: beside those of the session.
        notes: remarks for the reply: what had to be rounded, or could not be asked for.
    """

    path: str
    body: bytes
    headers: Mapping[str, str] = NO_HEADERS
    notes: tuple[str, ...] = ()


Suspect: TypeAlias = Mapping[str, Any] | list[Any] | bytes
"""What a decoder leaves for the framing to judge: a parsed frame that may be an error, a list of
frames, or bytes that are not JSON."""


class Decoder(Protocol):
    """Events of one reply in, entries of its transcript out; never raises on what the wire says.

    Attributes:
        TYPED: the name of the protocol, where each of its events has a type; else "".
        transcript: where the entries go.
        done: whether the protocol's own end came (``[DONE]``, ``message_stop``); nothing counts
            after it.
    """

    TYPED: ClassVar[str]
    transcript: Transcript
    done: bool

    def feed(self, data: bytes) -> None:
        """Take the data of one event."""

    def feed_from(self, events: Sequence[bytes], at: int) -> tuple[int, Suspect | None]:
        """Take events from a place on, up to a suspect or the protocol's end.

        Returns:
            The place after the last event that was taken, and what it was if it is suspect.
        """

    def take_frame(self, frame: object, *, damaged: bool = False) -> Suspect | None:
        """Take one parsed frame: an event, or a whole reply that came as plain JSON.

        Args:
            frame: as parsed.
            damaged: whether its texts may begin or end inside a character.

        Returns:
            What it was if it is suspect.
        """

    def end(self) -> None:
        """Take the end of the stream: tell what was held back, and seal the transcript."""


_MAY_BE_DEEP: Final = 400
"""Bytes of a frame; no shorter one can be nested too deeply."""

_DONE: Final = b"[DONE]"

UNREADABLE: Final = b"?"
"""The suspect that stands for a frame that is JSON, and no object, or nested too deeply."""


class FrameDecoder(ABC):
    """What the decoders of all protocols share: from an event's bytes to a frame.

    See :class:`Decoder`; a subclass takes the frames.

    Attributes:
        splicer: takes what differs from an earlier event in its text alone.
        suspect: what the newest event was, if it must be judged; returned by :meth:`feed_from`
            and :meth:`take_frame`, which forget it.
        uneven: whether texts may begin or end inside a character.
    """

    __slots__ = ("done", "splicer", "suspect", "transcript", "uneven")

    TYPED: ClassVar[str] = ""
    TEXTS: ClassVar[frozenset[str]] = frozenset()
    """Keys whose texts are put together again where a character was cut."""

    def __init__(self, transcript: Transcript) -> None:
        """Begin a reply."""
        self.transcript = transcript
        self.done = False
        self.suspect: Suspect | None = None
        self.splicer = Splicer(transcript)
        self.uneven = False

    def feed_from(self, events: Sequence[bytes], at: int) -> tuple[int, Suspect | None]:
        """Take events from a place on, up to a suspect or the protocol's end."""
        splicer, end = self.splicer, len(events)
        while at < end and self.suspect is None and not self.done:
            if splicer.templates:
                at = splicer.take(events, at)
                if at == end:
                    break
            self.feed(events[at])
            at += 1
        suspect, self.suspect = self.suspect, None
        return at, suspect

    def take_frame(self, frame: object, *, damaged: bool = False) -> Suspect | None:
        """Take one parsed frame, and return it if it is suspect."""
        (self.take_damaged if damaged else self.take)(frame)
        suspect, self.suspect = self.suspect, None
        return suspect

    def feed(self, data: bytes) -> None:
        """Take the data of one event."""
        if data == _DONE:
            self.done = True
            return
        try:
            frame = orjson.loads(data)
        except orjson.JSONDecodeError:
            self._not_orjson(data)
            return
        if len(data) > _MAY_BE_DEEP and is_deep(frame, data):
            self.suspect = UNREADABLE
            return
        log = self.transcript
        before = len(log.items)
        self.take(frame)
        one = len(log.items) - before == 1 and log.kinds[-1] % KINDS < BREAK
        if one and not self.uneven and self.splicer.worth(data):
            self.learn(data, frame)

    @abstractmethod
    def take(self, frame: object) -> None:
        """Take one parsed frame."""

    @abstractmethod
    def learn(self, data: bytes, frame: dict[str, Any]) -> None:
        """Let the splicer have an event that gave a piece of text, if it gave nothing else."""

    def take_damaged(self, frame: object) -> None:
        """Take one frame whose texts may begin or end inside a character."""
        self.uneven = True
        self.splicer.forget()
        if is_deep(frame):
            self.suspect = UNREADABLE
        else:
            self.take(mended(frame, self.TEXTS))

    def say(self, state: ChoiceState, kind: int, text: str) -> None:
        """Append a text."""
        if self.uneven:
            self.transcript.say(state, kind, text)
        else:
            self.transcript.put(state.index, kind, text)

    def end(self) -> None:
        """Take the end of the stream."""
        self.splicer.forget()
        self.transcript.seal()

    def clean(self, value: Json) -> Json:
        """Return parsed JSON in which no half of a character is left."""
        if not self.uneven:
            return value
        try:
            return mended(value, frozenset())
        except RecursionError:
            return value

    def no_object(self, frame: object) -> None:
        """Call a frame suspect that is JSON, and no object."""
        self.suspect = frame if isinstance(frame, list) and frame else UNREADABLE

    def _not_orjson(self, data: bytes) -> None:
        """Take blank data, ``[DONE]``, a comment wrapped in data, or JSON that only json reads."""
        text = data.strip()
        if text.startswith(_DONE):
            self.done = True
        elif text and not text.startswith(b":"):
            try:
                frame = lenient(text)
            except (ValueError, RecursionError):
                self.suspect = text
            else:
                self.take_damaged(frame)


_MOST_INDEX: Final = (2**16 - KINDS) // KINDS
"""The kinds of its entries are packed into 16 bits each."""


def choice_in(index: object) -> int:
    """Return the number of a choice; one that has none that makes sense is the first."""
    return index if type(index) is int and 0 <= index <= _MOST_INDEX else 0


def text_of(value: object) -> str:
    """Return a text of the wire, "" for whatever is none."""
    return value if isinstance(value, str) else ""


def dicts_in(value: object) -> list[Mapping[str, Any]]:
    """Return the objects of a list of the wire, none for whatever is no list."""
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def count_in(usage: Mapping[str, Any], name: str) -> int:
    """Return a count of tokens, 0 for whatever is none."""
    value = usage.get(name)
    return value if isinstance(value, int) else 0


def native_content(message: Mapping[str, Any], protocol: str) -> list[Any] | None:
    """Return the blocks, items or parts that a message has for a protocol, if any."""
    native = message.get("native")
    if not isinstance(native, Mapping) or native.get("protocol") != protocol:
        return None
    content = native.get("content")
    return list(content) if isinstance(content, list | tuple) else None


def merged(body: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body with more fields; objects in both are merged, the later value wins."""
    whole = dict(body)
    for key, value in more.items():
        old = whole.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            whole[key] = merged(old, value)
        else:
            whole[key] = value
    return whole


def joined_text(content: object) -> str:
    """Return the text of a message's content, whichever form it has."""
    if isinstance(content, str):
        return content
    return "".join(_texts(content))


def _texts(content: object) -> Iterator[str]:
    for part in content if isinstance(content, list | tuple) else ():
        text = part.get("text") if isinstance(part, Mapping) else part
        if isinstance(text, str):
            yield text
