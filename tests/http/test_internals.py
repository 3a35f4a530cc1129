"""An aiohttp whose insides have other names, or another version, is used in its own way."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import aiotokengate
from aiotokengate._http import internals

PACKAGE = Path(aiotokengate.__file__).parent
PROGRAM = "tests.programs.renamed_aiohttp"

NAMES = [
    *("_buffer", "_eof", "_exception", "_http_chunk_splits", "_loop", "_protocol", "_size"),
    *("_waiter", "_reading_paused", "read_nowait", "_parser", "_retry_connection", "should_close"),
    *("set_response_params", "feed_eof", "connection_key"),
    *("ResponseHandler", "Connection", "HttpResponseParser", "RawResponseMessage"),
    *("HttpProcessingError", "ContentEncodingError", "PayloadEncodingError"),
    *("ContentLengthError", "CONTENT_LENGTH", "max_headers", "max_field_size"),
]
"""What is used of aiohttp's insides, and some of what it promises."""


def test_each_private_name_that_is_used_is_renamed_here() -> None:
    """Whatever of another's is reached past its public names stands in the list above."""
    used: set[str] = set()
    for module in ("direct", "feeds", "connections", "connectors", "transport", "failures"):
        tree = ast.parse((PACKAGE / "_http" / f"{module}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) != "self":
                used.add(node.attr)
    private = {name for name in used if name.startswith("_") and not name.startswith("__")}
    assert private - {"_ssl_protocol"} <= {*NAMES}  # that one is asyncio's, and looked for


@pytest.mark.parametrize(
    ("name", "version"), [*((name, "") for name in NAMES), ("no_such_name", "4.0.0")]
)
def test_what_has_another_name_is_not_used(name: str, version: str) -> None:
    """Chats, uploads, streams that are left and connections that die go as they should."""
    done = subprocess.run(
        [sys.executable, "-m", PROGRAM, name, version],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("module", ["http_parser", "no_such_module"])
def test_a_stand_in_has_nothing_and_is_never_raised(module: str) -> None:
    """Whoever catches it catches nothing, and whoever asks for its names finds none."""
    found = internals._found(module, "NoSuchName")
    assert found is internals.Missing
    assert issubclass(found, Exception)
    assert not hasattr(found, "feed_eof")
