"""Splicing gives what decoding event by event gives, whatever comes.

Strategy.  Two decoders read the same events: one is fed each of them, and only learns; the other
takes them as they come in reads, and splices.  After every read, and at the end, nothing of what
they know may differ, and what may be an error must be left at the same event.

Random streams are made of a few frames, so that templates fit: JSON with holes, its keys in any
order and written in any way, and literals to put into the holes, some of which are none.
"""

import gc
import json
import math
import random
import weakref
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splice_rates import LEAST, SHAPES, Said, rate, replies

from aiotokengate._wire.chat_completions import ChatCompletionsDecoder
from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.messages_reply import MessagesDecoder
from aiotokengate._wire.responses_reply import ResponsesDecoder
from aiotokengate._wire.splice import FAIR_TRIAL, LONGEST, MOST_TEMPLATES, Append, Hole, Splicer
from aiotokengate._wire.sse import SSEDecoder
from aiotokengate._wire.transcript import ANSWER, ChoiceState, Transcript
from aiotokengate.catalogue import CATALOGUE
from tests.wire import test_messages_reply, test_responses_reply

Decoder: TypeAlias = ChatCompletionsDecoder | ResponsesDecoder | MessagesDecoder
Make: TypeAlias = Callable[[], Decoder]

# --- two decoders, side by side -----------------------------------------------------------------


def known_of(state: ChoiceState) -> dict[str, Any]:
    details = {key: detail.whole() for key, detail in state.details.items()}
    told = {name: getattr(state, name) for name in ChoiceState.__slots__}
    calls = [(call.id, call.name, call.kind, call.arguments, call.extra) for call in state.calls]
    return {**told, "details": details, "calls": calls}


def known(decoder: Decoder) -> dict[str, Any]:
    """Return all that a decoder knows."""
    log = decoder.transcript
    names = set(Transcript.__slots__) - {"choices", "_make_id"}
    told = {name: getattr(log, name) for name in sorted(names)}
    choices = {index: known_of(state) for index, state in log.choices.items()}
    # As text, in which 1, 1.0 and True are not the same.
    written = {"choices": repr(choices), "extra": repr(log.extra), "counts": repr(log.counts)}
    written["items"] = repr(log.items)  # in which NaN is itself
    return {**told, **written, "done": decoder.done}


def suspects_of_feeding(decoder: Decoder, events: Sequence[bytes]) -> list[Any]:
    suspects = []
    for place, data in enumerate(events):
        if decoder.done:
            break
        decoder.feed(data)
        if decoder.suspect is not None:
            suspects.append((place + 1, decoder.suspect))
            decoder.suspect = None
    return suspects


def suspects_of_splicing(decoder: Decoder, events: Sequence[bytes]) -> list[Any]:
    suspects, at = [], 0
    while at < len(events) and not decoder.done:
        at, suspect = decoder.feed_from(events, at)
        if suspect is not None:
            suspects.append((at, suspect))
    return suspects


def compare(make: Make, reads: Sequence[Sequence[bytes]]) -> int:
    """Hold both ways against each other after each read; give how many events were spliced."""
    fed, spliced = make(), make()
    for events in reads:
        assert suspects_of_splicing(spliced, events) == suspects_of_feeding(fed, events)
        assert known(spliced) == known(fed)
    fed.end()
    spliced.end()
    assert known(spliced) == known(fed)
    assert fed.splicer.hits == 0
    return spliced.splicer.hits


# --- frames with holes, and what goes into them -------------------------------------------------

TEXT, ID, NUMBER = "@text@", "@id@", "@number@"
HOLES = (TEXT, ID, NUMBER)

KEYS_IN_TEXT = '","content":"x","reasoning_content":"y"},"finish_reason":"stop'
WORDS = ["a", "b", "嗯", "😀", "\n", " ", '"', "\\", "/", "\x00", "\x7f", "\u2028", KEYS_IN_TEXT]
TAGS = ["<think>", "</think>", "<th", "ink>", "</thi", "nk>\n\n", "<thought>", "<tool_call>"]
texts = st.lists(st.sampled_from(WORDS + TAGS), max_size=3).map("".join) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=4
)


