"""The list of models, and paths that the gateway does not have."""

from aiotokengate.testing._media import MEDIA_MODELS
from aiotokengate.testing._models import JOB_MODELS, MODELS
from tests.support.bare_client import Client


async def test_an_unknown_path_is_the_gateway_s_404(client: Client) -> None:
    async with client.http.post(client.url("/nothing")) as response:
        error = (await response.json())["error"]
    assert response.status == 404
    assert error == {
        "message": "Invalid URL (POST /v1/nothing)",
        "type": "invalid_request_error",
        "param": "",
        "code": "",
    }
    async with client.http.get(client.url("/chat/completions")) as response:
        assert response.status == 404


async def test_models_are_listed_by_their_exact_names(client: Client) -> None:
    async with client.http.get(client.url("/models")) as response:
        listed = await response.json()
    assert listed["object"] == "list"
    assert [row["id"] for row in listed["data"]] == [*MODELS, *MEDIA_MODELS, *JOB_MODELS]
    async with client.http.get(client.url("/models/WanWu/Deepseek-Auto")) as response:
        assert (await response.json())["id"] == "WanWu/Deepseek-Auto"
    async with client.http.get(client.url("/models/gpt-7")) as response:
        assert response.status == 404
