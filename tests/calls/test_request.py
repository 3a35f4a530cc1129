"""A request: a value in three parts, which nothing changes."""

import attrs
import pytest

from aiotokengate import Retry, Timeout
from aiotokengate._calls.request import CallPolicy, HttpRequest, ReplyReading, Request
from aiotokengate._http.uploads import Form
from aiotokengate._policy.estimate import CallSize
from aiotokengate._wire.chat_completions import ChatCompletionsDecoder
from aiotokengate._wire.dialects import DIALECTS

POLICY = CallPolicy(Timeout(), Retry(), size=CallSize(texts=lambda: ["斑马"]))
HTTP = HttpRequest("POST", "/rerank", b'{"query": "zebra"}', headers={"X-Team": "7"})
REQUEST = Request(HTTP, POLICY, "qwen3-rerank")
KEYED = Request(
    HttpRequest("POST", "/x", b'["zebra"]', headers={"X-Api-Key": "sk-other-0123456789"}), POLICY
)


@pytest.mark.parametrize("part", [REQUEST, REQUEST.http, REQUEST.policy, REQUEST.policy.size])
def test_nothing_changes_it(part: attrs.AttrsInstance) -> None:
    """Neither the request nor a part of it."""
    name = attrs.fields(type(part))[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(part, name, None)


def test_another_body_makes_another_request() -> None:
    """The first one stays as it is."""
    form = Form((("query", "zebra"),))
    other = REQUEST.with_content(None, form)
    assert (other.http.body, other.http.form) == (None, form)
    assert (other.http.method, other.http.path) == ("POST", "/rerank")
    assert other.http.headers == {"X-Team": "7"}
    assert (other.policy, other.model) == (POLICY, "qwen3-rerank")
    assert REQUEST.http.body == b'{"query": "zebra"}'


def test_another_deadline_makes_another_request() -> None:
    """Whatever else was wanted of it is wanted still."""
    other = REQUEST.within(3.0)
    assert other.policy.deadline == 3.0
    assert other.policy.size is POLICY.size
    assert (REQUEST.policy.deadline, other.http) == (None, HTTP)


def test_what_a_request_is_by_default() -> None:
    """A call that waits for nobody, costs little and may go with any key."""
    http = HttpRequest("GET", "/models")
    assert (http.body, http.form, http.headers) == (None, None, {})
    policy = CallPolicy(Timeout(), Retry())
    assert (policy.pooled, policy.costly, policy.endpoint) == (False, False, "")
    assert (policy.priority, policy.fair_key, policy.deadline) == ("interactive", None, None)
    assert (policy.size.tokens, policy.size.max_tokens) == (None, None)
    assert Request(http, policy).model == ""


def test_how_a_reply_is_read_by_default() -> None:
    """One choice, kept whole; a frame that can't be read does not end it."""
    reading = ReplyReading(DIALECTS["qwen"], ChatCompletionsDecoder)
    assert (reading.choices, reading.retain, reading.strict) == (1, True, False)
    assert (reading.notes, reading.parse) == ((), None)


@pytest.mark.parametrize(
    ("request_", "texts"),
    [
        (REQUEST, ["zebra"]),
        (REQUEST.with_content(None), ["斑马"]),
        (REQUEST.with_content(b""), ["斑马"]),
        (REQUEST.with_content(None, Form((("query", "quagga"),))), ["quagga"]),
        (KEYED, ["sk-other-0123456789", "zebra"]),
    ],
)
def test_its_texts_are_what_errors_must_not_echo(request_: Request, texts: list[str]) -> None:
    """Those of the body or of the form; and where the body was let go of, of the prompt."""
    assert [*request_.texts()] == texts


def test_what_is_sent_is_in_no_repr() -> None:
    """It is the user's."""
    assert "zebra" not in f"{REQUEST!r} {HTTP!r}"
