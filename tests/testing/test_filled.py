"""The examples that are filled from pydantic types."""

from __future__ import annotations

import enum
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from tests.support.filled import MARK, examples, members, texts_in


class Colour(enum.Enum):
    """An enumeration."""

    RED = "红"


class Leaf(BaseModel):
    """A member of a union."""

    type: Literal["leaf"]
    secret: bytes


class Branch(BaseModel):
    """The other one, which may hold itself."""

    type: Literal["branch"]
    inner: list[Tree] | None = None
    colour: Colour | None = None
    long_name: dict[str, str] = Field(alias="longName")


Tree = Annotated[Leaf | Branch, Field(discriminator="type")]
Branch.model_rebuild()


def test_members_of_a_wrapped_union() -> None:
    assert members(Tree) == [Leaf, Branch]
    assert members(Leaf) == [Leaf]


def test_every_field_is_filled_and_no_model_holds_itself() -> None:
    (whole,) = examples(Branch)
    assert whole.keys() == {"type", "inner", "colour", "longName"}
    assert (whole["type"], whole["colour"]) == ("branch", "红")
    assert [one["type"] for one in whole["inner"]] == ["leaf"]
    assert Branch.model_validate(whole).inner


def test_each_member_of_a_union_has_its_turn() -> None:
    class Holder(BaseModel):
        value: Leaf | Colour | int

    found = [one["value"] for one in examples(Holder, {"secret": "自定"})]
    assert found == [{"type": "leaf", "secret": "自定"}, "红", 7]


def test_marks_are_found_wherever_they_stand() -> None:
    (whole,) = examples(Branch)
    found = list(texts_in(whole))
    assert [name for name, _ in found] == ["secret", "键longName"]
    assert MARK in found[1][1]
    assert len({mark for _, mark in found}) == 2
