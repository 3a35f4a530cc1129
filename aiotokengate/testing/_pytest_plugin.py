"""The pytest fixture ``fake_gateway``, there as soon as the package is installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aiotokengate import testing

__all__ = ["fake_gateway"]


@pytest.fixture
def fake_gateway() -> Iterator[testing.FakeGateway]:
    """Yield a running :class:`FakeGateway`, in a thread of its own, new for each test."""
    # Only tests that use the fixture pay for importing a web server.
    with testing.FakeGateway() as gateway:
        yield gateway
