"""The dialects as a table, and the splitter of inline tags at every cut."""

import re
from itertools import groupby, pairwise

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aiotokengate._wire.dialects import DIALECTS, Dialect, TagSplitter
from aiotokengate.catalogue import CATALOGUE

LEADING = DIALECTS["openai-compatible"]
QWEN = DIALECTS["qwen"]
OPEN = DIALECTS["open-thinking"]
NEVER = DIALECTS["openai"]

Sides = tuple[str, str]


def split(dialect: Dialect, *texts: str) -> Sides:
    """Return reasoning and answer of a text that comes in pieces."""
    splitter = TagSplitter(dialect)
    pieces = [piece for text in texts for piece in splitter.feed(text)] + splitter.flush()
    sides = {"reasoning": "", "answer": ""}
    for kind, text in pieces:
        sides[kind] += text
    return sides["reasoning"], sides["answer"]


SPLITS = {
    "no tag": (LEADING, "你好", ("", "你好")),
    "nothing": (LEADING, "", ("", "")),
    "white space alone": (LEADING, " \n\t", ("", " \n\t")),
    "a tag": (LEADING, "<think>想</think>答", ("想", "答")),
    "other words for it": (LEADING, "<thinking>想</thinking>答", ("想", "答")),
    "Google's word for it": (LEADING, "<thought>想</thought>答", ("想", "答")),
    "a tag closed by another": (LEADING, "<think>想</thinking>答", ("想", "答")),
    "white space before": (LEADING, " \n<think>想</think>答", ("想", "答")),
    "a line end after the opening tag": (LEADING, "<think>\n想</think>答", ("想", "答")),
    "only one of them": (LEADING, "<think>\n\n想</think>答", ("\n想", "答")),
    "two line ends after the closing tag": (LEADING, "<think>想</think>\n\n答", ("想", "答")),
    "only two of them": (LEADING, "<think>想</think>\n\n\n答", ("想", "\n答")),
    "line ends inside are kept": (LEADING, "<think>想\n</think>答\n", ("想\n", "答\n")),
    "a second opening tag": (LEADING, "<think>\n<think>\n想</think>答", ("想", "答")),
    "an opening tag later in the thinking": (
        LEADING,
        "<think>想<think></think>答",
        ("想<think>", "答"),
    ),
    "a tag in an answer": (LEADING, "用 <think> 标签</think>", ("", "用 <think> 标签</think>")),
    "a tag in an answer after thinking": (
        LEADING,
        "<think>想</think>写 <think>x</think>",
        ("想", "写 <think>x</think>"),
    ),
    "a closing tag first": (LEADING, "</think>答", ("", "</think>答")),
    "a tag that is none": (LEADING, "<thinker>x", ("", "<thinker>x")),
    "half a tag": (LEADING, "<thin", ("", "<thin")),
    "a tag in capitals": (LEADING, "<THINK>x</THINK>", ("", "<THINK>x</THINK>")),
    "thinking that is not closed": (LEADING, "<think>想</thin", ("想</thin", "")),
    "empty thinking": (LEADING, "<think>\n\n</think>\n\n答", ("\n", "答")),
    "a tool call ends thinking": (LEADING, "<think>想<tool_call>x", ("想", "<tool_call>x")),
    "Seed's tags": (LEADING, "<seed:think>慢</seed:think>快", ("慢", "快")),
    "Mistral's marks": (LEADING, "[THINK]慢[/THINK]快", ("慢", "快")),
    "a list is an answer": (LEADING, "[1, 2]", ("", "[1, 2]")),
    "Kimi's marks": (LEADING, "◁think▷慢◁/think▷快👋", ("慢", "快👋")),
    "gpt-oss": (
        LEADING,
        "<|channel|>analysis<|message|>慢<|end|><|start|>assistant<|channel|>final<|message|>快",
        ("慢", "快"),
    ),
    "Gemma's channel": (LEADING, "<|channel>thought\n慢<channel|>快", ("慢", "快")),
    "Cohere": (LEADING, "<|START_THINKING|>慢<|END_THINKING|><|START_TEXT|>快", ("慢", "快")),
    "MiniMax M3 without thoughts": (LEADING, "</mm:think>快", ("", "快")),
    "a tool call ends Qwen's thinking": (
        QWEN,
        "<think>想<tool_call>\nx",
        ("想", "<tool_call>\nx"),
    ),
    "a tool call alone is an answer": (QWEN, "<tool_call>x", ("", "<tool_call>x")),
    "an assumed tag": (OPEN, "想</think>\n\n答", ("想", "答")),
    "an assumed tag that came": (OPEN, "<think>\n想</think>答", ("想", "答")),
    "an assumed tag and white space": (OPEN, "\n想</think>答", ("\n想", "答")),
    "an assumed tag that is not closed": (OPEN, "想", ("想", "")),
    "an assumed tag and a tool call": (OPEN, "想<tool_call>x", ("想", "<tool_call>x")),
    "no tags at all": (NEVER, "<think>想</think>答", ("", "<think>想</think>答")),
}


