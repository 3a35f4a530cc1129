"""What each TokenGate model is: a table of name patterns, to which users can add rows.

Strategy.  A row's pattern is a shell pattern.  The first row that fits counts, so rows go from the
one to the many, and the last row of a family says how its newest models are spoken to: vendors
bring out models faster than tables grow, and old names are known.  A name is compared without
case, with ``.`` and ``-`` equal between digits, first whole and then without what resellers and
dates add to it (:func:`bare_name`); it is sent as it was written.  A model that no row knows is
spoken to as a plain OpenAI-compatible one, and its way with reasoning is found out from what it
sends.

A row is data and knows nothing of how its words are spelt: ``dialect`` names a row of the
dialects, ``thinking`` and ``native_thinking`` name a way of asking for thinking; both tables stand
in the room of the wire.  Vendors end and rename models, so a row has its source and
its date.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from typing import Any, Final, Literal, TypeAlias

import attrs

from aiotokengate.types import Json

__all__ = ["CATALOGUE", "Catalogue", "Model", "ModelInfo", "ProtocolName", "bare_name"]

ProtocolName: TypeAlias = Literal["chat", "responses", "messages", "gemini"]

StructuredWay: TypeAlias = Literal["schema", "json", "text"]

Prefix: TypeAlias = Literal["", "partial", "prefix", "prefill"]

_TEXT = ("text",)
_SEES = ("text", "image")
_ALL_SENSES = ("text", "image", "audio", "video")


@attrs.frozen(kw_only=True)
class Model:
    """One row: which names it is for, and how these models are spoken to.

    Attributes:
        pattern: a shell pattern for the model's name, such as ``qwen3*``.
        family: who made the model.
        dialect: how it sends its reasoning over Chat Completions.
        protocol: the one that is spoken unless ``protocol=`` says another.
        tools_protocol: the one that is spoken in its place when the model may call functions.
        thinking: how it is asked to think over Chat Completions.
        native_thinking: the same over its own protocol.
        efforts: the words for effort that it takes, from least to most, where it takes any.
        native_efforts: those of them that it takes over its own protocol alone.
        unasked: how it thinks when nothing is asked: "none", a word for effort, "on", or "" where
            that is not known.
        off: whether thinking can be switched off: "yes", "no", or "between_tools" (Claude's
            weaker form, which still thinks a little between tool calls).
        refuses: what is refused (400), so that it is left out or weakened: "sampling",
            "penalties", "logprobs", "stop", "stops" (more than one), "n", "schema", "forced_tool".
        refuses_thinking: what is refused while it thinks, in the same words.
        ignores_thinking: what has no effect while it thinks.
        wants_back: what it must be given back of its own turns: "nothing", "tool_reasoning" (the
            reasoning of turns with tool calls, else 400), "blocks" (its own blocks unchanged).
        structured: how it is told of the type of its answer: by its schema, by JSON mode and an
            instruction, or by the instruction alone.
        chat_structured: the same over Chat Completions, where that differs.
        prefix: how it is told to go on with an unfinished answer, "" where it can't.
        system: where it takes system messages over its own protocol: at the "start", or
            "anywhere".
        inputs: what it takes; ``outputs``: what it gives.
        context: tokens of prompt and reply together, where that is known.
        output_limit: tokens of the reply at most, thinking included, where that is known.
        most_tokens: what is sent as ``max_tokens`` where the protocol demands one.
        length: the one name of the limit of the reply that it heeds over Chat Completions, ""
            where it heeds both.
        tools: whether it calls functions.
        call_ids: which ids of calls it takes back: "any", or "short" (nine letters or digits).
        video_form: how a video's size and length are said to it: "size" (and seconds), or
            "frames" (and width and height), as vllm-omni wants it.
        notes: peculiarities, for the documentation.
        source: where the row is from; ``as_of``: the day when it was so.
    """

    pattern: str = attrs.field(kw_only=False)
    family: str = attrs.field(kw_only=False)
    dialect: str = attrs.field(default="openai-compatible", kw_only=False)
    protocol: ProtocolName = "chat"
    tools_protocol: ProtocolName | None = None
    thinking: str = "unknown"
    native_thinking: str = "unknown"
    efforts: tuple[str, ...] = ()
    native_efforts: tuple[str, ...] = ()
    unasked: str = ""
    off: Literal["yes", "no", "between_tools"] = "yes"
    refuses: tuple[str, ...] = ()
    refuses_thinking: tuple[str, ...] = ()
    ignores_thinking: tuple[str, ...] = ()
    wants_back: Literal["nothing", "tool_reasoning", "blocks"] = "nothing"
    structured: StructuredWay = "text"
    chat_structured: StructuredWay | None = None
    prefix: Prefix = ""
    system: Literal["start", "anywhere"] = "start"
    inputs: tuple[str, ...] = _TEXT
    outputs: tuple[str, ...] = _TEXT
    context: int | None = None
    output_limit: int | None = None
    most_tokens: int = 8_192
    length: Literal["", "max_tokens", "max_completion_tokens"] = ""
    tools: bool = True
    call_ids: Literal["any", "short"] = "any"
    video_form: Literal["size", "frames"] = "size"
    notes: str = ""
    source: str = ""
    as_of: str = ""


UNKNOWN = Model("*", "unknown")


@attrs.frozen
class ModelInfo:
    """A model as the gateway lists it, and what the catalogue knows of it.

    Attributes:
        known: the catalogue's row; its family is "unknown" where there is none.
        extra: what else the gateway says.
    """

    id: str
    owned_by: str = ""
    created: int = 0
    known: Model = attrs.field(default=UNKNOWN, repr=False)
    extra: Mapping[str, Json] = attrs.field(factory=dict, repr=False)


MOST_NAMES = 1024
"""How many names a catalogue remembers the row of; a bot may pass on what its users type."""


# --- names --------------------------------------------------------------------------------------

_TAIL: Final = re.compile(
    r"-20\d\d-\d\d-\d\d|-20\d{6}|-\d\d-20\d\d|-(?:0[1-9]|1[0-2])[0-3]\d"
    r"|-latest|-preview|-v\d+:\d+|@.*|:(?:free|nitro|floor|online|exacto|extended)|\[1m\]"
)
"""What is added to a name and makes no other model of it: a date, a pointer, a reseller's mark."""

