"""What the doctor finds out, of models that send in other ways."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import orjson
import pytest

from aiotokengate import AnswerDelta, UnknownDelta
from aiotokengate._cli.app import run
from aiotokengate._cli.doctor import Oddities
from aiotokengate.catalogue import CATALOGUE
from aiotokengate.testing import (
    FakeGateway,
    KeepAlive,
    Pace,
    Raw,
    Recording,
    ScriptedReply,
    faults,
)

KEY = "sk-doctor-key-of-the-tests"


def found(
    capsys: pytest.CaptureFixture[str],
    model: str,
    *options: str,
    status: int = 0,
    lists: tuple[Raw, ...] = (),
    replies: tuple[ScriptedReply | Raw, ...] = (),
) -> dict[str, str]:
    with FakeGateway(api_key=KEY) as gateway:
        gateway.script(*lists, path="/v1/models")
        gateway.script(*replies)
        arguments = ["doctor", model, "--json", "--api-key", KEY, "--base-url", gateway.base_url]
        assert run([*arguments, *options]) == status
    told = orjson.loads(capsys.readouterr().out)
    assert told["model"] == model
    return dict(told["found"])


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            "deepseek-v4-pro",
            {
                "listed by /models": "yes",
                "reasoning arrives in": "reasoning_content",
                "usage comes": "on a text chunk",
                "ends with [DONE]": "yes",
                "thinking switched off": "honoured",
                "thinking asked for": "shown",
                "goes on from a prefix": "no",
                "protocol 'messages'": "open",
            },
        ),
        ("qwen3.6-plus", {"usage comes": "with a chunk of its own"}),
        ("minimax2.5", {"reasoning arrives in": "the text, between <think> tags"}),
        ("dialect/vllm-0.11", {"reasoning arrives in": "reasoning_content, reasoning"}),
        ("gpt-5", {"reasoning arrives in": "not seen", "thinking asked for": "not seen"}),
        ("minimax2.7", {"thinking switched off": "not honoured"}),
    ],
)
def test_what_is_found(
    capsys: pytest.CaptureFixture[str], model: str, expected: dict[str, str]
) -> None:
    told = found(capsys, model)
    assert {name: told[name] for name in expected} == expected
    assert told["request id in"] == "x-oneapi-request-id"
    assert "ids like call_" in told["tool calls"]


def row_of(
    capsys: pytest.CaptureFixture[str], model: str, *replies: ScriptedReply
) -> dict[str, object]:
    with FakeGateway(api_key=KEY) as gateway:
        gateway.script(*replies)
        run(["doctor", model, "--json", "--api-key", KEY, "--base-url", gateway.base_url])
    row: dict[str, object] = orjson.loads(capsys.readouterr().out)["row"]
    return row


def test_the_row_says_what_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    """And not what the catalogue says of it already: this gateway goes on from no prefix."""
    assert CATALOGUE.find("qwen3.6-plus").prefix == "partial"
    row = row_of(capsys, "qwen3.6-plus")
    assert (row["pattern"], row["family"], row["prefix"]) == ("qwen3.6-plus", "Qwen", "")
    assert (row["protocol"], row["tools"]) == ("chat", True)
    swallowed = row_of(capsys, "dialect/tag-swallowed")
    assert swallowed["dialect"] == "open-thinking"


JSON = {"Content-Type": "application/json"}
NO_LISTS = {
    "404": (faults.status_error(404), "not seen: no list, BadRequest (404)"),
    "405": (faults.status_error(405), "not seen: no list, BadRequest (405)"),
    "501": (faults.status_error(501), "not seen: no list, ServerFailed (501)"),
    "403": (faults.status_error(403), "not seen: no list, PermissionDenied (403)"),
    "a page": (
        Raw(200, "<html>首页</html>".encode(), {"Content-Type": "text/html"}),
        "not seen: no list, WireError",
    ),
    "no list": (Raw(200, b"{}", JSON), "not seen: no list, WireError"),
    "an empty one": (Raw(200, b'{"data":[]}', JSON), "not seen: the list is empty"),
}


@pytest.mark.parametrize("case", NO_LISTS)
def test_a_gateway_without_a_list_of_models(capsys: pytest.CaptureFixture[str], case: str) -> None:
    """It may serve the model all the same: asked before the recorder, and through it."""
    answer, result = NO_LISTS[case]
    told = found(capsys, "deepseek-v4-pro", lists=(answer, answer))
    assert told["listed by /models"] == result
    assert told["reasoning arrives in"] == "reasoning_content"
    assert told["tool calls"].startswith("whole") or "ids like" in told["tool calls"]


def test_what_a_model_did_not_do_this_time_is_no_no(capsys: pytest.CaptureFixture[str]) -> None:
    """It made no call and had no thoughts; another time it may."""
    plain = ScriptedReply(answer="北京今天晴 ☀️")
    silent = ScriptedReply(answer="")
    told = found(capsys, "qwen3.6-plus", replies=(plain,) * 5 + (silent,))
    assert told["tool calls"] == "not seen: the model made none"
    assert told["reasoning arrives in"] == told["thinking asked for"] == "not seen"
    assert told["goes on from a prefix"] == "not seen: the answer is empty"


def test_the_row_does_not_lose_its_tools(capsys: pytest.CaptureFixture[str]) -> None:
    """What was not seen leaves the catalogue's word."""
    assert CATALOGUE.find("qwen3.6-plus").tools is True
    replies = [ScriptedReply(answer="好")] * 5
    assert row_of(capsys, "qwen3.6-plus", *replies)["tools"] is True


