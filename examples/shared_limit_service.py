"""A relay that runs in several processes and keeps to one limit. / 多个进程共用一份限额的转发服务.

redis-server --port 6379
python shared_limit_service.py 8081 redis://127.0.0.1:6379/0
python shared_limit_service.py 8082 redis://127.0.0.1:6379/0
curl -N -d '{"user": "u1", "prompt": "你好"}' http://127.0.0.1:8081/stream
"""

import sys
from collections.abc import AsyncIterator

from aiohttp import web

from aiotokengate import Limits, Pool, QueueFull, StreamInterrupted, TimedOut, TokenGate
from aiotokengate.redis import RedisBackend

MODEL = "qwen3.6-plus"
LIMITS = Limits(requests_per_minute=60, tokens_per_minute=60_000)  # of the key, for all processes
GATE = web.AppKey("gate", TokenGate)


async def relay(request: web.Request) -> web.StreamResponse:
    """Relay a stream; users take turns, whichever process they reach."""
    asked = await request.json()
    call = request.app[GATE].chat(
        MODEL, asked["prompt"], fair_key=asked["user"], max_tokens=500, deadline=60
    )
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    try:
        async with call as stream:
            await response.prepare(request)
            async for event in stream.sse():
                await response.write(event)
    except (QueueFull, TimedOut):
        return web.json_response({"error": "请稍后再试 / try again later"}, status=503)
    except StreamInterrupted:
        request.app.logger.warning("a relayed reply was interrupted; the browser was told")
    return response


async def statistics(request: web.Request) -> web.Response:
    """Say what waits and what is in flight, as this process knows it."""
    now = request.app[GATE].pool.statistics()
    return web.json_response({"waiting": now.waiting, "in_flight": now.in_flight})


def make_app(redis_url: str) -> web.Application:
    async def shared_gate(app: web.Application) -> AsyncIterator[None]:
        backend = RedisBackend(redis_url)
        async with TokenGate(pool=Pool(LIMITS, backend=backend)) as app[GATE]:
            yield
        await backend.aclose()

    app = web.Application()
    app.add_routes([web.post("/stream", relay), web.get("/statistics", statistics)])
    app.cleanup_ctx.append(shared_gate)
    return app


if __name__ == "__main__":
    port, url = int(sys.argv[1]), sys.argv[2]
    web.run_app(make_app(url), host="127.0.0.1", port=port)
