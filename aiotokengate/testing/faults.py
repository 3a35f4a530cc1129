"""The ways in which a gateway fails, each ready to be scripted.

Example::

    gateway.script(faults.empty_429(), ScriptedReply(answer="第二次就好了"))
    gateway.script(faults.written(ScriptedReply(answer="半句话")).cut(100, "reset"))

All of them were met in the field or stand in a server's source; each says which.  What isn't
here is a :class:`Raw` away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import attrs
import orjson

from aiotokengate.testing._answers import counts
from aiotokengate.testing._chat_request import read_anyhow
from aiotokengate.testing._dialects import Exchange
from aiotokengate.testing._render import DONE, Beat, event, render_plain, render_stream
from aiotokengate.testing._script import Ending, Pause, Raw, ScriptedReply
from aiotokengate.testing._signals import Gate
from aiotokengate.types import Json

__all__ = [
    "ERROR_BODIES",
    "bare_error",
    "empty_429",
    "error_after_ping",
    "error_event",
    "html_502",
    "only_usage",
    "plain_instead",
    "queue_full",
    "reset",
    "silence",
    "silent_stream",
    "status_error",
    "trailing_bytes",
    "unfinished",
    "without_done",
    "written",
    "wrong_content_type",
]

_Body: TypeAlias = Callable[[int, str], Json]

_EXCHANGE_TIME = 1_779_701_684
_DEFAULT_MODEL = "qwen3.6-max-preview"
_JSON = {"Content-Type": "application/json; charset=utf-8"}
_HELLO = ScriptedReply(reasoning="想一想", answer="你好！😊")


def _fields(message: str, kind: str, code: Json, **more: Json) -> Json:
    return {"message": message, "type": kind, "param": None, "code": code, **more}


_SHAPES: Mapping[str, _Body] = {
    "new-api": lambda status, text: {
        "error": {"message": text, "type": "new_api_error", "param": "", "code": f"error_{status}"}
    },
    "new-api-middleware": lambda _, text: {
        "error": {"message": f"{text} (request id: 20260525)", "type": "new_api_error"}
    },
    "string": lambda _, text: {"error": text},
    "vllm": lambda status, text: {"error": _fields(text, "BadRequestError", status)},
    "sglang": lambda status, text: {"object": "error", **_fields(text, "BadRequestError", status)},
    "fastapi": lambda _, text: {"detail": text},
    "fastapi-validation": lambda _, text: {
        "detail": [{"loc": ["body", "size"], "msg": text, "type": "value_error"}]
    },
    "new-api-task": lambda _, text: {"code": "fail_to_fetch_task", "message": text, "data": None},
    "cqtai": lambda status, text: {"code": status, "msg": text, "data": None},
    "anthropic": lambda _, text: {
        "type": "error",
        "error": {"type": "overloaded_error", "message": text},
        "request_id": "req_1",
    },
    "gemini": lambda status, text: {
        "error": {"code": status, "message": text, "status": "INVALID_ARGUMENT", "details": []}
    },
    "openrouter": lambda status, text: {
        "error": {"code": status, "message": "Provider returned error", "metadata": {"raw": text}}
    },
    "minimax": lambda _, text: {"base_resp": {"status_code": 1008, "status_msg": text}},
}

ERROR_BODIES: Mapping[str, _Body] = MappingProxyType(_SHAPES)
"""The shapes of error bodies by who sends them, each a function of status and message."""


def written(
    reply: ScriptedReply = _HELLO, model: str = _DEFAULT_MODEL, *, stream: bool = True
) -> Raw:
    """Return the bytes of a reply, one write for each chunk, to be cut, dripped or changed.

    Gates and pauses of the reply stay where they are.
    """
    body = {"stream": stream, "model": reply.model or model}
    wanted = read_anyhow(body, None)
    exchange = Exchange(serial=1, created=_EXCHANGE_TIME, model=wanted.model.id)
    dialect = wanted.model.dialect(exchange)
    usage = reply.usage or dialect.usage(counts(wanted.prompt_tokens, (reply,)))
    render = render_stream if stream else render_plain
    steps = [step for step in render(dialect, (reply,), usage) if not isinstance(step, Beat)]
    return Raw(body=steps) if stream else Raw(body=steps, headers=_JSON)


def status_error(
    status: int,
    message: str = "scripted error / 脚本里的错误",
    *,
    shape: str = "new-api",
    headers: Mapping[str, str] | None = None,
) -> Raw:
    """Return an error status with a JSON body in one of the shapes of ``ERROR_BODIES``."""
    body = orjson.dumps(ERROR_BODIES[shape](status, message))
    return Raw(status, body, {**_JSON, **(headers or {})})


def empty_429() -> Raw:
    """Return a 429 without a body (new-api's limiters in memory)."""
    return Raw(429, b"", {"Content-Length": "0", "Content-Type": "text/plain"})


def html_502() -> Raw:
    """Return the page of a proxy that has lost its server (nginx)."""
    page = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    page += b"<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
    return Raw(502, page, {"Content-Type": "text/html"})


def wrong_content_type(status: int = 503) -> Raw:
    """Return a JSON error labelled as an event stream (new-api, on every stream request)."""
    return attrs.evolve(
        status_error(status), headers={"Content-Type": "text/event-stream; charset=utf-8"}
    )


def error_after_ping(code: int = 502) -> Raw:
    """Return status 200, a keep-alive, then a bare line of JSON: a late error (new-api)."""
    error = {"message": "upstream failed", "type": "upstream_error", "param": "", "code": code}
    return Raw(body=(b": PING\n\n", orjson.dumps({"error": error})))


def bare_error(reply: ScriptedReply = _HELLO, *, after: int = 3, code: int = 502) -> Raw:
    """Return chunks, then a bare line of JSON instead of the rest (new-api's bridges)."""
    return attrs.evolve(
        written(reply), body=(*_head(reply, after), *error_after_ping(code).steps()[1:])
    )


def error_event(
    reply: ScriptedReply = _HELLO, *, after: int = 3, code: Json = 500, done: bool = True
) -> Raw:
    """Return chunks, then an error as an event, then ``[DONE]`` (vLLM, SGLang, OpenRouter)."""
    error = {"error": _fields("the engine stopped", "InternalServerError", code)}
    end = (DONE,) if done else ()
    return Raw(body=(*_head(reply, after), event(error), *end))


def queue_full() -> Raw:
    """Return status 200 and a first event that says 503 (SGLang with a full queue)."""
    error = _fields("The request queue is full.", "SERVICE_UNAVAILABLE", 503, object="error")
    return Raw(body=(event({"error": error}), DONE))


def unfinished(reply: ScriptedReply = _HELLO, *, after: int = 3) -> Raw:
    """Return chunks and ``[DONE]``, with no finish reason (new-api after an upstream reset)."""
    return Raw(body=(*_head(reply, after), DONE))


def only_usage() -> Raw:
    """Return nothing but a made-up usage and ``[DONE]`` (new-api after an empty stream)."""
    usage = {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}
    chunk = {
        "id": "",
        "object": "chat.completion.chunk",
        "created": _EXCHANGE_TIME,
        "model": _DEFAULT_MODEL,
        "system_fingerprint": None,
        "choices": [],
        "usage": usage,
    }
    return Raw(body=(event(chunk), DONE))


def without_done(reply: ScriptedReply = _HELLO) -> Raw:
    """Return a whole reply that ends without ``[DONE]``."""
    return written(attrs.evolve(reply, done=False))


def trailing_bytes(reply: ScriptedReply = _HELLO, rest: bytes = b'data: {"late":1}') -> Raw:
    """Return a whole reply and something after ``[DONE]``."""
    return Raw(body=(*written(reply).steps(), rest))


def plain_instead(reply: ScriptedReply = _HELLO, model: str = _DEFAULT_MODEL) -> Raw:
    """Return the plain JSON answer, whatever was asked for (channels that can't stream)."""
    return written(reply, model, stream=False)


def reset() -> Raw:
    """Reset the connection before any byte of an answer."""
    return Raw(None, end="reset")


def silence() -> Raw:
    """Accept the request and never say anything."""
    return Raw(None, end="hang")


def silent_stream(reply: ScriptedReply = _HELLO, *, after: int = 0, end: Ending = "hang") -> Raw:
    """Send the head of a stream and some chunks, then nothing, until the client leaves."""
    return Raw(body=_head(reply, after), end=end)


def _head(reply: ScriptedReply, chunks: int) -> tuple[bytes | Pause | Gate, ...]:
    """Return the first chunks of a reply."""
    return written(reply).steps()[:chunks]
