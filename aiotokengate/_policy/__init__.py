"""Decisions as values: pure, the time is passed in."""
