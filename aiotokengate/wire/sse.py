"""The old path of :mod:`aiotokengate.sse`; it stays through 1.x."""

from warnings import warn

from aiotokengate.sse import *  # noqa: F403 - all that the new one has

warn("aiotokengate.wire.sse is aiotokengate.sse now", DeprecationWarning, stacklevel=2)
