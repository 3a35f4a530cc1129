"""What importing costs, in fresh processes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from tempfile import TemporaryDirectory

from figure import Costs, Figure
from processes import ENVIRONMENT
from run import Bench

__all__ = ["imports"]

STATEMENTS = {
    "bare": "import aiohttp, attrs, orjson",
    "ours": "from aiotokengate import TokenGate",
    "openai": "from openai import AsyncOpenAI",
    "anthropic": "from anthropic import AsyncAnthropic",
    "langchain": "from langchain_openai import ChatOpenAI",
    "pydantic-ai": "from pydantic_ai.models.openai import OpenAIChatModel",
    "litellm": "from litellm import acompletion",
}
_OFTEN = 3


def imports(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Import in fresh processes; neither the interpreter's start nor compiling is counted."""
    costs: Costs = {client: [] for client in STATEMENTS if client not in bench.absent}
    with TemporaryDirectory() as compiled:
        for client in costs:
            _cost(bench.python(client), STATEMENTS[client], compiled)
        for turn in range(bench.plan.rounds):
            for client, found in costs.items():
                taken = client in ("bare", "ours") or turn % _OFTEN == 0
                python, statement = bench.python(client), STATEMENTS[client]
                found.append(_cost(python, statement, compiled) if taken else None)
    yield "import", Figure("ms a process", costs)


def _cost(python: str, statement: str, compiled: str) -> float:
    program = (
        "from time import process_time as now; "
        f"before = now(); {statement}; print((now() - before) * 1e3)"
    )
    # Compiled code of its own, so that no side meets what is stale, or may not be written.
    own = {"PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    command = [python, "-c", program]
    environment = {**os.environ, **ENVIRONMENT, **own}
    ran = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(ran.stdout.split()[-1])
