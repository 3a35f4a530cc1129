"""How each vendor sends its reasoning: one row each, and the splitter of inline tags.

Strategy.  Reasoning arrives either in a field beside ``content`` or inside it, between tags.  A
:class:`Dialect` says which fields to look at, first non-empty wins (vLLM sends the same text in
two of them), and what to do about tags.  A field that has carried reasoning switches the splitter
of its choice off: whoever has a field does not need tags, and people do ask about think tags.
Only a closing tag as the very first text after such a field is dropped: a parser left it there.

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
        pairs: what opens and closes thinking where it is no tag of that form.
        enders: texts that end inline thinking without a closing tag and belong to the answer.
        followers: marks between the thinking and the answer, which belong to neither.
        strays: closing tags that may stand at the beginning of a reply without thoughts.
        echo: the field that carries reasoning back in the next turn; None sends back the one it
            came in.
    """

    name: str
    fields: tuple[str, ...] = ("reasoning_content", "reasoning")
    details: bool = True
    inline: Inline = "leading"
    tags: tuple[str, ...] = ("think", "thinking", "thought")
    pairs: tuple[tuple[str, str], ...] = ()
    enders: tuple[str, ...] = ()
    followers: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    echo: str | None = None
    openers: tuple[str, ...] = attrs.field(init=False, repr=False, eq=False)
    closers: Mapping[str, bool] = attrs.field(init=False, repr=False, eq=False)

    @openers.default
    def _openers(self) -> tuple[str, ...]:
        return (*(f"<{tag}>" for tag in self.tags), *(opener for opener, _ in self.pairs))

    @closers.default
    def _closers(self) -> Mapping[str, bool]:
        """Return what ends thinking: True for a tag to drop, False for text of the answer."""
        tags = {f"</{tag}>": True for tag in self.tags}
        pairs = {closer: True for _, closer in self.pairs}
        return MappingProxyType(tags | pairs | dict.fromkeys(self.enders, False))


_FIELDS = ("reasoning_content", "reasoning", "reasoning_text", "thinking")
"""vLLM, SGLang and most clouds; OpenRouter and Ollama; GitHub Copilot; Ollama's own face."""

_CALLS = ("<tool_call>", "<tool_calls>", "<|tool_calls_section_begin|>")
"""SGLang's detectors end thinking at a tool call that forgot the closing tag."""

_ROWS = (
    # What nobody told us about: every field, and tags at the beginning, also those of models
    # whose server has no parser for them.  Source: SGLang's reasoning parsers.
    Dialect(
        "openai-compatible",
        fields=_FIELDS,
        tags=("think", "thinking", "thought", "reasoning", "seed:think", "mm:think"),
        pairs=(
            ("[THINK]", "[/THINK]"),
            ("◁think▷", "◁/think▷"),
            ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
            ("<|channel|>analysis<|message|>", "<|end|>"),
            ("<|channel>thought\n", "<channel|>"),
            ("<|START_THINKING|>", "<|END_THINKING|>"),
            ("<|inner_prefix|>", "<|inner_suffix|>"),
        ),
        enders=_CALLS,
        followers=(
            "<|open|>response<|sep|>",
            "<|start|>assistant<|channel|>final<|message|>",
            "<|START_TEXT|>",
        ),
        strays=("</mm:think>",),
    ),
    Dialect("deepseek", echo="reasoning_content"),
    Dialect("qwen", enders=_CALLS, echo="reasoning_content"),
    Dialect("glm", enders=_CALLS, echo="reasoning_content"),
    Dialect("grok", inline="never"),
    # The MiniMax cloud: inline tags by default, reasoning_details with reasoning_split; M3's tag
    # has a name space, and its closing one may open a reply without thoughts.
    Dialect("minimax", tags=("think", "thinking", "thought", "mm:think"), strays=("</mm:think>",)),
    Dialect("openai", inline="never"),
    # new-api's bridge to Claude: reasoning_content; tags in the text are the answer's.
    Dialect("claude", inline="never"),
    # Google's own OpenAI endpoint writes <thought>; new-api's bridge fills reasoning_content.
    Dialect("gemini"),
    # Engines without a reasoning parser, whose chat template ends in "<think>\n".
    Dialect("open-thinking", inline="assume_open", enders=_CALLS),
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
        "_followers",
        "_held",
        "_newlines",
        "_openers",
        "_out",
        "_state",
        "_strays",
        "engaged",
        "inside",
    )

    def __init__(self, dialect: Dialect, *, after_field: bool = False) -> None:
        """Begin before the first character of ``content``, or after thoughts in a field."""
        self._openers = dialect.openers
        self._closers = dialect.closers
        self._followers = dialect.followers
        self._strays = dialect.strays
        if after_field:
            self._openers = ()
            self._strays = tuple(tag for tag, dropped in self._closers.items() if dropped)
        self._held = ""
        self._newlines = 0
        self._out: list[Piece] = []
        self.engaged = self.inside = dialect.inline == "assume_open" and not after_field
        # Functions and not bound methods: a splitter that held itself would need the collector.
        self._state = _STARTS["leading" if after_field else dialect.inline]

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
        """Return what is held back, because the text ends or something else comes between."""
        if self._held:
            self._emit("reasoning" if self.inside else "answer", self._held)
            self._held = ""
        return self._take()

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
        if stray := _leading(body, self._strays):
            return self._close(body[len(stray) :])
        leading = self._openers + self._strays
        if len(text) <= _MOST_BEFORE and (not body or _may_become(body, leading)):
            return self._hold(text)
        self._state = TagSplitter._after
        return text

    def _close(self, text: str) -> str:
        self.inside = False
        self._newlines = _NEWLINES_AFTER_CLOSER
        self._state = TagSplitter._closed if self._followers else TagSplitter._after
        return text

    def _closed(self, text: str) -> str:
        """Right after a closing tag: its line ends and a mark of the answer are dropped."""
        text = self._skip_newlines(text)
        if mark := _leading(text, self._followers):
            text = text[len(mark) :]
        elif not text or _may_become(text, self._followers):
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
        text = self._past_openers(text)
        if not text or _may_become(text, self._openers):
            return self._hold(text)
        self._state = TagSplitter._thinking
        return text

    def _past_openers(self, text: str) -> str:
        """Drop opening tags, each with its line end; however many, the text is cut once."""
        at = 0
        while True:
            while self._newlines and text.startswith("\n", at):
                at, self._newlines = at + 1, self._newlines - 1
            opener = next((tag for tag in self._openers if text.startswith(tag, at)), None)
            if opener is None:
                return text[at:]
            at, self._newlines = at + len(opener), _NEWLINES_AFTER_OPENER

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
        if self._closers[closer]:
            return self._close(text[place + len(closer) :])
        self.inside = False
        self._state = TagSplitter._after
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
    for size in range(min(max(map(len, tags)), len(text)), 0, -1):
        if any(tag.startswith(text[-size:]) for tag in tags):
            return size
    return 0
