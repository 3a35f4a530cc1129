"""Slow tasks on the wire: what is sent for a video or a song, and what the answers say of it.

Strategy.  Whichever gateway answers, an answer becomes :class:`JobReport` values: whose job, how
far it is, what it gave.  Reading is one liberal walk for each of the two systems, because the
forms differ in names and wrapping only; nothing in here raises on what the wire says.  Writing is
exact, one function for each dialect.

Sources: new-api (``/v1/video/generations``, ``/suno``), OpenAI's and new-api's ``/v1/videos``,
vllm-omni (the blocking ``/v1/videos``), CQTAI's API pages (suno), Suno-API.
"""

from __future__ import annotations

import math
import re
from binascii import Error as NotBase64
from binascii import a2b_base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias, TypeGuard

import attrs

from aiotokengate._wire.jsontext import mended
from aiotokengate.errors import CallerError
from aiotokengate.types import Json

__all__ = [
    "Clip",
    "FileKind",
    "JobFile",
    "JobReport",
    "JobResult",
    "JobState",
    "JobStatus",
    "SunoAPIRequest",
    "cqtai_body",
    "file_of",
    "job_state",
    "progress_of",
    "read_music",
    "read_videos",
    "suno_api_request",
    "unified_body",
    "video_fields",
]

JobState: TypeAlias = Literal["queued", "running", "done", "failed", "unknown"]
FileKind: TypeAlias = Literal["video", "audio", "image", "midi", "file"]

_HUGE = 10**18
"""No id and no number of seconds is as large as that, or can be written shortly."""

MAX_DEPTH = 8
"""How deep files are looked for in a result."""


# --- values -------------------------------------------------------------------------------------


@attrs.frozen
class JobStatus:
    """How far a job is.

    Attributes:
        state: "queued", "running", "done", "failed", or "unknown" for a word that means nothing
            to us; an unknown job is asked after like a running one.
        progress: from 0 to 1, or None where the gateway does not say.
        word: the gateway's own word.
        message: why it failed, in the vendor's words.
        code: the vendor's code for that.
    """

    state: JobState
    progress: float | None = None
    word: str = ""
    message: str = ""
    code: str | None = None


@attrs.frozen
class JobFile:
    """One file that a job gave: an address to fetch it from, or its bytes.

    Attributes:
        kind: what it is.
        url: where it is; below ``base_url`` where it begins with a slash, beside it where it
            begins with ``../``; "" where ``data`` is all.
        data: its bytes, where they came with the answer.
        mime: its type, "" where nothing tells.
    """

    kind: FileKind
    url: str = ""
    data: bytes = attrs.field(default=b"", repr=False)
    mime: str = ""

    @property
    def suffix(self) -> str:
        """The end of a fitting file name, with its dot."""
        own = _suffix(self.url)
        return own or _SUFFIX_OF.get(self.mime) or _USUAL_SUFFIX[self.kind]


@attrs.frozen
class Clip:
    """A song, as Suno tells of it.

    Attributes:
        id: what other actions take as ``clip``.
        audio_url: the sound; a live stream as long as ``status`` is not "complete".
        duration: seconds, or None.
        lyrics: what is sung.
        extra: everything that was said of it.
    """

    id: str
    title: str = ""
    status: str = ""
    audio_url: str = ""
    video_url: str = ""
    image_url: str = ""
    model: str = ""
    duration: float | None = None
    tags: str = ""
    lyrics: str = attrs.field(default="", repr=False)
    extra: Mapping[str, Json] = attrs.field(factory=dict, repr=False)


@attrs.frozen
class JobResult:
    """What a job gave.

    Attributes:
        files: to be saved by ``job.save(...)``.
        clips: the songs, where it is music.
        extra: the gateway's whole answer: lyrics, timelines, beats and tags are here.
    """

    files: tuple[JobFile, ...] = ()
    clips: tuple[Clip, ...] = ()
    extra: Mapping[str, Json] = attrs.field(factory=dict, repr=False)


@attrs.frozen
class JobReport:
    """What one answer says of one job.

    Attributes:
        id: the gateway's id of the job, "" where it gave the result at once.
    """

    id: str
    status: JobStatus
    result: JobResult = attrs.field(factory=JobResult)


# --- words --------------------------------------------------------------------------------------

_WORDS: Mapping[JobState, str] = {
    "queued": "not_start submitted queued pending",
    "running": "in_progress processing running streaming",
    "done": "success succeeded completed complete",
    "failed": "failure failed error canceled cancelled",
}
_STATES: Mapping[str, JobState] = {
    word: state for state, words in _WORDS.items() for word in words.split()
}


