"""Hours of a busy service in minutes: ``make soak``.

A gateway in a process of its own fails one request in twenty, before or in the middle of an
answer.  Workers here use the library in every way at once, over sessions that come and go, and
leave early as users do.  Then it is counted:

    lost      calls without an outcome, and replies that lack something and say they are whole
    doubled   costly requests that were begun more than once
    leaked    connections, places in the pool, tasks and files that are still there at the end
    odd       errors that no user should see
    memory    how it grows, in KiB a minute, once the first fifth of the time is over

The exit code is 1 if any of the first four is not 0, or memory grows by more than ``MOST_GROWTH``
in a run of two minutes or more.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import attrs

from aiotokengate import (
    ConnectFailed,
    Limits,
    Overloaded,
    Pool,
    RateLimited,
    Retry,
    ServerFailed,
    StreamInterrupted,
    TokenGate,
    TokenGateError,
    Unanswered,
)
from aiotokengate.testing import FakeGateway
from aiotokengate.testing._request import GatewayRequest

UNRELIABLE = 0.05
WORKERS = 24
SESSION_SECONDS = 15.0
MOST_GROWTH = 2_048.0
"""KiB a minute."""
LONG = 120.0
"""Seconds of a run from which on the growth of memory is judged."""

NOT_BEGUN = ("429", "503")
COSTLY = ("/images/", "/audio/speech", "/videos")
MODELS = ("qwen3.6-plus", "deepseek-v4-pro", "glm-5.1", "gpt-5.4", "claude-opus-4-8")
EXPECTED = (
    ConnectFailed,
    Overloaded,
    RateLimited,
    ServerFailed,
    StreamInterrupted,
    Unanswered,
)
"""What a gateway that fails now and then may come to in the end."""


# --- the gateway's process ----------------------------------------------------------------------


class Watched(FakeGateway):
    """A gateway that keeps what became of each costly request."""

    def __init__(self, share: float) -> None:
        super().__init__(unreliable=share, keep_requests=0)
        self.begun: Counter[str] = Counter()
        self.served = 0

    def _note(self, record: GatewayRequest, outcome: str) -> None:
        self.served += 1
        costly = record.method == "POST" and any(part in record.path for part in COSTLY)
        if costly and outcome not in NOT_BEGUN:
            self.begun[record.headers.get("Idempotency-Key", "no key")] += 1

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)


async def serve(share: float) -> None:
    """Say where it listens; to each line that comes, say what was counted."""
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with Watched(share) as gateway:
        say({"address": gateway.base_url, "key": gateway.api_key})
        while await lines.readline():
            twice = [key for key, times in gateway.begun.items() if times > 1 or key == "no key"]
            say(
                {
                    "served": gateway.served,
                    "costly": sum(gateway.begun.values()),
                    "doubled": len(twice),
                    "connections": gateway.connections,
                }
            )


def say(what: dict[str, Any]) -> None:
    """Write a line at once."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


# --- what is done -------------------------------------------------------------------------------


@attrs.define
class Soak:
    """What the workers share, and what they have seen.

    Attributes:
        busy: how many calls each session has, those between two attempts among them.
        shapes: the whole answers to each kind of question, the number of the question taken out:
            one each, if nothing is lost.
    """

    gate: TokenGate
    begun: int = 0
    ended: int = 0
    busy: Counter[TokenGate] = attrs.field(factory=Counter)
    errors: Counter[str] = attrs.field(factory=Counter)
    odd: list[str] = attrs.field(factory=list)
    shapes: dict[str, Counter[str]] = attrs.field(factory=dict)
    numbers: Any = attrs.field(factory=lambda: count(1))

    def question(self) -> tuple[str, str]:
        """Return the number of a question, and its text."""
        number = f"{next(self.numbers):09d}"
        return number, f"第{number}问：斑马鱼 🐟 睡觉吗？"

    def whole(self, kind: str, number: str, answer: str) -> None:
        """Keep what a whole answer looks like."""
        self.shapes.setdefault(kind, Counter())[answer.replace(number, "N")] += 1

    @property
    def lost(self) -> int:
        """Calls without an outcome, and whole answers that are not like the others."""
        others = (sum(seen.values()) - max(seen.values()) for seen in self.shapes.values())
        return self.begun - self.ended + sum(others)


