"""Asking for thinking, one way for all: ``reasoning=`` becomes each family's own fields.

Strategy.  A *way* goes from what is asked to the fields that say so; the row of the catalogue
names it, and :data:`WAYS` has all that sets it apart from others.  It uses the fields that survive
the gateway, which drops what it does not know without a word, and it leaves a note where an answer
had to be rounded or can't be given at all.
Nothing is asked for where ``reasoning`` is None.

Sources: the vendors' own pages, and the request structs of new-api.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

import attrs

from aiotokengate._wire.question import Question, Reasoning
from aiotokengate.catalogue import Model, ProtocolName
from aiotokengate.errors import CallerError

__all__ = [
    "LEVELS",
    "WAYS",
    "ThinkingFields",
    "Way",
    "ask_to_think",
    "checked_reasoning",
    "nearest_effort",
    "unheeded",
    "way_of",
]

LEVELS: Final = ("off", "minimal", "low", "medium", "high", "xhigh", "max")
_ROUND: Final = MappingProxyType({"low": 2_048, "medium": 8_192, "high": 24_576})
"""The levels that a number of tokens is rounded to; every model with levels has a near one."""

_BUDGETS: Final = MappingProxyType({**_ROUND, "minimal": 1_024, "xhigh": 32_768, "max": 65_536})
"""Tokens that a level stands for, where a vendor counts tokens."""

_LEAST_BUDGET: Final = 1_024
_LEAST_OF_GEMINI: Final = 128  # of 2.5 Pro: ai.google.dev, thinking
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
        return min(_ROUND, key=lambda level: abs(_ROUND[level] - budget))

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


Ask: TypeAlias = Callable[[_Wish], ThinkingFields]


@attrs.frozen
class Way:
    """One way of asking for thinking.

    Attributes:
        ask: returns the fields of a wish.
        budget: whether a model that is asked so thinks by a number of tokens: "always", "given"
            (where the caller gives a number), "refused" (a number is a 400), or "never".
        only_asked: whether such a model does not think unless it is asked to.
    """

    ask: Ask
    budget: Literal["always", "given", "refused", "never"] = "never"
    only_asked: bool = False


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
        f"expected reasoning as {', '.join(map(repr, LEVELS))} or a number of tokens, "
        f"got {reasoning!r}"
    )
    raise CallerError(message)


def ask_to_think(
    question: Question, protocol: ProtocolName, max_tokens: int | None
) -> ThinkingFields:
    """Return the fields by which a question asks for as much thinking as it wants.

    Args:
        question: with its ``reasoning`` and the row of its model.
        protocol: that the fields are for.
        max_tokens: the most that the reply may have, thinking included.
    """
    if question.reasoning is None:
        return _NOTHING
    way = way_of(question.row, protocol)
    return way.ask(_Wish(question.reasoning, question.row, max_tokens))


def way_of(row: Model, protocol: ProtocolName) -> Way:
    """Return the way in which a model is asked to think over a protocol."""
    name = row.thinking if protocol == "chat" else row.native_thinking
    if name == "unknown":
        name = "none" if row.thinking == "none" else _UNKNOWN[protocol]
    return WAYS[name]


def unheeded(question: Question, protocol: ProtocolName) -> tuple[str, ...]:
    """Return what is to be said of a question that asks for no thinking and may get some."""
    if question.reasoning not in ("off", 0):
        return ()
    return ask_to_think(question, protocol, None).notes


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


def nearest_effort(wanted: str, row: Model, protocol: ProtocolName) -> str:
    """Return the word for effort that a model takes and that is nearest to the one wanted."""
    taken: Sequence[str] = row.efforts or ("none", "low", "medium", "high")
    if protocol == "chat":
        taken = [word for word in taken if word not in row.native_efforts]
    return _nearest(wanted, taken)


def _nearest(wanted: str, taken: Sequence[str]) -> str:
    if wanted in taken or wanted not in _ORDER:
        return wanted
    place = _ORDER.index(wanted)
    # Who asks for little thinking does not ask for none.
    some = [word for word in taken if word != "none"]
    return min(some, key=lambda word: abs(_ORDER.index(word) - place))


def _effort(wish: _Wish, protocol: ProtocolName = "responses") -> tuple[str, tuple[str, ...]]:
    """Return the nearest word that the model takes, and a note if it is another one."""
    wanted = "none" if wish.level == "off" else wish.level
    nearest = nearest_effort(wanted, wish.row, protocol)
    if nearest == wanted:
        return wanted, wish.rounded
    return nearest, (_note(wish, f"rounded to the effort {nearest!r}"),)


def _by_effort(wish: _Wish) -> ThinkingFields:
    effort, notes = _effort(wish, "chat")
    return ThinkingFields({"reasoning_effort": effort}, notes)


def _by_responses(wish: _Wish) -> ThinkingFields:
    effort, notes = _effort(wish)
    summary = {} if effort == "none" else {"summary": "auto"}
    return ThinkingFields({"reasoning": {"effort": effort, **summary}}, notes)


def _switch_and_effort(wish: _Wish) -> ThinkingFields:
    if wish.level == "off":
        return ThinkingFields({"thinking": {"type": "disabled"}})
    effort, notes = _effort(wish)
    return ThinkingFields({"thinking": {"type": "enabled"}, "reasoning_effort": effort}, notes)


# --- switches -----------------------------------------------------------------------------------


def _enable_thinking(wish: _Wish) -> ThinkingFields:
    return _without_length(wish, {"enable_thinking": wish.level != "off"})


def _thinking_type(on: str) -> Ask:
    def ask(wish: _Wish) -> ThinkingFields:
        word = "disabled" if wish.level == "off" else on
        return _without_length(wish, {"thinking": {"type": word}})

    return ask


def _template(key: str) -> Ask:
    def ask(wish: _Wish) -> ThinkingFields:
        return _without_length(wish, {"chat_template_kwargs": {key: wish.level != "off"}})

    return ask


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
    if wish.level == "off" and wish.row.off == "yes":
        return _NOTHING
    what = "the name decides: take its -reasoning or its -non-reasoning model"
    return ThinkingFields(notes=(_note(wish, what),))


# --- budgets ------------------------------------------------------------------------------------


def _fitting(wish: _Wish) -> tuple[int, tuple[str, ...]]:
    """Return a budget that leaves room for an answer, 0 where there is none."""
    budget = max(wish.budget, _LEAST_BUDGET)
    most = wish.max_tokens
    if most is not None and budget >= most:
        budget = int(most * _MOST_OF_REPLY)
    if budget < _LEAST_BUDGET:
        return 0, (_note(wish, f"max_tokens={most} leaves no room for {_LEAST_BUDGET} tokens"),)
    notes = (_note(wish, f"rounded to {budget} tokens"),) if budget != wish.budget else ()
    return budget, notes


# Off is said, because new-api thinks for names that end in "-thinking" where nothing is.
_CLAUDE_OFF: Final = ThinkingFields({"thinking": {"type": "disabled"}})


def _claude_budget(wish: _Wish) -> ThinkingFields:
    if wish.level == "off":
        return _CLAUDE_OFF
    budget, notes = _fitting(wish)
    fields = {"thinking": {"type": "enabled", "budget_tokens": budget}} if budget else {}
    return ThinkingFields(fields, notes)


def _claude_off(wish: _Wish) -> ThinkingFields:
    """Switch thinking off as far as it can be: "disabled" is a 400 where it can't."""
    if wish.row.off == "yes":
        return _CLAUDE_OFF
    if wish.row.off == "between_tools":
        note = _note(wish, "it still thinks a little between tool calls")
        return ThinkingFields({"thinking": {"type": "between_tools"}}, (note,))
    effort, notes = _effort(wish)
    # No "display": who wants no thoughts need not see those that come all the same.
    fields = {"thinking": {"type": "adaptive"}, "output_config": {"effort": effort}}
    return ThinkingFields(fields, (_note(wish, "it always thinks"), *notes))


