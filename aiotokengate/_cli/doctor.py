"""What ``aiotokengate doctor`` finds out: how a gateway really answers for a model.

Strategy.  A few small questions go through a recorder, so that what is looked at are the bytes
themselves and not what the library made of them; the same recording can be kept as a fixture.
Every question stands alone: one that is refused is a finding, too; and what a model merely did not
do this time was not seen, which is not a no.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from aiotokengate import (
    AuthenticationFailed,
    Reply,
    Retry,
    StatusError,
    TokenGate,
    TokenGateError,
    UnknownDelta,
    WireError,
)
from aiotokengate._stream.call import ChatCall
from aiotokengate._wire.question import dicts_in
from aiotokengate.catalogue import CATALOGUE, Model, Prefix, ProtocolName
from aiotokengate.testing._recorder import Recorder
from aiotokengate.testing._recording import Exchange

__all__ = ["Finding", "Oddities", "examine", "show"]

Json: TypeAlias = Any

QUESTION = "9.11 和 9.9 哪个大？只说结论。Which is larger? 🤔"
TOOL: Mapping[str, Json] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "查询天气 / look up the weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
PREFIX_ASKED = "Repeat exactly and say nothing else: zanzibar-heliotrope-quixotic"
PREFIX_GIVEN = "zanzibar-helio"
PREFIX_REST = "trope"
_FIELDS = ("reasoning_content", "reasoning", "reasoning_details")
_TAGS = ("<think>", "<thinking>", "<thought>")
_CLOSED = ("</think>", "</thinking>", "</thought>")
_OTHERS: tuple[ProtocolName, ...] = ("responses", "messages", "gemini")
_ONCE = Retry(attempts=1)
_MOST = 2_000
_NOT_SEEN = "not seen"
_LONGEST = 60


@attrs.frozen
class Finding:
    """One thing that was found out: what was looked at, and what it is."""

    what: str
    result: str


@attrs.define
class _Frames:
    """The parsed events of a stream, and what stood between them."""

    frames: list[Mapping[str, Json]]
    comments: int
    done: bool

    @classmethod
    def of(cls, exchange: Exchange) -> _Frames:
        body = b"".join(data for _, data in exchange.writes)
        frames: list[Mapping[str, Json]] = []
        comments, done = 0, False
        for line in body.splitlines():
            data = line.removeprefix(b"data:").strip()
            if line.startswith(b":"):
                comments += 1
            elif data.startswith(b"[DONE]"):
                done = True
            elif line.startswith(b"data:"):
                parsed = _parsed(data)
                frames += [parsed] if isinstance(parsed, dict) else []
        return cls(frames, comments, done)

    def deltas(self) -> Iterator[Mapping[str, Json]]:
        for frame in self.frames:
            for choice in dicts_in(frame.get("choices")):
                content = choice.get("delta") or choice.get("message")
                if isinstance(content, dict):
                    yield content


class Oddities:
    """What came that the library did not understand, over all replies."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._unknown: Counter[tuple[str, str]] = Counter()
        self._skipped = 0

    def take(self, deltas: Iterable[object], skipped: int) -> None:
        """Look through a reply: its deltas, and how many frames could not be read."""
        for delta in deltas:
            if isinstance(delta, UnknownDelta):
                self._unknown[delta.protocol, delta.type[:_LONGEST]] += 1
        self._skipped += skipped

    def findings(self) -> list[Finding]:
        """Return a line for each kind, to be reported."""
        lines = [
            Finding(f"unknown in {protocol}: {kind!r}", f"{times}×; please report it / 请反馈")
            for (protocol, kind), times in self._unknown.items()
        ]
        if self._skipped:
            told = f"{self._skipped}; please report it with --save / 请用 --save 录制并反馈"
            lines.append(Finding("frames that could not be read", told))
        return lines


async def _listed(gate: TokenGate) -> set[str] | StatusError | WireError:
    """Return the models that a gateway lists, or why it lists none; many have no list.

    Raises:
        TokenGateError: it can't be reached, or refuses the key.
    """
    try:
        return {model.id for model in await gate.models()}
    except AuthenticationFailed:
        raise
    except (StatusError, WireError) as error:
        return error


def _parsed(data: bytes) -> Json:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


