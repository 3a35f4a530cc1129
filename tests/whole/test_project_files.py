"""What the forge and pre-commit read can be read, and says what the project says elsewhere."""

import re
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
FILES = [*sorted(ROOT.glob(".github/**/*.yml")), ROOT / ".pre-commit-config.yaml"]
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
ADDRESSES = tomllib.loads((ROOT / "docs/addresses.toml").read_text("utf-8"))

TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
MADE = re.compile(r"\bmake ([a-z-]+)")
ACTION = re.compile(r"^[\w-]+/[\w-]+@(?:v\d+|release/v\d+)$")
LINK = re.compile(r"https?://([\w.-]+)")
KNOWN_HOSTS = {"github.com", "www.contributor-covenant.org"}  # tools, and what is quoted


def parsed(path: Path) -> Any:
    """Return what a YAML file says; its package has no types."""
    return import_module("yaml").safe_load(path.read_text("utf-8"))


def steps(workflow: Any) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_can_be_read(path: Path) -> None:
    """A file that is no YAML would be left out in silence."""
    assert isinstance(parsed(path), dict)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_bounded(path: Path) -> None:
    """It may read the code and no more unless a job says so, and none runs for ever."""
    workflow = parsed(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())
    assert "secrets." not in path.read_text("utf-8")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_to_a_major_version(path: Path) -> None:
    used = [step["uses"] for step in steps(parsed(path)) if "uses" in step]
    assert used
    assert [action for action in used if not ACTION.match(action)] == []


def test_workflows_call_what_the_makefile_has() -> None:
    """There is one way to check a change, whoever starts it."""
    targets = set(TARGET.findall((ROOT / "Makefile").read_text("utf-8")))
    weekly = parsed(ROOT / ".github/workflows/weekly.yml")["jobs"]["make"]["strategy"]["matrix"]
    made = {name for path in WORKFLOWS for name in MADE.findall(path.read_text("utf-8"))}
    assert {"test", "check", "docs", "wheel"} <= made
    assert made | set(weekly["target"]) <= targets


def test_tests_run_on_every_python_that_is_supported() -> None:
    """Those of the classifiers, and the next one."""
    matrix = parsed(ROOT / ".github/workflows/tests.yml")["jobs"]["test"]["strategy"]["matrix"]
    listed = [line.split(" :: ")[-1] for line in PROJECT["project"]["classifiers"]]
    supported = {version for version in listed if re.fullmatch(r"3\.\d+", version)}
    assert supported <= set(matrix["python"])


def test_ruff_is_the_same_everywhere() -> None:
    """What pre-commit lets through, make check does."""
    (pinned,) = [each for each in PROJECT["dependency-groups"]["dev"] if "ruff==" in str(each)]
    hooks = parsed(ROOT / ".pre-commit-config.yaml")["repos"]
    (ruff,) = [hook for hook in hooks if "ruff" in hook["repo"]]
    assert ruff["rev"] == pinned.replace("ruff==", "v")


def test_no_address_is_invented() -> None:
    """Where the project can be found stands in one file; others have no host but known ones."""
    known = KNOWN_HOSTS | set(LINK.findall(" ".join(ADDRESSES.values())))
    texts = [*FILES, *ROOT.glob(".github/*.md"), ROOT / "SECURITY.md", ROOT / "CODE_OF_CONDUCT.md"]
    found = {host for path in texts for host in LINK.findall(path.read_text("utf-8"))}
    assert found <= known
    assert not [
        path.name for path in texts if re.search(r"[\w.]+@[\w-]+\.\w", path.read_text("utf-8"))
    ]
