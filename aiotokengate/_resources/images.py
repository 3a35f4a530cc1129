"""Images: made from a prompt, or edited, with the sketches before the last one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Unpack, overload

import attrs
import orjson

from aiotokengate._base.copying import Shared
from aiotokengate._base.sealing import sealed, sealed_class
from aiotokengate._calls.request import HttpRequest
from aiotokengate._http.uploads import Form, Source, file_part, form_of
from aiotokengate._policy.estimate import CallSize
from aiotokengate._resources.awaited import AwaitedCall
from aiotokengate._resources.files import write_file
from aiotokengate._resources.options import OF_A_SESSION, CallOptions, Options, parted_options
from aiotokengate._resources.tasks import check_text
from aiotokengate._stream.download import make_room
from aiotokengate._wire.jsontext import dumps
from aiotokengate._wire.media import ImageData, image_event, images_of, usage_in
from aiotokengate.errors import CallerError, TokenGateError, TransportError, WireError
from aiotokengate.types import Json, Usage

if TYPE_CHECKING:
    import os

    from PIL.Image import Image as Picture

    from aiotokengate._calls.request import Request, Requester
    from aiotokengate._resources.options import Defaults
    from aiotokengate._stream.download import Download
    from aiotokengate._wire.sse import ServerSentEvent

__all__ = ["Face", "Image", "ImageCall", "ImageParams", "Images", "ImagesMaker", "Sketch"]

Face: TypeAlias = Literal["openai", "dashscope"]
"""Which of the two forms that image gateways have."""


class ImageParams(CallOptions, total=False):
    """What images may be asked with, and the options of every call.

    Sources: OpenAI's Images reference (its newest client's, too); what new-api passes on; and for
    the Qwen models vllm-omni's and Alibaba's own (``negative_prompt`` to ``true_cfg_scale``,
    ``prompt_extend``, ``watermark``).
    """

    background: str
    complexity: str
    frame_count: int
    frame_duration_ms: int
    guidance_scale: float
    input_fidelity: str
    markup: str
    moderation: str
    n: int
    negative_prompt: str
    num_inference_steps: int
    output_compression: int
    output_format: str
    partial_images: int
    prompt_extend: bool
    quality: str
    response_format: str
    safety_identifier: str
    seed: int
    size: str
    style: str
    svg: Mapping[str, Json]
    true_cfg_scale: float
    user: str
    watermark: bool


_PARAMS = frozenset(ImageParams.__annotations__)

_DONE = b"[DONE]"


class Image(Shared):
    """An image: its bytes, or an address that is fetched when they are wanted.

    Attributes:
        url: where it stands, "" if the bytes came.
        mime: its type, "" while nobody knows.
        revised_prompt: what the model made of the prompt.
    """

    __slots__ = ("_data", "_fetch", "mime", "revised_prompt", "url")

    _instead = (
        "an Image may have to be fetched by its session; its bytes can be, await image.read()"
    )

    def __init__(
        self, image: ImageData, fetch: Callable[[str], Coroutine[Any, Any, Download]]
    ) -> None:
        """Take an image as it came."""
        self.url: str = image.url
        self.mime: str = image.mime
        self.revised_prompt: str = image.revised_prompt
        self._data = image.data
        self._fetch = fetch

    def __repr__(self) -> str:
        """Show how large it is; an address may hold a signature."""
        size = "to be fetched" if self._data is None else f"{len(self._data)} bytes"
        return f"<Image {self.mime or 'untyped'}, {size}>"

    @property
    def data(self) -> bytes | None:
        """The bytes, None while they stand elsewhere; then await :meth:`read`."""
        return self._data

    async def read(self) -> bytes:
        """Return the bytes; fetch them first if they stand elsewhere.

        Raises:
            TokenGateError: they can't be fetched.
        """
        if self._data is None:
            async with await self._fetch(self.url) as download:
                await download.expect("an image")
                self.mime = download.content_type or self.mime
                self._data = await download.read()
        return self._data

    @sealed
    async def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it to a file, which appears when it is whole; directories are made.

        Raises:
            CallerError: that is a directory.
            OSError: the file can't be written.
        """
        data, target = await self.read(), Path(path)
        await asyncio.to_thread(make_room, target)
        await asyncio.to_thread(write_file, target, data)
        return target

    async def pil(self) -> Picture:
        """Return it as an image of Pillow's.

        Raises:
            CallerError: Pillow is not installed.
        """
        try:
            from PIL.Image import open as opened  # noqa: PLC0415 - not a dependency
        except ImportError:
            message = "expected Pillow to be installed: pip install pillow"
            raise CallerError(message) from None
        return opened(BytesIO(await self.read()))


@attrs.frozen
class Sketch:
    """An image on its way: ``number`` counts the partial ones, None is the last one itself."""

    image: Image
    number: int | None = None


