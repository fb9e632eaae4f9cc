"""A stand-in for a model provider: a real HTTP server on loopback that speaks the provider's API.

The models of the demo, the tests and the benchmarks answer through it, so that these use the real
engine, SDKs and connections.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from http.client import responses
from typing import TYPE_CHECKING, Self

from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, ResponseStartLine
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets

from rlm.demo.messages import LMRequest, LMResponse, error, is_anthropic, parse, render
from rlm.demo.script import script

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tornado.httputil import HTTPServerRequest
    from tornado.iostream import IOStream

__all__ = ["LMRequest", "LMResponse", "StandInServer", "script"]

LONGEST_BODY = 1 << 30
"""The most bytes of a request's body; tornado's default is 100 MB."""


class StandInServer:
    """Serves OpenAI's `/chat/completions` and Anthropic's `/messages`, plain and streamed.

    Args:
        reply: Returns the response to a request. The server's thread calls it, one request at a
            time; if it raises, the client gets a 400 with the error.
        latency: Seconds before every reply.
        record: Whether to keep `requests` (benchmarks do not).
        refuse_stream_options: Whether to answer 400 to `stream_options`, as some servers do.

    Attributes:
        requests: Every valid request, in order of arrival.
        port: The TCP port on 127.0.0.1; 0 before the start.
    """

    def __init__(
        self,
        reply: Callable[[LMRequest], LMResponse | str],
        *,
        latency: float = 0.0,
        record: bool = True,
        refuse_stream_options: bool = False,
    ) -> None:
        self.requests: list[LMRequest] = []
        self.port = 0
        self._reply = reply
        self._latency = latency
        self._record = record
        self._refuse_stream_options = refuse_stream_options
        self._http = _CountingServer(self._serve_request, max_buffer_size=LONGEST_BODY)
        self._answers: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failure: OSError | None = None

    @property
    def url(self) -> str:
        """The server's address; the Anthropic SDK's `base_url`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """The OpenAI SDK's `base_url`."""
        return f"{self.url}/v1"

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return self._http.open_connections

    def start(self) -> Self:
        """Serve on a free port, in a thread; return as soon as the port accepts connections.

        Raises:
            OSError: No port could be bound.
        """
        if self._thread is not None:
            raise RuntimeError("This StandInServer has been started already.")
        listening = threading.Event()
        self._thread = threading.Thread(
            target=asyncio.run, args=(self._serve(listening),), name="rlm-stand-in", daemon=True
        )
        self._thread.start()
        listening.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def close(self) -> None:
        """Close every connection and end the thread, if the server was started."""
        if self._thread is None or self._loop is None or self._stop is None:
            return
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def _serve(self, listening: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            sockets = bind_sockets(0, "127.0.0.1", backlog=1024)
        except OSError as failure:
            self._failure = failure
            listening.set()
            return
        self._http.add_sockets(sockets)
        self.port = sockets[0].getsockname()[1]
        listening.set()
        await self._stop.wait()
        self._http.stop()
        await self._http.close_all_connections()  # `asyncio.run` cancels the answers under way

    def _serve_request(self, request: HTTPServerRequest) -> None:
        """Answer one request; tornado reads the connection's next one after the answer."""
        assert isinstance(request.connection, HTTP1Connection)
        headers = {name.lower(): value for name, value in request.headers.items()}
        answer = self._answer(request.uri or "", headers, request.body)
        task = asyncio.get_running_loop().create_task(answer.send(request.connection))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> _Answer:
        anthropic = is_anthropic(path)
        if not (anthropic or path.partition("?")[0].endswith("/chat/completions")):
            return _failure(404, f"The stand-in server has no {path}.", anthropic=anthropic)
        try:
            request = parse(path, headers, body)
        except ValueError as problem:
            return _failure(400, f"Bad request: {problem}", anthropic=anthropic)
        if self._record:
            self.requests.append(request)
        if self._refuse_stream_options and "stream_options" in request.body:
            return _failure(400, "Unrecognized argument: stream_options", anthropic=anthropic)
        try:
            reply = self._reply(request)
        except Exception as problem:  # noqa: BLE001 - the client gets any error
            text = f"The stand-in model raised {type(problem).__name__}: {problem}"
            return _failure(400, text, anthropic=anthropic)
        response = LMResponse(text=reply) if isinstance(reply, str) else reply
        kind, pieces = render(request, response)
        return _Answer(kind, pieces, response, self._latency + response.delay)


class _CountingServer(HTTPServer):
    """Counts its open connections, including those without a request."""

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        self.open_connections = 0

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        self.open_connections += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: object) -> None:
        self.open_connections -= 1
        super().on_close(server_conn)


class _Answer:
    """A response and how to send it: delayed, in pieces with pauses, or cut off."""

    __slots__ = ("_cut_after", "_delay", "_head", "_headers", "_pause", "_pieces")

    def __init__(
        self, kind: str, pieces: list[bytes], response: LMResponse, delay: float = 0.0
    ) -> None:
        self._delay = delay
        self._pause = response.pause
        self._cut_after = response.cut_after
        status = response.status
        self._head = ResponseStartLine("HTTP/1.1", status, responses.get(status, ""))
        self._headers = HTTPHeaders({"content-type": kind, **response.headers})
        if len(pieces) == 1:  # else tornado sends the body chunked
            self._headers["content-length"] = str(len(pieces[0]))
        self._pieces = pieces if response.pause else [b"".join(pieces)]

    async def send(self, connection: HTTP1Connection) -> None:
        """Send it, unless the client has closed the connection."""
        if self._delay:
            await asyncio.sleep(self._delay)
        with suppress(StreamClosedError):
            if self._cut_after is not None:
                await self._send_cut(connection, self._cut_after)
                return
            first, *others = self._pieces
            connection.write_headers(self._head, self._headers, first)
            for piece in others:
                await asyncio.sleep(self._pause)
                connection.write(piece)
            connection.finish()

    async def _send_cut(self, connection: HTTP1Connection, size: int) -> None:
        """Send `size` bytes of the body (0: not even the head), then close the connection."""
        if size:
            body = b"".join(self._pieces)
            await connection.write_headers(self._head, self._headers, body[:size])
        connection.detach().close()


def _failure(status: int, message: str, *, anthropic: bool) -> _Answer:
    kind, pieces = error(message, anthropic=anthropic)
    return _Answer(kind, pieces, LMResponse(status=status))
