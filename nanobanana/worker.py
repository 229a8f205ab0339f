"""One process that serves: `python -m nanobanana.worker APPLICATION LISTENER READY SUPERVISOR [DELAY]`.

APPLICATION is the import string of an ASGI application; LISTENER and READY are the numbers of two inherited
files, the listening socket and a pipe to close once requests are answered; SUPERVISOR is the parent's pid;
DELAY is for how many seconds it serves on when told to stop.
"""

import gc
import os
import signal
import socket
import sys
import time
from types import FrameType

from django.core.exceptions import ImproperlyConfigured
from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from nanobanana import stopping

LARGEST_HEAD = 64 * 1024  # bytes of a request's line and headers
LARGEST_FRAME = 64 * 1024  # bytes of a WebSocket message
GRACE = 10  # seconds that running requests have when the worker is told to stop

HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 29\r\nconnection: close\r\n\r\n"
    b"The request has a huge head.\n"
)


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn reads a head of any length into memory; here it has a limit."""

    head_size = 0
    head_is_open = False

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.head_is_open:
            self.head_size += len(data)
            if self.head_size > LARGEST_HEAD:
                self.transport.write(HEAD_TOO_LARGE)
                self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.head_size = 0
        self.head_is_open = True

    def on_headers_complete(self) -> None:
        self.head_is_open = False
        super().on_headers_complete()


class AnsweringWebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn forgets a handshake that websockets refuses by itself, as one with a line over 8 KB."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()


class Heartbeat:
    """Called every second while requests are served."""

    def __init__(self, ready: int | None, supervisor: int) -> None:
        self.ready = ready
        self.supervisor = supervisor

    async def __call__(self) -> None:
        if self.ready is not None:
            os.close(self.ready)
            self.ready = None
            gc.collect()
            gc.freeze()  # what was loaded stays, and need not be looked through again and again
        if self.is_orphaned:  # nobody else would stop this process
            os.kill(os.getpid(), signal.SIGTERM)

    @property
    def is_orphaned(self) -> bool:
        """Whether the supervisor was killed."""
        return os.getppid() != self.supervisor


class PromptServer(Server):
    """Stops without waiting for requests that wait themselves: uvicorn gives each of them all of GRACE."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        stop_waiting = getattr(self.config.loaded_app, "stop_waiting", None)
        if stop_waiting:
            stop_waiting()
        await super().shutdown(sockets)


class LingeringServer(PromptServer):
    """Told to stop, it serves on for `delay` seconds in which /health/ready says that it will end.

    So whoever sends requests here has the time to notice, and none of them meets a closed port. Without its
    supervisor it ends at once: another one may be waiting for the port.
    """

    def __init__(self, config: Config, heartbeat: Heartbeat, delay: float) -> None:
        super().__init__(config)
        self.heartbeat = heartbeat
        self.delay = delay
        self.told_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.told_at is None:
            self.told_at = time.monotonic()
            stopping.begin()
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        is_told = await super().on_tick(counter)
        return is_told and not self.lingers

    @property
    def lingers(self) -> bool:
        is_early = self.told_at is not None and time.monotonic() < self.told_at + self.delay
        return is_early and not self.heartbeat.is_orphaned


def configuration(application: str, heartbeat: Heartbeat | None = None) -> Config:
    return Config(
        application,
        loop="uvloop",
        http=BoundedHttpProtocol,
        ws=AnsweringWebSocketProtocol,
        lifespan="on",
        log_config=None,  # Django's LOGGING rules
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nanobanana.throttling.client_ip decides whose X-Forwarded-For is believed
        ws_max_size=LARGEST_FRAME,
        ws_per_message_deflate=False,
        ws_ping_interval=None,  # realtime/consumers.py pings, with the position
        timeout_keep_alive=75,  # longer than the 60 s of the usual proxies, so that they close first
        timeout_graceful_shutdown=GRACE,
        callback_notify=heartbeat,
        timeout_notify=0,
    )


def main(application: str, listener: int, ready: int, supervisor: int, delay: int = 0) -> None:
    heartbeat = Heartbeat(ready, supervisor)
    server = LingeringServer(configuration(application, heartbeat), heartbeat, delay)
    server.run([socket.socket(fileno=listener)])


if __name__ == "__main__":
    try:
        main(sys.argv[1], *map(int, sys.argv[2:6]))
    except ImproperlyConfigured as error:  # one sentence for the operator
        sys.exit(str(error))
