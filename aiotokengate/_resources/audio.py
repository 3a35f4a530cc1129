"""Speech from text, and text from speech."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, Unpack

import attrs
import orjson

from aiotokengate._base.copying import Shared
from aiotokengate._base.sealing import sealed, sealed_class
from aiotokengate._calls.request import HttpRequest
from aiotokengate._http.uploads import Source, file_part, form_of
from aiotokengate._policy.estimate import CallSize
from aiotokengate._resources.awaited import AwaitedCall, FetchedCall
from aiotokengate._resources.options import OF_A_SESSION, CallOptions, parted_options
from aiotokengate._resources.tasks import check_text
from aiotokengate._stream.download import Download, make_room, write_whole
from aiotokengate._wire.jsontext import dumps, loads
from aiotokengate._wire.media import Transcription, bytes_of, transcription_of
from aiotokengate.errors import CallerError, TokenGateError, TransportError

if TYPE_CHECKING:
    import os

    from aiotokengate._calls.request import Request, Requester
    from aiotokengate._resources.options import Defaults
    from aiotokengate.types import Json

__all__ = [
    "Audio",
    "SpeechCall",
    "SpeechParams",
    "TranscriptFormat",
    "TranscriptParams",
    "TranscriptionCall",
]

TranscriptFormat: TypeAlias = Literal["json", "verbose_json", "text", "srt", "vtt"]

_JSON: Final = ("json", "verbose_json")
_FORMATS: Final = (*_JSON, "text", "srt", "vtt")
_DONE: Final = b"[DONE]"
_SOUND: Final = "a sound"


class SpeechParams(CallOptions, total=False):
    """What speech may be asked with, and the options of every call.

    Sources: OpenAI's Speech reference; and for Qwen3-TTS vllm-omni's (``language`` to ``stream``).
    """

    instructions: str
    response_format: str
    speed: float
    stream_format: str
    language: str
    max_new_tokens: int
    ref_audio: str
    ref_text: str
    task_type: str
    x_vector_only_mode: bool
    stream: bool


class TranscriptParams(CallOptions, total=False):
    """What may be said of a recording, and the options of every call.

    Source: OpenAI's Transcriptions reference, its newest client's too; ``filename`` is ours.
    """

    chunking_strategy: Json
    filename: str
    include: Sequence[str]
    keywords: Sequence[str]
    known_speaker_names: Sequence[str]
    known_speaker_references: Sequence[str]
    language: str
    languages: Sequence[str]
    prompt: str
    temperature: float


_SPEECH = frozenset(SpeechParams.__annotations__)
_TRANSCRIPT = frozenset(TranscriptParams.__annotations__)
_LISTS = ("include", "keywords", "known_speaker_names", "known_speaker_references", "languages")


class SpeechCall(FetchedCall[bytes]):
    """Speech to be made: a stream of bytes.  Use it once, in one of four ways.

    ::

        data = await gate.audio.speak("tts-1-hd", "你好 👋", voice="alloy")
        await gate.audio.speak("tts-1-hd", "你好", voice="alloy").save("hello.mp3")
        async for piece in gate.audio.speak(...): ...
        async with gate.audio.speak(...) as speech: ...     # with its headers

    Many gateways read the whole of it before they send its first byte.
    """

    __slots__ = ()

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Send at the first step, and give the sound as it comes."""
        self._take("iterated")
        return _Pieces(self._fetch)

    @sealed
    def save(self, path: str | os.PathLike[str]) -> Coroutine[Any, Any, Path]:
        """Send, and write the sound to a file, which appears when it is whole.

        Directories are made.

        Raises:
            CallerError: that is a directory.
            OSError: the file can't be written.
        """
        self._take("saved")
        return self._saved(path)

    async def _saved(self, path: str | os.PathLike[str]) -> Path:
        await asyncio.to_thread(make_room, Path(path))  # before it costs anything
        async with await self._fetch() as download:
            await download.expect(_SOUND)
            if not _is_stream(download):
                return await download.save(path)
            return await write_whole(_Sounds(download), path)


class TranscriptionCall(AwaitedCall[Transcription]):
    """Speech to be written down; await it."""

    __slots__ = ()


@sealed
async def _whole(requester: Requester, request: Request) -> bytes:
    async with await requester.fetch(request) as download:
        await download.expect(_SOUND)
        if not _is_stream(download):
            return await download.read()
        return b"".join([piece async for piece in _Sounds(download)])


def _is_stream(download: Download) -> bool:
    return download.content_type == "text/event-stream"


@attrs.define(eq=False, repr=False)
class _Pieces(AsyncIterator[bytes]):
    """The sound as it comes, opened by the first step."""

    _fetch: Callable[[], Awaitable[Download]]
    _pieces: AsyncIterator[bytes] | None = None

    @sealed
    async def __anext__(self) -> bytes:
        if self._pieces is None:
            download = await self._fetch()
            await download.expect(_SOUND)
            self._pieces = _Sounds(download) if _is_stream(download) else aiter(download)
        return await anext(self._pieces)


