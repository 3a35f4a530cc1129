"""Embeddings, images, speech and transcription, as the fake gateway does them.

What it makes is small, valid, and the same for the same question: unit vectors from the letters of
a text, one-pixel pictures, noise, and a transcription that says what file it heard.

Sources: OpenAI's API reference, vllm-omni's and DashScope's pages.
"""

from __future__ import annotations

import hashlib
import math
import struct
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NoReturn

import attrs
import orjson
from aiohttp import web

from aiotokengate.testing._chat_request import Refusal, read_body, read_fields
from aiotokengate.testing._dialects import event
from aiotokengate.testing._files import mp3, png, wav
from aiotokengate.testing._output import Handler, answer_json
from aiotokengate.testing._request import GatewayRequest
from aiotokengate.testing._tokens import count_tokens
from aiotokengate.types import Json

__all__ = ["MEDIA_MODELS", "media_route"]

DIMENSIONS: Mapping[str, int] = {
    "text-embedding-ada-002": 1536,
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
}
IMAGES = ("gpt-image-2", "qwen-image", "qwen-image-edit")
SPEAKERS: Mapping[str, tuple[str, ...]] = {
    "tts-1-hd": ("alloy", "ash", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer"),
    "Qwen3-TTS-12Hz-1.7B-CustomVoice": (
        *("aiden", "dylan", "eric", "ono_anna", "ryan", "serena"),
        *("sohee", "uncle_fu", "vivian"),
    ),
}
LISTENERS = ("whisper-1",)
MODERATORS = ("omni-moderation-latest", "text-moderation-latest")
"""Answer, but nobody lists them."""
MEDIA_MODELS: Mapping[str, str] = {
    **dict.fromkeys(DIMENSIONS, "embeddings"),
    **dict.fromkeys(IMAGES, "images"),
    **dict.fromkeys(SPEAKERS, "speech"),
    **dict.fromkeys(LISTENERS, "transcription"),
}
"""What answers on these paths, and no chat."""

_MOST_INPUTS = 2_048
_MOST_IMAGES = 10
_BEGAN = 1_767_225_600
_TTS_LIMIT = 4_096
_FORMATS = {
    "mp3": "audio/mpeg",
    **{name: f"audio/{name}" for name in ("wav", "opus", "aac", "flac", "pcm")},
}


def media_route(method: str, path: str) -> Handler | None:
    """Return what answers on a path."""
    return _ROUTES.get((method, path))


def _refuse(message: str, param: str) -> NoReturn:
    kind = "invalid_request_error"
    raise Refusal(400, message, type=kind, param=param, code="invalid_value")


def _check_model(model: Json, known: Sequence[str] | Mapping[str, Json]) -> None:
    if model not in known:
        message = f"分组 default 下模型 {model} 无可用渠道 / no available channel for {model}"
        raise Refusal(503, message, param="", code="model_not_found")


# --- embeddings ---------------------------------------------------------------------------------


async def _embeddings(_: web.Request, record: GatewayRequest) -> web.StreamResponse:
    body = read_body(record.body)
    model = body.get("model")
    _check_model(model, DIMENSIONS)
    inputs = _inputs(body.get("input"))
    size = body.get("dimensions", DIMENSIONS[str(model)])
    if not isinstance(size, int) or not 0 < size <= DIMENSIONS[str(model)]:
        _refuse(f"Invalid value for 'dimensions': {size!r}", "dimensions")
    as_text = body.get("encoding_format") == "base64"
    rows = [
        {"object": "embedding", "index": place, "embedding": _vector(text, size, as_text=as_text)}
        for place, text in enumerate(inputs)
    ]
    count = sum(len(text) if isinstance(text, list) else count_tokens(text) for text in inputs)
    usage = {"prompt_tokens": count, "total_tokens": count}
    # Not in order: whoever reads them has to look at the index.
    return answer_json({"object": "list", "data": rows[::-1], "model": model, "usage": usage})


def _inputs(given: Json) -> list[Json]:
    inputs = given if isinstance(given, list) else [given]
    if inputs and all(isinstance(token, int) for token in inputs):
        inputs = [inputs]
    if not inputs or not all(inputs):
        _refuse("'$.input' is invalid: expected a text, or several that are not empty", "input")
    if len(inputs) > _MOST_INPUTS:
        _refuse(
            f"'$.input' is too long: at most {_MOST_INPUTS} inputs, got {len(inputs)}", "input"
        )
    return inputs


def _vector(text: Json, size: int, *, as_text: bool) -> Json:
    """Return a vector of length 1 that a text alone decides."""
    seed = hashlib.sha256(orjson.dumps(text)).digest()
    raw = [seed[place % len(seed)] - 127.5 for place in range(size)]
    length = math.sqrt(sum(number * number for number in raw))
    vector = [number / length for number in raw]
    return b64encode(struct.pack(f"<{size}f", *vector)).decode() if as_text else vector


# --- images -------------------------------------------------------------------------------------


async def _generations(request: web.Request, record: GatewayRequest) -> web.StreamResponse:
    body = read_body(record.body)
    if body.get("model") == "gpt-image-2" and "response_format" in body:
        _refuse("Unknown parameter: 'response_format'.", "response_format")
    return await _make_images(request, body, "image_generation")


async def _edits(request: web.Request, record: GatewayRequest) -> web.StreamResponse:
    fields = read_fields(record)
    pictures = [value for name, value in fields.items() if name.startswith("image")]
    if not any(isinstance(value, bytes) for value in pictures):
        _refuse("image is required", "image")
    return await _make_images(request, fields, "image_edit")


async def _make_images(
    request: web.Request, fields: Mapping[str, Json], kind: str
) -> web.StreamResponse:
    _check_model(fields.get("model"), IMAGES)
    if not fields.get("prompt"):
        _refuse("prompt is required", "prompt")
    count = int(fields.get("n") or 1)
    if not 1 <= count <= _MOST_IMAGES:
        _refuse(f"n: expected 1 to {_MOST_IMAGES}, got {count}", "n")
    if fields.get("stream") in (True, "true"):
        return await _stream(request, _sketches(int(fields.get("partial_images") or 0), kind))
    prompt = {"revised_prompt": str(fields["prompt"])}
    row = {"b64_json": b64encode(png().whole()).decode(), "url": "", **prompt}
    return answer_json({"created": _BEGAN, "data": [row] * count, "usage": _IMAGE_USAGE})


_IMAGE_USAGE = {
    "input_tokens": 10,
    "output_tokens": 200,
    "total_tokens": 210,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 0},
}


