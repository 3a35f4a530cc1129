"""Every example of the documentation is run, against the fake gateway.

One document is one test, so that its blocks share their names and their event loop, as if a
reader had typed them one after the other:

- ``python`` blocks are run as they stand, ``await`` at the top level included. A block that
  defines tests is handed to pytest.
- ``console`` and ``shell`` blocks: each line that calls ``aiotokengate`` has to exit with 0.
- A block right after ``<!-- not run: the reason -->`` is left out.
"""

import ast
import asyncio
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from types import CodeType

import pytest
from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser

from aiotokengate.testing import FakeGateway, JobPlan

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
IDS = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]

FENCE = re.compile(r"^[ >]*(?:```+|~~~+)[ ]*([^`\s]+)", re.MULTILINE)
RUN = {"python", "console", "shell"}
SHOWN = {"css", "diff", "html", "http", "ini", "javascript", "json", "text", "toml", "yaml"}

NOT_RUN = re.compile(r"<!-- not run: \S[^>]*-->\s*\Z")
DEFINES_TESTS = re.compile(r"^(?:async )?def test_", re.MULTILINE)
PROGRAM = r"(?:aiotokengate|python -m aiotokengate)\b"
FED = r"(?:\w+=\S* )*(?:(?:echo|printf) [^|]*\| *)?"
COMMAND = re.compile(rf"^\$ ({FED}{PROGRAM}.*)$")
SECONDS = 120


class Reader:
    """Somebody who tries out every example of a document, in order."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.runner = runner

    def read(self, path: Path) -> int:
        """Try the examples; return their number."""
        python = CodeBlockParser("python", self.try_python)
        others = [CodeBlockParser(name, self.try_commands) for name in ("console", "shell")]
        document = Document.parse(str(path), python, *others)
        document.namespace["__name__"] = "__main__"
        examples = [each for each in document.examples() if not left_out(each)]
        for example in examples:
            example.evaluate()
        return len(examples)

    def try_python(self, example: Example) -> None:
        if DEFINES_TESTS.search(example.parsed):
            try_tests(example.parsed)
            return
        # Code that awaits gives a coroutine; any other has run when eval returns.
        result = eval(compiled(example), example.namespace)  # noqa: S307 - our own documents
        if inspect.iscoroutine(result):
            self.runner.run(result)

    def try_commands(self, example: Example) -> None:
        for line in example.parsed.replace("\\\n", "").splitlines():
            if found := COMMAND.match(line):
                run("sh", "-c", found[1])


def left_out(example: Example) -> bool:
    return NOT_RUN.search(example.document.text[: example.start]) is not None


def compiled(example: Example) -> CodeType:
    """Compile a block so that tracebacks show its place in the document."""
    source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code: CodeType = compile(source, example.path, "exec", flags, dont_inherit=True)
    return code


def try_tests(source: str) -> None:
    file = Path("test_example.py")
    file.write_text(source, "utf-8")
    scope = "asyncio_default_fixture_loop_scope=function"
    options = ["-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "-o", scope]
    run(sys.executable, "-m", "pytest", *options, str(file))


def run(*command: str) -> None:
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stdout}"


def read(text: str) -> int:
    """Read a document that isn't one of ours, to see that the reader notices."""
    path = Path("document.md")
    path.write_text(text, "utf-8")
    with asyncio.Runner() as runner:
        return Reader(runner).read(path)


@pytest.fixture(autouse=True)
def desk(fake_gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Put the reader in an empty directory, with key and address set; jobs are soon done."""
    fake_gateway.jobs.plan = JobPlan(polls=1)
    monkeypatch.setenv("TOKENGATE_API_KEY", fake_gateway.api_key)
    monkeypatch.setenv("TOKENGATE_BASE_URL", fake_gateway.base_url)
    for proxies in ("HTTP_PROXY", "NO_PROXY"):  # which an example sets
        monkeypatch.setenv(proxies, "")
    programs = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)


@pytest.mark.unmeasured
@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_every_example_of_a_document_works(path: Path) -> None:
    """A reader who types what a document shows gets what it promises."""
    with asyncio.Runner() as runner:
        Reader(runner).read(path)


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_every_block_says_in_a_known_way_what_it_is(path: Path) -> None:
    """No example escapes the reader because its block is named in another way."""
    names = set(FENCE.findall(path.read_text("utf-8")))
    directives = {name for name in names if name.startswith("{")} - {"{code-block}", "{code}"}
    assert names <= RUN | SHOWN | directives


def test_blocks_share_names_and_event_loop() -> None:
    """A block goes on where the last one ended, also with what belongs to an event loop."""
    first = (
        "from asyncio import get_running_loop, sleep\nawait sleep(0)\nloop = get_running_loop()"
    )
    second = "word = '你好 😀'\nawait sleep(0)\nassert loop is get_running_loop()"
    assert read(f"```python\n{first}\n```\n\n```python\n{second}\n```\n") == 2


def test_a_wrong_block_is_noticed_at_its_line() -> None:
    """An example that fails fails the test, and says where it stands."""
    with pytest.raises(AssertionError) as caught:
        read("# 你好\n\n```python\nassert 1 == 2\n```\n")
    assert caught.traceback[-1].lineno == 3
    assert Path(caught.traceback[-1].path).name == "document.md"


def test_a_block_of_tests_is_run_by_pytest() -> None:
    """The fixtures that the package brings work in it, and a failing test is noticed."""
    passing = "async def test_it(fake_gateway):\n    assert fake_gateway.base_url\n"
    assert read(f"```python\n{passing}```\n") == 1
    with pytest.raises(AssertionError, match="1 failed"):
        read("```python\ndef test_it():\n    assert not 1\n```\n")


@pytest.mark.parametrize("command", ["aiotokengate", "echo 你好 | python -m aiotokengate"])
def test_a_wrong_command_is_noticed(command: str) -> None:
    """A command that fails fails the test."""
    with pytest.raises(AssertionError, match="exited with 2"):
        read(f"```console\n$ ls /nowhere\n$ {command} --no-such-option\n```\n")


def test_a_block_with_a_reason_is_left_out() -> None:
    """The comment has to stand right before the block, and to give a reason."""
    block = "```python\nassert 1 == 2\n```\n"
    assert read(f"<!-- not run: it is wrong on purpose -->\n\n{block}") == 0
    with pytest.raises(AssertionError):
        read(f"<!-- not run: -->\n{block}")
    with pytest.raises(AssertionError):
        read(f"<!-- not run: it is wrong on purpose -->\nBut 你好.\n{block}")
