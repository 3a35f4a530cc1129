"""Any error that a gateway or vendor writes, as an error value.

Strategy.  There are some twenty shapes of error bodies and no agreement on what a code is.  The
message is looked for in a fixed order that works for all of them; the class is decided by the
code, then by the type word, then by the status, because operators remap statuses.  What decides
is in tables.  An error object says something, or it is none: gateways write their empty ones into
good chunks.  No status is named that was not on the wire.  Whatever the values are, and however
deep they stand, the time is linear in the bytes: errors inside of errors are walked, not recursed
into, and only to a small depth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

import attrs

from aiotokengate._wire.headers import (
    delay_in,
    request_id,
    retry_after,
    seconds_in,
    should_retry,
)
from aiotokengate._wire.jsontext import loads, mended
from aiotokengate._wire.question import dicts_in, text_of
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

__all__ = ["Problem", "find_problem", "status_error"]

ErrorClass: TypeAlias = type[StatusError]

MAX_TEXT = 500
MAX_BODY = 4000
MAX_WORD: Final = 100
"""Characters of a code, a type word or an id; what is longer is cut."""

MAX_DEPTH: Final = 8
"""How deep a message is looked for in a message, and an error in a response or a header."""

MAX_NESTED: Final = 1_000
"""How deep an error is looked for in an error."""

_PAGE: Final = 16_000
"""Bytes of a body in which a text is looked for that says when to try again."""

_READ: Final = 8 * MAX_TEXT
"""Characters of a text that are looked at at all, so that white space may be taken out of it."""

# Codes and type words, lower-cased.  Sources: new-api's and OpenAI's error codes, Alibaba's Model
# Studio error codes, docs.bigmodel.cn (GLM's numbers), Anthropic's error types, SGLang's and
# vLLM's type words; the codes of a failed response from ``ResponseError`` of PyPI's openai (only
# ``server_error`` and ``rate_limit_exceeded`` may go better another time); Google's words from
# ``google/rpc/code.proto``, its reasons from ``google/api/error_reason.proto``.
_BY_CODE: dict[str, ErrorClass] = {
    **dict.fromkeys(
        ("context_length_exceeded", "string_above_max_length", "1261"), ContextLengthExceeded
    ),
    **dict.fromkeys(
        (
            "bio_policy",
            "content_filter",
            "content_policy_violation",
            "data_inspection_failed",
            "datainspectionfailed",
            "image_content_policy_violation",
            "misalignment_policy_violation",
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
            "billing_disabled",
            "billing_error",
            "billing_hard_limit_reached",
            "daily_quota",
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
            "resource_exhausted",
            "throttling",
            "throttling.ratequota",
            "1302",
        ),
        RateLimited,
    ),
    **dict.fromkeys(
        (
            "overloaded_error",
            "service_unavailable",
            "engine_overloaded",
            "unavailable",
            "1305",
            "1312",
        ),
        Overloaded,
    ),
    **dict.fromkeys(
        ("model_not_found", "model_not_exist", "not_found", "not_found_error"), ModelNotFound
    ),
    **dict.fromkeys(
        (
            "access_token_expired",
            "api_key_invalid",
            "authentication_error",
            "credentials_missing",
            "invalid_api_key",
            "unauthenticated",
        ),
        AuthenticationFailed,
    ),
    **dict.fromkeys(
        (
            "access_denied",
            "api_key_service_blocked",
            "consumer_suspended",
            "permission_denied",
            "permission_error",
            "service_disabled",
        ),
        PermissionDenied,
    ),
    **dict.fromkeys(
        (
            "data_residency_mismatch",
            "invalid_prompt",
            "vector_store_timeout",
            # of images
            "empty_image_file",
            "failed_to_download_image",
            "image_file_not_found",
            "image_file_too_large",
            "image_parse_error",
            "image_too_large",
            "image_too_small",
            "invalid_base64_image",
            "invalid_image",
            "invalid_image_format",
            "invalid_image_mode",
            "invalid_image_url",
            "unsupported_image_media_type",
            # vague ones
            "badrequesterror",
            "failed_precondition",
            "invalid_argument",
            "invalid_request_error",
            "out_of_range",
            "request_too_large",
        ),
        BadRequest,
    ),
    **dict.fromkeys(
        (
            "aborted",
            "api_error",
            "deadline_exceeded",
            "gateway_timeout",
            "internal",
            "server_error",
            "timeout",
            "timeout_error",
            "unknown",
        ),
        ServerFailed,
    ),
}
# MiniMax's own numbers, which mean other things elsewhere: read from its ``base_resp`` only
# (platform.minimax.io/docs/api-reference/errorcode).
_MINIMAX: dict[str, ErrorClass] = {
    "1002": RateLimited,
    "1004": AuthenticationFailed,
    "1008": QuotaExhausted,
    "1026": ContentFiltered,
    "1027": ContentFiltered,
    "1039": ContextLengthExceeded,
    "2013": BadRequest,
    "2049": AuthenticationFailed,
    "2056": QuotaExhausted,
}
# Baidu's, read from ``error_code`` only (cloud.baidu.com/doc/WENXINWORKSHOP/s/tlmyncueh).
_BAIDU: dict[str, ErrorClass] = {
    "2": Overloaded,
    "3": BadRequest,
    "4": RateLimited,
    "6": PermissionDenied,
    "13": AuthenticationFailed,
    "14": AuthenticationFailed,
    "17": QuotaExhausted,
    "18": RateLimited,
    "110": AuthenticationFailed,
    "111": AuthenticationFailed,
    "336100": Overloaded,
}
_NUMBERS: dict[str, dict[str, ErrorClass]] = {"minimax": _MINIMAX, "baidu": _BAIDU}
# These type words stand beside statuses that say more, and are asked last.
_VAGUE = frozenset(
    (
        *("aborted", "api_error", "badrequesterror", "deadline_exceeded", "failed_precondition"),
        *("gateway_timeout", "internal", "invalid_argument", "invalid_request_error", "not_found"),
        *("not_found_error", "out_of_range", "request_too_large", "server_error", "timeout"),
        *("timeout_error", "unknown"),
    )
)
# Codes, types and messages that stand where nothing went wrong.
_NOTHING = frozenset({"", "none", "null", "nil", "ok", "success", "succeeded", "succeed"})

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
_NOT_IMPLEMENTED = 501
_TOO_MANY = 429
_NOT_FOUND = 404
_NO_SUCH_PATH = (
    "hint: check TOKENGATE_BASE_URL, or base_url=: it ends where /chat/completions begins, mostly"
    " in /v1\n"
    "提示：请检查 TOKENGATE_BASE_URL 或 base_url：应止于 /chat/completions 之前，通常以 /v1 结尾"
)
_SUCCESSES = range(200, 300)
_ERRORS = range(400, 600)
_FIRST_ERROR = 400
_FIRST_SERVER_ERROR = 500

_TOO_LONG = re.compile(
    r"maximum context length|context[ _]length|context window|longer than the model"
    r"|range of input length|input is too long|prompt is too long",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"\bmodels?\b.*(not (exist|found)|does not exist)|模型.*不存在", re.IGNORECASE
)
_REQUEST_ID = re.compile(r"\s*\(request id: ([^)\s]+)\)")
_SCRIPTS = (b"script", b"style")
# ``google.rpc.RetryInfo`` (google/rpc/error_details.proto), escaped any number of times.
_QUOTED_DELAY = re.compile(rb'retryDelay\\{0,7}"\s{0,4}:\s{0,4}\\{0,7}"(\d{1,9}(?:\.\d{1,9})?)s')
_DELAYS = (
    "retry_after",
    "retryAfter",
    "retry-after",
    "Retry-After",
    "retryDelay",
    "retry_delay",
    "retry_after_seconds",
)
_DELAYS_MS = ("retry_after_ms", "retryAfterMs")


@attrs.frozen(eq=False, repr=False)
class Problem:
    """What an error body says, before it is judged.

    Attributes:
        status: the HTTP status that the body names, if it does.
        reasons: further words that decide, before the code: Google's reasons.
        numbers: whose numbers the code is one of, "" where it is a word as others have it.
        delay: seconds that a field of the body asks to wait.
    """

    message: str = ""
    code: str | None = None
    type: str | None = None
    request_id: str | None = None
    status: int | None = None
    reasons: tuple[str, ...] = ()
    numbers: str = ""
    delay: float | None = None

    @property
    def says_something(self) -> bool:
        """Whether it is more than an error object that was left empty."""
        told = self.message.lower() not in _NOTHING
        return told or _is_bad(self.code) or not _is_nothing(self.type) or bool(self.status)


def find_problem(body: object) -> Problem | None:
    """Find an error in a parsed JSON body, or None if there is none.

    Bodies with ``choices`` are searched for an ``error`` object, the choices', and MiniMax's
    ``base_resp`` only, the others for all known shapes.
    """
    if isinstance(body, list):  # Gemini's error, where the stream is no event stream
        body = body[0] if len(body) == 1 else None
        return _told(body) if isinstance(body, Mapping) else None
    if not isinstance(body, Mapping):
        return None
    found = _told(body) or _minimax(body)
    if found is not None:
        return found
    choices = body.get("choices")
    return _of_choices(choices) if choices else _flat(body)


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
    from aiotokengate._base.redaction import mask_keys

    problem = problem or _read(body)
    kind = _class_of(status, problem)
    message, quoted = _without_request_id(problem.message)
    told = status or problem.status
    verdict = False if told == _NOT_IMPLEMENTED else should_retry(headers)
    hint = retry_after(headers)
    if hint is None:
        hint = _delay(body, problem, is_limit=told == _TOO_MANY or kind is RateLimited)
    return kind(
        mask_keys(message) or _silent(status),
        status=told,
        code=problem.code,
        type=problem.type,
        request_id=request_id(headers) or problem.request_id or quoted,
        body=mask_keys(body[:MAX_BODY].decode("utf-8", "replace")),
        retry_after=hint,
        retryable=verdict,
        hint=_NO_SUCH_PATH if kind is BadRequest and _is_nowhere(told, problem) else None,
    )


def _delay(body: bytes, problem: Problem, *, is_limit: bool) -> float | None:
    """Return the seconds that a body asks to wait, in a field, or of a limit in its text."""
    if problem.delay is not None:
        return problem.delay
    # A gateway may quote its vendor's error as a text, where the message is cut.
    quoted = _QUOTED_DELAY.search(body)
    if quoted is not None:
        return float(quoted[1])
    if not is_limit:
        return None
    seconds = seconds_in(problem.message)
    # It may stand behind where the message is cut, in an error's own error, or in a page's text.
    return seconds if seconds is not None else seconds_in(body[:_PAGE].decode("utf-8", "replace"))


def _silent(status: int | None) -> str:
    if status is None:
        return "the gateway sent an error without a message"
    return f"the gateway answered {status} without a message"


def _is_nowhere(status: int | None, problem: Problem) -> bool:
    """Return whether the path was not found, and not a job or a file, which have codes."""
    return status == _NOT_FOUND and problem.code is None


def _read(body: bytes) -> Problem:
    text = body.strip()
    try:
        parsed = loads(_data(text))
    except (ValueError, RecursionError):
        return Problem(_plain_text(text))
    found = find_problem(parsed) or _bare(parsed)
    return found or Problem(
        _clip(parsed if isinstance(parsed, str) else text[:_READ].decode("utf-8", "replace")),
        delay=_delay_of(parsed),
    )


def _data(text: bytes) -> bytes:
    """Take an error out of the event that it stands in, where it is all of the body."""
    if not text.startswith((b"data:", b"event:", b"id:")):
        return text
    lines = (line for line in text.splitlines() if line.startswith(b"data:"))
    return next(lines, text).removeprefix(b"data:")


def _bare(body: object) -> Problem | None:
    """Find a message under an error status, where it needs no other mark."""
    if not isinstance(body, Mapping):
        return None
    message = _first_text(body) or _first_text(body.get("header"))
    return _problem(message, body) if message else None


# --- shapes -------------------------------------------------------------------------------------


def _told(body: Mapping[str, Any]) -> Problem | None:
    """Find what stands under ``error``, if that says anything.

    One that says nothing counts only where it is all that there is.
    """
    error = body.get("error")
    if not error:
        return None
    problem = _from_error(error, body)
    if problem.says_something or body.get("type") == "error":
        return problem
    rest = (value for key, value in body.items() if key not in ("error", "id", "request_id"))
    is_alone = (error is True or isinstance(error, Mapping)) and not any(rest)
    return problem if is_alone else None


def _from_error(error: object, body: Mapping[str, Any]) -> Problem:
    """Read an error in an error as the inner one; what it leaves out is said around it."""
    for _ in range(MAX_NESTED):
        if not isinstance(error, Mapping) or not isinstance(error.get("error"), Mapping):
            break
        error = error["error"]
    if not isinstance(error, Mapping):
        return _without_object(error, body)
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    said = metadata.get("headers") if isinstance(metadata, Mapping) else None  # of OpenRouter
    inner = error.get("error")
    own = _first_text(error) or _text(inner) or _first_text(body)
    message = _clip(": ".join(part for part in (own, _text(raw)) if part))
    return Problem(
        message,
        _word(error.get("code")),
        _word(error.get("type")) or _word(error.get("status")),
        _word(body.get("request_id")) or _word(error.get("request_id")),
        _status_in(error) or _status_in(body),
        tuple(_reasons(error.get("details"))),
        delay=_delay_of(error, *dicts_in(error.get("details")), metadata, said, body),
    )


def _without_object(error: object, body: Mapping[str, Any]) -> Problem:
    """Read an error that is a text, a number, ``true`` or a list of errors."""
    if not isinstance(error, int | float):
        text = _text(error)
        return Problem() if _is_nothing(text) else _problem(text, body)
    problem, number = _problem(_first_text(body), body), _word(error)
    if number is None:  # true, or what is no number
        return problem if error is True else Problem()
    status = problem.status or _as_status(number)
    return attrs.evolve(problem, code=problem.code or number, status=status)


def _reasons(details: object) -> Iterator[str]:
    """Return what Google says of an error beside its status; a day's allowance first."""
    rows = dicts_in(details)
    for row in rows:
        for violation in dicts_in(row.get("violations")):
            if "PerDay" in text_of(violation.get("quotaId")):
                yield "daily_quota"
    words = (_word(row.get("reason")) for row in rows)
    yield from (word for word in words if word is not None)