def test_what_the_library_does_not_know_is_to_be_reported() -> None:
    """One line for each kind, and one for all that could not be read."""
    oddities = Oddities()
    assert oddities.findings() == []
    steered = UnknownDelta(0, "responses", "response.steered", {})
    oddities.take([AnswerDelta("好", 0), steered], 0)
    oddities.take([steered, UnknownDelta(0, "chat", "画\x1b[2J" * 50, {})], 2)
    first, second, third = oddities.findings()
    assert first.what == "unknown in responses: 'response.steered'"
    assert first.result == "2×; please report it / 请反馈"
    assert second.what.startswith("unknown in chat: '画\\x1b[2J")
    assert len(second.what) < 120
    assert (third.what, third.result[:2]) == ("frames that could not be read", "2;")


def test_a_model_that_nobody_serves(capsys: pytest.CaptureFixture[str]) -> None:
    told = found(capsys, "nobody-knows-it", status=1)
    assert told["listed by /models"] == "no"
    assert told["streams over Chat Completions"] == "no: ModelNotFound (503)"
    assert told["protocol 'gemini'"] == "no: ModelNotFound (503)"


def test_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    """The recorder in between does not hide what is wrong."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobody = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
    assert run(["doctor", "gpt-5", "--api-key", KEY, "--base-url", nobody]) == 1
    assert "could not connect to 127.0.0.1:" in capsys.readouterr().err


def test_a_recording_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = str(tmp_path / "没有这个目录" / "qwen.json")
    with FakeGateway(api_key=KEY) as gateway:
        address = ["--api-key", KEY, "--base-url", gateway.base_url]
        assert run(["doctor", "qwen3.6-plus", "--save", file, *address]) == 1
    assert f"{file}: No such file or directory" in capsys.readouterr().err


def test_the_recording_is_kept_without_the_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "qwen.json"
    found(capsys, "qwen3.6-plus", "--save", str(file))
    recording = Recording.load(file)
    assert len(recording.exchanges) >= 9
    assert KEY not in file.read_text("utf-8")


def test_a_wrong_key_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeGateway() as gateway:
        address = gateway.base_url
        assert run(["doctor", "gpt-5", "--api-key", "sk-wrong", "--base-url", address]) == 1
    assert "无效的令牌" in capsys.readouterr().err


def test_lines_and_a_row_for_whoever_reads(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pace = Pace(first_token=0.02)
    with FakeGateway(api_key=KEY, pace=pace, keep_alive=KeepAlive(every=0.005)) as gateway:
        arguments = ["doctor", "glm-5.1", "--api-key", KEY, "--base-url", gateway.base_url]
        assert run(arguments) == 0
        lines = capsys.readouterr().out
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        assert run(arguments) == 0
    assert "reasoning arrives in\treasoning_content" in lines
    assert "keep-alive comments\tnot seen" not in lines
    assert "Model(pattern='glm-5.1', family='GLM', dialect='glm', thinking='glm'" in lines
    assert "检查项" in capsys.readouterr().out
