"""What the fake gateway keeps of its replies: stored responses, and threads of messages."""

from typing import Any

import pytest

from aiotokengate.testing import _memory
from aiotokengate.testing._chat_request import Refusal
from aiotokengate.testing._memory import THREADS_BETA, Responses, Threads

ASKED = {"role": "user", "content": "在吗？"}
SAID = {"id": "msg_1", "type": "message", "content": []}


def test_a_response_goes_on_from_the_one_before() -> None:
    kept = Responses()
    kept.keep(kept.filled({"input": "在吗？"}), {"id": "resp_1", "output": [SAID]})
    more = {"previous_response_id": "resp_1", "input": [{"id": "msg_1"}, ASKED]}
    assert kept.filled(more) == [ASKED, SAID, SAID, ASKED]
    reference = {"type": "item_reference", "id": "msg_1"}
    assert kept.filled({"input": [reference]}) == [SAID]
    assert kept.filled({}) == []


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"previous_response_id": "resp_9"}, 400, "Previous response"),
        ({"previous_response_id": 7}, 400, "Previous response"),
        ({"input": [{"type": "item_reference", "id": "msg_9"}]}, 404, "not persisted"),
    ],
)
def test_what_was_not_stored_is_not_found(body: Any, status: int, words: str) -> None:
    with pytest.raises(Refusal, match=words) as refused:
        Responses().filled(body)
    assert refused.value.status == status


def test_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory, "_MOST", 2)
    kept = Responses()
    for number in range(3):
        kept.keep([], {"id": f"resp_{number}", "output": []})
    assert kept.filled({"previous_response_id": "resp_1"}) == []
    with pytest.raises(Refusal):
        kept.filled({"previous_response_id": "resp_0"})


def thread(**fields: Any) -> dict[str, Any]:
    return {"messages": [ASKED], "thread": fields}


def test_a_thread_goes_on_once_from_each_message() -> None:
    kept = Threads()
    first = {**thread(type="create"), "system": "Be brief."}
    assert kept.filled(first, THREADS_BETA) is first
    kept.keep(first, {"id": "msg_1", "content": []})
    more = thread(type="continue", previous_message_id="msg_1")
    whole = kept.filled(more, THREADS_BETA)
    assert whole["system"] == "Be brief."
    assert whole["messages"] == [ASKED, {"role": "assistant", "content": []}, ASKED]
    kept.keep(whole, {"id": "msg_2", "content": []})
    with pytest.raises(Refusal, match="was continued already"):
        kept.filled(more, THREADS_BETA)
    assert len(kept.filled(thread(previous_message_id="msg_2"), THREADS_BETA)["messages"]) == 5


@pytest.mark.parametrize(
    ("body", "betas", "words"),
    [
        (thread(type="create"), "", "Extra inputs"),
        (thread(previous_message_id="msg_9"), THREADS_BETA, "no thread for message"),
    ],
)
def test_what_is_no_thread_is_refused(body: Any, betas: str, words: str) -> None:
    assert Threads().filled({"messages": []}, "") == {"messages": []}
    with pytest.raises(Refusal, match=words):
        Threads().filled(body, betas)


def test_what_a_thread_has_is_not_set_again() -> None:
    kept = Threads()
    kept.keep(thread(type="create"), {"id": "msg_1", "content": []})
    with pytest.raises(Refusal, match="system: may not be set"):
        kept.filled({**thread(previous_message_id="msg_1"), "system": "x"}, THREADS_BETA)
