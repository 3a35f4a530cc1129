"""OpenAI's Chat Completions, as every vendor behind the gateway speaks it.

Strategy.  Nearly every chunk is a piece of text with the same keys as the one before: it takes one
short path, which parses, looks for reasoning and content where the dialect says, and appends.
Everything else (the first chunk, tool calls, refusals, images, errors, fields that nobody knows)
is noticed by its keys and goes the long way, which gives the same for text, too.  The decoder
never raises on what the wire says: what is not JSON, and what may be an error, is left in
``suspect`` for :mod:`.framing` to judge.

A frame with ``message`` in place of ``delta`` is a whole reply: a plain answer, or MiniMax's last
frame, which repeats everything and gives only its usage and finish reason to a choice that
already spoke.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any
from weakref import proxy

from aiotokengate._wire.dialects import Dialect, TagSplitter
from aiotokengate._wire.endings import ending_of
from aiotokengate._wire.jsontext import dumps, mended, same
from aiotokengate._wire.question import (
    NO_HEADERS,
    Encoded,
    FrameDecoder,
    Question,
    choice_in,
    merged,
)
from aiotokengate._wire.splice import Append, Hole
from aiotokengate._wire.transcript import ANSWER, KINDS, REASONING, ChoiceState, Transcript
from aiotokengate._wire.usage import has_counts
from aiotokengate.types import THINKING_BLOCKS, THINKING_PART, Citation, Media

__all__ = ["ChatCompletionsDecoder", "encode_chat"]

# --- the request --------------------------------------------------------------------------------


_USAGE_TOO = {"include_usage": True}


def encode_chat(question: Question) -> Encoded:
    """Return the request of a question.

    ``include_usage`` is always asked for: gateways that see ``false`` swallow the last chunk,
    which may hold the finish reason.  Parameters that are None are left out; ``extra_body`` goes
    over everything, in the given order.

    Raises:
        CallerError: something is not JSON, with its path.
    """
    body: dict[str, Any] = {"model": question.model, "messages": question.messages}
    for message in question.messages:
        if "native" in message:
            body["messages"] = [_without_native(message) for message in question.messages]
            break
    if question.stream:
        body["stream"] = True
        body["stream_options"] = _USAGE_TOO
    notes: tuple[str, ...] = ()
    if question.params:
        body.update(question.given())
    if question.reasoning is not None:
        most = body.get("max_completion_tokens") or body.get("max_tokens")
        from aiotokengate._wire.thinking import ask_to_think

        thinking = ask_to_think(question, "chat", most)
        body, notes = merged(body, thinking.fields), thinking.notes
    for extra in question.extra_body:
        if extra:
            body.update(extra)
    options = body.get("stream_options")
    if question.stream and options is not _USAGE_TOO and isinstance(options, Mapping):
        body["stream_options"] = {**options, **_USAGE_TOO}
    return Encoded("/chat/completions", dumps(body), NO_HEADERS, notes)


def _without_native(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out what is for another protocol."""
    return {key: value for key, value in message.items() if key != "native"}


# --- the reply ----------------------------------------------------------------------------------

_USUAL_CHUNK = frozenset(
    ("id", "object", "created", "model", "choices", "usage", "system_fingerprint", "obfuscation")
)
_USUAL_CHOICE = frozenset(("index", "delta", "message", "finish_reason", "logprobs"))
_USUAL_DELTA = frozenset(("role", "content", "reasoning_content", "reasoning"))
_KNOWN_CHUNK = frozenset(
    (
        # OpenAI, xAI, GLM, OpenRouter, Groq, Azure, Mistral, MiniMax, Perplexity, llama.cpp, vLLM.
        *("service_tier", "moderation", "citations", "web_search", "search_results", "provider"),
        *("request_id", "x_groq", "prompt_filter_results", "p", "base_resp", "error", "timings"),
        *("input_sensitive", "input_sensitive_type", "output_sensitive", "output_sensitive_type"),
        *("output_sensitive_int", "prompt_token_ids", "prompt_logprobs", "kv_transfer_params"),
        *("metadata", "nonce", "cost", "code", "message", "msg", "success", "type", "status"),
        *("related_questions", "images", "num_sources_used", "sla_metrics", "stats", "warnings"),
    )
)
_KNOWN_CHOICE = frozenset(
    (
        *("native_finish_reason", "stop_reason", "matched_stop", "token_ids", "error", "usage"),
        *("content_filter_results", "content_filter_result", "content_filter_offsets"),
        *("hidden_states", "routed_experts", "finish_details", "text", "finishReason"),
    )
)
_KNOWN_DELTA = frozenset(
    ("audio", "annotations", "parts", "images", "name", "audio_content", "extra_content")
)
"""Fields that are kept under their names, and are no news to anybody."""
_MAY_BE_ERRORS = frozenset(("error", "base_resp", "error_code", "error_msg", "success"))
"""Fields that a chunk without an error may have, too."""
_GATHERED = ("annotations", "parts")
"""What is kept of these grows, where it is not of a known form."""
_CHANGING = ("id", "created", "obfuscation")
"""What some gateways change in every chunk, or once a second."""
_NO_REASON = ("", "null", None)


