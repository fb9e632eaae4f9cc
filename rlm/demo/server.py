"""A stand-in for a model provider: a real HTTP server on loopback that speaks the provider's API.

The demo's model answers through it, and so do those of the tests and
benchmarks: the engine, its SDKs and the wire are the real ones. asyncio's
protocols and a parser by hand, because a benchmark must not measure its server.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from http.client import responses
from typing import TYPE_CHECKING, Self

from rlm.demo.accepting import stop_accepting
from rlm.demo.messages import LMRequest, LMResponse, error, is_anthropic, parse, render
from rlm.demo.script import script

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LMRequest", "LMResponse", "StandInServer", "script"]


class StandInServer:
    """Serves OpenAI's `/chat/completions` and Anthropic's `/messages`, plain and streamed.

    Args:
        reply: Gives each request its response. Called on the server's thread, one at a time;
            if it raises, the client gets a 400 that says so.
        latency: Seconds before every reply.
        record: Whether `requests` is kept (benchmarks switch it off).
        refuse_stream_options: Answer 400 to `stream_options`, as some compatible servers do.

    Attributes:
        requests: Every request that was parsed, in order of arrival.
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
        self._reply = reply
        self._latency = latency
        self._record = record
        self._refuse_stream_options = refuse_stream_options
        self._connections: set[_Connection] = set()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._empty: asyncio.Event | None = None
        self.port = 0
        self._failure: BaseException | None = None

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
        return len(self._connections)

    def start(self) -> Self:
        """Serve on a free port, on a thread of its own; returns when it listens.

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
        """Close every connection and end the thread; harmless when there is none."""
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
        self._empty = asyncio.Event()
        try:
            # asyncio sets TCP_NODELAY on every connection itself.
            server = await self._loop.create_server(
                lambda: _Connection(self), "127.0.0.1", 0, backlog=1024
            )
        except OSError as failure:
            self._failure = failure
            return
        finally:
            if self._failure is not None:
                listening.set()
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        try:
            await self._stop.wait()
        finally:
            await stop_accepting(server)
            server.close()
            for connection in tuple(self._connections):
                connection.abort()
            while self._connections:
                self._empty.clear()
                await self._empty.wait()

    def _joined(self, connection: _Connection) -> None:
        self._connections.add(connection)

    def _left(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        if not self._connections and self._empty is not None:
            self._empty.set()

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> _Answer:
        """Turn one request into the bytes of its response."""
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
        except Exception as problem:  # noqa: BLE001 - whatever it raises, the client must hear of it
            text = f"The stand-in model raised {type(problem).__name__}: {problem}"
            return _failure(400, text, anthropic=anthropic)
        response = LMResponse(text=reply) if isinstance(reply, str) else reply
        kind, pieces = render(request, response)
        return _Answer(kind, pieces, response, self._latency + response.delay)


class _Answer:
    """A response on its way: its bytes, and how they are to be sent."""

    __slots__ = ("cut_after", "delay", "parts", "pause")

    def __init__(
        self, kind: str, pieces: list[bytes], response: LMResponse, delay: float = 0.0
    ) -> None:
        self.delay = delay
        self.pause = response.pause if len(pieces) > 1 else 0.0
        self.cut_after = response.cut_after
        status = response.status
        lines = [f"HTTP/1.1 {status} {responses.get(status, '')}", f"content-type: {kind}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        if len(pieces) > 1:
            lines.append("transfer-encoding: chunked")
            body = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
            body[-1] += b"0\r\n\r\n"
        else:
            lines.append(f"content-length: {len(pieces[0])}")
            body = pieces
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        self.parts = [head, *body] if self.pause else [head, b"".join(body)]


def _failure(status: int, message: str, *, anthropic: bool) -> _Answer:
    kind, pieces = error(message, anthropic=anthropic)
    return _Answer(kind, pieces, LMResponse(status=status))


class _Connection(asyncio.Protocol):
    """One keep-alive connection: requests in order, each answered before the next is read."""

    def __init__(self, server: StandInServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._head: tuple[str, dict[str, str], int, int] | None = None
        self._parts: deque[bytes] = deque()
        self._pause = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server._joined(self)  # noqa: SLF001 - the server's own connection

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self._timer is not None:
            self._timer.cancel()
        self._closing = True
        self._server._left(self)  # noqa: SLF001 - the server's own connection

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next()

    def _next(self) -> None:
        """Answer the next request when it is here whole and none is being answered."""
        while not self._closing and self._timer is None and not self._parts:
            if self._head is None and not self._read_head():
                return
            assert self._head is not None
            path, headers, start, length = self._head
            if len(self._buffer) < start + length:
                return
            body = bytes(self._buffer[start : start + length])
            del self._buffer[: start + length]
            self._head = None
            self._begin(self._server._answer(path, headers, body))  # noqa: SLF001 - the server's own connection

    def _read_head(self) -> bool:
        """Read a request's head (RFC 9112, section 3) when all of it is here."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        request, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        path = request.split(" ")[1] if request.count(" ") >= 2 else ""  # noqa: PLR2004 - method, path, version
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdigit():
            text = "The stand-in server takes bodies with a content-length only."
            self._begin(_failure(411, text, anthropic=False))
            self._close()
            return False
        self._head = (path, headers, end + 4, int(length))
        return True

    def _begin(self, answer: _Answer) -> None:
        if answer.cut_after is not None:
            head, *body = answer.parts
            kept = head + b"".join(body)[: answer.cut_after] if answer.cut_after else b""
            answer.parts = [kept]
        self._pause = answer.pause
        self._parts.extend(answer.parts)
        if not answer.pause:
            self._parts = deque([b"".join(answer.parts)])
        closing = answer.cut_after is not None
        if answer.delay > 0:
            self._wait(answer.delay, closing=closing)
        else:
            self._send(closing=closing)

    def _wait(self, seconds: float, *, closing: bool) -> None:
        def resume() -> None:
            self._timer = None
            self._send(closing=closing)
            self._next()

        self._timer = asyncio.get_running_loop().call_later(seconds, resume)

    def _send(self, *, closing: bool) -> None:
        """Send the next part, and plan the one after it."""
        assert self._transport is not None
        self._transport.write(self._parts.popleft())
        if self._parts:
            self._wait(self._pause, closing=closing)
        elif closing:
            self._close()

    def _close(self) -> None:
        assert self._transport is not None
        self._closing = True
        self._transport.close()
