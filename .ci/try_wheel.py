"""Try the built wheel as somebody does who has nothing else: in an empty environment.

Run as ``python .ci/try_wheel.py DIRECTORY``, with one wheel and one sdist in the directory.
"""

import json
import signal
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import venv
import zipfile
from pathlib import Path
from typing import Any

BASE = {"aiohttp", "attrs", "orjson"}
SECONDS = 60
BASE_CLOSURE = """
import json, re
from importlib.metadata import distributions, requires

def needs(name):
    plain = (line for line in requires(name) or () if "extra ==" not in line)
    return {re.split(r"[^\\w.-]", line)[0].lower().replace("_", "-") for line in plain}

installed = {each.metadata["Name"].lower().replace("_", "-") for each in distributions()}
found, todo = set(), {"aiotokengate"}
while todo:
    name = todo.pop()
    found.add(name)
    todo |= (needs(name) & installed) - found
direct = needs("aiotokengate")
print(json.dumps({"direct": sorted(direct), "strangers": sorted(installed - found)}))
"""


def main(directory: Path) -> None:
    """Check what is in the wheel and the sdist, then install the wheel and run it."""
    (wheel,) = directory.glob("*.whl")
    (sdist,) = directory.glob("*.tar.gz")
    check_wheel(wheel)
    check_sdist(sdist)
    with tempfile.TemporaryDirectory() as empty:
        python = install(wheel, Path(empty))
        check_dependencies(python)
        check_gateway(python)
        check_extra(python)
    print(f"{wheel.name} and {sdist.name} are good")


def check_wheel(wheel: Path) -> None:
    """The wheel holds the package and nothing beside it."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    rooms = {name.split("/")[0] for name in names}
    strangers = {room for room in rooms if not room.endswith(".dist-info")} - {"aiotokengate"}
    assert not strangers, f"expected only aiotokengate/ in the wheel, got {strangers} too"
    assert "aiotokengate/py.typed" in names, "expected aiotokengate/py.typed in the wheel"


def check_sdist(sdist: Path) -> None:
    """The sdist holds what is needed to test the package and to build its documentation."""
    with tarfile.open(sdist) as archive:
        rooms = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    missing = {"aiotokengate", "docs", "examples", "tests", "LICENSE", "README.md"} - rooms
    assert not missing, f"expected {missing} in the sdist, got {sorted(rooms)}"


def install(wheel: Path, empty: Path) -> Path:
    """Install the wheel in a new environment; give that environment's Python."""
    venv.create(empty / "venv", with_pip=True)
    python = empty / "venv" / "bin" / "python"
    must_run(python, "-m", "pip", "install", "--quiet", wheel.resolve())
    must_run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "setuptools", "pip")
    return python


def check_dependencies(python: Path) -> None:
    """A base install brings aiohttp, attrs, orjson, what these need, and nothing more."""
    found = json.loads(must_run(python, "-c", BASE_CLOSURE))
    assert set(found["direct"]) == BASE, f"expected {BASE}, got {found['direct']}"
    assert not found["strangers"], f"nothing needs {found['strangers']}"


def check_gateway(python: Path) -> None:
    """The fake gateway runs in a base install, and ends when it is told to."""
    command = [str(python), "-P", "-m", "aiotokengate", "gateway", "--port", "0", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on http://127.0.0.1:"), f"got {line!r}"
            assert models(line.split()[-1]), "expected some models"
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0, f"expected status 0, got {process.returncode}"


def models(address: str) -> list[Any]:
    """Ask the gateway for its models."""
    headers = {"Authorization": "Bearer sk-any"}
    request = urllib.request.Request(f"{address}/models", headers=headers)
    with urllib.request.urlopen(request, timeout=SECONDS) as response:
        found: list[Any] = json.load(response)["data"]
    return found


def check_extra(python: Path) -> None:
    """The other commands name the extra that they need."""
    done = run(python, "-P", "-m", "aiotokengate", "chat")
    assert done.returncode == 2, f"expected status 2, got {done.returncode}: {done.stderr}"
    assert "aiotokengate[cli]" in done.stderr, f"expected the extra's name, got {done.stderr!r}"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, and keep what it prints."""
    return subprocess.run(
        command, check=False, timeout=10 * SECONDS, text=True, capture_output=True
    )


def must_run(*command: str | Path) -> str:
    """Run a program that has to succeed; give what it prints."""
    done = run(*command)
    assert done.returncode == 0, f"{command} gave {done.returncode}: {done.stderr}"
    return done.stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]))