def _claude_adaptive(wish: _Wish) -> ThinkingFields:
    if wish.level == "off":
        return _claude_off(wish)
    effort, notes = _effort(wish)
    # Without "display" the newest models send empty thoughts, and the caller sees a long pause.
    thinking = {"type": "adaptive", "display": "summarized"}
    return ThinkingFields({"thinking": thinking, "output_config": {"effort": effort}}, notes)


def _claude_either(wish: _Wish) -> ThinkingFields:
    return (_claude_budget if isinstance(wish.reasoning, int) else _claude_adaptive)(wish)


_BRIDGED: Final = ("low", "medium", "high")
"""The words that new-api's bridge knows."""


def _claude_chat(wish: _Wish) -> ThinkingFields:
    """Speak to new-api's bridge: it turns efforts into 1280, 2048 or 4096 tokens."""
    row = wish.row
    if wish.level == "off":
        return _NOTHING if row.off == "yes" else _always(wish)
    if isinstance(wish.reasoning, str) or way_of(row, "messages").budget == "refused":
        word = _nearest(wish.level, _BRIDGED)
        changed = word != wish.level
        notes = (_note(wish, f"rounded to the effort {word!r}"),) if changed else wish.rounded
        return ThinkingFields({"reasoning_effort": word}, notes)
    budget, notes = _fitting(wish)
    return ThinkingFields({"reasoning": {"max_tokens": budget}} if budget else {}, notes)


