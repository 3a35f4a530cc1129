"""What ``aiotokengate top`` shows: the lanes of a pool, again and again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import attrs
import orjson
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from aiotokengate import CallerError
from aiotokengate._cli.show import printable
from aiotokengate._policy.statistics import LaneStatistics
from aiotokengate._pool.monitor import read

__all__ = ["show"]

Source: TypeAlias = Callable[[], Awaitable[Sequence[LaneStatistics]]]

BAR = 8
WIDE = 104
"""Columns of a terminal that has room for bars."""

_REDIS = ("redis://", "rediss://", "unix://")


async def show(place: str, *, every: float, once: bool, as_json: bool) -> None:
    """Show the lanes until interrupted, or once.

    Raises:
        TokenGateError: nobody answers there.
    """
    source = _source(place)
    if as_json or not sys.stdout.isatty():
        await _print(source, every=every, once=once, as_json=as_json)
        return
    console = Console(highlight=False)

    async def drawn() -> Table:
        return table(await source(), wide=console.width >= WIDE)

    if once:
        console.print(await drawn())
        return
    with Live(await drawn(), console=console, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(every)
            live.update(await drawn(), refresh=True)


def _source(place: str) -> Source:
    if not place.startswith(_REDIS):
        return lambda: read(place)
    try:
        from aiotokengate.redis import statistics
    except ImportError as error:
        message = "reading the lanes of a Redis needs the extra `redis`"
        hint = "hint: pip install 'aiotokengate[redis]'\n提示：pip install 'aiotokengate[redis]'"
        raise CallerError(message, hint=hint) from error
    return lambda: statistics(place)


async def _print(source: Source, *, every: float, once: bool, as_json: bool) -> None:
    console = Console(highlight=False, width=120)
    while True:
        lanes = await source()
        if as_json:
            sys.stdout.write(orjson.dumps([attrs.asdict(lane) for lane in lanes]).decode() + "\n")
            sys.stdout.flush()
        else:
            console.print(table(lanes))
        if once:
            return
        await asyncio.sleep(every)


def table(lanes: Sequence[LaneStatistics], *, wide: bool = True) -> Table:
    """Draw the lanes, the busy ones first; without bars and padding unless there is room."""
    drawn = Table(expand=False, pad_edge=False, padding=(0, 1) if wide else 0)
    drawn.add_column("lane\n车道", overflow="fold", min_width=8)
    drawn.add_column("in flight\n进行中", justify="right", no_wrap=True)
    drawn.add_column("waiting\n排队", justify="right", no_wrap=True)
    drawn.add_column("requests\n请求", justify="left", no_wrap=True)
    drawn.add_column("tokens\n令牌", justify="left", no_wrap=True)
    drawn.add_column("admitted\n放行", justify="right", no_wrap=True)
    drawn.add_column("refused\n被拒", justify="right", no_wrap=True)
    drawn.add_column("state\n状态", overflow="fold", min_width=5)
    for lane in sorted(lanes, key=lambda one: (-one.waiting, -one.in_flight, one.pattern)):
        drawn.add_row(
            printable(f"{lane.pattern}\n{lane.key}".strip()),
            _of(lane.in_flight, lane.concurrency),
            str(lane.waiting),
            _used(lane.requests_left, lane.requests_per_minute, bar=BAR if wide else 0),
            _used(lane.tokens_left, lane.tokens_per_minute, bar=BAR if wide else 0),
            str(lane.admitted),
            Text(str(lane.refused), "red" if lane.refused else ""),
            _state(lane),
        )
    if not lanes:
        drawn.caption = "no calls yet / 暂无调用"
    return drawn


def _of(number: int, limit: int | None) -> str:
    return str(number) if limit is None else f"{number}/{limit}"


def _used(left: float | None, limit: float | None, *, bar: int) -> Text:
    """Draw how much of a minute is used; a pace that is learned has only its rate."""
    if limit is None:
        return Text("-", "dim")
    if left is None:
        return Text(f"~{limit:,.0f}/min", "dim")
    used = f"{limit - left:,.0f}/{limit:,.0f}"
    if not bar:
        return Text(used)
    share = min(1.0, max(0.0, 1 - left / limit))
    full = round(share * bar)
    return Text.assemble(
        ("█" * full, "green" if full < bar else "yellow"), ("░" * (bar - full), "dim"), f" {used}"
    )


def _state(lane: LaneStatistics) -> Text:
    if lane.set_aside:
        return Text(f"set aside / 停用: {lane.set_aside}", "red")
    if lane.hold > 0:
        return Text(f"holds / 暂停 {lane.hold:.0f} s", "yellow")
    return Text("")
