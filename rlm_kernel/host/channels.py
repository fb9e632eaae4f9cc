"""The host's Jupyter channels to one kernel: shell, control and iopub, on the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zmq
from jupyter_client.session import Session as JupyterSession
from tornado.ioloop import IOLoop
from zmq.eventloop.zmqstream import ZMQStream

from rlm_kernel.protocol import packing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from rlm_kernel.host.sandbox import OnMessage

MAX_MESSAGE_BYTES = 256 << 20
"""Bytes of a message part; we disconnect from a kernel that sends a longer one."""

_PARTS = ("header", "parent_header", "metadata", "content")

_SOCKETS = {"shell": zmq.DEALER, "control": zmq.DEALER, "iopub": zmq.SUB}

_RECONNECT_MILLISECONDS = 2
"""ZMQ's default costs 100 ms when we connect before the kernel has bound its socket."""

MAX_JSON_BYTES = 64 << 20
"""Bytes of a part that is read as JSON; sub-calls carry long texts as raw buffers."""

MAX_JSON_NESTS = 2_000_000
"""Brackets and braces in such a part: each may cost a hundred bytes when it is read."""


def new_session(connection: dict[str, Any]) -> JupyterSession:
    """Return a Jupyter session with a kernel's key and a new id.

    Never a clone: clones share an id, make equal message ids, and steal each other's replies.
    """
    session = JupyterSession(
        key=connection["key"].encode(),
        signature_scheme=connection["signature_scheme"],
        check_pid=False,
    )
    session.pack = packing.pack
    return session


def read_message(session: JupyterSession, parts: list[bytes]) -> dict[str, Any] | None:
    """Read a kernel's message; None when it is unsigned, replayed, malformed or a JSON bomb."""
    try:
        frames = parts[len(session.feed_identities(parts)[0]) + 1 :]
        for part in frames[1:5]:
            if len(part) > MAX_JSON_BYTES:
                return None
            if len(part) > MAX_JSON_NESTS and part.count(b"[") + part.count(b"{") > MAX_JSON_NESTS:
                return None
        message: dict[str, Any] = session.deserialize(frames)
    except Exception:  # noqa: BLE001 - whatever is wrong with it
        return None
    return message if all(isinstance(message[part], dict) for part in _PARTS) else None


class Channels:
    """The three channels of one kernel."""

    def __init__(
        self,
        connection: dict[str, Any],
        on_message: OnMessage,
        *,
        only: Collection[str] = tuple(_SOCKETS),
    ) -> None:
        self.session = new_session(connection)
        self._on_message = on_message
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        loop = IOLoop.current()
        self._streams: dict[str, ZMQStream] = {}
        for channel in only:
            kind = _SOCKETS[channel]
            socket = context.socket(kind)
            socket.linger = 0
            socket.reconnect_ivl = _RECONNECT_MILLISECONDS
            socket.maxmsgsize = MAX_MESSAGE_BYTES
            if kind == zmq.SUB:
                socket.subscribe(b"")
            else:
                socket.identity = self.session.bsession
                socket.sndhwm = socket.rcvhwm = 0
            socket.connect(f"ipc://{connection['ip']}-{connection[f'{channel}_port']}")
            stream = ZMQStream(socket, loop)
            stream.on_recv(self._receiver(channel))
            self._streams[channel] = stream

    @property
    def session_id(self) -> str:
        """The session id in our messages."""
        return str(self.session.session)

    def send(
        self, channel: str, msg_type: str, content: dict[str, Any], buffers: Sequence[bytes] = ()
    ) -> str:
        """Send a message and return its id."""
        message = self.session.msg(msg_type, content)
        self.session.send(self._streams[channel], message, buffers=list(buffers))
        msg_id: str = message["header"]["msg_id"]
        return msg_id

    def close(self) -> None:
        """Close the sockets."""
        for stream in self._streams.values():
            if not stream.closed():
                stream.on_recv(None)
                stream.close(linger=0)

    def _receiver(self, channel: str) -> Callable[[list[bytes]], None]:
        def receive(parts: list[bytes]) -> None:
            message = read_message(self.session, parts)
            if message is not None:
                self._on_message(channel, message)

        return receive
