"""How many tokens a call will probably take, before anybody has counted them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["CallSize", "Sizes", "estimate_tokens"]

_EMBEDDED = b";base64,"
_LARGE: Final = 16 * 1024


@attrs.frozen(eq=False, repr=False, slots=False)  # made for each call: at half the cost
class CallSize:
    """What is known of a call's size before it is made.

    Attributes:
        tokens: prompt and reply together, if the caller knows.
        max_tokens: the most that the reply may have, all choices together.
        estimate: says about how many tokens the prompt has.
        texts: returns the texts of the prompt, for a tokenizer.
    """

    tokens: float | None = None
    max_tokens: int | None = None
    estimate: Callable[[], int] = attrs.field(default=int, repr=False)
    texts: Callable[[], Iterable[str]] = attrs.field(default=tuple, repr=False)


def estimate_tokens(prompt: str | bytes) -> int:
    """Return about how many tokens a text has, or the body of a request with all its signs.

    Costs about a nanosecond a byte, and less for a long one.  What was kept free too much is given
    back, what was kept free too little is refused by the gateway.
    """
    from aiotokengate._wire.tokens import IMAGE, estimate_text

    if isinstance(prompt, bytes) and len(prompt) > _LARGE and _EMBEDDED in prompt:
        rest, images = _without_embedded(prompt)
        return estimate_text(rest) + IMAGE * images
    return estimate_text(prompt)


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
        """Return the tokens of a prompt as this model counts them."""
        return estimate * self._scale.value

    def output(self, max_tokens: int | None) -> float:
        """Return the tokens of a reply, never above what it may have."""
        usual = self._output.value
        return usual if max_tokens is None else min(usual, max_tokens)

    def add(self, estimate: float, prompt_tokens: int, completion_tokens: int) -> None:
        """Take in what a call really cost, and what its prompt was estimated at."""
        self._output.add(completion_tokens)
        if estimate > 0 and prompt_tokens > 0:
            self._scale.add(prompt_tokens / estimate)