class _Choice:
    """A choice's state, and how its text is being cut."""

    __slots__ = (
        "after_field",
        "answer",
        "cumulative",
        "details",
        "fed",
        "searching",
        "splitter",
        "state",
    )

    def __init__(self, state: ChoiceState, dialect: Dialect) -> None:
        self.state = state
        self.searching = dialect.inline != "never"  # whether tags in the content still matter
        self.splitter: TagSplitter | None = None  # made when there may be one
        self.after_field = False  # whether it only looks for a closing tag that was left over
        self.fed: list[str] = []  # all content while the splitter is at work
        self.answer = 0  # how many characters of it were answer
        self.details: dict[str, str] = {}
        self.cumulative: bool | None = None


class ChatCompletionsDecoder(FrameDecoder):
    """Events of one reply in, entries of its transcript out; see :class:`FrameDecoder`."""

    __slots__ = ("__weakref__", "_choices", "_dialect")

    TEXTS = frozenset(
        ("content", "reasoning_content", "reasoning", "arguments", "text", "thinking", "refusal")
    )

    def __init__(self, dialect: Dialect, transcript: Transcript) -> None:
        """Begin a reply."""
        super().__init__(transcript)
        self._dialect = dialect
        self._choices: dict[int, _Choice] = {}

    def learn(self, data: bytes, frame: dict[str, Any]) -> None:
        """Let the splicer have a chunk that gave nothing but a piece of text."""
        choices = frame["choices"]
        if self.suspect is not None:
            return
        if len(choices) != 1 or not _only_texts(choices[0]) or not self._says_no_more(frame):
            return
        delta = choices[0]["delta"]
        known = self._choices[choice_in(choices[0].get("index"))]
        texts = self._texts(known, delta)
        if texts is None:
            return
        self.splicer.learn(data, frame, texts, self._append(known, delta), _CHANGING)

    def _says_no_more(self, chunk: dict[str, Any]) -> bool:
        """Return whether a chunk says nothing new: neither what the reply is, nor a usage."""
        usage = chunk.get("usage")
        return bool(self.transcript.model) and not (isinstance(usage, dict) and has_counts(usage))

    def _texts(self, choice: _Choice, delta: dict[str, Any]) -> list[Hole] | None:
        """Return where a delta has its text, and where again; None if there is more."""
        texts: list[Hole] = [(delta, field) for field in self._dialect.fields if delta.get(field)]
        if details := delta.get("reasoning_details"):
            found = _detail_text(choice, details)
            if found is None or (texts and choice.cumulative):
                return None
            texts.append((details[0], found[0]))
        if delta.get("content"):
            if texts:
                return None
            texts.append((delta, "content"))
        first, *others = (inside.get(key) for inside, key in texts)
        alike = isinstance(first, str) and others == [first] * len(others)
        return texts if alike else None

    def _append(self, choice: _Choice, delta: dict[str, Any]) -> Append:
        """Return what the text of a delta is for; it may stand in details, too."""
        kind = KINDS * choice.state.index + (ANSWER if delta.get("content") else REASONING)
        append = Append(kind)
        details = delta.get("reasoning_details")
        found = _detail_text(choice, details)
        if delta.get("content"):
            if choice.searching:
                append.through = partial(
                    ChatCompletionsDecoder._content_through, proxy(self), choice
                )
        elif details and found and choice.cumulative:
            more = ChatCompletionsDecoder._detail_through
            append.through = partial(more, proxy(self), choice, details[0], found[0])
        elif found:
            append.also = found[1]
        return append

    # A template must not hold the decoder, which holds it: these are given a weak reference.

    def _content_through(self, choice: _Choice, text: str) -> None:
        """Take content in which tags still matter, until they don't any more."""
        self._content(choice, text)
        if not choice.searching:
            self.splicer.forget()

    def _detail_through(
        self, choice: _Choice, entry: dict[str, Any], name: str, text: str
    ) -> None:
        """Take an entry of the details with another text, which is all so far."""
        self._details(choice, {"reasoning_details": [{**entry, name: text}]})

    def take(self, frame: object) -> None:
        """Take one parsed frame: a chunk, or a whole reply."""
        if not isinstance(frame, dict):
            self.no_object(frame)
            return
        chunk = frame
        choices = chunk.get("choices")
        if isinstance(choices, list):
            for choice in choices:
                if isinstance(choice, dict):
                    self._choice(choice)
        if choices is None or not _USUAL_CHUNK.issuperset(chunk):
            self._unusual(chunk)
        if (usage := chunk.get("usage")) and isinstance(usage, dict):
            self.transcript.count(usage)
        if not self.transcript.model:
            self._identify(chunk)

    def end(self) -> None:
        """Take the end of the stream: give out what was held back."""
        for choice in self._choices.values():
            self._flush(choice)
        super().end()
        for state in self.transcript.choices.values():
            if state.details or state.extra or state.calls.all:
                self._name_signer(state)

    def _name_signer(self, state: ChoiceState) -> None:
        """Keep who signed what goes back; to another model it must not go."""
        state.join_thoughts()
        turn = {
            "reasoning_details": [detail.whole() for detail in state.details.values()],
            "thinking_blocks": state.extra.get(THINKING_BLOCKS),
            "tool_calls": [call.extra for call in state.calls if call.extra],
            "content": [part] if (part := state.extra.get(THINKING_PART)) else None,
        }
        if not any(turn.values()):
            return
        from aiotokengate._wire.signed import has_seals

        if has_seals(turn):
            names = {"asked": self.transcript.asked, "model": self.transcript.model}
            state.native = {"protocol": "chat", "content": [], **names}

    # --- frames ---------------------------------------------------------------------------------

    def _identify(self, chunk: Mapping[str, Any]) -> None:
        log, created = self.transcript, chunk.get("created")
        log.model = _string(chunk.get("model"))
        log.id = log.id or _string(chunk.get("id"))
        log.created = created if type(created) is int else 0

    def _unusual(self, chunk: Mapping[str, Any]) -> None:
        """Look at a frame with fields beyond the usual, or without choices."""
        log = self.transcript
        if not chunk.get("choices") or not _MAY_BE_ERRORS.isdisjoint(chunk):
            self.suspect = chunk
        of_reply = "choices" in chunk or bool(log.choices)
        for key in chunk.keys() - _USUAL_CHUNK - {"error"}:
            if chunk[key] is not None:
                if of_reply and key not in _KNOWN_CHUNK:
                    self._unknown(0, log.extra, key, chunk[key])
                self._keep_last(log.extra, key, chunk[key])
        first = log.choices.get(0)
        if first is not None:
            for source in _sources(chunk):
                log.cite(first, source)

    def _choice(self, choice: dict[str, Any]) -> None:
        index = choice.get("index")
        known = self._choices.get(index) if type(index) is int else None
        if known is None:
            known = self._known(choice_in(index))
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._delta(known, delta)
        elif delta is None and isinstance(message := choice.get("message"), dict):
            self._message(known, message)
        if choice.get("logprobs") or not _USUAL_CHOICE.issuperset(choice):
            self._unusual_choice(known.state, choice)
        if reason := choice.get("finish_reason") or choice.get("finishReason"):
            self._finish(known, str(reason))

    def _known(self, index: int) -> _Choice:
        known = self._choices.get(index)
        if known is None:
            state = self.transcript.choice(index)
            known = self._choices[index] = _Choice(state, self._dialect)
            self.splicer.forget()  # sources beside the choices are those of the first, once there
        return known

    def _unusual_choice(self, state: ChoiceState, choice: Mapping[str, Any]) -> None:
        logprobs = choice.get("logprobs")
        if logprobs and isinstance(logprobs, dict):
            content = logprobs.get("content")
            state.logprobs.extend(content if isinstance(content, list) else [logprobs])
            if isinstance(content, list):
                _keep_more_logprobs(state, logprobs)
        for key in choice.keys() - _USUAL_CHOICE:
            if choice[key] is not None:
                if key not in _KNOWN_CHOICE:
                    self._unknown(state.index, state.extra, f"choices.{key}", choice[key])
                self._keep_last(state.extra, key, choice[key])
        if choice.get("error"):
            self.suspect = {"error": choice["error"]}
        if isinstance(usage := choice.get("usage"), dict):
            self.transcript.count(usage)  # Moonshot's place for it

    def _unknown(self, choice: int, extra: Mapping[str, Any], path: str, value: object) -> None:
        """Report a field that nobody knows, each time that its value is another one."""
        key = path.rpartition(".")[2]
        if key not in extra or not same(extra[key], value):
            self.transcript.unknown(choice, "chat", path, value)

    def _keep_last(self, extra: dict[str, Any], key: str, value: object) -> None:
        """Keep the last value of a field; chunks with an earlier one are to bring that back."""
        if not same(extra.get(key, value), value):
            self.splicer.forget()
        extra[key] = value

    def _finish(self, choice: _Choice, reason: str) -> None:
        ending = ending_of("chat", reason)
        if ending is not None:
            self.transcript.finish(choice.state, reason, ending)

    def _flush(self, choice: _Choice) -> None:
        """Report what the splitter holds back."""
        splitter = choice.splitter
        if splitter is not None and choice.searching:
            choice.state.truncated = splitter.inside
            self._pieces(choice, splitter.flush())
            self._note_inline(choice, splitter)

    # --- deltas and messages --------------------------------------------------------------------

    def _delta(self, choice: _Choice, delta: dict[str, Any]) -> None:
        unusual = not _USUAL_DELTA.issuperset(delta)
        if unusual:
            self._details(choice, delta)
            if delta.get(THINKING_BLOCKS):
                self._thinking_blocks(choice, delta)
        for field in self._dialect.fields:
            if delta.get(field):
                self._fields(choice, delta)
                break
        if content := delta.get("content"):
            self._content(choice, content)
        if unusual:
            for key, value in delta.items():
                if value and key not in _USUAL_DELTA:
                    self._field(choice, key, value)

    def _thinking_blocks(self, choice: _Choice, delta: Mapping[str, Any]) -> None:
        """Read the text of thinking blocks where no field has it."""
        blocks = delta[THINKING_BLOCKS]
        if isinstance(blocks, list) and not any(map(delta.get, self._dialect.fields)):
            text = "".join([_text_within(block) for block in blocks])
            if text:
                self._reasoning(choice, THINKING_BLOCKS, text)

    def _fields(self, choice: _Choice, delta: Mapping[str, Any]) -> None:
        """Take the reasoning of the first field that has text; keep what is no text."""
        found = False
        for field in self._dialect.fields:
            value = delta.get(field)
            text = value if isinstance(value, str) else _text_within(value)
            if value and not text:
                self._keep_last(choice.state.extra, field, value)
            elif text and not found:
                found = True
                self._reasoning(choice, field, text)

    def _message(self, choice: _Choice, message: dict[str, Any]) -> None:
        """Take a whole message, unless deltas have said it all before."""
        log, state = self.transcript, choice.state
        texts = (KINDS * state.index + REASONING, KINDS * state.index + ANSWER)
        if state.calls or log.has(*texts):
            return
        self._delta(choice, _with_places(self._with_opening_tag(message)))

    def _with_opening_tag(self, message: dict[str, Any]) -> dict[str, Any]:
        """Restore the opening tag that a template swallowed, where the closing one is alone.

        Possible only for a whole text.  The closing tag must have a line to itself, so that an
        answer about tags is left alone.
        """
        content = message.get("content")
        if not isinstance(content, str) or "</" not in content:
            return message
        if self._dialect.inline != "leading" or any(map(message.get, self._dialect.fields)):
            return message
        for tag in self._dialect.tags:
            before, closer, _ = content.partition(f"\n</{tag}>\n")
            if closer and f"<{tag}>" not in before:
                return {**message, "content": f"<{tag}>{content}"}
        return message

    def _field(self, choice: _Choice, key: str, value: object) -> None:
        """Take one field of a delta that is not text."""
        if key in self._dialect.fields:
            return
        take = _TAKERS.get(key)
        if take is None:
            if key not in _KNOWN_DELTA:
                state = choice.state
                self._unknown(state.index, state.extra, f"choices.delta.{key}", value)
            self._keep_last(choice.state.extra, key, value)
            return
        if choice.searching and choice.splitter is not None and take is not _ignore:
            self._pieces(choice, choice.splitter.flush())
        for item in value if isinstance(value, list) else (value,):
            take(self.transcript, choice.state, item)

    def _content(self, choice: _Choice, content: object) -> None:
        if isinstance(content, str):
            if choice.searching and (choice.splitter or self._may_be_tag(content)):
                self._split(choice, content)
            else:
                choice.searching = False
                self._text(choice, ANSWER, content)
        elif isinstance(content, list):
            self._parts(choice, content)
        else:
            self._keep_last(choice.state.extra, "content", content)

    def _may_be_tag(self, content: str) -> bool:
        """Return whether content that begins like this needs the splitter; most does not."""
        first = content[0]
        return first in "<[◁" or first.isspace() or self._dialect.inline == "assume_open"

    def _parts(self, choice: _Choice, parts: list[Any]) -> None:
        """Take content in parts: text and images (vllm-omni), thoughts and text (Mistral)."""
        for part in parts:
            if isinstance(part, str):
                if part:
                    self._content(choice, part)
            elif not isinstance(part, dict):
                _keep(choice.state, "parts", part)
            elif part.get("type") == "thinking" or "thinking" in part:
                self._thinking_part(choice, part)
            elif isinstance(text := part.get("text"), str):
                if text:
                    self._content(choice, text)
            elif part.get("type") == "refusal":
                _take_refusal(self.transcript, choice.state, part.get("refusal"))
            elif "image_url" in part:
                _take_image(self.transcript, choice.state, part)
            else:
                self._unknown_part(choice.state, part)

    def _unknown_part(self, state: ChoiceState, part: dict[str, Any]) -> None:
        _keep(state, "parts", part)
        name = f"content.{_string(part.get('type')) or '?'}"
        self.transcript.unknown(state.index, "chat", name, part)

    def _thinking_part(self, choice: _Choice, part: dict[str, Any]) -> None:
        """Take Mistral's form, in which the thoughts go back, signature and all."""
        thought = part.get("thinking")
        pieces = thought if isinstance(thought, list) else [thought]
        text = "".join([_text_within(piece) for piece in pieces])
        rest = {key: part[key] for key in part.keys() - {"thinking"} if part[key] is not None}
        kept = choice.state.extra.setdefault(THINKING_PART, {"type": "thinking"})
        if isinstance(kept, dict):
            kept.update(rest)
        if text:
            self._reasoning(choice, THINKING_PART, text)

    def _split(self, choice: _Choice, content: str) -> None:
        splitter = choice.splitter = choice.splitter or TagSplitter(self._dialect)
        choice.fed.append(content)
        choice.state.said = True  # it may be held back
        self._pieces(choice, splitter.feed(content))
        if splitter.decided:
            self._note_inline(choice, splitter)
            choice.searching = False

    def _pieces(self, choice: _Choice, pieces: Iterable[tuple[str, str]]) -> None:
        for kind, text in pieces:
            if kind == "answer":
                choice.answer += len(text)
                self._text(choice, ANSWER, text)
            else:
                self._text(choice, REASONING, text)

    def _note_inline(self, choice: _Choice, splitter: TagSplitter) -> None:
        """Keep what stood before the answer as it was, tags included, for the next turn."""
        if splitter.engaged:
            raw = "".join(choice.fed)
            choice.state.inline = raw[: len(raw) - choice.answer]

    def _reasoning(self, choice: _Choice, field: str, text: str) -> None:
        if choice.state.reasoning_field is None:
            choice.state.reasoning_field = field
        if choice.searching and choice.splitter is not None:
            self._pieces(choice, choice.splitter.flush())
        if choice.searching and not choice.after_field:
            choice.splitter = TagSplitter(self._dialect, after_field=True)
            choice.after_field = True
        self._text(choice, REASONING, text)

    def _text(self, choice: _Choice, kind: int, text: str) -> None:
        if text:
            self.say(choice.state, kind, text)

    # --- reasoning_details ----------------------------------------------------------------------

    def _details(self, choice: _Choice, delta: Mapping[str, Any]) -> None:
        """Keep OpenRouter's and MiniMax's entries; read them where no field has the text."""
        entries = delta.get("reasoning_details")
        if not isinstance(entries, list):
            return
        tail = "".join([self._news(choice, each) for each in entries if isinstance(each, dict)])
        if tail and self._dialect.details and not any(map(delta.get, self._dialect.fields)):
            self._reasoning(choice, "reasoning_details", tail)

    def _news(self, choice: _Choice, entry: Mapping[str, Any]) -> str:
        """Return what is new in an entry; the second of an index shows if they are cumulative."""
        key, text = (
            choice.state.detail_key(entry),
            _string(entry.get("text")) or _string(entry.get("summary")),
        )
        before = choice.details.get(key, "")
        if choice.cumulative is None and before and text:
            choice.cumulative = len(text) > len(before) and text.startswith(before)
        grown = bool(choice.cumulative and text.startswith(before))
        if self.transcript.retain:
            changed = choice.state.keep_detail(entry, replace=grown and bool(before))
            if changed:
                self.splicer.forget()
        if choice.cumulative or not before:
            choice.details[key] = text or before
        return text[len(before) :] if grown else text


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _text_within(value: object) -> str:
    """Return the text of a thought that is an object: relays' and Mistral's ways."""
    if isinstance(value, dict):
        return next((text for key in _WITHIN if (text := _string(value.get(key)))), "")
    return _string(value)


