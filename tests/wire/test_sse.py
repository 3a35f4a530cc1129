"""Server-sent events, rule by rule, and against a decoder that is slow and obvious.

The rules are those of https://html.spec.whatwg.org/multipage/server-sent-events.html, §9.2.6.
"""

import re
import time
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aiotokengate import WireError
from aiotokengate._wire.sse import MAX_EVENT_BYTES, ServerSentEvent, SSEDecoder


def event(data: bytes, kind: str = "", **more: object) -> ServerSentEvent:
    return ServerSentEvent(kind, data, **more)  # type: ignore[arg-type]


RULES = {
    "an event is its data": (b"data: a\n\n", [event(b"a")]),
    "a blank line ends an event": (b"data: a\n\ndata: b\n\n", [event(b"a"), event(b"b")]),
    "blank lines without an event are nothing": (b"\n\n\ndata: a\n\n\n\n", [event(b"a")]),
    "LF ends a line": (b"data: a\nevent: x\n\n", [event(b"a", "x")]),
    "CR ends a line": (b"data: a\revent: x\r\r", [event(b"a", "x")]),
    "CRLF ends a line": (b"data: a\r\nevent: x\r\n\r\n", [event(b"a", "x")]),
    "line ends may be mixed": (b"data: a\r\ndata: b\rdata: c\n\r", [event(b"a\nb\nc")]),
    "LF CR is two line ends": (b"data: a\n\rdata: b\n\n", [event(b"a"), event(b"b")]),
    "U+2028 is no line end": ("data: a\u2028b\n\n".encode(), [event("a\u2028b".encode())]),
    "U+0085 is no line end": ("data: a\x85b\n\n".encode(), [event("a\x85b".encode())]),
    "form feeds are no line ends": (b"data: a\x0b\x0c\x1cb\n\n", [event(b"a\x0b\x0c\x1cb")]),
    "one byte order mark is dropped": (b"\xef\xbb\xbfdata: a\n\n", [event(b"a")]),
    "a second byte order mark is not": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
    "a later byte order mark is not": (b"\n\xef\xbb\xbfdata: a\n\n", []),
    "data lines are joined by LF": (b"data: a\ndata: b\n\n", [event(b"a\nb")]),
    "data may be empty": (b"data:\n\n", [event(b"")]),
    "data may lack its colon": (b"data\n\n", [event(b"")]),
    "empty data lines count": (b"data\ndata\n\n", [event(b"\n")]),
    "one space after the colon is dropped": (b"data:  a \n\n", [event(b" a ")]),
    "no space is needed": (b"data:a\n\n", [event(b"a")]),
    "a tab is no space": (b"data:\ta\n\n", [event(b"\ta")]),
    "later colons belong to the value": (b"data: a: b\n\n", [event(b"a: b")]),
    "a comment is nothing": (b": hi\n:\n:data: x\n\ndata: a\n\n", [event(b"a")]),
    "a comment inside an event is nothing": (b"data: a\n: hi\ndata: b\n\n", [event(b"a\nb")]),
    "a comment keeps an event open": (b"data: a\n: hi\n\n", [event(b"a")]),
    "an event has a type": (b"event: ping\ndata: a\n\n", [event(b"a", "ping")]),
    "the last type counts": (b"event: x\nevent: y\ndata: a\n\n", [event(b"a", "y")]),
    "a type is for one event": (
        b"event: x\ndata: a\n\ndata: b\n\n",
        [event(b"a", "x"), event(b"b")],
    ),
    "a type alone is no event": (b"event: x\n\ndata: a\n\n", [event(b"a")]),
    "a type is UTF-8": ("event: 答\ndata: a\n\n".encode(), [event(b"a", "答")]),
    "a type that is not UTF-8": (b"event: \xff\ndata: a\n\n", [event(b"a", "\ufffd")]),
    "an id sticks": (b"id: 1\ndata: a\n\ndata: b\n\n", [event(b"a", id="1"), event(b"b", id="1")]),
    "an id may stand alone": (b"id: 1\n\ndata: a\n\n", [event(b"a", id="1")]),
    "an id may come after the data": (b"data: a\nid: 1\n\n", [event(b"a", id="1")]),
    "an empty id is one": (b"id: 1\n\nid\ndata: a\n\n", [event(b"a", id="")]),
    "an id with NUL is not": (b"id: 1\nid: 2\0\ndata: a\n\n", [event(b"a", id="1")]),
    "a retry is a number": (b"retry: 007\ndata: a\n\n", [event(b"a", retry=7)]),
    "a retry is digits only": (b"retry: +7\nretry: 7.0\nretry:\ndata: a\n\n", [event(b"a")]),
    "a retry in other digits is none": ("retry: ٣\ndata: a\n\n".encode(), [event(b"a")]),
    "a retry does not stick": (
        b"retry: 7\ndata: a\n\ndata: b\n\n",
        [event(b"a", retry=7), event(b"b")],
    ),
    "a retry beyond all numbers": (b"retry: " + b"9" * 5000 + b"\ndata: a\n\n", [event(b"a")]),
    "unknown fields are nothing": (
        b"x: y\nDATA: z\n data: z\ndata : z\ndata: a\n\n",
        [event(b"a")],
    ),
    "unknown fields alone are no event": (b"x: y\n\n", []),
    "bytes that are not UTF-8 are kept": (b"data: \xff\xfe\n\n", [event(b"\xff\xfe")]),
    "without its blank line it is none": (b"data: a\n\ndata: b\n", [event(b"a")]),
    # The four examples of the standard.
    "stocks": (b"data: YHOO\ndata: +2\ndata: 10\n\n", [event(b"YHOO\n+2\n10")]),
    "four blocks": (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third",
        [event(b"first event", id="1"), event(b"second event", id="")],
    ),
    "two events of nothing": (b"data\n\ndata\ndata\n\ndata:", [event(b""), event(b"\n")]),
    "the space is no matter": (b"data:test\n\ndata: test\n\n", [event(b"test")] * 2),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_rules(rule: str) -> None:
    """What the standard says, whole."""
    stream, expected = RULES[rule]
    assert SSEDecoder().feed(stream) == expected


@pytest.mark.parametrize("rule", RULES)
def test_the_rules_at_every_cut(rule: str) -> None:
    """What the standard says, cut at each byte and fed byte by byte."""
    stream, expected = RULES[rule]
    for place in range(len(stream) + 1):
        assert fed([stream[:place], stream[place:]]) == expected, f"cut at {place}"
    assert fed([bytes([byte]) for byte in stream]) == expected


@pytest.mark.parametrize("rule", RULES)
def test_the_data_alone(rule: str) -> None:
    """For protocols that need only the data there is a shorter way to the same."""
    stream, expected = RULES[rule]
    for place in range(len(stream) + 1):
        decoder = SSEDecoder()
        found = decoder.feed_data(stream[:place]) + decoder.feed_data(stream[place:])
        assert found == [event.data for event in expected], f"cut at {place}"


def fed(pieces: list[bytes]) -> list[ServerSentEvent]:
    decoder = SSEDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


# --- the end of the body ------------------------------------------------------------------------

ENDS = {
    "nothing is left": (b"data: a\n\n", None),
    "no blank line": (b"data: a\n", event(b"a", unterminated=True)),
    "no line end": (b"data: a", event(b"a", unterminated=True)),
    "a CR at the end": (b"data: a\r", event(b"a", unterminated=True)),
    "several lines": (
        b"id: 1\nevent: x\ndata: a\ndata",
        event(b"a\n", "x", id="1", unterminated=True),
    ),
    "a line of an id": (b"data: a\nid: 1", event(b"a", id="1", unterminated=True)),
    "a comment": (b": hi", None),
    "half a byte order mark": (b"\xef\xbb", None),
    "a type without data": (b"event: x", None),
    "an empty body": (b"", None),
}


@pytest.mark.parametrize("end", ENDS)
def test_an_event_that_lacks_its_end(end: str) -> None:
    """The standard drops an event without its blank line; closing gives it, marked."""
    stream, last = ENDS[end]
    for place in range(len(stream) + 1):
        decoder = SSEDecoder()
        decoder.feed(stream[:place])
        decoder.feed(stream[place:])
        assert decoder.close() == last, f"cut at {place}"


def test_an_event_comes_with_its_last_byte() -> None:
    """A CR counts at once, though an LF may follow: nothing waits for the next read."""
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a\r\n\r") == [event(b"a")]
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"data: b\n\n") == [event(b"b")]


