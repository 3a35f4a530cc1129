"""Every system of TokenGate's catalogue, one call each, against the fake gateway."""

from __future__ import annotations

import ast
import copy
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import pytest

import aiotokengate
from aiotokengate import AnswerDelta, BadRequest, MediaDelta, ReasoningDelta, TokenGate
from aiotokengate.catalogue import CATALOGUE, UNKNOWN, Catalogue, Model, bare_name
from aiotokengate.testing import Call, FakeGateway, Raw, ScriptedReply, VirtualClock
from aiotokengate.testing._files import png, wav
from aiotokengate.testing._jobs import JobPlan
from aiotokengate.testing._models import MODELS
from aiotokengate.types import Reply
from tests.support.waiting import soon

OPENAI = (
    *("gpt-5", "gpt-5-chat-latest", "gpt-5-nano", "gpt-5-mini"),
    *("gpt-5.2", "gpt-5.2-search", "gpt-5.4"),
)
PRO = ("gpt-5-pro", "gpt-5.3-codex", "gpt-5.4-pro")
CLAUDE = (
    *("claude-opus-4-7", "claude-opus-4-6", "claude-sonnet-4-6"),
    *("claude-sonnet-4.5", "claude-opus-4.5", "claude-haiku-4.5"),
)
GROK = ("grok-4-1-fast-reasoning", "grok-4-1-fast-non-reasoning", "grok-code-fast-1")
GEMINI = ("gemini-3-flash-preview", "gemini-3.1-pro-preview")
DEEPSEEK = ("deepseek-v4-flash", "deepseek-v4-pro", "deepseek3.2")
GLM = ("glm-5.1", "glm-4.7")
QWEN = (
    *("qwen3.6-max-preview", "qwen3.5-plus", "qwen3.5-flash", "qwen3.6-flash", "qwen3.6-plus"),
    "Qwen3-VL-8B-Instruct",
)
MINIMAX = ("minimax2.7", "minimax2.5")

CHATS = [
    *((model, "chat") for model in (*OPENAI, *GROK, *GEMINI, *DEEPSEEK, *GLM, *QWEN, *MINIMAX)),
    *((model, protocol) for model in PRO for protocol in ("responses", "chat")),
    *((model, protocol) for model in CLAUDE for protocol in ("messages", "chat")),
    *((model, "gemini") for model in GEMINI),
]
HIDDEN = {*OPENAI, *PRO, *GROK} - {"grok-code-fast-1"}
"""Models whose thoughts do not come over Chat Completions."""

BLURRED = [(model, "chat") for model in GEMINI]

SILENT = {"gpt-5-chat-latest", "grok-4-1-fast-non-reasoning", "Qwen3-VL-8B-Instruct"}
"""Models that do not think."""

IMAGE_MODELS = (
    *("gemini-2.5-flash-image", "gemini-3-pro-image-preview", "gemini-3.1-flash-image-preview"),
)


def is_counted(model: str) -> bool:
    """Whether the tokens of its thoughts are told apart; Anthropic and SGLang don't do it."""
    return model not in {*SILENT, *CLAUDE, "deepseek3.2"}


def is_shown(model: str, protocol: str) -> bool:
    return model not in SILENT and (protocol != "chat" or model not in HIDDEN)


THOUGHT, SAID = "先想一想：北京是中国的首都。🤔 Then say it.", "北京是首都，也是一座古城 🏯。"


