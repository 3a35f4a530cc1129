"""From the bytes of a body to a verdict: every damage of the field, every claim that was none.

Strategy.  A damage is a function from frames to a body.  What is mended must come to the same as
the undamaged body; what is lost must be said.  Each body is read whole, byte by byte and in pieces
of several sizes, and always comes to the same.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.framing import END, LOST, Framing, frames_in
from aiotokengate._wire.protocols import find_protocol
from aiotokengate._wire.transcript import Transcript
from aiotokengate.errors import (
    BadRequest,
    Overloaded,
    RateLimited,
    ServerFailed,
    StatusError,
    TokenGateError,
    WireError,
)
from aiotokengate.types import UnknownDelta
from tests.support.streams import (
    DONE,
    PROTOCOLS,
    Read,
    body,
    calling,
    chat_frame,
    event,
    gemini_frame,
    read,
    saying,
    written,
)

TEXTS = ("你好", "，世界🎉", "\n再见")
ARGUMENTS = ('{"amount"', ':100,"to"', ':"商店"}')
SKIPPED_ONE = "frames skipped: 1 not readable as JSON objects"


def in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def same_however_cut(protocol: str, data: bytes, *, strict: bool = False) -> Read:
    """Read a body in pieces of several sizes: it must come to the same."""
    whole = read(protocol, [data], strict=strict)
    for size in (1, 2, 7, 40, 333):
        assert read(protocol, in_pieces(data, size), strict=strict) == whole, f"pieces of {size}"
    return whole


# --- what is mended -----------------------------------------------------------------------------

Damage = Callable[[list[Any]], bytes]


def by_two(frames: list[Any], between: str) -> bytes:
    """Write two frames into each data line."""
    pairs = (frames[at : at + 2] for at in range(0, len(frames), 2))
    lines = (between.join(map(written, pair)) for pair in pairs)
    return "".join(f"data: {line}\n\n" for line in lines).encode()


def events_by_two(frames: list[Any]) -> bytes:
    """Part each second event by one newline alone."""
    texts = map(event, frames)
    return "".join(one[:-1] + next(texts, "\n") for one in texts).encode()


def pretty(frames: list[Any], between: str) -> bytes:
    """Write frames over several data lines each, which event streams allow."""
    texts = (one if one == DONE else json.dumps(one, indent=1) for one in frames)
    lines = ("".join(f"data: {line}\n" for line in text.split("\n")) for text in texts)
    return (between.join(lines) + "\n").encode()


def in_lists(frames: list[Any]) -> bytes:
    """Write all frames as one list."""
    listed = written([frame for frame in frames if frame != DONE])
    return f"data: {listed}\n\n".encode() + (b"data: [DONE]\n\n" if DONE in frames else b"")


def instead(old: bytes, new: bytes) -> Damage:
    return lambda frames: body(frames).replace(old, new)


MENDED: dict[str, Damage] = {
    "one newline between all": lambda frames: instead(b"\n\n", b"\n")(frames) + b"\n",
    "one line end of two bytes": lambda frames: instead(b"\n\n", b"\r\n")(frames) + b"\r\n",
    "one newline between two": events_by_two,
    "two in a line": lambda frames: by_two(frames, ""),
    "two in a line, white space between": lambda frames: by_two(frames, " \t"),
    "two in a line, data between": lambda frames: by_two(frames, "data: "),
    "all in a line": lambda frames: f"data: {' '.join(map(written, frames))}\n\n".encode(),
    "data twice": instead(b"data: ", b"data: data: "),
    "data twice without spaces": instead(b"data: ", b"data:data:"),
    "event lines in data": instead(b"event: ", b"data: event: "),
    "over several lines": lambda frames: pretty(frames, "\n"),
    "over several lines, one newline between": lambda frames: pretty(frames, ""),
    "lists of frames": in_lists,
    "bare lines": lambda frames: b": x\n\n" + body(frames).replace(b"data: ", b"data:"),
    "comments between": instead(b"\n\n", b"\n\n: ping\n\n"),
    "comments inside": instead(b"data: ", b": ping\ndata: "),
    "comments in data": instead(b"data: ", b"data: : ping\n\ndata: "),
    "no names": lambda frames: "".join(f"data: {written(one)}\n\n" for one in frames).encode(),
    "ids and times": instead(b"data: ", b"id: 3\nretry: 5\ndata: "),
    "unknown fields": instead(b"data: ", b"trace: 3\nx\ndata: "),
    "no last blank line": lambda frames: body(frames)[:-2],
    "byte order mark": lambda frames: b"\xef\xbb\xbf" + body(frames),
    "blank data": lambda frames: b"data:\n\n" + body(frames),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("damage", MENDED)
def test_what_is_certain_is_mended(damage: str, protocol: str) -> None:
    """Nothing is lost, doubled or said to be damaged."""
    for frames in (saying(protocol, *TEXTS), calling(protocol, *ARGUMENTS)):
        whole = read(protocol, [body(frames)])
        assert whole.status == "complete"
        assert same_however_cut(protocol, MENDED[damage](frames)) == whole


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_bare_json_lines_are_a_reply_too(protocol: str) -> None:
    """Frames without ``data:`` are read, whatever a client by the letter would do."""
    frames = [frame for frame in saying(protocol, *TEXTS) if frame != DONE]
    bare = ": hi\n\n" + "".join(f"{written(frame)}\n\n" for frame in frames)
    assert same_however_cut(protocol, bare.encode()).answer == "".join(TEXTS)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("control", ["\t", "\x01", "\x1f", "\x7f", "\n", "\n甲: 乙\n丙"], ids=repr)
def test_raw_control_characters_in_a_string(protocol: str, control: str) -> None:
    """JSON forbids what some engines send; it is text."""
    data = body(saying(protocol, "左右", "🎉")).replace("左".encode(), f"左{control}".encode())
    found = same_however_cut(protocol, data)
    assert (found.status, found.answer, found.skipped) == ("complete", f"左{control}右🎉", 0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_character_cut_over_two_events(protocol: str, at: int) -> None:
    """The bytes of one character in the texts of two events are one character again."""
    data = body(saying(protocol, "一<", ">二"))
    emoji = "🎉".encode()
    data = data.replace(b"<>", emoji)  # where a last event says everything once more
    data = data.replace(b"<", emoji[:at]).replace(b">", emoji[at:])
    found = same_however_cut(protocol, data)
    assert (found.status, found.answer, found.skipped) == ("complete", "一🎉二", 0)
    assert found.notes == ()


def test_a_character_whose_rest_never_comes() -> None:
    """It is replaced, and said."""
    data = body(saying("chat", "一<")).replace(b"<", "🎉".encode()[:3])
    found = same_however_cut("chat", data)
    assert found.answer == "一\ufffd"
    assert "damaged characters" in " ".join(found.notes)


@pytest.mark.parametrize("behind", ["", "\x00\n\n", "data: {\n\n"])
def test_a_raw_empty_line_in_a_string_however_it_is_cut(behind: str) -> None:
    """A frame that a raw empty line cut is put together, also when its rest comes later."""
    whole = "".join(map(event, saying("chat", "你好", "一<>二", "🎉再见")))
    before, after = whole.split("<>")
    rest, _, later = after.partition("\n\n")
    came = same_however_cut("chat", f"{before}\n\n{rest}\n\n{behind}{later}".encode())
    assert came.answer == "你好一\n二🎉再见"
    assert came.skipped == (1 if behind.startswith("data") else 0)


def test_what_comes_with_an_error_and_after_it_is_not_taken() -> None:
    """Nothing counts after an error, be it in the same bytes."""
    error = "event: error\ndata: 出错了\n\n"
    later = "".join(map(event, saying("chat", "太晚")[:-2]))
    came = same_however_cut("chat", f"{error}{later}}}\n\n".encode())
    assert (came.status, came.answer, came.begun) == ("interrupted", "", False)


def test_lines_before_a_torn_event_do_not_go_on_behind_it() -> None:
    """An event ends what stood on bare lines before it, also while its own rest may come."""
    assert same_however_cut("chat", b":\n{\ndata: }\n\n]\n").skipped == 2


def test_pretty_json_that_is_no_frame_after_one() -> None:
    """What can't be read over several lines is not tried again for each of them."""
    text = b'{"a":\n1}\n{"b":\n' + b'{"c":\n' * 2000
    found = list(frames_in(text))
    assert found[0] == {"a": 1}
    assert set(map(str, found[1:])) == {str(LOST)}


