"""A transcript folded into a reply, and the value that its answer was to have."""

from typing import Any

import attrs
import pytest

from aiotokengate import ResponseInvalid, Usage
from aiotokengate._wire.dialects import DIALECTS, Dialect
from aiotokengate._wire.endings import Ending
from aiotokengate._wire.fold import fold, parsed_answer
from aiotokengate._wire.pack import BLOCK
from aiotokengate._wire.tokens import estimate_text
from aiotokengate._wire.transcript import (
    ANSWER,
    COMMENTARY,
    NOTE,
    REASONING,
    ChoiceState,
    Transcript,
)
from aiotokengate.types import (
    Attempt,
    Choice,
    Citation,
    Media,
    Reply,
    Status,
    Timeline,
    ToolCall,
    UnknownDelta,
)
from tests.support.common import About

PLAIN = DIALECTS["openai-compatible"]
IMAGE = "data:image/png;base64,AA=="


def log_of(*texts: tuple[int, int, str], expected: int = 1) -> Transcript:
    """Return a log with texts: the choice, the kind, the text."""
    log = Transcript(expected)
    for choice, kind, text in texts:
        log.put(log.choice(choice).index, kind, text)
    return log


def finish(log: Transcript, reason: str = "stop", ending: Ending = "finished") -> Transcript:
    """Have all choices claim to be finished."""
    for state in log.choices.values():
        log.finish(state, reason, ending)
    return log


def folded(log: Transcript, status: Status = "complete", dialect: Dialect = PLAIN) -> Reply:
    return fold(log, dialect, About(status))


def choice_of(log: Transcript, status: Status = "complete", dialect: Dialect = PLAIN) -> Choice:
    (choice,) = folded(log, status, dialect).choices
    return choice


# --- all of it ----------------------------------------------------------------------------------


def full_log() -> tuple[Transcript, ChoiceState]:
    log = Transcript()
    log.model, log.id, log.skipped = "qwen3-max", "c1", 0
    log.extra["provider"] = "p"
    log.notes.append("a remark")
    state = log.choice(0)
    log.put(0, REASONING, "想")
    log.put(0, COMMENTARY, "我查")
    log.put(0, COMMENTARY, "一下")
    log.put(0, ANSWER, f"![x]({IMAGE})")
    log.put(0, REASONING, "一想")
    log.put(0, ANSWER, "好👋")
    log.refuse(state, "不")
    log.refuse(state, "行")
    log.show(state, Media("audio", "https://example.com/a.mp3"))
    log.cite(state, Citation("https://example.com/一", "题"))
    log.tool_piece(state, {"id": "c", "function": {"name": "f", "arguments": '{"a":1}'}})
    log.unknown(0, "chat", "x", {"y": 1})
    log.count({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7})
    state.hear({"id": "au", "transcript": "你好"})
    state.keep_detail({"type": "reasoning.text", "text": "想"}, replace=False)
    state.keep_detail({"type": "reasoning.text", "text": "好"}, replace=False)
    state.reasoning_field, state.inline = "reasoning", "<think>想</think>"
    state.native = {"protocol": "chat", "content": []}
    state.logprobs.append({"token": "好"})
    state.extra |= {"z": 1, "thinking_blocks": [{"type": "thinking", "thinking": "想"}]}
    state.thoughts.append("好")
    return log, state