def _sketches(count: int, kind: str) -> Iterator[Mapping[str, Json]]:
    picture = {"b64_json": b64encode(png().whole()).decode(), "created_at": _BEGAN}
    for number in range(count):
        yield {"type": f"{kind}.partial_image", "partial_image_index": number, **picture}
    yield {"type": f"{kind}.completed", **picture, "usage": _IMAGE_USAGE}


async def _stream(
    request: web.Request, events: Iterable[Mapping[str, Json]]
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for each in events:
        await response.write(f"event: {each['type']}\n".encode() + event(each))
    await response.write_eof()
    return response


async def _dashscope(_: web.Request, record: GatewayRequest) -> web.StreamResponse:
    body = read_body(record.body)
    _check_model(body.get("model"), IMAGES)
    count = int((body.get("parameters") or {}).get("n") or 1)
    address = f"data:image/png;base64,{b64encode(png().whole()).decode()}"
    message = {"role": "assistant", "content": [{"image": address}]}
    choices = [{"finish_reason": "stop", "message": message}] * count
    metric = {"TOTAL": count, "SUCCEEDED": count, "FAILED": 0}
    usage = {"image_count": count, "width": 1, "height": 1}
    output = {"choices": choices, "task_metric": metric}
    return answer_json({"output": output, "usage": usage, "request_id": record.request_id})


# --- audio --------------------------------------------------------------------------------------


async def _speech(request: web.Request, record: GatewayRequest) -> web.StreamResponse:
    body = read_body(record.body)
    model = body.get("model")
    _check_model(model, SPEAKERS)
    text = str(body.get("input") or "")
    if not 0 < len(text) <= _TTS_LIMIT:
        _refuse(f"input: expected 1 to {_TTS_LIMIT} characters, got {len(text)}", "input")
    voice = body.get("voice") or ("vivian" if str(model).startswith("Qwen3") else None)
    if voice not in SPEAKERS[str(model)]:
        return answer_json({"detail": f"Unsupported speaker: {voice}"}, 422)
    usual = "wav" if str(model).startswith("Qwen3") else "mp3"
    kind = str(body.get("response_format") or usual)
    size = 400 * len(text)
    blob = wav(size) if kind in ("wav", "pcm") else mp3(size)
    if body.get("stream_format") == "sse":
        return await _stream(request, _sounds(blob.whole()))
    mime = _FORMATS.get(kind, "application/octet-stream")
    return web.Response(body=blob.whole(), headers={"Content-Type": mime})


def _sounds(data: bytes) -> Iterator[Mapping[str, Json]]:
    for start in range(0, len(data), 600):
        audio = b64encode(data[start : start + 600]).decode()
        yield {"type": "speech.audio.delta", "audio": audio}
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    yield {"type": "speech.audio.done", "usage": usage}


async def _voices(_: web.Request, __: GatewayRequest) -> web.StreamResponse:
    return answer_json({"voices": list(SPEAKERS["Qwen3-TTS-12Hz-1.7B-CustomVoice"])})


@attrs.frozen
class _Heard:
    """What a transcription says."""

    text: str
    seconds: float

    def plain(self, kind: str) -> str:
        if kind == "text":
            return f"{self.text}\n"
        end = f"00:00:{self.seconds:06.3f}"
        if kind == "vtt":
            return f"WEBVTT\n\n00:00:00.000 --> {end}\n{self.text}\n"
        return f"1\n00:00:00,000 --> {end.replace('.', ',')}\n{self.text}\n"

    def verbose(self, language: str, granular: Sequence[str]) -> Json:
        segment = {"id": 0, "seek": 0, "start": 0.0, "end": self.seconds, "text": self.text}
        words = [
            {"word": word, "start": place / 10, "end": (place + 1) / 10}
            for place, word in enumerate(self.text.split())
        ]
        return {
            "task": "transcribe",
            "language": language,
            "duration": self.seconds,
            "text": self.text,
            "segments": [segment],
            **({"words": words} if "word" in granular else {}),
        }


async def _transcriptions(_: web.Request, record: GatewayRequest) -> web.StreamResponse:
    fields = read_fields(record)
    heard = _Heard(f"听到了 {_size_of_file(fields)} bytes 🎧", 1.5)
    kind = str(fields.get("response_format") or "json")
    if kind == "verbose_json":
        granular = [fields.get("timestamp_granularities[]", "")]
        return answer_json(heard.verbose(str(fields.get("language") or "chinese"), granular))
    if kind == "json":
        usage = {"type": "duration", "seconds": 2}
        return answer_json({"text": heard.text, "usage": usage})
    return _heard_text(heard, kind)


async def _translations(_: web.Request, record: GatewayRequest) -> web.StreamResponse:
    """Translate into English, which is all that this path does; it tells no usage."""
    fields = read_fields(record)
    heard = _Heard(f"Heard {_size_of_file(fields)} bytes 🎧", 1.5)
    kind = str(fields.get("response_format") or "json")
    if kind == "verbose_json":
        return answer_json({**heard.verbose("english", ()), "task": "translate"})
    return answer_json({"text": heard.text}) if kind == "json" else _heard_text(heard, kind)


def _size_of_file(fields: Mapping[str, Json]) -> int:
    _check_model(fields.get("model"), LISTENERS)
    data = fields.get("file")
    if not isinstance(data, bytes):
        _refuse("file is required", "file")
    return len(data)


def _heard_text(heard: _Heard, kind: str) -> web.Response:
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    return web.Response(body=heard.plain(kind).encode(), headers=headers)


# --- moderation ---------------------------------------------------------------------------------

_MARKS: Mapping[str, tuple[str, ...]] = {
    "harassment": ("[harassment]", "[骚扰]"),
    "harassment/threatening": (),
    "hate": ("[hate]", "[仇恨]"),
    "hate/threatening": (),
    "illicit": (),
    "illicit/violent": (),
    "self-harm": ("[self-harm]", "[自残]"),
    "self-harm/instructions": (),
    "self-harm/intent": (),
    "sexual": ("[sexual]", "[色情]"),
    "sexual/minors": (),
    "violence": ("[violence]", "[暴力]"),
    "violence/graphic": (),
}
"""The categories (openai 3.57.0, ``types/moderation``), and what a text is flagged by here."""
_FLAGGED, _HARMLESS = 0.98, 0.0001


async def _moderations(_: web.Request, record: GatewayRequest) -> web.StreamResponse:
    body = read_body(record.body)
    model = body.get("model") or MODERATORS[0]
    _check_model(model, MODERATORS)
    results = [_moderation(each) for each in _moderated(body.get("input"))]
    return answer_json({"id": f"modr-{record.request_id}", "model": model, "results": results})


def _moderated(given: Json) -> list[list[Json]]:
    """Return what is judged together: each text by itself, parts of one message as one."""
    inputs = given if isinstance(given, list) else [given]
    if not inputs or not all(inputs):
        _refuse("'$.input' is invalid: expected a text, several, or parts of a message", "input")
    if all(isinstance(part, dict) for part in inputs):
        return [inputs]
    return [[{"type": "text", "text": text}] for text in inputs]


def _moderation(parts: Sequence[Mapping[str, Json]]) -> Json:
    text = "\n".join(str(part.get("text") or "") for part in parts)
    kinds = ["image" if part.get("type") == "image_url" else "text" for part in parts]
    found = {name: any(mark in text for mark in marks) for name, marks in _MARKS.items()}
    return {
        "flagged": any(found.values()),
        "categories": found,
        "category_scores": {
            name: _FLAGGED if flagged else _HARMLESS for name, flagged in found.items()
        },
        "category_applied_input_types": {
            name: [kind for kind in ("text", "image") if kind in kinds and _judges(name, kind)]
            for name in found
        },
    }


def _judges(category: str, kind: str) -> bool:
    """Return whether a category is looked for in a text or a picture."""
    seen = ("self-harm", "sexual", "violence")
    return kind == "text" or (category.startswith(seen) and category != "sexual/minors")


_ROUTES: Mapping[tuple[str, str], Handler] = {
    ("POST", "/v1/embeddings"): _embeddings,
    ("POST", "/v1/images/generations"): _generations,
    ("POST", "/v1/images/edits"): _edits,
    ("POST", "/api/v1/services/aigc/multimodal-generation/generation"): _dashscope,
    ("POST", "/v1/audio/speech"): _speech,
    ("POST", "/v1/audio/transcriptions"): _transcriptions,
    ("POST", "/v1/audio/translations"): _translations,
    ("GET", "/v1/audio/voices"): _voices,
    ("POST", "/v1/moderations"): _moderations,
}