async def examine(
    model: str, *, api_key: str | None, base_url: str | None, save: Path | None
) -> tuple[list[Finding], Model, TokenGateError | None]:
    """Ask the questions; return what was found, a row for the catalogue, and why all was refused.

    Args:
        model: to be examined.
        api_key: as for :class:`TokenGate`.
        base_url: as for :class:`TokenGate`.
        save: where to keep the recording, None for nowhere.

    Raises:
        TokenGateError: the gateway can't be reached, or refuses the key.
        OSError: the recording can't be written.
    """
    async with TokenGate(api_key=api_key, base_url=base_url, retry=_ONCE) as gate:
        await _listed(gate)  # not through the recorder, which has no words for what is in the way
        address = gate.base_url
    with tempfile.TemporaryDirectory() as folder:
        place = save or Path(folder) / "recording.json"
        async with (
            Recorder(place, base_url=address) as recorder,
            TokenGate(api_key=api_key, base_url=recorder.base_url, retry=_ONCE, proxy="") as gate,
        ):
            return await _Examination(model, gate, recorder).run()


class _Examination:
    """The questions to one model."""

    def __init__(self, model: str, gate: TokenGate, recorder: Recorder) -> None:
        self._model = model
        self._gate = gate
        self._recorder = recorder
        self._row = attrs.evolve(CATALOGUE.find(model), pattern=model)
        self._found: list[Finding] = []
        self._open: list[ProtocolName] = []
        self._refusals: list[TokenGateError] = []
        self._oddities = Oddities()
        self._answered = False

    async def run(self) -> tuple[list[Finding], Model, TokenGateError | None]:
        self._note("listed by /models", _presence(self._model, await _listed(self._gate)))
        await self._stream()
        await self._plain()
        await self._switch()
        await self._tools()
        await self._prefix()
        await self._protocols()
        self._found += self._oddities.findings()
        refused = None if self._answered else self._refusals[0]
        return self._found, self._row, refused

    def _note(self, what: str, result: object) -> None:
        self._found.append(Finding(what, str(result)))

    async def _asked(self, what: str, call: Callable[[], ChatCall]) -> Reply | None:
        """Make a call; a refusal is what was found."""
        try:
            async with call() as stream:
                deltas = [delta async for delta in stream]
                reply = await stream.reply()
        except TokenGateError as error:
            self._refusals.append(error)
            self._note(what, f"no: {_named(error)}")
            return None
        self._oddities.take(deltas, reply.skipped)
        self._answered = True
        return reply

    def _chat(self, messages: Json = QUESTION, **options: Json) -> Callable[[], ChatCall]:
        options = {"protocol": "chat", "max_tokens": _MOST, **options}
        return lambda: self._gate.chat(self._model, messages, **options)

    def _last(self) -> Exchange:
        return self._recorder.recording.exchanges[-1]

    async def _stream(self) -> None:
        reply = await self._asked("streams over Chat Completions", self._chat())
        if reply is None:
            return
        seen = _Frames.of(self._last())
        self._open.append("chat")
        self._note("streams over Chat Completions", f"yes, {len(seen.frames)} chunks")
        field = self._field(seen)
        self._note("reasoning arrives in", field)
        self._note("usage comes", _usage_place(seen))
        self._note("keep-alive comments", seen.comments or _NOT_SEEN)
        self._note("ends with [DONE]", "yes" if seen.done else "no")
        started = reply.timeline.first_reasoning or reply.timeline.first_answer or 0.0
        self._note("seconds to the first token", f"{started:.2f}")

    def _field(self, seen: _Frames) -> str:
        fields = [name for name in _FIELDS if any(delta.get(name) for delta in seen.deltas())]
        if fields:
            return ", ".join(fields)
        texts = (delta.get("content") for delta in seen.deltas())
        text = "".join(part for part in texts if isinstance(part, str)).lstrip()
        tag = next((tag for tag in _TAGS if text.startswith(tag)), None)
        closed = next((tag for tag in _CLOSED if tag in text), None)
        if tag is None and closed is not None:
            self._row = attrs.evolve(self._row, dialect="open-thinking")
            return f"the text, up to {closed}; the opening tag is missing"
        return f"the text, between {tag} tags" if tag else _NOT_SEEN

    async def _plain(self) -> None:
        reply = await self._asked("plain answers", self._chat(stream=False))
        if reply is None:
            return
        names = sorted(name.lower() for name in reply.headers)
        limits = [name for name in names if name.startswith("x-ratelimit-")]
        self._note("rate-limit headers", ", ".join(limits) or "none")
        ids = [name for name in names if name.endswith("request-id")]
        self._note("request id in", ", ".join(ids) or "nothing")

    async def _switch(self) -> None:
        off = await self._asked("thinking switched off", self._chat(reasoning="off"))
        if off is not None:
            silent = not off.reasoning and not off.usage.reasoning_tokens
            self._note("thinking switched off", "honoured" if silent else "not honoured")
        high = await self._asked("thinking asked for", self._chat(reasoning="high"))
        if high is not None:
            self._note("thinking asked for", "shown" if high.reasoning else _NOT_SEEN)
            for note in high.notes:
                self._note("", note)

    async def _tools(self) -> None:
        asked = self._chat("请用 weather 查一下北京的天气 🌦️", tools=[TOOL])
        reply = await self._asked("tool calls", asked)
        if reply is None:
            return
        pieces = [
            piece
            for delta in _Frames.of(self._last()).deltas()
            for piece in dicts_in(delta.get("tool_calls"))
        ]
        if not pieces or not reply.tool_calls:
            self._note("tool calls", f"{_NOT_SEEN}: the model made none")
            return
        self._row = attrs.evolve(self._row, tools=True)
        indexes = "numbered" if all("index" in piece for piece in pieces) else "not numbered"
        form = "whole" if len(pieces) == len(reply.tool_calls) else f"in {len(pieces)} pieces"
        self._note("tool calls", f"{form}, {indexes}, ids like {reply.tool_calls[0].id[:8]}…")

    async def _prefix(self) -> None:
        key: Prefix = self._row.prefix if self._row.prefix == "partial" else "prefix"
        begun = {"role": "assistant", "content": PREFIX_GIVEN, key: True}
        history = [{"role": "user", "content": PREFIX_ASKED}, begun]
        reply = await self._asked("goes on from a prefix", self._chat(history, reasoning="off"))
        if reply is not None and not reply.answer:
            self._note("goes on from a prefix", f"{_NOT_SEEN}: the answer is empty")
        elif reply is not None:
            goes_on = reply.answer.lstrip().startswith(PREFIX_REST)
            self._note("goes on from a prefix", f"yes, by {key!r}" if goes_on else "no")
            if self._row.prefix != "prefill":  # that is asked for over Messages
                self._row = attrs.evolve(self._row, prefix=key if goes_on else "")

    async def _protocols(self) -> None:
        for protocol in _OTHERS:
            what = f"protocol {protocol!r}"
            reply = await self._asked(what, self._chat(protocol=protocol))
            if reply is not None:
                self._open.append(protocol)
                self._note(what, "open" if reply.answer else "open, but the answer is empty")
        if self._open and self._row.protocol not in self._open:
            self._row = attrs.evolve(self._row, protocol=self._open[0])


