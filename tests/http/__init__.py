"""Tests of HTTP through aiohttp."""
