"""Google's generateContent, decoded: parts in, entries of the transcript out.

Strategy.  A reply is a list of parts: thoughts, text, function calls, inline media, and what tools
of the server did.  Each becomes an entry of the transcript, and the parts are kept as they came,
because Gemini wants its thought signatures back on the very part that carried them.  Pieces of one
text are joined, up to a part that is signed, which stands alone.

*The end* is that of the body; every finish reason is a claim, and one right after a tool of the
server's not even that.  The parts of a chunk are read before its finish reason.

*What a call is*: a part, or several where ``willContinue`` says so (Vertex); these go on with the
call of their id, or with the latest that is open, until an empty part ends it.  Such a call is
told, and sent back, once and whole.  A call without an id gets one of ours, which Google never
sees.

*What is told once and whole by others comes here in parts*: metadata of later chunks completes
that of earlier ones, and nothing empty replaces what was there.

Sources: ai.google.dev/api/generate-content, the types of the package ``google-genai`` 3.6.1,
recorded exchanges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from aiotokengate._wire.endings import details_in, ending_of, reason_of
from aiotokengate._wire.identity import Call
from aiotokengate._wire.jsontext import mended, same, written
from aiotokengate._wire.partial_args import PartialArgs
from aiotokengate._wire.question import FrameDecoder, choice_in, count_in, dicts_in, text_of
from aiotokengate._wire.transcript import ANSWER, REASONING, ChoiceState, Transcript
from aiotokengate._wire.usage import merged_counts
from aiotokengate.types import Citation, Media

__all__ = ["GeminiDecoder"]

PROTOCOL: Final = "gemini"

_NAMED: Final = frozenset(("candidates", "usageMetadata", "modelVersion", "responseId", "error"))
_NAMELESS: Final = frozenset(("promptFeedback", "modelStatus", "createTime"))
_CHUNK: Final = _NAMELESS | {"candidates", "usageMetadata", "modelVersion", "responseId"}
_NAMED_OF_CANDIDATE: Final = frozenset(("index", "finishReason", "logprobsResult"))
_NAMELESS_OF_CANDIDATE: Final = frozenset(
    (
        *("groundingMetadata", "citationMetadata", "urlContextMetadata", "safetyRatings"),
        *("avgLogprobs", "tokenCount", "finishMessage", "continuationToken"),
    )
)
_GROWING: Final = frozenset(("groundingMetadata", "citationMetadata", "urlContextMetadata"))
"""Fields whose lists come in parts."""

_OF_SERVER: Final = frozenset(
    ("executableCode", "codeExecutionResult", "toolCall", "toolResponse")
)
"""Parts of tools that the server runs: they go back as they came, and nobody answers them."""
_PART: Final = _OF_SERVER | {
    *("text", "thought", "thoughtSignature", "inlineData", "fileData", "functionCall"),
    *("functionResponse", "videoMetadata", "mediaResolution", "partMetadata"),
    *("audioTranscription", "mediaProcessing", "speechMetadata", "documentMetadata"),
    *("spreadsheetMetadata", "audioMetadata"),
}
_PLAIN: Final = frozenset(("text", "thought"))
_OF_CALL: Final = frozenset(("id", "name", "args", "partialArgs", "willContinue"))


class _Part:
    """A part to send back.

    Attributes:
        fields: as it came.
        pieces: its text.
        args: the arguments of a call that comes in several parts.
    """

    __slots__ = ("args", "fields", "pieces")

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = dict(fields)
        self.pieces = [fields["text"]] if isinstance(fields.get("text"), str) else []
        self.args: PartialArgs | None = None

    def takes(self, part: Mapping[str, Any]) -> bool:
        """Return whether the text of the next part goes on with this one's."""
        both = self.pieces and isinstance(part.get("text"), str)
        same_kind = bool(self.fields.get("thought")) == bool(part.get("thought"))
        return bool(both and same_kind and _PLAIN.issuperset((*self.fields, *part)))

    def whole(self) -> dict[str, Any] | None:
        """Return the part; a text that is empty and has nothing beside it is none."""
        if not self.pieces:
            return self.fields
        text = mended("".join(self.pieces), frozenset())
        return {**self.fields, "text": text} if text or not self.fields.keys() <= _PLAIN else None


