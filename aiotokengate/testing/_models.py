"""The models that the fake gateway offers: one row each, named as TokenGate names them.

A row says which dialect the model speaks, what switches its thinking on and off, and how long a
prompt may be.  The rows under ``dialect/`` are no products: each speaks a shape that a gateway
may send for any model, depending on what its operator has set up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import attrs

from aiotokengate.testing._dialects import Dialect
from aiotokengate.testing._server_dialects import (
    ClaudeBridge,
    GeminiBridge,
    GeminiCompat,
    InlineThink,
    OpenRouter,
    Sglang,
    SglangNulls,
    TagSwallowed,
    Vllm,
    VllmBoth,
    VllmOld,
    VllmPlain,
)
from aiotokengate.testing._vendor_dialects import (
    DeepSeek,
    Glm,
    Grok,
    GrokShown,
    MiniMaxCloud,
    MiniMaxSplit,
    Qwen,
)
from aiotokengate.types import Json

__all__ = ["JOB_MODELS", "LATER", "MODELS", "Model", "find"]

Body: TypeAlias = Mapping[str, Json]
Switch: TypeAlias = Callable[[Body], bool | None]
"""Reads one way of asking for thinking: asked on, asked off, or not asked."""


def _flag(*path: str) -> Switch:
    """Read a boolean somewhere in the body."""

    def switch(body: Body) -> bool | None:
        value = _at(body, path)
        return value if isinstance(value, bool) else None

    return switch


def _word(*path: str, off: tuple[str, ...] = ("disabled", "none", "minimal")) -> Switch:
    """Read a word somewhere in the body, of which some mean no."""

    def switch(body: Body) -> bool | None:
        value = _at(body, path)
        return value not in off if isinstance(value, str) else None

    return switch


def _number(*path: str) -> Switch:
    """Read a budget of tokens somewhere in the body."""

    def switch(body: Body) -> bool | None:
        value = _at(body, path)
        return value > 0 if isinstance(value, int) else None

    return switch


def _at(body: Json, path: tuple[str, ...]) -> Json:
    for key in path:
        body = body.get(key) if isinstance(body, Mapping) else None
    return body


_TEMPLATE_ENABLE = _flag("chat_template_kwargs", "enable_thinking")
_TEMPLATE_THINKING = _flag("chat_template_kwargs", "thinking")
_THINKING_TYPE = _word("thinking", "type")
_EFFORT = _word("reasoning_effort")
_GOOGLE = ("extra_body", "google", "thinking_config", "include_thoughts")


@attrs.frozen
class Model:
    """One model of the fake gateway.

    Attributes:
        id: the name to ask for, letter by letter.
        dialect: the shape of its answers.
        owner: what ``/v1/models`` says of it.
        thinks: whether it thinks when nobody asks.
        switches: the ways to ask, the first that is used decides.
        context: tokens that prompt and answer may have together.
        piece: tokens in one delta.
        blurs: whether the first piece of the answer arrives as the last of the reasoning
            (new-api before Gemini, where one chunk holds both).
    """

    id: str
    dialect: type[Dialect]
    owner: str
    thinks: bool = True
    switches: tuple[Switch, ...] = ()
    context: int = 131_072
    piece: int = 1
    blurs: bool = False

    def thinks_about(self, body: Body) -> bool:
        """Return whether it thinks, given how it is asked."""
        answers = (switch(body) for switch in self.switches)
        return next((answer for answer in answers if answer is not None), self.thinks)


def _qwen(name: str) -> Model:
    switches = (_flag("enable_thinking"), _TEMPLATE_ENABLE)
    return Model(name, Qwen, "ali", switches=switches, context=262_144)


def _deepseek(name: str) -> Model:
    return Model(name, DeepSeek, "deepseek", switches=(_THINKING_TYPE,))


def _minimax(name: str) -> Model:
    switches = (_THINKING_TYPE,)
    return Model(name, MiniMaxCloud, "minimax", switches=switches, context=1_000_000)


def _grok(name: str) -> Model:
    return Model(name, Grok, "xai", switches=(_EFFORT,), context=500_000)


def _glm(name: str) -> Model:
    return Model(name, Glm, "zhipu_4v", switches=(_THINKING_TYPE,), context=204_800)


def _gpt(name: str) -> Model:
    return Model(name, Dialect, "openai", switches=(_EFFORT,), context=400_000)


def _claude(name: str, *, thinks: bool = False) -> Model:
    switches = (_number("reasoning", "max_tokens"), _EFFORT)
    return Model(name, ClaudeBridge, "claude", thinks, switches, context=200_000, piece=3)


def _gemini(name: str, *, thinks: bool = False) -> Model:
    return Model(
        name,
        GeminiBridge,
        "gemini",
        thinks,
        switches=(_flag(*_GOOGLE), _EFFORT),
        context=1_048_576,
        piece=12,
        blurs=True,
    )


_SELF_HOSTED = (
    Model(
        "deepseek3.2",
        SglangNulls,
        "custom",
        thinks=False,
        switches=(_TEMPLATE_THINKING,),
        context=65_536,
    ),
    Model("minimax2.7", Sglang, "custom", context=204_800),
    Model("Qwen3-VL-8B-Instruct", VllmPlain, "custom", thinks=False, context=16_384),
    Model(
        "WanWu/Deepseek-Auto",
        Vllm,
        "custom",
        thinks=False,
        switches=(
            _TEMPLATE_THINKING,
            _TEMPLATE_ENABLE,
            _flag("enable_thinking"),
            _word("chat_template_kwargs", "reasoning_effort"),
            _EFFORT,
        ),
    ),
    Model("WanWu/GLM-Auto", Vllm, "custom", switches=(_TEMPLATE_ENABLE,)),
)

_SHAPES = (
    Model("dialect/gemini-compat", GeminiCompat, "aiotokengate"),
    Model("dialect/openrouter", OpenRouter, "aiotokengate"),
    Model("dialect/tag-swallowed", TagSwallowed, "aiotokengate"),
    Model("dialect/think-in-content", InlineThink, "aiotokengate"),
    Model("dialect/vllm-0.10", VllmOld, "aiotokengate", switches=(_TEMPLATE_ENABLE,)),
    Model("dialect/vllm-0.11", VllmBoth, "aiotokengate", switches=(_TEMPLATE_ENABLE,)),
)

_QWEN = "qwen3.6-max-preview qwen3.5-plus qwen3.5-flash qwen3.6-flash qwen3.6-plus"
_GPT = (
    "gpt-5 gpt-5-chat-latest gpt-5-nano gpt-5-mini gpt-5.2 gpt-5.2-search gpt-5.4"
    " gpt-5-pro gpt-5.3-codex gpt-5.4-pro"
)
_CLAUDE = (
    "claude-opus-4-7 claude-opus-4-6 claude-sonnet-4-6"
    " claude-sonnet-4.5 claude-opus-4.5 claude-haiku-4.5"
)
_GEMINI = "gemini-3-flash-preview gemini-3.1-pro-preview"

_ROWS = (
    *map(_qwen, _QWEN.split()),
    *map(_deepseek, ("deepseek-v4-flash", "deepseek-v4-pro")),
    *map(_glm, ("glm-5.1", "glm-4.7")),
    *map(_gpt, _GPT.split()),
    *map(_claude, _CLAUDE.split()),
    *(_claude(f"{name}-thinking", thinks=True) for name in _CLAUDE.split()),
    *map(_gemini, _GEMINI.split()),
    *(_gemini(f"{name}-thinking", thinks=True) for name in _GEMINI.split()),
    Model("grok-4-1-fast-reasoning", Grok, "xai", context=2_000_000),
    Model("grok-4-1-fast-non-reasoning", Grok, "xai", thinks=False, context=2_000_000),
    Model("grok-code-fast-1", GrokShown, "xai", context=256_000),
    Model("minimax2.5", MiniMaxCloud, "minimax", context=204_800),
    *_SELF_HOSTED,
    *_SHAPES,
)

# What the vendors have brought out since; TokenGate's page does not list it, and so
# ``/v1/models`` doesn't, either.
_LATER_CLAUDE = "claude-opus-4-8"
_LATER_CLAUDE_THINKING = (
    "claude-sonnet-5 claude-opus-5 claude-haiku-5-5 claude-sonnet-5-5 claude-opus-5-5"
    " claude-fable-5 claude-fable-5-1 claude-fable-5-2"
    " claude-mythos-5 claude-mythos-5-1 claude-mythos-5-2"
)
_LATER_GPT = (
    "gpt-5.1 gpt-5.1-chat-latest gpt-5.2-chat-latest gpt-5.3-chat-latest gpt-5.2-pro"
    " gpt-5.4-mini gpt-5.4-nano gpt-5.5 gpt-5.5-pro gpt-5.6-sol gpt-5.6-terra gpt-5.6-luna"
    " gpt-6-sol gpt-6-luna gpt-6.1-terra gpt-6-astra gpt-6.1-sol gpt-6.2-astra gpt-6.2-sol"
)
_LATER_GEMINI = (
    "gemini-2.5-flash gemini-2.5-pro gemini-2.5-flash-image"
    " gemini-3-pro-image-preview gemini-3.1-flash-image-preview"
    " gemini-3.1-flash-lite gemini-3.5-flash gemini-3.5-flash-lite gemini-3.6-flash"
    " gemini-3.7-flash gemini-3.8-flash gemini-4-argon gemini-4-carbon gemini-4-hydrogen"
)
_LATER_ROWS = (
    _claude(_LATER_CLAUDE),
    *(_claude(name, thinks=True) for name in _LATER_CLAUDE_THINKING.split()),
    *map(_gpt, _LATER_GPT.split()),
    *map(_gemini, _LATER_GEMINI.split()),
    *map(_deepseek, ("deepseek-flash",)),
    *map(_glm, ("glm-5.2", "glm-5.3", "glm-5.3-flash")),
    *map(_minimax, ("MiniMax-M3", "MiniMax-M3.1-Flash")),
    *map(_qwen, ("qwen3.7-plus", "qwen3.7-max", "qwen3.7-flash", "qwen3.8-max", "qwen3.8-flash")),
    *map(_grok, ("grok-4.3", "grok-4.5", "grok-4.6", "grok-4.7", "grok-4.20-reasoning")),
)

LATER: Mapping[str, Model] = MappingProxyType({row.id: row for row in _LATER_ROWS})
"""Models that answer, though nobody lists them."""

MODELS: Mapping[str, Model] = MappingProxyType({row.id: row for row in _ROWS})
"""Every model by its name."""

JOB_MODELS: Mapping[str, str] = MappingProxyType(
    {"wan-t2v": "video", "wan-i2v": "video", "sunoV2": "music"}
)
"""What makes videos and music, and no chat."""


def find(name: str, body: Body) -> Model | None:
    """Return the model of that name, in the shape that the request asks for."""
    model = MODELS.get(name) or LATER.get(name)
    if model and model.dialect is MiniMaxCloud and body.get("reasoning_split") is True:
        return attrs.evolve(model, dialect=MiniMaxSplit)
    return model
