"""Jobs: asked after together, come back to, left behind, saved; hours of them in no time."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from aiotokengate import (
    AuthenticationFailed,
    BadRequest,
    CallerError,
    Endpoint,
    JobFailed,
    Overloaded,
    ServerFailed,
    TimedOut,
    Timeout,
    TokenGate,
    WireError,
)
from aiotokengate._resources.jobs import (
    MOST_FAILURES,
    REQUESTS_AT_ONCE,
    Job,
    JobFile,
    JobReport,
    JobStatus,
    Pollers,
)
from aiotokengate._stream.download import Download
from aiotokengate.testing import FakeGateway, Gate, JobPlan, Raw, VirtualClock
from aiotokengate.testing._files import mp4
from tests.support.waiting import soon

PROMPT = "一只猫在弹钢琴 🎹"
JSON = {"Content-Type": "application/json"}
HOUR = 3_600


@pytest.fixture
def clock() -> VirtualClock:
    """Return a clock that the test moves."""
    return VirtualClock()


@pytest.fixture
async def gateway(clock: VirtualClock) -> AsyncIterator[FakeGateway]:
    """Yield a gateway on the same clock."""
    async with FakeGateway(now=clock.now) as gateway:
        yield gateway


@pytest.fixture
async def gate(gateway: FakeGateway, clock: VirtualClock) -> AsyncIterator[TokenGate]:
    """Yield a session on that clock."""
    async with opened(gateway, clock) as gate:
        yield gate


def opened(gateway: FakeGateway, clock: VirtualClock) -> TokenGate:
    return TokenGate(api_key=gateway.api_key, base_url=gateway.base_url, clock=clock)


def asked(gateway: FakeGateway) -> list[str]:
    """Return the paths that were asked for news."""
    paths = (request.path for request in gateway.requests if request.method == "GET")
    return [path for path in paths if not path.endswith("/content")]


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


# --- time ---------------------------------------------------------------------------------------


async def test_progress_brings_the_end_nearer(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """A video tells how far it is, so its end is met to the second or two."""
    gateway.jobs.plan = JobPlan(seconds=300)
    await soon(clock, gate.videos.create("wan-t2v", PROMPT))
    assert 300 <= clock.now() < 304
    assert len(asked(gateway)) < 45


async def test_a_short_job_is_asked_after_soon(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    gateway.jobs.plan = JobPlan(polls=1)
    await soon(clock, gate.videos.create("wan-t2v", PROMPT))
    assert clock.now() <= 1.5


async def test_a_deadline(gateway: FakeGateway, gate: TokenGate, clock: VirtualClock) -> None:
    """It ends the waiting and not the job, which can be come back to."""
    gateway.jobs.plan = JobPlan(seconds=700)
    job = gate.videos.create("wan-t2v", PROMPT, deadline=600)
    with pytest.raises(TimedOut, match="deadline of 600 s") as caught:
        await soon(clock, job)
    assert 600 <= clock.now() < 601
    assert f"gate.job({job.id!r})" in caught.value.__notes__[0]
    with pytest.raises(TimedOut):
        await job
    result = await soon(clock, gate.job(job.id, deadline=2 * HOUR))
    assert len(result.files) == 1


async def test_the_deadline_counts_for_the_submission(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    gateway.script(Raw(body=[], headers=JSON, end="hang"), path="/v1/videos")
    with pytest.raises(TimedOut, match="deadline of 20 s"):
        await soon(clock, gate.videos.create("wan-t2v", PROMPT, deadline=20))
    assert 20 <= clock.now() < 22


# --- many ---------------------------------------------------------------------------------------


async def test_a_hundred_songs_share_their_requests(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """Twenty in each request, so a hundred jobs of two minutes are no flood."""
    gateway.jobs.plan = JobPlan(seconds=120)
    jobs = [await gate.music.create(PROMPT).submit() for _ in range(100)]
    results = await soon(clock, asyncio.gather(*(job.result() for job in jobs)))
    assert all(len(result.clips) == 2 for result in results)
    assert len(asked(gateway)) < 100 * 120 / 12 / 4


async def test_one_that_is_unknown_does_not_spoil_it_for_the_others(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """Neither where the answer leaves it out, nor where the whole request is refused."""
    good = [await gate.music.create(PROMPT).submit() for _ in range(2)]
    bad = gate.job("music:cqtai:nothing")
    refusal = Raw(body='{"code":404,"msg":"任务不存在"}'.encode(), headers=JSON)
    gateway.script(refusal, path="/api/cqt/v2/sunoinfo")
    waiting = [asyncio.ensure_future(job.result()) for job in (*good, bad)]
    await soon(clock, asyncio.wait(waiting))
    assert all(task.result().clips for task in waiting[:2])
    assert isinstance(waiting[2].exception(), BadRequest)


async def test_a_gateway_in_trouble_is_not_asked_more(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """Jobs that share a request share its failures, too."""
    jobs = [await gate.music.create(PROMPT).submit() for _ in range(10)]
    down = Raw(503, b'{"error":{"message":"down for now"}}', JSON)
    path = "/api/cqt/v2/sunoinfo"
    gateway.script(*[down] * (2 * gate.retry.attempts), path=path)
    results = await soon(clock, asyncio.gather(*(job.result() for job in jobs)))
    assert all(result.clips for result in results)
    assert len(asked(gateway)) < 2 * gate.retry.attempts + 8


async def test_one_that_an_answer_leaves_out(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """It is asked after alone, until it is clear that nobody knows it."""
    nothing = Raw(body=b'{"code":200,"msg":"","data":[]}', headers=JSON)
    gateway.script(*[nothing] * MOST_FAILURES, path="/api/cqt/v2/sunoinfo")
    with pytest.raises(WireError, match="to tell of job 'gone'"):
        await soon(clock, gate.job("music:cqtai:gone"))
    assert len(gateway.requests) == MOST_FAILURES


async def test_so_many_requests_at_once(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """More jobs than that wait for their turn; none is forgotten."""
    turnstile = Gate()
    jobs = [await gate.videos.create("wan-t2v", PROMPT).submit() for _ in range(40)]
    before = len(gateway.requests)
    for job in jobs:
        raw = Raw(body=[turnstile, b'{"id":"x","status":"completed"}'], headers=JSON)
        gateway.script(raw, path=f"/v1/videos/{job.task}")
    waiting = [asyncio.ensure_future(job.result()) for job in jobs]
    await clock.run_for(2)
    await gateway.wait_requests(before + REQUESTS_AT_ONCE)
    await clock.run_for(20)
    assert len(gateway.requests) == before + REQUESTS_AT_ONCE
    turnstile.open()
    await soon(clock, asyncio.gather(*waiting))
    assert len(gateway.requests) == before + 40


async def test_many_wait_for_one(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """It is submitted once and asked after once, whoever comes when."""
    job = gate.videos.create("wan-t2v", PROMPT)
    first = asyncio.ensure_future(job.result())
    await clock.run_for(1.5)
    others = [asyncio.ensure_future(job.result()) for _ in range(5)]
    results = await soon(clock, asyncio.gather(first, *others))
    assert all(result is results[0] for result in results)
    assert [request.method for request in gateway.requests] == ["POST", "GET", "GET", "GET"]


# --- leaving ------------------------------------------------------------------------------------


async def test_nothing_is_left_when_nobody_waits(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """Neither a timer, a task nor a request, whichever way the last one left."""
    gateway.jobs.plan = JobPlan(seconds=HOUR)
    tasks = len(asyncio.all_tasks())
    job = gate.videos.create("wan-t2v", PROMPT)
    waiting = asyncio.ensure_future(job.result())
    await clock.run_for(30)
    waiting.cancel()
    await asyncio.wait([waiting])

    async def look_once() -> None:
        async for _ in job:
            break

    await soon(clock, look_once())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(job, 0)
    seen = len(gateway.requests)
    await clock.run_for(HOUR)
    assert (len(gateway.requests), clock.pending) == (seen, 0)
    assert len(asyncio.all_tasks()) <= tasks + 2  # those of the server's connections
    assert (await soon(clock, job)).files


async def test_the_last_to_leave_ends_the_request(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """One of two who wait leaves, and the request goes on; the other leaves, and it ends."""
    job = await gate.videos.create("wan-t2v", PROMPT).submit()
    hang = Raw(body=[], headers=JSON, end="hang")
    gateway.script(hang, path=f"/v1/videos/{job.task}")
    first, second = (asyncio.ensure_future(job.result()) for _ in range(2))
    await clock.run_for(2)
    request = await gateway.wait_requests(2)
    first.cancel()
    await clock.run_for(1)
    assert not request.disconnected
    second.cancel()
    await gateway.wait_disconnected(request)
    assert (await soon(clock, job)).files


async def test_a_cancelled_submission_is_made_by_who_waits(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    gateway.script(Raw(body=[], headers=JSON, end="hang"), path="/v1/videos")
    job = gate.videos.create("wan-t2v", PROMPT)
    first, second = (asyncio.ensure_future(job.result()) for _ in range(2))
    await gateway.wait_requests(1)
    first.cancel()
    assert (await soon(clock, second)).files


async def test_a_job_that_nobody_holds_is_gone(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """No list of the session keeps what was waited for."""
    job = await gate.videos.create("wan-t2v", PROMPT).submit()
    known = weakref.ref(job)
    await soon(clock, job)
    await clock.run_for(100)
    del job
    gc.collect()
    assert known() is None


async def test_closing_the_session_ends_the_waiting(
    gateway: FakeGateway, clock: VirtualClock
) -> None:
    gateway.jobs.plan = JobPlan(seconds=HOUR)
    gate = opened(gateway, clock)
    job = gate.videos.create("wan-t2v", PROMPT)
    waiting = asyncio.ensure_future(job.result())
    await clock.run_for(20)
    await gate.close()
    with pytest.raises(CallerError, match="closed"):
        await waiting
    with pytest.raises(CallerError, match="closed"):
        await soon(clock, job)
    await clock.run_for(HOUR)
    assert clock.pending == 0


# --- failures -----------------------------------------------------------------------------------


async def test_failures_that_pass_are_borne(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """A gateway that restarts, a proxy's page, half an answer: the job is asked after again."""
    job = await gate.videos.create("wan-t2v", PROMPT).submit()
    answers = (
        Raw(503, b'{"error":{"message":"overloaded"}}', JSON),
        Raw(200, b"<html>welcome</html>", {"Content-Type": "text/html"}),
        Raw(200, b'{"id":"x","stat', JSON),
        Raw(200, b'{"id"', {**JSON, "Content-Length": "100"}, "close"),
    )
    gateway.script(*answers, path=f"/v1/videos/{job.task}")
    assert (await soon(clock, job)).files