FRAMES: dict[bytes, list[Any]] = {
    b"[DONE]": [END],
    b" [DONE] ": [END],
    b"data: [DONE]": [END],
    b'{"a":1}[DONE]': [{"a": 1}, END],
    b'{"a":1}data: [DONE]': [{"a": 1}, END],
    b'{"a":1}{"b":2}': [{"a": 1}, {"b": 2}],
    b'[{"a":1}][{"b":2}]': [[{"a": 1}], [{"b": 2}]],
    b'{"a":1}\n{"b":2}': [{"a": 1}, {"b": 2}],
    b'{"a":\n1}\n{"b":\n2}': [{"a": 1}, {"b": 2}],
    b'{"a":\n1} x': [LOST, LOST],
    b"": [],
    b" \n ": [],
    b": ping": [],
    b"event: ping": [],
    b'{"a":"\\ud83d"}': [{"a": "\ud83d"}],
    b"oops": [LOST],
    b'x\n{"a":1}': [LOST, {"a": 1}],
    b'x\n\n{"a":\n1}\n': [LOST, LOST, LOST],
    b'{"a":1} \t{"b":2} data: data:[DONE]{"c":3}': [{"a": 1}, {"b": 2}, END, {"c": 3}],
    b'{"a":1}: ping': [{"a": 1}],
    b"id: 3\nretry: 5\nevent: x": [],
    b'id: 3 {"a":1}': [LOST],
    b'oops{"a":1}': [LOST],
    b"oops[DONE]": [LOST, END],
    b'oops{"id":1}oops{"id":2}oops': [LOST, {"id": 1}, LOST, {"id": 2}, LOST],
    b'{"id"x' * 7 + b'{"id":1}': [LOST, {"id": 1}],
    b'{"id"x' * 8 + b'{"id":1}': [LOST],
    b'{"a":"b\tc"}': [{"a": "b\tc"}],
    b'{"a":\n"b\tc"}': [LOST, LOST],
    b'"text"': [LOST],
    b"7": [LOST],
    b'oops{"id":1}': [LOST, {"id": 1}],
    b'{"id":"\xe4{"error":1}': [LOST, {"error": 1}],
    b'{"a":"{\\"error\\":1': [LOST],
    b'{"a":"b\nc"}': [LOST, LOST],
    b"[" * 5000: [LOST],
    b'{"id":' * 5000: [LOST],
}


