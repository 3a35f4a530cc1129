"""What a model refuses is left out or weakened before it is sent, and a note says so."""

from __future__ import annotations

from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate import TokenGate
from aiotokengate._wire.fitting import fitted, thinks, thinks_by_budget
from aiotokengate._wire.protocols import find_protocol
from aiotokengate._wire.question import Question
from aiotokengate.catalogue import CATALOGUE, Model
from aiotokengate.testing import Call, FakeGateway, ScriptedReply
from aiotokengate.types import ChatParams

ASKED = [{"role": "user", "content": "天气？ 🌦️"}]
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}


def fit(model: str, protocol: Any = None, messages: Any = ASKED, **more: Any) -> Question:
    row = CATALOGUE.find(model)
    reasoning = more.pop("reasoning", None)
    question = Question(model, messages, more, reasoning=reasoning, row=row)
    return fitted(question, protocol or row.protocol)


def body(model: str, protocol: Any, **more: Any) -> Any:
    return orjson.loads(find_protocol(protocol).encode(fit(model, protocol, **more)).body)


LEFT = "is refused by this model and was left out"
WHILE = "is refused while this model thinks and was left out"


@pytest.mark.parametrize(
    ("model", "given", "left", "notes"),
    [
        ("claude-opus-4-7", {"temperature": 0.2}, {}, [f"parameter 'temperature' {LEFT}"]),
        (
            "claude-opus-9",
            {"top_p": 0.5, "top_k": 3},
            {},
            [f"parameter 'top_p' {LEFT}", f"parameter 'top_k' {LEFT}"],
        ),
        ("claude-opus-4-6", {"temperature": 0.2}, {"temperature": 0.2}, []),
        (
            "claude-sonnet-4.5",
            {"temperature": 0.2, "reasoning": "low"},
            {},
            [f"parameter 'temperature' {WHILE}"],
        ),
        ("claude-sonnet-4.5", {"temperature": 0.2}, {"temperature": 0.2}, []),
        ("gpt-5", {"temperature": 0.2}, {}, [f"parameter 'temperature' {WHILE}"]),
        (
            "gpt-5.2",
            {"temperature": 0.2, "logprobs": True},
            {"temperature": 0.2, "logprobs": 1},
            [],
        ),
        (
            "gpt-5.2",
            {"reasoning": "low", "logit_bias": {"1": 2}, "presence_penalty": 1, "stop": "完"},
            {},
            [
                f"parameter 'presence_penalty' {WHILE}",
                f"parameter 'logit_bias' {WHILE}",
                f"parameter 'stop' {WHILE}",
            ],
        ),
        (
            "gpt-5.2",
            {"reasoning_effort": "high", "top_p": 0.1},
            {"reasoning_effort": "high"},
            [f"parameter 'top_p' {WHILE}"],
        ),
        ("gpt-5.5", {"reasoning": "off", "top_p": 0.1}, {"top_p": 0.1}, []),
        ("gpt-5-chat-latest", {"temperature": 0.2}, {"temperature": 0.2}, []),
        ("gpt-4o", {"temperature": 0.2, "stop": "完"}, {"temperature": 0.2, "stop": "完"}, []),
        ("gemini-3.1-pro-preview", {"temperature": 0.2}, {"temperature": 0.2}, []),
        ("gemini-3.6-flash", {"temperature": 0.2}, {}, [f"parameter 'temperature' {LEFT}"]),
        ("gemini-7-neon", {"top_k": 2}, {}, [f"parameter 'top_k' {LEFT}"]),
        (
            "grok-4.5",
            {"stop": "完", "frequency_penalty": 1, "temperature": 0.2},
            {"temperature": 0.2},
            [f"parameter 'frequency_penalty' {WHILE}", f"parameter 'stop' {WHILE}"],
        ),
        ("grok-4-1-fast-non-reasoning", {"stop": "完"}, {"stop": "完"}, []),
        (
            "deepseek-v4-pro",
            {"temperature": 0.2},
            {"temperature": 0.2},
            ["parameter 'temperature' has no effect while this model thinks"],
        ),
        ("deepseek-v4-pro", {"temperature": 0.2, "reasoning": "off"}, {"temperature": 0.2}, []),
        ("deepseek-v4-pro", {"n": 2}, {}, [f"parameter 'n' {LEFT}"]),
        ("qwen3.6-plus", {"n": 2, "temperature": 1}, {"n": 2, "temperature": 1}, []),
        (
            "glm-5.1",
            {"stop": ["完", "了"]},
            {"stop": ["完"]},
            ["this model takes one stop word: the others were left out"],
        ),
        (
            "MiniMax-M3.1-Flash",
            {"stop": "完"},
            {"stop": "完"},
            ["parameter 'stop' has no effect while this model thinks"],
        ),
        ("nobody-knows-it", {"temperature": 2, "n": 3}, {"temperature": 2, "n": 3}, []),
    ],
)
def test_what_is_refused_is_left_out(
    model: str, given: dict[str, Any], left: dict[str, Any], notes: list[str]
) -> None:
    question = fit(model, **given)
    assert (dict(question.params), list(question.notes)) == (left, notes)


