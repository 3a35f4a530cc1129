"""The pytest fixture ``fake_gateway``, there as soon as the package is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from aiotokengate.testing._gateway import FakeGateway

__all__ = ["fake_gateway"]


@pytest.fixture
def fake_gateway() -> Iterator[FakeGateway]:
    """Yield a running :class:`FakeGateway`, in a thread of its own, new for each test."""
    # Only tests that use the fixture pay for importing a web server.
    from aiotokengate.testing._gateway import FakeGateway  # noqa: PLC0415

    with FakeGateway() as gateway:
        yield gateway
