"""Error bodies of every shape, every status, and the codes that decide."""

from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from aiotokengate._wire.problems import Problem, find_problem, status_error
from aiotokengate.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    ContextLengthExceeded,
    ModelNotFound,
    Overloaded,
    PermissionDenied,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
    StatusError,
)


def judged(status: int | None, body: object, **headers: str) -> StatusError:
    """Return the error for a body, written as JSON or as its bytes."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status_error(status, raw, CIMultiDict(named))


# --- shapes -------------------------------------------------------------------------------------


@attrs.frozen
class Shape:
    """A body, the status it came with, and what it says."""

    status: int | None
    body: object
    kind: type[StatusError]
    message: str
    code: str | None = None
    type: str | None = None
    request_id: str | None = None
    told_status: int | None = None  # where it is not the one that it came with


COMPLAINT = {"loc": ["body", "size"], "msg": "field required", "type": "value_error.missing"}
OVERLOADED = {"type": "overloaded_error", "message": "Overloaded"}
PAGE = b"<html><head><title>504 Gateway Time-out</title></head><body><h1>504</h1></body></html>"

SHAPES = {
    "a new-api": Shape(
        503,
        {"error": {"message": "无可用渠道", "type": "new_api_error", "code": "model_not_found"}},
        ModelNotFound,
        "无可用渠道",
        "model_not_found",
        "new_api_error",
    ),
    "a OpenAI": Shape(
        404,
        {
            "error": {
                "message": "Invalid URL (POST /v1/x)",
                "type": "invalid_request_error",
                "code": "",
            }
        },
        BadRequest,
        "Invalid URL (POST /v1/x)",
        type="invalid_request_error",
    ),
    "b new-api's middleware": Shape(
        401,
        {"error": {"message": "无效的令牌 (request id: 20260525Ab)", "type": "new_api_error"}},
        AuthenticationFailed,
        "无效的令牌",
        type="new_api_error",
        request_id="20260525Ab",
    ),
    "c a proxy's string": Shape(
        401,
        {"error": "Missing or invalid Bearer token"},
        AuthenticationFailed,
        "Missing or invalid Bearer token",
    ),
    "d vLLM": Shape(
        400,
        {"error": {"message": "bad n", "type": "BadRequestError", "param": None, "code": 400}},
        BadRequest,
        "bad n",
        "400",
        "BadRequestError",
    ),
    "e SGLang": Shape(
        400,
        {
            "object": "error",
            "message": "bad n",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
        BadRequest,
        "bad n",
        "400",
        "BadRequestError",
    ),
    "f FastAPI's string": Shape(404, {"detail": "Not Found"}, BadRequest, "Not Found"),
    "f FastAPI's list": Shape(
        422, {"detail": [COMPLAINT]}, BadRequest, "body.size: field required"
    ),
    "f FastAPI's odd lists": Shape(422, {"detail": ["a", 1, {"msg": "b"}]}, BadRequest, "a; ; b"),
    "f with the valid fields": Shape(
        400,
        {"detail": "unknown field: siez", "errors": ["siez"], "valid_fields": ["size"]},
        BadRequest,
        "unknown field: siez",
    ),
    "g new-api's tasks": Shape(
        400,
        {"code": "fail_to_fetch_task", "message": "任务不存在", "data": None},
        BadRequest,
        "任务不存在",
        "fail_to_fetch_task",
    ),
    "h a code on 200": Shape(
        None,
        {"code": 400, "msg": "参数错误", "data": None},
        BadRequest,
        "参数错误",
        "400",
        told_status=400,
    ),
    "i Anthropic": Shape(
        529,
        {"type": "error", "error": OVERLOADED, "request_id": "req_011"},
        Overloaded,
        "Overloaded",
        type="overloaded_error",
        request_id="req_011",
    ),
    "j Gemini": Shape(
        400,
        {"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT", "details": []}},
        BadRequest,
        "bad",
        "400",
        "INVALID_ARGUMENT",
    ),
    "k OpenRouter": Shape(
        None,
        {
            "error": {
                "code": 429,
                "message": "Provider returned error",
                "metadata": {"raw": "slow"},
            }
        },
        RateLimited,
        "Provider returned error: slow",
        "429",
        told_status=429,
    ),
    "l MiniMax on 200": Shape(
        None,
        {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
        QuotaExhausted,
        "insufficient balance",
        "1008",
    ),
    "o a text and a code": Shape(
        None,
        {"error": "API key 无效或已停用", "code": "api_key_invalid"},
        AuthenticationFailed,
        "API key 无效或已停用",
        "api_key_invalid",
    ),
    "o a chunk without choices": Shape(
        None,
        {"id": "c1", "choices": [], "error": {"code": 502, "message": "上游断开"}},
        ServerFailed,
        "上游断开",
        "502",
        told_status=502,
    ),
    "o of a choice": Shape(
        None,
        {
            "choices": [
                {"delta": {"content": "好"}, "error": None},
                {"finish_reason": "error", "error": {"code": 429, "message": "slow down 🐢"}},
            ]
        },
        RateLimited,
        "slow down 🐢",
        "429",
        told_status=429,
    ),
    "o a flat event": Shape(
        None,
        {"type": "error", "code": "invalid_prompt", "message": "不合规", "param": None},
        BadRequest,
        "不合规",
        "invalid_prompt",
    ),
    "o a flat event that says nothing": Shape(
        None,
        {"type": "error", "code": None, "message": ""},
        ServerFailed,
        "the gateway sent an error without a message",
    ),
    "o an event that says nothing": Shape(
        None,
        {"type": "error", "error": {"message": "", "code": None}, "sequence_number": 4},
        ServerFailed,
        "the gateway sent an error without a message",
    ),
    "o over a WebSocket": Shape(
        None,
        {
            "type": "error",
            "status": 400,
            "error": {
                "type": "invalid_request_error",
                "code": "previous_response_not_found",
                "message": "找不到上一个回复",
                "headers": {"retry-after": "1"},
            },
        },
        BadRequest,
        "找不到上一个回复",
        "previous_response_not_found",
        "invalid_request_error",
        told_status=400,
    ),
    "o Baidu": Shape(
        None,
        {"error_code": 18, "error_msg": "Open api qps request limit reached", "id": "as-1"},
        RateLimited,
        "Open api qps request limit reached",
        "18",
    ),
    "o Baidu under a status": Shape(
        403,
        {"error_code": 999, "error_msg": "不明"},
        PermissionDenied,
        "不明",
        "999",
    ),
    "o error_code with a word": Shape(
        None,
        {"error_code": "insufficient_quota", "error_msg": "余额不足"},
        QuotaExhausted,
        "余额不足",
        "insufficient_quota",
    ),
    "o a code and a message": Shape(
        None,
        {"code": "DataInspectionFailed", "message": "输入含敏感内容", "request_id": "r-9"},
        ContentFiltered,
        "输入含敏感内容",
        "DataInspectionFailed",
        request_id="r-9",
    ),
    "o a code alone": Shape(
        None,
        {"code": 429, "data": None},
        RateLimited,
        "the gateway sent an error without a message",
        "429",
        told_status=429,
    ),
    "o without success": Shape(
        None, {"success": False, "message": "系统繁忙"}, ServerFailed, "系统繁忙"
    ),
    "o Cloudflare": Shape(
        None,
        {"success": False, "errors": [{"code": 10000, "message": "Authentication error"}]},
        ServerFailed,
        "Authentication error",
    ),
    "o SGLang in an event": Shape(
        None,
        {"object": "error", "message": "排队已满", "type": "SERVICE_UNAVAILABLE", "code": 503},
        Overloaded,
        "排队已满",
        "503",
        "SERVICE_UNAVAILABLE",
        told_status=503,
    ),
    "o FastAPI on 200": Shape(None, {"detail": "Not Found"}, ServerFailed, "Not Found"),
    "o a list of one": Shape(
        None,
        [{"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}],
        Overloaded,
        "overloaded",
        "503",
        "UNAVAILABLE",
        told_status=503,
    ),
    "o true": Shape(None, {"error": True, "message": "坏了"}, ServerFailed, "坏了"),
    "o a number": Shape(
        None, {"error": 404, "message": "没有"}, BadRequest, "没有", "404", told_status=404
    ),
    "o a status beside the text": Shape(
        None,
        {"status": 500, "error": "Internal Server Error", "path": "/v1"},
        ServerFailed,
        "Internal Server Error",
        told_status=500,
    ),
    "o a status and a message": Shape(
        None, {"status": 401, "message": "请登录"}, AuthenticationFailed, "请登录", told_status=401
    ),
    "o an inner text": Shape(None, {"error": {"error": "断了"}}, ServerFailed, "断了"),
    "o a header's code": Shape(
        None,
        {"header": {"code": 10013, "message": "内容审核不通过"}},
        ServerFailed,
        "内容审核不通过",
        "10013",
    ),
    "o an empty object that is all": Shape(
        None,
        {"error": {"message": "", "code": None}},
        ServerFailed,
        "the gateway sent an error without a message",
    ),
    "o an event in place of a body": Shape(
        400,
        'event:error\n:HTTP_STATUS/400\ndata:{"code":"Arrearage","message":"欠费"}\n\n'.encode(),
        QuotaExhausted,
        "欠费",
        "Arrearage",
    ),
    "m nothing": Shape(429, b"", RateLimited, "the gateway answered 429 without a message"),
    "m an empty object": Shape(500, {}, ServerFailed, "{}"),
    "n a proxy's page": Shape(504, PAGE, ServerFailed, "504 Gateway Time-out"),
    "n a page without a title": Shape(
        502,
        b"<style>p{}</style><script>var a</script><p>Bad &amp;<br>\xe7\xbd\x91\xe5\x85\xb3</p>",
        ServerFailed,
        "Bad & 网关",
    ),
    "n plain text": Shape(500, b"upstream\r\n  timed out", ServerFailed, "upstream timed out"),
    "n not UTF-8": Shape(500, b"\xff\xfe", ServerFailed, "\ufffd\ufffd"),
    "a JSON string": Shape(500, "上游出错", ServerFailed, "上游出错"),
    "a JSON list": Shape(500, [1], ServerFailed, "[1]"),
    "nested twice": Shape(
        400, {"error": {"error": {"message": "m", "code": "c"}}}, BadRequest, "m", "c"
    ),
    "no message": Shape(
        500,
        {"error": {"code": "c"}},
        ServerFailed,
        "the gateway answered 500 without a message",
        "c",
    ),
    "codes that are none": Shape(
        500, {"error": {"message": "m", "code": None, "type": ""}}, ServerFailed, "m"
    ),
    "codes of odd types": Shape(
        500, {"error": {"message": "m", "code": True, "type": ["x"]}}, ServerFailed, "m"
    ),
    "a message in an object": Shape(400, {"error": {"message": {"msg": "m"}}}, BadRequest, "m"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape(name: str) -> None:
    """What is in a body, whoever wrote it."""
    shape = SHAPES[name]
    error = judged(shape.status, shape.body)
    assert type(error) is shape.kind
    assert (error.message, error.code, error.type) == (shape.message, shape.code, shape.type)
    assert error.request_id == shape.request_id
    assert error.status == (shape.told_status or shape.status)


@pytest.mark.parametrize("name", [name for name in SHAPES if SHAPES[name].status is None])
def test_shapes_on_200_are_errors(name: str) -> None:
    """An error object counts under a good status, too."""
    assert find_problem(SHAPES[name].body) is not None


NO_PROBLEMS: dict[str, object] = {
    "a chunk": {"choices": [{"delta": {}}]},
    "a chunk with a null error": {"choices": [{"delta": {}}], "error": None},
    "a reply with a code": {"choices": [{}], "code": 500},
    "MiniMax's success": {"choices": [], "base_resp": {"status_code": 0, "status_msg": ""}},
    "a usage": {"choices": [], "usage": {"total_tokens": 1}},
    "a task's success": {"code": "success", "message": "", "data": "x"},
    "CQTAI's success": {"code": 200, "msg": "ok", "data": "x"},
    "another success": {"code": 0, "data": "x"},
    "zeros": {"code": "00000", "message": "成功"},
    "a word": {"code": "OK", "msg": "ok"},
    "created": {"code": 201, "message": "created"},
    "a code that is some text": {"code": "print('你好')", "language": "python"},
    "an empty error": {"choices": [{}], "error": {"message": "", "type": "", "code": None}},
    "an empty error beside a usage": {"choices": [], "usage": {"a": 1}, "error": {"message": ""}},
    "no error at all": {"choices": [], "usage": {"a": 1}, "error": {}},
    "an error of zero": {"choices": [{}], "error": {"code": 0, "message": ""}},
    "an error that is a success": {"choices": [{}], "error": {"code": "0", "message": "success"}},
    "no error in words": {"choices": [{}], "error": "none"},
    "false": {"choices": [{}], "error": False},
    "an empty error in an empty error": {"choices": [{}], "error": {"error": {"message": ""}}},
    "a choice's empty error": {"choices": [{"error": {"code": None, "message": ""}}]},
    "an empty error of Gemini": {"candidates": [{}], "error": {"code": 0, "message": ""}},
    "Baidu's success": {"error_code": 0, "error_msg": "", "result": "好"},
    "success": {"success": True, "message": "好", "data": {}},
    "no detail": {"detail": None, "data": [1]},
    "a list of two": [{"error": {"message": "m"}}, {"error": {"message": "n"}}],
    "a list of models": {"object": "list", "data": [], "success": True},
    "a list": [],
    "a string": "error",
    "nothing": None,
}


@pytest.mark.parametrize("name", NO_PROBLEMS)
def test_what_is_no_error(name: str) -> None:
    """Replies have codes and messages, too."""
    assert find_problem(NO_PROBLEMS[name]) is None


MESSAGES: dict[str, object] = {
    "error.message": {"error": {"message": "m"}, "message": "x", "msg": "x"},
    "error": {"error": "m", "message": "x"},
    "message": {"message": "m", "msg": "x", "err": "x", "detail": "x"},
    "message beside an error without one": {"error": {"code": "c"}, "message": "m"},
    "message alone": {"message": "m"},
    "msg alone": {"msg": "m"},
    "err alone": {"err": "m"},
    "error_msg alone": {"error_msg": "m"},
    "msg": {"msg": "m", "err": "x", "error_msg": "x", "detail": "x"},
    "err": {"err": "m", "error_msg": "x", "detail": "x"},
    "error_msg": {"error_msg": "m", "detail": "x"},
    "detail": {"detail": "m", "header": {"message": "x"}},
    "header.message": {"header": {"message": "m", "code": 1}},
    "header.message alone": {"header": {"message": "m"}},
    "response.error.message": {"response": {"error": {"message": "m"}}},
    "base_resp.status_msg": {"base_resp": {"status_code": 1, "status_msg": "m"}},
}


@pytest.mark.parametrize("where", MESSAGES)
def test_where_the_message_is(where: str) -> None:
    """Under an error status the message is looked for in this order, whatever else there is."""
    assert judged(400, MESSAGES[where]).message == "m"


def told(body: object) -> dict[str, object] | None:
    """Return what is found in a body, without what it doesn't say."""
    problem = find_problem(body)
    if problem is None:
        return None
    given = attrs.asdict(problem)
    return {name: given[name] for name in given if given[name] not in (None, "", ())}


