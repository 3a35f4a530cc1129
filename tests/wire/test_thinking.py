"""One way of asking for thinking, in every family's own words."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate import CallerError
from aiotokengate._wire.chat_completions import encode_chat
from aiotokengate._wire.question import Question
from aiotokengate._wire.thinking import (
    WAYS,
    ask_to_think,
    checked_reasoning,
    nearest_effort,
    unheeded,
    way_of,
)
from aiotokengate.catalogue import CATALOGUE, UNKNOWN, Model

ON = "thinking is on, how much is the model's choice"


def asked(model: str, reasoning: Any, most: int | None = None) -> tuple[dict[str, Any], list[str]]:
    """Return the fields over Chat Completions, and what the notes say after the value."""
    row = CATALOGUE.find(model)
    question = Question(model, [], reasoning=reasoning, row=row)
    found = ask_to_think(question, "chat", most)
    notes = [note.partition(": ")[2] for note in found.notes]
    assert all(note.startswith(f"reasoning={reasoning!r}: ") for note in found.notes)
    return dict(found.fields), notes


@pytest.mark.parametrize(
    ("model", "reasoning", "fields", "notes"),
    [
        ("qwen3.6-plus", "off", {"enable_thinking": False}, []),
        ("qwen3.6-plus", "high", {"enable_thinking": True}, [ON]),
        ("qwen3.6-plus", 0, {"enable_thinking": False}, []),
        ("deepseek-v4-pro", "off", {"thinking": {"type": "disabled"}}, []),
        (
            "deepseek-v4-pro",
            "low",
            {"thinking": {"type": "enabled"}, "reasoning_effort": "low"},
            [],
        ),
        (
            "deepseek-v4-pro",
            "medium",
            {"thinking": {"type": "enabled"}, "reasoning_effort": "low"},
            ["rounded to the effort 'low'"],
        ),
        (
            "deepseek-v4-pro",
            30_000,
            {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
            ["a budget is not taken here, asked for 'high'"],
        ),
        ("deepseek3.2", "off", {"chat_template_kwargs": {"thinking": False}}, []),
        ("deepseek3.2", "high", {"chat_template_kwargs": {"thinking": True}}, [ON]),
        ("WanWu/GLM-Auto", "off", {"chat_template_kwargs": {"enable_thinking": False}}, []),
        ("WanWu/Deepseek-Auto", "off", {"chat_template_kwargs": {"thinking": False}}, []),
        (
            "WanWu/Deepseek-Auto",
            "high",
            {"chat_template_kwargs": {"thinking": True, "reasoning_effort": "high"}},
            [],
        ),
        ("glm-5.1", "off", {"thinking": {"type": "disabled"}}, []),
        ("glm-5.1", 512, {"thinking": {"type": "enabled"}}, [ON]),
        ("minimax2.7", "off", {}, ["it always thinks"]),
        ("minimax2.7", "low", {}, ["how much is the model's choice"]),
        ("gpt-5.4", "off", {"reasoning_effort": "none"}, []),
        ("gpt-5", "off", {"reasoning_effort": "minimal"}, ["rounded to the effort 'minimal'"]),
        ("gpt-5", "high", {"reasoning_effort": "high"}, []),
        ("gpt-5-pro", "low", {"reasoning_effort": "high"}, ["rounded to the effort 'high'"]),
        ("gpt-5-chat-latest", "off", {}, []),
        ("gpt-5-chat-latest", "high", {}, ["this model does not think"]),
        ("claude-opus-4.5", "off", {}, []),
        ("claude-opus-4.5", "medium", {"reasoning_effort": "medium"}, []),
        ("claude-opus-4.5", 3_000, {"reasoning": {"max_tokens": 3_000}}, []),
        (
            "gemini-3-flash-preview",
            "off",
            {
                "extra_body": {
                    "google": {
                        "thinking_config": {
                            "include_thoughts": False,
                            "thinking_level": "minimal",
                        }
                    }
                }
            },
            ["rounded to the effort 'minimal'"],
        ),
        (
            "gemini-3.1-pro-preview",
            0,
            {
                "extra_body": {
                    "google": {
                        "thinking_config": {"include_thoughts": False, "thinking_level": "low"}
                    }
                }
            },
            ["rounded to the effort 'low'"],
        ),
        (
            "gemini-3.1-pro-preview",
            512,
            {
                "extra_body": {
                    "google": {
                        "thinking_config": {"include_thoughts": True, "thinking_level": "low"}
                    }
                }
            },
            ["a budget is not taken here, asked for 'low'"],
        ),
        (
            "gemini-2.5-flash",
            "off",
            {
                "extra_body": {
                    "google": {
                        "thinking_config": {"include_thoughts": False, "thinking_budget": 0}
                    }
                }
            },
            [],
        ),
        (
            "gemini-2.5-flash",
            "low",
            {
                "extra_body": {
                    "google": {
                        "thinking_config": {"include_thoughts": True, "thinking_budget": 2_048}
                    }
                }
            },
            [],
        ),
        (
            "gemini-3-flash-preview",
            "low",
            {
                "extra_body": {
                    "google": {
                        "thinking_config": {"include_thoughts": True, "thinking_level": "low"}
                    }
                }
            },
            [],
        ),
        (
            "grok-4-1-fast-reasoning",
            "off",
            {},
            ["the name decides: take its -reasoning or its -non-reasoning model"],
        ),
        ("nobody-knows-it", "medium", {"reasoning_effort": "medium"}, []),
        ("nobody-knows-it", "off", {"reasoning_effort": "none"}, []),
    ],
)
def test_every_family(
    model: str, reasoning: Any, fields: dict[str, Any], notes: list[str]
) -> None:
    assert asked(model, reasoning) == (fields, notes)


def natively(model: str, reasoning: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the fields over the protocol of the model's vendor."""
    row = CATALOGUE.find(model)
    protocol: Any = {"Anthropic": "messages", "Google": "gemini"}.get(row.family, "responses")
    found = ask_to_think(Question(model, [], reasoning=reasoning, row=row), protocol, 100_000)
    return dict(found.fields), [note.partition(": ")[2] for note in found.notes]


