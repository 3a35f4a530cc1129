"""Videos, made by the real client at the fake gateway, in every form in which they come."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from aiotokengate import (
    BadRequest,
    CallerError,
    JobFailed,
    ModelNotFound,
    ServerFailed,
    StatusError,
    TimedOut,
    Timeout,
    TokenGate,
    WireError,
)
from aiotokengate.testing import FakeGateway, JobPlan, Raw, VirtualClock
from aiotokengate.testing._files import mp4, png
from tests.support.waiting import soon

PROMPT = "一只猫在弹钢琴 🎹"
VIDEO = mp4().whole()
PNG = png().whole()
# Every byte there is, and the ends of lines that forms are made of.
PICTURE = PNG + bytes(range(256)) + b"\r\n--\r\n\r\r\n\n"
JSON = {"Content-Type": "application/json"}
DIALECTS = ["sora", "unified"]


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


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


# --- a job --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_video_is_a_job(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock, dialect: Any, tmp_path: Path
) -> None:
    """It is asked after until it is done, and then its file is fetched."""
    job = gate.videos.create("wan-t2v", PROMPT, dialect=dialect, size="832x480", seconds=4)
    assert not gateway.requests
    result = await soon(clock, job)
    assert [file.kind for file in result.files] == ["video"]
    (path,) = await job.save(tmp_path / "猫.mp4")
    assert path.read_bytes() == VIDEO
    assert await asyncio.to_thread(os.listdir, tmp_path) == ["猫.mp4"]
    methods = [request.method for request in gateway.requests]
    assert methods == ["POST", "GET", "GET", "GET", "GET"]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_its_progress_is_followed(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock, dialect: Any
) -> None:
    gateway.jobs.plan = JobPlan(polls=4)
    job = gate.videos.create("wan-t2v", PROMPT, dialect=dialect)

    async def follow() -> list[tuple[str, float | None]]:
        return [(status.state, status.progress) async for status in job]

    seen = await soon(clock, follow())
    first, *rest = seen
    assert first == ("queued", 0.0)
    assert rest == [("queued", 0.25), ("running", 0.5), ("running", 0.75), ("done", 1.0)]
    # Once it is done, following it gives the end, and asks nobody.
    asked = len(gateway.requests)
    assert await follow() == [("done", 1.0)]
    assert len(gateway.requests) == asked


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_failed_video_says_why(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock, dialect: Any
) -> None:
    """The vendor's reason is the message, without the prompt and the key that it quotes."""
    gateway.jobs.fail(f"refused: {PROMPT} {gateway.api_key}")
    job = gate.videos.create("wan-t2v", PROMPT, dialect=dialect)
    with pytest.raises(JobFailed, match="refused") as caught:
        await soon(clock, job)
    assert caught.value.job == job.id
    assert PROMPT not in str(caught.value)
    assert gateway.api_key not in str(caught.value)
    with pytest.raises(JobFailed):
        await job.save("nothing.mp4")


