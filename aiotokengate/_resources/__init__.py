"""What can be asked for, one module for each system.

A chat is what most programs ask for: all else is imported at its first use (PEP 562), from the
table below, so that ``import aiotokengate`` need not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiotokengate._base import late_names

if TYPE_CHECKING:
    from aiotokengate._calls.many import Outcomes, unfit
    from aiotokengate._resources.audio import Audio
    from aiotokengate._resources.conversation import Conversation
    from aiotokengate._resources.embeddings import Split, embed
    from aiotokengate._resources.images import ImagesMaker
    from aiotokengate._resources.jobs import Pollers
    from aiotokengate._resources.models import list_models
    from aiotokengate._resources.music import Music
    from aiotokengate._resources.raw import make_raw_call
    from aiotokengate._resources.tools import Bounds, ToolCalls, checked_tools
    from aiotokengate._resources.videos import Videos

__all__ = [
    "Audio",
    "Bounds",
    "Conversation",
    "ImagesMaker",
    "Music",
    "Outcomes",
    "Pollers",
    "Split",
    "ToolCalls",
    "Videos",
    "checked_tools",
    "embed",
    "list_models",
    "make_raw_call",
    "unfit",
]

_MODULES: Final = {
    ".._calls.many": ("Outcomes", "unfit"),
    ".audio": ("Audio",),
    ".conversation": ("Conversation",),
    ".embeddings": ("Split", "embed"),
    ".images": ("ImagesMaker",),
    ".jobs": ("Pollers",),
    ".models": ("list_models",),
    ".music": ("Music",),
    ".raw": ("make_raw_call",),
    ".tools": ("Bounds", "ToolCalls", "checked_tools"),
    ".videos": ("Videos",),
}
"""The names in each module."""

if not TYPE_CHECKING:
    __getattr__ = late_names(__name__, _MODULES)
