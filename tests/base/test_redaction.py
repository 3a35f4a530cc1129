"""What an error echoes of a key or a prompt is blanked, however it is written."""

import json
import re
from functools import reduce
from itertools import product
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from aiotokengate import Retry, Timeout
from aiotokengate._base.redaction import blanked, mask_keys, texts_in
from aiotokengate._calls.request import CallPolicy, HttpRequest, Request
from aiotokengate._policy.estimate import CallSize
from aiotokengate._wire.headers import without_echoes
from aiotokengate._wire.problems import status_error
from aiotokengate.errors import ServerFailed, StatusError, WireError
from tests.support.echoes import FORMS, Form

PROMPT = (
    'aardvark <private> & diary: "quoted" / slash é 你好，世界\n'
    "and then a zebrafish wrote down the PIN 4711,\tit's last of all came a quokka 🐾"
)
MARKS = ("aard", "private", "quoted", "你", "世界", "zebra", "4711", "quokka")
KEY = "not-like-others-0123456789"


def left(text: str, *secrets: str) -> str:
    """Return what is left of a text."""
    return blanked([text], secrets)[0]


def core(text: str) -> str:
    """Return the letters and signs of a text that no writing changes."""
    return re.sub(r"[^\w你-龥🐀-🙏]|_", "", text)


@pytest.mark.parametrize(("first", "second"), [*product(FORMS, FORMS)])
def test_every_form_of_a_form(first: str, second: str) -> None:
    """JSON inside of JSON, HTML of JSON, a URL of HTML: nothing of a prompt is left."""
    shown = left(f"bad: {FORMS[second](FORMS[first](PROMPT))} (end)", PROMPT)
    assert shown.startswith("bad: ")
    assert shown.endswith(" (end)")
    assert not [mark for mark in MARKS if mark in shown]
    assert len(shown) < 60


SIGNS = st.one_of(
    st.sampled_from("abcdefgh klmn好，🐾é0149"),
    st.sampled_from(" \n\t\"'\\/<>&%+;#uxn"),
    st.characters(codec="utf-8"),
)
SOME_FORMS = st.lists(st.sampled_from([*FORMS.values()]), max_size=3)


def echoed(text: str, forms: list[Form]) -> str:
    """Return a text in a form of a form of a form."""
    return reduce(lambda written, form: form(written), forms, text)


def rest_of(shown: str) -> str:
    """Return what an echo has left, without what writing a quote, a backslash or a space adds."""
    inside = shown[len("bad: ") : -len(" :end")].replace("[…]", "")
    written = r"&(?:amp;|#38;|#x26;)*(?:quot|apos|lt|gt|#x?[0-9A-Fa-f]+);|%(?:25)*[0-9A-Fa-f]{2}"
    for _ in range(3):
        inside = re.sub(written + r"""|\\+[nrtux]?|["'\s+b]""", "", inside)
    return inside


@given(st.text(SIGNS, max_size=120), SOME_FORMS)
def test_any_prompt_in_any_form(prompt: str, forms: list[Form]) -> None:
    """Nothing is left of any prompt, in a form of a form of a form."""
    shown = left(f"bad: {echoed(prompt, forms)} :end", prompt)
    if len(core(prompt).encode()) >= 12:
        assert not core(rest_of(shown))


@given(st.text(SIGNS, min_size=32, max_size=200), st.data(), SOME_FORMS)
def test_any_piece_in_any_form(prompt: str, data: st.DataObject, forms: list[Form]) -> None:
    """Nothing is left of a piece, but half an escape where it was cut."""
    start = data.draw(st.integers(0, len(prompt) - 32))
    piece = prompt[start : data.draw(st.integers(start + 32, len(prompt)))]
    shown = left(f"bad: {echoed(piece, forms)} :end", prompt)
    if len(core(piece)) >= 24:
        assert len(core(rest_of(shown))) <= 8


KEYS = st.from_regex(r"[A-Za-z0-9_\-.]{12,60}", fullmatch=True)


@given(KEYS, st.text(SIGNS, max_size=80), SOME_FORMS)
def test_any_key_in_any_text_of_an_error(key: str, prompt: str, forms: list[Form]) -> None:
    """Message, code, type, id and body of an error lose a key, however they have it."""
    said = echoed(f"{key} {prompt}", forms)
    told = {"message": f"bad {said}", "code": said[:90], "type": said[:90]}
    body = json.dumps({"error": told}).encode()
    error = status_error(400, body, CIMultiDict({"x-request-id": key}))
    error.redact([key, prompt])
    assert key not in " ".join(map(str, vars(error).values()))


def test_the_order_of_secrets_decides_nothing() -> None:
    """What stays is the same, however a set of them is ordered."""
    secrets = [PROMPT, PROMPT.split("\n")[1], "世界", KEY, "4711"]
    text = f"bad: {PROMPT} and 世界 by {KEY}, 4711"
    assert {left(text, *order) for order in (secrets, secrets[::-1])} == {
        "bad: […] and […] by […], […]"
    }


def test_what_is_not_an_echo_stays() -> None:
    """The words of a prompt alone are not blanked, nor is a short text inside of a word."""
    message = "This model's maximum context length is 8192 tokens, please retry the request"
    prompt = "Please explain the maximum context length of a model, and what tokens are."
    assert left(message, prompt, "hi", "is", "token", "quest") == message
    assert left("the token is bad", "token") == "the […] is bad"


def test_a_cut_echo_is_known_by_its_beginning() -> None:
    """The end of a text may be the beginning of a secret."""
    assert left("bad input: aardvark <priv…", PROMPT) == "bad input: […]…"
    assert left(f"no such key: {KEY[:13]}", KEY) == "no such key: […]"


