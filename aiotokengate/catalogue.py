"""What each TokenGate model is: a table of name patterns, to which users can add rows.

Model names are compared as they are, case and slashes included, with shell patterns; the first
row that fits counts.  A model that no row knows is spoken to as a plain OpenAI-compatible one, and
its way with reasoning is found out from what it sends.

A row is data and knows nothing of how its words are spelt: ``dialect`` names a row of
:data:`aiotokengate.wire.dialects.DIALECTS`, ``thinking`` and ``native_thinking`` name a way of
``aiotokengate.wire.thinking.WAYS``.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

import attrs

__all__ = ["CATALOGUE", "Catalogue", "Model", "ProtocolName"]

ProtocolName: TypeAlias = Literal["chat", "responses", "messages", "gemini"]

Prefix: TypeAlias = Literal["", "partial", "prefix", "prefill"]

_TEXT = ("text",)
_SEES = ("text", "image")
_EFFORTS = ("minimal", "low", "medium", "high")
_EFFORTS_WITH_NONE = ("none", "low", "medium", "high", "xhigh")


@attrs.frozen(kw_only=True)
class Model:
    """One row: which names it is for, and how these models are spoken to.

    Attributes:
        pattern: a shell pattern for the model's name, such as ``qwen3*``.
        family: who made the model.
        dialect: how it sends its reasoning over Chat Completions.
        protocol: the one that is spoken unless ``protocol=`` says another.
        thinking: how it is asked to think over Chat Completions.
        native_thinking: the same over its own protocol.
        efforts: the words for effort that it takes, from least to most, where it takes any.
        wants_back: what it must be given back of its own turns: "nothing", "tool_reasoning" (the
            reasoning of turns with tool calls, else 400), "blocks" (its own blocks unchanged).
        structured: how it is told of the type of its answer: by its schema, by JSON mode and an
            instruction, or by the instruction alone.
        prefix: how it is told to go on with an unfinished answer, "" where it can't.
        inputs: what it takes; ``outputs``: what it gives.
        context: tokens of prompt and reply together, where that is known.
        most_tokens: what is sent as ``max_tokens`` where the protocol demands one.
        tools: whether it calls functions.
        notes: peculiarities, for the documentation.
    """

    pattern: str = attrs.field(kw_only=False)
    family: str = attrs.field(kw_only=False)
    dialect: str = attrs.field(default="openai-compatible", kw_only=False)
    protocol: ProtocolName = "chat"
    thinking: str = "unknown"
    native_thinking: str = "unknown"
    efforts: tuple[str, ...] = ()
    wants_back: Literal["nothing", "tool_reasoning", "blocks"] = "nothing"
    structured: Literal["schema", "json", "text"] = "text"
    prefix: Prefix = ""
    inputs: tuple[str, ...] = _TEXT
    outputs: tuple[str, ...] = _TEXT
    context: int | None = None
    most_tokens: int = 8_192
    tools: bool = True
    notes: str = ""


UNKNOWN = Model("*", "unknown")

MOST_NAMES = 1024
"""How many names a catalogue remembers the row of; a bot may pass on what its users type."""


@attrs.frozen(repr=False)
class Catalogue:
    """An ordered table of models."""

    rows: tuple[Model, ...]
    _found: dict[str, Model] = attrs.field(factory=dict, init=False, eq=False)

    def __repr__(self) -> str:
        """Count the rows; all of them would fill pages."""
        return f"<Catalogue of {len(self.rows)} rows>"

    def find(self, name: str) -> Model:
        """Give the first row that fits the name."""
        found = self._found.get(name)
        if found is None:
            found = next((row for row in self.rows if fnmatchcase(name, row.pattern)), UNKNOWN)
            if len(self._found) < MOST_NAMES:
                self._found[name] = found
        return found

    def extended(self, *rows: Model) -> Catalogue:
        """Give a catalogue that asks these rows first."""
        return Catalogue((*rows, *self.rows))


def _open_thinking(pattern: str, family: str) -> Model:
    """Give an always-thinking model whose chat template swallows the opening tag."""
    return Model(pattern, family, "open-thinking", thinking="always")


def _media(pattern: str, family: str, inputs: str, outputs: str, notes: str = "") -> Model:
    return Model(
        pattern,
        family,
        thinking="none",
        inputs=tuple(inputs.split()),
        outputs=tuple(outputs.split()),
        tools=False,
        notes=notes,
    )


_OPENAI = (
    *(
        Model(
            pattern,
            "OpenAI",
            "openai",
            protocol="responses",
            thinking="effort",
            native_thinking="responses",
            structured="schema",
            efforts=efforts,
            inputs=_SEES,
            context=400_000,
            notes="only over Responses at OpenAI",
        )
        for pattern, efforts in (
            ("gpt-5-pro*", ("high",)),
            ("gpt-5.4-pro*", ("medium", "high", "xhigh")),
            ("gpt-5*-codex*", ("low", "medium", "high", "xhigh")),
        )
    ),
    Model("gpt-5-chat*", "OpenAI", "openai", thinking="none", inputs=_SEES, context=128_000),
    Model(
        "gpt-5*-search*",
        "OpenAI",
        "openai",
        thinking="effort",
        native_thinking="responses",
        structured="schema",
        efforts=_EFFORTS_WITH_NONE,
        inputs=_SEES,
        context=400_000,
        notes="searches the web; sources are citations",
    ),
    *(
        Model(
            pattern,
            "OpenAI",
            "openai",
            thinking="effort",
            native_thinking="responses",
            structured="schema",
            efforts=efforts,
            inputs=_SEES,
            context=400_000,
        )
        for pattern, efforts in (("gpt-5.*", _EFFORTS_WITH_NONE), ("gpt-5*", _EFFORTS))
    ),
    _media("gpt-image-*", "OpenAI", "text image", "image"),
    Model(
        "gpt-*",
        "OpenAI",
        "openai",
        native_thinking="responses",
        structured="schema",
        inputs=_SEES,
    ),
)

_CLAUDE_EFFORTS = ("low", "medium", "high", "max")


def _claude(pattern: str, way: str, efforts: tuple[str, ...], prefix: Prefix = "") -> Model:
    return Model(
        pattern,
        "Anthropic",
        "claude",
        protocol="messages",
        thinking="claude_chat",
        native_thinking=way,
        efforts=efforts,
        structured="schema",
        wants_back="blocks",
        prefix=prefix,
        inputs=_SEES,
        context=200_000,
        most_tokens=32_000,
    )


_ANTHROPIC = (
    _claude("claude-opus-4-7*", "claude_adaptive", ("low", "medium", "high", "xhigh", "max")),
    _claude("claude-opus-4-6*", "claude_either", _CLAUDE_EFFORTS),
    _claude("claude-sonnet-4-6*", "claude_either", _CLAUDE_EFFORTS),
    _claude("claude-*", "claude_budget", (), "prefill"),
)

_GOOGLE = (
    *(
        Model(
            pattern,
            "Google",
            "gemini",
            thinking="gemini_chat",
            native_thinking="gemini",
            inputs=_SEES,
            outputs=("text", "image"),
            tools=False,
            context=65_536,
        )
        for pattern in ("gemini-*-image*",)
    ),
    *(
        Model(
            pattern,
            "Google",
            "gemini",
            thinking="gemini_chat",
            native_thinking="gemini",
            efforts=efforts,
            structured="schema",
            wants_back="blocks",
            inputs=("text", "image", "audio", "video"),
            context=1_048_576,
        )
        for pattern, efforts in (
            ("gemini-3*-pro*", ("low", "medium", "high")),
            ("gemini-3*-flash*", _EFFORTS),
            ("gemini-*", ()),
        )
    ),
)

_CHINA = (
    _open_thinking("*[Dd]eep[Ss]eek-[Rr]1*", "DeepSeek"),
    _open_thinking("*[Qq]wen3*-[Tt]hinking*", "Qwen"),
    _open_thinking("*[Qq]w[Qq]*", "Qwen"),
    _media("Qwen3-TTS*", "Qwen", "text", "audio", "voices vivian, ryan, serena and others"),
    _media("qwen-image-edit*", "Qwen", "text image", "image"),
    _media("qwen-image*", "Qwen", "text", "image"),
    Model(
        "Qwen3-VL*",
        "Qwen",
        "qwen",
        thinking="none",
        inputs=_SEES,
        context=16_384,
        tools=False,
        notes="at most two images a request, none smaller than 28 by 28 pixels",
    ),
    Model(
        "[Qq]wen*",
        "Qwen",
        "qwen",
        thinking="enable_thinking",
        prefix="partial",
        inputs=_SEES,
        context=262_144,
        notes="send top_p: some gateways turn a missing one into 0.001",
    ),
    Model(
        "deepseek3.2*",
        "DeepSeek",
        "deepseek",
        thinking="template_thinking",
        wants_back="tool_reasoning",
        context=65_536,
        notes="thinks only when asked",
    ),
    *(
        Model(
            pattern,
            "DeepSeek",
            "deepseek",
            thinking="deepseek",
            efforts=("low", "high", "max"),
            structured="json",
            wants_back="tool_reasoning",
            prefix="prefix",
            context=131_072,
        )
        for pattern in ("deepseek*", "deepSeek*")
    ),
    # The operator's own vLLM, which wants back the field that it sent.
    Model("WanWu/Deepseek*", "WanWu", thinking="template_effort", efforts=("low", "high", "max")),
    Model("WanWu/*", "WanWu", thinking="template_enable"),
    Model("glm-*", "GLM", "glm", thinking="glm", context=204_800),
    Model("minimax*", "MiniMax", "minimax", thinking="always", context=204_800),
)

_XAI = (
    Model(
        "grok-*",
        "xAI",
        "grok",
        thinking="by_name",
        structured="schema",
        context=2_000_000,
    ),
)

_OTHER_MEDIA = (
    _media("text-embedding-*", "OpenAI", "text", "vectors"),
    _media("whisper-*", "OpenAI", "audio", "text"),
    _media("tts-*", "OpenAI", "text", "audio"),
    _media("wan-t2v*", "Wan", "text", "video"),
    _media("wan-i2v*", "Wan", "text image", "video"),
    _media("suno*", "Suno", "text audio", "audio"),
)

CATALOGUE = Catalogue((*_CHINA, *_OPENAI, *_ANTHROPIC, *_GOOGLE, *_XAI, *_OTHER_MEDIA))