def slashed(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("/", "\\/")


def escaped(text: str) -> str:
    """Write every character as an escape."""
    units = text.encode("utf-16-be")
    codes = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return '"' + "".join(f"\\u{code}" for code in codes) + '"'


def shown(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


spelled: st.SearchStrategy[bytes] = st.builds(
    lambda text, write: write(text).encode(),
    texts,
    st.sampled_from([json.dumps, shown, shown, shown, slashed, escaped]),
)
ODD = [
    *(b"null", b"7", b"true", b"{}", b"[]", b"", b'"', b'"a', b'"\\', b'"a"}', b'"a","b"'),
    *(b'"a","content":"b"', b'"a","text":"b"', b'"a","finish_reason":"stop"', b' "a" ', b'\t"a"'),
    *(b'"a"},{"b":"c"', b'"a\x01"', b'"a\n"', b'"\xff"', b'\xef\xbb\xbf"a"', b'"a"\x00'),
    *(rb'"\ud83d"', rb'"\ude00"', rb'"x\ud83d"', rb'"\u0000spliced\u0000"', b"NaN", b"1e999"),
    *(b'[{"type":"text","text":"p"}]', b'"error"', rb'"\u0022"', b"12345678901234567890123"),
]
IDS = [b'"x"', b'"y"', rb'"\"},\""', b"null", b"1", b"[]", rb'"\ud83d"']
NUMBERS = [b"0", b"1", b"27", b"1.5", b'"4"', b"null", b"true", b"-", b"1e999"]


def mostly(usual: st.SearchStrategy[Any], rare: st.SearchStrategy[Any]) -> Any:
    return st.integers(0, 3).flatmap(lambda number: rare if number == 3 else usual)


def some(fields: dict[str, Sequence[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Return an object with some of the fields, each with one of its values."""
    values = {key: st.sampled_from(list(given_)) for key, given_ in fields.items()}
    return st.fixed_dictionaries({}, optional=values)


class Written:
    """Writes JSON the way a style says: order of keys, white space, keys twice."""

    def __init__(self, chance_: random.Random) -> None:
        self.chance = chance_
        self.colon: str = chance_.choice([":", ":", ": ", " :\t"])
        self.comma: str = chance_.choice([",", ",", ", "])
        self.shuffled = chance_.random() < 0.3
        self.twice = chance_.random() < 0.05

    def write(self, value: Any) -> str:
        if isinstance(value, list):
            return "[" + self.comma.join(map(self.write, value)) + "]"
        if not isinstance(value, dict):
            return json.dumps(value)
        fields = list(value.items())
        if self.shuffled:
            self.chance.shuffle(fields)
        if self.twice and fields:
            fields.append(self.chance.choice(fields))
        written = (f"{json.dumps(key)}{self.colon}{self.write(item)}" for key, item in fields)
        return "{" + self.comma.join(written) + "}"


@st.composite
def streams(draw: st.DrawFn, frames: st.SearchStrategy[Any]) -> list[list[bytes]]:
    """Return a stream in reads: a few frames again and again, and now and then a damaged one."""
    kinds = draw(st.lists(frames, min_size=1, max_size=4))
    words = draw(st.lists(spelled, min_size=4, max_size=8))
    # Drawn by itself, so that long streams are as likely as short ones.
    dice = random.Random(draw(st.integers(0, 1 << 32)))
    written = [frame if isinstance(frame, str) else Written(dice).write(frame) for frame in kinds]
    odd = dice.sample(ODD, 3)  # not all of them: what only json reads ends the splicing
    reads: list[list[bytes]] = [[]]
    while sum(map(len, reads)) < 40:
        frame = dice.choice(written)
        for _ in range(dice.choice((1, 1, 4, 8))):
            reads[-1].append(filled(dice, frame, words, odd))
        if dice.random() < 0.1:
            reads[-1].append(damaged(dice, filled(dice, frame, words, odd), reads[-1][0]))
        if dice.random() < 0.3:
            reads.append([b"7"])
    return reads


def filled(dice: random.Random, frame: str, words: Sequence[bytes], odd: Sequence[bytes]) -> bytes:
    """Fill the holes; a text may come twice, and then be another one the second time."""
    data, oddly = frame.encode(), dice.random() < 0.08
    text = dice.choice(odd if oddly else words)
    while (begin := data.find(b'"@text@"')) >= 0:
        data = data[:begin] + text + data[begin + len('"@text@"') :]
        if dice.random() < 0.05:
            text = dice.choice(words)
    data = data.replace(b'"@id@"', dice.choice(IDS if oddly else IDS[:2]))
    return data.replace(b'"@number@"', dice.choice(NUMBERS if oddly else NUMBERS[:3]))


def damaged(dice: random.Random, data: bytes, other: bytes) -> bytes:
    place = dice.randrange(len(data) + 1)
    again = dice.choice([data[:place] + data[place + 1 :], data[:place] + data[place - 1 :]])
    cut = dice.randrange(len(other) + 1)
    return dice.choice([again, data[:place] + other[cut:], data[:place], data[place:]])


# --- Chat Completions ---------------------------------------------------------------------------

DETAILS: list[Any] = [
    [{"type": "reasoning.text", "text": TEXT, "index": 0}],
    [{"type": "reasoning.text", "text": TEXT, "format": "f"}],
    [{"type": "reasoning.text", "text": TEXT, "format": "g", "index": 0}],
    [{"type": "reasoning.summary", "summary": TEXT, "index": 0}],
    [{"text": TEXT, "summary": ""}],
    [{"text": TEXT}, {"text": TEXT, "index": 1}],
    *([], {"text": TEXT}, "x", 7, [None], [{"text": None, "data": "secret"}]),
]
CALLS = [{"index": 0, "id": "c", "function": {"name": "f", "arguments": TEXT}}]
CITED = {"type": "url_citation", "url_citation": {"url": "u"}}
ASIDE: dict[str, Sequence[Any]] = {
    "tool_calls": [CALLS],
    "function_call": [{"name": "f", "arguments": TEXT}],
    "refusal": [TEXT, "no"],
    "images": [[{"image_url": {"url": "data:image/png;base64,AA"}}]],
    "annotations": [[CITED], [{"odd": 1}]],
    "parts": ["p"],
    "content": [[{"text": TEXT}], [{"odd": 2}], 7],
    "reasoning": [{"odd": 3}, 7],
}
SPOKEN: dict[str, Sequence[Any]] = {
    "role": ["assistant", ""],
    "content": [TEXT, TEXT, None, ""],
    "reasoning_content": [TEXT, TEXT, None, ""],
    "reasoning": [TEXT, None, ""],
    "reasoning_details": DETAILS,
    "name": ["MiniMax AI", "other", TEXT],
    "extra_content": [{"google": {"thought": True}}],
}
plain_deltas = st.sampled_from(
    [
        {"content": TEXT},
        {"reasoning_content": TEXT},
        {"role": "assistant", "content": TEXT, "reasoning_content": None},
        {"content": None, "reasoning_content": TEXT},
        {"reasoning": TEXT, "reasoning_content": TEXT},
        {"role": "", "content": "", "reasoning": TEXT, "reasoning_details": DETAILS[0]},
        {"reasoning_details": DETAILS[0]},
        {"content": TEXT, "reasoning": None, "reasoning_details": []},
    ]
)
deltas = mostly(plain_deltas, some(SPOKEN) | st.builds(dict.__or__, some(SPOKEN), some(ASIDE)))
LOGPROBS = {"content": [{"token": "a", "logprob": -1}]}
choice_rests = some(
    {
        "index": [0, 0, 0, 1, None],
        "finish_reason": [None, None, None, "", "stop"],
        "logprobs": [None, None, {}, LOGPROBS],
        "matched_stop": [None, 1],
        "native_finish_reason": [None, "x", "y"],
        "annotations": ["odd"],
        "message": [{"content": TEXT}],
    }
)
chunk_rests = some(
    {
        "id": [ID, ID, "c"],
        "object": ["chat.completion.chunk"],
        "created": [NUMBER, 1, 2],
        "model": ["m"] * 8 + ["", None],
        "usage": [
            None,
            None,
            {"total_tokens": 0},
            {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
            {"prompt_tokens": 1, "completion_tokens": 5, "total_tokens": 6},
            {"completion_tokens": NUMBER},
        ],
        "obfuscation": [ID],
        "service_tier": ["default", "flex", None],
        "x": [TEXT, NUMBER],
        "citations": [["https://a.example"]],
        "base_resp": [None, {}, {"status_code": 0}],
        "error": [None, "", {"message": "m"}],
    }
)


def chunk_of(deltas_: list[Any], rests: list[Any], whole: dict[str, Any]) -> dict[str, Any]:
    pairs = zip(deltas_, rests, strict=False)
    return {"choices": [{"delta": delta, **rest} for delta, rest in pairs], **whole}


def chunks_of(deltas_: st.SearchStrategy[Any], rests: st.SearchStrategy[Any]) -> Any:
    whole = st.just({"model": "m"}) | chunk_rests
    return st.builds(chunk_of, deltas_, st.lists(rests, min_size=2, max_size=2), whole)


chunks = mostly(
    chunks_of(st.lists(deltas, min_size=1, max_size=1), st.just({"index": 0})),
    chunks_of(st.lists(deltas, max_size=2), st.just({"index": 0}) | choice_rests)
    | st.sampled_from(["[DONE]", "", ": PING", "7", '{"error":{"message":"x"}}']),
)


@given(streams(chunks), st.sampled_from(sorted(DIALECTS)))
def test_random_chunks(reads: list[list[bytes]], dialect: str) -> None:
    compare(lambda: ChatCompletionsDecoder(DIALECTS[dialect], Transcript(2)), reads)


# --- Responses ----------------------------------------------------------------------------------

WHERE: dict[str, Sequence[Any]] = {
    "item_id": ["i", "j", ID],
    "output_index": [0, 0, 0, 1, None],
    "summary_index": [0, 0, 1],
    "content_index": [0, 0, 1],
    "sequence_number": [NUMBER],
    "obfuscation": [ID],
    "logprobs": [[], None, LOGPROBS["content"]],
    "x": [TEXT],
}
SPEAKING = ["output_text", "output_text", "reasoning_summary_text", "reasoning_text"]
SPEAKING += ["refusal", "function_call_arguments"]
ITEMS = [
    {"type": "message", "content": [{"type": "output_text", "text": TEXT}]},
    {"type": "reasoning", "summary": [{"text": TEXT}], "content": [{"text": TEXT}]},
    {"type": "function_call", "call_id": "c", "name": "f", "arguments": TEXT},
]
RESPONSE = {"id": "r", "model": "m", "status": "completed", "usage": {"output_tokens": 1}}


def response_event(kind: str, where: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    return {"type": f"response.{kind}", **where, **more}


response_events = st.one_of(
    st.builds(
        response_event,
        st.sampled_from([f"{kind}.delta" for kind in SPEAKING]),
        some(WHERE),
        st.just({"delta": TEXT}),
    ),
    st.builds(
        response_event,
        st.sampled_from([f"{kind}.delta" for kind in SPEAKING]),
        st.just({"item_id": "i", "output_index": 0, "sequence_number": NUMBER}),
        st.just({"delta": TEXT}),
    ),
    st.builds(
        response_event,
        st.sampled_from(["output_item.added", "output_item.done"]),
        some(WHERE),
        st.sampled_from([{"item": item} for item in ITEMS]),
    ),
    st.sampled_from(
        [
            {"type": "response.output_text.annotation.added", "annotation": {"url": "u"}},
            {"type": "response.output_text.done", "text": TEXT},
            {"type": "response.created", "response": {**RESPONSE, "status": "in_progress"}},
            {"type": "response.completed", "response": {**RESPONSE, "output": ITEMS}},
            {"type": "error", "message": "m", "code": "c"},
            "[DONE]",
        ]
    ),
)


@given(streams(response_events))
def test_random_response_events(reads: list[list[bytes]]) -> None:
    compare(lambda: ResponsesDecoder(Transcript()), reads)


# --- Messages -----------------------------------------------------------------------------------

DELTAS = [
    *({"type": "text_delta", "text": TEXT}, {"type": "thinking_delta", "thinking": TEXT}),
    *({"type": "text_delta", "text": TEXT, "thinking": TEXT}, {"type": "odd_delta", "x": TEXT}),
    *({"type": "input_json_delta", "partial_json": TEXT},),
    *({"type": "signature_delta", "signature": TEXT},),
    *({"type": "citations_delta", "citation": {"url": "u"}},),
]
BLOCKS = [
    *({"type": "text", "text": ""}, {"type": "text", "text": TEXT}, {"type": "thinking"}),
    *({"type": "tool_use", "id": "t", "name": "f", "input": {}}, {"type": "redacted_thinking"}),
    {"type": "tool_use", "id": 7, "name": "f", "input": {"a": NUMBER}},
]
MESSAGE = {"id": "g", "model": "m", "usage": {"input_tokens": 1, "output_tokens": NUMBER}}
PLACES = [{"index": 0}, {"index": 0}, {"index": 0}, {"index": 1}, {}, {"index": None, "x": NUMBER}]


def block_event(kind: str, place: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    return {"type": f"content_block_{kind}", **place, **more}


block_events = st.one_of(
    st.builds(
        block_event,
        st.just("delta"),
        st.sampled_from(PLACES),
        mostly(st.sampled_from(DELTAS[:2]), st.sampled_from(DELTAS)).map(
            lambda delta: {"delta": delta}
        ),
    ),
    st.builds(
        block_event,
        st.just("start"),
        st.sampled_from(PLACES),
        st.sampled_from([{"content_block": block} for block in BLOCKS]),
    ),
    st.sampled_from(
        [
            {"type": "message_start", "message": MESSAGE},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}},
            {"type": "message", **MESSAGE, "content": BLOCKS, "container": NUMBER},
            {"type": "error", "error": {"type": "overloaded_error"}},
            *({"type": "content_block_stop", "index": 0}, {"type": "ping"}),
            {"type": "message_stop"},
        ]
    ),
)


@given(streams(block_events))
def test_random_blocks(reads: list[list[bytes]]) -> None:
    compare(lambda: MessagesDecoder(Transcript()), reads)


# --- every recorded stream, and every shape that a gateway may send -----------------------------

VECTORS = Path(__file__).parent.parent / "vectors"


def vector(name: str) -> tuple[Make, bytes]:
    request = orjson.loads((VECTORS / f"{name}.json").read_bytes())["request"]["body"]
    dialect = DIALECTS[CATALOGUE.find(request["model"]).dialect]
    body = (VECTORS / f"{name}.body").read_bytes()
    return lambda: ChatCompletionsDecoder(dialect, Transcript(request.get("n", 1))), body


def body_of(events: Sequence[Any]) -> bytes:
    return b"".join(b"event: x\ndata: " + orjson.dumps(event) + b"\n\n" for event in events)


RECORDED: dict[str, tuple[Make, bytes]] = {
    **{path.stem: vector(path.stem) for path in sorted(VECTORS.glob("*.json"))},
    "responses": (lambda: ResponsesDecoder(Transcript()), body_of(test_responses_reply.EVENTS)),
    "messages": (lambda: MessagesDecoder(Transcript()), body_of(test_messages_reply.EVENTS)),
}


def reads_of(body: bytes, places: Sequence[int]) -> list[list[bytes]]:
    """Return the events of a body that is cut at these places."""
    sse, borders = SSEDecoder(), [0, *sorted(place % (len(body) + 1) for place in places)]
    parts = (body[start:end] for start, end in pairwise([*borders, len(body)]))
    return [sse.feed_data(part) for part in parts]


cuts = st.lists(st.integers(0, 100_000), max_size=12)


@pytest.mark.parametrize("name", RECORDED)
@settings(max_examples=20)
@given(places=cuts)
def test_recorded_streams(name: str, places: list[int]) -> None:
    """As they came; and with each event four times, because most are short."""
    make, body = RECORDED[name]
    reads = reads_of(body, places)
    compare(make, reads)
    compare(make, [[event for event in events for _ in range(4)] for events in reads])


sayings = st.lists(st.tuples(st.booleans(), texts), max_size=40)


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=25)
@given(said=sayings, choices=st.sampled_from([1, 1, 2]), places=cuts)
def test_shapes(name: str, said: Said, choices: int, places: list[int]) -> None:
    """Whatever is said, in the shape of every producer, from any reads."""
    shape = SHAPES[name]
    compare(shape.reads, reads_of(shape.body(said, choices), places))


@pytest.mark.parametrize("name", SHAPES)
def test_nearly_all_of_a_stream_is_spliced(name: str) -> None:
    events, share = rate(SHAPES[name], replies(SHAPES[name]))
    assert events > 300
    assert share >= LEAST


@pytest.mark.parametrize("name", ["DashScope, keys in any order", "SGLang", "MiniMax, tags"])
def test_choices_that_take_turns_are_spliced(name: str) -> None:
    reads = reads_of(SHAPES[name].body(replies(SHAPES[name]), 2), [])
    assert compare(SHAPES[name].reads, reads) >= LEAST * sum(map(len, reads))


# --- what a chunk sets beside its text ----------------------------------------------------------


def chunk(delta: dict[str, Any], choice: Any = None, **whole: Any) -> str:
    choices = [{"index": 0, "delta": delta, **(choice or {})}]
    return json.dumps({"model": "m", "choices": choices, **whole})


def detail(**fields: Any) -> dict[str, Any]:
    return {"reasoning": TEXT, "reasoning_details": [{"text": TEXT, "index": 0, **fields}]}


SAID = {"content": TEXT}
ODD_NOTE = {"annotations": [{"odd": 1}]}
USED = {"prompt_tokens": 1, "completion_tokens": 2}

# In turns, many times over: whoever splices the first must do what it does beside its text.
TURNS: dict[str, list[str]] = {
    "usage": [chunk(SAID, usage=USED), chunk(SAID, usage={**USED, "total_tokens": 9})],
    "unknown field": [chunk(SAID, tier="a"), chunk(SAID, tier="b")],
    "unknown numbers": [chunk(SAID, tier=1), chunk(SAID, tier=True), chunk(SAID, tier=1.0)],
    "unknown field of a choice": [chunk(SAID, {"stop": 1}), chunk(SAID, {"stop": 2})],
    "unknown field of a delta": [chunk({**SAID, "name": "a"}), chunk({**SAID, "name": "b"})],
    "reasoning that is none": [chunk(SAID, {"reasoning": 8}), chunk({"reasoning": 7})],
    "content that is none": [chunk(SAID, {"content": 8}), chunk({"content": 7})],
    "created, no model": [chunk(SAID, model="", created=1), chunk(SAID, model="", created=2)],
    "created changes, no model": [chunk(SAID, model=None, created=NUMBER)],
    "field of a detail": [chunk(detail(format="a")), chunk(detail(format="b"))],
    "what is gathered": [chunk(SAID, {"annotations": "x"}), chunk(ODD_NOTE)],
    "what is gathered, empty": [chunk(SAID, {"annotations": []}), chunk(ODD_NOTE)],
    "what is gathered of parts": [chunk({**SAID, "parts": "x"}), chunk({"content": [{"odd": 1}]})],
    "empty logprobs": [chunk(SAID, {"logprobs": {}, "matched_stop": None})],
    "empty part": [chunk({"content": [{"text": ""}]}), chunk(SAID)],
    "a call that no orjson writes": [
        chunk({"tool_calls": [{"function": {"arguments": {"a": 10**30, "b": math.nan}}}]})
    ],
    "details that are no list": [
        chunk({**SAID, "reasoning_details": odd}) for odd in (7, {"a": 1})
    ],
    "sources before there is a choice": [
        chunk(SAID, {"index": 1}, citations=["https://a.example"]),
        chunk(SAID),
    ],
    "a text like our marker": [
        r'{"model":"m","choices":[{"delta":{"content":"@text@","content":"\u0000spliced\u0000"}}]}'
    ],
}


@pytest.mark.parametrize("case", TURNS)
def test_what_a_chunk_sets_beside_its_text(case: str) -> None:
    turns = [frame for frame in TURNS[case] for _ in range(5)] * 2
    events = [
        frame.replace('"@text@"', f'"{place}"').replace('"@number@"', str(place)).encode()
        for place, frame in enumerate(turns)
    ]
    reads = [[event] for event in events]
    compare(lambda: ChatCompletionsDecoder(DIALECTS["qwen"], Transcript()), reads)


@pytest.mark.parametrize("literal", ['"a"', r'"\ud83d"'])
def test_what_is_nested_too_deeply_to_be_compared(literal: str) -> None:
    """Nothing is raised, and what comes after it is taken."""
    frame = chunk(SAID, x=9).replace('"@text@"', literal).replace("9", "[" * 950 + "]" * 950)
    decoder = ChatCompletionsDecoder(DIALECTS["openai"], Transcript())
    suspects_of_splicing(decoder, [*[frame.encode()] * 5, chunk({"content": "b"}).encode()])
    assert decoder.transcript.items[-1].endswith("b")


# --- the splicer alone --------------------------------------------------------------------------


def splicer_of(*chunks_: bytes, changing: Sequence[str] = (), twin: bool = False) -> Splicer:
    """Return a splicer that has learned these; their text is under ``a``, and ``b`` if twice."""
    splicer = Splicer(Transcript())
    for data in chunks_:
        learn(splicer, data, changing=changing, twin=twin)
    return splicer


def learn(
    splicer: Splicer, data: bytes, *, changing: Sequence[str] = (), twin: bool = False
) -> None:
    parsed = orjson.loads(data)
    holes: list[Hole] = [(parsed, "a"), (parsed, "b")] if twin else [(parsed, "a")]
    splicer.learn(data, parsed, holes, Append(ANSWER), changing)


def taken(splicer: Splicer, *events: bytes) -> int:
    return splicer.take(events, 0) if splicer.templates else 0


def test_a_text_is_taken_from_what_fits() -> None:
    log = Transcript()
    splicer = Splicer(log)
    learn(splicer, b'{"x":"a","a":"old","n":[1]}')
    events = [b'{"x":"a","a":"%b","n":[1]}' % text for text in ("你".encode(), b"", rb"\ud83d")]
    assert splicer.take([b"{}", *events], 0) == 0
    assert splicer.take([b"{}", *events], 1) == 3
    assert (log.items, log.kinds, splicer.hits) == (["你"], [ANSWER], 2)


@pytest.mark.parametrize(
    "other",
    [
        *(b'{"a":7}', b'{"a":null}', b'{"a":["x"]}', b'{"a":}', b'{"a":"}', b'{"a"', b'"}', b""),
        *(
            b'{"a":"x","a":"y"}',
            b'{"a":"x"}}',
            b'{"a": "x" ,"b":1}',
            b'{ "a":"x"}',
            b'{"a":"\xff"}',
        ),
    ],
)
def test_what_is_no_text_does_not_fit(other: bytes) -> None:
    assert taken(splicer_of(b'{"a":"x"}'), other) == 0


@pytest.mark.parametrize(
    ("data", "fits"),
    [
        (b'{"b":{"a":"x"},"a":"x"}', b'{"b":{"a":"x"},"a":"y"}'),
        (b'{"a":"x","b":{"a":"x"}}', b'{"a":"y","b":{"a":"x"}}'),
        (rb'{"b":"\"a\":\"x\"","a":"x"}', rb'{"b":"\"a\":\"x\"","a":"y"}'),
        (rb'{"\"a":"x","a":"x"}', rb'{"\"a":"x","a":"y"}'),
        (b'{"a":"x","a":"x"}', b'{"a":"x","a":"y"}'),
        (b'{"a"\t: "x" }', b'{"a"\t: "y" }'),
        (rb'{"a":"\"a\":\"x\""}', rb'{"a":"\\"}'),
    ],
)
def test_the_place_of_the_text_is_found(data: bytes, fits: bytes) -> None:
    log = Transcript()
    splicer = Splicer(log)
    learn(splicer, data)
    assert splicer.take([fits], 0) == 1
    assert log.items == [orjson.loads(fits)["a"]]


@pytest.mark.parametrize(
    "data", [rb'{"\u0061":"x"}', b'{"a":\n"x"}', rb'{"a":"\u0000spliced\u0000"}']
)
def test_a_place_that_is_not_found_is_no_template(data: bytes) -> None:
    assert taken(splicer_of(data), data) == 0


@pytest.mark.parametrize(
    ("event", "fits"),
    [
        (b'{"a":"y","b":"y"}', 1),
        (b'{"a":"y","b":"z"}', 0),
        (rb'{"a":"/","b":"\/"}', 0),
        (b'{"a":"y","b":7}', 0),
        (b'{"a":7,"b":7}', 0),
        (b'{"a":"y"}', 0),
    ],
)
def test_the_same_text_twice(event: bytes, fits: int) -> None:
    assert taken(splicer_of(b'{"a":"x","b":"x"}', twin=True), event) == fits


@pytest.mark.parametrize("value", [b"3", b"-1.5e3", b'"c"', rb'"\",\"a\":\""', b' "c"'])
def test_scalars_that_change(value: bytes) -> None:
    """What changed once may change again, whatever its type; what stood still may not."""
    splicer = splicer_of(b'{"n":1,"a":"x","m":1}', b'{"n":2,"a":"x","m":1}', changing=("n", "m"))
    assert taken(splicer, b'{"n":%b,"a":"y","m":1}' % value) == 1
    assert taken(splicer, b'{"n":%b,"a":"y","m":2}' % value) == 0


@pytest.mark.parametrize(
    "value",
    [
        *(b"null", b"true", b"[]", b"{}", b"", b'"', b'1,"a":"z"', b"1e999"),
        *(b"007", b"00", b"-01", b"01.5", b"1.", b"+1", b"0x1", b"1_0", "٣".encode()),
    ],
)
def test_scalars_that_are_none(value: bytes) -> None:
    """What is no JSON in a hole goes the long way, whichever side of the text it stands on."""
    splicer = splicer_of(b'{"n":1,"a":"x"}', b'{"n":2,"a":"x"}', changing=("n",))
    assert taken(splicer, b'{"n":%b,"a":"y"}' % value) == 0
    splicer = splicer_of(b'{"a":"x","n":1}', b'{"a":"x","n":2}', changing=("n",))
    assert taken(splicer, b'{"a":"y","n":%b}' % value) == 0
    both = b'{"n":1,"a":"x","m":1}', b'{"n":2,"a":"x","m":2}'
    splicer = splicer_of(*both, changing=("n", "m"))
    assert taken(splicer, b'{"n":3,"a":"y","m":%b}' % value) == 0


def test_what_always_changes_need_not_be_seen_to_change() -> None:
    splicer = splicer_of(b'{"a":"x","sequence_number":1}', changing=("sequence_number",))
    assert taken(splicer, b'{"a":"y","sequence_number":2}') == 1


def test_a_new_scalar_makes_the_old_templates_useless() -> None:
    splicer = splicer_of(b'{"n":1,"a":"x","o":0}', b'{"n":2,"a":"x"}', changing=("n",))
    assert taken(splicer, b'{"n":1,"a":"x","o":0}') == 0
    assert taken(splicer, b'{"n":3,"a":"y"}') == 1


def test_forgetting() -> None:
    splicer = splicer_of(b'{"a":"x"}')
    splicer.forget()
    assert taken(splicer, b'{"a":"y"}') == 0
    learn(splicer, b'{"a":"x"}')
    assert taken(splicer, b'{"a":"y"}') == 1


def shape(number: int) -> bytes:
    return b'{"%d":0,"a":"x"}' % number


def test_the_templates_of_late_are_kept() -> None:
    """As many as may be; what was of use stays longer than what was not."""
    splicer = splicer_of(*map(shape, range(MOST_TEMPLATES)))
    assert taken(splicer, shape(0)) == 1
    learn(splicer, shape(MOST_TEMPLATES))
    assert [taken(splicer, shape(number)) for number in range(3)] == [1, 0, 1]


def test_the_first_text_is_worth_no_template() -> None:
    splicer = Splicer(Transcript())
    assert [splicer.worth(b"x") for _ in range(3)] == [False, True, True]
    assert not splicer.worth(b"x" * (LONGEST + 1))
    assert splicer.worth(b"x" * LONGEST)


def test_learning_in_vain_ends() -> None:
    """A stream whose chunks never fit costs no more than some templates; one that fits goes on."""
    splicer = splicer_of(*map(shape, range(FAIR_TRIAL - 1)))
    splicer.worth(b"x")
    assert splicer.worth(b"x")
    learn(splicer, shape(0))
    assert not splicer.worth(b"x")
    taken(splicer, *[shape(0)] * 4 * FAIR_TRIAL)
    assert splicer.worth(b"x")


def test_a_text_that_goes_through() -> None:
    """It is given away in place of being appended, as long as there is the template."""
    given_: list[str] = []
    log = Transcript()
    splicer, data = Splicer(log), b'{"a":"x"}'

    def through(text: str) -> None:
        given_.append(text)
        if text == "stop":
            splicer.forget()

    parsed = orjson.loads(data)
    splicer.learn(data, parsed, [(parsed, "a")], Append(ANSWER, through=through))
    events = [b'{"a":"%b"}' % text for text in (b"a", b"", b"b", b"stop")]
    assert splicer.take([*events[:2], b"{}"], 0) == 2
    assert splicer.take([b'{"a":7}'], 0) == splicer.take([b'{"a":"}'], 0) == 0
    assert splicer.take(events, 2) == 4
    assert given_ == ["a", "b", "stop"]
    assert (splicer.templates, log.items) == ([], [])


def test_a_text_is_kept_twice() -> None:
    kept: list[str] = []
    log = Transcript()
    splicer, data = Splicer(log), b'{"a":"x"}'
    parsed = orjson.loads(data)
    splicer.learn(data, parsed, [(parsed, "a")], Append(ANSWER, also=kept))
    splicer.take([b'{"a":"y"}', b'{"a":""}'], 0)
    assert log.items == kept == ["y"]


def test_a_stream_dropped_in_the_middle_of_its_tags_is_freed() -> None:
    gc.collect()
    gc.disable()
    try:
        decoder = ChatCompletionsDecoder(DIALECTS["minimax"], Transcript())
        decoder.feed_from([chunk({"content": text}).encode() for text in ("<think>", *"abcd")], 0)
        assert decoder.splicer.hits == 2
        freed = weakref.ref(decoder.splicer.templates[0])
        del decoder
        assert freed() is None
    finally:
        gc.enable()
