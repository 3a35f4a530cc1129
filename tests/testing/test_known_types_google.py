"""Nothing that the ``google-genai`` package says may come is lost.

Strategy.  Every field of a part, of a candidate and of a response is filled from its type, with a
mark for each of its texts, and sent through decoder and fold, one field at a time.  Each mark must
be found again: in a delta, in what nobody knows, in what goes back, or in a field of the reply.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import orjson
import pydantic
import pytest
from google.genai import types

from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.fold import fold
from aiotokengate._wire.gemini_reply import GeminiDecoder
from aiotokengate._wire.transcript import Transcript
from tests.support.common import About
from tests.support.filled import examples, texts_in

Chunk = dict[str, Any]

FIXED = {"index": 0, "jsonPath": "$.甲", "role": "model"}
SAID = {"content": {"role": "model", "parts": [{"text": "好 🌸"}]}, "index": 0}
STOP: Chunk = {"candidates": [{**SAID, "finishReason": "STOP"}]}


def found_in(*chunks: Chunk) -> str:
    """Return all that is left of chunks, as text."""
    log = Transcript()
    decoder = GeminiDecoder(log)
    for chunk in chunks:
        decoder.feed(orjson.dumps(chunk))
    decoder.end()
    reply = fold(log, DIALECTS["gemini"], About("complete"))
    return repr(([log.delta(at) for at in range(len(log))], attrs.asdict(reply)))


def of_part(name: str, value: Any) -> Chunk:
    return {"candidates": [{"content": {"role": "model", "parts": [{name: value}]}}]}


def of_candidate(name: str, value: Any) -> Chunk:
    return {"candidates": [{**SAID, name: value}]}


def of_response(name: str, value: Any) -> Chunk:
    return {"candidates": [SAID], name: value}


MODELS: list[tuple[type[pydantic.BaseModel], Any]] = [
    (types.Part, of_part),
    (types.Candidate, of_candidate),
    (types.GenerateContentResponse, of_response),
]


def fields() -> Iterator[tuple[str, str, Any, Any]]:
    """Return each field of each model, with each of its examples."""
    for model, wrap in MODELS:
        for example in examples(model, FIXED):
            for name, value in example.items():
                yield model.__name__, name, value, wrap


def cases() -> list[Any]:
    return [pytest.param(*rest, id=f"{model}.{rest[0]}") for model, *rest in fields()]


@pytest.mark.parametrize(("name", "value", "wrap"), cases())
def test_nothing_of_it_is_lost(name: str, value: Any, wrap: Any) -> None:
    left = found_in(wrap(name, value), STOP)
    assert [key for key, mark in texts_in({name: value}) if mark not in left] == []


def test_how_many_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    known = {(model, name) for model, name, _, _ in fields()}
    marks = sum(len(list(texts_in({name: value}))) for _, name, value, _ in fields())
    with capsys.disabled():
        print(f"\ngoogle-genai: {len(known)} fields, {marks} texts in them")
    assert {name for model, name in known if model == "Part"} == {
        field.alias or name for name, field in types.Part.model_fields.items()
    }
    assert len(known) >= 40
    assert marks > 100


def test_what_is_lost_would_be_seen() -> None:
    mark = "记号🔖0.1:odd"
    assert mark in found_in(of_part("odd", mark))
    assert mark not in found_in({"odd": mark})
