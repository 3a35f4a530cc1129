"""The protocols by name."""

from typing import Any

import pytest

from aiotokengate import CallerError
from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.protocols import checked_protocol, find_protocol
from aiotokengate._wire.question import Question
from aiotokengate._wire.transcript import Transcript
from aiotokengate.catalogue import ProtocolName

PROTOCOLS: dict[ProtocolName, tuple[str, str]] = {
    "chat": ("/chat/completions", ""),
    "responses": ("/responses", "responses"),
    "messages": ("/messages", "messages"),
    "gemini": ("../v1beta/models/m:streamGenerateContent?alt=sse", ""),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_encodes_and_decodes(name: ProtocolName) -> None:
    path, typed = PROTOCOLS[name]
    codec = find_protocol.__wrapped__(name)
    assert codec.encode(Question("m", [{"role": "user", "content": "你好"}])).path == path
    log = Transcript()
    decoder = codec.decoder(DIALECTS["openai-compatible"], log)
    assert decoder.transcript is log
    assert typed == decoder.TYPED
    assert find_protocol(name) is find_protocol(name)


def test_the_option_is_checked() -> None:
    assert checked_protocol(None) is None
    assert checked_protocol("gemini") == "gemini"
    for name in ("soap", ""):
        with pytest.raises(CallerError) as raised:
            checked_protocol(name)
        assert str(raised.value) == (
            f"expected protocol as one of chat, responses, messages, gemini, got {name!r}"
        )


@pytest.mark.parametrize("name", PROTOCOLS)
def test_each_protocol_is_an_option(name: ProtocolName) -> None:
    assert checked_protocol(name) == name


def test_an_unknown_protocol_is_that_of_chat() -> None:
    unknown: Any = "soap"
    codec = find_protocol(unknown)
    assert codec.encode(Question("m", [])).path == "/chat/completions"
