"""What the wire says of videos and music, in every form that gateways have for it."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate import CallerError
from aiotokengate._wire.jobs import (
    Clip,
    FileKind,
    JobFile,
    JobReport,
    JobResult,
    JobStatus,
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
        (1.0, 0.01),
        (0.0, 0.0),
        ("0.5", 0.005),
        (False, None),
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


TYPES: dict[str, tuple[FileKind, str]] = {
    ".mp4": ("video", "video/mp4"),
    ".webm": ("video", "video/webm"),
    ".mov": ("video", "video/quicktime"),
    ".mp3": ("audio", "audio/mpeg"),
    ".wav": ("audio", "audio/wav"),
    ".m4a": ("audio", "audio/mp4"),
    ".flac": ("audio", "audio/flac"),
    ".ogg": ("audio", "audio/ogg"),
    ".mid": ("midi", "audio/midi"),
    ".midi": ("midi", "audio/midi"),
    ".png": ("image", "image/png"),
    ".jpg": ("image", "image/jpeg"),
    ".jpeg": ("image", "image/jpeg"),
    ".webp": ("image", "image/webp"),
}


@pytest.mark.parametrize("suffix", TYPES)
def test_every_type_of_a_file(suffix: str) -> None:
    """Its name says what it is; of two names for a type, the first is the usual one."""
    kind, mime = TYPES[suffix]
    url = f"http://example.com/x.y/猫{suffix}?a=b.c"
    assert file_of(url, "file") == JobFile(kind, url, mime=mime)
    assert file_of(url, "video", certain=True) == JobFile("video", url, mime=mime)
    assert JobFile("file", url).suffix == suffix
    usual = {".midi": ".mid", ".jpeg": ".jpg"}.get(suffix, suffix)
    assert JobFile("file", mime=mime).suffix == usual


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        ("video", ".mp4"),
        ("audio", ".mp3"),
        ("image", ".png"),
        ("midi", ".mid"),
        ("file", ".bin"),
    ],
)
def test_the_usual_suffix_of_a_kind(kind: FileKind, suffix: str) -> None:
    assert JobFile(kind, "https://example.com/x.tobelong").suffix == suffix
    assert JobFile(kind, data=b"x", mime="x/y").suffix == suffix
    assert JobFile(kind, "https://example.com/x.Ogv").suffix == ".ogv"


def test_a_path_of_the_host_stands_beside_the_base() -> None:
    assert file_of("/v1/videos/x/content", "video") == JobFile("video", "../v1/videos/x/content")


def test_a_data_uri_is_a_file_already() -> None:
    file = file_of("data:audio/wav;base64,5L2g5aW9", "file")
    assert file == JobFile("file", data="你好".encode(), mime="audio/wav")
    assert file.suffix == ".wav"
    assert file_of("data:;base64,5L2g5aW9", "audio") == JobFile("audio", data="你好".encode())
    assert file_of("data:;base64,5L2g\n 5aW9\n", "file") == JobFile("file", data="你好".encode())


@pytest.mark.parametrize(
    ("data", "kind", "mime"),
    [
        ("GkXfow==", "video", "video/webm"),
        ("GkXfpA==", "video", "video/mp4"),
        ("GkXfow==", "audio", ""),
    ],
)
def test_the_type_of_bytes_that_name_none(data: str, kind: FileKind, mime: str) -> None:
    file = file_of(f"data:;base64,{data}", kind)
    assert file is not None
    assert file.mime == mime


def test_how_long_an_address_may_be() -> None:
    longest = "https://" + "a" * 9_992
    assert file_of(longest, "file") == JobFile("file", longest)
    assert file_of(longest + "a", "file") is None


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            "猫",
            "ftp://x/a.mp4",
            "data:;base64,",
            "data:;base64,5L2g5a",
            "//evil.example/a.mp4",
            "data:,x",
            "data:;base64,!",
            None,
            5,
        ),
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
    assert report.status == JobStatus("done", 1.0)
    assert report.result.extra == {"created": 1}


@pytest.mark.parametrize(
    "body", [None, [], "x", {}, {"data": []}, {"data": [{}]}, {"data": None}, {"status": "queued"}]
)
def test_what_is_no_video(body: object) -> None:
    assert read_videos(body) == ()


SIGNS = {"id": "v", "task_id": "t", "status": "queued", "task_status": "running"}


@pytest.mark.parametrize(
    ("keys", "task", "word"),
    [
        ("id", None, ""),
        ("status", None, ""),
        ("task_status", None, ""),
        ("task_id", "t", ""),
        ("id task_id", "t", ""),
        ("id status", "v", "queued"),
        ("id task_status", "v", "running"),
        ("task_id status task_status", "t", "queued"),
    ],
)
def test_what_makes_a_job_of_a_video(keys: str, task: str | None, word: str) -> None:
    body = {key: SIGNS[key] for key in keys.split()}
    for wrapped in (body, {"output": body}, {"data": body}, {"data": {"output": body}}):
        found = [(report.id, report.status.word) for report in read_videos(wrapped)]
        assert found == ([] if task is None else [(task, word)])


def test_all_that_a_job_of_a_video_says() -> None:
    job = {"id": "v", "status": "IN_PROGRESS", "progress": 50, "url": URL, "message": "m"}
    assert read_videos(job) == (
        JobReport("v", JobStatus("running", 0.5, "IN_PROGRESS"), JobResult(extra=job)),
    )
    job = {"id": "v", "status": "completed", "progress": 50, "url": URL, "error": {"code": "c"}}
    files = (JobFile("video", URL, mime="video/mp4"),)
    assert read_videos({"code": 0, "data": job}) == (
        JobReport("v", JobStatus("done", 1.0, "completed"), JobResult(files, extra=job)),
    )
    assert read_videos({"code": 0, "data": "v"}) == (JobReport("v", JobStatus("queued")),)
    assert read_videos({"code": 0, "data": ""}) == read_videos({"data": "v"}) == ()


def test_the_job_of_the_body_stands_before_that_of_its_data() -> None:
    raw = {"id": "of the vendor", "status": "failed"}
    report = one(read_videos({"task_id": "t", "status": "queued", "data": raw}))
    assert (report.id, report.status) == ("t", JobStatus("queued", None, "queued"))


REASONS: list[tuple[dict[str, object], str, str | None]] = [
    ({"error": {"message": "a", "code": 7}, "fail_reason": "b", "message": "c"}, "a", "7"),
    ({"error": {"message": ""}, "fail_reason": "b", "message": "c"}, "b", None),
    ({"error": "a", "code": "c", "fail_reason": "b"}, "a", None),
    ({"error": None, "message": "c"}, "c", None),
    ({"fail_reason": 10**18 - 1}, "9" * 18, None),
    ({"fail_reason": 1 - 10**18}, "-" + "9" * 18, None),
    ({"fail_reason": 10**18, "message": -(10**18)}, "", None),
    ({"fail_reason": True, "message": 1.5}, "", None),
    ({"message": "断\ud83c 了"}, "断\N{REPLACEMENT CHARACTER} 了", None),
    ({"message": "水" * 1_001}, "水" * 1_000, None),
    ({"message": " " * 7_999 + "ab"}, "a", None),
]


@pytest.mark.parametrize(("fields", "message", "code"), REASONS, ids=range(len(REASONS)))
def test_why_a_video_failed(fields: dict[str, object], message: str, code: str | None) -> None:
    report = one(read_videos({"id": "v", "status": "failed", "progress": 30, **fields}))
    assert report.status == JobStatus("failed", 0.3, "failed", message, code)


def test_the_order_of_the_places_of_a_videos_address() -> None:
    places = (
        ["result_url"],
        ["metadata", "url"],
        ["video_url"],
        ["url"],
        ["video", "url"],
        ["data", "metadata", "url"],
        ["data", "video_url"],
        ["data", "url"],
        ["fail_reason"],
    )
    job: dict[str, Any] = {"task_id": "t", "status": "SUCCESS"}
    for number, place in reversed([*enumerate(places)]):
        within = job
        for key in place[:-1]:
            within = within.setdefault(key, {})
        within[place[-1]] = f"http://example.com/{number}"
        expected = (JobFile("video", f"http://example.com/{number}"),)
        assert one(read_videos(job)).result.files == expected


def test_a_reason_that_is_a_path_is_no_video() -> None:
    job = {"task_id": "t", "status": "SUCCESS", "fail_reason": "/a.mp4"}
    assert one(read_videos(job)).result.files == ()


@pytest.mark.parametrize(
    ("params", "added"),
    [
        ({"size": "1280x720"}, {"width": 1280, "height": 720}),
        ({"size": "1280 X 720", "width": 5}, {"height": 720}),
        ({"size": "1280×720", "height": 5}, {"width": 1280}),
        ({"size": "1280*720*2"}, {}),
        ({"size": 720}, {}),
        ({"seconds": "2"}, {"num_frames": 33}),
        ({"seconds": "2.5", "fps": "4"}, {"num_frames": 11}),
        ({"fps": 5}, {}),
    ],
)
def test_frames_in_place_of_size_and_seconds(
    params: dict[str, Any], added: dict[str, Any]
) -> None:
    asked = {"model": "m", "prompt": "猫", **params}
    assert video_fields("m", "猫", params, frames=True) == {**asked, **added}
    assert video_fields("m", "猫", params, frames=False) == asked


def test_a_rate_has_to_be_a_number() -> None:
    with pytest.raises(CallerError, match="expected fps as a number, got str"):
        video_fields("m", "猫", {"seconds": 1, "fps": "fast"}, frames=True)
    with pytest.raises(CallerError, match="expected seconds as a number, got list"):
        video_fields("m", "猫", {"seconds": [1]}, frames=False)


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
    own = {"image": URL, "images": [URL], "duration": 3, "size": "720P", "mode": "pro"}
    assert unified_body("m", "猫", own) == {"model": "m", "prompt": "猫", **own}
    for seconds in (4, "4", 4.0):
        body = unified_body("m", "猫", {"seconds": seconds, "duration": 9})
        assert body == {"model": "m", "prompt": "猫", "seconds": "4", "duration": 4}
        assert type(body["duration"]) is int
    assert unified_body("m", "猫", {"size": "720P"}) == {
        "model": "m",
        "prompt": "猫",
        "size": "720P",
    }


@pytest.mark.parametrize(
    "seconds", ["long", 10**400, True, None, *map(float, ("nan", "inf", "1e18", "-1e18"))]
)
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
    assert one(read_music({"data": job}, "result.data")).id == ""


@pytest.mark.parametrize("body", [None, 5, [], "", {"code": 200, "data": None}, {"data": []}, {}])
def test_what_is_no_music(body: object) -> None:
    assert read_music(body) == ()


REASONS_OF_MUSIC = ("errorMsg", "fail_reason", "error_message", "msg")


@pytest.mark.parametrize("first", range(4))
def test_why_music_failed(first: int) -> None:
    told = dict(zip(REASONS_OF_MUSIC[first:], "abcd"[first:], strict=True))
    job = {"id": "a1", "status": "failed", "progress": "30%", "errorCode": 0, **told}
    status = JobStatus("failed", 0.3, "failed", "abcd"[first], "0")
    assert read_music(job) == (JobReport("a1", status, JobResult(extra=job)),)
    job["status"] = "running"
    status = JobStatus("running", 0.3, "running")
    assert read_music(job) == (JobReport("a1", status, JobResult(extra=job)),)


@pytest.mark.parametrize(
    ("job", "task", "status"),
    [
        ({"task_id": "a", "taskId": "b", "id": "c"}, "a", JobStatus("queued")),
        ({"taskId": "b", "id": "c"}, "b", JobStatus("queued")),
        ({"status": "complete"}, "", JobStatus("done", 1.0, "complete")),
        ({"text": "啦啦"}, "", JobStatus("done", 1.0)),
    ],
)
def test_which_job_of_music_and_how_far(job: dict[str, Any], task: str, status: JobStatus) -> None:
    assert read_music({"data": job}) == (JobReport(task, status, JobResult(extra=job)),)


def test_all_that_is_said_of_a_song() -> None:
    entry = {**CLIP, "video_url": "https://e.cn/v", "tags": "x", "prompt": "x", "lyric": "x"}
    clip = Clip(
        id="c1",
        title="春天 🌸",
        status="complete",
        audio_url="https://cdn.example.com/c1.mp3",
        video_url="https://e.cn/v",
        image_url="https://cdn.example.com/large.jpeg",
        model="chirp",
        duration=121.5,
        tags="民谣",
        lyrics="春风又绿",
        extra=entry,
    )
    assert one(read_music([entry])).result.clips == (clip,)
    plain = {"id": 5, "audio_url": None, "image_url": "i", "tags": "t", "lyric": "l"}
    assert one(read_music([plain])).result.clips == (
        Clip("5", image_url="i", tags="t", lyrics="l", extra=plain),
    )
    assert one(read_music([{**plain, "prompt": "p"}])).result.clips[0].lyrics == "p"
    for no_clip in ({"audio_url": "a"}, {"id": "", "audio_url": "a"}, {"id": "c"}, "c"):
        assert one(read_music({"status": "complete", "result": [no_clip]})).result.clips == ()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *((3, 3), (0.5, 0.5), (10**18 - 1, 10**18 - 1), (1 - 10**18, 1 - 10**18)),
        *((10**18, None), (-(10**18), None), (float("nan"), None), (True, None), ("3", None)),
    ],
)
def test_how_long_a_song_is(value: object, seconds: float | None) -> None:
    entry = {"id": "c", "audio_url": "", "metadata": {"duration": value}}
    assert one(read_music([entry])).result.clips[0].duration == seconds


def found_in(result: object) -> list[tuple[str, str]]:
    """Return what the files are that a result has, and the ends of their addresses."""
    report = one(read_music({"id": "a1", "status": "complete", "result": result}))
    return [(file.kind, file.url.removeprefix("http://e.cn/")) for file in report.result.files]


def test_what_files_are_by_their_keys() -> None:
    kinds = {
        "midi": "midi",
        "midi_url": "midi",
        "image_url": "image",
        "videoUrl": "video",
        "MP4": "video",
        "mp4_URL": "video",
        "audio_url": "audio",
        "wav": "audio",
        "wav_file_url": "audio",
        "mp3url": "audio",
        "url": "file",
    }
    result = {key: f"http://e.cn/{key}" for key in kinds}
    assert found_in(result) == [(kind, key) for key, kind in kinds.items()]
    assert found_in({"link": "http://e.cn/1", "wav": "/2", "midi": "three", "mp4": 4}) == []


def test_files_are_found_once_wherever_they_are() -> None:
    url = "http://e.cn/1"
    pictures = {"image_url": "http://e.cn/s", "image_large_url": "http://e.cn/l"}
    assert found_in({"url": url, "a": {"url": url}, "b": [url]}) == [("file", "1")]
    assert found_in([url, pictures]) == [("file", "1"), ("image", "l")]
    assert found_in({**pictures, "image_large_url": ""}) == [("image", "s")]


def test_the_result_stands_before_the_data() -> None:
    job = {"id": "a1", "status": "complete", "data": ["http://e.cn/d"], "url": "http://e.cn/u"}
    for result, url in ((["http://e.cn/r"], "http://e.cn/r"), ([], "http://e.cn/d")):
        files = one(read_music({**job, "result": result}, "")).result.files
        assert files == (JobFile("file", url),)
    assert one(read_music({**job, "data": None}, "")).result.files == ()


@pytest.mark.parametrize(("lists", "found"), [(7, 1), (8, 0)])
def test_how_deep_files_are_looked_for(lists: int, found: int) -> None:
    result: object = {"a": ["http://e.cn/1"]}
    for _ in range(lists - 1):
        result = [result]
    assert len(found_in([result])) == found


def test_an_id_of_white_space_is_none() -> None:
    assert read_music({"data": " \n"}) == ()
    assert read_music({"data": "a1"}) == (JobReport("a1", JobStatus("queued")),)
    assert read_music("a1") == (JobReport("a1", JobStatus("queued")),)


def test_nothing_is_found_too_deep() -> None:
    value: object = ["https://cdn.example.com/a.mp3"]
    for _ in range(200):
        value = [value]
    report = one(read_music({"code": 200, "data": {"status": "complete", "result": value}}))
    assert report.result.files == ()


def test_cqtai_writes_camel_case() -> None:
    names = {
        "custom_mode": "customMode",
        "make_instrumental": "makeInstrumental",
        "negative_tags": "negativeTags",
        "vocal_gender": "vocalGender",
        "style_weight": "styleWeight",
        "weirdness_constraint": "weirdnessConstraint",
        "audio_weight": "audioWeight",
        "clip": "clipId",
        "continue_at": "continueAt",
        "audio_url": "audioUrl",
        "task": "taskId",
        "lyrics": "infillLyrics",
        "start": "rangeStartS",
        "end": "rangeEndS",
        "edit_session": "editSessionId",
        "tags": "tags",
    }
    fields = {name: number for number, name in enumerate(names)}
    written = {other: number for number, other in enumerate(names.values())}
    assert cqtai_body("replace_section", fields) == {"task": "replace_section", **written}


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
        ("lyrics", {}, SunoAPIRequest("submit/lyrics", {"prompt": ""})),
        ("gen_stem_two", {"clip": "c"}, SunoAPIRequest("act/stems/{clip}")),
        ("gen_stem_all", {"clip": "c"}, SunoAPIRequest("act/midi/{clip}")),
        ("mp4", {"clip": "c"}, SunoAPIRequest("act/mp4/{clip}")),
        ("wav", {"clip": "c"}, SunoAPIRequest("act/wav/{clip}")),
        ("timeline", {"clip": "c"}, SunoAPIRequest("act/timing/{clip}")),
        (
            "extend",
            {"clip": "c", "task": "t", "model": "v40", "continue_at": 3},
            SunoAPIRequest(
                "submit/music",
                {"continue_clip_id": "c", "task_id": "t", "mv": "chirp-v4", "continue_at": 3},
            ),
        ),
        ("create", {"model": "v45"}, SunoAPIRequest("submit/music", {"mv": "chirp-auk"})),
        ("create", {"model": "v45+"}, SunoAPIRequest("submit/music", {"mv": "chirp-bluejay"})),
        ("create", {"model": "v50"}, SunoAPIRequest("submit/music", {"mv": "chirp-crow"})),
        (
            "create",
            {"custom_mode": False},
            SunoAPIRequest("submit/music", {"mv": None, "gpt_description_prompt": ""}),
        ),
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
    clip = Clip("c1", lyrics="春", extra={"a": 1})
    assert "lyrics" not in repr(clip)
    assert "extra" not in repr(clip)
    assert repr(JobResult(extra={"a": 1})) == "JobResult(files=(), clips=())"
    assert repr(JobFile("audio", data=b"AB")) == "JobFile(kind='audio', url='', mime='')"
    assert repr(SunoAPIRequest("p", {"a": 1})) == "SunoAPIRequest(path='p')"
