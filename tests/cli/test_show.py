"""What is shown of a reply: to a program, in a pipe, and as it grows on a terminal."""

import asyncio
import json
import os
import pty
import sys
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType
from rich.text import Text

from aiotokengate import StreamInterrupted
from aiotokengate._cli import show
from aiotokengate._cli.show import Blocks, Cut, Tail, printable, whole_blocks, whole_lines
from aiotokengate._stream.call import ChatStream
from aiotokengate._stream.receiver import Guard
from aiotokengate._wire.transcript import ANSWER, COMMENTARY, REASONING
from aiotokengate.testing._clock import VirtualClock
from aiotokengate.testing._script import Pause
from aiotokengate.testing._scripted_body import Step
from tests.support.common import receiver_over
from tests.support.screens import scrolled
from tests.support.streams import DONE, body, chat_frame

DOCUMENT = """# 标题 😊

第一段 **粗**
续行

- 一

    还是一

- 二

1. one

2. two

```python
x = 1

~~~
y = 2
```
text
> 引用

| 甲 | 乙 |
|---|---|
| 1 | 2 |

[link]: http://example.com

最后"""

BLOCKS = [
    "# 标题 😊\n",
    "第一段 **粗**\n续行\n",
    "- 一\n\n    还是一\n\n- 二\n",
    "1. one\n\n2. two\n",
    "```python\nx = 1\n\n~~~\ny = 2\n```",
    "text",
    "> 引用\n",
    "| 甲 | 乙 |\n|---|---|\n| 1 | 2 |\n\n[link]: http://example.com\n",
]


def grown(text: str, cut: Cut, size: int) -> tuple[list[str], str]:
    """Feed a text in pieces; return the parts cut off and the rest."""
    parts: list[str] = []
    rest = ""
    for start in range(0, len(text), size):
        whole, rest = cut(rest + text[start : start + size])
        parts += whole
    return parts, rest


@pytest.mark.parametrize("size", [1, 2, 7, len(DOCUMENT)])
def test_markdown_is_cut_between_blocks(size: int) -> None:
    """A block is let go when the next one has begun, in whatever pieces it came."""
    whole, rest = grown(DOCUMENT + "\n\n完", whole_blocks, size)
    assert whole == BLOCKS
    assert rest == "最后\n\n完"


@given(
    st.text(alphabet="ab一。 \n-*#>`~|1.😊", max_size=60),
    st.sampled_from([whole_blocks, whole_lines]),
    st.integers(1, 9),
)
def test_nothing_is_lost_by_cutting(text: str, cut: Cut, size: int) -> None:
    """The parts and the rest, put together again, are the text."""
    whole, rest = grown(text, cut, size)
    assert "\n".join([*whole, rest]) == text


@pytest.mark.parametrize("size", [1, 5, len(DOCUMENT)])
def test_growing_markdown_ends_as_markdown_at_once(size: int) -> None:
    """Printed block by block or as one, there is one blank line between blocks."""
    parts, rest = grown(DOCUMENT, whole_blocks, size)
    looks = [Blocks(part, not at) for at, part in enumerate([*parts, rest])]
    assert rendered(*looks) == rendered(Blocks(DOCUMENT, first=True))
    assert "\n\n\n" not in rendered(*looks)
    assert "续行\n\n • 一\n" in rendered(*looks)


def rendered(*parts: RenderableType) -> str:
    console = Console(width=40, color_system=None)
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def test_control_characters_are_visible() -> None:
    """All but tab and line feed are shown as signs; carriage returns are dropped."""
    assert printable("\x1b[2J\x00\x07\t好\r\n\x7f\x9b") == "␛[2J␀␇\t好\n\ufffd\ufffd"


# --- a whole reply ------------------------------------------------------------------------------


def stream_of(*steps: Step, clock: VirtualClock | None = None) -> ChatStream:
    """Return a reply that comes step by step, without a socket."""
    receiver = receiver_over(steps, clock=clock)
    return ChatStream(receiver, Guard(receiver))