def test_everything_that_a_log_holds_is_in_the_reply() -> None:
    log, state = full_log()
    log.finish(state, "tool_calls", "calls")
    log.seal()
    about = About(
        "complete", 9, {"x": "y"}, "req-1", Timeline(sent=1.0), (Attempt("k1", 0.5, 200, None),)
    )
    assert fold(log, PLAIN, about) == Reply(
        choices=(
            Choice(
                index=0,
                answer=f"![x]({IMAGE})好👋",
                reasoning="想一想",
                refusal="不行",
                tool_calls=(ToolCall("c", "f", '{"a":1}'),),
                finish_reason="tool_calls",
                status="complete",
                logprobs=({"token": "好"},),
                media=(
                    Media("audio", "https://example.com/a.mp3"),
                    Media("image", IMAGE, "image/png"),
                ),
                citations=(Citation("https://example.com/一", "题"),),
                reasoning_field="reasoning",
                reasoning_details=[{"type": "reasoning.text", "text": "想好"}],
                inline="<think>想</think>",
                native={"protocol": "chat", "content": []},
                extra={
                    "z": 1,
                    "thinking_blocks": [{"type": "thinking", "thinking": "想好"}],
                    "audio": {"id": "au", "transcript": "你好"},
                    "unknown": [{"protocol": "chat", "type": "x", "data": {"y": 1}}],
                },
                commentary="我查一下",
            ),
        ),
        status="complete",
        usage=Usage(3, 4, 0, 0, 7, extra=log.counts or {}),
        model="qwen3-max",
        id="c1",
        request_id="req-1",
        headers={"x": "y"},
        extra={"provider": "p"},
        notes=("a remark",),
        timeline=Timeline(sent=1.0),
        attempts=(Attempt("k1", 0.5, 200, None),),
        skipped=0,
    )


def test_nothing_at_all_is_one_choice_that_says_nothing() -> None:
    assert folded(Transcript(), "interrupted") == Reply(
        (Choice(reasoning_details=[]),), usage=Usage(estimated=True)
    )


@pytest.mark.parametrize("count", [2, 3, 5])
def test_several_choices_in_their_order(count: int) -> None:
    """Each has its own texts, and its own of what is no text."""
    log = Transcript()
    for index in reversed(range(count)):
        state = log.choice(index)
        for kind, text in [(REASONING, "想"), (ANSWER, "答"), (COMMENTARY, "看")]:
            log.put(index, kind, f"{text}{index}")
            log.put(index, kind, "好")
        log.refuse(state, f"不{index}")
        log.cite(state, Citation(f"u{index}"))
        log.show(state, Media("image", f"i{index}"))
        log.unknown(index, "chat", f"t{index}", index)
    reply = folded(finish(log))
    assert reply.choices == tuple(
        Choice(
            index,
            f"答{index}好",
            f"想{index}好",
            f"不{index}",
            finish_reason="stop",
            status="complete",
            media=(Media("image", f"i{index}"),),
            citations=(Citation(f"u{index}"),),
            reasoning_details=[],
            extra={"unknown": [{"protocol": "chat", "type": f"t{index}", "data": index}]},
            commentary=f"看{index}好",
        )
        for index in range(count)
    )
    assert reply.choices[1].unknown == (UnknownDelta(1, "chat", "t1", 1),)


def test_a_choice_that_said_nothing_among_several() -> None:
    log = log_of((0, ANSWER, "甲"), (2, ANSWER, "丙"))
    log.choice(1)
    log.unknown(0, "chat", "x", 1)
    told = [(one.index, one.answer, one.reasoning, one.extra) for one in folded(log).choices]
    unknown = {"unknown": [{"protocol": "chat", "type": "x", "data": 1}]}
    assert told == [(0, "甲", "", unknown), (1, "", "", {}), (2, "丙", "", {})]


@pytest.mark.parametrize(
    ("ending", "asked", "status"),
    [
        *(("finished", "complete", "complete"), ("length", "interrupted", "complete")),
        *(("paused", "complete", "paused"), ("paused", "stopped", "paused")),
        *(("broken", "complete", "interrupted"), ("broken", "stopped", "stopped")),
        *((None, "complete", "interrupted"), (None, "stopped", "stopped")),
        *((None, "paused", "interrupted"), ("finished", "stopped", "complete")),
    ],
)
def test_the_status_of_a_choice(ending: Ending | None, asked: Status, status: Status) -> None:
    """What has claimed to be finished is; what has not is never complete."""
    log = log_of((0, ANSWER, "好"))
    if ending is not None:
        finish(log, "word", ending)
    reply = folded(log, asked)
    assert (reply.status, reply.choices[0].status) == (asked, status)
    assert reply.finish_reason == (None if ending is None else "word")