def test_a_page_loses_tags_and_a_prompt_with_them() -> None:
    """Of a prompt that is shown on a page for people, only tags are lost."""
    error = status_error(500, f"<html><body>{PROMPT}</body></html>".encode(), CIMultiDict())
    error.redact([PROMPT])
    assert not [mark for mark in MARKS if mark in str(error) + error.body]


def test_a_prompt_with_escapes_is_known_as_it_stands() -> None:
    """Source text is full of escapes, and a piece of it short where they are decoded."""
    prompt = r"print('\u4f60\u597d\u4e16\u754c\uff0c\u659c\u7eb9\u7d20') " * 3
    assert left(f"near {prompt[9:45]} (end)", prompt) == r"near […] (end)"
    assert r"\u597d" not in left(f"near {json.dumps(prompt[9:45])} (end)", prompt)


def test_keys_of_others_are_masked() -> None:
    """What looks like a key is one, also behind an escape; a word with a hyphen is none."""
    for text in ("by sk-abcdef1234", r"\nsk-abcdef1234", "%3Dsk-abcdef1234", "_sk-abcdef1234"):
        assert mask_keys(text).endswith("sk-…")
    assert mask_keys("task-force-seven") == "task-force-seven"


def test_every_text_of_an_error_is_covered() -> None:
    """Notes, the error that it came of, the one that was handled; foreign ones are dropped."""
    inner = ServerFailed(f"inner {PROMPT}", code=KEY, request_id=KEY)
    error = StatusError(f"outer {PROMPT}", type=KEY, body=PROMPT, request_id=KEY)
    error.add_note(f"note {PROMPT}")
    error.__context__ = ValueError(PROMPT)
    error.__cause__ = inner
    inner.__context__ = ValueError(f"no JSON: {PROMPT}")
    error.redact([KEY, PROMPT])
    texts = [*vars(error).values(), *vars(inner).values(), *error.__notes__, error.args]
    assert not [mark for mark in (*MARKS, KEY) if mark in " ".join(map(str, texts))]
    assert [one for one in (error.__context__, inner.__context__) if one is not None] == []
    assert error.__cause__ is inner


def test_a_foreign_cause_that_tells_nothing_stays() -> None:
    """Why a connection broke is of use."""
    error = WireError("the connection broke")
    error.__cause__ = ConnectionResetError("gone")
    error.redact([PROMPT])
    assert str(error.__cause__) == "gone"


REQUEST = {
    "model": "zebra-model",
    "messages": [
        {"role": "system", "content": "be kind"},
        {"role": "assistant", "tool_calls": [{"id": "call_1", "function": {
            "name": "find", "arguments": '{"pin": "4711 of the bank"}'}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "quokka"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {
            "url": "https://zebra.test/a.png", "detail": "high"}}]},
    ],
    "tools": [{"type": "function", "function": {
        "name": "find", "description": "Find a zebra.", "parameters": {"type": "object"}}}],
    "metadata": {"who": "Anna"},
    "user": "u-42",
    "reasoning_effort": "high",
}  # fmt: skip


def test_the_texts_of_a_request() -> None:
    """Whatever the user gave, and none of the protocol's own words."""
    texts = set(texts_in(REQUEST))
    assert texts >= {"be kind", "4711 of the bank", "quokka", "https://zebra.test/a.png"}
    assert texts >= {"Find a zebra.", "Anna", "u-42"}
    assert not texts & {"zebra-model", "find", "high", "function", "system", "call_1", "object"}


def test_a_picture_is_known_by_its_beginning() -> None:
    """Megabytes of base64 are not walked through for each error."""
    picture = "data:image/png;base64," + "QUJD" * 100_000
    body = json.dumps({"model": "m", "messages": [{"content": [{"url": picture}]}]}).encode()
    policy = CallPolicy(Timeout(), Retry(), size=CallSize(texts=lambda: [picture]))
    request = Request(HttpRequest("POST", "/x", body), policy)
    (text,) = request.texts()
    assert len(text) < 100_000
    assert left(f"can't read {picture[:300]}", text) == "can't read […]"


def test_headers_that_echo() -> None:
    """A key or a prompt in the headers of a good answer is blanked; others are left alone."""
    usual = CIMultiDict({"Date": "Mon, 01 Jan 2024 00:00:00 GMT", "X-Request-Id": "2024" * 12})
    assert without_echoes(usual, [KEY], lambda: pytest.fail("looked at")) is usual
    odd = CIMultiDict({"x-request-id": KEY, "x-prompt": FORMS["URL"](PROMPT), "x": "y"})
    clean = without_echoes(odd, [KEY], lambda: [PROMPT])
    assert list(clean.items()) == [("x-request-id", "[…]"), ("x-prompt", "[…]"), ("x", "y")]


def _seconds(size: int, prompt: str) -> float:
    texts = ["the gateway answered 500", prompt[:size][-4000:]]
    began = process_time()
    blanked(texts, [prompt[:size]])
    return process_time() - began


@pytest.mark.unmeasured
@pytest.mark.parametrize("unit", ["zebra 斑马 ", "a", "<", "\\", "%25", "&amp;", '\\"', "\\ud83d"])
def test_time_is_linear(unit: str) -> None:
    """A prompt twice as long costs about twice as much, whatever it is made of."""
    prompt = unit * (200_000 // len(unit))  # more would not be found in the caches
    short = long = float("inf")
    for _ in range(15):
        short, long = min(short, _seconds(100_000, prompt)), min(long, _seconds(200_000, prompt))
        if long < 2.5 * max(short, 0.004):
            return
    pytest.fail(f"{short * 1000:.1f} ms, twice as long {long * 1000:.1f} ms")
