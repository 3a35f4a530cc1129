"""The log of one reply: its entries in order, who has claimed to be finished, and its calls."""

from collections.abc import Callable
from itertools import count, product
from typing import Any, TypeAlias

import pytest

from aiotokengate import Usage
from aiotokengate._wire.endings import Ending
from aiotokengate._wire.pack import BLOCK
from aiotokengate._wire.tokens import estimate_text
from aiotokengate._wire.transcript import (
    ANSWER,
    BREAK,
    COMMENTARY,
    KINDS,
    NOTE,
    REASONING,
    ChoiceState,
    Transcript,
)
from aiotokengate.types import (
    AnswerDelta,
    Citation,
    CitationDelta,
    CommentaryDelta,
    Delta,
    FinishDelta,
    Media,
    MediaDelta,
    ReasoningDelta,
    RefusalDelta,
    ToolCall,
    ToolCallDelta,
    UnknownDelta,
    UsageDelta,
)

DAMAGED = "damaged characters: what was not whole was replaced by U+FFFD"
SOURCE = CitationDelta(Citation("https://example.com"))


def deltas(log: Transcript) -> list[Delta]:
    return [log.delta(at) for at in range(log.first, len(log))]


# --- entries ------------------------------------------------------------------------------------


def test_an_entry_is_a_text_or_a_delta_and_has_a_kind() -> None:
    """The kind holds the choice, too; a delta of a text is made for whoever asks."""
    log = Transcript()
    log.put(0, REASONING, "想")
    log.put(0, ANSWER, "答")
    log.put(2, COMMENTARY, "看")
    log.put(1, NOTE, SOURCE)
    log.put(1, ANSWER, "👋")
    assert log.kinds == [0, 1, 12, 9, 6]
    assert log.items == ["想", "答", "看", SOURCE, "👋"]
    assert deltas(log) == [
        ReasoningDelta("想"),
        AnswerDelta("答"),
        CommentaryDelta("看", 2),
        SOURCE,
        AnswerDelta("👋", 1),
    ]
    assert (len(log), log.base, log.first) == (5, 0, 0)


def test_a_log_begins_empty() -> None:
    log = Transcript()
    assert (len(log), log.expected, log.retain, log.asked, log.model, log.id) == (
        *(0, 1, True, "", "", ""),
    )
    assert (log.created, log.claimed, log.signs, log.skipped, log.late_word) == (0, 0, 0, 0, "")
    assert (log.counts, log.usage, log.notes, log.extra, log.forgotten) == (
        *(None, None, [], {}, [0, 0]),
    )
    assert log.plain
    assert not any((log.begun, log.sealed, log.complete, log.settled, log.doubtful))
    other = Transcript(3, retain=False, asked="qwen3")
    assert (other.expected, other.retain, other.asked) == (3, False, "qwen3")


CYCLE: list[tuple[int, int, Any]] = [
    (0, REASONING, "想{}·"),
    (0, ANSWER, "答{}·"),
    (0, COMMENTARY, "看{}·"),
    (1, ANSWER, "👋{}·"),
    (0, BREAK, RefusalDelta("不")),
    (1, NOTE, SOURCE),
    (0, ANSWER, ""),
]
LENGTH = 3 * BLOCK + 5


def entry(at: int) -> tuple[int, Any]:
    """Return the kind and the item of an entry of a long log."""
    choice, kind, item = CYCLE[at % len(CYCLE)]
    return KINDS * choice + kind, item.format(at) if isinstance(item, str) else item


def long_log() -> Transcript:
    log = Transcript()
    for at in range(LENGTH):
        kind, item = entry(at)
        log.put(*divmod(kind, KINDS), item)
        log.plain = False
    return log


def unpacked() -> Transcript:
    return long_log()


def packed() -> Transcript:
    log = long_log()
    log.pack()
    assert (log.base, len(log.items)) == (3 * BLOCK, 5)
    return log


def packed_twice() -> Transcript:
    """Return one that was packed and looked at while it grew."""
    log = Transcript()
    for at in range(LENGTH):
        kind, item = entry(at)
        log.put(*divmod(kind, KINDS), item)
        if at in (10, BLOCK + 10, 2 * BLOCK + 3):
            assert log.spoke(0, 5)
        if at in (BLOCK - 2, BLOCK - 1, 3 * BLOCK + 1):
            log.pack()
    log.plain = False
    return log


def partly_forgotten() -> Transcript:
    log = packed()
    log.forget(BLOCK + 1)
    assert log.first == BLOCK
    return log


