"""The options of every call: checked, told apart from parameters, turned into a request."""

from typing import Any

import pytest

from aiotokengate import CallerError, Retry, Timeout
from aiotokengate._calls.request import HttpRequest
from aiotokengate._resources.options import (
    Defaults,
    Options,
    check_several,
    keyed,
    parted_options,
    refuse,
)
from aiotokengate.catalogue import CATALOGUE

DEFAULTS = Defaults(Timeout(), Retry(), {}, CATALOGUE)
POST = HttpRequest("POST", "/x", body=b"{}")
KEY = "Idempotency-Key"


def defaults(**more: Any) -> Defaults:
    given: dict[str, Any] = {
        "timeout": Timeout(),
        "retry": Retry(),
        "extra_body": {},
        "catalogue": CATALOGUE,
    }
    return Defaults(**given | more)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"timeout": 5}, r"expected timeout=Timeout\(total=...\), got int"),
        ({"retry": 5}, r"expected retry=Retry\(attempts=...\), got int"),
        ({"extra_headers": "x"}, "expected extra_headers as a dict, got str"),
        ({"extra_headers": {"a": 1}}, "expected extra_headers of str to str, got 'a': int"),
        ({"extra_headers": {1: "a"}}, "expected extra_headers of str to str, got 1: str"),
        ({"extra_headers": {"a": "b\r\nc"}}, "without control characters, got one in 'a'"),
        ({"idempotency_key": 7}, "expected idempotency_key as a text, True or False, got int"),
        ({"idempotency_key": ""}, "got another text of 0"),
        ({"idempotency_key": " a"}, "got another text of 2"),
        ({"idempotency_key": "钥匙"}, "got another text of 2"),
        ({"deadlin": 3}, "deadline"),
    ],
)
def test_an_option_that_is_wrong(given: dict[str, Any], message: str) -> None:
    with pytest.raises(CallerError, match=message):
        parted_options(given, ())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"paths": {"chatt": "/x"}}, "expected paths named .*, got 'chatt'"),
        ({"paths": {"chat": 7}}, "expected paths as a dict of str to str"),
        ({"catalogue": {}}, r"expected catalogue=CATALOGUE.extended\(...\), got dict"),
    ],
)
def test_a_default_that_is_wrong(given: dict[str, Any], message: str) -> None:
    with pytest.raises(CallerError, match=message):
        defaults(**given)


def test_one_key_is_not_enough_for_several_requests() -> None:
    check_several("edit()", True)
    check_several("edit()", None)
    with pytest.raises(CallerError, match=r"expected idempotency_key=True with edit\(\)"):
        check_several("edit()", "k")


def test_a_name_that_a_method_does_not_have() -> None:
    def method(self: object, prompt: str, **unknown: object) -> None: ...

    refuse((), method, "say it otherwise")
    with pytest.raises(CallerError, match="prompt"):
        refuse(("promt",), method, "say it otherwise")


# --- what comes of them -------------------------------------------------------------------------


def test_options_are_told_apart_from_parameters() -> None:
    params = {"seed": 3, "size": None, "priority": "bulk", "extra_body": {"a": 1}}
    options, rest, body = parted_options(params, ("seed", "size"))
    assert (options.priority, rest, body) == ("bulk", {"seed": 3}, {"a": 1})
    assert parted_options({}, ())[2] == {}


def test_a_request_is_tried_as_the_options_say() -> None:
    own = Timeout(total=3)
    policy = Options(timeout=own, fair_key="a", deadline=9).request(DEFAULTS, POST, "m").policy
    assert (policy.timeout, policy.retry) == (own, DEFAULTS.retry)
    assert (policy.fair_key, policy.deadline, policy.pooled) == ("a", 9, True)


def test_a_request_of_the_sessions_own_waits_for_nobody() -> None:
    request = DEFAULTS.request(POST, "k")
    assert (request.policy.endpoint, request.policy.pooled) == ("k", False)
    assert request.http is POST


@pytest.mark.parametrize(
    ("wish", "costly", "expected"),
    [
        (None, True, "aiotokengate-"),
        (None, False, None),
        (True, False, "aiotokengate-"),
        (False, True, None),
        ("mine", False, "mine"),
    ],
)
def test_what_is_costly_has_an_idempotency_key(
    wish: Any, expected: str | None, *, costly: bool
) -> None:
    options = Options(idempotency_key=wish)
    found = options.request(DEFAULTS, POST, costly=costly).http.headers.get(KEY)
    assert found is None if expected is None else str(found).startswith(expected)
    silent = options.request(defaults(keyed=True), POST, costly=costly).http.headers
    assert KEY not in silent


def test_a_key_among_the_headers_stands() -> None:
    mine = {"idempotency-key": "mine"}
    assert keyed(mine, key=True) is mine
    assert keyed({}, key=True) != keyed({}, key=True)