class _Candidate:
    """What is known of one candidate beyond the state of its choice.

    Attributes:
        parts: to send back; of calls also where nothing is retained.
        open: the calls that go on; ``nameless`` is the one without an id.
        opened: the same and such as are closed by now, the latest last.
        by_id: the calls that Google gave an id.
        streamed: whether a call came in several parts.
    """

    __slots__ = ("by_id", "nameless", "open", "opened", "parts", "state", "streamed")

    def __init__(self, state: ChoiceState) -> None:
        self.state = state
        self.parts: list[_Part] = []
        self.open: dict[_Part, None] = {}
        self.opened: list[_Part] = []
        self.nameless: _Part | None = None
        self.by_id: dict[str, _Part] = {}
        self.streamed = False

    def keep(self, part: dict[str, Any]) -> None:
        """Keep a part; pieces of one text are joined."""
        if self.parts and self.parts[-1].takes(part):
            self.parts[-1].pieces.append(part["text"])
        else:
            self.parts.append(_Part(part))

    def going_on(self, call_id: str, name: str) -> _Part | None:
        """Return the open call that a part goes on with, None where it begins another one."""
        if call_id and (known := self.by_id.get(call_id)) is not None:
            return known if known in self.open else None
        while self.opened and self.opened[-1] not in self.open:
            self.opened.pop()
        return self.opened[-1] if self.opened and not name else None