@pytest.mark.parametrize("data", FRAMES, ids=lambda data: repr(data[:30]))
def test_frames_of_an_event(data: bytes) -> None:
    """Each is a frame, the end, or lost."""
    assert list(frames_in(data)) == FRAMES[data]


KEYS = ["error", "type", "id", "choices", "code", "candidates", "object", "event"]


@pytest.mark.parametrize("key", KEYS)
def test_what_begins_a_frame_behind_half_of_one(key: str) -> None:
    assert list(frames_in(b'{"x":"y{"%b":[1]}' % key.encode())) == [LOST, {key: [1]}]


def torn(lines: int) -> bytes:
    """Return a reply whose first event goes on behind so many raw newlines in its text."""
    data = body([chat_frame({"content": "左<右"}), chat_frame({}, "stop"), DONE])
    return data.replace(b"<", b"\na" * lines)


def test_a_string_over_so_many_lines() -> None:
    """More of them are not looked at again and again: what is lost is said."""
    found = same_however_cut("chat", torn(64))
    assert (found.answer, found.skipped) == ("左" + "\na" * 64 + "右", 0)
    found = same_however_cut("chat", torn(65))
    assert (found.status, found.answer, found.skipped) == ("complete", "", 1)


def over_lines(size: int) -> bytes:
    """Return an error over bare lines, of that many bytes before its last."""
    head = b'{\n"error":{"message":"x","code":503},\n"pad":"'
    return b": hi\n\n" + head + b"x" * (size - len(head) - 2) + b'"\n}\n'


def test_bare_json_of_so_many_bytes() -> None:
    """Errors are shorter."""
    failure = framed("chat", over_lines(64 * 1024)).failure
    assert isinstance(failure, Overloaded)
    unread = framed("chat", over_lines(64 * 1024 + 1))
    assert (unread.failure, unread.log.skipped > 0) == (None, True)


# --- what is lost -------------------------------------------------------------------------------


def replaced(frames: list[Any], at: int, text: str) -> bytes:
    return "".join(
        event(frame) if place != at else f"data: {text}\n\n" for place, frame in enumerate(frames)
    ).encode()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("ruin", ["oops", '{"half', "7", '"text"', "null", "[]", '{"a":1]', "<p>"])
def test_what_cannot_be_read_is_said(protocol: str, ruin: str) -> None:
    """The rest is there, no call of it is complete, and the reply says how much was skipped."""
    frames = calling(protocol, *ARGUMENTS)
    found = same_however_cut(protocol, replaced(frames, -1, "") + body([]))
    assert found.skipped == 0
    damaged = "".join(map(event, frames[:1])) + f"data: {ruin}\n\n"
    found = same_however_cut(protocol, damaged.encode() + body(frames[1:]))
    assert found.skipped == 1
    assert SKIPPED_ONE in found.notes
    assert [complete for *_, complete in found.calls] == [False]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_half_an_event_and_a_frame_behind_it(protocol: str) -> None:
    """What stands behind the half is read."""
    frames = saying(protocol, *TEXTS)
    glued = written(frames[0])[:-9] + written(frames[1])
    found = same_however_cut(protocol, f"data: {glued}\n\n".encode() + body(frames[2:]))
    assert found.skipped == 1
    assert found.answer


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("place", [0, 1])
def test_a_strict_reply_ends_at_the_first_unreadable_frame(protocol: str, place: int) -> None:
    """As an interruption, with what came; before the first delta it may be asked again."""
    start = {"chat": 2, "gemini": 1, "messages": 3, "responses": 3}[protocol] * place
    frames = saying(protocol, *TEXTS)
    data = body(frames[:start]) + b"data: oops\n\n" + body(frames[start:])
    found = same_however_cut(protocol, data, strict=True)
    assert (found.status, found.begun) == ("interrupted", bool(place))
    assert isinstance(found.cause, WireError)
    assert found.cause.retryable
    assert found.answer == TEXTS[0] * place
    assert read(protocol, [data]).answer == "".join(TEXTS)


def test_strict_beats_the_claims() -> None:
    """A finish before it, and even an error behind it, change nothing."""
    finish = chat_frame({}, "stop")
    data = body([*saying("chat", "好")[:2], finish]) + b"data: oops\n\n" + body([DONE])
    found = same_however_cut("chat", data, strict=True)
    assert (found.status, type(found.cause)) == ("interrupted", WireError)
    assert same_however_cut("chat", data).status == "complete"
    data = data.replace(
        b"oops\n\n", b'{"id":"half\nevent: error\ndata: {"error":{"code":503}}\n\n'
    )
    assert isinstance(same_however_cut("chat", data, strict=True).cause, WireError)