async def test_failures_that_do_not_pass_are_told(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """So many in a row; and then it can be waited for again."""
    job = await gate.videos.create("wan-t2v", PROMPT).submit()
    down = Raw(503, b'{"error":{"message":"down for now"}}', JSON)
    attempts = MOST_FAILURES * gate.retry.attempts
    gateway.script(*[down] * attempts, path=f"/v1/videos/{job.task}")
    with pytest.raises(Overloaded, match="down for now") as caught:
        await soon(clock, job)
    assert len(gateway.requests) == 1 + attempts
    assert job.id in caught.value.__notes__[0]
    assert (await soon(clock, job)).files


async def test_a_prompt_is_not_in_what_a_poll_says(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    job = await gate.videos.create("wan-t2v", PROMPT).submit()
    echo = f'{{"error":{{"message":"refused: {PROMPT}","code":400}}}}'.encode()
    gateway.script(Raw(body=echo, headers=JSON), path=f"/v1/videos/{job.task}")
    with pytest.raises(BadRequest, match="refused") as caught:
        await soon(clock, job)
    assert PROMPT not in str(caught.value)


async def test_neither_key_nor_prompt_is_in_the_status_of_a_failed_job(
    clock: VirtualClock,
) -> None:
    """A vendor's reason may quote both, in whatever form; a status is told, too."""
    key, image = "a-key-like-no-other-0123456789", "https://zebra.test/a.png"
    async with (
        FakeGateway(api_key=key) as gateway,
        TokenGate(api_key=key, base_url=gateway.base_url, clock=clock) as gate,
    ):
        job = await gate.videos.create("wan-t2v", PROMPT, image=image).submit()
        said = orjson.dumps(f"{PROMPT} {key} {image}").decode()
        body = orjson.dumps({"id": job.task, "status": "failed", "error": {"message": said}})
        gateway.script(Raw(body=body, headers=JSON), path=f"/v1/videos/{job.task}")
        with pytest.raises(JobFailed) as caught:
            await soon(clock, job)
    told = f"{caught.value!r} {job.status}"
    assert "[…]" in told
    assert not [mark for mark in (PROMPT, key, "zebra") if mark in told]


async def test_a_key_that_is_revoked_is_told_at_once(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    job = await gate.videos.create("wan-t2v", PROMPT).submit()
    gateway.revoke(gateway.api_key)
    with pytest.raises(AuthenticationFailed):
        await soon(clock, job)
    assert len(gateway.requests) == 2


class Broken:
    """A system with a mistake in it."""

    name = "video:broken"
    together = 1

    async def poll(self, tasks: Sequence[str]) -> dict[str, JobReport]:
        return {tasks[1]: JobReport("x", JobStatus("done"))}

    async def cancel(self, task: str) -> None:
        pytest.fail(f"nobody called {task} off")

    async def fetch(self, file: JobFile) -> Download:
        pytest.fail(f"nobody asked for {file}")


async def test_a_mistake_of_a_system_ends_the_waiting(clock: VirtualClock) -> None:
    """Whatever goes wrong, nobody waits for ever."""
    job = Job(Broken(), Pollers(clock), task="x")
    with pytest.raises(WireError, match="IndexError") as caught:
        await soon(clock, job)
    assert isinstance(caught.value.__cause__, IndexError)


async def test_an_unknown_word_is_waited_out(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    job = await gate.videos.create("wan-t2v", PROMPT).submit()
    body = orjson.dumps({"id": job.task, "status": "打磨中"})
    gateway.script(Raw(body=body, headers=JSON), path=f"/v1/videos/{job.task}")

    async def follow() -> list[tuple[str, str]]:
        return [(status.state, status.word) async for status in job]

    seen = await soon(clock, follow())
    assert ("unknown", "打磨中") in seen
    assert seen[-1] == ("done", "completed")


async def test_a_submission_that_may_have_begun_is_not_made_again(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """A proxy's time-out says nothing of the job behind it, which costs money."""
    gateway.script(Raw(504, b"<html>Gateway Time-out</html>"), path="/v1/videos")
    job = gate.videos.create("wan-t2v", PROMPT)
    with pytest.raises(ServerFailed) as caught:
        await soon(clock, job)
    assert len(gateway.requests) == 1
    assert "may have been begun" in caught.value.__notes__[0]


async def test_a_submission_that_was_not_let_in_is_made_again(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """A limit, and a full queue that says when to come back, are no beginning."""
    body = b'{"error":{"message":"The request queue is full."}}'
    full = Raw(503, body, {**JSON, "Retry-After": "2"})
    gateway.script(full, Raw(429, b"", JSON), path="/v1/videos")
    assert (await soon(clock, gate.videos.create("wan-t2v", PROMPT))).files


# --- coming back --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda gate: gate.videos.create("wan-t2v", PROMPT),
        lambda gate: gate.videos.create("wan-t2v", PROMPT, dialect="unified"),
        lambda gate: gate.music.create(PROMPT),
        lambda gate: gate.music.using("suno-api").create(PROMPT),
    ],
    ids=["sora", "unified", "cqtai", "suno-api"],
)
async def test_a_job_survives_its_session(
    gateway: FakeGateway,
    clock: VirtualClock,
    make: Callable[[TokenGate], Job],
    tmp_path: Path,
) -> None:
    """Its id is a text without a key, enough to go on in another process."""
    async with opened(gateway, clock) as gate:
        job = await make(gate).submit()
        name = job.id
    assert gateway.api_key not in name
    async with opened(gateway, clock) as gate:
        again = gate.job(orjson.loads(orjson.dumps(name)))
        assert again.id == name
        assert again.status is None
        await soon(clock, again)
        assert await again.save(f"{tmp_path}/")
    assert len([r for r in gateway.requests if r.method == "POST"]) == 1


@pytest.mark.parametrize(
    "name", ["", "video", "video:sora", "video:sora:", "chat:a:b", "video:soda:x", "music::x", 5]
)
async def test_what_is_no_id_of_a_job(gate: TokenGate, name: Any) -> None:
    with pytest.raises(CallerError, match="expected"):
        gate.job(name)


async def test_an_id_with_signs_of_its_own(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """A task's own id may hold anything; it stays one part of the path."""
    job = gate.job("video:sora:../b:c?d=#猫")
    assert job.task == "../b:c?d=#猫"
    with pytest.raises(BadRequest, match="Invalid URL"):
        await soon(clock, job)
    assert gateway.requests[0].path == "/v1/videos/../b:c?d=#猫"


async def test_a_job_says_what_it_is(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    job = gate.videos.create("wan-t2v", PROMPT)
    assert repr(job) == "<Job video:sora>"
    assert (job.status, job.task, job.ended) == (None, "", False)
    with pytest.raises(CallerError, match=r"await job\.submit\(\) first"):
        _ = job.id
    await job.submit()
    assert repr(job) == f"<Job video:sora:{job.task} queued 0%>"
    song = await gate.music.create(PROMPT).submit()
    assert repr(song) == f"<Job music:cqtai:{song.task} queued>"
    assert repr(gate._pollers.here()) == "<Poller 0 waiting, 0 requests>"
    await soon(clock, job)
    assert job.ended


async def test_tasks_take_a_job_and_its_result(gate: TokenGate, clock: VirtualClock) -> None:
    """Any number of them, each waits by itself."""

    async def both() -> None:
        jobs = [gate.videos.create("wan-t2v", PROMPT) for _ in range(2)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job.result()) for job in jobs]
            tasks += [group.create_task(job) for job in jobs for _ in range(2)]
            gone = group.create_task(jobs[0])
            await asyncio.sleep(0)
            gone.cancel()
        assert [len(task.result().files) for task in tasks] == [1] * 6
        assert gone.cancelled()
        assert len(await asyncio.gather(*jobs)) == 2

    await soon(clock, both())


def test_a_job_is_used_from_two_loops() -> None:
    """Each has its own poller; the job remembers what it was told."""
    clock = VirtualClock()
    with FakeGateway() as gateway:
        # The gateway runs in a thread, and real time means nothing to the clock.
        never = Timeout(connect=None, first_event=None, stall=None)
        key, url = gateway.api_key, gateway.base_url
        gate = TokenGate(api_key=key, base_url=url, clock=clock, timeout=never)
        job = gate.videos.create("wan-t2v", PROMPT)
        asyncio.run(soon(clock, job.submit()))
        assert len(asyncio.run(soon(clock, job)).files) == 1
        assert len(asyncio.run(soon(clock, gate.job(job.id))).files) == 1


# --- without a gateway --------------------------------------------------------------------------


class Told:
    """A system that tells of its jobs what a test scripts; then that all are done."""

    def __init__(self, *polls: dict[str, JobReport] | Exception, together: int = 1) -> None:
        self.name = "video:told"
        self.together = together
        self.asked: list[list[str]] = []
        self.cancelled: list[str] = []
        self._polls = [*polls]

    async def poll(self, tasks: Sequence[str]) -> dict[str, JobReport]:
        self.asked.append([*tasks])
        told = self._polls.pop(0) if self._polls else {task: report(task) for task in tasks}
        if isinstance(told, Exception):
            raise told
        return told

    async def cancel(self, task: str) -> None:
        self.cancelled.append(task)

    async def fetch(self, file: JobFile) -> Download:
        pytest.fail(f"nobody asked for {file}")


def report(task: str, state: Any = "done", progress: float | None = None) -> JobReport:
    return JobReport(task, JobStatus(state, progress))


@pytest.mark.parametrize("together", [1, 20])
async def test_a_job_of_three_hours(clock: VirtualClock, together: int) -> None:
    """It is asked after every 12 to 15 seconds, and is there soon after it is done."""

    class Slow(Told):
        async def poll(self, tasks: Sequence[str]) -> dict[str, JobReport]:
            self.asked.append([*tasks])
            return {"x": report("x", "done" if clock.now() >= 3 * HOUR else "running")}

    system = Slow(together=together)
    await soon(clock, Job(system, Pollers(clock), task="x"))
    assert 3 * HOUR <= clock.now() < 3 * HOUR + 20
    assert 3 * HOUR / 18 < len(system.asked) < 3 * HOUR / 11


async def test_an_unused_job_warns_unless_it_is_closed(clock: VirtualClock) -> None:
    """One that the gateway has already needs nobody."""

    async def submit(_: float | None) -> Any:
        pytest.fail("it was submitted")

    pollers = Pollers(clock)
    with pytest.warns(RuntimeWarning, match="Job 'video:told' was never awaited"):
        Job(Told(), pollers, submit=submit)
    Job(Told(), pollers, submit=submit).close()
    Job(Told(), pollers, task="x")
    gc.collect()


def test_closing_needs_no_loop() -> None:
    Job(Told(), Pollers(VirtualClock()), task="x").close()


async def test_a_task_that_is_closed_waits_no_longer(clock: VirtualClock) -> None:
    """As one is that was cancelled; another can wait for the same job."""
    job = Job(Told({"x": report("x", "queued")}), Pollers(clock), task="x")
    job.send(None)
    assert clock.pending == 1
    job.close()
    assert clock.pending == 0
    assert (await soon(clock, job)).files == ()


async def test_a_job_is_cancelled_at_the_gateway(clock: VirtualClock) -> None:
    """Who waits for it learns of it; later there is nothing left to cancel."""
    system = Told(*[{"x": report("x", "running")}] * 3)
    job = Job(system, Pollers(clock), task="x")
    waiting = asyncio.ensure_future(job.result())
    await clock.run_for(2)
    await job.cancel()
    with pytest.raises(JobFailed) as caught:
        await waiting
    error = caught.value
    assert error.message == "the job failed: it was cancelled"
    assert (error.code, error.job, error.word) == (None, "video:told:x", "cancelled")
    assert job.status == JobStatus("failed", None, "cancelled", "it was cancelled")
    await job.cancel()
    assert system.cancelled == ["x"]
    with pytest.raises(JobFailed):
        await job


async def test_a_job_that_was_not_submitted_is_not_cancelled(clock: VirtualClock) -> None:
    async def submit(_: float | None) -> Any:
        pytest.fail("it was submitted")

    job = Job(system := Told(), Pollers(clock), submit=submit)
    with pytest.raises(
        CallerError, match=r"a job that the gateway has: await job\.submit\(\) first"
    ):
        await job.cancel()
    assert system.cancelled == []


async def test_a_result_that_came_at_once_has_no_id(clock: VirtualClock) -> None:
    async def submit(left: float | None) -> Any:
        assert left == 60.0
        return Told(), JobReport("", JobStatus("done", 1.0))

    job = await Job(Told(), Pollers(clock), submit=submit, deadline=60.0).submit()
    assert (job.ended, job.task, repr(job)) == (True, "", "<Job video:told done 100%>")
    with pytest.raises(CallerError, match="a job that the gateway has: it came at once"):
        _ = job.id


async def test_the_statuses_of_a_job(clock: VirtualClock) -> None:
    """Each change once, also for one that comes late: it begins with what is known."""
    told = [report("x", "queued"), report("x", "running", 0.5), report("x", "running", 0.5)]
    job = Job(Told(*({"x": each} for each in told)), Pollers(clock), task="x")

    async def followed() -> list[JobStatus]:
        return [status async for status in job]

    queued, half, done = JobStatus("queued"), JobStatus("running", 0.5), JobStatus("done")
    assert await soon(clock, followed()) == [queued, half, done]
    assert await followed() == [done]


async def test_one_that_spoils_a_shared_request_is_asked_after_alone(clock: VirtualClock) -> None:
    """Also one that an answer leaves out; jobs of a kind are due together, at even seconds."""
    refused = BadRequest("no such task", status=404)
    system = Told(refused, together=20)
    pollers = Pollers(clock)
    jobs = [Job(system, pollers, task=task) for task in ("a", "b")]
    await soon(clock, asyncio.gather(*(job.result() for job in jobs)))
    assert [*map(sorted, system.asked)] == [["a", "b"], ["a"], ["b"]]
    assert clock.now() % 2 == 0
    system = Told({"a": report("a")}, together=20)
    jobs = [Job(system, pollers, task=task) for task in ("a", "b")]
    await soon(clock, asyncio.gather(*(job.result() for job in jobs)))
    assert [*map(sorted, system.asked)] == [["a", "b"], ["b"]]


async def test_a_request_holds_so_many(clock: VirtualClock) -> None:
    """What is left over goes in one of its own."""
    pollers, system = Pollers(clock), Told(together=2)
    jobs = [Job(system, pollers, task=str(number)) for number in range(5)]
    await soon(clock, asyncio.gather(*(job.result() for job in jobs)))
    assert [len(tasks) for tasks in system.asked] == [2, 2, 1]
    assert sorted(task for tasks in system.asked for task in tasks) == ["0", "1", "2", "3", "4"]


async def test_failures_in_a_row_are_counted_anew_after_each_answer(clock: VirtualClock) -> None:
    """One fewer than too many, then news; what a key may not do ends the waiting at once."""
    down = [ServerFailed("down", status=503) for _ in range(2 * MOST_FAILURES)]
    few = down[: MOST_FAILURES - 1]
    system = Told(*few, {"x": report("x", "running")}, *down[MOST_FAILURES:-1])
    assert (await soon(clock, Job(system, Pollers(clock), task="x"))).files == ()
    system = Told(*down[:MOST_FAILURES])
    with pytest.raises(ServerFailed) as caught:
        await soon(clock, Job(system, Pollers(clock), task="x"))
    assert len(system.asked) == MOST_FAILURES
    note = "the job goes on: come back to it with gate.job('video:told:x')"
    assert caught.value.__notes__ == [note]
    system = Told(AuthenticationFailed("no", status=401))
    with pytest.raises(AuthenticationFailed):
        await soon(clock, Job(system, Pollers(clock), task="x"))
    assert len(system.asked) == 1


# --- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["sora", "unified"])
async def test_a_download_that_is_cut_goes_on(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock, dialect: Any, tmp_path: Path
) -> None:
    """Where it was, byte for byte; twice cut, three requests."""
    gateway.jobs.plan = JobPlan(size=3_000_000)
    job = gate.videos.create("wan-t2v", PROMPT, dialect=dialect)
    await soon(clock, job)
    before = len(gateway.requests)
    gateway.jobs.cut(1_234_567)
    gateway.jobs.cut(1_000_001)
    path = tmp_path / "猫.mp4"
    await soon(clock, job.save(path))
    assert path.read_bytes() == mp4(3_000_000).whole()
    ranges = [request.headers.get("Range") for request in gateway.requests[before:]]
    assert ranges[0] is None
    assert len(ranges) == 3
    assert all(later is not None for later in ranges[1:])


async def test_a_file_that_can_not_be_fetched_leaves_nothing(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock, tmp_path: Path
) -> None:
    job = gate.videos.create("wan-t2v", PROMPT)
    await soon(clock, job)
    del gateway.jobs.jobs[job.task]
    with pytest.raises(BadRequest, match="Video not found"):
        await job.save(tmp_path / "cat.mp4")
    assert names_in(tmp_path) == []


async def test_where_files_are_saved(gate: TokenGate, clock: VirtualClock, tmp_path: Path) -> None:
    """In a directory, or by a template; one name is for one file."""
    job = gate.music.create(PROMPT)
    await soon(clock, job)
    directory = await job.save(tmp_path)
    names = ["audio-1.mp3", "video-1.mp4", "image-1.png", "audio-2.mp3"]
    assert [path.name for path in directory][:4] == names
    template = await job.save(f"{tmp_path}/{{kind}}/{{index}}{{suffix}}", kind="video")
    assert [path.relative_to(tmp_path).as_posix() for path in template] == [
        "video/1.mp4",
        "video/2.mp4",
    ]
    for wrong, kind in (("one.mp3", None), ("{kind}{suffix}", "audio")):
        with pytest.raises(CallerError, match="expected a directory, or a template"):
            await job.save(wrong, kind=kind)  # type: ignore[arg-type]
    for wrong in ("{name}", "{", "{index.x}", "{0}"):
        with pytest.raises(CallerError, match="expected a template with"):
            await job.save(wrong)
    with pytest.raises(CallerError, match="files of kind 'midi'"):
        await job.save(tmp_path, kind="midi")


async def test_bytes_that_can_not_be_written_leave_nothing(
    gateway: FakeGateway, gate: TokenGate, tmp_path: Path
) -> None:
    """What came at once is written like what is fetched: whole, or not at all."""
    gateway.jobs.plan = JobPlan(video="inline")
    job = gate.videos.create("wan-t2v", PROMPT)
    place = tmp_path / "taken.mp4"
    (place / "full").mkdir(parents=True)
    with pytest.raises(OSError, match="taken"):
        await job.save(f"{tmp_path}/taken{{suffix}}")
    assert names_in(tmp_path) == ["taken.mp4"]
    (saved,) = await job.save(place)
    assert saved.name == "video.mp4"


async def test_a_job_that_has_failed_is_not_saved(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    gateway.jobs.fail("模型崩溃")
    job = gate.videos.create("wan-t2v", PROMPT)
    for _ in range(2):
        with pytest.raises(JobFailed, match="模型崩溃"):
            await soon(clock, job.save("x.mp4"))
    assert job.ended


# --- several keys -------------------------------------------------------------------------------


@pytest.mark.parametrize("system", ["video", "music"])
async def test_a_job_stays_with_the_key_that_made_it(
    gateway: FakeGateway, clock: VirtualClock, system: str, tmp_path: Path
) -> None:
    """Another gateway, or another account, knows nothing of it; also after a restart."""
    async with FakeGateway(now=clock.now, api_key="sk-of-the-second-gateway") as second:
        endpoints = [
            Endpoint(api_key=gateway.api_key, base_url=gateway.base_url),
            Endpoint(api_key=second.api_key, base_url=second.base_url),
        ]
        async with TokenGate(endpoints=endpoints, clock=clock) as gate:
            jobs = [
                gate.videos.create("wan-t2v", PROMPT)
                if system == "video"
                else gate.music.create(PROMPT)
                for _ in range(4)
            ]
            await asyncio.gather(*(job.submit() for job in jobs))
            assert {len(each.jobs.jobs) for each in (gateway, second)} == {2}
            await soon(clock, asyncio.gather(*jobs))
        names = [job.id for job in jobs]
        assert not any("second" in name or "sk-" in name for name in names)
        async with TokenGate(endpoints=endpoints, clock=clock) as gate:
            for number, name in enumerate(names):
                again = gate.job(name)
                assert again.id == name
                await soon(clock, again)
                if system == "music":
                    assert [each.id for each in await gate.music.query(name)] == [again.task]
                assert await again.save(f"{tmp_path}/{number}-{{index}}{{suffix}}")