def working() -> ChatStream:
    """Return a reply with commentary between its thoughts and its answer."""
    receiver = receiver_over([body([chat_frame({"content": "\n结果 ✅"}, "stop"), DONE])])
    state = receiver.log.choice(0)
    receiver.log.say(state, REASONING, "先想")
    receiver.log.say(state, COMMENTARY, "正在查")
    receiver.log.unknown(0, "responses", "response.hologram", {"x": 1})
    receiver.log.say(state, COMMENTARY, "天气 🔎")
    receiver.log.say(state, ANSWER, "这是")
    return ChatStream(receiver, Guard(receiver))


@pytest.mark.parametrize("reasoning", [True, False])
async def test_commentary_stands_apart_in_a_pipe(*, reasoning: bool) -> None:
    """It goes to standard error with a label of its own, also where the thinking is left out."""
    stream, out, rest = working(), StringIO(), StringIO()
    screen = show.Plain(out, rest, reasoning=reasoning)
    await screen.show(stream)
    screen.finish(await stream.reply())
    assert out.getvalue() == "这是\n结果 ✅\n"
    thought = ["先想"] if reasoning else []
    assert rest.getvalue().splitlines()[:-1] == [*thought, "commentary/进展: 正在查天气 🔎"]


async def test_commentary_stands_apart_on_a_terminal() -> None:
    """It is dimmed like the thinking, with its label once, before the answer."""
    stream, out = working(), StringIO()
    console = Console(file=out, force_terminal=True, width=80, highlight=False)
    screen = show.Terminal(console, Console(file=StringIO()), reasoning=True)
    await screen.show(stream)
    shown = scrolled(out.getvalue().encode().replace(b"\n", b"\r\n"))
    lines = [line for line in shown.split("\n") if line]
    assert lines[:2] == ["先想", "commentary/进展: 正在查天气 🔎"]
    assert "结果 ✅" in lines[-1]
    assert "\x1b[2mcommentary/进展: " in out.getvalue()


async def test_commentary_alone_ends_its_line() -> None:
    """The counts stand on a line of their own also after what is no answer."""
    receiver = receiver_over([body([chat_frame({}, "stop")])])
    receiver.log.say(receiver.log.choice(0), COMMENTARY, "还在查 ⏳")
    stream, rest = ChatStream(receiver, Guard(receiver)), StringIO()
    screen = show.Plain(StringIO(), rest, reasoning=True)
    await screen.show(stream)
    screen.finish(await stream.reply())
    first, last = rest.getvalue().splitlines()
    assert first == "commentary/进展: 还在查 ⏳"
    assert last.startswith("[tokens/令牌")


async def test_each_delta_is_a_line_of_json() -> None:
    """What nobody knows has its name beside the type of the line."""
    stream, out = working(), StringIO()
    screen = show.JsonLines(out)
    screen.question("no program wants to read it")
    await screen.show(stream)
    screen.finish(await stream.reply())
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert lines[0] == {"type": "reasoning", "text": "先想", "choice": 0}
    (odd,) = [line for line in lines if line["type"] == "unknown"]
    assert odd["name"] == "response.hologram"
    assert lines[-1] == {"type": "finish", "reason": "stop", "choice": 0}


@pytest.mark.parametrize(
    ("as_json", "on_a_terminal", "kind"),
    [
        (True, False, show.JsonLines),
        (True, True, show.JsonLines),
        (False, False, show.Plain),
        (False, True, show.Terminal),
    ],
)
def test_the_screen_is_chosen_by_what_reads(
    monkeypatch: pytest.MonkeyPatch, *, as_json: bool, on_a_terminal: bool, kind: type
) -> None:
    ends = pty.openpty() if on_a_terminal else os.pipe()[::-1]
    with open(ends[1] if on_a_terminal else ends[0], "w", encoding="utf-8") as out:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", out)
        assert type(show.screen_for(as_json=as_json, reasoning=True)) is kind
        monkeypatch.undo()
    os.close(ends[0] if on_a_terminal else ends[1])


def test_a_question_that_nobody_typed_is_shown() -> None:
    rest, out = StringIO(), StringIO()
    show.Plain(StringIO(), rest, reasoning=True).question("在吗？")
    show.Terminal(Console(file=out), Console(), reasoning=True).question("在\x07吗？")
    assert (rest.getvalue(), out.getvalue()) == ("> 在吗？\n", "> 在␇吗？\n")


