"""Odd values in answers that are no chat: whatever comes, nothing but our own errors goes out.

Strategy.  A good body for each function; each of its values in turn, and the whole of it, is
replaced by each of some thirty odd ones.  What comes back must be usable: texts that can be
encoded, numbers that one can reckon with.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from aiotokengate import StatusError, TokenGateError, Usage
from aiotokengate._base.redaction import mask_keys
from aiotokengate._wire import headers, jobs, media, usage
from aiotokengate._wire.problems import find_problem, status_error

Way = tuple[Any, ...]
NOW = datetime(2026, 11, 30, tzinfo=UTC)


def nested(depth: int, make: Callable[[Any], Any], core: Any) -> Any:
    for _ in range(depth):
        core = make(core)
    return core


SMALL: list[Any] = [None, True, False, 0, -1, 1, 1.5, 1e308, "", " ", "x"]
SMALL += [[], {}, [1], [None], [{}], [[]], {"a": 1}, {"": ""}]
ODD: dict[str, Any] = {
    **{repr(value): value for value in SMALL},
    "Chinese": "价格：9.9 元 🤔",
    "half a pair": "\ud83d",
    "halves as keys": {"\udcff": "\ud800"},
    "endless": math.inf,
    "endless below": -math.inf,
    "no number": math.nan,
    "65 bits": 2**64,
    "400 digits": 10**400,
    "400 digits below": -(10**400),
    "400 digits as a text": "9" * 400,
    "400 digits after a point": "0." + "9" * 400,
    "lists in lists": nested(1_000, lambda inner: [inner], 1),
    "errors in errors": nested(1_000, lambda inner: {"error": inner}, {"message": "里面"}),
    "messages in messages": nested(1_000, lambda inner: {"message": inner}, "里面"),
    "details in lists": nested(1_000, lambda inner: [{"detail": inner}], "里面"),
    "responses in responses": nested(1_000, lambda inner: {"response": inner}, "里面"),
    "signs of less-than": "<" * 10_000,
    "a year of five digits": "Mon, 25 May 99999 10:35:44 GMT",
    "the last day": "Fri, 31 Dec 9999 23:59:59 -2359",
    "a zone beyond all zones": "Mon, 25 May 2026 10:35:44 +99999999",
    "a data URI": "data:image/png;base64,iVBORw0KGgo=",
}


def ways(value: Any, way: Way = ()) -> Iterator[Way]:
    """Yield the place of everything inside of a value, and of the value itself."""
    yield way
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for key, item in inner:
        yield from ways(item, (*way, key))


def with_odd(body: Any, way: Way, odd: Any) -> Any:
    if not way:
        return odd
    whole = holder = copy.deepcopy(body)
    for step in way[:-1]:
        holder = holder[step]
    holder[way[-1]] = odd
    return whole


def texts_in(value: Any) -> Iterator[Any]:
    """Yield all texts and numbers of a result, but for what is kept as it came."""
    if attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            if field.name != "extra":
                yield from texts_in(getattr(value, field.name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_in(item)
    else:
        yield value


def check_usable(result: Any) -> None:
    for value in texts_in(result):
        if isinstance(value, int | float):
            assert math.isfinite(value)  # also fails for what no float can hold


def check_problem(body: Any) -> None:
    problem = find_problem(body)
    for status in (None, 400):
        error = status_error(status, b"?", {}, problem=problem)
        assert isinstance(error, StatusError)
        assert str(error).encode()
        assert len(error.message) <= 500
        assert len(error.code or "") <= 100
        assert error.status == status or (status is None and 400 <= (error.status or 400) < 600)


def check_whole_error(body: Any) -> None:
    try:
        text = json.dumps(body)
    except RecursionError:  # only where the test itself could not write it
        return
    for status in (None, 500):
        assert str(status_error(status, text.encode(), {})).encode()


def check_counts(body: Any) -> None:
    check_usable(media.usage_in(body) if isinstance(body, dict) else Usage())
    raw = body.get("usage") if isinstance(body, dict) else None
    if isinstance(raw, dict):
        check_usable(usage.usage_of(raw))
        assert usage.has_counts(raw) in (True, False)
        for old, new in ((raw, USAGE["usage"]), (USAGE["usage"], raw)):
            merged = usage.merged_counts(old, new)
            check_usable(usage.usage_of(merged))
            assert usage.usage_of(merged).prompt_tokens in (11, 1)  # which is a count, too


DETAIL = {"@type": "ErrorInfo", "reason": "API_KEY_INVALID", "violations": [{"quotaId": "PerDay"}]}
ERROR = {
    "error": {
        "message": "坏了",
        "code": 500,
        "type": "x",
        "status": "INTERNAL",
        "details": [DETAIL],
        "metadata": {"raw": "raw"},
        "request_id": "r",
    },
    "request_id": "r",
    "status": 500,
}
FLAT = {
    "object": "error",
    "type": "error",
    "success": False,
    "code": 400,
    "error_code": 17,
    "error_msg": "没有了",
    "message": "坏了",
    "msg": "坏了",
    "detail": [{"loc": ["body", 1], "msg": "field required"}],
    "errors": [{"message": "坏了"}],
    "header": {"code": 1, "message": "坏了"},
    "response": {"error": {"message": "坏了"}},
}
CHOICES = {
    "choices": [{"error": {"message": "坏了", "code": 502}}],
    "base_resp": {"status_code": 1002, "status_msg": "慢一点"},
}
USAGE: dict[str, Any] = {
    "usage": {
        "prompt_tokens": 11,
        "completion_tokens": 7,
        "total_tokens": 18,
        "reasoning_tokens": 2,
        "prompt_cache_hit_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
        "output_tokens_details": {"thinking_tokens": 2},
    }
}
VECTORS = {
    "data": [{"index": 0, "embedding": [0.5, 1.0]}, {"index": 1, "embedding": "AAAAPwAAgD8="}]
}
IMAGES = {
    "data": [
        {"b64_json": "iVBORw0KGgo=", "revised_prompt": "一只猫"},
        {"url": "https://x/猫.png"},
    ],
    "output": {"choices": [{"message": {"content": [{"image": "https://x/y.png"}]}}]},
}
EVENT = {
    "type": "image_generation.partial_image",
    "b64_json": "iVBORw0KGgo=",
    "partial_image_index": 1,
}
SPOKEN = {
    "text": "你好",
    "language": "zh",
    "duration": 1.5,
    "usage": {"type": "duration", "seconds": 2},
    "segments": [{"text": "你好", "start": 0.0, "end": 1.5, "id": 0}],
    "words": [{"word": "你好", "start": 0.0, "end": 1.5}],
}
VIDEO = {
    "id": "v1",
    "status": "succeeded",
    "progress": "100%",
    "video_url": "https://x/y.mp4",
    "metadata": {"url": "/files/y.mp4"},
    "error": {"message": "坏了", "code": 1},
    "fail_reason": "坏了",
    "output": {"task_status": "SUCCEEDED"},
}
FAILED_VIDEO = {**VIDEO, "status": "failed"}
AT_ONCE = {"data": [{"b64_json": "AAAA"}, {"url": "https://x/y.mp4"}]}
CLIP = {
    "id": "c1",
    "title": "歌",
    "audio_url": "https://x/y.mp3",
    "image_url": "https://x/y.png",
    "metadata": {"duration": 120.5, "tags": "摇滚", "prompt": "词"},
}
MUSIC = {
    "code": 200,
    "data": {"id": "t1", "status": "complete", "progress": 50, "result": [CLIP], "errorMsg": "坏"},
}

READERS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "errors": (check_problem, ERROR),
    "flat errors": (check_problem, FLAT),
    "a list of errors": (check_problem, [ERROR]),
    "errors of choices": (check_problem, CHOICES),
    "bodies of errors": (check_whole_error, ERROR),
    "bodies of flat errors": (check_whole_error, FLAT),
    "counts": (check_counts, USAGE),
    "vectors": (lambda body: media.vectors_of(body, 2), VECTORS),
    "images": (media.images_of, IMAGES),
    "events of images": (media.image_event, EVENT),
    "transcriptions": (media.transcription_of, SPOKEN),
    "videos": (jobs.read_videos, VIDEO),
    "failed videos": (jobs.read_videos, FAILED_VIDEO),
    "videos at once": (jobs.read_videos, AT_ONCE),
    "music": (jobs.read_music, MUSIC),
    "music by another way": (lambda body: jobs.read_music(body, "data.result"), MUSIC),
    "states": (jobs.job_state, "queued"),
    "progress": (jobs.progress_of, "50%"),
    "files": (lambda value: jobs.file_of(value, "video"), "https://x/y.mp4"),
}


@pytest.mark.parametrize("reader", READERS)
def test_anything_in_place_of_any_value(reader: str) -> None:
    """Nothing but the error tree comes out, and what comes back can be used."""
    read, body = READERS[reader]
    for way, odd in itertools.product(list(ways(body)), ODD.values()):
        try:
            result = read(with_odd(body, way, odd))
        except TokenGateError as error:
            assert str(error).encode()  # noqa: PT017 - most are read without one
        else:
            check_usable(result)


WRITERS: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "videos": (
        lambda fields: jobs.video_fields("wan", "猫", fields, frames=True),
        {"seconds": "4", "fps": 24, "size": "720x1280"},
    ),
    "unified": (
        lambda fields: jobs.unified_body("wan", "猫", fields),
        {"seconds": 4.5, "size": "720x1280", "seed": 1},
    ),
    "music": (lambda fields: jobs.cqtai_body("create", fields), {"clip": "c", "continue_at": 1}),
    "Suno-API": (
        lambda fields: jobs.suno_api_request("create", fields).body,
        {"model": "v45", "custom_mode": False, "prompt": "歌"},
    ),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_anything_in_place_of_any_field(writer: str) -> None:
    """A caller's odd value is passed on, or named by its field."""
    write, fields = WRITERS[writer]
    for name, odd in itertools.product(fields, ODD.values()):
        try:
            body = write({**fields, name: odd})
        except TokenGateError as error:
            assert f"expected {name}" in str(error)  # noqa: PT017 - most are passed on
        else:
            assert isinstance(body, dict)


