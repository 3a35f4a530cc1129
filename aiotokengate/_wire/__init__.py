"""Bytes to values and back: pure, without a loop, a socket or a clock."""
