"""Music: Suno's actions, as CQTAI sells them, or over the Suno-API dialect.

The names of the actions in Chinese are those of TokenGate's page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, Never, TypeAlias, TypedDict, Unpack
from urllib.parse import quote, urlencode

import attrs

from aiotokengate._base.copying import Shared
from aiotokengate._base.sealing import sealed_class
from aiotokengate._base.settings import EXTRA_BODY, checked
from aiotokengate._calls.request import HttpRequest
from aiotokengate._resources.jobs import Job
from aiotokengate._resources.options import OF_A_SESSION, Options, SendOptions, check_names, refuse
from aiotokengate._resources.tasks import (
    check_numbers,
    check_text,
    fetch_file,
    one_report,
    patient,
    reports,
    submission,
    system_name,
)
from aiotokengate._wire.jobs import (
    Clip,
    JobFile,
    JobReport,
    cqtai_body,
    read_music,
    suno_api_request,
)
from aiotokengate._wire.jsontext import dumps
from aiotokengate.errors import CallerError

if TYPE_CHECKING:
    from aiotokengate._calls.request import Request, Requester
    from aiotokengate._resources.jobs import Pollers
    from aiotokengate._resources.options import Defaults
    from aiotokengate._stream.download import Download

__all__ = ["Music", "MusicDialect", "SongParams"]

MusicDialect: TypeAlias = Literal["cqtai", "suno-api"]

MODEL = "suno"
"""What the pool, hooks and attempts call it; the model that sings is a field of the request."""

PATHS = {
    "suno_generator": "../api/cqt/generator/suno",
    "suno_info": "../api/cqt/v2/sunoinfo",
    "suno_unwrap": "data",
    "suno_api": "../suno",
}
"""Settings of the session's ``paths``: CQTAI's two paths, the key under which its answers are
wrapped ("" for none, dots for several), and the root of Suno-API."""

TOGETHER = 20

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

_SHORT_PROMPT = 400
_TITLE = 80
_PROMPT: Mapping[str, int] = {"v40": 3_000}
_STYLE: Mapping[str, int] = {"v40": 200}
_LATER_PROMPT, _LATER_STYLE = 5_000, 1_000
_WEIGHTS = ("style_weight", "weirdness_constraint", "audio_weight")


class SongParams(TypedDict, total=False):
    """What a song may be asked with.

    Attributes:
        model: "v40", "v45", "v45+", "v45-lite" or "v50" (the default).
        custom_mode: whether the prompt is the lyrics, and not a description; by default it is
            where ``tags`` or ``title`` are given.
        make_instrumental: without singing.
        tags: the style; at most 1000 characters, 200 for v40.
        negative_tags: what it is not to sound like.
        title: at most 80 characters.
        vocal_gender: "m" or "f".
        style_weight: how much the style counts, from 0 to 1; ``weirdness_constraint`` and
            ``audio_weight`` likewise.
        extra_body: fields that are sent as they are.
    """

    model: str
    custom_mode: bool
    make_instrumental: bool
    tags: str
    negative_tags: str
    title: str
    vocal_gender: Literal["m", "f"]
    style_weight: float
    weirdness_constraint: float
    audio_weight: float
    extra_body: Mapping[str, Any]


_PARAMS = frozenset(SongParams.__annotations__)
_OPTIONS = frozenset(SendOptions.__annotations__)


@attrs.frozen
class MusicSystem:
    """How music of one dialect is asked after; several jobs share a request."""

    requester: Requester
    defaults: Defaults
    dialect: MusicDialect
    endpoint: str = ""
    together: int = TOGETHER

    @property
    def name(self) -> str:
        """The beginning of their ids."""
        return system_name("music", self.dialect, self.endpoint)

    async def send(self, request: Request) -> tuple[MusicSystem, JobReport]:
        """Submit an action."""
        report, endpoint = await one_report(self.requester, request, self._read)
        return attrs.evolve(self, endpoint=endpoint), report

    async def poll(self, tasks: Sequence[str]) -> Mapping[str, JobReport]:
        """Ask after jobs."""
        asking = _DIALECTS[self.dialect].ask(self, tasks)
        found, _ = await reports(self.requester, asking, self._read)
        if len(tasks) == 1 and len(found) == 1:
            return {tasks[0]: found[0]}
        return {report.id: report for report in found}

    async def cancel(self, task: str) -> None:
        """Refuse: neither dialect can.

        Raises:
            CallerError: always.
        """
        message = f"expected a job that can be cancelled, those of {self.name} can't: {task!r}"
        raise CallerError(message)

    async def fetch(self, file: JobFile) -> Download:
        """Begin to fetch a file."""
        return await fetch_file(self.requester, self.defaults, file, self.endpoint)

    def submission(
        self,
        action: str,
        fields: Mapping[str, Any],
        options: Options,
        *prompts: str,
        extra: Mapping[str, Any] = _NOTHING,
    ) -> Request:
        """Return the request of an action.

        Raises:
            CallerError: the dialect has no such action.
        """
        path, body = _DIALECTS[self.dialect].act(self, action, fields)
        options = attrs.evolve(options, timeout=patient(options.timeout, self.defaults))
        if body is None:
            http = HttpRequest("GET", path)
        else:
            http = HttpRequest("POST", path, dumps({**body, **extra}))
        return submission(options, self.defaults, http, MODEL, *prompts)

    def path(self, name: str) -> str:
        """Return a setting, or where it is by default."""
        return self.defaults.paths.get(name, PATHS[name])

    def _read(self, body: object) -> tuple[JobReport, ...]:
        return read_music(body, self.path("suno_unwrap"))

    def asking(self, method: str, path: str, body: bytes | None = None) -> Request:
        """Return a request that asks after jobs."""
        return self.defaults.request(HttpRequest(method, path, body), self.endpoint)


# --- the dialects -------------------------------------------------------------------------------

Body: TypeAlias = dict[str, Any] | None


def _ask_cqtai(system: MusicSystem, tasks: Sequence[str]) -> Request:
    query = urlencode([("id", task) for task in tasks])
    return system.asking("GET", f"{system.path('suno_info')}?{query}")


def _act_cqtai(system: MusicSystem, action: str, fields: Mapping[str, Any]) -> tuple[str, Body]:
    return system.path("suno_generator"), cqtai_body(action, fields)


def _ask_suno_api(system: MusicSystem, tasks: Sequence[str]) -> Request:
    path = f"{system.path('suno_api')}/fetch"
    if len(tasks) == 1:
        return system.asking("GET", f"{path}/{quote(tasks[0], safe='')}")
    return system.asking("POST", path, dumps({"ids": list(tasks), "action": "MUSIC"}))


def _act_suno_api(system: MusicSystem, action: str, fields: Mapping[str, Any]) -> tuple[str, Body]:
    wanted = suno_api_request(action, fields)
    clip = quote(str(fields.get("clip", "")), safe="")
    return f"{system.path('suno_api')}/{wanted.path.format(clip=clip)}", wanted.body


@attrs.frozen
class _Dialect:
    """One of the forms in which gateways sell Suno.

    Attributes:
        name: what the user calls it.
        ask: returns the request that asks after jobs.
        act: returns the path and the body of an action; no body is a GET.
    """

    name: MusicDialect
    ask: Callable[[MusicSystem, Sequence[str]], Request]
    act: Callable[[MusicSystem, str, Mapping[str, Any]], tuple[str, Body]]


_ROWS = (
    _Dialect("cqtai", _ask_cqtai, _act_cqtai),
    _Dialect("suno-api", _ask_suno_api, _act_suno_api),
)
_DIALECTS: Mapping[str, _Dialect] = {row.name: row for row in _ROWS}


@sealed_class
class Music(Shared):
    """Makes music: ``gate.music``.  Every method returns a :class:`~aiotokengate.jobs.Job`.

    ::

        song = await gate.music.create("一首关于春天的民谣 🌸")
        longer = await gate.music.extend(song.clips[0], "再来一段副歌", continue_at=60)
        await gate.music.wav(longer.clips[0]).save("spring.wav")

    A clip is given as its id or as the :class:`~aiotokengate._wire.jobs.Clip`.
    """

    _instead = OF_A_SESSION

    def __init__(
        self,
        requester: Requester,
        defaults: Defaults,
        pollers: Pollers,
        dialect: MusicDialect = "cqtai",
        options: Options | None = None,
    ) -> None:
        """Make it over a session."""
        self._system = MusicSystem(requester, defaults, dialect)
        self._pollers = pollers
        self._options = options or Options()

    def using(self, dialect: str | None = None, **options: Unpack[SendOptions]) -> Music:
        """Return the same with other settings.

        Args:
            dialect: "cqtai" or "suno-api"; the latter lacks covers, uploads, sections, beats and
                tags.
            options: those of every call, for each job: ``deadline`` in seconds from its first use
                on; the others are for the request that submits it.

        Raises:
            CallerError: an argument is wrong.
        """
        way = "what a song is asked with goes to create() and the like"
        check_names(options, _OPTIONS, "dialect", way=way)
        system = self._system
        row = _DIALECTS.get(system.dialect if dialect is None else dialect)
        if row is None:
            message = f"expected dialect {' or '.join(map(repr, _DIALECTS))}, got {dialect!r}"
            raise CallerError(message)
        checked = attrs.evolve(self._options, **options)
        return Music(system.requester, system.defaults, self._pollers, row.name, checked)

    # --- songs ----------------------------------------------------------------------------------

    def create(self, prompt: str, **params: Unpack[SongParams]) -> Job:
        """创建音乐: make a song, in two versions.

        Args:
            prompt: what it is about, at most 400 characters; with ``custom_mode`` the lyrics, at
                most 5000, 3000 for v40.
            params: see :class:`SongParams`.

        Raises:
            CallerError: an argument is wrong.
        """
        return self._song("create", prompt, params)

    def extend(
        self, clip: Clip | str, prompt: str, *, continue_at: float, **params: Unpack[SongParams]
    ) -> Job:
        """扩展音乐: make a song longer, from a second of it on.

        Raises:
            CallerError: an argument is wrong.
        """
        more = {"clip": _clip_id(clip), "continue_at": continue_at}
        return self._song("extend", prompt, params, more)

    def cover(self, clip: Clip | str, prompt: str, **params: Unpack[SongParams]) -> Job:
        """翻唱音乐: sing a song in another way.

        Raises:
            CallerError: an argument is wrong.
        """
        return self._song("cover", prompt, params, {"clip": _clip_id(clip)})

    def upload_extend(
        self, audio_url: str, prompt: str, *, continue_at: float, **params: Unpack[SongParams]
    ) -> Job:
        """上传并扩展音乐: make a recording longer, that stands at a public address.

        Raises:
            CallerError: an argument is wrong.
        """
        more = {"audio_url": _address(audio_url), "continue_at": continue_at}
        return self._song("upload_extend", prompt, params, more)

    def upload_cover(self, audio_url: str, prompt: str, **params: Unpack[SongParams]) -> Job:
        """上传并翻唱音乐: sing a recording in another way, that stands at a public address.

        Raises:
            CallerError: an argument is wrong.
        """
        return self._song("upload_cover", prompt, params, {"audio_url": _address(audio_url)})

    # --- parts of songs -------------------------------------------------------------------------

    def replace_section(
        self,
        job: Job | str,
        clip: Clip | str,
        lyrics: str,
        *,
        start: float,
        end: float,
        tags: str = "",
        title: str = "",
        **unknown: Never,
    ) -> Job:
        """修改音乐片段: sing the seconds from ``start`` to ``end`` of a song with other lyrics.

        Args:
            job: that made the song, or its id.
            clip: the song.
            lyrics: what is sung there.
            start: seconds.
            end: seconds.
            tags: the style.
            title: at most 80 characters.
            unknown: nothing else; a misspelt option is told.

        Raises:
            CallerError: an argument is wrong.
        """
        _refuse(unknown, self.replace_section)
        check_text("lyrics", lyrics, _LATER_PROMPT)
        _check_length("tags", tags, _LATER_STYLE)
        _check_length("title", title, _TITLE)
        check_numbers({"start": start, "end": end}, ("start", "end"))
        if not start < end:
            message = f"expected start before end, got {start:g} and {end:g}"
            raise CallerError(message)
        fields = {"task": _place(job)[1], "clip": _clip_id(clip), "lyrics": lyrics}
        more = {"tags": tags, "title": title, "start": start, "end": end}
        return self._job("replace_section", {**fields, **more}, lyrics)

    def replace_merge(self, clip: Clip | str, edit_session: str, **unknown: Never) -> Job:
        """音乐片段合并: put a replaced section and its song together.

        Raises:
            CallerError: an argument is wrong.
        """
        _refuse(unknown, self.replace_merge)
        check_text("edit_session", edit_session)
        return self._job("replace_merge", {"clip": _clip_id(clip), "edit_session": edit_session})

    def stems(self, clip: Clip | str, **unknown: Never) -> Job:
        """生成人声和伴奏: take the voice and the instruments apart."""
        _refuse(unknown, self.stems)
        return self._job("gen_stem_two", {"clip": _clip_id(clip)})

    def all_stems(self, clip: Clip | str, **unknown: Never) -> Job:
        """获取音轨（MIDI）: take every instrument apart, as MIDI."""
        _refuse(unknown, self.all_stems)
        return self._job("gen_stem_all", {"clip": _clip_id(clip)})

    # --- what belongs to songs ------------------------------------------------------------------

    def lyrics(self, prompt: str, **unknown: Never) -> Job:
        """获取歌词: write lyrics; they are in ``result.extra``."""
        _refuse(unknown, self.lyrics)
        check_text("prompt", prompt)
        return self._job("lyrics", {"prompt": prompt}, prompt)

    def mp4(self, clip: Clip | str, **unknown: Never) -> Job:
        """获取 MP4: make a video of a song."""
        _refuse(unknown, self.mp4)
        return self._job("mp4", {"clip": _clip_id(clip)})

    def wav(self, clip: Clip | str, **unknown: Never) -> Job:
        """获取 WAV: give a song without loss."""
        _refuse(unknown, self.wav)
        return self._job("wav", {"clip": _clip_id(clip)})

    def timeline(self, clip: Clip | str, **unknown: Never) -> Job:
        """获取歌词/音频时间线: say when each word is sung; it is in ``result.extra``."""
        _refuse(unknown, self.timeline)
        return self._job("timeline", {"clip": _clip_id(clip)})

    def beats(self, clip: Clip | str, **unknown: Never) -> Job:
        """获取节拍: say when each bar begins; it is in ``result.extra``."""
        _refuse(unknown, self.beats)
        return self._job("downbeats", {"clip": _clip_id(clip)})

    def tags(self, prompt: str, **unknown: Never) -> Job:
        """获取 tags: describe a style more fully; the tags are in ``result.extra``."""
        _refuse(unknown, self.tags)
        check_text("prompt", prompt)
        return self._job("upsample_tags", {"prompt": prompt}, prompt)

    # --- jobs -----------------------------------------------------------------------------------

    async def query(self, *jobs: Job | str) -> tuple[JobReport, ...]:
        """音乐查询: ask once how jobs are, all in one request for each key.

        Args:
            jobs: themselves, or their ids, the gateway's own as well.

        Raises:
            CallerError: there are none.
            TokenGateError: see :mod:`aiotokengate.errors`.
        """
        places = [_place(job) for job in jobs]
        if not places:
            message = "expected at least one job, got none"
            raise CallerError(message)
        found: dict[str, JobReport] = {}
        for endpoint in dict.fromkeys(endpoint for endpoint, _ in places):
            system = attrs.evolve(self._system, endpoint=endpoint)
            found.update(await system.poll([task for key, task in places if key == endpoint]))
        return tuple(found[task] for _, task in places if task in found)

    def job(self, task: str, *, endpoint: str = "") -> Job:
        """Come back to a job by the gateway's own id.

        Args:
            task: the id.
            endpoint: which of several keys it was made with.

        Raises:
            CallerError: the id is none.
        """
        check_text("the id of a job", task)
        system = attrs.evolve(self._system, endpoint=endpoint)
        deadline, keys = self._options.deadline, system.requester.keys
        return Job(system, self._pollers, task=task, deadline=deadline, secrets=keys)

    def _song(
        self,
        action: str,
        prompt: str,
        params: Mapping[str, Any],
        more: Mapping[str, Any] | None = None,
    ) -> Job:
        fields = {"model": "v50", **_given(params)}
        extra = fields.pop("extra_body", {})
        checked(extra, EXTRA_BODY)
        custom = fields.setdefault("custom_mode", bool(fields.keys() & {"tags", "title"}))
        _check_song(prompt, fields, custom=bool(custom))
        check_numbers(more or {}, ("continue_at",))
        return self._job(action, {"prompt": prompt, **fields, **(more or {})}, prompt, extra=extra)

    def _job(
        self,
        action: str,
        fields: Mapping[str, Any],
        *prompts: str,
        extra: Mapping[str, Any] = _NOTHING,
    ) -> Job:
        system, options = self._system, self._options
        given = {name: value for name, value in fields.items() if value != ""}
        request = system.submission(action, given, options, *prompts, extra=extra)

        async def send(left: float | None) -> tuple[MusicSystem, JobReport]:
            return await system.send(request.within(left))

        def secrets() -> tuple[str, ...]:
            return (*system.requester.keys(), *request.texts())

        deadline = options.deadline
        return Job(system, self._pollers, submit=send, deadline=deadline, secrets=secrets)


def _refuse(unknown: Mapping[str, Any], method: Callable[..., object]) -> None:
    _check_no_option(unknown)
    refuse(unknown, method, "options of calls go to gate.music.using()")


def _check_no_option(names: Iterable[str]) -> None:
    for name in names:
        if name in _OPTIONS:
            message = f"expected {name!r} with the options of calls: gate.music.using({name}=...)"
            raise CallerError(message)


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    _check_no_option(params)
    check_names(params, _PARAMS, "prompt", "continue_at")
    return {name: value for name, value in params.items() if value is not None}


def _check_song(prompt: object, fields: Mapping[str, Any], *, custom: bool) -> None:
    """Check the lengths of CQTAI's page (suno, 创建音乐)."""
    model = fields["model"]
    check_text("model", model)
    check_text("prompt", prompt, _PROMPT.get(model, _LATER_PROMPT) if custom else _SHORT_PROMPT)
    for name in ("tags", "negative_tags"):
        _check_length(name, fields.get(name, ""), _STYLE.get(model, _LATER_STYLE))
    _check_length("title", fields.get("title", ""), _TITLE)
    check_numbers(fields, _WEIGHTS, 1.0)
    if fields.get("vocal_gender", "m") not in ("m", "f"):
        message = f"expected vocal_gender 'm' or 'f', got {fields['vocal_gender']!r}"
        raise CallerError(message)


def _check_length(name: str, text: object, most: int) -> None:
    if text != "":
        check_text(name, text, most)


def _clip_id(clip: object) -> str:
    task = clip.id if isinstance(clip, Clip) else clip
    check_text("clip as a Clip or its id", task)
    return str(task)


def _place(job: object) -> tuple[str, str]:
    """Return which key a job was made with, and the gateway's own id of it; either id will do."""
    name = job.id if isinstance(job, Job) else job
    check_text("job as a Job or its id", name)
    system, _, rest = str(name).partition(":")
    if system != "music" or not rest:
        return "", str(name)
    dialect, _, task = rest.partition(":")
    return dialect.partition("@")[2], task


def _address(url: object) -> str:
    check_text("audio_url", url)
    if not str(url).startswith(("http://", "https://")):
        message = "expected audio_url to begin with http:// or https://, and to be public"
        raise CallerError(message)
    return str(url)