_ENDING: Final = re.compile(f"(?:{_TAIL.pattern})$", re.ASCII)
_THINKING: Final = re.compile(r"-(?:no)?thinking$")
_DOT: Final = re.compile(r"(?<=\d)\.(?=\d)", re.ASCII)


_LONGEST: Final = 256
"""Characters of a name that is trimmed; a longer one is no model's, and would take long."""


@lru_cache(MOST_NAMES)
def bare_name(name: str) -> str:
    """Return what a name has in common with the other names of its model, for comparing alone.

    That is without case, a vendor's prefix, a date, ``-latest`` and the like, and with ``-`` for
    ``.`` between digits.
    """
    return _DOT.sub("-", _trimmed(name.lower().rpartition("/")[2]))


def _trimmed(name: str) -> str:
    if len(name) > _LONGEST:
        return name
    while (shorter := _ENDING.sub("", name)) != name and shorter:
        name = shorter
    return name


def _spellings(name: str) -> tuple[str, ...]:
    """Return the spellings that a name is looked for in: as written, and as others write it."""
    lower = name.lower()
    trimmed = _trimmed(lower.rpartition("/")[2])
    # new-api's suffix; a model's own name may end so, which is why it comes last.
    plain = _trimmed(_THINKING.sub("", trimmed))
    dashed = (_DOT.sub("-", spelling) for spelling in (lower, trimmed, plain))
    return tuple(dict.fromkeys((name, *dashed, lower, trimmed)))


_WILD: Final = re.compile(r"[*?\[]")


def _patterns(pattern: str) -> tuple[str, ...]:
    lower = pattern.lower()
    return tuple(dict.fromkeys((pattern, lower, _DOT.sub("-", lower))))


