"""Values that fit a JSON schema: what the fake models answer where one is asked for.

Strategy.  The smallest value is made that the schema allows: every property that is named, lists
as short as they may be, text that is the question itself.  Schemas may mention themselves
(``$ref``): a reference that is being followed already is not followed again, and whatever needs
it is made in another way (another branch, a shorter list, a property left out).

Source: JSON Schema 2020-12; Google's subset writes its types in capital letters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

import attrs

from aiotokengate.types import Json

__all__ = ["fit"]


_FORMATS: Mapping[str, str] = {
    "date": "2026-11-30",
    "date-time": "2026-11-30T08:00:00Z",
    "time": "08:00:00Z",
    "duration": "P1D",
    "email": "ni.hao@example.com",
    "hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_SAMPLES = (
    *("a", "A", "0", "1.5", "00", "000", "0000", "aa", "AA", "AAA", "a-1"),
    *_FORMATS.values(),
)
"""What is tried where a pattern is asked for; no pattern is solved."""


class _EndlessError(Exception):
    """The schema can only be met by following a reference that is being followed."""


def fit(schema: Json, text: str) -> Json:
    """Return a small value that fits a schema; ``text`` is what its texts say."""
    root = schema if isinstance(schema, dict) else {}
    try:
        return _Maker(root, text).value(root, ("#",))
    except _EndlessError:
        return None  # no value of finite size fits
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return text  # it is no schema, so that nothing can be said to fit it


@attrs.frozen
class _Maker:
    root: Mapping[str, Json]
    text: str

    def value(self, schema: Json, following: tuple[str, ...]) -> Json:
        """Return a value; ``following`` are the references on the way here."""
        schema, following = self._resolved(schema, following)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        branches = schema.get("anyOf") or schema.get("oneOf")
        if branches:
            return self._any(schema, branches, following)
        return self._of_type(_kind(schema), schema, following)

    def _of_type(self, kind: str, schema: Mapping[str, Json], following: tuple[str, ...]) -> Json:
        if kind == "object":
            return self._object(schema, following)
        if kind == "array":
            return self._array(schema, following)
        if kind in ("integer", "number"):
            return _number(schema, kind)
        return {"boolean": True, "null": None}.get(kind, self._string(schema))

    def _resolved(
        self, schema: Json, following: tuple[str, ...]
    ) -> tuple[Mapping[str, Json], tuple[str, ...]]:
        """Follow references, and join what must hold together."""
        schema = schema if isinstance(schema, dict) else {}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            if reference in following:
                raise _EndlessError
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            whole = _joined((self._found(reference), beside))
            return self._resolved(whole, (*following, reference))
        if schema.get("allOf"):
            beside = {key: value for key, value in schema.items() if key != "allOf"}
            parts = [self._resolved(part, following) for part in schema["allOf"]]
            following = tuple({name: 0 for _, names in parts for name in names})
            return _joined((beside, *(part for part, _ in parts))), following
        return schema, following

    def _found(self, reference: str) -> Mapping[str, Json]:
        found: Json = self.root
        for part in reference.removeprefix("#").split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    def _any(
        self, schema: Mapping[str, Json], branches: Sequence[Json], following: tuple[str, ...]
    ) -> Json:
        """Return what the first branch wants that can be met."""
        beside = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
        for branch in branches:
            try:
                whole, names = self._resolved(branch, following)
                return self.value(_joined((beside, whole)), names)
            except _EndlessError:
                continue
        raise _EndlessError

    def _object(self, schema: Mapping[str, Json], following: tuple[str, ...]) -> Json:
        named = schema.get("properties")
        properties: Mapping[str, Json] = named if isinstance(named, dict) else {}
        required = schema.get("required") or ()
        unnamed = schema.get("additionalProperties")
        extra = {name: unnamed for name in required if name not in properties}
        made: dict[str, Json] = {}
        for name, rules in {**properties, **extra}.items():
            try:
                made[name] = self.value(rules, following)
            except _EndlessError:
                if name in required:
                    raise
        return made

    def _array(self, schema: Mapping[str, Json], following: tuple[str, ...]) -> Json:
        first = [self.value(rules, following) for rules in schema.get("prefixItems") or ()]
        missing = max(0, int(schema.get("minItems") or 0) - len(first))
        rest = [self.value(schema.get("items"), following) for _ in range(missing)]
        if schema.get("uniqueItems"):
            rest = list(_told_apart(rest))
        return [*first, *rest]

    def _string(self, schema: Mapping[str, Json]) -> str:
        least = int(schema.get("minLength") or 0)
        most = schema.get("maxLength")
        pattern = schema.get("pattern")
        if isinstance(pattern, str):
            samples = (self.text, *_SAMPLES)
            return next((text for text in samples if _fits(pattern, text)), self.text)
        text: str = _FORMATS.get(str(schema.get("format")), self.text)
        if len(text) < least:
            text = (text or "好") * math.ceil(least / max(1, len(text)))
        return text if most is None else text[: max(least, int(most))]


def _kind(schema: Mapping[str, Json]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if str(name).lower() != "null"), "null")
    if kind is None and "properties" in schema:
        return "object"
    if kind is None and ("items" in schema or "prefixItems" in schema):
        return "array"
    return str(kind).lower()


def _number(schema: Mapping[str, Json], kind: str) -> float:
    whole = kind == "integer"
    value: float = 1 if whole else 1.5
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    most, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    step = schema.get("multipleOf")
    hop = step or (1 if whole else 0.5)
    for bound, over in ((least, 0), (above, hop)):
        if bound is not None and value < bound + over:
            value = bound + over
    for bound, under in ((most, 0), (below, hop)):
        if bound is not None and value > bound - under:
            value = bound - under
    if step:
        value = math.ceil(value / step) * step
    return int(value) if whole else value


def _told_apart(values: Sequence[Json]) -> Iterator[Json]:
    for number, value in enumerate(values):
        if isinstance(value, str):
            yield f"{value}{number or ''}"
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield value + number
        else:
            yield value


def _fits(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True


def _joined(schemas: Sequence[Mapping[str, Json]]) -> Mapping[str, Json]:
    """Join schemas that must all hold: their properties side by side, the later word counts."""
    whole: dict[str, Json] = {}
    for schema in schemas:
        both = {
            "properties": {**whole.get("properties", {}), **schema.get("properties", {})},
            "required": [*whole.get("required", ()), *schema.get("required", ())],
        }
        whole |= schema
        whole |= {key: value for key, value in both.items() if value}
    return whole
