"""How text grows on a terminal: where it is cut, and where its lines end."""

from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.text import Text

from aiotokengate._cli.show import Blocks, Cut, printable, whole_blocks, whole_lines
from aiotokengate._cli.wrapping import Folded, Markdown

DOCUMENT = """# 标题 😊

第一段 **粗**
续行

- 一

    还是一

- 二

1. one

2. two

```python
x = 1

~~~
y = 2
```
text
> 引用

| 甲 | 乙 |
|---|---|
| 1 | 2 |

[link]: http://example.com

最后"""

BLOCKS = [
    "# 标题 😊\n",
    "第一段 **粗**\n续行\n",
    "- 一\n\n    还是一\n\n- 二\n",
    "1. one\n\n2. two\n",
    "```python\nx = 1\n\n~~~\ny = 2\n```",
    "text",
    "> 引用\n",
    "| 甲 | 乙 |\n|---|---|\n| 1 | 2 |\n\n[link]: http://example.com\n",
]


def grown(text: str, cut: Cut, size: int) -> tuple[list[str], str]:
    """Feed a text in pieces; return the parts cut off and the rest."""
    parts: list[str] = []
    rest = ""
    for start in range(0, len(text), size):
        whole, rest = cut(rest + text[start : start + size])
        parts += whole
    return parts, rest


def folded(text: str, width: int) -> list[str]:
    console = Console(width=width, file=StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(Folded(Text(text)))
    return capture.get().splitlines()


@pytest.mark.parametrize("size", [1, 2, 7, len(DOCUMENT)])
def test_markdown_is_cut_between_blocks(size: int) -> None:
    """A block is let go when the next one has begun, in whatever pieces it came."""
    whole, rest = grown(DOCUMENT + "\n\n完", whole_blocks, size)
    assert whole == BLOCKS
    assert rest == "最后\n\n完"


@given(
    st.text(alphabet="ab一。 \n-*#>`~|1.😊", max_size=60),
    st.sampled_from([whole_blocks, whole_lines]),
    st.integers(1, 9),
)
def test_nothing_is_lost_by_cutting(text: str, cut: Cut, size: int) -> None:
    """The parts and the rest, put together again, are the text."""
    whole, rest = grown(text, cut, size)
    assert "\n".join([*whole, rest]) == text


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


@pytest.mark.parametrize("size", [1, 5, len(DOCUMENT)])
def test_growing_markdown_ends_as_markdown_at_once(size: int) -> None:
    """Printed block by block or as one, there is one blank line between blocks."""
    parts, rest = grown(DOCUMENT, whole_blocks, size)
    looks = [Blocks(part, not at) for at, part in enumerate([*parts, rest])]
    assert rendered(*looks) == rendered(Blocks(DOCUMENT, first=True))
    assert "\n\n\n" not in rendered(*looks)
    assert "续行\n\n • 一\n" in rendered(*looks)


def rendered(*parts: RenderableType) -> str:
    console = Console(width=40, color_system=None)
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def test_control_characters_are_visible() -> None:
    """All but tab and line feed are shown as signs; carriage returns are dropped."""
    assert printable("\x1b[2J\x00\x07\t好\r\n\x7f\x9b") == "␛[2J␀␇\t好\n\ufffd\ufffd"