@pytest.mark.parametrize("case", SPLITS)
def test_what_is_reasoning_and_what_is_answer(case: str) -> None:
    """Tags are found in one piece, cut anywhere, and character by character."""
    dialect, text, expected = SPLITS[case]
    for place in range(len(text) + 1):
        assert split(dialect, text[:place], text[place:]) == expected, f"cut at {place}"
    assert split(dialect, *text) == expected


def test_only_a_possible_tag_is_held_back() -> None:
    """All text flows at once, but for the characters that may still become a tag."""
    splitter = TagSplitter(LEADING)
    given_out = [
        splitter.feed(text) for text in ("<think>", "想", "a<", "b", "</", "thin", "k", ">")
    ]
    assert given_out == [
        [],
        [("reasoning", "想")],
        [("reasoning", "a")],
        [("reasoning", "<b")],
        [],
        [],
        [],
        [],
    ]
    assert [splitter.feed(text) for text in ("\n", "\n", "\n", "<")] == [
        [],
        [],
        [("answer", "\n")],
        [("answer", "<")],
    ]


def test_what_the_splitter_says_of_itself() -> None:
    """Whoever feeds it can see whether it is inside, found a tag, and has anything left to do."""
    splitter = TagSplitter(LEADING)
    states = []
    for text in ("<thi", "nk>想", "</think>", "\n", "答"):
        splitter.feed(text)
        states.append((splitter.inside, splitter.engaged, splitter.decided))
    assert states == [
        (False, False, False),
        (True, True, False),
        (False, True, False),
        (False, True, False),
        (False, True, True),
    ]
    assert TagSplitter(NEVER).decided
    assert TagSplitter(OPEN).inside


def test_after_thoughts_in_a_field() -> None:
    """Only a closing tag at the very beginning is looked for, and dropped."""
    splitter = TagSplitter(LEADING, after_field=True)
    assert splitter.feed("\n</th") == []
    assert splitter.feed("ink>\n\n好👋 </think> <think>") == [("answer", "好👋 </think> <think>")]
    assert splitter.decided
    splitter = TagSplitter(LEADING, after_field=True)
    assert splitter.feed("<think>x</think>") == [("answer", "<think>x</think>")]
    assert splitter.decided


@pytest.mark.parametrize("text", [" " * 1024, " " * 1019 + "<thin"])
def test_white_space_at_the_beginning_is_held_back_so_long(text: str) -> None:
    """A tag may follow; after more of it there is none."""
    splitter = TagSplitter(LEADING)
    assert splitter.feed(text) == []
    assert splitter.flush() == [("answer", text)]
    splitter = TagSplitter(LEADING)
    assert splitter.feed(" " + text) == [("answer", " " + text)]
    assert splitter.decided


def test_what_was_held_back_is_given_out_once() -> None:
    splitter = TagSplitter(LEADING)
    splitter.feed("<think>想</th")
    assert splitter.flush() == [("reasoning", "</th")]
    assert splitter.flush() == []
    assert splitter.feed("好") == [("reasoning", "好")]


