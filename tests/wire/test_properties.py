"""What holds for every stream, in every dialect, however it is cut.

Strategy.  A conversation is drawn as phases of thinking and answer, each in pieces.  A writer for
each dialect puts it on the wire the way its vendor does; what is decoded, from any pieces of the
bytes, has to be the conversation again.
"""

from collections.abc import Callable, Iterator
from itertools import accumulate, groupby, pairwise
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aiotokengate._wire.chat_completions import ChatCompletionsDecoder
from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.fold import fold
from aiotokengate._wire.sse import SSEDecoder
from aiotokengate._wire.transcript import ANSWER, REASONING, Transcript
from aiotokengate.types import AnswerDelta, Delta, FinishDelta, ReasoningDelta, ToolCallDelta
from tests.support.common import About

Said = list[tuple[str, str]]
Frames = Iterator[dict[str, Any]]
Writer = Callable[[Said], Frames]


# --- how vendors write --------------------------------------------------------------------------


def both_keys(said: Said) -> Frames:
    """DeepSeek, DashScope: both keys in every delta, the idle one null."""
    for kind, text in said:
        idle = "content" if kind == "reasoning_content" else "reasoning_content"
        yield {idle: None, kind: text}


def one_key(said: Said) -> Frames:
    """GLM, SGLang: only the key that says something."""
    for kind, text in said:
        yield {"role": "assistant", kind: text}


def newer_name(said: Said) -> Frames:
    """The vLLM of today."""
    for kind, text in said:
        yield {"reasoning" if kind == "reasoning_content" else kind: text}


def both_names(said: Said) -> Frames:
    """The vLLM of yesterday: the same text under both names."""
    for kind, text in said:
        yield {kind: text, "reasoning": text} if kind == "reasoning_content" else {kind: text}


def with_details(said: Said) -> Frames:
    """OpenRouter: in a field, and again in the details."""
    for kind, text in said:
        details = [{"type": "reasoning.text", "text": text, "index": 0}]
        if kind == "reasoning_content":
            yield {"content": "", "reasoning": text, "reasoning_details": details}
        else:
            yield {"content": text, "reasoning": None, "reasoning_details": []}


def details_alone(said: Said) -> Frames:
    """MiniMax with ``reasoning_split``, as its users measured it."""
    for kind, text in said:
        yield {"content": text} if kind == "content" else {"reasoning_details": [{"text": text}]}


def details_so_far(said: Said) -> Frames:
    """MiniMax with ``reasoning_split``, as its own example reads it: all the thinking so far."""
    said = [(kind, text) for kind, text in said if text]
    thoughts = accumulate(text for kind, text in said if kind == "reasoning_content")
    for kind, text in said:
        yield (
            {"content": text}
            if kind == "content"
            else {"reasoning_details": [{"text": next(thoughts)}]}
        )


def tags(said: Said, opening: str = "<think>\n") -> Frames:
    """MiniMax, and whoever has no parser: tags in the content, cut like any text."""
    thought = "".join(text for kind, text in said if kind == "reasoning_content")
    answer = "".join(text for kind, text in said if kind == "content")
    text = f"{opening}{thought}</think>\n\n{answer}"
    for start in range(0, len(text), 3):
        yield {"content": text[start : start + 3]}


def swallowed_tag(said: Said) -> Frames:
    """A template that ends in the opening tag."""
    return tags(said, "")


WRITERS: dict[str, tuple[Writer, str]] = {
    "both keys": (both_keys, "qwen"),
    "one key": (one_key, "glm"),
    "newer name": (newer_name, "openai-compatible"),
    "both names": (both_names, "openai-compatible"),
    "with details": (with_details, "openai-compatible"),
    "details alone": (details_alone, "minimax"),
    "details so far": (details_so_far, "minimax"),
    "tags": (tags, "minimax"),
    "swallowed tag": (swallowed_tag, "open-thinking"),
}
ONE_PHASE = {"tags", "swallowed tag"}


def stream(deltas: Frames, line_end: str = "\n") -> bytes:
    frames = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    frames.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events = [orjson.dumps(frame).decode() for frame in frames]
    return "".join(f"data: {event}{line_end * 2}" for event in [*events, "[DONE]"]).encode()


def decoded(pieces: list[bytes], dialect: str) -> Transcript:
    sse, log = SSEDecoder(), Transcript()
    chat = ChatCompletionsDecoder(DIALECTS[dialect], log)
    for piece in pieces:
        for data in sse.feed_data(piece):
            chat.feed(data)
    chat.end()
    return log


def deltas_of(log: Transcript) -> list[Delta]:
    return [log.delta(at) for at in range(len(log))]


def cut(body: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(borders)]


