"""Music: every action of TokenGate's page, in both dialects, by the real client."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from aiotokengate import BadRequest, CallerError, JobFailed, StatusError, TimedOut, TokenGate
from aiotokengate._resources.jobs import Job
from aiotokengate._resources.music import Music
from aiotokengate._wire.jobs import Clip
from aiotokengate.testing import FakeGateway, JobPlan, Raw, VirtualClock
from aiotokengate.testing._files import midi, mp3, mp4, wav
from tests.support.waiting import soon

PROMPT = "一首关于春天的民谣 🌸"
LYRICS = "春风又绿江南岸，明月何时照我还 🌙"
CLIP = "clip-1"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def clock() -> VirtualClock:
    """Return a clock that the test moves."""
    return VirtualClock()


@pytest.fixture
async def gate(gateway: FakeGateway, clock: VirtualClock) -> AsyncIterator[TokenGate]:
    """Yield a session on that clock."""
    key, url = gateway.api_key, gateway.base_url
    async with TokenGate(api_key=key, base_url=url, clock=clock) as gate:
        yield gate


# --- the actions --------------------------------------------------------------------------------

SONG = {"model": "v50", "customMode": False, "prompt": PROMPT}
URL = "https://example.com/a.mp3"

ACTIONS: dict[str, tuple[Callable[[Music], Job], dict[str, Any], list[str]]] = {
    "create": (lambda music: music.create(PROMPT), SONG, ["audio", "video", "image"] * 2),
    "extend": (
        lambda music: music.extend(CLIP, PROMPT, continue_at=60.5),
        {**SONG, "clipId": CLIP, "continueAt": 60.5},
        ["audio", "video", "image"] * 2,
    ),
    "cover": (
        lambda music: music.cover(Clip(CLIP), PROMPT),
        {**SONG, "clipId": CLIP},
        ["audio", "video", "image"] * 2,
    ),
    "upload_extend": (
        lambda music: music.upload_extend(URL, PROMPT, continue_at=1),
        {**SONG, "audioUrl": URL, "continueAt": 1},
        ["audio", "video", "image"] * 2,
    ),
    "upload_cover": (
        lambda music: music.upload_cover(URL, PROMPT),
        {**SONG, "audioUrl": URL},
        ["audio", "video", "image"] * 2,
    ),
    "replace_section": (
        lambda music: music.replace_section("abc", CLIP, LYRICS, start=0, end=9.5, tags="folk"),
        {
            "taskId": "abc",
            "clipId": CLIP,
            "infillLyrics": LYRICS,
            "rangeStartS": 0,
            "rangeEndS": 9.5,
            "tags": "folk",
        },
        ["audio", "video", "image"] * 2,
    ),
    "replace_merge": (
        lambda music: music.replace_merge(CLIP, "edit-1"),
        {"clipId": CLIP, "editSessionId": "edit-1"},
        ["audio", "video", "image"] * 2,
    ),
    "gen_stem_two": (
        lambda music: music.stems(CLIP),
        {"clipId": CLIP},
        ["audio", "video", "image"] * 2,
    ),
    "gen_stem_all": (
        lambda music: music.all_stems(CLIP),
        {"clipId": CLIP},
        ["audio", "midi"] * 3,
    ),
    "lyrics": (lambda music: music.lyrics(PROMPT), {"prompt": PROMPT}, []),
    "mp4": (lambda music: music.mp4(CLIP), {"clipId": CLIP}, ["video"]),
    "wav": (lambda music: music.wav(CLIP), {"clipId": CLIP}, ["audio"]),
    "timeline": (lambda music: music.timeline(CLIP), {"clipId": CLIP}, []),
    "downbeats": (lambda music: music.beats(CLIP), {"clipId": CLIP}, []),
    "upsample_tags": (lambda music: music.tags("民谣"), {"prompt": "民谣"}, []),
}
"""Each ``task`` of CQTAI: how it is asked for, its fields, and the kinds of files it gives."""


@pytest.mark.parametrize("action", ACTIONS)
async def test_every_action(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock, action: str
) -> None:
    """It is sent in the wire's own words, asked after, and its files are found."""
    make, fields, kinds = ACTIONS[action]
    job = make(gate.music)
    result = await soon(clock, job)
    first = gateway.requests[0]
    assert (first.method, first.path) == ("POST", "/api/cqt/generator/suno")
    assert first.json == {"task": action, **fields}
    assert {r.path for r in gateway.requests[1:]} == {"/api/cqt/v2/sunoinfo"}
    assert [file.kind for file in result.files] == kinds
    assert result.extra["taskType"] == action
    assert job.id == f"music:cqtai:{job.task}"


