"""What a traceback shows of a failed call: none of the frames that hold a key or a prompt."""

from __future__ import annotations

from functools import wraps
from inspect import iscoroutinefunction, signature
from types import FunctionType
from typing import TYPE_CHECKING, TypeVar, cast

from aiotokengate._base.error import CallerError, TokenGateError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable
    from typing import Any

__all__ = ["bare", "sealed", "sealed_class"]

_F = TypeVar("_F", bound="Callable[..., Any]")
_C = TypeVar("_C", bound=type)
_T = TypeVar("_T")


def bare(error: BaseException) -> None:
    """Take from an error the frames that it came through, and what ``from None`` hides."""
    error.__traceback__ = None
    if error.__suppress_context__:
        error.__context__ = None


def sealed(function: _F) -> _F:
    """Have errors leave a function without its frame and those below.

    Programs that show a traceback with its locals (pytest, rich, crash reporters) would show what
    those frames hold: the key, the prompt, the body.  The error of a misspelt argument suggests
    the right one, as that of a misspelt option does.
    """
    return cast("_F", (_sealed_async if iscoroutinefunction(function) else _sealed)(function))


def _sealed(function: Callable[..., _T]) -> Callable[..., _T]:
    @wraps(function)
    def call(*args: object, **kwargs: object) -> _T:
        try:
            return function(*args, **kwargs)
        except (TokenGateError, TypeError) as error:
            if (wrong := _replaced(error, function, kwargs)) is None:
                raise
            raise wrong from None
        finally:
            del args, kwargs

    return call


def _sealed_async(
    function: Callable[..., Awaitable[_T]],
) -> Callable[..., Coroutine[object, object, _T]]:
    @wraps(function)
    async def call(*args: object, **kwargs: object) -> _T:
        try:
            return await function(*args, **kwargs)
        except (TokenGateError, TypeError) as error:
            if (wrong := _replaced(error, function, kwargs)) is None:
                raise
            raise wrong from None
        finally:
            del args, kwargs

    return call


def _replaced(
    error: Exception, function: Callable[..., object], given: Iterable[str]
) -> CallerError | None:
    """Bare an error of the library; return what to raise in place of another one, if anything."""
    if not isinstance(error, TokenGateError):
        return _misspelt(function, given)
    bare(error)
    return None


def _misspelt(function: Callable[..., object], given: Iterable[str]) -> CallerError | None:
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