LOGS: list[Callable[[], Transcript]] = [unpacked, packed, packed_twice, partly_forgotten]


@pytest.fixture(params=LOGS, ids=lambda make: make.__name__)
def log(request: pytest.FixtureRequest) -> Transcript:
    """Return the same long log, kept in several ways."""
    made: Transcript = request.param()
    return made


def test_every_entry_is_found_by_its_number(log: Transcript) -> None:
    assert len(log) == LENGTH
    for at in range(log.first, LENGTH):
        assert (log.kind(at), log.item(at)) == entry(at)


def test_the_next_entry_of_a_kind(log: Transcript) -> None:
    """From any place on; where there is none, the end."""
    kinds = [entry(at)[0] for at in range(LENGTH)]
    places = [*range(0, LENGTH, 61), BLOCK - 1, BLOCK, 3 * BLOCK - 1, 3 * BLOCK, LENGTH - 1]
    for kind in (*range(8), 9, 11):
        for place in (*places, LENGTH):
            start = max(place, log.first)
            expected = kinds.index(kind, start) if kind in kinds[start:] else LENGTH
            assert log.find(kind, place) == expected


def joined(wanted: int, start: int, end: int = LENGTH) -> str:
    """Return the text of a kind between two places of the long log."""
    found = (entry(at) for at in range(start, end))
    return "".join([item for kind, item in found if kind == wanted])


def test_the_text_of_a_kind(log: Transcript) -> None:
    kinds = {0: (0, REASONING), 1: (0, ANSWER), 2: (0, COMMENTARY), 6: (1, ANSWER)}
    expected = {kind: joined(kind, log.first) for kind in kinds}
    assert {kind: log.text(*key) for kind, key in kinds.items()} == expected
    assert log.texts() == expected
    assert log.text(1, REASONING) == log.text(7, ANSWER) == ""


def test_the_text_of_a_kind_between_two_places(log: Transcript) -> None:
    """As far as it was kept."""
    starts = (0, 1, BLOCK - 1, BLOCK, BLOCK + 3, 3 * BLOCK, 3 * BLOCK + 2)
    for start, size in product(starts, (0, 1, 9, BLOCK, 2 * BLOCK + 1, LENGTH)):
        end = min(start + size, LENGTH)
        for kind in (REASONING, ANSWER, KINDS + ANSWER):
            assert log.text_between(kind, start, end) == joined(kind, max(start, log.first), end)


def test_what_is_no_text_is_kept_in_order(log: Transcript) -> None:
    """Also of what was dropped."""
    expected = [entry(at)[1] for at in range(LENGTH) if not isinstance(entry(at)[1], str)]
    assert log.others() == expected


def test_who_has_spoken_since_when(log: Transcript) -> None:
    """A choice speaks with text, and with whatever else ends a phase; a source says nothing."""
    for choice in (0, 1, 2):
        low = KINDS * choice
        spoken = [at for at in range(LENGTH) if low <= entry(at)[0] < low + NOTE]
        last = max(spoken, default=-1)
        for since in (*range(LENGTH - 16, LENGTH + 2), log.first, BLOCK, 2 * BLOCK):
            assert log.spoke(choice, since) is (since <= last)


def test_an_entry_of_some_kind(log: Transcript) -> None:
    """What was dropped may have been one."""
    assert log.has(REASONING)
    assert log.has(KINDS + ANSWER)
    assert log.has(17, KINDS + NOTE)
    assert log.has(17) is log.has(KINDS + REASONING) is log.has() is bool(log.first)
    log.put(3, COMMENTARY, "看")
    assert log.has(3 * KINDS + COMMENTARY)


def test_only_whole_blocks_are_packed() -> None:
    for size, base in [(0, 0), (BLOCK - 1, 0), (BLOCK, BLOCK), (2 * BLOCK + 1, 2 * BLOCK)]:
        log = Transcript()
        for at in range(size):
            log.put(0, ANSWER, f"{at}")
        log.pack()
        assert (log.base, len(log.items), len(log.kinds), len(log)) == (
            *(base, size - base, size - base, size),
        )