@attrs.frozen
class Images(Sequence[Image]):
    """The images of one request.

    Attributes:
        images: in order.
        usage: what they cost.
        extra: the rest of the answer.
    """

    images: tuple[Image, ...]
    usage: Usage
    extra: Mapping[str, Json] = attrs.field(factory=dict, repr=False)

    def __len__(self) -> int:
        """Count them."""
        return len(self.images)

    @overload
    def __getitem__(self, place: int) -> Image: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Image, ...]: ...
    def __getitem__(self, place: int | slice) -> Image | tuple[Image, ...]:
        """Return one, or several."""
        return self.images[place]


class ImageCall(AwaitedCall[Images]):
    """A request for images: await it, or iterate it for the sketches before the last one.

    ::

        images = await gate.images.generate("gpt-image-2", "一只橘猫 🐈")
        await images[0].save("cat.png")

        async for sketch in gate.images.generate("gpt-image-2", "一只橘猫 🐈", partial_images=2):
            print(sketch.number)
    """

    __slots__ = ("_maker", "_streamed")

    def __init__(self, maker: ImagesMaker, plain: Request, streamed: Request) -> None:
        """Keep what to send; nothing is."""
        super().__init__(partial(maker.ask, plain), f"{plain.http.method} {plain.http.path}")
        self._maker = maker
        self._streamed = streamed

    def __aiter__(self) -> AsyncIterator[Sketch]:
        """Send at the first step, and give each image as it comes."""
        self._take("iterated")
        return _Sketches(self._maker, self._streamed)


@attrs.define(eq=False, repr=False)
class _Sketches(AsyncIterator[Sketch]):
    """The images as they come; the request is sent at the first step."""

    _maker: ImagesMaker
    _request: Request
    _answer: _Answer | None = None

    @sealed
    async def __anext__(self) -> Sketch:
        try:
            if self._answer is None:
                download = await self._maker.requester.fetch(self._request)
                self._answer = _Answer(self._maker.image, download)
                await self._answer.begin()
            return await self._answer.next()
        except TokenGateError:
            if self._answer is not None:
                self._answer.download.close()
            raise


@attrs.define(eq=False, repr=False)
class _Answer:
    """The answer of a gateway: a stream of events with images, or all of them at once."""

    _image: Callable[[ImageData], Image]
    download: Download
    _events: AsyncIterator[ServerSentEvent] | None = None
    _found: deque[Sketch] = attrs.field(factory=deque)
    _is_whole: bool = False

    async def begin(self) -> None:
        """Look at what it is; a gateway, or a model, may not stream."""
        if self.download.content_type == "text/event-stream":
            self._events = self.download.events()
        else:
            self._take_all(await self.download.json())

    async def next(self) -> Sketch:
        """Return the next image; raise StopAsyncIteration after the last."""
        while not self._found:
            await self._more()
        return self._found.popleft()

    async def _more(self) -> None:
        event = None if self._events is None else await anext(self._events, None)
        if event is not None:
            self._read(event.data)
        elif self._is_whole:
            raise StopAsyncIteration
        else:
            message = "the stream ended before the image was whole"
            raise TransportError(message, request_id=self.download.request_id)

    def _read(self, data: bytes) -> None:
        if data.startswith(_DONE):
            return
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        self.download.raise_error_in(event, data)
        found = image_event(event)
        if found is not None:
            self._is_whole = self._is_whole or found[1] is None
            self._found.append(Sketch(self._image(found[0]), found[1]))
        elif isinstance(event, dict) and "type" not in event:
            self._take_all(event)

    def _take_all(self, body: object) -> None:
        """Take a whole answer in place of events."""
        self._is_whole = True
        self._found.extend(Sketch(self._image(image)) for image in images_of(body))


Fields: TypeAlias = Mapping[str, Json]


def _openai_body(model: str, prompt: str, fields: Fields, extra: Fields) -> dict[str, Json]:
    return {"model": model, "prompt": prompt, **fields, **extra}


def _dashscope_body(model: str, prompt: str, fields: Fields, extra: Fields) -> dict[str, Json]:
    messages = [{"role": "user", "content": [{"text": prompt}]}]
    parameters = {**fields, **extra.get("parameters", {})}
    rest = {name: value for name, value in extra.items() if name != "parameters"}
    return {"model": model, "input": {"messages": messages}, "parameters": parameters, **rest}


@attrs.frozen
class _FaceRow:
    """One of the forms that image gateways have.

    Attributes:
        setting: the name of its path among the session's settings.
        path: where it is by default.
        body: returns the body of a request.
        streams: whether sketches can be asked for.
    """

    setting: str
    path: str
    body: Callable[[str, str, Fields, Fields], dict[str, Json]]
    streams: bool = False


