"""``aiotokengate gateway``: the embedded gateway as a command, in a base install.

Only the standard library reads the arguments, so that nobody needs an extra to try things out.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar, get_args

import attrs

from aiotokengate._http.keys import stripped
from aiotokengate.testing._gateway import FakeGateway
from aiotokengate.testing._limits import Charge, Kind, Per, RateLimit, Style
from aiotokengate.testing._recorder import Recorder
from aiotokengate.testing._script import KeepAlive, Pace

__all__ = ["main"]

_N = TypeVar("_N", int, float)

_PACES = {"fast": Pace(), "real": Pace.real()}
_LAST_PORT = 65_535
_FAILED = 1
_INTERRUPTED = 130

_ABOUT = """\
A TokenGate on this machine, to try things without a key or a network: it streams thinking
and answers in every model's own way, but it does not really think.
本机上的模拟 TokenGate 网关：无需密钥和网络，按各模型自己的格式流式输出思考与回答（并不真的思考）。
"""
_HINT = """\
Use any key that begins with sk-, unless --api-key names one. Stop with Ctrl-C.
任何以 sk- 开头的密钥都可用（除非指定了 --api-key）。按 Ctrl-C 停止。
"""
_RECORD_HINT = """\
Send requests here with the real key. Stop with Ctrl-C: then the file is written.
请用真实密钥向此地址发送请求。按 Ctrl-C 停止，届时写入文件。
"""
_REPLAY_HINT = """\
Answers from the recording, each exchange once. Any key that begins with sk-. Stop with Ctrl-C.
按录制内容回答，每条一次。任何以 sk- 开头的密钥都可用。按 Ctrl-C 停止。
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the gateway until it is stopped; return the exit status.

    0 after SIGTERM, 130 after Ctrl-C, 1 if it can't listen or has trouble with a file, 2 for
    wrong arguments.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if wrong := _contradiction(options):
        parser.error(wrong)
    try:
        return asyncio.run(_run(options))
    except KeyboardInterrupt:  # where the event loop can't handle signals
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aiotokengate gateway",
        description=_ABOUT,
        epilog=_HINT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=_port, default=8000, metavar="N", help=_PORT_HELP)
    parser.add_argument("--host", default="127.0.0.1", help=_HOST_HELP)
    parser.add_argument("--api-key", type=_key, metavar="KEY", help=_KEY_HELP)
    parser.add_argument("--pace", choices=_PACES, default="real", help=_PACE_HELP)
    parser.add_argument("--keep-alive", type=_seconds, metavar="SECONDS", help=_KEEP_ALIVE_HELP)
    parser.add_argument("--unreliable", type=_share, default=0.0, help=_UNRELIABLE_HELP)
    parser.add_argument("--quiet", action="store_true", help=_QUIET_HELP)
    _add_recordings(parser.add_argument_group(_RECORDINGS_TITLE))
    _add_limits(parser.add_argument_group(_LIMITS_TITLE, _LIMITS_ABOUT))
    return parser


