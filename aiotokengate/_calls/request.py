"""A request as a value: what is sent, how it is tried, and how the answer is read.

The resources make one of what the caller asked for, and nothing changes it afterwards: whoever
needs another one makes it from the first, see :meth:`Request.with_content`.  The session, as the
resources know it, is the :class:`Requester`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, Self

import attrs

from aiotokengate._policy.estimate import CallSize
from aiotokengate._wire.headers import credentials
from aiotokengate._wire.jsontext import loads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from aiotokengate._http.uploads import Form
    from aiotokengate._policy.queue import Priority
    from aiotokengate._policy.retry import Retry
    from aiotokengate._policy.timeouts import Timeout
    from aiotokengate._stream.download import Download
    from aiotokengate._stream.receiver import Receiver
    from aiotokengate._wire.dialects import Dialect
    from aiotokengate._wire.question import Decoder
    from aiotokengate._wire.transcript import Transcript
    from aiotokengate.types import Json

__all__ = [
    "CallPolicy",
    "ChatRequest",
    "HttpRequest",
    "ReplyReading",
    "Request",
    "Requester",
]

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_UNKNOWN_SIZE = CallSize()


@attrs.frozen(eq=False, repr=False, slots=False)  # made for each call: at half the cost
class HttpRequest:
    """What is sent.

    Attributes:
        path: under ``base_url``, with a leading slash; ``../suno/fetch`` stands beside its
            ``/v1``; a whole address is asked without the key, unless its host is ours.
        body: JSON text, or None for a GET.
        form: a form in place of the body.
        headers: beside those of the session.
    """

    method: str
    path: str
    body: bytes | None = attrs.field(default=None, repr=False)
    form: Form | None = None
    headers: Mapping[str, str] = _NO_HEADERS


@attrs.frozen(eq=False, repr=False, slots=False)  # made for each call: at half the cost
class CallPolicy:
    """How a request is tried.

    Attributes:
        timeout: the clocks of each attempt.
        deadline: seconds for everything together.
        pooled: whether it is a call of a model, and waits for its turn in the pool.
        costly: whether it is not made again after a failure that may have come when the work was
            begun already; it goes on a connection of its own.
        endpoint: which key it needs, as a download says; "" for any.
        size: what is known of the tokens that it costs; its texts are blanked in errors, too.
    """

    timeout: Timeout
    retry: Retry
    deadline: float | None = None
    pooled: bool = False
    costly: bool = False
    endpoint: str = ""
    priority: Priority = "interactive"
    fair_key: str | None = None
    size: CallSize = _UNKNOWN_SIZE


@attrs.frozen(eq=False, repr=False, slots=False)  # made for each call: at half the cost
class ReplyReading:
    """How the reply of a chat is read.

    Attributes:
        dialect: how its reasoning goes back.
        decoder: makes what reads it.
        choices: how many choices are expected.
        retain: whether text is kept once it was read.
        strict: whether a frame that can't be read ends it.
        notes: remarks for the reply.
        parse: makes the value of the answer, see :class:`ResponseInvalid`.
    """

    dialect: Dialect
    decoder: Callable[[Dialect, Transcript], Decoder]
    choices: int = 1
    retain: bool = True
    strict: bool = False
    notes: tuple[str, ...] = ()
    parse: Callable[[str], Any] | None = None


@attrs.frozen(eq=False, repr=False, slots=False)  # made for each call: at half the cost
class Request:
    """One call to be sent, as often as its policy allows.

    Attributes:
        http: what is sent.
        policy: how it is tried.
        model: for the lane in the pool, errors, hooks and attempts.
    """

    http: HttpRequest
    policy: CallPolicy
    model: str = ""

    def texts(self) -> Iterator[str]:
        """Return all that the user sends, to be blanked in an error that echoes it."""
        from aiotokengate._base.redaction import texts_in

        http = self.http
        yield from credentials(http.headers)
        if http.form is not None:
            yield from http.form.texts()
        elif http.body:
            yield from texts_in(loads(http.body))
        else:
            yield from self.policy.size.texts()

    def with_content(self, body: bytes | None, form: Form | None = None) -> Self:
        """Return the same request with another body, or form, or without any."""
        http = self.http
        http = HttpRequest(http.method, http.path, body, form, http.headers)
        return attrs.evolve(self, http=http)

    def within(self, deadline: float | None) -> Self:
        """Return the same request with so many seconds for everything."""
        return attrs.evolve(self, policy=attrs.evolve(self.policy, deadline=deadline))


@attrs.frozen(eq=False, repr=False, slots=False)  # made for each call: at half the cost
class ChatRequest(Request):
    """A call whose answer is the reply of a chat.

    Attributes:
        reading: how it is read.
    """

    reading: ReplyReading = attrs.field(kw_only=True)


class Requester(Protocol):
    """The session, as the resources know it."""

    def keys(self) -> Iterable[str]:
        """Return every key of the session, to be blanked in an error that echoes one."""

    async def open(self, request: ChatRequest, *, whole: bool = False) -> Receiver:
        """Send, and return the reply once its first delta is there; or ``whole``, all of it."""

    async def ask(self, request: Request) -> Json:
        """Send, and return the parsed JSON of the answer."""

    async def fetch(self, request: Request) -> Download:
        """Send, and return the answer once its headers have come, whatever it is."""
