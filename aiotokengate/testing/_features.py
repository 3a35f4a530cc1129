"""The features of a request that a vendor may refuse, read from any of the four protocols.

They are the same for all, so that a row of ``_refusals.py`` is written once and holds in all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import attrs

from aiotokengate.testing._chat_request import ChatRequest
from aiotokengate.types import Json

__all__ = [
    "Features",
    "features_of_chat",
    "features_of_gemini",
    "features_of_messages",
    "plain_name",
]


_USUAL: Mapping[str, Json] = {
    "temperature": 1,
    "top_p": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logprobs": False,
}
"""Values that change nothing, which vendors take where they take no other (OpenAI, Anthropic)."""
_OTHERS = ("top_k", "top_logprobs", "logit_bias")
_DATE = re.compile(r"-(?:20\d{6}|20\d\d-\d\d-\d\d)$")


@attrs.frozen(kw_only=True)
class Features:
    """What of a request a vendor may refuse.

    Attributes:
        protocol: "chat", "responses", "messages" or "gemini".
        model: its plain name.
        thinks: whether the model thinks about this request.
        sampling: the sampling parameters with a value that changes something.
        thinking: the type of thinking that is asked for, as the vendor calls it.
        budget: the tokens of thinking.
        effort: the effort of thinking, or Gemini's level, in small letters.
        tools: whether there are function tools; ``forced``: whether one must be called.
        prefill: whether the last message is the beginning of the answer.
        configured: whether anything was said of thinking.
    """

    protocol: str
    model: str
    thinks: bool = False
    sampling: tuple[str, ...] = ()
    thinking: str = ""
    budget: int | None = None
    effort: str = ""
    tools: bool = False
    forced: bool = False
    prefill: bool = False
    configured: bool = False


def plain_name(name: str) -> str:
    """Return a model's name for comparison: small, without maker, date and ending."""
    name = name.lower().rpartition("/")[2]
    name = re.sub(r"(?<=\d)\.(?=\d)", "-", name)
    return _DATE.sub("", name).removesuffix("-thinking")


def features_of_chat(chat: ChatRequest, protocol: str = "chat") -> Features:
    """Read a request in the form of Chat Completions, which that of Responses is turned into."""
    return _features(chat, protocol, chat.body, chat.body.get("reasoning_effort"))


def features_of_messages(chat: ChatRequest, body: Mapping[str, Json]) -> Features:
    """Read a request of Messages."""
    effort = _mapping(body.get("output_config")).get("effort")
    return _features(chat, "messages", body, effort)


def _features(
    chat: ChatRequest, protocol: str, body: Mapping[str, Json], effort: Json
) -> Features:
    thinking = _mapping(body.get("thinking"))
    return Features(
        **_common(chat, protocol),
        sampling=tuple(_sampling(body)),
        thinking=str(thinking.get("type") or ""),
        budget=thinking.get("budget_tokens"),
        effort=str(effort or "").lower(),
        configured=bool(thinking or effort),
    )


def features_of_gemini(
    chat: ChatRequest, sampling: Mapping[str, Json], thinking: Json
) -> Features:
    """Read a request of Gemini, of which ``thinking`` holds budget and level."""
    config = _mapping(thinking)
    return Features(
        **_common(chat, "gemini"),
        sampling=tuple(_sampling(sampling)),
        budget=config.get("budget"),
        effort=str(config.get("level") or "").lower(),
        configured=thinking is not None,
    )


def _common(chat: ChatRequest, protocol: str) -> dict[str, Json]:
    choice = chat.body.get("tool_choice")
    last = chat.body["messages"][-1]
    return {
        "protocol": protocol,
        "model": plain_name(chat.model.id),
        "thinks": chat.thinks,
        "tools": bool(chat.body.get("tools")),
        "forced": choice == "required" or isinstance(choice, dict),
        "prefill": last.get("role") == "assistant" and not last.get("tool_calls"),
    }


def _sampling(body: Mapping[str, Json]) -> Iterator[str]:
    for name, usual in _USUAL.items():
        if body.get(name) not in (None, usual):
            yield name
    yield from (name for name in _OTHERS if body.get(name) not in (None, {}))


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}
