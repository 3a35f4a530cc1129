"""The slow systems of the fake gateway, by bare HTTP: videos, music, and their files."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from aiotokengate.testing import FakeGateway, JobPlan, VirtualClock
from aiotokengate.testing._jobs import FakeJob
from tests.support.bare_client import Client

VIDEO = {"model": "wan-t2v", "prompt": "一只猫在弹钢琴 🎹"}
SONG = {"task": "create", "model": "v50", "prompt": "春天 🌸"}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def gateway(clock: VirtualClock) -> AsyncIterator[FakeGateway]:
    async with FakeGateway(now=clock.now) as gateway:
        yield gateway


async def ask(client: Client, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Ask for a path below the root; JSON is parsed."""
    root = client.gateway.base_url.removesuffix("/v1")
    address = path if path.startswith("http") else root + path
    async with client.http.request(method, address, json=body) as response:
        is_json = response.content_type == "application/json"
        return response.status, await (response.json() if is_json else response.read())


def test_how_far_a_job_is() -> None:
    """It knows from how often it was asked after, or from the time."""
    about: Any = {"id": "1", "system": "video", "action": "generate", "fields": {}, "began": 10.0}
    counted = FakeJob(**about, plan=JobPlan(polls=4))
    stages = []
    for counted.asked in range(6):
        stages += [counted.stage(1_000.0)]
    assert stages == ["queued", "queued", "running", "running", "done", "done"]
    timed = FakeJob(**about, plan=JobPlan(seconds=100), fails="no")
    assert [timed.stage(now) for now in (10.0, 43.0, 44.0, 110.0)] == [
        *("queued", "queued", "running", "failed")
    ]


# --- /v1/videos ---------------------------------------------------------------------------------


async def test_a_video(client: Client, clock: VirtualClock) -> None:
    client.gateway.jobs.plan = JobPlan(seconds=90, size=100)
    _, made = await ask(client, "POST", "/v1/videos", VIDEO)
    path = f"/v1/videos/{made['id']}"
    assert (made["status"], made["progress"], made["prompt"]) == ("queued", 0, VIDEO["prompt"])
    assert (await ask(client, "GET", f"{path}/content"))[0] == 400
    await clock.run_for(45)
    _, half = await ask(client, "GET", path)
    assert (half["status"], half["progress"]) == ("in_progress", 50)
    await clock.run_for(45)
    _, done = await ask(client, "GET", path)
    assert (done["status"], done["error"]) == ("completed", None)
    status, video = await ask(client, "GET", f"{path}/content")
    assert (status, video[4:8]) == (200, b"ftyp")
    _, other = await ask(client, "POST", f"{path}/remix", {"prompt": "狗"})
    assert (other["remixed_from_video_id"], other["prompt"]) == (made["id"], "狗")
    assert (await ask(client, "DELETE", path))[1]["deleted"]
    for method, gone in [
        *(("GET", path), ("DELETE", path), ("GET", f"{path}/content"), ("POST", f"{path}/remix"))
    ]:
        status, said = await ask(client, method, gone, {"prompt": "狗"})
        assert (status, said["error"]["code"]) == (404, "video_not_found")


async def test_videos_page_by_page(client: Client) -> None:
    ids = [(await ask(client, "POST", "/v1/videos", VIDEO))[1]["id"] for _ in range(3)]
    _, first = await ask(client, "GET", "/v1/videos?limit=2")
    assert [video["id"] for video in first["data"]] == [ids[2], ids[1]]
    assert (first["first_id"], first["last_id"], first["has_more"]) == (ids[2], ids[1], True)
    _, rest = await ask(client, "GET", f"/v1/videos?limit=2&after={ids[1]}")
    assert ([video["id"] for video in rest["data"]], rest["has_more"]) == ([ids[0]], False)
    _, none = await ask(client, "GET", f"/v1/videos?order=asc&after={ids[2]}")
    assert (none["data"], none["first_id"], none["last_id"]) == ([], None, None)
    assert (await ask(client, "GET", "/v1/videos?after=nobody"))[0] == 404
    for wrong in ("order=up", "limit=-1", "limit=101"):
        assert (await ask(client, "GET", f"/v1/videos?{wrong}"))[0] == 400


@pytest.mark.parametrize("way", ["inline", "raw", "url"])
async def test_a_video_that_is_there_at_once(client: Client, way: Any) -> None:
    client.gateway.jobs.plan = JobPlan(video=way, size=100)
    _, made = await ask(client, "POST", "/v1/videos", VIDEO)
    if way == "inline":
        assert made["data"][0]["b64_json"]
    else:
        whole = made if way == "raw" else (await ask(client, "GET", made["data"][0]["url"]))[1]
        assert whole[4:8] == b"ftyp"
    client.gateway.jobs.fail("too dark")
    status, said = await ask(client, "POST", "/v1/videos", VIDEO)
    assert (status, said) == (500, {"detail": "too dark"})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": "qwen3.6-plus", "prompt": "a"}, 503),
        ({"model": "wan-t2v"}, 400),
        ({"model": "wan-i2v", "prompt": "a"}, 400),
        ({"model": "wan-i2v", "prompt": "a", "image": "data:"}, 200),
    ],
)
@pytest.mark.parametrize("path", ["/v1/videos", "/v1/video/generations"])
async def test_what_no_video_is_made_of(client: Client, path: str, body: Any, status: int) -> None:
    assert (await ask(client, "POST", path, body))[0] == status