def wrapped(value: Any, times: int, *keys: str) -> Any:
    """Return a value in so many objects, or lists where there is no key."""
    for _ in range(times):
        value = dict.fromkeys(keys, value) if keys else [value]
    return value


FOUND: dict[str, tuple[object, dict[str, object]]] = {
    "all that an error says": (
        {
            "error": {
                "message": "出错",
                "code": "c",
                "type": "t",
                "status": 502,
                "request_id": "inner",
                "details": [{"reason": "R"}, 5, {"reason": ""}, {"reason": "S"}],
                "retry_after": 2,
            }
        },
        {
            "message": "出错",
            "code": "c",
            "type": "t",
            "status": 502,
            "request_id": "inner",
            "reasons": ("R", "S"),
            "delay": 2.0,
        },
    ),
    "what stands around it": (
        {
            "error": {"code": "c", "request_id": "inner"},
            "msg": "m",
            "request_id": "r",
            "code": 429,
            "retry_after": 3,
        },
        {"message": "m", "code": "c", "request_id": "r", "status": 429, "delay": 3.0},
    ),
    "a type word before Google's": (
        {"error": {"message": "m", "type": "t", "status": "ABORTED"}},
        {"message": "m", "type": "t"},
    ),
    "an error's error": (
        {"error": {"error": {"message": "m", "type": "t"}, "message": "outer"}},
        {"message": "m", "type": "t"},
    ),
    "an error's text": ({"error": {"error": "m", "code": "c"}}, {"message": "m", "code": "c"}),
    "what the vendor said, alone": (
        {"error": {"metadata": {"raw": {"message": "m"}}}},
        {"message": "m"},
    ),
    "a text, and what stands beside it": (
        {"error": "m", "code": "c", "type": "t", "status_code": 410, "request_id": "r"},
        {"message": "m", "code": "c", "type": "t", "status": 410, "request_id": "r"},
    ),
    "a text of an event": ({"error": "m", "type": "error"}, {"message": "m"}),
    "a list": (
        {"error": [{"message": "a"}, {"loc": ["b", 0], "msg": "c"}]},
        {"message": "a; b.0: c"},
    ),
    "a number and a code": (
        {"error": 410, "message": "m", "code": "c"},
        {"message": "m", "code": "c", "status": 410},
    ),
    "a number and a status": (
        {"error": 7.0, "message": "m", "status": 410},
        {"message": "m", "code": "7", "status": 410},
    ),
    "true": (
        {"error": True, "message": "m", "code": "c", "retry_after_ms": 1500},
        {"message": "m", "code": "c", "delay": 1.5},
    ),
    "true alone": (
        {"error": True, "id": "i", "request_id": "r", "usage": None},
        {"request_id": "r"},
    ),
    "an event's error that is a word for success": (
        {"type": "error", "error": "none", "id": 1},
        {},
    ),
    "MiniMax": (
        {"base_resp": {"status_code": 1002, "status_msg": "m"}, "id": "i", "choices": [{}]},
        {"message": "m", "code": "1002", "numbers": "minimax"},
    ),
    "Baidu": (
        {"error_code": 18, "error_msg": "m", "request_id": "r", "code": 5},
        {"message": "m", "code": "18", "request_id": "r", "numbers": "baidu"},
    ),
    "Baidu's status": (
        {"error_code": "503", "error_msg": "m"},
        {"message": "m", "code": "503", "status": 503, "numbers": "baidu"},
    ),
    "the second choice's": (
        {"choices": [{"error": {"message": ""}}, {"error": {"message": "m", "code": "c"}}]},
        {"message": "m", "code": "c"},
    ),
    "no success": ({"success": False, "code": 0}, {"code": "0"}),
    "no success, listed": ({"success": False, "errors": ["a", "b"]}, {"message": "a; b"}),
    "an error object": ({"object": "error"}, {}),
    "an event": ({"type": "error"}, {}),
    "a code that is a status": ({"code": 429}, {"code": "429", "status": 429}),
    "a code that is known": ({"code": "Arrearage"}, {"code": "Arrearage"}),
    "a detail": ({"detail": "m"}, {"message": "m"}),
    "a detail that is not the first message": (
        {"message": "m", "detail": [{"msg": "x"}]},
        {"message": "m"},
    ),
    **{
        f"a status and {key}": ({"status_code": 500, key: "m"}, {"message": "m", "status": 500})
        for key in ("message", "msg", "err", "error_msg", "detail", "status_msg")
    },
    "a code and a message": ({"code": "odd", "msg": "m"}, {"message": "m", "code": "odd"}),
    "a header before a response": (
        {"response": {"error": "n"}, "header": {"error": "m"}},
        {"message": "m"},
    ),
    "a response's": (
        {"header": {"error": "none", "id": 1}, "response": {"error": "m"}},
        {"message": "m"},
    ),
    "in seven headers": (wrapped({"error": "m"}, 7, "header"), {"message": "m"}),
    "in eight messages": (
        {"error": {"message": wrapped("m", 8, "message")}},
        {"message": "m"},
    ),
    "in eight lists": ({"error": wrapped("m", 8)}, {"message": "m"}),
    "in a thousand errors": (
        {"error": wrapped({"message": "m", "code": "c"}, 1000, "error")},
        {"message": "m", "code": "c"},
    ),
    "in more errors": (
        {"error": wrapped({"message": "m", "code": "c"}, 1001, "error")},
        {"message": "m"},
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_all_that_is_found(name: str) -> None:
    body, expected = FOUND[name]
    assert told(body) == expected


NOT_FOUND: dict[str, object] = {
    "too deep in headers": wrapped({"error": "m"}, 8, "header"),
    "a response that is a reply": {"response": {"choices": [{}], "error": "m"}},
    "an empty error beside something": {"error": {"message": ""}, "data": 1},
    "an error of nothing": {"error": [], "message": "m"},
    "an error that is an empty list of lists": {"error": [[]]},
    "an error that is no whole number": {"error": 3.5},
    "a status alone": {"status": 500},
    "a message alone": {"message": "m"},
    "a code alone that nobody knows": {"code": "odd"},
    "a number alone that nobody knows": {"code": 1234},
    "the base of MiniMax as a text": {"base_resp": "m"},
    "a type of something else": {"type": "response.created", "object": "response"},
    **{
        f"a message beside {code!r}": {"code": code, "message": "m"}
        for code in (0, "0", "000", 200, 204, 299, "200", 200.0, "", None, "None", "null", "nil")
    },
    **{
        f"a message beside {code!r}": {"code": code, "message": "m"}
        for code in ("ok", "Success", "succeeded", "succeed", True, 10**18, -(10**18), [500])
    },
    **{
        f"an error of {word!r}": {"choices": [{}], "error": {"message": word, "type": word}}
        for word in ("none", "NULL", "nil", "ok", "success", "succeeded", "succeed", " ")
    },
}


@pytest.mark.parametrize("name", NOT_FOUND)
def test_what_is_not_found(name: str) -> None:
    assert told(NOT_FOUND[name]) is None


@pytest.mark.parametrize("code", [199, 300, 2000, "0200", 10**18 - 1, 1 - 10**18, "x", 20.0])
def test_codes_that_mark_an_error(code: object) -> None:
    written = {20.0: "20"}.get(code, str(code))  # type: ignore[call-overload]
    assert told({"code": code, "message": "m"}) == {"message": "m", "code": written}


def test_what_is_too_deep_is_no_message() -> None:
    silent = "the gateway answered 400 without a message"
    for message in (wrapped("m", 9, "message"), wrapped("m", 9)):
        assert judged(400, {"error": {"message": message}}).message == silent


def test_the_place_of_a_complaint() -> None:
    """It has a few parts at most; what is no word is left out."""
    loc = ["a", 1, None, ["x"], 2.0, "f", "g", "h", "i"]
    assert told({"detail": [{"loc": loc, "msg": "m"}]}) == {"message": "a.1.2.f.g.h: m"}
    assert told({"detail": [{"loc": "a", "msg": "m"}]}) == {"message": "m"}
    assert told({"detail": [{"loc": ["a"]}]}) == {"message": "a:"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'data: {"error": "m"}\n\ndata: [DONE]\n\n', "m"),
        (b'  id: 1\r\ndata: {"error": "m"}', "m"),
        (b'event: error\ndata:{"error": "m"}', "m"),
        (b"event: error\n: nothing", "event: error : nothing"),
        (b'"data"', "data"),
        (b'{"header": {"msg": "m"}}', "m"),
        (b"[5, 6]", "[5, 6]"),
        (b"12", "12"),
        (b"[" + b"5," * 300 + b"5]", "[" + "5," * 249 + "…"),
        ('"坏\\ud83c了"'.encode(), "坏\N{REPLACEMENT CHARACTER}了"),
    ],
)
def test_bodies_that_are_no_object(body: bytes, message: str) -> None:
    """An event's data, a text, a list, a number."""
    assert judged(500, body).message == message


