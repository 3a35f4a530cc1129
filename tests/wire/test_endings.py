"""What the words mean with which vendors end a choice."""

import pytest

from aiotokengate import BadRequest, Overloaded, ServerFailed, WireError
from aiotokengate._wire.endings import CLASSES, broken_off, details_in, ending_of, reason_of

ENDINGS = {
    "chat": {
        "finished": ["stop", "complete", "eos", "eos_token", "stop_sequence", "end_turn", "end"],
        "calls": ["tool_calls", "function_call", "tool_use"],
        "length": [
            *("length", "max_tokens", "model_length", "model_context_window_exceeded"),
            "max_output_tokens",
        ],
        "filtered": [
            *("content_filter", "sensitive", "error_toxic", "guardrail_intervened"),
            *("content_filtered", "refusal", "safety", "recitation", "blocklist"),
            *("prohibited_content", "spii"),
        ],
        "paused": ["pause_turn", "compaction", "continuation"],
        "broken": [
            *("insufficient_system_resource", "network_error", "abort", "error", "repetition"),
            *("malformed_function_call", "malformed_response", "unexpected_tool_call"),
            *("too_many_tool_calls", "missing_thought_signature", "time_limit"),
        ],
    },
    "responses": {
        "finished": ["completed", "stop"],
        "length": ["max_output_tokens", "max_messages"],
        "filtered": ["content_filter"],
        "paused": ["steered"],
        "broken": ["failed", "cancelled"],
    },
    "messages": {
        "finished": ["end_turn", "stop_sequence", "stop"],
        "calls": ["tool_use", "tool_calls"],
        "length": ["max_tokens", "model_context_window_exceeded", "length"],
        "filtered": ["refusal", "content_filter"],
        "paused": ["pause_turn", "compaction"],
        "broken": [
            *("error", "network_error", "abort", "insufficient_system_resource", "repetition"),
        ],
    },
    "gemini": {
        "finished": ["stop"],
        "length": ["max_tokens"],
        "filtered": [
            *("safety", "recitation", "language", "blocklist", "prohibited_content", "spii"),
            *("image_safety", "image_prohibited_content", "image_recitation", "model_armor"),
            *("escalation", "pup_limited_disabled"),
        ],
        "paused": ["continuation"],
        "broken": [
            *("malformed_function_call", "unexpected_tool_call", "too_many_tool_calls"),
            *("malformed_response", "missing_thought_signature", "no_image", "image_other"),
            *("other", "error", "abort"),
        ],
    },
}


@pytest.mark.parametrize("protocol", ENDINGS)
def test_every_word_of_a_protocol_has_its_class(protocol: str) -> None:
    listed = ENDINGS[protocol]
    expected = {word: ending for ending, words in listed.items() for word in words}
    assert CLASSES[protocol] == expected
    assert {word: ending_of(protocol, word) for word in expected} == expected


@pytest.mark.parametrize(
    ("protocol", "word", "ending", "reason"),
    [
        ("chat", "stop", "finished", "stop"),
        ("chat", " SENSITIVE ", "filtered", " SENSITIVE "),
        ("chat", "model_length", "length", "length"),
        ("responses", "max_output_tokens", "length", "length"),
        ("responses", "steered", "paused", "steered"),
        ("messages", "end_turn", "finished", "stop"),
        ("messages", "tool_use", "calls", "tool_calls"),
        ("messages", "refusal", "filtered", "content_filter"),
        ("gemini", "SAFETY", "filtered", "content_filter"),
        ("gemini", "NO_IMAGE", "broken", "NO_IMAGE"),
        ("gemini", "A_NEW_WORD", "other", "A_NEW_WORD"),
    ],
)
def test_a_word_has_a_class_and_a_common_form(
    protocol: str, word: str, ending: str, reason: str
) -> None:
    """Words are compared without case; what has no common form is given as it came."""
    assert ending_of(protocol, word) == ending
    assert reason_of(protocol, word) == reason


@pytest.mark.parametrize("protocol", CLASSES)
@pytest.mark.parametrize("word", ["", "null", "None", "FINISH_REASON_UNSPECIFIED"])
def test_no_word_is_no_ending(protocol: str, word: str) -> None:
    assert ending_of(protocol, word) is None


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("insufficient_system_resource", Overloaded),
        ("MISSING_THOUGHT_SIGNATURE", BadRequest),
        ("network_error", ServerFailed),
        ("MALFORMED_FUNCTION_CALL", WireError),
    ],
)
def test_a_reply_that_is_broken_off_has_its_error(word: str, error: type[Exception]) -> None:
    found = broken_off(word, "为什么")
    assert isinstance(found, error)
    assert found.code == word
    assert str(found).startswith(f"the model's reply was broken off ({word}): 为什么")


WRITTEN_WRONGLY = [
    *("malformed_function_call", "unexpected_tool_call", "too_many_tool_calls"),
    *("malformed_response", "repetition", "no_image", "image_other", "other", "NO_IMAGE"),
]


@pytest.mark.parametrize("word", WRITTEN_WRONGLY)
def test_what_the_model_wrote_wrongly_is_a_useless_answer(word: str) -> None:
    """Asked again at once, it writes the same."""
    error = broken_off(word)
    assert (type(error), error.code, error.useless_answer) == (WireError, word, True)
    assert error.message == f"the model's reply was broken off ({word})"


def test_what_the_server_failed_at_is_not() -> None:
    assert not broken_off("abort").useless_answer


def test_the_details_of_an_ending() -> None:
    assert details_in({"finishMessage": "too long"}) == "too long"
    assert details_in({"finishMessage": 7}) == details_in({}) == ""
