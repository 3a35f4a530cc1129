"""A client that we did not write: Google's own ``google-genai`` against the fake gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import orjson
import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from aiotokengate.testing import Call, FakeGateway, ScriptedReply

# Google's package makes a class of aiohttp's session, which aiohttp does not like.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")

MODEL = "gemini-3-flash-preview"
THOUGHTS = types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel.HIGH)
VERSIONS = ["v1", "v1beta"]


class City(BaseModel):
    """What is asked for."""

    name: str
    people: int
    twins: list[City]


def new_tool() -> tuple[Callable[[str], str], list[str]]:
    """Return a tool, and the cities that it will be asked about."""
    cities: list[str] = []

    # No method: the package copies tools, and a method's object with them.
    def weather(city: str) -> str:
        """Look up the weather of a city."""
        cities.append(city)
        return f"{city}：晴 ☀️"

    return weather, cities


@pytest.fixture(params=VERSIONS)
async def client(
    gateway: FakeGateway, request: pytest.FixtureRequest
) -> AsyncIterator[genai.client.AsyncClient]:
    address = gateway.base_url.removesuffix("/v1")
    options = types.HttpOptions(base_url=address, api_version=request.param)
    async with genai.Client(api_key=gateway.api_key, http_options=options).aio as client:
        yield client


async def test_its_own_paths_and_spelling(
    gateway: FakeGateway, client: genai.client.AsyncClient, request: pytest.FixtureRequest
) -> None:
    config = types.GenerateContentConfig(
        system_instruction="简短", max_output_tokens=5_000, thinking_config=THOUGHTS
    )
    await client.models.generate_content(model=MODEL, contents="你好 👋", config=config)
    (asked,) = gateway.requests
    assert asked.path.split("/")[1] in VERSIONS
    assert asked.json["generationConfig"]["thinkingConfig"]["include_thoughts"] is True
    assert asked.headers["x-goog-api-key"] == gateway.api_key


@pytest.mark.parametrize("prompt", ["用一句话介绍北京 🏯", "Say something about Beijing 🏯"])
async def test_thoughts_and_answer(client: genai.client.AsyncClient, prompt: str) -> None:
    config = types.GenerateContentConfig(thinking_config=THOUGHTS)
    plain = await client.models.generate_content(model=MODEL, contents=prompt, config=config)
    thought, said = parts_of(plain)
    assert thought.thought
    assert prompt in str(thought.text)
    assert prompt in str(said.text)
    stream = await client.models.generate_content_stream(
        model=MODEL, contents=prompt, config=config
    )
    pieces = [part async for chunk in stream for part in parts_of(chunk)]
    thoughts = "".join(part.text or "" for part in pieces if part.thought)
    answer = "".join(part.text or "" for part in pieces if not part.thought)
    assert (thoughts, answer) == (thought.text, said.text)


async def test_thoughts_are_shown_only_if_asked_for(client: genai.client.AsyncClient) -> None:
    quiet = types.ThinkingConfig(thinking_level=types.ThinkingLevel.HIGH)
    for config in (None, types.GenerateContentConfig(thinking_config=quiet)):
        reply = await client.models.generate_content(model=MODEL, contents="你好", config=config)
        assert [part.thought for part in parts_of(reply)] == [None]
        assert reply.text == "你好！😊 很高兴见到你，有什么想聊的，或者需要我帮忙的吗？"


async def test_functions_are_called_by_themselves(
    gateway: FakeGateway, client: genai.client.AsyncClient
) -> None:
    weather, cities = new_tool()
    config = types.GenerateContentConfig(tools=[weather], thinking_config=THOUGHTS)
    reply = await client.models.generate_content(
        model=MODEL, contents="weather 北京？🌦️", config=config
    )
    assert cities == ["weather 北京？🌦️"]
    assert "晴 ☀️" in str(reply.text)
    first, second = gateway.requests
    declared = first.json["tools"][0]["functionDeclarations"][0]
    assert declared["parameters_json_schema"]["required"] == ["city"]
    turn, result = second.json["contents"][1:]
    call = next(part for part in turn["parts"] if "functionCall" in part)
    # The bytes of the signature went back in the other alphabet of base64.
    signature = call.get("thoughtSignature") or call["thought_signature"]
    assert signature.startswith("Eu0D-_")
    assert call["functionCall"]["id"]
    assert [part["functionResponse"]["name"] for part in result["parts"]] == ["weather"]


async def test_functions_are_called_in_a_streamed_chat(client: genai.client.AsyncClient) -> None:
    weather, cities = new_tool()
    config = types.GenerateContentConfig(tools=[weather], thinking_config=THOUGHTS)
    chat = client.chats.create(model=MODEL, config=config)
    texts = [
        chunk.text or ""
        async for chunk in await chat.send_message_stream("What about the weather in 上海? 🌧️")
        if chunk.candidates
    ]
    assert cities == ["What about the weather in 上海? 🌧️"]
    assert "晴 ☀️" in "".join(texts)
    again = await chat.send_message("谢谢 🙏")
    assert "谢谢 🙏" in str(again.text)
    assert cities == ["What about the weather in 上海? 🌧️"]


@pytest.mark.parametrize("stream", [False, True])
async def test_parallel_calls_are_answered_together(
    gateway: FakeGateway, client: genai.client.AsyncClient, stream: bool
) -> None:
    weather, cities = new_tool()
    calls = [Call("weather", {"city": "北京"}), Call("weather", {"city": "上海"})]
    gateway.script(ScriptedReply(reasoning="两个城市", tool_calls=calls))
    chat = client.chats.create(model=MODEL, config={"tools": [weather]})
    if stream:
        chunks = [chunk async for chunk in await chat.send_message_stream("天气？")]
    else:
        chunks = [await chat.send_message("天气？")]
    assert cities == ["北京", "上海"]
    assert "晴 ☀️" in "".join(part.text or "" for chunk in chunks for part in parts_of(chunk))
    results = gateway.requests[1].json["contents"][-1]["parts"]
    assert [part["functionResponse"]["name"] for part in results] == ["weather", "weather"]


@pytest.mark.parametrize(
    ("answered", "lose_signature", "message"),
    [
        ("another", False, "no function call of that id"),
        (None, True, "missing a thought_signature"),
    ],
)
async def test_a_turn_that_does_not_fit_is_refused(
    client: genai.client.AsyncClient, answered: str | None, lose_signature: bool, message: str
) -> None:
    declared = types.FunctionDeclaration(
        name="weather", parameters=types.Schema(type=types.Type.OBJECT)
    )
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declared])])
    question = types.UserContent("weather 北京？")
    first = await client.models.generate_content(model=MODEL, contents=question, config=config)
    (call,) = parts_of(first)
    assert call.function_call is not None
    given = answered or call.function_call.id
    result = types.Part(
        function_response=types.FunctionResponse(
            id=given, name="weather", response={"result": "晴"}
        )
    )
    if lose_signature:
        call.thought_signature = None
    turns: Any = [question, types.ModelContent([call]), types.UserContent([result])]
    with pytest.raises(errors.ClientError, match=message):
        await client.models.generate_content(model=MODEL, contents=turns, config=config)


@pytest.mark.parametrize("field", ["response_schema", "response_json_schema"])
async def test_an_answer_fits_its_schema(client: genai.client.AsyncClient, field: str) -> None:
    schema: Any = City if field == "response_schema" else City.model_json_schema()
    config: Any = {"response_mime_type": "application/json", field: schema}
    reply = await client.models.generate_content(model=MODEL, contents="哪里？🏯", config=config)
    assert City.model_validate_json(str(reply.text)) == City(name="哪里？🏯", people=1, twins=[])


async def test_a_forced_function_is_called(client: genai.client.AsyncClient) -> None:
    declared = [
        types.FunctionDeclaration(name=name, parameters_json_schema={"type": "object"})
        for name in ("time", "weather")
    ]
    calling = types.FunctionCallingConfig(
        mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["weather"]
    )
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=declared)],
        tool_config=types.ToolConfig(function_calling_config=calling),
    )
    reply = await client.models.generate_content(model=MODEL, contents="嗨", config=config)
    assert [call.name for call in reply.function_calls or []] == ["weather"]


async def test_bytes_come_in_the_alphabet_of_addresses(client: genai.client.AsyncClient) -> None:
    picture = types.Part.from_bytes(data=b"\xff\xfe\xfb\xff", mime_type="image/png")
    contents: Any = ["看图 🖼️", picture]
    reply = await client.models.generate_content(model=MODEL, contents=contents)
    assert "看图 🖼️" in str(reply.text)


async def test_tokens_are_counted(client: genai.client.AsyncClient) -> None:
    counted = await client.models.count_tokens(model=MODEL, contents="你好")
    reply = await client.models.generate_content(model=MODEL, contents="你好")
    assert reply.usage_metadata is not None
    assert counted.total_tokens == reply.usage_metadata.prompt_token_count == 11


async def test_errors(gateway: FakeGateway, client: genai.client.AsyncClient) -> None:
    both = types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW, thinking_budget=100)
    config = types.GenerateContentConfig(thinking_config=both)
    with pytest.raises(errors.ClientError, match="You can only set one of thinking budget"):
        await client.models.generate_content(model=MODEL, contents="嗨", config=config)
    with pytest.raises(errors.ServerError, match="no available channel"):
        await client.models.count_tokens(model="nobody", contents="嗨")
    gateway.revoke(gateway.api_key)
    with pytest.raises(errors.ClientError, match="invalid token"):
        await client.models.generate_content(model=MODEL, contents="嗨")


def parts_of(reply: types.GenerateContentResponse) -> list[types.Part]:
    """Return the parts of the first candidate that say something."""
    assert reply.candidates
    content = reply.candidates[0].content
    assert content is not None
    return [part for part in content.parts or [] if part.text != ""]


# --- by bare HTTP -------------------------------------------------------------------------------

SAID: Any = {"role": "user", "parts": [{"text": "嗨"}]}
CALLED: Any = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}
RESULT: Any = {"functionResponse": {"name": "f", "response": {"result": 1}}}


async def asked(gateway: FakeGateway, model: str = MODEL, **body: Any) -> tuple[int, Any]:
    """Return the status and the answer to a body that Google's package would not write."""
    address = f"{gateway.base_url.removesuffix('/v1')}/v1beta/models/{model}:generateContent"
    headers = {"x-goog-api-key": gateway.api_key}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(address, json={"contents": [SAID], **body}) as response,
    ):
        return response.status, await response.json()