@pytest.mark.parametrize(
    ("field", "dialect", "echo"),
    [
        *((None, "qwen", None), ("reasoning", "qwen", "reasoning_content")),
        *(("reasoning", "openai-compatible", "reasoning"), ("reasoning_details", "qwen", None)),
        ("reasoning_details", "openai-compatible", None),
    ],
)
def test_the_field_that_carries_the_reasoning_back(
    field: str | None, dialect: str, echo: str | None
) -> None:
    """The one that the vendor reads, or that it came in; details go back as they are."""
    log = log_of((0, REASONING, "想"))
    log.choice(0).reasoning_field = field
    assert choice_of(log, dialect=DIALECTS[dialect]).reasoning_field == echo


def test_a_spoken_answer_alone_stands_beside_the_other_fields() -> None:
    log = Transcript()
    log.choice(0).extra["z"] = 1
    assert choice_of(log).extra is log.choice(0).extra
    log.choice(0).hear({"transcript": "好"})
    assert choice_of(log).extra == {"z": 1, "audio": {"transcript": "好"}}
    assert log.choice(0).extra == {"z": 1}


# --- usage --------------------------------------------------------------------------------------


def test_a_reply_that_is_not_over_has_its_counts() -> None:
    """A running total is worth more than an estimate."""
    log = Transcript()
    log.count({"total_tokens": 7})
    expected = Usage(total_tokens=7, extra={"total_tokens": 7})
    assert fold(log, DIALECTS["qwen"], About("interrupted", 5)).usage == expected


def test_an_estimate_where_no_usage_came() -> None:
    """Thinking is a part of the completion; commentary is said, as the answer is."""
    log = log_of((0, REASONING, "想一想"), (0, ANSWER, "你好，世界"), (0, COMMENTARY, "hello"))
    log.put(log.choice(1).index, REASONING, "hm")
    log.put(1, ANSWER, "👋")
    thought = estimate_text("想一想") + estimate_text("hm")
    said = sum(map(estimate_text, ["你好，世界", "hello", "👋"]))
    usage = fold(log, PLAIN, About("complete", 9)).usage
    assert usage == Usage(9, thought + said, thought, 0, 9 + thought + said, estimated=True)


def test_an_estimate_counts_what_was_dropped() -> None:
    log = log_of((0, REASONING, "想一想"), (0, ANSWER, "你好"))
    log.forgotten[:] = [100, 1_000]
    thought, said = 100 + estimate_text("想一想"), 1_000 + estimate_text("你好")
    usage = fold(log, PLAIN, About("complete")).usage
    assert usage == Usage(0, thought + said, thought, 0, thought + said, estimated=True)


def test_an_estimate_of_half_a_character() -> None:
    """A lone half of a character is a character."""
    usage = folded(log_of((0, ANSWER, "\ud83d")), "interrupted").usage
    assert (usage.completion_tokens, usage.estimated) == (1, True)


# --- media inside the text ----------------------------------------------------------------------

