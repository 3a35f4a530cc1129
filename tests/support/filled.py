"""Examples of what a vendor's package says may come, filled from its pydantic types.

Every text of an example is a mark of its own, so that a test can ask of each where it went.
Unions are filled with each of their members in turn: :func:`examples` makes as many examples as
the widest union below has members.
"""

from __future__ import annotations

import base64
import datetime as dt
import enum
import inspect
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import pydantic
from typing_extensions import TypeAliasType

__all__ = ["Filler", "examples", "members", "texts_in"]

DEEPEST = 12
MARK = "记号🔖"
_ENCODED = base64.b64encode(MARK.encode()).decode()[:12]


def members(annotation: Any) -> list[type[pydantic.BaseModel]]:
    """Return the models of a union, however it is wrapped."""
    found: list[type[pydantic.BaseModel]] = []
    for each in _alternatives(annotation):
        if inspect.isclass(each) and issubclass(each, pydantic.BaseModel) and each not in found:
            found.append(each)
    return found


def examples(
    model: type[pydantic.BaseModel], fixed: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """Return examples of a model as the JSON of the wire, all fields filled.

    Args:
        model: of a vendor's package.
        fixed: values for fields, by their names on the wire, however deep they stand.
    """
    turn, widest = 0, 1
    while turn < widest:
        filler = Filler(turn, fixed)
        yield filler.model(model)
        turn, widest = turn + 1, max(widest, filler.widest)


def texts_in(value: object) -> Iterator[tuple[str, str]]:
    """Return the marks in a value, each behind the name of its field; bytes are in base64."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            for found, mark in texts_in(inner):
                yield found or name, mark
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts_in(inner)
    elif isinstance(value, str) and (MARK in value or _ENCODED in value):
        yield "", value


class Filler:
    """Fills one example.

    Attributes:
        widest: how many members the widest union had that was met.
    """

    def __init__(self, turn: int = 0, fixed: Mapping[str, Any] | None = None) -> None:
        """Begin; ``turn`` says which member of each union is taken."""
        self.turn = turn
        self.fixed = fixed or {}
        self.widest = 1
        self._count = 0
        self._open: list[type] = []

    def mark(self, name: str) -> str:
        """Return a text that is like no other of this example."""
        self._count += 1
        return f"{MARK}{self.turn}.{self._count}:{name}"

    def model(self, model: type[pydantic.BaseModel]) -> dict[str, Any]:
        """Return a model with all its fields, under their names on the wire."""
        self._open.append(model)
        whole: dict[str, Any] = {}
        for name, field in model.model_fields.items():
            alias = field.alias or name
            value = self.fixed[alias] if alias in self.fixed else self.of(field.annotation, alias)
            if value is not None:
                whole[alias] = value
        self._open.pop()
        return whole

    def of(self, annotation: Any, name: str) -> Any:
        """Return a value of a type; None where it would hold itself."""
        choices = [each for each in _alternatives(annotation) if each is not types.NoneType]
        choices = [each for each in choices if each not in self._open] or choices
        self.widest = max(self.widest, len(choices))
        chosen = choices[self.turn % len(choices)]
        if len(self._open) > DEEPEST or chosen in self._open:
            return None
        origin = get_origin(chosen)
        if origin is Literal:
            return get_args(chosen)[0]
        if origin in (list, tuple) or chosen is list:
            return self._list(chosen, name)
        if origin in (dict, Mapping) or chosen is dict:
            return {f"键{name}": self.of((get_args(chosen) or (str, str))[1], name)}
        return self._plain(chosen, name)

    def _list(self, kind: Any, name: str) -> list[Any]:
        one = self.of((get_args(kind) or (str,))[0], name)
        return [] if one is None else [one]

    def _plain(self, kind: Any, name: str) -> Any:
        if not inspect.isclass(kind):
            return self.mark(name)
        if issubclass(kind, pydantic.BaseModel):
            return self.model(kind)
        if issubclass(kind, enum.Enum):
            values = [one.value for one in kind]
            return values[self.turn % len(values)] if values else self.mark(name)
        if issubclass(kind, bytes):
            return base64.b64encode(self.mark(name).encode()).decode()
        for plain, value in _VALUES.items():
            if issubclass(kind, plain):
                return value
        return self.mark(name)


_VALUES: dict[type, Any] = {
    bool: True,
    int: 7,
    float: 0.5,
    dt.datetime: "2026-11-30T08:00:00Z",
    dt.date: "2026-11-30",
    dt.timedelta: "3s",
}


def _alternatives(annotation: Any) -> list[Any]:
    """Return what a type may be, unions and wrappers taken apart."""
    if isinstance(annotation, TypeAliasType):
        return _alternatives(annotation.__value__)
    if isinstance(annotation, TypeVar):
        return _alternatives(annotation.__bound__ or str)
    origin = get_origin(annotation)
    if origin is Annotated:
        return _alternatives(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [each for one in get_args(annotation) for each in _alternatives(one)]
    return [annotation]
