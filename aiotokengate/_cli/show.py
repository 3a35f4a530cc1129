"""What a person, or the next program in a pipe, sees of a reply."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any, Protocol, TextIO, TypeAlias

import attrs
from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from aiotokengate import AnswerDelta, CommentaryDelta, ReasoningDelta, Reply, UnknownDelta
from aiotokengate._cli.wrapping import Folded, Markdown
from aiotokengate._stream.call import ChatStream
from aiotokengate._wire.jsontext import written
from aiotokengate.types import Delta, Timeline

__all__ = ["Screen", "printable", "screen_for"]

REFRESH_SECONDS = 0.08
COMMENTARY = "commentary/进展: "
"""Stands before what the model says while it works, which is not the answer."""

Cut: TypeAlias = Callable[[str], tuple[list[str], str]]
Look: TypeAlias = Callable[[str, bool], RenderableType]  # a text, and whether it is the first


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
        rest = Console(stderr=True, highlight=False, emoji=False)
        return Terminal(Console(highlight=False), rest, reasoning=reasoning)
    return Plain(sys.stdout, sys.stderr, reasoning=reasoning)


@attrs.frozen
class JsonLines:
    """Each delta as one line of JSON, for programs."""

    _out: TextIO

    def question(self, text: str) -> None:
        """Programs know what they asked."""

    async def show(self, stream: ChatStream) -> None:
        """Write each delta the moment it is there."""
        async for delta in stream:
            self._out.write(_as_json(delta) + "\n")
            self._out.flush()

    def finish(self, reply: Reply) -> None:
        """All was said by the deltas."""


def _as_json(delta: Delta) -> str:
    kind = type(delta).__name__.removesuffix("Delta")
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in kind).lstrip("_")
    fields = _fields(delta)
    if isinstance(delta, UnknownDelta):
        fields["name"] = fields.pop("type")  # the line has a type of its own
    return written({"type": snake, **fields}) or written({"type": snake})


def _fields(value: attrs.AttrsInstance) -> dict[str, Any]:
    """Return the fields of a value; what they hold as it came may be nested too deeply to walk."""
    named = {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
    return {key: _fields(one) if attrs.has(type(one)) else one for key, one in named.items()}


@attrs.define
class Plain:
    """The answer to standard output as it is, all else to standard error."""

    _out: TextIO
    _rest: TextIO
    _reasoning: bool = attrs.field(kw_only=True)
    _last: type[Delta] | None = None

    def question(self, text: str) -> None:
        """Say what is asked."""
        self._tell(f"> {text}\n")

    async def show(self, stream: ChatStream) -> None:
        """Write each piece the moment it is there."""
        told = (CommentaryDelta, ReasoningDelta) if self._reasoning else CommentaryDelta
        async for delta in stream:
            if isinstance(delta, AnswerDelta):
                self._turn_to(AnswerDelta)
                self._out.write(delta.text)
                self._out.flush()
            elif isinstance(delta, told):
                self._turn_to(type(delta))
                self._tell(printable(delta.text))

    def finish(self, reply: Reply) -> None:
        """End the line, and say what it took."""
        self._turn_to(None)
        self._out.write("\n")
        self._out.flush()
        for line in (*besides(reply), summary(reply)):
            self._tell(line + "\n")

    def _turn_to(self, kind: type[Delta] | None) -> None:
        """End the line of what was told on standard error before, and name what comes."""
        if kind is self._last:
            return
        if self._last in (ReasoningDelta, CommentaryDelta):
            self._tell("\n")
        if kind is CommentaryDelta:
            self._tell(COMMENTARY)
        self._last = kind

    def _tell(self, text: str) -> None:
        self._rest.write(text)
        self._rest.flush()


@attrs.frozen
class Terminal:
    """Thinking and commentary dimmed, the answer as Markdown while it grows."""

    _console: Console
    _rest: Console
    _reasoning: bool = attrs.field(kw_only=True)

    def question(self, text: str) -> None:
        """Show what is asked as a person would have typed it."""
        self._console.print(Text(f"> {printable(text)}", style="bold cyan"))

    async def show(self, stream: ChatStream) -> None:
        """Show the phases in order."""
        first = True
        async for phase in stream.phases():
            if phase.kind != "reasoning" or self._reasoning:
                if not first:
                    self._console.print()
                first = False
                cut, look = GROWING[phase.kind]
                await self._grow(phase.bursts(every=REFRESH_SECONDS), cut, look)

    async def _grow(self, bursts: AsyncIterator[str], cut: Cut, look: Look) -> None:
        """Print what can no longer change, and keep only the growing rest live."""
        rest, first = "", True
        with Live(console=self._console, transient=True, auto_refresh=False) as live:
            try:
                async for burst in bursts:
                    whole, rest = cut(rest + printable(burst))
                    if whole:
                        live.console.print(look("\n".join(whole), first))
                        first = False
                    live.update(Tail(look(rest, first)), refresh=True)
            finally:
                live.update("", refresh=True)
                if rest.strip():
                    live.console.print(look(rest.rstrip(), first))

    def finish(self, reply: Reply) -> None:
        """Say what it took, and how it ended if that is not the usual way."""
        for line in besides(reply):
            self._rest.print(Text(line))
        self._rest.print(Text(summary(reply), style="dim"))


def thought(text: str, _first: bool) -> Folded:  # noqa: FBT001 - see Look
    """Look of the thinking."""
    return Folded(Text(text, style="dim"))


def comment(text: str, first: bool) -> Folded:  # noqa: FBT001 - see Look
    """Look of the commentary: its label stands before its first line."""
    return Folded(Text(COMMENTARY * first + text, style="dim"))


def whole_lines(text: str) -> tuple[list[str], str]:
    """Cut before the last line that says something."""
    at = text.rstrip().rfind("\n")
    return ([text[:at]], text[at + 1 :]) if at >= 0 else ([], text)


_BLOCKS = MarkdownIt().enable("table").disable("inline")


def split_blocks(text: str, known: int | None = None) -> list[str]:
    """Cut Markdown between its blocks, heeding only so many characters of it."""
    tokens = _BLOCKS.parse(text[:known])
    starts = sorted({token.map[0] for token in tokens if token.map and not token.level})
    lines = text.split("\n")
    return ["\n".join(lines[a:b]) for a, b in pairwise([0, *starts[1:], len(lines)])]


def whole_blocks(text: str) -> tuple[list[str], str]:
    """Cut Markdown before the last block of its whole lines: only from there it can change.

    Half a line does not count: ``2`` is a paragraph, but ``2. b`` continues the list before it.
    """
    *whole, rest = split_blocks(text, text.rfind("\n") + 1)
    return whole, rest


@attrs.frozen
class Blocks:
    """Markdown with one blank line between blocks, whether printed together or one by one."""

    text: str
    first: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render block by block."""
        first = self.first
        for block in split_blocks(self.text):
            lines = console.render_lines(Markdown(block), options, pad=False)
            shown = [at for at, line in enumerate(lines) if _is_visible(line)]
            if shown and not first:
                yield Segment.line()
            for line in lines[shown[0] : shown[-1] + 1] if shown else ():
                yield from line
                yield Segment.line()
            first = first and not shown