def test_a_tool_call_without_a_closing_tag_is_outside() -> None:
    splitter = TagSplitter(QWEN)
    splitter.feed("<think>\n想<tool_call>")
    assert (splitter.inside, splitter.engaged, splitter.decided) == (False, True, True)
    assert splitter.feed("\n</think>") == [("answer", "\n</think>")]


# --- any text, any cut --------------------------------------------------------------------------

PARTS = [f"<{slash}{tag}>" for slash in ("", "/") for tag in ("think", "thinking", "thought")]
PARTS += ["<tool_call>", "\n", "\n\n", " ", "<", "</", "<th", "ink>", ">", "a", "你", "👋🏽", "é"]
texts = st.lists(st.sampled_from(PARTS), max_size=14).map("".join)
places = st.lists(st.integers(0, 100), max_size=8)
dialects = st.sampled_from(sorted(DIALECTS)).map(DIALECTS.__getitem__)


def cut(text: str, where: list[int]) -> list[str]:
    borders = [0, *sorted(place % (len(text) + 1) for place in where), len(text)]
    return [text[start:end] for start, end in pairwise(borders)]


def obvious(dialect: Dialect, text: str) -> Sides:
    """Split the whole text by one expression."""
    if dialect.inline == "never":
        return "", text
    tags = "|".join(dialect.tags)
    openers = f"(?:<(?:{tags})>\n?)"
    head = rf"\s*{openers}+" if dialect.inline == "leading" else f"{openers}*"
    begun = re.match(head, text)
    if begun is None:
        return "", text
    enders = "".join(f"|(?={re.escape(ender)})" for ender in dialect.enders)
    reasoning, *rest = re.split(
        f"(?:</(?:{tags})>\n{{0,2}}{enders})", text[begun.end() :], maxsplit=1
    )
    return reasoning, "".join(rest)


@given(dialects, texts, places)
@example(OPEN, "<think>\n<thi", [])
def test_any_text_in_any_pieces(dialect: Dialect, text: str, where: list[int]) -> None:
    """Any text, cut anywhere, is split like the whole."""
    assert split(dialect, *cut(text, where)) == obvious(dialect, text)


@given(dialects, texts, places)
def test_nothing_is_lost(dialect: Dialect, text: str, where: list[int]) -> None:
    """Reasoning, answer, and the tags between them are the whole text, in order."""
    reasoning, answer = split(dialect, *cut(text, where))
    tags = "|".join(dialect.tags)
    removed = (
        rf"(\s*(<({tags})>\n?)+)?{re.escape(reasoning)}(</({tags})>\n{{0,2}})?{re.escape(answer)}"
    )
    assert re.fullmatch(removed, text)


@given(st.sampled_from([LEADING, QWEN, NEVER]), st.text(), places)
def test_text_without_tags_is_the_answer(dialect: Dialect, text: str, where: list[int]) -> None:
    """An answer that does not begin with a tag comes out as it went in."""
    answer = "答" + text
    assert split(dialect, *cut(answer, where)) == ("", answer)


@given(texts)
def test_the_order_is_kept(text: str) -> None:
    """There is one phase of thinking at most, and it comes first."""
    splitter = TagSplitter(LEADING)
    pieces = [piece for character in text for piece in splitter.feed(character)]
    kinds = [kind for kind, _ in groupby(pieces + splitter.flush(), key=lambda piece: piece[0])]
    assert kinds in ([], ["reasoning"], ["answer"], ["reasoning", "answer"])


# --- the table ----------------------------------------------------------------------------------


