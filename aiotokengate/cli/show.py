"""What a person, or the next program in a pipe, sees of a reply."""

from __future__ import annotations

import sys
from typing import Any, Protocol, TextIO

import attrs
import orjson
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.text import Text

from aiotokengate import AnswerDelta, ReasoningDelta, Reply
from aiotokengate.stream import ChatStream
from aiotokengate.types import Delta, Timeline

__all__ = ["Screen", "screen_for"]

REFRESH_SECONDS = 0.08


class Screen(Protocol):
    """Where replies are shown."""

    def question(self, text: str) -> None:
        """Show what is asked, where nobody typed it."""

    async def show(self, stream: ChatStream) -> None:
        """Show a reply as it comes."""

    def finish(self, reply: Reply) -> None:
        """Show what there is to say at the end."""


def screen_for(*, as_json: bool, reasoning: bool) -> Screen:
    """Choose by what standard output is."""
    if as_json:
        return JsonLines(sys.stdout)
    if sys.stdout.isatty():
        return Terminal(Console(highlight=False), reasoning=reasoning)
    return Plain(sys.stdout, sys.stderr, reasoning=reasoning)


class JsonLines:
    """Each delta as one line of JSON, for programs."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def question(self, text: str) -> None:
        """Programs know what they asked."""

    async def show(self, stream: ChatStream) -> None:
        """Write each delta the moment it is there."""
        async for delta in stream:
            self._out.write(orjson.dumps(_as_json(delta)).decode() + "\n")
            self._out.flush()

    def finish(self, reply: Reply) -> None:
        """All was said by the deltas."""


def _as_json(delta: Delta) -> dict[str, Any]:
    kind = type(delta).__name__.removesuffix("Delta")
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in kind).lstrip("_")
    return {"type": snake, **attrs.asdict(delta)}


class Plain:
    """The answer to standard output, the thinking and the rest to standard error."""

    def __init__(self, out: TextIO, rest: TextIO, *, reasoning: bool) -> None:
        self._out = out
        self._rest = rest
        self._reasoning = reasoning

    def question(self, text: str) -> None:
        """Say what is asked."""
        self._rest.write(f"> {text}\n")
        self._rest.flush()

    async def show(self, stream: ChatStream) -> None:
        """Write each piece the moment it is there."""
        last: type[Delta] | None = None
        async for delta in stream:
            if isinstance(delta, ReasoningDelta) and self._reasoning:
                self._rest.write(delta.text)
                self._rest.flush()
            elif isinstance(delta, AnswerDelta):
                if last is ReasoningDelta and self._reasoning:
                    self._rest.write("\n")
                self._out.write(delta.text)
                self._out.flush()
            last = type(delta)

    def finish(self, reply: Reply) -> None:
        """End the line, and say what it took."""
        self._out.write("\n")
        self._out.flush()
        self._rest.write(summary(reply) + "\n")
        self._rest.flush()


class Terminal:
    """Thinking dimmed, the answer as Markdown while it grows."""

    def __init__(self, console: Console, *, reasoning: bool) -> None:
        self._console = console
        self._reasoning = reasoning

    def question(self, text: str) -> None:
        """Show what is asked as a person would have typed it."""
        self._console.print(Text(f"> {text}", style="bold cyan"))

    async def show(self, stream: ChatStream) -> None:
        """Show the phases in order."""
        async for phase in stream.phases():
            if phase.kind == "answer":
                await self._answer(phase.bursts(every=REFRESH_SECONDS))
            elif self._reasoning:
                async for text in phase:
                    self._console.print(Text(text, style="dim"), end="", soft_wrap=True)
                self._console.print("\n")

    async def _answer(self, bursts: Any) -> None:  # noqa: ANN401 - an iterator of str
        blocks = Blocks()
        with Live(console=self._console, transient=True, auto_refresh=False) as live:
            try:
                async for text in bursts:
                    for block in blocks.feed(text):
                        live.console.print(Markdown(block))
                    live.update(Tail(blocks.rest), refresh=True)
            finally:
                live.update("", refresh=True)
                if blocks.rest.strip():
                    live.console.print(Markdown(blocks.rest))

    def finish(self, reply: Reply) -> None:
        """Say what it took, and how it ended if that is not the usual way."""
        self._console.print(Text(summary(reply), style="dim"))


class Blocks:
    """Cuts Markdown at blank lines outside of code: what is whole, and the growing rest."""

    def __init__(self) -> None:
        self.rest = ""

    def feed(self, text: str) -> list[str]:
        """Take more text; give the blocks that can no longer change."""
        self.rest += text
        *lines, last = self.rest.split("\n")
        whole: list[str] = []
        block: list[str] = []
        fenced = False
        for line in lines:
            block.append(line)
            if line.lstrip().startswith(("```", "~~~")):
                fenced = not fenced
            if not line.strip() and not fenced:
                if any(part.strip() for part in block):
                    whole.append("\n".join(block))
                block = []
        self.rest = "\n".join([*block, last])
        return whole


@attrs.frozen
class Tail:
    """The end of Markdown that is higher than the screen: only what fits, always the newest."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render all, and give the last lines."""
        lines = console.render_lines(Markdown(self.text), options, pad=False)
        for line in lines[-max(1, console.height - 2) :]:
            yield from line
            yield Segment.line()


def summary(reply: Reply) -> str:
    """Give one line of tokens and times."""
    usage, times = reply.usage, reply.timeline
    about = "~" if usage.estimated else ""
    parts = [
        f"tokens/令牌 {about}{usage.prompt_tokens} → {about}{usage.completion_tokens}"
        + (f" (thinking/思考 {about}{usage.reasoning_tokens})" if usage.reasoning_tokens else ""),
        *_times(times),
    ]
    speed = _speed(usage.completion_tokens, times)
    if speed is not None:
        parts.append(f"{speed:.0f}/s")
    if reply.status != "complete":
        parts.append({"stopped": "stopped/已停止"}.get(reply.status, "interrupted/已中断"))
    elif reply.finish_reason != "stop":
        parts.append(f"finish/结束原因 {reply.finish_reason}")
    return "[" + " · ".join([*parts, *reply.notes]) + "]"


def _times(times: Timeline) -> list[str]:
    named = {
        "first thought/首个思考": times.first_reasoning,
        "first answer/首个回答": times.first_answer,
        "total/总计": times.done,
    }
    return [f"{name} {seconds:.2f} s" for name, seconds in named.items() if seconds is not None]


def _speed(tokens: int, times: Timeline) -> float | None:
    firsts = [t for t in (times.first_reasoning, times.first_answer) if t is not None]
    if times.done is None or not firsts or times.done - min(firsts) <= 0:
        return None
    return tokens / (times.done - min(firsts))
