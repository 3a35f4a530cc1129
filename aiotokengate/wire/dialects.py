"""How each vendor sends its reasoning: one row each, and the splitter of inline tags.

Strategy.  Reasoning arrives either in a field beside ``content`` or inside it, between tags.  A
:class:`Dialect` says which fields to look at, first non-empty wins (vLLM sends the same text in
two of them), and what to do about tags.  A field that has carried reasoning switches the splitter
of its choice off: whoever has a field does not need tags, and people do ask about think tags.

:class:`TagSplitter` holds back only what may still become the tag it is looking for, at most
eight characters, so that nothing else waits.  Unless the dialect says that the opening tag is
swallowed by the model's template, only tags at the very beginning count: a tag quoted in an
answer is the answer's.  No text is stripped or changed but the tags themselves, with the white
space before the first, one line end after the opening and up to two after the closing one.

A new vendor is one row here and one recorded stream in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

import attrs

__all__ = ["DIALECTS", "Dialect", "Piece", "TagSplitter"]

Kind = Literal["reasoning", "answer"]
Piece: TypeAlias = tuple[Kind, str]
Inline = Literal["leading", "assume_open", "never"]


@attrs.frozen
class Dialect:
    """One vendor's way with reasoning on Chat Completions.

    Attributes:
        name: what the row is called in the catalogue and in the documentation.
        fields: string fields of a delta or message that hold reasoning, the first non-empty wins.
        details: whether ``reasoning_details`` is read where no field has text.
        inline: tags inside ``content``: only at its beginning, assumed open because the template
            swallows the opening tag, or never.
        tags: the names of the tags that count.
        enders: texts that end inline thinking without a closing tag and belong to the answer.
        echo: the field that carries reasoning back in the next turn; None sends back the one it
            came in.
    """

    name: str
    fields: tuple[str, ...] = ("reasoning_content", "reasoning")
    details: bool = True
    inline: Inline = "leading"
    tags: tuple[str, ...] = ("think", "thinking", "thought")
    enders: tuple[str, ...] = ()
    echo: str | None = None
    openers: tuple[str, ...] = attrs.field(init=False, repr=False, eq=False)
    closers: Mapping[str, bool] = attrs.field(init=False, repr=False, eq=False)

    @openers.default
    def _openers(self) -> tuple[str, ...]:
        return tuple(f"<{tag}>" for tag in self.tags)

    @closers.default
    def _closers(self) -> Mapping[str, bool]:
        """Give what ends thinking: True for a tag to drop, False for text of the answer."""
        tags = {f"</{tag}>": True for tag in self.tags}
        return MappingProxyType(tags | dict.fromkeys(self.enders, False))


_ROWS = (
    # What nobody told us about: every field, and tags at the beginning.
    Dialect("openai-compatible"),
    Dialect("deepseek", echo="reasoning_content"),
    # SGLang's detector ends Qwen's thinking at a tool call that forgot the closing tag.
    Dialect("qwen", enders=("<tool_call>",), echo="reasoning_content"),
    Dialect("glm", echo="reasoning_content"),
    Dialect("grok", inline="never"),
    # The MiniMax cloud: inline tags by default, reasoning_details with reasoning_split.
    Dialect("minimax"),
    Dialect("openai", inline="never"),
    # new-api's bridge to Claude: reasoning_content; tags in the text are the answer's.
    Dialect("claude", inline="never"),
    # Google's own OpenAI endpoint writes <thought>; new-api's bridge fills reasoning_content.
    Dialect("gemini"),
    # Engines without a reasoning parser, whose chat template ends in "<think>\n".
    Dialect("open-thinking", inline="assume_open", enders=("<tool_call>",)),
)

DIALECTS: Mapping[str, Dialect] = MappingProxyType({row.name: row for row in _ROWS})

_MOST_BEFORE = 1024
"""Characters of white space before a tag; after more of it there is none."""

_NEWLINES_AFTER_OPENER = 1
_NEWLINES_AFTER_CLOSER = 2


class TagSplitter:
    """Cuts the ``content`` of one choice into reasoning and answer, at tags cut anywhere.

    Each state is a method that takes text, emits what is certain, and gives back what the next
    state has to read.

    Attributes:
        inside: whether the text so far ends inside thinking.
        engaged: whether a tag was found, or assumed, at the beginning.
    """

    __slots__ = (
        "_closers",
        "_held",
        "_newlines",
        "_openers",
        "_out",
        "_state",
        "engaged",
        "inside",
    )

    def __init__(self, dialect: Dialect) -> None:
        """Begin before the first character of ``content``."""
        self._openers = dialect.openers
        self._closers = dialect.closers
        self._held = ""
        self._newlines = 0
        self._out: list[Piece] = []
        self.engaged = self.inside = dialect.inline == "assume_open"
        # Functions and not bound methods: a splitter that held itself would need the collector.
        self._state = _STARTS[dialect.inline]

    @property
    def decided(self) -> bool:
        """Whether all further text is answer, so that nobody needs to ask."""
        return self._state is TagSplitter._after and not self._newlines

    def feed(self, text: str) -> list[Piece]:
        """Take the next piece of ``content``; give what is certain by now."""
        text = self._held + text
        self._held = ""
        while text:
            text = self._state(self, text)
        return self._take()

    def flush(self) -> list[Piece]:
        """Give what is held back, because the text ends or something else comes between."""
        if self._held:
            self._emit("reasoning" if self.inside else "answer", self._held)
            self._held = ""
        return self._take()

    def switch_off(self) -> list[Piece]:
        """Stop looking for tags, because a field carries the reasoning; give what was held."""
        pieces = self.flush()
        self.inside = False
        self._state = TagSplitter._after
        self._newlines = 0
        return pieces

    def _take(self) -> list[Piece]:
        out, self._out = self._out, []
        return out

    def _emit(self, kind: Kind, text: str) -> None:
        if text:
            self._out.append((kind, text))

    def _hold(self, text: str) -> str:
        self._held = text
        return ""

    def _before(self, text: str) -> str:
        """At the beginning: a tag, no tag, or not yet to be said."""
        body = text.lstrip()
        if opener := _leading(body, self._openers):
            return self._open(body[len(opener) :], _NEWLINES_AFTER_OPENER)
        if len(text) <= _MOST_BEFORE and (not body or _may_become(body, self._openers)):
            return self._hold(text)
        self._state = TagSplitter._after
        return text

    def _open(self, text: str, newlines: int) -> str:
        self.inside = self.engaged = True
        self._newlines = newlines
        self._state = TagSplitter._opened
        return text

    def _opened(self, text: str) -> str:
        """Right after an opening tag: its line end, and a second opening tag, are dropped."""
        text = self._skip_newlines(text)
        if opener := _leading(text, self._openers):
            return self._open(text[len(opener) :], _NEWLINES_AFTER_OPENER)
        if not text or _may_become(text, self._openers):
            return self._hold(text)
        self._newlines = 0
        self._state = TagSplitter._thinking
        return text

    def _thinking(self, text: str) -> str:
        """Look for what ends thinking; hold back only what may become it."""
        places = ((text.find(closer), closer) for closer in self._closers)
        found = min((place for place in places if place[0] >= 0), default=None)
        if found is None:
            keep = len(text) - _overlap(text, self._closers)
            self._emit("reasoning", text[:keep])
            return self._hold(text[keep:])
        place, closer = found
        self._emit("reasoning", text[:place])
        self.inside = False
        self._state = TagSplitter._after
        if self._closers[closer]:
            self._newlines = _NEWLINES_AFTER_CLOSER
            place += len(closer)
        return text[place:]

    def _after(self, text: str) -> str:
        """All of it is answer, but the line ends that belong to the closing tag."""
        text = self._skip_newlines(text)
        if text:
            self._newlines = 0
            self._emit("answer", text)
        return ""

    def _skip_newlines(self, text: str) -> str:
        while self._newlines and text.startswith("\n"):
            text = text[1:]
            self._newlines -= 1
        return text


_STARTS: Mapping[Inline, Callable[[TagSplitter, str], str]] = {
    "leading": TagSplitter._before,
    "assume_open": TagSplitter._opened,
    "never": TagSplitter._after,
}


def _leading(text: str, tags: tuple[str, ...]) -> str | None:
    return next((tag for tag in tags if text.startswith(tag)), None)


def _may_become(text: str, tags: tuple[str, ...]) -> bool:
    return any(tag.startswith(text) for tag in tags)


def _overlap(text: str, tags: Mapping[str, bool]) -> int:
    """How many characters at the end of the text may be the beginning of a tag."""
    longest = max(map(len, tags)) - 1
    for size in range(min(longest, len(text)), 0, -1):
        if any(tag.startswith(text[-size:]) for tag in tags):
            return size
    return 0
