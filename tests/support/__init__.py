"""Servers, streams and values that tests share."""
