"""The error tree: what it is, how it is shown, that it travels, and that it keeps secrets."""

import copy
import inspect
import json
import pickle
import re
from collections.abc import Callable

import orjson
import pytest
from multidict import CIMultiDict

from aiotokengate import errors
from aiotokengate._wire.problems import status_error
from aiotokengate.errors import (
    AuthenticationFailed,
    BadRequest,
    CallerError,
    ConnectFailed,
    ContentFiltered,
    ContextLengthExceeded,
    JobFailed,
    ModelNotFound,
    Overloaded,
    PermissionDenied,
    QueueFull,
    QuotaExhausted,
    RateLimited,
    ResponseInvalid,
    ServerFailed,
    StatusError,
    StreamInterrupted,
    TimedOut,
    TokenGateError,
    TransportError,
    Unanswered,
    WireError,
)
from aiotokengate.types import Attempt, Choice, Reply

PARENTS: dict[type[TokenGateError], type[TokenGateError]] = {
    StatusError: TokenGateError,
    RateLimited: StatusError,
    QuotaExhausted: StatusError,
    AuthenticationFailed: StatusError,
    PermissionDenied: StatusError,
    ModelNotFound: StatusError,
    ContextLengthExceeded: StatusError,
    ContentFiltered: StatusError,
    BadRequest: StatusError,
    Overloaded: StatusError,
    ServerFailed: StatusError,
    TransportError: TokenGateError,
    ConnectFailed: TransportError,
    Unanswered: TransportError,
    TimedOut: TransportError,
    StreamInterrupted: TokenGateError,
    ResponseInvalid: TokenGateError,
    JobFailed: TokenGateError,
    QueueFull: TokenGateError,
    WireError: TokenGateError,
    CallerError: TokenGateError,
}
PARTIAL = Reply(choices=(Choice(answer="半句"),), request_id="r9")


# --- the tree -----------------------------------------------------------------------------------


def test_the_tree() -> None:
    """Every error has its place, and there are no others."""
    assert {kind: kind.__bases__[0] for kind in PARENTS} == PARENTS
    kinds = {kind for kind in vars(errors).values() if inspect.isclass(kind)}
    assert {kind for kind in kinds if issubclass(kind, Exception)} == {TokenGateError, *PARENTS}


def test_the_tree_is_drawn() -> None:
    """Every error stands in the picture at the head of its module, in its place."""
    drawn = re.findall(r"─ (\w+)", errors.__doc__ or "")
    assert drawn == [kind.__name__ for kind in PARENTS]
    assert sorted(errors.__all__) == sorted([*drawn, "TokenGateError"])


def test_builtin_errors() -> None:
    """Code that knows nothing of us catches timeouts and lost connections all the same."""
    assert issubclass(TimedOut, TimeoutError)
    assert issubclass(ConnectFailed, ConnectionError)
    assert issubclass(Unanswered, ConnectionError)
    assert not issubclass(Unanswered, ConnectFailed)


RETRIED = {
    RateLimited,
    Overloaded,
    ServerFailed,
    TransportError,
    ConnectFailed,
    Unanswered,
    StreamInterrupted,
}


@pytest.mark.parametrize("kind", [kind for kind in PARENTS if kind is not TimedOut])
def test_what_may_succeed_later(kind: type[TokenGateError]) -> None:
    """The class says whether another attempt makes sense."""
    assert kind.retryable is (kind in RETRIED)


@pytest.mark.parametrize("phase", ["connect", "first_event", "stall", "total", "deadline"])
def test_which_clock_may_run_again(phase: errors.Phase) -> None:
    """Only the connection is tried anew."""
    assert TimedOut(phase, 1).retryable is (phase == "connect")


# --- how it is shown ----------------------------------------------------------------------------


def attempted(error: TokenGateError, times: int) -> TokenGateError:
    error.attempts = (Attempt("m", 0.0, 0.1, error="Overloaded"),) * times
    return error


