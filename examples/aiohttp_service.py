"""A web service that awaits replies and relays streams. / 等待回复并转发流的 Web 服务.

curl -d '{"prompt": "你好"}' http://127.0.0.1:8080/ask
curl -N -d '{"prompt": "你好"}' http://127.0.0.1:8080/stream
"""

import sys
from collections.abc import AsyncIterator

from aiohttp import web

from aiotokengate import StreamInterrupted, TokenGate, TokenGateError

MODEL = "qwen3.6-max-preview"
gate = TokenGate()  # one for the whole process; connections open with the first call


async def ask(request: web.Request) -> web.Response:
    """Answer with the whole reply as JSON."""
    prompt = (await request.json())["prompt"]
    try:
        reply = await gate.chat(MODEL, prompt, deadline=120)
    except TokenGateError as error:
        return web.json_response({"error": error.message}, status=502)
    return web.json_response({"thinking": reply.reasoning, "answer": reply.answer})


async def relay(request: web.Request) -> web.StreamResponse:
    """Relay the stream to a browser, as Chat Completions events."""
    prompt = (await request.json())["prompt"]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    async with gate.chat(MODEL, prompt) as stream:
        await response.prepare(request)
        try:
            async for event in stream.sse():
                await response.write(event)
        except StreamInterrupted:
            request.app.logger.warning("a relayed reply was interrupted; the browser was told")
    return response


async def close_gate(_: web.Application) -> AsyncIterator[None]:
    """Close the connections when the service ends."""
    yield
    await gate.close()


def make_app() -> web.Application:
    app = web.Application()
    app.add_routes([web.post("/ask", ask), web.post("/stream", relay)])
    app.cleanup_ctx.append(close_gate)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=int(sys.argv[1]) if sys.argv[1:] else 8080)
