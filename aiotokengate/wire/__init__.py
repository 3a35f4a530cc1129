"""The old home of :mod:`aiotokengate.sse`; it stays through 1.x."""
