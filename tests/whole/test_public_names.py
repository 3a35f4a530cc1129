"""The public line: every name that programs rely on has its place, and nothing else is public."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import aiotokengate

PACKAGE = Path(aiotokengate.__file__).parent

# What programs rely on, by the module that they import it from.
CONTRACT = {
    "aiotokengate": (
        "AnswerDelta AuthenticationFailed BadRequest CallerError ChatCall ChatStream ChoiceView "
        "CitationDelta CommentaryDelta ConnectFailed ContentFiltered ContextLengthExceeded "
        "Conversation Endpoint FinishDelta JobFailed Limits MediaDelta Message ModelNotFound "
        "Outcome Overloaded PermissionDenied Phase Pool QueueFull QuotaExhausted RateLimited "
        "RawCall ReasoningDelta RefusalDelta Reply ResponseInvalid Retry ServerFailed "
        "StatusError StreamInterrupted TextStream TimedOut Timeout TokenGate TokenGateError "
        "ToolCall ToolCallDelta TransportError Unanswered UnknownDelta Usage UsageDelta "
        "WireError"
    ),
    "aiotokengate.catalogue": "CATALOGUE Catalogue Model ModelInfo ProtocolName",
    "aiotokengate.clock": "Clock RealClock Timer",
    "aiotokengate.errors": (
        "AuthenticationFailed BadRequest CallerError ConnectFailed ContentFiltered "
        "ContextLengthExceeded JobFailed ModelNotFound Overloaded PermissionDenied QueueFull "
        "QuotaExhausted RateLimited ResponseInvalid ServerFailed StatusError StreamInterrupted "
        "TimedOut TokenGateError TransportError Unanswered WireError"
    ),
    "aiotokengate.hooks": (
        "FirstDelta Hook HookEvent Queued RequestFinished RequestStarted RetryScheduled"
    ),
    "aiotokengate.jobs": (
        "Clip Job JobFile JobReport JobResult JobState JobStatus JobSystem Music MusicDialect "
        "SongParams VideoDialect VideoParams Videos"
    ),
    "aiotokengate.media": (
        "Audio CallOptions Download EmbeddingInput EmbeddingParams Embeddings Face FilePart "
        "Form Image ImageCall ImageParams Images ImagesMaker Method RawCall Segment Sketch "
        "Source SpeechCall SpeechParams Split TranscriptFormat TranscriptParams Transcription "
        "TranscriptionCall Word"
    ),
    "aiotokengate.pool": (
        "Backend BackendLane Because Charge Kind LaneStatistics Limits LocalBackend LocalLane "
        "Mark Monitor Outcomes Place Pool PoolStatistics Priority Remaining Slot Stage Ticket "
        "Waiting"
    ),
    "aiotokengate.redis": "RedisBackend statistics",
    "aiotokengate.sse": "MAX_EVENT_BYTES SSEDecoder ServerSentEvent",
    "aiotokengate.testing": (
        "Call Decision Enforcer Exchange FakeGateway FakeJob Gate GatewayRequest JobBoard "
        "JobPlan KeepAlive Pace Pause Permit RateLimit Raw Recorder Recording Script "
        "ScriptedBody ScriptedReply Signal Step Text Thought Verdict VirtualClock faults"
    ),
    "aiotokengate.tools": (
        "RunOptions Tool ToolCalls ToolOutcome ToolRun Tools TurnOptions tool_of"
    ),
    "aiotokengate.types": (
        "AnswerDelta ApiKey Attempt ChatParams Choice Citation CitationDelta CommentaryDelta "
        "Delta FinishDelta Json Media MediaDelta Message Messages Outcome Reasoning "
        "ReasoningDelta RefusalDelta Reply ResponseType Status Timeline ToolCall ToolCallDelta "
        "TypeForm UnknownDelta Usage UsageDelta"
    ),
}
NAMES = [(module, name) for module, names in CONTRACT.items() for name in names.split()]
FACES = ("jobs", "media", "pool", "redis", "sse", "tools")
VALUES = ("catalogue", "clock", "errors", "hooks", "types")

# What is public beside the modules of the contract: the program, and the faults.
OTHERS = {"__init__", "__main__", "py.typed", "testing", "wire"}

PROGRAMS = sorted(path.stem for path in Path(__file__).parent.parent.glob("typing/[a-z]*.py"))

MOST_NAMES = 55
MOST_LINES = 60


def all_of(module: str) -> list[str]:
    names: list[str] = importlib.import_module(module).__all__
    return names


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_a_name_of_the_contract_has_its_place(module: str, name: str) -> None:
    """It is imported from where the documentation says, and listed there."""
    assert getattr(importlib.import_module(module), name) is not None
    assert name in all_of(module)


@pytest.mark.parametrize("module", CONTRACT)
def test_what_a_module_lists_is_sorted_and_there(module: str) -> None:
    """``__all__`` is in order, and a star import finds every name of it."""
    names = all_of(module)
    assert names == sorted(set(names))
    found: dict[str, object] = {}
    exec(f"from {module} import *", found)  # noqa: S102 - the way that nothing else takes
    assert set(names) <= found.keys()


@pytest.mark.parametrize("module", ["aiotokengate", "aiotokengate.testing"])
def test_names_that_come_late_are_seen(module: str) -> None:
    """``dir()`` shows them before they were asked for, and one that isn't there is an error."""
    loaded = importlib.import_module(module)
    assert set(all_of(module)) <= set(dir(loaded))
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'NoSuchName'"):
        _ = loaded.NoSuchName