@pytest.mark.parametrize(("model", "protocol"), CHATS)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_chat(
    gateway: FakeGateway, gate: TokenGate, model: str, protocol: Any, stream: bool
) -> None:
    gateway.script(ScriptedReply(reasoning="" if model in SILENT else THOUGHT, answer=SAID))
    options: dict[str, Any] = {"stream": stream, "reasoning": "high", "max_tokens": 40_000}
    async with gate.chat(model, "用一句话介绍北京", protocol=protocol, **options) as call:
        deltas = [delta async for delta in call]
        reply = await call.reply()
    shown = THOUGHT if is_shown(model, protocol) else ""
    # new-api's bridge to Claude leaves a line end of each signature, the one to Gemini gives a
    # chunk that holds both wholly as reasoning.
    thinking, said = reply.reasoning.rstrip("\n"), reply.answer
    if (model, protocol) in BLURRED:
        assert thinking + said == shown + SAID
        assert SAID.endswith(said)
    else:
        assert (thinking, said) == (shown, SAID)
    assert "".join(d.text for d in deltas if isinstance(d, ReasoningDelta)) == reply.reasoning
    answers = [d.text for d in deltas if isinstance(d, AnswerDelta)]
    assert "".join(answers) == said
    assert (len(answers) > 1) == stream
    assert (reply.finish_reason, reply.status, reply.model) == ("stop", "complete", model)
    usage = reply.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert min(usage.prompt_tokens, usage.completion_tokens) > 0
    assert (usage.reasoning_tokens > 0) == is_counted(model)
    assert not usage.estimated


@pytest.mark.parametrize(
    "model", [*OPENAI, *PRO, *CLAUDE, *GROK, *GEMINI, *DEEPSEEK, *GLM, *QWEN, *MINIMAX]
)
def test_the_catalogue_knows_it(model: str) -> None:
    assert CATALOGUE.find(model).family != "unknown"
    assert model in MODELS


@pytest.mark.parametrize("model", QWEN)
async def test_images_into_chat(gateway: FakeGateway, gate: TokenGate, model: str) -> None:
    picture = {"type": "image_url", "image_url": {"url": ADDRESS, "detail": "auto"}}
    content = [{"type": "text", "text": "这是什么？🔍"}, picture]
    reply = await gate.chat(model, [{"role": "user", "content": content}])
    assert "这是什么？🔍" in reply.answer
    assert gateway.requests[0].json["messages"] == [{"role": "user", "content": content}]


async def test_which_protocol_is_chosen(gateway: FakeGateway, gate: TokenGate) -> None:
    for model in ("gpt-5-pro", "claude-haiku-4.5", "gemini-3-flash-preview", "nobody-knows-it"):
        gateway.script(ScriptedReply(answer="好"))
        await gate.chat(model, "嗨")
    assert [request.path for request in gateway.requests] == [
        "/v1/responses",
        "/v1/messages",
        "/v1/chat/completions",
        "/v1/chat/completions",
    ]


async def test_a_search_cites(gateway: FakeGateway, gate: TokenGate) -> None:
    cited = (
        b'data: {"choices":[{"index":0,"delta":{"content":"\xe6\x8d\xae\xe8\xaf\xb4",'
        b'"annotations":[{"type":"url_citation","url_citation":{"url":"https://a.example",'
        b'"title":"A","start_index":0,"end_index":2}}]},"finish_reason":"stop"}]}\n\n'
        b"data: [DONE]\n\n"
    )
    gateway.script(Raw(body=cited))
    reply = await gate.chat("gpt-5.2-search", "新闻？📰", web_search_options={})
    assert [source.url for source in reply.citations] == ["https://a.example"]


# --- images out of chat, in all four forms ------------------------------------------------------

ADDRESS = f"data:image/png;base64,{b64encode(png().whole()).decode()}"
FORMS: dict[str, Any] = {
    "a link in the text": {"content": f"看：![image]({ADDRESS})"},
    "a field": {"content": "看", "images": [{"type": "image_url", "image_url": {"url": ADDRESS}}]},
    "parts": {"content": [{"type": "image_url", "image_url": {"url": ADDRESS}}]},
    "other media": {"content": f"听：[media]({ADDRESS})"},
}


