"""Objects that can't be copied or pickled, and whose errors say what to do instead.

A session holds a key, connections and a place in the pool; a call can be used once.  Left alone,
``pickle`` would write the key into a file, or fail deep inside with the name of a lock.
"""

from __future__ import annotations

from typing import ClassVar, NoReturn, Self

__all__ = ["Shared", "Unique"]


class Unique:
    """An object that is neither copied nor pickled."""

    __slots__ = ()

    _refuses: ClassVar[str] = "copied or pickled"
    _instead: ClassVar[str] = ""
    """What to do instead, for the error."""

    def __reduce__(self) -> NoReturn:
        """Refuse.

        Raises:
            TypeError: always; it says what to do instead.
        """
        message = f"{type(self).__name__} can't be {self._refuses}: {self._instead}"
        raise TypeError(message)


class Shared(Unique):
    """An object of which a copy is the object itself, and which is never pickled."""

    __slots__ = ()

    _refuses = "pickled"

    def __copy__(self) -> Self:
        """Return the same object."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """Return the same object."""
        return self
