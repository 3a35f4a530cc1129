"""Every error that the library raises, as one tree.

::

    TokenGateError
    ├── StatusError                 the gateway answered, and said no
    │   ├── RateLimited             too many requests or tokens for now; retried
    │   ├── QuotaExhausted          the account's money or allowance is gone; never retried
    │   ├── AuthenticationFailed    the key is missing, wrong, expired or switched off
    │   ├── PermissionDenied        the key is good, but not for this
    │   ├── ModelNotFound           no such model, or none for this key's group
    │   ├── ContextLengthExceeded   the prompt does not fit into the model
    │   ├── ContentFiltered         the prompt or the answer was refused as content
    │   ├── BadRequest              the request is malformed in the gateway's eyes
    │   ├── Overloaded              no room right now (503, 529, full queue); retried
    │   └── ServerFailed            the gateway or a vendor broke (500, 502, 504 ...); retried
    ├── TransportError              the network broke before an answer; retried
    │   ├── ConnectFailed           no connection; certainly nothing was sent
    │   ├── Unanswered              the request had left and got no answer: perhaps it was begun
    │   └── TimedOut                a clock ran out; ``.phase`` says which
    ├── StreamInterrupted           an answer began and did not finish; ``.partial`` has what came
    ├── ResponseInvalid             a whole answer that does not fit the type asked for
    ├── JobFailed                   a video or a song was begun, and could not be made
    ├── QueueFull                   too many calls wait in the pool already; nothing was sent
    ├── WireError                   the peer sent what is not the protocol
    └── CallerError                 the call itself is wrong; nothing was sent

``TimedOut`` is also a builtin :class:`TimeoutError`; ``ConnectFailed`` and ``Unanswered`` are each
also a :class:`ConnectionError`.
Once a delta was handed out, the error is always :class:`StreamInterrupted`, its cause being
``__cause__``.  No error ever holds an API key or a prompt.
"""

from __future__ import annotations

from functools import wraps
from inspect import iscoroutinefunction
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from aiotokengate.types import Attempt, Reply

__all__ = [
    "AuthenticationFailed",
    "BadRequest",
    "CallerError",
    "ConnectFailed",
    "ContentFiltered",
    "ContextLengthExceeded",
    "JobFailed",
    "ModelNotFound",
    "Overloaded",
    "PermissionDenied",
    "QueueFull",
    "QuotaExhausted",
    "RateLimited",
    "ResponseInvalid",
    "ServerFailed",
    "StatusError",
    "StreamInterrupted",
    "TimedOut",
    "TokenGateError",
    "TransportError",
    "Unanswered",
    "WireError",
]

_F = TypeVar("_F", bound="Callable[..., Any]")
_C = TypeVar("_C", bound=type)

Phase = Literal["connect", "first_event", "stall", "total", "deadline"]


