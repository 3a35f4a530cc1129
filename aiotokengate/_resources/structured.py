"""Types in place of JSON: what a model must answer in, and what a function takes.

msgspec does the work (extra ``structured``): it knows attrs classes, dataclasses, TypedDicts,
named tuples and its own Structs, gives their JSON Schema and says at which path a value does not
fit.  A pydantic model brings its own methods for both, and these are used.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_type_hints

import attrs

from aiotokengate._wire.jsontext import dumps, loads
from aiotokengate.errors import CallerError, ResponseInvalid
from aiotokengate.types import Json

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Shape", "Tool", "result_text", "shape_of", "tool_of"]

Way: TypeAlias = Literal["schema", "json", "text"]

Convert: TypeAlias = Callable[[Json], Any]
"""Turns parsed JSON into a value of the user's type."""

_WRAPPED: Final = "value"
_FENCE: Final = "```"
_NAME = re.compile(r"[^a-zA-Z0-9_-]+")
_NOT_STRICT: Final = frozenset(("default", "title"))
_MISSING = (
    "expected the extra 'structured' for types and functions: "
    "pip install 'aiotokengate[structured]'\n"
    "使用类型或函数需要安装：pip install 'aiotokengate[structured]'"
)


@attrs.frozen
class Shape:
    """The type that an answer must have.

    Attributes:
        name: of the type, for the schema.
        schema: its JSON Schema, of an object: what is none is wrapped in one.
        strict: whether the schema can be held to the letter (no open objects).
    """

    name: str
    schema: Mapping[str, Json] = attrs.field(repr=False)
    strict: bool
    _wrapped: bool = attrs.field(repr=False)
    _convert: Callable[[Json], object] = attrs.field(repr=False)

    def parse(self, text: str) -> object:
        """Return the value of an answer.

        Raises:
            ResponseInvalid: it is no JSON, or does not fit; the error names the path.
        """
        value = _json_in(text)
        if self._wrapped:
            if not isinstance(value, dict) or _WRAPPED not in value:
                message = f"expected a JSON object with the key {_WRAPPED!r} as the answer"
                raise ResponseInvalid(message)
            value = value[_WRAPPED]
        return self._convert(value)

    def response_format(self, way: Way) -> tuple[Mapping[str, Json] | None, str | None]:
        """Return ``response_format`` and an instruction, as far as a model needs them."""
        if way == "schema":
            inner = {"name": self.name, "schema": self.schema, "strict": self.strict}
            return {"type": "json_schema", "json_schema": inner}, None
        schema = dumps(self.schema).decode()
        instruction = (
            "Answer with one JSON object and nothing else, no code fence and no other text. "
            f"It must fit this JSON Schema:\n{schema}"
        )
        return ({"type": "json_object"} if way == "json" else None), instruction


def shape_of(wanted: object) -> Shape:
    """Return the shape of a type.

    Raises:
        CallerError: it is no type that has a schema, or the extra is missing.
    """
    schema, convert = _pydantic(wanted) or _msgspec(wanted)
    wrapped = schema.get("type") != "object"
    if wrapped:
        defs = schema.pop("$defs", None)
        schema = {"type": "object", "properties": {_WRAPPED: schema}, "required": [_WRAPPED]}
        if defs:
            schema["$defs"] = defs
    strict = _can_be_strict(schema)
    name = _NAME.sub("_", getattr(wanted, "__name__", "") or "answer").strip("_")[:64]
    shown = _strict(schema) if strict else schema
    return Shape(name or "answer", shown, strict, wrapped, convert)


def _json_in(text: str) -> Json:
    """Read the JSON of an answer, which some models put into a fence or between words."""
    for candidate in (text, _fenced(text), _braced(text)):
        try:
            return loads(candidate.strip().encode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError):
            continue
    message = f"expected JSON as the answer, got {len(text)} characters that are not"
    raise ResponseInvalid(message)


def _fenced(text: str) -> str:
    """Return what stands in the first code fence, "" where none is closed."""
    _, _, behind = text.partition(_FENCE)
    inside, closed, _ = behind.partition(_FENCE)
    return inside.removeprefix("json") if closed else ""


def _braced(text: str) -> str:
    return text[text.find("{") : text.rfind("}") + 1]


# --- schemas ------------------------------------------------------------------------------------


def _library() -> ModuleType:
    try:
        import msgspec
    except ImportError:
        raise CallerError(_MISSING) from None
    return msgspec


def _pydantic(wanted: object) -> tuple[dict[str, Json], Callable[[Json], object]] | None:
    if not hasattr(wanted, "model_json_schema") or not hasattr(wanted, "model_validate"):
        return None

    def convert(value: Json) -> object:
        try:
            return wanted.model_validate(value)
        except ValueError as error:
            raise ResponseInvalid(_said_by_pydantic(error)) from None

    return dict(wanted.model_json_schema()), convert


def _said_by_pydantic(error: ValueError) -> str:
    flaws = (
        error.errors(include_url=False, include_input=False) if hasattr(error, "errors") else []
    )
    said = (f"{flaw['msg']} - at `$.{'.'.join(map(str, flaw['loc']))}`" for flaw in flaws)
    return "; ".join(said)


def _msgspec(wanted: object) -> tuple[dict[str, Json], Callable[[Json], object]]:
    msgspec = _library()
    try:
        schema = _inlined(msgspec.json.schema(wanted))
    except TypeError as error:
        message = f"expected response_type as a type with a JSON Schema: {error}"
        raise CallerError(message) from None

    def convert(value: Json) -> object:
        try:
            return msgspec.convert(value, wanted)
        except msgspec.ValidationError as error:
            raise ResponseInvalid(str(error)) from None

    return schema, convert