def _delay_of(*parts: object) -> float | None:
    """Return how long the first part that says so asks to wait."""
    for part in parts:
        if not isinstance(part, Mapping):
            continue
        for names, unit in ((_DELAYS_MS, 1000), (_DELAYS, 1)):
            found = (delay_in(part[name]) for name in names if name in part)
            if (seconds := next((each for each in found if each is not None), None)) is not None:
                return seconds / unit
    return None


def _minimax(body: Mapping[str, Any]) -> Problem | None:
    base = body.get("base_resp")
    code = _word(base.get("status_code")) if isinstance(base, Mapping) else None
    if not isinstance(base, Mapping) or not _is_bad(code):
        return None
    return Problem(_text(base.get("status_msg")), code, numbers="minimax")


def _of_choices(choices: object) -> Problem | None:
    """Find the error of a choice (OpenRouter)."""
    for choice in dicts_in(choices):
        if error := choice.get("error"):
            problem = _from_error(error, {})
            if problem.says_something:
                return problem
    return None


_MESSAGE_KEYS = ("message", "msg", "err", "error_msg", "detail", "status_msg")


_MARKS: Final = frozenset(
    (
        *("error", "base_resp", "error_code", "object", "type", "success", "code"),
        *_MESSAGE_KEYS,
    )
)
"""Keys of which a body has one at least, if it is an error without an ``error`` object."""