def test_what_responses_does_not_have_is_said_by_the_protocol() -> None:
    given: Any = {"stop": "完", "logit_bias": {"1": 2}, "top_p": 0.5}
    question = fit("gpt-5", "responses", **given)
    assert question.notes == (f"parameter 'top_p' {WHILE}",)
    notes = find_protocol("responses").encode(question).notes
    assert notes == tuple(
        f"parameter {name!r} is not part of this protocol and was left out"
        for name in ("stop", "logit_bias")
    )


FORCED = "a forced tool_choice is refused"


@pytest.mark.parametrize(
    ("model", "reasoning", "why"),
    [
        ("claude-opus-5-5", None, f"{FORCED} by this model: 'auto' was sent"),
        ("claude-sonnet-5-5", "off", f"{FORCED} by this model: 'auto' was sent"),
        ("claude-opus-5", None, ""),
        ("claude-sonnet-4.5", None, ""),
        ("claude-sonnet-4.5", "low", f"{FORCED} while this model thinks: 'auto' was sent"),
        ("claude-opus-4-6", "low", ""),
        ("claude-opus-4-6", 4_096, f"{FORCED} while this model thinks: 'auto' was sent"),
        ("deepseek-v4-pro", None, f"{FORCED} while this model thinks: 'auto' was sent"),
        ("deepseek-v4-pro", "off", ""),
        ("MiniMax-M4", None, f"{FORCED} by this model: 'auto' was sent"),
        ("gpt-5.2", "high", ""),
    ],
)
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
def test_a_forced_call(model: str, reasoning: Any, why: str, choice: Any) -> None:
    question = fit(model, reasoning=reasoning, tools=[TOOL], tool_choice=choice)
    assert question.params["tool_choice"] == ("auto" if why else choice)
    assert question.notes == ((why,) if why else ())
    for free in ("auto", "none"):
        assert fit(model, reasoning=reasoning, tools=[TOOL], tool_choice=free).notes == ()


@pytest.mark.parametrize(
    ("model", "word", "sent"),
    [
        ("gpt-6-sol", "max", "xhigh"),
        ("gpt-5", "none", "minimal"),
        ("gpt-6-astra", "none", "low"),
        ("gpt-5.2", "none", "none"),
        ("grok-4.7", "max", "xhigh"),
        ("deepseek-v4-pro", "xhigh", "high"),
        ("nobody-knows-it", "ultra", "ultra"),
        ("gpt-5.2", "ultra", "ultra"),
    ],
)
def test_the_callers_own_word_for_effort(model: str, word: str, sent: str) -> None:
    question = fit(model, "chat", reasoning_effort=word)
    assert question.params["reasoning_effort"] == sent
    assert bool(question.notes) == (sent != word)
    assert fit(model, "chat", reasoning_effort=sent).notes == ()


def test_max_is_for_responses() -> None:
    assert fit("gpt-6-sol", "responses", reasoning_effort="max").notes == ()


def test_claude_without_efforts() -> None:
    question = fit("claude-haiku-4.5", reasoning_effort="low")
    assert question.params == {}
    assert question.notes == (f"parameter 'reasoning_effort' {LEFT}",)


@pytest.mark.parametrize(
    ("model", "thinking", "sent"),
    [
        (
            "claude-opus-4-7",
            {"type": "enabled", "budget_tokens": 2_048},
            {"type": "adaptive", "display": "summarized"},
        ),
        ("claude-opus-4-7", {"type": "disabled"}, {"type": "disabled"}),
        ("claude-opus-5-5", {"type": "disabled"}, None),
        ("claude-opus-5-5", {"type": "adaptive"}, {"type": "adaptive"}),
        (
            "claude-haiku-4.5",
            {"type": "enabled", "budget_tokens": 2_048},
            {"type": "enabled", "budget_tokens": 2_048},
        ),
    ],
)
def test_claudes_own_field(model: str, thinking: dict[str, Any], sent: Any) -> None:
    question = fit(model, thinking=thinking)
    assert question.params.get("thinking") == sent
    assert bool(question.notes) == (sent != thinking)


@pytest.mark.parametrize(
    ("model", "given", "sent", "noted"),
    [
        ("gpt-5.4", {"reasoning": "high"}, "none", True),
        ("gpt-5.4", {"reasoning_effort": "low"}, "none", True),
        ("gpt-5.4", {}, None, False),
        ("gpt-5.5", {}, "none", True),
        ("gpt-6-astra", {"reasoning": "low"}, "low", True),
        ("gpt-5.2", {"reasoning": "low"}, "low", False),
    ],
)
def test_functions_or_an_effort_over_chat(
    model: str, given: dict[str, Any], sent: str | None, noted: bool
) -> None:
    assert bool(fit(model, "chat", tools=[TOOL], **given).notes) is noted
    assert body(model, "chat", tools=[TOOL], **given).get("reasoning_effort") == sent


