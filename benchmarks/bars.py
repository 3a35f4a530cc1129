"""The bars, and whether they hold: each is a line of the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs
from figure import Figure
from open_streams import HELD_TEXTS
from splicing import LOWEST

__all__ = ["BARS", "Bar", "Row", "rows"]

MEMORY = 1.25
BYTES_A_DELTA = 80
"""A stream may take so much memory: that of so many bare ones, and so much for each delta."""


@attrs.frozen
class Row:
    """A bar with the figures of a run beside it.

    Attributes:
        ours: what the library costs.
        other: what it is held against; None where the bar is a number of its own.
        value: what has to keep to the bar.
        spread: the middle half of the values of the rounds.
        verdict: ``holds``, ``above`` or ``below``.
    """

    bar: Bar
    unit: str
    ours: float
    other: float | None
    value: float
    spread: tuple[float, float] | None
    verdict: str


@attrs.frozen
class Bar:
    """One bar: ``most`` or ``least`` for one entry of a figure, over another one of it.

    Attributes:
        title: what is compared, in English and in Chinese.
        figure: which figure; where it was not measured, the bar has no row.
        entry: the library's.
        other: the other entry.
        turned: whether the other one is divided by ours.
        times: how much of the other one it is held against.
        allowed: what is added to that, in the unit of the figure.
        brief: whether the READMEs show it, too.
    """

    title: tuple[str, str]
    figure: str
    entry: str = "ours"
    other: str | None = "bare"
    most: float | None = None
    least: float | None = None
    turned: bool = False
    times: float = 1.0
    allowed: float = 0.0
    brief: bool = True

    @property
    def text(self) -> str:
        """The bar as it is written."""
        return f"≤ {self.most:g}" if self.most is not None else f"≥ {self.least:g}"

    def row(self, figure: Figure) -> Row:
        """Hold a figure against the bar."""
        ours = figure.typical(self.entry)
        other = None if self.other is None else self._allowance(figure)
        low, value, high = self._quartiles(figure)
        spread = None if low == value == high else (low, high)
        return Row(self, figure.unit, ours, other, value, spread, self._verdict(value))

    def _quartiles(self, figure: Figure) -> tuple[float, float, float]:
        """Return what has to keep to the bar, in the middle, and its spread."""
        ours = figure.typical(self.entry)
        if self.other is None:
            return ours, ours, ours
        if self.allowed:
            value = ours / self._allowance(figure)
            return value, value, value
        over, under = (self.other, self.entry) if self.turned else (self.entry, self.other)
        return figure.ratios(over, under)

    def _allowance(self, figure: Figure) -> float:
        assert self.other is not None
        return self.times * figure.typical(self.other) + self.allowed

    def _verdict(self, value: float) -> str:
        if self.most is not None and value > self.most:
            return "above"
        if self.least is not None and value < self.least:
            return "below"
        return "holds"


MOST_STREAMS = 10_000


def _streams(number: int) -> Sequence[Bar]:
    many = f"{number:,}"
    return (
        Bar(
            (
                f"chunks for the same CPU time, {many} open streams",
                f"同样 CPU 时间内的增量数，{many} 条流",
            ),
            f"streams {number}",
            least=0.8,
            turned=True,
            brief=number == MOST_STREAMS,
        ),
        Bar(
            (
                f"p99 lateness at 70 % load, {many} streams",
                f"70 % 负载下第 99 百分位延迟，{many} 条流",
            ),
            f"late {number}",
            other=None,
            most=100,
            brief=False,
        ),
    )


BARS: Sequence[Bar] = (
    Bar(("typed deltas, as fast as they come", "带类型的增量，全速"), "bulk", most=1.15),
    Bar(
        ("the same, over openai-python with aiohttp", "同上，对比 openai-python（aiohttp）"),
        "bulk",
        other="openai aiohttp",
        least=25,
        turned=True,
    ),
    Bar(
        ("the same, over LiteLLM", "同上，对比 LiteLLM"),
        "bulk",
        other="litellm",
        least=120,
        turned=True,
    ),
    Bar(
        ("read as `.reasoning`, then `.answer`", "先读 `.reasoning`，再读 `.answer`"),
        "bulk",
        "ours, views",
        most=1.25,
    ),
    Bar(
        ("through a pool with limits, hooks off", "经限流池，无钩子"),
        "bulk",
        "ours, limits",
        most=1.2,
        brief=False,
    ),
    Bar(("Responses, as fast as they come", "Responses 协议，全速"), "responses", most=1.3),
    Bar(("Messages, as fast as they come", "Messages 协议，全速"), "messages", most=1.3),
    Bar(("one event a read, deltas", "每次读取一个事件，增量"), "paced", most=0.75),
    Bar(("the same, `await`", "同上，`await`"), "paced", "ours await", most=0.5),
    Bar(
        ("the same, `.answer` while it thinks", "同上，思考时读 `.answer`"),
        "paced",
        "ours answer",
        most=0.5,
    ),
    Bar(("the same, `.bursts(0.8)`", "同上，`.bursts(0.8)`"), "paced", "ours bursts", most=0.5),
    Bar(
        ("the same on uvloop, deltas", "同上，uvloop，增量"),
        "paced",
        "ours uvloop",
        "bare uvloop",
        most=1.1,
        brief=False,
    ),
    Bar(
        ("the same on uvloop, `await`", "同上，uvloop，`await`"),
        "paced",
        "ours await uvloop",
        "bare uvloop",
        most=0.8,
        brief=False,
    ),
    Bar(
        (
            "the same, deltas over openai-python with aiohttp",
            "同上，增量，对比 openai-python（aiohttp）",
        ),
        "paced",
        other="openai aiohttp",
        least=5,
        turned=True,
        brief=False,
    ),
    Bar(
        (
            "the same, `await` over openai-python with aiohttp",
            "同上，`await`，对比 openai-python（aiohttp）",
        ),
        "paced",
        "ours await",
        "openai aiohttp",
        least=8,
        turned=True,
        brief=False,
    ),
    Bar(
        ("one call, a reply of one token, `await`", "一次调用，一个词的回复，`await`"),
        "call",
        most=1.35,
    ),
    Bar(
        ("the same, over openai-python with aiohttp", "同上，对比 openai-python（aiohttp）"),
        "call",
        other="openai aiohttp",
        least=7,
        turned=True,
        brief=False,
    ),
    Bar(("the same with `stream=False`", "同上，`stream=False`"), "plain", most=1.35),
    Bar(
        (
            "`stream=False`, over openai-python with aiohttp",
            "`stream=False`，对比 openai-python（aiohttp）",
        ),
        "plain",
        other="openai aiohttp",
        least=7,
        turned=True,
        brief=False,
    ),
    Bar(
        ("import, over aiohttp, attrs and orjson", "导入，对比 aiohttp、attrs 与 orjson"),
        "import",
        most=1.25,
    ),
    Bar(
        (
            f"memory of an open stream, over {MEMORY} bare ones and {BYTES_A_DELTA} bytes a delta",
            f"每条打开的流所占内存，对比 {MEMORY} 条裸流加每个增量 {BYTES_A_DELTA} 字节",
        ),
        "memory",
        most=1,
        times=MEMORY,
        allowed=BYTES_A_DELTA * HELD_TEXTS / 1e3,
    ),
    Bar(
        (
            "the same with `retain=False`, after 4,000 over 1,000",
            "`retain=False`，四千块对比一千块",
        ),
        "memory",
        "ours, retain=False, four times as long",
        "ours, retain=False",
        most=1.1,
        brief=False,
    ),
    Bar(
        ("a reply of 1,000,000 chunks, its end over its start", "一百万块的回复，末尾对比开头"),
        "length",
        "ours, at the end",
        "ours, at the start",
        most=1.1,
    ),
    Bar(
        ("events that are spliced, of the shape with the fewest", "拼接命中率，最低的一种流"),
        "splicing",
        LOWEST,
        other=None,
        least=95,
        brief=False,
    ),
    *_streams(1_000),
    *_streams(5_000),
    *_streams(MOST_STREAMS),
)


def rows(figures: Mapping[str, Figure], *, brief: bool = False) -> Iterator[Row]:
    """Yield the rows of all bars for which there are figures."""
    for bar in BARS:
        figure = figures.get(bar.figure)
        if figure is None or (brief and not bar.brief):
            continue
        if all(entry in figure.costs for entry in (bar.entry, bar.other) if entry is not None):
            yield bar.row(figure)
