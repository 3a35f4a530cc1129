"""Embeddings, images, speech, transcription and moderation of the fake gateway, by bare HTTP."""

from typing import Any

import aiohttp
import pytest

from tests.support.bare_client import Client

EMBEDDING, IMAGE, QWEN_TTS = (
    "text-embedding-3-small",
    "qwen-image",
    "Qwen3-TTS-12Hz-1.7B-CustomVoice",
)


async def post(client: Client, path: str, body: Any) -> tuple[int, Any]:
    kind = {"data": body} if isinstance(body, aiohttp.FormData) else {"json": body}
    async with client.http.post(client.url(path), **kind) as response:
        is_json = response.content_type == "application/json"
        return response.status, await (response.json() if is_json else response.text())


def form(**fields: str | bytes) -> aiohttp.FormData:
    data = aiohttp.FormData()
    for name, value in fields.items():
        filename = "a.bin" if isinstance(value, bytes) else None
        data.add_field(name, value, filename=filename)
    return data


@pytest.mark.parametrize(
    ("given", "tokens"), [("a b", [2]), (["a", "b c"], [3]), ([1, 2, 3], [3]), ([[1], [2]], [2])]
)
async def test_vectors_are_of_length_1(client: Client, given: Any, tokens: list[int]) -> None:
    status, answer = await post(client, "/embeddings", {"model": EMBEDDING, "input": given})
    assert (status, [answer["usage"]["prompt_tokens"]]) == (200, tokens)
    for row in answer["data"]:
        assert sum(number * number for number in row["embedding"]) == pytest.approx(1)
    body = {"model": EMBEDDING, "input": given, "dimensions": 3, "encoding_format": "base64"}
    _, answer = await post(client, "/embeddings", body)
    assert len(answer["data"][0]["embedding"]) == 16


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/embeddings", {"model": "none", "input": "a"}, "no available channel"),
        ("/embeddings", {"model": EMBEDDING, "input": []}, "not empty"),
        ("/embeddings", {"model": EMBEDDING, "input": ["a"] * 3000}, "too long"),
        ("/embeddings", {"model": EMBEDDING, "input": "a", "dimensions": 0}, "dimensions"),
        ("/images/generations", {"model": IMAGE}, "prompt is required"),
        ("/images/generations", {"model": IMAGE, "prompt": "a", "n": 99}, "expected 1 to"),
        ("/images/generations", {"model": "gpt-image-2", "response_format": "url"}, "Unknown"),
        ("/images/edits", {"model": IMAGE, "prompt": "a"}, "image is required"),
        ("/audio/speech", {"model": QWEN_TTS, "input": ""}, "characters"),
        ("/audio/speech", {"model": QWEN_TTS, "input": "a", "voice": "none"}, "Unsupported"),
        ("/audio/transcriptions", {"model": "whisper-1"}, "file is required"),
        ("/moderations", {"input": []}, "invalid"),
    ],
)
async def test_what_cannot_be_made_is_refused(
    client: Client, path: str, body: Any, words: str
) -> None:
    status, answer = await post(client, path, body)
    assert status in {400, 422, 503}
    assert words in str(answer)


async def test_pictures_come_whole_or_in_sketches(client: Client) -> None:
    body = {"model": IMAGE, "prompt": "a", "n": 2}
    _, answer = await post(client, "/images/generations", body)
    assert [row["revised_prompt"] for row in answer["data"]] == ["a", "a"]
    body = {"model": IMAGE, "prompt": "a", "stream": True, "partial_images": 1}
    _, text = await post(client, "/images/generations", body)
    kinds = [line for line in text.splitlines() if line.startswith("event")]
    assert kinds == ["event: image_generation.partial_image", "event: image_generation.completed"]
    status, _ = await post(client, "/images/edits", form(model=IMAGE, prompt="a", image=b"x"))
    assert status == 200


@pytest.mark.parametrize(
    ("model", "options", "kind"),
    [
        (QWEN_TTS, {}, "audio/wav"),
        (QWEN_TTS, {"response_format": "mp3"}, "audio/mpeg"),
        (QWEN_TTS, {"response_format": "pcm"}, "audio/pcm"),
        (QWEN_TTS, {"stream_format": "sse"}, "text/event-stream"),
    ],
)
async def test_speech_is_of_the_format_that_is_asked_for(
    client: Client, model: str, options: Any, kind: str
) -> None:
    body = {"model": model, "input": "你好", **options}
    async with client.http.post(client.url("/audio/speech"), json=body) as response:
        assert response.content_type == kind
        assert await response.read()
    async with client.http.get(client.url("/audio/voices")) as response:
        assert "vivian" in (await response.json())["voices"]


@pytest.mark.parametrize("path", ["transcriptions", "translations"])
async def test_a_transcription_says_what_file_it_heard(client: Client, path: str) -> None:
    async def heard(kind: str) -> Any:
        fields = {"model": "whisper-1", "response_format": kind}
        data = form(file=b"12345", **fields)
        data.add_field("timestamp_granularities[]", "word")
        return (await post(client, f"/audio/{path}", data))[1]

    text = (await heard("json"))["text"]
    assert "5 bytes" in text
    assert (await heard("verbose_json"))["segments"][0]["text"] == text
    assert await heard("text") == f"{text}\n"
    assert (await heard("vtt")).startswith("WEBVTT")
    assert "00:00:01,500" in await heard("srt")


async def test_what_is_judged_is_flagged_by_its_marks(client: Client) -> None:
    _, answer = await post(client, "/moderations", {"input": ["fine", "[暴力]"]})
    assert [row["flagged"] for row in answer["results"]] == [False, True]
    parts = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    (row,) = (await post(client, "/moderations", {"input": parts}))[1]["results"]
    assert row["category_applied_input_types"]["violence"] == ["text", "image"]
    assert row["category_applied_input_types"]["hate"] == ["text"]


async def test_pictures_as_dashscope_words_them(client: Client) -> None:
    address = f"{client.gateway.base_url.removesuffix('/v1')}/api/v1/services/aigc"
    body = {"model": IMAGE, "parameters": {"n": 2}}
    async with client.http.post(
        f"{address}/multimodal-generation/generation", json=body
    ) as response:
        answer = await response.json()
    assert answer["usage"]["image_count"] == len(answer["output"]["choices"]) == 2
    (part,) = answer["output"]["choices"][0]["message"]["content"]
    assert part["image"].startswith("data:image/png;base64,")