def test_who_calls_no_functions() -> None:
    search: Any = {"google_search": {}}
    question = fit("gemini-3-pro-image-preview", tools=[TOOL, search], tool_choice="auto")
    assert dict(question.params) == {"tools": [search], "tool_choice": "auto"}
    assert question.notes == ("this model calls no functions: they were left out of 'tools'",)
    bare = fit("o3-deep-research", tools=[TOOL], tool_choice="required", parallel_tool_calls=True)
    assert bare.params == {}
    assert fit("gemini-3-pro-image-preview", tools=[search]).notes == ()


@pytest.mark.parametrize(
    ("prompt", "form"),
    [("说 JSON，谢谢", {"type": "json_object"}), ("你好 👋", None)],
)
def test_who_takes_no_schema(prompt: str, form: Any) -> None:
    messages = [{"role": "user", "content": prompt}]
    question = fit("deepseek-v4-pro", messages=messages, response_format=SCHEMA)
    assert question.params.get("response_format") == form
    (note,) = question.notes
    assert note.startswith("a schema is refused by this model")
    plain = {"type": "json_object"}
    assert fit("deepseek-v4-pro", response_format=plain).params["response_format"] == plain
    assert fit("gpt-5.2", response_format=SCHEMA).notes == ()


@pytest.mark.parametrize(
    ("model", "protocol", "given", "sent"),
    [
        ("deepseek-v4-pro", "chat", {"max_completion_tokens": 9}, {"max_tokens": 9}),
        ("gpt-5", "chat", {"max_tokens": 9}, {"max_completion_tokens": 9}),
        (
            "gpt-5",
            "chat",
            {"max_tokens": 9, "max_completion_tokens": 8},
            {"max_completion_tokens": 8},
        ),
        ("gpt-5", "responses", {"max_tokens": 9}, {"max_tokens": 9}),
        ("nobody", "chat", {"max_completion_tokens": 9}, {"max_completion_tokens": 9}),
    ],
)
def test_the_limit_has_the_name_that_is_heeded(
    model: str, protocol: Any, given: dict[str, Any], sent: dict[str, Any]
) -> None:
    question = fit(model, protocol, **given)
    assert (dict(question.params), question.notes) == (sent, ())


@pytest.mark.parametrize(
    ("model", "reasoning", "params", "expected"),
    [
        ("gpt-5", "off", {}, True),  # it has no "none"
        ("gpt-5.2", None, {}, False),
        ("gpt-5.2", None, {"reasoning_effort": "low"}, True),
        ("claude-opus-4-7", None, {"thinking": {"type": "adaptive"}}, True),
        ("claude-opus-5", None, {"thinking": {"type": "disabled"}}, False),
        ("deepseek3.2", None, {}, False),
        ("deepseek3.2", None, {"chat_template_kwargs": {"thinking": True}}, True),
        ("qwen3.6-plus", None, {"enable_thinking": False}, False),
        ("gemini-2.5-flash-image", "high", {}, False),
        ("minimax2.7", 0, {}, True),
    ],
)
def test_whether_it_thinks(
    model: str, reasoning: Any, params: dict[str, Any], expected: bool
) -> None:
    assert thinks(CATALOGUE.find(model), reasoning, params) is expected


# --- words of the catalogue ---------------------------------------------------------------------


def fit_row(row: Model, protocol: Any, messages: Any = ASKED, **more: Any) -> Question:
    reasoning = more.pop("reasoning", None)
    return fitted(Question("模型", messages, more, reasoning=reasoning, row=row), protocol)


def house(**told: Any) -> Model:
    """Return a row of a model that nobody else knows."""
    return Model("模型", "House", **told)


NAMES_OF_WORDS = {
    "sampling": ("temperature", "top_p", "top_k"),
    "penalties": ("presence_penalty", "frequency_penalty"),
    "logprobs": ("logprobs", "top_logprobs", "logit_bias"),
    "stop": ("stop",),
    "parallel_tool_calls": ("parallel_tool_calls",),
}
PLAIN = [(word, name) for word, names in NAMES_OF_WORDS.items() for name in names]


@pytest.mark.parametrize(("word", "name"), PLAIN)
def test_every_parameter_that_a_word_stands_for(word: str, name: str) -> None:
    given: Any = {name: 1, "seed": 2}
    always, thinking = house(refuses=(word,)), house(refuses_thinking=(word,), thinking="always")
    vain = house(ignores_thinking=(word,), thinking="always")
    for row, left, note in (
        (always, {"seed": 2}, f"parameter {name!r} {LEFT}"),
        (thinking, {"seed": 2}, f"parameter {name!r} {WHILE}"),
        (vain, given, f"parameter {name!r} has no effect while this model thinks"),
    ):
        question = fit_row(row, "chat", **given)
        assert (question.params, question.notes) == (left, (note,))
    for row in (house(refuses_thinking=(word,)), house(ignores_thinking=(word,))):
        for asleep in (row, attrs.evolve(row, thinking="none")):
            question = fit_row(asleep, "chat", reasoning="off", **given)
            assert (question.params, question.notes) == (given, ())
    absent = ("top_k", "presence_penalty", "frequency_penalty", "logit_bias", "stop")
    said = fit_row(always, "responses", **given).notes
    assert said == (() if name in absent else (f"parameter {name!r} {LEFT}",))