async def test_a_video_that_fails_at_once_is_a_failed_job(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """OpenAI's form has an ``error`` in a job that failed, which is no error of the request."""
    body = (
        b'{"id":"video_1","status":"failed","error":{"code":"moderation_blocked","message":"x"}}'
    )
    gateway.script(Raw(body=body, headers=JSON), path="/v1/videos")
    with pytest.raises(JobFailed, match="x") as caught:
        await gate.videos.create("wan-t2v", PROMPT)
    assert (caught.value.code, caught.value.job) == ("moderation_blocked", "video:sora:video_1")


# --- at once ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["inline", "raw", "url"])
async def test_a_video_may_come_at_once(
    gateway: FakeGateway, gate: TokenGate, form: Any, tmp_path: Path
) -> None:
    """As base64, as the body itself, or as an address."""
    gateway.jobs.plan = JobPlan(video=form, size=300_000)
    job = gate.videos.create("wan-t2v", PROMPT)
    assert [status.state async for status in job] == ["done"]
    paths = await job.save(f"{tmp_path}/片-{{index}}{{suffix}}")
    assert [path.name for path in paths] == ["片-1.mp4"]
    assert paths[0].read_bytes() == mp4(300_000).whole()
    with pytest.raises(CallerError, match="it came at once"):
        _ = job.id


async def test_a_video_is_known_whatever_it_is_called(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    raw = Raw(body=VIDEO, headers={"Content-Type": "application/octet-stream"})
    gateway.script(raw, path="/v1/videos")
    result = await gate.videos.create("wan-t2v", PROMPT)
    assert [(file.data, file.mime) for file in result.files] == [(VIDEO, "video/mp4")]


async def test_ten_minutes_are_waited_for_what_may_be_the_video(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """The blocking form is silent for longer than any chat; its own timeout is kept, too."""
    gateway.script(Raw(status=200, body=[], headers=JSON, end="hang"), path="/v1/videos")
    task = asyncio.ensure_future(gate.videos.create("wan-t2v", PROMPT).result())
    await gateway.wait_requests(1)
    await clock.run_for(595)
    assert not task.done()
    await clock.run_for(10)
    with pytest.raises(TimedOut, match="600 s"):
        await soon(clock, task)


async def test_a_timeout_of_ones_own_is_kept(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    gateway.script(Raw(body=[], headers=JSON, end="hang"), path="/v1/videos")
    job = gate.videos.create("wan-t2v", PROMPT, timeout=Timeout(first_event=5, stall=5))
    with pytest.raises(TimedOut, match="5 s"):
        await soon(clock, job)


# --- what is sent -------------------------------------------------------------------------------


async def test_the_form_of_the_wan_models(gateway: FakeGateway, gate: TokenGate) -> None:
    """Their own server wants pixels and frames, where OpenAI's wants size and seconds."""
    await gate.videos.create("wan-t2v", PROMPT, size="832x480", seconds=2, seed=7).submit()
    (job,) = gateway.jobs.jobs.values()
    assert gateway.requests[0].headers["Content-Type"].startswith("multipart/form-data")
    assert job.fields == {
        "model": "wan-t2v",
        "prompt": PROMPT,
        "size": "832x480",
        "seconds": "2",
        "seed": "7",
        "width": "832",
        "height": "480",
        "num_frames": "33",
    }


async def test_new_apis_own_vocabulary(gateway: FakeGateway, gate: TokenGate) -> None:
    """What the unified path does not know goes to the vendor as ``metadata``."""
    job = gate.videos.create(
        "wan-t2v",
        PROMPT,
        dialect="unified",
        seconds="5",
        negative_prompt="雨",
        extra_body={"watermark": False},
    )
    await job.submit()
    assert gateway.requests[0].path == "/v1/video/generations"
    assert gateway.requests[0].json == {
        "model": "wan-t2v",
        "prompt": PROMPT,
        "seconds": "5",
        "duration": 5,
        "metadata": {"negative_prompt": "雨"},
        "watermark": False,
    }


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100):
        yield data[start : start + 100]


@pytest.mark.parametrize("kind", ["bytes", "path", "stream", "data"])
async def test_a_first_picture(
    gateway: FakeGateway, gate: TokenGate, kind: str, tmp_path: Path
) -> None:
    """A picture is sent as a file, byte for byte, whatever it is given as."""
    path = tmp_path / "猫.png"
    path.write_bytes(PICTURE)
    sources: dict[str, Any] = {
        "bytes": PICTURE,
        "path": path,
        "stream": pieces(PICTURE),
        "data": "data:image/png;base64,iVBORw0KGgo=",
    }
    await gate.videos.create("wan-i2v", PROMPT, image=sources[kind]).submit()
    (job,) = gateway.jobs.jobs.values()
    wanted = PICTURE if kind != "data" else b"\x89PNG\r\n\x1a\n"
    assert job.fields["input_reference"] == wanted
    if kind != "stream":
        assert b"Content-Type: image/png" in gateway.requests[0].body


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_picture_by_its_address(
    gateway: FakeGateway, gate: TokenGate, dialect: Any
) -> None:
    """An address can't be a file of a form, so it goes as JSON."""
    url = "https://example.com/cat.png"
    await gate.videos.create("wan-i2v", PROMPT, image=url, dialect=dialect).submit()
    field = {"sora": "input_reference", "unified": "image"}[dialect]
    assert gateway.requests[0].json[field] == url


async def test_a_picture_in_the_unified_form_is_base64(
    gateway: FakeGateway, gate: TokenGate, tmp_path: Path
) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    for image in (path, path.read_bytes()):
        await gate.videos.create("wan-i2v", PROMPT, image=image, dialect="unified").submit()
        assert gateway.requests[-1].json["image"] == "iVBORw0KGgo="


async def test_the_paths_are_settings(gateway: FakeGateway, clock: VirtualClock) -> None:
    """A gateway may have its videos elsewhere."""
    paths = {"videos": "../v1/videos", "video_generations": "../v1/video/generations"}
    key, url = gateway.api_key, gateway.base_url
    async with TokenGate(api_key=key, base_url=url, paths=paths, clock=clock) as gate:
        for dialect in ("sora", "unified"):
            await soon(clock, gate.videos.create("wan-t2v", PROMPT, dialect=dialect))
    assert {request.path.split("/")[2] for request in gateway.requests} == {"videos", "video"}


# --- errors -------------------------------------------------------------------------------------


async def test_a_refused_video(gateway: FakeGateway, gate: TokenGate) -> None:
    """An error of the submission is one of the usual ones, and is remembered."""
    job = gate.videos.create("wan-i2v", PROMPT)
    for _ in range(2):
        with pytest.raises(BadRequest, match="input_reference"):
            await job
    assert len(gateway.requests) == 1
    with pytest.raises(ModelNotFound):
        await gate.videos.create("wan-9", PROMPT)


async def test_an_answer_that_is_no_video(gateway: FakeGateway, gate: TokenGate) -> None:
    bodies = (b'{"object":"list"}', b"[]", b'{"data":[{"b64_json":"?"}]}', b"<html>")
    page = b'{"data":[{"b64_json":"<html>not found</html>"}]}'
    for body in (*bodies, page, b""):
        gateway.script(Raw(body=body, headers=JSON), path="/v1/videos")
        with pytest.raises(WireError, match="expected"):
            await gate.videos.create("wan-t2v", PROMPT)
    gateway.script(Raw(body=b"<html>", headers={"Content-Type": "video/mp4"}), path="/v1/videos")
    with pytest.raises(WireError, match="expected JSON or a file, got 6 bytes"):
        await gate.videos.create("wan-t2v", PROMPT)


@pytest.mark.parametrize(
    ("body", "kind", "error", "message"),
    [
        (b"<html>", "text/html", WireError, "of kind 'video', got an answer of type text/html"),
        (b'{"error":{"message":"not yet"}}', "application/json", ServerFailed, "not yet"),
        (b'{"ok":true}', "application/json", WireError, "got an answer of type application/json"),
    ],
)
async def test_what_is_saved_is_a_video(
    gateway: FakeGateway,
    gate: TokenGate,
    clock: VirtualClock,
    tmp_path: Path,
    body: bytes,
    kind: str,
    error: type[Exception],
    message: str,
) -> None:
    job = gate.videos.create("wan-t2v", PROMPT)
    await soon(clock, job)
    answer = Raw(body=body, headers={"Content-Type": kind})
    gateway.script(answer, path=f"/v1/videos/{job.task}/content")
    with pytest.raises(error, match=message):
        await job.save(tmp_path / "cat.mp4")
    assert names_in(tmp_path) == []


async def test_an_error_in_an_answer_of_200(gateway: FakeGateway, gate: TokenGate) -> None:
    body = b'{"code":"fail_to_fetch_task","message":"upstream said no","data":null}'
    gateway.script(Raw(body=body, headers=JSON), path="/v1/video/generations")
    with pytest.raises(ServerFailed, match="upstream said no"):
        await gate.videos.create("wan-t2v", PROMPT, dialect="unified")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"prompt": " "}, "prompt as a text, got an empty one"),
        ({"model": 3}, "model as a text, got int"),
        ({"seconds": "long"}, "seconds as a number"),
        ({"width": -1}, "width as a number"),
        ({"fps": True}, "fps as a number"),
        ({"dialect": "soda"}, "'sora' or 'unified', got 'soda'"),
        ({"image": "no such file.png"}, "path of a file"),
        ({"image": 3}, "bytes, a path or"),
        ({"image": pieces(b""), "dialect": "unified"}, "got a stream"),
        ({"deadline": 0}, "deadline in seconds above 0"),
        ({"colour": "red"}, "unknown parameter 'colour'"),
        ({"priority": "first"}, "priority"),
    ],
)
async def test_arguments_are_checked(
    gate: TokenGate, arguments: dict[str, Any], expected: str
) -> None:
    with pytest.raises(CallerError, match=expected):
        gate.videos.create(**{"model": "wan-t2v", "prompt": PROMPT, **arguments})


