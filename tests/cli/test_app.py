"""The command line, as a person and as a program run it; the last ones as true processes."""

import asyncio
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from aiohttp import web

from aiotokengate._cli import app
from aiotokengate.testing import Call, FakeGateway, Gate, Raw, ScriptedReply, faults
from tests.support.command import environment, run, seen_in, shown
from tests.support.screens import scrolled

MODEL = "qwen3.6-max-preview"
REPLY = ScriptedReply(
    reasoning=["想一想", "……🤔"], answer=["**你好**！👋🏽\n\n", "- 一\n- 二\n\n", "完"]
)
COMMAND = [sys.executable, "-m", "aiotokengate"]


# --- pipes --------------------------------------------------------------------------------------


def test_answer_and_thinking_part_in_a_pipe(fake_gateway: FakeGateway) -> None:
    """The answer goes to standard output as it is, the rest to standard error."""
    fake_gateway.script(faults.written(REPLY, MODEL).drip(7))
    done = run(fake_gateway, "chat", MODEL, "在吗？")
    assert done.returncode == 0
    assert done.stdout == "**你好**！👋🏽\n\n- 一\n- 二\n\n完\n"
    thinking, summary = done.stderr.splitlines()
    assert thinking == "想一想……🤔"
    assert re.fullmatch(r"\[tokens/令牌 .* first answer/首个回答 .*\]", summary)


def test_without_thinking(fake_gateway: FakeGateway) -> None:
    """``--no-reasoning`` leaves the thinking out."""
    fake_gateway.script(REPLY)
    done = run(fake_gateway, "chat", MODEL, "在吗？", "--no-reasoning")
    assert "想一想" not in done.stderr


@pytest.mark.parametrize("arguments", [["-"], []], ids=["dash", "pipe"])
def test_the_prompt_from_standard_input(
    fake_gateway: FakeGateway, arguments: Sequence[str]
) -> None:
    """A prompt that comes through a pipe, with the options of the call."""
    options = ["--system", "简短", "--max-tokens", "9", "--temperature", "0.5"]
    done = run(fake_gateway, "chat", MODEL, *arguments, *options, stdin="在吗？😀\n")
    assert done.returncode == 0
    sent = fake_gateway.requests[0].json
    assert [message["content"] for message in sent["messages"]] == ["简短", "在吗？😀\n"]
    assert (sent["max_tokens"], sent["temperature"]) == (9, 0.5)
    assert "finish/结束原因 length" in done.stderr