class GeminiDecoder(FrameDecoder):
    """Chunks of one reply in, entries of its transcript out; see :class:`Decoder`."""

    __slots__ = ("_candidates", "_usage")

    TEXTS = frozenset(("text", "stringValue"))

    def __init__(self, transcript: Transcript) -> None:
        """Begin a reply."""
        super().__init__(transcript)
        self._candidates: dict[int, _Candidate] = {}
        self._usage: Mapping[str, Any] | None = None

    def end(self) -> None:
        """Take the end of the stream."""
        for candidate in self._candidates.values():
            for part in candidate.open:
                self._tell_rest(candidate.state, part)
            state = candidate.state
            if state.ending == "finished" and state.calls:
                state.finish_reason, state.ending = "tool_calls", "calls"
        super().end()
        for candidate in self._candidates.values():
            if self.transcript.retain:
                candidate.state.native = self._native(candidate)

    def learn(self, data: bytes, frame: dict[str, Any]) -> None:
        """Learn nothing: no frame of Gemini's is spliced."""

    def take(self, frame: object) -> None:
        """Take one chunk; or all of them, as an array that is no event stream."""
        if isinstance(frame, list) and frame:
            for place, one in enumerate(frame):
                self.take(one)
                if self.suspect is not None:
                    self.suspect = frame[place:]
                    return
        elif isinstance(frame, dict):
            self._chunk(frame)
        else:
            self.no_object(frame)

    # --- what goes back -------------------------------------------------------------------------

    def _native(self, candidate: _Candidate) -> dict[str, Any] | None:
        log, state = self.transcript, candidate.state
        wholes = (self._whole(state, each) for each in candidate.parts)
        content = [self.clean(part) for part in wholes if part]
        if not content:
            return None
        return {"protocol": PROTOCOL, "content": content, "asked": log.asked, "model": log.model}

    def _whole(self, state: ChoiceState, part: _Part) -> dict[str, Any] | None:
        """Return a part as it goes back; half a call can't."""
        call = state.calls.get(part)
        if call is None:
            return part.whole()
        if not self.transcript.is_whole(state, call):
            return None
        given = part.fields["functionCall"]
        kept = {key: given[key] for key in given if key not in ("partialArgs", "willContinue")}
        if part.args is not None:
            kept["args"] = part.args.value
        if kept.get("id"):
            kept["id"] = call.id  # another one where Google gave it twice
        return {**part.fields, "functionCall": kept}

    # --- chunks ---------------------------------------------------------------------------------

    def _chunk(self, chunk: dict[str, Any]) -> None:
        log = self.transcript
        candidates = chunk.get("candidates")
        for candidate in dicts_in(candidates):
            self._candidate(candidate)
        usage = chunk.get("usageMetadata")
        if isinstance(usage, dict):
            self._usage = merged_counts(self._usage, usage)
            log.count(_counts(self._usage))
        log.model = log.model or text_of(chunk.get("modelVersion"))
        log.id = log.id or text_of(chunk.get("responseId"))
        if chunk.keys() & _CHUNK:
            self._keep_chunk(chunk)
        if not candidates or chunk.get("error"):
            self.suspect = _blocked(chunk) or chunk

    def _keep_chunk(self, chunk: dict[str, Any]) -> None:
        extra = self.transcript.extra
        for key, value in chunk.items():
            if key in _NAMED:
                continue
            if key not in _NAMELESS:
                self._unknown(0, extra, key, value)
            _keep(extra, key, value)

    def _unknown(self, choice: int, extra: Mapping[str, Any], path: str, value: object) -> None:
        """Report a field that nobody knows, each time that its value is another one."""
        key, value = path.rpartition(".")[2], self.clean(value)
        if value is not None and not (key in extra and same(extra[key], value)):
            self.transcript.unknown(choice, PROTOCOL, path, value)

    def _candidate(self, fields: Mapping[str, Any]) -> None:
        candidate = self._find(choice_in(fields.get("index")))
        content = fields.get("content")
        if isinstance(content, dict):
            for part in dicts_in(content.get("parts")):
                if part:
                    self._part(candidate, dict(part))
            self._beside_parts(candidate.state, content)
        beside = {key: fields[key] for key in fields if key != "content"}
        self._metadata(candidate.state, self.clean(beside))
        reason = fields.get("finishReason")
        if isinstance(reason, str):
            self._finish(candidate.state, fields, reason)

    def _find(self, index: int) -> _Candidate:
        candidate = self._candidates.get(index)
        if candidate is None:
            state = self.transcript.choice(index)
            candidate = self._candidates[index] = _Candidate(state)
        return candidate

    def _beside_parts(self, state: ChoiceState, content: Mapping[str, Any]) -> None:
        for key, value in content.items():
            if key not in ("parts", "role"):
                self._unknown(state.index, state.extra, f"candidates.content.{key}", value)
                _keep(state.extra, key, value)

    def _metadata(self, state: ChoiceState, fields: Mapping[str, Any]) -> None:
        for source in _sources(fields):
            self.transcript.cite(state, source)
        if fields.get("logprobsResult"):
            state.logprobs.append(fields["logprobsResult"])
        for key, value in fields.items():
            if key in _NAMED_OF_CANDIDATE:
                continue
            if key not in _NAMELESS_OF_CANDIDATE:
                self._unknown(state.index, state.extra, f"candidates.{key}", value)
            _keep(state.extra, key, value)

    def _finish(self, state: ChoiceState, fields: Mapping[str, Any], word: str) -> None:
        ending = ending_of(PROTOCOL, word)
        if ending is None:
            return
        state.extra["finish_reason"] = word
        state.details_of_end = details_in(fields)
        reason = reason_of(PROTOCOL, word)
        if ending == "paused" and not state.extra.get("continuationToken"):
            reason = ending = "length"  # nothing to go on with
        elif ending == "finished" and state.calls:
            reason, ending = "tool_calls", "calls"
        self.transcript.finish(state, reason, ending, word)

    # --- parts ----------------------------------------------------------------------------------

    def _part(self, candidate: _Candidate, part: dict[str, Any]) -> None:
        log, state = self.transcript, candidate.state
        if isinstance(part.get("functionCall"), dict):
            self._call(candidate, part)
        elif log.retain:
            candidate.keep(part)
        text = part.get("text")
        if text and isinstance(text, str):
            self.say(state, REASONING if part.get("thought") is True else ANSWER, text)
        for media in _media(part):
            log.show(state, media)
        if part.keys() & _OF_SERVER:
            log.worked(state)
            log.signs += 1
        for key in part.keys() - _PART:
            self._unknown(state.index, {}, f"candidates.content.parts.{key}", part[key])

    def _call(self, candidate: _Candidate, part: dict[str, Any]) -> None:
        """Take a call, whole or in parts; one of no name goes on with one that is open."""
        given = part["functionCall"]
        call_id, name = text_of(given.get("id")), text_of(given.get("name"))
        known = candidate.going_on(call_id, name)
        if known is not None:
            self._go_on(candidate, known, part)
        elif name and (given.get("willContinue") is True or given.get("partialArgs")):
            self._open(candidate, part)
        elif name:
            self._whole_call(candidate, part)
        elif given.keys() - {"id"} or not candidate.streamed:
            path = "candidates.content.parts.functionCall"
            self._unknown(candidate.state.index, {}, path, given)

    def _begin(self, candidate: _Candidate, fields: dict[str, Any]) -> _Part:
        part, state = _Part(fields), candidate.state
        candidate.parts.append(part)
        given = fields["functionCall"]
        call_id = text_of(given.get("id"))
        self.transcript.begin_call(state, part, call_id, text_of(given.get("name")))
        if call_id:
            candidate.by_id[call_id] = part
        for key in given.keys() - _OF_CALL:
            path = f"candidates.content.parts.functionCall.{key}"
            self._unknown(state.index, {}, path, given[key])
        _sign(state.calls.get(part), fields)
        return part

    def _whole_call(self, candidate: _Candidate, fields: dict[str, Any]) -> None:
        given = fields["functionCall"]
        before = candidate.by_id.get(text_of(given.get("id")))
        if before is not None and _repeats(before, given):
            return
        self._close_nameless(candidate)
        part = self._begin(candidate, fields)
        self._finish_call(candidate.state, part, given.get("args") or {})

    def _open(self, candidate: _Candidate, fields: dict[str, Any]) -> None:
        self._close_nameless(candidate)
        candidate.streamed = True
        part = self._begin(candidate, fields)
        args = fields["functionCall"].get("args")
        part.args = PartialArgs(args if isinstance(args, dict) else None)
        candidate.open[part] = None
        candidate.opened.append(part)
        if not text_of(fields["functionCall"].get("id")):
            candidate.nameless = part
        self._take_args(candidate, part, fields["functionCall"])

    def _go_on(self, candidate: _Candidate, part: _Part, more: dict[str, Any]) -> None:
        """Take a further part of an open call; what stands beside the call belongs to it, too."""
        rest = {key: value for key, value in more.items() if value and key != "functionCall"}
        part.fields.update(rest)
        _sign(candidate.state.calls.get(part), rest)
        given = more["functionCall"]
        if isinstance(given.get("args"), dict) and given["args"]:
            part.args = PartialArgs(given["args"])
        self._take_args(candidate, part, given)
        if not given.keys() - {"id", "name"}:
            self._close(candidate, part)

    def _take_args(self, candidate: _Candidate, part: _Part, given: Mapping[str, Any]) -> None:
        pieces = given.get("partialArgs")
        args = part.args
        if args is None:
            return
        for piece in pieces if isinstance(pieces, list) else ():
            args.take(piece)
        self.transcript.signs += 1
        if given.get("willContinue") is False:
            self._close(candidate, part)

    def _close_nameless(self, candidate: _Candidate) -> None:
        """Close the open calls without an id: another one begins."""
        if candidate.nameless in candidate.open:
            self._close(candidate, candidate.nameless)
        candidate.nameless = None

    def _close(self, candidate: _Candidate, part: _Part) -> None:
        """Report the arguments of a call that is over."""
        del candidate.open[part]
        if part.args is not None:
            self._finish_call(candidate.state, part, part.args.value)

    def _finish_call(self, state: ChoiceState, part: _Part, args: object) -> None:
        """Report all arguments of a call; what can't be written, or has no place, is not run."""
        text = args if isinstance(args, str) else written(args)
        call = state.calls.get(part)
        if call is not None and (not text or (part.args is not None and part.args.broken)):
            call.doubted = True
        self.transcript.finish_call(state, part, text)

    def _tell_rest(self, state: ChoiceState, part: _Part) -> None:
        """Report the arguments of a call without an end: whole if the reply is, else cut."""
        call = state.calls.get(part)
        if call is None or part.args is None:
            return
        text = written(part.args.value)
        call.doubted = call.doubted or part.args.broken
        whole = self.transcript.is_finished(state) and state.ending != "length"
        self.transcript.add_to_call(state, part, text if whole else text.rstrip('"]}'))