PAGES: list[tuple[str, str]] = [
    ("<html><TITLE lang=zh>网关 &lt;1&gt;</TITLE><p>x", "网关 <1>"),
    ("<p>a</p>b<br>c", "a b c"),
    ("<title>never closed <b>x", "never closed x"),
    ("<title", "<title"),
    ("<title></title><h1>502</h1>", "502"),
    ("a<SCRIPT>var x = 1 > 0</SCRIPT >b<style>p{}</style>c", "a b c"),
    ("a<script>var x", "a"),
    ("a<script>x</script", "a"),
    ("a<scrip>b</scrip>c", "a b c"),
    ("1 < 2", "1 < 2"),
    ("<p>1 < 2 and more", "1 < 2 and more"),
    ("&amp;&#x6c34; &#" + "1" * 6000 + ";", "&水 \N{REPLACEMENT CHARACTER}"),
]


@pytest.mark.parametrize(("page", "message"), PAGES, ids=range(len(PAGES)))
def test_what_a_page_says(page: str, message: str) -> None:
    """Its title, or its text without tags and programs."""
    assert judged(502, page.encode()).message == message


# --- statuses -----------------------------------------------------------------------------------

STATUSES = {
    302: (StatusError, False),
    400: (BadRequest, False),
    401: (AuthenticationFailed, False),
    402: (QuotaExhausted, False),
    403: (PermissionDenied, False),
    404: (BadRequest, False),
    405: (BadRequest, False),
    408: (ServerFailed, True),
    409: (ServerFailed, True),
    413: (BadRequest, False),
    418: (BadRequest, False),
    422: (BadRequest, False),
    429: (RateLimited, True),
    500: (ServerFailed, True),
    501: (ServerFailed, False),
    502: (ServerFailed, True),
    503: (Overloaded, True),
    504: (ServerFailed, True),
    520: (ServerFailed, True),
    524: (ServerFailed, True),
    529: (Overloaded, True),
}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        *((399, None), (400, 400), (599, 599), (600, None), (40, None), (4040, None)),
        *(("500", 500), ("0500", None), (500.0, 500), (500.5, None), ("5xx", None), (-404, None)),
        *((True, None), ([500], None)),
    ],
)
def test_which_codes_are_a_status(code: object, status: int | None) -> None:
    """Of three digits, and an error's."""
    assert judged(None, {"error": {"message": "m", "code": code}}).status == status


