"""Tool calls among the output items of OpenAI's Responses.

Strategy.  Each item that the client has to answer is a tool call, of the kind that its type names.
Those that come in pieces begin with their item; those whose arguments are an object are told once
the item is over.  Two wait for more:

- a ``shell_call`` runs at OpenAI or at the client's: only when the response is over is it certain
  that no output of it is in the same reply;
- free text has no end of its own: without a status its call counts as whole once something else
  follows, or the response is complete.

What goes back in the next turn is built from the same calls, so that each complete one is in it
exactly once, and no other.

Source: the types of the package ``openai`` (``response_output_item``, ``response_input_item``).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from aiotokengate._wire.identity import Call, alike, is_loose, parsed
from aiotokengate._wire.jsontext import written
from aiotokengate._wire.output_items import Fields, Item, Items
from aiotokengate._wire.question import text_of
from aiotokengate._wire.transcript import ChoiceState, Transcript
from aiotokengate.types import FREE_TEXT

__all__ = ["ACTIONS", "INPUTS", "STREAMED", "ItemCalls"]


STREAMED: Final = ("function_call", "custom_tool_call")
"""Types of the calls whose arguments come in pieces."""

INPUTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "function_call": "arguments",
        "custom_tool_call": "input",
        "mcp_approval_request": "arguments",
    }
)
"""Calls whose arguments are a text of the item, and its key."""

ACTIONS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "shell_call": ("shell", "action"),
        "local_shell_call": ("local_shell", "action"),
        "apply_patch_call": ("apply_patch", "operation"),
        "computer_call": ("computer", ""),
        "tool_search_call": ("tool_search", "arguments"),
    }
)
"""Calls whose arguments are an object of the item: what they are called, and its key."""

_COMPUTER: Final = ("action", "actions", "pending_safety_checks")
_BESIDE: Final = ("namespace", "caller", "async", "server_label", "environment")
"""Fields of a call that are kept beside its arguments."""

_PLACEHOLDERS: Final = ("", "{}", "null")


class ItemCalls:
    """The calls of one reply."""

    __slots__ = ("_late", "_log", "_shells")

    def __init__(self, log: Transcript) -> None:
        """Begin without any."""
        self._log = log
        self._late: list[Item] = []
        self._shells: list[tuple[Item, Fields]] = []

    @property
    def _state(self) -> ChoiceState:
        return self._log.choice(0)

    def of(self, item: Item) -> Call | None:
        """Return the call of an item, if it was told."""
        return self._state.calls.get(item)

    # --- arguments in pieces --------------------------------------------------------------------

    def add(self, item: Item, fragment: str) -> None:
        """Take a piece of the arguments."""
        if item.begun:
            self._log.add_to_call(self._state, item, fragment)
        else:
            item.keep(_ARGUMENTS, fragment)  # until its name is known

    def take_whole(self, item: Item, whole: object, named: Fields) -> None:
        """Take all arguments, as the event that closes them tells them, perhaps with the name."""
        if not item.begun:
            self.begin(item, named)
        call = self.of(item)
        if call is None:
            if whole and isinstance(whole, str):
                item.kept[_ARGUMENTS] = [whole]
        elif item.type == "custom_tool_call":
            self._take_text(item, call, whole)
        elif not (_is_placeholder(whole) and call.begun):
            self._log.finish_call(self._state, item, whole)

    def begin(self, item: Item, whole: Fields) -> None:
        """Begin the call of an item once its name is known."""
        name = text_of(whole.get("name"))
        if name:
            self._begin(item, whole, name)
            for piece in item.kept.pop(_ARGUMENTS, ()):
                self._log.add_to_call(self._state, item, piece)

    def _begin(self, item: Item, whole: Fields, name: str) -> None:
        item.begun = True
        kind = "function" if item.type == "function_call" else item.type
        own_id = text_of(whole.get("id")) or item.id
        # An approval has no other id, and its answer names this one.
        named = "" if kind == "mcp_approval_request" else text_of(whole.get("call_id"))
        self._log.begin_call(self._state, item, named or item.call_id or own_id, name, kind)
        self._keep_beside(item, whole)

    def _keep_beside(self, item: Item, whole: Fields) -> None:
        call = self.of(item)
        if call is not None:
            call.extra.update({key: whole[key] for key in _BESIDE if whole.get(key) is not None})

    def _take_text(self, item: Item, call: Call, whole: object) -> None:
        """Take free text as a whole, which does not say that it was not cut."""
        if not isinstance(whole, str) or not whole or call.closed:
            return
        # The shorter one can't go on with what was said, and is not compared with all of it.
        if len(whole) < call.size or not whole.startswith(call.arguments):
            call.doubted = True
        elif len(whole) > call.size:
            self._log.add_to_call(self._state, item, whole[call.size :])

    # --- items that are over --------------------------------------------------------------------

    def close(self, item: Item, whole: Fields) -> bool:
        """Take a call as it is at its end; return whether the vendor has run it itself."""
        if item.type in INPUTS:
            self._close_input(item, whole)
        elif item.type == "tool_search_call" and whole.get("execution") != "client":
            return True
        elif item.type != "shell_call":
            self._tell_action(item, whole)
        elif _is_local(whole):
            self._shells.append((item, whole))
        else:
            return True
        return False

    def _close_input(self, item: Item, whole: Fields) -> None:
        if not item.begun:
            self.begin(item, whole)
        call = self.of(item)
        if call is None:
            return
        self._keep_beside(item, whole)
        status, text = whole.get("status"), whole.get(INPUTS[item.type])
        if item.type == "custom_tool_call":
            self._take_text(item, call, text)
            text = None
            if status is None:
                self._late.append(item)
                return
        elif _is_placeholder(text) and call.begun:
            text = None
        if status == "incomplete" and not call.closed:
            call.doubted = True
        self._log.finish_call(self._state, item, text)

    def _begin_action(self, item: Item, whole: Fields) -> None:
        name, key = ACTIONS[item.type]
        self._begin(item, whole, name)
        inner = whole.get(key) if key else {k: whole[k] for k in _COMPUTER if k in whole}
        arguments = inner if isinstance(inner, str) else written({} if inner is None else inner)
        self._log.add_to_call(self._state, item, arguments)

    def _tell_action(self, item: Item, whole: Fields) -> None:
        self._begin_action(item, whole)
        call = self.of(item)
        if call is not None and whole.get("status") == "incomplete":
            call.doubted = True
        self._log.finish_call(self._state, item)

    # --- what waits -----------------------------------------------------------------------------

    def go_on(self) -> None:
        """Close free texts that no status called complete, as something else follows."""
        for item in self._late:
            self._log.finish_call(self._state, item)
        self._late.clear()

    def settle(self, items: Items, *, cut: bool) -> None:
        """Take the end of the response; ``cut`` says that it lacks something."""
        for call in self._state.calls if cut else ():
            if call.kind in FREE_TEXT and not call.closed:
                call.doubted = True
        self.go_on()
        run = {item.call_id for item in items.all if item.type == "shell_call_output"}
        for item, whole in self._shells:
            if not item.call_id or item.call_id not in run:
                self._tell_action(item, whole)
        self._shells.clear()

    def break_off(self) -> None:
        """Take the end of a reply that was cut off: what would have run a command is not known."""
        for item, whole in self._shells:
            self._begin_action(item, whole)
        self._shells.clear()

    def tell_first(self, item: Item, first: Fields) -> None:
        """Report the arguments that a call had when it began, where nothing else has told them."""
        call = self.of(item)
        if call is None:
            self.close(item, first)
        elif not call.begun and isinstance(text := first.get(INPUTS.get(item.type, "")), str):
            self._log.add_to_call(self._state, item, text)

    # --- what goes back -------------------------------------------------------------------------

    def back(self, item: Item) -> Fields | None:
        """Return a call as it goes back in the next turn, None for one that can't be answered."""
        call = self.of(item)
        if call is None:
            return None if item.type in INPUTS else item.final
        if not self._log.is_whole(self._state, call):
            return None
        whole = dict(item.final or self._built(item, call))
        if call.id not in (whole.get("call_id"), whole.get("id")):
            whole["id" if item.type == "mcp_approval_request" else "call_id"] = call.id
        if item.type in INPUTS and not _say_same(whole.get(INPUTS[item.type]), call):
            whole[INPUTS[item.type]] = call.arguments
        return whole

    def _built(self, item: Item, call: Call) -> Fields:
        """Build an item that never came as a whole."""
        if item.type in STREAMED:
            named = {"type": item.type, "call_id": call.id, "name": call.name, **call.extra}
            empty = "" if call.kind in FREE_TEXT else "{}"
            return {**named, INPUTS[item.type]: call.arguments or empty}
        first = with_pieces(item)
        return first | {"status": "completed"} if "status" in first else first


