"""Anthropic's Messages, decoded: events of content blocks in, entries of the transcript out.

Strategy.  A reply is a list of content blocks, each begun, filled by deltas and ended, in order.
Text and thoughts become entries of the transcript as they come; the blocks themselves are put
together beside it, because Claude wants its thinking back word by word, with the signature, in
front of the tool calls that it led to.

*Which block a delta belongs to*: a ``content_block_start`` is always a new block, whatever its
index, and a delta goes to the latest block of its index.  Some faces use one index for all, or
forget to begin a block: a delta of another type than its block begins a block of ours.

*What an input is*: the pieces.  A face may fill the start, too; that is held back until the block
ends, and counts where no pieces came.

*The end* is ``message_stop``; a ``stop_reason`` is a claim, and may come early.

Sources: docs.anthropic.com (Messages, streaming, extended thinking), the types of the package
``anthropic`` 2.14.0, beta included, recorded exchanges, and reports on vendors' and relays' faces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

from aiotokengate._wire.endings import ending_of, reason_of
from aiotokengate._wire.identity import parsed
from aiotokengate._wire.jsontext import index_of, same, written
from aiotokengate._wire.question import FrameDecoder, count_in, dicts_in, text_of
from aiotokengate._wire.splice import Append
from aiotokengate._wire.transcript import ANSWER, NOTE, REASONING, ChoiceState, Transcript
from aiotokengate._wire.usage import merged_counts
from aiotokengate.types import Citation, CitationDelta

__all__ = ["MessagesDecoder"]

PROTOCOL: Final = "messages"

_USES: Final = frozenset(("server_tool_use", "mcp_tool_use"))
"""Blocks with an input for tools that the server runs; never calls of ours."""
_BLOCKS: Final = frozenset(
    (
        *("text", "thinking", "redacted_thinking", "tool_use", *_USES, "container_upload"),
        *("web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result"),
        *("bash_code_execution_tool_result", "text_editor_code_execution_tool_result"),
        *("tool_search_tool_result", "advisor_tool_result", "mcp_tool_result"),
        *("mcp_tool_listing", "compaction", "fallback"),
    )
)
_TEXTS: Final[Mapping[object, tuple[str, int]]] = MappingProxyType(
    {"text_delta": ("text", ANSWER), "thinking_delta": ("thinking", REASONING)}
)
_KINDS: Final = MappingProxyType(dict(_TEXTS.values()))

_ENDS: Final = frozenset(("stop_reason", "stop_sequence", "stop_details"))
_NAMED: Final = _ENDS | {"id", "type", "role", "model", "content", "usage", "delta", "message"}
_NAMELESS: Final = frozenset(
    ("container", "context_management", "input_transformations", "diagnostics")
)
"""Fields of the message that are kept as they are; the next request may need them."""


class _Block:
    """A content block under assembly.

    Attributes:
        fields: as the block began, and what replaced them.
        kind: its type.
        pieces: its texts, by their names.
        size: of the summary that it holds, as far as it came.
        said: whether a delta has brought a text.
    """

    __slots__ = ("fields", "kind", "pieces", "said", "size")

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = dict(fields)
        self.kind = text_of(fields.get("type"))
        if "citations" in fields:
            self.fields["citations"] = dicts_in(fields["citations"])
        self.pieces: dict[str, list[str]] = {}
        self.said = False
        self.size = len(text_of(fields.get("content")))

    @property
    def takes_input(self) -> bool:
        return self.kind == "tool_use" or self.kind in _USES or self.kind not in _BLOCKS

    def add(self, name: str, text: str) -> None:
        self.pieces.setdefault(name, []).append(text)

    def go_on(self, text: str) -> None:
        """Take a piece of a summary, or all of it once more, which is longer then."""
        begun = text_of(self.fields.get("content")) if len(text) >= self.size else ""
        if len(text) >= self.size and text.startswith(
            "".join((begun, *self.pieces.get("content", ())))
        ):
            self.fields["content"], self.size = text, len(text)
            self.pieces.pop("content", None)
        else:
            self.add("content", text)
            self.size += len(text)

    def repeats(self, name: str, text: str) -> bool:
        """Return whether the first delta says what the block began with once more (MiniMax)."""
        first, self.said = not self.said, True
        return first and self.fields.get(name) == text

    def is_empty(self) -> bool:
        """Return whether it holds nothing: an empty text or thought is refused unless signed."""
        if self.kind not in _KINDS or self.pieces:
            return False
        return not (self.fields.get(self.kind) or self.fields.get("signature"))

    def whole(self) -> dict[str, Any]:
        """Return the block as it goes back."""
        block = dict(self.fields)
        for name, pieces in self.pieces.items():
            text = "".join(pieces)
            if name != "input":
                block[name] = text_of(block.get(name)) + text
            elif (value := parsed(text)) is not None:
                block[name] = value
        return block


class MessagesDecoder(FrameDecoder):
    """Events of one reply in, entries of its transcript out; see :class:`Decoder`."""

    TYPED = "messages"
    __slots__ = (
        "_begun",
        "_blocks",
        "_newest",
        "_opening",
        "_state",
        "_taker",
        "_usage",
        "_wholes",
    )

    TEXTS = frozenset(("text", "thinking", "partial_json"))

    def __init__(self, transcript: Transcript) -> None:
        """Begin a reply."""
        super().__init__(transcript)
        self._blocks: list[_Block] = []
        self._begun: dict[int | None, _Block] = {}  # by an event, and not by us
        self._newest: dict[int, _Block] = {}
        self._taker: _Block | None = None  # the newest with an input
        self._opening: object = None
        self._state: ChoiceState | None = None
        self._usage: Mapping[str, Any] | None = None
        self._wholes = 0

    def take(self, frame: object) -> None:
        """Take one event; or a whole message, which came as plain JSON."""
        if not isinstance(frame, dict):
            self.no_object(frame)
            return
        kind = frame.get("type")
        if kind == "content_block_delta":
            self._delta(frame)
        elif not isinstance(kind, str) or not kind:
            self._untyped(frame)
        elif kind != "ping":
            before = len(self.transcript)
            _EVENTS.get(kind, MessagesDecoder._other_event)(self, frame)
            self._live(before)

    def learn(self, data: bytes, frame: dict[str, Any]) -> None:
        """Let the splicer have a piece of text or of thinking."""
        if frame.get("type") != "content_block_delta":
            return
        delta = frame["delta"]
        if "estimated_tokens" in delta:
            return
        name, kind = _TEXTS[delta["type"]]
        block = self._find(frame.get("index"))
        pieces = block.pieces.get(name) if block is not None else None
        self.splicer.learn(data, frame, [(delta, name)], Append(kind, pieces, typed=True))

    def end(self) -> None:
        """Take the end of the stream."""
        if not self._blocks:
            self._take_content(self._opening)
        for block in self._blocks:
            self._settle(block)
        super().end()
        state = self._state
        if state is not None and self.transcript.retain:
            state.native = self._native(state)

    # --- what goes back -------------------------------------------------------------------------

    def _native(self, state: ChoiceState) -> dict[str, Any] | None:
        log = self.transcript
        content = [block for each in self._blocks if (block := self._whole(state, each))]
        if not content:
            return None
        return {"protocol": PROTOCOL, "content": content, "asked": log.asked, "model": log.model}

    def _whole(self, state: ChoiceState, block: _Block) -> dict[str, Any] | None:
        """Return a block as it goes back; an empty one can't, nor half a call."""
        if block.is_empty():
            return None
        whole = block.whole()
        if block.kind == "tool_use":
            call = state.calls.get(block)
            if call is None or not self.transcript.is_whole(state, call):
                return None
            value = parsed(call.arguments)
            whole.update(id=call.id, name=call.name, input={} if value is None else value)
        clean: dict[str, Any] = self.clean(whole)
        return clean

    def _settle(self, block: _Block) -> None:
        """Report the input that a call began with, where nothing has ended it."""
        if block.kind != "tool_use":
            return
        state = self._choice()
        call = state.calls.get(block)
        if call is not None and not call.closed and not call.begun and block.fields.get("input"):
            self.transcript.add_to_call(state, block, block.fields["input"])

    # --- helpers --------------------------------------------------------------------------------

    def _choice(self) -> ChoiceState:
        if self._state is None:
            self._state = self.transcript.choice(0)
        return self._state

    def _live(self, before: int) -> None:
        """Note a sign of life where an event has added no entry."""
        if len(self.transcript) == before:
            self.transcript.signs += 1

    def _unknown(self, name: object, data: object) -> None:
        self.transcript.unknown(0, PROTOCOL, text_of(name) or "?", self.clean(data))

    def _keep(self, holder: Mapping[str, Any], path: str) -> None:
        """Keep the fields that have no name of their own, and tell those that nobody knows.

        What is null or empty later does not replace what was there.
        """
        for key, value in holder.items():
            if key not in _NAMED and key != "index" and value is not None:
                self._keep_last(key, self.clean(value), f"{path}.{key}")

    def _keep_last(self, key: str, value: object, path: str) -> None:
        extra = self.transcript.extra
        old = extra.get(key)
        if (old and not value) or (key in extra and same(old, value)):
            return
        if key in extra:
            self.splicer.forget()  # events with the earlier value are to bring that back
        if key not in _NAMELESS:
            self.transcript.unknown(0, PROTOCOL, path, value)
        extra[key] = value

    # --- blocks ---------------------------------------------------------------------------------

    def _find(self, index: object) -> _Block | None:
        """Return the latest block of an index; without one, the latest of all."""
        place = index_of(index)
        if place is not None:
            return self._newest.get(place)
        return self._blocks[-1] if self._blocks else None

    def _begin(self, fields: Mapping[str, Any], index: object, *, ours: bool = False) -> _Block:
        self.splicer.forget()  # its texts go to the blocks that were there
        block, place = _Block(fields), index_of(index)
        self._blocks.append(block)
        if place is not None:
            self._newest[place] = block
        if not ours:
            self._begun[place] = self._begun[None] = block
        if block.takes_input:
            self._taker = block
        return block

    def _block(self, index: object, kind: str) -> _Block:
        """Return the block that a delta goes on with; its type decides, not its index."""
        block = self._find(index)
        if block is None or block.kind != kind:
            block = self._begin({"type": kind}, index, ours=True)
        return block

    def on_block_start(self, event: dict[str, Any]) -> None:
        fields = event.get("content_block")
        if not isinstance(fields, dict):
            self._unknown("content_block_start", event)
            return
        block = self._begin(fields, event.get("index"))
        self._show(block)
        if block.kind == "tool_use":
            call_id, name = text_of(fields.get("id")), text_of(fields.get("name"))
            self.transcript.begin_call(self._choice(), block, call_id, name)

    def _show(self, block: _Block) -> None:
        """Report what a block begins with; a whole one begins with all of it."""
        fields, kind = block.fields, block.kind
        text = text_of(fields.get(kind))
        if text and kind in _KINDS:
            self.say(self._choice(), _KINDS[kind], text)
        elif kind not in _BLOCKS:
            self._unknown(kind, fields)
        if kind.endswith("_tool_result"):
            self.transcript.worked(self._choice())
        for citation in dicts_in(fields.get("citations")):
            self._cite(citation)

    def on_block_stop(self, event: dict[str, Any]) -> None:
        self._keep(event, "content_block_stop")
        block = self._begun.get(index_of(event.get("index")))
        if block is not None:
            self._close(block)

    def _close(self, block: _Block) -> None:
        """Close a call; the pieces are its input, or else what it began with."""
        if block.kind != "tool_use":
            return
        state, given = self._choice(), block.fields.get("input")
        call = state.calls.get(block)
        if call is not None and not call.closed:
            said = call.whole or (call.begun and not given)
            whole = given if isinstance(given, str) else written(given or {})
            text = "" if said else whole
            call.doubted = call.doubted or not (said or text)  # nested too deeply to be written
            self.transcript.finish_call(state, block, text)

    # --- deltas ---------------------------------------------------------------------------------

    def _delta(self, event: dict[str, Any]) -> None:
        delta = event.get("delta")
        if not isinstance(delta, dict):
            self._unknown("content_block_delta", event)
            return
        if len(event) > 3:  # noqa: PLR2004 - type, index, delta
            self._keep(event, "content_block_delta")
        kind = delta.get("type")
        known = _TEXTS.get(kind) if isinstance(kind, str) else None
        if known is not None:
            self._text(event.get("index"), delta, *known)
            return
        before = len(self.transcript)
        take = _DELTAS.get(kind) if isinstance(kind, str) else None
        if take is None or not take(self, event.get("index"), delta):
            self._unknown(kind, delta)
        self._live(before)

    def _text(self, index: object, delta: dict[str, Any], name: str, kind: int) -> None:
        text = delta.get(name)
        if len(delta) > 2:  # noqa: PLR2004 - type and text
            self._beside(delta, name)
        if not text or not isinstance(text, str):
            if text:
                self._unknown(delta["type"], delta)
            self.transcript.signs += 1
            return
        block = self._block(index, name)
        if block.repeats(name, text):
            self.transcript.signs += 1
            return
        if self.transcript.retain:
            block.add(name, text)
        self.say(self._choice(), kind, text)

    def _beside(self, delta: dict[str, Any], name: str) -> None:
        """Take what stands beside a text: how many tokens were thought, as an estimate."""
        rest = {key: delta[key] for key in delta if key != name}
        count = rest.pop("estimated_tokens", None)
        if type(count) is int and 0 <= count < _MOST_TOKENS:
            extra = self._choice().extra
            extra["estimated_tokens"] = extra.get("estimated_tokens", 0) + count
        elif count is not None:
            rest["estimated_tokens"] = count
        self._keep(rest, "content_block_delta.delta")

    def on_input(self, index: object, delta: dict[str, Any]) -> bool:
        """Take a piece of an input; one of another block goes on with the newest that takes it."""
        block, fragment = self._find(index), delta.get("partial_json")
        if block is None or not block.takes_input:
            block = self._taker
        if block is None or fragment is None:
            return False
        if block.kind == "tool_use":
            if fragment:
                self.transcript.add_to_call(self._choice(), block, fragment)
        else:
            block.add("input", fragment if isinstance(fragment, str) else written(fragment))
        return True

    def on_signature(self, index: object, delta: dict[str, Any]) -> bool:
        """Take a signature, which replaces an earlier one."""
        signature = delta.get("signature")
        if not isinstance(signature, str):
            return False
        block = self._find(index)
        if block is None or block.kind in ("text", "tool_use"):
            newest = islice(reversed(self._blocks), _FEW)
            unsigned = (one for one in newest if one.kind == "thinking")
            block = next((one for one in unsigned if not one.fields.get("signature")), block)
        if block is None or block.kind == "text":
            block = self._begin({"type": "thinking", "thinking": ""}, index, ours=True)
        if signature or "signature" not in block.fields:
            block.fields["signature"] = signature
        return True

    def on_citation(self, index: object, delta: dict[str, Any]) -> bool:
        citation = delta.get("citation")
        if not isinstance(citation, dict):
            return False
        fields = self._block(index, "text").fields
        fields.setdefault("citations", []).append(citation)
        self._cite(citation)
        return True

    def _cite(self, citation: Mapping[str, Any]) -> None:
        """Report a source; those of documents have no address, and differ in their places."""
        state = self._choice()
        name = written(citation)
        if not name or name not in state.cited:
            state.cited.add(name)
            self.transcript.plain = False
            self.transcript.put(0, NOTE, CitationDelta(_citation(citation), 0))

    def on_compaction(self, index: object, delta: dict[str, Any]) -> bool:
        """Take a summary of earlier turns, which stands for them from now on."""
        block = self._block(index, "compaction")
        for key, value in delta.items():
            if key == "content" and isinstance(value, str):
                block.go_on(value)
            elif key != "type" and value is not None:
                block.fields[key] = value
        return True

    # --- other events ---------------------------------------------------------------------------

    def on_message_start(self, event: dict[str, Any]) -> None:
        message = event.get("message")
        if not isinstance(message, dict):
            self._unknown("message_start", event)
            return
        self._keep(event, "message_start")
        self._opening = message.get("content")
        self._take_head(message, "message_start.message")
        if message.get("stop_reason"):
            self._keep_ends(message)

    def on_message_delta(self, event: dict[str, Any]) -> None:
        self._count(event.get("usage"))
        self._keep(event, "message_delta")
        delta = event.get("delta")
        if isinstance(delta, dict):
            self._count(delta.get("usage"))
            self._keep(delta, "message_delta.delta")
            self._finish(delta)

    def _keep_ends(self, delta: Mapping[str, Any]) -> None:
        kept = {key: delta[key] for key in _ENDS if delta.get(key) is not None}
        if kept:
            self._choice().extra.update(self.clean(kept))

    def _finish(self, delta: Mapping[str, Any]) -> None:
        """Take what is claimed of the end."""
        self._keep_ends(delta)
        reason, details = delta.get("stop_reason"), delta.get("stop_details")
        ending = ending_of(PROTOCOL, reason) if isinstance(reason, str) else None
        if ending is None or not isinstance(reason, str):
            return
        state = self._choice()
        if isinstance(details, dict):
            state.details_of_end = text_of(details.get("explanation"))
        self.transcript.finish(state, reason_of(PROTOCOL, reason), ending, reason)

    def on_message_stop(self, event: dict[str, Any]) -> None:
        self._count(event.get("usage"))
        self._keep(event, "message_stop")
        if self._state is not None:
            self._state.bare = False  # bridges claim first: the end makes it good
        self.done = True

    def on_error(self, event: dict[str, Any]) -> None:
        self.suspect = event

    def _other_event(self, event: dict[str, Any]) -> None:
        if "error" in event or event.get("object") == "error":  # the latter is vLLM's
            self.suspect = event
        else:
            self._unknown(event["type"], event)

    def _untyped(self, frame: dict[str, Any]) -> None:
        """Take a message that forgot its type; anything else may be an error."""
        if frame.get("role") == "assistant" and isinstance(frame.get("content"), list | str):
            self.on_message(frame)
        else:
            self.suspect = frame

    def on_message(self, message: dict[str, Any]) -> None:
        """Take a whole message; after deltas it is a summary, as MiniMax sends one."""
        self._wholes += 1
        if self._wholes > _MOST_WHOLES:
            self._unknown("message", message)
            return
        self._take_head(message, "message")
        self._choice()
        self._take_content(message.get("content"))
        self._finish(message)

    def _take_content(self, content: object) -> None:
        """Take whole blocks; of those that repeat what the deltas brought only what is new."""
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        said = {_mark(block.kind, block.fields) for block in self._blocks if not block.is_empty()}
        for fields in dicts_in(content):
            mark = _mark(text_of(fields.get("type")), fields)
            if not said or (mark and mark not in said):
                event = {"content_block": fields, "index": len(self._blocks)}
                self.on_block_start(event)
                self._close(self._blocks[-1])

    def _take_head(self, message: Mapping[str, Any], path: str) -> None:
        log = self.transcript
        log.model = log.model or text_of(message.get("model"))
        log.id = log.id or text_of(message.get("id"))
        self._count(message.get("usage"))
        self._keep(message, path)

    def _count(self, usage: object) -> None:
        """Keep the latest of every count: those of ``message_delta`` are cumulative."""
        if isinstance(usage, dict):
            self._usage = merged_counts(self._usage, usage)
            self.transcript.count(_counts(self._usage))


