"""Where a value differs from a pattern.

A pattern is JSON.  Objects need have no more than the pattern's keys; lists are compared entry by
entry.  An object with keys that begin with ``$`` says more: ``$absent`` and ``$present`` (a key),
``$has`` and ``$lacks`` (entries of a list, in any order), ``$contains`` and ``$without`` (texts in
it, whatever it is), ``$json`` (a text that is this JSON), ``$not`` and ``$any``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

__all__ = ["differences", "fits"]


def fits(came: Any, wanted: Any) -> bool:
    """Say whether a value fits a pattern."""
    return next(differences(came, wanted), None) is None


def differences(came: Any, wanted: Any, at: str = "") -> Iterator[str]:
    """Name each place where a value does not fit."""
    if isinstance(wanted, dict) and any(key.startswith("$") for key in wanted):
        for name, value in wanted.items():
            if not _RULES[name](came, value):
                yield f"{at}: {name} {_short(value)}, got {_short(came)}"
    elif isinstance(wanted, dict) and isinstance(came, Mapping):
        for key, value in wanted.items():
            yield from _of_key(came, key, value, f"{at}.{key}")
    elif isinstance(wanted, list) and isinstance(came, list | tuple) and len(wanted) == len(came):
        for place, (one, pattern) in enumerate(zip(came, wanted, strict=True)):
            yield from differences(one, pattern, f"{at}[{place}]")
    elif came != wanted or isinstance(came, bool) is not isinstance(wanted, bool):
        yield f"{at}: expected {_short(wanted)}, got {_short(came)}"


def _of_key(came: Mapping[str, Any], key: str, wanted: Any, at: str) -> Iterator[str]:
    if isinstance(wanted, dict) and "$absent" in wanted:
        if key in came:
            yield f"{at}: expected no such key, got {_short(came[key])}"
    elif key not in came:
        yield f"{at}: expected {_short(wanted)}, got no such key"
    else:
        yield from differences(came[key], wanted, at)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)


def _short(value: Any) -> str:
    text = _written(value)
    return text if len(text) < 300 else f"{text[:300]}…"


def _is_json(came: Any, wanted: Any) -> bool:
    try:
        return fits(json.loads(came), wanted)
    except (TypeError, ValueError):
        return False


def _listed(came: Any) -> list[Any]:
    return list(came) if isinstance(came, list | tuple) else []


_RULES: Final[Mapping[str, Callable[[Any, Any], bool]]] = MappingProxyType(
    {
        "$present": lambda _came, _: True,
        "$has": lambda came, wanted: all(
            any(fits(one, pattern) for one in _listed(came)) for pattern in wanted
        ),
        "$lacks": lambda came, wanted: not any(fits(one, wanted) for one in _listed(came)),
        "$contains": lambda came, wanted: all(text in _written(came) for text in wanted),
        "$without": lambda came, wanted: not any(text in _written(came) for text in wanted),
        "$json": _is_json,
        "$not": lambda came, wanted: not fits(came, wanted),
        "$any": lambda came, wanted: any(fits(came, one) for one in wanted),
    }
)
