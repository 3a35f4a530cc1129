"""Tests of the systems of the gateway."""
