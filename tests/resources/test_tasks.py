"""What videos and music share: arguments, answers, files."""

from pathlib import Path
from typing import Any

import pytest

from aiotokengate import (
    BadRequest,
    CallerError,
    JobFailed,
    Retry,
    Timeout,
    TokenGate,
    WireError,
)
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
from tests.support.media import PAGE, answer, names_in, typed

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


async def test_an_answer_that_tells_of_a_failed_job_is_no_error_of_the_request(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    failed = {"id": "x", "status": "failed", "error": {"message": "算力不足", "code": "busy"}}
    script(gateway, answer(failed))
    with pytest.raises(JobFailed, match="the job failed: 算力不足"):
        await gate.videos.create("wan-t2v", "猫", retry=None)


async def test_where_a_video_is_expected_a_page_is_none(
    gateway: FakeGateway, gate: TokenGate, tmp_path: Path
) -> None:
    """A file is fetched whatever its type says, unless that can't be one."""
    done = answer({"id": "x", "status": "completed", "url": "/files/cat"})
    gateway.script(done, path="/v1/videos/x")
    page = Raw(body=PAGE, headers=typed("text/html"))
    gateway.script(page, Raw(body=MP4, headers=typed("text/plain")), path="/files/cat")
    job = gate.job("video:sora:x")
    with pytest.raises(WireError, match="expected a file of kind 'video', got an answer of type"):
        await job.save(tmp_path / "cat.mp4")
    assert names_in(tmp_path) == []
    assert (await job.save(tmp_path / "cat.mp4"))[0].read_bytes() == MP4


async def test_a_file_of_no_known_kind_may_be_a_page(
    gateway: FakeGateway, gate: TokenGate, tmp_path: Path
) -> None:
    host = gateway.base_url.removesuffix("/v1")
    job = {"taskId": "x", "status": "complete", "data": {"notesUrl": f"{host}/notes"}}
    gateway.script(answer({"code": 200, "data": [job]}), path="/api/cqt/v2/sunoinfo")
    gateway.script(Raw(body=PAGE, headers=typed("text/html")), path="/notes")
    (place,) = await gate.job("music:cqtai:x").save(f"{tmp_path}/{{kind}}{{suffix}}")
    assert (place.name, place.read_bytes()) == ("file.bin", PAGE)
    assert gateway.requests[-1].headers["Accept"] == "*/*"
