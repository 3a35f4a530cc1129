"""The values that users send and receive: messages, deltas, replies, usage.

Deltas are made anew for each reader and cost one allocation; replies are frozen.  All of them are
plain attrs values: comparable, picklable, convertible with :func:`attrs.asdict`.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias, TypedDict, TypeVar

import attrs
import orjson

from aiotokengate._base.error import Attempt, CallerError, WireError

__all__ = [
    "AnswerDelta",
    "ApiKey",
    "Attempt",
    "ChatParams",
    "Choice",
    "Citation",
    "CitationDelta",
    "CommentaryDelta",
    "Delta",
    "FinishDelta",
    "Json",
    "Media",
    "MediaDelta",
    "Message",
    "Messages",
    "Outcome",
    "Reasoning",
    "ReasoningDelta",
    "RefusalDelta",
    "Reply",
    "ResponseType",
    "Status",
    "Timeline",
    "ToolCall",
    "ToolCallDelta",
    "TypeForm",
    "UnknownDelta",
    "Usage",
    "UsageDelta",
]

Json: TypeAlias = Any
"""Whatever JSON can hold; the wire is checked by the decoders, not by the type checker."""

T = TypeVar("T")

if TYPE_CHECKING:  # type checkers know typing_extensions without its being installed
    from typing_extensions import TypeVar as _TypeVar

    Answer = _TypeVar("Answer", default=None)
    Parsed = _TypeVar("Parsed", default=Any)
    Parsed_co = _TypeVar("Parsed_co", covariant=True, default=Any)
else:  # Python takes a default from 3.13 on
    Answer, Parsed = TypeVar("Answer"), TypeVar("Parsed")
    Parsed_co = TypeVar("Parsed_co", covariant=True)


class TypeForm(Protocol[Parsed_co]):
    """A type that is no class, such as ``City | None``; type checkers don't say of what values."""

    @property
    def __args__(self) -> tuple[Parsed_co, ...]:
        """The types that it was made of."""


ResponseType: TypeAlias = type[Parsed] | TypeForm[Parsed]
"""The type that an answer must have: a class, a list or dict of something, or a union."""

Status = Literal["complete", "stopped", "paused", "interrupted"]

ApiKey: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A key, or a callable that returns it, sync or async, and is asked before each request."""

Reasoning: TypeAlias = (
    Literal["off", "minimal", "low", "medium", "high", "xhigh", "max"] | int | None
)
"""How much thinking is asked for: a level, a budget of tokens, or None for the model's own."""


def _empty() -> Mapping[str, Json]:
    return {}


# --- what is sent -------------------------------------------------------------------------------


@attrs.frozen
class Message:
    """One message of a conversation, where a plain dict would do as well.

    ``content`` is a string or a list of content parts in the API's own form; ``extra`` is merged
    into the message as it is (``reasoning_content``, ``cache_control`` ...).
    """

    role: str
    content: str | Sequence[Mapping[str, Json]] | None = attrs.field(default=None, repr=False)
    name: str | None = None
    tool_calls: Sequence[Mapping[str, Json]] | None = None
    tool_call_id: str | None = None
    extra: Mapping[str, Json] = attrs.field(factory=_empty)

    def to_dict(self) -> dict[str, Json]:
        """Return the message in the API's own form, without what is not set."""
        own = {"role": self.role, "content": self.content}
        optional = {key: getattr(self, key) for key in ("name", "tool_calls", "tool_call_id")}
        own.update({key: value for key, value in optional.items() if value is not None})
        return {**own, **self.extra}


Messages: TypeAlias = str | Sequence[Mapping[str, Json] | Message]
"""A prompt, or the messages as dicts in the API's own form or as values."""


class ChatParams(TypedDict, total=False):
    """The API's own parameters of a chat request, under the API's own names.

    Anything else goes through ``extra_body``.  Source: OpenAI's Chat Completions reference and
    the request fields that new-api passes on.
    """

    audio: Mapping[str, Json]
    chat_template_kwargs: Mapping[str, Json]
    enable_search: bool
    enable_thinking: bool
    frequency_penalty: float
    function_call: Json
    functions: Sequence[Mapping[str, Json]]
    logit_bias: Mapping[str, float]
    logprobs: bool
    max_completion_tokens: int
    max_tokens: int
    metadata: Mapping[str, Json]
    modalities: Sequence[str]
    moderation: Mapping[str, Json]
    n: int
    parallel_tool_calls: bool
    prediction: Mapping[str, Json]
    presence_penalty: float
    prompt_cache_key: str
    prompt_cache_options: Mapping[str, Json]
    prompt_cache_retention: str
    reasoning_effort: str
    reasoning_split: bool
    response_format: Mapping[str, Json]
    safety_identifier: str
    search_parameters: Mapping[str, Json]
    seed: int
    service_tier: str
    stop: str | Sequence[str]
    store: bool
    stream_options: Mapping[str, Json]
    temperature: float
    thinking: Mapping[str, Json]
    tool_choice: Json
    top_k: int
    top_logprobs: int
    top_p: float
    user: str
    verbosity: str
    vl_high_resolution_images: bool
    web_search: Mapping[str, Json]
    web_search_options: Mapping[str, Json]