async def test_the_sixteenth_action_asks_after_many_at_once(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """音乐查询: by jobs, their ids, or the gateway's own, in the order asked for."""
    jobs = [await gate.music.create(PROMPT).submit() for _ in range(3)]
    reports = await gate.music.query(jobs[2], jobs[0].id, jobs[1].task)
    assert [report.id for report in reports] == [jobs[2].task, jobs[0].task, jobs[1].task]
    assert {report.status.state for report in reports} == {"queued"}
    assert len(gateway.requests) == 4
    (single,) = await gate.music.query(jobs[0])
    assert single.status.state == "running"


async def test_what_a_song_is(gate: TokenGate, clock: VirtualClock, tmp_path: Path) -> None:
    """Two clips, whose files are saved by kind, and which other actions take."""
    job = gate.music.create(LYRICS, title="春天", tags="民谣", vocal_gender="f")
    result = await soon(clock, job)
    first, second = result.clips
    assert (first.title, first.tags, first.lyrics) == ("春天", "民谣", LYRICS)
    assert (first.status, first.duration) == ("complete", 121.5)
    assert first.id != second.id
    assert LYRICS not in repr(result)
    saved = await job.save(f"{tmp_path}/songs/", kind="audio")
    assert [path.name for path in saved] == ["audio-1.mp3", "audio-2.mp3"]
    assert {path.read_bytes() for path in saved} == {mp3(2_000).whole()}
    wave = await soon(clock, gate.music.wav(first).submit())
    await soon(clock, wave)
    (path,) = await wave.save(tmp_path / "春.wav")
    assert path.read_bytes() == wav(2_000).whole()


async def test_a_song_can_be_heard_before_it_is_done(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    job = gate.music.create(PROMPT)

    async def until_it_sounds() -> str:
        async for status in job:
            if status.state == "running":
                return job.so_far.clips[0].audio_url
        return ""

    address = await soon(clock, until_it_sounds())
    assert address.endswith("/0.mp3")
    assert job.so_far.clips[0].status == "streaming"
    # Nobody follows it any more, so nobody asks.
    asked = len(gateway.requests)
    await clock.run_for(100)
    assert (len(gateway.requests), clock.pending) == (asked, 0)


async def test_midi_is_saved_beside_the_sounds(
    gate: TokenGate, clock: VirtualClock, tmp_path: Path
) -> None:
    job = gate.music.all_stems(CLIP)
    await soon(clock, job)
    saved = await job.save(tmp_path)
    names = [path.name for path in saved]
    assert names[:2] == ["audio-1.mp3", "midi-1.mid"]
    assert saved[1].read_bytes() == midi().whole()


async def test_an_error_on_http_200(gateway: FakeGateway, gate: TokenGate) -> None:
    """CQTAI says no with a code in an answer of 200."""
    body = '{"code":400,"msg":"参数错误","data":null}'.encode()
    gateway.script(Raw(body=body, headers=JSON), path="/api/cqt/generator/suno")
    with pytest.raises(BadRequest, match="参数错误") as caught:
        await gate.music.create(PROMPT)
    assert caught.value.code == "400"


async def test_a_song_that_fails(gate: TokenGate, clock: VirtualClock) -> None:
    prompt = f"[失败] {PROMPT}"
    job = gate.music.create(prompt)
    with pytest.raises(JobFailed, match="内容未通过审核") as caught:
        await soon(clock, job)
    assert (caught.value.word, caught.value.job) == ("failed", job.id)


async def test_an_unknown_job(gate: TokenGate, clock: VirtualClock) -> None:
    with pytest.raises(StatusError, match="任务不存在"):
        await gate.music.query("nothing")
    with pytest.raises(StatusError, match="任务不存在"):
        await soon(clock, gate.job("music:cqtai:nothing"))


async def test_music_can_not_be_called_off(gate: TokenGate) -> None:
    job = await gate.music.create(PROMPT).submit()
    with pytest.raises(CallerError, match="music:cqtai can't"):
        await job.cancel()


# --- elsewhere ----------------------------------------------------------------------------------


async def test_the_paths_are_settings(gateway: FakeGateway, clock: VirtualClock) -> None:
    """Another gateway of the same family has it beside /v1, under shorter names."""
    paths = {"suno_generator": "../api/generator/suno", "suno_info": "../api/v2/sunoinfo"}
    key, url = gateway.api_key, gateway.base_url
    async with TokenGate(api_key=key, base_url=url, paths=paths, clock=clock) as gate:
        assert (await soon(clock, gate.music.create(PROMPT))).clips
    assert gateway.requests[0].path == "/api/generator/suno"


async def test_the_wrapping_is_a_setting(gateway: FakeGateway, clock: VirtualClock) -> None:
    """An answer may be wrapped more deeply, or not at all."""
    job = '{"id":"a1","taskType":"lyrics","status":"complete","result":[{"text":"春"}]}'
    bodies = {
        "data": f'{{"code":200,"data":{job}}}',
        "result.data": f'{{"code":0,"result":{{"code":200,"data":{job}}}}}',
        "": job,
    }
    for unwrap, body in bodies.items():
        key, url, paths = gateway.api_key, gateway.base_url, {"suno_unwrap": unwrap}
        gateway.script(Raw(body=body.encode(), headers=JSON), path="/api/cqt/v2/sunoinfo")
        async with TokenGate(api_key=key, base_url=url, paths=paths, clock=clock) as gate:
            result = await soon(clock, gate.job("music:cqtai:a1"))
        assert result.extra["result"] == [{"text": "春"}]


# --- Suno-API -----------------------------------------------------------------------------------


async def test_a_song_over_suno_api(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """A description and lyrics are different fields there."""
    music = gate.music.using("suno-api")
    job = music.create(PROMPT, model="v45")
    result = await soon(clock, job)
    assert (gateway.requests[0].path, gateway.requests[0].json) == (
        "/suno/submit/music",
        {"gpt_description_prompt": PROMPT, "mv": "chirp-auk"},
    )
    assert gateway.requests[1].path == f"/suno/fetch/{job.task}"
    assert len(result.clips) == 2
    assert job.id == f"music:suno-api:{job.task}"
    await music.extend(result.clips[0], LYRICS, continue_at=30, title="春", tags="folk").submit()
    assert gateway.requests[-1].json == {
        "prompt": LYRICS,
        "mv": "chirp-crow",
        "title": "春",
        "tags": "folk",
        "continue_clip_id": result.clips[0].id,
        "continue_at": 30,
    }


async def test_more_of_suno_api(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock, tmp_path: Path
) -> None:
    """Lyrics and merging are jobs; what resellers add answers at once."""
    music = gate.music.using("suno-api")
    lyrics = await soon(clock, music.lyrics(PROMPT))
    assert "春风" in lyrics.extra["data"][0]["text"]
    await soon(clock, music.replace_merge(CLIP, "edit-1"))
    for job, kinds in (
        (music.stems(CLIP), {"audio", "video", "image"}),
        (music.all_stems(CLIP), {"audio", "midi"}),
        (music.wav(CLIP), {"audio"}),
        (music.mp4(CLIP), {"video"}),
        (music.timeline(CLIP), set[str]()),
    ):
        assert {file.kind for file in (await job).files} == kinds
    job = music.mp4(CLIP)
    (path,) = await job.save(tmp_path / "歌.mp4")
    assert path.read_bytes() == mp4().whole()
    with pytest.raises(CallerError, match="'suno-api' has, got 'cover'"):
        music.cover(CLIP, PROMPT)


async def test_jobs_of_suno_api_share_a_request(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    music = gate.music.using("suno-api")
    jobs = [await music.create(PROMPT).submit() for _ in range(3)]
    await soon(clock, asyncio.gather(*(job.result() for job in jobs)))
    together = [r for r in gateway.requests if r.path == "/suno/fetch"]
    assert together
    assert set(together[0].json["ids"]) == {job.task for job in jobs}


async def test_a_failure_over_suno_api(gate: TokenGate, clock: VirtualClock) -> None:
    with pytest.raises(JobFailed, match="内容未通过审核"):
        await soon(clock, gate.music.using("suno-api").create("[fail]"))
    with pytest.raises(BadRequest, match="task_not_exist"):
        await soon(clock, gate.job("music:suno-api:nothing"))


# --- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda m: m.create("春" * 401), "prompt of at most 400 characters, got 401"),
        (lambda m: m.create("春" * 3001, model="v40", title="x"), "at most 3000"),
        (lambda m: m.create("春" * 5001, custom_mode=True), "at most 5000"),
        (lambda m: m.create(""), "prompt as a text, got an empty one"),
        (lambda m: m.create(PROMPT, tags="x" * 201, model="v40"), "tags of at most 200"),
        (lambda m: m.create(PROMPT, negative_tags="x" * 1001), "negative_tags of at most 1000"),
        (lambda m: m.create(PROMPT, title="春" * 81), "title of at most 80"),
        (lambda m: m.create(PROMPT, vocal_gender="x"), "'m' or 'f', got 'x'"),
        (lambda m: m.create(PROMPT, style_weight=1.5), "style_weight as a number from 0 to 1"),
        (lambda m: m.create(PROMPT, audio_weight="much"), "audio_weight as a number"),
        (lambda m: m.create(PROMPT, model=5), "model as a text"),
        (lambda m: m.create(PROMPT, mood="sad"), "unknown parameter 'mood'"),
        (lambda m: m.extend("", PROMPT, continue_at=1), "clip as a Clip or its id"),
        (lambda m: m.extend(CLIP, PROMPT, continue_at=-1), "continue_at as a number"),
        (lambda m: m.upload_cover("a.mp3", PROMPT), "audio_url to begin with http"),
        (lambda m: m.replace_section("a", CLIP, "x", start=9, end=3), "start before end"),
        (lambda m: m.replace_merge(CLIP, ""), "edit_session as a text"),
        (lambda m: m.stems(None), "clip as a Clip or its id as a text, got NoneType"),
        (lambda m: m.using("udio"), "'cqtai' or 'suno-api', got 'udio'"),
        (lambda m: m.using(deadline=-1), "deadline in seconds"),
        (lambda m: m.job(""), "id of a job"),
    ],
)
async def test_arguments_are_checked(
    gateway: FakeGateway, gate: TokenGate, call: Callable[[Music], Any], expected: str
) -> None:
    """The limits are those of CQTAI's page; nothing is sent."""
    with pytest.raises(CallerError, match=expected):
        call(gate.music)
    assert not gateway.requests


async def test_lengths_that_just_fit(gate: TokenGate) -> None:
    await gate.music.create("春" * 400).submit()
    await gate.music.create("春" * 5000, title="春" * 80, tags="x" * 1000).submit()
    await gate.music.create("春" * 3000, model="v40", custom_mode=True, tags="x" * 200).submit()


async def test_no_job_to_ask_after(gate: TokenGate) -> None:
    with pytest.raises(CallerError, match="at least one job"):
        await gate.music.query()


async def test_the_deadline_of_music(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    gateway.jobs.plan = JobPlan(polls=10_000)
    job = gate.music.using(deadline=90).create(PROMPT)
    with pytest.raises(TimedOut, match="90 s") as caught:
        await soon(clock, job)
    assert caught.value.phase == "deadline"
    assert job.id in caught.value.__notes__[0]
