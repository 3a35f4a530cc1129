"""The clients that are measured, one module each: what somebody would write with that library.

Each is a class that is given the server's address. Its methods take the first part of the path,
which names the answer (see ``bare_server.py``). What a client has no method for is not measured:

    stream     read a streamed reply; give how many chunks or deltas it had
    views      the same, the thinking first and then the answer
    call       make a call with a one-token reply
    plain      the same, not streamed
    text       give the answer of a streamed reply, to see that it is read whole
    follow     read a streamed reply and hand each text to a meter
    hold       read so many texts of a reply, and give what keeps it open
    close      close connections

A module imports nothing but its library: it runs in a process of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

__all__ = ["CLIENTS", "MODEL", "PROMPT", "Client"]

MODEL = "qwen3.6-max-preview"
PROMPT = "你好"


@dataclass(frozen=True)
class Client:
    """One client: how it is called in tables, where it is, and what it needs.

    Attributes:
        label: in tables.
        module: of this package.
        name: of the class.
        package: what has to be importable.
        distribution: whose version is stated; only other libraries have one.
        own: whether it lives in the environment of what doesn't get along with the others.
        uvloop: whether it runs on uvloop.
    """

    label: str
    module: str
    name: str
    package: str
    distribution: str = ""
    own: bool = False
    uvloop: bool = False

    @property
    def peer(self) -> bool:
        """Whether it is neither the library nor the bare loop."""
        return not self.name.startswith(("Ours", "Bare", "Bytes"))

    @property
    def here(self) -> bool:
        """Whether this environment has what it needs."""
        needs = [self.package] + ["uvloop"] * self.uvloop
        return all(importlib.util.find_spec(each) is not None for each in needs)

    def make(self, address: str) -> Any:
        """Import it, and make one."""
        return getattr(importlib.import_module(f"clients.{self.module}"), self.name)(address)


CLIENTS = {
    "bare bytes": Client("aiohttp, bytes only", "bare", "Bytes", "aiohttp"),
    "bare": Client("the bare loop: aiohttp, `orjson.loads`", "bare", "Bare", "orjson"),
    "bare uvloop": Client("the bare loop on uvloop", "bare", "Bare", "orjson", uvloop=True),
    "ours": Client("**aiotokengate**", "ours", "Ours", "aiotokengate"),
    "ours, limits": Client(
        "**aiotokengate**, limits given", "ours", "OursLimited", "aiotokengate"
    ),
    "ours uvloop": Client(
        "**aiotokengate** on uvloop", "ours", "Ours", "aiotokengate", uvloop=True
    ),
    "ours await": Client("**aiotokengate**, `await`", "ours", "OursAwait", "aiotokengate"),
    "ours answer": Client(
        "**aiotokengate**, `.answer` while it thinks", "ours", "OursAnswer", "aiotokengate"
    ),
    "ours bursts": Client(
        "**aiotokengate**, `.bursts(0.8)`", "ours", "OursBursts", "aiotokengate"
    ),
    "ours await uvloop": Client(
        "**aiotokengate**, `await`, on uvloop", "ours", "OursAwait", "aiotokengate", uvloop=True
    ),
    "hand": Client("aiohttp, `async for line`, `json`", "handwritten", "Handwritten", "aiohttp"),
    "httpx-sse": Client(
        "httpx-sse, `json`", "httpx_sse_json", "HttpxSse", "httpx_sse", "httpx-sse"
    ),
    "anthropic aiohttp": Client(
        "anthropic, aiohttp transport",
        "anthropic_python",
        "AnthropicAiohttp",
        "anthropic",
        "anthropic",
    ),
    "anthropic": Client("anthropic", "anthropic_python", "Anthropic", "anthropic", "anthropic"),
    "openai aiohttp": Client(
        "openai-python, aiohttp transport", "openai_python", "OpenAIAiohttp", "openai", "openai"
    ),
    "openai": Client("openai-python", "openai_python", "OpenAI", "openai", "openai"),
    "langchain": Client(
        "langchain-openai", "langchain", "LangChain", "langchain_openai", "langchain-openai"
    ),
    "pydantic-ai": Client(
        "pydantic-ai", "pydantic", "PydanticAI", "pydantic_ai", "pydantic-ai-slim"
    ),
    "litellm": Client("LiteLLM", "lite", "LiteLLM", "litellm", "litellm", own=True),
}
