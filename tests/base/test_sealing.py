"""A traceback shows neither key, prompt nor body, whatever has failed, in whichever call."""

import json
from collections.abc import Callable

import pytest

from aiotokengate import Retry, Timeout, TokenGate, TokenGateError
from aiotokengate._base.sealing import bare, sealed_class
from aiotokengate.errors import CallerError
from aiotokengate.hooks import HookEvent, RetryScheduled
from aiotokengate.redis import RedisBackend, statistics
from tests.support.frames import frames_with
from tests.support.uses import KEY, MARKS, PROMPT, USES, http, server


def _told(status: int) -> bytes:
    error = {"message": f"bad: {PROMPT} by {KEY}", "code": "x"}
    return http(status, json.dumps({"error": error}).encode())


_EVENT = json.dumps({"choices": [{"index": 0, "delta": {"content": "好"}}]}).encode()
ANSWERS: dict[str, bytes | None] = {
    "closed": b"",
    "no HTTP": f"zebra {PROMPT}\r\n\r\n".encode(),
    "400": _told(400),
    "429": _told(429),
    "500": _told(500),
    "error in a 200": _told(200),
    "half of JSON": http(200, json.dumps({"x": PROMPT}).encode()[:-1]),
    "no JSON": http(200, PROMPT.encode()),
    "another JSON": http(200, json.dumps({"x": PROMPT}).encode()),
    "a page": http(200, f"<html>{PROMPT}</html>".encode(), "text/html"),
    "cut": http(200, b"data: " + _EVENT + b"\n\ndata: ", "text/event-stream")[:-3],
    "error in a stream": http(
        200,
        b"data: " + _EVENT + b"\n\ndata: " + _told(400).rpartition(b"\r\n")[2] + b"\n\n",
        "text/event-stream",
    ),
    "silence": None,
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_failure_shows_no_secret(answer: str) -> None:
    """No frame of the library shows the key or the prompt, in any use, after any answer."""
    clocks = Timeout(first_event=0.2, stall=0.2, total=0.5)
    once = Retry(attempts=1)
    errors: dict[str, TokenGateError] = {}
    async with server(ANSWERS[answer]) as base_url:
        for name, use in USES.items():
            gate = TokenGate(api_key=KEY, base_url=base_url, retry=once, timeout=clocks)
            try:
                async with gate:
                    await use(gate)
            except TokenGateError as error:
                errors[name] = error
    assert errors
    assert not [(name, found) for name in errors if (found := frames_with(errors[name], MARKS))]


LONG = PROMPT * 4000
WRONG: dict[str, Callable[[TokenGate], object]] = {
    "a message": lambda gate: gate.chat("m", [PROMPT]),  # type: ignore[list-item]
    "a parameter": lambda gate: gate.chat("m", PROMPT, temprature=1),  # type: ignore[call-arg]
    "a tool": lambda gate: gate.chat("m", PROMPT, tools=[PROMPT]),  # type: ignore[list-item]
    "what is no JSON": lambda gate: gate.chat("m", [{"role": "user", "content": {PROMPT}}]),
    "a header": lambda gate: gate.chat("m", PROMPT, extra_headers={"x": f"{PROMPT}\n"}),
    "a check": lambda gate: gate.check("m", [PROMPT]),  # type: ignore[list-item]
    "speech": lambda gate: gate.audio.speak("m", PROMPT, deadline=-1),
    "an image": lambda gate: gate.images.edit("", PROMPT, PROMPT.encode()),
    "a video": lambda gate: gate.videos.create("m", PROMPT, fps="x"),  # type: ignore[arg-type]
    "a song": lambda gate: gate.music.create(LONG),
    "a raw request": lambda gate: gate.request("POST", "x", json={"query": PROMPT}),
    "a key": lambda _: TokenGate(api_key=KEY, base_url="zebra"),
    "a key that is none": lambda _: TokenGate(api_key=f"{KEY}\nzebra"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_shows_no_secret(name: str) -> None:
    """A mistake that is told at once is told without the arguments of the call."""
    gate = TokenGate(api_key=KEY, base_url="http://127.0.0.1:9/v1")
    with pytest.raises(CallerError) as raised:
        WRONG[name](gate)
    assert not frames_with(raised.value, MARKS)
    assert not [mark for mark in MARKS[:2] if name != "a key" and mark in str(raised.value)]


async def test_wrong_inputs_show_no_secret() -> None:
    """Of a call that is awaited, too."""
    async with TokenGate(api_key=KEY, base_url="http://127.0.0.1:9/v1") as gate:
        with pytest.raises(CallerError) as raised:
            await gate.embed("m", [PROMPT, ""])
        assert not frames_with(raised.value, MARKS)


async def test_hooks_get_no_frames() -> None:
    """The error of an attempt that is made again holds no frames either."""
    events: list[HookEvent] = []
    twice = Retry(attempts=2)
    async with (
        server(_told(500)) as url,
        TokenGate(api_key=KEY, base_url=url, retry=twice, hooks=[events.append]) as gate,
    ):
        with pytest.raises(TokenGateError):
            await gate.chat("m", PROMPT)
    retried = [event for event in events if isinstance(event, RetryScheduled)]
    assert retried
    assert not [found for event in retried for found in frames_with(event.error, MARKS)]


@pytest.mark.parametrize("address", ["http://u:斑马-password@x", "redis://u:斑马-password@x"])
async def test_an_address_of_redis_shows_no_password(address: str) -> None:
    """A wrong setting of the backend, or a wrong question, is told without its address."""
    with pytest.raises(CallerError) as made:
        RedisBackend(address, prefix="{")
    assert not frames_with(made.value, MARKS)
    with pytest.raises(CallerError) as asked:
        await statistics(address, prefix="{")
    assert not frames_with(asked.value, MARKS)


WRONG_REDIS = [
    "redis://u:斑马-password@x:port",
    "redis://u:斑马/password@x",
    "redis://u:12#斑马@x",
    "redis://u:12?斑马@x",
    "redis://u:斑马@x:99999",
    "redis://u:斑马@[x",
    "redis://u:斑马@x?socket_timeout=long",
]


@pytest.mark.parametrize("address", WRONG_REDIS)
def test_an_address_of_redis_that_is_none(address: str) -> None:
    """It is refused at once, and nothing of it is shown."""
    with pytest.raises(CallerError, match="expected an address such as") as raised:
        RedisBackend(address)
    assert "斑马" not in str(raised.value)
    assert "12" not in str(raised.value)
    assert not frames_with(raised.value, MARKS)


# --- without a session --------------------------------------------------------------------------


@sealed_class
class Clerk:
    """Takes letters, and knows secrets."""

    def __init__(self, name: str) -> None:
        """Remember a name."""
        self.name = name

    def take(self, letter: str, *, copies: int = 1) -> str:
        """Take a letter, but no empty one."""
        if not letter:
            message = "expected a letter"
            raise CallerError(message)
        return letter * copies

    async def send(self, letter: str, *, copies: int = 1) -> str:
        """Take it later."""
        return self.take(letter, copies=copies)

    def anything(self, **unknown: object) -> int:
        """Count what is given."""
        return sum(unknown)  # type: ignore[arg-type]


async def test_what_is_sealed_works_as_before() -> None:
    clerk = Clerk("小王")
    assert (clerk.name, clerk.take("a", copies=2)) == ("小王", "aa")
    assert await clerk.send("a") == "a"
    assert Clerk.take.__name__ == "take"


async def test_no_frame_of_what_is_sealed_is_left() -> None:
    clerk = Clerk("小王")
    for use in (lambda: clerk.take(""), lambda: clerk.send("")):
        with pytest.raises(CallerError) as raised:
            assert await use()  # type: ignore[misc]
        assert [entry.name for entry in raised.traceback if entry.name in ("take", "send")] == []


async def test_a_misspelt_argument_is_told() -> None:
    """As a misspelt option is, in an awaited function too."""
    clerk = Clerk("小王")
    wanted = (
        r"unknown parameter 'copys', did you mean 'copies'\? \(Clerk\.take\(\) takes letter, co"
    )
    with pytest.raises(CallerError, match=wanted):
        clerk.take("a", copys=2)  # type: ignore[call-arg]
    with pytest.raises(CallerError, match=r"Clerk\.send\(\) takes letter, copies"):
        await clerk.send("a", copys=2)  # type: ignore[call-arg]
    with pytest.raises(CallerError, match=r"\(Clerk\(\) takes name\)"):
        Clerk(nam="a")  # type: ignore[call-arg]


async def test_another_type_error_stays() -> None:
    clerk = Clerk("小王")
    with pytest.raises(TypeError, match="missing 1 required"):
        clerk.take()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing 1 required"):
        await clerk.send()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unsupported operand"):
        clerk.anything(a=1)


def test_what_from_none_hides_is_dropped() -> None:
    hidden, shown = CallerError("a"), CallerError("b")
    hidden.__context__ = shown.__context__ = KeyError("斑马")
    hidden.__suppress_context__ = True
    for error in (hidden, shown):
        bare(error)
    assert hidden.__context__ is None
    assert isinstance(shown.__context__, KeyError)