# --- what comes, piece by piece -----------------------------------------------------------------


@attrs.define
class ReasoningDelta:
    """A piece of the model's thinking."""

    text: str
    choice: int = 0


@attrs.define
class AnswerDelta:
    """A piece of the answer."""

    text: str
    choice: int = 0


@attrs.define
class CommentaryDelta:
    """A piece of what the model says while it works, between its thoughts and its answer.

    OpenAI's Responses marks such a message with ``phase: "commentary"``.
    """

    text: str
    choice: int = 0


@attrs.define
class RefusalDelta:
    """A piece of a refusal, which some vendors send beside the answer."""

    text: str
    choice: int = 0


@attrs.define
class ToolCallDelta:
    """A piece of a tool call.

    ``index`` counts the calls of the choice from 0 in order of appearance, whatever index the
    vendor uses.  ``id`` and ``name`` are told once each, mostly with the first piece, and are ""
    in the others (a name that comes in pieces is told in pieces); ``arguments`` is a fragment of
    JSON text, or of free text where ``ToolCall.kind`` says so.
    """

    choice: int
    index: int
    id: str
    name: str
    arguments: str


@attrs.define
class MediaDelta:
    """An image, or other medium, that came beside the answer's text."""

    media: Media
    choice: int = 0


@attrs.define
class CitationDelta:
    """A source that the answer rests on."""

    citation: Citation
    choice: int = 0


@attrs.define
class UnknownDelta:
    """Something typed that no table of this library knows, as it came.

    Attributes:
        choice: of the reply, 0 where the wire names none.
        protocol: ``chat``, ``responses``, ``messages`` or ``gemini``.
        type: what it is called there: of an event, block, part or item, or the path of a field.
        data: its parsed JSON.
    """

    choice: int
    protocol: str
    type: str
    data: Json


@attrs.define
class FinishDelta:
    """The end of one choice, told when the reply is over: the last reason that was claimed.

    ``stop``, ``length``, ``tool_calls``, or a vendor's own word.
    """

    choice: int
    reason: str


@attrs.define
class UsageDelta:
    """The token counts, once, after everything else."""

    usage: Usage


Delta: TypeAlias = (
    ReasoningDelta
    | AnswerDelta
    | CommentaryDelta
    | RefusalDelta
    | ToolCallDelta
    | MediaDelta
    | CitationDelta
    | UnknownDelta
    | FinishDelta
    | UsageDelta
)


# --- what it all comes to -----------------------------------------------------------------------


