"""The protocols by name."""

import sys

import pytest

from aiotokengate import CallerError, _wire
from aiotokengate._wire.chat_completions import encode_chat
from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.protocols import checked_protocol, find_protocol
from aiotokengate._wire.question import Question
from aiotokengate._wire.transcript import Transcript
from aiotokengate.catalogue import ProtocolName

PROTOCOLS: dict[ProtocolName, tuple[str, str]] = {
    "chat": ("/chat/completions", ""),
    "responses": ("/responses", "responses"),
    "messages": ("/messages", "messages"),
    "gemini": ("../v1beta/models/m:streamGenerateContent?alt=sse", "gemini"),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_encodes_and_decodes(name: ProtocolName) -> None:
    path, typed = PROTOCOLS[name]
    codec = find_protocol(name)
    assert codec.encode(Question("m", [{"role": "user", "content": "你好"}])).path == path
    log = Transcript()
    decoder = codec.decoder(DIALECTS["openai-compatible"], log)
    assert decoder.transcript is log
    assert decoder.TYPED in (typed, "")
    assert find_protocol(name) is codec


def test_the_option_is_checked() -> None:
    assert checked_protocol(None) is None
    assert checked_protocol("gemini") == "gemini"
    with pytest.raises(CallerError, match="expected protocol as one of chat, responses, messages"):
        checked_protocol("soap")


def test_what_few_calls_need_is_looked_up_once() -> None:
    """A name is imported when it is first used, and is the module's own from then on."""
    assert find_protocol("chat").encode is encode_chat
    for name in _wire.__all__:
        value = getattr(_wire, name)
        assert vars(_wire)[name] is value
        assert vars(sys.modules[value.__module__])[name] is value
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _wire.nothing  # type: ignore[attr-defined]  # noqa: B018 - looking it up raises