_ALIBABA = "../api/v1/services/aigc/multimodal-generation/generation"
_FACES: Mapping[str, _FaceRow] = {
    "openai": _FaceRow("images_generations", "/images/generations", _openai_body, streams=True),
    "dashscope": _FaceRow("images_dashscope", _ALIBABA, _dashscope_body),
}


@sealed_class
class ImagesMaker(Shared):
    """Makes and edits images: ``gate.images``."""

    __slots__ = ("_defaults", "requester")

    _instead = OF_A_SESSION

    def __init__(self, requester: Requester, defaults: Defaults) -> None:
        """Make them over a session."""
        self.requester: Requester = requester
        self._defaults = defaults

    def generate(
        self, model: str, prompt: str, *, face: Face = "openai", **params: Unpack[ImageParams]
    ) -> ImageCall:
        """Describe images to be made.

        Args:
            model: such as "gpt-image-2" or "qwen-image".
            prompt: what is to be seen.
            face: "dashscope" for a gateway that has Alibaba's form of this in place of OpenAI's.
            params: the API's own, see :class:`ImageParams`; and ``timeout``, ``retry``,
                ``deadline``, ``priority``, ``fair_key``, ``extra_headers``, ``extra_body`` as for
                :meth:`TokenGate.chat`, and ``idempotency_key``, which is made by default.

        Raises:
            CallerError: an argument is wrong.
        """
        check_text("model", model)
        check_text("prompt", prompt)
        options, fields, extra = parted_options(params, _PARAMS, "face", "prompt")
        row = _FACES.get(face)
        if row is None:
            message = f"expected face {' or '.join(map(repr, _FACES))}, got {face!r}"
            raise CallerError(message)
        path = self._defaults.paths.get(row.setting, row.path)
        body = row.body(model, prompt, fields, extra)
        make = partial(self._request, path, options, model, prompt)
        streamed = {**body, "stream": True} if row.streams else body
        return ImageCall(self, make(body=dumps(body)), make(body=dumps(streamed)))

    def edit(
        self,
        model: str,
        prompt: str,
        image: Source | Sequence[Source],
        *,
        mask: Source | None = None,
        **params: Unpack[ImageParams],
    ) -> ImageCall:
        """Describe what is to become of images.

        Args:
            model: such as "gpt-image-2" or "qwen-image-edit".
            prompt: what is to be changed.
            image: one or several: bytes, a path, or an async iterable of bytes.
            mask: where it may be changed.
            params: as for :meth:`generate`.

        Raises:
            CallerError: an argument is wrong.
        """
        check_text("model", model)
        check_text("prompt", prompt)
        if "face" in params:
            message = "expected no face= here, only generate() has it"
            raise CallerError(message)
        options, fields, extra = parted_options(params, _PARAMS, "image", "mask", "prompt")
        several = list(image) if isinstance(image, list | tuple) else [image]
        name = "image" if len(several) == 1 else "image[]"
        files = [file_part(name, one, _named(one)) for one in several]
        if mask is not None:
            files.append(file_part("mask", mask, _named(mask)))
        texts = {"model": model, "prompt": prompt, **fields, **extra}
        path = self._defaults.paths.get("images_edits", "/images/edits")
        make = partial(self._request, path, options, model, prompt)
        return ImageCall(
            self,
            make(form=form_of(texts, files)),
            make(form=form_of({**texts, "stream": True}, files)),
        )

    async def ask(self, request: Request) -> Images:
        """Send a request, and give its images; for the call itself.

        Raises:
            WireError: the answer holds none.
        """
        body = await self.requester.ask(request)
        if not isinstance(body, Mapping):
            message = f"expected images, got a JSON {type(body).__name__}"
            raise WireError(message)
        found = tuple(self.image(image) for image in images_of(body))
        rest = {key: value for key, value in body.items() if key not in ("data", "output")}
        return Images(found, usage_in(body), rest)

    def image(self, image: ImageData) -> Image:
        """Return an image that can fetch itself; for the call."""
        return Image(image, self._fetch)

    async def _fetch(self, url: str) -> Download:
        http = HttpRequest("GET", url, headers={"Accept": "*/*"})
        return await self.requester.fetch(self._defaults.request(http))

    def _request(
        self,
        path: str,
        options: Options,
        model: str,
        prompt: str,
        *,
        body: bytes | None = None,
        form: Form | None = None,
    ) -> Request:
        size = CallSize(texts=lambda: (prompt,))
        http = HttpRequest("POST", path, body, form)
        return options.request(self._defaults, http, model, size=size)


def _named(source: object) -> str | None:
    """Return bytes and streams a name: gateways look at its ending."""
    return None if isinstance(source, str) or hasattr(source, "__fspath__") else "image.png"