def test_where_a_body_names_its_status() -> None:
    """In this order, in the error before what stands around it."""
    keys = ("status", "status_code", "code")
    for place, key in enumerate(keys):
        named = {name: 510 + at for at, name in enumerate(keys) if at >= place}
        assert judged(None, {"error": {"message": "m", **named}}).status == 510 + place
        assert judged(None, {"error": "m", **named}).status == 510 + place
        assert judged(None, {"error": {"message": "m", key: 502}, "status": 503}).status == 502


@pytest.mark.parametrize("status", STATUSES)
def test_every_status(status: int) -> None:
    """What a status means, and whether the same request may succeed later."""
    error = judged(status, {"error": {"message": "m", "type": "upstream_error"}})
    assert (type(error), error.retryable) == STATUSES[status]
    assert error.status == status


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_inside_a_200(status: int) -> None:
    """SGLang, vLLM and OpenRouter write the true status as the code."""
    error = judged(None, {"error": {"message": "m", "type": "upstream_error", "code": status}})
    if status >= 400:
        assert (type(error), error.retryable, error.status) == (*STATUSES[status], status)
    else:
        assert (type(error), error.status) == (ServerFailed, None)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("rate_limit_error", RateLimited),
        ("overloaded_error", Overloaded),
        ("SERVICE_UNAVAILABLE", Overloaded),
        ("authentication_error", AuthenticationFailed),
        ("permission_error", PermissionDenied),
        ("not_found_error", ModelNotFound),
        ("invalid_request_error", BadRequest),
        ("BadRequestError", BadRequest),
        ("billing_error", QuotaExhausted),
        ("timeout_error", ServerFailed),
        ("api_error", ServerFailed),
        ("upstream_error", ServerFailed),
        (None, ServerFailed),
    ],
)
def test_an_error_inside_a_200_by_its_type(word: str | None, kind: type[StatusError]) -> None:
    """Where there is no status, the type word decides; no status is made up."""
    error = judged(None, {"error": {"message": "m", "type": word}})
    assert (type(error), error.status, error.type) == (kind, None, word)


