"""What the headers of an answer say."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from aiotokengate.wire.headers import request_id, retry_after, should_retry

NOW = datetime(2026, 5, 25, 10, 34, 44, tzinfo=UTC)

WAITS: dict[str, tuple[dict[str, str], float | None]] = {
    "nothing": ({}, None),
    "seconds": ({"Retry-After": "7"}, 7),
    "parts of seconds": ({"Retry-After": "0.5"}, 0.5),
    "none": ({"Retry-After": "0"}, 0),
    "milliseconds": ({"retry-after-ms": "250"}, 0.25),
    "milliseconds first": ({"retry-after-ms": "250", "Retry-After": "7"}, 0.25),
    "milliseconds that are none": ({"retry-after-ms": "soon", "Retry-After": "7"}, 7),
    "a date": ({"Retry-After": "Mon, 25 May 2026 10:35:44 GMT"}, 60),
    "a date in another zone": ({"Retry-After": "Mon, 25 May 2026 18:35:44 +0800"}, 60),
    "a date without a zone": ({"Retry-After": "Mon, 25 May 2026 10:35:44 -0000"}, 60),
    "a date that has passed": ({"Retry-After": "Mon, 25 May 2026 10:33:44 GMT"}, 0),
    "less than nothing": ({"Retry-After": "-1"}, None),
    "for ever": ({"Retry-After": "inf"}, None),
    "no number": ({"Retry-After": "nan"}, None),
    "words": ({"Retry-After": "请稍后再试"}, None),
    "blank": ({"Retry-After": ""}, None),
    "a date that is none": ({"Retry-After": "Mon, 99 May 2026 10:33:44 GMT"}, None),
}


@pytest.mark.parametrize("case", WAITS)
def test_how_long_to_wait(case: str) -> None:
    """Seconds, milliseconds or a date, whatever the case of the name."""
    headers, seconds = WAITS[case]
    assert retry_after(CIMultiDict(headers), NOW) == seconds


def test_a_date_is_held_against_the_present() -> None:
    """Without a present given, it is the machine's."""
    date = datetime.now(timezone(timedelta(hours=8))) + timedelta(hours=10)
    headers = CIMultiDict({"retry-after": date.strftime("%a, %d %b %Y %H:%M:%S %z")})
    wait = retry_after(headers)
    assert wait is not None
    assert 35_000 < wait <= 36_000


@given(st.text())
def test_no_text_breaks_the_wait(text: str) -> None:
    """Whatever is written there, it is a wait or none."""
    for name in ("retry-after", "retry-after-ms"):
        wait = retry_after(CIMultiDict({name: text}), NOW)
        assert wait is None or wait >= 0


def test_the_gateways_id_comes_first() -> None:
    """The id to quote to the operator stands above those of the vendors behind."""
    ids = {"request-id": "c", "x-request-id": "b", "X-OneAPI-Request-Id": "a"}
    assert request_id(CIMultiDict(ids)) == "a"
    assert request_id(CIMultiDict({"Request-Id": "c", "X-Request-Id": "b"})) == "b"
    assert request_id(CIMultiDict({"Request-Id": "c"})) == "c"
    assert request_id(CIMultiDict()) is None
    assert request_id(CIMultiDict({"X-Oneapi-Request-Id": "", "X-Request-Id": "b"})) == "b"


@pytest.mark.parametrize(
    ("text", "verdict"), [("true", True), ("FALSE", False), ("1", None), ("", None)]
)
def test_the_vendors_verdict(text: str, verdict: bool | None) -> None:
    """Only the two words count."""
    assert should_retry(CIMultiDict({"X-Should-Retry": text})) is verdict


def test_no_verdict() -> None:
    """Most vendors give none."""
    assert should_retry(CIMultiDict()) is None
