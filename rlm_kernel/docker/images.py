"""Finds the image a kernel runs in: the requested one, or one made from it once and kept.

An image with a supported Python and ipykernel is used as it is. From any other we make an image,
whose tag is a hash of all that goes into it.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlm_kernel.docker.engine import explaining, is_missing
from rlm_kernel.docker.job_containers import JobContainers
from rlm_kernel.docker.make_image import PYTHON_LABEL, make_image, tag_of
from rlm_kernel.docker.probe import has_kernel, known, probed
from rlm_kernel.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm_kernel.docker.options import DockerOptions
    from rlm_kernel.docker.stream import EngineAddress

_building = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelImage:
    """An image that a kernel can run in: its id or tag, and its Python interpreter."""

    name: str
    python: str


def say(text: str) -> None:
    """Show the user a line of progress: making an image takes a minute."""
    sys.stderr.write(f"rlm: {text}\n")
    sys.stderr.flush()


class Images:
    """The images of one engine. Its methods block: call them on a thread."""

    def __init__(
        self, client: Any, address: EngineAddress, progress: Callable[[str], None] = say
    ) -> None:
        self._client = client
        self._address = address
        self._progress = progress
        self._jobs = JobContainers(client)

    def find(self, options: DockerOptions) -> KernelImage | None:
        """Return the image to use if it is known without pulling, probing or making one."""
        about = self._inspect(options.image)
        if about is None:
            return None
        ready = self._ready(about, options)
        if ready is not None:
            return ready
        found = known(about["Id"])
        if found is not None and not options.packages and has_kernel(found):
            return KernelImage(name=about["Id"], python=found["python"])
        return None

    def resolve(self, options: DockerOptions) -> KernelImage:
        """Return the image to use; make it when there is none yet.

        Raises:
            SandboxError: It cannot be made; the message says why.
        """
        with explaining(self._address):
            about = self._inspect(options.image) or self._pull(options.image)
            with _building:  # two trees that start together make it once
                self._jobs.check()
                return self._ready(about, options) or self._made(about, options)

    def stop(self) -> None:
        """End what `resolve` does on another thread, and remove its container."""
        self._jobs.stop()

    def _ready(self, about: dict[str, Any], options: DockerOptions) -> KernelImage | None:
        """Return this image if we made it, or the image that we made from it, if any."""
        labels = about["Config"].get("Labels") or {}
        if PYTHON_LABEL in labels and not options.packages:
            return KernelImage(name=about["Id"], python=labels[PYTHON_LABEL])
        tag = tag_of(about["Id"], options)
        made = self._inspect(tag)
        if made is None:
            return None
        return KernelImage(name=tag, python=made["Config"]["Labels"][PYTHON_LABEL])

    def _made(self, about: dict[str, Any], options: DockerOptions) -> KernelImage:
        found = probed(self._jobs, self._client, about["Id"], options.image)
        if not options.packages and has_kernel(found):
            return KernelImage(name=about["Id"], python=found["python"])
        python = make_image(
            self._jobs,
            self._client,
            about,
            options,
            python=found["python"],
            progress=self._progress,
        )
        return KernelImage(name=tag_of(about["Id"], options), python=python)

    def _inspect(self, name: str) -> dict[str, Any] | None:
        try:
            about: dict[str, Any] = self._client.inspect_image(name)
        except Exception as error:
            if is_missing(error):
                return None
            raise
        return about

    def _pull(self, name: str) -> dict[str, Any]:
        self._progress(f"pulling the image {name!r} ...")
        repository, _, tag = name.partition("@") if "@" in name else _split_tag(name)
        why = "the engine does not say why"
        try:
            for line in self._client.pull(repository, tag=tag or None, stream=True, decode=True):
                self._jobs.check()
                why = str(line.get("error", why))
        except SandboxError:
            raise
        except Exception as error:
            why = str(getattr(error, "explanation", error))
            raise SandboxError(_no_image(name, why)) from error
        about = self._inspect(name)
        if about is None:
            raise SandboxError(_no_image(name, why))
        return about


def _split_tag(name: str) -> tuple[str, str, str]:
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        return name, "", "latest"
    return head, colon, tag


def _no_image(name: str, why: str) -> str:
    return (
        f"The image {name!r} is not on the Docker engine and could not be pulled: "
        f"{' '.join(why.split())[:300]}. Check its name, or load it there (`docker load`)."
    )