FIELDS = ("reasoning_content", "reasoning")
TAGS = ("think", "thinking", "thought")
CALLS = ("<tool_call>", "<tool_calls>", "<|tool_calls_section_begin|>")
PAIRS = {
    "[THINK]": "[/THINK]",
    "◁think▷": "◁/think▷",
    "<|open|>think<|sep|>": "<|close|>think<|sep|>",
    "<|channel|>analysis<|message|>": "<|end|>",
    "<|channel>thought\n": "<channel|>",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|inner_prefix|>": "<|inner_suffix|>",
}
FOLLOWERS = (
    *("<|open|>response<|sep|>", "<|start|>assistant<|channel|>final<|message|>"),
    "<|START_TEXT|>",
)
ROWS: dict[str, dict[str, object]] = {
    "openai-compatible": {
        "fields": (*FIELDS, "reasoning_text", "thinking"),
        "tags": (*TAGS, "reasoning", "seed:think", "mm:think"),
        "pairs": tuple(PAIRS.items()),
        "enders": CALLS,
        "followers": FOLLOWERS,
        "strays": ("</mm:think>",),
    },
    "deepseek": {"echo": "reasoning_content"},
    "qwen": {"enders": CALLS, "echo": "reasoning_content"},
    "glm": {"enders": CALLS, "echo": "reasoning_content"},
    "grok": {"inline": "never"},
    "minimax": {"tags": (*TAGS, "mm:think"), "strays": ("</mm:think>",)},
    "openai": {"inline": "never"},
    "claude": {"inline": "never"},
    "gemini": {},
    "open-thinking": {"inline": "assume_open", "enders": CALLS},
}
USUAL: dict[str, object] = {
    "fields": FIELDS,
    "details": True,
    "inline": "leading",
    "tags": TAGS,
    "pairs": (),
    "enders": (),
    "followers": (),
    "strays": (),
    "echo": None,
}


def test_the_rows_of_the_table() -> None:
    told = {name: attrs.asdict(row) for name, row in DIALECTS.items()}
    for name, row in told.items():
        del row["openers"], row["closers"]
        assert row == {**USUAL, **ROWS[name], "name": name}
    assert told.keys() == ROWS.keys()


def test_what_opens_and_closes_thinking() -> None:
    """True is said of what is dropped, False of what belongs to the answer."""
    dropped = {"</think>": True, "</thinking>": True, "</thought>": True}
    calls = dict.fromkeys(CALLS, False)
    assert QWEN.openers == ("<think>", "<thinking>", "<thought>")
    assert dict(QWEN.closers) == {**dropped, **calls}
    more = ("reasoning", "seed:think", "mm:think")
    assert LEADING.openers == (*QWEN.openers, *(f"<{tag}>" for tag in more), *PAIRS)
    closers = [*dropped, *(f"</{tag}>" for tag in more), *PAIRS.values()]
    assert dict(LEADING.closers) == {**dict.fromkeys(closers, True), **calls}


def test_every_row_of_the_catalogue_has_its_dialect() -> None:
    """A model is never of a dialect that is not in the table."""
    assert {row.dialect for row in CATALOGUE.rows} <= DIALECTS.keys()


@pytest.mark.parametrize(
    ("model", "dialect"),
    [
        ("qwen3.6-max-preview", "qwen"),
        ("Qwen3-VL-8B-Instruct", "qwen"),
        ("QwQ-32B", "open-thinking"),
        ("DeepSeek-R1-Distill-Qwen-7B", "open-thinking"),
        ("deepseek3.2", "deepseek"),
        ("deepSeek-v3.1", "deepseek"),
        ("WanWu/Deepseek-Auto", "openai-compatible"),
        ("glm-5.1", "glm"),
        ("minimax2.7", "minimax"),
        ("grok-4", "grok"),
        ("gpt-5.4", "openai"),
        ("claude-opus-4.6", "claude"),
        ("gemini-3-pro", "gemini"),
        ("某个新模型", "openai-compatible"),
    ],
)
def test_which_model_speaks_which(model: str, dialect: str) -> None:
    """Names are taken as they are, with their slashes and capitals."""
    assert CATALOGUE.find(model).dialect == dialect


def test_rows_are_named_after_themselves() -> None:
    """The table is looked up by the names in it, and nobody can change it by accident."""
    assert {name: row.name for name, row in DIALECTS.items()} == {name: name for name in DIALECTS}
    with pytest.raises(TypeError):
        DIALECTS["mine"] = LEADING  # type: ignore[index]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        LEADING.name = "mine"  # type: ignore[misc]