class _Index:
    """The patterns of rows, by what stands before their first wildcard."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._by_head: dict[str, list[tuple[int, str]]] = {}
        for place, pattern in enumerate(patterns):
            for spelling in _patterns(pattern):
                head = _WILD.split(spelling, maxsplit=1)[0]
                self._by_head.setdefault(head, []).append((place, spelling))
        self._sizes = sorted({len(head) for head in self._by_head})

    def first(self, name: str) -> int | None:
        """Return the place of the first row that fits a name."""
        fitting = (place for spelling in _spellings(name) for place in self._fitting(spelling))
        return min(fitting, default=None)

    def _fitting(self, name: str) -> Iterator[int]:
        for size in self._sizes:
            if size > len(name):
                return
            for place, pattern in self._by_head.get(name[:size], ()):
                if fnmatchcase(name, pattern):
                    yield place


@attrs.frozen(repr=False)
class Catalogue:
    """An ordered table of models."""

    rows: tuple[Model, ...]
    _found: dict[str, Model] = attrs.field(factory=dict, init=False, eq=False)
    _index: list[_Index] = attrs.field(factory=list, init=False, eq=False)

    def __repr__(self) -> str:
        """Count the rows; all of them would fill pages."""
        return f"<Catalogue of {len(self.rows)} rows>"

    def find(self, name: str) -> Model:
        """Return the first row that fits the name."""
        found = self._found.get(name)
        if found is None:
            if not self._index:
                self._index.append(_Index(row.pattern for row in self.rows))
            place = self._index[0].first(name)
            found = UNKNOWN if place is None else self.rows[place]
            if len(self._found) < MOST_NAMES:
                self._found[name] = found
        return found

    def extended(self, *rows: Model) -> Catalogue:
        """Return a catalogue that asks these rows first."""
        return Catalogue((*rows, *self.rows))


# --- words --------------------------------------------------------------------------------------

_TO_HIGH = ("low", "medium", "high")
_TO_XHIGH = (*_TO_HIGH, "xhigh")
_TO_MAX = (*_TO_XHIGH, "max")
_FOUR = ("minimal", *_TO_HIGH)
_PLAIN = ("sampling", "penalties", "logprobs", "stop")
"""What OpenAI's models refuse while they think."""

_row = partial(Model, as_of="2026-11-30")


def _media(
    pattern: str,
    family: str,
    inputs: str,
    outputs: str,
    notes: str = "",
    video_form: Literal["size", "frames"] = "size",
) -> Model:
    return _row(
        pattern,
        family,
        thinking="none",
        inputs=tuple(inputs.split()),
        outputs=tuple(outputs.split()),
        tools=False,
        video_form=video_form,
        notes=notes,
        source="TokenGate's page of models",
    )


# --- OpenAI -------------------------------------------------------------------------------------

_gpt = partial(
    _row,
    family="OpenAI",
    dialect="openai",
    thinking="effort",
    native_thinking="responses",
    native_efforts=("max",),  # where OpenAI lists it (pydantic-ai-slim 2.68.0, profiles)
    structured="schema",
    refuses_thinking=_PLAIN,
    inputs=_SEES,
    context=400_000,
    output_limit=128_000,
    length="max_completion_tokens",
    source="openai 3.57.0 (names), pydantic-ai-slim 2.68.0 (efforts), litellm 1.110.2 (windows)",
)
_long_gpt = partial(_gpt, context=1_050_000)
_tools_apart = partial(
    _long_gpt, tools_protocol="responses", notes="over Chat functions only without an effort"
)
_only_responses = partial(_gpt, protocol="responses", notes="only over Responses at OpenAI")
_researcher = partial(
    _only_responses, structured="text", refuses=("schema", "forced_tool"), tools=False
)
_no_thinker = partial(
    _gpt, thinking="none", native_thinking="none", refuses_thinking=(), length=""
)
_O_SERIES: Mapping[str, Any] = {
    "efforts": _TO_HIGH,
    "off": "no",
    "context": 200_000,
    "output_limit": 100_000,
}