def test_json_lines(fake_gateway: FakeGateway) -> None:
    """Every delta is a line of JSON, the usage the last."""
    fake_gateway.script(
        ScriptedReply(reasoning=["想"], answer=["好"], tool_calls=[Call("f", {"城市": "北京"})])
    )
    done = run(fake_gateway, "chat", MODEL, "在吗？", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [line["type"] for line in lines]
    assert kinds[:3] == ["reasoning", "answer", "tool_call"]
    assert kinds[-2:] == ["finish", "usage"]
    assert lines[1] == {"type": "answer", "text": "好", "choice": 0}
    assert lines[-1]["usage"]["completion_tokens"] > 0
    assert done.stderr == ""


def test_models(fake_gateway: FakeGateway) -> None:
    """One name a line in a pipe; JSON on demand."""
    names = run(fake_gateway, "models").stdout.splitlines()
    assert MODEL in names
    rows = [json.loads(line) for line in run(fake_gateway, "models", "--json").stdout.splitlines()]
    assert [row["id"] for row in rows] == names


# --- what goes wrong ----------------------------------------------------------------------------


def test_errors_are_one_message(fake_gateway: FakeGateway) -> None:
    """A wrong model, key or address: a message with a hint in two languages, and status 1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobody = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
    cases = {
        "ModelNotFound": (["chat", "no-such-model", "在吗？"], "aiotokengate models"),
        "AuthenticationFailed": (
            ["chat", MODEL, "在吗？", "--api-key", "sk-wrong-key"],
            "密钥|key",
        ),
        "ConnectFailed": (["chat", MODEL, "在吗？", "--base-url", nobody], "请检查网络"),
        "CallerError": (["chat", MODEL, " "], "expected a prompt, got none"),
    }
    for arguments, message in cases.values():
        done = run(fake_gateway, *arguments)
        assert done.returncode == 1
        assert re.search(message, done.stderr)
        assert "Traceback" not in done.stderr
        assert "sk-wrong-key" not in done.stderr
        assert done.stdout == ""


def test_no_key() -> None:
    """Without a key the command says where to put it."""
    done = run(None, "chat", MODEL, "在吗？")
    assert done.returncode == 1
    assert "TOKENGATE_API_KEY" in done.stderr
    assert "请设置环境变量" in done.stderr


def test_a_cut_reply_keeps_what_came(fake_gateway: FakeGateway) -> None:
    """The partial answer stays on standard output, the error says that it was cut."""
    fake_gateway.script(faults.unfinished(ScriptedReply(answer=["一半", "的话"])))
    done = run(fake_gateway, "chat", MODEL, "在吗？")
    assert done.returncode == 1
    assert done.stdout == "一半的话\n"
    assert "interrupted/已中断" in done.stderr
    assert "without a finish reason" in done.stderr


REFUSAL = (
    b'data: {"choices":[{"index":0,"delta":{"refusal":"\xe4\xb8\x8d\xe8\xa1\x8c"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


def test_a_refusal_is_shown(fake_gateway: FakeGateway) -> None:
    """A model that says no is heard, in a pipe and on a terminal."""
    fake_gateway.script(Raw(body=REFUSAL), Raw(body=REFUSAL))
    done = run(fake_gateway, "chat", MODEL, "在吗？")
    assert done.stdout == "\n"
    assert done.stderr.startswith("refused/已拒绝: 不行\n")
    screen = shown(fake_gateway, "chat", MODEL, "在吗？")
    assert screen.returncode == 0
    assert "refused/已拒绝: 不行" in screen.seen


def frames(*chunks: str) -> bytes:
    """Return a body of Chat Completions with these texts as frames."""
    return "".join(f"data: {chunk}\n\n" for chunk in chunks).encode()


def chunk(text: str, reason: str | None = None) -> str:
    """Return a chunk with a piece of the answer."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    return json.dumps({"choices": [choice]}, ensure_ascii=False)


DAMAGED = frames(
    chunk("共付 1"),
    '{"choices":[{"index":0,"delta":{"content":"00 元',
    chunk(" 💰", "stop"),
    "[DONE]",
)


@pytest.mark.parametrize("options", [(), ("--json",), ("--no-reasoning",)], ids=str)
def test_a_damaged_reply_is_told_and_has_a_status_of_its_own(
    fake_gateway: FakeGateway, options: Sequence[str]
) -> None:
    """A reply with a frame that can't be read is shown, with a warning, and the status is 4."""
    fake_gateway.script(Raw(body=DAMAGED))
    done = run(fake_gateway, "chat", MODEL, "付多少？", *options)
    assert done.returncode == 4
    assert "共付 1" in done.stdout
    assert "💰" in done.stdout
    assert "warning / 注意: 1 damaged frame(s) of the reply could not be read" in done.stderr
    assert "有 1 帧已损坏" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_reply_on_a_terminal(fake_gateway: FakeGateway) -> None:
    """A person is told, too; in a conversation it goes on."""
    fake_gateway.script(Raw(body=DAMAGED), Raw(body=DAMAGED), ScriptedReply(answer="第二答"))
    screen = shown(fake_gateway, "chat", MODEL, "付多少？")
    assert screen.returncode == 4
    assert "1 damaged frame(s)" in screen.seen
    screen = shown(fake_gateway, "chat", MODEL, typed="付多少？\n再问一次\n/exit\n")
    assert screen.returncode == 0
    assert screen.seen.index("内容可能不完整") < screen.seen.index("第二答")


def test_a_damaged_reply_that_was_cut_is_an_error(fake_gateway: FakeGateway) -> None:
    """Half a reply is an error first of all; what was skipped stands in its last line."""
    cut = frames(chunk("一半"), '{"choices":[{"index":0,"delta":{"content":"坏😵')
    fake_gateway.script(Raw(body=cut))
    done = run(fake_gateway, "chat", MODEL, "在吗？")
    assert (done.returncode, done.stdout) == (1, "一半\n")
    assert "frames skipped: 1" in done.stderr


def test_a_frame_that_could_be_mended_is_no_damage(fake_gateway: FakeGateway) -> None:
    """What was certain is read as if nothing had been: the status is 0, and nobody is warned."""
    glued = f"data: data: {chunk('两帧')}{chunk('粘连 🧷', 'stop')}\n\ndata: [DONE]\n\n"
    fake_gateway.script(Raw(body=glued.encode()))
    done = run(fake_gateway, "chat", MODEL, "在吗？")
    assert (done.returncode, done.stdout) == (0, "两帧粘连 🧷\n")
    assert "warning" not in done.stderr


def test_a_paused_reply_says_so(fake_gateway: FakeGateway) -> None:
    """A reply that the vendor wants to go on with is not passed off as an end."""
    body = frames(chunk("查到一半 🔎", "pause_turn"), "[DONE]")
    fake_gateway.script(Raw(body=body), Raw(body=body))
    done = run(fake_gateway, "chat", MODEL, "查一下")
    assert (done.returncode, done.stdout) == (0, "查到一半 🔎\n")
    assert "paused/已暂停" in done.stderr
    screen = shown(fake_gateway, "chat", MODEL, "查一下")
    assert screen.returncode == 0
    assert "paused/已暂停" in screen.seen


UNKNOWN = frames(
    '{"choices":[{"index":0,"delta":{"hologram":{"形状":"猫 🐈"}}}]}',
    chunk("好", "stop"),
    "[DONE]",
)


def test_what_nobody_knows_is_for_programs_alone(fake_gateway: FakeGateway) -> None:
    """A person does not see it; among JSON lines it is one, under its own name."""
    fake_gateway.script(Raw(body=UNKNOWN), Raw(body=UNKNOWN))
    done = run(fake_gateway, "chat", MODEL, "在吗？")
    assert (done.returncode, done.stdout) == (0, "好\n")
    assert "hologram" not in done.stderr
    lines = run(fake_gateway, "chat", MODEL, "在吗？", "--json").stdout.splitlines()
    told = [json.loads(line) for line in lines]
    assert [line["type"] for line in told] == ["unknown", "answer", "finish"]
    assert (told[0]["protocol"], told[0]["data"]) == ("chat", {"形状": "猫 🐈"})
    assert "hologram" in told[0]["name"]


@pytest.mark.parametrize("odd", ['{"a":' * 150 + "1" + "}" * 150, "9" * 400], ids=["deep", "long"])
def test_json_lines_of_odd_values(fake_gateway: FakeGateway, odd: str) -> None:
    """What came beside the counts, and what nobody knows, is written whatever it is."""
    told = f'{{"prompt_tokens":3,"completion_tokens":2,"怪 🌀":{odd}}}'
    choice = f'{{"index":0,"delta":{{"content":"好","hologram":{odd}}},"finish_reason":"stop"}}'
    body = frames(f'{{"choices":[{choice}],"usage":{told}}}', "[DONE]")
    fake_gateway.script(Raw(body=body))
    done = run(fake_gateway, "chat", MODEL, "在吗？", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    kinds = [line.split('"')[3] for line in done.stdout.splitlines()]
    assert kinds == ["answer", "unknown", "finish", "usage"]


def test_a_prompt_in_another_encoding(fake_gateway: FakeGateway) -> None:
    """Bytes that are no UTF-8 are refused in words, before anything is sent."""
    done = run(fake_gateway, "chat", MODEL, stdin="在吗？".encode("gbk"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "expected UTF-8 on standard input" in done.stderr
    assert "标准输入应为 UTF-8" in done.stderr
    assert not fake_gateway.requests


def test_output_without_chinese(fake_gateway: FakeGateway) -> None:
    """Where the output can't hold a character, the rest of the answer still comes."""
    fake_gateway.script(ScriptedReply(answer="好 ok 👌"))
    done = run(fake_gateway, "chat", MODEL, "ok?", encoding="latin-1")
    assert (done.returncode, done.stdout) == (0, "? ok ?\n")


def test_help_of_the_gateway_without_chinese() -> None:
    """Its help needs no extra, and no terminal with Chinese either."""
    done = run(None, "gateway", "--help", encoding="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Stop with Ctrl-C" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [["chat"], ["nonsense"], ["chat", MODEL, "x", "--temperature", "hot"]],
    ids=["no model", "no such command", "no number"],
)
def test_wrong_use(arguments: Sequence[str]) -> None:
    """Wrong arguments are explained, and end with status 2."""
    done = run(None, *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr


@pytest.mark.parametrize("command", [[], ["chat"], ["models"], ["demo"]], ids=str)
def test_help_in_two_languages(command: Sequence[str]) -> None:
    """Each help text is there in English and in Chinese."""
    done = run(None, *command, "--help")
    assert done.returncode == 0
    assert re.search(r"[a-z]{4}", done.stdout)
    assert re.search(r"[\u4e00-\u9fff]{3}", done.stdout)


def test_version() -> None:
    """The version is told with and without the extra."""
    assert run(None, "--version").stdout.startswith("aiotokengate 0.")


@pytest.mark.parametrize("command", ["chat", "models", "demo"])
@pytest.mark.parametrize("lacking", ["typer", "rich"])
def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, command: str, lacking: str) -> None:
    """Without typer and rich, the extra is named and the status is 2."""
    monkeypatch.delitem(sys.modules, "aiotokengate._cli.app")
    monkeypatch.setitem(sys.modules, lacking, None)
    monkeypatch.setitem(sys.modules, f"{lacking}.console", None)
    done = run(None, command)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0].endswith("pip install 'aiotokengate[cli]'")
    assert "附加依赖" in done.stderr


# --- a terminal ---------------------------------------------------------------------------------


def test_markdown_on_a_terminal(fake_gateway: FakeGateway) -> None:
    """Thinking comes first, then rendered Markdown, then what it took."""
    fake_gateway.script(faults.written(REPLY, MODEL).drip(7))
    screen = shown(fake_gateway, "chat", MODEL, "在吗？")
    assert screen.returncode == 0
    assert screen.seen.index("想一想……🤔") < screen.seen.rindex("你好！👋🏽")
    assert "**" not in screen.seen
    assert " • 一" in screen.seen
    assert "tokens/令牌" in screen.seen


def test_ctrl_d_ends_a_conversation(fake_gateway: FakeGateway) -> None:
    """The end of the input is the end of the conversation."""
    assert shown(fake_gateway, "chat", MODEL, typed="\x04").returncode == 0


def test_models_on_a_terminal(fake_gateway: FakeGateway) -> None:
    """On a terminal the models are a table."""
    screen = shown(fake_gateway, "models")
    assert screen.returncode == 0
    assert "model / 模型" in screen.seen
    assert MODEL in screen.seen


LONG = "".join(
    f"第 {n} 段：很长的话，要占两行才写得完，还有 English words that must not be cut 😊\n\n"
    for n in range(1, 30)
)


def test_a_long_answer_is_whole(fake_gateway: FakeGateway) -> None:
    """What a person can scroll back to is the thinking and the answer, once and in order."""
    code = "\n".join(f"行_{n} = {n}" for n in range(40))
    fake_gateway.script(
        ScriptedReply(reasoning=LONG, answer=f"{LONG}- 一\n- 二\n\n```python\n{code}\n```\n完")
    )
    screen = shown(fake_gateway, "chat", MODEL, "写长一点")
    assert screen.returncode == 0
    stands = scrolled(screen.written)
    words = "".join(stands.split())
    expected = "".join(f"{LONG}{LONG}•一•二{code}完".split())
    assert words.startswith(expected + "[tokens")
    assert re.search(r"English\s+words\s+that\s+must\s+not\s+be\s+cut", stands)


def test_a_model_cannot_steer_the_terminal(fake_gateway: FakeGateway) -> None:
    """Control characters of a reply are shown, not obeyed."""
    fake_gateway.script(ScriptedReply(reasoning="\x1b]0;标题\x07想", answer="\x1b[2J好\r\n"))
    screen = shown(fake_gateway, "chat", MODEL, "在吗？")
    assert screen.returncode == 0
    assert "␛]0;标题␇想" in screen.seen
    assert "␛[2J好" in screen.seen
    assert b"\x1b[2J" not in screen.written


def test_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demonstration streams two turns, with no key, no settings, and past any proxy."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setattr(app, "DEMO_PACE", None)
    screen = shown(None, "demo")
    assert screen.returncode == 0
    for text in ("内置网关", "你好！😊", "205", "print(", "export TOKENGATE_API_KEY"):
        assert text in screen.seen


# --- in this process ----------------------------------------------------------------------------


def test_the_version_in_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("aiotokengate ")


def test_a_mistake_of_ours_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not told as if the arguments were wrong."""
    closed = StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    with pytest.raises(ValueError, match="closed file"):
        app.run(["--version"])


def test_top_in_process(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A wrong period, and nobody there."""
    place = os.path.relpath(tmp_path / "nobody.sock")
    for options, told in [
        (["--every", "0"], "expected --every in seconds above 0"),
        (["--once"], "no pool answers at"),
    ]:
        assert app.run(["top", place, *options]) == 1
        assert told in capsys.readouterr().err


def test_the_doctor_in_process(
    capsys: pytest.CaptureFixture[str], fake_gateway: FakeGateway
) -> None:
    address = ["--base-url", fake_gateway.base_url]
    known = app.run(["doctor", MODEL, "--json", "--api-key", fake_gateway.api_key, *address])
    assert known == 0
    assert json.loads(capsys.readouterr().out)
    assert app.run(["doctor", MODEL, "--json", "--api-key", "sk-wrong-key-1", *address]) == 1
    assert "error / 错误:" in capsys.readouterr().err
    nobody = ["doctor", "nobody-knows-it", "--json", "--api-key", fake_gateway.api_key]
    assert app.run([*nobody, *address]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["found"]
    assert "error / 错误:" in err


def test_an_interrupt_in_process(fake_gateway: FakeGateway) -> None:
    """Wherever it comes, the status is 130, and nothing is said."""

    async def interrupt(_: web.Request) -> web.StreamResponse:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()
        raise AssertionError

    fake_gateway.script(interrupt, path="/v1/models")
    assert run(fake_gateway, "models") == (130, "", "")


# --- true processes -----------------------------------------------------------------------------


def test_a_reader_that_has_enough(fake_gateway: FakeGateway) -> None:
    """A pipe that closes early ends the command with status 1 and without a word."""
    # Much more than a pipe holds, so that the command is still writing when its reader leaves.
    fake_gateway.script(ScriptedReply(answer=["字" * 100] * 3000))
    command = f"{' '.join(COMMAND)} chat {MODEL} 在吗？ | head -c 6; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["/bin/bash", "-c", command],
        env=environment(fake_gateway),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "字字", "")


def test_an_interrupt_in_a_pipe(fake_gateway: FakeGateway) -> None:
    """The next program gets what came, as a line, and status 130 says that it is not all."""
    half = "一半的话😀"
    fake_gateway.script(ScriptedReply(answer=[half, Gate(), "没了"]))
    with subprocess.Popen(
        [*COMMAND, "chat", MODEL, "数数"],
        env=environment(fake_gateway),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        seen = process.stdout.read(len(half.encode()))
        process.send_signal(signal.SIGINT)
        rest, told = process.communicate(timeout=60)
    assert (process.returncode, (seen + rest).decode()) == (130, half + "\n")
    assert "stopped/已停止" in told.decode()
    assert "Traceback" not in told.decode()


@pytest.mark.parametrize("arguments", [["models"], ["chat", MODEL, "在吗？"]], ids=str)
def test_a_full_disk(fake_gateway: FakeGateway, arguments: Sequence[str]) -> None:
    """What can't be written is said in a line."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, *arguments],
            env=environment(fake_gateway),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode
    assert "error / 错误: No space left on device" in done.stderr.decode()
    assert b"Traceback" not in done.stderr


class Terminal:
    """A process on a pseudo-terminal of 80 columns."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self._master = master
        self.seen = ""
        self.written = b""

    def until(self, text: str) -> None:
        """Read on until the text has appeared."""
        while text not in self.seen:
            assert self._read(), f"expected {text!r}, got {self.seen!r}"

    def rest(self) -> int:
        """Read to the end; return the exit status."""
        while self._read():
            pass
        return self.process.wait(60)

    def type(self, text: str) -> None:
        """Type on the keyboard."""
        os.write(self._master, text.encode())

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 60)
        try:
            data = os.read(self._master, 65536) if ready else b""
        except OSError:  # how Linux says that nobody has the other side open
            data = b""
        self.written += data
        self.seen = seen_in(self.written)
        return bool(data)


@contextmanager
def terminal(gateway: FakeGateway | None, *arguments: str) -> Iterator[Terminal]:
    """Run a command on a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment(gateway),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_tokens_are_shown_as_they_come(fake_gateway: FakeGateway) -> None:
    """Each token is on the screen before the gateway sends the next one."""
    turn = Gate()
    fake_gateway.script(
        ScriptedReply(reasoning=["想", turn, "完"], answer=[turn, "一", turn, "二"])
    )
    with terminal(fake_gateway, "chat", MODEL, "数数") as screen:
        for text in ("想", "完", "一", "二"):
            screen.until(text)
            turn.release()
        assert screen.rest() == 0


def test_ctrl_c_keeps_the_partial_reply(fake_gateway: FakeGateway) -> None:
    """Ctrl-C in mid-stream ends with what came, the counts, and status 130."""
    fake_gateway.script(ScriptedReply(reasoning=["想"], answer=["一半的话", Gate(), "没了"]))
    with terminal(fake_gateway, "chat", MODEL, "数数") as screen:
        screen.until("一半的话")
        screen.process.send_signal(signal.SIGINT)
        assert screen.rest() == 130
        assert "stopped/已停止" in screen.seen
        assert "Traceback" not in screen.seen
    assert fake_gateway.requests[0].disconnected.wait_blocking(60)


def test_a_conversation(fake_gateway: FakeGateway) -> None:
    """Without a prompt it is a conversation that remembers; an error does not end it."""
    fake_gateway.script(
        ScriptedReply(reasoning="想", answer="第一答"),
        faults.queue_full(),
        faults.queue_full(),
        faults.queue_full(),
        ScriptedReply(answer="第二答"),
    )
    with terminal(fake_gateway, "chat", MODEL) as screen:
        screen.until("> ")
        screen.type("第一问\n")
        screen.until("total/总计")
        screen.type("\n会失败的一问\n")
        screen.until("error / 错误")
        screen.type("第二问\n")
        screen.until("第二答")
        screen.type("/exit\n")
        assert screen.rest() == 0
    sent = [message["content"] for message in fake_gateway.requests[-1].json["messages"]]
    assert sent == ["第一问", "第一答", "第二问"]


def test_a_conversation_into_a_file(fake_gateway: FakeGateway) -> None:
    """Typed on a terminal, answered into a file: the file holds the answers alone."""
    fake_gateway.script(ScriptedReply(answer="第一答"))
    master, slave = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "chat", MODEL],
        env=environment(fake_gateway),
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        os.write(master, "第一问\n/exit\n".encode())
        out, rest = process.communicate(timeout=60)
    os.close(slave)
    os.close(master)
    assert (process.returncode, out.decode()) == (0, "第一答\n")
    assert rest.decode().count("> ") == 2