class TokenGateError(Exception):
    """Base of all errors of this library.

    Attributes:
        message: what happened, in one line, without key or prompt.
        status: the HTTP status, or the one that an error inside a 200 answer names; None where
            nobody named one.
        code: the gateway's or vendor's own error code, as a string.
        request_id: what to quote to the operator of the gateway.
        attempts: every attempt made, the last being the one that failed.
        hint: what to do about it, in English and 简体中文, or None.
    """

    retryable: bool = False
    useless_answer: bool = False
    """Whether the model answered, with nothing that is of use; see ``Retry(empty=True)``."""
    default_hint: ClassVar[str | None] = None

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Keep what is known; ``attempts`` is filled in by the session."""
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.request_id = request_id
        self.attempts: tuple[Attempt, ...] = ()
        self.hint = hint or self.default_hint

    def __str__(self) -> str:
        """Render the message, what identifies the failure, and the hint."""
        known = {
            "status": self.status,
            "code": self.code,
            "request id": self.request_id,
            "attempts": len(self.attempts) if len(self.attempts) > 1 else None,
        }
        facts = ", ".join(f"{name} {value}" for name, value in known.items() if value is not None)
        lines = [f"{self.message} ({facts})" if facts else self.message]
        if self.hint:
            lines += [f"  {line}" for line in self.hint.splitlines()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Name the class and the message only."""
        return f"{type(self).__name__}({self.message!r})"

    def redact(self, secrets: Iterable[str]) -> None:
        """Blank what a peer echoed of each secret (the key, the prompt), in whatever form.

        In every text of this error and of those that it came of; one of another library that
        echoes something is dropped, and so is one that ``raise ... from None`` hides.
        """
        chain = _chain(self)
        texts = [text for error in chain for text in _texts_of(error)]
        from aiotokengate.redaction import blanked  # noqa: PLC0415 - for errors only

        rest = iter(blanked(texts, secrets))
        foul = {id(error) for error in chain if not _take(error, rest)}
        for error in chain:
            _unlink(error, foul)


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error and those that it came of, each once."""
    found: dict[int, BaseException] = {}
    rest: list[BaseException | None] = [error]
    while rest:
        one = rest.pop()
        if one is None or id(one) in found:
            continue
        found[id(one)] = one
        rest.append(one.__cause__)
        if one.__suppress_context__:
            one.__context__ = None
        rest.append(one.__context__)
    return list(found.values())


_OUR_OWN = ("hint", "phase")
"""Texts that the library wrote itself."""


def _fields(error: BaseException) -> dict[str, str]:
    fields = vars(error).items()
    return {name: text for name, text in fields if isinstance(text, str) and name not in _OUR_OWN}


def _texts_of(error: BaseException) -> list[str]:
    """Return each text of an error; of another library's all that could be shown."""
    notes = map(str, getattr(error, "__notes__", ()))
    if isinstance(error, TokenGateError):
        return [*_fields(error).values(), *notes]
    held = (*error.args, *vars(error).values())
    return [str(error), *(_shown(value) for value in held), *notes]


