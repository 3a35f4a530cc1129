"""600 calls against a strict gateway, in real time, side by side: ours and what others do.

    python benchmarks/pool_strict.py [--only NAME ...] [--others PYTHON]

The gateway lets in 300 requests and 60,000 tokens a minute, both refilled continuously, and takes
the prompt and all of ``max_tokens`` on admission.  Each call costs 50 to 350 tokens and lasts half
a second.  Every contender has a process and a gateway of its own, and all run at the same time;
they spend it waiting.  ``--others`` names the Python that has openai and litellm.  "processor" is
the way of a widely copied script for parallel requests, written from its description: it looks at
its counters every millisecond, puts a failed call back at the end, and pauses after a refusal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

CALLS, REQUESTS, TOKENS, REPLY = 600, 300, 60_000, 0.5
PROMPT = 12
"""Tokens of each prompt as this gateway counts them."""

HERE = str(Path(__file__).resolve())
MOST_TIME = 1.03
MODEL = "qwen3.6-plus"
KEY = "sk-fake-gateway-key-for-tests-only"
OURS = ("ours, limits given", "ours, limits unknown")
CONTENDERS = (*OURS, "openai, 10 retries, 50 at once", "litellm router", "processor")


def sizes() -> list[int]:
    """Return what each call costs, the same in every run."""
    chance = random.Random(1)
    return [chance.randint(50, 350) for _ in range(CALLS)]


def asked(number: int, size: int) -> dict[str, Any]:
    """Return the arguments of a call."""
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": f"第 {number:03} 问"}],
        "max_tokens": size - PROMPT,
    }


# --- the gateway --------------------------------------------------------------------------------


async def serve() -> None:
    """Be the gateway until standard input ends; say where, and then what was seen."""
    from aiotokengate.testing import FakeGateway, Pace, RateLimit

    limits = RateLimit(requests_per_minute=REQUESTS, tokens_per_minute=TOKENS)
    async with FakeGateway(limits=limits, pace=Pace(first_token=REPLY)) as gateway:
        print(gateway.base_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        seen = gateway.enforcer
        charged = sum(decision.tokens for decision in seen.history if decision.admitted)
        figures = [seen.admitted, seen.refused, seen.peak_in_flight, charged]
        print(json.dumps(figures), flush=True)


# --- the contenders -----------------------------------------------------------------------------


async def ours(url: str, *, given: bool) -> int:
    """Map over the calls; return how many were lost."""
    from aiotokengate import Limits, Pool, TokenGate

    limits = Limits(requests_per_minute=REQUESTS, tokens_per_minute=TOKENS) if given else None
    async with TokenGate(api_key=KEY, base_url=url, pool=Pool(limits)) as gate:
        calls = (asked(number, size) for number, size in enumerate(sizes()))
        return len([1 async for outcome in gate.map(calls) if outcome.error is not None])


async def openai_client(url: str) -> int:
    """Fifty at once, each tried again up to ten times."""
    import openai

    client = openai.AsyncOpenAI(api_key=KEY, base_url=url, max_retries=10)
    room = asyncio.Semaphore(50)

    async def one(call: dict[str, Any]) -> None:
        async with room:
            await client.chat.completions.create(**call)

    calls = [one(asked(number, size)) for number, size in enumerate(sizes())]
    done = await asyncio.gather(*calls, return_exceptions=True)
    return sum(isinstance(result, Exception) for result in done)


async def litellm_router(url: str) -> int:
    """A router that knows both limits, with its default retries."""
    import litellm

    where = {"model": f"openai/{MODEL}", "api_key": KEY, "api_base": url}
    limited = {"model_name": MODEL, "litellm_params": {**where, "rpm": REQUESTS, "tpm": TOKENS}}
    router = litellm.Router(model_list=[limited], num_retries=10)
    calls = [router.acompletion(**asked(number, size)) for number, size in enumerate(sizes())]
    done = await asyncio.gather(*calls, return_exceptions=True)
    return sum(isinstance(result, Exception) for result in done)


async def processor(url: str) -> int:
    """Look every millisecond whether the next call may go; five attempts, 15 s of pause."""
    import aiohttp

    waiting = deque((asked(number, size), 5) for number, size in enumerate(sizes()))
    requests, tokens = float(REQUESTS), float(TOKENS)
    lost = running = 0
    paused_until = 0.0
    last = time.monotonic()

    async def one(session: aiohttp.ClientSession, call: dict[str, Any], left: int) -> None:
        nonlocal lost, running, paused_until
        async with session.post("/v1/chat/completions", json=call) as response:
            await response.read()
        running -= 1
        if response.status == 200:
            return
        if response.status == 429:
            paused_until = time.monotonic() + 15
        if left > 1:
            waiting.append((call, left - 1))
        else:
            lost += 1

    headers = {"Authorization": f"Bearer {KEY}"}
    tasks = set()
    async with aiohttp.ClientSession(url.removesuffix("/v1"), headers=headers) as session:
        while waiting or running:
            now = time.monotonic()
            requests = min(REQUESTS, requests + (now - last) * REQUESTS / 60)
            tokens = min(TOKENS, tokens + (now - last) * TOKENS / 60)
            last = now
            if waiting and now >= paused_until:
                call, left = waiting[0]
                cost = call["max_tokens"] + PROMPT
                if requests >= 1 and tokens >= cost:
                    waiting.popleft()
                    requests, tokens, running = requests - 1, tokens - cost, running + 1
                    task = asyncio.ensure_future(one(session, call, left))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
            await asyncio.sleep(0.001)
    return lost


async def contend(name: str, url: str) -> None:
    """Be one contender; print how many calls were lost, and the seconds."""
    ways: dict[str, Callable[[], Awaitable[int]]] = {
        OURS[0]: lambda: ours(url, given=True),
        OURS[1]: lambda: ours(url, given=False),
        CONTENDERS[2]: lambda: openai_client(url),
        CONTENDERS[3]: lambda: litellm_router(url),
        CONTENDERS[4]: lambda: processor(url),
    }
    began = time.monotonic()
    lost = await ways[name]()
    print(json.dumps([lost, time.monotonic() - began]), flush=True)


# --- the comparison -----------------------------------------------------------------------------


async def compare(name: str, python: str) -> dict[str, Any]:
    """Run one contender against a gateway of its own."""
    pipe = subprocess.PIPE
    gateway = await asyncio.create_subprocess_exec(
        sys.executable, HERE, "--serve", stdin=pipe, stdout=pipe
    )
    assert gateway.stdin is not None
    assert gateway.stdout is not None
    url = (await gateway.stdout.readline()).decode().strip()
    program = sys.executable if name in OURS else python
    contender = await asyncio.create_subprocess_exec(
        program, HERE, "--contend", name, url, stdout=pipe, stderr=subprocess.DEVNULL
    )
    said, _ = await contender.communicate()
    gateway.stdin.close()
    admitted, refused, peak, charged = json.loads(await gateway.stdout.read())
    await gateway.wait()
    if contender.returncode != 0:
        return {"name": name, "failed": f"ended with {contender.returncode} (not installed?)"}
    lost, seconds = json.loads(said.splitlines()[-1])
    return {
        "name": name,
        "lost": lost,
        "refused": refused,
        "ratio": seconds / optimum(),
        "peak": peak,
        "seconds": seconds,
        "admitted": admitted,
        "charged": charged,
    }


def optimum() -> float:
    """Return the seconds that the limits allow, and one call."""
    from pool_simulation import optimum as offline

    return offline(sizes(), "bucket")


def shown(row: dict[str, Any]) -> str:
    """Return the line of a contender."""
    if "failed" in row:
        return f"{row['name']:32} {row['failed']}"
    figures = f"{row['lost']:5} {row['refused']:9} {row['ratio']:9.3f} {row['peak']:6}"
    return f"{row['name']:32} {figures} {row['seconds']:9.1f}"


async def main(names: list[str], python: str) -> bool:
    """Print the table; return whether ours with limits given holds its bars."""
    rows = await asyncio.gather(*[compare(name, python) for name in names])
    print(f"{'600 calls':32} {'lost':>5} {'refusals':>9} {'time':>9} {'peak':>6} {'seconds':>9}")
    for row in rows:
        print(shown(row))
    print(
        f"time: over the {optimum():.1f} s that the limits allow; bar for limits given: 0, 0, 1.03"
    )
    first = rows[0]
    if first["name"] != OURS[0]:
        return True
    kept = first.get("lost") == first.get("refused") == 0
    return kept and bool(first["ratio"] <= MOST_TIME)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--others", default=sys.executable, help="Python with openai and litellm")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--contend", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
    elif options.contend:
        asyncio.run(contend(*options.contend))
    else:
        raise SystemExit(0 if asyncio.run(main(options.only, options.others)) else 1)