_OPENAI = (
    _media("gpt-image-*", "OpenAI", "text image", "image"),
    _only_responses("gpt-5-pro*", efforts=("high",), unasked="high", off="no"),
    _only_responses("gpt-5.2-pro*", efforts=("medium", "high", "xhigh"), off="no"),
    *(
        _only_responses(pattern, efforts=("medium", "high", "xhigh"), off="no", context=1_050_000)
        for pattern in ("gpt-5.4-pro*", "gpt-5.5-pro*")
    ),
    *(
        _only_responses(pattern, efforts=efforts, unasked="medium", off="no")
        for pattern, efforts in (
            ("gpt-5.1-codex-max*", _TO_XHIGH),
            ("gpt-5.2-codex*", _TO_XHIGH),
            ("gpt-5.1-codex*", _TO_HIGH),
            ("gpt-5-codex*", _TO_HIGH),
        )
    ),
    _only_responses("gpt-5.3-codex*", efforts=("none", *_TO_XHIGH), unasked="none"),
    _researcher("o3-deep-research*", **_O_SERIES),
    _researcher("o4-mini-deep-research*", **_O_SERIES),
    _researcher("gpt-*deep-research*", efforts=_TO_MAX, off="no"),
    *(
        _only_responses(pattern, efforts=_TO_MAX, off="no", context=1_050_000)
        for pattern in (
            *("gpt-*-pro*", "gpt-*codex*", "gpt-*cyber*", "gpt-*rosalind*", "gpt-*daybreak*"),
            *("gpt-*computer-use*", "gpt-*-law*"),
        )
    ),
    *(
        _only_responses(pattern, unasked="medium", **_O_SERIES)
        for pattern in ("o1-pro*", "o3-pro*", "codex-mini*", "computer-use*")
    ),
    *(
        _gpt(pattern, unasked="medium", **_O_SERIES)
        for pattern in ("o1", "o1-*", "o3", "o3-*", "o4-*")
    ),
    _no_thinker("gpt-5-chat*", context=128_000, output_limit=16_384),
    _gpt(
        "gpt-5?[123]-chat*",
        efforts=("medium",),
        unasked="medium",
        off="no",
        context=128_000,
        output_limit=16_384,
    ),
    _gpt(
        "gpt-5*-search*",
        efforts=("none", *_TO_XHIGH),
        refuses_thinking=(),
        length="",
        notes="searches the web; sources are citations",
    ),
    _gpt("gpt-5", efforts=_FOUR, unasked="medium", off="no"),
    _gpt("gpt-5-mini*", efforts=_FOUR, unasked="medium", off="no"),
    _gpt("gpt-5-nano*", efforts=_FOUR, unasked="medium", off="no"),
    _gpt("gpt-5.1*", efforts=("none", *_TO_HIGH), unasked="none"),
    _gpt("gpt-5.2*", efforts=("none", *_TO_XHIGH), unasked="none"),
    _gpt("gpt-5.3*", efforts=("none", *_TO_XHIGH), unasked="none"),
    *(
        _tools_apart(pattern, efforts=("none", *_TO_XHIGH), unasked="none", context=400_000)
        for pattern in ("gpt-5.4-mini*", "gpt-5.4-nano*")
    ),
    _tools_apart("gpt-5.4*", efforts=("none", *_TO_XHIGH), unasked="none"),
    _tools_apart("gpt-5.5*", efforts=("none", *_TO_XHIGH), unasked="medium"),
    *(
        _tools_apart(pattern, efforts=("none", *_TO_MAX), unasked="medium")
        for pattern in ("gpt-5.6*", "gpt-6-sol*", "gpt-6-luna*", "gpt-6.1-terra*")
    ),
    *(
        _no_thinker(pattern, context=128_000, output_limit=None)
        for pattern in ("gpt-4*", "gpt-3*", "chatgpt-*", "gpt-audio*", "gpt-realtime*")
    ),
    _row(
        "gpt-oss*",
        "OpenAI",
        thinking="effort",
        efforts=_TO_HIGH,
        unasked="medium",
        off="no",
        context=131_072,
        source="the model card of gpt-oss",
    ),
    # Among them gpt-6-astra, gpt-6.1-sol, gpt-6.2-*: no "none", functions over Responses alone.
    _tools_apart("gpt-*", efforts=_TO_MAX, unasked="medium", off="no"),
)

# --- Anthropic ----------------------------------------------------------------------------------

