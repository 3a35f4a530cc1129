"""Speech from text, and text from speech."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import orjson

from aiotokengate.download import Download, make_room, write_whole
from aiotokengate.errors import CallerError
from aiotokengate.resources.base import Request, parted_options
from aiotokengate.resources.once import Fetched, Once
from aiotokengate.uploads import Source, file_part, form_of
from aiotokengate.wire.jsontext import dumps
from aiotokengate.wire.media import Transcription, bytes_of, transcription_of
from aiotokengate.wire.problems import find_problem, status_error

if TYPE_CHECKING:
    import os

    from aiotokengate.resources.base import Defaults, Requester

__all__ = ["Audio", "SpeechCall", "TranscriptFormat"]

TranscriptFormat: TypeAlias = Literal["json", "verbose_json", "text", "srt", "vtt"]

_FORMATS: Final = ("json", "verbose_json", "text", "srt", "vtt")
_DONE: Final = b"[DONE]"


class SpeechCall(Fetched[bytes]):
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
        self._taken()
        return _Pieces(self._fetch)

    async def save(self, path: str | os.PathLike[str]) -> Path:
        """Send, and write the sound to a file, which appears when it is whole.

        Directories are made.

        Raises:
            CallerError: that is a directory.
            OSError: the file can't be written.
        """
        self._taken()
        await asyncio.to_thread(make_room, Path(path))  # before it costs anything
        async with await self._fetch() as download:
            if not _is_stream(download):
                return await download.save(path)
            return await write_whole(_Sounds(download), path)


async def _whole(requester: Requester, request: Request) -> bytes:
    async with await requester.fetch(request) as download:
        if not _is_stream(download):
            return await download.read()
        return b"".join([piece async for piece in _Sounds(download)])


def _is_stream(download: Download) -> bool:
    return download.content_type == "text/event-stream"


class _Pieces(AsyncIterator[bytes]):
    """The sound as it comes, opened by the first step."""

    __slots__ = ("_fetch", "_pieces")

    def __init__(self, fetch: Callable[[], Awaitable[Download]]) -> None:
        self._fetch = fetch
        self._pieces: AsyncIterator[bytes] | None = None

    async def __anext__(self) -> bytes:
        try:
            if self._pieces is None:
                download = await self._fetch()
                self._pieces = _Sounds(download) if _is_stream(download) else aiter(download)
            return await anext(self._pieces)
        finally:
            del self


class _Sounds(AsyncIterator[bytes]):
    """The sound inside of events (``stream_format="sse"``)."""

    __slots__ = ("_events",)

    def __init__(self, download: Download) -> None:
        self._events = download.events()

    async def __anext__(self) -> bytes:
        try:
            while True:
                sound = _sound((await anext(self._events)).data)
                if sound:
                    return sound
        finally:
            del self


def _sound(data: bytes) -> bytes:
    """Read an event: ``speech.audio.delta`` holds sound in base64."""
    if data.startswith(_DONE):
        return b""
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError:
        return b""
    problem = find_problem(event)
    if problem is not None:
        raise status_error(None, data, {}, problem=problem)
    audio = event.get("audio", event.get("delta")) if isinstance(event, dict) else None
    return bytes_of(audio) if isinstance(audio, str) else b""


class Audio:
    """Speaks and listens: ``gate.audio``."""

    __slots__ = ("_defaults", "_requester")

    def __init__(self, requester: Requester, defaults: Defaults) -> None:
        """Do both over a session."""
        self._requester = requester
        self._defaults = defaults

    def speak(
        self,
        model: str,
        text: str,
        *,
        voice: str | None = None,
        **params: Any,  # noqa: ANN401 - the API's own, and the options of every call
    ) -> SpeechCall:
        """Describe speech to be made.

        Args:
            model: such as "tts-1-hd" or "Qwen3-TTS-12Hz-1.7B-CustomVoice".
            text: what is to be said; OpenAI's models take 4,096 characters.
            voice: "alloy" and others of OpenAI's, which want one; "vivian" and others of Qwen's.
            params: the API's own (``response_format``, ``speed``, ``instructions``, ``language``,
                ``stream_format`` ...), sent as they are; and ``timeout``, ``retry``, ``deadline``,
                ``priority``, ``fair_key``, ``extra_headers`` as for :meth:`TokenGate.chat`.

        Raises:
            CallerError: an argument is wrong.
        """
        for name, value in (("model", model), ("text", text)):
            if not isinstance(value, str) or not value.strip():
                got = "an empty one" if isinstance(value, str) else type(value).__name__
                message = f"expected {name} as a text, got {got}"
                raise CallerError(message)
        options, fields = parted_options(params)
        spoken = {"voice": voice} if voice is not None else {}
        path = self._defaults.paths.get("audio_speech", "/audio/speech")
        request = Request(
            "POST",
            path,
            body=dumps({"model": model, "input": text, **spoken, **fields}),
            pooled=True,
            secrets=lambda: (text,),
            **options.asked(self._defaults, model),
        )
        fetch = partial(self._requester.fetch, request)
        return SpeechCall(partial(_whole, self._requester, request), fetch, model)

    def transcribe(
        self,
        model: str,
        file: Source,
        *,
        response_format: TranscriptFormat = "json",
        timestamps: Sequence[Literal["word", "segment"]] = (),
        **params: Any,  # noqa: ANN401 - the API's own, and the options of every call
    ) -> Once[Transcription]:
        """Write down what is said; await it.

        Args:
            model: such as "whisper-1".
            file: the sound: bytes, a path, or an async iterable of bytes; it is read in pieces
                while it is sent.
            response_format: "verbose_json" gives segments, "srt" and "vtt" subtitles.
            timestamps: of words or segments, with "verbose_json".
            params: the API's own (``language``, ``prompt``, ``temperature`` ...), ``filename``
                where the file has no name of its own; and the options of :meth:`speak`.

        Raises:
            CallerError: an argument is wrong.
        """
        if response_format not in _FORMATS:
            message = f"expected response_format as one of {', '.join(_FORMATS)}"
            raise CallerError(message)
        options, fields = parted_options(params)
        name = fields.pop("filename", None) or _usual_name(file)
        part = file_part("file", file, name)
        texts = {"model": model, "response_format": response_format, **fields}
        form = form_of(texts, (part,))
        granular = tuple(("timestamp_granularities[]", one) for one in timestamps)
        path = self._defaults.paths.get("audio_transcriptions", "/audio/transcriptions")
        request = Request(
            "POST",
            path,
            form=type(form)((*form.fields, *granular), form.files),
            pooled=True,
            secrets=lambda: (str(fields.get("prompt") or ""),),
            **options.asked(self._defaults, model),
        )
        return Once(partial(_transcription, self._requester, request), model)


def _usual_name(file: object) -> str | None:
    """Give bytes and streams a name: models look at its ending."""
    return None if isinstance(file, str) or hasattr(file, "__fspath__") else "audio.wav"


async def _transcription(requester: Requester, request: Request) -> Transcription:
    async with await requester.fetch(request) as download:
        if download.content_type.endswith("json"):
            return transcription_of(await download.json())
        body: Mapping[str, Any] | str = (await download.read()).decode("utf-8", "replace")
        return transcription_of(body)
