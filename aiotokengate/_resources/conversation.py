"""A conversation with one user: its history, kept, trimmed, stored.

Strategy.  A turn is recorded when its reply is whole: the user's message and the assistant's, with
whatever the vendor wants back, appear together.  A turn that was cut, stopped, cancelled or
refused, or whose reply says nothing, leaves the history as it was, so that it never holds a
question without its answer, half an answer, or an empty one, which many vendors refuse from then
on; its text is in the error, or on the reply, for whoever wants it.  Who lets users stop a reply
may want the text that they have read to count: ``keep_partial`` records so much of it.

One turn at a time: a second one would not know what the first one's answer was.  It is an error
and does not wait, because a bot has to decide what becomes of a message that comes too early:
wait for its turn, replace the one before, or be turned away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import copy, deepcopy
from math import inf
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, Unpack

import attrs
import orjson
from attrs.validators import optional

from aiotokengate._base.copying import Unique
from aiotokengate._base.sealing import sealed, sealed_class
from aiotokengate._base.settings import FROM_ONE, checked
from aiotokengate._policy.retry import Retry
from aiotokengate._policy.timeouts import Timeout
from aiotokengate._resources.chat import TURN_OPTIONS, TurnOptions, check_turn
from aiotokengate._stream.call import ChatCall
from aiotokengate._wire.history import says_nothing
from aiotokengate._wire.jsontext import dumps
from aiotokengate._wire.tokens import estimate_messages, estimate_text
from aiotokengate.errors import CallerError
from aiotokengate.types import Json

if TYPE_CHECKING:
    from aiotokengate._stream.receiver import Receiver
    from aiotokengate.types import Parsed

__all__ = ["Conversation"]

Ask: TypeAlias = Callable[..., ChatCall]
Content: TypeAlias = "str | Sequence[Mapping[str, Any]]"

_BUDGET: Final = optional(FROM_ONE)

VERSION = 1
"""Of what is stored.  Texts of before options were stored are read as well."""

_SECRETS: Final[Mapping[str, re.Pattern[str]]] = {
    "extra_headers": re.compile(
        r"auth|cookie|credential|key|passw|secret|sign|token", re.IGNORECASE
    ),
    "extra_body": re.compile(
        r"api[_-]?key|access[_-]?(key|token)|authorization|credential|passw|secret", re.IGNORECASE
    ),
}
"""What the names of headers and of fields hold whose values are not written into a file."""

_SECRET_VALUE = re.compile(r"\s*(bearer\s|basic\s|sk-)", re.IGNORECASE)
"""How values begin that are keys, whatever they are called."""


@sealed_class
class Conversation(Unique):
    """A bot's history for one user.

    ::

        talk = gate.conversation("qwen3.6-plus", system="回答要简短 ✂️", max_tokens_kept=8_000)
        reply = await talk.say("你好 👋")
        async with talk.say("再说一遍") as stream: ...
        stored = talk.to_json()                              # and, after a restart:
        talk = gate.conversation(stored=stored)

    Attributes:
        model: that is asked; another one may be set between two turns.
        messages: the history, without the system's.
        system: what stands before it, "" for nothing.
        max_tokens_kept: about so many tokens of history are sent, the oldest turns are forgotten
            first; None keeps all.
        keep_partial: whether the text of a reply that was stopped, cut or cancelled is recorded,
            too, if there is any.

    A copy has a history of its own and shares the session.
    """

    _instead = "a Conversation goes on with its session; store talk.to_json()"

    def __init__(
        self,
        ask: Ask,
        model: str,
        *,
        system: str = "",
        max_tokens_kept: int | None = None,
        keep_partial: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin without a history."""
        self.model = model
        self.system = system
        self.messages: list[Mapping[str, Any]] = []
        self.max_tokens_kept: int | None = checked(max_tokens_kept, _BUDGET, "max_tokens_kept")
        self.keep_partial = keep_partial
        self._ask = ask
        self._options = dict(options or {})
        self._busy = False

    def __copy__(self) -> Self:
        """Return a conversation that goes on by itself from here; without a turn on its way."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.messages = list(self.messages)
        twin._options = dict(self._options)
        twin._busy = False
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the same with messages of its own."""
        twin = copy(self)
        memo[id(self)] = twin
        twin.messages = deepcopy(self.messages, memo)
        return twin

    def __repr__(self) -> str:
        """Show how long it is; never what is in it."""
        return f"<Conversation {self.model} {len(self.messages)} messages>"

    def say(self, content: Content, **options: Unpack[TurnOptions[Parsed]]) -> ChatCall[Parsed]:
        """Ask something, and record both turns once the reply is whole.

        Args:
            content: a text, or content parts in the API's own form.
            options: those of :meth:`TokenGate.chat`, over those of the conversation.

        Raises:
            CallerError: it is empty; or, when the call is used, the last turn is not over yet, or
                has tool calls without results.
        """
        if not isinstance(content, str | list | tuple) or not content:
            message = f"expected a text or content parts to say, got {_shown(content)}"
            raise CallerError(message)
        return self._call([{"role": "user", "content": content}], options)

    def answer_tools(
        self, results: Mapping[str, str], **options: Unpack[TurnOptions[Parsed]]
    ) -> ChatCall[Parsed]:
        """Return the results of the tool calls of the last turn, by their ids.

        Raises:
            CallerError: a call has no result, a result no call, or one is no text.
        """
        last = self.messages[-1] if self.messages else {}
        calls = [str(call.get("id")) for call in last.get("tool_calls") or ()]
        if set(calls) != set(results):
            message = f"expected results for the tool calls {calls}, got {sorted(results)}"
            raise CallerError(message)
        for call, result in results.items():
            if not isinstance(result, str):
                message = f"expected the result of {call!r} as a text, got {_shown(result)}"
                raise CallerError(message)
        said = [{"role": "tool", "tool_call_id": call, "content": results[call]} for call in calls]
        return self._call(said, options)

    def trim(self, tokens: int) -> None:
        """Forget the oldest turns until about so many tokens are left.

        A turn begins with the user's message and goes with all that belongs to it: tool calls
        are never parted from their results.  The last turn always stays.

        Raises:
            CallerError: ``tokens`` is no such number.
        """
        self._forget(checked(tokens, FROM_ONE, "tokens"), keep=1)

    def to_json(self) -> str:
        """Return all of it as text, to be stored; there is no key in it.

        The options of its calls are in it, also ``timeout`` and ``retry``, as far as JSON can hold
        them: give those again that it can't, which are ``response_type`` and ``tools`` with a
        Python function among them.  Headers and fields of ``extra_body`` that sound secret are
        left out as well.
        """
        return dumps(
            {
                "version": VERSION,
                "model": self.model,
                "system": self.system,
                "max_tokens_kept": self.max_tokens_kept,
                "keep_partial": self.keep_partial,
                "options": _stored_options(self._options),
                "messages": self.messages,
            }
        ).decode()

    @classmethod
    def from_json(
        cls, ask: Ask, stored: str, options: Mapping[str, Any] | None = None, **given: Json
    ) -> Self:
        """Go on with what :meth:`to_json` gave.

        Args:
            ask: makes calls.
            stored: the text.
            options: go over those that were stored.
            given: arguments of the constructor, which go over what was stored if they say
                something; the constructor checks them.

        Raises:
            CallerError: it is none.
        """
        try:
            fields = orjson.loads(stored)
            if fields["version"] != VERSION:
                message = (
                    f"expected a conversation of version {VERSION}, got {fields['version']!r}"
                )
                raise CallerError(message)
            fields.update(part for part in given.items() if not _says_nothing(part[1]))
            talk = cls(
                ask,
                _text_of(fields["model"]),
                system=_text_of(fields["system"]),
                max_tokens_kept=fields["max_tokens_kept"],
                keep_partial=fields.get("keep_partial", False),
                options={**_restored_options(fields.get("options", {})), **(options or {})},
            )
            talk.messages = [_stored(message) for message in fields["messages"]]
        except (KeyError, TypeError, ValueError) as error:
            message = f"expected what to_json() gave, got something else: {type(error).__name__}"
            raise CallerError(message) from None
        return talk

    # --- inside ---------------------------------------------------------------------------------

    def _call(self, said: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> ChatCall:
        check_turn("a conversation", options, TURN_OPTIONS)

        @sealed
        async def opener(*, whole: bool) -> Receiver:
            return await self._open(said, {**self._options, **options}, whole=whole)

        return ChatCall(opener, self.model)

    def _forget(self, tokens: int, keep: int) -> None:
        """Forget turns from the oldest on, but for so many that are kept in any case."""
        starts = [
            place for place, message in enumerate(self.messages) if message["role"] == "user"
        ]
        ends = [*starts[1:], len(self.messages)]
        left = estimate_messages(self.messages) + estimate_text(self.system)
        forgotten = 0
        for start, end in zip(starts[: len(starts) - keep], ends, strict=False):
            if left <= tokens:
                break
            left -= estimate_messages(self.messages[start:end])
            forgotten = end
        del self.messages[:forgotten]

    async def _open(
        self, said: Sequence[Mapping[str, Any]], options: Mapping[str, Any], *, whole: bool
    ) -> Receiver:
        self._check_turn(said)
        if self.max_tokens_kept is not None:
            # Results belong to the last turn, whose calls they answer.
            keep = 0 if said[0]["role"] == "user" else 1
            self._forget(self.max_tokens_kept - estimate_messages(said), keep=keep)
        system = [{"role": "system", "content": self.system}] if self.system else []
        call = self._ask(self.model, [*system, *self.messages, *said], **options)
        self._busy = True
        try:
            receiver = await call.opened(whole=whole)
        except BaseException:
            self._busy = False
            raise
        if receiver.ended:
            self._record(said, receiver)
        else:
            ended = receiver.on_end

            def record(receiver: Receiver) -> None:
                self._record(said, receiver)
                ended(receiver)

            receiver.on_end = record
        return receiver

    def _check_turn(self, said: Sequence[Mapping[str, Any]]) -> None:
        if self._busy:
            message = "the last turn of this conversation is not over: one at a time"
            raise CallerError(message)
        last = self.messages[-1] if self.messages else {}
        if last.get("tool_calls") and said[0]["role"] != "tool":
            message = "the last turn has tool calls: give their results with answer_tools() first"
            raise CallerError(message)

    def _record(self, said: Sequence[Mapping[str, Any]], receiver: Receiver) -> None:
        """Take both turns into the history, if there is an answer."""
        self._busy = False
        answer = self._answer(receiver)
        if not says_nothing(answer):
            self.messages += [*said, answer]

    def _answer(self, receiver: Receiver) -> Mapping[str, Any]:
        """Return the turn of the assistant, an empty one if it does not count."""
        whole = receiver.status in ("complete", "paused")
        if not whole and self.keep_partial:
            # Without its calls and thoughts, which are whole or worth nothing.
            return {"role": "assistant", "content": receiver.reply().answer}
        return receiver.reply().message() if whole and not receiver.error else {}


def _says_nothing(value: object) -> bool:
    return value is None or value is False or value == ""


def _stored_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as JSON, without those that JSON can't hold."""
    stored: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, Timeout | Retry):
            fields = attrs.asdict(value).items()
            stored[name] = {key: "inf" if part == inf else part for key, part in fields}
        elif name in _SECRETS and isinstance(value, Mapping):
            part = {key: it for key, it in value.items() if not _is_secret(name, key, it)}
            with suppress(CallerError):
                stored[name] = orjson.loads(dumps(part))
        elif name != "response_type" and value is not None:
            with suppress(CallerError):
                stored[name] = orjson.loads(dumps(value))
    return stored


def _is_secret(option: str, name: str, value: object) -> bool:
    is_secret = isinstance(value, str) and _SECRET_VALUE.match(value)
    return bool(is_secret or _SECRETS[option].search(name))


def _endless(fields: object) -> dict[str, Any]:
    if not isinstance(fields, dict):
        raise TypeError
    return {name: inf if (part := fields[name]) == "inf" else part for name in fields}


def _restored_options(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as they were.

    Raises:
        CallerError: one is wrong.
        TypeError: it is something else.
        ValueError: it is something else.
    """
    options: dict[str, Any] = {**stored}
    if "timeout" in options:
        options["timeout"] = Timeout(**_endless(options["timeout"]))
    if "retry" in options:
        options["retry"] = Retry(**_endless(options["retry"]))
    check_turn("a conversation", options, TURN_OPTIONS)
    return options


def _text_of(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _stored(message: Mapping[str, Any]) -> Mapping[str, Any]:
    _text_of(message["role"])
    return message


def _shown(value: object) -> str:
    """Name what was given, never what it says."""
    empty = isinstance(value, str | list | tuple) and not value
    return f"an empty {type(value).__name__}" if empty else type(value).__name__
