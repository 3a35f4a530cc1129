"""What the frames of a traceback show: what a crash report would tell of an error."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import attrs

import aiotokengate

PACKAGE = str(Path(aiotokengate.__file__).parent)
DEEPEST = 5


def frames_with(error: BaseException | None, marks: Iterable[str]) -> list[str]:
    """Name the locals of the library's frames in which a mark can be seen."""
    looked_for = [*marks]
    return sorted(
        f"{name} shows {mark}"
        for one in _chain(error)
        for name, value in _locals(one.__traceback__)
        for mark in looked_for
        if _shows(value, mark)
    )


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    rest = [error]
    while rest:
        one = rest.pop()
        if one is not None and one not in found:
            found.append(one)
            rest += [one.__cause__, one.__context__]
    return found


def _locals(trace: TracebackType | None) -> Iterator[tuple[str, Any]]:
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename.startswith(PACKAGE):
            for name, value in trace.tb_frame.f_locals.items():
                yield f"{Path(code.co_filename).name}:{code.co_name}.{name}", value
        trace = trace.tb_next


def _shows(value: Any, mark: str, depth: int = 0) -> bool:
    """Return whether a mark stands in a value, as ``repr`` and the likes of rich show it."""
    if isinstance(value, bytes | bytearray | memoryview):
        return mark.encode() in bytes(value)
    if isinstance(value, BaseException) or depth > DEEPEST:
        return False  # an error is looked at for itself
    return mark in repr(value) or any(_shows(one, mark, depth + 1) for one in _inside(value))


def _inside(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return [*value]
    if isinstance(value, partial):
        return [*value.args, *value.keywords.values()]
    if attrs.has(type(value)):
        shown = [field.name for field in attrs.fields(type(value)) if field.repr]
        return [getattr(value, name, None) for name in shown]
    return []
