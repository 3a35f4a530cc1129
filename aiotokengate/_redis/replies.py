"""How a lane is named in Redis, and what a run of its script tells."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, Self, cast
from urllib.parse import quote, unquote

import attrs

from aiotokengate._policy.bucket import MINUTE
from aiotokengate._policy.statistics import LaneStatistics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aiotokengate._policy.limits import Limits
    from aiotokengate._policy.statistics import Because

__all__ = ["LAYOUT", "Known", "grants_of", "lane_keys", "lane_name", "names_of", "other_layout"]

LAYOUT: Final = "1"
"""Of the keys and what they hold; another number is another, incompatible layout."""

_PARTS: Final = (
    *("state", "tickets", "leases", "members", "sequence", "index", "granted"),
    *("queue:interactive", "queue:bulk", "users:interactive", "users:bulk"),
)
_GRANTS_FROM: Final = 20


def lane_name(pattern: str, key: str) -> str:
    """Return a lane's name, with nothing in it that means something to Redis."""
    return f"{quote(pattern, safe='*')}|{quote(key, safe='')}"


def names_of(name: str) -> tuple[str, str]:
    """Return the pattern and the key of :func:`lane_name`."""
    pattern, _, key = name.partition("|")
    return unquote(pattern), unquote(key)


def lane_keys(prefix: str, name: str) -> list[str]:
    """Return all keys of a lane; the same words in braces keep them together in a cluster."""
    return [f"{prefix}:{{{name}}}:{part}" for part in _PARTS]


def other_layout(prefix: str, found: str) -> str:
    """Say that the keys are not ours, or of another version."""
    return (
        f"expected layout {LAYOUT} of aiotokengate's lanes under the prefix {prefix!r} in Redis, "
        f"found {found}: give another prefix"
    )


def grants_of(reply: Sequence[str]) -> Iterator[tuple[str, float, float]]:
    """Yield admitted calls: name, seconds until they may start, place in the order."""
    parts = iter(reply[_GRANTS_FROM:])
    for name, delay, start in zip(parts, parts, parts, strict=True):
        yield name, float(delay), float(start)


@attrs.frozen
class Known:
    """What the last run has told of a lane."""

    epoch: str = ""
    runs: int = 0
    waiting: int = 0
    in_flight: int = 0
    admitted: int = 0
    refused: int = 0
    hold: float = 0.0
    requests_left: float | None = None
    tokens_left: float | None = None
    requests: float | None = None
    tokens: float | None = None
    seconds: float = 0.0
    concurrency: int | None = None
    because: Because = "queue"
    urgent: bool = False
    members: int = 0
    keep: float = 0.0

    @classmethod
    def read(cls, reply: Sequence[str]) -> Self:
        """Read the head of a reply."""
        optional = [float(part) if part else None for part in reply[9:13]]
        waiting, in_flight, admitted, refused = (int(part) for part in reply[4:8])
        requests_left, tokens_left, requests, tokens = optional
        return cls(
            epoch=reply[1],
            runs=int(reply[2]),
            waiting=waiting,
            in_flight=in_flight,
            admitted=admitted,
            refused=refused,
            hold=float(reply[8]),
            requests_left=requests_left,
            tokens_left=tokens_left,
            requests=requests,
            tokens=tokens,
            seconds=float(reply[13]),
            concurrency=int(reply[14]) if reply[14] else None,
        )

    def seen_again(self, reply: Sequence[str]) -> Self:
        """Return what was only looked at since, with what members are told as it was."""
        seen = Known.read(reply)
        kept = ("because", "urgent", "members", "keep", "epoch", "runs")
        return attrs.evolve(
            self,
            **{field: value for field, value in attrs.asdict(seen).items() if field not in kept},
        )

    def with_news(self, reply: Sequence[str]) -> Self:
        """Add what only members are told."""
        return attrs.evolve(
            self,
            because=cast("Because", reply[16]),
            urgent=reply[17] == "1",
            members=int(reply[18]),
            keep=float(reply[19]),
        )

    def statistics(self, pattern: str, key: str, since: float = 0.0) -> LaneStatistics:
        """Return what the lane is doing, ``since`` seconds after it was told."""
        return LaneStatistics(
            pattern=pattern,
            key=key,
            waiting=self.waiting,
            in_flight=self.in_flight,
            admitted=self.admitted,
            refused=self.refused,
            concurrency=self.concurrency,
            requests_per_minute=self.requests,
            tokens_per_minute=self.tokens,
            requests_left=self.requests_left,
            tokens_left=self.tokens_left,
            hold=max(0.0, self.hold - since),
        )

    def free(self, limits: Limits, waiting: int) -> int:
        """Return how many of so many are probably admitted as soon as Redis hears of them."""
        if not self.epoch:
            free = min(limits.requests_per_minute or inf, limits.concurrency or inf)
        elif self.waiting:
            free = 0
        else:
            places = inf if self.concurrency is None else self.concurrency - self.in_flight
            left = inf if self.requests_left is None else self.requests_left
            free = max(0, min(places, left))
        return int(min(free, waiting))

    def outlook(self, calls: float, tokens: float, since: float) -> tuple[float, Because]:
        """Return when so many calls will probably have gone, in seconds, and what takes longest.

        Args:
            calls: how many.
            tokens: all of theirs.
            since: seconds since this was known.
        """
        places = inf if self.concurrency is None else self.concurrency - self.in_flight
        busy = (calls - places) * self.seconds / (self.concurrency or 1) if calls > places else 0
        waits: dict[Because, float] = {
            "queue": 0.0,
            "hold": self.hold - since,
            "concurrency": busy,
            "requests": _until(self.requests, self.requests_left, calls) - since,
            "tokens": _until(self.tokens, self.tokens_left, tokens) - since,
        }
        because = max(waits, key=lambda gate: waits[gate])
        return waits[because], because


def _until(limit: float | None, left: float | None, amount: float) -> float:
    if limit is None or left is None:
        return 0.0
    return (amount - left) * MINUTE / limit
