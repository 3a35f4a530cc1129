"""Any error that a gateway or vendor writes, as an error value.

Strategy.  There are fourteen shapes of error bodies and no agreement on what a code is.  The
message is looked for in a fixed order that works for all of them; the class is decided by the
code, then by the type word, then by the status, because operators remap statuses.  What decides
is in tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

import attrs

from aiotokengate.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    ContextLengthExceeded,
    ModelNotFound,
    Overloaded,
    PermissionDenied,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
    StatusError,
)
from aiotokengate.wire.headers import request_id, retry_after, should_retry
from aiotokengate.wire.jsontext import loads

__all__ = ["Problem", "find_problem", "mask_keys", "status_error"]

ErrorClass: TypeAlias = type[StatusError]

MAX_TEXT = 500
MAX_BODY = 4000

# Codes and type words, lower-cased.  Sources: new-api's and OpenAI's error codes, Alibaba's Model
# Studio error codes, docs.bigmodel.cn (GLM's numbers), platform.minimax.io (MiniMax's numbers),
# Anthropic's error types, SGLang's and vLLM's type words.
_BY_CODE: dict[str, ErrorClass] = {
    **dict.fromkeys(
        ("context_length_exceeded", "string_above_max_length", "1261"), ContextLengthExceeded
    ),
    **dict.fromkeys(
        (
            "content_filter",
            "content_policy_violation",
            "data_inspection_failed",
            "datainspectionfailed",
            "prompt_blocked",
            "sensitive_words_detected",
            "1301",
        ),
        ContentFiltered,
    ),
    **dict.fromkeys(
        (
            "insufficient_quota",
            "insufficient_user_quota",
            "pre_consume_token_quota_failed",
            "throttling.allocationquota",
            "arrearage",
            "billing_hard_limit_reached",
            "1113",
            "1304",
            "1308",
            "1310",
        ),
        QuotaExhausted,
    ),
    **dict.fromkeys(
        (
            "rate_limit_exceeded",
            "rate_limit_error",
            "limit_requests",
            "throttling",
            "throttling.ratequota",
            "1302",
        ),
        RateLimited,
    ),
    **dict.fromkeys(
        ("overloaded_error", "service_unavailable", "engine_overloaded", "1305", "1312"),
        Overloaded,
    ),
    **dict.fromkeys(("model_not_found", "model_not_exist", "not_found_error"), ModelNotFound),
    **dict.fromkeys(("invalid_api_key", "authentication_error"), AuthenticationFailed),
    **dict.fromkeys(("permission_error", "access_denied"), PermissionDenied),
    **dict.fromkeys(("invalid_request_error", "badrequesterror"), BadRequest),
    "api_error": ServerFailed,
}
# MiniMax's own numbers, which mean other things elsewhere: read from its ``base_resp`` only.
_MINIMAX: dict[str, ErrorClass] = {
    "1002": RateLimited,
    "1004": AuthenticationFailed,
    "1008": QuotaExhausted,
    "1026": ContentFiltered,
    "1027": ContentFiltered,
    "1039": ContextLengthExceeded,
    "2013": BadRequest,
}
# These type words stand beside statuses that say more, and are asked last.
_VAGUE = frozenset({"invalid_request_error", "badrequesterror", "api_error", "not_found_error"})

_BY_STATUS: dict[int, ErrorClass] = {
    401: AuthenticationFailed,
    402: QuotaExhausted,
    403: PermissionDenied,
    408: ServerFailed,
    409: ServerFailed,
    429: RateLimited,
    503: Overloaded,
    529: Overloaded,
}
_STATUS_OF: dict[ErrorClass, int] = {
    AuthenticationFailed: 401,
    BadRequest: 400,
    ContentFiltered: 400,
    ContextLengthExceeded: 400,
    ModelNotFound: 404,
    Overloaded: 503,
    PermissionDenied: 403,
    QuotaExhausted: 402,
    RateLimited: 429,
    ServerFailed: 500,
}
_NOT_IMPLEMENTED = 501
_NOT_FOUND = 404
_NO_SUCH_PATH = (
    "hint: check TOKENGATE_BASE_URL, or base_url=: it ends where /chat/completions begins, mostly"
    " in /v1\n"
    "提示：请检查 TOKENGATE_BASE_URL 或 base_url：应止于 /chat/completions 之前，通常以 /v1 结尾"
)
_FIRST_ERROR = 400
_FIRST_SERVER_ERROR = 500
_LAST_ERROR = 599

_TOO_LONG = re.compile(
    r"maximum context length|context[ _]length|context window|longer than the model"
    r"|range of input length|input is too long|prompt is too long",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"\bmodel\b.*(not (exist|found)|does not exist)|模型.*不存在", re.IGNORECASE
)
_REQUEST_ID = re.compile(r"\s*\(request id: ([^)\s]+)\)")
_TAGS = re.compile(rb"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.DOTALL | re.IGNORECASE)
_KEY = re.compile(r"\bsk-[A-Za-z0-9_\-]{6,}")


@attrs.frozen(eq=False, repr=False)
class Problem:
    """What an error body says, before it is judged."""

    message: str = ""
    code: str | None = None
    type: str | None = None
    request_id: str | None = None
    minimax: bool = False


def find_problem(body: object) -> Problem | None:
    """Find an error in a parsed JSON body, or None if there is none.

    Bodies with ``choices`` are searched for an ``error`` object and MiniMax's ``base_resp`` only,
    the others for all known shapes.
    """
    if not isinstance(body, Mapping):
        return None
    error = body.get("error")
    if error:
        return _from_error(error, body)
    base = body.get("base_resp")
    if isinstance(base, Mapping) and base.get("status_code"):
        code = _word(base.get("status_code"))
        return Problem(_text(base.get("status_msg")), code, minimax=True)
    if body.get("choices"):
        return None
    return _flat(body)


def status_error(
    status: int | None, body: bytes, headers: Mapping[str, str], *, problem: Problem | None = None
) -> StatusError:
    """Make the error for an answer that is one.

    Args:
        status: the HTTP status, None for an error inside a 200 answer.
        body: the body, or the event, as it came.
        headers: of the answer, case-insensitive.
        problem: what was found in the body, if it was parsed already.
    """
    problem = problem or _read(body)
    kind = _class_of(status, problem)
    status = status or _inner_status(problem) or _STATUS_OF.get(kind)
    message, quoted = _without_request_id(problem.message)
    verdict = should_retry(headers)
    if status == _NOT_IMPLEMENTED:
        verdict = False
    return kind(
        mask_keys(message) or f"the gateway answered {status} without a message",
        status=status,
        code=problem.code,
        type=problem.type,
        request_id=request_id(headers) or problem.request_id or quoted,
        body=mask_keys(body[:MAX_BODY].decode("utf-8", "replace")),
        retry_after=retry_after(headers),
        retryable=verdict,
        hint=_NO_SUCH_PATH if kind is BadRequest and _is_nowhere(status, problem) else None,
    )


def _is_nowhere(status: int | None, problem: Problem) -> bool:
    """Whether it is the path that was not found, and not a job or a file, which have codes."""
    return status == _NOT_FOUND and problem.code is None


def _read(body: bytes) -> Problem:
    text = body.strip()
    try:
        parsed = loads(text)
    except (ValueError, RecursionError):
        return Problem(_plain_text(text))
    found = find_problem(parsed) or _bare(parsed)
    return found or Problem(
        _clip(parsed if isinstance(parsed, str) else text.decode("utf-8", "replace"))
    )


def _bare(body: object) -> Problem | None:
    """Find a message under an error status, where it needs no other mark."""
    if not isinstance(body, Mapping):
        return None
    message = _first_text(body) or _first_text(body.get("header") or {})
    return Problem(message, _word(body.get("code")), _word(body.get("type"))) if message else None


def _from_error(error: object, body: Mapping[str, Any]) -> Problem:
    if not isinstance(error, Mapping):
        return Problem(_text(error), _word(body.get("code")), _word(body.get("type")))
    nested = error.get("error")
    if isinstance(nested, Mapping):
        return _from_error(nested, body)
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    own = _first_text(error) or _first_text(body)
    message = ": ".join(part for part in (own, _text(raw)) if part)
    return Problem(
        message,
        _word(error.get("code")),
        _word(error.get("type")) or _word(error.get("status")),
        _word(body.get("request_id")) or _word(error.get("request_id")),
    )


_MESSAGE_KEYS = ("message", "msg", "err", "error_msg", "detail", "status_msg")


def _flat(body: Mapping[str, Any]) -> Problem | None:
    """Shapes without an ``error`` object: SGLang, FastAPI, new-api's tasks, CQTAI, a header."""
    for inner in ("header", "response"):
        part = body.get(inner)
        if isinstance(part, Mapping) and (found := find_problem(part)):
            return found
    marked = body.get("object") == "error" or body.get("type") == "error"
    code = _word(body.get("code"))
    bad_code = code not in (None, "0", "200", "success")
    if not (marked or bad_code or "detail" in body):
        return None
    kind = _word(body.get("type"))
    return Problem(_first_text(body), code, kind, _word(body.get("request_id")))


