"""Tests of bytes to values and back."""
