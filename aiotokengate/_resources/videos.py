"""Videos: jobs, or a video at once, over either of the two paths that gateways have."""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Never, TypeAlias, Unpack, cast
from urllib.parse import quote

import attrs

from aiotokengate._base.copying import Shared
from aiotokengate._base.sealing import sealed_class
from aiotokengate._calls.request import HttpRequest
from aiotokengate._http.uploads import FilePart, Form, Source, file_part
from aiotokengate._resources.jobs import Job
from aiotokengate._resources.options import (
    OF_A_SESSION,
    CallOptions,
    Options,
    parted_options,
    refuse,
)
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
    JobFile,
    JobReport,
    JobResult,
    file_of,
    read_videos,
    unified_body,
    video_fields,
)
from aiotokengate._wire.jsontext import dumps
from aiotokengate.errors import CallerError

if TYPE_CHECKING:
    from aiotokengate._calls.request import Request, Requester
    from aiotokengate._resources.jobs import Pollers
    from aiotokengate._resources.options import Defaults
    from aiotokengate._stream.download import Download
    from aiotokengate.catalogue import Model
    from aiotokengate.types import Json

__all__ = ["VideoDialect", "VideoParams", "Videos"]

VideoDialect: TypeAlias = Literal["sora", "unified"]


class VideoParams(CallOptions, total=False):
    """What else a video may be asked with, and the options of every call.

    Whatever the model does not take, leave out.

    Attributes:
        size: width and height in pixels, as in "832x480".
        seconds: how long it is to be.
        negative_prompt: what is not to be seen.
        seed: the same one gives the same video.
        num_frames: in place of seconds; ``fps``: how many of them make a second.
        mode: of the vendor, such as "pro".
        images: several addresses of pictures, where the model takes them.
    """

    size: str
    seconds: float | str
    negative_prompt: str
    seed: int
    width: int
    height: int
    num_frames: int
    fps: int
    num_inference_steps: int
    guidance_scale: float
    guidance_scale_2: float
    boundary_ratio: float
    flow_shift: float
    mode: str
    images: Sequence[str]


_PARAMS = frozenset(VideoParams.__annotations__)
_NUMBERS = (
    *("seconds", "width", "height", "num_frames", "fps", "num_inference_steps"),
    *("guidance_scale", "guidance_scale_2", "boundary_ratio", "flow_shift"),
)


@attrs.frozen
class VideoSystem:
    """How videos of one dialect are asked after."""

    requester: Requester
    defaults: Defaults
    dialect: VideoDialect
    endpoint: str = ""
    together: int = 1

    @property
    def name(self) -> str:
        """The beginning of their ids."""
        return system_name("video", self.dialect, self.endpoint)

    @property
    def path(self) -> str:
        """Where they are made."""
        row = _DIALECTS[self.dialect]
        return self.defaults.paths.get(row.setting, row.path)

    async def send(self, request: Request) -> tuple[VideoSystem, JobReport]:
        """Submit a video."""
        report, endpoint = await one_report(self.requester, request, read_videos)
        return attrs.evolve(self, endpoint=endpoint), self._located(report)

    async def poll(self, tasks: Sequence[str]) -> Mapping[str, JobReport]:
        """Ask after one video."""
        http = HttpRequest("GET", self._path_of(tasks[0]))
        request = self.defaults.request(http, self.endpoint)
        found, _ = await reports(self.requester, request, read_videos)
        return {tasks[0]: self._located(found[0], tasks[0])} if found else {}

    async def cancel(self, task: str) -> None:
        """Delete a video (OpenAI, vllm-omni).

        Raises:
            CallerError: new-api's unified path has no way to.
        """
        if not _DIALECTS[self.dialect].deletes:
            message = f"expected a job that can be cancelled, those of {self.name} can't"
            raise CallerError(message)
        http = HttpRequest("DELETE", self._path_of(task))
        # Costly, because a second one would be told that there is no such video.
        request = Options().request(self.defaults, http, pooled=False, endpoint=self.endpoint)
        async with await self.requester.fetch(request) as download:
            if download.content_type.endswith("json"):
                await download.json()

    async def fetch(self, file: JobFile) -> Download:
        """Begin to fetch a video."""
        return await fetch_file(self.requester, self.defaults, file, self.endpoint)

    def _path_of(self, task: str) -> str:
        return f"{self.path}/{quote(task, safe='')}"

    def _located(self, report: JobReport, task: str = "") -> JobReport:
        """Add where OpenAI's form has the video, which says so nowhere."""
        lacks = report.status.state == "done" and not report.result.files
        task = task or report.id
        if not (lacks and task and _DIALECTS[self.dialect].has_content):
            return report
        file = JobFile("video", f"{self._path_of(task)}/content", mime="video/mp4")
        return attrs.evolve(report, result=JobResult((file,), extra=report.result.extra))