def _inlined(schema: dict[str, Json]) -> dict[str, Json]:
    """Put the type itself in place of a reference to it, where nothing else refers to it."""
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    defs = dict(schema.get("$defs", {}))
    if not name or name not in defs:
        return schema
    root = dict(defs[name])
    if dumps(defs).decode().count(f'"#/$defs/{name}"') == 0:
        del defs[name]
    return {**root, "$defs": defs} if defs else root


def _can_be_strict(schema: Json) -> bool:
    """Return whether every object lists all that it may hold."""
    if isinstance(schema, list):
        return all(map(_can_be_strict, schema))
    if not isinstance(schema, dict):
        return True
    is_open = schema.get("type") == "object" and (
        "properties" not in schema
        or (
            isinstance(schema.get("additionalProperties"), dict | bool)
            and schema["additionalProperties"] is not False
        )
    )
    return not is_open and all(map(_can_be_strict, schema.values()))


def _strict(schema: Json) -> Json:
    """Return a schema as strict decoders want it: all keys required, no others, no defaults."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "object" and "properties" in schema:
        properties = {name: _strict(part) for name, part in schema["properties"].items()}
        rest = {key: value for key, value in schema.items() if key != "properties"}
        kept = {key: _strict(value) for key, value in rest.items() if key not in _NOT_STRICT}
        closed = {"required": list(properties), "additionalProperties": False}
        return {**kept, "properties": properties, **closed}
    return {key: _strict(value) for key, value in schema.items() if key not in _NOT_STRICT}


# --- functions ----------------------------------------------------------------------------------


@attrs.frozen
class Tool:
    """A function that a model may call.

    Attributes:
        name: as the model is told.
        description: what it is for.
        parameters: the JSON Schema of its arguments.
        function: that is called; it may be ``async``.
    """

    name: str
    description: str
    parameters: Mapping[str, Json] = attrs.field(repr=False)
    function: Callable[..., Any] = attrs.field(repr=False)
    _convert: Callable[[Json], Mapping[str, Any]] = attrs.field(repr=False)

    def to_dict(self) -> dict[str, Json]:
        """Return the tool in the API's own form."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }
        return {"type": "function", "function": function}

    def arguments(self, value: Json) -> Mapping[str, Any]:
        """Return the arguments of a call as the function takes them.

        Raises:
            ResponseInvalid: they do not fit; the error names the path.
        """
        return self._convert(value)


def tool_of(function: Callable[..., Any], name: str | None = None) -> Tool:
    """Return a function with type hints as a tool; its docstring is what the model reads.

    Raises:
        CallerError: a parameter has no type hint, the name has nothing of ASCII, or the extra is
            missing.
    """
    if not callable(function):
        message = f"expected a function with type hints, got {type(function).__name__}"
        raise CallerError(message)
    own_name = name or _NAME.sub("_", getattr(function, "__name__", "")).strip("_")
    if not own_name:
        given = getattr(function, "__name__", type(function).__name__)
        message = (
            f"expected a function with ASCII letters or digits in its name, got {given!r};"
            " tool_of(function, name=...) gives it another"
        )
        raise CallerError(message)
    msgspec = _library()
    summary, described = _documented(function)
    struct = msgspec.defstruct(own_name, _fields(function), kw_only=True)
    schema, convert = _msgspec(struct)
    properties = schema.get("properties", {})
    for parameter, text in described.items():
        if parameter in properties and "description" not in properties[parameter]:
            properties[parameter] = {**properties[parameter], "description": text}
    parameters = {key: value for key, value in schema.items() if key != "title"}

    def arguments(value: Json) -> Mapping[str, Any]:
        struct_value = convert(value)
        return {field: getattr(struct_value, field) for field in struct.__struct_fields__}

    return Tool(own_name, summary, parameters, function, arguments)


def _fields(function: Callable[..., Any]) -> list[Any]:
    """Return the parameters of a function as the fields of a struct."""
    name = getattr(function, "__name__", "the function")
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        message = f"expected type hints of {name}() that can be read: {error}"
        raise CallerError(message) from None
    fields: list[Any] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name not in hints or parameter.kind in _UNUSABLE:
            message = f"expected a type hint for the parameter {parameter.name!r} of {name}()"
            raise CallerError(message)
        field = (parameter.name, hints[parameter.name])
        has_default = parameter.default is not parameter.empty
        fields.append((*field, parameter.default) if has_default else field)
    return fields


_UNUSABLE: Final = (
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
    inspect.Parameter.POSITIONAL_ONLY,
)


def _documented(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Read a docstring: what the function is for, and its parameters."""
    text = inspect.getdoc(function) or ""
    try:
        import docstring_parser
    except ImportError:
        raise CallerError(_MISSING) from None
    parsed = docstring_parser.parse(text)
    parts = (parsed.short_description, parsed.long_description)
    described = {one.arg_name: one.description or "" for one in parsed.params}
    return "\n\n".join(part for part in parts if part), described


def result_text(result: object) -> str:
    """Return what a function returned as the model is told: a text as it is, the rest as JSON.

    Raises:
        TypeError: it can't be said in JSON.
    """
    if isinstance(result, str):
        return result
    if hasattr(result, "model_dump_json"):
        return str(result.model_dump_json())
    encoded: bytes = _library().json.encode(result)
    return encoded.decode()
