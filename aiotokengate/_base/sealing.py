"""What a traceback shows of a failed call: none of the frames that hold a key or a prompt."""

from __future__ import annotations

from functools import wraps
from inspect import iscoroutinefunction, signature
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar

from aiotokengate._base.error import CallerError, TokenGateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["bare", "sealed", "sealed_class"]

_F = TypeVar("_F", bound="Callable[..., Any]")
_C = TypeVar("_C", bound=type)


def bare(error: BaseException) -> None:
    """Take from an error the frames that it came through, and what ``from None`` hides."""
    error.__traceback__ = None
    if error.__suppress_context__:
        error.__context__ = None


def sealed(function: _F) -> _F:
    """Have errors leave a function without its frame and those below.

    Programs that show a traceback with its locals (pytest, rich, crash reporters) would show what
    those frames hold: the key, the prompt, the body.  A misspelt argument is told, as a misspelt
    option is.
    """
    made: _F = (_sealed_async if iscoroutinefunction(function) else _sealed)(function)
    return made


def _sealed(function: Any) -> Any:  # noqa: ANN401 - of the same type
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - those of the function
        try:
            return function(*args, **kwargs)
        except TokenGateError as error:
            bare(error)
            raise
        except TypeError:
            if (wrong := _misspelt(function, kwargs)) is None:
                raise
            raise wrong from None
        finally:
            del args, kwargs

    return call


def _sealed_async(function: Any) -> Any:  # noqa: ANN401 - of the same type
    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - those of the function
        try:
            return await function(*args, **kwargs)
        except TokenGateError as error:
            bare(error)
            raise
        except TypeError:
            if (wrong := _misspelt(function, kwargs)) is None:
                raise
            raise wrong from None
        finally:
            del args, kwargs

    return call


def _misspelt(function: Any, given: Iterable[str]) -> CallerError | None:  # noqa: ANN401 - any
    """Return the error of a name that a function does not take, None where it takes them all."""
    from aiotokengate._base.spelling import meant

    kinds = signature(function).parameters
    known = [name for name in kinds if name not in ("self", "unknown")]
    wrong = next((name for name in given if name not in known), None)
    if wrong is None or any(one.kind is one.VAR_KEYWORD for one in kinds.values()):
        return None
    where = function.__qualname__.removesuffix(".__init__")
    takes = f"{where}() takes {', '.join(known) or 'none'}"
    return CallerError(f"unknown parameter {wrong!r}{meant(wrong, known)} ({takes})")


def sealed_class(cls: _C) -> _C:
    """Seal what is public of a class, and its making; see :func:`sealed`."""
    for name, value in list(vars(cls).items()):
        if isinstance(value, FunctionType) and (name == "__init__" or name[0] != "_"):
            setattr(cls, name, sealed(value))
    return cls
