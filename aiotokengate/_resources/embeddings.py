"""Embeddings: texts in, vectors out, in order, however many."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import attrs
from attrs.validators import ge, instance_of

from aiotokengate._base.settings import WHOLE, checked, expected, kind
from aiotokengate._calls.request import HttpRequest
from aiotokengate._policy.estimate import CallSize, estimate_tokens
from aiotokengate._resources.options import CallOptions, parted_options
from aiotokengate._wire.jsontext import dumps
from aiotokengate._wire.media import usage_in, vectors_of
from aiotokengate._wire.question import text_of
from aiotokengate.errors import CallerError, TokenGateError
from aiotokengate.types import Usage

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from aiotokengate._calls.request import Requester
    from aiotokengate._resources.options import Defaults, Options

__all__ = ["EmbeddingInput", "EmbeddingParams", "Embeddings", "Split", "embed"]

EmbeddingInput: TypeAlias = str | Sequence[int]
"""A text, or the tokens of one."""


class EmbeddingParams(CallOptions, total=False):
    """What embeddings may be asked with, and the options of every call.

    Source: OpenAI's Embeddings reference; vectors come as base64 unless ``encoding_format`` says
    otherwise.
    """

    dimensions: int
    encoding_format: Literal["base64", "float"]
    user: str


_PARAMS = frozenset(EmbeddingParams.__annotations__)


@attrs.frozen
class Embeddings(Sequence["array[float]"]):
    """Vectors, in the order of the inputs; each is an ``array`` of 32-bit floats.

    Attributes:
        vectors: one for each input.
        model: that made them.
        usage: of all requests together.
    """

    vectors: tuple[array[float], ...] = attrs.field(repr=False)
    model: str
    usage: Usage

    def __len__(self) -> int:
        """Count them."""
        return len(self.vectors)

    @overload
    def __getitem__(self, place: int) -> array[float]: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[array[float], ...]: ...
    def __getitem__(self, place: int | slice) -> array[float] | tuple[array[float], ...]:
        """Return one, or several."""
        return self.vectors[place]

    def numpy(self) -> NDArray[float32]:
        """Return them as a two-dimensional array of numpy's.

        Raises:
            CallerError: numpy is not installed.
        """
        try:
            import numpy as np
        except ImportError:
            message = "expected numpy to be installed: pip install numpy"
            raise CallerError(message) from None
        return np.array([np.frombuffer(vector, dtype=np.float32) for vector in self.vectors])


_from_one = expected("Split({name}=...) of 1 or more, got {got}", WHOLE, ge(1))


@attrs.frozen
class Split:
    """How many inputs, and about how many tokens, go into one request; how many at a time."""

    inputs: int = attrs.field(default=2_048, validator=_from_one)
    tokens: int = attrs.field(default=200_000, validator=_from_one)
    at_once: int = attrs.field(default=16, validator=_from_one)


_SPLIT = expected("split=Split(inputs=...), got {got}", instance_of(Split), shown=kind)


async def embed(
    requester: Requester,
    defaults: Defaults,
    model: str,
    inputs: EmbeddingInput | Iterable[EmbeddingInput],
    params: Mapping[str, Any],
    split: Split,
) -> Embeddings:
    """Ask for vectors, in as many requests as it takes.

    Raises:
        CallerError: an input is wrong.
        TokenGateError: a request failed; the error says which inputs it was for.
    """
    options, fields, extra = parted_options(params, _PARAMS, "inputs", "split")
    fields = {**fields, **extra}
    listed = _listed(inputs)
    checked(split, _SPLIT)
    room = asyncio.Semaphore(split.at_once)

    async def part(start: int, stop: int) -> tuple[list[array[float]], str, Usage]:
        own = _options_of_part(options, start) if several else options
        async with room:
            return await _part(requester, defaults, model, listed[start:stop], fields, own)

    spans = list(_spans(listed, split))
    several = len(spans) > 1
    tasks = [asyncio.ensure_future(part(*span)) for span in spans]
    try:
        answers = [
            await _named(task, span, spans) for task, span in zip(tasks, spans, strict=True)
        ]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    vectors = [vector for found, _, _ in answers for vector in found]
    return Embeddings(tuple(vectors), answers[0][1] or model, _sum(usage for *_, usage in answers))


def _options_of_part(options: Options, start: int) -> Options:
    """Return the options of one request of several: its idempotency key is its own."""
    key = options.idempotency_key
    if not isinstance(key, str):
        return options
    return attrs.evolve(options, idempotency_key=f"{key}-{start}")


async def _named(
    task: asyncio.Future[tuple[list[array[float]], str, Usage]],
    span: tuple[int, int],
    spans: Sequence[tuple[int, int]],
) -> tuple[list[array[float]], str, Usage]:
    try:
        return await task
    except TokenGateError as error:
        if len(spans) > 1:
            error.add_note(f"of the inputs {span[0]} to {span[1] - 1}")
        raise


async def _part(
    requester: Requester,
    defaults: Defaults,
    model: str,
    inputs: Sequence[EmbeddingInput],
    params: Mapping[str, Any],
    options: Options,
) -> tuple[list[array[float]], str, Usage]:
    body = {"model": model, "input": inputs, "encoding_format": "base64", **params}
    size = CallSize(max_tokens=0, texts=lambda: (text for text in inputs if isinstance(text, str)))
    http = HttpRequest("POST", "/embeddings", dumps(body))
    request = options.request(defaults, http, model, size=size, costly=False)
    answer = await requester.ask(request)
    vectors = vectors_of(answer, len(inputs))
    return vectors, text_of(answer.get("model")), usage_in(answer)


def _listed(inputs: object) -> list[EmbeddingInput]:
    if isinstance(inputs, str):
        listed: list[Any] = [inputs]
    elif isinstance(inputs, Iterable):
        listed = list(inputs)
        if listed and all(isinstance(token, int) for token in listed):
            listed = [listed]
    else:
        message = f"expected inputs as a text or several, got {type(inputs).__name__}"
        raise CallerError(message)
    if not listed:
        message = "expected at least one input, got none"
        raise CallerError(message)
    for place, text in enumerate(listed):
        good = isinstance(text, str) or (
            isinstance(text, list | tuple) and all(isinstance(token, int) for token in text)
        )
        if not good or not text:
            got = "an empty one" if good else type(text).__name__
            message = f"expected inputs[{place}] as a text or a list of tokens, got {got}"
            raise CallerError(message)
    return listed


def _spans(inputs: Sequence[EmbeddingInput], split: Split) -> Iterator[tuple[int, int]]:
    """Cut the inputs into parts that fit into a request each."""
    start, tokens = 0, 0
    for place, text in enumerate(inputs):
        size = len(text)
        if isinstance(text, str):
            size = estimate_tokens(text)
        if place > start and (place - start >= split.inputs or tokens + size > split.tokens):
            yield start, place
            start, tokens = place, 0
        tokens += size
    yield start, len(inputs)


def _sum(usages: Iterable[Usage]) -> Usage:
    listed = tuple(usages)
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in listed),
        total_tokens=sum(usage.total_tokens for usage in listed),
        estimated=any(usage.estimated for usage in listed),
    )
