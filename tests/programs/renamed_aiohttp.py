"""A program: use the library on an aiohttp in which a name is another, or the version is.

``python renamed_aiohttp.py NAME VERSION`` fails, or says something, where a user would be hurt.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.machinery
import os
import re
import sys
from types import CodeType, ModuleType

from tests.support.raw_server import Wire, chat, plain, serving

LONG = "好😊" * 50_000
STREAM = "".join(
    f'data: {{"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}\n\n' for text in "一二三"
)


class Renamed(importlib.machinery.SourceFileLoader):
    """Reads a module of aiohttp with what the command line says in place of what stands there."""

    def get_code(self, fullname: str) -> CodeType | None:
        name, version = sys.argv[1:]
        text = self.get_data(self.path).decode()
        text, renamed = re.subn(rf"\b{name}\b", f"{name}_of_the_next", text)
        if not renamed and not version:  # as it stands, and compiled long ago
            return super().get_code(fullname)
        if fullname == "aiohttp" and version:
            text = re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', text)
        return compile(text, self.path, "exec")


class Finder:
    """Has the modules of aiohttp read that way."""

    @staticmethod
    def find_spec(
        fullname: str, path: list[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] != "aiohttp":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
            spec.loader = Renamed(spec.loader.name, spec.loader.path)
        return spec


async def answer(wire: Wire) -> bytes | None:
    """Answer by what is asked for."""
    if "/audio/" in wire.head:
        return plain('{"text": "听写"}'.encode())
    if "/models" in wire.head:
        wire.reset()
        return None
    if "X-Left" in wire.head:  # a stream that does not end
        size = len(STREAM.encode())
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked"
        return f"{head}\r\n\r\n{size:x}\r\n{STREAM}\r\n".encode()
    return chat(LONG if "X-Long" in wire.head else "好😊")


async def calls() -> None:
    """Make calls of each kind."""
    from aiotokengate import Retry, TokenGate, Unanswered
    from aiotokengate._http import direct

    noise: list[str] = []
    sys.unraisablehook = lambda told: noise.append(repr(told.exc_value))
    asyncio.get_running_loop().set_exception_handler(lambda _, told: noise.append(repr(told)))
    async with serving(answer) as server:
        address = f"{server.root}/v1"
        once = Retry(attempts=1)
        async with TokenGate(api_key="sk-x", base_url=address, proxy="", retry=once) as gate:
            for stream in (True, False, True):
                assert (await gate.chat("m", "嗨", stream=stream)).answer == "好😊"
            long = await gate.chat("m", "嗨", extra_headers={"X-Long": "1"})
            assert long.answer == LONG
            assert (await gate.audio.transcribe("whisper-1", b"RIFF" * 500)).text == "听写"
            async for _ in gate.chat("m", "嗨", extra_headers={"X-Left": "1"}):
                break
            with contextlib.suppress(Unanswered):
                await gate.models()
            assert (await gate.chat("m", "嗨")).answer == "好😊"
        del gate
        gc.collect()
    assert not noise, noise
    if sys.argv[2]:
        assert not direct.is_known()
        assert not direct._BUFFER_KNOWN


if __name__ == "__main__":
    os.environ["AIOHTTP_NO_EXTENSIONS"] = "1"
    sys.meta_path.insert(0, Finder)  # type: ignore[arg-type]
    asyncio.run(calls())