# --- codes --------------------------------------------------------------------------------------

RESPONSE_CODES = {
    "server_error": (ServerFailed, True),
    "rate_limit_exceeded": (RateLimited, True),
    "invalid_prompt": (BadRequest, False),
    "vector_store_timeout": (BadRequest, False),
    "data_residency_mismatch": (BadRequest, False),
    "bio_policy": (ContentFiltered, False),
    "misalignment_policy_violation": (ContentFiltered, False),
    "image_content_policy_violation": (ContentFiltered, False),
    "invalid_image": (BadRequest, False),
    "failed_to_download_image": (BadRequest, False),
}


@pytest.mark.parametrize("code", RESPONSE_CODES)
def test_codes_of_a_failed_response(code: str) -> None:
    """Only the first two may go better another time."""
    body = {"type": "response.failed", "response": {"error": {"code": code, "message": "m"}}}
    error = judged(None, body)
    assert (type(error), error.retryable) == RESPONSE_CODES[code]
    assert (error.code, error.status) == (code, None)


GOOGLE = {
    "INVALID_ARGUMENT": (400, BadRequest),
    "FAILED_PRECONDITION": (400, BadRequest),
    "UNAUTHENTICATED": (401, AuthenticationFailed),
    "PERMISSION_DENIED": (403, PermissionDenied),
    "NOT_FOUND": (404, ModelNotFound),
    "RESOURCE_EXHAUSTED": (429, RateLimited),
    "INTERNAL": (500, ServerFailed),
    "UNAVAILABLE": (503, Overloaded),
    "DEADLINE_EXCEEDED": (504, ServerFailed),
}


@pytest.mark.parametrize("word", GOOGLE)
@pytest.mark.parametrize("named", [True, False], ids=["with its number", "by the word alone"])
def test_googles_words(word: str, named: bool) -> None:
    """The words stand for what Google's own statuses stand for."""
    status, kind = GOOGLE[word]
    error = {"message": "出错了", "status": word, **({"code": status} if named else {})}
    judgement = judged(None, {"error": error})
    assert (type(judgement), judgement.status) == (kind, status if named else None)
    assert type(judged(status, [{"error": error}])) is kind


