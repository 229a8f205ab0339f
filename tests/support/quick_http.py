"""HTTP/1.1 for the clients of the suite, parsed in C: httpx's own transport took a third of its time."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

import httpx
from httptools import HttpParserError, HttpResponseParser

KEPT_FOR = 2.0  # seconds, well under the five of the server: it must not close what a request is just sent on
READ_AHEAD = 64 * 1024  # bytes; whoever reads more slowly holds the server up, as a slow client does
WITHOUT_BODY = {204, 304}


class QuickTransport(httpx.AsyncBaseTransport):
    """Keeps the connections that are done with an answer, for the next request to the same place."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, int], list[Connection]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        patience: dict[str, float | None] = request.extensions.get("timeout", {})
        connection = await self._connect(request.url, patience.get("connect"))
        try:
            answer = connection.ask(request.method)
            await connection.send(request)
            async with limit(patience.get("read")):
                await answer.wait_until(answer.has_head)
        except BaseException:
            connection.abort()
            raise
        return httpx.Response(
            connection.parser.get_status_code(),
            headers=answer.headers,
            stream=Body(self, connection, answer, patience.get("read")),
            request=request,
        )

    async def aclose(self) -> None:
        for connection in (each for idle in self._idle.values() for each in idle):
            connection.abort()
        self._idle.clear()

    def keep(self, connection: "Connection") -> None:
        connection.kept_at = asyncio.get_running_loop().time()
        self._idle.setdefault(connection.place, []).append(connection)

    async def _connect(self, url: httpx.URL, patience: float | None) -> "Connection":
        place = (url.host, url.port or 80)
        loop = asyncio.get_running_loop()
        idle = self._idle.get(place, [])
        if idle:
            await asyncio.sleep(0)  # twice, until asyncio has told what the server has closed
            await asyncio.sleep(0)
        while idle:
            connection = idle.pop()
            if connection.is_open and loop.time() - connection.kept_at < KEPT_FOR:
                return connection
            connection.abort()
        try:
            async with limit(patience):
                _, connection = await loop.create_connection(lambda: Connection(place), *place)
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        return connection


class Answer:
    """What has come of one answer, filled by the parser."""

    def __init__(self, method: str) -> None:
        self.is_of_head = method == "HEAD"
        self.headers: list[tuple[bytes, bytes]] = []
        self.chunks: deque[bytes] = deque()
        self.unread = 0
        self.has_head = asyncio.Event()
        self.has_news = asyncio.Event()  # a chunk, the end or a failure
        self.is_whole = False
        self.failure: httpx.TransportError | None = None

    async def wait_until(self, event: asyncio.Event) -> None:
        await event.wait()
        if self.failure:
            raise self.failure

    def end(self, failure: httpx.TransportError | None = None) -> None:
        self.is_whole, self.failure = failure is None, failure
        self.has_news.set()
        self.has_head.set()


class Connection(asyncio.Protocol):
    """One request at a time."""

    transport: asyncio.Transport
    parser: HttpResponseParser
    answer: Answer | None = None
    kept_at: float  # while it is idle

    def __init__(self, place: tuple[str, int]) -> None:
        self.place = place

    @property
    def is_open(self) -> bool:
        return not self.transport.is_closing()

    def ask(self, method: str) -> Answer:
        self.answer, self.parser = Answer(method), HttpResponseParser(self)
        return self.answer

    async def send(self, request: httpx.Request) -> None:
        head = [b"%b %b HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
        head += [b"%b: %b" % header for header in request.headers.raw]
        self.transport.write(b"\r\n".join(head) + b"\r\n\r\n")
        is_chunked = "Transfer-Encoding" in request.headers
        async for chunk in request.stream:  # type: ignore[union-attr]
            if chunk:
                self.transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if is_chunked else chunk)
        if is_chunked:
            self.transport.write(b"0\r\n\r\n")

    def abort(self) -> None:
        self.transport.abort()

    # ---- what asyncio calls
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.answer is None:
            return self.abort()  # nobody asked
        try:
            self.parser.feed_data(data)
        except HttpParserError as error:
            self._fail(httpx.RemoteProtocolError(str(error)))

    def connection_lost(self, error: Exception | None) -> None:
        answer = self.answer
        if answer is None or answer.is_whole:
            return
        ends_with_the_connection = answer.has_head.is_set() and not has_length(answer.headers)
        if ends_with_the_connection and error is None:
            return answer.end()
        failure = httpx.ReadError if error else httpx.RemoteProtocolError
        answer.end(failure(str(error or "The server hung up before the end of its answer.")))

    def _fail(self, failure: httpx.TransportError) -> None:
        if self.answer:
            self.answer.end(failure)
        self.abort()

    # ---- what the parser calls
    def on_header(self, name: bytes, value: bytes) -> None:
        assert self.answer
        self.answer.headers.append((name, value))

    def on_headers_complete(self) -> None:
        assert self.answer
        if self.answer.is_of_head:  # which the parser does not know
            self.answer.end()
            self.transport.close()
        self.answer.has_head.set()

    def on_body(self, data: bytes) -> None:
        assert self.answer
        self.answer.chunks.append(data)
        self.answer.unread += len(data)
        self.answer.has_news.set()
        if self.answer.unread > READ_AHEAD:
            self.transport.pause_reading()

    def on_message_complete(self) -> None:
        assert self.answer
        self.answer.end()
        if not self.parser.should_keep_alive():
            self.transport.close()


class Body(httpx.AsyncByteStream):
    """The bytes of an answer as they come; its connection is free at their end, and gone before it."""

    def __init__(
        self, transport: QuickTransport, connection: Connection, answer: Answer, patience: float | None
    ) -> None:
        self._transport, self._connection = transport, connection
        self._answer, self._patience = answer, patience

    async def __aiter__(self) -> AsyncIterator[bytes]:
        answer = self._answer
        while True:
            while answer.chunks:
                chunk = answer.chunks.popleft()
                answer.unread -= len(chunk)
                yield chunk
            if answer.is_whole:
                return
            answer.has_news.clear()
            if self._connection.is_open:
                self._connection.transport.resume_reading()
            elif not answer.failure:
                await asyncio.sleep(0)  # until asyncio has told that it is lost
            async with limit(self._patience):
                await answer.wait_until(answer.has_news)

    async def aclose(self) -> None:
        if self._answer.is_whole and self._connection.is_open and not self._answer.is_of_head:
            self._connection.transport.resume_reading()
            self._connection.answer = None
            self._transport.keep(self._connection)
        else:
            self._connection.abort()


class limit(asyncio.Timeout):  # reads like asyncio.timeout
    """`async with limit(seconds)`: httpx's own error when it takes longer."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__(None if seconds is None else asyncio.get_running_loop().time() + seconds)

    async def __aexit__(self, *error: object) -> bool | None:
        try:
            return await super().__aexit__(*error)  # type: ignore[arg-type]
        except TimeoutError as late:
            raise httpx.ReadTimeout("The server takes too long.") from late


def has_length(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() in {b"content-length", b"transfer-encoding"} for name, _ in headers)