@pytest.mark.parametrize("model", IMAGE_MODELS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stream", [True, False])
async def test_images_out_of_chat(
    gateway: FakeGateway, gate: TokenGate, model: str, form: str, stream: bool
) -> None:
    key = "delta" if stream else "message"
    choice = {"index": 0, key: {"role": "assistant", **FORMS[form]}, "finish_reason": "stop"}
    body = orjson.dumps({"model": model, "choices": [choice]})
    raw = Raw(body=b"data: " + body + b"\n\ndata: [DONE]\n\n")
    if not stream:
        raw = Raw(body=body, headers={"Content-Type": "application/json"})
    gateway.script(raw)
    reply = await gate.chat(model, "画一只猫 🐈", stream=stream)
    (image,) = reply.media
    assert image.data == png().whole()


async def test_images_over_the_native_protocol(gateway: FakeGateway, gate: TokenGate) -> None:
    data = {"mimeType": "image/png", "data": b64encode(png().whole()).decode()}
    parts = [{"text": "给你"}, {"inlineData": data}]
    chunk = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}
    gateway.script(Raw(body=b"data: " + orjson.dumps(chunk) + b"\n\n"))
    seen = [
        delta
        async for delta in gate.chat("gemini-3-pro-image-preview", "画 🎨", protocol="gemini")
    ]
    (image,) = [delta.media for delta in seen if isinstance(delta, MediaDelta)]
    assert image.data == png().whole()


# --- what each vendor wants back ----------------------------------------------------------------

TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
FAMILIES = [
    ("deepseek-v4-pro", "chat"),
    ("glm-5.1", "chat"),
    ("qwen3.6-plus", "chat"),
    ("minimax2.5", "chat"),
    ("minimax2.7", "chat"),
    ("grok-4-1-fast-reasoning", "chat"),
    ("gpt-5.2", "chat"),
    ("gpt-5.3-codex", "responses"),
    ("claude-opus-4-6", "messages"),
    ("claude-sonnet-4.5", "chat"),
    ("gemini-3.1-pro-preview", "gemini"),
    ("gemini-3.1-pro-preview", "chat"),
    ("dialect/gemini-compat", "chat"),
]
Loss: TypeAlias = Callable[[dict[str, Any]], object]


def without(key: str) -> Loss:
    return lambda turn: turn.pop(key)


def unsigned(key: str) -> Loss:
    """Take a field out of everything that goes back as the vendor sent it."""
    return lambda turn: [part.pop(key, None) for part in turn["native"]["content"]]


def signless(turn: dict[str, Any]) -> None:
    del turn["tool_calls"][0]["extra_content"]


def thoughtless(turn: dict[str, Any]) -> None:
    native = turn["native"]
    thoughts = ("thinking", "redacted_thinking", "reasoning")
    kept = [part for part in native["content"] if part.get("type") not in thoughts]
    assert len(kept) < len(native["content"])
    native["content"] = kept


LOSSES = [
    ("claude-opus-4-6", "messages", without("native"), True),
    ("claude-opus-4-6", "messages", unsigned("signature"), True),
    ("claude-haiku-4.5", "messages", thoughtless, True),
    ("gemini-3.1-pro-preview", "gemini", unsigned("thoughtSignature"), True),
    ("gpt-5.3-codex", "responses", unsigned("encrypted_content"), True),
    # Nobody can tell such a turn from one that was made by another model, or without thinking.
    ("gpt-5.3-codex", "responses", without("native"), False),
    ("gpt-5.3-codex", "responses", thoughtless, False),
    ("dialect/gemini-compat", "chat", signless, False),
]
"""What a turn may lose, that its vendor refuses; and whether a check can say so before."""


async def first_turn(
    gateway: FakeGateway, gate: TokenGate, model: str, protocol: Any
) -> tuple[Reply, list[Any], dict[str, Any]]:
    """Have a model think, speak and call; give the reply, the history and the options."""
    call = Call("weather", {"city": "北京"})
    gateway.script(ScriptedReply(reasoning="查一下", answer="好的。", tool_calls=[call]))
    # Claude wants its thinking back where that has a budget, and not where it is adaptive.
    reasoning: Any = 4_096 if protocol == "messages" else "high"
    options: Any = {"protocol": protocol, "reasoning": reasoning}
    history: list[Any] = [{"role": "user", "content": "北京天气？ 🌦️"}]
    first = await gate.chat(model, history, tools=TOOLS, max_tokens=40_000, **options)
    assert first.tool_calls[0].parse() == {"city": "北京"}
    result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "晴 ☀️"}
    return first, [*history, first.message(), result], options


