"""Jobs: videos and music, which a gateway makes while nobody waits.

``gate.videos``, ``gate.music`` and ``gate.job(id)`` give a :class:`Job`; await it, iterate over
its states, or save its files.
"""

from aiotokengate._resources.jobs import (
    FileKind,
    Job,
    JobFile,
    JobReport,
    JobResult,
    JobState,
    JobStatus,
    JobSystem,
)
from aiotokengate._resources.music import Music, MusicDialect, SongParams
from aiotokengate._resources.videos import VideoDialect, VideoParams, Videos
from aiotokengate._wire.jobs import Clip

__all__ = [
    "Clip",
    "FileKind",
    "Job",
    "JobFile",
    "JobReport",
    "JobResult",
    "JobState",
    "JobStatus",
    "JobSystem",
    "Music",
    "MusicDialect",
    "SongParams",
    "VideoDialect",
    "VideoParams",
    "Videos",
]
