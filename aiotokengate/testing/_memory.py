"""What the fake gateway keeps of its replies: responses that are stored, threads of messages.

Strategy.  A memory belongs to one gateway and one protocol.  A request that leans on what was
said before is filled up from it before anybody else looks at it; a reply goes in when it is told
to its end, never before: a client that left has made nothing that can be gone on from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeAlias, TypeVar

import attrs

from aiotokengate.testing._chat_request import Refusal
from aiotokengate.types import Json

__all__ = ["Keep", "Responses", "Threads"]

Kept = TypeVar("Kept")
Keep: TypeAlias = Callable[[Mapping[str, Json]], None]
"""Takes an answer in its plain form, once it was told to its end."""

_MOST = 10_000

THREADS_BETA = "message-threads-2026-08-12"
"""The beta under which Anthropic holds a conversation (anthropic 2.14.0, ``lib/threads``)."""


class _Shelf(Generic[Kept]):
    """The last so many things by their ids."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    def get(self, name: Json) -> Kept | None:
        return self._kept.get(name) if isinstance(name, str) else None

    def put(self, name: str, value: Kept) -> None:
        self._kept.pop(name, None)
        self._kept[name] = value
        while len(self._kept) > _MOST:
            del self._kept[next(iter(self._kept))]


# --- OpenAI's Responses -------------------------------------------------------------------------


class Responses:
    """The stored responses of a gateway, and their items."""

    def __init__(self) -> None:
        """Begin empty."""
        self._inputs: _Shelf[Sequence[Mapping[str, Json]]] = _Shelf()
        self._items: _Shelf[Mapping[str, Json]] = _Shelf()

    def filled(self, body: Mapping[str, Json]) -> list[Mapping[str, Json]]:
        """Return all items of a request's input: those before it, and those it only names.

        Raises:
            Refusal: it names what is not stored.
        """
        given = body.get("input")
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given or []
        return [*self._before(body), *(self._named(item) for item in items)]

    def keep(self, items: Sequence[Mapping[str, Json]], answer: Mapping[str, Json]) -> None:
        """Store a response whose input were these items."""
        self._inputs.put(answer["id"], [*items, *answer["output"]])
        for item in answer["output"]:
            self._items.put(item["id"], item)

    def _before(self, body: Mapping[str, Json]) -> Sequence[Mapping[str, Json]]:
        name = body.get("previous_response_id")
        if name is None:
            return ()
        items = self._inputs.get(name)
        if items is None:
            message = f"Previous response with id '{name}' not found."
            code = "previous_response_not_found"
            raise _invalid(400, message, param="previous_response_id", code=code)
        return items

    def _named(self, item: Mapping[str, Json]) -> Mapping[str, Json]:
        # The type may be left out of a reference, which is then an id and nothing else.
        if item.get("type") != "item_reference" and item.keys() != {"id"}:
            return item
        found = self._items.get(item.get("id"))
        if found is None:
            message = (
                f"Item with id '{item.get('id')}' not found. Items are not persisted when `store`"
                " is set to false. Try again with `store` set to true, or remove this item from"
                " your input."
            )
            raise _invalid(404, message, param="input", code=None)
        return found


def _invalid(status: int, message: str, **fields: Json) -> Refusal:
    return Refusal(status, message, vendor=True, type="invalid_request_error", **fields)


# --- Anthropic's threads ------------------------------------------------------------------------


@attrs.define
class _Thread:
    """A conversation up to one reply."""

    settings: Mapping[str, Json]
    messages: Sequence[Mapping[str, Json]]
    continued: bool = False


class Threads:
    """The conversations that a gateway holds for its clients.

    Source: ``lib/threads`` of anthropic 2.14.0: the field, its beta, what a continuation may not
    repeat, and the error codes after which the client sends everything again.  The statuses are
    not told there.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._threads: _Shelf[_Thread] = _Shelf()

    def filled(self, body: Mapping[str, Json], betas: str) -> Mapping[str, Json]:
        """Return a request's body with what the thread holds.

        Raises:
            Refusal: there is no such thread, or it may not be continued like this.
        """
        thread = body.get("thread")
        if thread is None:
            return body
        if THREADS_BETA not in betas:
            raise Refusal(400, "thread: Extra inputs are not permitted", vendor=True)
        if thread.get("type") == "create":
            return body
        return self._continued(body, thread.get("previous_message_id"))

    def keep(self, body: Mapping[str, Json], answer: Mapping[str, Json]) -> None:
        """Hold a conversation up to this answer; ``body`` is the whole one it answers."""
        before = self._threads.get(body["thread"].get("previous_message_id"))
        if before is not None:
            before.continued = True
        said = {"role": "assistant", "content": answer["content"]}
        settings = {name: body[name] for name in _FIXED if name in body}
        self._threads.put(answer["id"], _Thread(settings, [*body["messages"], said]))

    def _continued(self, body: Mapping[str, Json], name: Json) -> Mapping[str, Json]:
        held = self._threads.get(name)
        if held is None:
            raise _lost(404, f"thread: no thread for message {name}", "thread_not_found")
        if held.continued:
            message = f"thread: message {name} was continued already"
            raise _lost(409, message, "thread_already_continued")
        repeated = [field for field in _FIXED if field in body]
        if repeated:
            message = f"{repeated[0]}: may not be set when a thread is continued"
            raise Refusal(400, message, vendor=True)
        return {**body, **held.settings, "messages": [*held.messages, *body["messages"]]}


_FIXED = ("system", "tools")


def _lost(status: int, message: str, code: str) -> Refusal:
    return Refusal(status, message, vendor=True, details={"error_code": code})