SHOWN: dict[str, tuple[TokenGateError, str]] = {
    "a message": (WireError("expected JSON"), "expected JSON"),
    "a status": (BadRequest("bad n", status=400), "bad n (status 400)"),
    "all that is known": (
        attempted(ServerFailed("busy", status=502, code="x", request_id="r1"), 3),
        "busy (status 502, code x, request id r1, attempts 3)",
    ),
    "one attempt is not worth a word": (attempted(ServerFailed("busy"), 1), "busy"),
    "an own hint": (
        CallerError("no key", hint="hint: a\n提示：b"),
        "no key\n  hint: a\n  提示：b",
    ),
    "a hint in two languages": (
        AuthenticationFailed("wrong key", status=401),
        """wrong key (status 401)
  hint: check TOKENGATE_API_KEY or TokenGate(api_key=...)
  提示：请检查环境变量 TOKENGATE_API_KEY 或参数 TokenGate(api_key=...)""",
    ),
    "connect": (TimedOut("connect", 10), "no connection within 10 s"),
    "first event": (TimedOut("first_event", 300), "connected, but no content came within 300 s"),
    "stall": (TimedOut("stall", 2.5), "no content came for 2.5 s"),
    "total": (TimedOut("total", 60), "the reply took longer than 60 s"),
    "deadline": (TimedOut("deadline", 60), "the deadline of 60 s passed"),
    "an interruption": (
        StreamInterrupted("the stream ended", partial=PARTIAL),
        "the stream ended (request id r9)",
    ),
    "an interruption with a cause": (
        StreamInterrupted("cut", partial=PARTIAL, cause=Overloaded("m", status=503, code="c")),
        "cut (status 503, code c, request id r9)",
    ),
}


@pytest.mark.parametrize("case", SHOWN)
def test_how_an_error_is_shown(case: str) -> None:
    """The message, what identifies the failure, and what to do about it."""
    error, text = SHOWN[case]
    assert str(error) == text
    assert repr(error) == f"{type(error).__name__}({error.message!r})"
    assert error.args == (error.message,)


@pytest.mark.parametrize("kind", PARENTS)
def test_hints_are_in_two_languages(kind: type[TokenGateError]) -> None:
    """Whoever gets a hint can read it."""
    hint = kind.default_hint
    assert hint is None or (hint.startswith("hint: ") and "\n提示：" in hint)


def test_an_interruption_says_what_its_cause_says() -> None:
    """Nobody has to dig for the status, and the cause is where Python shows it."""
    cause = RateLimited("slow down", status=429, code="limit", request_id="r1")
    error = StreamInterrupted("cut", partial=PARTIAL, cause=cause)
    assert (error.status, error.code, error.request_id) == (429, "limit", "r1")
    assert error.hint == cause.hint
    assert error.__cause__ is cause
    assert error.partial is PARTIAL


def test_a_job_that_failed_says_which_and_how() -> None:
    """The job is named as the gateway takes it, and its state in the gateway's own word."""
    error = JobFailed("no faces", code="moderation", job="task_7", word="FAILURE")
    assert (error.code, error.job, error.word) == ("moderation", "task_7", "FAILURE")
    assert str(error).startswith("no faces (code moderation)\n  hint: a job that failed")
    assert JobFailed("broken").job == ""


# --- that it travels ----------------------------------------------------------------------------


def every_error() -> list[TokenGateError]:
    plain = [
        kind("坏了", status=500, code="c", request_id="r", hint="h")
        for kind in (WireError, ConnectFailed)
    ]
    status = RateLimited("m", status=429, type="t", body="b", retry_after=3.0, retryable=False)
    late = TimedOut("stall", 2.5)
    cut = StreamInterrupted("cut", partial=PARTIAL, cause=status)
    return [attempted(error, 2) for error in (*plain, status, late, cut)]