def declaring(**fields: Any) -> Any:
    return [{"functionDeclarations": [{"name": "f", **fields}]}]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"contents": []}, "contents is not specified"),
        ({"contents": [{"parts": [{"inlineData": {"data": "%"}}]}]}, "Base64 decoding failed"),
        ({"contents": [{"parts": [{"inlineData": {"data": 7}}]}]}, "Base64 decoding failed"),
        (
            {"contents": [SAID, CALLED, {"parts": [RESULT, RESULT]}]},
            "number of function response parts",
        ),
        (
            {"contents": [CALLED, {"role": "user", "parts": [RESULT]}]},
            "missing a thought_signature",
        ),
        (
            {"tools": declaring(parameters={}, parametersJsonSchema={})},
            "parameters_json_schema must not be set",
        ),
        (
            {"generationConfig": {"responseSchema": {"type": "OBJECT"}}},
            "only supported with response_mime_type",
        ),
    ],
)
async def test_what_google_refuses(gateway: FakeGateway, body: Any, message: str) -> None:
    status, answer = await asked(gateway, **body)
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert message in answer["error"]["message"]


async def test_any_json(gateway: FakeGateway) -> None:
    config = {"responseMimeType": "application/json"}
    status, answer = await asked(gateway, generationConfig=config)
    assert status == 200
    (part,) = [one for one in answer["candidates"][0]["content"]["parts"] if one.get("text")]
    assert isinstance(orjson.loads(part["text"]), dict)


async def test_ids_are_of_gemini_3_alone(gateway: FakeGateway) -> None:
    """An older model names none; arguments may be scripted as text."""
    calls = []
    for model in (MODEL, "gemini-2.5-flash"):
        gateway.script(ScriptedReply(tool_calls=[Call("f", '{"a":1}')]))
        _, answer = await asked(gateway, model, tools=declaring())
        parts = answer["candidates"][0]["content"]["parts"]
        calls += [part["functionCall"] for part in parts if "functionCall" in part]
    assert [call["args"] for call in calls] == [{"a": 1}, {"a": 1}]
    assert ["id" in call for call in calls] == [True, False]
