"""Tests of one reply as it comes."""
