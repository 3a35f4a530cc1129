"""What gateways and vendors have really sent, and what a user gets of it.

Strategy.  A case is a JSON file in ``tests/field``: what is asked, what the server answers byte by
byte (``"cut": false``: not with each byte in a write of its own), and what is expected.  The
client is used in each way that there is: awaited, iterated, read view by view, relayed, and asked
once more with the history.  What came is put into a table of facts, several to a key where several
ways must say the same, and each is held against the expectation (see ``matching.py``).  All
silence is of a virtual clock.

Keys of ``expect`` beside fields of the reply: ``error`` (class, or a base of it), its ``cause``,
what it ``says``; ``reasoning_view``: of ``stream.reasoning``; ``calls``, their arguments
``parsed`` or as text; ``noted``, ``next_noted``: a note on the reply, on the next one; ``told``: a
note or an error; ``request``, ``path``, ``requests``: what was sent; ``next_request``: with the
history, in which each call has its result; ``ids_differ``: over two turns; ``kept``: texts that
are somewhere on the reply; ``relay``: what a simple client reads; ``seconds`` at most;
``either``: alternatives laid over the rest.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest

from aiotokengate import (
    AnswerDelta,
    CallerError,
    ReasoningDelta,
    Reply,
    Retry,
    StreamInterrupted,
    Timeout,
    TokenGate,
    TokenGateError,
    ToolCall,
    ToolCallDelta,
)
from aiotokengate.testing._clock import VirtualClock
from aiotokengate.types import Delta
from tests.support.field_server import FieldServer, Sent
from tests.support.matching import differences
from tests.support.streams import body, saying

FIELD = Path(__file__).parent.parent / "field"
CASES: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FIELD.glob("*.json"))
}
QUESTION = "天气怎么样？🌦"
TURN = 0.05
LONG = 60.0


# --- using the client ---------------------------------------------------------------------------


@attrs.define
class Use:
    """What the ways to use the client gave."""

    reply: Reply | None = None
    errors: list[TokenGateError | None] = attrs.field(factory=list)
    seconds: float = 0.0
    requests: list[Sent] = attrs.field(factory=list)
    after: Reply | None = None
    deltas: list[Delta] = attrs.field(factory=list)
    reasoning: list[str] = attrs.field(factory=list)
    answer: list[str] = attrs.field(factory=list)
    calls: list[ToolCall] = attrs.field(factory=list)
    relayed: bytes = b""


class Session:
    """A session with the server of a case, and a clock for both."""

    def __init__(self, case: Mapping[str, Any], *, cut: bool) -> None:
        self.case = case
        self.clock = VirtualClock()
        self.server = FieldServer(case["answers"], self.clock, cut=cut)

    async def run(self, use: Coroutine[Any, Any, None]) -> None:
        """Let time pass, whenever nothing else happens, until a use is over."""
        task = asyncio.ensure_future(use)
        while not task.done() and self.clock.now() < LONG:
            await self.clock.settle()
            if not self.server.busy and not task.done():
                await self.clock.run_for(TURN)
        assert task.done(), "not over after a minute"
        await task
        while self.server.busy:  # the last bytes of a body, behind its end
            await self.clock.settle()
        await self.clock.settle()

    def chat(self, gate: TokenGate, messages: Any = None, model: str | None = None) -> Any:
        ask = dict(self.case.get("ask", {}))
        asked = ask.pop("messages", QUESTION)
        ask["retry"] = Retry(**ask.get("retry", {"attempts": 1}))
        if "timeout" in ask:
            ask["timeout"] = Timeout(**ask["timeout"])
        ask = {"protocol": self.case["protocol"], **ask}
        return gate.chat(model or self.case["model"], messages or asked, **ask)


async def awaited(session: Session, gate: TokenGate, use: Use) -> None:
    try:
        use.reply = await session.chat(gate)
    except TokenGateError as error:
        use.errors.append(error)
        use.reply = error.partial if isinstance(error, StreamInterrupted) else None
        return
    finally:
        use.seconds = session.clock.now()
        use.requests = list(session.server.requests)
    use.errors.append(None)
    wanted = wishes(session.case)
    if wanted & {"next_request", "next_noted", "ids_differ"}:
        await asked_again(session, gate, use, same="ids_differ" in wanted)


async def asked_again(session: Session, gate: TokenGate, use: Use, *, same: bool) -> None:
    """Send the history back, with a result for each call."""
    assert use.reply is not None
    case = session.case
    if not same:
        frames = saying(case["protocol"], "好的")
        session.server.answers = [{"steps": [body(frames).decode()]}]
    asked = case.get("ask", {}).get("messages", QUESTION)
    first = [{"role": "user", "content": asked}] if isinstance(asked, str) else list(asked)
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "晴"}
        for call in use.reply.tool_calls
        if call.complete
    ]
    more = results or [{"role": "user", "content": "还有呢？"}]
    history = json.loads(json.dumps([*first, use.reply.message(), *more]))
    use.after = await session.chat(gate, history, case.get("next_model"))
    use.requests.append(session.server.requests[-1])


async def iterated(session: Session, gate: TokenGate, use: Use) -> None:
    use.errors.append(None)
    try:
        async for delta in session.chat(gate):
            use.deltas.append(delta)
    except TokenGateError as error:
        use.errors[-1] = error


async def viewed(session: Session, gate: TokenGate, use: Use) -> None:
    use.errors.append(None)
    try:
        async with session.chat(gate) as stream:
            async for text in stream.reasoning:
                use.reasoning.append(text)
            async for text in stream.answer:
                use.answer.append(text)
            async for call in stream.tool_calls:
                use.calls.append(call)
    except TokenGateError as error:
        use.errors[-1] = error


async def relayed(session: Session, gate: TokenGate, use: Use) -> None:
    with suppress(TokenGateError):  # the relay has told it
        async with session.chat(gate) as stream:
            async for event in stream.sse():
                use.relayed += event


async def used(case: Mapping[str, Any], *, cut: bool) -> Use:
    """Use the client in each way, with a server of its own."""
    use = Use()
    for way in (awaited, iterated, viewed, relayed):
        if way is relayed and "relay" not in wishes(case):
            continue
        session = Session(case, cut=cut)
        async with (
            session.server as server,
            TokenGate(api_key="sk-x", base_url=server.url, clock=session.clock) as gate,
        ):
            await session.run(way(session, gate, use))
    return use


# --- what came ----------------------------------------------------------------------------------


def wishes(case: Mapping[str, Any]) -> set[str]:
    expect = case["expect"]
    return set(expect).union(*expect.get("either", ()))


def facts(case: Mapping[str, Any], use: Use) -> dict[str, list[Any]]:
    """Return what came by the keys of an expectation: each of the values has to fit."""
    found = about_errors(use)
    found |= about_requests(case, use)
    found["relay"] = [told_by_relay(use.relayed.decode())]
    if use.reply is not None:
        found |= about_reply(use, use.reply)
    return found


def about_errors(use: Use) -> dict[str, list[Any]]:
    errors = [error for error in use.errors if error is not None]
    noted = bool(use.reply and use.reply.notes)
    return {
        "error": [error and ancestry(error) for error in use.errors],
        "cause": [ancestry(error.__cause__) for error in errors],
        "says": [f"{error} {error.__cause__}" for error in errors],
        "told": [noted or bool(errors)],
        "noted": [noted],
        "seconds": [use.seconds],
    }


def ancestry(error: BaseException | None) -> list[str]:
    return [one.__name__ for one in type(error).__mro__] if error is not None else []


def about_requests(case: Mapping[str, Any], use: Use) -> dict[str, list[Any]]:
    sent = use.requests
    found: dict[str, list[Any]] = {
        "request": [one.json for one in sent[:1]],
        "path": [one.path for one in sent[:1]],
        "requests": [len(sent)],
    }
    if use.after is not None and use.reply is not None:
        again = {call.id for call in use.after.tool_calls}
        shared = again & {call.id for call in use.reply.tool_calls}
        last = sent[-1].json
        found["requests"] = [len(sent) - 1]
        found["next_request"] = [last]
        found["unpaired"] = [unpaired(case["protocol"], last)]
        found["next_noted"] = [bool(use.after.notes)]
        found["ids_differ"] = [bool(again) and not shared]
    return found


def about_reply(use: Use, reply: Reply) -> dict[str, list[Any]]:
    told = [delta.text for delta in use.deltas if isinstance(delta, AnswerDelta)]
    thought = [delta.text for delta in use.deltas if isinstance(delta, ReasoningDelta)]
    calls = [described(call) for call in reply.tool_calls]
    return {
        "answer": [reply.answer, "".join(told), "".join(use.answer)],
        "reasoning": [reply.reasoning, "".join(thought)],
        "reasoning_view": ["".join(use.reasoning)],
        "finish_reason": [reply.finish_reason],
        "status": [reply.status],
        "usage": [attrs.asdict(reply.usage)],
        "message": [json.loads(json.dumps(reply.message()))],
        "kept": [everything(reply)],
        "calls": [calls],
        "pieces": [pieces(use.deltas)],
        "viewed": [use.calls],
    }


def described(call: ToolCall) -> dict[str, Any]:
    found = {"id": call.id, "name": call.name, "arguments": call.arguments}
    with suppress(CallerError):
        found["parsed"] = call.parse()
    return {**found, "complete": call.complete}


def pieces(deltas: list[Delta]) -> list[dict[str, Any]]:
    """Put the calls together from their deltas."""
    calls: dict[int, dict[str, Any]] = {}
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            call = calls.setdefault(delta.index, {"name": "", "arguments": ""})
            call["name"] += delta.name
            call["arguments"] += delta.arguments
    for call in calls.values():
        with suppress(ValueError):
            call["parsed"] = json.loads(call["arguments"] or "{}")
    return [calls[index] for index in sorted(calls)]


def everything(reply: Reply) -> str:
    parts = [
        *(reply.extra, reply.usage.extra, reply.message()),
        *([one.extra, one.logprobs, repr(one.citations)] for one in reply.choices),
        *(medium.url for medium in reply.media),
    ]
    return json.dumps(parts, ensure_ascii=False, default=dict)


def told_by_relay(text: str) -> dict[str, Any]:
    """Read a relayed stream as simple clients do."""
    events = [event.removeprefix("data: ") for event in text.split("\n\n") if event]
    chunks = [json.loads(event) for event in events if event != "[DONE]"]
    said = [choice["delta"] for chunk in chunks for choice in chunk.get("choices", ())]
    calls: dict[int, dict[str, Any]] = {}
    ids = set()
    for piece in (piece for delta in said for piece in delta.get("tool_calls", ())):
        call = calls.setdefault(piece["index"], {"id": "", "name": "", "arguments": ""})
        call["id"] = piece.get("id", call["id"])
        call["name"] += piece["function"].get("name", "")
        call["arguments"] += piece["function"].get("arguments", "")
        ids.add(call["id"])
    plain = json.dumps(chunks, ensure_ascii=False, separators=(",", ":"))
    return {
        "ends_with_done": events[-1:] == ["[DONE]"],
        "answer": "".join(delta.get("content") or "" for delta in said),
        "reasoning": "".join(delta.get("reasoning_content", "") for delta in said),
        "calls": [calls[index] for index in sorted(calls)],
        "ids": len(ids),
        "contains": plain,
    }


# --- calls and their results in a request -------------------------------------------------------


def unpaired(protocol: str, sent: Any) -> list[Any]:
    """Return the calls of a request without a result of their own, and the other way round."""
    ways = {"chat": chat_ids, "messages": block_ids, "gemini": part_ids, "responses": item_ids}
    calls: list[Any] = []
    results: list[Any] = []
    for own, is_result in ways[protocol](sent):
        (results if is_result else calls).append(own)
    twice = [own for own in set(calls) if calls.count(own) > 1 and own != (None, None)]
    return [*twice, *set(calls).symmetric_difference(results)]


Ids = Iterator[tuple[Any, bool]]


def chat_ids(sent: Any) -> Ids:
    for message in sent["messages"]:
        for call in message.get("tool_calls") or ():
            yield call["id"], False
        if message["role"] == "tool":
            yield message["tool_call_id"], True


def block_ids(sent: Any) -> Ids:
    for message in sent["messages"]:
        blocks = message["content"] if isinstance(message["content"], list) else ()
        for block in blocks:
            if block["type"] in ("tool_use", "tool_result"):
                is_result = block["type"] == "tool_result"
                yield block["tool_use_id" if is_result else "id"], is_result


def part_ids(sent: Any) -> Ids:
    """Return name and id; where calls have no id, the place among those of their name."""
    count: dict[tuple[str, bool], int] = {}
    for part in (part for turn in sent["contents"] for part in turn["parts"]):
        for key in part.keys() & {"functionCall", "functionResponse"}:
            name, is_result = part[key].get("name"), key == "functionResponse"
            place = count[name, is_result] = count.get((name, is_result), 0) + 1
            yield (name, part[key].get("id", place)), is_result


ANSWERABLE = ("function", "custom_tool", "apply_patch", "shell", "local_shell", "computer")


def item_ids(sent: Any) -> Ids:
    for item in sent["input"]:
        kind, _, rest = item.get("type", "").partition("_call")
        if kind in ANSWERABLE and rest in ("", "_output"):
            own = "id" if (kind, rest) == ("local_shell", "_output") else "call_id"
            yield (kind, item.get(own)), bool(rest)


# --- judging ------------------------------------------------------------------------------------


def problems(expect: Mapping[str, Any], found: Mapping[str, list[Any]]) -> Iterator[str]:
    """Name everything in which what came is not what was expected."""
    for key, wanted in patterns(expect):
        if key not in found or not (found[key] or key in ("says", "cause")):
            yield f"{key}: expected {wanted}, got nothing"
        for came in found.get(key, ()):
            yield from differences(came, wanted, key)
    if expect.get("calls") is not None and "calls" in found:
        calls = found["calls"][0]
        ids = [call["id"] for call in calls]
        if len(set(ids)) < len(ids) or "" in ids:
            yield f"calls: expected ids that differ, got {ids}"
        whole = sum(call["complete"] for call in calls)
        if expect.get("error") is None and len(found["viewed"][0]) != whole:
            yield f"stream.tool_calls: expected {whole} calls, got {len(found['viewed'][0])}"


def patterns(expect: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Return the patterns for the facts."""
    for key, wanted in expect.items():
        match key:
            case "error" | "cause" if wanted is not None:
                yield key, {"$has": [wanted]}
            case "says":
                yield key, {"$contains": [wanted]}
            case "kept":
                yield key, {"$contains": wanted}
            case "path":
                yield key, {"$contains": [wanted]}
            case "seconds" | "either":
                continue
            case "calls":
                yield key, wanted
                yield "pieces", [said_of(call) for call in wanted]
            case "relay":
                yield key, relay_pattern(wanted)
            case "next_request":
                yield key, wanted
                yield "unpaired", []
            case _:
                yield key, wanted


def said_of(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the deltas of a call must say."""
    return {key: call[key] for key in ("name", "arguments", "parsed") if key in call}


def relay_pattern(wanted: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(wanted)
    texts = {"$contains": found.pop("contains", []), "$without": found.pop("lacks", [])}
    return {**found, "contains": texts}


# Byte by byte is the same again in bulk, and so is not measured.
WAYS = [
    pytest.param(name, cut, marks=[pytest.mark.unmeasured] if cut else [])
    for name in CASES
    for cut in (False, True)
    if not cut or CASES[name].get("cut", True)
]


@pytest.mark.parametrize(("name", "cut"), WAYS)
async def test_what_was_seen_in_the_field(name: str, cut: bool) -> None:
    """Every way to use the client gives what the case says, also when each byte comes alone."""
    case = CASES[name]
    use = await used(case, cut=cut)
    found, expect = facts(case, use), case["expect"]
    either = [{**expect, **other} for other in expect.get("either", ({},))]
    judged = [list(problems(one, found)) for one in either]
    assert min(judged, key=len) == [], case["why"]
    assert use.seconds <= expect.get("seconds", LONG)