async def awaited(soak: Soak) -> None:
    """Await a reply."""
    number, text = soak.question()
    model = random.choice(MODELS)
    reply = await soak.gate.chat(model, text)
    soak.whole(model, number, reply.answer)


async def plain(soak: Soak) -> None:
    """Await a reply that is not streamed."""
    number, text = soak.question()
    reply = await soak.gate.chat(MODELS[0], text, stream=False)
    soak.whole(MODELS[0], number, reply.answer)


async def read_in_two_tasks(soak: Soak) -> None:
    """Read thoughts and answer side by side."""
    number, text = soak.question()
    async with soak.gate.chat(MODELS[1], text) as stream:
        thoughts, answer = await asyncio.gather(stream.reasoning.text(), stream.answer.text())
        reply = await stream.reply()
    assert thoughts == reply.reasoning
    soak.whole(MODELS[1], number, answer)


async def relayed(soak: Soak) -> None:
    """Relay a stream."""
    _, text = soak.question()
    async with soak.gate.chat(MODELS[2], text) as stream:
        async for _ in stream.sse():
            pass


async def left(soak: Soak) -> None:
    """Leave a stream by ``break``."""
    _, text = soak.question()
    left_after = random.randrange(6)
    async for _ in soak.gate.chat(random.choice(MODELS), text):
        left_after -= 1
        if left_after < 0:
            break


async def stopped(soak: Soak) -> None:
    """Stop a stream politely."""
    _, text = soak.question()
    async with soak.gate.chat(MODELS[0], text) as stream:
        async for _ in stream.answer:
            stream.stop()
        assert (await stream.reply()).status in ("stopped", "complete")


async def cancelled(soak: Soak) -> None:
    """Cancel a call at some moment."""
    _, text = soak.question()
    task = asyncio.create_task(_reply(soak, text))
    await asyncio.sleep(random.random() / 20)
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


async def _reply(soak: Soak, text: str) -> str:
    return (await soak.gate.chat(random.choice(MODELS), text)).answer


async def talked(soak: Soak) -> None:
    """Have a conversation of two turns."""
    _, text = soak.question()
    talk = soak.gate.conversation(MODELS[0])
    await talk.say(text)
    await talk.say("还有呢？")


async def mapped(soak: Soak) -> None:
    """Make some calls through ``map``."""
    asked = [{"model": MODELS[0], "messages": soak.question()[1]} for _ in range(5)]
    outcomes = [outcome async for outcome in soak.gate.map(asked)]
    assert len(outcomes) == len(asked)
    assert all((outcome.reply is None) != (outcome.error is None) for outcome in outcomes)


async def embedded(soak: Soak) -> None:
    """Make vectors."""
    vectors = await soak.gate.embed("text-embedding-3-small", [soak.question()[1], "鱼 🐟"])
    assert len(vectors) == 2


async def painted(soak: Soak) -> None:
    """Make an image."""
    await soak.gate.images.generate("gpt-image-2", soak.question()[1])


async def spoken(soak: Soak) -> None:
    """Speak."""
    async with soak.gate.audio.speak("tts-1-hd", soak.question()[1], voice="alloy") as sound:
        async for _ in sound:
            pass


KINDS: tuple[tuple[Callable[[Soak], Awaitable[None]], int], ...] = (
    (awaited, 8),
    (plain, 2),
    (read_in_two_tasks, 4),
    (relayed, 2),
    (left, 3),
    (stopped, 2),
    (cancelled, 3),
    (talked, 1),
    (mapped, 1),
    (embedded, 1),
    (painted, 2),
    (spoken, 1),
)


async def work(soak: Soak, until: float) -> None:
    """Do one thing after another."""
    kinds, weights = zip(*KINDS, strict=True)
    while time.monotonic() < until:
        (kind,) = random.choices(kinds, weights)
        gate = soak.gate
        soak.begun += 1
        soak.busy[gate] += 1
        try:
            await kind(soak)
        except TokenGateError as error:
            soak.errors[type(error).__name__] += 1
            if not isinstance(error, EXPECTED):
                soak.odd.append(f"{kind.__name__}: {error!r}")
        except Exception as error:
            soak.odd.append(f"{kind.__name__}: {type(error).__name__}: {error}")
        finally:
            soak.ended += 1
            soak.busy[gate] -= 1


