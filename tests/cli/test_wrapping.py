"""Where the lines of a terminal end, in English and in Chinese."""

from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from aiotokengate._cli.wrapping import Folded, Markdown


def folded(text: str, width: int) -> list[str]:
    console = Console(width=width, file=StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(Folded(Text(text)))
    return capture.get().splitlines()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("使用 Python 写很长很长的程序", ["使用 Python", "写很长很长的", "程序"]),
        ("一二三四五六。七", ["一二三四五", "六。七"]),
        ("一二三四五“七”", ["一二三四五", "“七”"]),
        ("not within a word", ["not within a", "word"]),
        ("abcdefghijklmnop q", ["abcdefghijkl", "mnop q"]),
        ("一\n\n👩‍💻二", ["一", "", "👩‍💻二"]),
        ("", [""]),
    ],
)
def test_lines_end_where_a_reader_expects_it(text: str, lines: list[str]) -> None:
    """Between ideographs or at spaces, never before closing or after opening punctuation."""
    assert folded(text, 12) == lines


@given(st.text(alphabet="ab一二。“”（ 😊字", max_size=80), st.integers(6, 30))
def test_lines_fit(text: str, width: int) -> None:
    """No line is wider than the terminal, and only white space is lost."""
    lines = folded(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_markdown_paragraphs_are_folded() -> None:
    """In a list and outside of one, Chinese fills the line."""
    console = Console(width=14, color_system=None)
    with console.capture() as capture:
        console.print(Markdown("a 一二三四五六七八\n\n1. b 一二三四五六七八"))
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert lines == ["a 一二三四五六", "七八", "", " 1 b 一二三四", "   五六七八"]