def _flat(body: Mapping[str, Any]) -> Problem | None:
    """Shapes without an ``error`` object: SGLang, FastAPI, new-api's tasks, CQTAI, a header."""
    level = [body]
    for _ in range(MAX_DEPTH):
        for part in level:
            if _MARKS.isdisjoint(part):  # as most frames that are asked about
                continue
            if (found := _told(part) or _minimax(part) or _marked(part)) is not None:
                return found
        if not level:
            return None
        inner = (part.get(key) for part in level for key in ("header", "response"))
        level = [part for part in inner if isinstance(part, Mapping) and not part.get("choices")]
    return None


def _marked(body: Mapping[str, Any]) -> Problem | None:
    """Find an error whose parts stand in the body itself, if anything marks it as one."""
    if _is_bad(number := _word(body.get("error_code"))):
        baidu = attrs.evolve(_problem(_first_text(body), body), code=number, numbers="baidu")
        return attrs.evolve(baidu, status=_as_status(number))
    problem = _problem(_first_text(body), body)
    is_error = body.get("object") == "error" or body.get("type") == "error"
    if is_error or body.get("success") is False:
        # Cloudflare lists them.
        return problem if problem.message else _problem(_text(body.get("errors")), body)
    if _text(body.get("detail")) or (problem.message and problem.status):
        return problem
    is_known = bool(problem.status) or (problem.code or "").lower() in _BY_CODE
    return problem if _is_bad(problem.code) and (problem.message or is_known) else None