_claude = partial(
    _row,
    family="Anthropic",
    dialect="claude",
    protocol="messages",
    thinking="claude_chat",
    native_thinking="claude_adaptive",
    efforts=_TO_MAX,
    structured="schema",
    chat_structured="text",  # new-api's bridge drops what it does not know
    wants_back="blocks",
    inputs=_SEES,
    context=1_000_000,
    output_limit=128_000,
    most_tokens=32_000,
    source="anthropic 2.14.0, pydantic-ai-slim 2.68.0, litellm 1.110.2, Anthropic's pages",
)
_old_claude = partial(
    _claude,
    native_thinking="claude_budget",
    efforts=(),
    unasked="none",
    refuses_thinking=("sampling", "forced_tool"),
    prefix="prefill",
    context=200_000,
    output_limit=64_000,
)
_first_claude = partial(
    _old_claude,
    thinking="none",
    native_thinking="none",
    refuses_thinking=(),
    structured="text",
    output_limit=4_096,
    most_tokens=4_096,
)
_new_claude = partial(_claude, unasked="high", refuses=("sampling",))
_newest_claude = partial(_new_claude, off="no", refuses=("sampling", "forced_tool"))
_BINDS = "its thinking is bound to the model and to the conversation before it"

_ANTHROPIC = (
    _first_claude("claude-2*"),
    _first_claude("claude-instant*"),
    _old_claude("claude-3-7*", structured="text", most_tokens=8_192),
    _first_claude("claude-3-5*", output_limit=8_192, most_tokens=8_192),
    _first_claude("claude-3*"),
    _old_claude("claude-opus-4-5*", efforts=_TO_HIGH),
    *(
        _old_claude(pattern, structured="text", output_limit=32_000)
        for pattern in ("claude-*-4", "claude-*-4-0")
    ),
    _old_claude("claude-*-4-1", output_limit=32_000),
    _old_claude("claude-*-4-5*"),
    _claude(
        "claude-*-4-6*",
        native_thinking="claude_either",
        efforts=("low", "medium", "high", "max"),
        unasked="none",
        refuses_thinking=("sampling",),
    ),
    _new_claude("claude-*-4-7*", unasked="none"),
    _new_claude("claude-*-4-8*", unasked="none", system="anywhere"),
    _new_claude("claude-sonnet-5"),
    _new_claude("claude-opus-5", system="anywhere"),
    _new_claude("claude-haiku-5-5", unasked="medium", system="anywhere", notes=_BINDS),
    _newest_claude("claude-sonnet-5-5", off="between_tools", system="anywhere", notes=_BINDS),
    _newest_claude("claude-opus-5-5", unasked="medium", notes=_BINDS),
    *(
        _new_claude(pattern, off="no", system="anywhere")
        for pattern in ("claude-fable-5", "claude-mythos-5")
    ),
    _newest_claude("claude-mythos-5-1"),
    _new_claude("claude-mythos-preview", off="no"),
    _newest_claude("claude-*", notes=_BINDS),
)

# --- Google -------------------------------------------------------------------------------------

_gemini = partial(
    _row,
    family="Google",
    dialect="gemini",
    thinking="gemini_chat",
    native_thinking="gemini",
    structured="schema",
    wants_back="blocks",
    inputs=_ALL_SENSES,
    context=1_048_576,
    output_limit=65_536,
    source="google-genai 3.6.1, pydantic-ai-slim 2.68.0, litellm 1.110.2",
)
_by_level = partial(_gemini, unasked="high", off="no")
_cool = partial(_by_level, refuses=("sampling",))
_painter = partial(
    _gemini,
    thinking="always",
    native_thinking="always",
    structured="text",
    wants_back="nothing",
    off="no",
    inputs=_SEES,
    outputs=("text", "image"),
    tools=False,
    context=65_536,
    output_limit=32_768,
)

_GOOGLE = (
    _painter("gemini-2*-image*", thinking="none", native_thinking="none", refuses=("schema",)),
    _painter("gemini-*-image*"),
    *(
        _gemini(pattern, thinking="none", native_thinking="none", output_limit=8_192)
        for pattern in ("gemini-1*", "gemini-2.0*", "gemini-pro*")
    ),
    _gemini("gemini-2.5-pro*", unasked="on", off="no"),
    _gemini("gemini-2.5*"),
    _by_level("gemini-3-pro*", efforts=("low", "high")),
    _by_level("gemini-3.1-pro*", efforts=_TO_HIGH),
    _cool("gemini-3.5-flash-lite*", efforts=_FOUR),
    *(
        _by_level(pattern, efforts=_FOUR)
        for pattern in ("gemini-3-flash*", "gemini-3.1-flash*", "gemini-3.5-flash*")
    ),
    _cool("gemini-3.6-flash*", efforts=_FOUR),
    _cool("gemini-4-hydrogen*", efforts=_TO_XHIGH),
    _cool("gemini-*", efforts=_TO_HIGH),
)

