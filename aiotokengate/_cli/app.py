"""The commands and their options; what they show is in :mod:`aiotokengate._cli.show`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import attrs
import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from aiotokengate import (
    CallerError,
    Reply,
    StreamInterrupted,
    TokenGate,
    TokenGateError,
    __version__,
)
from aiotokengate._cli.loop import new_runner, run_async
from aiotokengate._cli.show import Screen, printable, screen_for
from aiotokengate._stream.call import ChatStream
from aiotokengate.testing import FakeGateway, Pace

__all__ = ["run"]

INTERRUPTED = 130
UNREADABLE = 4
"""The status after a reply of which frames could not be read: something may be missing in it."""

DEMO_MODEL = "qwen3.6-max-preview"
DEMO_SECOND_PROMPT = "Please show me a small example with code."
DEMO_PACE = Pace(first_token=0.4, tokens_per_second=75, jitter=0.3)

CHAT_HELP = """\
Ask a model and watch it think and answer. / 提问，并逐字显示思考与回答。

Without a prompt, on a terminal, it is a conversation: Ctrl-D or /exit ends it.
不给问题时进入多轮对话，按 Ctrl-D 或输入 /exit 结束。
"""
TOP_HELP = """\
Watch the lanes of a pool: who waits, and what is left. / 实时查看限流池：谁在排队、还剩多少。

Of a program that has Pool(monitor=PATH), or of a Redis. Ctrl-C ends it.
可查看使用 Pool(monitor=路径) 的程序，或一个 Redis；按 Ctrl-C 结束。
"""
DOCTOR_HELP = """\
Find out how a gateway answers for a model. / 检查网关对某个模型的实际回应方式。