@pytest.mark.parametrize("odd", ODD)
def test_anything_in_place_of_any_header(odd: str) -> None:
    """A header is a text; it says how long to wait, or nothing."""
    text = str(ODD[odd]) if isinstance(ODD[odd], str | int | float) else odd
    told = dict.fromkeys(
        (
            *("retry-after", "x-should-retry", "x-request-id"),
            *("x-ratelimit-remaining-requests", "x-ratelimit-limit-tokens"),
        ),
        text,
    )
    for named in (told, {**told, "retry-after-ms": text}):
        wait = headers.retry_after(named, NOW)
        assert wait is None or (math.isfinite(wait) and wait >= 0)
        check_usable(headers.remaining(named))
        assert headers.should_retry(named) in (None, text.lower() == "true")
        assert (headers.request_id(named) or "").encode() or not text


DATES = [
    *("Mon, 25 May 99999 10:35:44 GMT", "Fri, 31 Dec 9999 23:59:59 -2359"),
    *("Mon, 01 Jan 0001 00:00:00 +2359", "Mon, 25 May 2026 10:35:44 +" + "9" * 80),
    *("Mon, " + "9" * 400 + " May 2026 10:35:44 GMT", "9" * 5_000, "0", ",", ":::", "() ()"),
]


@pytest.mark.parametrize("date", DATES)
def test_dates_that_no_calendar_has(date: str) -> None:
    """They say nothing; one that can be reckoned with is a wait."""
    wait = headers.retry_after({"retry-after": date}, NOW)
    assert wait is None or wait >= 0


