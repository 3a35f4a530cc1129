"""The names of the package."""

import pytest

from aiotokengate import testing


def test_every_public_name_is_there_and_no_other() -> None:
    for name in testing.__all__:
        vars(testing).pop(name, None)  # as before anybody asked for it
    assert all(getattr(testing, name) is not None for name in testing.__all__)
    assert set(testing.__all__) <= set(dir(testing))
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = testing.Nothing  # type: ignore[attr-defined]