@pytest.mark.parametrize("error", every_error(), ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("way", ["pickle", "copy", "deepcopy"])
def test_errors_travel(error: TokenGateError, way: str) -> None:
    """An error that crosses to another process, or is copied, is the same one."""
    ways: dict[str, Callable[[], TokenGateError]] = {
        "pickle": lambda: pickle.loads(pickle.dumps(error)),
        "copy": lambda: copy.copy(error),
        "deepcopy": lambda: copy.deepcopy(error),
    }
    again = ways[way]()
    assert type(again) is type(error)
    assert (str(again), repr(again), again.args) == (str(error), repr(error), error.args)
    assert again.attempts == error.attempts
    assert again.retryable == error.retryable
    facts, others = vars(again), vars(error)
    assert {name: str(facts[name]) for name in facts} == {
        name: str(others[name]) for name in others
    }


def test_the_cause_travels_with_an_interruption() -> None:
    """In another process it is still known why the stream was cut."""
    error = every_error()[-1]
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again.__cause__, RateLimited)
    assert (again.__cause__.retry_after, again.__cause__.body) == (3.0, "b")
    assert again.partial == PARTIAL


# --- that it keeps secrets ----------------------------------------------------------------------

KEY = "not-like-others-0123456789"
PROMPT = "这是一个秘密的提示 secret"


def shown(error: TokenGateError) -> str:
    """Return everything of an error that may end up in a log."""
    facts = " ".join(str(value) for value in vars(error).values())
    return f"{error!s} {error!r} {error.args} {facts}"


def test_what_a_peer_echoes_is_blanked() -> None:
    """The key and the prompt are blanked wherever they may stand."""
    error = StatusError(f"bad: {PROMPT}", code=KEY, body=f"{KEY} said {PROMPT}", type="t")
    error.redact([KEY, PROMPT])
    assert PROMPT not in shown(error)
    assert KEY not in shown(error)
    assert (error.message, error.code, error.body) == ("bad: […]", "[…]", "[…] said […]")


def test_the_longest_secret_goes_first() -> None:
    """A message that quotes another one leaves nothing of either."""
    error = StatusError("bad: 今天天气怎么样，北京")
    error.redact(["今天天气", "今天天气怎么样，北京"])
    assert error.message == "bad: […]"


def test_short_texts_are_left() -> None:
    """Blanking every ``hi`` would garble the message, and tells nobody anything."""
    error = StatusError("this is it", body="hi")
    error.redact(["hi", "is", "it", ""])
    assert (error.message, error.body) == ("this is it", "hi")


def test_the_causes_are_blanked_too() -> None:
    """Python shows them with the error."""
    cause = ServerFailed(f"bad: {PROMPT}")
    error = StreamInterrupted(f"cut: {cause.message}", partial=PARTIAL, cause=cause)
    error.redact([PROMPT])
    assert (error.message, cause.message) == ("cut: bad: […]", "bad: […]")


ECHOED = {
    "one line": PROMPT,
    "two lines": "第一行的秘密\n第二行的秘密",
    "many spaces": "很多  空格    的秘密",
    "quotes": '他说"秘密"就走了',
    "very long": "一个很长的秘密提示，" * 90,
    "longer than the body": "一个很长的秘密提示，" * 900,
}


@pytest.mark.parametrize("ascii_only", [True, False], ids=["escaped", "UTF-8"])
@pytest.mark.parametrize("name", ECHOED)
def test_an_echoed_prompt_is_blanked_however_it_is_written(name: str, ascii_only: bool) -> None:
    """A body that quotes the prompt, in whatever form, shows none of it."""
    prompt = ECHOED[name]
    quoted = {"error": {"message": f"bad input: {prompt} (end)", "code": "x"}}
    body = json.dumps(quoted, ensure_ascii=ascii_only).encode()
    error = status_error(400, body, CIMultiDict())
    error.redact([prompt])
    everything = shown(error)
    assert "bad input" in everything
    assert "秘密" not in everything
    assert json.dumps("秘密")[1:-1] not in everything


def test_a_partial_reply_is_not_shown() -> None:
    """What the model said so far is in ``partial`` and nowhere in the text."""
    error = StreamInterrupted("cut", partial=PARTIAL)
    assert "半句" not in f"{error} {error!r}"
    assert orjson.dumps(str(error))