def test_strict_lets_an_error_be_itself() -> None:
    """An event named error of which all can be read is that error, and no unreadable frame."""
    data = 'event: error\ndata: {"error":{"message":"满","code":503}}\n\n'.encode()
    cause = same_however_cut("chat", data, strict=True).cause
    assert isinstance(cause, StatusError)
    assert cause.status == 503


# --- errors -------------------------------------------------------------------------------------

Told = tuple[type[TokenGateError], str | None, int | None, str]
FAILED: Told = (ServerFailed, "500", 500, "挤")
CROWDED: Told = (Overloaded, "503", 503, "挤")
UNKNOWN: Told = (ServerFailed, None, None, "挤")
ERRORS: dict[str, tuple[str, Told]] = {
    "bare": ('{"error":{"message":"挤","code":503}}', CROWDED),
    "bare, over several lines": (
        '{\n "error": {\n  "message": "挤",\n  "code": 503\n }\n}',
        CROWDED,
    ),
    "bare, brackets in it": ('{\n "error": {\n"message": "挤{{",\n"code": 503\n}\n}', CROWDED),
    "bare list": ('[{"error":{"code":503,"message":"挤"}}]', CROWDED),
    "bare list over lines": ('[\n{\n"error":\n{"code":503,"message":"挤"}}\n]', CROWDED),
    "named, text": ("event: error\ndata: 挤", UNKNOWN),
    "named, no code": ('event: error\ndata: {"error":{"message":"挤"}}', UNKNOWN),
    "named, no type": ('event: error\ndata: {"detail":"挤"}', UNKNOWN),
    "named, flat": (
        'event: error\ndata: {"message":"挤"}',
        (ServerFailed, None, None, '{"message":"挤"}'),
    ),
    "named, empty": ("event: error\ndata: {}", (ServerFailed, None, None, "{}")),
    "named, blank": ("event: error\ndata:", (ServerFailed, None, None, "an event named error")),
    "error_code": (
        'data: {"error_code":336100,"error_msg":"挤"}',
        (Overloaded, "336100", None, "挤"),
    ),
    "success false": ('data: {"success":false,"message":"挤"}', UNKNOWN),
    "no choices": ('data: {"choices":[],"error":{"message":"挤","code":"503"}}', CROWDED),
    "text": ('data: {"error":"挤"}', UNKNOWN),
    "object": (
        'data: {"object":"error","message":"挤","code":500}',
        (ServerFailed, "500", 500, "挤"),
    ),
    "object, typed": (
        'data: {"object":"error","message":"挤","type":"InternalServerError","code":500}',
        (ServerFailed, "500", 500, "挤"),
    ),
    "detail": ('data: {"detail":"挤"}', UNKNOWN),
    "base_resp": (
        'data: {"base_resp":{"status_code":1002,"status_msg":"挤"}}',
        (RateLimited, "1002", None, "挤"),
    ),
    "typed": (
        'data: {"type":"error","error":{"type":"overloaded_error","message":"挤"}}',
        (Overloaded, None, None, "挤"),
    ),
    "typed, flat": (
        'data: {"type":"error","code":"server_error","message":"挤","param":null}',
        (ServerFailed, "server_error", None, "挤"),
    ),
    "list": ('data: [{"error":{"code":503,"status":"UNAVAILABLE","message":"挤"}}]', CROWDED),
    "code and msg": ('data: {"code":500,"msg":"挤"}', FAILED),
    "glued to half": ('data: {"id":"c{"error":{"message":"挤","code":503}}', CROWDED),
    "glued by data": ('data: {"id":"cdata: {"error":{"message":"挤","code":503}}', CROWDED),
    "after half": ('data: {"id":"c\ndata: {"error":{"message":"挤","code":503}}', CROWDED),
    "named, after half": (
        'data: {"id":"c\nevent: error\ndata: {"error":{"message":"挤","code":503}}',
        CROWDED,
    ),
    "named, glued": (
        'data: {"id":"cevent: error\ndata: {"error":{"message":"挤","code":503}}',
        CROWDED,
    ),
}


def begun(protocol: str) -> list[Any]:
    """Return the frames of a reply that has said something, and has not claimed to be over."""
    frames = saying(protocol, "好")
    return frames[: {"chat": 2, "gemini": 1, "messages": 3, "responses": 3}[protocol]]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ERRORS)