def phases(said: Said) -> Said:
    """Join the pieces of each phase: white space that may precede a tag waits for more."""
    runs = groupby((entry for entry in said if entry[1]), key=lambda entry: entry[0])
    return [(kind, "".join(text for _, text in run)) for kind, run in runs]


def told(log: Transcript) -> Said:
    """Write what was decoded like what was said."""
    kinds: dict[type[Delta], str] = {ReasoningDelta: "reasoning_content", AnswerDelta: "content"}
    texts = [d for d in deltas_of(log) if isinstance(d, ReasoningDelta | AnswerDelta)]
    return [(kinds[type(delta)], delta.text) for delta in texts]


pieces_of_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6).filter(
    lambda text: "<" not in text
)
conversations = st.lists(
    st.tuples(st.sampled_from(["reasoning_content", "content"]), pieces_of_text), max_size=12
)
cuts = st.lists(st.integers(0, 3000), max_size=10)
line_ends = st.sampled_from(["\n", "\r", "\r\n"])


@pytest.mark.parametrize("writer", WRITERS)
@given(said=conversations, places=cuts, line_end=line_ends)
def test_every_dialect_says_the_same(
    writer: str, said: Said, places: list[int], line_end: str
) -> None:
    """What a vendor writes, in its own way, is what was said, from any pieces of the bytes."""
    write, dialect = WRITERS[writer]
    if writer in ONE_PHASE:
        said = sorted(said, reverse=True)
    if writer == "details alone":
        assume(not looks_cumulative(said))
    body = stream(write(said), line_end)
    log = decoded(cut(body, places), dialect)
    assert phases(told(log)) == phases(said)
    assert deltas_of(log)[-1] == FinishDelta(0, "stop")
    assert deltas_of(log) == deltas_of(decoded([body], dialect))


def looks_cumulative(said: Said) -> bool:
    """Nobody can tell a thought that repeats all before it from one that goes on."""
    first, second, *_ = [*(t for k, t in said if k == "reasoning_content" and t), "", ""]
    return second.startswith(first) and len(second) > len(first)


@given(conversations, cuts)
def test_the_log_is_the_deltas(said: Said, places: list[int]) -> None:
    """What the folded reply says is what the deltas said, for each kind of text."""
    log = decoded(cut(stream(one_key(said)), places), "glm")
    deltas = deltas_of(log)
    thought = "".join(delta.text for delta in deltas if isinstance(delta, ReasoningDelta))
    answer = "".join(delta.text for delta in deltas if isinstance(delta, AnswerDelta))
    assert (log.text(0, REASONING), log.text(0, ANSWER)) == (thought, answer)
    reply = fold(log, DIALECTS["glm"], About("complete"))
    assert (reply.reasoning, reply.answer) == (thought, answer)
    assert reply.message()["content"] == answer
    assert reply.message().get("reasoning_content", "") == thought


# --- tool calls ---------------------------------------------------------------------------------

calls = st.lists(
    st.tuples(
        st.text("abc_", min_size=1, max_size=5),
        st.dictionaries(pieces_of_text, pieces_of_text, max_size=3),
    ),
    min_size=1,
    max_size=4,
)


def fragments(call: int, name: str, arguments: str, size: int) -> list[dict[str, Any]]:
    """Cut a call the way OpenAI does: id and name first, then pieces of the arguments."""
    head = {"index": call, "id": f"call-{call}", "function": {"name": name, "arguments": ""}}
    texts = [arguments[at : at + size] for at in range(0, len(arguments), size)]
    return [head, *({"index": call, "function": {"arguments": text}} for text in texts)]


@given(calls, st.integers(1, 9), st.randoms(use_true_random=False), cuts)
def test_calls_are_put_together_from_any_fragments(
    made: list[tuple[str, dict[str, str]]], size: int, chance: Any, places: list[int]
) -> None:
    """Calls whose fragments come in turns are the calls that were made."""
    texts = [(name, orjson.dumps(arguments).decode()) for name, arguments in made]
    queues = [fragments(at, name, text, size) for at, (name, text) in enumerate(texts)]
    order = []
    while waiting := [queue for queue in queues if queue]:
        order.append(chance.choice(waiting).pop(0))
    log = decoded(cut(stream({"tool_calls": [piece]} for piece in order), places), "openai")
    found = {call.id: call for call in fold(log, DIALECTS["openai"], About("complete")).tool_calls}
    assert {id_: (call.name, call.parse()) for id_, call in found.items()} == {
        f"call-{at}": (name, arguments) for at, (name, arguments) in enumerate(made)
    }
    pieces = [delta for delta in deltas_of(log) if isinstance(delta, ToolCallDelta)]
    for index, call in enumerate(found.values()):
        mine = [delta for delta in pieces if delta.index == index]
        assert "".join(delta.arguments for delta in mine) == call.arguments
        assert ("".join(d.id for d in mine), "".join(d.name for d in mine)) == (call.id, call.name)