def test_googles_reasons() -> None:
    """A wrong key comes as a bad request, a day's allowance as a limit of the moment."""
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    wrong_key = {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}
    error = judged(400, {"error": {**wrong_key, "details": [info]}})
    assert (type(error), error.code, error.type) == (
        AuthenticationFailed,
        "400",
        "INVALID_ARGUMENT",
    )
    spent = {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED"}
    violations = [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]
    details = [{"reason": "RATE_LIMIT_EXCEEDED"}, {"violations": violations}]
    error = judged(429, {"error": {**spent, "details": details}})
    assert (type(error), error.retryable) == (QuotaExhausted, False)
    violations[0]["quotaId"] = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
    assert type(judged(429, {"error": {**spent, "details": details}})) is RateLimited


CODES: list[tuple[int | None, object, type[StatusError], bool]] = [
    # new-api
    (503, "model_not_found", ModelNotFound, False),
    (403, "insufficient_user_quota", QuotaExhausted, False),
    (403, "pre_consume_token_quota_failed", QuotaExhausted, False),
    (403, "access_denied", PermissionDenied, False),
    (400, "sensitive_words_detected", ContentFiltered, False),
    (400, "prompt_blocked", ContentFiltered, False),
    (400, "bad_response_body", BadRequest, False),
    (413, "read_request_body_failed", BadRequest, False),
    (500, "new_api_panic", ServerFailed, True),
    (501, "api_not_implemented", ServerFailed, False),
    # OpenAI
    (429, "insufficient_quota", QuotaExhausted, False),
    (429, "billing_hard_limit_reached", QuotaExhausted, False),
    (429, "rate_limit_exceeded", RateLimited, True),
    (400, "context_length_exceeded", ContextLengthExceeded, False),
    (400, "string_above_max_length", ContextLengthExceeded, False),
    (400, "content_filter", ContentFiltered, False),
    (400, "content_policy_violation", ContentFiltered, False),
    (401, "invalid_api_key", AuthenticationFailed, False),
    # DashScope
    (400, "data_inspection_failed", ContentFiltered, False),
    (400, "DataInspectionFailed", ContentFiltered, False),
    (429, "Throttling", RateLimited, True),
    (429, "Throttling.RateQuota", RateLimited, True),
    (429, "limit_requests", RateLimited, True),
    (429, "Throttling.AllocationQuota", QuotaExhausted, False),
    (400, "Arrearage", QuotaExhausted, False),
    # GLM: https://docs.bigmodel.cn/cn/api/api-code
    (401, "1000", AuthenticationFailed, False),
    (401, "1001", AuthenticationFailed, False),
    (401, "1002", AuthenticationFailed, False),
    (401, "1003", AuthenticationFailed, False),
    (401, "1004", AuthenticationFailed, False),
    (429, "1113", QuotaExhausted, False),
    (400, "1301", ContentFiltered, False),
    (429, "1302", RateLimited, True),
    (429, "1303", RateLimited, True),
    (429, "1304", QuotaExhausted, False),
    (429, "1305", Overloaded, True),
    (429, "1308", QuotaExhausted, False),
    (429, "1310", QuotaExhausted, False),
    (429, "1312", Overloaded, True),
    # A status that the operator mapped to another one says less than the code.
    (500, "insufficient_quota", QuotaExhausted, False),
    (429, "model_not_found", ModelNotFound, False),
    (400, "rate_limit_exceeded", RateLimited, True),
    (500, 1113, QuotaExhausted, False),
]


@pytest.mark.parametrize(("status", "code", "kind", "retryable"), CODES)
def test_codes_decide(
    status: int | None, code: object, kind: type[StatusError], retryable: bool
) -> None:
    """A known code says more than the status, which operators may map."""
    error = judged(status, {"error": {"message": "m", "code": code}})
    assert (type(error), error.retryable, error.code) == (kind, retryable, str(code))


NUMBERS_OF_MINIMAX: dict[object, type[StatusError]] = {
    1000: ServerFailed,
    1002: RateLimited,
    1004: AuthenticationFailed,
    1008: QuotaExhausted,
    1026: ContentFiltered,
    1027: ContentFiltered,
    1039: ContextLengthExceeded,
    1302: ServerFailed,  # a number of GLM's
    2013: BadRequest,
    2049: AuthenticationFailed,
    2056: QuotaExhausted,
    "rate_limit_exceeded": RateLimited,
}


@pytest.mark.parametrize("code", NUMBERS_OF_MINIMAX)
def test_codes_of_minimax(code: object) -> None:
    """MiniMax has numbers of its own, in a place of its own, under a good status."""
    body = {"base_resp": {"status_code": code, "status_msg": "出错了"}, "choices": None}
    error = judged(None, body)
    assert (type(error), error.code, error.message) == (
        NUMBERS_OF_MINIMAX[code],
        str(code),
        "出错了",
    )


NUMBERS_OF_BAIDU: dict[object, tuple[type[StatusError], int | None]] = {
    1: (ServerFailed, None),
    2: (Overloaded, None),
    3: (BadRequest, None),
    4: (RateLimited, None),
    6: (PermissionDenied, None),
    13: (AuthenticationFailed, None),
    14: (AuthenticationFailed, None),
    17: (QuotaExhausted, None),
    18: (RateLimited, None),
    110: (AuthenticationFailed, None),
    111: (AuthenticationFailed, None),
    336100: (Overloaded, None),
    1301: (ServerFailed, None),  # a number of GLM's
    429: (RateLimited, 429),  # a status after all
}


@pytest.mark.parametrize("number", NUMBERS_OF_BAIDU)
def test_numbers_of_baidu(number: int) -> None:
    """So has Baidu."""
    body = {"error_code": number, "error_msg": "出错了"}
    error = judged(None, body)
    assert (type(error), error.status) == NUMBERS_OF_BAIDU[number]
    assert (error.code, error.message) == (str(number), "出错了")


def test_a_vendors_unknown_number_is_judged_by_its_words_and_then_by_the_status() -> None:
    def minimax(message: str) -> dict[str, object]:
        return {"base_resp": {"status_code": 1302, "status_msg": message}}

    assert type(judged(None, minimax("prompt is too long"))) is ContextLengthExceeded
    assert type(judged(403, minimax("prompt is too long"))) is ContextLengthExceeded
    assert type(judged(403, minimax("出错了"))) is PermissionDenied


WORDS: dict[type[StatusError], str] = {
    ContextLengthExceeded: "context_length_exceeded string_above_max_length 1261",
    ContentFiltered: "bio_policy content_filter content_policy_violation data_inspection_failed"
    " datainspectionfailed image_content_policy_violation misalignment_policy_violation"
    " prompt_blocked sensitive_words_detected 1301",
    QuotaExhausted: "insufficient_quota insufficient_user_quota pre_consume_token_quota_failed"
    " throttling.allocationquota arrearage billing_disabled billing_error"
    " billing_hard_limit_reached daily_quota 1113 1304 1308 1310",
    RateLimited: "rate_limit_exceeded rate_limit_error limit_requests resource_exhausted"
    " throttling throttling.ratequota 1302",
    Overloaded: "overloaded_error service_unavailable engine_overloaded unavailable 1305 1312",
    ModelNotFound: "model_not_found model_not_exist",
    AuthenticationFailed: "access_token_expired api_key_invalid authentication_error"
    " credentials_missing invalid_api_key unauthenticated",
    PermissionDenied: "access_denied api_key_service_blocked consumer_suspended permission_denied"
    " permission_error service_disabled",
    BadRequest: "data_residency_mismatch invalid_prompt vector_store_timeout empty_image_file"
    " failed_to_download_image image_file_not_found image_file_too_large image_parse_error"
    " image_too_large image_too_small invalid_base64_image invalid_image invalid_image_format"
    " invalid_image_mode invalid_image_url unsupported_image_media_type",
}
"""What stands above the status, and so beside one that says something else."""

VAGUE_WORDS: dict[type[StatusError], str] = {
    ModelNotFound: "not_found not_found_error",
    BadRequest: "badrequesterror failed_precondition invalid_argument invalid_request_error"
    " out_of_range request_too_large",
    ServerFailed: "aborted api_error deadline_exceeded gateway_timeout internal server_error"
    " timeout timeout_error unknown",
}
"""What says something only where there is no status."""


@pytest.mark.parametrize("place", ["code", "type", "status"])
def test_every_word_that_decides(place: str) -> None:
    for kind, words in WORDS.items():
        for word in words.split():
            for written in (word, word.upper()):
                error = judged(502, {"error": {"message": "m", place: written}})
                assert (word, type(error)) == (word, kind)


def test_every_word_that_is_asked_last() -> None:
    """The code is asked before the type."""
    other: dict[type[StatusError], str] = {ServerFailed: "invalid_argument"}
    for kind, words in VAGUE_WORDS.items():
        for word in words.split():
            told = {"message": "m", "code": word, "type": other.get(kind, "aborted")}
            assert (word, type(judged(None, {"error": told}))) == (word, kind)
            assert (word, type(judged(403, {"error": told}))) == (word, PermissionDenied)
            assert (word, type(judged(502, {"error": told}))) == (word, ServerFailed)


def test_a_clear_word_stands_above_a_vague_one() -> None:
    told = {"message": "m", "code": "invalid_argument", "type": "billing_error"}
    assert type(judged(None, {"error": told})) is QuotaExhausted
    assert type(judged(None, {"error": {**told, "message": "model not found"}})) is QuotaExhausted


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 65536 tokens. However, you requested 70000 tokens",
        "The input (70000 tokens) is longer than the model's context length (65536 tokens).",
        "Range of input length should be [1, 129024]",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "input is too long for requested model",
        "Your input exceeds the context window of this model",
    ],
)
@pytest.mark.parametrize("status", [400, 404, 413, 422, 500, None])
def test_a_prompt_that_is_too_long_is_known_by_its_words(status: int | None, message: str) -> None:
    """Engines have no code for it."""
    error = judged(status, {"error": {"message": message, "type": "invalid_request_error"}})
    assert type(error) is ContextLengthExceeded