def test_stop_words_and_counts() -> None:
    row = house(refuses=("stops", "n"))
    for stop in (["完"], "完了", []):
        assert fit_row(row, "chat", stop=stop).params == {"stop": stop}
    assert fit_row(row, "chat", stop=("完", "了")).params == {"stop": ("完",)}
    assert fit_row(house(), "chat", stop=["完", "了"]).notes == ()
    assert fit_row(row, "chat", n=1).params == {"n": 1}
    assert fit_row(row, "responses", n=2).params == {"n": 2}
    assert fit_row(house(), "chat", n=2).params == {"n": 2}
    asleep = house(refuses_thinking=("n",), thinking="always")
    assert fit_row(asleep, "chat", n=2).notes == (f"parameter 'n' {WHILE}",)


@pytest.mark.parametrize("choice", ["required", "any", {"type": "function"}, {"type": "any"}])
def test_what_forces_a_call(choice: Any) -> None:
    row = house(refuses=("forced_tool",))
    question = fit_row(row, "chat", tool_choice=choice)
    assert question.params == {"tool_choice": "auto"}
    assert question.notes == (f"{FORCED} by this model: 'auto' was sent",)
    assert fit_row(house(), "chat", tool_choice=choice, reasoning=5_000).notes == ()


@pytest.mark.parametrize(
    "choice", ["auto", "none", "f", {"type": "auto"}, {"type": "none"}, {}, 7]
)
def test_what_forces_none(choice: Any) -> None:
    question = fit_row(house(refuses=("forced_tool",)), "chat", tool_choice=choice)
    assert (question.params, question.notes) == ({"tool_choice": choice}, ())


@pytest.mark.parametrize(
    ("native", "reasoning", "noted"),
    [
        ("claude_either", 5_000, True),
        ("claude_either", 0, False),
        ("claude_either", "low", False),
        ("claude_either", None, False),
        ("claude_budget", 5_000, False),
        ("claude_adaptive", 5_000, False),
    ],
)
def test_no_call_is_forced_beside_a_budget(native: str, reasoning: Any, noted: bool) -> None:
    row = house(native_thinking=native, thinking="claude_chat", protocol="messages")
    question = fit_row(row, "messages", tool_choice="required", reasoning=reasoning)
    assert bool(question.notes) is noted


@pytest.mark.parametrize(
    ("native", "reasoning", "expected"),
    [
        ("claude_budget", "low", True),
        ("claude_budget", 5_000, True),
        ("claude_budget", "off", False),
        ("claude_budget", 0, False),
        ("claude_budget", None, False),
        ("claude_either", "low", False),
        ("claude_either", 5_000, True),
        ("claude_adaptive", 5_000, False),
        ("unknown", "low", True),
        ("none", "low", False),
    ],
)
def test_who_thinks_by_a_budget(native: str, reasoning: Any, expected: bool) -> None:
    row = house(native_thinking=native, thinking="claude_chat")
    assert thinks_by_budget(row, reasoning) is expected


SWITCHES: list[tuple[Any, dict[str, Any], bool | None]] = [
    ("low", {"reasoning_effort": "none"}, True),
    (1, {}, True),
    ("off", {"reasoning_effort": "low"}, False),
    (0, {}, False),
    (None, {"reasoning_effort": "none", "thinking": {"type": "enabled"}}, False),
    (None, {"reasoning_effort": "minimal", "enable_thinking": False}, True),
    (None, {"thinking": {"type": "disabled"}, "enable_thinking": True}, False),
    (None, {"thinking": {}, "enable_thinking": False}, True),
    (None, {"thinking": "disabled", "enable_thinking": False}, False),
    (None, {"enable_thinking": True, "chat_template_kwargs": {"thinking": False}}, True),
    (
        None,
        {"chat_template_kwargs": {"thinking": False, "enable_thinking": True}},
        False,
    ),
    (None, {"chat_template_kwargs": {"enable_thinking": True}}, True),
    (None, {"chat_template_kwargs": {"enable_thinking": False}}, False),
    (None, {"chat_template_kwargs": "thinking"}, None),
    (None, {}, None),
]


@pytest.mark.parametrize(("reasoning", "params", "wanted"), SWITCHES, ids=range(len(SWITCHES)))
def test_every_switch_for_thinking(
    reasoning: Any, params: dict[str, Any], wanted: bool | None
) -> None:
    rows = {
        "as it is told": (house(), True),
        "not by itself": (house(unasked="none"), False),
        "only if it is asked": (house(thinking="template_thinking"), False),
        "by a word": (house(unasked="low"), True),
    }
    for row, unasked in rows.values():
        assert thinks(row, reasoning, params) is (unasked if wanted is None else wanted)
    for row in (house(off="no"), house(thinking="always")):
        assert thinks(row, reasoning, params) is True
    assert thinks(house(thinking="none", off="no"), reasoning, params) is False


