"""The list of models that the key may use."""

from typing import Any

import orjson
import pytest

from aiotokengate import TokenGate, WireError
from aiotokengate.testing import FakeGateway, Raw


def listed(*rows: Any) -> Raw:
    body = orjson.dumps({"object": "list", "data": rows})
    return Raw(body=body, headers={"Content-Type": "application/json"})


async def test_every_model_comes_with_what_the_catalogue_knows(gate: TokenGate) -> None:
    models = {model.id: model for model in await gate.models()}
    assert models["qwen3.6-max-preview"].known.family == "Qwen"


async def test_a_row_in_any_form(gateway: FakeGateway, gate: TokenGate) -> None:
    """What else the gateway says is kept; a model that nobody knows is spoken to plainly."""
    rows = (
        {"id": "我的-1", "owned_by": None, "created": "x", "object": "model", "tier": 2},
        "odd",
    )
    gateway.script(listed(*rows), path="/v1/models")
    (model,) = await gate.models()
    assert (model.id, model.owned_by, model.created) == ("我的-1", "", 0)
    assert (model.known.family, model.extra) == ("unknown", {"tier": 2})


async def test_a_long_list_is_whole(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(listed(*({"id": f"m{place}"} for place in range(1_200))), path="/v1/models")
    assert [model.id for model in await gate.models()] == [f"m{place}" for place in range(1_200)]


async def test_what_is_no_list(gateway: FakeGateway, gate: TokenGate) -> None:
    raw = Raw(body=b'{"data": 7}', headers={"Content-Type": "application/json"})
    gateway.script(raw, path="/v1/models")
    with pytest.raises(WireError, match="expected a list of models under 'data'"):
        await gate.models()
