"""The recorded exchanges of every protocol, and those of the field, taken apart into events."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from aiotokengate._wire.sse import ServerSentEvent, SSEDecoder
from aiotokengate.catalogue import CATALOGUE
from tests.support.streams import DONE, PROTOCOLS, Read, read

HERE = Path(__file__).parent.parent


@attrs.frozen
class Stream:
    """A recorded stream: its events, each with its name."""

    protocol: str
    model: str
    dialect: str
    choices: int
    events: list[tuple[str, str]]


def stream(protocol: str, asked: Any, data: bytes) -> Stream | None:
    """Return a stream, None for what has been damaged already."""
    sse = SSEDecoder()
    last: list[ServerSentEvent | None] = [sse.close()]
    events = [(one.event, one.data.decode()) for one in (*sse.feed(data), *last) if one]
    if not events or not all(data == DONE or is_json(data) for _, data in events):
        return None
    model = asked.get("model", "gemini-3.1-pro-preview")  # where the path has it
    dialect = CATALOGUE.find(model).dialect
    return Stream(protocol, model, dialect, asked.get("n", 1), events)


def is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def recorded() -> Iterator[tuple[str, Stream]]:
    ways = {"completions": "chat", "responses": "responses", "messages": "messages"}
    for path in sorted((HERE / "vectors").glob("*.json")):
        about = json.loads(path.read_text("utf-8"))
        protocol = ways.get(about["request"]["path"].rpartition("/")[2], "gemini")
        data = path.with_suffix(".body").read_bytes()
        found = stream(protocol, about["request"]["body"], data)
        if found is not None and about["response"]["status"] < 400:
            yield path.stem, found


def of_the_field() -> Iterator[tuple[str, Stream]]:
    for path in sorted((HERE / "field").glob("*.json")):
        case = json.loads(path.read_text("utf-8"))
        data = "".join(one for one in case["answers"][0]["steps"] if isinstance(one, str))
        found = stream(case["protocol"], case, data.encode())
        if found is not None:
            yield path.stem, found


STREAMS = dict((*recorded(), *of_the_field()))
NAMES = {
    protocol: [name for name, one in STREAMS.items() if one.protocol == protocol]
    for protocol in PROTOCOLS
}


def as_read(found: Stream, data: bytes) -> Read:
    """Read a body as the reply of a stream."""
    return read(found.protocol, [data], most=found.choices, dialect=found.dialect)
