"""What videos and music share: a request whose answer may be a job, an error or a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from aiotokengate._base.sealing import sealed
from aiotokengate._calls.request import HttpRequest
from aiotokengate._policy.estimate import CallSize
from aiotokengate._wire.jobs import JobFile, JobReport, JobResult, JobStatus
from aiotokengate._wire.jsontext import loads
from aiotokengate._wire.tokens import estimate_texts
from aiotokengate.errors import CallerError, WireError

if TYPE_CHECKING:
    from aiotokengate._calls.request import Request, Requester
    from aiotokengate._policy.timeouts import Timeout
    from aiotokengate._resources.options import Defaults, Options
    from aiotokengate._stream.download import Download

__all__ = [
    "BLOCKING_SECONDS",
    "Read",
    "check_numbers",
    "check_text",
    "fetch_file",
    "one_report",
    "patient",
    "reports",
    "submission",
    "system_name",
]

BLOCKING_SECONDS = 600.0
"""How long an answer is waited for at least, where it may be the video itself."""

_MP4 = b"ftyp"
"""What stands in the first box of every MP4, whatever the answer's type says."""

Read: TypeAlias = Callable[[object], tuple[JobReport, ...]]


@sealed
async def reports(
    requester: Requester, request: Request, read: Read
) -> tuple[tuple[JobReport, ...], str]:
    """Send a request; give what its answer says of jobs, and which key it was asked with.

    Raises:
        StatusError: the answer is an error; a job that has failed is none.
        WireError: the answer is not JSON.
    """
    async with await requester.fetch(request) as download:
        body = await download.read()
        # Neither a video nor a sound begins like JSON or a page, whatever its type says.
        is_text = body.lstrip()[:1] in (b"{", b"[", b"<", b"")
        if download.content_type.startswith(("video/", "audio/")) and not is_text:
            return (_file_itself(download.content_type, body),), download.endpoint
        if body[4:8] == _MP4:
            return (_file_itself("video/mp4", body),), download.endpoint
        try:
            parsed = loads(body)
        except (ValueError, RecursionError):
            message = f"expected JSON or a file, got {len(body)} bytes that are neither"
            raise download.unfit(message) from None
        found = read(parsed)
        if not any(report.id and report.status.state == "failed" for report in found):
            download.raise_error_in(parsed, body)
        return found, download.endpoint


async def one_report(requester: Requester, request: Request, read: Read) -> tuple[JobReport, str]:
    """Send a request that makes a job; give what its answer says, and which key it was.

    Raises:
        StatusError: the answer is an error.
        WireError: the answer is neither a job nor a result.
    """
    found, endpoint = await reports(requester, request, read)
    if not found:
        message = "expected a job or its result, the answer is neither"
        raise WireError(message)
    return found[0], endpoint


def _file_itself(mime: str, data: bytes) -> JobReport:
    file = JobFile("video" if mime.startswith("video/") else "audio", data=data, mime=mime)
    return JobReport("", JobStatus("done", 1.0), JobResult((file,)))


async def fetch_file(
    requester: Requester, defaults: Defaults, file: JobFile, endpoint: str
) -> Download:
    """Begin to fetch a file of a result."""
    http = HttpRequest("GET", file.url, headers={"Accept": "*/*"})
    download = await requester.fetch(defaults.request(http, endpoint))
    if file.kind != "file":
        await download.expect(f"a file of kind {file.kind!r}")
    return download


def system_name(system: str, dialect: str, endpoint: str) -> str:
    """Return the beginning of the ids of a system's jobs."""
    return f"{system}:{dialect}@{endpoint}" if endpoint else f"{system}:{dialect}"


def submission(
    options: Options, defaults: Defaults, http: HttpRequest, model: str, *prompts: str
) -> Request:
    """Return the request that submits a job."""
    size = CallSize(float(estimate_texts(prompts)), texts=lambda: prompts)
    return options.request(defaults, http, model, size=size)


def patient(own: Timeout | None, defaults: Defaults) -> Timeout:
    """Return the timeouts of a request that the result itself may answer, minutes later."""
    if own is not None:
        return own
    usual = defaults.timeout
    return attrs.evolve(
        usual,
        first_event=_at_least(usual.first_event, BLOCKING_SECONDS),
        stall=_at_least(usual.stall, BLOCKING_SECONDS),
    )


def _at_least(seconds: float | None, least: float) -> float | None:
    return None if seconds is None else max(seconds, least)


# --- arguments ----------------------------------------------------------------------------------


def check_text(name: str, text: object, most: int | None = None) -> None:
    """Refuse what is no text, or too long.

    Raises:
        CallerError: it is.
    """
    if not isinstance(text, str) or not text.strip():
        got = "an empty one" if isinstance(text, str) else type(text).__name__
        message = f"expected {name} as a text, got {got}"
        raise CallerError(message)
    if most is not None and len(text) > most:
        message = f"expected {name} of at most {most} characters, got {len(text)}"
        raise CallerError(message)


def check_numbers(params: Mapping[str, Any], names: Iterable[str], most: float = 1e9) -> None:
    """Refuse parameters that are no numbers from 0 to ``most``; texts of numbers will do.

    Raises:
        CallerError: one is not.
    """
    for name in names:
        value = params.get(name)
        try:
            fits = value is None or 0 <= float(value) <= most
        except (TypeError, ValueError):
            fits = False
        if not fits or isinstance(value, bool):
            message = f"expected {name} as a number from 0 to {most:g}, got {value!r}"
            raise CallerError(message)
