"""From the bytes of a body to the entries of a transcript, and what the reply comes to.

Strategy.  Pure: bytes go in, entries come out into the transcript, and at the end a
:class:`Verdict`; whoever calls brings the bytes and the clock.

*What a body is*, its first character says, never its content type: an event stream, or JSON that
ignored ``stream``.

*Damaged frames* are mended where that is certain, in :func:`frames_in`: several JSON texts in one
event, ``data:`` written twice, something glued to a frame.  What can't be read is counted; it may
have been text, a call, an end.  Undamaged frames never come here.  Bare lines and events named an
error are taken in their turn among the events, so that it is all the same how a body was cut.

*When a reply is over*: a finish reason is a claim, the protocol's own end is the fact (``[DONE]``,
``message_stop``, ``response.completed`` and its like, the end of the body).  Nothing after that
end counts.  A choice that has claimed may still speak; a claim made before it said anything is
none once it speaks.  Words that mean broken off are no success, whatever ends the body.

*An error* that comes when every choice has claimed is a remark, unless something was said after a
claim: then the claims were worth nothing.

Sources: wire facts collected from vendors' documents, packages and reports; each rule has its
test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Final, Literal, TypeAlias

import attrs
import orjson

from aiotokengate._wire.endings import broken_off
from aiotokengate._wire.jsontext import is_deep, lenient, loads
from aiotokengate._wire.problems import Problem, find_problem, status_error
from aiotokengate._wire.question import Decoder, Suspect
from aiotokengate._wire.sse import MAX_EVENT_BYTES, SSEDecoder
from aiotokengate._wire.transcript import Transcript
from aiotokengate.errors import TokenGateError, WireError
from aiotokengate.types import Status

__all__ = ["END", "LOST", "Framing", "Verdict", "frames_in"]

END: Final = object()
"""Stands for ``[DONE]`` among frames."""

LOST: Final = object()
"""Stands for what could not be read."""

Odd: TypeAlias = list[tuple[int, bool, bytes]]
"""Lines without a field, and events named an error, as the SSE decoder has them: after how many
events, whether named, and the text."""

_BOM = b"\xef\xbb\xbf"
_MOST_BARE: Final = 64 * 1024
"""Bytes of a bare JSON object over several lines; errors are shorter."""

_MOST_TORN: Final = 64
"""Lines behind an event that may belong to it, and as many KiB."""

_CLIP: Final = 500


@attrs.frozen(eq=False, repr=False)
class Verdict:
    """What a reply comes to.

    Attributes:
        status: of the reply.
        message: why it was interrupted, if it was.
        cause: what interrupted it, where something did.
    """

    status: Status
    message: str = ""
    cause: TokenGateError | None = None


_COMPLETE: Final = Verdict("complete")

Mode: TypeAlias = Literal["unknown", "events", "whole"]


class Framing:
    """Reads the body of one reply.

    Attributes:
        log: the transcript that it fills.
        failure: what ends the reply early, once it was met.
        events: whether the body is an event stream, and one has come.
    """

    __slots__ = (
        "_bare",
        "_bare_size",
        "_certain",
        "_decoder",
        "_depth",
        "_headers",
        "_look_at",
        "_mode",
        "_most",
        "_received",
        "_secrets",
        "_sse",
        "_strict",
        "_torn",
        "_whole",
        "events",
        "failure",
        "log",
    )

    def __init__(
        self,
        decoder: Decoder,
        headers: Mapping[str, str],
        *,
        most: int = MAX_EVENT_BYTES,
        strict: bool = False,
        secrets: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """Begin before the first byte.

        Args:
            decoder: of the protocol.
            headers: of the answer, for its errors.
            most: bytes that the body may have.
            strict: whether a frame that can't be read ends the reply.
            secrets: returns what is blanked where a note echoes it.
        """
        self.log: Transcript = decoder.transcript
        self.failure: TokenGateError | None = None
        self.events = False
        self._bare: list[bytes] = []  # bare lines, and how many bytes and open brackets they have
        self._bare_size = self._depth = self._look_at = 0
        self._certain = False  # whether the failure stands, whatever was claimed
        self._decoder = decoder
        self._headers = headers
        self._mode: Mode = "unknown"
        self._most = most
        self._received = 0
        self._secrets = secrets
        self._sse: SSEDecoder | None = None
        self._strict = strict
        self._torn: list[bytes] = []  # the last event, if it is no JSON, and the lines behind it
        self._whole: list[bytes] = []

    @property
    def over(self) -> bool:
        """Whether the protocol's own end came, or a failure."""
        return self._decoder.done or self.failure is not None

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; return whether the body may have ended with them."""
        self._received += len(data)
        try:
            if self._received > self._most:
                message = (
                    f"expected a reply of at most {self._most} bytes (max_reply_bytes), got more"
                )
                raise WireError(message)  # noqa: TRY301 - the same as what the decoder raises
            if self._sse is not None:
                self._take_events(self._sse, data)
            elif self._mode == "whole":
                self._whole.append(data)
            else:
                self._sniff(data)
        except WireError as error:
            self._fail(error, certain=True)
        done = self._decoder.done or self.failure is not None
        return done or self.log.claimed > 0 or not self.events

    def close(self) -> None:
        """Take the end of the body."""
        try:
            if self._sse is not None:
                self._end_of_events(self._sse)
            elif self._mode == "whole":
                self._end_of_whole(b"".join(self._whole).strip())
        except WireError as error:
            self._fail(error, certain=True)

    # --- what the body is -----------------------------------------------------------------------

    def _sniff(self, data: bytes) -> None:
        """Decide by the first character what this is; the content type cannot be trusted."""
        head = b"".join((*self._whole, data)) if self._whole else data
        self._whole.clear()
        text = head.removeprefix(_BOM).lstrip()
        if _BOM.startswith(head):  # cut inside; elsewhere white space at the start is nothing
            self._whole.append(head)
        elif text[:1] in (b"{", b"[", b"<"):
            self._mode = "whole"
            self._whole.append(text)
        elif text:
            self._sse = SSEDecoder(min(self._most, MAX_EVENT_BYTES))
            self._mode = "events"
            self._take_events(self._sse, head)

    def _end_of_whole(self, body: bytes) -> None:
        """Read a body that is not a stream: a whole reply, an error, or HTML."""
        try:
            frames = [orjson.loads(body)]
        except orjson.JSONDecodeError:
            frames = self._damaged_whole(body)
            for frame in frames:
                self._take_frame(frame, body)
        else:
            if is_deep(frames[0], body):
                raise WireError(_not_json(body))
            self._judge(self._decoder.take_frame(frames[0]), body)
        if self.failure is None and not self.log.choices:
            message = f"expected a reply, got a JSON {_described(frames[0])}"
            raise WireError(message)

    def _damaged_whole(self, body: bytes) -> list[object]:
        """Return the frames of a body that is not one JSON text by the letter."""
        try:
            frames = [loads(body)]
        except (ValueError, RecursionError):
            frames = [] if body.startswith(b"<") else _up_to_a_loss(frames_in(body))
        if LOST in frames or not frames or any(map(is_deep, frames)):
            raise WireError(_not_json(body)) from None
        return frames

    # --- events ---------------------------------------------------------------------------------

    def _take_events(self, sse: SSEDecoder, data: bytes) -> None:
        texts, odd = sse.feed_data(data), sse.odd
        if self._torn and (texts or odd):
            texts, odd = self._with_torn(texts, odd)
        if odd:
            texts = self._take_odd(odd, texts)
        if texts:
            self.events = True
            if self._bare:
                self._close_bare()
            if not self.over:
                self._take_texts(texts, last=not self._torn)

    def _with_torn(self, texts: list[bytes], odd: Odd) -> tuple[list[bytes], Odd]:
        """Put back before what came now what was kept because it may go on."""
        torn, *lines = self._torn
        self._torn = []
        kept = [(1, False, line) for line in lines]
        return [torn, *texts], kept + [(place + 1, named, line) for place, named, line in odd]

    def _take_odd(self, odd: Odd, texts: list[bytes]) -> list[bytes]:
        """Take events named an error, and bare lines, each in its turn; return what is left."""
        at, rest = 0, _rejoined(odd, texts)
        if _goes_on(rest, texts):
            lines = [line for place, _, line in rest if place == len(texts)]
            rest = rest[: len(rest) - len(lines)]
            self._torn = [texts.pop(), *lines]
        for place, named, data in rest:
            if self.over:
                break
            if place > at or named:
                self._close_bare()
            if place > at:
                self.events = True
                self._take_texts(texts[at:place])
                at = place
            if not self.over:  # which those events may have ended
                (self._named_error if named else self._take_line)(data)
        if self._torn and at == len(texts):
            self._close_bare()  # an event has come, though it is not taken yet
        return [] if self.over else texts[at:]

    def _take_texts(self, texts: list[bytes], *, last: bool = False) -> None:
        """Take events; the ``last`` that came may go on in the next bytes, if it is no JSON."""
        feed_from = self._decoder.feed_from
        at, suspect = feed_from(texts, 0)
        while suspect is not None:
            if last and at == len(texts) and _is_torn(suspect):
                self._torn = [texts[-1]]
                return
            self._judge(suspect, texts[at - 1])
            if self.over:
                return
            at, suspect = feed_from(texts, at)

    def _judge(self, suspect: Suspect | None, raw: bytes) -> None:
        """Look at what the decoder could not take: no JSON, or perhaps an error."""
        if suspect is None:
            return
        if isinstance(suspect, bytes):
            for frame in frames_in(suspect):
                self._take_frame(frame, suspect)
        elif isinstance(suspect, list):
            for frame in suspect:
                self._take_frame(frame, raw)
        elif (problem := find_problem(suspect)) is not None:
            self._fail(status_error(None, raw, self._headers, problem=problem))
        elif self._decoder.TYPED and self._mode == "events":
            self.log.unknown(0, self._decoder.TYPED, "event without a type", suspect)

    def _take_frame(self, frame: object, raw: bytes) -> None:
        """Take a frame that did not come whole in an event of its own."""
        if self.over:
            return
        if frame is END:
            self._decoder.done = True
        elif frame is LOST:
            self._lose()
        else:
            self._judge(self._decoder.take_frame(frame, damaged=True), raw)

    def _lose(self, count: int = 1) -> None:
        self.log.skipped += count
        if self._strict and count:
            error = WireError("a frame of the reply could not be read (strict=True)")
            error.retryable = True
            self._fail(error, certain=True)

    def _named_error(self, data: bytes) -> None:
        """Take an event whose name says that it is an error, whatever its data says."""
        self.events = True
        rest: list[object] = []
        for frame in frames_in(data):
            problem = None if frame is LOST or frame is END else find_problem(frame)
            if problem is not None:
                self._lose(len(rest))
                self._fail(status_error(None, data, self._headers, problem=problem))
            elif frame is END or _is_of_a_reply(frame):
                self._take_frame(frame, data)
            else:
                rest.append(frame)
        if rest or not data.strip():  # else its name is the lie
            text = " ".join(data.rpartition(b"\n")[2].decode("utf-8", "replace").split())
            problem = Problem(text[:_CLIP] or "an event named error")
            self._fail(status_error(None, data, self._headers, problem=problem))

    def _take_line(self, line: bytes) -> None:
        """Take a bare line: of an error that came too late for a status, or of a whole reply.

        JSON may stand on several lines; until its brackets are closed, and as long as nothing else
        comes, it is waited for.
        """
        bare = self._bare
        if not bare and not line.startswith((b"{", b"[{")) and line != b"[":
            return
        bare.append(line)
        self._depth += _opened(line)
        self._bare_size += len(line) + 1
        if self._bare_size > _MOST_BARE:
            self._close_bare()
        elif self._depth <= 0 and self._bare_size >= self._look_at:
            # Not after each line that may be the last, or that would take for ever.
            self._look_at = 2 * self._bare_size
            frames = list(frames_in(b"\n".join(bare)))
            if LOST not in frames:
                self._close_bare()

    def _close_bare(self) -> None:
        """Take what stood on bare lines, now that nothing more belongs to it."""
        if not self._bare:
            return
        text = b"\n".join(self._bare)
        self._bare.clear()
        self._bare_size = self._depth = self._look_at = 0
        self.events = True
        for frame in frames_in(text):
            self._take_frame(frame, text)

    def _close_torn(self, odd: Odd) -> None:
        """Take what was kept, and the lines that came last, now that nothing more comes."""
        texts, odd = self._with_torn([], odd)
        self.events = True
        rest = _rejoined(odd, texts)
        self._take_texts(texts)
        for _, _, line in rest:
            self._take_line(line)

    def _end_of_events(self, sse: SSEDecoder) -> None:
        if self.over:
            return
        last, odd = sse.close(), sse.odd
        if self._torn:
            self._close_torn(odd if last is None else [])
            odd = odd if last is not None else []
        if self.over:
            return
        if last is not None:
            self.events = True
            if last.event == "error":
                self._named_error(last.data)
            else:
                self._take_texts([last.data])
        for _, _, line in odd:
            self._take_line(line)
        self._close_bare()
        if not self.events and not sse.comments:
            message = f"expected an event stream or JSON, got {self._received} bytes of other text"
            raise WireError(message)

    # --- what it comes to -----------------------------------------------------------------------

    def _fail(self, error: TokenGateError, *, certain: bool = False) -> None:
        if self.failure is None:
            self.failure, self._certain = error, certain

    def conclude(self, failure: TokenGateError | None = None) -> Verdict:
        """Seal the transcript, and return what the reply comes to.

        Args:
            failure: what ended it from outside: the network, a clock.
        """
        log, error, paused = self.log, failure or self.failure, False
        if error is not None and (self._certain or log.doubtful):
            log.disbelieve()
        for state in log.choices.values():
            if state.calls.conflict:
                error = WireError("a tool call went on after it was complete")
                log.disbelieve()
            elif state.ending == "broken":
                error = error or broken_off(state.word, state.details_of_end)
            elif state.ending == "paused":
                paused = True
        self._decoder.end()
        if not log.complete:
            return self._interrupted(error)
        if error is not None:
            self._note_late(error.message)
        elif log.late_word:
            self._note_late(f"finish reason {log.late_word!r}")
        return Verdict("paused") if paused else _COMPLETE

    def _note_late(self, what: str) -> None:
        from aiotokengate._base.redaction import blanked

        self.log.notes += blanked([f"error after the finish: {what}"], self._secrets())

    def _interrupted(self, cause: TokenGateError | None) -> Verdict:
        if cause is not None:
            return Verdict("interrupted", f"the reply was interrupted: {cause.message}", cause)
        if not self.log.choices:
            return Verdict("interrupted", "the stream ended before its first token")
        return Verdict("interrupted", "the stream ended without a finish reason")


# --- mending ------------------------------------------------------------------------------------


def _rejoined(odd: Odd, texts: list[bytes]) -> Odd:
    """Put the lines of an event together that a raw newline in a string has cut; return the rest.

    That is certain where the event alone is no JSON, and with the lines behind it is.
    """
    rest: Odd = []
    for place, group in groupby(odd, key=itemgetter(0)):
        lines = list(group)
        if place and not any(named for _, named, _ in lines) and not _is_json(texts[place - 1]):
            used, whole = _with_lines(texts[place - 1], [line for _, _, line in lines])
            texts[place - 1] = whole
            lines = lines[used:]
        rest += lines
    return rest


def _with_lines(text: bytes, lines: list[bytes]) -> tuple[int, bytes]:
    """Return how many lines make an event JSON, and what that is; no lines if none do."""
    whole = text
    if len(text) > 4 * _MOST_BARE:
        return 0, text  # it would be read as often as there are lines
    for used, line in enumerate(lines[:_MOST_TORN], 1):
        whole = b"%b\n%b" % (whole, line)
        if len(whole) - len(text) > _MOST_BARE:
            break
        if _is_json(whole):
            return used, whole
    return 0, text


def _goes_on(rest: Odd, texts: list[bytes]) -> bool:
    """Return whether the last event is not JSON, and may become so with what comes next."""
    lines = [(named, line) for place, named, line in rest if place == len(texts)]
    few = 0 < len(lines) <= _MOST_TORN and sum(len(line) for _, line in lines) < _MOST_BARE
    if not (few and texts) or any(named for named, _ in lines):
        return False
    if len(texts[-1]) > 4 * _MOST_BARE:
        return False
    return not _is_json(texts[-1]) and LOST in frames_in(texts[-1])


def _is_torn(suspect: Suspect) -> bool:
    """Return whether a suspect is an event that is not JSON, nor several frames."""
    if not isinstance(suspect, bytes) or len(suspect) > 4 * _MOST_BARE:
        return False
    return LOST in frames_in(suspect)


def _opened(line: bytes) -> int:
    """Count the brackets that a line opens and does not close; those in its strings are none.

    A string that does not end is not taken for one.
    """
    pieces = line.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
    plain = b"".join((*pieces[::2], *pieces[len(pieces) - 1 | 1 :]))
    return sum(map(plain.count, (b"{", b"["))) - sum(map(plain.count, (b"}", b"]")))


def _up_to_a_loss(frames: Iterator[object]) -> list[object]:
    """Return frames up to one that was lost, as what follows that is worth nothing."""
    found: list[object] = []
    for frame in frames:
        found.append(frame)
        if frame is LOST:
            break
    return found


def _is_json(data: bytes) -> bool:
    try:
        lenient(data)
    except (ValueError, RecursionError):
        return False
    return True


_MOST_TRIES: Final = 8
"""How often a frame is looked for behind something unreadable, in one event."""

_FRAME = re.compile(r'\[DONE\]|\{"(?:error|type|id|choices|code|candidates|object|event)"')
"""What begins a frame behind another that was cut: inside a string its quotes would be escaped."""

_DATA = re.compile(r"(?:\s|data:)*")
_EVENT_LINE = re.compile(r"(?:event|id|retry):[^{]*$")

_JSON = json.JSONDecoder(strict=False)


def frames_in(data: bytes) -> Iterator[object]:
    """Return the frames of an event that is not one JSON text: parsed, ``END`` or ``LOST``.

    Each line is read by itself first, as engines end events with one newline.  A line that can't
    be read may be the beginning of JSON over several; that is tried until it fails once.
    """
    text = data.decode("utf-8", "surrogateescape")
    at, end, hopeless = 0, len(text), False
    while at <= end:
        stop = text.find("\n", at)
        stop = end if stop < 0 else stop
        found = list(_frames_of_line(text[at:stop]))
        if LOST in found and stop < end and not hopeless:
            frame, after = _over_lines(text, at)
            hopeless = not after
            if after:
                yield frame
                at = after + 1
                continue
        yield from found
        at = stop + 1


def _frames_of_line(line: str) -> Iterator[object]:
    """Return the frames of one line, glued together or not."""
    at, tries, lost = 0, 0, False
    while True:
        at = _after_prefix(line, at)
        if at >= len(line) or line.startswith(":", at) or _EVENT_LINE.match(line, at):
            return
        if line.startswith("[DONE]", at):
            yield END
            at, lost = at + len("[DONE]"), False
            continue
        frame, after = _frame_at(line, at)
        if after:
            yield frame
            at, lost = after, False
            continue
        if not lost:
            yield LOST
        lost, tries = True, tries + 1
        later = _FRAME.search(line, at + 1)
        if later is None or tries >= _MOST_TRIES:
            return
        at = later.start()


def _after_prefix(text: str, at: int) -> int:
    """Return the place after white space, and after what frames a frame once more."""
    found = _DATA.match(text, at)
    return found.end() if found else at


def _frame_at(text: str, at: int) -> tuple[object, int]:
    """Return the JSON object or list that begins at a place, and where it ends, 0 for none."""
    if text[at] not in "{[":
        return None, 0
    try:
        return _JSON.raw_decode(text, at)
    except (ValueError, RecursionError):
        return None, 0


def _over_lines(text: str, at: int) -> tuple[object, int]:
    """Return the JSON text over several lines that begins at one, and where its last line ends.

    Returns 0 for none; newlines end no string.
    """
    start = _after_prefix(text, at)
    if start >= len(text) or text[start] not in "{[":
        return None, 0
    try:
        frame, end = _STRICT.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None, 0
    stop = text.find("\n", end)
    stop = len(text) if stop < 0 else stop
    return (None, 0) if text[end:stop].strip() else (frame, stop)


_STRICT = json.JSONDecoder()


_OF_REPLIES = ("response.", "message_", "content_block_", "ping")


def _is_of_a_reply(frame: object) -> bool:
    """Return whether a frame without a problem is of a reply, whatever its event is named."""
    if not isinstance(frame, dict):
        return False
    name = frame.get("type")
    typed = isinstance(name, str) and name.startswith(_OF_REPLIES)
    return typed or bool(frame.get("choices") or frame.get("candidates"))


def _described(frame: object) -> str:
    if not isinstance(frame, dict):
        return type(frame).__name__
    return f"object with the keys {', '.join(sorted(frame)[:8]) or '-'}"


def _not_json(text: bytes) -> str:
    if text.startswith(b"<"):
        page = status_error(None, text, {}).message
        return f"expected an event stream or JSON, got an HTML page: {page}"
    return f"expected a JSON object, got {len(text)} bytes that are not one (cut short?)"