def test_an_error_in_any_shape(protocol: str, name: str) -> None:
    """It is the error that it says, whatever comes behind it; no status that was not told."""
    text, (kind, code, status, message) = ERRORS[name]
    rest = body(saying(protocol, *TEXTS)[1:])
    for head, tail in ((body(begun(protocol)), rest), (b": hi\n\n", rest), (b": hi\n\n", b"")):
        found = same_however_cut(protocol, head + text.encode() + b"\n\n" + tail)
        cause = found.cause
        assert found.status == "interrupted"
        assert isinstance(cause, StatusError)
        assert type(cause) is kind
        assert (cause.code, cause.status) == (code, status)
        assert message in cause.message
        assert found.answer == ("好" if found.begun else "")
        assert found.skipped == ("half" in name or "glued" in name)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_text_before_an_error_by_one_newline(protocol: str) -> None:
    """What stands before the error in its event is taken."""
    frames = saying(protocol, "好", "吗")
    start = len(begun(protocol))
    for error in ('{"error":{"message":"挤"}}', "挤"):
        last = event(frames[start])[:-1] + f"event: error\ndata: {error}\n\n"
        found = same_however_cut(protocol, body(frames[:start]) + last.encode() + body([DONE]))
        assert (found.status, found.answer) == ("interrupted", "好吗")
        assert isinstance(found.cause, ServerFailed)
        assert found.cause.message == "挤"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_event_named_error_that_is_a_frame_of_the_reply(protocol: str) -> None:
    """Its name is the lie; nothing after it is lost."""
    frames = saying(protocol, *TEXTS)
    whole = read(protocol, [body(frames)])
    named = "".join(f"event: error\ndata: {written(frame)}\n\n" for frame in frames).encode()
    assert same_however_cut(protocol, named) == whole
    start = len(begun(protocol))
    one = f"event: error\ndata: {written(frames[start])}\n\n".encode()
    data = body(frames[:start]) + one + body(frames[start + 1 :])
    assert same_however_cut(protocol, data) == whole


def test_a_named_error_is_told_in_short() -> None:
    """Its last line, on one line, and no more than 500 characters of it."""
    for data, message in [
        ("一\ndata:  二  三", "二 三"),
        ("x" * 501, "x" * 500),
        ("\ufffd", "\ufffd"),
    ]:
        cause = same_however_cut("chat", f"event: error\ndata: {data}\n\n".encode()).cause
        assert isinstance(cause, ServerFailed)
        assert cause.message == message


OF_A_REPLY: list[tuple[dict[str, Any], bool]] = [
    ({"type": "response.created"}, True),
    ({"type": "message_start"}, True),
    ({"type": "content_block_stop"}, True),
    ({"type": "ping"}, True),
    ({"choices": [1]}, True),
    ({"candidates": [1]}, True),
    ({"choices": [], "candidates": []}, False),
    ({"type": "other"}, False),
    ({"type": 7}, False),
]


@pytest.mark.parametrize(("frame", "lies"), OF_A_REPLY, ids=str)
def test_whose_name_is_the_lie(frame: dict[str, Any], lies: bool) -> None:
    """A frame of the reply is no error, whatever its event is named."""
    failure = framed("chat", f"event: error\ndata: {written(frame)}\n\n".encode()).failure
    assert isinstance(failure, ServerFailed) is not lies
    assert (failure is None) is lies


EMPTY_ERRORS: tuple[object, ...] = (
    {"message": "", "code": None},
    None,
    {},
    "",
    [],
    {"code": 0, "message": ""},
)


@pytest.mark.parametrize("error", EMPTY_ERRORS, ids=str)
def test_an_empty_error_in_a_good_chunk_is_none(error: object) -> None:
    """Relays write an error that says nothing into every chunk."""
    frames = [one if one == DONE else {**one, "error": error} for one in saying("chat", *TEXTS)]
    found = same_however_cut("chat", body(frames))
    assert (found.status, found.answer, found.cause) == ("complete", "".join(TEXTS), None)


@pytest.mark.parametrize("brackets", ["}", "{\n}", '{\n"\n}', "[\n]"], ids=repr)
def test_bare_lines_without_end(brackets: str) -> None:
    """What never becomes JSON takes linear time, and its memory is bounded."""
    text = b'{"a": [\n' + brackets.encode() * 1 + b"\n"
    found = read("chat", [b": hi\n\n", text * 5_000, *[b"}\n"] * 2000, body(saying("chat", "好"))])
    assert found.skipped
    assert found.answer == "好"


# --- claims and ends ----------------------------------------------------------------------------

START = chat_frame({"role": "assistant", "content": ""})
STOP = chat_frame({}, "stop")
CHUNK = chat_frame({"content": "好"})
ERROR = {"error": {"message": "挤", "code": 503}}
USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
TWO = chat_frame({"content": "二"}, index=1)


def stopped(text: str) -> dict[str, Any]:
    return chat_frame({"content": text}, "stop")


