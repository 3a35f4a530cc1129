"""What the fake models say when no test has told them: the same words for the same question.

The answer to 你好 has the counts of the exchange on the gateway's own page (11 prompt tokens,
205 of thinking, 13 of answer).  Any other question is thought about and given back, in its own
language, with a list, a line of code and an emoji, so that whoever shows it sees what Markdown,
wide characters and surrogate pairs do to their program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import attrs
import orjson

from aiotokengate.testing._chat_request import ChatRequest
from aiotokengate.testing._dialects import Counts
from aiotokengate.testing._schemas import fit
from aiotokengate.testing._script import Call, Part, ScriptedReply, Text, Thought
from aiotokengate.testing._tokens import count_tokens, split_evenly, split_tokens
from aiotokengate.types import Json

__all__ = ["billed", "compose", "counts", "read_usage"]


_GREETING = "你好"
_GREETING_THOUGHT_TOKENS = 205
_GREETING_ANSWER_TOKENS = 13
_QUOTED = 200

_GREETING_THOUGHT = """\
用户发来的是“你好”，这是一句最平常的问候，里面没有具体的问题，也没有附带别的材料。\
先看看场合：对话刚刚开始，前面没有任何上下文，所以不需要顾及之前说过的话。

接下来想想该怎么回应：
1. 对方用的是中文，我也用中文，语气要自然、亲切。
2. 问候应该简短，一两句就够了，不要一上来就列出一大堆功能。
3. 可以顺便表示愿意帮忙，让对方知道接下来可以直接提问。
4. 加一个笑脸表情，会显得更友好一些，但一个就好。

要不要做自我介绍？对方没有问，先不说，等问到再讲也不迟。\
要不要反问今天过得怎么样？也不必，把话头留给对方更舒服。