def _problem(message: str, body: Mapping[str, Any]) -> Problem:
    """Read what stands in the body itself."""
    code, kind = _word(body.get("code")), _word(body.get("type"))
    kind = None if kind == "error" else kind
    delay, request_id_said = _delay_of(body), _word(body.get("request_id"))
    return Problem(message, code, kind, request_id_said, _status_in(body), delay=delay)


# --- values -------------------------------------------------------------------------------------


def _first_text(body: object) -> str:
    """Return the first message that is one, a message's own message where it is an object."""
    return _message(body, MAX_DEPTH) if isinstance(body, Mapping) else ""


def _message(body: Mapping[str, Any], depth: int) -> str:
    return next((text for key in _MESSAGE_KEYS if (text := _text(body.get(key), depth))), "")


def _text(value: object, depth: int = MAX_DEPTH) -> str:
    """Make one line of a message in any form; FastAPI's ``detail`` is a list of complaints."""
    if isinstance(value, str):
        return _clip(value)
    if depth == 0:
        return ""
    if isinstance(value, list):
        return _clip("; ".join(_complaint(item, depth - 1) for item in value[:MAX_TEXT]))
    return _message(value, depth - 1) if isinstance(value, Mapping) else ""


def _complaint(item: object, depth: int) -> str:
    if not isinstance(item, Mapping):
        return _text(item, depth)
    place = item.get("loc")
    parts = [_word(part) for part in place[:MAX_DEPTH]] if isinstance(place, list) else []
    where = ".".join(part for part in parts if part is not None)
    message = _message(item, depth)
    return f"{where}: {message}" if where else message


