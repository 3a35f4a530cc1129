"""What the headers of an answer say."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from aiotokengate._wire.headers import (
    Remaining,
    credentials,
    delay_in,
    remaining,
    request_id,
    retry_after,
    seconds_in,
    should_retry,
    without_echoes,
)

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
    "milliseconds below nothing": ({"retry-after-ms": "-5", "Retry-After": "7"}, 7),
    "a part of a second": ({"Retry-After": "0.25"}, 0.25),
    "a number as only Python writes it": ({"Retry-After": "1_0"}, None),
    "digits that are not ASCII": ({"Retry-After": "\uff11\uff12"}, None),
    "as long as a number may be": ({"Retry-After": "0" * 127 + "7"}, 7),
    "one character longer": ({"Retry-After": "0" * 128 + "7"}, None),
    "a date with as much space as may be": (
        {"Retry-After": "Mon, 25 May 2026" + " " * 100 + "10:35:44 GMT"},
        60,
    ),
    "a date with more": ({"Retry-After": "Mon, 25 May 2026" + " " * 101 + "10:35:44 GMT"}, None),
    "longer than any number": ({"Retry-After": "9" * 5_000}, None),
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


TEXTS = {
    "Rate limit reached for m. Please try again in 4.024s. Visit https://a.example": 4.024,
    "Please try again in 250ms.": 0.25,
    "Please try again in 7m12s.": 432,
    "Please try again in 6m0s.": 360,
    "try again in 1h2m3s": 3_723,
    "Please retry after 26 seconds.": 26,
    "Please retry after 1 second.": 1,
    "Please retry in 33.5s.": 33.5,
    "TRY AGAIN IN 1 minute, 30 sec": 90,
    "请求过快 🐢 Please try again in 2s": 2,
    "Please try again in 20 milliseconds": 0.02,
    "try again in about 2 hours": 7_200,
    "try again in 2 minutes and 3 seconds": 123,
    "Please try again in 1d2h3m.": 93_780,
    "Please wait 5 seconds before retrying": 5,
    "请求过快 🐢，请在 5 秒后重试": 5,
    "请 2 分钟之后再试": 120,
    "请 1 小时后重试": 3_600,
    "请 3 分以后再来": 180,
    "retry in approximately 5 hrs": None,
    "retry in approximately 1 hour, and then": 3_600,
    "retry your request after 3 mins and 1 sec": 181,
    "try your request again in 2 days": 172_800,
    "Please wait for 9 secs": 9,
    "Please wait about 1 minute": 60,
    "retry after 1 millisecond": 0.001,
    "retry after 1.5 d": 129_600,
    "请于 300毫秒后 重新发送": 0.3,
    "5 秒后的答案": None,
    "Please try again in 5 months": None,
    "Please try again later": None,
    "try again in -3s": None,
    "I waited for 5s": None,
    "Please try again in 12345678901s": None,
    "": None,
}


@pytest.mark.parametrize("text", TEXTS)
def test_when_a_text_says_to_try_again(text: str) -> None:
    """As vendors write it, in hours, minutes, seconds and milliseconds."""
    assert seconds_in(text) == (None if TEXTS[text] is None else pytest.approx(TEXTS[text]))


DELAYS: list[tuple[object, float | None]] = [
    ("14s", 14),
    ("0.5s", 0.5),
    (" 3s ", 3),
    ("7", 7),
    (7, 7),
    (0.65, 0.65),
    (0, 0),
    ({"seconds": 3, "nanos": 500_000_000}, 3.5),
    ({"seconds": "7"}, 7),
    ({"nanos": 250_000_000}, 0.25),
    ({}, None),
    ({"seconds": {"seconds": 1}}, None),
    ("-3s", None),
    (-1, None),
    (True, None),
    (None, None),
    ([], None),
    ("soon", None),
    ("inf", None),
    (float("nan"), None),
    (float("inf"), None),
    (10**400, None),
    (1e12 - 1, 1e12 - 1),
    (1e12, None),
    (10**12, None),
    ("0", 0),
    ({"seconds": 0, "nanos": 0}, 0),
    ({"seconds": True, "nanos": 1_000_000_000}, 1),
    ({"seconds": " 2 ", "nanos": None}, 2),
    ("1_0", None),
    ("14 s", None),
    ("1234567890s", None),
    ("0.1234567890s", None),
]


@pytest.mark.parametrize(("value", "seconds"), DELAYS, ids=lambda value: f"{value!r:.30}")
def test_a_delay_in_a_field(value: object, seconds: float | None) -> None:
    """A number of seconds, or a protobuf's duration."""
    assert delay_in(value) == seconds


@given(st.text(), st.recursive(st.none() | st.floats() | st.text() | st.integers(), st.lists))
def test_no_text_and_no_value_breaks_a_delay(text: str, value: object) -> None:
    """Whatever is written there, it is seconds or nothing."""
    for found in (seconds_in(text), seconds_in(f"try again in {text}"), delay_in(value)):
        assert found is None or 0 <= found < float("inf")


