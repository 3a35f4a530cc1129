"""What holds for every stream, however it is cut and whoever reads it."""

import asyncio
from itertools import groupby, pairwise

import orjson
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate import AnswerDelta, ChatStream, ReasoningDelta
from aiotokengate._stream.receiver import Guard
from tests.support.common import receiver_over

FIELDS = {"reasoning": "reasoning_content", "answer": "content"}

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
said = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(sorted(FIELDS)), texts), min_size=1, max_size=25
).filter(lambda entries: not any("<" in text for _, _, text in entries))
cuts = st.lists(st.integers(0, 4000), max_size=12)


def body(entries: list[tuple[int, str, str]]) -> bytes:
    """Return a stream that says these texts, each in a delta of its own."""
    chunks = [
        {"choices": [{"index": choice, "delta": {FIELDS[kind]: text}}]}
        for choice, kind, text in entries
    ]
    chunks += [
        {"choices": [{"index": choice, "delta": {}, "finish_reason": "stop"}]}
        for choice in sorted({choice for choice, _, _ in entries})
    ]
    return (
        b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks)
        + b"data: [DONE]\n\n"
    )


def pieces(data: bytes, places: list[int]) -> list[bytes]:
    """Cut the data at these places."""
    borders = [0, *sorted(place % len(data) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(borders) if a != b]


def stream_of(steps: list[bytes], choices: int) -> ChatStream:
    """Return a stream over a body without a socket."""
    receiver = receiver_over(steps, choices=choices)
    return ChatStream(receiver, Guard(receiver))


@given(said, cuts)
def test_views_are_the_deltas(entries: list[tuple[int, str, str]], places: list[int]) -> None:
    """For each choice, the views together are its deltas, in order, whatever the cuts."""

    async def read() -> None:
        stream = stream_of(pieces(body(entries), places), len({c for c, _, _ in entries}))
        deltas = [d async for d in stream if isinstance(d, ReasoningDelta | AnswerDelta)]
        got = [(d.choice, kind_of(d), d.text) for d in deltas]
        for index in {choice for choice, _, _ in entries}:
            mine = [entry for entry in got if entry[0] == index]
            assert joined(mine) == joined([entry for entry in entries if entry[0] == index])
            await check_choice(stream, index, mine)

    asyncio.run(read())


def kind_of(delta: ReasoningDelta | AnswerDelta) -> str:
    return "reasoning" if isinstance(delta, ReasoningDelta) else "answer"


def joined(entries: list[tuple[int, str, str]]) -> list[tuple[str, str]]:
    """Join the texts of each phase: white space that may precede a tag waits for more."""
    phases = groupby(entries, lambda entry: entry[1])
    return [(kind, "".join(text for _, _, text in phase)) for kind, phase in phases]


async def check_choice(
    stream: ChatStream, index: int, entries: list[tuple[int, str, str]]
) -> None:
    view = stream.choice(index)
    spoken = {kind: [text for _, k, text in entries if k == kind] for kind in FIELDS}
    assert [text async for text in view.reasoning.all()] == spoken["reasoning"]
    assert [text async for text in view.answer] == spoken["answer"]
    runs = [(kind, [text for _, _, text in run]) for kind, run in groupby(entries, lambda e: e[1])]
    phases = [(phase.kind, [text async for text in phase]) async for phase in view.phases()]
    assert phases == runs
    leading = runs[0][1] if runs[0][0] == "reasoning" else []
    assert [text async for text in view.reasoning] == leading
    lines = [line async for line in view.answer.lines()]
    whole = "".join(spoken["answer"])
    assert lines == whole.removesuffix("\n").split("\n") if whole else lines == []
    reply = await stream.reply()
    choice = next(choice for choice in reply.choices if choice.index == index)
    assert (choice.reasoning, choice.answer) == ("".join(spoken["reasoning"]), whole)


@given(said, cuts, st.lists(st.sampled_from(["reasoning", "answer", "all"]), max_size=4))
def test_readers_side_by_side(
    entries: list[tuple[int, str, str]], places: list[int], who: list[str]
) -> None:
    """Any number of readers of any views see the same, whoever waits."""
    entries = [(0, kind, text) for _, kind, text in entries]

    async def read() -> None:
        stream = stream_of(pieces(body(entries), places), 1)
        views = {"reasoning": stream.reasoning.all(), "answer": stream.answer}
        readers = [views[name].text() for name in who if name != "all"]
        results = await asyncio.gather(*readers, stream.reply())
        for name, text in zip([name for name in who if name != "all"], results, strict=False):
            assert text == "".join(t for _, kind, t in entries if kind == name)

    asyncio.run(read())
