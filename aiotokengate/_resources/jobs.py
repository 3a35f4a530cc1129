"""Slow tasks of the gateway, videos and music: awaited, followed, resumed, saved.

Strategy.  A :class:`Job` is what users hold: its last status, and the futures of those who wait
for the next.  It polls nothing by itself.  While somebody waits, it is in the :class:`Poller` of
the running loop, one for each session, which keeps all waiting jobs in a heap by the time when
they are due, one timer for the first of them, and a task for each request on its way; jobs of one
system that are due together share a request where the gateway can answer for several.  Whoever
leaves takes the job out again, and the last to leave a request cancels it: when nobody waits there
is no timer, no task and no request.  Time comes from the session's clock.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import wraps
from heapq import heappop, heappush
from inspect import CORO_CLOSED, getcoroutinestate
from itertools import count
from math import ceil, inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, TypeVar, cast

import attrs

from aiotokengate._base.copying import Shared
from aiotokengate._base.sealing import sealed
from aiotokengate._base.single_use import CoroutineObject
from aiotokengate._base.unused import WarnsUnused
from aiotokengate._policy.polling import PollPlan
from aiotokengate._resources.files import write_file
from aiotokengate._wire.jobs import FileKind, JobFile, JobReport, JobResult, JobState, JobStatus
from aiotokengate.errors import (
    BadRequest,
    CallerError,
    JobFailed,
    ModelNotFound,
    StatusError,
    TimedOut,
    TokenGateError,
    TransportError,
    WireError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator

    from aiotokengate._stream.download import Download
    from aiotokengate.clock import Clock, Timer

__all__ = [
    "FileKind",
    "Job",
    "JobFile",
    "JobReport",
    "JobResult",
    "JobState",
    "JobStatus",
    "JobSystem",
    "Pollers",
    "Submit",
]

MOST_FAILURES = 5
"""How many polls may fail in a row before those who wait get the error."""

REQUESTS_AT_ONCE = 16
"""How many polls a session sends at a time; further jobs wait for their turn."""

GRID = 2.0
"""Seconds: jobs that can share a request are due at whole multiples, so that they meet."""

_Error = TypeVar("_Error", bound=TokenGateError)
_Method = TypeVar("_Method", bound="Callable[..., Coroutine[Any, Any, Any]]")

Submit: TypeAlias = "Callable[[float | None], Awaitable[tuple[JobSystem, JobReport]]]"
"""Sends a job, within so many seconds or without limit; returns its system and first report."""


class JobSystem(Protocol):
    """What the jobs of one system have in common: how they are polled.

    Attributes:
        name: the beginning of their ids: the system, a colon, the dialect, and where the session
            has several keys the digest of one.
        together: how many jobs one request can poll.
    """

    @property
    def name(self) -> str: ...

    @property
    def together(self) -> int: ...

    async def poll(self, tasks: Sequence[str]) -> Mapping[str, JobReport]:
        """Poll jobs, by the gateway's own ids."""

    async def cancel(self, task: str) -> None:
        """Cancel a job.

        Raises:
            CallerError: there is no way to.
        """

    async def fetch(self, file: JobFile) -> Download:
        """Start to fetch a file."""


def _uses(method: _Method) -> _Method:
    """Have a job be used once a method is called.

    And not from its first step on, which may be cancelled before it is made.
    """

    @wraps(method)
    def call(job: Job, *args: object, **kwargs: object) -> Coroutine[Any, Any, Any]:
        job.hand_over()
        return method(job, *args, **kwargs)

    return cast("_Method", call)


