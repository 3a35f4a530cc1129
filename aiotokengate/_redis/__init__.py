"""Lanes in Redis: the script that decides, connections, and a local share while Redis is away."""