def _word(value: object) -> str | None:
    """Codes come as strings, numbers, null or "": as a short string, or None."""
    if isinstance(value, str):
        return _clip(value, MAX_WORD) or None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if -_HUGE < value < _HUGE else None
    return None


_HUGE: Final = 10**18


def _is_nothing(word: str | None) -> bool:
    return (word or "").lower() in _NOTHING


def _is_bad(code: str | None) -> bool:
    """Return whether a code is an error's: no zero, no word of success, no 2xx."""
    if code is None or _is_nothing(code) or not code.strip("0"):
        return False
    return not (code.isdecimal() and len(code) == len("200") and int(code) in _SUCCESSES)


_STATUS_KEYS = ("status", "status_code", "code")


def _status_in(body: Mapping[str, Any]) -> int | None:
    """Read the HTTP status that a body names, as SGLang, vLLM and OpenRouter do by their code."""
    found = (_as_status(_word(body.get(key))) for key in _STATUS_KEYS)
    return next((status for status in found if status is not None), None)


def _as_status(code: str | None) -> int | None:
    is_three = code is not None and code.isdecimal() and len(code) == len("500")
    status = int(code) if code is not None and is_three else 0
    return status if status in _ERRORS else None


def _class_of(status: int | None, problem: Problem) -> ErrorClass:
    if problem.numbers and (found := _by_number(status, problem)):
        return found
    words = [word.lower() for word in (*problem.reasons, problem.code, problem.type) if word]
    clear = (_BY_CODE[word] for word in words if word in _BY_CODE and word not in _VAGUE)
    if found := next(clear, None):
        return found
    effective = status or problem.status
    if effective in (None, 400, 404, 413, 422, 500) and (found := _by_message(problem.message)):
        return found
    if effective is None:
        return next((_BY_CODE[word] for word in words if word in _BY_CODE), ServerFailed)
    return _by_status(effective, problem)


