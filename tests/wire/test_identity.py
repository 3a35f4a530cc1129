"""Who a tool call is: every situation of the field, and what is next to it.

Strategy.  A situation is a list of pieces, as Chat Completions has them, and the calls that they
are: name, arguments, id.  ``...`` stands for an id of ours.  The deltas, put together by their
index, must say the same, and the ids must all differ.
"""

import json
from collections.abc import Iterator
from time import process_time
from types import EllipsisType
from typing import Any

import pytest

from aiotokengate import StreamInterrupted, TokenGate, ToolCall
from aiotokengate._wire.endings import ending_of
from aiotokengate._wire.identity import Call, Calls, alike, is_loose, parsed
from aiotokengate._wire.transcript import ANSWER, ChoiceState, Transcript
from aiotokengate.testing import FakeGateway, Gate, Raw
from aiotokengate.types import ToolCallDelta
from tests.support.streams import DONE, body, chat_frame, read

Piece = dict[str, Any]
Wanted = tuple[str, str, str | EllipsisType]


def piece(
    index: object = ..., call_id: object = ..., name: object = ..., arguments: object = ...
) -> Piece:
    """Return a piece with the given fields alone."""
    function = {"name": name, "arguments": arguments}
    given = {"index": index, "id": call_id}
    found: Piece = {key: value for key, value in given.items() if value is not ...}
    inner = {key: value for key, value in function.items() if value is not ...}
    return {**found, "function": inner} if inner else found


def log_of(pieces: list[Piece | str]) -> tuple[Transcript, ChoiceState]:
    """Return the transcript of pieces; a text among them is a piece of the answer."""
    log = Transcript()
    state = log.choice(0)
    for one in pieces:
        if isinstance(one, str):
            log.put(0, ANSWER, one)
        else:
            log.tool_piece(state, one)
    return log, state


def finished(log: Transcript, state: ChoiceState, word: str = "tool_calls") -> list[ToolCall]:
    ending = ending_of("chat", word)
    assert ending is not None
    log.finish(state, word, ending)
    log.seal()
    return list(log.tool_calls(state))


def joined(log: Transcript) -> list[list[str]]:
    """Put the deltas together by their index: id, name, arguments."""
    calls: dict[int, list[str]] = {}
    for delta in map(log.delta, range(len(log))):
        if isinstance(delta, ToolCallDelta):
            call = calls.setdefault(delta.index, ["", "", ""])
            for at, text in enumerate((delta.id, delta.name, delta.arguments)):
                call[at] += text
    return [calls[index] for index in sorted(calls)]


ODD_INDEXES: tuple[object, ...] = (..., None, -1, True, 0.5, "x", "", [], 10**30, "9" * 30)

