"""Pages for users name what is public, and nothing else."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
INSIDES = {"docs/explanation/architecture.md"}  # these and the decisions are about the insides
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for pattern in ("README*.md", "docs/**/*.md", "examples/**/*.py")
    for path in sorted(ROOT.glob(pattern))
}
FOR_USERS = [
    name
    for name in PAGES
    if name not in INSIDES and not name.startswith("docs/explanation/decisions/")
]

PRIVATE = re.compile(r"\baiotokengate[./](?:\w+[./])*_(?!_)\w+")


@pytest.mark.parametrize("name", FOR_USERS)
def test_a_page_for_users_names_no_private_path(name: str) -> None:
    """What a reader copies from a page keeps working when a module moves."""
    assert PRIVATE.findall(PAGES[name].read_text("utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "from aiotokengate._wire.sse import SSEDecoder",
        "import aiotokengate.testing._clock as 时钟  # ⏰",
        ".. autoclass:: aiotokengate._pool.pool.Slot",
        "`aiotokengate/_wire/dialects.py`",
    ],
)
def test_a_private_path_is_noticed(text: str) -> None:
    """However it is written; the version is public."""
    assert PRIVATE.search(text)
    assert not PRIVATE.search("aiotokengate.__version__, aiotokengate.testing.faults.empty_429")