_MOST_TOKENS: Final = 2**40
_MOST_WHOLES: Final = 16
"""Whole messages that are read in one reply, each against all blocks; one is usual."""
_FEW: Final = 16
"""Blocks among which a thought without its signature is looked for."""

_EVENTS: Final[Mapping[str, Callable[[MessagesDecoder, dict[str, Any]], None]]] = MappingProxyType(
    {
        "message_start": MessagesDecoder.on_message_start,
        "content_block_start": MessagesDecoder.on_block_start,
        "content_block_stop": MessagesDecoder.on_block_stop,
        "message_delta": MessagesDecoder.on_message_delta,
        "message_stop": MessagesDecoder.on_message_stop,
        "message": MessagesDecoder.on_message,
        "error": MessagesDecoder.on_error,
    }
)
_DELTAS: Final[Mapping[str, Callable[[MessagesDecoder, object, dict[str, Any]], bool]]] = (
    MappingProxyType(
        {
            "input_json_delta": MessagesDecoder.on_input,
            "signature_delta": MessagesDecoder.on_signature,
            "citations_delta": MessagesDecoder.on_citation,
            "compaction_delta": MessagesDecoder.on_compaction,
        }
    )
)
"""What takes a delta; it returns whether it could."""


def _mark(kind: str, fields: Mapping[str, Any]) -> str:
    """Return what tells whether a block of a summary was said before; "" for no way to tell."""
    if kind == "tool_use":
        return f"{kind} {text_of(fields.get('id'))}"
    return kind if kind in _KINDS else ""


_CITATION_KEYS: Final = frozenset(("url", "title", "document_title"))


def _citation(citation: Mapping[str, Any]) -> Citation:
    title = citation.get("title") or citation.get("document_title")
    rest = {key: value for key, value in citation.items() if key not in _CITATION_KEYS}
    return Citation(text_of(citation.get("url")), title, extra=rest)


def _counts(usage: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the counts under the common names; the prompt's are told without what was cached."""
    read = count_in(usage, "cache_read_input_tokens")
    prompt = count_in(usage, "input_tokens") + read
    prompt += count_in(usage, "cache_creation_input_tokens")
    written_tokens = count_in(usage, "output_tokens")
    details = usage.get("output_tokens_details")
    details = details if isinstance(details, dict) else {}
    thought = count_in(details, "thinking_tokens") or count_in(details, "reasoning_tokens")
    return {
        **usage,
        "prompt_tokens": prompt,
        "completion_tokens": written_tokens,
        "total_tokens": prompt + written_tokens,
        "prompt_tokens_details": {"cached_tokens": read},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }
