"""How many tokens a call will probably take, before anybody has counted them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Final

__all__ = ["Sizes", "estimate_tokens"]

LATIN_BYTES: Final = 3.6
"""Bytes of ASCII text a token; English prose has 4 to 4.5, code and JSON 3 to 3.5."""

WIDE: Final = 0.8
"""Tokens a character of any other script: Chinese has 0.6 to 0.7 with Qwen's, DeepSeek's and
GLM's tokenizers and up to 1 with older ones of OpenAI's; an emoji has 1 to 3."""

IMAGE: Final = 1_000
"""Tokens of an embedded image, which does not count by its bytes."""

_EMBEDDED = b";base64,"
_LARGE: Final = 16 * 1024


def estimate_tokens(body: bytes) -> int:
    """Give about how many tokens a text in UTF-8 has, be it JSON with its signs.

    Costs less than a nanosecond a byte.  A little high rather than low: what was kept free too
    much is given back, what was kept free too little is refused by the gateway.
    """
    images = 0
    if len(body) > _LARGE and _EMBEDDED in body:
        body, images = _without_embedded(body)
    size = len(body)
    if body.isascii():
        return int(size / LATIN_BYTES) + IMAGE * images + 1
    # A character has 1 byte in ASCII, 3 in Chinese, 4 in an emoji: what is over is the wide ones.
    wide = (size - len(body.decode("utf-8", "replace"))) / 2
    return int((size - 3 * wide) / LATIN_BYTES + WIDE * wide) + IMAGE * images + 1


def _without_embedded(body: bytes) -> tuple[bytes, int]:
    """Take out what is embedded in base64; give the rest, and how many pieces that were."""
    first, *others = body.split(_EMBEDDED)
    rests = (part[max(0, part.find(b'"')) :] for part in others)
    return b"".join((first, *rests)), len(others)


class _Usual:
    """What nine in ten of the last values did not exceed."""

    KEPT: Final = 100
    SHARE: Final = 0.9

    __slots__ = ("_recent", "_sorted", "value")

    def __init__(self, guess: float) -> None:
        self.value = guess
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, value: float) -> None:
        self._recent.append(value)
        insort(self._sorted, value)
        if len(self._recent) > self.KEPT:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]
        self.value = self._sorted[int(self.SHARE * (len(self._sorted) - 1))]


class Sizes:
    """What the calls of a model usually cost, from the last ones."""

    __slots__ = ("_output", "_scale")

    FIRST_OUTPUT: Final = 1_000

    def __init__(self) -> None:
        self._output = _Usual(self.FIRST_OUTPUT)
        self._scale = _Usual(1.0)

    def prompt(self, estimate: float) -> float:
        """Give the tokens of a prompt as this model counts them."""
        return estimate * self._scale.value

    def output(self, max_tokens: int | None) -> float:
        """Give the tokens of a reply, never above what it may have."""
        usual = self._output.value
        return usual if max_tokens is None else min(usual, max_tokens)

    def add(self, estimate: float, prompt_tokens: int, completion_tokens: int) -> None:
        """Take in what a call really cost, and what its prompt was estimated at."""
        self._output.add(completion_tokens)
        if estimate > 0 and prompt_tokens > 0:
            self._scale.add(prompt_tokens / estimate)
