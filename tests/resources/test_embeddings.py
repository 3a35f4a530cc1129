"""Embeddings: the real client, the real gateway."""

from __future__ import annotations

import math
import sys
from array import array
from typing import Any

import pytest

from aiotokengate import (
    BadRequest,
    CallerError,
    TokenGate,
)
from aiotokengate._resources.embeddings import Split
from aiotokengate.testing import FakeGateway, Raw
from tests.support.media import JSON, LARGE, SMALL, answer


async def test_vectors(gateway: FakeGateway, gate: TokenGate) -> None:
    found = await gate.embed(LARGE, ["你好 👋", "hello", "你好 👋"], dimensions=8)
    assert (len(found), found.model) == (3, LARGE)
    assert found[0] == found[2] != found[1]
    assert isinstance(found[0], array)
    assert math.isclose(sum(number * number for number in found[0]), 1, rel_tol=1e-5)
    assert found.usage.total_tokens > 0
    assert gateway.requests[0].json["encoding_format"] == "base64"
    assert len((await gate.embed(SMALL, "一个"))[0]) == 1536
    assert len(await gate.embed(SMALL, [1, 2, 3])) == 1
    assert len(await gate.embed(SMALL, (text for text in ("a", "b")))) == 2


async def test_ten_thousand_inputs_come_back_in_order(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    texts = [f"第 {number} 句" for number in range(10_000)]
    found = await gate.embed(SMALL, texts, dimensions=4)
    assert len(found) == 10_000
    assert len(gateway.requests) >= 5
    for place in (0, 2_047, 2_048, 5_000, 9_999):
        assert found[place] == (await gate.embed(SMALL, texts[place], dimensions=4))[0]
    assert len({vector.tobytes() for vector in found}) == 10_000
    backwards = await gate.embed(SMALL, texts[::-1], dimensions=4)
    assert list(backwards)[::-1] == list(found)


async def test_a_part_that_fails_is_named(gateway: FakeGateway, gate: TokenGate) -> None:
    bad = Raw(status=400, body=b'{"error":{"message":"no"}}', headers=JSON)
    gateway.script(bad, path="/v1/embeddings")
    with pytest.raises(BadRequest) as raised:
        await gate.embed(SMALL, ["a", "b", "c"], split=Split(inputs=2, at_once=1))
    assert raised.value.__notes__ == ["of the inputs 0 to 1"]
    assert gate.pool.statistics().in_flight == 0


async def test_numbers_in_place_of_base64(gateway: FakeGateway, gate: TokenGate) -> None:
    row = {"embedding": [0.5, -1], "index": 0}
    gateway.script(answer({"data": [row]}), path="/v1/embeddings")
    assert list((await gate.embed(SMALL, "a"))[0]) == [0.5, -1]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "expected at least one input, got none"),
        (7, "expected inputs as a text or several, got int"),
        (["a", ""], r"expected inputs\[1\] as a text or a list of tokens, got an empty one"),
        (["a", 7], r"expected inputs\[1\] as a text or a list of tokens, got int"),
        ("", r"inputs\[0\]"),
    ],
)
async def test_inputs_that_are_none(gate: TokenGate, inputs: Any, message: str) -> None:
    with pytest.raises(CallerError, match=message):
        await gate.embed(SMALL, inputs)


async def test_without_numpy(gate: TokenGate, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await gate.embed(SMALL, ["a", "b"], dimensions=3)
    assert found.numpy().shape == (2, 3)
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(CallerError, match="pip install numpy"):
        found.numpy()


@pytest.mark.parametrize("size", [-1, 0, "3", 100_000])
async def test_a_size_that_vectors_cannot_have(gate: TokenGate, size: Any) -> None:
    with pytest.raises(BadRequest, match="Invalid value for 'dimensions'"):
        await gate.embed("text-embedding-3-small", "你好 👋", dimensions=size)


async def test_a_split_that_is_none(gate: TokenGate) -> None:
    with pytest.raises(CallerError, match=r"expected Split\(inputs=...\) of 1 or more, got 0"):
        Split(inputs=0)
    with pytest.raises(CallerError, match=r"expected split=Split\(inputs=...\), got int"):
        await gate.embed(SMALL, "你好", split=500)  # type: ignore[arg-type]
