"""What the words mean with which vendors end a choice."""

import pytest

from aiotokengate import BadRequest, Overloaded, ServerFailed, WireError
from aiotokengate._wire.endings import CLASSES, broken_off, details_in, ending_of, reason_of


@pytest.mark.parametrize(
    ("protocol", "word", "ending", "reason"),
    [
        ("chat", "stop", "finished", "stop"),
        ("chat", " SENSITIVE ", "filtered", " SENSITIVE "),
        ("chat", "model_length", "length", "length"),
        ("responses", "max_output_tokens", "length", "length"),
        ("responses", "steered", "paused", "steered"),
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


def test_what_the_model_wrote_wrongly_is_a_useless_answer() -> None:
    """Asked again at once, it writes the same."""
    assert broken_off("repetition").useless_answer
    assert not broken_off("abort").useless_answer


def test_the_details_of_an_ending() -> None:
    assert details_in({"finishMessage": "too long"}) == "too long"
    assert details_in({"finishMessage": 7}) == details_in({}) == ""