def test_empty_reads_change_nothing() -> None:
    """An empty read between CR and LF, or inside a byte order mark, is no read."""
    pieces = [b"", b"\xef", b"", b"\xbb\xbfdata: a\r", b"", b"\n\r\n", b""]
    assert fed(pieces) == [event(b"a")]


# --- beside the standard ------------------------------------------------------------------------


def test_comments_are_counted() -> None:
    """Whoever watches a silent stream can see that it is alive."""
    decoder = SSEDecoder()
    decoder.feed(b": PING\n\n: PI")
    assert decoder.comments == 1
    decoder.feed(b"NG\n:\n")
    assert decoder.comments == 3


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n", b""], ids=repr)
def test_bare_json_lines_are_kept(end: bytes) -> None:
    """A line without a known field is nothing by the standard, and kept until the next call."""
    stream = b': PING\n\n{"error":{"message":"x"}}' + end
    for place in range(len(stream) + 1):
        decoder = SSEDecoder()
        odd = []
        for piece in (stream[:place], stream[place:]):
            assert decoder.feed(piece) == []
            odd += decoder.odd
        assert decoder.close() is None
        odd += decoder.odd
        assert odd == [(0, False, b'{"error":{"message":"x"}}')], f"cut at {place}"


def test_json_in_data_is_not_odd() -> None:
    """Only a line without a known field is looked at, with its event."""
    decoder = SSEDecoder()
    assert decoder.feed(b'data: {"a":1}\n{"b":2}\n[3]\n\n') == [event(b'{"a":1}')]
    assert decoder.odd == [(1, False, b'{"b":2}'), (1, False, b"[3]")]