def _sign(call: Call | None, fields: Mapping[str, Any]) -> None:
    """Add the signature of its part to a call, in the form that Chat Completions has."""
    signature = fields.get("thoughtSignature")
    if call is not None and signature:
        call.extra["extra_content"] = {"google": {"thought_signature": signature}}


def _repeats(before: _Part, given: Mapping[str, Any]) -> bool:
    """Return whether a call of a known id is the same once more."""
    first = before.fields["functionCall"]
    if first.get("name") != given.get("name"):
        return False
    args = first.get("args") if before.args is None else before.args.value
    return same(args or {}, given.get("args") or {})


# --- what is kept -------------------------------------------------------------------------------


def _keep(extra: dict[str, Any], key: str, value: object) -> None:
    """Keep a field; what is empty later replaces nothing, and growing lists are joined."""
    if value is None or (not value and extra.get(key)):
        return
    if key in _GROWING and isinstance(value, dict) and isinstance(extra.get(key), dict):
        _join(extra[key], value)
    else:
        extra[key] = value


def _join(whole: dict[str, Any], new: Mapping[str, Any]) -> None:
    """Put what a later chunk adds into the metadata of earlier ones."""
    for key, value in new.items():
        was = whole.get(key)
        if isinstance(was, list) and isinstance(value, list):
            whole[key] = _joined_list(was, value)
        elif value or not was:
            whole[key] = value