SHOWN = {"type": "adaptive", "display": "summarized"}
BY_TOKENS = "a budget is not taken here, asked for"


@pytest.mark.parametrize(
    ("model", "reasoning", "fields", "notes"),
    [
        (
            "claude-opus-4.7",
            "high",
            {"thinking": SHOWN, "output_config": {"effort": "high"}},
            [],
        ),
        (
            "claude-opus-9",
            "max",
            {"thinking": SHOWN, "output_config": {"effort": "max"}},
            [],
        ),
        (
            "claude-opus-4-6",
            "xhigh",
            {"thinking": SHOWN, "output_config": {"effort": "high"}},
            ["rounded to the effort 'high'"],
        ),
        (
            "claude-opus-4-8",
            2_000,
            {"thinking": SHOWN, "output_config": {"effort": "low"}},
            [f"{BY_TOKENS} 'low'"],
        ),
        (
            "claude-opus-4-8",
            "minimal",
            {"thinking": SHOWN, "output_config": {"effort": "low"}},
            ["rounded to the effort 'low'"],
        ),
        ("claude-opus-4-8", "off", {"thinking": {"type": "disabled"}}, []),
        ("claude-sonnet-5", 0, {"thinking": {"type": "disabled"}}, []),
        (
            "claude-sonnet-5-5",
            "off",
            {"thinking": {"type": "between_tools"}},
            ["it still thinks a little between tool calls"],
        ),
        (
            "claude-fable-5",
            "off",
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
            ["it always thinks", "rounded to the effort 'low'"],
        ),
        (
            "claude-haiku-4-5-20251001",
            "high",
            {"thinking": {"type": "enabled", "budget_tokens": 24_576}},
            [],
        ),
        (
            "claude-haiku-4-5",
            "max",
            {"thinking": {"type": "enabled", "budget_tokens": 65_536}},
            [],
        ),
        ("claude-3-5-sonnet", "high", {}, ["this model does not think"]),
        ("gpt-6-sol", "max", {"reasoning": {"effort": "max", "summary": "auto"}}, []),
        ("gpt-6-sol", "off", {"reasoning": {"effort": "none"}}, []),
        (
            "gpt-9",
            "off",
            {"reasoning": {"effort": "low", "summary": "auto"}},
            ["rounded to the effort 'low'"],
        ),
        (
            "gpt-5.5-pro",
            "minimal",
            {"reasoning": {"effort": "medium", "summary": "auto"}},
            ["rounded to the effort 'medium'"],
        ),
        ("grok-4.3", "off", {"reasoning": {"effort": "none"}}, []),
        (
            "gemini-4-argon",
            "off",
            {
                "generationConfig": {
                    "thinkingConfig": {"includeThoughts": False, "thinkingLevel": "low"}
                }
            },
            ["rounded to the effort 'low'"],
        ),
        (
            "gemini-4-hydrogen",
            "max",
            {
                "generationConfig": {
                    "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "xhigh"}
                }
            },
            ["rounded to the effort 'xhigh'"],
        ),
        (
            "gemini-2.5-pro",
            "off",
            {
                "generationConfig": {
                    "thinkingConfig": {"includeThoughts": False, "thinkingBudget": 128}
                }
            },
            ["it always thinks, asked for 128 tokens"],
        ),
        ("gemini-2.5-flash-image", "high", {}, ["this model does not think"]),
        ("gemini-3-pro-image-preview", "high", {}, ["how much is the model's choice"]),
    ],
)
def test_over_the_vendors_own_protocol(
    model: str, reasoning: Any, fields: dict[str, Any], notes: list[str]
) -> None:
    assert natively(model, reasoning) == (fields, notes)