# --- DeepSeek, GLM, Qwen, MiniMax ---------------------------------------------------------------

_open_thinking = partial(
    _row,
    dialect="open-thinking",
    thinking="always",
    unasked="on",
    off="no",
    notes="its chat template swallows the opening tag",
    source="the chat templates of the open weights",
)
_OPERATOR = "TokenGate's page of models: its operator's own servers"
_deepseek = partial(_row, family="DeepSeek", dialect="deepseek", wants_back="tool_reasoning")
_glm = partial(
    _row,
    family="GLM",
    dialect="glm",
    refuses=("stops", "schema"),
    output_limit=128_000,
    source="docs.z.ai, pydantic-ai-slim 2.68.0, litellm 1.110.2",
)
_newest_glm = partial(
    _glm,
    thinking="effort",
    efforts=("low", "high", "max"),
    unasked="max",
    off="no",
    context=1_000_000,
    notes="schemas with $ref come back as text",
)
_qwen = partial(
    _row,
    family="Qwen",
    dialect="qwen",
    thinking="enable_thinking",
    prefix="partial",
    inputs=_SEES,
    context=262_144,
    notes="send top_p: some gateways turn a missing one into 0.001; several choices (n) are "
    "for answers without thinking",
    source="TokenGate's page of models, @ai-sdk/alibaba, litellm 1.110.2",
)
_minimax = partial(
    _row,
    family="MiniMax",
    dialect="minimax",
    source="Model Studio's page of MiniMax-M3.1-Flash, pydantic-ai-slim 2.68.0, reports of users",
)

_CHINA = (
    # The operator's own vLLM, which wants back the field that it sent.
    _row(
        "WanWu/Deepseek*",
        "WanWu",
        thinking="template_effort",
        efforts=("low", "high", "max"),
        source=_OPERATOR,
    ),
    _row("WanWu/*", "WanWu", thinking="template_enable", source=_OPERATOR),
    _open_thinking("*deepseek-r1*", family="DeepSeek"),
    _open_thinking("*qwen3*-thinking*", family="Qwen"),
    _open_thinking("*qwq*", family="Qwen"),
    _media("Qwen3-TTS*", "Qwen", "text", "audio", "voices vivian, ryan, serena and others"),
    _media("qwen-image-edit*", "Qwen", "text image", "image"),
    _media("qwen-image*", "Qwen", "text", "image"),
    _row(
        "Qwen3-VL*",
        "Qwen",
        "qwen",
        thinking="none",
        inputs=_SEES,
        context=16_384,
        tools=False,
        notes="at most two images a request, none smaller than 28 by 28 pixels",
        source=_OPERATOR,
    ),
    _qwen("qwen3.5-plus*", unasked="on", context=992_000),
    *(_qwen(pattern, unasked="on") for pattern in ("qwen3.5*", "qwen3.6*")),
    *(
        _qwen(pattern, unasked="on", context=992_000, output_limit=64_000)
        for pattern in ("qwen3.*", "qwen[4-9]*")
    ),
    _qwen("qwen*"),
    _deepseek(
        "deepseek3.2*",
        thinking="template_thinking",
        unasked="none",
        context=65_536,
        notes="thinks only when asked",
        source=_OPERATOR,
    ),
    _deepseek(
        "deepseek*",
        thinking="deepseek",
        efforts=("low", "high", "max"),
        unasked="high",
        refuses=("n", "schema"),
        refuses_thinking=("forced_tool",),
        ignores_thinking=("sampling",),
        structured="json",
        prefix="prefix",
        context=1_000_000,
        output_limit=384_000,
        length="max_tokens",
        source="api-docs.deepseek.com, pydantic-ai-slim 2.68.0, litellm 1.110.2",
    ),
    _glm(
        "glm-5.2*",
        thinking="switch_and_effort",
        efforts=("minimal", *_TO_MAX),
        unasked="on",
        context=1_000_000,
    ),
    _newest_glm("glm-5?[3-9]*"),
    *(
        _glm(pattern, thinking="glm", unasked="on", context=204_800)
        for pattern in ("glm-[1-4]*", "glm-5?[01]*", "glm-5", "glm-5-*", "glm-z1*")
    ),
    _newest_glm("glm-*"),
    *(
        _minimax(pattern, thinking="always", unasked="on", off="no", context=204_800)
        for pattern in ("minimax[12]*", "minimax-[12]*", "minimax-m[12]*", "minimax-text*")
    ),
    *(
        _minimax(
            pattern,
            thinking="minimax",
            unasked="on",
            context=1_000_000,
            output_limit=128_000,
            length="max_completion_tokens",
        )
        for pattern in ("minimax-m3", "minimax3", "minimax-3", "minimax-m3.0*")
    ),
    _minimax(
        "minimax*",
        thinking="effort",
        efforts=_TO_MAX,
        unasked="max",
        off="no",
        refuses=("forced_tool",),
        ignores_thinking=("stop", "parallel_tool_calls"),
        inputs=("text", "image", "video"),
        context=1_000_000,
        output_limit=512_000,
        length="max_completion_tokens",
    ),
)

