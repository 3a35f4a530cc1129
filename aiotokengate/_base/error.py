"""The root of all errors, what a call did before it failed, and the two that values raise.

Below :mod:`aiotokengate.types`, whose values are in the other errors and raise these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Attempt", "CallerError", "TokenGateError", "WireError"]


@attrs.frozen(slots=False)  # which makes frozen values at half the cost
class Attempt:
    """One try at a call.

    ``started`` and ``seconds`` count from the beginning of the call; ``error`` is the class name
    of the error that ended the attempt, None for the one that answered; ``wait`` is the pause
    after it before the next one, in seconds; ``queued`` is how long it waited in the pool before
    it was sent; ``endpoint`` names the key and address where there are several, masked;
    ``reconnected`` is true where a kept connection had died and a fresh one took its place.
    """

    __module__ = "aiotokengate.types"  # where users find it

    model: str
    started: float
    seconds: float
    error: str | None = None
    status: int | None = None
    code: str | None = None
    request_id: str | None = None
    wait: float | None = None
    queued: float = 0.0
    endpoint: str | None = None
    reconnected: bool = False


class TokenGateError(Exception):
    """Base of all errors of this library.

    Attributes:
        message: what happened, in one line, without key or prompt.
        status: the HTTP status, or the one that an error inside a 200 answer names; None where
            nobody named one.
        code: the gateway's or vendor's own error code, as a string.
        request_id: what to quote to the operator of the gateway.
        attempts: every attempt made, the last being the one that failed.
        hint: what to do about it, in English and 简体中文, or None.
    """

    __module__ = "aiotokengate.errors"  # where users find it

    retryable: bool = False
    useless_answer: bool = False
    """Whether the model answered, with nothing that is of use; see ``Retry(empty=True)``."""
    default_hint: ClassVar[str | None] = None

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Keep what is known; ``attempts`` is filled in by the session."""
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.request_id = request_id
        self.attempts: tuple[Attempt, ...] = ()
        self.hint: str | None = hint or self.default_hint

    def __str__(self) -> str:
        """Render the message, what identifies the failure, and the hint."""
        known = {
            "status": self.status,
            "code": self.code,
            "request id": self.request_id,
            "attempts": len(self.attempts) if len(self.attempts) > 1 else None,
        }
        facts = ", ".join(f"{name} {value}" for name, value in known.items() if value is not None)
        lines = [f"{self.message} ({facts})" if facts else self.message]
        if self.hint:
            lines += [f"  {line}" for line in self.hint.splitlines()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Name the class and the message only."""
        return f"{type(self).__name__}({self.message!r})"

    def redact(self, secrets: Iterable[str]) -> None:
        """Blank what a peer echoed of each secret (the key, the prompt), in whatever form.

        In every text of this error and of those that it came of; one of another library that
        echoes something is dropped, and so is one that ``raise ... from None`` hides.
        """
        chain = _chain(self)
        texts = [text for error in chain for text in _texts_of(error)]
        from aiotokengate._base.redaction import blanked

        rest = iter(blanked(texts, secrets))
        foul = {id(error) for error in chain if not _take(error, rest)}
        for error in chain:
            _unlink(error, foul)


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error and those that it came of, each once."""
    found: dict[int, BaseException] = {}
    rest: list[BaseException | None] = [error]
    while rest:
        one = rest.pop()
        if one is None or id(one) in found:
            continue
        found[id(one)] = one
        rest.append(one.__cause__)
        if one.__suppress_context__:
            one.__context__ = None
        rest.append(one.__context__)
    return list(found.values())


_OUR_OWN = ("hint", "phase")
"""Texts that the library wrote itself."""


def _fields(error: BaseException) -> dict[str, str]:
    fields = vars(error).items()
    return {name: text for name, text in fields if isinstance(text, str) and name not in _OUR_OWN}


def _texts_of(error: BaseException) -> list[str]:
    """Return each text of an error; of another library's all that could be shown."""
    notes = map(str, getattr(error, "__notes__", ()))
    if isinstance(error, TokenGateError):
        return [*_fields(error).values(), *notes]
    held = (*error.args, *vars(error).values())
    return [str(error), *(_shown(value) for value in held), *notes]


def _shown(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _take(error: BaseException, blanked: Iterator[str]) -> bool:
    """Take over the texts as they are now; say whether the error may stay."""
    before = _texts_of(error)
    after = [next(blanked) for _ in before]
    if not isinstance(error, TokenGateError):
        return before == after
    names = list(_fields(error))
    vars(error).update(zip(names, after, strict=False))
    if notes := after[len(names) :]:
        error.__notes__ = notes
    error.args = (error.message,)
    return True


def _unlink(error: BaseException, foul: set[int]) -> None:
    if id(error.__cause__) in foul:
        error.__cause__ = None
    if id(error.__context__) in foul:
        error.__context__ = None


class WireError(TokenGateError):
    """The peer sent what is not the protocol: HTML, half a JSON body, an endless event."""

    __module__ = "aiotokengate.errors"  # where users find it


class CallerError(TokenGateError):
    """The call itself is wrong: a bad argument, a wrong use of an object; nothing was sent."""

    __module__ = "aiotokengate.errors"  # where users find it
