"""Writes the figures of a run into the documentation: ``python benchmarks/report.py``.

A table stands between two comments that name it; what is between them is written anew from
``results.json``. The tests hold that nothing would change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bars import Row, rows
from clients import CLIENTS
from figure import Figure, number
from results import Results, load

__all__ = ["PAGES", "page", "write"]

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "docs/explanation/speed.md")
_PLACE = re.compile(r"(<!-- begin bench (\w+) -->\n).*?(\n<!-- end bench \2 -->)", re.DOTALL)
_ENGLISH, _CHINESE = 0, 1

# --- the tables ---------------------------------------------------------------------------------

_HEADS = (
    ("what", "aiotokengate", "beside it", "ratio", "bar", ""),
    ("项目", "aiotokengate", "对照", "比值", "指标", ""),
)
_VERDICTS = {"holds": "达标", "above": "超出", "below": "不足"}


def brief(results: Results, language: int) -> str:
    """Return the READMEs' table."""
    lines = [_HEADS[language]]
    for row in rows(results.figures, brief=True):
        verdict = _VERDICTS[row.verdict] if language == _CHINESE else row.verdict
        lines.append((row.bar.title[language], *_costs(row), _value(row), row.bar.text, verdict))
    return table(lines)


def bars(results: Results) -> str:
    """Return the whole table of bars."""
    lines = [(*_HEADS[_ENGLISH][:4], "middle half", *_HEADS[_ENGLISH][4:])]
    for row in rows(results.figures):
        spread = "" if row.spread is None else f"{row.spread[0]:.2f} to {row.spread[1]:.2f}"
        title = row.bar.title[_ENGLISH]
        lines.append((title, *_costs(row), _value(row), spread, row.bar.text, row.verdict))
    return table(lines)


def _costs(row: Row) -> tuple[str, str]:
    unit = row.unit.partition(" ")[0]
    return amount(row.ours, unit), "" if row.other is None else amount(row.other, unit)


def _value(row: Row) -> str:
    return "" if row.other is None else ratio(row.value)


def proof(results: Results) -> str:
    """Say how many reads each client took for a paced chunk, where it was counted."""
    reads = results.figures["paced"].about["reads a chunk"]
    counted = [f"{CLIENTS[client].label} {found:.2f}" for client, found in reads.items() if found]
    return f"Reads for a chunk: {'; '.join(counted)}."


_EVERYBODY = {"bulk": "a chunk", "paced": "a chunk, one a read", "call": "a call, streamed"} | {
    "plain": "a call, not streamed",
    "import": "import",
}


def everybody(results: Results) -> str:
    """Return what each client costs."""
    shown = {key: title for key, title in _EVERYBODY.items() if key in results.figures}
    lines = [("", *shown.values())]
    for client, named in CLIENTS.items():
        costs = tuple(_cost(results.figures[key], client) for key in shown)
        if any(costs):
            lines.append((_with_version(named.label, client, results.about), *costs))
    return table(lines)


def _cost(figure: Figure, client: str) -> str:
    unit = figure.unit.partition(" ")[0]
    return amount(figure.typical(client), unit) if client in figure.costs else ""


def _with_version(label: str, client: str, about: Mapping[str, Any]) -> str:
    version = about["peers"].get(client, "")
    name, comma, rest = label.partition(",")
    return f"{name} {version}{comma}{rest}" if version else label


def lateness(results: Results) -> str:
    """Return how late chunks are at 70 % load."""
    head = ("open at once", "", "chunks a second", "busy", "kept waiting", "median", "p99")
    lines: list[tuple[str, ...]] = [(*head, "worst", "worst-served stream, mean")]
    for key, figure in results.figures.items():
        if key.startswith("late "):
            lines += [_late(key, who, found) for who, found in figure.about.items()]
    return table(lines)


def _late(key: str, who: str, found: Mapping[str, float]) -> tuple[str, ...]:
    many = f"{int(key.split()[1]):,}"
    shares = (f"{found[name] / found['wall']:.0%}" for name in ("cpu", "waited"))
    busy, waited = (share.replace("%", " %") for share in shares)
    times = [amount(found[name], "ms") for name in ("median", "p99", "worst", "worst reply")]
    return many, CLIENTS[who].label, f"{found['texts'] / found['wall']:,.0f}", busy, waited, *times


def machine(results: Results, language: int) -> str:
    """Say what it was measured on."""
    about = results.about
    packages = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    if language == _CHINESE:
        return f"测于 {about['machine']}，{about['python']}，{packages}。"
    return f"Measured on {about['machine']}; {about['python']}, {packages}."


def amount(value: float, unit: str) -> str:
    """Return a number and its unit."""
    return f"{number(value)} {unit}"


def ratio(value: float) -> str:
    """Return a ratio with as many digits as make it comparable with a bar."""
    return f"{value:.1f}" if value >= _MANY else f"{value:.3f}"


_MANY = 10


def table(lines: Sequence[Sequence[str]]) -> str:
    """Return a table of Markdown; the first line is its head."""
    head, *rest = (f"| {' | '.join(line)} |".replace("  ", " ") for line in lines)
    return "\n".join((head, "|---" * len(lines[0]) + "|", *rest))


# --- the pages ----------------------------------------------------------------------------------


def page(text: str, results: Results, language: int) -> str:
    """Return a page with its tables written anew."""
    tables = {
        "brief": lambda: brief(results, language),
        "bars": lambda: bars(results),
        "everybody": lambda: everybody(results),
        "lateness": lambda: lateness(results),
        "proof": lambda: proof(results),
        "machine": lambda: machine(results, language),
    }
    return _PLACE.sub(lambda found: f"{found[1]}\n{tables[found[2]]()}\n{found[3]}", text)


def pages(results: Results) -> Iterator[tuple[Path, str]]:
    """Yield each page as it has to be."""
    for path in PAGES:
        language = _CHINESE if path.name.endswith(".zh-CN.md") else _ENGLISH
        yield path, page(path.read_text("utf-8"), results, language)


def write() -> None:
    """Write the tables and the plots of the last run."""
    from plots import draw

    results = load()
    for path, text in pages(results):
        path.write_text(text, "utf-8")
    draw(results)


if __name__ == "__main__":
    write()