LINKS = {
    "none": ("[x](https://example.com)", []),
    "an image": ("看 ![image](data:image/png;base64,AA==) 好", ["data:image/png;base64,AA=="]),
    "two": ("[a](data:a)[b](data:b)", ["data:a", "data:b"]),
    "the same twice": ("[a](data:a) [a](data:a)", ["data:a", "data:a"]),
    "without a text": ("[](data:a)", ["data:a"]),
    "the shortest": ("[a](data:x)", ["data:x"]),
    "an empty address": ("[a](data:)", []),
    "no bracket before": ("a](data:a)", []),
    "a bracket that is closed before": ("[a] b](data:a)", []),
    "a bracket in the text": ("[a [b](data:a)", ["data:a"]),
    "cut": ("[a](data:a", []),
    "white space in the address": ("[a](data:a b)", []),
    "a newline in the address": ("[a](data:a\nb)", []),
    "a link behind one that is cut": ("[a](data:a [b](data:b)", ["data:b"]),
    "a link behind one that is empty": ("[a](data:) [b](data:b)", ["data:b"]),
    "a link within an address": ("[a](data:a[b](data:b)", ["data:a[b](data:b"]),
    "the bracket of a link is used once": ("[a](data:a)](data:b)", ["data:a"]),
    "the same bracket twice": ("[](data:](data:x)", ["data:](data:x"]),
    "among other brackets": (
        "](data:a) ![图](data:b) [a](data:c d) [x](y) [z [q](data:e)(data:f) [](data:) [](data:g",
        ["data:b", "data:e"],
    ),
    "at the end of a bracket": ("[a](data:a)b](data:b) [c](data:c)", ["data:a", "data:c"]),
}


@pytest.mark.parametrize("case", LINKS)
def test_links_to_data_inside_the_answer(case: str) -> None:
    """They are media as well; the answer stays as it is."""
    answer, addresses = LINKS[case]
    choice = choice_of(log_of((0, ANSWER, answer)))
    assert choice.answer == answer
    assert [medium.url for medium in choice.media] == addresses


def test_media_inside_the_text() -> None:
    """new-api writes what Gemini draws into the answer, as links that hold their data."""
    answer = f"看 ![image]({IMAGE}) 听 [media](data:audio/mp3;base64,AA==)"
    assert choice_of(log_of((0, ANSWER, answer))).media == (
        Media("image", IMAGE, "image/png"),
        Media("audio", "data:audio/mp3;base64,AA==", "audio/mp3"),
    )


# --- notes --------------------------------------------------------------------------------------

CUT = "thinking cut short: the reply ended inside the reasoning"
EMPTY = "empty: finished with 'stop' and nothing to show"
SPENT = "empty: finished with 'max_tokens' and nothing to show"
PAUSED = "paused by the vendor: send the reply's message back to go on"


@pytest.mark.parametrize(
    ("reason", "ending", "kinds", "notes"),
    [
        ("length", "length", (REASONING,), (CUT,)),
        ("length", "length", (REASONING, ANSWER), ()),
        ("length", "length", (ANSWER,), ()),
        ("length", "length", (NOTE,), ("empty: finished with 'length' and nothing to show",)),
        ("max_tokens", "length", (REASONING,), (SPENT,)),
        ("stop", "finished", (REASONING,), (EMPTY,)),
        ("stop", "finished", (REASONING, ANSWER), ()),
        ("stop", "finished", (), (EMPTY,)),
        ("pause", "paused", (), (PAUSED,)),
        ("pause", "paused", (ANSWER,), (PAUSED,)),
        ("error", "broken", (), ()),
    ],
)
def test_notes_on_how_it_ended(
    reason: str, ending: Ending, kinds: tuple[int, ...], notes: tuple[str, ...]
) -> None:
    log = log_of(*[(0, kind, "好") for kind in kinds])
    log.finish(log.choice(0), reason, ending)
    assert folded(log).notes == notes


def test_a_reply_that_ended_between_its_tags_is_cut() -> None:
    log = log_of((0, ANSWER, "好"))
    log.choice(0).truncated = True
    assert folded(log).notes == (CUT,)


def test_what_holds_for_several_choices_is_noted_once() -> None:
    log = log_of((0, REASONING, "想"), (1, REASONING, "想"))
    assert folded(finish(log, "length", "length")).notes == (CUT,)
    log = log_of((0, REASONING, "想"), (1, REASONING, "想"))
    assert folded(finish(log)).notes == (EMPTY,)
    log = log_of((0, ANSWER, "好"), (1, REASONING, "想"))
    assert folded(finish(log, "pause", "paused")).notes == (PAUSED,)
    log = log_of((0, ANSWER, "好"), (1, REASONING, "想"))
    assert folded(finish(log)).notes == (EMPTY,)


