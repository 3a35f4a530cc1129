"""Asking for thinking, one way for all: ``reasoning=`` becomes each family's own fields.

Strategy.  A *way* is a function from what is asked to the fields that say so, chosen by the row of
the catalogue.  It uses the fields that survive the gateway, which drops what it does not know
without a word, and it leaves a note where an answer had to be rounded or can't be given at all.
Nothing is asked for where ``reasoning`` is None.

Sources: the vendors' own pages, and the request structs of new-api.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import attrs

from aiotokengate.catalogue import Model, ProtocolName
from aiotokengate.errors import CallerError
from aiotokengate.wire.question import Question, Reasoning

__all__ = ["LEVELS", "WAYS", "ThinkingFields", "ask_to_think", "checked_reasoning"]

LEVELS: Final = ("off", "low", "medium", "high")
_BUDGETS: Final = MappingProxyType({"low": 2_048, "medium": 8_192, "high": 24_576})
"""Tokens that a level stands for, where a vendor counts tokens."""

_LEAST_BUDGET: Final = 1_024
_MOST_OF_REPLY: Final = 0.8
_ORDER: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


@attrs.frozen
class ThinkingFields:
    """The fields to merge into the body, and what could not be asked for as it was."""

    fields: Mapping[str, Any] = attrs.field(factory=dict)
    notes: tuple[str, ...] = ()


@attrs.frozen
class _Wish:
    """What is asked, and of whom."""

    reasoning: str | int
    row: Model
    max_tokens: int | None

    @property
    def level(self) -> str:
        """The level, a budget rounded to the nearest."""
        if isinstance(self.reasoning, str):
            return self.reasoning
        if self.reasoning == 0:
            return "off"
        budget = self.reasoning
        return min(_BUDGETS, key=lambda level: abs(_BUDGETS[level] - budget))

    @property
    def budget(self) -> int:
        """The tokens, a level turned into some; 0 for none."""
        if isinstance(self.reasoning, int):
            return self.reasoning
        return _BUDGETS.get(self.reasoning, 0)

    @property
    def rounded(self) -> tuple[str, ...]:
        """A note that a budget became a level."""
        if isinstance(self.reasoning, str) or not self.reasoning:
            return ()
        return (_note(self, f"a budget is not taken here, asked for {self.level!r}"),)


Way: TypeAlias = Callable[[_Wish], ThinkingFields]


def checked_reasoning(reasoning: object) -> Reasoning:
    """Check the option.

    Raises:
        CallerError: it is neither a level nor a number of tokens.
    """
    if reasoning is None or (isinstance(reasoning, str) and reasoning in LEVELS):
        return reasoning  # type: ignore[return-value]
    if isinstance(reasoning, int) and not isinstance(reasoning, bool) and reasoning >= 0:
        return reasoning
    message = (
        f"expected reasoning as 'off', 'low', 'medium', 'high' or a number of tokens, "
        f"got {reasoning!r}"
    )
    raise CallerError(message)


def ask_to_think(
    question: Question, protocol: ProtocolName, max_tokens: int | None
) -> ThinkingFields:
    """Give the fields by which a question asks for as much thinking as it wants.

    Args:
        question: with its ``reasoning`` and the row of its model.
        protocol: that the fields are for.
        max_tokens: the most that the reply may have, thinking included.
    """
    if question.reasoning is None:
        return _NOTHING
    row = question.row
    name = row.thinking if protocol == "chat" else row.native_thinking
    if name == "unknown":
        name = "none" if row.thinking == "none" else _UNKNOWN[protocol]
    return WAYS[name](_Wish(question.reasoning, row, max_tokens))


_NOTHING: Final = ThinkingFields()
_UNKNOWN: Final[Mapping[str, str]] = {
    "chat": "effort",
    "responses": "responses",
    "messages": "claude_budget",
    "gemini": "gemini",
}


def _note(wish: _Wish, what: str) -> str:
    return f"reasoning={wish.reasoning!r}: {what}"


def _without_length(wish: _Wish, fields: Mapping[str, Any]) -> ThinkingFields:
    """Switch on or off, where nothing can be said about how much."""
    if wish.level == "off":
        return ThinkingFields(fields)
    return ThinkingFields(fields, (_note(wish, "thinking is on, how much is the model's choice"),))


# --- efforts ------------------------------------------------------------------------------------


def _effort(wish: _Wish) -> tuple[str, tuple[str, ...]]:
    """Give the nearest word that the model takes, and a note if it is another one."""
    wanted = "none" if wish.level == "off" else wish.level
    taken: Sequence[str] = wish.row.efforts or ("none", "low", "medium", "high")
    if wanted in taken:
        return wanted, wish.rounded
    place = _ORDER.index(wanted)
    nearest = min(taken, key=lambda word: abs(_ORDER.index(word) - place))
    return nearest, (_note(wish, f"rounded to the effort {nearest!r}"),)


def _by_effort(wish: _Wish) -> ThinkingFields:
    effort, notes = _effort(wish)
    return ThinkingFields({"reasoning_effort": effort}, notes)


def _by_responses(wish: _Wish) -> ThinkingFields:
    effort, notes = _effort(wish)
    summary = {} if effort == "none" else {"summary": "auto"}
    return ThinkingFields({"reasoning": {"effort": effort, **summary}}, notes)


def _deepseek(wish: _Wish) -> ThinkingFields:
    if wish.level == "off":
        return ThinkingFields({"thinking": {"type": "disabled"}})
    effort, notes = _effort(wish)
    return ThinkingFields({"thinking": {"type": "enabled"}, "reasoning_effort": effort}, notes)


# --- switches -----------------------------------------------------------------------------------


def _enable_thinking(wish: _Wish) -> ThinkingFields:
    return _without_length(wish, {"enable_thinking": wish.level != "off"})


def _thinking_type(wish: _Wish) -> ThinkingFields:
    word = "disabled" if wish.level == "off" else "enabled"
    return _without_length(wish, {"thinking": {"type": word}})


def _template(key: str) -> Way:
    def way(wish: _Wish) -> ThinkingFields:
        return _without_length(wish, {"chat_template_kwargs": {key: wish.level != "off"}})

    return way


def _template_effort(wish: _Wish) -> ThinkingFields:
    if wish.level == "off":
        return ThinkingFields({"chat_template_kwargs": {"thinking": False}})
    effort, notes = _effort(wish)
    switch = {"thinking": True, "reasoning_effort": effort}
    return ThinkingFields({"chat_template_kwargs": switch}, notes)


def _always(wish: _Wish) -> ThinkingFields:
    what = "it always thinks" if wish.level == "off" else "how much is the model's choice"
    return ThinkingFields(notes=(_note(wish, what),))


def _never(wish: _Wish) -> ThinkingFields:
    if wish.level == "off":
        return _NOTHING
    return ThinkingFields(notes=(_note(wish, "this model does not think"),))


def _by_name(wish: _Wish) -> ThinkingFields:
    what = "the name decides: take its -reasoning or its -non-reasoning model"
    return ThinkingFields(notes=(_note(wish, what),))


# --- budgets ------------------------------------------------------------------------------------


def _fitting(wish: _Wish) -> tuple[int, tuple[str, ...]]:
    """Give a budget that leaves room for an answer, 0 where there is none."""
    budget = max(wish.budget, _LEAST_BUDGET)
    most = wish.max_tokens
    if most is not None and budget >= most:
        budget = int(most * _MOST_OF_REPLY)
    if budget < _LEAST_BUDGET:
        return 0, (_note(wish, f"max_tokens={most} leaves no room for {_LEAST_BUDGET} tokens"),)
    asked = isinstance(wish.reasoning, int) or budget != wish.budget
    notes = (_note(wish, f"rounded to {budget} tokens"),) if budget != wish.budget else ()
    return budget, notes if asked else ()


# Off is said, because new-api thinks for names that end in "-thinking" where nothing is.
_CLAUDE_OFF: Final = ThinkingFields({"thinking": {"type": "disabled"}})


def _claude_budget(wish: _Wish) -> ThinkingFields:
    if wish.level == "off":
        return _CLAUDE_OFF
    budget, notes = _fitting(wish)
    fields = {"thinking": {"type": "enabled", "budget_tokens": budget}} if budget else {}
    return ThinkingFields(fields, notes)


def _claude_adaptive(wish: _Wish) -> ThinkingFields:
    if wish.level == "off":
        return _CLAUDE_OFF
    effort, notes = _effort(wish)
    # Without "display" the newest models send empty thoughts, and the caller sees a long pause.
    thinking = {"type": "adaptive", "display": "summarized"}
    return ThinkingFields({"thinking": thinking, "output_config": {"effort": effort}}, notes)


def _claude_either(wish: _Wish) -> ThinkingFields:
    return (_claude_budget if isinstance(wish.reasoning, int) else _claude_adaptive)(wish)


def _claude_chat(wish: _Wish) -> ThinkingFields:
    """Speak to new-api's bridge: it turns efforts into 1280, 2048 or 4096 tokens."""
    if wish.level == "off":
        return _NOTHING
    if isinstance(wish.reasoning, str):
        return ThinkingFields({"reasoning_effort": wish.reasoning})
    budget, notes = _fitting(wish)
    return ThinkingFields({"reasoning": {"max_tokens": budget}} if budget else {}, notes)