SITUATIONS: dict[str, tuple[list[Piece | str], list[Wanted]]] = {
    # --- ids ---
    "id in the first piece alone": (
        [piece(0, "a", "f", ""), piece(0, None, None, '{"x"'), piece(0, "", arguments=":1}")],
        [("f", '{"x":1}', "a")],
    ),
    "id late": (
        [piece(0, name="f", arguments='{"x"'), piece(0, "a", arguments=":1}")],
        [("f", '{"x":1}', "a")],
    ),
    "id last of all": (
        [piece(0, name="f", arguments='{"x":1}'), piece(0, "a")],
        [("f", '{"x":1}', "a")],
    ),
    "id of a number": ([piece(0, 7, "f", '{"x":1}')], [("f", '{"x":1}', "7")]),
    "no id": ([piece(0, name="f", arguments='{"x":1}')], [("f", '{"x":1}', ...)]),
    "id that is the text null": ([piece(0, "null", "f", '{"x":1}')], [("f", '{"x":1}', ...)]),
    "ids change, no name": (
        [piece(0, "a", "f", ""), piece(0, "b", None, '{"x"'), piece(0, "c", arguments=":1}")],
        [("f", '{"x":1}', "a")],
    ),
    "ids change, name repeated": (
        [piece(0, "a", "f", '{"x"'), piece(0, "b", "f", ":"), piece(0, "c", "f", "1}")],
        [("f", '{"x":1}', "a")],
    ),
    "ids change, then a new call": (
        [piece(0, "a", "f", '{"x"'), piece(0, "b", "f", ":1}"), piece(0, "c", "f", '{"x":2}')],
        [("f", '{"x":1}', "a"), ("f", '{"x":2}', "c")],
    ),
    "one id for two": (
        [piece(0, "a", "f", '{"x":1}'), piece(1, "a", "g", '{"x":2}')],
        [("f", '{"x":1}', "a"), ("g", '{"x":2}', ...)],
    ),
    "one id for two, in pieces": (
        [
            *(piece(0, "a", "f", ""), piece(0, arguments='{"x":1}')),
            *(piece(1, "a", "f", ""), piece(1, arguments='{"x"'), piece(1, arguments=":1}")),
        ],
        [("f", '{"x":1}', "a"), ("f", '{"x":1}', ...)],
    ),
    "one id for two, begun together": (
        [
            *(piece(0, "a", "f", ""), piece(1, "a", "f", "")),
            *(piece(0, arguments='{"x":1}'), piece(1, arguments='{"x":2}')),
        ],
        [("f", '{"x":1}', "a"), ("f", '{"x":2}', ...)],
    ),
    "one id for two, id in each piece": (
        [
            *(piece(0, "a", "f", '{"x"'), piece(0, "a", arguments=":1}")),
            *(piece(1, "a", "f", '{"x"'), piece(1, "a", arguments=":2}")),
        ],
        [("f", '{"x":1}', "a"), ("f", '{"x":2}', ...)],
    ),
    "one id for three": (
        [piece(at, "a", "f", f'{{"x":{at}}}') for at in range(3)],
        [("f", '{"x":0}', "a"), ("f", '{"x":1}', ...), ("f", '{"x":2}', ...)],
    ),
    "one id and no index for two": (
        [piece(call_id="a", name="f", arguments=f'{{"x":{at}}}') for at in range(2)],
        [("f", '{"x":0}', "a"), ("f", '{"x":1}', ...)],
    ),
    # --- indexes ---
    "index drifts": (
        [piece(0, "a", "f", ""), piece(1, "a", arguments='{"x"'), piece(2, "a", arguments=":1}")],
        [("f", '{"x":1}', "a")],
    ),
    "index drifts, name repeated": (
        [piece(0, "a", "f", ""), piece(1, "a", "f", '{"x"'), piece(2, "a", "f", ":1}")],
        [("f", '{"x":1}', "a")],
    ),
    "index zero for all, own ids": (
        [piece(0, "a", "f", '{"x":1}'), piece(0, "b", "f", '{"x":1}')],
        [("f", '{"x":1}', "a"), ("f", '{"x":1}', "b")],
    ),
    "index zero for all, in pieces": (
        [
            *(piece(0, "a", "f", ""), piece(0, arguments='{"x"'), piece(0, arguments=":1}")),
            *(piece(0, "b", "f", ""), piece(0, arguments='{"x"'), piece(0, arguments=":2}")),
        ],
        [("f", '{"x":1}', "a"), ("f", '{"x":2}', "b")],
    ),
    "index zero for all, no parameters": (
        [piece(0, "a", "f", "{}"), piece(0, "b", "f", "{}"), piece(0, "c", "g", "")],
        [("f", "{}", "a"), ("f", "{}", "b"), ("g", "", "c")],
    ),
    "index zero for all, first without parameters": (
        [piece(0, "a", "f", "{}"), piece(0, "b", "f", '{"x":2}')],
        [("f", "{}", "a"), ("f", '{"x":2}', "b")],
    ),
    "index zero for all, no ids": (
        [piece(0, name="f", arguments='{"x":1}'), piece(0, name="f", arguments='{"x":2}')],
        [("f", '{"x":1}', ...), ("f", '{"x":2}', ...)],
    ),
    "index zero for all, no ids, other names": (
        [piece(0, name="f", arguments="{}"), piece(0, name="g", arguments='{"x":2}')],
        [("f", "{}", ...), ("g", '{"x":2}', ...)],
    ),
    "one id for two calls of other names, in turns": (
        [
            *(piece(0, "a", "f", '{"x":'), piece(1, "a", "g", '{"x":')),
            *(piece(0, arguments="1}"), piece(1, arguments="2}")),
        ],
        [("f", '{"x":1}', "a"), ("g", '{"x":2}', ...)],
    ),
    "index never seen": (
        [piece(0, "a", "f", ""), piece(1, arguments='{"x"'), piece(1, arguments=":1}")],
        [("f", '{"x":1}', "a")],
    ),
    "index never seen, second call": (
        [
            *(piece(0, "a", "f", ""), piece(1, arguments='{"x":1}')),
            *(piece(2, "b", "g", ""), piece(3, arguments='{"x":2}')),
        ],
        [("f", '{"x":1}', "a"), ("g", '{"x":2}', "b")],
    ),
    "index with gaps": (
        [piece(2, "a", "f", '{"x":1}'), piece(7, "b", "g", '{"x":2}')],
        [("f", '{"x":1}', "a"), ("g", '{"x":2}', "b")],
    ),
    "index as text": (
        [piece("0", "a", "f", '{"x"'), piece(0, arguments=":1}"), piece("1", "b", "g", "{}")],
        [("f", '{"x":1}', "a"), ("g", "{}", "b")],
    ),
    **{
        f"index {odd!r} for all": (
            [
                *(piece(odd, "a", "f", '{"x"'), piece(odd, arguments=":1}")),
                *(piece(odd, "b", "g", '{"x"'), piece(odd, arguments=":2}")),
            ],
            [("f", '{"x":1}', "a"), ("g", '{"x":2}', "b")],
        )
        for odd in ODD_INDEXES
    },
    "no index, no ids": (
        [piece(name="f", arguments='{"x":1}'), piece(name="f", arguments='{"x":1}')],
        [("f", '{"x":1}', ...), ("f", '{"x":1}', ...)],
    ),
    "no index, no ids, name repeated": (
        [piece(name="f", arguments='{"x"'), piece(name="f", arguments=":1}")],
        [("f", '{"x":1}', ...)],
    ),
    # --- names ---
    "name in pieces": (
        [piece(0, "a", "看", ""), piece(0, name="天"), piece(0, name="气", arguments='{"x":1}')],
        [("看天气", '{"x":1}', "a")],
    ),
    "name in pieces that grow": (
        [piece(0, "a", "get_"), piece(0, name="get_wea"), piece(0, name="get_weather")],
        [("get_weather", "", "a")],
    ),
    "name in every piece": (
        [piece(0, "a", "f", ""), piece(0, "a", "f", '{"x"'), piece(0, None, "f", ":1}")],
        [("f", '{"x":1}', "a")],
    ),
    "name that is no value later": (
        [
            *(piece(0, "a", "f", '{"x"'), piece(0, "null", "null", ":")),
            *(piece(0, "", "", "1"), piece(0, None, None, "}")),
        ],
        [("f", '{"x":1}', "a")],
    ),
    "name last": (
        [piece(0, "a", "", '{"x":1}'), piece(0, "a", "f", "")],
        [("f", '{"x":1}', "a")],
    ),
    # --- arguments ---
    "placeholder": (
        [piece(0, "a", "f", "{}"), piece(0, arguments='{"x"'), piece(0, arguments=":1}")],
        [("f", '{"x":1}', "a")],
    ),
    "placeholder null": (
        [piece(0, "a", "f", "null"), piece(0, arguments='{"x":1}')],
        [("f", '{"x":1}', "a")],
    ),
    "placeholders for both": (
        [
            *(piece(0, "a", "f", "{}"), piece(1, "b", "f", "{}")),
            *(piece(1, arguments='{"x":2}'), piece(0, arguments='{"x":1}')),
        ],
        [("f", '{"x":1}', "a"), ("f", '{"x":2}', "b")],
    ),
    "placeholder twice": (
        [piece(0, "a", "f", "{}"), piece(0, arguments="{}")],
        [("f", "{}", "a")],
    ),
    "no arguments": ([piece(0, "a", "f")], [("f", "", "a")]),
    "empty arguments": ([piece(0, "a", "f", "")], [("f", "", "a")]),
    "null arguments": ([piece(0, "a", "f", None), piece(0, None, None, None)], [("f", "", "a")]),
    "an object": ([piece(0, "a", "f", {"城": ["京"]})], [("f", '{"城":["京"]}', "a")]),
    "an object again": ([piece(0, "a", "f", {"x": 1})] * 2, [("f", '{"x":1}', "a")]),
    "whole arguments again": (
        [piece(0, "a", "f", '{"x"'), piece(0, arguments=":1}"), piece(0, arguments='{"x": 1}')],
        [("f", '{"x":1}', "a")],
    ),
    "whole arguments again, with name and id": (
        [piece(0, "a", "f", '{"x"'), piece(0, arguments=":1}"), piece(0, "a", "f", '{"x": 1}')],
        [("f", '{"x":1}', "a")],
    ),
    "whole arguments four times": ([piece(0, "a", "f", '{"x":1}')] * 4, [("f", '{"x":1}', "a")]),
    "whole arguments again, of both": (
        [piece(0, "a", "f", '{"x":1}'), piece(1, "b", "g", '{"x":2}')] * 2,
        [("f", '{"x":1}', "a"), ("g", '{"x":2}', "b")],
    ),
    "equal pieces": (
        [piece(0, "a", "f", '{"x":"'), *[piece(0, arguments="哈")] * 3, piece(0, arguments='"}')],
        [("f", '{"x":"哈哈哈"}', "a")],
    ),
    "equal pieces that close": (
        [piece(0, "a", "f", '{"x":{"y":{}'), *[piece(0, arguments="}")] * 2],
        [("f", '{"x":{"y":{}}}', "a")],
    ),
    "a character in halves": (
        [piece(0, "a", "f", '{"x":"\ud83d'), piece(0, arguments='\ude00"}')],
        [("f", '{"x":"😀"}', "a")],
    ),
    # --- several ---
    "interleaved": (
        [
            *(piece(0, "a", "f", ""), piece(1, "b", "g", "")),
            *(piece(0, arguments='{"x"'), piece(1, arguments='{"x"')),
            *(piece(0, arguments=":1}"), piece(1, arguments=":2}")),
        ],
        [("f", '{"x":1}', "a"), ("g", '{"x":2}', "b")],
    ),
    "interleaved by id alone": (
        [
            *(piece(None, "a", "f", ""), piece(None, "b", "g", "")),
            *(piece(None, "a", arguments='{"x":1}'), piece(None, "b", arguments='{"x":2}')),
        ],
        [("f", '{"x":1}', "a"), ("g", '{"x":2}', "b")],
    ),
    "text between": (
        [piece(0, "a", "f", '{"x"'), "好", piece(0, arguments=":1}"), "吗"],
        [("f", '{"x":1}', "a")],
    ),
    "said again after text": (
        [piece(0, "a", "f", '{"x":1}'), "好", piece(0, "a", "f", '{"x":1}')],
        [("f", '{"x":1}', "a")],
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_who_a_call_is(name: str) -> None:
    """By its situation; the deltas say the same, and no id is there twice."""
    pieces, wanted = SITUATIONS[name]
    log, state = log_of(pieces)
    calls = finished(log, state)
    assert [(call.name, call.arguments) for call in calls] == [one[:2] for one in wanted]
    assert all(call.complete for call in calls)
    ids = [call.id for call in calls]
    assert len(set(ids)) == len(ids)
    assert all(ids)
    assert all(own in (..., came) for came, (*_, own) in zip(ids, wanted, strict=True))
    assert joined(log) == [[call.id, call.name, call.arguments] for call in calls]
    assert not state.calls.conflict


BEGUN = [name for name, (_, wanted) in SITUATIONS.items() if len(wanted[-1][1]) > 2]


@pytest.mark.parametrize("name", BEGUN)
def test_the_same_with_a_change_behind_it(name: str) -> None:
    """What no piece of the situation did is done by one more: the calls are no longer sure."""
    pieces, _ = SITUATIONS[name]
    log, state = log_of([*pieces, "然后"])
    ready = [log.ready_call(state, place) for place in range(len(state.calls))]
    assert ready[-1] is not None
    log.tool_piece(state, piece(arguments="}"))
    assert state.calls.conflict
    assert not any(call.complete for call in finished(log, state))


# --- when a call may be run ---------------------------------------------------------------------


def test_a_call_is_ready_once_something_else_comes() -> None:
    """Not while its arguments merely parse; a placeholder is none."""
    log, state = log_of([piece(0, "a", "f", '{"x":1}')])
    assert log.ready_call(state, 0) is None
    log.tool_piece(state, piece(1, "b", "g", "{}"))
    first = log.ready_call(state, 0)
    assert first is not None
    assert (first.id, first.arguments, first.complete) == ("a", '{"x":1}', True)
    log.put(0, ANSWER, "好")
    assert log.ready_call(state, 1) is None
    assert log.ready_call(state, 2) is None
    assert [call.complete for call in finished(log, state)] == [True, True]


@pytest.mark.parametrize("cut", range(1, 22))
def test_raw_control_characters_in_the_strings_of_arguments(cut: int) -> None:
    """They are escaped, wherever the pieces are cut; those between the strings are white space."""
    text = '{\n "x":\t"一\t二\n\\t\x01"\n}'
    pieces: list[Piece | str] = [piece(0, "a", "f", text[:cut]), piece(0, arguments=text[cut:])]
    log, state = log_of(pieces)
    (call,) = finished(log, state)
    assert (call.complete, call.parse()) == (True, {"x": "一\t二\n\t\x01"})
    assert call.arguments == '{\n "x":\t"一\\u0009二\\u000a\\t\\u0001"\n}'
    assert joined(log) == [["a", "f", call.arguments]]


def test_raw_control_characters_are_no_contradiction() -> None:
    """The whole arguments again, raw, are the same ones: as a piece, and in a closing event."""
    raw = '{"x":"一\t二"}'
    again: list[Piece | str] = [piece(0, "a", "f", raw), piece(0, arguments=raw)]
    (call,) = finished(*log_of(again))
    assert call.parse() == {"x": "一\t二"}
    calls = Calls(str)
    calls.begin("k", "a", "f")
    calls.add("k", raw, lambda _: False)
    calls.finish("k", raw)
    assert not calls.all[0].doubted


def test_half_a_call_is_never_ready() -> None:
    """Whatever comes after it, and whatever ends the reply."""
    log, state = log_of([piece(0, "a", "f", '{"x":'), "好", piece(1, "b", "g", '{"y":1}'), "吗"])
    assert log.ready_call(state, 0) is None
    assert log.ready_call(state, 1) is not None
    assert [call.complete for call in finished(log, state)] == [False, True]


@pytest.mark.parametrize("arguments", ["", "{}"])
def test_no_arguments_at_a_limit(arguments: str) -> None:
    """A call that was cut before its arguments is not one without arguments."""
    log, state = log_of([piece(0, "a", "f", ""), *([piece(0, arguments=arguments)] * 2)])
    calls = finished(log, state, "length")
    assert [call.complete for call in calls] == [bool(arguments)]


@pytest.mark.parametrize("arguments", ["[1]", '"x"', "7", "x", '{"x":1}}', '{"x":1} {"y":2}'])
def test_arguments_that_are_no_object(arguments: str) -> None:
    """They are not ready before the end; what is JSON by then is the caller's to judge."""
    log, state = log_of([piece(0, "a", "f", arguments), "好"])
    assert log.ready_call(state, 0) is None
    assert [call.complete for call in finished(log, state)] == [arguments in ("[1]", '"x"', "7")]


def test_white_space_after_a_ready_call_is_no_change() -> None:
    """Nor is what says the same once more."""
    log, state = log_of([piece(0, "a", "f", '{"x":1}'), "好", piece(0, arguments=" \n")])
    assert not state.calls.conflict
    assert [call.complete for call in finished(log, state)] == [True]


def test_a_ready_call_that_changes_breaks_the_reply() -> None:
    """A call may have been run by then."""
    call = piece(0, "a", "f", '{"x":1}')
    frames = [chat_frame({"tool_calls": [call]}), chat_frame({"content": "好"})]
    change = chat_frame({"tool_calls": [piece(0, arguments=',"y":2}')]})
    found = read("chat", [body([*frames, change, chat_frame({}, "tool_calls"), DONE])])
    assert (found.status, found.message) == (
        "interrupted",
        "the reply was interrupted: a tool call went on after it was complete",
    )
    assert [complete for *_, complete in found.calls] == [False]


async def test_calls_are_handed_out_before_the_end(gateway: FakeGateway, gate: TokenGate) -> None:
    """The first as soon as the second begins; a later change of it interrupts the reply."""
    rest = Gate()
    frames = [
        chat_frame({"tool_calls": [piece(0, "a", "f", '{"x":1}')]}),
        chat_frame({"tool_calls": [piece(1, "b", "g", "")]}),
    ]
    change = [chat_frame({"tool_calls": [piece(0, arguments="}")]}), chat_frame({}, "stop"), DONE]
    gateway.script(Raw(body=[body(frames), rest, body(change)]))
    async with gate.chat("m", "嗨") as stream:
        calls = stream.tool_calls
        first = await anext(calls)
        assert (first.id, first.parse()) == ("a", {"x": 1})
        rest.open()
        with pytest.raises(StreamInterrupted, match="went on after it was complete"):
            await anext(calls)


# --- items and blocks ---------------------------------------------------------------------------


def keyed() -> tuple[Transcript, ChoiceState]:
    log = Transcript()
    return log, log.choice(0)


def test_a_call_with_a_key_of_its_own() -> None:
    """It is begun once, goes on under its key, and is ready when it is closed."""
    log, state = keyed()
    log.begin_call(state, "k", "a", "f")
    log.begin_call(state, "k", "b", "g")
    log.add_to_call(state, "k", '{"x":')
    log.add_to_call(state, "unknown", "{}")
    assert log.ready_call(state, 0) is None
    log.finish_call(state, "k", '{"x":1}')
    log.finish_call(state, "unknown", "{}")
    first = log.ready_call(state, 0)
    assert first is not None
    assert (first.id, first.name, first.arguments) == ("a", "f", '{"x":1}')
    assert joined(log) == [["a", "f", '{"x":1}']]
    assert not state.calls.conflict


def test_a_closed_call_that_goes_on() -> None:
    """It is a change of what may have been run."""
    log, state = keyed()
    log.begin_call(state, "k", "a", "f")
    log.finish_call(state, "k", "{}")
    log.add_to_call(state, "k", '{"x":1}')
    assert state.calls.conflict


@pytest.mark.parametrize(
    ("pieces", "final", "arguments", "complete"),
    [
        ((), '{"x":1}', '{"x":1}', True),
        (('{"x"',), '{"x":1}', '{"x":1}', True),
        (('{"x":1}',), '{"x": 1}', '{"x":1}', True),
        (('{"x":1}',), None, '{"x":1}', True),
        (('{"x":1}',), "", '{"x":1}', True),
        (('{"x":1}',), '{"x":2}', '{"x":1}', False),
        (('{"x"',), "{}", '{"x"', False),
        ((), None, "", True),
        ((), "{}", "{}", True),
        (("{}",), '{"x":1}', '{"x":1}', True),
        ((), {"x": 1}, '{"x":1}', True),
    ],
)
def test_what_a_closing_event_says(
    pieces: tuple[str, ...], final: object, arguments: str, complete: bool
) -> None:
    """It completes what the pieces said; where it says something else the call is doubted."""
    log, state = keyed()
    log.begin_call(state, "k", "a", "f")
    for fragment in pieces:
        log.add_to_call(state, "k", fragment)
    log.finish_call(state, "k", final)
    log.finish_call(state, "k", final)
    call = log.tool_call(state, state.calls.all[0])
    assert (call.arguments, call.complete) == (arguments, complete)
    assert joined(log) == [["a", "f", arguments]]


def test_one_id_under_two_keys() -> None:
    """Two calls; the second gets an id of ours."""
    log, state = keyed()
    for key in ("k1", "k2"):
        log.begin_call(state, key, "a", "f")
        log.finish_call(state, key, "{}")
    assert [call.wire_id for call in state.calls] == ["a", "a"]
    ids = [call.id for call in finished(log, state)]
    assert ids[0] == "a"
    assert len(set(ids)) == 2


def test_free_text_is_whole_when_it_is_closed() -> None:
    """It need not be JSON, and braces in it are no placeholder."""
    log, state = keyed()
    log.begin_call(state, "k", "a", "f", "custom")
    for fragment in ("{}", "{}", "print(", ")"):
        log.add_to_call(state, "k", fragment)
    assert log.ready_call(state, 0) is None
    log.finish_call(state, "k")
    call = log.ready_call(state, 0)
    assert call is not None
    assert (call.arguments, call.kind) == ("{}{}print()", "custom")


# --- ids of ours --------------------------------------------------------------------------------


def test_no_id_of_ours_is_made_twice() -> None:
    """Nor one that the vendor has given."""
    made = iter(["call_a", "call_b", "call_c"])
    calls = Calls(lambda: next(made))
    for at in range(2):
        calls.piece(piece(at, name="f", arguments='{"x":1}'), lambda _: False)
    for call in calls:
        calls.identify(call)
        calls.identify(call)
    assert [call.id for call in calls] == ["call_a", "call_b"]


def test_ids_differ_over_choices() -> None:
    """The calls of all choices of a reply."""
    frames = []
    for index in range(3):
        call = piece(0, name="f", arguments="{}")
        frames += [chat_frame({"tool_calls": [call]}, index=index)]
        frames += [chat_frame({}, "tool_calls", index)]
    reply = read("chat", [body([*frames, DONE])], most=3).reply
    ids = {call.id for choice in reply.choices for call in choice.tool_calls}
    assert len(ids) == 3


# --- cost ---------------------------------------------------------------------------------------


def seconds(pieces: list[Piece]) -> float:
    """Return the least of three runs."""

    def once() -> float:
        began = process_time()
        log, state = log_of(list(pieces))
        finished(log, state)
        return process_time() - began

    return min(once() for _ in range(3))


def many(count: int) -> Iterator[Piece]:
    for at in range(count):
        yield piece(at, f"id{at}", "f", "")
        yield piece(at, arguments=json.dumps({"x": at}))


def long(count: int) -> Iterator[Piece]:
    yield piece(0, "a", "f", '{"x":[')
    for _ in range(count):
        yield piece(0, arguments="{},")
    yield piece(0, arguments="0]}")


@pytest.mark.parametrize("way", [many, long])
def test_linear_time(way: Any) -> None:
    """Four times the pieces take about four times as long: 3,000 calls, or a call of 12,000."""
    small, large = list(way(750)), list(way(3000))
    assert seconds(large) < 10 * seconds(small) + 0.02


# --- a call by itself ---------------------------------------------------------------------------


def taken(*fragments: str, kind: str = "function") -> tuple[Call, list[str]]:
    """Return a call with fragments of arguments, and what of each was certain and new."""
    call = Call(kind)
    return call, [call.take(fragment) for fragment in fragments]


def test_a_new_call_knows_nothing() -> None:
    call = Call()
    assert (call.id, call.wire_id, call.name, call.kind, call.index) == (
        "",
        "",
        "",
        "function",
        None,
    )
    assert (call.name_size, call.size, call.spoke_at, call.extra) == (0, 0, 0, {})
    assert (call.closed, call.doubted, call.told, call.begun, call.held, call.whole) == (
        False,
    ) * 6
    assert (call.blank, call.bare, call.readable) == (True, True, False)
    assert (call.arguments, call.so_far, call.rest()) == ("", "", "")
    assert (Call("custom", 3).kind, Call("custom", 3).index) == ("custom", 3)


@pytest.mark.parametrize("placeholder", ["{}", "null", " {} ", "null\n"])
def test_a_placeholder_is_held_back(placeholder: str) -> None:
    call, news = taken(placeholder)
    assert (news, call.arguments, call.so_far, call.size) == ([""], "{}", "", 0)
    assert (call.held, call.begun, call.bare, call.whole) == (True, False, False, False)
    assert (call.rest(), call.held, call.arguments, call.size) == ("{}", False, "{}", 2)
    call, news = taken(placeholder, '{"x":1}')
    assert (news, call.arguments, call.held, call.rest()) == (
        ["", '{"x":1}'],
        '{"x":1}',
        False,
        "",
    )
    text, news = taken(placeholder, kind="custom")
    assert (news, text.held, text.arguments) == ([placeholder], False, placeholder)


def test_a_placeholder_behind_arguments_is_part_of_them() -> None:
    assert taken('{"x":', "{}", "}")[1] == ['{"x":', "{}", "}"]


def test_what_is_whole_and_stays_so() -> None:
    call = Call()
    for fragment, whole in (
        *(('{"x"', False), (':"}"', False), ("}", True), (" \n", True), ("x", False)),
        (" ", False),
    ):
        call.take(fragment)
        assert (call.whole, call.whole) == (whole, whole)
    assert (call.arguments, call.size) == ('{"x":"}"} \nx ', 13)
    for fragments in (["[1]"], ["7"], ['{"x":1', "]"], ['{"x":01}'], ["{'x':1}"]):
        assert not taken(*fragments)[0].whole
    assert not taken('{"x":1}', kind="custom")[0].whole


def test_what_is_blank_and_what_can_be_read() -> None:
    call = Call()
    for fragment, blank, readable in (
        *((" ", True, False), ("7", False, True), ("\n", False, True), ("x", False, False)),
        (" ", False, False),
    ):
        call.take(fragment)
        assert (call.blank, call.readable, call.readable) == (blank, readable, readable)


@pytest.mark.parametrize(
    ("again", "news"),
    [
        ('{"x":1}', ""),
        ('{ "x": 1 } ', ""),
        ('{"x":2}', '{"x":2}'),
        ('{"x":1', '{"x":1'),
        ("[1]", "[1]"),
        ("1}", "1}"),
    ],
)
def test_arguments_that_come_again(again: str, news: str) -> None:
    call, _ = taken('{"x"', ":1}")
    assert call.repeats(again) is (news == "")
    assert call.repeats(again) is (news == "")
    assert (call.take(again), call.arguments) == (news, '{"x":1}' + news)
    assert not Call().repeats(again)
    assert not taken('{"x"')[0].repeats('{"x"')
    text, _ = taken('{"x":1}', kind="custom")
    assert text.take('{"x":1}') == '{"x":1}'


def test_halves_of_a_character_wait_for_each_other() -> None:
    call, news = taken('{"x":"\ud83c', '\udf38"}')
    assert (news, call.arguments, call.whole) == (['{"x":"', '🌸"}'], '{"x":"🌸"}', True)
    call, news = taken("a", "\ud83c")
    assert (news, call.rest(), call.arguments, call.size) == (["a", ""], "\ufffd", "a\ufffd", 2)
    assert (call.rest(), taken("")[1], taken("水", "木")[1]) == ("", [""], ["水", "木"])


def test_raw_control_characters_are_escaped_within_strings_alone() -> None:
    _, news = taken('{"x":\n"a\nb', "\t", '"\n}\n')
    assert news == ['{"x":\n"a\\u000ab', "\\u0009", '"\n}\n']
    assert taken("a\nb", kind="custom")[1] == ["a\nb"]


@pytest.mark.parametrize(
    ("pieces", "news"),
    [
        (["查", "查"], ["查", ""]),
        (["查", "查找"], ["查", "找"]),
        (["查", "找"], ["查", "找"]),
        (["查", "其他"], ["查", "其他"]),
        (["查找", "查"], ["查找", "查"]),
        (["查", "找", "查找"], ["查", "找", ""]),
        (["查", "找", "查找到"], ["查", "找", "到"]),
        (["", "查", ""], ["", "查", ""]),
    ],
)
def test_names_in_pieces(pieces: list[str], news: list[str]) -> None:
    call = Call()
    assert [call.named(piece) for piece in pieces] == news
    assert (call.name, call.name_size) == ("".join(news), len("".join(news)))
    assert call.is_named("".join(news))
    assert not call.is_named("别" * call.name_size)
    call.take("{")
    assert call.named("后") == ""
    nameless, _ = taken("{")
    assert nameless.named("后") == "后"


# --- all that is told of a piece ----------------------------------------------------------------


def made() -> Calls:
    """Return calls whose own ids are numbered."""
    ids = (f"ours-{number}" for number in range(100))
    return Calls(lambda: next(ids))


def silent(_: Call) -> bool:
    return False


def spoke(_: Call) -> bool:
    return True


def test_what_pieces_tell() -> None:
    calls = made()
    told = [
        calls.piece(one, silent)
        for one in (
            piece(0, "a", "f", '{"x"'),
            piece(0, "a", "f", ":1}"),
            piece(1, None, "g", "{}"),
            piece(1, "b", None, {"y": 2}),
            piece("1", None, None, None),
            {"index": 2, "id": "c", "custom": {"name": "h", "input": "甲", "arguments": "x"}},
        )
    ]
    assert told == [
        (0, "a", "f", '{"x"'),
        (0, "", "", ":1}"),
        (1, "", "g", ""),
        (1, "b", "", '{"y":2}'),
        (1, "", "", ""),
        (2, "c", "h", "甲"),
    ]
    assert [call.kind for call in calls] == ["function", "function", "custom"]
    assert [call.index for call in calls] == [0, 1, 2]
    assert (len(calls), calls.conflict) == (3, False)


def test_fields_that_have_no_name_are_kept() -> None:
    calls = made()
    calls.piece({**piece(0, "a", "f"), "type": "function", "mood": 1, "empty": None}, silent)
    calls.piece({**piece(0), "mood": 0, "custom": None, "later": "x"}, silent)
    (call,) = calls
    assert call.extra == {"mood": 1, "later": "x"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((7, "7"), (-7, "-7"), (10**18 - 1, "9" * 18), (1 - 10**18, "-" + "9" * 18)),
        *((10**18, ""), (-(10**18), ""), (True, ""), (1.5, ""), (None, ""), ([], "")),
        *(("null", ""), ("None", ""), ("", ""), ("nul", "nul")),
    ],
)
def test_which_ids_and_names_are_some(value: object, text: str) -> None:
    assert made().piece(piece(0, value, value), silent) == (0, text, text, "")


@pytest.mark.parametrize(
    ("more", "conflict"),
    [
        (piece(0, arguments="x"), True),
        (piece(0, arguments=" "), False),
        (piece(0, arguments='{"x": 1}'), False),
        (piece(0, "b"), False),
        (piece(0), False),
    ],
)
def test_a_change_of_a_call_that_was_ready(more: Piece, conflict: bool) -> None:
    for said, changes in ((spoke, conflict), (silent, False)):
        calls = made()
        calls.piece(piece(0, "a", "f", '{"x":1}'), said)
        calls.piece(more, said)
        assert (len(calls), calls.conflict) == (1, changes)
    calls = made()
    calls.piece(piece(0, "a", "f", '{"x"'), spoke)
    calls.piece(piece(0, arguments=":1}"), spoke)
    assert not calls.conflict


def test_an_id_that_is_taken_is_replaced_by_one_of_ours() -> None:
    calls = made()
    calls.piece(piece(0, "a", "f", '{"x":1}'), silent)
    assert calls.piece(piece(1, "a", "g", '{"x":2}'), silent) == (1, "ours-0", "g", '{"x":2}')
    assert [(call.id, call.wire_id, call.told) for call in calls] == [
        ("a", "a", True),
        ("ours-0", "a", True),
    ]
    assert calls.piece(piece(1, "a", None, " "), silent) == (1, "", "", " ")
    assert calls.piece(piece(None, "a", None, " "), silent) == (0, "", "", " ")


def test_calls_under_keys_of_their_own() -> None:
    calls = made()
    assert calls.begin("k", "a", "f") == (0, "a", "f", "")
    assert calls.begin("k", "b", "g") is None
    assert calls.begin("l", "", "g", "custom") == (1, "", "g", "")
    assert calls.add("k", '{"x"', silent) == (0, "", "", '{"x"')
    assert calls.add("l", "甲", silent) == (1, "", "", "甲")
    assert (calls.add("m", "x", silent), calls.finish("m"), calls.get("m")) == (None, None, None)
    assert calls.finish("k", '{"x":1}') == (0, "", "", ":1}")
    assert calls.finish("k", '{"x":2}') is None
    assert calls.finish("l") == (1, "ours-0", "", "")
    first, second = calls
    assert (calls.get("k"), calls.get("l")) == (first, second)
    assert (first.closed, first.doubted, first.arguments) == (True, False, '{"x":1}')
    assert (second.closed, second.kind, second.id, second.told) == (True, "custom", "ours-0", True)
    assert not calls.conflict
    assert calls.add("k", "x", silent) == (0, "", "", "x")
    assert calls.conflict


@pytest.mark.parametrize(
    ("kind", "final", "doubted"),
    [
        ("function", '{"x":2}', True),
        ("function", '{ "x": 1 }', False),
        ("function", {"x": 1}, False),
        ("function", "", False),
        ("custom", '{ "x": 1 }', True),
    ],
)
def test_arguments_that_were_said_in_two_ways(kind: str, final: object, doubted: bool) -> None:
    calls = made()
    calls.begin("k", "a", "f", kind)
    calls.add("k", '{"x":1}', silent)
    assert calls.finish("k", final) is None
    assert [(call.doubted, call.arguments) for call in calls] == [(doubted, '{"x":1}')]


def test_what_is_settled_at_the_end() -> None:
    calls = made()
    calls.piece(piece(0, "a", "f", "{}"), silent)
    calls.piece(piece(1, None, "g", '{"x":"\ud83c'), silent)
    first, second = calls
    assert calls.settle(first) == (0, "", "", "{}")
    assert calls.settle(second) == (1, "ours-0", "", "\ufffd")
    assert calls.settle(first) is calls.settle(second) is None
    calls.identify(first)
    assert [call.id for call in calls] == ["a", "ours-0"]


def test_an_id_of_ours_is_nobody_elses() -> None:
    calls = made()
    calls.piece(piece(0, None, "f", '{"x":1}'), silent)
    (first,) = calls
    calls.identify(first)
    assert (first.id, first.told) == ("ours-0", False)
    assert calls.piece(piece(1, "ours-0", "g"), silent) == (1, "ours-1", "g", "")


# --- texts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "loose"),
    [
        ('{"x":1}', {"x": 1}, False),
        ('{\n"x":1}', {"x": 1}, False),
        ('{"x":"a\nb"}', {"x": "a\nb"}, True),
        ('{"x":"\x1f"}', {"x": "\x1f"}, True),
        ('{"x":"a b"}', {"x": "a b"}, False),
        ("x", None, False),
        ("x\n", None, True),
        ("", None, False),
        ('"\n' + "[" * 100_000, None, True),
        ("\n" + "[" * 100_000, None, True),
    ],
)
def test_what_a_text_says(text: str, value: object, loose: bool) -> None:
    assert (parsed(text), is_loose(text)) == (value, loose)


def test_what_says_the_same() -> None:
    deep: list[Any] = []
    other: list[Any] = []
    for _ in range(100_000):
        deep, other = [deep], [other]
    assert alike({"x": [1]}, {"x": [1.0]})
    assert not alike({"x": 1}, {"x": 2})
    assert not alike(deep, other)
    while deep:  # taken apart from outside, since freeing it recurses
        deep, other = deep[0], other[0]
