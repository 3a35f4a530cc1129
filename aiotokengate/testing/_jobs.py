"""The slow systems of the fake gateway: videos and music, as jobs that take their time.

Strategy.  A :class:`FakeJob` knows how far it is from how often it was asked after, or from the
gateway's own clock; nothing runs in between.  One board holds all jobs; each path that a gateway
may have for them only words differently what the board knows.

Sources: new-api (``/v1/video/generations``, ``/suno``), OpenAI and new-api's sora channel
(``/v1/videos``), vllm-omni (the blocking form), CQTAI's API pages (suno).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias
from uuid import UUID, uuid5

import attrs
from aiohttp import web

from aiotokengate.testing._chat_request import Refusal, read_body, read_fields
from aiotokengate.testing._files import Blob, midi, mp3, mp4, png, serve, wav
from aiotokengate.testing._models import JOB_MODELS
from aiotokengate.testing._output import REQUEST_ID, Handler, answer_json
from aiotokengate.testing._request import GatewayRequest
from aiotokengate.types import Json

__all__ = ["FILES", "FakeJob", "JobBoard", "JobPlan"]

Stage: TypeAlias = Literal["queued", "running", "done", "failed"]

FILES = "/files/"
"""Below this stand results, for whoever has the address: no key is asked for."""

FAILURE_MARKS = ("[fail]", "[失败]")
"""A prompt with one of these makes a job that fails."""

_SPACE = UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
_REASON = "内容未通过审核 / the content was refused"
_CODE = "content_policy_violation"
_BEGAN = 1_767_225_600
_MOST_LISTED = 100


@attrs.frozen(kw_only=True)
class JobPlan:
    """How long the jobs of a fake gateway take, and what they give.

    Attributes:
        polls: a job is done once it was asked after so many times.
        seconds: in place of that: so long after it was submitted, by the gateway's ``now``.
        video: how a video is answered on ``/v1/videos``: "job" as OpenAI and new-api do, "inline"
            with the video as base64 and "raw" with the video itself, as the Wan models' own
            server and its later versions do, "url" with its address.
        size: bytes of each video and each sound.
    """

    polls: int = attrs.field(default=3, validator=attrs.validators.ge(1))
    seconds: float | None = None
    video: Literal["job", "inline", "raw", "url"] = "job"
    size: int = 2_000


@attrs.define(eq=False, kw_only=True)
class FakeJob:
    """One job of the fake gateway.

    Attributes:
        id: what it is asked after by.
        system: "video", "cqtai" or "suno-api"; ``action``: what is to be made.
        fields: of the request that submitted it.
        plan: that held then; ``began``: when that was.
        fails: the reason why it will fail, or "".
        asked: how often it was asked after.
        deleted: whether it was called off.
    """

    id: str
    system: str
    action: str
    fields: Mapping[str, Json] = attrs.field(repr=False)
    plan: JobPlan
    began: float
    fails: str = ""
    asked: int = 0
    deleted: bool = False

    def share(self, now: float) -> float:
        """Return how much of it is done, from 0 to 1."""
        if self.plan.seconds is None:
            return min(1.0, self.asked / self.plan.polls)
        return min(1.0, (now - self.began) / self.plan.seconds)

    def stage(self, now: float) -> Stage:
        """Return how far it is."""
        share = self.share(now)
        if share < 1:
            return "running" if share > 1 / 3 else "queued"
        return "failed" if self.fails else "done"


class JobBoard:
    """All slow jobs of one fake gateway: ``gateway.jobs``.

    Attributes:
        plan: for the jobs to come; set it at any time.
        jobs: that were submitted, by their ids, the oldest first.
    """

    def __init__(self, plan: JobPlan, now: Callable[[], float]) -> None:
        """Begin without any."""
        self.plan = plan
        self.jobs: dict[str, FakeJob] = {}
        self._now = now
        self._failures: deque[str] = deque()
        self._cuts: deque[int] = deque()
        self._routes: Sequence[tuple[str, re.Pattern[str], Handler]] = [
            (method, re.compile(pattern), handler)
            for method, pattern, handler in (
                ("POST", "/v1/videos", self._new_video),
                ("GET", "/v1/videos", self._videos),
                ("POST", "/v1/videos/([^/]+)/remix", self._remix),
                ("GET", "/v1/videos/([^/]+)", self._video),
                ("DELETE", "/v1/videos/([^/]+)", self._delete),
                ("GET", "/v1/videos/([^/]+)/content", self._content),
                ("POST", "/v1/video/generations", self._new_generation),
                ("GET", "/v1/video/generations/([^/]+)", self._generation),
                ("POST", "/api/(?:cqt/)?generator/suno", self._new_music),
                ("GET", "/api/(?:cqt/)?v2/sunoinfo", self._music),
                ("POST", "/suno/submit/([a-z]+)", self._new_song),
                ("GET", "/suno/act/([a-z0-9]+)/([^/]+)", self._act),
                ("GET", "/suno/fetch/([^/]+)", self._song),
                ("POST", "/suno/fetch", self._songs),
                ("GET", f"{FILES}(.+)", self._file),
            )
        ]

    def fail(self, reason: str = _REASON) -> None:
        """Let the next job that is submitted fail, for that reason."""
        self._failures.append(reason)

    def cut(self, after: int) -> None:
        """Reset the connection of the next download after so many bytes."""
        self._cuts.append(after)

    def route(self, method: str, path: str) -> Handler | None:
        """Return what answers at a path."""
        for known, pattern, handler in self._routes:
            if known == method and pattern.fullmatch(path):
                return handler
        return None

    # --- the board ------------------------------------------------------------------------------

    def _new(self, prefix: str, system: str, action: str, fields: Mapping[str, Json]) -> FakeJob:
        number = uuid5(_SPACE, str(len(self.jobs))).hex
        prompt = str(fields.get("prompt") or fields.get("gpt_description_prompt") or "")
        marked = any(mark in prompt for mark in FAILURE_MARKS)
        reason = self._failures.popleft() if self._failures else _REASON if marked else ""
        job = FakeJob(
            id=prefix + number,
            system=system,
            action=action,
            fields=fields,
            plan=self.plan,
            began=self._now(),
            fails=reason,
        )
        self.jobs[job.id] = job
        return job

    def _find(self, task: str, system: str = "") -> FakeJob | None:
        job = self.jobs.get(task)
        if job is None or job.deleted or (system and job.system != system):
            return None
        return job

    def _asked(self, task: str, system: str) -> FakeJob | None:
        job = self._find(task, system)
        if job is not None:
            job.asked += 1
        return job

    # --- /v1/videos -----------------------------------------------------------------------------

    async def _new_video(self, request: web.Request, record: GatewayRequest) -> web.StreamResponse:
        fields = read_fields(record)
        _check_video(fields)
        job = self._new("video_", "video", "generate", fields)
        if job.plan.video == "job":
            return answer_json(self._video_object(job))
        if job.fails:
            return answer_json({"detail": job.fails}, 500)
        video = mp4(job.plan.size)
        if job.plan.video == "raw":
            return await serve(request, video, {REQUEST_ID: record.request_id})
        if job.plan.video == "url":
            entry = {"url": _url(request, job, "0.mp4")}
        else:
            entry = {"b64_json": b64encode(video.whole()).decode()}
        return answer_json({"created": _BEGAN, "data": [entry]})

    async def _remix(self, _: web.Request, record: GatewayRequest) -> web.StreamResponse:
        first = self._find(_last(record, 2), "video")
        if first is None:
            return _no_video()
        prompt = read_body(record.body).get("prompt")
        job = self._new("video_", "video", "remix", {**first.fields, "prompt": prompt})
        return answer_json({**self._video_object(job), "remixed_from_video_id": first.id})

    async def _video(self, _: web.Request, record: GatewayRequest) -> web.StreamResponse:
        job = self._asked(_last(record), "video")
        return _no_video() if job is None else answer_json(self._video_object(job))

    async def _videos(self, request: web.Request, _: GatewayRequest) -> web.StreamResponse:
        """List the videos page by page, the newest first; that is no asking after them."""
        order, limit = request.query.get("order", "desc"), request.query.get("limit", "20")
        if order not in ("asc", "desc") or not limit.isdecimal() or int(limit) > _MOST_LISTED:
            message = f"order: expected asc or desc, limit: 0 to {_MOST_LISTED}"
            raise Refusal(400, message, type="invalid_request_error", param="", code=None)
        jobs = [job for job in self.jobs.values() if job.system == "video" and not job.deleted]
        ids = [job.id for job in (jobs if order == "asc" else jobs[::-1])]
        after = request.query.get("after")
        if after is not None and after not in ids:
            return _no_video()
        begin = 0 if after is None else ids.index(after) + 1
        page = ids[begin : begin + int(limit)]
        edges = {"first_id": page[0] if page else None, "last_id": page[-1] if page else None}
        data = [self._video_object(self.jobs[name]) for name in page]
        more = begin + len(page) < len(ids)
        return answer_json({"object": "list", "data": data, **edges, "has_more": more})

    async def _delete(self, _: web.Request, record: GatewayRequest) -> web.StreamResponse:
        job = self._find(_last(record), "video")
        if job is None:
            return _no_video()
        job.deleted = True
        return answer_json({"id": job.id, "object": "video.deleted", "deleted": True})

    async def _content(self, request: web.Request, record: GatewayRequest) -> web.StreamResponse:
        job = self._find(_last(record, 2), "video")
        if job is None:
            return _no_video()
        if job.stage(self._now()) != "done":
            message = "Video is not ready yet, use GET /v1/videos/{video_id} to check status."
            return answer_json(
                {"error": {"message": message, "type": "invalid_request_error"}}, 400
            )
        return await self._send(request, record, mp4(job.plan.size))

    def _video_object(self, job: FakeJob) -> Json:
        now = self._now()
        stage = job.stage(now)
        words = {"queued": "queued", "running": "in_progress", "done": "completed"}
        return {
            "id": job.id,
            "object": "video",
            "model": job.fields.get("model"),
            "status": words.get(stage, "failed"),
            "progress": int(job.share(now) * 100),
            "created_at": _BEGAN,
            "completed_at": _BEGAN + 60 if stage == "done" else None,
            "expires_at": _BEGAN + 86_400 if stage == "done" else None,
            "prompt": job.fields.get("prompt"),
            "remixed_from_video_id": None,
            "seconds": str(job.fields.get("seconds") or "4"),
            "size": job.fields.get("size") or "832x480",
            "error": {"code": _CODE, "message": job.fails} if stage == "failed" else None,
        }

    # --- /v1/video/generations ------------------------------------------------------------------

    async def _new_generation(self, _: web.Request, record: GatewayRequest) -> web.StreamResponse:
        fields = read_body(record.body)
        _check_video(fields)
        job = self._new("task_", "video", "generate", fields)
        known = {"id": job.id, "task_id": job.id, "object": "video", "model": fields["model"]}
        return answer_json({**known, "status": "queued", "progress": 0, "created_at": _BEGAN})

    async def _generation(
        self, request: web.Request, record: GatewayRequest
    ) -> web.StreamResponse:
        job = self._asked(_last(record), "video")
        if job is None:
            return _no_task()
        now = self._now()
        stage = job.stage(now)
        words = {"queued": "QUEUED", "running": "IN_PROGRESS", "done": "SUCCESS"}
        data = {
            "task_id": job.id,
            "platform": "ali",
            "action": job.action,
            "status": words.get(stage, "FAILURE"),
            "fail_reason": job.fails if stage == "failed" else "",
            "result_url": _url(request, job, "0.mp4") if stage == "done" else "",
            "submit_time": _BEGAN,
            "progress": f"{job.share(now):.0%}",
            "data": {"vendor": "wan", "status": stage},
        }
        return answer_json({"code": "success", "message": "", "data": data})

    # --- CQTAI's suno ---------------------------------------------------------------------------

    async def _new_music(self, _: web.Request, record: GatewayRequest) -> web.StreamResponse:
        fields = read_body(record.body)
        action = str(fields.get("task"))
        missing = [name for name in _NEEDS.get(action, ()) if fields.get(name) in (None, "")]
        if action not in _NEEDS or missing:
            message = f"参数错误 / invalid: {', '.join(missing) or 'task'}"
            return answer_json({"code": 400, "msg": message, "data": None})
        job = self._new("", "cqtai", action, fields)
        return answer_json({"code": 200, "msg": "操作成功", "data": job.id})

    async def _music(self, request: web.Request, _: GatewayRequest) -> web.StreamResponse:
        ids = request.query.getall("id", [])
        found = [self._asked(task, "cqtai") for task in ids]
        data = [self._music_object(request, job) for job in found if job is not None]
        if not data:
            return answer_json({"code": 404, "msg": "任务不存在 / no such task", "data": None})
        return answer_json(
            {"code": 200, "msg": "操作成功", "data": data if len(ids) > 1 else data[0]}
        )

    def _music_object(self, request: web.Request, job: FakeJob) -> Json:
        stage = job.stage(self._now())
        words = {"queued": "queued", "running": "processing", "done": "complete"}
        return {
            "id": job.id,
            "taskType": job.action,
            "status": words.get(stage, "failed"),
            "errorMsg": job.fails if stage == "failed" else None,
            "param": job.fields,
            "result": _result(request, job, stage),
            "createTime": "2026-01-01 00:00:00",
            "completeTime": "2026-01-01 00:01:00" if stage == "done" else None,
        }

    # --- Suno-API -------------------------------------------------------------------------------

    async def _new_song(self, _: web.Request, record: GatewayRequest) -> web.StreamResponse:
        action = {"music": "create", "lyrics": "lyrics", "concat": "replace_merge"}.get(
            _last(record)
        )
        if action is None:
            return answer_json({"code": "invalid_request", "message": "invalid action"}, 400)
        job = self._new("", "suno-api", action, read_body(record.body))
        return answer_json({"code": "success", "message": "", "data": job.id})

    async def _act(self, request: web.Request, record: GatewayRequest) -> web.StreamResponse:
        acts = {"stems": "gen_stem_two", "midi": "gen_stem_all", "timing": "timeline"}
        what = _last(record, 2)
        action = acts.get(what, what)
        if action not in _NEEDS:
            return _no_task()
        job = self._new("", "suno-api", action, {"clipId": _last(record)})
        return answer_json({"code": "success", "data": _result(request, job, "done")})

    async def _song(self, request: web.Request, record: GatewayRequest) -> web.StreamResponse:
        job = self._asked(_last(record), "suno-api")
        if job is None:
            return _no_task()
        return answer_json(
            {"code": "success", "message": "", "data": self._song_object(request, job)}
        )

    async def _songs(self, request: web.Request, record: GatewayRequest) -> web.StreamResponse:
        ids = read_body(record.body).get("ids") or []
        found = [self._asked(str(task), "suno-api") for task in ids]
        data = [self._song_object(request, job) for job in found if job is not None]
        return answer_json({"code": "success", "message": "", "data": data})

    def _song_object(self, request: web.Request, job: FakeJob) -> Json:
        now = self._now()
        stage = job.stage(now)
        words = {"queued": "SUBMITTED", "running": "IN_PROGRESS", "done": "SUCCESS"}
        return {
            "task_id": job.id,
            "action": "LYRICS" if job.action == "lyrics" else "MUSIC",
            "status": words.get(stage, "FAILURE"),
            "progress": f"{job.share(now):.0%}",
            "fail_reason": job.fails if stage == "failed" else "",
            "data": _result(request, job, stage),
        }

    # --- files ----------------------------------------------------------------------------------

    async def _file(self, request: web.Request, record: GatewayRequest) -> web.StreamResponse:
        task, _, name = record.path.removeprefix(FILES).partition("/")
        job = self._find(task)
        make = _FILES.get(name.rpartition(".")[2])
        if job is None or make is None:
            return web.Response(status=404, text="<html><title>404 Not Found</title></html>")
        return await self._send(request, record, make(job.plan.size))

    async def _send(
        self, request: web.Request, record: GatewayRequest, blob: Blob
    ) -> web.StreamResponse:
        cut = self._cuts.popleft() if self._cuts else None
        response = await serve(request, blob, {REQUEST_ID: record.request_id}, cut=cut)
        record.finished.set()
        return response


_FILES: Mapping[str, Callable[[int], Blob]] = {
    "mp4": mp4,
    "mp3": mp3,
    "wav": wav,
    "mid": lambda _: midi(),
    "png": lambda _: png(),
}

_CREATE = ("model", "prompt")
_NEEDS: Mapping[str, Sequence[str]] = {
    "create": _CREATE,
    "extend": (*_CREATE, "clipId", "continueAt"),
    "cover": (*_CREATE, "clipId"),
    "upload_extend": (*_CREATE, "audioUrl", "continueAt"),
    "upload_cover": (*_CREATE, "audioUrl"),
    "replace_section": ("taskId", "clipId", "infillLyrics", "rangeStartS", "rangeEndS"),
    "replace_merge": ("clipId", "editSessionId"),
    **dict.fromkeys(("gen_stem_two", "gen_stem_all", "mp4", "wav"), ("clipId",)),
    **dict.fromkeys(("timeline", "downbeats"), ("clipId",)),
    **dict.fromkeys(("lyrics", "upsample_tags"), ("prompt",)),
}


# --- what music jobs give -----------------------------------------------------------------------


def _result(request: web.Request, job: FakeJob, stage: Stage) -> Json:
    """Return what a job has given so far: a song can be heard before it is complete."""
    special = _SPECIAL.get(job.action)
    if special is not None:
        return special(request, job) if stage == "done" else None
    if stage not in ("running", "done"):
        return []
    return [_clip(request, job, number, stage) for number in (0, 1)]


def _clip(request: web.Request, job: FakeJob, number: int, stage: Stage) -> Json:
    done = stage == "done"
    fields = job.fields
    return {
        "id": str(UUID(uuid5(_SPACE, f"{job.id}-{number}").hex)),
        "title": fields.get("title") or "春天 🌸",
        "handle": "fake",
        "status": "complete" if done else "streaming",
        "audio_url": _url(request, job, f"{number}.mp3"),
        "video_url": _url(request, job, f"{number}.mp4") if done else "",
        "image_url": _url(request, job, f"{number}-small.png"),
        "image_large_url": _url(request, job, f"{number}.png"),
        "model_name": "chirp-fake",
        "major_model_version": fields.get("model") or fields.get("mv") or "v50",
        "created_at": "2026-01-01T00:00:00Z",
        "batch_index": number,
        "is_public": False,
        "metadata": {
            "tags": fields.get("tags") or "folk",
            "negative_tags": fields.get("negativeTags") or "",
            "prompt": fields.get("prompt") or fields.get("gpt_description_prompt") or "",
            "duration": 121.5 if done else None,
            "type": "gen",
            "stream": True,
            "make_instrumental": bool(fields.get("makeInstrumental")),
        },
    }


def _stems(request: web.Request, job: FakeJob) -> Json:
    names = ("Vocals", "Instrumental")
    return [
        {**_clip(request, job, number, "done"), "title": name} for number, name in enumerate(names)
    ]


def _all_stems(request: web.Request, job: FakeJob) -> Json:
    return [
        {
            "name": name,
            "audio_url": _url(request, job, f"{name}.mp3"),
            "midi_url": _url(request, job, f"{name}.mid"),
        }
        for name in ("drums", "bass", "piano")
    ]


def _lyrics(_: web.Request, __: FakeJob) -> Json:
    text = "[Verse]\n春风又绿江南岸 🌸\n[Chorus]\n明月何时照我还"
    return [{"title": "春风", "text": text, "status": "complete", "tags": ["folk"]}]


_SPECIAL: Mapping[str, Callable[[web.Request, FakeJob], Json]] = {
    "gen_stem_two": _stems,
    "gen_stem_all": _all_stems,
    "lyrics": _lyrics,
    "mp4": lambda request, job: [{"video_url": _url(request, job, "song.mp4")}],
    "wav": lambda request, job: [{"wav_url": _url(request, job, "song.wav")}],
    "timeline": lambda _, __: {"alignedWords": [{"word": "春", "startS": 0.5, "endS": 0.9}]},
    "downbeats": lambda _, __: {"downbeats": [0.4, 2.4, 4.4]},
    "upsample_tags": lambda _, job: {"tags": f"{job.fields['prompt']}, warm acoustic guitar"},
}


def _url(request: web.Request, job: FakeJob, name: str) -> str:
    return f"{request.scheme}://{request.host}{FILES}{job.id}/{name}"


# --- requests and answers -----------------------------------------------------------------------


def _last(record: GatewayRequest, place: int = 1) -> str:
    return record.path.split("/")[-place]


def _check_video(fields: Mapping[str, Json]) -> None:
    """Refuse what no gateway could make a video of."""
    model = fields.get("model")
    if JOB_MODELS.get(str(model)) != "video":
        message = (
            f"分组 default 下模型 {model} 无可用渠道 / no available channel for model {model}"
        )
        raise Refusal(503, message, param="", code="model_not_found")
    if not fields.get("prompt"):
        message = "prompt is required"
        raise Refusal(400, message, param="prompt", code="invalid_request")
    pictures = ("input_reference", "image", "images")
    if model == "wan-i2v" and not any(fields.get(name) for name in pictures):
        message = "input_reference is required for wan-i2v"
        raise Refusal(400, message, param="input_reference", code="invalid_request")


def _no_video() -> web.Response:
    fields = {"type": "invalid_request_error", "param": None, "code": "video_not_found"}
    return answer_json({"error": {"message": "Video not found", **fields}}, 404)


def _no_task() -> web.Response:
    return answer_json({"code": "task_not_exist", "message": "task_not_exist", "data": None}, 400)