def _first_text(body: object) -> str:
    if not isinstance(body, Mapping):
        return ""
    return next((text for key in _MESSAGE_KEYS if (text := _text(body.get(key)))), "")


def _text(value: object) -> str:
    """Make one line of a message in any form; FastAPI's ``detail`` is a list of complaints."""
    if isinstance(value, str):
        return _clip(value)
    if isinstance(value, list):
        return _clip("; ".join(_complaint(item) for item in value))
    if isinstance(value, Mapping):
        return _first_text(value)
    return ""


def _complaint(item: object) -> str:
    if not isinstance(item, Mapping):
        return _text(item)
    place = item.get("loc")
    where = ".".join(str(part) for part in place) if isinstance(place, list) else ""
    message = _first_text(item)
    return f"{where}: {message}" if where else message


def _word(value: object) -> str | None:
    """Codes come as strings, numbers, null or "": as a string, or None."""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value) or None
    return None


def _class_of(status: int | None, problem: Problem) -> ErrorClass:
    if problem.minimax:
        return _MINIMAX.get(problem.code or "", ServerFailed)
    words = [word.lower() for word in (problem.code, problem.type) if word]
    clear = (_BY_CODE[word] for word in words if word in _BY_CODE and word not in _VAGUE)
    if found := next(clear, None):
        return found
    effective = status or _inner_status(problem)
    if effective in (None, 400, 404, 413, 422, 500) and (found := _by_message(problem.message)):
        return found
    if effective is None:
        return next((_BY_CODE[word] for word in words if word in _BY_CODE), ServerFailed)
    return _by_status(effective, problem)


