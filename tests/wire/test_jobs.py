"""What the wire says of videos and music, in every form that gateways have for it."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate import CallerError
from aiotokengate._wire.jobs import (
    JobFile,
    JobReport,
    SunoAPIRequest,
    cqtai_body,
    file_of,
    job_state,
    progress_of,
    read_music,
    read_videos,
    suno_api_request,
    unified_body,
    video_fields,
)

URL = "https://cdn.example.com/猫.mp4?sign=1"

# --- words and numbers --------------------------------------------------------------------------

WORDS = {
    "queued": "NOT_START SUBMITTED QUEUED queued pending submitted PENDING",
    "running": "IN_PROGRESS in_progress processing running RUNNING streaming",
    "done": "SUCCESS succeeded completed complete SUCCEEDED success",
    "failed": "FAILURE failed error FAILED canceled CANCELED cancelled",
    "unknown": "UNKNOWN unknown 排队中 half-done",
}


@pytest.mark.parametrize(
    ("word", "state"), [(word, state) for state, words in WORDS.items() for word in words.split()]
)
def test_every_word_for_a_state(word: str, state: str) -> None:
    assert job_state(word) == state


@pytest.mark.parametrize("word", ["", None, 3, [], {}])
def test_what_is_no_word_for_a_state(word: object) -> None:
    assert job_state(word) == "unknown"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0.0),
        (50, 0.5),
        ("50", 0.5),
        ("50%", 0.5),
        (" 7.5% ", 0.075),
        (0.5, 0.5),
        (1, 0.01),
        (99.5, 0.995),
        (100, 1.0),
        (300, 1.0),
        (-1, 0.0),
        ("", None),
        ("soon", None),
        (None, None),
        (True, None),
        ([50], None),
        ("nan", None),
        (float("inf"), None),
        (10**400, None),
        ("9" * 5_000, None),
    ],
)
def test_every_form_of_progress(value: object, expected: float | None) -> None:
    assert (
        progress_of(value) == pytest.approx(expected)
        if expected
        else (progress_of(value) == expected)
    )


# --- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "kind", "suffix"),
    [
        (URL, "video", ".mp4"),
        ("https://example.com/a.MP3#t=1", "audio", ".mp3"),
        ("https://example.com/a.mid", "midi", ".mid"),
        ("https://example.com/live/stream", "file", ".bin"),
        ("https://example.com", "file", ".bin"),
        ("https://example.com.mp4", "file", ".bin"),
        ("/v1/videos/x/content", "file", ".bin"),
        ("/a.webp", "image", ".webp"),
    ],
)
def test_what_an_address_says_of_its_file(url: str, kind: str, suffix: str) -> None:
    file = file_of(url, "file")
    assert file is not None
    assert (file.kind, file.suffix) == (kind, suffix)


def test_a_path_of_the_host_stands_beside_the_base() -> None:
    assert file_of("/v1/videos/x/content", "video") == JobFile("video", "../v1/videos/x/content")


def test_a_data_uri_is_a_file_already() -> None:
    file = file_of("data:audio/wav;base64,5L2g5aW9", "file")
    assert file == JobFile("file", data="你好".encode(), mime="audio/wav")
    assert file.suffix == ".wav"
    assert file_of("data:;base64,5L2g5aW9", "audio") == JobFile("audio", data="你好".encode())


@pytest.mark.parametrize(
    "value",
    [
        *("", "猫", "ftp://x/a.mp4", "//evil.example/a.mp4", "data:,x", "data:;base64,!", None, 5),
        *("https://x/\ud83c.mp4", "https://x/" + "a" * 100_000),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_what_is_no_file(value: object) -> None:
    assert file_of(value, "video") is None


# --- videos -------------------------------------------------------------------------------------


def one(reports: tuple[JobReport, ...]) -> JobReport:
    (report,) = reports
    return report


def test_openais_job() -> None:
    report = one(read_videos({"id": "video_1", "status": "in_progress", "progress": 33}))
    assert (report.id, report.status.state, report.status.progress) == ("video_1", "running", 0.33)
    assert report.status.word == "in_progress"
    assert report.result.files == ()


def test_openais_job_that_failed() -> None:
    error = {"code": "moderation_blocked", "message": "内容\n违规"}
    report = one(read_videos({"id": "video_1", "status": "failed", "error": error}))
    assert report.status.state == "failed"
    assert (report.status.message, report.status.code) == ("内容 违规", "moderation_blocked")


def unified(**data: object) -> dict[str, object]:
    return {"code": "success", "message": "", "data": {"task_id": "task_1", **data}}


def test_new_apis_job() -> None:
    body = unified(status="SUCCESS", progress="100%", result_url=URL, data={"id": "upstream"})
    report = one(read_videos(body))
    assert (report.id, report.status.state, report.status.progress) == ("task_1", "done", 1.0)
    assert report.result.files == (JobFile("video", URL, mime="video/mp4"),)
    failed = one(read_videos(unified(status="FAILURE", fail_reason="余额不足")))
    assert (failed.status.state, failed.status.message) == ("failed", "余额不足")


@pytest.mark.parametrize(
    "body",
    [
        {"id": "x", "status": "completed", "metadata": {"url": URL}},
        {"id": "x", "status": "completed", "url": URL},
        {"id": "x", "status": "completed", "video": {"url": URL}},
        {"output": {"task_id": "x", "task_status": "SUCCEEDED", "video_url": URL}},
        {"code": "success", "data": {"task_id": "x", "status": "SUCCESS", "result_url": URL}},
        # Older builds of new-api put it where failures say why.
        {"code": "success", "data": {"task_id": "x", "status": "SUCCESS", "fail_reason": URL}},
        {
            "code": "success",
            "data": {
                "task_id": "x",
                "status": "SUCCESS",
                "result_url": "",
                "data": {"id": "y", "metadata": {"url": URL}},
            },
        },
        {
            "code": "success",
            "data": {"output": {"task_id": "x", "task_status": "SUCCEEDED", "video_url": URL}},
        },
    ],
)
def test_every_place_of_a_videos_address(body: object) -> None:
    report = one(read_videos(body))
    assert (report.id, report.status.state) == ("x", "done")
    assert report.result.files == (JobFile("video", URL, mime="video/mp4"),)


@pytest.mark.parametrize(
    "body",
    [
        {"task_id": "task_1"},
        {"task_id": "task_1", "status": "queued"},
        {"id": "task_1", "task_id": "task_1", "object": "video", "status": "queued"},
        {"code": "success", "message": "", "data": "task_1"},
        {"code": 0, "data": {"task_id": "task_1"}},
    ],
)
def test_every_form_of_a_new_job(body: object) -> None:
    report = one(read_videos(body))
    assert (report.id, report.status.state) == ("task_1", "queued")


def test_videos_that_come_at_once() -> None:
    body = {"created": 1, "data": [{"b64_json": "5L2g5aW9"}, {"url": URL}, {"b64_json": 3}, "x"]}
    report = one(read_videos(body))
    assert (report.id, report.status.state) == ("", "done")
    first, second = report.result.files
    assert (first.data, first.mime, first.url) == ("你好".encode(), "video/mp4", "")
    assert second.url == URL
    assert report.result.extra == {"created": 1}


@pytest.mark.parametrize(
    "body", [None, [], "x", {}, {"data": []}, {"data": [{}]}, {"data": None}, {"status": "queued"}]
)
def test_what_is_no_video(body: object) -> None:
    assert read_videos(body) == ()


def test_what_a_form_of_videos_says() -> None:
    fields = video_fields("m", "猫", {"size": "1280*720", "seconds": 4, "fps": 8}, frames=True)
    assert fields == {
        "model": "m",
        "prompt": "猫",
        "size": "1280*720",
        "seconds": "4",
        "fps": 8,
        "width": 1280,
        "height": 720,
        "num_frames": 33,
    }
    given = {"size": "720P", "num_frames": 17}
    assert video_fields("m", "猫", given, frames=True) == {"model": "m", "prompt": "猫", **given}
    plain = video_fields("m", "猫", {"seconds": "2.5"}, frames=False)
    assert plain == {"model": "m", "prompt": "猫", "seconds": "2.5"}


def test_what_new_api_is_told() -> None:
    body = unified_body("m", "猫", {"seconds": 2.5, "mode": "pro", "images": [URL], "seed": 3})
    assert body == {
        "model": "m",
        "prompt": "猫",
        "mode": "pro",
        "images": [URL],
        "seconds": "2.5",
        "duration": 2.5,
        "metadata": {"seed": 3},
    }
    assert unified_body("m", "猫", {"size": "720P"}) == {
        "model": "m",
        "prompt": "猫",
        "size": "720P",
    }


@pytest.mark.parametrize("seconds", ["long", 10**400, True, None, float("nan"), float("inf")])
def test_seconds_have_to_be_a_number(seconds: object) -> None:
    with pytest.raises(CallerError, match="expected seconds as a number"):
        unified_body("m", "猫", {"seconds": seconds})


def test_a_job_that_is_done_and_says_not_where_its_video_is() -> None:
    report = one(read_videos({"code": "success", "data": {"task_id": "t", "status": "SUCCESS"}}))
    assert (report.status.state, report.result.files) == ("done", ())


def test_a_picture_of_base64_with_the_head_of_a_data_uri() -> None:
    video = {"b64_json": "data:video/webm;base64,5L2g5aW9"}
    (file,) = one(read_videos({"data": [video]})).result.files
    assert (file.mime, file.data) == ("video/webm", "你好".encode())


# --- music --------------------------------------------------------------------------------------

CLIP = {
    "id": "c1",
    "title": "春天 🌸",
    "status": "complete",
    "audio_url": "https://cdn.example.com/c1.mp3",
    "video_url": "",
    "image_url": "https://cdn.example.com/small.jpeg",
    "image_large_url": "https://cdn.example.com/large.jpeg",
    "model_name": "chirp",
    "metadata": {"tags": "民谣", "prompt": "春风又绿", "duration": 121.5},
}


def cqtai(**data: object) -> dict[str, object]:
    return {"code": 200, "msg": "ok", "data": {"id": "a1", "taskType": "create", **data}}


def test_cqtais_job() -> None:
    echo = {"audioUrl": "https://example.com/mine.mp3"}
    report = one(read_music(cqtai(status="complete", param=echo, result=[CLIP])))
    assert (report.id, report.status.state, report.status.progress) == ("a1", "done", 1.0)
    (clip,) = report.result.clips
    assert (clip.id, clip.title, clip.tags, clip.lyrics) == ("c1", "春天 🌸", "民谣", "春风又绿")
    assert (clip.duration, clip.model, clip.status) == (121.5, "chirp", "complete")
    # The picture is the large one, and what was sent is not what came.
    addresses = [file.url for file in report.result.files]
    assert addresses == ["https://cdn.example.com/c1.mp3", "https://cdn.example.com/large.jpeg"]


def test_cqtais_job_that_failed() -> None:
    report = one(read_music(cqtai(status="failed", errorMsg="敏感词", errorCode=1301)))
    status = report.status
    assert (status.state, status.message, status.code) == ("failed", "敏感词", "1301")


def test_several_jobs_in_one_answer() -> None:
    jobs = [{"id": "a", "status": "queued"}, {"id": "b", "status": "processing"}, None, {}]
    reports = read_music({"code": 200, "data": jobs})
    assert [(r.id, r.status.state) for r in reports] == [("a", "queued"), ("b", "running")]


@pytest.mark.parametrize(
    "body",
    [
        {"code": 200, "msg": "", "data": "a1"},
        {"code": "success", "message": "", "data": "a1"},
        {"code": 200, "data": {"taskId": "a1"}},
        {"code": 200, "data": {"id": "a1"}},
        {"task_id": "a1"},
    ],
)
def test_every_form_of_new_music(body: object) -> None:
    report = one(read_music(body))
    assert (report.id, report.status.state) == ("a1", "queued")


def test_suno_apis_job() -> None:
    job = {
        "task_id": "t1",
        "action": "MUSIC",
        "status": "IN_PROGRESS",
        "progress": "50%",
        "data": [{**CLIP, "status": "streaming"}],
    }
    for body in ({"code": "success", "data": job}, job):
        report = one(read_music(body))
        assert (report.id, report.status.state, report.status.progress) == ("t1", "running", 0.5)
        assert report.result.clips[0].status == "streaming"


def test_music_that_comes_at_once() -> None:
    for data in (CLIP, [CLIP]):
        report = one(read_music({"code": "success", "data": data}))
        assert (report.id, report.status.state) == ("", "done")
        assert report.result.clips[0].id == "c1"
    nested = {
        "wav": {"wav_file_url": "https://cdn.example.com/x"},
        "parts": ["https://e.cn/a.mid"],
    }
    report = one(read_music({"code": "success", "data": nested}))
    assert [file.kind for file in report.result.files] == ["audio", "midi"]


def test_the_wrapping_of_music() -> None:
    job = {"id": "a1", "status": "queued"}
    assert one(read_music({"result": {"data": job}}, "result.data")).id == "a1"
    assert one(read_music(job, "")).id == "a1"
    assert one(read_music(job, "data")).id == "a1"


@pytest.mark.parametrize("body", [None, 5, [], "", {"code": 200, "data": None}, {"data": []}, {}])
def test_what_is_no_music(body: object) -> None:
    assert read_music(body) == ()


def test_nothing_is_found_too_deep() -> None:
    value: object = ["https://cdn.example.com/a.mp3"]
    for _ in range(200):
        value = [value]
    report = one(read_music({"code": 200, "data": {"status": "complete", "result": value}}))
    assert report.result.files == ()


def test_cqtai_writes_camel_case() -> None:
    fields = {"clip": "c1", "start": 1, "end": 2, "lyrics": "春", "task": "a1", "tags": "x"}
    assert cqtai_body("replace_section", fields) == {
        "task": "replace_section",
        "clipId": "c1",
        "rangeStartS": 1,
        "rangeEndS": 2,
        "infillLyrics": "春",
        "taskId": "a1",
        "tags": "x",
    }


def test_suno_api_has_fewer_actions() -> None:
    for action in ("cover", "upload_extend", "upload_cover", "replace_section", "downbeats"):
        with pytest.raises(CallerError, match=f"got '{action}'"):
            suno_api_request(action, {"model": "v50"})
    asked = suno_api_request("create", {"model": "chirp-v9", "prompt": "春", "custom_mode": False})
    assert asked.body == {"mv": "chirp-v9", "gpt_description_prompt": "春"}
    asked = suno_api_request("extend", {"model": "chirp-v9", "prompt": "春", "custom_mode": True})
    assert (asked.path, asked.body) == ("submit/music", {"mv": "chirp-v9", "prompt": "春"})


@pytest.mark.parametrize(
    ("action", "fields", "asked"),
    [
        ("lyrics", {"prompt": "春"}, SunoAPIRequest("submit/lyrics", {"prompt": "春"})),
        ("replace_merge", {"clip": "c"}, SunoAPIRequest("submit/concat", {"clip_id": "c"})),
        ("wav", {"clip": "c"}, SunoAPIRequest("act/wav/{clip}")),
    ],
)
def test_what_suno_api_calls_an_action(
    action: str, fields: dict[str, Any], asked: SunoAPIRequest
) -> None:
    assert suno_api_request(action, fields) == asked


# --- anything -----------------------------------------------------------------------------------

KEYS = (
    "id task_id status data output result error progress url audio_url b64_json"
    " metadata fail_reason code video_url errorMsg"
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(KEYS.split()),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(ANYTHING)
def test_reading_never_raises(body: object) -> None:
    """Whatever JSON says, it is read; and what is read is of the right kinds."""
    for report in (*read_videos(body), *read_music(body)):
        assert report.status.state in WORDS
        assert report.status.progress is None or 0 <= report.status.progress <= 1
        assert all(file.url or file.data for file in report.result.files)


def test_no_value_shows_a_whole_song() -> None:
    report = one(read_music(orjson.loads(orjson.dumps(cqtai(status="complete", result=[CLIP])))))
    assert "春风又绿" not in repr(report)