def _google(
    wish: _Wish, thoughts: str, budget: str, level: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the settings in Google's own names: from Gemini 3 on by level, before by tokens.

    Who can't be kept from thinking thinks as little as may be, with the thoughts hidden.
    """
    shown = {thoughts: wish.level != "off"}
    if wish.row.efforts:
        effort, notes = _effort(wish)
        return {**shown, level: effort}, notes
    if wish.level == "off" and wish.row.off == "no":
        note = _note(wish, f"it always thinks, asked for {_LEAST_OF_GEMINI} tokens")
        return {**shown, budget: _LEAST_OF_GEMINI}, (note,)
    return {**shown, budget: wish.budget}, ()


def _gemini_chat(wish: _Wish) -> ThinkingFields:
    config, notes = _google(wish, "include_thoughts", "thinking_budget", "thinking_level")
    return ThinkingFields({"extra_body": {"google": {"thinking_config": config}}}, notes)


def _gemini(wish: _Wish) -> ThinkingFields:
    config, notes = _google(wish, "includeThoughts", "thinkingBudget", "thinkingLevel")
    return ThinkingFields({"generationConfig": {"thinkingConfig": config}}, notes)


WAYS: Final[Mapping[str, Way]] = MappingProxyType(
    {
        "effort": Way(_by_effort),
        "responses": Way(_by_responses),
        "deepseek": Way(_switch_and_effort),
        "switch_and_effort": Way(_switch_and_effort),
        "enable_thinking": Way(_enable_thinking),
        "glm": Way(_thinking_type("enabled")),
        "minimax": Way(_thinking_type("adaptive")),
        "template_thinking": Way(_template("thinking"), only_asked=True),
        "template_enable": Way(_template("enable_thinking")),
        "template_effort": Way(_template_effort, only_asked=True),
        "always": Way(_always),
        "none": Way(_never),
        "by_name": Way(_by_name),
        "claude_chat": Way(_claude_chat),
        "claude_budget": Way(_claude_budget, "always"),
        "claude_adaptive": Way(_claude_adaptive, "refused"),
        "claude_either": Way(_claude_either, "given"),
        "gemini_chat": Way(_gemini_chat),
        "gemini": Way(_gemini),
    }
)
"""How models are asked to think, by the name that the catalogue uses."""
