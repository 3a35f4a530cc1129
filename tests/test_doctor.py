"""What the doctor finds out, of models that send in other ways."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import orjson
import pytest

from aiotokengate.catalogue import CATALOGUE
from aiotokengate.cli.app import run
from aiotokengate.testing import FakeGateway, KeepAlive, Pace, Recording

KEY = "sk-doctor-key-of-the-tests"


def found(
    capsys: pytest.CaptureFixture[str], model: str, *options: str, status: int = 0
) -> dict[str, str]:
    with FakeGateway(api_key=KEY) as gateway:
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
        ("gpt-5", {"reasoning arrives in": "nothing", "thinking asked for": "not shown"}),
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


def row_of(capsys: pytest.CaptureFixture[str], model: str) -> dict[str, object]:
    with FakeGateway(api_key=KEY) as gateway:
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
    assert "keep-alive comments\tnone" not in lines
    assert "Model(pattern='glm-5.1', family='GLM', dialect='glm', thinking='glm'" in lines
    assert "检查项" in capsys.readouterr().out
