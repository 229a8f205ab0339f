"""The application on a real port of this machine, in the event loop of the tests."""

import asyncio
import os
import socket
import sys
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


@asynccontextmanager
async def serve_in_another_process() -> AsyncIterator[WebServer]:
    """A second process that serves from the same Redis, as every deployment has."""
    listener = socket.create_server(("127.0.0.1", 0))
    ready, writer = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nanobanana.worker", "nanobanana.asgi:application"),
        *(str(listener.fileno()), str(writer), str(os.getpid())),
        pass_fds=(listener.fileno(), writer),
    )
    os.close(writer)
    await asyncio.to_thread(os.read, ready, 1)  # the end of the file says that it serves
    os.close(ready)
    yield WebServer(listener.getsockname()[1])
    process.terminate()
    await process.wait()
    listener.close()