It asks about ten small questions, which cost a little. What is found comes as a table and as a row
for the catalogue; --save keeps the exchanges, without keys.
会发出约十个小问题（产生少量费用），结果为一张表和一行目录数据；--save 可保存录制（不含密钥）。
"""
LONGEST = 3_600.0
DEMO_HELP = "See it work on the embedded gateway, without a key. / 内置网关演示，无需密钥与网络。"

errors = Console(stderr=True, highlight=False, emoji=False)

app = typer.Typer(
    help="Ask TokenGate's models from the terminal. / 在终端里与 TokenGate 的模型对话。",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they may show values, and a key is among those
    context_settings={"help_option_names": ["-h", "--help"]},
)

Key = Annotated[
    str | None, typer.Option(help="API key; else TOKENGATE_API_KEY / 密钥", show_default=False)
]
Address = Annotated[
    str | None, typer.Option(help="Address ending in /v1; else TOKENGATE_BASE_URL / 网关地址")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON lines / 输出 JSON 行")]


def run(arguments: Sequence[str]) -> int:
    """Run a command; return the exit status."""
    try:
        status = app(args=list(arguments), prog_name="aiotokengate", standalone_mode=False)
    except TokenGateError as error:
        _tell(error)
        return 1
    except typer.Exit as leaving:
        return leaving.exit_code
    except OSError as error:
        _tell_file(error)
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - raised again unless it is about the arguments
        return _wrong_use(error)
    return status if isinstance(status, int) else 0


def _tell(error: TokenGateError) -> None:
    _say("error / 错误:", "red", printable(str(error)))


def _warn(skipped: int) -> None:
    """Say that frames of a reply could not be read, also to who reads JSON lines alone."""
    text = (
        f"{skipped} damaged frame(s) of the reply could not be read, so something may be missing"
        f"\n      回复中有 {skipped} 帧已损坏、无法读取，内容可能不完整"
    )
    _say("warning / 注意:", "yellow", text)


def _tell_file(error: OSError) -> None:
    place = f"{printable(str(error.filename))}: " if error.filename else ""
    _say("error / 错误:", "red", f"{place}{error.strerror or type(error).__name__}")


def _say(label: str, style: str, text: str) -> None:
    errors.print(Text.assemble((label, style), f" {text}"), soft_wrap=True)


def _wrong_use(error: Exception) -> int:
    """Show what typer has to say of the arguments, in its own way."""
    show = getattr(error, "show", None)
    if show is None:
        raise error
    show()
    return int(getattr(error, "exit_code", 2))


@app.callback(invoke_without_command=True)
def _version(
    *, version: Annotated[bool, typer.Option("--version", help="Show the version / 版本")] = False
) -> None:
    if version:
        typer.echo(f"aiotokengate {__version__}")
        raise typer.Exit


@app.command(help=CHAT_HELP)
def chat(  # noqa: PLR0913 - one parameter for each option
    model: Annotated[str, typer.Argument(help="Model name, as `models` lists it / 模型名")],
    prompt: Annotated[
        str | None,
        typer.Argument(
            help="What to ask; '-' or a pipe reads standard input / 问题", show_default=False
        ),
    ] = None,
    *,
    system: Annotated[str | None, typer.Option(help="System message / 系统提示")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Limit on the reply / 回复上限")] = None,
    temperature: Annotated[float | None, typer.Option(help="Sampling temperature / 温度")] = None,
    reasoning: Annotated[bool, typer.Option(help="Show the thinking / 显示思考过程")] = True,
    as_json: AsJson = False,
    api_key: Key = None,
    base_url: Address = None,
) -> int:
    """Ask once, or keep a conversation; return the exit status."""
    params = {"max_tokens": max_tokens, "temperature": temperature}
    turn = Turns(model, system, {k: v for k, v in params.items() if v is not None})
    screen = screen_for(as_json=as_json, reasoning=reasoning)
    with new_runner() as runner:
        gate = TokenGate(api_key=api_key, base_url=base_url)
        try:
            if prompt is None and sys.stdin.isatty():
                return turn.converse(runner, gate, screen)
            question = _piped() if prompt is None or prompt == "-" else prompt
            reply = runner.run(turn.ask(gate, question, screen))
        finally:
            runner.run(gate.close())
    return UNREADABLE if reply.skipped else 0


def _piped() -> str:
    """Read the prompt from standard input, whatever the encoding of the terminal is."""
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"expected UTF-8 on standard input, got another encoding at byte {error.start}"
        hint = "hint: convert it, as with iconv\n提示：标准输入应为 UTF-8，可先用 iconv 转换"
        raise CallerError(message, hint=hint) from None


@app.command(help="List the models that your key may use. / 列出密钥可用的模型。")
def models(*, as_json: AsJson = False, api_key: Key = None, base_url: Address = None) -> None:
    """List the models: a table for a person, names or JSON for a program."""

    async def ask() -> list[dict[str, Any]]:
        async with TokenGate(api_key=api_key, base_url=base_url) as gate:
            return [attrs.asdict(model) for model in await gate.models()]

    rows = run_async(ask())
    if as_json:
        for row in rows:
            typer.echo(orjson.dumps(row))
    elif not sys.stdout.isatty():
        for row in rows:
            typer.echo(row["id"])
    else:
        table = Table("model / 模型", "owner / 提供方")
        for row in rows:
            table.add_row(escape(row["id"]), escape(row["owned_by"]))
        Console().print(table)


@app.command(help=TOP_HELP)
def top(
    place: Annotated[
        str, typer.Argument(help="Path of Pool(monitor=...), or redis://... / 路径或 Redis 地址")
    ],
    *,
    every: Annotated[float, typer.Option(help="Seconds between looks / 刷新间隔（秒）")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look once and end / 只显示一次")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the lanes of a pool."""
    from aiotokengate._cli.top import show

    if not 0 < every < LONGEST:
        message = f"expected --every in seconds above 0, got {every}"
        raise CallerError(message)
    run_async(show(place, every=every, once=once, as_json=as_json))


@app.command(help=DOCTOR_HELP)
def doctor(
    model: Annotated[str, typer.Argument(help="Model name, as `models` lists it / 模型名")],
    *,
    save: Annotated[
        Path | None, typer.Option(help="Keep the recording in this file / 把录制保存到此文件")
    ] = None,
    as_json: AsJson = False,
    api_key: Key = None,
    base_url: Address = None,
) -> None:
    """Find out how a gateway answers for a model."""
    from aiotokengate._cli.doctor import examine, show

    found, row, refused = run_async(examine(model, api_key=api_key, base_url=base_url, save=save))
    show(found, row, model=model, as_json=as_json)
    if refused is not None:
        raise refused


