"""Keys and addresses: which of several a call goes to, and which are set aside for now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from aiotokengate._base.copying import Shared
from aiotokengate._base.sealing import sealed_class
from aiotokengate._base.settings import ABOVE_ZERO, FINITE, expected
from aiotokengate._http.keys import ApiKey, KeySource
from aiotokengate._pool.pool import mask
from aiotokengate.errors import (
    AuthenticationFailed,
    PermissionDenied,
    QuotaExhausted,
    TokenGateError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiotokengate._http.transport import Transport
    from aiotokengate._policy.lanes import Ticket
    from aiotokengate._pool.pool import Pool
    from aiotokengate.clock import Clock

__all__ = ["Endpoint", "Route", "Routes"]

ASIDE: Final = 60.0
"""Seconds after which one call tries a key again that was refused or exhausted."""

EVERY_MODEL: Final = ""


@sealed_class
@attrs.frozen(kw_only=True)
class Endpoint(Shared):
    """One of several keys, or addresses, that a session may use.

    Attributes:
        api_key: the key, or a callable that returns it, see :class:`aiotokengate.TokenGate`.
        base_url: ends in ``/v1``; the session's by default.
        weight: how much more than the others it gets while all have room.

    Raises:
        CallerError: a weight that is not above 0.
    """

    _instead = (
        "an Endpoint holds a key, which is not written into pickles: make it in each process, "
        "of a key from its environment"
    )

    api_key: ApiKey = attrs.field(repr=False)
    base_url: str | None = None
    weight: float = attrs.field(
        default=1.0,
        validator=expected("Endpoint({name}=...) above 0, got {got}", ABOVE_ZERO, FINITE),
    )


@attrs.define(eq=False, repr=False)
class Route:
    """A key at an address, and how busy it is.

    Attributes:
        key: the key; "" where ``source`` is asked for it before each request.
        name: of the key, masked; what lanes and statistics call it.
        in_flight: calls of this session that use it.
        asides: until when it is set aside, for a model or for all.
    """

    base_url: str
    key: str
    transport: Transport
    weight: float = 1.0
    in_flight: int = 0
    name: str = ""
    asides: dict[str, float] = attrs.field(factory=dict)
    source: KeySource | None = None

    def __attrs_post_init__(self) -> None:
        """Name it."""
        self.name = mask(self.key) if self.source is None else self.source.name

    async def signature(self) -> Mapping[str, str] | None:
        """Ask for the key, and return the header that shows it, to the gateway alone.

        Raises:
            CallerError: the callable failed, or returned no key.
        """
        if self.source is None or "authorization" in map(str.lower, self.transport.headers):
            return None
        return {"Authorization": f"Bearer {await self.source.key()}"}

    def secrets(self) -> tuple[str, ...]:
        """Return what no error may show."""
        keys = (self.key,) if self.source is None else self.source.given
        return (*keys, *self.transport.secrets)

    @property
    def digest(self) -> str:
        """The part of its name that shows nothing of the key."""
        return self.name.rpartition("#")[2]

    def is_aside(self, model: str, now: float) -> bool:
        """Whether it should not be used for a model now; the first to ask in time may try it."""
        for scope in (EVERY_MODEL, model):
            until = self.asides.get(scope)
            if until is None:
                continue
            if now < until:
                return True
            self.asides[scope] = now + ASIDE
        return False

    def set_aside(self, model: str, now: float) -> None:
        """Use it no more for a model, for now."""
        self.asides[model] = now + ASIDE


class Routes:
    """The routes of a session, and the choice between them."""

    def __init__(self, routes: Sequence[Route], clock: Clock) -> None:
        self.all = tuple(routes)
        self._clock = clock
        self.several = len(self.all) > 1

    def named(self, digest: str) -> Route:
        """Return the route with that digest, or else the first."""
        return next((route for route in self.all if route.digest == digest), self.all[0])

    def choose(self, pool: Pool, model: str, ticket: Ticket, avoid: Route | None) -> Route:
        """Return the route on which a call would go soonest, the least loaded of equals.

        Args:
            pool: whose lanes know what is left.
            model: that is asked for.
            ticket: what the call takes.
            avoid: where it has just failed; used only if there is no other.
        """
        now = self._clock.now()
        usable = [route for route in self.all if not route.is_aside(model, now)]
        others = [route for route in usable if route is not avoid] or usable or self.all
        return min(
            others,
            key=lambda route: (
                pool.lane(model, route.name).wait(ticket),
                (route.in_flight + 1) / route.weight,
            ),
        )

    def leaves(self, pool: Pool, route: Route, model: str, error: TokenGateError) -> bool:
        """Set a route aside whose key was refused or is exhausted; say if another is left."""
        if not self.several:
            return False
        if isinstance(error, PermissionDenied):
            scope = model
        elif isinstance(error, AuthenticationFailed | QuotaExhausted):
            scope = EVERY_MODEL
        else:
            return False
        now = self._clock.now()
        route.set_aside(scope, now)
        pool.note_aside(route.name, scope, type(error).__name__)
        return any(other is not route and not other.is_aside(model, now) for other in self.all)

    def worked(self, pool: Pool, route: Route, model: str) -> None:
        """Use a route again that was set aside."""
        for scope in (EVERY_MODEL, model):
            if route.asides.pop(scope, None) is not None:
                pool.note_aside(route.name, scope, None)
