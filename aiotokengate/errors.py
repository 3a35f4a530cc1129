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

from typing import TYPE_CHECKING, ClassVar, Literal

from aiotokengate._base.error import CallerError, TokenGateError, WireError

if TYPE_CHECKING:
    from aiotokengate.types import Reply

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

Phase = Literal["connect", "first_event", "stall", "total", "deadline"]


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
    default_hint: ClassVar[str | None] = (
        "hint: lower the concurrency, or try again later\n提示：请降低并发，或稍后再试"
    )


class QuotaExhausted(StatusError):
    """The account's balance or allowance is used up; waiting a moment will not help."""

    default_hint: ClassVar[str | None] = (
        "hint: top up the account or raise the key's quota\n提示：请充值或提高该 key 的额度"
    )


class AuthenticationFailed(StatusError):
    """The key is missing, unknown, expired or disabled."""

    default_hint: ClassVar[str | None] = (
        "hint: check TOKENGATE_API_KEY or TokenGate(api_key=...)\n"
        "提示：请检查环境变量 TOKENGATE_API_KEY 或参数 TokenGate(api_key=...)"
    )


class PermissionDenied(StatusError):
    """The key is good, but not for this model, group or address."""

    default_hint: ClassVar[str | None] = (
        "hint: ask the gateway's operator which models and addresses this key may use\n"
        "提示：请向网关管理员确认该 key 可用的模型与 IP 白名单"
    )


class ModelNotFound(StatusError):
    """No such model, or none that this key may use."""

    default_hint: ClassVar[str | None] = (
        "hint: see `aiotokengate models` for the exact names\n"
        "提示：可用 `aiotokengate models` 查看准确的模型名"
    )


class ContextLengthExceeded(StatusError):
    """The prompt (with ``max_tokens``) does not fit into the model."""

    default_hint: ClassVar[str | None] = (
        "hint: shorten the messages or lower max_tokens\n提示：请缩短消息或减小 max_tokens"
    )


class ContentFiltered(StatusError):
    """The prompt or the answer was refused as content."""

    default_hint: ClassVar[str | None] = (
        "hint: rephrase; sending it again gives the same\n提示：请修改内容，重发无效"
    )


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

    default_hint: ClassVar[str | None] = (
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

    default_hint: ClassVar[str | None] = (
        "hint: make calls no faster than they are answered, as gate.map(...) does\n"
        "提示：请勿过快地发起调用，例如改用 gate.map(...)"
    )


class TransportError(TokenGateError):
    """The network broke before an answer began."""

    retryable = True


class ConnectFailed(TransportError, ConnectionError):
    """No connection could be made: the request certainly never left."""

    default_hint: ClassVar[str | None] = (
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
    default_hint: ClassVar[str | None] = (
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
        self.retryable: bool = phase == "connect"

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
        self.__cause__: BaseException | None = cause

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
    default_hint: ClassVar[str | None] = (
        "hint: ask again, or ask for a simpler type; error.reply.answer is what the model wrote\n"
        "提示：可重试，或换用更简单的类型；模型原文见 error.reply.answer"
    )
