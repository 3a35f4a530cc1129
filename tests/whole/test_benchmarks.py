"""The benchmarks' own promises: what they write, and that a broken reply is noticed."""

import ast
import asyncio
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import report
from bare_server import WARM_TEXTS
from bars import BARS, Bar, rows
from figure import Figure
from meter import Meter
from processes import FAR, server
from replies import SHAPES, Writer, answer_of, thoughts_of
from results import load
from run import check

from aiotokengate import TokenGate
from aiotokengate._wire.sse import SSEDecoder


@pytest.mark.parametrize("path", report.PAGES, ids=lambda path: path.name)
def test_tables_are_those_of_the_last_run(path: Path) -> None:
    """What stands in the documentation is what ``results.json`` says."""
    pages = dict(report.pages(load()))
    assert pages[path] == path.read_text("utf-8")


def test_a_table_that_is_old_is_noticed() -> None:
    """What stands between the comments is replaced, what stands around them is kept."""
    old = "你好\n<!-- begin bench machine -->\nold\n<!-- end bench machine -->\n👋\n"
    new = report.page(old, load(), 0)
    assert new.startswith("你好\n<!-- begin bench machine -->\n\nMeasured on ")
    assert new.endswith("\n<!-- end bench machine -->\n👋\n")
    assert "old" not in new


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Inside functions as little as at the top."""
    files = {path.stem: path for path in Path(report.__file__).parent.glob("*.py")}
    below = {name: imported(path) & set(files) for name, path in files.items()}
    # A circle is a CycleError that names its modules.
    assert set(TopologicalSorter(below).static_order()) == set(files)


def imported(path: Path) -> set[str]:
    tree = ast.walk(ast.parse(path.read_text("utf-8")))
    nodes = [node for node in tree if isinstance(node, (ast.Import, ast.ImportFrom))]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def bar(**changes: object) -> Bar:
    return Bar(**{"title": ("a", "一"), "figure": "f", **changes})  # type: ignore[arg-type]


FIGURE = Figure("µs a chunk", {"bare": [2, 4, 2, 2], "ours": [3, 4, None, 4]})


@pytest.mark.parametrize(
    ("asked", "value", "verdict"),
    [
        (bar(most=1.5), 1.5, "holds"),
        (bar(most=1.4), 1.5, "above"),
        (bar(least=0.6, turned=True), 2 / 3, "holds"),
        (bar(least=0.7, turned=True), 2 / 3, "below"),
        (bar(most=1, allowed=2.0), 1.0, "holds"),
        (bar(most=0.7, times=1.5, allowed=2.0), 0.8, "above"),
        (bar(most=3.9, other=None), 4.0, "above"),
    ],
)
def test_a_bar(asked: Bar, value: float, verdict: str) -> None:
    """A ratio is the median of the rounds, whichever way round; a bound itself still holds."""
    row = asked.row(FIGURE)
    assert row.value == pytest.approx(value)
    assert row.verdict == verdict


def test_the_spread_is_that_of_the_rounds() -> None:
    """Rounds that one of the two sat out don't count."""
    assert FIGURE.ratios("ours", "bare") == pytest.approx((1.25, 1.5, 1.75))


def test_a_bar_without_a_figure_has_no_row() -> None:
    """A part of a run shows the bars of that part."""
    found = {BARS[0].figure: Figure("µs a chunk", {"bare": [1.0], "ours": [1.0]})}
    assert [row.bar for row in rows(found)] == [BARS[0]]


def test_a_reply_that_was_not_read_whole_is_an_error() -> None:
    """Nothing is measured then."""
    with pytest.raises(RuntimeError, match=r"the answer: expected '你好 👋', got '你好'"):
        check("你好", "你好 👋", "the answer")


@pytest.mark.parametrize("shape", SHAPES)
def test_the_replies_are_whole(shape: str) -> None:
    """Each shape says all its texts, and the paced one has a place for its text."""
    events = SSEDecoder().feed_data(b"".join(Writer(shape).events(40)))
    assert len(events) >= 40
    assert len(thoughts_of(40)) + len(answer_of(40)) == 40
    head, tail = Writer("qwen").around()
    assert (head + "😊".encode() + tail).count(b"\n\n") == 1


async def test_the_meter_waits_for_the_last_text() -> None:
    """Marks come at every stretch, also where several are reached at one go."""
    meter = Meter()
    tap = meter.tap()
    reached = asyncio.ensure_future(meter.reach(6, every=2))
    await asyncio.sleep(0)
    for _ in range(5):
        tap.take("嗯")
    assert not reached.done()
    tap.take("👌")
    assert len(await reached) == 4


async def test_the_server_paces_and_holds() -> None:
    """Texts come when they are asked for; the reply is whole when it was ended."""
    with server(FAR) as base_url:
        gate = TokenGate(base_url=f"{base_url}/paced.qwen.g/v1", api_key="sk-test", proxy="")
        teller = TokenGate(base_url=base_url, api_key="sk-test", proxy="")
        async with gate, teller, gate.chat("qwen3.6-max-preview", "在吗？👋") as stream:
            await teller.request("POST", "/go.g.5.1000")
            texts = aiter(stream.answer)
            times = [int(await anext(texts)) for _ in range(WARM_TEXTS + 5)]
            await teller.request("POST", "/end.g")
            reply = await stream.reply()
    assert times == sorted(times)
    assert reply.answer == "".join(f"{time:019}" for time in times)
