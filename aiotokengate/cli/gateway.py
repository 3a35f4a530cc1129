"""``aiotokengate gateway``: the embedded gateway as a command, in a base install.

Only the standard library reads the arguments, so that nobody needs an extra to try things out.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import get_args

import attrs

from aiotokengate.testing.gateway import FakeGateway
from aiotokengate.testing.limits import Charge, Kind, Per, RateLimit, Style
from aiotokengate.testing.script import KeepAlive, Pace

__all__ = ["main"]

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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the gateway until it is stopped; give the exit status.

    0 after SIGTERM, 130 after Ctrl-C, 1 if it can't listen, 2 for wrong arguments.
    """
    options = _parser().parse_args(argv)
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
    parser.add_argument("--api-key", metavar="KEY", help=_KEY_HELP)
    parser.add_argument("--pace", choices=_PACES, default="real", help=_PACE_HELP)
    parser.add_argument("--keep-alive", type=_seconds, metavar="SECONDS", help=_KEEP_ALIVE_HELP)
    parser.add_argument("--quiet", action="store_true", help=_QUIET_HELP)
    _add_limits(parser.add_argument_group(_LIMITS_TITLE, _LIMITS_ABOUT))
    return parser


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
_QUIET_HELP = "print nothing but the ready line / 只打印就绪信息"
_LIMITS_TITLE = "limits / 限流"
_LIMITS_ABOUT = "without a number, as many as come / 不给出数值即不限流"
_HEADERS_HELP = "send x-ratelimit-* with every answer / 每个响应都带 x-ratelimit-* 头"
_RETRY_AFTER_HELP = "send Retry-After with refusals / 拒绝时带 Retry-After 头"


def _amount(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    message = f"expected a number above 0, got {text!r}"
    raise argparse.ArgumentTypeError(message)


def _whole(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text):
        return int(text)
    message = f"expected an integer from 1, got {text!r}"
    raise argparse.ArgumentTypeError(message)


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


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > _LAST_PORT:
        message = f"expected a port from 0 to {_LAST_PORT}, got {text!r}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    message = f"expected seconds above 0, got {text!r}"
    raise argparse.ArgumentTypeError(message)


def _gateway(options: argparse.Namespace) -> FakeGateway:
    keep_alive = options.keep_alive
    key = {} if options.api_key is None else {"api_key": options.api_key}
    return FakeGateway(
        **key,
        any_key=options.api_key is None,
        limits=_limits(options),
        pace=_PACES[options.pace],
        keep_alive=None if keep_alive is None else KeepAlive(keep_alive),
        host=options.host,
        port=options.port,
        keep_requests=0,
        log=None if options.quiet else _tell,
    )


def _limits(options: argparse.Namespace) -> RateLimit | None:
    """Give the limit that the options describe; what is not said is as the class has it."""
    names = {field.name for field in attrs.fields(RateLimit)}
    said = {name: value for name, value in vars(options).items() if name in names and value}
    if "per" in said:
        said["per"] = _PERS[said["per"]]
    return RateLimit(**said) if said else None


async def _run(options: argparse.Namespace) -> int:
    gateway = _gateway(options)
    try:
        await gateway.start()
    except OSError as error:
        _tell(_cannot_listen(options, error))
        return _FAILED
    try:
        stopped = _on_signals()
        print(f"listening on {gateway.base_url}", flush=True)  # noqa: T201
        if not options.quiet:
            _tell(_HINT.rstrip())
        return await stopped
    finally:
        await gateway.stop()


def _cannot_listen(options: argparse.Namespace, error: OSError) -> str:
    where = f"{options.host}:{options.port}"
    why = os.strerror(error.errno) if error.errno and error.errno > 0 else error
    return f"aiotokengate gateway: cannot listen on / 无法监听 {where}: {why}"


def _on_signals() -> asyncio.Future[int]:
    """Give the exit status, once a signal has chosen it."""
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
    print(line, file=sys.stderr, flush=True)  # noqa: T201