async def renew(soak: Soak, make: Callable[[], TokenGate], until: float) -> None:
    """Put a new session in the old one's place now and then, and close that when it is idle."""
    while (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(SESSION_SECONDS, left))
        old, soak.gate = soak.gate, make()
        while soak.busy[old]:
            await asyncio.sleep(0.05)
        del soak.busy[old]
        await old.close()


async def sample(memory: list[tuple[float, int]], until: float) -> None:
    """Note every second how much memory there is."""
    while time.monotonic() < until:
        memory.append((time.monotonic(), resident()))
        await asyncio.sleep(1)


def resident() -> int:
    """Return the memory of this process, in KiB."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def slope(memory: list[tuple[float, int]]) -> float:
    """Return how memory grows, in KiB a minute, by least squares, once it is warm."""
    warm = memory[len(memory) // 5 :]
    middle = sum(at for at, _ in warm) / len(warm)
    spread = sum((at - middle) ** 2 for at, _ in warm)
    return 60 * sum((at - middle) * size for at, size in warm) / spread if spread else 0.0


# --- the run ------------------------------------------------------------------------------------


async def soaked(address: str, key: str, seconds: float) -> tuple[Soak, float, list[str]]:
    """Run; return what was seen, how memory grew, and what is still there."""

    def make() -> TokenGate:
        pool = Pool(Limits(concurrency=64, learn=False))
        return TokenGate(base_url=address, api_key=key, pool=pool, retry=Retry(attempts=3))

    files = open_files()
    soak, memory = Soak(make()), list[tuple[float, int]]()
    until = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        group.create_task(sample(memory, until))
        group.create_task(renew(soak, make, until))
        for _ in range(WORKERS):
            group.create_task(work(soak, until))
    now = soak.gate.pool.statistics()
    await soak.gate.close()
    gc.collect()
    await asyncio.sleep(0.5)  # for the kernel
    leaked = [f"{now.in_flight} in flight, {now.waiting} waiting"] * bool(
        now.in_flight or now.waiting
    )
    tasks = len(asyncio.all_tasks()) - 1
    leaked += [f"{tasks} tasks"] * bool(tasks)
    more = open_files() - files
    leaked += [f"{more} files"] * (more > 0)
    return soak, slope(memory), leaked


def open_files() -> int:
    """Count the open files of this process."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count


def run(seconds: float, share: float) -> int:
    """Start the gateway, soak, and print; return the exit code."""
    order = (sys.executable, "-m", "tests.programs.soak", "--serve", "--unreliable", str(share))
    with subprocess.Popen(order, stdin=-1, stdout=-1, text=True) as gateway:
        assert gateway.stdin is not None
        assert gateway.stdout is not None
        place = json.loads(gateway.stdout.readline())
        soak, growth, leaked = asyncio.run(soaked(place["address"], place["key"], seconds))
        gateway.stdin.write("\n")
        gateway.stdin.flush()
        told = json.loads(gateway.stdout.readline())
        gateway.stdin.close()
    if told["connections"]:
        leaked.append(f"{told['connections']} connections")
    print(
        f"{seconds:g} s, {soak.ended} calls, {told['served']} requests, {share:.0%} of them fail"
    )
    print("errors:", ", ".join(f"{n} {name}" for name, n in soak.errors.most_common()) or "none")
    print(f"lost: {soak.lost}")
    print(f"doubled: {told['doubled']} of {told['costly']} costly requests")
    print(f"leaked: {', '.join(leaked) or 0}")
    print(f"odd: {len(soak.odd)}", *soak.odd[:10], sep="\n  ")
    print(f"memory: {resident()} KiB, grows by {growth:.0f} KiB a minute")
    grows = seconds >= LONG and growth > MOST_GROWTH
    return int(bool(soak.lost or told["doubled"] or leaked or soak.odd or grows or not soak.ended))


def main() -> int:
    """Read the options, and run."""
    parser = argparse.ArgumentParser(description="A mixed load on a gateway that fails.")
    parser.add_argument("--seconds", type=float, default=600.0, help="default: 600")
    parser.add_argument("--unreliable", type=float, default=UNRELIABLE, help="default: 0.05")
    parser.add_argument("--serve", action="store_true", help="be the gateway")
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.unreliable))
        return 0
    return run(options.seconds, options.unreliable)


if __name__ == "__main__":
    sys.exit(main())