@app.command(help=DEMO_HELP)
def demo(
    prompt: Annotated[str, typer.Argument(help="What to ask first / 第一个问题")] = "你好",
) -> None:
    """Stream two turns of a conversation from the embedded gateway."""
    errors.print(
        "[bold]The embedded gateway answers here, not a real model.[/]\n"
        "[bold]以下由内置网关作答，并非真实模型。[/]\n"
    )
    turns = Turns(DEMO_MODEL, None, {})
    screen = screen_for(as_json=False, reasoning=True)
    with FakeGateway(pace=DEMO_PACE) as gateway, new_runner() as runner:
        gate = TokenGate(api_key=gateway.api_key, base_url=gateway.base_url, proxy="")
        try:
            for question in (prompt, DEMO_SECOND_PROMPT):
                screen.question(question)
                runner.run(turns.ask(gate, question, screen))
        finally:
            runner.run(gate.close())
    errors.print(
        "\nNow the real one / 接下来试试真实模型：\n"
        f"  export TOKENGATE_API_KEY=sk-...\n  aiotokengate chat {DEMO_MODEL} 你好"
    )


@app.command(help="Run the embedded gateway by itself; needs no extra. / 单独运行内置网关。")
def gateway() -> None:
    """Stand in the list of commands; ``aiotokengate.__main__`` never lets it come here."""


_NO_PROMPT = "hint: give it as an argument or on standard input\n提示：请用参数或标准输入给出问题"


class Turns:
    """A conversation: the messages so far, and how the next question is put."""

    def __init__(self, model: str, system: str | None, params: dict[str, Any]) -> None:
        self._model = model
        self._params = params
        self._messages: list[dict[str, Any]] = []
        if system:
            self._messages.append({"role": "system", "content": system})

    async def ask(self, gate: TokenGate, question: str, screen: Screen) -> Reply:
        """Ask one question and show the reply; the history grows only by what succeeded."""
        if not question.strip():
            message = "expected a prompt, got none"
            raise CallerError(message, hint=_NO_PROMPT)
        asked = [*self._messages, {"role": "user", "content": question}]
        reply = await _shown(gate.chat(self._model, asked, **self._params), screen)
        self._messages = [*asked, reply.message()]
        return reply

    def converse(self, runner: asyncio.Runner, gate: TokenGate, screen: Screen) -> int:
        """Ask until the person has enough."""
        errors.print(
            f"[dim]{escape(self._model)} — Ctrl-D or /exit ends / 按 Ctrl-D 或 /exit 结束[/]"
        )
        while True:
            try:
                question = _typed().strip()
            except EOFError:
                errors.print()
                return 0
            if question == "/exit":
                return 0
            if question:
                self._try(runner, gate, question, screen)

    def _try(self, runner: asyncio.Runner, gate: TokenGate, question: str, screen: Screen) -> None:
        try:
            runner.run(self.ask(gate, question, screen))
        except TokenGateError as error:
            _tell(error)


def _typed() -> str:
    """Let the person type a line; the prompt sign never goes into a file."""
    if sys.stdout.isatty():
        with contextlib.suppress(ImportError):
            import_module("readline")  # input() then has its keys; not on every system
        return input("> ")
    errors.print("> ", end="")
    return input()


async def _shown(call: AbstractAsyncContextManager[ChatStream], screen: Screen) -> Reply:
    """Show a reply as it comes; when it is cut or interrupted, what came stays shown."""
    async with call as stream:
        try:
            await screen.show(stream)
            reply = await stream.reply()
        except StreamInterrupted as error:
            screen.finish(error.partial)
            raise
        except asyncio.CancelledError:
            stream.stop()
            screen.finish(await stream.reply())
            raise
        screen.finish(reply)
    if reply.skipped:
        _warn(reply.skipped)
    return reply
