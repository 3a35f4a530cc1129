"""A misspelt option is told at once, by every method, with what was probably meant."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from traceback import TracebackException
from typing import Any

import pytest
from openai.types import embedding_create_params, image_edit_params, image_generate_params
from openai.types.audio import speech_create_params, transcription_create_params
from openai.types.chat import completion_create_params

from aiotokengate import CallerError, Endpoint, Limits, Pool, Retry, Timeout, TokenGate
from aiotokengate._base.spelling import nearest
from aiotokengate._resources.audio import SpeechParams, TranscriptParams
from aiotokengate._resources.embeddings import EmbeddingParams
from aiotokengate._resources.images import ImageParams
from aiotokengate.redis import RedisBackend
from aiotokengate.testing import FakeGateway
from aiotokengate.types import ChatParams

MODEL = "qwen3.6-plus"
PROMPT = "一只橘猫 🐈"


def weather(city: str) -> str:
    """Say what the weather is."""
    return city


async def mapped(gate: TokenGate, **wrong: Any) -> None:
    async for outcome in gate.map([{"model": MODEL, "messages": PROMPT, **wrong}]):
        assert outcome.error is not None
        raise outcome.error


METHODS: Mapping[str, Callable[..., Any]] = {
    "chat": lambda gate, **wrong: gate.chat(MODEL, PROMPT, **wrong),
    "check": lambda gate, **wrong: gate.check(MODEL, PROMPT, **wrong),
    "run_tools": lambda gate, **wrong: gate.run_tools(MODEL, PROMPT, [weather], **wrong),
    "conversation": lambda gate, **wrong: gate.conversation(MODEL, **wrong),
    "say": lambda gate, **wrong: gate.conversation(MODEL).say(PROMPT, **wrong),
    "map": mapped,
    "embed": lambda gate, **wrong: gate.embed("m", [PROMPT], **wrong),
    "generate": lambda gate, **wrong: gate.images.generate("m", PROMPT, **wrong),
    "edit": lambda gate, **wrong: gate.images.edit("m", PROMPT, b"png", **wrong),
    "speak": lambda gate, **wrong: gate.audio.speak("m", PROMPT, **wrong),
    "transcribe": lambda gate, **wrong: gate.audio.transcribe("m", b"RIFF", **wrong),
    "video": lambda gate, **wrong: gate.videos.create("m", PROMPT, **wrong),
    "song": lambda gate, **wrong: gate.music.create(PROMPT, **wrong),
    "cover": lambda gate, **wrong: gate.music.cover("clip", PROMPT, **wrong),
    "using": lambda gate, **wrong: gate.music.using(**wrong),
    "request": lambda gate, **wrong: gate.request("POST", "/rerank", json={}, **wrong),
    "the map": lambda gate, **wrong: gate.map([], **wrong),
    "a video's job": lambda gate, **wrong: gate.videos.job("task_1", **wrong),
    "job": lambda gate, **wrong: gate.job("video:sora:task_1", **wrong),
}

PARTS: Mapping[str, Callable[..., Any]] = {
    "section": lambda m, **wrong: m.replace_section("job", "clip", "词", start=1, end=2, **wrong),
    "merge": lambda m, **wrong: m.replace_merge("clip", "session", **wrong),
    "stems": lambda m, **wrong: m.stems("clip", **wrong),
    "all stems": lambda m, **wrong: m.all_stems("clip", **wrong),
    "lyrics": lambda m, **wrong: m.lyrics(PROMPT, **wrong),
    "mp4": lambda m, **wrong: m.mp4("clip", **wrong),
    "wav": lambda m, **wrong: m.wav("clip", **wrong),
    "timeline": lambda m, **wrong: m.timeline("clip", **wrong),
    "beats": lambda m, **wrong: m.beats("clip", **wrong),
    "tags": lambda m, **wrong: m.tags(PROMPT, **wrong),
}

CHAT = ("chat", "run_tools", "conversation", "say", "map")
CALLS = (*CHAT, "embed", "generate", "edit", "speak", "transcribe", "video", "request")

MISTAKES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("temprature", "temperature"): (*CHAT, "check", "transcribe"),
    ("max_token", "max_tokens"): (*CHAT, "check"),
    ("maxTokens", "max_tokens"): CHAT,
    ("max_output_tokens", "max_tokens"): CHAT,
    ("stop_sequences", "stop"): CHAT,
    ("n_results", "n"): (*CHAT, "generate", "edit"),
    ("responce_format", "response_format"): (*CHAT, "generate", "speak", "transcribe"),
    ("response_model", "response_type"): CHAT,
    ("reasonning", "reasoning"): (*CHAT, "check"),
    ("thinking_budget", "reasoning"): CHAT,
    ("dimension", "dimensions"): ("embed",),
    ("output_dimensionality", "dimensions"): ("embed",),
    ("splitt", "split"): ("embed",),
    ("sise", "size"): ("generate", "edit", "video"),
    ("negativ_prompt", "negative_prompt"): ("generate", "edit", "video"),
    ("fase", "face"): ("generate",),
    ("musk", "mask"): ("edit",),
    ("steps", "num_inference_steps"): ("generate", "video"),
    ("instruction", "instructions"): ("speak",),
    ("speaker", "voice"): ("speak",),
    ("lang", "language"): ("speak", "transcribe"),
    ("timestamp_granularities", "timestamps"): ("transcribe",),
    ("duration", "seconds"): ("video",),
    ("dialekt", "dialect"): ("video", "using", "a video's job"),
    ("titel", "title"): ("song", "cover"),
    ("style", "tags"): ("song", "cover"),
    ("sytem", "system"): ("conversation",),
    ("system_prompt", "system"): ("conversation",),
    ("max_token_kept", "max_tokens_kept"): ("conversation",),
    ("round", "rounds"): ("run_tools",),
    ("orderd", "ordered"): ("the map",),
    ("dealine", "deadline"): (*CALLS, "using", "a video's job", "job"),
    ("timeouts", "timeout"): (*CALLS, "using"),
    ("request_timeout", "timeout"): CALLS,
    ("max_retries", "retry"): CALLS,
    ("headers", "extra_headers"): CALLS,
    ("fairkey", "fair_key"): CALLS,
    ("extra_bdy", "extra_body"): tuple(name for name in CALLS if name != "request"),
}
"""A wrong name and the right one: where both are so."""


@pytest.mark.parametrize(
    ("wrong", "right", "method"),
    [(*pair, method) for pair, methods in MISTAKES.items() for method in methods],
)
async def test_a_misspelt_name(
    gateway: FakeGateway, gate: TokenGate, wrong: str, right: str, method: str
) -> None:
    said = re.escape(f"unknown parameter {wrong!r}, did you mean {right!r}?")
    with pytest.raises(CallerError, match=said):
        await METHODS[method](gate, **{wrong: 3})
    assert gateway.requests == []


@pytest.mark.parametrize("method", METHODS)
async def test_a_name_that_resembles_nothing(
    gateway: FakeGateway, gate: TokenGate, method: str
) -> None:
    for name in ("xyzzy", "温度", "extra_query"):
        with pytest.raises(CallerError, match=rf"unknown parameter '{name}' \("):
            await METHODS[method](gate, **{name: 1})
    assert gateway.requests == []


@pytest.mark.parametrize("method", CALLS)
async def test_a_setting_of_the_session(gate: TokenGate, method: str) -> None:
    with pytest.raises(CallerError, match=r"a setting of TokenGate\(") as caught:
        await METHODS[method](gate, api_key="sk-1234567890abcdef")
    assert "sk-" not in str(caught.value)


async def test_a_conversation_refuses_at_once(gate: TokenGate) -> None:
    for wrong, said in (
        (dict(temprature=0.3), "did you mean 'temperature'"),
        (dict(timeout=3), r"expected timeout=Timeout\("),
        (dict(deadline=0), "expected deadline in seconds above 0"),
        (dict(reasoning="a bit"), "reasoning"),
        (dict(protocol="smtp"), "protocol"),
        (dict(tools=[7]), "as a function or a dict"),
        (dict(extra_body=[1]), "expected extra_body as a dict"),
        (dict(retain=False), "expected retain=True"),
    ):
        for method in ("conversation", "say", *(("run_tools",) if "tools" not in wrong else ())):
            with pytest.raises(CallerError, match=said):
                METHODS[method](gate, **wrong)


async def test_the_first_of_several_is_told(gate: TokenGate) -> None:
    with pytest.raises(CallerError, match="unknown parameter 'b1'"):
        gate.chat(MODEL, PROMPT, temperature=1, b1=1, a1=1)  # type: ignore[call-arg]


async def test_requests_of_a_map(gate: TokenGate) -> None:
    for request, said in (
        ({"model": MODEL, "message": PROMPT}, "is 'message' meant as 'messages'"),
        ({"modell": MODEL, "messages": PROMPT}, "is 'modell' meant as 'model'"),
        ({"model": MODEL}, r"made by chat\(\)$"),
    ):
        (outcome,) = [outcome async for outcome in gate.map([request])]
        with pytest.raises(CallerError, match=said) as caught:
            raise outcome.error or AssertionError
        assert PROMPT not in str(caught.value)


URL = "http://127.0.0.1:1/v1"

MADE: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("stal", "stall"): lambda _, **wrong: Timeout(**wrong),
    ("max_retries", "attempts"): lambda _, **wrong: Retry(**wrong),
    ("rpm", "requests_per_minute"): lambda _, **wrong: Limits(**wrong),
    ("moniter", "monitor"): lambda _, **wrong: Pool(**wrong),
    ("priorty", "priority"): lambda gate, **wrong: gate.pool.slot(MODEL, **wrong),
    ("baseUrl", "base_url"): lambda _, **wrong: Endpoint(api_key="sk-1", **wrong),
    ("timout", "timeout"): lambda _, **wrong: TokenGate(api_key="sk-1", base_url=URL, **wrong),
    ("limits", "pool"): lambda _, **wrong: TokenGate(api_key="sk-1", base_url=URL, **wrong),
    ("leese", "lease"): lambda _, **wrong: RedisBackend("redis://127.0.0.1:1", **wrong),
    ("drian", "drain"): lambda gate, **wrong: gate.close(**wrong),
    ("token", "tokens"): lambda gate, **wrong: gate.conversation(MODEL).trim(**wrong),
    ("pth", "path"): lambda gate, **wrong: gate.job("video:sora:a").save(**wrong),
}
"""What is misspelt and meant, where Python itself knows what there is."""


@pytest.mark.parametrize(("wrong", "right"), MADE)
async def test_what_is_made(gate: TokenGate, wrong: str, right: str) -> None:
    with pytest.raises(CallerError, match=f"'{wrong}', did you mean '{right}'") as caught:
        await MADE[wrong, right](gate, **{wrong: "sk-1234567890abcdef"})
    assert "sk-" not in str(caught.value)
    frames = TracebackException.from_exception(caught.value, capture_locals=True).stack
    shown = [str(frame.locals) for frame in frames if "aiotokengate/" in frame.filename]
    assert not [text for text in shown if "sk-" in text]


async def test_what_takes_nothing(gate: TokenGate) -> None:
    with pytest.raises(CallerError, match=r"'refresh' \(TokenGate.models\(\) takes none\)"):
        await gate.models(refresh=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        gate.chat(MODEL)  # type: ignore[call-arg]


async def test_what_a_check_has_no_need_of(gate: TokenGate) -> None:
    with pytest.raises(CallerError, match="no 'stream' here: it changes nothing"):
        gate.check(MODEL, PROMPT, stream=True)  # type: ignore[call-arg]


@pytest.mark.parametrize("part", PARTS)
async def test_parts_of_songs(gate: TokenGate, part: str) -> None:
    with pytest.raises(CallerError, match=r"unknown parameter 'xyzzy' \(options of calls go"):
        PARTS[part](gate.music, xyzzy=5)
    with pytest.raises(CallerError, match=r"gate\.music\.using\(deadline="):
        PARTS[part](gate.music, deadline=5)
    if part == "section":
        with pytest.raises(CallerError, match="did you mean 'title'"):
            PARTS[part](gate.music, titel="题")


async def test_where_the_options_of_a_song_go(gate: TokenGate) -> None:
    with pytest.raises(CallerError, match=r"gate\.music\.using\(deadline="):
        gate.music.create(PROMPT, deadline=5)  # type: ignore[call-arg]


def test_the_nearest_is_the_best() -> None:
    assert nearest("max_token", ("max_tokens", "max_completion_tokens")) == "max_tokens"
    assert nearest("maxCompletionTokens", ("max_tokens", "max_completion_tokens")) == (
        "max_completion_tokens"
    )
    assert nearest("top-p", ("top_k", "top_p", "stop")) == "top_p"
    assert nearest("TEMPERATURE", ChatParams.__annotations__) == "temperature"
    assert nearest("maxNewTokens", ("max_new_tokens", "stream")) == "max_new_tokens"
    assert nearest("你好", ChatParams.__annotations__) is None


# --- what goes on its way all the same ----------------------------------------------------------


async def test_extra_body_sends_it_as_it_is(gateway: FakeGateway, gate: TokenGate) -> None:
    extra = {"truncate": "尾 ✂️", "user": "second"}
    await gate.embed("text-embedding-3-small", [PROMPT], user="first", extra_body=extra)
    await gate.images.generate("gpt-image-2", PROMPT, n=2, extra_body=extra)
    await gate.audio.speak("tts-1-hd", PROMPT, voice="alloy", extra_body=extra)
    for request in gateway.requests:
        assert (request.json["truncate"], request.json["user"]) == ("尾 ✂️", "second")
    with pytest.raises(CallerError, match="expected extra_body as a dict"):
        gate.images.generate("m", PROMPT, extra_body=[1])  # type: ignore[arg-type]


async def test_extra_body_in_a_form(gateway: FakeGateway, gate: TokenGate) -> None:
    extra = {"truncate": "尾 ✂️", "deep": {"a": 1}}
    await gate.images.edit("gpt-image-2", PROMPT, b"\x89PNG", extra_body=extra)
    await gate.audio.transcribe("whisper-1", b"RIFF", extra_body=extra)
    for request in gateway.requests:
        assert "尾 ✂️".encode() in request.body
        assert b'{"a":1}' in request.body


async def test_extra_body_in_alibabas_form(gateway: FakeGateway, gate: TokenGate) -> None:
    extra = {"parameters": {"style": "水彩"}, "top": 1}
    await gate.images.generate("qwen-image", PROMPT, face="dashscope", n=1, extra_body=extra)
    body = gateway.requests[0].json
    assert (body["parameters"], body["top"]) == ({"n": 1, "style": "水彩"}, 1)


async def test_extra_body_of_a_song(gateway: FakeGateway, gate: TokenGate) -> None:
    await gate.music.create(PROMPT, extra_body={"customMode": True, "lyricsLang": "粤语"}).submit()
    body = gateway.requests[0].json
    assert (body["customMode"], body["lyricsLang"]) == (True, "粤语")


async def test_lists_in_the_form_of_a_transcription(gateway: FakeGateway, gate: TokenGate) -> None:
    await gate.audio.transcribe("whisper-1", b"RIFF", keywords=["猫", "狗"], include=["logprobs"])
    body = gateway.requests[0].body
    assert body.count(b'name="keywords[]"') == 2
    assert body.count(b'name="include[]"') == 1


async def test_none_is_left_out(gateway: FakeGateway, gate: TokenGate) -> None:
    nothing: Any = None
    await gate.embed("text-embedding-3-small", [PROMPT], dimensions=nothing, extra_body=None)
    assert "dimensions" not in gateway.requests[0].json
    assert "extra_body" not in gateway.requests[0].json


@pytest.mark.parametrize(
    ("theirs", "ours", "otherwise"),
    [
        (
            completion_create_params.CompletionCreateParamsBase,
            ChatParams,
            {"model", "messages", "tools"},
        ),
        (embedding_create_params.EmbeddingCreateParams, EmbeddingParams, {"model", "input"}),
        (image_generate_params.ImageGenerateParamsBase, ImageParams, {"model", "prompt"}),
        (
            image_edit_params.ImageEditParamsBase,
            ImageParams,
            {"model", "prompt", "image", "mask"},
        ),
        (speech_create_params.SpeechCreateParams, SpeechParams, {"model", "input", "voice"}),
        (
            transcription_create_params.TranscriptionCreateParamsBase,
            TranscriptParams,
            {"model", "file", "response_format", "timestamp_granularities"},
        ),
    ],
)
def test_openais_own_parameters_are_known(theirs: Any, ours: Any, otherwise: set[str]) -> None:
    """Also those that its newest client has; ``otherwise``: what is an argument of ours."""
    assert set(theirs.__annotations__) - set(ours.__annotations__) == otherwise


# --- for type checkers --------------------------------------------------------------------------

PROGRAM = """\
from aiotokengate import Retry, TokenGate

