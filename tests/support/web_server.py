"""The application on a real port of this machine, in the event loop of the tests."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import uvicorn


@dataclass(frozen=True)
class WebServer:
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def websocket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"


@asynccontextmanager
async def serve_in_process() -> AsyncIterator[WebServer]:
    from nanobanana.worker import Heartbeat, configuration

    listener = socket.create_server(("127.0.0.1", 0))
    config = configuration("nanobanana.asgi:application", Heartbeat(None, 0))
    config.callback_notify = None
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if serving.done():
            serving.result()
        await asyncio.sleep(0.01)
    yield WebServer(listener.getsockname()[1])
    server.should_exit = True
    await serving