@pytest.mark.parametrize(
    ("expected", "came", "claims", "notes"),
    [
        (3, 2, True, ("fewer choices: 3 asked for, 2 came",)),
        (2, 2, True, ()),
        (1, 2, True, ()),
        (3, 2, False, ()),
    ],
)
def test_fewer_choices_than_were_asked_for(
    expected: int, came: int, claims: bool, notes: tuple[str, ...]
) -> None:
    """Said of what has ended."""
    log = log_of(*[(index, ANSWER, "好") for index in range(came)], expected=expected)
    if claims:
        finish(log)
    assert folded(log).notes == notes


def test_notes_in_their_order() -> None:
    log = log_of((0, ANSWER, "好"), expected=2)
    finish(log, "pause", "paused")
    log.skipped = 3
    log.notes += ["a remark", "another"]
    log.choice(0).truncated = True
    reply = folded(log)
    assert reply.skipped == 3
    assert reply.notes == (
        CUT,
        "frames skipped: 3 not readable as JSON objects",
        PAUSED,
        "fewer choices: 2 asked for, 1 came",
        "a remark",
        "another",
    )


def test_half_a_text_is_none() -> None:
    """What was dropped is not known, so what is left is not told for the whole."""
    log = Transcript(retain=False)
    for at in range(2 * BLOCK):
        log.put(log.choice(0).index, (REASONING, ANSWER, COMMENTARY)[at % 3], f"{at}")
    log.refuse(log.choice(0), "不")
    log.pack()
    log.forget(BLOCK)
    reply = folded(finish(log))
    (choice,) = reply.choices
    assert (choice.answer, choice.reasoning, choice.commentary) == ("", "", "")
    assert choice.refusal == "不"
    assert reply.notes == ("text not kept: what was read was dropped (retain=False)",)
    log = Transcript(retain=False)
    for _ in range(BLOCK):
        log.put(log.choice(0).index, ANSWER, "好")
    log.pack()
    log.forget(BLOCK)
    assert "empty" not in " ".join(folded(finish(log)).notes)


# --- the value of an answer ---------------------------------------------------------------------

ANSWERED = Reply((Choice(answer="七"),), "complete", request_id="req-1")


def refuse(answer: str) -> object:
    message = f"{answer} is no number"
    raise ResponseInvalid(message)


def fail(answer: str) -> object:
    raise KeyError(answer)


def test_an_answer_is_parsed() -> None:
    assert parsed_answer(ANSWERED, lambda answer: [answer]) == (["七"], None)


def test_a_turn_of_calls_has_no_value_yet() -> None:
    reply = attrs.evolve(ANSWERED, choices=(Choice(tool_calls=(ToolCall("c", "f", "{}"),)),))
    assert parsed_answer(reply, fail) == (None, None)


def invalid_of(reply: Reply, parse: Any) -> ResponseInvalid:
    value, invalid = parsed_answer(reply, parse)
    assert value is None
    assert invalid is not None
    assert (invalid.reply, invalid.request_id) == (reply, "req-1")
    return invalid


def test_an_answer_that_is_refused() -> None:
    invalid = invalid_of(ANSWERED, refuse)
    assert invalid.message == "七 is no number"
    assert invalid.__cause__ is None


def test_an_answer_with_frames_that_could_not_be_read() -> None:
    """It may lack what was in them."""
    invalid = invalid_of(attrs.evolve(ANSWERED, skipped=2), str)
    assert invalid.message == "frames of the reply could not be read: 2"


def test_a_type_that_raises_something_else() -> None:
    """It is the cause, with the place in the type's own code, and without the library's."""
    invalid = invalid_of(ANSWERED, fail)
    assert invalid.message == "the check of the answer's type raised KeyError"
    cause = invalid.__cause__
    assert isinstance(cause, KeyError)
    assert cause.__traceback__ is not None
    assert cause.__traceback__.tb_frame.f_code is fail.__code__
    assert cause.__traceback__.tb_next is None