class _Sounds(AsyncIterator[bytes]):
    """The sound inside of events (``stream_format="sse"``)."""

    __slots__ = ("_download", "_events", "_is_whole")

    def __init__(self, download: Download) -> None:
        self._download = download
        self._events = download.events()
        self._is_whole = False

    @sealed
    async def __anext__(self) -> bytes:
        try:
            while (event := await anext(self._events, None)) is not None:
                if sound := self._sound(event.data):
                    return sound
        except TokenGateError:
            self._download.close()
            raise
        if self._is_whole:
            raise StopAsyncIteration
        self._download.close()
        message = "the stream ended before the sound was whole"
        raise TransportError(message, request_id=self._download.request_id)

    def _sound(self, data: bytes) -> bytes:
        """Read an event: ``speech.audio.delta`` holds sound in base64, ``.done`` ends it."""
        if data.startswith(_DONE):
            self._is_whole = True
            return b""
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            event = None
        if not isinstance(event, dict):
            message = f"expected events in JSON, got {len(data)} bytes that are not"
            raise self._download.unfit(message)
        kind = str(event.get("type"))
        is_error = kind.endswith(".error") and "error" not in event
        self._download.raise_error_in({"error": event} if is_error else event, data)
        self._is_whole = self._is_whole or kind.endswith(".done")
        audio = event.get("audio", event.get("delta"))
        return bytes_of(audio) if isinstance(audio, str) else b""


@sealed_class
class Audio(Shared):
    """Speaks and listens: ``gate.audio``."""

    __slots__ = ("_defaults", "_requester")

    _instead = OF_A_SESSION

    def __init__(self, requester: Requester, defaults: Defaults) -> None:
        """Work over a session."""
        self._requester = requester
        self._defaults = defaults

    def speak(
        self, model: str, text: str, *, voice: str | None = None, **params: Unpack[SpeechParams]
    ) -> SpeechCall:
        """Describe speech to be made.

        Args:
            model: such as "tts-1-hd" or "Qwen3-TTS-12Hz-1.7B-CustomVoice".
            text: what is to be said; OpenAI's models take 4,096 characters.
            voice: "alloy" and others of OpenAI's, which want one; "vivian" and others of Qwen's.
            params: the API's own, see :class:`SpeechParams`; and ``timeout``, ``retry``,
                ``deadline``, ``priority``, ``fair_key``, ``extra_headers``, ``extra_body`` as for
                :meth:`TokenGate.chat`, and ``idempotency_key``, which is made by default.

        Raises:
            CallerError: an argument is wrong.
        """
        check_text("model", model)
        check_text("text", text)
        options, fields, extra = parted_options(params, _SPEECH, "voice", "text")
        spoken = {"voice": voice} if voice is not None else {}
        path = self._defaults.paths.get("audio_speech", "/audio/speech")
        body = dumps({"model": model, "input": text, **spoken, **fields, **extra})
        size = CallSize(texts=lambda: (text,))
        http = HttpRequest("POST", path, body)
        request = options.request(self._defaults, http, model, size=size)
        fetch = partial(self._requester.fetch, request)
        return SpeechCall(partial(_whole, self._requester, request), fetch, model)

    def transcribe(
        self,
        model: str,
        file: Source,
        *,
        response_format: TranscriptFormat = "json",
        timestamps: Sequence[Literal["word", "segment"]] = (),
        **params: Unpack[TranscriptParams],
    ) -> TranscriptionCall:
        """Write down what is said; await it.

        Args:
            model: such as "whisper-1".
            file: the sound: bytes, a path, or an async iterable of bytes; it is read in pieces
                while it is sent.
            response_format: "verbose_json" gives segments, "srt" and "vtt" subtitles.
            timestamps: of words or segments, with "verbose_json".
            params: the API's own, see :class:`TranscriptParams`, ``filename`` where the file has
                no name of its own; and the options of :meth:`speak`.

        Raises:
            CallerError: an argument is wrong.
        """
        if response_format not in _FORMATS:
            message = f"expected response_format as one of {', '.join(_FORMATS)}"
            raise CallerError(message)
        own = ("file", "response_format", "timestamps")
        options, fields, extra = parted_options(params, _TRANSCRIPT, *own)
        name = fields.pop("filename", None) or _usual_name(file)
        part = file_part("file", file, name)
        lists = {"timestamp_granularities": timestamps}
        lists |= {name: fields.pop(name) for name in _LISTS if name in fields}
        texts = {"model": model, "response_format": response_format, **fields, **extra}
        form = form_of(texts, (part,))
        # As OpenAI's own client writes lists into a form.
        several = tuple((f"{name}[]", str(one)) for name, all_ in lists.items() for one in all_)
        path = self._defaults.paths.get("audio_transcriptions", "/audio/transcriptions")
        size = CallSize(texts=lambda: (str(fields.get("prompt") or ""),))
        form = type(form)((*form.fields, *several), form.files)
        http = HttpRequest("POST", path, form=form)
        request = options.request(self._defaults, http, model, size=size)
        listen = partial(_transcription, self._requester, request, response_format)
        return TranscriptionCall(listen, model)


def _usual_name(file: object) -> str | None:
    """Return bytes and streams a name: models look at its ending."""
    return None if isinstance(file, str) or hasattr(file, "__fspath__") else "audio.wav"


@sealed
async def _transcription(
    requester: Requester, request: Request, response_format: str
) -> Transcription:
    async with await requester.fetch(request) as download:
        body = await download.read()
        try:
            parsed = loads(body)
        except (ValueError, RecursionError):
            parsed = None
        if isinstance(parsed, dict):
            # Whatever its type says, and whatever was asked for.
            download.raise_error_in(parsed, body)
            return transcription_of(parsed)
        kind = download.content_type
        if kind == "text/html" or (response_format in _JSON and kind.endswith("json")):
            message = f"expected a transcription, got {len(body)} bytes that are none"
            raise download.unfit(message)
        return transcription_of(body.decode("utf-8", "replace"))