async def test_a_data_uri_that_is_none(gate: TokenGate) -> None:
    job = gate.videos.create("wan-i2v", PROMPT, image="data:image/png,plain")
    with pytest.raises(CallerError, match="data URI with base64"):
        await job


# --- calling off --------------------------------------------------------------------------------


async def test_a_video_is_called_off(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """Those who wait for it are told; a second time does nothing."""
    job = gate.videos.create("wan-t2v", PROMPT)
    await job.submit()
    waiting = asyncio.ensure_future(job.result())
    await clock.settle()
    await job.cancel()
    await job.cancel()
    with pytest.raises(JobFailed, match="cancelled"):
        await waiting
    assert [request.method for request in gateway.requests] == ["POST", "DELETE"]
    assert gateway.jobs.jobs[job.task].deleted


async def test_a_refusal_on_200_calls_nothing_off(gateway: FakeGateway, gate: TokenGate) -> None:
    job = await gate.videos.create("wan-t2v", PROMPT).submit()
    refused = b'{"error":{"message":"it is nearly done","code":409}}'
    gateway.script(Raw(body=refused, headers=JSON), path=f"/v1/videos/{job.task}")
    with pytest.raises(StatusError, match="it is nearly done"):
        await job.cancel()
    assert not job.ended


async def test_what_cannot_be_called_off(gateway: FakeGateway, gate: TokenGate) -> None:
    job = gate.videos.create("wan-t2v", PROMPT, dialect="unified")
    with pytest.raises(CallerError, match=r"job\.submit\(\) first"):
        await job.cancel()
    await job.submit()
    with pytest.raises(CallerError, match="video:unified can't"):
        await job.cancel()
    assert len(gateway.requests) == 1


# --- others -------------------------------------------------------------------------------------

# The package's videos are marked as deprecated, for OpenAI's own end; the form lives on elsewhere.
openais_videos = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


@openais_videos
async def test_openais_own_client(gateway: FakeGateway, tmp_path: Path) -> None:
    """The fake gateway's videos are OpenAI's."""
    async with openai.AsyncOpenAI(
        api_key=gateway.api_key, base_url=gateway.base_url, max_retries=0
    ) as client:
        videos: Any = client.videos
        made = await videos.create(model="wan-t2v", prompt=PROMPT, seconds="4")
        assert (made.status, made.progress) == ("queued", 0)
        with pytest.raises(openai.BadRequestError, match="not ready"):
            await videos.download_content(made.id)
        states = [(await videos.retrieve(made.id)).status for _ in range(3)]
        assert states == ["queued", "in_progress", "completed"]
        content = await videos.download_content(made.id)
        assert await content.aread() == VIDEO
        again = await videos.remix(made.id, prompt="再来一次")
        assert again.remixed_from_video_id == made.id
        assert (await videos.delete(made.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await videos.retrieve(made.id)


@openais_videos
async def test_openais_own_client_sends_a_picture(gateway: FakeGateway) -> None:
    async with openai.AsyncOpenAI(
        api_key=gateway.api_key, base_url=gateway.base_url, max_retries=0
    ) as client:
        videos: Any = client.videos
        await videos.create(
            model="wan-i2v", prompt=PROMPT, input_reference=("cat.png", PICTURE, "image/png")
        )
    (job,) = gateway.jobs.jobs.values()
    assert job.fields["input_reference"] == PICTURE
    assert job.fields["prompt"] == PROMPT


# --- large --------------------------------------------------------------------------------------

_SAVES = """
import asyncio, resource, sys
from aiotokengate import TokenGate

async def main(key, url, path):
    async with TokenGate(api_key=key, base_url=url) as gate:
        job = gate.job(sys.argv[4])
        await job
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        (path,) = await job.save(path)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(path.stat().st_size, (after - before) // 1024)

asyncio.run(main(*sys.argv[1:4]))
"""


async def test_a_large_video_is_saved_without_being_held(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    """The memory of the process that saves 256 MB grows by less than 64 MB."""
    size = 256 * 1024**2
    gateway.jobs.plan = JobPlan(polls=1, size=size)
    async with TokenGate(api_key=gateway.api_key, base_url=gateway.base_url) as gate:
        job = gate.videos.create("wan-t2v", PROMPT)
        await job.submit()
    path = tmp_path / "big.mp4"
    # A program of its own, so that only the client's memory is measured.
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _SAVES,
        gateway.api_key,
        gateway.base_url,
        str(path),
        job.id,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await child.communicate()
    path.unlink()
    saved, grown = map(int, output.split())
    assert saved == size
    assert grown < 64
