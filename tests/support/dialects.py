"""What every dialect is asked, so that what is expected stands beside the dialect's own tests."""

from typing import Any

from aiotokengate.testing import Call, ScriptedReply
from tests.support.bare_client import SAID, Client, choices, reasons

A = {"role": "assistant"}
CALLED = ScriptedReply(tool_calls=[Call("weather", '{"city":"北京"}', id="call_1")])


def detail(text: str) -> dict[str, Any]:
    """Return a thought as a detail."""
    return {"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}


def tool_pieces(frames: list[Any]) -> list[Any]:
    """Return the pieces of the tool calls of a stream."""
    deltas = [choice["delta"] for choice in choices(frames)]
    return [piece for delta in deltas for piece in delta.get("tool_calls") or ()]


async def deltas_of(client: Client, model: str) -> list[Any]:
    """Return the deltas of the same reply as this model streams it."""
    client.gateway.script(SAID)
    frames = await client.frames(model=model)
    assert reasons(frames) == ["stop"]
    assert {frame["model"] for frame in frames} == {model}
    return [choice["delta"] for choice in choices(frames)]


async def usage_place(client: Client, model: str) -> str:
    """Return where a stream has its usage: last, and alone or with what."""
    client.gateway.script(SAID)
    *early, last = await client.frames(model=model)
    assert not any(frame.get("usage") for frame in early)
    assert last["usage"]["prompt_tokens"] == 9
    ends = [choice.get("finish_reason") for choice in last["choices"]]
    places = {"alone": [], "with the finish": ["stop"], "beside a dummy choice": [None]}
    return next(place for place, expected in places.items() if expected == ends)


async def plain_message(client: Client, model: str) -> Any:
    """Return the message of the same reply, not streamed."""
    client.gateway.script(SAID)
    choice = (await client.plain(model=model))["choices"][0]
    assert choice["finish_reason"] == "stop"
    return choice["message"]


async def called_in(client: Client, model: str) -> list[Any]:
    """Return the pieces of a tool call without its function, which is the same everywhere."""
    client.gateway.script(CALLED)
    frames = await client.frames(model=model)
    pieces = tool_pieces(frames)
    functions = [piece.pop("function") for piece in pieces]
    assert "".join([piece.get("arguments", "") for piece in functions]) == '{"city":"北京"}'
    assert functions[0]["name"] == "weather"
    assert reasons(frames) == ["tool_calls"]
    return pieces