那么回复就定下来了：先回一声你好，再请对方说说需要什么。检查一下：\
没有错别字，没有多余的客套，也没有答非所问。好，就这样回复。
"""
_GREETING_ANSWER = "你好！😊 很高兴见到你，有什么想聊的，或者需要我帮忙的吗？"

_CHINESE_THOUGHT = (
    "用户说的是：“{prompt}”。先弄清楚对方想要什么，再想好顺序：先复述，再分点，最后举一个小例子。"
    "语气要清楚、简短。好，可以回答了。"
)
_CHINESE_ANSWER = (
    "你说的是：“{prompt}”。\n\n我是测试网关，不会真的思考，但可以这样回答：\n\n"
    "- **第一**，我收到了你的话；\n- **第二**，我一个词一个词地把它发回来。\n\n"
    "```python\nprint({code})\n```\n\n还有别的问题吗？🚀"
)
_ENGLISH_THOUGHT = (
    'The user says: "{prompt}". First find out what is wanted, then the order: say it back, make '
    "two points, end with a small example. Keep it clear and short. Good, that will do."
)
_ENGLISH_ANSWER = (
    'You said: "{prompt}".\n\nI am a test gateway and do not really think, but here it is:\n\n'
    "- **First**, your words have arrived;\n- **second**, they come back word by word.\n\n"
    "```python\nprint({code})\n```\n\nIs there anything else? 🚀"
)
_ECHO = ((_CHINESE_THOUGHT, _CHINESE_ANSWER), (_ENGLISH_THOUGHT, _ENGLISH_ANSWER))
_TOOL_THOUGHT = ("需要用工具 {name} 查一下。", "The tool {name} is needed here.")
_JSON_THOUGHT = (
    "用户说的是：“{prompt}”，并且要的是 JSON，只能按格式来写。",
    'The user says: "{prompt}" and wants JSON, so nothing else may be said.',
)
_TOOL_RESULT = (
    ("工具已经给出了结果，整理一下再回答。", "工具的结果是：{prompt}。✅"),
    ("The tool has answered; put it into words.", "The tool says: {prompt}. ✅"),
)

_HAN = re.compile("[\u3400-\u9fff]")
_COUNTS = re.compile(rb'"((?:prompt|completion|total)_tokens)":\s*(\d{1,18})')


@attrs.frozen
class _Words:
    """What is thought and said, in pieces, and why it ended."""

    thoughts: Sequence[str]
    answer: Sequence[str]
    calls: Sequence[Call] = ()
    finish_reason: str = "stop"

    def reply(self) -> ScriptedReply:
        parts: tuple[Part, ...] = (Thought(self.thoughts), Text(self.answer), *self.calls)
        return ScriptedReply(parts=parts, finish_reason=self.finish_reason)


def compose(chat: ChatRequest) -> tuple[ScriptedReply, ...]:
    """Return what the model says, one reply for each choice."""
    words = _limited(chat, _stopped(chat, _shaped(chat, _words(chat))))
    return (words.reply(),) * chat.choices


def counts(prompt_tokens: int, replies: Sequence[ScriptedReply]) -> Counts:
    """Count what was said, over all choices."""
    spoken = [part for reply in replies for part in reply.all_parts()]
    return Counts(
        prompt=prompt_tokens,
        answer=sum(_size(part) for part in spoken if isinstance(part, Text | Call)),
        reasoning=sum(_size(part) for part in spoken if isinstance(part, Thought)),
    )


def billed(usage: Mapping[str, Json]) -> Counts:
    """Read a usage object that a test has written, whether or not it counts the thinking twice."""
    prompt, completion, total = (
        value if type(value := usage.get(f"{name}_tokens")) is int and value > 0 else 0
        for name in ("prompt", "completion", "total")
    )
    return Counts(prompt=prompt, answer=max(completion, total - prompt))


def read_usage(body: bytes) -> Mapping[str, int]:
    """Find the last counts in the bytes of an answer; nothing if it has none."""
    return {name.decode(): int(number) for name, number in _COUNTS.findall(body)}


def _size(part: Text | Thought | Call) -> int:
    if isinstance(part, Call):
        return count_tokens(f"{part.name}{part.arguments}")
    if isinstance(part.text, str):
        return count_tokens(part.text)
    return sum(isinstance(piece, str) for piece in part.text)


def _words(chat: ChatRequest) -> _Words:
    if call := _wanted_call(chat):
        thought = _spoken(chat, _TOOL_THOUGHT).format(name=call.name)
        return _Words(split_tokens(thought), (), (call,), "tool_calls")
    if (said := _wanted_json(chat)) is not None:
        thought = str(_spoken(chat, _JSON_THOUGHT)).format(prompt=chat.prompt[:_QUOTED])
        return _Words(split_tokens(thought), split_tokens(said))
    if chat.prompt.strip() == _GREETING:
        return _Words(
            split_evenly(_GREETING_THOUGHT, _GREETING_THOUGHT_TOKENS),
            split_evenly(_GREETING_ANSWER, _GREETING_ANSWER_TOKENS),
        )
    templates = _TOOL_RESULT if chat.answers_tool else _ECHO
    quoted = chat.prompt[:_QUOTED]
    thought, answer = (
        text.format(prompt=quoted, code=repr(quoted)) for text in _spoken(chat, templates)
    )
    return _Words(split_tokens(thought), split_tokens(answer))


def _spoken(chat: ChatRequest, both: tuple[Json, Json]) -> Json:
    """Choose the Chinese or the English words by the language of the question."""
    return both[0] if _HAN.search(chat.prompt) else both[1]


def _shaped(chat: ChatRequest, words: _Words) -> _Words:
    """Say it as this model does: with or without thinking, in larger pieces, blurred."""
    thoughts = _grouped(words.thoughts, chat.model.piece) if chat.thinks else []
    answer = _grouped(words.answer, chat.model.piece)
    if chat.model.blurs and thoughts and answer:
        thoughts[-1] += answer.pop(0)
    return attrs.evolve(words, thoughts=thoughts, answer=answer)


def _grouped(pieces: Sequence[str], size: int) -> list[str]:
    return ["".join(pieces[start : start + size]) for start in range(0, len(pieces), size)]


def _stopped(chat: ChatRequest, words: _Words) -> _Words:
    """End the answer before the first of the texts at which it is to stop."""
    answer = "".join(words.answer)
    places = [answer.find(stop) for stop in chat.stops if stop and stop in answer]
    if not places:
        return words
    return attrs.evolve(words, answer=_head(words.answer, min(places)), calls=())


def _head(pieces: Sequence[str], length: int) -> list[str]:
    """Return the pieces up to so many characters."""
    head: list[str] = []
    for piece in pieces:
        if length <= 0:
            break
        head.append(piece[:length])
        length -= len(piece)
    return head


def _limited(chat: ChatRequest, words: _Words) -> _Words:
    """Cut what is said at the limit of tokens, be it inside the thinking."""
    limit = chat.limit
    if limit is None or limit >= len(words.thoughts) + len(words.answer):
        return words
    thoughts = words.thoughts[:limit]
    answer = words.answer[: limit - len(thoughts)]
    return _Words(thoughts, answer, finish_reason="length")


# --- answers of a form --------------------------------------------------------------------------


def _wanted_json(chat: ChatRequest) -> str | None:
    """Return the JSON that fits what the answer is to be; None where it may be anything."""
    given = chat.body.get("response_format")
    wanted: Mapping[str, Json] = given if isinstance(given, dict) else {}
    kind = wanted.get("type")
    if kind == "json_object":
        return orjson.dumps({"answer": chat.prompt[:_QUOTED]}).decode()
    if kind != "json_schema":
        return None
    schema = (wanted.get("json_schema") or {}).get("schema")
    return orjson.dumps(fit(schema, chat.prompt[:_QUOTED])).decode()


# --- tools --------------------------------------------------------------------------------------


def _wanted_call(chat: ChatRequest) -> Call | None:
    """Return the call to make: the tool demanded, or the one that the question names."""
    choice = chat.body.get("tool_choice")
    if choice == "none" or chat.answers_tool:
        return None
    functions = {function["name"]: function for function in _functions(chat)}
    named = (name for name in functions if name in chat.prompt)
    name = _demanded(choice, functions) or next(named, None)
    if name is None or name not in functions:
        return None
    return Call(name, _arguments(functions[name].get("parameters"), chat.prompt))


def _functions(chat: ChatRequest) -> Iterator[Mapping[str, Json]]:
    for tool in chat.body.get("tools") or ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            yield function


def _demanded(choice: Json, functions: Mapping[str, Json]) -> str | None:
    if isinstance(choice, dict):
        function = choice.get("function")
        return str(function.get("name")) if isinstance(function, dict) else None
    return next(iter(functions), None) if choice == "required" else None


def _arguments(schema: Json, prompt: str) -> dict[str, Json]:
    """Make up arguments that fit the schema, text being the question itself."""
    made = fit(schema, prompt[:_QUOTED])
    return made if isinstance(made, dict) else {}