VERDICTS: dict[str, tuple[list[Any], str, str]] = {
    "claim and end": ([CHUNK, STOP, DONE], "complete", "好"),
    "claim and end of the body": ([CHUNK, STOP], "complete", "好"),
    "end without claim": ([CHUNK, DONE], "interrupted", "好"),
    "end of the body without claim": ([CHUNK], "interrupted", "好"),
    "nothing but the end": ([DONE], "interrupted", ""),
    "usage is no claim": ([CHUNK, USAGE, DONE], "interrupted", "好"),
    "usage after the claim": ([CHUNK, STOP, USAGE, DONE], "complete", "好"),
    "text after the claim": ([CHUNK, STOP, CHUNK, DONE], "complete", "好好"),
    "text after the end": ([CHUNK, STOP, DONE, CHUNK], "complete", "好"),
    "a second cycle": ([CHUNK, STOP, DONE, CHUNK, STOP, DONE], "complete", "好"),
    "an error after the end": ([CHUNK, STOP, DONE, ERROR], "complete", "好"),
    "a claim on every chunk": ([stopped("好"), stopped("吗"), DONE], "complete", "好吗"),
    "a claim before anything": ([chat_frame({}, "stop"), CHUNK, DONE], "interrupted", "好"),
    "it is made again": ([STOP, CHUNK, STOP, DONE], "complete", "好"),
    "a claim and nothing else": ([START, STOP, DONE], "complete", ""),
    "no word": ([CHUNK, chat_frame({}, "null"), DONE], "interrupted", "好"),
    "an unknown word": ([CHUNK, chat_frame({}, "bored"), DONE], "complete", "好"),
    "an error after the claim": ([CHUNK, STOP, ERROR, DONE], "complete", "好"),
    "an error after text after a claim": ([stopped("好"), CHUNK, ERROR], "interrupted", "好好"),
    "an error after claims on each": (
        [stopped("好"), stopped("吗"), ERROR],
        "interrupted",
        "好吗",
    ),
    "an error before the claim": ([CHUNK, ERROR, STOP, DONE], "interrupted", "好"),
    "one choice of two": ([CHUNK, TWO, STOP, DONE], "interrupted", "好"),
    "an error while the second speaks": ([CHUNK, TWO, STOP, ERROR], "interrupted", "好"),
    "both": ([CHUNK, TWO, STOP, chat_frame({}, "stop", 1), DONE], "complete", "好"),
    "length": ([CHUNK, chat_frame({}, "length"), DONE], "complete", "好"),
    "paused": ([CHUNK, chat_frame({}, "pause_turn"), DONE], "paused", "好"),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_a_finish_is_a_claim(name: str) -> None:
    """The protocol's end is the fact; a claim before anything was said is none once it speaks."""
    frames, status, answer = VERDICTS[name]
    found = same_however_cut("chat", body(frames))
    assert (found.status, found.answer) == (status, answer)
    finishes = [choice.finish_reason for choice in found.reply.choices]
    assert status == "interrupted" or all(finishes)


def test_an_error_after_the_claim_is_a_note() -> None:
    """The reply is whole; what came afterwards is said."""
    found = same_however_cut("chat", body([CHUNK, STOP, ERROR]))
    assert found.notes == ("error after the finish: 挤",)


def test_disbelieved_claims_leave_no_finish() -> None:
    """What was claimed is not on the reply, nor are its calls complete."""
    call = {"index": 0, "id": "a", "function": {"name": "pay", "arguments": "{}"}}
    frames = [chat_frame({"tool_calls": [call]}, "stop"), CHUNK, ERROR]
    found = same_however_cut("chat", body(frames))
    assert found.reply.finish_reason is None
    assert [complete for *_, complete in found.calls] == [False]


def test_why_a_reply_was_interrupted() -> None:
    """By what, or at which place its body ended."""
    found = same_however_cut("chat", body([DONE]))
    assert (found.message, found.cause) == ("the stream ended before its first token", None)
    found = same_however_cut("chat", body([CHUNK, DONE]))
    assert (found.message, found.cause) == ("the stream ended without a finish reason", None)
    found = same_however_cut("chat", body([CHUNK, ERROR]))
    assert found.message == "the reply was interrupted: 挤"
    assert isinstance(found.cause, Overloaded)


def test_what_ends_a_reply_from_outside() -> None:
    """It comes before what the body says; with all claims made, it is a note without secrets."""
    outside = ServerFailed("the network: sk-secret-key")
    framing = framed("chat", body([CHUNK, ERROR]))
    verdict = framing.conclude(outside)
    assert (verdict.status, verdict.cause) == ("interrupted", outside)
    framing = framed("chat", body([CHUNK, STOP]), secrets=lambda: ["sk-secret-key"])
    verdict = framing.conclude(outside)
    assert (verdict.status, verdict.message, verdict.cause) == ("complete", "", None)
    (note,) = framing.log.notes
    assert note.startswith("error after the finish: the network: ")
    assert "secret" not in note


def test_a_break_after_the_claim_is_a_note() -> None:
    found = same_however_cut("chat", body([CHUNK, STOP, chat_frame({}, "abort"), DONE]))
    assert (found.status, found.notes) == (
        *("complete", ("error after the finish: finish reason 'abort'",)),
    )


def test_when_a_body_may_have_ended() -> None:
    """Before its first event, with a claim, at the end, and with a failure."""
    cases: list[tuple[list[Any], list[bool]]] = [
        ([CHUNK, STOP, USAGE, DONE], [True, False, True, True, True]),
        ([CHUNK, DONE], [True, False, True]),
        ([CHUNK, ERROR], [True, False, True]),
    ]
    for frames, expected in cases:
        framing = reading("chat")
        told = [framing.feed(one) for one in (b": hi\n\n", *(body([one]) for one in frames))]
        assert told == expected
        assert framing.over is (frames[-1] in (DONE, ERROR))
    framing = reading("chat")
    assert framing.feed(b'{"choices":')
    assert (framing.events, framing.over) == (False, False)


BROKEN: dict[str, tuple[type[TokenGateError], bool]] = {
    "error": (ServerFailed, True),
    "network_error": (ServerFailed, True),
    "abort": (ServerFailed, True),
    "insufficient_system_resource": (Overloaded, True),
    "repetition": (WireError, False),
    "MALFORMED_FUNCTION_CALL": (WireError, False),
    "MALFORMED_RESPONSE": (WireError, False),
    "UNEXPECTED_TOOL_CALL": (WireError, False),
    "TOO_MANY_TOOL_CALLS": (WireError, False),
    "MISSING_THOUGHT_SIGNATURE": (BadRequest, False),
}


@pytest.mark.parametrize(
    ("protocol", "word"),
    [("chat", word) for word in BROKEN]
    + [("gemini", word) for word in BROKEN if word.isupper()]
    + [("gemini", word) for word in ("error", "abort")],
)
def test_words_that_mean_broken_off(protocol: str, word: str) -> None:
    """They are no success, whatever ends the body; no status was told."""
    kind, retryable = BROKEN[word]
    frames = [CHUNK, chat_frame({}, word), DONE]
    if protocol == "gemini":
        frames = [gemini_frame({"text": "好"}), gemini_frame(finish=word)]
    for given in (frames, frames[1:]):
        found = same_however_cut(protocol, body(given))
        assert found.status == "interrupted"
        assert found.begun == (given is frames)
        cause = found.cause
        assert type(cause) is kind
        assert isinstance(cause, TokenGateError)
        assert (cause.code, cause.status, cause.retryable) == (word, None, retryable)


def test_a_broken_off_chunk_with_an_error() -> None:
    """The error object says more than the word."""
    broken = chat_frame({}, "error")
    broken["choices"][0]["error"] = {"code": 502, "message": "挤"}
    for frames in ([CHUNK, broken, DONE], [broken, DONE]):
        cause = same_however_cut("chat", body(frames)).cause
        assert isinstance(cause, ServerFailed)
        assert (cause.status, cause.message) == (502, "挤")


def test_one_choice_of_two_is_broken_off() -> None:
    """Then the reply is."""
    frames = [CHUNK, TWO, STOP, chat_frame({}, "abort", 1), DONE]
    found = same_however_cut("chat", body(frames))
    assert (found.status, type(found.cause)) == ("interrupted", ServerFailed)


def test_messages_paused_and_gemini_continued() -> None:
    """Both have a status of their own."""
    frames = saying("messages", "好")
    frames[-2]["delta"]["stop_reason"] = "pause_turn"
    assert same_however_cut("messages", body(frames)).status == "paused"
    continued = gemini_frame({"text": "好"}, finish="CONTINUATION")
    continued["candidates"][0]["continuationToken"] = "T1"
    assert same_however_cut("gemini", body([continued])).status == "paused"


@pytest.mark.parametrize("protocol", ["chat", "messages", "responses"])
def test_nothing_after_the_protocols_end_counts(protocol: str) -> None:
    """A second cycle, an error, garbage: nobody's."""
    frames = saying(protocol, *TEXTS)
    whole = read(protocol, [body(frames)])
    for more in (
        body(saying(protocol, "再来")),
        body([ERROR]),
        b"data: oops\n\n",
        b'{"error":1}\n',
    ):
        assert same_however_cut(protocol, body(frames) + more) == whole
        glued = body(frames)[:-2] + b"\n" + more + b"\n"
        assert same_however_cut(protocol, glued) == whole


def test_gemini_ends_with_its_body_alone() -> None:
    """STOP after a tool round, or in each chunk, ends nothing."""
    ran = {"executableCode": {"code": "1", "language": "PYTHON"}}
    frames = [gemini_frame(ran, finish="STOP"), gemini_frame({"text": "好"}, finish="STOP")]
    found = same_however_cut(
        "gemini", body([*frames, gemini_frame({"text": "吗"}, finish="STOP")])
    )
    assert (found.status, found.answer) == ("complete", "好吗")


# --- bodies that are no stream ------------------------------------------------------------------


@pytest.mark.parametrize("text", ["<html><title>502 Bad Gateway</title></html>", "{", '{"a":1}'])
def test_a_body_that_is_no_reply(text: str) -> None:
    """It is said what came."""
    found = same_however_cut("chat", text.encode())
    assert (found.status, type(found.cause)) == ("interrupted", WireError)


@pytest.mark.parametrize("text", ["hello", "retry: 3\n\n", "x\n\n"])
def test_a_body_of_other_text(text: str) -> None:
    """Neither events nor JSON."""
    cause = same_however_cut("chat", text.encode()).cause
    assert isinstance(cause, WireError)
    assert "expected an event stream or JSON" in cause.message


def test_plain_json_for_a_stream() -> None:
    """A gateway that ignores ``stream`` is answered for; several in one body are frames."""
    whole = {"choices": [{"message": {"content": "好"}, "finish_reason": "stop"}]}
    assert same_however_cut("chat", written(whole).encode()).answer == "好"
    assert same_however_cut("chat", json.dumps(whole, indent=2).encode()).answer == "好"
    found = same_however_cut("chat", (written(CHUNK) + "\n" + written(STOP)).encode())
    assert (found.status, found.answer) == ("complete", "好")
    error = same_however_cut("chat", written(ERROR).encode())
    assert isinstance(error.cause, Overloaded)


def test_what_a_body_is_said_to_be() -> None:
    """So that whoever reads the error knows what answered."""
    page = "<html><title>502 Bad Gateway</title></html>"
    told = {
        "hello": "expected an event stream or JSON, got 5 bytes of other text",
        '{"a":': "expected a JSON object, got 5 bytes that are not one (cut short?)",
        page: "expected an event stream or JSON, got an HTML page: 502 Bad Gateway",
        '"text"': "expected an event stream or JSON, got 6 bytes of other text",
        '{"choices":[]}x': "expected a JSON object, got 15 bytes that are not one (cut short?)",
        "[" * 230 + "]" * 230: (
            "expected a JSON object, got 460 bytes that are not one (cut short?)"
        ),
    }
    for mark in ("", "\ufeff"):
        for text, said in told.items():
            cause = same_however_cut("chat", f"{mark} \n{text}".encode()).cause
            assert isinstance(cause, WireError)
            size = str(len(f"{mark} \n{text}".encode()))
            expected = said.replace(" 5 bytes of", f" {size} bytes of")
            assert cause.message == expected.replace(" 6 bytes of", f" {size} bytes of")


def test_nothing_at_all_is_no_answer() -> None:
    """Nor is white space."""
    for data in (b"", b" \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"):
        found = same_however_cut("chat", data)
        assert (found.status, found.message) == (
            *("interrupted", "the stream ended before its first token"),
        )


# --- bounds -------------------------------------------------------------------------------------


def reading(protocol: str, most: int = 1 << 20, **settings: Any) -> Framing:
    decoder = find_protocol(protocol).decoder(DIALECTS["qwen"], Transcript())
    return Framing(decoder, {}, most=most, **settings)


def framed(protocol: str, *pieces: bytes, most: int = 1 << 20, **settings: Any) -> Framing:
    framing = reading(protocol, most, **settings)
    for piece in pieces:
        framing.feed(piece)
    framing.close()
    return framing


def test_a_reply_may_be_as_large_as_allowed() -> None:
    """Events and plain JSON alike; and not larger by one byte."""
    whole = {"choices": [{"message": {"content": "好"}, "finish_reason": "stop"}]}
    for data in (body([CHUNK, STOP, DONE]), written(whole).encode()):
        assert framed("chat", data, most=len(data)).failure is None
        framing = framed("chat", data[:20], data[20:], most=len(data) - 1)
        assert isinstance(framing.failure, WireError)
        assert framing.conclude().status == "interrupted"


def test_a_reply_that_is_larger_than_allowed() -> None:
    failure = framed("chat", b"data: {", b" " * 100, most=50).failure
    assert isinstance(failure, WireError)
    assert failure.message.startswith("expected a reply of at most 50 bytes")


def test_a_byte_order_mark_that_is_cut() -> None:
    data = b"\xef\xbb\xbf" + body([CHUNK, STOP, DONE])
    assert same_however_cut("chat", data).answer == "好"


@pytest.mark.parametrize("text", ["[" * 3_000 + "]" * 3_000, '{"a":' * 3_000 + "1" + "}" * 3_000])
def test_a_body_that_is_nested_too_deeply(text: str) -> None:
    cause = read("chat", [text.encode()]).cause
    assert isinstance(cause, WireError)
    assert "bytes that are not one" in cause.message


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[7]", "list"),
        ('{"b":1,"a":2}', "object with the keys a, b"),
        ("{}", "object with the keys -"),
        (written(dict.fromkeys("ihgfedcba")), "object with the keys a, b, c, d, e, f, g, h"),
    ],
)
def test_a_body_that_is_other_json(text: str, name: str) -> None:
    failure = framed("chat", text.encode()).failure
    assert isinstance(failure, WireError)
    assert failure.message == f"expected a reply, got a JSON {name}"


