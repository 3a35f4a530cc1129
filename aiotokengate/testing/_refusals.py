"""What the vendors refuse, as one table: which models, which features, which answer, says who.

A row holds in every protocol that it names.  Nothing else decides over a refusal by model; what a
protocol refuses of any model (a result without its call, a lost signature) stands with that
protocol.  State of the rows: 30 November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import attrs

from aiotokengate.testing._chat_request import Refusal
from aiotokengate.testing._features import Features

__all__ = ["EFFORTS", "HIDES_THOUGHTS", "ROWS", "Row", "refuse"]

Test: TypeAlias = Callable[[Features], bool]

_ALL = ("chat", "responses", "messages", "gemini")


@attrs.frozen
class Row:
    """One refusal.

    Attributes:
        name: what is refused, in a few words.
        models: matches the whole plain name of the models that refuse it.
        test: whether a request has what they refuse.
        message: what they say; ``{effort}`` and ``{sampling}`` are filled in.
        source: who says that they refuse it.
        protocols: in which it is refused.
        status: of the answer.
        code: of the answer, where it has one.
        param: the parameter that the answer names, where it does.
    """

    name: str
    models: str
    test: Test
    message: str
    source: str
    protocols: Sequence[str] = _ALL
    status: int = 400
    code: str | int | None = None
    param: str | None = None

    def holds(self, features: Features) -> bool:
        """Return whether this row refuses such a request."""
        known = features.protocol in self.protocols and re.fullmatch(self.models, features.model)
        return bool(known) and self.test(features)

    def refusal(self, features: Features) -> Refusal:
        """Return the answer."""
        message = self.message.format(
            effort=features.effort, sampling=", ".join(features.sampling)
        )
        kind = "invalid_request_error"
        fields = {"type": kind, "param": self.param, "code": self.code}
        return Refusal(self.status, message, vendor=True, **fields)


def refuse(features: Features) -> None:
    """Refuse what the vendor of a model refuses.

    Raises:
        Refusal: by the first row that holds.
    """
    for row in ROWS:
        if row.holds(features):
            raise row.refusal(features)


_over_chat = partial(Row, protocols=("chat",))
_over_openai = partial(Row, protocols=("chat", "responses"))
_over_messages = partial(Row, protocols=("messages",))
_over_gemini = partial(Row, protocols=("gemini",))


def _has(what: str) -> Test:
    return lambda features: bool(getattr(features, what))


def _forces(features: Features) -> bool:
    return features.forced and features.tools


def _thinking(*kinds: str) -> Test:
    return lambda features: features.thinking in kinds


def _effort(*words: str) -> Test:
    return lambda features: features.effort in words


def _both(first: Test, second: Test) -> Test:
    return lambda features: first(features) and second(features)


# --- Claude -------------------------------------------------------------------------------------

# Old names are listed, all others are taken for new: the next model refuses what the last one did.
_SINCE_4_6 = r"claude-(?!3|(?:opus|sonnet|haiku)-4(?:-[015])?$).+"
_SINCE_4_7 = r"claude-(?!3|(?:opus|sonnet|haiku)-4(?:-[0156])?$).+"
_BEFORE_4_6 = r"claude-(?:3.*|(?:opus|sonnet|haiku)-4(?:-[015])?)"
_ALWAYS_ON = r"claude-(?:opus-5-5|fable-.+|mythos-.+)"
_UNFORCED = r"claude-(?:opus-5-5|sonnet-5-5|fable-5-[12]|mythos-5-[12])"

HIDES_THOUGHTS = re.compile(_SINCE_4_7)
"""Models that show their thoughts only when asked to (anthropics/skills, claude-api)."""

_CLAUDE = (
    Row(
        "sampling",
        _SINCE_4_7,
        _has("sampling"),
        "`{sampling}` may not be set for this model",
        "Anthropic, messages: thinking and sampling; docstrings of anthropic 2.14.0",
    ),
    _over_messages(
        "budget",
        _SINCE_4_7,
        _thinking("enabled"),
        '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and'
        ' "output_config.effort" to control thinking behavior.',
        "anthropics/skills, claude-api; pydantic-ai-slim 2.68.0; reports of sonnet-5",
    ),
    _over_messages(
        "adaptive",
        _BEFORE_4_6,
        _thinking("adaptive"),
        "adaptive thinking is not supported on this model",
        "pydantic-ai-slim 2.68.0, profiles",
    ),
    _over_messages(
        "no thinking",
        _ALWAYS_ON,
        _thinking("disabled", "between_tools"),
        "thinking: this model always thinks, thinking cannot be disabled",
        "pydantic-ai-slim 2.68.0, profiles",
    ),
    _over_messages(
        "disabled on sonnet-5-5",
        "claude-sonnet-5-5",
        _thinking("disabled"),
        'thinking.type: this model does not take "disabled", use "between_tools"',
        "anthropic 2.14.0, ThinkingConfigBetweenTools; pydantic-ai-slim 2.68.0",
    ),
    _over_messages(
        "no thinking at a high effort",
        "claude-(?:opus-5|haiku-5-5|sonnet-5-5)",
        _both(_thinking("disabled", "between_tools"), _effort("xhigh", "max")),
        "thinking can only be off at effort 'high' or below, not at '{effort}'",
        "pydantic-ai-slim 2.68.0, profiles",
    ),
    _over_messages(
        "between tools elsewhere",
        r"claude-(?!sonnet-5-5).+",
        _thinking("between_tools"),
        'thinking.type: "between_tools" is not supported for this model',
        "anthropic 2.14.0, ThinkingConfigBetweenTools",
    ),
    Row(
        "forced tool",
        _UNFORCED,
        _forces,
        "tool_choice: this model does not support forcing tool use",
        "pydantic-ai-slim 2.68.0, profiles",
    ),
    _over_messages(
        "forced tool with a budget",
        r"claude-.+",
        _both(_thinking("enabled"), _forces),
        "Thinking may not be enabled when tool_choice forces tool use.",
        "Anthropic, extended thinking with tool use; pydantic-ai-slim 2.68.0",
    ),
    Row(
        "prefill",
        _SINCE_4_6,
        _has("prefill"),
        "This model does not support assistant message prefill. The conversation must end with a"
        " user message.",
        "Anthropic, what's new in Claude 4.6; LiteLLM 1.110.2, price table",
    ),
    _over_messages(
        "effort on 4.5",
        "claude-(?:3.*|(?:sonnet|haiku)-4-5)",
        _has("effort"),
        "This model does not support the effort parameter.",
        "pydantic-ai-slim 2.68.0, profiles",
    ),
    _over_messages(
        "effort xhigh before 4-7",
        "claude-(?:opus-4-5|(?:opus|sonnet)-4-6)",
        _effort("xhigh"),
        "output_config.effort: '{effort}' is not supported for this model",
        "pydantic-ai-slim 2.68.0, profiles",
    ),
    _over_messages(
        "effort max on opus-4.5",
        "claude-opus-4-5",
        _effort("max"),
        "output_config.effort: '{effort}' is not supported for this model",
        "pydantic-ai-slim 2.68.0, profiles",
    ),
)


# --- OpenAI -------------------------------------------------------------------------------------

_TO_XHIGH = ("none", "low", "medium", "high", "xhigh")
_TO_MAX = ("low", "medium", "high", "xhigh", "max")

EFFORTS: Mapping[str, tuple[tuple[str, ...], str]] = {
    r"gpt-5(?:-mini|-nano)?": (("minimal", "low", "medium", "high"), "medium"),
    r"gpt-5-pro": (("high",), "high"),
    r"gpt-5-1": (("none", "low", "medium", "high"), "none"),
    r"gpt-5-[123]-chat-latest": (("medium",), "medium"),
    r"gpt-5-2|gpt-5-3-codex|gpt-5-4(?:-mini|-nano)?": (_TO_XHIGH, "none"),
    r"gpt-5-[245]-pro": (("medium", "high", "xhigh"), "medium"),
    r"gpt-5-5": (_TO_XHIGH, "medium"),
    r"gpt-5-6-(?:sol|terra|luna)": ((*_TO_XHIGH, "max"), "medium"),
    r"gpt-6-sol|gpt-6-luna|gpt-6-1-terra": ((*_TO_XHIGH, "max"), "medium"),
    r"gpt-6-astra|gpt-6-1-sol|gpt-6-2-(?:astra|sol)": (_TO_MAX, "medium"),
}
"""The efforts of OpenAI's models, and which of them holds when none is said
(pydantic-ai-slim 2.68.0, profiles; LiteLLM 1.110.2; OpenAI's model pages)."""

_THINKERS = "|".join(EFFORTS)
_RESPONSES_ONLY = r"gpt-5(?:-[245])?-pro|gpt-5(?:-\d)?-codex.*|o[13]-pro"


def _efforts(features: Features) -> tuple[tuple[str, ...], str]:
    found = (row for models, row in EFFORTS.items() if re.fullmatch(models, features.model))
    return next(found, ((), ""))


def _unknown_effort(features: Features) -> bool:
    return bool(features.effort) and features.effort not in _efforts(features)[0]


def _reasons(features: Features) -> bool:
    return (features.effort or _efforts(features)[1]) != "none"


_GPT = (
    _over_chat(
        "Chat of what answers over Responses only",
        _RESPONSES_ONLY,
        lambda _: True,
        "This model is only supported in v1/responses and not in v1/chat/completions.",
        "OpenAI's model pages; openai 3.57.0, ResponsesModel; pydantic-ai-slim 2.68.0",
        status=404,
        param="model",
    ),
    _over_openai(
        "effort that the model does not know",
        _THINKERS,
        _unknown_effort,
        "Unsupported value: '{effort}' is not supported with this model.",
        "OpenAI's model pages; pydantic-ai-slim 2.68.0, profiles",
        code="unsupported_value",
        param="reasoning_effort",
    ),
    _over_chat(
        "effort max over Chat",
        r"gpt-[56].*",
        _effort("max"),
        "Unsupported value: '{effort}' is only supported in v1/responses.",
        "pydantic-ai-slim 2.68.0, profiles",
        code="unsupported_value",
        param="reasoning_effort",
    ),
    _over_openai(
        "sampling while reasoning",
        _THINKERS,
        _both(_has("sampling"), _reasons),
        "Unsupported parameter: '{sampling}' is not supported with this model.",
        "OpenAI's page on reasoning; pydantic-ai-slim 2.68.0, profiles",
        code="unsupported_parameter",
    ),
    _over_chat(
        "tools over Chat while reasoning",
        r"gpt-5-[45](?:-mini|-nano)?|gpt-5-6-.*",
        lambda features: features.tools and features.effort not in ("", "none"),
        "Function tools with reasoning_effort are not supported in v1/chat/completions for this"
        " model. Please use /v1/responses instead.",
        "OpenAI's deployment checklist; reports of users",
        param="reasoning_effort",
    ),
    _over_chat(
        "tools over Chat without none",
        r"gpt-6-sol|gpt-6-luna|gpt-6-1-terra",
        lambda features: features.tools and features.effort != "none",
        "Function tools are only supported in v1/chat/completions with reasoning_effort 'none'."
        " Please use /v1/responses instead.",
        "OpenAI's model pages; pydantic-ai-slim 2.68.0, profiles",
        param="reasoning_effort",
    ),
    _over_chat(
        "tools over Chat",
        r"gpt-6-astra|gpt-6-1-sol|gpt-6-2-(?:astra|sol)",
        _has("tools"),
        "Function tools are not supported in v1/chat/completions for this model. Please use"
        " /v1/responses instead.",
        "OpenAI's deployment checklist",
        param="tools",
    ),
)


# --- Gemini -------------------------------------------------------------------------------------

_SINCE_3 = r"gemini-(?:[3-9]|\d\d)(?:-.*)?"
_GEMINI = (
    _over_gemini(
        "level and budget",
        _SINCE_3,
        lambda features: features.budget is not None and bool(features.effort),
        "You can only set one of thinking budget and thinking level.",
        "Google's page on thinking",
    ),
    _over_gemini(
        "level before 3",
        r"gemini-2-5-.*",
        _has("effort"),
        "Thinking level is not supported for this model.",
        "Google's page on thinking",
    ),
    _over_gemini(
        "level minimal",
        r"gemini-3-1-pro.*|gemini-3-pro.*|gemini-3-[78]-flash|gemini-4-.*",
        _effort("minimal"),
        "Thinking level MINIMAL is not supported for this model.",
        "Google's model pages; pydantic-ai-slim 2.68.0, profiles",
    ),
    _over_gemini(
        "no budget on pro",
        r"gemini-3(?:-1)?-pro-preview|gemini-2-5-pro",
        lambda features: features.budget == 0,
        "Budget 0 is invalid. This model only works in thinking mode.",
        "Google's page on thinking; reports of users",
    ),
    _over_gemini(
        "thinking of pictures",
        "gemini-2-5-flash-image",
        _has("configured"),
        "Thinking is not supported for this model.",
        "Google's model pages",
    ),
    Row(
        "tools of pictures",
        r"gemini-.*-image(?:-preview)?",
        _has("tools"),
        "Function calling is not enabled for this model.",
        "Google's model pages",
        ("gemini", "chat"),
    ),
)


# --- the others ---------------------------------------------------------------------------------

_OTHERS = (
    _over_chat(
        "forced tool while DeepSeek thinks",
        r"deepseek-(?:v4-.*|flash)",
        lambda features: features.thinks and _forces(features),
        "Thinking mode does not support this tool_choice",
        "pydantic-ai-slim 2.68.0, providers/deepseek",
        code="invalid_request_error",
    ),
    _over_chat(
        "GLM-5.3 without thinking",
        r"glm-5-3(?:-.*)?",
        _thinking("disabled"),
        "thinking.type: this model always thinks, 'disabled' is not supported",
        "Z.AI's model page",
        code="1210",
    ),
    _over_chat(
        "MiniMax-M3.1 without thinking",
        r"minimax-m3-1.*",
        _thinking("disabled"),
        "invalid params, thinking cannot be disabled for this model (2013)",
        "reports of users",
        code=2013,
    ),
    _over_openai(
        "Grok 4.5 without thinking",
        r"grok-4-[567]",
        _effort("none"),
        "This model does not support `reasoning_effort` 'none'.",
        "xAI's page on reasoning; @ai-sdk/xai",
    ),
    _over_openai(
        "effort on Grok 4.20",
        r"grok-4-20-.*",
        _has("effort"),
        "This model does not support parameter reasoningEffort.",
        "@ai-sdk/xai",
    ),
)

ROWS: Sequence[Row] = (*_CLAUDE, *_GPT, *_GEMINI, *_OTHERS)
"""Every refusal; the first that holds is the answer."""