@pytest.mark.parametrize("reasoning", [True, False])
async def test_phases_stand_apart_on_a_terminal(*, reasoning: bool) -> None:
    """Half a line stays live until it is whole, and the last one is printed at the end."""
    pieces = [{"reasoning_content": "想一"}, {"reasoning_content": "想\n再想"}]
    pieces += [{"content": "# 标题\n\n一"}, {"content": "段\n\n- 甲\n"}, {"content": "- 乙"}]
    frames = [chat_frame(piece) for piece in pieces]
    stream, out, rest = (
        stream_of(body([*frames, chat_frame({}, "stop"), DONE])),
        StringIO(),
        StringIO(),
    )
    console = Console(file=out, force_terminal=True, width=40, highlight=False)
    screen = show.Terminal(console, Console(file=rest, width=200), reasoning=reasoning)
    await screen.show(stream)
    screen.finish(await stream.reply())
    shown = [
        line.strip()
        for line in scrolled(out.getvalue().encode().replace(b"\n", b"\r\n")).split("\n")
    ]
    lines = [line.strip("┃━┏┓┗┛ ") for line in shown if line.strip("┃━┏┓┗┛ ")]
    assert lines == [*(["想一想", "再想"] if reasoning else []), "标题", "一段", "• 甲", "• 乙"]
    assert rest.getvalue().startswith("[tokens/令牌 ")


async def test_what_came_before_a_failure_is_shown() -> None:
    stream, out = (
        stream_of(body([chat_frame({"content": "一半"})]), ConnectionResetError()),
        StringIO(),
    )
    screen = show.Terminal(Console(file=out), Console(file=StringIO()), reasoning=True)
    with pytest.raises(StreamInterrupted):
        await screen.show(stream)
    assert "一半" in out.getvalue()


def test_of_what_is_higher_than_the_screen_the_end_is_shown() -> None:
    console = Console(width=20, height=5, color_system=None)
    with console.capture() as capture:
        console.print(Tail(Text("\n".join("abcdefgh"))))
    assert capture.get().split() == ["f", "g", "h"]


async def summed(*frames: Any, pause: float = 0.0) -> tuple[list[str], str]:
    """Return what is said at the end of a reply."""
    clock = VirtualClock()
    first, *others = [body([frame]) for frame in frames]
    stream = stream_of(first, *([Pause(pause)] if pause else []), *others, clock=clock)
    telling = asyncio.create_task(stream.reply())
    await clock.run_for(pause + 1)
    reply = await telling
    return show.besides(reply), show.summary(reply)


USAGE = {
    "choices": [],
    "usage": {
        "prompt_tokens": 3,
        "completion_tokens": 40,
        "completion_tokens_details": {"reasoning_tokens": 30},
    },
}


async def test_what_a_reply_took() -> None:
    _, said = await summed(
        chat_frame({"reasoning_content": "想"}),
        chat_frame({"content": "好"}, "stop"),
        USAGE,
        DONE,
        pause=2.0,
    )
    assert said == (
        "[tokens/令牌 3 → 40 (thinking/思考 30) · first thought/首个思考 0.00 s · "
        "first answer/首个回答 2.00 s · total/总计 2.00 s · 20/s]"
    )


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("length", " · finish/结束原因 length]"),
        ("pause_turn", " · paused/已暂停 · paused by the vendor"),
    ],
)
async def test_how_a_reply_ended(reason: str, told: str) -> None:
    """A text whose tokens nobody counted has about so many, and no speed without a time."""
    _, said = await summed(chat_frame({"content": "好"}, reason), DONE)
    assert said.startswith("[tokens/令牌 ~")
    assert told in said
    assert "/s" not in said


async def test_a_reply_that_was_stopped() -> None:
    stream = stream_of(body([chat_frame({"content": "好"})]), body([DONE]))
    async for _ in stream:
        break
    stream.stop()
    assert "stopped/已停止" in show.summary(await stream.reply())


async def test_refusals_and_media_are_named() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://a.test/\x1b.png"}}
    data = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    frame = chat_frame({"refusal": "不\x1b行", "images": [image, data]}, "stop")
    told, _ = await summed(frame, DONE)
    assert told == ["refused/已拒绝: 不␛行", "image: https://a.test/␛.png", "image: image/png"]