def test_whole_blocks_before_a_place_are_dropped() -> None:
    """About how many tokens they had is remembered; commentary is no thinking."""
    log = Transcript(retain=False)
    for at in range(4 * BLOCK):
        log.put(at % 2, (REASONING, ANSWER, COMMENTARY, ANSWER)[at % 4], "好了")
    log.pack()
    log.forget(BLOCK - 1)
    assert (log.first, log.forgotten) == (0, [0, 0])
    log.forget(2 * BLOCK + 5)
    quarter = estimate_text("好了" * (BLOCK // 4))
    half = estimate_text("好了" * (BLOCK // 2))
    assert (log.first, log.forgotten) == (2 * BLOCK, [2 * quarter, 2 * (quarter + half)])
    log.forget(3 * BLOCK - 1)
    assert log.first == 2 * BLOCK
    log.forget(9 * BLOCK)
    assert (log.first, log.forgotten) == (4 * BLOCK, [4 * quarter, 4 * (quarter + half)])
    assert (len(log), log.texts(), log.text(0, ANSWER), log.find(ANSWER, 0)) == (
        *(4 * BLOCK, {}, "", 4 * BLOCK),
    )


@pytest.mark.parametrize(
    ("choice", "kind", "only"),
    [
        *((0, REASONING, True), (3, REASONING, True), (1, NOTE, True)),
        *((0, ANSWER, False), (3, ANSWER, False), (0, COMMENTARY, False), (2, BREAK, False)),
    ],
)
def test_nothing_but_thoughts(choice: int, kind: int, only: bool) -> None:
    """Sources and what nobody knows are nothing to show, either."""
    log = Transcript()
    assert log.has_only_thoughts
    log.put(choice, kind, "好")
    assert log.has_only_thoughts is only


def test_a_spoken_answer_is_no_thought() -> None:
    log = Transcript()
    log.choice(0)
    log.choice(1).hear({"data": "QUI="})
    assert not log.has_only_thoughts
    assert log.choice(1).said
    assert not log.choice(0).said


def test_what_was_dropped_may_have_been_an_answer() -> None:
    log = Transcript()
    for _ in range(BLOCK):
        log.put(0, REASONING, "想")
    log.pack()
    assert log.has_only_thoughts
    log.forget(BLOCK)
    assert not log.has_only_thoughts


# --- choices ------------------------------------------------------------------------------------


def test_a_choice_is_made_when_it_appears() -> None:
    log = Transcript()
    first, third = log.choice(0), log.choice(2)
    assert log.choices == {0: first, 2: third}
    assert (first.index, third.index) == (0, 2)
    assert log.choice(2) is third
    assert (first.finish_reason, first.ending, first.word, first.details_of_end) == (
        *(None, None, "", ""),
    )
    assert (first.claimed_at, first.spoke_from, first.cited, first.details) == (0, 0, set(), {})
    assert (first.reasoning_field, first.inline, first.audio, first.native) == (None,) * 4
    assert (first.halves, first.logprobs, first.extra, first.thoughts) == ({}, [], {}, [])
    assert not any((first.bare, first.doubtful, first.said, first.truncated, first.calls))


def test_so_many_choices_and_no_more() -> None:
    """Beyond 256, a new one is the first of them; those that are known stay what they are."""
    log = Transcript()
    made = [log.choice(index) for index in range(7, 7 + 256)]
    assert [state.index for state in made] == list(range(7, 263))
    assert log.choice(263) is log.choice(0) is made[0]
    assert log.choice(262) is made[-1]
    assert len(log.choices) == 256


def test_ids_are_made_for_calls_that_have_none() -> None:
    """They are counted over all choices, or come from elsewhere."""
    for log, expected in [
        (Transcript(), ["call_0", "call_1"]),
        (Transcript(make_id=map("我_{}".format, count(5)).__next__), ["我_5", "我_6"]),
    ]:
        for index in range(2):
            log.tool_piece(log.choice(index), {"function": {"name": "f", "arguments": "{}"}})
        made = [log.tool_calls(log.choice(index))[0].id for index in range(2)]
        assert made == expected


def test_thoughts_are_joined_once() -> None:
    """To what the last block began with, if that is text."""
    state = ChoiceState(0)
    state.join_thoughts()
    assert state.extra == {}
    state.extra["thinking_blocks"] = [{"thinking": "前"}, {"thinking": "想", "type": "thinking"}]
    state.thoughts += ["一", "想"]
    for _ in range(2):
        state.join_thoughts()
        assert state.extra["thinking_blocks"] == [
            {"thinking": "前"},
            {"thinking": "想一想", "type": "thinking"},
        ]
    state.extra["thinking_blocks"].append({"thinking": None})
    state.thoughts.append("好")
    state.join_thoughts()
    assert state.extra["thinking_blocks"][-1] == {"thinking": "好"}
    assert state.thoughts == []


def test_a_spoken_answer_is_put_together() -> None:
    state = ChoiceState(0)
    state.hear({"id": "au", "transcript": "你"})
    state.hear({"transcript": "好"})
    assert state.said
    assert state.audio is not None
    assert state.audio.whole() == {"id": "au", "transcript": "你好"}


# --- details of reasoning -----------------------------------------------------------------------


def kept(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the details that entries come to."""
    state = ChoiceState(0)
    for one in entries:
        state.keep_detail(one, replace=False)
    return [detail.whole() for detail in state.details.values()]


DETAILS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "texts are joined": (
        [{"index": 0, "type": "a", "text": "想"}, {"index": 0, "type": "a", "text": "好"}],
        [{"index": 0, "type": "a", "text": "想好"}],
    ),
    "summaries, too": (
        [{"index": 1, "summary": "想"}, {"index": 1, "summary": "好"}],
        [{"index": 1, "summary": "想好"}],
    ),
    "of other fields the last value that is one": (
        [{"index": 0, "signature": "a", "x": 1}, {"index": 0, "signature": "b", "x": None}],
        [{"index": 0, "signature": "b", "x": 1}],
    ),
    "a text that is none is a field": ([{"text": 7}, {"text": ["想"]}], [{"text": ["想"]}]),
    "no index is the first": (
        [{"text": "想"}, {"index": 0, "text": "好"}],
        [{"index": 0, "text": "想好"}],
    ),
    "another index": (
        [{"index": 0, "text": "想"}, {"index": 1, "text": "好"}, {"index": 0, "text": "吧"}],
        [{"index": 0, "text": "想吧"}, {"index": 1, "text": "好"}],
    ),
    "another type": (
        [{"type": "a", "text": "想"}, {"type": "b", "text": "好"}],
        [{"type": "a", "text": "想"}, {"type": "b", "text": "好"}],
    ),
    "another id": (
        [{"id": "x", "text": "想"}, {"id": "y", "text": "好"}, {"id": "x", "text": "吧"}],
        [{"id": "x", "text": "想吧"}, {"id": "y", "text": "好"}],
    ),
    "an id that comes late": (
        [{"text": "想"}, {"id": "x", "text": "好"}, {"text": "吧"}],
        [{"id": "x", "text": "想好吧"}],
    ),
    "an id that comes once": (
        [{"id": "x", "text": "想"}, {"text": "好"}, {"id": "y", "text": "再"}, {"text": "想"}],
        [{"id": "x", "text": "想好"}, {"id": "y", "text": "再想"}],
    ),
    "back to an earlier id": (
        [{"id": "x", "text": "想"}, {"id": "y", "text": "再"}, {"id": "x"}, {"text": "好"}],
        [{"id": "x", "text": "想好"}, {"id": "y", "text": "再"}],
    ),
    "halves of characters": ([{"text": "\ud83d"}, {"text": "\udc4b"}], [{"text": "👋"}]),
}


@pytest.mark.parametrize("case", DETAILS)
def test_details_are_put_together(case: str) -> None:
    """OpenRouter's and MiniMax's entries, each as it would have been sent at once."""
    entries, expected = DETAILS[case]
    assert kept(*entries) == expected


def test_details_that_hold_all_so_far_replace_what_was() -> None:
    state = ChoiceState(0)
    state.keep_detail({"text": "想"}, replace=False)
    state.keep_detail({"text": "想好"}, replace=True)
    assert [detail.whole() for detail in state.details.values()] == [{"text": "想好"}]


def test_whether_a_field_of_the_details_has_changed() -> None:
    """A text grows, and says nothing new of the rest."""
    state = ChoiceState(0)
    entries: list[dict[str, Any]] = [
        {"a": 1, "b": 2, "text": "想"},
        {"a": 1, "text": "好"},
        {"a": 2, "b": 2},
        {"a": 2, "b": 2},
        {"a": 2, "b": None, "c": 3},
        {"a": 2.0, "c": 3},
    ]
    changed = [state.keep_detail(one, replace=False) for one in entries]
    assert changed == [False, False, True, False, False, True]


# --- what is no text ----------------------------------------------------------------------------


def test_what_is_no_text_becomes_a_delta() -> None:
    log = Transcript()
    state, other = log.choice(0), log.choice(1)
    image = Media("image", "https://example.com/猫.png")
    additions: list[tuple[Callable[[], None], int, Delta]] = [
        (lambda: log.refuse(other, "不行"), 8, RefusalDelta("不行", 1)),
        (lambda: log.show(other, image), 8, MediaDelta(image, 1)),
        (lambda: log.cite(other, Citation("u")), 9, CitationDelta(Citation("u"), 1)),
        (lambda: log.unknown(1, "chat", "x", [1]), 9, UnknownDelta(1, "chat", "x", [1])),
        (lambda: log.tool_piece(state, {"id": "c"}), 3, ToolCallDelta(0, 0, "c", "", "")),
    ]
    for add, kind, delta in additions:
        log.plain = True
        add()
        assert not log.plain
        assert (log.kinds[-1], log.items[-1]) == (kind, delta)
    assert log.others() == [delta for _, _, delta in additions]


def test_a_plain_log_has_no_others() -> None:
    """Its finish and its usage are known without them."""
    log = Transcript()
    log.put(0, ANSWER, "好")
    log.finish(log.choice(0), "stop", "finished")
    log.count({"total_tokens": 7})
    log.seal()
    assert log.others() == []


def test_a_source_is_told_once() -> None:
    """By its address and its place; each choice has its own."""
    log = Transcript()
    state, other = log.choice(0), log.choice(1)
    sources = [Citation("a"), Citation("b"), Citation("a", start=1), Citation("a", start=1, end=2)]
    for _ in range(2):
        for source in sources:
            log.cite(state, source)
    log.cite(state, Citation("a", "题"))
    log.cite(other, Citation("a"))
    expected = [*(CitationDelta(source) for source in sources), CitationDelta(Citation("a"), 1)]
    assert deltas(log) == expected


def test_a_refusal_in_halves_of_characters() -> None:
    log = Transcript()
    for text in ("不\ud83d", "\udc4b行"):
        log.refuse(log.choice(0), text)
    assert deltas(log) == [RefusalDelta("不"), RefusalDelta("👋行")]


def test_a_text_in_halves_of_characters() -> None:
    """Each kind of each choice waits for its own; nothing is put while there is nothing to say."""
    log = Transcript()
    state, other = log.choice(0), log.choice(1)
    log.say(state, ANSWER, "\ud83d")
    log.say(state, REASONING, "想\ud83e")
    log.say(other, ANSWER, "\ud83d")
    log.say(state, ANSWER, "\udc4b")
    log.say(other, ANSWER, "\udc4c好")
    log.say(state, REASONING, "\udd14")
    assert deltas(log) == [
        ReasoningDelta("想"),
        AnswerDelta("👋"),
        AnswerDelta("👌好", 1),
        ReasoningDelta("🤔"),
    ]
    log.seal()
    assert log.notes == []


def test_what_is_lost_of_a_character_is_noted_once() -> None:
    """Unless the vendor has replaced it already."""
    log = Transcript()
    state = log.choice(0)
    log.say(state, ANSWER, "好\ufffd")
    assert log.notes == []
    for _ in range(2):
        log.say(state, ANSWER, "a\udc4b")
    assert log.notes == [DAMAGED]
    assert log.text(0, ANSWER) == "好\ufffda\ufffda\ufffd"


def test_halves_that_are_left_at_the_end() -> None:
    log = Transcript()
    state, other = log.choice(0), log.choice(1)
    log.say(other, COMMENTARY, "看\ud83d")
    log.refuse(state, "不\ud83d")
    log.seal()
    assert deltas(log) == [
        CommentaryDelta("看", 1),
        RefusalDelta("不"),
        RefusalDelta("\ufffd"),
        CommentaryDelta("\ufffd", 1),
    ]
    assert log.notes == [DAMAGED]
    assert state.halves == other.halves == {}


# --- the end ------------------------------------------------------------------------------------


Step: TypeAlias = str | tuple[str, Ending] | None


def claimed(*steps: Step) -> tuple[Transcript, ChoiceState]:
    """Return a log in which the first choice speaks, and claims to be finished, in turn.

    A step is a text, the word and the class of a claim, or None for a tool of the server's.
    """
    log = Transcript()
    state = log.choice(0)
    for step in steps:
        if isinstance(step, str):
            log.put(0, ANSWER, step)
        elif step is None:
            log.worked(state)
        else:
            log.finish(state, *step)
    return log, state


STOP: tuple[str, Ending] = ("stop", "finished")
ENDINGS: list[tuple[Ending, bool, bool]] = [
    # the class, whether it is worth anything before something was said, whether it is a finish
    ("finished", True, True),
    ("calls", True, True),
    ("other", True, True),
    ("length", False, True),
    ("filtered", False, True),
    ("paused", False, True),
    ("broken", False, False),
]


@pytest.mark.parametrize(("ending", "bare", "finishes"), ENDINGS)
def test_a_claim(ending: Ending, bare: bool, finishes: bool) -> None:
    """Before anything was said, a word that gateways write there may mean nothing."""
    log, state = claimed("好", ("word", ending))
    assert (state.finish_reason, state.ending, state.word) == ("word", ending, "word")
    assert (log.claimed, state.claimed_at, state.bare) == (1, 1, False)
    assert log.is_finished(state) is log.complete is finishes
    assert log.settled
    log, state = claimed(("word", ending))
    assert (log.claimed, state.claimed_at, state.bare) == (1, 0, bare)
    assert log.is_finished(state) is log.complete is finishes
    assert log.settled is not bare
    assert not log.doubtful
    log.put(0, ANSWER, "好")
    assert log.is_finished(state) is log.complete is (finishes and not bare)
    assert log.doubtful


def test_the_word_of_the_vendor_is_kept_beside_the_common_one() -> None:
    log = Transcript()
    state = log.choice(0)
    log.finish(state, "stop", "finished", "end_turn")
    assert (state.finish_reason, state.word) == ("stop", "end_turn")


def test_the_last_claim_stands() -> None:
    log, state = claimed("好", STOP, ("length", "length"))
    assert (state.finish_reason, state.ending, state.word) == ("length", "length", "length")
    assert (log.claimed, log.late_word, log.doubtful) == (1, "", False)


def test_a_claim_after_more_was_said_leaves_a_doubt() -> None:
    log, state = claimed("好", STOP, "吧", STOP)
    assert (state.claimed_at, log.complete, log.doubtful) == (2, True, True)


def test_a_spoken_answer_counts_for_a_claim() -> None:
    log = Transcript()
    state = log.choice(0)
    state.hear({"data": "QUI="})
    log.finish(state, "stop", "finished")
    assert not state.bare


BREAK_WORD: tuple[str, Ending] = ("error", "broken")


@pytest.mark.parametrize(
    ("steps", "late"),
    [
        (("好", STOP, BREAK_WORD), True),
        ((("length", "length"), BREAK_WORD), True),
        (("好", STOP, "吧", BREAK_WORD), False),
        ((STOP, BREAK_WORD), False),
        (("好", ("abort", "broken"), BREAK_WORD), False),
        (("好", BREAK_WORD), False),
    ],
    ids=["all said", "cut", "said more", "nothing said", "broken twice", "at once"],
)
def test_a_break_after_all_was_said_cuts_nothing(steps: tuple[Any, ...], late: bool) -> None:
    log, state = claimed(*steps)
    assert log.late_word == ("error" if late else "")
    assert (state.ending == "broken", log.complete) == (not late, late)
    assert log.claimed == 1


def test_what_a_tool_of_the_server_was_needed_for_is_still_to_be_said() -> None:
    """A claim right after its work may mean nothing."""
    log, state = claimed("我查一下", None, STOP)
    assert (state.spoke_from, state.bare, log.settled) == (1, True, False)
    log, state = claimed("我查一下", None, "好", STOP)
    assert (state.bare, log.settled) == (False, True)


def test_a_reply_is_complete_with_all_choices_that_came() -> None:
    """It is settled with all that were asked for."""
    log = Transcript(3)
    first, second = log.choice(0), log.choice(1)
    for state in (first, second):
        assert (log.complete, log.settled) == (False, False)
        log.put(state.index, ANSWER, "好")
        log.finish(state, "stop", "finished")
    assert (log.claimed, log.complete, log.settled) == (2, True, False)
    third = log.choice(2)
    assert not log.complete
    log.put(2, ANSWER, "好")
    log.finish(third, "stop", "finished")
    assert (log.complete, log.settled) == (True, True)
    more = log.choice(3)
    assert (log.complete, log.settled) == (False, False)
    log.finish(more, "stop", "finished")
    assert (log.complete, log.settled) == (True, False)


def test_what_one_choice_says_is_no_doubt_of_another() -> None:
    log, _ = claimed("好", STOP)
    log.put(log.choice(1).index, ANSWER, "好")
    assert not log.doubtful
    log.put(0, NOTE, SOURCE)
    assert not log.doubtful
    log.put(0, BREAK, RefusalDelta("不"))
    assert log.doubtful


def test_claims_are_taken_back() -> None:
    log, state = claimed("好", STOP)
    log.disbelieve()
    assert (state.finish_reason, state.ending, log.claimed) == (None, None, 0)
    assert (log.complete, log.settled) == (False, False)


def test_a_log_is_sealed_once() -> None:
    """The finish of each choice in order, but for those that broke off, and the usage."""
    log = Transcript(4)
    endings: dict[int, Ending | None] = {2: "finished", 0: "length", 1: "broken", 3: None}
    for index, ending in endings.items():
        state = log.choice(index)
        log.put(index, ANSWER, f"{index}")
        if ending is not None:
            log.finish(state, f"{ending} word", ending)
    log.count({"total_tokens": 7})
    log.count({"total_tokens": 0})
    for _ in range(2):
        log.seal()
        assert log.sealed
        assert log.usage == Usage(total_tokens=7, extra={"total_tokens": 7})
        assert deltas(log)[4:] == [
            FinishDelta(0, "length word"),
            FinishDelta(2, "finished word"),
            UsageDelta(log.usage),
        ]
        assert log.kinds[4:] == [4, 14, 4]


def test_a_placeholder_is_no_usage() -> None:
    log = Transcript()
    log.count({"total_tokens": 0})
    log.seal()
    assert (log.counts, log.usage, len(log)) == (None, None, 0)


def test_the_last_usage_that_counts_stands() -> None:
    """Running totals are not added up, and a placeholder at the end takes nothing away."""
    log = Transcript()
    for total in (0, 3, 7, 0):
        log.count({"total_tokens": total})
    log.seal()
    assert log.usage == Usage(total_tokens=7, extra={"total_tokens": 7})


def test_an_end_alone_is_nothing_that_was_handed_out() -> None:
    """Gateways make up a finish and a usage."""
    log = Transcript()
    assert not log.begun
    log.finish(log.choice(0), "stop", "finished")
    log.count({"total_tokens": 7})
    log.seal()
    assert (len(log), log.begun) == (2, False)
    log, _ = claimed("好", STOP)
    assert log.begun
    log.seal()
    assert log.begun


# --- tool calls ---------------------------------------------------------------------------------


def piece(arguments: str, **more: Any) -> dict[str, Any]:
    """Return a piece of a call as Chat Completions has it."""
    name = {"name": more.pop("name")} if "name" in more else {}
    return {"function": {"arguments": arguments, **name}, **more}


def test_a_call_in_pieces() -> None:
    """A piece that says nothing new is a sign that somebody is at work."""
    log = Transcript()
    state = log.choice(1)
    log.tool_piece(state, piece("", id="c", name="f", index=0))
    log.tool_piece(state, piece("", index=0))
    log.tool_piece(state, piece('{"城市":', index=0))
    assert log.tool_calls(state) == (ToolCall("c", "f", '{"城市":', complete=False),)
    log.tool_piece(state, piece('"北京"}', index=0, type="function", extra_content={"a": 1}))
    assert deltas(log) == [
        ToolCallDelta(1, 0, "c", "f", ""),
        ToolCallDelta(1, 0, "", "", '{"城市":'),
        ToolCallDelta(1, 0, "", "", '"北京"}'),
    ]
    assert (log.signs, log.kinds) == (1, [8, 8, 8])
    log.finish(state, "tool_calls", "calls")
    log.seal()
    extra = {"extra_content": {"a": 1}}
    assert log.tool_calls(state) == (ToolCall("c", "f", '{"城市":"北京"}', True, extra),)


def test_a_whole_call_gets_its_id_when_the_next_one_begins() -> None:
    """Whoever runs it at once needs one."""
    log = Transcript()
    state = log.choice(0)
    log.tool_piece(state, piece('{"a":1}', name="f"))
    log.tool_piece(state, piece("[", name="g"))
    log.tool_piece(state, piece("{}", name="h"))
    log.seal()
    assert deltas(log) == [
        ToolCallDelta(0, 0, "", "f", '{"a":1}'),
        ToolCallDelta(0, 0, "call_0", "", ""),
        ToolCallDelta(0, 1, "", "g", "["),
        ToolCallDelta(0, 2, "", "h", ""),
        ToolCallDelta(0, 1, "call_1", "", ""),
        ToolCallDelta(0, 2, "call_2", "", "{}"),
    ]


def test_a_call_that_is_begun_and_closed_by_its_key() -> None:
    """Items and blocks know who they are; what has no beginning is nothing."""
    log = Transcript()
    state = log.choice(0)
    log.begin_call(state, "k", "c", "f")
    log.begin_call(state, "k", "d", "g")
    log.begin_call(state, "free", "e", "h", "custom")
    log.add_to_call(state, "k", '{"a":')
    log.add_to_call(state, "unknown", "1")
    log.finish_call(state, "unknown", "{}")
    assert log.ready_call(state, 0) is None
    log.finish_call(state, "k", '{"a":1}')
    log.finish_call(state, "k", '{"a":1}')
    log.add_to_call(state, "free", "你好")
    assert deltas(log) == [
        ToolCallDelta(0, 0, "c", "f", ""),
        ToolCallDelta(0, 1, "e", "h", ""),
        ToolCallDelta(0, 0, "", "", '{"a":'),
        ToolCallDelta(0, 0, "", "", "1}"),
        ToolCallDelta(0, 1, "", "", "你好"),
    ]
    assert log.ready_call(state, 0) == ToolCall("c", "f", '{"a":1}')
    assert log.ready_call(state, 1) is None
    log.finish_call(state, "free", "你好")
    assert log.ready_call(state, 1) == ToolCall("e", "h", "你好", kind="custom")
    assert log.ready_call(state, 2) is None


def test_a_call_is_ready_once_something_came_after_it() -> None:
    """It must be an object by then; another choice, or a source, says nothing of it."""
    log = Transcript()
    state = log.choice(0)
    log.tool_piece(state, piece('{"a":1}', id="c", name="f", index=0))
    assert log.ready_call(state, 0) is None
    log.put(log.choice(1).index, ANSWER, "好")
    log.put(0, NOTE, SOURCE)
    assert log.ready_call(state, 0) is None
    log.tool_piece(state, piece('"x"', id="d", name="g", index=1))
    assert log.ready_call(state, 0) == ToolCall("c", "f", '{"a":1}')
    log.put(0, ANSWER, "好")
    assert log.ready_call(state, 1) is None
    log.skipped = 1
    assert log.ready_call(state, 0) is None


def test_a_call_that_goes_on_after_it_was_ready_is_in_conflict() -> None:
    log = Transcript()
    state = log.choice(0)
    log.tool_piece(state, piece('{"a":1}', id="c", name="f", index=0))
    log.put(0, ANSWER, "好")
    log.tool_piece(state, piece("}", index=0))
    assert state.calls.conflict
    log.finish(state, "tool_calls", "calls")
    log.seal()
    assert [call.complete for call in log.tool_calls(state)] == [False]


@pytest.mark.parametrize(
    ("arguments", "ending", "complete"),
    [
        *(('{"a":1}', "calls", True), ("[1]", "calls", True), ("7", "calls", True)),
        *(("", "calls", True), (" ", "finished", True), ("", "length", False)),
        *(('{"a":', "calls", False), ('{"a":1}', "length", True), ('{"a":', "length", False)),
        *(('{"a":1}', "broken", False), ("", "broken", False), ("x", "calls", False)),
        *(("", None, False), ("[1]", None, False)),
    ],
)
def test_a_call_at_the_end(arguments: str, ending: Ending | None, complete: bool) -> None:
    """It may be run if its choice has finished and it is JSON; nothing is JSON that is not cut."""
    log = Transcript()
    state = log.choice(0)
    log.tool_piece(state, piece(arguments, id="c", name="f", index=0))
    if ending is not None:
        log.finish(state, "word", ending)
    assert log.tool_calls(state)[0].complete is False
    log.seal()
    assert log.tool_calls(state)[0].complete is complete


@pytest.mark.parametrize(("ending", "complete"), [("calls", True), (None, False)])
def test_an_input_that_is_no_json_is_whole_with_its_choice(
    ending: Ending | None, complete: bool
) -> None:
    log = Transcript()
    state = log.choice(0)
    custom = {"id": "c", "type": "custom", "custom": {"name": "f", "input": "你好"}}
    log.tool_piece(state, custom)
    if ending is not None:
        log.finish(state, "word", ending)
    log.put(0, ANSWER, "好")
    assert log.ready_call(state, 0) is None
    log.seal()
    assert log.tool_calls(state) == (ToolCall("c", "f", "你好", complete, kind="custom"),)


@pytest.mark.parametrize("ending", ["calls", "length"])
def test_a_call_without_arguments_that_was_closed(ending: Ending) -> None:
    """Its event said that there are none."""
    log = Transcript()
    state = log.choice(0)
    log.begin_call(state, "k", "c", "f")
    log.finish_call(state, "k", "")
    assert log.ready_call(state, 0) == ToolCall("c", "f", "")
    log.finish(state, "word", ending)
    log.seal()
    assert log.ready_call(state, 0) == ToolCall("c", "f", "")


def test_a_call_whose_closing_event_says_something_else_is_never_run() -> None:
    log = Transcript()
    state = log.choice(0)
    log.begin_call(state, "k", "c", "f")
    log.add_to_call(state, "k", '{"a":1}')
    log.finish_call(state, "k", '{"a":2}')
    log.finish(state, "tool_calls", "calls")
    log.seal()
    assert log.tool_calls(state) == (ToolCall("c", "f", '{"a":1}', complete=False),)