def _add_recordings(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--record", metavar="FILE", help=_RECORD_HELP)
    group.add_argument("--to", type=_address, metavar="URL", help=_TO_HELP)
    group.add_argument("--replay", metavar="FILE", help=_REPLAY_HELP)
    group.add_argument("--rhythm", action="store_true", help=_RHYTHM_HELP)


def _contradiction(options: argparse.Namespace) -> str:
    """Say which options do not go together."""
    if bool(options.record) != bool(options.to):
        return "--record and --to go together / --record 与 --to 必须同时使用"
    if options.record and options.replay:
        return "expected --record or --replay, got both / --record 与 --replay 不能同时使用"
    if options.rhythm and not options.replay:
        return "--rhythm is for --replay / --rhythm 只能与 --replay 一起使用"
    if options.record and (options.api_key or _limits(options)):
        return (
            "--record passes everything on, without a key or limits of its own / "
            "--record 只转发请求，不能再指定密钥或限流"
        )
    return ""


def _add_limits(group: argparse._ArgumentGroup) -> None:
    """Add an option for each field of a limit that makes sense without a program around it."""
    for name, kind, text in _NUMBERS:
        group.add_argument(name, type=kind, metavar="N", help=text)
    for name, field, choices, text in _CHOICES:
        group.add_argument(name, dest=field, choices=choices, help=text)
    group.add_argument("--limit-headers", dest="headers", action="store_true", help=_HEADERS_HELP)
    group.add_argument("--retry-after", action="store_true", help=_RETRY_AFTER_HELP)


_PORT_HELP = "port to listen on, 0 picks a free one (8000) / 监听端口，0 为自动选择，默认 8000"
_HOST_HELP = "address to listen on (127.0.0.1) / 监听地址，默认 127.0.0.1"
_KEY_HELP = "the only key that is good / 唯一有效的密钥"
_PACE_HELP = "speed of the models: real (0.4 s, then 60 tokens/s) or fast / 输出速度"
_KEEP_ALIVE_HELP = "send ': PING' after so much silence / 静默多少秒后发送 ': PING'"
_UNRELIABLE_HELP = "share of requests that fail, 0 to 1 / 出错请求的比例，0 到 1"
_QUIET_HELP = "print nothing but the ready line / 只打印就绪信息"
_RECORDINGS_TITLE = "recordings / 录制与回放"
_RECORD_HELP = "pass everything on to --to, write it to FILE, keys masked / 转发并录制（隐去密钥）"
_TO_HELP = "the real gateway's address, ends in /v1 / 真实网关的地址，以 /v1 结尾"
_REPLAY_HELP = "answer from such a file and from nothing else / 只按录制文件回答"
_RHYTHM_HELP = "replay as slowly as it was recorded / 按录制时的节奏回放"
_LIMITS_TITLE = "limits / 限流"
_LIMITS_ABOUT = "without a number, as many as come / 不给出数值即不限流"
_HEADERS_HELP = "send x-ratelimit-* with every answer / 每个响应都带 x-ratelimit-* 头"
_RETRY_AFTER_HELP = "send Retry-After with refusals / 拒绝时带 Retry-After 头"


def _number(
    expected: str, fits: Callable[[float], bool], made: Callable[[str], _N]
) -> Callable[[str], _N]:
    """Return what reads an option: a number that fits."""

    def read(text: str) -> _N:
        with contextlib.suppress(ValueError):
            if text.isascii() and fits(number := made(text)):
                return number
        message = f"expected {expected}, got {text!r}"
        raise argparse.ArgumentTypeError(message)

    return read


_amount = _number("a number above 0", lambda number: 0 < number < math.inf, float)
_seconds = _number("seconds above 0", lambda number: 0 < number < math.inf, float)
_share = _number("a share from 0 to 1", lambda number: 0 <= number <= 1, float)
_whole = _number("an integer from 1", lambda number: number > 0, int)
_port = _number(f"a port from 0 to {_LAST_PORT}", lambda number: 0 <= number <= _LAST_PORT, int)

_PERS = {name.replace(" ", "-"): name for name in get_args(Per)}
_NUMBERS = (
    ("--requests-per-minute", _amount, "requests a minute / 每分钟请求数"),
    ("--tokens-per-minute", _amount, "tokens a minute / 每分钟 token 数"),
    ("--concurrency", _whole, "requests at a time / 并发请求数"),
    ("--burst-slope", _whole, "requests in any one second / 任意一秒内的请求数"),
)
_CHOICES = (
    ("--limit-kind", "kind", get_args(Kind), "what a minute is (bucket) / 计时方式"),
    ("--limit-per", "per", tuple(_PERS), "what has a quota of its own (key) / 配额归属"),
    ("--charge", "charge", get_args(Charge), "when tokens count (max_tokens) / token 计费方式"),
    ("--refusal", "refusal", get_args(Style), "what a refusal looks like (json) / 拒绝的形式"),
)


def _key(text: str) -> str:
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        message = "expected printable ASCII characters without spaces"  # as a client would
        raise argparse.ArgumentTypeError(message)
    return text


def _address(text: str) -> str:
    text = stripped(text)
    if not text.startswith(("http://", "https://")):
        message = f"expected an address that begins with http:// or https://, got {text!r}"
        raise argparse.ArgumentTypeError(message)
    return text


def _gateway(options: argparse.Namespace) -> FakeGateway:
    keep_alive = options.keep_alive
    key = {} if options.api_key is None else {"api_key": options.api_key}
    gateway = FakeGateway(
        **key,
        any_key=options.api_key is None,
        limits=_limits(options),
        pace=_PACES[options.pace],
        keep_alive=None if keep_alive is None else KeepAlive(keep_alive),
        host=options.host,
        port=options.port,
        keep_requests=0,
        unreliable=options.unreliable,
        log=None if options.quiet else _tell,
    )
    if options.replay:
        gateway.replay(options.replay, rhythm=options.rhythm)
    return gateway


def _recorder(options: argparse.Namespace) -> Recorder:
    return Recorder(
        options.record,
        base_url=options.to,
        host=options.host,
        port=options.port,
        log=None if options.quiet else _tell,
    )


def _limits(options: argparse.Namespace) -> RateLimit | None:
    """Return the limit that the options describe; what is not said is as the class has it."""
    names = {field.name for field in attrs.fields(RateLimit)}
    said = {name: value for name, value in vars(options).items() if name in names and value}
    if "per" in said:
        said["per"] = _PERS[said["per"]]
    return RateLimit(**said) if said else None


async def _run(options: argparse.Namespace) -> int:
    try:
        server = _recorder(options) if options.record else _gateway(options)
        async with server:
            status = await _serve(server, options)
    except (OSError, ValueError) as error:
        _tell(f"aiotokengate gateway: {_trouble(options, error)}")
        return _FAILED
    if isinstance(server, Recorder) and not options.quiet:
        number = len(server.recording.exchanges)
        _tell(f"recorded {number} exchanges in {options.record} / 已录制 {number} 次请求")
    return status


async def _serve(server: FakeGateway | Recorder, options: argparse.Namespace) -> int:
    stopped = _on_signals()
    sys.stdout.write(f"listening on {server.base_url}\n")
    sys.stdout.flush()
    if not options.quiet:
        hint = _RECORD_HINT if options.record else _REPLAY_HINT if options.replay else _HINT
        _tell(hint.rstrip())
    return await stopped


def _trouble(options: argparse.Namespace, error: OSError | ValueError) -> str:
    if isinstance(error, ValueError):
        return str(error)
    why = os.strerror(error.errno) if error.errno and error.errno > 0 else error
    if error.filename is not None:
        return f"cannot use the file / 无法使用文件 {error.filename}: {why}"
    return f"cannot listen on / 无法监听 {options.host}:{options.port}: {why}"


def _on_signals() -> asyncio.Future[int]:
    """Return the exit status, once a signal has chosen it."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()
    for number, status in ((signal.SIGTERM, 0), (signal.SIGINT, _INTERRUPTED)):
        with contextlib.suppress(NotImplementedError):  # Windows raises KeyboardInterrupt instead
            loop.add_signal_handler(number, _choose, stopped, status)
    return stopped


def _choose(stopped: asyncio.Future[int], status: int) -> None:
    if not stopped.done():
        stopped.set_result(status)


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
