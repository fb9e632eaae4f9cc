"""A connection to an engine behind ssh: stdin and stdout of `docker system dial-stdio` there."""

from __future__ import annotations

import socket
import subprocess

from rlm_kernel.docker.stream import ssh_command

_END_SECONDS = 2.0


class SSHTunnel:
    """An ssh process and the socket that leads to the engine at its other end.

    Args:
        url: The engine's, as `DOCKER_HOST` has it.
        timeout: Seconds for each of the socket's operations; None for no bound.

    Raises:
        OSError: There is no ssh program.

    Attributes:
        socket: Close it before this.
    """

    def __init__(self, url: str, timeout: float | None) -> None:
        self.socket, its = socket.socketpair()
        try:
            with its:
                self._process = subprocess.Popen(
                    ssh_command(url),
                    stdin=its.fileno(),
                    stdout=its.fileno(),
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
        except BaseException:
            self.socket.close()
            raise
        self.socket.settimeout(timeout)

    def close(self) -> None:
        """End the process."""
        try:
            self._process.wait(_END_SECONDS)  # its stdin has ended
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
