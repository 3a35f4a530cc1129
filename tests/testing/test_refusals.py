"""What the vendors refuse, the fake gateway refuses: each row of its table, and no more.

Each case is one request that is refused, and one as like it as can be that is answered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeAlias

import aiohttp
import attrs
import pytest

from aiotokengate import BadRequest, Retry, StatusError, TokenGate
from aiotokengate.testing import FakeGateway, ScriptedReply
from aiotokengate.testing._models import LATER, MODELS
from aiotokengate.testing._refusals import EFFORTS, ROWS, Row

Json: TypeAlias = Any

TEXT = "你好 👋"
PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "gemini": "/v1beta/models/{model}:generateContent",
}
SCHEMA = {"type": "object", "properties": {}}
TOOLS: Mapping[str, Json] = {
    "chat": [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}],
    "responses": [{"type": "function", "name": "weather", "parameters": SCHEMA}],
    "messages": [{"name": "weather", "input_schema": SCHEMA}],
    "gemini": [{"functionDeclarations": [{"name": "weather", "parameters": SCHEMA}]}],
}
FORCED: Mapping[str, Json] = {
    "chat": {"tool_choice": "required"},
    "responses": {"tool_choice": "required"},
    "messages": {"tool_choice": {"type": "any"}},
    "gemini": {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
}


@attrs.frozen
class Case:
    """A request that is refused by a row, and one that is answered.

    The second has the same fields as the first, but for those that it names; a ``model`` among
    them is another model, and None takes a field away.
    """

    row: str
    protocol: str
    model: str
    refused: Mapping[str, Json]
    answered: Mapping[str, Json]

    def __str__(self) -> str:
        """Name it for pytest."""
        return f"{self.row}-{self.protocol}-{self.model}"


def tools(protocol: str, *, forced: bool = False) -> dict[str, Json]:
    return {"tools": TOOLS[protocol], **(FORCED[protocol] if forced else {})}


def thinking(kind: str, **more: Json) -> dict[str, Json]:
    return {"thinking": {"type": kind, **more}}


def effort(word: str) -> dict[str, Json]:
    return {"output_config": {"effort": word}}


def config(**thinking: Json) -> dict[str, Json]:
    return {"generationConfig": {"thinkingConfig": thinking}}


BUDGET = thinking("enabled", budget_tokens=2_048)
PREFILL = {"messages": [{"role": "user", "content": TEXT}, {"role": "assistant", "content": "好"}]}
UNFORCED = (
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-fable-5-1",
    "claude-fable-5-2",
    "claude-mythos-5-1",
    "claude-mythos-5-2",
)
SINCE_4_7 = ("claude-opus-4-7", *(name for name in LATER if name.startswith("claude")))
ALWAYS_ON = [n for n in SINCE_4_7 if n.startswith(("claude-opus-5-5", "claude-fable", "claude-m"))]
OLD = {"model": "claude-opus-4-6"}

CASES = [
    # Claude
    *(Case("sampling", "messages", name, {"temperature": 0.3}, OLD) for name in SINCE_4_7),
    Case("sampling", "messages", "claude-opus-5", {"top_p": 0.5}, {"top_p": None}),
    Case("sampling", "messages", "claude-opus-5", {"top_k": 3}, {"top_k": None}),
    Case("sampling", "chat", "claude-opus-4-7", {"temperature": 0.3}, {"temperature": 1}),
    *(Case("budget", "messages", name, BUDGET, OLD) for name in SINCE_4_7),
    Case("budget", "messages", "claude-sonnet-5", BUDGET, thinking("adaptive")),
    Case("adaptive", "messages", "claude-sonnet-4.5", thinking("adaptive"), BUDGET),
    *(
        Case("no thinking", "messages", name, thinking("disabled"), thinking("adaptive"))
        for name in ALWAYS_ON
    ),
    Case(
        "no thinking", "messages", "claude-opus-5-5", thinking("between_tools"), {"thinking": {}}
    ),
    Case(
        "disabled on sonnet-5-5",
        "messages",
        "claude-sonnet-5-5",
        thinking("disabled"),
        thinking("between_tools"),
    ),
    *(
        Case(
            "no thinking at a high effort",
            "messages",
            name,
            {**thinking(off), **effort(word)},
            effort("high"),
        )
        for name, off in (
            ("claude-opus-5", "disabled"),
            ("claude-haiku-5-5", "disabled"),
            ("claude-sonnet-5-5", "between_tools"),
        )
        for word in ("xhigh", "max")
    ),
    Case(
        "between tools elsewhere",
        "messages",
        "claude-opus-5",
        thinking("between_tools"),
        thinking("disabled"),
    ),
    *(
        Case(
            "forced tool", "messages", name, tools("messages", forced=True), {"tool_choice": None}
        )
        for name in UNFORCED
    ),
    Case(
        "forced tool",
        "chat",
        "claude-fable-5-2",
        tools("chat", forced=True),
        {"model": "claude-fable-5"},
    ),
    Case(
        "forced tool with a budget",
        "messages",
        "claude-sonnet-4.5",
        {**tools("messages", forced=True), **BUDGET},
        {"thinking": None},
    ),
    *(
        Case("prefill", "messages", name, PREFILL, {"model": "claude-haiku-4.5"})
        for name in ("claude-sonnet-4-6", *SINCE_4_7)
    ),
    Case("prefill", "chat", "claude-opus-4-6", PREFILL, {"model": "claude-opus-4.5"}),
    Case("effort on 4.5", "messages", "claude-haiku-4.5", effort("low"), {"output_config": None}),
    Case(
        "effort xhigh before 4-7", "messages", "claude-sonnet-4-6", effort("xhigh"), effort("max")
    ),
    Case("effort max on opus-4.5", "messages", "claude-opus-4.5", effort("max"), effort("high")),
    # OpenAI
    *(
        Case("Chat of what answers over Responses only", "chat", name, {}, {"model": "gpt-5"})
        for name in ("gpt-5-pro", "gpt-5.2-pro", "gpt-5.4-pro", "gpt-5.5-pro", "gpt-5.3-codex")
    ),
    Case(
        "effort that the model does not know",
        "chat",
        "gpt-5",
        {"reasoning_effort": "none"},
        {"reasoning_effort": "minimal"},
    ),
    Case(
        "effort that the model does not know",
        "responses",
        "gpt-6-astra",
        {"reasoning": {"effort": "none"}},
        {"reasoning": {"effort": "max"}},
    ),
    Case(
        "effort max over Chat",
        "chat",
        "gpt-5.6-sol",
        {"reasoning_effort": "max"},
        {"reasoning_effort": "xhigh"},
    ),
    Case(
        "sampling while reasoning",
        "chat",
        "gpt-5.2",
        {"temperature": 0.3, "reasoning_effort": "low"},
        {"reasoning_effort": "none"},
    ),
    Case(
        "sampling while reasoning",
        "responses",
        "gpt-5.4",
        {"top_p": 0.3, "reasoning": {"effort": "low"}},
        {"reasoning": None},
    ),
    Case(
        "sampling while reasoning",
        "chat",
        "gpt-5-mini",
        {"logprobs": True},
        {"model": "gpt-5-chat-latest"},
    ),
    Case(
        "tools over Chat while reasoning",
        "chat",
        "gpt-5.4",
        {**tools("chat"), "reasoning_effort": "low"},
        {"reasoning_effort": "none"},
    ),
    Case(
        "tools over Chat without none",
        "chat",
        "gpt-6-luna",
        tools("chat"),
        {"reasoning_effort": "none"},
    ),
    Case("tools over Chat", "chat", "gpt-6.1-sol", tools("chat"), {"tools": None}),
    # Gemini
    Case(
        "level and budget",
        "gemini",
        "gemini-3-flash-preview",
        config(thinkingLevel="LOW", thinkingBudget=100),
        config(thinking_level="LOW"),
    ),
    Case(
        "level and budget",
        "gemini",
        "gemini-4-argon",
        config(thinking_level="HIGH", thinking_budget=100),
        config(thinkingBudget=100),
    ),
    Case(
        "level before 3",
        "gemini",
        "gemini-2.5-flash",
        config(thinkingLevel="LOW"),
        config(thinkingBudget=0),
    ),
    Case(
        "level minimal",
        "gemini",
        "gemini-4-carbon",
        config(thinkingLevel="MINIMAL"),
        {"model": "gemini-3.5-flash"},
    ),
    Case(
        "no budget on pro",
        "gemini",
        "gemini-3.1-pro-preview",
        config(thinkingBudget=0),
        config(thinkingBudget=512),
    ),
    Case(
        "thinking of pictures",
        "gemini",
        "gemini-2.5-flash-image",
        config(includeThoughts=True),
        {"generationConfig": {}},
    ),
    Case(
        "tools of pictures",
        "gemini",
        "gemini-3-pro-image-preview",
        tools("gemini"),
        {"tools": None},
    ),
    # the others
    Case(
        "forced tool while DeepSeek thinks",
        "chat",
        "deepseek-v4-pro",
        tools("chat", forced=True),
        thinking("disabled"),
    ),
    Case(
        "GLM-5.3 without thinking", "chat", "glm-5.3", thinking("disabled"), {"model": "glm-5.2"}
    ),
    Case(
        "MiniMax-M3.1 without thinking",
        "chat",
        "MiniMax-M3.1-Flash",
        thinking("disabled"),
        {"model": "MiniMax-M3"},
    ),
    Case(
        "Grok 4.5 without thinking",
        "chat",
        "grok-4.7",
        {"reasoning_effort": "none"},
        {"model": "grok-4.3"},
    ),
    Case(
        "effort on Grok 4.20",
        "chat",
        "grok-4.20-reasoning",
        {"reasoning_effort": "low"},
        {"reasoning_effort": None},
    ),
]


@pytest.fixture
async def http(gateway: FakeGateway) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {gateway.api_key}"}
    async with aiohttp.ClientSession(
        gateway.base_url.removesuffix("/v1"), headers=headers
    ) as http:
        yield http


async def answer(
    http: aiohttp.ClientSession, protocol: str, model: str, fields: Mapping[str, Json]
) -> tuple[int, Json]:
    plains: dict[str, Json] = {
        "chat": {"model": model, "messages": [{"role": "user", "content": TEXT}]},
        "responses": {"model": model, "input": TEXT},
        "messages": {
            "model": model,
            "max_tokens": 4_000,
            "messages": [{"role": "user", "content": TEXT}],
        },
        "gemini": {"contents": [{"parts": [{"text": TEXT}]}]},
    }
    body = {
        name: value for name, value in {**plains[protocol], **fields}.items() if value is not None
    }
    async with http.post(PATHS[protocol].format(model=model), json=body) as response:
        return response.status, await response.json()


def row_of(case: Case) -> Row:
    (row,) = (row for row in ROWS if row.name == case.row)
    return row


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_row_refuses_and_no_more(http: aiohttp.ClientSession, case: Case) -> None:
    row = row_of(case)
    status, body = await answer(http, case.protocol, case.model, case.refused)
    error = body["error"]
    assert (status, error.get("code") if case.protocol == "chat" else row.code) == (
        row.status,
        row.code,
    )
    assert error["message"].startswith(row.message.partition("{")[0])
    assert TEXT not in error["message"]
    beside = {**case.refused, **case.answered}
    model = str(beside.pop("model", case.model))
    status, body = await answer(http, case.protocol, model, beside)
    assert status == 200, body


def test_every_row_has_a_case_and_a_source() -> None:
    assert {case.row for case in CASES} == {row.name for row in ROWS}
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(row.source and row.protocols for row in ROWS)


@pytest.mark.parametrize("name", sorted({*MODELS, *LATER}))
async def test_a_plain_question_is_refused_by_no_model(
    http: aiohttp.ClientSession, name: str
) -> None:
    maker = name.partition("-")[0]
    own = {"gpt": "responses", "claude": "messages", "gemini": "gemini"}.get(maker, "chat")
    status, body = await answer(http, own, name, {})
    assert status == 200, body


@pytest.mark.parametrize("efforts", EFFORTS.values())
def test_the_default_effort_is_one_of_the_efforts(
    efforts: tuple[tuple[str, ...], str],
) -> None:
    words, default = efforts
    assert default in words


async def test_what_is_scripted_is_never_refused(
    gateway: FakeGateway, http: aiohttp.ClientSession
) -> None:
    gateway.script(ScriptedReply(answer="好的 👌"))
    status, body = await answer(http, "chat", "gpt-5-pro", {"temperature": 0.1})
    assert (status, body["choices"][0]["message"]["content"]) == (200, "好的 👌")


async def test_our_own_client_reads_the_refusals(gate: TokenGate) -> None:
    once = Retry(attempts=1)
    with pytest.raises(BadRequest) as raised:
        await gate.chat(
            "MiniMax-M3.1-Flash", TEXT, extra_body={"thinking": {"type": "disabled"}}, retry=once
        )
    assert (raised.value.status, str(raised.value.code)) == (400, "2013")
    with pytest.raises(StatusError) as refused:
        await gate.chat("gpt-5-pro", TEXT, protocol="chat", retry=once)
    assert refused.value.status == 404
