"""The asyncio client of TokenGate: reasoning and answer as two clean streams.

::

    from aiotokengate import TokenGate

    async with TokenGate() as gate:
        reply = await gate.chat("qwen3.6-max-preview", "你好")
        print(reply.reasoning, reply.answer, reply.usage.reasoning_tokens)
"""

import typing

from aiotokengate._base import late_names as _late_names
from aiotokengate._calls.routes import Endpoint
from aiotokengate._policy.limits import Limits
from aiotokengate._policy.retry import Retry
from aiotokengate._policy.timeouts import Timeout
from aiotokengate._pool.pool import Pool
from aiotokengate._session import TokenGate
from aiotokengate._stream.call import ChatCall, ChatStream
from aiotokengate._stream.text import ChoiceView, Phase, TextStream
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
from aiotokengate.types import (
    AnswerDelta,
    CitationDelta,
    CommentaryDelta,
    FinishDelta,
    MediaDelta,
    Message,
    Outcome,
    ReasoningDelta,
    RefusalDelta,
    Reply,
    ToolCall,
    ToolCallDelta,
    UnknownDelta,
    Usage,
    UsageDelta,
)

if typing.TYPE_CHECKING:
    from aiotokengate._resources.conversation import Conversation
    from aiotokengate._resources.raw import RawCall

__version__ = "0.1.0"

__all__ = [
    "AnswerDelta",
    "AuthenticationFailed",
    "BadRequest",
    "CallerError",
    "ChatCall",
    "ChatStream",
    "ChoiceView",
    "CitationDelta",
    "CommentaryDelta",
    "ConnectFailed",
    "ContentFiltered",
    "ContextLengthExceeded",
    "Conversation",
    "Endpoint",
    "FinishDelta",
    "JobFailed",
    "Limits",
    "MediaDelta",
    "Message",
    "ModelNotFound",
    "Outcome",
    "Overloaded",
    "PermissionDenied",
    "Phase",
    "Pool",
    "QueueFull",
    "QuotaExhausted",
    "RateLimited",
    "RawCall",
    "ReasoningDelta",
    "RefusalDelta",
    "Reply",
    "ResponseInvalid",
    "Retry",
    "ServerFailed",
    "StatusError",
    "StreamInterrupted",
    "TextStream",
    "TimedOut",
    "Timeout",
    "TokenGate",
    "TokenGateError",
    "ToolCall",
    "ToolCallDelta",
    "TransportError",
    "Unanswered",
    "UnknownDelta",
    "Usage",
    "UsageDelta",
    "WireError",
]

_LATE = {
    "._resources.conversation": ("Conversation",),
    "._resources.raw": ("RawCall",),
}
"""Where those names stand that a plain chat need not wait for."""

if not typing.TYPE_CHECKING:
    __getattr__ = _late_names(__name__, _LATE)


def __dir__() -> list[str]:
    """List what can be asked for."""
    return sorted({*globals(), *__all__})