@pytest.mark.parametrize(("model", "protocol"), FAMILIES)
async def test_two_turns_with_tools(
    gateway: FakeGateway, gate: TokenGate, model: str, protocol: Any
) -> None:
    _, history, options = await first_turn(gateway, gate, model, protocol)
    assert gate.check(model, history, **options) == ()
    second = await gate.chat(model, history, tools=TOOLS, max_tokens=40_000, **options)
    blurred = (model, protocol) in BLURRED
    assert "晴 ☀️" in (second.reasoning + second.answer if blurred else second.answer)


@pytest.mark.parametrize(("model", "protocol", "lose", "is_foreseen"), LOSSES)
async def test_what_is_lost_is_refused(
    gateway: FakeGateway,
    gate: TokenGate,
    model: str,
    protocol: Any,
    lose: Loss,
    is_foreseen: bool,
) -> None:
    """Each thing that a vendor wants back of its own turn is refused (400) where it is missing."""
    _, history, options = await first_turn(gateway, gate, model, protocol)
    turn = copy.deepcopy(history[1])
    lose(turn)
    lost = [history[0], turn, history[2]]
    assert bool(gate.check(model, lost, **options)) == is_foreseen
    with pytest.raises(BadRequest) as caught:
        await gate.chat(model, lost, tools=TOOLS, max_tokens=40_000, **options)
    assert caught.value.status == 400


@pytest.mark.parametrize("model", ["deepseek-v4-pro", "deepseek-v4-flash"])
async def test_deepseek_gets_the_field_of_a_turn_that_did_not_think(
    gateway: FakeGateway, gate: TokenGate, model: str
) -> None:
    """It is refused without, so a history that lost it goes with an empty one."""
    _, history, options = await first_turn(gateway, gate, model, "chat")
    del history[1]["reasoning_content"]
    (reason,) = gate.check(model, history, **options)
    assert reason.endswith("in messages[1] lacks its reasoning_content, which DeepSeek wants back")
    second = await gate.chat(model, history, tools=TOOLS, max_tokens=40_000, **options)
    assert "晴 ☀️" in second.answer
    sent = orjson.loads(gateway.requests[-1].body)["messages"]
    assert sent[1]["reasoning_content"] == ""


async def test_the_list_is_joined_with_the_catalogue(gate: TokenGate) -> None:
    listed = {model.id: model.known for model in await gate.models()}
    assert listed["claude-haiku-4.5"].protocol == "messages"
    assert listed["text-embedding-3-small"].outputs == ("vectors",)
    assert listed["wan-i2v"].inputs == ("text", "image")
    known = {name: row for name, row in listed.items() if not name.startswith("dialect/")}
    assert [name for name, row in known.items() if row.family == "unknown"] == []


# --- what is no chat ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ("text-embedding-ada-002", 1536),
        ("text-embedding-3-small", 1536),
        ("text-embedding-3-large", 3072),
    ],
)
async def test_embeddings(gate: TokenGate, model: str, size: int) -> None:
    found = await gate.embed(model, ["你好 👋", "hello"])
    assert [len(vector) for vector in found] == [size, size]
    assert found.usage.prompt_tokens > 0


async def test_transcription(gate: TokenGate) -> None:
    for kind in ("json", "verbose_json", "text", "srt", "vtt"):
        heard = await gate.audio.transcribe("whisper-1", wav().whole(), response_format=kind)
        assert "听到了" in heard.text