def test_nothing_given_is_nothing_said() -> None:
    assert thinks(house(), None) is True
    assert thinks(house(unasked="none"), None) is False


@pytest.mark.parametrize(
    ("told", "protocol", "word", "sent", "note"),
    [
        ({"efforts": ("low", "high")}, "chat", "max", "high", True),
        ({"efforts": ("low", "high")}, "chat", "low", "low", False),
        ({}, "chat", "max", "max", False),
        ({"native_thinking": "claude_budget"}, "messages", "low", None, True),
        ({"native_thinking": "claude_budget"}, "chat", "low", "low", False),
        ({"native_thinking": "unknown"}, "messages", "low", "low", False),
        ({"native_thinking": "claude_either"}, "messages", "low", "low", False),
        (
            {"native_thinking": "claude_budget", "efforts": ("low",)},
            "messages",
            "high",
            "low",
            True,
        ),
        ({"efforts": ("low",)}, "chat", 7, 7, False),
    ],
)
def test_words_for_effort(
    told: dict[str, Any], protocol: Any, word: Any, sent: Any, note: bool
) -> None:
    question = fit_row(house(**told), protocol, reasoning_effort=word)
    assert question.params == ({} if sent is None else {"reasoning_effort": sent})
    rounded = f"reasoning_effort={word!r} is not taken here and was rounded to {sent!r}"
    refused = f"parameter 'reasoning_effort' {LEFT}"
    assert question.notes == ((rounded if sent else refused,) if note else ())


ENABLED, DISABLED = {"type": "enabled", "budget_tokens": 5_000}, {"type": "disabled"}
ADAPTIVE = {"type": "adaptive", "display": "summarized"}


@pytest.mark.parametrize(
    ("told", "given", "sent", "note"),
    [
        (
            {"native_thinking": "claude_adaptive"},
            ENABLED,
            ADAPTIVE,
            "a budget for thinking is refused by this model: 'adaptive' was sent",
        ),
        ({"native_thinking": "claude_either"}, ENABLED, ENABLED, None),
        ({"native_thinking": "claude_adaptive"}, DISABLED, DISABLED, None),
        ({"native_thinking": "claude_adaptive", "off": "no"}, ADAPTIVE, ADAPTIVE, None),
        (
            {"off": "no"},
            DISABLED,
            None,
            "thinking can't be switched off for this model: 'disabled' was left out",
        ),
        (
            {"off": "between_tools"},
            DISABLED,
            None,
            "thinking can't be switched off for this model: 'disabled' was left out",
        ),
        ({"off": "no"}, "disabled", "disabled", None),
    ],
)
def test_the_field_of_messages(
    told: dict[str, Any], given: Any, sent: Any, note: str | None
) -> None:
    question = fit_row(house(**told), "messages", thinking=given)
    assert question.params == ({} if sent is None else {"thinking": sent})
    assert question.notes == (() if note is None else (note,))
    assert fit_row(house(**told), "chat", thinking=given).params == {"thinking": given}


def test_tools_that_are_no_functions() -> None:
    row, note = house(tools=False), "this model calls no functions: they were left out of 'tools'"
    question = fit_row(row, "chat", tools=({"a": 1}, "odd", TOOL), parallel_tool_calls=True)
    assert question.params == {"tools": [{"a": 1}, "odd"], "parallel_tool_calls": True}
    assert question.notes == (note,)
    question = fit_row(row, "chat", tools=[TOOL], tool_choice="auto", parallel_tool_calls=True)
    assert (question.params, question.notes) == ({}, (note,))
    assert fit_row(row, "chat", tools="odd").params == {"tools": "odd"}
    assert fit_row(house(), "chat", tools=[TOOL]).params == {"tools": [TOOL]}


APART_NOTE = (
    "functions are taken over Chat Completions only without thinking: none was asked for; "
    "protocol='responses' takes both"
)
APART = {"tools_protocol": "responses", "efforts": ("none", "low")}