@pytest.mark.parametrize(
    "message",
    [
        "The model `gpt-9` does not exist or you do not have access to it.",
        "model not found",
        "Model Not Exist",
        "模型不存在，请检查模型代码",
        "模型 abc 不存在",
    ],
)
@pytest.mark.parametrize("status", [400, 404, 413, 422, 500, None])
def test_a_model_that_is_not_there_is_known_by_its_words(status: int, message: str) -> None:
    """So are misspelt names."""
    assert type(judged(status, {"error": {"message": message}})) is ModelNotFound


def test_anthropics_missing_model() -> None:
    """Its type word tells a missing model from a missing path."""
    body = {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-9"}}
    assert type(judged(404, body)) is ModelNotFound


@pytest.mark.parametrize("word", ["not_found", "NOT_FOUND_ERROR"])
def test_a_missing_model_by_its_type(word: str) -> None:
    """A code that says so, or another status, says less."""
    assert type(judged(404, {"error": {"message": "m", "type": word}})) is ModelNotFound
    assert type(judged(404, {"error": {"message": "m", "code": word}})) is BadRequest
    assert type(judged(405, {"error": {"message": "m", "type": word}})) is BadRequest


@pytest.mark.parametrize("status", [401, 429, 501, 503])
def test_words_do_not_beat_a_clear_status(status: int) -> None:
    """A limit that mentions the model is a limit."""
    message = "maximum context length of this model not found"
    assert type(judged(status, {"error": {"message": message}})) is STATUSES[status][0]


@pytest.mark.parametrize("status", [399, 402, 405, 412, 414, 421, 423, 499])
def test_words_do_not_beat_a_status_that_no_engine_has_for_them(status: int) -> None:
    error = judged(status, {"error": {"message": "prompt is too long"}})
    kinds = {399: StatusError, 402: QuotaExhausted}
    assert type(error) is kinds.get(status, BadRequest)


# --- headers ------------------------------------------------------------------------------------


def test_what_the_headers_say() -> None:
    """How long to wait, and which id to quote: the gateway's own before the body's."""
    body = {"error": {"message": "m (request id: inner)"}, "request_id": "outer"}
    error = judged(429, body, retry_after="7", x_oneapi_request_id="gateway")
    assert (error.retry_after, error.request_id, error.message) == (7, "gateway", "m")
    assert judged(429, body).request_id == "outer"


@pytest.mark.parametrize(
    ("status", "verdict", "retryable"),
    [(500, "false", False), (400, "true", True), (500, "maybe", True), (501, "true", False)],
)
def test_the_vendors_verdict(status: int, verdict: str, retryable: bool) -> None:
    """``x-should-retry`` stands above the status, but for what is not built at all."""
    assert judged(status, {}, x_should_retry=verdict).retryable is retryable


# --- what is shown ------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["message", "text", "page"])
def test_keys_are_masked(where: str) -> None:
    """Whoever's key a gateway quotes, it is not passed on."""
    key = "sk-Abc123_def-456"
    quote = f"Incorrect API key provided: {key}. 请检查"
    bodies = {
        "message": orjson.dumps({"error": {"message": quote}}),
        "text": quote.encode(),
        "page": f"<title>{quote}</title>".encode(),
    }
    error = judged(401, bodies[where])
    assert error.message == "Incorrect API key provided: sk-…. 请检查"
    assert key not in error.body
    assert "sk-…" in error.body


def test_long_messages_are_cut() -> None:
    """A message is one line of bounded length; of the body a little more is kept."""
    error = judged(500, {"error": {"message": "a\n\n" + "长 " * 9000}})
    assert error.message.startswith("a 长 长")
    assert error.message.endswith("…")
    assert len(error.message) == 500
    assert 1000 < len(error.body) <= 4000


def test_where_a_text_is_cut() -> None:
    def message(text: str) -> str:
        return judged(500, {"error": {"message": text}}).message

    assert message("水" * 500) == "水" * 500
    assert message("水" * 501) == "水" * 499 + "…"
    assert message(" " * 3999 + "ab") == "a"
    assert judged(500, b"<p>" + b" " * 3998 + b"ab").message == "a"
    assert judged(500, b"[" + b" " * 3998 + b"1234]").message == "[ 1"


def test_where_a_body_is_cut() -> None:
    assert judged(500, b"a" * 4000).body == "a" * 4000
    assert judged(500, b"a" * 4001).body == "a" * 4000


@pytest.mark.parametrize("key", ["code", "type", "request_id"])
def test_where_a_word_is_cut(key: str) -> None:
    for text, shown in (("w" * 100, "w" * 100), ("w" * 101, "w" * 99 + "…"), (" \n", None)):
        assert getattr(judged(500, {"error": {"message": "m", key: text}}), key) == shown


def test_a_problem_that_was_found_before() -> None:
    """Whoever parsed the body already need not do so again."""
    problem = Problem("m", "1302", "t", "r")
    error = status_error(None, b"data", {}, problem=problem)
    assert (type(error), error.message, error.type, error.request_id) == (
        RateLimited,
        "m",
        "t",
        "r",
    )
    assert error.body == "data"


# --- anything -----------------------------------------------------------------------------------

KEYS = [
    "error",
    "message",
    "msg",
    "code",
    "type",
    "detail",
    "loc",
    "status",
    "request_id",
    "object",
]
KEYS += ["base_resp", "status_code", "status_msg", "metadata", "raw", "header", "response"]
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=15,
)


@given(st.one_of(st.none(), st.integers(300, 599)), json_values.map(orjson.dumps) | st.binary())
def test_every_body_is_an_error(status: int | None, body: bytes) -> None:
    """Whatever the body, there is an error with one line to show."""
    error = judged(status, body)
    assert isinstance(error, StatusError)
    assert error.message
    assert "\n" not in error.message
    assert error.status == status or status is None


