"""Parameters under the names of Chat Completions, said in a protocol's own: a table for each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

import attrs

from aiotokengate._wire.question import Question, merged
from aiotokengate.errors import CallerError
from aiotokengate.types import Json

__all__ = [
    "Body",
    "ParameterTable",
    "Put",
    "check_one_choice",
    "most_tokens",
    "put_within",
    "with_extras",
]

Body: TypeAlias = dict[str, Any]
Put: TypeAlias = Callable[[Body, Json], None]


@attrs.frozen(eq=False, repr=False)
class ParameterTable:
    """How one protocol says the parameters; a note tells of each that it does not have.

    Attributes:
        names: the protocol's name for each parameter whose value stays as it is.
        puts: for each parameter that takes another form, the function that puts it into a body.
        silent: the parameters that are said elsewhere, or need not be said.
        within: the object of the body that ``names`` belong in; "" is the body itself.
    """

    names: Mapping[str, str]
    puts: Mapping[str, Put]
    silent: Collection[str]
    within: str = ""

    def put(self, body: Body, given: Mapping[str, Json]) -> list[str]:
        """Put the given parameters into a body; return a note for each that is left out."""
        notes: list[str] = []
        fields: Body = {} if self.within else body
        for name, value in given.items():
            if name in self.names:
                fields[self.names[name]] = value
            elif name in self.puts:
                self.puts[name](body, value)
            elif name not in self.silent:
                notes.append(f"parameter {name!r} is not part of this protocol and was left out")
        if self.within and fields:
            put_within(body, self.within, **fields)
        return notes


def put_within(body: Body, name: str, /, **fields: Json) -> None:
    """Put fields into an object of a body, which may have others already."""
    body[name] = {**body.get(name, {}), **fields}


def check_one_choice(given: Mapping[str, Json], protocol: str) -> None:
    """Refuse several choices, where the protocol has one.

    Raises:
        CallerError: ``n`` is not 1.
    """
    if given.get("n", 1) != 1:
        message = f"expected n=1 over {protocol}, got {given['n']!r}"
        raise CallerError(message)


def most_tokens(given: Mapping[str, Json]) -> Json:
    """Return the limit of the reply in tokens, whichever of its two names it has, or None."""
    return given.get("max_completion_tokens") or given.get("max_tokens")


def with_extras(body: Body, question: Question) -> Body:
    """Return a body with the question's ``extra_body`` merged over it."""
    for extra in question.extra_body:
        body = merged(body, extra or {})
    return body
