"""The fake gateway and ``Idempotency-Key``: the first answer again, never another's."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest

from aiotokengate import Retry, TokenGate
from aiotokengate.testing import FakeGateway, Gate, RateLimit, Raw, ScriptedReply
from aiotokengate.testing._idempotency import IdempotencyKeys

VIDEO: dict[str, Any] = {"model": "wan-t2v", "prompt": "一只猫在弹钢琴 🎹"}
CHAT: dict[str, Any] = {
    "model": "qwen3.6-plus",
    "messages": [{"role": "user", "content": "你好 👋"}],
}
FIRST, SECOND = "sk-first", "sk-second"


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    """Run a gateway with two keys."""
    async with FakeGateway(api_keys=[FIRST, SECOND]) as gateway:
        yield gateway


async def ask(
    gateway: FakeGateway,
    path: str,
    body: object,
    key: str | None = "order-7",
    *,
    api_key: str = FIRST,
) -> tuple[int, bytes, Mapping[str, str]]:
    """Post, on a connection of its own; return the answer."""
    headers = {"Authorization": f"Bearer {api_key}"}
    headers |= {"Idempotency-Key": key} if key is not None else {}
    form = body if isinstance(body, aiohttp.FormData) else None
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            gateway.base_url + path, data=form, json=None if form else body, headers=headers
        ) as response,
    ):
        return response.status, await response.read(), response.headers


@pytest.mark.parametrize("path", ["/video/generations", "/videos"])
async def test_a_job_is_made_once(gateway: FakeGateway, path: str) -> None:
    """The second submission is told of the first one's job."""
    first = await ask(gateway, path, VIDEO)
    second = await ask(gateway, path, VIDEO)
    assert first[:2] == second[:2]
    assert "Idempotent-Replayed" not in first[2]
    assert second[2]["Idempotent-Replayed"] == "true"
    assert first[2]["X-Oneapi-Request-Id"] != second[2]["X-Oneapi-Request-Id"]
    assert len(gateway.jobs.jobs) == 1
    await ask(gateway, path, VIDEO, "order-8")
    await ask(gateway, path, VIDEO, None)
    assert len(gateway.jobs.jobs) == 3


async def test_a_form_is_known_whatever_its_boundary(gateway: FakeGateway) -> None:
    """Each time it is written it has another."""
    answers = []
    for _ in range(2):
        form = aiohttp.FormData(VIDEO, default_to_multipart=True)
        answers.append(await ask(gateway, "/videos", form))
    assert answers[0][:2] == answers[1][:2]
    types = [request.headers["Content-Type"] for request in gateway.requests]
    assert types[0] != types[1]
    assert len(gateway.jobs.jobs) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_a_reply_is_the_same_one(gateway: FakeGateway, *, stream: bool) -> None:
    """Byte for byte, ids included, and no script is used up."""
    gateway.script(ScriptedReply(answer=["一", "二 🐈"]), ScriptedReply(answer="三"))
    body = {**CHAT, "stream": stream}
    first = await ask(gateway, "/chat/completions", body)
    assert (await ask(gateway, "/chat/completions", body))[:2] == first[:2]
    other = await ask(gateway, "/chat/completions", body, "other")
    assert "三" in other[1].decode()
    assert "三" not in first[1].decode()


@pytest.mark.parametrize(
    ("path", "body"),
    [("/videos", {**VIDEO, "prompt": "狗"}), ("/video/generations", VIDEO)],
    ids=["another prompt", "another path"],
)
async def test_a_key_is_for_one_request(gateway: FakeGateway, path: str, body: Any) -> None:
    """Another request with it is refused, in the gateway's own form, and makes nothing."""
    await ask(gateway, "/videos", VIDEO)
    status, said, _ = await ask(gateway, path, body)
    assert status == 422
    assert b'"code":"idempotency_key_reused"' in said
    assert len(gateway.jobs.jobs) == 1


