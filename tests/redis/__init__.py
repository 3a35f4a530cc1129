"""Tests of lanes in Redis."""
