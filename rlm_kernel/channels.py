"""The host's Jupyter channels to one kernel: shell, control and iopub, on the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zmq
from jupyter_client.session import Session as JupyterSession
from tornado.ioloop import IOLoop
from zmq.eventloop.zmqstream import ZMQStream

from rlm_kernel import packing

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_MESSAGE_BYTES = 256 << 20
"""A kernel that sends a longer message part is cut off."""

_PARTS = ("header", "parent_header", "metadata", "content")

_RECONNECT_MILLISECONDS = 2
"""ZMQ's default costs 100 ms when we connect before the kernel has bound its socket."""


class Channels:
    """The three channels of one kernel.

    Args:
        connection: Connection info, as in a Jupyter connection file.
        on_message: Called with the channel's name and each (verified) message.
    """

    def __init__(
        self,
        connection: dict[str, Any],
        on_message: Callable[[str, dict[str, Any]], None],
    ) -> None:
        # A session of its own: clones share an id, mint equal message ids, and steal each
        # other's replies.
        self.session = JupyterSession(
            key=connection["key"].encode(),
            signature_scheme=connection["signature_scheme"],
            check_pid=False,
        )
        self.session.pack = packing.pack
        self._on_message = on_message
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        loop = IOLoop.current()
        self._streams: dict[str, ZMQStream] = {}
        for channel, kind in (("shell", zmq.DEALER), ("control", zmq.DEALER), ("iopub", zmq.SUB)):
            socket = context.socket(kind)
            socket.linger = 0
            socket.reconnect_ivl = _RECONNECT_MILLISECONDS
            socket.maxmsgsize = MAX_MESSAGE_BYTES
            if kind == zmq.SUB:
                socket.subscribe(b"")
            else:
                socket.identity = self.session.bsession
                socket.sndhwm = socket.rcvhwm = 0
            port = connection[f"{channel}_port"]
            if connection["transport"] == "ipc":
                socket.connect(f"ipc://{connection['ip']}-{port}")
            else:
                socket.connect(f"tcp://{connection['ip']}:{port}")
            stream = ZMQStream(socket, loop)
            stream.on_recv(self._receiver(channel))
            self._streams[channel] = stream

    def send(
        self,
        channel: str,
        msg_type: str,
        content: dict[str, Any],
        buffers: list[bytes] | None = None,
    ) -> str:
        """Send a message and return its id."""
        message = self.session.msg(msg_type, content)
        self.session.send(self._streams[channel], message, buffers=[*(buffers or ())])
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
            try:
                _, frames = self.session.feed_identities(parts)
                message = self.session.deserialize(frames)
            except Exception:  # noqa: BLE001 - unsigned, replayed or malformed: dropped
                return
            if all(isinstance(message[part], dict) for part in _PARTS):
                self._on_message(channel, message)

        return receive