# --- limits -------------------------------------------------------------------------------------

TOO_MUCH = {
    "one line": b"data: " + b"a" * 100 + b"\n\n",
    "several lines": b"data: aaaaaaaaaa\n" * 10 + b"\n",
    "empty lines": b"data\n" * 100 + b"\n",
    "an event's type": b"event: " + b"a" * 100 + b"\ndata: a\n\n",
    "an id": b"id: " + b"a" * 100 + b"\ndata: a\n\n",
    "a bare line": b"{" + b"a" * 100 + b"\n\n",
    "a line that does not end": b"data: " + b"a" * 100,
    "a comment that does not end": b":" + b"a" * 100,
    "after others": b"data: a\n\n" * 20 + b"data: " + b"a" * 100 + b"\n\n",
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_an_event_over_the_limit(what: str) -> None:
    """An event that does not end is refused, whole or byte by byte, before it eats the memory."""
    stream = TOO_MUCH[what]
    message = r"expected events of at most 64 bytes, got one of \d+"
    with pytest.raises(WireError, match=message):
        SSEDecoder(max_event_bytes=64).feed(stream)
    with pytest.raises(WireError, match=message):
        SSEDecoder(max_event_bytes=64).feed_data(stream)
    decoder = SSEDecoder(max_event_bytes=64)
    with pytest.raises(WireError, match=message):
        for byte in stream:
            decoder.feed(bytes([byte]))


def test_the_last_event_over_the_limit() -> None:
    """An event that ends with the body is under the limit, too."""
    decoder = SSEDecoder(max_event_bytes=64)
    with pytest.raises(WireError, match="at most 64 bytes, got one of"):
        decoder.feed(b"data: aaaa\n" * 12 + b"data: aaaa")
        decoder.close()


@pytest.mark.parametrize("begin", [b"data: ", b"data:", b"event: ", b"id:", b"{", b": ", b"x: "])
@pytest.mark.parametrize("before", [b"", b"data: aa\n"], ids=["first line", "second line"])
def test_the_limit_is_the_same_at_every_cut(before: bytes, begin: bytes) -> None:
    """Whether an event is too large does not depend on how it was cut."""
    for size in range(40, 72):
        stream = before + begin + b"a" * size + b"\ndata: b\n\n"
        verdicts = {refused([stream[:place], stream[place:]]) for place in range(len(stream) + 1)}
        verdicts.add(refused([bytes([byte]) for byte in stream]))
        assert len(verdicts) == 1, f"{size} bytes"


def refused(pieces: list[bytes]) -> bool:
    decoder = SSEDecoder(max_event_bytes=64)
    try:
        for piece in pieces:
            decoder.feed(piece)
    except WireError:
        return True
    return False


def test_many_events_are_no_large_one() -> None:
    """The limit is for one event, not for a read or a stream."""
    stream = b"data: aaaa\n\n" * 100
    assert len(SSEDecoder(max_event_bytes=32).feed(stream)) == 100
    assert len(SSEDecoder(max_event_bytes=32).feed_data(stream)) == 100
    assert MAX_EVENT_BYTES == 64 * 1024 * 1024


# --- against the standard -----------------------------------------------------------------------


class Obvious:
    """The standard's own words, on the whole stream at once."""

    def __init__(self, stream: bytes) -> None:
        self.events: list[ServerSentEvent] = []
        self.data = b""
        self.kind = ""
        self.id: str | None = None
        self.retry: int | None = None
        lines = re.split(b"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf"))
        for line in lines[:-1]:
            self.line(line)

    def line(self, line: bytes) -> None:
        if not line:
            self.dispatch()
        elif line.startswith(b":"):
            return
        elif b":" in line:
            name, value = line.split(b":", 1)
            self.field(name, value[1:] if value.startswith(b" ") else value)
        else:
            self.field(line, b"")

    def field(self, name: bytes, value: bytes) -> None:
        if name == b"event":
            self.kind = value.decode("utf-8", "replace")
        elif name == b"data":
            self.data += value + b"\n"
        elif name == b"id" and b"\0" not in value:
            self.id = value.decode("utf-8", "replace")
        elif name == b"retry" and re.fullmatch(b"[0-9]+", value):
            self.retry = int(value)

    def dispatch(self) -> None:
        if self.data:
            self.events.append(ServerSentEvent(self.kind, self.data[:-1], self.id, self.retry))
        self.data, self.kind, self.retry = b"", "", None


