"""Recorded streams with something odd in place of one value, and what users do with the reply."""

import json
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import attrs

from aiotokengate import CallerError, TokenGateError
from aiotokengate._wire.history import check_history
from aiotokengate._wire.protocols import find_protocol
from aiotokengate._wire.question import Question
from aiotokengate._wire.relay import Relay
from aiotokengate.catalogue import CATALOGUE
from tests.support.recorded import STREAMS, Stream, as_read
from tests.support.streams import DONE, Read

Way = tuple[Any, ...]

# Each as text, because some of them are no JSON that orjson would write.
ODD = (
    *("null", "true", "false", "0", "-1", "1.5", '""', '"x"', '"null"', '"0"', '"ⅷ"', '"\\u0000"'),
    *('"\\ud800"', '"\\udc00\\ud800"', "[]", "{}", "[1]", "[null]", "[{}]", '[["x"]]', '{"a": 1}'),
    *("1e999", "-1e999", "NaN", str(2**64), "9" * 30, "9" * 400, "-" + "9" * 400),
    *("[" * 200 + "]" * 200, "[" * 1000 + "]" * 1000, '{"a":' * 1000 + "1" + "}" * 1000),
    '{"\\ud800": "\\ud800"}',
)


@attrs.frozen
class Attack:
    """Something odd at a place of an event of a stream."""

    name: str
    at: int
    way: Way
    odd: str

    def body(self, cut: int | None = None) -> bytes:
        """Write the stream, perhaps cut at a place."""
        events = list(STREAMS[self.name].events)
        name, text = events[self.at]
        events[self.at] = name, with_odd(json.loads(text), self.way, self.odd)
        data = "".join(map(written, events)).encode()
        return data if cut is None else data[: cut % (len(data) + 1)]


def written(event: tuple[str, str]) -> str:
    name, text = event
    return (f"event: {name}\n" if name else "") + f"data: {text}\n\n"


def attacks() -> Iterator[Attack]:
    """Return all of them."""
    for name, stream in STREAMS.items():
        for at, (_, text) in enumerate(stream.events):
            if text != DONE:
                for way in places(json.loads(text)):
                    for odd in ODD:
                        yield Attack(name, at, way, odd)


def places(value: Any, way: Way = ()) -> Iterator[Way]:
    """Return the place of everything inside of a value."""
    if way:
        yield way
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inner:
        if isinstance(item, dict | list):
            yield from places(item, (*way, key))
        else:
            yield (*way, key)


def with_odd(event: Any, way: Way, odd: str) -> str:
    """Write an event with something odd in place of one value."""
    holder = event
    for step in way[:-1]:
        holder = holder[step]
    holder[way[-1]] = "<odd>"
    return json.dumps(event).replace('"<odd>"', odd)


def use(stream: Stream, data: bytes) -> Read:
    """Read a body, and do with the reply what users do; only what is theirs may be refused."""
    came = as_read(stream, data)
    assert came.cause is None or isinstance(came.cause, TokenGateError)
    assert repr(came.cause)
    reply, log = came.reply, came.log
    relay = Relay(log)
    for delta in map(log.delta, range(len(log))):
        assert repr(delta)
        for event in filter(None, relay.write(delta).split(b"\n\n")):
            json.loads(event.removeprefix(b"data: "))
    assert repr(reply)
    for call in reply.tool_calls:
        try:
            call.parse()
        except CallerError:
            assert not call.complete or call.arguments
    send_back(stream, reply.message())
    return came


def send_back(stream: Stream, message: Mapping[str, Any]) -> None:
    """Write a turn for its own protocol, and for another."""
    calls: Any = message.get("tool_calls", ())
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "好"} for call in calls]
    history = [{"role": "user", "content": "嗨"}, dict(message), *results]
    row = CATALOGUE.find(stream.model)
    other = "chat" if stream.protocol != "chat" else "messages"
    for protocol in (stream.protocol, other):
        check_history(history, row, protocol)  # type: ignore[arg-type]
        try:
            encoded = find_protocol(protocol).encode(Question(stream.model, history, row=row))
        except CallerError:
            continue  # what was sent cannot be sent back, and it is said
        json.loads(encoded.body)


def attack(one: Attack, random: Random) -> Read:
    """Make an attack, in two of three cases on a body that is cut."""
    cut = random.choice((None, random.randrange(1 << 20), random.randrange(1 << 20)))
    return use(STREAMS[one.name], one.body(cut))
