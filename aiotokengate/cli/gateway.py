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

from aiotokengate.testing.gateway import FakeGateway
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
    return parser


_PORT_HELP = "port to listen on, 0 picks a free one (8000) / 监听端口，0 为自动选择，默认 8000"
_HOST_HELP = "address to listen on (127.0.0.1) / 监听地址，默认 127.0.0.1"
_KEY_HELP = "the only key that is good / 唯一有效的密钥"
_PACE_HELP = "speed of the models: real (0.4 s, then 60 tokens/s) or fast / 输出速度"
_KEEP_ALIVE_HELP = "send ': PING' after so much silence / 静默多少秒后发送 ': PING'"
_QUIET_HELP = "print nothing but the ready line / 只打印就绪信息"


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
        pace=_PACES[options.pace],
        keep_alive=None if keep_alive is None else KeepAlive(keep_alive),
        host=options.host,
        port=options.port,
        keep_requests=0,
        log=None if options.quiet else _tell,
    )


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
