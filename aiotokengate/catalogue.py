"""What each TokenGate model is: a table of name patterns, to which users can add rows.

Model names are compared as they are, case and slashes included, with shell patterns; the first
row that fits counts.  A model that no row knows is spoken to as a plain OpenAI-compatible one, and
its way with reasoning is found out from what it sends.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache

import attrs

__all__ = ["CATALOGUE", "Catalogue", "Model"]


@attrs.frozen
class Model:
    """One row: which names it is for, the family, and the reasoning dialect.

    Attributes:
        pattern: a shell pattern for the model's name, such as ``qwen3*``.
        family: who made the model.
        dialect: the name of a row of :data:`aiotokengate.wire.dialects.DIALECTS`.
    """

    pattern: str
    family: str
    dialect: str = "openai-compatible"


UNKNOWN = Model("*", "unknown")


@attrs.frozen
class Catalogue:
    """An ordered table of models."""

    rows: tuple[Model, ...]

    def find(self, name: str) -> Model:
        """Give the first row that fits the name."""
        return _find(self.rows, name)

    def extended(self, *rows: Model) -> Catalogue:
        """Give a catalogue that asks these rows first."""
        return Catalogue((*rows, *self.rows))


@lru_cache(maxsize=1024)
def _find(rows: tuple[Model, ...], name: str) -> Model:
    return next((row for row in rows if fnmatchcase(name, row.pattern)), UNKNOWN)


CATALOGUE = Catalogue(
    (
        # Always-thinking models whose chat template swallows the opening tag.
        Model("*[Dd]eep[Ss]eek-[Rr]1*", "DeepSeek", "open-thinking"),
        Model("*[Qq]wen3*-[Tt]hinking*", "Qwen", "open-thinking"),
        Model("*[Qq]w[Qq]*", "Qwen", "open-thinking"),
        Model("[Qq]wen*", "Qwen", "qwen"),
        Model("deepseek*", "DeepSeek", "deepseek"),
        Model("deepSeek*", "DeepSeek", "deepseek"),
        # The operator's own vLLM, which wants back the field that it sent.
        Model("WanWu/*", "WanWu", "openai-compatible"),
        Model("glm-*", "GLM", "glm"),
        Model("minimax*", "MiniMax", "minimax"),
        Model("grok-*", "xAI", "grok"),
        Model("gpt-*", "OpenAI", "openai"),
        Model("claude-*", "Anthropic", "claude"),
        Model("gemini-*", "Google", "gemini"),
    )
)
