"""An ASGI application small enough to test the processes around it."""

import asyncio
import os
from typing import Any

from django.conf import settings
from redis.asyncio import Redis

from nanobanana import stopping

Scope = dict[str, Any]


async def application(scope: Scope, receive: Any, send: Any) -> None:
    await {"lifespan": lifespan, "http": http, "websocket": echo}[scope["type"]](scope, receive, send)


async def lifespan(scope: Scope, receive: Any, send: Any) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


async def http(scope: Scope, receive: Any, send: Any) -> None:
    actions = {"/pid": pid, "/count": count, "/slow": slow, "/address": address, "/stops": stops}
    body = await actions[scope["path"]]()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(body).encode()})


async def pid() -> int:
    return os.getpid()


async def address() -> str:
    return settings.PUBLIC_BASE_URL


async def stops() -> bool:
    return stopping.is_stopping()


async def count() -> int:
    """How often this was called, ever."""
    async with Redis.from_url(settings.REDIS_URL) as redis:
        return await redis.incr("count")


async def slow() -> str:
    """Say that it has begun, then take its time."""
    async with Redis.from_url(settings.REDIS_URL) as redis:
        await redis.lpush("begun", "slow")
    await asyncio.sleep(0.5)
    return "done"


async def echo(scope: Scope, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})
