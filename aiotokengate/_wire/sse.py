"""Server-sent events: bytes in, events out, exactly by the rules of the WHATWG event stream.

Strategy.  Line ends are folded to LF first, a CR at the very end of a read counting at once and
swallowing an LF that may follow, so that no event waits for the next read.  The bytes after the
last LF are kept in one ``bytearray`` with the place up to which it was searched: no byte is
searched or copied twice, however small the reads are.  What is complete is cut at blank lines;
nearly every block of a chat stream is one ``data:`` line and takes the short path, everything
else (comments, ``event:``, ``id:``, several data lines, an event cut by a read) goes line by line
through the field rules.

The one thing beside the standard: a line without a known field is, by the rules, to be ignored.
Gateways write a bare error body there, on one line or over several, so such lines are kept in
:attr:`SSEDecoder.odd`, with their place among the events
(https://html.spec.whatwg.org/multipage/server-sent-events.html, §9.2.6).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import attrs

from aiotokengate.errors import WireError

__all__ = ["MAX_EVENT_BYTES", "SSEDecoder", "ServerSentEvent"]

MAX_EVENT_BYTES = 64 * 1024 * 1024
"""Image models send one ``data:`` line of several MB; the scanners of gateways allow 64 MiB."""

_BOM = b"\xef\xbb\xbf"
_LF, _CR = b"\n\r"
"""As numbers, because to look for bytes in bytes raises an error inside, each time."""
_FIELDS = (b"data", b"event", b"id", b"retry")
_MAX_DIGITS = 4300  # where Python refuses to make a number of a text


@attrs.define
class ServerSentEvent:
    """One event of the stream.

    Attributes:
        event: the event's type, "" when not given.
        data: the data lines joined by LF, without the last line end; not decoded.
        id: the last event id of the stream so far (it is sticky), None when none was given yet.
        retry: the reconnection time in milliseconds, if this event carried one.
        unterminated: the body ended before the blank line that would have closed the event; the
            standard discards such an event, :meth:`SSEDecoder.close` gives it.
    """

    event: str
    data: bytes
    id: str | None = None
    retry: int | None = None
    unterminated: bool = False


Give: TypeAlias = Callable[[ServerSentEvent], object]


class SSEDecoder:
    """An incremental decoder: :meth:`feed` bytes as they come, :meth:`close` at the end.

    Attributes:
        max_event_bytes: the limit on one event: all lines since the blank one before it.
        odd: of the last :meth:`feed`, :meth:`feed_data` or :meth:`close`, in turn, what is no
            usual event: how many events came before it, whether it is an event named ``error``
            (of :meth:`feed_data`), and its data; else it is a line without a known field.
        comments: how many comment lines came (keep-alives).
    """

    __slots__ = (
        "_after_cr",
        "_at_start",
        "_buffer",
        "_data",
        "_event",
        "_found",
        "_id",
        "_in_event",
        "_late",
        "_retry",
        "_searched",
        "_size",
        "comments",
        "max_event_bytes",
        "odd",
    )

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        """Begin at the start of a body."""
        self.max_event_bytes: int = max_event_bytes
        self.odd: list[tuple[int, bool, bytes]] = []
        self.comments: int = 0
        self._buffer = bytearray()
        self._found: Sequence[object] = ()  # the events of this read
        self._late: list[bytes] = []  # lines without a known field, behind data of their event
        self._searched = 0
        self._at_start = True
        self._after_cr = False
        self._in_event = False
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        self._id: str | None = None
        self._retry: int | None = None

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take the next bytes, cut anywhere, and give the events that they complete.

        Raises:
            WireError: an event is larger than ``max_event_bytes``.
        """
        self.odd.clear()
        events: list[ServerSentEvent] = []
        self._found = events
        text = self._whole_lines(chunk)
        if text and self._in_event:
            text = self._finish_event(text, events.append)
        if text:
            self._blocks(text, events.append)
        self._end_read()
        return events

    def feed_data(self, chunk: bytes) -> list[bytes]:
        """Decode like :meth:`feed`, for protocols that need nothing but the events' data.

        Events with the name ``error`` are put into ``odd``: their name says more than their data,
        which may be plain text.
        """
        if self.odd:
            self.odd.clear()
        if not (self._buffer or self._in_event or self._after_cr or self._at_start):
            whole = None if _CR in chunk else self._plain(chunk)
            if whole is not None:
                return whole
        found: list[bytes] = []
        self._found = found

        def give(event: ServerSentEvent) -> None:
            if event.event == "error":
                self.odd.append((len(found), True, event.data))
            else:
                found.append(event.data)

        text = self._whole_lines(chunk)
        if text and self._in_event:
            text = self._finish_event(text, give)
        # An event that is not over yet, of which there are whole lines, must not slow the others.
        end = text.rfind(b"\n\n") + 2
        plain = self._plain(text[:end]) if end > 1 else None
        if plain is None:
            self._blocks(text, give)
        else:
            found += plain
            self._lines(text[end:])
        self._end_read()
        return found

    def close(self) -> ServerSentEvent | None:
        """Take the end of the body; give the event that lacked its closing blank line, if any.

        Raises:
            WireError: that event is larger than ``max_event_bytes``.
        """
        self.odd.clear()
        if self._buffer:
            self._line(bytes(self._buffer))
            self._buffer.clear()
        if not self._in_event:
            return None
        events: list[ServerSentEvent] = []
        self._dispatch(events.append)
        for event in events:
            event.unterminated = True
        return events[0] if events else None

    def _end_read(self) -> None:
        self._found = ()  # or its events would be kept alive for nothing
        if self._buffer:
            self._check(self._size + len(self._buffer))

    def _whole_lines(self, chunk: bytes) -> bytes:
        """Return all lines that are complete now, ended by LF; keep the rest."""
        if self._at_start:
            chunk = self._without_bom(chunk)
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk.startswith(b"\n"):
                chunk = chunk[1:]
        if _CR in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        buffer = self._buffer
        if not buffer and chunk.endswith(b"\n"):
            return chunk
        buffer += chunk
        end = buffer.rfind(b"\n", self._searched) + 1
        text = bytes(buffer[:end])
        if end:
            del buffer[:end]
        self._searched = len(buffer)
        return text

    def _without_bom(self, chunk: bytes) -> bytes:
        """Drop one leading byte order mark, however it is cut."""
        if chunk and not self._buffer and not chunk.startswith(_BOM[:1]):
            self._at_start = False
            return chunk
        head = bytes(self._buffer) + chunk
        self._buffer.clear()
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._buffer += head
            return b""
        self._at_start = False
        self._searched = 0
        return head.removeprefix(_BOM)

    def _finish_event(self, text: bytes, give: Give) -> bytes:
        """Read the lines of an event that a read had cut; give what comes after it."""
        if text.startswith(b"\n"):
            self._dispatch(give)
            return text[1:]
        end = text.find(b"\n\n")
        self._lines(text[: end + 1] if end >= 0 else text)
        if end < 0:
            return b""
        self._dispatch(give)
        return text[end + 2 :]

    def _plain(self, text: bytes) -> list[bytes] | None:
        """Return the data of whole events of one ``data:`` line each, if the text is just that."""
        if not text.endswith(b"\n\n") or len(text) > self.max_event_bytes:
            return None
        if text.startswith(b"data: "):
            found = text[6:-2].split(b"\n\ndata: ")
            # Joined and searched, because bytes.count looks at each byte by itself.
            return found if _LF not in b"".join(found) else None
        return _named(text) if text.startswith(b"event: ") else None

    def _blocks(self, text: bytes, give: Give) -> None:
        """Read lines that begin outside of any event, or none."""
        *blocks, rest = text.split(b"\n\n")
        last_id = self._id
        for block in blocks:
            if block.startswith(b"data: ") and _LF not in block:
                if len(block) >= self.max_event_bytes:
                    self._check(len(block) + 1)
                give(ServerSentEvent("", block[6:], last_id))
            elif block.startswith(b":") and _LF not in block:  # a keep-alive
                self._check(len(block) + 1)
                self.comments += 1
            elif block:
                self._lines(block)
                self._dispatch(give)
                last_id = self._id
        if rest:
            self._lines(rest)

    def _lines(self, text: bytes) -> None:
        """Read lines of one event; only the first (after three LF) or the last may be blank."""
        for line in text.split(b"\n"):
            if line:
                self._line(line)

    def _line(self, line: bytes) -> None:
        """Apply the field rules to one line that is not blank."""
        self._in_event = True
        self._size += len(line) + 1
        self._check(self._size)
        if line.startswith(b":"):
            self.comments += 1
            return
        name, _, value = line.partition(b":")
        if name in _FIELDS:
            self._field(name, value.removeprefix(b" "))
        elif self._data:
            self._late.append(line)
        else:
            self.odd.append((len(self._found), False, line))

    def _field(self, name: bytes, value: bytes) -> None:
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif value.isdigit() and len(value) <= _MAX_DIGITS:
            self._retry = int(value)

    def _dispatch(self, give: Give) -> None:
        """Act on a blank line: an event if there is data, a clean slate either way."""
        if self._data:
            data = b"\n".join(self._data)
            give(ServerSentEvent(self._event, data, self._id, self._retry))
            self._data.clear()
        if self._late:
            place = len(self._found)
            self.odd += [(place, False, line) for line in self._late]
            self._late.clear()
        self._in_event = False
        self._event = ""
        self._retry = None
        self._size = 0

    def _check(self, size: int) -> None:
        if size > self.max_event_bytes:
            message = f"expected events of at most {self.max_event_bytes} bytes, got one of {size}"
            raise WireError(message)


def _named(text: bytes) -> list[bytes] | None:
    """Work the same where each event has a line with its name before that with its data."""
    found = []
    head, size = b"\n", 1  # that of the event before, which most have, too
    for block in text[:-2].split(b"\n\n"):
        if not block.startswith(head):
            name, between, _ = block.partition(b"\ndata: ")
            if not between or not name.startswith(b"event: ") or _LF in name:
                return None
            if name == b"event: error":
                return None
            head = name + between
            size = len(head)
        found.append(block[size:])
    return found if _LF not in b"".join(found) else None