def _google(
    wish: _Wish, thoughts: str, budget: str, level: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Give the settings in Google's own names: of Gemini 3 by level, of those before by tokens.

    Gemini 3 can't be kept from thinking; "off" is its least level, with the thoughts hidden.
    """
    shown = {thoughts: wish.level != "off"}
    if wish.row.efforts and (isinstance(wish.reasoning, str) or not wish.reasoning):
        effort, notes = _effort(wish)
        return {**shown, level: effort}, notes
    return {**shown, budget: wish.budget}, ()


def _gemini_chat(wish: _Wish) -> ThinkingFields:
    config, notes = _google(wish, "include_thoughts", "thinking_budget", "thinking_level")
    return ThinkingFields({"extra_body": {"google": {"thinking_config": config}}}, notes)


def _gemini(wish: _Wish) -> ThinkingFields:
    config, notes = _google(wish, "includeThoughts", "thinkingBudget", "thinkingLevel")
    return ThinkingFields({"generationConfig": {"thinkingConfig": config}}, notes)


WAYS: Final[Mapping[str, Way]] = MappingProxyType(
    {
        "effort": _by_effort,
        "responses": _by_responses,
        "deepseek": _deepseek,
        "enable_thinking": _enable_thinking,
        "glm": _thinking_type,
        "template_thinking": _template("thinking"),
        "template_enable": _template("enable_thinking"),
        "template_effort": _template_effort,
        "always": _always,
        "none": _never,
        "by_name": _by_name,
        "claude_chat": _claude_chat,
        "claude_budget": _claude_budget,
        "claude_adaptive": _claude_adaptive,
        "claude_either": _claude_either,
        "gemini_chat": _gemini_chat,
        "gemini": _gemini,
    }
)
"""How models are asked to think, by the name that the catalogue uses."""