BOTTOMLESS = [
    *(b"<" * 4_000_000, b"<title" * 700_000, b"<script>" * 500_000, b"<a " * 1_000_000),
    *(b"<script></script" * 250_000, b"&#" + b"9" * 4_000_000, b"<p>" + b"&#9" * 1_000_000),
    *(b"sk-" * 1_000_000, b" " * 4_000_000, b'{"error":' * 400_000, b"data:\n" * 600_000),
    b'{"error":["' + b"a " * 2_000_000 + b'"]}',
    b'{"detail":[' + b'{"loc":["a"],"msg":"b"},' * 100_000 + b"1]}",
]


@pytest.mark.unmeasured
@pytest.mark.parametrize("body", BOTTOMLESS, ids=lambda body: repr(body[:12]))
def test_large_bodies_are_read_in_linear_time(body: bytes) -> None:
    """Each of these took minutes and more where time grew with the square of the size."""
    error = status_error(500, body, {})
    assert 0 < len(error.message) <= 500
    assert len(error.body) <= 5_000
    assert len(mask_keys(body.decode())) <= len(body)


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<html><TITLE lang=zh>网关 超时</TITLE><p>x</p>", "网关 超时"),
        ("<title>没有结尾 <b>x</b>", "没有结尾 x"),
        ("<p>1 &lt; 2</p><script>var a = '<b>'</script>好", "1 < 2 好"),
        ("<style>p {}", "the gateway answered 502 without a message"),
        ("a < b", "a < b"),
        ("<p>&#" + "9" * 9_000, "\ufffd"),
    ],
)
def test_the_text_of_a_page(page: str, text: str) -> None:
    """Its title, else what stands between its tags."""
    assert status_error(502, page.encode(), {}).message == text


def test_an_error_far_inside_is_found() -> None:
    """Gateways behind gateways wrap what they got."""
    body = nested(300, lambda inner: {"error": inner}, {"message": "最里面", "code": "arrearage"})
    error = status_error(None, b"", {}, problem=find_problem(body))
    assert (error.message, error.code) == ("最里面", "arrearage")