@pytest.mark.parametrize("model", ["tts-1-hd", "Qwen3-TTS-12Hz-1.7B-CustomVoice"])
async def test_speech(gate: TokenGate, model: str) -> None:
    voice = "alloy" if model == "tts-1-hd" else "vivian"
    speak = gate.audio.speak
    whole = await speak(model, "早上好 🌅", voice=voice, response_format="wav")
    assert whole.startswith(b"RIFF")
    pieces = speak(model, "早上好 🌅", voice=voice, response_format="wav")
    assert b"".join([piece async for piece in pieces]) == whole


@pytest.mark.parametrize("model", ["gpt-image-2", "qwen-image"])
async def test_image_generation(gate: TokenGate, model: str) -> None:
    (image,) = await gate.images.generate(model, "一只猫 🐈")
    assert image.data == png().whole()
    sketches = [sketch async for sketch in gate.images.generate(model, "猫", partial_images=1)]
    assert [sketch.image.data == png().whole() for sketch in sketches] == [True, True]


@pytest.mark.parametrize("model", ["gpt-image-2", "qwen-image-edit"])
async def test_image_edits(gate: TokenGate, model: str) -> None:
    (image,) = await gate.images.edit(model, "加一顶帽子 🎩", png().whole())
    assert image.data == png().whole()


@pytest.mark.parametrize("model", ["wan-t2v", "wan-i2v"])
@pytest.mark.parametrize("form", ["job", "inline", "raw"])
async def test_video(model: str, form: Any, tmp_path: Path) -> None:
    clock = VirtualClock()
    async with (
        FakeGateway(jobs=JobPlan(polls=1, video=form), now=clock.now) as gateway,
        TokenGate(api_key=gateway.api_key, base_url=gateway.base_url, clock=clock) as gate,
    ):
        image = png().whole() if model == "wan-i2v" else None
        job = gate.videos.create(model, "一只猫在弹钢琴 🎹", image=image)
        (path,) = await soon(clock, job.save(tmp_path / "cat.mp4"))
    assert path.read_bytes()[4:8] == b"ftyp"


async def test_music(tmp_path: Path) -> None:
    """Each of the sixteen actions has its own test in test_music.py."""
    clock = VirtualClock()
    async with (
        FakeGateway(jobs=JobPlan(polls=1), now=clock.now) as gateway,
        TokenGate(api_key=gateway.api_key, base_url=gateway.base_url, clock=clock) as gate,
    ):
        job = gate.music.create("一首关于春天的歌 🌸")
        result = await soon(clock, job)
        paths = await soon(clock, job.save(tmp_path))
    assert len(result.clips) == 2
    assert all(path.stat().st_size for path in paths)


@pytest.mark.parametrize("kind", ["json", "sse", "bytes"])
async def test_anything_new(gateway: FakeGateway, gate: TokenGate, kind: str) -> None:
    """小微同学, of whose wire nothing is known, and whatever comes next."""
    bodies = {
        "json": Raw(body='{"答": "好 👌"}'.encode(), headers={"Content-Type": "application/json"}),
        "sse": Raw(body='event: answer\ndata: {"答": "好 👌"}\n\n'.encode()).drip(3),
        "bytes": Raw(body=b"\x00\x01", headers={"Content-Type": "application/octet-stream"}),
    }
    gateway.script(bodies[kind], path="/v1/xiaowei/chat")
    call = gate.request("POST", "/xiaowei/chat", json={"问": "在吗？"})
    if kind == "sse":
        async with call as download:
            events = [event async for event in download.events()]
        assert orjson.loads(events[0].data) == {"答": "好 👌"}
    else:
        assert await call == ({"答": "好 👌"} if kind == "json" else b"\x00\x01")


def test_its_repr_fits_a_line() -> None:
    """It is a default of ``TokenGate``, which the reference shows."""
    assert repr(CATALOGUE) == f"<Catalogue of {len(CATALOGUE.rows)} rows>"


# --- names ------------------------------------------------------------------------------------


