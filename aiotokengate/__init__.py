"""The asyncio client of TokenGate: reasoning and answer as two clean streams.

::

    from aiotokengate import TokenGate

    async with TokenGate() as gate:
        reply = await gate.chat("qwen3.6-max-preview", "你好")
        print(reply.reasoning, reply.answer, reply.usage.reasoning_tokens)
"""

from aiotokengate._calls.routes import Endpoint
from aiotokengate._policy.limits import Limits
from aiotokengate._policy.retry import Retry
from aiotokengate._policy.timeouts import Timeout
from aiotokengate._pool.pool import Pool
from aiotokengate._session import TokenGate
from aiotokengate._stream.call import ChatCall, ChatStream
from aiotokengate._stream.text import TextStream
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

__version__ = "0.1.0"

__all__ = [
    "AnswerDelta",
    "AuthenticationFailed",
    "BadRequest",
    "CallerError",
    "ChatCall",
    "ChatStream",
    "CitationDelta",
    "CommentaryDelta",
    "ConnectFailed",
    "ContentFiltered",
    "ContextLengthExceeded",
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
    "Pool",
    "QueueFull",
    "QuotaExhausted",
    "RateLimited",
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