class Job(WarnsUnused, Shared, CoroutineObject[JobResult]):
    """A video or a song in the making; nothing is sent until it is awaited or iterated.

    ::

        job = gate.videos.create("wan-t2v", "一只猫在弹钢琴 🎹", seconds=4)
        async for status in job:                  # each change, until it is done
            print(status.state, status.progress)
        await job.save("cat.mp4")

        result = await gate.music.create("一首关于春天的歌")   # or only the result
        print(result.clips[0].title)

    Awaited or iterated any number of times, by any number of tasks; ``create_task`` and the like
    take it, or its :meth:`result`.  One that is dropped before anything was done with it warns, as
    a coroutine does.
    """

    __slots__ = ("__weakref__", "_runs", "_tracked")

    _instead = "a Job belongs to its session; its id can be, gate.job(job.id) comes back to it"

    def __init__(
        self,
        system: JobSystem,
        pollers: Pollers,
        *,
        task: str = "",
        submit: Submit | None = None,
        deadline: float | None = None,
        secrets: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """Describe a job: one to be submitted, or one that the gateway has already.

        Args:
            system: it belongs to.
            pollers: of the session.
            task: the gateway's id of it, if it has one.
            submit: sends it.
            deadline: seconds for everything together, from the first use on.
            secrets: returns the texts to be blanked in an error, or a status, that echoes them.
        """
        super().__init__()
        seconds = inf if deadline is None else deadline
        self._tracked = _Tracked(system, pollers, secrets, task, submit, seconds)
        self._unused = submit is not None
        self._runs: dict[asyncio.Task[Any] | None, Coroutine[Any, Any, JobResult]] = {}

    def _label(self) -> str:
        return f"Job {self._tracked.name!r}"

    def __repr__(self) -> str:
        """Name the job, its state and its progress."""
        status = self.status
        if status is None:
            return f"<Job {self._tracked.name}>"
        share = "" if status.progress is None else f" {status.progress:.0%}"
        return f"<Job {self._tracked.name} {status.state}{share}>"

    # --- what is known --------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """What ``gate.job(id)`` takes, also in another process and another year; holds no key.

        Raises:
            CallerError: it was not submitted yet, or was answered at once.
        """
        if not self.task:
            reason = "await job.submit() first" if self.status is None else "it came at once"
            message = f"expected a job that the gateway has: {reason}"
            raise CallerError(message)
        return self._tracked.name

    @property
    def task(self) -> str:
        """The gateway's own id of it, "" if it has none."""
        return self._tracked.task

    @property
    def status(self) -> JobStatus | None:
        """Its last known status, None before the first."""
        return self._tracked.status

    @property
    def so_far(self) -> JobResult:
        """What there is of the result already; songs can be heard while they are made."""
        report = self._tracked.report
        return report.result if report else JobResult()

    @property
    def ended(self) -> bool:
        """Whether it is done, or failed for good."""
        return self._tracked.ended

    # --- three ways to follow it ----------------------------------------------------------------

    def __await__(self) -> Generator[Any, Any, JobResult]:
        """Wait for the result."""
        return self.result().__await__()

    # A coroutine object, as asyncio wraps what can only be awaited, and nobody learns that the
    # wrapper was cancelled before its first step.  Each task that runs the job waits by itself.

    def _running(self) -> Coroutine[Any, Any, JobResult]:
        task = _current_task()
        run = self._runs.get(task)
        if run is None or getcoroutinestate(run) == CORO_CLOSED:
            run = self._runs[task] = self.result()
            if task is not None:
                task.add_done_callback(lambda done: self._runs.pop(done, None))
        return run

    def close(self) -> None:
        """Stop waiting, as a task does; an unused job is not sent, and does not warn."""
        self._unused = False
        run = self._runs.get(_current_task())
        if run is not None:
            run.close()

    def __aiter__(self) -> AsyncIterator[JobStatus]:
        """Iterate over the changes of its status, the last one being "done"."""
        self._unused = False
        return _Statuses(self._tracked)

    @_uses
    async def result(self) -> JobResult:
        """Submit the job if that was not done, and return its result once it is there.

        Raises:
            JobFailed: it failed.
            TimedOut: the deadline passed; the job goes on at the gateway.
            TokenGateError: it could not be submitted, or polled.
        """
        tracked = self._tracked
        await tracked.submitted()
        while not tracked.ended:
            await tracked.news()
        tracked.raise_failure()
        return self.so_far

    @_uses
    async def submit(self) -> Self:
        """Submit the job, if that was not done; then it has an ``id`` to come back with.

        Raises:
            TokenGateError: the gateway did not take it.
        """
        await self._tracked.submitted()
        return self

    @_uses
    async def cancel(self) -> None:
        """Cancel the job at the gateway; harmless when it has ended.

        Raises:
            CallerError: it has no id yet, or its system has no way to.
            TokenGateError: the gateway refused.
        """
        if self.ended:
            return
        _ = self.id
        await self._tracked.system.cancel(self.task)
        self._tracked.heard(JobReport(self.task, _CANCELLED))

    @sealed
    @_uses
    async def save(
        self, path: str | os.PathLike[str], *, kind: FileKind | None = None
    ) -> tuple[Path, ...]:
        """Wait for the result, and write its files; each appears when it is whole, never before.

        A download that is cut goes on where it was.

        Args:
            path: of the file; or a directory, which ends in a slash or exists; or a template for
                several, with ``{index}`` (from 1 up), ``{kind}`` and ``{suffix}`` (".mp4").
            kind: only the files of this kind.

        Raises:
            CallerError: there is no such file, or several and one name for them.
            TokenGateError: as :meth:`result`, or a file could not be fetched.
            OSError: a file can't be written.
        """
        result = await self.result()
        files = [file for file in result.files if kind in (None, file.kind)]
        if not files:
            message = f"expected a result with files of kind {kind or 'any'!r}, it has none"
            raise CallerError(message)
        places = await asyncio.to_thread(_places, path, files)
        for place, file in zip(places, files, strict=True):
            await self._save_one(place, file)
        return tuple(places)

    async def _save_one(self, place: Path, file: JobFile) -> None:
        if not file.url:
            await asyncio.to_thread(write_file, place, file.data)
            return
        async with await self._tracked.system.fetch(file) as download:
            await download.save(place)


_CANCELLED = JobStatus("failed", None, "cancelled", "it was cancelled")


def _current_task() -> asyncio.Task[Any] | None:
    """Return the running task, None also where no loop runs."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


@attrs.define(eq=False, repr=False)
class _Tracked:
    """The state of a job: who waits for it, and when it is polled next.

    Attributes:
        system: it belongs to; ``task``: the gateway's id of it.
        submit: sends it; None once that was done.
        report: the last one.
        changes: of its status, counted.
        due: when it is polled next, by the session's clock.
        alone: whether its id may spoil a request that it shares.
    """

    system: JobSystem
    _pollers: Pollers
    _secrets: Callable[[], Iterable[str]]
    task: str = ""
    submit: Submit | None = None
    _deadline: float = inf
    report: JobReport | None = None
    changes: int = 0
    due: float = 0.0
    alone: bool = False
    _plan: PollPlan = attrs.field(factory=PollPlan)
    _failures: int = 0
    _failed: TokenGateError | None = None
    _began: float | None = None
    _parked: set[asyncio.Future[None]] = attrs.field(factory=set)
    _submitting: asyncio.Lock = attrs.field(factory=asyncio.Lock)

    @property
    def name(self) -> str:
        """Its id, or that of its system."""
        return f"{self.system.name}:{self.task}" if self.task else self.system.name

    @property
    def status(self) -> JobStatus | None:
        return self.report.status if self.report else None

    @property
    def ended(self) -> bool:
        done = self.report is not None and self.report.status.state == "done"
        return done or self._failed is not None

    def raise_failure(self) -> None:
        """Raise what it failed of, if it did."""
        if self._failed is not None:
            raise self._failed.with_traceback(None)

    # --- waiting --------------------------------------------------------------------------------

    async def submitted(self) -> None:
        """Send it, or wait until somebody else has."""
        if self._began is None:
            self._began = self._pollers.clock.now()
        if self.submit is not None:
            async with self._submitting:
                if self.submit is not None and self._failed is None:
                    await self._send(self.submit)
        if self.report is None:
            self.raise_failure()

    async def _send(self, submit: Submit) -> None:
        try:
            left = self._left()
            self.system, report = await submit(None if left == inf else left)
        except TokenGateError as error:
            self._failed = error
            return
        self.submit = None
        self.task = report.id
        self.heard(report)

    async def changed(self, seen: int) -> int:
        """Wait until there were more changes than ``seen``, or it has ended."""
        await self.submitted()
        while self.changes == seen and not self.ended:
            await self.news()
        return self.changes

    async def news(self) -> None:
        """Wait for the next report."""
        left = self._left()
        if left <= 0:
            raise self._too_late()
        try:
            self._pollers.check_open()
        except TokenGateError as error:
            raise self.goes_on(error) from None
        parked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        poller = self._pollers.here()
        timer = None if left == inf else self._timer(left, parked)
        self._parked.add(parked)
        poller.join(self)
        try:
            await parked
        finally:
            self._parked.discard(parked)
            poller.leave(self)
            if timer is not None:
                timer.cancel()

    def _left(self) -> float:
        if self._began is None:
            return self._deadline
        return self._began + self._deadline - self._pollers.clock.now()

    def _timer(self, left: float, parked: asyncio.Future[None]) -> Timer:
        def ring() -> None:
            if not parked.done():
                parked.set_exception(self._too_late())

        return self._pollers.clock.call_later(left, ring)

    def _too_late(self) -> TimedOut:
        return self.goes_on(TimedOut("deadline", self._deadline))

    def goes_on(self, error: _Error) -> _Error:
        """Add to an error how to come back to the job."""
        if self.task:
            error.add_note(f"the job goes on: come back to it with gate.job({self.name!r})")
        return error

    # --- for the poller -------------------------------------------------------------------------

    def heard(self, report: JobReport) -> None:
        """Take a report, and wake those who wait."""
        report = self._without_echoes(report)
        before, self.report = self.status, report
        self._failures = 0
        self.changes += report.status != before
        if report.status.state == "failed" and self._failed is None:
            self._failed = self._failure(report.status)
        self.plan()
        for parked in self._parked:
            if not parked.done():
                parked.set_result(None)

    def _without_echoes(self, report: JobReport) -> JobReport:
        """Blank what a status echoes of the prompt, or of a key."""
        status = report.status
        if not status.message and not status.code:
            return report
        from aiotokengate._base.redaction import blanked

        message, code = blanked([status.message, status.code or ""], self._secrets())
        clean = attrs.evolve(status, message=message, code=code or status.code)
        return attrs.evolve(report, status=clean)

    def missed(self, error: TokenGateError) -> None:
        """Take the error of a poll; a few in a row are tolerated."""
        self._failures += 1
        error.redact(self._secrets())
        self.plan()
        if self._failures < MOST_FAILURES and _may_pass(error):
            return
        self._failures = 0
        self.break_off(self.goes_on(error))

    def break_off(self, error: TokenGateError) -> None:
        """Raise an error in those who wait."""
        for parked in self._parked:
            if not parked.done():
                parked.set_exception(error)

    def plan(self) -> None:
        """Set when it is polled next."""
        now = self._pollers.clock.now()
        progress = self.status.progress if self.status else None
        self.due = now + self._plan.next_wait(now, progress, random.random)
        if self.system.together > 1:
            self.due = ceil(self.due / GRID) * GRID

    def _failure(self, status: JobStatus) -> JobFailed:
        reason = status.message or "no reason was given"
        name = self.name if self.task else ""
        said = f"the job failed: {reason}"
        return JobFailed(said, code=status.code, job=name, word=status.word)


class _Statuses(AsyncIterator[JobStatus]):
    """Follows a job, change by change."""

    __slots__ = ("_seen", "_tracked")

    def __init__(self, tracked: _Tracked) -> None:
        self._tracked = tracked
        self._seen = 0

    async def __anext__(self) -> JobStatus:
        changes = await self._tracked.changed(self._seen)
        self._tracked.raise_failure()
        status = self._tracked.status
        if changes == self._seen or status is None:
            raise StopAsyncIteration
        self._seen = changes
        return status


def _may_pass(error: TokenGateError) -> bool:
    """Return whether the next request may succeed."""
    if isinstance(error, StatusError):
        return error.retryable
    return isinstance(error, TransportError | WireError)


# --- polling all jobs ---------------------------------------------------------------------------


class Pollers:
    """The pollers of a session, one for each running loop.

    Attributes:
        clock: the session's.
    """

    def __init__(self, clock: Clock) -> None:
        """Begin without any."""
        self.clock = clock
        self._pollers: dict[asyncio.AbstractEventLoop, Poller] = {}
        self._ended: Callable[[], TokenGateError] | None = None

    def check_open(self) -> None:
        """Refuse to go on after :meth:`close`."""
        if self._ended is not None:
            raise self._ended()

    def here(self) -> Poller:
        """Return the poller of the running loop."""
        loop = asyncio.get_running_loop()
        poller = self._pollers.get(loop)
        if poller is None:
            for dead in [known for known in self._pollers if known.is_closed()]:
                del self._pollers[dead]
            poller = self._pollers[loop] = Poller(self.clock)
        return poller

    def close(self, ended: Callable[[], TokenGateError]) -> None:
        """End the waiting on the running loop with an error, and whatever waits later."""
        self._ended = ended
        poller = self._pollers.pop(asyncio.get_running_loop(), None)
        if poller is not None:
            poller.close(ended)


class Poller:
    """Polls all jobs that somebody waits for, in one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[_Tracked, int] = {}
        self._heap: list[tuple[float, int, _Tracked]] = []
        self._numbers = count()
        self._polled: dict[_Tracked, asyncio.Task[Mapping[str, JobReport]]] = {}
        self._polls: dict[asyncio.Task[Mapping[str, JobReport]], tuple[_Tracked, ...]] = {}
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<Poller {len(self._waiting)} waiting, {len(self._polls)} requests>"

    def join(self, job: _Tracked) -> None:
        """Poll a job from now on, for one more who waits."""
        waiters = self._waiting.get(job, 0)
        self._waiting[job] = waiters + 1
        if not waiters and job not in self._polled:
            self._push(job)
            self._arrange()

    def leave(self, job: _Tracked) -> None:
        """Stop polling a job once all have left."""
        self._waiting[job] -= 1
        if self._waiting[job]:
            return
        del self._waiting[job]
        task = self._polled.get(job)
        if task is not None and not any(other in self._waiting for other in self._polls[task]):
            task.cancel()
        if not self._waiting:
            self._heap.clear()
            self._arrange()

    def close(self, ended: Callable[[], TokenGateError]) -> None:
        """End all waiting with an error."""
        for job in list(self._waiting):
            job.break_off(job.goes_on(ended()))

    def _push(self, job: _Tracked) -> None:
        heappush(self._heap, (job.due, next(self._numbers), job))

    def _is_stale(self, due: float, job: _Tracked) -> bool:
        return job not in self._waiting or job in self._polled or due != job.due

    def _arrange(self) -> None:
        """Set the timer to the moment when the first job is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._heap and self._is_stale(self._heap[0][0], self._heap[0][2]):
            heappop(self._heap)
        if self._heap and len(self._polls) < REQUESTS_AT_ONCE:
            wait = max(0.0, self._heap[0][0] - self._clock.now())
            self._timer = self._clock.call_later(wait, self._fire)

    def _fire(self) -> None:
        """Poll the jobs that are due, as many at once as may be."""
        now = self._clock.now()
        groups: dict[str, list[_Tracked]] = {}
        while self._heap and self._heap[0][0] <= now and len(self._polls) < REQUESTS_AT_ONCE:
            due, _, job = heappop(self._heap)
            if not self._is_stale(due, job):
                self._gather(groups, job)
        for jobs in groups.values():
            self._poll(tuple(jobs))
        self._arrange()

    def _gather(self, groups: dict[str, list[_Tracked]], job: _Tracked) -> None:
        """Put a job with others of its system, and poll them when one request holds no more."""
        if job.alone or job.system.together == 1:
            self._poll((job,))
            return
        group = groups.setdefault(job.system.name, [])
        if job in group:
            return
        group.append(job)
        if len(group) >= job.system.together:
            self._poll(tuple(group))
            group.clear()

    def _poll(self, jobs: tuple[_Tracked, ...]) -> None:
        if not jobs:
            return
        coroutine = jobs[0].system.poll([job.task for job in jobs])
        task = asyncio.ensure_future(coroutine)
        self._polls[task] = jobs
        self._polled.update(dict.fromkeys(jobs, task))
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[Mapping[str, JobReport]]) -> None:
        jobs = self._polls.pop(task)
        for job in jobs:
            del self._polled[job]
        if not task.cancelled():
            _report(jobs, task)
        for job in jobs:
            if job in self._waiting:
                self._push(job)
        self._arrange()


_SPOILT = (BadRequest, ModelNotFound)


def _report(jobs: tuple[_Tracked, ...], task: asyncio.Task[Mapping[str, JobReport]]) -> None:
    error = task.exception()
    reports = {} if error is not None else task.result()
    for job in jobs:
        report = reports.get(job.task)
        if report is not None:
            job.heard(report)
        elif len(jobs) > 1 and (error is None or isinstance(error, _SPOILT)):
            # One id that the gateway does not know may spoil the request for the others.
            job.alone = True
            job.plan()
        else:
            _fail(job, error)


def _fail(job: _Tracked, error: BaseException | None) -> None:
    if error is None:
        message = f"expected the gateway to tell of job {job.task!r}, it did not"
        error = WireError(message)
    if isinstance(error, TokenGateError):
        job.missed(error)
    else:
        wrapped = WireError(f"the job could not be asked after: {type(error).__name__}")
        wrapped.__cause__ = error
        job.break_off(wrapped)


# --- files --------------------------------------------------------------------------------------


def _places(path: str | os.PathLike[str], files: Sequence[JobFile]) -> list[Path]:
    """Return the path of each file, with the directories made."""
    text = os.fspath(path)
    if "{" in text:
        places = [_filled(text, file, index) for index, file in enumerate(files, 1)]
    elif text.endswith(("/", os.sep)) or Path(text).is_dir():
        places = [Path(text) / _own_name(files, index) for index in range(len(files))]
    else:
        places = [Path(text)] * len(files)
    if len(set(places)) < len(places):
        message = (
            f"expected a directory, or a template with {{index}}, for {len(files)} files,"
            f" got {text!r}; kind= picks some of them"
        )
        raise CallerError(message)
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
    return places


def _filled(template: str, file: JobFile, index: int) -> Path:
    try:
        return Path(template.format(index=index, kind=file.kind, suffix=file.suffix))
    except (LookupError, ValueError, AttributeError) as error:
        message = (
            "expected a template with {index}, {kind} and {suffix},"
            f" got {template!r}: {type(error).__name__} {error}"
        )
        raise CallerError(message) from None


def _own_name(files: Sequence[JobFile], index: int) -> str:
    """Name a file by its kind, and by its number where there are several of that."""
    file = files[index]
    kinds = [other.kind for other in files]
    several = kinds.count(file.kind) > 1
    number = f"-{kinds[: index + 1].count(file.kind)}" if several else ""
    return f"{file.kind}{number}{file.suffix}"
