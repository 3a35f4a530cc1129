"""What a test can tell the fake gateway to answer, as frozen values.

Two levels: :class:`ScriptedReply` says *what* the model says and leaves the bytes to the model's
dialect; :class:`Raw` says the bytes themselves, write by write, and how the connection ends.
The escape hatch below both is an ``async`` function from the request to an aiohttp response.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import attrs
from aiohttp import web

from aiotokengate.testing._signals import Gate
from aiotokengate.types import Json

__all__ = [
    "Call",
    "Ending",
    "Handler",
    "KeepAlive",
    "Pace",
    "Part",
    "Pause",
    "Raw",
    "Script",
    "ScriptedReply",
    "Text",
    "Thought",
]

Ending = Literal["keep", "close", "reset", "hang"]


@attrs.frozen
class Pause:
    """Silence of so many seconds inside a scripted reply."""

    seconds: float


@attrs.frozen
class Thought:
    """A phase of thinking: a string is cut into tokens, a sequence is sent piece by piece."""

    text: str | Sequence[str | Pause | Gate]


@attrs.frozen
class Text:
    """A phase of answer: a string is cut into tokens, a sequence is sent piece by piece."""

    text: str | Sequence[str | Pause | Gate]


@attrs.frozen
class Call:
    """A tool call; ``arguments`` as a mapping, or as the very JSON text to send.

    Without ``id`` the gateway numbers its calls.
    """

    name: str
    arguments: Mapping[str, Json] | str = "{}"
    id: str | None = None


Part: TypeAlias = Thought | Text | Call | Pause | Gate


@attrs.frozen(kw_only=True)
class ScriptedReply:
    """What the model is to say; the bytes follow the dialect of the model that was asked.

    Example::

        gateway.script(ScriptedReply(reasoning="想一想", answer="你好！😊"))
        gateway.script(ScriptedReply(tool_calls=[Call("weather", {"city": "北京"})]))
        gateway.script(ScriptedReply(parts=[Thought("先"), Text("a"), Thought("再"), Text("b")]))

    Attributes:
        reasoning: what it thinks, before everything else.  A string is cut into tokens; in a
            sequence each string is one delta, with :class:`Gate` and :class:`Pause` between.
        answer: what it answers, likewise.
        tool_calls: what it calls, after the answer.
        parts: all of it in any order, instead of the three above.
        finish_reason: None means ``stop``, or ``tool_calls`` after a call.
        usage: the usage object to send as it is; None counts the deltas.
        model: the model to be spoken as (its dialect, its name in the chunks); None is the one
            that was asked for.
        gate: passed before every delta of reasoning and answer.
        done: whether ``data: [DONE]`` ends the stream.
    """

    reasoning: str | Sequence[str | Pause | Gate] = ""
    answer: str | Sequence[str | Pause | Gate] = ""
    tool_calls: Sequence[Call] = ()
    parts: Sequence[Part] | None = None
    finish_reason: str | None = None
    usage: Mapping[str, Json] | None = None
    model: str | None = None
    gate: Gate | None = None
    done: bool = True

    def all_parts(self) -> tuple[Part, ...]:
        """Return what is said, in order."""
        if self.parts is not None:
            return tuple(self.parts)
        return (Thought(self.reasoning), Text(self.answer), *self.tool_calls)

    def ending(self) -> str:
        """Return the finish reason to send."""
        if self.finish_reason is not None:
            return self.finish_reason
        called = any(isinstance(part, Call) for part in self.all_parts())
        return "tool_calls" if called else "stop"


_EVENT_STREAM = {"Content-Type": "text/event-stream"}


@attrs.frozen
class Raw:
    """The bytes of an answer themselves.

    Each ``bytes`` of ``body`` is one write, handed to the network before the next one is looked
    at; between them may stand a :class:`Pause` (seconds) or a :class:`Gate` (the test decides).

    Attributes:
        status: the HTTP status.  None: no HTTP around it, ``body`` is the connection's bytes.
        body: the content, chunked unless ``headers`` give a ``Content-Length``.
        headers: sent beside the gateway's own; ``Content-Type`` is ``text/event-stream`` if
            none is given.
        end: what follows the last byte.  ``keep``: a whole answer, the connection stays open
            for more.  ``close``: the connection is closed without the end of the chunked body.
            ``reset``: a TCP reset.  ``hang``: nothing at all, until the client leaves.
        wait: seconds of silence before all of it.
    """

    status: int | None = 200
    body: bytes | Sequence[bytes | Pause | Gate] = b""
    headers: Mapping[str, str] = attrs.field(factory=lambda: dict(_EVENT_STREAM))
    end: Ending = "keep"
    wait: float = 0.0

    def steps(self) -> tuple[bytes | Pause | Gate, ...]:
        """Return what is written, in order."""
        return (self.body,) if isinstance(self.body, bytes) else tuple(self.body)

    def cut(self, after: int, end: Ending = "reset") -> Raw:
        """Return the same answer, ended in that manner after so many bytes of its body."""
        kept: list[bytes | Pause | Gate] = []
        left = after
        for step in self.steps():
            part = step[:left] if isinstance(step, bytes) else step
            left -= len(part) if isinstance(part, bytes) else 0
            kept.append(part)
            if not left:
                break
        return attrs.evolve(self, body=kept, end=end)

    def drip(self, size: int = 1) -> Raw:
        """Return the same answer in writes of at most ``size`` bytes each."""
        small: list[bytes | Pause | Gate] = []
        for step in self.steps():
            if isinstance(step, bytes):
                small += [step[at : at + size] for at in range(0, len(step), size)]
            else:
                small.append(step)
        return attrs.evolve(self, body=small)


Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
"""Anything else: it reads the request and answers as any aiohttp handler does."""

Script: TypeAlias = ScriptedReply | tuple[ScriptedReply, ...] | Raw | Handler
"""What :meth:`FakeGateway.script` takes; a tuple holds one reply for each choice of ``n``."""


@attrs.frozen(kw_only=True)
class Pace:
    """How fast the gateway speaks; as it stands, as fast as possible.

    Attributes:
        first_token: seconds from the request to the first token.
        tokens_per_second: speed from then on; None is as fast as possible.
        jitter: how much each wait may be longer or shorter, 0 (not at all) to 1 (doubled or
            nothing).
        seed: the same seed gives the same waits.
    """

    first_token: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    tokens_per_second: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.gt(0))
    )
    jitter: float = attrs.field(
        default=0.0, validator=[attrs.validators.ge(0), attrs.validators.le(1)]
    )
    seed: int = 0

    @classmethod
    def real(cls) -> Pace:
        """Return the speed of a busy day: 0.4 s to the first token, then about 60 a second."""
        return cls(first_token=0.4, tokens_per_second=60, jitter=0.3)

    def waits(self) -> Iterator[float]:
        """Yield the seconds to wait before the first token, the second, and so on."""
        dice = random.Random(self.seed)
        wait = self.first_token
        while True:
            yield wait * (1 + self.jitter * dice.uniform(-1, 1))
            wait = 1 / self.tokens_per_second if self.tokens_per_second else 0.0


@attrs.frozen
class KeepAlive:
    """The comment lines of a stream that is silent.

    Attributes:
        every: seconds of silence before each.
        comment: ``PING`` is new-api's, ``keep-alive`` DeepSeek's (wire: DeepSeek's rate limit
            page), ``OPENROUTER PROCESSING`` OpenRouter's.
    """

    every: float = attrs.field(default=15.0, validator=attrs.validators.gt(0))
    comment: str = "PING"

    def line(self) -> bytes:
        """Return the bytes to send."""
        return f": {self.comment}\n\n".encode()
