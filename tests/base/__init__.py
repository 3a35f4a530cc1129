"""Tests of what objects share."""
