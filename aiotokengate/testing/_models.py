"""The models that the fake gateway offers: one row each, named as TokenGate names them.

A row says which dialect the model speaks, what switches its thinking on and off, and how long a
prompt may be.  The rows under ``dialect/`` are no products: each speaks a shape that a gateway
may send for any model, depending on what its operator has set up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

import attrs

from aiotokengate.testing import _server_dialects as servers
from aiotokengate.testing import _vendor_dialects as vendors
from aiotokengate.testing._dialects import Producer
from aiotokengate.types import Json

__all__ = ["JOB_MODELS", "LATER", "MODELS", "Model", "find"]

Body: TypeAlias = Mapping[str, Json]
Switch: TypeAlias = Callable[[Body], bool | None]
"""Reads one way of asking for thinking: asked on, asked off, or not asked."""


def _switch(kind: type, asks: Callable[[Any], bool], *path: str) -> Switch:
    """Read a value of that kind somewhere in the body."""

    def switch(body: Body) -> bool | None:
        value = _at(body, path)
        return asks(value) if isinstance(value, kind) else None

    return switch


_flag = partial(_switch, bool, bool)
_word = partial(_switch, str, lambda word: word not in ("disabled", "none", "minimal"))
_number = partial(_switch, int, lambda budget: budget > 0)


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
    dialect: type[Producer]
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


_switched = partial(Model, switches=(_THINKING_TYPE,))
_qwen = partial(
    Model,
    dialect=vendors.Qwen,
    owner="ali",
    switches=(_flag("enable_thinking"), _TEMPLATE_ENABLE),
    context=262_144,
)
_deepseek = partial(_switched, dialect=vendors.DeepSeek, owner="deepseek")
_minimax = partial(_switched, dialect=vendors.MiniMaxCloud, owner="minimax", context=1_000_000)
_glm = partial(_switched, dialect=vendors.Glm, owner="zhipu_4v", context=204_800)
_grok = partial(Model, dialect=vendors.Grok, owner="xai", switches=(_EFFORT,), context=500_000)
_gpt = partial(Model, dialect=Producer, owner="openai", switches=(_EFFORT,), context=400_000)
_claude = partial(
    Model,
    dialect=servers.ClaudeBridge,
    owner="claude",
    thinks=False,
    switches=(_number("reasoning", "max_tokens"), _EFFORT),
    context=200_000,
    piece=3,
)
_gemini = partial(
    Model,
    dialect=servers.GeminiBridge,
    owner="gemini",
    thinks=False,
    switches=(_flag(*_GOOGLE), _EFFORT),
    context=1_048_576,
    piece=12,
    blurs=True,
)
_custom = partial(Model, owner="custom")
_shape = partial(Model, owner="aiotokengate")

_SELF_HOSTED = (
    _custom(
        "deepseek3.2",
        servers.SglangNulls,
        thinks=False,
        switches=(_TEMPLATE_THINKING,),
        context=65_536,
    ),
    _custom("minimax2.7", servers.Sglang, context=204_800),
    _custom("Qwen3-VL-8B-Instruct", servers.VllmPlain, thinks=False, context=16_384),
    _custom(
        "WanWu/Deepseek-Auto",
        servers.Vllm,
        thinks=False,
        switches=(
            *(_TEMPLATE_THINKING, _TEMPLATE_ENABLE, _flag("enable_thinking")),
            *(_word("chat_template_kwargs", "reasoning_effort"), _EFFORT),
        ),
    ),
    _custom("WanWu/GLM-Auto", servers.Vllm, switches=(_TEMPLATE_ENABLE,)),
)

_SHAPES = (
    _shape("dialect/gemini-compat", servers.GeminiCompat),
    _shape("dialect/openrouter", servers.OpenRouter),
    _shape("dialect/tag-swallowed", servers.TagSwallowed),
    _shape("dialect/think-in-content", servers.InlineThink),
    _shape("dialect/vllm-0.10", servers.VllmOld, switches=(_TEMPLATE_ENABLE,)),
    _shape("dialect/vllm-0.11", servers.VllmBoth, switches=(_TEMPLATE_ENABLE,)),
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
    Model("grok-4-1-fast-reasoning", vendors.Grok, "xai", context=2_000_000),
    Model("grok-4-1-fast-non-reasoning", vendors.Grok, "xai", thinks=False, context=2_000_000),
    Model("grok-code-fast-1", vendors.GrokShown, "xai", context=256_000),
    Model("minimax2.5", vendors.MiniMaxCloud, "minimax", context=204_800),
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
    if model and model.dialect is vendors.MiniMaxCloud and body.get("reasoning_split") is True:
        return attrs.evolve(model, dialect=vendors.MiniMaxSplit)
    return model