@pytest.mark.parametrize(
    ("told", "protocol", "given", "left", "reasoning", "note"),
    [
        (
            APART,
            "chat",
            {"tools": [TOOL], "reasoning_effort": "low", "reasoning": "low"},
            {"tools": [TOOL]},
            "off",
            APART_NOTE,
        ),
        (
            {**APART, "efforts": ("low",)},
            "chat",
            {"tools": [TOOL], "reasoning": "low"},
            {"tools": [TOOL]},
            "low",
            "this model takes functions over Responses only: leave protocol= to the catalogue",
        ),
        (
            APART,
            "responses",
            {"tools": [TOOL], "reasoning": "low"},
            {"tools": [TOOL]},
            "low",
            None,
        ),
        (APART, "chat", {"tools": [], "reasoning": "low"}, {"tools": []}, "low", None),
        (APART, "chat", {"tools": [TOOL], "reasoning": "off"}, {"tools": [TOOL]}, "off", None),
        (
            {**APART, "tools_protocol": "chat"},
            "chat",
            {"tools": [TOOL], "reasoning": "low"},
            {"tools": [TOOL]},
            "low",
            None,
        ),
    ],
)
def test_tools_or_an_effort(
    told: dict[str, Any],
    protocol: Any,
    given: dict[str, Any],
    left: dict[str, Any],
    reasoning: Any,
    note: str | None,
) -> None:
    question = fit_row(house(**told), protocol, **given)
    assert (question.params, question.reasoning) == (left, reasoning)
    assert question.notes == (() if note is None else (note,))


SAY = "was left out: say in the prompt how the answer must be"


@pytest.mark.parametrize(
    ("told", "prompt", "wanted", "sent", "note"),
    [
        ({}, "json", SCHEMA, SCHEMA, None),
        (
            {"refuses": ("schema",), "structured": "json"},
            "用 JSON",
            SCHEMA,
            {"type": "json_object"},
            "a schema is refused by this model: JSON mode was asked for",
        ),
        (
            {"refuses": ("schema",), "structured": "json"},
            "你好",
            SCHEMA,
            None,
            f"a schema is refused by this model and {SAY}",
        ),
        (
            {"refuses_thinking": ("schema",), "structured": "text", "thinking": "always"},
            "json",
            SCHEMA,
            None,
            f"a schema is refused while this model thinks and {SAY}",
        ),
        ({"refuses": ("schema",)}, "json", {"type": "text"}, {"type": "text"}, None),
        ({"refuses": ("schema",)}, "json", "json_schema", "json_schema", None),
    ],
)
def test_who_takes_a_schema(
    told: dict[str, Any], prompt: str, wanted: Any, sent: Any, note: str | None
) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": prompt}]}]
    question = fit_row(house(**told), "chat", messages, response_format=wanted)
    assert question.params == ({} if sent is None else {"response_format": sent})
    assert question.notes == (() if note is None else (note,))


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_name_of_the_limit(name: Any) -> None:
    both = {"max_tokens": 1, "max_completion_tokens": 2}
    row = house(length=name)
    assert fit_row(row, "chat", **both).params == {name: both[name]}
    for other in both:
        told: Any = {other: 7}
        assert fit_row(row, "chat", **told).params == {name: 7}
        assert fit_row(row, "messages", **told).params == {other: 7}
        assert fit_row(house(), "chat", **told).params == {other: 7}


def test_what_is_not_changed_comes_along() -> None:
    row = house()
    asked = Question(
        "模型", ASKED, {"seed": 1, "n": None}, False, "low", row, ({"a": 1},), ("注",)
    )
    found = fitted(asked, "chat")
    assert attrs.asdict(found, recurse=False) == {
        "model": "模型",
        "messages": ASKED,
        "params": {"seed": 1},
        "stream": False,
        "reasoning": "low",
        "row": row,
        "extra_body": ({"a": 1},),
        "notes": ("注",),
    }


# --- messages -----------------------------------------------------------------------------------

SAID = {"role": "assistant", "content": "好 🌱"}
LATE = {"role": "system", "content": "从现在起只说英文 🇬🇧"}


def test_a_system_message_in_mid_conversation() -> None:
    messages = [{"role": "system", "content": "你是助手"}, *ASKED, SAID, *ASKED, LATE]
    moved = fit("claude-opus-4-6", messages=messages)
    assert moved.notes == (
        "this model takes no system message in mid conversation: messages[4] was moved to the top",
    )
    texts = [{"type": "text", "text": text} for text in ("你是助手", LATE["content"])]
    assert body("claude-opus-4-6", "messages", messages=messages)["system"] == texts
    assert fit("claude-opus-4-8", messages=messages).notes == ()
    kept = body("claude-opus-4-8", "messages", messages=messages)
    assert kept["system"] == "你是助手"
    assert kept["messages"][-1] == LATE
    assert fit("claude-opus-4-6", "chat", messages=messages).notes == ()


def test_deepseek_gets_the_field_where_it_called() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turn = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "c", "content": "晴 ☀️"}
    messages = [*ASKED, turn, result, SAID, *ASKED, {**turn, "reasoning": "想"}, result]
    sent = fit("deepseek-v4-pro", messages=messages).messages
    fields = [message.get("reasoning_content") for message in sent]
    assert fields == [None, "", None, None, None, "想", None]
    assert fit("deepseek-v4-pro", messages=messages, reasoning="off").messages == messages
    assert fit("qwen3.6-plus", messages=messages).messages == messages