@sealed_class
class Videos(Shared):
    """Makes videos: ``gate.videos``."""

    _instead = OF_A_SESSION

    def __init__(self, requester: Requester, defaults: Defaults, pollers: Pollers) -> None:
        """Make them over a session."""
        self._requester = requester
        self._defaults = defaults
        self._pollers = pollers

    def create(
        self,
        model: str,
        prompt: str,
        *,
        image: Source | None = None,
        dialect: VideoDialect = "sora",
        **params: Unpack[VideoParams],
    ) -> Job:
        """Describe a video to be made; await the job, iterate it, or submit it.

        ::

            result = await gate.videos.create("wan-t2v", "一只猫在弹钢琴", seconds=4)
            await gate.videos.create("wan-i2v", "镜头推近", image="cat.png").save("cat.mp4")

        The gateway may answer with a job, with the video as base64, or with the video itself; it
        is waited for at least ten minutes.

        Args:
            model: such as "wan-t2v" (text to video) or "wan-i2v" (image to video).
            prompt: what is to be seen.
            image: the first picture: bytes, a path, an async iterable of bytes, or the address of
                one (``https://`` or ``data:``).
            dialect: "sora" is ``/v1/videos`` (OpenAI's, and that of the Wan models' own server),
                sent as a form, or as JSON where the image is an address; "unified" is new-api's
                ``/v1/video/generations``.
            params: the API's own, see :class:`VideoParams`; and ``timeout``, ``retry``,
                ``priority``, ``fair_key``, ``extra_headers``, ``extra_body`` as for
                :meth:`TokenGate.chat`, for the request that submits it; ``deadline``, seconds for
                everything together, from the first use of the job on; and ``idempotency_key``,
                which is made by default.

        Raises:
            CallerError: an argument is wrong.
        """
        check_text("model", model)
        check_text("prompt", prompt)
        options, given, extra = parted_options(params, _PARAMS, "image", "dialect", "prompt")
        check_numbers(given, _NUMBERS)
        system, way = self._system(dialect), _DIALECTS[dialect]
        fields = way.fields(self._defaults.catalogue.find(model), model, prompt, given)
        options = attrs.evolve(options, timeout=patient(options.timeout, self._defaults))
        http = HttpRequest("POST", system.path)
        request = submission(options, self._defaults, http, model, prompt)
        picture = _checked(image, dialect)
        order = _Order(system, request, {**fields, **extra}, picture)
        deadline, secrets = options.deadline, order.secrets
        return Job(system, self._pollers, submit=order.send, deadline=deadline, secrets=secrets)

    def job(
        self,
        task: str,
        *,
        dialect: str = "sora",
        deadline: float | None = None,
        endpoint: str = "",
        **unknown: Never,
    ) -> Job:
        """Come back to a job by the gateway's own id.

        Args:
            task: the id.
            dialect: as for :meth:`create`.
            deadline: seconds until it must be done.
            endpoint: which of several keys it was made with.
            unknown: nothing else; a misspelt option is told.

        Raises:
            CallerError: there is no such dialect.
        """
        refuse(unknown, self.job, "leave it out")
        check_text("the id of a job", task)
        system = attrs.evolve(self._system(dialect), endpoint=endpoint)
        left = Options(deadline=deadline).deadline
        keys = self._requester.keys
        return Job(system, self._pollers, task=task, deadline=left, secrets=keys)

    def _system(self, name: str) -> VideoSystem:
        row = _DIALECTS.get(name)
        if row is None:
            message = f"expected dialect {' or '.join(map(repr, _DIALECTS))}, got {name!r}"
            raise CallerError(message)
        return VideoSystem(self._requester, self._defaults, row.name)


