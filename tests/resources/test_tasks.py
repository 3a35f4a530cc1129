"""What videos and music share: arguments, answers, files."""

from typing import Any

import pytest

from aiotokengate import BadRequest, CallerError, Retry, Timeout, TokenGate, WireError
from aiotokengate._resources.options import Defaults
from aiotokengate._resources.tasks import (
    BLOCKING_SECONDS,
    check_numbers,
    check_text,
    patient,
    system_name,
)
from aiotokengate.catalogue import CATALOGUE
from aiotokengate.testing import FakeGateway, Raw
from tests.support.media import answer, typed

MP4 = b"\0\0\0\x18ftypmp42"


def script(gateway: FakeGateway, raw: Raw) -> None:
    gateway.script(raw, path="/v1/videos")


def test_the_name_of_a_system_has_its_dialect_and_its_key() -> None:
    assert system_name("video", "sora", "") == "video:sora"
    assert system_name("video", "sora", "a") == "video:sora@a"


def test_a_text_is_checked() -> None:
    check_text("prompt", "猫", 1)
    for text, got in (("", "an empty one"), (" ", "an empty one"), (7, "int")):
        with pytest.raises(CallerError, match=f"expected prompt as a text, got {got}"):
            check_text("prompt", text)
    with pytest.raises(CallerError, match="expected prompt of at most 1 characters, got 2"):
        check_text("prompt", "猫狗", 1)


def test_timeouts_of_a_request_that_the_result_may_answer() -> None:
    """They are longer than usual, unless the caller has said how long, or usual is longer."""
    own, longest = Timeout(stall=1), Timeout(stall=10 * BLOCKING_SECONDS, first_event=None)

    def defaults(timeout: Timeout) -> Defaults:
        return Defaults(timeout, Retry(), {}, CATALOGUE)

    assert patient(own, defaults(longest)) is own
    found = patient(None, defaults(own))
    assert (found.stall, found.total) == (BLOCKING_SECONDS, own.total)
    found = patient(None, defaults(longest))
    assert (found.stall, found.first_event) == (longest.stall, None)


@pytest.mark.parametrize("odd", [-1, "x", True, [], 2, float("nan")])
def test_a_number_is_checked(odd: Any) -> None:
    check_numbers({"a": "0.5", "b": 1, "c": None}, ("a", "b", "c", "d"), 1.0)
    with pytest.raises(CallerError, match="expected a as a number from 0 to 1, got"):
        check_numbers({"a": odd}, ("a",), 1.0)


@pytest.mark.parametrize("kind", ["video/mp4", "application/octet-stream"])
async def test_the_answer_may_be_the_video_itself(
    gateway: FakeGateway, gate: TokenGate, kind: str
) -> None:
    """Whatever its type says: an MP4 begins like one."""
    script(gateway, Raw(body=MP4, headers=typed(kind)))
    result = await gate.videos.create("wan-t2v", "猫")
    (file,) = result.files
    assert (file.data, file.mime, file.kind) == (MP4, "video/mp4", "video")


@pytest.mark.parametrize(
    ("raw", "error", "message"),
    [
        (answer({"x": 1}), WireError, "expected a job or its result, the answer is neither"),
        (answer({"error": {"message": "no", "code": 400}}), BadRequest, "no"),
        (Raw(body=b"{", headers=typed("video/mp4")), WireError, "expected JSON or a file"),
        (Raw(body=b"{", headers=typed("text/plain")), WireError, "expected JSON or a file"),
    ],
)
async def test_an_answer_that_is_no_job(
    gateway: FakeGateway, gate: TokenGate, raw: Raw, error: type[Exception], message: str
) -> None:
    script(gateway, raw)
    with pytest.raises(error, match=message):
        await gate.videos.create("wan-t2v", "猫", retry=None)
