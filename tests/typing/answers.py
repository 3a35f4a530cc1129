"""Answers of a type: what ``reply.parsed`` is."""

import dataclasses
from typing import Any, Literal, TypedDict, TypeVar, assert_type

import attrs
import msgspec
import pydantic

from aiotokengate import ChatCall, ChatStream, Conversation, Reply, TokenGate
from aiotokengate.types import Json, ResponseType

T = TypeVar("T")


@attrs.frozen
class City:
    name: str


@dataclasses.dataclass
class Street:
    name: str


class House(TypedDict):
    name: str


class Room(msgspec.Struct):
    name: str


class Desk(pydantic.BaseModel):
    name: str


async def parsed(gate: TokenGate) -> None:
    assert_type((await gate.chat("m", "?", response_type=City)).parsed, City)
    assert_type((await gate.chat("m", "?", response_type=Street)).parsed, Street)
    assert_type((await gate.chat("m", "?", response_type=House)).parsed, House)
    assert_type((await gate.chat("m", "?", response_type=Room)).parsed, Room)
    assert_type((await gate.chat("m", "?", response_type=Desk)).parsed, Desk)
    assert_type((await gate.chat("m", "?", response_type=list[City])).parsed, list[City])
    assert_type((await gate.chat("m", "?", response_type=dict[str, int])).parsed, dict[str, int])
    assert_type((await gate.chat("m", "?", response_type=int)).parsed, int)
    assert_type((await gate.chat("m", "?", response_type=None)).parsed, None)
    assert_type((await gate.chat("m", "?")).parsed, None)


async def no_class(gate: TokenGate) -> None:
    """A union is taken, too; what its values are is for the program to find out."""
    reply = await gate.chat("m", "?", response_type=City | None)
    assert_type(reply.parsed, Any)
    verdict: Any = Literal["yes", "no"]  # which type checkers would take for no type at all
    assert_type((await gate.chat("m", "?", response_type=verdict)).parsed, Any)


async def ask(gate: TokenGate, wanted: ResponseType[T]) -> T:
    """Whoever wraps a call has a name for what it takes."""
    return (await gate.chat("m", "?", response_type=wanted)).parsed


async def asked(gate: TokenGate) -> None:
    assert_type(await ask(gate, City), City)
    assert_type(await ask(gate, list[House]), list[House])


async def streamed(gate: TokenGate) -> None:
    call = gate.chat("m", "?", response_type=City)
    assert_type(call, ChatCall[City])
    async with call as stream:
        assert_type(stream, ChatStream[City])
        async for partial in stream.objects():
            assert_type(partial, Json)
        assert_type((await stream.reply()).parsed.name, str)


async def in_a_conversation(gate: TokenGate, stored: str) -> None:
    talk = gate.conversation("m", system="…", max_tokens_kept=8_000, temperature=0.3)
    assert_type(talk, Conversation)
    assert_type(await talk.say("北京？", response_type=City), Reply[City])
    assert_type(await talk.say("北京？", response_type=City | None), Reply[Any])
    assert_type(await talk.answer_tools({"call_1": "42"}, response_type=City), Reply[City])
    # The type may stand in the options of the conversation.
    assert_type(await talk.say("你好"), Reply[Any])
    cities = gate.conversation(stored=stored, response_type=City)
    assert_type(await cities.say("北京？"), Reply[Any])


def any_reply(reply: Reply) -> str:
    assert_type(reply.parsed, Any)
    return reply.answer


def a_city(reply: Reply[City]) -> str:
    return reply.parsed.name


class Handler:
    """Where a program keeps them: plain names stand for those of any type."""

    talk: Conversation
    calls: list[ChatCall]


async def passed_on(gate: TokenGate, handler: Handler) -> None:
    any_reply(await gate.chat("m", "?"))
    any_reply(await gate.chat("m", "?", response_type=Street))
    a_city(await gate.chat("m", "?", response_type=City))
    handler.talk = gate.conversation("m", response_type=City)
    handler.calls.append(gate.chat("m", "?", response_type=City))
    handler.calls.append(gate.chat("m", "?"))


def maybe(gate: TokenGate, wanted: type[City] | None) -> ChatCall[City]:
    return gate.chat("m", "?", response_type=wanted)


async def refused(gate: TokenGate) -> None:
    reply = await gate.chat("m", "?", response_type=City)
    reply.parsed.nam  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    other = await gate.chat("m", "?", response_type=Street)
    a_city(other)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    a_city(await gate.chat("m", "?", response_type=Street))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    none = await gate.chat("m", "?")
    a_city(none)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    gate.chat("m", "?", response_type=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    gate.chat("m", "?", response_type={"type": "object"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    gate.conversation("m", sytem="…")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    gate.conversation("m").say("?", response_type=City, temperature="warm")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