def _joined_list(old: list[Any], new: list[Any]) -> list[Any]:
    """Return two lists as one, unless one of them repeats the other; the first may grow."""
    both = min(len(old), len(new))
    if same(old[:1], new[:1]) and same(old[:both], new[:both]):
        return new if len(new) > len(old) else old
    old += new
    return old


def _media(part: Mapping[str, Any]) -> Iterator[Media]:
    data, file = part.get("inlineData"), part.get("fileData")
    if isinstance(data, dict):
        mime = text_of(data.get("mimeType")) or "image/png"
        # Base64 in Google's JSON may be of the alphabet for addresses.
        encoded = text_of(data.get("data")).replace("-", "+").replace("_", "/")
        yield Media(mime.partition("/")[0], f"data:{mime};base64,{encoded}", mime)
    if isinstance(file, dict):
        kind = text_of(file.get("mimeType"))
        address = text_of(file.get("fileUri"))
        yield Media((kind or "file").partition("/")[0], address, kind or None)


_CHUNK_KINDS: Final = ("web", "maps", "retrievedContext", "image")
_ADDRESSES: Final = ("uri", "sourceUri", "imageUri")


def _sources(candidate: Mapping[str, Any]) -> Iterator[Citation]:
    """Return what the answer rests on, and what it quotes."""
    grounding, cited = candidate.get("groundingMetadata"), candidate.get("citationMetadata")
    if isinstance(grounding, dict):
        for chunk in dicts_in(grounding.get("groundingChunks")):
            for kind in _CHUNK_KINDS:
                yield from _source(chunk.get(kind))
    if isinstance(cited, dict):
        for name in ("citations", "citationSources"):
            for entry in dicts_in(cited.get(name)):
                yield from _source(entry)


def _source(entry: object) -> Iterator[Citation]:
    """Return a source that has an address; its places are bytes, and stay in ``extra``."""
    if not isinstance(entry, dict):
        return
    address = next((entry[key] for key in _ADDRESSES if text_of(entry.get(key))), None)
    if address is not None:
        rest = {key: value for key, value in entry.items() if key not in ("uri", "title")}
        yield Citation(address, text_of(entry.get("title")) or None, extra=rest)


def _counts(usage: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the counts under the common names.

    Gemini counts thoughts beside the answer, and what its tools read beside the prompt.
    """
    thoughts = count_in(usage, "thoughtsTokenCount")
    prompt = count_in(usage, "promptTokenCount") + count_in(usage, "toolUsePromptTokenCount")
    return {
        **usage,
        "prompt_tokens": prompt,
        "completion_tokens": count_in(usage, "candidatesTokenCount") + thoughts,
        "total_tokens": count_in(usage, "totalTokenCount"),
        "prompt_tokens_details": {"cached_tokens": count_in(usage, "cachedContentTokenCount")},
        "completion_tokens_details": {"reasoning_tokens": thoughts},
    }


def _blocked(chunk: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return a blocked prompt in the form of an error, None where none was blocked."""
    feedback = chunk.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    if not reason:
        return None
    message = f"the prompt was blocked: {reason}"
    return {"error": {"message": message, "code": "prompt_blocked", "type": "content_filter"}}
