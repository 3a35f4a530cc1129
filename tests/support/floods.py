"""Replies that cost time where something is looked at again for each piece, in any size.

Strategy.  Each flood is made for one way to be slow: many of one thing, things that take turns, or
one large thing and then many small ones, before each of which the large one might be copied,
compared or parsed once more.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import attrs

from tests.support.streams import DONE, body, chat_frame, gemini_frame, saying

Frames: TypeAlias = Iterator[Any]

HEAD = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "content": []}
LETTERS = 200
"""Characters of a large thing for each of the small ones that follow."""


@attrs.frozen
class Flood:
    """A reply of any size.

    Attributes:
        protocol: that it is spoken in.
        frames: returns its frames, or its bytes, for a size.
        size: the smaller of two that are compared.
    """

    protocol: str
    frames: Callable[[int], Frames | bytes]
    size: int

    def data(self, size: int) -> bytes:
        """Write it as the body of an answer."""
        frames = self.frames(size)
        return frames if isinstance(frames, bytes) else body(frames)


FLOODS: dict[str, Flood] = {}


def flood(protocol: str, size: int) -> Callable[[Callable[[int], Any]], Callable[[int], Any]]:
    def keep(frames: Callable[[int], Any]) -> Callable[[int], Any]:
        FLOODS[f"{protocol}-{frames.__name__.removeprefix(f'{protocol}_')}"] = Flood(
            protocol, frames, size
        )
        return frames

    return keep


# --- Chat Completions ---------------------------------------------------------------------------


def chat_end(reason: str = "stop") -> Frames:
    yield chat_frame({}, reason)
    yield DONE


def call_piece(index: int | None, arguments: str, **more: Any) -> dict[str, Any]:
    name = {"name": more.pop("name")} if "name" in more else {}
    place = {} if index is None else {"index": index}
    return chat_frame(
        {"tool_calls": [{**place, **more, "function": {**name, "arguments": arguments}}]}
    )


@flood("chat", 1200)
def tiny_pieces(n: int) -> Frames:
    yield from saying("chat", *("好" for _ in range(n)))


@flood("chat", 800)
def thoughts_and_answers_in_turn(n: int) -> Frames:
    for at in range(n):
        yield chat_frame({"reasoning_content": "想"} if at % 2 else {"content": "说"})
    yield from chat_end()


@flood("chat", 800)
def choices_of_one_piece(n: int) -> Frames:
    for index in range(n):
        yield chat_frame({"content": "a"}, "stop", index=index)
    yield DONE


@flood("chat", 800)
def choices_in_turn(n: int) -> Frames:
    for at in range(n):
        yield chat_frame({"content": "好"}, index=at % 250)
    for index in range(250):
        yield chat_frame({}, "stop", index=index)
    yield DONE


@flood("chat", 800)
def choices_that_finish_again(n: int) -> Frames:
    for at in range(n):
        yield chat_frame({"content": "好"}, "stop", index=at % 2)
    yield DONE


@flood("chat", 800)
def finishes_after_a_long_text(n: int) -> Frames:
    for _ in range(n):
        yield chat_frame({"content": "好"})
    yield chat_frame({"role": "assistant"}, "stop", index=1)
    for _ in range(n):
        yield chat_frame({}, "stop", index=1)
    yield from chat_end()


@flood("chat", 800)
def messages_after_deltas(n: int) -> Frames:
    for _ in range(n):
        yield chat_frame({"content": "好"})
    choice = {"index": 1, "message": {"content": ""}, "finish_reason": "stop"}
    for _ in range(n):
        yield {"model": "m", "choices": [choice]}
    yield from chat_end()


@flood("chat", 500)
def calls(n: int) -> Frames:
    for at in range(n):
        yield call_piece(at, "{}", id=f"c{at}", name="f")
    yield from chat_end("tool_calls")


@flood("chat", 300)
def calls_in_three_pieces(n: int) -> Frames:
    for at in range(n):
        yield call_piece(at, "", id=f"c{at}", name="f")
        yield call_piece(at, '{"a":')
        yield call_piece(at, "1}")
    yield from chat_end("tool_calls")


@flood("chat", 400)
def calls_in_turn(n: int) -> Frames:
    for at in range(50):
        yield call_piece(at, '{"a":[', id=f"c{at}", name="f")
    for at in range(n):
        yield call_piece(at % 50, "1,")
        yield chat_frame({"content": "好"})
    for at in range(50):
        yield call_piece(at, "1]}")
    yield from chat_end("tool_calls")


@flood("chat", 500)
def calls_of_one_id(n: int) -> Frames:
    for at in range(n):
        yield call_piece(at, '{"a":1}', id="c", name="f")
    yield from chat_end("tool_calls")


@flood("chat", 500)
def calls_of_one_id_without_index(n: int) -> Frames:
    for at in range(n):
        yield call_piece(None, f'{{"a":{at}}}', id="c", name="f")
    yield from chat_end("tool_calls")


@flood("chat", 500)
def calls_without_id(n: int) -> Frames:
    for _ in range(n):
        yield call_piece(None, '{"a":1}', name="f")
    yield from chat_end("tool_calls")


@flood("chat", 800)
def arguments_in_letters(n: int) -> Frames:
    yield call_piece(0, '{"a":"', id="c", name="f")
    for at in range(n):
        yield call_piece(0, "x}"[at % 2])
    yield call_piece(0, '"}')
    yield from chat_end("tool_calls")


@flood("chat", 800)
def arguments_and_text_in_turn(n: int) -> Frames:
    yield call_piece(0, '{"a":"' + "x" * LETTERS * n, id="c", name="f")
    for _ in range(n // 2):
        yield call_piece(0, "}")
        yield chat_frame({"content": "好"})
    yield call_piece(0, '"}')
    yield from chat_end("tool_calls")


@flood("chat", 600)
def arguments_that_are_whole_and_go_on(n: int) -> Frames:
    yield call_piece(0, '{"a":"' + "x" * LETTERS * n + '"}', id="c", name="f")
    for at in range(n):
        yield chat_frame({"content": "好"}) if at % 2 else call_piece(0, " ")
    yield from chat_end("tool_calls")


@flood("chat", 600)
def arguments_that_are_followed_by_others(n: int) -> Frames:
    yield call_piece(0, '{"a":"' + "x" * LETTERS * n + '"}', id="c", name="f")
    for _ in range(n):
        yield call_piece(0, '{"a":"x"}')
    yield from chat_end("tool_calls")


@flood("chat", 600)
def arguments_that_are_repeated(n: int) -> Frames:
    yield call_piece(0, "{" + '"a":1,' * 30 * n + '"a":1}', id="c", name="f")
    for _ in range(n):
        yield call_piece(0, '{"a":1}')
    yield from chat_end("tool_calls")


@flood("chat", 1)
def arguments_of_line_ends(n: int) -> Frames:
    yield call_piece(0, '{"a":"' + "\n" * 20_000 * n + '"}', id="c", name="f")
    yield from chat_end("tool_calls")


@flood("chat", 1)
def arguments_of_escapes(n: int) -> Frames:
    yield call_piece(0, '{"a":"' + "\\n\\u00e4" * 20_000 * n + '"}', id="c", name="f")
    yield from chat_end("tool_calls")


@flood("chat", 1)
def arguments_of_numbers(n: int) -> Frames:
    yield call_piece(0, '{"a":[' + "1," * 100_000 * n + "1]}", id="c", name="f")
    yield from chat_end("tool_calls")


@flood("chat", 2)
def arguments_that_are_no_json(n: int) -> Frames:
    yield call_piece(0, "{" * 50_000 * n + "}" * 50_000 * n, id="c", name="f")
    yield from chat_end("tool_calls")


@flood("chat", 600)
def names_in_pieces(n: int) -> Frames:
    yield call_piece(0, "", id="c", name="f" * LETTERS * n)
    for _ in range(n):
        yield call_piece(0, "", name="g")
    yield call_piece(0, "{}")
    yield from chat_end("tool_calls")


@flood("chat", 600)
def long_names_that_are_repeated(n: int) -> Frames:
    yield call_piece(0, "", id="c", name="f" * LETTERS * n)
    for at in range(n):
        yield call_piece(None, "{}", name=f"g{at}")
    yield from chat_end("tool_calls")


@flood("chat", 500)
def fields_of_calls(n: int) -> Frames:
    for at in range(n):
        yield call_piece(0, "", id="c", name="f", **{f"field{at}": at})
    yield call_piece(0, "{}")
    yield from chat_end("tool_calls")


@flood("chat", 500)
def refusals(n: int) -> Frames:
    for _ in range(n):
        yield chat_frame({"refusal": "不"})
    yield from chat_end()


@flood("chat", 500)
def pictures_and_citations(n: int) -> Frames:
    for at in range(n):
        source = {"url_citation": {"url": f"https://a/{at}", "title": "好"}}
        yield chat_frame({"annotations": [source]})
        yield chat_frame({"images": [{"image_url": {"url": "data:image/png;base64,aaaa"}}]})
    yield from chat_end()


@flood("chat", 500)
def parts_that_nobody_knows(n: int) -> Frames:
    for at in range(n):
        yield chat_frame({"content": [{"type": "new", "at": at}], "annotations": [at]})
    yield from chat_end()


@flood("chat", 500)
def fields_that_nobody_knows(n: int) -> Frames:
    for at in range(n):
        yield {**chat_frame({f"field{at}": at}), f"other{at}": at}
    yield from chat_end()


@flood("chat", 500)
def a_field_that_changes(n: int) -> Frames:
    for at in range(n):
        yield {**chat_frame({"content": "好", "new": at}), "other": at}
    yield from chat_end()


@flood("chat", 300)
def logprobs(n: int) -> Frames:
    rows = [{"token": "好", "logprob": -0.1, "top_logprobs": []}]
    for _ in range(n):
        frame = chat_frame({"content": "好"})
        frame["choices"][0]["logprobs"] = {"content": rows, "refusal": rows}
        yield frame
    yield from chat_end()


@flood("chat", 500)
def details(n: int) -> Frames:
    for at in range(n):
        entry = {"type": "reasoning.text", "index": at, "id": f"r{at}", "text": "想"}
        yield chat_frame({"reasoning_details": [entry]})
    yield from chat_end()


@flood("chat", 500)
def details_of_one_index(n: int) -> Frames:
    for at in range(n):
        entry = {
            "type": "reasoning.text",
            "index": 0,
            "text": "想" * LETTERS * n if not at else "x",
        }
        yield chat_frame({"reasoning_details": [entry]})
    yield from chat_end()


@flood("chat", 500)
def thinking_blocks(n: int) -> Frames:
    for at in range(n):
        text = "x" * 10 * LETTERS * n if not at else "想"
        yield chat_frame({"thinking_blocks": [{"type": "thinking", "thinking": text}]})
    yield from chat_end()


@flood("chat", 500)
def thoughts_in_parts(n: int) -> Frames:
    for at in range(n):
        part = {"type": "thinking", "thinking": [{"type": "text", "text": "想"}], f"f{at}": at}
        yield chat_frame({"content": [part]})
    yield from chat_end()


@flood("chat", 500)
def audio(n: int) -> Frames:
    for _ in range(n):
        yield chat_frame({"audio": {"id": "a", "data": "aGFsbG8=", "transcript": "好"}})
    yield from chat_end()


@flood("chat", 500)
def usages(n: int) -> Frames:
    for at in range(n):
        yield {"model": "m", "choices": [], "usage": {"total_tokens": at, f"count{at}": 1}}
    yield from chat_end()


@flood("chat", 500)
def usage_details(n: int) -> Frames:
    for at in range(n):
        inner = {f"count{at}": 1}
        yield {"model": "m", "choices": [], "usage": {"total_tokens": 9, "details": inner}}
    yield from chat_end()


@flood("chat", 2)
def opening_tags(n: int) -> Frames:
    yield chat_frame({"content": "<think>" * 20_000 * n})
    yield from chat_end()


@flood("chat", 800)
def opening_tags_in_pieces(n: int) -> Frames:
    for _ in range(n):
        yield chat_frame({"content": "<think>"})
    yield from chat_end()


@flood("chat", 800)
def thoughts_in_tags(n: int) -> Frames:
    yield chat_frame({"content": "<think>"})
    for _ in range(n):
        yield chat_frame({"content": "想</"})
    yield chat_frame({"content": "</think>好"})
    yield from chat_end()


@flood("chat", 1)
def links_to_pictures(n: int) -> Frames:
    yield chat_frame({"content": "](data:" + "[" * 40_000 * n + "](data:" * 20_000 * n})
    yield from chat_end()


@flood("chat", 500)
def errors_that_say_nothing(n: int) -> Frames:
    for _ in range(n):
        yield {**chat_frame({"content": "好"}), "error": {"code": 0, "message": ""}}
    yield from chat_end()


@flood("chat", 500)
def splices_that_never_fit(n: int) -> Frames:
    """Return the same keys in a place that does not matter, of which each might be the text."""
    for at in range(n):
        same = [{"content": "x"}] * 8
        yield {**chat_frame({"content": "好"}), "usage": {"a": same, "b": at}}
    yield from chat_end()


@flood("chat", 300)
def characters_cut_in_two(n: int) -> bytes:
    event = b'data: {"choices":[{"index":0,"delta":{"content":"\xe4\xbd"}}]}\n\n'
    rest = b'data: {"choices":[{"index":0,"delta":{"content":"\xa0"}}]}\n\n'
    return (event + rest) * n + body(chat_end())


# --- frames -------------------------------------------------------------------------------------


@flood("chat", 8000)
def comments(n: int) -> bytes:
    return b":\n" * n + b":\n\n" * n + body(saying("chat", "好"))


@flood("chat", 4000)
def events_of_nothing(n: int) -> bytes:
    return b"data:\n\n" * n + b"data: 1\n\n" * n + body(saying("chat", "好"))


@flood("chat", 10_000)
def lines_of_one_event(n: int) -> bytes:
    return b"data:\n" * n + b"\n" + body(saying("chat", "好"))


@flood("chat", 1000)
def lines_of_json(n: int) -> bytes:
    lines = b'{"choices":[\n' + b'data: {"index":0}\n' + b'{"index":0},\n' * n
    return b"data: {}\n\n" + lines + b"]}\n\n" + body(saying("chat", "好"))


@flood("chat", 2000)
def bare_lines(n: int) -> bytes:
    return b": x\n" + b'{"a": {\n' * n + b"}}\n" * n + body(saying("chat", "好"))


@flood("chat", 2)
def quotes_on_a_bare_line(n: int) -> bytes:
    return b': x\n{"a": "' + b'\\"' * 20_000 * n + b"\n\n" + body(saying("chat", "好"))


@flood("chat", 2000)
def glued_frames(n: int) -> bytes:
    return b"data: " + b'{"choices":[]}' * n + b"\n\n" + body(saying("chat", "好"))


@flood("chat", 500)
def glued_frames_and_broken_ones(n: int) -> bytes:
    return b'data: {"choices":[]}{"choices":[{"id": \n\n' * n + body(saying("chat", "好"))


@flood("chat", 2)
def a_frame_cut_at_every_brace(n: int) -> bytes:
    return b"data: " + b'{"error":' * 20_000 * n + b"\n\n" + body(saying("chat", "好"))


@flood("chat", 2000)
def event_names(n: int) -> bytes:
    return b"event: x\nid: 1\nretry: 1\ndata: {}\n\n" * n + body(saying("chat", "好"))


@flood("chat", 1000)
def events_named_error(n: int) -> bytes:
    return b'event: error\ndata: {"choices":[]}\n\n' * n + body(saying("chat", "好"))


@flood("chat", 1000)
def lines_cut_by_newlines(n: int) -> bytes:
    return b'data: {"choices":[],"x":"a\nb"}\n\n' * n + body(saying("chat", "好"))


@flood("chat", 3)
def an_event_of_one_text(n: int) -> Frames:
    yield from saying("chat", "好\n<>" * 50_000 * n)


@flood("chat", 2)
def a_page(n: int) -> bytes:
    return b"<" * 100_000 * n


@flood("chat", 2)
def a_page_of_tags(n: int) -> bytes:
    return b"<html>" + b"<script><a>" * 8_000 * n


@flood("chat", 2)
def a_page_of_entities(n: int) -> bytes:
    return b"<p>" + b"&#" * 50_000 * n


@flood("chat", 2)
def nested_errors(n: int) -> bytes:
    return b'{"error":' * 10_000 * n + b"1" + b"}" * 10_000 * n


@flood("chat", 400)
def nested_errors_that_can_be_read(n: int) -> bytes:
    event = b'data: {"choices":[],"error":' + b'{"error":' * 50 + b"{}" + b"}" * 51 + b"\n\n"
    return event * n + body(saying("chat", "好"))


# --- Messages -----------------------------------------------------------------------------------


def block_delta(index: int, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def block_start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def messages_around(frames: Frames) -> Frames:
    yield {"type": "message_start", "message": HEAD}
    yield from frames
    yield {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    yield {"type": "message_stop"}


def messages_flood(size: int) -> Callable[[Callable[[int], Frames]], Callable[[int], Any]]:
    def keep(frames: Callable[[int], Frames]) -> Callable[[int], Any]:
        def whole(n: int) -> Frames:
            return messages_around(frames(n))

        whole.__name__ = frames.__name__
        return flood("messages", size)(whole)

    return keep


@messages_flood(300)
def messages_blocks(n: int) -> Frames:
    for at in range(n):
        yield block_start(at, type="text", text="")
        yield block_delta(at, type="text_delta", text="好")
        yield {"type": "content_block_stop", "index": at}


@messages_flood(300)
def messages_blocks_in_turn(n: int) -> Frames:
    for at in range(50):
        yield block_start(at, type="thinking" if at % 2 else "text")
    for at in range(n):
        index = at % 50
        kind = "thinking" if index % 2 else "text"
        yield block_delta(index, type=f"{kind}_delta", **{kind: "好"})


@messages_flood(400)
def messages_thoughts_and_text_in_turn(n: int) -> Frames:
    for at in range(n):
        kind = "thinking" if at % 2 else "text"
        yield block_delta(0, type=f"{kind}_delta", **{kind: "好"})


@messages_flood(300)
def messages_calls(n: int) -> Frames:
    for at in range(n):
        yield block_start(at, type="tool_use", id=f"t{at}", name="f", input={})
        yield block_delta(at, type="input_json_delta", partial_json='{"a":1}')
        yield {"type": "content_block_stop", "index": at}


@messages_flood(400)
def messages_input_in_pieces(n: int) -> Frames:
    yield block_start(0, type="tool_use", id="t", name="f", input={})
    yield block_delta(0, type="input_json_delta", partial_json='{"a":"' + "x" * LETTERS * n)
    for _ in range(n):
        yield block_delta(0, type="input_json_delta", partial_json="}")
    yield block_delta(0, type="input_json_delta", partial_json='"}')


@messages_flood(400)
def messages_blocks_that_end_again(n: int) -> Frames:
    start = {"a": "x" * LETTERS * n}
    yield block_start(0, type="tool_use", id="t", name="f", input=start)
    for _ in range(n):
        yield {"type": "content_block_stop", "index": 0}


@messages_flood(500)
def messages_signatures(n: int) -> Frames:
    yield block_start(0, type="thinking", thinking="")
    yield block_delta(0, type="thinking_delta", thinking="想" * LETTERS * n)
    for at in range(n):
        yield block_delta(1, type="signature_delta", signature=f"s{at}")


@messages_flood(500)
def messages_citations(n: int) -> Frames:
    yield block_start(0, type="text", text="")
    for at in range(n):
        source = {"type": "web_search_result_location", "url": f"https://a/{at}", "title": "好"}
        yield block_delta(0, type="citations_delta", citation=source)


@messages_flood(500)
def messages_compactions(n: int) -> Frames:
    yield block_start(0, type="compaction", content="x" * 10 * LETTERS * n)
    for _ in range(n):
        yield block_delta(0, type="compaction_delta", content="好")


@messages_flood(300)
def messages_whole_messages(n: int) -> Frames:
    for at in range(n):
        yield block_start(at, type="tool_use", id=f"t{at}", name="f", input={})
    whole = {**HEAD, "content": [{"type": "tool_use", "id": "t0", "name": "f", "input": {}}]}
    for _ in range(n):
        yield whole


@messages_flood(500)
def messages_usages(n: int) -> Frames:
    for at in range(n):
        yield {"type": "message_delta", "delta": {}, "usage": {"output_tokens": at, f"c{at}": 1}}


@messages_flood(500)
def messages_fields(n: int) -> Frames:
    for at in range(n):
        yield {**block_delta(0, type="text_delta", text="好", **{f"f{at}": at}), f"g{at}": at}


@messages_flood(300)
def messages_results_of_tools(n: int) -> Frames:
    for at in range(n):
        yield block_start(at, type="server_tool_use", id=f"s{at}", name="web_search")
        yield block_start(at, type="web_search_tool_result", tool_use_id=f"s{at}", content=[])


@messages_flood(400)
def messages_reasons(n: int) -> Frames:
    for _ in range(n):
        yield block_delta(0, type="text_delta", text="好")
        yield {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}


# --- Responses ----------------------------------------------------------------------------------


def item_event(kind: str, at: int, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": f"response.output_item.{kind}", "output_index": at, "item": item}


def said_text(at: int, text: str, content: int = 0, **more: Any) -> dict[str, Any]:
    place = {"item_id": f"m{at}", "output_index": at, "content_index": content}
    return {"type": "response.output_text.delta", **place, "delta": text, **more}


def message_item(at: int, *texts: str) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"id": f"m{at}", "type": "message", "role": "assistant", "content": parts}


def completed(*items: dict[str, Any]) -> dict[str, Any]:
    response = {"id": "r", "model": "m", "status": "completed", "output": items}
    return {"type": "response.completed", "response": response}


@flood("responses", 300)
def responses_items(n: int) -> Frames:
    for at in range(n):
        yield item_event("added", at, message_item(at))
        yield said_text(at, "好")
        yield item_event("done", at, message_item(at, "好"))
    yield completed(*(message_item(at, "好") for at in range(n)))


@flood("responses", 300)
def responses_items_of_other_ids(n: int) -> Frames:
    for at in range(n):
        yield item_event("added", 0, message_item(at))
        yield said_text(at, f"好{at}")
        yield item_event("done", 0, message_item(at, f"好{at}"))
    yield completed(*(message_item(n + at, f"好{at}") for at in range(n)))


@flood("responses", 300)
def responses_items_that_are_only_listed(n: int) -> Frames:
    for at in range(n):
        yield item_event("done", at, message_item(at, f"好{at}"))
    yield completed(*(message_item(at % n + at // n * n, f"好{at}") for at in range(2 * n)))


@flood("responses", 400)
def responses_parts(n: int) -> Frames:
    yield item_event("added", 0, message_item(0))
    for at in range(n):
        yield said_text(0, "好", at)
    yield item_event("done", 0, message_item(0, *("好" for _ in range(n))))
    yield completed(message_item(0, *("好" for _ in range(n))))


@flood("responses", 400)
def responses_parts_in_turn(n: int) -> Frames:
    for at in range(n):
        yield said_text(at % 50, "好", at % 3)
    yield completed()


@flood("responses", 300)
def responses_parts_that_are_done_again(n: int) -> Frames:
    text = "x" * LETTERS * n
    yield said_text(0, text)
    place = {"item_id": "m0", "output_index": 0, "content_index": 0}
    for at in range(n):
        yield {"type": "response.output_text.done", **place, "text": text if not at else f"y{at}"}
    yield completed()


@flood("responses", 400)
def responses_summaries(n: int) -> Frames:
    for at in range(n):
        place = {"item_id": "r0", "output_index": 0, "summary_index": at}
        yield {"type": "response.reasoning_summary_text.delta", **place, "delta": "想"}
        yield {"type": "response.reasoning_summary_text.done", **place, "text": "想"}
    yield completed()


@flood("responses", 400)
def responses_refusals(n: int) -> Frames:
    place = {"item_id": "m0", "output_index": 0, "content_index": 0}
    for _ in range(n):
        yield {"type": "response.refusal.delta", **place, "delta": "不"}
    yield completed()


def call_item(at: int, arguments: str = "", kind: str = "function_call") -> dict[str, Any]:
    named = {"id": f"f{at}", "type": kind, "call_id": f"c{at}", "name": "f"}
    return {**named, "input" if "custom" in kind else "arguments": arguments}


@flood("responses", 300)
def responses_calls(n: int) -> Frames:
    for at in range(n):
        place = {"item_id": f"f{at}", "output_index": at}
        yield item_event("added", at, call_item(at))
        yield {"type": "response.function_call_arguments.delta", **place, "delta": '{"a":1}'}
        yield item_event("done", at, call_item(at, '{"a":1}'))
    yield completed(*(call_item(at, '{"a":1}') for at in range(n)))


@flood("responses", 400)
def responses_arguments_in_pieces(n: int) -> Frames:
    place = {"item_id": "f0", "output_index": 0}
    yield item_event("added", 0, call_item(0))
    for at in range(n):
        piece = '{"a":"' + "x" * LETTERS * n if not at else "}"
        yield {"type": "response.function_call_arguments.delta", **place, "delta": piece}
    yield completed()


@flood("responses", 400)
def responses_arguments_that_are_done_again(n: int) -> Frames:
    fields = {f"field{at}": at for at in range(20 * n)}
    place = {"item_id": "f0", "output_index": 0}
    yield item_event("added", 0, {**call_item(0), **fields})
    for _ in range(n):
        yield {"type": "response.function_call_arguments.done", **place, "arguments": "{}"}
    yield completed()


@flood("responses", 400)
def responses_free_text_that_is_done_again(n: int) -> Frames:
    place = {"item_id": "f0", "output_index": 0}
    yield item_event("added", 0, call_item(0, kind="custom_tool_call"))
    kind = "response.custom_tool_call_input"
    yield {"type": f"{kind}.delta", **place, "delta": "x" * 10 * LETTERS * n}
    for _ in range(n):
        yield {"type": f"{kind}.done", **place, "input": "y"}
    yield completed()


@flood("responses", 300)
def responses_whole_responses(n: int) -> Frames:
    for at in range(n):
        yield said_text(at, "好")
    for _ in range(n):
        yield {"object": "response", "status": "in_progress", "output": []}
    yield completed()


@flood("responses", 300)
def responses_annotations(n: int) -> Frames:
    place = {"item_id": "m0", "output_index": 0, "content_index": 0}
    for at in range(n):
        source = {"type": "url_citation", "url": f"https://a/{at}", "title": "好"}
        kind = "response.output_text.annotation.added"
        yield {"type": kind, **place, "annotation": source}
        yield {"type": kind, **place, "annotation": {"type": "file", "at": at}}
    yield completed()


@flood("responses", 300)
def responses_tools_at_work(n: int) -> Frames:
    for at in range(n):
        place = {"item_id": f"i{at}", "output_index": at}
        yield {"type": "response.code_interpreter_call_code.delta", **place, "delta": "1"}
        yield {"type": "response.web_search_call.searching", **place}
        yield item_event("done", at, {"id": f"w{at}", "type": "web_search_call"})
    yield completed()


@flood("responses", 300)
def responses_commands(n: int) -> Frames:
    for at in range(n):
        place = {"item_id": "s0", "output_index": 0, "command_index": at}
        yield {"type": "response.shell_call_command.delta", **place, "delta": "ls"}
    yield completed()


@flood("responses", 400)
def responses_fields(n: int) -> Frames:
    for at in range(n):
        yield said_text(0, "好", **{f"field{at}": at})
    yield completed()


@flood("responses", 400)
def responses_events_that_nobody_knows(n: int) -> Frames:
    for at in range(n):
        yield {"type": f"response.new{at}", "at": at}
    yield completed()


# --- Gemini -------------------------------------------------------------------------------------


def gemini_end() -> Frames:
    yield gemini_frame({"text": ""}, finish="STOP")


@flood("gemini", 400)
def gemini_texts(n: int) -> Frames:
    for at in range(n):
        yield gemini_frame({"text": "好", **({"thought": True} if at % 2 else {})})
    yield from gemini_end()


@flood("gemini", 300)
def gemini_candidates(n: int) -> Frames:
    for at in range(n):
        frame = gemini_frame({"text": "好"}, finish="STOP")
        frame["candidates"][0]["index"] = at
        yield frame


@flood("gemini", 300)
def gemini_calls(n: int) -> Frames:
    for at in range(n):
        yield gemini_frame({"functionCall": {"name": "f", "args": {"a": at}}})
    yield from gemini_end()


@flood("gemini", 300)
def gemini_calls_that_are_repeated(n: int) -> Frames:
    args = {"a": "x" * LETTERS * n}
    yield gemini_frame({"functionCall": {"id": "c", "name": "f", "args": args}})
    for _ in range(n):
        yield gemini_frame({"functionCall": {"id": "c", "name": "f", "args": {"a": "y"}}})
    yield from gemini_end()


def gemini_call(call_id: str, *texts: str, goes_on: bool = True, name: str = "f") -> Any:
    args = [{"jsonPath": "$.a", "stringValue": text} for text in texts]
    named = {"id": call_id, "name": name, "partialArgs": args, "willContinue": goes_on}
    return gemini_frame({"functionCall": {key: value for key, value in named.items() if value}})


@flood("gemini", 300)
def gemini_partial_calls_that_are_repeated(n: int) -> Frames:
    args = [{"jsonPath": f"$.a{at}", "stringValue": "x"} for at in range(20 * n)]
    call = {"id": "c", "name": "f", "partialArgs": args, "willContinue": True}
    yield gemini_frame({"functionCall": call})
    yield gemini_frame({"functionCall": {"id": "c", "willContinue": False}})
    yield gemini_frame({"functionCall": {}})
    for _ in range(n):
        yield gemini_frame({"functionCall": {"id": "c", "name": "f", "args": {"a": "x"}}})
    yield from gemini_end()


@flood("gemini", 300)
def gemini_arguments_in_pieces(n: int) -> Frames:
    yield gemini_call("c", "x" * LETTERS * n)
    for _ in range(n):
        yield gemini_call("c", "好")
    yield gemini_frame({"functionCall": {}})
    yield from gemini_end()


@flood("gemini", 300)
def gemini_open_calls(n: int) -> Frames:
    for at in range(n):
        yield gemini_call(f"c{at}", "x")
    for at in reversed(range(n)):
        yield gemini_frame({"functionCall": {"partialArgs": []}})
        yield gemini_frame({"functionCall": {"id": f"c{at}"}})
    yield from gemini_end()


def gemini_beside(**fields: Any) -> dict[str, Any]:
    frame = gemini_frame({"text": "好"})
    frame["candidates"][0].update(fields)
    return frame


@flood("gemini", 300)
def gemini_grounding(n: int) -> Frames:
    for at in range(n):
        rows = [{"web": {"uri": f"https://a/{at}", "title": "好"}}]
        yield gemini_beside(groundingMetadata={"groundingChunks": rows, f"f{at}": at})
    yield from gemini_end()


@flood("gemini", 300)
def gemini_grounding_after_a_large_one(n: int) -> Frames:
    large = {"web": {"uri": "https://a", "title": "x" * LETTERS * n}}
    yield gemini_beside(groundingMetadata={"groundingChunks": [{}, large]})
    for at in range(n):
        yield gemini_beside(groundingMetadata={"groundingChunks": [{}, {"web": {"uri": at}}]})
    yield from gemini_end()


@flood("gemini", 300)
def gemini_fields_that_become_empty(n: int) -> Frames:
    large = {f"f{at}": at for at in range(20 * n)}
    yield gemini_beside(new=large, finishMessage="x")
    for _ in range(n):
        yield gemini_beside(new={})
    yield from gemini_end()


@flood("gemini", 300)
def gemini_usages(n: int) -> Frames:
    for at in range(n):
        yield {
            **gemini_frame({"text": "好"}),
            "usageMetadata": {f"c{at}": 1, "totalTokenCount": 9},
        }
    yield from gemini_end()


@flood("gemini", 300)
def gemini_tools_of_the_server(n: int) -> Frames:
    for at in range(n):
        yield gemini_frame({"executableCode": {"code": "1"}}, finish="STOP")
        yield gemini_frame({"text": f"好{at}", f"field{at}": 1}, finish="STOP")
    yield from gemini_end()


@flood("gemini", 2000)
def gemini_an_array(n: int) -> bytes:
    return json.dumps([gemini_frame({"text": "好"}) for _ in range(n)]).encode()