FREE = "打印(6 * 7) 🐍"
ITEM = {"type": "custom_tool_call", "call_id": "c", "name": "run", "input": FREE}
BY_ITEM: Any = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "run", "arguments": FREE}}
    ],
    "native": {"protocol": "responses", "content": [ITEM]},
}
BY_KIND: Any = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "run", "input": FREE}}],
}


@pytest.mark.parametrize("turn", [BY_ITEM, BY_KIND])
def test_a_call_with_free_text_goes_to_whom_knows_only_functions(turn: dict[str, Any]) -> None:
    messages = [*ASKED, turn, {"role": "tool", "tool_call_id": "c", "content": "42"}]
    (use,) = body("claude-opus-4-7", "messages", messages=messages)["messages"][1]["content"]
    assert use == {"type": "tool_use", "id": "c", "name": "run", "input": {"input": FREE}}
    (part,) = body("gemini-2.5-pro", "gemini", messages=messages)["contents"][1]["parts"]
    assert part == {"functionCall": {"name": "run", "args": {"input": FREE}}}
    assert body("gpt-5.3-codex", "responses", messages=messages)["input"][1] == ITEM
    (call,) = body("gpt-5.2", "chat", messages=messages)["messages"][1]["tool_calls"]
    if turn is BY_KIND:
        assert call == BY_KIND["tool_calls"][0]
    else:
        assert orjson.loads(call["function"]["arguments"]) == {"input": FREE}


# --- turns --------------------------------------------------------------------------------------

CALLED: dict[str, Any] = {"role": "assistant", "tool_calls": [{"id": "call_123456789"}]}


def test_whose_turns_with_calls_need_their_reasoning() -> None:
    row = house(wants_back="tool_reasoning")
    others = [
        {**CALLED, "role": "user"},
        {**CALLED, "tool_calls": []},
        {**CALLED, "reasoning_content": "想"},
    ]
    turns = [CALLED, {**CALLED, "reasoning": 7}, {**CALLED, "reasoning": "想"}, *others]
    sent = fit_row(row, "chat", turns).messages
    thoughts = ["", "", "想"]
    assert sent == [
        *(
            {**turn, "reasoning_content": text}
            for turn, text in zip(turns, thoughts, strict=False)
        ),
        *others,
    ]
    assert fit_row(row, "messages", turns).messages == turns
    assert fit_row(row, "chat", turns[:1]).messages == turns[:1]


def test_who_wants_short_ids() -> None:
    turns = [*ASKED, CALLED]
    row = house(call_ids="short")
    ((call,),) = [message["tool_calls"] for message in fit_row(row, "chat", turns).messages[1:]]
    assert len(call["id"]) == 9
    assert fit_row(row, "messages", turns).messages == turns
    assert fit_row(house(), "chat", turns).messages == turns


def test_every_system_message_that_moves_is_named() -> None:
    late = {"role": "developer", "content": "短"}
    turns = [late, *ASKED, late, SAID, late]
    moved = (
        "this model takes no system message in mid conversation: messages[{}] was moved to the top"
    )
    assert fit_row(house(), "messages", turns).notes == (moved.format(2), moved.format(4))
    assert fit_row(house(system="anywhere"), "messages", turns).notes == ()
    assert fit_row(house(), "chat", turns).notes == ()


def test_who_thinks_by_a_budget_keeps_the_thoughts_of_others() -> None:
    """A turn with calls has to begin with a thought there, whosever it is."""
    thought = {"type": "thinking", "thinking": "想", "signature": "S"}
    native = {"protocol": "messages", "content": [thought], "asked": "claude-opus-4.5"}
    turn = {"role": "assistant", "content": "好", "native": native}
    row = house(native_thinking="claude_budget")
    assert fit_row(row, "messages", [*ASKED, turn], reasoning="low").messages[1] == turn
    assert fit_row(row, "messages", [*ASKED, turn], reasoning="off").messages[1] != turn
    adaptive = house(native_thinking="claude_adaptive")
    assert fit_row(adaptive, "messages", [*ASKED, turn], reasoning="low").messages[1] != turn


@pytest.mark.parametrize(
    ("call", "protocol", "spoken"),
    [
        (
            {"id": "x", "type": "custom", "custom": {"name": "run", "input": "甲"}, "a": 1},
            "messages",
            {"id": "x", "a": 1, "function": {"name": "run", "arguments": '{"input":"甲"}'}},
        ),
        (
            {"id": "x", "type": "custom", "custom": {"name": "run", "input": 7}},
            "gemini",
            {"id": "x", "function": {"name": "run", "arguments": '{"input":""}'}},
        ),
        (
            {"id": "c", "type": "function", "function": {"name": "run", "arguments": "甲"}},
            "chat",
            {"id": "c", "function": {"name": "run", "arguments": '{"input":"甲"}'}},
        ),
        ({"id": "x", "type": "custom", "custom": {"name": "run", "input": "甲"}}, "chat", None),
        (
            {"id": "x", "type": "function", "function": {"name": "run", "arguments": "甲"}},
            "messages",
            None,
        ),
        ({"id": "c", "type": "function", "function": {"name": "f"}}, "responses", None),
        ("odd", "messages", None),
    ],
)
def test_every_call_with_free_text(call: Any, protocol: Any, spoken: Any) -> None:
    items = [ITEM, {"type": "function_call", "call_id": "x"}, "odd"]
    native = {"protocol": "responses", "content": items}
    turn = {"role": "assistant", "tool_calls": (call,), "native": native}
    sent = fit_row(house(), protocol, [*ASKED, turn]).messages[1]
    if spoken is None:
        assert sent["tool_calls"] == (call,)
    else:
        assert sent["tool_calls"] == [{"type": "function", **spoken}]


