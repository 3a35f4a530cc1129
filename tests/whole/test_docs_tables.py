"""What the documentation says is what the code says, and its links lead somewhere."""

import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
STEPS = [ROOT / "docs/tutorial/first-steps.md", ROOT / "docs/tutorial/first-steps.zh-CN.md"]

LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ .+$", re.MULTILINE)
HAN = re.compile("[\u4e00-\u9fff]")
SYMBOL = re.compile("[\u2300-\u27bf\U0001f300-\U0001faff]")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
NAMED_TEST = re.compile(r"\btests/[\w/]+\.py(?:::\w+)?")


@pytest.fixture(scope="module")
def rewritten() -> Callable[[str], str]:
    """Return what writes the tables of a page anew."""
    function: Callable[[str], str] = runpy.run_path(str(ROOT / "docs" / "tables.py"))["rewritten"]
    return function


def prose(text: str) -> str:
    """Return a page without its blocks of code."""
    return BLOCK.sub("", text)


def anchors(text: str) -> set[str]:
    """Return what a link can point to inside a page."""
    titles = (line.lstrip("#").strip().lower() for line in HEADING.findall(prose(text)))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def links(text: str) -> Iterator[str]:
    """Yield the links that stay inside the project."""
    for link in LINK.findall(prose(text)):
        if not link.startswith(("http://", "https://")):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_tables_are_those_of_the_code(page: Path, rewritten: Callable[[str], str]) -> None:
    """``python docs/tables.py`` would change nothing."""
    text = page.read_text("utf-8")
    assert rewritten(text) == text


def test_a_table_that_is_old_is_noticed(rewritten: Callable[[str], str]) -> None:
    """What stands between the comments is replaced, what stands around them is kept."""
    old = "你好\n<!-- begin retry -->\n| old |\n<!-- end retry -->\n👋\n"
    new = rewritten(old)
    assert new.startswith("你好\n<!-- begin retry -->\n")
    assert new.endswith("<!-- end retry -->\n👋\n")
    assert "old" not in new
    assert "| `attempts` | 3 |" in new


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link inside the project has a file, and a heading where it names one."""
    text = page.read_text("utf-8")
    for link in links(text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target.read_text("utf-8")), link


def missing_tests(text: str) -> list[str]:
    """Return the tests that a text names and that do not exist."""
    return [name for name in NAMED_TEST.findall(text) if not is_a_test(name)]


def is_a_test(name: str) -> bool:
    path, _, function = name.partition("::")
    file = ROOT / path
    if not function:
        return file.is_file()
    defined = rf"^(?:async )?def {function}\("
    return file.is_file() and bool(re.search(defined, file.read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_tests_that_are_named_exist(page: Path) -> None:
    """A claim that names its proof has one."""
    assert missing_tests(page.read_text("utf-8")) == []


def test_a_proof_that_is_none_is_noticed() -> None:
    """A test that was renamed, and a file that is gone."""
    here = "tests/whole/test_docs_tables.py"
    gone = [f"{here}::test_你好", "tests/test_gone.py::test_it", "tests/test_gone.py"]
    known = f"(`{here}`, `{here}::test_a_proof_that_is_none_is_noticed`)"
    assert missing_tests(f"{known} 👋 {' '.join(gone)}") == gone


def test_each_claim_of_the_threat_model_names_its_proof() -> None:
    """What the page says that the library does is proved; what it leaves to others is not."""
    page = (ROOT / "docs/explanation/threat-model.md").read_text("utf-8")
    done = page.partition("## From a gateway")[2].partition("## What is left to you")[0]
    claims = re.split(r"^- ", prose(done), flags=re.MULTILINE)[1:]
    assert len(claims) > 30
    assert [claim for claim in claims if not NAMED_TEST.search(claim)] == []


@pytest.mark.parametrize("pair", [READMES, STEPS], ids=["README", "first steps"])
def test_both_languages_link_to_one_another(pair: list[Path]) -> None:
    """Whoever opens the wrong language finds the other one at the top."""
    for page, other in (pair, reversed(pair)):
        head = "".join(page.read_text("utf-8").splitlines(keepends=True)[:6])
        assert f"({other.name})" in head


def test_both_readmes_say_the_same() -> None:
    """The same sections, the same blocks; code differs in its comments and texts only."""
    english, chinese = (readme.read_text("utf-8") for readme in READMES)
    levels = [[line.split()[0] for line in HEADING.findall(prose(t))] for t in (english, chinese)]
    assert levels[0] == levels[1]
    programs = [[without_words(block) for block in BLOCK.findall(t)] for t in (english, chinese)]
    assert programs[0] == programs[1]


def without_words(block: tuple[str, str]) -> tuple[str, str]:
    """Take comments and texts out of a block."""
    kind, text = block
    if kind == "python":
        text = re.sub(r'"[^"\n]*"', '""', text)
    return kind, re.sub(r"[ ]*# .*", "", text)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_examples_are_tried_with_chinese_and_emoji(page: Path) -> None:
    """A page that asks a model asks it in Chinese, and an emoji goes through."""
    programs = "".join(text for kind, text in BLOCK.findall(page.read_text("utf-8")))
    if ".chat(" in programs or "aiotokengate chat" in programs:
        assert HAN.search(programs)
        assert SYMBOL.search(programs)


def test_the_options_of_the_gateway_are_listed() -> None:
    """The page of the command line names each option of ``gateway``, and no other."""
    command = [sys.executable, "-m", "aiotokengate", "gateway", "--help"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    page = (ROOT / "docs/reference/command-line.md").read_text("utf-8")
    listed = set(OPTION.findall(page.partition("## gateway")[2]))
    assert listed == set(OPTION.findall(shown)) - {"--help"}