def test_an_event_without_a_type_where_each_has_one() -> None:
    log = framed("messages", b'data: {"a":1}\n\n').log
    assert [log.delta(at) for at in range(len(log))] == [
        UnknownDelta(0, "messages", "event without a type", {"a": 1})
    ]


def test_an_error_that_the_end_of_the_body_ends() -> None:
    failure = framed("chat", b'event: error\ndata: {"message":"x","code":429}').failure
    assert isinstance(failure, RateLimited)


def test_a_ready_call_that_changes_is_not_believed() -> None:
    """It may have been run by then."""
    call = {"index": 0, "id": "a", "function": {"name": "pay", "arguments": '{"a":1}'}}
    change = {"index": 0, "function": {"arguments": ',"b":2}'}}
    frames = [chat_frame({"tool_calls": [call]}), CHUNK, chat_frame({"tool_calls": [change]})]
    found = read("chat", [body([*frames, chat_frame({}, "tool_calls"), DONE])])
    assert found.status == "interrupted"
    assert found.message.endswith("a tool call went on after it was complete")
    assert [complete for *_, complete in found.calls] == [False]


def test_events_that_are_too_large_to_be_mended() -> None:
    """Nobody tries to read them again and again; what is lost is said."""
    large = b'data: {"choices":"' + b"x" * (5 << 18) + b"\n"
    framing = framed("chat", large, b'y"}\n\n', b"data: [DONE]\n\n", most=1 << 24)
    assert framing.log.skipped == 1
    many = b'data: {"choices":"x\n' + (b"y" * 1_000 + b"\n") * 500
    assert framed("chat", many, b"\n", body([CHUNK, STOP, DONE]), most=1 << 24).log.skipped == 1
