"""What somebody meant who misspelt a name, or took another client's."""

import pytest

from aiotokengate._base.spelling import AS_IT_IS, meant, nearest, unknown

KNOWN = ("fair_key", "max_tokens", "reasoning", "temperature", "user")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("temprature", "temperature"),
        ("maxTokens", "max_tokens"),
        ("max-tokens", "max_tokens"),
        ("_Temperature_", "temperature"),
        ("effort", "reasoning"),
        ("end_user", "user"),
        ("extra_query", None),  # known elsewhere, and nothing here is like it
        ("max_retries", None),  # what it is called here is not among the known ones
        ("zebra", None),
    ],
)
def test_the_nearest_name(name: str, found: str | None) -> None:
    assert nearest(name, KNOWN) == found
    assert meant(name, KNOWN) == (f", did you mean {found!r}?" if found else "")


def test_what_is_wrong_with_a_name() -> None:
    said = unknown("temprature", KNOWN)
    assert said == f"unknown parameter 'temprature', did you mean 'temperature'? ({AS_IT_IS})"
    assert unknown("zebra", KNOWN, "write it down") == "unknown parameter 'zebra' (write it down)"


def test_a_setting_of_the_session() -> None:
    said = unknown("base_url", KNOWN)
    assert said == "unknown parameter 'base_url' (it is a setting of TokenGate(...))"
