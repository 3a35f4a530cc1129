"""The package works where there are no files: in an archive, as frozen programs have it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from shutil import make_archive

import aiotokengate

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import aiotokengate
assert aiotokengate.__file__.startswith(sys.argv[1]), aiotokengate.__file__
from aiotokengate.redis import RedisBackend
from aiotokengate._redis.connection import SCRIPT
print(RedisBackend("redis://127.0.0.1:1/0"), len(SCRIPT.splitlines()))
"""


def test_redis_out_of_an_archive(tmp_path: Path) -> None:
    package = Path(aiotokengate.__file__).parent
    archive = make_archive(str(tmp_path / "冻结"), "zip", package.parent, package.name)
    command = [sys.executable, "-c", PROGRAM, archive]
    # Not measured: what the archive holds would be counted as a second package.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=tmp_path, env=env
    )
    lines = (package / "_redis" / "lane.lua").read_text("utf-8").splitlines()
    assert done.stdout == f"<RedisBackend 127.0.0.1:1, prefix 'aiotokengate'> {len(lines)}\n"
