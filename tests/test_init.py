"""The names of the package."""

import pytest

import aiotokengate


def test_every_public_name_is_there_and_no_other() -> None:
    """Those that a plain chat need not wait for are imported once they are asked for."""
    for name in ("Conversation", "RawCall"):
        vars(aiotokengate).pop(name, None)  # as before anybody asked for it
    shown = set(dir(aiotokengate))
    assert set(aiotokengate.__all__) <= shown
    assert [*aiotokengate.__all__] == sorted(aiotokengate.__all__)
    for name in aiotokengate.__all__:
        assert getattr(aiotokengate, name).__name__ == name
        assert getattr(aiotokengate, name) is vars(aiotokengate)[name]
    with pytest.raises(AttributeError, match="module 'aiotokengate' has no attribute 'Nothing'"):
        _ = aiotokengate.Nothing  # type: ignore[attr-defined]


def test_its_version_is_three_numbers() -> None:
    numbers = aiotokengate.__version__.split(".")
    assert len(numbers) == 3
    assert all(number.isdecimal() for number in numbers)
