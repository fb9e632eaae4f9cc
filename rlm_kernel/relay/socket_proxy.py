"""A relayed kernel's channels on the host: the session's, and sockets for any other client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zmq
from tornado.ioloop import IOLoop
from zmq.eventloop.zmqstream import ZMQStream

from rlm_kernel.errors import FrameError
from rlm_kernel.host.channels import new_session, read_message
from rlm_kernel.protocol.chunks import Channel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rlm_kernel.host.sandbox import OnMessage
    from rlm_kernel.relay.multiplexer import Multiplexer

OURS = b"s"
"""The identity of the session, which gets its messages without a socket."""

THEIRS = b"c"
"""The prefix of other clients' identities, which may start with a zero byte."""

MAX_HELD_MESSAGES = 10_000
"""Messages that may wait for a client; a client that does not read loses the others."""


class RelayedChannels:
    """The session's channels to a relayed kernel.

    The session handles each message before the next is read, so that a kernel that floods its host
    only fills the stream.
    """

    def __init__(
        self, sockets: SocketProxy, connection: dict[str, Any], on_message: OnMessage
    ) -> None:
        self._session = new_session(connection)
        self._sockets = sockets
        self._on_message = on_message
        sockets.session_receiver = self._receive

    @property
    def session_id(self) -> str:
        """The session id in our messages."""
        return str(self._session.session)

    def send(
        self, channel: str, msg_type: str, content: dict[str, Any], buffers: Sequence[bytes] = ()
    ) -> str:
        """Send a message and return its id."""
        message = self._session.msg(msg_type, content)
        parts = [*self._session.serialize(message, [OURS]), *buffers]
        self._sockets.send(Channel[channel.upper()], parts)
        msg_id: str = message["header"]["msg_id"]
        return msg_id

    def close(self) -> None:
        """Stop listening, and close the sockets."""
        self._sockets.session_receiver = None
        self._sockets.close()

    def _receive(self, channel: Channel, parts: list[bytes]) -> None:
        message = read_message(self._session, parts)
        if message is not None:
            self._on_message(channel.name.lower(), message)


class SocketProxy:
    """Sockets on this machine that stand for a relayed kernel.

    Any Jupyter client can connect to them. They outlive the kernel: a restarted one gets the same
    sockets.

    Attributes:
        session_receiver: Called with the messages for the session.
    """

    def __init__(self, connection: dict[str, Any]) -> None:
        self._session = new_session(connection)
        self._multiplexer: Multiplexer | None = None
        self._kernel = 0
        self._listened = False
        self.session_receiver: Callable[[Channel, list[bytes]], None] | None = None
        self._streams: dict[Channel, ZMQStream] = {}
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        loop = IOLoop.current()
        for channel in Channel:
            socket = context.socket(zmq.XPUB if channel == Channel.IOPUB else zmq.ROUTER)
            socket.linger = 0
            socket.sndhwm = MAX_HELD_MESSAGES
            if channel == Channel.IOPUB:
                socket.setsockopt(zmq.XPUB_VERBOSE, 1)
            socket.bind(f"ipc://{connection['ip']}-{connection[f'{channel.name.lower()}_port']}")
            stream = ZMQStream(socket, loop)
            stream.on_recv(
                self._welcome if channel == Channel.IOPUB else self._from_client(channel)
            )
            self._streams[channel] = stream

    def connect_kernel(self, multiplexer: Multiplexer, kernel: int) -> None:
        """Connect a kernel to the sockets, in place of the last one."""
        if self._multiplexer is not None:
            self._multiplexer.listen(self._kernel, None)
        self._multiplexer, self._kernel = multiplexer, kernel
        multiplexer.listen(kernel, self._from_kernel)

    def send(self, channel: Channel, parts: list[bytes]) -> None:
        """Send the kernel a message, identity first; one that is too long is a `FrameError`."""
        if self._multiplexer is not None:
            self._multiplexer.send(self._kernel, channel, parts)

    def close(self) -> None:
        """Close the sockets."""
        if self._multiplexer is not None:
            self._multiplexer.listen(self._kernel, None)
            self._multiplexer = None
        for stream in self._streams.values():
            if not stream.closed():
                stream.on_recv(None)
                stream.flush(zmq.POLLOUT)
                stream.close(linger=0)

    def _from_kernel(self, channel: Channel, parts: list[bytes]) -> None:
        if channel == Channel.IOPUB:
            if self._listened:
                self._to_clients(channel, parts)
            if self.session_receiver is not None:
                self.session_receiver(channel, parts)
        elif parts[0] == OURS:
            if self.session_receiver is not None:
                self.session_receiver(channel, parts[1:])
        elif parts[0].startswith(THEIRS):
            self._to_clients(channel, [parts[0][len(THEIRS) :], *parts[1:]])

    def _to_clients(self, channel: Channel, parts: list[bytes]) -> None:
        """Send through the stream; a client that has gone, or is far behind, loses the message.

        Never through the bare socket: ZMQ announces only once that a socket may be read, so what
        arrives during such a send would wait until something else arrives.
        """
        self._streams[channel].send_multipart(parts)

    def _from_client(self, channel: Channel) -> Callable[[list[bytes]], None]:
        def receive(parts: list[bytes]) -> None:
            try:
                self.send(channel, [THEIRS + parts[0], *parts[1:]])
            except FrameError:  # over the longest allowed message: the client gets no reply
                return

        return receive

    def _welcome(self, parts: list[bytes]) -> None:
        """Greet a new subscriber as the kernel itself would (JEP 65)."""
        if parts[0][:1] != b"\x01":
            return
        self._listened = True
        topic = parts[0][1:]
        message = self._session.msg(
            "iopub_welcome", {"subscription": topic.decode("utf-8", "replace")}
        )
        self._to_clients(Channel.IOPUB, self._session.serialize(message, [topic] if topic else []))
