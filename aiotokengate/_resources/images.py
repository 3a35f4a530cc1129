"""Images: made from a prompt, or edited, with the sketches before the last one."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Unpack

import attrs
import orjson

from aiotokengate._base.copying import Shared
from aiotokengate._base.sealing import bare, sealed, sealed_class
from aiotokengate._http.uploads import Form, Source, file_part, form_of
from aiotokengate._resources.base import (
    OF_A_SESSION,
    CallOptions,
    Options,
    Request,
    parted_options,
)
from aiotokengate._resources.single_use import AwaitedCall
from aiotokengate._stream.download import make_room
from aiotokengate._wire.jsontext import dumps
from aiotokengate._wire.media import ImageData, image_event, images_of, usage_in
from aiotokengate.errors import CallerError, TokenGateError, TransportError, WireError
from aiotokengate.types import Usage

if TYPE_CHECKING:
    import os

    from aiotokengate._resources.base import Defaults, Requester
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
    svg: Mapping[str, Any]
    true_cfg_scale: float
    user: str
    watermark: bool


_PARAMS = frozenset(ImageParams.__annotations__)

_DASHSCOPE = "../api/v1/services/aigc/multimodal-generation/generation"
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
        self.url = image.url
        self.mime = image.mime
        self.revised_prompt = image.revised_prompt
        self._data = image.data
        self._fetch = fetch

    def __repr__(self) -> str:
        """Say how large it is; an address may hold a signature."""
        size = "to be fetched" if self._data is None else f"{len(self._data)} bytes"
        return f"<Image {self.mime or 'untyped'}, {size}>"

    @property
    def data(self) -> bytes | None:
        """The bytes, None while they stand elsewhere; then await :meth:`read`."""
        return self._data

    async def read(self) -> bytes:
        """Give the bytes; fetch them first if they stand elsewhere.

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
        data = await self.read()
        return await asyncio.to_thread(_write, Path(path), data)

    async def pil(self) -> Any:  # noqa: ANN401 - Pillow may be missing
        """Give it as an image of Pillow's.

        Raises:
            CallerError: Pillow is not installed.
        """
        try:
            from PIL import Image as Pillow  # noqa: PLC0415 - not a dependency
        except ImportError:
            message = "expected Pillow to be installed: pip install pillow"
            raise CallerError(message) from None
        from io import BytesIO  # noqa: PLC0415 - for Pillow alone

        return Pillow.open(BytesIO(await self.read()))


def _write(path: Path, data: bytes) -> Path:
    make_room(path)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    return path


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
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)

    def __len__(self) -> int:
        """Count them."""
        return len(self.images)

    def __getitem__(self, place: Any) -> Any:  # noqa: ANN401 - one, or several of a slice
        """Give one, or several."""
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
        super().__init__(partial(maker.ask, plain), f"{plain.method} {plain.path}")
        self._maker = maker
        self._streamed = streamed

    def __aiter__(self) -> AsyncIterator[Sketch]:
        """Send at the first step, and give each image as it comes."""
        self._take("iterated")
        return _Sketches(self._maker, self._streamed)


class _Sketches(AsyncIterator[Sketch]):
    __slots__ = ("_download", "_events", "_found", "_is_whole", "_maker", "_request")

    def __init__(self, maker: ImagesMaker, request: Request) -> None:
        self._maker = maker
        self._request = request
        self._download: Download | None = None
        self._events: AsyncIterator[ServerSentEvent] | None = None
        self._found: deque[Sketch] = deque()
        self._is_whole = False

    async def __anext__(self) -> Sketch:
        try:
            if self._download is None:
                await self._open()
            while not self._found:
                await self._more()
            return self._found.popleft()
        except TokenGateError as error:
            if self._download is not None:
                self._download.close()
            bare(error)
            raise
        finally:
            del self

    async def _open(self) -> None:
        download = self._download = await self._maker.requester.fetch(self._request)
        if download.content_type == "text/event-stream":
            self._events = download.events()
        else:
            # A gateway, or a model, that does not stream: the images at once.
            self._take_all(await download.json())

    async def _more(self) -> None:
        event = None if self._events is None else await anext(self._events, None)
        if event is not None:
            self._read(event.data)
        elif self._is_whole:
            raise StopAsyncIteration
        else:
            message = "the stream ended before the image was whole"
            raise TransportError(message, request_id=self._told.request_id)

    @property
    def _told(self) -> Download:
        assert self._download is not None  # noqa: S101 - opened by the first step
        return self._download

    def _read(self, data: bytes) -> None:
        if data.startswith(_DONE):
            return
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        self._told.raise_error_in(event, data)
        found = image_event(event)
        if found is not None:
            self._is_whole = self._is_whole or found[1] is None
            self._found.append(Sketch(self._maker.image(found[0]), found[1]))
        elif isinstance(event, dict) and "type" not in event:
            self._take_all(event)

    def _take_all(self, body: object) -> None:
        """Take a whole answer in place of events."""
        self._is_whole = True
        self._found.extend(Sketch(self._maker.image(image)) for image in images_of(body))


@sealed_class
class ImagesMaker(Shared):
    """Makes and edits images: ``gate.images``."""

    __slots__ = ("_defaults", "requester")

    _instead = OF_A_SESSION

    def __init__(self, requester: Requester, defaults: Defaults) -> None:
        """Make them over a session."""
        self.requester = requester
        self._defaults = defaults

    def generate(
        self,
        model: str,
        prompt: str,
        *,
        face: Face = "openai",
        **params: Unpack[ImageParams],
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
        _check(model, prompt)
        options, fields, extra = parted_options(params, _PARAMS, "face", "prompt")
        if face == "dashscope":
            usual = self._defaults.paths.get("images_dashscope", _DASHSCOPE)
            words = [{"role": "user", "content": [{"text": prompt}]}]
            body: dict[str, Any] = {"model": model, "input": {"messages": words}}
            body["parameters"] = {**fields, **extra.get("parameters", {})}
            body.update({name: value for name, value in extra.items() if name != "parameters"})
            request = self._request(usual, options, model, prompt, body=dumps(body))
            return ImageCall(self, request, request)
        if face != "openai":
            message = f"expected face 'openai' or 'dashscope', got {face!r}"
            raise CallerError(message)
        path = self._defaults.paths.get("images_generations", "/images/generations")
        body = {"model": model, "prompt": prompt, **fields, **extra}
        make = partial(self._request, path, options, model, prompt)
        return ImageCall(self, make(body=dumps(body)), make(body=dumps({**body, "stream": True})))

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
        _check(model, prompt)
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
        """Give an image that can fetch itself; for the call."""
        return Image(image, self._fetch)

    async def _fetch(self, url: str) -> Download:
        request = Request("GET", url, self._defaults.timeout, self._defaults.retry)
        request.headers = {"Accept": "*/*"}
        return await self.requester.fetch(request)

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
        return Request(
            "POST",
            path,
            body=body,
            form=form,
            pooled=True,
            secrets=lambda: (prompt,),
            **options.asked(self._defaults, model, costly=True),
        )


def _check(model: object, prompt: object) -> None:
    for name, text in (("model", model), ("prompt", prompt)):
        if not isinstance(text, str) or not text:
            message = f"expected {name} as a text, got {text!r}"[:100]
            raise CallerError(message)


def _named(source: object) -> str | None:
    """Give bytes and streams a name: gateways look at its ending."""
    return None if isinstance(source, str) or hasattr(source, "__fspath__") else "image.png"
