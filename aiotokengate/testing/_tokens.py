"""Cutting text into the pieces that the fake models send, and counting them.

No real tokenizer: a Chinese character, a Latin word with the space before it, a run of white
space or a sign counts as one token each, which is close enough for usage to look right.
"""

from __future__ import annotations

import re
from itertools import pairwise

__all__ = ["count_tokens", "split_evenly", "split_tokens"]

_TOKEN = re.compile(r" ?[A-Za-z0-9_']+|\n+| +|.", re.DOTALL)


def split_tokens(text: str) -> list[str]:
    """Return the tokens of a text; joined they are the text."""
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """Return the number of tokens of a text."""
    return len(split_tokens(text))


def split_evenly(text: str, pieces: int) -> list[str]:
    """Return a text in exactly so many pieces of about equal length."""
    marks = [len(text) * number // pieces for number in range(pieces + 1)]
    return [text[start:end] for start, end in pairwise(marks)]
