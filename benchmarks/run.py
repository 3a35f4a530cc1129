"""A run: how much is measured, who takes part, and the processes of those that have begun."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Any, Self

import attrs
from clients import CLIENTS
from machine import machine, python, version
from processes import FAR, NEAR, Worker, server

__all__ = ["FULL", "QUICK", "SMOKE", "Bench", "Plan", "check"]

_PACKAGES = ("aiohttp", "attrs", "orjson", "multidict", "yarl", "uvloop")


@attrs.frozen
class Plan:
    """How much is measured.

    Attributes:
        rounds: turns of each client.
        paces: turns of each in what runs in real time.
        repeats: turns of each in what takes long.
        streams: how many replies are open at once.
        length: texts of the longest reply.
        held: how many replies stay open to see their memory.
        size: how much of the usual work is in a turn.
        leave_out: clients that are too slow for this.
    """

    rounds: int
    paces: int
    repeats: int
    streams: tuple[int, ...]
    length: int
    held: int
    size: float = 1.0
    leave_out: frozenset[str] = frozenset()


_SLOW = frozenset(("langchain", "pydantic-ai", "litellm"))
_OTHERS = _SLOW | {name for name, client in CLIENTS.items() if client.peer}

FULL = Plan(15, 7, 3, (1_000, 5_000, 10_000), 1_000_000, 1_000)
QUICK = Plan(5, 3, 2, (1_000,), 200_000, 100, size=0.5, leave_out=_SLOW)
SMOKE = Plan(2, 1, 1, (100,), 20_000, 100, size=0.1, leave_out=_OTHERS)


class Bench:
    """Who takes part, and their processes."""

    def __init__(self, plan: Plan, others: str | None = None) -> None:
        """``others`` is the interpreter of those that don't get along with the rest."""
        self.plan = plan
        self._others = others
        self._stack = ExitStack()
        self._addresses: dict[int, str] = {}
        self._workers: dict[tuple[str, int], Worker] = {}
        self.absent = {name for name in CLIENTS if not self._has(name)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _has(self, name: str) -> bool:
        if name in self.plan.leave_out:
            return False
        return self._others is not None if CLIENTS[name].own else CLIENTS[name].here

    def python(self, client: str) -> str:
        """Return the interpreter of a client."""
        return self._others if self._others and CLIENTS[client].own else sys.executable

    def worker(self, client: str, *, near: bool = False) -> Worker:
        """Return a client's process, and keep it to the end; ``near`` is the server's core."""
        place = NEAR if near else FAR
        if (client, place) not in self._workers:
            if place not in self._addresses:
                self._addresses[place] = self._stack.enter_context(server(place))
            worker = Worker(self.python(client), client, self._addresses[place])
            self._workers[client, place] = self._stack.enter_context(worker)
        return self._workers[client, place]

    def fresh(self, stack: ExitStack, client: str) -> Worker:
        """Return a client's process with a server of its own, for as long as the stack lives."""
        address = stack.enter_context(server(FAR))
        return stack.enter_context(Worker(self.python(client), client, address))

    def about(self) -> dict[str, Any]:
        """Say what the figures are measured on, and who takes part."""
        packages = {name: found for name in _PACKAGES if (found := version(name))}
        peers = {
            name: version(client.distribution, self.python(name))
            for name, client in CLIENTS.items()
            if client.distribution and name not in self.absent
        }
        return {"machine": machine(), "python": python(), "packages": packages, "peers": peers}


def check(found: object, expected: object, what: str) -> None:
    """Check that a reply was read whole.

    Raises:
        RuntimeError: it was not.
    """
    if found != expected:
        message = f"{what}: expected {expected!r}, got {found!r}: nothing was measured"
        raise RuntimeError(message)
