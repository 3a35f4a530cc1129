"""A chat's arguments, before anything is sent."""

from typing import Any

import pytest

from aiotokengate import BadRequest, CallerError, Limits, Message, Pool, TokenGate
from aiotokengate._resources.chat import check_turn, message_list
from aiotokengate._resources.structured import tool_of
from aiotokengate.testing import FakeGateway, Gate, Raw, ScriptedReply, VirtualClock
from aiotokengate.types import ChatParams

USER = {"role": "user", "content": "你好 👋"}


def test_messages_in_every_form() -> None:
    assert message_list("你好 👋") == [USER]
    assert message_list([Message("user", "你好 👋"), USER]) == [USER, USER]
    assert message_list((USER,)) == [USER]


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ("", "expected at least one message, got none"),
        ([], "expected at least one message, got none"),
        (7, "expected messages as str or a list of messages, got int"),
        ([{"content": "x"}], r"expected messages\[0\] to have a 'role'"),
        ([USER, 7], r"expected messages\[1\] as dict or Message, got int"),
    ],
)
def test_messages_that_are_none(messages: object, message: str) -> None:
    with pytest.raises(CallerError, match=message):
        message_list(messages)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": ""}, "expected the name of a model"),
        ({"tools": "x"}, "expected tools as a list of functions or dicts, got str"),
        ({"tools": [7]}, r"expected tools\[0\] as a function or a dict, got int"),
        ({"n": 0}, "expected n of 1 or more, got 0"),
        ({"n": True}, "expected n of 1 or more, got True"),
        ({"deadline": 0}, "expected deadline in seconds above 0, got 0"),
        ({"temprature": 1}, "temperature"),
        (
            {"response_type": int, "response_format": {"type": "json_object"}},
            "expected response_type or response_format, got both",
        ),
        ({"response_type": int, "retain": False}, "expected retain=True with response_type"),
    ],
    ids=str,
)
def test_an_argument_that_is_wrong_is_named(
    gate: TokenGate, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(CallerError, match=message):
        gate.chat(**{"model": "m", "messages": "你好", **options})


@pytest.mark.parametrize("messages", ["几 🔢", [{"role": "system", "content": "简短"}, USER]])
async def test_the_type_of_an_answer_is_asked_for_in_words(
    gateway: FakeGateway, gate: TokenGate, messages: Any
) -> None:
    """In the system message that there is, or in one of its own."""
    gateway.script(ScriptedReply(answer='{"value": 3}'))
    reply = await gate.chat("qwen3.6-max-preview", messages, response_type=int)
    assert reply.parsed == 3
    first = gateway.requests[0].json["messages"][0]
    assert first["role"] == "system"
    assert "JSON" in first["content"]


async def test_or_by_a_schema_where_the_model_takes_one(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    gateway.script(ScriptedReply(answer='{"value": 3}'))
    reply = await gate.chat("gpt-5.2", "几 🔢", response_type=int)
    assert reply.parsed == 3
    sent = gateway.requests[0].json
    assert sent["messages"] == [{"role": "user", "content": "几 🔢"}]
    schema = sent["response_format"]["json_schema"]["schema"]
    assert schema["properties"] == {"value": {"type": "integer"}}


PARTS = [
    {"type": "text", "text": "你好 👋"},
    {"type": "image_url", "image_url": {"url": "https://a.test/b.png", "detail": "low"}},
]


async def test_a_tokenizer_is_given_the_texts_of_the_prompt(gateway: FakeGateway) -> None:
    """All of them, in order, and nothing of its form."""
    seen: list[tuple[str, str]] = []

    def count(model: str, text: str) -> int:
        seen.append((model, text))
        return 5

    pool = Pool(Limits(tokens_per_minute=60_000), count_tokens=count)
    key, address = gateway.api_key, gateway.base_url
    async with TokenGate(api_key=key, base_url=address, pool=pool) as gate:
        messages: list[Any] = [{"role": "system", "content": "简短"}, {**USER, "weight": 1}]
        await gate.chat("qwen3.6-plus", [*messages, {"role": "user", "content": PARTS}])
    text = "简短\n你好 👋\n你好 👋\nhttps://a.test/b.png\nlow"
    assert seen == [("qwen3.6-plus", text)]


@pytest.mark.parametrize(
    ("params", "most"),
    [
        ({"max_tokens": 1_000, "n": 2}, 2_000),
        ({"max_tokens": 1_000, "max_completion_tokens": 500}, 500),
    ],
    ids=str,
)
async def test_without_a_tokenizer_the_prompt_is_estimated(
    gateway: FakeGateway, params: Any, most: int
) -> None:
    """So much is set aside for it, and for the most that all choices may have."""
    turn = Gate()
    gateway.script(ScriptedReply(answer=["好", turn, "的"]))
    clock = VirtualClock()
    pool = Pool(Limits(tokens_per_minute=60_000, charge="max_tokens"), clock=clock)
    key, address = gateway.api_key, gateway.base_url
    async with (
        TokenGate(api_key=key, base_url=address, pool=pool, clock=clock) as gate,
        gate.chat("gpt-5.2", [USER], **params),
    ):
        (lane,) = pool.statistics().lanes
        assert lane.tokens_left is not None
        assert most < 60_000 - lane.tokens_left < most + 50
        turn.open()


async def test_headers_and_keys_go_along(gateway: FakeGateway, gate: TokenGate) -> None:
    params: ChatParams = {"max_completion_tokens": 5_000, "n": 1}
    call = gate.chat(
        *("qwen3.6-max-preview", "你好"),
        extra_headers={"X-Own": "1"},
        idempotency_key="key-1",
        deadline=60,
        strict=True,
        **params,
    )
    assert (await call).answer
    headers = gateway.requests[0].headers
    assert (headers["X-Own"], headers["Idempotency-Key"]) == ("1", "key-1")


def test_what_a_check_says(gate: TokenGate) -> None:
    assert gate.check("qwen3.6-plus", "你好", temperature=1, n=1) == ()
    (note,) = gate.check("grok-4", "你好", reasoning="off")
    assert note == "reasoning='off': it always thinks"
    assert gate.check("m", "你好", tools=[{"type": "function", "function": {"name": "f"}}]) == ()

    def clock() -> str:
        """Return the time."""
        return "12:00"

    assert gate.check("m", "你好", tools=[clock, tool_of(clock)]) == ()
    with pytest.raises(CallerError, match="expected no 'timeout' here"):
        gate.check("m", "你好", timeout=None)  # type: ignore[call-arg]
    with pytest.raises(CallerError, match="expected protocol as one of"):
        gate.check("m", "你好", protocol="soap")  # type: ignore[arg-type]


def test_the_options_of_a_turn_are_checked_before_the_first() -> None:
    known = ("reasoning", "tools", "extra_body", "deadline", "retain")
    check_turn("a run", {"reasoning": "low", "tools": [], "deadline": 3}, known)
    check_turn("a run", {"tools": None}, known)
    for options, message in (
        ({"mood": 1}, "mood"),
        ({"reasoning": "much"}, "expected reasoning as"),
        ({"retain": False}, "expected retain=True with a run"),
        ({"tools": 7}, "expected tools as a list"),
    ):
        with pytest.raises(CallerError, match=message):
            check_turn("a run", options, known)


async def test_an_error_does_not_repeat_the_prompt(gateway: FakeGateway, gate: TokenGate) -> None:
    """Whichever part of it the gateway sends back."""
    parts = [
        {"type": "text", "text": "第一段机密内容"},
        {"type": "text", "text": "第二段机密内容"},
    ]
    body = '{"error":{"message":"bad: 第二段机密内容","type":"invalid_request_error"}}'
    gateway.script(Raw(400, body.encode(), headers={"Content-Type": "application/json"}))
    with pytest.raises(BadRequest) as caught:
        await gate.chat("m", [{"role": "user", "content": parts, "weight": 1}])
    assert "第二段机密内容" not in str(caught.value)
