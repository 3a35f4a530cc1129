"""What each TokenGate model is: a table of name patterns, to which users can add rows.

Model names are compared as they are, case and slashes included, with shell patterns; the first
row that fits counts.  A model that no row knows is spoken to as a plain OpenAI-compatible one, and
its way with reasoning is found out from what it sends.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

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

MOST_NAMES = 1024
"""How many names a catalogue remembers the row of; a bot may pass on what its users type."""


@attrs.frozen
class Catalogue:
    """An ordered table of models."""

    rows: tuple[Model, ...]
    _found: dict[str, Model] = attrs.field(factory=dict, init=False, repr=False, eq=False)

    def find(self, name: str) -> Model:
        """Give the first row that fits the name."""
        found = self._found.get(name)
        if found is None:
            found = next((row for row in self.rows if fnmatchcase(name, row.pattern)), UNKNOWN)
            if len(self._found) < MOST_NAMES:
                self._found[name] = found
        return found

    def extended(self, *rows: Model) -> Catalogue:
        """Give a catalogue that asks these rows first."""
        return Catalogue((*rows, *self.rows))


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