@attrs.frozen(eq=False, repr=False)
class _Order:
    """A video on its way to the gateway."""

    system: VideoSystem
    request: Request
    fields: Mapping[str, Any]
    image: Source | None

    def secrets(self) -> tuple[str, ...]:
        """Return what is blanked in an error that echoes it."""
        from aiotokengate._base.redaction import texts_in

        image = str(self.image) if isinstance(self.image, str | os.PathLike) else ""
        fields = texts_in({**self.fields, "image": image})
        return (*self.system.requester.keys(), *self.request.texts(), *fields)

    async def send(self, left: float | None) -> tuple[VideoSystem, JobReport]:
        """Submit it, within so many seconds."""
        body, form = await _DIALECTS[self.system.dialect].fill(self.fields, self.image)
        return await self.system.send(self.request.within(left).with_content(body, form))


# --- the dialects -------------------------------------------------------------------------------

Content: TypeAlias = tuple[bytes | None, Form | None]
"""A body, or a form."""


async def _fill_form(fields: Mapping[str, Json], image: Source | None) -> Content:
    """Send a form, with the picture as a file; or JSON, where the picture has an address."""
    if _is_address(image) and not str(image).startswith("data:"):
        return dumps({**fields, "input_reference": image}), None
    files = () if image is None else (_picture(image),)
    return None, Form(tuple((name, _text(value)) for name, value in fields.items()), files)


async def _fill_json(fields: Mapping[str, Json], image: Source | None) -> Content:
    """Send JSON, with the picture's address or its base64."""
    if image is not None:
        fields = {**fields, "image": image if _is_address(image) else await _base64(image)}
    return dumps(fields), None


@attrs.frozen
class _Dialect:
    """One of the paths that gateways have for videos.

    Attributes:
        name: what the user calls it.
        setting: the name of its path among the session's settings.
        path: where it is by default.
        fields: returns what is sent, in the form that the row of the model says.
        fill: returns the body or the form that is sent, with the first picture.
        deletes: whether a video can be deleted.
        has_content: whether a video is fetched from ``/content`` where nothing says its address.
        takes_streams: whether the first picture may be a stream.
    """

    name: VideoDialect
    setting: str
    path: str
    fields: Callable[[Model, str, str, Mapping[str, Json]], dict[str, Json]]
    fill: Callable[[Mapping[str, Json], Source | None], Awaitable[Content]]
    deletes: bool = False
    has_content: bool = False
    takes_streams: bool = False


_SORA = _Dialect(
    "sora",
    "videos",
    "/videos",
    lambda row, *asked: video_fields(*asked, frames=row.video_form == "frames"),
    _fill_form,
    deletes=True,
    has_content=True,
    takes_streams=True,
)
_UNIFIED = _Dialect(
    "unified",
    "video_generations",
    "/video/generations",
    lambda _, *asked: unified_body(*asked),
    _fill_json,
)
_DIALECTS: Mapping[str, _Dialect] = {row.name: row for row in (_SORA, _UNIFIED)}


def _picture(image: Source) -> FilePart:
    """Return the first picture as a file; servers look at its type (OpenAI, vllm-omni)."""
    if isinstance(image, str) and image.startswith("data:"):
        found = file_of(image, "image")
        if found is None:
            message = "expected image as a data URI with base64, got another one"
            raise CallerError(message)
        image = found.data
    if not isinstance(image, bytes | bytearray | memoryview):
        return file_part("input_reference", image)
    data = bytes(image)
    suffix = next((end for magic, end in _MAGIC if data.startswith(magic)), "")
    return file_part("input_reference", data, f"image{suffix}")


_MAGIC = ((b"\x89PNG", ".png"), (b"\xff\xd8\xff", ".jpg"))


def _text(value: object) -> str:
    """Return a value as forms have it: texts as they are, all else as JSON."""
    return value if isinstance(value, str) else dumps(value).decode()


def _is_address(image: object) -> bool:
    return isinstance(image, str) and image.startswith(("http://", "https://", "data:"))


def _checked(image: Source | None, dialect: str) -> Source | None:
    if image is None or _is_address(image):
        return image
    file_part("image", image)  # refuses what is no file
    is_stream = not isinstance(image, bytes | bytearray | memoryview | str | os.PathLike)
    if is_stream and not _DIALECTS[dialect].takes_streams:
        message = f"expected image as bytes, a path or an address for {dialect!r}, got a stream"
        raise CallerError(message)
    return image


async def _base64(image: Source) -> str:
    if isinstance(image, str | os.PathLike):
        image = await asyncio.to_thread(Path(image).read_bytes)
    # Streams are refused when the video is described.
    return (await asyncio.to_thread(b64encode, cast("bytes", image))).decode()