def _shown(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _take(error: BaseException, blanked: Iterator[str]) -> bool:
    """Take over the texts as they are now; say whether the error may stay."""
    before = _texts_of(error)
    after = [next(blanked) for _ in before]
    if not isinstance(error, TokenGateError):
        return before == after
    names = list(_fields(error))
    vars(error).update(zip(names, after, strict=False))
    if notes := after[len(names) :]:
        error.__notes__ = notes
    error.args = (error.message,)
    return True


def _unlink(error: BaseException, foul: set[int]) -> None:
    if id(error.__cause__) in foul:
        error.__cause__ = None
    if id(error.__context__) in foul:
        error.__context__ = None


class StatusError(TokenGateError):
    """The gateway answered with an error, by status or inside a 200 answer.

    Attributes:
        type: the error's ``type`` word as it came, or None.
        body: the error body as text, at most a few thousand characters, key and prompt blanked.
        retry_after: seconds the gateway asked to wait, or None.
        retryable: whether the same request may succeed later.
    """

    def __init__(  # noqa: PLR0913 - one keyword for each fact of an error body
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        hint: str | None = None,
        type: str | None = None,  # noqa: A002 - the wire's own word
        body: str = "",
        retry_after: float | None = None,
        retryable: bool | None = None,
    ) -> None:
        """Keep the error body beside the common facts."""
        super().__init__(message, status=status, code=code, request_id=request_id, hint=hint)
        self.type = type
        self.body = body
        self.retry_after = retry_after
        if retryable is not None:
            self.retryable = retryable


class RateLimited(StatusError):
    """Too many requests or tokens for now."""

    retryable = True
    default_hint = "hint: lower the concurrency, or try again later\n提示：请降低并发，或稍后再试"


class QuotaExhausted(StatusError):
    """The account's balance or allowance is used up; waiting a moment will not help."""

    default_hint = (
        "hint: top up the account or raise the key's quota\n提示：请充值或提高该 key 的额度"
    )


class AuthenticationFailed(StatusError):
    """The key is missing, unknown, expired or disabled."""

    default_hint = (
        "hint: check TOKENGATE_API_KEY or TokenGate(api_key=...)\n"
        "提示：请检查环境变量 TOKENGATE_API_KEY 或参数 TokenGate(api_key=...)"
    )


class PermissionDenied(StatusError):
    """The key is good, but not for this model, group or address."""

    default_hint = (
        "hint: ask the gateway's operator which models and addresses this key may use\n"
        "提示：请向网关管理员确认该 key 可用的模型与 IP 白名单"
    )


class ModelNotFound(StatusError):
    """No such model, or none that this key may use."""

    default_hint = (
        "hint: see `aiotokengate models` for the exact names\n"
        "提示：可用 `aiotokengate models` 查看准确的模型名"
    )


class ContextLengthExceeded(StatusError):
    """The prompt (with ``max_tokens``) does not fit into the model."""

    default_hint = (
        "hint: shorten the messages or lower max_tokens\n提示：请缩短消息或减小 max_tokens"
    )


class ContentFiltered(StatusError):
    """The prompt or the answer was refused as content."""

    default_hint = "hint: rephrase; sending it again gives the same\n提示：请修改内容，重发无效"


class BadRequest(StatusError):
    """The gateway or the vendor finds the request malformed."""


class Overloaded(StatusError):
    """No room right now: a full queue, 503 or 529."""

    retryable = True


class ServerFailed(StatusError):
    """The gateway, or a vendor behind it, broke."""

    retryable = True


class JobFailed(TokenGateError):
    """A job that the gateway had taken was not done; the message is the vendor's reason.

    Attributes:
        job: its id, as ``gate.job(id)`` takes it, "" if it never had one.
        word: the gateway's own word for its state, such as "FAILURE" or "canceled".
    """

    default_hint = (
        "hint: a job that failed is not tried again by itself; make a new one\n"
        "提示：失败的任务不会自动重试，请重新提交"
    )

    def __init__(
        self, message: str, *, code: str | None = None, job: str = "", word: str = ""
    ) -> None:
        """Keep what the gateway said of it."""
        super().__init__(message, code=code)
        self.job = job
        self.word = word


class QueueFull(TokenGateError):
    """As many calls wait in the pool as may (``Pool(max_waiting=...)``); nothing was sent."""

    default_hint = (
        "hint: make calls no faster than they are answered, as gate.map(...) does\n"
        "提示：请勿过快地发起调用，例如改用 gate.map(...)"
    )


class TransportError(TokenGateError):
    """The network broke before an answer began."""

    retryable = True


class ConnectFailed(TransportError, ConnectionError):
    """No connection could be made: the request certainly never left."""

    default_hint = (
        "hint: check the network, the proxy, and TOKENGATE_BASE_URL\n"
        "提示：请检查网络、代理与 TOKENGATE_BASE_URL"
    )


class Unanswered(TransportError, ConnectionError):
    """The request had left, and no answer came: what was asked for may have been begun.

    Attributes:
        reconnectable: whether it went on a kept connection that died before any byte of an
            answer, so that a fresh one may take its place.
    """

    reconnectable: bool = False
    default_hint = (
        "hint: it may have been done and paid for; look before you ask for the same again\n"
        "提示：请求可能已被执行并计费，重试前请先确认"
    )


class TimedOut(TransportError, TimeoutError):
    """A clock ran out.

    Attributes:
        phase: ``connect``, ``first_event`` (nothing came), ``stall`` (it came and stopped),
            ``total`` (one attempt) or ``deadline`` (the whole call).
        seconds: the limit that was reached.
    """

    def __init__(self, phase: Phase, seconds: float) -> None:
        """Say which clock ran out, and its limit."""
        super().__init__(_TIMEOUTS[phase].format(seconds=seconds))
        self.phase: Phase = phase
        self.seconds = seconds
        # A route that stays silent will be silent again: only the connection is tried anew.
        self.retryable = phase == "connect"

    def __reduce__(self) -> tuple[type[TimedOut], tuple[Phase, float], dict[str, object]]:
        """Pickle by phase and limit, the arguments of the constructor."""
        return type(self), (self.phase, self.seconds), self.__dict__


_TIMEOUTS: dict[Phase, str] = {
    "connect": "no connection within {seconds:g} s",
    "first_event": "connected, but no content came within {seconds:g} s",
    "stall": "no content came for {seconds:g} s",
    "total": "the reply took longer than {seconds:g} s",
    "deadline": "the deadline of {seconds:g} s passed",
}


class StreamInterrupted(TokenGateError):
    """A reply began and did not finish.

    A choice is finished when it has claimed so, after it said something, and the protocol's own
    end came; ``[DONE]``, the end of the body, a reset or silence without such a claim is this
    error, and so is a finish reason that means broken off.

    Attributes:
        partial: the :class:`~aiotokengate.types.Reply` so far, with ``status="interrupted"``.
    """

    retryable = True  # asked only while nothing was handed out yet

    def __init__(
        self, message: str, *, partial: Reply, cause: TokenGateError | None = None
    ) -> None:
        """Take over the cause's status and code, so that nobody has to dig for them."""
        super().__init__(
            message,
            status=cause.status if cause else None,
            code=cause.code if cause else None,
            request_id=(cause.request_id if cause else None) or partial.request_id,
            hint=cause.hint if cause else None,
        )
        self.partial = partial
        self.__cause__ = cause

    def __reduce__(self) -> tuple[object, tuple[object, ...], dict[str, object]]:
        """Pickle with the partial reply and the cause."""
        return _interrupted, (self.message, self.partial, self.__cause__), self.__dict__


def _interrupted(message: str, partial: Reply, cause: TokenGateError | None) -> StreamInterrupted:
    return StreamInterrupted(message, partial=partial, cause=cause)


class ResponseInvalid(TokenGateError):
    """The answer is whole and does not fit the type that was asked for.

    The message names the path of what does not fit, as in ``$.items[0].price``.

    Attributes:
        reply: the :class:`~aiotokengate.types.Reply`, to look at its text; None where the
            arguments of a tool call did not fit.
    """

    reply: Reply | None = None
    default_hint = (
        "hint: ask again, or ask for a simpler type; error.reply.answer is what the model wrote\n"
        "提示：可重试，或换用更简单的类型；模型原文见 error.reply.answer"
    )


class WireError(TokenGateError):
    """The peer sent what is not the protocol: HTML, half a JSON body, an endless event."""


class CallerError(TokenGateError):
    """The call itself is wrong: a bad argument, a wrong use of an object; nothing was sent."""


# --- what a traceback shows ---------------------------------------------------------------------


def bare(error: BaseException) -> None:
    """Take from an error the frames that it came through, and what ``from None`` hides."""
    error.__traceback__ = None
    if error.__suppress_context__:
        error.__context__ = None


def sealed(function: _F) -> _F:
    """Have errors leave a function without its frame and those below.

    Programs that show a traceback with its locals (pytest, rich, crash reporters) would show what
    those frames hold: the key, the prompt, the body.  A misspelt argument is told, as a misspelt
    option is.
    """
    made: _F = (_sealed_async if iscoroutinefunction(function) else _sealed)(function)
    return made


def _sealed(function: Any) -> Any:  # noqa: ANN401 - of the same type
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - those of the function
        try:
            return function(*args, **kwargs)
        except TokenGateError as error:
            bare(error)
            raise
        except TypeError:
            if (wrong := _misspelt(function, kwargs)) is None:
                raise
            raise wrong from None
        finally:
            del args, kwargs

    return call


def _sealed_async(function: Any) -> Any:  # noqa: ANN401 - of the same type
    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - those of the function
        try:
            return await function(*args, **kwargs)
        except TokenGateError as error:
            bare(error)
            raise
        except TypeError:
            if (wrong := _misspelt(function, kwargs)) is None:
                raise
            raise wrong from None
        finally:
            del args, kwargs

    return call


def _misspelt(function: Any, given: Iterable[str]) -> CallerError | None:  # noqa: ANN401 - any
    """Return the error of a name that a function does not take, None where it takes them all."""
    from inspect import signature  # noqa: PLC0415 - only for a mistake

    from aiotokengate.spelling import meant  # noqa: PLC0415 - only for a mistake

    kinds = signature(function).parameters
    known = [name for name in kinds if name not in ("self", "unknown")]
    wrong = next((name for name in given if name not in known), None)
    if wrong is None or any(one.kind is one.VAR_KEYWORD for one in kinds.values()):
        return None
    where = function.__qualname__.removesuffix(".__init__")
    takes = f"{where}() takes {', '.join(known) or 'none'}"
    return CallerError(f"unknown parameter {wrong!r}{meant(wrong, known)} ({takes})")


def sealed_class(cls: _C) -> _C:
    """Seal what is public of a class, and its making; see :func:`sealed`."""
    for name, value in list(vars(cls).items()):
        if isinstance(value, FunctionType) and (name == "__init__" or name[0] != "_"):
            setattr(cls, name, sealed(value))
    return cls