def _presence(model: str, listed: set[str] | StatusError | WireError) -> str:
    if not isinstance(listed, set):
        return f"{_NOT_SEEN}: no list, {_named(listed)}"
    if not listed:
        return f"{_NOT_SEEN}: the list is empty"
    return "yes" if model in listed else "no"


def _named(error: TokenGateError) -> str:
    return type(error).__name__ + (f" ({error.status})" if error.status else "")


def _usage_place(seen: _Frames) -> str:
    for frame in seen.frames:
        if frame.get("usage"):
            return "with a chunk of its own" if not frame.get("choices") else "on a text chunk"
    return _NOT_SEEN


def show(findings: Sequence[Finding], row: Model, *, model: str, as_json: bool) -> None:
    """Show what was found: a table and a row for a person, JSON for a program."""
    if as_json:
        found = {one.what: one.result for one in findings if one.what}
        typer.echo(orjson.dumps({"model": model, "found": found, "row": attrs.asdict(row)}))
        return
    if not sys.stdout.isatty():
        for one in findings:
            typer.echo(f"{one.what}\t{one.result}")
    else:
        table = Table("looked at / 检查项", "found / 结果", title=escape(model))
        for one in findings:
            table.add_row(escape(one.what), escape(one.result))
        Console(highlight=False).print(table)
    typer.echo(f"catalogue row / 目录中的一行: {_row_text(row)}")


def _row_text(row: Model) -> str:
    told = attrs.asdict(row, filter=lambda field, value: value != field.default)
    fields = ", ".join(f"{name}={value!r}" for name, value in told.items())
    return f"Model({fields})"
