"""Looking at a pool through its socket, as another process does."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aiotokengate import CallerError, ConnectFailed, Limits, Pool, WireError
from aiotokengate._pool.monitor import Monitor, read

pytestmark = pytest.mark.outside

KEY = "sk-a-key-of-the-account-that-nobody-may-see"


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return a path for a socket; they have to be short."""
    return os.path.relpath(tmp_path / "pool.sock")


@pytest.fixture
async def pool(path: str) -> AsyncIterator[Pool]:
    """Yield a pool that can be looked at, with a call in flight."""
    limits = {"qwen*": Limits(requests_per_minute=60, concurrency=5)}
    pool = Pool(limits, monitor=path)
    async with pool.slot("qwen3.6-plus", key=KEY):
        yield pool
    pool.close()
    await asyncio.sleep(0)


async def test_what_a_pool_tells(pool: Pool, path: str) -> None:
    """The same as in its own process, as often as one asks; the key stays masked."""
    for _ in range(3):
        (lane,) = await read(path)
        assert (lane.pattern, lane.in_flight, lane.concurrency) == ("qwen*", 1, 5)
        assert lane.key == pool.statistics().lanes[0].key
        assert KEY not in repr(lane)
    assert os.stat(path).st_mode & 0o777 == 0o600  # noqa: PTH116 - a path as it was given


async def test_many_look_at_once(pool: Pool, path: str) -> None:
    """Each gets its answers, and none waits for one that does not read."""
    _, silent = await asyncio.open_unix_connection(path)
    silent.write(b"\n" * 1_000)
    seen = await asyncio.gather(*[read(path) for _ in range(20)])
    assert {lanes[0].in_flight for lanes in seen} == {pool.statistics().in_flight}
    silent.close()


async def test_a_path_that_is_taken(pool: Pool, path: str) -> None:
    """A second pool says who is in the way, and the first goes on."""
    other = Pool(monitor=path)
    for _ in range(2):
        with pytest.raises(CallerError, match="another process listens on"):
            other.slot("qwen3.6-plus")
    assert await read(path)
    assert pool.statistics().in_flight == 1


async def test_a_socket_that_was_left_behind(path: str) -> None:
    """A dead process's socket is taken over; closing takes ours away."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    pool = Pool(monitor=path)
    async with pool.slot("qwen3.6-plus"):
        assert (await read(path))[0].in_flight == 1
    pool.close()
    with pytest.raises(ConnectFailed, match="no pool answers at"):
        while True:
            await read(path)


def test_one_that_is_closed_at_once(path: str) -> None:
    """Before its task had a turn: no socket is left open, and none in the way."""

    async def open_and_close() -> None:
        monitor = Monitor(path, list)
        monitor.open()
        monitor.close()

    asyncio.run(open_and_close())
    assert not os.path.lexists(path)


def test_a_system_without_unix_sockets(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said where the pool is made, and not at the first call."""
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(CallerError, match="this system has no Unix sockets"):
        Monitor(path, list)


def open_pool(path: str | Path) -> None:
    """Have a pool listen."""

    async def use() -> None:
        Pool(monitor=path).slot("qwen3.6-plus")

    asyncio.run(use())


def occupy(path: Path, kind: str) -> None:
    """Put something in the way."""
    other = path.with_name("other")
    if kind == "a file":
        path.write_text("用户的数据 📄")
    elif kind == "a directory":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    else:
        other.write_text("用户的数据 📄")
        path.symlink_to(other)


@pytest.mark.parametrize("kind", ["a file", "a directory", "a pipe", "a symbolic link"])
async def test_what_is_no_socket_stays(tmp_path: Path, kind: str) -> None:
    """It is named, and as it was."""
    path = tmp_path / "precious"
    occupy(path, kind)
    before = path.lstat()
    pool = Pool(monitor=path)
    for _ in range(2):
        with pytest.raises(CallerError, match=f"{kind} is at {path}"):
            pool.slot("qwen3.6-plus")
    pool.close()
    await asyncio.sleep(0)
    assert path.lstat() == before
    if kind in ("a file", "a symbolic link"):
        assert text_at(str(path)) == "用户的数据 📄"


def test_a_link_to_a_socket_stays(path: str) -> None:
    """Where it leads nobody listens, and it is somebody's link all the same."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    link = Path(path).with_name("link")
    link.symlink_to(Path(path).name)
    with pytest.raises(CallerError, match="a symbolic link is at"):
        open_pool(link)
    assert link.is_symlink()


def test_a_socket_of_another_kind_is_in_use(path: str) -> None:
    """Who listens there speaks otherwise, but lives."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(path)
        with pytest.raises(CallerError, match="another process listens on"):
            open_pool(path)
        assert Path(path).is_socket()


async def test_a_socket_whose_queue_is_full_is_in_use(path: str) -> None:
    """Asking it neither waits nor takes it for dead."""
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(path)
        busy.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for one in waiting:
            one.settimeout(0)
            one.connect_ex(path)
        with pytest.raises(CallerError, match="another process listens on"):
            Pool(monitor=path).slot("qwen3.6-plus")
        for one in waiting:
            one.close()


async def test_what_came_in_place_of_ours_stays(pool: Pool, path: str) -> None:
    """Closing takes our socket away, and nothing that somebody put there since."""
    os.unlink(path)  # noqa: PTH108 - a path as it was given
    occupy(Path(path), "a file")
    pool.close()
    for _ in range(5):
        await asyncio.sleep(0)
    assert text_at(path) == "用户的数据 📄"


def text_at(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


async def test_a_folder_that_is_not_there() -> None:
    """It is said with the path."""
    pool = Pool(monitor="/no/such/folder/pool.sock")
    with pytest.raises(CallerError, match="expected a path where a Unix socket can be made"):
        pool.slot("qwen3.6-plus")


@pytest.mark.parametrize(
    "line", [b"hello\n", b'{"version":9,"lanes":[]}\n', b'{"version":1}\n', b""]
)
async def test_somebody_else_listens(path: str, line: bytes) -> None:
    """What is no pool is not taken for one."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(line)
        writer.close()

    async with await asyncio.start_unix_server(answer, path):
        with pytest.raises(WireError, match="expected"):
            await read(path)