async def test_a_generation(client: Client) -> None:
    """As new-api words it; a prompt with a mark makes one that fails."""
    client.gateway.jobs.plan = JobPlan(polls=2)
    ends = []
    for prompt in ("猫", "猫 [fail]"):
        _, made = await ask(client, "POST", "/v1/video/generations", {**VIDEO, "prompt": prompt})
        path = f"/v1/video/generations/{made['task_id']}"
        half, end = [(await ask(client, "GET", path))[1]["data"] for _ in range(2)]
        assert (half["status"], half["progress"], half["result_url"]) == ("IN_PROGRESS", "50%", "")
        ends += [(end["status"], bool(end["fail_reason"]), bool(end["result_url"]))]
    assert ends == [("SUCCESS", False, True), ("FAILURE", True, False)]
    status, said = await ask(client, "GET", "/v1/video/generations/none")
    assert (status, said["code"]) == (400, "task_not_exist")


# --- music --------------------------------------------------------------------------------------

NEW, NEWS = "/api/generator/suno", "/api/v2/sunoinfo"


async def test_a_song(client: Client) -> None:
    client.gateway.jobs.plan = JobPlan(polls=3)
    _, made = await ask(client, "POST", NEW, SONG)
    early, half, done = [
        (await ask(client, "GET", f"{NEWS}?id={made['data']}"))[1]["data"] for _ in range(3)
    ]
    assert [one["status"] for one in (early, half, done)] == ["queued", "processing", "complete"]
    assert early["result"] == []
    assert [clip["status"] for clip in half["result"]] == ["streaming", "streaming"]
    for name, kind in [("audio_url", "audio/mpeg"), ("image_url", "image/png")]:
        async with client.http.get(done["result"][0][name]) as response:
            assert response.content_type == kind
    _, both = await ask(client, "GET", f"{NEWS}?id={made['data']}&id=none")
    assert [one["id"] for one in both["data"]] == [made["data"]]


async def test_music_that_can_not_be_made(client: Client) -> None:
    assert (await ask(client, "POST", NEW, {"task": "dance"}))[1]["code"] == 400
    _, said = await ask(client, "POST", NEW, {**SONG, "task": "extend"})
    assert said["msg"].endswith("clipId, continueAt")
    assert (await ask(client, "GET", f"{NEWS}?id=none"))[1]["code"] == 404
    client.gateway.jobs.plan = JobPlan(polls=1)
    client.gateway.jobs.fail("坏词")
    _, made = await ask(client, "POST", NEW, SONG)
    _, news = await ask(client, "GET", f"{NEWS}?id={made['data']}")
    assert (news["data"]["status"], news["data"]["errorMsg"]) == ("failed", "坏词")


GIVES = {
    "gen_stem_two": "Vocals",
    "gen_stem_all": "drums.mid",
    "lyrics": "春风又绿江南岸",
    "mp4": "song.mp4",
    "wav": "song.wav",
    "timeline": "alignedWords",
    "downbeats": "downbeats",
    "upsample_tags": "folk, warm acoustic guitar",
}


@pytest.mark.parametrize("task", GIVES)
async def test_what_else_is_made_of_a_song(client: Client, task: str) -> None:
    client.gateway.jobs.plan = JobPlan(polls=2)
    _, made = await ask(client, "POST", NEW, {"task": task, "clipId": "c", "prompt": "folk"})
    path = f"{NEWS}?id={made['data']}"
    assert (await ask(client, "GET", path))[1]["data"]["result"] is None
    assert GIVES[task] in str((await ask(client, "GET", path))[1]["data"]["result"])


async def test_songs_of_the_other_system(client: Client) -> None:
    client.gateway.jobs.plan = JobPlan(polls=1)
    _, song = await ask(client, "POST", "/suno/submit/music", {"prompt": "春天"})
    _, text = await ask(client, "POST", "/suno/submit/lyrics", {"prompt": "春天"})
    _, news = await ask(client, "GET", f"/suno/fetch/{song['data']}")
    assert (news["data"]["status"], len(news["data"]["data"])) == ("SUCCESS", 2)
    assert (await ask(client, "GET", "/suno/fetch/none"))[1]["code"] == "task_not_exist"
    ids = {"ids": [song["data"], text["data"], "none"]}
    _, all_of_them = await ask(client, "POST", "/suno/fetch", ids)
    assert [one["action"] for one in all_of_them["data"]] == ["MUSIC", "LYRICS"]
    _, stems = await ask(client, "GET", "/suno/act/stems/c")
    assert [clip["title"] for clip in stems["data"]] == ["Vocals", "Instrumental"]
    for method, path in [("GET", "/suno/act/dance/c"), ("POST", "/suno/submit/dance")]:
        assert (await ask(client, method, path, {}))[0] == 400


# --- files --------------------------------------------------------------------------------------


async def test_files(client: Client) -> None:
    """Whoever has the address gets the file; what nobody made is a page."""
    _, made = await ask(client, "POST", "/v1/videos", VIDEO)
    for name, begins in [("a.wav", b"RIFF"), ("a.mid", b"MThd"), ("a.png", b"\x89PNG")]:
        _, data = await ask(client, "GET", f"/files/{made['id']}/{name}")
        assert data.startswith(begins)
    for path in (f"/files/{made['id']}/a.exe", "/files/none/a.mp4"):
        assert await ask(client, "GET", path) == (
            404,
            b"<html><title>404 Not Found</title></html>",
        )


async def test_a_download_that_is_cut(client: Client) -> None:
    _, made = await ask(client, "POST", "/v1/videos", VIDEO)
    path = f"/files/{made['id']}/a.mp4"
    client.gateway.jobs.cut(100)
    with pytest.raises(aiohttp.ClientError):
        await ask(client, "GET", path)
    assert (await ask(client, "GET", path))[0] == 200
    assert client.gateway.jobs.route("PUT", "/v1/videos") is None