_ARGUMENTS: Final = "arguments"


def with_pieces(item: Item) -> dict[str, Any]:
    """Return an item as it began, with what pieces have told of it since."""
    first = dict(item.first or {})
    if item.type == "shell_call" and (commands := _commands(item)):
        action = first.get("action")
        first["action"] = {**(action if isinstance(action, dict) else {}), "commands": commands}
    if item.type == "apply_patch_call" and (diff := item.kept.get("diff")):
        operation = first.get("operation")
        inner = operation if isinstance(operation, dict) else {}
        first["operation"] = {**inner, "diff": "".join(map(text_of, diff))}
    return first


def _commands(item: Item) -> list[str]:
    numbers = (name.removeprefix("command.") for name in item.kept if name.startswith("command."))
    found = sorted(int(number) for number in numbers if number.isdecimal())
    return ["".join(map(text_of, item.kept[f"command.{number}"])) for number in found]


def _is_local(whole: Fields) -> bool:
    """Return whether a command is the client's to run; without an environment it may be."""
    environment = whole.get("environment")
    return not isinstance(environment, dict) or environment.get("type") in (None, "local")


def _is_placeholder(text: object) -> bool:
    return text is None or (isinstance(text, str) and text.strip() in _PLACEHOLDERS)


def _say_same(text: object, call: Call) -> bool:
    """Return whether an item has the arguments that its call was told with."""
    if not isinstance(text, str):
        return False
    if text == call.arguments:
        return True
    if call.kind in FREE_TEXT or is_loose(text):
        return False
    return alike(parsed(text or "{}"), parsed(call.arguments or "{}"))
