"""The face of the lanes in Redis."""

import importlib
import sys

import pytest

from aiotokengate import redis


def test_every_public_name_is_there_and_no_other() -> None:
    assert redis.__all__ == ["RedisBackend", "statistics"]
    assert redis.RedisBackend.__name__ == "RedisBackend"
    assert redis.statistics.__name__ == "statistics"


def test_what_is_to_be_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """In two languages, where the package redis is missing."""
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    monkeypatch.delitem(sys.modules, "aiotokengate.redis")
    with pytest.raises(ImportError, match=r"pip install 'aiotokengate\[redis\]'") as raised:
        importlib.import_module("aiotokengate.redis")
    assert raised.value.name == "redis"
    assert "缺少 redis 依赖" in str(raised.value)