WORDS = (
    "data|event|id|retry|:| |\n|\r|\r\n|\n\n|\r\n\r\n|data: |data:|id: 7|retry: 12|: ping|\0|{|x"
)
PARTS = st.sampled_from(
    [*(word.encode() for word in WORDS.split("|")), b"\xef\xbb\xbf", b"\xe4\xbd", b"\xff"]
) | st.sampled_from(["你好", "👋🏽", "\u2028"]).map(str.encode)
streams = st.lists(PARTS, max_size=40).map(b"".join)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(borders)]


@given(streams, st.lists(st.integers(0, 400), max_size=10))
@example(b"data: a\r\rdata: b\r\n\r\n", [8, 9])
def test_any_stream_in_any_pieces(stream: bytes, places: list[int]) -> None:
    """Any bytes, cut anywhere, give what the standard says."""
    assert fed(cut(stream, places)) == Obvious(stream).events


@given(streams, st.lists(st.integers(0, 400), max_size=10))
def test_any_data_in_any_pieces(stream: bytes, places: list[int]) -> None:
    """The shorter way gives the data of the same events."""
    decoder = SSEDecoder()
    found = [data for piece in cut(stream, places) for data in decoder.feed_data(piece)]
    assert found == [event.data for event in Obvious(stream).events]


