"""What users are told under each fault: ours and others, against the fake gateway.

    python benchmarks/compare_faults.py [--others PYTHON] [--only NAME ...] [--write]

Each client has a process of its own, see ``fault_clients.py``.  For every fault the gateway is
told what to answer, the client asks once (or forty times), and two things are looked at: what its
user is told, and how many requests reached the gateway.  Ours must be as promised, else the exit
code is 1.  ``--write`` keeps the outcome in ``faults.json``, from which the documentation's table
is made; ``--page`` only makes that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
from fault_clients import CHATS, PROMPT

from aiotokengate.testing import FakeGateway, Raw, ScriptedReply, faults
from aiotokengate.testing._script import Pause, Script

HERE = Path(__file__).parent
KEPT = HERE / "faults.json"
PAGE = HERE.parent / "docs/reference/faults.md"
_PLACE = re.compile(
    r"(<!-- begin measured faults -->\n).*?(\n<!-- end measured faults -->)", re.DOTALL
)
TEXT = "从前有一条斑马鱼 🐟，住在很深的水里，它每天都数星星。"
REPLY = ScriptedReply(answer=[TEXT[:4], TEXT[4:9], TEXT[9:15], TEXT[15:]])
FOR_EVER = 30
"""Answers that are as many as nobody comes to take."""

OTHERS = ("openai", "anthropic", "litellm")
ELSEWHERE = ("litellm",)
"""Which clients live in the other environment."""

_EVENTS = {"Content-Type": "text/event-stream"}
_ASK: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (
        "/chat/completions",
        {"model": "qwen3.6-plus", "stream": True, "stream_options": {"include_usage": True}},
    ),
    "messages": (
        "/messages",
        {"model": "claude-opus-4-6", "stream": True, "max_tokens": 500},
    ),
}

Outcome = dict[str, Any]


@dataclass(frozen=True)
class Wire:
    """A reply in the protocol that a client speaks, and what that says at an end and of an error.

    Attributes:
        events: of a whole reply.
    """

    events: Sequence[bytes]
    end: bytes
    error: bytes
    bare_error: bytes

    @property
    def half(self) -> Sequence[bytes]:
        """The beginning: some of its text, and no finish."""
        part = TEXT[4:9]
        forms = (part.encode(), json.dumps(part).strip('"').encode())
        at = next(at for at, event in enumerate(self.events) if any(f in event for f in forms))
        return self.events[: at + 1]

    @property
    def rest(self) -> Sequence[bytes]:
        """What follows :attr:`half`."""
        return self.events[len(self.half) :]


def _sent(name: str, data: Mapping[str, Any]) -> bytes:
    event = f"event: {name}\n" if name else ""
    return f"{event}data: {json.dumps(data)}\n\n".encode()


_STOPPED = {"message": "the engine stopped", "type": "server_error", "code": 500}
_OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
_ENDS = {
    "chat": (
        b"data: [DONE]\n\n",
        _sent("", {"error": _STOPPED}) + b"data: [DONE]\n\n",
        json.dumps({"error": _STOPPED}).encode() + b"\n\n",
    ),
    "messages": (
        _sent("message_stop", {"type": "message_stop"}),
        _sent("error", _OVERLOADED),
        json.dumps(_OVERLOADED).encode() + b"\n\n",
    ),
}


@dataclass(frozen=True)
class Fault:
    """One way in which a gateway fails.

    Attributes:
        name: in ``faults.json``; ``title``: in the table.
        script: makes the gateway's answers from a whole reply.
        promise: what our users are told, in words; ``ours``: what :func:`seen` must give for us.
        what: what is asked for.
    """

    name: str
    title: str
    script: Callable[[Wire], Sequence[Script]]
    promise: str
    ours: tuple[str, ...]
    what: str = "chat"


def _stream(*steps: bytes | Pause, end: Any = "keep") -> Raw:
    return Raw(body=steps, headers=_EVENTS, end=end)


def _good(wire: Wire) -> Raw:
    return _stream(*wire.events)


def _with_length(wire: Wire) -> Raw:
    """Return a whole reply with its length, after which the server closes without a word."""
    body = b"".join(wire.events)
    headers = {**_EVENTS, "Content-Length": str(len(body))}
    return Raw(body=body, headers=headers, end="close")


def _image() -> Raw:
    body = json.dumps({"created": 1, "data": [{"b64_json": "iVBORw0KGgo="}]}).encode()
    return Raw(body=body, headers={"Content-Type": "application/json"})


_GONE = Raw(None, end="close")
_LATE = {"Retry-After": "1"}
_PINGS: Sequence[bytes | Pause] = (Pause(0.3), b": PING\n\n") * 200
_NO_JSON = b'data: {"choices":[{"index":0,"delta":{"content":"x\n\n'
_ECHO = json.dumps(
    {"error": {"message": f"bad request: {PROMPT}", "type": "invalid_request_error", "code": "x"}}
).encode()

FAULTS: tuple[Fault, ...] = (
    Fault(
        "429 once",
        "429 with `Retry-After: 1`, once",
        lambda wire: (faults.status_error(429, headers=_LATE), _good(wire)),
        "waits as long, and asks again",
        ("whole", "2"),
    ),
    Fault(
        "429 for ever",
        "429 with `Retry-After: 1`, for ever",
        lambda _: [faults.status_error(429, headers=_LATE)] * FOR_EVER,
        "3 attempts in all, then `RateLimited`",
        ("RateLimited", "3"),
    ),
    Fault(
        "503 once",
        "503, once",
        lambda wire: (faults.status_error(503), _good(wire)),
        "asks again",
        ("whole", "2"),
    ),
    Fault(
        "html 502",
        "a proxy's page with 502, once",
        lambda wire: (faults.html_502(), _good(wire)),
        "asks again",
        ("whole", "2"),
    ),
    Fault(
        "closed before",
        "closed without an answer, once; a chat",
        lambda wire: (_GONE, _good(wire)),
        "asks again, and the attempt says `Unanswered`",
        ("whole", "2"),
    ),
    Fault(
        "image closed",
        "closed without an answer; an image",
        lambda _: (_GONE, _image(), _image()),
        "`Unanswered`; not asked for again, it may have been begun",
        ("Unanswered", "1"),
        "image",
    ),
    Fault(
        "image 504",
        "a balancer's 504; an image",
        lambda _: (faults.status_error(504), _image(), _image()),
        "`ServerFailed`; not asked for again",
        ("ServerFailed", "1"),
        "image",
    ),
    Fault(
        "silence",
        "takes the request, and never says anything",
        lambda _: [faults.silence()] * FOR_EVER,
        "`TimedOut`; a silent route is not asked again",
        ("TimedOut", "1"),
    ),
    Fault(
        "keep-alives only",
        "a beginning, then comments for ever (`: PING`)",
        lambda wire: [_stream(*wire.half, *_PINGS, end="hang")],
        "`StreamInterrupted`: a comment is no content",
        ("StreamInterrupted", "1"),
    ),
    Fault(
        "reset",
        "a reset in the middle of a reply",
        lambda wire: [_stream(*wire.half, end="reset")] * 3,
        "`StreamInterrupted`, with what came",
        ("StreamInterrupted", "1"),
    ),
    Fault(
        "clean end",
        "the body ends in the middle of a reply, in good order",
        lambda wire: [_stream(*wire.half)] * 3,
        "`StreamInterrupted`, with what came",
        ("StreamInterrupted", "1"),
    ),
    Fault(
        "done without finish",
        "`[DONE]` without a finish reason",
        lambda wire: [_stream(*wire.half, wire.end)] * 3,
        "`StreamInterrupted`, with what came",
        ("StreamInterrupted", "1"),
    ),
    Fault(
        "error event",
        "an error as an event in mid-stream",
        lambda wire: [_stream(*wire.half, wire.error)] * 3,
        "`StreamInterrupted`, the error as its cause",
        ("StreamInterrupted", "1"),
    ),
    Fault(
        "bare error",
        "an error as a bare line of JSON in mid-stream",
        lambda wire: [_stream(*wire.half, wire.bare_error)] * 3,
        "`StreamInterrupted`, the error as its cause",
        ("StreamInterrupted", "1"),
    ),
    Fault(
        "error with 200",
        "200, and the stream is nothing but an error",
        lambda wire: [_stream(wire.bare_error)] * FOR_EVER,
        "`ServerFailed`, as if it had had its status",
        ("ServerFailed", "3"),
    ),
    Fault(
        "no JSON",
        "a frame that is no JSON, in mid-stream",
        lambda wire: [_stream(*wire.half, _NO_JSON, *wire.rest)],
        "the rest of the reply; it says that a frame was lost",
        ("whole", "1"),
    ),
    Fault(
        "held open",
        "a whole reply, and the connection stays open",
        lambda wire: [_stream(*wire.events, end="hang")],
        "the reply, at its protocol's end",
        ("whole", "1"),
    ),
    Fault(
        "no HTTP",
        "an answer that is not HTTP",
        lambda _: [Raw(None, b"SSH-2.0-OpenSSH_9.2\r\n", end="close")] * FOR_EVER,
        "`WireError`, sent once",
        ("WireError", "1"),
    ),
    Fault(
        "prompt echoed",
        "a 400 that quotes the prompt",
        lambda _: [Raw(400, _ECHO, {"Content-Type": "application/json"})] * 3,
        "`BadRequest`, without the prompt",
        ("BadRequest", "1"),
    ),
    Fault(
        "closes with the last byte",
        f"closes with each reply's last byte; {CHATS} calls in a row",
        lambda wire: [_with_length(wire)] * (2 * CHATS),
        "none fails",
        ("0 fail", str(CHATS)),
        "chats",
    ),
)


# --- asking -------------------------------------------------------------------------------------


class Client:
    """A client's process."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        """Take over the process."""
        self.name = name
        self._process = process

    @classmethod
    async def started(cls, name: str, python: str) -> Self:
        """Start it."""
        process = await asyncio.create_subprocess_exec(
            *(python, str(HERE / "fault_clients.py"), name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            limit=1 << 24,
        )
        return cls(name, process)

    async def ask(self, what: str, gateway: FakeGateway) -> Outcome:
        """Have it ask, and return what its user is told."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"what": what, "address": gateway.base_url, "key": gateway.api_key}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            message = f"{self.name} has ended"
            raise RuntimeError(message)
        answer: Outcome = json.loads(line)
        return answer

    async def end(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


async def wire_of(protocol: str) -> Wire:
    """Return a whole reply, as the gateway writes it."""
    path, ask = _ASK[protocol]
    async with FakeGateway() as gateway, aiohttp.ClientSession() as session:
        gateway.script(REPLY)
        headers = {"Authorization": f"Bearer {gateway.api_key}"}
        body = {**ask, "messages": [{"role": "user", "content": PROMPT}]}
        async with session.post(gateway.base_url + path, json=body, headers=headers) as answer:
            text = await answer.read()
    events = [event + b"\n\n" for event in text.split(b"\n\n") if event.strip()]
    return Wire(events, *_ENDS[protocol])


async def tried(fault: Fault, client: Client, wire: Wire) -> tuple[str, str]:
    """Return what a client's user is told under a fault, and how many requests came."""
    async with FakeGateway() as gateway:
        path = "/v1/images/generations" if fault.what == "image" else None
        gateway.script(*fault.script(wire), path=path)
        answer = await client.ask(fault.what, gateway)
        sent = len([one for one in gateway.requests if one.method == "POST"])
    return seen(fault, answer), str(sent)


def seen(fault: Fault, answer: Outcome) -> str:
    """Say in a few words what a user is told."""
    error = answer["error"]
    if error == "NoSuchCall":
        return ""
    if fault.what == "chats":
        return f"{answer['failed']} fail"
    if error is None and fault.what == "chat" and answer["text"] != TEXT:
        return f"{'half a' if answer['text'] else 'an empty'} reply, as if whole"
    if error is None:
        return "whole"
    shown = PROMPT[:20] in answer["said"]
    return f"{error}, the prompt in it" if shown else str(error)


async def compare(names: Sequence[str], pythons: Mapping[str, str]) -> dict[str, Outcome]:
    """Return what each client's user is told under each fault."""
    wires = {protocol: await wire_of(protocol) for protocol in _ASK}
    outcome: dict[str, Outcome] = {fault.name: {} for fault in FAULTS}

    async def all_of(name: str) -> None:
        client = await Client.started(name, pythons[name])
        wire = wires["messages" if name == "anthropic" else "chat"]
        for fault in FAULTS:
            outcome[fault.name][name] = await tried(fault, client, wire)
        await client.end()

    await asyncio.gather(*map(all_of, names))
    return outcome


def broken(outcome: Mapping[str, Outcome]) -> list[str]:
    """Return where ours is not as promised."""
    return [
        f"{fault.name}: promised {fault.ours}, got {got}"
        for fault in FAULTS
        if (got := tuple(outcome[fault.name]["aiotokengate"])) != fault.ours
    ]


def versions(names: Sequence[str], pythons: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of the other clients."""
    ask = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
    return {
        name: subprocess.check_output([pythons[name], "-c", ask, name], text=True).strip()
        for name in names
        if name in OTHERS
    }


# --- the table ----------------------------------------------------------------------------------


def page(text: str, kept: Mapping[str, Any]) -> str:
    """Return the documentation's page with its table written anew."""
    names = ["aiotokengate", *kept["versions"]]
    heads = [f"{name} {kept['versions'].get(name, '')}".strip() for name in names]
    lines = [("fault", "promised", *heads), ("---",) * (2 + len(names))]
    for fault in FAULTS:
        cells = (_cell(fault, *kept["outcome"][fault.name][name]) for name in names)
        lines.append((fault.title, fault.promise, *cells))
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return _PLACE.sub(lambda place: f"{place[1]}{table}{place[2]}", text)


def _cell(fault: Fault, told: str, sent: str) -> str:
    if not told:
        return "-"
    word = f"`{told}`" if told.isidentifier() and told not in ("whole", "hangs") else told
    return word if fault.what == "chats" else f"{word}, sent {sent} ×"


def load() -> Any:
    """Return what was kept."""
    return json.loads(KEPT.read_text("utf-8"))


def write_page() -> None:
    """Write the page's table."""
    PAGE.write_text(page(PAGE.read_text("utf-8"), load()), "utf-8")


def main() -> int:
    """Run, print, and keep what came out."""
    parser = argparse.ArgumentParser(description="Compare clients under fault.")
    parser.add_argument("--others", default=sys.executable, help="the Python that has litellm")
    parser.add_argument("--only", nargs="*", default=["aiotokengate", *OTHERS])
    parser.add_argument("--write", action="store_true", help="keep the outcome in faults.json")
    parser.add_argument("--page", action="store_true", help="only write the table anew")
    options = parser.parse_args()
    if options.page:
        write_page()
        return 0
    pythons = {
        name: options.others if name in ELSEWHERE else sys.executable for name in options.only
    }
    outcome = asyncio.run(compare(options.only, pythons))
    for fault in FAULTS:
        print(f"{fault.name}:")
        for name in options.only:
            told, sent = outcome[fault.name][name]
            print(f"    {name:14}{told or '-'}" + (f", sent {sent} times" if told else ""))
    if options.write:
        kept = {"versions": versions(options.only, pythons), "outcome": outcome}
        KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")
        write_page()
    wrong = broken(outcome)
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