# --- through the client -------------------------------------------------------------------------


async def test_the_reply_and_the_check_say_it(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(ScriptedReply(answer="好 🌱"))
    options: Any = {"temperature": 0.2, "tools": [TOOL], "tool_choice": "required"}
    foreseen = gate.check("claude-opus-4-7", "天气？", reasoning="high", **options)
    assert foreseen == (f"parameter 'temperature' {LEFT}",)
    reply = await gate.chat("claude-opus-4-7", "天气？", reasoning="high", **options)
    assert reply.notes == foreseen
    sent = orjson.loads(gateway.requests[-1].body)
    assert "temperature" not in sent
    assert sent["tool_choice"] == {"type": "any"}


async def test_extra_body_is_the_callers_own(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(ScriptedReply(answer="好"))
    reply = await gate.chat("claude-opus-4-7", "嗨", extra_body={"temperature": 1})
    assert reply.notes == ()
    assert orjson.loads(gateway.requests[-1].body)["temperature"] == 1


async def test_n_that_is_left_out_is_not_waited_for(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(ScriptedReply(answer="好"))
    reply = await gate.chat("deepseek-v4-pro", "嗨", n=2)
    assert (reply.status, reply.notes) == ("complete", (f"parameter 'n' {LEFT}",))


@pytest.mark.parametrize(
    ("model", "reasoning", "reason"),
    [
        ("claude-opus-5-5", "off", "reasoning='off': it always thinks"),
        ("claude-sonnet-5-5", 0, "reasoning=0: it still thinks a little between tool calls"),
        ("gpt-5", "off", "reasoning='off': rounded to the effort 'minimal'"),
        ("minimax2.7", "off", "reasoning='off': it always thinks"),
        ("gemini-2.5-pro", "off", "reasoning='off': it always thinks, asked for 128 tokens"),
    ],
)
def test_off_that_can_not_be_is_foreseen(
    gate: TokenGate, model: str, reasoning: Any, reason: str
) -> None:
    assert gate.check(model, "嗨", reasoning=reasoning)[0] == reason


@pytest.mark.parametrize(
    ("model", "protocol", "path"),
    [
        ("gpt-5.4", None, "/v1/responses"),
        ("gpt-5.4", "chat", "/v1/chat/completions"),
        ("gpt-5.2", None, "/v1/chat/completions"),
        ("claude-opus-4-7", None, "/v1/messages"),
    ],
)
async def test_functions_choose_the_protocol(
    gateway: FakeGateway, gate: TokenGate, model: str, protocol: Any, path: str
) -> None:
    gateway.script(ScriptedReply(tool_calls=[Call("weather", {"city": "北京"})]))
    reply = await gate.chat(model, "天气？ 🌦️", tools=[TOOL], protocol=protocol)
    assert reply.tool_calls[0].parse() == {"city": "北京"}
    assert gateway.requests[-1].path == path


# --- whatever is given --------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
NATIVE = st.fixed_dictionaries(
    {
        "protocol": st.sampled_from(["responses", "messages", "gemini", "其他"]),
        "content": JSON | st.lists(st.fixed_dictionaries({"type": st.just("thinking")})),
        "asked": JSON | st.just("claude-opus-4-7"),
    }
)
TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "tool", "system"])},
        optional={"content": JSON, "tool_calls": JSON, "native": NATIVE | JSON},
    ),
    max_size=4,
)
NAMES = st.sampled_from(sorted(ChatParams.__annotations__))
MODELS = st.sampled_from(
    ["claude-opus-5-5", "claude-haiku-4.5", "gpt-9", "gemini-9", "deepseek-v4-pro", "glm-5.1", "?"]
)


@given(TURNS, st.dictionaries(NAMES, JSON), MODELS, st.sampled_from([None, "off", "max", 4_096]))
def test_nothing_that_is_given_raises(
    turns: list[Any], params: dict[str, Any], model: str, reasoning: Any
) -> None:
    row = CATALOGUE.find(model)
    for protocol in ("chat", "responses", "messages", "gemini"):
        asked = Question(model, turns, params, reasoning=reasoning, row=row)
        question = fitted(asked, protocol)
        assert len(question.messages) == len(turns)
        assert all(isinstance(note, str) for note in question.notes)
        again = fitted(question, protocol)
        assert again.params == question.params  # what was fitted fits