@pytest.mark.parametrize("name", ["Conversation", "RawCall"])
def test_a_name_comes_late_to_those_who_want_it(name: str) -> None:
    """A program that never names it does not wait for its module."""
    command = (
        "import sys, aiotokengate; before = set(sys.modules); "
        f"home = aiotokengate.{name}.__module__; print(home in before, home in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", command], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["False", "True"]


def test_the_names_at_the_top_are_few() -> None:
    """A newcomer can read them all."""
    assert len(aiotokengate.__all__) <= MOST_NAMES


@pytest.mark.parametrize("face", FACES)
def test_a_face_holds_nothing_but_imports(face: str) -> None:
    """It says where names are, on a page, and does nothing."""
    text = (PACKAGE / f"{face}.py").read_text("utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    assert len(text.splitlines()) <= MOST_LINES
    docstring, *imports, listed = tree.body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(listed, ast.Assign)
    guarded = face == "redis"  # which says in one sentence what is missing
    kinds = (ast.ImportFrom, ast.Try) if guarded else (ast.ImportFrom,)
    assert [each for each in imports if not isinstance(each, kinds)] == []


@pytest.mark.parametrize("face", FACES)
def test_a_face_lists_all_that_it_shows(face: str) -> None:
    """No name is there by accident."""
    module = importlib.import_module(f"aiotokengate.{face}")
    shown = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert shown == set(module.__all__)


def test_everything_else_begins_with_an_underscore() -> None:
    """What is not public says so by its name."""
    public = {each.stem if each.suffix == ".py" else each.name for each in PACKAGE.iterdir()}
    public = {name for name in public if not name.startswith("_") or name.endswith("__")}
    assert public - {"__pycache__"} == {*FACES, *VALUES, *OTHERS}
    inside = {
        path.relative_to(PACKAGE).as_posix()
        for room in ("testing", "wire")
        for path in (PACKAGE / room).iterdir()
        if not path.name.startswith("_")
    }
    assert inside == {"testing/faults.py", "wire/sse.py"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_type_checkers_read_is_there_at_run_time(program: str) -> None:
    """The programs of tests/typing find every name that they import."""
    assert importlib.import_module(f"tests.typing.{program}").__doc__


def test_the_old_path_of_the_decoder_warns_and_is_the_same() -> None:
    """Programs of before go on, and are told where the decoder is now."""
    sse = importlib.import_module("aiotokengate.sse")
    sys.modules.pop("aiotokengate.wire.sse", None)
    with pytest.warns(DeprecationWarning, match="aiotokengate.wire.sse is aiotokengate.sse now"):
        old = importlib.import_module("aiotokengate.wire.sse")
    assert {name: getattr(old, name) for name in sse.__all__} == {
        name: getattr(sse, name) for name in sse.__all__
    }


def test_the_warning_of_the_old_path_names_the_importing_line(tmp_path: Path) -> None:
    """It points at the program's own line, and not at the machinery of imports."""
    program = tmp_path / "old.py"
    program.write_text("\nfrom aiotokengate.wire.sse import SSEDecoder\n", "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "always", program], check=True, capture_output=True, text=True
    )
    assert "old.py:2: DeprecationWarning" in done.stderr