def job_state(word: object) -> JobState:
    """Return what a gateway's word for a job's state means; the same in capitals or not."""
    return _STATES.get(word.strip().lower(), "unknown") if isinstance(word, str) else "unknown"


def progress_of(value: object) -> float | None:
    """Return a progress from 0 to 1, told as 50, "50", "50%" or 0.5; None if it is none of these.

    A number is a percentage, but for a fraction below 1.
    """
    text = value.strip().removesuffix("%") if isinstance(value, str) else value
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        return None
    try:
        number = float(text)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    is_fraction = isinstance(value, float) and 0 < number < 1
    return min(1.0, max(0.0, number if is_fraction else number / 100))


# --- files --------------------------------------------------------------------------------------

_TYPES: Mapping[str, tuple[FileKind, str]] = {
    ".mp4": ("video", "video/mp4"),
    ".webm": ("video", "video/webm"),
    ".mov": ("video", "video/quicktime"),
    ".mp3": ("audio", "audio/mpeg"),
    ".wav": ("audio", "audio/wav"),
    ".m4a": ("audio", "audio/mp4"),
    ".flac": ("audio", "audio/flac"),
    ".ogg": ("audio", "audio/ogg"),
    ".mid": ("midi", "audio/midi"),
    ".midi": ("midi", "audio/midi"),
    ".png": ("image", "image/png"),
    ".jpg": ("image", "image/jpeg"),
    ".jpeg": ("image", "image/jpeg"),
    ".webp": ("image", "image/webp"),
}
_SUFFIX_OF = {mime: suffix for suffix, (_, mime) in reversed([*_TYPES.items()])}
_USUAL_SUFFIX: Mapping[FileKind, str] = {
    "video": ".mp4",
    "audio": ".mp3",
    "image": ".png",
    "midi": ".mid",
    "file": ".bin",
}
_KIND_IN_KEY: tuple[tuple[str, FileKind], ...] = (
    ("midi", "midi"),
    ("image", "image"),
    ("video", "video"),
    ("mp4", "video"),
    ("audio", "audio"),
    ("wav", "audio"),
    ("mp3", "audio"),
)
_SUFFIX = re.compile(r"/[^/?#]+(\.[A-Za-z0-9]{1,5})(?:[?#]|$)")
_DATA_URI = re.compile(r"data:([\w.+-]{1,80}/[\w.+-]{1,80})?[^,]{0,200};base64,")
_LONGEST = 10_000
"""Characters of an address; what is longer is none."""


def _suffix(url: str) -> str:
    found = _SUFFIX.search(url[url.find("://") + 3 :])
    return found[1].lower() if found else ""


def file_of(url: object, kind: FileKind, *, certain: bool = False) -> JobFile | None:
    """Return the file that stands at an address, or in a data URI; None if it is neither.

    Args:
        url: of ``http``, a path of the gateway's host, or ``data:``.
        kind: what it is unless its name says better.
        certain: whether its name doesn't matter.
    """
    if not isinstance(url, str):
        return None
    if found := _DATA_URI.match(url):
        return _inline(url[found.end() :], kind, found[1] or "")
    if not url.startswith(("http://", "https://", "/")) or url.startswith("//"):
        return None
    if len(url) > _LONGEST or not _is_text(url):
        return None
    # A path that the gateway gives is one of its host, where ours are below /v1.
    address = f"..{url}" if url.startswith("/") else url
    named, mime = _TYPES.get(_suffix(address), (kind, ""))
    return JobFile(kind if certain else named, address, mime=mime)