def tool(city: str) -> str: return city

async def main(gate: TokenGate) -> None:
    gate.chat("m", "x", temperature=0.5, {0})
    gate.check("m", "x", temperature=0.5, {0})
    gate.run_tools("m", "x", [tool], temperature=0.5, retry=Retry(), rounds=2, {0})
    gate.conversation("m", temperature=0.5, tools=[tool], deadline=5, {0})
    gate.conversation("m").say("x", max_tokens=5, {0})
    await gate.embed("m", "x", dimensions=5, extra_body={{"a": 1}}, {0})
    gate.images.generate("m", "x", n=2, deadline=5, {0})
    gate.images.edit("m", "x", b"", n=2, mask=b"", {0})
    gate.audio.speak("m", "x", speed=1.5, retry=Retry(), {0})
    gate.audio.transcribe("m", b"", language="zh", extra_headers={{"A": "b"}}, {0})
    gate.videos.create("m", "x", seconds=4, extra_body={{"a": 1}}, {0})
    gate.music.create("x", title="t", extra_body={{"a": 1}}, {0})
    gate.music.using(deadline=5, {0})
    gate.music.stems("clip", {0})
    gate.request("GET", "/x", deadline=5, {0})
    gate.map([{{"model": "m", "messages": "x"}}], ordered=True, {0})
    gate.job("video:sora:a", deadline=5, {0})
    gate.videos.job("a", deadline=5, {0})
"""
FIRST, LAST = 6, 23


def lines_refused(tmp_path: Path, wrong: str) -> set[int]:
    """Check the program with one more argument in each call; return the lines that are wrong."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(wrong), "utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(program)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert not done.stderr
    return {int(line) for line in re.findall(r"program\.py:(\d+): error", done.stdout)}


@pytest.mark.unmeasured
def test_a_type_checker_takes_what_is_right(tmp_path: Path) -> None:
    assert lines_refused(tmp_path, "") == set()


@pytest.mark.unmeasured
@pytest.mark.parametrize("wrong", ["temprature=0.5", "deadlin=5"])
def test_a_type_checker_refuses_what_is_misspelt(tmp_path: Path, wrong: str) -> None:
    assert lines_refused(tmp_path, wrong) == set(range(FIRST, LAST + 1))