def test_the_gateways_id_comes_first() -> None:
    """The id to quote to the operator stands above those of the vendors behind."""
    ids = {"request-id": "c", "x-request-id": "b", "X-OneAPI-Request-Id": "a"}
    assert request_id(CIMultiDict(ids)) == "a"
    assert request_id(CIMultiDict({"Request-Id": "c", "X-Request-Id": "b"})) == "b"
    assert request_id(CIMultiDict({"Request-Id": "c"})) == "c"
    assert request_id(CIMultiDict()) is None
    assert request_id(CIMultiDict({"X-Oneapi-Request-Id": "", "X-Request-Id": "b"})) == "b"


def test_an_id_that_is_not_ascii_is_escaped() -> None:
    """So that it can be printed, and bytes that are no text with it."""
    ids = {"a-1'\"\\": "a-1'\"\\", "请求7": r"\u8bf7\u6c427", "\udce8x": r"\udce8x"}
    assert {found: request_id({"x-request-id": found}) for found in ids} == ids


@pytest.mark.parametrize(
    ("text", "verdict"), [("true", True), ("FALSE", False), ("1", None), ("", None)]
)
def test_the_vendors_verdict(text: str, verdict: bool | None) -> None:
    """Only the two words count."""
    assert should_retry(CIMultiDict({"X-Should-Retry": text})) is verdict


def test_no_verdict() -> None:
    """Most vendors give none."""
    assert should_retry(CIMultiDict()) is None


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("api-key", "azure-0123456789", ["azure-0123456789"]),
        ("Authorization", "Bearer 0123456789abc", ["0123456789abc"]),
        ("X-Goog-Api-Key", " AIza-0123456789 ", ["AIza-0123456789"]),
        ("Cookie", "a=0123456789; b=1", ["a=0123456789; b=1", "0123456789"]),
        (
            "Proxy-Authorization",
            'Digest a="12345678", b=x',
            ['Digest a="12345678", b=x', "12345678"],
        ),
        ("X-Auth-Token", "1234567", []),
        ("X-Auth-Token", "12345678", ["12345678"]),
        ("X-Tenant", "tenant-of-the-caller", []),
        ("Idempotency-Key", "0123456789abcdef", []),
    ],
)
def test_credentials(name: str, value: str, found: list[str]) -> None:
    """A header whose name says so holds a secret; the scheme before it is none."""
    assert list(credentials({name: value})) == found


TELLING = [
    *("auth", "Cookie", "CREDENTIAL", "key", "passwd", "secret", "session", "signature", "token"),
]


@pytest.mark.parametrize("word", TELLING)
def test_names_that_tell_of_a_secret(word: str) -> None:
    assert list(credentials({f"X-{word}-1": "0123456789", "X-Other": "0123456789"})) == [
        "0123456789"
    ]


# --- limits and echoes --------------------------------------------------------------------------


def test_what_is_left_of_a_limit() -> None:
    """OpenAI's names; what is no number is not known."""
    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-remaining-tokens": "many",
    }
    assert remaining(headers) == Remaining(500, 499, None, None)
    assert remaining({"x-ratelimit-limit-requests": "500"}) is None

    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-limit-tokens": "1e4",
        "x-ratelimit-remaining-tokens": "7.5",
    }
    assert remaining(headers) == Remaining(500, None, 10_000, 7.5)


def never() -> list[str]:
    pytest.fail("nothing looks at the prompt")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-request-id", "req_0123456789abcdef-.:/+=Zz"),
        ("x-short", "it's 23 characters long"),
        *[
            (name, "many words, which are the same for everybody")
            for name in (
                *("Cache-Control", "content-type", "date", "server", "set-cookie", "vary", "via"),
                *("access-control-allow-headers", "access-control-expose-headers", "alt-svc"),
                *("content-security-policy", "nel", "report-to", "strict-transport-security"),
            )
        ],
    ],
)
def test_headers_without_an_echo_stay_as_they_are(name: str, value: str) -> None:
    headers = {name: value}
    assert without_echoes(headers, ("sk-secret-key",), never) is headers


def test_a_value_that_may_be_an_echo_is_looked_at() -> None:
    """One of 24 characters that is no id."""
    headers = {"x-debug": "it's 24 characters long."}
    assert without_echoes(headers, (), lambda: [headers["x-debug"]]) != headers
    assert without_echoes(headers, (), lambda: ["another"]) == headers


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("key=sk-secret-key", "sk-secret-key"),
        ("no model for the prompt 写一首诗", "写一首诗"),
    ],
)
def test_an_echo_of_the_key_or_the_prompt_is_blanked(value: str, shown: str) -> None:
    headers = CIMultiDict({"x-debug": value, "x-other": "kept"})
    clean = without_echoes(headers, ("sk-secret-key",), lambda: ["写一首诗"])
    assert isinstance(clean, CIMultiDict)
    assert shown not in clean["X-Debug"]
    assert clean["x-other"] == "kept"