@given(streams, st.lists(st.integers(0, 400), max_size=10))
def test_any_stream_closed(stream: bytes, places: list[int]) -> None:
    """Closing gives the event that a blank line would have given, and nothing if there is none."""
    whole = Obvious(stream).events
    ended = Obvious(stream + b"\n\n" if not stream.endswith(b"\r") else stream + b"\r").events
    decoder = SSEDecoder()
    for piece in cut(stream, places):
        decoder.feed(piece)
    last = decoder.close()
    assert (last is not None) == (len(ended) > len(whole))
    if last is not None:
        assert last.unterminated
        last.unterminated = False
        assert last == ended[-1]


# --- cost ---------------------------------------------------------------------------------------

MIB = 1024 * 1024
SHAPES = {
    "one data line": lambda size: b"data: " + b"a" * (size - 8) + b"\n\n",
    "comments and line ends": lambda size: (b":\n\n" * 8 + b"\n" * 8) * (size // 32),
}


def seconds(stream: bytes) -> float:
    """Measure the CPU time of feeding byte by byte."""
    decoder = SSEDecoder()
    single = [bytes([byte]) for byte in range(256)]
    feed = decoder.feed
    began = time.process_time()
    for byte in stream:
        feed(single[byte])
    return time.process_time() - began


@pytest.mark.unmeasured
@pytest.mark.parametrize("shape", SHAPES)
def test_cost_grows_with_the_bytes(shape: str) -> None:
    """Eight times the bytes cost eight times the CPU time, not sixty-four; the best of three."""
    small, large = SHAPES[shape](MIB // 4), SHAPES[shape](2 * MIB)
    ratios = (seconds(large) / seconds(small) for _ in range(3))
    assert any(ratio <= 12 for ratio in ratios)


# --- what is odd among the data -----------------------------------------------------------------


def data_of(*chunks: bytes) -> tuple[list[bytes], list[tuple[int, bool, bytes]]]:
    decoder = SSEDecoder()
    found: list[bytes] = []
    odd: list[tuple[int, bool, bytes]] = []
    for chunk in chunks:
        decoder.odd.clear()
        before = len(found)
        found += decoder.feed_data(chunk)
        odd += [(before + place, named, text) for place, named, text in decoder.odd]
    return found, odd


def test_events_with_names_have_their_data() -> None:
    """Each with the name of the one before, mostly; an error's name says more than its data."""
    named = b"event: delta\ndata: 1\n\nevent: delta\ndata: 2\n\nevent: stop\ndata: 3\n\n"
    assert data_of(b"data: 0\n\n", named) == ([b"0", b"1", b"2", b"3"], [])
    failed = b"event: delta\ndata: 1\n\nevent: error\ndata: overloaded\n\n"
    assert data_of(b"data: 0\n\n", failed) == ([b"0", b"1"], [(2, True, b"overloaded")])


@pytest.mark.parametrize(
    ("chunk", "data"),
    [
        (b"event: x\nid: 1\ndata: 1\n\n", [b"1"]),
        (b"event: x\ndata: 1\ndata: 2\n\n", [b"1\n2"]),
        (b"event: x\n\nevent: y\ndata: 2\n\n", [b"2"]),
    ],
)
def test_events_with_more_lines_are_read_one_by_one(chunk: bytes, data: list[bytes]) -> None:
    assert data_of(b"data: 0\n\n", chunk) == ([b"0", *data], [])


def test_lines_that_are_no_fields_keep_their_places() -> None:
    """One inside an event comes after it; the next read forgets those of the last one."""
    found, odd = data_of(b'{"a":1}\ndata: 1\nnonsense\n\ndata: 2\n\n', b"data: 3\n\n", b"x\n\n")
    assert found == [b"1", b"2", b"3"]
    assert odd == [(0, False, b'{"a":1}'), (1, False, b"nonsense"), (3, False, b"x")]
