"""What the fuzzer does with some bytes, and what must hold whatever they are.

The first byte says what the rest is: the body of a reply in one of the protocols, an event
stream, the body of an error, or JSON that comes in pieces.  The second says how it is cut.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from aiotokengate._wire.partial import PartialJson
from aiotokengate._wire.problems import status_error
from aiotokengate._wire.sse import SSEDecoder
from tests.support.hostile import use, written
from tests.support.recorded import NAMES, STREAMS
from tests.support.streams import PROTOCOLS, read

CORPUS = Path(__file__).parent.parent / "corpus"
SECRET = "斑马鱼的秘密 🐟"
MOST = 64 * 1024
"""Bytes that are looked at."""


def pieces(data: bytes, by: int) -> Iterator[bytes]:
    """Cut bytes into pieces; the first is shorter than the others."""
    size = 1 + by // 8
    for at in range(by % 8 - 7, len(data), size):
        yield data[max(0, at) : max(0, at + size)]


def reply(protocol: str) -> Callable[[bytes, int], None]:
    """Return what reads a reply: it is used as users do, and reads the same however it is cut."""
    name = NAMES[protocol][0]

    def target(data: bytes, by: int) -> None:
        whole = use(STREAMS[name], data)
        cut = read(
            protocol, pieces(data, by), most=STREAMS[name].choices, dialect=STREAMS[name].dialect
        )
        assert cut == whole, (cut, whole)

    return target


def events(data: bytes, by: int) -> None:
    """Read an event stream: the same events however it is cut."""
    one, other = SSEDecoder(), SSEDecoder()
    whole = [*one.feed(data), one.close()]
    cut = [event for piece in pieces(data, by) for event in other.feed(piece)]
    assert [*cut, other.close()] == whole


def error(data: bytes, by: int) -> None:
    """Read the body of an error: it is one, in one line, and says no prompt."""
    found = status_error((400, 404, 429, 500, 503)[by % 5], data, {})
    found.redact([SECRET])
    assert SECRET not in f"{found}{found!r}{found.body}"
    assert "\n" not in found.message


def partial(data: bytes, by: int) -> None:
    """Read JSON that comes in pieces: the same value however it is cut, and json's if it is."""
    text = data.decode("utf-8", "replace")
    one, other = PartialJson(), PartialJson()
    one.feed(text)
    for at in range(0, len(text), 1 + by % 16):
        other.feed(text[at : at + 1 + by % 16])
    assert repr(one.value) == repr(other.value), (one.value, other.value)
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(parsed, dict | list):
        assert repr(one.value) == repr(parsed)


TARGETS = (*map(reply, PROTOCOLS), events, error, partial)


def check(data: bytes) -> None:
    """Look at an input of the fuzzer."""
    if len(data) > 2:
        TARGETS[data[0] % len(TARGETS)](data[2:MOST], data[1])


def seeds() -> Iterator[bytes]:
    """Return inputs to begin with: the recorded streams of each protocol, and some JSON."""
    for number, protocol in enumerate(PROTOCOLS):
        for name in NAMES[protocol]:
            body = "".join(map(written, STREAMS[name].events)).encode()
            if len(body) < 6_000:
                yield bytes((number, 7)) + body
    yield bytes((len(PROTOCOLS), 3)) + ": 注释\r\nid: 1\ndata: 你好 🌸\r\rdata\n\n".encode()
    problem = {"error": {"message": SECRET, "type": "x", "code": 1}}
    for kind in (1, 2):
        yield bytes((len(PROTOCOLS) + kind, 9)) + json.dumps(problem).encode()
