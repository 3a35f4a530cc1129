"""What each quota has used of a limit, and what of it is in the way of a call."""

from __future__ import annotations

import math
from collections.abc import Iterator

from aiotokengate.testing._gauges import gauges
from aiotokengate.testing._limits import Because, QuotaKey, RateLimit

__all__ = ["Account", "Rule"]

_MEASURES = ("requests_per_minute", "tokens_per_minute", "concurrency", "burst_slope")


class Account:
    """What one quota has used of one limit."""

    __slots__ = ("gauges", "in_flight", "limit")

    def __init__(self, now: float, limit: RateLimit) -> None:
        self.limit = limit
        self.in_flight = 0
        self.gauges = gauges(now, limit)

    def obstacles(self, now: float, cost: int) -> Iterator[tuple[Because, float]]:
        """Yield what is in the way, with the seconds until it isn't, 0 if that is unknown."""
        limit = self.limit
        if limit.concurrency is not None and self.in_flight >= limit.concurrency:
            yield "concurrency", 0.0
        if limit.refuse_oversized and self._is_oversized(cost):
            yield "oversized", math.inf
        for because, gauge in self.gauges.items():
            if seconds := gauge.wait(now, cost if because == "tokens" else 1):
                yield because, seconds

    def _is_oversized(self, cost: int) -> bool:
        sizes: tuple[tuple[Because, int], ...] = (("requests", 1), ("tokens", cost))
        return any(name in self.gauges and size > self.gauges[name].limit for name, size in sizes)

    def begin(self, now: float, cost: int) -> None:
        """Charge a call that is let in."""
        self.in_flight += 1
        for because, gauge in self.gauges.items():
            if because != "tokens":
                gauge.charge(now, 1)
            elif self.limit.charge == "max_tokens":
                gauge.charge(now, cost)

    def turn_away(self, now: float) -> None:
        """Charge the request that is refused, if that is how it is counted."""
        requests = self.gauges.get("requests") if self.limit.count_refused else None
        if requests is not None and not requests.wait(now, 1):
            requests.charge(now, 1)

    def end(self, now: float, used: int) -> None:
        """Charge what the call has used, if that is when its tokens are counted."""
        self.in_flight -= 1
        if "tokens" in self.gauges and self.limit.charge == "usage":
            self.gauges["tokens"].charge(now, used)

    def change(self, now: float, limit: RateLimit) -> None:
        """Take another limit of the same sort."""
        old, self.limit, self.gauges = self.gauges, limit, gauges(now, limit)
        for because in self.gauges.keys() & old.keys():
            old[because].resize(now, self.gauges[because].limit)
            self.gauges[because] = old[because]


class Rule:
    """One limit and its accounts."""

    __slots__ = ("accounts", "limit")

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self.accounts: dict[QuotaKey, Account] = {}

    @property
    def sort(self) -> tuple[object, ...]:
        """What has to be the same for the levels to mean the same."""
        limit = self.limit
        return (limit.kind, limit.phase, limit.charge, limit.per, limit.models)

    @property
    def measures(self) -> set[str]:
        """What it measures."""
        return {name for name in _MEASURES if getattr(self.limit, name) is not None}

    def account(self, now: float, key: str, model: str) -> Account:
        """Return the account of a call, a new one if it is the first."""
        quota = self.limit.quota(key, model)
        if quota not in self.accounts:
            self.accounts[quota] = Account(now, self.limit)
        return self.accounts[quota]

    def inherit(self, now: float, rules: list[Rule]) -> None:
        """Take over the accounts of a rule of the same sort that measures most of the same."""
        alike = [rule for rule in rules if rule.sort == self.sort]
        former = max(alike, key=lambda rule: len(self.measures & rule.measures), default=None)
        if former is None:
            return
        rules.remove(former)
        self.accounts = former.accounts
        for account in self.accounts.values():
            account.change(now, self.limit)