async def test_keys_are_each_api_keys_own(gateway: FakeGateway) -> None:
    """Who guesses another's key learns nothing."""
    await ask(gateway, "/videos", VIDEO)
    status, _, headers = await ask(gateway, "/videos", VIDEO, api_key=SECOND)
    assert status == 200
    assert "Idempotent-Replayed" not in headers
    assert len(gateway.jobs.jobs) == 2


@pytest.mark.parametrize(
    "fault",
    [Raw(503, b"{}"), Raw(429, b""), Raw(body=b"data: {", end="close")],
    ids=["503", "429", "cut"],
)
async def test_what_failed_is_done_anew(gateway: FakeGateway, fault: Raw) -> None:
    """A refusal, a failure or a cut answer is not given again."""
    gateway.script(fault, ScriptedReply(answer="好"))
    body = {**CHAT, "stream": True}
    if fault.end == "close":
        with pytest.raises(aiohttp.ClientPayloadError):
            await ask(gateway, "/chat/completions", body)
    else:
        assert (await ask(gateway, "/chat/completions", body))[0] == fault.status
    assert "好" in (await ask(gateway, "/chat/completions", body))[1].decode()


async def test_who_comes_meanwhile_waits_for_the_first(gateway: FakeGateway) -> None:
    """And gets the same; or is the first, where that one left."""
    turn = Gate()
    gateway.script(ScriptedReply(answer=["一", turn, "二"]), ScriptedReply(answer="三"))
    body = {**CHAT, "stream": True}
    both = [asyncio.ensure_future(ask(gateway, "/chat/completions", body)) for _ in range(2)]
    await gateway.wait_requests(2)
    await turn.reached()
    turn.open()
    one, other = await asyncio.gather(*both)
    assert one[1] == other[1]
    shut = Gate()
    gateway.unscript()
    gateway.script(ScriptedReply(answer=["一", shut]), ScriptedReply(answer="四"))
    first = asyncio.ensure_future(ask(gateway, "/chat/completions", body, "next"))
    await shut.reached()
    second = asyncio.ensure_future(ask(gateway, "/chat/completions", body, "next"))
    await gateway.wait_requests(4)
    first.cancel()
    assert "四" in (await second)[1].decode()


async def test_what_is_given_again_counts_against_no_limit() -> None:
    """Nothing is done for it."""
    async with FakeGateway(api_keys=[FIRST], limits=RateLimit(requests_per_minute=1)) as gateway:
        statuses = [(await ask(gateway, "/videos", VIDEO))[0] for _ in range(3)]
        assert statuses == [200, 200, 200]
        assert (await ask(gateway, "/videos", VIDEO, "other"))[0] == 429


async def test_only_the_last_keys_are_remembered(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their number, and by what their answers hold."""
    for bound in ("MOST", "MOST_BYTES"):
        monkeypatch.setattr(IdempotencyKeys, bound, 2 if bound == "MOST" else 10)
        before = len(gateway.jobs.jobs)
        for number in (1, 2, 3, 1):
            await ask(gateway, "/videos", VIDEO, f"{bound}-{number}")
        assert len(gateway.jobs.jobs) == before + 4
        monkeypatch.undo()


async def test_a_lost_answer_is_not_paid_twice(gateway: FakeGateway) -> None:
    """The same order again, with the key of the first: one job, whoever asks."""
    async with TokenGate(
        api_key=FIRST, base_url=gateway.base_url, retry=Retry(attempts=1)
    ) as gate:
        jobs = [
            await gate.videos.create(**VIDEO, idempotency_key="order-9").submit() for _ in range(2)
        ]
        assert jobs[0].id == jobs[1].id
        assert len(gateway.jobs.jobs) == 1
        await gate.videos.create(**VIDEO).submit()
        await gate.videos.create(**VIDEO).submit()
        assert len(gateway.jobs.jobs) == 3