@pytest.mark.parametrize(
    ("model", "reasoning", "fields", "notes"),
    [
        ("gpt-6-sol", "max", {"reasoning_effort": "xhigh"}, ["rounded to the effort 'xhigh'"]),
        ("gpt-5.2", "minimal", {"reasoning_effort": "low"}, ["rounded to the effort 'low'"]),
        ("claude-opus-4.5", "max", {"reasoning_effort": "high"}, ["rounded to the effort 'high'"]),
        ("claude-opus-4-7", 9_000, {"reasoning_effort": "medium"}, [f"{BY_TOKENS} 'medium'"]),
        ("claude-opus-5-5", "off", {}, ["it always thinks"]),
        ("glm-5.2", "max", {"thinking": {"type": "enabled"}, "reasoning_effort": "max"}, []),
        ("glm-5.2", "off", {"thinking": {"type": "disabled"}}, []),
        ("glm-5.3", "off", {"reasoning_effort": "low"}, ["rounded to the effort 'low'"]),
        ("MiniMax-M3", "off", {"thinking": {"type": "disabled"}}, []),
        ("MiniMax-M3", "low", {"thinking": {"type": "adaptive"}}, [ON]),
        (
            "MiniMax-M3.1-Flash",
            "off",
            {"reasoning_effort": "low"},
            ["rounded to the effort 'low'"],
        ),
        (
            "deepseek-v4-flash",
            "xhigh",
            {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
            ["rounded to the effort 'high'"],
        ),
        ("grok-4-1-fast-non-reasoning", "off", {}, []),
        ("grok-4.7", "max", {"reasoning_effort": "xhigh"}, ["rounded to the effort 'xhigh'"]),
        ("grok-code-fast-1", "off", {}, ["it always thinks"]),
        (
            "nobody-knows-it",
            "minimal",
            {"reasoning_effort": "low"},
            ["rounded to the effort 'low'"],
        ),
    ],
)
def test_the_wider_scale_over_chat(
    model: str, reasoning: Any, fields: dict[str, Any], notes: list[str]
) -> None:
    assert asked(model, reasoning) == (fields, notes)


def test_a_budget_leaves_room_for_an_answer() -> None:
    assert asked("claude-opus-4.5", 9_000, 4_000) == (
        {"reasoning": {"max_tokens": 3_200}},
        ["rounded to 3200 tokens"],
    )
    assert asked("claude-opus-4.5", 9_000, 1_000) == (
        {},
        ["max_tokens=1000 leaves no room for 1024 tokens"],
    )
    assert asked("claude-opus-4.5", 100, None) == (
        {"reasoning": {"max_tokens": 1_024}},
        ["rounded to 1024 tokens"],
    )


def test_nothing_is_asked_for_by_itself() -> None:
    assert asked("qwen3.6-plus", None) == ({}, [])


@pytest.mark.parametrize("protocol", ["chat", "responses", "messages", "gemini"])
@pytest.mark.parametrize("reasoning", ["off", "low", "medium", "high", 0, 100, 5_000])
def test_an_unknown_model_is_asked_over_every_protocol(protocol: Any, reasoning: Any) -> None:
    question = Question("x", [], reasoning=reasoning, row=UNKNOWN)
    found = ask_to_think(question, protocol, 4_000)
    orjson.dumps(dict(found.fields))


@pytest.mark.parametrize("protocol", ["responses", "messages", "gemini"])
def test_who_does_not_think_is_asked_over_no_protocol(protocol: Any) -> None:
    row = CATALOGUE.find("gpt-5-chat-latest")
    found = ask_to_think(Question("gpt-5-chat-latest", [], reasoning="high", row=row), protocol, 9)
    assert (found.fields, found.notes) == ({}, ("reasoning='high': this model does not think",))


def test_what_the_user_gives_stands_beside_it() -> None:
    given = {"chat_template_kwargs": {"a": 1}, "temperature": 0.5}
    row = CATALOGUE.find("deepseek3.2")
    encoded = encode_chat(Question("deepseek3.2", [], given, reasoning="low", row=row))
    body = orjson.loads(encoded.body)
    assert body["chat_template_kwargs"] == {"a": 1, "thinking": True}
    assert body["temperature"] == 0.5


@pytest.mark.parametrize("value", ["much", True, -1, 1.5, [], ""])
def test_what_is_no_level(value: Any) -> None:
    with pytest.raises(CallerError, match="expected reasoning as 'off', 'minimal', 'low'"):
        checked_reasoning(value)


def test_every_row_names_a_way() -> None:
    named = {row.thinking for row in CATALOGUE.rows} | {
        row.native_thinking for row in CATALOGUE.rows
    }
    assert named - {"unknown"} <= set(WAYS)
    own = CATALOGUE.extended(Model("我的-*", "House", thinking="glm"))
    assert own.find("我的-1").thinking == "glm"


@pytest.mark.parametrize("value", [None, "off", "max", 0, 4_096])
def test_every_way_to_say_how_much(value: Any) -> None:
    assert checked_reasoning(value) == value


def test_who_asks_for_none_is_told_if_there_will_be_some() -> None:
    always = Question("grok-4", [], reasoning="off", row=CATALOGUE.find("grok-4"))
    assert unheeded(always, "chat") == ("reasoning='off': it always thinks",)
    assert unheeded(Question("m", [], reasoning=0), "chat") == ()
    assert unheeded(Question("m", [], reasoning="high"), "chat") == ()


# --- ways ---------------------------------------------------------------------------------------


def test_which_ways_count_tokens_and_which_have_to_be_asked() -> None:
    told = {name: (way.budget, way.only_asked) for name, way in WAYS.items()}
    assert told == {
        **dict.fromkeys(WAYS, ("never", False)),
        "template_thinking": ("never", True),
        "template_effort": ("never", True),
        "claude_budget": ("always", False),
        "claude_adaptive": ("refused", False),
        "claude_either": ("given", False),
    }


def by_way(
    name: str, reasoning: Any, most: int | None = None, **row: Any
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the fields and notes of a model that is asked in this way over Chat Completions."""
    model = Model("模型", "House", thinking=name, **row)
    found = ask_to_think(Question("模型", [], reasoning=reasoning, row=model), "chat", most)
    return dict(found.fields), found.notes


@pytest.mark.parametrize(
    ("tokens", "effort"),
    [
        *((1, "low"), (2_048, "low"), (5_120, "low"), (5_121, "medium"), (8_192, "medium")),
        *((16_384, "medium"), (16_385, "high"), (24_576, "high"), (10**9, "high")),
    ],
)
def test_the_level_that_is_nearest_to_a_number_of_tokens(tokens: int, effort: str) -> None:
    note = f"reasoning={tokens}: a budget is not taken here, asked for {effort!r}"
    assert by_way("effort", tokens) == ({"reasoning_effort": effort}, (note,))


@pytest.mark.parametrize(
    ("level", "tokens"),
    [
        *(("minimal", 1_024), ("low", 2_048), ("medium", 8_192), ("high", 24_576)),
        *(("xhigh", 32_768), ("max", 65_536)),
    ],
)
def test_the_tokens_that_a_level_stands_for(level: str, tokens: int) -> None:
    fields = {"thinking": {"type": "enabled", "budget_tokens": tokens}}
    assert by_way("claude_budget", level, tokens + 1) == (fields, ())


@pytest.mark.parametrize(
    ("asked_for", "most", "sent", "note"),
    [
        (1_024, None, 1_024, ""),
        (1_023, None, 1_024, "rounded to 1024 tokens"),
        (4_000, 4_001, 4_000, ""),
        (4_000, 4_000, 3_200, "rounded to 3200 tokens"),
        (4_000, 1_280, 1_024, "rounded to 1024 tokens"),
        (4_000, 1_279, None, "max_tokens=1279 leaves no room for 1024 tokens"),
        (1, 1_024, None, "max_tokens=1024 leaves no room for 1024 tokens"),
        (1, 1_025, 1_024, "rounded to 1024 tokens"),
    ],
)
def test_a_budget_and_its_room(
    asked_for: int, most: int | None, sent: int | None, note: str
) -> None:
    notes = (f"reasoning={asked_for}: {note}",) if note else ()
    thinking = {"type": "enabled", "budget_tokens": sent}
    assert by_way("claude_budget", asked_for, most) == (
        {} if sent is None else {"thinking": thinking},
        notes,
    )
    assert by_way("claude_chat", asked_for, most) == (
        {} if sent is None else {"reasoning": {"max_tokens": sent}},
        notes,
    )


EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


@pytest.mark.parametrize(
    ("wanted", "taken", "nearest"),
    [
        ("off", ("none", "low"), "none"),
        ("off", ("low", "high"), "low"),
        ("minimal", ("none", "medium", "high"), "medium"),
        ("medium", ("low", "high"), "low"),
        ("high", ("minimal", "max"), "max"),
        ("high", ("low", "max"), "low"),
        ("max", ("none", "minimal"), "minimal"),
        *((level, EFFORTS, level) for level in EFFORTS[1:]),
    ],
)
def test_the_effort_that_is_nearest(wanted: str, taken: tuple[str, ...], nearest: str) -> None:
    fields, notes = by_way("effort", wanted, efforts=taken)
    assert fields == {"reasoning_effort": nearest}
    same = nearest == {"off": "none"}.get(wanted, wanted)
    assert notes == (() if same else (f"reasoning={wanted!r}: rounded to the effort {nearest!r}",))


def test_words_that_only_the_own_protocol_takes() -> None:
    row: Any = {"efforts": ("low", "high", "max"), "native_efforts": ("max",)}
    assert by_way("effort", "max", **row)[0] == {"reasoning_effort": "high"}
    assert nearest_effort("max", Model("m", "House", **row), "responses") == "max"
    assert nearest_effort("ultra", Model("m", "House", **row), "chat") == "ultra"
    assert nearest_effort("max", UNKNOWN, "chat") == "high"
    assert nearest_effort("none", UNKNOWN, "chat") == "none"


ALWAYS = "it always thinks"


@pytest.mark.parametrize(
    ("way", "reasoning", "row", "fields", "note"),
    [
        ("by_name", "off", {}, {}, None),
        (
            "by_name",
            "low",
            {},
            {},
            "the name decides: take its -reasoning or its -non-reasoning model",
        ),
        ("claude_chat", "off", {}, {}, None),
        ("claude_chat", "off", {"off": "no"}, {}, ALWAYS),
        ("claude_chat", "off", {"off": "between_tools"}, {}, ALWAYS),
        ("claude_chat", "minimal", {}, {"reasoning_effort": "low"}, "rounded to the effort 'low'"),
        (
            "claude_chat",
            "xhigh",
            {},
            {"reasoning_effort": "high"},
            "rounded to the effort 'high'",
        ),
        ("claude_adaptive", "off", {}, {"thinking": {"type": "disabled"}}, None),
        (
            "claude_either",
            "low",
            {},
            {
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "low"},
            },
            None,
        ),
        (
            "claude_either",
            2_000,
            {},
            {"thinking": {"type": "enabled", "budget_tokens": 2_000}},
            None,
        ),
        ("claude_either", 0, {}, {"thinking": {"type": "disabled"}}, None),
        ("none", "off", {}, {}, None),
        ("always", "off", {}, {}, ALWAYS),
        ("always", 5, {}, {}, "how much is the model's choice"),
    ],
)
def test_what_each_way_says(
    way: str, reasoning: Any, row: dict[str, Any], fields: dict[str, Any], note: str | None
) -> None:
    notes = () if note is None else (f"reasoning={reasoning!r}: {note}",)
    assert by_way(way, reasoning, **row) == (fields, notes)


@pytest.mark.parametrize(
    ("thinking", "native", "protocol", "way"),
    [
        ("unknown", "glm", "chat", "effort"),
        ("glm", "none", "chat", "glm"),
        ("glm", "unknown", "responses", "responses"),
        ("glm", "unknown", "messages", "claude_budget"),
        ("glm", "unknown", "gemini", "gemini"),
        ("glm", "claude_adaptive", "messages", "claude_adaptive"),
        ("none", "unknown", "gemini", "none"),
    ],
)
def test_the_way_that_a_row_names(thinking: str, native: str, protocol: Any, way: str) -> None:
    row = Model("m", "House", thinking=thinking, native_thinking=native)
    assert way_of(row, protocol) is WAYS[way]