def _by_message(message: str) -> ErrorClass | None:
    if _TOO_LONG.search(message):
        return ContextLengthExceeded
    return ModelNotFound if _NO_MODEL.search(message) else None


def _by_status(status: int, problem: Problem) -> ErrorClass:
    if status == _NOT_FOUND and (problem.type or "").lower() == "not_found_error":
        return ModelNotFound
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status < _FIRST_ERROR:
        return StatusError
    return BadRequest if status < _FIRST_SERVER_ERROR else ServerFailed


def _inner_status(problem: Problem) -> int | None:
    """Read a code that is an HTTP status, as SGLang, vLLM and OpenRouter give it."""
    code = problem.code or ""
    status = int(code) if code.isdecimal() and len(code) == len("500") else 0
    return status if _FIRST_ERROR <= status <= _LAST_ERROR else None


def _without_request_id(message: str) -> tuple[str, str | None]:
    """Take new-api's ``(request id: …)`` out of the message."""
    found = _REQUEST_ID.search(message)
    return (_REQUEST_ID.sub("", message), found[1]) if found else (message, None)


def _plain_text(body: bytes) -> str:
    """Make a line of an HTML page (its title, else its text) or of plain text."""
    from html import unescape  # noqa: PLC0415 - a large table, and most calls see no page

    title = _TITLE.search(body)
    text = title[1] if title else _TAGS.sub(b" ", body)
    return _clip(unescape(text.decode("utf-8", "replace")))


def _clip(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"


def mask_keys(text: str) -> str:
    """Blank what looks like an API key."""
    return _KEY.sub("sk-…", text)
