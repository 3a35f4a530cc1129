"""The rate-limit-aware semaphore pool: its slots and statistics, and what a backend must do.

::

    from aiotokengate import Limits
    from aiotokengate.pool import Pool

    pool = Pool(Limits(requests_per_minute=300, tokens_per_minute=200_000))
"""

from aiotokengate._calls.many import Outcomes
from aiotokengate._policy.lanes import Stage, Ticket
from aiotokengate._policy.limits import Charge, Kind, Limits
from aiotokengate._policy.queue import Place, Priority
from aiotokengate._policy.reported import Mark
from aiotokengate._policy.statistics import (
    Because,
    LaneStatistics,
    PoolStatistics,
    Waiting,
)
from aiotokengate._pool.backend import LocalLane
from aiotokengate._pool.monitor import Monitor, read
from aiotokengate._pool.pool import Backend, BackendLane, LocalBackend, Pool
from aiotokengate._pool.slots import Slot
from aiotokengate._wire.headers import Remaining

__all__ = [
    "Backend",
    "BackendLane",
    "Because",
    "Charge",
    "Kind",
    "LaneStatistics",
    "Limits",
    "LocalBackend",
    "LocalLane",
    "Mark",
    "Monitor",
    "Outcomes",
    "Place",
    "Pool",
    "PoolStatistics",
    "Priority",
    "Remaining",
    "Slot",
    "Stage",
    "Ticket",
    "Waiting",
    "read",
]
