"""Containers that do one job for an image: a probe or a build."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from rlm_kernel.docker.engine import is_removed
from rlm_kernel.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator


class JobContainers:
    """Runs one job container at a time, on a thread; another thread may stop and remove it."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._stopped = threading.Event()
        self._container: str | None = None

    def stop(self) -> None:
        """Remove the running container, and let no other start."""
        self._stopped.set()
        if (container := self._container) is not None:
            with contextlib.suppress(Exception):  # `created` tries again
                self._remove(container)

    def check(self) -> None:
        """Raise a `SandboxError` when `stop` was called."""
        if self._stopped.is_set():
            raise SandboxError("The start was cancelled while its image was being made.")

    @contextlib.contextmanager
    def created(self, image: str, **config: Any) -> Iterator[str]:
        """Create a container for the caller to start; remove it afterwards."""
        container: str
        container = self._client.create_container(image, use_config_proxy=False, **config)["Id"]
        self._container = container
        try:
            self.check()  # after the line above: either we see the stop, or it sees the container
            yield container
        finally:
            self._container = None
            self._remove(container)

    def _remove(self, container: str) -> None:
        try:
            self._client.remove_container(container, force=True, v=True)
        except Exception as error:
            if not is_removed(error):
                raise