def _by_number(status: int | None, problem: Problem) -> ErrorClass | None:
    """Judge by a vendor's own number; those of all others mean nothing there."""
    code = problem.code or ""
    if found := _NUMBERS[problem.numbers].get(code):
        return found
    if not code.isdecimal() or problem.status:
        return None
    by_status = _by_status(status, problem) if status else ServerFailed
    return _by_message(problem.message) or by_status


def _by_message(message: str) -> ErrorClass | None:
    if _TOO_LONG.search(message):
        return ContextLengthExceeded
    return ModelNotFound if _NO_MODEL.search(message) else None


def _by_status(status: int, problem: Problem) -> ErrorClass:
    if status == _NOT_FOUND and (problem.type or "").lower() in ("not_found", "not_found_error"):
        return ModelNotFound
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status < _FIRST_ERROR:
        return StatusError
    return BadRequest if status < _FIRST_SERVER_ERROR else ServerFailed


def _without_request_id(message: str) -> tuple[str, str | None]:
    """Take new-api's ``(request id: …)`` out of the message."""
    found = _REQUEST_ID.search(message)
    return (_REQUEST_ID.sub("", message), found[1]) if found else (message, None)


# --- pages and texts ----------------------------------------------------------------------------


def _plain_text(body: bytes) -> str:
    """Make a line of an HTML page (its title, else its text) or of plain text."""
    from html import unescape

    lower = body.lower()
    text = _title(body, lower) or b"".join(_between_tags(body, lower))
    # Cut first: a number of thousands of digits is no character that could be unescaped.
    return _clip(unescape(text[:_READ].decode("utf-8", "replace")))


def _title(body: bytes, lower: bytes) -> bytes:
    begin = lower.find(b">", lower.find(b"<title")) + 1 if b"<title" in lower else 0
    end = lower.find(b"</title", begin) if begin else -1
    return body[begin:end] if end >= 0 else b""


def _between_tags(body: bytes, lower: bytes) -> Iterator[bytes]:
    """Return the text of a page; each byte is looked at a fixed number of times."""
    at = 0
    while (begin := body.find(b"<", at)) >= 0:
        yield body[at:begin]
        end = body.find(b">", begin)
        if end < 0:  # a sign of less-than, no tag
            at = begin
            break
        name = next((name for name in _SCRIPTS if lower.startswith(name, begin + 1)), None)
        if name is not None:
            close = lower.find(b"</" + name, end)
            end = body.find(b">", close) if close >= 0 else -1
            if end < 0:  # what follows is a program to its end
                return
        yield b" "
        at = end + 1
    yield body[at:]


def _clip(text: str, most: int = MAX_TEXT) -> str:
    """Make one line of a text, of bounded length and without halves of surrogate pairs."""
    line = " ".join(text[:_READ].split())
    if not line.isascii():
        line = mended(line, frozenset())
    return line if len(line) <= most else line[: most - 1] + "…"