_WITHIN = ("text", "content", "thinking", "reasoning")


# --- fields beside the text ---------------------------------------------------------------------


def _with_places(message: dict[str, Any]) -> dict[str, Any]:
    """Return a whole message with its calls by place: each entry is one, whatever it is named."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    placed = [
        {**call, "index": place} if isinstance(call, dict) else call
        for place, call in enumerate(calls)
    ]
    return {**message, "tool_calls": placed}


def _take_tool_call(log: Transcript, state: ChoiceState, piece: object) -> None:
    if not isinstance(piece, dict):
        return
    for kind in ("function", "custom"):
        inner = piece.get(kind)
        if isinstance(inner, dict) and not _OF_CALL.issuperset(inner):
            rest = {key: inner[key] for key in inner.keys() - _OF_CALL if inner[key] is not None}
            if rest:
                log.unknown(state.index, "chat", f"tool_calls.{kind}", mended(rest, frozenset()))
    log.tool_piece(state, piece)


_OF_CALL = frozenset(("name", "arguments", "input"))


def _take_function_call(log: Transcript, state: ChoiceState, function: object) -> None:
    """Take the form from before tools: one call, without an id."""
    log.tool_piece(state, {"index": 0, "function": function})


def _take_refusal(log: Transcript, state: ChoiceState, text: object) -> None:
    if isinstance(text, str):
        log.refuse(state, text)


def _take_image(log: Transcript, state: ChoiceState, part: object) -> None:
    """Take ``{"type": "image_url", "image_url": {"url"}}`` (OpenRouter, vllm-omni)."""
    inner = part.get("image_url") if isinstance(part, dict) else None
    url = inner.get("url") if isinstance(inner, dict) else inner
    if isinstance(url, str):
        log.show(state, media_of(url))
    else:
        _keep(state, "parts", part)


def _take_annotation(log: Transcript, state: ChoiceState, annotation: object) -> None:
    inner = annotation.get("url_citation") if isinstance(annotation, dict) else None
    if isinstance(inner, dict):
        log.cite(state, _citation(inner))
    else:
        _keep(state, "annotations", annotation)


def _keep(state: ChoiceState, name: str, item: object) -> None:
    """Keep what nobody knows in a list of its own name."""
    kept = state.extra.setdefault(name, [])
    if isinstance(kept, list):
        kept.append(item)
    else:
        state.extra[name] = [kept, item]


def _keep_more_logprobs(state: ChoiceState, logprobs: Mapping[str, Any]) -> None:
    """Keep those of refusals (OpenAI) and thoughts (DeepSeek), which are no part of the answer."""
    for name, entries in logprobs.items():
        if name != "content" and entries and isinstance(entries, list):
            kept = state.extra.get("logprobs")
            if not isinstance(kept, dict):
                kept = state.extra["logprobs"] = {}
            if isinstance(rows := kept.setdefault(name, []), list):
                rows += entries


def _ignore(_log: Transcript, _state: ChoiceState, _value: object) -> None:
    """Reasoning details were looked at before the text."""


def _take_audio(_log: Transcript, state: ChoiceState, piece: object) -> None:
    if isinstance(piece, dict):
        state.hear(piece)


def _take_thinking_block(_log: Transcript, state: ChoiceState, block: object) -> None:
    """Join the blocks that LiteLLM passes on beside the text; a signature closes one."""
    if not isinstance(block, dict):
        return
    piece: dict[str, Any] = mended(block, frozenset())
    blocks = state.extra.setdefault(THINKING_BLOCKS, [])
    last = blocks[-1] if blocks else {}
    goes_on = last.get("type") == piece.get("type") == "thinking" and not last.get("signature")
    if not goes_on:
        state.join_thoughts()
        blocks.append(piece)
        return
    state.thoughts.append(_string(piece.get("thinking")))
    if piece.get("signature"):
        last["signature"] = piece["signature"]


_TAKERS: dict[str, Callable[[Transcript, ChoiceState, object], None]] = {
    "tool_calls": _take_tool_call,
    "function_call": _take_function_call,
    "refusal": _take_refusal,
    "images": _take_image,
    "annotations": _take_annotation,
    "audio": _take_audio,
    "thinking_blocks": _take_thinking_block,
    "reasoning_details": _ignore,
}


def _only_texts(choice: Mapping[str, Any]) -> bool:
    """Return whether a chunk, seen again, would give its text again and nothing else."""
    delta = choice.get("delta")
    if not isinstance(delta, dict) or choice.get("logprobs"):
        return False
    if choice.get("finish_reason") not in _NO_REASON:
        return False
    if any(choice.get(key) is not None for key in _GATHERED):
        return False
    more = [key for key in (*_TAKERS, *_GATHERED) if delta.get(key)]
    return more in ([], ["reasoning_details"])


def _detail_text(choice: _Choice, details: object) -> tuple[str, list[str]] | None:
    """Return the field of the only detail that is its text, and what keeps it; None if unsure."""
    if not isinstance(details, list) or len(details) != 1 or choice.cumulative is None:
        return None
    (entry,) = details
    known = (
        choice.state.details.get(choice.state.detail_key(entry))
        if isinstance(entry, dict)
        else None
    )
    names = [name for name in ("text", "summary") if known and _string(entry.get(name))]
    return (names[0], known.texts[names[0]]) if known and len(names) == 1 else None


def media_of(url: str) -> Media:
    """Name the medium behind an address by its ``data:`` type; without one it is an image."""
    head = url.partition(",")[0] if url.startswith("data:") else ""
    mime = head.removeprefix("data:").partition(";")[0] or None
    return Media(kind=(mime or "image").partition("/")[0], url=url, mime=mime)


def _sources(chunk: Mapping[str, Any]) -> Iterator[Citation]:
    """Read sources given beside the choices: xAI's list of addresses, GLM's search results."""
    for key in ("citations", "web_search"):
        found = chunk.get(key)
        for item in found if isinstance(found, list) else ():
            if isinstance(item, str):
                yield Citation(item)
            elif isinstance(item, dict) and (item.get("url") or item.get("link")):
                yield _citation(item)


_CITATION_KEYS = frozenset(("url", "link", "title", "start_index", "end_index"))


def _citation(item: Mapping[str, Any]) -> Citation:
    return Citation(
        url=_string(item.get("url")) or _string(item.get("link")),
        title=item.get("title"),
        start=item.get("start_index"),
        end=item.get("end_index"),
        extra={key: value for key, value in item.items() if key not in _CITATION_KEYS},
    )