@attrs.frozen(slots=False)  # which makes frozen values at half the cost
class Usage:
    """Token counts of one call.

    ``completion_tokens`` includes the reasoning, also where the vendor counts it apart (xAI).
    A count that the gateway did not give is 0; ``extra`` is the usage object as it came.
    ``estimated`` is True where the gateway gave none (a cut or stopped stream).
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    total_tokens: int = 0
    estimated: bool = False
    extra: Mapping[str, Json] = attrs.field(factory=_empty)


@attrs.frozen
class ToolCall:
    """Something that the model wants done, mostly one function called.

    Attributes:
        id: what the result has to name.
        name: of the function or tool.
        arguments: JSON text as the model wrote it; of a ``custom_tool_call`` free text.
        complete: False where it may lack something; then it must not be run.
        extra: what a vendor wants back with the call (Gemini's thought signature).
        kind: ``function``, or the type of an item of OpenAI's Responses that the client has to
            answer: ``custom_tool_call``, ``shell_call``, ``apply_patch_call`` and the like.
    """

    id: str
    name: str
    arguments: str
    complete: bool = True
    extra: Mapping[str, Json] = attrs.field(factory=_empty)
    kind: str = "function"

    def parse(self) -> Json:
        """Parse the arguments; empty ones are ``{}``, free text is itself.

        Raises:
            CallerError: the call is incomplete, or its arguments are not JSON.
        """
        if not self.complete:
            message = f"the tool call {self.name!r} was cut short and must not be run"
            raise CallerError(message)
        if self.kind in FREE_TEXT:
            return self.arguments
        try:
            return orjson.loads(self.arguments or "{}")
        except orjson.JSONDecodeError as error:
            message = f"expected JSON as arguments of {self.name!r}, got {error.msg}"
            raise CallerError(message) from error

    def to_dict(self) -> dict[str, Json]:
        """Return the call in the API's own form, to send back in the next turn."""
        if self.kind == "custom":
            custom = {"name": self.name, "input": self.arguments}
            return {"id": self.id, "type": "custom", "custom": custom, **self.extra}
        # Servers parse them, and "" is no JSON (SGLang answers with 400).
        function = {"name": self.name, "arguments": self.arguments or "{}"}
        return {"id": self.id, "type": "function", "function": function, **self.extra}


FREE_TEXT = frozenset(("custom", "custom_tool_call"))
"""The kinds of calls whose input is no JSON."""


@attrs.frozen
class Media:
    """An image or other medium in a reply: a ``data:`` address or a web address."""

    kind: str
    url: str = attrs.field(repr=False)
    mime: str | None = None

    @property
    def data(self) -> bytes | None:
        """The bytes of a base64 ``data:`` address, or None where ``url`` has to be fetched.

        Raises:
            WireError: it is no base64.
        """
        head, comma, payload = self.url.partition(",")
        if not (comma and head.startswith("data:") and head.endswith(";base64")):
            return None
        try:
            return b64decode(payload)
        except ValueError as error:
            message = f"expected base64 in a data: address, got {error}"
            raise WireError(message) from None


@attrs.frozen
class Citation:
    """A source: address, title, and the span of the answer's text that rests on it."""

    url: str
    title: str | None = None
    start: int | None = None
    end: int | None = None
    extra: Mapping[str, Json] = attrs.field(factory=_empty)


@attrs.define
class Timeline:
    """When what happened, in seconds since the call began; None where it did not happen."""

    queued: float | None = 0.0
    admitted: float | None = None
    sent: float | None = None
    headers: float | None = None
    first_reasoning: float | None = None
    first_answer: float | None = None
    done: float | None = None


@attrs.frozen(slots=False)  # which makes frozen values at half the cost
class Choice:
    """One of the alternatives of a reply (there is one, unless ``n`` was asked for).

    Attributes:
        reasoning_field: the field that carries the reasoning back in the next turn; None where
            it came between tags, or not at all.
        reasoning_details: the entries of that field, merged, where a vendor sent them.
        inline: what stood in the content before the answer, tags included.
        native: what another protocol than Chat Completions wants back, word by word.
        extra: the fields of the wire that have no name here.
    """

    index: int = 0
    answer: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    status: Status = "interrupted"
    logprobs: Sequence[Json] | None = None
    media: tuple[Media, ...] = ()
    citations: tuple[Citation, ...] = ()
    reasoning_field: str | None = attrs.field(default=None, repr=False)
    reasoning_details: Sequence[Json] = attrs.field(default=(), repr=False)
    inline: str = attrs.field(default="", repr=False)
    native: Mapping[str, Json] | None = attrs.field(default=None, repr=False)
    extra: Mapping[str, Json] = attrs.field(factory=_empty, repr=False)
    commentary: str = ""

    @property
    def unknown(self) -> tuple[UnknownDelta, ...]:
        """What no table knows; the same stands in ``extra["unknown"]`` as plain JSON."""
        kept = self.extra.get(UNKNOWN, ())
        return tuple(UnknownDelta(self.index, **entry) for entry in kept)

    @property
    def empty(self) -> bool:
        """Whether there is neither answer, call, refusal nor medium."""
        said = self.answer or self.tool_calls or self.refusal or self.media
        return not (said or self.extra.get("audio"))

    def _parts(self, content: str) -> list[Json]:
        """Return thoughts and text as the parts of a content, which is Mistral's way."""
        thought = [{"type": "text", "text": self.reasoning}]
        parts = [{**self.extra.get(THINKING_PART, {}), "type": "thinking", "thinking": thought}]
        return [*parts, {"type": "text", "text": content}] if content else parts

    def message(self) -> dict[str, Json]:
        """Return the assistant message to append to the history; see :meth:`Reply.message`."""
        calls = [call.to_dict() for call in self.tool_calls if call.complete]
        # A refusal goes back as plain text, which every vendor takes.
        content = self.inline + self.answer or self.refusal
        message: dict[str, Json] = {"role": "assistant", "content": content}
        if calls:
            message["content"] = content or None
        if self.reasoning_field == THINKING_PART:
            message["content"] = self._parts(content)
        elif self.reasoning_field not in (None, THINKING_BLOCKS):
            message[str(self.reasoning_field)] = self.reasoning
        if self.extra.get(THINKING_BLOCKS):
            message[THINKING_BLOCKS] = self.extra[THINKING_BLOCKS]
        if self.reasoning_details:
            message["reasoning_details"] = list(self.reasoning_details)
        if calls:
            message["tool_calls"] = calls
        if self.native is not None:
            message["native"] = dict(self.native)
        return message


THINKING_PART = "thinking_part"
"""The key of ``Choice.extra`` for what a part of thoughts has beside its text (Mistral)."""

THINKING_BLOCKS = "thinking_blocks"
"""The key of ``Choice.extra``, and of a message, for thoughts as blocks (LiteLLM)."""

UNKNOWN = "unknown"
"""The key of ``Choice.extra`` under which stands what no table knows."""

NOT_KEPT = "text not kept: what was read was dropped (retain=False)"
"""The note on a reply that lacks the text which its readers have read."""


@attrs.frozen(slots=False)  # which makes frozen values at half the cost
class Reply(Generic[Parsed_co]):
    """A whole reply, or the part of one that came.

    ``status`` is ``complete`` only when every choice has claimed to be finished and the protocol's
    own end came; ``stopped`` after :meth:`~aiotokengate.ChatStream.stop`; ``paused`` where the
    vendor wants to be asked to go on; ``interrupted`` in
    :attr:`StreamInterrupted.partial <aiotokengate.StreamInterrupted>`.  ``skipped`` counts the
    frames that could not be read: no tool call of such a reply is complete.
    """

    choices: tuple[Choice, ...] = (Choice(),)
    status: Status = "interrupted"
    usage: Usage = attrs.field(factory=lambda: Usage(estimated=True))
    model: str = ""
    id: str = ""
    request_id: str | None = None
    headers: Mapping[str, str] = attrs.field(factory=_empty, repr=False)
    extra: Mapping[str, Json] = attrs.field(factory=_empty, repr=False)
    notes: tuple[str, ...] = ()
    parsed: Parsed_co = attrs.field(default=None)
    timeline: Timeline = attrs.field(factory=Timeline, repr=False)
    attempts: tuple[Attempt, ...] = attrs.field(default=(), repr=False)
    skipped: int = 0

    @property
    def answer(self) -> str:
        """All answer text of the first choice."""
        return self.choices[0].answer

    @property
    def reasoning(self) -> str:
        """All thinking of the first choice, every phase joined."""
        return self.choices[0].reasoning

    @property
    def commentary(self) -> str:
        """What the first choice said while it worked; it is not part of the answer."""
        return self.choices[0].commentary

    @property
    def empty(self) -> bool:
        """Whether the first choice finished without answer, call, refusal or medium."""
        return self.choices[0].empty and self.status in ("complete", "paused")

    @property
    def unknown(self) -> tuple[UnknownDelta, ...]:
        """What came of the first choice, or of none, that no table of this library knows."""
        return self.choices[0].unknown

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of the first choice, in order of appearance."""
        return self.choices[0].tool_calls

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended, in the vendor's word; None if it did not."""
        return self.choices[0].finish_reason

    @property
    def media(self) -> tuple[Media, ...]:
        """Images and other media of the first choice."""
        return self.choices[0].media

    @property
    def citations(self) -> tuple[Citation, ...]:
        """Sources of the first choice."""
        return self.choices[0].citations

    def message(self) -> dict[str, Json]:
        """Return the assistant message to append to the history before the next turn.

        It holds what the vendor needs returned: reasoning under the field name it came in, inline
        tags unstripped, tool calls with all their fields.

        Raises:
            CallerError: its text was dropped, because ``retain=False`` was asked for.
        """
        if NOT_KEPT in self.notes:
            message = f"expected a reply with all its text: {NOT_KEPT}"
            raise CallerError(message)
        return self.choices[0].message()


@attrs.frozen
class Outcome(Generic[T]):
    """What became of one request: its reply, or why there is none.

    Attributes:
        request: as it was given.
        reply: the whole reply, or None.
        error: why there is no reply, or None; what came of an interrupted one is in ``.partial``.
    """

    request: T
    reply: Reply | None = None
    error: Exception | None = None
