"""Tests of the fake gateway."""