# --- xAI ----------------------------------------------------------------------------------------

_grok = partial(
    _row,
    family="xAI",
    dialect="grok",
    thinking="effort",
    native_thinking="responses",
    structured="schema",
    refuses_thinking=("stop", "penalties"),
    inputs=_SEES,
    context=500_000,
    source="docs.x.ai, pydantic-ai-slim 2.68.0, litellm 1.110.2",
)
_named_grok = partial(
    _grok, thinking="by_name", native_thinking="by_name", unasked="on", off="no", context=2_000_000
)

_XAI = (
    _named_grok("grok-*non-reasoning*", unasked="none", off="yes"),
    _grok(
        "grok-4.20-multi-agent*",
        protocol="responses",
        thinking="by_name",
        native_thinking="by_name",
        tools=False,
        context=1_000_000,
    ),
    _named_grok("grok-4.20*", context=1_000_000),
    *(_named_grok(pattern) for pattern in ("grok-4-1*", "grok-4-fast*")),
    *(
        _named_grok(pattern, thinking="always", native_thinking="always", context=256_000)
        for pattern in ("grok-4", "grok-code*", "grok-build*")
    ),
    _grok("grok-3-mini*", efforts=("low", "high"), off="no", context=131_072),
    *(
        _named_grok(pattern, thinking="none", native_thinking="none", context=131_072)
        for pattern in ("grok-[123]*", "grok-beta*")
    ),
    *(
        _grok(pattern, efforts=("none", *_TO_HIGH), context=1_000_000)
        for pattern in ("grok-4.3*", "grok-latest")
    ),
    _grok("grok-4.7*", efforts=_TO_XHIGH, unasked="high", off="no"),
    _grok("grok-*", efforts=_TO_HIGH, unasked="high", off="no"),
)

# --- Mistral ------------------------------------------------------------------------------------

_mistral = partial(
    _row,
    family="Mistral",
    call_ids="short",
    prefix="prefix",
    source="docs.mistral.ai, pydantic-ai-slim 2.68.0",
)

_MISTRAL = tuple(
    _mistral(pattern)
    for pattern in (
        *("mistral*", "mixtral*", "magistral*", "ministral*", "codestral*", "devstral*"),
        *("pixtral*", "voxtral*", "open-*tral*"),
    )
)

_OTHER_MEDIA = (
    _media("text-embedding-*", "OpenAI", "text", "vectors"),
    _media("whisper-*", "OpenAI", "audio", "text"),
    _media("tts-*", "OpenAI", "text", "audio"),
    _media("wan-t2v*", "Wan", "text", "video", video_form="frames"),
    _media("wan-i2v*", "Wan", "text image", "video", video_form="frames"),
    _media("suno*", "Suno", "text audio", "audio"),
)

CATALOGUE = Catalogue((*_CHINA, *_OPENAI, *_ANTHROPIC, *_GOOGLE, *_XAI, *_MISTRAL, *_OTHER_MEDIA))