@given(json_values)
def test_every_value_is_looked_through(value: object) -> None:
    """Whatever JSON comes under a good status, it is a problem or none."""
    problem = find_problem(value)
    assert problem is None or isinstance(problem.message, str)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"error":' * 100_000], ids=["lists", "objects"]
)
def test_a_body_nested_without_end(body: bytes) -> None:
    """A body that no parser can take is text."""
    assert type(judged(500, body)) is ServerFailed


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "Invalid URL (POST /chat/completions)", "code": ""}},
        {"detail": "Not Found"},
        b"<html><title>404 Not Found</title></html>",
    ],
)
def test_a_path_that_is_nowhere_hints_at_the_address(body: object) -> None:
    """Most often ``/v1`` is missing from the address, or more stands behind it."""
    error = judged(404, body)
    assert type(error) is BadRequest
    assert "mostly in /v1" in str(error)
    assert "通常以 /v1 结尾" in str(error)


def test_a_job_that_is_nowhere_does_not() -> None:
    """The path was good, since what is not there has a code."""
    body = {"error": {"message": "Video not found", "code": "video_not_found"}}
    assert judged(404, body).hint is None
    assert judged(400, {"detail": "Not Found"}).hint is None


# --- how long to wait ---------------------------------------------------------------------------


def _google(delay: object) -> dict[str, object]:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    words = {"code": 429, "message": "Resource exhausted", "status": "RESOURCE_EXHAUSTED"}
    return {"error": {**words, "details": [{"@type": "…QuotaFailure"}, info]}}


def _text(value: object) -> str:
    return orjson.dumps(value).decode()


_LIMIT = {"message": "Please try again in 4.024s.", "code": "rate_limit_exceeded"}
HINTS: dict[str, tuple[int | None, object, float | None]] = {
    "Google's": (429, _google("0.4s"), 0.4),
    "Google's, of an overload": (503, _google("2s"), 2),
    "Google's, in a list": (429, [_google("14s")], 14),
    "Google's, as an object": (429, _google({"seconds": 3}), 3),
    "Google's, quoted": (429, {"error": {"message": _text(_google("9s"))}}, 9),
    "Google's, quoted twice": (429, {"error": _text({"error": _text(_google("9s"))})}, 9),
    "Google's, below nothing": (429, _google("-9s"), None),
    "a text": (429, {"error": _LIMIT}, 4.024),
    "a text inside a 200": (None, {"error": _LIMIT}, 4.024),
    "a text under another status": (400, {"error": _LIMIT}, 4.024),
    "a text of no limit": (500, {"error": {"message": "try again in 4s"}}, None),
    "a text that is all": (429, "try again in 3s", 3),
    "a field of the body": (429, {"message": "limited", "retry_after": 0.65}, 0.65),
    "a field, and nothing else": (429, {"retry_after": 7}, 7),
    "a field beside the error": (429, {"error": "慢一点 🐢", "retry_after": "7"}, 7),
    "a field of the error": (503, {"error": {"message": "busy", "retryAfter": 2}}, 2),
    "a field in milliseconds": (429, {"error": {"message": "m", "retry_after_ms": 250}}, 0.25),
    "a field of an error's metadata": (
        429,
        {"error": {"message": "m", "metadata": {"retry_after": 6}}},
        6,
    ),
    "a header of an error's metadata": (
        429,
        {"error": {"message": "m", "metadata": {"headers": {"Retry-After": "7"}}}},
        7,
    ),
    "a text that is long": (429, {"error": {"message": "慢 🐢" * 500 + " try again in 3s"}}, 3),
    "a text of an inner error": (
        429,
        {"error": {"message": "m", "innererror": {"message": "Please retry after 5 seconds"}}},
        5,
    ),
    "a page": (429, "<title>429</title>Please try again in 12 seconds", 12),
    "a field that is none": (429, {"error": {"message": "m", "retry_after": "soon"}}, None),
    "none": (429, {"error": {"message": "m"}}, None),
}


HINTS |= {
    f"a field {name}": (503, {"error": {"message": "m", name: "1.5"}}, seconds)
    for name, seconds in {
        "retry_after": 1.5,
        "retryAfter": 1.5,
        "retry-after": 1.5,
        "Retry-After": 1.5,
        "retryDelay": 1.5,
        "retry_delay": 1.5,
        "retry_after_seconds": 1.5,
        "retry_after_ms": 0.0015,
        "retryAfterMs": 0.0015,
    }.items()
}
HINTS |= {
    "milliseconds before seconds": (
        503,
        {"error": "m", "retry_after": 9, "retryAfterMs": 5},
        0.005,
    ),
    "a field that is none before one": (
        503,
        {"error": "m", "retry_after": "soon", "retryAfter": 5, "retry_delay": 6},
        5,
    ),
    "an error's before its details'": (
        503,
        {"error": {"message": "m", "retry_after": 1, "details": [{"retryDelay": "2s"}]}},
        1,
    ),
    "its details' before its metadata's": (
        503,
        {"error": {"details": [{"retryDelay": "2s"}], "metadata": {"retry_after": 3}}},
        2,
    ),
    "its metadata's before a header of it": (
        503,
        {"error": {"metadata": {"retry_after": 3, "headers": {"retry-after": 4}}}},
        3,
    ),
    "a header of it before the body's": (
        503,
        {"error": {"code": "c", "metadata": {"headers": {"retry-after": 4}}}, "retry_after": 5},
        4,
    ),
    "a field before what is quoted": (
        503,
        {"error": {"message": _text(_google("9s")), "retry_after": 1}},
        1,
    ),
    "what is quoted before the text": (
        429,
        {"error": {"message": "try again in 1s " + _text(_google("9.25s"))}},
        9.25,
    ),
    "the message before the body": (
        429,
        {"hint": "try again in 9s", "error": {"message": "try again in 2s"}},
        2,
    ),
    "a text of another limit": (429, {"error": {**_LIMIT, "code": "insufficient_quota"}}, 4.024),
    "a text at the end of what is read": (429, b"<p>" + b"try again in 5s".rjust(15_997), 5),
    "a text behind it": (429, b"<p>" + b"try again in 5s".rjust(15_998), None),
}


@pytest.mark.parametrize("case", HINTS)
def test_how_long_a_body_asks_to_wait(case: str) -> None:
    """In a field of the body, or, of a limit, in its text."""
    status, body, seconds = HINTS[case]
    assert judged(status, body).retry_after == seconds


def test_headers_say_it_before_bodies() -> None:
    """A header is meant for whoever sent the request; a body may quote somebody else's."""
    assert judged(429, orjson.dumps(_google("9s")), retry_after="2").retry_after == 2
    assert judged(429, b"try again in 9s", retry_after="soon").retry_after == 9