def _is_visible(line: list[Segment]) -> bool:
    return any(segment.text.strip() for segment in line)


GROWING: dict[str, tuple[Cut, Look]] = {
    "reasoning": (whole_lines, thought),
    "answer": (whole_blocks, Blocks),
    "commentary": (whole_lines, comment),
}


@attrs.frozen
class Tail:
    """The end of what may be higher than the screen: only what fits, always the newest."""

    whole: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render all, and return the last lines."""
        lines = console.render_lines(self.whole, options, pad=False)
        for line in lines[-max(1, console.height - 2) :]:
            yield from line
            yield Segment.line()


_VISIBLE: dict[int, int | str] = {
    **{code: 0x2400 + code for code in range(0x20)},
    **dict.fromkeys(range(0x7F, 0xA0), 0xFFFD),
    ord("\t"): "\t",
    ord("\n"): "\n",
    ord("\r"): "",
}


def printable(text: str) -> str:
    """Make control characters visible: what a model says must not steer the terminal."""
    return text.translate(_VISIBLE)


def besides(reply: Reply) -> list[str]:
    """Say what a reply holds that is neither thinking nor answer."""
    choice = reply.choices[0]
    refused = [f"refused/已拒绝: {printable(choice.refusal)}"] if choice.refusal else []
    media = [
        f"{medium.kind}: {medium.url if medium.data is None else medium.mime}"
        for medium in choice.media
    ]
    return [*refused, *(printable(line) for line in media)]


_ENDED = {"stopped": "stopped/已停止", "paused": "paused/已暂停"}


def summary(reply: Reply) -> str:
    """Return one line of tokens and times."""
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
        parts.append(_ENDED.get(reply.status, "interrupted/已中断"))
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