def _is_text(text: str) -> bool:
    """Return whether a text can be sent: no half of a surrogate pair is in it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _inline(text: object, kind: FileKind, mime: str = "") -> JobFile | None:
    """Return a file that came as base64, with or without the head of a data URI."""
    if not isinstance(text, str) or not text:
        return None
    if found := _DATA_URI.match(text):
        text, mime = text[found.end() :], found[1] or mime
    try:
        # Not strict, it would pass over what is no base64 and make something of a page.
        data = a2b_base64("".join(text.split()), strict_mode=True)
    except (NotBase64, ValueError):
        return None
    return JobFile(kind, data=data, mime=mime or _mime_of(data, kind)) if data else None


def _mime_of(data: bytes, kind: FileKind) -> str:
    if kind == "video":
        return "video/webm" if data.startswith(b"\x1a\x45\xdf\xa3") else "video/mp4"
    return ""


def _listed(value: object) -> Sequence[Json]:
    return value if isinstance(value, list) else ()


def _mapping(value: object) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _words(*values: object) -> str:
    """Return the first text, or number as a text, that is one."""
    texts = (_as_text(value) for value in values)
    return next((text for text in texts if text), "")


def _as_text(value: object) -> str:
    """Return a text, or a number as one; "" for what is neither, or has hundreds of digits."""
    if isinstance(value, str):
        return value if value.isascii() else str(mended(value, frozenset()))
    if isinstance(value, bool) or not isinstance(value, int):
        return ""
    return str(value) if -_HUGE < value < _HUGE else ""


def _reason(*values: object) -> str:
    return " ".join(_words(*values)[:8_000].split())[:1_000]


# --- videos: reading ----------------------------------------------------------------------------


def read_videos(body: object) -> tuple[JobReport, ...]:
    """Read an answer about a video, in any of its forms; nothing if it is none.

    A job (OpenAI's, new-api's two forms, DashScope's ``output``), or the video at once
    (``data[].b64_json`` or ``.url``).
    """
    if not isinstance(body, Mapping):
        return ()
    data = body.get("data")
    if isinstance(data, list):
        return _at_once(data, body)
    if isinstance(data, str) and data and "code" in body:
        return (JobReport(data, JobStatus("queued")),)
    job = {**body, **_mapping(body.get("output"))}
    if isinstance(data, Mapping) and not _is_video_job(body):
        job = {**data, **_mapping(data.get("output"))}
    return (_video_job(job),) if _is_video_job(job) else ()


def _is_video_job(body: Mapping[str, Json]) -> bool:
    return bool(_words(body.get("task_id"), body.get("id"))) and bool(
        _words(body.get("status"), body.get("task_status"), body.get("task_id"))
    )


def _at_once(data: Sequence[Json], body: Mapping[str, Json]) -> tuple[JobReport, ...]:
    found = (
        _inline(entry.get("b64_json"), "video") or file_of(entry.get("url"), "video", certain=True)
        for entry in data
        if isinstance(entry, Mapping)
    )
    files = tuple(file for file in found if file is not None)
    if not files:
        return ()
    rest = {key: value for key, value in body.items() if key != "data"}
    return (JobReport("", JobStatus("done", 1.0), JobResult(files, extra=rest)),)


def _video_job(job: Mapping[str, Json]) -> JobReport:
    word = _words(job.get("status"), job.get("task_status"))
    state = job_state(word) if word else "queued"
    error = job.get("error")
    problem = error if isinstance(error, Mapping) else {"message": error}
    reason = (problem.get("message"), job.get("fail_reason"), job.get("message"))
    status = JobStatus(
        state,
        1.0 if state == "done" else progress_of(job.get("progress")),
        word,
        _reason(*reason) if state == "failed" else "",
        (_words(problem.get("code")) or None) if state == "failed" else None,
    )
    files = tuple(_video_files(job)) if state == "done" else ()
    task = _words(job.get("task_id"), job.get("id"))
    return JobReport(task, status, JobResult(files, extra=job))


def _video_files(job: Mapping[str, Json]) -> Iterator[JobFile]:
    """Find the video's address; older builds of new-api put it where failures say why."""
    raw = _mapping(job.get("data"))
    places = (
        job.get("result_url"),
        _mapping(job.get("metadata")).get("url"),
        job.get("video_url"),
        job.get("url"),
        _mapping(job.get("video")).get("url"),
        _mapping(raw.get("metadata")).get("url"),
        raw.get("video_url"),
        raw.get("url"),
        _web(job.get("fail_reason")),
    )
    found = (file_of(place, "video", certain=True) for place in places)
    one = next((file for file in found if file is not None), None)
    if one is not None:
        yield one


def _web(value: object) -> str | None:
    fits = isinstance(value, str) and value.startswith(("http://", "https://"))
    return str(value) if fits else None


# --- videos: writing ----------------------------------------------------------------------------

_USUAL_FPS = 16
_SIZE = re.compile(r"(\d+)\s*[xX*×]\s*(\d+)")
_UNIFIED = frozenset({"model", "prompt", "image", "images", "duration", "seconds", "size", "mode"})


def video_fields(
    model: str, prompt: str, params: Mapping[str, Json], *, frames: bool
) -> dict[str, Json]:
    """Return the fields of a request to ``/v1/videos``.

    ``frames`` adds what vllm-omni wants in place of size and seconds: ``width`` and ``height``,
    and ``num_frames``, one more than so many at 16 a second.
    """
    fields: dict[str, Json] = {"model": model, "prompt": prompt, **params}
    if frames:
        wanted = {**_width_and_height(params.get("size")), **_frames(params)}
        fields.update({name: value for name, value in wanted.items() if name not in fields})
    if "seconds" in fields:
        fields["seconds"] = _number(fields["seconds"])
    return fields


def _width_and_height(size: object) -> dict[str, Json]:
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    return {"width": int(found[1]), "height": int(found[2])} if found else {}


def _frames(params: Mapping[str, Json]) -> dict[str, Json]:
    if "seconds" not in params:
        return {}
    rate = _checked("fps", params.get("fps", _USUAL_FPS))
    return {"num_frames": round(_checked("seconds", params["seconds"]) * rate) + 1}


def unified_body(model: str, prompt: str, params: Mapping[str, Json]) -> dict[str, Json]:
    """Return the body of a request to new-api's ``/v1/video/generations``.

    What is not in its own vocabulary goes to the vendor by way of ``metadata``.
    """
    body: dict[str, Json] = {"model": model, "prompt": prompt}
    body.update({name: value for name, value in params.items() if name in _UNIFIED})
    if "seconds" in params:
        seconds = _checked("seconds", params["seconds"])
        body["seconds"] = _number(seconds)
        body["duration"] = int(seconds) if seconds.is_integer() else seconds
    rest = {name: value for name, value in params.items() if name not in body}
    return {**body, "metadata": rest} if rest else body


def _checked(name: str, value: object) -> float:
    """Return a number of the caller's.

    Raises:
        CallerError: it is none.
    """
    try:
        number = float(value) if isinstance(value, str | int | float) else math.inf
    except (ValueError, OverflowError):
        number = math.inf
    if isinstance(value, bool) or not -_HUGE < number < _HUGE:
        message = f"expected {name} as a number, got {type(value).__name__}"
        raise CallerError(message)
    return number


def _number(value: object) -> str:
    """Return seconds as OpenAI wants them: a number as a text."""
    number = _checked("seconds", value)
    return str(int(number)) if number.is_integer() else str(number)


# --- music: reading -----------------------------------------------------------------------------


def read_music(body: object, unwrap: str = "data") -> tuple[JobReport, ...]:
    """Read an answer about music, of CQTAI or of Suno-API; nothing if it is none.

    Args:
        body: one job, several, or the id of one that was submitted; wrapped or bare.
        unwrap: the key of the wrapper, with dots where there are several, "" for none.
    """
    payload = _unwrapped(body, unwrap)
    if isinstance(payload, str):
        return (JobReport(payload, JobStatus("queued")),) if payload.strip() else ()
    several = payload if isinstance(payload, list) else [payload]
    return tuple(_music_job(job) for job in several if isinstance(job, Mapping) and job)


def _unwrapped(body: object, path: str) -> Json:
    for key in path.split(".") if path else ():
        if not isinstance(body, Mapping) or key not in body or _is_music_job(body):
            break
        body = body[key]
    return body


def _task(job: Mapping[str, Json]) -> str:
    return _words(job.get("task_id"), job.get("taskId"), job.get("id"))


def _is_music_job(body: Mapping[str, Json]) -> bool:
    return bool(_words(body.get("status")) and _task(body))


def _music_job(job: Mapping[str, Json]) -> JobReport:
    """Read a job; what has neither state nor id of its own is a result that came at once."""
    if _is_clip(job):
        job = {"result": [job]}
    word, task = _words(job.get("status")), _task(job)
    state = job_state(word) if word else "queued" if task else "done"
    reason = _reason(
        job.get("errorMsg"), job.get("fail_reason"), job.get("error_message"), job.get("msg")
    )
    status = JobStatus(
        state,
        1.0 if state == "done" else progress_of(job.get("progress")),
        word,
        reason if state == "failed" else "",
        (_words(job.get("errorCode")) or None) if state == "failed" else None,
    )
    return JobReport(task, status, _music_result(job))


def _music_result(job: Mapping[str, Json]) -> JobResult:
    given = next((job[key] for key in ("result", "data") if job.get(key)), None)
    if given is None and "status" not in job:
        given = job
    entries = given if isinstance(given, list) else [given]
    clips = tuple(_clip(entry) for entry in entries if _is_clip(entry))
    files = dict.fromkeys(_files_in(entries, 0))
    return JobResult(tuple(files), clips, extra=job)


def _is_clip(entry: object) -> TypeGuard[Mapping[str, Json]]:
    return isinstance(entry, Mapping) and bool(_words(entry.get("id"))) and "audio_url" in entry


def _clip(entry: Mapping[str, Json]) -> Clip:
    about = _mapping(entry.get("metadata"))
    duration = about.get("duration")
    return Clip(
        id=_words(entry.get("id")),
        title=_words(entry.get("title")),
        status=_words(entry.get("status")),
        audio_url=_words(entry.get("audio_url")),
        video_url=_words(entry.get("video_url")),
        image_url=_words(entry.get("image_large_url"), entry.get("image_url")),
        model=_words(entry.get("model_name")),
        duration=_seconds(duration),
        tags=_words(about.get("tags"), entry.get("tags")),
        lyrics=_words(about.get("prompt"), entry.get("prompt"), entry.get("lyric")),
        extra=entry,
    )


def _seconds(value: object) -> float | None:
    """Return a duration as it came, if it is a number that one can reckon with."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if -_HUGE < value < _HUGE else None


def _files_in(value: object, depth: int) -> Iterator[JobFile]:
    """Find every address under a key that says it is one, the small picture left out."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "image_url" and value.get("image_large_url"):
                continue
            if isinstance(item, str) and key.lower().endswith(("url", "midi", "wav", "mp4")):
                file = file_of(_web(item), _kind(key))
                if file is not None:
                    yield file
            yield from _files_in(item, depth + 1)
    for item in _listed(value):
        file = file_of(_web(item), "file")
        if file is not None:
            yield file
        yield from _files_in(item, depth + 1)


def _kind(key: str) -> FileKind:
    low = key.lower()
    return next((kind for part, kind in _KIND_IN_KEY if part in low), "file")


# --- music: writing -----------------------------------------------------------------------------

_CAMEL = {
    "custom_mode": "customMode",
    "make_instrumental": "makeInstrumental",
    "negative_tags": "negativeTags",
    "vocal_gender": "vocalGender",
    "style_weight": "styleWeight",
    "weirdness_constraint": "weirdnessConstraint",
    "audio_weight": "audioWeight",
    "clip": "clipId",
    "continue_at": "continueAt",
    "audio_url": "audioUrl",
    "task": "taskId",
    "lyrics": "infillLyrics",
    "start": "rangeStartS",
    "end": "rangeEndS",
    "edit_session": "editSessionId",
}


def cqtai_body(action: str, fields: Mapping[str, Json]) -> dict[str, Json]:
    """Return the body of an action of CQTAI's suno, whose fields are in camel case."""
    return {"task": action, **{_CAMEL.get(name, name): value for name, value in fields.items()}}


@attrs.frozen
class SunoAPIRequest:
    """An action of Suno-API.

    Attributes:
        path: what follows ``/suno/``; ``{clip}`` stands for a clip's id.
        body: None for a GET.
    """

    path: str
    body: dict[str, Json] | None = attrs.field(default=None, repr=False)


_MV = {
    "v40": "chirp-v4",
    "v45": "chirp-auk",
    "v45+": "chirp-bluejay",
    "v50": "chirp-crow",
}
_SUNO_API = {
    "model": "mv",
    "clip": "continue_clip_id",
    "task": "task_id",
}
_ACTS = {
    "gen_stem_two": "stems",
    "gen_stem_all": "midi",
    "mp4": "mp4",
    "wav": "wav",
    "timeline": "timing",
}


def suno_api_request(action: str, fields: Mapping[str, Json]) -> SunoAPIRequest:
    """Return an action as Suno-API takes it (Suno-API/Suno-API, and what resellers add to it).

    Raises:
        CallerError: it has no such action.
    """
    if action == "lyrics":
        return SunoAPIRequest("submit/lyrics", {"prompt": fields.get("prompt", "")})
    if action == "replace_merge":
        return SunoAPIRequest("submit/concat", {"clip_id": fields["clip"]})
    if action in _ACTS:
        return SunoAPIRequest(f"act/{_ACTS[action]}/{{clip}}")
    if action not in ("create", "extend"):
        message = f"expected an action that the dialect 'suno-api' has, got {action!r}"
        raise CallerError(message)
    body = {_SUNO_API.get(name, name): value for name, value in fields.items()}
    model = fields.get("model")
    body["mv"] = _MV.get(model, model) if isinstance(model, str) else model
    if not body.pop("custom_mode", True):
        body["gpt_description_prompt"] = body.pop("prompt", "")
    return SunoAPIRequest("submit/music", body)