def test_rows_of_ones_own_come_first_and_as_they_are_written() -> None:
    rows = (
        Model("House/GPT-5.4-2026-03-05", "House", "qwen"),
        Model("My.Claude-*", "House", "glm"),
        Model("gpt-5.*", "House"),
    )
    own = CATALOGUE.extended(*rows)
    assert own.find("house/gpt-5-4-2026-03-05") is rows[0]
    assert own.find("House/GPT-5.4-2026-03-05") is rows[0]
    assert own.find("my.claude-x") is rows[1]
    assert own.find("gpt-5.7") is rows[2]
    assert own.find("gpt-4o").family == "OpenAI"


def test_it_is_looked_up_once() -> None:
    catalogue = Catalogue((Model("a*", "A"),))
    assert catalogue.find("abc") is catalogue.find("abc")
    for number in range(3_000):
        catalogue.find(f"b{number}")
    assert catalogue.find("b2999") is UNKNOWN
    assert len(catalogue._found) <= 1_024  # what users type does not fill the memory


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("gpt-5.5", "openai/gpt-5-5-2026-04-23", True),
        ("Claude-Opus-4.7", "claude-opus-4-7@20260416", True),
        ("claude-opus-4-7", "claude-opus-4-8", False),
        ("gemini-3-flash-preview", "gemini-3-flash", True),
        ("claude-opus-4-7", "claude-opus-4-7-v1:0", True),
        ("glm-4.7", "glm-47", False),
    ],
)
def test_two_names_of_one_model(one: str, other: str, same: bool) -> None:
    assert (bare_name(one) == bare_name(other)) is same


def test_a_name_that_no_model_has_is_not_trimmed() -> None:
    """It would take long, and find nothing."""
    name = "a" * 250 + "-latest"
    assert bare_name(name) == name
    assert bare_name(name[2:]) == "a" * 248


# --- vendors are rows ---------------------------------------------------------------------------

VENDORS = re.compile(
    "openai|gpt|anthropic|claude|google|deepmind|deepseek|zhipu|glm|qwen|alibaba|dashscope|minimax"
    r"|grok|xai|mistral|tral\b|moonshot|kimi|wanwu|\bwan|suno|cqtai|sora|vllm|sglang|openrouter",
    re.IGNORECASE,
)
QUOTED = re.compile(f"[\"'][^\"'\n]*(?:{VENDORS.pattern})", re.IGNORECASE)
LOOKS = ("startswith", "endswith", "match", "fullmatch", "search", "find", "removeprefix")


def test_a_new_vendor_is_a_row() -> None:
    """No code compares with the name of a vendor, a family or a dialect; only tables have them."""
    package = Path(aiotokengate.__file__).parent
    texts = {path: path.read_text("utf-8") for path in package.rglob("*.py")}
    found = [
        f"{path.relative_to(package)}:{place}"
        for path, text in texts.items()
        if "testing" not in path.parts and QUOTED.search(text)
        for place in comparisons(ast.parse(text))
    ]
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "row.family == 'Anthropic'",
        "'Wan' != family",
        "family in ('xAI', 'Google')",
        "name.startswith('claude-')",
        "match family:\n case 'OpenAI' | 'xAI': pass",
        "match row:\n case Model(family='Qwen'): pass",
    ],
)
def test_such_a_comparison_is_found(code: str) -> None:
    assert list(comparisons(ast.parse(code)))


def comparisons(tree: ast.AST) -> Iterator[str]:
    """Yield the comparisons with a vendor's name: operators, patterns, looks into a name."""
    for node in ast.walk(tree):
        is_look = isinstance(node, ast.Call) and getattr(node.func, "attr", "") in LOOKS
        if is_look or isinstance(node, ast.Compare | ast.match_case):
            looked_at = node.pattern if isinstance(node, ast.match_case) else node
            texts = [
                each.value
                for each in ast.walk(looked_at)
                if isinstance(each, ast.Constant) and isinstance(each.value, str)
            ]
            if any(map(VENDORS.search, texts)):
                yield ast.unparse(looked_at)
