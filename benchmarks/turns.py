"""Work that costs what it costs: replies as fast as they come, and calls one by one."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
from figure import Costs, Figure
from replies import Writer, answer_of
from run import Bench, check

__all__ = ["bulk", "calls", "protocols"]

TEXTS = 497
"""Texts of a long reply; with the role, the finish and the usage they are 500 chunks."""
AT_ONCE = 32
OFTEN, RARELY = 3, 5
"""Slower clients take part in every third or fifth round."""


@attrs.frozen
class Entry:
    """Who takes part in a figure.

    Attributes:
        client: of :data:`clients.CLIENTS`.
        work: the method.
        times: how often a turn does it.
        every: it takes part in every so many rounds.
        name: in the figure, where the client has several entries.
    """

    client: str
    work: str
    times: int = 1
    every: int = 1
    name: str = ""

    @property
    def key(self) -> str:
        """The name in the figure."""
        return self.name or self.client


@attrs.frozen
class Turns:
    """One figure.

    Attributes:
        unit: of the figure.
        answer: what is asked of the server.
        units: how many units a reply has.
        entries: who takes part.
        at_once: how many replies are read at a time.
    """

    unit: str
    answer: str
    units: int
    entries: tuple[Entry, ...]
    at_once: int = 1

    def measure(self, bench: Bench) -> Figure:
        """Take turns."""
        entries = [entry for entry in self.entries if entry.client not in bench.absent]
        costs: Costs = {entry.key: [] for entry in entries}
        for turn in range(bench.plan.rounds):
            # Another one begins each round, so that nobody always follows the same neighbour.
            first = turn % len(entries)
            for entry in (*entries[first:], *entries[:first]):
                taken = turn % entry.every == 0
                costs[entry.key].append(self._cost(bench, entry) if taken else None)
        return Figure(self.unit, costs)

    def _cost(self, bench: Bench, entry: Entry) -> float:
        """Return microseconds of CPU time for each unit."""
        # A call is a ping-pong. On one core nobody pays for waking the other one.
        worker = bench.worker(entry.client, near=self.at_once == 1)
        times = max(1, round(entry.times * bench.plan.size))
        # Beside a long reply that is read slowly, a new connection is nothing.
        warm = AT_ONCE if self.at_once == 1 or entry.every == 1 else 1
        found = worker.ask(
            "turn",
            work=entry.work,
            answer=self.answer,
            at_once=self.at_once,
            times=times,
            warm=warm,
        )
        check(len(found["counts"]), 1, f"lengths of the same reply to {entry.key}")
        cost: float = found["cpu"] * 1e6 / (self.at_once * times * self.units)
        return cost

    def check_texts(self, bench: Bench) -> None:
        """See that each client that shows the text reads the whole answer."""
        expected = "".join(answer_of(TEXTS))
        for client in dict.fromkeys(entry.client for entry in self.entries):
            if client not in bench.absent:
                found = bench.worker(client).ask("text", answer=self.answer)
                check(found or expected, expected, f"the answer as {client} reads it")


# --- the figures --------------------------------------------------------------------------------

_BULK = (
    Entry("bare bytes", "stream", 2),
    Entry("bare", "stream", 2),
    Entry("ours", "stream", 2),
    Entry("ours", "views", 2, name="ours, views"),
    Entry("ours, limits", "stream", 2),
    Entry("bare uvloop", "stream", 2),
    Entry("ours uvloop", "stream", 2),
    Entry("hand", "stream"),
    Entry("httpx-sse", "stream"),
    Entry("openai aiohttp", "stream", 1, OFTEN),
    Entry("openai", "stream", 1, OFTEN),
    Entry("langchain", "stream", 1, RARELY),
    Entry("pydantic-ai", "stream", 1, RARELY),
    Entry("litellm", "stream", 1, RARELY),
)


def bulk(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Read long replies, 32 at once, as fast as they come."""
    yield "bulk", _long(bench, "qwen", _BULK)


def protocols(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Do the same with the protocols that name their events."""
    yield "responses", _long(bench, "responses", _named("openai aiohttp", "openai"))
    yield "messages", _long(bench, "messages", _named("anthropic aiohttp", "anthropic"))


def calls(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Make calls with a one-token reply, one after the other, on a kept connection."""
    yield "call", Turns("µs a call", "bulk.qwen.1", 1, _calls("call")).measure(bench)
    yield "plain", Turns("µs a call", "plain.qwen", 1, _calls("plain")).measure(bench)


def _long(bench: Bench, shape: str, entries: tuple[Entry, ...]) -> Figure:
    chunks = len([event for event in Writer(shape).events(TEXTS) if b"{" in event])
    turns = Turns("µs a chunk", f"bulk.{shape}.{TEXTS}", chunks, entries, AT_ONCE)
    turns.check_texts(bench)
    return turns.measure(bench)


def _named(*peers: str) -> tuple[Entry, ...]:
    fast = tuple(Entry(client, "stream_named", 2) for client in ("bare", "ours"))
    return fast + tuple(Entry(client, "stream_named", 1, OFTEN) for client in peers)


def _calls(work: str) -> tuple[Entry, ...]:
    fast = ("bare", "ours", "ours, limits", "bare uvloop", "ours uvloop")
    slow = ("openai aiohttp", "openai", "langchain", "pydantic-ai", "litellm")
    many = tuple(Entry(client, work, 250) for client in fast)
    return many + tuple(Entry(client, work, 50, OFTEN) for client in slow)
